//! Every stock filter against Fail2Ban's own annotated sample lines, read from the installed package.

mod common;

use common::{Line, Run};
use stockade_core::Timestamp;
use stockade_filter::{Clock, Examination, Filter, Memory, Verdict, Who};

/// The annotations take it to be 2005-08-14 12:00:00 in Zürich.
const NOW: i64 = 1_124_013_600;

/// Texts in lines whose outcome differs by intent, and why.
const EXCEPTIONS: [(&str, &str); 2] = [
    (
        "192.030.0.6",
        "a number with a leading zero is no part of an address: some read it as octal",
    ),
    ("192.0.2.09", "the same"),
];

fn differs(line: &Line, seen: &Examination) -> Option<String> {
    let found = match &seen.verdict {
        Verdict::Match(found) if line.matches => found,
        // A server counts it (UNDOCUMENTED.md, U-7), the annotations do not.
        Verdict::Match(found) if found.fields.get("nofail").is_some() && found.fields.get("mlfid").is_none() => {
            return None;
        }
        Verdict::Match(found) => return Some(format!("matched {:?} but must not", found.who)),
        other if line.matches => return Some(format!("no match but {other:?}")),
        _ => return None,
    };
    let who = match &found.who {
        Who::Id(id) => id.to_string(),
        Who::Name(name) => name.to_string(),
    };
    // The annotations keep the case of the log, ids are canonical.
    let wanted = line
        .host
        .parse::<std::net::IpAddr>()
        .map_or_else(|_| line.host.clone(), |address| address.to_string());
    if who != wanted && !wanted.is_empty() {
        return Some(format!("host {who} instead of {}", line.host));
    }
    // The date of a line without one is that of the line before, of 2013 in some files, which is in the future here.
    let own = seen.date.as_ref().and_then(|date| date.time);
    let time = own.unwrap_or(found.at).secs();
    let wanted = line
        .time
        .map(|wanted| if own.is_some() { wanted } else { wanted.min(NOW) });
    if wanted.is_some_and(|wanted| wanted != time) {
        return Some(format!("time {time} instead of {:?}", line.time));
    }
    if line.attempts > 0 && line.attempts != found.lines.len() {
        return Some(format!("{} lines instead of {}", found.lines.len(), line.attempts));
    }
    for (key, wanted) in &line.fields {
        let mut value = found.fields.get(key).unwrap_or("").to_owned();
        if key == "users" {
            let mut users: Vec<&str> = value.split(", ").collect();
            users.sort_unstable();
            value = users.join(", ");
        }
        // `None`: the group is there but took no part.
        if value != *wanted && !(value.is_empty() && wanted == "None") {
            return Some(format!("{key} {value:?} instead of {wanted:?}"));
        }
    }
    None
}

fn judge_run(run: &Run, filter: &Filter, report: &mut Vec<String>) -> usize {
    let clock = Clock {
        now: Timestamp::from_secs(NOW),
        in_operation: false,
        findtime: i64::MAX,
    };
    let mut memory = Memory::default();
    let mut agree = 0;
    for line in &run.lines {
        // A journal gives the time itself.
        let seen = if run.options.contains("\"journal\"") {
            filter.examine_at(&line.bytes, clock.now, clock, &mut memory, true)
        } else {
            filter.examine(&line.bytes, clock, &mut memory, true)
        };
        match differs(line, &seen) {
            None => agree += 1,
            Some(difference) => report.push(format!(
                "{} {} {}: {difference}\n    {}",
                run.name,
                run.options,
                line.place,
                String::from_utf8_lossy(&line.bytes)
            )),
        }
    }
    agree
}

#[test]
fn stock_filters_find_in_upstreams_samples_what_upstream_finds() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let mut report = Vec::new();
    let (mut agree, mut lines) = (0, 0);
    for run in &runs {
        lines += run.lines.len();
        match Filter::new(&run.settings, &zone) {
            Ok(filter) => agree += judge_run(run, &filter, &mut report),
            Err(errors) => report.push(format!("{} {}: {}", run.name, run.options, errors[0])),
        }
    }
    println!(
        "{agree} of {lines} annotated lines agree, {} filters with options",
        runs.len()
    );
    let all = report.len();
    report.retain(|line| !EXCEPTIONS.iter().any(|(place, _)| line.contains(place)));
    println!("{} differ by intent", all - report.len());
    assert!(report.is_empty(), "{} differ:\n{}", report.len(), report.join("\n"));
}

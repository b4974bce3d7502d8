//! Ours and the annotated sample logs of the installed Fail2Ban package: every line that is annotated as a failure is
//! found with its address, and no other, but for the differences that docs/FILTERS.md lists with their reason.

#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(clippy::disallowed_methods, reason = "reads the repository")]

use std::collections::{BTreeMap, BTreeSet};

use stockade_core::Timestamp;
use stockade_filter::{Clock, Memory, Verdict};

#[path = "../common/mod.rs"]
mod common;

use crate::configured::{self, compile, repository, who};
use common::Line;

/// The annotations take it to be 2005-08-14 12:00:00 in Zürich.
const CLOCK: Clock = Clock {
    now: Timestamp::from_secs(1_124_013_600),
    in_operation: false,
    findtime: i64::MAX,
};

/// The filter with the options of a run, as a jail would name it; `None` if it uses something that only tests do.
fn named(name: &str, options: &str) -> String {
    let mut given = Vec::new();
    let body = options.trim().trim_start_matches('{').trim_end_matches('}');
    for pair in body.split("\", \"") {
        let Some((key, value)) = pair.split_once("\": \"") else {
            continue;
        };
        let (key, value) = (key.trim_matches('"'), value.trim_matches('"'));
        // How the log was written makes no difference to ours; `test.` is the annotations' own.
        if key == "mode" || key == "logging" {
            given.push(format!("{key}={value}"));
        }
    }
    if given.is_empty() {
        name.to_owned()
    } else {
        format!("{name}[{}]", given.join(","))
    }
}

fn unusable(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Ignored => "(ignored)",
        Verdict::Unusable(_) => "(unusable)",
        Verdict::TooOld | Verdict::Undated => "(no date)",
        _ => "",
    }
}

fn differs(line: &Line, found: Option<&String>) -> Option<String> {
    let wanted = line
        .host
        .parse::<std::net::IpAddr>()
        .map_or_else(|_| line.host.clone(), |address| address.to_canonical().to_string());
    match (line.matches, found) {
        (true, Some(who)) if *who == wanted || wanted.is_empty() => None,
        (true, Some(who)) => Some(format!("names {who}, not {wanted}")),
        (true, None) => Some(format!("misses {wanted}")),
        (false, Some(who)) => Some(format!("names {who}, nobody is annotated")),
        (false, None) => None,
    }
}

/// The rows of the table in docs/FILTERS.md: the sample's file, and its line numbers.
fn listed() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(repository("docs/FILTERS.md")).unwrap();
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let table = text.split("<!-- differences -->").nth(1).unwrap_or_default();
    for row in table.lines().filter(|row| row.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (Some(filter), Some(lines)) = (cells.get(1), cells.get(2)) else {
            continue;
        };
        let numbers = lines.split(',').map(|number| number.trim().to_owned());
        let numbers = numbers.filter(|number| {
            number
                .chars()
                .all(|c| c.is_ascii_digit() || "-:".contains(c) || c.is_alphabetic())
        });
        listed.entry((*filter).to_owned()).or_default().extend(numbers);
    }
    listed
}

#[test]
fn ours_find_what_the_annotated_samples_say_but_for_listed_differences() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let ours = configured::names();
    let filters: BTreeSet<String> = runs
        .iter()
        .filter(|run| ours.contains(&run.name))
        .map(|run| named(&run.name, &run.options))
        .collect();
    let filters: Vec<String> = filters.into_iter().collect();
    let settings = configured::settings(&filters);
    let mut agreement: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    let mut unlisted = Vec::new();
    let listed = listed();
    let mut met: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in &runs {
        let with = named(&run.name, &run.options);
        let Some(settings) = settings.get(&with) else { continue };
        let filter = compile(&with, settings, &zone);
        let mut memory = Memory::default();
        for line in &run.lines {
            let verdict = if run.options.contains("\"journal\"") {
                filter.judge_at(&line.bytes, CLOCK.now, CLOCK, &mut memory)
            } else {
                filter.judge(&line.bytes, CLOCK, &mut memory)
            };
            let found = match &verdict {
                Verdict::Match(found) => Some(who(found)),
                _ => None,
            };
            let count = agreement.entry(run.name.clone()).or_default();
            count.0 += 1;
            let Some(difference) = differs(line, found.as_ref()) else {
                count.1 += 1;
                continue;
            };
            count.2 += 1;
            let (file, number) = line.place.split_once(':').unwrap();
            let number = if file == run.name {
                number.to_owned()
            } else {
                format!("{file}:{number}")
            };
            let known = listed.get(&run.name).is_some_and(|numbers| numbers.contains(&number));
            met.entry(run.name.clone()).or_default().insert(number);
            if !known {
                unlisted.push(format!(
                    "{} {} {}: {difference} {}\n    {}",
                    run.name,
                    run.options,
                    line.place,
                    unusable(&verdict),
                    String::from_utf8_lossy(&line.bytes)
                ));
            }
        }
    }
    for (name, (lines, agree, differ)) in &agreement {
        println!("{name}: {agree} of {lines} annotated lines agree, {differ} differ");
    }
    let total = agreement
        .values()
        .fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    println!("{} filters, {} of {} lines agree", agreement.len(), total.1, total.0);
    for (name, numbers) in &listed {
        for number in numbers {
            if !met.get(name).is_some_and(|met| met.contains(number)) {
                unlisted.push(format!("{name} {number} is listed in docs/FILTERS.md but agrees"));
            }
        }
    }
    assert!(
        unlisted.is_empty(),
        "{} unlisted differences:\n{}",
        unlisted.len(),
        unlisted.join("\n")
    );
}

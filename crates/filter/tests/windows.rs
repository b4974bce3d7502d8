//! Rules over several lines beside the installed `fail2ban-regex`: the same failures from the same lines.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "asks the installed package by the clock of this machine, and says what it left out"
)]

mod numbers;

use std::fmt::Write as _;
use std::process::Command;

use jiff::tz::TimeZone;
use numbers::Numbers;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory, UseDns, Verdict, Who};

/// Rules, `ignoreregex`, `prefregex`; ` ?` stands where the date was.
type Rules = (&'static [&'static str], &'static [&'static str], Option<&'static str>);

const RULES: [Rules; 14] = [
    (&["^ ?A (?P<key>\\d) <HOST>$<SKIPLINES>^ ?B (?P=key)$"], &[], None),
    (
        &[
            "^ ?A \\d <HOST>$<SKIPLINES>^ ?B \\d$<SKIPLINES>^ ?C$",
            "^ ?E <HOST>$",
            "^ ?A (?P<key>\\d) <HOST>$<SKIPLINES>^ ?B (?P=key)$",
        ],
        &[],
        None,
    ),
    (
        &[
            "^ ?A 1 <HOST>$(?=\\n(?:.*\\n)*? ?C)",
            "^ ?C$<SKIPLINES>^ ?E <HOST>",
            "^ ?A 2 <HOST>\\n ?B",
        ],
        &[],
        None,
    ),
    (&["\\n ?A \\d <HOST>$", "^ ?E <HOST>\\n ?B"], &[], None),
    (&["(?:^ ?C\\n)? ?A \\d <HOST>(?:\\n ?noise)+"], &[], None),
    (&["^ ?A (?P<key>\\d) <HOST>$<SKIPLINES>^ ?B (?P=key)$"], &["^ ?C"], None),
    (&["A \\d <HOST>$<SKIPLINES>^ ?[BC]"], &["C"], None),
    (
        &[
            "^ ?A \\d <HOST>$<SKIPLINES>^ ?B",
            "^ ?E <HOST>$<SKIPLINES>^ ?C",
            "^ ?A 1 <HOST>$(?=\\n ?A)",
        ],
        &["noise"],
        None,
    ),
    (
        &[
            "^ ?A \\d <HOST>$<SKIPLINES>^ ?B",
            "^ ?E <HOST>$<SKIPLINES>^ ?C",
            "^ ?A 1 <HOST>$(?=\\n ?A)",
            "^ ?A 2 <HOST>$(?=\\n ?E)",
        ],
        &["C\\n? ?noise"],
        None,
    ),
    (&["^ ?A \\d <HOST>$<SKIPLINES>^ ?B"], &[], Some("^(?:.*\\n)*? ?E")),
    (&["^ ?A \\d <HOST>$<SKIPLINES>^ ?B"], &[], Some("noise(?P<extra>.?)")),
    (
        &[
            "^ ?<F-MLFID>A \\d</F-MLFID> <F-NOFAIL><HOST></F-NOFAIL>$<SKIPLINES>^ ?C",
            "^ ?noise$<SKIPLINES>^ ?B(?=(?:.*\\n)*? ?<F-MLFID>A \\d</F-MLFID>)",
            "^ ?B (?P<number>\\d)$<SKIPLINES>^ ?<F-MLFID>A \\d</F-MLFID> <HOST>",
        ],
        &[],
        None,
    ),
    (&["$(?=\\n ?A \\d <HOST>\\n ?C)", "(?=E <HOST>\\n ?B)"], &[], None),
    (&["^ ?A \\d <HOST>$", "^ ?E <HOST>$"], &["B"], None),
];

/// Whom and from which lines; the time if lines have dates.
type Found = (String, Option<i64>, String);

fn theirs(log: &str, rules: Rules, maxlines: u32) -> Option<Vec<Found>> {
    let folder = std::env::temp_dir().join(format!("stockade-windows-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (path, filter) = (folder.join("log"), folder.join("filter.conf"));
    std::fs::write(&path, log).unwrap();
    let mut config = format!("[Definition]\nfailregex = {}\n", rules.0.join("\n            "));
    writeln!(config, "ignoreregex = {}", rules.1.join("\n            ")).unwrap();
    if let Some(prefregex) = rules.2 {
        writeln!(config, "prefregex = {prefregex}").unwrap();
    }
    std::fs::write(&filter, config).unwrap();
    let mut command = Command::new("fail2ban-regex");
    command.env("TZ", "UTC").args(["-l", "CRITICAL", "--usedns=no"]);
    command.arg(format!("--maxlines={maxlines}"));
    command.args(["-o", "@@<ip>@@<time>@@<matches>@@;"]);
    let output = command.args([&path, &filter]).output();
    std::fs::remove_dir_all(&folder).unwrap();
    let Ok(output) = output else {
        println!("skipped: fail2ban-regex (package fail2ban) is not installed");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.starts_with("ERROR"), "{text}");
    let rows = text.split("@@;\n").filter(|row| row.contains("@@"));
    let found = rows.map(|row| {
        let parts: Vec<&str> = row.split("@@").collect();
        let time = parts[2].split('.').next().unwrap().parse().ok();
        (parts[1].to_owned(), time, parts[3].to_owned())
    });
    Some(found.collect())
}

fn ours(log: &str, rules: Rules, maxlines: u32) -> Vec<Found> {
    let settings = FilterSettings {
        usedns: UseDns::No,
        failregex: rules.0.iter().map(|rule| (*rule).to_owned()).collect(),
        ignoreregex: rules.1.iter().map(|rule| (*rule).to_owned()).collect(),
        prefregex: rules.2.map(str::to_owned),
        maxlines,
        ..FilterSettings::default()
    };
    let filter = Filter::new(&settings, &TimeZone::UTC).unwrap_or_else(|errors| panic!("{errors:?}"));
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let clock = Clock {
        now: Timestamp::from_secs(i64::try_from(since.as_secs()).unwrap()),
        in_operation: true,
        findtime: i64::MAX,
    };
    let (mut gated, mut plain, mut close) = (Memory::default(), Memory::default(), Memory::default());
    let mut found = Vec::new();
    for line in log.lines() {
        let verdict = filter.judge(line.as_bytes(), clock, &mut gated);
        assert_eq!(
            verdict,
            filter.judge_plain(line.as_bytes(), clock, &mut plain),
            "{line}"
        );
        let seen = filter.examine(line.as_bytes(), clock, &mut close, false);
        // A closer look says of lines that no rule matches, too, that they are ignored.
        let counts = |verdict: &Verdict| matches!(verdict, Verdict::Match(_)).then(|| verdict.clone());
        assert_eq!(counts(&verdict), counts(&seen.verdict), "{line}");
        if let Verdict::Match(hit) = verdict {
            let Who::Id(id) = hit.who else { panic!("a name") };
            let lines: Vec<&str> = hit.lines.iter().map(|line| &*line.text).collect();
            let time = seen.date.and_then(|date| date.time).map(Timestamp::secs);
            found.push((id.to_string(), time, lines.join("\n")));
        }
    }
    found
}

fn log(numbers: &mut Numbers, dated: bool, count: usize) -> String {
    let mut log = String::new();
    for second in 0..count {
        if dated {
            write!(log, "2026-11-20 10:{:02}:{:02} ", second / 60 % 60, second % 60).unwrap();
        }
        let (key, host) = (1 + numbers.below(2), numbers.below(4));
        match numbers.below(7) {
            0 | 1 => writeln!(log, "A {key} 192.0.2.{host}"),
            2 => writeln!(log, "B {key}"),
            3 => writeln!(log, "C"),
            4 => writeln!(log, "E 192.0.2.{host}"),
            _ => writeln!(log, "noise"),
        }
        .unwrap();
    }
    log
}

#[test]
fn rules_over_several_lines_find_what_upstream_finds() {
    let mut numbers = Numbers(5);
    let (mut compared, mut lines, mut differences) = (0, 0, Vec::new());
    for (index, rules) in RULES.into_iter().enumerate() {
        for (maxlines, dated) in [(2 + u32::try_from(index % 4).unwrap(), true), (12, false)] {
            let log = log(&mut numbers, dated, 300);
            let Some(mut theirs) = theirs(&log, rules, maxlines) else {
                return;
            };
            let ours = ours(&log, rules, maxlines);
            if !dated {
                for found in &mut theirs {
                    found.1 = None;
                }
            }
            lines += 300;
            compared += theirs.len();
            if let Some(place) = (0..theirs.len().max(ours.len())).find(|&at| theirs.get(at) != ours.get(at)) {
                differences.push(format!(
                    "rules {index}, maxlines {maxlines}, failure {place}\n theirs {:?}\n ours   {:?}",
                    theirs.get(place),
                    ours.get(place)
                ));
            }
        }
    }
    println!("{compared} failures in {lines} lines compared");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

//! Sessions (`<F-MLFID>`) deliver what upstream delivers: random conversations, judged by the installed `fail2ban-regex`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "asks the installed package, and says what it left out"
)]

use std::fmt::Write as _;
use std::process::Command;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory, Verdict, Who};

const RULES: [&str; 9] = [
    "^c<F-MLFID>\\d+</F-MLFID> <F-NOFAIL>connect</F-NOFAIL> from <ADDR>",
    "^c<F-MLFID>\\d+</F-MLFID> bad user <F-USER>\\w+</F-USER>",
    "^c<F-MLFID>\\d+</F-MLFID> denied",
    "^c<F-MLFID>\\d+</F-MLFID> fail from <ADDR>",
    "^c<F-MLFID>\\d+</F-MLFID> <F-MLFFORGET><F-MLFGAINED>accepted</F-MLFGAINED></F-MLFFORGET> <F-USER>\\w+</F-USER>",
    "^c<F-MLFID>\\d+</F-MLFID> <F-MLFGAINED>welcome</F-MLFGAINED> <F-USER>\\w+</F-USER>",
    "^c<F-MLFID>\\d+</F-MLFID> <F-NOFAIL><F-MLFFORGET>disconnect</F-MLFFORGET></F-NOFAIL>",
    "^c<F-MLFID>\\d+</F-MLFID> <F-NOFAIL><F-MLFFORGET>bye</F-MLFFORGET></F-NOFAIL> from <ADDR>",
    "^c<F-MLFID>\\d+</F-MLFID> <F-NOFAIL>note</F-NOFAIL> <F-USER>\\w+</F-USER>",
];

/// A failure: who, and the lines delivered with it.
type Failure = (String, Vec<String>);

fn conversation(seed: u64) -> Vec<String> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    (0..400)
        .map(|number| {
            // New connections now and then, so that every start is seen often.
            let id = number / 16 * 2 + below(2);
            let user = ["ann", "bob", "eve"][usize::try_from(below(3)).unwrap()];
            let address = below(3) + 1;
            let text = match below(9) {
                0 => format!("connect from 192.0.2.{address}"),
                1 => format!("bad user {user}"),
                2 => "denied".to_owned(),
                3 => format!("fail from 192.0.2.{address}"),
                4 => format!("accepted {user}"),
                5 => format!("welcome {user}"),
                6 => "disconnect".to_owned(),
                7 => format!("bye from 192.0.2.{address}"),
                _ => format!("note {user}"),
            };
            format!("c{id} {text} #{number}")
        })
        .collect()
}

fn theirs(lines: &[String], seed: u64) -> Option<Vec<Failure>> {
    let base = std::env::temp_dir().join(format!("stockade-sessions-{}-{seed}", std::process::id()));
    let (log, filter) = (base.with_extension("log"), base.with_extension("conf"));
    std::fs::write(&log, lines.join("\n") + "\n").unwrap();
    let mut text = String::from("[Definition]\nfailregex = ");
    for rule in RULES {
        writeln!(text, "{}{rule}", if rule == RULES[0] { "" } else { "            " }).unwrap();
    }
    std::fs::write(&filter, text).unwrap();
    let output = Command::new("fail2ban-regex")
        .args(["--no-check-all", "-o", "@<ip>\n<matches>"])
        .arg(&log)
        .arg(&filter)
        .output();
    std::fs::remove_file(&log).unwrap();
    std::fs::remove_file(&filter).unwrap();
    let Ok(output) = output else {
        println!("skipped: fail2ban-regex (package fail2ban) is not installed");
        return None;
    };
    let mut failures: Vec<Failure> = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        match line.strip_prefix('@') {
            Some(address) => failures.push((address.to_owned(), Vec::new())),
            None => failures.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    Some(failures)
}

fn ours(lines: &[String]) -> Vec<Failure> {
    let settings = FilterSettings {
        failregex: RULES.map(str::to_owned).into(),
        ..FilterSettings::default()
    };
    let filter = Filter::new(&settings, &TimeZone::UTC).unwrap();
    let clock = Clock {
        now: Timestamp::from_secs(1_795_305_600),
        in_operation: true,
        findtime: 600,
    };
    let mut memory = Memory::default();
    lines
        .iter()
        .filter_map(|line| {
            let Verdict::Match(found) = filter.judge(line.as_bytes(), clock, &mut memory) else {
                return None;
            };
            let Who::Id(id) = found.who else { return None };
            Some((
                id.to_string(),
                found.lines.iter().map(|line| line.text.to_string()).collect(),
            ))
        })
        .collect()
}

#[test]
fn random_conversations_deliver_the_failures_upstream_finds() {
    let mut compared = 0;
    for seed in 0..6 {
        let lines = conversation(seed);
        let Some(theirs) = theirs(&lines, seed) else { return };
        let ours = ours(&lines);
        for (at, theirs) in theirs.iter().enumerate() {
            let same = ours.get(at) == Some(theirs);
            if !same {
                let last = theirs.1.last().cloned().unwrap_or_default();
                let other = ours.get(at).and_then(|ours| ours.1.last()).cloned().unwrap_or_default();
                let id = |line: &str| line.split(' ').next().unwrap_or("").to_owned();
                let session: Vec<&String> = lines
                    .iter()
                    .filter(|line| id(line) == id(&last) || id(line) == id(&other))
                    .collect();
                panic!(
                    "seed {seed}, failure {at}\n theirs {theirs:?}\n ours   {:?}\n session {session:#?}",
                    ours.get(at)
                );
            }
        }
        assert_eq!(ours.len(), theirs.len(), "seed {seed}: {:?}", ours.get(theirs.len()));
        compared += theirs.len();
    }
    println!("{compared} failures compared");
}

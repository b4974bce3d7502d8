//! Time per line, for whoever changes something here: `cargo test --release -p stockade-filter --test speed -- --ignored
//! --nocapture`. Rules are the stock ones of the installed package, lines are made up.

#![expect(clippy::disallowed_methods, reason = "measures time")]

mod common;

use std::time::Instant;

use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, Memory, Verdict};

/// Lines of one second each, or 20 to a second.
fn lines(hit: bool, asterisk: bool, per_second: usize) -> Vec<String> {
    (0..20_000)
        .map(|index| {
            let second = index / per_second;
            let (m, s) = (second / 60 % 60, second % 60);
            let (b, c) = (index / 200 % 200, index % 200);
            match (asterisk, hit) {
                (true, true) => format!(
                    "[2026-11-22 13:{m:02}:{s:02}] NOTICE[1234] chan_sip.c: Registration from '\"7{c}\" <sip:7{c}@192.0.2.1>' failed for '10.0.{b}.{c}:5060' - Wrong password"
                ),
                (true, false) => format!(
                    "[2026-11-22 13:{m:02}:{s:02}] VERBOSE[1234][C-000{c:04}] pbx.c:     -- Executing [s@macro-dial:{c}] Set(\"SIP/7{c}-0000{b:04}\", \"X=1\") in new stack"
                ),
                (false, true) => format!(
                    "Nov 22 13:{m:02}:{s:02} host sshd[{c}]: Failed password for root from 10.0.{b}.{c} port 4{c} ssh2"
                ),
                (false, false) => format!(
                    "Nov 22 13:{m:02}:{s:02} host sshd[{c}]: pam_unix(sshd:session): session opened for user u{b} by (uid=0)"
                ),
            }
        })
        .collect()
}

#[test]
#[ignore = "a measurement, not a test"]
fn nanoseconds_per_line() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let clock = Clock {
        now: Timestamp::from_secs(1_795_352_400),
        in_operation: true,
        findtime: 600,
    };
    for (name, asterisk) in [("sshd", false), ("asterisk", true)] {
        let run = runs
            .iter()
            .find(|run| run.name == name && !run.options.contains("journal"))
            .unwrap();
        let started = Instant::now();
        let filter = Filter::new(&run.settings, &zone).unwrap();
        println!(
            "{name}: {} rules compiled in {:?}, gate {}",
            run.settings.failregex.len(),
            started.elapsed(),
            filter.has_gate()
        );
        for (hit, per_second) in [(false, 20), (false, 1), (true, 20), (true, 1)] {
            let lines = lines(hit, asterisk, per_second);
            for gated in [true, false] {
                let mut best = f64::MAX;
                let mut matches = 0;
                for _ in 0..5 {
                    let mut memory = Memory::default();
                    matches = 0;
                    let started = Instant::now();
                    for line in &lines {
                        let verdict = if gated {
                            filter.judge(line.as_bytes(), clock, &mut memory)
                        } else {
                            filter.judge_plain(line.as_bytes(), clock, &mut memory)
                        };
                        matches += usize::from(matches!(verdict, Verdict::Match(_)));
                    }
                    let count = f64::from(u32::try_from(lines.len()).unwrap());
                    best = best.min(started.elapsed().as_secs_f64() * 1e9 / count);
                }
                println!(
                    "  hit {hit:5} {per_second:2} lines/s gated {gated:5}: {best:7.1} ns/line ({matches} matches)"
                );
            }
        }
    }
}

#[test]
#[ignore = "a measurement, not a test"]
fn nanoseconds_per_odd_line() {
    let settings = stockade_filter::FilterSettings {
        failregex: vec!["^Failed password for .* from <HOST>$".into()],
        ..stockade_filter::FilterSettings::default()
    };
    let filter = Filter::new(&settings, &jiff::tz::TimeZone::UTC).unwrap();
    let clock = Clock {
        now: Timestamp::from_secs(1_795_352_400),
        in_operation: true,
        findtime: 600,
    };
    for (name, line) in [
        (
            "no date, 100 bytes",
            "    at org.example.Service.call(Service.java:123) and so on and on and so forth, nothing to see "
                .to_owned(),
        ),
        ("64 KiB of a", "a".repeat(65_536)),
        ("64 KiB of digits", "2026-11-".repeat(8_192)),
        ("64 KiB of 1", "1".repeat(65_536)),
        ("64 KiB of blanks", " ".repeat(65_536)),
        ("64 KiB of months", "Nov 22 13:4".repeat(6_000)),
        (
            "64 KiB of blanks after a date",
            format!("2026-11-22 13:40:04{}", " ".repeat(65_536)),
        ),
    ] {
        let mut memory = Memory::default();
        let rounds = if line.len() > 1000 { 3 } else { 20_000 };
        let started = Instant::now();
        for _ in 0..rounds {
            filter.judge(line.as_bytes(), clock, &mut memory);
        }
        let each = started.elapsed() / rounds;
        println!("  {name}: {each:?}");
    }
}

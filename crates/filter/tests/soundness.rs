//! The gate never changes an outcome: judged with and without it, all stock filters say the same about all sample lines,
//! whole and damaged.

mod common;

use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory, Verdict};

/// `TooOld` and `Miss` are both nothing: a line that cannot match is not compared with the clock.
fn plain(verdict: Verdict) -> Verdict {
    if verdict == Verdict::TooOld {
        Verdict::Miss
    } else {
        verdict
    }
}

/// A line and damaged copies of it, each made from the number so that runs repeat.
fn damaged(line: &[u8], seed: usize) -> Vec<Vec<u8>> {
    let at = if line.is_empty() { 0 } else { seed * 7919 % line.len() };
    let cut = |range: std::ops::Range<usize>| {
        let mut copy = line.to_vec();
        copy.drain(range);
        copy
    };
    let with = |bytes: &[u8]| {
        let mut copy = line.to_vec();
        copy.splice(at..at, bytes.iter().copied());
        copy
    };
    vec![
        line.to_vec(),
        cut(0..line.len().min(15)),
        cut(at..line.len().min(at + 3)),
        line.get(..at).unwrap_or(line).to_vec(),
        with(b"\xff"),
        with("é".as_bytes()),
        with(b"Nov 22 13:40:04 "),
        with(b"2026-11-22T13:40:04Z"),
        line.to_ascii_uppercase(),
        [b"- ", line].concat(),
    ]
}

#[test]
fn the_gate_changes_no_outcome_on_all_samples_whole_and_damaged() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let all: Vec<&[u8]> = runs
        .iter()
        .flat_map(|run| &run.lines)
        .map(|line| line.bytes.as_slice())
        .collect();
    let (mut compared, mut gated, mut matched) = (0_u64, 0, 0_u64);
    for (number, run) in runs.iter().enumerate() {
        let filter = Filter::new(&run.settings, &zone).unwrap();
        gated += usize::from(filter.has_gate());
        let (mut fast, mut slow) = (Memory::default(), Memory::default());
        let own = run
            .lines
            .iter()
            .enumerate()
            .flat_map(|(seed, line)| damaged(&line.bytes, seed + number));
        // A part of the lines of all filters, another part for each filter.
        let foreign = all.iter().skip(number % 7).step_by(7).map(|line| line.to_vec());
        for (index, line) in own.chain(foreign).enumerate() {
            let now = Timestamp::from_secs(1_124_013_600 + i64::try_from(index).unwrap() / 5);
            let clock = Clock {
                now,
                in_operation: index % 3 == 0,
                findtime: 86_400 * 400,
            };
            let expected = plain(filter.judge_plain(&line, clock, &mut slow));
            let found = plain(filter.judge(&line, clock, &mut fast));
            assert_eq!(
                found,
                expected,
                "{} {}: {}",
                run.name,
                run.options,
                String::from_utf8_lossy(&line)
            );
            compared += 1;
            matched += u64::from(matches!(expected, Verdict::Match(_)));
        }
    }
    println!(
        "{compared} lines judged twice, {matched} matches; {gated} of {} filters have a gate",
        runs.len()
    );
}

#[test]
fn a_literal_that_only_arises_by_cutting_the_date_is_found() {
    let settings = FilterSettings {
        failregex: vec!["badness from <HOST>".into()],
        datepattern: Some("%Y-%m-%d %H:%M:%S".into()),
        ..FilterSettings::default()
    };
    let filter = Filter::new(&settings, &jiff::tz::TimeZone::UTC).unwrap();
    let clock = Clock {
        now: Timestamp::from_secs(1_795_305_600),
        in_operation: true,
        findtime: 600,
    };
    for line in ["bad-2026-11-22 00:00:00", "x"] {
        let line = line.replace('-', "");
        assert_eq!(
            filter.judge(line.as_bytes(), clock, &mut Memory::default()),
            Verdict::Miss
        );
    }
    // The pattern has no boundary of its own here, so the date may stand inside a word.
    let settings = FilterSettings {
        datepattern: Some("**%Y-%m-%d %H:%M:%S**".into()),
        ..settings
    };
    let filter = Filter::new(&settings, &jiff::tz::TimeZone::UTC).unwrap();
    let line = b"bad2026-11-22 00:00:00ness from 192.0.2.7";
    let verdict = filter.judge(line, clock, &mut Memory::default());
    assert!(matches!(verdict, Verdict::Match(_)), "{verdict:?}");
    assert_eq!(verdict, filter.judge_plain(line, clock, &mut Memory::default()));
}

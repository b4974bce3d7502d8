//! The gate never changes an outcome: judged with and without it, all stock and built-in filters say the same about all
//! sample lines, whole and damaged, and about lines made of pieces of them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
#[expect(clippy::disallowed_methods, reason = "reads the repository")]
#[path = "shipped/configured.rs"]
#[expect(dead_code, reason = "shared with the tests of the built-in filters")]
mod configured;
#[expect(clippy::disallowed_methods, reason = "reads the repository")]
#[path = "shipped/samples.rs"]
#[expect(dead_code, reason = "shared with the tests of the built-in filters")]
mod samples;

use std::ops::ControlFlow;

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

/// Lines made for each filter, in blocks of so many.
const MADE: usize = 1_300;
const PER_BLOCK: usize = 100;

/// A filter, and lines of its service.
struct Subject {
    name: String,
    settings: FilterSettings,
    lines: Vec<Vec<u8>>,
}

/// The stock filters, if they are installed, and the built-in ones, each with all options that its samples are for.
fn subjects() -> Vec<Subject> {
    let stock = common::runs().unwrap_or_default().into_iter().map(|run| Subject {
        name: format!("{} {}", run.name, run.options),
        lines: run.lines.into_iter().map(|line| line.bytes).collect(),
        settings: run.settings,
    });
    let sections: Vec<samples::Section> = configured::names()
        .iter()
        .flat_map(|name| samples::read(name))
        .collect();
    let filters: Vec<String> = sections.iter().flat_map(|section| section.filters.clone()).collect();
    let settings = configured::settings(&filters);
    let built_in = sections.iter().flat_map(|section| {
        let lines: Vec<Vec<u8>> = section
            .samples
            .iter()
            .map(|sample| sample.plain().into_bytes())
            .collect();
        section.filters.iter().map(move |filter| (filter, lines.clone()))
    });
    let built_in = built_in.map(|(filter, lines)| Subject {
        name: format!("built-in {filter}"),
        settings: settings[filter].clone(),
        lines,
    });
    stock
        .chain(built_in)
        .filter(|subject| !subject.lines.is_empty())
        .collect()
}

/// Numbers from a seed, the same on every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn range(&mut self, length: usize, longest: usize) -> std::ops::Range<usize> {
        let from = self.below(length + 1);
        from..length.min(from + self.below(longest + 1))
    }
}

/// What is put into lines: dates that may be cut out of the middle of a literal, and bytes that end or tear one.
const INSERTED: [&[u8]; 16] = [
    b"Nov 22 13:40:04",
    b"Nov 22 13:40:05 ",
    b"2026-11-22 13:40:04",
    b"[2026-11-22 13:40:04] ",
    b"2026-11-22T13:40:04.123456+01:00 ",
    b"[22/Nov/2026:13:40:04 +0000]",
    b"1795354804 ",
    b"[Sun Nov 22 13:40:04.123456 2026] ",
    b"[",
    b"]",
    b" ",
    b"\xff",
    b"\xc3",
    "\u{fc}".as_bytes(),
    "\u{fffd}".as_bytes(),
    b"192.0.2.7",
];

/// A line made of the filter's own lines, or of anybody's, and damaged at up to three places.
fn made(own: &[Vec<u8>], all: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let from = if numbers.below(4) == 0 { all } else { own };
    let mut line = numbers.one(from).clone();
    for _ in 0..numbers.below(4) {
        let range = numbers.range(line.len(), 12);
        match numbers.below(8) {
            0 => drop(line.drain(range)),
            1 => {
                let copy = line[range.clone()].to_vec();
                drop(line.splice(range.start..range.start, copy));
            }
            // The beginning of this line, the end of another.
            2 => {
                let other = numbers.one(from);
                line.truncate(range.start);
                line.extend_from_slice(&other[numbers.below(other.len() + 1)..]);
            }
            3 => line[range].make_ascii_uppercase(),
            4 => line.truncate(range.end),
            // A date where there is one already.
            5 => drop(line.splice(0..range.len(), numbers.one(&INSERTED).iter().copied())),
            _ => drop(line.splice(range.start..range.start, numbers.one(&INSERTED).iter().copied())),
        }
    }
    line.retain(|byte| !b"\r\n".contains(byte));
    line
}

#[test]
fn the_gate_changes_no_outcome_on_lines_made_of_pieces_by_blocks_or_one_by_one() {
    let zone = jiff::tz::TimeZone::UTC;
    let subjects = subjects();
    let all: Vec<Vec<u8>> = subjects.iter().flat_map(|subject| subject.lines.clone()).collect();
    let mut numbers = Numbers(0x5eed_2026_1122);
    let (mut lines, mut matched, mut passed) = (0, 0, 0);
    for subject in &subjects {
        let filter = configured::compile(&subject.name, &subject.settings, &zone);
        let [mut by_block, mut one_by_one, mut slow] = [(); 3].map(|()| Memory::default());
        for number in 0..MADE / PER_BLOCK {
            let block: Vec<Vec<u8>> = (0..PER_BLOCK)
                .map(|_| made(&subject.lines, &all, &mut numbers))
                .collect();
            let clock = Clock {
                now: Timestamp::from_secs(1_795_354_860 + i64::try_from(number).unwrap() * 7),
                in_operation: number.is_multiple_of(3),
                findtime: 86_400 * 9_000,
            };
            let mut expected = Vec::new();
            for line in &block {
                let verdict = plain(filter.judge_plain(line, clock, &mut slow));
                let gated = plain(filter.judge(line, clock, &mut one_by_one));
                assert_eq!(gated, verdict, "{}: {}", subject.name, String::from_utf8_lossy(line));
                matched += usize::from(matches!(verdict, Verdict::Match(_)));
                if verdict != Verdict::Miss {
                    expected.push((String::from_utf8_lossy(line).into_owned(), verdict));
                }
            }
            let joined = [block.join(&b'\n'), b"\n".to_vec()].concat();
            let (mut found, mut looked_at) = (Vec::new(), 0);
            filter.scan(&joined, &mut 0, clock, &mut by_block, &mut |line, verdict, _| {
                looked_at += 1;
                let verdict = plain(verdict);
                if verdict != Verdict::Miss {
                    found.push((String::from_utf8_lossy(line).into_owned(), verdict));
                }
                ControlFlow::Continue(())
            });
            assert_eq!(found, expected, "{}, block {number}", subject.name);
            lines += block.len();
            passed += block.len() - looked_at;
        }
        assert_eq!(
            filter.date_order(&by_block),
            filter.date_order(&slow),
            "{}",
            subject.name
        );
        assert_eq!(
            filter.date_order(&one_by_one),
            filter.date_order(&slow),
            "{}",
            subject.name
        );
    }
    println!(
        "{lines} lines for {} filters, {matched} matches; {passed} lines passed over in blocks",
        subjects.len()
    );
    assert!(matched > lines / 20 && passed > lines / 20, "the lines show nothing");
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

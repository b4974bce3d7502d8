//! A block judged at once says of each line what judging it alone says, and leaves the same behind.

mod common;

use std::ops::ControlFlow;

use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, Memory, Verdict};

fn plain(verdict: Verdict) -> Option<Verdict> {
    (!matches!(verdict, Verdict::Miss | Verdict::TooOld)).then_some(verdict)
}

/// What becomes of the lines of a block, by both ways; the order of date templates afterwards too.
fn compare(filter: &Filter, blocks: &[Vec<u8>], clock: impl Fn(usize) -> Clock, name: &str) -> (u64, u64) {
    let (mut fast, mut slow) = (Memory::default(), Memory::default());
    let (mut lines, mut told) = (0, 0);
    for (number, block) in blocks.iter().enumerate() {
        let clock = clock(number);
        let mut expected = Vec::new();
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            lines += 1;
            let verdict = filter.judge(line, clock, &mut slow);
            expected.extend(plain(verdict).map(|verdict| (line.to_vec(), verdict, slow.dating())));
        }
        let mut found = Vec::new();
        let mut at = 0;
        filter.scan(block, &mut at, clock, &mut fast, &mut |line, verdict, memory| {
            found.extend(plain(verdict).map(|verdict| (line.to_vec(), verdict, memory.dating())));
            ControlFlow::Continue(())
        });
        assert_eq!(at, block.len(), "{name}");
        assert_eq!(found, expected, "{name}, block {number}");
        assert_eq!(
            filter.date_order(&fast),
            filter.date_order(&slow),
            "{name}, block {number}"
        );
        told += expected.len() as u64;
    }
    (lines, told)
}

#[test]
fn a_block_is_judged_as_its_lines_are_by_all_stock_filters_on_all_samples() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let all: Vec<&[u8]> = runs
        .iter()
        .flat_map(|run| &run.lines)
        .map(|line| line.bytes.as_slice())
        .collect();
    let (mut lines, mut told) = (0, 0);
    for (number, run) in runs.iter().enumerate() {
        let filter = Filter::new(&run.settings, &zone).unwrap();
        let mut blocks: Vec<Vec<u8>> = vec![Vec::new()];
        let own = run.lines.iter().map(|line| line.bytes.as_slice());
        // Runs of lines in one format with others between, and blocks of any length.
        let foreign = all.iter().skip(number % 5).step_by(5).copied();
        let date = |index: usize| format!("Nov 22 13:{:02}:{:02} host x[1]: ", index / 60 % 60, index % 60);
        for (index, line) in own.chain(foreign).enumerate() {
            let block = blocks.last_mut().unwrap();
            for copy in 0..index % 4 {
                block.extend_from_slice(date(index + copy).as_bytes());
                block.extend_from_slice(b"nothing to see\n");
            }
            block.extend_from_slice(line);
            block.extend_from_slice(if index % 3 == 0 { b"\r\n" } else { b"\n" });
            if index % 17 == 0 {
                blocks.push(Vec::new());
            }
        }
        let clock = |number: usize| Clock {
            now: Timestamp::from_secs(1_124_013_600 + i64::try_from(number).unwrap() * 7),
            in_operation: number.is_multiple_of(3),
            findtime: 86_400 * 400,
        };
        let (more_lines, more_told) = compare(&filter, &blocks, clock, &format!("{} {}", run.name, run.options));
        lines += more_lines;
        told += more_told;
    }
    println!("{lines} lines judged both ways, {told} of them with a verdict");
    assert!(told > 1000);
}

#[test]
fn a_line_without_a_date_counts_by_the_lines_passed_over_before_it() {
    let settings = stockade_filter::FilterSettings {
        failregex: vec!["^bad <HOST>$".into()],
        ..stockade_filter::FilterSettings::default()
    };
    let filter = Filter::new(&settings, &jiff::tz::TimeZone::UTC).unwrap();
    let clock = |_| Clock {
        now: Timestamp::from_secs(1_795_305_900),
        in_operation: false,
        findtime: 600,
    };
    let blocks = [
        b"2026-11-22 00:04:00 a\n2026-11-22 00:04:07 b\n2026-11-22 00:04:30 c\nbad 192.0.2.1\n".to_vec(),
        b"2026-11-22 00:04:31 d\n2026-11-22 00:06:00 in the future\nbad 192.0.2.2\nno date\n2026-11-22 00:04:44 e\nbad 192.0.2.3\n".to_vec(),
        b"bad 192.0.2.4".to_vec(),
        b"\n\n".to_vec(),
        Vec::new(),
    ];
    let (_, told) = compare(&filter, &blocks, clock, "dateless");
    assert_eq!(told, 4);
}

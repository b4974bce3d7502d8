//! Filters that read a log together say what each alone says, and leave the same behind.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::ops::ControlFlow;

use stockade_core::Timestamp;
use stockade_filter::together::{self, Progress, Reader};
use stockade_filter::{Clock, Dating, Filter, Memory, Verdict};

/// What was said of a line.
type Said = (Vec<u8>, Verdict, Dating);

fn plain(line: &[u8], verdict: Verdict, memory: &Memory) -> Option<Said> {
    let told = !matches!(verdict, Verdict::Miss | Verdict::TooOld);
    told.then(|| (line.to_vec(), verdict, memory.dating()))
}

/// Lets filters read blocks, each alone and all together; how many lines were told, and how many filters went together.
fn compare(
    filters: &[&Filter],
    blocks: &[Vec<u8>],
    clock: impl Fn(usize, usize) -> Clock,
    name: &str,
) -> (usize, usize) {
    let mut alone: Vec<Memory> = filters.iter().map(|_| Memory::default()).collect();
    let mut shared: Vec<Memory> = filters.iter().map(|_| Memory::default()).collect();
    let (mut told, mut widest) = (0, 0);
    for (number, block) in blocks.iter().enumerate() {
        let mut expected: Vec<Vec<Said>> = Vec::new();
        for (place, (filter, memory)) in filters.iter().zip(&mut alone).enumerate() {
            let mut said = Vec::new();
            filter.scan(
                block,
                &mut 0,
                clock(number, place),
                memory,
                &mut |line, verdict, memory| {
                    said.extend(plain(line, verdict, memory));
                    ControlFlow::Continue(())
                },
            );
            expected.push(said);
        }
        let mut found: Vec<Vec<Said>> = filters.iter().map(|_| Vec::new()).collect();
        let readers = filters.iter().zip(&mut shared).enumerate();
        let readers = readers.map(|(place, (filter, memory))| {
            let clock = clock(number, place);
            (place, Reader { filter, clock, memory })
        });
        for group in together::groups(readers.collect(), |(_, reader)| reader) {
            let (places, mut readers): (Vec<usize>, Vec<Reader<'_>>) = group.into_iter().unzip();
            widest = widest.max(places.len());
            if let ([place], [reader]) = (&*places, &mut *readers) {
                let said = found.get_mut(*place).unwrap();
                let mut each = |line: &[u8], verdict, memory: &Memory| {
                    said.extend(plain(line, verdict, memory));
                    ControlFlow::Continue(())
                };
                reader
                    .filter
                    .scan(block, &mut 0, reader.clock, reader.memory, &mut each);
                continue;
            }
            let mut progress = Progress::default();
            together::scan(
                &mut readers,
                block,
                &mut progress,
                &mut |reader, line, verdict, memory| {
                    let place = *places.get(reader).unwrap();
                    found.get_mut(place).unwrap().extend(plain(line, verdict, memory));
                    ControlFlow::Continue(())
                },
            );
            assert_eq!(progress.at, block.len(), "{name}");
        }
        assert_eq!(found, expected, "{name}, block {number}");
        for ((filter, alone), shared) in filters.iter().zip(&alone).zip(&shared) {
            assert!(alone.has_dates_of(shared), "{name}, block {number}: dates");
            assert_eq!(
                filter.date_order(alone),
                filter.date_order(shared),
                "{name}, block {number}"
            );
        }
        told += expected.iter().map(Vec::len).sum::<usize>();
    }
    (told, widest)
}

/// Blocks of any length.
fn blocks<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut blocks = vec![Vec::new()];
    for (index, line) in lines.enumerate() {
        let block = blocks.last_mut().unwrap();
        block.extend_from_slice(line);
        block.extend_from_slice(if index % 3 == 0 { b"\r\n" } else { b"\n" });
        if index % 97 == 0 {
            blocks.push(Vec::new());
        }
    }
    blocks
}

fn clock(block: usize, reader: usize) -> Clock {
    Clock {
        now: Timestamp::from_secs(1_124_013_600 + i64::try_from(block).unwrap() * 7),
        in_operation: block.is_multiple_of(3),
        findtime: 86_400 * if reader.is_multiple_of(2) { 400 } else { 4000 },
    }
}

#[test]
fn the_jails_of_an_apache_log_read_it_together_as_each_alone() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let of_apache: Vec<_> = runs.iter().filter(|run| run.name.starts_with("apache-")).collect();
    let filters: Vec<Filter> = of_apache
        .iter()
        .map(|run| Filter::new(&run.settings, &zone).unwrap())
        .collect();
    let samples = of_apache
        .iter()
        .flat_map(|run| &run.lines)
        .map(|line| line.bytes.as_slice());
    let samples: Vec<&[u8]> = samples.collect();
    let access: Vec<Vec<u8>> = (0..400)
        .map(|number| {
            let (minute, second) = (number / 60, number % 60);
            format!("192.0.2.{} - - [14/Aug/2005:11:{minute:02}:{second:02} +0100] \"GET /{number} HTTP/1.1\" 200 5 \"-\" \"x\"", number % 250).into_bytes()
        })
        .collect();
    // Lines of the access log in a row, and samples between.
    let lines = (0..6000_usize).map(|number| match number % 7 {
        0 | 3 => samples[number * 31 % samples.len()],
        _ => access[number % access.len()].as_slice(),
    });
    let filters: Vec<&Filter> = filters.iter().collect();
    let (told, widest) = compare(&filters, &blocks(lines), clock, "apache");
    assert!(told > 500 && widest >= 8, "{told} told, {widest} together");
}

#[test]
fn stock_filters_of_all_kinds_read_a_mixed_log_together_as_each_alone() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let filters: Vec<Filter> = runs
        .iter()
        .map(|run| Filter::new(&run.settings, &zone).unwrap())
        .collect();
    let (mut told, mut widest) = (0, 0);
    for round in 0..12_usize {
        let chosen: Vec<usize> = (0..9)
            .map(|number| (round * 37 + number * (round + 5)) % runs.len())
            .collect();
        let own = chosen.iter().filter_map(|place| runs.get(*place));
        let own: Vec<&[u8]> = own
            .flat_map(|run| &run.lines)
            .map(|line| line.bytes.as_slice())
            .collect();
        let dull: Vec<Vec<u8>> = (0..50)
            .map(|number| format!("Aug 14 11:{:02}:{:02} host x[1]: nothing to see", number / 9, number).into_bytes())
            .collect();
        let lines = (0..1500_usize).map(|number| match number / 5 % 3 {
            0 => dull[number % dull.len()].as_slice(),
            1 => own[number * 7 % own.len()],
            _ => own[(number / 2) % own.len()],
        });
        let of_round: Vec<&Filter> = chosen.iter().filter_map(|place| filters.get(*place)).collect();
        let outcome = compare(&of_round, &blocks(lines), clock, &format!("round {round}"));
        told += outcome.0;
        widest = widest.max(outcome.1);
    }
    assert!(told > 1000 && widest > 3, "{told} told, {widest} together");
}

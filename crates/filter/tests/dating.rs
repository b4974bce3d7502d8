//! The short ways to the date of a line find what trying template after template finds: in the samples of all stock filters, in
//! runs of lines of the same format with other times, at other places and damaged.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod common;
mod numbers;

use numbers::Numbers;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory};

/// The line with other digits, moved, cut off, or with something else behind its date.
fn changed(line: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut line = line.to_vec();
    let place = usize::try_from(numbers.below(line.len().max(1) as u64)).unwrap();
    match numbers.below(12) {
        0 => line.truncate(place),
        1 => drop(line.drain(..place.min(20))),
        2 => drop(line.splice(0..0, *b"host ")),
        3 => drop(line.splice(0..0, *b"server1 ")),
        4 => drop(line.splice(0..0, *b"1.2.3.4 - - [")),
        5 if !line.is_empty() => line[place] = b" :,.+-_]Z20xU"[usize::try_from(numbers.below(13)).unwrap()],
        6 => drop(line.splice(place..place, *b" Nov 22 13:40:04 ")),
        _ => {
            // As a later line of the same log: a colon between digits is one of a time.
            let clocks: Vec<usize> = (1..line.len().saturating_sub(2))
                .filter(|at| line[*at] == b':' && line[at - 1].is_ascii_digit() && line[at + 1].is_ascii_digit())
                .collect();
            for at in clocks {
                if line[at + 2].is_ascii_digit() {
                    line[at + 1] = b'0' + u8::try_from(numbers.below(6)).unwrap();
                    line[at + 2] = b'0' + u8::try_from(numbers.below(10)).unwrap();
                }
            }
        }
    }
    line
}

#[test]
fn the_short_ways_date_the_samples_of_all_stock_filters_as_the_search_does() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let all: Vec<&[u8]> = runs
        .iter()
        .flat_map(|run| &run.lines)
        .map(|line| line.bytes.as_slice())
        .collect();
    let mut settings: Vec<(FilterSettings, Vec<&[u8]>)> = Vec::new();
    for run in &runs {
        let own = run.lines.iter().map(|line| line.bytes.as_slice());
        match settings
            .iter_mut()
            .find(|(known, _)| known.datepattern == run.settings.datepattern)
        {
            Some((_, lines)) => lines.extend(own),
            None => settings.push((run.settings.clone(), own.collect())),
        }
    }
    let (mut lines, mut dated) = (0_u32, 0_u32);
    for (number, (settings, own)) in settings.iter().enumerate() {
        let filter = Filter::new(settings, &zone).unwrap();
        let mut numbers = Numbers(u64::try_from(number).unwrap());
        let (mut short, mut plain) = (Memory::default(), Memory::default());
        let foreign = all.iter().copied().skip(number % 11).step_by(11);
        for line in own.iter().copied().chain(foreign) {
            for round in 0..6 {
                let line = if round < 2 {
                    line.to_vec()
                } else {
                    changed(line, &mut numbers)
                };
                lines += 1;
                let clock = Clock {
                    now: Timestamp::from_secs(1_124_013_600 + i64::from(lines) * 11),
                    in_operation: true,
                    findtime: 600,
                };
                let expected = filter.date(&line, clock, &mut plain, true);
                let found = filter.date(&line, clock, &mut short, false);
                let shown = String::from_utf8_lossy(&line);
                assert_eq!(found, expected, "{:?}: {shown}", settings.datepattern);
                assert_eq!(filter.date_order(&short), filter.date_order(&plain), "{shown}");
                dated += u32::from(found.is_some());
            }
        }
    }
    println!(
        "{lines} lines dated both ways by {} settings, {dated} of them with a date",
        settings.len()
    );
    assert!(dated > 10_000);
}

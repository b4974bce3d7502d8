//! Nothing is allocated per line: not for lines that are passed over, not for lines that are looked at and match nothing.
//!
//! Counted for this thread, after a warm-up in which buffers grow and literals are chosen. In a binary of its own, as
//! counting replaces the allocator.

#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "writes logs to be read"
)]

mod common;
#[path = "../../../bench/parts/src/corpus.rs"]
#[expect(
    unreachable_pub,
    clippy::pedantic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "shared with the measurements, a crate of its own"
)]
mod corpus;

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use corpus::Service;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory, Verdict, together};
use stockade_source::{Backend, Event, Start, Watcher};

const CLOCK: Clock = Clock {
    now: Timestamp::from_secs(corpus::END + 60),
    in_operation: false,
    findtime: 10 * 86_400,
};
/// Lines in the warm-up: past the first choices of literals, which then are not made anew for a megabyte or more.
const WARM: usize = 8_000;
const LINES: usize = 3_000;

/// Stock filters, each with a log of its service.
fn subjects() -> Option<Vec<(Service, FilterSettings)>> {
    let runs = common::runs()?;
    let services = [
        Service::Sshd,
        Service::Asterisk,
        Service::NginxAccess,
        Service::NginxError,
        Service::Postfix,
    ];
    let of = |service: Service| {
        let run = runs
            .iter()
            .find(|run| run.name == service.filter() && !run.options.contains("journal"));
        (service, run.unwrap().settings.clone())
    };
    Some(services.map(of).into())
}

fn compile(settings: &FilterSettings) -> Filter {
    Filter::new(settings, &jiff::tz::TimeZone::UTC).unwrap()
}

/// A log of lines none of which any rule matches: what is left of it, and failures whose address is broken.
fn missing(service: Service, filter: &Filter, lines: usize) -> Vec<u8> {
    let log = corpus::log(service, 2 * lines, 30);
    let mut memory = Memory::default();
    let mut misses = Vec::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line).replace("198.18.", "!!.");
        // Lines that only add to a session match too.
        let verdict = filter.judge_plain(line.trim_end().as_bytes(), CLOCK, &mut memory);
        if verdict == Verdict::Miss {
            misses.push(line);
        }
    }
    assert!(misses.len() > lines / 4, "{service:?}");
    let lines = misses.iter().cycle().take(lines);
    lines.flat_map(|line| line.bytes()).collect()
}

/// A log in small blocks of whole lines, so that literals are chosen as often as they would be.
fn blocks(log: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = log;
    std::iter::from_fn(move || {
        let reach = rest.get(..50_000).unwrap_or(rest);
        let end = memchr::memrchr(b'\n', reach).map(|end| end + 1)?;
        let (block, after) = rest.split_at(end);
        rest = after;
        Some(block)
    })
}

/// Scans a block: how many lines were looked at.
fn scan(filter: &Filter, block: &[u8], memory: &mut Memory) -> usize {
    let mut looked_at = 0;
    filter.scan(block, &mut 0, CLOCK, memory, &mut |_, verdict, _| {
        assert_eq!(verdict, Verdict::Miss);
        looked_at += 1;
        ControlFlow::Continue(())
    });
    looked_at
}

#[test]
fn a_line_that_matches_nothing_allocates_nothing() {
    let Some(subjects) = subjects() else { return };
    for (service, settings) in subjects {
        let filter = compile(&settings);
        let log = missing(service, &filter, LINES);
        let mut memory = Memory::default();
        for block in blocks(&missing(service, &filter, WARM)) {
            scan(&filter, block, &mut memory);
        }
        // Buffers grow to the longest line.
        scan(&filter, &log, &mut memory);
        let mut looked_at = 0;
        let scanned = allocation_counter::measure(|| looked_at = scan(&filter, &log, &mut memory));
        // Line by line, with every line looked at.
        let mut lines = || {
            for line in log.split(|byte| *byte == b'\n') {
                assert_eq!(filter.judge_plain(line, CLOCK, &mut memory), Verdict::Miss);
            }
        };
        // What kinds of lines there are is learned, each time after a longer wait.
        (0..8).for_each(|_| lines());
        let judged = allocation_counter::measure(lines);
        if service == Service::Sshd {
            assert!(
                looked_at > LINES / 10,
                "candidates that match nothing have to be among the lines"
            );
        }
        println!(
            "{service:?}: {looked_at} of {LINES} lines looked at, {} allocations; {} when all are",
            scanned.count_total, judged.count_total
        );
        assert_eq!((scanned.count_total, judged.count_total), (0, 0), "{service:?}");
    }
}

#[test]
fn filters_that_read_a_log_together_allocate_per_block_and_not_per_line() {
    let Some(subjects) = subjects() else { return };
    let filters: Vec<Filter> = subjects.iter().map(|(_, settings)| compile(settings)).collect();
    for (service, settings) in &subjects {
        let own = compile(settings);
        let [warm, once, twice] = [WARM, LINES, 2 * LINES].map(|lines| missing(*service, &own, lines));
        let mut memories: Vec<Memory> = filters.iter().map(|_| Memory::default()).collect();
        let mut count = |block: &[u8]| {
            let readers: Vec<together::Reader<'_>> = filters
                .iter()
                .zip(&mut memories)
                .map(|(filter, memory)| together::Reader {
                    filter,
                    clock: CLOCK,
                    memory,
                })
                .collect();
            let mut allocations = 0;
            for mut group in together::groups(readers, |reader| reader) {
                let mut progress = together::Progress::default();
                let counted = allocation_counter::measure(|| {
                    together::scan(&mut group, block, &mut progress, &mut |_, _, verdict, _| {
                        assert_eq!(verdict, Verdict::Miss);
                        ControlFlow::Continue(())
                    });
                });
                allocations += counted.count_total;
            }
            allocations
        };
        for block in blocks(&warm) {
            count(block);
        }
        let (once, twice) = (count(&once), count(&twice));
        println!("{service:?}: {once} allocations for a block of {LINES} lines, {twice} for twice as many");
        assert_eq!(once, twice, "{service:?}");
    }
}

#[test]
fn from_the_file_to_the_verdict_what_is_allocated_does_not_grow_with_the_lines() {
    let Some(subjects) = subjects() else { return };
    for (service, settings) in subjects {
        let filter = compile(&settings);
        let path = std::env::temp_dir().join(format!("stockade-allocations-{service:?}-{}.log", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        let mut watcher = Watcher::new(Backend::Polling).unwrap();
        watcher.set_poll_interval(Duration::from_millis(1));
        watcher.add(&path, Start::Head);
        let mut memory = Memory::default();
        let mut read_all = |lines: usize| {
            let log = missing(service, &filter, lines);
            file.write_all(&log).unwrap();
            let (mut read, mut blocks) = (0, 0_u64);
            let counted = allocation_counter::measure(|| {
                while read < log.len() {
                    watcher
                        .wait(Some(Duration::from_secs(5)), &mut |event| {
                            if let Event::Lines { block, .. } = event {
                                let (block, _) = filter.decode(block, &mut memory);
                                scan(&filter, &block, &mut memory);
                                read += block.len();
                                blocks += 1;
                            }
                        })
                        .unwrap();
                }
            });
            (counted.count_total, blocks)
        };
        for _ in 0..3 {
            read_all(WARM / 3);
        }
        let (once, twice) = (read_all(LINES), read_all(2 * LINES));
        println!("{service:?}: (allocations, blocks) for {LINES} lines {once:?}, for twice as many {twice:?}");
        // Some for each block: its event, the place in the file.
        for (allocations, blocks) in [once, twice] {
            assert!(
                allocations <= 40 * blocks,
                "{service:?}: {allocations} in {blocks} blocks"
            );
        }
        std::fs::remove_file(&path).unwrap();
    }
}

//! Lines per processor second through `Filter::scan`, and what compiling the stock rules costs: a table on standard output.
//!
//! `cargo run --release [SECONDS [NAME]]`: processor time is that of this process, the best of as many rounds as fit in
//! SECONDS (1) per row. `lines --files FILTER LOG...` measures logs instead of made-up lines. For a comparison of two
//! versions run both programs in turns, several times: the machine's mood is larger than most differences.

use std::ops::ControlFlow;
use std::{env, fs};

use rustix::time::{ClockId, clock_gettime};
use stockade_bench_parts::corpus::{self, Service};
use stockade_bench_parts::filters;
use stockade_filter::{Filter, Memory, Verdict};

/// Lines per made-up log.
const LINES: usize = 100_000;
/// A block as the daemon reads them.
const BLOCK: usize = 1 << 20;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, filter, logs @ ..] = arguments.as_slice()
        && first == "--files"
    {
        head();
        for log in logs {
            let bytes = fs::read(log).expect("the log can be read");
            row(log, &filters::filter(filter), &bytes, 2.0);
        }
        return;
    }
    let seconds = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let wanted = arguments.get(1).cloned().unwrap_or_default();
    head();
    for service in [
        Service::Sshd,
        Service::Asterisk,
        Service::NginxAccess,
        Service::NginxError,
        Service::Postfix,
    ] {
        for percent in [1, 20, 90] {
            let name = format!("{service:?} {percent} %").to_lowercase();
            if name.contains(&wanted) {
                let bytes = corpus::log(service, LINES, percent);
                row(&name, &filters::filter(service.filter()), &bytes, seconds);
            }
        }
    }
    if "compile".contains(&wanted) {
        compile();
    }
}

fn head() {
    println!(
        "{:<28} {:>14} {:>9} {:>8} {:>9} {:>9}",
        "log", "lines/s", "ns/line", "GB/s", "looked at", "matches"
    );
}

/// Seconds of processor time this process has used.
fn used() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn row(name: &str, filter: &Filter, log: &[u8], seconds: f64) {
    let lines = log.iter().filter(|byte| **byte == b'\n').count();
    let (mut best, mut seen) = (f64::MAX, (0, 0));
    let begin = used();
    while used() - begin < seconds {
        let start = used();
        seen = scan(filter, log);
        best = best.min(used() - start);
    }
    let per_second = lines as f64 / best;
    println!(
        "{name:<28} {per_second:>14.0} {:>9.1} {:>8.2} {:>9} {:>9}",
        1e9 / per_second,
        log.len() as f64 / best / 1e9,
        seen.0,
        seen.1
    );
}

/// Reads a log in blocks of whole lines: how many were looked at, how many matched.
fn scan(filter: &Filter, log: &[u8]) -> (usize, usize) {
    let mut memory = Memory::default();
    let (mut looked_at, mut matches) = (0, 0);
    let mut rest = log;
    while !rest.is_empty() {
        let end = rest
            .get(..BLOCK)
            .and_then(|block| block.iter().rposition(|byte| *byte == b'\n'));
        let (block, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        filter.scan(block, &mut 0, filters::CLOCK, &mut memory, &mut |_, verdict, _| {
            looked_at += 1;
            matches += usize::from(matches!(verdict, Verdict::Match(_)));
            ControlFlow::Continue(())
        });
        rest = after;
    }
    (looked_at, matches)
}

fn compile() {
    let names = filters::stock_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut costs: Vec<(f64, &str, usize)> = Vec::new();
    for name in names {
        let Ok(settings) = filters::settings(&[name]) else {
            continue;
        };
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = used();
            drop(filters::compile(&settings[0]));
            best = best.min(used() - start);
        }
        costs.push((best * 1e3, name, settings[0].failregex.len()));
    }
    let all: f64 = costs.iter().map(|(cost, ..)| cost).sum();
    println!(
        "\ncompiling {} stock filters: {all:.1} ms, of 30 in the mean {:.1} ms; the dearest:",
        costs.len(),
        all * 30.0 / costs.len() as f64
    );
    costs.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (cost, name, rules) in costs.iter().take(12) {
        println!("  {cost:>7.2} ms {name} ({rules} rules)");
    }
}

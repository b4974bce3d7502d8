//! Time of the parts of matching: `cargo bench` in this directory; `cargo bench -- scan` for some of them.

use std::hint::black_box;
use std::ops::ControlFlow;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use stockade_bench_parts::corpus::{self, Service};
use stockade_bench_parts::filters;
use stockade_filter::Memory;
use stockade_regex::{Flags, Regex, Scratch};

const LINES: usize = 20_000;

fn main() {
    divan::main();
}

/// A log through the gate and the rules.
#[divan::bench(args = [
    (Service::Sshd, 1), (Service::Sshd, 20), (Service::Sshd, 90),
    (Service::Asterisk, 1), (Service::Asterisk, 20), (Service::Asterisk, 90),
    (Service::NginxAccess, 1), (Service::NginxError, 1), (Service::Postfix, 1),
])]
fn scan(bencher: Bencher, (service, percent): (Service, u64)) {
    let (filter, log) = (filters::filter(service.filter()), corpus::log(service, LINES, percent));
    bencher
        .counter(ItemsCount::new(LINES))
        .counter(BytesCount::new(log.len()))
        .with_inputs(Memory::default)
        .bench_local_refs(|memory| {
            filter.scan(&log, &mut 0, filters::CLOCK, memory, &mut |_, verdict, _| {
                black_box(verdict);
                ControlFlow::Continue(())
            });
        });
}

/// Reading dates: lines of which all that is wanted is the time.
#[divan::bench(args = [Service::Sshd, Service::Asterisk, Service::NginxAccess, Service::NginxError])]
fn dates(bencher: Bencher, service: Service) {
    let settings = stockade_filter::FilterSettings {
        failregex: vec!["^no line begins so <HOST>$".into()],
        datepattern: filters::settings(&[service.filter()]).expect("rules")[0]
            .datepattern
            .clone(),
        ..stockade_filter::FilterSettings::default()
    };
    let (filter, log) = (filters::compile(&settings), corpus::log(service, LINES, 1));
    bencher
        .counter(ItemsCount::new(LINES))
        .with_inputs(Memory::default)
        .bench_local_refs(|memory| {
            for line in log.split(|byte| *byte == b'\n') {
                black_box(filter.judge_plain(line, filters::CLOCK, memory));
            }
        });
}

/// One pattern on one line: a match, a miss at the first byte, a miss after some way.
#[divan::bench(args = [
    "Failed password for invalid user bob from 192.0.2.7 port 4242 ssh2",
    "session opened for user alice(uid=1000) by (uid=0)",
    "Failed password for invalid user bob from somewhere port 4242 ssh2",
])]
fn regex(bencher: Bencher, line: &str) {
    let rules = filters::settings(&["sshd"]).expect("rules").remove(0);
    let filter = filters::compile(&rules);
    let pattern = filter
        .failregex()
        .iter()
        .find(|rule| rule.contains("ailed "))
        .expect("sshd has such a rule")
        .clone();
    let regex = Regex::new(&pattern, Flags::default()).expect("it compiles");
    let mut scratch = Scratch::default();
    bencher.bench_local(|| regex.search(black_box(line), &mut scratch));
}

/// Compiling the rules of a jail.
#[divan::bench(args = ["sshd", "asterisk", "postfix", "nginx-botsearch"])]
fn compile(bencher: Bencher, name: &str) {
    let settings = filters::settings(&[name]).expect("rules").remove(0);
    bencher.bench_local(|| filters::compile(&settings));
}

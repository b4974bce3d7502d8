//! The short way through a file prints what the long way prints.

use std::path::Path;
use std::time::Duration;

use testkit::TempDir;

use super::input::Input;
use super::options::{self, Request};
use super::scan::Tally;
use super::{report, rules};

/// The report, and whether the short way was taken.
fn printed(words: &[&str], plain: bool) -> (String, bool) {
    let Ok(Request::Test(options)) = options::parse(words.iter().map(Into::into).collect()) else {
        panic!("{words:?} is a command line");
    };
    let rules = rules::read(&options, &mut String::new()).unwrap();
    let input = Input::open(&options, &rules).unwrap();
    let mut tally = Tally::new(&rules, &options);
    tally.plain = plain;
    let short = tally.is_survey(&input);
    tally.read(input).unwrap();
    let mut out = Vec::new();
    report::write(&tally, &rules, &options, false, Duration::ZERO, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), short)
}

/// A line, and what becomes of it in transit.
fn damaged(line: &[u8], seed: usize) -> Vec<u8> {
    let at = seed * 7919 % (line.len() + 1);
    let mut copy = line.to_vec();
    match seed % 7 {
        0 => copy.truncate(at),
        1 => drop(copy.splice(at..at, *b"\xff")),
        2 => drop(copy.splice(at..at, *b"\n")),
        3 => drop(copy.splice(0..0, *b"#")),
        4 => copy.push(b'\r'),
        5 => drop(copy.splice(at..at, *b"2026-11-22 13:40:04 ")),
        _ => drop(copy.drain(..at)),
    }
    copy
}

#[test]
fn the_short_way_prints_what_the_long_way_prints_for_all_stock_filters() {
    let files = testkit::package_files("fail2ban");
    let is_sample = |file: &Path| file.to_string_lossy().contains("/files/logs/") && file.is_file();
    let samples: Vec<_> = files.iter().filter(|file| is_sample(file)).collect();
    if samples.is_empty() {
        testkit::skip("needs the sample logs of the package fail2ban");
        return;
    }
    let text = |file: &Path| std::fs::read(file).unwrap();
    let all: Vec<Vec<u8>> = samples
        .iter()
        .flat_map(|file| {
            text(file)
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect();
    let dir = TempDir::new("regex-short-way");
    let log = dir.join("t.log");
    let (mut compared, mut hits) = (0, 0);
    for (number, sample) in samples.iter().enumerate() {
        let name = sample.file_name().unwrap().to_str().unwrap();
        let filter = format!("filter.d/{name}");
        if !Path::new(&format!("/etc/fail2ban/{filter}.conf")).is_file() {
            continue;
        }
        let own = text(sample);
        let own = own.split(|byte| *byte == b'\n');
        let foreign = all.iter().map(Vec::as_slice).skip(number % 37).step_by(37);
        let mut lines = Vec::new();
        for (seed, line) in own.chain(foreign).enumerate() {
            for copy in [line, &damaged(line, seed + number), line] {
                lines.extend_from_slice(copy);
                lines.push(b'\n');
            }
        }
        std::fs::write(&log, lines).unwrap();
        let log = log.to_str().unwrap();
        let all = ["--print-all-matched", "--print-all-missed", "--print-all-ignored"];
        for more in [&[][..], &all, &["--no-check-all", "-d", "^%b %d %H:%M:%S"]] {
            let words = [more, &[log, &filter]].concat();
            let ((short, taken), (long, _)) = (printed(&words, false), printed(&words, true));
            assert_eq!(short, long, "{words:?}");
            compared += usize::from(taken);
            hits += usize::from(!short.contains(" 0 matched, "));
        }
    }
    println!("{compared} reports compared, {hits} with matches");
    assert!(compared > 50 && hits > 50, "{compared} {hits}");
}

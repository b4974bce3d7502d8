//! Numbers that are too large and configurations that are: bounded time and memory, and a reason.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stockade_config::{Config, Overrides, load};

use crate::common::{self, Directory};

const PLAIN: &str = "[DEFAULT]\nenabled = true\nfilter =\naction =\nlogpath = /dev/null\n";

fn read(text: &str) -> Config {
    let directory = Directory::new();
    directory.write("jail.conf", text);
    let start = Instant::now();
    let config = load(directory.path(), &Overrides::default());
    assert!(start.elapsed() < Duration::from_secs(40), "took {:?}", start.elapsed());
    config
}

/// Writes to a text, which cannot fail.
fn repeated(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = write!(text, "{}", piece(number));
        text
    })
}

#[test]
fn numbers_out_of_range_leave_their_jail_out_with_the_place() {
    let numbers = [
        "9223372036854775808",
        "1e999",
        "-99999999999999999999",
        "1/0",
        "99999999999999w",
        "0x10",
    ];
    for value in numbers {
        for option in ["bantime", "findtime", "bantime.maxtime", "maxretry", "maxmatches"] {
            let config = read(&format!("{PLAIN}[good]\n[bad]\n{option} = {value}\n"));
            let outcome: Vec<_> = config.jails.iter().map(|jail| jail.problem.is_some()).collect();
            assert_eq!(outcome, [false, true], "{option} = {value}");
            let told = config.diagnostics.iter().any(|finding| {
                let place = finding.place.as_ref();
                place.is_some_and(|place| place.line == 8)
                    && finding.what.contains(value)
                    && !finding.why.is_empty()
                    && !finding.mend.is_empty()
            });
            assert!(told, "{option} = {value}: {:#?}", config.diagnostics);
        }
    }
}

#[test]
fn numbers_within_range_are_sent_as_fail2ban_sends_them() {
    if !common::fail2ban_is_here() {
        return;
    }
    for (option, value) in [
        ("maxretry", "9223372036854775807"),
        ("maxretry", "-0"),
        ("maxretry", "-3"),
        ("maxretry", "1_000"),
        ("maxmatches", "+5"),
        ("bantime", "9223372036854775807"),
        ("bantime", "-1.5"),
        ("findtime", "0"),
        ("findtime", "1h30-2m"),
    ] {
        let directory = Directory::new();
        directory.write("jail.conf", format!("{PLAIN}[good]\n{option} = {value}\n"));
        let wanted = format!("['set', 'good', '{option}', ");
        let of = |lines: Vec<String>| lines.into_iter().find(|line| line.starts_with(&wanted)).unwrap();
        let theirs = of(common::theirs(directory.path()).unwrap());
        assert_eq!(of(common::ours(directory.path())), theirs, "{option} = {value}");
    }
}

#[test]
fn ten_values_within_one_another_are_as_many_as_fail2ban_allows() {
    for (depth, allowed) in [(9, true), (10, false), (11, false)] {
        let chain = repeated(depth, |number| format!("v{number} = %(v{})s\n", number + 1));
        let text = format!("{PLAIN}[good]\n[deep]\nusedns = %(v0)s\n{chain}v{depth} = no\n");
        let directory = Directory::new();
        directory.write("jail.conf", &text);
        let config = load(directory.path(), &Overrides::default());
        let deep = config.jails.iter().find(|jail| jail.name == "deep").unwrap();
        assert_eq!(deep.problem.is_none(), allowed, "{depth}: {:?}", deep.problem);
        if common::fail2ban_is_here() {
            assert_eq!(common::theirs(directory.path()).is_some(), allowed, "{depth}");
        }
    }
}

#[test]
fn a_hundred_thousand_sections_and_a_line_of_four_megabytes_are_read() {
    let config = read(&format!(
        "{PLAIN}[good]\n{}",
        repeated(100_000, |number| format!("[s{number}]\nenabled = no\n"))
    ));
    assert_eq!((config.jails.len(), config.disabled.len()), (1, 100_000));

    let long = "192.0.2.1 ".repeat(410_000);
    let config = read(&format!("{PLAIN}[good]\nignoreip = {long}\n"));
    assert!(
        config.jails.iter().all(|jail| jail.problem.is_none()),
        "{:#?}",
        config.diagnostics
    );

    for text in [
        format!("{PLAIN}[{}]\n[good]\n", "x".repeat(4_000_000)),
        format!("{PLAIN}[good]\n{} = 1\n", "x".repeat(4_000_000)),
        format!("{PLAIN}[good]\n{}\n", "x".repeat(4_000_000)),
        format!("{PLAIN}[good]\n{}", "x\n".repeat(2_000_000)),
        format!(
            "{PLAIN}[good]\n[other]\naction = a[{}]\n",
            repeated(50_000, |number| format!("o{number}=1,"))
        ),
        format!(
            "{PLAIN}[good]\n{}",
            repeated(100_000, |number| format!("o{number}=1\n")).repeat(2)
        ),
    ] {
        let config = read(&text);
        assert!(
            config
                .jails
                .iter()
                .any(|jail| jail.name == "good" && jail.problem.is_none())
        );
        assert!(config.diagnostics.len() < 60);
    }
}

#[test]
fn ten_thousand_jails_are_read() {
    let config = read(&format!(
        "{PLAIN}maxretry = 3\n{}",
        repeated(10_000, |number| format!("[jail{number}]\n"))
    ));
    assert_eq!(
        config.jails.iter().filter(|jail| jail.problem.is_none()).count(),
        10_000
    );
}

#[test]
fn a_value_of_a_million_lines_in_thousands_of_jails_is_not_kept_for_each() {
    let lines = " a\n".repeat(1_000_000);
    let config = read(&format!(
        "{PLAIN}failregex =\n{lines}{}",
        repeated(2_000, |number| format!("[jail{number}]\n"))
    ));
    assert!(config.jails.len() < 20, "{} jails hold their lines", config.jails.len());
    let told = config
        .diagnostics
        .iter()
        .filter(|finding| finding.what.contains("too large"));
    assert!(told.count() > 0, "{:#?}", config.diagnostics);
    assert!(!config.unreadable.is_empty(), "a server that runs is left as it is");

    // A message about a value does not hold all of it either.
    let config = read(&format!(
        "{PLAIN}bantime = {}\n{}",
        "a ".repeat(500_000),
        repeated(50, |number| format!("[j{number}]\n"))
    ));
    for finding in &config.diagnostics {
        assert!(finding.what.len() + finding.why.len() + finding.mend.len() < 10_000);
        assert!(finding.about.as_ref().is_none_or(|about| about.text.len() < 10_000));
    }
}

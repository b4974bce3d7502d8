//! Fail2Ban's annotated sample logs, read from the installed package by `upstream_samples.py`.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses a part of this")]
#![expect(unreachable_pub, reason = "a module of tests")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![expect(
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "asks the installed package, and says what it left out"
)]

use std::process::Command;

use jiff::tz::TimeZone;
use stockade_filter::{FilterSettings, UseDns};

/// A filter with one set of options, and the lines it is tried on.
pub struct Run {
    pub name: String,
    pub options: String,
    pub settings: FilterSettings,
    pub lines: Vec<Line>,
}

/// A sample line and what is expected of it.
pub struct Line {
    pub place: String,
    pub bytes: Vec<u8>,
    pub matches: bool,
    pub time: Option<i64>,
    pub host: String,
    pub attempts: usize,
    pub fields: Vec<(String, String)>,
}

fn unhex(text: &str) -> Vec<u8> {
    if text == "-" {
        return Vec::new();
    }
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

fn text(hex: &str) -> String {
    String::from_utf8(unhex(hex)).unwrap()
}

/// All runs; `None`, with the reason printed, if this machine lacks what is needed.
pub fn runs() -> Option<Vec<Run>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upstream_samples.py");
    let output = match Command::new("python3").arg(script).output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: python3 cannot be run ({error})");
            return None;
        }
    };
    let records = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() || !records.starts_with("F\t") {
        let why = String::from_utf8_lossy(&output.stderr);
        println!(
            "skipped: no sample logs of an installed fail2ban package ({})",
            why.lines().last().unwrap_or("none")
        );
        return None;
    }
    let mut runs: Vec<Run> = Vec::new();
    for record in records.lines() {
        let parts: Vec<&str> = record.split('\t').collect();
        match parts[0] {
            "F" => runs.push(Run {
                name: parts[1].into(),
                options: text(parts[2]),
                settings: FilterSettings {
                    usedns: UseDns::Raw,
                    maxlines: parts[3].parse().unwrap(),
                    prefregex: Some(text(parts[4])).filter(|rule| !rule.is_empty()),
                    datepattern: Some(text(parts[5])).filter(|pattern| !pattern.is_empty()),
                    ..FilterSettings::default()
                },
                lines: Vec::new(),
            }),
            "R" => runs.last_mut().unwrap().settings.failregex.push(text(parts[1])),
            "I" => runs.last_mut().unwrap().settings.ignoreregex.push(text(parts[1])),
            "L" => runs.last_mut().unwrap().lines.push(Line {
                place: format!("{}:{}", parts[1], parts[2]),
                bytes: unhex(parts[3]),
                matches: parts[4] == "1",
                time: parts[5].parse().ok(),
                host: text(parts[6]),
                attempts: parts[7].parse().unwrap(),
                fields: parts[8]
                    .split(',')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(key, value)| (key.to_owned(), text(value)))
                    .collect(),
            }),
            other => println!("left out: {other} {}", parts.get(1).unwrap_or(&"")),
        }
    }
    Some(runs)
}

/// The zone the annotations are in; `None`, with the reason printed, if this machine does not know it.
pub fn zurich() -> Option<TimeZone> {
    let zone = TimeZone::get("Europe/Zurich").ok();
    if zone.is_none() {
        println!("skipped: no time zone database (package tzdata)");
    }
    zone
}

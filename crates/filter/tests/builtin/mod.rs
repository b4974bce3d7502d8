//! A built-in filter as a jail would use it, and tables of lines to try it on.

#![allow(dead_code, clippy::allow_attributes, reason = "each test uses a part of this")]
#![expect(unreachable_pub, reason = "a module of tests")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]
#![expect(clippy::disallowed_methods, reason = "reads the tables beside the repository")]

use jiff::tz::TimeZone;
use stockade_config::{Overrides, Value};
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Match, Memory, UseDns, Verdict, Who};
use testkit::TempDir;

/// 2026-11-22 15:00 UTC, shortly after the recorded and tabled lines.
const NOW: Clock = Clock {
    now: Timestamp::from_secs(1_795_359_600),
    in_operation: false,
    findtime: 90 * 86_400,
};

/// The built-in filter `name` with one option set, read by way of a jail.
pub fn filter(name: &str, option: &str, value: &str) -> Filter {
    let directory = TempDir::new("builtin-filter");
    directory.write(
        "jail.local",
        format!(
            "[under-test]\nenabled = true\nfilter = {name}[{option}={value}]\nlogpath = /dev/null\nbackend = polling\n"
        ),
    );
    let config = stockade_config::load(directory.path(), &Overrides::default());
    let jail = config.jails.iter().find(|jail| jail.name == "under-test").unwrap();
    assert_eq!(jail.problem, None);
    let text = |option: &str| {
        let setting = jail.settings.iter().find(|setting| setting.option == option);
        setting.and_then(|setting| match &setting.value {
            Value::Text(text) => Some(text.clone()),
            Value::Lines(lines) => Some(
                lines
                    .iter()
                    .map(|line| line.text.as_str())
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            _ => None,
        })
    };
    let rules = |option: &str| jail.lines(option).map(|line| line.text.clone()).collect();
    let settings = FilterSettings {
        usedns: UseDns::No,
        prefregex: text("prefregex"),
        failregex: rules("addfailregex"),
        ignoreregex: rules("addignoreregex"),
        datepattern: text("datepattern"),
        maxlines: 1,
        ..FilterSettings::default()
    };
    assert!(!settings.failregex.is_empty(), "{:?}", jail.settings);
    Filter::new(&settings, &TimeZone::UTC).unwrap()
}

/// The failure that a line makes.
pub fn failure(filter: &Filter, line: &[u8], memory: &mut Memory) -> Option<Match> {
    match filter.judge(line, NOW, memory) {
        Verdict::Match(found) => Some(found),
        Verdict::Miss | Verdict::Ignored => None,
        other => panic!("{other:?} for {}", String::from_utf8_lossy(line)),
    }
}

/// Whom a failure names.
pub fn name(found: &Match) -> String {
    match &found.who {
        Who::Id(id) => id.to_string(),
        Who::Name(name) => name.to_string(),
    }
}

/// A row of a table: the option's values with which the line makes a failure, of whom, and the line.
pub struct Row {
    pub values: Vec<String>,
    pub address: String,
    pub line: String,
}

/// `testdata/filters/NAME.tsv`.
pub fn table(name: &str) -> Vec<Row> {
    let path = format!("{}/../../testdata/filters/{name}.tsv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| {
        let mut cells = row.splitn(3, '\t').map(str::to_owned);
        let values = cells.next().unwrap();
        Row {
            values: values.split(' ').map(str::to_owned).collect(),
            address: cells.next().unwrap(),
            line: cells.next().unwrap(),
        }
    })
    .collect()
}

/// Every row of the table against the filter with each value of the option; the rows that differ.
pub fn differences(name: &str, option: &str, values: &[&str]) -> Vec<String> {
    let rows = table(name);
    let mut differences = Vec::new();
    for value in values {
        let filter = filter(name, option, value);
        let mut memory = Memory::default();
        for row in &rows {
            let expected = row
                .values
                .iter()
                .any(|listed| listed == value)
                .then(|| row.address.clone());
            let found = failure(&filter, row.line.as_bytes(), &mut memory).map(|found| self::name(&found));
            if found != expected {
                differences.push(format!("{value}: expected {expected:?}, found {found:?}: {}", row.line));
            }
        }
    }
    differences
}

//! Filters of `config/filter.d` as a jail would use them.

#![expect(unreachable_pub, reason = "a module of tests")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use stockade_config::{JailConfig, Overrides, Value};
use stockade_filter::{Filter, FilterSettings, Match, UseDns, Who};
use testkit::TempDir;

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR")))
}

/// The names of the filters in `config/filter.d` that are no parts of others.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(repository("config/filter.d")).unwrap();
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".conf")?.to_owned()))
        .filter(|name| !name.ends_with("common"))
        .collect();
    names.sort();
    names
}

/// The settings of filters with options, each written `name[option=value]`.
pub fn settings(filters: &[String]) -> HashMap<String, FilterSettings> {
    let directory = TempDir::new("shipped");
    std::os::unix::fs::symlink(repository("config/filter.d"), directory.join("filter.d")).unwrap();
    let mut jails = String::from("[DEFAULT]\nenabled = true\nbackend = polling\nlogpath = /dev/null\n");
    for (index, filter) in filters.iter().enumerate() {
        writeln!(jails, "[j{index}]\nfilter = {filter}").unwrap();
    }
    directory.write("jail.local", jails);
    let config = stockade_config::load(directory.path(), &Overrides::default());
    let mut all = HashMap::new();
    for (index, filter) in filters.iter().enumerate() {
        let jail = config.jails.iter().find(|jail| jail.name == format!("j{index}"));
        let jail = jail.unwrap_or_else(|| panic!("{filter} cannot be read: {:?}", config.diagnostics));
        assert_eq!(jail.problem, None, "{filter}");
        all.insert(filter.clone(), of_jail(jail));
    }
    all
}

/// Compiles a filter; its dates are read as of this zone.
pub fn compile(name: &str, settings: &FilterSettings, zone: &TimeZone) -> Filter {
    assert!(!settings.failregex.is_empty(), "{name} has no failregex");
    Filter::new(settings, zone).unwrap_or_else(|errors| panic!("{name}: {errors:?}"))
}

/// Whom a failure names.
pub fn who(found: &Match) -> String {
    match &found.who {
        Who::Id(id) => id.to_string(),
        Who::Name(name) => name.to_string(),
    }
}

fn of_jail(jail: &JailConfig) -> FilterSettings {
    let value = |option: &str| jail.settings.iter().find(|setting| setting.option == option);
    let text = |option: &str| {
        value(option).and_then(|setting| match &setting.value {
            Value::Text(text) => Some(text.clone()),
            Value::Lines(lines) => {
                let lines: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
                Some(lines.join("\n"))
            }
            _ => None,
        })
    };
    let rules = |option: &str| jail.lines(option).map(|line| line.text.clone()).collect();
    FilterSettings {
        usedns: UseDns::No,
        prefregex: text("prefregex").filter(|rule| !rule.is_empty()),
        failregex: rules("addfailregex"),
        ignoreregex: rules("addignoreregex"),
        datepattern: text("datepattern").filter(|pattern| !pattern.is_empty()),
        maxlines: value("maxlines").map_or(1, |setting| match setting.value {
            Value::Int(lines) => u32::try_from(lines).unwrap(),
            _ => 1,
        }),
        ..FilterSettings::default()
    }
}

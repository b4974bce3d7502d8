//! The filter of a jail, as the stock configuration has it.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, io, process};

use jiff::tz::TimeZone;
use stockade_config::{JailConfig, Overrides, Value};
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, UseDns};

/// Where an installed Fail2Ban has its filters. Without them the ones built in are measured.
const STOCK: &str = "/etc/fail2ban/filter.d";

/// A minute after the last line of a made-up log, catching up.
pub const CLOCK: Clock = Clock {
    now: Timestamp::from_secs(crate::corpus::END + 60),
    in_operation: false,
    findtime: 10 * 86_400,
};

/// The rules of jails with these filters (`sshd`, `postfix[mode=more]`), in their order.
pub fn settings(filters: &[&str]) -> io::Result<Vec<FilterSettings>> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("stockade-bench-{}-{number}", process::id()));
    fs::create_dir_all(&folder)?;
    if Path::new(STOCK).is_dir() {
        std::os::unix::fs::symlink(STOCK, folder.join("filter.d"))?;
    }
    let mut jails = String::new();
    for (number, filter) in filters.iter().enumerate() {
        jails +=
            &format!("[jail{number}]\nenabled = true\nfilter = {filter}\nlogpath = /dev/null\nbackend = polling\n");
    }
    fs::write(folder.join("jail.local"), jails)?;
    let config = stockade_config::load(&folder, &Overrides::default());
    fs::remove_dir_all(&folder)?;
    let rules = |number: usize| {
        let name = format!("jail{number}");
        let jail = config.jails.iter().find(|jail| jail.name == name);
        jail.map(of_jail).filter(|settings| !settings.failregex.is_empty())
    };
    (0..filters.len())
        .map(|number| rules(number).ok_or_else(|| io::Error::other(format!("no rules for {}", filters[number]))))
        .collect()
}

/// A filter, compiled.
pub fn filter(name: &str) -> Filter {
    let settings = settings(&[name]).expect("the filter can be read");
    compile(&settings[0])
}

/// Compiles the rules of a jail.
pub fn compile(settings: &FilterSettings) -> Filter {
    Filter::new(settings, &TimeZone::UTC).expect("stock rules compile")
}

/// The names of all stock filters that stand for themselves.
pub fn stock_names() -> Vec<String> {
    let Ok(entries) = fs::read_dir(STOCK) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .into_string()
                .ok()?
                .strip_suffix(".conf")
                .map(str::to_owned)
        })
        .filter(|name| !name.contains("common"))
        .collect();
    names.sort();
    names
}

fn of_jail(jail: &JailConfig) -> FilterSettings {
    let value = |option: &str| {
        jail.settings
            .iter()
            .find(|setting| setting.option == option)
            .map(|setting| &setting.value)
    };
    let text = |option: &str| match value(option)? {
        Value::Text(text) => Some(text.clone()),
        Value::Lines(lines) => Some(
            lines
                .iter()
                .map(|line| line.text.as_str())
                .collect::<Vec<_>>()
                .join("\n"),
        ),
        _ => None,
    };
    let rules = |option: &str| jail.lines(option).map(|line| line.text.clone()).collect();
    FilterSettings {
        usedns: UseDns::Warn,
        prefregex: text("prefregex").filter(|rule| !rule.is_empty()),
        failregex: rules("addfailregex"),
        ignoreregex: rules("addignoreregex"),
        datepattern: text("datepattern").filter(|pattern| !pattern.is_empty()),
        maxlines: match value("maxlines") {
            Some(Value::Int(lines)) => u32::try_from(*lines).unwrap_or(1),
            _ => 1,
        },
        ..FilterSettings::default()
    }
}

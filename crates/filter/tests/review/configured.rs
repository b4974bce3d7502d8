//! Filters as jails of a configuration use them.

#![expect(unreachable_pub, reason = "a module of tests")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![expect(clippy::print_stdout, reason = "says what was left out")]
#![expect(clippy::disallowed_methods, reason = "reads the installed package")]

use std::fmt::Write;
use std::path::Path;

use jiff::tz::TimeZone;
use stockade_config::{JailConfig, Overrides, Value};
use stockade_filter::{Filter, FilterSettings, UseDns};
use testkit::TempDir;

/// A filter with its options, as a jail uses it.
pub struct Configured {
    pub name: String,
    pub settings: FilterSettings,
    pub filter: Filter,
}

impl Configured {
    /// The same, made once more.
    pub fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            settings: self.settings.clone(),
            filter: Filter::new(&self.settings, &TimeZone::UTC).unwrap(),
        }
    }
}

const MODES: [&str; 12] = [
    "",
    "normal",
    "aggressive",
    "extra",
    "ddos",
    "auth",
    "rbl",
    "more",
    "errors",
    "fallback",
    "fail2ban",
    "all",
];
const LOGTYPES: [&str; 4] = ["", "short", "journal", "rfc5424"];

/// Every stock jail, and every stock filter in all modes and for all kinds of log; each set of rules once. `None`, with
/// the reason printed, without the package.
pub fn stock() -> Option<Vec<Configured>> {
    let etc = Path::new("/etc/fail2ban");
    if !etc.join("filter.d").is_dir() || !etc.join("jail.conf").is_file() {
        testkit::skip("no stock configuration (package fail2ban)");
        return None;
    }
    let directory = TempDir::new("review");
    for name in [
        "filter.d",
        "action.d",
        "fail2ban.conf",
        "jail.conf",
        "paths-common.conf",
        "paths-debian.conf",
    ] {
        std::os::unix::fs::symlink(etc.join(name), directory.join(name)).unwrap();
    }
    let mut jails = String::from("[DEFAULT]\nenabled = true\nbackend = polling\nlogpath = /dev/null\n");
    let mut names: Vec<String> = std::fs::read_dir(etc.join("filter.d"))
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()?
                .strip_suffix(".conf")
                .map(str::to_owned)
        })
        .filter(|name| !name.ends_with("-common") && name != "common")
        .collect();
    names.sort();
    for name in names {
        let text = std::fs::read_to_string(etc.join(format!("filter.d/{name}.conf"))).unwrap();
        for mode in MODES
            .iter()
            .filter(|mode| mode.is_empty() || text.contains(&format!("-{mode}")))
        {
            for logtype in LOGTYPES {
                let mut options = Vec::new();
                options.extend((!mode.is_empty()).then(|| format!("mode={mode}")));
                options.extend((!logtype.is_empty()).then(|| format!("logtype={logtype}")));
                let id = format!("{name}:{mode}:{logtype}");
                writeln!(jails, "[{id}]\nfilter = {name}[{}]", options.join(",")).unwrap();
            }
        }
    }
    directory.write("jail.local", jails);
    Some(load(&directory))
}

/// The built-in filters of these names, in all modes.
pub fn built_in(names: &[&str]) -> Vec<Configured> {
    let directory = TempDir::new("review-built-in");
    let mut jails = String::from("[DEFAULT]\nenabled = true\nbackend = polling\nlogpath = /dev/null\n");
    for name in names {
        for mode in ["normal", "aggressive", "ddos", "extra"] {
            writeln!(jails, "[{name}:{mode}]\nfilter = {name}[mode={mode}]").unwrap();
        }
    }
    directory.write("jail.local", jails);
    load(&directory)
}

/// The filters of all jails; each set of rules once.
fn load(directory: &TempDir) -> Vec<Configured> {
    let config = stockade_config::load(directory.path(), &Overrides::default());
    let mut configured: Vec<Configured> = Vec::new();
    for jail in &config.jails {
        let settings = settings(jail);
        if settings.failregex.is_empty() || configured.iter().any(|known| known.settings == settings) {
            continue;
        }
        match Filter::new(&settings, &TimeZone::UTC) {
            Ok(filter) => configured.push(Configured {
                name: jail.name.clone(),
                settings,
                filter,
            }),
            Err(errors) => println!("left out: {}: {}", jail.name, errors[0]),
        }
    }
    configured
}

/// The rules of a jail.
pub fn settings(jail: &JailConfig) -> FilterSettings {
    let text = |option: &str| {
        let setting = jail.settings.iter().find(|setting| setting.option == option)?;
        match &setting.value {
            Value::Text(text) => Some(text.clone()),
            Value::Lines(lines) => {
                let lines: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
                Some(lines.join("\n"))
            }
            _ => None,
        }
    };
    let maxlines = jail.settings.iter().find(|setting| setting.option == "maxlines");
    let rules = |option: &str| jail.lines(option).map(|line| line.text.clone()).collect();
    FilterSettings {
        usedns: UseDns::Warn,
        prefregex: text("prefregex").filter(|rule| !rule.is_empty()),
        failregex: rules("addfailregex"),
        ignoreregex: rules("addignoreregex"),
        datepattern: text("datepattern").filter(|pattern| !pattern.is_empty()),
        maxlines: maxlines.map_or(1, |setting| match setting.value {
            Value::Int(lines) => u32::try_from(lines).unwrap(),
            _ => 1,
        }),
        ..FilterSettings::default()
    }
}

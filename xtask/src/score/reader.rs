//! Runs a filter over a log and tells which line names whom.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use jiff::tz::TimeZone;
use stockade_config::{Overrides, Value};
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Match, Memory, UseDns, Verdict, Who};

use super::truth::Recording;

/// One failure a filter found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    /// Line number from 1; `None` if the line could not be found again.
    pub line: Option<usize>,
    /// Whom the filter names.
    pub address: String,
    /// When, in seconds.
    pub at: f64,
}

/// Marks the rows of a failure among whatever else is printed.
const MARK: &str = "@@";

/// What applies the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The installed Fail2Ban.
    Fail2Ban,
    /// Our own reading of the configuration and our own matching.
    Stockade,
}

impl Engine {
    /// All failures the filter finds in the log: a file with its options for Fail2Ban, a built-in filter's name with its
    /// options for Stockade. Names are not resolved.
    pub(crate) fn read(self, recording: &Recording, filter: &str) -> Result<Vec<Named>, String> {
        match self {
            Self::Fail2Ban => by_fail2ban(recording, filter),
            Self::Stockade => by_stockade(recording, filter),
        }
    }
}

fn by_fail2ban(recording: &Recording, filter: &str) -> Result<Vec<Named>, String> {
    let output = Command::new("fail2ban-regex")
        .args(["--no-check-all", "--usedns=no", "-e", "utf-8", "-o"])
        .arg(format!("{MARK}<ip>|<time>|<matches>"))
        .arg(&recording.path)
        .arg(filter)
        .env("TZ", "UTC")
        .output()
        .map_err(|error| format!("fail2ban-regex: {error}; it comes with Debian's package fail2ban"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("fail2ban-regex with {filter}: {}", why.trim()));
    }
    let mut places = Places::of(&recording.lines);
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text.split('\n').filter_map(|row| row.strip_prefix(MARK));
    rows.map(|row| {
        let mut cells = row.splitn(3, '|');
        match (cells.next(), cells.next().and_then(|at| at.parse().ok()), cells.next()) {
            (Some(address), Some(at), Some(line)) => Ok(Named {
                line: places.next(line),
                address: address.to_owned(),
                at,
            }),
            _ => Err(format!("fail2ban-regex printed an unknown row: {row}")),
        }
    })
    .collect()
}

fn by_stockade(recording: &Recording, filter: &str) -> Result<Vec<Named>, String> {
    let filter = built_in(filter)?;
    let newest = recording.logged;
    let clock = Clock {
        now: Timestamp::from_secs(newest),
        in_operation: false,
        // Lines of any age are wanted.
        findtime: newest,
    };
    let mut memory = Memory::default();
    let bytes = fs::read(&recording.path).map_err(|error| format!("{}: {error}", recording.path.display()))?;
    let mut named = Vec::new();
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        match filter.judge(text, clock, &mut memory) {
            Verdict::Match(Match {
                who: Who::Id(id), at, ..
            }) => named.push(Named {
                line: Some(line),
                address: id.to_string(),
                at: seconds(at),
            }),
            Verdict::Overrun(rule) => {
                return Err(format!(
                    "{} line {line}: rule {rule:?} ran out of steps",
                    recording.path.display()
                ));
            }
            _ => {}
        }
    }
    Ok(named)
}

#[expect(clippy::cast_precision_loss, reason = "times of this century are far below 2^52")]
fn seconds(at: Timestamp) -> f64 {
    at.micros() as f64 / 1e6
}

/// A built-in filter with its options, `asterisk[logging=all]`, read as a jail would read it.
fn built_in(filter: &str) -> Result<Filter, String> {
    let directory = std::env::temp_dir().join(format!("stockade-score-filter-{}", std::process::id()));
    let file = directory.join("jail.local");
    let jail = format!("[score]\nenabled = true\nfilter = {filter}\nlogpath = /dev/null\nbackend = polling\n");
    fs::create_dir_all(&directory)
        .and_then(|()| fs::write(&file, jail))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let config = stockade_config::load(&directory, &Overrides::default());
    // Nobody needs to know if the scratch folder stays behind.
    let _ = fs::remove_dir_all(&directory);
    let jail = config
        .jails
        .iter()
        .find(|jail| jail.name == "score")
        .ok_or_else(|| format!("no jail came of {filter}"))?;
    if let Some(problem) = &jail.problem {
        return Err(format!("{filter}: {problem}"));
    }
    let lines = |option: &str| -> Vec<String> { jail.lines(option).map(|line| line.text.clone()).collect() };
    let text = |option: &str| {
        let setting = jail.settings.iter().find(|setting| setting.option == option)?;
        match &setting.value {
            Value::Text(text) => Some(text.clone()),
            Value::Lines(_) => Some(lines(option).join("\n")),
            _ => None,
        }
    };
    let settings = FilterSettings {
        usedns: UseDns::No,
        prefregex: text("prefregex"),
        failregex: lines("addfailregex"),
        ignoreregex: lines("addignoreregex"),
        datepattern: text("datepattern"),
        maxlines: 1,
        ..FilterSettings::default()
    };
    Filter::new(&settings, &TimeZone::UTC).map_err(|errors| format!("{filter}: {errors:?}"))
}

/// Where each text stands in the log; the n-th time it is asked for, its n-th place.
struct Places<'a>(HashMap<&'a str, Vec<usize>>);

impl<'a> Places<'a> {
    fn of(lines: &'a [String]) -> Self {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, line) in (1..).zip(lines) {
            places.entry(line).or_default().push(number);
        }
        for numbers in places.values_mut() {
            numbers.reverse();
        }
        Self(places)
    }

    fn next(&mut self, line: &str) -> Option<usize> {
        let numbers = self.0.get_mut(line)?;
        if numbers.len() > 1 {
            numbers.pop()
        } else {
            numbers.last().copied()
        }
    }
}

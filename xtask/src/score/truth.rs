//! What is known of a recorded run: who attacked, who did not, and what each line of a log is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::json::Json;

/// One recorded log with its truth.
pub(crate) struct Recording {
    /// `run/file`.
    pub name: String,
    /// The log itself.
    pub path: PathBuf,
    /// Its lines, bytes that are not UTF-8 replaced.
    pub lines: Vec<String>,
    /// Class and source of the lines that have one, by line number from 1.
    pub classes: BTreeMap<usize, Class>,
    /// The value of the filter's option `logging` that fits this log.
    pub logging: &'static str,
    /// When the recording ended, in whole seconds: years that the log leaves out are those before it.
    pub logged: i64,
    /// Addresses that attacked, as often as to be banned had all been logged.
    pub attackers: BTreeSet<String>,
    /// Those of them that this log tells at least `maxretry` times.
    pub told: BTreeSet<String>,
    /// Legitimate addresses.
    pub legitimate: BTreeSet<String>,
    /// Addresses from which no packet came: attackers wrote them.
    pub never_ban: BTreeSet<String>,
}

/// What a line is.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// `registration-failed`, `FORGED`, …
    pub name: String,
    /// Whose failure it tells.
    pub source: String,
}

impl Class {
    /// Whether the line should be named, by the recordings' own rules.
    pub(crate) fn is_scored(&self) -> bool {
        !self.source.is_empty()
            && !matches!(
                self.name.as_str(),
                "FORGED" | "tail" | "AMBIGUOUS" | "other" | "max-contacts"
            )
            && !self.name.ends_with("-no-address")
    }

    /// Whether an attacker wrote the whole line.
    pub(crate) fn is_forged(&self) -> bool {
        self.name == "FORGED"
    }
}

impl Recording {
    /// All recorded logs under `folder`, by run and name.
    pub(crate) fn all(folder: &Path, maxretry: usize) -> Result<Vec<Self>, String> {
        let mut recordings = Vec::new();
        for run in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
            let truth = read(&run.join("truth.json"))?;
            let truth = Json::parse(&truth).map_err(|why| format!("{}/truth.json: {why}", run.display()))?;
            for table in entries(&run.join("lines"))? {
                let file = table.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                recordings.push(Self::open(&run, &file, &table, &truth, maxretry)?);
            }
        }
        if recordings.is_empty() {
            return Err(format!("no recorded logs under {}", folder.display()));
        }
        Ok(recordings)
    }

    fn open(run: &Path, file: &str, table: &Path, truth: &Json, maxretry: usize) -> Result<Self, String> {
        let path = run.join(file);
        let mut classes = BTreeMap::new();
        for row in read(table)?.lines().skip(1) {
            let mut cells = row.split('\t');
            if let (Some(line), Some(name), source) = (cells.next(), cells.next(), cells.next()) {
                let line = line
                    .parse()
                    .map_err(|_| format!("{}: line number `{line}`", table.display()))?;
                let class = Class {
                    name: name.to_owned(),
                    source: source.unwrap_or_default().to_owned(),
                };
                classes.insert(line, class);
            }
        }
        let mut recording = Self {
            name: format!("{}/{file}", run.file_name().unwrap_or_default().to_string_lossy()),
            lines: read(&path)?.split('\n').map(str::to_owned).collect(),
            path,
            logging: logging(run, file)?,
            logged: truth.get("t1").and_then(Json::seconds).unwrap_or_default() + 60,
            classes,
            attackers: BTreeSet::new(),
            told: BTreeSet::new(),
            legitimate: BTreeSet::new(),
            never_ban: truth
                .get("never_ban")
                .map_or(&[][..], Json::items)
                .iter()
                .filter_map(|item| item.text().map(str::to_owned))
                .collect(),
        };
        for (address, facts) in truth.get("addresses").map_or(&[][..], Json::members) {
            let fact = |name: &str| facts.get(name).and_then(Json::text).unwrap_or_default();
            if fact("role") == "legit" {
                recording.legitimate.insert(address.clone());
            } else if fact("expect").starts_with("must be banned") {
                recording.attackers.insert(address.clone());
                let told = facts.get("failure_lines_in_log").and_then(|logs| logs.get(file));
                if told.and_then(Json::number).unwrap_or(0) >= maxretry {
                    recording.told.insert(address.clone());
                }
            }
        }
        Ok(recording)
    }
}

/// What the log holds, as its `logger.conf` says it and an administrator would say it in the filter's option `logging`.
fn logging(run: &Path, file: &str) -> Result<&'static str, String> {
    let table = run.join("etc/logger.conf");
    let name = if file.starts_with("syslog") { "syslog." } else { file };
    let rows = read(&table)?;
    let levels = rows
        .lines()
        .filter_map(|row| row.split_once("=>"))
        .find(|(target, _)| target.trim() == name || (name == "syslog." && target.starts_with(name)))
        .map(|(_, levels)| levels.to_owned())
        .ok_or_else(|| format!("{}: nothing is said about {file}", table.display()))?;
    Ok(match (levels.contains("security"), levels.contains("notice")) {
        (true, true) => "both",
        (true, false) => "security",
        _ => "notice",
    })
}

/// The file as text, bytes that are not UTF-8 replaced.
fn read(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let listing = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

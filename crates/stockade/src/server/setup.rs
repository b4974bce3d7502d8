//! What a jail is to be, as commands have described it: plain data.
//!
//! `set JAIL …` changes a [`JailSetup`]; what follows from the change is done by [`super::jails`].

use stockade_config::{duration, options};
use stockade_core::{IgnoreEntry, JailName, JailSettings, Seconds};
use stockade_filter::{Encoding, FilterSettings, UseDns};
use stockade_protocol::{ErrorClass, JailGet, JailSet, RemoteError, TimeSpan, Value};
use stockade_source::journal::{Matches, Options};

use super::ignoring::CacheSettings;
use super::increment::{self, GrowthOption};
use super::journal::Wanted;
use super::python;
use super::watch::LogPath;

/// Everything that makes a jail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JailSetup {
    pub(crate) name: JailName,
    /// As written: `auto`, `polling`, `systemd[…]`.
    pub(crate) backend: String,
    pub(crate) filter: FilterSettings,
    pub(crate) settings: JailSettings,
    /// Normalised, in the order they were added.
    pub(crate) ignoreip: Vec<String>,
    pub(crate) ignorecommand: Option<String>,
    pub(crate) ignorecache: Option<CacheSettings>,
    pub(crate) logs: Vec<LogPath>,
    pub(crate) logencoding: String,
    pub(crate) journalmatch: Vec<Vec<String>>,
    pub(crate) actions: Vec<ActionSetup>,
    pub(crate) idle: bool,
    /// `bantime.…` in the order in which they were set.
    pub(crate) growth: Vec<GrowthOption>,
}

/// An action and its properties in the order they were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionSetup {
    pub(crate) name: String,
    pub(crate) properties: Vec<(String, String)>,
}

impl JailSetup {
    /// A jail in which nothing is set.
    pub(crate) fn new(name: JailName, backend: &str) -> Self {
        Self {
            name,
            backend: backend.to_owned(),
            filter: FilterSettings {
                maxlines: 1,
                ..FilterSettings::default()
            },
            settings: JailSettings::default(),
            ignoreip: Vec::new(),
            ignorecommand: None,
            ignorecache: None,
            logs: Vec::new(),
            logencoding: "auto".to_owned(),
            journalmatch: Vec::new(),
            actions: Vec::new(),
            idle: false,
            growth: Vec::new(),
        }
    }

    /// Carries out a `set`. Fails, with Fail2Ban's exception where it has one, when the value is no good; then nothing is changed.
    pub(crate) fn set(&mut self, set: &JailSet) -> Result<(), RemoteError> {
        match set {
            JailSet::Idle(idle) => self.idle = *idle,
            JailSet::IgnoreSelf(on) => self.settings.ignoreself = *on,
            JailSet::AddIgnoreIp(entries) => {
                for entry in entries.iter().filter(|entry| !entry.is_empty()) {
                    let entry = IgnoreEntry::parse(entry).to_string();
                    if !self.ignoreip.contains(&entry) {
                        self.ignoreip.push(entry);
                    }
                }
            }
            JailSet::DelIgnoreIp(entry) => {
                let entry = IgnoreEntry::parse(entry).to_string();
                let place = self.ignoreip.iter().position(|other| *other == entry);
                let place = place.ok_or_else(|| value_error("list.remove(x): x not in list"))?;
                self.ignoreip.remove(place);
            }
            JailSet::IgnoreCommand(command) => {
                self.ignorecommand = Some(command.clone());
            }
            JailSet::IgnoreCache(text) => self.ignorecache = CacheSettings::parse(text)?,
            JailSet::AddLogPath { path, tail } => {
                if !self.logs.iter().any(|log| log.pattern == *path) {
                    self.logs.push(LogPath {
                        pattern: path.clone(),
                        tail: *tail,
                    });
                }
            }
            JailSet::DelLogPath(path) => {
                self.logs.retain(|log| log.pattern != *path);
            }
            JailSet::LogEncoding(encoding) => {
                if Encoding::of(encoding).is_none() {
                    let text = format!("unknown encoding: {encoding}");
                    return Err(RemoteError::new(ErrorClass::LookupError, text));
                }
                self.filter.logencoding = Some(encoding.clone());
                self.logencoding.clone_from(encoding);
            }
            // A jail that reads files does not use them.
            JailSet::AddJournalMatch(words) => {
                if self.reads_journal() {
                    Matches::parse([words]).map_err(|error| value_error(format!("Invalid match: {error}")))?;
                }
                let groups = words.split(|word| word == "+").filter(|group| !group.is_empty());
                self.journalmatch.extend(groups.map(<[String]>::to_vec));
            }
            // A jail that reads files has none.
            JailSet::DelJournalMatch(words) if words.is_empty() && !self.reads_journal() => {}
            JailSet::DelJournalMatch(words) => {
                let place = self.journalmatch.iter().position(|other| other == words);
                let place = place.ok_or_else(|| {
                    let shown = stockade_protocol::repr(&strings(words.iter().map(String::as_str)));
                    value_error(format!("Match {shown} not found"))
                })?;
                self.journalmatch.remove(place);
            }
            JailSet::Prefregex(regex) => self.filter.prefregex = Some(regex.clone()).filter(|regex| !regex.is_empty()),
            JailSet::AddFailregex(list) => self.filter.failregex.extend_from_slice(list),
            JailSet::DelFailregex(index) => remove(&mut self.filter.failregex, *index),
            JailSet::AddIgnoreregex(list) => self.filter.ignoreregex.extend_from_slice(list),
            JailSet::DelIgnoreregex(index) => remove(&mut self.filter.ignoreregex, *index),
            JailSet::UseDns(word) => {
                self.filter.usedns = match word.to_ascii_lowercase().as_str() {
                    "yes" | "1" | "on" | "true" => UseDns::Yes,
                    "warn" => UseDns::Warn,
                    "raw" => UseDns::Raw,
                    _ => UseDns::No,
                }
            }
            JailSet::FindTime(span) => self.settings.findtime = seconds("findtime", span)?,
            JailSet::BanTime(span) => self.settings.bantime = seconds("bantime", span)?,
            JailSet::BanTimeOption(option, value) => {
                let option = increment::set(&mut self.settings, option, value)?;
                match self.growth.iter_mut().find(|other| other.name == option.name) {
                    Some(old) => *old = option,
                    None => self.growth.push(option),
                }
            }
            JailSet::DatePattern(pattern) => {
                self.filter.datepattern = Some(pattern.clone()).filter(|pattern| !pattern.is_empty());
            }
            JailSet::LogTimeZone(zone) => self.filter.logtimezone.clone_from(zone),
            JailSet::MaxMatches(number) => self.settings.maxmatches = usize::try_from(*number).unwrap_or(0),
            JailSet::MaxRetry(number) => self.settings.maxretry = u32::try_from((*number).max(0)).unwrap_or(u32::MAX),
            JailSet::MaxLines(number) => self.filter.maxlines = u32::try_from(*number).unwrap_or(u32::MAX),
            JailSet::AddAction { action, python } => {
                if self.action(action).is_some() {
                    return Err(value_error(format!("Action {action} already exists")));
                }
                let properties = match python {
                    Some((file, json)) => {
                        let options = python::arguments(json).map_err(value_error)?;
                        python::properties(action, file, &options).map_err(value_error)?
                    }
                    None => Vec::new(),
                };
                self.actions.push(ActionSetup {
                    name: action.clone(),
                    properties,
                });
            }
            JailSet::DelAction(action) => {
                let place = self.actions.iter().position(|other| other.name == *action);
                let place = place.ok_or_else(|| no_action(action))?;
                self.actions.remove(place);
            }
            JailSet::Action { action, properties } => {
                let found = self
                    .actions
                    .iter_mut()
                    .find(|other| other.name == *action)
                    .ok_or_else(|| no_action(action))?;
                for (key, value) in properties {
                    let value = text(value);
                    match found.properties.iter_mut().find(|(other, _)| other == key) {
                        Some((_, old)) => *old = value,
                        None => found.properties.push((key.clone(), value)),
                    }
                }
            }
            JailSet::Attempt { .. } | JailSet::BanIp(_) | JailSet::UnbanIp { .. } | JailSet::ActionMethod { .. } => {
                return Err(RemoteError::new(
                    ErrorClass::Exception,
                    "this command is for a jail that exists, not for its configuration",
                ));
            }
        }
        Ok(())
    }

    /// What a `get` answers, or a `set` once it is done; `None` if it is not about the setup alone.
    pub(crate) fn get(&self, get: &JailGet) -> Option<Value> {
        Some(match get {
            JailGet::LogPath if self.reads_journal() => Value::List(Vec::new()),
            JailGet::LogPath => strings(self.logs.iter().map(|log| log.pattern.as_str())),
            JailGet::LogEncoding => Value::from(if self.logencoding == "auto" {
                "UTF-8"
            } else {
                &*self.logencoding
            }),
            // A jail that reads files has none, whatever its filter brings.
            JailGet::JournalMatch if !self.reads_journal() => Value::List(Vec::new()),
            JailGet::JournalMatch => Value::List(
                self.journalmatch
                    .iter()
                    .map(|words| strings(words.iter().map(String::as_str)))
                    .collect(),
            ),
            JailGet::IgnoreSelf => Value::Bool(self.settings.ignoreself),
            JailGet::IgnoreCommand => self.ignorecommand.as_deref().map_or(Value::Bool(false), Value::from),
            JailGet::IgnoreCache => self.ignorecache.as_ref().map_or(Value::None, CacheSettings::answer),
            JailGet::UseDns => Value::from(match self.filter.usedns {
                UseDns::Yes => "yes",
                UseDns::Warn => "warn",
                UseDns::No => "no",
                UseDns::Raw => "raw",
            }),
            JailGet::FindTime => Value::Int(self.settings.findtime.0),
            JailGet::BanTime => Value::Int(self.settings.bantime.0),
            JailGet::BanTimeOption(name) => {
                let option = self.growth.iter().find(|option| option.name == *name);
                option.map_or(Value::None, |option| option.answer.clone())
            }
            JailGet::LogTimeZone => self.filter.logtimezone.as_deref().map_or(Value::None, Value::from),
            JailGet::MaxMatches => Value::Int(i64::try_from(self.settings.maxmatches).unwrap_or(i64::MAX)),
            JailGet::MaxRetry => Value::Int(i64::from(self.settings.maxretry)),
            JailGet::MaxLines => Value::Int(i64::from(self.filter.maxlines)),
            JailGet::Actions => strings(self.actions.iter().map(|action| action.name.as_str())),
            JailGet::Action { .. } | JailGet::ActionProperties(_) | JailGet::ActionMethods(_) => return None,
            JailGet::Banned | JailGet::BannedIds(_) | JailGet::BanIp { .. } => return None,
            JailGet::Prefregex | JailGet::Failregex | JailGet::Ignoreregex | JailGet::IgnoreIp => return None,
            JailGet::DatePattern => return None,
        })
    }

    /// Whether it reads the journal in the place of log files.
    pub(crate) fn reads_journal(&self) -> bool {
        self.backend.starts_with("systemd")
    }

    /// What it reads of which journal; `None` if it reads log files.
    pub(crate) fn journal(&self) -> Option<Wanted> {
        Some(Wanted {
            options: journal_options(&self.backend)?.ok()?,
            // Each was looked at when it was added.
            matches: Matches::parse(&self.journalmatch).unwrap_or_default(),
        })
    }

    /// All its matches as one text.
    pub(crate) fn journal_matches(&self) -> String {
        let lists: Vec<String> = self.journalmatch.iter().map(|words| words.join(" ")).collect();
        lists.join(" + ")
    }

    /// The name of the backend in use and its options, as Fail2Ban writes them into its log.
    pub(crate) fn backend_in_use(&self) -> (&'static str, String) {
        if !self.reads_journal() {
            return ("pyinotify", "{}".to_owned());
        }
        let options = options::parse(&self.backend)
            .map(|written| written.options)
            .unwrap_or_default();
        let pairs = options
            .into_iter()
            .map(|(name, value)| (Value::from(&*name), Value::from(&*value)));
        ("systemd", stockade_protocol::repr(&Value::Dict(pairs.collect())))
    }

    /// An action by its name.
    pub(crate) fn action(&self, name: &str) -> Option<&ActionSetup> {
        self.actions.iter().find(|action| action.name == name)
    }
}

/// What Fail2Ban knows, `gamin` up to 1.0.2; files are read in the same way with each.
const BACKENDS: &[&str] = &["auto", "pyinotify", "gamin", "polling", "systemd"];

/// Why a `backend` cannot be had.
pub(crate) struct BackendFault {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) mend: &'static str,
}

/// What is wrong with a `backend`, if anything is.
pub(crate) fn backend_fault(written: &str) -> Option<BackendFault> {
    let name = written.split('[').next().unwrap_or_default().trim_end();
    if let Some(Err(why)) = journal_options(written) {
        return Some(BackendFault {
            what: format!("backend `{written}` cannot be used"),
            why,
            mend: "backend = systemd[journalpath=/var/log/journal]",
        });
    }
    (!BACKENDS.contains(&name)).then(|| BackendFault {
        what: format!("backend `{written}` is unknown"),
        why: format!("it is one of {}", BACKENDS.join(", ")),
        mend: "backend = auto",
    })
}

/// Which journal a backend means; `None` if it is not the journal's.
fn journal_options(written: &str) -> Option<Result<Options, String>> {
    let name = written.split('[').next().unwrap_or_default().trim_end();
    (name == "systemd").then(|| {
        let written = options::parse(written).map_err(|error| error.to_string())?;
        let mut options = Options::default();
        // Set for the whole service, as Fail2Ban has it.
        if let Ok(flags) = std::env::var("F2B_SYSTEMD_DEFAULT_FLAGS") {
            options
                .set("journalflags", &flags)
                .map_err(|error| error.why.to_owned())?;
        }
        for (name, value) in &written.options {
            options
                .set(name, value)
                .map_err(|error| format!("option `{name}`: {}", error.why))?;
        }
        Ok(options)
    })
}

/// Which `get` answers a `set`: Fail2Ban replies with the new value.
pub(crate) fn answer_of(set: &JailSet) -> Option<JailGet> {
    Some(match set {
        JailSet::IgnoreSelf(_) => JailGet::IgnoreSelf,
        JailSet::AddIgnoreIp(_) | JailSet::DelIgnoreIp(_) => JailGet::IgnoreIp,
        JailSet::IgnoreCommand(_) => JailGet::IgnoreCommand,
        JailSet::IgnoreCache(_) => JailGet::IgnoreCache,
        JailSet::AddLogPath { .. } | JailSet::DelLogPath(_) => JailGet::LogPath,
        JailSet::LogEncoding(_) => JailGet::LogEncoding,
        JailSet::AddJournalMatch(_) | JailSet::DelJournalMatch(_) => JailGet::JournalMatch,
        JailSet::Prefregex(_) => JailGet::Prefregex,
        JailSet::AddFailregex(_) | JailSet::DelFailregex(_) => JailGet::Failregex,
        JailSet::AddIgnoreregex(_) | JailSet::DelIgnoreregex(_) => JailGet::Ignoreregex,
        JailSet::UseDns(_) => JailGet::UseDns,
        JailSet::FindTime(_) => JailGet::FindTime,
        JailSet::BanTime(_) => JailGet::BanTime,
        JailSet::BanTimeOption(option, _) => JailGet::BanTimeOption(option.clone()),
        JailSet::DatePattern(_) => JailGet::DatePattern,
        JailSet::LogTimeZone(_) => JailGet::LogTimeZone,
        JailSet::MaxMatches(_) => JailGet::MaxMatches,
        JailSet::MaxRetry(_) => JailGet::MaxRetry,
        JailSet::MaxLines(_) => JailGet::MaxLines,
        JailSet::Idle(_)
        | JailSet::Attempt { .. }
        | JailSet::BanIp(_)
        | JailSet::UnbanIp { .. }
        | JailSet::AddAction { .. }
        | JailSet::DelAction(_)
        | JailSet::Action { .. }
        | JailSet::ActionMethod { .. } => return None,
    })
}

/// The exception for an action that is not there.
pub(crate) fn no_action(name: &str) -> RemoteError {
    RemoteError::new(ErrorClass::KeyError, format!("Invalid Action name: {name}"))
}

fn value_error(text: impl Into<String>) -> RemoteError {
    RemoteError::new(ErrorClass::ValueError, text)
}

fn remove(list: &mut Vec<String>, index: i64) {
    // As in Python, a negative one counts from the end.
    let place = if index < 0 {
        list.len()
            .checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
    } else {
        usize::try_from(index).ok()
    };
    if let Some(place) = place
        && place < list.len()
    {
        list.remove(place);
    }
}

pub(crate) fn seconds(option: &str, span: &TimeSpan) -> Result<Seconds, RemoteError> {
    match span {
        TimeSpan::Seconds(number) => Ok(Seconds(*number)),
        TimeSpan::Written(words) => {
            duration::parse(words).map_err(|error| value_error(format!("`{option}` cannot be `{words}`: {error}")))
        }
    }
}

/// A property's value as text, the way Python's `str` would write it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Str(text) | Value::Addr(text) => text.clone(),
        other => stockade_protocol::repr(other),
    }
}

/// A list of texts.
pub(crate) fn strings<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::List(texts.map(Value::from).collect())
}

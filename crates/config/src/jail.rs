//! A jail's section, with its filter and its actions.
//!
//! Rules: behaviour spec 1.7, 1.9. Start reading at [`read`].

use crate::names::HashMap;
use std::sync::Arc;

use crate::action::{self, ActionConfig, ActionFault, ActionKind, ActionUse};
use crate::diagnostic::{Diagnostic, Place, cut};
use crate::duration;
use crate::filter::{self, FilterUse};
use crate::ini::is_space;
use crate::interpolate::View;
use crate::jail_tags::JailTags;
use crate::logpath::{self, LogPath};
use crate::merge::{Merged, Tree};
use crate::options::{self, Extended};
use crate::setting::{Line, Setting, Value, quoted, truth};
use crate::work;

/// A jail that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailConfig {
    /// Its name: that of its section.
    pub name: String,
    /// Where its section stands.
    pub place: Place,
    /// `backend`, with its options.
    pub backend: String,
    /// Its settings, the filter's among them, in the order in which the server is told them.
    pub settings: Vec<Setting>,
    /// The logs it reads.
    pub logs: Vec<LogPath>,
    /// The filter's name, empty if there is none.
    pub filter: String,
    /// The files the filter was read from.
    pub filter_files: Vec<Arc<str>>,
    /// Its actions, in order.
    pub actions: Vec<ActionConfig>,
    /// Why it cannot run, in one line and in Fail2Ban's words where it has any: `config-error` says it.
    pub problem: Option<String>,
}

impl JailConfig {
    /// The lines of a setting of several: `lines("addfailregex")` are the rules with the places they come from.
    pub fn lines(&self, option: &str) -> impl Iterator<Item = &Line> {
        let of_option = self.settings.iter().filter(move |setting| setting.option == option);
        of_option.flat_map(|setting| {
            if let Value::Lines(lines) = &setting.value {
                lines.as_slice()
            } else {
                &[]
            }
        })
    }
}

/// How a jail's own option is read.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Time,
    Int,
    Bool,
    Words,
}

/// A jail's own options after those of the filter, in the order in which Fail2Ban sends them.
const OPTIONS: &[(&str, Kind)] = &[
    ("maxretry", Kind::Int),
    ("maxmatches", Kind::Int),
    ("findtime", Kind::Time),
    ("bantime", Kind::Time),
    ("bantime.increment", Kind::Bool),
    ("bantime.factor", Kind::Text),
    ("bantime.formula", Kind::Text),
    ("bantime.multipliers", Kind::Text),
    ("bantime.maxtime", Kind::Time),
    ("bantime.rndtime", Kind::Time),
    ("bantime.overalljails", Kind::Bool),
    ("ignorecommand", Kind::Text),
    ("ignoreself", Kind::Bool),
    ("ignoreip", Kind::Words),
    ("ignorecache", Kind::Text),
    ("logtimezone", Kind::Text),
    ("logencoding", Kind::Text),
];

/// Options of a filter that a jail may set, in two groups: before what the filter sends, and after.
const BEFORE_FILTER: &[&str] = &["usedns", "prefregex", "maxlines"];
const AFTER_FILTER: &[&str] = &["ignoreregex", "failregex", "datepattern", "journalmatch"];

/// Options of a jail that are not sent to the server as they are.
const OTHERS: &[&str] = &[
    "enabled",
    "filter",
    "backend",
    "logpath",
    "action",
    "skip_if_nologs",
    "systemd_if_nologs",
];

/// All options of a jail that the program reads.
pub(crate) fn option_names() -> impl Iterator<Item = &'static str> {
    let sent = OPTIONS.iter().map(|(option, _)| *option);
    let lists = [OTHERS, BEFORE_FILTER, AFTER_FILTER];
    lists.into_iter().flatten().copied().chain(sent)
}

/// Those of them that are yes or no.
pub(crate) fn flag_names() -> impl Iterator<Item = &'static str> {
    let sent = OPTIONS.iter().filter(|(_, kind)| matches!(kind, Kind::Bool));
    ["enabled", "skip_if_nologs", "systemd_if_nologs"]
        .into_iter()
        .chain(sent.map(|(option, _)| *option))
}

/// Whether a section is a jail: `[Init?family=inet6]` and the like belong to files of another kind.
pub(crate) fn is_jail(section: &str) -> bool {
    section != "INCLUDES" && !section.starts_with("KNOWN/") && !section.contains('?')
}

/// What is needed to read a jail.
pub(crate) struct Jails<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) presets: &'a [(&'a str, &'a str)],
    pub(crate) merged: &'a Merged,
}

/// What is to be read in the place of what is written.
#[derive(Default)]
pub(crate) struct Instead<'a> {
    pub(crate) backend: Option<&'a str>,
    /// Options of the filter.
    pub(crate) passed: &'a [(String, String)],
    /// Only what the rules are: neither actions nor logs.
    pub(crate) rules_only: bool,
}

/// Why a jail is left out: the one line for `config-error`.
struct Left(String);

impl Jails<'_> {
    /// The jails that are enabled and the names of those that are not, in the order of their sections.
    pub(crate) fn read(&self, findings: &mut Vec<Diagnostic>) -> (Vec<JailConfig>, Vec<String>) {
        let mut jails = Vec::new();
        let mut disabled = Vec::new();
        for section in &self.merged.sections {
            let name: &str = &section.name;
            if !is_jail(name) {
                continue;
            }
            if self.tree.work().is_spent() {
                break;
            }
            let mut found = Vec::new();
            if self.enabled(name, &mut found) {
                match self.jail(name, &mut found) {
                    (true, jail) => jails.push(jail),
                    (false, _) => disabled.push(name.to_owned()),
                }
            } else {
                self.look_at_disabled(name, &mut found);
                disabled.push(name.to_owned());
            }
            findings.extend(found.into_iter().map(|finding| Diagnostic {
                jail: Some(name.to_owned()),
                ..finding
            }));
        }
        (jails, disabled)
    }

    /// Whether the jail is to run.
    pub(crate) fn enabled(&self, name: &str, findings: &mut Vec<Diagnostic>) -> bool {
        let view = View::new(self.merged, name);
        match view.get("enabled") {
            Ok(value) => value.is_some_and(|value| truth(&value)),
            Err(error) => {
                findings.push(error.diagnostic(view.place("enabled")));
                false
            }
        }
    }

    /// Tells the faults of a jail that does not run: Fail2Ban makes these values all the same, and refuses everything.
    fn look_at_disabled(&self, name: &str, findings: &mut Vec<Diagnostic>) {
        let view = View::new(self.merged, name);
        let faults = ["backend", "filter"].map(|option| view.get(option).err().map(|fault| (option, fault)));
        for (option, fault) in faults.into_iter().flatten() {
            findings.push(fault.diagnostic(view.place(option)));
        }
    }

    /// The jail, enabled or not; `false` if it is to be skipped because it has no log.
    ///
    /// A jail whose `backend` is left to us and whose log is not there reads the journal instead, if it knows what to look for there and
    /// there is one. Upstream: HEAD, `systemd_if_nologs`.
    pub(crate) fn jail(&self, name: &str, findings: &mut Vec<Diagnostic>) -> (bool, JailConfig) {
        let mut found = Vec::new();
        let (runs, jail) = self.attempt(name, &Instead::default(), &mut found);
        let view = View::new(self.merged, name);
        let waits = jail.problem.is_none()
            && jail.backend == "auto"
            && !jail.logs.is_empty()
            && jail.logs.iter().all(|log| log.files.is_empty())
            && jail.settings.iter().any(|setting| setting.option == "addjournalmatch");
        let unset = |option| {
            text(&view, option, &mut Vec::new())
                .ok()
                .flatten()
                .is_none_or(|value| truth(&value))
        };
        if runs && waits && unset("systemd_if_nologs") && logpath::has_journal() {
            let instead = Instead {
                backend: Some("systemd"),
                ..Instead::default()
            };
            return self.attempt(name, &instead, findings);
        }
        findings.append(&mut found);
        (runs, jail)
    }

    /// The jail as written, or with something else in it.
    pub(crate) fn attempt(
        &self,
        name: &str,
        instead: &Instead<'_>,
        findings: &mut Vec<Diagnostic>,
    ) -> (bool, JailConfig) {
        let view = View::new(self.merged, name);
        let mut jail = JailConfig {
            name: name.to_owned(),
            place: self
                .merged
                .section(name)
                .and_then(|section| section.place.clone())
                .unwrap_or_else(|| view.place("enabled")),
            backend: "auto".to_owned(),
            settings: Vec::new(),
            logs: Vec::new(),
            filter: String::new(),
            filter_files: Vec::new(),
            actions: Vec::new(),
            problem: None,
        };
        let runs = self
            .fill(&mut jail, view, instead, findings)
            .unwrap_or_else(|Left(reason)| {
                jail.settings.clear();
                jail.actions.clear();
                jail.problem = Some(reason);
                true
            });
        (runs, jail)
    }

    /// Reads all of a jail; `false` if it is not to run after all.
    fn fill(
        &self,
        jail: &mut JailConfig,
        view: View<'_>,
        instead: &Instead<'_>,
        findings: &mut Vec<Diagnostic>,
    ) -> Result<bool, Left> {
        let name = jail.name.clone();
        if let Some(backend) = instead.backend {
            backend.clone_into(&mut jail.backend);
        } else if let Some(backend) = text(&view, "backend", findings)? {
            jail.backend = backend;
        }
        let mut known = HashMap::default();
        let mut from_filter = Vec::new();
        let used = text(&view, "filter", findings)?.unwrap_or_default();
        if used.is_empty() {
            findings.push(
                Diagnostic::warning(format!("the jail `{name}` has no filter"), jail.place.clone())
                    .mend("filter = NAME"),
            );
        } else {
            let place = view.place("filter");
            let mut used = extended("filter", &used, &place, findings)?;
            for (name, value) in instead.passed {
                match used.options.iter_mut().find(|(known, _)| known == name) {
                    Some((_, old)) => value.clone_into(old),
                    None => used.options.push((name.clone(), value.clone())),
                }
            }
            let overridden = |option: &str| view.entry(option).is_some();
            let journal = jail.backend.starts_with("systemd");
            let filter_use = FilterUse {
                name: &used.name,
                passed: &used.options,
                place: &place,
                journal,
                overridden: &overridden,
                known: view.mentions("known/"),
            };
            match filter::read(self.tree, self.presets, &filter_use, findings) {
                None => {
                    let what = format!("the filter `{}` does not exist", used.name);
                    let looked = self.tree.dir().join("filter.d").join(format!("{}.conf", used.name));
                    findings.push(
                        Diagnostic::error(what, place)
                            .about(&used.name)
                            .why(format!(
                                "there is no {} (nor .local), and no built-in filter of this name",
                                looked.display()
                            ))
                            .mend("name an existing filter, or write this file"),
                    );
                    return Err(Left(cut(format!("Unable to read the filter {}", quoted(&used.name)))));
                }
                Some(Err(finding)) => return Err(left(finding, findings)),
                Some(Ok(filter)) => {
                    known = filter.known;
                    from_filter = filter.settings;
                    jail.filter = used.name;
                    jail.filter_files = filter.files;
                }
            }
        }
        let view = view.with_known(&known);
        // All that is wrong with the jail is told, not the first thing only.
        let mut reason = None;
        let mut left_out = |result: Result<(), Left>| {
            if let Err(left) = result {
                reason.get_or_insert(left);
            }
        };
        left_out(filter_options(&view, BEFORE_FILTER, &mut jail.settings, findings));
        jail.settings.append(&mut from_filter);
        left_out(filter_options(&view, AFTER_FILTER, &mut jail.settings, findings));
        for &(option, kind) in OPTIONS {
            left_out(own_option(option, kind, &view, &mut jail.settings, findings));
        }
        for setting in &jail.settings {
            left_out(check(setting, findings));
            left_out(self.keep(&setting.value, &setting.place, findings));
        }
        jail.settings
            .retain(|setting| !matches!(setting.value, Value::Invalid(_)));
        if instead.rules_only {
            return reason.map_or(Ok(true), Err);
        }
        left_out(self.actions(jail, &view, findings));
        let mut runs = false;
        left_out(logs(jail, &view, findings).map(|wanted| runs = wanted));
        for log in &jail.logs {
            let files = Value::Words(log.files.clone());
            left_out(self.keep(&files, &log.place, findings));
        }
        reason.map_or(Ok(runs), Err)
    }

    /// Counts a value that stays in memory.
    fn keep(&self, value: &Value, place: &Place, findings: &mut Vec<Diagnostic>) -> Result<(), Left> {
        if self.tree.work().keep(value) {
            return Ok(());
        }
        Err(left(work::too_large(place.clone()), findings))
    }

    fn actions(&self, jail: &mut JailConfig, view: &View<'_>, findings: &mut Vec<Diagnostic>) -> Result<(), Left> {
        let value = text(view, "action", findings)?.unwrap_or_default();
        let place = view.place("action");
        let options = JailTags::new(*view);
        let mut reason = None;
        for item in options::split_list(&value) {
            let used = match extended("action", item, &place, findings) {
                Ok(used) => used,
                Err(left) => {
                    reason.get_or_insert(left);
                    continue;
                }
            };
            let place = place.clone();
            let action_use = ActionUse {
                jail: &jail.name,
                used: &used,
                place: &place,
                options: &options,
            };
            match action::read(self.tree, self.presets, &action_use, findings) {
                Ok(action) => {
                    if jail.actions.iter().any(|other| other.name == action.name) {
                        let what = format!("the jail `{}` has the action `{}` twice", jail.name, action.name);
                        let why = "the second takes the place of the first";
                        findings.push(
                            Diagnostic::warning(what, place.clone())
                                .why(why)
                                .mend(format!("{}[name=ANOTHER]", used.name)),
                        );
                    }
                    if let ActionKind::Properties(properties) = &action.kind {
                        for property in properties {
                            self.keep(&property.value, &property.place, findings)?;
                        }
                    }
                    jail.actions.push(action);
                }
                Err(ActionFault::Missing) => {
                    let looked = self.tree.dir().join("action.d").join(format!("{}.conf", used.name));
                    findings.push(
                        Diagnostic::error(format!("the action `{}` does not exist", used.name), place)
                            .about(&used.name)
                            .why(format!(
                                "there is no {} (nor .local), and no built-in action of this name",
                                looked.display()
                            ))
                            .mend("name an existing action, or write this file"),
                    );
                    reason.get_or_insert(Left(cut(format!("Unable to read action {}", quoted(&used.name)))));
                }
                Err(ActionFault::Bad(finding)) => {
                    reason.get_or_insert(left(*finding, findings));
                }
            }
        }
        if let Some(left) = reason {
            return Err(left);
        }
        if jail.actions.is_empty() {
            let what = format!("the jail `{}` has no action", jail.name);
            findings.push(
                Diagnostic::warning(what, jail.place.clone())
                    .why("bans are counted but nothing is blocked")
                    .mend("action = %(action_)s"),
            );
        }
        Ok(())
    }
}

/// Takes a finding as the reason why a jail is left out.
fn left(finding: Diagnostic, findings: &mut Vec<Diagnostic>) -> Left {
    let place = finding
        .place
        .as_ref()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    let reason = format!("{}{place}", finding.what);
    findings.push(finding);
    Left(reason)
}

fn text(view: &View<'_>, option: &str, findings: &mut Vec<Diagnostic>) -> Result<Option<String>, Left> {
    view.get(option)
        .map_err(|error| left(error.diagnostic(view.place(option)), findings))
}

fn extended(kind: &str, text: &str, place: &Place, findings: &mut Vec<Diagnostic>) -> Result<Extended, Left> {
    options::parse(text).map_err(|error| {
        findings.push(
            Diagnostic::error(format!("`{text}` is no {kind}: {error}"), place.clone())
                .about(text)
                .why("options are written name[option=value, other=\"a value, with a comma\"]")
                .mend("put values with commas or brackets in quotation marks, and a comma right after each value"),
        );
        Left(cut(format!("Invalid {kind} definition {}: {error}", quoted(text))))
    })
}

/// The options of a filter that the jail sets itself.
fn filter_options(
    view: &View<'_>,
    names: &[&str],
    settings: &mut Vec<Setting>,
    findings: &mut Vec<Diagnostic>,
) -> Result<(), Left> {
    for &name in names {
        let Some(value) = text(view, name, findings)? else {
            continue;
        };
        let place = view.place(name);
        let lines = || located(view, name, &value);
        settings.extend(filter::of_filter(name, &value, &place, lines));
    }
    Ok(())
}

/// The lines of a value with the places they come from; empty ones are dropped.
fn located(view: &View<'_>, option: &str, value: &str) -> Vec<Line> {
    let wanted = || value.split('\n').filter(|line| !line.is_empty());
    let found: Vec<Line> = view
        .lines(option)
        .unwrap_or_default()
        .into_iter()
        .filter(|(text, _)| !text.is_empty())
        .map(|(text, place)| Line { text, place })
        .collect();
    if found.iter().map(|line| line.text.as_str()).eq(wanted()) {
        return found;
    }
    let place = view.place(option);
    wanted()
        .map(|line| Line {
            text: line.to_owned(),
            place: place.clone(),
        })
        .collect()
}

/// One of the jail's own options, if it is set.
fn own_option(
    option: &'static str,
    kind: Kind,
    view: &View<'_>,
    settings: &mut Vec<Setting>,
    findings: &mut Vec<Diagnostic>,
) -> Result<(), Left> {
    if let Some(value) = text(view, option, findings)? {
        let command = if option == "ignoreip" { "addignoreip" } else { option };
        settings.push(Setting {
            option: command.into(),
            value: own_value(option, kind, &value, view, findings)?,
            place: view.place(option),
        });
    }
    Ok(())
}

fn own_value(
    option: &str,
    kind: Kind,
    value: &str,
    view: &View<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Result<Value, Left> {
    Ok(match kind {
        Kind::Text => Value::Text(value.to_owned()),
        Kind::Int => Value::int(value),
        Kind::Bool => Value::bool(value),
        // HEAD's separators; 1.0.2 does not know the tab.
        Kind::Words => {
            let words = value
                .split(|c: char| c == ',' || is_space(c))
                .filter(|word| !word.is_empty());
            Value::Words(words.map(str::to_owned).collect())
        }
        Kind::Time => match duration::parse(value) {
            Ok(_) => Value::Text(value.to_owned()),
            Err(error) => {
                let finding = Diagnostic::error(
                    format!("`{option} = {value}` is not a time: {error}"),
                    view.place(option),
                );
                return Err(left(
                    finding
                        .about(value)
                        .why(format!("`{option}` is a span of time"))
                        .mend(duration::MEND),
                    findings,
                ));
            }
        },
    })
}

/// Finds values that the server would refuse.
fn check(setting: &Setting, findings: &mut Vec<Diagnostic>) -> Result<(), Left> {
    let option = setting.option.as_ref();
    let place = setting.place.clone();
    match &setting.value {
        Value::Invalid(text) if option == "addjournalmatch" => {
            let finding = Diagnostic::error(
                format!("`journalmatch` has a quotation mark that is not closed: `{text}`"),
                place,
            );
            Err(left(
                finding.mend("close it, or write \\\" for one that is meant"),
                findings,
            ))
        }
        // A filter without this number sees one line at a time.
        Value::Invalid(text) if option == "maxlines" => {
            let what = format!("`maxlines` must be a whole number, not `{text}`; it is left out");
            findings.push(Diagnostic::warning(what, place).about(text).mend("maxlines = 1"));
            Ok(())
        }
        Value::Invalid(text) => {
            let finding = Diagnostic::error(format!("`{option}` must be a whole number, not `{text}`"), place);
            let why = match option {
                "maxretry" => "a jail bans after this many failures within `findtime`",
                _ => "this many log lines are kept with each failure",
            };
            Err(left(
                finding.about(text).why(why).mend(format!("{option} = 5")),
                findings,
            ))
        }
        _ => Ok(()),
    }
}

/// Reads `logpath`; `false` if the jail is to be skipped because it has no log.
fn logs(jail: &mut JailConfig, view: &View<'_>, findings: &mut Vec<Diagnostic>) -> Result<bool, Left> {
    if jail.backend.starts_with("systemd") {
        return Ok(true);
    }
    let Some(value) = text(view, "logpath", findings)? else {
        return Ok(true);
    };
    for line in located(view, "logpath", &value) {
        if line.text.trim().is_empty() {
            continue;
        }
        match LogPath::parse(&line.text, line.place.clone()) {
            Ok(log) => jail.logs.push(log),
            Err(word) => {
                let what = format!("`{word}` behind a path of `logpath` is neither head nor tail");
                let finding = Diagnostic::error(what, line.place).about(&word);
                return Err(left(finding.why("it says where reading begins").mend("tail"), findings));
            }
        }
    }
    if jail.logs.iter().any(|log| !log.files.is_empty()) {
        return Ok(true);
    }
    let what = format!("no log of the jail `{}` exists yet", jail.name);
    let place = view.place("logpath");
    if text(view, "skip_if_nologs", findings)?.is_some_and(|value| truth(&value)) {
        findings.push(
            Diagnostic::warning(format!("{what}; it is skipped"), place)
                .why("skip_if_nologs is set")
                .mend("check `logpath`"),
        );
        return Ok(false);
    }
    // Built-in jails wait for logs that many systems never have.
    let builtin = place.file.starts_with("built-in/");
    if !jail.logs.is_empty() && !builtin {
        let paths: Vec<_> = jail.logs.iter().map(|log| log.pattern.as_str()).collect();
        let why = format!("it waits for {}", paths.join(", "));
        findings.push(
            Diagnostic::warning(what, place)
                .why(why)
                .mend("check `logpath`, or leave it if the log is still to come"),
        );
    }
    Ok(true)
}

//! A filter file as a jail uses it.

use crate::names::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::definition::{Definition, DefinitionError, Kind, Property, References};
use crate::diagnostic::{Diagnostic, Place};
use crate::interpolate::View;
use crate::merge::{Merged, Tree};
use crate::setting::{Line, Setting, Value};
use crate::shell_words;

/// The options of a filter that the server hears of, in Fail2Ban's order.
pub(crate) const OPTIONS: &[&str] = &[
    "usedns",
    "prefregex",
    "maxlines",
    "ignoreregex",
    "failregex",
    "datepattern",
    "journalmatch",
];

const KIND: Kind = Kind {
    options: OPTIONS,
    reserved: &[],
    references: References::PassedAndInit,
};

/// The same as `%(known/x)s` of a jail sees it.
const KNOWN: Kind = Kind {
    references: References::PassedInOptions,
    ..KIND
};

/// A filter with its tags replaced.
pub(crate) struct Filter {
    /// The settings it makes, in the order in which Fail2Ban sends them.
    pub(crate) settings: Vec<Setting>,
    /// What `%(known/x)s` means in the jail.
    pub(crate) known: HashMap<String, String>,
    /// The files it was read from.
    pub(crate) files: Vec<Arc<str>>,
    /// What is wrong with options that make no setting; Fail2Ban refuses all of the configuration for them.
    faults: Vec<Diagnostic>,
}

/// Reads `filter.d/NAME` with the options that the jail passes; `None` if there is no such filter.
///
/// `journal` is whether the jail reads the journal: `logtype` follows it unless something sets it. `overridden` tells
/// which options the jail sets itself.
pub(crate) fn read(
    tree: &Tree,
    presets: &[(&str, &str)],
    use_: &FilterUse<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Result<Filter, Diagnostic>> {
    let merged = tree.read(Path::new("filter.d").join(use_.name), presets, findings)?;
    if merged.section("Definition").is_none() {
        let file = merged.files.first().cloned().unwrap_or_default();
        findings.push(
            Diagnostic::warning(
                format!("the filter `{}` has no [Definition]", use_.name),
                Place::file(&file),
            )
            .why("`failregex` and the other rules stand there")
            .mend("put a line [Definition] before them"),
        );
    }
    let mut filter = use_.resolve(&merged);
    if let Ok(filter) = &mut filter {
        findings.append(&mut filter.faults);
    }
    Some(filter.map_err(|error| error.diagnostic(use_.place.clone())))
}

/// How a jail uses a filter.
pub(crate) struct FilterUse<'a> {
    pub(crate) name: &'a str,
    pub(crate) passed: &'a [(String, String)],
    pub(crate) place: &'a Place,
    pub(crate) journal: bool,
    /// Whether the jail sets this option itself.
    pub(crate) overridden: &'a dyn Fn(&str) -> bool,
    /// Whether the jail uses `%(known/x)s`.
    pub(crate) known: bool,
}

impl FilterUse<'_> {
    pub(crate) fn resolve(&self, merged: &Merged) -> Result<Filter, DefinitionError> {
        let mut passed = self.passed.to_vec();
        let set = |name: &str| passed.iter().any(|(known, _)| known == name);
        let defined = merged
            .section("Definition")
            .is_some_and(|section| section.get("logtype").is_some());
        if !set("logtype") && !defined {
            passed.push((
                "logtype".to_owned(),
                if self.journal { "journal" } else { "file" }.to_owned(),
            ));
        }
        let definition = Definition::combine(merged, &KIND, &passed, self.place, None)?;
        let mut settings = Vec::new();
        let unused = definition.faults.iter().cloned();
        let mut faults: Vec<Diagnostic> = unused.map(|fault| fault.diagnostic(self.place.clone())).collect();
        let own = definition.known.len();
        for (index, property) in definition.properties().enumerate() {
            let value = definition.substitute(&property.name, &property.place, &property.value)?;
            let name = property.name.as_str();
            // The jail's own option takes the place of the one in [Definition]. To what is passed or in [Init] it is
            // added, with Fail2Ban as with us.
            let hidden = index < own && (self.overridden)(name);
            if OPTIONS.contains(&name) && !hidden {
                settings.extend(setting(name, property, &value, &definition));
            }
        }
        // What nothing uses may be at fault too.
        for (name, value) in helpers(&definition, merged) {
            faults.extend(
                value
                    .err()
                    .map(|error| error.diagnostic(View::new(merged, "Definition").place(name))),
            );
        }
        // Fail2Ban sends these three before the rest, `usedns` first of all.
        settings.sort_by_key(|setting| match setting.option.as_ref() {
            "usedns" => 0,
            "prefregex" | "maxlines" => 1,
            _ => 2,
        });
        let known = if self.known {
            known(merged, &passed, self.place)
        } else {
            HashMap::default()
        };
        Ok(Filter {
            settings,
            known,
            files: merged.files.clone(),
            faults,
        })
    }
}

/// The options of `[Definition]` that make no setting, with their tags replaced.
fn helpers<'a>(
    definition: &'a Definition<'_>,
    merged: &'a Merged,
) -> impl Iterator<Item = (&'a str, Result<String, DefinitionError>)> {
    let options = merged
        .section("Definition")
        .into_iter()
        .flat_map(|section| &section.options);
    options
        .filter(|(name, _)| !OPTIONS.contains(&name.as_str()))
        .map(|(name, entry)| {
            (
                name.as_str(),
                definition.substitute(name, &entry.place, &format!("<{name}>")),
            )
        })
}

/// What `%(known/x)s` means in a jail with this filter.
fn known(merged: &Merged, passed: &[(String, String)], place: &Place) -> HashMap<String, String> {
    // What cannot be made out has been told already.
    let Ok(definition) = Definition::combine(merged, &KNOWN, passed, place, None) else {
        return HashMap::default();
    };
    let mut known: HashMap<String, String> = helpers(&definition, merged)
        .filter_map(|(name, value)| Some((name.to_owned(), value.ok()?)))
        .collect();
    for property in definition.properties() {
        if let Ok(value) = definition.substitute(&property.name, &property.place, &property.value) {
            known.insert(property.name.clone(), value);
        }
    }
    known
}

fn setting(name: &str, property: &Property, value: &str, definition: &Definition<'_>) -> Vec<Setting> {
    let lines = || {
        definition
            .substituted_lines(property, value)
            .into_iter()
            .map(|(text, place)| Line { text, place })
            .collect()
    };
    of_filter(name, value, &property.place, lines)
}

/// The settings that a filter's option makes, wherever it is set.
pub(crate) fn of_filter(name: &str, value: &str, place: &Place, lines: impl FnOnce() -> Vec<Line>) -> Vec<Setting> {
    let one = |option: &'static str, value: Value| {
        vec![Setting {
            option: option.into(),
            value,
            place: place.clone(),
        }]
    };
    match name {
        "failregex" | "ignoreregex" => {
            let lines = lines();
            let option = if name == "failregex" {
                "addfailregex"
            } else {
                "addignoreregex"
            };
            if lines.is_empty() {
                Vec::new()
            } else {
                one(option, Value::Lines(lines))
            }
        }
        "maxlines" => one("maxlines", Value::int(value)),
        "journalmatch" => value
            .split('\n')
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                let value = shell_words::split(line).map_or_else(|| Value::Invalid(line.to_owned()), Value::Words);
                Setting {
                    option: "addjournalmatch".into(),
                    value,
                    place: place.clone(),
                }
            })
            .collect(),
        "usedns" => one("usedns", Value::Text(value.to_owned())),
        "prefregex" => one("prefregex", Value::Text(value.to_owned())),
        "datepattern" => one("datepattern", Value::Text(value.to_owned())),
        _ => Vec::new(),
    }
}

//! One jail with all that it is made of: each value with the file and line that set it, and what that overrode.
//!
//! Start reading at [`show`].

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::action::{ActionKind, ActionProperty};
use crate::diagnostic::{Diagnostic, Place};
use crate::ini::Entry;
use crate::interpolate::{View, references};
use crate::jail::{self, JailConfig, Jails};
use crate::merge::{Merged, Section, Tree};
use crate::setting::{Line, Value};
use crate::{Overrides, presets};

/// A jail as its files make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whether it is to run.
    pub enabled: bool,
    /// The jail as the server is told of it.
    pub jail: JailConfig,
    /// Its own options: those of its section, and the defaults that it uses. `jail.*` are the files.
    pub own: Part,
    /// Its filter, if it has one that can be read.
    pub filter: Option<Part>,
    /// Its actions, in order; those of Python have no options here.
    pub actions: Vec<Part>,
    /// What was found wrong with it.
    pub diagnostics: Vec<Diagnostic>,
}

/// A group of files and what they set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The jail's, filter's or action's name.
    pub name: String,
    /// The files that were read, in order.
    pub files: Vec<Arc<str>>,
    /// The options, in the order in which the server is told them.
    pub options: Vec<ShownOption>,
}

impl Part {
    /// The option of this name.
    pub fn option(&self, name: &str) -> Option<&ShownOption> {
        self.options.iter().find(|option| option.name == name)
    }
}

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownOption {
    /// Its name.
    pub name: String,
    /// Its value, references and tags replaced; several rules are lines.
    pub value: String,
    /// The rules with the lines they come from, if it is a list of them.
    pub rules: Vec<Line>,
    /// As the file has it, if that is something else.
    pub written: Option<String>,
    /// Where it stands.
    pub place: Place,
    /// What it was before, the last value first.
    pub overrode: Vec<Earlier>,
    /// Whether anything reads it.
    pub used: bool,
}

/// A value that another file, or the jail's own section, replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// As the file has it.
    pub written: String,
    /// Where it stands.
    pub place: Place,
}

/// The jail `name`; `None` if no file has such a section.
pub fn show(dir: &Path, overrides: &Overrides, name: &str) -> Option<Shown> {
    let tree = Tree::new(dir);
    let directory = dir.to_string_lossy();
    let presets = presets(overrides, &directory);
    let mut diagnostics = Vec::new();
    let merged = tree.read("jail", &presets, &mut diagnostics)?;
    // A file that cannot be read is told by whoever loads all of it.
    diagnostics.clear();
    let section = merged.section(name).filter(|_| jail::is_jail(name))?;
    let jails = Jails {
        tree: &tree,
        presets: &presets,
        merged: &merged,
    };
    let enabled = jails.enabled(name, &mut diagnostics);
    let (_, jail) = jails.jail(name, &mut diagnostics);
    let mut shown = Shown {
        enabled,
        own: own(&merged, section),
        filter: None,
        actions: Vec::new(),
        jail,
        diagnostics,
    };
    // What is wrong with these files has been told while the jail was read.
    let mut unused = Vec::new();
    let passed = shown.own.option("filter").map(|option| option.place.clone());
    if !shown.jail.filter.is_empty()
        && let Some(files) = tree.read(Path::new("filter.d").join(&shown.jail.filter), &presets, &mut unused)
    {
        let of_filter = |place: &Place| files.files.contains(&place.file) || passed.as_ref() == Some(place);
        let settings = shown.jail.settings.iter().filter(|setting| of_filter(&setting.place));
        shown.filter = Some(Part {
            name: shown.jail.filter.clone(),
            files: files.files.clone(),
            options: settings
                .map(|setting| option(&files, &setting.option, &setting.value, &setting.place))
                .collect(),
        });
    }
    for action in &shown.jail.actions {
        let mut options = Vec::new();
        if let ActionKind::Properties(properties) = &action.kind {
            let files = tree
                .read(Path::new("action.d").join(&action.base), &presets, &mut unused)
                .unwrap_or_default();
            let property = |property: &ActionProperty| option(&files, &property.name, &property.value, &property.place);
            options = properties.iter().map(property).collect();
        }
        shown.actions.push(Part {
            name: action.name.clone(),
            files: action.files.clone(),
            options,
        });
    }
    Some(shown)
}

/// What an option is in each of these jails, and where it stands; the files are read once.
pub fn option_of(dir: &Path, overrides: &Overrides, jails: &[&str], option: &str) -> Vec<Option<(String, Place)>> {
    let tree = Tree::new(dir);
    let directory = dir.to_string_lossy();
    let merged = tree
        .read("jail", &presets(overrides, &directory), &mut Vec::new())
        .unwrap_or_default();
    let value = |name: &&str| {
        let view = View::new(&merged, name);
        Some((view.get(option).ok().flatten()?, view.place(option)))
    };
    jails.iter().map(value).collect()
}

/// The options of the jail's own section, and of the defaults those that it uses.
fn own(merged: &Merged, section: &Section) -> Part {
    let view = View::new(merged, &section.name);
    let mut names: Vec<&str> = jail::option_names()
        .filter(|option| view.entry(option).is_some())
        .collect();
    let reached = reached(&view, &names);
    names.extend(section.options.iter().map(|(option, _)| option.as_str()));
    let defaults = merged.defaults.options.iter().map(|(option, _)| option.as_str());
    names.extend(defaults.filter(|option| reached.contains(*option)));
    let mut seen = HashSet::new();
    names.retain(|option| seen.insert(*option));
    let options = names.into_iter().filter_map(|option| {
        let entry = view.entry(option)?;
        let value = view.get(option).ok().flatten().unwrap_or_else(|| entry.value.clone());
        let mut overrode = Vec::new();
        if section.get(option).is_some() {
            overrode.extend(section.overridden(option).iter().rev().map(Earlier::new));
            overrode.extend(merged.defaults.get(option).map(Earlier::new));
        }
        overrode.extend(merged.defaults.overridden(option).iter().rev().map(Earlier::new));
        Some(ShownOption {
            name: option.to_owned(),
            written: (entry.value != value).then(|| entry.value.clone()),
            value,
            rules: Vec::new(),
            place: entry.place.clone(),
            overrode,
            used: jail::option_names().any(|known| known == option) || reached.contains(option),
        })
    });
    Part {
        name: section.name.to_string(),
        files: merged.files.clone(),
        options: options.collect(),
    }
}

/// The options that the values of `from` are made from, over any number of steps.
pub(crate) fn reached(view: &View<'_>, from: &[&str]) -> HashSet<String> {
    let mut reached = HashSet::new();
    let mut open: Vec<String> = from.iter().map(|&name| name.to_owned()).collect();
    while let Some(name) = open.pop() {
        let Some(entry) = view.entry(&name) else { continue };
        for reference in references(&entry.value) {
            let reference = reference.to_lowercase();
            let plain = reference
                .rsplit_once('/')
                .map_or(reference.as_str(), |(_, plain)| plain);
            if reached.insert(plain.to_owned()) {
                open.push(plain.to_owned());
            }
        }
    }
    reached
}

/// An option of a filter or an action, found again by its place.
fn option(files: &Merged, name: &str, value: &Value, place: &Place) -> ShownOption {
    let plain = name.strip_prefix("add").unwrap_or(name);
    let found = files.sections.iter().find_map(|section| {
        let entry = section.get(plain).filter(|entry| entry.place == *place)?;
        Some((section, entry))
    });
    let rules = match value {
        Value::Lines(lines) => lines.clone(),
        _ => Vec::new(),
    };
    let value = text(value);
    ShownOption {
        name: plain.to_owned(),
        written: found
            .map(|(_, entry)| entry.value.clone())
            .filter(|written| *written != value),
        value,
        rules,
        place: place.clone(),
        overrode: found.map_or_else(Vec::new, |(section, _)| {
            section.overridden(plain).iter().rev().map(Earlier::new).collect()
        }),
        used: true,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Invalid(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Words(words) => words.join(" "),
        Value::Lines(lines) => {
            let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
            texts.join("\n")
        }
    }
}

impl Earlier {
    fn new(entry: &Entry) -> Self {
        Self {
            written: entry.value.clone(),
            place: entry.place.clone(),
        }
    }
}

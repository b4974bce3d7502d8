//! `%(x)s`: values made from other values, as the client does it before any `<tag>`.
//!
//! Rules: behaviour spec 1.4. Start reading at [`View::get`].

use crate::names::HashMap;
use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, Place};
use crate::ini::{Entry, FILE_LIMIT_BYTES};
use crate::jail_tags::JailTags;
use crate::merge::{Merged, Section};
use crate::work;

/// Python's limit for values within values.
const DEPTH_LIMIT: usize = 10;
/// Largest value: what is written out in a file fits, but `a = %(b)s%(b)s`, `b = %(c)s%(c)s`, … does not fill memory.
const VALUE_LIMIT_BYTES: usize = FILE_LIMIT_BYTES;
/// Most references followed for one value; keeps the same trick with empty values from taking for ever.
const STEP_LIMIT: usize = 20_000;

/// Why a value cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterpolationError {
    pub(crate) option: String,
    pub(crate) kind: InterpolationFault,
    pub(crate) place: Option<Place>,
}

/// What is wrong with a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InterpolationFault {
    /// `%(name)s` names nothing.
    Unknown(String),
    /// A `%` that begins neither `%%` nor `%(`.
    LonePercent(String),
    /// `%(` without `)s`.
    Unterminated(String),
    /// More than ten values within one another, or a circle.
    TooDeep,
    /// The result would be too large.
    TooLarge,
    /// All values of the configuration together are too large.
    Exhausted,
}

impl InterpolationError {
    /// The finding; `fallback` is used if the value's own place is not known.
    pub(crate) fn diagnostic(self, fallback: Place) -> Diagnostic {
        let place = self.place.unwrap_or(fallback);
        let option = self.option;
        match self.kind {
            InterpolationFault::Unknown(name) => {
                let what = format!("`{option}` uses `%({name})s`, which is not set");
                let why = "`%(x)s` is the option `x` of the same section or of [DEFAULT]; options of [Init] are reached as `<x>`";
                Diagnostic::error(what, place)
                    .why(why)
                    .mend(format!("set `{name}`, or write `%%({name})s` if this text is meant"))
            }
            InterpolationFault::LonePercent(text) => {
                Diagnostic::error(format!("`{option}` has a lone `%` in `{text}`"), place)
                    .why("`%` begins a reference such as `%(x)s`")
                    .mend("write `%%` for one `%`")
            }
            InterpolationFault::Unterminated(text) => {
                Diagnostic::error(format!("`{option}` has an unfinished reference in `{text}`"), place)
                    .why("a reference is written `%(name)s`")
                    .mend("write `)s` after the name, or `%%(` for the text `%(`")
            }
            InterpolationFault::TooDeep => Diagnostic::error(
                format!("`{option}` goes through more than {DEPTH_LIMIT} values"),
                place,
            )
            .why("values refer to one another in a circle, or `%(known/…)s` is used in two files for the same option")
            .mend("write one of the values out"),
            InterpolationFault::Exhausted => work::too_large(place),
            InterpolationFault::TooLarge => {
                Diagnostic::error(format!("`{option}` grows beyond {} MB", VALUE_LIMIT_BYTES >> 20), place)
                    .why("references multiply within one another")
                    .mend("write the value out")
            }
        }
    }
}

/// What a name stands for.
enum Raw<'a> {
    /// A file's value, references and all.
    Text(&'a str),
    /// A value that is complete: what a jail passes has been interpolated there, and a `%` in it is a `%`.
    Final(&'a str),
}

/// The name of an option as files are searched for it.
pub(crate) fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.to_lowercase())
    }
}

/// A section as its options see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    merged: &'a Merged,
    section: Option<&'a Section>,
    name: &'a str,
    /// Values that hide the section's own (options passed in `name[x=y]`), by lower-case name.
    passed: Option<&'a HashMap<String, String>>,
    /// Values that hide the section's own where `passed` has none: a jail's options, in its actions.
    jail: Option<&'a JailTags<'a>>,
    /// What `known/x` means beside the files' own: the filter's options, in a jail.
    known: Option<&'a HashMap<String, String>>,
    /// Whether options are what they were in the files before, where a later one has overridden them.
    earlier: bool,
}

impl<'a> View<'a> {
    pub(crate) fn new(merged: &'a Merged, section: &'a str) -> Self {
        Self {
            merged,
            section: merged.section(section),
            name: section,
            passed: None,
            jail: None,
            known: None,
            earlier: false,
        }
    }

    pub(crate) fn with_passed(self, passed: &'a HashMap<String, String>) -> Self {
        Self {
            passed: Some(passed),
            ..self
        }
    }

    pub(crate) fn with_jail(self, jail: Option<&'a JailTags<'a>>) -> Self {
        Self { jail, ..self }
    }

    /// The value that hides the section's own.
    fn hiding(&self, name: &str) -> Option<&'a str> {
        let passed = self.passed.and_then(|passed| passed.get(name)).map(String::as_str);
        passed.or_else(|| self.jail?.get(name))
    }

    pub(crate) fn with_known(self, known: &'a HashMap<String, String>) -> Self {
        Self {
            known: Some(known),
            ..self
        }
    }

    /// The section as `<known/x>` sees it: references in that value lead to earlier values too.
    ///
    /// What no later file has overridden, Fail2Ban does not find there, and refuses all; for us it is what it is.
    pub(crate) fn earlier(self) -> Self {
        Self { earlier: true, ..self }
    }

    /// The raw entry of an option of this section or of the defaults.
    pub(crate) fn entry(&self, option: &str) -> Option<&'a Entry> {
        let before = self.section.filter(|_| self.earlier);
        if let Some(entry) =
            before.and_then(|section| section.known(option).or_else(|| self.merged.defaults.get(option)))
        {
            return Some(entry);
        }
        self.section
            .and_then(|section| section.get(option))
            .or_else(|| self.merged.defaults.get(option))
    }

    /// Whether any value of this section or of the defaults has `text` in it.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        let own = self.section.into_iter().chain([&self.merged.defaults]);
        own.flat_map(|section| &section.options)
            .any(|(_, entry)| entry.value.contains(text))
    }

    /// Where an option stands, or else its section.
    pub(crate) fn place(&self, option: &str) -> Place {
        let section = || self.section.and_then(|section| section.place.clone());
        self.entry(option)
            .map(|entry| entry.place.clone())
            .or_else(section)
            .unwrap_or_else(|| {
                let file = self.merged.files.first().map_or("the configuration", |file| &**file);
                Place {
                    section: self.name.into(),
                    ..Place::file(file)
                }
            })
    }

    /// The value of `option`; `None` if nothing sets it.
    pub(crate) fn get(&self, option: &str) -> Result<Option<String>, InterpolationError> {
        match self.raw(&lower(option)) {
            None => Ok(None),
            Some(Raw::Final(value)) => Ok(Some(value.to_owned())),
            Some(Raw::Text(text)) => self.expand(option, text).map(Some),
        }
    }

    /// `text` with its references replaced, as the value of `option`.
    pub(crate) fn expand(&self, option: &str, text: &str) -> Result<String, InterpolationError> {
        let mut out = String::new();
        let mut steps = 0;
        self.append(text, 1, &mut out, &mut steps)
            .map_err(|kind| InterpolationError {
                option: option.to_owned(),
                kind,
                place: self.entry(option).map(|entry| entry.place.clone()),
            })?;
        Ok(out)
    }

    /// Where each line of an option's value comes from; `None` if that cannot be told.
    ///
    /// Follows lines that are one reference only (`%(known/failregex)s`, `%(cmnfailre)s`) to the lines they stand for.
    pub(crate) fn lines(&self, option: &str) -> Option<Vec<(String, Place)>> {
        let mut out = Vec::new();
        self.append_lines(self.entry(option)?, 0, &mut out)?;
        Some(out)
    }

    fn append_lines(&self, entry: &Entry, depth: usize, out: &mut Vec<(String, Place)>) -> Option<()> {
        if depth > DEPTH_LIMIT || out.len() > STEP_LIMIT {
            return None;
        }
        for (index, line) in entry.value.split('\n').enumerate() {
            let whole = line
                .strip_prefix("%(")
                .and_then(|rest| rest.strip_suffix(")s"))
                .filter(|name| !name.contains(['(', ')', '%']));
            if let Some(target) = whole.and_then(|name| self.entry_of(&lower(name))) {
                self.append_lines(target, depth + 1, out)?;
                continue;
            }
            let expanded = self.expand("", line).ok()?;
            out.extend(
                expanded
                    .split('\n')
                    .map(|part| (part.to_owned(), entry.place_of(index))),
            );
        }
        Some(())
    }

    /// The entry that a reference means, if it is one (and not a passed option or a filter's).
    pub(crate) fn entry_of(&self, name: &str) -> Option<&'a Entry> {
        if self.hiding(name).is_some() {
            return None;
        }
        self.unhidden(name)
    }

    /// The same without a look at what hides it.
    fn unhidden(&self, name: &str) -> Option<&'a Entry> {
        if let Some(option) = name.strip_prefix("known/") {
            if self.known.is_some_and(|known| known.contains_key(option)) {
                return None;
            }
            return self
                .section
                .and_then(|section| section.known(option))
                .or_else(|| self.merged.defaults.get(option));
        }
        if let Some(entry) = self.entry(name) {
            return Some(entry);
        }
        let (section, option) = name.split_once('/')?;
        if section == "default" {
            return self.merged.defaults.get(option);
        }
        let section = self.merged.section(section)?;
        section.get(option).or_else(|| self.merged.defaults.get(option))
    }

    /// What `name` (in lower case) stands for, before interpolation.
    fn raw(&self, name: &str) -> Option<Raw<'a>> {
        if let Some(value) = self.hiding(name) {
            return Some(Raw::Final(value));
        }
        if name == "__name__" {
            return Some(Raw::Final(self.name));
        }
        if let Some(value) = name.strip_prefix("known/").and_then(|option| self.known?.get(option)) {
            return Some(Raw::Final(value));
        }
        self.unhidden(name).map(|entry| Raw::Text(&entry.value))
    }

    fn append(&self, text: &str, depth: usize, out: &mut String, steps: &mut usize) -> Result<(), InterpolationFault> {
        if depth > DEPTH_LIMIT {
            return Err(InterpolationFault::TooDeep);
        }
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                out.push('%');
                rest = after;
                continue;
            }
            let Some(reference) = after.strip_prefix('(') else {
                return Err(InterpolationFault::LonePercent(excerpt(rest, before.len())));
            };
            let named = reference.split_once(')').filter(|(name, _)| !name.is_empty());
            let Some((name, after)) = named.and_then(|(name, after)| Some((name, after.strip_prefix('s')?))) else {
                return Err(InterpolationFault::Unterminated(excerpt(rest, before.len())));
            };
            *steps += 1;
            if !self.merged.work.spend(before.len()) {
                return Err(InterpolationFault::Exhausted);
            }
            if *steps > STEP_LIMIT || out.len() > VALUE_LIMIT_BYTES {
                return Err(InterpolationFault::TooLarge);
            }
            match self.raw(&lower(name)) {
                None => return Err(InterpolationFault::Unknown(name.to_owned())),
                Some(Raw::Text(value)) if value.contains('%') => self.append(value, depth + 1, out, steps)?,
                Some(Raw::Final(value)) if value.contains('%') => {
                    // Fail2Ban reads it once more, and refuses all of the configuration if a `%` in it stands alone.
                    let before = out.len();
                    if self.append(value, depth + 1, out, steps).is_err() {
                        out.truncate(before);
                        out.push_str(value);
                    }
                }
                Some(Raw::Text(value) | Raw::Final(value)) => out.push_str(value),
            }
            rest = after;
        }
        out.push_str(rest);
        if !self.merged.work.spend(rest.len()) {
            return Err(InterpolationFault::Exhausted);
        }
        if out.len() > VALUE_LIMIT_BYTES {
            Err(InterpolationFault::TooLarge)
        } else {
            Ok(())
        }
    }
}

/// The names that a value refers to: `x` for each `%(x)s`.
pub(crate) fn references(text: &str) -> impl Iterator<Item = &str> {
    let pieces = text.split("%(").skip(1);
    pieces.filter_map(|piece| piece.split_once(")s").map(|(name, _)| name))
}

/// The faulty piece of a value, short enough to show.
fn excerpt(text: &str, from: usize) -> String {
    text.get(from..)
        .unwrap_or(text)
        .chars()
        .take_while(|&character| character != '\n')
        .take(40)
        .collect()
}

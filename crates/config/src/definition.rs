//! What filter and action files have in common: `[Definition]`, `[Init]`, `[Init?family=inet6]`, and the options that a
//! jail passes in `name[opt=value]`.
//!
//! Rules: behaviour spec 1.6. Start reading at [`Definition::combine`].

use crate::names::{HashMap, HashSet};
use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, Place};
use crate::interpolate::{InterpolationError, InterpolationFault, View, lower};
use crate::jail_tags::JailTags;
use crate::merge::{Merged, Section};
use crate::tags::{self, TagError};

/// One option, its references replaced, its tags not yet.
#[derive(Clone, Debug)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) place: Place,
    /// The value line by line with the places they come from; empty if that cannot be told.
    pub(crate) lines: Vec<(String, Place)>,
}

/// A filter or action file with a jail's options put in.
#[derive(Debug)]
pub(crate) struct Definition<'a> {
    merged: &'a Merged,
    /// The options of `[Definition]` that Fail2Ban knows, in its order, without those passed or in `[Init]`.
    pub(crate) known: Vec<Property>,
    /// What the jail passes, in order.
    pub(crate) passed: Vec<Property>,
    /// `[Init]` without what is passed; the conditional ones (`blocktype?family=inet6`) stand among them.
    pub(crate) init: Vec<Property>,
    /// Passed options by lower-case name: these are seen by `%(x)s` too.
    lower: HashMap<String, String>,
    /// `[Definition]` with a jail's own options, if it is an action's.
    view: View<'a>,
    section: Option<&'a Section>,
    /// The same under the values of `[Init]`, if those hide what `%(x)s` finds in `[Definition]`.
    hidden: Option<HashMap<String, String>>,
    /// The first property of each name, counted over all of them.
    index: HashMap<String, usize>,
    /// Names that have a value for one family: the tag waits until the family is known.
    conditional: HashSet<String>,
    kind: &'static Kind,
    /// What is wrong with values that are not used because the jail passes others.
    pub(crate) faults: Vec<InterpolationError>,
}

/// What the references in values of `[Definition]` find, beside its own options and the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum References {
    /// What the jail passes: in actions.
    Passed,
    /// What the jail passes, and `[Init]` where `[Definition]` has the same option: in filters.
    PassedAndInit,
    /// What the jail passes, in options that make a setting; in helper options nothing: in `%(known/x)s` of a jail.
    PassedInOptions,
}

/// What makes filters and actions different.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The options of `[Definition]` that make a setting, in Fail2Ban's order.
    pub(crate) options: &'static [&'static str],
    /// Tags that are for later: replaced when somebody is banned.
    pub(crate) reserved: &'static [&'static str],
    /// What `%(x)s` finds in values of `[Definition]`.
    pub(crate) references: References,
}

/// Why the options of a file cannot be made out.
#[derive(Clone, Debug)]
pub(crate) enum DefinitionError {
    Interpolation(InterpolationError),
    Tag {
        option: String,
        place: Place,
        error: TagError,
    },
}

impl From<InterpolationError> for DefinitionError {
    fn from(error: InterpolationError) -> Self {
        Self::Interpolation(error)
    }
}

impl DefinitionError {
    pub(crate) fn diagnostic(self, fallback: Place) -> Diagnostic {
        match self {
            Self::Interpolation(error) => error.diagnostic(fallback),
            Self::Tag { option, place, error } => {
                Diagnostic::error(format!("the tags in `{option}` cannot be replaced: {error}"), place)
                    .why("`<x>` is replaced by the option `x`, and the tags in that value too")
                    .mend("take the tag out of its own value, or use `<known/x>` for the value of [Init]")
            }
        }
    }
}

impl<'a> Definition<'a> {
    /// Reads the options of this kind of file and all of `[Init]`, with `passed` on top of both.
    ///
    /// `place` is where the jail passes its options.
    pub(crate) fn combine(
        merged: &'a Merged,
        kind: &'static Kind,
        passed: &[(String, String)],
        place: &Place,
        jail: Option<&'a JailTags<'a>>,
    ) -> Result<Self, DefinitionError> {
        let lower: HashMap<String, String> = passed
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.clone()))
            .collect();
        let passed_names: HashSet<&str> = passed.iter().map(|(name, _)| name.as_str()).collect();
        let is_passed = |name: &str| passed_names.contains(name);
        let passed_property = |(name, value): &(String, String)| Property {
            name: name.clone(),
            value: value.clone(),
            place: place.clone(),
            lines: Vec::new(),
        };
        let (mut init, mut faults) = (Vec::new(), Vec::new());
        // What `%(known/x)s` finds, whatever the jail passes.
        let mut before = HashMap::default();
        if let Some(section) = merged.section("Init") {
            let view = View::new(merged, "Init");
            for (name, entry) in &section.options {
                // A passed option counts for every family, unless it is passed for one (HEAD; 1.0.2 keeps the condition).
                let plain = name.split_once('?').map_or(name.as_str(), |(plain, _)| plain);
                let value = view.expand(name, &entry.value);
                if let Ok(value) = &value {
                    before.insert(format!("known/{name}"), value.clone());
                }
                if is_passed(name) || is_passed(plain) {
                    faults.extend(value.err());
                    continue;
                }
                let value = value?;
                let lines = view.lines(name).unwrap_or_default();
                init.push(Property {
                    name: name.clone(),
                    value,
                    place: entry.place.clone(),
                    lines,
                });
            }
        }
        // A value of [Init] hides that of [Definition], but only if there is one: `%(x)s` sees no others.
        let definition = View::new(merged, "Definition");
        let hidden = (kind.references == References::PassedAndInit).then(|| {
            let init = init
                .iter()
                .filter(|property| definition.entry(&property.name).is_some());
            before.retain(|name, _| definition.entry_of(name).is_some());
            let mut hidden = before;
            hidden.extend(lower.clone());
            hidden.extend(init.map(|property| (property.name.clone(), property.value.clone())));
            hidden
        });
        let view = definition
            .with_passed(hidden.as_ref().unwrap_or(&lower))
            .with_jail(jail);
        let mut known = Vec::new();
        for &name in kind.options {
            if is_passed(name) || init.iter().any(|property: &Property| property.name == name) {
                continue;
            }
            if let Some(value) = view.get(name)? {
                known.push(Property {
                    name: name.to_owned(),
                    value,
                    place: view.place(name),
                    lines: view.lines(name).unwrap_or_default(),
                });
            }
        }
        let passed = passed.iter().map(passed_property).collect();
        let (index, conditional) = (HashMap::default(), HashSet::default());
        let mut definition = Self {
            merged,
            known,
            passed,
            init,
            lower,
            view: definition.with_jail(jail),
            section: merged.section("Definition"),
            hidden,
            index,
            conditional,
            kind,
            faults,
        };
        let names: Vec<String> = definition.properties().map(|property| property.name.clone()).collect();
        for (at, name) in names.into_iter().enumerate() {
            if let Some((plain, _)) = name.split_once('?') {
                definition.conditional.insert(plain.to_owned());
            }
            definition.index.entry(name).or_insert(at);
        }
        Ok(definition)
    }

    /// Leaves the tags of these names for the time of the ban.
    pub(crate) fn leave_for_later(&mut self, names: impl Iterator<Item = String>) {
        self.conditional.extend(names);
    }

    /// All of them, in the order in which Fail2Ban sends them.
    pub(crate) fn properties(&self) -> impl Iterator<Item = &Property> {
        self.known.iter().chain(&self.passed).chain(&self.init)
    }

    fn property(&self, name: &str) -> Option<&Property> {
        let at = *self.index.get(name)?;
        let in_passed = || at.checked_sub(self.known.len());
        let in_init = || at.checked_sub(self.known.len() + self.passed.len());
        let found = self.known.get(at).or_else(|| self.passed.get(in_passed()?));
        found.or_else(|| self.init.get(in_init()?))
    }

    /// `text`, of `option`, with its tags replaced as far as they are known before a ban.
    pub(crate) fn substitute(&self, option: &str, place: &Place, text: &str) -> Result<String, DefinitionError> {
        let mut failure = None;
        let exhausted = || InterpolationError {
            option: option.to_owned(),
            kind: InterpolationFault::Exhausted,
            place: Some(place.clone()),
        };
        if !self.merged.work.spend(text.len()) {
            return Err(exhausted().into());
        }
        let result = tags::substitute(text, |tag| match self.tag(tag) {
            Ok(Some(value)) if !self.merged.work.spend(value.len()) => {
                failure.get_or_insert(exhausted());
                None
            }
            Ok(value) => value,
            Err(error) => {
                failure.get_or_insert(error);
                None
            }
        });
        if let Some(error) = failure {
            return Err(error.into());
        }
        result.map_err(|error| DefinitionError::Tag {
            option: option.to_owned(),
            place: place.clone(),
            error,
        })
    }

    /// The lines of a property with tags replaced, each with the place it comes from. Empty lines are dropped.
    pub(crate) fn substituted_lines(&self, property: &Property, whole: &str) -> Vec<(String, Place)> {
        let wanted: Vec<&str> = whole.split('\n').filter(|line| !line.is_empty()).collect();
        let mut found = Vec::new();
        self.trace(&property.name, &property.lines, 0, &mut found);
        // The places are only as good as this check: a tag or reference that spans lines leads elsewhere.
        if found.iter().map(|(text, _)| text.as_str()).eq(wanted.iter().copied()) {
            return found;
        }
        wanted
            .into_iter()
            .map(|line| (line.to_owned(), property.place.clone()))
            .collect()
    }

    /// Appends lines with their tags replaced. A line that is one tag only leads to the lines it stands for.
    fn trace(&self, option: &str, lines: &[(String, Place)], depth: usize, found: &mut Vec<(String, Place)>) {
        for (line, place) in lines {
            if let Some(inner) = self.lines_of_tag(option, line, place).filter(|_| depth < 10) {
                self.trace(option, &inner, depth + 1, found);
            } else if let Ok(text) = self.substitute(option, place, line) {
                let parts = text.split('\n').filter(|part| !part.is_empty());
                found.extend(parts.map(|part| (part.to_owned(), place.clone())));
            }
        }
    }

    /// The lines that `line` stands for, if it is one tag and nothing else: `<rules-<mode>>`.
    fn lines_of_tag(&self, option: &str, line: &str, place: &Place) -> Option<Vec<(String, Place)>> {
        let inner = line.strip_prefix('<')?.strip_suffix('>')?;
        let name = self.substitute(option, place, inner).ok()?;
        if name.contains(['<', '>', ' '])
            || self.conditional.contains(&name)
            || self.kind.reserved.contains(&name.as_str())
        {
            return None;
        }
        if let Some(property) = self.property(&name) {
            return (!property.lines.is_empty()).then(|| property.lines.clone());
        }
        self.definition(&name).lines(&lower(&name))
    }

    /// `[Definition]` as the value of tag `name` sees it. Written as the option is, the tag is what `%(x)s` would be.
    fn definition(&self, name: &str) -> View<'_> {
        let view = self.view;
        let own = self.section.is_some_and(|section| section.get(name).is_some());
        match (self.kind.references, &self.hidden) {
            (References::PassedInOptions, _) if own => view,
            (References::PassedAndInit, Some(hidden)) if own => view.with_passed(hidden),
            _ => view.with_passed(&self.lower),
        }
    }

    fn tag(&self, tag: &str) -> Result<Option<Cow<'_, str>>, InterpolationError> {
        if self.kind.reserved.contains(&tag) || tag == "__name__" {
            return Ok(None);
        }
        if self.conditional.contains(tag) {
            return Ok(None);
        }
        if let Some(property) = self.property(tag) {
            return Ok(Some(Cow::Borrowed(&property.value)));
        }
        if let Some((section, option)) = tag.split_once('/') {
            if section == "known"
                && self
                    .merged
                    .section("Init")
                    .is_some_and(|init| init.get(option).is_some())
            {
                return Ok(View::new(self.merged, "Init").get(option)?.map(Cow::Owned));
            }
            if section.eq_ignore_ascii_case("known") {
                return self.known_value(&lower(option));
            }
            let there = matches!(section, "DEFAULT" | "default") || self.merged.section(section).is_some();
            let value = there.then(|| View::new(self.merged, section).get(option)).transpose()?;
            return Ok(value.flatten().map(Cow::Owned));
        }
        Ok(self.definition(tag).get(tag)?.map(Cow::Owned))
    }

    /// `<known/x>`: what the file itself says, whatever a jail passes.
    fn known_value(&self, option: &str) -> Result<Option<Cow<'_, str>>, InterpolationError> {
        let view = View::new(self.merged, "Definition");
        // Where a later file has the section too, a default comes before what none of them overrides.
        let default = || self.merged.defaults.get(option);
        let before = self.section.and_then(|section| {
            let default = section.again.then(default).flatten();
            section.known(option).or(default)
        });
        if let Some(entry) = before {
            let value = view.earlier().expand(option, &entry.value)?;
            return Ok(Some(Cow::Owned(value)));
        }
        Ok(view.get(option)?.map(Cow::Owned))
    }
}

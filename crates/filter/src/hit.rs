//! What a rule captured: who, which session, which fields. Nothing is copied until somebody is held responsible.

use stockade_core::{FailureId, Fields, LineText};
use stockade_regex::Scratch;

use crate::failregex::{Groups, Name, Rule, Rules};
use crate::host::Captured;
use crate::{Filter, Who};

/// So much of a field's value is kept: no program takes a longer user name.
pub(crate) const FIELD_KEPT: usize = 4 << 10;

/// What the first rule that matched captured.
pub(crate) struct Hit<'a> {
    pub(crate) rule: usize,
    pub(crate) captured: Captured<'a>,
    pub(crate) mlfid: Option<&'a str>,
    pub(crate) nofail: bool,
    pub(crate) gained: bool,
    pub(crate) forget: bool,
    pub(crate) fields: Named<'a>,
    /// What `<F-TUPLE_ID…>` add to the id, by their names; those that took no part too.
    pub(crate) tuple: Vec<Option<&'a str>>,
}

/// Fields by the numbers of their names, in the order they were set.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    few: [(Name, &'a str); FEW],
    count: usize,
    more: Vec<(Name, &'a str)>,
}

/// Hardly a rule has more fields; further ones cost an allocation.
const FEW: usize = 12;

/// Which fields are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// Where nothing is to be told of a failure but whose it is.
    User,
}

/// The lines of a match.
#[derive(Debug)]
pub(crate) enum Lines<'a> {
    /// A line and the place of its date.
    One(&'a str, std::ops::Range<usize>),
    Several(Vec<LineText>),
}

impl<'a> Hit<'a> {
    pub(crate) fn new(
        filter: &Filter,
        (index, rule): (usize, &Rule),
        (content, scratch): (&'a str, &Scratch),
        (subject, prefix): (&'a str, &Scratch),
        wanted: Wanted,
    ) -> Self {
        let pre = filter.rules.prefregex.as_ref();
        let group = |pick: fn(&Groups) -> Option<usize>| -> Option<&'a str> {
            let own = pick(&rule.groups).and_then(|number| content.get(scratch.group(number)?));
            own.or_else(|| subject.get(prefix.group(pick(&pre?.groups)?)?))
        };
        let special = rule.has_special_fields || pre.is_some_and(|pre| pre.has_special_fields);
        let one = match wanted {
            Wanted::User if !special => Some(filter.rules.user),
            _ => None,
        };
        let is_wanted = |name: Name| one.is_none_or(|one| one == Some(name));
        let mut fields = Named::default();
        if let Some(pre) = pre {
            add_fields(pre, subject, prefix, is_wanted, &mut fields);
        }
        add_fields(rule, content, scratch, is_wanted, &mut fields);
        let mut tuple = Vec::new();
        if special {
            fill_alternatives(pre, rule, &filter.rules, &mut fields);
            tuple = additions(pre, rule, &filter.rules, &fields);
        }
        Self {
            rule: index,
            captured: Captured {
                fid: group(|groups| groups.fid),
                ip4: group(|groups| groups.ip4),
                ip6: group(|groups| groups.ip6),
                cidr: group(|groups| groups.cidr),
                dns: group(|groups| groups.dns),
            },
            mlfid: group(|groups| groups.mlfid).filter(|key| !key.is_empty()),
            nofail: group(|groups| groups.nofail).is_some(),
            gained: group(|groups| groups.gained).is_some(),
            forget: group(|groups| groups.forget).is_some(),
            fields,
            tuple,
        }
    }
}

impl Default for Named<'_> {
    fn default() -> Self {
        Self {
            few: [(0, ""); FEW],
            count: 0,
            more: Vec::new(),
        }
    }
}

impl<'a> Named<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Name, &'a str)> {
        self.few.iter().take(self.count).chain(&self.more).copied()
    }

    pub(crate) fn get(&self, name: Name) -> Option<&'a str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Sets a field, replacing an earlier value.
    pub(crate) fn set(&mut self, name: Name, value: &'a str) {
        let mut held = self.few.iter_mut().take(self.count).chain(&mut self.more);
        if let Some((_, old)) = held.find(|(known, _)| *known == name) {
            *old = value;
        } else if let Some(free) = self.few.get_mut(self.count) {
            *free = (name, value);
            self.count += 1;
        } else {
            self.more.push((name, value));
        }
    }

    pub(crate) fn to_fields(&self, rules: &Rules) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in self.iter() {
            fields.set(rules.name(name), value);
        }
        fields
    }
}

impl Lines<'_> {
    pub(crate) fn into_vec(self) -> Vec<LineText> {
        match self {
            Self::One(text, date) => vec![LineText {
                text: text.into(),
                date,
            }],
            Self::Several(lines) => lines,
        }
    }
}

/// Named groups that took part, later ones over earlier ones.
fn add_fields<'a>(
    rule: &Rule,
    text: &'a str,
    scratch: &Scratch,
    is_wanted: impl Fn(Name) -> bool,
    fields: &mut Named<'a>,
) {
    for field in rule.fields.iter().filter(|field| is_wanted(field.name)) {
        if let Some(value) = scratch.group(field.group).and_then(|range| text.get(range)) {
            fields.set(field.name, beginning(value, FIELD_KEPT));
        }
    }
}

/// At most so many bytes of a text, in whole characters.
pub(crate) fn beginning(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

/// `alt_user` and `alt_user_2` stand in for a missing `user`, `alt_user1` for `user1`; the first by name that has a value.
fn fill_alternatives(pre: Option<&Rule>, rule: &Rule, rules: &Rules, fields: &mut Named<'_>) {
    let all = || pre.into_iter().chain([rule]).flat_map(|rule| &rule.fields);
    for target in all().filter_map(|field| field.stands_in_for) {
        if fields.get(target).is_some_and(|value| !value.is_empty()) {
            continue;
        }
        let filled = all()
            .filter(|field| field.stands_in_for == Some(target))
            .filter_map(|field| Some((field.name, fields.get(field.name).filter(|value| !value.is_empty())?)));
        if let Some((_, value)) = filled.min_by_key(|(name, _)| rules.name(*name)) {
            fields.set(target, value);
        }
    }
}

/// What `<F-TUPLE_ID…>` captured, in the order of their names.
fn additions<'a>(pre: Option<&Rule>, rule: &Rule, rules: &Rules, fields: &Named<'a>) -> Vec<Option<&'a str>> {
    let all = pre.into_iter().chain([rule]).flat_map(|rule| &rule.fields);
    let mut names: Vec<Name> = all.filter(|field| field.adds_to_id).map(|field| field.name).collect();
    names.sort_unstable_by_key(|name| rules.name(*name));
    names.dedup();
    names.into_iter().map(|name| fields.get(name)).collect()
}

/// `<F-TUPLE_ID>`: the id together with further text, written as Python writes tuples.
pub(crate) fn tupled(who: Who, id: Option<&str>, tuple: &[Option<&str>]) -> Who {
    if tuple.is_empty() {
        return who;
    }
    let shown = |part: Option<&str>| part.map_or("None".to_owned(), quoted);
    // An address is no part of it.
    let parts: Vec<String> = [id].into_iter().chain(tuple.iter().copied()).map(shown).collect();
    Who::Id(FailureId::Text(format!("({})", parts.join(", ")).into()))
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

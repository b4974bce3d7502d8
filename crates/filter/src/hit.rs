//! What a rule captured: who, which session, which fields.

use stockade_core::{FailureId, Fields};
use stockade_regex::Scratch;

use crate::closer;
use crate::failregex::{Groups, Rule};
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
    pub(crate) fields: Fields,
    /// What `<F-TUPLE_ID…>` add to the id, by their names; those that took no part too.
    pub(crate) tuple: Vec<Option<String>>,
}

impl<'a> Hit<'a> {
    pub(crate) fn new(
        index: usize,
        rule: &Rule,
        content: &'a str,
        scratch: &Scratch,
        filter: &Filter,
        subject: &'a str,
        prefix: &Scratch,
    ) -> Self {
        let mut hit = Self::without_fields(index, rule, content, scratch, filter, subject, prefix);
        let pre = filter.rules.prefregex.as_ref();
        let any = |_: &str| true;
        if let Some(pre) = pre {
            add_fields(pre, subject, prefix, any, &mut hit.fields);
        }
        add_fields(rule, content, scratch, any, &mut hit.fields);
        fill_alternatives(&mut hit.fields);
        let mut tuple: Vec<&str> = pre
            .into_iter()
            .chain([rule])
            .flat_map(|rule| rule.regex.names())
            .map(|(name, _)| &**name)
            .filter(|name| closer::target(name, "tuple_") == Some("id"))
            .collect();
        tuple.sort_unstable();
        tuple.dedup();
        hit.tuple = tuple
            .into_iter()
            .map(|name| hit.fields.get(name).map(ToOwned::to_owned))
            .collect();
        hit
    }

    /// What decides whose failure it is, and of the fields only the user of a session, which decides whether it guesses.
    pub(crate) fn brief(
        index: usize,
        rule: &Rule,
        content: &'a str,
        scratch: &Scratch,
        filter: &Filter,
        subject: &'a str,
        prefix: &Scratch,
    ) -> Self {
        let mut hit = Self::without_fields(index, rule, content, scratch, filter, subject, prefix);
        if hit.mlfid.is_some() {
            let user = |name: &str| name == "user" || name.starts_with("alt_user");
            if let Some(pre) = &filter.rules.prefregex {
                add_fields(pre, subject, prefix, user, &mut hit.fields);
            }
            add_fields(rule, content, scratch, user, &mut hit.fields);
            fill_alternatives(&mut hit.fields);
        }
        hit
    }

    fn without_fields(
        index: usize,
        rule: &Rule,
        content: &'a str,
        scratch: &Scratch,
        filter: &Filter,
        subject: &'a str,
        prefix: &Scratch,
    ) -> Self {
        let pre = filter.rules.prefregex.as_ref();
        let group = |pick: fn(&Groups) -> Option<usize>| -> Option<&'a str> {
            let own = pick(&rule.groups).and_then(|number| content.get(scratch.group(number)?));
            own.or_else(|| subject.get(prefix.group(pick(&pre?.groups)?)?))
        };
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
            fields: Fields::default(),
            tuple: Vec::new(),
        }
    }
}

/// Named groups that took part, later ones over earlier ones.
fn add_fields(rule: &Rule, text: &str, scratch: &Scratch, wanted: impl Fn(&str) -> bool, fields: &mut Fields) {
    for (name, number) in rule.regex.names() {
        if &**name == "content" || !wanted(name) {
            continue;
        }
        if let Some(value) = scratch.group(*number).and_then(|range| text.get(range)) {
            fields.set(name, beginning(value, FIELD_KEPT));
        }
    }
}

/// At most so many bytes of a text, in whole characters.
pub(crate) fn beginning(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

/// `alt_user` and `alt_user_2` stand in for a missing `user`, `alt_user1` for `user1`.
fn fill_alternatives(fields: &mut Fields) {
    let mut stand_ins: Vec<(String, String)> = Vec::new();
    let mut sources: Vec<(&str, &str)> = fields.iter().filter(|(name, _)| name.starts_with("alt_")).collect();
    sources.sort_unstable();
    for (name, value) in sources {
        let Some(target) = closer::target(name, "alt_").filter(|_| !value.is_empty()) else {
            continue;
        };
        let missing = fields.get(target).is_none_or(str::is_empty);
        if missing && !stand_ins.iter().any(|(known, _)| known == target) {
            stand_ins.push((target.to_owned(), value.to_owned()));
        }
    }
    for (name, value) in stand_ins {
        fields.set(&name, &value);
    }
}

/// `<F-TUPLE_ID>`: the id together with further text, written as Python writes tuples.
pub(crate) fn tupled(who: Who, fields: &Fields, tuple: &[Option<String>]) -> Who {
    if tuple.is_empty() {
        return who;
    }
    let shown = |part: Option<&str>| part.map_or("None".to_owned(), quoted);
    // An address is no part of it.
    let parts: Vec<String> = [fields.get("fid")]
        .into_iter()
        .chain(tuple.iter().map(Option::as_deref))
        .map(shown)
        .collect();
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

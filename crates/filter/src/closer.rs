//! A closer look at a line, for people: what each rule that matched captured, and what came of it.
//!
//! `fail2ban-regex` prints groups in the order of the pattern, those that took no part too. A jail needs none of that, so
//! it is gathered only where somebody looks closely.

use stockade_regex::Scratch;

use crate::failregex::Rule;
use crate::{Examination, Verdict, Who};

/// Collects what a closer look sees.
pub(crate) struct Closer<'a> {
    pub(crate) check_all: bool,
    /// Whether a `failregex` may match: the others are asked in any case.
    pub(crate) admitted: bool,
    pub(crate) seen: &'a mut Examination,
}

/// A rule that matched, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleHit {
    /// Number of the failregex, from 0.
    pub rule: usize,
    /// What came of this rule alone.
    pub verdict: Verdict,
    /// Whom the line or its session names, whether it is a failure or not.
    pub who: Option<Who>,
    /// The line only helps to understand others (`<F-NOFAIL>`, `<F-MLFGAINED>`).
    pub helps: bool,
    /// What is known by now, under the names and in the order in which Fail2Ban shows it.
    pub groups: Groups,
}

/// Names with what they captured, in the order of the patterns.
pub type Groups = Vec<(Box<str>, Group)>;

/// What a group captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// It took no part.
    None,
    /// Text.
    Text(Box<str>),
    /// The users of a session.
    Users(Vec<Box<str>>),
    /// What `<F-TUPLE_…>` adds to another group.
    Tuple(Vec<Option<Box<str>>>),
}

/// Groups that say how a line is to be taken and nothing about the session it belongs to.
const HELPERS: [&str; 3] = ["nofail", "mlfgained", "mlfforget"];

impl RuleHit {
    pub(crate) fn new(rule: usize, groups: Groups) -> Self {
        Self {
            rule,
            verdict: Verdict::Miss,
            who: None,
            helps: false,
            groups,
        }
    }

    /// The line belongs to a session: `known` is what its earlier lines told, `None` if this is the first.
    pub(crate) fn join(&mut self, known: &mut Option<Groups>, users: &[Box<str>], forget: bool) {
        let users = Group::Users(users.to_vec());
        let of_line = std::mem::take(&mut self.groups);
        let keeps = |name: &str| !HELPERS.contains(&name);
        let has_user = |groups: &Groups| {
            groups
                .iter()
                .any(|(name, group)| &**name == "user" && group.is_filled())
        };
        if let Some(known) = known {
            if has_user(&of_line) {
                set(known, "users", users);
            }
            for (name, group) in of_line {
                if group != Group::None && keeps(&name) {
                    set(known, &name, group);
                }
            }
            self.groups.clone_from(known);
            return;
        }
        let mut first = of_line;
        first.retain(|(name, _)| &**name != "mlfforget");
        if has_user(&first) && !forget {
            let end = first
                .iter()
                .position(|(name, _)| &**name == "ip")
                .unwrap_or(first.len());
            first.insert(end, ("users".into(), users));
        }
        *known = Some(first.iter().filter(|(name, _)| keeps(name)).cloned().collect());
        self.groups = first;
    }
}

impl Group {
    fn is_filled(&self) -> bool {
        match self {
            Self::None => false,
            Self::Text(text) => !text.is_empty(),
            Self::Users(_) | Self::Tuple(_) => true,
        }
    }
}

fn set(groups: &mut Groups, name: &str, value: Group) {
    match groups.iter_mut().find(|(known, _)| &**known == name) {
        Some((_, old)) => *old = value,
        None => groups.push((name.into(), value)),
    }
}

/// The groups of one rule; those that took no part too.
pub(crate) fn of_rule(rule: &Rule, text: &str, scratch: &Scratch) -> Groups {
    let group = |number| scratch.group(number).and_then(|range| text.get(range));
    rule.regex
        .names()
        .iter()
        .map(|(name, number)| {
            let value = group(*number).map_or(Group::None, |text| Group::Text(text.into()));
            (name.clone(), value)
        })
        .collect()
}

/// The groups of a `failregex` over those of the `prefregex`, with `<F-ALT_…>` and `<F-TUPLE_…>` in their places.
pub(crate) fn combined(pre: Groups, own: Groups) -> Groups {
    let mut groups = pre;
    groups.retain(|(name, _)| &**name != "content");
    for (name, group) in own {
        if group != Group::None || !groups.iter().any(|(known, _)| *known == name) {
            set(&mut groups, &name, group);
        }
    }
    let mut sources = groups.clone();
    // Seen on 1.0.2: in the order of their names, the stand-ins first.
    sources.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, group) in &sources {
        if let Some(target) = target(name, "alt_").filter(|_| group.is_filled()) {
            let filled = |(known, group): &(Box<str>, Group)| &**known == target && group.is_filled();
            if !groups.iter().any(filled) {
                set(&mut groups, target, group.clone());
            }
        }
    }
    for (name, group) in sources {
        let Some(target) = target(&name, "tuple_") else {
            continue;
        };
        let target = if target == "id" { "fid" } else { target };
        let base = groups
            .iter()
            .find(|(known, _)| &**known == target)
            .map(|(_, group)| group.clone());
        let mut parts = match base {
            Some(Group::Tuple(parts)) => parts,
            Some(Group::Text(text)) => vec![Some(text)],
            _ => vec![None],
        };
        parts.push(match group {
            Group::Text(text) => Some(text),
            _ => None,
        });
        set(&mut groups, target, Group::Tuple(parts));
    }
    groups
}

/// The field that `alt_user` or `alt_user_2` is about.
pub(crate) fn target<'a>(name: &'a str, kind: &str) -> Option<&'a str> {
    let target = name.strip_prefix(kind)?;
    Some(match target.rsplit_once('_') {
        Some((base, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => target,
    })
}

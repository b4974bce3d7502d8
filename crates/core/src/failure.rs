//! One match that counts.

use std::ops::Range;

use crate::{FailureId, Timestamp};

/// What a rule found in a log line: somebody failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who.
    pub id: FailureId,
    /// When, by the log.
    pub at: Timestamp,
    /// How often; more than 1 only for `set JAIL attempt` and sessions that deliver several lines at once.
    pub attempts: u32,
    /// The log lines, oldest first.
    pub lines: Vec<LineText>,
    /// Named groups of the rule (`<F-USER>` is `user`), in the rule's order.
    pub fields: Fields,
}

/// A log line as text, with the place of its date.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LineText {
    /// The whole line without its line end; undecodable bytes replaced.
    pub text: Box<str>,
    /// Byte range of the date in `text`; empty if none was found.
    pub date: Range<usize>,
}

/// Names and values captured by a rule.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fields(Vec<(Box<str>, Box<str>)>);

impl Fields {
    /// The value of a field; names are lower-case (`user`, `ip4`).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value)
    }

    /// Sets a field, replacing an earlier value.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(key, _)| &**key == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes the names and values have.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// All fields, in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

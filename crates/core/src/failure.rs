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
pub struct Fields {
    /// Each name with its value behind it.
    text: String,
    /// Lengths of the names and values.
    lengths: Vec<(usize, usize)>,
}

impl Fields {
    /// The value of a field; names are lower-case (`user`, `ip4`).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Sets a field, replacing an earlier value.
    pub fn set(&mut self, name: &str, value: &str) {
        let mut start = 0;
        for (key, old) in &mut self.lengths {
            let (middle, end) = (start + *key, start + *key + *old);
            if self.text.get(start..middle) == Some(name) {
                self.text.replace_range(middle..end, value);
                *old = value.len();
                return;
            }
            start = end;
        }
        self.text.push_str(name);
        self.text.push_str(value);
        self.lengths.push((name.len(), value.len()));
    }

    /// Makes room for so many more fields, of so many bytes together.
    pub fn reserve(&mut self, fields: usize, bytes: usize) {
        self.text.reserve(bytes);
        self.lengths.reserve(fields);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// How many bytes the names and values have.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// All fields, in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.lengths.iter().map(move |(key, value)| {
            let (middle, end) = (start + key, start + key + value);
            let pair = (self.text.get(start..middle), self.text.get(middle..end));
            start = end;
            (pair.0.unwrap_or_default(), pair.1.unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_set_again_keeps_its_place_and_the_others_their_values() {
        let mut fields = Fields::default();
        for (name, value) in [
            ("user", "bob"),
            ("ip4", "192.0.2.7"),
            ("user", ""),
            ("port", "22"),
            ("", "no name"),
            ("user", "a longer name"),
            ("ip4", "192.0.2.77"),
        ] {
            fields.set(name, value);
        }
        let all: Vec<_> = fields.iter().collect();
        let expected = [
            ("user", "a longer name"),
            ("ip4", "192.0.2.77"),
            ("port", "22"),
            ("", "no name"),
        ];
        assert_eq!(all, expected);
        assert_eq!(fields.get("ip4"), Some("192.0.2.77"));
        assert_eq!(fields.get("use"), None);
        assert_eq!(
            fields.bytes(),
            expected
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
        );
    }
}

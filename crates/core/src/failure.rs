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
    /// Each name with its value behind it, and before each its length: one piece of memory is made and given back sooner than two.
    text: String,
}

/// A length is written in characters of six bits, the lowest first, so that it is text, too; this marks all but the last.
const MORE: usize = 0x40;

impl Fields {
    /// The value of a field; names are lower-case (`user`, `ip4`).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Sets a field, replacing an earlier value.
    pub fn set(&mut self, name: &str, value: &str) {
        let mut rest = self.text.as_str();
        while let Some((key, at_value)) = first(rest) {
            let Some((_, behind)) = first(at_value) else { break };
            if key == name {
                let (start, end) = (self.text.len() - at_value.len(), self.text.len() - behind.len());
                let mut new = String::with_capacity(value.len() + 2);
                push(&mut new, value);
                self.text.replace_range(start..end, &new);
                return;
            }
            rest = behind;
        }
        push(&mut self.text, name);
        push(&mut self.text, value);
    }

    /// Makes room for so many more fields, of so many bytes together.
    pub fn reserve(&mut self, fields: usize, bytes: usize) {
        self.text.reserve(bytes + 2 * fields);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// How many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// All fields, in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = self.text.as_str();
        std::iter::from_fn(move || {
            let (key, at_value) = first(rest)?;
            let (value, behind) = first(at_value)?;
            rest = behind;
            Some((key, value))
        })
    }
}

fn push(text: &mut String, item: &str) {
    let mut length = item.len();
    loop {
        let low = length % MORE;
        length /= MORE;
        let more = if length > 0 { MORE } else { 0 };
        text.push(u8::try_from(low + more).map_or('\0', char::from));
        if length == 0 {
            break;
        }
    }
    text.push_str(item);
}

/// The first name or value, and what follows it. What cannot be read cannot be there: it was written above.
fn first(text: &str) -> Option<(&str, &str)> {
    let (mut length, mut place) = (0, 0);
    for (index, byte) in text.bytes().enumerate() {
        let byte = usize::from(byte);
        length += (byte % MORE) << (6 * place);
        place += 1;
        if byte < MORE {
            return text.get(index + 1..)?.split_at_checked(length);
        }
        if place > 8 {
            break;
        }
    }
    None
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
        let bytes: usize = expected.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert_eq!(fields.bytes(), bytes + 2 * expected.len());
    }

    #[test]
    fn values_of_any_length_are_told_as_they_were_set() {
        let mut fields = Fields::default();
        let lengths = [0, 1, 62, 63, 64, 65, 4095, 4096, 4097, 300_000];
        for (number, length) in lengths.iter().enumerate() {
            fields.set(&format!("{number} {}", "n".repeat(*length)), &"ä".repeat(*length));
        }
        for (number, length) in lengths.iter().rev().enumerate() {
            fields.set(
                &format!("{number} {}", "n".repeat(lengths[number])),
                &"v".repeat(*length),
            );
        }
        assert_eq!(fields.iter().count(), lengths.len());
        for (number, (name, value)) in fields.iter().enumerate() {
            let length = lengths[lengths.len() - 1 - number];
            assert_eq!(name, format!("{number} {}", "n".repeat(lengths[number])));
            assert_eq!(value, "v".repeat(length));
        }
    }
}

//! One `set JAIL OPTION VALUE` in the making.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::diagnostic::Place;
use crate::ini::strip;

/// A setting of a jail, as the server will be told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The command's word: `maxretry`, `addfailregex`, …
    pub option: Cow<'static, str>,
    /// Its value.
    pub value: Value,
    /// Where the option stands.
    pub place: Place,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, times too.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// Several words of one command.
    Words(Vec<String>),
    /// One rule per line, never empty.
    Lines(Vec<Line>),
    /// Text that should be a number or a match and is not; its jail is left out.
    Invalid(String),
}

/// A line of a value of several, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The text.
    pub text: String,
    /// The line it comes from.
    pub place: Place,
}

impl Value {
    pub(crate) fn int(text: &str) -> Self {
        whole(text).map_or_else(|| Self::Invalid(text.to_owned()), Self::Int)
    }

    pub(crate) fn bool(text: &str) -> Self {
        Self::Bool(truth(text))
    }
}

/// A whole number as Python reads one: `+2`, `007`, `1_000`.
pub(crate) fn whole(text: &str) -> Option<i64> {
    let text = strip(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let parted = digits
        .split('_')
        .all(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    parted.then(|| text.replace('_', "").parse().ok()).flatten()
}

/// Fail2Ban's yes: everything else is no.
pub(crate) fn truth(text: &str) -> bool {
    matches!(text.to_lowercase().as_str(), "1" | "on" | "true" | "yes")
}

/// Whether a text is one of the words for yes or no; another one is taken for no, which may not be what is meant.
pub(crate) fn is_flag(text: &str) -> bool {
    truth(text) || matches!(text.to_lowercase().as_str(), "0" | "off" | "false" | "no" | "")
}

/// A text in quotation marks as Python shows it, for messages that are to be Fail2Ban's.
pub(crate) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if character == quote => out.extend(['\\', quote]),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(character)); // writing to a String cannot fail
            }
            other => out.push(other),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_python() {
        for (text, number) in [
            ("5", Some(5)),
            (" +5 ", Some(5)),
            ("-05", Some(-5)),
            ("1_000", Some(1_000)),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("- 1", None),
            ("+-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(whole(text), number, "{text}");
        }
    }

    #[test]
    fn texts_are_quoted_as_python_does() {
        assert_eq!(quoted("a'b"), "\"a'b\"");
        assert_eq!(quoted("a'\"\\b\nc\u{1}"), "'a\\'\"\\\\b\\nc\\x01'");
    }
}

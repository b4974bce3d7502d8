//! One `set JAIL OPTION VALUE` in the making.

use std::borrow::Cow;

use crate::diagnostic::Place;

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
        // Python takes `1_000` for a thousand, with one `_` between digits.
        let digits = text.trim();
        let joined = digits.replace('_', "");
        let grouped = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
        let number = joined.parse().ok().filter(|_| grouped);
        number.map_or_else(|| Self::Invalid(text.to_owned()), Self::Int)
    }

    pub(crate) fn bool(text: &str) -> Self {
        Self::Bool(truth(text))
    }
}

/// Fail2Ban's yes: everything else is no.
pub(crate) fn truth(text: &str) -> bool {
    matches!(text.to_lowercase().as_str(), "1" | "on" | "true" | "yes")
}

/// Whether a text is one of the words for yes or no; another one is taken for no, which may not be what is meant.
pub(crate) fn is_flag(text: &str) -> bool {
    truth(text) || matches!(text.to_lowercase().as_str(), "0" | "off" | "false" | "no" | "")
}

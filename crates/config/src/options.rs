//! `name[opt=value, opt="quoted, value"][opt=…]`: what `filter`, `action` and `backend` are written in.
//!
//! Rules: behaviour spec 1.5. Start reading at [`parse`] and [`split_list`].

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::ini::{is_space, strip};

/// A name with options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// What stands before the first `[`.
    pub name: String,
    /// Options in order; a name that is there twice keeps its first place and its last value.
    pub options: Vec<(String, String)>,
}

/// Why `name[…]` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionsError {
    /// Nothing is there.
    Empty,
    /// `[` without `]` at the end, or without a name before it.
    Unclosed,
    /// Something that is no `option=` where one should be.
    ExpectedOption {
        /// Offset in characters from the first `[`.
        at: usize,
        /// What stands there.
        found: String,
    },
    /// A value that goes on after its closing quotation mark or bracket.
    Unexpected {
        /// Offset in characters from the first `[`.
        at: usize,
        /// The option before it.
        option: String,
        /// What stands there.
        found: String,
    },
}

impl fmt::Display for OptionsError {
    /// In Fail2Ban's words, which scripts may look for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty definition"),
            Self::Unclosed => f.write_str("unexpected option syntax"),
            Self::ExpectedOption { at, found } => write!(f, "expected option, wrong syntax at {at}: {found}"),
            Self::Unexpected { at, option, found } => {
                write!(f, "unexpected syntax at {at} after option '{option}': {found}")
            }
        }
    }
}

impl std::error::Error for OptionsError {}

/// Reads one `name[opt=value, …]`.
pub fn parse(text: &str) -> Result<Extended, OptionsError> {
    if strip(text).is_empty() {
        return Err(OptionsError::Empty);
    }
    let Some((name, rest)) = text.split_once('[') else {
        return Ok(Extended {
            name: text.to_owned(),
            options: Vec::new(),
        });
    };
    let inner = rest.trim_end_matches(is_space).strip_suffix(']');
    let inner = inner.filter(|_| !name.is_empty()).ok_or(OptionsError::Unclosed)?;
    let mut extended = Extended {
        name: name.to_owned(),
        options: Vec::new(),
    };
    let mut places = HashMap::new();
    let mut rest = inner;
    // One comma may stand behind the last option.
    while !strip(rest.strip_prefix(',').unwrap_or(rest)).is_empty() {
        let (option, value, after) = option(inner, rest)?;
        let at = *places.entry(option).or_insert(extended.options.len());
        match extended.options.get_mut(at) {
            Some((_, old)) => value.clone_into(old),
            None => extended.options.push((option.to_owned(), value.to_owned())),
        }
        rest = after;
    }
    Ok(extended)
}

/// One `option=value` and what stands after the comma or `][` behind it.
fn option<'a>(inner: &str, text: &'a str) -> Result<(&'a str, &'a str, &'a str), OptionsError> {
    let (name, rest) = name(text).ok_or_else(|| OptionsError::ExpectedOption {
        at: offset(inner, text),
        found: text.to_owned(),
    })?;
    let (value, after) = quoted(rest).unwrap_or_else(|| unquoted(rest));
    let next = separated(after).or_else(|| matches!(after, "" | "\n").then_some(""));
    let next = next.ok_or_else(|| OptionsError::Unexpected {
        at: offset(inner, after),
        option: name.to_owned(),
        found: after.to_owned(),
    })?;
    Ok((name, strip(value), next))
}

/// `name=`, perhaps after blanks, and what stands behind it.
fn name(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(is_space);
    let (name, rest) = text.split_at_checked(name_length(text))?;
    Some((name, rest.strip_prefix('=').filter(|_| !name.is_empty())?))
}

/// A value in quotation marks of one kind, if they are closed, and what stands behind it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|&quote| matches!(quote, '"' | '\''))?;
    text.strip_prefix(quote)?.split_once(quote)
}

/// A value without quotation marks, and what stands behind it.
fn unquoted(text: &str) -> (&str, &str) {
    text.split_at(text.find([',', ']']).unwrap_or(text.len()))
}

/// What stands behind a comma or `][`.
fn separated(text: &str) -> Option<&str> {
    let reopened = || {
        let rest = text.strip_prefix(']')?;
        rest.trim_start_matches(is_space).strip_prefix('[')
    };
    text.strip_prefix(',').or_else(reopened)
}

/// How many bytes of `text` are an option's name: `opt`, or `opt?family=inet6`.
fn name_length(text: &str) -> usize {
    let word = |text: &str, more: &[char]| {
        text.find(|c: char| !(c.is_alphanumeric() || c == '_' || more.contains(&c)))
            .unwrap_or(text.len())
    };
    let plain = word(text, &['-', '.']);
    let condition = || {
        let rest = text.get(plain..)?.strip_prefix('?')?;
        let key = word(rest, &[]);
        let rest = rest.get(key..)?.strip_prefix('=')?;
        let value = word(rest, &[]);
        (key > 0 && value > 0).then_some(plain + key + value + 2)
    };
    condition().unwrap_or(plain)
}

fn offset(whole: &str, rest: &str) -> usize {
    let bytes = whole.len().saturating_sub(rest.len());
    whole.get(..bytes).map_or(bytes, |before| before.chars().count())
}

/// The items of an `action` list: separated by white space outside brackets and quotation marks.
///
/// Brackets that are not in order do not protect the blanks in them: `a[x y]` is two items, `a[x` and `y]`.
pub fn split_list(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let word = rest.find(is_space).unwrap_or(rest.len());
        let length = with_options(rest).unwrap_or(word).max(1);
        let (item, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        items.push(item);
        rest = after.trim_start_matches(is_space);
    }
    items
}

/// How long `name[…][…]` at the beginning of `text` is, if its brackets are in order and a blank or nothing follows.
fn with_options(text: &str) -> Option<usize> {
    let (name, options) = text.split_once('[')?;
    if name.is_empty() || strip(name).contains(is_space) {
        return None;
    }
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(is_space);
    let options = options.trim_start_matches(is_space);
    if let Some(rest) = options.strip_prefix(']') {
        return ends(rest).then_some(text.len() - rest.len());
    }
    let mut ways: Vec<Way<'_>> = Vec::new();
    let mut seen = HashSet::new();
    after_values(options, &mut ways);
    while let Some(way) = ways.pop() {
        let after = match way {
            Way::Ends(rest) => return Some(text.len() - rest.len()),
            Way::GoesOn(after) => after,
        };
        if !seen.insert(after.len()) {
            continue;
        }
        let closed = after.strip_prefix(',').unwrap_or(after).trim_start_matches(is_space);
        ways.extend(closed.strip_prefix(']').filter(|rest| ends(rest)).map(Way::Ends));
        if let Some(next) = separated(after) {
            after_values(next, &mut ways);
        }
    }
    None
}

/// How a list of options may be read on; of several ways the last one is tried first.
enum Way<'a> {
    /// It is closed, and this follows.
    Ends(&'a str),
    /// A value has ended, and this follows.
    GoesOn(&'a str),
}

/// Adds what follows the value of the option that begins here. A value that begins with a quotation mark is a quoted one
/// or, if that leads nowhere, an unquoted one.
fn after_values<'a>(text: &'a str, ways: &mut Vec<Way<'a>>) {
    let Some((_, value)) = name(text) else { return };
    let values = [Some(unquoted(value)), quoted(value)].into_iter().flatten();
    ways.extend(values.map(|(_, after)| Way::GoesOn(after.trim_start_matches(is_space))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_options_as_fail2ban_does() {
        // Behaviour spec 1.5, run on Fail2Ban.
        for (text, options) in [
            ("n[a=1,b=2]", &[("a", "1"), ("b", "2")][..]),
            ("n[a=1][b=2]", &[("a", "1"), ("b", "2")]),
            ("n[a=\"x, y\", b='q']", &[("a", "x, y"), ("b", "q")]),
            ("n[b=\"x]y\"]", &[("b", "x]y")]),
            ("n[a='it\"s']", &[("a", "it\"s")]),
            ("n[a=\"mul\nti\"]", &[("a", "mul\nti")]),
            ("n[a= spaced ]", &[("a", "spaced")]),
            ("n[a=\" spaced \"]", &[("a", "spaced")]),
            ("n[a=b=c]", &[("a", "b=c")]),
            ("n[a=1 b=2]", &[("a", "1 b=2")]),
            ("n[a=1,]", &[("a", "1")]),
            ("n[]", &[]),
            ("n", &[]),
            ("n[a.b-c_D=1]", &[("a.b-c_D", "1")]),
            ("n[blocktype?family=inet6=DROP]", &[("blocktype?family=inet6", "DROP")]),
            ("n[a=it's, b=2]", &[("a", "it's"), ("b", "2")]),
        ] {
            let read = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.name, "n");
            let expected: Vec<_> = options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(read.options, expected, "{text}");
        }
    }

    #[test]
    fn reads_commas_and_blanks_as_fail2ban_does() {
        // Run on 1.0.2, as all that follow.
        let one = |text: &str| parse(text).map(|read| read.options);
        for text in ["f[]", "f[ ]", "f[,]", "f[, ]", "f[,\n ]", "f[ ]\n"] {
            assert_eq!(one(text), Ok(Vec::new()), "{text}");
        }
        let a = Ok(vec![("a".to_owned(), "1".to_owned())]);
        for text in [
            "f[a=1,,]",
            "f[a=1][,]",
            "f[a=1][]",
            "f[a=\"1\",,]",
            "f[a=\"1\"\n]",
            "f[a=1,, ]",
            "f[\n a= 1]",
        ] {
            assert_eq!(one(text), a, "{text}");
        }
        assert_eq!(one("f[a=1] \n [b=2]").unwrap().len(), 2);
        for (text, message) in [
            ("f[,,]", "expected option, wrong syntax at 0: ,,"),
            ("f[ , ]", "expected option, wrong syntax at 0:  , "),
            ("f[a=1, ,]", "expected option, wrong syntax at 4:  ,"),
            ("f[a=1,  b]", "expected option, wrong syntax at 4:   b"),
            ("f[][a=1]", "expected option, wrong syntax at 0: ][a=1"),
            ("f[a= \"x, y\"]", "expected option, wrong syntax at 6:  y\""),
            ("f[a=\"1\" ]", "unexpected syntax at 5 after option 'a':  "),
            ("f[a=\"1\"\n\n]", "unexpected syntax at 5 after option 'a': \n\n"),
            ("f[a=\"x", "unexpected option syntax"),
            ("f[a=1]x", "unexpected option syntax"),
            ("[a=1]", "unexpected option syntax"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn refuses_what_fail2ban_refuses_in_its_words() {
        for (text, message) in [
            ("f[a]", "expected option, wrong syntax at 0: a"),
            ("a[x=1]a[x=2]", "unexpected syntax at 3 after option 'x': ]a[x=2"),
            ("n[=1]", "expected option, wrong syntax at 0: =1"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
        for text in [
            "n[a=\"x\" , b=2]",
            "n[a=\"x\"b=2]",
            "n[a=x]y]",
            "n[a=\"he said \"\"hi\"\"\"]",
            "",
            "n[a=1",
        ] {
            parse(text).unwrap_err();
        }
    }

    #[test]
    fn splits_actions_where_fail2ban_does() {
        for (text, items) in [
            ("act[a=1 b=2]", &["act[a=1 b=2]"][..]),
            ("act[a=1 ,b]", &["act[a=1", ",b]"]),
            ("act[a b=1]", &["act[a", "b=1]"]),
            ("act [a=1] x", &["act [a=1]", "x"]),
            ("act[a=1] [b=2] [", &["act[a=1] [b=2]", "["]),
            ("act[a=1 2] [b=1 c", &["act[a=1 2]", "[b=1", "c"]),
            ("act[] [b=1]", &["act[]", "[b=1]"]),
            ("act[a=\"1 ] 2\" c]", &["act[a=\"1 ]", "2\"", "c]"]),
            ("act[a=\"x, y\" , b=2]", &["act[a=\"x, y\" , b=2]"]),
            ("act[a=x\"y, z\"]", &["act[a=x\"y,", "z\"]"]),
            ("act[a=x\"y] z\"]", &["act[a=x\"y]", "z\"]"]),
            ("act[a=1 2]x", &["act[a=1", "2]x"]),
            ("act[a=1, b=2,, c=3 4]", &["act[a=1,", "b=2,,", "c=3", "4]"]),
            ("act[a=\"x, y\" z, b=3]", &["act[a=\"x,", "y\"", "z,", "b=3]"]),
            ("act[, a=1]", &["act[,", "a=1]"]),
            ("act[a=x y, ]", &["act[a=x y, ]"]),
            ("act\n  [a=1 2]", &["act\n  [a=1 2]"]),
        ] {
            assert_eq!(split_list(text), items, "{text}");
        }
    }

    #[test]
    fn splits_actions_at_blanks_outside_brackets() {
        let text = "a b[x=\"1 ] 2\", y=it's] \n  c[x=3,\n  name=4]";
        assert_eq!(split_list(text), ["a", "b[x=\"1 ] 2\", y=it's]", "c[x=3,\n  name=4]"]);
    }
}

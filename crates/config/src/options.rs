//! `name[opt=value, opt="quoted, value"][opt=…]`: what `filter`, `action` and `backend` are written in.
//!
//! Rules: behaviour spec 1.5. Start reading at [`parse`] and [`split_list`].

use std::collections::HashMap;
use std::fmt;

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
    /// `[` without `]` at the end.
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
            Self::Unclosed => f.write_str("expected `]` at the end"),
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
    if text.trim().is_empty() {
        return Err(OptionsError::Empty);
    }
    let Some((name, rest)) = text.split_once('[') else {
        return Ok(Extended {
            name: text.to_owned(),
            options: Vec::new(),
        });
    };
    let inner = rest.trim_end().strip_suffix(']').ok_or(OptionsError::Unclosed)?;
    if name.is_empty() {
        return Err(OptionsError::Empty);
    }
    let mut extended = Extended {
        name: name.to_owned(),
        options: Vec::new(),
    };
    let mut places = HashMap::new();
    let mut rest = inner;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', ',']);
        if rest.is_empty() {
            return Ok(extended);
        }
        let (option, value, after) = option(inner, rest)?;
        let at = *places.entry(option).or_insert(extended.options.len());
        match extended.options.get_mut(at) {
            Some((_, old)) => value.clone_into(old),
            None => extended.options.push((option.to_owned(), value.to_owned())),
        }
        rest = after;
    }
}

/// One `option=value` and what stands after the comma or `][` behind it.
fn option<'a>(inner: &str, text: &'a str) -> Result<(&'a str, &'a str, &'a str), OptionsError> {
    let expected = || OptionsError::ExpectedOption {
        at: offset(inner, text),
        found: text.to_owned(),
    };
    let name_end = name_length(text);
    let (name, rest) = text.split_at_checked(name_end).ok_or_else(expected)?;
    let rest = rest
        .strip_prefix('=')
        .filter(|_| !name.is_empty())
        .ok_or_else(expected)?;
    let unquoted = |rest: &'a str| {
        let end = rest.find([',', ']']).unwrap_or(rest.len());
        rest.split_at(end)
    };
    let (value, after) = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let quoted = rest.strip_prefix(quote).and_then(|rest| rest.split_once(quote));
            quoted.unwrap_or_else(|| unquoted(rest))
        }
        _ => unquoted(rest),
    };
    let next = after
        .strip_prefix(',')
        .or_else(|| after.strip_prefix("]["))
        .or(after.is_empty().then_some(after));
    let next = next.ok_or_else(|| OptionsError::Unexpected {
        at: offset(inner, after),
        option: name.to_owned(),
        found: after.to_owned(),
    })?;
    Ok((name, value.trim(), next))
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
pub fn split_list(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut start = None;
    let mut inside = false;
    let mut quote = None;
    let mut after_equals = false;
    for (index, character) in text.char_indices() {
        if !inside && character.is_whitespace() {
            items.extend(start.take().and_then(|start| text.get(start..index)));
            continue;
        }
        start.get_or_insert(index);
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '[') => inside = true,
            (None, ']') => inside = false,
            (None, '"' | '\'') if inside && after_equals => quote = Some(character),
            _ => {}
        }
        after_equals = quote.is_none() && character == '=';
    }
    items.extend(start.and_then(|start| text.get(start..)));
    items
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
    fn splits_actions_at_blanks_outside_brackets() {
        let text = "a b[x=\"1 ] 2\", y=it's] \n  c[x=3,\n  name=4]";
        assert_eq!(split_list(text), ["a", "b[x=\"1 ] 2\", y=it's]", "c[x=3,\n  name=4]"]);
    }
}

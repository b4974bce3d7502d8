//! `<tag>`: values put into values, by name.
//!
//! Here is only the replacing; what a tag stands for is the caller's to say: for the client the options of a filter or
//! action file, for `stockade-action` the ban. Rules: behaviour spec 1.6.

use std::borrow::Cow;
use std::fmt;

/// Largest result; keeps tags that multiply from filling memory.
const RESULT_LIMIT_BYTES: usize = 1 << 20;
/// Most replacements for one value.
const STEP_LIMIT: usize = 20_000;
/// Values within values; Fail2Ban gives up after 25 rounds of replacing the same tag.
const DEPTH_LIMIT: usize = 100;

/// Why tags cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagError {
    /// The value of this tag contains the tag.
    SelfReference(String),
    /// The result would be too large, or too many tags stand within one another.
    TooLarge,
}

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfReference(tag) => write!(f, "the value of <{tag}> contains <{tag}>"),
            Self::TooLarge => f.write_str("tags multiply within one another without end"),
        }
    }
}

impl std::error::Error for TagError {}

/// `text` with its tags replaced, and the tags in their values too; a tag that `lookup` does not know stays as it is.
///
/// In `<a<b>>` the inner tag is replaced first. A tag is `<`, then anything without blanks and angle brackets, then `>`.
///
/// ```
/// use stockade_config::tags::substitute;
/// let lookup = |tag: &str| match tag {
///     "mode" => Some("normal".into()),
///     "re-normal" => Some("^<user> from <HOST>".into()),
///     "user" => Some("[a-z]+".into()),
///     _ => None,
/// };
/// assert_eq!(substitute("<re-<mode>>$", lookup).as_deref(), Ok("^[a-z]+ from <HOST>$"));
/// ```
pub fn substitute<'a>(text: &str, mut lookup: impl FnMut(&str) -> Option<Cow<'a, str>>) -> Result<String, TagError> {
    let mut budget = STEP_LIMIT;
    expand(text, &mut lookup, &mut Vec::new(), &mut budget)
}

/// Whether a tag may stand in `text`; `false` is certain.
pub fn has_tags(text: &str) -> bool {
    text.find('<')
        .is_some_and(|open| text.get(open..).is_some_and(|rest| rest.contains('>')))
}

fn expand<'a>(
    text: &str,
    lookup: &mut dyn FnMut(&str) -> Option<Cow<'a, str>>,
    within: &mut Vec<String>,
    budget: &mut usize,
) -> Result<String, TagError> {
    if !has_tags(text) {
        return Ok(text.to_owned());
    }
    // Text is moved from `rest` to `done` tag by tag; `opens` are the `<` in `done` that may still begin a tag.
    let mut done = String::with_capacity(text.len());
    let mut opens: Vec<usize> = Vec::new();
    let mut rest = text;
    loop {
        // Where no tag has begun, nothing can end one.
        let next = if opens.is_empty() {
            rest.find('<')
        } else {
            rest.find(['<', '>', ' '])
        };
        let (before, from) = rest.split_at_checked(next.unwrap_or(rest.len())).unwrap_or((rest, ""));
        done.push_str(before);
        let mut characters = from.chars();
        match characters.next() {
            None => return Ok(done),
            Some('<') => {
                opens.push(done.len());
                done.push('<');
            }
            Some('>') => close(&mut done, &mut opens, lookup, within, budget)?,
            // A blank ends every tag that has begun.
            Some(blank) => {
                opens.clear();
                done.push(blank);
            }
        }
        rest = characters.as_str();
        if done.len() > RESULT_LIMIT_BYTES {
            return Err(TagError::TooLarge);
        }
    }
}

/// Handles a `>`: replaces the tag that ends here, if there is one and it is known.
fn close<'a>(
    done: &mut String,
    opens: &mut Vec<usize>,
    lookup: &mut dyn FnMut(&str) -> Option<Cow<'a, str>>,
    within: &mut Vec<String>,
    budget: &mut usize,
) -> Result<(), TagError> {
    let Some(open) = opens.pop() else {
        done.push('>');
        return Ok(());
    };
    let tag = done.get(open + 1..).unwrap_or_default();
    let value = if tag.is_empty() { None } else { lookup(tag) };
    let Some(value) = value else {
        done.push('>');
        // `<a<b>>` with an unknown `<b>`: brackets are left inside, so the outer one is no tag either.
        opens.clear();
        return Ok(());
    };
    if within.iter().any(|outer| outer == tag) {
        return Err(TagError::SelfReference(tag.to_owned()));
    }
    *budget = budget.checked_sub(1).ok_or(TagError::TooLarge)?;
    if within.len() >= DEPTH_LIMIT {
        return Err(TagError::TooLarge);
    }
    let value = if has_tags(&value) {
        within.push(tag.to_owned());
        let value = expand(&value, lookup, within, budget)?;
        within.pop();
        Cow::Owned(value)
    } else {
        value
    };
    done.truncate(open);
    if value.contains([' ', '<', '>']) {
        // What came out cannot be part of the name of a tag around it.
        opens.clear();
    }
    done.push_str(&value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)], text: &str) -> Result<String, TagError> {
        substitute(text, |tag| {
            pairs
                .iter()
                .find(|(name, _)| *name == tag)
                .map(|(_, value)| Cow::Owned((*value).to_owned()))
        })
    }

    #[test]
    fn replaces_inner_tags_first_and_leaves_unknown_ones() {
        let pairs = [
            ("a", "1"),
            ("b", "a"),
            ("x1", "y"),
            ("list", "<a> <b> <HOST>"),
            ("e", ""),
        ];
        for (text, expected) in [
            ("<a> <b> <<b>>", "1 a 1"),
            ("<x<a>> <x<nope>> <e>|<>|<a b>", "y <x<nope>> |<>|<a b>"),
            ("<list>$ (?P<user>x)", "1 a <HOST>$ (?P<user>x)"),
            ("a < b <a>> <c", "a < b 1> <c"),
            ("<Z<a>", "<Z1"),
        ] {
            assert_eq!(with(&pairs, text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_values_that_contain_themselves() {
        let circle = [("a", "<b>"), ("b", "x<a>")];
        assert_eq!(with(&circle, "<a>"), Err(TagError::SelfReference("a".to_owned())));
    }

    #[test]
    fn refuses_values_that_multiply() {
        let pairs: Vec<(String, String)> = (0..60)
            .map(|n| (format!("t{n}"), format!("<t{0}><t{0}>", n + 1)))
            .collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(with(&pairs, "<t0>"), Err(TagError::TooLarge));
    }
}

//! Backslash escapes and bracketed classes.

use crate::charset::{Category, ClassItem};
use crate::error::PatternError;
use crate::token::{Token, Tokens};

/// What an escape outside a class means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    Literal(u32),
    Category {
        category: Category,
        negated: bool,
    },
    TextStart,
    TextEnd,
    WordBoundary {
        negated: bool,
    },
    /// `\1` to `\99`; whether there is such a group is for the parser to say.
    Group(usize),
}

/// A bracketed class as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) negated: bool,
    pub(crate) items: Vec<ClassItem>,
}

/// Reads the rest of an escape of which `token` was just taken.
pub(crate) fn escape(tokens: &mut Tokens<'_>, token: Token) -> Result<Escape, PatternError> {
    let simple = match token.character {
        'A' => Some(Escape::TextStart),
        'Z' => Some(Escape::TextEnd),
        'b' => Some(Escape::WordBoundary { negated: false }),
        'B' => Some(Escape::WordBoundary { negated: true }),
        _ => category(token.character).map(|(category, negated)| Escape::Category { category, negated }),
    };
    if let Some(simple) = simple {
        return Ok(simple);
    }
    match token.character {
        '0' => {
            let digits = tokens.take_while(2, is_octal)?;
            Ok(Escape::Literal(u32::from_str_radix(digits, 8).unwrap_or(0)))
        }
        first @ '1'..='9' => numbered(tokens, token, first),
        _ => literal(tokens, token).map(Escape::Literal),
    }
}

/// `\12` is a group, `\123` an octal escape if all three digits are octal.
fn numbered(tokens: &mut Tokens<'_>, token: Token, first: char) -> Result<Escape, PatternError> {
    let second = tokens
        .peek()
        .filter(|next| !next.escaped && next.character.is_ascii_digit());
    if let Some(second) = second {
        tokens.take()?;
        let third = tokens.peek().filter(|next| !next.escaped && is_octal(next.character));
        if is_octal(first) && is_octal(second.character) && third.is_some() {
            tokens.take()?;
            return octal(tokens, token).map(Escape::Literal);
        }
    }
    let digits = tokens.text(token.start + 1..tokens.position());
    Ok(Escape::Group(digits.parse().unwrap_or(usize::MAX)))
}

fn octal(tokens: &Tokens<'_>, token: Token) -> Result<u32, PatternError> {
    let written = tokens.text(token.start..tokens.position());
    let code = u32::from_str_radix(written.get(1..).unwrap_or_default(), 8).unwrap_or(0);
    if code > 0o377 {
        let message = format!("octal escape value {written} outside of range 0-0o377");
        return Err(tokens.error(message, token.start));
    }
    Ok(code)
}

/// An escape that stands for one character, inside or outside a class.
fn literal(tokens: &mut Tokens<'_>, token: Token) -> Result<u32, PatternError> {
    let code = match token.character {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        'x' => hexadecimal(tokens, token, 2)?,
        'u' => hexadecimal(tokens, token, 4)?,
        'U' => {
            let code = hexadecimal(tokens, token, 8)?;
            if i32::try_from(code).is_err() {
                return Err(tokens.error("Python int too large to convert to C int", token.start));
            }
            if code > u32::from(char::MAX) {
                let written = tokens.text(token.start..tokens.position());
                return Err(tokens.error(format!("bad escape {written}"), token.start));
            }
            code
        }
        'N' => {
            if !tokens.eat('{')? {
                return Err(tokens.error("missing {", tokens.position()));
            }
            tokens.take_until('}', "character name")?;
            // The Unicode name table is half a megabyte; no filter needs it.
            let written = tokens.text(token.start..tokens.position());
            let message = format!("character names are not supported: write {written} as \\x, \\u or \\U");
            return Err(tokens.error(message, token.start));
        }
        letter if letter.is_ascii_alphabetic() => {
            return Err(tokens.error(format!("bad escape \\{letter}"), token.start));
        }
        other => u32::from(other),
    };
    Ok(code)
}

fn hexadecimal(tokens: &mut Tokens<'_>, token: Token, digits: usize) -> Result<u32, PatternError> {
    let written = tokens.take_while(digits, |character| character.is_ascii_hexdigit())?;
    if written.len() != digits {
        let written = tokens.text(token.start..tokens.position());
        return Err(tokens.error(format!("incomplete escape {written}"), token.start));
    }
    Ok(u32::from_str_radix(written, 16).unwrap_or(u32::MAX))
}

fn is_octal(character: char) -> bool {
    matches!(character, '0'..='7')
}

fn category(letter: char) -> Option<(Category, bool)> {
    let category = match letter.to_ascii_lowercase() {
        'd' => Category::Digit,
        's' => Category::Space,
        'w' => Category::Word,
        _ => return None,
    };
    Some((category, letter.is_ascii_uppercase()))
}

/// Reads a class whose `[` at `start` was just taken.
pub(crate) fn class(tokens: &mut Tokens<'_>, start: usize) -> Result<Class, PatternError> {
    let negated = tokens.eat('^')?;
    let mut items: Vec<ClassItem> = Vec::new();
    loop {
        let Some(token) = tokens.take()? else {
            return Err(unterminated(tokens, start));
        };
        if token.is(']') && !items.is_empty() {
            break;
        }
        let item = class_item(tokens, token)?;
        if !tokens.eat('-')? {
            items.push(item);
            continue;
        }
        let Some(upper) = tokens.take()? else {
            return Err(unterminated(tokens, start));
        };
        if upper.is(']') {
            items.push(item);
            items.push(ClassItem::Literal(u32::from('-')));
            break;
        }
        let upper_item = class_item(tokens, upper)?;
        match (item, upper_item) {
            (ClassItem::Literal(first), ClassItem::Literal(last)) if first <= last => {
                items.push(ClassItem::Range(first, last));
            }
            _ => {
                let lower_text = tokens.text(token.start..token.end);
                let upper_text = tokens.text(upper.start..upper.end);
                // CPython counts the two tokens back from here, which is short of the start after `\x..`.
                let length = lower_text.chars().count() + 1 + upper_text.chars().count();
                let before = tokens.text(0..tokens.position());
                let from = before.char_indices().rev().nth(length - 1).map_or(0, |(at, _)| at);
                return Err(tokens.error(format!("bad character range {lower_text}-{upper_text}"), from));
            }
        }
    }
    Ok(Class { negated, items })
}

fn unterminated(tokens: &Tokens<'_>, start: usize) -> PatternError {
    tokens.error("unterminated character set", start)
}

fn class_item(tokens: &mut Tokens<'_>, token: Token) -> Result<ClassItem, PatternError> {
    if !token.escaped {
        return Ok(ClassItem::Literal(u32::from(token.character)));
    }
    if let Some((category, negated)) = category(token.character) {
        return Ok(ClassItem::Category { category, negated });
    }
    match token.character {
        '0'..='7' => {
            tokens.take_while(2, is_octal)?;
            octal(tokens, token).map(ClassItem::Literal)
        }
        digit @ '8'..='9' => Err(tokens.error(format!("bad escape \\{digit}"), token.start)),
        _ => literal(tokens, token).map(ClassItem::Literal),
    }
}

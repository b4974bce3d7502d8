//! A rule made of the pieces of a line.

use std::fmt::Write as _;
use std::ops::Range;

use super::line::Line;
use super::pieces::{self, Piece};

/// What stands for somebody else's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    /// Anything.
    Any,
    /// Before the address no blanks, behind it anything.
    Word,
    /// No blanks, or not what ends it.
    Short,
}

/// What the line must not have twice, so that nothing in somebody else's text is taken for the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Once {
    Nothing,
    /// What stands before the address.
    Before,
    /// That and an address, and what stands behind.
    Around,
}

/// How strict a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strictness {
    text: Text,
    once: Once,
}

/// From the rule that finds most to the one that finds least. Which is safe depends on what stands around the address, and is tried.
pub(super) const STRICTNESS: [Strictness; 9] = {
    const fn with(text: Text, once: Once) -> Strictness {
        Strictness { text, once }
    }
    [
        with(Text::Any, Once::Nothing),
        with(Text::Any, Once::Before),
        with(Text::Any, Once::Around),
        with(Text::Word, Once::Nothing),
        with(Text::Word, Once::Before),
        with(Text::Word, Once::Around),
        with(Text::Short, Once::Nothing),
        with(Text::Short, Once::Before),
        with(Text::Short, Once::Around),
    ]
};

/// A line of the log in pieces, and the head that syslog puts before it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The program, if the line came through syslog or the journal.
    pub(super) program: Option<String>,
    /// What stands behind the head, with places in the line's content.
    pub(super) pieces: Vec<(Piece, Range<usize>)>,
}

impl Shape {
    pub(super) fn of(line: &Line) -> Self {
        let content = line.content();
        let mut pieces = pieces::of(line);
        let head = head(line, &content).filter(|(end, _)| {
            let foreign = |piece: &Piece| matches!(piece, Piece::Anything | Piece::Culprit | Piece::Address);
            !pieces.iter().any(|(piece, place)| foreign(piece) && place.start < *end)
        });
        let start = head.as_ref().map_or(0, |(end, _)| *end);
        pieces.retain_mut(|(piece, place)| {
            if place.end <= start && (place.start < place.end || place.start < start) {
                return false;
            }
            if let Piece::Literal(text) = piece
                && place.start < start
            {
                text.drain(..start - place.start);
                place.start = start;
            }
            true
        });
        // Blanks between the date and the message.
        if let Some((first, place)) = pieces.first_mut() {
            if *first == Piece::Blanks {
                pieces.remove(0);
            } else if let Piece::Literal(text) = first
                && text.starts_with(' ')
            {
                text.remove(0);
                place.start += 1;
            }
        }
        pieces.retain(|(piece, _)| !matches!(piece, Piece::Literal(text) if text.is_empty()));
        Self {
            program: head.map(|(_, program)| program),
            pieces,
        }
    }

    /// The texts that somebody else chose.
    pub(super) fn foreign(&self) -> impl Iterator<Item = &Range<usize>> {
        let pieces = self.pieces.iter();
        pieces
            .filter(|(piece, _)| *piece == Piece::Anything)
            .map(|(_, place)| place)
    }

    fn culprit(&self) -> usize {
        let position = self.pieces.iter().position(|(piece, _)| *piece == Piece::Culprit);
        position.unwrap_or(self.pieces.len())
    }

    /// Its rule.
    pub(super) fn rule(&self, strictness: Strictness) -> String {
        let mut rule = match &self.program {
            Some(program) => format!(r"^\s*(?:\S+\s+)?{}(?:\[\d+\])?:\s+", literal(program)),
            None => r"^\s*".to_owned(),
        };
        let culprit = self.culprit();
        let (before, behind) = self.pieces.split_at_checked(culprit).unwrap_or((&self.pieces, &[]));
        let own = own_words(before);
        if !own.is_empty() {
            let own = texts(&own, strictness.text, true);
            let next = behind.iter().skip(1).take_while(|(piece, _)| *piece != Piece::Anything);
            let next: Vec<_> = next.cloned().collect();
            match strictness.once {
                Once::Nothing => {}
                Once::Before => {
                    let _ = write!(rule, "(?!.*{own}.*{own})"); // writing to a String cannot fail
                }
                Once::Around => {
                    let around = format!("{own}{ADDRESS}{}", texts(&next, strictness.text, false));
                    let _ = write!(rule, "(?!.*{around}.*{around})");
                }
            }
        }
        rule + &texts(before, strictness.text, true) + &texts(behind, strictness.text, false) + "$"
    }
}

/// The service's own words before the address: those behind somebody else's text, or the last one.
fn own_words(before: &[(Piece, Range<usize>)]) -> Vec<(Piece, Range<usize>)> {
    if let Some(last) = before.iter().rposition(|(piece, _)| *piece == Piece::Anything) {
        return before.get(last + 1..).unwrap_or_default().to_vec();
    }
    let words = before.iter().rev().find_map(|(piece, place)| match piece {
        Piece::Literal(text) => Some((text, place)),
        _ => None,
    });
    let Some((text, place)) = words else {
        return Vec::new();
    };
    let word = text
        .trim_end()
        .rfind(' ')
        .and_then(|start| text.get(start..))
        .unwrap_or(text);
    vec![(Piece::Literal(word.to_owned()), place.clone())]
}

/// An address that is not to be banned; no `<ADDR>`, which may stand only once.
const ADDRESS: &str = r"\[?[\da-fA-F.:]+\]?";

fn texts(pieces: &[(Piece, Range<usize>)], text: Text, before_culprit: bool) -> String {
    let mut out = String::new();
    for (index, (piece, _)) in pieces.iter().enumerate() {
        match piece {
            Piece::Literal(words) => out.push_str(&literal(words)),
            Piece::Blanks => out.push_str(r"\s+"),
            Piece::Number => out.push_str(r"\d+"),
            Piece::Hexadecimal => out.push_str(r"(?:0x)?[\da-fA-F-]+"),
            Piece::Mark => out.push_str(r"\w+"),
            Piece::Address => out.push_str(ADDRESS),
            Piece::Name => out.push_str("[A-Z][a-z]{2}"),
            Piece::Mapping => out.push_str("(?i:::ffff:)?"),
            Piece::Culprit => out.push_str("<ADDR>"),
            Piece::Anything => {
                let end = pieces.get(index + 1).and_then(|(next, _)| match next {
                    Piece::Literal(words) => words.chars().next().filter(|c| "'\"`>)],;|".contains(*c)),
                    _ => None,
                });
                match (text, end) {
                    (Text::Any, _) => out.push_str(".*"),
                    (Text::Word, _) => out.push_str(if before_culprit { r"\S*" } else { ".*" }),
                    (Text::Short, Some(end)) => {
                        let _ = write!(out, "[^{}]*", literal(&end.to_string())); // as above
                    }
                    (Text::Short, None) => out.push_str(r"\S*"),
                }
            }
        }
    }
    out
}

/// Text as a regex, and as it stands in a file of the configuration.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '\\' | '.' | '^' | '$' | '*' | '+' | '?' | '{' | '}' | '[' | ']' | '(' | ')' | '|' => {
                out.extend(['\\', character]);
            }
            // Angle brackets can be a tag, and a semicolon begins a comment.
            '<' => out.push_str(r"\x3c"),
            ';' => out.push_str(r"\x3b"),
            '\t' => out.push_str(r"\t"),
            _ => out.push(character),
        }
    }
    out
}

/// The end of what syslog writes before a message, and the program it names.
fn head(line: &Line, content: &str) -> Option<(usize, String)> {
    let date = line.text.get(line.date.clone())?;
    let is_syslog = line.date.start == 0
        && (date.starts_with(|c: char| c.is_ascii_alphabetic()) || date.get(10..11) == Some("T"))
        && content.starts_with(' ');
    let message = content.trim_start();
    let (host, rest) = message.split_once(' ')?;
    let rest = rest.trim_start();
    let (tag, after) = rest.split_once(": ")?;
    let program = match tag.split_once('[') {
        Some((program, number)) => {
            let number = number.strip_suffix(']')?;
            (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(program)?
        }
        None => tag,
    };
    let is_name = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_alphanumeric() || "._-/:".contains(c))
            && text.contains(|c: char| c.is_lowercase())
    };
    (is_syslog && is_name(host) && is_name(program))
        .then(|| (content.len() - after.trim_start().len(), program.to_owned()))
}

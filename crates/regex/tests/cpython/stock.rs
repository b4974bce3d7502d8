//! The installed package's expressions and sample lines, and mutations of these.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

use stockade_regex::{Flags, Regex};

use crate::oracle::{flags, missing_python, run_python};
use crate::random::Random;

/// One expression of a stock filter, tags expanded.
pub(crate) struct Expression {
    /// `m` or `-`.
    pub(crate) letters: String,
    /// The first filter, mode and log type that has it.
    pub(crate) filter: String,
    pub(crate) pattern: String,
}

impl Expression {
    pub(crate) fn flags(&self) -> Flags {
        flags(&self.letters)
    }

    pub(crate) fn compile(&self) -> Regex {
        Regex::new(&self.pattern, self.flags()).unwrap()
    }
}

/// All expressions of all stock filters in all modes and log types, and all sample lines.
pub(crate) struct Stock {
    pub(crate) expressions: Vec<Expression>,
    pub(crate) texts: Vec<String>,
}

impl Stock {
    /// Says what is missing where there is nothing to load.
    pub(crate) fn load() -> Option<Self> {
        if missing_python() {
            return None;
        }
        let output = run_python("stock.py", "");
        if let Some(reason) = output.strip_prefix("skipped:") {
            println!("skipped:{reason}");
            return None;
        }
        let mut stock = Self {
            expressions: Vec::new(),
            texts: Vec::new(),
        };
        for line in output.lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["P", letters, filter, pattern] => stock.expressions.push(Expression {
                    letters: (*letters).into(),
                    filter: (*filter).into(),
                    pattern: unhex(pattern),
                }),
                ["T", text] => stock.texts.push(unhex(text)),
                other => panic!("not understood: {other:?}"),
            }
        }
        Some(stock)
    }
}

fn unhex(digits: &str) -> String {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    String::from_utf8(digits.as_bytes().chunks(2).map(byte).collect()).unwrap()
}

/// What patterns look for, and what they do not expect.
const INSERTED: &[&str] = &[
    " ",
    "  ",
    "\"",
    "\"\"",
    "[",
    "]",
    "(",
    ")",
    "<",
    ">",
    ":",
    "::",
    "=",
    "'",
    "\n",
    "\r",
    "\t",
    "é",
    "٣",
    "\u{301}",
    "\u{a0}",
    "a",
    "0",
    "1.2.3.4",
    "::ffff:1.2.3.4",
    "2001:db8::1",
    "from",
    " from ",
    "user=",
    "ſ",
    "K",
    "_",
    "-",
    ".",
    ", ",
    "\\",
    "\u{0}",
    "\u{fffd}",
    "ip=",
    " port 22",
    "😀",
];

/// A text with up to four changes: characters gone, doubled, swapped or new, the end cut, parts repeated, and the end
/// of another text.
pub(crate) fn mutated(random: &mut Random, texts: &[String]) -> String {
    let mut text: Vec<char> = texts[random.below(texts.len())].chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let until = (at + 1 + random.below(12)).min(text.len());
        match random.below(8) {
            0 => drop(text.drain(at..until)),
            1 => {
                let part: Vec<char> = text[at..until].to_vec();
                let again = part.repeat(1 + random.below(6));
                drop(text.splice(at..at, again));
            }
            2 => text.truncate(at),
            3 => {
                let other: Vec<char> = texts[random.below(texts.len())].chars().collect();
                let from = random.below(other.len() + 1);
                text.truncate(at);
                text.extend(&other[from..]);
            }
            4 if at + 1 < text.len() => text.swap(at, at + 1),
            _ => drop(text.splice(at..at, random.pick(INSERTED).chars())),
        }
    }
    text.into_iter().collect()
}

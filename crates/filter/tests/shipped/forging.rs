//! Text as an attacker would choose it, made of a service's own lines.

#![expect(unreachable_pub, reason = "a module of tests")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fmt::Write;

use crate::samples::{self, Hole, Sample};

/// Addresses of nobody who did anything.
pub const OTHERS: [&str; 4] = [
    "203.0.113.66",
    "2001:db8:bad::66",
    "::ffff:203.0.113.66",
    "[2001:db8:bad::66]",
];

/// What parts addresses from names, in one log or another.
const PIECES: [&str; 42] = [
    " ", "  ", "'", "\"", "`", "\\", "\\\"", "\\'", "]", "[", "(", ")", "<", ">", ",", ";", ":", ": ", "=", " - ",
    "\t", "#012", "\\n", "\\r\\n", "%0a", "\\x0a", "\u{2028}", "\u{a0}", "é", "字", "\u{202e}", " from ", " from=",
    "rhost=", "client: ", " port 22", ":5060", "}", "{", "@", "/", "|",
];

/// Numbers from a seed, the same on every run (xorshift).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Text that an attacker would try: parts of the service's own lines that name somebody else, between what may end a name.
pub fn text(lines: &[String], numbers: &mut Numbers) -> String {
    let mut text = String::new();
    for _ in 0..=numbers.below(4) {
        match numbers.below(8) {
            0 => text.push_str(numbers.one::<&str>(&OTHERS)),
            1 | 2 => text.push_str(numbers.one::<&str>(&PIECES)),
            3 => text.push('x'),
            // The whole of a line, or from some word of it on, or up to some word.
            kind => {
                let line: Vec<char> = numbers.one(lines).chars().collect();
                let from = if kind == 4 { 0 } else { numbers.below(line.len()) };
                let to = if kind < 7 {
                    line.len()
                } else {
                    from + numbers.below(line.len() - from)
                };
                text.extend(line.get(from..to).unwrap_or_default());
            }
        }
    }
    text
}

/// The text as the service writes it.
pub fn written(hole: &Hole, text: &str) -> String {
    let escaped = |quote: &str, ascii: bool| {
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '"' | '\\' if quote == "\\" => out.extend(['\\', c]),
                '"' | '\\' => write!(out, "\\x{:02X}", u32::from(c)).unwrap(),
                c if c.is_control() => write!(out, "\\x{:02x}", u32::from(c)).unwrap(),
                c if ascii && !c.is_ascii() => {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        write!(out, "\\x{byte:02X}").unwrap();
                    }
                }
                c => out.push(c),
            }
        }
        out
    };
    match hole {
        Hole::Any { without } => text.chars().filter(|c| !without.contains(*c)).collect(),
        Hole::Word { without } => text
            .chars()
            .filter(|c| !without.contains(*c) && !c.is_whitespace())
            .collect(),
        Hole::Escaped => escaped("\\", false),
        Hole::Hex => escaped("x", true),
    }
}

/// The sample with somebody else in the place of its address, and what stands behind each of its holes.
pub fn forged(sample: &Sample, other: &str) -> Vec<String> {
    let plain = sample.plain();
    let name = |text: &str| {
        sample
            .address
            .as_ref()
            .map_or(text.to_owned(), |address| text.replace(address, other))
    };
    let mut lines = vec![name(&plain)];
    // After the date and the program's name, as a message.
    lines.extend(plain.split_once(": ").map(|(_, message)| name(message)));
    let mut ends: Vec<String> = Vec::new();
    let mut before = String::new();
    for part in &sample.parts {
        match part {
            samples::Part::Text(text) => before.push_str(text),
            samples::Part::Hole(_) => {
                before.push_str("alice");
                ends.extend(plain.strip_prefix(&before).map(name));
            }
        }
    }
    lines.extend(ends);
    lines
}

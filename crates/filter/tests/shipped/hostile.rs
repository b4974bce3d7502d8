//! Hostile text wherever a service writes text that is not its own: nobody but the true address may be named.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![expect(clippy::disallowed_methods, reason = "asks the environment how much to try")]

use std::fmt::Write;

use jiff::tz::TimeZone;
use stockade_filter::Memory;

use crate::configured::{self, compile};
use crate::said::{Form, judged};
use crate::samples::{self, Hole, Kind, Sample};

/// Lines made of each sample with holes, unless `STOCKADE_HOSTILE_LINES` says how many.
const LINES_EACH: usize = 120;

/// Addresses of nobody who did anything.
const OTHERS: [&str; 4] = [
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
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Text that an attacker would try: parts of the service's own lines that name somebody else, between what may end a name.
fn text(lines: &[String], numbers: &mut Numbers) -> String {
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
fn written(hole: &Hole, text: &str) -> String {
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
fn forged(sample: &Sample, other: &str) -> Vec<String> {
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

#[test]
fn hostile_text_names_nobody_but_the_true_address() {
    let mut numbers = Numbers(0x5eed_2026_1122);
    let given = std::env::var("STOCKADE_HOSTILE_LINES").ok();
    let lines_each = given.map_or(LINES_EACH, |lines| lines.parse().unwrap());
    let names = configured::names();
    let sections: Vec<_> = names.iter().flat_map(|name| samples::read(name)).collect();
    let filters: Vec<String> = sections.iter().flat_map(|section| section.filters.clone()).collect();
    let settings = configured::settings(&filters);
    let (mut tried, mut found, mut wrong) = (0, 0, Vec::new());
    for section in &sections {
        let failures = section.samples.iter().filter(|sample| sample.kind == Kind::Failure);
        let lines: Vec<String> = failures
            .flat_map(|sample| OTHERS.iter().take(2).flat_map(|other| forged(sample, other)))
            .collect();
        for with in &section.filters {
            let filter = compile(with, &settings[with], &TimeZone::UTC);
            for sample in section.samples.iter().filter(|sample| sample.has_holes()) {
                let own: Vec<String> = OTHERS.iter().take(2).flat_map(|other| forged(sample, other)).collect();
                for round in 0..lines_each {
                    let line = sample.filled(|hole| {
                        let lines = if round % 2 == 0 && !own.is_empty() {
                            &own
                        } else {
                            &lines
                        };
                        written(
                            hole,
                            &if lines.is_empty() {
                                numbers.one::<&str>(&OTHERS).to_string()
                            } else {
                                text(lines, &mut numbers)
                            },
                        )
                    });
                    let form = if round % 4 == 0 { Form::Journal } else { Form::File };
                    let who = judged(&filter, &line, form, &mut Memory::default());
                    tried += 1;
                    match who {
                        Ok(None) => {}
                        Ok(who) if who == sample.address => found += 1,
                        other => wrong.push(format!(
                            "{with}, of sample line {}: {other:?} named by {line}",
                            sample.number
                        )),
                    }
                }
            }
        }
    }
    println!(
        "{tried} hostile lines tried: {found} name the true address, {} another",
        wrong.len()
    );
    wrong.truncate(60);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

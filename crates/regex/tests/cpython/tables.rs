//! Which characters a class holds, over all of Unicode.
#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(clippy::disallowed_methods, reason = "the test reads a source file")]

use std::fmt::Write as _;

use stockade_regex::{Regex, Scratch};

use crate::oracle::{flags, hex, missing_python, run_python};

/// Flags and a pattern that matches one character.
const CLASSES: &[(&str, &str)] = &[
    ("", r"\d"),
    ("", r"\w"),
    ("", r"\s"),
    ("", r"\D"),
    ("", r"\W"),
    ("", r"\S"),
    ("", "."),
    ("a", r"\d"),
    ("a", r"\w"),
    ("a", r"\s"),
    ("a", r"\W"),
    ("i", "k"),
    ("i", "s"),
    ("i", "i"),
    ("i", "ß"),
    ("i", "ẞ"),
    ("i", "é"),
    ("i", "µ"),
    ("i", "ſ"),
    ("i", "İ"),
    ("i", "ı"),
    ("i", "Σ"),
    ("i", "\u{345}"),
    ("i", "ǅ"),
    ("i", "\u{10400}"),
    ("i", "\u{10428}"),
    ("i", "[^k]"),
    ("i", "[ks]"),
    ("i", "[a-z]"),
    ("i", "[^a-z]"),
    ("i", "[A-Z0-9_]"),
    ("i", "[à-þ]"),
    ("i", "[α-ω]"),
    ("i", r"[\W]"),
    ("i", r"[\Wk]"),
    ("i", "[^ßk]"),
    ("i", "[\u{10400}]"),
    ("i", "[\u{10400}x]"),
    ("i", "[\u{10400}-\u{10410}]"),
    ("i", "[\u{113}-\u{10410}]"),
    ("i", "[\u{1e90}-\u{1e9f}]"),
    ("ia", "k"),
    ("ia", "[a-z]"),
    ("ia", "é"),
    ("ia", "[^K]"),
    ("ia", "[\u{10400}-\u{10410}]"),
    ("i", "[A-\u{10ffff}]"),
    ("i", "[\u{fb00}-\u{fb06}]"),
    ("i", "ŉ"),
    ("i", "ǰ"),
    ("i", "ᲀ"),
    ("i", "ꙋ"),
    ("i", "Ω"),
    ("i", "K"),
    ("i", "Å"),
    ("i", "ς"),
    ("i", "ﬅ"),
    ("i", "[^\u{10400}]"),
    ("i", "ᾀ"),
];

#[test]
fn character_tables_are_those_of_cpython() {
    if missing_python() {
        return;
    }
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tables.rs");
    let committed = std::fs::read_to_string(committed).unwrap();
    assert!(
        committed == run_python("tables.py", ""),
        "run tests/cpython/tables.py and commit what it prints"
    );
}

#[test]
fn classes_hold_the_characters_they_hold_in_cpython() {
    if missing_python() {
        return;
    }
    let everything: String = (0..=0x0010_ffff_u32).filter_map(char::from_u32).collect();
    let mut input = String::new();
    for (flags, class) in CLASSES {
        writeln!(input, "{flags}\t{}", hex(class)).unwrap();
    }
    let output = run_python("classes.py", &input);
    assert_eq!(output.lines().count(), CLASSES.len());
    for ((letters, class), theirs) in CLASSES.iter().zip(output.lines()) {
        assert_eq!(
            ranges(letters, class, &everything),
            theirs,
            "{class} with flags {letters:?}"
        );
    }
}

/// Runs of members, as the oracle writes them; the surrogates, which no text has, part a run.
fn ranges(letters: &str, class: &str, everything: &str) -> String {
    let regex = Regex::new(&format!("(?:{class})+"), flags(letters)).unwrap();
    let mut scratch = Scratch::default();
    let mut out: Vec<String> = Vec::new();
    let mut rest = everything;
    while regex.search(rest, &mut scratch).unwrap() {
        let span = scratch.group(0).unwrap();
        let run = &rest[span.clone()];
        let (first, last) = (run.chars().next().unwrap(), run.chars().next_back().unwrap());
        if first <= '\u{d7ff}' && last >= '\u{e000}' {
            out.push(format!("{}-{}", u32::from(first), 0xd7ff));
            out.push(format!("{}-{}", 0xe000, u32::from(last)));
        } else {
            out.push(format!("{}-{}", u32::from(first), u32::from(last)));
        }
        rest = &rest[span.end..];
    }
    out.join(" ")
}

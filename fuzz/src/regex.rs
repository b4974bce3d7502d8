//! Python's `re`: patterns that are odd, texts that are hostile.

use stockade_regex::{Budget, Flags, Overrun, Paths, Regex, Scratch};

/// The flags are the first letter of an input, the rest of its first line is the pattern, the rest the text.
pub(crate) fn question(data: &[u8]) -> (String, String, String) {
    let text = String::from_utf8_lossy(data);
    let mut letters = text.chars();
    let bits = letters.next().map_or(0, u32::from);
    let flags = "imsxa".chars().enumerate();
    let flags = flags.filter(|(at, _)| bits >> at & 1 == 1).map(|(_, letter)| letter);
    let rest = letters.as_str();
    let (pattern, text) = rest.split_once('\0').unwrap_or((rest, rest));
    (flags.collect(), pattern.to_owned(), text.to_owned())
}

pub(crate) fn flags(letters: &str) -> Flags {
    Flags {
        ignore_case: letters.contains('i'),
        multi_line: letters.contains('m'),
        dot_all: letters.contains('s'),
        verbose: letters.contains('x'),
        ascii: letters.contains('a'),
    }
}

pub(crate) type Groups = Vec<Option<(usize, usize)>>;

pub(crate) fn groups(regex: &Regex, scratch: &Scratch) -> Groups {
    (0..=regex.groups())
        .map(|group| scratch.group(group).map(|span| (span.start, span.end)))
        .collect()
}

/// Compiles or says where the fault is; what compiles is searched with in a few plain texts.
pub(crate) fn pattern(data: &[u8]) {
    let (letters, pattern, _) = question(data);
    match Regex::new(&pattern, flags(&letters)) {
        Err(error) => {
            assert!(error.span.start <= error.span.end, "{error:?}");
            assert!(
                pattern.get(error.span.clone()).is_some(),
                "{error:?} is not in {pattern:?}"
            );
            assert!(!error.message.is_empty());
        }
        Ok(regex) => {
            assert!(
                regex
                    .names()
                    .iter()
                    .all(|(_, group)| (1..=regex.groups()).contains(group))
            );
            let mut scratch = Scratch::default();
            for text in ["", "a", "\n", &pattern, "aAéſK0 _\n\u{10ffff}"] {
                held(&regex, text, &mut scratch);
            }
        }
    }
}

/// What a match has to be, whatever the pattern.
fn held(regex: &Regex, text: &str, scratch: &mut Scratch) {
    let decided = regex.search(text, scratch);
    if decided != Ok(true) {
        return;
    }
    let Some(whole) = scratch.group(0) else {
        panic!("a match without group 0");
    };
    let matched = text.get(whole).unwrap_or_else(|| panic!("a match outside the text"));
    for (start, end) in groups(regex, scratch).into_iter().flatten() {
        assert!(text.get(start..end).is_some(), "{start}..{end} is no part of the text");
    }
    if let Some(literals) = regex.required_literals() {
        let holds = |literal: &Vec<u8>| {
            matched
                .as_bytes()
                .windows(literal.len().max(1))
                .any(|part| part == literal)
        };
        assert!(
            literals.iter().any(|literal| literal.is_empty() || holds(literal)),
            "none of {literals:?} in {matched:?}"
        );
    }
}

/// The machine with its memo, without, and the linear engine find the same groups wherever they decide.
pub(crate) fn search(data: &[u8]) {
    let (letters, pattern, text) = question(data);
    let mut scratch = Scratch::default();
    let mut answers: Vec<(&str, Option<Groups>)> = Vec::new();
    for (name, steps_without_memo) in [("with memo", 0), ("without memo", 30_000)] {
        let budget = Budget {
            steps: 30_000,
            steps_without_memo,
        };
        let Ok(regex) = Regex::with_budget(&pattern, flags(&letters), budget) else {
            return;
        };
        held(&regex, &text, &mut scratch);
        // A search that overruns is decided by the linear engine, if that can.
        match regex.search(&text, &mut scratch) {
            Ok(found) => answers.push((name, found.then(|| groups(&regex, &scratch)))),
            Err(Overrun) => assert_eq!(regex.search_linear(&text, &mut scratch), None),
        }
        if let Some(found) = regex.search_linear(&text, &mut scratch) {
            answers.push(("linear", found.then(|| groups(&regex, &scratch))));
        }
    }
    for pair in answers.windows(2) {
        let [(one, first), (other, second)] = pair else {
            continue;
        };
        assert_eq!(
            first, second,
            "{one} and {other} disagree about {letters:?} {pattern:?} in {text:?}"
        );
    }
    by_earlier_ways(&letters, &pattern, &text);
}

/// By the ways of searches in other texts a search finds what it finds without.
fn by_earlier_ways(letters: &str, pattern: &str, text: &str) {
    let Ok(regex) = Regex::new(pattern, flags(letters)) else {
        return;
    };
    let (mut scratch, mut paths) = (Scratch::default(), Paths::default());
    let literals = regex.required_literals();
    let (half, rest) = text.split_at(text.floor_char_boundary(text.len() / 2));
    let doubled = format!("{text}{rest}");
    for text in [text, half, &doubled, text, rest, half, text] {
        let Ok(found) = regex.search(text, &mut scratch) else {
            continue;
        };
        let plain = found.then(|| groups(&regex, &scratch));
        if let Ok(found) = regex.search_by(text, &mut scratch, &mut paths, || literals.as_deref()) {
            let by_paths = found.then(|| groups(&regex, &scratch));
            assert_eq!(plain, by_paths, "{letters:?} {pattern:?} in {text:?}");
        }
    }
}

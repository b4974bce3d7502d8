//! Searches decided by the ways of earlier ones, against the machine, which CPython is compared with elsewhere.
//!
//! Longer runs: `STOCKADE_SEED=7 STOCKADE_TIMES=20 cargo test -p stockade-regex --test cpython paths`.

use std::cell::OnceCell;

use crate::oracle::spans;
use crate::random::{Random, times};
use crate::stock::{Stock, mutated};
use crate::writer::{EVERYTHING, GUARDED, LOOPING, pattern, text};
use stockade_regex::{Flags, Paths, Regex, Scratch};

/// The ways of one pattern, and how often they decided.
#[derive(Default)]
struct Compared {
    paths: Paths,
    literals: OnceCell<Option<Vec<Vec<u8>>>>,
    searches: u64,
    hits: u64,
}

impl Compared {
    fn compare(&mut self, regex: &Regex, text: &str, scratch: &mut Scratch) {
        let answer = |found: bool, scratch: &Scratch| if found { spans(regex, scratch) } else { "N".into() };
        let before = self.paths.hits();
        let literals = || self.literals.get_or_init(|| regex.required_literals()).as_deref();
        let found = regex.search_by(text, scratch, &mut self.paths, literals);
        let by_paths = found.map(|found| answer(found, scratch));
        self.searches += 1;
        let hit = self.paths.hits() > before;
        self.hits += u64::from(hit);
        let plain = regex.search_plainly(text, scratch).map(|found| answer(found, scratch));
        // What runs out of steps may be decided by the way of a short search.
        if plain.is_ok() || !hit {
            assert_eq!(by_paths, plain, "{:?} on {text:?}", regex.pattern());
        }
    }
}

/// Other names, numbers and blanks in the same sentence.
fn reworded(random: &mut Random, text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let alike = |other: char| {
            other.is_alphanumeric() == first.is_alphanumeric() && other.is_numeric() == first.is_numeric()
        };
        let length = rest.find(|other| !alike(other)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length.max(first.len_utf8()));
        if first.is_numeric() && random.once_in(2) {
            (0..=random.below(4)).for_each(|_| out.push_str(random.pick(&["0", "1", "7", "9", "22"])));
        } else if first.is_alphabetic() && random.once_in(12) {
            out.push_str(random.pick(&["root", "a", "admin", "x1", "from", "Zz", "invalid user", "e f", ""]));
        } else if random.once_in(40) {
            out.push_str(random.pick(&["  ", "", " ", ":", "[", "]", "::1", "é", "\n"]));
        } else {
            out.push_str(word);
        }
        rest = after;
    }
    out
}

#[test]
fn a_text_that_answers_as_an_earlier_one_has_the_same_groups() {
    let mut random = Random::new(11);
    let mut scratch = Scratch::default();
    let (mut searches, mut hits) = (0, 0);
    for round in 0..6_000 * times() {
        let alphabet = [&EVERYTHING, &GUARDED, &LOOPING][round % 3];
        let Ok(regex) = Regex::new(&format!("^{}", pattern(&mut random, alphabet, 3)), Flags::default()) else {
            continue;
        };
        let mut compared = Compared::default();
        let base = text(&mut random, alphabet, 12);
        for number in 0..40 {
            let mut other = text(&mut random, alphabet, 12);
            if number % 3 > 0 {
                let cut = base.floor_char_boundary(random.below(base.len() + 1));
                other.insert_str(0, base.get(..cut).unwrap());
            }
            compared.compare(&regex, &other, &mut scratch);
        }
        searches += compared.searches;
        hits += compared.hits;
    }
    println!("{searches} searches, {hits} of them by the way of an earlier one, no difference");
    assert!(hits > 10_000, "{hits}");
}

#[test]
fn stock_expressions_find_by_earlier_ways_what_they_find_without() {
    let Some(stock) = Stock::load() else { return };
    let mut random = Random::new(12);
    let mut scratch = Scratch::default();
    let (mut searches, mut hits, mut matches) = (0, 0, 0);
    for expression in &stock.expressions {
        let regex = expression.compile();
        for text in &stock.texts {
            if regex.search(text, &mut scratch) != Ok(true) {
                continue;
            }
            matches += 1;
            let mut compared = Compared::default();
            for number in 0..24 * times() {
                let other = match number % 8 {
                    0 => text.clone(),
                    1 => mutated(&mut random, std::slice::from_ref(text)),
                    _ => reworded(&mut random, text),
                };
                compared.compare(&regex, &other, &mut scratch);
            }
            searches += compared.searches;
            hits += compared.hits;
        }
    }
    println!(
        "{matches} matches reworded: {searches} searches, {hits} of them by the way of an earlier one, no difference"
    );
    assert!(hits * 3 > searches, "{hits} of {searches}");
}

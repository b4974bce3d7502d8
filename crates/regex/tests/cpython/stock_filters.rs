//! The installed package's filters on its sample logs and on mutations of these: our groups are CPython's, by both
//! engines, and no literal we require is missing from a match. The prefilter of the daemon stands on this.
//!
//! All pairs, and many more mutations: `STOCKADE_TIMES=2 cargo test -p stockade-regex --test cpython stock_filters`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use crate::oracle::{Python, spans};
use crate::random::{Random, times};
use crate::stock::{Expression, Stock, mutated};
use stockade_regex::{Regex, Scratch};

/// Mutated lines beside each quarter of the sample lines.
const MUTATED: usize = 400;

#[derive(Debug, Default)]
struct Counts {
    pairs: usize,
    matches: usize,
    unfinished: usize,
    linear: usize,
    steps: u64,
    differences: Vec<String>,
}

#[test]
fn stock_filters_find_in_sample_logs_what_cpython_finds() {
    let Some(stock) = Stock::load() else { return };
    let mut random = Random::new(4);
    let all = times() > 1;
    let mut texts: Vec<String> = stock
        .texts
        .iter()
        .filter(|_| all || random.once_in(4))
        .cloned()
        .collect();
    let mutations = if all { 4 * MUTATED * times() } else { MUTATED };
    texts.extend((0..mutations).map(|_| mutated(&mut random, &stock.texts)));
    let mut python = Python::start();
    python.hold(&texts);
    let mut counts = Counts::default();
    let ask =
        |python: &mut Python, expression: &Expression| python.search_all(&expression.letters, &expression.pattern);
    let mut coming = stock.expressions.iter().skip(1);
    ask(&mut python, stock.expressions.first().unwrap());
    for expression in &stock.expressions {
        if let Some(next) = coming.next() {
            ask(&mut python, next);
        }
        let answers = python.answers();
        let regex = expression.compile();
        let literals = regex.required_literals();
        for (index, text) in texts.iter().enumerate() {
            let theirs = answers.get(&index).map_or("N", String::as_str);
            counts.compare(&regex, literals.as_ref(), text, theirs, all || index % 8 == 0);
        }
    }
    println!(
        "{} expressions, {} texts, {mutations} of them mutated: {} pairs, {} matches, {} not finished by CPython; the machine \
         took at most {} steps; {} pairs also by the linear engine; {} differences",
        stock.expressions.len(),
        texts.len(),
        counts.pairs,
        counts.matches,
        counts.unfinished,
        counts.steps,
        counts.linear,
        counts.differences.len()
    );
    let shown: Vec<_> = counts.differences.iter().take(10).map(String::as_str).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

impl Counts {
    fn compare(&mut self, regex: &Regex, literals: Option<&Vec<Vec<u8>>>, text: &str, theirs: &str, also_linear: bool) {
        let mut scratch = Scratch::default();
        self.pairs += 1;
        self.matches += usize::from(theirs.starts_with('M'));
        let pattern = regex.pattern();
        let answer = |found: bool, scratch: &Scratch| if found { spans(regex, scratch) } else { "N".into() };
        let ours = regex.search(text, &mut scratch).map(|found| answer(found, &scratch));
        self.steps = self.steps.max(scratch.steps());
        if theirs == "T" {
            self.unfinished += 1;
        } else if ours.as_deref() != Ok(theirs) {
            self.differences
                .push(format!("{pattern:?} on {text:?}: CPython {theirs}, machine {ours:?}"));
        }
        if also_linear {
            let plain = regex.search_plainly(text, &mut scratch);
            let plain = plain.map(|found| answer(found, &scratch));
            if ours != plain {
                self.differences.push(format!(
                    "{pattern:?} on {text:?}: short form {ours:?}, machine {plain:?}"
                ));
            }
        }
        if also_linear && let Some(found) = regex.search_linear(text, &mut scratch) {
            self.linear += 1;
            let linear = answer(found, &scratch);
            if ours.as_ref() != Ok(&linear) {
                self.differences.push(format!(
                    "{pattern:?} on {text:?}: machine {ours:?}, linear engine {linear}"
                ));
            }
        }
        let (Some(literals), Some(matched)) = (literals, theirs.strip_prefix("M ")) else {
            return;
        };
        let (start, end) = matched.split(' ').next().unwrap().split_once(',').unwrap();
        let matched = &text.as_bytes()[start.parse().unwrap()..end.parse().unwrap()];
        if !literals
            .iter()
            .any(|literal| memchr::memmem::find(matched, literal).is_some())
        {
            self.differences
                .push(format!("{pattern:?} on {text:?}: none of the literals {literals:?}"));
        }
    }
}

#[test]
fn most_stock_expressions_are_decided_in_linear_time() {
    let Some(stock) = Stock::load() else { return };
    let mut limited = Vec::new();
    let mut with_literals = 0;
    for expression in &stock.expressions {
        let regex = expression.compile();
        with_literals += usize::from(regex.required_literals().is_some());
        if let Some(obstacle) = regex.obstacle() {
            limited.push(format!("{}: {obstacle}", expression.filter));
        }
    }
    let mut scratch = Scratch::default();
    let ascii_only: Vec<&str> = stock
        .expressions
        .iter()
        .filter(|expression| {
            let regex = expression.compile();
            // A look at one line of each kind, so that what is too large for the linear engine does not count either.
            regex.is_regular() && {
                assert!(
                    regex.search_linear("abc", &mut scratch).is_some(),
                    "{}",
                    expression.filter
                );
                regex.search_linear("äbc", &mut scratch).is_none()
            }
        })
        .map(|expression| expression.filter.as_str())
        .collect();
    println!(
        "{} linear for texts of ASCII only: {}",
        ascii_only.len(),
        ascii_only.join(", ")
    );
    assert!(ascii_only.len() * 50 <= stock.expressions.len());
    let (all, limited_count) = (stock.expressions.len(), limited.len());
    println!(
        "{all} expressions compiled, {} linear, {limited_count} limited by steps, {with_literals} with required literals\n{}",
        all - limited_count,
        limited.join("\n")
    );
    assert!(limited_count * 20 <= all, "{limited_count} of {all}");
}

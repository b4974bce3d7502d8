//! The installed package's filters on its sample logs: our groups are CPython's, by both engines, and no literal we
//! require is missing from a match. The prefilter of the daemon stands on this.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::HashMap;

use crate::oracle::{flags, missing_python, run_python, spans};
use stockade_regex::{Regex, Scratch};

fn unhex(digits: &str) -> String {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    String::from_utf8(digits.as_bytes().chunks(2).map(byte).collect()).unwrap()
}

#[test]
fn stock_filters_find_in_sample_logs_what_cpython_finds() {
    if missing_python() {
        return;
    }
    let output = run_python("stock.py", "");
    if let Some(reason) = output.strip_prefix("skipped:") {
        println!("skipped:{reason}");
        return;
    }
    let (mut patterns, mut texts, mut answers) = (Vec::new(), Vec::new(), HashMap::new());
    for line in output.lines() {
        match line.splitn(4, ' ').collect::<Vec<_>>().as_slice() {
            ["P", flags, pattern] => patterns.push((*flags, unhex(pattern))),
            ["T", text] => texts.push(unhex(text)),
            ["A", pattern, text, answer] => {
                answers.insert(
                    (pattern.parse::<usize>().unwrap(), text.parse::<usize>().unwrap()),
                    *answer,
                );
            }
            other => panic!("not understood: {other:?}"),
        }
    }
    let mut scratch = Scratch::default();
    let mut differences = Vec::new();
    let (mut regular, mut with_literals, mut refused, mut linear, mut steps) = (0, 0, 0, 0, 0);
    for (number, (letters, pattern)) in patterns.iter().enumerate() {
        let regex = match Regex::new(pattern, flags(letters)) {
            Ok(regex) => regex,
            Err(error) => {
                refused += 1;
                if answers.get(&(number, 0)) != Some(&"E") {
                    differences.push(format!("{pattern}: refused: {error}"));
                }
                continue;
            }
        };
        regular += usize::from(regex.is_regular());
        let literals = regex.required_literals();
        with_literals += usize::from(literals.is_some());
        for (index, text) in texts.iter().enumerate() {
            let theirs = answers.get(&(number, index)).copied().unwrap_or("N");
            let answer = |found: bool, scratch: &Scratch| if found { spans(&regex, scratch) } else { "N".into() };
            let ours = regex.search(text, &mut scratch).map(|found| answer(found, &scratch));
            steps = steps.max(scratch.steps());
            if ours.as_deref() != Ok(theirs) {
                differences.push(format!("{pattern:?} on {text:?}: CPython {theirs}, machine {ours:?}"));
            }
            if index % 8 == 0
                && let Some(found) = regex.search_linear(text, &mut scratch)
            {
                linear += 1;
                let ours = answer(found, &scratch);
                if ours != theirs {
                    differences.push(format!(
                        "{pattern:?} on {text:?}: CPython {theirs}, linear engine {ours}"
                    ));
                }
            }
            if let (Some(literals), Some(matched)) = (&literals, theirs.strip_prefix("M ")) {
                let (start, end) = matched.split(' ').next().unwrap().split_once(',').unwrap();
                let matched = &text.as_bytes()[start.parse().unwrap()..end.parse().unwrap()];
                if !literals
                    .iter()
                    .any(|literal| memchr::memmem::find(matched, literal).is_some())
                {
                    differences.push(format!("{pattern:?} on {text:?}: none of the literals {literals:?}"));
                }
            }
        }
    }
    println!(
        "{} patterns ({regular} regular, {with_literals} with literals, {refused} refused by both), {} texts, {} matches; {} searches by the \
         machine (at most {steps} steps), {linear} by the linear engine; {} differences",
        patterns.len(),
        texts.len(),
        answers.len() - refused,
        (patterns.len() - refused) * texts.len(),
        differences.len()
    );
    assert!(
        differences.is_empty(),
        "{}",
        differences[..differences.len().min(10)].join("\n")
    );
}

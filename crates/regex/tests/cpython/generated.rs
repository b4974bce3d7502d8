//! Generated patterns and texts: what CPython refuses we refuse, what it matches we match, group by group.
//!
//! A longer run: `STOCKADE_SEED=7 STOCKADE_TIMES=20 cargo test -p stockade-regex --test cpython generated`.
#![expect(clippy::print_stdout, reason = "test code")]

use crate::oracle::{Ourselves, Python, Question, missing_python, spans};
use crate::random::{Random, times};
use crate::shrink::{difference, shrink};
use crate::writer::{EVERYTHING, GUARDED, LOOPING, pattern, text};
use stockade_regex::{Budget, Flags, Regex, Scratch};

const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "*",
    "+",
    "?",
    "|",
    "\\",
    "^",
    "$",
    "-",
    ",",
    "1",
    "2",
    "a",
    "b",
    ":",
    "=",
    "!",
    "<",
    ">",
    "P",
    "(?",
    "(?P<",
    "(?P=",
    "(?<=",
    "(?(",
    "x",
    "i",
    "#",
    " ",
    "\\1",
    "\\8",
    "\\x",
    "\\u12",
    "\\N{",
    "\\07",
    "\\400",
    "\\q",
    "(?i)",
    "(?a",
    "(?-",
    "(?x)",
    "é",
    "_",
    "'",
    "{1,2}",
    "{2,1}",
    "\n",
    "a-",
    "\\d",
    "\\b",
    "n>",
    "(?#",
    "(?:a",
    "0",
    "\\U00110000",
];
/// CPython would take hours for these; the machine without memo is compared with CPython elsewhere.
#[test]
fn the_memo_changes_no_answer() {
    let mut random = Random::new(2);
    let mut scratch = Scratch::default();
    let (mut compared, mut linear) = (0, 0);
    let search = |regex: &Regex, text: &str, scratch: &mut Scratch| match regex.search(text, scratch) {
        Ok(true) => Some(spans(regex, scratch)),
        Ok(false) => Some("N".into()),
        Err(_) => None,
    };
    for _ in 0..4_000 * times() {
        let pattern = pattern(&mut random, &LOOPING, 3);
        let with_memo = Budget {
            steps: 1_000_000,
            steps_without_memo: 0,
        };
        let without_memo = Budget {
            steps: 100_000,
            steps_without_memo: u64::MAX,
        };
        let Ok(with_memo) = Regex::with_budget(&pattern, Flags::default(), with_memo) else {
            continue;
        };
        let without_memo = Regex::with_budget(&pattern, Flags::default(), without_memo).unwrap();
        for _ in 0..4 {
            let text = text(&mut random, &LOOPING, 60);
            let Some(ours) = search(&with_memo, &text, &mut scratch) else {
                continue;
            };
            if let Some(plain) = search(&without_memo, &text, &mut scratch) {
                assert_eq!(ours, plain, "{pattern:?} on {text:?}, short form");
                compared += 1;
            }
            if let Ok(found) = without_memo.search_plainly(&text, &mut scratch) {
                let plain = if found {
                    spans(&without_memo, &scratch)
                } else {
                    "N".into()
                };
                assert_eq!(ours, plain, "{pattern:?} on {text:?}, machine");
            }
            if let Some(found) = with_memo.search_linear(&text, &mut scratch) {
                let theirs = if found { spans(&with_memo, &scratch) } else { "N".into() };
                assert_eq!(ours, theirs, "{pattern:?} on {text:?}, linear engine");
                linear += 1;
            }
        }
    }
    println!("{compared} searches with and without memo, {linear} also by the linear engine, no difference");
    assert!(compared > 10_000);
}

/// Differences shown when a test fails; each is made as short as it goes.
const SHOWN: usize = 12;

fn compare(questions: &[Question]) {
    let mut python = Python::start();
    let theirs = python.ask(questions);
    assert_eq!(theirs.len(), questions.len());
    let mut ourselves = Ourselves::default();
    let mut differences = Vec::new();
    let (mut matched, mut refused, mut unfinished, mut linear) = (0, 0, 0, 0);
    for (question, theirs) in questions.iter().zip(&theirs) {
        matched += usize::from(theirs.starts_with('M'));
        refused += usize::from(theirs.starts_with('E'));
        unfinished += usize::from(theirs == "T");
        let ours = ourselves.answers(question);
        linear += usize::from(ours.iter().any(|(way, _)| *way == "linear engine"));
        if difference(question, theirs, &ours).is_some() {
            differences.push(question);
        }
    }
    println!(
        "{} pairs compared ({matched} matched, {refused} refused, {unfinished} not finished by CPython, {linear} also by \
         the linear engine), {} differences",
        questions.len(),
        differences.len()
    );
    differences.sort_by_key(|question| question.pattern.len());
    differences.dedup_by_key(|question| question.pattern.clone());
    let shown: Vec<String> = differences
        .iter()
        .take(SHOWN)
        .map(|question| shrink(&mut python, question))
        .collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// All flags `re.compile` takes, alone and together.
fn flags(random: &mut Random) -> String {
    if random.once_in(2) {
        return String::new();
    }
    ["i", "m", "s", "x", "a"]
        .into_iter()
        .filter(|_| random.once_in(3))
        .collect()
}

#[test]
fn generated_patterns_match_as_in_cpython() {
    if missing_python() {
        return;
    }
    let mut random = Random::new(0);
    for _ in 0..times() {
        let mut questions = Vec::new();
        for _ in 0..4_000 {
            let pattern = pattern(&mut random, &EVERYTHING, 3);
            let flags = flags(&mut random);
            for _ in 0..5 {
                questions.push(Question::new(&flags, &pattern, &text(&mut random, &EVERYTHING, 14)));
            }
        }
        compare(&questions);
    }
}

#[test]
fn generated_loops_match_as_in_cpython() {
    if missing_python() {
        return;
    }
    let mut random = Random::new(3);
    for _ in 0..times() {
        let mut questions = Vec::new();
        for _ in 0..2_500 {
            let pattern = pattern(&mut random, &LOOPING, 3);
            for _ in 0..5 {
                questions.push(Question::new("", &pattern, &text(&mut random, &LOOPING, 16)));
            }
        }
        compare(&questions);
    }
}

/// A third of what these patterns have is refused (groups that are not there); of the rest most are written out.
#[test]
fn generated_look_aheads_and_conditionals_match_as_in_cpython() {
    if missing_python() {
        return;
    }
    let mut random = Random::new(5);
    for _ in 0..times() {
        let mut questions = Vec::new();
        for _ in 0..2_500 {
            let pattern = pattern(&mut random, &GUARDED, 2);
            for _ in 0..5 {
                questions.push(Question::new("", &pattern, &text(&mut random, &GUARDED, 12)));
            }
        }
        compare(&questions);
    }
}

#[test]
fn mangled_patterns_are_refused_as_in_cpython() {
    if missing_python() {
        return;
    }
    let mut random = Random::new(1);
    for _ in 0..times() {
        let mut questions: Vec<Question> = (0..15_000)
            .map(|_| {
                let pattern: String = (0..=random.below(8)).map(|_| random.pick(PIECES)).collect();
                Question::new(random.pick(&["", "", "x"]), &pattern, "ab1-x\n")
            })
            .collect();
        // A pattern with all its parts, of which one character is missing, doubled or another.
        questions.extend((0..6_000).map(|_| {
            let mut pattern: Vec<char> = pattern(&mut random, &EVERYTHING, 3).chars().collect();
            if !pattern.is_empty() {
                let at = random.below(pattern.len());
                match random.below(3) {
                    0 => drop(pattern.remove(at)),
                    1 => pattern.insert(at, pattern[at]),
                    _ => pattern[at] = random.pick(PIECES).chars().next().unwrap(),
                }
            }
            Question::new(&flags(&mut random), &pattern.into_iter().collect::<String>(), "ab1-x\n")
        }));
        // Character names are refused with our own message (D-044).
        questions.retain(|question| !question.pattern.contains("\\N{"));
        compare(&questions);
    }
}

//! Pairs of pattern and text with CPython's recorded answers, through each engine.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![expect(clippy::disallowed_methods, reason = "the test reads its table")]

use crate::oracle::{Ourselves, Python, Question, agree, lacks_literals, missing_python, readable};

/// The questions and the recorded answers.
fn table() -> Vec<(Question, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/re/pairs.txt");
    let plain = |field: &str| field.replace('␊', "\n").replace('␉', "\t");
    let table = std::fs::read_to_string(path).unwrap();
    let rows = table.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    rows.map(|row| {
        let fields: Vec<&str> = row.split('\t').collect();
        assert_eq!(fields.len(), 4, "{row}");
        let question = Question::new(fields[0].trim_matches('-'), &plain(fields[1]), &plain(fields[2]));
        (question, fields[3].to_owned())
    })
    .collect()
}

#[test]
fn recorded_pairs_match_as_in_cpython() {
    let mut ourselves = Ourselves::default();
    let table = table();
    for (question, theirs) in &table {
        for (way, ours) in ourselves.answers(question) {
            let ours = readable(&ours);
            // A position CPython does not give is not compared.
            let same = match theirs.strip_prefix("E - ") {
                Some(message) => ours.starts_with("E ") && ours.ends_with(&format!(" {message}")),
                None => ours == *theirs,
            };
            assert!(same, "{question:?}: CPython {theirs}, {way} {ours}");
        }
        assert!(
            !lacks_literals(question, theirs),
            "{question:?}: no literal in the match"
        );
    }
    println!("{} recorded pairs", table.len());
    assert!(table.len() >= 200);
}

#[test]
fn recorded_answers_are_cpythons() {
    if missing_python() {
        return;
    }
    let (questions, recorded): (Vec<_>, Vec<_>) = table().into_iter().unzip();
    for ((question, theirs), recorded) in questions.iter().zip(Python::start().ask(&questions)).zip(recorded) {
        assert_eq!(readable(&theirs), recorded, "{question:?}: run tests/cpython/record.py");
    }
    assert!(agree("N", "N"));
}

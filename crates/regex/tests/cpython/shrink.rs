//! A question on which we and CPython differ, made as short as it goes.

use crate::oracle::{Ourselves, Python, Question, agree, readable};

/// A search for something shorter ends after this many questions.
const MOST_QUESTIONS: usize = 1_500;

/// What is wrong with our answers; `None` if they are CPython's.
pub(crate) fn difference(question: &Question, theirs: &str, ours: &[(&str, String)]) -> Option<String> {
    let shown = || {
        format!(
            "{:?} flags {:?} on {:?}",
            question.pattern, question.flags, question.text
        )
    };
    for (way, ours) in ours {
        if !agree(theirs, ours) && !is_slip(&question.pattern, theirs, ours) {
            return Some(format!(
                "{}: CPython {}, {way} {}",
                shown(),
                readable(theirs),
                readable(ours)
            ));
        }
    }
    crate::oracle::lacks_literals(question, theirs)
        .then(|| format!("{}: the match has none of the required literals", shown()))
}

/// Whether the answers differ as they do for a slip of CPython 3.11 that we do not follow (D-044): a group set by an
/// alternative that failed in a possessive repetition stays set.
fn is_slip(pattern: &str, theirs: &str, ours: &str) -> bool {
    let possessive = ["*+", "++", "?+", "}+"]
        .iter()
        .any(|quantifier| pattern.contains(quantifier));
    let whole = |answer: &str| answer.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
    possessive && theirs.starts_with('M') && whole(theirs) == whole(ours)
}

/// The shortest question found that still shows a difference, and what differs.
pub(crate) fn shrink(python: &mut Python, question: &Question) -> String {
    let mut ourselves = Ourselves::default();
    let mut asked = 0;
    let mut differs = |question: &Question| {
        asked += 1;
        let theirs = python.ask(std::slice::from_ref(question)).remove(0);
        // An error for an error is another story than a match for a match.
        (asked < MOST_QUESTIONS)
            .then(|| difference(question, &theirs, &ourselves.answers(question)))
            .flatten()
    };
    let mut best = question.clone();
    let mut told = differs(&best).unwrap_or_else(|| String::from("the difference went away when asked again"));
    let refused = told.contains(": CPython E") || told.contains("parser E");
    loop {
        let length = best.pattern.len() + best.text.len();
        for size in [16, 8, 4, 3, 2, 1] {
            for in_text in [true, false] {
                let mut at = 0;
                loop {
                    let field = if in_text { &best.text } else { &best.pattern };
                    let characters: Vec<char> = field.chars().collect();
                    if at + size > characters.len() {
                        break;
                    }
                    let shorter: String = characters
                        .iter()
                        .take(at)
                        .chain(characters.iter().skip(at + size))
                        .collect();
                    let mut candidate = best.clone();
                    if in_text {
                        candidate.text = shorter;
                    } else {
                        candidate.pattern = shorter;
                    }
                    match differs(&candidate) {
                        Some(difference)
                            if (difference.contains(": CPython E") || difference.contains("parser E")) == refused =>
                        {
                            (best, told) = (candidate, difference);
                        }
                        _ => at += 1,
                    }
                }
            }
        }
        if best.pattern.len() + best.text.len() == length {
            return told;
        }
    }
}

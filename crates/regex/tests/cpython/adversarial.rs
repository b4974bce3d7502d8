//! Lines written against the stock expressions: what each does with them, in steps.
//!
//! A piece of a sample line that may come any number of times is what a loop of the expression takes; found by trying.
//! It is repeated to some thousand characters, and what comes behind is spoilt, so that the machine has to look for other
//! ways. All expressions, and more lines: `STOCKADE_TIMES=2 … adversarial`.
#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(clippy::disallowed_methods, reason = "the time it takes is printed")]

use std::time::{Duration, Instant};

use crate::random::{Random, times};
use crate::stock::{Expression, Stock};
use stockade_regex::{Regex, Scratch};

/// Characters in a line.
const LENGTHS: [usize; 2] = [2_000, 16_000];
/// Lengths of pieces.
const PIECES: &[usize] = &[1, 2, 3, 5, 8, 13, 21];
/// Lines that matched one after the other, for expressions over several lines.
const MOST_LINES: usize = 12;
/// The budget of a search of a text of this length, as documented.
const MOST_STEPS: u64 = 200_000 + 32 * 20_000;

#[derive(Debug, Default)]
struct Tried {
    lines: usize,
    /// The machine used up its steps.
    overruns: usize,
    steps: u64,
    worst: Duration,
    line: String,
}

/// Texts near to a match: those that match, or else that which gets furthest.
fn bases(regex: &Regex, expression: &Expression, texts: &[String], limit: usize) -> Vec<String> {
    let mut scratch = Scratch::default();
    let mut found = Vec::new();
    for index in 0..texts.len() {
        let lines = if expression.letters == "m" { MOST_LINES } else { 1 };
        for count in (1..=lines).take_while(|count| index + count <= texts.len()) {
            let text = texts.get(index..index + count).unwrap_or_default().concat();
            if regex.search(&text, &mut scratch) == Ok(true) {
                // Lines that come before the match are of no use.
                found.push(text.get(scratch.group(0).unwrap().start..).unwrap().to_owned());
                break;
            }
        }
        if found.len() >= limit {
            return found;
        }
    }
    if found.is_empty() {
        let progress = |text: &&String| regex.near_miss(text).map_or(0, |miss| miss.text_at - miss.started_at);
        found.extend(texts.iter().step_by(7).max_by_key(progress).cloned());
    }
    found
}

/// Where a piece of the text may come again and again: start and end.
fn pieces(regex: &Regex, text: &str) -> Vec<(usize, usize)> {
    let mut scratch = Scratch::default();
    let reach = |text: &str, scratch: &mut Scratch| match regex.search(text, scratch) {
        Ok(true) => text.len(),
        _ => regex.near_miss(text).map_or(0, |miss| miss.text_at),
    };
    let whole = reach(text, &mut scratch);
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut found = Vec::new();
    for &length in PIECES {
        for pair in places.windows(length + 1) {
            let (start, end) = (*pair.first().unwrap(), *pair.last().unwrap());
            if end > whole {
                break;
            }
            let piece = text.get(start..end).unwrap();
            let more = format!("{}{piece}{piece}{}", text.get(..end).unwrap(), text.get(end..).unwrap());
            if reach(&more, &mut scratch) >= whole + 2 * piece.len() {
                found.push((start, end));
            }
        }
    }
    found
}

fn attack(regex: &Regex, text: &str, (start, end): (usize, usize), tried: &mut Tried) {
    let mut scratch = Scratch::default();
    let (before, piece, after) = (&text[..start], &text[start..end], &text[end..]);
    let spoilt: String = after.chars().take(after.chars().count().saturating_sub(2)).collect();
    for after in ["", "\u{1}\n", &format!("{spoilt}\u{1}\n"), &format!("\u{1}{after}")] {
        for length in LENGTHS {
            let line = format!("{before}{}{after}", piece.repeat(length / piece.len()));
            let begun = Instant::now();
            let answer = regex.search(&line, &mut scratch);
            let mut taken = begun.elapsed();
            // What the linear engine does takes no steps.
            let steps_taken = scratch.steps();
            tried.lines += 1;
            assert!(steps_taken <= MOST_STEPS, "{}: {steps_taken} steps", regex.pattern());
            if answer.is_err() {
                tried.overruns += 1;
                assert!(
                    !regex.is_regular() || !line.is_ascii(),
                    "{} on {line:?}",
                    regex.pattern()
                );
            }
            if steps_taken > tried.steps {
                tried.steps = steps_taken;
                tried.line = format!("{before}{piece}…{after}");
            }
            // Again, so that what else the machine had to do does not count.
            for _ in 0..if taken > tried.worst { 4 } else { 0 } {
                let begun = Instant::now();
                let _same = regex.search(&line, &mut scratch);
                taken = taken.min(begun.elapsed());
            }
            tried.worst = tried.worst.max(taken);
        }
    }
}

fn attack_all(expression: &Expression, texts: &[String], limit: usize, pumps: usize, random: &mut Random) -> Tried {
    let regex = expression.compile();
    let mut tried = Tried::default();
    for text in bases(&regex, expression, texts, limit) {
        let pieces = pieces(&regex, &text);
        let share = pieces.len().div_ceil(pumps).max(1);
        for piece in pieces {
            if share == 1 || random.once_in(share) {
                attack(&regex, &text, piece, &mut tried);
            }
        }
    }
    tried
}

#[test]
fn lines_written_against_stock_expressions_take_no_more_steps_than_they_may() {
    let Some(stock) = Stock::load() else { return };
    let mut random = Random::new(6);
    let all = times() > 1;
    let (mut linear, mut limited) = (Tried::default(), Vec::new());
    for expression in &stock.expressions {
        let regular = expression.compile().is_regular();
        let (limit, pumps) = match (regular, all) {
            (true, false) => (1, 2),
            (true, true) => (2, 30),
            (false, false) => (2, 60),
            (false, true) => (5, 10_000),
        };
        if regular && !all && !random.once_in(4) {
            continue;
        }
        let tried = attack_all(expression, &stock.texts, limit, pumps, &mut random);
        if regular {
            linear.lines += tried.lines;
            if tried.steps > linear.steps {
                (linear.steps, linear.line) = (tried.steps, tried.line);
            }
            linear.worst = linear.worst.max(tried.worst);
        } else {
            assert!(tried.lines > 0, "nothing was tried against {}", expression.filter);
            limited.push((expression, tried));
        }
    }
    println!(
        "linear expressions: {} lines, at most {} steps, {:?} at worst ({:?})",
        linear.lines, linear.steps, linear.worst, linear.line
    );
    for (expression, tried) in limited {
        println!(
            "{}: {} lines, {} given up, at most {} steps, {:?} at worst on {:?}",
            expression.filter, tried.lines, tried.overruns, tried.steps, tried.worst, tried.line
        );
    }
}

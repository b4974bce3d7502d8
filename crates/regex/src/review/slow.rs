//! A text on which a pattern runs out of steps.

use crate::ast::Node;
use crate::{NotRegular, Regex, Scratch};

use super::sample::one_of;
use super::{ADDRESS, FIELD, Outline, Taste, loop_of};

/// A pattern and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// What keeps the pattern from being decided in linear time.
    pub obstacle: NotRegular,
    /// What the text begins with.
    pub start: String,
    /// What it repeats after that.
    pub repeated: String,
    /// How often.
    pub times: usize,
    /// What follows.
    pub end: String,
}

/// Lengths at which growth is looked at; the last text is long, but not longer than a line may be.
const SHORT: usize = 64;
const LONG: usize = 16 << 10;

/// More starts than this are not tried.
const MOST_PUMPS: usize = 64;

/// A text on which a search of the pattern is given up; `None` if none was found.
///
/// Loops are fed with what they and others take, and the steps of the machine are counted. Only a pattern that is not
/// regular is looked at: the others are decided in linear time.
pub fn slow_text(regex: &Regex) -> Option<Slow> {
    let obstacle = regex.obstacle()?;
    let outline = Outline::of(regex)?;
    // What every match contains has to be there, or the machine does not even begin.
    let whole = outline
        .sample(None, Taste::default())
        .unwrap_or_default()
        .replace(ADDRESS, "192.0.2.7");
    let ends = ["\n".to_owned(), format!("\u{1}{whole}\n")];
    let mut scratch = Scratch::default();
    for (start, repeated) in pumps(&outline) {
        for end in &ends {
            let slow = |length: usize| Slow {
                obstacle,
                start: start.clone(),
                times: (length / repeated.len().max(1)).max(1),
                repeated: repeated.clone(),
                end: end.clone(),
            };
            let mut steps = |slow: &Slow| {
                regex
                    .search_plainly(&slow.text(), &mut scratch)
                    .ok()
                    .map(|_| scratch.steps())
            };
            let (Some(few), Some(more)) = (steps(&slow(SHORT)), steps(&slow(4 * SHORT))) else {
                return Some(slow(4 * SHORT));
            };
            // Linear growth is at most fourfold.
            if more > few.saturating_mul(7) && steps(&slow(LONG)).is_none() {
                return Some(slow(LONG));
            }
        }
    }
    None
}

impl Slow {
    /// The text.
    pub fn text(&self) -> String {
        format!("{}{}{}", self.start, self.repeated.repeat(self.times), self.end)
    }
}

/// Starts, and what to repeat after them.
fn pumps(outline: &Outline) -> Vec<(String, String)> {
    let mut sets = Vec::new();
    outline.root.any(&mut |node| {
        sets.extend(loop_of(node).map(|(set, _)| set));
        false
    });
    // A character that many loops take.
    let mut liked: Vec<(usize, char)> = "x1 .:-\"'=,<>[]()/"
        .chars()
        .map(|character| {
            let count = sets.iter().filter(|set| set.contains(u32::from(character))).count();
            (count, character)
        })
        .collect();
    liked.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let mut out = Vec::new();
    for field in outline.fields(&[]) {
        let own = one_of(&field.set);
        let Some(sample) = outline.sample(Some(field.number), Taste::default()) else {
            continue;
        };
        let Some((start, _)) = sample.split_once(FIELD) else {
            continue;
        };
        let common = liked
            .iter()
            .map(|(_, character)| *character)
            .find(|c| field.holds(&c.to_string()));
        for character in [common, own].into_iter().flatten() {
            out.push((start.to_owned(), character.to_string()));
        }
        if field.holds(start) && !start.is_empty() {
            out.push((start.to_owned(), start.to_owned()));
        }
    }
    // Loops around more than one class: their body, repeated.
    let mut bodies = Vec::new();
    outline.root.any(&mut |node| {
        if let Node::Repeat {
            node: body, max: None, ..
        } = node
            && loop_of(node).is_none()
        {
            bodies.push(Outline {
                root: (**body).clone(),
                names: outline.names.clone(),
            });
        }
        false
    });
    let whole = outline.sample(None, Taste::default()).unwrap_or_default();
    for body in bodies {
        for full in [false, true] {
            let Some(text) = body
                .sample(None, Taste { full, branch: 0 })
                .filter(|text| !text.is_empty())
            else {
                continue;
            };
            let start = whole.find(text.as_str()).and_then(|at| whole.get(..at)).unwrap_or("");
            out.push((start.to_owned(), text));
        }
    }
    out.dedup();
    out.truncate(MOST_PUMPS);
    out
}

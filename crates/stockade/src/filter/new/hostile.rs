//! Lines with hostile text where somebody else's text stands.

use super::line::Line;
use super::rule::Shape;

/// Addresses of nobody who did anything.
const OTHERS: [&str; 2] = ["203.0.113.66", "2001:db8:bad::66"];
/// What may stand around forged text.
const AROUND: [(&str, &str); 6] = [("", ""), ("x", ""), ("x", " "), ("x ", "x"), ("'", "'"), ("\"", "\"")];

/// Variations of a line in which the texts that somebody else chose hold parts of all these lines with other addresses.
pub(super) fn variations(line: &Line, shape: &Shape, all: &[(&Line, &Shape)]) -> Vec<String> {
    let content = line.content();
    let mut texts = Vec::new();
    for (other, other_shape) in all {
        let is_own = other.number == line.number;
        for address in OTHERS {
            texts.extend(forgeries(other, other_shape, address, is_own));
        }
    }
    let foreign: Vec<_> = shape.foreign().cloned().collect();
    let mut lines = Vec::new();
    for text in &texts {
        for (before, behind) in AROUND {
            let text = format!("{before}{text}{behind}");
            let each = foreign.iter().map(|place| vec![place.clone()]);
            let all = (foreign.len() > 1).then(|| foreign.clone());
            for places in each.chain(all) {
                let mut hostile = line.text.clone();
                for place in places.iter().rev() {
                    hostile.replace_range(line.outside(place), &text);
                }
                lines.push(hostile);
            }
        }
    }
    // In one place what comes before the address, in the next what comes behind.
    if let [first, .., last] = foreign.as_slice() {
        for address in OTHERS {
            let forged = line.inside(&line.place);
            let before = content.get(first.end..forged.start).unwrap_or_default();
            let behind = content.get(forged.end..last.start).unwrap_or_default();
            let mut hostile = line.text.clone();
            hostile.replace_range(line.outside(last), &format!("x{before}{address}{behind}x"));
            hostile.replace_range(line.outside(first), &format!("x{before}{address}{behind}x"));
            lines.push(hostile);
        }
    }
    lines
}

/// Variations of a line as if somebody else had chosen words in it that are not marked: parts of the line with another address, between any two of
/// its words.
pub(super) fn between_words(line: &Line, shape: &Shape) -> Vec<String> {
    let content = line.content();
    let culprit = line.inside(&line.place);
    let Some(address) = OTHERS.first() else {
        return Vec::new();
    };
    let mut forged = content.clone();
    forged.replace_range(culprit.clone(), address);
    let moved = |at: usize| {
        if at >= culprit.end {
            at - culprit.len() + address.len()
        } else {
            at.min(culprit.start)
        }
    };
    let start = shape.pieces.first().map_or(0, |(_, place)| place.start);
    let mut begins = vec![start];
    let mut ends = vec![content.len()];
    for place in shape.foreign() {
        if place.end <= culprit.start {
            begins.push(place.end);
        } else {
            ends.push(place.start);
        }
    }
    let mut lines = Vec::new();
    let mut was_word = false;
    // What adjoins the address is the service's.
    let adjoining = content
        .get(..culprit.start)
        .unwrap_or_default()
        .trim_end()
        .rfind(' ')
        .map_or(start, |blank| blank + 1);
    for (at, character) in content.char_indices() {
        let is_word = character.is_alphanumeric();
        let is_edge = is_word != was_word || character == ' ';
        was_word = is_word;
        if !is_edge || at < start || (adjoining..culprit.end).contains(&at) {
            continue;
        }
        for begin in begins.iter().chain([&at]).filter(|begin| **begin <= culprit.start) {
            for end in ends.iter().chain([&at]).filter(|end| **end >= culprit.end) {
                let part = forged.get(moved(*begin)..moved(*end)).unwrap_or_default();
                for text in [part.to_owned(), format!("x{part}x"), format!("{part}x")] {
                    let mut hostile = line.text.clone();
                    hostile.insert_str(line.outside(&(at..at)).start, &text);
                    lines.push(hostile);
                }
            }
        }
    }
    lines
}

/// The line with another address in somebody else's text before its own; `None` if there is no such text.
pub(super) fn sample(line: &Line, shape: &Shape) -> Option<String> {
    let content = line.content();
    let culprit = line.inside(&line.place);
    let place = shape.foreign().find(|place| place.end <= culprit.start)?;
    let behind = content.get(place.end..culprit.start)?;
    let end = content.get(culprit.end..)?;
    let mut hostile = line.text.clone();
    hostile.replace_range(line.outside(place), &format!("x{behind}{}{end}", OTHERS.first()?));
    Some(hostile)
}

/// The line's message with another address: whole, and from or up to any of its pieces.
fn forgeries(line: &Line, shape: &Shape, address: &str, is_own: bool) -> Vec<String> {
    let content = line.content();
    let culprit = line.inside(&line.place);
    let mut forged = content.clone();
    forged.replace_range(culprit.clone(), address);
    let moved = |at: usize| {
        if at >= culprit.end {
            at - culprit.len() + address.len()
        } else {
            at.min(culprit.start)
        }
    };
    let from = |at: usize| forged.get(moved(at)..).unwrap_or_default().to_owned();
    let start = shape.pieces.first().map_or(0, |(_, place)| place.start);
    let mut texts = vec![address.to_owned(), forged.clone(), from(start)];
    if is_own {
        for (_, place) in &shape.pieces {
            texts.push(from(place.start));
            texts.push(forged.get(..moved(place.end)).unwrap_or_default().to_owned());
            texts.push(
                forged
                    .get(moved(start)..moved(place.end))
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        // From any word of what stands before the address.
        let words = content.char_indices().filter(|(_, c)| *c == ' ').map(|(at, _)| at);
        texts.extend(words.filter(|at| *at < culprit.start).map(from));
    } else {
        texts.extend(shape.foreign().map(|place| from(place.end)));
    }
    texts.retain(|text| !text.is_empty());
    texts.dedup();
    texts
}

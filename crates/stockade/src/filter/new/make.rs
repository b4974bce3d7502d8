//! The rules of a filter, each as strict as trying shows it has to be.

use stockade_filter::{Filter, FilterSettings, Memory, UseDns, Verdict, review};

use super::hostile;
use super::line::Line;
use super::pieces::Piece;
use super::rule::{STRICTNESS, Shape, Strictness};
use crate::filter::test::{clock, who};
use crate::screen::shown;

/// So much of a line is shown.
const SHOWN_CHARS: usize = 300;

/// What was made.
pub(super) struct Made {
    pub(super) rules: Vec<Rule>,
    pub(super) datepattern: String,
    /// So many hostile lines were tried.
    pub(super) variations: usize,
}

/// A rule and what it was made of.
pub(super) struct Rule {
    pub(super) text: String,
    /// The line it was made of, by its place among all.
    pub(super) maker: usize,
    pub(super) shape: Shape,
    /// The numbers of the lines it finds.
    pub(super) lines: Vec<usize>,
    /// What stands in those where anything may.
    pub(super) foreign: Vec<String>,
    /// Nobody else could be named even if somebody else had chosen words that are not marked.
    pub(super) stands_unmarked: bool,
}

/// A line that is being made a rule of, and its shape.
type Failure<'a> = (&'a Line, Shape);

/// Makes the rules for all lines that are failures; the error says what is wrong, and how to mend it.
pub(super) fn make(lines: &[Line], datepattern: &str) -> Result<Made, String> {
    let failures: Vec<Failure<'_>> = lines
        .iter()
        .filter(|line| line.address.is_some())
        .map(|line| (line, Shape::of(line)))
        .collect();
    agree(&failures)?;
    let mut first = None;
    for strictest in 0..STRICTNESS.len() {
        match made(
            lines,
            &failures,
            datepattern,
            STRICTNESS.get(strictest..).unwrap_or_default(),
        ) {
            Ok(made) => return Ok(made),
            Err(problem) => {
                first.get_or_insert(problem);
            }
        }
    }
    Err(first.unwrap_or_default())
}

/// Fails if two lines of the same shape have the address in different places.
fn agree(failures: &[Failure<'_>]) -> Result<(), String> {
    let plain = |shape: &Shape| -> Vec<Piece> {
        let pieces = shape.pieces.iter().map(|(piece, _)| match piece {
            Piece::Culprit => Piece::Address,
            other => other.clone(),
        });
        pieces.collect()
    };
    let place = |shape: &Shape| shape.pieces.iter().position(|(piece, _)| *piece == Piece::Culprit);
    for (index, (line, shape)) in failures.iter().enumerate() {
        for (other, other_shape) in failures.iter().skip(index + 1) {
            if plain(shape) == plain(other_shape) && place(shape) != place(other_shape) {
                return Err(format!(
                    "lines {} and {} are alike, but different addresses in them are to be banned\n  line: {}\n  line: {}\n  \
                     mend: mark the same one in both",
                    line.number,
                    other.number,
                    shown(&line.text, SHOWN_CHARS),
                    shown(&other.text, SHOWN_CHARS)
                ));
            }
        }
    }
    Ok(())
}

fn settings(rules: &[Rule], more: Option<&str>, datepattern: &str) -> FilterSettings {
    let rules = rules.iter().map(|rule| rule.text.as_str());
    FilterSettings {
        usedns: UseDns::No,
        failregex: rules.chain(more).map(str::to_owned).collect(),
        datepattern: Some(datepattern.to_owned()),
        ..FilterSettings::default()
    }
}

fn compiled(settings: &FilterSettings) -> Result<Filter, String> {
    Filter::new(settings, &crate::zone::system()).map_err(|errors| {
        let errors: Vec<String> = errors
            .iter()
            .map(|error| format!("{error}\n  mend: {}", error.mend))
            .collect();
        errors.join("\n")
    })
}

/// Whom a line names, and by which rule.
fn named(filter: &Filter, line: &str) -> Option<(usize, String)> {
    match filter.judge(line.as_bytes(), clock(), &mut Memory::default()) {
        Verdict::Match(found) => Some((found.rule, who(&found.who))),
        _ => None,
    }
}

fn made(
    lines: &[Line],
    failures: &[Failure<'_>],
    datepattern: &str,
    strictness: &[Strictness],
) -> Result<Made, String> {
    let mut rules: Vec<Rule> = Vec::new();
    // What has most texts of others goes first: its rule may find the rest.
    let mut order: Vec<usize> = (0..failures.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(failures.get(*index).map_or(0, |(_, shape)| shape.foreign().count())));
    for index in order {
        let Some((line, shape)) = failures.get(index) else {
            continue;
        };
        if !rules.is_empty() {
            let filter = compiled(&settings(&rules, None, datepattern))?;
            if let Some((rule, found)) = named(&filter, &line.text) {
                belongs(line, &found, rules.get(rule))?;
                if let Some(rule) = rules.get_mut(rule) {
                    rule.add(line, shape);
                }
                continue;
            }
        }
        let (text, stands_unmarked) = safe(failures, index, &rules, datepattern, strictness)?;
        let mut rule = Rule {
            text,
            maker: index,
            shape: shape.clone(),
            lines: Vec::new(),
            foreign: Vec::new(),
            stands_unmarked,
        };
        rule.add(line, shape);
        rules.push(rule);
    }
    let settings = settings(&rules, None, datepattern);
    let filter = compiled(&settings)?;
    for line in lines.iter().filter(|line| line.address.is_none()) {
        if let Some((rule, found)) = named(&filter, &line.text) {
            let of: Vec<String> = rules
                .get(rule)
                .iter()
                .flat_map(|rule| rule.lines.iter().map(usize::to_string))
                .collect();
            return Err(format!(
                "line {}: it is no failure, but is read as one of {found}, as line {} is\n  line: {}\n  \
                 mend: mark less as somebody else's text, so that the words that differ have to be there",
                line.number,
                of.join(", "),
                shown(&line.text, SHOWN_CHARS)
            ));
        }
    }
    let makers: Vec<usize> = (0..failures.len()).collect();
    let variations = tried(failures, &makers, &filter)?;
    if let Some(finding) = review(&filter, &settings).into_iter().next() {
        let rule = settings.failregex.get(finding.index).map_or("", String::as_str);
        return Err(format!(
            "{}\n  rule: {}\n  why: {}\n  mend: {}",
            finding.what,
            shown(rule, SHOWN_CHARS),
            finding.why,
            finding.mend
        ));
    }
    Ok(Made {
        rules,
        datepattern: datepattern.to_owned(),
        variations,
    })
}

impl Rule {
    fn add(&mut self, line: &Line, shape: &Shape) {
        self.lines.push(line.number);
        self.lines.sort_unstable();
        let content = line.content();
        for place in shape.foreign() {
            let text = content.get(place.clone()).unwrap_or_default();
            if !text.is_empty() && !self.foreign.iter().any(|known| known == text) {
                self.foreign.push(text.to_owned());
            }
        }
    }
}

/// Fails if the rule reads another address in the line than its own.
fn belongs(line: &Line, found: &str, rule: Option<&Rule>) -> Result<(), String> {
    if line.address.is_some_and(|address| address.to_string() == found) {
        return Ok(());
    }
    let of: Vec<String> = rule
        .iter()
        .flat_map(|rule| rule.lines.iter().map(usize::to_string))
        .collect();
    Err(format!(
        "line {}: read as line {} is, it names {found}\n  line: {}\n  mend: mark the same address in both, or make a filter of each",
        line.number,
        of.join(", "),
        shown(&line.text, SHOWN_CHARS)
    ))
}

/// The rule for a line that finds most, and with the `rules` before it names nobody but who is to be named; also whether that holds if somebody else
/// chose words that are not marked. If no rule is so strict, the marks are believed.
fn safe(
    failures: &[Failure<'_>],
    index: usize,
    rules: &[Rule],
    datepattern: &str,
    strictness: &[Strictness],
) -> Result<(String, bool), String> {
    let Some((line, shape)) = failures.get(index) else {
        return Err(String::new());
    };
    let own = line.address.map(|address| address.to_string());
    let mut makers: Vec<usize> = rules.iter().map(|rule| rule.maker).collect();
    makers.push(index);
    let mut texts: Vec<String> = strictness.iter().map(|strictness| shape.rule(*strictness)).collect();
    texts.dedup();
    let between = hostile::between_words(line, shape);
    let (mut first, mut with_marks) = (None, None::<(usize, String)>);
    for text in texts {
        let filter = compiled(&settings(rules, Some(&text), datepattern))?;
        let found = named(&filter, &line.text).map(|(_, found)| found);
        let is_found = own == found;
        let problem = if is_found {
            match tried(failures, &makers, &filter) {
                Ok(_) => {
                    let is_other =
                        |line: &&String| named(&filter, line).is_some_and(|(_, found)| own.as_ref() != Some(&found));
                    let others = between.iter().filter(is_other).count();
                    if others == 0 {
                        return Ok((text, true));
                    }
                    if with_marks.as_ref().is_none_or(|(fewest, _)| others < *fewest) {
                        with_marks = Some((others, text));
                    }
                    continue;
                }
                Err(problem) => problem,
            }
        } else {
            format!(
                "line {}: its address cannot be told from the text around it\n  line: {}\n  mend: mark less as somebody else's text",
                line.number,
                shown(&line.text, SHOWN_CHARS)
            )
        };
        first.get_or_insert(problem);
    }
    match with_marks {
        Some((_, text)) => Ok((text, false)),
        None => Err(first.unwrap_or_default()),
    }
}

/// Tries hostile variations of lines; how many. Fails if one names somebody else.
fn tried(failures: &[Failure<'_>], makers: &[usize], filter: &Filter) -> Result<usize, String> {
    let all: Vec<(&Line, &Shape)> = makers
        .iter()
        .filter_map(|index| failures.get(*index).map(|(line, shape)| (*line, shape)))
        .collect();
    let mut count = 0;
    for (line, shape) in &all {
        let own = line.address.map(|address| address.to_string());
        for hostile in hostile::variations(line, shape, &all) {
            count += 1;
            if let Some((_, found)) = named(filter, &hostile)
                && own.as_ref() != Some(&found)
            {
                return Err(format!(
                    "line {}: whoever chooses the text in it can have others banned\n  line: {}\n  for example, {found} by: {}\n  \
                     mend: mark less as somebody else's text; if the address stands between two such texts, leave the line out",
                    line.number,
                    shown(&line.text, SHOWN_CHARS),
                    shown(&hostile, SHOWN_CHARS)
                ));
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::{line, written};
    use super::*;

    /// What may be told wrong of a line must not end the program.
    #[test]
    fn lines_of_any_kind_are_made_a_filter_of_or_refused() {
        const PARTS: [&str; 30] = [
            "{{",
            "}}",
            "<<",
            ">>",
            "{{}}",
            "{{a}}",
            "192.0.2.1",
            "<<192.0.2.1>>",
            "[2001:db8::1]",
            "::ffff:192.0.2.1",
            ":22",
            "é",
            "\"",
            "'",
            " ",
            "  ",
            "user=",
            "user: ",
            " for bob from ",
            "Nov 22 13:40:04 ",
            "2026-11-22T13:40:04Z ",
            "vm sshd[1]: ",
            "[",
            "]",
            "%",
            ";",
            "1795354804.42",
            "x@y.org",
            "\u{202e}",
            "\\",
        ];
        let mut seed = 0x5eed_u64;
        let mut below = |limit: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % u64::try_from(limit).unwrap()).unwrap()
        };
        let mut made = 0;
        for round in 0..150 {
            let mut text = if round % 2 == 0 { "Nov 22 13:40:04 vm x: " } else { "" }.to_owned();
            for _ in 0..below(12) {
                text.push_str(PARTS[below(PARTS.len())]);
            }
            let Ok(mut lines) = line::read(&text) else { continue };
            let Ok(pattern) = line::date(&mut lines) else { continue };
            if lines.iter().all(|line| line.address.is_none()) {
                continue;
            }
            if let Ok(filter) = make(&lines, &pattern) {
                made += 1;
                assert!(written::texts("x", &lines, &filter).samples.contains("+ "), "{text}");
            }
        }
        assert!(made > 10, "{made}");
    }
}

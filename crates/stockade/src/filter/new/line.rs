//! Lines as they were pasted: what is marked in them, their address and their date.

use std::net::IpAddr;
use std::ops::Range;

use stockade_filter::{Filter, FilterSettings, Memory};

use super::pieces;
use super::rule::literal;
use crate::filter::test::clock;
use crate::screen::shown;

/// So much of a line is shown.
const SHOWN_CHARS: usize = 300;
/// Longer lines are no lines of a log that somebody pastes.
const LONGEST_BYTES: usize = 8192;

/// What is wrong with a line, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) number: usize,
    pub(super) what: String,
    pub(super) line: String,
    pub(super) mend: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = shown(&self.line, SHOWN_CHARS);
        write!(
            f,
            "line {}: {}\n  line: {line}\n  mend: {}",
            self.number, self.what, self.mend
        )
    }
}

/// A line of a log.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its number among those pasted, from 1.
    pub(super) number: usize,
    /// As it stands in the log.
    pub(super) text: String,
    /// Whose failure it is; `None` if it is none.
    pub(super) address: Option<IpAddr>,
    /// Where in `text` the date is.
    pub(super) date: Range<usize>,
    /// Where in `text` the address is; empty if there is none.
    pub(super) place: Range<usize>,
    /// Where in `text` somebody else's text is, in order.
    pub(super) marked: Vec<Range<usize>>,
}

impl Line {
    /// What rules see of it.
    pub(super) fn content(&self) -> String {
        let part = |range| self.text.get(range).unwrap_or_default();
        part(0..self.date.start).to_owned() + part(self.date.end..self.text.len())
    }

    /// A place in `text` as one in the content.
    pub(super) fn inside(&self, range: &Range<usize>) -> Range<usize> {
        let before = |at: usize| if at >= self.date.end { at - self.date.len() } else { at };
        before(range.start)..before(range.end)
    }

    /// A place in the content as one in `text`.
    pub(super) fn outside(&self, range: &Range<usize>) -> Range<usize> {
        let before = |at: usize| {
            if at >= self.date.start {
                at + self.date.len()
            } else {
                at
            }
        };
        before(range.start)..before(range.end)
    }

    fn fault(&self, what: &str, mend: String) -> Fault {
        Fault {
            number: self.number,
            what: what.to_owned(),
            line: self.text.clone(),
            mend,
        }
    }
}

/// The lines without their marks, not dated yet; or all that is wrong with them.
pub(super) fn read(pasted: &str) -> Result<Vec<Line>, Vec<Fault>> {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for (index, line) in pasted.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match unmarked(index + 1, line) {
            Ok(line) => lines.push(line),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(lines) } else { Err(faults) }
}

fn unmarked(number: usize, line: &str) -> Result<Line, Fault> {
    let (is_innocent, line) = match line.strip_prefix("- ") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let mut read = Line {
        number,
        text: String::new(),
        address: None,
        date: 0..0,
        place: 0..0,
        marked: Vec::new(),
    };
    let mut marks = Vec::new();
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let start = read.text.len();
        if let Some((inside, after)) = rest.strip_prefix("{{").and_then(|from| from.split_once("}}")) {
            read.text.push_str(inside);
            read.marked.push(start..read.text.len());
            rest = after;
        } else if let Some((inside, after)) = rest.strip_prefix("<<").and_then(|from| from.split_once(">>"))
            && let Ok(address) = inside.trim_matches(['[', ']']).parse::<IpAddr>()
        {
            // Brackets belong to what stands around an address.
            let offset = inside.find(|c| c != '[').unwrap_or(0);
            read.text.push_str(inside);
            let end = read.text.len() - (inside.len() - inside.trim_end_matches(']').len());
            marks.push((start + offset..end, address));
            rest = after;
        } else {
            read.text.push(character);
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
    }
    if read.text.len() > LONGEST_BYTES {
        let mend = "take lines as they stand in the log, each by itself".to_owned();
        return Err(read.fault("it is longer than 8 KiB", mend));
    }
    if read.text.contains("{{") {
        let mend = "close it, or leave it out: it marks somebody else's text".to_owned();
        return Err(read.fault("it has `{{` without `}}`", mend));
    }
    if read.text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(read.fault(
            "it has control characters",
            "copy it from the log itself, not from a screen with colours".to_owned(),
        ));
    }
    if is_innocent {
        if !marks.is_empty() {
            let mend = "take the mark away, or the `- ` before it".to_owned();
            return Err(read.fault("it is marked as no failure, but an address in it is, too", mend));
        }
        return Ok(read);
    }
    let found = match marks.len() {
        0 => only_address(&read)?,
        1 => marks.remove(0),
        _ => {
            let mend = "mark one: that of who is to be banned".to_owned();
            return Err(read.fault("two addresses are marked", mend));
        }
    };
    read.address = Some(found.1.to_canonical());
    read.place = found.0;
    Ok(read)
}

/// The only address of a line in which none is marked.
fn only_address(line: &Line) -> Result<(Range<usize>, IpAddr), Fault> {
    let is_marked = |place: &Range<usize>| {
        let mut marked = line.marked.iter();
        marked.any(|marked| marked.start < place.end && place.start < marked.end)
    };
    let mut found = pieces::addresses(&line.text);
    found.retain(|(place, _)| !is_marked(place));
    // The machine itself attacks nobody.
    if found.len() > 1 {
        let outside = |address: &IpAddr| !address.is_loopback() && !address.is_unspecified();
        let any_outside = found.iter().any(|(_, address)| outside(address));
        found.retain(|(_, address)| !any_outside || outside(address));
    }
    match found.as_slice() {
        [] => Err(line.fault(
            "it has no address",
            "leave it out if it is about nobody (a host name is no address: names come from DNS), or begin it with `- ` if \
             it is no failure"
                .to_owned(),
        )),
        [(place, address)] if may_have_port(line.text.get(place.clone()).unwrap_or_default(), address) => Err(line.fault(
            "where its address ends cannot be told: the last number may be a port",
            format!("mark the address, such as {}", marked(line, place)),
        )),
        [one] => Ok(one.clone()),
        [first, ..] => {
            let same = found.iter().all(|(_, address)| *address == first.1);
            Err(line.fault(
                if same {
                    "it has its address twice"
                } else {
                    "it has several addresses"
                },
                format!(
                    "mark the one that the service writes, such as {}",
                    marked(line, &first.0)
                ),
            ))
        }
    }
}

/// The line with a mark around a place.
fn marked(line: &Line, place: &Range<usize>) -> String {
    let mut text = line.text.clone();
    text.insert_str(place.end, ">>");
    text.insert_str(place.start, "<<");
    shown(&text, SHOWN_CHARS)
}

/// Whether the end of an IPv6 address without brackets may be a port, as Apache writes it.
fn may_have_port(text: &str, address: &IpAddr) -> bool {
    let (before, last) = text.rsplit_once(':').unwrap_or_default();
    let is_number = last.len() == 4 && last.bytes().all(|byte| byte.is_ascii_digit());
    address.is_ipv6() && is_number && before.parse::<IpAddr>().is_ok()
}

/// Finds the dates of all lines; the `datepattern` that does.
pub(super) fn date(lines: &mut [Line]) -> Result<String, Vec<Fault>> {
    let mut patterns = vec!["{^LN-BEG}".to_owned(), r"^[^\[]*\[({DATE})".to_owned()];
    // Where the service's own words stand before the date, as in JSON.
    patterns.extend(lines.iter().flat_map(behind_own_words).take(6));
    let mut fewest: Option<Vec<Fault>> = None;
    for pattern in patterns {
        let settings = FilterSettings {
            failregex: vec!["<ADDR>".to_owned()],
            datepattern: Some(pattern.clone()),
            ..FilterSettings::default()
        };
        let Ok(filter) = Filter::new(&settings, &crate::zone::system()) else {
            continue;
        };
        let mut memory = Memory::default();
        let mut faults = Vec::new();
        for line in lines.iter_mut() {
            let seen = filter.examine(line.text.as_bytes(), clock(), &mut memory, false);
            let found = seen.date.filter(|date| date.time.is_some()).map(|date| date.range);
            let overlaps = |date: &Range<usize>| {
                let mut marked = line.marked.iter().chain([&line.place]);
                marked.any(|marked| marked.start < date.end && date.start < marked.end)
            };
            match found.filter(|date| !overlaps(date)) {
                Some(date) => line.date = date,
                None => faults.push(line.fault(
                    "no date is found in it, or not where the other lines have theirs",
                    "paste whole lines of one log, from their beginning; of the journal as `journalctl -o short-iso` shows them; a date \
                     that is written in its own way needs a filter by hand, with a `datepattern` (jail.conf(5))"
                        .to_owned(),
                )),
            }
        }
        if faults.is_empty() {
            return Ok(pattern);
        }
        if fewest.as_ref().is_none_or(|fewest| faults.len() < fewest.len()) {
            fewest = Some(faults);
        }
    }
    Err(fewest.unwrap_or_default())
}

/// Patterns for a date behind words that are the service's own: found wherever it is, or as seconds since 1970.
fn behind_own_words(line: &Line) -> Vec<String> {
    let mut patterns = Vec::new();
    let settings = FilterSettings {
        failregex: vec!["<ADDR>".to_owned()],
        ..FilterSettings::default()
    };
    let found = Filter::new(&settings, &crate::zone::system()).ok().and_then(|filter| {
        let seen = filter.examine(line.text.as_bytes(), clock(), &mut Memory::default(), false);
        seen.date.map(|date| date.range.start)
    });
    let seconds = line.text.char_indices().find(|&(at, _)| {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (before, rest) = line.text.split_at(at);
        digits(rest) == 10 && rest.starts_with('1') && !before.ends_with(|c: char| c.is_ascii_digit())
    });
    for (start, kind) in [(found, "DATE"), (seconds.map(|(at, _)| at), "LEPOCH")] {
        let Some(before) = start.and_then(|start| line.text.get(..start)) else {
            continue;
        };
        let has_others = line.marked.iter().any(|marked| marked.start < before.len());
        if before.is_empty()
            || before.contains('%')
            || has_others
            || line.place.start < before.len() && !line.place.is_empty()
        {
            continue;
        }
        patterns.push(format!("^{}({{{kind}}})", with_numbers(before)));
    }
    patterns
}

/// The text as a regex in which other numbers may stand.
fn with_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if digits > 0 {
            out.push_str(r"\d+");
            rest = rest.get(digits..).unwrap_or_default();
        }
        let words = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        out.push_str(&literal(rest.get(..words).unwrap_or_default()));
        rest = rest.get(words..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_out_and_remembered() {
        let lines = read("a {{b c}} d <<192.0.2.1>>:5 {{}} 192.0.2.2\n\n- fine 192.0.2.3\n").unwrap();
        let [first, second] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert_eq!(first.text, "a b c d 192.0.2.1:5  192.0.2.2");
        assert_eq!(first.marked, [2..5, 20..20]);
        assert_eq!(first.text.get(first.place.clone()), Some("192.0.2.1"));
        assert_eq!((second.text.as_str(), second.address), ("fine 192.0.2.3", None));
        let brackets = read("x <<<[2001:db8::1]>>:5>").unwrap();
        assert_eq!(brackets[0].text, "x <[2001:db8::1]:5>");
        assert_eq!(brackets[0].text.get(brackets[0].place.clone()), Some("2001:db8::1"));
    }

    #[test]
    fn a_line_without_an_address_or_with_more_than_one_is_a_fault() {
        for (line, what) in [
            ("nobody at 13:40:04 in a::b", "no address"),
            ("192.0.2.1 then 192.0.2.1", "its address twice"),
            ("192.0.2.1 to 192.0.2.2", "several addresses"),
            ("client 2001:db8::7:4242", "the last number may be a port"),
            ("<<192.0.2.1>> to <<192.0.2.2>>", "two addresses are marked"),
            ("- <<192.0.2.1>>", "marked as no failure"),
            ("\u{1b}[31m192.0.2.1", "control characters"),
        ] {
            let faults = read(line).unwrap_err();
            assert!(faults[0].what.contains(what), "{line}: {faults:?}");
        }
        assert!(read("127.0.0.1:22 {{192.0.2.9}} from 192.0.2.1").is_ok());
    }

    #[test]
    fn the_date_is_found_where_logs_have_it() {
        for (line, pattern, content) in [
            ("2026-11-22 13:40:04 x 192.0.2.1", "{^LN-BEG}", " x 192.0.2.1"),
            (
                "192.0.2.1 - - [22/Nov/2026:13:40:04 +0000] x",
                r"^[^\[]*\[({DATE})",
                "192.0.2.1 - - [] x",
            ),
            (
                r#"{"ts":1795354804.42,"x":"192.0.2.1"}"#,
                r#"^\{"ts":({LEPOCH})"#,
                r#"{"ts":.42,"x":"192.0.2.1"}"#,
            ),
            (
                r#"{"at":"2026-11-22T13:40:04Z","x":"192.0.2.1"}"#,
                r#"^\{"at":"({DATE})"#,
                r#"{"at":"","x":"192.0.2.1"}"#,
            ),
        ] {
            let mut lines = read(line).unwrap();
            assert_eq!(date(&mut lines).unwrap(), pattern, "{line}");
            assert_eq!(lines[0].content(), content);
            let place = lines[0].inside(&lines[0].place);
            assert_eq!(content.get(place.clone()), Some("192.0.2.1"));
            assert_eq!(lines[0].outside(&place), lines[0].place);
        }
        assert!(date(&mut read("x 192.0.2.1").unwrap()).is_err());
    }
}

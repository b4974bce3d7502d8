//! A `datepattern` becomes a template: a regex whose groups are named for the fields of a date.
//!
//! Start reading at [`Template::new`]; the built-in patterns are in [`super::defaults`].

use std::ops::Range;

use super::repeat::Lead;
use stockade_regex::{Flags, Regex, Scratch};

/// What the captured text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Named groups for year, month, …
    Fields,
    /// Seconds since 1970.
    Epoch,
    /// Milli- or microseconds since 1970.
    LongEpoch,
    /// `@` and 24 hex digits.
    Tai64n,
    /// Matches empty text: the line is known to have no date.
    None,
}

/// One way a date may be written.
#[derive(Debug)]
pub(crate) struct Template {
    /// As `fail2ban-regex` prints it.
    pub(crate) name: String,
    /// As it was given; empty for those that are a word.
    pub(crate) pattern: String,
    /// The regex, with its flags in front.
    pub(crate) source: String,
    pub(crate) kind: Kind,
    /// Can match at the start of a line only.
    pub(crate) anchored: bool,
    /// Whether it matches is decided by the text from here up to a few bytes beyond the date.
    pub(crate) local: Option<Lead>,
    /// Templates of the default list that are anchored weigh 100, all others 1.
    pub(crate) weight: f64,
    regex: Regex,
    /// Group number of the text that is parsed and cut.
    cut: usize,
    /// Element letter and group number.
    fields: Vec<(u8, usize)>,
}

/// Where a template matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The whole match, which may be more than the date.
    pub(crate) whole: Range<usize>,
    /// The text that is parsed and cut.
    pub(crate) cut: Range<usize>,
    /// Elements found, by letter.
    pub(crate) fields: Elements,
}

impl Place {
    /// Moves all ranges to the right.
    fn shift(&mut self, by: usize) {
        let moved = |range: &Range<usize>| range.start + by..range.end + by;
        self.whole = moved(&self.whole);
        self.cut = moved(&self.cut);
        let by = u32::try_from(by).unwrap_or(u32::MAX);
        for (_, start, end) in self.fields.found.iter_mut().flatten() {
            *start = start.saturating_add(by);
            *end = end.saturating_add(by);
        }
    }
}

/// Byte ranges of the elements of a date, by letter; fixed size so that a line costs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elements {
    found: [Option<(u8, u32, u32)>; 10],
}

impl Elements {
    /// Byte range of an element.
    pub(crate) fn get(&self, letter: u8) -> Option<Range<usize>> {
        let (_, start, end) = self.found.iter().flatten().find(|(key, ..)| *key == letter)?;
        Some(usize::try_from(*start).ok()?..usize::try_from(*end).ok()?)
    }

    fn add(&mut self, letter: u8, range: &Range<usize>) {
        let (Ok(start), Ok(end)) = (u32::try_from(range.start), u32::try_from(range.end)) else {
            return;
        };
        if let Some(free) = self.found.iter_mut().find(|slot| slot.is_none()) {
            *free = Some((letter, start, end));
        }
    }
}

const LINE_BEGIN: &str = "{^LN-BEG}";
const UNBOUND: &str = "{UNB}";
/// No date begins in the middle of a word.
pub(super) const BOUNDARY: &str = r"(?=^|\b|\W)";
const EPOCH_DIGITS: &str = r"\d{10,11}\b(?:\.\d{3,6})?";
const LONG_EPOCH_DIGITS: &str = r"\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?";

impl Template {
    /// Compiles one pattern; the error is a sentence without the pattern itself.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let (line_begin, body) = match pattern.strip_prefix(LINE_BEGIN) {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let (unbound, body) = match body.strip_prefix(UNBOUND) {
            Some(rest) => (true, rest),
            None => (false, body),
        };
        // A keyword may be anchored in either way.
        let keyword = body.strip_prefix('^').unwrap_or(body).to_ascii_uppercase();
        let bounds = match keyword.as_str() {
            "EPOCH" | "LEPOCH" | "TAI64N" => Bounds {
                line_begin: line_begin || body.starts_with('^'),
                unbound,
            },
            _ => Bounds { line_begin, unbound },
        };
        let line_begin = bounds.line_begin;
        match keyword.as_str() {
            "EPOCH" => return Self::epoch(bounds, Kind::Epoch, EPOCH_DIGITS),
            "LEPOCH" => return Self::epoch(bounds, Kind::LongEpoch, LONG_EPOCH_DIGITS),
            "TAI64N" => {
                let start = if line_begin { r"^(?:\W{0,2})?" } else { "" };
                let source = format!(r"{start}(@[0-9a-f]{{24}})(?=\b|\W|$)");
                return Self::compile(
                    &source,
                    Flags::default(),
                    named(bounds, "TAI64N"),
                    Kind::Tai64n,
                    line_begin,
                );
            }
            "{NONE}" => {
                let mut template = Self::compile("^()", Flags::default(), "^".into(), Kind::None, true)?;
                "{UNB}^".clone_into(&mut template.pattern);
                return Ok(template);
            }
            _ => {}
        }
        if let Some((before, after)) = split_keyword(body, "{LEPOCH}") {
            return Self::embedded(bounds, body, before, LONG_EPOCH_DIGITS, after, Kind::LongEpoch);
        }
        if let Some((before, after)) = split_keyword(body, "{EPOCH}") {
            return Self::embedded(bounds, body, before, EPOCH_DIGITS, after, Kind::Epoch);
        }
        let expanded = expand(body)?;
        let mut flags = Flags {
            ignore_case: expanded.alphabetic,
            ..Flags::default()
        };
        let mut regex = expanded.regex.as_str();
        if let Some(rest) = regex.strip_prefix("(?i)") {
            flags.ignore_case = true;
            regex = rest;
        }
        let (source, anchored) = bound(regex, bounds);
        let mut name = named(bounds, &expanded.name);
        if name.is_empty() {
            name.push_str(pattern);
        }
        let kind = if body == "()**" { Kind::None } else { Kind::Fields };
        let mut template = Self::compile(&source, flags, name, kind, anchored)?;
        pattern.clone_into(&mut template.pattern);
        if expanded.alphabetic {
            template.source.insert_str(0, "(?iu)");
        } else if flags.ignore_case {
            template.source.insert_str(0, "(?i)");
        }
        let bracketed = body.strip_prefix(r"^[^\[]*\[(").and_then(|rest| rest.strip_suffix(')'));
        let lead = match bracketed {
            Some(_) => Lead::Bracket,
            None if anchored => Lead::Start,
            None => Lead::Inside,
        };
        // What begins anywhere may go on in the word before it.
        let bounded = anchored || template.source.contains(BOUNDARY);
        template.local = Some(lead).filter(|_| bounded && is_settled(bracketed.unwrap_or(body)));
        Ok(template)
    }

    /// The same pattern weighed as the line-begin templates of the default list are.
    pub(crate) fn with_weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// The whole-pattern keyword: at the start of a line, in brackets there, or after `audit(`.
    fn epoch(bounds: Bounds, kind: Kind, digits: &str) -> Result<Self, String> {
        let source = if bounds.line_begin {
            format!(r"^(?:\W{{0,2}})?({digits})(?=\b|\W|$)")
        } else {
            format!(r"(?:^|(?<=^\[)|(?<=\baudit\())({digits})(?=\b|\W|$)")
        };
        let name = if kind == Kind::Epoch { "Epoch" } else { "LongEpoch" };
        Self::compile(&source, Flags::default(), named(bounds, name), kind, bounds.line_begin)
    }

    /// `{EPOCH}` inside a pattern.
    fn embedded(
        bounds: Bounds,
        body: &str,
        before: &str,
        digits: &str,
        after: &str,
        kind: Kind,
    ) -> Result<Self, String> {
        // A group of the operator's own is what is cut; the digits are found in it by number.
        let own = has_group(before) || has_group(after);
        let digits = format!("(?P<epoch>{digits})");
        let (source, anchored) = bound_with(&format!("{before}{digits}{after}"), bounds, own);
        Self::compile(&source, Flags::default(), named(bounds, body), kind, anchored)
    }

    fn compile(source: &str, flags: Flags, name: String, kind: Kind, anchored: bool) -> Result<Self, String> {
        let regex = Regex::new(source, flags).map_err(|error| error.to_string())?;
        let mut fields: Vec<(u8, usize)> = regex
            .names()
            .iter()
            .filter_map(|(name, number)| match name.as_bytes() {
                [letter] => Some((*letter, *number)),
                _ if &**name == "epoch" => Some((b'@', *number)),
                _ => None,
            })
            .collect();
        fields.truncate(10);
        let cut = usize::from(regex.groups() > 0);
        Ok(Self {
            name,
            pattern: String::new(),
            source: source.to_owned(),
            kind,
            anchored,
            local: None,
            weight: 1.0,
            regex,
            cut,
            fields,
        })
    }

    /// Searches `text`; a search that ran out of steps counts as no match.
    pub(crate) fn find(&self, text: &str, scratch: &mut Scratch) -> Option<Place> {
        if self.regex.search(text, scratch) != Ok(true) {
            return None;
        }
        let cut = scratch.group(self.cut)?;
        let mut fields = Elements::default();
        for (letter, number) in &self.fields {
            if let Some(range) = scratch.group(*number) {
                fields.add(*letter, &range);
            }
        }
        let whole = scratch.group(0)?;
        Some(Place { whole, cut, fields })
    }

    /// Searches `within` a text as if the text ended there.
    pub(crate) fn find_within(&self, text: &str, within: &Range<usize>, scratch: &mut Scratch) -> Option<Place> {
        let place = self.find(text.get(..within.end)?, scratch)?;
        if place.whole.start >= within.start {
            return Some(place);
        }
        // A date before it is none of interest; what is before the place then counts as the start of a line.
        let mut place = self.find(text.get(within.clone())?, scratch)?;
        place.shift(within.start);
        Some(place)
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    line_begin: bool,
    unbound: bool,
}

fn named(bounds: Bounds, name: &str) -> String {
    if bounds.line_begin {
        format!("{LINE_BEGIN}{name}")
    } else {
        name.to_owned()
    }
}

/// Splits at a keyword in braces, upper-case or lower-case but for the first found.
fn split_keyword<'a>(body: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let upper = body.to_ascii_uppercase();
    let at = upper.find(keyword)?;
    Some((body.get(..at)?, body.get(at + keyword.len()..)?))
}

/// Adds the word boundaries Fail2Ban adds, and the group if the pattern has none of its own.
fn bound(regex: &str, bounds: Bounds) -> (String, bool) {
    bound_with(regex, bounds, has_group(regex))
}

fn bound_with(regex: &str, bounds: Bounds, own_group: bool) -> (String, bool) {
    let mut body = regex;
    let mut start = BOUNDARY;
    let mut anchored = false;
    if let Some(rest) = body.strip_prefix("**") {
        body = rest;
        start = "";
    } else if bounds.line_begin {
        start = r"^(?:\W{0,2})?";
        anchored = true;
    } else if let Some(rest) = body.strip_prefix('^') {
        body = rest;
        start = "^";
        anchored = true;
    }
    let mut end = r"(?=\b|\W|$)";
    if let Some(rest) = body.strip_suffix("**") {
        body = rest;
        end = "";
    } else if body.ends_with('$') && !body.ends_with(r"\$") {
        body = body.strip_suffix('$').unwrap_or(body);
        end = "$";
    }
    if bounds.unbound {
        start = if anchored { start } else { "" };
        end = if end == "$" { end } else { "" };
    }
    let source = if own_group {
        format!("{start}{body}{end}")
    } else {
        format!("{start}({body}){end}")
    };
    (source, anchored)
}

/// Whether the pattern has a capturing group without a name.
fn has_group(regex: &str) -> bool {
    let mut bytes = regex.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'(' if bytes.peek() != Some(&b'?') => return true,
            _ => {}
        }
    }
    false
}

/// Whether nothing is optional in a pattern but the short pieces the default patterns have.
fn is_settled(pattern: &str) -> bool {
    const KNOWN: [&str; 18] = [
        "(?P<_sep>[-/.])",
        "(?P<_sep>[-/])",
        r"(?:\s*%z)?",
        "(?:[.,]%f)?",
        r"(?:\.%f)?",
        "(?: %ExY)?",
        "(?:%a )?",
        "(?:-|T|  ?)",
        "(?:T|  ?)",
        "(?: %z)?",
        "(?P<_sep>",
        "(?P=_sep)",
        "(?:%ExY|%Exy)",
        "(?:%Z )?",
        "(?:%z )?",
        "  ?",
        "[ :]?",
        ":?",
    ];
    let mut rest = pattern.to_owned();
    for piece in KNOWN {
        rest = rest.replace(piece, "");
    }
    !rest.contains(['?', '*', '+', '{', '|', '\\'])
}

struct Expanded {
    regex: String,
    name: String,
    alphabetic: bool,
}

/// The regex and the printed name of each element; `None` for the regex: known but of no use alone.
fn element(letter: &str) -> Option<(&'static str, &'static str, bool)> {
    const DAYS: &str = "(?P<a>mon|tue|wed|thu|fri|sat|sun)";
    const MONTHS: &str = "(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)";
    Some(match letter {
        "a" => (DAYS, "DAY", true),
        "A" => (
            "(?P<A>wednesday|thursday|saturday|tuesday|monday|friday|sunday)",
            "DAYNAME",
            true,
        ),
        "b" => (MONTHS, "MON", true),
        "B" => (
            "(?P<B>september|february|november|december|january|october|august|march|april|june|july|may)",
            "MONTH",
            true,
        ),
        "c" => (
            r"(?P<a>mon|tue|wed|thu|fri|sat|sun)\s+(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\s+(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])\s+(?P<H>2[0-3]|[0-1]\d|\d):(?P<M>[0-5]\d|\d):(?P<S>6[0-1]|[0-5]\d|\d)\s+(?P<Y>\d\d\d\d)",
            "%c",
            true,
        ),
        "d" => (r"(?P<d>[1-2]\d|[0 ]?[1-9]|3[0-1])", "Day", false),
        "f" => ("(?P<f>[0-9]{1,6})", "Microseconds", false),
        "G" => (r"(?P<G>\d\d\d\d)", "%G", false),
        "H" => (r"(?P<H>[0-1]?\d|2[0-3])", "24hour", false),
        "I" => ("(?P<I>1[0-2]|0[1-9]|[1-9])", "12hour", false),
        "j" => (
            r"(?P<j>36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9])",
            "Yearday",
            false,
        ),
        "m" => ("(?P<m>0?[1-9]|1[0-2])", "Month", false),
        "M" => (r"(?P<M>[0-5]?\d)", "Minute", false),
        "p" => ("(?P<p>am|pm)", "AMPM", true),
        "S" => (r"(?P<S>[0-5]?\d|6[0-1])", "Second", false),
        "u" => ("(?P<u>[1-7])", "%u", false),
        "U" => (r"(?P<U>5[0-3]|[0-4]\d|\d)", "Yearweek", false),
        "V" => (r"(?P<V>5[0-3]|0[1-9]|[1-4]\d|\d)", "%V", false),
        "w" => ("(?P<w>[0-6])", "Weekday", false),
        "W" => (r"(?P<W>5[0-3]|[0-4]\d|\d)", "Yearweek", false),
        "x" => (
            r"(?P<m>1[0-2]|0[1-9]|[1-9])/(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])/(?P<y>\d\d)",
            "%x",
            false,
        ),
        "X" => (
            r"(?P<H>2[0-3]|[0-1]\d|\d):(?P<M>[0-5]\d|\d):(?P<S>6[0-1]|[0-5]\d|\d)",
            "%X",
            false,
        ),
        "y" => (r"(?P<y>\d\d)", "Year2", false),
        "Y" => (r"(?P<Y>\d{4})", "Year", false),
        "z" => (r"(?P<z>Z|UTC|GMT|[+-][01]\d(?::?\d{2})?)", "Zone offset", false),
        "Z" => ("(?P<Z>Z|[A-Z]{3,5})", "Zone name", false),
        "Exy" => (r"(?P<y>\d{2})", "ExYear2", false),
        // Upstream takes the decades around the time of its start; a fixed century does not age.
        "ExY" => (r"(?P<Y>20\d{2})", "ExYear", false),
        "Exm" => ("(?P<m>0[1-9]|1[0-2])", "ExMonth", false),
        "Exd" => (r"(?P<d>[1-2]\d|0[1-9]|3[0-1])", "ExDay", false),
        "ExH" => (r"(?P<H>[0-1]\d|2[0-3])", "Ex24hour", false),
        "ExM" => (r"(?P<M>[0-5]\d)", "ExMinute", false),
        "ExS" => (r"(?P<S>[0-5]\d|6[0-1])", "ExSecond", false),
        "ExZ" => ("(?P<Z>[A-Z](?:[A-Z]{2,4})?)", "ExZone name", false),
        "Exz" => (
            r"(?P<z>(?:[A-Z](?:[A-Z]{2,4})?)?[+-][01]\d(?::?\d{2})?|[A-Z](?:[A-Z]{2,4})?)",
            "ExZone offset",
            false,
        ),
        _ => return None,
    })
}

/// Replaces the `%` elements.
fn expand(pattern: &str) -> Result<Expanded, String> {
    let mut out = Expanded {
        regex: String::new(),
        name: String::new(),
        alphabetic: false,
    };
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.regex.push_str(before);
        out.name.push_str(before);
        let after = from.get(1..).unwrap_or("");
        let length = if after.starts_with("Ex") {
            3
        } else {
            after.chars().next().map_or(0, char::len_utf8)
        };
        let Some((letter, tail)) = after.split_at_checked(length).filter(|_| length > 0) else {
            return Err("incomplete element at the end: a percent sign needs a letter, or `%%` for itself".into());
        };
        rest = tail;
        match letter {
            "%" => {
                out.regex.push('%');
                out.name.push('%');
            }
            "k" | "l" => {
                if !out.regex.ends_with(' ') {
                    return Err(format!("`%{letter}` is valid only right after a space"));
                }
                out.regex.push_str(if letter == "k" {
                    r" ?(?P<H>[0-2]?\d)"
                } else {
                    r" ?(?P<I>1?\d)"
                });
                out.name.push('%');
                out.name.push_str(letter);
            }
            _ => {
                let Some((regex, name, alphabetic)) = element(letter) else {
                    return Err(format!("`%{letter}` is not an element of dates"));
                };
                out.regex.push_str(regex);
                out.name.push_str(name);
                out.alphabetic |= alphabetic;
            }
        }
    }
    out.regex.push_str(rest);
    out.name.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_elements_as_upstream_prints_them() {
        let expanded = expand("(?:%a )?%b %d %k:%M:%S(?:\\.%f)?(?: %ExY)?").unwrap();
        assert_eq!(
            expanded.name,
            "(?:DAY )?MON Day %k:Minute:Second(?:\\.Microseconds)?(?: ExYear)?"
        );
        assert!(expanded.alphabetic);
    }

    #[test]
    fn bounds_follow_the_pattern() {
        let plain = Bounds {
            line_begin: false,
            unbound: false,
        };
        for (pattern, source, anchored) in [
            (r"\d", r"(?=^|\b|\W)(\d)(?=\b|\W|$)", false),
            (r"**\d", r"(\d)(?=\b|\W|$)", false),
            (r"\d**", r"(?=^|\b|\W)(\d)", false),
            (r"^\d$", r"^(\d)$", true),
            (r"a(\d)b", r"(?=^|\b|\W)a(\d)b(?=\b|\W|$)", false),
            (r"^\(\d\)", r"^(\(\d\))(?=\b|\W|$)", true),
        ] {
            assert_eq!(bound(pattern, plain), (source.to_owned(), anchored), "{pattern}");
        }
    }

    #[test]
    fn refuses_elements_that_mean_nothing() {
        for pattern in ["%Q", "50%", "%e", "%k", "%s"] {
            assert!(expand(pattern).is_err(), "{pattern}");
        }
    }
}

//! Goes through the lines of a log and counts what the rules do with them.
//!
//! Lines that no rule can match take the short way: the gate passes over them, and only their date and prefregex are
//! looked for, because the report counts those.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::SystemTime;

use stockade_core::Timestamp;
use stockade_filter::{Clock, Examination, Filter, FilterSettings, Memory, Verdict};
use stockade_source::LINE_LIMIT_BYTES;

use super::failure::{self, Failure};
use super::options::{Options, Print};
use super::rules::Rules;

/// Lines kept of each kind unless all are asked for.
pub(super) const FEW: usize = 20;

/// A span longer than any log: the tool tries rules on old lines too.
const ANY_AGE: i64 = 10_000_000_000;

/// Where the lines come from.
pub(super) enum Input {
    File { name: String, reader: BufReader<File> },
    Line(String),
}

impl Input {
    pub(super) fn file(name: &str) -> io::Result<Self> {
        let reader = BufReader::with_capacity(128 * 1024, File::open(name)?);
        Ok(Self::File {
            name: name.to_owned(),
            reader,
        })
    }

    pub(super) fn line(text: &str) -> Self {
        Self::Line(text.to_owned())
    }

    pub(super) fn heading(&self, options: &Options) -> String {
        match self {
            Self::File { name, .. } => {
                let encoding = options.encoding.as_deref().unwrap_or("UTF-8");
                format!("Use         log file : {name}\nUse         encoding : {encoding}\n")
            }
            Self::Line(text) => {
                let short: String = text.chars().take(50).collect();
                let more = if short.len() < text.len() { "..." } else { "" };
                format!("Use      single line : {}{more}\n", short.replace('\n', "\\n"))
            }
        }
    }

    /// Calls back with every line but empty ones and comments, without its end. A last line without an end is none: more of
    /// it may come.
    fn each(self, latin1: bool, mut out: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut tell = |line: &[u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.first() == Some(&b'#') {
                return Ok(());
            }
            if latin1 && !line.is_ascii() {
                let text: String = line.iter().map(|byte| char::from(*byte)).collect();
                return out(text.as_bytes());
            }
            out(line)
        };
        match self {
            Self::Line(text) => text.split('\n').try_for_each(|line| tell(line.as_bytes())),
            Self::File { mut reader, .. } => {
                let limit = u64::try_from(LINE_LIMIT_BYTES).unwrap_or(u64::MAX);
                let mut line = Vec::new();
                loop {
                    line.clear();
                    (&mut reader).take(limit + 1).read_until(b'\n', &mut line)?;
                    if line.last() == Some(&b'\n') {
                        line.pop();
                    } else if line.len() > LINE_LIMIT_BYTES {
                        // As the server does: the rest of a line this long is not looked at.
                        line.truncate(LINE_LIMIT_BYTES);
                        reader.skip_until(b'\n')?;
                    } else {
                        return Ok(());
                    }
                    tell(&line)?;
                }
            }
        }
    }
}

/// Tries the rules on one line after the other.
struct Prober<'a> {
    filter: &'a Filter,
    clock: Clock,
    check_all: bool,
    gate: Memory,
    memory: Memory,
}

impl<'a> Prober<'a> {
    fn new(filter: &'a Filter, check_all: bool) -> Self {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let now = Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        let clock = Clock {
            now,
            in_operation: false,
            findtime: ANY_AGE,
        };
        Self {
            filter,
            clock,
            check_all,
            gate: Memory::default(),
            memory: Memory::default(),
        }
    }

    /// `None` if no rule matches.
    fn look(&mut self, line: &[u8]) -> Option<Examination> {
        // A rule over several lines needs all of them.
        if !self.filter.spans_lines() && self.filter.judge(line, self.clock, &mut self.gate) == Verdict::Miss {
            return None;
        }
        Some(self.filter.examine(line, self.clock, &mut self.memory, self.check_all))
    }
}

/// Lines of one kind.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) count: u64,
    pub(super) kept: Vec<String>,
}

impl Lines {
    fn add(&mut self, line: &[u8], print: Print) {
        self.count += 1;
        if print == Print::All || (print == Print::Few && self.kept.len() <= FEW) {
            self.kept.push(String::from_utf8_lossy(line).into_owned());
        }
    }
}

/// The hits of one rule.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) count: u64,
    /// Kept for `-v` only.
    pub(super) failures: Vec<(String, Timestamp)>,
}

/// What the rules did.
pub(super) struct Tally<'a> {
    rules: &'a Rules,
    options: &'a Options,
    pub(super) failregex: Vec<Hits>,
    pub(super) ignoreregex: Vec<u64>,
    pub(super) prefregex: u64,
    /// Hits of the date templates, with their numbers, in the order in which they are tried by now.
    pub(super) dates: Vec<(usize, u64)>,
    pub(super) matched: Lines,
    pub(super) ignored: Lines,
    pub(super) missed: Lines,
    /// Lines whose search took too many steps.
    pub(super) overruns: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(rules: &'a Rules, options: &'a Options) -> Self {
        Self {
            rules,
            options,
            failregex: rules.settings.failregex.iter().map(|_| Hits::default()).collect(),
            ignoreregex: vec![0; rules.settings.ignoreregex.len()],
            prefregex: 0,
            dates: Vec::new(),
            matched: Lines::default(),
            ignored: Lines::default(),
            missed: Lines::default(),
            overruns: 0,
        }
    }

    pub(super) fn read(&mut self, input: Input) -> io::Result<()> {
        let mut prober = Prober::new(&self.rules.filter, self.options.check_all);
        let mut frame = Memory::default();
        let mut dates = vec![0_u64; self.rules.frame.date_templates().count()];
        let clock = prober.clock;
        input.each(is_latin1(self.options), |line| {
            let seen = self.rules.frame.examine(line, clock, &mut frame, false);
            if let Some(count) = seen.date.and_then(|date| dates.get_mut(date.template)) {
                *count += 1;
            }
            self.prefregex += u64::from(seen.prefregex && self.rules.settings.prefregex.is_some());
            let seen = prober.look(line);
            self.line(line, seen, clock);
            Ok(())
        })?;
        let order = self.rules.frame.date_order(&frame);
        self.dates = order
            .iter()
            .filter_map(|&template| Some((template, *dates.get(template)?)))
            .collect();
        Ok(())
    }

    fn line(&mut self, line: &[u8], seen: Option<Examination>, clock: Clock) {
        let Some(seen) = seen else {
            return self.missed.add(line, self.options.missed);
        };
        match seen.verdict {
            Verdict::Match(found) => {
                let mut any = self.hit(found.rule, &failure::ids(&found.who), found.at);
                let mut harmless = false;
                for &rule in seen.hits.iter().filter(|rule| **rule != found.rule) {
                    match self.verdict_of(rule, line, clock) {
                        Verdict::Match(beside) => any |= self.hit(rule, &failure::ids(&beside.who), found.at),
                        Verdict::Ignored => harmless |= self.counts_as_harmless(rule),
                        _ => {}
                    }
                }
                if harmless {
                    self.ignored.add(line, self.options.ignored);
                } else if any {
                    self.matched.add(line, self.options.matched);
                } else {
                    self.missed.add(line, self.options.missed);
                }
            }
            Verdict::Ignored => self.line_without_failure(line, &seen.ignored_by, &seen.hits),
            Verdict::Overrun(_) => {
                self.overruns += 1;
                self.missed.add(line, self.options.missed);
            }
            Verdict::Miss | Verdict::Unusable(_) | Verdict::TooOld | Verdict::Undated => {
                self.missed.add(line, self.options.missed);
            }
        }
    }

    /// Counts a hit; `false` if nobody was named.
    fn hit(&mut self, rule: usize, ids: &[String], at: Timestamp) -> bool {
        let Some(hits) = self.failregex.get_mut(rule).filter(|_| !ids.is_empty()) else {
            return false;
        };
        hits.count += 1;
        if self.options.verbosity > 0 {
            hits.failures.extend(ids.iter().map(|id| (id.clone(), at)));
        }
        true
    }

    /// A line that an `ignoreregex` takes out, or that only adds to what is known of a session.
    fn line_without_failure(&mut self, line: &[u8], ignored_by: &[usize], hits: &[usize]) {
        if let Some(count) = ignored_by.first().and_then(|&index| self.ignoreregex.get_mut(index)) {
            *count += 1;
            return self.ignored.add(line, self.options.ignored);
        }
        let Some(&rule) = hits.first() else {
            return self.ignored.add(line, self.options.ignored);
        };
        if !self.is_harmless(rule) {
            // A failure whose address other lines of the session tell: Fail2Ban counts the line as matched.
            if let Some(hits) = self.failregex.get_mut(rule) {
                hits.count += 1;
            }
            return self.matched.add(line, self.options.matched);
        }
        // Without all checks Fail2Ban does not hear of harmless lines.
        if self.options.check_all {
            self.counts_as_harmless(rule);
            self.ignored.add(line, self.options.ignored);
        } else {
            self.missed.add(line, self.options.missed);
        }
    }

    /// Whether a rule is there for lines that are no failure.
    fn is_harmless(&self, rule: usize) -> bool {
        let rule = self.rules.settings.failregex.get(rule);
        rule.is_some_and(|rule| rule.contains("<F-NOFAIL>") || rule.contains("<F-MLFGAINED>"))
    }

    fn counts_as_harmless(&mut self, rule: usize) -> bool {
        let harmless = self.is_harmless(rule);
        if let Some(hits) = self.failregex.get_mut(rule).filter(|_| harmless) {
            hits.count += 1;
        }
        harmless
    }

    /// What a rule makes of a line that matches beside another one. Seldom asked, so the rule is compiled each time.
    fn verdict_of(&self, rule: usize, line: &[u8], clock: Clock) -> Verdict {
        let failregex = self.rules.settings.failregex.get(rule).cloned().into_iter().collect();
        let alone = FilterSettings {
            failregex,
            ignoreregex: Vec::new(),
            ..self.rules.settings.clone()
        };
        let filter = Filter::new(&alone, &jiff::tz::TimeZone::system());
        filter.map_or(Verdict::Miss, |filter| {
            filter.judge(line, clock, &mut Memory::default())
        })
    }
}

/// Prints what `-o` asks for, of each failure, and nothing else.
pub(super) fn print_failures(
    input: Input,
    rules: &Rules,
    options: &Options,
    token: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut prober = Prober::new(&rules.filter, false);
    input.each(is_latin1(options), |line| {
        let found = prober.look(line).and_then(|seen| match seen.verdict {
            Verdict::Match(found) => Some((found, seen.date)),
            _ => None,
        });
        if options.invert {
            if found.is_none() {
                writeln!(out, "{}", String::from_utf8_lossy(line))?;
            }
            return Ok(());
        }
        let failures: Vec<Failure> = found.map_or_else(Vec::new, |(found, date)| {
            failure::failures(&found, date.as_ref(), &rules.filter)
        });
        failures
            .iter()
            .try_for_each(|failure| writeln!(out, "{}", failure.show(token)))
    })
}

fn is_latin1(options: &Options) -> bool {
    options
        .encoding
        .as_deref()
        .is_some_and(|name| matches!(encoding(name), Some(Encoding::Latin1)))
}

/// The encodings that lines can be read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Latin1,
}

/// The encoding of a name as Python spells it; `None` for one we do not read.
pub(super) fn encoding(name: &str) -> Option<Encoding> {
    let name: String = name
        .to_lowercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    match name.as_str() {
        "auto" | "utf8" | "ascii" | "usascii" => Some(Encoding::Utf8),
        "latin1" | "iso88591" | "l1" => Some(Encoding::Latin1),
        _ => None,
    }
}

//! Goes through the lines of a log and counts what the rules do with them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::SystemTime;

use stockade_core::Timestamp;
use stockade_filter::{Clock, DateTemplate, Examination, Glance, Memory, Outcome, RuleHit, Surveyed, Verdict, Who};
use stockade_source::lines;

use super::cores::{Division, Guesses, Survey};
use super::failure::{Failure, Moment, Names};
use super::input::{Input, Line};
use super::options::{Options, Print};
use super::progress::Progress;
use super::python;
use super::rules::Rules;

/// So many lines of a kind are too many to print, unless all are asked for or `--maxlines` says so many.
const FEW: usize = 20;

/// A span longer than any log: the tool tries rules on old lines too.
const ANY_AGE: i64 = 10_000_000_000;

/// Tries the rules on one line after the other.
struct Prober<'a> {
    rules: &'a Rules,
    clock: Clock,
    memory: Memory,
}

impl<'a> Prober<'a> {
    fn new(rules: &'a Rules, now: Timestamp) -> Self {
        Self {
            rules,
            clock: Clock {
                now,
                in_operation: false,
                findtime: ANY_AGE,
            },
            memory: Memory::default(),
        }
    }

    fn look(&mut self, line: Line<'_>, check_all: bool) -> Examination {
        let filter = &self.rules.filter;
        match line.given {
            Some(given) => filter.examine_at(line.text, given, self.clock, &mut self.memory, check_all),
            None => filter.examine(line.text, self.clock, &mut self.memory, check_all),
        }
    }
}

/// The time.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// When what a line tells happened.
fn moment(rules: &Rules, clock: Clock, line: Line<'_>, seen: &Examination) -> Moment {
    let date = seen.date.as_ref();
    let said = line.given.map(|given| given.at).or_else(|| date?.time);
    Moment {
        at: said.unwrap_or(clock.now),
        // Lines seen together have a time, whatever the last of them says.
        // So has one that is known to have no date.
        known: said.is_some() || rules.filter.spans_lines() || date.is_some_and(|date| date.range.is_empty()),
        zoned: said.is_some() && date.is_some_and(|date| date.zoned),
    }
}

/// Lines of one kind.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) count: u64,
    pub(super) kept: Vec<String>,
    pub(super) print: Print,
    limit: usize,
}

impl Lines {
    fn new(print: Print, limit: usize) -> Self {
        Self {
            count: 0,
            kept: Vec::new(),
            print,
            limit,
        }
    }

    fn add(&mut self, text: &str) {
        self.count += 1;
        if self.keeps_more() {
            self.kept.push(text.to_owned());
        }
    }

    fn add_bytes(&mut self, line: &[u8]) {
        if self.keeps_more() {
            self.add(&String::from_utf8_lossy(line));
        } else {
            self.count += 1;
        }
    }

    /// Adds so many lines.
    fn add_all(&mut self, block: &[u8], count: u64) {
        if self.keeps_more() {
            lines(block).for_each(|line| self.add_bytes(line));
        } else {
            self.count += count;
        }
    }

    fn keeps_more(&self) -> bool {
        self.print == Print::All || (self.print == Print::Few && self.kept.len() < self.limit)
    }

    /// Takes back a line, the first one of this text.
    fn take_back(&mut self, text: &str) {
        self.count = self.count.saturating_sub(1);
        if let Some(index) = self.kept.iter().position(|kept| kept == text) {
            self.kept.remove(index);
        }
    }

    /// Whether there are more than are printed.
    pub(super) fn too_many(&self) -> bool {
        self.print == Print::Few && self.count >= u64::try_from(self.limit).unwrap_or(u64::MAX)
    }
}

/// The hits of one rule.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) count: u64,
    /// Who and when; kept for `-v` only.
    pub(super) failures: Vec<(String, Timestamp)>,
}

/// A date template and its hits.
pub(super) struct DateHits {
    pub(super) number: usize,
    pub(super) count: u64,
    pub(super) template: DateTemplate,
}

/// What the rules did.
pub(super) struct Tally<'a> {
    rules: &'a Rules,
    options: &'a Options,
    names: Names,
    /// Goes the long way, line by line; for tests of the short one.
    pub(super) plain: bool,
    /// How the short way is divided.
    pub(super) division: Division,
    /// How guesses did there.
    pub(super) guesses: Guesses,
    pub(super) failregex: Vec<Hits>,
    pub(super) ignoreregex: Vec<u64>,
    pub(super) prefregex: u64,
    /// What the prefregex captured; kept for `-v` only.
    pub(super) prefixes: Vec<String>,
    /// The date templates in the order in which they are tried by now; `None` if no dates are looked for.
    pub(super) dates: Option<Vec<DateHits>>,
    pub(super) matched: Lines,
    pub(super) ignored: Lines,
    pub(super) missed: Lines,
    /// The last lines that were missed, for rules over several.
    recent: VecDeque<String>,
    /// Lines whose search took too many steps.
    pub(super) overruns: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(rules: &'a Rules, options: &'a Options) -> Self {
        let limit = usize::try_from(options.maxlines).ok().filter(|limit| *limit > 0);
        let lines = |print| Lines::new(print, limit.unwrap_or(FEW));
        Self {
            rules,
            options,
            names: Names::default(),
            plain: false,
            division: Division::default(),
            guesses: Guesses::default(),
            failregex: rules.settings.failregex.iter().map(|_| Hits::default()).collect(),
            ignoreregex: vec![0; rules.settings.ignoreregex.len()],
            prefregex: 0,
            prefixes: Vec::new(),
            dates: None,
            matched: lines(options.matched),
            ignored: lines(options.ignored),
            missed: lines(options.missed),
            recent: VecDeque::new(),
            overruns: 0,
        }
    }

    /// Whether the short way can be gone: only numbers are asked for, and the lines of the few first that are printed.
    pub(super) fn is_survey(&self, input: &Input) -> bool {
        !self.plain
            && matches!(input, Input::File { .. })
            && self.options.verbosity == 0
            && self.rules.filter.can_survey()
    }

    pub(super) fn read(&mut self, input: Input) -> io::Result<()> {
        if self.is_survey(&input) {
            return self.survey(input);
        }
        let mut prober = Prober::new(self.rules, now());
        let no_dates = matches!(input, Input::Journal { .. }) && self.rules.settings.datepattern.is_none();
        let mut dates = vec![0_u64; self.rules.filter.date_templates().count()];
        let mut progress = Progress::new(false);
        input.each(&mut progress, |line| {
            let seen = prober.look(line, self.options.check_all);
            let hits = seen.date.as_ref().and_then(|date| dates.get_mut(date.template));
            if let Some(hits) = hits {
                *hits += 1;
            }
            if seen.prefregex {
                self.prefregex += 1;
                if self.options.verbosity > 0 {
                    let groups = seen.prefix.iter().map(|(name, group)| (&**name, python::group(group)));
                    self.prefixes.push(python::dictionary(groups));
                }
            }
            let moment = moment(self.rules, prober.clock, line, &seen);
            self.line(line, &seen, moment);
            Ok(())
        })?;
        if !no_dates {
            self.tell_dates(&dates, &prober.memory);
        }
        Ok(())
    }

    fn tell_dates(&mut self, dates: &[u64], memory: &Memory) {
        let mut order = self.rules.filter.date_order(memory).to_vec();
        if order.is_empty() {
            order = (0..dates.len()).collect();
        }
        let dates = order
            .into_iter()
            .filter_map(|number| {
                Some(DateHits {
                    number,
                    count: *dates.get(number)?,
                    template: self.rules.filter.date_template(number, memory)?,
                })
            })
            .collect();
        self.dates = Some(dates);
    }

    /// The short way through a file: what comes out is what [`Self::line`] makes of each line.
    fn survey(&mut self, input: Input) -> io::Result<()> {
        let filter = &self.rules.filter;
        let prober = Prober::new(self.rules, now());
        let mut memory = prober.memory;
        let survey = Survey {
            filter,
            clock: prober.clock,
            check_all: self.options.check_all,
        };
        let mut progress = Progress::new(false);
        let division = self.division;
        self.guesses = input.survey(&survey, division, &mut memory, &mut progress, |told| match told {
            Surveyed::Passed { lines, count, prefixed } => {
                self.prefregex += prefixed;
                self.missed.add_all(lines, count);
            }
            Surveyed::Line(line, glance) => self.glance(line, glance),
        })?;
        let numbers = 0..filter.date_templates().count();
        let dates: Vec<u64> = numbers.map(|number| filter.date_hits(number, &memory)).collect();
        self.tell_dates(&dates, &memory);
        Ok(())
    }

    fn glance(&mut self, line: &[u8], glance: &Glance) {
        self.prefregex += u64::from(glance.prefregex);
        if glance.ignored {
            if let Some(count) = glance.ignored_by.and_then(|index| self.ignoreregex.get_mut(index)) {
                *count += 1;
            }
            return self.ignored.add_bytes(line);
        }
        self.overruns += u64::from(glance.overran);
        let (mut any, mut harmless) = (false, false);
        for hit in &glance.found {
            if hit.helps && !self.options.check_all {
                continue;
            }
            let named = match &hit.outcome {
                Outcome::Match(who @ Who::Name(_)) | Outcome::Held(Some(who @ Who::Name(_))) => {
                    !self.names.ids(who).is_empty()
                }
                Outcome::Match(_) | Outcome::Held(_) => true,
                Outcome::Unusable => false,
            };
            if let Some(hits) = self.failregex.get_mut(hit.rule).filter(|_| named) {
                hits.count += 1;
                any = true;
                harmless |= hit.helps;
            }
        }
        match (any, harmless) {
            (_, true) => self.ignored.add_bytes(line),
            (true, false) => self.matched.add_bytes(line),
            (false, false) => self.missed.add_bytes(line),
        }
    }

    fn line(&mut self, line: Line<'_>, seen: &Examination, moment: Moment) {
        let text = String::from_utf8_lossy(line.text);
        if seen.verdict == Verdict::Ignored && seen.found.is_empty() {
            if let Some(count) = seen
                .ignored_by
                .first()
                .and_then(|&index| self.ignoreregex.get_mut(index))
            {
                *count += 1;
            }
            return self.ignored.add(&text);
        }
        self.overruns += u64::from(matches!(seen.verdict, Verdict::Overrun(_)));
        let (mut any, mut harmless) = (false, false);
        for hit in &seen.found {
            if hit.helps && !self.options.check_all {
                // Without all checks Fail2Ban does not hear of such lines.
                continue;
            }
            if self.hit(hit, moment) {
                any = true;
                harmless |= hit.helps;
                if self.rules.filter.spans_lines() {
                    self.take_back(hit);
                }
            }
        }
        match (any, harmless) {
            (_, true) => self.ignored.add(&text),
            (true, false) => self.matched.add(&text),
            (false, false) => {
                self.missed.add(&text);
                if self.rules.filter.spans_lines() {
                    self.recent.push_back(text.into_owned());
                    let most = usize::try_from(self.rules.settings.maxlines).unwrap_or(usize::MAX);
                    while self.recent.len() > most {
                        self.recent.pop_front();
                    }
                }
            }
        }
    }

    /// Counts a hit; `false` if nobody is named.
    fn hit(&mut self, hit: &RuleHit, moment: Moment) -> bool {
        let ids = match (&hit.verdict, &hit.who) {
            (Verdict::Match(found), _) => self.names.ids(&found.who),
            (Verdict::Ignored, Some(who)) => self.names.ids(who),
            // Who it is will be told by another line of the session, or not.
            (Verdict::Ignored, None) => vec!["None".to_owned()],
            _ => return false,
        };
        let Some(hits) = self.failregex.get_mut(hit.rule).filter(|_| !ids.is_empty()) else {
            return false;
        };
        hits.count += 1;
        if self.options.verbosity > 0 {
            hits.failures.extend(ids.into_iter().map(|id| (id, moment.at)));
        }
        true
    }

    /// The earlier lines of a match over several were not missed after all.
    fn take_back(&mut self, hit: &RuleHit) {
        let Verdict::Match(found) = &hit.verdict else { return };
        for line in &found.lines {
            if let Some(index) = self.recent.iter().position(|recent| **recent == *line.text) {
                self.recent.remove(index);
                self.missed.take_back(&line.text);
                self.matched.add(&line.text);
            }
        }
    }
}

/// What `-o` asks for.
pub(super) struct Printing<'a> {
    pub(super) rules: &'a Rules,
    pub(super) options: &'a Options,
    pub(super) token: &'a str,
    /// Results go to a terminal.
    pub(super) terminal: bool,
    pub(super) now: Timestamp,
    /// Goes the long way, line by line; for tests of the short one.
    pub(super) plain: bool,
}

impl Printing<'_> {
    /// Prints what is asked for, of each failure, and nothing else.
    pub(super) fn print(&self, input: Input, out: &mut impl Write) -> io::Result<()> {
        let mut prober = Prober::new(self.rules, self.now);
        let mut names = Names::default();
        let mut progress = Progress::new(self.terminal);
        let filter = &self.rules.filter;
        let is_file = matches!(input, Input::File { .. });
        if is_file && !self.options.invert && !filter.spans_lines() && !self.plain {
            // Of a line that no rule matches nothing is printed.
            return input.blocks(&mut progress, |progress, block, place| {
                let mut written = Ok(());
                let clock = prober.clock;
                filter.scan_closely(block, clock, &mut prober.memory, false, &mut |text, seen| {
                    let line = Line { text, given: None };
                    written = self
                        .print_found(seen, moment(self.rules, clock, line, seen), &mut names, out)
                        .map(drop);
                    match written {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    }
                });
                let lines = memchr::memchr_iter(b'\n', block).count();
                progress.advance(u64::try_from(lines).unwrap_or(u64::MAX), place);
                written
            });
        }
        input.each(&mut progress, |line| {
            let seen = prober.look(line, false);
            let moment = moment(self.rules, prober.clock, line, &seen);
            let any = self.print_found(&seen, moment, &mut names, out)?;
            if self.options.invert && !any {
                writeln!(out, "{}", String::from_utf8_lossy(line.text))?;
            }
            Ok(())
        })
    }

    /// Prints the failures of a line; `false` if there are none.
    fn print_found(
        &self,
        seen: &Examination,
        moment: Moment,
        names: &mut Names,
        out: &mut impl Write,
    ) -> io::Result<bool> {
        let mut any = false;
        for hit in seen.found.iter().filter(|hit| !hit.helps) {
            let Verdict::Match(found) = &hit.verdict else { continue };
            for id in names.ids(&found.who) {
                any = true;
                if self.options.invert {
                    continue;
                }
                let failure = Failure {
                    id,
                    moment,
                    lines: &found.lines,
                    groups: &hit.groups,
                };
                for shown in failure.show(self.token) {
                    writeln!(out, "{shown}")?;
                }
            }
        }
        Ok(any)
    }
}

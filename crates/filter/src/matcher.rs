//! One jail's answer to one line: date, `prefregex`, `failregex`, `ignoreregex`, sessions, in Fail2Ban's order.

use std::ops::Range;

use stockade_core::{Arrival, LineText, Reading, Seconds, Timestamp};
use stockade_regex::{Overrun, Paths, Scratch};

use crate::closer::{self, Closer, Group, Groups, RuleHit};
use crate::date::Found;
use crate::failregex::Rule;
use crate::hit::{Hit, Lines, Wanted, beginning, tupled};
use crate::host;
use crate::line;
use crate::mlfid::{Sessions, Step};
use crate::{Clock, DateHit, Dating, Examination, Filter, Given, Match, Memory, Verdict};

/// Seconds within which a date is believed while the log is followed, and for which a date serves dateless lines.
const BELIEVED: i64 = 60;

/// So much of a line is kept for mails and tags; rules see all of it.
const LINE_KEPT: usize = 8 << 10;

/// How thoroughly to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Lines that cannot match are passed over.
    Gated,
    /// Every line is looked at.
    Plain,
}

/// When a line counts as written, and by which clock.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    pub(crate) clock: Clock,
}

/// The rule (a `failregex`'s number; `None` for the others) that ran out of steps.
pub(crate) type RuleOverrun = (Option<usize>, Overrun);

impl Filter {
    /// `given`: the time, if the source knows it (a journal); then no date is looked for in the line.
    pub(crate) fn run(
        &self,
        bytes: &[u8],
        given: Option<Given>,
        clock: Clock,
        memory: &mut Memory,
        effort: Effort,
    ) -> Verdict {
        let mut decoded = std::mem::take(&mut memory.buffers.decoded);
        let text = line::decode(bytes, &mut decoded);
        memory.replaced = !std::ptr::eq(text.as_bytes(), bytes);
        let verdict = self.run_text(text, given, clock, memory, effort);
        memory.buffers.decoded = decoded;
        verdict
    }

    fn run_text(&self, text: &str, given: Option<Given>, clock: Clock, memory: &mut Memory, effort: Effort) -> Verdict {
        let mut admitted = match (&self.gate, effort) {
            (Some(gate), Effort::Gated) => gate.admits(text.as_bytes()),
            _ => true,
        };
        let found = match given {
            Some(_) => None,
            None => self.dates.find(text, clock.now, &mut memory.dates, &mut memory.scratch),
        };
        let dated = given.map_or_else(|| found.as_ref()?.time, |given| Some(given.at));
        let cut = given.map_or_else(|| memory.cut(found.as_ref(), clock), |given| 0..given.date);
        if let (false, Some(gate)) = (admitted, &self.gate) {
            let before = text.as_bytes().get(..cut.start).unwrap_or(&[]);
            let after = text.as_bytes().get(cut.end..).unwrap_or(&[]);
            admitted = gate.admits_across(before, after, &mut memory.buffers.joint);
            if !admitted && self.maxlines <= 1 {
                if dated.is_some() {
                    memory.last_date = dated;
                }
                return Verdict::Miss;
            }
        }
        self.run_at(text, (dated, cut), admitted, clock, memory)
    }

    /// Remembers what a line leaves behind that cannot match.
    pub(crate) fn note_date(&self, bytes: &[u8], clock: Clock, memory: &mut Memory) {
        let mut decoded = std::mem::take(&mut memory.buffers.decoded);
        let text = line::decode(bytes, &mut decoded);
        let found = self.dates.find(text, clock.now, &mut memory.dates, &mut memory.scratch);
        if let Some(at) = found.and_then(|found| found.time) {
            memory.last_date = Some(at);
        }
        memory.buffers.decoded = decoded;
    }

    /// Judges a line that no gate keeps out and of which the date is found already.
    pub(crate) fn run_dated(&self, text: &str, found: Option<&Found>, clock: Clock, memory: &mut Memory) -> Verdict {
        let cut = memory.cut(found, clock);
        self.run_at(text, (found.and_then(|found| found.time), cut), true, clock, memory)
    }

    fn run_at(
        &self,
        text: &str,
        (dated, cut): (Option<Timestamp>, Range<usize>),
        admitted: bool,
        clock: Clock,
        memory: &mut Memory,
    ) -> Verdict {
        let Some(at) = memory.event_time(dated, clock) else {
            return Verdict::TooOld;
        };
        let moment = Moment { at, clock };
        let mut buffer = std::mem::take(&mut memory.buffers.subject);
        let subject = line::subject(text, &cut, &mut buffer);
        let verdict = if self.maxlines > 1 {
            memory.window.push(kept(text, &cut), subject, admitted, self.maxlines);
            if memory.window.admitted() {
                self.rules_on_window(moment, memory, None)
            } else {
                Ok(Verdict::Miss)
            }
        } else {
            self.rules_on(text, subject, &cut, moment, memory, None)
        };
        memory.buffers.subject = buffer;
        match verdict {
            Ok(Verdict::Match(_)) if memory.dating == Dating::None && !clock.in_operation => Verdict::Undated,
            Ok(verdict) => verdict,
            Err((rule, Overrun)) => Verdict::Overrun(rule),
        }
    }

    pub(crate) fn look_closely(
        &self,
        bytes: &[u8],
        given: Option<Given>,
        clock: Clock,
        memory: &mut Memory,
        check_all: bool,
    ) -> Examination {
        let mut decoded = String::new();
        let text = line::decode(bytes, &mut decoded);
        let found = match given {
            Some(_) => None,
            None => self.dates.find(text, clock.now, &mut memory.dates, &mut memory.scratch),
        };
        let dated = given.map_or_else(|| found.as_ref()?.time, |given| Some(given.at));
        let cut = given.map_or_else(|| memory.cut(found.as_ref(), clock), |given| 0..given.date);
        let mut seen = Examination {
            date: found.as_ref().map(|found| DateHit {
                template: found.template,
                name: self.dates.names().nth(found.template).unwrap_or("").to_owned(),
                range: found.range.clone(),
                zoned: found.zoned,
                time: found.time,
            }),
            prefregex: false,
            hits: Vec::new(),
            ignored_by: Vec::new(),
            verdict: Verdict::Miss,
            prefix: Vec::new(),
            found: Vec::new(),
        };
        let mut buffer = String::new();
        let subject = line::subject(text, &cut, &mut buffer);
        let Some(at) = memory.event_time(dated, clock) else {
            seen.verdict = Verdict::TooOld;
            return seen;
        };
        let mut admitted = self.gate.as_ref().is_none_or(|gate| {
            let bytes = text.as_bytes();
            let before = bytes.get(..cut.start).unwrap_or(&[]);
            let after = bytes.get(cut.end..).unwrap_or(&[]);
            gate.admits(bytes) || gate.admits_across(before, after, &mut memory.buffers.joint)
        });
        if self.maxlines > 1 {
            memory.window.push(kept(text, &cut), subject, admitted, self.maxlines);
            admitted = memory.window.admitted();
        }
        let mut closer = Closer {
            check_all,
            admitted,
            seen: &mut seen,
        };
        let moment = Moment { at, clock };
        let verdict = if self.maxlines > 1 {
            self.rules_on_window(moment, memory, Some(&mut closer))
        } else {
            self.rules_on(text, subject, &cut, moment, memory, Some(&mut closer))
        };
        seen.verdict = verdict.unwrap_or_else(|(rule, Overrun)| Verdict::Overrun(rule));
        seen
    }

    /// Tries the rules on a line whose date is cut out.
    fn rules_on(
        &self,
        text: &str,
        subject: &str,
        cut: &Range<usize>,
        moment: Moment,
        memory: &mut Memory,
        mut closer: Option<&mut Closer<'_>>,
    ) -> Result<Verdict, RuleOverrun> {
        if self.ignored_as_a_whole(subject, memory, closer.as_deref_mut())? {
            return Ok(Verdict::Ignored);
        }
        let Some(content) = self.content(subject, memory, closer.as_deref_mut())? else {
            return Ok(Verdict::Miss);
        };
        let content = subject.get(content).unwrap_or(subject);
        if let Some(closer) = closer {
            if !closer.admitted {
                return Ok(Verdict::Miss);
            }
            return self.rules_closely(subject, content, &kept(text, cut), moment, memory, closer);
        }
        let mut first = None;
        for (index, rule) in self.rules.candidates(content) {
            if search_alike(
                rule,
                content,
                &mut memory.scratch,
                memory.paths.of_failregex(index),
                Some(index),
            )? {
                first = Some((index, rule));
                break;
            }
        }
        let Some((index, rule)) = first else {
            return Ok(Verdict::Miss);
        };
        let hit = Hit::new(
            self,
            (index, rule),
            (content, &memory.scratch),
            (subject, &memory.prefix),
            Wanted::All,
        );
        // The whole line was asked for first where that is cheap; asking after a match gives the same answer.
        for rule in &self.rules.ignoreregex {
            if search(rule, content, &mut memory.scratch, None)?
                || (self.ignores_first() && search(rule, subject, &mut memory.scratch, None)?)
            {
                return Ok(Verdict::Ignored);
            }
        }
        Ok(self.conclude(&hit, kept_line(text, cut), moment, &mut memory.sessions, None))
    }

    /// The `failregex` entries on a line of which everything is to be told.
    fn rules_closely(
        &self,
        subject: &str,
        content: &str,
        line: &LineText,
        moment: Moment,
        memory: &mut Memory,
        closer: &mut Closer<'_>,
    ) -> Result<Verdict, RuleOverrun> {
        let mut first = None;
        for (index, rule) in self.rules.failregex.iter().enumerate() {
            if !search(rule, content, &mut memory.scratch, Some(index))? {
                continue;
            }
            closer.seen.hits.push(index);
            let hit = Hit::new(
                self,
                (index, rule),
                (content, &memory.scratch),
                (subject, &memory.prefix),
                Wanted::All,
            );
            let groups = closer::of_rule(rule, content, &memory.scratch);
            if self.ignores(content, memory)? {
                return Ok(first.unwrap_or(Verdict::Ignored));
            }
            let verdict =
                self.conclude_closely(&hit, groups, Lines::Several(vec![line.clone()]), moment, memory, closer);
            first.get_or_insert(verdict);
            if !closer.check_all {
                break;
            }
        }
        Ok(first.unwrap_or(Verdict::Miss))
    }

    pub(crate) fn ignores(&self, text: &str, memory: &mut Memory) -> Result<bool, RuleOverrun> {
        for rule in &self.rules.ignoreregex {
            if search(rule, text, &mut memory.scratch, None)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes which `ignoreregex` entries match, and tells whether the rules are not asked for that reason.
    pub(crate) fn ignored_as_a_whole(
        &self,
        subject: &str,
        memory: &mut Memory,
        closer: Option<&mut Closer<'_>>,
    ) -> Result<bool, RuleOverrun> {
        // Without a closer look this is asked for after a match, which is seldom.
        let Some(closer) = closer else { return Ok(false) };
        for (index, rule) in self.rules.ignoreregex.iter().enumerate() {
            if search(rule, subject, &mut memory.scratch, None)? {
                closer.seen.ignored_by.push(index);
            }
        }
        Ok(!closer.seen.ignored_by.is_empty() && self.ignores_first())
    }

    /// Which part of the text the `failregex` entries see; `None` if the `prefregex` does not match.
    pub(crate) fn content(
        &self,
        subject: &str,
        memory: &mut Memory,
        closer: Option<&mut Closer<'_>>,
    ) -> Result<Option<Range<usize>>, RuleOverrun> {
        let whole = 0..subject.len();
        let Some(rule) = &self.rules.prefregex else {
            return Ok(Some(whole));
        };
        if !search_alike(rule, subject, &mut memory.prefix, &mut memory.paths.prefregex, None)? {
            return Ok(None);
        }
        if let Some(closer) = closer {
            closer.seen.prefregex = true;
            closer.seen.prefix = closer::of_rule(rule, subject, &memory.prefix);
        }
        let inner = rule.groups.content.and_then(|number| memory.prefix.group(number));
        Ok(Some(inner.filter(|inner| !inner.is_empty()).unwrap_or(whole)))
    }

    /// Upstream asks `ignoreregex` before `failregex` only where there are markedly fewer of them.
    pub(crate) fn ignores_first(&self) -> bool {
        self.rules.ignoreregex.len() + 2 < self.rules.failregex.len()
    }

    /// [`Self::conclude`], and everything about it is told.
    pub(crate) fn conclude_closely(
        &self,
        hit: &Hit<'_>,
        groups: Groups,
        lines: Lines<'_>,
        moment: Moment,
        memory: &mut Memory,
        closer: &mut Closer<'_>,
    ) -> Verdict {
        let mut groups = closer::combined(closer.seen.prefix.clone(), groups);
        let id = groups
            .iter()
            .find(|(name, _)| &**name == "fid")
            .map(|(_, group)| group.clone());
        if let Some(id) = id.filter(|id| *id != Group::None)
            && let Some(address) = host::address(hit.captured).map(|address| Group::Text(address.into()))
            && address != id
        {
            groups.push(("ip".into(), address));
        }
        let mut found = RuleHit::new(hit.rule, groups);
        let verdict = self.conclude(hit, lines, moment, &mut memory.sessions, Some(&mut found));
        found.verdict = verdict.clone();
        closer.seen.found.push(found);
        verdict
    }

    /// From what a rule captured to a verdict.
    pub(crate) fn conclude(
        &self,
        hit: &Hit<'_>,
        lines: Lines<'_>,
        moment: Moment,
        sessions: &mut Sessions,
        mut closely: Option<&mut RuleHit>,
    ) -> Verdict {
        let Moment { at, clock } = moment;
        let who = match host::determine(hit.captured, self.usedns) {
            Ok(who) => who,
            Err(why) => return Verdict::Unusable(why),
        };
        let who = who.map(|who| tupled(who, hit.captured.fid, &hit.tuple));
        let rule = hit.rule;
        if let Some(found) = closely.as_deref_mut() {
            found.who.clone_from(&who);
            found.helps = hit.nofail;
        }
        let Some(key) = hit.mlfid else {
            return match who {
                Some(who) => Verdict::Match(Match {
                    who,
                    at,
                    rule,
                    lines: lines.into_vec(),
                    fields: hit.fields.to_fields(&self.rules),
                }),
                None => Verdict::Unusable("the rule captured neither an address nor an id"),
            };
        };
        let step = Step {
            who,
            fields: &hit.fields,
            lines,
            nofail: hit.nofail,
            gained: hit.gained,
            forget: hit.forget,
            brief: false,
            closely,
        };
        match sessions.step(key, step, &self.rules, clock.now) {
            Some(delivery) => Verdict::Match(Match {
                who: delivery.who,
                at,
                rule,
                lines: delivery.lines,
                fields: delivery.fields,
            }),
            None => Verdict::Ignored,
        }
    }
}

pub(crate) fn search(
    rule: &Rule,
    text: &str,
    scratch: &mut Scratch,
    index: Option<usize>,
) -> Result<bool, RuleOverrun> {
    rule.regex.search(text, scratch).map_err(|overrun| {
        rule.overruns.count();
        (index, overrun)
    })
}

/// The same with what is known of earlier lines of the log.
pub(crate) fn search_alike(
    rule: &Rule,
    text: &str,
    scratch: &mut Scratch,
    paths: &mut Paths,
    index: Option<usize>,
) -> Result<bool, RuleOverrun> {
    let literals = || rule.literal_sets().first().map(Vec::as_slice);
    rule.regex.search_by(text, scratch, paths, literals).map_err(|overrun| {
        rule.overruns.count();
        (index, overrun)
    })
}

/// The line as it is kept with a failure.
fn kept_line<'a>(text: &'a str, cut: &Range<usize>) -> Lines<'a> {
    let kept = beginning(text, LINE_KEPT);
    let date = if cut.end <= kept.len() { cut.clone() } else { 0..0 };
    Lines::One(kept, date)
}

fn kept(text: &str, cut: &Range<usize>) -> LineText {
    kept_line(text, cut).into_vec().pop().unwrap_or_default()
}

/// What is cut. Text that looks like a date is cut even if it is none (`Feb 30`), unless [`Memory::cut`] knows better: 1.0.2
/// does so, and rules that expect the date to be gone go on matching.
pub(crate) fn cut_of(found: Option<&Found>) -> Range<usize> {
    found.map_or(0..0, |found| found.range.clone())
}

impl Memory {
    /// What is cut, given the lines before: a text that is no date after all stays where the last date serves instead of it.
    pub(crate) fn cut(&self, found: Option<&Found>, clock: Clock) -> Range<usize> {
        let served = found.is_some_and(|found| found.time.is_none()) && self.recent(clock).is_some();
        if served { 0..0 } else { cut_of(found) }
    }

    /// The date that serves a line without one.
    fn recent(&self, clock: Clock) -> Option<Timestamp> {
        Self::serving(self.last_date, clock)
    }

    /// The date, if it serves lines without one.
    pub(crate) fn serving(last: Option<Timestamp>, clock: Clock) -> Option<Timestamp> {
        last.filter(|last| clock.now.secs().saturating_sub(last.secs()) < BELIEVED)
    }

    /// When a failure on this line happened (behaviour spec 3.7); `None` if too long ago to matter.
    pub(crate) fn event_time(&mut self, dated: Option<Timestamp>, clock: Clock) -> Option<Timestamp> {
        let Some(at) = dated else {
            let recent = self.recent(clock);
            self.dating = if recent.is_some() { Dating::Read } else { Dating::None };
            return Some(recent.map_or(clock.now, |last| last.min(clock.now)));
        };
        self.last_date = Some(at);
        self.dating = Dating::Read;
        let reading = if clock.in_operation {
            Reading::Operation
        } else {
            Reading::CatchUp
        };
        match Arrival::of(at, clock.now, reading, Seconds(clock.findtime)) {
            Arrival::At(at) => Some(at),
            Arrival::Shifted(shifted) => {
                self.dating = Dating::Shifted(at);
                Some(shifted)
            }
            Arrival::TooOld => None,
        }
    }
}

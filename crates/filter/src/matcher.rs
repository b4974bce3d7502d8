//! One jail's answer to one line: date, `prefregex`, `failregex`, `ignoreregex`, sessions, in Fail2Ban's order.

use std::ops::Range;

use stockade_core::{Arrival, Fields, LineText, Reading, Seconds, Timestamp};
use stockade_regex::{Overrun, Scratch};

use crate::date::Found;
use crate::failregex::{Groups, Rule};
use crate::host::{self, Captured};
use crate::line;
use crate::mlfid::Step;
use crate::{Clock, DateHit, Dating, Examination, Filter, Match, Memory, Verdict, Who};

/// Seconds within which a date is believed while the log is followed, and for which a date serves dateless lines.
const BELIEVED: i64 = 60;

/// So much of a line is kept for mails and tags; rules see all of it.
const LINE_KEPT: usize = 8 << 10;

/// So much of a field's value is kept: no program takes a longer user name.
pub(crate) const FIELD_KEPT: usize = 4 << 10;

/// How thoroughly to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Lines that cannot match are passed over.
    Gated,
    /// Every line is looked at.
    Plain,
}

impl Filter {
    /// `given`: the time, if the source knows it (a journal); then no date is looked for in the line.
    pub(crate) fn run(
        &self,
        bytes: &[u8],
        given: Option<Timestamp>,
        clock: Clock,
        memory: &mut Memory,
        effort: Effort,
    ) -> Verdict {
        let mut decoded = std::mem::take(&mut memory.buffers.decoded);
        let text = line::decode(bytes, &mut decoded);
        let verdict = self.run_text(text, given, clock, memory, effort);
        memory.buffers.decoded = decoded;
        verdict
    }

    fn run_text(
        &self,
        text: &str,
        given: Option<Timestamp>,
        clock: Clock,
        memory: &mut Memory,
        effort: Effort,
    ) -> Verdict {
        let admitted = match (&self.gate, effort) {
            (Some(gate), Effort::Gated) => gate.admits(text.as_bytes()),
            _ => true,
        };
        let found = match given {
            Some(_) => None,
            None => self.dates.find(text, clock.now, &mut memory.dates, &mut memory.scratch),
        };
        let dated = given.or_else(|| found.as_ref()?.time);
        let cut = cut_of(found.as_ref());
        if let (false, Some(gate)) = (admitted, &self.gate) {
            let before = text.as_bytes().get(..cut.start).unwrap_or(&[]);
            let after = text.as_bytes().get(cut.end..).unwrap_or(&[]);
            if !gate.admits_across(before, after, &mut memory.buffers.joint) {
                if dated.is_some() {
                    memory.last_date = dated;
                }
                return Verdict::Miss;
            }
        }
        let Some(at) = memory.event_time(dated, clock) else {
            return Verdict::TooOld;
        };
        let mut buffer = std::mem::take(&mut memory.buffers.subject);
        let subject = line::subject(text, &cut, &mut buffer);
        let verdict = self.rules_on(text, subject, &cut, at, clock, memory, None);
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
        given: Option<Timestamp>,
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
        let dated = given.or_else(|| found.as_ref()?.time);
        let cut = cut_of(found.as_ref());
        let mut seen = Examination {
            date: found.as_ref().map(|found| DateHit {
                template: found.template,
                name: self.dates.names().nth(found.template).unwrap_or("").to_owned(),
                range: found.range.clone(),
                time: found.time,
            }),
            prefregex: false,
            hits: Vec::new(),
            ignored_by: Vec::new(),
            verdict: Verdict::Miss,
        };
        let Some(at) = memory.event_time(dated, clock) else {
            seen.verdict = Verdict::TooOld;
            return seen;
        };
        let mut buffer = String::new();
        let subject = line::subject(text, &cut, &mut buffer);
        let mut closer = Closer {
            check_all,
            seen: &mut seen,
        };
        let verdict = self.rules_on(text, subject, &cut, at, clock, memory, Some(&mut closer));
        seen.verdict = verdict.unwrap_or_else(|(rule, Overrun)| Verdict::Overrun(rule));
        seen
    }

    /// Tries the rules on a line whose date is cut out.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one line, all borrowed from different places"
    )]
    fn rules_on(
        &self,
        text: &str,
        subject: &str,
        cut: &Range<usize>,
        at: Timestamp,
        clock: Clock,
        memory: &mut Memory,
        mut closer: Option<&mut Closer<'_>>,
    ) -> Result<Verdict, (Option<usize>, Overrun)> {
        if let Some(closer) = closer.as_deref_mut() {
            for (index, rule) in self.rules.ignoreregex.iter().enumerate() {
                if search(rule, subject, &mut memory.scratch, None)? {
                    closer.seen.ignored_by.push(index);
                }
            }
            // The rules are not asked about a line that is ignored as a whole.
            if !closer.seen.ignored_by.is_empty() && self.ignores_first() {
                return Ok(Verdict::Ignored);
            }
        }
        let mut content = subject;
        if let Some(rule) = &self.rules.prefregex {
            if !search(rule, subject, &mut memory.prefix, None)? {
                return Ok(Verdict::Miss);
            }
            if let Some(closer) = closer.as_deref_mut() {
                closer.seen.prefregex = true;
            }
            let inner = rule
                .groups
                .content
                .and_then(|number| subject.get(memory.prefix.group(number)?));
            content = inner.filter(|inner| !inner.is_empty()).unwrap_or(subject);
        }
        let mut first: Option<Hit<'_>> = None;
        for (index, rule) in self.rules.failregex.iter().enumerate() {
            if !search(rule, content, &mut memory.scratch, Some(index))? {
                continue;
            }
            if let Some(closer) = closer.as_deref_mut() {
                closer.seen.hits.push(index);
            }
            if first.is_none() {
                first = Some(Hit::new(
                    index,
                    rule,
                    content,
                    &memory.scratch,
                    self,
                    subject,
                    &memory.prefix,
                ));
            }
            if !closer.as_deref().is_some_and(|closer| closer.check_all) {
                break;
            }
        }
        let Some(hit) = first else { return Ok(Verdict::Miss) };
        // The whole line was asked for first where that is cheap; asking after a match gives the same answer.
        for rule in &self.rules.ignoreregex {
            if search(rule, content, &mut memory.scratch, None)?
                || (self.ignores_first() && search(rule, subject, &mut memory.scratch, None)?)
            {
                return Ok(Verdict::Ignored);
            }
        }
        let kept = beginning(text, LINE_KEPT);
        let line = LineText {
            text: kept.into(),
            date: if cut.end <= kept.len() { cut.clone() } else { 0..0 },
        };
        Ok(self.conclude(hit, line, at, clock, memory))
    }

    /// Upstream asks `ignoreregex` before `failregex` only where there are markedly fewer of them.
    fn ignores_first(&self) -> bool {
        self.rules.ignoreregex.len() + 2 < self.rules.failregex.len()
    }

    /// From what a rule captured to a verdict.
    fn conclude(&self, hit: Hit<'_>, line: LineText, at: Timestamp, clock: Clock, memory: &mut Memory) -> Verdict {
        let who = match host::determine(hit.captured, self.usedns) {
            Ok(who) => who,
            Err(why) => return Verdict::Unusable(why),
        };
        let who = who.map(|who| tupled(who, &hit.fields));
        let rule = hit.rule;
        let Some(key) = hit.mlfid else {
            return match who {
                Some(who) => Verdict::Match(Match {
                    who,
                    at,
                    rule,
                    lines: vec![line],
                    fields: hit.fields,
                }),
                None => Verdict::Unusable("the rule captured neither an address nor an id"),
            };
        };
        let step = Step {
            who,
            fields: hit.fields,
            line,
            nofail: hit.nofail,
            gained: hit.gained,
            forget: hit.forget,
        };
        match memory.sessions.step(key, step, clock.now) {
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

/// Collects what a closer look sees.
struct Closer<'a> {
    check_all: bool,
    seen: &'a mut Examination,
}

/// What the first rule that matched captured.
struct Hit<'a> {
    rule: usize,
    captured: Captured<'a>,
    mlfid: Option<&'a str>,
    nofail: bool,
    gained: bool,
    forget: bool,
    fields: Fields,
}

impl<'a> Hit<'a> {
    fn new(
        index: usize,
        rule: &Rule,
        content: &'a str,
        scratch: &Scratch,
        filter: &Filter,
        subject: &'a str,
        prefix: &Scratch,
    ) -> Self {
        let pre = filter.rules.prefregex.as_ref();
        let group = |pick: fn(&Groups) -> Option<usize>| -> Option<&'a str> {
            let own = pick(&rule.groups).and_then(|number| content.get(scratch.group(number)?));
            own.or_else(|| subject.get(prefix.group(pick(&pre?.groups)?)?))
        };
        let mut fields = Fields::default();
        if let Some(pre) = pre {
            add_fields(pre, subject, prefix, &mut fields);
        }
        add_fields(rule, content, scratch, &mut fields);
        fill_alternatives(&mut fields);
        Self {
            rule: index,
            captured: Captured {
                fid: group(|groups| groups.fid),
                ip4: group(|groups| groups.ip4),
                ip6: group(|groups| groups.ip6),
                cidr: group(|groups| groups.cidr),
                dns: group(|groups| groups.dns),
            },
            mlfid: group(|groups| groups.mlfid).filter(|key| !key.is_empty()),
            nofail: group(|groups| groups.nofail).is_some(),
            gained: group(|groups| groups.gained).is_some(),
            forget: group(|groups| groups.forget).is_some(),
            fields,
        }
    }
}

/// Named groups that took part, later ones over earlier ones.
fn add_fields(rule: &Rule, text: &str, scratch: &Scratch, fields: &mut Fields) {
    for (name, number) in rule.regex.names() {
        if &**name == "content" {
            continue;
        }
        if let Some(value) = scratch.group(*number).and_then(|range| text.get(range)) {
            fields.set(name, beginning(value, FIELD_KEPT));
        }
    }
}

/// At most so many bytes of a text, in whole characters.
pub(crate) fn beginning(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

/// `alt_user`, `alt_user1`, `alt_user_2` stand in for a missing `user`.
fn fill_alternatives(fields: &mut Fields) {
    let mut stand_ins: Vec<(String, String)> = Vec::new();
    for (name, value) in fields.iter() {
        let Some(target) = name.strip_prefix("alt_").filter(|_| !value.is_empty()) else {
            continue;
        };
        let target = target
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .trim_end_matches('_');
        let missing = fields.get(target).is_none_or(str::is_empty);
        if missing && !stand_ins.iter().any(|(known, _)| known == target) {
            stand_ins.push((target.to_owned(), value.to_owned()));
        }
    }
    for (name, value) in stand_ins {
        fields.set(&name, &value);
    }
}

/// `<F-TUPLE_ID>`: the id together with further text, written as Python writes tuples.
fn tupled(who: Who, fields: &Fields) -> Who {
    let mut parts = fields
        .iter()
        .filter(|(name, _)| {
            name.strip_prefix("tuple_id")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
        .map(|(_, value)| quoted(value))
        .peekable();
    if parts.peek().is_none() {
        return who;
    }
    let base = match &who {
        Who::Id(id) => id.to_string(),
        Who::Name(name) => name.to_string(),
    };
    let rest: Vec<String> = parts.collect();
    Who::Id(stockade_core::FailureId::Text(
        format!("({}, {})", quoted(&base), rest.join(", ")).into(),
    ))
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

fn search(
    rule: &Rule,
    text: &str,
    scratch: &mut Scratch,
    index: Option<usize>,
) -> Result<bool, (Option<usize>, Overrun)> {
    rule.regex.search(text, scratch).map_err(|overrun| (index, overrun))
}

/// What is cut. Text that looks like a date is cut even if it is none (`Feb 30`): 1.0.2 does so, and rules that expect
/// the date to be gone go on matching.
fn cut_of(found: Option<&Found>) -> Range<usize> {
    found.map_or(0..0, |found| found.range.clone())
}

impl Memory {
    /// When a failure on this line happened (behaviour spec 3.7); `None` if too long ago to matter.
    fn event_time(&mut self, dated: Option<Timestamp>, clock: Clock) -> Option<Timestamp> {
        let now = clock.now.secs();
        let Some(at) = dated else {
            let recent = self.last_date.filter(|last| now.saturating_sub(last.secs()) < BELIEVED);
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

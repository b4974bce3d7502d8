//! A block of lines at once, and everything that the report of `fail2ban-regex` counts.
//!
//! What is told is what [`Filter::examine`] says line by line, without texts and groups; tested on all stock filters. Lines
//! without a literal are passed over as in `scan.rs`, but for the question whether the `prefregex` matches them. Start
//! reading at [`Filter::survey`].

use std::ops::Range;

use memchr::memrchr;
use stockade_core::Timestamp;

use crate::ahead::Steps;
use crate::closer::RuleHit;
use crate::date::Alike;
use crate::failregex::Rule;
use crate::gate::Gate;
use crate::hit::{Hit, Lines, Named, Wanted};
use crate::matcher::{RuleOverrun, search, search_alike};
use crate::mlfid::Step;
use crate::scan::{Passed, first_line};
use crate::{Clock, Filter, Memory, Who, host, line};

/// What is told of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surveyed<'a> {
    /// Lines that no `failregex` matches.
    Passed {
        /// All of them, with their ends.
        lines: &'a [u8],
        /// How many they are.
        count: u64,
        /// How many of them `prefregex` matches.
        prefixed: u64,
    },
    /// A line that some rule matches, or of which that could not be told.
    Line(&'a [u8], &'a Glance),
}

/// What the rules say of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Whether `prefregex` matched.
    pub prefregex: bool,
    /// The search was given up: it took too many steps.
    pub overran: bool,
    /// An `ignoreregex` matched that was asked first, or after a `failregex` had matched.
    pub ignored: bool,
    /// The first `ignoreregex` that matches the line as a whole; it says nothing if the line is not `ignored`.
    pub ignored_by: Option<usize>,
    /// The rules that matched, in order: the first only, unless all were asked for.
    pub found: Vec<Glimpse>,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// Number of the failregex, from 0.
    pub rule: usize,
    /// The line only helps to understand others.
    pub helps: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// It stands for the step of a session that is not made yet.
    pub(crate) later: bool,
}

/// What came of a rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A failure.
    Match(Who),
    /// It only adds to a session, which may know by now who it is.
    Held(Option<Who>),
    /// Nobody can be held responsible.
    Unusable,
}

/// Times closer than this to the bound of what is too old are compared line by line.
const DAYS: i64 = 3 * 86_400;

impl Filter {
    /// Whether [`Filter::survey`] can be asked: rules over several lines need [`Filter::examine`], and so do ids put together
    /// of several groups.
    pub fn can_survey(&self) -> bool {
        let rules = self.rules.prefregex.iter().chain(&self.rules.failregex);
        let mut names = rules.flat_map(|rule| rule.regex.names());
        self.maxlines <= 1
            && !names.any(|(name, _)| name.starts_with("tuple_"))
            && self.gate.as_ref().is_none_or(Gate::sees_bytes)
    }

    /// Goes through a block of whole lines and tells what [`Filter::examine`] would of each, in order; with `check_all` every
    /// `failregex` is tried.
    pub fn survey(
        &self,
        block: &[u8],
        clock: Clock,
        memory: &mut Memory,
        check_all: bool,
        each: &mut dyn FnMut(Surveyed<'_>),
    ) {
        self.survey_with(block, clock, memory, check_all, None, each);
    }

    /// [`Self::survey`]; with `later` the steps of sessions are not made but noted there.
    pub(crate) fn survey_with(
        &self,
        block: &[u8],
        clock: Clock,
        memory: &mut Memory,
        check_all: bool,
        later: Option<&mut Steps>,
        each: &mut dyn FnMut(Surveyed<'_>),
    ) {
        let own = memory.tuning.take();
        let gate = own.as_ref().or(self.gate.as_ref());
        let mut survey = Survey {
            filter: self,
            clock,
            check_all,
            glance: Glance::default(),
            later,
            each,
        };
        let mut vain = 0;
        let mut at = 0;
        while let Some(rest) = block.get(at..).filter(|rest| !rest.is_empty()) {
            let hit = gate.map_or(Some(0), |gate| gate.first(rest));
            let start = match hit {
                Some(hit) => memrchr(b'\n', rest.get(..hit).unwrap_or_default()).map_or(0, |end| end + 1),
                None => rest.len(),
            };
            if let (Some(gate), Some(before)) = (gate, rest.get(..start).filter(|before| !before.is_empty())) {
                survey.pass(before, gate, memory);
            }
            at += start;
            if hit.is_some() {
                let rest = rest.get(start..).unwrap_or_default();
                let (line, length) = first_line(rest);
                at += length;
                survey.look(line, None, memory);
                vain += usize::from(survey.glance.found.is_empty());
                survey.tell(line, rest.get(..length).unwrap_or_default());
            }
        }
        if gate.is_some() {
            memory.tuning.done(own, &self.rules, block, vain);
        }
    }

    /// How many lines had a date of this template.
    pub fn date_hits(&self, number: usize, memory: &Memory) -> u64 {
        memory.dates.hits(number)
    }
}

struct Survey<'a> {
    filter: &'a Filter,
    clock: Clock,
    check_all: bool,
    glance: Glance,
    later: Option<&'a mut Steps>,
    each: &'a mut dyn FnMut(Surveyed<'_>),
}

/// The literals of the `prefregex`: most lines of some logs hold none.
struct PrefixLiterals<'a> {
    /// None if it is not worth it.
    gate: Option<&'a Gate>,
    /// Where the next one is.
    next: Option<usize>,
}

/// So many lines are tried before it is asked how many hold one.
const TRIED: u64 = 1_000;
/// After so many lines half of them are forgotten.
const FORGOTTEN: u64 = 1 << 20;

impl PrefixLiterals<'_> {
    /// Whether a line may be matched; asked of one after the other.
    fn may_match(&mut self, lines: &[u8], line: Range<usize>, alike: &Alike<'_>) -> bool {
        let Some(gate) = self.gate.filter(|gate| !gate.may_cross(alike.before())) else {
            return true;
        };
        let next = self.next.filter(|next| *next >= line.start).unwrap_or_else(|| {
            let rest = lines.get(line.start..).unwrap_or_default();
            gate.first(rest).map_or(lines.len(), |hit| line.start + hit)
        });
        self.next = Some(next);
        next < line.end
    }
}

impl<'a> Survey<'a> {
    fn tell(&mut self, line: &[u8], whole: &[u8]) {
        let nothing = self.glance.found.is_empty() && !self.glance.overran && !self.glance.ignored;
        (self.each)(if nothing {
            Surveyed::Passed {
                lines: whole,
                count: 1,
                prefixed: u64::from(self.glance.prefregex),
            }
        } else {
            Surveyed::Line(line, &self.glance)
        });
    }

    /// Goes over lines that hold no literal.
    fn pass(&mut self, lines: &[u8], gate: &Gate, memory: &mut Memory) {
        let mut place = 0;
        let mut prefix = self.prefix_literals(memory);
        while place < lines.len() {
            let begin = place;
            let (passed, prefixed) = self.pass_alike(lines, &mut place, gate, &mut prefix, memory);
            self.filter.settle(lines, passed, self.clock, memory);
            if passed.count > 0 {
                (self.each)(Surveyed::Passed {
                    lines: lines.get(begin..place).unwrap_or_default(),
                    count: u64::from(passed.count),
                    prefixed,
                });
            }
            // What stopped it is not alike, or too much for the quick question.
            if let Some(rest) = lines.get(place..).filter(|rest| !rest.is_empty()) {
                let (line, length) = first_line(rest);
                place += length;
                self.look(line, Some(gate), memory);
                self.tell(line, rest.get(..length).unwrap_or_default());
            }
        }
    }

    /// Goes over lines that begin as the last one did; also how many of them `prefregex` matches.
    fn pass_alike(
        &self,
        lines: &[u8],
        place: &mut usize,
        gate: &Gate,
        prefix: &mut PrefixLiterals<'_>,
        memory: &mut Memory,
    ) -> (Passed, u64) {
        let mut passed = Passed::default();
        let mut prefixed = 0;
        let Some(alike) = memory.dates.alike().filter(|alike| !gate.may_cross(alike.before())) else {
            return (passed, prefixed);
        };
        if !self.clock.in_operation && self.is_old(alike.time()) {
            return (passed, prefixed);
        }
        while let Some(rest) = lines.get(*place..).filter(|rest| !rest.is_empty()) {
            let (line, length) = first_line(rest);
            if !alike.accepts(line) {
                break;
            }
            let rules = &self.filter.rules;
            let may_be_prefixed = rules.prefregex.is_some() && prefix.may_match(lines, *place..*place + length, &alike);
            memory.passed.all += 1;
            memory.passed.of_them += u64::from(may_be_prefixed);
            if may_be_prefixed || !rules.ignoreregex.is_empty() {
                let cut = alike.cut(line);
                // The rule sees a line end.
                let whole = rest
                    .get(cut.end..length)
                    .filter(|_| cut.start == 0 && length == line.len() + 1);
                let subject = if let Some(subject) = whole {
                    subject
                } else {
                    let joint = &mut memory.buffers.joint;
                    joint.clear();
                    joint.extend_from_slice(line.get(..cut.start).unwrap_or_default());
                    joint.extend_from_slice(line.get(cut.end..).unwrap_or_default());
                    joint.push(b'\n');
                    joint
                };
                let quick = |rule: &Rule| rule.regex.is_match_of_line(subject);
                let prefix = rules.prefregex.as_ref().map_or(Some(false), quick);
                let Some(matches) = prefix.filter(|_| rules.ignoreregex.iter().all(|rule| quick(rule) == Some(false)))
                else {
                    break;
                };
                prefixed += u64::from(matches);
            }
            passed = Passed {
                count: passed.count.saturating_add(1),
                last: *place,
            };
            *place += length;
        }
        (passed, prefixed)
    }

    /// What to ask before the `prefregex` of lines that no `failregex` matches.
    fn prefix_literals(&self, memory: &mut Memory) -> PrefixLiterals<'a> {
        let share = &mut memory.passed;
        if share.all >= FORGOTTEN {
            (share.all, share.of_them) = (share.all / 2, share.of_them / 2);
        }
        let worth_it = self.filter.rules.prefregex.is_some() && (share.all < TRIED || share.of_them < share.all / 2);
        let filter = self.filter;
        let gate = || {
            filter
                .prefix_gate
                .get_or_init(|| Gate::of_prefregex(&filter.rules))
                .as_ref()
        };
        PrefixLiterals {
            gate: if worth_it { gate() } else { None },
            next: None,
        }
    }

    /// Whether lines of this day may be too old to be asked.
    fn is_old(&self, time: Option<Timestamp>) -> bool {
        let bound = self.clock.now.secs().saturating_sub(self.clock.findtime);
        time.is_none_or(|time| time.secs() < bound.saturating_add(DAYS))
    }

    /// Asks the rules about one line; with a gate the `failregex` list only if it is admitted.
    fn look(&mut self, line: &[u8], gate: Option<&Gate>, memory: &mut Memory) {
        self.glance.prefregex = false;
        self.glance.overran = false;
        self.glance.ignored = false;
        self.glance.ignored_by = None;
        self.glance.found.clear();
        let mut decoded = std::mem::take(&mut memory.buffers.decoded);
        let mut subject = std::mem::take(&mut memory.buffers.subject);
        let text = line::decode(line, &mut decoded);
        if self.look_at(text, gate, memory, &mut subject).is_err() {
            self.glance.overran = true;
        }
        memory.buffers.decoded = decoded;
        memory.buffers.subject = subject;
    }

    fn look_at(
        &mut self,
        text: &str,
        gate: Option<&Gate>,
        memory: &mut Memory,
        buffer: &mut String,
    ) -> Result<(), RuleOverrun> {
        let (filter, clock) = (self.filter, self.clock);
        let found = filter
            .dates
            .find(text, clock.now, &mut memory.dates, &mut memory.scratch);
        let cut = memory.cut(found.as_ref(), clock);
        if memory.event_time(found.and_then(|found| found.time), clock).is_none() {
            return Ok(());
        }
        let subject = line::subject(text, &cut, buffer);
        let admitted = gate.is_none_or(|gate| {
            let part = |range: Range<usize>| text.as_bytes().get(range).unwrap_or_default();
            let joint = &mut memory.buffers.joint;
            gate.admits(text.as_bytes()) || gate.admits_across(part(0..cut.start), part(cut.end..text.len()), joint)
        });
        for (index, rule) in filter.rules.ignoreregex.iter().enumerate() {
            if search(rule, subject, &mut memory.scratch, None)? {
                self.glance.ignored_by.get_or_insert(index);
            }
        }
        if self.glance.ignored_by.is_some() && filter.ignores_first() {
            self.glance.ignored = true;
            return Ok(());
        }
        let content = match &filter.rules.prefregex {
            None => Some(0..subject.len()),
            Some(rule) if !admitted => {
                let quick = rule.regex.is_match_of_line(subject.as_bytes());
                let matches = match quick {
                    Some(matches) => matches,
                    None => search(rule, subject, &mut memory.prefix, None)?,
                };
                matches.then_some(0..0)
            }
            Some(_) => filter.content(subject, memory, None)?,
        };
        self.glance.prefregex = content.is_some() && filter.rules.prefregex.is_some();
        let Some(content) = content.filter(|_| admitted) else {
            return Ok(());
        };
        let content = subject.get(content).unwrap_or(subject);
        for (index, rule) in filter.rules.candidates(content) {
            let paths = memory.paths.of_failregex(index);
            if !search_alike(rule, content, &mut memory.scratch, paths, Some(index))? {
                continue;
            }
            let hit = Hit::new(
                filter,
                (index, rule),
                (content, &memory.scratch),
                (subject, &memory.prefix),
                Wanted::User,
            );
            if filter.ignores(content, memory)? {
                self.glance.ignored = true;
                break;
            }
            let glimpse = filter.conclude_briefly(&hit, clock, memory, self.later.as_deref_mut());
            self.glance.found.push(glimpse);
            if !self.check_all {
                break;
            }
        }
        Ok(())
    }
}

impl Filter {
    /// [`Filter::conclude`] without lines and groups.
    fn conclude_briefly(&self, hit: &Hit<'_>, clock: Clock, memory: &mut Memory, later: Option<&mut Steps>) -> Glimpse {
        let glimpse = |helps, outcome| Glimpse {
            rule: hit.rule,
            helps,
            outcome,
            later: false,
        };
        let Ok(who) = host::determine(hit.captured, self.usedns) else {
            return glimpse(false, Outcome::Unusable);
        };
        let Some(key) = hit.mlfid else {
            return glimpse(hit.nofail, who.map_or(Outcome::Unusable, Outcome::Match));
        };
        // Of the fields only the user has a say in what comes out.
        let mut fields = Named::default();
        if let Some(user) = self.rules.user
            && let Some(name) = hit.fields.get(user)
        {
            fields.set(user, name);
        }
        let step = Step {
            who,
            fields: &fields,
            lines: Lines::Several(Vec::new()),
            nofail: hit.nofail,
            gained: hit.gained,
            forget: hit.forget,
            brief: true,
            closely: None,
        };
        match later {
            Some(later) => later.note(hit.rule, key, step),
            None => self.step_briefly(hit.rule, key, step, clock, memory),
        }
    }

    /// Makes the step of a session.
    pub(crate) fn step_briefly(
        &self,
        rule: usize,
        key: &str,
        step: Step<'_>,
        clock: Clock,
        memory: &mut Memory,
    ) -> Glimpse {
        let mut told = RuleHit::new(rule, Vec::new());
        let delivery = {
            let step = Step {
                closely: Some(&mut told),
                ..step
            };
            memory.sessions.step(key, step, &self.rules, clock.now)
        };
        Glimpse {
            rule,
            helps: told.helps,
            outcome: match delivery {
                Some(delivery) => Outcome::Match(delivery.who),
                None => Outcome::Held(told.who),
            },
            later: false,
        }
    }
}

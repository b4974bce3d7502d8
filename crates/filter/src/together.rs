//! A block of lines for all filters that read the same log: dates are found once, and lines no filter can match are passed
//! over once.
//!
//! What each filter says, and remembers, is what [`Filter::scan`] alone would: the date of a line depends on the lines
//! before it and not on rules, so filters that date lines the same way and have seen the same lines share it. Which these
//! are is found anew for every block ([`groups`]); the others are asked alone. Start reading at [`scan`].

use std::ops::ControlFlow;

use memchr::memchr;
use stockade_core::Timestamp;
use stockade_regex::Scratch;

use crate::date::{DateState, Found};
use crate::gate::Gate;
use crate::matcher::cut_of;
use crate::{Clock, Filter, Memory, Verdict, line};

/// A filter that reads a log, and what it remembers of it.
#[derive(Debug)]
pub struct Reader<'a> {
    /// The rules.
    pub filter: &'a Filter,
    /// By which findtime; the other parts are the same for all readers of a group.
    pub clock: Clock,
    /// What is remembered of this log.
    pub memory: &'a mut Memory,
}

/// How far a group has come, so that whoever catches a panic can tell whose it was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Lines before it have been judged by all.
    pub line: usize,
    /// What is behind it has been judged by nobody.
    pub at: usize,
    /// Who judges the line between: readers before it have.
    pub reader: usize,
}

/// Divides readers of one log into those that can go together, in order.
pub fn groups<'a: 'b, 'b, T: 'b>(readers: Vec<T>, of: impl Fn(&T) -> &Reader<'a>) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    for reader in readers {
        let place = groups
            .iter()
            .position(|group| group.first().is_some_and(|first| goes_with(of(first), of(&reader))));
        match place.and_then(|place| groups.get_mut(place)) {
            Some(group) => group.push(reader),
            None => groups.push(vec![reader]),
        }
    }
    groups
}

/// Whether two readers date lines alike, from here on.
fn goes_with(first: &Reader<'_>, other: &Reader<'_>) -> bool {
    let gated = |reader: &Reader<'_>| {
        let filter = reader.filter;
        filter.maxlines <= 1 && filter.gate.as_ref().is_some_and(Gate::sees_bytes)
    };
    gated(first)
        && gated(other)
        && first.filter.dates.is_like(&other.filter.dates)
        && first.clock.now == other.clock.now
        && first.memory.dates == other.memory.dates
}

/// A reader on its way through a block.
struct Member<'a, 'b> {
    reader: &'a mut Reader<'b>,
    /// The gate tuned to this log, if it is not the filter's own.
    tuned: Option<Gate>,
    /// Where the line begins in which its next literal is.
    next: usize,
    /// Lines looked at in vain.
    vain: usize,
}

impl Member<'_, '_> {
    fn gate(&self) -> Option<&Gate> {
        self.tuned.as_ref().or(self.reader.filter.gate.as_ref())
    }

    /// Looks for the next line that holds a literal.
    fn seek(&mut self, block: &[u8], from: usize) {
        let rest = block.get(from..).unwrap_or_default();
        self.next = match self.gate().and_then(|gate| gate.first(rest)) {
            Some(hit) => {
                let before = rest.get(..hit).unwrap_or_default();
                from + memchr::memrchr(b'\n', before).map_or(0, |end| end + 1)
            }
            None => block.len(),
        };
    }
}

/// Is told the number of a reader and what became of a line; may end it.
type Judged<'a> = dyn FnMut(usize, &[u8], Verdict, &Memory) -> ControlFlow<()> + 'a;

/// Judges a block of whole lines for a group (see [`groups`]), and tells `each` the number of the reader and what became of
/// a line, as [`Filter::scan`] does. Goes on where `progress` says.
pub fn scan(readers: &mut [Reader<'_>], block: &[u8], progress: &mut Progress, each: &mut Judged<'_>) {
    let begin = progress.at;
    let Some(leader) = readers.first_mut() else { return };
    let (filter, now) = (leader.filter, leader.clock.now);
    let mut shared = Shared {
        filter,
        now,
        dates: std::mem::take(&mut leader.memory.dates),
        scratch: std::mem::take(&mut leader.memory.scratch),
        last: None,
    };
    let mut members: Vec<Member<'_, '_>> = readers
        .iter_mut()
        .map(|reader| {
            let mut member = Member {
                tuned: reader.memory.tuning.take(),
                reader,
                next: begin,
                vain: 0,
            };
            member.seek(block, begin);
            member
        })
        .collect();
    // The outcome only says who ended it.
    let _ = shared.walk(&mut members, block, progress, each);
    let seen = block.get(begin..progress.at).unwrap_or_default();
    for member in members {
        shared.serve(member.reader.memory);
        let Member {
            reader, tuned, vain, ..
        } = member;
        reader.memory.tuning.done(tuned, &reader.filter.rules, seen, vain);
        reader.memory.dates.clone_from(&shared.dates);
    }
    if let Some(leader) = readers.first_mut() {
        leader.memory.dates = shared.dates;
        leader.memory.scratch = shared.scratch;
    }
}

impl Filter {
    /// Whether a block is looked at as it is: then it may be judged together with other filters.
    pub fn reads_as_it_is(&self, block: &[u8]) -> bool {
        self.encoding.leaves(block)
    }
}

impl Memory {
    /// Whether both dated the lines so far alike; for tests.
    #[doc(hidden)]
    pub fn has_dates_of(&self, other: &Self) -> bool {
        self.dates == other.dates && self.last_date == other.last_date
    }

    /// Forgets what dates the lines so far had, which a panic may have left half changed.
    pub fn forget_dates(&mut self) {
        self.dates = DateState::default();
    }
}

/// What a group has in common.
struct Shared<'a> {
    filter: &'a Filter,
    now: Timestamp,
    dates: DateState,
    scratch: Scratch,
    /// The last date of this block.
    last: Option<Timestamp>,
}

impl Shared<'_> {
    /// The last date serves the lines without one.
    fn serve(&self, memory: &mut Memory) {
        if self.last.is_some() {
            memory.last_date = self.last;
        }
    }

    fn date(&mut self, text: &str) -> Option<Found> {
        self.filter
            .dates
            .find(text, self.now, &mut self.dates, &mut self.scratch)
    }

    fn walk(
        &mut self,
        members: &mut [Member<'_, '_>],
        block: &[u8],
        progress: &mut Progress,
        each: &mut Judged<'_>,
    ) -> ControlFlow<()> {
        let mut decoded = String::new();
        // Lines in a row that begin as the one before, and the last of them.
        let mut alike = (0_u32, 0..0);
        let mut may_pass = None;
        let mut next = members.iter().map(|member| member.next).min().unwrap_or(block.len());
        let mut place = progress.at;
        while place < block.len() {
            let rest = block.get(place..).unwrap_or_default();
            let length = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let end = place + length;
            if place < next {
                let may_pass = *may_pass.get_or_insert_with(|| self.may_pass(members));
                let bytes = line_of(block, place, end);
                if may_pass && self.dates.alike().is_some_and(|alike| alike.accepts(bytes)) {
                    alike = (alike.0 + 1, place..end);
                    place = end;
                    continue;
                }
            }
            self.settle(block, std::mem::take(&mut alike), &mut decoded);
            *progress = Progress {
                line: place,
                at: end,
                reader: 0,
            };
            let bytes = line_of(block, place, end);
            let text = line::decode(bytes, &mut decoded);
            let replaced = !std::ptr::eq(text.as_bytes(), bytes);
            let found = self.date(text);
            may_pass = None;
            let dated = found.as_ref().and_then(|found| found.time);
            for (number, member) in members.iter_mut().enumerate() {
                progress.reader = number;
                self.judge(
                    member,
                    (text, bytes),
                    (place, replaced),
                    found.as_ref(),
                    |verdict, memory| each(number, bytes, verdict, memory),
                )?;
                if member.next == place {
                    member.seek(block, end);
                }
            }
            if dated.is_some() {
                self.last = dated;
            }
            next = members.iter().map(|member| member.next).min().unwrap_or(block.len());
            place = end;
        }
        self.settle(block, alike, &mut decoded);
        *progress = Progress {
            line: block.len(),
            at: block.len(),
            reader: 0,
        };
        ControlFlow::Continue(())
    }

    /// Asks one reader about a line.
    fn judge(
        &self,
        member: &mut Member<'_, '_>,
        (text, bytes): (&str, &[u8]),
        (place, replaced): (usize, bool),
        found: Option<&Found>,
        each: impl FnOnce(Verdict, &Memory) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let admitted = member.next == place || {
            let cut = cut_of(found);
            let before = text.as_bytes().get(..cut.start).unwrap_or_default();
            let after = text.as_bytes().get(cut.end..).unwrap_or_default();
            let crosses = |last: u8| member.gate().is_some_and(|gate| gate.may_cross_behind(last));
            let crosses = before.last().is_some_and(|last| crosses(*last));
            let mut joint = std::mem::take(&mut member.reader.memory.buffers.joint);
            let admitted = crosses
                && member
                    .gate()
                    .is_some_and(|gate| gate.admits_across(before, after, &mut joint));
            member.reader.memory.buffers.joint = joint;
            admitted
        };
        if !admitted && !replaced {
            return ControlFlow::Continue(());
        }
        let Reader { filter, clock, memory } = &mut *member.reader;
        self.serve(memory);
        memory.replaced = !std::ptr::eq(text.as_bytes(), bytes);
        let verdict = if admitted {
            filter.run_dated(text, found, *clock, memory)
        } else {
            Verdict::Miss
        };
        member.vain += usize::from(verdict == Verdict::Miss);
        each(verdict, memory)
    }

    /// Whether no literal of any reader may arise where the date is cut out of lines that begin as the last one.
    fn may_pass(&self, members: &[Member<'_, '_>]) -> bool {
        self.dates.alike().is_some_and(|alike| {
            let crosses = |gate: &Gate| gate.may_cross(alike.before());
            !members.iter().any(|member| member.gate().is_none_or(crosses))
        })
    }

    /// Remembers lines that were passed over, as if each had been read.
    fn settle(&mut self, block: &[u8], (count, last): (u32, std::ops::Range<usize>), decoded: &mut String) {
        let Some(others) = count.checked_sub(1) else { return };
        self.dates.count_alike(others, self.now);
        // The last one is read, which also counts it.
        let text = line::decode(line_of(block, last.start, last.end), decoded);
        if let Some(at) = self.date(text).and_then(|found| found.time) {
            self.last = Some(at);
        }
    }
}

/// A line without its end.
fn line_of(block: &[u8], begin: usize, end: usize) -> &[u8] {
    let line = block.get(begin..end).unwrap_or_default();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

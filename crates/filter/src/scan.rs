//! A block of lines at once: one search for the literals over all of it, and a glance at the date of each line between.
//!
//! What comes out is what [`Filter::judge`] says line by line, and what is remembered afterwards is the same; tested on all
//! stock filters. Lines that hold no literal cannot match (see `gate.rs`). What they leave behind is that the template of
//! their date was used once more, and the time of the last of them: the first is counted, the second read when it is needed.
//! A line that does not begin as the line before it goes the plain way. Start reading at [`Filter::scan`].

use std::ops::ControlFlow;

use memchr::{memchr, memrchr};

use crate::gate::Gate;
use crate::matcher::Effort;
use crate::{Clock, Examination, Filter, Memory, Verdict};

/// Is told what became of a line; may end it. A closure as an object, so that the loops are compiled here, for speed.
type Judged<'a> = dyn FnMut(&[u8], Verdict, &Memory) -> ControlFlow<()> + 'a;

/// Is told what was seen of a line.
type Examined<'a> = dyn FnMut(&[u8], &Examination) -> ControlFlow<()> + 'a;

/// Looks at a line.
type Look<'a> = dyn FnMut(&[u8], Effort, &mut Memory) -> ControlFlow<()> + 'a;

impl Filter {
    /// Judges the lines of a block of whole lines, and tells `each` what became of every line that was looked at closely;
    /// of the others the verdict is [`Verdict::Miss`], or would have been [`Verdict::TooOld`].
    ///
    /// Begins at `*at`, which is moved behind a line before that line is judged: whoever catches a panic can go on there.
    pub fn scan(&self, block: &[u8], at: &mut usize, clock: Clock, memory: &mut Memory, each: &mut Judged<'_>) {
        let begin = *at;
        let own = memory.tuning.take();
        let gate = own.as_ref().or(self.gate.as_ref());
        let gate = gate.filter(|gate| self.maxlines <= 1 && gate.sees_bytes());
        let mut vain = 0;
        // The outcome only says who ended it.
        let _ = self.scan_with(gate, block, at, clock, memory, &mut |line, effort, memory| {
            let verdict = self.run(line, None, clock, memory, effort);
            vain += usize::from(verdict == Verdict::Miss);
            each(line, verdict, memory)
        });
        if gate.is_some() {
            let seen = block.get(begin..*at).unwrap_or_default();
            memory.tuning.done(own, &self.rules, seen, vain);
        }
    }

    /// Examines the lines of a block of whole lines of which no `failregex` can be ruled out, as [`Filter::examine`] does: what
    /// it would say of the others is that none matches.
    pub fn scan_closely(
        &self,
        block: &[u8],
        clock: Clock,
        memory: &mut Memory,
        check_all: bool,
        each: &mut Examined<'_>,
    ) {
        let own = memory.tuning.take();
        let gate = own.as_ref().or(self.gate.as_ref());
        let gate = gate.filter(|gate| self.maxlines <= 1 && gate.sees_bytes());
        let (mut vain, mut at) = (0, 0);
        // The outcome only says who ended it.
        let _ = self.scan_with(gate, block, &mut at, clock, memory, &mut |line, _, memory| {
            let seen = self.look_closely(line, None, clock, memory, check_all);
            vain += usize::from(seen.hits.is_empty());
            each(line, &seen)
        });
        if gate.is_some() {
            memory.tuning.done(own, &self.rules, block, vain);
        }
    }

    fn scan_with(
        &self,
        gate: Option<&Gate>,
        block: &[u8],
        at: &mut usize,
        clock: Clock,
        memory: &mut Memory,
        look: &mut Look<'_>,
    ) -> ControlFlow<()> {
        while let Some(rest) = block.get(*at..).filter(|rest| !rest.is_empty()) {
            let hit = gate.map_or(Some(0), |gate| gate.first(rest));
            let line_start = match hit {
                Some(hit) => memrchr(b'\n', rest.get(..hit).unwrap_or_default()).map_or(0, |end| end + 1),
                None => rest.len(),
            };
            if let (Some(gate), Some(before)) = (gate, rest.get(..line_start).filter(|before| !before.is_empty())) {
                self.pass(before, at, gate, clock, memory, look)?;
            }
            if hit.is_some() {
                let (line, length) = first_line(rest.get(line_start..).unwrap_or_default());
                *at += length;
                look(line, Effort::Plain, memory)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Goes over lines that hold no literal.
    fn pass(
        &self,
        lines: &[u8],
        at: &mut usize,
        gate: &Gate,
        clock: Clock,
        memory: &mut Memory,
        look: &mut Look<'_>,
    ) -> ControlFlow<()> {
        let begin = *at;
        let mut place = 0;
        let mut passed = Passed::default();
        // Whether a literal may arise where the date is cut out depends on what stands before it.
        let mut alike = memory.dates.alike().filter(|alike| !gate.may_cross(alike.before()));
        while let Some(rest) = lines.get(place..).filter(|rest| !rest.is_empty()) {
            let (line, length) = first_line(rest);
            if alike.as_ref().is_some_and(|alike| alike.accepts(line)) {
                passed = Passed {
                    count: passed.count + 1,
                    last: place,
                };
                place += length;
                continue;
            }
            *at = begin + place;
            self.settle(lines, passed, clock, memory);
            passed = Passed::default();
            place += length;
            *at = begin + place;
            look(line, Effort::Gated, memory)?;
            alike = memory.dates.alike().filter(|alike| !gate.may_cross(alike.before()));
        }
        *at = begin + lines.len();
        self.settle(lines, passed, clock, memory);
        ControlFlow::Continue(())
    }

    /// Remembers lines that were passed over, as if each had been read.
    pub(crate) fn settle(&self, lines: &[u8], passed: Passed, clock: Clock, memory: &mut Memory) {
        let Some(others) = passed.count.checked_sub(1) else {
            return;
        };
        memory.dates.count_alike(others, clock.now);
        // The last one is read, which also counts it.
        let (line, _) = first_line(lines.get(passed.last..).unwrap_or_default());
        self.note_date(line, clock, memory);
    }
}

/// Lines in a row that were passed over.
#[derive(Clone, Copy, Default)]
pub(crate) struct Passed {
    pub(crate) count: u32,
    /// Where the last of them begins.
    pub(crate) last: usize,
}

/// The first line without its end, and its length with it.
pub(crate) fn first_line(rest: &[u8]) -> (&[u8], usize) {
    let (line, length) = match memchr(b'\n', rest) {
        Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
        None => (rest, rest.len()),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), length)
}

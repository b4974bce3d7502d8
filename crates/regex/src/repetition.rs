//! How the machine runs loops over one class: `[a-z]*`, `.*?`, `(?:(?!stop).)*`.
//!
//! They are most of what a log pattern does, so they take a stretch of text at once, remember in long searches which
//! stretch they took, and give back only to where what follows can begin.

use crate::ast::RepeatKind;
use crate::error::Overrun;
use crate::machine::{At, Run, Way, is_continuation};
use crate::program::{Class, Inst, Loop, Note, Pc};

impl Run<'_> {
    /// The position behind what a loop takes first.
    pub(crate) fn enter_loop(&mut self, repeat: &Loop, pc: Pc, position: usize) -> Result<Option<usize>, Overrun> {
        let program = self.program;
        let Some(class) = program.classes.get(repeat.class) else {
            return Ok(None);
        };
        if !self.machine.memo_on
            && let Some(taken) = self.ascii_run(repeat, class, position)
        {
            self.charge(taken)?;
            if taken < repeat.min {
                return Ok(None);
            }
            let (low, high) = (position + repeat.min, position + taken);
            if repeat.kind == RepeatKind::Greedy && high > low {
                self.machine.push(Way::GiveBack {
                    pc,
                    low,
                    current: high,
                    high,
                });
            }
            return Ok(Some(high));
        }
        let Some(low) = self.skip(repeat, class, position)? else {
            return Ok(None);
        };
        if repeat.kind == RepeatKind::Lazy {
            if repeat.max > repeat.min {
                let left = if repeat.max == usize::MAX {
                    usize::MAX
                } else {
                    repeat.max - repeat.min
                };
                if self.machine.memo_on && left == usize::MAX && self.loop_was_tried(pc, low) {
                    return Ok(None);
                }
                self.machine.push(Way::TakeMore {
                    pc,
                    position: low,
                    left,
                });
            }
            return Ok(Some(low));
        }
        let high = self.extent(repeat, class, pc, low)?;
        if repeat.kind == RepeatKind::Greedy && high > low {
            if self.machine.memo_on {
                let current = self.before_vain(pc, low, high);
                if current <= high {
                    self.machine.push(Way::GiveBack { pc, low, current, high });
                    return Ok(None);
                }
            }
            self.machine.push(Way::GiveBack {
                pc,
                low,
                current: high,
                high,
            });
            if self.machine.memo_on && self.loop_was_tried(pc, high) {
                return Ok(None);
            }
        }
        Ok(Some(high))
    }

    /// How much a loop takes at first, where all of that and what stops it are single bytes: so are most texts. Not asked in long
    /// searches, with which `the_memo_changes_no_answer` compares it.
    #[inline]
    fn ascii_run(&self, repeat: &Loop, class: &Class, position: usize) -> Option<usize> {
        if repeat.kind == RepeatKind::Lazy || repeat.stop.is_some() {
            return None;
        }
        let rest = self.bytes.get(position..)?;
        let reach = rest.get(..repeat.max).unwrap_or(rest);
        if let Some(byte) = class.all_but {
            // To be told from the bytes where characters need not be counted.
            let counted = repeat.max != usize::MAX || repeat.min > 1 || !reach.first()?.is_ascii();
            return (!counted).then(|| memchr::memchr(byte, reach).unwrap_or(reach.len()));
        }
        let takes = |byte: &u8| class.ascii.get(usize::from(*byte)).is_some_and(|takes| *takes);
        let taken = reach.iter().position(|byte| !takes(byte)).unwrap_or(reach.len());
        reach.get(taken).is_none_or(u8::is_ascii).then_some(taken)
    }

    /// The memo's answer for leaving (or, if lazy and unbounded, also staying in) a loop at a position.
    fn loop_was_tried(&mut self, pc: Pc, position: usize) -> bool {
        let program = self.program;
        program.notes.get(pc).is_some_and(|note| self.was_tried(note, position))
    }

    /// The position after the iterations that must be.
    fn skip(&mut self, repeat: &Loop, class: &Class, start: usize) -> Result<Option<usize>, Overrun> {
        let mut position = start;
        for _ in 0..repeat.min {
            match class.length_at(self.text, position) {
                Some(length) if !self.stops(repeat, position) => position += length,
                _ => return self.charge(position - start).map(|()| None),
            }
        }
        self.charge(position - start).map(|()| Some(position))
    }

    fn stops(&self, repeat: &Loop, position: usize) -> bool {
        let rest = self.bytes.get(position..).unwrap_or_default();
        repeat.stop.as_ref().is_some_and(|stop| rest.starts_with(stop.needle()))
    }

    /// Where the longest run of the loop that is at `low` after the least iterations ends.
    fn extent(&mut self, repeat: &Loop, class: &Class, pc: Pc, low: usize) -> Result<usize, Overrun> {
        let mut end = low;
        if repeat.max != usize::MAX {
            for _ in repeat.min..repeat.max {
                match class.length_at(self.text, end) {
                    Some(length) => end += length,
                    None => break,
                }
            }
            self.charge(end - low)?;
            return Ok(end);
        }
        // What is known of an earlier entry at or behind this one need not be scanned again.
        let (first, last) = match self.machine.stretches.get(pc) {
            Some(&(first, last)) if self.machine.memo_on && first <= last && low <= last => (first, last),
            _ => (self.bytes.len(), self.bytes.len()),
        };
        let known = first.max(low);
        end = self.class_end(class, low, known);
        if let Some(stop) = &repeat.stop {
            let search_end = (end + stop.needle().len().saturating_sub(1)).min(self.bytes.len());
            let unknown = self.bytes.get(low..search_end).unwrap_or_default();
            end = stop.find(unknown).map_or(end, |offset| end.min(low + offset));
        }
        self.charge(end - low)?;
        let joins = end == known;
        if joins {
            end = last;
        }
        if self.machine.memo_on
            && let Some(slot) = self.machine.stretches.get_mut(pc)
        {
            *slot = (if joins { first.min(low) } else { low }, end);
        }
        Ok(end)
    }

    /// The end of the run of characters of the class from `position` on, looking no further than `limit`.
    fn class_end(&self, class: &Class, position: usize, limit: usize) -> usize {
        let rest = self.bytes.get(position..limit).unwrap_or_default();
        if let Some(byte) = class.all_but {
            return memchr::memchr(byte, rest).map_or(limit, |offset| position + offset);
        }
        let mut end = position;
        loop {
            let rest = self.bytes.get(end..limit).unwrap_or_default();
            let goes_on = |&byte: &u8| class.goes_on.get(usize::from(byte)).is_some_and(|goes_on| *goes_on);
            let Some(offset) = rest.iter().position(|byte| !goes_on(byte)) else {
                return limit;
            };
            end += offset;
            // A character beyond ASCII is looked at as a whole.
            match class.length_at(self.text, end) {
                Some(length) => end += length,
                None => return end,
            }
        }
    }

    pub(crate) fn give_back(&mut self, pc: Pc, low: usize, current: usize, high: usize) -> Result<Option<At>, Overrun> {
        let program = self.program;
        let Some(Inst::Loop(repeat)) = program.code.get(pc) else {
            return Ok(None);
        };
        let current = if self.machine.memo_on {
            current.min(self.before_vain(pc, low, current))
        } else {
            current
        };
        let follow = program.first_sets.get(repeat.follow);
        let given = self.bytes.get(low..current).unwrap_or_default();
        let fits = |&byte: &u8| !is_continuation(byte) && follow.is_none_or(|set| set.has(Some(byte)));
        let found = given.iter().rposition(fits);
        self.charge(given.len() - found.unwrap_or_default())?;
        let Some(offset) = found else {
            self.note_vain(pc, repeat, low, high);
            return Ok(None);
        };
        let position = low + offset;
        // Also when nothing is left to give: popping it then notes that all was in vain.
        self.machine.push(Way::GiveBack {
            pc,
            low,
            current: position,
            high,
        });
        if self.machine.memo_on && self.loop_was_tried(pc, position) {
            return Ok(None);
        }
        Ok(Some((pc + 1, position)))
    }

    /// All ways out of an unbounded loop between two positions failed: trying them again is of no use.
    fn note_vain(&mut self, pc: Pc, repeat: &Loop, low: usize, high: usize) {
        let low = self.without_idle(pc, low);
        if !self.machine.memo_on
            || self.machine.memo.is_empty()
            || low > high
            || repeat.max != usize::MAX
            || !self.program.conditional_groups.is_empty()
        {
            return;
        }
        if let Some((first, last)) = self.machine.vain.get_mut(pc) {
            if *first <= high && low <= *last {
                (*first, *last) = ((*first).min(low), (*last).max(high));
            } else {
                (*first, *last) = (low, high);
            }
        }
    }

    /// Of the positions from `low` to `high` where a loop can be left, the first of those at the end that are known to
    /// be in vain; beyond `high` if none is.
    fn before_vain(&self, pc: Pc, low: usize, high: usize) -> usize {
        match self.machine.vain.get(pc) {
            Some(&(first, last)) if first <= high && high <= last => first.max(self.without_idle(pc, low)),
            _ => high + 1,
        }
    }

    /// Where a loop can be left without a loop around it having consumed nothing; leaving there is another state.
    fn without_idle(&self, pc: Pc, low: usize) -> usize {
        let idle = |note: &Note| note.marks.iter().any(|&mark| self.machine.register(mark) == low);
        low + usize::from(self.program.notes.get(pc).is_some_and(idle))
    }

    pub(crate) fn take_more(&mut self, pc: Pc, mut position: usize, mut left: usize) -> Result<Option<At>, Overrun> {
        let program = self.program;
        let Some(Inst::Loop(repeat)) = program.code.get(pc) else {
            return Ok(None);
        };
        let Some(class) = program.classes.get(repeat.class) else {
            return Ok(None);
        };
        let follow = program.first_sets.get(repeat.follow);
        let start = position;
        loop {
            if left == 0 || self.stops(repeat, position) {
                return Ok(None);
            }
            let Some(length) = class.length_at(self.text, position) else {
                return Ok(None);
            };
            position += length;
            if left != usize::MAX {
                left -= 1;
            }
            if follow.is_none_or(|set| set.has(self.bytes.get(position).copied())) {
                break;
            }
        }
        self.charge(position - start)?;
        if self.machine.memo_on && self.loop_was_tried(pc, position) {
            if left == usize::MAX {
                // Staying in the loop from here was tried then, too.
                return Ok(None);
            }
            self.machine.push(Way::TakeMore { pc, position, left });
            return Ok(None);
        }
        if left > 0 {
            self.machine.push(Way::TakeMore { pc, position, left });
        }
        Ok(Some((pc + 1, position)))
    }
}

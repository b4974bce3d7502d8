//! Runs the form of a program that `quick.rs` makes, on a text of ASCII.
//!
//! The ways are those of the machine and in its order, so what comes out is the same; `tests/cpython` holds both equal with CPython. Registers
//! and their trail are the machine's own: the groups are where they always are.

use crate::ast::{Assertion, RepeatKind};
use crate::machine::{Machine, UNSET};
use crate::program::{Start, SubKind};
use crate::quick::{Counter, ENDLESS, Op, Quick, Repeat, Way, at, is_at};

/// Memory of the runs.
#[derive(Debug, Default)]
pub(crate) struct Track {
    stack: Vec<Frame>,
    parts: Vec<OpenPart>,
    /// By number of [`Quick::ahead`], behind the last place of the literal in the text; 0 if it has none.
    behind_last: Vec<usize>,
}

/// A way not tried yet.
#[derive(Clone, Copy, Debug)]
struct Frame {
    pc: usize,
    position: usize,
    /// Of a greedy loop the least it may keep; of a lazy one how many letters it may still take.
    left: usize,
    /// Length of the trail.
    trail: usize,
}

/// [`Frame::left`] of a way that simply begins elsewhere.
const BRANCH: usize = usize::MAX;
/// [`Frame::left`] of a lazy loop without limit.
const NO_LIMIT: usize = usize::MAX - 1;

/// A look-around or atomic group being matched.
#[derive(Clone, Copy, Debug)]
struct OpenPart {
    pc: usize,
    kind: SubKind,
    end: usize,
    position: usize,
    stack: usize,
    trail: usize,
}

/// Looking through this many bytes counts as one step.
const BYTES_PER_STEP: usize = 32;
impl Machine {
    /// Searches `text`; on `Some(true)` the groups are in the registers. `None` if the machine has to: the text is not ASCII, or
    /// the search takes more than `most` steps.
    pub(crate) fn sprint(&mut self, quick: &Quick, text: &str, most: u64) -> Option<bool> {
        let bytes = text.as_bytes();
        if let Start::Text(leading) = &quick.start
            && !leading.has(bytes.first().copied())
        {
            // Most lines are none of the pattern's business.
            self.found_nothing(0);
            return Some(false);
        }
        if most == 0 || !text.is_ascii() {
            return None;
        }
        let mut run = Sprint {
            quick,
            bytes,
            machine: self,
            steps: 0,
            most,
            asked: false,
            hopeless: false,
        };
        let span = run.search().ok()?;
        let steps = run.steps;
        match span {
            Some((start, end)) => self.found(start, end, steps),
            None => self.found_nothing(steps),
        }
        Some(span.is_some())
    }
}

/// One search.
struct Sprint<'r> {
    quick: &'r Quick,
    bytes: &'r [u8],
    machine: &'r mut Machine,
    steps: u64,
    most: u64,
    /// Whether the text was asked for the literal every match needs.
    asked: bool,
    hopeless: bool,
}

/// The search takes too many steps to be done here.
struct TooLong;

/// An instruction and a position.
type At = (usize, usize);

impl Sprint<'_> {
    /// Where the match begins and ends, if there is one.
    fn search(&mut self) -> Result<Option<(usize, usize)>, TooLong> {
        let (mut position, mut ready) = (0, false);
        // Dates may begin at any digit, but not in the middle of a word.
        let edge = match self.quick.code.get(self.quick.begin) {
            Some(Op::Edge(number)) => self.quick.edges.get(at(*number)),
            _ => None,
        };
        while let Some(start) = self.quick.start.next(self.bytes, position) {
            if edge.is_some_and(|edge| !self.quick.meets(edge, self.bytes, start)) && start < self.bytes.len() {
                position = start + 1;
                continue;
            }
            if !ready {
                self.make_ready();
                ready = true;
            }
            if let Some(end) = self.attempt(start)? {
                return Ok(Some((start, end)));
            }
            self.charge(start.saturating_sub(position))?;
            if matches!(self.quick.start, Start::Text(_)) || self.is_hopeless() || start >= self.bytes.len() {
                break;
            }
            position = start + 1;
        }
        Ok(None)
    }

    /// Makes room for what a try remembers: most searches see at once that there is nothing to be tried.
    fn make_ready(&mut self) {
        self.machine.make_ready(self.quick.registers, self.quick.groups);
        let track = &mut self.machine.track;
        track.stack.clear();
        track.parts.clear();
        track.behind_last.clear();
        track.behind_last.resize(self.quick.ahead.len(), UNSET);
    }

    #[inline]
    fn charge(&mut self, bytes: usize) -> Result<(), TooLong> {
        self.steps += u64::try_from(bytes / BYTES_PER_STEP).unwrap_or(u64::MAX);
        self.step_taken()
    }

    #[inline]
    fn step_taken(&mut self) -> Result<(), TooLong> {
        self.steps += 1;
        if self.steps > self.most { Err(TooLong) } else { Ok(()) }
    }

    /// Matches from `start` on; the end of the match.
    fn attempt(&mut self, start: usize) -> Result<Option<usize>, TooLong> {
        let quick = self.quick;
        let code = &*quick.code;
        let bytes = self.bytes;
        let (mut pc, mut position) = (quick.begin, start);
        // What is not charged goes on in the text or the program.
        loop {
            // A program ends with `Match`, so there always is an instruction.
            let op = code.get(pc).ok_or(TooLong)?;
            let goes_on = match *op {
                Op::Byte(byte) => {
                    pc += 1;
                    let fits = bytes.get(position) == Some(&byte);
                    position += 1;
                    fits
                }
                Op::Literal(literal) => {
                    let literal = quick.literal(literal);
                    let rest = bytes.get(position..).unwrap_or_default();
                    pc += 1;
                    position += literal.len();
                    rest.first() == literal.first() && rest.starts_with(literal)
                }
                Op::Letter(letters) => {
                    let fits = quick.has(letters, bytes, position);
                    pc += 1;
                    position += 1;
                    fits
                }
                Op::Split {
                    first,
                    second,
                    to_first,
                    to_second,
                } => match (
                    quick.has(to_first, bytes, position),
                    quick.has(to_second, bytes, position),
                ) {
                    (true, true) => {
                        self.push(at(second), position, BRANCH);
                        pc = at(first);
                        true
                    }
                    (true, false) => {
                        pc = at(first);
                        true
                    }
                    (false, to_second) => {
                        pc = at(second);
                        to_second
                    }
                },
                Op::Switch { ways, first, second } => match quick.way(ways, bytes, position) {
                    Way::To(to) => {
                        pc = to;
                        true
                    }
                    Way::Both => {
                        self.push(at(second), position, BRANCH);
                        pc = at(first);
                        true
                    }
                    Way::Nowhere => false,
                },
                Op::Save(register) => {
                    self.set(register, position);
                    pc += 1;
                    true
                }
                Op::Jump(to) => {
                    self.charge(0)?;
                    pc = at(to);
                    true
                }
                Op::Greedy(repeat) => {
                    let low = position + usize::from(repeat.min);
                    let high = position + self.run_of(&repeat, position)?;
                    let end = if high < low {
                        None
                    } else {
                        self.last_fit(&repeat, low, high + 1)?
                    };
                    if let Some(end) = end {
                        if end > low {
                            self.push(pc, end, low);
                        }
                        pc += 1;
                        position = end;
                    }
                    end.is_some()
                }
                Op::Possessive(repeat) => {
                    let taken = self.run_of(&repeat, position)?;
                    pc += 1;
                    position += taken;
                    taken >= usize::from(repeat.min)
                }
                Op::Assert(Assertion::FinalLineEnd) => {
                    pc += 1;
                    Assertion::FinalLineEnd.holds(bytes, position).unwrap_or_default()
                }
                Op::Match => return Ok(Some(position)),
                _ => {
                    let next = self.step(op, pc, position)?;
                    if let Some(next) = next {
                        (pc, position) = next;
                    }
                    next.is_some()
                }
            };
            if goes_on {
                continue;
            }
            let Some(next) = self.back()? else {
                self.machine.forget_attempt();
                return Ok(None);
            };
            (pc, position) = next;
        }
    }

    #[inline]
    fn has_ways(&self) -> bool {
        !self.machine.track.stack.is_empty()
    }

    #[inline]
    fn set(&mut self, register: u32, value: usize) {
        let comes_back = self.has_ways();
        self.machine.write_register(at(register), value, comes_back);
    }

    #[inline]
    fn push(&mut self, pc: usize, position: usize, left: usize) {
        let trail = self.machine.trail_length();
        self.machine.track.stack.push(Frame {
            pc,
            position,
            left,
            trail,
        });
    }

    /// How many letters a loop takes at first.
    #[inline]
    fn run_of(&mut self, repeat: &Repeat, position: usize) -> Result<usize, TooLong> {
        let taken = self.quick.run(repeat, self.bytes, position);
        self.charge(taken).map(|()| taken)
    }

    /// The last position before `end`, and not before `low`, where what follows a loop may begin.
    #[inline]
    fn last_fit(&mut self, repeat: &Repeat, low: usize, end: usize) -> Result<Option<usize>, TooLong> {
        let found = self.quick.last_fit(repeat, self.bytes, low, end);
        self.charge(end - found.unwrap_or(low))?;
        Ok(found)
    }

    /// Runs one of the rarer instructions; `None` if it does not match.
    #[inline(never)]
    fn step(&mut self, op: &Op, pc: usize, position: usize) -> Result<Option<At>, TooLong> {
        let quick = self.quick;
        let next = pc + 1;
        Ok(match op {
            Op::NeedySplit(number) => {
                let needy = quick.needy.get(at(*number)).ok_or(TooLong)?;
                let [one, other] = needy.needs;
                let first = quick.has(needy.to_first, self.bytes, position)
                    && one.is_none_or(|need| self.is_ahead(need, position));
                let second = quick.has(needy.to_second, self.bytes, position)
                    && other.is_none_or(|need| self.is_ahead(need, position));
                if first && second {
                    self.push(at(needy.second), position, BRANCH);
                }
                let way = if first { needy.first } else { needy.second };
                (first || second).then_some((at(way), position))
            }
            Op::Tempered(number) => return self.tempered(at(*number), pc, position),
            Op::Clear(register) => {
                self.set(*register, UNSET);
                Some((next, position))
            }
            Op::Assert(place) => is_at(*place, self.bytes, position).then_some((next, position)),
            Op::Lazy(repeat) => {
                let min = usize::from(repeat.min);
                let letters = self.bytes.get(position..position + min).unwrap_or_default();
                if letters.len() < min || quick.run_in(repeat.letters, letters) < min {
                    return Ok(None);
                }
                if repeat.max > repeat.min {
                    let left = match repeat.max {
                        ENDLESS => NO_LIMIT,
                        max => usize::from(max - repeat.min),
                    };
                    self.push(pc, position + min, left);
                }
                Some((next, position + min))
            }
            Op::Sub(part) => {
                let part = quick.parts.get(at(*part)).ok_or(TooLong)?;
                self.enter_part(pc, part.kind, at(part.end), position)
            }
            Op::SubEnd => self.leave_part(position),
            Op::Edge(number) => {
                let edge = quick.edges.get(at(*number)).ok_or(TooLong)?;
                quick
                    .meets(edge, self.bytes, position)
                    .then_some((at(edge.end), position))
            }
            Op::LookLiteral { literal, negative } => {
                let rest = self.bytes.get(position..).unwrap_or_default();
                (rest.starts_with(quick.literal(*literal)) != *negative).then_some((next, position))
            }
            Op::Backreference { group, folded } => {
                let Some((start, end)) = self.machine.span(at(*group)) else {
                    return Ok(None);
                };
                self.charge(end - start)?;
                let wanted = self.bytes.get(start..end).unwrap_or_default();
                let end = position + wanted.len();
                let same = self.bytes.get(position..end).is_some_and(|text| {
                    if *folded {
                        text.eq_ignore_ascii_case(wanted)
                    } else {
                        text == wanted
                    }
                });
                same.then_some((next, end))
            }
            Op::Conditional { group, no } => {
                let took_part = self.machine.span(at(*group)).is_some();
                Some((if took_part { next } else { at(*no) }, position))
            }
            Op::LoopHead { mark, exit } => {
                let idle = self.machine.register(at(*mark)) == position;
                Some((if idle { at(*exit) } else { next }, position))
            }
            Op::CounterReset(counter) => {
                self.set(*counter, 0);
                Some((next, position))
            }
            Op::CounterHead(number) => {
                let head = quick.counters.get(at(*number)).ok_or(TooLong)?;
                Some((self.count(head, next, position), position))
            }
            Op::CounterEnter { counter, min, mark } => {
                let count = self.machine.register(at(*counter));
                self.set(*counter, count + 1);
                if count >= at(*min) {
                    self.set(*mark, position);
                }
                Some((next, position))
            }
            // The others are done where most steps are.
            _ => return Err(TooLong),
        })
    }

    fn count(&mut self, head: &Counter, next: usize, position: usize) -> usize {
        let count = self.machine.register(at(head.register));
        let exit = at(head.exit);
        if count < at(head.min) {
            next
        } else if count >= at(head.max) || self.machine.register(at(head.mark)) == position {
            exit
        } else {
            let (first, second) = if head.lazy { (exit, next) } else { (next, exit) };
            self.push(second, position, BRANCH);
            first
        }
    }

    fn tempered(&mut self, number: usize, pc: usize, position: usize) -> Result<Option<At>, TooLong> {
        let tempered = self.quick.tempered.get(number).ok_or(TooLong)?;
        let repeat = &tempered.repeat;
        let rest = self.bytes.get(position..).unwrap_or_default();
        // No letter is taken where the stop begins.
        let stop = tempered.stop.find(rest).unwrap_or(rest.len());
        self.charge(stop)?;
        let room = rest.get(..stop).unwrap_or(rest);
        let min = usize::from(repeat.min);
        if tempered.kind == RepeatKind::Lazy {
            if self.quick.run_in(repeat.letters, room.get(..min).unwrap_or(room)) < min {
                return Ok(None);
            }
            self.push(pc, position + min, NO_LIMIT);
            return Ok(Some((pc + 1, position + min)));
        }
        let taken = self.quick.run_in(repeat.letters, room);
        if taken < min {
            return Ok(None);
        }
        let (low, high) = (position + min, position + taken);
        if tempered.kind == RepeatKind::Greedy && high > low {
            self.push(pc, high, low);
        }
        Ok(Some((pc + 1, high)))
    }

    /// Whether a literal of [`Quick::ahead`] is at a position or behind it. The text is searched once.
    fn is_ahead(&mut self, number: u32, position: usize) -> bool {
        let number = at(number);
        let known = self.machine.track.behind_last.get_mut(number);
        let (Some(finder), Some(known)) = (self.quick.ahead.get(number), known) else {
            return true;
        };
        if *known == UNSET {
            *known = finder.rfind(self.bytes).map_or(0, |last| last + 1);
        }
        position < *known
    }

    fn enter_part(&mut self, pc: usize, kind: SubKind, end: usize, position: usize) -> Option<At> {
        let mut from = position;
        if let SubKind::Look {
            behind: Some(width),
            negative,
        } = kind
        {
            match position.checked_sub(width) {
                Some(start) => from = start,
                None => return negative.then_some((end, position)),
            }
        }
        let part = OpenPart {
            pc,
            kind,
            end,
            position,
            stack: self.machine.track.stack.len(),
            trail: self.machine.trail_length(),
        };
        self.machine.track.parts.push(part);
        // Everything inside has been tried when this is come to.
        self.push(pc, position, 0);
        Some((pc + 1, from))
    }

    /// The inmost part has matched: its other ways are dropped.
    fn leave_part(&mut self, position: usize) -> Option<At> {
        let part = self.machine.track.parts.pop()?;
        self.machine.track.stack.truncate(part.stack);
        match part.kind {
            SubKind::Look { negative: true, .. } => {
                self.machine.undo_to(part.trail);
                None
            }
            SubKind::Look { negative: false, .. } => Some((part.end, part.position)),
            SubKind::Round if position != part.position => Some((part.pc, position)),
            SubKind::Atomic | SubKind::Round => Some((part.end, position)),
        }
    }

    fn part_fails(&mut self) -> Option<At> {
        let part = self.machine.track.parts.pop()?;
        match part.kind {
            SubKind::Look { negative: true, .. } | SubKind::Round => Some((part.end, part.position)),
            SubKind::Look { negative: false, .. } | SubKind::Atomic => None,
        }
    }

    /// Whether the text lacks a literal that every match has. Asked once, when the first way has failed.
    fn is_hopeless(&mut self) -> bool {
        if !self.asked {
            self.asked = true;
            let needed = self.quick.needed.as_ref();
            self.hopeless = needed.is_some_and(|needed| needed.find(self.bytes).is_none());
        }
        self.hopeless
    }

    /// Takes the last way not tried yet.
    #[inline(never)]
    fn back(&mut self) -> Result<Option<At>, TooLong> {
        if self.has_ways() && self.is_hopeless() {
            self.machine.track.stack.clear();
            self.machine.track.parts.clear();
        }
        loop {
            let Some(frame) = self.machine.track.stack.pop() else {
                return Ok(None);
            };
            self.machine.undo_to(frame.trail);
            let Frame { pc, position, left, .. } = frame;
            if left == BRANCH {
                self.charge(0)?;
                return Ok(Some((pc, position)));
            }
            let next = match self.quick.code.get(pc).ok_or(TooLong)? {
                Op::Greedy(repeat) => self.give_back(repeat, pc, left, position)?,
                Op::Lazy(repeat) => self.take_more(repeat, None, pc, position, left)?,
                Op::Tempered(number) => {
                    let tempered = self.quick.tempered.get(at(*number)).ok_or(TooLong)?;
                    if tempered.kind == RepeatKind::Lazy {
                        self.take_more(&tempered.repeat, Some(tempered.stop.needle()), pc, position, left)?
                    } else {
                        self.give_back(&tempered.repeat, pc, left, position)?
                    }
                }
                Op::Sub(_) => self.part_fails(),
                _ => return Err(TooLong),
            };
            if next.is_some() {
                return Ok(next);
            }
        }
    }

    /// A greedy loop ends before `current`, at the last position where what follows may begin.
    fn give_back(&mut self, repeat: &Repeat, pc: usize, low: usize, current: usize) -> Result<Option<At>, TooLong> {
        let Some(end) = self.last_fit(repeat, low, current)? else {
            return Ok(None);
        };
        if end > low {
            self.push(pc, end, low);
        }
        Ok(Some((pc + 1, end)))
    }

    /// A lazy loop takes more, up to where what follows may begin.
    fn take_more(
        &mut self,
        repeat: &Repeat,
        stop: Option<&[u8]>,
        pc: usize,
        start: usize,
        mut left: usize,
    ) -> Result<Option<At>, TooLong> {
        let mut position = start;
        loop {
            let rest = self.bytes.get(position..).unwrap_or_default();
            let takes = rest
                .first()
                .is_some_and(|letter| self.quick.has_letter(repeat.letters, *letter));
            if left == 0 || !takes || stop.is_some_and(|stop| rest.starts_with(stop)) {
                self.charge(position - start)?;
                return Ok(None);
            }
            position += 1;
            if left != NO_LIMIT {
                left -= 1;
            }
            if self.quick.has(repeat.follow, self.bytes, position) {
                break;
            }
        }
        self.charge(position - start)?;
        if left > 0 {
            self.push(pc, position, left);
        }
        Ok(Some((pc + 1, position)))
    }
}

//! Engine 1: runs a program by backtracking, exact for all of `re`.
//!
//! The way back is an explicit stack, so a hostile text can make it neither overflow nor recurse. Registers (group
//! positions, loop marks, counters) are undone from a trail. Once a search has become long, a memo remembers every
//! (place, position) that was tried in vain, which makes the time linear in the text for patterns without
//! back-references; and a step budget ends what is left.
//!
//! Why the memo is exact: what can match from a place and position depends on nothing else, except (a) on which of the
//! loops around have consumed nothing in this iteration – for nested loops a number, the inmost ones, as positions only
//! grow – and (b) on the groups that conditionals ask for; both are part of the memo's key. Inside look-arounds and
//! atomic groups, a place that led to the end of the part was not in vain, so the entries made there are kept only if
//! the whole part fails.

use crate::Budget;
use crate::ast::Assertion;
use crate::charset::{Case, is_word, to_lower};
use crate::error::Overrun;
use crate::program::{Class, FirstSet, Inst, Note, Pc, Program, Start, SubKind};
use crate::sprint::Track;

pub(crate) const UNSET: usize = usize::MAX;
/// 8 MiB of bits: a line of 64 KiB for a pattern of a thousand places.
const MAX_MEMO_WORDS: usize = 1 << 20;
/// Ways not tried yet; some 50 MB. A line that needs more is given up like one that needs too many steps.
const MAX_FRAMES: usize = 1 << 20;
/// A buffer of more is given back when it is tidied up.
const KEPT_BYTES: usize = 16 << 10;
/// Scanning this many bytes counts as one step.
const BYTES_PER_STEP: usize = 32;

/// Memory of the machine.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    registers: Vec<usize>,
    /// Registers overwritten since, with what they held.
    trail: Vec<(usize, usize)>,
    stack: Vec<Frame>,
    pub(crate) parts: Vec<OpenPart>,
    pub(crate) memo: Vec<u64>,
    /// Memo entries made inside the open parts.
    memo_log: Vec<usize>,
    pub(crate) memo_on: bool,
    /// By instruction, for unbounded loops: positions from which leaving was tried in vain.
    pub(crate) vain: Vec<(usize, usize)>,
    /// By instruction, for unbounded loops: the last stretch of text found to belong to the class.
    pub(crate) stretches: Vec<(usize, usize)>,
    /// By number of [`Program::ahead`], behind the last place of the literal in the text; 0 if it has none.
    behind_last: Vec<usize>,
    steps: u64,
    /// After this many steps the memo begins, or the search is given up.
    limit: u64,
    /// Whether the text was asked for the literal every match needs.
    asked: bool,
    hopeless: bool,
    groups: usize,
    matched: bool,
    pub(crate) track: Track,
}

/// A way not tried yet.
#[derive(Clone, Copy, Debug)]
struct Frame {
    way: Way,
    trail: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Branch {
        pc: Pc,
        position: usize,
    },
    /// A greedy loop may give back down to `low`.
    GiveBack {
        pc: Pc,
        low: usize,
        current: usize,
        high: usize,
    },
    /// A lazy loop may take `left` more.
    TakeMore {
        pc: Pc,
        position: usize,
        left: usize,
    },
    /// Everything inside a part has been tried.
    PartFails,
}

/// A look-around or atomic group being matched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenPart {
    pub(crate) pc: Pc,
    pub(crate) kind: SubKind,
    end: Pc,
    pub(crate) position: usize,
    stack: usize,
    trail: usize,
    log: usize,
}

/// Where the machine goes on.
pub(crate) type At = (Pc, usize);

impl Machine {
    /// Searches `text`; on `true` the groups are in the registers.
    pub(crate) fn search(&mut self, program: &Program, text: &str, budget: Budget) -> Result<bool, Overrun> {
        if let Start::Text(leading) = &program.start
            && !leading.has(text.as_bytes().first().copied())
        {
            // Most lines are none of the pattern's business.
            self.found_nothing(0);
            return Ok(false);
        }
        self.reset(program);
        self.limit = budget.steps.min(budget.steps_without_memo);
        let mut run = Run {
            program,
            text,
            bytes: text.as_bytes(),
            budget,
            machine: self,
        };
        let found = run.search();
        if found != Ok(true) {
            self.matched = false;
        }
        found
    }

    /// Gives back what few texts need.
    pub(crate) fn tidy(&mut self) {
        fn tidied<T>(buffer: &mut Vec<T>) {
            if buffer.capacity().saturating_mul(size_of::<T>()) > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        tidied(&mut self.trail);
        tidied(&mut self.stack);
        tidied(&mut self.memo);
        tidied(&mut self.memo_log);
        // The memo was the last search's.
        self.memo_on = false;
    }

    /// How many bytes the buffers have that [`Self::tidy`] looks at.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.trail.capacity() * size_of::<(usize, usize)>()
            + self.stack.capacity() * size_of::<Frame>()
            + self.memo.capacity() * size_of::<u64>()
            + self.memo_log.capacity() * size_of::<usize>()
    }

    /// Forgets the last search.
    pub(crate) fn make_ready(&mut self, registers: usize, groups: usize) {
        self.registers.clear();
        self.registers.resize(registers, UNSET);
        self.groups = groups;
        self.trail.clear();
        self.steps = 0;
        self.matched = false;
    }

    pub(crate) fn reset(&mut self, program: &Program) {
        self.make_ready(program.registers, program.groups);
        self.stack.clear();
        self.parts.clear();
        self.memo_log.clear();
        self.memo_on = false;
        self.asked = false;
        self.hopeless = false;
        self.behind_last.clear();
        self.behind_last.resize(program.ahead.len(), UNSET);
    }

    /// Notes that a search found a match.
    pub(crate) fn found(&mut self, start: usize, end: usize, steps: u64) {
        self.matched = true;
        self.steps = steps;
        if let Some([first, second]) = self.registers.get_mut(..2) {
            (*first, *second) = (start, end);
        }
    }

    /// Notes that a search found none.
    pub(crate) fn found_nothing(&mut self, steps: u64) {
        self.matched = false;
        self.steps = steps;
    }

    /// Notes a group found by the other engine.
    pub(crate) fn set_group(&mut self, number: usize, span: Option<(usize, usize)>) {
        let (start, end) = span.unwrap_or((UNSET, UNSET));
        if let Some([first, second]) = self.registers.get_mut(2 * number..2 * number + 2) {
            (*first, *second) = (start, end);
        }
        self.matched = true;
    }

    /// Number of groups, group 0 not counted.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    pub(crate) fn group(&self, number: usize) -> Option<std::ops::Range<usize>> {
        if !self.matched || number > self.groups {
            return None;
        }
        let (start, end) = self.span(number)?;
        Some(start..end)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn register(&self, index: usize) -> usize {
        self.registers.get(index).copied().unwrap_or(UNSET)
    }

    fn set_register(&mut self, index: usize, value: usize) {
        self.write_register(index, value, !self.stack.is_empty());
    }

    /// Sets a register; what it held is noted if the search may come back to before.
    #[inline]
    pub(crate) fn write_register(&mut self, index: usize, value: usize, comes_back: bool) {
        if let Some(register) = self.registers.get_mut(index) {
            if comes_back {
                self.trail.push((index, *register));
            }
            *register = value;
        }
    }

    /// Both ends of a group that took part. A group entered again has its new start and its old end until it is left.
    pub(crate) fn span(&self, group: usize) -> Option<(usize, usize)> {
        let (start, end) = (self.register(2 * group), self.register(2 * group + 1));
        (start != UNSET && end != UNSET && start <= end).then_some((start, end))
    }

    pub(crate) fn trail_length(&self) -> usize {
        self.trail.len()
    }

    #[inline]
    pub(crate) fn undo_to(&mut self, length: usize) {
        while self.trail.len() > length {
            let Some((index, value)) = self.trail.pop() else { break };
            if let Some(register) = self.registers.get_mut(index) {
                *register = value;
            }
        }
    }

    /// All groups are unset again.
    pub(crate) fn forget_attempt(&mut self) {
        self.undo_to(0);
        // What was set before the first choice is not on the trail.
        self.registers.fill(UNSET);
    }

    pub(crate) fn push(&mut self, way: Way) {
        if self.stack.len() >= MAX_FRAMES {
            // The next step is the last.
            self.limit = 0;
        }
        self.stack.push(Frame {
            way,
            trail: self.trail.len(),
        });
    }
}

/// One search.
pub(crate) struct Run<'r> {
    pub(crate) program: &'r Program,
    pub(crate) text: &'r str,
    pub(crate) bytes: &'r [u8],
    pub(crate) budget: Budget,
    pub(crate) machine: &'r mut Machine,
}

impl Run<'_> {
    fn search(&mut self) -> Result<bool, Overrun> {
        let mut position = 0;
        while let Some(start) = self.next_start(position) {
            if let Some(end) = self.attempt(start)? {
                let steps = self.machine.steps;
                self.machine.found(start, end, steps);
                return Ok(true);
            }
            self.charge(start.saturating_sub(position))?;
            if matches!(self.program.start, Start::Text(_)) || self.is_hopeless() {
                break;
            }
            position = match self.bytes.get(start) {
                None => break,
                Some(_) => self.next_boundary(start),
            };
        }
        Ok(false)
    }

    /// The first position from `from` on where a match may begin.
    pub(crate) fn next_start(&self, from: usize) -> Option<usize> {
        let start = self.program.start.next(self.bytes, from)?;
        // A set of leading bytes holds continuation bytes only where it holds everything; classes do.
        Some(if self.text.is_char_boundary(start) {
            start
        } else {
            self.next_boundary(start)
        })
    }

    pub(crate) fn next_boundary(&self, position: usize) -> usize {
        let rest = self.bytes.get(position + 1..).unwrap_or_default();
        position + 1 + rest.iter().take_while(|&&byte| is_continuation(byte)).count()
    }

    #[inline]
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Overrun> {
        let steps = u64::try_from(bytes / BYTES_PER_STEP).unwrap_or(u64::MAX);
        self.machine.steps = self.machine.steps.saturating_add(steps + 1);
        if self.machine.steps > self.machine.limit {
            return self.limit_reached();
        }
        Ok(())
    }

    #[inline]
    fn charge_steps(&mut self, steps: &mut u64) -> Result<(), Overrun> {
        self.machine.steps += std::mem::take(steps);
        if self.machine.steps > self.machine.limit {
            return self.limit_reached();
        }
        Ok(())
    }

    #[cold]
    fn limit_reached(&mut self) -> Result<(), Overrun> {
        if self.machine.steps > self.budget.steps || self.machine.stack.len() >= MAX_FRAMES {
            return Err(Overrun);
        }
        self.machine.limit = self.budget.steps;
        if !self.machine.memo_on {
            self.turn_memo_on();
        }
        Ok(())
    }

    fn turn_memo_on(&mut self) {
        self.machine.memo_on = true;
        let length = self.program.code.len();
        self.machine.vain.clear();
        self.machine.vain.resize(length, (1, 0));
        self.machine.stretches.clear();
        self.machine.stretches.resize(length, (1, 0));
        let bits = self.program.columns.saturating_mul(self.bytes.len() + 1);
        self.machine.memo.clear();
        // Without a memo only the budget bounds the search.
        if bits.div_ceil(64) <= MAX_MEMO_WORDS {
            self.machine.memo.resize(bits.div_ceil(64), 0);
        }
    }

    /// Whether this place and position was tried before; notes that it is tried now.
    pub(crate) fn was_tried(&mut self, note: &Note, position: usize) -> bool {
        if self.machine.memo.is_empty() {
            return false;
        }
        let idle = note
            .marks
            .iter()
            .filter(|&&mark| self.machine.register(mark) == position)
            .count();
        let mut groups = 0;
        for &group in &self.program.conditional_groups {
            groups = 2 * groups + usize::from(self.machine.span(group).is_some());
        }
        let column = note.column + groups * (note.marks.len() + 1) + idle;
        let bit = column * (self.bytes.len() + 1) + position;
        let Some(word) = self.machine.memo.get_mut(bit / 64) else {
            return false;
        };
        let mask = 1 << (bit % 64);
        if *word & mask != 0 {
            return true;
        }
        *word |= mask;
        if !self.machine.parts.is_empty() {
            self.machine.memo_log.push(bit);
        }
        false
    }

    /// Matches from `start` on; returns the end of the match.
    fn attempt(&mut self, start: usize) -> Result<Option<usize>, Overrun> {
        let program = self.program;
        let bytes = self.bytes;
        let (mut pc, mut position) = (0, start);
        // Steps that are not charged yet: no more in a row than the program is long.
        let mut steps = 0;
        loop {
            steps += 1;
            // A program ends with `Match`, so there always is an instruction.
            let Some(inst) = program.code.get(pc) else {
                return Err(Overrun);
            };
            // What most steps are is done here, which spares them the way through `step`. Place and position are changed
            // one by one: put together and taken apart they would go through memory.
            match inst {
                Inst::Byte(byte) => {
                    if bytes.get(position) == Some(byte) {
                        pc += 1;
                        position += 1;
                        continue;
                    }
                }
                Inst::Literal(literal) => {
                    let rest = bytes.get(position..).unwrap_or_default();
                    if rest.first() == literal.first() && rest.starts_with(literal) {
                        pc += 1;
                        position += literal.len();
                        continue;
                    }
                }
                Inst::Save(register) => {
                    self.machine.set_register(*register, position);
                    pc += 1;
                    continue;
                }
                Inst::Jump(to) => {
                    pc = *to;
                    continue;
                }
                Inst::Split { first, second } => {
                    self.charge_steps(&mut steps)?;
                    if let Some(way) = self.split(pc, *first, *second, position) {
                        pc = way;
                        continue;
                    }
                }
                Inst::Loop(repeat) => {
                    self.charge_steps(&mut steps)?;
                    if let Some(end) = self.enter_loop(repeat, pc, position)? {
                        pc += 1;
                        position = end;
                        continue;
                    }
                }
                Inst::Match => {
                    self.machine.steps += steps;
                    return Ok(Some(position));
                }
                _ => {
                    self.charge_steps(&mut steps)?;
                    if let Some(next) = self.step(inst, (pc, position))? {
                        (pc, position) = next;
                        continue;
                    }
                }
            }
            self.charge_steps(&mut steps)?;
            let Some(next) = self.back()? else {
                self.machine.forget_attempt();
                return Ok(None);
            };
            (pc, position) = next;
        }
    }

    /// Runs one instruction; `None` if it does not match.
    #[inline]
    pub(crate) fn step(&mut self, inst: &Inst, (pc, position): At) -> Result<Option<At>, Overrun> {
        let rest = self.bytes.get(position..).unwrap_or_default();
        let next = pc + 1;
        Ok(match inst {
            Inst::Byte(byte) => (rest.first() == Some(byte)).then_some((next, position + 1)),
            Inst::Literal(literal) => rest.starts_with(literal).then_some((next, position + literal.len())),
            Inst::Class(class) => self
                .class(*class)
                .and_then(|class| class.length_at(self.text, position))
                .map(|length| (next, position + length)),
            Inst::Loop(repeat) => self.enter_loop(repeat, pc, position)?.map(|end| (next, end)),
            Inst::Split { first, second } => self.split(pc, *first, *second, position).map(|way| (way, position)),
            Inst::Jump(to) => Some((*to, position)),
            Inst::Save(register) => {
                self.machine.set_register(*register, position);
                Some((next, position))
            }
            Inst::Clear(register) => {
                self.machine.set_register(*register, UNSET);
                Some((next, position))
            }
            Inst::Assert(place) => self.holds(*place, position).then_some((next, position)),
            Inst::Sub { kind, end } => return self.enter_part(pc, *kind, *end, position),
            Inst::SubEnd { .. } => self.leave_part(position),
            Inst::LookLiteral { literal, negative } => {
                (rest.starts_with(literal) != *negative).then_some((next, position))
            }
            Inst::Backreference { group, case } => self.backreference(*group, *case, position)?.map(|end| (next, end)),
            Inst::Conditional { group, no } => {
                Some((if self.machine.span(*group).is_some() { next } else { *no }, position))
            }
            Inst::LoopHead { mark, exit } => Some((
                if self.machine.register(*mark) == position {
                    *exit
                } else {
                    next
                },
                position,
            )),
            Inst::CounterReset(counter) => {
                self.machine.set_register(*counter, 0);
                Some((next, position))
            }
            Inst::CounterHead {
                counter,
                min,
                max,
                lazy,
                mark,
                exit,
            } => {
                let count = self.machine.register(*counter);
                if count < *min {
                    Some((next, position))
                } else if count >= *max || self.machine.register(*mark) == position {
                    Some((*exit, position))
                } else {
                    let (first, second) = if *lazy { (*exit, next) } else { (next, *exit) };
                    self.machine.push(Way::Branch { pc: second, position });
                    Some((first, position))
                }
            }
            Inst::CounterEnter { counter, min, mark } => {
                let count = self.machine.register(*counter);
                self.machine.set_register(*counter, count + 1);
                if count >= *min {
                    self.machine.set_register(*mark, position);
                }
                Some((next, position))
            }
            Inst::Match => Some((pc, position)),
        })
    }

    fn class(&self, index: usize) -> Option<&Class> {
        self.program.classes.get(index)
    }

    fn first_set(&self, index: usize) -> Option<&FirstSet> {
        self.program.first_sets.get(index)
    }

    /// The way to go first.
    #[inline]
    fn split(&mut self, pc: Pc, first: Pc, second: Pc, position: usize) -> Option<Pc> {
        let note = self.program.notes.get(pc)?;
        // Also where only one way is open: a long run of such choices would be walked again from every start.
        if self.machine.memo_on && self.was_tried(note, position) {
            return None;
        }
        let byte = self.bytes.get(position).copied();
        let open = |way: usize| self.first_set(way).is_none_or(|set| set.has(byte));
        let mut ways = note.ways.map(|[first, second]| (open(first), open(second)));
        if note.needs != [None; 2]
            && let Some((first, second)) = &mut ways
        {
            for (open, need) in [first, second].into_iter().zip(note.needs) {
                *open = *open && need.is_none_or(|need| self.is_ahead(need, position));
            }
        }
        match ways {
            Some((true, false)) => Some(first),
            Some((false, true)) => Some(second),
            Some((false, false)) => None,
            Some((true, true)) | None => {
                self.machine.push(Way::Branch { pc: second, position });
                Some(first)
            }
        }
    }

    /// Whether a literal of [`Program::ahead`] is at a position or behind it. The text is searched once.
    fn is_ahead(&mut self, number: usize, position: usize) -> bool {
        let (Some(finder), Some(known)) = (self.program.ahead.get(number), self.machine.behind_last.get_mut(number))
        else {
            return true;
        };
        if *known == UNSET {
            *known = finder.rfind(self.bytes).map_or(0, |last| last + 1);
        }
        position < *known
    }

    fn holds(&self, place: Assertion, position: usize) -> bool {
        let Assertion::WordBoundary { ascii, negated } = place else {
            return place.holds(self.bytes, position).unwrap_or_default();
        };
        place.holds(self.bytes, position).unwrap_or_else(|| {
            let word = |character: Option<char>| character.is_some_and(|character| is_word(character, ascii));
            let (before, after) = self.text.split_at_checked(position).unwrap_or_default();
            (word(before.chars().next_back()) != word(after.chars().next())) != negated
        })
    }

    /// The end of a repetition of what the group matched.
    fn backreference(&mut self, group: usize, case: Case, position: usize) -> Result<Option<usize>, Overrun> {
        let Some((start, end)) = self.machine.span(group) else {
            return Ok(None);
        };
        self.charge(end - start)?;
        let wanted = self.text.get(start..end).unwrap_or_default();
        let rest = self.text.get(position..).unwrap_or_default();
        if case == Case::Exact {
            return Ok(rest.starts_with(wanted).then_some(position + wanted.len()));
        }
        let mut rest = rest.chars();
        let lower = |character: char| to_lower(u32::from(character), case);
        let mut end = position;
        for character in wanted.chars() {
            match rest.next() {
                Some(other) if lower(other) == lower(character) => end += other.len_utf8(),
                _ => return Ok(None),
            }
        }
        Ok(Some(end))
    }

    fn enter_part(&mut self, pc: Pc, kind: SubKind, end: Pc, position: usize) -> Result<Option<At>, Overrun> {
        let mut from = position;
        if let SubKind::Look {
            behind: Some(width),
            negative,
        } = kind
            && width > 0
        {
            self.charge(width)?;
            let before = self.text.get(..position).unwrap_or_default();
            match before.char_indices().rev().nth(width - 1) {
                Some((index, _)) => from = index,
                None => return Ok(negative.then_some((end, position))),
            }
        }
        let (stack, trail, log) = (
            self.machine.stack.len(),
            self.machine.trail.len(),
            self.machine.memo_log.len(),
        );
        self.machine.parts.push(OpenPart {
            pc,
            kind,
            end,
            position,
            stack,
            trail,
            log,
        });
        self.machine.push(Way::PartFails);
        Ok(Some((pc + 1, from)))
    }

    /// The inmost part has matched: its other ways are dropped.
    fn leave_part(&mut self, position: usize) -> Option<At> {
        let part = self.machine.parts.pop()?;
        self.machine.stack.truncate(part.stack);
        for bit in self.machine.memo_log.drain(part.log..) {
            if let Some(word) = self.machine.memo.get_mut(bit / 64) {
                *word &= !(1 << (bit % 64));
            }
        }
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

    /// Whether the text lacks a literal that every match has. Asked once, when the first way has failed: most searches
    /// end before, at the first character.
    #[inline]
    fn is_hopeless(&mut self) -> bool {
        if !self.machine.asked {
            self.machine.asked = true;
            let needed = self.program.needed.as_ref();
            self.machine.hopeless = needed.is_some_and(|needed| needed.find(self.bytes).is_none());
        }
        self.machine.hopeless
    }

    /// Takes the last way not tried yet.
    pub(crate) fn back(&mut self) -> Result<Option<At>, Overrun> {
        if !self.machine.stack.is_empty() && self.is_hopeless() {
            self.machine.stack.clear();
            self.machine.parts.clear();
        }
        loop {
            let Some(frame) = self.machine.stack.pop() else {
                return Ok(None);
            };
            self.machine.undo_to(frame.trail);
            let at = match frame.way {
                Way::Branch { pc, position } => Some((pc, position)),
                Way::GiveBack { pc, low, current, high } => self.give_back(pc, low, current, high)?,
                Way::TakeMore { pc, position, left } => self.take_more(pc, position, left)?,
                Way::PartFails => self.part_fails(),
            };
            if at.is_some() {
                return Ok(at);
            }
        }
    }

    fn part_fails(&mut self) -> Option<At> {
        let part = self.machine.parts.pop()?;
        // What was tried in vain inside stays so.
        self.machine.memo_log.truncate(part.log);
        match part.kind {
            SubKind::Look { negative: true, .. } | SubKind::Round => Some((part.end, part.position)),
            SubKind::Look { negative: false, .. } | SubKind::Atomic => None,
        }
    }
}

pub(crate) fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

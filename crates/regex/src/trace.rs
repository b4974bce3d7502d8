//! Writes down the way of a search for `path.rs`: runs a program of `quick.rs` on a text and notes every question that decides
//! where it goes.
//!
//! The steps are those of `sprint.rs`, but positions are kept as places, so many letters behind a mark. Programs and texts
//! that ask what is not written down here have no path.

use std::collections::BTreeMap;

use memchr::memmem::Finder;

use crate::ast::{Assertion, RepeatKind};
use crate::path::{Ask, MOST_MARKS, Marks, Path, Place, is_not_ahead, next, position, repeat, tempered_run};
use crate::program::{Start, SubKind};
use crate::quick::{ENDLESS, Letters, Op, Quick, Repeat, Way, at, is_at};

/// Longer ways are not worth being kept.
const MOST_STEPS: usize = 400;
const MOST_ASKS: usize = 64;

/// Ways of more questions are not kept if a text shows by its literals alone that it has no match.
const FEW_ASKS: usize = 3;

/// The way of the search in a text of ASCII, if it can be written down. Every match has one of the literals, if there are any.
pub(crate) fn path(quick: &Quick, literals: &[Finder<'_>], bytes: &[u8]) -> Option<Path> {
    let lacks = !literals.is_empty() && literals.iter().all(|literal| literal.find(bytes).is_none());
    match way(quick, bytes) {
        Some(path) if !lacks || path.asks.len() <= FEW_ASKS => Some(path),
        _ => lacks.then(|| Path {
            asks: [Ask::Lacks].into(),
            text: Box::default(),
            end: None,
            registers: Box::default(),
        }),
    }
}

fn way(quick: &Quick, bytes: &[u8]) -> Option<Path> {
    if !matches!(quick.start, Start::Text(_)) {
        return None;
    }
    let mut trace = Trace {
        quick,
        bytes,
        marks: [0; MOST_MARKS],
        used: 1,
        asks: Vec::new(),
        registers: vec![None; quick.registers],
        open: Vec::new(),
        parts: Vec::new(),
    };
    let end = match trace.run()? {
        Next::Match(end) => Some(end),
        _ => None,
    };
    let groups = trace.registers.iter().enumerate().take(2 * (quick.groups + 1)).skip(2);
    let registers = groups.filter_map(|(register, place)| Some((u16::try_from(register).ok()?, (*place)?)));
    let registers = registers.collect();
    let (asks, text) = in_order(quick, (bytes, &trace.marks), &trace.asks);
    (asks.len() <= MOST_ASKS).then_some(Path {
        asks: asks.into(),
        text: text.into(),
        end,
        registers,
    })
}

struct Trace<'a> {
    quick: &'a Quick,
    bytes: &'a [u8],
    marks: Marks,
    used: usize,
    asks: Vec<Ask>,
    registers: Vec<Option<Place>>,
    /// Ways not tried yet.
    open: Vec<Open>,
    parts: Vec<Part>,
}

struct Open {
    pc: usize,
    place: Place,
    kind: Kind,
    registers: Vec<Option<Place>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Branch,
    GiveBack { low: Place },
    TakeMore { left: Left },
    PartFails,
}

/// How many letters a lazy loop may still take.
#[derive(Clone, Copy)]
enum Left {
    Any,
    Some(u16),
    /// That depends on the text.
    Unknown,
}

struct Part {
    kind: SubKind,
    end: usize,
    place: Place,
    open: usize,
}

type At = (usize, Place);

/// Where a step leads.
enum Next {
    To(At),
    Back,
    Match(Place),
}

impl Next {
    fn when(goes_on: bool, to: At) -> Self {
        if goes_on { Self::To(to) } else { Self::Back }
    }
}

impl Trace<'_> {
    /// How the search ends: with a match, or with no way back; `None` if its way cannot be written down.
    fn run(&mut self) -> Option<Next> {
        let mut here = (self.quick.begin, Place { mark: 0, offset: 0 });
        for _ in 0..MOST_STEPS {
            let next = match self.step(here)? {
                Next::Back => self.back()?,
                next => next,
            };
            match next {
                Next::To(next) => here = next,
                end => return Some(end),
            }
        }
        None
    }

    fn position(&self, place: Place) -> usize {
        position(&self.marks, place)
    }

    fn mark(&mut self, position: usize) -> Option<u16> {
        *self.marks.get_mut(self.used)? = position;
        self.used += 1;
        u16::try_from(self.used - 1).ok()
    }

    fn push(&mut self, pc: usize, place: Place, kind: Kind) {
        self.open.push(Open {
            pc,
            place,
            kind,
            registers: self.registers.clone(),
        });
    }

    /// Whether the letter at a place is of a set.
    fn is_of(&mut self, letters: Letters, place: Place) -> bool {
        let has = self.quick.has(letters, self.bytes, self.position(place));
        self.asks.push(Ask::Letter {
            place,
            letters: if has { letters } else { !letters },
        });
        has
    }

    /// Whether a text stands at a place.
    fn stands(&mut self, literal: &[u8], place: Place) -> Option<bool> {
        let stands = self.bytes.get(self.position(place)..)?.starts_with(literal);
        if stands {
            for (byte, offset) in literal.iter().zip(0..) {
                let place = behind(place, offset)?;
                self.asks.push(Ask::Byte {
                    place,
                    byte: *byte,
                    holds: true,
                });
            }
        }
        Some(stands)
    }

    /// Whether one place is not behind another.
    fn is_ordered(&mut self, first: Place, second: Place) -> bool {
        let holds = self.position(first) <= self.position(second);
        if first.mark != second.mark {
            self.asks.push(Ask::Ordered { first, second, holds });
        }
        holds
    }

    fn step(&mut self, (pc, place): At) -> Option<Next> {
        let quick = self.quick;
        let here = self.position(place);
        let then = |place| Next::To((pc + 1, place));
        Some(match quick.code.get(pc)? {
            Op::Byte(byte) => {
                let holds = self.bytes.get(here) == Some(byte);
                self.asks.push(Ask::Byte {
                    place,
                    byte: *byte,
                    holds,
                });
                Next::when(holds, (pc + 1, behind(place, 1)?))
            }
            Op::Literal(span) => {
                let literal = quick.literal(*span);
                let stands = self.stands(literal, place)?;
                if !stands {
                    self.asks.push(Ask::NotLiteral { place, literal: *span });
                }
                Next::when(stands, (pc + 1, behind(place, literal.len())?))
            }
            Op::Letter(letters) => Next::when(self.is_of(*letters, place), (pc + 1, behind(place, 1)?)),
            Op::Split {
                first,
                second,
                to_first,
                to_second,
            } => self.choose(place, [(at(*first), *to_first), (at(*second), *to_second)]),
            Op::NeedySplit(number) => {
                let needy = quick.needy.get(at(*number))?;
                let [one, other] = needy.needs;
                let to_first = self.if_ahead(one, needy.to_first, place);
                let to_second = self.if_ahead(other, needy.to_second, place);
                self.choose(place, [(at(needy.first), to_first), (at(needy.second), to_second)])
            }
            Op::Switch { ways, first, second } => {
                let letters = quick.leading_alike(*ways, self.bytes, here);
                self.asks.push(Ask::Letter { place, letters });
                match quick.way(*ways, self.bytes, here) {
                    Way::To(to) => Next::To((to, place)),
                    Way::Both => {
                        self.push(at(*second), place, Kind::Branch);
                        Next::To((at(*first), place))
                    }
                    Way::Nowhere => Next::Back,
                }
            }
            Op::Save(register) => {
                *self.registers.get_mut(at(*register))? = Some(place);
                then(place)
            }
            Op::Clear(register) => {
                *self.registers.get_mut(at(*register))? = None;
                then(place)
            }
            Op::Jump(to) => Next::To((at(*to), place)),
            Op::Greedy(repeat) => self.greedy(repeat, (pc, place))?,
            Op::Possessive(repeat) => {
                let end = self.run_of(repeat, place)?;
                Next::when(self.took(repeat, place, end)?, (pc + 1, end))
            }
            Op::Lazy(repeat) => self.lazy(repeat, (pc, place))?,
            Op::Tempered(number) => {
                let tempered = quick.tempered.get(at(*number))?;
                if tempered.repeat.min > 0 {
                    return None;
                }
                if tempered.kind == RepeatKind::Lazy {
                    self.push(pc, place, Kind::TakeMore { left: Left::Any });
                    return Some(then(place));
                }
                let number = u32::try_from(pc).ok()?;
                let mark = self.mark(here + tempered_run(quick, number, self.bytes, here))?;
                self.asks.push(Ask::Tempered {
                    place,
                    mark,
                    pc: number,
                });
                let end = Place { mark, offset: 0 };
                if tempered.kind == RepeatKind::Greedy {
                    self.push(pc, end, Kind::GiveBack { low: place });
                }
                then(end)
            }
            Op::Assert(Assertion::TextStart) if place.mark == 0 => Next::when(place.offset == 0, (pc + 1, place)),
            Op::Assert(what) => {
                let holds = is_at(*what, self.bytes, here);
                let what = *what;
                self.asks.push(Ask::Assert { place, what, holds });
                Next::when(holds, (pc + 1, place))
            }
            Op::Edge(number) => {
                let edge = quick.edges.get(at(*number))?;
                let holds = quick.meets(edge, self.bytes, here);
                let number = *number;
                self.asks.push(Ask::Edge { place, number, holds });
                Next::when(holds, (at(edge.end), place))
            }
            Op::LookLiteral { literal, negative } => {
                let stands = self.stands(quick.literal(*literal), place)?;
                if !stands {
                    let literal = *literal;
                    self.asks.push(Ask::NotLiteral { place, literal });
                }
                Next::when(stands != *negative, (pc + 1, place))
            }
            Op::Conditional { group, no } => {
                let register = |number: usize| self.registers.get(number).copied().flatten();
                let (start, end) = (register(2 * at(*group)), register(2 * at(*group) + 1));
                let took_part = match (start, end) {
                    (Some(start), Some(end)) => self.is_ordered(start, end),
                    _ => false,
                };
                Next::To((if took_part { pc + 1 } else { at(*no) }, place))
            }
            Op::Sub(part) => {
                let part = quick.parts.get(at(*part))?;
                return self.enter_part((pc, place), part.kind, at(part.end));
            }
            Op::SubEnd => self.leave_part(place)?,
            Op::Match => Next::Match(place),
            Op::Backreference { .. }
            | Op::LoopHead { .. }
            | Op::CounterReset(_)
            | Op::CounterHead(_)
            | Op::CounterEnter { .. } => return None,
        })
    }

    /// With which letters a way may begin that needs a literal ahead: with none if it is not there.
    fn if_ahead(&mut self, need: Option<u32>, letters: Letters, place: Place) -> Letters {
        let missing = need.filter(|number| is_not_ahead(self.quick, *number, self.bytes, self.position(place)));
        let Some(number) = missing else { return letters };
        self.asks.push(Ask::NotAhead { place, number });
        0
    }

    /// Two ways, each with the letters it may begin with.
    fn choose(&mut self, place: Place, [(first, to_first), (second, to_second)]: [(usize, Letters); 2]) -> Next {
        match (self.is_of(to_first, place), self.is_of(to_second, place)) {
            (true, both) => {
                if both {
                    self.push(second, place, Kind::Branch);
                }
                Next::To((first, place))
            }
            (false, true) => Next::To((second, place)),
            (false, false) => Next::Back,
        }
    }

    /// Where the letters end that a loop takes at first.
    fn run_of(&mut self, repeat: &Repeat, place: Place) -> Option<Place> {
        let here = self.position(place);
        let taken = self.quick.run(repeat, self.bytes, here);
        // A blank is nearly always one.
        let blank = [b'0', b'a', b'.']
            .iter()
            .all(|letter| !self.quick.has_letter(repeat.letters, *letter));
        Some(match taken {
            0 if repeat.max > 0 => {
                self.is_of(repeat.letters, place);
                place
            }
            1 if repeat.max == 1 || blank => {
                self.is_of(repeat.letters, place);
                let end = behind(place, 1)?;
                if repeat.max > 1 {
                    self.is_of(repeat.letters, end);
                }
                end
            }
            _ => {
                let mark = self.mark(here + taken)?;
                self.asks.push(Ask::Run {
                    place,
                    mark,
                    min: 0,
                    max: repeat.max,
                    but: repeat.but,
                    letters: repeat.letters,
                });
                Place { mark, offset: 0 }
            }
        })
    }

    /// Whether a loop took as many letters as it has to.
    fn took(&mut self, repeat: &Repeat, place: Place, end: Place) -> Option<bool> {
        if let Some(Ask::Run { mark, min, .. }) = self.asks.last_mut()
            && repeat.min == 1
            && *mark == end.mark
            && self.marks.get(usize::from(end.mark)) > self.marks.get(usize::from(place.mark))
        {
            *min = 1;
            return Some(true);
        }
        Some(self.is_ordered(behind(place, usize::from(repeat.min))?, end))
    }

    fn greedy(&mut self, repeat: &Repeat, (pc, place): At) -> Option<Next> {
        let high = self.run_of(repeat, place)?;
        if !self.took(repeat, place, high)? {
            return Some(Next::Back);
        }
        let low = behind(place, usize::from(repeat.min))?;
        if self.is_of(repeat.follow, high) {
            self.push(pc, high, Kind::GiveBack { low });
            return Some(Next::To((pc + 1, high)));
        }
        // The letter behind is none that may follow: it gives back at once.
        self.give_back(repeat, (pc, high), low)
    }

    /// A greedy loop ends before `current`, at the last position where what follows may begin.
    fn give_back(&mut self, repeat: &Repeat, (pc, current): At, low: Place) -> Option<Next> {
        if low == current {
            return Some(Next::Back);
        }
        let found = self
            .quick
            .last_fit(repeat, self.bytes, self.position(low), self.position(current));
        let mark = match found {
            Some(found) => Some(self.mark(found)?),
            None => None,
        };
        self.asks.push(Ask::LastFit {
            low,
            end: current,
            pc: u32::try_from(pc).ok()?,
            mark,
        });
        let Some(mark) = mark else { return Some(Next::Back) };
        let end = Place { mark, offset: 0 };
        self.push(pc, end, Kind::GiveBack { low });
        Some(Next::To((pc + 1, end)))
    }

    fn lazy(&mut self, repeat: &Repeat, (pc, place): At) -> Option<Next> {
        let min = usize::from(repeat.min);
        for offset in 0..min {
            if !self.is_of(repeat.letters, behind(place, offset)?) {
                return Some(Next::Back);
            }
        }
        let end = behind(place, min)?;
        if repeat.max > repeat.min {
            let left = match repeat.max {
                ENDLESS => Left::Any,
                max => Left::Some(max - repeat.min),
            };
            self.push(pc, end, Kind::TakeMore { left });
        }
        Some(Next::To((pc + 1, end)))
    }

    /// A lazy loop takes more.
    fn take_more(&mut self, (pc, place): At, left: Left) -> Option<Next> {
        let (left, then) = match left {
            Left::Any => (None, Left::Any),
            Left::Some(left) => (Some(left), Left::Unknown),
            Left::Unknown => return None,
        };
        let number = u32::try_from(pc).ok()?;
        let found = next(self.quick, number, self.bytes, self.position(place), left);
        let mark = match found {
            Some(found) => Some(self.mark(found)?),
            None => None,
        };
        self.asks.push(Ask::Next {
            place,
            pc: number,
            left,
            mark,
        });
        let Some(mark) = mark else { return Some(Next::Back) };
        let end = Place { mark, offset: 0 };
        self.push(pc, end, Kind::TakeMore { left: then });
        Some(Next::To((pc + 1, end)))
    }

    fn enter_part(&mut self, (pc, place): At, kind: SubKind, end: usize) -> Option<Next> {
        let mut from = place;
        match kind {
            SubKind::Round => return None,
            SubKind::Look {
                behind: Some(width),
                negative,
            } => match (place.offset.checked_sub(u16::try_from(width).ok()?), place.mark) {
                (Some(offset), mark) => from = Place { mark, offset },
                (None, 0) => return Some(Next::when(negative, (end, place))),
                (None, _) => return None,
            },
            SubKind::Look { behind: None, .. } | SubKind::Atomic => {}
        }
        self.parts.push(Part {
            kind,
            end,
            place,
            open: self.open.len(),
        });
        self.push(pc, place, Kind::PartFails);
        Some(Next::To((pc + 1, from)))
    }

    fn leave_part(&mut self, place: Place) -> Option<Next> {
        let part = self.parts.pop()?;
        self.open.truncate(part.open);
        Some(match part.kind {
            SubKind::Look { negative: true, .. } => Next::Back,
            SubKind::Look { negative: false, .. } => Next::To((part.end, part.place)),
            SubKind::Atomic | SubKind::Round => Next::To((part.end, place)),
        })
    }

    /// Takes the last way not tried yet.
    fn back(&mut self) -> Option<Next> {
        while let Some(open) = self.open.pop() {
            self.registers = open.registers;
            let at = (open.pc, open.place);
            let next = match open.kind {
                Kind::Branch => Next::To(at),
                Kind::GiveBack { low } => {
                    let repeat = repeat(self.quick, u32::try_from(open.pc).ok()?)?;
                    self.give_back(repeat, at, low)?
                }
                Kind::TakeMore { left } => self.take_more(at, left)?,
                Kind::PartFails => {
                    let part = self.parts.pop()?;
                    let is_negative = matches!(part.kind, SubKind::Look { negative: true, .. });
                    Next::when(is_negative, (part.end, part.place))
                }
            };
            if !matches!(next, Next::Back) {
                return Some(next);
            }
        }
        Some(Next::Back)
    }
}

fn behind(place: Place, letters: usize) -> Option<Place> {
    let offset = place.offset.checked_add(u16::try_from(letters).ok()?)?;
    Some(Place { offset, ..place })
}

/// The questions without those that others answer, what is known of letters in front; and the letters that stand in the text.
fn in_order(quick: &Quick, (bytes, marks): (&[u8], &Marks), asks: &[Ask]) -> (Vec<Ask>, Vec<u8>) {
    let mut known: BTreeMap<Place, u8> = BTreeMap::new();
    let mut sets: BTreeMap<Place, Letters> = BTreeMap::new();
    let mut others: Vec<Ask> = Vec::new();
    for ask in asks {
        match *ask {
            Ask::Byte {
                place,
                byte,
                holds: true,
            } => {
                known.insert(place, byte);
            }
            Ask::Letter { place, letters } => *sets.entry(place).or_insert(Letters::MAX) &= letters,
            other => others.push(other),
        }
    }
    for (place, letters) in &sets {
        if let Some(byte) = quick.only_letter(*letters) {
            known.entry(*place).or_insert(byte);
        }
    }
    // What a loop takes need not be asked before.
    for ask in &mut others {
        if let Ask::Run {
            place, min, letters, ..
        } = ask
            && let Some(before) = sets.get(place)
            && *letters & !before == 0
            && quick.has(*letters & before, bytes, position(marks, *place))
        {
            *min = 1;
            sets.remove(place);
        }
    }
    sets.retain(|place, letters| *letters != Letters::MAX && !known.contains_key(place));
    // Whether it is known that another letter stands there.
    let differs = |place: Place, byte: u8| match (known.get(&place), sets.get(&place)) {
        (Some(known), _) => *known != byte,
        (None, Some(letters)) => !quick.has_letter(*letters, byte),
        (None, None) => false,
    };
    others.retain(|ask| match *ask {
        Ask::Byte { place, byte, .. } => !differs(place, byte),
        Ask::NotLiteral { place, literal } => {
            let mut letters = (0..).zip(quick.literal(literal));
            !letters.any(|(offset, byte)| behind(place, offset).is_some_and(|place| differs(place, *byte)))
        }
        Ask::Assert {
            place,
            what: Assertion::FinalLineEnd,
            holds: false,
        } => known.get(&place).is_none_or(|byte| *byte == b'\n'),
        _ => true,
    });
    let (mut order, mut text) = (Vec::new(), Vec::new());
    of_mark(0, &known, &sets, &mut order, &mut text);
    for ask in others {
        order.push(ask);
        let defined = match ask {
            Ask::Run { mark, .. } | Ask::Tempered { mark, .. } => Some(mark),
            Ask::LastFit { mark, .. } | Ask::Next { mark, .. } => mark,
            _ => None,
        };
        if let Some(mark) = defined {
            of_mark(mark, &known, &sets, &mut order, &mut text);
        }
    }
    (order, text)
}

/// The questions about single letters behind a mark.
fn of_mark(
    mark: u16,
    known: &BTreeMap<Place, u8>,
    sets: &BTreeMap<Place, Letters>,
    order: &mut Vec<Ask>,
    text: &mut Vec<u8>,
) {
    let all = Place { mark, offset: 0 }..=Place { mark, offset: u16::MAX };
    let mut letters = known.range(all.clone()).peekable();
    while let Some((place, byte)) = letters.next() {
        let start = text.len();
        text.push(*byte);
        let mut last = *place;
        while let Some((next, byte)) = letters.next_if(|(next, _)| behind(last, 1) == Some(**next)) {
            text.push(*byte);
            last = *next;
        }
        let piece = u16::try_from(start).ok().zip(u16::try_from(text.len()).ok());
        order.push(match piece {
            Some((start, end)) if end - start > 1 => Ask::Text {
                place: *place,
                start,
                end,
            },
            _ => {
                text.truncate(start);
                Ask::Byte {
                    place: *place,
                    byte: *byte,
                    holds: true,
                }
            }
        });
    }
    order.extend(sets.range(all).map(|(place, letters)| Ask::Letter {
        place: *place,
        letters: *letters,
    }));
}

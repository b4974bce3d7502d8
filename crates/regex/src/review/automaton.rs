//! A pattern as an automaton that accepts at least what the pattern matches, or at most.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::ast::{Assertion, Node, RepeatKind, Side};
use crate::charset::{Category, CharSet};

/// Larger automata are not searched.
const MAX_STATES: usize = 30_000;

/// Index of a state.
pub(super) type Id = u32;

/// What an automaton is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The pattern itself: at least what it matches; look-aheads and places are kept.
    Pattern,
    /// A condition that must hold: at least what matches; what looks around is taken to hold.
    AtLeast,
    /// A condition that must not hold: at most what matches; what looks around is taken to fail.
    AtMost,
}

/// One state.
#[derive(Clone, Debug)]
pub(super) enum State {
    Consume(Mask, Id),
    Split(Vec<Id>),
    Assert(Assertion, Id),
    /// A condition on what follows.
    Ahead {
        body: Id,
        negative: bool,
        next: Id,
    },
    /// The pattern has matched: whatever follows is well.
    Matched,
    /// The condition is met.
    Met,
    /// The condition is met if the text ends here.
    MetAtEnd,
}

/// A class over ASCII and some symbols for what is beyond, by bits: digits, spaces, other word characters, the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mask {
    pub(super) ascii: u128,
    pub(super) beyond: u8,
}

/// What is beyond ASCII, in the parts that patterns tell apart.
static BEYOND: LazyLock<[Part; 4]> = LazyLock::new(|| {
    let ascii = CharSet::from_ranges(vec![(0, 0x7f)]);
    let category = |category| CharSet::category(category, false, false).union(&ascii);
    let (digit, space, word) = (
        category(Category::Digit),
        category(Category::Space),
        category(Category::Word),
    );
    let rest = word.union(&space).negated();
    // The words without the digits: neither rest, nor space, nor digit.
    let letters = rest.union(&space).union(&digit).negated();
    [digit, space, letters, rest].map(|set| {
        let ranges = set.beyond_ascii();
        let size = overlap(&ranges, &ranges);
        Part { ranges, size }
    })
});

struct Part {
    ranges: Vec<(u32, u32)>,
    size: u32,
}

/// How many characters two lists of sorted ranges have in common.
fn overlap(first: &[(u32, u32)], second: &[(u32, u32)]) -> u32 {
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    let mut count = 0_u32;
    while let (Some(&&(a, b)), Some(&&(c, d))) = (first.peek(), second.peek()) {
        if a.max(c) <= b.min(d) {
            count = count.saturating_add(b.min(d) - a.max(c) + 1);
        }
        if b <= d {
            first.next();
        } else {
            second.next();
        }
    }
    count
}

/// An automaton being built, from its end to its start.
#[derive(Debug, Default)]
pub(super) struct Automaton {
    pub(super) states: Vec<State>,
    /// Masks of large classes, by whether they are of [`Bound::AtMost`].
    masks: [HashMap<CharSet, Mask>; 2],
}

impl Mask {
    fn of(set: &CharSet, side: Bound) -> Self {
        let mut ascii = 0;
        for &(first, last) in set.ranges() {
            for code in first..=last.min(0x7f) {
                ascii |= 1_u128 << code;
            }
        }
        let high = set.beyond_ascii();
        let mut beyond = 0;
        for (part, bit) in BEYOND.iter().zip([1_u8, 2, 4, 8]) {
            let common = overlap(&high, &part.ranges);
            let belongs = match side {
                Bound::AtMost => common == part.size,
                Bound::Pattern | Bound::AtLeast => common > 0,
            };
            beyond |= if belongs { bit } else { 0 };
        }
        Self { ascii, beyond }
    }

    pub(super) fn all() -> Self {
        Self {
            ascii: u128::MAX,
            beyond: 0xf,
        }
    }
}

impl Automaton {
    pub(super) fn push(&mut self, state: State) -> Option<Id> {
        if self.states.len() >= MAX_STATES {
            return None;
        }
        self.states.push(state);
        u32::try_from(self.states.len() - 1).ok()
    }

    pub(super) fn get(&self, id: Id) -> Option<&State> {
        self.states.get(usize::try_from(id).ok()?)
    }

    fn set(&mut self, id: Id, state: State) -> Option<()> {
        *self.states.get_mut(usize::try_from(id).ok()?)? = state;
        Some(())
    }

    fn mask(&mut self, set: &CharSet, side: Bound) -> Mask {
        const SMALL: usize = 8;
        let [most, least] = &mut self.masks;
        let masks = if side == Bound::AtMost { most } else { least };
        if let Some(mask) = Some(set)
            .filter(|set| set.ranges().len() > SMALL)
            .and_then(|set| masks.get(set))
        {
            return *mask;
        }
        let mask = Mask::of(set, side);
        if set.ranges().len() > SMALL {
            masks.insert(set.clone(), mask);
        }
        mask
    }

    /// A state from which nothing goes on.
    fn dead(&mut self) -> Option<Id> {
        self.push(State::Split(Vec::new()))
    }

    /// The entry of `node` when what follows begins at `next`; `None` if it grows too large.
    pub(super) fn add(&mut self, node: &Node, next: Id, side: Bound) -> Option<Id> {
        match node {
            Node::Empty => Some(next),
            Node::Char(character) => {
                let mask = self.mask(&CharSet::single(u32::from(*character)), side);
                self.push(State::Consume(mask, next))
            }
            Node::Set(set) => {
                let mask = self.mask(set, side);
                self.push(State::Consume(mask, next))
            }
            Node::Assert(place) => match side {
                Bound::Pattern => self.push(State::Assert(*place, next)),
                Bound::AtLeast => Some(next),
                Bound::AtMost => self.dead(),
            },
            Node::Group(_, inner) => self.add(inner, next, side),
            Node::Atomic(inner) => match side {
                Bound::AtMost => self.dead(),
                _ => self.add(inner, next, side),
            },
            Node::Concat(nodes) => {
                let mut next = next;
                for node in nodes.iter().rev() {
                    next = self.add(node, next, side)?;
                }
                Some(next)
            }
            Node::Alternate(branches) => {
                let entries: Option<Vec<Id>> = branches.iter().map(|branch| self.add(branch, next, side)).collect();
                self.push(State::Split(entries?))
            }
            Node::Repeat { node, min, max, kind } => {
                if side == Bound::AtMost && *kind == RepeatKind::Possessive {
                    return self.dead();
                }
                self.repeat(node, *min, *max, next, side)
            }
            Node::Look {
                node,
                side: way,
                negative,
            } => match (side, way) {
                (Bound::Pattern, Side::Ahead) => {
                    let met = self.push(State::Met)?;
                    let inner = if *negative { Bound::AtMost } else { Bound::AtLeast };
                    let body = self.add(node, met, inner)?;
                    self.push(State::Ahead {
                        body,
                        negative: *negative,
                        next,
                    })
                }
                (Bound::AtMost, _) => self.dead(),
                _ => Some(next),
            },
            Node::Backreference { .. } => match side {
                Bound::AtMost => self.dead(),
                _ => self.any_text(next),
            },
            Node::Conditional { .. } if side == Bound::AtMost => self.dead(),
            Node::Conditional { yes, no, .. } => {
                let entries = vec![self.add(yes, next, side)?, self.add(no, next, side)?];
                self.push(State::Split(entries))
            }
        }
    }

    /// Any text, then `next`.
    pub(super) fn any_text(&mut self, next: Id) -> Option<Id> {
        let head = self.push(State::Split(Vec::new()))?;
        let step = self.push(State::Consume(Mask::all(), head))?;
        self.set(head, State::Split(vec![step, next]))?;
        Some(head)
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, next: Id, side: Bound) -> Option<Id> {
        let mut entry = match max {
            None => {
                let head = self.push(State::Split(Vec::new()))?;
                let body = self.add(node, head, side)?;
                self.set(head, State::Split(vec![body, next]))?;
                head
            }
            Some(max) => {
                let mut entry = next;
                for _ in min..max {
                    let body = self.add(node, entry, side)?;
                    entry = self.push(State::Split(vec![body, next]))?;
                }
                entry
            }
        };
        for _ in 0..min {
            entry = self.add(node, entry, side)?;
        }
        Some(entry)
    }
}

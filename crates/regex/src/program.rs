//! The instructions of the matching machine. Written by `compile`, run by `machine`.

use std::sync::OnceLock;

use crate::ast::{Assertion, RepeatKind};
use crate::charset::{Case, Category, CharSet, is_word};

/// Index of an instruction.
pub(crate) type Pc = usize;

/// One instruction.
#[derive(Clone, Debug)]
pub(crate) enum Inst {
    Byte(u8),
    Literal(Box<[u8]>),
    Class(usize),
    /// Repetition of one class.
    Loop(Loop),
    /// Tries `first`, later `second`.
    Split {
        first: Pc,
        second: Pc,
    },
    Jump(Pc),
    /// Notes the position in a register.
    Save(usize),
    /// Makes a register unset.
    Clear(usize),
    Assert(Assertion),
    /// The instructions up to `end` are matched on their own and end with `SubEnd`.
    Sub {
        kind: SubKind,
        end: Pc,
    },
    /// Ends the part that began at `start`.
    SubEnd {
        start: Pc,
    },
    /// A literal look-ahead; consumes nothing.
    LookLiteral {
        literal: Box<[u8]>,
        negative: bool,
    },
    Backreference {
        group: usize,
        case: Case,
    },
    /// Goes on if the group took part, else at `no`.
    Conditional {
        group: usize,
        no: Pc,
    },
    /// An iteration that began here consumed nothing: no further one.
    LoopHead {
        mark: usize,
        exit: Pc,
    },
    CounterReset(usize),
    CounterHead {
        counter: usize,
        min: usize,
        max: usize,
        lazy: bool,
        mark: usize,
        exit: Pc,
    },
    /// Counts an iteration and notes where it begins.
    CounterEnter {
        counter: usize,
        min: usize,
        mark: usize,
    },
    Match,
}

/// Why instructions are matched on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubKind {
    Look {
        behind: Option<usize>,
        negative: bool,
    },
    Atomic,
    /// One round of a possessive loop: goes back to this instruction as long as rounds match and consume.
    Round,
}

/// `[a-z]*` and the like.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub(crate) class: usize,
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) kind: RepeatKind,
    /// The loop stops before this text: `(?:(?!stop).)*`.
    pub(crate) stop: Option<Box<memchr::memmem::Finder<'static>>>,
    /// First bytes of what follows, by index into [`Program::first_sets`].
    pub(crate) follow: usize,
}

/// A set of characters made for asking quickly.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) ascii: [bool; 128],
    /// By byte: whether a loop goes on without a look at the whole character.
    pub(crate) goes_on: [bool; 256],
    pub(crate) beyond: Beyond,
    /// All but this ASCII character: `memchr` finds the end of a loop.
    pub(crate) all_but: Option<u8>,
}

/// Which characters beyond ASCII belong to a class.
#[derive(Clone, Debug)]
pub(crate) enum Beyond {
    None,
    All,
    /// What `\w` takes or leaves: the commonest long table, not copied into each pattern.
    Word {
        negated: bool,
    },
    Some(CharSet),
}

/// Which bytes can come first, and whether the text may end there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstSet {
    bits: [u64; 4],
    pub(crate) end: bool,
}

impl FirstSet {
    pub(crate) fn none() -> Self {
        Self {
            bits: [0; 4],
            end: false,
        }
    }

    pub(crate) fn all() -> Self {
        Self {
            bits: [u64::MAX; 4],
            end: true,
        }
    }

    pub(crate) fn add(&mut self, byte: u8) {
        if let Some(bits) = self.bits.get_mut(usize::from(byte >> 6)) {
            *bits |= 1 << (byte & 63);
        }
    }

    /// Adds the bytes with which characters of a class start.
    pub(crate) fn add_class(&mut self, class: &Class) {
        let (low, high) = class.ascii.split_at(64);
        let beyond = if matches!(class.beyond, Beyond::None) {
            0
        } else {
            u64::MAX
        };
        let packed = |slots: &[bool]| slots.iter().rev().fold(0, |bits, &has| bits << 1 | u64::from(has));
        for (bits, more) in self.bits.iter_mut().zip([packed(low), packed(high), beyond, beyond]) {
            *bits |= more;
        }
    }

    #[inline]
    pub(crate) fn has(&self, byte: Option<u8>) -> bool {
        match byte {
            Some(byte) => self
                .bits
                .get(usize::from(byte >> 6))
                .is_none_or(|bits| bits >> (byte & 63) & 1 == 1),
            None => self.end,
        }
    }

    pub(crate) fn is_all(&self) -> bool {
        *self == Self::all()
    }
}

/// What is known of an instruction beside itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    /// First bytes of the two ways of a `Split`.
    pub(crate) ways: Option<[usize; 2]>,
    /// Literals without which ahead the ways of a `Split` are bound to fail, by index into [`Program::ahead`].
    pub(crate) needs: [Option<usize>; 2],
    /// First column of the memo, where there is one.
    pub(crate) column: usize,
    /// Marks of the loops around the instruction whose iterations may be empty, the inmost last.
    pub(crate) marks: Box<[usize]>,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) code: Vec<Inst>,
    pub(crate) notes: Vec<Note>,
    pub(crate) classes: Vec<Class>,
    pub(crate) first_sets: Vec<FirstSet>,
    /// Group positions, then marks and counters of loops.
    pub(crate) registers: usize,
    pub(crate) groups: usize,
    /// Columns of the memo per position; 0 when the pattern's state is more than place and position.
    pub(crate) columns: usize,
    /// Groups asked for by conditionals: part of the state the memo knows.
    pub(crate) conditional_groups: Vec<usize>,
    pub(crate) start: Start,
    /// Literals that some ways need ahead of them.
    pub(crate) ahead: Vec<memchr::memmem::FinderRev<'static>>,
    /// A literal without which a text has no match.
    pub(crate) needed: Option<Box<memchr::memmem::Finder<'static>>>,
}

/// Where a match can begin.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// Only at the start of a text that begins with one of these bytes.
    Text(Box<FirstSet>),
    /// At the start of the text and after line feeds.
    Line,
    /// Where this literal is.
    Literal(Box<memchr::memmem::Finder<'static>>),
    /// Where one of at most three bytes is.
    Bytes(Vec<u8>),
    /// Where one of these bytes is.
    Set(Box<FirstSet>),
    Anywhere,
}

impl Start {
    /// The first byte from `from` on where a match may begin.
    pub(crate) fn next(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let rest = bytes.get(from..)?;
        match self {
            Self::Text(_) => (from == 0).then_some(0),
            Self::Line if from == 0 || bytes.get(from - 1) == Some(&b'\n') => Some(from),
            Self::Line => memchr::memchr(b'\n', rest).map(|offset| from + offset + 1),
            Self::Literal(finder) => finder.find(rest).map(|offset| from + offset),
            Self::Bytes(bytes) => match *bytes.as_slice() {
                [] => None,
                [a] => memchr::memchr(a, rest),
                [a, b] => memchr::memchr2(a, b, rest),
                [a, b, c, ..] => memchr::memchr3(a, b, c, rest),
            }
            .map(|offset| from + offset),
            Self::Set(set) => rest
                .iter()
                .position(|&byte| set.has(Some(byte)))
                .map(|offset| from + offset),
            Self::Anywhere => Some(from),
        }
    }
}

/// The part of `\w` or `\W` beyond ASCII, which most classes have.
fn words_beyond_ascii(negated: bool) -> &'static Vec<(u32, u32)> {
    static WORDS: [OnceLock<Vec<(u32, u32)>>; 2] = [OnceLock::new(), OnceLock::new()];
    let [words, others] = &WORDS;
    let cell = if negated { others } else { words };
    cell.get_or_init(|| CharSet::category(Category::Word, negated, false).beyond_ascii())
}

impl Class {
    pub(crate) fn new(set: &CharSet) -> Self {
        let mut ascii = [false; 128];
        for &(first, last) in set.ranges() {
            // What is beyond ASCII has no slot.
            let ends = usize::try_from(first).and_then(|first| Ok((first, usize::try_from(last)?.min(127))));
            if let Some(slots) = ends.ok().and_then(|(first, last)| ascii.get_mut(first..=last)) {
                slots.fill(true);
            }
        }
        let high = set.beyond_ascii();
        let beyond = match *high.as_slice() {
            [] => Beyond::None,
            [(0x80, last)] if last == u32::from(char::MAX) => Beyond::All,
            _ => [false, true]
                .into_iter()
                .find(|&negated| *words_beyond_ascii(negated) == high)
                .map_or_else(
                    || Beyond::Some(CharSet::from_ranges(high.clone())),
                    |negated| Beyond::Word { negated },
                ),
        };
        let mut missing = (0_u8..)
            .zip(ascii.iter())
            .filter(|(_, has)| !**has)
            .map(|(byte, _)| byte);
        let all_but = match (missing.next(), missing.next(), &beyond) {
            (Some(byte), None, Beyond::All) => Some(byte),
            _ => None,
        };
        let mut goes_on = [matches!(beyond, Beyond::All); 256];
        for (slot, has) in goes_on.iter_mut().zip(ascii) {
            *slot = has;
        }
        Self {
            ascii,
            goes_on,
            beyond,
            all_but,
        }
    }

    /// Whether none of its characters starts with one of these bytes.
    pub(crate) fn shares_no_start(&self, bytes: &FirstSet) -> bool {
        let mut own = FirstSet::none();
        own.add_class(self);
        own.bits.iter().zip(bytes.bits).all(|(own, other)| own & other == 0)
    }

    /// Length of the character at `position` if it belongs to the class.
    #[inline]
    pub(crate) fn length_at(&self, text: &str, position: usize) -> Option<usize> {
        let byte = *text.as_bytes().get(position)?;
        match self.ascii.get(usize::from(byte)) {
            Some(true) => Some(1),
            Some(false) => None,
            None => self.length_beyond_ascii(text, position),
        }
    }

    #[cold]
    fn length_beyond_ascii(&self, text: &str, position: usize) -> Option<usize> {
        let character = text.get(position..)?.chars().next()?;
        let has = match &self.beyond {
            Beyond::None => false,
            Beyond::All => true,
            Beyond::Word { negated } => is_word(character, false) != *negated,
            Beyond::Some(set) => set.contains(u32::from(character)),
        };
        has.then_some(character.len_utf8())
    }
}

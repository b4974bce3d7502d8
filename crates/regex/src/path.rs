//! The way of a search, as what it asked of its text: any text that gives the same answers has the same outcome.
//!
//! The lines of a log are few sentences with other names in them. What a search does depends on its text by single questions
//! only: is this letter of that set, where do these letters end. In a [`Path`] the questions of one search stand in a row, those
//! known from others left out, so that a text of the same kind is decided by far fewer steps. A text that answers otherwise
//! is searched as ever. `trace.rs` writes paths down, `tests/cpython` holds them equal with CPython.

use memchr::memchr;
use memchr::memmem::Finder;

use crate::ast::Assertion;
use crate::machine::Machine;
use crate::quick::{Letters, Op, Quick, Repeat, Span, at, is_at};
use crate::trace;

/// A position, so many letters behind a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) mark: u16,
    pub(crate) offset: u16,
}

/// Positions that depend on the text; the first is its start.
pub(crate) const MOST_MARKS: usize = 32;
pub(crate) type Marks = [usize; MOST_MARKS];

/// A question about a text, with its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// A piece of [`Path::text`] stands there.
    Text {
        place: Place,
        start: u16,
        end: u16,
    },
    /// This letter stands there, or does not.
    Byte {
        place: Place,
        byte: u8,
        holds: bool,
    },
    /// A literal of the program does not stand there.
    NotLiteral {
        place: Place,
        literal: Span,
    },
    /// The letter there, or the end of the text, is of the set.
    Letter {
        place: Place,
        letters: Letters,
    },
    /// At the mark the letters end that a loop takes at first; it takes `min` at least, which is 0 or 1.
    Run {
        place: Place,
        mark: u16,
        min: u8,
        max: u16,
        but: Option<u8>,
        letters: Letters,
    },
    /// The same for the loop at `pc`, which stops before a text.
    Tempered {
        place: Place,
        mark: u16,
        pc: u32,
    },
    /// One place is not behind another, or is.
    Ordered {
        first: Place,
        second: Place,
        holds: bool,
    },
    /// The last position before `end`, and not before `low`, where what follows the loop at `pc` may begin; without a mark there is
    /// none.
    LastFit {
        low: Place,
        end: Place,
        pc: u32,
        mark: Option<u16>,
    },
    /// Where the lazy loop at `pc` ends next, after taking `left` letters at most; without a mark it does not.
    Next {
        place: Place,
        pc: u32,
        left: Option<u16>,
        mark: Option<u16>,
    },
    Assert {
        place: Place,
        what: Assertion,
        holds: bool,
    },
    /// A literal of [`Quick::ahead`] is neither there nor behind.
    NotAhead {
        place: Place,
        number: u32,
    },
    /// The text lacks every one of [`Paths::literals`].
    Lacks,
    /// An edge of the program.
    Edge {
        place: Place,
        number: u32,
        holds: bool,
    },
}

/// What a search asked, and what came out.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) asks: Box<[Ask]>,
    pub(crate) text: Box<[u8]>,
    /// Where the match ends, if there is one.
    pub(crate) end: Option<Place>,
    /// The registers of groups that are set.
    pub(crate) registers: Box<[(u16, Place)]>,
}

/// The ways of earlier searches with one pattern, for texts from one source. May serve another pattern: it begins anew then.
#[derive(Debug, Default)]
pub struct Paths {
    /// [`crate::Regex::id`] of the pattern.
    owner: u64,
    known: Vec<Path>,
    /// Of which every match contains one; none if that cannot be promised. Looked up for the first way that is written down.
    literals: Option<Box<[Finder<'static>]>>,
    hits: u32,
    missed: u32,
    wait: Wait,
    /// Searches are left alone: their texts had nothing in common.
    pause: Wait,
}

/// So many texts pass; each time more, so that what is in vain comes to an end.
#[derive(Debug, Default)]
struct Wait {
    left: u32,
    waited: u32,
}

impl Wait {
    /// Whether it is over; one more text has passed.
    fn is_over(&mut self) -> bool {
        let over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        over
    }

    fn begin(&mut self, first: u32) {
        self.left = self.waited.saturating_mul(4).clamp(first, LONGEST_WAIT);
        self.waited = self.left;
    }
}

/// Who has no more texts than so many needs no ways.
const ONCE: u32 = 2;
/// So many kinds of lines are told apart.
const MOST_PATHS: usize = 8;
/// When all are known, or a way cannot be written down, so many other texts pass at first before the next is tried.
const SELDOM: u32 = 64;
/// So many texts are tried before it is asked whether that is worth it, and so many left alone at first if not.
const TRIAL: u32 = 512;
const PAUSE: u32 = 1 << 14;
const LONGEST_WAIT: u32 = 1 << 26;

impl Paths {
    /// What came out of an earlier search that a text of ASCII answers alike; the registers of the machine are set as by it.
    pub(crate) fn follow(&mut self, owner: u64, quick: &Quick, bytes: &[u8], machine: &mut Machine) -> Option<bool> {
        if self.owner != owner {
            *self = Self {
                owner,
                ..Self::default()
            };
        }
        if !self.pause.is_over() {
            return None;
        }
        let mut marks = [0; MOST_MARKS];
        let literals = self.literals.as_deref().unwrap_or_default();
        let fits = |path: &Path| path.fits(quick, literals, bytes, &mut marks);
        let found = self.known.iter().position(fits);
        let Some(number) = found else {
            self.missed = self.missed.saturating_add(1);
            return None;
        };
        self.hits = self.hits.saturating_add(1);
        let path = self.known.get(number)?;
        let outcome = path.end.is_some();
        path.tell(quick, &marks, machine);
        // What is frequent comes first.
        if let Some(before) = number.checked_sub(1) {
            self.known.swap(before, number);
        }
        Some(outcome)
    }

    /// Writes down the way of a search that [`Self::follow`] knew nothing of, now and then.
    pub(crate) fn learn<'a>(&mut self, quick: &Quick, bytes: &[u8], literals: impl FnOnce() -> Option<&'a [Vec<u8>]>) {
        if self.pause.left > 0 || (self.known.is_empty() && self.missed <= ONCE) {
            return;
        }
        if self.hits.saturating_add(self.missed) >= TRIAL {
            if self.hits < self.missed {
                self.known = Vec::new();
                self.pause.begin(PAUSE);
            }
            (self.hits, self.missed) = (0, 0);
            return;
        }
        if !self.wait.is_over() {
            return;
        }
        if self.known.len() >= MOST_PATHS {
            self.known.pop();
        }
        let literals = self.literals.get_or_insert_with(|| {
            let literals = literals().unwrap_or_default();
            literals
                .iter()
                .map(|literal| Finder::new(literal).into_owned())
                .collect()
        });
        let path = trace::path(quick, literals, bytes);
        let is_known = path.is_some();
        self.known.extend(path);
        if !is_known || self.known.len() >= MOST_PATHS {
            self.wait.begin(SELDOM);
        }
    }

    /// For tests: how many texts were decided by the ways of earlier ones.
    #[doc(hidden)]
    pub fn hits(&self) -> u32 {
        self.hits
    }
}

impl Path {
    /// Whether a text of ASCII gives the answers.
    fn fits(&self, quick: &Quick, literals: &[Finder<'_>], bytes: &[u8], marks: &mut Marks) -> bool {
        self.asks
            .iter()
            .all(|ask| self.holds(ask, quick, literals, bytes, marks))
    }

    #[inline]
    fn holds(&self, ask: &Ask, quick: &Quick, literals: &[Finder<'_>], bytes: &[u8], marks: &mut Marks) -> bool {
        match *ask {
            Ask::Text { place, start, end } => {
                let text = self.text.get(usize::from(start)..usize::from(end)).unwrap_or_default();
                let begin = position(marks, place);
                bytes
                    .get(begin..begin + text.len())
                    .is_some_and(|there| are_same(there, text))
            }
            Ask::Byte { place, byte, holds } => (bytes.get(position(marks, place)) == Some(&byte)) == holds,
            Ask::NotLiteral { place, literal } => {
                !rest(bytes, position(marks, place)).starts_with(quick.literal(literal))
            }
            Ask::Letter { place, letters } => quick.has(letters, bytes, position(marks, place)),
            Ask::Run {
                place,
                mark,
                min,
                max,
                but,
                letters,
            } => {
                let begin = position(marks, place);
                let rest = rest(bytes, begin);
                let taken = match but {
                    Some(letter) => memchr(letter, rest).unwrap_or(rest.len()),
                    None => quick.run_in(letters, rest.get(..usize::from(max)).unwrap_or(rest)),
                };
                set(marks, mark, begin + taken);
                taken >= usize::from(min)
            }
            Ask::Tempered { place, mark, pc } => {
                let begin = position(marks, place);
                set(marks, mark, begin + tempered_run(quick, pc, bytes, begin));
                true
            }
            Ask::Ordered { first, second, holds } => (position(marks, first) <= position(marks, second)) == holds,
            Ask::LastFit { low, end, pc, mark } => {
                let Some(repeat) = repeat(quick, pc) else { return false };
                let found = quick.last_fit(repeat, bytes, position(marks, low), position(marks, end));
                as_marked(marks, mark, found)
            }
            Ask::Next { place, pc, left, mark } => {
                let found = next(quick, pc, bytes, position(marks, place), left);
                as_marked(marks, mark, found)
            }
            Ask::Assert { place, what, holds } => is_at(what, bytes, position(marks, place)) == holds,
            Ask::NotAhead { place, number } => is_not_ahead(quick, number, bytes, position(marks, place)),
            Ask::Lacks => literals.iter().all(|literal| literal.find(bytes).is_none()),
            Ask::Edge { place, number, holds } => {
                let begin = position(marks, place);
                let edge = quick.edges.get(at(number));
                edge.is_some_and(|edge| quick.meets(edge, bytes, begin) == holds)
            }
        }
    }

    /// Sets the registers as the search would have.
    pub(crate) fn tell(&self, quick: &Quick, marks: &Marks, machine: &mut Machine) {
        let Some(end) = self.end else {
            machine.found_nothing(1);
            return;
        };
        machine.make_ready(quick.registers, quick.groups);
        for (register, place) in &self.registers {
            machine.write_register(usize::from(*register), position(marks, *place), false);
        }
        machine.found(0, position(marks, end), 1);
    }
}

#[inline]
pub(crate) fn position(marks: &Marks, place: Place) -> usize {
    // No bound to be checked: there are 32.
    marks
        .get(usize::from(place.mark) & (MOST_MARKS - 1))
        .copied()
        .unwrap_or_default()
        + usize::from(place.offset)
}

fn set(marks: &mut Marks, mark: u16, position: usize) {
    if let Some(mark) = marks.get_mut(usize::from(mark)) {
        *mark = position;
    }
}

/// Whether there is a position just where there was one; it becomes the mark.
fn as_marked(marks: &mut Marks, mark: Option<u16>, found: Option<usize>) -> bool {
    match (mark, found) {
        (Some(mark), Some(found)) => {
            set(marks, mark, found);
            true
        }
        (None, None) => true,
        _ => false,
    }
}

/// Whether two pieces of the same length are the same; most are short.
#[inline]
fn are_same(one: &[u8], other: &[u8]) -> bool {
    if let (Some(one_begins), Some(other_begins), Some(one_ends), Some(other_ends)) = (
        one.first_chunk::<8>(),
        other.first_chunk::<8>(),
        one.last_chunk::<8>(),
        other.last_chunk::<8>(),
    ) {
        return one_begins == other_begins && one_ends == other_ends && (one.len() <= 16 || one == other);
    }
    one.iter().zip(other).all(|(one, other)| one == other)
}

fn rest(bytes: &[u8], position: usize) -> &[u8] {
    bytes.get(position..).unwrap_or_default()
}

/// The letters of the loop at an instruction.
pub(crate) fn repeat(quick: &Quick, pc: u32) -> Option<&Repeat> {
    match quick.code.get(at(pc))? {
        Op::Greedy(repeat) | Op::Possessive(repeat) | Op::Lazy(repeat) => Some(repeat),
        Op::Tempered(number) => quick.tempered.get(at(*number)).map(|tempered| &tempered.repeat),
        _ => None,
    }
}

pub(crate) fn is_not_ahead(quick: &Quick, number: u32, bytes: &[u8], position: usize) -> bool {
    let literal = quick.ahead.get(at(number));
    literal.is_some_and(|literal| literal.rfind(rest(bytes, position)).is_none())
}

/// How many letters a loop takes at first that stops before a text.
pub(crate) fn tempered_run(quick: &Quick, pc: u32, bytes: &[u8], position: usize) -> usize {
    let Some(Op::Tempered(number)) = quick.code.get(at(pc)) else {
        return 0;
    };
    let Some(tempered) = quick.tempered.get(at(*number)) else {
        return 0;
    };
    let rest = rest(bytes, position);
    let stop = tempered.stop.find(rest).unwrap_or(rest.len());
    quick.run_in(tempered.repeat.letters, rest.get(..stop).unwrap_or(rest))
}

/// Where the lazy loop at an instruction ends next.
pub(crate) fn next(quick: &Quick, pc: u32, bytes: &[u8], from: usize, left: Option<u16>) -> Option<usize> {
    let repeat = repeat(quick, pc)?;
    let stop = match quick.code.get(at(pc)) {
        Some(Op::Tempered(number)) => quick.tempered.get(at(*number)).map(|tempered| tempered.stop.needle()),
        _ => None,
    };
    let mut position = from;
    let mut left = left.map_or(usize::MAX, usize::from);
    loop {
        let rest = rest(bytes, position);
        let letter = rest.first()?;
        if left == 0 || !quick.has_letter(repeat.letters, *letter) || stop.is_some_and(|stop| rest.starts_with(stop)) {
            return None;
        }
        position += 1;
        left -= 1;
        if quick.has(repeat.follow, bytes, position) {
            return Some(position);
        }
    }
}

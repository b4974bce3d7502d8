//! A program in a form that runs faster, for texts of ASCII: what nearly every search is done by.
//!
//! It goes the ways of `machine.rs` in the same order, without a memo and without characters of several bytes. Letters that no
//! part of the program tells apart share a class, so that a set of letters is a bit for each class. A search that takes
//! many steps, and any other text or program, is given to the machine, which begins anew: so this never has to give up.
//! The whole program of the machine is made anew when it is needed, which spares memory. Run by `sprint.rs`.

use memchr::memchr;
use memchr::memmem::{Finder, FinderRev};

use crate::ast::{Assertion, RepeatKind};
use crate::charset::Case;
use crate::program::{Class, FirstSet, Inst, Loop, Program, Start, SubKind};

/// One instruction. The representation spares the machine the way through a niche, at every step.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Op {
    Byte(u8),
    Literal(Span),
    Letter(Letters),
    /// Gives back what it took, from the end.
    Greedy(Repeat),
    /// Never gives anything back.
    Possessive(Repeat),
    Lazy(Repeat),
    /// `(?:(?!stop).)*`: an index into [`Quick::tempered`].
    Tempered(u32),
    Split {
        first: u32,
        second: u32,
        /// With which letters the ways may begin.
        to_first: Letters,
        to_second: Letters,
    },
    /// Choices in a row, as far as the next letter decides them: `ways` is an index into [`Quick::switches`].
    Switch {
        ways: u32,
        first: u32,
        second: u32,
    },
    /// A choice whose ways may need a literal ahead: an index into [`Quick::needy`].
    NeedySplit(u32),
    Jump(u32),
    Save(u32),
    Clear(u32),
    Assert(Assertion),
    /// An index into [`Quick::parts`].
    Sub(u32),
    SubEnd,
    /// A look-ahead at one letter or a place, such as `(?=^|\b|\W)`: an index into [`Quick::edges`].
    Edge(u32),
    LookLiteral {
        literal: Span,
        negative: bool,
    },
    Backreference {
        group: u32,
        folded: bool,
    },
    Conditional {
        group: u32,
        no: u32,
    },
    LoopHead {
        mark: u32,
        exit: u32,
    },
    CounterReset(u32),
    /// An index into [`Quick::counters`].
    CounterHead(u32),
    CounterEnter {
        counter: u32,
        min: u32,
        mark: u32,
    },
    Match,
}

/// A set of letters: a bit for each class, and one for the end of the text.
pub(crate) type Letters = u64;

/// The class that stands for the end of the text.
const END: u8 = 63;
/// So many classes have a bit.
const MOST_CLASSES: usize = 63;
/// To try the ways of others on longer texts may cost more than it saves.
const LONGEST_WITH_PATHS: usize = 4096;
/// The number of repetitions that have no limit.
pub(crate) const ENDLESS: u16 = u16::MAX;

/// A piece of [`Quick::text`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

/// A repetition of letters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    pub(crate) letters: Letters,
    /// With which letters what follows may begin.
    pub(crate) follow: Letters,
    pub(crate) min: u16,
    /// Or [`ENDLESS`].
    pub(crate) max: u16,
    /// It takes all letters but this one: `memchr` finds the end.
    pub(crate) but: Option<u8>,
}

/// A loop that stops before a text.
#[derive(Clone, Debug)]
pub(crate) struct Tempered {
    pub(crate) repeat: Repeat,
    pub(crate) stop: Finder<'static>,
    pub(crate) kind: RepeatKind,
}

/// A choice whose ways may need a literal ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needy {
    pub(crate) first: u32,
    pub(crate) second: u32,
    pub(crate) to_first: Letters,
    pub(crate) to_second: Letters,
    /// Indexes into [`Quick::ahead`].
    pub(crate) needs: [Option<u32>; 2],
}

/// A look-around, atomic group or possessive repetition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) kind: SubKind,
    pub(crate) end: u32,
}

/// What a look-ahead at one letter asks for: one of these is enough.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The instruction behind it.
    pub(crate) end: u32,
    pub(crate) letters: Letters,
    pub(crate) places: Box<[Assertion]>,
}

/// Where choices in a row lead, by class of the next letter, and last of all at the end of the text.
type Ways = Box<[u16]>;

/// Where a choice leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Neither way is open.
    Nowhere,
    /// Both are.
    Both,
    To(usize),
}

const NOWHERE: u16 = u16::MAX;
const BOTH: u16 = u16::MAX - 1;

/// Whether a repetition goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    pub(crate) register: u32,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) lazy: bool,
    pub(crate) mark: u32,
    pub(crate) exit: u32,
}

/// A program for texts of ASCII.
#[derive(Clone, Debug)]
pub(crate) struct Quick {
    pub(crate) code: Box<[Op]>,
    /// The instruction to begin at.
    pub(crate) begin: usize,
    /// By letter the number of its class.
    pub(crate) classes: Box<[u8; 128]>,
    /// All literals.
    text: Box<[u8]>,
    pub(crate) tempered: Box<[Tempered]>,
    pub(crate) needy: Box<[Needy]>,
    pub(crate) switches: Box<[Ways]>,
    pub(crate) parts: Box<[Part]>,
    pub(crate) edges: Box<[Edge]>,
    pub(crate) counters: Box<[Counter]>,
    pub(crate) ahead: Box<[FinderRev<'static>]>,
    pub(crate) registers: usize,
    pub(crate) groups: usize,
    pub(crate) start: Start,
    pub(crate) needed: Option<Box<Finder<'static>>>,
}

impl Quick {
    /// `None` for the few programs that do what is not done here.
    pub(crate) fn new(program: &Program) -> Option<Self> {
        let classes = classes(program)?;
        let mut made = Making {
            program,
            classes: &classes,
            text: Vec::new(),
            tempered: Vec::new(),
            needy: Vec::new(),
            parts: Vec::new(),
            edges: Vec::new(),
            counters: Vec::new(),
        };
        let code: Option<Box<[Op]>> = (0..program.code.len()).map(|pc| made.op(pc)).collect();
        let mut code = code?;
        let switches = switches(&mut code, &classes);
        Some(Self {
            begin: usize::from(
                matches!(program.start, Start::Text(_))
                    && matches!(code.first(), Some(Op::Assert(Assertion::TextStart))),
            ),
            code,
            text: made.text.into(),
            tempered: made.tempered.into(),
            needy: made.needy.into(),
            switches,
            parts: made.parts.into(),
            edges: made.edges.into(),
            counters: made.counters.into(),
            classes: Box::new(classes),
            ahead: program.ahead.clone().into(),
            registers: program.registers,
            groups: program.groups,
            start: program.start.clone(),
            needed: program.needed.clone(),
        })
    }

    /// Whether the ways of searches in a text can be written down, see `path.rs`.
    pub(crate) fn has_paths(&self, bytes: &[u8]) -> bool {
        match &self.start {
            Start::Text(leading) => {
                leading.has(bytes.first().copied()) && bytes.len() <= LONGEST_WITH_PATHS && bytes.is_ascii()
            }
            _ => false,
        }
    }

    #[inline]
    pub(crate) fn literal(&self, span: Span) -> &[u8] {
        self.text.get(at(span.start)..at(span.end)).unwrap_or_default()
    }

    /// The class of the letter at a position, or what stands for the end of the text.
    #[inline]
    fn class(&self, bytes: &[u8], position: usize) -> u8 {
        bytes.get(position).map_or(END, |letter| self.class_of(*letter))
    }

    #[inline]
    fn class_of(&self, letter: u8) -> u8 {
        // The text is ASCII.
        self.classes.get(usize::from(letter & 127)).copied().unwrap_or_default() & 63
    }

    /// Whether a set has the letter at a position, or the end of the text.
    #[inline]
    pub(crate) fn has(&self, letters: Letters, bytes: &[u8], position: usize) -> bool {
        letters >> self.class(bytes, position) & 1 != 0
    }

    /// Whether a set has a letter.
    #[inline]
    pub(crate) fn has_letter(&self, letters: Letters, letter: u8) -> bool {
        letters >> self.class_of(letter) & 1 != 0
    }

    /// How many letters of a text in a row are of a set.
    #[inline]
    pub(crate) fn run_in(&self, letters: Letters, text: &[u8]) -> usize {
        let ends = |letter: &u8| !self.has_letter(letters, *letter);
        text.iter().position(ends).unwrap_or(text.len())
    }

    /// How many letters a loop takes at first.
    #[inline]
    pub(crate) fn run(&self, repeat: &Repeat, bytes: &[u8], position: usize) -> usize {
        let rest = bytes.get(position..).unwrap_or_default();
        match (repeat.but, repeat.max) {
            (Some(letter), _) => memchr(letter, rest).unwrap_or(rest.len()),
            (None, ENDLESS) => self.run_in(repeat.letters, rest),
            (None, max) => self.run_in(repeat.letters, rest.get(..usize::from(max)).unwrap_or(rest)),
        }
    }

    /// The last position before `end`, and not before `low`, where what follows a loop may begin.
    #[inline]
    pub(crate) fn last_fit(&self, repeat: &Repeat, bytes: &[u8], low: usize, end: usize) -> Option<usize> {
        (low..end)
            .rev()
            .find(|position| self.has(repeat.follow, bytes, *position))
    }

    /// Whether a text gives an edge what it asks for.
    pub(crate) fn meets(&self, edge: &Edge, bytes: &[u8], position: usize) -> bool {
        self.has(edge.letters, bytes, position) || edge.places.iter().any(|place| is_at(*place, bytes, position))
    }

    /// Where choices in a row lead.
    #[inline]
    pub(crate) fn way(&self, ways: u32, bytes: &[u8], position: usize) -> Way {
        let ways: &[u16] = self.switches.get(at(ways)).map_or(&[], |ways| ways);
        let way = match bytes.get(position) {
            Some(letter) => ways.get(usize::from(self.class_of(*letter))),
            None => ways.last(),
        };
        match way.copied().unwrap_or(NOWHERE) {
            NOWHERE => Way::Nowhere,
            BOTH => Way::Both,
            way => Way::To(usize::from(way)),
        }
    }
}

impl Quick {
    /// The letter of a set that has no other, nor the end of the text.
    pub(crate) fn only_letter(&self, letters: Letters) -> Option<u8> {
        let mut of_set = (0..128).filter(|letter| self.has_letter(letters, *letter));
        let only = of_set.next()?;
        (of_set.next().is_none() && letters >> END & 1 == 0).then_some(only)
    }

    /// All letters, and the end of the text, that choices in a row lead where the one at a position leads.
    pub(crate) fn leading_alike(&self, ways: u32, bytes: &[u8], position: usize) -> Letters {
        let ways: &[u16] = self.switches.get(at(ways)).map_or(&[], |ways| ways);
        let Some((end, ways)) = ways.split_last() else {
            return Letters::MAX;
        };
        let letters = ways.iter().zip(0_u32..);
        let all = || {
            letters
                .clone()
                .map(|(way, class)| (*way, class))
                .chain([(*end, u32::from(END))])
        };
        let here = u32::from(self.class(bytes, position));
        let way = all().find(|(_, class)| *class == here).map(|(way, _)| way);
        all()
            .filter(|(other, _)| Some(*other) == way)
            .fold(0, |letters, (_, class)| letters | 1 << class)
    }
}

/// Whether a place is at a position of a text of ASCII.
pub(crate) fn is_at(place: Assertion, bytes: &[u8], position: usize) -> bool {
    let Assertion::WordBoundary { negated, .. } = place else {
        return place.holds(bytes, position).unwrap_or_default();
    };
    place.holds(bytes, position).unwrap_or_else(|| {
        let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let before = position.checked_sub(1).and_then(|before| bytes.get(before));
        (word(before) != word(bytes.get(position))) != negated
    })
}

/// As an index; no program or text is as long as the numbers reach.
#[inline]
pub(crate) fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Puts choices in a row together where the next letter decides them: all the optional parts of a pattern that are not there
/// take one step then.
fn switches(code: &mut [Op], classes: &[u8; 128]) -> Box<[Ways]> {
    let count = classes.iter().max().map_or(1, |most| most + 1);
    let mut switches: Vec<Ways> = Vec::new();
    if code.len() >= usize::from(BOTH) {
        return switches.into();
    }
    let mut made = Vec::new();
    for (pc, op) in code.iter().enumerate() {
        let Op::Split { first, second, .. } = *op else { continue };
        let chooses = |pc: u32| matches!(code.get(at(pc)), Some(Op::Split { .. }));
        if !chooses(first) && !chooses(second) {
            continue;
        }
        let ways: Ways = (0..count).chain([END]).map(|class| lead(code, pc, class)).collect();
        let known = switches.iter().position(|known| *known == ways);
        let number = known.unwrap_or_else(|| {
            switches.push(ways);
            switches.len() - 1
        });
        if let Ok(ways) = u32::try_from(number) {
            made.push((pc, Op::Switch { ways, first, second }));
        }
    }
    for (pc, op) in made {
        if let Some(place) = code.get_mut(pc) {
            *place = op;
        }
    }
    switches.into()
}

/// Where the choice at `pc` leads if the next letter is of a class, and the choices behind it.
fn lead(code: &[Op], pc: usize, class: u8) -> u16 {
    let mut way = pc;
    // Choices in a circle would be no program.
    for _ in 0..code.len() {
        let Some(Op::Split {
            first,
            second,
            to_first,
            to_second,
        }) = code.get(way)
        else {
            break;
        };
        let open = |letters: &Letters| letters >> class & 1 != 0;
        way = match (open(to_first), open(to_second)) {
            (true, false) => at(*first),
            (false, true) => at(*second),
            (false, false) => return NOWHERE,
            (true, true) if way == pc => return BOTH,
            (true, true) => break,
        };
    }
    u16::try_from(way).unwrap_or(NOWHERE)
}

/// By letter the number of its class: letters of one are told apart by nothing. `None` if there are too many.
fn classes(program: &Program) -> Option<[u8; 128]> {
    let mut classes = [0_u8; 128];
    let mut count = 1;
    let mut divide = |has: &dyn Fn(u8) -> bool| {
        // For each class before, where its letters go that are in the set or not.
        let mut places = [[None; 2]; 128];
        let mut next = 0_u8;
        for (letter, class) in (0_u8..).zip(&mut classes) {
            let place = places
                .get_mut(usize::from(*class))
                .and_then(|places| places.get_mut(usize::from(has(letter))));
            if let Some(place) = place {
                *class = *place.get_or_insert_with(|| {
                    next += 1;
                    next - 1
                });
            }
        }
        count = usize::from(next);
    };
    for class in &program.classes {
        divide(&|letter| class.ascii.get(usize::from(letter)).is_some_and(|has| *has));
    }
    for set in &program.first_sets {
        divide(&|letter| set.has(Some(letter)));
    }
    (count <= MOST_CLASSES).then_some(classes)
}

struct Making<'a> {
    program: &'a Program,
    classes: &'a [u8; 128],
    text: Vec<u8>,
    tempered: Vec<Tempered>,
    needy: Vec<Needy>,
    parts: Vec<Part>,
    edges: Vec<Edge>,
    counters: Vec<Counter>,
}

impl Making<'_> {
    fn op(&mut self, pc: usize) -> Option<Op> {
        let number = |number: usize| u32::try_from(number).ok();
        Some(match self.program.code.get(pc)? {
            Inst::Byte(byte) => Op::Byte(*byte),
            Inst::Literal(literal) => Op::Literal(self.keep(literal)?),
            Inst::Class(class) => Op::Letter(self.letters(*class)?),
            Inst::Loop(repeat) => self.repeat(repeat)?,
            Inst::Split { first, second } => self.split(pc, *first, *second)?,
            Inst::Jump(to) => Op::Jump(self.target(*to)?),
            Inst::Save(register) => Op::Save(number(*register)?),
            Inst::Clear(register) => Op::Clear(number(*register)?),
            Inst::Assert(place) => Op::Assert(*place),
            Inst::Sub { kind, end } => {
                let ahead = SubKind::Look {
                    behind: None,
                    negative: false,
                };
                let mut edge = (0, Vec::new());
                if *kind == ahead && self.asks(pc + 1, *end, &mut edge).is_some() {
                    let (letters, places) = edge;
                    self.edges.push(Edge {
                        end: number(*end)?,
                        letters,
                        places: places.into(),
                    });
                    return Some(Op::Edge(number(self.edges.len() - 1)?));
                }
                self.parts.push(Part {
                    kind: *kind,
                    end: number(*end)?,
                });
                Op::Sub(number(self.parts.len() - 1)?)
            }
            Inst::SubEnd { .. } => Op::SubEnd,
            Inst::LookLiteral { literal, negative } => Op::LookLiteral {
                literal: self.keep(literal)?,
                negative: *negative,
            },
            // In ASCII all ways to fold case are one.
            Inst::Backreference { group, case } => Op::Backreference {
                group: number(*group)?,
                folded: *case != Case::Exact,
            },
            Inst::Conditional { group, no } => Op::Conditional {
                group: number(*group)?,
                no: self.target(*no)?,
            },
            Inst::LoopHead { mark, exit } => Op::LoopHead {
                mark: number(*mark)?,
                exit: self.target(*exit)?,
            },
            Inst::CounterReset(counter) => Op::CounterReset(number(*counter)?),
            Inst::CounterHead {
                counter,
                min,
                max,
                lazy,
                mark,
                exit,
            } => {
                self.counters.push(Counter {
                    register: number(*counter)?,
                    min: number(*min)?,
                    max: u32::try_from(*max).unwrap_or(u32::MAX),
                    lazy: *lazy,
                    mark: number(*mark)?,
                    exit: self.target(*exit)?,
                });
                Op::CounterHead(number(self.counters.len() - 1)?)
            }
            Inst::CounterEnter { counter, min, mark } => Op::CounterEnter {
                counter: number(*counter)?,
                min: number(*min)?,
                mark: number(*mark)?,
            },
            Inst::Match => Op::Match,
        })
    }

    /// Gathers what the inside of a look-ahead asks for from an instruction on, if each of its ways is one question.
    fn asks(&self, pc: usize, end: usize, edge: &mut (Letters, Vec<Assertion>)) -> Option<()> {
        match self.program.code.get(pc)? {
            // Ways only lead further.
            Inst::Split { first, second } if *first > pc && *second > pc => {
                self.asks(*first, end, edge)?;
                return self.asks(*second, end, edge);
            }
            Inst::Assert(place) => edge.1.push(*place),
            Inst::Class(class) => edge.0 |= self.letters(*class)?,
            _ => return None,
        }
        // Then it is the end.
        let mut next = pc + 1;
        while let Some(Inst::Jump(to)) = self.program.code.get(next)
            && *to > next
        {
            next = *to;
        }
        (next + 1 == end && matches!(self.program.code.get(next), Some(Inst::SubEnd { .. }))).then_some(())
    }

    fn repeat(&mut self, repeat: &Loop) -> Option<Op> {
        let class = self.program.classes.get(repeat.class)?;
        let mut missing = (0_u8..).zip(class.ascii).filter(|(_, has)| !has);
        let letters = Repeat {
            letters: self.letters_of(class),
            follow: self.first_letters(repeat.follow)?,
            min: u16::try_from(repeat.min).ok()?,
            max: match repeat.max {
                usize::MAX => ENDLESS,
                max => u16::try_from(max).ok().filter(|max| *max < ENDLESS)?,
            },
            but: missing
                .next()
                .filter(|_| missing.next().is_none() && repeat.max == usize::MAX)
                .map(|(letter, _)| letter),
        };
        if let Some(stop) = &repeat.stop {
            self.tempered.push(Tempered {
                repeat: letters,
                stop: (**stop).clone(),
                kind: repeat.kind,
            });
            return Some(Op::Tempered(u32::try_from(self.tempered.len() - 1).ok()?));
        }
        Some(match repeat.kind {
            RepeatKind::Greedy => Op::Greedy(letters),
            RepeatKind::Possessive => Op::Possessive(letters),
            RepeatKind::Lazy => Op::Lazy(letters),
        })
    }

    fn split(&mut self, pc: usize, first: usize, second: usize) -> Option<Op> {
        let note = self.program.notes.get(pc)?;
        let (to_first, to_second) = match note.ways {
            Some([first, second]) => (self.first_letters(first)?, self.first_letters(second)?),
            None => (Letters::MAX, Letters::MAX),
        };
        let (first, second) = (self.target(first)?, self.target(second)?);
        if note.needs == [None; 2] {
            return Some(Op::Split {
                first,
                second,
                to_first,
                to_second,
            });
        }
        let [one, other] = note.needs.map(|need| need.map(u32::try_from));
        self.needy.push(Needy {
            first,
            second,
            to_first,
            to_second,
            needs: [one.transpose().ok()?, other.transpose().ok()?],
        });
        Some(Op::NeedySplit(u32::try_from(self.needy.len() - 1).ok()?))
    }

    /// Where a jump to an instruction leads in the end.
    fn target(&self, mut pc: usize) -> Option<u32> {
        // Jumps in a circle would be no program; they end here all the same.
        for _ in 0..self.program.code.len() {
            match self.program.code.get(pc) {
                Some(Inst::Jump(to)) => pc = *to,
                _ => break,
            }
        }
        u32::try_from(pc).ok()
    }

    fn keep(&mut self, literal: &[u8]) -> Option<Span> {
        let start = u32::try_from(self.text.len()).ok()?;
        self.text.extend_from_slice(literal);
        let end = u32::try_from(self.text.len()).ok()?;
        Some(Span { start, end })
    }

    fn letters(&self, class: usize) -> Option<Letters> {
        Some(self.letters_of(self.program.classes.get(class)?))
    }

    fn letters_of(&self, class: &Class) -> Letters {
        self.bits(|letter| class.ascii.get(usize::from(letter)).is_some_and(|has| *has))
    }

    fn first_letters(&self, set: usize) -> Option<Letters> {
        let set: &FirstSet = self.program.first_sets.get(set)?;
        Some(self.bits(|letter| set.has(Some(letter))) | Letters::from(set.end) << END)
    }

    fn bits(&self, has: impl Fn(u8) -> bool) -> Letters {
        let letters = (0_u8..).zip(self.classes).filter(|(letter, _)| has(*letter));
        letters.fold(0, |bits, (_, class)| bits | 1 << (class & 63))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Flags, Regex, Scratch};

    /// Else the tests that compare it with CPython would compare the machine twice.
    #[test]
    fn what_patterns_are_made_of_is_searched_in_the_short_form() {
        let mut scratch = Scratch::default();
        for (pattern, text, found) in [
            (
                r"^\s*(?:\S+\s+)?sshd(?:\[\d+\])?: (?P<content>.+)$",
                "h sshd[7]: x y\n",
                true,
            ),
            (r"^(?:(?P<u>\S+)|[^:]+) from (\d+)(?(u): |$)", "bob from 12\n", true),
            (
                r"^(?:(?! from ).)*? from (?:\d{1,3}\.){3}\d{1,3}$",
                "a from 192.0.2.7",
                true,
            ),
            (r"(?i)(?P<s>[-x])(\d+)(?P=s)end\b", "1 X22xEND.", true),
            (r"(?=^|\b|\W)(?<=t=)\d+(?=\b|\W|$)(?!\.)", "at t=12 x", true),
            (r"^(?>a+|b)*+c{2,}?(?:d|e|f){1,3}$", "aabccde", true),
            (r"^(?:ab|c){2000,2500}$", "abc", false),
            (r"user=<(?!root>)[^>]*>", "user=<root>", false),
        ] {
            let regex = Regex::new(pattern, Flags::default()).unwrap();
            let quick = regex.quick().expect(pattern);
            assert_eq!(
                scratch.machine.sprint(quick, text, 1_000),
                Some(found),
                "{pattern} on {text:?}"
            );
            assert_eq!(
                regex.search_plainly(text, &mut scratch),
                Ok(found),
                "{pattern} on {text:?}"
            );
        }
        let regex = Regex::new("a+b", Flags::default()).unwrap();
        let quick = regex.quick().unwrap();
        assert_eq!(scratch.machine.sprint(quick, "\u{fc}aab", 1_000), None, "not ASCII");
        assert_eq!(
            scratch.machine.sprint(quick, &"a".repeat(100_000), 1_000),
            None,
            "too many steps"
        );
        assert_eq!(scratch.machine.sprint(quick, "aab", 0), None, "no steps");
    }
}

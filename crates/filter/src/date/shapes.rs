//! Which templates of a list may match a line at all, and from where: asked before they are searched for, one by one.
//!
//! An automaton of bytes goes through what all of them can match together. It takes no account of what patterns assert, and
//! passes every template where a byte is not ASCII: what it excludes does not match, what it admits has to be searched for.
//! Start reading at [`Shapes::each`].

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use super::outline::{ByteSet, Outline, is_word};
use super::template::{BOUNDARY, Template};

/// Templates by their numbers in the list.
pub(super) type Mask = u64;

/// The templates of one list.
#[derive(Debug)]
pub(super) struct Shapes {
    /// Templates for the start of a line.
    begin: Automaton,
    /// The same behind anything at the start of a line; with the others together there would be many more states.
    behind: Automaton,
    /// All others.
    inner: Vec<Inner>,
    /// Those of which nothing is known.
    always: Mask,
}

/// Templates that match anywhere in a line.
#[derive(Debug)]
struct Inner {
    automaton: Automaton,
    /// By byte: where a match that begins with it leads.
    first: [u16; 256],
    /// By byte: [`BEGINS`] and [`WORD`].
    traits: [u8; 256],
    hook: Hook,
}

/// A match may begin with it.
const BEGINS: u8 = 1;
/// No match begins in the midst of such bytes.
const WORD: u8 = 2;

/// What is looked for first, as it is rarer than what a match may begin with. Of texts of ASCII.
#[derive(Debug)]
enum Hook {
    /// A colon, at most so many bytes behind the begin.
    Colon(usize),
    /// Of these bytes [`RUN`] in a row, right behind the begin.
    Run(Box<[bool; 256]>),
    Nothing,
}

/// The length of [`Hook::Run`].
const RUN: usize = 6;
/// A colon may not be farther away.
const FAR: usize = 64;

/// Which templates may match, and where a match begins at the earliest.
#[derive(Clone, Debug)]
pub(super) struct Possible {
    pub(super) mask: Mask,
    first: [u32; 64],
}

impl Possible {
    /// Every template, anywhere.
    pub(super) const ALL: Self = Self {
        mask: Mask::MAX,
        first: [0; 64],
    };

    /// Where a match begins at the earliest; `None` if there is none.
    pub(super) fn first(&self, template: usize) -> Option<usize> {
        // Lists are short enough for that where anything is excluded.
        let Some(first) = self.first.get(template) else {
            return Some(0);
        };
        (self.mask & bit(template) != 0).then(|| usize::try_from(*first).unwrap_or(0))
    }
}

/// The bit of a template.
pub(super) fn bit(template: usize) -> Mask {
    u32::try_from(template)
        .ok()
        .and_then(|template| 1_u64.checked_shl(template))
        .unwrap_or(0)
}

/// Dates are told apart by so many bytes, and few other texts are as long and like one.
const BEGINNING: usize = 10;

/// How the pattern of a template may begin.
enum Entry {
    LineBegin,
    /// Not in the middle of a word.
    Bounded,
    Anywhere,
}

impl Shapes {
    /// `None` if there are too many templates.
    pub(super) fn of(templates: &[Template]) -> Option<Self> {
        (templates.len() <= 64).then_some(())?;
        let [mut begin, mut behind, mut clocks, mut others] = [(); 4].map(|()| Nodes::default());
        let (mut always, mut bounded, mut reach) = (0, true, 0);
        for (number, template) in templates.iter().enumerate() {
            let Some((entry, outline)) = entered(&template.source) else {
                always |= bit(number);
                continue;
            };
            let colon = outline.before_colon().filter(|before| *before <= FAR);
            let outline = outline.beginning(BEGINNING);
            let nodes = match entry {
                Entry::LineBegin if outline.begins_with_any_number() => &mut behind,
                Entry::LineBegin => &mut begin,
                Entry::Bounded | Entry::Anywhere if colon.is_some() => {
                    reach = reach.max(colon.unwrap_or(0));
                    &mut clocks
                }
                Entry::Bounded | Entry::Anywhere => &mut others,
            };
            bounded &= !matches!(entry, Entry::Anywhere);
            nodes.add(&outline, u8::try_from(number).ok()?)?;
        }
        let mut inner = Vec::new();
        for (nodes, colon) in [(clocks, Some(reach)), (others, None)] {
            if nodes.starts.is_empty() {
                continue;
            }
            let automaton = Automaton::of(&nodes)?;
            always |= automaton.accepts(START);
            let hook = match colon {
                Some(reach) => Hook::Colon(reach),
                None => automaton
                    .run_behind_first()
                    .map_or(Hook::Nothing, |run| Hook::Run(Box::new(run))),
            };
            inner.push(Inner::new(automaton, hook, bounded));
        }
        Some(Self {
            begin: Automaton::of(&begin)?,
            behind: Automaton::of(&behind)?,
            inner,
            always,
        })
    }

    /// Templates that may match the line, and where.
    pub(super) fn possible(&self, line: &[u8]) -> Possible {
        let mut possible = Possible {
            mask: self.always | self.at_begin(line),
            first: [0; 64],
        };
        // The outcome only says who ended it.
        let _ = self.each(line, |at, found| {
            let mut new = found & !possible.mask;
            possible.mask |= found;
            while new != 0 {
                let template = usize::try_from(new.trailing_zeros()).unwrap_or(0);
                if let Some(first) = possible.first.get_mut(template) {
                    *first = u32::try_from(at).unwrap_or(0);
                }
                new &= new - 1;
            }
            ControlFlow::Continue(())
        });
        possible
    }

    /// Those for the start of a line that may match, and those of which nothing is known.
    pub(super) fn at_begin(&self, line: &[u8]) -> Mask {
        self.always | self.begin.run(START, line) | self.behind.run(START, line)
    }

    /// Where others may match, and which of them; of each template from left to right. `at` may end it.
    pub(super) fn each(&self, line: &[u8], mut at: impl FnMut(usize, Mask) -> ControlFlow<()>) -> ControlFlow<()> {
        let ascii = !self.inner.is_empty() && line.is_ascii();
        self.inner.iter().try_for_each(|inner| inner.each(line, ascii, &mut at))
    }
}

impl Inner {
    fn new(automaton: Automaton, hook: Hook, bounded: bool) -> Self {
        let mut first = [DEAD; 256];
        let mut traits = [0; 256];
        for (byte, (first, traits)) in (0..=u8::MAX).zip(first.iter_mut().zip(&mut traits)) {
            *first = automaton.next(START, byte);
            *traits = (u8::from(*first != DEAD) * BEGINS) | (u8::from(bounded && is_word(byte)) * WORD);
        }
        Self {
            automaton,
            first,
            traits,
            hook,
        }
    }

    fn each(&self, line: &[u8], ascii: bool, at: &mut impl FnMut(usize, Mask) -> ControlFlow<()>) -> ControlFlow<()> {
        match &self.hook {
            Hook::Colon(reach) if ascii => {
                let mut done = 0;
                for colon in memchr::memchr_iter(b':', line) {
                    let from = colon.saturating_sub(*reach).max(done);
                    done = colon + 1;
                    self.between(from..done, line, at)?;
                }
            }
            Hook::Run(run) if ascii => {
                // Of so many in a row one is at a place that can be divided by their number.
                for place in (RUN..line.len()).step_by(RUN) {
                    let held = line.get(place).and_then(|byte| run.get(usize::from(*byte)));
                    if held.is_some_and(|held| *held) {
                        self.between(place - RUN..place, line, at)?;
                    }
                }
            }
            _ => self.between(0..line.len(), line, at)?,
        }
        ControlFlow::Continue(())
    }

    /// Matches that begin between two places.
    fn between(
        &self,
        range: Range<usize>,
        line: &[u8],
        at: &mut impl FnMut(usize, Mask) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let traits = |byte: &u8| self.traits.get(usize::from(*byte)).copied().unwrap_or(BEGINS);
        let mut before = range
            .start
            .checked_sub(1)
            .and_then(|before| line.get(before))
            .map_or(0, traits);
        let places = line.get(range.clone()).unwrap_or_default();
        for (place, byte) in (range.start..).zip(places) {
            let traits = traits(byte);
            let within = std::mem::replace(&mut before, traits) & traits & WORD != 0;
            if within || traits & BEGINS == 0 {
                continue;
            }
            let state = self.first.get(usize::from(*byte)).copied().unwrap_or(DEAD);
            let found = self.automaton.run(state, line.get(place + 1..).unwrap_or_default());
            if found != 0 {
                at(place, found)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// How a pattern begins, and what comes then.
fn entered(source: &str) -> Option<(Entry, Outline)> {
    /// Behind a bracket, or at the start; what is no letter; what is no word begins anywhere, but not within one.
    const BOUNDED: [&str; 2] = [r"(?:^|(?<=^\[)|(?<=\baudit\())(\d", "(@[0-9a-f]{24})(?="];
    let folded = ["(?iu)", "(?i)"].iter().find_map(|flag| source.strip_prefix(flag));
    let pattern = folded.unwrap_or(source);
    let outline = Outline::of(pattern, folded.is_some())?;
    let is_bounded = || {
        let after = pattern.strip_prefix(BOUNDARY);
        after.is_some_and(|after| !after.starts_with(['?', '*', '+', '{']))
            || BOUNDED.iter().any(|start| pattern.starts_with(start))
    };
    let entry = if matches!(outline, Outline::Choice(_)) {
        // What stands before it is for the first way only.
        Entry::Anywhere
    } else if pattern.starts_with('^') {
        Entry::LineBegin
    } else if is_bounded() {
        Entry::Bounded
    } else {
        Entry::Anywhere
    };
    Some((entry, outline))
}

type Node = u16;

/// What has to be read, and what then.
#[derive(Debug)]
enum Step {
    Byte(ByteSet, Node),
    Either(Vec<Node>),
    Accept,
}

/// The automaton before it is one: several ways at once.
#[derive(Debug, Default)]
struct Nodes {
    steps: Vec<(Step, u8)>,
    starts: Vec<Node>,
}

/// Larger ones are not worth their memory.
const MAX_STATES: usize = 4_000;
/// Nor those that take long to make: so many nodes all states have together.
const MAX_HELD: usize = 400_000;

impl Nodes {
    fn add(&mut self, outline: &Outline, template: u8) -> Option<()> {
        let accept = self.step(Step::Accept, template)?;
        let start = self.write(outline, accept, template)?;
        self.starts.push(start);
        Some(())
    }

    fn step(&mut self, step: Step, template: u8) -> Option<Node> {
        self.steps.push((step, template));
        Node::try_from(self.steps.len() - 1).ok()
    }

    /// Writes what leads through an outline to `then`; where it begins.
    fn write(&mut self, outline: &Outline, then: Node, template: u8) -> Option<Node> {
        match outline {
            Outline::Byte(set) => self.step(Step::Byte(*set, then), template),
            Outline::Sequence(items) => items
                .iter()
                .rev()
                .try_fold(then, |then, item| self.write(item, then, template)),
            Outline::Choice(ways) => {
                let ways: Option<Vec<Node>> = ways.iter().map(|way| self.write(way, then, template)).collect();
                self.step(Step::Either(ways?), template)
            }
            Outline::Repeat { inner, .. } if inner.most() == Some(0) => Some(then),
            Outline::Repeat { inner, least, most } => {
                let mut then = then;
                match most {
                    None => {
                        let again = self.step(Step::Either(vec![then]), template)?;
                        let round = self.write(inner, again, template)?;
                        if let Some((Step::Either(ways), _)) = self.steps.get_mut(usize::from(again)) {
                            ways.push(round);
                        }
                        then = again;
                    }
                    Some(most) => {
                        let end = then;
                        for _ in 0..most.checked_sub(*least)? {
                            let once = self.write(inner, then, template)?;
                            then = self.step(Step::Either(vec![once, end]), template)?;
                        }
                    }
                }
                for _ in 0..*least {
                    then = self.write(inner, then, template)?;
                }
                Some(then)
            }
        }
    }

    /// What can be read next from some nodes on, and which templates have matched by then; of these nothing more is asked.
    fn closed(&self, mut pending: Vec<Node>, seen: &mut Seen) -> Key {
        let mut key = Key::default();
        seen.round += 1;
        seen.rounds.resize(self.steps.len(), 0);
        while let Some(node) = pending.pop() {
            match seen
                .rounds
                .get_mut(usize::from(node))
                .filter(|round| **round != seen.round)
            {
                Some(round) => *round = seen.round,
                None => continue,
            }
            match self.steps.get(usize::from(node)) {
                Some((Step::Byte(..), _)) => key.nodes.push(node),
                Some((Step::Either(ways), _)) => pending.extend(ways),
                Some((Step::Accept, template)) => key.accepts |= bit(usize::from(*template)),
                None => {}
            }
        }
        key.nodes.retain(|node| key.accepts & self.owner(*node) == 0);
        key.nodes.sort_unstable();
        key
    }

    fn owner(&self, node: Node) -> Mask {
        self.steps
            .get(usize::from(node))
            .map_or(0, |(_, template)| bit(usize::from(*template)))
    }

    /// What has been read from a state on by a byte of this kind.
    fn lead(&self, key: &Key, kind: u32, kinds: &Kinds, led: &mut Vec<Node>) {
        led.clear();
        led.extend(
            key.nodes
                .iter()
                .filter_map(|node| match self.steps.get(usize::from(*node)) {
                    Some((Step::Byte(_, then), _)) if kinds.of(*node) >> kind & 1 == 1 => Some(*then),
                    _ => None,
                }),
        );
        led.sort_unstable();
        led.dedup();
    }

    /// Where a byte leads that is not ASCII: there every template passes.
    fn passed(&self, key: &Key) -> Key {
        Key {
            nodes: Vec::new(),
            accepts: key.nodes.iter().fold(0, |mask, node| mask | self.owner(*node)),
        }
    }

    fn kinds(&self) -> Option<Kinds> {
        let mut sets: Vec<ByteSet> = Vec::new();
        for (step, _) in &self.steps {
            if let Step::Byte(set, _) = step
                && !sets.contains(set)
            {
                sets.push(*set);
            }
        }
        let mut kinds = Kinds {
            of_byte: [0; 256],
            of_node: Vec::new(),
        };
        let mut known: HashMap<Vec<bool>, u8> = HashMap::new();
        let mut of_set = vec![0; sets.len()];
        for byte in 0..128_u8 {
            let member: Vec<bool> = sets.iter().map(|set| set >> byte & 1 == 1).collect();
            let number = u8::try_from(known.len() + 1).ok().filter(|number| *number < 128)?;
            let kind = *known.entry(member).or_insert(number);
            *kinds.of_byte.get_mut(usize::from(byte))? = kind;
            for (set, of_set) in sets.iter().zip(&mut of_set) {
                *of_set |= (set >> byte & 1) << kind;
            }
        }
        let of_node = |(step, _): &(Step, u8)| match step {
            Step::Byte(set, _) => sets
                .iter()
                .position(|known| known == set)
                .and_then(|at| of_set.get(at).copied()),
            Step::Either(_) | Step::Accept => None,
        };
        kinds.of_node = self.steps.iter().map(|step| of_node(step).unwrap_or(0)).collect();
        Some(kinds)
    }
}

/// Bytes of a kind lead to the same, whatever is read. Those that are not ASCII are of kind 0.
struct Kinds {
    of_byte: [u8; 256],
    /// As bits.
    of_node: Vec<u128>,
}

impl Kinds {
    fn of(&self, node: Node) -> u128 {
        self.of_node.get(usize::from(node)).copied().unwrap_or(0)
    }
}

/// What tells a state from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Key {
    nodes: Vec<Node>,
    accepts: Mask,
}

/// Nodes that were passed in this round.
#[derive(Default)]
struct Seen {
    round: usize,
    rounds: Vec<usize>,
}

const DEAD: u16 = 0;
const START: u16 = 1;

/// What goes through the bytes of a line.
#[derive(Debug)]
struct Automaton {
    kinds: [u8; 256],
    states: Vec<State>,
    /// The ways of all states, laid into each other's gaps: whose it is, and where it leads.
    ways: Vec<(u16, u16)>,
}

#[derive(Debug)]
struct State {
    /// Where its way for bytes of kind 0 would be.
    ways: u32,
    /// The templates that have matched when it is reached.
    accepts: Mask,
}

impl Automaton {
    fn of(nodes: &Nodes) -> Option<Self> {
        let kinds = nodes.kinds()?;
        let mut seen = Seen::default();
        let mut keys = vec![Key::default(), nodes.closed(nodes.starts.clone(), &mut seen)];
        let mut known: HashMap<Key, u16> = HashMap::from([(Key::default(), DEAD)]);
        let mut known_led: HashMap<Vec<Node>, u16> = HashMap::new();
        let mut automaton = Self {
            kinds: kinds.of_byte,
            states: Vec::new(),
            ways: Vec::new(),
        };
        let mut held = 0;
        while let Some(key) = keys.get(automaton.states.len()).cloned() {
            held += key.nodes.len();
            let mut number_of = |key: Key| {
                let number = u16::try_from(keys.len()).ok()?;
                Some(*known.entry(key).or_insert_with_key(|key| {
                    keys.push(key.clone());
                    number
                }))
            };
            let mut ways = vec![(0, number_of(nodes.passed(&key))?)];
            let mut rest = key.nodes.iter().fold(0, |rest, node| rest | kinds.of(*node));
            let (mut led, mut before, mut number) = (Vec::new(), Vec::new(), DEAD);
            while rest != 0 {
                let kind = rest.trailing_zeros();
                rest &= rest - 1;
                nodes.lead(&key, kind, &kinds, &mut led);
                // Often the next kind leads to the same.
                if led != before {
                    number = if let Some(number) = known_led.get(&led) {
                        *number
                    } else {
                        number_of(nodes.closed(led.clone(), &mut seen))?
                    };
                    known_led.entry(led.clone()).or_insert(number);
                    std::mem::swap(&mut led, &mut before);
                }
                ways.push((usize::try_from(kind).ok()?, number));
            }
            ways.retain(|(_, next)| *next != DEAD);
            automaton.add(key.accepts, &ways)?;
            (keys.len() < MAX_STATES && held < MAX_HELD).then_some(())?;
        }
        automaton.states.shrink_to_fit();
        automaton.ways.shrink_to_fit();
        Some(automaton)
    }

    /// Adds a state, and lays its ways where they are all free.
    fn add(&mut self, accepts: Mask, led: &[(usize, u16)]) -> Option<()> {
        let number = u16::try_from(self.states.len()).ok()?;
        let fits = |base: usize| {
            let mut places = led.iter().map(|(kind, _)| self.ways.get(base + kind));
            places.all(|place| place.is_none_or(|(owner, _)| *owner == DEAD))
        };
        // Gaps far back are few by now.
        let from = self.ways.len().saturating_sub(256);
        let base = (from..=self.ways.len()).find(|base| fits(*base))?;
        for (kind, next) in led {
            if self.ways.len() <= base + kind {
                self.ways.resize(base + kind + 1, (DEAD, DEAD));
            }
            *self.ways.get_mut(base + kind)? = (number, *next);
        }
        self.states.push(State {
            ways: u32::try_from(base).ok()?,
            accepts,
        });
        Some(())
    }

    /// Which bytes are among those behind the first one of any match, as many as [`RUN`]; `None` if some match is shorter.
    fn run_behind_first(&self) -> Option<[bool; 256]> {
        let mut run = [false; 256];
        let mut states = vec![START];
        for place in 0..=RUN {
            let mut led = Vec::new();
            for state in states {
                // What passes every template at a byte that is not ASCII is no match.
                (self.accepts(state) == 0).then_some(())?;
                for byte in 0..128 {
                    let next = self.next(state, byte);
                    if next == DEAD {
                        continue;
                    }
                    led.push(next);
                    if place > 0 {
                        *run.get_mut(usize::from(byte))? = true;
                    }
                }
            }
            led.sort_unstable();
            led.dedup();
            states = led;
        }
        Some(run)
    }

    fn accepts(&self, state: u16) -> Mask {
        self.states.get(usize::from(state)).map_or(0, |state| state.accepts)
    }

    fn next(&self, number: u16, byte: u8) -> u16 {
        let kind = self.kinds.get(usize::from(byte)).copied().unwrap_or(0);
        let base = self.states.get(usize::from(number)).map_or(0, |state| state.ways);
        let way = usize::try_from(base)
            .ok()
            .and_then(|base| self.ways.get(base + usize::from(kind)));
        way.filter(|(owner, _)| *owner == number)
            .map_or(DEAD, |(_, next)| *next)
    }

    /// The templates that have matched when nothing more can, or the text ends.
    fn run(&self, mut state: u16, text: &[u8]) -> Mask {
        let mut mask = self.accepts(state);
        for byte in text {
            state = self.next(state, *byte);
            if state == DEAD {
                break;
            }
            mask |= self.accepts(state);
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use stockade_regex::Scratch;

    use super::super::defaults::compile;
    use super::*;

    /// Dates in all formats, and what is nearly one.
    const LINES: [&str; 28] = [
        "x 08-22-2025 11:59:59.252",
        "08/22/2025:11:59:59",
        "22/08/25 11:59:59",
        "((Aug 22, 2025 1:59:59 PM",
        "Aug-22-25 11:59:59",
        "type=X audit(1755863999.123:456): x",
        "[1755863999]",
        "1.2.3.4 - - [22/Aug/2025:11:59:59 +0200]",
        "t=1755863999123;",
        "2025 22:10",
        "10%H:33",
        "host app: 2026-11-22T13:40:04.123456+01:00 h",
        "<11/22/26@13:40:04>x",
        "@4000000068a85c0912345678 x",
        "x @4000000068a85c0912345678 x",
        "20261122T134004 x",
        "  261122  3:40:04 x",
        "CEST Sun Nov  2 13:40:04 x",
        "+05:30 nov 22 13:40:04 2026 x",
        "aNov 22 13:40:04 x",
        "a2026-11-22 13:40:04",
        "\u{fc} 2026-11-22 13:40:04",
        "\u{662}\u{660}26-11-22 13:40:04",
        "\u{17f}ep 22 13:40:04 x",
        "Mon Nov 2 2026 13:40:04",
        "13:40:04 x",
        "t=5 x",
        "",
    ];

    const SETTINGS: [Option<&str>; 12] = [
        None,
        Some("^[^\\[]*\\[({DATE})"),
        Some("^[^\\[]*\\[({DATE})\n{^LN-BEG}"),
        Some("{^LN-BEG}"),
        Some("{DATE}"),
        Some("t={LEPOCH};"),
        Some("%Y %d:%M"),
        Some("%d%%H:%M"),
        Some("**%Y-%m-%d\n{UNB}%H:%M:%S\n^x:()**"),
        Some("(t=)%d|x %H\n^Aug|13:%M\n(?i)T=%d"),
        Some("[^\\d\\s]+ %b %d\n%b %d|%H:%M:%S"),
        Some("EPOCH\nTAI64N\n{NONE}"),
    ];

    #[test]
    fn what_is_excluded_does_not_match_there() {
        let mut scratch = Scratch::default();
        let (mut matches, mut excluded) = (0, 0);
        for setting in SETTINGS {
            let list = compile(setting).unwrap();
            let shapes = Shapes::of(&list.templates).unwrap();
            // Each line from every letter on, and up to every letter.
            let parts = LINES.iter().flat_map(|line| {
                let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
                ends.flat_map(|at| [&line[at..], &line[..at]])
            });
            for line in parts {
                let possible = shapes.possible(line.as_bytes());
                for (number, template) in list.templates.iter().enumerate() {
                    match (template.find(line, &mut scratch), possible.first(number)) {
                        (Some(place), first) => {
                            let first = first.unwrap_or(usize::MAX);
                            assert!(first <= place.whole.start, "{} on {line}: {first}", template.name);
                            matches += 1;
                        }
                        (None, None) => excluded += 1,
                        (None, Some(_)) => {}
                    }
                }
            }
        }
        assert!(matches > 3_000, "{matches}");
        assert!(excluded > 100_000, "{excluded}");
    }

    #[test]
    fn what_is_too_large_excludes_nothing() {
        let large = r"(?:\d{0,400}x?){0,100}y";
        assert!(Shapes::of(&compile(Some(large)).unwrap().templates).is_none());
        let setting = "%d:%M\n".repeat(65);
        assert!(Shapes::of(&compile(Some(&setting)).unwrap().templates).is_none());
        assert_eq!(Possible::ALL.first(64), Some(0));
        assert_eq!(Possible::ALL.first(3), Some(0));
    }
}

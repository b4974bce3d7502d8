//! Whether an automaton can reach its end on any text at all.
//!
//! A place in the search is a state together with what has been promised about the rest of the text. All symbols are
//! tried; where the search ends without having reached the end of a text there is none. It gives up, and says nothing,
//! where that takes too long.

use std::collections::HashSet;

use crate::ast::{Assertion, Node};

use super::automaton::{Automaton, Bound, Id, Mask, State};
use super::{Condition, Outline, Text};

/// Places looked at before giving up.
const MAX_PLACES: usize = 20_000;

/// Where in a text, and under which promises.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    at: Id,
    before: Kind,
    /// What the next symbol may be, by bits of [`Kind`].
    next: u8,
    /// Conditions that must still be met, each by its state.
    open: Vec<Id>,
    /// Conditions that must not be met: all states they may be in.
    barred: Vec<Id>,
}

/// A character, or a part of those beyond ASCII by its bit in a [`Mask`].
#[derive(Clone, Copy, Debug)]
enum Symbol {
    Ascii(u8),
    Beyond(u8),
}

/// What a symbol is to a place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// The start or the end of the text.
    Edge,
    LineFeed,
    Word,
    Other,
    /// Beyond ASCII: a word character or not.
    Either,
}

impl Kind {
    fn bits(self) -> u8 {
        match self {
            Kind::Edge => 1,
            Kind::LineFeed => 2,
            Kind::Word => 4,
            Kind::Other => 8,
            Kind::Either => 4 | 8,
        }
    }
}

const ANYTHING: u8 = 1 | 2 | 4 | 8;

/// Whether no text of this kind, under these conditions, has a match.
pub(super) fn is_empty(outline: &Outline, text: Text, conditions: &[Condition<'_>]) -> bool {
    let mut automaton = Automaton::default();
    prepare(outline, conditions, &mut automaton)
        .is_some_and(|starts| Search::new(&automaton, text).finds_nothing(starts))
}

/// Builds the automaton; the places to begin with.
fn prepare(outline: &Outline, conditions: &[Condition<'_>], automaton: &mut Automaton) -> Option<Vec<Place>> {
    let end = automaton.push(State::Matched)?;
    let entry = automaton.add(&outline.root, end, Bound::Pattern)?;
    let at = if outline.is_anchored() {
        entry
    } else {
        automaton.any_text(entry)?
    };
    let mut place = Place {
        at,
        before: Kind::Edge,
        next: ANYTHING,
        open: Vec::new(),
        barred: Vec::new(),
    };
    let (mut open, mut barred) = (Vec::new(), Vec::new());
    for condition in conditions {
        match condition {
            Condition::Captured(other, group) => {
                let met = automaton.push(State::MetAtEnd)?;
                let body = group_body(&other.root, *group)?;
                open.push(automaton.add(body, met, Bound::AtLeast)?);
            }
            Condition::Begins(other) => {
                let met = automaton.push(State::Met)?;
                open.push(automaton.add(&other.root, met, Bound::AtLeast)?);
            }
            Condition::BeginsNot(other) => {
                let met = automaton.push(State::Met)?;
                barred.push(automaton.add(&other.root, met, Bound::AtMost)?);
            }
            Condition::BeginsNotBefore(other, group) => {
                let met = automaton.push(State::Met)?;
                barred.push(automaton.add(&before_group(&other.root, *group)?, met, Bound::AtMost)?);
            }
        }
    }
    let search = Search::new(automaton, Text::Part);
    for state in barred {
        if !search.bar(state, &mut place.barred) {
            return Some(Vec::new());
        }
    }
    let mut places = vec![place];
    for state in open {
        places = search.open_in(places, state);
    }
    Some(places)
}

/// The pattern of a group.
fn group_body(node: &Node, group: usize) -> Option<&Node> {
    match node {
        Node::Group(number, inner) if *number == group => Some(inner),
        other => other.children().find_map(|child| group_body(child, group)),
    }
}

/// What stands before a group, without the anchor it begins with; only where that is a plain row.
pub(super) fn before_group(root: &Node, group: usize) -> Option<Node> {
    let Node::Concat(nodes) = root else { return None };
    let at = nodes
        .iter()
        .position(|node| matches!(node, Node::Group(number, _) if *number == group))?;
    let before = nodes.get(..at)?;
    let anchors = before
        .iter()
        .take_while(|node| matches!(node, Node::Assert(Assertion::TextStart)));
    let rest = before.get(anchors.count()..)?;
    Some(Node::concat(rest.to_vec()))
}

struct Search<'a> {
    automaton: &'a Automaton,
    text: Text,
    /// One symbol for each class of symbols the automaton tells apart.
    symbols: Vec<Symbol>,
}

impl<'a> Search<'a> {
    fn new(automaton: &'a Automaton, text: Text) -> Self {
        let word = (0..128_u8)
            .filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .fold(0, |mask, byte| mask | 1_u128 << byte);
        let mut classes = vec![u128::MAX];
        let mut known = HashSet::new();
        let masks = automaton.states.iter().filter_map(|state| match state {
            State::Consume(mask, _) => Some(mask.ascii),
            _ => None,
        });
        for mask in masks.chain([word, 1 << b'\n']) {
            if known.insert(mask) {
                classes = classes
                    .into_iter()
                    .flat_map(|class| [class & mask, class & !mask])
                    .filter(|class| *class != 0)
                    .collect();
            }
        }
        let ascii = classes
            .iter()
            .filter_map(|class| u8::try_from(class.trailing_zeros()).ok());
        let beyond = [1, 2, 4, 8].map(Symbol::Beyond);
        let symbols = ascii.map(Symbol::Ascii).chain(beyond).collect();
        Self {
            automaton,
            text,
            symbols,
        }
    }

    fn finds_nothing(&self, starts: Vec<Place>) -> bool {
        let mut seen: HashSet<Place> = starts.iter().cloned().collect();
        let mut pending = starts;
        while let Some(place) = pending.pop() {
            let mut reached = Vec::new();
            if self.advance(&place, &mut reached) {
                return false;
            }
            for place in reached {
                if seen.len() >= MAX_PLACES {
                    return false;
                }
                if seen.insert(place.clone()) {
                    pending.push(place);
                }
            }
        }
        true
    }

    /// Adds the places one step further; `true` if the end of a text was reached.
    fn advance(&self, place: &Place, out: &mut Vec<Place>) -> bool {
        match self.automaton.get(place.at) {
            Some(State::Consume(mask, next)) => self.consume(place, *mask, *next, out),
            Some(State::Split(ways)) => out.extend(ways.iter().map(|&way| Place {
                at: way,
                ..place.clone()
            })),
            Some(State::Assert(assertion, next)) => {
                let allowed = allowed_after(*assertion, place.before) & place.next;
                if allowed != 0 {
                    out.push(Place {
                        at: *next,
                        next: allowed,
                        ..place.clone()
                    });
                }
            }
            Some(State::Ahead { body, negative, next }) => {
                let mut place = Place {
                    at: *next,
                    ..place.clone()
                };
                if *negative {
                    if self.bar(*body, &mut place.barred) {
                        out.push(place);
                    }
                } else {
                    out.extend(self.open_in(vec![place], *body));
                }
            }
            Some(State::Matched) => {
                if self.may_end(place) {
                    return true;
                }
                self.consume(place, Mask::all(), place.at, out);
            }
            Some(State::Met | State::MetAtEnd) | None => {}
        }
        false
    }

    fn may_end(&self, place: &Place) -> bool {
        let ends_well = place.next & Kind::Edge.bits() != 0
            && place
                .open
                .iter()
                .all(|&state| matches!(self.automaton.get(state), Some(State::MetAtEnd)));
        ends_well && (self.text == Text::Part || place.before == Kind::LineFeed)
    }

    fn consume(&self, place: &Place, mask: Mask, next: Id, out: &mut Vec<Place>) {
        // After a line feed nothing comes.
        if place.before == Kind::LineFeed {
            return;
        }
        for &symbol in &self.symbols {
            let kind = kind_of(symbol);
            if !takes(mask, symbol) || kind.bits() & place.next == 0 {
                continue;
            }
            let mut barred = Vec::new();
            let free = place.barred.iter().all(|&state| match self.automaton.get(state) {
                Some(State::Consume(mask, next)) if takes(*mask, symbol) => self.bar(*next, &mut barred),
                _ => true,
            });
            if !free {
                continue;
            }
            let mut places = vec![Place {
                at: next,
                before: kind,
                next: ANYTHING,
                open: Vec::new(),
                barred,
            }];
            for &state in &place.open {
                places = match self.automaton.get(state) {
                    Some(State::Consume(mask, next)) if takes(*mask, symbol) => self.open_in(places, *next),
                    _ => Vec::new(),
                };
            }
            for place in places {
                // Most symbols lead to the same place.
                if !out.contains(&place) {
                    out.push(place);
                }
            }
        }
    }

    /// The places with one more condition that must be met from here on.
    fn open_in(&self, places: Vec<Place>, state: Id) -> Vec<Place> {
        let mut reach = Vec::new();
        if self.close(state, &mut reach) {
            return places;
        }
        let mut out = Vec::new();
        for place in places {
            for &state in &reach {
                let mut place = place.clone();
                if let Err(at) = place.open.binary_search(&state) {
                    place.open.insert(at, state);
                }
                out.push(place);
            }
        }
        out
    }

    /// Adds the states of a condition that must not be met; `false` if it is met already.
    fn bar(&self, state: Id, barred: &mut Vec<Id>) -> bool {
        let mut reach = Vec::new();
        if self.close(state, &mut reach) {
            return false;
        }
        for state in reach {
            if let Err(at) = barred.binary_search(&state) {
                barred.insert(at, state);
            }
        }
        true
    }

    /// The consuming states of a condition that are reached without consuming; `true` if it is met.
    fn close(&self, start: Id, out: &mut Vec<Id>) -> bool {
        // These are few.
        let mut seen = Vec::new();
        let mut pending = vec![start];
        while let Some(id) = pending.pop() {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            match self.automaton.get(id) {
                Some(State::Met) => return true,
                Some(State::Split(ways)) => pending.extend(ways),
                Some(State::Consume(..) | State::MetAtEnd) => out.push(id),
                // Conditions have no places and look-aheads of their own.
                _ => {}
            }
        }
        out.sort_unstable();
        false
    }
}

fn takes(mask: Mask, symbol: Symbol) -> bool {
    match symbol {
        Symbol::Ascii(byte) => mask.ascii >> byte & 1 == 1,
        Symbol::Beyond(bit) => mask.beyond & bit != 0,
    }
}

fn kind_of(symbol: Symbol) -> Kind {
    match symbol {
        Symbol::Beyond(_) => Kind::Either,
        Symbol::Ascii(b'\n') => Kind::LineFeed,
        Symbol::Ascii(byte) if byte.is_ascii_alphanumeric() || byte == b'_' => Kind::Word,
        Symbol::Ascii(_) => Kind::Other,
    }
}

/// What may come next for the assertion to hold here.
fn allowed_after(assertion: Assertion, before: Kind) -> u8 {
    let word = Kind::Word.bits();
    match assertion {
        Assertion::TextStart if before == Kind::Edge => ANYTHING,
        Assertion::LineStart if matches!(before, Kind::Edge | Kind::LineFeed) => ANYTHING,
        Assertion::TextStart | Assertion::LineStart => 0,
        Assertion::TextEnd => Kind::Edge.bits(),
        // There is no line feed but the last one.
        Assertion::FinalLineEnd | Assertion::LineEnd => Kind::Edge.bits() | Kind::LineFeed.bits(),
        Assertion::WordBoundary { negated, .. } => match before {
            Kind::Either => ANYTHING,
            Kind::Word => {
                if negated {
                    word
                } else {
                    ANYTHING & !word
                }
            }
            // `\B` in an empty text does not hold in CPython; taken to hold.
            _ => {
                if negated {
                    ANYTHING & !word
                } else {
                    word
                }
            }
        },
    }
}

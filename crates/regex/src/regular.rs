//! Bounded look-aheads and conditionals written out, so that a pattern has neither and is regular.
//!
//! A pattern is walked from left to right with what is still to come in a list. A look-ahead becomes a [`Guard`] that
//! goes along: each character class it meets is parted into the characters that decide it and those that do not, and the
//! rest of the pattern is written once for each part. Parts are disjoint, so on a given text only one of them goes on
//! and their order means nothing; where the pattern itself has a choice, the rest is written behind each way of it, in
//! the order in which CPython tries them. So matches are found in the same order as before, and the first is the same.
//! Where a guard is decided within a choice or repetition, whatever comes behind, the rest is not written twice.
//!
//! A word boundary is a look-ahead, too, where it is known whether a word character comes before it.
//!
//! A conditional is decided by the way that led to it: on each way its group was closed or not.
//!
//! Groups of which only a part is written twice are marked by their two ends, which are empty groups: [`Slot`].
//! `tests/cpython` compares the result with the machine and with CPython.

use std::collections::BTreeSet;

use crate::ast::{Assertion, Node, RepeatKind, Side};
use crate::charset::{Category, CharSet};
use crate::guard::{Guard, Left};
use crate::leading::leading;
use crate::lower::NotRegular;
use crate::rest::{Item, List, swallowed};
use crate::rewrite::ending;
use crate::tempered::Tempered;

/// Steps of writing; more would make an expression too large for the linear engine.
const MAX_STEPS: usize = 6_000;
/// Choices within choices that each have the rest behind them.
const MAX_DEPTH: usize = 60;
/// A repetition of at most this many is written as copies.
const MAX_COPIES: u32 = 8;
/// Group numbers from here on are ends of groups.
const MARKS: usize = 1 << 32;

/// What a group of the written expression tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Group(usize),
    StartOf(usize),
    EndOf(usize),
}

/// What the number of a group in a written tree means.
pub(crate) fn slot(number: usize) -> Slot {
    match number.checked_sub(MARKS) {
        None => Slot::Group(number),
        Some(mark) if mark.is_multiple_of(2) => Slot::StartOf(mark / 2),
        Some(mark) => Slot::EndOf(mark / 2),
    }
}

fn mark(group: usize, end: bool) -> Node {
    Node::Group(MARKS + 2 * group + usize::from(end), Box::new(Node::Empty))
}

/// What is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Look-aheads and conditionals.
    Asked,
    /// Word boundaries as well, as far as that is possible: CPython's word characters are not the `regex` crate's.
    AskedAndBoundaries,
}

/// The tree without look-aheads and conditionals, where that can be done; `None` if it has none.
pub(crate) fn regular(root: &Node, written: Written) -> Result<Option<Node>, NotRegular> {
    let mut tested = BTreeSet::new();
    root.any(&mut |node| {
        if let Node::Conditional { group, .. } = node {
            tested.insert(*group);
        }
        false
    });
    let mut writer = Writer {
        tested,
        boundaries: written == Written::AskedAndBoundaries,
        steps: 0,
        depth: 0,
    };
    if writer.is_plain(root) {
        return Ok(None);
    }
    if nodes(root) > MAX_STEPS {
        return Err(NotRegular::LookAround);
    }
    let list = List::default().with_node(root);
    match writer.write(list, State::default()) {
        Ok(written) => Ok(Some(written)),
        Err(Stop::NotRegular(obstacle)) => Err(obstacle),
        Err(Stop::Undecided | Stop::TooLarge) => Err(NotRegular::LookAround),
    }
}

fn nodes(node: &Node) -> usize {
    1 + node.children().map(nodes).sum::<usize>()
}

/// What is known on the way.
#[derive(Clone, Default)]
struct State {
    guards: Vec<Guard>,
    /// Groups that have been closed.
    closed: BTreeSet<usize>,
    /// What the character before can be, if that is known. The start of the text counts as a line feed.
    last: Option<CharSet>,
}

enum Stop {
    NotRegular(NotRegular),
    /// A guard is not decided where writing stops.
    Undecided,
    TooLarge,
}

/// How it goes on after a choice.
enum After {
    /// All ways meet again: the rest is to be written, without guards.
    Rest,
    /// Everything has been written.
    End,
}

struct Writer {
    /// Groups asked for by conditionals.
    tested: BTreeSet<usize>,
    boundaries: bool,
    steps: usize,
    depth: usize,
}

impl Writer {
    /// Whether the node can be written as it is.
    fn is_plain(&self, node: &Node) -> bool {
        !node.any(&mut |node| match node {
            Node::Look { .. } | Node::Conditional { .. } => true,
            Node::Assert(Assertion::WordBoundary { .. }) => self.boundaries,
            Node::Group(group, _) => self.tested.contains(group),
            _ => false,
        })
    }

    fn has_tested_group(&self, node: &Node) -> bool {
        node.any(&mut |node| matches!(node, Node::Group(group, _) if self.tested.contains(group)))
    }

    /// Writes a list, to the end of the pattern or to where writing stops.
    fn write(&mut self, mut list: List, mut state: State) -> Result<Node, Stop> {
        let mut out = Line {
            before: state.last.clone(),
            nodes: Vec::new(),
        };
        while let Some(cell) = list.0.clone() {
            let (item, rest) = (&cell.0, &cell.1);
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(Stop::TooLarge);
            }
            let node = match item {
                Item::Node(node) => node,
                Item::EndOf(group) => {
                    out.nodes.push(mark(*group, true));
                    state.closed.insert(*group);
                    list = rest.clone();
                    continue;
                }
                Item::Stop(rest) => {
                    return match decided(&state.guards, |guard| guard.before(rest)) {
                        None => Ok(dead()),
                        Some(guards) if guards.is_empty() => Ok(Node::concat(out.nodes)),
                        Some(_) => Err(Stop::Undecided),
                    };
                }
            };
            list = rest.clone();
            if state.guards.is_empty() && self.is_plain(node) {
                out.nodes.push(node.clone());
                continue;
            }
            if self.boundaries {
                state.last = out.last();
            }
            match node {
                Node::Empty => {}
                Node::Concat(nodes) => list = nodes.iter().rev().fold(list, |list, node| list.with_node(node)),
                Node::Group(group, inner) => {
                    out.nodes.push(mark(*group, false));
                    list = list.with(Item::EndOf(*group)).with_node(inner);
                }
                Node::Assert(Assertion::WordBoundary { ascii, negated }) if self.boundaries => {
                    match self.boundary(&mut out, node, (*ascii, *negated), &mut state, &list)? {
                        Boundary::Guarded => {}
                        Boundary::Parted(After::Rest) => state.guards.clear(),
                        Boundary::Parted(After::End) => return Ok(Node::concat(out.nodes)),
                    }
                }
                Node::Assert(place) => {
                    out.nodes.push(node.clone());
                    let at_end = |guard: &Guard| match place {
                        Assertion::FinalLineEnd | Assertion::LineEnd => guard.at_line_end(),
                        Assertion::TextEnd => guard.at_text_end(),
                        // They look at the same place, in whatever order.
                        _ => Left::Guard(guard.clone()),
                    };
                    match decided(&state.guards, at_end) {
                        Some(guards) => state.guards = guards,
                        None => return Ok(dead()),
                    }
                }
                Node::Char(_) | Node::Set(_) => {
                    let mut cells = cells(&node.single().unwrap_or_default(), &state.guards);
                    if cells.len() > 1 {
                        let mut ways = Vec::new();
                        for (set, guards) in cells {
                            let state = State {
                                guards,
                                last: Some(set.clone()),
                                closed: state.closed.clone(),
                            };
                            let after = self.way(list.clone(), state)?;
                            ways.push(Node::concat(vec![Node::Set(set), after]));
                        }
                        out.nodes.push(Node::Alternate(ways));
                        return Ok(Node::concat(out.nodes));
                    }
                    let Some((set, guards)) = cells.pop() else {
                        return Ok(dead());
                    };
                    out.nodes.push(Node::Set(set));
                    state.guards = guards;
                }
                Node::Alternate(branches) => {
                    let ways: Vec<&[Node]> = branches.iter().map(std::slice::from_ref).collect();
                    let (choice, after) = self.choice(&ways, &state, &list, !self.has_tested_group(node))?;
                    out.nodes.push(choice);
                    if matches!(after, After::End) {
                        return Ok(Node::concat(out.nodes));
                    }
                    state.guards.clear();
                }
                Node::Repeat { .. } => match self.repetition(node, &state, &list)? {
                    Repetition::As(longer) => list = longer,
                    Repetition::Written(nodes, after) => {
                        out.nodes.extend(nodes);
                        if matches!(after, After::End) {
                            return Ok(Node::concat(out.nodes));
                        }
                        state.guards.clear();
                    }
                },
                Node::Look {
                    node,
                    side: Side::Ahead,
                    negative,
                } => {
                    if let Some(guard) = Guard::new(node, *negative) {
                        state.guards.push(guard);
                    } else if let (false, true, Some(longer)) =
                        (*negative, state.guards.is_empty(), swallowed(node, &list))
                    {
                        list = longer;
                    } else if list.stops() {
                        // With all that comes behind in view there may be a way.
                        return Err(Stop::Undecided);
                    } else {
                        return Err(Stop::NotRegular(NotRegular::LookAround));
                    }
                }
                Node::Conditional { group, yes, no } => {
                    list = list.with_node(if state.closed.contains(group) { yes } else { no });
                }
                Node::Look { .. } => return Err(Stop::NotRegular(NotRegular::LookAround)),
                Node::Backreference { .. } => return Err(Stop::NotRegular(NotRegular::Backreference)),
                Node::Atomic(_) => return Err(Stop::NotRegular(NotRegular::Atomic)),
            }
        }
        if !state.guards.is_empty() {
            // The match ends here; what the guards still want to know lies behind it.
            out.nodes.push(mark(0, true));
            out.nodes.push(self.beyond(&state.guards)?);
        }
        Ok(Node::concat(out.nodes))
    }

    /// One of several ways.
    fn way(&mut self, list: List, state: State) -> Result<Node, Stop> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::TooLarge);
        }
        self.depth += 1;
        let written = self.write(list, state);
        self.depth -= 1;
        written
    }

    /// Several ways, in the order in which they are tried. If each decides all guards, and `may_meet`, the rest comes
    /// behind all of them; else behind each.
    fn choice(&mut self, ways: &[&[Node]], state: &State, rest: &List, may_meet: bool) -> Result<(Node, After), Stop> {
        let with = |way: &&[Node], end: &List| way.iter().rev().fold(end.clone(), |list, node| list.with_node(node));
        if may_meet {
            let end = List::default().with(Item::Stop(rest.leading()));
            let met: Result<Vec<Node>, Stop> = ways
                .iter()
                .map(|way| self.way(with(way, &end), state.clone()))
                .collect();
            match met {
                Ok(ways) => return Ok((Node::Alternate(ways), After::Rest)),
                Err(Stop::Undecided) => {}
                Err(other) => return Err(other),
            }
        }
        let ways: Result<Vec<Node>, Stop> = ways
            .iter()
            .map(|way| self.way(with(way, rest), state.clone()))
            .collect();
        Ok((Node::Alternate(ways?), After::End))
    }

    fn repetition(&mut self, repeat: &Node, state: &State, rest: &List) -> Result<Repetition, Stop> {
        let Node::Repeat { node, min, max, kind } = repeat else {
            return Ok(Repetition::As(rest.clone()));
        };
        if *kind == RepeatKind::Possessive {
            return Err(Stop::NotRegular(NotRegular::Atomic));
        }
        if *max == Some(0) {
            return Ok(Repetition::As(rest.clone()));
        }
        if node.may_be_empty() && *max != Some(1) {
            return Err(Stop::NotRegular(NotRegular::EmptyIteration));
        }
        let may_meet = !self.has_tested_group(node);
        if state.guards.is_empty() && *max != Some(1) && may_meet {
            if let (0, None, Some((stop, set))) = (*min, max, node.tempered())
                && let Some(tempered) = Tempered::new(&stop, &set, *kind)
            {
                return self.tempered(&tempered, state, rest);
            }
            let next = leading(node).union(&rest.leading());
            let body = List::default().with(Item::Stop(next)).with_node(node);
            let last = ending(node, None)
                .zip(state.last.clone())
                .map(|(end, last)| end.union(&last));
            match self.way(body, State { last, ..state.clone() }) {
                Ok(body) => {
                    let repeat = Node::Repeat {
                        node: Box::new(body),
                        min: *min,
                        max: *max,
                        kind: *kind,
                    };
                    return Ok(Repetition::Written(vec![repeat], After::Rest));
                }
                Err(Stop::Undecided) if max.is_some_and(|max| max <= MAX_COPIES) || *min > 0 => {}
                Err(other) => return Err(other),
            }
        } else if state.guards.is_empty() && max.is_none_or(|max| max > MAX_COPIES) {
            return Err(Stop::NotRegular(NotRegular::Conditional));
        }
        // One iteration is written out, the others come behind it.
        let others = Node::Repeat {
            node: node.clone(),
            min: min.saturating_sub(1),
            max: max.map(|max| max - 1),
            kind: *kind,
        };
        if *min > 0 {
            return Ok(Repetition::As(rest.with(Item::Node(others)).with_node(node)));
        }
        let more = [(**node).clone(), others];
        let ways: Vec<&[Node]> = if *kind == RepeatKind::Lazy {
            vec![&[], &more]
        } else {
            vec![&more, &[]]
        };
        let (choice, after) = self.choice(&ways, state, rest, may_meet)?;
        Ok(Repetition::Written(vec![choice], after))
    }

    /// `\b` behind what has been written. If both kinds of characters can come before it, the last one is parted.
    fn boundary(
        &mut self,
        out: &mut Line,
        node: &Node,
        (ascii, negated): (bool, bool),
        state: &mut State,
        rest: &List,
    ) -> Result<Boundary, Stop> {
        let word = CharSet::category(Category::Word, false, ascii);
        if let Some(last) = &state.last {
            let known = [true, false].into_iter().find(|&after_word| {
                if after_word {
                    last.is_subset_of(&word)
                } else {
                    last.is_disjoint(&word)
                }
            });
            if let Some(after_word) = known {
                state.guards.push(Guard::boundary(after_word, negated, ascii));
                return Ok(Boundary::Guarded);
            }
        }
        let at_once = state.guards.is_empty();
        let parted: Option<Vec<Vec<Node>>> = match out.nodes.last() {
            Some(Node::Set(set)) if at_once => Some(
                [set.intersection(&word), set.without(&word)]
                    .into_iter()
                    .map(|part| vec![Node::Set(part), node.clone()])
                    .collect(),
            ),
            Some(Node::Repeat {
                node: single,
                min,
                max,
                kind,
            }) if at_once && *max != Some(0) && single.single().is_some() => {
                let fewer = Node::Repeat {
                    node: single.clone(),
                    min: min.saturating_sub(1),
                    max: max.map(|max| max - 1),
                    kind: *kind,
                };
                let some = vec![fewer, Node::Set(single.single().unwrap_or_default()), node.clone()];
                match (min, kind) {
                    (_, RepeatKind::Possessive) => None,
                    (0, RepeatKind::Greedy) => Some(vec![some, vec![node.clone()]]),
                    (0, RepeatKind::Lazy) => Some(vec![vec![node.clone()], some]),
                    _ => Some(vec![some]),
                }
            }
            _ => None,
        };
        let Some(ways) = parted else {
            // It stays as it is, and asks for a text of ASCII.
            out.nodes.push(node.clone());
            return Ok(Boundary::Guarded);
        };
        out.nodes.pop();
        let state = State {
            last: out.last(),
            ..state.clone()
        };
        let ways: Vec<&[Node]> = ways.iter().map(Vec::as_slice).collect();
        let (choice, after) = self.choice(&ways, &state, rest, true)?;
        out.nodes.push(choice);
        Ok(Boundary::Parted(after))
    }

    /// `(?:(?!stop).)*`: whole rounds, then out, or out from within a round.
    fn tempered(&mut self, tempered: &Tempered, state: &State, rest: &List) -> Result<Repetition, Stop> {
        let state = &State {
            last: None,
            ..state.clone()
        };
        let next = rest.leading();
        let mut exits = Vec::new();
        for exit in tempered.exits() {
            match decided(&[Guard::not_literal(&exit.forbidden)], |guard| guard.before(&next)) {
                None => {}
                Some(guards) => exits.push((exit, guards)),
            }
        }
        let meet = exits.iter().all(|(_, guards)| guards.is_empty());
        let mut within = Vec::new();
        for (exit, guards) in exits {
            let behind = if meet {
                Node::Empty
            } else {
                self.way(
                    rest.clone(),
                    State {
                        guards,
                        ..state.clone()
                    },
                )?
            };
            within.push(Node::concat(vec![exit.before, behind]));
        }
        let between = if meet {
            Node::Empty
        } else {
            self.way(rest.clone(), state.clone())?
        };
        let written = vec![tempered.rounds(), tempered.out(within, between)];
        Ok(Repetition::Written(
            written,
            if meet { After::Rest } else { After::End },
        ))
    }

    /// Consumes what decides the guards, behind the match.
    fn beyond(&mut self, guards: &[Guard]) -> Result<Node, Stop> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Stop::TooLarge);
        }
        let mut ways = Vec::new();
        for (set, guards) in cells(&CharSet::dot(true), guards) {
            let more = if guards.is_empty() {
                Node::Empty
            } else {
                self.beyond(&guards)?
            };
            ways.push(Node::concat(vec![Node::Set(set), more]));
        }
        if decided(guards, Guard::at_text_end).is_some() {
            ways.push(Node::Assert(Assertion::TextEnd));
        }
        if ways.is_empty() {
            return Ok(dead());
        }
        Ok(Node::Alternate(ways))
    }
}

/// What became of a word boundary.
enum Boundary {
    /// A guard, or it was left as it is.
    Guarded,
    /// What comes before it was parted, and perhaps the rest written behind.
    Parted(After),
}

/// What has been written on the way.
struct Line {
    /// What the character before it can be.
    before: Option<CharSet>,
    nodes: Vec<Node>,
}

impl Line {
    /// What its last character can be.
    fn last(&self) -> Option<CharSet> {
        let nodes = self.nodes.iter();
        nodes.fold(self.before.clone(), |last, node| ending_or_start(node, last))
    }
}

/// As [`ending`]; also says what comes before the start of a line.
fn ending_or_start(node: &Node, before: Option<CharSet>) -> Option<CharSet> {
    match node {
        Node::Assert(Assertion::TextStart | Assertion::LineStart) => Some(CharSet::single(u32::from('\n'))),
        _ => ending(node, before),
    }
}

/// What became of a repetition.
enum Repetition {
    /// It is the same as this before the rest.
    As(List),
    Written(Vec<Node>, After),
}

/// Matches nothing.
fn dead() -> Node {
    Node::Set(CharSet::default())
}

/// What is left of the guards; `None` if one of them fails.
fn decided(guards: &[Guard], decide: impl Fn(&Guard) -> Left) -> Option<Vec<Guard>> {
    let mut all = Vec::new();
    for guard in guards {
        match decide(guard) {
            Left::Nothing => {}
            Left::Fails => return None,
            Left::Guard(guard) => all.push(guard),
        }
    }
    all.dedup();
    Some(all)
}

/// The characters of a set by what the guards become after them; those after which one fails are left out.
fn cells(set: &CharSet, guards: &[Guard]) -> Vec<(CharSet, Vec<Guard>)> {
    let mut parts = vec![set.clone()];
    for head in guards.iter().flat_map(Guard::heads) {
        let split = |part: &CharSet| [part.intersection(head), part.without(head)];
        parts = parts.iter().flat_map(split).filter(|part| !part.is_empty()).collect();
    }
    let mut cells: Vec<(CharSet, Vec<Guard>)> = Vec::new();
    for part in parts {
        let Some(left) = decided(guards, |guard| guard.after(&part)) else {
            continue;
        };
        match cells.iter_mut().find(|(_, known)| *known == left) {
            Some((set, _)) => *set = set.union(&part),
            None => cells.push((part, left)),
        }
    }
    cells
}

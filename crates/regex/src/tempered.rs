//! `(?:(?!stop).)*` without its look-ahead.
//!
//! The loop is parted into rounds. A round is a character that does not begin `stop`, or the first character of `stop`
//! and what comes until a character shows that this is not `stop`; where the first character of `stop` comes again, the
//! round begins again within itself. Each text has one such parting, so that leaving the loop after each round, or
//! within a round, is leaving it at each position, once, the longest first if greedy and the shortest if lazy. Who leaves within
//! a round takes along what may not follow: the rest of `stop`.

use crate::ast::{Node, RepeatKind};
use crate::charset::CharSet;

/// A tempered loop that can be parted into rounds.
pub(crate) struct Tempered {
    stop: Vec<char>,
    set: CharSet,
    kind: RepeatKind,
}

/// Leaving the loop within a round.
pub(crate) struct Exit {
    /// What of `stop` has matched, but for its first character.
    pub(crate) before: Node,
    /// What may not follow.
    pub(crate) forbidden: Vec<char>,
}

impl Tempered {
    /// The first character of `stop` may come again only as its last, and all but the last must belong to `set`.
    pub(crate) fn new(stop: &str, set: &CharSet, kind: RepeatKind) -> Option<Self> {
        let stop: Vec<char> = stop.chars().collect();
        let (first, others) = stop.split_first()?;
        let inner = others.split_last().map_or(others, |(_, inner)| inner);
        let all_in_set = stop
            .iter()
            .take(stop.len() - 1)
            .all(|character| set.contains(u32::from(*character)));
        (!inner.contains(first) && all_in_set).then(|| Self {
            stop: stop.clone(),
            set: set.clone(),
            kind,
        })
    }

    /// `count` characters of `stop` from the second on.
    fn begun(&self, count: usize) -> Vec<Node> {
        self.stop.iter().skip(1).take(count).copied().map(Node::Char).collect()
    }

    fn first(&self) -> Node {
        self.stop.first().copied().map_or(Node::Empty, Node::Char)
    }

    fn all_but(&self, characters: &[char]) -> Node {
        let out = CharSet::from_ranges(
            characters
                .iter()
                .map(|one| (u32::from(*one), u32::from(*one)))
                .collect(),
        );
        Node::Set(self.set.without(&out))
    }

    fn looped(&self, node: Node) -> Node {
        Node::Repeat {
            node: Box::new(node),
            min: 0,
            max: None,
            kind: self.kind,
        }
    }

    /// `stop` has begun, perhaps several times: its first character, and then as often as that comes again before `stop`
    /// is complete.
    fn beginnings(&self) -> Node {
        let again = self
            .stop
            .windows(2)
            .enumerate()
            .filter_map(|(count, pair)| match (self.stop.first(), pair) {
                (Some(first), [_, next]) if next != first => {
                    let mut nodes = self.begun(count);
                    nodes.push(self.first());
                    Some(Node::concat(nodes))
                }
                _ => None,
            });
        let again: Vec<Node> = again.collect();
        if again.is_empty() {
            return self.first();
        }
        Node::Concat(vec![self.first(), self.looped(Node::Alternate(again))])
    }

    /// All whole rounds.
    pub(crate) fn rounds(&self) -> Node {
        let (Some(first), true) = (self.stop.first(), self.stop.len() > 1) else {
            return self.looped(self.all_but(&self.stop));
        };
        let ends = self.stop.iter().skip(1).enumerate().map(|(count, next)| {
            let mut nodes = self.begun(count);
            nodes.push(self.all_but(&[*first, *next]));
            Node::concat(nodes)
        });
        let round = Node::Concat(vec![self.beginnings(), Node::Alternate(ends.collect())]);
        self.looped(Node::Alternate(vec![self.all_but(&[*first]), round]))
    }

    /// The places within a round where the loop can be left, in the order in which they are tried.
    pub(crate) fn exits(&self) -> Vec<Exit> {
        let exit = |count: usize| Exit {
            before: Node::concat(self.begun(count)),
            forbidden: self.stop.iter().skip(count + 1).copied().collect(),
        };
        let counts = 0..self.stop.len().saturating_sub(1);
        if self.kind == RepeatKind::Lazy {
            counts.map(exit).collect()
        } else {
            counts.rev().map(exit).collect()
        }
    }

    /// Out of the loop within a round by one of the exits, or between two rounds.
    pub(crate) fn out(&self, within: Vec<Node>, between: Node) -> Node {
        if within.is_empty() {
            return between;
        }
        let within = Node::Concat(vec![self.beginnings(), Node::Alternate(within)]);
        if self.kind == RepeatKind::Lazy {
            Node::Alternate(vec![between, within])
        } else {
            Node::Alternate(vec![within, between])
        }
    }
}

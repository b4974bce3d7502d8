//! Rewrites that keep what a pattern matches, group by group, and make it regular or cheaper.
//!
//! * A look-behind for one character is dropped where the text before always ends in such a character: whatever the
//!   node before matches, its last character is in [`ending`], so the look-behind cannot fail. Fail2Ban's IPv6
//!   pattern has one, `(?:…:)(?<=:):`.
//! * An alternation of single characters is a class: of the branches at most the one that fits the next character can
//!   match, and all consume one character, so their order does not matter.
//! * `(?:[^"]*|"[^"]*")*]` becomes `(?:[^"]+|"[^"]*")*]`, so that no iteration is empty. The branches begin with
//!   different characters, and what follows with others still. So each character says how the loop goes on: with the
//!   branch that it begins, or out of the loop; all else fails at once, also an empty iteration, after which what follows is
//!   tried before a character that it does not begin with.
//!
//! `tests/cpython/generated.rs` compares the result with CPython.

use std::collections::VecDeque;

use crate::ast::{Node, RepeatKind, Side};
use crate::charset::CharSet;
use crate::leading::{leading, leading_of};

/// Rewrites a whole pattern.
pub(crate) fn rewrite(root: Node) -> Node {
    let looks_behind = root.any(&mut |node| is_single_look_behind(node));
    Rewriter { looks_behind }.node(root, None)
}

fn is_single_look_behind(node: &Node) -> bool {
    matches!(node, Node::Look { side: Side::Behind(1), negative: false, node } if node.single().is_some())
}

struct Rewriter {
    /// Whether it is worth knowing what comes before a node.
    looks_behind: bool,
}

impl Rewriter {
    /// Rewrites a node; the character before it, if any is known, is in `before`.
    fn node(&self, node: Node, before: Option<&CharSet>) -> Node {
        let boxed = |node: Box<Node>, before| Box::new(self.node(*node, before));
        match node {
            Node::Concat(nodes) => self.concat(nodes, before),
            Node::Alternate(branches) => {
                alternate(branches.into_iter().map(|branch| self.node(branch, before)).collect())
            }
            Node::Group(group, inner) => Node::Group(group, boxed(inner, before)),
            Node::Atomic(inner) => Node::Atomic(boxed(inner, before)),
            // Later iterations begin after earlier ones.
            Node::Repeat { node, min, max, kind } => Node::Repeat {
                node: boxed(node, None),
                min,
                max,
                kind,
            },
            Node::Look {
                node,
                side: Side::Ahead,
                negative,
            } => Node::Look {
                node: boxed(node, before),
                side: Side::Ahead,
                negative,
            },
            Node::Look {
                node,
                side: Side::Behind(width),
                negative,
            } => {
                let vacuous = width == 1
                    && !negative
                    && before
                        .zip(node.single())
                        .is_some_and(|(before, wanted)| !before.is_empty() && before.is_subset_of(&wanted));
                if vacuous {
                    return Node::Empty;
                }
                Node::Look {
                    node: boxed(node, None),
                    side: Side::Behind(width),
                    negative,
                }
            }
            Node::Conditional { group, yes, no } => Node::Conditional {
                group,
                yes: boxed(yes, before),
                no: boxed(no, before),
            },
            leaf => leaf,
        }
    }

    fn concat(&self, nodes: Vec<Node>, before: Option<&CharSet>) -> Node {
        let mut out = Vec::with_capacity(nodes.len());
        let mut last = before.cloned();
        let mut nodes = VecDeque::from(nodes);
        while let Some(node) = nodes.pop_front() {
            let node = without_empty_iterations(node, &nodes);
            let node = self.node(node, last.as_ref());
            if self.looks_behind {
                last = ending(&node, last);
            }
            match node {
                Node::Empty => {}
                Node::Concat(inner) => out.extend(inner),
                node => out.push(node),
            }
        }
        Node::concat(out)
    }
}

/// `(?:X*|Y)*` as `(?:X+|Y)*`, where that is the same.
fn without_empty_iterations(node: Node, after: &VecDeque<Node>) -> Node {
    match node {
        Node::Repeat {
            node,
            min: 0 | 1,
            max: None,
            kind: RepeatKind::Greedy,
        } if node.may_be_empty() && is_told_by_first_character(&node, after) => Node::Repeat {
            node: Box::new(not_empty(*node)),
            min: 0,
            max: None,
            kind: RepeatKind::Greedy,
        },
        other => other,
    }
}

/// Whether the first character of each branch says which it is, or that the loop has ended.
fn is_told_by_first_character(node: &Node, after: &VecDeque<Node>) -> bool {
    let Node::Alternate(branches) = node else {
        return false;
    };
    let follow = leading_of(after.iter());
    if follow.empty || node.any(&mut |node| !is_plain(node)) {
        return false;
    }
    let mut seen = follow.set;
    branches.iter().all(|branch| {
        let next = leading(branch);
        let told = (star(branch).is_some() || !next.empty) && next.set.is_disjoint(&seen);
        seen = seen.union(&next.set);
        told
    })
}

fn is_plain(node: &Node) -> bool {
    matches!(
        node,
        Node::Char(_)
            | Node::Set(_)
            | Node::Concat(_)
            | Node::Alternate(_)
            | Node::Repeat {
                kind: RepeatKind::Greedy | RepeatKind::Lazy,
                ..
            }
    )
}

/// The body of `X*` for one character `X`.
fn star(node: &Node) -> Option<&Node> {
    match node {
        Node::Repeat {
            node,
            min: 0,
            max: None,
            kind: RepeatKind::Greedy,
        } if node.single().is_some() => Some(node),
        _ => None,
    }
}

fn not_empty(node: Node) -> Node {
    match node {
        Node::Alternate(branches) => Node::Alternate(branches.into_iter().map(not_empty).collect()),
        Node::Repeat {
            node,
            min: 0,
            max: None,
            kind: RepeatKind::Greedy,
        } if node.single().is_some() => Node::Repeat {
            node,
            min: 1,
            max: None,
            kind: RepeatKind::Greedy,
        },
        other => other,
    }
}

fn alternate(branches: Vec<Node>) -> Node {
    let sets: Option<Vec<CharSet>> = branches.iter().map(Node::single).collect();
    match sets {
        Some(sets) => {
            let ranges = sets.iter().flat_map(|set| set.ranges().iter().copied()).collect();
            Node::Set(CharSet::from_ranges(ranges))
        }
        None => Node::Alternate(branches),
    }
}

/// What the character before the end of the node can be, given what it can be before its start.
pub(crate) fn ending(node: &Node, before: Option<CharSet>) -> Option<CharSet> {
    match node {
        Node::Char(character) => Some(CharSet::single(u32::from(*character))),
        Node::Set(set) => Some(set.clone()),
        Node::Empty | Node::Assert(_) | Node::Look { .. } => before,
        Node::Group(_, inner) | Node::Atomic(inner) => ending(inner, before),
        Node::Concat(nodes) => nodes.iter().fold(before, |before, node| ending(node, before)),
        Node::Alternate(branches) => {
            let ends = branches.iter().map(|branch| ending(branch, before.clone()));
            ends.reduce(|all, end| Some(all?.union(&end?)))?
        }
        // An iteration that may be empty would end in what came before it, whatever that was.
        Node::Repeat { node, min, .. } => {
            let end = ending(node, None)?;
            if *min > 0 { Some(end) } else { Some(end.union(&before?)) }
        }
        Node::Conditional { yes, no, .. } => Some(ending(yes, before.clone())?.union(&ending(no, before)?)),
        Node::Backreference { .. } => None,
    }
}

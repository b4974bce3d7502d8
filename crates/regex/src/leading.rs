//! With which characters a part of a pattern can begin.

use crate::ast::{Assertion, Node};
use crate::charset::CharSet;

/// The characters with which a match of something can begin; a superset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leading {
    pub(crate) set: CharSet,
    /// Whether it may match without consuming anything, so that what comes after it decides.
    pub(crate) empty: bool,
    /// Whether the text may end instead.
    pub(crate) end: bool,
}

impl Leading {
    /// Of something that consumes nothing.
    pub(crate) fn nothing() -> Self {
        Self {
            empty: true,
            ..Self::default()
        }
    }

    fn of(set: CharSet) -> Self {
        Self { set, ..Self::default() }
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self {
            set: self.set.union(&other.set),
            empty: self.empty || other.empty,
            end: self.end || other.end,
        }
    }

    /// Of this and then `next`.
    pub(crate) fn then(&self, next: &Self) -> Self {
        Self {
            empty: next.empty,
            ..self.union(next)
        }
    }
}

/// With what a node can begin.
pub(crate) fn leading(node: &Node) -> Leading {
    match node {
        Node::Char(_) | Node::Set(_) => Leading::of(node.single().unwrap_or_default()),
        // What comes behind begins with a line feed, if there is anything.
        Node::Assert(Assertion::FinalLineEnd | Assertion::LineEnd | Assertion::TextEnd) => Leading {
            end: true,
            ..Leading::of(CharSet::single(u32::from('\n')))
        },
        Node::Empty | Node::Look { .. } | Node::Assert(_) => Leading::nothing(),
        // It matches anything, as far as is known here.
        Node::Backreference { .. } => Leading {
            empty: true,
            ..Leading::of(CharSet::dot(true))
        },
        Node::Group(_, inner) | Node::Atomic(inner) => leading(inner),
        Node::Concat(nodes) => leading_of(nodes.iter()),
        Node::Alternate(branches) => branches
            .iter()
            .map(leading)
            .reduce(|all, one| all.union(&one))
            .unwrap_or_default(),
        Node::Repeat { node, min, .. } => {
            let inner = leading(node);
            Leading {
                empty: inner.empty || *min == 0,
                ..inner
            }
        }
        Node::Conditional { yes, no, .. } => leading(yes).union(&leading(no)),
    }
}

/// With what nodes in a row can begin.
pub(crate) fn leading_of<'n>(nodes: impl Iterator<Item = &'n Node>) -> Leading {
    let mut all = Leading::nothing();
    for node in nodes {
        all = all.then(&leading(node));
        if !all.empty {
            break;
        }
    }
    all
}

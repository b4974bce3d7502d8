//! A parsed pattern: what it means, with all flags resolved into the nodes.

use std::ops::Range;

use crate::charset::{Case, CharSet};

/// One node of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Empty,
    Char(char),
    Set(CharSet),
    Assert(Assertion),
    Group(usize, Box<Node>),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        kind: RepeatKind,
    },
    Look {
        node: Box<Node>,
        side: Side,
        negative: bool,
    },
    Backreference {
        group: usize,
        case: Case,
    },
    Conditional {
        group: usize,
        yes: Box<Node>,
        no: Box<Node>,
    },
    Atomic(Box<Node>),
}

/// Which number of repetitions is tried first, and whether others are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RepeatKind {
    Greedy,
    Lazy,
    Possessive,
}

/// Where a look-around looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ahead,
    /// This many characters back.
    Behind(usize),
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assertion {
    TextStart,
    LineStart,
    TextEnd,
    /// The end, or before a line feed that ends the text.
    FinalLineEnd,
    LineEnd,
    WordBoundary {
        ascii: bool,
        negated: bool,
    },
}

impl Assertion {
    /// Whether a place is at a position; `None` for word boundaries, which depend on characters and not on bytes.
    #[inline]
    pub(crate) fn holds(self, bytes: &[u8], position: usize) -> Option<bool> {
        let rest = || bytes.get(position..).unwrap_or_default();
        Some(match self {
            Self::TextStart => position == 0,
            Self::LineStart => position
                .checked_sub(1)
                .and_then(|before| bytes.get(before))
                .is_none_or(|&byte| byte == b'\n'),
            Self::TextEnd => rest().is_empty(),
            Self::FinalLineEnd => matches!(rest(), [] | [b'\n']),
            Self::LineEnd => matches!(rest(), [] | [b'\n', ..]),
            // sre: in an empty text neither `\b` nor `\B` holds.
            Self::WordBoundary { .. } if bytes.is_empty() => false,
            Self::WordBoundary { .. } => return None,
        })
    }
}

/// A whole pattern.
#[derive(Clone, Debug)]
pub(crate) struct Ast {
    pub(crate) root: Node,
    /// Without group 0.
    pub(crate) groups: usize,
    pub(crate) names: Vec<(Box<str>, usize)>,
    /// Where in the pattern each leaf and each look-around is written, in the order of [`Node::leaves`].
    pub(crate) spans: Vec<Range<usize>>,
}

impl Node {
    /// The nodes in a row, without a list around a single one.
    pub(crate) fn concat(mut nodes: Vec<Node>) -> Node {
        match nodes.len() {
            0 => Node::Empty,
            1 => nodes.pop().unwrap_or(Node::Empty),
            _ => Node::Concat(nodes),
        }
    }

    /// The direct parts of the node.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Node> {
        let (list, pair): (&[Node], [Option<&Node>; 2]) = match self {
            Node::Concat(nodes) | Node::Alternate(nodes) => (nodes, [None, None]),
            Node::Group(_, node) | Node::Repeat { node, .. } | Node::Look { node, .. } | Node::Atomic(node) => {
                (&[], [Some(node), None])
            }
            Node::Conditional { yes, no, .. } => (&[], [Some(yes), Some(no)]),
            Node::Empty | Node::Char(_) | Node::Set(_) | Node::Assert(_) | Node::Backreference { .. } => {
                (&[], [None, None])
            }
        };
        list.iter().chain(pair.into_iter().flatten())
    }

    /// Number of leaves and look-arounds in the node; a look-around comes before what is in it.
    pub(crate) fn leaves(&self) -> usize {
        let inside = self.children().map(Node::leaves).sum::<usize>();
        inside + usize::from(self.has_span())
    }

    /// Whether [`Ast::spans`] has an entry for the node itself.
    pub(crate) fn has_span(&self) -> bool {
        matches!(
            self,
            Node::Char(_) | Node::Set(_) | Node::Assert(_) | Node::Backreference { .. } | Node::Look { .. }
        )
    }

    /// Whether the node or a part of it satisfies `test`.
    pub(crate) fn any(&self, test: &mut impl FnMut(&Node) -> bool) -> bool {
        test(self) || self.children().any(|child| child.any(test))
    }

    /// Whether the node can match without consuming anything; `true` when unsure.
    pub(crate) fn may_be_empty(&self) -> bool {
        match self {
            Node::Char(_) | Node::Set(_) => false,
            Node::Group(_, node) | Node::Atomic(node) => node.may_be_empty(),
            Node::Concat(nodes) => nodes.iter().all(Node::may_be_empty),
            Node::Alternate(nodes) => nodes.iter().any(Node::may_be_empty),
            Node::Repeat { node, min, .. } => *min == 0 || node.may_be_empty(),
            Node::Conditional { yes, no, .. } => yes.may_be_empty() || no.may_be_empty(),
            Node::Empty | Node::Assert(_) | Node::Look { .. } | Node::Backreference { .. } => true,
        }
    }
}

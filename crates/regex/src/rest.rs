//! What of a pattern is still to be written by `regular`.

use std::rc::Rc;

use crate::ast::{Assertion, Node, RepeatKind};
use crate::charset::CharSet;
use crate::leading::{Leading, leading};

/// What is still to come; shared by the ways that lead to it.
#[derive(Clone, Default)]
pub(crate) struct List(pub(crate) Option<Rc<(Item, List)>>);

#[derive(Clone)]
pub(crate) enum Item {
    Node(Node),
    EndOf(usize),
    /// Writing stops here; all guards must be decided by what comes behind.
    Stop(Leading),
}

impl List {
    pub(crate) fn with(&self, item: Item) -> Self {
        Self(Some(Rc::new((item, self.clone()))))
    }

    pub(crate) fn with_node(&self, node: &Node) -> Self {
        self.with(Item::Node(node.clone()))
    }

    /// Whether it ends where writing stops, and not with the pattern.
    pub(crate) fn stops(&self) -> bool {
        let mut list = self;
        while let Some(cell) = &list.0 {
            if matches!(cell.0, Item::Stop(_)) {
                return true;
            }
            list = &cell.1;
        }
        false
    }

    /// With what the list begins; at the end of the pattern nothing is known.
    pub(crate) fn leading(&self) -> Leading {
        let mut all = Leading::nothing();
        let mut list = self;
        while let Some(cell) = &list.0
            && all.empty
        {
            all = match &cell.0 {
                Item::EndOf(_) => all,
                Item::Stop(rest) => all.then(rest),
                Item::Node(node) => all.then(&leading(node)),
            };
            list = &cell.1;
        }
        all
    }
}

/// `(?=a[bc]+d)a(.+)$` as `a([bc]+d.*)$`: what comes takes everything to the end of the line, and what is looked for is
/// a part of that. So there is one way for the group to match, and it does if what is looked for is there.
pub(crate) fn swallowed(look: &Node, rest: &List) -> Option<List> {
    let parts = match look {
        Node::Concat(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut parts = parts.iter();
    let mut before = Vec::new();
    let mut list = rest;
    loop {
        let cell = list.0.as_deref()?;
        let (Item::Node(node), behind) = (&cell.0, &cell.1) else {
            return None;
        };
        list = behind;
        match node {
            Node::Empty => {}
            Node::Char(_) if parts.next() == Some(node) => before.push(node),
            Node::Group(group, inner) => {
                let Node::Repeat {
                    node,
                    min: 0 | 1,
                    max: None,
                    kind: RepeatKind::Greedy,
                } = &**inner
                else {
                    return None;
                };
                let dot = CharSet::dot(false);
                let wanted: Vec<Node> = parts.cloned().collect();
                let wanted = Node::concat(wanted);
                let fits = |node: &Node| match node {
                    Node::Char(_) | Node::Set(_) => node.single().is_some_and(|set| set.is_subset_of(&dot)),
                    Node::Concat(_) | Node::Alternate(_) => true,
                    Node::Repeat { kind, .. } => *kind != RepeatKind::Possessive,
                    _ => false,
                };
                let line_end = matches!(
                    list.0.as_deref(),
                    Some((
                        Item::Node(Node::Assert(Assertion::FinalLineEnd | Assertion::LineEnd)),
                        List(None)
                    ))
                );
                if node.single()? != dot || wanted.may_be_empty() || wanted.any(&mut |node| !fits(node)) || !line_end {
                    return None;
                }
                let all = Node::Repeat {
                    node: node.clone(),
                    min: 0,
                    max: None,
                    kind: RepeatKind::Greedy,
                };
                let taken = Node::Group(*group, Box::new(Node::Concat(vec![wanted, all])));
                let longer = list.with(Item::Node(taken));
                return Some(before.into_iter().rev().fold(longer, |list, node| list.with_node(node)));
            }
            _ => return None,
        }
    }
}

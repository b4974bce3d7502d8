//! What can be said about a pattern without a text: whether it can match at all, which parts of it are free text, an
//! example of what it matches, and a text on which it is slow.
//!
//! What is said to be impossible is proven, on an automaton that accepts at least what the pattern matches
//! (`automaton.rs`, `search.rs`). Examples (`sample.rs`) are drafts: whoever uses one asks the machine whether it matches.
//! Nothing here runs while a log is read.

mod automaton;
mod sample;
mod search;
mod slow;
#[cfg(test)]
mod tests;

use crate::Regex;
use crate::ast::{Assertion, Node, RepeatKind};
use crate::charset::CharSet;

pub use sample::{ADDRESS, CONTENT, FIELD, Taste};
pub use slow::{Slow, slow_text};

/// A loop that may take so many characters is free text, as an unbounded one is.
pub const LONG: u32 = 24;

/// A pattern laid open for review.
#[derive(Debug)]
pub struct Outline {
    root: Node,
    names: Vec<(Box<str>, usize)>,
}

/// A part of a pattern that takes text of any length: `.*`, `\S+`, `[^"]*`.
#[derive(Clone, Debug)]
pub struct Field {
    /// Counted from 0, in the order of the pattern, over all loops of one class.
    pub number: usize,
    /// The inmost named group around it.
    pub name: Option<Box<str>>,
    set: CharSet,
    /// What the loop stops before: `(?:(?!stop).)*`.
    stop: Option<String>,
}

/// What is known of the texts a pattern is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// One line, with a line feed at its end and nowhere else.
    Line,
    /// A part of such a line, with or without the line feed.
    Part,
}

/// A further condition on the texts.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// The whole text is what this group of the other pattern matched.
    Captured(&'a Outline, usize),
    /// The text begins with a match of the other pattern.
    Begins(&'a Outline),
    /// The text begins with no match of the other pattern.
    BeginsNot(&'a Outline),
    /// The text begins with nothing that the other pattern takes before this group.
    BeginsNotBefore(&'a Outline, usize),
}

impl Outline {
    /// Lays a pattern open.
    pub fn of(regex: &Regex) -> Option<Self> {
        Some(Self {
            root: regex.tree()?,
            names: regex.names.clone(),
        })
    }

    /// Whether a search in such texts is proven to find nothing. `false` says nothing.
    pub fn never_matches(&self, text: Text, conditions: &[Condition<'_>]) -> bool {
        search::is_empty(self, text, conditions)
    }

    /// Whether a match can begin at the start of the text only.
    pub fn is_anchored(&self) -> bool {
        begins_at_start(&self.root)
    }

    /// Whether every match has this group take part, with at least one character in it.
    pub fn always_fills(&self, group: usize) -> bool {
        always_fills(&self.root, group)
    }

    /// Whether something of at least three characters must stand before this group.
    pub fn demands_before(&self, group: usize) -> bool {
        search::before_group(&self.root, group).is_some_and(|before| crate::literals::required_one(&before).is_some())
    }

    /// The parts that are free text, outside the groups named in `but`.
    pub fn fields(&self, but: &[&str]) -> Vec<Field> {
        let mut found = Vec::new();
        let mut number = 0;
        self.collect(&self.root, None, but, &mut number, &mut found);
        found
    }

    /// How many loops over one class there are, which [`Field::number`] counts.
    pub fn loops(&self) -> usize {
        self.fields(&[]).len()
    }

    /// Number of a named group.
    pub fn group(&self, name: &str) -> Option<usize> {
        let named = self.names.iter().find(|(known, _)| &**known == name);
        named.map(|(_, number)| *number)
    }

    fn name_of(&self, group: usize) -> Option<&str> {
        let named = self.names.iter().find(|(_, number)| *number == group);
        named.map(|(name, _)| &**name)
    }

    fn collect(&self, node: &Node, name: Option<&str>, but: &[&str], number: &mut usize, out: &mut Vec<Field>) {
        if let Some((set, stop)) = loop_of(node) {
            if name.is_none_or(|name| !but.contains(&name)) {
                out.push(Field {
                    number: *number,
                    name: name.map(Into::into),
                    set,
                    stop,
                });
            }
            *number += 1;
            return;
        }
        // What looks around takes nothing.
        if matches!(node, Node::Look { .. }) {
            return;
        }
        let name = match node {
            Node::Group(group, _) => self.name_of(*group).or(name),
            _ => name,
        };
        for child in node.children() {
            self.collect(child, name, but, number, out);
        }
    }
}

impl Field {
    /// Whether the field takes these characters.
    pub fn holds(&self, text: &str) -> bool {
        text.chars().all(|character| self.set.contains(u32::from(character)))
    }

    /// Whether the field ends before this text does.
    pub fn stops_in(&self, text: &str) -> bool {
        self.stop.as_ref().is_some_and(|stop| text.contains(stop.as_str()))
    }
}

/// The class of a loop over one class, and what it stops before.
fn loop_of(node: &Node) -> Option<(CharSet, Option<String>)> {
    match node {
        Node::Repeat { node, max, kind, .. }
            if max.is_none_or(|max| max >= LONG) && *kind != RepeatKind::Possessive =>
        {
            match &**node {
                Node::Set(set) => Some((set.clone(), None)),
                other => other.tempered().map(|(stop, set)| (set, Some(stop))),
            }
        }
        _ => None,
    }
}

fn begins_at_start(node: &Node) -> bool {
    match node {
        Node::Assert(place) => *place == Assertion::TextStart,
        Node::Group(_, inner) | Node::Atomic(inner) => begins_at_start(inner),
        Node::Concat(nodes) => {
            let mut free = nodes
                .iter()
                .skip_while(|node| matches!(node, Node::Look { .. } | Node::Empty));
            free.next().is_some_and(begins_at_start)
        }
        Node::Alternate(nodes) => nodes.iter().all(begins_at_start),
        Node::Repeat { node, min, .. } => *min > 0 && begins_at_start(node),
        _ => false,
    }
}

fn always_fills(node: &Node, group: usize) -> bool {
    match node {
        Node::Group(number, inner) if *number == group => !inner.may_be_empty(),
        Node::Group(_, inner) | Node::Atomic(inner) => always_fills(inner, group),
        Node::Concat(nodes) => nodes.iter().any(|node| always_fills(node, group)),
        Node::Alternate(nodes) => nodes.iter().all(|node| always_fills(node, group)),
        Node::Repeat { node, min, .. } => *min > 0 && always_fills(node, group),
        _ => false,
    }
}

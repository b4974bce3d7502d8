//! Engine 2, on the `regex` crate: decides in linear time what the machine gave up on, where the pattern is regular.

use std::sync::OnceLock;

use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

use crate::ast::{Assertion, Node};
use crate::charset::CharSet;
use crate::lower::{Alphabet, Limits, NotRegular, asked_of_texts, check, lower};
use crate::machine::Machine;
use crate::regular::{Slot, Written, regular};

/// A compiled expression larger than this is not worth its memory: the search is given up instead.
const MAX_SIZE: usize = 4 << 20;

/// The linear-time engine of one pattern; made when first needed, which is for hostile texts only.
#[derive(Debug, Default)]
pub(crate) struct Linear {
    obstacle: OnceLock<Option<NotRegular>>,
    ascii: OnceLock<Option<Lowered>>,
    unicode: OnceLock<Option<Lowered>>,
    asked: OnceLock<Option<Asked>>,
}

/// An expression that only has to say yes or no, for texts of ASCII.
#[derive(Debug)]
struct Asked {
    regex: Regex,
    limits: Limits,
}

/// A pattern in the `regex` crate's hands.
#[derive(Debug)]
struct Lowered {
    regex: Regex,
    /// What its groups tell, from group 1 on.
    slots: Vec<Slot>,
    limits: Limits,
}

impl Linear {
    /// Why the pattern is not regular. `tree` gives its tree, which is not kept in memory for this rare use.
    pub(crate) fn obstacle(&self, tree: impl FnOnce() -> Option<Node>) -> Option<NotRegular> {
        *self.obstacle.get_or_init(|| written(tree()?, Alphabet::Ascii).err())
    }

    /// Searches `text` and writes the groups into the machine; `None` if this engine would not be exact for this
    /// pattern and text.
    pub(crate) fn search(
        &self,
        text: &str,
        machine: &mut Machine,
        tree: impl FnOnce() -> Option<Node>,
    ) -> Option<bool> {
        let (cell, alphabet) = if text.is_ascii() {
            (&self.ascii, Alphabet::Ascii)
        } else {
            (&self.unicode, Alphabet::Unicode)
        };
        let lowered = cell.get_or_init(|| Lowered::new(tree()?, alphabet)).as_ref()?;
        let limits = lowered.limits;
        let line_feed = memchr::memchr(b'\n', text.as_bytes());
        if (limits.ascii && alphabet != Alphabet::Ascii)
            || (limits.not_empty && text.is_empty())
            || (limits.one_line && line_feed.is_some_and(|position| position + 1 < text.len()))
        {
            return None;
        }
        let mut locations = lowered.regex.capture_locations();
        if lowered.regex.captures_read(&mut locations, text.as_bytes()).is_none() {
            return Some(false);
        }
        lowered.tell(&locations, machine);
        Some(true)
    }

    /// Whether the pattern matches a text of one line; `None` if this engine would not be exact for this pattern and text.
    pub(crate) fn is_match(&self, text: &[u8], tree: impl FnOnce() -> Option<Node>) -> Option<bool> {
        let asked = self.asked.get_or_init(|| Asked::new(tree()?)).as_ref()?;
        let exact = text.is_ascii() && !(asked.limits.not_empty && text.is_empty());
        exact.then(|| asked.regex.is_match(text))
    }
}

impl Asked {
    fn new(tree: Node) -> Option<Self> {
        let (tree, limits) = written(tree, Alphabet::Ascii).ok()?;
        let (expression, _) = lower(&without_rest_of_line(tree), Alphabet::Ascii);
        let regex = RegexBuilder::new(&expression).size_limit(MAX_SIZE).build().ok()?;
        Some(Self { regex, limits })
    }
}

/// `X.+$` matches a text of one line where `X.` does, which is known long before its end.
fn without_rest_of_line(tree: Node) -> Node {
    let Node::Concat(mut nodes) = tree else { return tree };
    let rest = match nodes.as_slice() {
        [_, .., rest, Node::Assert(Assertion::FinalLineEnd)] => any_letters(rest),
        _ => None,
    };
    if let Some((letter, least)) = rest {
        nodes.truncate(nodes.len() - 2);
        nodes.extend((least > 0).then_some(letter));
    }
    Node::Concat(nodes)
}

/// Any letters but line feeds, in a group or not: one of them, and whether there has to be one.
fn any_letters(node: &Node) -> Option<(Node, u32)> {
    match node {
        Node::Group(_, inner) => any_letters(inner),
        Node::Repeat {
            node: letter,
            min: least @ (0 | 1),
            max: None,
            ..
        } => (**letter == Node::Set(CharSet::dot(false))).then(|| ((**letter).clone(), *least)),
        _ => None,
    }
}

/// The tree as it is lowered, and what it asks of the texts.
fn written(tree: Node, alphabet: Alphabet) -> Result<(Node, Limits), NotRegular> {
    let asked = asked_of_texts(&tree);
    let what = match alphabet {
        Alphabet::Ascii => Written::Asked,
        Alphabet::Unicode => Written::AskedAndBoundaries,
    };
    let tree = regular(&tree, what)?.unwrap_or(tree);
    check(&tree)?;
    let ascii = asked_of_texts(&tree).ascii;
    Ok((tree, Limits { ascii, ..asked }))
}

impl Lowered {
    fn new(tree: Node, alphabet: Alphabet) -> Option<Self> {
        let (tree, limits) = written(tree, alphabet).ok()?;
        let (expression, slots) = lower(&tree, alphabet);
        let regex = RegexBuilder::new(&expression).size_limit(MAX_SIZE).build().ok()?;
        Some(Self { regex, slots, limits })
    }

    /// Tells the machine where the groups are. Of a group written several times the last that took part counts, which is the one
    /// furthest in the text.
    fn tell(&self, locations: &CaptureLocations, machine: &mut Machine) {
        let mut starts = vec![None; machine.groups() + 1];
        let mut ends = starts.clone();
        let set = |side: &mut Vec<Option<usize>>, group: usize, position: usize| {
            if let Some(slot) = side.get_mut(group) {
                *slot = (*slot).max(Some(position));
            }
        };
        for (index, slot) in self.slots.iter().enumerate() {
            let Some((start, end)) = locations.get(index + 1) else {
                continue;
            };
            match *slot {
                Slot::Group(group) => {
                    set(&mut starts, group, start);
                    set(&mut ends, group, end);
                }
                Slot::StartOf(group) => set(&mut starts, group, start),
                Slot::EndOf(group) => set(&mut ends, group, end),
            }
        }
        let whole = locations.get(0);
        machine.set_group(
            0,
            whole.map(|(start, end)| (start, ends.first().copied().flatten().unwrap_or(end))),
        );
        for (group, span) in starts.into_iter().zip(ends).enumerate().skip(1) {
            machine.set_group(group, span.0.zip(span.1));
        }
    }
}

//! What a bounded look-ahead asks of the characters to come: finite sequences of classes.

use crate::ast::{Assertion, Node, RepeatKind};
use crate::charset::{Category, CharSet};
use crate::leading::Leading;

/// A look-ahead of more sequences, or of longer ones, is not written out.
const MAX_SEQUENCES: usize = 64;
const MAX_LENGTH: usize = 64;

/// One element of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    /// The next character is one of these.
    One(CharSet),
    /// The next character is one of these, or the text ends. Always the last of its sequence.
    OneOrEnd(CharSet),
}

impl Element {
    fn set(&self) -> &CharSet {
        match self {
            Element::One(set) | Element::OneOrEnd(set) => set,
        }
    }
}

/// A look-ahead that has not been decided yet: at this position one of the sequences begins, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    negative: bool,
    sequences: Vec<Vec<Element>>,
}

/// What is left of a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// It cannot hold any more.
    Fails,
    Guard(Guard),
}

impl Guard {
    /// The look-ahead as sequences, if it is bounded and has no more of them than is reasonable.
    pub(crate) fn new(node: &Node, negative: bool) -> Option<Self> {
        // What it captures is seen outside.
        if !negative && node.any(&mut |node| matches!(node, Node::Group(..))) {
            return None;
        }
        let sequences = sequences(node, vec![Vec::new()])?;
        // An empty sequence always begins here; there is nothing to wait for.
        let bounded = sequences.iter().all(|sequence| !sequence.is_empty());
        bounded.then_some(Self { negative, sequences })
    }

    /// `(?!text)`
    pub(crate) fn not_literal(text: &[char]) -> Self {
        let one = |character: &char| Element::One(CharSet::single(u32::from(*character)));
        Self {
            negative: true,
            sequences: vec![text.iter().map(one).collect()],
        }
    }

    /// What `\b` or `\B` asks for behind a character that is a word character or not.
    pub(crate) fn boundary(after_word: bool, negated: bool, ascii: bool) -> Self {
        let word = CharSet::category(Category::Word, false, ascii);
        let element = if after_word == negated {
            Element::One(word)
        } else {
            Element::OneOrEnd(word.negated())
        };
        Self {
            negative: false,
            sequences: vec![vec![element]],
        }
    }

    /// The classes by which the next character decides something.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &CharSet> {
        self.sequences
            .iter()
            .filter_map(|sequence| sequence.first())
            .map(Element::set)
    }

    /// After a character of `cell`, each of which is in all or none of each head.
    pub(crate) fn after(&self, cell: &CharSet) -> Left {
        let mut left = Vec::new();
        for sequence in &self.sequences {
            if let Some((head, tail)) = sequence.split_first()
                && cell.is_subset_of(head.set())
            {
                if tail.is_empty() {
                    return self.found();
                }
                left.push(tail.to_vec());
            }
        }
        self.with(left)
    }

    /// Where the line ends: the text does, or a line feed follows.
    pub(crate) fn at_line_end(&self) -> Left {
        let line_feed = CharSet::single(u32::from('\n'));
        let mut left = Vec::new();
        for sequence in &self.sequences {
            match sequence.first() {
                Some(Element::OneOrEnd(set)) if line_feed.is_subset_of(set) => return self.found(),
                Some(Element::One(set)) if line_feed.is_disjoint(set) => {}
                _ => left.push(sequence.clone()),
            }
        }
        self.with(left)
    }

    /// Where the text ends.
    pub(crate) fn at_text_end(&self) -> Left {
        let ends = |sequence: &Vec<Element>| matches!(sequence.first(), Some(Element::OneOrEnd(_)));
        if self.sequences.iter().any(ends) {
            return self.found();
        }
        self.with(Vec::new())
    }

    /// Given with what the rest begins.
    pub(crate) fn before(&self, rest: &Leading) -> Left {
        if rest.empty {
            return Left::Guard(self.clone());
        }
        let mut left = Vec::new();
        for sequence in &self.sequences {
            match sequence.as_slice() {
                [Element::OneOrEnd(head)] if rest.set.is_subset_of(head) => return self.found(),
                [Element::One(head)] if !rest.end && rest.set.is_subset_of(head) => return self.found(),
                [Element::OneOrEnd(_), ..] if rest.end => left.push(sequence.clone()),
                [head, ..] if rest.set.is_disjoint(head.set()) => {}
                _ => left.push(sequence.clone()),
            }
        }
        self.with(left)
    }

    fn found(&self) -> Left {
        if self.negative { Left::Fails } else { Left::Nothing }
    }

    fn with(&self, sequences: Vec<Vec<Element>>) -> Left {
        match (sequences.is_empty(), self.negative) {
            (true, true) => Left::Nothing,
            (true, false) => Left::Fails,
            (false, negative) => Left::Guard(Self { negative, sequences }),
        }
    }
}

/// All sequences of the node after each of those before it.
fn sequences(node: &Node, before: Vec<Vec<Element>>) -> Option<Vec<Vec<Element>>> {
    let fits = |sequences: Vec<Vec<Element>>| {
        let small = sequences.len() <= MAX_SEQUENCES && sequences.iter().all(|sequence| sequence.len() <= MAX_LENGTH);
        small.then_some(sequences)
    };
    // Nothing can come after what the end of the text may have been.
    let ended = |sequence: &Vec<Element>| matches!(sequence.last(), Some(Element::OneOrEnd(_)));
    if before.iter().any(ended) && *node != Node::Empty {
        return None;
    }
    match node {
        Node::Empty => Some(before),
        Node::Char(_) | Node::Set(_) => {
            let set = node.single()?;
            if set.is_empty() {
                return None;
            }
            fits(extended(before, &Element::One(set)))
        }
        Node::Assert(Assertion::FinalLineEnd | Assertion::LineEnd) => {
            Some(extended(before, &Element::OneOrEnd(CharSet::single(u32::from('\n')))))
        }
        Node::Assert(Assertion::WordBoundary { ascii, negated: false }) => {
            let word = CharSet::category(Category::Word, false, *ascii);
            let after_word = |sequence: &Vec<Element>| match sequence.last() {
                Some(Element::One(set)) => set.is_subset_of(&word),
                _ => false,
            };
            if !before.iter().all(after_word) {
                return None;
            }
            Some(extended(before, &Element::OneOrEnd(word.negated())))
        }
        Node::Group(_, inner) => sequences(inner, before),
        Node::Concat(nodes) => nodes.iter().try_fold(before, |before, node| sequences(node, before)),
        Node::Alternate(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(sequences(branch, before.clone())?);
                all = fits(all)?;
            }
            Some(all)
        }
        Node::Repeat { node, min, max, kind } if *kind != RepeatKind::Possessive => {
            let max = (*max).filter(|max| usize::try_from(*max).is_ok_and(|max| max <= MAX_LENGTH))?;
            let (mut round, mut all) = (before, Vec::new());
            for count in 0..=max {
                if count >= *min {
                    all.extend(round.iter().cloned());
                    all = fits(all)?;
                }
                if count < max {
                    round = sequences(node, round)?;
                }
            }
            Some(all)
        }
        Node::Assert(_)
        | Node::Repeat { .. }
        | Node::Look { .. }
        | Node::Backreference { .. }
        | Node::Conditional { .. }
        | Node::Atomic(_) => None,
    }
}

fn extended(before: Vec<Vec<Element>>, element: &Element) -> Vec<Vec<Element>> {
    let extend = |mut sequence: Vec<Element>| {
        sequence.push(element.clone());
        sequence
    };
    before.into_iter().map(extend).collect()
}

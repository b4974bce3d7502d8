//! A tree in the `regex` crate's syntax, or the reason why it has none.
//!
//! Nothing is left to that crate's own idea of `\w`, of case or of lines: classes are written out as ranges, so both
//! engines mean the same characters.

use std::fmt::{self, Write};

use crate::ast::{Assertion, Node, RepeatKind};
use crate::charset::CharSet;
use crate::regular::{Slot, slot};

/// Why a pattern is not regular, or not in a way the `regex` crate can be trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRegular {
    /// `(?=…)` and its like.
    LookAround,
    /// `\1`
    Backreference,
    /// `(?(1)…)`
    Conditional,
    /// `(?>…)` or `a*+`
    Atomic,
    /// `(a*)*`: after an empty iteration CPython leaves the loop, the `regex` crate tries the body's other ways.
    EmptyIteration,
}

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotRegular::LookAround => "it looks around",
            NotRegular::Backreference => "it refers to a group",
            NotRegular::Conditional => "it has a conditional",
            NotRegular::Atomic => "it has an atomic group or a possessive repetition",
            NotRegular::EmptyIteration => "it repeats what may be empty",
        })
    }
}

/// For which texts an expression is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// Texts of ASCII only: classes of bytes, which are cheap to compile.
    Ascii,
    Unicode,
}

/// What an expression asks of a text to be exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `$` without MULTILINE is written `(?m:$)`: the text may have a line feed only at its end.
    pub(crate) one_line: bool,
    /// CPython's word characters are not the `regex` crate's: the text must be ASCII.
    pub(crate) ascii: bool,
    /// In an empty text CPython has neither `\b` nor `\B`.
    pub(crate) not_empty: bool,
}

/// What a tree asks of the texts.
pub(crate) fn asked_of_texts(root: &Node) -> Limits {
    let mut limits = Limits::default();
    root.any(&mut |node| {
        match node {
            Node::Assert(Assertion::FinalLineEnd) => limits.one_line = true,
            Node::Assert(Assertion::WordBoundary { .. }) => {
                limits.ascii = true;
                limits.not_empty = true;
            }
            _ => {}
        }
        false
    });
    limits
}

/// Why the tree is not regular.
pub(crate) fn check(root: &Node) -> Result<(), NotRegular> {
    let mut obstacle = None;
    root.any(&mut |node| {
        obstacle = match node {
            Node::Look { .. } => Some(NotRegular::LookAround),
            Node::Backreference { .. } => Some(NotRegular::Backreference),
            Node::Conditional { .. } => Some(NotRegular::Conditional),
            Node::Atomic(_)
            | Node::Repeat {
                kind: RepeatKind::Possessive,
                ..
            } => Some(NotRegular::Atomic),
            Node::Repeat { node, max, .. } if *max != Some(1) && node.may_be_empty() => {
                Some(NotRegular::EmptyIteration)
            }
            _ => None,
        };
        obstacle.is_some()
    });
    obstacle.map_or(Ok(()), Err)
}

/// Writes a tree that [`check`] found regular; and what its groups mean, from group 1 on.
pub(crate) fn lower(root: &Node, alphabet: Alphabet) -> (String, Vec<Slot>) {
    let mut out = String::new();
    if alphabet == Alphabet::Ascii {
        out.push_str("(?-u)");
    }
    write_node(root, alphabet, &mut out);
    let mut slots = Vec::new();
    root.any(&mut |node| {
        if let Node::Group(number, _) = node {
            slots.push(slot(*number));
        }
        false
    });
    (out, slots)
}

fn write_node(node: &Node, alphabet: Alphabet, out: &mut String) {
    match node {
        Node::Empty => out.push_str("(?:)"),
        Node::Char(character) => write_set(&CharSet::single(u32::from(*character)), alphabet, out),
        Node::Set(set) => write_set(set, alphabet, out),
        Node::Assert(place) => out.push_str(match place {
            Assertion::TextStart => r"\A",
            Assertion::TextEnd => r"\z",
            Assertion::LineStart => "(?m:^)",
            Assertion::LineEnd | Assertion::FinalLineEnd => "(?m:$)",
            Assertion::WordBoundary { negated: false, .. } => r"(?-u:\b)",
            Assertion::WordBoundary { negated: true, .. } => r"(?-u:\B)",
        }),
        Node::Group(_, inner) => {
            out.push('(');
            write_node(inner, alphabet, out);
            out.push(')');
        }
        Node::Concat(nodes) => nodes.iter().for_each(|node| write_enclosed(node, alphabet, out)),
        Node::Alternate(branches) => {
            for (index, branch) in branches.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                write_enclosed(branch, alphabet, out);
            }
        }
        Node::Repeat { node, min, max, kind } => {
            out.push_str("(?:");
            write_node(node, alphabet, out);
            out.push(')');
            // Writing to a String cannot fail.
            let _ = match (min, max) {
                (0, None) => write!(out, "*"),
                (1, None) => write!(out, "+"),
                (0, Some(1)) => write!(out, "?"),
                (min, None) => write!(out, "{{{min},}}"),
                (min, Some(max)) => write!(out, "{{{min},{max}}}"),
            };
            if *kind == RepeatKind::Lazy {
                out.push('?');
            }
        }
        // Refused by `check`; written so that it can match nothing.
        Node::Look { .. } | Node::Backreference { .. } | Node::Conditional { .. } | Node::Atomic(_) => {
            write_set(&CharSet::default(), alphabet, out);
        }
    }
}

fn write_enclosed(node: &Node, alphabet: Alphabet, out: &mut String) {
    let alternation = matches!(node, Node::Alternate(_));
    if alternation {
        out.push_str("(?:");
    }
    write_node(node, alphabet, out);
    if alternation {
        out.push(')');
    }
}

fn write_set(set: &CharSet, alphabet: Alphabet, out: &mut String) {
    let last = if alphabet == Alphabet::Ascii {
        0x7f
    } else {
        u32::from(char::MAX)
    };
    let start = out.len();
    out.push('[');
    let mut empty = true;
    let mut range = |first: u32, last: u32| {
        if first <= last {
            empty = false;
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{{{first:x}}}-\\x{{{last:x}}}");
        }
    };
    for &(first, end) in set.ranges() {
        let end = end.min(last);
        // The `regex` crate has no surrogates, and no text has them.
        range(first, end.min(0xd7ff));
        range(first.max(0xe000), end);
    }
    out.push(']');
    if empty {
        out.truncate(start);
        out.push_str(if alphabet == Alphabet::Ascii {
            r"[^\x00-\xff]"
        } else {
            r"[^\x00-\x{10ffff}]"
        });
    }
}

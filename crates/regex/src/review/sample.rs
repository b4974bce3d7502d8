//! A text that a pattern may match, with the places of address and free text marked.

use crate::ast::{Node, RepeatKind};
use crate::charset::CharSet;

use super::{Outline, loop_of};

/// Stands in a sample where the address goes.
pub const ADDRESS: char = '\u{e000}';
/// Stands in a sample where the text of the chosen field goes.
pub const FIELD: char = '\u{e001}';
/// Stands in a sample where the group `content` goes.
pub const CONTENT: char = '\u{e002}';

/// Longer samples are of no use as examples.
const LONGEST: usize = 2_000;

/// Which of the many texts is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taste {
    /// Take what is optional.
    pub full: bool,
    /// Which branch of an alternation is preferred.
    pub branch: usize,
}

impl Outline {
    /// A text that the pattern may match: look-arounds are not obeyed, so whether it does has to be tried.
    ///
    /// `field` is the number of a field to be marked. Groups `ip4` and `content` are marked too.
    pub fn sample(&self, field: Option<usize>, taste: Taste) -> Option<String> {
        let target = field.and_then(|field| nth_loop(&self.root, field));
        let mut sampler = Sampler {
            outline: self,
            target,
            taste,
            groups: Vec::new(),
            out: String::new(),
        };
        sampler.node(&self.root)?;
        Some(sampler.out)
    }
}

/// The loop of this number, as [`Outline::fields`] counts.
fn nth_loop(root: &Node, number: usize) -> Option<&Node> {
    fn walk<'n>(node: &'n Node, left: &mut usize) -> Option<&'n Node> {
        if loop_of(node).is_some() {
            if *left == 0 {
                return Some(node);
            }
            *left -= 1;
            return None;
        }
        if matches!(node, Node::Look { .. }) {
            return None;
        }
        node.children().find_map(|child| walk(child, left))
    }
    let mut left = number;
    walk(root, &mut left)
}

struct Sampler<'o> {
    outline: &'o Outline,
    target: Option<&'o Node>,
    taste: Taste,
    /// Texts of the groups so far.
    groups: Vec<(usize, String)>,
    out: String,
}

impl<'o> Sampler<'o> {
    fn is_target(&self, node: &Node) -> bool {
        self.target.is_some_and(|target| std::ptr::eq(target, node))
    }

    /// Whether a marked place is in the node.
    fn is_wanted(&self, node: &Node) -> bool {
        self.holds_target(node) || self.holds_mark(node)
    }

    fn holds_target(&self, node: &Node) -> bool {
        self.target.is_some() && node.any(&mut |node| self.is_target(node))
    }

    fn holds_mark(&self, node: &Node) -> bool {
        node.any(&mut |node| match node {
            Node::Group(group, _) => self.mark(*group).is_some(),
            _ => false,
        })
    }

    fn mark(&self, group: usize) -> Option<char> {
        match self.outline.name_of(group)? {
            "ip4" => Some(ADDRESS),
            "content" => Some(CONTENT),
            _ => None,
        }
    }

    /// `None` if nothing matches, or too much.
    fn node(&mut self, node: &'o Node) -> Option<()> {
        if self.out.len() > LONGEST {
            return None;
        }
        if self.is_target(node) {
            self.out.push(FIELD);
            return Some(());
        }
        match node {
            Node::Empty | Node::Assert(_) | Node::Look { .. } => {}
            Node::Char(character) => self.out.push(*character),
            Node::Set(set) => self.out.push(one_of(set)?),
            Node::Group(group, inner) => {
                if let Some(mark) = self.mark(*group).filter(|_| !self.holds_target(inner)) {
                    self.out.push(mark);
                    return Some(());
                }
                let start = self.out.len();
                self.node(inner)?;
                let text = self.out.get(start..).unwrap_or("").to_owned();
                self.groups.push((*group, text));
            }
            Node::Concat(nodes) => {
                // Beside the address itself nothing optional is wanted: `::ffff:` would only make it hard to read.
                let beside_mark =
                    |node: &Node| matches!(node, Node::Group(group, _) if self.mark(*group) == Some(ADDRESS));
                let taste = self.taste;
                if nodes.iter().any(beside_mark) {
                    self.taste.full = false;
                }
                let result = nodes.iter().try_for_each(|node| self.node(node));
                self.taste = taste;
                result?;
            }
            Node::Alternate(branches) => {
                let wanted = branches.iter().find(|branch| self.holds_target(branch));
                let wanted = wanted.or_else(|| branches.iter().find(|branch| self.holds_mark(branch)));
                let preferred = || branches.get(self.taste.branch % branches.len().max(1));
                self.node(wanted.or_else(preferred)?)?;
            }
            Node::Repeat { node, min, max, kind } => {
                let least = *min;
                let more = *max != Some(0)
                    && least == 0
                    && (self.is_wanted(node) || self.taste.full || *kind == RepeatKind::Possessive);
                for _ in 0..least.max(u32::from(more)) {
                    self.node(node)?;
                }
            }
            Node::Backreference { group, .. } => {
                let text = self.groups.iter().rev().find(|(known, _)| known == group)?.1.clone();
                self.out.push_str(&text);
            }
            Node::Conditional { group, yes, no } => {
                let took_part = self.groups.iter().any(|(known, _)| known == group);
                self.node(if took_part { yes } else { no })?;
            }
            Node::Atomic(inner) => self.node(inner)?,
        }
        Some(())
    }
}

/// A character of the class, a common one if there is one.
pub(super) fn one_of(set: &CharSet) -> Option<char> {
    const COMMON: &str = "x1 abA:.-_/";
    let common = COMMON.chars().find(|character| set.contains(u32::from(*character)));
    let printable = || (' '..='~').find(|character| set.contains(u32::from(*character)));
    let any = || {
        let codes = set.ranges().iter().flat_map(|&(first, last)| first..=last);
        codes.filter(|code| *code != u32::from('\n')).find_map(char::from_u32)
    };
    common.or_else(printable).or_else(any)
}

//! Engine 2, on the `regex` crate: decides in linear time what the machine gave up on, where the pattern is regular.

use std::sync::OnceLock;

use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

use crate::ast::Node;
use crate::lower::{Alphabet, Limits, NotRegular, check, has_final_line_end, lower};
use crate::machine::Machine;
use crate::regular::{Slot, regular};

/// A compiled expression larger than this is not worth its memory: the search is given up instead.
const MAX_SIZE: usize = 4 << 20;

/// The linear-time engine of one pattern; compiled when first needed, which is for hostile texts only.
#[derive(Debug)]
pub(crate) struct Linear {
    limits: Result<Limits, NotRegular>,
    ascii: OnceLock<Option<Lowered>>,
    unicode: OnceLock<Option<Lowered>>,
}

/// A pattern in the `regex` crate's hands.
#[derive(Debug)]
struct Lowered {
    regex: Regex,
    /// What its groups tell, from group 1 on.
    slots: Vec<Slot>,
}

impl Linear {
    pub(crate) fn new(root: &Node) -> Self {
        let limits = match regular(root) {
            Ok(None) => check(root),
            // What a look-ahead says of line ends is written out without them.
            Ok(Some(written)) => check(&written).map(|limits| Limits {
                one_line: limits.one_line || has_final_line_end(root),
                ..limits
            }),
            Err(obstacle) => Err(obstacle),
        };
        Self {
            limits,
            ascii: OnceLock::new(),
            unicode: OnceLock::new(),
        }
    }

    pub(crate) fn obstacle(&self) -> Option<NotRegular> {
        self.limits.err()
    }

    /// Searches `text` and writes the groups into the machine; `None` if this engine would not be exact for this
    /// pattern and text. `tree` gives the pattern's tree, which is not kept in memory for this rare use.
    pub(crate) fn search(
        &self,
        text: &str,
        machine: &mut Machine,
        tree: impl FnOnce() -> Option<Node>,
    ) -> Option<bool> {
        let limits = self.limits.ok()?;
        let ascii = text.is_ascii();
        let line_feed = memchr::memchr(b'\n', text.as_bytes());
        if (limits.ascii && (!ascii || text.is_empty()))
            || (limits.one_line && line_feed.is_some_and(|position| position + 1 < text.len()))
        {
            return None;
        }
        let (cell, alphabet) = if ascii {
            (&self.ascii, Alphabet::Ascii)
        } else {
            (&self.unicode, Alphabet::Unicode)
        };
        let lowered = cell.get_or_init(|| Lowered::new(tree()?, alphabet)).as_ref()?;
        let mut locations = lowered.regex.capture_locations();
        if lowered.regex.captures_read(&mut locations, text.as_bytes()).is_none() {
            return Some(false);
        }
        lowered.tell(&locations, machine);
        Some(true)
    }
}

impl Lowered {
    fn new(tree: Node, alphabet: Alphabet) -> Option<Self> {
        let tree = regular(&tree).ok()?.unwrap_or(tree);
        let (expression, slots) = lower(&tree, alphabet);
        let regex = RegexBuilder::new(&expression).size_limit(MAX_SIZE).build().ok()?;
        Some(Self { regex, slots })
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

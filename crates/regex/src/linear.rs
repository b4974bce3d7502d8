//! Engine 2, on the `regex` crate: decides in linear time what the machine gave up on, where the pattern is regular.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::ast::Node;
use crate::lower::{Alphabet, Limits, NotRegular, check, lower};
use crate::machine::Machine;

/// A compiled expression larger than this is not worth its memory: the search is given up instead.
const MAX_SIZE: usize = 4 << 20;

/// The linear-time engine of one pattern; compiled when first needed, which is for hostile texts only.
#[derive(Debug)]
pub(crate) struct Linear {
    limits: Result<Limits, NotRegular>,
    ascii: OnceLock<Option<Regex>>,
    unicode: OnceLock<Option<Regex>>,
}

impl Linear {
    pub(crate) fn new(root: &Node) -> Self {
        Self {
            limits: check(root),
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
        let compile = || {
            RegexBuilder::new(&lower(&tree()?, alphabet))
                .size_limit(MAX_SIZE)
                .build()
                .ok()
        };
        let regex = cell.get_or_init(compile).as_ref()?;
        let mut locations = regex.capture_locations();
        if regex.captures_read(&mut locations, text.as_bytes()).is_none() {
            return Some(false);
        }
        for group in 0..locations.len() {
            machine.set_group(group, locations.get(group));
        }
        Some(true)
    }
}

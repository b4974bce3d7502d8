//! Memory that searches use and reuse, and the groups of the last match.

use std::ops::Range;

use crate::machine::Machine;

/// Memory that searches use and reuse, and the groups of the last match.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) machine: Machine,
}

impl Scratch {
    /// Byte range of a group in the text last searched; `None` if it took no part. Group 0 is the whole match.
    pub fn group(&self, number: usize) -> Option<Range<usize>> {
        self.machine.group(number)
    }

    /// Steps the last search took: a measure of how hostile the text was.
    pub fn steps(&self) -> u64 {
        self.machine.steps()
    }
}

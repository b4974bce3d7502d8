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

    /// Gives back the memory that only hostile texts need, which may be some 60 MB. The groups of the last match stay.
    pub fn tidy(&mut self) {
        self.machine.tidy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, Flags, Regex};

    #[test]
    fn what_a_hostile_text_made_it_hold_is_given_back() {
        let budget = Budget {
            steps: 4_000_000,
            steps_without_memo: 1_000,
        };
        let regex = Regex::with_budget(r"^(?:(a|b) ?)*(x)?(?:[ab] ?)*$", Flags::default(), budget).unwrap();
        let mut scratch = Scratch::default();
        let hostile = "a b".repeat(20_000) + "c";
        assert_eq!(regex.search(&hostile, &mut scratch), Ok(false));
        assert!(scratch.machine.held() > 1 << 20, "{} bytes", scratch.machine.held());
        assert_eq!(regex.search("abxab", &mut scratch), Ok(true));
        scratch.tidy();
        assert!(scratch.machine.held() < 128 << 10, "{} bytes", scratch.machine.held());
        assert_eq!(scratch.group(2), Some(2..3));
        assert_eq!(regex.search("ab ax", &mut scratch), Ok(true));
    }
}

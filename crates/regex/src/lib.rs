//! Python's `re`, exactly, for text that may be hostile.
//!
//! API agreed between crates; the bodies are being written.

use std::fmt;
use std::ops::Range;

/// Flags as `re.compile` takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `re.IGNORECASE`
    pub ignore_case: bool,
    /// `re.MULTILINE`
    pub multi_line: bool,
    /// `re.DOTALL`
    pub dot_all: bool,
    /// `re.VERBOSE`
    pub verbose: bool,
    /// `re.ASCII`
    pub ascii: bool,
}

/// A compiled pattern. Shared between threads; searching needs a [`Scratch`] of one's own.
#[derive(Debug)]
pub struct Regex {}

/// Memory that searches use and reuse, and the groups of the last match.
#[derive(Debug, Default)]
pub struct Scratch {}

/// The step budget ran out and the pattern is not regular: nobody knows whether it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// Why a pattern cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Python's own message where it has one: `missing ), unterminated subpattern`.
    pub message: String,
    /// Byte range in the pattern.
    pub span: Range<usize>,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at position {}", self.message, self.span.start)
    }
}

impl std::error::Error for PatternError {}

impl Regex {
    /// Compiles a pattern of Python's `re`.
    pub fn new(pattern: &str, flags: Flags) -> Result<Self, PatternError> {
        let _ = (pattern, flags);
        Err(PatternError { message: "not written yet".into(), span: 0..0 })
    }

    /// `re.search`: whether the pattern matches anywhere in `text`; on `true` the groups are in `scratch`.
    pub fn search(&self, text: &str, scratch: &mut Scratch) -> Result<bool, Overrun> {
        let _ = (text, scratch);
        Ok(false)
    }

    /// Named groups and their numbers, in the order of the pattern.
    pub fn names(&self) -> &[(Box<str>, usize)] {
        &[]
    }

    /// Number of groups, group 0 not counted.
    pub fn groups(&self) -> usize {
        0
    }

    /// Literals of which every match contains at least one; `None` when none can be promised.
    pub fn required_literals(&self) -> Option<Vec<Vec<u8>>> {
        None
    }
}

impl Scratch {
    /// Byte range of a group in the text last searched; `None` if it took no part. Group 0 is the whole match.
    pub fn group(&self, number: usize) -> Option<Range<usize>> {
        let _ = number;
        None
    }
}

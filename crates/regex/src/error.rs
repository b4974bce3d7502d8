//! Why a pattern is refused.

use std::fmt;
use std::ops::Range;

/// Why a pattern cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Python's own message where it has one: `missing ), unterminated subpattern`.
    pub message: String,
    /// Byte range in the pattern.
    pub span: Range<usize>,
}

impl PatternError {
    pub(crate) fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self {
            message: message.into(),
            span,
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at position {}", self.message, self.span.start)
    }
}

impl std::error::Error for PatternError {}

/// The step budget ran out and the pattern is not regular: nobody knows whether it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the search took more steps than it may and was given up")
    }
}

impl std::error::Error for Overrun {}

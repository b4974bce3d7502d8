//! Python's `re`, exactly, for text that may be hostile.
//!
//! A pattern is parsed as CPython 3.11 parses it ([`Regex::new`] refuses what CPython refuses, with its messages) and run
//! by a backtracking machine that finds what CPython finds, group by group. The machine has a step budget; where it
//! trips and the pattern is regular, the `regex` crate decides in linear time.
//!
//! ```
//! use stockade_regex::{Flags, Regex, Scratch};
//!
//! let regex = Regex::new(r"^Failed password for (?P<user>\S+) from (\d+(?:\.\d+){3})$", Flags::default())?;
//! let mut scratch = Scratch::default();
//! let line = "Failed password for root from 192.0.2.7\n";
//! assert_eq!(regex.search(line, &mut scratch), Ok(true));
//! assert_eq!(scratch.group(2).and_then(|span| line.get(span)), Some("192.0.2.7"));
//! # Ok::<(), stockade_regex::PatternError>(())
//! ```

mod ast;
mod captures;
mod charset;
mod compile;
mod error;
mod escape;
mod machine;
mod parse;
mod program;
mod tables;
mod token;

pub use captures::Scratch;
pub use error::{Overrun, PatternError};

use program::Program;

/// Steps a search may take, besides [`STEPS_PER_BYTE`].
const DEFAULT_BUDGET: u64 = 200_000;
/// A long text has a right to more steps: the bound stays linear.
const STEPS_PER_BYTE: u64 = 32;

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
pub struct Regex {
    program: Program,
    names: Vec<(Box<str>, usize)>,
    budget: u64,
}

impl Regex {
    /// Compiles a pattern of Python's `re`.
    pub fn new(pattern: &str, flags: Flags) -> Result<Self, PatternError> {
        Self::with_budget(pattern, flags, DEFAULT_BUDGET)
    }

    /// Compiles a pattern whose searches may take `budget` steps, and some per byte of the text.
    pub fn with_budget(pattern: &str, flags: Flags, budget: u64) -> Result<Self, PatternError> {
        let ast = parse::parse(pattern, flags)?;
        let program = compile::compile(&ast)?;
        Ok(Self {
            program,
            names: ast.names,
            budget,
        })
    }

    /// `re.search`: whether the pattern matches anywhere in `text`; on `true` the groups are in `scratch`.
    pub fn search(&self, text: &str, scratch: &mut Scratch) -> Result<bool, Overrun> {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let limit = self.budget.saturating_add(length.saturating_mul(STEPS_PER_BYTE));
        scratch.machine.search(&self.program, text, limit)
    }

    /// Named groups and their numbers, in the order of the pattern.
    pub fn names(&self) -> &[(Box<str>, usize)] {
        &self.names
    }

    /// Number of groups, group 0 not counted.
    pub fn groups(&self) -> usize {
        self.program.groups
    }

    /// Literals of which every match contains at least one; `None` when none can be promised.
    pub fn required_literals(&self) -> Option<Vec<Vec<u8>>> {
        None
    }
}

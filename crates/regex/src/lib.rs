//! Python's `re`, exactly, for text that may be hostile.
//!
//! A pattern is parsed as CPython 3.11 parses it ([`Regex::new`] refuses what CPython refuses, with its messages) and run
//! by a backtracking machine that finds what CPython finds, group by group. The machine has a step budget; where it
//! trips and the pattern is regular, the `regex` crate decides in linear time.
//!
//! Regular is also what becomes so when its bounded look-aheads, conditionals and word boundaries are written out.
//!
//! Known differences: `\N{name}` and the flag `t` are refused, and so are groups nested more than 200 deep; where CPython
//! 3.11 has a slip we do not follow it: groups that stay set after an alternative failed in a possessive repetition, a
//! conditional inside the group that it asks for, and a leading `(?a:` class, whose Unicode meaning it uses to find where
//! a match may start.
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
mod doomed;
mod error;
mod escape;
mod extent;
mod first;
mod group;
mod guard;
mod inline_flags;
mod leading;
mod linear;
mod literals;
mod lower;
mod machine;
mod near_miss;
mod parse;
mod path;
mod program;
mod quick;
mod regular;
mod repetition;
mod rest;
pub mod review;
mod rewrite;
mod sprint;
mod tables;
mod tempered;
mod token;
mod trace;

pub use captures::Scratch;
pub use error::{Overrun, PatternError};
pub use lower::NotRegular;
pub use near_miss::NearMiss;
pub use path::Paths;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ast::{Ast, Node};
use linear::Linear;
use program::{Program, Start};
use quick::Quick;

/// What a search may cost. A step is about 5 to 20 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Steps a search may take, and some more for each byte of the text.
    pub steps: u64,
    /// After this many steps the search begins to remember what it tried in vain. That memory has to be cleared for
    /// each search that needs it, which short searches are spared.
    pub steps_without_memo: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: 200_000,
            steps_without_memo: 1_000,
        }
    }
}

/// A long text has a right to more steps: the bound stays linear.
const STEPS_PER_BYTE: u64 = 32;
/// But no text to more than this: some 20 ms.
const MAX_STEPS_FOR_LENGTH: u64 = 4_000_000;

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

/// [`Regex::id`] of the next pattern.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A pattern, compiled at its first search. Shared between threads; searching needs a [`Scratch`] of one's own.
#[derive(Debug)]
pub struct Regex {
    /// Of this pattern only.
    id: u64,
    pattern: Box<str>,
    flags: Flags,
    /// Both are written when they are first searched with: most rules of most jails never are, and a server has hundreds.
    quick: OnceLock<Option<Box<Quick>>>,
    /// Where there is `quick`, for the texts that are not for it only.
    program: OnceLock<Option<Box<Program>>>,
    linear: Linear,
    names: Vec<(Box<str>, usize)>,
    /// Group 0 not counted.
    groups: usize,
    budget: Budget,
}

impl Regex {
    /// Reads a pattern of Python's `re`, and refuses it if it is none.
    pub fn new(pattern: &str, flags: Flags) -> Result<Self, PatternError> {
        Self::with_budget(pattern, flags, Budget::default())
    }

    /// The same for a pattern whose searches may cost something else than usual.
    pub fn with_budget(pattern: &str, flags: Flags, budget: Budget) -> Result<Self, PatternError> {
        let ast = read(pattern, flags)?;
        // What cannot be too long will be compiled as it is now; of the rest it has to be known.
        let program = if ast.root.extent() < compile::MAX_PROGRAM {
            OnceLock::new()
        } else {
            OnceLock::from(Some(compile::compile(&ast)?.into()))
        };
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            pattern: pattern.into(),
            flags,
            quick: OnceLock::new(),
            program,
            linear: Linear::default(),
            names: ast.names,
            groups: ast.groups,
            budget,
        })
    }

    /// `re.search`: whether the pattern matches anywhere in `text`; on `true` the groups are in `scratch`.
    ///
    /// Fails if the step budget ran out and the pattern is not regular: nobody knows whether it matches.
    pub fn search(&self, text: &str, scratch: &mut Scratch) -> Result<bool, Overrun> {
        let most = self.budget.steps.min(self.budget.steps_without_memo);
        let decided = self.quick().and_then(|quick| scratch.machine.sprint(quick, text, most));
        match decided {
            Some(found) => Ok(found),
            None => self.search_plainly(text, scratch),
        }
    }

    /// [`Self::search`] for texts of one source, which are few kinds of lines with other names in them: `paths` remembers how earlier
    /// searches went. Serves one pattern at a time. `literals` are [`Self::required_literals`], asked for seldom.
    pub fn search_by<'a>(
        &self,
        text: &str,
        scratch: &mut Scratch,
        paths: &mut Paths,
        literals: impl FnOnce() -> Option<&'a [Vec<u8>]>,
    ) -> Result<bool, Overrun> {
        let Some(quick) = self.quick().filter(|quick| quick.has_paths(text.as_bytes())) else {
            return self.search(text, scratch);
        };
        if let Some(found) = paths.follow(self.id, quick, text.as_bytes(), &mut scratch.machine) {
            return Ok(found);
        }
        let found = self.search(text, scratch)?;
        paths.learn(quick, text.as_bytes(), literals);
        Ok(found)
    }

    /// The same without the short way for texts of ASCII; for tests of it.
    #[doc(hidden)]
    pub fn search_plainly(&self, text: &str, scratch: &mut Scratch) -> Result<bool, Overrun> {
        let steps = self.steps_for(text);
        let program = self.program().ok_or(Overrun)?;
        match scratch.machine.search(program, text, Budget { steps, ..self.budget }) {
            Err(Overrun) => self.search_linear(text, scratch).ok_or(Overrun),
            decided => decided,
        }
    }

    fn quick(&self) -> Option<&Quick> {
        let written = || {
            let program = self.compiled()?;
            let quick = Quick::new(&program).map(Box::new);
            if quick.is_none() {
                self.program.get_or_init(|| Some(program));
            }
            quick
        };
        self.quick.get_or_init(written).as_deref()
    }

    fn program(&self) -> Option<&Program> {
        self.program.get_or_init(|| self.compiled()).as_deref()
    }

    /// The program; `None` never comes, as what cannot be compiled was refused.
    fn compiled(&self) -> Option<Box<Program>> {
        compile::compile(&read(&self.pattern, self.flags).ok()?)
            .ok()
            .map(Box::new)
    }

    /// Whether the pattern matches a line, which may end in a line feed and has no other; without its groups. `None` if that is not
    /// to be had more cheaply than by [`Regex::search`]: the text is not ASCII, or the pattern is not regular.
    pub fn is_match_of_line(&self, text: &[u8]) -> Option<bool> {
        self.linear.is_match(text, || self.tree())
    }

    /// Whether a text that begins so may match at all (`None`: an empty text). Tells the patterns that only match at the start
    /// of a text apart; any other may match whatever the text begins with.
    pub fn may_match_after(&self, first: Option<u8>) -> bool {
        let start = match self.quick() {
            Some(quick) => Some(&quick.start),
            None => self.program().map(|program| &program.start),
        };
        match start {
            Some(Start::Text(leading)) => leading.has(first),
            _ => true,
        }
    }

    fn steps_for(&self, text: &str) -> u64 {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.budget
            .steps
            .saturating_add(length.saturating_mul(STEPS_PER_BYTE).min(MAX_STEPS_FOR_LENGTH))
    }

    /// The same, by the linear-time engine alone; `None` where it would not be exact for this pattern and text.
    pub fn search_linear(&self, text: &str, scratch: &mut Scratch) -> Option<bool> {
        scratch.machine.make_ready(2 * (self.groups + 1), self.groups);
        self.linear.search(text, &mut scratch.machine, || self.tree())
    }

    /// Whether a search that runs out of steps is decided in linear time. Texts can still stand in the way: `$` needs
    /// a text of one line, and `\b` behind what may be a word character or not one of ASCII.
    pub fn is_regular(&self) -> bool {
        self.obstacle().is_none()
    }

    /// Why the pattern is not regular.
    pub fn obstacle(&self) -> Option<NotRegular> {
        self.linear.obstacle(|| self.tree())
    }

    /// Named groups and their numbers, in the order of the pattern.
    pub fn names(&self) -> &[(Box<str>, usize)] {
        &self.names
    }

    /// Number of groups, group 0 not counted.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Literals of which every match contains at least one; `None` when none can be promised. None contains a line
    /// feed.
    pub fn required_literals(&self) -> Option<Vec<Vec<u8>>> {
        self.literal_sets().into_iter().next()
    }

    /// Sets of literals, of each of which every match contains at least one: the one that is likely to be rarest in a log
    /// first. None contains a line feed. Slow: the pattern is read anew.
    pub fn literal_sets(&self) -> Vec<Vec<Vec<u8>>> {
        self.tree().map_or_else(Vec::new, |tree| literals::sets(&tree))
    }

    /// The tree again: kept, the classes of hundreds of patterns would take megabytes.
    fn tree(&self) -> Option<Node> {
        // It was accepted before, so it is accepted now.
        read(&self.pattern, self.flags).ok().map(|ast| ast.root)
    }
}

/// The tree of a pattern.
fn read(pattern: &str, flags: Flags) -> Result<Ast, PatternError> {
    let mut ast = parse::parse(pattern, flags)?;
    ast.root = rewrite::rewrite(ast.root);
    Ok(ast)
}

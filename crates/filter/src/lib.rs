//! A log line becomes a match.
//!
//! API agreed between crates; the bodies are being written.

use jiff::tz::TimeZone;
use stockade_core::{FailureId, Fields, LineText, Timestamp};

/// A jail's rules as the operator gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterSettings {
    /// What to do with names in the place of addresses.
    pub usedns: UseDns,
    /// `prefregex`, tags unexpanded.
    pub prefregex: Option<String>,
    /// `failregex`, one per entry, in order, tags unexpanded.
    pub failregex: Vec<String>,
    /// `ignoreregex`, one per entry, in order, tags unexpanded.
    pub ignoreregex: Vec<String>,
    /// `datepattern`; several are separated by newlines.
    pub datepattern: Option<String>,
    /// `maxlines`; more than 1 is refused for now.
    pub maxlines: u32,
    /// `logtimezone`.
    pub logtimezone: Option<String>,
}

/// `usedns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseDns {
    /// Resolve names.
    Yes,
    /// Resolve names and say so in the log.
    #[default]
    Warn,
    /// Match addresses only.
    No,
    /// A name is an id of its own.
    Raw,
}

/// What is wrong with a jail's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Which setting: `failregex`, `prefregex`, `datepattern`, …
    pub option: &'static str,
    /// Which entry of it, counted from 0.
    pub index: usize,
    /// The rule as given.
    pub rule: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// How to mend it.
    pub mend: String,
}

/// The compiled rules of one jail. Shared, read-only.
#[derive(Debug)]
pub struct Filter {}

/// What one jail remembers about one source while reading it: date state, sessions, scratch memory.
#[derive(Debug, Default)]
pub struct Memory {}

/// Where reading stands; decides how dates far from now are taken (behaviour spec 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The time now.
    pub now: Timestamp,
    /// `false` while catching up on what was in the log at the start.
    pub in_operation: bool,
    /// The jail's findtime in seconds: older lines are passed over while catching up.
    pub findtime: i64,
}

/// A match that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Who failed.
    pub who: Who,
    /// When, by the log, after the rules of behaviour spec 3.7.
    pub at: Timestamp,
    /// Number of the failregex, from 0.
    pub rule: usize,
    /// The line, and those of the session that belong to it, oldest first.
    pub lines: Vec<LineText>,
    /// Named groups.
    pub fields: Fields,
}

/// Whom a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// An address, network or other id.
    Id(FailureId),
    /// A host name to be resolved (`usedns` yes or warn).
    Name(Box<str>),
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No rule matched.
    Miss,
    /// A rule matched, and an `ignoreregex` too, or the line only adds to a session.
    Ignored,
    /// A rule matched but nobody can be held responsible: the reason.
    Unusable(&'static str),
    /// Older than findtime while catching up.
    TooOld,
    /// A failure.
    Match(Match),
    /// The step budget of this rule (a `failregex`'s number; `None` for the others) ran out.
    Overrun(Option<usize>),
}

impl Filter {
    /// Compiles the rules; every fault is reported, not just the first.
    ///
    /// `zone` is the server's local zone, for dates that name none.
    pub fn new(settings: &FilterSettings, zone: &TimeZone) -> Result<Self, Vec<FilterError>> {
        let _ = (settings, zone);
        Err(Vec::new())
    }

    /// Judges one line (without its line end; any bytes).
    pub fn judge(&self, line: &[u8], clock: Clock, memory: &mut Memory) -> Verdict {
        let _ = (line, clock, memory);
        Verdict::Miss
    }

    /// The expanded `failregex` list, as `get JAIL failregex` shows it.
    pub fn failregex(&self) -> &[String] {
        &[]
    }

    /// The expanded `ignoreregex` list.
    pub fn ignoreregex(&self) -> &[String] {
        &[]
    }

    /// The expanded `prefregex`.
    pub fn prefregex(&self) -> Option<&str> {
        None
    }
}

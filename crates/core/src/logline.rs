//! Every line of `fail2ban.log` that other tools read, with its logger and level.
//!
//! `recidive` and log watchers parse these texts: they are an interface (behaviour spec 7.6).

use crate::{FailureId, JailName, Timestamp};

/// Fail2Ban's levels, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// 5
    HeavyDebug,
    /// 7
    TraceDebug,
    /// 10
    Debug,
    /// 18
    Msg,
    /// 20
    Info,
    /// 25
    Notice,
    /// 30
    Warning,
    /// 40
    Error,
    /// 50
    Critical,
}

/// A line for `fail2ban.log` that a decision caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The jail it is about.
    pub jail: JailName,
    /// What happened.
    pub event: Event,
}

/// What a decision has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A failure was counted.
    Found(FailureId, Timestamp),
    /// An id is ignored; the text says by which rule (`ip`, `dns`, `ignoreself rule`).
    Ignore(FailureId, &'static str),
    /// A ban began.
    Ban(FailureId),
    /// A ban ended.
    Unban(FailureId),
}

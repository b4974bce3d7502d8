//! What a jail looks like at one moment.

use crate::{FailureId, Timestamp, Until};

/// A jail's counters alone; cheap however many bans there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JailCounters {
    /// Ids with failures that may still lead to a ban.
    pub currently_failed: usize,
    /// Failures counted since the jail was made.
    pub total_failed: u64,
    /// Bans that hold now.
    pub currently_banned: usize,
    /// Bans since the jail was made, restored ones included.
    pub total_banned: u64,
}

/// A jail's counters and bans (`status JAIL`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailStatus {
    /// Ids with failures that may still lead to a ban.
    pub currently_failed: usize,
    /// Failures counted since the jail was made.
    pub total_failed: u64,
    /// Bans that hold now.
    pub currently_banned: usize,
    /// Bans since the jail was made, restored ones included.
    pub total_banned: u64,
    /// Who is banned, since when and until when, ordered by the end.
    pub banned: Vec<(FailureId, Timestamp, Until)>,
}

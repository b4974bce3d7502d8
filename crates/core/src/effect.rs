//! What a decision asks the world to do.

use crate::failure::Fields;
use crate::{FailureId, LineText, Seconds, Timestamp, Until};

/// Effects in the order in which they are to be carried out.
pub type Effects = Vec<Effect>;

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ban in all actions of the jail.
    Ban(Ban),
    /// Remember a new ban beyond the end of the program, with all that it lasts.
    Store(Ban),
    /// Lift a ban in all actions of the jail.
    Unban(Ban),
    /// Lift all these bans, which are all the jail has: an action that can flush does so once, others lift them one by one.
    UnbanAll(Vec<Ban>),
    /// The ban now ends later (`until`); actions that hand a time limit to the kernel must move it.
    Prolong(Ban),
    /// The id is banned and fails on. Its ban is the one that the jail has.
    Again(Again),
    /// Write a line to `fail2ban.log`.
    Log(crate::logline::LogLine),
}

/// What is to be done about somebody who is banned and fails on: at least one of both. None of it is urgent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// Who.
    pub id: FailureId,
    /// The ban now ends later, as with [`Effect::Prolong`].
    pub longer: bool,
    /// Then: check that what the actions set up still stands, and repair it.
    pub recheck: bool,
}

/// A ban as the actions see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub id: FailureId,
    /// When the ban began: the time of the last failure.
    pub since: Timestamp,
    /// When it ends.
    pub until: Until,
    /// How long the jail bans; negative is for ever.
    pub bantime: Seconds,
    /// How many failures led to it, those counted less for their age included; 0 for a ban by hand. Seen on 1.0.2.
    pub failures: u32,
    /// The last of the log lines that led to it, oldest first.
    pub matches: Vec<LineText>,
    /// Fields captured by the rules (`user`, `ip4`, …).
    pub fields: Fields,
    /// Which ban of this id it is: 1 the first, as far as is known.
    pub count: u32,
    /// Restored after a restart rather than found anew.
    pub restored: bool,
}

//! What an operator can change about a jail's decisions.

use crate::{Growth, Seconds};

/// The part of a jail's settings that decides who is banned and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct JailSettings {
    /// Ban at this many failures; 1 or less bans at the first.
    pub maxretry: u32,
    /// How long failures are remembered.
    pub findtime: Seconds,
    /// How long a ban lasts; negative is for ever.
    pub bantime: Seconds,
    /// Bans of known offenders last longer than `bantime`, and their failures count for more (`bantime.increment`).
    pub increment: bool,
    /// How much longer.
    pub growth: Growth,
    /// How many log lines are kept per ticket.
    pub maxmatches: usize,
    /// Never ban this host's own addresses.
    pub ignoreself: bool,
}

impl Default for JailSettings {
    /// Fail2Ban's values for a jail in which nothing is set.
    fn default() -> Self {
        Self {
            maxretry: 3,
            findtime: Seconds(600),
            bantime: Seconds(600),
            increment: false,
            growth: Growth::default(),
            maxmatches: 5,
            ignoreself: true,
        }
    }
}

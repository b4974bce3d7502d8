//! From the date a log line bears to the time that counts.
//!
//! Whether a log is being caught up with or followed is known to its source; what that means for a date is decided here.

use crate::{Seconds, Timestamp};

/// How the log was being read when the line came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The part that was there before the jail started.
    CatchUp,
    /// Lines as they are written: from the first end of file on.
    Operation,
}

/// What becomes of a line's date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The failure happened at this time.
    At(Timestamp),
    /// The date is too far from the clock to be true of a line just written, so the failure counts as happening now.
    ///
    /// An operator should be told once a day: it looks like a wrong time zone or like latency.
    Shifted(Timestamp),
    /// Read while catching up and older than `findtime`: nothing comes of it.
    TooOld,
}

/// Lines that differ more than this from the clock while a log is followed count as written now.
const TOLERANCE: Seconds = Seconds(60);

impl Arrival {
    /// Upstream: behaviour spec 3.7, rules 2 and 3.
    pub fn of(date: Timestamp, now: Timestamp, reading: Reading, findtime: Seconds) -> Self {
        match reading {
            Reading::CatchUp if date < now - findtime => Self::TooOld,
            Reading::Operation if date < now - TOLERANCE || date > now + TOLERANCE => Self::Shifted(now),
            Reading::CatchUp | Reading::Operation => Self::At(date.min(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_count_only_while_the_log_is_followed() {
        let now = Timestamp::from_secs(10_000);
        let findtime = Seconds(600);
        for (name, date, reading, expected) in [
            (
                "just within findtime",
                9_400,
                Reading::CatchUp,
                Arrival::At(Timestamp::from_secs(9_400)),
            ),
            ("older than findtime", 9_399, Reading::CatchUp, Arrival::TooOld),
            ("future while catching up", 10_500, Reading::CatchUp, Arrival::At(now)),
            (
                "a minute late",
                9_940,
                Reading::Operation,
                Arrival::At(Timestamp::from_secs(9_940)),
            ),
            ("two hours late", 2_800, Reading::Operation, Arrival::Shifted(now)),
            ("a little early", 10_030, Reading::Operation, Arrival::At(now)),
            ("an hour early", 13_600, Reading::Operation, Arrival::Shifted(now)),
        ] {
            assert_eq!(
                Arrival::of(Timestamp::from_secs(date), now, reading, findtime),
                expected,
                "{name}"
            );
        }
    }
}

//! Points in time and spans of it, in units that cannot be mixed up.

use std::ops::{Add, Sub};

/// A point in time: microseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const MICROS: i64 = 1_000_000;

impl Timestamp {
    /// From whole seconds since 1970.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(MICROS))
    }

    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(MICROS)
    }

    /// The nearest whole second, as which upstream stores a time.
    #[must_use]
    pub const fn rounded(self) -> Self {
        Self::from_secs(Self(self.0.saturating_add(MICROS / 2)).secs())
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Microseconds from an earlier time to this one; negative if `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The microseconds within the second, 0 to 999,999.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder lies in 0..1_000_000")]
    pub const fn subsec_micros(self) -> u32 {
        self.0.rem_euclid(MICROS).unsigned_abs() as u32
    }
}

/// A span of time in whole seconds; may be negative where Fail2Ban's may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seconds(pub i64);

impl Add<Seconds> for Timestamp {
    type Output = Self;
    fn add(self, span: Seconds) -> Self {
        Self(self.0.saturating_add(span.0.saturating_mul(MICROS)))
    }
}

impl Sub<Seconds> for Timestamp {
    type Output = Self;
    fn sub(self, span: Seconds) -> Self {
        Self(self.0.saturating_sub(span.0.saturating_mul(MICROS)))
    }
}

/// When a ban ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Until {
    /// At this time; at the time itself the ban still holds.
    At(Timestamp),
    /// Never (`bantime = -1`). Orders after every time.
    Forever,
}

impl Until {
    /// The end of what begins at `since` and lasts `span`; a negative span has no end.
    pub fn after(since: Timestamp, span: Seconds) -> Self {
        if span.0 < 0 {
            Self::Forever
        } else {
            Self::At(since + span)
        }
    }
}

//! How bans of known offenders grow: `bantime.increment` and its kin.

use std::fmt;

use crate::Seconds;
use crate::formula::{Formula, FormulaError, Number, Variables};

/// Beyond so many earlier bans the ban time is doubled no more.
const MOST_DOUBLINGS: u32 = 20;

/// The end of the year 9999 in seconds since 1970, which is as far as Fail2Ban can write a time.
const LONGEST: i64 = 253_402_300_799;

/// The options of `bantime.increment`, as far as they are set.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Growth {
    /// `bantime.factor`; 1 if it is not set.
    pub factor: Option<Number>,
    /// `bantime.formula`; else the time is doubled with each ban.
    pub formula: Option<Formula>,
    /// `bantime.multipliers`, which go before the formula; none if empty.
    pub multipliers: Vec<u32>,
    /// `bantime.maxtime`; negative is for ever.
    pub maxtime: Option<Seconds>,
    /// `bantime.rndtime`: up to so much is added by chance, so that nobody can wait for the end to the second.
    pub rndtime: Option<Seconds>,
    /// `bantime.overalljails`: bans in other jails count too.
    pub overalljails: bool,
}

impl Growth {
    /// How long to ban somebody who had `count` bans before, at least one; `chance` lies in 0..1.
    ///
    /// Fails if the formula has no value. Upstream: behaviour spec 4.6, compared with 1.0.2.
    pub fn bantime(&self, base: Seconds, count: u32, chance: f64) -> Result<Number, FormulaError> {
        let time = Number::Int(i128::from(base.0));
        let factor = self.factor.unwrap_or(Number::Int(1));
        let least = |value: Number| if value.float() > time.float() { value } else { time };
        let last = self.multipliers.len().saturating_sub(1);
        let place = usize::try_from(count).unwrap_or(last).min(last);
        let mut grown = if let Some(multiplier) = self.multipliers.get(place) {
            match product(product(time, factor), Number::Int(i128::from(*multiplier))) {
                product if product.float() < 0.0 => Number::Int(0),
                product => product,
            }
        } else if let Some(formula) = &self.formula {
            least(formula.evaluate(Variables { time, count, factor })?)
        } else {
            let doubled = Number::Int(1 << count.min(MOST_DOUBLINGS));
            least(product(product(time, doubled), factor))
        };
        if let Some(maxtime) = self.maxtime
            && grown.float() > Number::Int(i128::from(maxtime.0)).float()
        {
            grown = Number::Int(i128::from(maxtime.0));
        }
        match self.rndtime {
            Some(rndtime) if grown.float() >= 0.0 => {
                let more = Number::Int(i128::from(rndtime.0)).float() * chance;
                Ok(Number::Float(grown.float() + more))
            }
            _ => Ok(grown),
        }
    }
}

/// A product as Python has it; whole numbers that do not fit become a fraction.
fn product(left: Number, right: Number) -> Number {
    if let (Number::Int(left), Number::Int(right)) = (left, right)
        && let Some(product) = left.checked_mul(right)
    {
        return Number::Int(product);
    }
    Number::Float(left.float() * right.float())
}

/// A ban time in whole seconds, cut where upstream cuts it for its end; negative is for ever.
pub(crate) fn seconds(grown: Number) -> Seconds {
    Seconds(grown.whole().clamp(-1, LONGEST))
}

/// By how much one failure of somebody who had `count` bans before counts, and how upstream writes it.
///
/// Upstream: behaviour spec 4.6: 1 + 2^count / 2, at most `maxretry`.
pub(crate) fn weight(count: u32, maxretry: u32) -> Weight {
    let exact = 1 + (1_u64 << count.clamp(1, 32)) / 2;
    let fitting = u32::try_from(exact).ok().filter(|exact| *exact <= maxretry);
    Weight {
        times: fitting.unwrap_or(maxretry),
        capped: fitting.is_none(),
    }
}

/// By how much a failure counts: `3.0`, or `3` if `maxretry` is less than what was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// So many failures.
    pub times: u32,
    /// `maxretry` is less than it would be.
    pub capped: bool,
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.times, if self.capped { "" } else { ".0" })
    }
}

/// A span of time as Fail2Ban writes it: `1m 4s`, `2y 51w 5d`; rounded to what is shown, halves to even.
///
/// Seen on 1.0.2: from about an hour on tens of seconds are rounded and seconds left out, from a day on minutes, from a week hours, from a
/// year days.
pub fn span(time: Number) -> String {
    const MINUTE: i128 = 60;
    const HOUR: i128 = 60 * MINUTE;
    const DAY: i128 = 24 * HOUR;
    const WEEK: i128 = 7 * DAY;
    const YEAR: i128 = 365 * DAY;
    let seconds = time.float();
    let (step, units): (i128, &[(i128, &str)]) = if seconds >= 365.0 * 86_400.0 {
        (DAY, &[(YEAR, "y"), (WEEK, "w"), (DAY, "d")])
    } else if seconds >= 604_800.0 {
        (HOUR, &[(WEEK, "w"), (DAY, "d"), (HOUR, "h")])
    } else if seconds >= 86_400.0 {
        (MINUTE, &[(DAY, "d"), (HOUR, "h"), (MINUTE, "m")])
    } else if seconds >= 3595.0 {
        (10, &[(HOUR, "h"), (MINUTE, "m")])
    } else {
        return short_span(time);
    };
    let mut rest = rounded(time, step);
    let mut parts = Vec::new();
    for (unit, name) in units {
        let whole = rest / unit;
        if whole > 0 {
            parts.push(format!("{whole}{name}"));
        }
        rest %= unit;
    }
    parts.join(" ")
}

fn short_span(time: Number) -> String {
    let seconds = time.float();
    if seconds == 0.0 {
        return "0".to_owned();
    }
    if seconds < 60.0 {
        return format!("{time}s");
    }
    let (minutes, rest) = match time {
        Number::Int(time) => (Number::Int(time / 60), Number::Int(time % 60)),
        Number::Float(time) => (Number::Float((time / 60.0).floor()), Number::Float(time % 60.0)),
    };
    if rest.float() == 0.0 {
        format!("{minutes}m")
    } else {
        format!("{minutes}m {rest}s")
    }
}

/// Rounded to a multiple of `step`, halves to the even one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "steps are small, and a time beyond 2^53 has no halves"
)]
fn rounded(time: Number, step: i128) -> i128 {
    match time {
        Number::Int(time) => {
            let (whole, rest) = (time / step, time % step);
            let up = match (rest * 2).cmp(&step) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal => whole % 2 == 1,
                std::cmp::Ordering::Greater => true,
            };
            (whole + i128::from(up)).saturating_mul(step)
        }
        Number::Float(time) => ((time / step as f64).round_ties_even() as i128).saturating_mul(step),
    }
}

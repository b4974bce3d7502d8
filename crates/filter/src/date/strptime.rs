//! The fields of a date become a point in time; what is not written is inferred (behaviour spec 3.4).

use super::template::{Elements, Kind, Place};
use super::zone::{self, OffsetCache, Zones};

const DAY: i64 = 86_400;

/// What a time was computed from, so that the next one of the same day is quickly computed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Base {
    /// Midnight of the date, in local seconds since 1970.
    pub(super) midnight: i64,
    /// The offset the line itself names.
    pub(super) offset: Option<i64>,
    /// The local day it was by the clock.
    pub(super) today: i64,
}

/// Seconds since 1970 of what a template found; `None` if the text is no date after all (`Feb 30`, `24:00:00`).
pub(super) fn convert(
    kind: Kind,
    text: &str,
    place: &Place,
    zones: &Zones,
    now: i64,
    cache: &mut OffsetCache,
) -> Option<(i64, Option<Base>)> {
    let time = match kind {
        // `()` marks lines that are known to have no date.
        Kind::Fields if place.cut.is_empty() => None,
        Kind::Fields => {
            return Fields {
                text,
                elements: &place.fields,
            }
            .convert(zones, now, cache);
        }
        Kind::Epoch | Kind::LongEpoch => {
            let range = place.fields.get(b'@').unwrap_or_else(|| place.cut.clone());
            epoch(kind, text.get(range)?)
        }
        Kind::Tai64n => {
            let digits = text.get(place.cut.clone())?.get(2..17)?;
            i64::from_str_radix(digits, 16).ok()
        }
        Kind::None => None,
    };
    time.map(|time| (time, None))
}

fn epoch(kind: Kind, text: &str) -> Option<i64> {
    let whole = text.split('.').next()?;
    let number: i64 = whole.parse().ok()?;
    Some(match (kind, whole.len()) {
        (Kind::LongEpoch, 13 | 14) => number / 1000,
        (Kind::LongEpoch, 15..) => number / 1_000_000,
        _ => number,
    })
}

/// Microseconds beyond the second; Fail2Ban reads them in epochs only.
pub(super) fn fraction(kind: Kind, text: &str, place: &Place) -> i64 {
    if !matches!(kind, Kind::Epoch | Kind::LongEpoch) {
        return 0;
    }
    let range = place.fields.get(b'@').unwrap_or_else(|| place.cut.clone());
    let text = text.get(range).unwrap_or("");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    // Digits behind the seconds, with or without a dot: of milliseconds there are three.
    let beyond = match kind {
        Kind::LongEpoch => whole.get(10..).filter(|digits| digits.len() > 2).unwrap_or(""),
        _ => "",
    };
    let digits = beyond.bytes().chain(fraction.bytes()).chain(std::iter::repeat(b'0'));
    digits
        .take(6)
        .fold(0, |micros, digit| micros * 10 + i64::from(digit & 15))
}

/// A day given as a day of the year, or of a week.
enum Week {
    Day(i64),
    NotWritten,
    Impossible,
}

struct Fields<'a> {
    text: &'a str,
    elements: &'a Elements,
}

impl Fields<'_> {
    fn text(&self, letter: u8) -> Option<&str> {
        self.text.get(self.elements.get(letter)?)
    }

    fn number(&self, letter: u8) -> Option<i64> {
        number(self.text(letter)?)
    }

    /// Present but not a number is `Err`: the date is no date.
    fn optional(&self, letter: u8) -> Result<Option<i64>, ()> {
        match self.text(letter) {
            None => Ok(None),
            Some(text) => number(text).map(Some).ok_or(()),
        }
    }

    fn convert(&self, zones: &Zones, now: i64, cache: &mut OffsetCache) -> Option<(i64, Option<Base>)> {
        let offset = match self.text(b'z').or_else(|| self.text(b'Z')) {
            // The pattern ignores case where names of days or months are in it; zones are upper-case.
            Some(name) => Some(zone::offset(name).or_else(|| zone::offset(&name.to_ascii_uppercase()))?),
            None => None,
        };
        let clock = self.time_of_day()?;
        // Today is where the machine is, whatever zone the line names.
        let local_now = zones.local_now(now, cache)?;
        let today = local_now.div_euclid(DAY);
        let (this_year, this_month, this_day) = civil_from_days(today);
        let written_year = match (
            self.optional(b'Y').ok()?,
            self.optional(b'y').ok()?,
            self.optional(b'G').ok()?,
        ) {
            (Some(year), ..) | (_, _, Some(year)) => Some(year),
            (_, Some(short), _) => Some(2000 + short),
            _ => None,
        };
        let month = match self.text(b'b').or_else(|| self.text(b'B')) {
            Some(name) => Some(month_number(name)?),
            None => self.optional(b'm').ok()?,
        };
        let day = self.optional(b'd').ok()?;
        let year = written_year.unwrap_or(this_year);
        let (days, day_written) = match (month, day) {
            (Some(month), Some(day)) => (days_of(year, month, day)?, true),
            (None, None) => match self.day_of_year(year) {
                Week::Day(days) => (days, true),
                Week::NotWritten => (days_of(year, this_month, this_day)?, false),
                Week::Impossible => return None,
            },
            _ => return None,
        };
        let at = |days: i64, cache: &mut OffsetCache| match offset {
            Some(offset) => Some(days * DAY + clock - offset),
            None => zones.to_utc(days * DAY + clock, cache),
        };
        // Upstream compares what is on two clocks: the local one, and that of UTC if the zone of the date is known.
        let shown = match (offset, &zones.given) {
            (None, None) => days * DAY + clock,
            _ => at(days, cache)?,
        };
        if !day_written && shown > local_now {
            return at(days - 1, cache).map(|time| (time, None));
        }
        if written_year.is_none() && shown > local_now + DAY {
            // A date without a year lies in the past: up to a day ahead is taken for clocks that differ.
            let (year, month, day) = civil_from_days(days);
            return at(days_of(year - 1, month, day)?, cache).map(|time| (time, None));
        }
        let time = at(days, cache)?;
        Some((
            time,
            Some(Base {
                midnight: days * DAY,
                offset,
                today,
            }),
        ))
    }

    /// Seconds since midnight.
    fn time_of_day(&self) -> Option<i64> {
        let hour = match (self.optional(b'H').ok()?, self.optional(b'I').ok()?) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => {
                let afternoon = self.text(b'p').is_some_and(|text| text.eq_ignore_ascii_case("pm"));
                hour % 12 + if afternoon { 12 } else { 0 }
            }
            (None, None) => 0,
        };
        let minute = self.optional(b'M').ok()?.unwrap_or(0);
        let second = self.optional(b'S').ok()?.unwrap_or(0);
        let fine = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
        fine.then_some(hour * 3600 + minute * 60 + second)
    }

    /// `%j`, or `%U`/`%W`/`%V` with a weekday.
    fn day_of_year(&self, year: i64) -> Week {
        let first = days_from_civil(year, 1, 1);
        if let Some(text) = self.text(b'j') {
            let days = number(text)
                .map(|day| first + day - 1)
                .filter(|days| civil_from_days(*days).0 == year);
            return days.map_or(Week::Impossible, Week::Day);
        }
        let Some(weekday) = self.weekday() else {
            return Week::NotWritten;
        };
        if let Some(week) = self.number(b'V') {
            let fourth = days_from_civil(year, 1, 4);
            return Week::Day(fourth - weekday_of(fourth) + (week - 1) * 7 + weekday);
        }
        let (week, first_weekday, weekday) = match (self.number(b'U'), self.number(b'W')) {
            // Weeks that begin on Sundays.
            (Some(week), _) => (week, (weekday_of(first) + 1) % 7, (weekday + 1) % 7),
            (None, Some(week)) => (week, weekday_of(first), weekday),
            (None, None) => return Week::NotWritten,
        };
        // Week 1 begins with the first Sunday (or Monday) of the year; the days before are week 0.
        let week_one = first + (7 - first_weekday) % 7;
        Week::Day(week_one + (week - 1) * 7 + weekday)
    }

    /// Monday is 0.
    fn weekday(&self) -> Option<i64> {
        if let Some(day) = self.number(b'w') {
            return Some((day + 6).rem_euclid(7));
        }
        if let Some(day) = self.number(b'u') {
            return Some(day - 1);
        }
        let name = self.text(b'a').or_else(|| self.text(b'A'))?;
        index_of(name, ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].as_slice())
    }
}

/// Monday is 0; the days since 1970 count from a Thursday.
fn weekday_of(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

/// Digits, with a leading blank where the pattern allows one.
fn number(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches(' ');
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn month_number(name: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    index_of(name, &MONTHS).map(|index| index + 1)
}

fn index_of(name: &str, names: &[&str]) -> Option<i64> {
    let start = name.get(..3)?;
    let index = names.iter().position(|known| known.eq_ignore_ascii_case(start))?;
    i64::try_from(index).ok()
}

/// Days since 1970 of a date that exists.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

/// Days since 1970 in the Gregorian calendar, counting years from March so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in -800_000..800_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(days_from_civil(2026, 11, 22) * DAY, 1_795_305_600);
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for (year, month, day) in [(2025, 2, 29), (2025, 2, 30), (2025, 4, 31), (2025, 13, 1), (2025, 1, 0)] {
            assert_eq!(days_of(year, month, day), None, "{year}-{month}-{day}");
        }
        assert!(days_of(2024, 2, 29).is_some());
    }
}

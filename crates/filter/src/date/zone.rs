//! Time zones: the local one, those a line names, and `logtimezone`.

use jiff::civil;
use jiff::tz::TimeZone;

/// Abbreviations with a fixed meaning, in minutes east of UTC; none of them knows summer time.
const NAMES: [(&str, i32); 73] = [
    ("UTC", 0),
    ("GMT", 0),
    ("WET", 0),
    ("WEST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("MSD", 240),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("HADT", -540),
    ("AST", -240),
    ("ADT", -180),
    ("NST", -210),
    ("NDT", -150),
    ("BRT", -180),
    ("BRST", -120),
    ("ART", -180),
    ("CLT", -240),
    ("CLST", -180),
    ("COT", -300),
    ("PET", -300),
    ("VET", -270),
    ("UYT", -180),
    ("SAST", 120),
    ("CAT", 120),
    ("EAT", 180),
    ("WAT", 60),
    ("IDT", 180),
    ("IRST", 210),
    ("GST", 240),
    ("PKT", 300),
    ("NPT", 345),
    ("MMT", 390),
    ("ICT", 420),
    ("WIB", 420),
    ("HKT", 480),
    ("SGT", 480),
    ("PHT", 480),
    ("JST", 540),
    ("KST", 540),
    ("WIT", 540),
    ("YEKT", 300),
    ("OMST", 360),
    ("KRAT", 420),
    ("IRKT", 480),
    ("YAKT", 540),
    ("VLAT", 600),
    ("MAGT", 660),
    ("PETT", 720),
    ("AWST", 480),
    ("ACST", 570),
    ("ACDT", 630),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
    ("SST", -660),
    ("HAST", -600),
    ("AKDT", -480),
    ("BST", 60),
    ("MET", 60),
];

/// Where a local time is to be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Zone {
    /// Seconds east of UTC.
    Fixed(i64),
    /// A zone with rules.
    Rules(TimeZone),
}

/// The zones of one jail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Zones {
    /// `logtimezone`: of dates that name none.
    pub(crate) given: Option<Zone>,
    /// Where the machine is; of dates that name none if `logtimezone` is not set.
    pub(crate) local: Zone,
}

/// What is remembered of the zones from date to date.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OffsetCache {
    unnamed: Period,
    local: Period,
    /// The offset of the last date that names no zone; if there was none, that of the clock counts.
    last: Option<i64>,
}

impl OffsetCache {
    /// Whether both lead to the same times; the periods only save asking.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.last == other.last && (self.last.is_some() || self.local.offset == other.local.offset)
    }
}

/// The offset last used, and between which instants it holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Period {
    from: i64,
    until: i64,
    offset: i64,
}

const DAY: i64 = 86_400;

impl Zone {
    /// Reads `logtimezone`: an abbreviation, an offset, both, or (unlike upstream) a name such as `Europe/Berlin`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(offset) = offset(text) {
            return Some(Self::Fixed(offset));
        }
        TimeZone::get(text).ok().map(Self::Rules)
    }
}

impl Zones {
    /// Seconds since 1970 of a time that names no zone, given in seconds as if it were UTC.
    ///
    /// Upstream asks glibc's `mktime`, which starts from the offset of the date before: of an hour that comes twice it takes the one
    /// that this offset leads to.
    pub(crate) fn to_utc(&self, local: i64, cache: &mut OffsetCache) -> Option<i64> {
        let zone = match self.given.as_ref().unwrap_or(&self.local) {
            Zone::Fixed(offset) => return Some(local - offset),
            Zone::Rules(zone) => zone,
        };
        let period = &mut cache.unnamed;
        let guess = local - period.offset;
        if guess - DAY > period.from && guess + DAY < period.until {
            cache.last = Some(period.offset);
            return Some(guess);
        }
        let mut time = local - cache.last.unwrap_or(cache.local.offset);
        // Twice where the offset was that of another season, four times where the time is skipped and comes to nothing.
        for _ in 0..4 {
            let stamp = jiff::Timestamp::from_second(time).ok()?;
            let offset = i64::from(zone.to_offset(stamp).seconds());
            if time + offset == local {
                cache.last = Some(offset);
                period.fill(zone, stamp);
                return Some(time);
            }
            time = local - offset;
        }
        let stamp = zone.to_ambiguous_timestamp(civil_from_secs(local)?).compatible().ok()?;
        period.fill(zone, stamp);
        Some(stamp.as_second())
    }

    /// The time on the clock of the machine, in seconds as if it were UTC.
    pub(crate) fn local_now(&self, now: i64, cache: &mut OffsetCache) -> Option<i64> {
        let zone = match &self.local {
            Zone::Fixed(offset) => return Some(now + offset),
            Zone::Rules(zone) => zone,
        };
        let period = &mut cache.local;
        if !(now >= period.from && now < period.until) {
            period.fill(zone, jiff::Timestamp::from_second(now).ok()?);
        }
        Some(now + period.offset)
    }
}

impl Period {
    fn fill(&mut self, zone: &TimeZone, stamp: jiff::Timestamp) {
        self.offset = i64::from(zone.to_offset(stamp).seconds());
        // `preceding` is exclusive; a transition at the very second belongs to this side.
        let just_after = jiff::Timestamp::from_second(stamp.as_second().saturating_add(1)).unwrap_or(stamp);
        self.from = zone
            .preceding(just_after)
            .next()
            .map_or(i64::MIN / 4, |at| at.timestamp().as_second());
        self.until = zone
            .following(stamp)
            .next()
            .map_or(i64::MAX / 4, |at| at.timestamp().as_second());
    }
}

fn civil_from_secs(secs: i64) -> Option<civil::DateTime> {
    let stamp = jiff::Timestamp::from_second(secs).ok()?;
    Some(TimeZone::UTC.to_datetime(stamp))
}

/// Seconds east of UTC of `Z`, an abbreviation, a military letter, `±hh[[:]mm]`, or a name followed by an offset.
pub(crate) fn offset(text: &str) -> Option<i64> {
    let at = text.find(['+', '-']).unwrap_or(text.len());
    let (name, number) = text.split_at_checked(at)?;
    let base = if name.is_empty() && !number.is_empty() {
        0
    } else {
        named(name)?
    };
    if number.is_empty() {
        Some(base)
    } else {
        Some(base + numeric(number)?)
    }
}

fn named(name: &str) -> Option<i64> {
    if let [letter] = name.as_bytes() {
        let hours = match letter {
            b'A'..=b'I' => i64::from(letter - b'A') + 1,
            b'K'..=b'M' => i64::from(letter - b'K') + 10,
            b'N'..=b'Y' => -(i64::from(letter - b'N') + 1),
            b'Z' => 0,
            _ => return None,
        };
        return Some(hours * 3600);
    }
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, minutes)| i64::from(*minutes) * 60)
}

fn numeric(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes() {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [h1, h2] => (two(*h1, *h2)?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (two(*h1, *h2)?, two(*m1, *m2)?),
        _ => return None,
    };
    Some(sign * (hours * 3600 + minutes * 60))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let both = tens.is_ascii_digit() && ones.is_ascii_digit();
    both.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `fail2ban-regex` 1.0.2 with `%ExZ`; the last two are refused there too.
    #[test]
    fn reads_zones_as_upstream_does() {
        for (text, hours) in [
            ("Z", Some(0)),
            ("UTC", Some(0)),
            ("CEST", Some(2)),
            ("PDT", Some(-7)),
            ("+0200", Some(2)),
            ("-05:00", Some(-5)),
            ("+09", Some(9)),
            ("UTC+02:00", Some(2)),
            ("X", Some(-11)),
            ("A", Some(1)),
            ("M", Some(12)),
            ("J", None),
            ("utc", None),
        ] {
            assert_eq!(offset(text), hours.map(|hours: i64| hours * 3600), "{text}");
        }
    }

    #[test]
    fn a_cached_offset_gives_what_the_rules_give() {
        let Ok(rules) = TimeZone::get("Europe/Zurich") else {
            println!("skipped: no time zone database on this machine");
            return;
        };
        let zones = Zones {
            given: None,
            local: Zone::Rules(rules.clone()),
        };
        let mut warm = OffsetCache::default();
        for hour in 0..(24 * 800) {
            let local = 1_700_000_000 + hour * 3600 + 17;
            let cold = OffsetCache {
                last: warm.last,
                ..OffsetCache::default()
            };
            let time = zones.to_utc(local, &mut cold.clone());
            assert_eq!(zones.to_utc(local, &mut warm), time, "{local}");
            let time = time.unwrap();
            assert_eq!(
                zones.local_now(time, &mut warm),
                zones.local_now(time, &mut OffsetCache::default()),
                "{time}"
            );
            let offset = rules.to_offset(jiff::Timestamp::from_second(time).unwrap()).seconds();
            let ambiguous = rules.to_ambiguous_timestamp(civil_from_secs(local).unwrap());
            let skipped = matches!(ambiguous.offset(), jiff::tz::AmbiguousOffset::Gap { .. });
            assert!(skipped || time + i64::from(offset) == local, "{local}");
        }
    }
}

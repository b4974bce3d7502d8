//! The short way for a line that begins like the one before: the same date, or one that differs in its digits only.
//!
//! Sound for templates whose match is decided by the start of the line ([`super::template::Template::local`]): what the
//! search looked at is compared byte for byte, but for two-digit hours, minutes and seconds and the fraction, each between
//! bytes that are no digits. Any other two digits in range are read by the same part of the pattern.

use std::ops::Range;

use stockade_core::Timestamp;

use super::Found;
use super::strptime::Base;
use super::template::Place;
use super::zone::{OffsetCache, Zones};

/// What stands before the text that decides whether a template matches, and what the date is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// Nothing: it is the start of the line.
    Start,
    /// Anything up to the first bracket: `^[^\[]*\[({DATE})`, as web servers write.
    Bracket,
}

impl Lead {
    /// Where the deciding text begins.
    fn end(self, line: &[u8]) -> Option<usize> {
        match self {
            Self::Start => Some(0),
            Self::Bracket => memchr::memchr(b'[', line).map(|bracket| bracket + 1),
        }
    }
}

/// What stands before the date of lines that are passed over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before<'a> {
    This(&'a [u8]),
    /// Anything that ends in the line's first bracket.
    UpToBracket,
}

/// The start of the line last parsed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Repeat {
    prefix: Vec<u8>,
    lead: Lead,
    /// Ranges count from where the prefix begins.
    found: Found,
    now: i64,
    moving: Option<Moving>,
}

/// The digits that may differ.
#[derive(Clone, Debug, PartialEq)]
struct Moving {
    hour: Range<usize>,
    minute: Range<usize>,
    second: Range<usize>,
    fraction: Option<Range<usize>>,
    base: Base,
}

impl Repeat {
    /// What to keep of a line; `None` if the next one has to be parsed whatever it begins with.
    pub(super) fn new(
        text: &str,
        (place, lead): (&Place, Lead),
        found: &Found,
        base: Option<Base>,
        now: Timestamp,
        old: Option<Self>,
    ) -> Option<Self> {
        found.time?;
        let bytes = text.as_bytes();
        let origin = lead.end(bytes)?;
        if lead == Lead::Bracket && found.range.start != origin {
            return None;
        }
        let end = found.range.end + decisive(bytes.get(found.range.end..)?)?;
        let slice = bytes.get(origin..end).filter(|prefix| prefix.is_ascii())?;
        let mut prefix = old.map(|old| old.prefix).unwrap_or_default();
        prefix.clear();
        prefix.extend_from_slice(slice);
        let moving = base.and_then(|base| Moving::new(slice, place, origin, base));
        let mut found = found.clone();
        found.range = found.range.start - origin..found.range.end - origin;
        Some(Self {
            prefix,
            lead,
            found,
            now: now.secs(),
            moving,
        })
    }

    pub(super) fn template(&self) -> usize {
        self.found.template
    }

    pub(super) fn alike(&self) -> Alike<'_> {
        Alike { repeat: self }
    }

    /// The date of a line that begins as the one kept.
    pub(super) fn read(&self, text: &str, now: Timestamp, zones: &Zones, cache: &mut OffsetCache) -> Option<Found> {
        let origin = self.lead.end(text.as_bytes())?;
        let bytes = text.as_bytes().get(origin..origin + self.prefix.len())?;
        let found = || Found {
            range: self.found.range.start + origin..self.found.range.end + origin,
            ..self.found.clone()
        };
        // What is inferred (year, day) may change with the clock.
        if self.now == now.secs() && bytes == self.prefix {
            return Some(found());
        }
        let moving = self.moving.as_ref()?;
        let clock = moving.read(bytes, &self.prefix)?;
        let local_now = zones.local_now(now.secs(), cache)?;
        if local_now.div_euclid(86_400) != moving.base.today {
            return None;
        }
        let written = moving.base.midnight + clock;
        let time = match moving.base.offset {
            Some(offset) => written - offset,
            None => zones.to_utc(written, cache)?,
        };
        // Times ahead of the clock, in whatever zone it is looked at, may mean another day or year.
        (time.max(written) <= now.secs().min(local_now)).then(|| Found {
            time: Some(Timestamp::from_secs(time)),
            ..found()
        })
    }
}

/// The beginning of a line whose date the same template reads.
pub(crate) struct Alike<'a> {
    repeat: &'a Repeat,
}

impl Alike<'_> {
    /// What stands before the date.
    pub(crate) fn before(&self) -> Before<'_> {
        let start = self.repeat.found.range.start;
        match self.repeat.lead {
            Lead::Start => Before::This(self.repeat.prefix.get(..start).unwrap_or_default()),
            Lead::Bracket => Before::UpToBracket,
        }
    }

    /// What is cut out of such a line.
    pub(crate) fn cut(&self, line: &[u8]) -> Range<usize> {
        let origin = self.repeat.lead.end(line).unwrap_or_default();
        self.repeat.found.range.start + origin..self.repeat.found.range.end + origin
    }

    /// The date of one of them; others may differ in the hours, minutes and seconds.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.repeat.found.time
    }

    /// Whether a line begins so: then the template fits it, whatever time that is.
    pub(crate) fn accepts(&self, line: &[u8]) -> bool {
        let prefix = &self.repeat.prefix;
        let origin = self.repeat.lead.end(line);
        let Some(bytes) = origin.and_then(|origin| line.get(origin..origin + prefix.len())) else {
            return false;
        };
        bytes == prefix
            || self
                .repeat
                .moving
                .as_ref()
                .is_some_and(|moving| moving.read(bytes, prefix).is_some())
    }
}

impl Moving {
    fn new(prefix: &[u8], place: &Place, origin: usize, base: Base) -> Option<Self> {
        let field = |letter| {
            let range = place.fields.get(letter)?;
            let range = range.start.checked_sub(origin)?..range.end.checked_sub(origin)?;
            is_delimited(prefix, &range).then_some(range)
        };
        let two =
            |letter| field(letter).filter(|range| range.len() == 2 && digits(prefix.get(range.clone())).is_some());
        let (hour, minute, second) = (two(b'H')?, two(b'M')?, two(b'S')?);
        let fraction = field(b'f');
        let ordered = hour.end < minute.start
            && minute.end < second.start
            && fraction.as_ref().is_none_or(|fraction| second.end < fraction.start);
        // A fraction that is not delimited would end elsewhere with other digits.
        let whole = fraction.is_some() == place.fields.get(b'f').is_some();
        (ordered && whole).then_some(Self {
            hour,
            minute,
            second,
            fraction,
            base,
        })
    }

    /// Seconds since midnight, if all but the digits is as it was.
    fn read(&self, bytes: &[u8], prefix: &[u8]) -> Option<i64> {
        let same = |range: Range<usize>| bytes.get(range.clone()) == prefix.get(range);
        let rest = match &self.fraction {
            Some(fraction) => {
                let all_digits = bytes.get(fraction.clone())?.iter().all(u8::is_ascii_digit);
                all_digits && same(self.second.end..fraction.start) && same(fraction.end..prefix.len())
            }
            None => same(self.second.end..prefix.len()),
        };
        let fixed = rest
            && same(0..self.hour.start)
            && same(self.hour.end..self.minute.start)
            && same(self.minute.end..self.second.start);
        if !fixed {
            return None;
        }
        let hour = digits(bytes.get(self.hour.clone())).filter(|hour| *hour < 24)?;
        let minute = digits(bytes.get(self.minute.clone())).filter(|minute| *minute < 60)?;
        let second = digits(bytes.get(self.second.clone())).filter(|second| *second < 60)?;
        Some(hour * 3600 + minute * 60 + second)
    }
}

fn digits(text: Option<&[u8]>) -> Option<i64> {
    match text? {
        [tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

fn is_delimited(prefix: &[u8], range: &Range<usize>) -> bool {
    let before = range.start.checked_sub(1).and_then(|at| prefix.get(at));
    let after = prefix.get(range.end);
    before.is_none_or(|byte| !byte.is_ascii_digit()) && after.is_none_or(|byte| !byte.is_ascii_digit())
}

/// How many bytes beyond a date decide where it ends: a fraction, a year or a zone may follow. `None` if it cannot be told.
fn decisive(after: &[u8]) -> Option<usize> {
    /// The longest optional tail (`  +02:00`) and one more.
    const TAIL: usize = 9;
    let plain = |byte: &u8| byte.is_ascii_punctuation() && !b".,+-".contains(byte);
    let no_zone = |byte: &u8| byte.is_ascii_alphabetic() && !b"zZuUgG".contains(byte);
    match after {
        [first, ..] if plain(first) => Some(1),
        [b' ', second, ..] if plain(second) || no_zone(second) => Some(2),
        _ => {
            let blanks = after.iter().take(3).filter(|byte| byte.is_ascii_whitespace()).count();
            (blanks < 3 && after.len() >= TAIL).then_some(TAIL)
        }
    }
}

//! The short way for a line that begins like the one before: the same date, or one that differs in its digits only.
//!
//! Sound for templates whose match is decided by the start of the line ([`super::template::Template::local`]): what the
//! search looked at is compared byte for byte, but for two-digit hours, minutes and seconds and the fraction, each between
//! bytes that are no digits. Any other two digits in range are read by the same part of the pattern. Of what follows the date
//! it is asked whether it ends the date, too; only if it is not plain that it does, it is compared.

use std::ops::Range;

use stockade_core::Timestamp;

use super::Found;
use super::outline::is_word;
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
    /// Anything: the date is in the midst of the line, and that it is the first there has to be found out by other means.
    Inside,
}

impl Lead {
    /// Where the deciding text begins, if that can be told.
    fn end(self, line: &[u8]) -> Option<usize> {
        match self {
            Self::Start => Some(0),
            Self::Bracket => memchr::memchr(b'[', line).map(|bracket| bracket + 1),
            Self::Inside => None,
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
    /// The text that decides, as it was.
    prefix: Vec<u8>,
    form: Form,
    /// The prefix is followed by what shows where the date ends ([`is_end`]).
    ends: bool,
    lead: Lead,
    /// Ranges count from where the prefix begins.
    found: Found,
    now: i64,
    moving: Option<Moving>,
}

/// The digits that may differ.
#[derive(Clone, Debug, PartialEq)]
struct Moving {
    /// Where each begins.
    hour: usize,
    minute: usize,
    second: usize,
    fraction: Range<usize>,
    /// Seconds since midnight.
    clock: i64,
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
        let origin = match lead {
            Lead::Inside => place.whole.start,
            _ => lead.end(bytes)?,
        };
        let begins = match lead {
            Lead::Start => true,
            Lead::Bracket | Lead::Inside => found.range.start == origin,
        };
        // What the pattern asks for behind the date would not be compared.
        if !begins || place.whole.end != found.range.end {
            return None;
        }
        let after = bytes.get(found.range.end..)?;
        let ends = is_end(after);
        let end = found.range.end + if ends { 0 } else { tail(after)? };
        let slice = bytes.get(origin..end).filter(|prefix| prefix.is_ascii())?;
        let moving = base.and_then(|base| Moving::new(slice, place, origin, base));
        let form = Form::new(slice, moving.as_ref())?;
        let mut prefix = old.map(|old| old.prefix).unwrap_or_default();
        prefix.clear();
        prefix.extend_from_slice(slice);
        let mut found = found.clone();
        found.range = found.range.start - origin..found.range.end - origin;
        Some(Self {
            prefix,
            form,
            ends,
            lead,
            found,
            now: now.secs(),
            moving,
        })
    }

    pub(super) fn template(&self) -> usize {
        self.found.template
    }

    /// Whether it is in the midst of a line: then [`Self::at`] tells where, and not [`Self::read`] or [`Self::alike`].
    pub(super) fn is_inside(&self) -> bool {
        self.lead == Lead::Inside
    }

    pub(super) fn alike(&self) -> Alike<'_> {
        Alike { repeat: self }
    }

    /// What is cut out where such a date begins, if one does.
    pub(super) fn at(&self, line: &[u8], origin: usize) -> Option<Range<usize>> {
        let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| is_word(*byte));
        let before = origin.checked_sub(1).and_then(|before| line.get(before));
        let bounded = before.is_none_or(u8::is_ascii) && !(is_word(before) && is_word(line.get(origin)));
        let fits = bounded && self.accepts(line.get(origin..)?);
        fits.then(|| self.found.range.start + origin..self.found.range.end + origin)
    }

    /// Whether a text begins as the one kept, but for digits that may differ.
    fn accepts(&self, text: &[u8]) -> bool {
        self.form.fits(text)
            && self.moving.as_ref().is_none_or(|moving| moving.is_hour(text))
            && (!self.ends || is_end(text.get(self.form.length..).unwrap_or_default()))
    }

    /// The date of a line that begins as the one kept.
    pub(super) fn read(&self, text: &str, now: Timestamp, zones: &Zones, cache: &mut OffsetCache) -> Option<Found> {
        let origin = self.lead.end(text.as_bytes())?;
        self.read_at(origin, text.as_bytes(), now, zones, cache)
    }

    /// The same of one that begins there.
    pub(super) fn read_at(
        &self,
        origin: usize,
        line: &[u8],
        now: Timestamp,
        zones: &Zones,
        cache: &mut OffsetCache,
    ) -> Option<Found> {
        let text = line.get(origin..).filter(|text| self.accepts(text))?;
        let found = || Found {
            range: self.found.range.start + origin..self.found.range.end + origin,
            ..self.found.clone()
        };
        let clock = self.moving.as_ref().and_then(|moving| moving.read(text));
        // What is inferred (year, day) may change with the clock.
        if self.now == now.secs() && clock == self.moving.as_ref().map(|moving| moving.clock) {
            return Some(found());
        }
        let base = &self.moving.as_ref()?.base;
        let local_now = zones.local_now(now.secs(), cache)?;
        if local_now.div_euclid(86_400) != base.today {
            return None;
        }
        let written = base.midnight + clock?;
        let time = match base.offset {
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
            // Of a date inside a line none is accepted.
            Lead::Bracket | Lead::Inside => Before::UpToBracket,
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
        let origin = self.repeat.lead.end(line);
        origin
            .and_then(|origin| line.get(origin..))
            .is_some_and(|text| self.repeat.accepts(text))
    }
}

impl Moving {
    fn new(prefix: &[u8], place: &Place, origin: usize, base: Base) -> Option<Self> {
        let field = |letter| {
            let range = place.fields.get(letter)?;
            let range = range.start.checked_sub(origin)?..range.end.checked_sub(origin)?;
            is_delimited(prefix, &range).then_some(range)
        };
        let two = |letter| field(letter).filter(|range| range.len() == 2).map(|range| range.start);
        // A fraction that is not delimited would end elsewhere with other digits.
        let fraction = match place.fields.get(b'f') {
            Some(_) => field(b'f')?,
            None => 0..0,
        };
        let mut moving = Self {
            hour: two(b'H')?,
            minute: two(b'M')?,
            second: two(b'S')?,
            fraction,
            clock: 0,
            base,
        };
        moving.clock = moving.read(prefix)?;
        Some(moving)
    }

    /// Whether the hour, two digits of which the first is at most 2, is one.
    fn is_hour(&self, text: &[u8]) -> bool {
        !matches!(text.get(self.hour..), Some([b'2', ones, ..]) if *ones > b'3')
    }

    /// Seconds since midnight, where these are digits of a time.
    fn read(&self, text: &[u8]) -> Option<i64> {
        let hour = digits(text, self.hour).filter(|hour| *hour < 24)?;
        let minute = digits(text, self.minute).filter(|minute| *minute < 60)?;
        let second = digits(text, self.second).filter(|second| *second < 60)?;
        let fraction = text.get(self.fraction.clone())?;
        fraction
            .iter()
            .all(u8::is_ascii_digit)
            .then_some(hour * 3600 + minute * 60 + second)
    }

    /// What the digit at some place is at most; `None` where there is none that may differ.
    fn limit(&self, at: usize) -> Option<u8> {
        if self.fraction.contains(&at) {
            return Some(9);
        }
        [(self.hour, 2), (self.minute, 5), (self.second, 5)]
            .into_iter()
            .find_map(|(start, tens)| match at.checked_sub(start)? {
                0 => Some(tens),
                1 => Some(9),
                _ => None,
            })
    }
}

/// A text of which some digits may differ.
#[derive(Clone, Debug, PartialEq)]
struct Form {
    length: usize,
    /// Eight bytes at a time, and at last those at the end.
    words: [Word; LONGEST / 8],
    last: Word,
}

/// What eight bytes have to be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Word {
    bytes: u64,
    /// Of which bits that is asked: of digits that may differ, of those that all digits have in common.
    asked: u64,
    /// The other bits of these digits.
    value: u64,
    /// What makes 16 or more of a value that is too large.
    excess: u64,
}

/// The longest text that is compared so; dates are shorter.
const LONGEST: usize = 64;

impl Form {
    /// `None` if the text is too short or too long.
    fn new(text: &[u8], moving: Option<&Moving>) -> Option<Self> {
        let word = |start: usize| {
            let bytes: [u8; 8] = text.get(start..)?.first_chunk().copied()?;
            let (mut asked, mut value, mut excess) = ([u8::MAX; 8], [0; 8], [0; 8]);
            let parts = asked.iter_mut().zip(value.iter_mut().zip(&mut excess));
            for (place, (asked, (value, excess))) in parts.enumerate() {
                if let Some(limit) = moving.and_then(|moving| moving.limit(start + place)) {
                    (*asked, *value, *excess) = (0xf0, 0x0f, 0x0f - limit);
                }
            }
            Some(Word {
                bytes: u64::from_le_bytes(bytes),
                asked: u64::from_le_bytes(asked),
                value: u64::from_le_bytes(value),
                excess: u64::from_le_bytes(excess),
            })
        };
        let mut form = Self {
            length: text.len(),
            words: [Word::default(); LONGEST / 8],
            last: word(text.len().checked_sub(8)?)?,
        };
        (text.len() <= LONGEST).then_some(())?;
        for (number, place) in form.words.iter_mut().enumerate() {
            *place = word(number * 8).unwrap_or_default();
        }
        Some(form)
    }

    /// Whether a text begins so.
    fn fits(&self, text: &[u8]) -> bool {
        let Some(text) = text.get(..self.length) else {
            return false;
        };
        let (chunks, _) = text.as_chunks();
        let words = chunks.iter().zip(&self.words);
        let differences = words.fold(0, |all, (bytes, word)| all | word.difference(*bytes));
        let last = text.last_chunk().map_or(0, |bytes| self.last.difference(*bytes));
        differences | last == 0
    }
}

impl Word {
    /// 0 if there is none.
    fn difference(self, bytes: [u8; 8]) -> u64 {
        let bytes = u64::from_le_bytes(bytes);
        // No sum is larger than a byte, so that none changes the next one.
        let too_large = ((bytes & self.value) + self.excess) & 0x1010_1010_1010_1010;
        ((bytes ^ self.bytes) & self.asked) | too_large
    }
}

fn digits(text: &[u8], at: usize) -> Option<i64> {
    match text.get(at..at + 2)? {
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

/// Whether what follows a date shows that it ends there: no fraction, year or zone follows, and no word goes on.
fn is_end(after: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_punctuation() && !b".,:+-_".contains(byte);
    match after {
        [first, ..] if plain(first) => true,
        // A zone may go on with minutes behind a colon.
        [b'.' | b',' | b':', second, ..] => !second.is_ascii_digit(),
        [b' ', second, rest @ ..] => match (second, rest.first()) {
            (b'u' | b'U', third) => third.is_some_and(|third| !b"tT".contains(third)),
            (b'g' | b'G', third) => third.is_some_and(|third| !b"mM".contains(third)),
            // A year is one of this century.
            (b'2', third) => third.is_some_and(|third| *third != b'0'),
            (b'z' | b'Z', _) => false,
            _ => second.is_ascii_alphanumeric() || plain(second),
        },
        _ => false,
    }
}

/// How many bytes beyond a date decide where it ends; `None` if it cannot be told.
fn tail(after: &[u8]) -> Option<usize> {
    /// The longest optional tail (`  +02:00`) and one more.
    const TAIL: usize = 9;
    let blanks = after.iter().take(3).filter(|byte| byte.is_ascii_whitespace()).count();
    (blanks < 3 && after.len() >= TAIL).then_some(TAIL)
}

//! The date of a line: which template fits, where it stands, what time it means.
//!
//! [`Detector`] holds the templates and is shared; [`DateState`] remembers which fitted last, as Fail2Ban does, because
//! ambiguous dates are read by the template in use (behaviour spec 3.3).

mod defaults;
mod strptime;
mod template;
mod zone;

use std::ops::Range;
use std::sync::Arc;

use stockade_core::Timestamp;
use stockade_regex::Scratch;

use self::template::{Place, Template};
use self::zone::OffsetCache;
pub(crate) use self::zone::Zone;

/// The templates of one jail.
#[derive(Debug)]
pub(crate) struct Detector {
    templates: Arc<Vec<Template>>,
    zone: Zone,
}

/// A date found in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Index of the template in the list as configured.
    pub(crate) template: usize,
    /// The text that was parsed and is to be cut.
    pub(crate) range: Range<usize>,
    /// `None` if the text is no date after all.
    pub(crate) time: Option<Timestamp>,
}

/// What is remembered from line to line.
#[derive(Debug, Default)]
pub(crate) struct DateState {
    /// Template indices in the order they are tried; empty until the first line.
    order: Vec<usize>,
    hits: Vec<u64>,
    last: Option<Last>,
    offset: OffsetCache,
    repeat: Option<Repeat>,
}

#[derive(Debug)]
struct Last {
    template: usize,
    start: usize,
    before: Option<char>,
    after: Option<char>,
}

/// The start of the line last parsed, if a line that starts the same must give the same date.
#[derive(Debug)]
struct Repeat {
    prefix: Vec<u8>,
    found: Found,
    now: i64,
}

/// How many bytes beyond a date can decide about it: the longest optional tail (` +02:00`) and one more.
const TAIL: usize = 9;

impl Detector {
    /// Compiles `datepattern`. Errors: index of the pattern, the pattern, the reason.
    pub(crate) fn new(setting: Option<&str>, zone: Zone) -> Result<Self, Vec<(usize, String, String)>> {
        Ok(Self {
            templates: defaults::compile(setting)?,
            zone,
        })
    }

    /// Names of the templates, in the order configured.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.iter().map(|template| template.name.as_str())
    }

    /// Finds the date of a line.
    pub(crate) fn find(
        &self,
        text: &str,
        now: Timestamp,
        state: &mut DateState,
        scratch: &mut Scratch,
    ) -> Option<Found> {
        if state.order.is_empty() {
            state.order.extend(0..self.templates.len());
            state.hits.resize(self.templates.len(), 0);
        }
        if let Some(found) = state.repeated(text, now) {
            self.count(found.template, 0, state);
            return Some(found);
        }
        let (index, place) = self.select(text, state, scratch)?;
        let template = self.templates.get(index)?;
        let time = strptime::convert(template.kind, text, &place, &self.zone, now.secs(), &mut state.offset);
        self.count(index, place.cut.start, state);
        let found = Found {
            template: index,
            range: place.cut,
            time: time.map(Timestamp::from_secs),
        };
        state.remember(text, template.local, &found, now);
        Some(found)
    }

    /// The template that fits, by the rules of behaviour spec 3.3.
    fn select(&self, text: &str, state: &mut DateState, scratch: &mut Scratch) -> Option<(usize, Place)> {
        let mut best: Option<(usize, Place)> = None;
        let last = state.last.as_ref().map(|last| last.template);
        if let Some((last, template)) = state
            .last
            .as_ref()
            .and_then(|last| Some((last, self.templates.get(last.template)?)))
            && let Some(place) = template.find(text, scratch)
        {
            let same = last.start == place.cut.start
                && last.before == char_before(text, place.cut.start)
                && last.after == char_after(text, place.cut.end);
            if template.anchored || same {
                return Some((last.template, place));
            }
            best = Some((last.template, place));
        }
        for &index in state.order.iter().filter(|&&index| Some(index) != last) {
            let Some(template) = self.templates.get(index) else {
                continue;
            };
            let Some(place) = template.find(text, scratch) else {
                continue;
            };
            if template.anchored {
                best = Some((index, place));
                break;
            }
            let distance = |place: &Place| (place.cut.start, text.len() - place.cut.end);
            if best.as_ref().is_none_or(|(_, held)| distance(&place) < distance(held)) {
                best = Some((index, place));
            }
        }
        if let Some((index, place)) = &best {
            state.last = Some(Last {
                template: *index,
                start: place.cut.start,
                before: char_before(text, place.cut.start),
                after: char_after(text, place.cut.end),
            });
        }
        best
    }

    /// Counts a hit; a template that scores higher than its neighbours moves towards the front.
    fn count(&self, index: usize, distance: usize, state: &mut DateState) {
        if let Some(hits) = state.hits.get_mut(index) {
            *hits += 1;
        }
        let Some(mut at) = state.order.iter().position(|&held| held == index) else {
            return;
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "scores are compared only; hits stay far below 2^52"
        )]
        let score = |index: usize, distance: usize| {
            let hits = state.hits.get(index).copied().unwrap_or(0) as f64;
            let weight = self.templates.get(index).map_or(1.0, |template| template.weight);
            hits * weight / (distance.max(1) as f64)
        };
        while let Some(before) = at.checked_sub(1) {
            let Some(&neighbour) = state.order.get(before) else {
                break;
            };
            if score(index, distance) <= score(neighbour, 1) {
                break;
            }
            state.order.swap(before, at);
            at = before;
        }
    }
}

impl DateState {
    /// The date of a line that starts like the one before.
    fn repeated(&self, text: &str, now: Timestamp) -> Option<Found> {
        let repeat = self.repeat.as_ref()?;
        // What is inferred (year, day) may change with the clock.
        let same = repeat.now == now.secs() && text.as_bytes().starts_with(&repeat.prefix);
        same.then(|| repeat.found.clone())
    }

    fn remember(&mut self, text: &str, local: bool, found: &Found, now: Timestamp) {
        // Only what depends on nothing but the start of the line may be kept. A short line has an end the next one may
        // not have, and any number of blanks may stand before a zone.
        let bytes = text.as_bytes();
        let prefix = bytes
            .get(..found.range.end + TAIL)
            .filter(|_| local && found.time.is_some());
        let blanks = bytes
            .iter()
            .skip(found.range.end)
            .take(3)
            .filter(|byte| byte.is_ascii_whitespace())
            .count();
        let Some(prefix) = prefix.filter(|prefix| blanks < 3 && prefix.is_ascii()) else {
            self.repeat = None;
            return;
        };
        let repeat = self.repeat.get_or_insert_with(|| Repeat {
            prefix: Vec::new(),
            found: found.clone(),
            now: 0,
        });
        repeat.prefix.clear();
        repeat.prefix.extend_from_slice(prefix);
        repeat.found.clone_from(found);
        repeat.now = now.secs();
    }
}

fn char_before(text: &str, at: usize) -> Option<char> {
    text.get(..at)?.chars().next_back()
}

fn char_after(text: &str, at: usize) -> Option<char> {
    text.get(at..)?.chars().next()
}

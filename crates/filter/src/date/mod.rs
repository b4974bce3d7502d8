//! The date of a line: which template fits, where it stands, what time it means.
//!
//! [`Detector`] holds the templates and is shared; [`DateState`] remembers which fitted last, as Fail2Ban does, because
//! ambiguous dates are read by the template in use (behaviour spec 3.3).

mod defaults;
mod needs;
mod repeat;
mod strptime;
mod template;
mod zone;

use std::ops::Range;
use std::sync::Arc;

use stockade_core::Timestamp;
use stockade_regex::Scratch;

use self::needs::Contents;
use self::repeat::Repeat;
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
        let repeated = state
            .repeat
            .as_ref()
            .and_then(|repeat| repeat.read(text, now, &self.zone, &mut state.offset));
        if let Some(found) = repeated {
            self.count(found.template, 0, state);
            return Some(found);
        }
        let (index, place) = self.select(text, state, scratch)?;
        let template = self.templates.get(index)?;
        let read = strptime::convert(template.kind, text, &place, &self.zone, now.secs(), &mut state.offset);
        self.count(index, place.cut.start, state);
        let (time, base) = read.map_or((None, None), |(time, base)| (Some(time), base));
        let found = Found {
            template: index,
            range: place.cut.clone(),
            time: time.map(Timestamp::from_secs),
        };
        let old = state.repeat.take();
        state.repeat = if template.local {
            Repeat::new(text, &place, &found, base, now, old)
        } else {
            None
        };
        Some(found)
    }

    /// The template that fits, by the rules of behaviour spec 3.3.
    fn select(&self, text: &str, state: &mut DateState, scratch: &mut Scratch) -> Option<(usize, Place)> {
        let mut best: Option<(usize, Place)> = None;
        let contents = Contents::of(text);
        let may_match = |template: &Template| contents.is_none_or(|contents| contents.meet(template.needs));
        let last = state.last.as_ref().map(|last| last.template);
        if let Some((last, template)) = state
            .last
            .as_ref()
            .and_then(|last| Some((last, self.templates.get(last.template)?)))
            && may_match(template)
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
            let Some(template) = self.templates.get(index).filter(|template| may_match(template)) else {
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
    /// Template indices in the order they are tried by now; empty before the first line.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }
}

/// Whether it is still the day it was, counted in days since 1970.
fn same_day(zone: &Zone, now: i64, today: i64, cache: &mut OffsetCache) -> bool {
    zone.to_local(now, cache)
        .is_some_and(|local| local.div_euclid(86_400) == today)
}

fn char_before(text: &str, at: usize) -> Option<char> {
    text.get(..at)?.chars().next_back()
}

fn char_after(text: &str, at: usize) -> Option<char> {
    text.get(at..)?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of one log, close in time, as the short way sees them.
    const LOGS: [&[&str]; 8] = [
        &[
            "[Nov 22 13:40:04] NOTICE",
            "[Nov 22 13:40:04] VERBOSE",
            "[Nov 22 13:40:59] x",
            "[Nov 22 14:00:00] x",
            "[Nov 22 24:00:00] x",
        ],
        &[
            "Nov 22 09:59:59 host",
            "Nov 22 10:00:00 host",
            "Nov 22 10:00:00 2025 host",
            "Nov 22  9:00:00 host",
            "Nov 23 10:00:00 host",
        ],
        &[
            "2026-11-22T13:40:04.123456+01:00 h",
            "2026-11-22T13:40:05.654321+01:00 h",
            "2026-11-22T13:40:05.65432+01:00 h",
            "2026-11-22T13:40:05+01:00 h",
            "2026-11-22T13:40:05.654321+02:00 h",
        ],
        &[
            "2026-11-22 13:40:04 UTC x",
            "2026-11-22 13:40:05 UTC x",
            "2026-11-22 13:40:06 GMT x",
            "2026-11-22 13:40:07 x",
        ],
        &["13:40:04 x", "13:40:05 x", "23:59:59 x", "00:00:00 x", "13:40:61 x"],
        &["<11/22/26@13:40:04>x", "<11/22/26@13:40:05>y", "<11/22/26@13:40:6>y"],
        &[
            "1795305600 x",
            "1795305601 x",
            "1795305600 x",
            "@4000000068a85c0912345678 x",
        ],
        &[
            "20261122T134004 x",
            "20261122T134005 x",
            "261122 13:40:04 x",
            "261122 13:40:05 x",
            "no date",
            "261122 13:40:06 x",
        ],
    ];

    #[test]
    fn what_a_template_needs_is_in_every_line_it_matches() {
        let odd = [
            "x 08-22-2025 11:59:59.252",
            "08/22/2025:11:59:59",
            "22/08/25 11:59:59",
            "Aug 22, 2025 1:59:59 PM",
            "Aug-22-25 11:59:59",
            "type=X audit(1755863999.123:456): x",
            "22/Aug/2025:11:59:59 +0200",
            "t=1755863999123;",
            "2025 22:10",
            "10%H:33",
        ];
        let mut scratch = Scratch::default();
        let mut matches = 0;
        let patterns = [
            None,
            Some("{^LN-BEG}"),
            Some("{DATE}"),
            Some("t={LEPOCH};"),
            Some("%Y %d:%M"),
            Some("%d%%H:%M"),
        ];
        for pattern in patterns {
            let detector = Detector::new(pattern, Zone::Fixed(0)).unwrap();
            for line in LOGS.iter().flat_map(|lines| lines.iter()).chain(&odd) {
                let contents = Contents::of(line).unwrap();
                for template in detector
                    .templates
                    .iter()
                    .filter(|template| template.find(line, &mut scratch).is_some())
                {
                    assert!(contents.meet(template.needs), "{} on {line}", template.name);
                    matches += 1;
                }
            }
        }
        assert!(matches > 100, "{matches}");
    }

    #[test]
    fn the_short_way_reads_what_the_search_reads() {
        let zone = jiff::tz::TimeZone::get("Europe/Zurich").unwrap_or(jiff::tz::TimeZone::UTC);
        for setting in [None, Some("{^LN-BEG}"), Some("^%b %d %H:%M:%S"), Some(r"^\[({DATE})")] {
            let detector = Detector::new(setting, Zone::Rules(zone.clone())).unwrap();
            for (log, lines) in LOGS.iter().enumerate() {
                let (mut short, mut long, mut scratch) =
                    (DateState::default(), DateState::default(), Scratch::default());
                for round in 0..60_i64 {
                    for (index, line) in lines.iter().enumerate() {
                        // The clock passes the dates, and midnight.
                        let now = Timestamp::from_secs(1_795_305_600 + round * 2_500 + i64::try_from(index).unwrap());
                        long.repeat = None;
                        let searched = detector.find(line, now, &mut long, &mut scratch);
                        let found = detector.find(line, now, &mut short, &mut scratch);
                        assert_eq!(found, searched, "{setting:?}, log {log}, {line:?}, now {}", now.secs());
                    }
                }
            }
        }
    }
}

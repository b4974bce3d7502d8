//! The date of a line: which template fits, where it stands, what time it means.
//!
//! [`Detector`] holds the templates and is shared; [`DateState`] remembers which fitted last, as Fail2Ban does, because
//! ambiguous dates are read by the template in use (behaviour spec 3.3).

mod defaults;
mod details;
mod needs;
mod ranking;
mod repeat;
mod strptime;
mod template;
mod zone;

use std::ops::Range;
use std::sync::Arc;

use stockade_core::Timestamp;
use stockade_regex::Scratch;

pub use self::details::DateTemplate;
use self::needs::Contents;
use self::ranking::Ranking;
use self::repeat::Repeat;
pub(crate) use self::repeat::{Alike, Before};
use self::template::{Kind, Place, Template};
use self::zone::OffsetCache;
pub(crate) use self::zone::{Zone, Zones};

/// The templates of one jail.
#[derive(Debug)]
pub(crate) struct Detector {
    templates: Arc<Vec<Template>>,
    /// What the templates were made of.
    setting: Option<String>,
    zones: Zones,
    /// Whether the zone was set for this log, and is not just that of the host.
    pub(crate) zone_given: bool,
}

/// A date found in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Index of the template in the list as configured.
    pub(crate) template: usize,
    /// The text that was parsed and is to be cut.
    pub(crate) range: Range<usize>,
    /// Whether its zone is known: written in the line, or set by `logtimezone`.
    pub(crate) zoned: bool,
    /// `None` if the text is no date after all.
    pub(crate) time: Option<Timestamp>,
}

/// What is remembered from line to line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DateState {
    ranking: Ranking,
    last: Option<Last>,
    offset: OffsetCache,
    repeat: Option<Repeat>,
}

/// The template that fitted last, and where.
#[derive(Clone, Debug, PartialEq)]
struct Last {
    template: usize,
    place: Range<usize>,
    around: (Option<char>, Option<char>),
}

impl Detector {
    /// Compiles `datepattern`. Errors: index of the pattern, the pattern, the reason.
    pub(crate) fn new(setting: Option<&str>, zones: Zones) -> Result<Self, Vec<(usize, String, String)>> {
        Ok(Self {
            templates: defaults::compile(setting)?,
            setting: setting.map(str::to_owned),
            zones,
            zone_given: false,
        })
    }

    /// The errors of [`Self::new`].
    pub(crate) fn check(setting: Option<&str>) -> Result<(), Vec<(usize, String, String)>> {
        defaults::check(setting)
    }

    /// Whether both read every line alike, given the same lines before it.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.setting == other.setting || Arc::ptr_eq(&self.templates, &other.templates))
            && self.zone_given == other.zone_given
            && self.zones == other.zones
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
        state.ranking.begin(self.templates.len());
        let repeated = state
            .repeat
            .as_ref()
            .and_then(|repeat| repeat.read(text, now, &self.zones, &mut state.offset));
        if let Some(found) = repeated {
            // Only templates for the start of a line are read the short way.
            state.ranking.count(found.template, 0, now);
            return Some(found);
        }
        let Selected { template: index, place } = self.select(text, state, scratch)?;
        let template = self.templates.get(index)?;
        let changed = state.last.as_ref().is_none_or(|last| last.template != index);
        state.last = Some(Last {
            template: index,
            place: place.whole.clone(),
            around: around(text, &place.whole),
        });
        state.ranking.count(index, place.whole.start, now);
        if changed {
            state.ranking.promote(index, &self.templates);
        }
        let read = strptime::convert(template.kind, text, &place, &self.zones, now.secs(), &mut state.offset);
        let (time, base) = read.map_or((None, None), |(time, base)| (Some(time), base));
        let found = Found {
            template: index,
            range: place.cut.clone(),
            zoned: match template.kind {
                Kind::Fields => {
                    self.zone_given
                        || [b'z', b'Z']
                            .into_iter()
                            .any(|letter| place.fields.get(letter).is_some())
                }
                Kind::Tai64n => true,
                Kind::Epoch | Kind::LongEpoch | Kind::None => false,
            },
            time: time.map(|secs| {
                let micros = strptime::fraction(template.kind, text, &place);
                Timestamp::from_micros(secs.saturating_mul(1_000_000).saturating_add(micros))
            }),
        };
        let old = state.repeat.take();
        state.repeat = template
            .local
            .and_then(|lead| Repeat::new(text, (&place, lead), &found, base, now, old));
        Some(found)
    }

    /// The template that fits, by the rules of behaviour spec 3.3 and UNDOCUMENTED.md U-1.
    fn select(&self, text: &str, state: &DateState, scratch: &mut Scratch) -> Option<Selected> {
        let contents = Contents::of(text);
        let may_match = |template: &Template| contents.is_none_or(|contents| contents.meet(template.needs));
        let mut best: Option<Selected> = None;
        let mut tried = None;
        if let Some(last) = &state.last
            && let Some(template) = self.templates.get(last.template).filter(|template| may_match(template))
        {
            // Where the line looks the same around the place of the last date, only that place is looked at, so that what
            // follows there is no part of the date.
            let same_around = !template.anchored && last.around == around(text, &last.place);
            let found = if same_around {
                template.find_within(text, &last.place, scratch)
            } else {
                tried = Some(last.template);
                template.find(text, scratch)
            };
            if let Some(place) = found {
                let same = template.anchored || last.place == place.whole;
                best = Some(Selected {
                    template: last.template,
                    place,
                });
                if same {
                    return best;
                }
            }
        }
        // A date no farther from the start than the last one, and than the last one of its template, is taken without looking
        // for a better one.
        let near = state.last.as_ref().map_or(1, |last| last.place.start);
        let order = state.ranking.order();
        for (place, &index) in order.iter().enumerate().filter(|(_, index)| Some(**index) != tried) {
            let Some(template) = self.templates.get(index).filter(|template| may_match(template)) else {
                continue;
            };
            // Upstream looks for a better one only while there are more to try.
            let final_one = place + 1 == order.len();
            let Some(place) = template.find(text, scratch) else {
                continue;
            };
            let near = near.min(state.ranking.distance(index));
            let enough = final_one || template.anchored || place.whole.start <= near;
            // Of dates that begin at the same place the one whose template is tried first is taken.
            let better = best
                .as_ref()
                .is_none_or(|held| place.whole.start < held.place.whole.start);
            if enough || better {
                best = Some(Selected { template: index, place });
            }
            if enough {
                break;
            }
        }
        best
    }
}

/// The characters right before and after a place, if there are any.
fn around(text: &str, place: &Range<usize>) -> (Option<char>, Option<char>) {
    let before = text.get(..place.start).and_then(|before| before.chars().next_back());
    let after = text.get(place.end..).and_then(|after| after.chars().next());
    (before, after)
}

/// A template that fits.
struct Selected {
    template: usize,
    place: Place,
}

impl Detector {
    /// What is remembered behind lines that were read from the guess `begun` up to `ended`, had they been read from `state`;
    /// `None` if they might have been read otherwise.
    ///
    /// It is no matter what is repeated, as the short way reads what the search reads.
    pub(crate) fn followed(&self, state: &DateState, begun: &DateState, ended: &DateState) -> Option<DateState> {
        let last_alike = match (&state.last, &begun.last) {
            (Some(last), Some(guess)) => {
                // Of an anchored template it is asked how near the start the date is, and no more.
                let anchored = self
                    .templates
                    .get(last.template)
                    .is_some_and(|template| template.anchored);
                let near = (last.template, last.place.start) == (guess.template, guess.place.start);
                if anchored { near } else { last == guess }
            }
            (None, None) => true,
            _ => false,
        };
        (last_alike && state.offset.is_like(&begun.offset)).then_some(())?;
        let ranking = state.ranking.followed(&begun.ranking, &ended.ranking)?;
        Some(DateState {
            ranking,
            ..ended.clone()
        })
    }
}

impl DateState {
    /// The same, to go on from as a guess of what other lines left behind.
    pub(crate) fn guess(&self) -> Self {
        Self {
            ranking: self.ranking.guess(),
            ..self.clone()
        }
    }

    /// What a line has to begin with to be dated by the template that dated the last line; `None` if that cannot be told
    /// from its beginning.
    pub(crate) fn alike(&self) -> Option<Alike<'_>> {
        self.repeat.as_ref().map(Repeat::alike)
    }

    /// Counts lines that were [`Alike::accepts`]ed.
    pub(crate) fn count_alike(&mut self, lines: u32, now: Timestamp) {
        if let Some(repeat) = self.repeat.as_ref().filter(|_| lines > 0) {
            self.ranking.count_many(repeat.template(), lines, now);
        }
    }

    /// How many lines had a date of this template.
    pub(crate) fn hits(&self, template: usize) -> u64 {
        self.ranking.hits(template)
    }

    /// Template indices in the order they are tried by now; empty before the first line.
    pub(crate) fn order(&self) -> &[usize] {
        self.ranking.order()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of one log, close in time, as the short way sees them.
    const LOGS: [&[&str]; 9] = [
        &[
            "192.0.2.1 - - [22/Nov/2026:13:40:04 +0000] \"GET / HTTP/1.1\"",
            "192.0.2.22 - \u{fc}ber [22/Nov/2026:13:40:05 +0000] \"GET /[x] HTTP/1.1\"",
            "[22/Nov/2026:13:40:59 +0000] no more before it",
            "x [] [22/Nov/2026:13:40:59 +0000] another bracket",
            "192.0.2.1 - - [22/Nov/2026:13:40:09 +0100] x",
            "192.0.2.1 - - [22/Nov/2026:13:40:10] x",
            "192.0.2.1 - - [22/Nov/2026:13:40:10",
            "192.0.2.1 - - [Sun Nov 22 13:40:11.123456 2026] x",
            "192.0.2.1 - - [Sun Nov 22 13:40:12.654321 2026] x",
            "no bracket 22/Nov/2026:13:40:59 +0000",
        ],
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

    fn zones(zone: Zone) -> Zones {
        Zones {
            given: None,
            local: zone,
        }
    }

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
            Some("^[^\\[]*\\[({DATE})"),
            Some("{^LN-BEG}"),
            Some("{DATE}"),
            Some("t={LEPOCH};"),
            Some("%Y %d:%M"),
            Some("%d%%H:%M"),
        ];
        for pattern in patterns {
            let detector = Detector::new(pattern, zones(Zone::Fixed(0))).unwrap();
            for line in LOGS.iter().flat_map(|lines| lines.iter()).chain(&odd) {
                let Some(contents) = Contents::of(line) else { continue };
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
        for setting in [
            None,
            Some("{^LN-BEG}"),
            Some("^%b %d %H:%M:%S"),
            Some(r"^\[({DATE})"),
            Some("^[^\\[]*\\[({DATE})"),
            Some("^[^\\[]*\\[({DATE})\n{^LN-BEG}"),
        ] {
            let detector = Detector::new(setting, zones(Zone::Rules(zone.clone()))).unwrap();
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

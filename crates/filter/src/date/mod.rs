//! The date of a line: which template fits, where it stands, what time it means.
//!
//! [`Detector`] holds the templates and is shared; [`DateState`] remembers which fitted last, as Fail2Ban does, because
//! ambiguous dates are read by the template in use (behaviour spec 3.3).

mod defaults;
mod details;
mod outline;
mod ranking;
mod repeat;
mod shapes;
mod strptime;
mod template;
mod zone;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use stockade_core::Timestamp;
use stockade_regex::Scratch;

use self::defaults::List;
pub use self::details::DateTemplate;
use self::ranking::Ranking;
use self::repeat::Repeat;
pub(crate) use self::repeat::{Alike, Before};
use self::shapes::{Possible, Shapes, bit};
use self::template::{Kind, Place};
use self::zone::OffsetCache;
pub(crate) use self::zone::{Zone, Zones};

/// The templates of one jail.
#[derive(Debug)]
pub(crate) struct Detector {
    list: Arc<List>,
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
            list: defaults::compile(setting)?,
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
        (self.setting == other.setting || Arc::ptr_eq(&self.list, &other.list))
            && self.zone_given == other.zone_given
            && self.zones == other.zones
    }

    /// Names of the templates, in the order configured.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.list.templates.iter().map(|template| template.name.as_str())
    }

    /// Finds the date of a line.
    pub(crate) fn find(
        &self,
        text: &str,
        now: Timestamp,
        state: &mut DateState,
        scratch: &mut Scratch,
    ) -> Option<Found> {
        self.find_with(text, now, state, scratch, false)
    }

    /// The same by trying template after template; for tests.
    pub(crate) fn find_plainly(
        &self,
        text: &str,
        now: Timestamp,
        state: &mut DateState,
        scratch: &mut Scratch,
    ) -> Option<Found> {
        state.repeat = None;
        self.find_with(text, now, state, scratch, true)
    }

    fn find_with(
        &self,
        text: &str,
        now: Timestamp,
        state: &mut DateState,
        scratch: &mut Scratch,
        plain: bool,
    ) -> Option<Found> {
        state.ranking.begin(self.list.templates.len());
        let repeated = state
            .repeat
            .as_ref()
            .and_then(|repeat| repeat.read(text, now, &self.zones, &mut state.offset));
        if let Some(found) = repeated {
            // Only templates for the start of a line are read so.
            state.ranking.count(found.template, 0, now);
            return Some(found);
        }
        let shapes = if plain { None } else { self.list.shapes() };
        if let Some(found) = shapes.and_then(|shapes| self.find_inside(shapes, text, now, state)) {
            return Some(found);
        }
        let Selected {
            template: index,
            place,
            within,
        } = self.select(shapes, text, state, scratch)?;
        let template = self.list.templates.get(index)?;
        let changed = state.last.as_ref().is_none_or(|last| last.template != index);
        state.last = Some(Last {
            template: index,
            place: place.whole.clone(),
            around: around(text, &place.whole),
        });
        state.ranking.count(index, place.whole.start, now);
        if changed {
            state.ranking.promote(index, &self.list.templates);
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
        // What was found in a part of the line is repeated only if it is found in all of it.
        let whole = !within || (base.is_some() && template.find(text, scratch).as_ref() == Some(&place));
        state.repeat = template
            .local
            .filter(|_| whole)
            .and_then(|lead| Repeat::new(text, (&place, lead), &found, base, now, old));
        Some(found)
    }

    /// The date of a line in the midst of which stands one like the last, by the same template, where [`Self::select`] would
    /// find it: no other template fits, or the place is that of the last date, which is taken without asking others.
    fn find_inside(&self, shapes: &Shapes, text: &str, now: Timestamp, state: &mut DateState) -> Option<Found> {
        let last = state.last.as_ref()?;
        let repeat = state.repeat.as_ref().filter(|repeat| repeat.is_inside())?;
        let line = text.as_bytes();
        let template = repeat.template();
        let own = bit(template);
        let mut others = shapes.at_begin(line) & !own;
        let mut found: Option<Range<usize>> = None;
        // The outcome only says who ended it.
        let _ = shapes.each(line, |at, mask| {
            others |= mask & !own;
            if found.is_none() && mask & own != 0 {
                found = repeat.at(line, at);
                match &found {
                    None => return ControlFlow::Break(()),
                    Some(place) if *place == last.place => return ControlFlow::Break(()),
                    Some(_) => {}
                }
            }
            if found.is_some() && others != 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let place = found?;
        // Where the line looks the same around the last place, that is looked at first.
        if place != last.place && (others != 0 || around(text, &last.place) == last.around) {
            return None;
        }
        let found = repeat.read_at(place.start, line, now, &self.zones, &mut state.offset)?;
        state.ranking.count(template, place.start, now);
        state.last = Some(Last {
            template,
            around: around(text, &place),
            place,
        });
        Some(found)
    }

    /// The template that fits, by the rules of behaviour spec 3.3 and UNDOCUMENTED.md U-1.
    fn select(
        &self,
        shapes: Option<&Shapes>,
        text: &str,
        state: &DateState,
        scratch: &mut Scratch,
    ) -> Option<Selected> {
        let possible = |text: &str| shapes.map_or(Possible::ALL, |shapes| shapes.possible(text.as_bytes()));
        let templates = &self.list.templates;
        let last = state
            .last
            .as_ref()
            .and_then(|last| Some((last, templates.get(last.template)?)));
        let mut best: Option<Selected> = None;
        let mut tried = None;
        let mut all = None;
        if let Some((last, template)) = last {
            // Where the line looks the same around the place of the last date, only that place is looked at, so that what
            // follows there is no part of the date.
            let same_around = !template.anchored && last.around == around(text, &last.place);
            let found = if same_around {
                template.find_within(text, &last.place, scratch)
            } else {
                tried = Some(last.template);
                let may_match = match shapes {
                    Some(shapes) if template.anchored => shapes.at_begin(text.as_bytes()) & bit(last.template) != 0,
                    _ => all.get_or_insert_with(|| possible(text)).first(last.template).is_some(),
                };
                if may_match { template.find(text, scratch) } else { None }
            };
            if let Some(place) = found {
                let same = template.anchored || last.place == place.whole;
                best = Some(Selected {
                    template: last.template,
                    place,
                    within: same_around,
                });
                if same {
                    return best;
                }
            }
        }
        let all = all.unwrap_or_else(|| possible(text));
        if all.mask == 0 {
            return best;
        }
        // A date no farther from the start than the last one, and than the last one of its template, is taken without looking
        // for a better one.
        let near = state.last.as_ref().map_or(1, |last| last.place.start);
        let order = state.ranking.order();
        for (place, &index) in order.iter().enumerate().filter(|(_, index)| Some(**index) != tried) {
            let (Some(template), Some(first)) = (templates.get(index), all.first(index)) else {
                continue;
            };
            // Upstream looks for a better one only while there are more to try.
            let final_one = place + 1 == order.len();
            let near = near.min(state.ranking.distance(index));
            let held = best.as_ref().map(|held| held.place.whole.start);
            let is_enough = |start: usize| final_one || template.anchored || start <= near;
            // Of dates that begin at the same place the one whose template is tried first is taken.
            let is_better = |start: usize| held.is_none_or(|held| start < held);
            if !is_enough(first) && !is_better(first) {
                // Nor is any date behind that.
                continue;
            }
            let Some(place) = template.find(text, scratch) else {
                continue;
            };
            let enough = is_enough(place.whole.start);
            if enough || is_better(place.whole.start) {
                best = Some(Selected {
                    template: index,
                    place,
                    within: false,
                });
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
    /// It was looked for in a part of the line.
    within: bool,
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
                    .list
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
        self.repeat
            .as_ref()
            .filter(|repeat| !repeat.is_inside())
            .map(Repeat::alike)
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
    const LOGS: [&[&str]; 10] = [
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
            // Where the last date was there is one, too, and the line looks the same around it.
            "a host and more Nov 22 13:40:04 x",
            "a host and more Nov 22 13:40:05 x",
            "Nov 22 13:40:06 Nov 22 13:40:07 x",
            "Nov 22 13:40:06 Nov 22 13:40:07, x",
        ],
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

    /// What is between dates and the rest of their lines.
    const BEFORE: [&str; 12] = [
        "",
        "",
        "- ",
        "[",
        "((",
        "host ",
        "server1 ",
        "INFO  ",
        "x [",
        "a",
        "\u{fc} ",
        "1.2.3.4 - - [",
    ];
    const AFTER: [&str; 24] = [
        "",
        " ",
        "] x",
        ": x",
        ":30 x",
        ":x",
        ", x",
        ",5 x",
        ". x",
        " +0200 x",
        " +02",
        "+02:30] x",
        " 2026 x",
        " 20 x",
        " 2x",
        " UTC x",
        " UT x",
        " Z x",
        " Zx",
        " gmt x",
        " gx",
        "_x",
        "5 x",
        "  x",
    ];
    const DATES: [&str; 14] = [
        "Nov 22 13:4#:#4",
        "Sun Nov 22 13:4#:#4.5",
        "Nov 2# 13:40:04",
        "22/Nov/2026:13:4#:#4",
        "22/Nov/2026:13:4#:#4 +0100",
        "2026-11-22 13:4#:#4",
        "2026-11-22T13:4#:#4.12#+01",
        "20261122 13:4#:#4",
        "26112# 13:4#:#4",
        "13:4#:#4",
        "CEST Nov 22 13:4#:#4",
        "179530560#",
        "22/11/2026 13:4#:#4",
        "Nov 22, 2026 1:4#:#4 PM",
    ];

    /// A log of a few kinds of lines.
    fn log(number: &mut impl FnMut(usize) -> usize) -> Vec<String> {
        let kinds: Vec<[usize; 3]> = (0..=number(3))
            .map(|_| [number(BEFORE.len()), number(DATES.len()), number(AFTER.len())])
            .collect();
        let lines = 4 + number(20);
        let mut line = || {
            let [before, date, after] = kinds[number(kinds.len())];
            // Now and then one of another kind.
            let mut strange = |own: usize, all: usize| if number(12) == 0 { number(all) } else { own };
            let (before, after) = (
                BEFORE[strange(before, BEFORE.len())],
                AFTER[strange(after, AFTER.len())],
            );
            let mut date = DATES[strange(date, DATES.len())].to_owned();
            while date.contains('#') {
                let digit = if number(40) == 0 {
                    "x".to_owned()
                } else {
                    number(10).to_string()
                };
                date = date.replacen('#', &digit, 1);
            }
            let second = if number(10) == 0 {
                DATES[number(DATES.len())].replace('#', "1")
            } else {
                String::new()
            };
            format!("{before}{date}{after} {second}")
        };
        (0..lines).map(|_| line()).collect()
    }

    #[test]
    fn the_short_ways_read_what_the_search_reads() {
        let zone = jiff::tz::TimeZone::get("Europe/Zurich").unwrap_or(jiff::tz::TimeZone::UTC);
        let mut state = 1_u64;
        let mut number = |limit: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % limit
        };
        let (mut dated, mut repeated) = (0, 0);
        for setting in [
            None,
            Some("{^LN-BEG}"),
            Some("{DATE}"),
            Some("^%b %d %H:%M:%S"),
            Some(r"^\[({DATE})"),
            Some("^[^\\[]*\\[({DATE})"),
            Some("^[^\\[]*\\[({DATE})\n{^LN-BEG}"),
            Some("%b %d %H:%M:%S"),
            Some("(%H:%M:%S) x\n**%Y-%m-%d %H:%M:%S**"),
            Some("%H:%M:%S%z\n{^LN-BEG}%Y-%m-%d"),
        ] {
            let detector = Detector::new(setting, zones(Zone::Rules(zone.clone()))).unwrap();
            let written = LOGS.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect());
            let made: Vec<Vec<String>> = (0..300).map(|_| log(&mut number)).collect();
            for (log, lines) in written.iter().chain(&made).enumerate() {
                let (mut short, mut long, mut scratch) =
                    (DateState::default(), DateState::default(), Scratch::default());
                for round in 0..(if log < LOGS.len() { 60_i64 } else { 3 }) {
                    for (index, line) in lines.iter().enumerate() {
                        // The clock passes the dates, and midnight.
                        let now = Timestamp::from_secs(1_795_305_600 + round * 2_500 + i64::try_from(index).unwrap());
                        let now = if log % 2 == 0 {
                            now
                        } else {
                            Timestamp::from_secs(now.secs() + 90_000)
                        };
                        let searched = detector.find_plainly(line, now, &mut long, &mut scratch);
                        let found = detector.find(line, now, &mut short, &mut scratch);
                        let place = format!("{setting:?}, log {log}, {line:?} of {lines:#?}, now {}", now.secs());
                        assert_eq!(found, searched, "{place}");
                        assert_eq!(short.ranking, long.ranking, "{place}");
                        assert!(short.offset.is_like(&long.offset), "{place}");
                        let last = |state: &DateState| {
                            let last = state.last.clone()?;
                            let anchored = detector.list.templates[last.template].anchored;
                            // Of an anchored template no more is asked.
                            Some((last.template, last.place.start, (!anchored).then_some(last)))
                        };
                        assert_eq!(last(&short), last(&long), "{place}");
                        dated += u32::from(found.is_some());
                        repeated += u32::from(short.repeat.is_some());
                    }
                }
            }
        }
        println!("{dated} dates, {repeated} of them kept");
        assert!(dated > 30_000 && repeated > 20_000);
    }
}

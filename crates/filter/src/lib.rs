//! A log line becomes a match, as Fail2Ban does it.
//!
//! The order of steps is Fail2Ban's (behaviour spec 2.4): find the date and cut it out, `prefregex`, the `failregex` list
//! of which the first match wins, `ignoreregex`, then who it was, by address or by the session the line belongs to. Before
//! all that stands a gate that passes over lines no rule can match; `tests/soundness.rs` holds it equal to the plain path.
//!
//! Nothing here resolves a name, reads a clock or a file. Start reading at [`Filter::judge`].
//!
//! ```
//! use stockade_core::Timestamp;
//! use stockade_filter::{Clock, Filter, FilterSettings, Memory, Verdict};
//!
//! let settings = FilterSettings {
//!     failregex: vec!["Failed password for <F-USER>\\S+</F-USER> from <HOST>".into()],
//!     ..FilterSettings::default()
//! };
//! let filter = Filter::new(&settings, &jiff::tz::TimeZone::UTC).map_err(|errors| format!("{errors:?}"))?;
//! let clock = Clock { now: Timestamp::from_secs(1_795_305_605), in_operation: true, findtime: 600 };
//! let line = b"Nov 22 00:00:04 host sshd[7]: Failed password for bob from 192.0.2.7 port 22";
//! let Verdict::Match(found) = filter.judge(line, clock, &mut Memory::default()) else { return Err("no match".into()) };
//! assert_eq!(found.fields.get("user"), Some("bob"));
//! assert_eq!(found.at.secs(), 1_795_305_604);
//! # Ok::<(), String>(())
//! ```

mod ages;
mod ahead;
mod closer;
mod container;
mod date;
mod encoding;
mod failregex;
mod gate;
mod hit;
mod host;
mod line;
mod matcher;
mod mlfid;
mod multiline;
mod near;
mod overrun;
mod review;
mod scan;
mod survey;
mod tags;
pub mod together;
mod window;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use jiff::tz::TimeZone;
use stockade_core::{FailureId, Fields, LineText, Timestamp};
use stockade_regex::{Paths, Scratch};

use crate::date::{DateState, Detector, Zone, Zones};
use crate::encoding::Carry;
use crate::failregex::Rules;
use crate::gate::Gate;
use crate::matcher::Effort;
use crate::mlfid::Sessions;
use crate::window::Window;

pub use crate::ages::Dates;
pub use crate::ahead::{Ahead, Outlook};
pub use crate::closer::{Group, Groups, RuleHit};
pub use crate::date::DateTemplate;
pub use crate::encoding::{Decoder, Encoding};
pub use crate::near::Near;
pub use crate::overrun::Overran;
pub use crate::review::{Finding, FindingKind, review};
pub use crate::survey::{Glance, Glimpse, Outcome, Surveyed};

/// A jail's rules as the operator gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterSettings {
    /// What to do with names in the place of addresses.
    pub usedns: UseDns,
    /// `prefregex`, tags unexpanded.
    pub prefregex: Option<String>,
    /// `failregex`, one per entry, in order, tags unexpanded.
    pub failregex: Vec<String>,
    /// `ignoreregex`, one per entry, in order, tags unexpanded.
    pub ignoreregex: Vec<String>,
    /// `datepattern`; several are separated by newlines.
    pub datepattern: Option<String>,
    /// `maxlines`: how many lines rules see together; 0 and 1 mean each by itself.
    pub maxlines: u32,
    /// `logtimezone`.
    pub logtimezone: Option<String>,
    /// `logencoding`; UTF-8 if it is not given.
    pub logencoding: Option<String>,
}

/// `usedns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseDns {
    /// Resolve names.
    Yes,
    /// Resolve names and say so in the log.
    #[default]
    Warn,
    /// Match addresses only.
    No,
    /// A name is an id of its own.
    Raw,
}

/// What is wrong with a jail's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Which setting: `failregex`, `prefregex`, `datepattern`, …
    pub option: &'static str,
    /// Which entry of it, counted from 0.
    pub index: usize,
    /// The rule as given.
    pub rule: String,
    /// The character of the rule, from 0, at which it goes wrong, if that can be told.
    pub at: Option<usize>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.option, self.index + 1, self.message)
    }
}

impl std::error::Error for FilterError {}

/// The compiled rules of one jail. Shared, read-only.
#[derive(Debug)]
pub struct Filter {
    rules: Rules,
    shown: Shown,
    dates: Detector,
    gate: Option<Gate>,
    /// Of the prefregex alone; made for the first survey.
    prefix_gate: OnceLock<Option<Gate>>,
    usedns: UseDns,
    maxlines: u32,
    encoding: Encoding,
}

/// The rules as `get JAIL …` shows them.
#[derive(Debug)]
struct Shown {
    failregex: Vec<String>,
    ignoreregex: Vec<String>,
}

/// What one jail remembers about one source while reading it: date state, sessions, scratch memory.
#[derive(Debug, Default)]
pub struct Memory {
    dates: DateState,
    /// The last date read; serves lines without one.
    last_date: Option<Timestamp>,
    dating: Dating,
    sessions: Sessions,
    /// Bytes of a line in a wide encoding that has no end yet.
    carry: Carry,
    /// The last line had bytes that are no UTF-8.
    replaced: bool,
    /// The last lines, for rules over several.
    window: Window,
    /// The literals that are rare in this log.
    tuning: gate::Tuning,
    scratch: Scratch,
    /// Groups of the prefregex, needed while the failregex is searched.
    prefix: Scratch,
    paths: Ways,
    /// How many lines were passed over, and how many of them held a literal of the prefregex.
    passed: Share,
    buffers: line::Buffers,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    all: u64,
    of_them: u64,
}

/// How searches in the lines of a log went so far.
#[derive(Debug, Default)]
struct Ways {
    prefregex: Paths,
    /// By number; those asked so far.
    failregex: Vec<Paths>,
}

impl Ways {
    fn of_failregex(&mut self, index: usize) -> &mut Paths {
        if self.failregex.len() <= index {
            self.failregex.resize_with(index + 1, Paths::default);
        }
        // It is there now.
        self.failregex.get_mut(index).unwrap_or(&mut self.prefregex)
    }
}

/// How the time of the last line was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dating {
    /// The line has a date, or the one before it was recent enough to serve.
    #[default]
    Read,
    /// The line has this date, too far from now to be true of a line just written: it counts as happening now.
    Shifted(Timestamp),
    /// There is no date: while a log is followed the line counts as happening now, while catching up not at all.
    None,
}

impl Memory {
    /// Whether the last line had bytes that are no UTF-8; only of lines that were looked at closely.
    pub fn replaced(&self) -> bool {
        self.replaced
    }

    /// How the time of the last line was found.
    pub fn dating(&self) -> Dating {
        self.dating
    }

    /// Gives back the memory that only hostile lines need. There is one of these for each jail and log, so nothing of that
    /// size may stay.
    pub fn tidy(&mut self) {
        self.scratch.tidy();
        self.prefix.tidy();
    }
}

/// Where reading stands; decides how dates far from now are taken (behaviour spec 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The time now.
    pub now: Timestamp,
    /// `false` while catching up on what was in the log at the start.
    pub in_operation: bool,
    /// The jail's findtime in seconds: older lines are passed over while catching up.
    pub findtime: i64,
}

/// What a source knows of a line's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// When it was written.
    pub at: Timestamp,
    /// The line begins with so many bytes of date and blank, which rules do not see.
    pub date: usize,
}

impl From<Timestamp> for Given {
    fn from(at: Timestamp) -> Self {
        Self { at, date: 0 }
    }
}

/// A match that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Who failed.
    pub who: Who,
    /// When, by the log, after the rules of behaviour spec 3.7.
    pub at: Timestamp,
    /// Number of the failregex, from 0.
    pub rule: usize,
    /// The line, and those of the session or the window that belong to it, oldest first. A rule over several lines whose
    /// match is empty has none.
    pub lines: Vec<LineText>,
    /// Named groups.
    pub fields: Fields,
}

/// Whom a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// An address, network or other id.
    Id(FailureId),
    /// A host name to be resolved (`usedns` yes or warn).
    Name(Box<str>),
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No rule matched.
    Miss,
    /// A rule matched, and an `ignoreregex` too, or the line only adds to a session.
    Ignored,
    /// A rule matched but nobody can be held responsible: the reason.
    Unusable(&'static str),
    /// Older than findtime while catching up.
    TooOld,
    /// A rule matched while catching up, but when it happened is not known: it may be long ago.
    Undated,
    /// A failure.
    Match(Match),
    /// The step budget of this rule (a `failregex`'s number; `None` for the others) ran out.
    Overrun(Option<usize>),
}

/// A line looked at closely, for `fail2ban-regex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// The date template that matched.
    pub date: Option<DateHit>,
    /// Whether `prefregex` matched.
    pub prefregex: bool,
    /// The `failregex` entries that matched, in order: the first only, unless all were asked for.
    pub hits: Vec<usize>,
    /// The `ignoreregex` entries that match the line.
    pub ignored_by: Vec<usize>,
    /// What becomes of the line.
    pub verdict: Verdict,
    /// What `prefregex` captured; empty if it does not match or there is none.
    pub prefix: Groups,
    /// Each of the `hits` with what came of it; none after an `ignoreregex`. In a session each is a step of its own.
    pub found: Vec<RuleHit>,
}

/// Which date template matched where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateHit {
    /// Its number in [`Filter::date_templates`].
    pub template: usize,
    /// Its name, as `fail2ban-regex` prints it.
    pub name: String,
    /// The text parsed and cut.
    pub range: Range<usize>,
    /// Whether its zone is known: written in the line, or set by `logtimezone`.
    pub zoned: bool,
    /// The time it means, before any rule about lines far from now; `None` if it is no date after all.
    pub time: Option<Timestamp>,
}

impl Filter {
    /// Compiles the rules; every fault is reported, not just the first.
    ///
    /// `zone` is the server's local zone, for dates that name none.
    pub fn new(settings: &FilterSettings, zone: &TimeZone) -> Result<Self, Vec<FilterError>> {
        let (rules, dates, encoding) = Self::parts(settings, zone, |zones| {
            let zone_given = zones.given.is_some();
            let mut dates = Detector::new(settings.datepattern.as_deref(), zones)?;
            dates.zone_given = zone_given;
            Ok(dates)
        })?;
        let texts = |rules: &[failregex::Rule]| rules.iter().map(|rule| rule.text.clone()).collect();
        let shown = Shown {
            failregex: texts(&rules.failregex),
            ignoreregex: texts(&rules.ignoreregex),
        };
        let gate = Gate::new(&rules);
        Ok(Self {
            rules,
            shown,
            dates,
            gate,
            prefix_gate: OnceLock::new(),
            usedns: settings.usedns,
            maxlines: settings.maxlines,
            encoding,
        })
    }

    /// Every fault that [`Filter::new`] finds; takes a part of its time.
    pub fn check(settings: &FilterSettings) -> Result<(), Vec<FilterError>> {
        Self::parts(settings, &TimeZone::UTC, |_| {
            Detector::check(settings.datepattern.as_deref())
        })
        .map(drop)
    }

    /// The rules, what `dates` makes of the zones, and the encoding; or all that is wrong with them.
    fn parts<D>(
        settings: &FilterSettings,
        zone: &TimeZone,
        dates: impl FnOnce(Zones) -> Result<D, Vec<(usize, String, String)>>,
    ) -> Result<(Rules, D, Encoding), Vec<FilterError>> {
        let mut faults = Vec::new();
        let rules = Rules::new(settings).map_err(|errors| faults.extend(errors)).ok();
        let given = settings
            .logtimezone
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let encoding = settings.logencoding.as_deref().map(Encoding::of);
        if let (Some(None), Some(name)) = (encoding, &settings.logencoding) {
            faults.push(FilterError {
                option: "logencoding",
                index: 0,
                rule: name.clone(),
                at: None,
                message: format!("unknown encoding: {name}"),
                mend: "logencoding = auto, a name such as latin1, cp1252 or utf-16, or container".into(),
            });
        }
        let encoding = encoding.flatten();
        let zones = Zones {
            given: given.and_then(Zone::parse),
            local: Zone::Rules(zone.clone()),
        };
        if let Some(text) = given.filter(|_| zones.given.is_none()) {
            faults.push(FilterError {
                option: "logtimezone",
                index: 0,
                rule: text.to_owned(),
                at: None,
                message: format!("Unknown or unsupported time zone: '{text}'"),
                mend: "logtimezone = UTC+02:00, an abbreviation such as CET, or a name such as Europe/Berlin".into(),
            });
        }
        let dates = dates(zones).map_err(|errors| {
            faults.extend(errors.into_iter().map(|(index, pattern, message)| FilterError {
                option: "datepattern",
                index,
                message: format!(
                    "Failed to set datepattern '{pattern}' (may be an invalid format or unescaped percent char): {message}"
                ),
                rule: pattern,
                at: None,
                mend: "datepattern = {^LN-BEG}%%Y-%%m-%%d %%H:%%M:%%S is an example; jail.conf(5) lists the elements"
                    .into(),
            }));
        });
        match (rules, dates) {
            (Some(rules), Ok(dates)) if faults.is_empty() => Ok((rules, dates, encoding.unwrap_or_default())),
            _ => Err(faults),
        }
    }

    /// The whole lines of a block in UTF-8; also whether bytes that are none in the log's encoding were replaced.
    ///
    /// Blocks of one log have to come in order. A line of UTF-16 may come with the block after it.
    pub fn decode<'a>(&self, block: &'a [u8], memory: &mut Memory) -> (Cow<'a, [u8]>, bool) {
        self.encoding.decode(block, &mut memory.carry)
    }

    /// Judges one line (without its line end; UTF-8, other bytes are replaced).
    ///
    /// A line no rule matches may come out as [`Verdict::Miss`] or [`Verdict::TooOld`]: lines that cannot match are not
    /// compared with the clock.
    pub fn judge(&self, line: &[u8], clock: Clock, memory: &mut Memory) -> Verdict {
        self.run(line, None, clock, memory, Effort::Gated)
    }

    /// Judges one line whose time the source knows (a journal): no date is looked for in it.
    pub fn judge_at(&self, line: &[u8], given: impl Into<Given>, clock: Clock, memory: &mut Memory) -> Verdict {
        self.run(line, Some(given.into()), clock, memory, Effort::Gated)
    }

    /// Judges one line without the gate; for tests of it.
    #[doc(hidden)]
    pub fn judge_plain(&self, line: &[u8], clock: Clock, memory: &mut Memory) -> Verdict {
        self.run(line, None, clock, memory, Effort::Plain)
    }

    /// Judges one line and tells everything that was seen on the way; with `check_all` every `failregex` is tried.
    pub fn examine(&self, line: &[u8], clock: Clock, memory: &mut Memory, check_all: bool) -> Examination {
        self.look_closely(line, None, clock, memory, check_all)
    }

    /// [`Filter::examine`] for a line whose time the source knows.
    pub fn examine_at(
        &self,
        line: &[u8],
        given: impl Into<Given>,
        clock: Clock,
        memory: &mut Memory,
        check_all: bool,
    ) -> Examination {
        self.look_closely(line, Some(given.into()), clock, memory, check_all)
    }

    /// The date of one line; for tests of its short ways, with which `plain` does without.
    #[doc(hidden)]
    pub fn date(&self, line: &[u8], clock: Clock, memory: &mut Memory, plain: bool) -> Option<DateHit> {
        let mut decoded = String::new();
        let text = line::decode(line, &mut decoded);
        let (dates, scratch) = (&mut memory.dates, &mut memory.scratch);
        let found = if plain {
            self.dates.find_plainly(text, clock.now, dates, scratch)?
        } else {
            self.dates.find(text, clock.now, dates, scratch)?
        };
        Some(DateHit {
            template: found.template,
            name: self.dates.names().nth(found.template).unwrap_or("").to_owned(),
            range: found.range,
            zoned: found.zoned,
            time: found.time,
        })
    }

    /// Names of the date templates in use, in the order configured, as `fail2ban-regex` prints them.
    pub fn date_templates(&self) -> impl Iterator<Item = &str> {
        self.dates.names()
    }

    /// A date template in full, by its number.
    pub fn date_template(&self, number: usize, memory: &Memory) -> Option<DateTemplate> {
        self.dates.details(number, &memory.dates)
    }

    /// The numbers of the date templates in the order in which they are tried by now.
    pub fn date_order<'a>(&self, memory: &'a Memory) -> &'a [usize] {
        memory.dates.order()
    }

    /// Whether rules see several lines together: then every line has to be given to the same [`Memory`].
    pub fn spans_lines(&self) -> bool {
        self.maxlines > 1
    }

    /// Whether lines that cannot match are passed over cheaply.
    pub fn has_gate(&self) -> bool {
        self.gate.is_some()
    }

    /// Named groups of the prefregex and of a `failregex`, in the order of the pattern.
    pub fn field_names(&self, rule: usize) -> impl Iterator<Item = &str> {
        let of_rule = self.rules.failregex.get(rule);
        self.rules
            .prefregex
            .iter()
            .chain(of_rule)
            .flat_map(|rule| rule.regex.names())
            .map(|(name, _)| &**name)
    }

    /// The expanded `failregex` list, as `get JAIL failregex` shows it.
    pub fn failregex(&self) -> &[String] {
        &self.shown.failregex
    }

    /// The expanded `ignoreregex` list.
    pub fn ignoreregex(&self) -> &[String] {
        &self.shown.ignoreregex
    }

    /// The expanded `prefregex`.
    pub fn prefregex(&self) -> Option<&str> {
        self.rules.prefregex.as_ref().map(|rule| rule.text.as_str())
    }
}

//! A whole log, jail by jail: who fails how often, and who would have been banned when.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use stockade_core::{Effect, Failure, FailureId, Jail, JailName, Timestamp};
use stockade_filter::{Clock, Memory, Verdict, Who};

use super::{Asked, SHOWN_CHARS, local, now, span};
use crate::screen::{Screen, Style, shown};

/// A findtime that makes no line too old.
const FOR_EVER: i64 = i64::MAX / 4_000_000;
/// Most addresses that are shown of a jail.
const SHOWN_IDS: usize = 40;
/// Longest line that is read whole.
const LINE_LIMIT: u64 = 1 << 20;

/// What a jail finds in the log.
struct Tally<'a> {
    asked: &'a Asked,
    memory: Memory,
    jail: Jail,
    /// Lines by what became of them.
    missed: u64,
    ignored: u64,
    unusable: u64,
    failures: u64,
    /// How often each rule matched.
    rules: Vec<u64>,
    names: u64,
    people: HashMap<FailureId, Person>,
    order: Vec<FailureId>,
}

/// Somebody who fails.
struct Person {
    failures: u64,
    first: Timestamp,
    last: Timestamp,
    ignored: Option<String>,
    /// When they were banned first, and in which line.
    banned: Option<(Timestamp, u64)>,
}

/// Explains a log; true if a jail finds a failure.
pub(super) fn explain(jails: &[Asked], path: &OsStr) -> io::Result<bool> {
    let mut tallies: Vec<Tally<'_>> = jails.iter().filter_map(Tally::new).collect();
    let mut lines = 0;
    if path == "-" {
        read(io::stdin().lock(), &mut tallies, &mut lines)?;
    } else {
        read(BufReader::new(File::open(path)?), &mut tallies, &mut lines)?;
    }
    let mut screen = Screen::new();
    screen.line(&[(Style::Title, &format!("{lines} lines"))]);
    let (found, silent): (Vec<&Tally<'_>>, Vec<&Tally<'_>>) = tallies.iter().partition(|tally| tally.failures > 0);
    for tally in &found {
        screen.blank();
        tally.show(&mut screen);
    }
    if !silent.is_empty() {
        let names: Vec<String> = silent.iter().map(|tally| shown(&tally.asked.config.name, 60)).collect();
        screen.blank();
        screen.line(&[(Style::Dim, &format!("no failures in {}", names.join(", ")))]);
    }
    Ok(!found.is_empty())
}

fn read(mut log: impl BufRead, tallies: &mut [Tally<'_>], lines: &mut u64) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        // What is beyond the limit is taken for a line of its own: memory stays bounded.
        if io::Read::take(&mut log, LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        *lines += 1;
        for tally in &mut *tallies {
            tally.take(line.trim_ascii_end(), *lines);
        }
    }
}

impl<'a> Tally<'a> {
    fn new(asked: &'a Asked) -> Option<Self> {
        Some(Self {
            asked,
            memory: Memory::default(),
            jail: Jail::new(JailName::new(&asked.config.name)?, asked.setup.settings.clone()),
            missed: 0,
            ignored: 0,
            unusable: 0,
            failures: 0,
            rules: vec![0; asked.settings().failregex.len()],
            names: 0,
            people: HashMap::new(),
            order: Vec::new(),
        })
    }

    fn take(&mut self, line: &[u8], number: u64) {
        let clock = Clock {
            now: now(),
            in_operation: false,
            findtime: FOR_EVER,
        };
        let found = match self.asked.filter.judge(line, clock, &mut self.memory) {
            Verdict::Match(found) => found,
            Verdict::Miss => {
                self.missed += 1;
                return;
            }
            Verdict::Ignored => {
                self.ignored += 1;
                return;
            }
            Verdict::Unusable(_) | Verdict::TooOld | Verdict::Undated | Verdict::Overrun(_) => {
                self.unusable += 1;
                return;
            }
        };
        self.failures += 1;
        if let Some(count) = self.rules.get_mut(found.rule) {
            *count += 1;
        }
        let Who::Id(id) = found.who else {
            self.names += 1;
            return;
        };
        let ignored = self.asked.ignored(&id);
        let order = &mut self.order;
        let person = self.people.entry(id.clone()).or_insert_with(|| {
            order.push(id.clone());
            Person {
                failures: 0,
                first: found.at,
                last: found.at,
                ignored: ignored.clone(),
                banned: None,
            }
        });
        person.failures += 1;
        person.last = found.at;
        if ignored.is_some() {
            return;
        }
        // The clock of the log: as if each line had been read when it was written.
        let mut effects = Vec::new();
        self.jail.on_tick(found.at, &mut effects);
        let failure = Failure {
            id,
            at: found.at,
            attempts: 1,
            lines: Vec::new(),
            fields: found.fields,
        };
        // Who was banned before is not known here.
        self.jail.on_failure(
            failure,
            &mut stockade_core::Offenders::default(),
            found.at,
            &mut effects,
        );
        for effect in effects {
            if let Effect::Ban(ban) = effect
                && let Some(person) = self.people.get_mut(&ban.id)
            {
                person.banned.get_or_insert((found.at, number));
            }
        }
    }

    fn show(&self, screen: &mut Screen) {
        let settings = &self.asked.setup.settings;
        screen.line(&[
            (Style::Title, &shown(&self.asked.config.name, 60)),
            (
                Style::Dim,
                &format!(
                    "  maxretry {} within {}",
                    settings.maxretry.max(1),
                    span(settings.findtime.0)
                ),
            ),
        ]);
        let mut sums = vec![format!("{} failures", self.failures)];
        for (count, what) in [
            (self.ignored, "helped only or were ignored by ignoreregex"),
            (
                self.unusable,
                "matched and do not count (no date, or nobody to hold responsible)",
            ),
            (self.names, "name a host, which the server would look up"),
        ] {
            if count > 0 {
                sums.push(format!("{count} {what}"));
            }
        }
        screen.line(&[(Style::Plain, &format!("  {}", sums.join("; ")))]);
        let mut ids: Vec<&FailureId> = self.order.iter().collect();
        ids.sort_by_key(|id| std::cmp::Reverse(self.people.get(*id).map_or(0, |person| person.failures)));
        for id in ids.iter().take(SHOWN_IDS) {
            let Some(person) = self.people.get(*id) else { continue };
            let (style, fate) = match (&person.ignored, person.banned) {
                (Some(why), _) => (Style::Good, format!("ignored: {why}")),
                (None, Some((at, line))) => (Style::Bad, format!("banned {}, line {line}", local(at))),
                (None, None) => (Style::Dim, "not banned".to_owned()),
            };
            screen.line(&[
                (Style::Name, &format!("  {:<40}", shown(&id.to_string(), SHOWN_CHARS))),
                (
                    Style::Plain,
                    &format!(
                        " {:>7}  {} … {}  ",
                        person.failures,
                        local(person.first),
                        local(person.last)
                    ),
                ),
                (style, &fate),
            ]);
        }
        if ids.len() > SHOWN_IDS {
            screen.line(&[(Style::Dim, &format!("  and {} more", ids.len() - SHOWN_IDS))]);
        }
        for (index, count) in self.rules.iter().enumerate().filter(|(_, count)| **count > 0) {
            let place = crate::check::place_of_rule(&self.asked.config, "failregex", index);
            screen.line(&[(
                Style::Dim,
                &format!("  failregex {:<3} {count:>8} times, {place}", index + 1),
            )]);
        }
    }
}

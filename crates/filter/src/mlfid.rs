//! Lines of one connection belong together: `<F-MLFID>` and the memory behind it (behaviour spec 2.7).

use std::collections::{HashMap, VecDeque};

use stockade_core::{Fields, LineText, Timestamp};

use crate::Who;
use crate::closer::{Groups, RuleHit};

/// As many connections as Fail2Ban remembers.
const SESSIONS: usize = 100;
/// Microseconds after which an untouched connection is forgotten.
const LIFETIME: i64 = 300 * 1_000_000;
/// Lines and users kept of one connection; a log writer must not fill the memory.
const KEPT: usize = 50;
/// Bytes of lines kept of one connection; the last line is kept whatever its length.
const KEPT_BYTES: usize = 64 << 10;

/// All connections one jail remembers.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    held: HashMap<Box<str>, Session>,
    /// Keys by birth, with those forgotten since; the number tells a reborn session from its former life.
    births: VecDeque<(u64, Box<str>)>,
    counter: u64,
}

#[derive(Debug, Default)]
struct Session {
    born: u64,
    touched: i64,
    who: Option<Who>,
    fields: Fields,
    users: Vec<Box<str>>,
    /// Lines not yet delivered with a failure.
    lines: Vec<LineText>,
    /// A failure waits for somebody to blame.
    pending: bool,
    /// What a closer look shows of it.
    shown: Option<Groups>,
}

/// What one line says about its connection.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) who: Option<Who>,
    pub(crate) fields: Fields,
    /// The line; several if the rule spans several.
    pub(crate) lines: Vec<LineText>,
    pub(crate) nofail: bool,
    pub(crate) gained: bool,
    pub(crate) forget: bool,
    /// Where a closer look wants to know more.
    pub(crate) closely: Option<&'a mut RuleHit>,
}

/// A failure to be counted.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) who: Who,
    pub(crate) fields: Fields,
    pub(crate) lines: Vec<LineText>,
}

impl Sessions {
    /// Takes in a line of the connection `key`; a failure if somebody is now to be held responsible.
    pub(crate) fn step(&mut self, key: &str, step: Step<'_>, now: Timestamp) -> Option<Delivery> {
        self.forget_old(key, now);
        if !self.held.contains_key(key) {
            self.counter += 1;
            self.births.push_back((self.counter, key.into()));
            self.held.insert(
                key.into(),
                Session {
                    born: self.counter,
                    ..Session::default()
                },
            );
        }
        let session = self.held.get_mut(key)?;
        session.touched = now.micros();
        let forget = step.forget;
        let delivery = session.take(step);
        if forget {
            self.held.remove(key);
        }
        delivery
    }

    fn forget_old(&mut self, key: &str, now: Timestamp) {
        match self.held.get(key) {
            Some(session) if now.micros().saturating_sub(session.touched) <= LIFETIME => return,
            Some(_) => drop(self.held.remove(key)),
            None => {}
        }
        while self.held.len() >= SESSIONS {
            let Some((born, oldest)) = self.births.pop_front() else {
                break;
            };
            if self.held.get(&oldest).is_some_and(|session| session.born == born) {
                self.held.remove(&oldest);
            }
        }
        if self.births.len() > 4 * SESSIONS {
            let held = &self.held;
            self.births
                .retain(|(born, key)| held.get(key).is_some_and(|session| session.born == *born));
        }
    }
}

impl Session {
    fn take(&mut self, step: Step<'_>) -> Option<Delivery> {
        for (name, value) in step.fields.iter() {
            self.fields.set(name, value);
        }
        if let Some(user) = step.fields.get("user").filter(|user| !user.is_empty())
            && self.users.len() < KEPT
            && !self.users.iter().any(|known| &**known == user)
        {
            self.users.push(user.into());
        }
        // Seen on 1.0.2: what a connection's address is called later does not change it.
        let only_a_name = matches!((&step.who, &self.who), (Some(Who::Name(_)), Some(Who::Id(_))));
        if step.who.is_some() && !only_a_name {
            self.who.clone_from(&step.who);
        }
        // Whoever tries several names in one connection is guessing, whatever the line by itself means.
        let guessing = self.users.len() > 1;
        let helper = (step.nofail || step.gained) && !guessing;
        let waits = self.pending && !step.gained;
        if let Some(hit) = step.closely {
            // Who wants to see groups brings one at least: that of the session.
            if !hit.groups.is_empty() {
                hit.join(&mut self.shown, &self.users, step.forget);
            }
            hit.helps = helper && !waits;
            hit.who.clone_from(&self.who);
        }
        // A success settles what was held back, even if the success itself counts as a guess.
        if step.gained && self.pending {
            self.pending = false;
            self.lines.clear();
        }
        self.lines.extend(step.lines);
        let mut room = KEPT_BYTES;
        let fitting = self
            .lines
            .iter()
            .rev()
            .take(KEPT)
            .enumerate()
            .take_while(|(age, line)| {
                let fits = line.text.len() <= room || *age == 0;
                room = room.saturating_sub(line.text.len());
                fits
            });
        let excess = self.lines.len().saturating_sub(fitting.count());
        self.lines.drain(..excess);
        if helper && !self.pending {
            return None;
        }
        let Some(who) = self.who.clone() else {
            self.pending = true;
            return None;
        };
        self.pending = false;
        let mut fields = self.fields.clone();
        if !self.users.is_empty() {
            let users = self.users.join(", ");
            fields.set("users", crate::hit::beginning(&users, crate::hit::FIELD_KEPT));
        }
        Some(Delivery {
            who,
            fields,
            lines: std::mem::take(&mut self.lines),
        })
    }
}

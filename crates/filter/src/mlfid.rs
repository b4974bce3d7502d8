//! Lines of one connection belong together: `<F-MLFID>` and the memory behind it (behaviour spec 2.7).
//!
//! Most lines only add to a connection, and most connections come to nothing: so what is kept of one is text in a buffer that
//! the next connection uses again, and becomes a failure's fields and lines only when there is one.

use std::borrow::Cow;
use std::ops::Range;

use stockade_core::{Fields, LineText, Timestamp};

use crate::Who;
use crate::closer::{Groups, RuleHit};
use crate::failregex::{Name, Rules};
use crate::hit::{Lines, Named};

/// As many connections as Fail2Ban remembers.
const SESSIONS: usize = 100;
/// Microseconds after which an untouched connection is forgotten.
const LIFETIME: i64 = 300 * 1_000_000;
/// Lines and users kept of one connection; a log writer must not fill the memory.
const KEPT: usize = 50;
/// Bytes of lines kept of one connection; the last line is kept whatever its length.
const KEPT_BYTES: usize = 64 << 10;
/// The buffer of a connection is tidied up when it is longer than this.
const TIDY_BYTES: usize = 16 << 10;

/// All connections one jail remembers.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Those remembered, and forgotten ones whose buffers serve new ones.
    slots: Vec<Session>,
    /// Where in `slots` the forgotten ones are.
    free: Vec<Slot>,
    /// By the beginning of the hash, the first of the sessions that have it; nothing before there is a session.
    buckets: Vec<Option<Slot>>,
    /// The ends of the list by age.
    oldest: Option<Slot>,
    newest: Option<Slot>,
}

/// A place in [`Sessions::slots`].
type Slot = u8;

/// Bits of a hash that tell the bucket.
const BUCKET_BITS: u32 = 7;

#[derive(Debug, Default)]
struct Session {
    hash: u64,
    /// The next in its bucket.
    next: Option<Slot>,
    older: Option<Slot>,
    newer: Option<Slot>,
    /// Everything kept as text: key, values, users, lines.
    text: String,
    /// The key is the first so many bytes of it.
    key: usize,
    touched: i64,
    who: Option<Who>,
    fields: Vec<(Name, Range<usize>)>,
    users: Vec<Range<usize>>,
    /// Lines not yet delivered with a failure, and where their dates are.
    lines: Vec<(Range<usize>, Range<usize>)>,
    /// A failure waits for somebody to blame.
    pending: bool,
    /// `text` is tidied up when it is longer.
    tidy_at: usize,
    /// What a closer look shows of it.
    shown: Option<Groups>,
}

/// What one line says about its connection.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) who: Option<Who>,
    pub(crate) fields: &'a Named<'a>,
    /// The line; several if the rule spans several.
    pub(crate) lines: Lines<'a>,
    pub(crate) nofail: bool,
    pub(crate) gained: bool,
    pub(crate) forget: bool,
    /// Of a failure nothing is asked for but whose it is.
    pub(crate) brief: bool,
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
    pub(crate) fn step(&mut self, key: &str, step: Step<'_>, rules: &Rules, now: Timestamp) -> Option<Delivery> {
        let hash = hash(key);
        let slot = match self.find(key, hash, now) {
            Some(slot) => slot,
            None => self.begin(key, hash)?,
        };
        let session = self.get_mut(slot)?;
        session.touched = now.micros();
        let forget = step.forget;
        let delivery = session.take(step, rules);
        if forget {
            self.forget(slot);
        }
        delivery
    }

    fn get(&self, slot: Slot) -> Option<&Session> {
        self.slots.get(usize::from(slot))
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        self.slots.get_mut(usize::from(slot))
    }

    fn bucket(&mut self, hash: u64) -> Option<&mut Option<Slot>> {
        let number = usize::try_from(hash >> (u64::BITS - BUCKET_BITS)).ok()?;
        self.buckets.get_mut(number)
    }

    /// Where the session is; one that was not touched for too long is forgotten.
    fn find(&mut self, key: &str, hash: u64, now: Timestamp) -> Option<Slot> {
        let mut slot = (*self.bucket(hash)?)?;
        loop {
            let session = self.get(slot)?;
            if session.hash == hash && session.key() == key {
                if now.micros().saturating_sub(session.touched) <= LIFETIME {
                    return Some(slot);
                }
                self.forget(slot);
                return None;
            }
            slot = session.next?;
        }
    }

    /// A new session, for which the oldest give way.
    fn begin(&mut self, key: &str, hash: u64) -> Option<Slot> {
        if self.buckets.is_empty() {
            self.buckets.resize(1 << BUCKET_BITS, None);
        }
        while self.len() >= SESSIONS {
            self.forget(self.oldest?);
        }
        let slot = if let Some(slot) = self.free.pop() {
            slot
        } else {
            self.slots.push(Session::default());
            Slot::try_from(self.slots.len() - 1).ok()?
        };
        let next = self.bucket(hash)?.replace(slot);
        let older = self.newest.replace(slot);
        let session = self.get_mut(slot)?;
        session.reset(key);
        (session.hash, session.next) = (hash, next);
        (session.older, session.newer) = (older, None);
        match older.and_then(|older| self.get_mut(older)) {
            Some(older) => older.newer = Some(slot),
            None => self.oldest = Some(slot),
        }
        Some(slot)
    }

    /// How many are remembered.
    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn forget(&mut self, slot: Slot) {
        let Some(session) = self.get_mut(slot) else { return };
        let (hash, next, older, newer) = (session.hash, session.next, session.older, session.newer);
        // The buffers of a long session are not worth keeping.
        if session.text.capacity() > TIDY_BYTES {
            *session = Session::default();
        }
        match older.and_then(|older| self.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        let first = self.bucket(hash).and_then(|first| *first);
        if first == Some(slot) {
            if let Some(first) = self.bucket(hash) {
                *first = next;
            }
        } else {
            let mut before = first.and_then(|first| self.get_mut(first));
            while let Some(session) = before {
                if session.next == Some(slot) {
                    session.next = next;
                    break;
                }
                let following = session.next;
                before = following.and_then(|slot| self.get_mut(slot));
            }
        }
        self.free.push(slot);
    }
}

/// Keys of the same hash only cost a comparison, so it need not be a good one.
fn hash(key: &str) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    key.as_bytes().chunks(8).fold(0, |hash: u64, bytes| {
        (hash.rotate_left(5) ^ word(bytes)).wrapping_mul(0x517c_c1b7_2722_0a95)
    })
}

impl Session {
    fn reset(&mut self, key: &str) {
        self.text.clear();
        self.text.push_str(key);
        self.key = key.len();
        self.who = None;
        self.fields.clear();
        self.users.clear();
        self.lines.clear();
        self.pending = false;
        self.tidy_at = TIDY_BYTES;
        self.shown = None;
    }

    fn key(&self) -> &str {
        self.read(&(0..self.key))
    }

    fn read(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn set(&mut self, name: Name, value: &str) {
        let known = self.fields.iter().position(|(known, _)| *known == name);
        let old = known.and_then(|place| self.fields.get(place));
        if old.is_some_and(|(_, old)| self.read(old) == value) {
            return;
        }
        let kept = self.keep(value);
        match known.and_then(|place| self.fields.get_mut(place)) {
            Some((_, old)) => *old = kept,
            None => self.fields.push((name, kept)),
        }
    }

    fn take(&mut self, step: Step<'_>, rules: &Rules) -> Option<Delivery> {
        self.tidy();
        for (name, value) in step.fields.iter() {
            self.set(name, value);
        }
        let user = step.fields.iter().find(|(name, _)| rules.user == Some(*name));
        if let Some((_, user)) = user.filter(|(_, user)| !user.is_empty())
            && self.users.len() < KEPT
            && !self.users.iter().any(|known| self.read(known) == user)
        {
            let user = self.keep(user);
            self.users.push(user);
        }
        // Seen on 1.0.2: what a connection's address is called later does not change it.
        let only_a_name = matches!((&step.who, &self.who), (Some(Who::Name(_)), Some(Who::Id(_))));
        if step.who.is_some() && !only_a_name {
            self.who = step.who;
        }
        // Whoever tries several names in one connection is guessing, whatever the line by itself means.
        let guessing = self.users.len() > 1;
        let helper = (step.nofail || step.gained) && !guessing;
        let waits = self.pending && !step.gained;
        if let Some(hit) = step.closely {
            // Who wants to see groups brings one at least: that of the session.
            if !hit.groups.is_empty() {
                let users: Vec<Box<str>> = self.users.iter().map(|user| self.read(user).into()).collect();
                hit.join(&mut self.shown, &users, step.forget);
            }
            hit.helps = helper && !waits;
            hit.who.clone_from(&self.who);
        }
        // A success settles what was held back, even if the success itself counts as a guess.
        if step.gained && self.pending {
            self.pending = false;
            self.lines.clear();
        }
        match step.lines {
            Lines::One(text, date) => self.add_line(text, date),
            Lines::Several(lines) => {
                for line in lines {
                    self.add_line(&line.text, line.date);
                }
            }
        }
        let mut room = KEPT_BYTES;
        let fitting = self
            .lines
            .iter()
            .rev()
            .take(KEPT)
            .enumerate()
            .take_while(|(age, (line, _))| {
                let fits = line.len() <= room || *age == 0;
                room = room.saturating_sub(line.len());
                fits
            });
        let excess = self.lines.len().saturating_sub(fitting.count());
        self.lines.drain(..excess);
        if helper && !self.pending {
            return None;
        }
        let brief = step.brief;
        let Some(who) = self.who.clone() else {
            self.pending = true;
            return None;
        };
        self.pending = false;
        let delivery = Delivery {
            who,
            fields: if brief { Fields::default() } else { self.fields(rules) },
            lines: self.lines.iter().map(|(text, date)| self.line(text, date)).collect(),
        };
        self.lines.clear();
        Some(delivery)
    }

    fn add_line(&mut self, text: &str, date: Range<usize>) {
        let text = self.keep(text);
        self.lines.push((text, date));
    }

    fn line(&self, text: &Range<usize>, date: &Range<usize>) -> LineText {
        LineText {
            text: self.read(text).into(),
            date: date.clone(),
        }
    }

    fn fields(&self, rules: &Rules) -> Fields {
        let mut fields = Fields::default();
        let bytes = self
            .fields
            .iter()
            .map(|(name, value)| rules.name(*name).len() + value.len());
        let users: usize = "users".len() + self.users.iter().map(|user| user.len() + ", ".len()).sum::<usize>();
        fields.reserve(self.fields.len() + 1, bytes.sum::<usize>() + users);
        for (name, value) in &self.fields {
            fields.set(rules.name(*name), self.read(value));
        }
        if !self.users.is_empty() {
            let users: Cow<'_, str> = match self.users.as_slice() {
                [user] => self.read(user).into(),
                users => {
                    let users: Vec<&str> = users.iter().map(|user| self.read(user)).collect();
                    users.join(", ").into()
                }
            };
            fields.set("users", crate::hit::beginning(&users, crate::hit::FIELD_KEPT));
        }
        fields
    }

    /// Drops text that nothing refers to any more.
    fn tidy(&mut self) {
        if self.text.len() <= self.tidy_at {
            return;
        }
        let mut tidy = String::with_capacity(self.text.len() / 2);
        let mut moved = |range: &mut Range<usize>| {
            let start = tidy.len();
            tidy.push_str(self.text.get(range.clone()).unwrap_or_default());
            *range = start..tidy.len();
        };
        moved(&mut (0..self.key));
        let values = self.fields.iter_mut().map(|(_, value)| value);
        let lines = self.lines.iter_mut().map(|(line, _)| line);
        values.chain(&mut self.users).chain(lines).for_each(moved);
        self.text = tidy;
        self.tidy_at = TIDY_BYTES.max(2 * self.text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_connection_keeps_what_is_needed_of_it_and_no_more() {
        let mut rules = Rules::default();
        rules.names = vec!["user".into(), "port".into()];
        rules.user = Some(0);
        let mut sessions = Sessions::default();
        let now = Timestamp::from_secs(1_795_305_600);
        for round in 0..5_000 {
            let line = format!("line {round} {}", "x".repeat(100));
            let port = format!("{round}");
            let mut fields = Named::default();
            fields.set(0, "bob");
            fields.set(1, &port);
            let step = Step {
                who: None,
                fields: &fields,
                lines: Lines::One(&line, 0..4),
                nofail: round < 4_999,
                gained: false,
                forget: false,
                brief: false,
                closely: None,
            };
            assert!(sessions.step("key", step, &rules, now).is_none());
        }
        let session = sessions.slots.first().unwrap();
        assert!(session.text.len() < 3 * TIDY_BYTES, "{}", session.text.len());
        assert_eq!((session.lines.len(), session.key()), (KEPT, "key"));
        let step = Step {
            who: Some(Who::Name("example.org".into())),
            fields: &Named::default(),
            lines: Lines::One("last", 0..0),
            nofail: false,
            gained: false,
            forget: true,
            brief: false,
            closely: None,
        };
        let delivery = sessions.step("key", step, &rules, now).unwrap();
        let shown: Vec<_> = delivery.fields.iter().collect();
        assert_eq!(shown, [("user", "bob"), ("port", "4999"), ("users", "bob")]);
        assert_eq!(delivery.lines.len(), KEPT);
        assert!(
            delivery
                .lines
                .iter()
                .rev()
                .skip(1)
                .all(|line| line.text.starts_with("line 49"))
        );
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn the_oldest_sessions_give_way_and_keys_of_one_hash_are_kept_apart() {
        let now = Timestamp::from_secs(0);
        for hash in [|_| 7, |number: u64| number << 57, |number: u64| number << 63] {
            let mut sessions = Sessions::default();
            for number in 0..250_u64 {
                sessions.begin(&format!("key {number}"), hash(number)).unwrap();
            }
            assert_eq!(sessions.len(), SESSIONS);
            for number in 0..250 {
                let found = sessions.find(&format!("key {number}"), hash(number), now);
                assert_eq!(found.is_some(), number >= 150, "{number}");
            }
        }
    }

    #[test]
    fn sessions_are_found_forgotten_and_begun_as_a_plain_list_does() {
        let mut sessions = Sessions::default();
        // Oldest first: key, hash, when touched.
        let mut plain: Vec<(String, u64, i64)> = Vec::new();
        let mut random = 1_u64;
        let mut pick = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut hits, mut old) = (0, 0);
        for round in 0..60_000_i64 {
            let now = Timestamp::from_secs(2 * round);
            let number = pick(160);
            let (key, hash) = (format!("key {number}"), ((number % 40) << 58) | (number % 3));
            let known = plain.iter().position(|(known, ..)| *known == key);
            let fresh = known.filter(|place| now.micros() - plain[*place].2 <= LIFETIME);
            hits += usize::from(fresh.is_some());
            old += usize::from(known.is_some() && fresh.is_none());
            let found = sessions.find(&key, hash, now);
            assert_eq!(found.is_some(), fresh.is_some(), "{key} in round {round}");
            if let (None, Some(place)) = (fresh, known) {
                plain.remove(place);
            }
            if let (Some(slot), Some(place)) = (found, fresh) {
                assert_eq!(sessions.get(slot).unwrap().key(), key);
                if pick(3) == 0 {
                    sessions.forget(slot);
                    plain.remove(place);
                }
            } else {
                let slot = sessions.begin(&key, hash).unwrap();
                sessions.get_mut(slot).unwrap().touched = now.micros();
                if plain.len() == SESSIONS {
                    plain.remove(0);
                }
                plain.push((key, hash, now.micros()));
            }
            assert_eq!(sessions.len(), plain.len());
            if round % 500 == 0 {
                let mut by_age = Vec::new();
                let mut slot = sessions.oldest;
                while let Some(session) = slot.and_then(|slot| sessions.get(slot)) {
                    by_age.push(session.key());
                    slot = session.newer;
                }
                let expected: Vec<&str> = plain.iter().map(|(key, ..)| key.as_str()).collect();
                assert_eq!(by_age, expected);
            }
        }
        assert!(hits > 5_000 && old > 100, "{hits} {old}");
    }
}

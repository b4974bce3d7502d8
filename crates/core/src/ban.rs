//! Who is banned, ordered by when it ends.

use std::collections::{BTreeMap, HashMap};

use crate::failure::Fields;
use crate::{Ban, FailureId, Seconds, Timestamp, Until};

/// So many bytes of log lines and fields are kept with the bans at most; beyond it a ban is kept without them.
///
/// They serve the tags of `actionunban` only; what `actionban` gets is always whole.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// The bans of a jail: found by id and by end in logarithmic time.
#[derive(Clone, Debug, Default)]
pub struct BanList {
    bans: HashMap<FailureId, Held>,
    // The number breaks ties in the order in which bans were made, as upstream lists them.
    by_end: BTreeMap<(Until, u64), FailureId>,
    next_number: u64,
    total: u64,
    text_bytes: usize,
}

#[derive(Clone, Debug)]
struct Held {
    ban: Ban,
    number: u64,
}

/// What adding a ban came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// The id is banned already, since then, and the ban ends as before.
    Known(Timestamp),
    /// The id is banned already, since then; the ban now ends later.
    Prolonged(Timestamp),
}

impl BanList {
    /// Adds a ban, or prolongs the one there is if the new one ends later.
    ///
    /// Upstream: behaviour spec 4.4; the beginning stays, the length grows.
    pub fn add(&mut self, ban: &Ban) -> Added {
        if let Some(held) = self.bans.get_mut(&ban.id) {
            if ban.until <= held.ban.until {
                return Added::Known(held.ban.since);
            }
            self.by_end.remove(&(held.ban.until, held.number));
            held.ban.until = ban.until;
            held.ban.bantime = length(held.ban.since, ban.until, ban.bantime);
            self.by_end.insert((ban.until, held.number), ban.id.clone());
            return Added::Prolonged(held.ban.since);
        }
        let mut kept = ban.clone();
        if self.text_bytes < MAX_TEXT_BYTES {
            kept.matches.shrink_to_fit();
            self.text_bytes += text_bytes(&kept);
        } else {
            kept.matches = Vec::new();
            kept.fields = Fields::default();
        }
        let number = self.next_number;
        self.next_number += 1;
        self.total += 1;
        self.by_end.insert((ban.until, number), ban.id.clone());
        self.bans.insert(ban.id.clone(), Held { ban: kept, number });
        Added::New
    }

    /// Removes a ban.
    pub fn remove(&mut self, id: &FailureId) -> Option<Ban> {
        let Held { ban, number } = self.bans.remove(id)?;
        self.by_end.remove(&(ban.until, number));
        self.text_bytes = self.text_bytes.saturating_sub(text_bytes(&ban));
        Some(ban)
    }

    /// Removes and yields one ban whose end lies before `now`; at the end itself a ban still holds.
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<Ban> {
        let ((until, _), id) = self.by_end.first_key_value()?;
        if *until >= Until::At(now) {
            return None;
        }
        let id = id.clone();
        self.remove(&id)
    }

    /// Removes all bans, ordered by end.
    pub fn drain(&mut self) -> Vec<Ban> {
        let order = std::mem::take(&mut self.by_end);
        let mut bans = std::mem::take(&mut self.bans);
        self.text_bytes = 0;
        order
            .into_values()
            .filter_map(|id| bans.remove(&id))
            .map(|held| held.ban)
            .collect()
    }

    /// The first moment at which a ban is over.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        match self.by_end.first_key_value()? {
            ((Until::At(end), _), _) => Some(Timestamp::from_micros(end.micros().saturating_add(1))),
            ((Until::Forever, _), _) => None,
        }
    }

    /// The ban of an id.
    pub fn get(&self, id: &FailureId) -> Option<&Ban> {
        self.bans.get(id).map(|held| &held.ban)
    }

    /// All bans, ordered by end.
    pub fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.by_end.values().filter_map(|id| self.get(id))
    }

    /// All bans, in the order in which they were made.
    pub fn as_made(&self) -> Vec<&Ban> {
        let mut held: Vec<&Held> = self.bans.values().collect();
        held.sort_unstable_by_key(|held| held.number);
        held.into_iter().map(|held| &held.ban).collect()
    }

    /// How many ids are banned.
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    /// Whether nobody is banned.
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    /// How many bans there ever were.
    pub fn total(&self) -> u64 {
        self.total
    }
}

fn text_bytes(ban: &Ban) -> usize {
    ban.matches.iter().map(|line| line.text.len()).sum::<usize>() + ban.fields.bytes()
}

/// The length of a ban from `since` to `until` in whole seconds; `forever` is what the jail writes for no end.
fn length(since: Timestamp, until: Until, forever: Seconds) -> Seconds {
    match until {
        Until::At(end) => Seconds(end.since(since) / 1_000_000),
        Until::Forever => forever,
    }
}

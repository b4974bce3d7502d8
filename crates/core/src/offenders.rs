//! Who was banned before, in which jail and how often: what `bantime.increment` asks at each failure.
//!
//! It is the table of latest bans of the database, held in memory, so that nobody waits for the disk.

use std::collections::HashMap;

use crate::{Ban, FailureId, JailName, Seconds, Timestamp, Until};

/// So many latest bans are remembered at most; then those that are longest ago are forgotten.
pub const MOST_OFFENDERS: usize = 1_000_000;

/// And no more than so many bytes of ids that are no addresses.
const MOST_TEXT_BYTES: usize = 64 << 20;

/// Earlier bans of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offender {
    /// How many.
    pub count: u32,
    /// When the last one began, in whole seconds.
    pub last: Timestamp,
}

/// The latest ban of somebody in a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestBan {
    /// When it began.
    pub since: Timestamp,
    /// How long it was to last; negative is for ever.
    pub bantime: Seconds,
    /// Which ban it was.
    pub count: u32,
}

/// The latest bans of all jails. Remembers nothing until it is filled for the first time.
#[derive(Clone, Debug, Default)]
pub struct Offenders {
    jails: HashMap<JailName, HashMap<FailureId, LatestBan>>,
    count: usize,
    /// Bytes of ids that are texts.
    text_bytes: usize,
    filled: bool,
}

impl Offenders {
    /// Takes over what is known from earlier runs; from now on bans are remembered.
    pub fn fill(&mut self, bans: impl IntoIterator<Item = (JailName, FailureId, LatestBan)>) {
        self.filled = true;
        for (jail, id, ban) in bans {
            self.insert(&jail, &id, ban);
        }
    }

    /// Whether it was filled.
    pub fn is_filled(&self) -> bool {
        self.filled
    }

    /// The earlier bans of an id in one jail.
    pub fn in_jail(&self, jail: &JailName, id: &FailureId) -> Option<Offender> {
        self.jails.get(jail)?.get(id).map(offender)
    }

    /// The earlier bans of an id in all jails together.
    pub fn anywhere(&self, id: &FailureId) -> Option<Offender> {
        let known = self.jails.values().filter_map(|bans| bans.get(id)).map(offender);
        known.reduce(|sum, other| Offender {
            count: sum.count.saturating_add(other.count),
            last: sum.last.max(other.last),
        })
    }

    /// Remembers a ban.
    pub fn note(&mut self, jail: &JailName, ban: &Ban) {
        if self.filled {
            let latest = LatestBan {
                since: ban.since.rounded(),
                bantime: ban.bantime,
                count: ban.count,
            };
            self.insert(jail, &ban.id, latest);
        }
    }

    /// Forgets an id in a jail, or all of the jail.
    pub fn forget(&mut self, jail: &JailName, id: Option<&FailureId>) {
        if let Some(bans) = self.jails.get_mut(jail) {
            let gone: Vec<FailureId> = match id {
                Some(id) => bans.remove_entry(id).into_iter().map(|(id, _)| id).collect(),
                None => std::mem::take(bans).into_keys().collect(),
            };
            self.count -= gone.len();
            self.text_bytes -= gone.iter().map(text_bytes).sum::<usize>();
        }
    }

    /// Forgets bans that are old and over, as the database does: whoever is not permanently banned and whose ban began more than `age` ago,
    /// even if it had lasted three times as long.
    pub fn purge(&mut self, now: Timestamp, age: Seconds) {
        let oldest = now - age;
        self.retain(|ban| ban.since >= oldest || ban.bantime.0 == -1 || thrice(ban) >= Until::At(oldest));
    }

    /// How many latest bans are known.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn insert(&mut self, jail: &JailName, id: &FailureId, ban: LatestBan) {
        if self.count >= MOST_OFFENDERS || self.text_bytes >= MOST_TEXT_BYTES {
            self.forget_eldest();
        }
        let bans = match self.jails.get_mut(jail) {
            Some(bans) => bans,
            None => self.jails.entry(jail.clone()).or_default(),
        };
        if bans.insert(id.clone(), ban).is_none() {
            self.count += 1;
            self.text_bytes += text_bytes(id);
        }
    }

    /// Forgets an eighth of all, so that the search for the eldest is rare.
    fn forget_eldest(&mut self) {
        let mut times: Vec<Timestamp> = self
            .jails
            .values()
            .flat_map(HashMap::values)
            .map(|ban| ban.since)
            .collect();
        let eighth = times.len() / 8;
        let (_, limit, _) = times.select_nth_unstable(eighth);
        let limit = *limit;
        self.retain(|ban| ban.since > limit);
    }

    fn retain(&mut self, keep: impl Fn(&LatestBan) -> bool) {
        for bans in self.jails.values_mut() {
            bans.retain(|_, ban| keep(ban));
        }
        self.jails.retain(|_, bans| !bans.is_empty());
        self.count = self.jails.values().map(HashMap::len).sum();
        self.text_bytes = self.jails.values().flat_map(HashMap::keys).map(text_bytes).sum();
    }
}

fn text_bytes(id: &FailureId) -> usize {
    match id {
        FailureId::Text(text) => text.len(),
        FailureId::Addr(_) | FailureId::Net(_) => 0,
    }
}

fn offender(ban: &LatestBan) -> Offender {
    Offender {
        count: ban.count,
        last: ban.since,
    }
}

fn thrice(ban: &LatestBan) -> Until {
    Until::after(ban.since, Seconds(ban.bantime.0.saturating_mul(3).max(0)))
}

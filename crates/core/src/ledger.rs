//! Failures counted per id, until there are enough of them.
//!
//! This is not a sliding window: when failures stretch over more than `findtime`, the count shrinks in proportion.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::failure::Fields;
use crate::packed::Packed;
use crate::{Failure, FailureId, LineText, Seconds, Timestamp};

/// So many ids are remembered at most; then those that failed longest ago are forgotten.
///
/// Only somebody who owns more addresses than this gets anything from it, and gets as much from failing once per address.
const MAX_REMEMBERED: usize = 1_000_000;

/// So many bytes of log lines and fields are kept at most; beyond it failures still count, but their text is not kept.
const MAX_TEXT_BYTES: usize = 32 << 20;

/// So many bytes of log lines are kept with one id at most, whatever `maxmatches` says; the latest line always.
const MAX_TICKET_BYTES: usize = 64 << 10;

/// What is known of one id while it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ticket {
    /// Where counting begins: the first failure, or `findtime` before the last if that is later.
    pub first: Timestamp,
    /// The latest failure.
    pub last: Timestamp,
    /// The count that is compared with `maxretry`.
    pub retry: u32,
    /// All failures, not shrunk.
    pub failures: u32,
    /// The last log lines, oldest first.
    pub matches: Vec<LineText>,
    /// Fields of the first failure; later ones do not change them. Seen on 1.0.2.
    pub fields: Fields,
}

/// What is kept of an id that has not failed often enough: most fail once and never again, so it is small.
#[derive(Clone, Debug)]
struct Entry {
    first: Timestamp,
    last: Timestamp,
    retry: u32,
    failures: u32,
    text: Packed,
}

impl Entry {
    fn ticket(&self) -> Ticket {
        let (matches, fields) = self.text.unpack();
        Ticket {
            first: self.first,
            last: self.last,
            retry: self.retry,
            failures: self.failures,
            matches,
            fields,
        }
    }
}

/// Entries by id. An address, which nearly every id is, takes 16 bytes.
#[derive(Clone, Debug, Default)]
struct Entries {
    addresses: HashMap<[u8; 16], Entry>,
    others: HashMap<FailureId, Entry>,
}

/// An address as that of IPv6; no other id has the same, since IPv4-mapped addresses are held as IPv4.
fn key(id: &FailureId) -> Option<[u8; 16]> {
    match id {
        FailureId::Addr(IpAddr::V4(address)) => Some(address.to_ipv6_mapped().octets()),
        FailureId::Addr(IpAddr::V6(address)) => Some(address.octets()),
        FailureId::Net(_) | FailureId::Text(_) => None,
    }
}

impl Entries {
    fn get(&self, id: &FailureId) -> Option<&Entry> {
        match key(id) {
            Some(key) => self.addresses.get(&key),
            None => self.others.get(id),
        }
    }

    fn get_mut(&mut self, id: &FailureId) -> Option<&mut Entry> {
        match key(id) {
            Some(key) => self.addresses.get_mut(&key),
            None => self.others.get_mut(id),
        }
    }

    fn insert(&mut self, id: FailureId, entry: Entry) {
        match key(&id) {
            Some(key) => self.addresses.insert(key, entry),
            None => self.others.insert(id, entry),
        };
    }

    fn remove(&mut self, id: &FailureId) -> Option<Entry> {
        match key(id) {
            Some(key) => self.addresses.remove(&key),
            None => self.others.remove(id),
        }
    }

    fn values(&self) -> impl Iterator<Item = &Entry> {
        self.addresses.values().chain(self.others.values())
    }

    fn len(&self) -> usize {
        self.addresses.len() + self.others.len()
    }

    fn forget_until(&mut self, limit: Timestamp) {
        self.addresses.retain(|_, entry| entry.last > limit);
        self.others.retain(|_, entry| entry.last > limit);
        if self.addresses.capacity() > 4096 && self.addresses.capacity() / 4 > self.addresses.len() {
            self.addresses.shrink_to_fit();
        }
        if self.others.capacity() > 4096 && self.others.capacity() / 4 > self.others.len() {
            self.others.shrink_to_fit();
        }
    }
}

/// Counts failures per id and yields a [`Ticket`] when there are enough.
#[derive(Clone, Debug, Default)]
pub struct FailureLedger {
    entries: Entries,
    text_bytes: usize,
    total: u64,
    next_cleanup: Option<Timestamp>,
}

/// How often old failures are looked for at most.
const CLEANUP_INTERVAL: Seconds = Seconds(5);

impl FailureLedger {
    /// Counts a failure; yields the ticket, which is then forgotten here, when it makes `maxretry`.
    ///
    /// Upstream: behaviour spec 4.1.
    pub fn add(
        &mut self,
        failure: Failure,
        maxretry: u32,
        findtime: Seconds,
        maxmatches: usize,
    ) -> Option<(FailureId, Ticket)> {
        let Failure {
            id,
            at,
            attempts,
            lines,
            fields,
        } = failure;
        self.total = self.total.saturating_add(u64::from(attempts));
        let room = self.text_bytes < MAX_TEXT_BYTES;
        let Some(entry) = self.entries.get_mut(&id) else {
            let ticket = Ticket {
                first: at,
                last: at,
                retry: attempts,
                failures: attempts,
                matches: if room { latest(lines, maxmatches) } else { Vec::new() },
                fields: if room { fields } else { Fields::default() },
            };
            if attempts >= maxretry {
                return Some((id, ticket));
            }
            if self.entries.len() >= MAX_REMEMBERED {
                self.forget_eldest();
            }
            let text = Packed::new(&ticket.matches, &ticket.fields);
            self.text_bytes += text.len();
            let entry = Entry {
                first: at,
                last: at,
                retry: attempts,
                failures: attempts,
                text,
            };
            self.entries.insert(id, entry);
            return None;
        };
        if at > entry.last {
            entry.last = at;
            let start = at - findtime;
            if entry.first < start {
                entry.retry = shrunk(entry.retry, at.since(entry.first), findtime);
                entry.first = start;
            }
        }
        entry.retry = entry.retry.saturating_add(attempts);
        entry.failures = entry.failures.saturating_add(attempts);
        let enough = entry.retry >= maxretry;
        let mut ticket = entry.ticket();
        if room {
            ticket.matches.extend(lines);
        }
        ticket.matches = latest(ticket.matches, maxmatches);
        if enough {
            self.take(&id);
            return Some((id, ticket));
        }
        let before = entry.text.len();
        entry.text = Packed::new(&ticket.matches, &ticket.fields);
        self.text_bytes = (self.text_bytes + entry.text.len()).saturating_sub(before);
        None
    }

    /// Lets the latest failure of an id count for `more`; yields the ticket if that makes `maxretry`.
    ///
    /// It is one more failure in all sums, as upstream has it; what was counted already as enough counts no further. Seen on 1.0.2.
    pub fn weigh(&mut self, id: &FailureId, more: u32, maxretry: u32) -> Option<(FailureId, Ticket)> {
        let ticket = self.entries.get_mut(id)?;
        self.total = self.total.saturating_add(1);
        ticket.failures = ticket.failures.saturating_add(1);
        ticket.retry = ticket.retry.saturating_add(more);
        if ticket.retry >= maxretry { self.take(id) } else { None }
    }

    /// Forgets an id and hands out what was known of it.
    pub fn take(&mut self, id: &FailureId) -> Option<(FailureId, Ticket)> {
        let entry = self.entries.remove(id)?;
        self.text_bytes = self.text_bytes.saturating_sub(entry.text.len());
        Some((id.clone(), entry.ticket()))
    }

    /// Forgets ids whose latest failure is `findtime` or more ago, at most every five seconds; says when to come again.
    pub fn clean_up(&mut self, now: Timestamp, findtime: Seconds) -> Option<Timestamp> {
        if self.is_empty() {
            self.next_cleanup = None;
            return None;
        }
        if let Some(next) = self.next_cleanup
            && now < next
        {
            return Some(next);
        }
        let limit = now - findtime;
        self.entries.forget_until(limit);
        self.text_bytes = self.entries.values().map(|entry| entry.text.len()).sum();
        let eldest = self.entries.values().map(|entry| entry.last).min();
        self.next_cleanup = eldest.map(|last| (last + findtime).max(now + CLEANUP_INTERVAL));
        self.next_cleanup
    }

    /// What is remembered of an id.
    pub fn get(&self, id: &FailureId) -> Option<Ticket> {
        self.entries.get(id).map(Entry::ticket)
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// All failures ever counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Makes room for an eighth of the limit, so that the search for the eldest is rare.
    fn forget_eldest(&mut self) {
        let mut times: Vec<Timestamp> = self.entries.values().map(|entry| entry.last).collect();
        let (_, limit, _) = times.select_nth_unstable(MAX_REMEMBERED / 8);
        let limit = *limit;
        self.entries.forget_until(limit);
        self.text_bytes = self.entries.values().map(|entry| entry.text.len()).sum();
    }
}

/// The last lines: at most so many, and of more than one no more than [`MAX_TICKET_BYTES`].
fn latest(mut lines: Vec<LineText>, most: usize) -> Vec<LineText> {
    let mut bytes = 0;
    let fitting = lines.iter().rev().take(most).take_while(|line| {
        let first = bytes == 0;
        bytes += line.text.len() + 1;
        first || bytes <= MAX_TICKET_BYTES
    });
    let excess = lines.len() - fitting.count();
    lines.drain(..excess);
    lines
}

/// `retry` failures over `span` as a count over `findtime`, rounded to the nearest, halves to even.
///
/// The order of the operations is Python's, so that halves fall the same way.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "spans are far below 2^53 µs; a float cast saturates, and counts are not negative"
)]
fn shrunk(retry: u32, span_micros: i64, findtime: Seconds) -> u32 {
    let seconds = span_micros as f64 / 1e6;
    (f64::from(retry) / seconds * findtime.0 as f64).round_ties_even() as u32
}

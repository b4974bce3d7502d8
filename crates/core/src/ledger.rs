//! Failures counted per id, until there are enough of them.
//!
//! This is not a sliding window: when failures stretch over more than `findtime`, the count shrinks in proportion.

use crate::entries::{Entries, Entry};
use crate::failure::Fields;
use crate::packed::{pack, unpack};
use crate::phrases::Phrases;
use crate::{Failure, FailureId, LineText, Seconds, Timestamp};

/// So many ids are remembered at most; then those that failed longest ago are forgotten.
///
/// Only somebody who owns more addresses than this gets anything from it, and gets as much from failing once per address.
const MAX_REMEMBERED: usize = 1_000_000;

/// So many bytes are taken for all ids at most, log lines and fields included: an id need not be an address, and may be long.
const MAX_BYTES: usize = 128 << 20;

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

/// Counts failures per id and yields a [`Ticket`] when there are enough.
#[derive(Clone, Debug, Default)]
pub struct FailureLedger {
    entries: Entries,
    /// What lines have in common.
    phrases: Phrases,
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
        let room = self.entries.text_bytes() < MAX_TEXT_BYTES;
        let Some(mut entry) = self.entries.get(&id) else {
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
            if self.entries.len() >= MAX_REMEMBERED || self.entries.bytes() >= MAX_BYTES {
                self.forget_eldest();
            }
            let entry = Entry {
                first: at,
                last: at,
                retry: attempts,
                failures: attempts,
                text: self.phrases.shorten(&pack(&ticket.matches, &ticket.fields)),
            };
            self.entries.put(&id, &entry);
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
        let mut ticket = self.ticket(&entry);
        if room {
            ticket.matches.extend(lines);
        }
        ticket.matches = latest(ticket.matches, maxmatches);
        if entry.retry >= maxretry {
            self.take(&id);
            return Some((id, ticket));
        }
        // Who fails again is soon banned or forgotten, and comes by again until then: not worth the search.
        entry.text = Phrases::as_they_are(&pack(&ticket.matches, &ticket.fields));
        self.entries.put(&id, &entry);
        None
    }

    /// Lets the latest failure of an id count for `more`; yields the ticket if that makes `maxretry`.
    ///
    /// It is one more failure in all sums, as upstream has it; what was counted already as enough counts no further. Seen on 1.0.2.
    pub fn weigh(&mut self, id: &FailureId, more: u32, maxretry: u32) -> Option<(FailureId, Ticket)> {
        let mut entry = self.entries.get(id)?;
        self.total = self.total.saturating_add(1);
        entry.failures = entry.failures.saturating_add(1);
        entry.retry = entry.retry.saturating_add(more);
        self.entries.put(id, &entry);
        if entry.retry >= maxretry { self.take(id) } else { None }
    }

    /// Forgets an id and hands out what was known of it.
    pub fn take(&mut self, id: &FailureId) -> Option<(FailureId, Ticket)> {
        let entry = self.entries.remove(id)?;
        let ticket = self.ticket(&entry);
        if self.is_empty() {
            self.phrases = Phrases::default();
        }
        Some((id.clone(), ticket))
    }

    /// Forgets ids whose latest failure is `findtime` or more ago, at most every five seconds; says when to come again.
    pub fn clean_up(&mut self, now: Timestamp, findtime: Seconds) -> Option<Timestamp> {
        if self.is_empty() {
            self.phrases = Phrases::default();
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
        let eldest = self.entries.latest().min();
        self.next_cleanup = eldest.map(|last| (last + findtime).max(now + CLEANUP_INTERVAL));
        self.next_cleanup
    }

    /// What is remembered of an id.
    pub fn get(&self, id: &FailureId) -> Option<Ticket> {
        Some(self.ticket(&self.entries.get(id)?))
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

    /// Forgets an eighth of all, so that the search for the eldest is rare.
    fn forget_eldest(&mut self) {
        let mut times: Vec<Timestamp> = self.entries.latest().collect();
        let eighth = times.len() / 8;
        let (_, limit, _) = times.select_nth_unstable(eighth);
        let limit = *limit;
        self.entries.forget_until(limit);
    }

    fn ticket(&self, entry: &Entry) -> Ticket {
        let (matches, fields) = unpack(&self.phrases.expand(&entry.text));
        Ticket {
            first: entry.first,
            last: entry.last,
            retry: entry.retry,
            failures: entry.failures,
            matches,
            fields,
        }
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

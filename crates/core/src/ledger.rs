//! Failures counted per id, until there are enough of them.
//!
//! This is not a sliding window: when failures stretch over more than `findtime`, the count shrinks in proportion.

use std::collections::HashMap;

use crate::failure::Fields;
use crate::{Failure, FailureId, LineText, Seconds, Timestamp};

/// So many ids are remembered at most; then those that failed longest ago are forgotten.
///
/// Only somebody who owns more addresses than this gets anything from it, and gets as much from failing once per address.
const MAX_REMEMBERED: usize = 1_000_000;

/// So many bytes of log lines and fields are kept at most; beyond it failures still count, but their text is not kept.
const MAX_TEXT_BYTES: usize = 32 << 20;

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

impl Ticket {
    fn text_bytes(&self) -> usize {
        self.matches.iter().map(|line| line.text.len()).sum::<usize>() + self.fields.bytes()
    }
}

/// Counts failures per id and yields a [`Ticket`] when there are enough.
#[derive(Clone, Debug, Default)]
pub struct FailureLedger {
    tickets: HashMap<FailureId, Ticket>,
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
        if self.tickets.len() >= MAX_REMEMBERED && !self.tickets.contains_key(&id) {
            self.forget_eldest();
        }
        let room = self.text_bytes < MAX_TEXT_BYTES;
        let mut before = None;
        let new = || {
            before = Some(0);
            Ticket {
                first: at,
                last: at,
                fields: if room { fields } else { Fields::default() },
                ..Ticket::default()
            }
        };
        let ticket = self.tickets.entry(id.clone()).or_insert_with(new);
        let before = before.unwrap_or_else(|| ticket.text_bytes());
        if at > ticket.last {
            ticket.last = at;
            let start = at - findtime;
            if ticket.first < start {
                ticket.retry = shrunk(ticket.retry, at.since(ticket.first), findtime);
                ticket.first = start;
            }
        }
        ticket.retry = ticket.retry.saturating_add(attempts);
        ticket.failures = ticket.failures.saturating_add(attempts);
        if room {
            ticket.matches.extend(lines);
        }
        let excess = ticket.matches.len().saturating_sub(maxmatches);
        ticket.matches.drain(..excess);
        self.text_bytes = (self.text_bytes + ticket.text_bytes()).saturating_sub(before);
        if ticket.retry >= maxretry { self.take(&id) } else { None }
    }

    /// Lets the latest failure of an id count for `more`; yields the ticket if that makes `maxretry`.
    ///
    /// It is one more failure in all sums, as upstream has it; what was counted already as enough counts no further. Seen on 1.0.2.
    pub fn weigh(&mut self, id: &FailureId, more: u32, maxretry: u32) -> Option<(FailureId, Ticket)> {
        let ticket = self.tickets.get_mut(id)?;
        self.total = self.total.saturating_add(1);
        ticket.failures = ticket.failures.saturating_add(1);
        ticket.retry = ticket.retry.saturating_add(more);
        if ticket.retry >= maxretry { self.take(id) } else { None }
    }

    /// Forgets an id and hands out what was known of it.
    pub fn take(&mut self, id: &FailureId) -> Option<(FailureId, Ticket)> {
        let entry = self.tickets.remove_entry(id)?;
        self.text_bytes = self.text_bytes.saturating_sub(entry.1.text_bytes());
        Some(entry)
    }

    /// Forgets ids whose latest failure is `findtime` or more ago, at most every five seconds; says when to come again.
    pub fn clean_up(&mut self, now: Timestamp, findtime: Seconds) -> Option<Timestamp> {
        if self.tickets.is_empty() {
            self.next_cleanup = None;
            return None;
        }
        if let Some(next) = self.next_cleanup
            && now < next
        {
            return Some(next);
        }
        let limit = now - findtime;
        self.tickets.retain(|_, ticket| ticket.last > limit);
        self.text_bytes = self.tickets.values().map(Ticket::text_bytes).sum();
        let eldest = self.tickets.values().map(|ticket| ticket.last).min();
        self.next_cleanup = eldest.map(|last| (last + findtime).max(now + CLEANUP_INTERVAL));
        if self.tickets.capacity() > 4096 && self.tickets.capacity() / 4 > self.tickets.len() {
            self.tickets.shrink_to_fit();
        }
        self.next_cleanup
    }

    /// What is remembered of an id.
    pub fn get(&self, id: &FailureId) -> Option<&Ticket> {
        self.tickets.get(id)
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// All failures ever counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Makes room for an eighth of the limit, so that the search for the eldest is rare.
    fn forget_eldest(&mut self) {
        let mut times: Vec<Timestamp> = self.tickets.values().map(|ticket| ticket.last).collect();
        let (_, limit, _) = times.select_nth_unstable(MAX_REMEMBERED / 8);
        let limit = *limit;
        self.tickets.retain(|_, ticket| ticket.last > limit);
        self.text_bytes = self.tickets.values().map(Ticket::text_bytes).sum();
    }
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

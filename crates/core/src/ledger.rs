//! Failures counted per id, until there are enough of them.
//!
//! This is not a sliding window: when failures stretch over more than `findtime`, the count shrinks in proportion.

use crate::at_hand::{AtHand, Grown};
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
    /// Of those who failed lately.
    at_hand: AtHand,
    /// Of all others.
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
        let room = self.entries.text_bytes() + self.at_hand.bytes() < MAX_TEXT_BYTES;
        let (mut lines, fields) = if room { (lines, fields) } else { Default::default() };
        let mut grow = |ticket: &mut Ticket| {
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
            ticket.matches.append(&mut lines);
            keep_latest(&mut ticket.matches, maxmatches);
            ticket.retry >= maxretry
        };
        match self.at_hand.grow(&id, &mut grow) {
            Some(Grown::Enough(ticket)) => return Some((id, ticket)),
            Some(Grown::Kept) => {}
            None => {
                let ticket = if let Some(entry) = self.entries.remove(&id) {
                    let mut ticket = self.ticket(&entry);
                    if grow(&mut ticket) {
                        return Some((id, ticket));
                    }
                    ticket
                } else {
                    keep_latest(&mut lines, maxmatches);
                    let ticket = Ticket {
                        first: at,
                        last: at,
                        retry: attempts,
                        failures: attempts,
                        matches: lines,
                        fields,
                    };
                    if attempts >= maxretry {
                        return Some((id, ticket));
                    }
                    if self.len() >= MAX_REMEMBERED || self.entries.bytes() + self.at_hand.bytes() >= MAX_BYTES {
                        self.forget_eldest();
                    }
                    ticket
                };
                self.at_hand.put(id, ticket);
            }
        }
        self.put_away();
        None
    }

    /// Lets the latest failure of an id count for `more`; yields the ticket if that makes `maxretry`.
    ///
    /// It is one more failure in all sums, as upstream has it; what was counted already as enough counts no further. Seen on 1.0.2.
    pub fn weigh(&mut self, id: &FailureId, more: u32, maxretry: u32) -> Option<(FailureId, Ticket)> {
        let weigh = |ticket: &mut Ticket| {
            ticket.failures = ticket.failures.saturating_add(1);
            ticket.retry = ticket.retry.saturating_add(more);
            ticket.retry >= maxretry
        };
        let grown = self.at_hand.grow(id, weigh).or_else(|| {
            let entry = self.entries.remove(id)?;
            let mut ticket = self.ticket(&entry);
            if weigh(&mut ticket) {
                return Some(Grown::Enough(ticket));
            }
            self.at_hand.put(id.clone(), ticket);
            Some(Grown::Kept)
        })?;
        self.total = self.total.saturating_add(1);
        self.put_away();
        match grown {
            Grown::Enough(ticket) => Some((id.clone(), ticket)),
            Grown::Kept => None,
        }
    }

    /// Forgets an id and hands out what was known of it.
    pub fn take(&mut self, id: &FailureId) -> Option<(FailureId, Ticket)> {
        let ticket = if let Some(ticket) = self.at_hand.remove(id) {
            ticket
        } else {
            let entry = self.entries.remove(id)?;
            self.ticket(&entry)
        };
        Some((id.clone(), ticket))
    }

    /// Forgets ids whose latest failure is `findtime` or more ago, at most every five seconds; says when to come again.
    pub fn clean_up(&mut self, now: Timestamp, findtime: Seconds) -> Option<Timestamp> {
        if self.entries.len() == 0 {
            self.phrases = Phrases::default();
        }
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
        self.at_hand.forget_until(limit);
        let eldest = self.latest().min();
        self.next_cleanup = eldest.map(|last| (last + findtime).max(now + CLEANUP_INTERVAL));
        self.next_cleanup
    }

    /// What is remembered of an id.
    pub fn get(&self, id: &FailureId) -> Option<Ticket> {
        let at_hand = self.at_hand.get(id).cloned();
        at_hand.or_else(|| Some(self.ticket(&self.entries.get(id)?)))
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.entries.len() + self.at_hand.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All failures ever counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Forgets an eighth of all, so that the search for the eldest is rare.
    fn forget_eldest(&mut self) {
        let mut times: Vec<Timestamp> = self.latest().collect();
        let eighth = times.len() / 8;
        let (_, limit, _) = times.select_nth_unstable(eighth);
        let limit = *limit;
        self.entries.forget_until(limit);
        self.at_hand.forget_until(limit);
    }

    /// The times of the latest failures.
    fn latest(&self) -> impl Iterator<Item = Timestamp> {
        self.entries.latest().chain(self.at_hand.latest())
    }

    /// Packs the tickets of those who did not fail lately, if too many are at hand.
    fn put_away(&mut self) {
        for (id, ticket) in self.at_hand.excess() {
            let text = pack(&ticket.matches, &ticket.fields);
            let entry = Entry {
                first: ticket.first,
                last: ticket.last,
                retry: ticket.retry,
                failures: ticket.failures,
                // Who failed again is soon banned or forgotten: not worth the search.
                text: if ticket.failures > 1 {
                    Phrases::as_they_are(&text)
                } else {
                    self.phrases.shorten(&text)
                },
            };
            self.entries.put(&id, &entry);
        }
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

/// Keeps the last lines: at most so many, and of more than one no more than [`MAX_TICKET_BYTES`].
fn keep_latest(lines: &mut Vec<LineText>, most: usize) {
    let mut bytes = 0;
    let fitting = lines.iter().rev().take(most).take_while(|line| {
        let first = bytes == 0;
        bytes += line.text.len() + 1;
        first || bytes <= MAX_TICKET_BYTES
    });
    let excess = lines.len() - fitting.count();
    lines.drain(..excess);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::at_hand::Bounds;

    #[test]
    fn who_is_at_hand_is_counted_as_those_who_are_put_away_at_once() {
        let holding = |tickets, bytes| FailureLedger {
            at_hand: AtHand::within(Bounds { tickets, bytes }),
            ..FailureLedger::default()
        };
        let mut ledgers = [
            holding(0, 0),
            holding(3, 1000),
            holding(20, 600),
            FailureLedger::default(),
        ];
        let mut seed = 5_u32;
        let mut next = move |limit: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % limit
        };
        let (mut yielded, mut clock) = (0, 1000);
        for step in 0..30_000_u32 {
            clock += i64::from(next(20));
            let number = next(40);
            let id = FailureId::parse(&match number % 4 {
                0 => format!("user {number}"),
                1 => format!("2001:db8::{number:x}"),
                _ => format!("192.0.2.{number}"),
            });
            let lines: Vec<LineText> = (0..next(3))
                .map(|line| LineText {
                    text: format!(
                        "{step} {line} failed {}",
                        "x".repeat(usize::try_from(next(90)).unwrap())
                    )
                    .into(),
                    date: 0..4,
                })
                .collect();
            let mut fields = Fields::default();
            fields.set("user", &format!("{step}"));
            let failure = Failure {
                id: id.clone(),
                at: Timestamp::from_secs(clock - i64::from(next(100))),
                attempts: 1 + next(10) / 9,
                lines,
                fields,
            };
            let (kind, maxretry) = (next(30), 2 + next(5));
            let maxmatches = usize::try_from(next(4)).unwrap();
            let outcomes = ledgers.each_mut().map(|ledger| {
                let ticket = match kind {
                    0 => ledger.take(&id),
                    1 => ledger.weigh(&id, 2, maxretry),
                    2 => {
                        let next = ledger.clean_up(Timestamp::from_secs(clock), Seconds(150));
                        next.map(|last| Ticket {
                            last,
                            ..Ticket::default()
                        })
                        .map(|ticket| (id.clone(), ticket))
                    }
                    3 if step % 50 == 3 && !ledger.is_empty() => {
                        ledger.forget_eldest();
                        None
                    }
                    _ => ledger.add(failure.clone(), maxretry, Seconds(150), maxmatches),
                };
                assert!(ledger.at_hand.len() <= ledger.at_hand.bounds().tickets);
                assert!(ledger.at_hand.bytes() <= ledger.at_hand.bounds().bytes);
                (ticket, ledger.get(&id), ledger.len(), ledger.total())
            });
            yielded += u32::from(outcomes.iter().all(|(ticket, ..)| ticket.is_some()));
            let [first, others @ ..] = &outcomes;
            assert!(others.iter().all(|other| other == first), "{step}: {outcomes:?}");
        }
        assert!(yielded > 1000, "{yielded}");
    }
}

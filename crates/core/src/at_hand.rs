//! Tickets of those who failed lately, as they are: who fails again soon does so many times, and to pack and unpack what is known of him
//! costs more than all else about a failure.
//!
//! There are few of them. When there are too many, those whose failure is longest ago go to [`crate::entries`].

use std::collections::HashMap;

use crate::ledger::Ticket;
use crate::{FailureId, LineText, Timestamp};

/// So many tickets are at hand at most, and so many bytes of ids, lines and fields.
const MOST: Bounds = Bounds {
    tickets: 800,
    bytes: 512 << 10,
};

/// What may be at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) tickets: usize,
    pub(crate) bytes: usize,
}

/// Tickets by id.
#[derive(Clone, Debug)]
pub(crate) struct AtHand {
    tickets: HashMap<FailureId, Held>,
    bytes: usize,
    /// Counts failures, so that it is known whose is longest ago.
    turn: u64,
    bounds: Bounds,
}

#[derive(Clone, Debug)]
struct Held {
    ticket: Ticket,
    bytes: usize,
    turn: u64,
}

impl Default for AtHand {
    fn default() -> Self {
        Self::within(MOST)
    }
}

impl AtHand {
    pub(crate) fn within(bounds: Bounds) -> Self {
        Self {
            tickets: HashMap::new(),
            bytes: 0,
            turn: 0,
            bounds,
        }
    }

    pub(crate) fn get(&self, id: &FailureId) -> Option<&Ticket> {
        self.tickets.get(id).map(|held| &held.ticket)
    }

    /// Lets a ticket grow that is at hand; it is handed out if that makes it enough.
    pub(crate) fn grow(&mut self, id: &FailureId, grow: impl FnOnce(&mut Ticket) -> bool) -> Option<Grown> {
        let held = self.tickets.get_mut(id)?;
        if grow(&mut held.ticket) {
            return self.remove(id).map(Grown::Enough);
        }
        let bytes = bytes(id, &held.ticket);
        self.bytes = self.bytes - held.bytes + bytes;
        held.bytes = bytes;
        self.turn += 1;
        held.turn = self.turn;
        Some(Grown::Kept)
    }

    /// Takes a ticket to hand that is not there yet.
    pub(crate) fn put(&mut self, id: FailureId, ticket: Ticket) {
        let bytes = bytes(&id, &ticket);
        self.bytes += bytes;
        self.turn += 1;
        let turn = self.turn;
        self.tickets.insert(id, Held { ticket, bytes, turn });
    }

    pub(crate) fn remove(&mut self, id: &FailureId) -> Option<Ticket> {
        let held = self.tickets.remove(id)?;
        self.bytes -= held.bytes;
        Some(held.ticket)
    }

    pub(crate) fn len(&self) -> usize {
        self.tickets.len()
    }

    /// How many bytes ids, lines and fields take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The times of the latest failures.
    pub(crate) fn latest(&self) -> impl Iterator<Item = Timestamp> {
        self.tickets.values().map(|held| held.ticket.last)
    }

    /// Forgets what failed last at `limit` or before.
    pub(crate) fn forget_until(&mut self, limit: Timestamp) {
        let bytes = &mut self.bytes;
        self.tickets.retain(|_, held| {
            let stays = held.ticket.last > limit;
            if !stays {
                *bytes -= held.bytes;
            }
            stays
        });
        if self.tickets.is_empty() {
            self.tickets = HashMap::new();
        }
    }

    /// If too much is at hand, what is to go, so that half of what may be stays: then that is rare.
    pub(crate) fn excess(&mut self) -> Vec<(FailureId, Ticket)> {
        let Bounds { tickets, bytes } = self.bounds;
        if self.tickets.len() <= tickets && self.bytes <= bytes {
            return Vec::new();
        }
        let mut held: Vec<(u64, usize)> = self.tickets.values().map(|held| (held.turn, held.bytes)).collect();
        held.sort_unstable();
        let (mut count, mut last) = (held.len(), 0);
        for (turn, of_ticket) in held {
            if count <= tickets / 2 && self.bytes <= bytes / 2 {
                break;
            }
            count -= 1;
            self.bytes -= of_ticket;
            last = turn;
        }
        let gone = self.tickets.extract_if(|_, held| held.turn <= last);
        gone.map(|(id, held)| (id, held.ticket)).collect()
    }
}

/// What became of a ticket at hand.
pub(crate) enum Grown {
    Kept,
    Enough(Ticket),
}

fn bytes(id: &FailureId, ticket: &Ticket) -> usize {
    let text = match id {
        FailureId::Text(text) => text.len(),
        FailureId::Addr(_) | FailureId::Net(_) => 0,
    };
    let lines: usize = ticket.matches.iter().map(|LineText { text, .. }| text.len()).sum();
    text + lines + ticket.fields.bytes()
}

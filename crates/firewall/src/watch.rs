//! Hears when somebody else takes something out of the ruleset.

use std::time::Duration;

use crate::FirewallError;
use crate::netlink::{Failure, Socket};
use crate::nftables::message::{attribute, kind};
use crate::nftables::transaction::Step;

/// Multicast group of nf_tables: group 7, as a mask.
const GROUPS: u32 = 1 << 6;

/// Something was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// From these tables; nothing if so much happened that not all was heard.
    pub tables: Vec<String>,
    /// The program that did it, if the kernel says.
    pub program: Option<String>,
}

/// Listens to deletions in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    /// Tables in which the transaction at hand deletes.
    tables: Vec<String>,
}

impl Watch {
    /// Begins to listen.
    pub fn open() -> Result<Self, FirewallError> {
        let socket = Socket::open(GROUPS).map_err(|errno| FirewallError::refused(&Step::Transaction, "", errno))?;
        Ok(Self {
            socket,
            tables: Vec::new(),
        })
    }

    /// What others have deleted next; nothing if nothing was within `patience`. `is_ours` knows the sockets whose changes do not count.
    pub fn next(
        &mut self,
        patience: Duration,
        is_ours: impl Fn(u32) -> bool,
    ) -> Result<Vec<Disturbance>, FirewallError> {
        let refused = |errno| FirewallError::refused(&Step::List, "", errno);
        self.socket
            .set_patience(patience.max(Duration::from_millis(1)))
            .map_err(refused)?;
        let mut found = Vec::new();
        let tables = &mut self.tables;
        let heard = self.socket.receive(|message| {
            match message.kind {
                kind::DEL_TABLE | kind::DEL_CHAIN | kind::DEL_RULE | kind::DEL_SET | kind::DEL_ELEMENTS
                    if !is_ours(message.port) =>
                {
                    if let Some(table) = message.attributes().text(attribute::TABLE)
                        && !tables.iter().any(|known| known == table)
                    {
                        tables.push(table.to_owned());
                    }
                }
                kind::NEW_GENERATION if !tables.is_empty() => found.push(Disturbance {
                    tables: std::mem::take(tables),
                    program: message
                        .attributes()
                        .text(attribute::GENERATION_PROCESS)
                        .map(str::to_owned),
                }),
                _ => {}
            }
            Ok(())
        });
        match heard {
            Ok(()) | Err(Failure::Silent) => Ok(found),
            Err(Failure::System(errno) | Failure::Refused { errno, .. }) => Err(refused(errno)),
            // More happened than could be kept.
            Err(Failure::Lost | Failure::Malformed | Failure::Special(_)) => {
                self.tables.clear();
                found.push(Disturbance {
                    tables: Vec::new(),
                    program: None,
                });
                Ok(found)
            }
        }
    }
}

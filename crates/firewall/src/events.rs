//! Changes of ban sets as the kernel announces them, whoever makes them.

use std::time::Duration;

use ipnet::IpNet;

use crate::FirewallError;
use crate::netlink::{Failure, Socket};
use crate::nftables::message::{INET, kind, read_elements};
use crate::nftables::plan::SetId;
use crate::nftables::transaction::Step;

/// Multicast group of nf_tables: group 7, as a mask.
const GROUPS: u32 = 1 << 6;

/// A ban that has come into force or was lifted, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The table.
    pub table: String,
    /// The target's name.
    pub name: String,
    /// Who.
    pub net: IpNet,
    /// Seconds it lasts, `Some(None)` for ever; `None` if it was lifted.
    pub added: Option<Option<u64>>,
}

/// Listens to changes of ban sets in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Events {
    socket: Socket,
}

impl Events {
    /// Begins to listen.
    pub fn open() -> Result<Self, FirewallError> {
        let socket = Socket::open(GROUPS).map_err(|errno| FirewallError::refused(&Step::Transaction, "", errno))?;
        Ok(Self { socket })
    }

    /// What happened next; empty if nothing did within `patience`, or nothing that has to do with bans.
    /// Fails if more happened than could be kept: then list the sets.
    pub fn next(&mut self, patience: Duration) -> Result<Vec<Event>, FirewallError> {
        let mut events = Vec::new();
        let refused = |errno| FirewallError::refused(&Step::List, "", errno);
        self.socket
            .set_patience(patience.max(Duration::from_millis(1)))
            .map_err(refused)?;
        let heard = self.socket.receive(|message| {
            let is_added = match message.kind {
                kind::NEW_ELEMENTS => true,
                kind::DEL_ELEMENTS => false,
                _ => return Ok(()),
            };
            let Some(record) = read_elements(message).filter(|_| message.family() == Some(INET)) else {
                return Ok(());
            };
            let Some((id, name)) = SetId::parse(&record.set) else {
                return Ok(());
            };
            events.extend(record.elements.iter().filter_map(|element| {
                let expires = element.expires.map(|milliseconds| milliseconds.div_ceil(1000));
                Some(Event {
                    table: record.table.clone(),
                    name: name.to_owned(),
                    net: id.net(element.address)?,
                    added: is_added.then_some(expires),
                })
            }));
            Ok(())
        });
        match heard {
            Ok(()) | Err(Failure::Silent) => Ok(events),
            Err(Failure::System(errno) | Failure::Refused { errno, .. }) => Err(refused(errno)),
            Err(failure) => {
                let came = matches!(failure, Failure::Malformed);
                Err(FirewallError::Answer {
                    what: "hear of all changes".to_owned(),
                    table: String::new(),
                    came,
                })
            }
        }
    }
}

//! Ban sets in the kernel.
//!
//! Here is what a ban looks like in the firewall and how it gets there; not why somebody is banned. Start reading at
//! [`Firewall`]; the kernel's own is [`Nftables`].
//!
//! ```
//! use stockade_firewall::{Block, Change, Firewall, Memory, PortRange, Protocol, Target};
//!
//! let target = Target {
//!     table: "f2b-table".into(),
//!     chain: "f2b-chain".into(),
//!     priority: -1,
//!     hooks: Vec::new(),
//!     name: "asterisk".into(),
//!     ports: Some(vec![PortRange { first: 5060, last: 5061 }]),
//!     protocols: vec![Protocol(6), Protocol(17)],
//!     verdict: Block::Reject,
//! };
//! // `Nftables::open()?` for the kernel's.
//! let mut firewall = Memory::new();
//! firewall.prepare(&target)?;
//! firewall.apply(&target, &[Change::Add("192.0.2.1/32".parse()?, Some(600))])?;
//! assert_eq!(firewall.list(&target)?.len(), 1);
//! firewall.remove(&target)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod conntrack;
mod error;
mod events;
mod ipset;
mod memory;
mod netlink;
mod nftables;
mod watch;

pub use conntrack::{Conntrack, ConntrackError};
pub use error::FirewallError;
pub use events::{Event, Events};
pub use ipset::{Entry, Ipset, IpsetError};
pub use memory::Memory;
pub use nftables::{NamedSet, Nftables, TableFamily};
pub use watch::{Disturbance, Watch};

use std::collections::HashSet;

use ipnet::IpNet;

use nftables::plan::SetId;

/// Where bans of one jail's action take effect: which sets, and which packets they stop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// nftables table of family inet; Fail2Ban's is `f2b-table`.
    pub table: String,
    /// Base chain in it; Fail2Ban's is `f2b-chain`.
    pub chain: String,
    /// Priority of the base chain; Fail2Ban's is -1.
    pub priority: i32,
    /// Where packets are looked at; nothing is [`Hook::Input`]. The first place has the chain of the name `chain`, others `chain-forward` and so on.
    pub hooks: Vec<Hook>,
    /// Sets are called `addr-set-NAME` and `addr6-set-NAME`.
    pub name: String,
    /// Which ports; `None` is all packets of the protocols.
    pub ports: Option<Vec<PortRange>>,
    /// Which protocols; empty is all.
    pub protocols: Vec<Protocol>,
    /// What happens to packets of the banned.
    pub verdict: Block,
}

/// A place on the way of packets through the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// For this machine.
    Input,
    /// For others, containers among them, to which this machine passes them on.
    Forward,
    /// As they come in at this network device, for whomever, before connections are tracked. Blocks without an answer only.
    Ingress(String),
}

impl Target {
    /// The base chains with their places.
    #[must_use]
    pub fn chains(&self) -> Vec<(String, Hook)> {
        let (first, others) = match self.hooks.split_first() {
            None => return vec![(self.chain.clone(), Hook::Input)],
            Some((first, others)) => (first, others),
        };
        let others = others.iter().map(|hook| {
            let name = match hook {
                Hook::Input => format!("{}-input", self.chain),
                Hook::Forward => format!("{}-forward", self.chain),
                Hook::Ingress(device) => format!("{}-ingress-{device}", self.chain),
            };
            (name, hook.clone())
        });
        std::iter::once((self.chain.clone(), first.clone()))
            .chain(others)
            .collect()
    }
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

/// A protocol that has ports, or another one by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

/// What happens to packets of the banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// Silence.
    Drop,
    /// An ICMP answer "port unreachable".
    Reject,
}

/// One change of a set. Adding what is there gives it the new time; removing what is not is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Ban; the kernel itself ends it after this many seconds, `None` never. A ban of 0 seconds is over: it removes.
    Add(IpNet, Option<u64>),
    /// Ban; one that is there stays, with what it has counted. It gets the new time only where the kernel can do that in place (from 6.12 on).
    Keep(IpNet, Option<u64>),
    /// Lift the ban.
    Remove(IpNet),
}

/// A banned address or network as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Who.
    pub net: IpNet,
    /// Seconds until the kernel ends the ban; `None` never.
    pub expires: Option<u64>,
    /// What it has blocked since it was made or prolonged; `None` if that is not counted (kernels before 5.7).
    pub blocked: Option<Traffic>,
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Traffic {
    /// How many.
    pub packets: u64,
    /// Bytes of all, with their headers.
    pub bytes: u64,
}

/// A place where bans take effect. Every call is idempotent; a batch is applied whole or not at all.
pub trait Firewall: Send {
    /// Makes table, chain, sets and rules of a target; makes whole what is there in part.
    fn prepare(&mut self, target: &Target) -> Result<(), FirewallError>;
    /// Applies changes in one transaction; of several changes of the same ban the last counts. Fails with
    /// [`FirewallError::Missing`] if the sets are not there: then prepare, and apply all bans.
    fn apply(&mut self, target: &Target, changes: &[Change]) -> Result<(), FirewallError>;
    /// What is banned now, as the kernel says. While the kernel makes room in a set that has just grown by tens of thousands, a listing
    /// may miss some of them, and have others twice.
    fn list(&mut self, target: &Target) -> Result<Vec<Element>, FirewallError>;
    /// Whether each of these is banned now. The kernel's answer is exact, where its listing may miss some.
    fn holds(&mut self, target: &Target, nets: &[IpNet]) -> Result<Vec<bool>, FirewallError> {
        let listed: HashSet<IpNet> = self.list(target)?.into_iter().map(|element| element.net).collect();
        let is_listed = |net: &IpNet| {
            let (id, address) = SetId::of(*net);
            id.net(address).is_some_and(|net| listed.contains(&net))
        };
        Ok(nets.iter().map(is_listed).collect())
    }
    /// Whether sets and rules are still there; fails with [`FirewallError::Missing`] if not. `apply` does not notice
    /// that only rules are gone.
    fn check(&mut self, target: &Target) -> Result<(), FirewallError> {
        self.list(target).map(|_| ())
    }
    /// Removes rules and sets of the target, and chain and table when they are empty then.
    fn remove(&mut self, target: &Target) -> Result<(), FirewallError>;
}

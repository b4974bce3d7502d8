//! Ban sets in the kernel.
//!
//! API agreed between crates; the bodies are being written.

use std::fmt;

use ipnet::IpNet;

/// Where bans of one jail's action take effect: which sets, and which packets they stop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// nftables table of family inet; Fail2Ban's is `f2b-table`.
    pub table: String,
    /// Base chain in it; Fail2Ban's is `f2b-chain`.
    pub chain: String,
    /// Priority of the base chain at hook input; Fail2Ban's is -1.
    pub priority: i32,
    /// Sets are called `addr-set-NAME` and `addr6-set-NAME`.
    pub name: String,
    /// Which ports; `None` is all packets of the protocols.
    pub ports: Option<Vec<PortRange>>,
    /// Which protocols; empty is all.
    pub protocols: Vec<Protocol>,
    /// What happens to packets of the banned.
    pub verdict: Block,
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

/// One change of a set. Adding what is there and removing what is not are no errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Ban; the kernel itself ends it after this many seconds, `None` never.
    Add(IpNet, Option<u64>),
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
}

/// A place where bans take effect. Every call is idempotent; a batch is applied whole or not at all.
pub trait Firewall: Send {
    /// Makes table, chain, sets and rules of a target.
    fn prepare(&mut self, target: &Target) -> Result<(), FirewallError>;
    /// Applies changes in one transaction.
    fn apply(&mut self, target: &Target, changes: &[Change]) -> Result<(), FirewallError>;
    /// What is banned now, as the kernel says.
    fn list(&mut self, target: &Target) -> Result<Vec<Element>, FirewallError>;
    /// Removes rules and sets of the target, and chain and table when they are empty then.
    fn remove(&mut self, target: &Target) -> Result<(), FirewallError>;
}

/// Why the kernel did not do as asked.
#[derive(Debug)]
pub enum FirewallError {
    /// To be refined by the crate.
    Io(std::io::Error),
}

impl fmt::Display for FirewallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FirewallError {}

//! A firewall that only remembers: for dry runs and for tests of those who use one.

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;

use crate::nftables::plan::{Wish, wishes};
use crate::{Change, Element, Firewall, FirewallError, Target};

/// Keeps bans in memory and blocks nobody. Time does not pass in it: `expires` stays what it was given.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    targets: HashMap<(String, String), BTreeMap<IpNet, Option<u64>>>,
}

impl Memory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, as when somebody flushes the ruleset.
    pub fn forget(&mut self) {
        self.targets.clear();
    }

    fn bans(&mut self, target: &Target) -> Result<&mut BTreeMap<IpNet, Option<u64>>, FirewallError> {
        let missing = || FirewallError::Missing {
            table: target.table.clone(),
            name: target.name.clone(),
        };
        self.targets
            .get_mut(&(target.table.clone(), target.name.clone()))
            .ok_or_else(missing)
    }
}

impl Firewall for Memory {
    fn prepare(&mut self, target: &Target) -> Result<(), FirewallError> {
        self.targets
            .entry((target.table.clone(), target.name.clone()))
            .or_default();
        Ok(())
    }

    fn apply(&mut self, target: &Target, changes: &[Change]) -> Result<(), FirewallError> {
        let bans = self.bans(target)?;
        for ((id, address), wish) in wishes(changes) {
            let Some(net) = id.net(address) else { continue };
            match wish {
                Wish::Present(0) => bans.insert(net, None),
                Wish::Present(milliseconds) => bans.insert(net, Some(milliseconds / 1000)),
                Wish::Kept(0) => Some(*bans.entry(net).or_insert(None)),
                Wish::Kept(milliseconds) => Some(*bans.entry(net).or_insert(Some(milliseconds / 1000))),
                Wish::Absent => bans.remove(&net).flatten().map(Some),
            };
        }
        Ok(())
    }

    fn list(&mut self, target: &Target) -> Result<Vec<Element>, FirewallError> {
        Ok(self
            .bans(target)?
            .iter()
            .map(|(&net, &expires)| Element {
                net,
                expires,
                blocked: None,
            })
            .collect())
    }

    fn remove(&mut self, target: &Target) -> Result<(), FirewallError> {
        self.targets.remove(&(target.table.clone(), target.name.clone()));
        Ok(())
    }
}

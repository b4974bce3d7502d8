//! The commands of stock firewall actions, done without a process for each ban.
//!
//! A command is known by what it is after all tags are filled in, not by the name of its action ([`recognise`]). What it would change is
//! then changed for many bans at once: elements of nftables and ipset over netlink, rules of iptables by one `iptables-restore` ([`iptables`]).
//! Whatever differs from a known command in a single word is run as written. So is a command whose short way failed: the words in which it
//! complains, the check and the repair are the same with and without.

mod iptables;
mod recognise;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stockade_core::FailureId;
use stockade_firewall::{Entry, Ipset, NamedSet, Nftables};

use crate::template::Script;

/// So often a batch is cut in halves to find what the kernel refuses in it; what is left then is refused as a whole.
const CUTS: u32 = 200;

/// What one command would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    place: Place,
    entry: Entry,
    is_added: bool,
}

/// Where it would change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Set(NamedSet),
    Ipset(String),
    Chain(Chain),
}

/// A chain of iptables, and the rules in it that are bans.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Chain {
    /// As the command calls it: `iptables`, `ip6tables`, `/usr/sbin/iptables-legacy`…
    program: String,
    /// Its options about waiting for the lock.
    lock: Vec<String>,
    name: String,
    /// Where a new rule goes; nothing is at the top, too.
    position: String,
    /// What follows `-s ADDRESS`.
    target: String,
    /// A rule that is there is not added again.
    once: bool,
}

/// The short ways to the kernel.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    nftables: Option<Nftables>,
    ipset: Option<Ipset>,
    /// What the name of a program stands for, if that is what it seems.
    programs: HashMap<String, Option<PathBuf>>,
}

impl Bulk {
    /// What a command would change; `None` if it has to be run.
    pub(crate) fn recognise(&mut self, script: &Script, id: &FailureId) -> Option<Step> {
        let FailureId::Addr(address) = id else { return None };
        if !script.variables.is_empty() {
            return None;
        }
        let step = recognise::step(&script.text, *address)?;
        let is_what_it_seems = match &step.place {
            Place::Set(_) => self.program("nft", is_binary).is_some(),
            Place::Ipset(_) => self.program("ipset", is_binary).is_some(),
            Place::Chain(chain) => self.program(&chain.program, iptables::has_restore).is_some(),
        };
        is_what_it_seems.then_some(step)
    }

    /// Where a program is, if it passes a test: a script in its place is somebody's, and is run as written.
    fn program(&mut self, name: &str, test: fn(&Path) -> bool) -> Option<&Path> {
        self.programs
            .entry(name.to_owned())
            .or_insert_with(|| find(name).filter(|path| test(path)))
            .as_deref()
    }

    /// Makes changes, in order for each place. Returns the positions of those that could not be made.
    pub(crate) fn perform(&mut self, steps: &[Step], limit: Duration) -> Vec<usize> {
        let mut groups: Vec<(&Place, bool, Vec<usize>)> = Vec::new();
        // Where the latest group of each place stands.
        let mut latest: HashMap<&Place, usize> = HashMap::new();
        for (position, step) in steps.iter().enumerate() {
            let last = latest.get(&step.place).and_then(|group| groups.get_mut(*group));
            match last {
                Some((_, is_added, positions)) if *is_added == step.is_added => positions.push(position),
                _ => {
                    latest.insert(&step.place, groups.len());
                    groups.push((&step.place, step.is_added, vec![position]));
                }
            }
        }
        let mut failed = Vec::new();
        for (place, is_added, positions) in groups {
            let entries: Vec<(usize, Entry)> = positions
                .into_iter()
                .filter_map(|position| Some((position, steps.get(position)?.entry)))
                .collect();
            let mut cuts = CUTS;
            self.perform_part(place, is_added, &entries, limit, &mut cuts, &mut failed);
        }
        failed.sort_unstable();
        failed
    }

    fn perform_part(
        &mut self,
        place: &Place,
        is_added: bool,
        entries: &[(usize, Entry)],
        limit: Duration,
        cuts: &mut u32,
        failed: &mut Vec<usize>,
    ) {
        let only: Vec<Entry> = entries.iter().map(|(_, entry)| *entry).collect();
        if self.change(place, is_added, &only, limit) {
            return;
        }
        // One entry the kernel does not like must not cost the others.
        let (first, second) = entries.split_at(entries.len() / 2);
        if first.is_empty() || *cuts == 0 {
            failed.extend(entries.iter().map(|(position, _)| position));
            return;
        }
        *cuts -= 1;
        self.perform_part(place, is_added, first, limit, cuts, failed);
        self.perform_part(place, is_added, second, limit, cuts, failed);
    }

    /// The positions of steps whose address is not where it should be; `None` if that cannot be told.
    pub(crate) fn absent(&mut self, steps: &[Step], limit: Duration) -> Option<Vec<usize>> {
        let mut there: HashMap<&Place, HashSet<IpAddr>> = HashMap::new();
        let mut absent = Vec::new();
        for (position, step) in steps.iter().enumerate() {
            // What has a time of its own ends by itself; without one, the set may have one for all.
            if matches!(step.place, Place::Ipset(_)) && step.entry.1 != Some(0) {
                continue;
            }
            if !there.contains_key(&step.place) {
                there.insert(&step.place, self.elements(&step.place, limit)?);
            }
            let is_there = there
                .get(&step.place)
                .is_some_and(|there| there.contains(&step.entry.0));
            if !is_there {
                absent.push(position);
            }
        }
        self.without_those_not_listed(steps, absent)
    }

    /// The kernel's listing of a large set that has just grown may miss some: those that are not in it are asked for.
    fn without_those_not_listed(&mut self, steps: &[Step], absent: Vec<usize>) -> Option<Vec<usize>> {
        let mut left = Vec::new();
        let mut asked: HashMap<&NamedSet, Vec<(usize, IpAddr)>> = HashMap::new();
        for position in absent {
            let step = steps.get(position)?;
            match &step.place {
                Place::Set(set) => asked.entry(set).or_default().push((position, step.entry.0)),
                Place::Ipset(_) | Place::Chain(_) => left.push(position),
            }
        }
        for (set, some) in asked {
            let addresses: Vec<IpAddr> = some.iter().map(|(_, address)| *address).collect();
            // Nothing is in a set that is not there.
            let there = self.nftables()?.holds_elements(set, &addresses).ok()?;
            let absent = some.into_iter().zip(there).filter(|(_, is_there)| !is_there);
            left.extend(absent.map(|((position, _), _)| position));
        }
        left.sort_unstable();
        Some(left)
    }

    fn elements(&mut self, place: &Place, limit: Duration) -> Option<HashSet<IpAddr>> {
        match place {
            Place::Set(set) => match self.nftables()?.elements(set) {
                Err(error) if error.is_missing() => Some(HashSet::new()),
                listed => listed.ok(),
            },
            Place::Ipset(set) => self.ipset()?.elements(set).ok(),
            Place::Chain(chain) => {
                iptables::elements(self.program(&chain.program, iptables::has_restore)?, chain, limit)
            }
        }
    }

    fn nftables(&mut self) -> Option<&mut Nftables> {
        if self.nftables.is_none() {
            self.nftables = Nftables::open().ok();
        }
        self.nftables.as_mut()
    }

    fn ipset(&mut self) -> Option<&mut Ipset> {
        if self.ipset.is_none() {
            self.ipset = Ipset::open().ok();
        }
        self.ipset.as_mut()
    }

    /// True if all was changed; if not, it will be found out why by running the command.
    fn change(&mut self, place: &Place, is_added: bool, entries: &[Entry], limit: Duration) -> bool {
        match place {
            Place::Set(set) => {
                let addresses: Vec<IpAddr> = entries.iter().map(|(address, _)| *address).collect();
                self.nftables()
                    .is_some_and(|kernel| kernel.change_elements(set, &addresses, is_added).is_ok())
            }
            Place::Ipset(set) => self
                .ipset()
                .is_some_and(|kernel| kernel.change(set, entries, is_added).is_ok()),
            Place::Chain(chain) => {
                let addresses: Vec<IpAddr> = entries.iter().map(|(address, _)| *address).collect();
                self.program(&chain.program, iptables::has_restore)
                    .is_some_and(|program| iptables::change(program, chain, &addresses, is_added, limit))
            }
        }
    }
}

/// True for a program that is no script: somebody's wrapper does more than the program it is called as.
fn is_binary(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| magic == *b"\x7fELF")
}

/// The file the shell would start for a name.
fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

//! nftables: apply a batch in one transaction; list; remove. Start reading at [`Nftables::apply`].

mod elements;
pub(crate) mod message;
pub(crate) mod plan;
pub(crate) mod transaction;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use rustix::io::Errno;

use crate::netlink::{Failure, Socket};
use crate::{Change, Element, Firewall, FirewallError, Target};
pub use elements::{NamedSet, TableFamily};
use message::{
    ElementRecord, Encoder, INET, RuleRecord, SetRecord, attribute, flag, kind, read_elements, read_rule, read_set,
};
use plan::{ADDRESS_SETS, SetId, Wish, conditions, is_name, wishes};
use transaction::{Step, Transaction, has_our_elements, is_as_ours};

/// Bans in the kernel's nftables, over netlink, with no child process.
///
/// One socket; every call is a few system calls. The kernel belongs to the network namespace in which it was opened.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
    /// The kernel's number of the socket.
    port: Option<u32>,
    prepared: HashMap<(String, String), Prepared>,
}

/// The numbers of our sockets, for whoever listens to changes of others. Under a lock, as sockets open and close on any thread.
static PORTS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn ports() -> MutexGuard<'static, BTreeSet<u32>> {
    PORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Nftables {
    fn drop(&mut self) {
        if let Some(port) = &self.port {
            ports().remove(port);
        }
    }
}

/// What we know of a target that we prepared.
#[derive(Debug)]
struct Prepared {
    sets: BTreeSet<SetId>,
}

/// Which table and target errors are about.
#[derive(Clone, Copy)]
struct Place<'a> {
    table: &'a str,
    name: &'a str,
}

impl Place<'_> {
    fn missing(self) -> FirewallError {
        FirewallError::Missing {
            table: self.table.to_owned(),
            name: self.name.to_owned(),
        }
    }

    fn answer(self, step: &Step, came: bool) -> FirewallError {
        FirewallError::Answer {
            what: step.to_string(),
            table: self.table.to_owned(),
            came,
        }
    }

    fn failure(self, failure: &Failure, step: &Step) -> FirewallError {
        match failure {
            Failure::System(errno) | Failure::Refused { errno, .. } => FirewallError::refused(step, self.table, *errno),
            Failure::Lost | Failure::Silent => self.answer(step, false),
            Failure::Malformed | Failure::Special(_) => self.answer(step, true),
        }
    }
}

impl<'a> From<&'a Target> for Place<'a> {
    fn from(target: &'a Target) -> Self {
        Self {
            table: &target.table,
            name: &target.name,
        }
    }
}

/// How elements are changed.
enum Way {
    /// Knowing which of them are there. One or two messages each.
    Knowing(Vec<bool>),
    /// Additions must be new and removals must hit: one message each.
    Expecting,
    /// Works for what is there and what is not, with two or three messages each.
    Regardless,
}

/// Elements of one set to change, in this order, with their times.
#[derive(Default)]
struct Elements {
    placeholders: Vec<(IpAddr, u64)>,
    removals: Vec<(IpAddr, u64)>,
    additions: Vec<(IpAddr, u64)>,
    kept: Vec<(IpAddr, u64)>,
}

/// Up to so many changes the kernel is first asked for each element, 2 µs each. A transaction that it refuses costs a wait for
/// all its processors, 16 ms: nothing for a large batch, too much for each unban of what the kernel has already ended.
const ASK_FIRST: usize = 32;

/// So many questions go together: their answers have to fit into the smallest buffer for them, of 200 KB.
const ASKED_AT_ONCE: usize = 50;

impl Firewall for Nftables {
    /// What an earlier run left in the sets stays banned: the caller lists it, and takes out what is not to be there. So does what is in a set
    /// of other properties (made by Fail2Ban itself, without times; or given a size by somebody), which is made anew in the same transaction.
    fn prepare(&mut self, target: &Target) -> Result<(), FirewallError> {
        for (what, name) in [
            ("table", &target.table),
            ("chain", &target.chain),
            ("name", &target.name),
        ] {
            if !is_name(name) {
                return Err(FirewallError::Name {
                    what,
                    name: name.clone(),
                });
            }
        }
        let place = Place::from(target);
        let found = self.sets(place)?;
        let mut replaced = BTreeMap::new();
        for (id, set) in found.iter().filter(|(id, set)| !is_as_ours(**id, set)) {
            let held = if has_our_elements(*id, set) {
                self.held(place, *id)?
            } else {
                Vec::new()
            };
            let times = held.into_iter().map(|record| {
                (
                    record.address,
                    record.expires.map_or(0, |milliseconds| milliseconds.max(1)),
                )
            });
            replaced.insert(*id, times.collect());
        }
        let mut sets: BTreeSet<SetId> = found.into_keys().collect();
        sets.extend(ADDRESS_SETS);
        let rules = self.rules(target)?;
        let outcome = match self.try_prepare(target, &sets, &rules, &replaced) {
            // More than the send buffer takes: the owner of these bans makes them again.
            Err((Failure::System(Errno::MSGSIZE), _)) => {
                replaced.values_mut().for_each(Vec::clear);
                self.try_prepare(target, &sets, &rules, &replaced)
            }
            outcome => outcome,
        };
        outcome.map_err(|(failure, step)| place.failure(&failure, &step))?;
        let key = (target.table.clone(), target.name.clone());
        self.prepared.insert(key, Prepared { sets });
        Ok(())
    }

    /// One transaction, whatever the length of the batch. Only where the buffers cannot be made large enough for a
    /// batch (in a container without rights on the machine, from about 10,000 addresses) it is cut in halves.
    fn apply(&mut self, target: &Target, changes: &[Change]) -> Result<(), FirewallError> {
        let place = Place::from(target);
        let Some(prepared) = self.prepared.get(&(target.table.clone(), target.name.clone())) else {
            return Err(place.missing());
        };
        let wishes: Vec<_> = wishes(changes)
            .into_iter()
            // No such network was ever banned.
            .filter(|((id, _), wish)| *wish != Wish::Absent || prepared.sets.contains(id))
            .collect();
        self.apply_wishes(target, &wishes)
    }

    fn holds(&mut self, target: &Target, nets: &[IpNet]) -> Result<Vec<bool>, FirewallError> {
        let elements = nets.iter().map(|net| {
            let (id, address) = SetId::of(*net);
            (id.name(&target.name), address)
        });
        let elements: Vec<_> = elements.collect();
        self.which_are_there((INET, &target.table), &elements)
            .map_err(|failure| Place::from(target).failure(&failure, &Step::List))
    }

    fn list(&mut self, target: &Target) -> Result<Vec<Element>, FirewallError> {
        let place = Place::from(target);
        let sets = self.sets(place)?;
        if ADDRESS_SETS.iter().any(|id| !sets.contains_key(id)) {
            return Err(place.missing());
        }
        let mut elements = Vec::new();
        for id in sets.into_keys() {
            elements.extend(self.held(place, id)?.into_iter().filter_map(|record| {
                Some(Element {
                    net: id.net(record.address)?,
                    expires: record.expires.map(|milliseconds| milliseconds.div_ceil(1000)),
                    blocked: record.traffic,
                })
            }));
        }
        Ok(elements)
    }

    fn check(&mut self, target: &Target) -> Result<(), FirewallError> {
        let place = Place::from(target);
        let sets = self.sets(place)?;
        let rules = self.rules(target)?;
        let expected = conditions(target).len();
        let chains = target.chains();
        let is_blocked = |id: &SetId| {
            let name = id.name(&target.name);
            chains.iter().all(|(chain, _)| {
                let here = rules
                    .iter()
                    .filter(|rule| rule.chain == *chain && rule.sets.contains(&name));
                here.count() >= expected
            })
        };
        let is_whole = ADDRESS_SETS.iter().all(|id| sets.contains_key(id)) && sets.keys().all(is_blocked);
        if is_whole { Ok(()) } else { Err(place.missing()) }
    }

    fn remove(&mut self, target: &Target) -> Result<(), FirewallError> {
        let place = Place::from(target);
        self.prepared.remove(&(target.table.clone(), target.name.clone()));
        let mut transaction = Transaction::new(&target.table, self.socket.next_sequence());
        for rule in self.rules(target)? {
            transaction.delete_rule(&rule.chain, rule.handle);
        }
        for id in self.sets(place)?.into_keys() {
            transaction.delete_set(&id.name(&target.name));
        }
        self.transact(transaction, place)?;
        // Others may have something in the chain or in the table.
        for (chain, _) in target.chains() {
            if self.uses(place, kind::GET_CHAIN, Some(&chain), attribute::CHAIN_USE)? == Some(0) {
                let mut transaction = Transaction::new(&target.table, self.socket.next_sequence());
                transaction.delete_chain(&chain);
                self.transact(transaction, place)?;
            }
        }
        if self.uses(place, kind::GET_TABLE, None, attribute::TABLE_USE)? == Some(0) {
            let mut transaction = Transaction::new(&target.table, self.socket.next_sequence());
            transaction.delete_table();
            self.transact(transaction, place)?;
        }
        Ok(())
    }
}

impl Nftables {
    /// Opens a socket to the kernel's nftables, in the network namespace of the calling thread.
    pub fn open() -> Result<Self, FirewallError> {
        let socket = Socket::open(0).map_err(|errno| FirewallError::refused(&Step::Transaction, "", errno))?;
        let port = socket.port();
        ports().extend(port);
        Ok(Self {
            socket,
            port,
            prepared: HashMap::new(),
        })
    }

    /// Whether the kernel's number of a socket is that of one of ours that is open.
    #[must_use]
    pub fn is_ours(port: u32) -> bool {
        ports().contains(&port)
    }

    /// Limits how long an answer of the kernel is waited for; 10 s if not told otherwise.
    pub fn set_patience(&mut self, patience: Duration) -> Result<(), FirewallError> {
        self.socket
            .set_patience(patience)
            .map_err(|errno| FirewallError::refused(&Step::Transaction, "", errno))
    }

    /// Names of all tables in this network namespace, of every family, ours or not.
    pub fn tables(&mut self) -> Result<Vec<String>, FirewallError> {
        let request = |sequence| {
            let mut encoder = Encoder::default();
            encoder.message(kind::GET_TABLE, flag::REQUEST | flag::DUMP, sequence, (0, 0), |_| {});
            encoder.bytes().to_vec()
        };
        let read = |message: &message::Received<'_>| message.attributes().text(attribute::TABLE).map(str::to_owned);
        let place = Place { table: "", name: "" };
        self.socket
            .list(request, read)
            .map_err(|failure| place.failure(&failure, &Step::List))
    }

    /// The messages of [`Firewall::prepare`]; of the sets that are `replaced` what they hold is kept.
    fn try_prepare(
        &mut self,
        target: &Target,
        sets: &BTreeSet<SetId>,
        rules: &[RuleRecord],
        replaced: &BTreeMap<SetId, Vec<(IpAddr, u64)>>,
    ) -> Result<(), (Failure, Step)> {
        let mut transaction = Transaction::new(&target.table, self.socket.next_sequence());
        transaction.add_table();
        for (chain, hook) in target.chains() {
            transaction.add_chain(&chain, &hook, target.priority);
        }
        // The rules are written anew: old and new ones change places in one moment.
        for rule in rules {
            transaction.delete_rule(&rule.chain, rule.handle);
        }
        for id in sets {
            let name = id.name(&target.name);
            let held = replaced.get(id);
            if held.is_some() {
                transaction.delete_set(&name);
            }
            transaction.add_set(*id, &name);
            transaction.add_elements(&name, held.map_or(&[], Vec::as_slice), false);
        }
        for id in sets {
            add_rules(&mut transaction, target, *id);
        }
        self.send(transaction)
    }

    /// What one set of a target holds.
    fn held(&mut self, place: Place<'_>, id: SetId) -> Result<Vec<ElementRecord>, FirewallError> {
        let name = id.name(place.name);
        let names = [(attribute::TABLE, place.table), (attribute::ELEMENTS_SET, &name)];
        let listed = self.socket.list(
            |sequence| request(kind::GET_ELEMENTS, flag::DUMP, sequence, &names),
            read_elements,
        );
        let records = none_if_absent(listed, place)?.ok_or_else(|| place.missing())?;
        Ok(records.into_iter().flat_map(|record| record.elements).collect())
    }

    fn apply_wishes(&mut self, target: &Target, wishes: &[((SetId, IpAddr), Wish)]) -> Result<(), FirewallError> {
        let place = Place::from(target);
        let way = if wishes.is_empty() {
            return Ok(());
        } else if wishes.len() <= ASK_FIRST && wishes.iter().any(|(_, wish)| !matches!(wish, Wish::Kept(_))) {
            let elements: Vec<_> = wishes
                .iter()
                .map(|((id, address), _)| (id.name(&target.name), *address))
                .collect();
            let there = self
                .which_are_there((INET, &target.table), &elements)
                .map_err(|failure| place.failure(&failure, &Step::List))?;
            if wishes
                .iter()
                .zip(&there)
                .all(|((_, wish), is_there)| *wish == Wish::Absent && !is_there)
            {
                return self.expect_sets(target, wishes);
            }
            Way::Knowing(there)
        } else {
            Way::Expecting
        };
        let outcome = match self.try_wishes(target, wishes, &way) {
            // Something is there already, or not there any more; or answers were lost and it is not known what happened.
            Err((
                Failure::Refused {
                    errno: Errno::EXIST | Errno::NOENT,
                    ..
                }
                | Failure::Lost,
                _,
            )) => self.try_wishes(target, wishes, &Way::Regardless),
            outcome => outcome,
        };
        match outcome {
            Ok(()) => Ok(()),
            // Nothing that is added and deleted regardless of what is there can be missing but the set.
            Err((
                Failure::Refused {
                    errno: Errno::NOENT, ..
                },
                _,
            )) => Err(place.missing()),
            // Too long for the one buffer, or its answers for the other.
            Err((Failure::System(Errno::MSGSIZE) | Failure::Lost, _)) if wishes.len() > 1 => {
                let (first, second) = wishes.split_at(wishes.len() / 2);
                self.apply_wishes(target, first)?;
                self.apply_wishes(target, second)
            }
            Err((failure, step)) => Err(place.failure(&failure, &step)),
        }
    }

    /// Asks the kernel which elements are there. Those of a set that is not there are not.
    fn which_are_there(
        &mut self,
        (family, table): (u8, &str),
        elements: &[(String, IpAddr)],
    ) -> Result<Vec<bool>, Failure> {
        let mut answers = Vec::with_capacity(elements.len());
        for some in elements.chunks(ASKED_AT_ONCE) {
            let first = self.socket.next_sequence();
            let mut encoder = Encoder::default();
            for (sequence, (set, address)) in (first..).zip(some) {
                transaction::get_element(&mut encoder, sequence, (family, table, set), *address);
            }
            answers.extend(self.socket.ask(encoder.bytes(), first, some.len())?);
        }
        Ok(answers)
    }

    /// Fails with [`FirewallError::Missing`] if the sets are not there.
    fn expect_sets(&mut self, target: &Target, wishes: &[((SetId, IpAddr), Wish)]) -> Result<(), FirewallError> {
        let place = Place::from(target);
        let ids: BTreeSet<SetId> = wishes.iter().map(|((id, _), _)| *id).collect();
        for name in ids.into_iter().map(|id| id.name(&target.name)) {
            let names = [(attribute::TABLE, place.table), (attribute::SET_NAME, name.as_str())];
            let sets = self
                .socket
                .list(|sequence| request(kind::GET_SET, flag::ACK, sequence, &names), read_set);
            none_if_absent(sets, place)?.ok_or_else(|| place.missing())?;
        }
        Ok(())
    }

    /// One transaction that brings about the wishes.
    fn try_wishes(
        &mut self,
        target: &Target,
        wishes: &[((SetId, IpAddr), Wish)],
        way: &Way,
    ) -> Result<(), (Failure, Step)> {
        let mut transaction = Transaction::new(&target.table, self.socket.next_sequence());
        let key = (target.table.clone(), target.name.clone());
        let prepared = self.prepared.get(&key);
        let mut by_set: BTreeMap<SetId, Elements> = BTreeMap::new();
        for (position, &((id, address), wish)) in wishes.iter().enumerate() {
            let elements = by_set.entry(id).or_default();
            let is_there = match way {
                _ if matches!(wish, Wish::Kept(_)) => false,
                Way::Knowing(there) => there.get(position).copied().unwrap_or(false),
                Way::Expecting => wish == Wish::Absent,
                Way::Regardless => {
                    // Added if absent, so that there is something to delete.
                    elements.placeholders.push((address, 0));
                    true
                }
            };
            if is_there {
                elements.removals.push((address, 0));
            }
            match wish {
                Wish::Present(milliseconds) => elements.additions.push((address, milliseconds)),
                Wish::Kept(milliseconds) => elements.kept.push((address, milliseconds)),
                Wish::Absent => {}
            }
        }
        let mut new_sets = Vec::new();
        for (id, elements) in by_set {
            let name = id.name(&target.name);
            if !prepared.is_some_and(|prepared| prepared.sets.contains(&id)) {
                transaction.add_set(id, &name);
                add_rules(&mut transaction, target, id);
                new_sets.push(id);
            }
            // Until the transaction is whole no packet sees any of it: a ban that is deleted and added to give it a new time
            // has no hole. Kernels before 6.12 know no other way.
            transaction.add_elements(&name, &elements.placeholders, false);
            transaction.delete_elements(&name, &elements.removals);
            transaction.add_elements(&name, &elements.additions, true);
            transaction.add_elements(&name, &elements.kept, false);
        }
        self.send(transaction)?;
        if let Some(prepared) = self.prepared.get_mut(&key) {
            prepared.sets.extend(new_sets);
        }
        Ok(())
    }

    /// Carries out a transaction; nothing to do is done.
    fn transact(&mut self, transaction: Transaction<'_>, place: Place<'_>) -> Result<(), FirewallError> {
        self.send(transaction)
            .map_err(|(failure, step)| place.failure(&failure, &step))
    }

    fn send(&mut self, transaction: Transaction<'_>) -> Result<(), (Failure, Step)> {
        if transaction.is_empty() {
            return Ok(());
        }
        let (encoder, answers, steps) = transaction.finish();
        self.socket.transact(encoder.bytes(), &answers).map_err(|failure| {
            let step = match &failure {
                Failure::Refused { sequence, .. } => {
                    let position = usize::try_from(sequence.wrapping_sub(answers.start)).ok();
                    position.and_then(|position| steps.into_iter().nth(position))
                }
                _ => None,
            };
            (failure, step.unwrap_or(Step::Transaction))
        })
    }

    /// Our sets of a target that are in the kernel.
    fn sets(&mut self, place: Place<'_>) -> Result<BTreeMap<SetId, SetRecord>, FirewallError> {
        let request = |sequence| request(kind::GET_SET, flag::DUMP, sequence, &[(attribute::TABLE, place.table)]);
        let sets = self.socket.list(request, |message| {
            let set = read_set(message).filter(|set| set.table == place.table && message.family() == Some(INET))?;
            let (id, _) = SetId::parse(&set.name).filter(|(_, name)| *name == place.name)?;
            Some((id, set))
        });
        Ok(none_if_absent(sets, place)?.unwrap_or_default().into_iter().collect())
    }

    /// The rules in the target's chains that look into our sets.
    fn rules(&mut self, target: &Target) -> Result<Vec<RuleRecord>, FirewallError> {
        let mut all = Vec::new();
        for (chain, _) in target.chains() {
            let names = [
                (attribute::TABLE, target.table.as_str()),
                (attribute::RULE_CHAIN, chain.as_str()),
            ];
            let rules = self.socket.list(
                |sequence| request(kind::GET_RULE, flag::DUMP, sequence, &names),
                |message| {
                    let rule = read_rule(message)?;
                    let is_ours = |set: &String| SetId::parse(set).is_some_and(|(_, name)| name == target.name);
                    let is_here = rule.table == target.table && rule.chain == chain;
                    (is_here && rule.sets.iter().any(is_ours)).then_some(rule)
                },
            );
            all.extend(none_if_absent(rules, Place::from(target))?.unwrap_or_default());
        }
        Ok(all)
    }

    /// How many things are in a chain or a table; `None` if it is not there.
    fn uses(
        &mut self,
        place: Place<'_>,
        kind: u16,
        chain: Option<&str>,
        attribute: u16,
    ) -> Result<Option<u32>, FirewallError> {
        let mut names = vec![(attribute::TABLE, place.table)];
        names.extend(chain.map(|chain| (attribute::CHAIN_NAME, chain)));
        let uses = self.socket.list(
            |sequence| request(kind, flag::ACK, sequence, &names),
            |message| message.attributes().number(attribute),
        );
        Ok(none_if_absent(uses, place)?.and_then(|uses| uses.first().copied()))
    }
}

/// The rules that make a set block.
fn add_rules(transaction: &mut Transaction<'_>, target: &Target, id: SetId) {
    for (chain, _) in target.chains() {
        for condition in conditions(target) {
            transaction.add_rule(&chain, id, &id.name(&target.name), &condition, target.verdict);
        }
    }
}

/// Bytes of a request about named things of family inet.
fn request(kind: u16, flags: u16, sequence: u32, names: &[(u16, &str)]) -> Vec<u8> {
    request_in(INET, kind, flags, sequence, names)
}

/// Bytes of a request about named things of a family.
fn request_in(family: u8, kind: u16, flags: u16, sequence: u32, names: &[(u16, &str)]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.message(kind, flag::REQUEST | flags, sequence, (family, 0), |message| {
        for (attribute, name) in names {
            message.text(*attribute, name);
        }
    });
    encoder.bytes().to_vec()
}

/// A listing of something that is not there is `None`.
fn none_if_absent<T>(listed: Result<T, Failure>, place: Place<'_>) -> Result<Option<T>, FirewallError> {
    match listed {
        Ok(listed) => Ok(Some(listed)),
        Err(Failure::Refused {
            errno: Errno::NOENT, ..
        }) => Ok(None),
        Err(failure) => Err(place.failure(&failure, &Step::List)),
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Network, requires};

    use super::*;
    use crate::Block;

    #[test]
    fn where_answers_get_lost_a_batch_is_cut_until_they_fit_and_no_ban_is_lost() {
        if !requires(&["root", "unshare", "nsenter", "ip"]) {
            return;
        }
        Network::new().run(|| {
            let target = Target {
                table: "t".into(),
                chain: "c".into(),
                priority: 0,
                hooks: Vec::new(),
                name: "j".into(),
                ports: None,
                protocols: Vec::new(),
                verdict: Block::Drop,
            };
            let mut firewall = Nftables::open().unwrap();
            firewall.prepare(&target).unwrap();
            // Twenty answers do not fit.
            firewall.socket.set_room(8 << 10).unwrap();
            let mut other = Nftables::open().unwrap();
            // A quarter of what everybody gets.
            other.socket.set_room(50_000).unwrap();
            let nets: Vec<IpNet> = (0..20_000_u32)
                .map(|number| IpAddr::from((0x0a00_0000 + number).to_be_bytes()).into())
                .collect();
            for time in [600, 60] {
                let bans: Vec<Change> = nets.iter().map(|net| Change::Add(*net, Some(time))).collect();
                firewall.apply(&target, &bans).unwrap();
                assert_eq!(other.holds(&target, &nets).unwrap(), vec![true; nets.len()]);
            }
            let unbans: Vec<Change> = nets.iter().copied().map(Change::Remove).collect();
            firewall.apply(&target, &unbans).unwrap();
            assert_eq!(other.holds(&target, &nets).unwrap(), vec![false; nets.len()]);
        });
    }
}

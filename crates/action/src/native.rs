//! Actions without commands: the kernel's sets, changed over netlink.

mod bite;
mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use stockade_core::effect::Ban;
use stockade_core::logline::Level;
use stockade_core::{IpNet, JailName, Timestamp, Until};
use stockade_firewall::{Change, Conntrack, Firewall, FirewallError, Target, Traffic};

use crate::error::ActionError;
use crate::{Account, Context, Standing};
use bite::Bite;
pub(crate) use options::Options;

const ACTIONS: &str = "fail2ban.actions";

/// A native action, and the bans it has set.
pub(crate) struct Native {
    jail: JailName,
    name: String,
    options: Options,
    firewall: Option<Box<dyn Firewall>>,
    prepared: bool,
    active: BTreeMap<IpNet, Until>,
    /// The networks that are banned because many of their addresses are.
    crowds: BTreeSet<IpNet>,
    /// What an earlier run left in the kernel was not compared yet.
    has_leftovers: bool,
    /// Bans that the kernel did not have when it was last asked although it should.
    absent: usize,
    /// How often something was put right.
    repairs: u64,
    /// Connection tracking, if flows are to be cut and that works.
    conntrack: Option<Conntrack>,
    bite: Bite,
    /// It was started and not stopped: what it has is to be in the kernel.
    running: bool,
    /// The kernel may hold something else than `active`: a change could not be made.
    behind: bool,
    /// What went wrong in the last check, which is told once.
    told: Option<String>,
}

impl Native {
    pub(crate) fn new(jail: &JailName, name: &str, options: Options) -> Self {
        let (jail, name) = (jail.clone(), name.to_owned());
        Self {
            jail,
            name,
            options,
            firewall: None,
            prepared: false,
            active: BTreeMap::new(),
            crowds: BTreeSet::new(),
            has_leftovers: false,
            absent: 0,
            repairs: 0,
            conntrack: None,
            bite: Bite::default(),
            running: false,
            behind: false,
            told: None,
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.options.target
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// What the kernel holds of what it should hold.
    pub(crate) fn standing(&self) -> Standing {
        let should_be = self.active.len();
        Standing {
            in_kernel: should_be.saturating_sub(self.absent),
            should_be,
            repairs: self.repairs,
        }
    }

    /// Asks the kernel what it holds, and what that has blocked; what is known without asking if it does not say.
    pub(crate) fn account(&mut self) -> Account {
        let mut account = Account {
            standing: self.standing(),
            blocked: None,
        };
        let Ok(held) = self.held() else { return account };
        let own = self.active.keys().map(|net| self.options.place(*net)).collect();
        let Ok(absent) = self.absent_of(own, |place| held.contains_key(place)) else {
            return account;
        };
        let is_there = |net: &&IpNet| !absent.contains(&self.options.place(**net));
        account.standing.in_kernel = self.active.keys().filter(is_there).count();
        account.blocked = held
            .into_iter()
            .map(|(net, blocked)| Some((net, blocked?)))
            .collect::<Option<_>>();
        account
    }

    /// Those of these places that the kernel does not have. A listing may miss some, so those that are not in it are asked for.
    fn absent_of(
        &mut self,
        mut places: BTreeSet<IpNet>,
        is_listed: impl Fn(&IpNet) -> bool,
    ) -> Result<BTreeSet<IpNet>, ActionError> {
        places.retain(|place| !is_listed(&key_of(*place)));
        if places.is_empty() {
            return Ok(places);
        }
        let (target, asked) = (self.options.target.clone(), Vec::from_iter(places));
        let mut answers = Vec::new();
        self.with(|firewall| firewall.holds(&target, &asked).map(|there| answers = there))?;
        let absent = asked.into_iter().zip(answers).filter(|(_, is_there)| !is_there);
        Ok(absent.map(|(place, _)| place).collect())
    }

    /// What is in the kernel, with what it has blocked; nothing if the sets are not there.
    fn held(&mut self) -> Result<BTreeMap<IpNet, Option<Traffic>>, ActionError> {
        let target = self.options.target.clone();
        let mut held = BTreeMap::new();
        let listed = self.with(|firewall| {
            let elements = firewall.list(&target)?;
            held.extend(elements.into_iter().map(|element| (element.net, element.blocked)));
            Ok(())
        });
        match listed {
            Err(ActionError::Firewall { error, .. }) if error.is_missing() => Ok(BTreeMap::new()),
            outcome => outcome.map(|()| held),
        }
    }

    pub(crate) fn attach(&mut self, firewall: Box<dyn Firewall>) {
        self.firewall = Some(firewall);
    }

    /// True if it has nothing in the kernel.
    pub(crate) fn is_idle(&self) -> bool {
        !self.prepared
    }

    pub(crate) fn adopt(&mut self, other: Self) {
        self.options = other.options;
    }

    pub(crate) fn start(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        self.running = true;
        let outcome = self.prepare();
        // What an earlier run left stays banned until the bans that are restored have come.
        let target = self.options.target.clone();
        let mut leftovers = false;
        let listed = self.with(|firewall| firewall.list(&target).map(|elements| leftovers = !elements.is_empty()));
        self.has_leftovers = leftovers && listed.is_ok();
        if let Err(error) = &outcome {
            self.told = Some(error.to_string());
            let text = format!("Failed to start jail '{}' action '{}': {error}", self.jail, self.name);
            context.say(ACTIONS, Level::Error, text);
        }
        outcome
    }

    pub(crate) fn ban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut outcome = Ok(());
        let (mut nets, mut nets_again) = (Vec::with_capacity(bans.len()), Vec::new());
        let mut seen_again = Vec::new();
        for ban in bans {
            if let Some(net) = ban.id.as_net() {
                if self.active.insert(net, ban.until) == Some(ban.until) {
                    seen_again.push(ban);
                    nets_again.push(net);
                } else {
                    nets.push(net);
                }
            } else {
                let error = ActionError::NoAddress {
                    action: self.name.clone(),
                    id: ban.id.clone(),
                };
                self.report_failure("ban", std::slice::from_ref(ban), &error, context);
                outcome = outcome.and(Err(error));
            }
        }
        let mut changes = self.changes(&nets, context);
        changes.extend(nets_again.into_iter().map(|net| {
            let place = self.options.place(net);
            let until = self.wanted(place).unwrap_or(Until::Forever);
            Change::Keep(place, lasting(until, context.now))
        }));
        if changes.is_empty() {
            return outcome;
        }
        let applied = self.apply(&changes, context);
        if let Err(error) = &applied {
            self.report_failure("ban", bans, error, context);
            return outcome.and(applied);
        }
        self.cut_flows(bans, context);
        for ban in seen_again {
            if self.bite.is_news(ban, context.now) {
                let blocked = self.blocked(ban);
                let text = bite::diagnosis(ban, blocked, &self.options, context.now);
                context.say(ACTIONS, Level::Warning, format!("[{}] {text}", self.jail));
            }
        }
        outcome
    }

    /// What the kernel has blocked of somebody, if it counts that.
    fn blocked(&mut self, ban: &Ban) -> Option<Traffic> {
        let place = key_of(self.options.place(ban.id.as_net()?));
        self.held().ok()?.remove(&place)?
    }

    pub(crate) fn unban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        let nets: Vec<IpNet> = bans
            .iter()
            .filter_map(|ban| ban.id.as_net())
            .filter(|net| self.active.remove(net).is_some())
            .collect();
        if nets.is_empty() {
            return Ok(());
        }
        let changes = self.changes(&nets, context);
        let applied = self.apply(&changes, context);
        if let Err(error) = &applied {
            self.report_failure("unban", bans, error, context);
        }
        applied
    }

    /// What the kernel is to change after bans of these were made or lifted.
    fn changes(&mut self, nets: &[IpNet], context: &mut Context<'_>) -> Vec<Change> {
        let now = context.now;
        let change = |place, wanted: Option<Until>| match wanted {
            Some(until) => Change::Add(place, lasting(until, now)),
            None => Change::Remove(place),
        };
        if self.options.is_plain() {
            let nets = nets.iter();
            return nets.map(|net| change(*net, self.active.get(net).copied())).collect();
        }
        let places: BTreeSet<IpNet> = nets.iter().map(|net| self.options.place(*net)).collect();
        let mut changes: Vec<Change> = places
            .into_iter()
            .map(|place| change(place, self.wanted(place)))
            .collect();
        let crowds: BTreeSet<IpNet> = nets.iter().filter_map(|net| self.options.crowd_of(*net)).collect();
        for crowd in crowds {
            let wanted = self.wanted_crowd(crowd);
            let was_there = self.crowds.contains(&crowd);
            if wanted.is_some() && !was_there {
                let text = format!(
                    "[{}] Ban {crowd} whole with action '{}': {} of its addresses are banned",
                    self.jail,
                    self.name,
                    self.options.crowd.unwrap_or_default()
                );
                context.say(ACTIONS, Level::Notice, text);
                self.crowds.insert(crowd);
            } else if wanted.is_none() && was_there {
                self.crowds.remove(&crowd);
            } else if wanted.is_none() {
                continue;
            }
            // A network that is banned for itself, too, stays.
            changes.push(change(crowd, wanted.max(self.wanted(crowd))));
        }
        changes
    }

    /// The bans within a network.
    fn within(&self, place: IpNet) -> impl Iterator<Item = (IpNet, Until)> {
        let first = IpNet::new(place.network(), 0).unwrap_or(place);
        let last = IpNet::from(place.broadcast());
        let inside = self.active.range(first..=last).map(|(net, until)| (*net, *until));
        inside.filter(move |(net, _)| place.contains(net))
    }

    /// Until when a place is banned because of those whose bans take effect there.
    fn wanted(&self, place: IpNet) -> Option<Until> {
        if self.options.is_plain() {
            return self.active.get(&place).copied();
        }
        let here = self.within(place).filter(|(net, _)| self.options.place(*net) == place);
        here.map(|(_, until)| until).max()
    }

    /// Until when a network is banned because so many of its addresses are: as long as there are so many.
    fn wanted_crowd(&self, crowd: IpNet) -> Option<Until> {
        let floor = usize::try_from(self.options.crowd?).unwrap_or(usize::MAX);
        let mut ends: Vec<Until> = self
            .within(crowd)
            .filter(|(net, _)| self.options.crowd_of(*net) == Some(crowd))
            .map(|(_, until)| until)
            .collect();
        ends.sort_unstable_by(|first, second| second.cmp(first));
        ends.get(floor.checked_sub(1)?).copied()
    }

    /// All places that are to be banned.
    fn places(&self) -> BTreeMap<IpNet, Until> {
        if self.options.is_plain() {
            return self.active.clone();
        }
        let mut places: BTreeMap<IpNet, Until> = BTreeMap::new();
        let own = self
            .active
            .iter()
            .map(|(net, until)| (self.options.place(*net), *until));
        let crowds = self.crowds.iter();
        let crowds = crowds.filter_map(|crowd| Some((*crowd, self.wanted_crowd(*crowd)?)));
        for (place, until) in own.chain(crowds) {
            let end = places.entry(place).or_insert(until);
            *end = until.max(*end);
        }
        places
    }

    /// Cuts the established flows of those who were banned just now.
    fn cut_flows(&mut self, bans: &[Ban], context: &mut Context<'_>) {
        if !self.options.cut_flows {
            return;
        }
        let addresses: Vec<IpAddr> = bans
            .iter()
            .filter(|ban| !ban.restored)
            .filter_map(|ban| ban.id.as_net())
            .filter(|net| net.prefix_len() == net.max_prefix_len())
            .map(|net| net.addr())
            .collect();
        let outcome = match &mut self.conntrack {
            Some(conntrack) => conntrack.cut(&addresses),
            none => Conntrack::open().and_then(|conntrack| none.insert(conntrack).cut(&addresses)),
        };
        if let Err(error) = outcome {
            // Told once; the bans hold without it.
            self.options.cut_flows = false;
            let text = format!(
                "[{}] action '{}': {error}; bans are made without it",
                self.jail, self.name
            );
            context.say(ACTIONS, Level::Warning, text);
        }
    }

    pub(crate) fn flush(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        if self.active.is_empty() {
            return Ok(());
        }
        let text = format!("[{}] Flush ticket(s) with {}", self.jail, self.name);
        context.say(ACTIONS, Level::Notice, text);
        let changes: Vec<Change> = self.places().into_keys().map(Change::Remove).collect();
        self.active.clear();
        self.crowds.clear();
        let applied = self.apply(&changes, context);
        if let Err(error) = &applied {
            let text = format!(
                "Failed to flush bans of jail '{}' action '{}': {error}",
                self.jail, self.name
            );
            context.say(ACTIONS, Level::Error, text);
        }
        applied
    }

    /// Removes the sets with all that is in them.
    pub(crate) fn stop(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        if !self.active.is_empty() {
            let text = format!("[{}] Flush ticket(s) with {}", self.jail, self.name);
            context.say(ACTIONS, Level::Notice, text);
        }
        self.forget();
        if !std::mem::take(&mut self.prepared) {
            return Ok(());
        }
        let target = self.options.target.clone();
        let outcome = self.with(|firewall| firewall.remove(&target));
        if let Err(error) = &outcome {
            let text = format!("Failed to stop jail '{}' action '{}': {error}", self.jail, self.name);
            context.say(ACTIONS, Level::Error, text);
        }
        outcome
    }

    /// Ends, and leaves what is in the kernel until its times are over, if that is wanted.
    pub(crate) fn leave(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        if !self.options.keep_at_end || self.behind {
            return self.stop(context);
        }
        let text = format!(
            "[{}] {} ban(s) of action '{}' stay in the kernel until their times are over",
            self.jail,
            self.active.len(),
            self.name
        );
        context.say(ACTIONS, Level::Notice, text);
        self.forget();
        self.prepared = false;
        Ok(())
    }

    fn forget(&mut self) {
        self.active.clear();
        self.crowds.clear();
        self.running = false;
        self.behind = false;
        self.has_leftovers = false;
        self.absent = 0;
    }

    fn prepare(&mut self) -> Result<(), ActionError> {
        let target = self.options.target.clone();
        self.with(|firewall| firewall.prepare(&target))?;
        self.prepared = true;
        Ok(())
    }

    /// Looks whether all is in the kernel that should be; if not, makes it again.
    ///
    /// Other programs empty the firewall (`nft flush ruleset`, a restart of nftables.service); until the next ban nothing else would notice.
    pub(crate) fn check(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        if !self.running {
            return Ok(());
        }
        let target = self.options.target.clone();
        let why = if self.behind || !self.prepared {
            "not all bans could be set".to_owned()
        } else {
            match self.with(|firewall| firewall.check(&target)) {
                Ok(()) => {
                    self.told = None;
                    return self.compare(context);
                }
                Err(ActionError::Firewall { error, .. }) if error.is_missing() => error.to_string(),
                // What there is cannot be told now; a change would fail, and say so.
                Err(error) => return Err(error),
            }
        };
        let outcome = self.restore(context.now);
        let (level, text) = match &outcome {
            Ok(_) => (Level::Warning, format!("{why}; made again with all bans")),
            Err(error) => (Level::Error, format!("{error}; it is tried again every few seconds")),
        };
        self.repairs += u64::from(outcome.is_ok());
        if outcome.is_ok() || self.told.as_ref() != Some(&text) {
            let text = format!("[{}] action '{}': {text}", self.jail, self.name);
            context.say(ACTIONS, level, text);
        }
        self.told = outcome.is_err().then_some(text);
        outcome.map(|_| ())
    }

    /// Compares what the kernel has with what it should have, address by address, and corrects it.
    fn compare(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        let difference = self.correct(context.now)?;
        if std::mem::take(&mut self.has_leftovers) {
            let text = format!(
                "[{}] action '{}': took over what an earlier run left in the kernel: {} added, {} corrected, {} removed",
                self.jail, self.name, difference.added, difference.corrected, difference.removed
            );
            context.say(ACTIONS, Level::Info, text);
        } else if difference.added > 0 || difference.removed > 0 {
            self.repairs += 1;
            let text = format!(
                "[{}] action '{}': of {} bans {} were not in the kernel, and {} were there that should not; put right; why: somebody else has \
                 changed the sets",
                self.jail,
                self.name,
                self.active.len(),
                difference.added,
                difference.removed
            );
            context.say(ACTIONS, Level::Warning, text);
        }
        Ok(())
    }

    /// Brings the kernel to what is active, whatever it holds.
    fn restore(&mut self, now: Timestamp) -> Result<Difference, ActionError> {
        self.prepare()?;
        self.correct(now)
    }

    /// Brings the sets to what is active, in one transaction.
    fn correct(&mut self, now: Timestamp) -> Result<Difference, ActionError> {
        let target = self.options.target.clone();
        let mut held = BTreeMap::new();
        self.with(|firewall| {
            let elements = firewall.list(&target)?;
            held.extend(elements.into_iter().map(|element| (element.net, element.expires)));
            Ok(())
        })?;
        let (mut difference, mut changes) = (Difference::default(), Vec::new());
        let places = self.places();
        let absent = self.absent_of(places.keys().copied().collect(), |place| held.contains_key(place))?;
        for (place, until) in places {
            let wanted = lasting(until, now);
            // What ends in this moment may be gone already.
            let is_ending = wanted.is_some_and(|seconds| seconds <= 2);
            match held.remove(&key_of(place)) {
                None if is_ending || !absent.contains(&place) => continue,
                None => difference.added += 1,
                Some(expires) if is_near(expires, wanted) => continue,
                Some(_) => difference.corrected += 1,
            }
            changes.push(Change::Add(place, wanted));
        }
        difference.removed = held.len();
        changes.extend(held.into_keys().map(Change::Remove));
        self.absent = difference.added;
        if !changes.is_empty() {
            self.with(|firewall| firewall.apply(&target, &changes))?;
        }
        self.behind = false;
        self.absent = 0;
        Ok(difference)
    }

    /// All active bans as changes.
    fn all(&self, now: Timestamp) -> impl Iterator<Item = Change> + use<> {
        let places = self.places().into_iter();
        places.map(move |(net, until)| Change::Add(net, lasting(until, now)))
    }

    /// Applies changes. If somebody has removed the sets, makes them again, with all active bans. What fails is tried again by `check`.
    fn apply(&mut self, changes: &[Change], context: &mut Context<'_>) -> Result<(), ActionError> {
        let outcome = self.try_apply(changes, context);
        if outcome.is_err() {
            self.behind = true;
            self.absent = self.absent.saturating_add(changes.len()).min(self.active.len());
        }
        outcome
    }

    fn try_apply(&mut self, changes: &[Change], context: &mut Context<'_>) -> Result<(), ActionError> {
        if !self.prepared {
            self.prepare()?;
        }
        let target = self.options.target.clone();
        let first = match self.with(|firewall| firewall.apply(&target, changes)) {
            Err(ActionError::Firewall { error, .. }) if error.is_missing() => error,
            outcome => return outcome,
        };
        let text = format!(
            "[{}] action '{}': {first}; making it again with all bans",
            self.jail, self.name
        );
        context.say(ACTIONS, Level::Warning, text);
        self.prepare()?;
        // Bans first, so that a removal among the changes has the last word.
        let removals = changes.iter().filter(|change| matches!(change, Change::Remove(_)));
        let all: Vec<Change> = self.all(context.now).chain(removals.copied()).collect();
        self.with(|firewall| firewall.apply(&target, &all))
    }

    fn with(&mut self, work: impl FnOnce(&mut dyn Firewall) -> Result<(), FirewallError>) -> Result<(), ActionError> {
        match &mut self.firewall {
            Some(firewall) => work(firewall.as_mut()).map_err(|error| ActionError::Firewall {
                action: self.name.clone(),
                error,
            }),
            None => Err(ActionError::NoFirewall {
                action: self.name.clone(),
            }),
        }
    }

    fn report_failure(&self, what: &str, bans: &[Ban], error: &ActionError, context: &mut Context<'_>) {
        // One line for a batch: hundreds of equal lines tell no more.
        let shown: Vec<String> = bans
            .iter()
            .take(5)
            .map(|ban| ban.id.to_string().escape_debug().to_string())
            .collect();
        let more = if bans.len() > 5 {
            format!(" and {} more", bans.len() - 5)
        } else {
            String::new()
        };
        let text = format!(
            "Failed to execute {what} jail '{}' action '{}' info 'ActionInfo({{'ip': '{}'}})'{more}: {error}",
            self.jail,
            self.name,
            shown.join(", "),
        );
        context.say(ACTIONS, Level::Error, text);
    }
}

/// How the kernel's sets differed from what they should be.
#[derive(Default)]
struct Difference {
    added: usize,
    corrected: usize,
    removed: usize,
}

/// The kernel counts down from when it was told, we from the log's time.
fn is_near(expires: Option<u64>, wanted: Option<u64>) -> bool {
    match (expires, wanted) {
        (None, None) => true,
        (Some(expires), Some(wanted)) => expires.abs_diff(wanted) <= 2,
        _ => false,
    }
}

/// A ban as the kernel lists it: without bits behind its prefix, and IPv4 as IPv4.
fn key_of(net: IpNet) -> IpNet {
    match net.trunc() {
        IpNet::V6(inner) => match (inner.addr().to_ipv4_mapped(), inner.prefix_len().checked_sub(96)) {
            (Some(address), Some(length)) => IpNet::new(address.into(), length).unwrap_or(net),
            _ => net.trunc(),
        },
        net @ IpNet::V4(_) => net,
    }
}

/// Seconds until the kernel may end a ban by itself; `None` for never.
///
/// The kernel must not end it before we do, and its clock starts when the change arrives: one second more.
fn lasting(until: Until, now: Timestamp) -> Option<u64> {
    let Until::At(end) = until else { return None };
    let left = end.micros().saturating_sub(now.micros());
    let seconds = left.div_euclid(1_000_000) + i64::from(left.rem_euclid(1_000_000) > 0);
    Some(u64::try_from(seconds.saturating_add(1)).unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_the_kernel_end_a_ban_only_after_us() {
        let now = Timestamp::from_micros(1_000_000_500_000);
        for (end, expected) in [
            (1_000_010_500_000, 11),
            (1_000_010_500_001, 12),
            (1_000_000_000_000, 1),
            (0, 1),
        ] {
            assert_eq!(
                lasting(Until::At(Timestamp::from_micros(end)), now),
                Some(expected),
                "{end}"
            );
        }
        assert_eq!(lasting(Until::Forever, now), None);
    }
}

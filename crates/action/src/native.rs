//! Actions without commands: the kernel's sets, changed over netlink.

use std::collections::BTreeMap;

use stockade_core::effect::Ban;
use stockade_core::logline::Level;
use stockade_core::{IpNet, JailName, Timestamp, Until};
use stockade_firewall::{Change, Firewall, FirewallError, Target};

use crate::Context;
use crate::error::ActionError;

const ACTIONS: &str = "fail2ban.actions";

/// A native action, and the bans it has set.
pub(crate) struct Native {
    jail: JailName,
    name: String,
    target: Target,
    firewall: Option<Box<dyn Firewall>>,
    prepared: bool,
    active: BTreeMap<IpNet, Until>,
    /// It was started and not stopped: what it has is to be in the kernel.
    running: bool,
    /// The kernel may hold something else than `active`: a change could not be made.
    behind: bool,
    /// What went wrong in the last check, which is told once.
    told: Option<String>,
}

impl Native {
    pub(crate) fn new(jail: &JailName, name: &str, target: Target) -> Self {
        let (jail, name) = (jail.clone(), name.to_owned());
        Self {
            jail,
            name,
            target,
            firewall: None,
            prepared: false,
            active: BTreeMap::new(),
            running: false,
            behind: false,
            told: None,
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn attach(&mut self, firewall: Box<dyn Firewall>) {
        self.firewall = Some(firewall);
    }

    /// True if it has nothing in the kernel.
    pub(crate) fn is_idle(&self) -> bool {
        !self.prepared
    }

    pub(crate) fn adopt(&mut self, other: Self) {
        self.target = other.target;
    }

    pub(crate) fn start(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        self.running = true;
        let outcome = self.prepare();
        if let Err(error) = &outcome {
            self.told = Some(error.to_string());
            let text = format!("Failed to start jail '{}' action '{}': {error}", self.jail, self.name);
            context.say(ACTIONS, Level::Error, text);
        }
        outcome
    }

    pub(crate) fn ban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut outcome = Ok(());
        let mut changes = Vec::with_capacity(bans.len());
        for ban in bans {
            if let Some(net) = ban.id.as_net() {
                changes.push(Change::Add(net, lasting(ban.until, context.now)));
                self.active.insert(net, ban.until);
            } else {
                let error = ActionError::NoAddress {
                    action: self.name.clone(),
                    id: ban.id.clone(),
                };
                self.report_failure("ban", std::slice::from_ref(ban), &error, context);
                outcome = outcome.and(Err(error));
            }
        }
        if changes.is_empty() {
            return outcome;
        }
        let applied = self.apply(&changes, context);
        if let Err(error) = &applied {
            self.report_failure("ban", bans, error, context);
        }
        outcome.and(applied)
    }

    pub(crate) fn unban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        let nets = bans.iter().filter_map(|ban| ban.id.as_net());
        let changes: Vec<Change> = nets
            .filter(|net| self.active.remove(net).is_some())
            .map(Change::Remove)
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let applied = self.apply(&changes, context);
        if let Err(error) = &applied {
            self.report_failure("unban", bans, error, context);
        }
        applied
    }

    pub(crate) fn flush(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        if self.active.is_empty() {
            return Ok(());
        }
        let text = format!("[{}] Flush ticket(s) with {}", self.jail, self.name);
        context.say(ACTIONS, Level::Notice, text);
        let changes: Vec<Change> = std::mem::take(&mut self.active)
            .into_keys()
            .map(Change::Remove)
            .collect();
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
            self.active.clear();
        }
        self.running = false;
        self.behind = false;
        if !std::mem::take(&mut self.prepared) {
            return Ok(());
        }
        let target = self.target.clone();
        let outcome = self.with(|firewall| firewall.remove(&target));
        if let Err(error) = &outcome {
            let text = format!("Failed to stop jail '{}' action '{}': {error}", self.jail, self.name);
            context.say(ACTIONS, Level::Error, text);
        }
        outcome
    }

    fn prepare(&mut self) -> Result<(), ActionError> {
        let target = self.target.clone();
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
        let target = self.target.clone();
        let why = if self.behind || !self.prepared {
            "not all bans could be set".to_owned()
        } else {
            match self.with(|firewall| firewall.check(&target)) {
                Ok(()) => {
                    self.told = None;
                    return Ok(());
                }
                Err(ActionError::Firewall { error, .. }) if error.is_missing() => error.to_string(),
                // What there is cannot be told now; a change would fail, and say so.
                Err(error) => return Err(error),
            }
        };
        let outcome = self.restore(context.now);
        let (level, text) = match &outcome {
            Ok(()) => (Level::Warning, format!("{why}; made again with all bans")),
            Err(error) => (Level::Error, format!("{error}; it is tried again every few seconds")),
        };
        if outcome.is_ok() || self.told.as_ref() != Some(&text) {
            let text = format!("[{}] action '{}': {text}", self.jail, self.name);
            context.say(ACTIONS, level, text);
        }
        self.told = outcome.is_err().then_some(text);
        outcome
    }

    /// Brings the kernel to what is active, whatever it holds.
    fn restore(&mut self, now: Timestamp) -> Result<(), ActionError> {
        self.prepare()?;
        let target = self.target.clone();
        let mut held = Vec::new();
        self.with(|firewall| firewall.list(&target).map(|elements| held = elements))?;
        let gone = held.iter().map(|element| element.net);
        let gone = gone.filter(|net| !self.active.contains_key(net)).map(Change::Remove);
        let changes: Vec<Change> = self.all(now).chain(gone).collect();
        self.with(|firewall| firewall.apply(&target, &changes))?;
        self.behind = false;
        Ok(())
    }

    /// All active bans as changes.
    fn all(&self, now: Timestamp) -> impl Iterator<Item = Change> {
        self.active
            .iter()
            .map(move |(net, until)| Change::Add(*net, lasting(*until, now)))
    }

    /// Applies changes. If somebody has removed the sets, makes them again, with all active bans. What fails is tried again by `check`.
    fn apply(&mut self, changes: &[Change], context: &mut Context<'_>) -> Result<(), ActionError> {
        let outcome = self.try_apply(changes, context);
        self.behind |= outcome.is_err();
        outcome
    }

    fn try_apply(&mut self, changes: &[Change], context: &mut Context<'_>) -> Result<(), ActionError> {
        if !self.prepared {
            self.prepare()?;
        }
        let target = self.target.clone();
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

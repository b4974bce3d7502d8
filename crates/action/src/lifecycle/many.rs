//! Many bans at once: by the ways around processes where there are some, and what these leave by the commands, one after the other.

use super::{
    ACTIONS, Ban, COMMAND_ACTION, Commands, Context, FAILURES_IN_A_ROW, Family, Kind, Level, Settings, Step, Subject,
    shown,
};
use std::collections::BTreeSet;

use crate::error::ActionError;
use stockade_core::{FailureId, Fields, Seconds, Timestamp, Until};

/// A way around that failed so often where the command did not is not taken again.
const DOUBTS: u32 = 3;

impl Commands {
    /// True if bans can be made without a process for each.
    pub(crate) fn works_in_bulk(&self) -> bool {
        self.bulk.is_some() && self.settings.is_known
    }

    pub(crate) fn ban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut outcome = Ok(());
        let mut wanted: Vec<(Family, &Ban)> = bans
            .iter()
            .filter(|ban| !(self.settings.norestored && ban.restored))
            .map(|ban| (self.settings.family(&ban.id), ban))
            .collect();
        wanted.sort_by_key(|(family, _)| *family);
        for group in wanted.chunk_by(|(first, _), (second, _)| first == second) {
            let Some((family, _)) = group.first().copied() else {
                continue;
            };
            let group = group.iter().map(|(_, ban)| *ban);
            let this = self.ban_family(family, group, context);
            outcome = outcome.and(this);
        }
        outcome
    }

    fn ban_family<'a>(
        &mut self,
        family: Family,
        mut bans: impl ExactSizeIterator<Item = &'a Ban>,
        context: &mut Context<'_>,
    ) -> Result<(), ActionError> {
        let mut outcome = Ok(());
        let mut failures = 0;
        // The first goes the way of a single one: it starts what is not started.
        while !self.started.contains(&family) && failures < FAILURES_IN_A_ROW {
            let Some(ban) = bans.next() else { return outcome };
            let this = self.ban(ban, context);
            failures += u32::from(this.is_err());
            outcome = outcome.and(this);
        }
        let bans: Vec<Ban> = bans.cloned().collect();
        if bans.is_empty() {
            return outcome;
        }
        let mut left = if self.started.contains(&family) {
            let left = self.perform(Kind::Ban, family, bans, context);
            failures = 0;
            left
        } else {
            bans
        }
        .into_iter();
        while failures < FAILURES_IN_A_ROW {
            let Some(ban) = left.next() else { return outcome };
            let this = self.ban(&ban, context);
            failures = if this.is_ok() { 0 } else { failures + 1 };
            outcome = outcome.and(this);
        }
        let left: Vec<Ban> = left.collect();
        if left.is_empty() {
            return outcome;
        }
        for ban in &left {
            self.remember(ban, false);
        }
        let text = format!(
            "[{}] action '{}': {FAILURES_IN_A_ROW} bans failed one after the other; {} more are not tried now, but when their owners are seen \
             again; why: they would fail likewise, see above; mend: what is said above",
            self.settings.jail,
            self.settings.name,
            left.len()
        );
        context.say(ACTIONS, Level::Error, text);
        let id = left.first().map(|ban| ban.id.clone());
        outcome.and(Err(self.settings.command_error("banning", id.as_ref())))
    }

    pub(crate) fn unban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut wanted = Vec::new();
        for ban in bans {
            if self.has_bans(self.settings.family(&ban.id)) {
                wanted.push(ban.clone());
            } else {
                self.forget(&ban.id);
            }
        }
        self.lift_many(&wanted, context)
    }

    /// Lifts bans, whether or not they are in place by our account.
    pub(super) fn lift_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut outcome = Ok(());
        let mut wanted: Vec<(Family, &Ban)> = bans.iter().map(|ban| (self.settings.family(&ban.id), ban)).collect();
        wanted.sort_by_key(|(family, _)| *family);
        for group in wanted.chunk_by(|(first, _), (second, _)| first == second) {
            let Some((family, _)) = group.first().copied() else {
                continue;
            };
            let mut left: Vec<Ban> = group.iter().map(|(_, ban)| (*ban).clone()).collect();
            if left.len() > 1 && self.bulk.is_some() {
                // Gone before the attempt, so that a repair on the way does not set them again.
                for ban in &left {
                    self.forget(&ban.id);
                }
                left = self.perform(Kind::Unban, family, left, context);
            }
            for ban in left {
                let this = self.lift(family, &ban, context);
                outcome = outcome.and(this);
            }
        }
        outcome
    }

    /// Does for many bans what the command of a kind would do, as far as there is a way around running it. Returns those
    /// for which it is still to be run.
    ///
    /// If the environment turns out to be broken, it is repaired and everything done again; bans that are lifted are gone then.
    pub(super) fn perform(
        &mut self,
        kind: Kind,
        family: Family,
        bans: Vec<Ban>,
        context: &mut Context<'_>,
    ) -> Vec<Ban> {
        let (mut steps, mut known, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for ban in bans {
            match self.step(kind, family, &ban, context) {
                Some(step) => {
                    steps.push(step);
                    known.push(ban);
                }
                None => left.push(ban),
            }
        }
        let mut failed = self.perform_steps(&steps);
        let is_broken = !failed.is_empty()
            && self.settings.has(Kind::Check, family)
            && !self.settings.run(Kind::Check, family, None, context);
        if is_broken && kind == Kind::Unban && !self.settings.repair_on_unban {
            let text = "Invariant check failed. Unban is impossible.";
            context.say(COMMAND_ACTION, Level::Error, text.to_owned());
            let error = self.settings.environment_error("unbanning", None);
            self.report_many("unban", &known, &error, context);
            return left;
        }
        if is_broken && self.repair(family, context) {
            self.ban_again(family, None, context);
            self.check_other_families(family, context);
            if kind == Kind::Unban {
                return left;
            }
            // The repair has taken away what was done.
            failed = self.perform_steps(&steps);
        }
        let mut failed = failed.into_iter().peekable();
        for (position, ban) in known.into_iter().enumerate() {
            if failed.next_if_eq(&position).is_some() {
                left.push(ban);
            } else if kind != Kind::Unban {
                self.remember(&ban, true);
            }
        }
        left
    }

    /// Looks whether everything is in the kernel that should be, and puts right what is not. What only its commands know is checked by them.
    pub(crate) fn check(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        if !self.works_in_bulk() {
            return Ok(());
        }
        let mut outcome = Ok(());
        let banned = self.active.keys().chain(self.failed.keys());
        let mut families: BTreeSet<Family> = banned.map(|id| self.settings.family(id)).collect();
        families.extend(&self.started);
        for family in families {
            if !self.started.contains(&family) {
                // The start, or a repair, failed before.
                if !self.settings.run(Kind::Start, family, None, context) {
                    outcome = Err(self.settings.command_error("starting action", None));
                    continue;
                }
                self.started.insert(family);
                self.repairs += 1;
            }
            let is_broken =
                self.settings.has(Kind::Check, family) && !self.settings.run(Kind::Check, family, None, context);
            if is_broken {
                if !self.repair(family, context) {
                    outcome = Err(self.settings.environment_error("checking", None));
                    continue;
                }
                self.repairs += 1;
                self.ban_again(family, None, context);
            } else {
                self.make_up(family, context);
            }
            self.try_again(family, context);
        }
        outcome
    }

    /// Makes bans of a family that did not work before, as when a set was full, as far as they work now.
    fn try_again(&mut self, family: Family, context: &mut Context<'_>) {
        let failed = self
            .failed
            .values()
            .filter(|ban| self.settings.family(&ban.id) == family);
        let failed: Vec<Ban> = failed.filter(|ban| lasts(ban, context.now)).cloned().collect();
        let count = failed.len();
        let made = count.saturating_sub(self.perform(Kind::Ban, family, failed, context).len());
        if made > 0 {
            self.repairs += 1;
            let text = format!(
                "[{}] action '{}': of {count} bans that could not be made before {made} are made now",
                self.settings.jail, self.settings.name
            );
            context.say(ACTIONS, Level::Notice, text);
        }
    }

    /// Of the bans of a family that are in place by our account: how many the kernel was asked for, and those it does not have. `None` if it
    /// cannot be asked.
    fn absent(&mut self, family: Family, context: &Context<'_>) -> Option<(usize, Vec<Ban>)> {
        let now = context.now;
        let bans = self.active.values().filter(|ban| lasts(ban, now));
        let bans: Vec<Ban> = bans
            .filter(|ban| self.settings.family(&ban.id) == family)
            .cloned()
            .collect();
        let known: Vec<(Step, Ban)> = bans
            .into_iter()
            .filter_map(|ban| Some((self.step(Kind::Ban, family, &ban, context)?, ban)))
            .collect();
        let (steps, bans): (Vec<Step>, Vec<Ban>) = known.into_iter().unzip();
        let limit = self.settings.timeout;
        let mut wanted = self.bulk.as_mut()?.absent(&steps, limit)?.into_iter().peekable();
        let missing = bans
            .into_iter()
            .enumerate()
            .filter_map(|(position, ban)| wanted.next_if_eq(&position).map(|_| ban));
        Some((steps.len(), missing.collect()))
    }

    /// What the kernel holds, by asking it where that can be done.
    pub(crate) fn account(&mut self, context: &Context<'_>) -> Option<crate::Standing> {
        let mut standing = self.standing()?;
        let families: BTreeSet<Family> = self.active.keys().map(|id| self.settings.family(id)).collect();
        for family in families {
            let (_, missing) = self.absent(family, context).unwrap_or_default();
            standing.in_kernel = standing.in_kernel.saturating_sub(missing.len());
        }
        Some(standing)
    }

    /// Makes bans of a family again that are not in the kernel any more.
    fn make_up(&mut self, family: Family, context: &mut Context<'_>) {
        let Some((asked, missing)) = self.absent(family, context).filter(|(_, missing)| !missing.is_empty()) else {
            return;
        };
        self.repairs += 1;
        let count = missing.len();
        let left = self.perform(Kind::Ban, family, missing, context);
        let text = format!(
            "[{}] action '{}': of {} bans {count} were not in the kernel; {} made again; why: somebody else has changed the firewall",
            self.settings.jail,
            self.settings.name,
            asked,
            count - left.len().min(count)
        );
        context.say(ACTIONS, Level::Warning, text);
    }

    /// What the kernel holds, as of the last look.
    pub(crate) fn standing(&self) -> Option<crate::Standing> {
        self.works_in_bulk().then(|| crate::Standing {
            in_kernel: self.active.len(),
            should_be: self.active.len() + self.failed.len(),
            repairs: self.repairs,
        })
    }

    fn perform_steps(&mut self, steps: &[Step]) -> Vec<usize> {
        let limit = self.settings.timeout;
        match &mut self.bulk {
            Some(bulk) => bulk.perform(steps, limit),
            None => (0..steps.len()).collect(),
        }
    }

    /// What the command of a kind would change for a ban, if it is a known one.
    fn step(&mut self, kind: Kind, family: Family, ban: &Ban, context: &Context<'_>) -> Option<Step> {
        let kind = if kind == Kind::Reban && !self.settings.has(kind, family) {
            Kind::Ban
        } else {
            kind
        };
        let bulk = self.bulk.as_mut()?;
        let script = self.settings.script(kind, family, Some(ban), context)?;
        bulk.recognise(&script, &ban.id)
    }

    /// Does what a command would do for a ban, without running it if possible.
    pub(super) fn run_for(&mut self, kind: Kind, family: Family, ban: &Ban, context: &mut Context<'_>) -> bool {
        let Some(step) = self.step(kind, family, ban, context) else {
            return self.settings.run(kind, family, Some(ban), context);
        };
        if self.perform_steps(std::slice::from_ref(&step)).is_empty() {
            return true;
        }
        let good = self.settings.run(kind, family, Some(ban), context);
        if good {
            self.doubts += 1;
            if self.doubts >= DOUBTS {
                self.bulk = None;
                let text = format!(
                    "[{}] action '{}': its commands work where the way around them does not; they are run one by one from now on",
                    self.settings.jail, self.settings.name
                );
                context.say(ACTIONS, Level::Warning, text);
            }
        }
        good
    }

    fn report_many(&self, what: &str, bans: &[Ban], error: &ActionError, context: &mut Context<'_>) {
        let some: Vec<String> = bans.iter().take(5).map(|ban| shown(&ban.id)).collect();
        let more = match bans.len().saturating_sub(5) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!(
            "Failed to execute {what} jail '{}' action '{}' info 'ActionInfo({{'ip': '{}'}})'{more}: {error}",
            self.settings.jail,
            self.settings.name,
            some.join(", "),
        );
        context.say(ACTIONS, Level::Error, text);
    }
}

impl Settings {
    /// Whether the command of a ban is a known one.
    pub(super) fn knows_a_way_around(&self) -> bool {
        let mut bulk = crate::bulk::Bulk::default();
        ["192.0.2.1", "2001:db8::1"].into_iter().any(|address| {
            let ban = example(address);
            let family = self.family(&ban.id);
            let subject = Subject {
                ban: Some(&ban),
                family,
                jail: self.jail.as_str(),
                counters: crate::Counters::default(),
                earlier: &|_, _| None,
            };
            self.templates
                .get(&(Kind::Ban, family))
                .and_then(|template| bulk.recognise(&template.complete(subject), &ban.id))
                .is_some()
        })
    }
}

/// Whether a ban goes on for a while: what ends in this moment may be gone already.
fn lasts(ban: &Ban, now: Timestamp) -> bool {
    match ban.until {
        Until::Forever => true,
        Until::At(end) => end.micros().saturating_sub(now.micros()) > 2_000_000,
    }
}

/// A ban to try a command with.
fn example(address: &str) -> Ban {
    Ban {
        id: FailureId::parse(address),
        since: Timestamp::from_secs(0),
        until: Until::At(Timestamp::from_secs(600)),
        bantime: Seconds(600),
        failures: 1,
        matches: Vec::new(),
        fields: Fields::default(),
        count: 1,
        restored: false,
    }
}

//! Carries out what jails decide: jobs for actions, orders for the database, lines for the log.

use std::time::Instant;

use stockade_action::Counters;
use stockade_core::{Again, Ban, Effect, Effects};

use super::acting::{About, Job, without_text};
use super::jails::Running;
use super::log::Log;
use super::store::{Database, Order};

impl Running {
    /// Tells the actions and the database of those who are banned and failed on.
    pub(crate) fn tell_again(&mut self, now: Instant, database: Option<&Database>) {
        for again in self.again.take_all(now) {
            if let Some(ban) = self.jail.ban_of(&again.id) {
                self.tell_of(&again, ban, database);
            }
        }
    }

    fn tell_of(&self, again: &Again, ban: &Ban, database: Option<&Database>) {
        let counters = counters(self.jail.counters());
        if again.longer {
            self.tell_prolonged(ban, counters, database);
        }
        if again.recheck {
            tell(self, About::Recheck, ban, counters);
        }
    }

    fn tell_prolonged(&self, ban: &Ban, counters: Counters, database: Option<&Database>) {
        tell(self, About::Prolong, ban, counters);
        if let Some(database) = database {
            // Only the end is stored.
            let ban = Box::new(without_text(ban));
            database.tell(Order::Prolong(self.setup.name.clone(), ban));
        }
    }
}

/// Carries out what a jail decided: bans first, then the log, so that writing the log delays no ban.
pub(crate) fn carry_out(running: &mut Running, effects: &mut Effects, log: &Log, database: Option<&Database>) {
    if effects.iter().any(|effect| !matches!(effect, Effect::Log(_))) {
        act(running, effects, database);
    }
    log.tell(effects.iter().filter_map(|effect| match effect {
        Effect::Log(line) => Some(line),
        _ => None,
    }));
    effects.clear();
}

/// Carries out all that is not to be written into the log; that is left.
fn act(running: &mut Running, effects: &mut Effects, database: Option<&Database>) {
    let counters = counters(running.jail.counters());
    for effect in std::mem::take(effects) {
        match effect {
            Effect::Log(_) => effects.push(effect),
            // It comes before the actions, which may ask for it.
            Effect::Store(ban) => {
                if let Some(database) = database {
                    database.tell(Order::Ban(running.setup.name.clone(), Box::new(ban)));
                }
            }
            Effect::Ban(ban) => tell(running, About::Ban, &ban, counters),
            Effect::Unban(ban) => {
                if let Some(again) = running.again.take(&ban.id) {
                    running.tell_of(&again, &ban, database);
                }
                tell(running, About::Unban, &ban, counters);
            }
            Effect::UnbanAll(bans) => {
                for ban in &bans {
                    if let Some(again) = running.again.take(&ban.id) {
                        running.tell_of(&again, ban, database);
                    }
                }
                running.lanes.iter().for_each(|lane| lane.give(Job::UnbanAll));
            }
            Effect::Prolong(ban) => running.tell_prolonged(&ban, counters, database),
            Effect::Again(again) => running.again.add(again),
        }
    }
}

fn tell(running: &Running, about: About, ban: &Ban, counters: Counters) {
    for lane in &running.lanes {
        lane.about(about, ban, counters);
    }
}

fn counters(status: stockade_core::JailCounters) -> Counters {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Counters {
        found: number(status.currently_failed),
        found_total: status.total_failed,
        banned: number(status.currently_banned),
        banned_total: status.total_banned,
    }
}

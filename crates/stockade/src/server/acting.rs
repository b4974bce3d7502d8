//! Threads that act: bans become firewall changes and commands.
//!
//! All native actions share the thread `firewall`, which puts whatever waits into one transaction. Each action of commands has a thread of its
//! own, so that a mail that waits for a hanging whois delays no ban.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use stockade_action::{Action, Context, Counters};
use stockade_core::JailName;
use stockade_core::effect::Ban;
use stockade_core::logline::Level;

use super::log::Log;

/// What an action is to do.
pub(crate) enum Job {
    /// Take over this action and start it.
    Adopt(Box<Action>),
    Ban(Box<Ban>, Counters),
    Unban(Box<Ban>, Counters),
    UnbanAll,
    /// The ban lasts longer now.
    Prolong(Box<Ban>, Counters),
    /// The id is banned and fails on.
    Recheck(Box<Ban>, Counters),
    /// New values of properties.
    Change(Vec<(String, String)>),
    /// Lift all bans, leave the world as it was, and say so by dropping the sender.
    Stop(Sender<()>),
}

/// Names an action on its thread.
type Key = (JailName, String);

/// The way to one action.
#[derive(Clone)]
pub(crate) struct Lane {
    key: Key,
    native: bool,
    inbox: Sender<(Key, Job)>,
}

impl Lane {
    /// The action's name.
    pub(crate) fn name(&self) -> &str {
        &self.key.1
    }

    /// Whether it changes the kernel's sets itself.
    pub(crate) fn is_native(&self) -> bool {
        self.native
    }

    /// Hands over a job. It never waits: what waits here is at most what is banned.
    pub(crate) fn give(&self, job: Job) {
        // The thread ends only after Stop, and after that nothing more is given.
        let _ = self.inbox.send((self.key.clone(), job));
    }
}

/// Starts threads for actions.
pub(crate) struct Acting {
    log: Arc<Log>,
    /// The thread of the native actions; started with the first.
    firewall: Option<Sender<(Key, Job)>>,
}

impl Acting {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self { log, firewall: None }
    }

    /// Gives an action its thread and starts it. Fails if there is no thread or no connection to the kernel.
    pub(crate) fn lane(&mut self, jail: &JailName, mut action: Action) -> Result<Lane, String> {
        let key = (jail.clone(), action.name().to_owned());
        let native = action.native_target().is_some();
        let inbox = if native {
            let firewall = stockade_firewall::Nftables::open()
                .map(|kernel| Box::new(kernel) as Box<dyn stockade_firewall::Firewall>)
                .map_err(|error| format!("action `{}`: {error}", action.name()))?;
            action.attach(firewall);
            if let Some(inbox) = &self.firewall {
                inbox.clone()
            } else {
                let inbox = self.spawn("firewall", false)?;
                self.firewall = Some(inbox.clone());
                inbox
            }
        } else {
            self.spawn(&format!("{jail}/{}", action.name()), true)?
        };
        let lane = Lane { key, native, inbox };
        lane.give(Job::Adopt(Box::new(action)));
        Ok(lane)
    }

    fn spawn(&self, name: &str, alone: bool) -> Result<Sender<(Key, Job)>, String> {
        // Without a limit: at most what is banned waits here, and the thread that owns the jails must never wait.
        let (sender, inbox) = channel();
        let thread = Thread {
            actions: HashMap::new(),
            log: Arc::clone(&self.log),
            alone,
        };
        std::thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || thread.run(&inbox))
            .map(|_| sender)
            .map_err(|error| format!("no thread for action `{name}`: {error}"))
    }
}

/// Stops these actions side by side; `false` if some are not done in time.
pub(crate) fn stop(lanes: Vec<Lane>, limit: Duration) -> bool {
    let (sender, done) = channel();
    for lane in lanes {
        lane.give(Job::Stop(sender.clone()));
    }
    drop(sender);
    let deadline = Instant::now() + limit;
    loop {
        match done.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(()) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return true,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return false,
        }
    }
}

struct Thread {
    actions: HashMap<Key, Action>,
    log: Arc<Log>,
    /// One action only: the thread ends with it.
    alone: bool,
}

impl Thread {
    fn run(mut self, inbox: &Receiver<(Key, Job)>) {
        while let Ok((key, job)) = inbox.recv() {
            let mut waiting: Vec<(Key, Job)> = vec![(key, job)];
            // Whatever has come in the meantime goes into the same transaction.
            waiting.extend(inbox.try_iter());
            for (key, run) in runs(waiting) {
                self.perform(&key, run);
            }
            if self.alone && self.actions.is_empty() {
                return;
            }
        }
    }

    fn perform(&mut self, key: &Key, run: Run) {
        if let Run::One(Job::Adopt(action)) = run {
            for warning in action.warnings() {
                self.log
                    .write(Level::Warning, "fail2ban.action", &format!("[{}] {warning}", key.0));
            }
            self.actions.insert(key.clone(), *action);
            self.with(key, Counters::default(), Action::start);
            return;
        }
        match run {
            Run::Bans(bans, counters) => self.with(key, counters, |action, context| action.ban_many(&bans, context)),
            Run::Unbans(bans, counters) => {
                self.with(key, counters, |action, context| action.unban_many(&bans, context));
            }
            Run::One(job) => match job {
                Job::Adopt(_) | Job::Ban(..) | Job::Unban(..) => {}
                Job::UnbanAll => self.with(key, Counters::default(), Action::flush),
                Job::Prolong(ban, counters) => {
                    self.with(key, counters, |action, context| action.prolong(&ban, context));
                }
                Job::Recheck(ban, counters) => {
                    self.with(key, counters, |action, context| action.already_banned(&ban, context));
                }
                Job::Change(properties) => self.with(key, Counters::default(), |action, context| {
                    let outcome = action.set_properties(&properties);
                    if let Err(error) = &outcome {
                        (context.report)(stockade_action::Report {
                            logger: "fail2ban.action",
                            level: Level::Error,
                            text: error.to_string(),
                        });
                        return outcome;
                    }
                    action.reload(context)
                }),
                Job::Stop(done) => {
                    self.with(key, Counters::default(), Action::stop);
                    self.actions.remove(key);
                    drop(done);
                }
            },
        }
    }

    fn with(
        &mut self,
        key: &Key,
        counters: Counters,
        what: impl FnOnce(&mut Action, &mut Context<'_>) -> Result<(), stockade_action::ActionError>,
    ) {
        let Some(action) = self.actions.get_mut(key) else {
            return;
        };
        let log = &self.log;
        let mut report = |report: stockade_action::Report| log.write(report.level, report.logger, &report.text);
        let mut context = Context {
            now: super::now(),
            counters,
            report: &mut report,
        };
        // A failure has been reported by the action; the ban counts as made, as it does upstream, and is tried again when seen again.
        let _ = what(action, &mut context);
    }
}

/// Jobs that can be done together.
enum Run {
    Bans(Vec<Ban>, Counters),
    Unbans(Vec<Ban>, Counters),
    One(Job),
}

/// Joins bans, and unbans, of the same action that follow each other. An id that comes twice begins a new run, so that order holds.
fn runs(jobs: Vec<(Key, Job)>) -> Vec<(Key, Run)> {
    let mut runs: Vec<(Key, Run)> = Vec::new();
    for (key, job) in jobs {
        let last = runs
            .iter()
            .rposition(|(other, _)| *other == key)
            .and_then(|place| runs.get_mut(place));
        match (job, last) {
            (Job::Ban(ban, counters), Some((_, Run::Bans(bans, latest)))) => {
                bans.push(*ban);
                *latest = counters;
            }
            (Job::Unban(ban, counters), Some((_, Run::Unbans(bans, latest)))) => {
                bans.push(*ban);
                *latest = counters;
            }
            (Job::Ban(ban, counters), _) => runs.push((key, Run::Bans(vec![*ban], counters))),
            (Job::Unban(ban, counters), _) => runs.push((key, Run::Unbans(vec![*ban], counters))),
            (job, _) => runs.push((key, Run::One(job))),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_core::{FailureId, Fields, Seconds, Timestamp, Until};

    fn ban(address: &str) -> Ban {
        let since = Timestamp::from_secs(0);
        Ban {
            id: FailureId::parse(address),
            since,
            until: Until::Forever,
            bantime: Seconds(-1),
            failures: 1,
            matches: Vec::new(),
            fields: Fields::default(),
            restored: false,
        }
    }

    #[test]
    fn joins_bans_of_one_action_and_keeps_a_ban_and_its_unban_in_order() {
        let key = |action: &str| (JailName::new("j").unwrap(), action.to_owned());
        let counters = Counters::default();
        let jobs = vec![
            (key("a"), Job::Ban(Box::new(ban("192.0.2.1")), counters)),
            (key("b"), Job::Ban(Box::new(ban("192.0.2.1")), counters)),
            (key("a"), Job::Ban(Box::new(ban("192.0.2.2")), counters)),
            (key("a"), Job::Unban(Box::new(ban("192.0.2.1")), counters)),
            (key("a"), Job::Ban(Box::new(ban("192.0.2.1")), counters)),
        ];
        let shown: Vec<String> = runs(jobs)
            .iter()
            .map(|((_, action), run)| match run {
                Run::Bans(bans, _) => format!("{action} ban {}", bans.len()),
                Run::Unbans(bans, _) => format!("{action} unban {}", bans.len()),
                Run::One(_) => format!("{action} other"),
            })
            .collect();
        assert_eq!(shown, ["a ban 2", "b ban 1", "a unban 1", "a ban 1"]);
    }
}

//! From what a jail is to what it shall be.
//!
//! A change is prepared first, where it can fail without harm, and made then, where it cannot. A jail that cannot be set up as asked stays
//! as it was, and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use stockade_action::{Action, Counters, IgnoreCommand};
use stockade_core::logline::Level;
use stockade_core::{Effects, Jail, JailName};
use stockade_filter::{Filter, FilterError};
use stockade_protocol::JailGet;

use super::acting::{About, Job, Lane};
use super::again::Waiting;
use super::effects::carry_out;
use super::ignoring::Ignoring;
use super::jails::{Jails, Running};
use super::log::Log;
use super::matching::Rules;
use super::setup::{ActionSetup, BackendFault, JailSetup, backend_fault, strings};
use super::stopping::Stopping;
use super::store::Order;

/// A jail that starts waits so long until the names in its `ignoreip` are looked up: what its logs hold already could ban an administrator.
const NAMES_LIMIT: Duration = Duration::from_secs(5);

/// A reload waits so long for the actions of jails that are gone; those that take longer end beside what goes on.
const STOP_AT_ONCE: Duration = Duration::from_secs(1);

/// Jails that are ending.
pub(crate) struct Leaving {
    names: Vec<JailName>,
    stopping: Stopping,
    log: Arc<Log>,
}

impl Leaving {
    /// Waits until the actions have ended, which takes less than a minute whatever they do, and says so.
    pub(crate) fn finish(self) {
        let left = self.stopping.finish();
        if !left.is_empty() {
            self.log.write(
                Level::Error,
                "fail2ban.actions",
                &format!(
                    "these actions did not stop in time and are left behind: {}; why: their commands hang (see above); mend: look for their \
                     processes, and set `timeout` in the actions",
                    left.join(", ")
                ),
            );
        }
        for name in self.names {
            self.log
                .write(Level::Info, "fail2ban.jail", &format!("Jail '{name}' stopped"));
        }
    }
}

/// A change that can be made.
pub(crate) struct Prepared {
    setup: JailSetup,
    /// New rules, if they changed.
    rules: Option<Arc<Rules>>,
    /// Actions that are new or have other properties.
    actions: Vec<Action>,
    /// If `ignorecommand` or its cache changed.
    ignoring: Option<Ignoring>,
}

impl Jails {
    /// Checks what a jail shall be. Fails with every fault found, each with its mend.
    pub(crate) fn prepare(&self, setup: JailSetup) -> Result<Prepared, Vec<String>> {
        let old = self.position(&setup.name).and_then(|place| self.jails.get(place));
        let mut faults = Vec::new();
        if let Some(BackendFault { what, why, mend }) = backend_fault(&setup.backend) {
            faults.push(format!("{what}; why: {why}; mend: {mend}"));
        }
        let same_rules = old.is_some_and(|old| old.rules.is_some() && old.setup.filter == setup.filter);
        let rules = if same_rules {
            None
        } else {
            match Filter::new(&setup.filter, self.log.zone()) {
                Ok(filter) => Some(Arc::new(Rules {
                    jail: setup.name.clone(),
                    filter,
                    findtime: AtomicI64::new(setup.settings.findtime.0),
                })),
                Err(errors) => {
                    faults.extend(errors.iter().map(shown));
                    None
                }
            }
        };
        let unchanged = |action: &ActionSetup| {
            old.and_then(|old| old.setup.action(&action.name))
                .is_some_and(|before| before == action)
        };
        let mut actions = Vec::new();
        for action in setup.actions.iter().filter(|action| !unchanged(action)) {
            match Action::new(&setup.name, &action.name, &action.properties) {
                Ok(action) => actions.push(action),
                Err(error) => faults.push(error.to_string()),
            }
        }
        let same = old.is_some_and(|old| {
            old.setup.ignorecommand == setup.ignorecommand && old.setup.ignorecache == setup.ignorecache
        });
        let written = setup
            .ignorecommand
            .as_deref()
            .filter(|command| !command.trim().is_empty());
        let built = written
            .map(|command| IgnoreCommand::new(&setup.name, command))
            .transpose();
        let ignoring = match built {
            Ok(command) => (!same).then(|| Ignoring::new(command, setup.ignorecache.clone())),
            Err(error) => {
                faults.push(error.to_string());
                None
            }
        };
        if faults.is_empty() {
            Ok(Prepared {
                setup,
                rules,
                actions,
                ignoring,
            })
        } else {
            Err(faults)
        }
    }

    /// Makes a change. The jail is made if it is not there; it runs only once it is started.
    pub(crate) fn commit(&mut self, prepared: Prepared) {
        let Prepared {
            setup,
            rules,
            actions,
            ignoring,
        } = prepared;
        let place = if let Some(place) = self.position(&setup.name) {
            place
        } else {
            let name = &setup.name;
            let (backend, options) = setup.backend_in_use();
            self.say(Level::Info, "fail2ban.jail", &format!("Creating new jail '{name}'"));
            self.say(
                Level::Info,
                "fail2ban.jail",
                &format!("Jail '{name}' uses {backend} {options}"),
            );
            self.say(Level::Info, "fail2ban.jail", &format!("Initiated '{backend}' backend"));
            if let Some(database) = &self.database {
                database.tell(Order::Jail(name.clone(), true));
            }
            let mut jail = Jail::new(setup.name.clone(), setup.settings.clone());
            jail.seed(by_chance());
            self.jails.push(Running {
                jail,
                setup: JailSetup::new(setup.name.clone(), &setup.backend),
                rules: None,
                lanes: Vec::new(),
                started: false,
                held_back: None,
                ignoring: Ignoring::default(),
                again: Waiting::default(),
            });
            self.jails.len().saturating_sub(1)
        };
        let Some(running) = self.jails.get_mut(place) else {
            return;
        };
        let old = std::mem::replace(&mut running.setup, setup);
        let mut settings = running.setup.settings.clone();
        settings.increment &= self.database.is_some();
        if settings.increment
            && !self.offenders.is_filled()
            && let Some(database) = &self.database
        {
            self.offenders.fill(database.latest_bans());
        }
        running.jail.set_settings(settings);
        if let Some(rules) = rules {
            running.rules = Some(rules);
        }
        if let Some(rules) = &running.rules {
            rules
                .findtime
                .store(running.setup.settings.findtime.0, Ordering::Relaxed);
        }
        if old.ignoreip != running.setup.ignoreip {
            running.jail.ignore_mut().clear();
            for entry in &running.setup.ignoreip {
                running.jail.ignore_mut().add(entry);
            }
        }
        if let Some(ignoring) = ignoring {
            running.ignoring = ignoring;
        }
        if running.started {
            self.change_actions(place, &old, actions);
            self.read_logs(place);
        }
        self.refresh_ignored(place);
    }

    /// Starts a jail: actions first, so that a ban finds its chain, then the logs.
    pub(crate) fn start_jail(&mut self, place: usize) -> Result<(), Vec<String>> {
        let Some(running) = self.jails.get_mut(place) else {
            return Ok(());
        };
        if running.started {
            return Ok(());
        }
        let name = running.setup.name.clone();
        let mut actions = Vec::new();
        let mut faults = Vec::new();
        for action in &running.setup.actions {
            match Action::new(&name, &action.name, &action.properties) {
                Ok(action) => actions.push(action),
                Err(error) => faults.push(error.to_string()),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        running.started = true;
        running.held_back = Some(Instant::now() + NAMES_LIMIT);
        self.warn(place);
        let bare = JailSetup::new(name.clone(), "");
        self.change_actions(place, &bare, actions);
        self.refresh_ignored(place);
        self.say(Level::Info, "fail2ban.jail", &format!("Jail '{name}' started"));
        self.restore_bans(place);
        self.read_logs(place);
        Ok(())
    }

    /// Takes up the bans that a jail had in an earlier run. Upstream: behaviour spec 4.5.
    fn restore_bans(&mut self, place: usize) {
        let Some((database, running)) = self.database.as_ref().zip(self.jails.get_mut(place)) else {
            return;
        };
        let bans = database.restore(&running.setup.name);
        let mut effects = Effects::new();
        let now = super::now();
        for ban in bans {
            running.jail.restore(ban, now, &mut effects);
        }
        carry_out(running, &mut effects, &self.log, Some(database));
    }

    /// Tells the settings that Fail2Ban tells whenever they are set.
    pub(crate) fn announce(&self, place: usize) {
        for set in [
            JailGet::MaxLines,
            JailGet::MaxRetry,
            JailGet::FindTime,
            JailGet::BanTime,
        ] {
            self.announce_one(place, &set);
        }
        let options = self.jails.get(place).map(|running| running.setup.growth.iter());
        let options: Vec<String> = options
            .into_iter()
            .flatten()
            .map(|option| option.name.clone())
            .collect();
        for option in options {
            self.announce_one(place, &JailGet::BanTimeOption(option));
        }
        for set in [JailGet::LogEncoding, JailGet::JournalMatch] {
            self.announce_one(place, &set);
        }
    }

    /// Tells that a match of the journal was added or removed.
    pub(crate) fn say_journal_match(&self, place: usize, words: &[String], added: bool) {
        let Some(setup) = self.jails.get(place).map(|running| &running.setup) else {
            return;
        };
        if setup.reads_journal() {
            let text = if added {
                format!("Added journal match for: '{}'", words.join(" "))
            } else {
                let list = stockade_protocol::repr(&strings(words.iter().map(String::as_str)));
                format!("Removed journal match for: {list}")
            };
            let text = format!("[{}] {text}", setup.name);
            self.say(Level::Info, "fail2ban.filtersystemd", &text);
        }
    }

    /// Tells one of them; nothing if it is another setting.
    pub(crate) fn announce_one(&self, place: usize, set: &JailGet) {
        let Some(setup) = self.jails.get(place).map(|running| &running.setup) else {
            return;
        };
        let (logger, text) = match set {
            JailGet::MaxLines if setup.filter.maxlines == 1 => return,
            JailGet::MaxLines => ("fail2ban.filter", format!("  maxLines: {}", setup.filter.maxlines)),
            JailGet::MaxRetry => ("fail2ban.filter", format!("  maxRetry: {}", setup.settings.maxretry)),
            JailGet::FindTime => ("fail2ban.filter", format!("  findtime: {}", setup.settings.findtime.0)),
            JailGet::BanTime => ("fail2ban.actions", format!("  banTime: {}", setup.settings.bantime.0)),
            JailGet::BanTimeOption(name) => {
                let Some(option) = setup.growth.iter().find(|option| option.name == *name) else {
                    return;
                };
                let text = format!("Set banTime.{name} = {}", option.written);
                self.say(Level::Info, "fail2ban.jail", &text);
                if name == "increment" && setup.settings.increment && self.database.is_none() {
                    let text = "ban time increment is not available as long jail database is not set";
                    self.say(Level::Warning, "fail2ban.jail", text);
                }
                return;
            }
            JailGet::LogEncoding if setup.reads_journal() => return,
            JailGet::LogEncoding => {
                let name = Some(setup.logencoding.as_str()).filter(|name| *name != "auto");
                ("fail2ban.filter", format!("  encoding: {}", name.unwrap_or("UTF-8")))
            }
            JailGet::JournalMatch if setup.reads_journal() && !setup.journalmatch.is_empty() => {
                let matches = setup.journal_matches();
                let text = format!("[{}] Added journal match for: '{matches}'", setup.name);
                ("fail2ban.filtersystemd", text)
            }
            _ => return,
        };
        self.say(Level::Info, logger, &text);
    }

    /// Warns of what makes a jail less than was asked for.
    fn warn(&self, place: usize) {
        let Some(running) = self.jails.get(place) else { return };
        let name = &running.setup.name;
        if running.setup.filter.failregex.is_empty() {
            self.say(
                Level::Warning,
                "fail2ban.filter",
                &format!("[{name}] No filter set for jail {name}: it will never ban"),
            );
        }
        if running.setup.reads_journal() && running.setup.journalmatch.is_empty() {
            self.say(
                Level::Notice,
                "fail2ban.filtersystemd",
                &format!(
                    "[{name}] `journalmatch` is not set: the rules are tried on every entry of the journal, whoever wrote it; mend: journalmatch = \
                     _SYSTEMD_UNIT=NAME.service"
                ),
            );
        }
        if running.setup.actions.is_empty() {
            self.say(
                Level::Warning,
                "fail2ban.actions",
                &format!("[{name}] No actions were defined for {name}: bans are counted but take no effect"),
            );
        }
    }

    /// Stops actions that are gone, changes those that differ, starts new ones and lets them take over the bans there are.
    fn change_actions(&mut self, place: usize, old: &JailSetup, actions: Vec<Action>) {
        let mut faults = Vec::new();
        let Some(running) = self.jails.get_mut(place) else {
            return;
        };
        // An action of commands takes over new properties; a native one is replaced, since its sets and rules differ then.
        let replaced = |lane: &Lane| match running.setup.action(lane.name()) {
            None => true,
            Some(action) => lane.is_native() && old.action(lane.name()) != Some(action),
        };
        let (gone, kept): (Vec<Lane>, Vec<Lane>) = std::mem::take(&mut running.lanes).into_iter().partition(replaced);
        running.lanes = kept;
        let names = Vec::new();
        // They end by themselves; a hanging command of a removed action must not hold up the others.
        let leaving = (!gone.is_empty()).then(|| Leaving {
            names,
            stopping: Stopping::begin(gone, false),
            log: Arc::clone(&self.log),
        });
        let (changed, new): (Vec<Action>, Vec<Action>) = actions
            .into_iter()
            .partition(|action| running.lanes.iter().any(|lane| lane.name() == action.name()));
        for action in changed {
            if let (Some(lane), Some(setup)) = (
                running.lanes.iter().find(|lane| lane.name() == action.name()),
                running.setup.action(action.name()),
            ) {
                lane.give(Job::Change(setup.properties.clone()));
            }
        }
        for action in new {
            match self.acting.lane(&running.setup.name, action) {
                Ok(lane) => running.take_up(lane),
                Err(fault) => faults.push(fault),
            }
        }
        running.order_lanes();
        let name = running.setup.name.clone();
        for fault in faults {
            self.say(
                Level::Error,
                "fail2ban.actions",
                &format!("[{name}] {fault}; it is tried again every minute"),
            );
        }
        if let Some(leaving) = leaving {
            self.aside(|| leaving.finish());
        }
    }

    /// Lets actions that went through a reload know.
    pub(crate) fn reload_actions(&self, place: usize, went_through: &[String]) {
        let Some(running) = self.jails.get(place) else { return };
        for lane in running
            .lanes
            .iter()
            .filter(|lane| went_through.iter().any(|name| name == lane.name()))
        {
            lane.give(Job::Reload);
        }
    }

    /// Tries again to give those actions a thread that could not have one (no descriptor or memory was left).
    pub(crate) fn complete_actions(&mut self, place: usize) {
        let Some(running) = self.jails.get(place) else { return };
        let missing = |action: &&ActionSetup| !running.lanes.iter().any(|lane| lane.name() == action.name);
        if !running.started || !running.setup.actions.iter().any(|action| missing(&action)) {
            return;
        }
        let actions = running.setup.actions.iter().filter(missing);
        let built =
            actions.filter_map(|action| Action::new(&running.setup.name, &action.name, &action.properties).ok());
        let (built, setup) = (built.collect(), running.setup.clone());
        self.change_actions(place, &setup, built);
    }

    /// Does something that may take long beside the jails.
    pub(crate) fn aside(&mut self, what: impl FnOnce() + Send + 'static) {
        self.asides.retain(|thread| !thread.is_finished());
        match std::thread::Builder::new().name("aside".into()).spawn(what) {
            Ok(thread) => self.asides.push(thread),
            Err(error) => self.say(
                Level::Error,
                "fail2ban.server",
                &format!("no thread to wait for the end of actions: {error}; they end unseen"),
            ),
        }
    }

    /// Reads a jail's logs as it is set up to, once it may.
    pub(crate) fn read_logs(&mut self, place: usize) {
        let Some(running) = self.jails.get_mut(place) else {
            return;
        };
        if running.held_back.is_some_and(|until| until > Instant::now()) && running.jail.ignore().has_unknown_names() {
            return;
        }
        running.held_back = None;
        match &running.rules {
            Some(rules) if !running.setup.idle => match running.setup.journal() {
                Some(wanted) => self.watch.set_journal(rules, wanted),
                None => self.watch.set(rules, &running.setup.logs),
            },
            _ => self.watch.drop_jail(&running.setup.name),
        }
    }

    /// Lets jails end side by side and forgets them.
    pub(crate) fn leave(&mut self, names: &[JailName], is_farewell: bool) -> Leaving {
        let (gone, kept): (Vec<Running>, Vec<Running>) = std::mem::take(&mut self.jails)
            .into_iter()
            .partition(|running| names.contains(&running.setup.name));
        self.jails = kept;
        let mut lanes = Vec::new();
        let mut names = Vec::new();
        for mut running in gone {
            self.watch.drop_jail(&running.setup.name);
            let mut effects = Effects::new();
            running.jail.shutdown(&mut effects);
            // Each action lifts its bans when it stops, so that it can do so at once.
            lanes.append(&mut running.lanes);
            carry_out(&mut running, &mut effects, &self.log, self.database.as_ref());
            if let Some(database) = &self.database {
                database.tell(Order::Jail(running.setup.name.clone(), false));
            }
            names.push(running.setup.name);
        }
        Leaving {
            names,
            stopping: Stopping::begin(lanes, is_farewell),
            log: Arc::clone(&self.log),
        }
    }

    /// Stops jails before others are started. Those that end slowly do so beside; an action that comes again waits for its former self.
    pub(crate) fn stop_jails(&mut self, names: &[JailName]) {
        let mut leaving = self.leave(names, false);
        if leaving.stopping.wait(STOP_AT_ONCE) {
            leaving.finish();
        } else {
            self.aside(|| leaving.finish());
        }
    }
}

impl Running {
    /// Gives an action its place in the jail, and the bans there are.
    fn take_up(&mut self, lane: Lane) {
        for ban in self.jail.bans() {
            lane.about(About::Ban, ban, Counters::default());
        }
        self.lanes.push(lane);
    }

    /// Puts the actions in the order of the configuration, which new ones may have broken.
    fn order_lanes(&mut self) {
        let actions = &self.setup.actions;
        self.lanes
            .sort_by_key(|lane| actions.iter().position(|action| action.name == lane.name()));
    }
}

/// A number that nobody can foresee: the standard library draws it for its hash tables.
fn by_chance() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish()
}

fn shown(error: &FilterError) -> String {
    let place = if matches!(error.option, "failregex" | "ignoreregex") {
        format!(" [{}]", error.index)
    } else {
        String::new()
    };
    format!(
        "{}{place}: {}; the rule: {}; mend: {}",
        error.option, error.message, error.rule, error.mend
    )
}

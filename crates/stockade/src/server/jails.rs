//! The thread that owns all jails: failures, commands, answers and time come in, jobs and log lines go out.
//!
//! Nothing slow happens here. What a command means is in [`super::commands`], how a jail changes in [`super::change`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use stockade_core::logline::Level;
use stockade_core::{Effects, Failure, FailureId, Jail, JailName, Offenders, Timestamp};
use stockade_filter::{Match, UseDns, Who};
use stockade_protocol::{Flavor, JailSet, Reply, Request};
use stockade_store::Place;

use super::acting::{Acting, Lane};
use super::again::Waiting;
use super::effects::carry_out;
use super::ignoring::{Asking, Ignoring, Known};
use super::log::Log;
use super::matching::{Bundle, ReadTo, Rules, Upto};
use super::resolve::{Question, Resolver};
use super::setup::JailSetup;
use super::store::{Database, Order};
use super::watch::Watch;
use super::{addresses, now};

/// Own addresses and names in `ignoreip` are looked up again this often.
const REFRESH: Duration = Duration::from_secs(60);

/// Offenders of long ago are forgotten this often, as in the database.
const PURGE: Duration = Duration::from_secs(3600);

/// After the jails have ended, threads that are at work have so long.
const ENDING: Duration = Duration::from_secs(15);

/// At the stop, matching has so long to end the lines it is at, so that it is known how far the logs were read.
const LAST_LINES: Duration = Duration::from_secs(3);

/// What the thread is told.
pub(crate) enum Message {
    /// Rules matched.
    Found(Bundle),
    /// So far logs were read; everything found before has been told.
    Read(Vec<ReadTo>),
    /// The file of this number is closed.
    Closed(u64),
    /// A host name in a match was looked up.
    Resolved {
        jail: JailName,
        name: Box<str>,
        found: Box<Match>,
        addresses: Vec<IpAddr>,
    },
    /// A name in `ignoreip` was looked up; `None` if that failed.
    IgnoredName {
        name: String,
        addresses: Option<Vec<IpAddr>>,
    },
    /// An `ignorecommand` has said whether a failure is to be ignored; `told` if the log has it already.
    Judged {
        jail: JailName,
        failure: Box<Failure>,
        ignored: bool,
        told: bool,
    },
    /// This host's addresses were looked up.
    OwnAddresses(Vec<IpAddr>),
    /// A client asks.
    Command { request: Request, reply: SyncSender<Reply> },
    /// The server is to end.
    Stop,
}

/// A jail that exists.
pub(crate) struct Running {
    pub(crate) setup: JailSetup,
    pub(crate) jail: Jail,
    /// `None` while there are no rules that can be used.
    pub(crate) rules: Option<Arc<Rules>>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) started: bool,
    /// Until then its logs are not read if a name in `ignoreip` is not looked up yet.
    pub(crate) held_back: Option<Instant>,
    /// How it decides whom to ignore beyond its lists.
    pub(crate) ignoring: Ignoring,
    /// Who is banned and failed on since that was last told.
    pub(crate) again: Waiting,
}

/// All jails, and the ways to the other threads.
#[expect(clippy::struct_field_names, reason = "the jails are what it is about")]
pub(crate) struct Jails {
    /// In the order in which they were made.
    pub(crate) jails: Vec<Running>,
    pub(crate) log: Arc<Log>,
    pub(crate) watch: Watch,
    pub(crate) acting: Acting,
    pub(crate) database: Option<Database>,
    /// Who was banned before, for `bantime.increment`.
    pub(crate) offenders: Offenders,
    /// The `dbfile` that was asked for, which may not have been had.
    pub(crate) dbfile: Option<Place>,
    /// By jail and path, the number of the file whose place was stored: while a rotated log is read to its end, its successor's counts.
    pub(crate) read_to: HashMap<(JailName, Arc<Path>), u64>,
    pub(crate) resolver: Resolver,
    pub(crate) asking: Asking,
    pub(crate) own_addresses: Vec<IpAddr>,
    pub(crate) refreshed: Instant,
    pub(crate) purged: Instant,
    /// Where looked-up addresses are told.
    pub(crate) inbox: SyncSender<Message>,
    /// Threads that wait for what takes long.
    pub(crate) asides: Vec<std::thread::JoinHandle<()>>,
    /// Empty; kept, so that not each decision makes room for what it comes to.
    pub(crate) effects: Effects,
    pub(crate) stopping: bool,
    /// The client that said `stop`; it is answered when everything is done.
    pub(crate) farewell: Option<SyncSender<Reply>>,
}

impl Jails {
    /// Runs until told to stop, then stops all jails. Gives back the client that asked for it.
    pub(crate) fn run(mut self, inbox: &Receiver<Message>) -> Option<SyncSender<Reply>> {
        let mut wake = None;
        while !self.stopping {
            let message = match wake {
                None => inbox.recv_timeout(REFRESH),
                Some(at) => inbox.recv_timeout(until(at).min(REFRESH)),
            };
            match message {
                Ok(message) => {
                    self.message(message);
                    // Failures come in bursts; time is looked at when the burst is over, or after a while.
                    for message in inbox.try_iter().take(100) {
                        self.message(message);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            wake = self.tick();
        }
        self.shut_down(inbox)
    }

    fn message(&mut self, message: Message) {
        if matches!(message, Message::Command { .. } | Message::Stop) {
            self.tell_again();
        }
        match message {
            Message::Found(bundle) => {
                let log = Arc::clone(&self.log);
                let _gathering = log.gather();
                let mut found = bundle.found.into_iter();
                let now = now();
                for (jail, count) in bundle.jails {
                    let place = self.position(&jail);
                    for found in found.by_ref().take(count) {
                        self.found(place, &jail, found, now);
                    }
                }
            }
            Message::Read(places) => places.into_iter().for_each(|place| self.read_to(place)),
            Message::Closed(number) => self.read_to.retain(|_, known| *known != number),
            Message::Resolved {
                jail,
                name,
                found,
                addresses,
            } => self.resolved(&jail, &name, &found, &addresses),
            Message::IgnoredName { name, addresses } => {
                for running in &mut self.jails {
                    let ignore = running.jail.ignore_mut();
                    match &addresses {
                        Some(addresses) => ignore.set_name_addresses(&name, addresses.clone()),
                        None => ignore.set_name_failed(&name),
                    }
                }
                self.release_logs();
            }
            Message::Judged {
                jail,
                failure,
                ignored,
                told,
            } => self.judged(&jail, *failure, ignored, told),
            Message::OwnAddresses(addresses) => {
                self.own_addresses = addresses;
                for running in &mut self.jails {
                    let own = self.own_addresses.iter().copied();
                    running.jail.ignore_mut().set_own_addresses(own);
                }
            }
            Message::Command {
                request: Request::Stop,
                reply,
            } => {
                self.stopping = true;
                self.farewell = Some(reply);
            }
            // Answered when the actions have ended, which may take a while.
            Message::Command {
                request: Request::StopJail(jail),
                reply,
            } if self.position(&jail).is_some() => self.stop_aside(&[jail], reply),
            Message::Command {
                request: Request::StopAll,
                reply,
            } => {
                let names: Vec<JailName> = self.jails.iter().map(|running| running.setup.name.clone()).collect();
                self.stop_aside(&names, reply);
            }
            // Answered by the action's own thread.
            Message::Command {
                request: Request::SetJail(jail, JailSet::ActionMethod { action, method, json }),
                reply,
            } => self.call(&jail, &action, (&method, &json), reply),
            // Answered by the threads of its actions.
            Message::Command {
                request: Request::StatusJail(jail, Flavor::Kernel),
                reply,
            } => self.tell(&jail, reply),
            Message::Command { request, reply } => {
                let answer = self.command(request);
                // A client that went away does not want the answer.
                let _ = reply.send(answer);
            }
            Message::Stop => self.stopping = true,
        }
    }

    fn stop_aside(&mut self, names: &[JailName], reply: SyncSender<Reply>) {
        let leaving = self.leave(names, false);
        self.aside(move || {
            leaving.finish();
            // A client that went away does not want the answer.
            let _ = reply.send(Ok(stockade_protocol::Value::None));
        });
    }

    /// Lets those jails read their logs that waited for names to be looked up.
    fn release_logs(&mut self) {
        for place in 0..self.jails.len() {
            if self.jails.get(place).is_some_and(|running| running.held_back.is_some()) {
                self.read_logs(place);
            }
        }
    }

    fn found(&mut self, place: Option<usize>, jail: &JailName, found: Match, now: Timestamp) {
        let name = match found.who {
            Who::Id(id) => {
                let failure = Failure {
                    id,
                    at: found.at,
                    attempts: 1,
                    lines: found.lines,
                    fields: found.fields,
                };
                return self.failure(place, failure, now);
            }
            Who::Name(ref name) => name.clone(),
        };
        self.resolver.ask(Question {
            jail: jail.clone(),
            name,
            found: Box::new(found),
        });
    }

    fn resolved(&mut self, jail: &JailName, name: &str, found: &Match, addresses: &[IpAddr]) {
        let warn = self
            .position(jail)
            .and_then(|place| self.jails.get(place))
            .is_some_and(|running| running.setup.filter.usedns == UseDns::Warn);
        if warn && !addresses.is_empty() {
            let list: Vec<String> = addresses.iter().map(|address| format!("'{address}'")).collect();
            self.say(
                Level::Warning,
                "fail2ban.ipdns",
                &format!("Determined IP using DNS Lookup: {name} = {{{}}}", list.join(", ")),
            );
        }
        let place = self.position(jail);
        for address in addresses {
            let failure = Failure {
                id: FailureId::Addr(*address),
                at: found.at,
                attempts: 1,
                lines: found.lines.clone(),
                fields: found.fields.clone(),
            };
            self.failure(place, failure, now());
        }
    }

    /// `place` is where the jail stands.
    fn failure(&mut self, place: Option<usize>, failure: Failure, now: Timestamp) {
        let Some(place) = place else { return };
        let Some(running) = self.jails.get(place) else { return };
        let failure = match running.ignoring.known(&failure) {
            // The jail looks into its lists itself.
            Known::Nothing if !running.ignoring.asks_or_remembers() => failure,
            Known::Ignore => return,
            Known::Count => failure,
            Known::Nothing => {
                let ignoreself = running.setup.settings.ignoreself;
                let listed = running.jail.ignore().check(&failure.id, ignoreself).is_some();
                let unasked = if listed {
                    Some(failure)
                } else {
                    self.asking.ask(&running.setup.name, &running.ignoring, failure)
                };
                // Else it waits for its answer.
                let Some(failure) = unasked else { return };
                if listed || !running.ignoring.has_command() {
                    running.ignoring.remember(&failure, listed);
                }
                failure
            }
        };
        self.decide_at(place, now, |jail, offenders, now, effects| {
            jail.on_failure(failure, offenders, now, effects);
        });
    }

    /// A failure of which its jail's `ignorecommand` has decided.
    fn judged(&mut self, jail: &JailName, failure: Failure, ignored: bool, told: bool) {
        let Some(place) = self.position(jail) else { return };
        self.decide(place, |jail, offenders, now, effects| {
            if !ignored {
                jail.on_failure(failure, offenders, now, effects);
            } else if !told {
                jail.ignore_by_command(failure.id, effects);
            }
        });
    }

    /// Stores how far a log was read.
    fn read_to(
        &mut self,
        ReadTo {
            jail,
            path,
            number,
            upto,
        }: ReadTo,
    ) {
        let Some(database) = &self.database else { return };
        let order = match upto {
            Upto::Entry(at) => Order::Journal(jail, at, super::journal::date(at.micros(), self.log.zone()) + " "),
            Upto::Line { first_line, offset } => {
                let known = self.read_to.entry((jail.clone(), Arc::clone(&path))).or_default();
                if number < *known {
                    return;
                }
                *known = number;
                // A path that is no text cannot be stored; upstream cannot even read such a log.
                let Some(path) = path.to_str() else { return };
                Order::Log {
                    jail,
                    path: path.to_owned(),
                    first_line: first_line.map(|hash| hash.to_string()).unwrap_or_default(),
                    offset,
                }
            }
        };
        database.tell(order);
    }

    /// Lets a jail decide, and carries out what it wants.
    pub(crate) fn decide<T>(
        &mut self,
        place: usize,
        decision: impl FnOnce(&mut Jail, &mut Offenders, Timestamp, &mut Effects) -> T,
    ) -> Option<T> {
        self.decide_at(place, now(), decision)
    }

    fn decide_at<T>(
        &mut self,
        place: usize,
        now: Timestamp,
        decision: impl FnOnce(&mut Jail, &mut Offenders, Timestamp, &mut Effects) -> T,
    ) -> Option<T> {
        let running = self.jails.get_mut(place)?;
        let mut effects = std::mem::take(&mut self.effects);
        let outcome = decision(&mut running.jail, &mut self.offenders, now, &mut effects);
        carry_out(running, &mut effects, &self.log, self.database.as_ref());
        self.effects = effects;
        Some(outcome)
    }

    /// Tells the actions and the database of all who are banned and failed on.
    fn tell_again(&mut self) {
        for running in &mut self.jails {
            running.tell_again(Instant::now(), self.database.as_ref());
        }
    }

    /// Ends what is over; says when to be woken next.
    fn tick(&mut self) -> Option<Timestamp> {
        if self.refreshed.elapsed() >= REFRESH {
            self.refresh();
        }
        let held_back = self.jails.iter().filter_map(|running| running.held_back).min();
        let instant = Instant::now();
        if held_back.is_some_and(|until| until <= instant) {
            self.release_logs();
        }
        let now = now();
        let mut wake: Option<Timestamp> = held_back.map(|_| now + stockade_core::Seconds(1));
        for running in &mut self.jails {
            let mut effects = Effects::new();
            let next = running.jail.on_tick(now, &mut effects);
            if !effects.is_empty() {
                carry_out(running, &mut effects, &self.log, self.database.as_ref());
            }
            wake = wake.into_iter().chain(next).min();
            if let Some(pause) = running.again.pause(instant) {
                if pause.is_zero() {
                    running.tell_again(instant, self.database.as_ref());
                } else {
                    let micros = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
                    let at = Timestamp::from_micros(now.micros().saturating_add(micros));
                    wake = wake.into_iter().chain([at]).min();
                }
            }
        }
        wake
    }

    /// Looks again at what may have changed in the world: own addresses, names and files in `ignoreip`; tries again what could not be started.
    pub(crate) fn refresh(&mut self) {
        self.refreshed = Instant::now();
        if let Some(database) = &self.database
            && self.purged.elapsed() >= PURGE
        {
            self.purged = Instant::now();
            let age = stockade_core::Seconds(database.purge_age);
            self.offenders.purge(now(), age);
        }
        // On a router the kernel's list is long.
        let inbox = self.inbox.clone();
        self.aside(move || {
            // The server may have ended meanwhile.
            let _ = inbox.send(Message::OwnAddresses(addresses::own()));
        });
        for place in 0..self.jails.len() {
            self.refresh_ignored(place);
            self.complete_actions(place);
        }
    }

    /// The same for one jail.
    pub(crate) fn refresh_ignored(&mut self, place: usize) {
        let Some(running) = self.jails.get_mut(place) else {
            return;
        };
        let own = self.own_addresses.iter().copied();
        let ignore = running.jail.ignore_mut();
        ignore.set_own_addresses(own);
        let files: Vec<String> = ignore.files().map(str::to_owned).collect();
        for path in files {
            match addresses::list(&path) {
                Ok(content) => ignore.set_file_content(&path, &content),
                // What was read before stays valid.
                Err(error) => self.log.write(
                    Level::Warning,
                    "fail2ban.filter",
                    &format!("[{}] Retrieving IPs set from '{path}' failed: {error}; mend: create the file or remove it from ignoreip", running.setup.name),
                ),
            }
        }
        let names: Vec<String> = ignore.names().map(str::to_owned).collect();
        for name in names {
            self.resolver.ask_ignored(&name);
        }
    }

    /// Where a jail stands in the list.
    pub(crate) fn position(&self, name: &JailName) -> Option<usize> {
        self.jails.iter().position(|running| running.setup.name == *name)
    }

    /// Writes a log line.
    pub(crate) fn say(&self, level: Level, logger: &str, text: &str) {
        self.log.write(level, logger, text);
    }

    /// Ends the reading of logs, and hears what it still has to tell: failures, and how far each log was read.
    fn stop_reading(&mut self, inbox: &Receiver<Message>) -> Option<std::thread::JoinHandle<()>> {
        let end = self.watch.end();
        let stopped = std::thread::Builder::new().name("watch-stop".into()).spawn(end);
        let thread = match stopped {
            Ok(thread) => thread,
            Err(error) => {
                self.say(
                    Level::Error,
                    "fail2ban.server",
                    &format!("the reading of logs could not be ended in order: {error}"),
                );
                return None;
            }
        };
        let deadline = Instant::now() + LAST_LINES;
        loop {
            let ended = thread.is_finished() || Instant::now() >= deadline;
            if let Ok(message) = inbox.recv_timeout(Duration::from_millis(if ended { 0 } else { 2 })) {
                // Clients are told nothing any more.
                if !matches!(message, Message::Command { .. } | Message::Stop) {
                    self.message(message);
                }
            } else if ended {
                return Some(thread);
            }
        }
    }

    fn shut_down(mut self, inbox: &Receiver<Message>) -> Option<SyncSender<Reply>> {
        self.say(Level::Info, "fail2ban.server", "Shutdown in progress...");
        let reading = self.stop_reading(inbox);
        self.tell_again();
        self.say(Level::Info, "fail2ban.server", "Stopping all jails");
        let names: Vec<JailName> = self.jails.iter().map(|running| running.setup.name.clone()).collect();
        self.leave(&names, true).finish();
        // Threads that still want to tell something must not wait for ever on a full inbox.
        let Self {
            farewell,
            mut asides,
            database,
            ..
        } = self;
        asides.extend(reading);
        if let Some(database) = database {
            database.close();
        }
        // What hangs in the kernel (a disk that does not answer) ends with the process.
        let deadline = Instant::now() + ENDING;
        while asides.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
            let _ = inbox.recv_timeout(Duration::from_millis(5));
        }
        farewell
    }
}

/// How long until a time; at least a little, so that a clock that stands still does not make us spin.
fn until(at: Timestamp) -> Duration {
    let micros = at.micros().saturating_sub(now().micros()).max(1000);
    Duration::from_micros(u64::try_from(micros).unwrap_or(1000))
}

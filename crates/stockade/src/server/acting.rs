//! Threads that act: bans become firewall changes and commands.
//!
//! All native actions share the thread `firewall`, which puts whatever waits into one transaction. Each action of commands has a thread of its
//! own, so that a mail that waits for a hanging whois delays no ban; where its commands can be done in bulk (see `stockade_action`), it takes
//! whatever waits at once, too. How actions end is in [`super::stopping`].

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stockade_action::{Action, Context, Counters, Earlier, Scope};
use stockade_core::effect::Ban;
use stockade_core::logline::Level;
use stockade_core::{FailureId, Fields, JailName};
use stockade_protocol::Reply;

use super::calling::Call;
use stockade_firewall::{Disturbance, Nftables, Watch};

use super::log::Log;
use super::store::Archive;
use super::telling::Telling;

/// How often the kernel is asked whether our sets and rules are still there, and hold what they should: some 50 µs and 1 µs for each ban.
const CHECK: Duration = Duration::from_secs(10);

/// With very many bans it is asked so seldom that it takes no more than one part of so many of the time.
const CHECK_SHARE: u32 = 50;

/// Between two checks after somebody else has deleted something of ours: whoever does it all the time must not keep us busy.
const CHECK_AGAIN: Duration = Duration::from_millis(200);

/// The same for actions of known commands, whose check is a process. A change by iptables may have been one of our own.
const COMMANDS_CHECK: Duration = Duration::from_secs(300);
const COMMANDS_CHECK_AGAIN: Duration = Duration::from_secs(1);
const COMMANDS_CHECK_AFTER_IPTABLES: Duration = Duration::from_secs(10);

/// How often it is looked whether to go on listening.
const LISTEN: Duration = Duration::from_secs(60);

/// Bytes of log lines and fields that wait for one action; beyond it bans wait without them. A hanging action must not fill the memory.
const TEXT_WAITING: usize = 32 << 20;

/// Jobs that wait for one action; beyond it bans are passed over, and made when their owners are seen again.
const JOBS_WAITING: usize = 200_000;

/// Jobs that come so soon after the last transaction are part of a burst: as long is waited for more of it, so that thousands of bans
/// are a few transactions and not thousands. A ban that comes alone waits for nothing.
const BURST: Duration = Duration::from_millis(2);

/// So many jobs an action of commands that works in bulk takes at once: what iptables does in about a second, after which it is
/// looked whether the end is near.
const JOBS_AT_ONCE: usize = 20_000;

/// So long a new action waits for the one before it of the same name to end; it ends earlier (see [`super::stopping`]).
const PREDECESSOR: Duration = Duration::from_secs(60);

/// What an action is to do about a ban.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Ban,
    Unban,
    /// The ban lasts longer now.
    Prolong,
    /// The id is banned and fails on.
    Recheck,
}

/// What an action is to do.
pub(crate) enum Job {
    /// Take over this action and start it.
    Adopt(Box<Action>),
    Ban(Box<Ban>, Counters),
    Unban(Box<Ban>, Counters),
    UnbanAll,
    /// How long the ban lasts is in [`Shared::prolonged`], where a later end replaces an earlier one.
    Prolong(FailureId, Counters),
    /// The same, with the ban that lasts longer.
    Longer(Box<Ban>, Counters),
    Recheck(Box<Ban>, Counters),
    /// New values of properties.
    Change(Vec<(String, String)>),
    /// The configuration was read again.
    Reload,
    /// A client calls a method; it is answered when that is done.
    Call(Box<Call>, SyncSender<Reply>),
    /// A client asks what the kernel holds.
    Tell(Telling),
    /// Lift all bans, leave the world as it was, and say so by dropping the sender.
    Stop(Sender<()>),
    /// Somebody has deleted something in a table that may be ours.
    Look(Disturbance),
}

/// Names an action on its thread.
type Key = (JailName, String);

/// Threads that want to know when others delete from the firewall.
type Listeners = Arc<Mutex<Vec<(Key, Sender<Box<Work>>)>>>;

/// What both ends of a lane know of it.
#[derive(Default)]
pub(super) struct Shared {
    jobs: AtomicUsize,
    text_bytes: AtomicUsize,
    /// Whose recheck waits: one is enough, however often they fail.
    rechecked: Mutex<HashSet<FailureId>>,
    prolonged: Mutex<HashMap<FailureId, Box<Ban>>>,
    /// It is to end: what waits before the end is passed over.
    pub(super) hurry: AtomicBool,
    /// The thread that runs its commands, by the kernel's number; 0 while there is none.
    pub(super) thread: AtomicI32,
    /// The server ends: what an action wants to outlast that does.
    pub(super) farewell: AtomicBool,
    /// What the kernel holds of a native action's bans, and how many it should hold, as of the last job.
    in_kernel: AtomicUsize,
    should_be: AtomicUsize,
    /// When jobs were last passed over, so that it is told once a minute.
    told: Mutex<Option<Instant>>,
}

/// What goes to a thread, in a box: a channel has room for thirty from its first on, and there is one for each action of each jail.
struct Work {
    key: Key,
    shared: Arc<Shared>,
    job: Job,
}

/// The way to one action.
#[derive(Clone)]
pub(crate) struct Lane {
    key: Key,
    native: bool,
    can_tell: bool,
    inbox: Sender<Box<Work>>,
    pub(super) shared: Arc<Shared>,
    log: Arc<Log>,
}

impl Lane {
    /// The action's name.
    pub(crate) fn name(&self) -> &str {
        &self.key.1
    }

    /// The jail it acts for.
    pub(crate) fn jail(&self) -> &JailName {
        &self.key.0
    }

    /// Whether it changes the kernel's sets itself.
    pub(crate) fn is_native(&self) -> bool {
        self.native
    }

    /// Whether it knows what the kernel holds.
    pub(super) fn can_tell(&self) -> bool {
        self.can_tell
    }

    /// Of an action that can tell: how many of its bans the kernel holds, and how many it should hold, if that differs.
    pub(crate) fn amiss_in_kernel(&self) -> Option<(usize, usize)> {
        let in_kernel = self.shared.in_kernel.load(Ordering::Relaxed);
        let should_be = self.shared.should_be.load(Ordering::Relaxed);
        (in_kernel != should_be).then_some((in_kernel, should_be))
    }

    /// Hands over a job about a ban. It never waits; what waits here is bounded, as the action may hang.
    pub(crate) fn about(&self, about: About, ban: &Ban, counters: Counters) {
        let shared = &self.shared;
        if about != About::Unban && shared.jobs.load(Ordering::Relaxed) >= JOBS_WAITING {
            self.complain();
            return;
        }
        match about {
            // To the kernel's sets, a ban that is made again is one that is made; nobody reads its lines.
            About::Ban | About::Prolong | About::Recheck if self.native => {
                if about != About::Recheck || self.is_first_recheck(&ban.id) {
                    self.give(Job::Ban(Box::new(without_text(ban)), counters));
                }
            }
            About::Ban => self.give(Job::Ban(Box::new(self.within_limits(ban)), counters)),
            About::Unban => self.give(Job::Unban(Box::new(self.within_limits(ban)), counters)),
            About::Prolong => {
                let ban = Box::new(self.within_limits(ban));
                let bytes = text_bytes(&ban);
                let id = ban.id.clone();
                let before = lock(&shared.prolonged).insert(id.clone(), ban);
                shared.text_bytes.fetch_add(bytes, Ordering::Relaxed);
                match before {
                    Some(before) => shared.release(&before),
                    None => self.give(Job::Prolong(id, counters)),
                }
            }
            About::Recheck => {
                if self.is_first_recheck(&ban.id) {
                    self.give(Job::Recheck(Box::new(self.within_limits(ban)), counters));
                }
            }
        }
    }

    fn is_first_recheck(&self, id: &FailureId) -> bool {
        lock(&self.shared.rechecked).insert(id.clone())
    }

    fn within_limits(&self, ban: &Ban) -> Ban {
        let waiting = self.shared.text_bytes.load(Ordering::Relaxed);
        if waiting.saturating_add(text_bytes(ban)) > TEXT_WAITING {
            without_text(ban)
        } else {
            ban.clone()
        }
    }

    /// Hands over a job.
    pub(crate) fn give(&self, job: Job) {
        self.shared.jobs.fetch_add(1, Ordering::Relaxed);
        if let Job::Ban(ban, _) | Job::Unban(ban, _) | Job::Recheck(ban, _) = &job {
            self.shared.text_bytes.fetch_add(text_bytes(ban), Ordering::Relaxed);
        }
        let (key, shared) = (self.key.clone(), Arc::clone(&self.shared));
        // The thread ends only after Stop, and after that nothing more is given.
        let _ = self.inbox.send(Box::new(Work { key, shared, job }));
    }

    fn complain(&self) {
        let mut told = lock(&self.shared.told);
        if told.is_some_and(|told| told.elapsed() < Duration::from_secs(60)) {
            return;
        }
        *told = Some(Instant::now());
        let text = format!(
            "[{}] {JOBS_WAITING} bans wait for action `{}`, the next ones are passed over; why: its commands are slower than bans are made; mend: \
             make them faster, or set a shorter `timeout`",
            self.key.0, self.key.1
        );
        self.log.write(Level::Error, "fail2ban.actions", &text);
    }
}

impl Shared {
    /// A job does not wait any more.
    fn taken(&self, job: &Job) {
        self.jobs.fetch_sub(1, Ordering::Relaxed);
        match job {
            Job::Ban(ban, _) | Job::Recheck(ban, _) => {
                self.release(ban);
                lock(&self.rechecked).remove(&ban.id);
            }
            Job::Unban(ban, _) => self.release(ban),
            _ => {}
        }
    }

    fn release(&self, ban: &Ban) {
        self.text_bytes.fetch_sub(text_bytes(ban), Ordering::Relaxed);
    }

    fn take_prolonged(&self, id: &FailureId) -> Option<Box<Ban>> {
        let ban = lock(&self.prolonged).remove(id)?;
        self.release(&ban);
        Some(ban)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text_bytes(ban: &Ban) -> usize {
    let lines = ban.matches.iter().map(|line| line.text.len());
    let fields = ban
        .fields
        .iter()
        .map(|(key, value)| key.len().saturating_add(value.len()));
    lines.chain(fields).sum()
}

pub(super) fn without_text(ban: &Ban) -> Ban {
    Ban {
        id: ban.id.clone(),
        matches: Vec::new(),
        fields: Fields::default(),
        ..*ban
    }
}

/// Starts threads for actions.
pub(crate) struct Acting {
    log: Arc<Log>,
    /// The thread of the native actions; started with the first.
    firewall: Option<Sender<Box<Work>>>,
    /// Whom to tell when others delete from the firewall; `None` before there is somebody. Under a lock, as the thread that listens waits for
    /// the kernel and cannot be sent anything.
    listeners: Option<Listeners>,
    /// Where earlier bans are looked up.
    archive: Option<Archive>,
    /// By action, what is disconnected when its thread has ended.
    ends: HashMap<Key, Receiver<()>>,
}

impl Acting {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self {
            log,
            firewall: None,
            listeners: None,
            archive: None,
            ends: HashMap::new(),
        }
    }

    /// Sets where earlier bans are looked up, for actions that start from now on.
    pub(crate) fn set_archive(&mut self, archive: Option<Archive>) {
        self.archive = archive;
    }

    /// Gives an action its thread and starts it. Fails if there is no thread or no connection to the kernel.
    pub(crate) fn lane(&mut self, jail: &JailName, mut action: Action) -> Result<Lane, String> {
        let key = (jail.clone(), action.name().to_owned());
        let native = action.native_target().is_some();
        let inbox = if native {
            let kernel = Nftables::open().map_err(|error| format!("action `{}`: {error}", action.name()))?;
            action.attach(Box::new(kernel));
            if let Some(inbox) = &self.firewall {
                inbox.clone()
            } else {
                let inbox = self.spawn("firewall", None)?;
                self.listen(inbox.clone(), &key);
                self.firewall = Some(inbox.clone());
                inbox
            }
        } else {
            let inbox = self.spawn(&format!("{jail}/{}", action.name()), Some(&key))?;
            if action.works_in_bulk() {
                self.listen(inbox.clone(), &key);
            }
            inbox
        };
        let lane = Lane {
            key,
            native,
            can_tell: action.standing().is_some(),
            inbox,
            shared: Arc::default(),
            log: Arc::clone(&self.log),
        };
        lane.give(Job::Adopt(Box::new(action)));
        Ok(lane)
    }

    /// Tells a thread from now on when others delete from the firewall. Without that there is still the check now and then.
    fn listen(&mut self, inbox: Sender<Box<Work>>, key: &Key) {
        if let Some(listeners) = &self.listeners {
            lock(listeners).push((key.clone(), inbox));
            return;
        }
        let listeners: Listeners = Arc::new(Mutex::new(vec![(key.clone(), inbox)]));
        self.listeners = Some(Arc::clone(&listeners));
        let watch = Watch::open().map_err(|error| error.to_string());
        let started = watch.and_then(|mut watch| {
            let listen = move || {
                // An error means that the kernel has closed the socket.
                while let Ok(heard) = watch.next(LISTEN, Nftables::is_ours) {
                    let mut listeners = lock(&listeners);
                    for disturbance in heard {
                        listeners.retain(|(key, inbox)| {
                            let (key, shared) = (key.clone(), Arc::default());
                            let job = Job::Look(disturbance.clone());
                            inbox.send(Box::new(Work { key, shared, job })).is_ok()
                        });
                    }
                }
            };
            let thread = std::thread::Builder::new().name("firewall-watch".to_owned());
            thread.spawn(listen).map_err(|error| error.to_string())
        });
        if let Err(error) = started {
            let text = format!("what others delete from the firewall is noticed only now and then: {error}");
            self.log.write(Level::Warning, "fail2ban.actions", &text);
        }
    }

    /// `alone`: the thread is for this action only, and begins when the one before it of this name has ended.
    fn spawn(&mut self, name: &str, alone: Option<&Key>) -> Result<Sender<Box<Work>>, String> {
        // Without a limit, since the thread that owns the jails must never wait; see `Lane::about` for what may wait here.
        let (sender, inbox) = channel();
        let (alive, end) = channel();
        self.ends
            .retain(|_, end| !matches!(end.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)));
        let predecessor = alone.and_then(|key| self.ends.insert(key.clone(), end));
        let thread = Thread {
            actions: HashMap::new(),
            log: Arc::clone(&self.log),
            archive: self.archive.clone(),
            alone: alone.is_some(),
            checked: Instant::now(),
            check_took: Duration::ZERO,
            has_ended: false,
            finished: Instant::now(),
            disturbed: None,
            shared: HashMap::new(),
        };
        std::thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || {
                // Nothing is ever sent: it is told by the end of the other thread.
                let _ = predecessor.map(|end| end.recv_timeout(PREDECESSOR));
                thread.run(&inbox);
                drop::<Sender<()>>(alive);
            })
            .map(|_| sender)
            .map_err(|error| format!("no thread for action `{name}`: {error}"))
    }
}

struct Thread {
    actions: HashMap<Key, Action>,
    log: Arc<Log>,
    archive: Option<Archive>,
    /// One action of commands only: the thread ends with it.
    alone: bool,
    checked: Instant,
    /// How long the last check took.
    check_took: Duration,
    /// When the last jobs were done, for an action that works in bulk.
    finished: Instant,
    /// The last action was stopped.
    has_ended: bool,
    /// Who has deleted something of ours since.
    disturbed: Option<String>,
    /// By action, where others read how it stands.
    shared: HashMap<Key, Arc<Shared>>,
}

impl Thread {
    fn run(mut self, inbox: &Receiver<Box<Work>>) {
        loop {
            let work = match self.pause() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(pause) => inbox.recv_timeout(pause.saturating_sub(self.checked.elapsed())),
            };
            if work.is_ok() && self.finished.elapsed() < BURST {
                std::thread::sleep(BURST);
            }
            match work {
                Ok(work) if self.alone => {
                    self.some(work, inbox);
                    if self.has_ended {
                        return;
                    }
                }
                // Whatever has come in the meantime goes into the same transaction.
                Ok(work) => {
                    let waiting = std::iter::once(work).chain(inbox.try_iter());
                    let (mut jobs, mut lanes) = (Vec::new(), Vec::new());
                    for work in waiting {
                        let Work { key, shared, job } = *work;
                        match job {
                            Job::Look(disturbance) => self.note(disturbance),
                            job => {
                                shared.taken(&job);
                                self.shared.entry(key.clone()).or_insert_with(|| Arc::clone(&shared));
                                lanes.push((key.clone(), shared));
                                jobs.push((key, job));
                            }
                        }
                    }
                    for (key, run) in runs(jobs.into_iter()) {
                        self.perform(&key, run);
                    }
                    // An action may have ended and come again in the meantime.
                    lanes.retain(|(key, _)| self.actions.contains_key(key));
                    self.shared.extend(lanes);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.pause().is_some_and(|pause| self.checked.elapsed() >= pause) {
                self.check();
            }
            if self.pause().is_some() {
                self.finished = Instant::now();
            }
        }
    }

    /// The time between two checks; `None` if there is nothing to be checked.
    fn pause(&self) -> Option<Duration> {
        if !self.alone {
            return Some(if self.disturbed.is_some() {
                CHECK_AGAIN
            } else {
                CHECK.max(self.check_took.saturating_mul(CHECK_SHARE))
            });
        }
        let in_bulk = self.actions.values().any(Action::works_in_bulk);
        in_bulk.then(|| match self.disturbed.as_deref() {
            None => COMMANDS_CHECK,
            Some(program) if program.starts_with("iptables") || program.starts_with("ip6tables") => {
                COMMANDS_CHECK_AFTER_IPTABLES
            }
            Some(_) => COMMANDS_CHECK_AGAIN,
        })
    }

    /// Remembers a deletion if it may be of ours; it is looked at soon.
    fn note(&mut self, disturbance: Disturbance) {
        let is_ours = |table: &String| {
            self.actions.values().any(|action| match action.native_target() {
                Some(target) => target.table == *table,
                None => action.property("table").unwrap_or("filter") == table,
            })
        };
        if disturbance.tables.is_empty() || disturbance.tables.iter().any(is_ours) {
            let program = disturbance.program.unwrap_or_else(|| "somebody".to_owned());
            self.disturbed = Some(program);
        }
    }

    /// Makes whole what somebody else has removed from the kernel, or what could not be done before.
    fn check(&mut self) {
        let begun = Instant::now();
        let keys: Vec<Key> = self.actions.keys().cloned().collect();
        for key in keys {
            let repairs = |thread: &Self| {
                thread
                    .actions
                    .get(&key)
                    .and_then(Action::standing)
                    .map(|standing| standing.repairs)
            };
            let before = repairs(self);
            self.with(&key, Counters::default(), Action::check);
            if let Some(program) = self.disturbed.as_deref().filter(|_| repairs(self) != before) {
                let text = format!(
                    "[{}] it was `{}` that deleted from the firewall",
                    key.0,
                    program.escape_debug()
                );
                self.log.write(Level::Warning, "fail2ban.actions", &text);
            }
        }
        self.disturbed = None;
        self.checked = Instant::now();
        self.check_took = self.checked.saturating_duration_since(begun);
    }

    /// One job of an action of commands, or what waits for it if it works in bulk.
    fn some(&mut self, work: Box<Work>, inbox: &Receiver<Box<Work>>) {
        let in_bulk = self.actions.values().any(Action::works_in_bulk);
        let more = if in_bulk { JOBS_AT_ONCE } else { 0 };
        work.shared
            .thread
            .store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
        let mut jobs = Vec::new();
        for work in std::iter::once(work).chain(inbox.try_iter().take(more)) {
            let Work { key, shared, job } = *work;
            let is_over = shared.hurry.load(Ordering::Relaxed);
            let job = match job {
                Job::Look(disturbance) => {
                    self.note(disturbance);
                    continue;
                }
                job => job,
            };
            shared.taken(&job);
            self.shared.insert(key.clone(), Arc::clone(&shared));
            let job = match job {
                Job::Adopt(_) | Job::Stop(_) | Job::Tell(_) => job,
                // All bans that were made are lifted at the end; those that were not need not be made.
                _ if is_over => continue,
                Job::Prolong(id, counters) => match shared.take_prolonged(&id) {
                    Some(ban) => Job::Longer(ban, counters),
                    None => continue,
                },
                job => job,
            };
            jobs.push((key, job));
        }
        for (key, run) in runs(jobs.into_iter()) {
            self.perform(&key, run);
        }
    }

    fn perform(&mut self, key: &Key, run: Run) {
        match run {
            Run::Bans(bans, counters) => self.with(key, counters, |action, context| action.ban_many(&bans, context)),
            Run::Unbans(bans, counters) => {
                self.with(key, counters, |action, context| action.unban_many(&bans, context));
            }
            Run::One(job) => match job {
                Job::Adopt(mut action) => {
                    self.keep_apart(key, &mut action);
                    for warning in action.warnings() {
                        self.log
                            .write(Level::Warning, "fail2ban.action", &format!("[{}] {warning}", key.0));
                    }
                    self.actions.insert(key.clone(), *action);
                    self.with(key, Counters::default(), Action::start);
                }
                Job::Ban(..) | Job::Unban(..) | Job::Prolong(..) | Job::Look(_) => {}
                Job::Longer(ban, counters) => {
                    self.with(key, counters, |action, context| action.prolong(&ban, context));
                }
                Job::UnbanAll => self.with(key, Counters::default(), Action::flush),
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
                    }
                    outcome
                }),
                Job::Reload => self.with(key, Counters::default(), Action::reload),
                Job::Call(call, reply) => {
                    let mut answer = None;
                    self.with(key, Counters::default(), |action, context| {
                        answer = Some(call.carry_out(&key.0, action, context));
                        Ok(())
                    });
                    // A client that went away does not want the answer.
                    let _ = answer.map(|answer| reply.send(answer));
                }
                Job::Tell(mut telling) => {
                    self.with(key, Counters::default(), |action, context| {
                        telling.add(action, context);
                        Ok(())
                    });
                    telling.go_on();
                }
                Job::Stop(done) => {
                    let shared = self.shared.remove(key);
                    let ends = if shared.is_some_and(|shared| shared.farewell.load(Ordering::Relaxed)) {
                        Action::leave
                    } else {
                        Action::stop
                    };
                    self.with(key, Counters::default(), ends);
                    self.actions.remove(key);
                    self.has_ended = self.actions.is_empty();
                    drop(done);
                }
            },
        }
    }

    /// Gives a native action sets of its own: where two share them, an unban by one lifts the ban of the other, and each takes what the other
    /// has banned for something that should not be there.
    fn keep_apart(&self, key: &Key, action: &mut Action) {
        let Some(wanted) = action.native_target().cloned() else {
            return;
        };
        let user_of = |name: &str| {
            let mut others = self.actions.iter().filter(|(other, _)| *other != key);
            others.find_map(|(other, action)| {
                let target = action.native_target()?;
                (target.table == wanted.table && target.name == name).then_some(other)
            })
        };
        let Some((jail, other)) = user_of(&wanted.name) else {
            return;
        };
        let names = (2..10_000).map(|number| format!("{}-{number}", wanted.name));
        let Some(name) = names.into_iter().find(|name| user_of(name).is_none()) else {
            return;
        };
        let outcome = match action.set_property("name", &name) {
            Ok(()) => format!("its sets are called `{name}`"),
            Err(error) => error.to_string(),
        };
        let text = format!(
            "[{}] action '{}': sets of the name `{}` are those of action '{other}' of jail '{jail}'; {outcome}; why: an unban by one would lift the \
             ban of the other; mend: give each a `name` of its own",
            key.0, key.1, wanted.name
        );
        self.log.write(Level::Warning, "fail2ban.actions", &text);
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
        let archive = self.archive.as_ref();
        let earlier = |id: &FailureId, scope: Scope| {
            let history = archive?.history(id, (scope == Scope::Jail).then_some(&key.0))?;
            Some(Earlier {
                failures: history.failures,
                matches: history.matches,
            })
        };
        let mut context = Context {
            now: super::now(),
            counters,
            earlier: &earlier,
            report: &mut report,
        };
        // A failure has been reported by the action; the ban counts as made, as it does upstream, and is tried again when seen again.
        let _ = what(action, &mut context);
        if let (Some(standing), Some(shared)) = (action.standing(), self.shared.get(key)) {
            shared.in_kernel.store(standing.in_kernel, Ordering::Relaxed);
            shared.should_be.store(standing.should_be, Ordering::Relaxed);
        }
    }
}

/// Jobs that can be done together.
enum Run {
    Bans(Vec<Ban>, Counters),
    Unbans(Vec<Ban>, Counters),
    One(Job),
}

/// Joins bans, and unbans, of the same action that follow each other, so that the order of an action's jobs holds.
fn runs(jobs: impl Iterator<Item = (Key, Job)>) -> Vec<(Key, Run)> {
    let mut runs: Vec<(Key, Run)> = Vec::new();
    // Where each action's latest run stands.
    let mut latest: HashMap<Key, usize> = HashMap::new();
    for (key, job) in jobs {
        let last = latest.get(&key).and_then(|place| runs.get_mut(*place));
        let run = match (job, last) {
            (Job::Ban(ban, counters), Some((_, Run::Bans(bans, latest)))) => {
                bans.push(*ban);
                *latest = counters;
                continue;
            }
            (Job::Unban(ban, counters), Some((_, Run::Unbans(bans, latest)))) => {
                bans.push(*ban);
                *latest = counters;
                continue;
            }
            (Job::Ban(ban, counters), _) => Run::Bans(vec![*ban], counters),
            (Job::Unban(ban, counters), _) => Run::Unbans(vec![*ban], counters),
            (job, _) => Run::One(job),
        };
        latest.insert(key.clone(), runs.len());
        runs.push((key, run));
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_core::{LineText, Seconds, Timestamp, Until};

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
            count: 1,
            restored: false,
        }
    }

    /// A lane nobody works at.
    fn lane(native: bool) -> (Lane, Receiver<Box<Work>>) {
        let (inbox, waiting) = channel();
        let log = Log::open(
            super::super::logtarget::Target::plain(super::super::logtarget::Place::Stderr),
            "auto",
            "CRITICAL",
            jiff::tz::TimeZone::UTC,
        )
        .unwrap();
        let lane = Lane {
            key: (JailName::new("j").unwrap(), "a".to_owned()),
            native,
            can_tell: native,
            inbox,
            shared: Arc::default(),
            log: Arc::new(log),
        };
        (lane, waiting)
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
        let shown: Vec<String> = runs(jobs.into_iter())
            .iter()
            .map(|((_, action), run)| match run {
                Run::Bans(bans, _) => format!("{action} ban {}", bans.len()),
                Run::Unbans(bans, _) => format!("{action} unban {}", bans.len()),
                Run::One(_) => format!("{action} other"),
            })
            .collect();
        assert_eq!(shown, ["a ban 2", "b ban 1", "a unban 1", "a ban 1"]);
    }

    #[test]
    fn whoever_fails_on_while_an_action_hangs_waits_there_once() {
        let counters = Counters::default();
        for native in [false, true] {
            let (lane, waiting) = lane(native);
            for _ in 0..1000 {
                lane.about(About::Recheck, &ban("192.0.2.1"), counters);
            }
            lane.about(About::Recheck, &ban("192.0.2.2"), counters);
            let jobs: Vec<Box<Work>> = waiting.try_iter().collect();
            assert_eq!(jobs.len(), 2, "native: {native}");
            for work in &jobs {
                work.shared.taken(&work.job);
            }
            lane.about(About::Recheck, &ban("192.0.2.1"), counters);
            assert_eq!(waiting.try_iter().count(), 1, "it may wait again once it was looked at");
        }
        let (lane, waiting) = lane(false);
        for end in 1..1000 {
            let mut longer = ban("192.0.2.1");
            longer.until = Until::At(Timestamp::from_secs(end));
            lane.about(About::Prolong, &longer, counters);
        }
        assert_eq!(waiting.try_iter().count(), 1);
        let last = lane.shared.take_prolonged(&FailureId::parse("192.0.2.1")).unwrap();
        assert_eq!(
            last.until,
            Until::At(Timestamp::from_secs(999)),
            "the last end is the one that counts"
        );
    }

    #[test]
    fn bans_that_wait_for_a_hanging_action_do_not_fill_the_memory() {
        let (lane, waiting) = lane(false);
        let long = LineText {
            text: "x".repeat(64 << 10).into(),
            date: 0..0,
        };
        for number in 0..2000_u32 {
            let mut ban = ban(&std::net::Ipv4Addr::from(number).to_string());
            ban.matches = vec![long.clone()];
            lane.about(About::Ban, &ban, Counters::default());
        }
        let jobs: Vec<Box<Work>> = waiting.try_iter().collect();
        let kept: usize = jobs
            .iter()
            .map(|work| match &work.job {
                Job::Ban(ban, _) => text_bytes(ban),
                _ => 0,
            })
            .sum();
        assert_eq!(jobs.len(), 2000, "each ban is made");
        assert!((30 << 20..=TEXT_WAITING).contains(&kept), "{kept}");
        for work in jobs {
            work.shared.taken(&work.job);
        }
        assert_eq!(lane.shared.text_bytes.load(Ordering::Relaxed), 0);
        assert_eq!(lane.shared.jobs.load(Ordering::Relaxed), 0);
    }
}

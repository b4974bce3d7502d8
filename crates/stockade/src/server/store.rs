//! The thread that owns the database, and the way to it.
//!
//! What is to be stored is told and forgotten: nobody waits for the disk. The thread writes what has come in groups; a group that cannot be
//! written (the disk is full) is kept and tried again. Only a jail that starts, and an action whose command asks for earlier bans, wait for
//! an answer, and not for ever.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stockade_core::logline::Level;
use stockade_core::offenders::LatestBan;
use stockade_core::{Ban, FailureId, Fields, JailName, Seconds, Timestamp};
use stockade_store::{History, LogRow, Note, Place, Store, StoreError};

use super::log::Log;
use super::now;

/// Orders that wait for the disk. When it is full bans are not stored, which is told; they hold all the same.
const WAITING: usize = 65_536;

/// Orders that could not be written and are tried again; beyond it the oldest are given up.
const KEPT: usize = 200_000;

/// Bytes of log lines and fields that wait to be written; beyond it bans are stored without them. A disk that hangs must not fill the memory.
const TEXT_WAITING: usize = 32 << 20;

/// What comes within this time is written as one group.
const GATHER: Duration = Duration::from_millis(200);
/// The largest group.
const GROUP: usize = 10_000;

/// Bans are purged this often, as upstream does, the first time soon after the start.
const PURGE: Duration = Duration::from_secs(3600);
const FIRST_PURGE: Duration = Duration::from_secs(60);

/// A group that could not be written is tried again after this.
const RETRY: Duration = Duration::from_secs(5);

/// So long is waited for the file to be opened, for the bans of a jail that starts, and for the end.
const OPENING: Duration = Duration::from_secs(20);
const RESTORING: Duration = Duration::from_secs(10);
const CLOSING: Duration = Duration::from_secs(10);
/// So long an action waits for what is known of somebody.
const ASKING: Duration = Duration::from_secs(5);

/// The same complaint at most this often.
const QUIET: Duration = Duration::from_secs(60);

const LOGGER: &str = "fail2ban.database";

/// What is to be stored or looked up.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// A jail is there, or no longer.
    Jail(JailName, bool),
    /// A ban was made.
    Ban(JailName, Box<Ban>),
    /// A ban lasts longer.
    Prolong(JailName, Box<Ban>),
    /// An operator lifted a ban, or all of a jail.
    Forget(JailName, Option<FailureId>),
    /// So far a log was read.
    Log {
        jail: JailName,
        path: String,
        first_line: String,
        offset: u64,
    },
    /// So far the journal was read; the time as text.
    Journal(JailName, Timestamp, String),
    MaxMatches(usize),
    PurgeAge(Seconds),
    /// The bans of a jail that starts.
    Restore(JailName, SyncSender<Vec<Ban>>),
    /// The latest bans of all jails.
    LatestBans(SyncSender<Vec<(JailName, FailureId, LatestBan)>>),
    /// What is known of somebody, in one jail or in all.
    History(FailureId, Option<JailName>, SyncSender<History>),
    /// Write what waits, and end.
    Close,
}

/// The way to ask for earlier bans, for the threads of actions.
#[derive(Clone)]
pub(crate) struct Archive(Inbox);

impl Archive {
    /// What is known of somebody, in one jail or in all; `None` if that does not come in time.
    pub(crate) fn history(&self, id: &FailureId, jail: Option<&JailName>) -> Option<History> {
        let (reply, answer) = sync_channel(1);
        self.0.send(Order::History(id.clone(), jail.cloned(), reply)).ok()?;
        answer.recv_timeout(ASKING).ok()
    }
}

/// The way of orders to the thread. They are counted: a bounded channel keeps the memory for all that it may ever hold.
#[derive(Clone)]
struct Inbox {
    orders: Sender<Order>,
    /// How many of them wait.
    waiting: Arc<AtomicUsize>,
}

impl Inbox {
    /// Its end for the thread counts down what it takes.
    fn new() -> (Self, Receiver<Order>) {
        let (orders, receiver) = channel();
        let waiting = Arc::default();
        (Self { orders, waiting }, receiver)
    }

    /// Gives an order unless too many wait.
    fn try_send(&self, order: Order) -> Result<(), TrySendError<Order>> {
        if self.waiting.load(Ordering::Relaxed) >= WAITING {
            return Err(TrySendError::Full(order));
        }
        self.send(order)
            .map_err(|SendError(order)| TrySendError::Disconnected(order))
    }

    /// Gives an order however many wait: one of those of which there are few.
    fn send(&self, order: Order) -> Result<(), SendError<Order>> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.orders.send(order).inspect_err(|_| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        })
    }
}

/// An open database.
pub(crate) struct Database {
    place: Place,
    inbox: Inbox,
    thread: JoinHandle<()>,
    pub(crate) max_matches: i64,
    pub(crate) purge_age: i64,
    log: Arc<Log>,
    /// Bytes of text in the orders that wait.
    text_bytes: Arc<AtomicUsize>,
    /// When it was last said that it does not keep up, or does not answer.
    told: Cell<Option<Instant>>,
}

impl Database {
    /// Opens a database in a thread of its own; where reading of logs ended comes with it. Fails with a text for the operator.
    pub(crate) fn open(place: Place, log: &Arc<Log>) -> Result<(Self, Vec<LogRow>), String> {
        let (inbox, orders) = Inbox::new();
        let taken = Arc::clone(&inbox.waiting);
        let (opened, outcome) = sync_channel(1);
        let (at, writes) = (place.clone(), Arc::clone(log));
        let text_bytes: Arc<AtomicUsize> = Arc::default();
        let waiting = Arc::clone(&text_bytes);
        let thread = std::thread::Builder::new()
            .name("database".into())
            .spawn(move || {
                let stamp = stamp(&writes);
                let opening = Store::open(&at, &stamp).and_then(|(store, notes)| {
                    let rows = store.logs()?;
                    Ok((store, notes, rows))
                });
                match opening {
                    Ok((store, notes, rows)) => {
                        say_all(&writes, &notes);
                        // Whoever waited too long goes on without it, and so do we.
                        if opened.send(Ok(rows)).is_ok() {
                            Thread::new(store, at, writes, waiting).run(&orders, &taken);
                        }
                    }
                    Err(error) => {
                        let _ = opened.send(Err(error.to_string()));
                    }
                }
            })
            .map_err(|error| format!("no thread for the database: {error}"))?;
        let rows = match outcome.recv_timeout(OPENING) {
            Ok(outcome) => outcome?,
            Err(_) => {
                return Err(format!(
                    "the database {place} could not be opened in {} s: its disk does not answer",
                    OPENING.as_secs()
                ));
            }
        };
        let database = Self {
            place,
            inbox,
            thread,
            max_matches: 10,
            purge_age: 86_400,
            log: Arc::clone(log),
            text_bytes,
            told: Cell::new(None),
        };
        Ok((database, rows))
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The way to it for the threads of actions.
    pub(crate) fn archive(&self) -> Archive {
        Archive(self.inbox.clone())
    }

    /// Tells it what to store; never waits.
    pub(crate) fn tell(&self, mut order: Order) {
        if let Order::Ban(_, ban) | Order::Prolong(_, ban) = &mut order
            && self.text_bytes.load(Ordering::Relaxed) > TEXT_WAITING
        {
            ban.matches = Vec::new();
            ban.fields = Fields::default();
        }
        let bytes = text_bytes(&order);
        self.text_bytes.fetch_add(bytes, Ordering::Relaxed);
        let outcome = self.inbox.try_send(order);
        if outcome.is_err() {
            self.text_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        match outcome {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.complain(
                "the database does not keep up with what is to be stored, and misses some of it: those bans hold, but would not be restored \
                 after a restart; mend: look at the disk",
            ),
            Err(TrySendError::Disconnected(_)) => self.complain("the thread of the database has failed: nothing is stored any more"),
        }
    }

    /// The bans of a jail that may still hold.
    pub(crate) fn restore(&self, jail: &JailName) -> Vec<Ban> {
        let (reply, answer) = sync_channel(1);
        self.tell(Order::Restore(jail.clone(), reply));
        answer.recv_timeout(RESTORING).unwrap_or_else(|_| {
            self.complain("the bans of earlier runs could not be read in time, and are not restored");
            Vec::new()
        })
    }

    /// The latest bans of all jails, also of those that are over. Only the first jail that increments waits for it.
    pub(crate) fn latest_bans(&self) -> Vec<(JailName, FailureId, LatestBan)> {
        let (reply, answer) = sync_channel(1);
        self.tell(Order::LatestBans(reply));
        answer.recv_timeout(RESTORING).unwrap_or_else(|_| {
            self.complain(
                "the bans of earlier runs could not be read in time: known offenders are treated like others",
            );
            Vec::new()
        })
    }

    /// Writes what waits, and closes it.
    pub(crate) fn close(self) {
        let Self { inbox, thread, log, .. } = self;
        let deadline = Instant::now() + CLOSING;
        // Actions may still hold the way to it, so its end is an order of its own. It fails if the thread has ended, which is looked at next.
        let _ = inbox.send(Order::Close);
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            log.write(Level::Info, LOGGER, "Connection to database closed.");
        } else {
            log.write(
                Level::Error,
                LOGGER,
                "the database could not be written in time: what happened last is not in it; mend: look at the disk",
            );
        }
    }

    fn complain(&self, text: &str) {
        if self.told.get().is_none_or(|told| told.elapsed() >= QUIET) {
            self.told.set(Some(Instant::now()));
            self.log.write(Level::Error, LOGGER, text);
        }
    }
}

fn stamp(log: &Log) -> String {
    let now = jiff::Timestamp::now().to_zoned(log.zone().clone());
    now.strftime("%Y%m%d-%H%M%S").to_string()
}

fn say_all(log: &Log, notes: &[Note]) {
    for note in notes {
        log.write(note.level(), LOGGER, &note.to_string());
    }
}

struct Thread {
    /// Always there; taken only while a damaged file is replaced.
    store: Option<Store>,
    place: Place,
    log: Arc<Log>,
    purge_age: Seconds,
    next_purge: Instant,
    /// What is to be written.
    group: Vec<Order>,
    /// Bytes of text in the group and in what waits behind it.
    text_bytes: Arc<AtomicUsize>,
    retry_at: Option<Instant>,
    told: Option<Instant>,
}

impl Thread {
    fn new(store: Store, place: Place, log: Arc<Log>, text_bytes: Arc<AtomicUsize>) -> Self {
        Self {
            store: Some(store),
            place,
            log,
            purge_age: Seconds(86_400),
            next_purge: Instant::now() + FIRST_PURGE,
            group: Vec::new(),
            text_bytes,
            retry_at: None,
            told: None,
        }
    }

    /// Works until the end; `waiting` is how many orders there are to take.
    fn run(mut self, inbox: &Receiver<Order>, waiting: &AtomicUsize) {
        let mut gather_until: Option<Instant> = None;
        loop {
            let wake = [gather_until, self.retry_at, Some(self.next_purge)]
                .into_iter()
                .flatten()
                .min();
            let wait = wake.map_or(PURGE, |at| at.saturating_duration_since(Instant::now()));
            let order = inbox.recv_timeout(wait);
            if order.is_ok() {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
            match order {
                Ok(Order::Close) | Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    return;
                }
                Ok(order) => {
                    self.take(order);
                    if !self.group.is_empty() && self.retry_at.is_none() {
                        gather_until.get_or_insert_with(|| Instant::now() + GATHER);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            let due = gather_until.is_some_and(|at| at <= now) || self.retry_at.is_some_and(|at| at <= now);
            if due || (self.group.len() >= GROUP && self.retry_at.is_none()) {
                self.write();
                gather_until = None;
            }
            if self.next_purge <= now {
                self.purge();
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Restore(jail, reply) => {
                self.write_bans();
                let bans = self.look(|store| store.restorable(&jail, now())).unwrap_or_default();
                // A jail that waited too long is told nothing.
                let _ = reply.send(bans);
            }
            Order::LatestBans(reply) => {
                self.write_bans();
                let bans = self.look(|store| store.latest_bans(stockade_core::offenders::MOST_OFFENDERS));
                let _ = reply.send(bans.unwrap_or_default());
            }
            Order::History(id, jail, reply) => {
                self.write_bans();
                let since = now() - self.purge_age;
                let history = self.look(|store| store.history(&id, jail.as_ref(), since));
                let _ = reply.send(history.unwrap_or_default());
            }
            Order::MaxMatches(number) => {
                self.write_bans();
                if let Some(store) = &mut self.store {
                    store.set_max_matches(number);
                }
            }
            Order::PurgeAge(age) => self.purge_age = age,
            order => {
                self.group.push(order);
                if self.group.len() > KEPT {
                    let given_up: Vec<Order> = self.group.drain(..KEPT / 10).collect();
                    self.forget_text(&given_up);
                }
            }
        }
    }

    /// Writes the group if it has bans in it, which what is asked for depends on; a jail that starts does not wait for the disk else.
    fn write_bans(&mut self) {
        let about_bans = |order: &Order| matches!(order, Order::Ban(..) | Order::Prolong(..) | Order::Forget(..));
        if self.group.iter().any(about_bans) {
            self.write();
        }
    }

    /// Writes the group; it stays if that is not possible.
    fn write(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let group = std::mem::take(&mut self.group);
        let mut outcome = self.write_group(&group);
        if let Err(error) = &outcome
            && error.is_damage()
        {
            self.renew(error);
            outcome = self.write_group(&group);
        }
        self.retry_at = None;
        if let Err(error) = outcome {
            self.group = group;
            self.retry_at = Some(Instant::now() + RETRY);
            self.complain(&format!(
                "{error}; bans hold, but would not be restored after a restart; it is tried again every {} s; mend: look at the disk and the \
                 rights of {}",
                RETRY.as_secs(),
                self.place
            ));
        } else {
            self.forget_text(&group);
        }
    }

    fn forget_text(&self, orders: &[Order]) {
        let bytes = orders.iter().map(text_bytes).sum();
        self.text_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn write_group(&self, group: &[Order]) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let write = || {
            store.begin()?;
            group.iter().try_for_each(|order| store_one(store, order))?;
            store.commit()
        };
        let outcome = write();
        if outcome.is_err() {
            store.roll_back();
        }
        outcome
    }

    /// Reads something; a damaged file is replaced, and asked again.
    fn look<T>(&mut self, what: impl Fn(&Store) -> Result<T, StoreError>) -> Option<T> {
        let mut outcome = what(self.store.as_ref()?);
        if let Err(error) = &outcome
            && error.is_damage()
        {
            self.renew(error);
            outcome = what(self.store.as_ref()?);
        }
        outcome.map_err(|error| self.complain(&error.to_string())).ok()
    }

    fn renew(&mut self, why: &StoreError) {
        let (Place::File(path), Some(store)) = (&self.place, self.store.take()) else {
            return;
        };
        let path: PathBuf = path.clone();
        match store.renew(&path, &stamp(&self.log), why) {
            Ok((store, notes)) => {
                say_all(&self.log, &notes);
                self.store = Some(store);
            }
            Err(error) => self.log.write(
                Level::Error,
                LOGGER,
                &format!("{error}; nothing is stored any more; mend: restart the server once that is done"),
            ),
        }
    }

    fn purge(&mut self) {
        self.next_purge = Instant::now() + PURGE;
        self.write();
        let age = self.purge_age;
        let removed = self.look(|store| store.purge(now(), age));
        if removed.is_some_and(|rows| rows > 0) {
            // What it needs for that may not be there: the file then stays as long as it is.
            let pages = self.store.as_ref().and_then(|store| store.shrink().ok());
            self.log.write(
                Level::Debug,
                LOGGER,
                &format!(
                    "{} rows older than {} s were removed; the file is {} pages shorter",
                    removed.unwrap_or_default(),
                    age.0,
                    pages.unwrap_or_default()
                ),
            );
        }
    }

    fn complain(&mut self, text: &str) {
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            self.told = Some(Instant::now());
            self.log.write(Level::Error, LOGGER, text);
        }
    }
}

fn text_bytes(order: &Order) -> usize {
    let (Order::Ban(_, ban) | Order::Prolong(_, ban)) = order else {
        return 0;
    };
    let lines = ban.matches.iter().map(|line| line.text.len());
    let fields = ban.fields.iter().map(|(name, value)| name.len() + value.len());
    lines.chain(fields).sum()
}

fn store_one(store: &Store, order: &Order) -> Result<(), StoreError> {
    match order {
        Order::Jail(jail, enabled) => store.set_enabled(jail, *enabled),
        Order::Ban(jail, ban) => store.add_ban(jail, ban),
        Order::Prolong(jail, ban) => store.prolong(jail, ban),
        Order::Forget(jail, id) => store.forget(jail, id.as_ref()),
        Order::Log {
            jail,
            path,
            first_line,
            offset,
        } => store.set_log(jail, path, first_line, *offset),
        Order::Journal(jail, at, shown) => store.set_journal(jail, *at, shown),
        Order::MaxMatches(_)
        | Order::PurgeAge(_)
        | Order::Restore(..)
        | Order::LatestBans(_)
        | Order::History(..)
        | Order::Close => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_core::{LineText, Until};

    fn silent() -> Arc<Log> {
        let stderr = super::super::logtarget::Target::plain(super::super::logtarget::Place::Stderr);
        Arc::new(Log::open(stderr, "auto", "CRITICAL", jiff::tz::TimeZone::UTC).unwrap())
    }

    fn ban(number: u32, matches: Vec<LineText>) -> Order {
        let ban = Ban {
            id: FailureId::Addr(std::net::Ipv4Addr::from(number).into()),
            since: Timestamp::from_secs(0),
            until: Until::Forever,
            bantime: Seconds(-1),
            failures: 1,
            matches,
            fields: Fields::default(),
            count: 1,
            restored: false,
        };
        Order::Ban(JailName::new("j").unwrap(), Box::new(ban))
    }

    #[test]
    fn a_jail_that_starts_waits_for_the_disk_only_if_bans_are_to_be_written() {
        let (store, _) = Store::open(&Place::Memory, "").unwrap();
        let mut thread = Thread::new(store, Place::Memory, silent(), Arc::default());
        let jail = JailName::new("j").unwrap();
        let mut restored = |orders: Vec<Order>| {
            for order in orders {
                thread.take(order);
            }
            let (reply, answer) = sync_channel(1);
            thread.take(Order::Restore(jail.clone(), reply));
            (answer.recv().unwrap().len(), thread.group.len())
        };
        assert_eq!(restored(vec![Order::Jail(jail.clone(), true)]), (0, 1));
        assert_eq!(restored(vec![ban(1, Vec::new())]), (1, 0));
        assert_eq!(restored(vec![Order::Forget(jail.clone(), None)]), (0, 0));
    }

    #[test]
    fn a_disk_that_hangs_neither_fills_the_memory_nor_holds_up_who_bans() {
        let (inbox, waiting) = Inbox::new();
        // Nobody takes what waits.
        let database = Database {
            place: Place::Memory,
            inbox,
            thread: std::thread::spawn(|| {}),
            max_matches: 10,
            purge_age: 86_400,
            log: silent(),
            text_bytes: Arc::default(),
            told: Cell::new(None),
        };
        let long = LineText {
            text: "x".repeat(64 << 10).into(),
            date: 0..0,
        };
        for number in 0..100_000_u32 {
            database.tell(ban(number, vec![long.clone()]));
        }
        let orders: Vec<Order> = waiting.try_iter().collect();
        assert_eq!(orders.len(), WAITING);
        let kept: usize = orders.iter().map(text_bytes).sum();
        assert!(
            (TEXT_WAITING..TEXT_WAITING + (128 << 10)).contains(&kept),
            "{kept} bytes"
        );
    }
}

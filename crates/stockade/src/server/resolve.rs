//! Threads that ask the resolver, so that a slow DNS server delays nobody.
//!
//! Names come from log lines (`usedns`) and from `ignoreip`. Those from logs are hostile: the queue is bounded, names are capped, answers are
//! remembered for five minutes, failures too.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stockade_core::JailName;
use stockade_core::logline::Level;
use stockade_filter::Match;

use super::jails::Message;
use super::log::Log;

const THREADS: usize = 2;
const WAITING: usize = 256;
const REMEMBERED: usize = 1000;
const FRESH: Duration = Duration::from_secs(300);
/// A name in `ignoreip` is looked up again after this; if that failed, soon, as the network may not be up yet.
const IGNORED_FRESH: Duration = Duration::from_secs(30);
const IGNORED_RETRY: Duration = Duration::from_secs(5);
/// Longest host name in DNS.
const LONGEST: usize = 253;

/// A failure whose line names a host.
pub(crate) struct Question {
    pub(crate) jail: JailName,
    pub(crate) name: Box<str>,
    pub(crate) found: Box<Match>,
}

/// The way to ask; threads start with the first question.
pub(crate) struct Resolver {
    inbox: SyncSender<Question>,
    waiting: Arc<Mutex<Receiver<Question>>>,
    started: bool,
    /// The way to the thread for names in `ignoreip`, which those who write log lines cannot keep busy.
    ignored: Option<Sender<String>>,
    /// Which of them wait.
    ignored_waiting: Arc<Mutex<HashSet<String>>>,
    jails: SyncSender<Message>,
    log: Arc<Log>,
    complained: Option<Instant>,
}

impl Resolver {
    pub(crate) fn new(jails: SyncSender<Message>, log: Arc<Log>) -> Self {
        let (inbox, waiting) = sync_channel(WAITING);
        Self {
            inbox,
            waiting: Arc::new(Mutex::new(waiting)),
            started: false,
            ignored: None,
            ignored_waiting: Arc::default(),
            jails,
            log,
            complained: None,
        }
    }

    /// Asks; the answer arrives as a message. When too many questions wait, this one is dropped, as a failed look-up would be.
    pub(crate) fn ask(&mut self, question: Question) {
        if !self.started {
            self.start();
        }
        if let Err(TrySendError::Full(_)) = self.inbox.try_send(question) {
            let now = Instant::now();
            if self
                .complained
                .is_none_or(|said| now.duration_since(said) > Duration::from_secs(60))
            {
                self.complained = Some(now);
                self.log.write(
                    Level::Warning,
                    "fail2ban.ipdns",
                    "too many host names wait for the resolver, some are passed over; mend: usedns = no",
                );
            }
        }
    }

    /// Asks for a name in an `ignoreip` list; the answer arrives as a message.
    pub(crate) fn ask_ignored(&mut self, name: &str) {
        let mut waiting = self.ignored_waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.insert(name.to_owned()) {
            return;
        }
        drop(waiting);
        if self.ignored.is_none() {
            // Without a limit: each name of the configuration waits at most once.
            let (sender, inbox) = channel();
            let (waiting, jails, log) = (
                Arc::clone(&self.ignored_waiting),
                self.jails.clone(),
                Arc::clone(&self.log),
            );
            let spawned = std::thread::Builder::new()
                .name("resolve-ignored".into())
                .spawn(move || run_ignored(&inbox, &waiting, &jails, &log));
            match spawned {
                Ok(_) => self.ignored = Some(sender),
                Err(error) => self.log.write(
                    Level::Error,
                    "fail2ban.ipdns",
                    &format!("no thread to look up names in ignoreip: {error}; it is tried again"),
                ),
            }
        }
        let sent = self
            .ignored
            .as_ref()
            .is_some_and(|sender| sender.send(name.to_owned()).is_ok());
        if !sent {
            let mut waiting = self.ignored_waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.remove(name);
        }
    }

    fn start(&mut self) {
        self.started = true;
        let memory: Memory = Arc::new(Mutex::new(HashMap::new()));
        for number in 0..THREADS {
            let (waiting, jails, log, memory) = (
                Arc::clone(&self.waiting),
                self.jails.clone(),
                Arc::clone(&self.log),
                Arc::clone(&memory),
            );
            // These threads end when the server drops the inbox; nobody waits for them, since a look-up may hang for long.
            let spawned = std::thread::Builder::new()
                .name(format!("resolve-{number}"))
                .spawn(move || run(&waiting, &jails, &log, &memory));
            if let Err(error) = spawned {
                self.log.write(
                    Level::Error,
                    "fail2ban.ipdns",
                    &format!("no thread for look-ups: {error}; names are passed over"),
                );
            }
        }
    }
}

type Memory = Arc<Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>>;

fn run(waiting: &Mutex<Receiver<Question>>, jails: &SyncSender<Message>, log: &Log, memory: &Memory) {
    loop {
        // The lock is held while waiting: the threads take turns at one inbox.
        let question = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Question { jail, name, found }) = question else {
            return;
        };
        let addresses = look_up(&name, memory, log);
        let resolved = Message::Resolved {
            jail,
            name,
            found,
            addresses,
        };
        if jails.send(resolved).is_err() {
            return;
        }
    }
}

fn run_ignored(inbox: &Receiver<String>, waiting: &Mutex<HashSet<String>>, jails: &SyncSender<Message>, log: &Log) {
    let mut memory: HashMap<String, (Instant, Option<Vec<IpAddr>>)> = HashMap::new();
    while let Ok(name) = inbox.recv() {
        memory.retain(|_, (at, addresses)| {
            at.elapsed()
                < if addresses.is_some() {
                    IGNORED_FRESH
                } else {
                    IGNORED_RETRY
                }
        });
        let addresses = if let Some((_, addresses)) = memory.get(&name) {
            addresses.clone()
        } else {
            let addresses = ask(&name, log);
            memory.insert(name.clone(), (Instant::now(), addresses.clone()));
            addresses
        };
        waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        if jails.send(Message::IgnoredName { name, addresses }).is_err() {
            return;
        }
    }
}

fn look_up(name: &str, memory: &Memory, log: &Log) -> Vec<IpAddr> {
    let lock = || memory.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if let Some((at, addresses)) = lock().get(name)
        && now.duration_since(*at) < FRESH
    {
        return addresses.clone();
    }
    let addresses = ask(name, log).unwrap_or_default();
    let mut memory = lock();
    if memory.len() >= REMEMBERED {
        memory.retain(|_, (at, _)| now.duration_since(*at) < FRESH);
        if memory.len() >= REMEMBERED {
            memory.clear();
        }
    }
    memory.insert(name.to_owned(), (now, addresses.clone()));
    addresses
}

/// The addresses of a name; `None` if it has none or cannot be looked up.
fn ask(name: &str, log: &Log) -> Option<Vec<IpAddr>> {
    if name.len() > LONGEST {
        return None;
    }
    match (name, 0_u16).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
            addresses.sort_unstable();
            addresses.dedup();
            Some(addresses)
        }
        Err(error) => {
            log.write(
                Level::Warning,
                "fail2ban.ipdns",
                &format!(
                    "Unable to find a corresponding IP address for {name}: {}",
                    as_python(&error)
                ),
            );
            None
        }
    }
}

/// The resolver's error as Python shows it: with its number, by which log watchers tell a name that is not there from a resolver that is not.
fn as_python(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit(": ").next().unwrap_or_default();
    let number = match text {
        "Name or service not known" => -2,
        "Temporary failure in name resolution" => -3,
        "Non-recoverable failure in name resolution" => -4,
        "No address associated with hostname" => -5,
        other => return other.to_owned(),
    };
    format!("[Errno {number}] {text}")
}

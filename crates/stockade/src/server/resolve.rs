//! Threads that ask the resolver, so that a slow DNS server delays nobody.
//!
//! Names come from log lines (`usedns`) and from `ignoreip`. Those from logs are hostile: the queue is bounded, names are capped, answers are
//! remembered for five minutes, failures too.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
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
/// Longest host name in DNS.
const LONGEST: usize = 253;

/// A name to look up, and for whom.
pub(crate) enum Question {
    /// A failure whose line names a host.
    Found {
        jail: JailName,
        name: Box<str>,
        found: Box<Match>,
    },
    /// A name in an `ignoreip` list.
    Ignore { name: String },
}

/// The way to ask; threads start with the first question.
pub(crate) struct Resolver {
    inbox: SyncSender<Question>,
    waiting: Arc<Mutex<Receiver<Question>>>,
    started: bool,
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
        let sent = match question {
            Err(_) => return,
            Ok(Question::Found { jail, name, found }) => {
                let addresses = look_up(&name, memory, log);
                jails.send(Message::Resolved {
                    jail,
                    name,
                    found,
                    addresses,
                })
            }
            Ok(Question::Ignore { name }) => {
                let addresses = look_up(&name, memory, log);
                jails.send(Message::IgnoredName { name, addresses })
            }
        };
        if sent.is_err() {
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
    let addresses = ask(name, log);
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

fn ask(name: &str, log: &Log) -> Vec<IpAddr> {
    if name.len() > LONGEST {
        return Vec::new();
    }
    match (name, 0_u16).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
            addresses.sort_unstable();
            addresses.dedup();
            addresses
        }
        Err(error) => {
            log.write(
                Level::Warning,
                "fail2ban.ipdns",
                &format!("Unable to find a corresponding IP address for {name}: {error}"),
            );
            Vec::new()
        }
    }
}

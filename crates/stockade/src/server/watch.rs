//! The thread that reads logs and hands whole lines to the workers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use stockade_core::JailName;
use stockade_core::logline::Level;
use stockade_source::{Backend, Event, FileId, Rotation, SourceError, SourceId, Start, Waker, Watcher};

use super::journal::{Journal, Wanted};
use super::log::Log;
use super::matching::{Block, Rules, Work, Workers};

/// After an error that concerns all files, wait this long before trying again.
const PAUSE: Duration = Duration::from_secs(1);

/// One `logpath`: a path or glob, and where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogPath {
    pub(crate) pattern: String,
    /// Only what is written from now on.
    pub(crate) tail: bool,
}

/// What the thread is told.
enum Order {
    /// This jail reads these logs with these rules; replaces what it did before.
    Set { rules: Arc<Rules>, logs: Vec<LogPath> },
    /// This jail reads nothing any more.
    Drop(JailName),
}

/// The way to tell the thread what to read.
pub(crate) struct Watch {
    orders: Sender<Order>,
    waker: Waker,
    thread: JoinHandle<()>,
    journal: Journal,
    ending: Arc<AtomicBool>,
}

impl Watch {
    /// Starts the thread.
    pub(crate) fn start(workers: Workers, log: Arc<Log>) -> Result<Self, String> {
        let watcher = Watcher::new(Backend::Auto).map_err(|error| error.to_string())?;
        let waker = watcher.waker();
        let ending = workers.ending();
        let workers = Arc::new(workers);
        let journal = Journal::start(Arc::clone(&workers), Arc::clone(&log))?;
        // Orders come from one thread, few and small: no limit is needed.
        let (orders, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || {
                let mut state = State {
                    jails: HashMap::new(),
                    files: HashMap::new(),
                    generation: 0,
                    log,
                };
                state.run(watcher, &workers, &inbox);
                // The last thread that gives them work ends them.
                if let Some(workers) = Arc::into_inner(workers) {
                    workers.stop();
                }
            })
            .map_err(|error| format!("the thread that reads logs cannot be started: {error}"))?;
        Ok(Self {
            orders,
            waker,
            thread,
            journal,
            ending,
        })
    }

    /// Lets a jail read these logs, and only these.
    pub(crate) fn set(&self, rules: &Arc<Rules>, logs: &[LogPath]) {
        self.journal.drop_jail(&rules.jail);
        self.order(Order::Set {
            rules: Arc::clone(rules),
            logs: logs.to_vec(),
        });
    }

    /// Lets a jail read the journal, and no log.
    pub(crate) fn set_journal(&self, rules: &Arc<Rules>, wanted: Wanted) {
        self.order(Order::Drop(rules.jail.clone()));
        self.journal.set(rules, wanted);
    }

    /// Ends a jail's reading.
    pub(crate) fn drop_jail(&self, jail: &JailName) {
        self.order(Order::Drop(jail.clone()));
        self.journal.drop_jail(jail);
    }

    fn order(&self, order: Order) {
        // The thread ends only after this handle is gone.
        let _ = self.orders.send(order);
        self.waker.wake();
    }

    /// Stops reading and matching, and waits until all of it has ended. What was not looked at yet is passed over.
    pub(crate) fn stop(self) {
        self.ending.store(true, Ordering::Relaxed);
        drop(self.orders);
        self.waker.wake();
        self.journal.stop();
        let _ = self.thread.join();
    }
}

struct Watched {
    rules: Arc<Rules>,
    logs: Vec<(LogPath, SourceId)>,
}

struct State {
    jails: HashMap<JailName, Watched>,
    files: HashMap<FileId, Known>,
    /// Changes with every order; what a file's jails were found at.
    generation: u64,
    log: Arc<Log>,
}

struct Known {
    number: u64,
    path: Arc<Path>,
    jails: Arc<[Arc<Rules>]>,
    generation: u64,
}

impl State {
    fn run(&mut self, mut watcher: Watcher, workers: &Workers, inbox: &Receiver<Order>) {
        let mut numbers = 0_u64;
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(order) => self.obey(&mut watcher, order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let outcome = watcher.wait(None, &mut |event| self.event(&event, workers, &mut numbers));
            if let Err(error) = outcome {
                self.log.write(Level::Error, "fail2ban.filter", &error.to_string());
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn obey(&mut self, watcher: &mut Watcher, order: Order) {
        match order {
            Order::Drop(jail) => {
                for (_, source) in self.jails.remove(&jail).map(|watched| watched.logs).unwrap_or_default() {
                    watcher.remove(source);
                }
            }
            Order::Set { rules, logs } => {
                let mut old = self
                    .jails
                    .remove(&rules.jail)
                    .map(|watched| watched.logs)
                    .unwrap_or_default();
                let logs = logs
                    .into_iter()
                    .map(|log| {
                        let known = old
                            .iter()
                            .position(|(other, _)| other.pattern == log.pattern)
                            .map(|place| old.swap_remove(place).1);
                        let source = known.unwrap_or_else(|| {
                            watcher.add(&log.pattern, if log.tail { Start::Tail } else { Start::Head })
                        });
                        (log, source)
                    })
                    .collect();
                for (_, source) in old {
                    watcher.remove(source);
                }
                self.jails.insert(rules.jail.clone(), Watched { rules, logs });
            }
        }
        // Which jails want which file is found again at each file's next lines.
        self.generation = self.generation.wrapping_add(1);
    }

    fn event(&mut self, event: &Event<'_>, workers: &Workers, numbers: &mut u64) {
        match event {
            Event::Lines {
                file,
                sources,
                path,
                block,
                caught_up,
                ..
            } => {
                let known = match self.files.remove(file) {
                    Some(known) if known.generation == self.generation => known,
                    Some(known) => Known {
                        jails: self.wanting(sources),
                        generation: self.generation,
                        ..known
                    },
                    None => {
                        *numbers = numbers.wrapping_add(1);
                        let (jails, generation) = (self.wanting(sources), self.generation);
                        Known {
                            number: *numbers,
                            path: Arc::from(*path),
                            jails,
                            generation,
                        }
                    }
                };
                let block = Block {
                    file: known.number,
                    path: Arc::clone(&known.path),
                    bytes: block.to_vec(),
                    entries: Vec::new(),
                    in_operation: *caught_up,
                    jails: Arc::clone(&known.jails),
                };
                self.files.insert(*file, known);
                workers.give(block.file, Work::Block(block));
            }
            Event::Opened { path, position, .. } => {
                self.info(&format!(
                    "Added logfile: '{}' (pos = {}, hash = )",
                    path.display(),
                    position.offset
                ));
            }
            Event::Rotated { path, reason, .. } => {
                let reason = match reason {
                    Rotation::Replaced => "another file stands there",
                    Rotation::Truncated => "it was cut off",
                };
                self.log.write(
                    Level::Msg,
                    "fail2ban.filter",
                    &format!("Log rotation detected for {}, reason: {reason}", path.display()),
                );
            }
            Event::Gone { path, .. } => {
                self.info(&format!("Removed logfile: '{}', waiting for a new one", path.display()));
            }
            Event::Closed { file } => {
                if let Some(known) = self.files.remove(file) {
                    workers.give(known.number, Work::Forget(known.number));
                }
            }
            Event::Problem { source, error } => {
                let jail = source.and_then(|source| {
                    self.jails
                        .iter()
                        .find(|(_, watched)| watched.logs.iter().any(|(_, other)| *other == source))
                });
                let text = match jail {
                    Some((jail, _)) => format!("[{jail}] {error}"),
                    None => error.to_string(),
                };
                // The jails that are built in wait for logs that many systems never have: no warning.
                let level = if matches!(error, SourceError::Missing { .. }) {
                    Level::Info
                } else {
                    Level::Warning
                };
                // A message of several lines for a terminal; the log has one line for each.
                self.log.write(level, "fail2ban.filter", &text.replace("\n  ", "; "));
            }
            _ => {}
        }
    }

    fn wanting(&self, sources: &[SourceId]) -> Arc<[Arc<Rules>]> {
        let mut wanting: Vec<Arc<Rules>> = self
            .jails
            .values()
            .filter(|watched| watched.logs.iter().any(|(_, source)| sources.contains(source)))
            .map(|watched| Arc::clone(&watched.rules))
            .collect();
        wanting.sort_by(|a, b| a.jail.cmp(&b.jail));
        wanting.into()
    }

    fn info(&self, text: &str) {
        self.log.write(Level::Info, "fail2ban.filter", text);
    }
}

//! The thread that reads logs and hands whole lines to the workers.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stockade_core::JailName;
use stockade_core::logline::Level;
use stockade_source::{
    Backend, Event, FileId, FirstLine, Position, Rotation, SourceError, SourceId, Start, Waker, Watcher,
};
use stockade_store::{JOURNAL, LogRow};

use super::backlog::Backlog;
use super::journal::{Journal, Wanted};
use super::later;
use super::log::Log;
use super::matching::{Block, ReadTo, Rules, Upto, Work, Workers};

/// After an error that concerns all files, wait this long before trying again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a command waits for logs to be opened: a file system may hang.
const OPENING: Duration = Duration::from_millis(100);

/// So long more orders are waited for after one that lets a jail read, and so long altogether.
const GATHER: Duration = Duration::from_millis(20);
const GATHER_AT_MOST: Duration = Duration::from_millis(250);

/// One `logpath`: a path or glob, and where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogPath {
    pub(crate) pattern: String,
    /// Only what is written from now on.
    pub(crate) tail: bool,
}

/// Where jails go on in logs they do not read now.
type Places = HashMap<JailName, Vec<(PathBuf, Position)>>;

/// What the thread is told.
enum Order {
    /// This jail reads these logs with these rules; replaces what it did before.
    Set {
        rules: Arc<Rules>,
        logs: Vec<LogPath>,
        /// Told when the logs are open.
        opened: SyncSender<()>,
    },
    /// This jail reads nothing any more.
    Drop(JailName),
    /// There is a database, and so far jails had read logs in an earlier run.
    Known(Places),
}

/// The way to tell the thread what to read.
pub(crate) struct Watch {
    /// `None` when it ends.
    orders: Option<Sender<Order>>,
    waker: Waker,
    /// Both are there until it ends.
    threads: Option<(JoinHandle<()>, Journal)>,
    ending: Arc<AtomicBool>,
    backlog: Arc<Backlog>,
}

impl Watch {
    /// Starts the thread.
    pub(crate) fn start(workers: Workers, log: Arc<Log>) -> Result<Self, String> {
        let mut watcher = Watcher::new(Backend::Auto).map_err(|error| error.to_string())?;
        let waker = watcher.waker();
        let (ending, backlog) = (workers.ending(), workers.backlog());
        workers.set_waker(&waker);
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
                    places: None,
                    generation: 0,
                    log,
                };
                state.run(&mut watcher, &Outbox::new(&workers), &inbox);
                // The kernel takes some 30 ms to close an inotify, which the end of the process does anyway: nobody waits for it.
                std::mem::forget(watcher);
                // The last thread that gives them work ends them.
                if let Some(workers) = Arc::into_inner(workers) {
                    workers.stop();
                }
            })
            .map_err(|error| format!("the thread that reads logs cannot be started: {error}"))?;
        Ok(Self {
            orders: Some(orders),
            waker,
            threads: Some((thread, journal)),
            ending,
            backlog,
        })
    }

    /// The logs of a jail that are not read to their end for longer than a moment, in words.
    pub(crate) fn behind(&self, jail: &JailName) -> Vec<String> {
        self.backlog.of(jail)
    }

    /// Lets a jail read these logs, and only these.
    pub(crate) fn set(&self, rules: &Arc<Rules>, logs: &[LogPath]) {
        if let Some((_, journal)) = &self.threads {
            journal.drop_jail(&rules.jail);
        }
        let (opened, is_open) = sync_channel(1);
        self.order(Order::Set {
            rules: Arc::clone(rules),
            logs: logs.to_vec(),
            opened,
        });
        // What is written after the command was answered is new, even if it has no date. Late or never, it goes on all the same.
        let _ = is_open.recv_timeout(OPENING);
    }

    /// Lets a jail read the journal, and no log.
    pub(crate) fn set_journal(&self, rules: &Arc<Rules>, wanted: Wanted) {
        self.order(Order::Drop(rules.jail.clone()));
        if let Some((_, journal)) = &self.threads {
            journal.set(rules, wanted);
        }
    }

    /// Ends a jail's reading.
    pub(crate) fn drop_jail(&self, jail: &JailName) {
        self.order(Order::Drop(jail.clone()));
        if let Some((_, journal)) = &self.threads {
            journal.drop_jail(jail);
        }
    }

    /// Tells where jails that have not read yet go on, as a database has it.
    pub(crate) fn known(&self, rows: Vec<LogRow>) {
        let mut places = Places::new();
        let mut entries = Vec::new();
        for row in rows {
            let Some(jail) = JailName::new(&row.jail) else { continue };
            if row.path == JOURNAL {
                entries.push((jail, row.position));
                continue;
            }
            let position = Position {
                offset: u64::try_from(row.position).unwrap_or(0),
                first_line: FirstLine::parse(&row.first_line),
            };
            places.entry(jail).or_default().push((row.path.into(), position));
        }
        self.order(Order::Known(places));
        if let Some((_, journal)) = &self.threads {
            journal.known(entries);
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread ends only after this handle is gone.
            let _ = orders.send(order);
            self.waker.wake();
        }
    }

    /// Stops reading and matching; what it gives waits until all of it has ended. What was not looked at yet is passed over.
    pub(crate) fn end(&mut self) -> impl FnOnce() + Send + 'static {
        self.ending.store(true, Ordering::Relaxed);
        drop(self.orders.take());
        self.waker.wake();
        let threads = self.threads.take();
        move || {
            if let Some((thread, journal)) = threads {
                journal.stop();
                let _ = thread.join();
            }
        }
    }
}

struct Watched {
    rules: Arc<Rules>,
    logs: Vec<(LogPath, SourceId)>,
}

/// Work on its way to the workers. Nobody waits for one that is busy: what its inbox has no room for waits here, and until that is gone the
/// logs that go to it are not read. So it is a few blocks at most.
struct Outbox<'a> {
    workers: &'a Workers,
    /// By worker.
    waiting: RefCell<HashMap<usize, VecDeque<Work>>>,
}

impl<'a> Outbox<'a> {
    fn new(workers: &'a Workers) -> Self {
        let waiting = RefCell::default();
        Self { workers, waiting }
    }

    /// Whether work about this file can be given at once.
    fn has_room(&self, file: u64) -> bool {
        !self.waiting.borrow().contains_key(&self.workers.of(file))
    }

    fn give(&self, file: u64, work: Work) {
        let worker = self.workers.of(file);
        let mut waiting = self.waiting.borrow_mut();
        if let Some(queue) = waiting.get_mut(&worker) {
            queue.push_back(work);
        } else if let Some(work) = self.workers.offer(worker, work) {
            waiting.insert(worker, VecDeque::from([work]));
        }
    }

    /// Gives what waits, as far as there is room.
    fn go_on(&self) {
        self.waiting.borrow_mut().retain(|worker, queue| {
            while let Some(work) = queue.pop_front() {
                if let Some(work) = self.workers.offer(*worker, work) {
                    queue.push_front(work);
                    return true;
                }
            }
            false
        });
    }
}

struct State {
    jails: HashMap<JailName, Watched>,
    files: HashMap<FileId, Known>,
    /// Where jails go on; `None` if there is no database: logs are then read anew, as far as `findtime` reaches.
    places: Option<Places>,
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
    fn run(&mut self, watcher: &mut Watcher, outbox: &Outbox<'_>, inbox: &Receiver<Order>) {
        loop {
            outbox.go_on();
            // Jails start one after the other: those that share a log are to begin it together.
            let patience = Instant::now() + GATHER_AT_MOST;
            let mut ordered = false;
            loop {
                let wait = if ordered {
                    GATHER.min(patience.saturating_duration_since(Instant::now()))
                } else {
                    Duration::ZERO
                };
                match inbox.recv_timeout(wait) {
                    Ok(order) => {
                        ordered |= matches!(order, Order::Set { .. });
                        let opened = match &order {
                            Order::Set { opened, .. } => Some(opened.clone()),
                            _ => None,
                        };
                        self.obey(watcher, order);
                        watcher.open_added(&mut |event| self.event(&event, outbox));
                        if let Some(opened) = opened {
                            // Whoever asked may have given up waiting.
                            let _ = opened.try_send(());
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            let may_read = |file: FileId| outbox.has_room(file.number());
            let outcome = watcher.wait_reading(None, &may_read, &mut |event| self.event(&event, outbox));
            if let Err(error) = outcome {
                self.log.write(Level::Error, "fail2ban.filter", &error.to_string());
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn obey(&mut self, watcher: &mut Watcher, order: Order) {
        match order {
            Order::Known(places) => self.places = Some(places),
            Order::Drop(jail) => {
                self.remember(watcher, &jail);
                for (_, source) in self.jails.remove(&jail).map(|watched| watched.logs).unwrap_or_default() {
                    watcher.remove(source);
                }
            }
            Order::Set { rules, logs, .. } => {
                let mut old = self
                    .jails
                    .remove(&rules.jail)
                    .map(|watched| watched.logs)
                    .unwrap_or_default();
                let positions = self.places.as_ref().and_then(|places| places.get(&rules.jail));
                let positions = positions.cloned().unwrap_or_default();
                let logs = logs
                    .into_iter()
                    .map(|log| {
                        let known = old
                            .iter()
                            .position(|(other, _)| other.pattern == log.pattern)
                            .map(|place| old.swap_remove(place).1);
                        let source = known.unwrap_or_else(|| {
                            let (positions, tail) = (positions.clone(), log.tail);
                            watcher.add(&log.pattern, Start::Resume { positions, tail })
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

    /// Remembers how far a jail has come, should it come again.
    fn remember(&mut self, watcher: &Watcher, jail: &JailName) {
        let Some(places) = &mut self.places else { return };
        for (file, known) in &self.files {
            if known.jails.iter().any(|rules| rules.jail == *jail)
                && let Some(position) = watcher.position(*file)
            {
                let places = places.entry(jail.clone()).or_default();
                places.retain(|(path, _)| **path != *known.path);
                places.push((known.path.to_path_buf(), position));
            }
        }
    }

    fn event(&mut self, event: &Event<'_>, outbox: &Outbox<'_>) {
        match event {
            Event::Lines {
                file,
                sources,
                path,
                block,
                end,
                left,
                first_line,
                caught_up,
            } => {
                let known = self.take_known(*file, sources, path);
                let block = Block {
                    file: known.number,
                    path: Arc::clone(&known.path),
                    bytes: block.to_vec(),
                    end: *end,
                    left: *left,
                    first_line: *first_line,
                    entries: Vec::new(),
                    in_operation: *caught_up,
                    jails: Arc::clone(&known.jails),
                };
                self.files.insert(*file, known);
                outbox.give(block.file, Work::Block(block));
            }
            Event::Opened {
                file,
                sources,
                path,
                position,
            } => {
                let hash = position.first_line.map(|hash| hash.to_string()).unwrap_or_default();
                self.info(&format!(
                    "Added logfile: '{}' (pos = {}, hash = {hash})",
                    path.display(),
                    position.offset
                ));
                let known = self.take_known(*file, sources, path);
                let begin = known.jails.iter().map(|rules| ReadTo {
                    jail: rules.jail.clone(),
                    path: Arc::clone(&known.path),
                    number: known.number,
                    upto: Upto::Line {
                        first_line: position.first_line,
                        offset: position.offset,
                    },
                });
                outbox.give(known.number, Work::Begin(begin.collect()));
                // Others may read the same file: its lines tell.
                let generation = self.generation.wrapping_sub(1);
                self.files.insert(*file, Known { generation, ..known });
            }
            Event::Beginning {
                sources,
                path,
                beginning,
                ..
            } => {
                let place = later::beginning(beginning, &self.wanting(sources));
                beginning.begin_at(place);
                if let Some(skipped) = place.checked_sub(beginning.from()).filter(|skipped| *skipped > 0) {
                    self.log.write(
                        Level::Debug,
                        "fail2ban.filter",
                        &format!(
                            "{}: {skipped} bytes of lines older than findtime are passed over",
                            path.display()
                        ),
                    );
                }
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
                // Its sources may have gone over to another tail of the same file.
                self.generation = self.generation.wrapping_add(1);
                if let Some(known) = self.files.remove(file) {
                    outbox.give(known.number, Work::Forget(known.number));
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

    /// What is known of a file, and which jails want it now; to be put back.
    fn take_known(&mut self, file: FileId, sources: &[SourceId], path: &Path) -> Known {
        match self.files.remove(&file) {
            Some(known) if known.generation == self.generation => known,
            Some(known) => Known {
                jails: self.wanting(sources),
                generation: self.generation,
                ..known
            },
            None => Known {
                number: file.number(),
                path: Arc::from(path),
                jails: self.wanting(sources),
                generation: self.generation,
            },
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

//! Threads that match: blocks of lines go in, failures come out.
//!
//! A file always goes to the same worker, so the order of its lines holds. This is the only place where a panic is caught: a hostile
//! line may cost itself, not the server.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stockade_core::logline::Level;
use stockade_core::{JailName, Timestamp};
use stockade_filter::together::{self, Progress, Reader};
use stockade_filter::{Clock, Dating, Filter, Given, Match, Memory, Verdict};
use stockade_source::{FirstLine, Waker, lines};

use super::backlog::Backlog;
use super::jails::Message;
use super::log::{Log, local};

/// Blocks waiting for a worker; when it is full what belongs to it is not read, and the kernel keeps the bytes.
const BLOCKS_WAITING: usize = 4;

/// So many failures are told at once at most. They wait for the end of their block, or as long as [`TELL_FOUND`].
const FOUND_AT_ONCE: usize = 256;

/// A failure is told after this time at the latest, if a line behind it has been judged: some lines take long.
const TELL_FOUND: Duration = Duration::from_millis(5);

/// How far logs were read is told this often, as upstream stores it.
const TELL_PLACES: Duration = Duration::from_secs(10);

/// How long the same complaint about the same file stays unsaid.
const QUIET: Duration = Duration::from_secs(60);

/// How long doubts about the dates of the same file stay unsaid.
const QUIET_DATES: Duration = Duration::from_secs(24 * 3600);

/// What the workers need to know of a jail. Shared with the thread that owns the jail, which may change `findtime`.
pub(crate) struct Rules {
    pub(crate) jail: JailName,
    pub(crate) filter: Filter,
    /// Seconds.
    pub(crate) findtime: AtomicI64,
}

/// Whole lines of one file.
pub(crate) struct Block {
    /// The file's number while it is watched.
    pub(crate) file: u64,
    /// Its path, for messages.
    pub(crate) path: Arc<Path>,
    /// Whole lines, each ended by a newline.
    pub(crate) bytes: Vec<u8>,
    /// The position after them.
    pub(crate) end: u64,
    /// How many bytes the log had behind them when they were read.
    pub(crate) left: u64,
    /// By which the log is known again.
    pub(crate) first_line: Option<FirstLine>,
    /// Or entries of the journal.
    pub(crate) entries: Vec<Dated>,
    /// `false` while what was in the log at the start is being read.
    pub(crate) in_operation: bool,
    /// The jails that watch this file.
    pub(crate) jails: Arc<[Arc<Rules>]>,
}

/// A line whose time is known.
pub(crate) struct Dated {
    pub(crate) at: Timestamp,
    /// Begins with its date.
    pub(crate) line: Arc<[u8]>,
    /// The length of the date with the blank behind it: rules do not see it.
    pub(crate) date: usize,
}

/// How far a jail has read a log, with all that it found there.
#[derive(Clone, Debug)]
pub(crate) struct ReadTo {
    pub(crate) jail: JailName,
    pub(crate) path: Arc<Path>,
    /// The file's number.
    pub(crate) number: u64,
    pub(crate) upto: Upto,
}

/// A place in a log file, or in the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upto {
    Line {
        first_line: Option<FirstLine>,
        offset: u64,
    },
    /// The entry of this time was read.
    Entry(Timestamp),
}

/// What a worker is told.
pub(crate) enum Work {
    /// These jails begin to read a file at this place.
    Begin(Vec<ReadTo>),
    /// Match these lines.
    Block(Block),
    /// A file is no longer watched.
    Forget(u64),
}

/// Failures of one worker, in the order in which they were found.
#[derive(Default)]
pub(crate) struct Bundle {
    /// Whose they are: so many of the next ones are of this jail.
    pub(crate) jails: Vec<(JailName, usize)>,
    pub(crate) found: Vec<Match>,
}

impl Bundle {
    /// An empty one, with room for as many as the last one had: where there are many, there will be many.
    fn after(last: &Self) -> Self {
        Self {
            jails: Vec::new(),
            found: Vec::with_capacity(last.found.len()),
        }
    }

    fn add(&mut self, jail: &JailName, found: Match) {
        match self.jails.last_mut() {
            Some((last, count)) if last == jail => *count += 1,
            _ => self.jails.push((jail.clone(), 1)),
        }
        self.found.push(found);
    }
}

/// Where a worker's work waits.
struct Inbox {
    work: SyncSender<Work>,
    room: Arc<Room>,
}

/// Tells the watcher that a worker has taken something from its full inbox.
#[derive(Default)]
struct Room {
    wanted: AtomicBool,
    waker: OnceLock<Waker>,
}

/// The workers' inboxes, and the threads to wait for at the end.
pub(crate) struct Workers {
    inboxes: Vec<Inbox>,
    threads: Vec<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
    backlog: Arc<Backlog>,
}

impl Workers {
    /// Starts `count` workers that report to `jails`.
    pub(crate) fn start(count: usize, jails: &SyncSender<Message>, log: &Arc<Log>) -> std::io::Result<Self> {
        let mut workers = Self {
            inboxes: Vec::new(),
            threads: Vec::new(),
            ending: Arc::default(),
            backlog: Arc::default(),
        };
        for number in 0..count.max(1) {
            let (sender, inbox) = sync_channel(BLOCKS_WAITING);
            let room = Arc::<Room>::default();
            let worker = Worker {
                memories: HashMap::new(),
                jails_of: HashMap::new(),
                complaints: HashMap::new(),
                places: HashMap::new(),
                told: Instant::now(),
                found: Bundle::default(),
                found_at: Instant::now(),
                stopped: false,
                jails: jails.clone(),
                log: Arc::clone(log),
                ending: Arc::clone(&workers.ending),
                backlog: Arc::clone(&workers.backlog),
                behind: HashSet::new(),
                room: Arc::clone(&room),
            };
            let thread = std::thread::Builder::new()
                .name(format!("match-{number}"))
                .spawn(move || worker.run(&inbox))?;
            workers.inboxes.push(Inbox { work: sender, room });
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Which worker a file goes to.
    pub(crate) fn of(&self, file: u64) -> usize {
        let count = u64::try_from(self.inboxes.len()).unwrap_or(1).max(1);
        usize::try_from(file % count).unwrap_or(0)
    }

    /// Hands work about a file to its worker; waits while the worker is busy. `false` when the server is stopping.
    pub(crate) fn give(&self, file: u64, work: Work) -> bool {
        self.inboxes
            .get(self.of(file))
            .is_some_and(|inbox| inbox.work.send(work).is_ok())
    }

    /// Hands work to a worker, or gives it back if its inbox is full: then there will be a wake-up when it has room.
    pub(crate) fn offer(&self, worker: usize, work: Work) -> Option<Work> {
        let inbox = self.inboxes.get(worker)?;
        let Err(TrySendError::Full(work)) = inbox.work.try_send(work) else {
            return None;
        };
        inbox.room.wanted.store(true, Ordering::SeqCst);
        // What was taken before it was told that room is wanted is not told.
        match inbox.work.try_send(work) {
            Err(TrySendError::Full(work)) => Some(work),
            _ => None,
        }
    }

    /// Whom to wake when a worker has room again.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        for inbox in &self.inboxes {
            // Set once, at the start.
            let _ = inbox.room.waker.set(waker.clone());
        }
    }

    /// What tells the workers to pass over what they still have: there is nobody left to tell of failures.
    pub(crate) fn ending(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ending)
    }

    /// How far behind their logs the jails are.
    pub(crate) fn backlog(&self) -> Arc<Backlog> {
        Arc::clone(&self.backlog)
    }

    /// Waits for the workers to finish what they have.
    pub(crate) fn stop(self) {
        drop(self.inboxes);
        for thread in self.threads {
            // A worker that panicked outside a line has already said so on stderr.
            let _ = thread.join();
        }
    }
}

struct Worker {
    /// By file and jail; replaced when the jail gets new rules.
    memories: HashMap<(u64, JailName), (Arc<Rules>, Memory)>,
    /// Which jails a file had last; when they change, memories of those that left are dropped.
    jails_of: HashMap<u64, Arc<[Arc<Rules>]>>,
    complaints: HashMap<(u64, &'static str), Instant>,
    /// By file and jail, how far it was read since that was last told.
    places: HashMap<(u64, JailName), ReadTo>,
    told: Instant,
    /// Failures to be told, and when the first was found.
    found: Bundle,
    found_at: Instant,
    /// Lines were passed over because the server ends: from here on nothing is read.
    stopped: bool,
    jails: SyncSender<Message>,
    log: Arc<Log>,
    ending: Arc<AtomicBool>,
    backlog: Arc<Backlog>,
    /// Files that are noted there by this worker.
    behind: HashSet<u64>,
    room: Arc<Room>,
}

/// A jail that has a block before it.
struct Turn {
    rules: Arc<Rules>,
    clock: Clock,
    memory: Memory,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Work>) {
        loop {
            let work = if self.places.is_empty() {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                inbox.recv_timeout(TELL_PLACES.saturating_sub(self.told.elapsed()))
            };
            self.tell_room();
            match work {
                Ok(Work::Begin(places)) => {
                    for place in places {
                        self.places.insert((place.number, place.jail.clone()), place);
                    }
                }
                Ok(Work::Block(block)) => {
                    if !self.stopped {
                        if block.left > 0 {
                            // It may take long itself.
                            let length = u64::try_from(block.bytes.len()).unwrap_or(u64::MAX);
                            self.behind.insert(block.file);
                            self.backlog.note(&block, block.left.saturating_add(length));
                        }
                        self.block(&block);
                        self.tell_found();
                        if block.left > 0 || self.behind.remove(&block.file) {
                            self.backlog.note(&block, block.left);
                        }
                    }
                }
                Ok(Work::Forget(file)) => {
                    self.tell_places();
                    // As above: without a receiver there is no interest.
                    let _ = self.jails.send(Message::Closed(file));
                    self.memories.retain(|(other, _), _| *other != file);
                    self.complaints.retain(|(other, _), _| *other != file);
                    self.jails_of.remove(&file);
                    if self.behind.remove(&file) {
                        self.backlog.forget(file);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.tell_places();
                    return;
                }
            }
            if self.told.elapsed() >= TELL_PLACES {
                self.tell_places();
            }
        }
    }

    fn tell_room(&self) {
        if self.room.wanted.swap(false, Ordering::SeqCst)
            && let Some(waker) = self.room.waker.get()
        {
            waker.wake();
        }
    }

    fn tell_found(&mut self) {
        if !self.found.found.is_empty() {
            let next = Bundle::after(&self.found);
            let found = std::mem::replace(&mut self.found, next);
            // The receiver lives as long as the server: when it is gone, so is the interest in these failures.
            let _ = self.jails.send(Message::Found(found));
        }
    }

    fn tell_places(&mut self) {
        self.told = Instant::now();
        self.tell_found();
        if !self.places.is_empty() {
            let places = self.places.drain().map(|(_, place)| place).collect();
            // The receiver lives as long as the server.
            let _ = self.jails.send(Message::Read(places));
        }
    }

    fn read_to(&mut self, block: &Block, rules: &Rules, upto: Upto) {
        let place = ReadTo {
            jail: rules.jail.clone(),
            path: Arc::clone(&block.path),
            number: block.file,
            upto,
        };
        self.places.insert((block.file, rules.jail.clone()), place);
    }

    fn block(&mut self, block: &Block) {
        if !self
            .jails_of
            .get(&block.file)
            .is_some_and(|jails| Arc::ptr_eq(jails, &block.jails))
        {
            self.memories.retain(|(file, _), (old, _)| {
                *file != block.file || block.jails.iter().any(|rules| Arc::ptr_eq(rules, old))
            });
            self.jails_of.insert(block.file, Arc::clone(&block.jails));
        }
        let now = super::now();
        let mut all: Vec<Turn> = block.jails.iter().map(|rules| self.turn(block, rules, now)).collect();
        let judged = self.all_lines(block, &mut all);
        for Turn {
            rules,
            clock,
            mut memory,
        } in all
        {
            for Dated { at, line, date } in block.entries.iter().filter(|_| judged) {
                if self.ending.load(Ordering::Relaxed) {
                    self.stopped = true;
                    return;
                }
                let given = Given { at: *at, date: *date };
                self.line(block, &rules, (line, given), clock, &mut memory);
                self.read_to(block, &rules, Upto::Entry(*at));
            }
            memory.tidy();
            self.memories.insert((block.file, rules.jail.clone()), (rules, memory));
        }
    }

    /// What one jail needs for a block.
    fn turn(&mut self, block: &Block, rules: &Arc<Rules>, now: Timestamp) -> Turn {
        let clock = Clock {
            now,
            in_operation: block.in_operation,
            findtime: rules.findtime.load(Ordering::Relaxed),
        };
        let key = (block.file, rules.jail.clone());
        let memory = match self.memories.remove(&key) {
            Some((old, memory)) if Arc::ptr_eq(&old, rules) => memory,
            _ => Memory::default(),
        };
        let rules = Arc::clone(rules);
        Turn { rules, clock, memory }
    }

    /// Judges the lines of a file for all its jails; `false` if the server is ending.
    fn all_lines(&mut self, block: &Block, all: &mut [Turn]) -> bool {
        let mut alone = Vec::new();
        let mut readers = Vec::new();
        for turn in all {
            if turn.rules.filter.reads_as_it_is(&block.bytes) {
                let Turn { rules, clock, memory } = turn;
                let filter = &rules.filter;
                readers.push((
                    &*rules,
                    Reader {
                        filter,
                        clock: *clock,
                        memory,
                    },
                ));
            } else {
                alone.push(turn);
            }
        }
        for mut group in together::groups(readers, |(_, reader)| reader) {
            let judged = if let [(rules, reader)] = group.as_mut_slice() {
                self.lines(block, 0, rules, reader.clock, reader.memory)
            } else {
                let (rules, mut readers): (Vec<&Arc<Rules>>, Vec<Reader<'_>>) = group.into_iter().unzip();
                self.together(block, &rules, &mut readers)
            };
            if !judged {
                return false;
            }
        }
        alone
            .into_iter()
            .all(|turn| self.lines(block, 0, &turn.rules, turn.clock, &mut turn.memory))
    }

    /// Judges the lines of a file for jails that go together; `false` if the server is ending.
    fn together(&mut self, block: &Block, jails: &[&Arc<Rules>], readers: &mut [Reader<'_>]) -> bool {
        let mut progress = Progress::default();
        let ending = Arc::clone(&self.ending);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            together::scan(
                readers,
                &block.bytes,
                &mut progress,
                &mut |number, line, verdict, memory| {
                    if let Some(rules) = jails.get(number) {
                        if memory.replaced() {
                            self.undecodable(block, rules, line);
                        }
                        self.take(block, rules, line, verdict, memory.dating());
                    }
                    // A block may take long where a rule needs many steps.
                    if ending.load(Ordering::Relaxed) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            );
        }));
        if outcome.is_ok() {
            let left = u64::try_from(block.bytes.len().saturating_sub(progress.at)).unwrap_or(u64::MAX);
            let first_line = block.first_line;
            let offset = block.end.saturating_sub(left);
            for rules in jails {
                self.read_to(block, rules, Upto::Line { first_line, offset });
            }
            self.stopped = ending.load(Ordering::Relaxed);
            return !self.stopped;
        }
        // The reader at work is to blame: what it remembers is never used again, nor what dates the lines so far had. All go on alone.
        let line = block.bytes.get(progress.line..progress.at).unwrap_or_default();
        if let Some(rules) = jails.get(progress.reader) {
            self.blame(block, rules, lines(line).next().unwrap_or_default());
        }
        for (number, (rules, reader)) in jails.iter().zip(readers).enumerate() {
            reader.memory.forget_dates();
            if number == progress.reader {
                *reader.memory = Memory::default();
            }
            let at = if number > progress.reader {
                progress.line
            } else {
                progress.at
            };
            if !self.lines(block, at, rules, reader.clock, reader.memory) {
                return false;
            }
        }
        true
    }

    /// Judges the lines of a file; `false` if the server is ending.
    ///
    /// Those before `at` have been.
    fn lines(&mut self, block: &Block, at: usize, rules: &Rules, clock: Clock, memory: &mut Memory) -> bool {
        let mut at = at;
        let ending = Arc::clone(&self.ending);
        let (text, replaced) = rules.filter.decode(&block.bytes, memory);
        if replaced {
            self.undecodable(
                block,
                rules,
                lines(&text).find(|line| has_replacement(line)).unwrap_or_default(),
            );
        }
        if text.is_empty() && !block.bytes.is_empty() {
            // Of a wide encoding all of it may wait for the rest of a line end.
            let offset = block.end;
            self.read_to(
                block,
                rules,
                Upto::Line {
                    first_line: block.first_line,
                    offset,
                },
            );
        }
        while at < text.len() {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                rules
                    .filter
                    .scan(&text, &mut at, clock, memory, &mut |line, verdict, memory| {
                        if memory.replaced() {
                            self.undecodable(block, rules, line);
                        }
                        self.take(block, rules, line, verdict, memory.dating());
                        // A block may take long where a rule needs many steps.
                        if ending.load(Ordering::Relaxed) {
                            ControlFlow::Break(())
                        } else {
                            ControlFlow::Continue(())
                        }
                    });
            }));
            // Where in the log a line of a decoded block ends is not known: all of it is read again then.
            let left = match (&text, text.len().saturating_sub(at)) {
                (_, 0) => 0,
                (Cow::Borrowed(_), left) => left,
                (Cow::Owned(_), _) => block.bytes.len(),
            };
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            let first_line = block.first_line;
            let offset = block.end.saturating_sub(left);
            self.read_to(block, rules, Upto::Line { first_line, offset });
            if ending.load(Ordering::Relaxed) {
                self.stopped = true;
                return false;
            }
            if outcome.is_err() {
                // A half-changed memory is never used again. What is behind `at` has been judged, the line before it is to blame.
                *memory = Memory::default();
                let judged = text.get(..at).unwrap_or_default();
                let line = lines(judged).last().unwrap_or_default();
                self.blame(block, rules, line);
            }
        }
        true
    }

    /// Judges a line of which the time is known.
    fn line(&mut self, block: &Block, rules: &Rules, (line, given): (&[u8], Given), clock: Clock, memory: &mut Memory) {
        let judged = catch_unwind(AssertUnwindSafe(|| rules.filter.judge_at(line, given, clock, memory)));
        if let Ok(verdict) = judged {
            self.take(block, rules, line, verdict, memory.dating());
        } else {
            *memory = Memory::default();
            self.blame(block, rules, line);
        }
    }

    /// Tells of a line that made the matching panic.
    fn blame(&mut self, block: &Block, rules: &Rules, line: &[u8]) {
        self.complain(block, "panic", QUIET, || {
            (
                Level::Error,
                format!(
                    "[{}] a line of {} could not be processed and was passed over: this is a fault in Stockade; \
                     mend: report it with the line: {}",
                    rules.jail,
                    block.path.display(),
                    shown(line)
                ),
            )
        });
    }

    /// Hands on what became of a line.
    fn take(&mut self, block: &Block, rules: &Rules, line: &[u8], verdict: Verdict, dating: Dating) {
        match verdict {
            Verdict::Match(found) => {
                self.doubt_date(block, rules, line, dating);
                self.found.add(&rules.jail, found);
                let now = Instant::now();
                if self.found.found.len() == 1 {
                    self.found_at = now;
                }
                if self.found.found.len() >= FOUND_AT_ONCE || now.duration_since(self.found_at) >= TELL_FOUND {
                    self.tell_found();
                }
            }
            Verdict::Miss | Verdict::Ignored | Verdict::TooOld => {}
            Verdict::Undated => self.doubt_date(block, rules, line, Dating::None),
            Verdict::Unusable(why) => self.complain(block, "unusable", QUIET, || {
                (
                    Level::Warning,
                    format!(
                        "[{}] nobody can be held responsible for a line of {}: {why}: {}",
                        rules.jail,
                        block.path.display(),
                        shown(line)
                    ),
                )
            }),
            Verdict::Overrun(_) => {
                while let Some(rule) = rules.filter.overrun_to_tell(super::now()) {
                    let text = format!(
                        "[{}] {} [{}] needs too many steps for a line of {} and was taken as no match ({} times so far); \
                         mend: make the pattern less ambiguous (see `get {} {}`)",
                        rules.jail,
                        rule.option,
                        rule.index,
                        block.path.display(),
                        rule.times,
                        rules.jail,
                        rule.option
                    );
                    self.log.write(Level::Warning, "fail2ban.filter", &text);
                }
            }
        }
    }

    /// Says that the date of a line that matches cannot be right, or cannot be read.
    fn doubt_date(&mut self, block: &Block, rules: &Rules, line: &[u8], dating: Dating) {
        let (kind, what) = match dating {
            Dating::Read => return,
            Dating::Shifted(date) => (
                "shifted",
                format!(
                    "dated {}, more than a minute from now: it counts as happening now; why: a wrong time zone, or lines that \
                     arrive late; mend: set logtimezone",
                    local(date, self.log.zone())
                ),
            ),
            Dating::None if block.in_operation => (
                "undated",
                "without a date that can be read: it counts as happening now; mend: set datepattern".to_owned(),
            ),
            Dating::None => (
                "undated",
                "without a date that can be read and was there before the start: it is passed over, as it may be old; \
                 mend: set datepattern"
                    .to_owned(),
            ),
        };
        self.complain(block, kind, QUIET_DATES, || {
            (
                Level::Warning,
                format!(
                    "[{}] a line of {} matches and is {what}: {}",
                    rules.jail,
                    block.path.display(),
                    shown(line)
                ),
            )
        });
    }

    /// Says that a line holds bytes that are nothing in the encoding of the log.
    fn undecodable(&mut self, block: &Block, rules: &Rules, line: &[u8]) {
        self.complain(block, "undecodable", QUIET_DATES, || {
            (
                Level::Warning,
                format!(
                    "[{}] a line of {} has bytes that are nothing in the encoding of this log: they are replaced; mend: set \
                     logencoding: {}",
                    rules.jail,
                    block.path.display(),
                    shown(line)
                ),
            )
        });
    }

    /// Says something about a file that an outsider may have caused, at most once in `quiet`.
    fn complain(
        &mut self,
        block: &Block,
        kind: &'static str,
        quiet: Duration,
        message: impl FnOnce() -> (Level, String),
    ) {
        let now = Instant::now();
        if self
            .complaints
            .get(&(block.file, kind))
            .is_some_and(|said| now.duration_since(*said) < quiet)
        {
            return;
        }
        self.complaints.insert((block.file, kind), now);
        let (level, text) = message();
        self.log.write(level, "fail2ban.filter", &text);
    }
}

fn has_replacement(line: &[u8]) -> bool {
    String::from_utf8_lossy(line).contains(char::REPLACEMENT_CHARACTER)
}

/// The beginning of a line for a message; control characters are shown by the log itself.
fn shown(line: &[u8]) -> String {
    const ENOUGH: usize = 200;
    let text = String::from_utf8_lossy(line.get(..ENOUGH).unwrap_or(line)).into_owned();
    if line.len() > ENOUGH { text + " …" } else { text }
}

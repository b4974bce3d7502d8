//! All logs of the server: what is waited for, in which order files are read, and when they are closed.
//!
//! How a path or glob is brought in line with the disk is in `refresh.rs`, how one file is read in `tail.rs`.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::SourceError;
use crate::event::{Backend, Event, FileId, Position, Rotation, SourceId, Start};
use crate::lines::Piece;
use crate::notify::{Entry, Notice, Notify};
use crate::resolve::Interest;
use crate::tail::{Fetched, Mark, Tail};

/// How often files are looked at where inotify cannot tell; a quarter of Fail2Ban's interval.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Everything is looked at this often whatever inotify says: mounts and writes through memory maps give no notice.
const RESCAN_INTERVAL: Duration = Duration::from_mins(1);
/// A rotated file is kept open this long after the last line came in, if its successor is being written.
const LINGER: Duration = Duration::from_mins(1);
/// The same without a successor: its writer may well go on. Shorter if deleted, as we keep its blocks on the disk.
const LINGER_ALONE: Duration = Duration::from_hours(1);
const LINGER_DELETED: Duration = Duration::from_mins(5);
/// Rotated files kept open per path; more only if rotation outruns reading.
const PREDECESSOR_LIMIT: usize = 16;
/// Long lines are told at most this often per file.
const CUT_INTERVAL: Duration = Duration::from_mins(1);
/// Renames remembered while they keep coming.
const MOVE_LIMIT: usize = 4096;
/// Marks kept per source.
const MARK_LIMIT: usize = 32;

/// Watches all logs of the server and reads them. Lives on one thread.
#[derive(Debug)]
pub struct Watcher {
    pub(crate) notify: Option<Notify>,
    waker: Waker,
    pub(crate) sources: BTreeMap<SourceId, Source>,
    /// Ordered by age: a predecessor is read before its successor.
    pub(crate) tails: BTreeMap<FileId, Tail>,
    pub(crate) interests: HashMap<PathBuf, Vec<(SourceId, Interest)>>,
    /// Renames seen since the last refresh: from, to.
    pub(crate) moves: Vec<(PathBuf, PathBuf)>,
    /// The first half of a rename whose second half has not come yet.
    moving: Option<(u32, PathBuf)>,
    pub(crate) problems: Vec<(Option<SourceId>, SourceError)>,
    pub(crate) watch_refused: bool,
    buffers: Vec<Vec<u8>>,
    next_source: u32,
    next_file: u64,
    /// How many turns files had.
    turns: u64,
    poll_interval: Duration,
    next_poll: Instant,
    next_rescan: Instant,
    next_housekeeping: Instant,
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) pattern: PathBuf,
    pub(crate) start: Start,
    /// Was looked for once: what appears now is new.
    pub(crate) begun: bool,
    pub(crate) dirty: bool,
    /// inotify cannot watch one of its directories.
    pub(crate) polled: bool,
    pub(crate) retry_at: Option<Instant>,
    /// What was told already and still holds.
    pub(crate) told: HashSet<(PathBuf, u8)>,
    pub(crate) marks: VecDeque<Mark>,
}

impl Source {
    pub(crate) fn remember(&mut self, mark: Mark) {
        self.marks.truncate(MARK_LIMIT - 1);
        self.marks.push_front(mark);
    }
}

/// Ends a [`Watcher::wait`] from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the present, or else the next, call of [`Watcher::wait`].
    pub fn wake(&self) {
        // The only error is a full counter: then a wake-up is pending already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl Watcher {
    /// A watcher without sources.
    pub fn new(backend: Backend) -> Result<Self, SourceError> {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| SourceError::Wait { error: error.into() })?;
        let mut problems = Vec::new();
        let notify = match (backend, Notify::new()) {
            (Backend::Polling, _) => None,
            (_, Ok(notify)) => Some(notify),
            (Backend::Inotify, Err(error)) => return Err(SourceError::Inotify { error: error.into() }),
            (Backend::Auto, Err(error)) => {
                problems.push((None, SourceError::Inotify { error: error.into() }));
                None
            }
        };
        let now = Instant::now();
        Ok(Self {
            notify,
            waker: Waker(Arc::new(waker)),
            sources: BTreeMap::new(),
            tails: BTreeMap::new(),
            interests: HashMap::new(),
            moves: Vec::new(),
            moving: None,
            problems,
            watch_refused: false,
            buffers: Vec::new(),
            next_source: 0,
            next_file: 0,
            turns: 0,
            poll_interval: POLL_INTERVAL,
            next_poll: now,
            next_rescan: now + RESCAN_INTERVAL,
            next_housekeeping: now,
        })
    }

    /// How often files are looked at where inotify does not work; 500 ms unless set.
    pub fn set_poll_interval(&mut self, interval: Duration) {
        self.poll_interval = interval;
        self.next_poll = Instant::now();
    }

    /// A handle that ends [`Watcher::wait`] from another thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Adds an absolute path or glob. What is found there is told by the next [`Watcher::wait`]; that it is not there yet is
    /// no error. The same path may be added many times, with different starts; once all have caught up it is read once.
    pub fn add(&mut self, pattern: impl AsRef<Path>, start: Start) -> SourceId {
        let id = SourceId(self.next_source);
        self.next_source += 1;
        let source = Source {
            pattern: std::path::absolute(&pattern).unwrap_or_else(|_| pattern.as_ref().to_owned()),
            start,
            begun: false,
            dirty: true,
            polled: false,
            retry_at: None,
            told: HashSet::new(),
            marks: VecDeque::new(),
        };
        self.sources.insert(id, source);
        id
    }

    /// Opens the files of sources that were added, without reading them: what is written from now on is new.
    pub fn open_added(&mut self, out: &mut dyn FnMut(Event<'_>)) {
        let now = Instant::now();
        let added: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, source)| source.dirty && !source.begun)
            .map(|(id, _)| *id)
            .collect();
        for id in added {
            self.refresh(id, now, out);
        }
    }

    /// Forgets a source and closes the files nobody else wants. An unknown one is ignored.
    pub fn remove(&mut self, source: SourceId) {
        self.sources.remove(&source);
        let mut closing = Vec::new();
        for (id, tail) in &mut self.tails {
            tail.detach(source);
            if tail.sources.is_empty() {
                closing.push(*id);
            }
        }
        for id in closing {
            self.close(id);
        }
        self.set_interests(source, &[]);
    }

    /// The paths of the files now read for a source, sorted; rotated ones that are read to their end are left out.
    pub fn files(&self, source: SourceId) -> Vec<PathBuf> {
        let links = self
            .tails
            .values()
            .flat_map(|tail| tail.sources.iter().zip(&tail.links));
        let mut paths: Vec<_> = links
            .filter(|(id, link)| **id == source && link.present)
            .map(|(_, link)| link.path.clone())
            .collect();
        paths.sort();
        paths
    }

    /// Where a restart would resume this file; `None` if it is closed.
    pub fn position(&self, file: FileId) -> Option<Position> {
        self.tails.get(&file).map(Tail::position)
    }

    /// Waits until something happens, a waker is used or `timeout` (for ever, if `None`) is over, and tells what happened.
    ///
    /// May return early with nothing told. Reads at most one block of each file per call, so that no file holds up the
    /// others and the caller gets a word in; call it again at once.
    pub fn wait(&mut self, timeout: Option<Duration>, out: &mut dyn FnMut(Event<'_>)) -> Result<(), SourceError> {
        self.wait_reading(timeout, &|_| true, out)
    }

    /// [`Self::wait`], which leaves the files alone for which `may_read` says no; it is asked before each read.
    ///
    /// Who says yes again after a no wakes the watcher. Of the files that may be read, those come first whose turn was longest ago.
    pub fn wait_reading(
        &mut self,
        timeout: Option<Duration>,
        may_read: &dyn Fn(FileId) -> bool,
        out: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), SourceError> {
        let busy = !self.problems.is_empty()
            || self.sources.values().any(|source| source.dirty)
            || self
                .tails
                .iter()
                .any(|(id, tail)| tail.ready && self.unread_predecessor(tail).is_none() && may_read(*id));
        self.sleep(if busy { Some(Duration::ZERO) } else { timeout })
            .map_err(|error| SourceError::Wait { error: error.into() })?;
        self.take_notices()
            .map_err(|error| SourceError::Wait { error: error.into() })?;
        let now = Instant::now();
        self.timers(now, out);
        let dirty: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, source)| source.dirty)
            .map(|(id, _)| *id)
            .collect();
        for id in dirty {
            self.refresh(id, now, out);
        }
        // A source that became dirty meanwhile still needs them.
        if self.moves.len() >= MOVE_LIMIT || !self.sources.values().any(|source| source.dirty) {
            self.moves.clear();
        }
        // By age within: a predecessor comes before its successor.
        let mut ready: Vec<_> = self
            .tails
            .iter()
            .filter(|(_, tail)| tail.ready)
            .map(|(id, tail)| (tail.turn, *id))
            .collect();
        ready.sort_unstable();
        for (_, id) in ready {
            if may_read(id) {
                self.turns += 1;
                if let Some(tail) = self.tails.get_mut(&id) {
                    tail.turn = self.turns;
                }
                self.turn(id, now, 0, out);
            }
        }
        for (source, error) in self.problems.drain(..) {
            out(Event::Problem { source, error });
        }
        Ok(())
    }

    fn sleep(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        let until = self.next_timer().saturating_duration_since(Instant::now());
        let duration = timeout.map_or(until, |timeout| timeout.min(until));
        let timespec = Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(duration.subsec_nanos()),
        };
        let mut descriptors = vec![PollFd::new(&self.waker.0, PollFlags::IN)];
        if let Some(notify) = &self.notify {
            descriptors.push(PollFd::new(&notify.descriptor, PollFlags::IN));
        }
        match poll(&mut descriptors, Some(&timespec)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let woken = descriptors
            .first()
            .is_some_and(|waker| waker.revents().contains(PollFlags::IN));
        if woken {
            // Nothing to read is no error: we only wanted the counter to be zero.
            let _ = rustix::io::read(&self.waker.0, &mut [0; 8]);
        }
        Ok(())
    }

    /// Whether something must be looked at from time to time.
    fn polls(&self) -> bool {
        self.notify.is_none()
            || self.sources.values().any(|source| source.polled)
            || self.tails.values().any(|tail| tail.polled)
    }

    fn next_timer(&self) -> Instant {
        let mut next = self.next_rescan;
        if self.polls() {
            next = next.min(self.next_poll);
        }
        if self
            .tails
            .values()
            .any(|tail| !tail.links.iter().any(|link| link.present))
        {
            next = next.min(self.next_housekeeping);
        }
        self.sources
            .values()
            .filter_map(|source| source.retry_at)
            .fold(next, Instant::min)
    }

    pub(crate) fn take_notices(&mut self) -> Result<(), Errno> {
        let Some(notify) = &mut self.notify else { return Ok(()) };
        let (tails, sources, interests, moves) = (&mut self.tails, &mut self.sources, &self.interests, &mut self.moves);
        let moving = &mut self.moving;
        notify.read(|notice| match notice {
            Notice::Written(id) => {
                if let Some(tail) = tails.get_mut(&id) {
                    tail.ready = true;
                }
            }
            Notice::Entry { directory, name, what } => {
                for (id, interest) in interests.get(&directory).into_iter().flatten() {
                    if interest.concerns(&name)
                        && let Some(source) = sources.get_mut(id)
                    {
                        source.dirty = true;
                    }
                }
                match (what, moving.take()) {
                    (Entry::MovedAway { cookie }, _) => *moving = Some((cookie, directory.join(name))),
                    // The kernel queues both halves of a rename one after the other.
                    (Entry::MovedHere { cookie }, Some((from_cookie, from))) if cookie == from_cookie => {
                        moves.push((from, directory.join(name)));
                    }
                    _ => {}
                }
            }
            Notice::Directory(directory) => {
                for (id, _) in interests.get(&directory).into_iter().flatten() {
                    if let Some(source) = sources.get_mut(id) {
                        source.dirty = true;
                    }
                }
            }
            Notice::Overflow => {
                all_ready(tails);
                all_dirty(sources);
            }
        })
    }

    fn timers(&mut self, now: Instant, out: &mut dyn FnMut(Event<'_>)) {
        if now >= self.next_rescan {
            self.next_rescan = now + RESCAN_INTERVAL;
            all_ready(&mut self.tails);
            all_dirty(&mut self.sources);
        }
        if now >= self.next_poll {
            self.next_poll = now + self.poll_interval;
            let all = self.notify.is_none();
            self.tails
                .values_mut()
                .filter(|tail| all || tail.polled)
                .for_each(|tail| tail.ready = true);
            self.sources
                .values_mut()
                .filter(|source| all || source.polled)
                .for_each(|source| source.dirty = true);
        }
        for source in self.sources.values_mut() {
            if source.retry_at.is_some_and(|at| now >= at) {
                source.retry_at = None;
                source.dirty = true;
            }
        }
        if now >= self.next_housekeeping {
            self.next_housekeeping = now + Duration::from_secs(1);
            self.close_finished(now, out);
        }
    }

    /// Closes rotated files whose writers are done with them.
    fn close_finished(&mut self, now: Instant, out: &mut dyn FnMut(Event<'_>)) {
        let orphans: Vec<FileId> = self
            .tails
            .iter()
            .filter(|(_, tail)| !tail.links.iter().any(|link| link.present))
            .map(|(id, _)| *id)
            .collect();
        for (index, id) in orphans.iter().rev().enumerate() {
            let Some(tail) = self.tails.get(id) else { continue };
            let successor_in_use = self
                .tails
                .values()
                .any(|other| other.predecessor == Some(*id) && other.lines.position() > 0);
            let linger = if successor_in_use {
                LINGER
            } else if tail.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
                LINGER_DELETED
            } else {
                LINGER_ALONE
            };
            let idle = now.saturating_duration_since(tail.last_data);
            if !tail.ready && (idle >= linger || index >= PREDECESSOR_LIMIT) {
                self.close(*id);
                out(Event::Closed { file: *id });
            }
        }
    }

    pub(crate) fn close(&mut self, id: FileId) {
        if let Some(notify) = &mut self.notify {
            notify.forget_file(id);
        }
        let Some(tail) = self.tails.remove(&id) else { return };
        let mark = tail.mark();
        for source in &tail.sources {
            if let Some(source) = self.sources.get_mut(source) {
                source.remember(mark.clone());
            }
        }
    }

    pub(crate) fn new_file_id(&mut self) -> FileId {
        self.next_file += 1;
        FileId(self.next_file)
    }

    /// The file that is to be read first.
    fn unread_predecessor(&self, tail: &Tail) -> Option<FileId> {
        tail.predecessor
            .filter(|predecessor| self.tails.get(predecessor).is_some_and(|predecessor| predecessor.ready))
    }

    /// Reads one block of a file and tells its lines; those of its predecessors first.
    fn turn(&mut self, id: FileId, now: Instant, depth: usize, out: &mut dyn FnMut(Event<'_>)) {
        let Some(tail) = self.tails.get(&id) else { return };
        let predecessor = tail
            .predecessor
            .filter(|predecessor| self.tails.contains_key(predecessor));
        if depth == 0 && self.unread_predecessor(tail).is_some() {
            // It has more than one block waiting; its own turn comes first.
            return;
        }
        if tail.fresh
            && let Some(tail) = self.tails.get_mut(&id)
        {
            tail.begin(id, out);
        }
        let Some(tail) = self.tails.get(&id) else { return };
        let mut buffer = self.buffers.pop().unwrap_or_default();
        match tail.fetch(&mut buffer) {
            Ok(Fetched::Bytes { length, last }) => {
                // A writer that moved on to this file has written its last line to the predecessor before its first one here.
                // So looking there once more *after* reading here keeps the order.
                if let Some(predecessor) = predecessor.filter(|_| length > 0 && depth < PREDECESSOR_LIMIT) {
                    self.turn(predecessor, now, depth + 1, out);
                }
                let waits = predecessor
                    .and_then(|predecessor| self.tails.get(&predecessor))
                    .is_some_and(|predecessor| predecessor.ready);
                if let Some(tail) = self.tails.get_mut(&id) {
                    tail.failing = false;
                    if waits && length > 0 {
                        tail.ready = true;
                    } else {
                        tail.ready = !last;
                        self.deliver(id, &mut buffer, length, now, out);
                    }
                }
            }
            Ok(Fetched::Truncated) => self.truncated(id, out),
            Err(error) => self.failed(id, error),
        }
        self.buffers.push(buffer);
    }

    fn deliver(&mut self, id: FileId, buffer: &mut [u8], length: usize, now: Instant, out: &mut dyn FnMut(Event<'_>)) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        let mut cut = None;
        if tail.has_news(now) {
            tail.catch_up(id, out);
        }
        if length > 0 {
            tail.last_data = now;
            let left = tail.left_behind(length);
            tail.deliver(buffer, length, |tail, piece| match piece {
                Piece::Lines { block, end } => {
                    let (sources, path, caught_up) = (&tail.sources, &tail.path, tail.caught_up);
                    out(Event::Lines {
                        file: id,
                        sources,
                        path,
                        block,
                        end,
                        left,
                        first_line: tail.first_line,
                        caught_up,
                    });
                }
                Piece::Cut { dropped, end } => cut = Some((dropped, end)),
            });
        }
        if let Some((dropped, offset)) = cut
            && tail
                .cut_told
                .is_none_or(|told| now.saturating_duration_since(told) >= CUT_INTERVAL)
        {
            tail.cut_told = Some(now);
            let error = SourceError::LineTooLong {
                path: tail.path.clone(),
                offset,
                dropped,
            };
            self.problems.push((tail.sources.first().copied(), error));
        }
        if !tail.ready {
            tail.catch_up(id, out);
            if tail.twin {
                self.merge(id, out);
            }
        }
    }

    /// Two tails of one file that have come to the same place become one, the older.
    fn merge(&mut self, id: FileId, out: &mut dyn FnMut(Event<'_>)) {
        let Some(tail) = self.tails.get(&id) else { return };
        let (identity, position) = (tail.identity, tail.lines.position());
        let mut twins = self
            .tails
            .iter()
            .filter(|(other, tail)| **other != id && tail.identity == identity);
        let Some((&other, _)) = twins.find(|(_, twin)| twin.lines.position() == position && twin.caught_up) else {
            return;
        };
        let (older, younger) = (id.min(other), id.max(other));
        let Some(leaving) = self.tails.get_mut(&younger) else {
            return;
        };
        let moved: Vec<_> = std::mem::take(&mut leaving.sources)
            .into_iter()
            .zip(std::mem::take(&mut leaving.links))
            .collect();
        if let Some(tail) = self.tails.get_mut(&older) {
            for (source, link) in moved {
                tail.attach(source, link.path, link.present);
            }
        }
        self.tails
            .values_mut()
            .filter(|tail| tail.predecessor == Some(younger))
            .for_each(|tail| tail.predecessor = Some(older));
        self.close(younger);
        out(Event::Closed { file: younger });
    }

    fn truncated(&mut self, id: FileId, out: &mut dyn FnMut(Event<'_>)) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        let mark = tail.mark_of_old_content();
        tail.restart();
        out(Event::Rotated {
            file: id,
            path: &tail.path,
            reason: Rotation::Truncated,
        });
        for source in &tail.sources {
            if let Some(source) = self.sources.get_mut(source) {
                source.remember(mark.clone());
            }
        }
    }

    fn failed(&mut self, id: FileId, error: std::io::Error) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        tail.ready = false;
        // Told once, then looked at again at every interval.
        tail.polled = true;
        if !std::mem::replace(&mut tail.failing, true) {
            let error = SourceError::Read {
                path: tail.path.clone(),
                offset: tail.lines.position(),
                error,
            };
            self.problems.push((tail.sources.first().copied(), error));
        }
    }
}

fn all_ready(tails: &mut BTreeMap<FileId, Tail>) {
    for tail in tails.values_mut() {
        tail.ready = true;
    }
}

fn all_dirty(sources: &mut BTreeMap<SourceId, Source>) {
    for source in sources.values_mut() {
        source.dirty = true;
    }
}

//! Brings one source in line with the disk: which files it leads to now, which of them are new, replaced or gone.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::SourceError;
use crate::event::{Event, FileId, Position, Rotation, SourceId, Start};
use crate::notify;
use crate::resolve::{FILE_LIMIT, Interest, Obstacle, Resolution, WALK_LIMIT, resolve};
use crate::tail::{self, Identity, Tail};
use crate::watcher::Watcher;

/// What cannot be opened is tried again this often; a change of rights is noticed at once where inotify works.
const RETRY: Duration = Duration::from_secs(5);

/// Directories may appear while we begin to watch them; each round goes at least one deeper.
const ROUNDS: usize = 64;

/// How often a look is repeated because files were renamed while we looked.
const LOOKS: usize = 32;

/// A file to be read for a source.
#[derive(Debug)]
struct Candidate {
    shown: PathBuf,
    identity: Identity,
    /// Opened, if the source does not read it yet.
    file: Option<File>,
    /// The source still leads to it: not so for a file that was renamed before we ever saw it.
    present: bool,
}

impl Watcher {
    pub(crate) fn refresh(&mut self, id: SourceId, now: Instant, out: &mut dyn FnMut(Event<'_>)) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        source.dirty = false;
        let pattern = source.pattern.clone();
        let (resolution, candidates, failed) = self.look(id, &pattern);

        let mut before: HashMap<PathBuf, FileId> = HashMap::new();
        let mut present_before = Vec::new();
        for (file, tail) in &mut self.tails {
            if let Some(link) = tail.link(id) {
                before.insert(link.path.clone(), *file);
                if std::mem::take(&mut link.present) {
                    present_before.push((*file, link.path.clone()));
                }
            }
        }
        for candidate in candidates {
            self.meet(id, candidate, &mut before, now, out);
        }
        for (file, path) in present_before {
            let link = self.tails.get_mut(&file).and_then(|tail| tail.link(id));
            let still = link.is_none_or(|link| link.present);
            // A path where another file stands was told as a rotation.
            if !still && !resolution.files.iter().any(|(shown, _)| *shown == path) {
                out(Event::Gone { file, path: &path });
            }
        }
        self.tell(id, &pattern, resolution, failed, now);
        if let Some(source) = self.sources.get_mut(&id) {
            source.begun = true;
        }
    }

    /// The files a source leads to, those renamed before we saw them first, in the order in which they were written.
    ///
    /// Files may be renamed while we look. The kernel has queued the notice of a rename before its writer goes on, so a look
    /// after which no new notice is there has seen one single state.
    fn look(&mut self, id: SourceId, pattern: &Path) -> (Resolution, Vec<Candidate>, Vec<Obstacle>) {
        let mut look = (Resolution::default(), Vec::new(), Vec::new());
        for _ in 0..LOOKS {
            let mut resolution = resolve(pattern);
            for _ in 0..ROUNDS {
                // What is too wide to be looked at whole is looked at once.
                if !self.watch_directories(id, &resolution) || resolution.too_wide {
                    break;
                }
                // Something may have come between looking and watching.
                resolution = resolve(pattern);
            }
            let moves = self.moves.len();
            let (mut candidates, mut failed) = (Vec::new(), Vec::new());
            for (shown, real) in self.renamed_unseen(pattern, &resolution) {
                // One that may not be opened was never ours to read.
                candidates.extend(self.candidate(id, &shown, &real, false).ok().flatten());
            }
            for (shown, real) in &resolution.files {
                match self.candidate(id, shown, real, true) {
                    Ok(candidate) => candidates.extend(candidate),
                    Err(error) => failed.push(Obstacle::Unreadable {
                        path: shown.clone(),
                        error,
                    }),
                }
            }
            look = (resolution, candidates, failed);
            // An error will be met again, and told, by the next wait.
            if self.take_notices().is_err() || self.moves.len() == moves || look.0.too_wide {
                break;
            }
        }
        look
    }

    fn candidate(&self, id: SourceId, shown: &Path, real: &Path, present: bool) -> io::Result<Option<Candidate>> {
        let read = |identity| {
            self.tails
                .values()
                .any(|tail| tail.identity == identity && tail.sources.contains(&id))
        };
        let shown = shown.to_owned();
        let gone = |error: io::Error| {
            if error.kind() == io::ErrorKind::NotFound {
                Ok(None)
            } else {
                Err(error)
            }
        };
        let identity = match std::fs::symlink_metadata(real) {
            Ok(metadata) => Identity::of(&metadata),
            // It went meanwhile; its directory tells.
            Err(error) => return gone(error),
        };
        if read(identity) {
            return Ok(Some(Candidate {
                shown,
                identity,
                file: None,
                present,
            }));
        }
        match tail::open(real) {
            Ok((file, metadata)) => Ok(Some(Candidate {
                shown,
                identity: Identity::of(&metadata),
                file: Some(file),
                present,
            })),
            Err(error) => gone(error),
        }
    }

    /// Watches the directories on the way; `true` if one of them is new.
    fn watch_directories(&mut self, id: SourceId, resolution: &Resolution) -> bool {
        self.set_interests(id, &resolution.watch);
        let Some(notify) = &mut self.notify else { return false };
        let mut any_new = false;
        let mut polled = false;
        for (directory, _) in &resolution.watch {
            match notify.watch_directory(directory) {
                Ok(new) => {
                    any_new |= new;
                    polled |= notify::is_foreign(directory);
                }
                // It went meanwhile; its parent tells.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => any_new = true,
                Err(error) => {
                    polled = true;
                    if !std::mem::replace(&mut self.watch_refused, true) {
                        self.problems.push((
                            Some(id),
                            SourceError::Watch {
                                path: directory.clone(),
                                error: error.into(),
                            },
                        ));
                    }
                }
            }
        }
        if let Some(source) = self.sources.get_mut(&id) {
            source.polled = polled;
        }
        any_new
    }

    /// Replaces what a source wants to know of directories, and no longer watches those nobody wants to know of.
    pub(crate) fn set_interests(&mut self, id: SourceId, watch: &[(PathBuf, Interest)]) {
        for interests in self.interests.values_mut() {
            interests.retain(|(source, _)| *source != id);
        }
        for (directory, interest) in watch {
            let interests = self.interests.entry(directory.clone()).or_default();
            if !interests
                .iter()
                .any(|(source, other)| *source == id && other == interest)
            {
                interests.push((id, interest.clone()));
            }
        }
        self.interests.retain(|_, interests| !interests.is_empty());
        if let Some(notify) = &mut self.notify {
            let unwanted: Vec<_> = notify
                .directories()
                .filter(|directory| !self.interests.contains_key(*directory))
                .cloned()
                .collect();
            for directory in unwanted {
                notify.forget_directory(&directory);
            }
        }
    }

    /// Files that stood at a wanted path and were renamed before we looked, oldest first, with their present paths.
    fn renamed_unseen(&self, pattern: &Path, resolution: &Resolution) -> Vec<(PathBuf, PathBuf)> {
        let mut trail: Vec<(PathBuf, PathBuf)> = Vec::new();
        for (from, to) in &self.moves {
            for (_, current) in trail.iter_mut().filter(|(_, current)| current == from) {
                current.clone_from(to);
            }
            let (Some(directory), Some(name)) = (from.parent(), from.file_name()) else {
                continue;
            };
            if resolution
                .watch
                .iter()
                .any(|(watched, interest)| watched == directory && interest.concerns(name))
            {
                trail.push((from.clone(), to.clone()));
            }
        }
        // A literal path is shown as given, though links may lead to another directory.
        let literal = |from: &Path| from.file_name() == pattern.file_name();
        trail
            .into_iter()
            .map(|(from, to)| (if literal(&from) { pattern.to_owned() } else { from }, to))
            .collect()
    }

    /// Reads a file for a source, if it is not read already.
    fn meet(
        &mut self,
        id: SourceId,
        candidate: Candidate,
        before: &mut HashMap<PathBuf, FileId>,
        now: Instant,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        if self.known(id, &candidate) {
            return;
        }
        let Candidate {
            shown,
            identity,
            file: Some(file),
            present,
        } = candidate
        else {
            return;
        };
        let predecessor = before.get(&shown).copied();
        let (offset, at_end) = self.begin(id, &shown, identity, &file);
        let same = |tail: &Tail| tail.identity == identity && tail.lines.resume_at() == offset;
        let joined = self.tails.iter().find(|(_, tail)| same(tail)).map(|(file, _)| *file);
        let file_id = match joined {
            Some(file_id) => file_id,
            None => self.start_tail(file, identity, &shown, offset, now),
        };
        before.insert(shown.clone(), file_id);
        let Some(tail) = self.tails.get_mut(&file_id) else {
            return;
        };
        if joined.is_none() {
            tail.caught_up = at_end || predecessor.is_some();
            tail.predecessor = predecessor;
        }
        tail.attach(id, shown.clone(), present);
        if predecessor.is_some() {
            out(Event::Rotated {
                file: file_id,
                path: &shown,
                reason: Rotation::Replaced,
            });
        }
        out(Event::Opened {
            file: file_id,
            sources: &[id],
            path: &shown,
            position: tail.position(),
        });
        if tail.caught_up {
            out(Event::CaughtUp {
                file: file_id,
                sources: &[id],
                path: &shown,
            });
        }
    }

    /// Whether this source reads the file already; if so, notes under which path.
    fn known(&mut self, id: SourceId, candidate: &Candidate) -> bool {
        for tail in self
            .tails
            .values_mut()
            .filter(|tail| tail.identity == candidate.identity)
        {
            let only = tail.sources.len() == 1;
            let Some(link) = tail.link(id) else { continue };
            if candidate.present {
                link.present = true;
                if link.path != candidate.shown {
                    link.path.clone_from(&candidate.shown);
                    if only {
                        tail.path.clone_from(&candidate.shown);
                    }
                }
            }
            return true;
        }
        false
    }

    fn start_tail(&mut self, file: File, identity: Identity, path: &Path, offset: u64, now: Instant) -> FileId {
        let file_id = self.new_file_id();
        let mut tail = Tail::new(file, identity, path.to_owned(), offset, now);
        for twin in self.tails.values_mut().filter(|other| other.identity == identity) {
            twin.twin = true;
            tail.twin = true;
        }
        if let Some(notify) = &mut self.notify {
            let watched = notify.watch_file(file_id, &tail.file);
            tail.polled = watched.is_err() || notify::is_foreign(path);
            if let Err(error) = watched
                && !std::mem::replace(&mut self.watch_refused, true)
            {
                self.problems.push((
                    None,
                    SourceError::Watch {
                        path: path.to_owned(),
                        error: error.into(),
                    },
                ));
            }
        }
        self.tails.insert(file_id, tail);
        file_id
    }

    /// Where reading begins, and whether that counts as the end of the file.
    fn begin(&self, id: SourceId, shown: &Path, identity: Identity, file: &File) -> (u64, bool) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let Some(source) = self.sources.get(&id) else {
            return (0, false);
        };
        if source.begun {
            if let Some(mark) = source.marks.iter().find(|mark| mark.is_of(identity, file)) {
                return (mark.offset, true);
            }
            // A glob may match the copies that rotation makes, and editors replace a file by a copy.
            let first = tail::first_line(file);
            let read = self
                .tails
                .values()
                .filter(|tail| tail.sources.contains(&id))
                .map(Tail::mark);
            let copy = source
                .marks
                .iter()
                .cloned()
                .chain(read)
                .find(|mark| mark.is_copied_in(first, file));
            return copy.map_or((0, false), |mark| (mark.offset, true));
        }
        match &source.start {
            Start::Head => (0, false),
            Start::Tail => (tail::end_of_lines(file, length), true),
            Start::Resume { positions, tail } => {
                let stored = positions
                    .iter()
                    .find(|(path, _)| path == shown)
                    .map(|(_, position)| position);
                let same =
                    |position: &&Position| position.first_line == tail::first_line(file) && position.offset <= length;
                match stored {
                    None if *tail => (tail::end_of_lines(file, length), true),
                    stored => (stored.filter(same).map_or(0, |position| position.offset), false),
                }
            }
        }
    }

    /// Tells what stands in the way, each thing once, and sees to it that it is tried again.
    fn tell(&mut self, id: SourceId, pattern: &Path, resolution: Resolution, failed: Vec<Obstacle>, now: Instant) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let mut problems = Vec::new();
        for obstacle in resolution.obstacles.into_iter().chain(failed) {
            problems.push(match obstacle {
                Obstacle::NotAFile { path, kind } => ((path.clone(), 0), SourceError::NotAFile { path, kind }),
                Obstacle::Unreadable { path, error } => ((path.clone(), 1), SourceError::Unreadable { path, error }),
            });
        }
        source.retry_at = (!problems.is_empty()).then_some(now + RETRY);
        if resolution.files.is_empty() && problems.is_empty() && !source.begun {
            problems.push((
                (pattern.to_owned(), 2),
                SourceError::Missing {
                    pattern: pattern.to_owned(),
                },
            ));
        }
        if resolution.too_many {
            problems.push((
                (pattern.to_owned(), 3),
                SourceError::TooManyFiles {
                    pattern: pattern.to_owned(),
                    limit: FILE_LIMIT,
                },
            ));
        }
        if resolution.too_wide {
            problems.push((
                (pattern.to_owned(), 4),
                SourceError::TooWide {
                    pattern: pattern.to_owned(),
                    limit: WALK_LIMIT,
                },
            ));
        }
        let told = std::mem::replace(&mut source.told, problems.iter().map(|(key, _)| key.clone()).collect());
        for (key, error) in problems {
            if !told.contains(&key) {
                self.problems.push((Some(id), error));
            }
        }
    }
}

//! One open log file, read forward.
//!
//! A tail belongs to the file, not to its path: after a rename it goes on reading the same file.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::{memchr, memrchr};
use rustix::fs::{Mode, OFlags, SeekFrom};

use crate::beginning::Beginning;
use crate::event::{Event, FileId, FirstLine, Position, SourceId};
use crate::lines::{Assembler, CONTEXT_BYTES, Context, LINE_LIMIT_BYTES, Piece};
use crate::sha1::sha1;

/// How much is read at once: in this size `read` comes near the speed of memory, and it stays within a core's cache.
pub(crate) const BLOCK_BYTES: usize = 128 * 1024;

/// How much of a first line is hashed; Fail2Ban hashes longer ones whole, and would begin such a log again.
const FIRST_LINE_BYTES: usize = LINE_LIMIT_BYTES;

/// Which file it is, whatever its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A source that wants a file.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The path as this source names it; the last one, if the file is no longer there.
    pub(crate) path: PathBuf,
    /// Whether the source's path or glob still leads to it.
    pub(crate) present: bool,
}

/// What was read of a file that may be met again, under another name or as a copy.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    identity: Identity,
    pub(crate) offset: u64,
    context: Context,
    first_line: Option<FirstLine>,
}

/// How soon after it was opened lines of a file count as new although its end was not reached yet. Dates may be a minute off.
const NEWS: Duration = Duration::from_secs(30);

/// What a look at a file gave.
pub(crate) enum Fetched {
    /// That many bytes; `last` if the end of the file was reached.
    Bytes { length: usize, last: bool },
    /// The file is shorter than before, or other bytes stand in it.
    Truncated,
}

#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) file: File,
    pub(crate) identity: Identity,
    /// The sources that want it, parallel to `links`.
    pub(crate) sources: Vec<SourceId>,
    pub(crate) links: Vec<Link>,
    /// The path told in events.
    pub(crate) path: PathBuf,
    pub(crate) lines: Assembler,
    pub(crate) first_line: Option<FirstLine>,
    /// Nothing was read of it yet.
    pub(crate) fresh: bool,
    /// There may be bytes to read.
    pub(crate) ready: bool,
    pub(crate) caught_up: bool,
    /// The number of its last turn to be read.
    pub(crate) turn: u64,
    /// How long the file was when it was opened: what stands behind that is new.
    news_from: u64,
    opened: Instant,
    /// The file that stood at this path before: its lines come first.
    pub(crate) predecessor: Option<FileId>,
    /// inotify does not tell of changes.
    pub(crate) polled: bool,
    /// Another tail reads the same file from another position.
    pub(crate) twin: bool,
    /// After a truncation: NULs at the beginning are the hole a writer leaves that did not notice it.
    skip_hole: bool,
    pub(crate) last_data: Instant,
    pub(crate) cut_told: Option<Instant>,
    pub(crate) failing: bool,
}

/// Opens a regular file without ever blocking; a path that became something else meanwhile is an error.
pub(crate) fn open(path: &Path) -> io::Result<(File, std::fs::Metadata)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl Tail {
    pub(crate) fn new(file: File, identity: Identity, path: PathBuf, offset: u64, now: Instant) -> Self {
        let context = context_before(&file, offset);
        let news_from = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
        let mut tail = Self {
            file,
            identity,
            sources: Vec::new(),
            links: Vec::new(),
            path,
            lines: Assembler::at(offset, context),
            first_line: None,
            fresh: true,
            ready: true,
            caught_up: false,
            turn: 0,
            news_from,
            opened: now,
            predecessor: None,
            polled: false,
            twin: false,
            skip_hole: false,
            last_data: now,
            cut_told: None,
            failing: false,
        };
        tail.first_line = first_line(&tail.file);
        tail
    }

    pub(crate) fn link(&mut self, source: SourceId) -> Option<&mut Link> {
        let index = self.sources.iter().position(|other| *other == source)?;
        self.links.get_mut(index)
    }

    pub(crate) fn attach(&mut self, source: SourceId, path: PathBuf, present: bool) {
        self.sources.push(source);
        self.links.push(Link { path, present });
    }

    pub(crate) fn detach(&mut self, source: SourceId) -> Option<Link> {
        let index = self.sources.iter().position(|other| *other == source)?;
        self.sources.remove(index);
        Some(self.links.remove(index))
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            offset: self.lines.resume_at(),
            first_line: self.first_line,
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        let offset = self.lines.resume_at();
        let context = context_before(&self.file, offset);
        Mark {
            identity: self.identity,
            offset,
            context,
            first_line: self.first_line,
        }
    }

    /// What was known of the file before it was truncated.
    pub(crate) fn mark_of_old_content(&self) -> Mark {
        let context = self.lines.context().clone();
        Mark {
            identity: self.identity,
            offset: self.lines.position(),
            context,
            first_line: self.first_line,
        }
    }

    /// Reads what comes next into `buffer`, behind the unfinished line.
    ///
    /// The bytes before the position are read along and compared, in the same call: a file cut off and written anew past
    /// our position is noticed before one of its lines is taken for a continuation.
    pub(crate) fn fetch(&self, buffer: &mut Vec<u8>) -> io::Result<Fetched> {
        if buffer.is_empty() {
            // Zeros of the kernel's: what no log ever fills is never there.
            *buffer = vec![0; LINE_LIMIT_BYTES + BLOCK_BYTES];
        }
        let unfinished = self.lines.unfinished();
        let context = self.lines.context().bytes();
        if let Some(place) = buffer.get_mut(..unfinished.len()) {
            place.copy_from_slice(unfinished);
        }
        let mut before = [0; CONTEXT_BYTES];
        let before = before.get_mut(..context.len()).unwrap_or_default();
        let wanted = self.up_to_news();
        let space = buffer
            .get_mut(unfinished.len()..unfinished.len() + wanted)
            .unwrap_or_default();
        let from = self
            .lines
            .position()
            .saturating_sub(u64::try_from(context.len()).unwrap_or(0));
        let read = loop {
            let mut parts = [IoSliceMut::new(before), IoSliceMut::new(space)];
            match rustix::io::preadv(&self.file, &mut parts, from) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        let Some(length) = read.checked_sub(context.len()) else {
            let shorter = self.file.metadata()?.len() < self.lines.position();
            return Ok(if shorter {
                Fetched::Truncated
            } else {
                Fetched::Bytes { length: 0, last: true }
            });
        };
        if before != context {
            return Ok(Fetched::Truncated);
        }
        Ok(Fetched::Bytes {
            length,
            last: length < wanted || (wanted < BLOCK_BYTES && self.behind(length) == Some(0)),
        })
    }

    /// From now on its jails are in operation.
    pub(crate) fn catch_up(&mut self, id: FileId, out: &mut dyn FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.caught_up, true) {
            out(Event::CaughtUp {
                file: id,
                sources: &self.sources,
                path: &self.path,
            });
        }
    }

    /// How many bytes stand behind the next `length`; `None` if the file does not tell.
    fn behind(&self, length: usize) -> Option<u64> {
        let end = self.lines.position() + u64::try_from(length).unwrap_or(0);
        let metadata = self.file.metadata().ok()?;
        Some(metadata.len().saturating_sub(end))
    }

    /// How much to read at once: what was there when the file was opened and what came after do not go into one block.
    fn up_to_news(&self) -> usize {
        let old = self.news_from.saturating_sub(self.lines.position());
        match usize::try_from(old) {
            Ok(old @ 1..BLOCK_BYTES) if !self.caught_up => old,
            _ => BLOCK_BYTES,
        }
    }

    /// Whether all was read that stood there when the file was opened. Whoever comes so far only later is still behind, and the
    /// end of the file counts.
    pub(crate) fn has_news(&self, now: Instant) -> bool {
        self.lines.position() >= self.news_from && now.saturating_duration_since(self.opened) < NEWS
    }

    /// How many bytes stand behind those just fetched.
    pub(crate) fn left_behind(&self, length: usize) -> u64 {
        if !self.ready {
            return 0;
        }
        self.behind(length).unwrap_or(0)
    }

    /// Hands on the lines among the bytes fetched.
    pub(crate) fn deliver(&mut self, buffer: &mut [u8], length: usize, out: impl FnMut(&Self, Piece<'_>)) {
        let mut out = out;
        let kept = self.lines.unfinished().len();
        let mut begin = 0;
        if self.skip_hole {
            let new = buffer.get(kept..kept + length).unwrap_or_default();
            let zeros = new.iter().take_while(|byte| **byte == 0).count();
            if zeros == length {
                let past = self.lines.position() + u64::try_from(length).unwrap_or(0);
                // The hole may be larger than all memory; only the file system knows where it ends.
                let data = rustix::fs::seek(&self.file, SeekFrom::Data(past)).unwrap_or(past);
                self.lines = Assembler::at(data, context_before(&self.file, data));
                return;
            }
            self.skip_hole = false;
            self.lines = Assembler::at(
                self.lines.position() + u64::try_from(zeros).unwrap_or(0),
                Context::default(),
            );
            begin = zeros;
        }
        // Known before the first lines are told: they are stored with it.
        if self.first_line.is_none() {
            self.first_line = first_line(&self.file);
        }
        let mut lines = std::mem::take(&mut self.lines);
        if let Some(bytes) = buffer.get_mut(begin..kept + length) {
            lines.absorb(bytes, |piece| out(self, piece));
        }
        self.lines = lines;
    }

    /// Asks the caller where to begin, before the first bytes are read.
    pub(crate) fn begin(&mut self, id: FileId, out: &mut dyn FnMut(Event<'_>)) {
        self.fresh = false;
        // What comes after the end was reached once, and logs met anew, are read as they are.
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        let from = self.lines.position();
        let beginning = Beginning::new(&self.file, from, length);
        if self.caught_up || self.predecessor.is_some() || !beginning.is_long() {
            return;
        }
        out(Event::Beginning {
            file: id,
            sources: &self.sources,
            path: &self.path,
            beginning: &beginning,
        });
        let begin = beginning.begins_at();
        if begin > from {
            self.lines = Assembler::at(begin, context_before(&self.file, begin));
        }
    }

    /// Begins again at the beginning.
    pub(crate) fn restart(&mut self) {
        self.lines = Assembler::default();
        self.first_line = None;
        self.skip_hole = true;
        self.ready = true;
    }
}

impl Mark {
    /// Whether this is the file the mark was made of, with all that was read of it.
    pub(crate) fn is_of(&self, identity: Identity, file: &File) -> bool {
        self.identity == identity && self.holds(file)
    }

    /// Whether this file begins with all that was read of the marked one, as a copy of it does.
    pub(crate) fn is_copied_in(&self, first: Option<FirstLine>, file: &File) -> bool {
        first.is_some() && first == self.first_line && self.context.bytes().len() == CONTEXT_BYTES && self.holds(file)
    }

    fn holds(&self, file: &File) -> bool {
        context_before(file, self.offset) == self.context
            && file.metadata().is_ok_and(|metadata| metadata.len() >= self.offset)
    }
}

/// The bytes right before `offset`.
pub(crate) fn context_before(file: &File, offset: u64) -> Context {
    let length = CONTEXT_BYTES.min(usize::try_from(offset).unwrap_or(CONTEXT_BYTES));
    let mut bytes = vec![0; length];
    let from = offset.saturating_sub(u64::try_from(length).unwrap_or(0));
    match file.read_exact_at(&mut bytes, from) {
        Ok(()) => Context::new(bytes),
        // Nothing to compare with: the next read goes by the size alone.
        Err(_) => Context::default(),
    }
}

/// The hash of the first line, `None` if it is not complete.
pub(crate) fn first_line(file: &File) -> Option<FirstLine> {
    let mut bytes = vec![0; FIRST_LINE_BYTES];
    // Nearly always the line is among the first bytes; the whole limit is read only if not.
    let mut read = file.read_at(bytes.get_mut(..512)?, 0).ok()?;
    if read == 512 && memchr(b'\n', bytes.get(..read)?).is_none() {
        read = file.read_at(&mut bytes, 0).ok()?;
    }
    let bytes = bytes.get(..read)?;
    let line = match memchr(b'\n', bytes) {
        Some(end) => bytes.get(..=end)?,
        None if read == FIRST_LINE_BYTES => bytes,
        None => return None,
    };
    Some(FirstLine(sha1(line)))
}

/// The beginning of the last line of a file that is not finished, or its end.
pub(crate) fn end_of_lines(file: &File, length: u64) -> u64 {
    let window = LINE_LIMIT_BYTES.min(usize::try_from(length).unwrap_or(LINE_LIMIT_BYTES));
    let from = length.saturating_sub(u64::try_from(window).unwrap_or(0));
    let mut bytes = vec![0; window];
    if file.read_exact_at(&mut bytes, from).is_err() {
        return length;
    }
    match memrchr(b'\n', &bytes) {
        Some(newline) => from + u64::try_from(newline).unwrap_or(0) + 1,
        None => from,
    }
}

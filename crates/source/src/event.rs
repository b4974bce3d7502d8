//! What a [`Watcher`](crate::Watcher) tells its caller, and the names it uses.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Beginning, SourceError};

/// One path or glob that was added; unique for the life of the watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub(crate) u32);

/// One open log file; unique for the life of the watcher, so that the successor of a rotated file has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(crate) u64);

impl FileId {
    /// Counts from 1.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Which means of noticing changes is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// inotify, and polling for what inotify cannot watch.
    #[default]
    Auto,
    /// inotify; an error if the kernel refuses it.
    Inotify,
    /// Looks at every file at a fixed interval.
    Polling,
}

/// Where reading begins in the files that exist when a source is added.
///
/// Files that appear later are read from their beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the beginning.
    #[default]
    Head,
    /// At the end: only lines completed from now on. A line half written at this moment is read whole.
    Tail,
    /// Each file at its own position if it still is the same log, else at its beginning. A file without a position is begun at its end
    /// if `tail` says so.
    Resume {
        /// Where reading ended, by path.
        positions: Vec<(PathBuf, Position)>,
        /// Where files begin of which nothing is known.
        tail: bool,
    },
}

/// Where a restart resumes reading a file: after the last whole line that was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Bytes from the beginning of the file.
    pub offset: u64,
    /// The hash of the first line, which tells whether it still is the same log; `None` until that line is complete.
    pub first_line: Option<FirstLine>,
}

/// The SHA-1 of a log's first line with its line end (its first 64 KiB), by which Fail2Ban knows it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstLine(pub(crate) [u8; 20]);

impl FirstLine {
    /// Reads what `Display` writes; `None` for anything else, as the MD5 of databases from before 2014.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 20];
        if text.len() != 40 || !text.is_ascii() {
            return None;
        }
        for (number, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * number..2 * number + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for FirstLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why reading went on in another place than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Another file stands at the path: it was renamed or deleted and created again, or a link leads elsewhere.
    Replaced,
    /// The file was cut off (as `copytruncate` does) or written anew.
    Truncated,
}

/// What happened to the logs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Whole lines of one file, in order, each ended by `\n`; [`lines`](crate::lines) takes them apart.
    Lines {
        /// The file read.
        file: FileId,
        /// The sources that want it; never empty.
        sources: &'a [SourceId],
        /// Its path, as the glob or the operator named it.
        path: &'a Path,
        /// The lines.
        block: &'a [u8],
        /// The position after these lines, for [`Position::offset`].
        end: u64,
        /// How many bytes stood behind those read when these were; 0 if their end was reached.
        left: u64,
        /// For [`Position::first_line`].
        first_line: Option<FirstLine>,
        /// Whether [`Event::CaughtUp`] was told of the file before these lines came (behaviour spec 3.7).
        caught_up: bool,
    },
    /// A file is being read from now on.
    Opened {
        /// The file.
        file: FileId,
        /// The sources that want it.
        sources: &'a [SourceId],
        /// Its path.
        path: &'a Path,
        /// Where reading begins.
        position: Position,
    },
    /// The first lines of a file are about to be read: the caller may put off where reading begins.
    Beginning {
        /// The file.
        file: FileId,
        /// The sources that want it.
        sources: &'a [SourceId],
        /// Its path.
        path: &'a Path,
        /// What there is to read.
        beginning: &'a Beginning<'a>,
    },
    /// Reading goes on in a new file, or at the beginning of a cut-off one.
    Rotated {
        /// The file read from now on.
        file: FileId,
        /// Its path.
        path: &'a Path,
        /// What was seen.
        reason: Rotation,
    },
    /// No file stands at this path any more; the source waits for a new one. What was still unread is read first.
    Gone {
        /// The file that stood there.
        file: FileId,
        /// Its path.
        path: &'a Path,
    },
    /// All that stood in a file when it was opened was read, or its end was reached for the first time: its jails are in operation.
    CaughtUp {
        /// The file.
        file: FileId,
        /// The sources that want it.
        sources: &'a [SourceId],
        /// Its path.
        path: &'a Path,
    },
    /// A rotated file was read to its end and is closed; what was kept for it may be forgotten.
    Closed {
        /// The file.
        file: FileId,
    },
    /// Something is wrong; told once, while the watcher goes on trying.
    Problem {
        /// The source it concerns, if one.
        source: Option<SourceId>,
        /// What, where, why and how to mend it.
        error: SourceError,
    },
}

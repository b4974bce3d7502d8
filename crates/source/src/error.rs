//! What can be wrong with a log.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What is wrong with a log, where, why, and how to mend it.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// No file stands at the path, or matches the glob, yet.
    Missing {
        /// The path or glob as given.
        pattern: PathBuf,
    },
    /// The path leads to a directory, a device, a socket or a pipe.
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What stands there.
        kind: &'static str,
    },
    /// The file or a directory on the way to it may not be opened.
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Reading an open file went wrong.
    Read {
        /// The path.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// A line was longer than is kept for matching.
    LineTooLong {
        /// The path.
        path: PathBuf,
        /// Where in the file the line ended.
        offset: u64,
        /// How many bytes at its end were left out.
        dropped: u64,
    },
    /// More files match than are read for one glob.
    TooManyFiles {
        /// The glob.
        pattern: PathBuf,
        /// How many are read.
        limit: usize,
    },
    /// The glob leads through too many directories; only some of them were looked at.
    TooWide {
        /// The glob.
        pattern: PathBuf,
        /// How many directory entries are looked at.
        limit: usize,
    },
    /// The kernel refused a watch; the path is polled instead.
    Watch {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The kernel gives no inotify; everything is polled instead (or, if inotify was demanded, nothing works).
    Inotify {
        /// What the system said.
        error: io::Error,
    },
    /// Waiting for the kernel went wrong.
    Wait {
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { pattern } => write!(
                f,
                "no log file `{0}` yet\n  why: nothing can be found in a log that is not there\n  mend: none needed if the \
                 service creates it later, it is read from then on; else correct `logpath`",
                pattern.display()
            ),
            Self::NotAFile { path, kind } => write!(
                f,
                "`{}` is {kind}, not a log file\n  why: lines are read from regular files only\n  mend: name the file in \
                 `logpath`, or a glob such as {}/*.log",
                path.display(),
                path.display()
            ),
            Self::Unreadable { path, error } => write!(
                f,
                "log file `{}` cannot be opened\n  why: {error}\n  mend: let the user Stockade runs as read it and enter the \
                 directories above it; it is tried again by itself",
                path.display()
            ),
            Self::Read { path, offset, error } => write!(
                f,
                "log file `{}` cannot be read\n  at byte {offset}\n  why: {error}\n  mend: look at the disk or the network file \
                 system; it is tried again by itself",
                path.display()
            ),
            Self::LineTooLong { path, offset, dropped } => write!(
                f,
                "a line of `{}` is too long, its last {dropped} bytes were not looked at\n  at byte {offset}\n  why: a line is \
                 matched up to {} bytes, so that one line cannot take all memory\n  mend: none needed, unless addresses stand \
                 at the end of such lines",
                path.display(),
                crate::LINE_LIMIT_BYTES
            ),
            Self::TooManyFiles { pattern, limit } => write!(
                f,
                "more than {limit} files match `{}`, the rest is not read\n  why: each takes a descriptor and memory\n  mend: \
                 make the glob in `logpath` narrower",
                pattern.display()
            ),
            Self::TooWide { pattern, limit } => write!(
                f,
                "`{}` leads to more than {limit} directory entries, the rest is not looked at\n  why: links can make \
                 directories without end\n  mend: write fewer `*` for directories in `logpath`",
                pattern.display()
            ),
            Self::Watch { path, error } => write!(
                f,
                "`{}` is polled, not watched\n  why: {error}\n  mend: raise fs.inotify.max_user_watches if that limit was met; \
                 else none needed",
                path.display()
            ),
            Self::Inotify { error } => write!(
                f,
                "the kernel gives no inotify\n  why: {error}\n  mend: raise fs.inotify.max_user_instances, or set \
                 `backend = polling`"
            ),
            Self::Wait { error } => write!(
                f,
                "waiting for changes of log files is not possible\n  why: {error}\n  mend: this is a fault of the system or of \
                 Stockade, please report it"
            ),
        }
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { error, .. }
            | Self::Read { error, .. }
            | Self::Watch { error, .. }
            | Self::Inotify { error }
            | Self::Wait { error } => Some(error),
            Self::Missing { .. }
            | Self::NotAFile { .. }
            | Self::LineTooLong { .. }
            | Self::TooManyFiles { .. }
            | Self::TooWide { .. } => None,
        }
    }
}

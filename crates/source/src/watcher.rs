//! The watcher: signatures first, bodies being written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Backend, Event, FileId, Position, SourceError, SourceId, Start};

/// Watches all logs of the server and reads them. Lives on one thread.
#[derive(Debug)]
pub struct Watcher {}

/// Ends a [`Watcher::wait`] from another thread.
#[derive(Clone, Debug)]
pub struct Waker {}

impl Waker {
    /// Ends the present, or else the next, call of [`Watcher::wait`].
    pub fn wake(&self) {}
}

impl Watcher {
    /// A watcher without sources.
    pub fn new(backend: Backend) -> Result<Self, SourceError> {
        let _ = backend;
        Ok(Self {})
    }

    /// A handle that ends [`Watcher::wait`] from another thread.
    pub fn waker(&self) -> Waker {
        Waker {}
    }

    /// Adds a path or glob. What is found there is told by the next [`Watcher::wait`]; that it is not there yet is no error.
    pub fn add(&mut self, pattern: impl AsRef<Path>, start: &Start) -> SourceId {
        let _ = (pattern, start);
        SourceId(0)
    }

    /// Forgets a source and closes the files nobody else wants. An unknown one is ignored.
    pub fn remove(&mut self, source: SourceId) {
        let _ = source;
    }

    /// The paths of the files now read for a source, sorted.
    pub fn files(&self, source: SourceId) -> Vec<PathBuf> {
        let _ = source;
        Vec::new()
    }

    /// Where a restart would resume this file.
    pub fn position(&self, file: FileId) -> Option<Position> {
        let _ = file;
        None
    }

    /// Waits until something happens, a waker is used or `timeout` (for ever, if `None`) is over, and tells what happened.
    ///
    /// May return early with nothing told. Reads at most a few blocks of each file per call, so that no file holds up the others
    /// and the caller gets a word in; call it again at once.
    pub fn wait(&mut self, timeout: Option<Duration>, out: &mut dyn FnMut(Event<'_>)) -> Result<(), SourceError> {
        let _ = (timeout, out);
        Ok(())
    }
}

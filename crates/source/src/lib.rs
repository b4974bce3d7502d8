//! Log lines from files, with positions.
//!
//! A [`Watcher`] reads every log file once, however many sources name it, from the first byte to the last through
//! rotations, and tells [`Event`]s. Nothing here looks inside a line. Start reading at [`Watcher::wait`].

mod error;
mod event;
mod glob;
mod lines;
mod notify;
mod refresh;
mod resolve;
mod tail;
mod watcher;

pub use error::SourceError;
pub use event::{Backend, Event, FileId, Position, Rotation, SourceId, Start};
pub use lines::{LINE_LIMIT_BYTES, lines};
pub use watcher::{Waker, Watcher};

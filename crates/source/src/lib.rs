//! Log lines from files, with positions.
//!
//! A [`Watcher`] reads every log file once, however many sources name it, from the first byte to the last through
//! rotations, and tells [`Event`]s. Nothing here looks inside a line. Start reading at [`Watcher::wait`].
//!
//! ```
//! use stockade_source::{Backend, Event, Start, Watcher, lines};
//!
//! let log = std::env::temp_dir().join(format!("stockade-source-example-{}.log", std::process::id()));
//! std::fs::write(&log, "first\r\nsecond\nhalf a li")?;
//! let mut watcher = Watcher::new(Backend::Auto)?;
//! watcher.add(&log, Start::Head);
//! let (mut found, mut caught_up) = (Vec::new(), false);
//! while !caught_up {
//!     watcher.wait(None, &mut |event| match event {
//!         Event::Lines { block, .. } => found.extend(lines(block).map(<[u8]>::to_vec)),
//!         Event::CaughtUp { .. } => caught_up = true,
//!         _ => {}
//!     })?;
//! }
//! assert_eq!(found, [&b"first"[..], b"second"]);
//! std::fs::remove_file(&log)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beginning;
mod error;
mod event;
mod glob;
pub mod journal;
mod lines;
mod notify;
mod refresh;
mod resolve;
mod sha1;
mod tail;
mod watcher;

pub use beginning::{Ages, Beginning};
pub use error::SourceError;
pub use event::{Backend, Event, FileId, FirstLine, Position, Rotation, SourceId, Start};
pub use lines::{LINE_LIMIT_BYTES, lines};
pub use watcher::{Waker, Watcher};

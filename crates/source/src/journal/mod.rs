//! The systemd journal, read from its files.
//!
//! What lives here: the format of the files, which files make a journal, matches, and the line that filters expect. No dates are written
//! and nothing is decided. Start reading at [`Reader::step`].
//!
//! ```no_run
//! use stockade_source::journal::{From, Matches, Options, Reader};
//!
//! let mut options = Options::default();
//! options.set("journalpath", "/var/log/journal")?;
//! let mut reader = Reader::open(&options, From::Head);
//! reader.set_matches(&[Matches::parse([["_SYSTEMD_UNIT=sshd.service", "+", "_COMM=sshd"]])?]);
//! while let Some(entry) = reader.next_entry() {
//!     println!("{} {}", entry.time, String::from_utf8_lossy(&entry.line));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cursor;
mod file;
mod header;
mod line;
mod matches;
mod pages;
mod places;
mod reader;
mod unpack;

pub use cursor::{Cursor, CursorError};
pub use matches::{MatchError, Matches};
pub use places::{OptionError, Options};
pub use reader::{Entry, From, Problem, Reader, Step};

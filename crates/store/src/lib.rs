//! Fail2Ban's SQLite file: bans, positions in logs, and what was known of whom.
//!
//! A [`Store`] reads and writes the file as Fail2Ban does (behaviour spec 8), so that either program can take over from the other. It knows no
//! thread and no clock; the server gives it one of the first, and the time. What is in a file is foreign: rows that make no sense are passed
//! over, texts are cut, a damaged file is put aside and what can be read of it is kept.
//!
//! Start reading at [`Store::open`]; the tables are in `schema`.
//!
//! ```
//! use stockade_core::{FailureId, JailName, Timestamp};
//! use stockade_store::{Place, Store};
//!
//! let (store, _notes) = Store::open(&Place::Memory, "20261122-203110")?;
//! let jail = JailName::new("sshd").expect("a name");
//! store.set_enabled(&jail, true)?;
//! assert!(store.restorable(&jail, Timestamp::from_secs(1_795_000_000))?.is_empty());
//! # Ok::<(), stockade_store::StoreError>(())
//! ```

mod bans;
mod data;
mod error;
mod file;
mod history;
mod logs;
mod purge;
mod salvage;
mod schema;
mod value;

pub use error::{Note, StoreError};
pub use file::{Place, Store};
pub use history::History;
pub use logs::{JOURNAL, LogRow};

//! Worlds for tests: directories, network namespaces, processes, and deadlines instead of sleeps.
//!
//! Nothing of the product depends on this crate; it is a dev-dependency only.
//!
//! ```
//! use std::time::Duration;
//!
//! let directory = testkit::TempDir::new("example");
//! let file = directory.write("jail.local", "[sshd]\nenabled = true\n");
//! testkit::wait_until(Duration::from_secs(1), "the file is there", || file.exists());
//! ```
#![expect(
    clippy::panic,
    reason = "a failed test panics; nothing of the product links this crate"
)]

mod directory;
mod journald;
mod network;
mod process;
mod world;

pub use directory::TempDir;
pub use journald::Journald;
pub use network::Network;
pub use process::{Daemon, Reaper, output_of};
pub use world::{is_installed, is_root, package_files, requires, shared_data, skip, wait_for, wait_until};

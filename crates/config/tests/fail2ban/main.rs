//! Our reading of the configuration beside the real Fail2Ban's.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "test code")]

mod common;
mod files;
mod guide;
mod hostile;
mod layers;
mod limits;
mod stock;
mod trees;

//! Our reading of the configuration beside the real Fail2Ban's.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod common;
mod files;
mod generated;
mod guide;
mod hostile;
mod layers;
mod limits;
mod literal;
mod stock;
mod trees;
mod verdict;

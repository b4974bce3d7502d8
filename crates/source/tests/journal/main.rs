//! The journal reader on journals that systemd has written, beside journalctl and Fail2Ban.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

mod damage;
mod following;
mod lines;
mod reading;
mod writing;

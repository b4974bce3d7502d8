//! The whole program beside Fail2Ban 1.0.2: the same configuration, the same logs, the same commands, and what each made of them.
//!
//! Expected values are Fail2Ban's own, asked while the test runs. Where we mean to differ, the test names the entry of
//! `docs/compat/DEVIATIONS.md` that says why.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::format_push_string,
    reason = "test code"
)]

mod deviations;
mod errors;
mod firewall;
mod ignoring;
mod increment;
mod journal;
mod live;
mod logs;
mod mail;
mod names;
mod properties;
mod running;
mod scenarios;
mod takeover;
mod targets;
mod tools;
mod world;

//! Stockade: server, client, regex tool and demo in one program.
//!
//! Start reading at [`server`]; which program it is to be is decided in `main.rs` by the name it was called by.

pub mod check;
pub mod client;
pub mod demo;
pub mod explain;
pub mod filter;
pub mod inspect;
pub mod regex_tool;
mod screen;
pub mod server;
pub mod setup;
mod terminal;
pub mod words;
mod zone;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of Fail2Ban whose behaviour is kept, and which tools around it are told.
pub const FAIL2BAN_VERSION: &str = stockade_config::FAIL2BAN_VERSION;

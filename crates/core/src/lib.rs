//! What is decided, as data: jails, failures, tickets, bans, time-outs.
//!
//! Nothing here reads a clock, a file or a socket; times come in as `now`, and what is to be done comes out as
//! [`Effect`]s. Start reading at [`jail::Jail`].

pub mod effect;
pub mod failure;
pub mod id;
pub mod logline;
pub mod settings;
pub mod time;

pub use effect::{Effect, Effects};
pub use failure::{Failure, Fields, LineText};
pub use id::{FailureId, JailName};
pub use ipnet::IpNet;
pub use time::{Seconds, Timestamp, Until};

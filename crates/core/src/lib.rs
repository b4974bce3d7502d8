//! What is decided, as data: jails, failures, tickets, bans, time-outs.
//!
//! Nothing here reads a clock, a file or a socket; times come in as `now`, and what is to be done comes out as
//! [`Effect`]s. Start reading at [`jail::Jail`].

//!
//! ```
//! use stockade_core::{Effect, Failure, FailureId, Fields, Jail, JailName, JailSettings, Offenders, Timestamp};
//!
//! let name = JailName::new("sshd").ok_or("a jail needs a name")?;
//! let mut jail = Jail::new(name, JailSettings { maxretry: 2, ..JailSettings::default() });
//! let (mut effects, mut offenders) = (Vec::new(), Offenders::default());
//! for second in [100, 160] {
//!     let at = Timestamp::from_secs(second);
//!     let id = FailureId::parse("192.0.2.7");
//!     let failure = Failure { id, at, attempts: 1, lines: vec![], fields: Fields::default() };
//!     jail.on_failure(failure, &mut offenders, at, &mut effects);
//! }
//! assert!(effects.iter().any(|effect| matches!(effect, Effect::Ban(ban) if ban.failures == 2)));
//! # Ok::<(), &str>(())
//! ```

pub mod arrival;
mod at_hand;
pub mod ban;
pub mod effect;
mod entries;
pub mod failure;
pub mod formula;
pub mod growth;
pub mod id;
pub mod ignore;
pub mod jail;
pub mod ledger;
pub mod logline;
pub mod offenders;
mod packed;
mod phrases;
pub mod settings;
pub mod status;
pub mod time;

pub use arrival::{Arrival, Reading};
pub use ban::BanList;
pub use effect::{Again, Ban, Effect, Effects};
pub use failure::{Failure, Fields, LineText};
pub use growth::Growth;
pub use id::{FailureId, JailName};
pub use ignore::{IgnoreEntry, IgnoreList, IgnoreRule};
pub use ipnet::IpNet;
pub use jail::Jail;
pub use ledger::FailureLedger;
pub use logline::{Event, Level, LogLine};
pub use offenders::{Offender, Offenders};
pub use settings::JailSettings;
pub use status::{JailCounters, JailStatus};
pub use time::{Seconds, Timestamp, Until};

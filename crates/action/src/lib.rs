//! The action.d life cycle: where attacker-controlled text meets a shell.
//!
//! An [`Action`] is one action of one jail, built from the properties that `addaction` brings over the wire. It runs the
//! action's commands (`lifecycle`), or, if its property `native` says so, changes the kernel's sets itself (`native`) or sends
//! mails (`mail`).
//! Who is banned is not decided here. Every outcome is told through [`Context::report`] in Fail2Ban's words.
//!
//! Start reading at [`Action`]; the rules for the shell are in `shell`.
//!
//! ```
//! use stockade_action::{Action, Context, Counters};
//! use stockade_core::{FailureId, JailName, LineText, Timestamp};
//!
//! let jail = JailName::new("sshd").expect("a name");
//! let properties = [("actionstart".to_owned(), "true".to_owned()), ("timeout".to_owned(), "5".to_owned())];
//! let mut action = Action::new(&jail, "example", &properties).expect("a sound action");
//! let mut context =
//!     Context {
//!         now: Timestamp::from_secs(1_795_000_000),
//!         counters: Counters::default(),
//!         earlier: &|_, _| None,
//!         report: &mut |report| drop(report),
//!     };
//! assert!(action.start(&mut context).is_ok());
//! ```

mod bulk;
mod clients;
mod error;
mod ignore;
mod lifecycle;
mod mail;
mod native;
mod properties;
mod run;
mod services;
mod shell;
mod tags;
mod template;

use std::path::Path;

use stockade_core::effect::Ban;
use stockade_core::logline::Level;
use stockade_core::{FailureId, IpNet, JailName, LineText, Timestamp};
use stockade_firewall::{Firewall, Target, Traffic};

pub use error::ActionError;
pub use ignore::IgnoreCommand;
pub use shell::programs;

use lifecycle::Commands;
use mail::Mail;
use native::Native;
use properties::Properties;

/// What an action needs to know besides the ban, and where it tells what happened.
pub struct Context<'a> {
    /// Now.
    pub now: Timestamp,
    /// The jail's counters, for `<jail.found>` and its kin.
    pub counters: Counters,
    /// Looks up what all bans of somebody come to, in this jail alone or in all, for `<ipfailures>` and its kin; `None` if nobody knows.
    pub earlier: &'a dyn Fn(&FailureId, Scope) -> Option<Earlier>,
    /// Takes each line for `fail2ban.log`.
    pub report: &'a mut dyn FnMut(Report),
}

impl Context<'_> {
    fn say(&mut self, logger: &'static str, level: Level, text: String) {
        (self.report)(Report { logger, level, text });
    }
}

/// Which bans are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of this jail.
    Jail,
    /// Those of all.
    All,
}

/// What all bans of somebody come to, the present one included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// The failures of all.
    pub failures: u64,
    /// The log lines of all, oldest first.
    pub matches: Vec<LineText>,
}

/// The counters of a jail, as `status JAIL` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Addresses that have failed and are not banned.
    pub found: u64,
    /// All failures since the start.
    pub found_total: u64,
    /// Addresses that are banned.
    pub banned: u64,
    /// All bans since the start.
    pub banned_total: u64,
}

/// What the kernel holds of a native action's bans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Bans that are in the kernel, as far as is known.
    pub in_kernel: usize,
    /// Bans that should be.
    pub should_be: usize,
    /// How often what somebody else had changed was put right.
    pub repairs: u64,
}

/// What the kernel says of an action's bans when it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What it holds.
    pub standing: Standing,
    /// What each ban has blocked since it was made or prolonged; `None` if that is not counted.
    pub blocked: Option<Vec<(IpNet, Traffic)>>,
}

/// One line for `fail2ban.log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The logger it comes from, for example `fail2ban.utils`.
    pub logger: &'static str,
    /// How grave it is.
    pub level: Level,
    /// The text; control characters other than line ends of commands are escaped.
    pub text: String,
}

/// One action of one jail. Owned by one thread; every call may take as long as the action's time limit.
///
/// Methods that can fail have reported the failure already when they return it; the caller need only decide what to do.
pub struct Action {
    jail: JailName,
    name: String,
    properties: Properties,
    warnings: Vec<ActionError>,
    kind: Kind,
}

enum Kind {
    Commands(Box<Commands>),
    Native(Box<Native>),
    Mail(Box<Mail>),
}

impl Action {
    /// An action from its properties as they come over the wire: `actionban`, `timeout`, `port`, `blocktype?family=inet6`…
    ///
    /// Fails if the action is a Python file, if tags refer to themselves, or if a native action's properties make no sense.
    pub fn new(jail: &JailName, name: &str, properties: &[(String, String)]) -> Result<Self, ActionError> {
        if Path::new(name).extension().is_some_and(|extension| extension == "py") {
            return Err(ActionError::Python {
                action: name.to_owned(),
            });
        }
        let mut all = Properties::new(jail, name);
        for (key, value) in properties {
            all.set(key, value)?;
        }
        all.shrink();
        let mut warnings = Vec::new();
        let kind = build(jail, name, &all, &mut warnings)?;
        Ok(Self {
            jail: jail.clone(),
            name: name.to_owned(),
            properties: all,
            warnings,
            kind,
        })
    }

    /// The action's name within its jail.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is dubious about the action, although it can be run.
    pub fn warnings(&self) -> &[ActionError] {
        &self.warnings
    }

    /// True if the action sends mails, as Fail2Ban's `smtp.py` does.
    pub fn is_mail(&self) -> bool {
        matches!(self.kind, Kind::Mail(_))
    }

    /// The value of a property, as `get JAIL action NAME PROPERTY` shows it.
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key)
    }

    /// All properties in the order they were set.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter()
    }

    /// Changes one property of a running action, as `set JAIL action NAME PROPERTY VALUE` does.
    ///
    /// Fails as [`Action::new`] does, and then nothing has changed.
    pub fn set_property(&mut self, key: &str, value: &str) -> Result<(), ActionError> {
        self.set_properties(&[(key.to_owned(), value.to_owned())])
    }

    /// Changes several properties at once. Fails as [`Action::new`] does, and then nothing has changed.
    pub fn set_properties(&mut self, changes: &[(String, String)]) -> Result<(), ActionError> {
        let mut properties = self.properties.clone();
        for (key, value) in changes {
            properties.set(key, value)?;
        }
        let mut warnings = Vec::new();
        let fresh = build(&self.jail, &self.name, &properties, &mut warnings)?;
        match (&mut self.kind, fresh) {
            (Kind::Commands(old), Kind::Commands(new)) => old.adopt(*new),
            (Kind::Mail(old), Kind::Mail(new)) => *old = new,
            (Kind::Native(old), Kind::Native(new)) if old.options() == new.options() => {}
            (Kind::Native(old), Kind::Native(new)) if old.is_idle() => old.adopt(*new),
            _ => {
                return Err(ActionError::InUse {
                    action: self.name.clone(),
                });
            }
        }
        self.properties = properties;
        self.warnings = warnings;
        Ok(())
    }

    /// Where the bans of a native action take effect; `None` for an action of commands.
    pub fn native_target(&self) -> Option<&Target> {
        match &self.kind {
            Kind::Native(native) => Some(native.target()),
            Kind::Commands(_) | Kind::Mail(_) => None,
        }
    }

    /// Hands a native action the firewall it is to use; an action of commands drops it.
    pub fn attach(&mut self, firewall: Box<dyn Firewall>) {
        if let Kind::Native(native) = &mut self.kind {
            native.attach(firewall);
        }
    }

    /// Prepares for bans: `actionstart`, unless the action starts on demand.
    pub fn start(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.start(context),
            Kind::Native(native) => native.start(context),
            Kind::Mail(mail) => mail.start(context),
        }
    }

    /// Bans.
    pub fn ban(&mut self, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        self.ban_many(std::slice::from_ref(ban), context)
    }

    /// True if many bans at once cost little more than one: a native action, or one whose commands are known (see `bulk`).
    pub fn works_in_bulk(&self) -> bool {
        match &self.kind {
            Kind::Commands(commands) => commands.works_in_bulk(),
            Kind::Native(_) => true,
            Kind::Mail(_) => false,
        }
    }

    /// Bans several in order, in one transaction where that can be. Returns the first failure; all are tried.
    pub fn ban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.ban_many(bans, context),
            Kind::Native(native) => native.ban_many(bans, context),
            Kind::Mail(mail) => mail.ban_many(bans, context),
        }
    }

    /// Lifts a ban.
    pub fn unban(&mut self, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        self.unban_many(std::slice::from_ref(ban), context)
    }

    /// Lifts several bans, in one transaction where that can be. Returns the first failure; all are tried.
    pub fn unban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.unban_many(bans, context),
            Kind::Native(native) => native.unban_many(bans, context),
            Kind::Mail(_) => Ok(()),
        }
    }

    /// Makes an active ban last longer: `actionprolong`, or the kernel's time-out.
    pub fn prolong(&mut self, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.prolong(ban, context),
            Kind::Native(native) => native.ban_many(std::slice::from_ref(ban), context),
            Kind::Mail(_) => Ok(()),
        }
    }

    /// A banned id goes on failing: makes sure that the ban is really in place, and repairs it if not.
    pub fn already_banned(&mut self, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.already_banned(ban, context),
            Kind::Native(native) => native.ban_many(std::slice::from_ref(ban), context),
            Kind::Mail(_) => Ok(()),
        }
    }

    /// Looks whether what an action has in the kernel is still there, and makes it whole if not, or if something could not be done
    /// before. Costs little when nothing is amiss, for a native action; an action of known commands runs `actioncheck`, others do nothing.
    pub fn check(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.check(context),
            Kind::Native(native) => native.check(context),
            Kind::Mail(_) => Ok(()),
        }
    }

    /// Lifts all bans: `actionflush`, or one by one where there is none.
    pub fn flush(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.flush(context),
            Kind::Native(native) => native.flush(context),
            Kind::Mail(_) => Ok(()),
        }
    }

    /// Runs `actionreload`, after a reload has changed properties.
    pub fn reload(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.reload(context),
            Kind::Native(_) | Kind::Mail(_) => Ok(()),
        }
    }

    /// What the kernel holds of what it should hold; `None` for an action whose commands are not known, which cannot tell.
    pub fn standing(&self) -> Option<Standing> {
        match &self.kind {
            Kind::Native(native) => Some(native.standing()),
            Kind::Commands(commands) => commands.standing(),
            Kind::Mail(_) => None,
        }
    }

    /// The same by asking the kernel, with what the bans have blocked. Takes a microsecond or some for each ban; for rules of iptables, a process.
    pub fn account(&mut self, context: &Context<'_>) -> Option<Account> {
        match &mut self.kind {
            Kind::Native(native) => Some(native.account()),
            Kind::Commands(commands) => commands.account(context).map(|standing| Account {
                standing,
                blocked: None,
            }),
            Kind::Mail(_) => None,
        }
    }

    /// Ends with the server: as [`Action::stop`], unless a native action is to keep its bans until the kernel ends them (`keep_at_end`).
    pub fn leave(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.stop(context),
            Kind::Native(native) => native.leave(context),
            Kind::Mail(mail) => mail.stop(context),
        }
    }

    /// Lifts all bans and leaves the world as it was before the start: flush, then `actionstop`.
    pub fn stop(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        match &mut self.kind {
            Kind::Commands(commands) => commands.stop(context),
            Kind::Native(native) => native.stop(context),
            Kind::Mail(mail) => mail.stop(context),
        }
    }
}

fn build(
    jail: &JailName,
    name: &str,
    properties: &Properties,
    warnings: &mut Vec<ActionError>,
) -> Result<Kind, ActionError> {
    if properties.is_mail() {
        return Ok(Kind::Mail(Box::new(Mail::new(
            jail,
            name,
            mail::Options::new(properties)?,
        ))));
    }
    Ok(match properties.native()? {
        Some(options) => Kind::Native(Box::new(Native::new(jail, name, options))),
        None => Kind::Commands(Box::new(Commands::new(jail, name, properties, warnings)?)),
    })
}

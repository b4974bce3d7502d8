//! The life of an action of commands: start (on demand), ban, check and repair, unban, flush, stop.
//!
//! Upstream: behaviour spec 5.1 to 5.3; `tests/oracle.rs` compares. Better on purpose: the repair of an action without options
//! per family really starts it again; after a repair all active bans are set again at once, not when their owners come back;
//! an action that does not start on demand starts for both families (1.0.2 leaves IPv6 unstarted); a repair for an unban
//! starts again before it goes on.

mod many;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stockade_core::effect::Ban;
use stockade_core::logline::Level;
use stockade_core::{FailureId, JailName};

use crate::Context;
use crate::bulk::{Bulk, Step};
use crate::error::ActionError;
use crate::properties::{Family, Properties};
use crate::run::{self, End, Outcome, Output};
use crate::tags::Subject;
use crate::template::{Script, Template};

const UTILS: &str = "fail2ban.utils";
const COMMAND_ACTION: &str = "fail2ban.CommandAction";
const ACTIONS: &str = "fail2ban.actions";

/// So many failures one after the other end a batch: the rest would fail likewise, and waits for its next failure.
const FAILURES_IN_A_ROW: u32 = 20;

/// So many bans that are made again are told one by one.
const REBANS_TOLD: usize = 100;

/// This much of an output line goes into the log.
const LINE_LOGGED: usize = 2000;

/// The commands of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Start,
    Stop,
    Check,
    Repair,
    Ban,
    Reban,
    Unban,
    Prolong,
    Flush,
    Reload,
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Start, "actionstart"),
    (Kind::Stop, "actionstop"),
    (Kind::Check, "actioncheck"),
    (Kind::Repair, "actionrepair"),
    (Kind::Ban, "actionban"),
    (Kind::Reban, "actionreban"),
    (Kind::Unban, "actionunban"),
    (Kind::Prolong, "actionprolong"),
    (Kind::Flush, "actionflush"),
    (Kind::Reload, "actionreload"),
];

/// An action of commands, and what it has done so far.
pub(crate) struct Commands {
    settings: Settings,
    started: BTreeSet<Family>,
    /// Families that had bans since all were lifted at once; without one there is nothing to lift, and nothing to flush.
    unflushed: BTreeSet<Family>,
    /// The bans that are in place, by this action's own account.
    active: BTreeMap<FailureId, Ban>,
    /// The bans that did not work, or only in part; they are lifted with the others.
    failed: BTreeMap<FailureId, Ban>,
    /// The ways around processes, unless the action is to be run as written.
    bulk: Option<Bulk>,
    /// So often a way around failed where the command itself did not.
    doubts: u32,
    /// How often something was put right that others had changed.
    repairs: u64,
}

/// The part that comes from the configuration.
struct Settings {
    jail: JailName,
    name: String,
    templates: BTreeMap<(Kind, Family), Template>,
    timeout: Duration,
    on_demand: bool,
    /// The action makes a difference between families.
    by_family: bool,
    repair_on_unban: bool,
    /// Bans restored after a restart are none of this action's business.
    norestored: bool,
    /// Lifting or repeating a ban needs its log lines or fields, so they have to be kept.
    keep_details: bool,
    may_be_done_in_bulk: bool,
    /// The command of a ban is one that can be done without running it.
    is_known: bool,
}

impl Settings {
    fn new(
        jail: &JailName,
        name: &str,
        properties: &Properties,
        warnings: &mut Vec<ActionError>,
    ) -> Result<Self, ActionError> {
        let by_family = properties.is_conditional();
        let families: &[Family] = if by_family {
            &[Family::Inet4, Family::Inet6, Family::Any]
        } else {
            &[Family::Any]
        };
        let mut templates = BTreeMap::new();
        let mut keep_details = false;
        for (kind, option) in KINDS {
            for family in families {
                let template = Template::new(name, option, properties, *family, warnings)?;
                keep_details |= !matches!(kind, Kind::Start | Kind::Stop | Kind::Check) && template.needs_details();
                if !template.is_empty() {
                    templates.insert((kind, *family), template);
                }
            }
        }
        let mut settings = Self {
            jail: jail.clone(),
            name: name.to_owned(),
            templates,
            timeout: properties.timeout()?,
            on_demand: properties.flag("actionstart_on_demand").unwrap_or(by_family),
            by_family,
            repair_on_unban: properties.flag("actionrepair_on_unban").unwrap_or(false),
            norestored: properties.flag("norestored").unwrap_or(false),
            keep_details,
            may_be_done_in_bulk: properties.may_be_done_in_bulk(),
            is_known: false,
        };
        settings.is_known = settings.may_be_done_in_bulk && settings.knows_a_way_around();
        Ok(settings)
    }

    fn family(&self, id: &FailureId) -> Family {
        if self.by_family { Family::of(id) } else { Family::Any }
    }

    fn has(&self, kind: Kind, family: Family) -> bool {
        self.templates.contains_key(&(kind, family))
    }

    /// The command completed, or `None` if there is nothing to run.
    fn script(&self, kind: Kind, family: Family, ban: Option<&Ban>, context: &Context<'_>) -> Option<Script> {
        let subject = Subject {
            ban,
            family,
            jail: self.jail.as_str(),
            counters: context.counters,
            earlier: context.earlier,
        };
        self.templates
            .get(&(kind, family))
            .map(|template| template.complete(subject))
    }

    /// Runs a command; true if it succeeded or there was none.
    fn run(&self, kind: Kind, family: Family, ban: Option<&Ban>, context: &mut Context<'_>) -> bool {
        match self.script(kind, family, ban, context) {
            Some(script) => self.run_script(&script, context),
            None => true,
        }
    }

    fn run_script(&self, script: &Script, context: &mut Context<'_>) -> bool {
        let outcome = run::run(&script.text, &script.variables, self.timeout);
        if outcome.is_success() {
            if !outcome.ended.is_empty() {
                let text = format!(
                    "timed out after {} seconds; ended {} and let the rest of the command go on: {}",
                    self.timeout.as_secs_f64(),
                    outcome.ended.join(", "),
                    cut(script.text.lines().next().unwrap_or_default()),
                );
                context.say(UTILS, Level::Warning, text);
            }
            return true;
        }
        report_outcome(script, &outcome, self.timeout, context);
        false
    }

    fn command_error(&self, attempt: &'static str, id: Option<&FailureId>) -> ActionError {
        ActionError::Command {
            action: self.name.clone(),
            attempt,
            id: id.cloned(),
        }
    }

    fn environment_error(&self, attempt: &'static str, id: Option<&FailureId>) -> ActionError {
        ActionError::Environment {
            action: self.name.clone(),
            attempt,
            id: id.cloned(),
        }
    }
}

impl Commands {
    pub(crate) fn new(
        jail: &JailName,
        name: &str,
        properties: &Properties,
        warnings: &mut Vec<ActionError>,
    ) -> Result<Self, ActionError> {
        let settings = Settings::new(jail, name, properties, warnings)?;
        let bulk = settings.may_be_done_in_bulk.then(Bulk::default);
        Ok(Self {
            settings,
            started: BTreeSet::new(),
            unflushed: BTreeSet::new(),
            active: BTreeMap::new(),
            failed: BTreeMap::new(),
            bulk,
            doubts: 0,
            repairs: 0,
        })
    }

    /// Takes over the settings of another one and keeps what is in place.
    pub(crate) fn adopt(&mut self, other: Self) {
        self.settings = other.settings;
        self.bulk = other.bulk;
        self.doubts = 0;
    }

    pub(crate) fn start(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        if self.settings.on_demand {
            return Ok(());
        }
        let families: &[Family] = if self.settings.by_family {
            &[Family::Inet4, Family::Inet6]
        } else {
            &[Family::Any]
        };
        let mut done = Vec::new();
        let mut outcome = Ok(());
        for family in families {
            let script = self.settings.script(Kind::Start, *family, None, context);
            let good = match script {
                // What is the same for both families is run once.
                Some(script) if done.contains(&script) => true,
                Some(script) => {
                    let good = self.settings.run_script(&script, context);
                    if good {
                        done.push(script);
                    }
                    good
                }
                None => true,
            };
            if good {
                self.started.insert(*family);
            } else {
                outcome = Err(self.settings.command_error("starting action", None));
            }
        }
        if let Err(error) = &outcome {
            let text = format!(
                "Failed to start jail '{}' action '{}': {error}",
                self.settings.jail, self.settings.name
            );
            context.say(ACTIONS, Level::Error, text);
        }
        outcome
    }

    pub(crate) fn ban(&mut self, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        if self.settings.norestored && ban.restored {
            return Ok(());
        }
        let family = self.settings.family(&ban.id);
        let outcome = self.try_ban(family, ban, context);
        if let Err(error) = &outcome {
            self.report_failure("ban", ban, error, context);
        }
        outcome
    }

    fn try_ban(&mut self, family: Family, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        if !self.started.contains(&family) {
            if !self.has_same_start(family, ban, context) && !self.settings.run(Kind::Start, family, Some(ban), context)
            {
                if self.works_in_bulk() {
                    self.remember(ban, false);
                }
                return Err(self.settings.command_error("starting action", None));
            }
            self.started.insert(family);
        }
        let outcome = self.attempt(Kind::Ban, "banning", family, ban, true, context);
        self.remember(ban, outcome.is_ok());
        outcome
    }

    /// Whether the very command that would start this family was run for another one.
    fn has_same_start(&self, family: Family, ban: &Ban, context: &Context<'_>) -> bool {
        let start = |family| self.settings.script(Kind::Start, family, Some(ban), context);
        self.started.iter().any(|other| start(*other) == start(family))
    }

    fn remember(&mut self, ban: &Ban, is_active: bool) {
        if is_active {
            self.unflushed.insert(self.settings.family(&ban.id));
        }
        let mut kept = ban.clone();
        if !self.settings.keep_details {
            kept.matches = Vec::new();
        }
        self.forget(&kept.id);
        let list = if is_active { &mut self.active } else { &mut self.failed };
        list.insert(kept.id.clone(), kept);
    }

    fn forget(&mut self, id: &FailureId) {
        self.active.remove(id);
        self.failed.remove(id);
    }

    fn lift(&mut self, family: Family, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        let repair = self.settings.repair_on_unban;
        // Gone before the attempt, so that a repair on the way does not set it again.
        self.forget(&ban.id);
        let outcome = self.attempt(Kind::Unban, "unbanning", family, ban, repair, context);
        if let Err(error) = &outcome {
            self.report_failure("unban", ban, error, context);
        }
        outcome
    }

    pub(crate) fn prolong(&mut self, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        if self.settings.norestored && ban.restored {
            return Ok(());
        }
        let family = self.settings.family(&ban.id);
        if let Some(active) = self.active.get_mut(&ban.id) {
            active.until = ban.until;
            active.bantime = ban.bantime;
        }
        if !self.settings.has(Kind::Prolong, family) || !self.started.contains(&family) {
            return Ok(());
        }
        let outcome = self.attempt(Kind::Prolong, "prolonging", family, ban, true, context);
        if let Err(error) = &outcome {
            self.report_failure("prolong", ban, error, context);
        }
        outcome
    }

    pub(crate) fn already_banned(&mut self, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        if self.settings.norestored && ban.restored {
            return Ok(());
        }
        if !self.active.contains_key(&ban.id) {
            // The ban did not work then; perhaps it does now.
            let text = format!(
                "[{}] Reban {}, action '{}'",
                self.settings.jail,
                shown(&ban.id),
                self.settings.name
            );
            context.say(ACTIONS, Level::Notice, text);
            return self.ban(ban, context);
        }
        let mut outcome = Ok(());
        for family in self.started.clone() {
            if !self.settings.has(Kind::Check, family) || self.settings.run(Kind::Check, family, None, context) {
                continue;
            }
            if self.repair(family, context) {
                self.ban_again(family, None, context);
            } else {
                outcome = Err(self.settings.environment_error("banning", Some(&ban.id)));
            }
        }
        if let Err(error) = &outcome {
            self.report_failure("reban", ban, error, context);
        }
        outcome
    }

    pub(crate) fn flush(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut outcome = Ok(());
        let mut done = Vec::new();
        let flushes = self.settings.templates.keys().any(|(kind, _)| *kind == Kind::Flush);
        if flushes {
            let text = format!("[{}] Flush ticket(s) with {}", self.settings.jail, self.settings.name);
            context.say(ACTIONS, Level::Notice, text);
        }
        for family in self.started.clone() {
            if !self.has_bans(family) || !self.settings.has(Kind::Flush, family) {
                continue;
            }
            if !self.run_once(Kind::Flush, family, &mut done, context) {
                outcome = Err(self.settings.command_error("flushing bans", None));
            }
            self.active.retain(|id, _| self.settings.family(id) != family);
            self.failed.retain(|id, _| self.settings.family(id) != family);
            self.unflushed.remove(&family);
        }
        let families: BTreeSet<Family> = self.active.keys().map(|id| self.settings.family(id)).collect();
        let failed = std::mem::take(&mut self.failed);
        let mut left = self.active.clone();
        left.extend(
            failed
                .into_iter()
                .filter(|(id, _)| families.contains(&self.settings.family(id))),
        );
        let left: Vec<Ban> = left.into_values().collect();
        outcome.and(self.lift_many(&left, context))
    }

    pub(crate) fn stop(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut outcome = self.flush(context);
        self.unflushed.clear();
        let mut done = Vec::new();
        for family in std::mem::take(&mut self.started) {
            if !self.run_once(Kind::Stop, family, &mut done, context) {
                let error = self.settings.command_error("stopping action", None);
                let text = format!(
                    "Failed to stop jail '{}' action '{}': {error}",
                    self.settings.jail, self.settings.name
                );
                context.say(ACTIONS, Level::Error, text);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    pub(crate) fn reload(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut done = Vec::new();
        let mut outcome = Ok(());
        for family in self.started.clone() {
            if !self.run_once(Kind::Reload, family, &mut done, context) {
                outcome = Err(self.settings.command_error("reloading action", None));
            }
        }
        outcome
    }

    /// Runs a command of the whole action unless the very same one was run for another family.
    fn run_once(&self, kind: Kind, family: Family, done: &mut Vec<Script>, context: &mut Context<'_>) -> bool {
        match self.settings.script(kind, family, None, context) {
            Some(script) if done.contains(&script) => true,
            Some(script) => {
                let good = self.settings.run_script(&script, context);
                done.push(script);
                good
            }
            None => true,
        }
    }

    fn has_bans(&self, family: Family) -> bool {
        self.unflushed.contains(&family)
    }

    /// Runs a command for a ban; if it fails, once more, after making sure that the environment is sound.
    fn attempt(
        &mut self,
        kind: Kind,
        attempt: &'static str,
        family: Family,
        ban: &Ban,
        may_repair: bool,
        context: &mut Context<'_>,
    ) -> Result<(), ActionError> {
        if self.run_for(kind, family, ban, context) {
            return Ok(());
        }
        let mut repaired = false;
        if self.settings.has(Kind::Check, family) && !self.settings.run(Kind::Check, family, None, context) {
            if !may_repair {
                context.say(
                    COMMAND_ACTION,
                    Level::Error,
                    "Invariant check failed. Unban is impossible.".to_owned(),
                );
                return Err(self.settings.environment_error(attempt, Some(&ban.id)));
            }
            if !self.repair(family, context) {
                return Err(self.settings.environment_error(attempt, Some(&ban.id)));
            }
            repaired = true;
        }
        let good = self.settings.run(kind, family, Some(ban), context);
        if repaired {
            self.ban_again(family, Some(&ban.id), context);
            self.check_other_families(family, context);
        }
        if good {
            Ok(())
        } else {
            Err(self.settings.command_error(attempt, Some(&ban.id)))
        }
    }

    /// Restores the environment of a family after a failed check: `actionrepair`, or stop and start. True if it is sound now.
    fn repair(&mut self, family: Family, context: &mut Context<'_>) -> bool {
        let text = "Invariant check failed. Trying to restore a sane environment";
        context.say(COMMAND_ACTION, Level::Error, text.to_owned());
        let restored = if self.settings.has(Kind::Repair, family) {
            self.settings.run(Kind::Repair, family, None, context)
        } else {
            // What is left of the old environment goes first; that much of it is missing is no news.
            self.settings.run(Kind::Stop, family, None, context);
            self.started.remove(&family);
            self.settings.run(Kind::Start, family, None, context)
        };
        if restored {
            self.started.insert(family);
        }
        let sound = restored && self.settings.run(Kind::Check, family, None, context);
        if !sound {
            context.say(
                COMMAND_ACTION,
                Level::Critical,
                "Unable to restore environment".to_owned(),
            );
        }
        sound
    }

    /// Sets all active bans of a family again, except that of `but`.
    fn ban_again(&mut self, family: Family, but: Option<&FailureId>, context: &mut Context<'_>) {
        let bans: Vec<Ban> = self
            .active
            .values()
            .filter(|ban| self.settings.family(&ban.id) == family && Some(&ban.id) != but)
            .cloned()
            .collect();
        let kind = if self.settings.has(Kind::Reban, family) {
            Kind::Reban
        } else {
            Kind::Ban
        };
        let more = bans.len().saturating_sub(REBANS_TOLD);
        for ban in bans.iter().take(REBANS_TOLD) {
            let text = format!(
                "[{}] Reban {}, action '{}'",
                self.settings.jail,
                shown(&ban.id),
                self.settings.name
            );
            context.say(ACTIONS, Level::Notice, text);
        }
        if more > 0 {
            let text = format!(
                "[{}] Reban {more} more, action '{}'",
                self.settings.jail, self.settings.name
            );
            context.say(ACTIONS, Level::Notice, text);
        }
        for ban in self.perform(kind, family, bans, context) {
            if !self.settings.run(kind, family, Some(&ban), context) {
                let error = self.settings.command_error("banning", Some(&ban.id));
                if self.works_in_bulk() {
                    self.remember(&ban, false);
                } else {
                    self.active.remove(&ban.id);
                }
                self.report_failure("reban", &ban, &error, context);
            }
        }
    }

    /// Whoever wiped the environment of one family has probably wiped the other's, unless they have one in common, which is repaired then.
    fn check_other_families(&mut self, but: Family, context: &mut Context<'_>) {
        for family in self.started.clone() {
            if family == but || !self.settings.has(Kind::Check, family) {
                continue;
            }
            let in_common = self.settings.script(Kind::Check, family, None, context)
                == self.settings.script(Kind::Check, but, None, context);
            if in_common || (!self.settings.run(Kind::Check, family, None, context) && self.repair(family, context)) {
                self.ban_again(family, None, context);
            }
        }
    }

    fn report_failure(&self, what: &str, ban: &Ban, error: &ActionError, context: &mut Context<'_>) {
        let text = format!(
            "Failed to execute {what} jail '{}' action '{}' info 'ActionInfo({{'ip': '{}', 'family': '{}'}})': {error}",
            self.settings.jail,
            self.settings.name,
            shown(&ban.id),
            Family::of(&ban.id).text(),
        );
        context.say(ACTIONS, Level::Error, text);
    }
}

fn shown(id: &FailureId) -> String {
    id.to_string().escape_debug().to_string()
}

/// Tells what went wrong with a command, as Fail2Ban does.
pub(crate) fn report_outcome(script: &Script, outcome: &Outcome, limit: Duration, context: &mut Context<'_>) {
    // Fail2Ban marks the lines of one command with a number of its own; here, it is made from the text.
    let mark = script.text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) >> 16;
    let mut say = |text: String| context.say(UTILS, Level::Error, format!("{mark:012x} -- {text}"));
    say(format!("exec: {}", script.text.trim_end()));
    for (name, value) in &script.variables {
        if script.secrets.contains(name) {
            say(format!("  {name}=(a secret)"));
        } else {
            say(format!("  {name}={}", cut(&format!("{value:?}"))));
        }
    }
    if matches!(outcome.end, End::TimedOut(_)) {
        say(format!("timed out after {} seconds.", limit.as_secs_f64()));
    }
    report_output("stdout", &outcome.stdout, &mut say);
    report_output("stderr", &outcome.stderr, &mut say);
    match &outcome.end {
        End::Code(code) => say(format!("returned {code}")),
        End::Signal(signal) => say(format!("killed with {} (return code: -{signal})", signal_name(*signal))),
        End::TimedOut(true) => say("killed with SIGKILL (return code: -9)".to_owned()),
        End::TimedOut(false) => say("killed with SIGTERM (return code: -15)".to_owned()),
        End::NotStarted(error) => say(format!("cannot run /bin/sh: {error}")),
    }
    let missing = missing_program(&outcome.stderr.text);
    if missing.is_some() || matches!(outcome.end, End::Code(127)) {
        hint_missing(script, missing.as_deref(), context);
    }
}

/// Fail2Ban's hint for a command that is not there, with what to do about it.
fn hint_missing(script: &Script, missing: Option<&str>, context: &mut Context<'_>) {
    let mut text = format!(
        "HINT on 127: \"Command not found\". Make sure that all commands in {:?} are in the PATH of the server.",
        cut(script.text.trim()),
    );
    if let Some(missing) = missing {
        text.extend([" Missing is `", &missing.escape_debug().to_string(), "`."]);
        text.extend(
            package(missing)
                .into_iter()
                .flat_map(|package| [" Mend: apt-get install ", package]),
        );
    }
    context.say(UTILS, Level::Info, text);
}

fn report_output(name: &str, output: &Output, say: &mut impl FnMut(String)) {
    let text = String::from_utf8_lossy(&output.text);
    for line in text.lines().filter(|line| !line.trim().is_empty()).take(20) {
        say(format!("{name}: '{}'", cut(&line.escape_debug().to_string())));
    }
    let lines = text.lines().count();
    if lines > 20 || output.dropped > 0 {
        say(format!("{name}: … ({lines} lines and {} more bytes)", output.dropped));
    }
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(LINE_LOGGED).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

fn signal_name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP".to_owned(),
        2 => "SIGINT".to_owned(),
        6 => "SIGABRT".to_owned(),
        9 => "SIGKILL".to_owned(),
        11 => "SIGSEGV".to_owned(),
        13 => "SIGPIPE".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}

/// The program's name from the shell's complaint: `/bin/sh: 1: iptables: not found`.
fn missing_program(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    text.lines().find_map(|line| {
        let before = line
            .strip_suffix(": not found")
            .or_else(|| line.strip_suffix(": command not found"))?;
        let name = before.rsplit(": ").next()?.trim();
        (!name.is_empty() && name.len() < 128).then(|| name.to_owned())
    })
}

/// The Debian package that holds a program stock actions need.
fn package(program: &str) -> Option<&'static str> {
    let name = program.rsplit('/').next().unwrap_or(program);
    Some(match name {
        "iptables" | "ip6tables" | "iptables-restore" | "ip6tables-restore" => "iptables",
        "nft" => "nftables",
        "ipset" => "ipset",
        "whois" => "whois",
        "sendmail" => "dma",
        "mail" | "mailx" => "bsd-mailx",
        "curl" => "curl",
        "dig" | "nsupdate" => "bind9-dnsutils",
        "ufw" => "ufw",
        "firewall-cmd" => "firewalld",
        "ip" | "ss" => "iproute2",
        "conntrack" => "conntrack",
        "geoiplookup" => "geoip-bin",
        "jq" => "jq",
        _ => return None,
    })
}

//! Mails at start, stop and ban: what Fail2Ban's `smtp.py` does, without Python.
//!
//! Upstream: behaviour spec 5; `stockade/tests/oracle/mail.rs` compares with the mails of 1.0.2. Better on purpose: nobody who writes a log can write
//! headers or commands, every attempt ends in time, and a server that hangs delays the next mails once, not each of them.

mod message;
mod session;

use std::time::{Duration, Instant};

use stockade_core::JailName;
use stockade_core::effect::Ban;
use stockade_core::logline::Level;

use crate::Context;
use crate::error::ActionError;
use crate::properties::{Family, Properties};
use crate::tags::{self, Subject, Tag};
use message::Message;

const ACTIONS: &str = "fail2ban.actions";

/// A mail server gets so long for a mail unless `timeout` says otherwise: less than for commands, since a stop waits for it.
const LIMIT: Duration = Duration::from_secs(20);

/// After a mail server has let an attempt take its time in vain, nothing is tried for so long.
const PAUSE: Duration = Duration::from_mins(1);

/// The options, with Fail2Ban's defaults.
pub(crate) struct Options {
    /// Host and port.
    host: String,
    login: Option<(String, String)>,
    from_name: String,
    from: String,
    to: String,
    matches: Option<Lines>,
    limit: Duration,
    norestored: bool,
}

/// Which log lines a mail about a ban shows.
#[derive(Clone, Copy)]
enum Lines {
    Ban,
    All,
    Jail,
}

impl Options {
    /// Fails if a value would break the mail or asks for what is not offered.
    pub(crate) fn new(properties: &Properties) -> Result<Self, ActionError> {
        let text = |key: &str, default: &str, expected: &'static str| {
            let value = properties.get(key).unwrap_or(default);
            if value.chars().any(char::is_control) {
                return Err(properties.bad(key, value, expected));
            }
            Ok(value.trim().to_owned())
        };
        if properties.flag("ssl") == Some(true) {
            return Err(properties.bad(
                "ssl",
                "yes",
                "off (this process speaks no TLS; mend: send to a mail server on this host, which relays with TLS)",
            ));
        }
        let host = text("host", "localhost", "a host, or host:port")?;
        let from = text("fromaddr", "fail2ban", "one mail address")?;
        if message::address(&from).is_none() {
            return Err(properties.bad("fromaddr", &from, "one mail address"));
        }
        let to = text("toaddr", "root", "at most 100 mail addresses with commas between")?;
        let recipients = message::recipients(&to);
        if recipients.is_empty() || recipients.len() > 100 || recipients.iter().any(Option::is_none) {
            return Err(properties.bad("toaddr", &to, "at most 100 mail addresses with commas between"));
        }
        let user = text("user", "", "a name")?;
        let password = properties.get("password").unwrap_or_default().to_owned();
        if password.contains(['\0', '\r', '\n']) {
            return Err(properties.bad("password", "…", "a text of one line"));
        }
        let matches = match properties.get("matches").unwrap_or_default() {
            "matches" => Some(Lines::Ban),
            "ipmatches" => Some(Lines::All),
            "ipjailmatches" => Some(Lines::Jail),
            // Fail2Ban passes over any other word, too.
            _ => None,
        };
        let limit = properties.get("timeout").map_or(Ok(LIMIT), |_| properties.timeout())?;
        Ok(Self {
            host,
            login: (!user.is_empty() && !password.is_empty()).then_some((user, password)),
            from_name: text("fromname", "Fail2Ban", "a name of one line")?,
            from,
            to,
            matches,
            limit,
            norestored: properties.flag("norestored").unwrap_or(true),
        })
    }
}

/// An action that sends mails.
pub(crate) struct Mail {
    jail: JailName,
    name: String,
    options: Options,
    quiet_until: Option<Instant>,
}

impl Mail {
    pub(crate) fn new(jail: &JailName, name: &str, options: Options) -> Self {
        Self {
            jail: jail.clone(),
            name: name.to_owned(),
            options,
            quiet_until: None,
        }
    }

    pub(crate) fn start(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        let text = format!("The jail {} is up.", self.jail);
        let outcome = self.send("started on", &text, context);
        self.tell("start", outcome, context)
    }

    pub(crate) fn stop(&mut self, context: &mut Context<'_>) -> Result<(), ActionError> {
        let text = format!("The jail {} is down.", self.jail);
        let outcome = self.send("stopped on", &text, context);
        self.tell("stop", outcome, context)
    }

    pub(crate) fn ban_many(&mut self, bans: &[Ban], context: &mut Context<'_>) -> Result<(), ActionError> {
        let mut outcome = Ok(());
        for ban in bans {
            outcome = outcome.and(self.ban(ban, context));
        }
        outcome
    }

    fn ban(&mut self, ban: &Ban, context: &mut Context<'_>) -> Result<(), ActionError> {
        if self.options.norestored && ban.restored {
            return Ok(());
        }
        let (jail, family) = (self.jail.clone(), Family::of(&ban.id));
        let subject = Subject {
            ban: Some(ban),
            family,
            jail: jail.as_str(),
            counters: context.counters,
            earlier: context.earlier,
        };
        let value = |tag| tags::value(&tag, subject).map(|value| value.text).unwrap_or_default();
        let ip = value(Tag::Ip);
        let mut text = format!(
            "{ip} is banned for {} s after {} failures in the jail {jail}.",
            ban.bantime.0, ban.failures
        );
        if let Some(lines) = self.options.matches {
            let (head, tag) = match lines {
                Lines::Ban => ("Lines of this ban".to_owned(), Tag::Matches),
                Lines::All => (format!("Lines of {ip} in all jails"), Tag::IpMatches),
                Lines::Jail => (format!("Lines of {ip} in the jail {jail}"), Tag::IpJailMatches),
            };
            text.extend(["\n\n", &head, ":\n", &value(tag)]);
        }
        let outcome = self.send(&format!("banned {ip} from"), &text, context);
        if let Err(error) = &outcome {
            let text = format!(
                "Failed to execute ban jail '{jail}' action '{}' info 'ActionInfo({{'ip': '{}', 'family': '{}'}})': {error}",
                self.name,
                ip.escape_debug(),
                family.text(),
            );
            context.say(ACTIONS, Level::Error, text);
        }
        outcome
    }

    fn send(&mut self, event: &str, text: &str, context: &Context<'_>) -> Result<(), ActionError> {
        let error = |why: String| ActionError::Mail {
            host: self.options.host.clone(),
            why,
        };
        if self.quiet_until.is_some_and(|end| Instant::now() < end) {
            return Err(error("it has just let an attempt run out of time".to_owned()));
        }
        let message = Message {
            from_name: &self.options.from_name,
            from: &self.options.from,
            to: &self.options.to,
            subject: &format!("[Fail2Ban] {}: {event} {}", self.jail, tags::host_name()),
            body: text,
            date: context.now,
        };
        let since = Instant::now();
        let sent = session::send(&self.options, &message.text());
        let in_vain = sent.is_err() && since.elapsed() > self.options.limit / 2;
        let outcome = sent.map_err(error);
        self.quiet_until = in_vain.then(|| Instant::now() + PAUSE);
        outcome
    }

    fn tell(&self, what: &str, outcome: Result<(), ActionError>, context: &mut Context<'_>) -> Result<(), ActionError> {
        if let Err(error) = &outcome {
            let text = format!("Failed to {what} jail '{}' action '{}': {error}", self.jail, self.name);
            context.say(ACTIONS, Level::Error, text);
        }
        outcome
    }
}

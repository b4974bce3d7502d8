//! Every line of `fail2ban.log` that other tools read, with its logger and level.
//!
//! `recidive` and log watchers parse these texts: they are an interface (behaviour spec 7.6).

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use crate::formula::FormulaError;
use crate::growth::Weight;
use crate::{FailureId, JailName, Offender, Timestamp, Until};

/// Fail2Ban's levels, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// 5
    HeavyDebug,
    /// 7
    TraceDebug,
    /// 10
    Debug,
    /// 18
    Msg,
    /// 20
    Info,
    /// 25
    Notice,
    /// 30
    Warning,
    /// 40
    Error,
    /// 50
    Critical,
}

/// A line for `fail2ban.log` that a decision caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The jail it is about.
    pub jail: JailName,
    /// What happened.
    pub event: Event,
}

/// What a decision has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A failure was counted.
    Found(FailureId, Timestamp),
    /// A failure of somebody who was banned so often before counts for more.
    FoundBad {
        /// Who.
        id: FailureId,
        /// When, by the log.
        at: Timestamp,
        /// How many bans there were.
        count: u32,
        /// For how many failures it counts.
        weight: Weight,
        /// It is enough by itself.
        enough: bool,
    },
    /// Who is banned was banned before.
    KnownOffender {
        /// Who.
        id: FailureId,
        /// The bans before.
        before: Offender,
        /// How long the jail bans, and how long this ban is to last.
        spans: (Box<str>, Box<str>),
    },
    /// The ban lasts longer than the jail bans.
    Increase {
        /// Who.
        id: FailureId,
        /// Which ban it is.
        count: u32,
        /// How long it lasts.
        span: Box<str>,
        /// When it ends.
        until: Until,
    },
    /// How long a ban is to last could not be computed.
    NoGrowth(FailureId, FormulaError),
    /// Failures were reported by hand (`set JAIL attempt`).
    Attempt(FailureId, Timestamp),
    /// An id is ignored; the text says by which rule (`ip`, `dns`, `command`, `ignoreself rule`).
    Ignore(FailureId, &'static str),
    /// An id is ignored because a file named in `ignoreip` has it; the path.
    IgnoreFile(FailureId, Box<str>),
    /// The ban would have ended already.
    Expired(FailureId),
    /// An operator bans an id that the jail ignores.
    BanOfIgnored(FailureId),
    /// A ban began.
    Ban(FailureId),
    /// An id was to be banned and is; the level rises with the age of the ban.
    AlreadyBanned(FailureId, Level),
    /// A ban of an earlier run was taken up again.
    RestoreBan(FailureId),
    /// A ban was set up again by an action, the name of which follows.
    Reban(FailureId, Box<str>),
    /// A ban ended.
    Unban(FailureId),
    /// A ban was lifted because its jail stops.
    RepealBan(FailureId),
    /// All bans of the jail are lifted at once by an action, the name of which follows.
    Flush(Box<str>),
}

const FILTER: &str = "fail2ban.filter";
const ACTIONS: &str = "fail2ban.actions";
const OBSERVER: &str = "fail2ban.observer";

impl Event {
    /// The logger of its line, and the level.
    pub fn origin(&self) -> (&'static str, Level) {
        use Level::{Error, Info, Notice, Warning};
        match self {
            Self::Found(..) | Self::Attempt(..) | Self::Ignore(..) | Self::IgnoreFile(..) => (FILTER, Info),
            Self::FoundBad { .. } | Self::KnownOffender { .. } => (OBSERVER, Info),
            Self::Increase { .. } => (OBSERVER, Notice),
            Self::NoGrowth(..) => (OBSERVER, Error),
            Self::Expired(_) => (ACTIONS, Info),
            Self::BanOfIgnored(_) => (FILTER, Warning),
            Self::AlreadyBanned(_, level) => (ACTIONS, *level),
            Self::Ban(_)
            | Self::RestoreBan(_)
            | Self::Reban(..)
            | Self::Unban(_)
            | Self::RepealBan(_)
            | Self::Flush(_) => (ACTIONS, Notice),
        }
    }
}

/// Appends what a log line says.
///
/// `local` appends a time as `YYYY-mm-dd HH:MM:SS` in the zone of the host. The texts are Fail2Ban's; control characters in
/// ids, which an attacker may have put there, are written as `\u{1b}`.
pub fn render(line: &LogLine, text: &mut String, local: &mut dyn FnMut(&mut String, Timestamp)) {
    text.push('[');
    text.push_str(line.jail.as_str());
    text.push_str("] ");
    match &line.event {
        Event::Found(id, at) => about(text, ["Found ", " - "], id, *at, local),
        Event::FoundBad {
            id,
            at,
            count,
            weight,
            enough,
        } => {
            about(text, ["Found ", ", bad - "], id, *at, local);
            let enough = if *enough { ", Ban" } else { "" };
            push(text, format_args!(", {count} # -> {weight}{enough}"));
        }
        Event::KnownOffender { id, before, spans } => {
            let Offender { count, last } = before;
            said(text, "IP ", id, "");
            push(text, format_args!(" is bad: {count} # last "));
            local(text, *last);
            push(text, format_args!(" - incr {} to {}", spans.0, spans.1));
        }
        Event::Increase { id, count, span, until } => {
            said(text, "Increase Ban ", id, "");
            push(text, format_args!(" ({count} # {span} -> "));
            match until {
                Until::At(end) => local(text, *end),
                Until::Forever => text.push_str("infinite"),
            }
            text.push(')');
        }
        Event::NoGrowth(id, error) => {
            said(text, "bantime.formula gives no time for the ban of ", id, "");
            push(
                text,
                format_args!(", which lasts `bantime`; why: {error}; mend: correct the formula"),
            );
        }
        Event::Attempt(id, at) => about(text, ["Attempt ", " - "], id, *at, local),
        Event::Ignore(id, rule) => {
            said(text, "Ignore ", id, " by ");
            text.push_str(rule);
        }
        Event::IgnoreFile(id, path) => {
            said(text, "Ignore ", id, " by file:/");
            text.push_str(path);
        }
        Event::Expired(id) => said(text, "Ignore ", id, ", expired bantime"),
        Event::BanOfIgnored(id) => said(
            text,
            "",
            id,
            " is to be ignored, and was banned all the same: an operator asked for it",
        ),
        Event::Ban(id) => said(text, "Ban ", id, ""),
        Event::AlreadyBanned(id, _) => said(text, "", id, " already banned"),
        Event::RestoreBan(id) => said(text, "Restore Ban ", id, ""),
        Event::Reban(id, action) => {
            said(text, "Reban ", id, ", action '");
            text.push_str(action);
            text.push('\'');
        }
        Event::Unban(id) => said(text, "Unban ", id, ""),
        Event::RepealBan(id) => said(text, "Repeal Ban ", id, ""),
        Event::Flush(action) => {
            text.push_str("Flush ticket(s) with ");
            text.push_str(action);
        }
    }
}

fn push(text: &mut String, what: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(what);
}

fn said(text: &mut String, before: &str, id: &FailureId, behind: &str) {
    text.push_str(before);
    push_shown(text, id);
    text.push_str(behind);
}

fn about(
    text: &mut String,
    [before, behind]: [&str; 2],
    id: &FailureId,
    at: Timestamp,
    local: &mut dyn FnMut(&mut String, Timestamp),
) {
    said(text, before, id, behind);
    local(text, at);
}

/// Whether a character of foreign text would deceive whoever reads it: it moves the cursor, ends a line for some programs, or changes the
/// direction of what follows.
pub fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn push_shown(text: &mut String, id: &FailureId) {
    let whole = match id {
        FailureId::Addr(IpAddr::V4(address)) => return push_address(text, *address),
        FailureId::Addr(_) | FailureId::Net(_) => return push(text, format_args!("{id}")),
        FailureId::Text(whole) => whole,
    };
    let mut rest = whole.chars().peekable();
    while let Some(character) = rest.next() {
        // `x] Ban 192.0.2.1` would be read as the ban of somebody else by those who read this log, as `recidive` does.
        let ends_jail = character == ']' && rest.peek().is_some_and(|next| next.is_whitespace());
        if ends_jail {
            text.extend(character.escape_unicode());
        } else if misleads(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
}

/// As it is displayed, without the machinery for that: most lines have an address.
fn push_address(text: &mut String, address: Ipv4Addr) {
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        for (digit, least) in [(octet / 100, 100), (octet / 10 % 10, 10), (octet % 10, 0)] {
            if octet >= least {
                text.push(char::from(b'0' + digit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(line: &LogLine, date: &str) -> String {
        let mut text = String::new();
        render(line, &mut text, &mut |text, _| text.push_str(date));
        text
    }

    #[test]
    fn an_address_is_written_as_it_is_displayed() {
        for number in (0..=u32::MAX).step_by(65_521) {
            let address = Ipv4Addr::from(number);
            let mut text = String::new();
            push_address(&mut text, address);
            assert_eq!(text, address.to_string());
        }
        for octet in 0..=255 {
            let address = Ipv4Addr::new(octet, 0, octet, 99);
            let mut text = String::new();
            push_address(&mut text, address);
            assert_eq!(text, address.to_string());
        }
    }

    #[test]
    fn lines_read_as_fail2ban_writes_them() {
        let jail = JailName::new("jp").unwrap();
        let id = || FailureId::parse("198.51.100.7");
        let at = Timestamp::from_secs(0);
        for (event, logger, level, text) in [
            (
                Event::Found(id(), at),
                FILTER,
                Level::Info,
                "[jp] Found 198.51.100.7 - 2026-11-22 14:07:54",
            ),
            (
                Event::Attempt(id(), at),
                FILTER,
                Level::Info,
                "[jp] Attempt 198.51.100.7 - 2026-11-22 14:07:54",
            ),
            (
                Event::Ignore(id(), "ip"),
                FILTER,
                Level::Info,
                "[jp] Ignore 198.51.100.7 by ip",
            ),
            (
                Event::Expired(id()),
                ACTIONS,
                Level::Info,
                "[jp] Ignore 198.51.100.7, expired bantime",
            ),
            (Event::Ban(id()), ACTIONS, Level::Notice, "[jp] Ban 198.51.100.7"),
            (Event::Unban(id()), ACTIONS, Level::Notice, "[jp] Unban 198.51.100.7"),
            (
                Event::RestoreBan(id()),
                ACTIONS,
                Level::Notice,
                "[jp] Restore Ban 198.51.100.7",
            ),
            (
                Event::RepealBan(id()),
                ACTIONS,
                Level::Notice,
                "[jp] Repeal Ban 198.51.100.7",
            ),
            (
                Event::Reban(id(), "a".into()),
                ACTIONS,
                Level::Notice,
                "[jp] Reban 198.51.100.7, action 'a'",
            ),
            (
                Event::AlreadyBanned(id(), Level::Warning),
                ACTIONS,
                Level::Warning,
                "[jp] 198.51.100.7 already banned",
            ),
        ] {
            let line = LogLine {
                jail: jail.clone(),
                event,
            };
            assert_eq!(line.event.origin(), (logger, level));
            assert_eq!(rendered(&line, "2026-11-22 14:07:54"), text);
        }
    }

    #[test]
    fn an_id_cannot_turn_the_direction_of_the_line_it_stands_in() {
        let line = LogLine {
            jail: JailName::new("j").unwrap(),
            event: Event::Found(
                FailureId::Text("a\u{202e}b\u{2028}c ä [d]".into()),
                Timestamp::from_secs(0),
            ),
        };
        assert_eq!(rendered(&line, "now"), "[j] Found a\\u{202e}b\\u{2028}c ä [d] - now");
    }

    #[test]
    fn an_id_cannot_forge_a_second_line() {
        let id = FailureId::Text("x\n2026-11-22 14:07:54 [1]: NOTICE  [sshd] Ban 192.0.2.1\u{1b}[2J".into());
        let line = LogLine {
            jail: JailName::new("j").unwrap(),
            event: Event::Ban(id),
        };
        assert_eq!(
            rendered(&line, ""),
            "[j] Ban x\\n2026-11-22 14:07:54 [1]: NOTICE  [sshd\\u{5d} Ban 192.0.2.1\\u{1b}[2J"
        );
    }
}

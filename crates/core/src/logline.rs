//! Every line of `fail2ban.log` that other tools read, with its logger and level.
//!
//! `recidive` and log watchers parse these texts: they are an interface (behaviour spec 7.6).

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

/// A log line as text: its logger, its level and what it says.
///
/// `local` writes a time as `YYYY-mm-dd HH:MM:SS` in the zone of the host. The texts are Fail2Ban's; control characters in
/// ids, which an attacker may have put there, are written as `\u{1b}`.
pub fn render(line: &LogLine, local: &dyn Fn(Timestamp) -> String) -> (&'static str, Level, String) {
    use Level::{Error, Info, Notice, Warning};
    let (logger, level, text) = match &line.event {
        Event::Found(id, at) => (FILTER, Info, format!("Found {} - {}", shown(id), local(*at))),
        Event::FoundBad {
            id,
            at,
            count,
            weight,
            enough,
        } => {
            let (id, at, enough) = (shown(id), local(*at), if *enough { ", Ban" } else { "" });
            let text = format!("Found {id}, bad - {at}, {count} # -> {weight}{enough}");
            (OBSERVER, Info, text)
        }
        Event::KnownOffender { id, before, spans } => {
            let Offender { count, last } = before;
            let (id, last) = (shown(id), local(*last));
            let text = format!(
                "IP {id} is bad: {count} # last {last} - incr {} to {}",
                spans.0, spans.1
            );
            (OBSERVER, Info, text)
        }
        Event::Increase { id, count, span, until } => {
            let end = match until {
                Until::At(end) => local(*end),
                Until::Forever => "infinite".to_owned(),
            };
            let text = format!("Increase Ban {} ({count} # {span} -> {end})", shown(id));
            (OBSERVER, Notice, text)
        }
        Event::NoGrowth(id, error) => {
            let text = format!(
                "bantime.formula gives no time for the ban of {}, which lasts `bantime`; why: {error}; mend: correct the formula",
                shown(id)
            );
            (OBSERVER, Error, text)
        }
        Event::Attempt(id, at) => (FILTER, Info, format!("Attempt {} - {}", shown(id), local(*at))),
        Event::Ignore(id, rule) => (FILTER, Info, format!("Ignore {} by {rule}", shown(id))),
        Event::IgnoreFile(id, path) => (FILTER, Info, format!("Ignore {} by file:/{path}", shown(id))),
        Event::Expired(id) => (ACTIONS, Info, format!("Ignore {}, expired bantime", shown(id))),
        Event::BanOfIgnored(id) => (
            FILTER,
            Warning,
            format!(
                "{} is to be ignored, and was banned all the same: an operator asked for it",
                shown(id)
            ),
        ),
        Event::Ban(id) => (ACTIONS, Notice, format!("Ban {}", shown(id))),
        Event::AlreadyBanned(id, level) => (ACTIONS, *level, format!("{} already banned", shown(id))),
        Event::RestoreBan(id) => (ACTIONS, Notice, format!("Restore Ban {}", shown(id))),
        Event::Reban(id, action) => (ACTIONS, Notice, format!("Reban {}, action '{action}'", shown(id))),
        Event::Unban(id) => (ACTIONS, Notice, format!("Unban {}", shown(id))),
        Event::RepealBan(id) => (ACTIONS, Notice, format!("Repeal Ban {}", shown(id))),
        Event::Flush(action) => (ACTIONS, Notice, format!("Flush ticket(s) with {action}")),
    };
    (logger, level, format!("[{}] {text}", line.jail))
}

/// Whether a character of foreign text would deceive whoever reads it: it moves the cursor, ends a line for some programs, or changes the
/// direction of what follows.
pub fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn shown(id: &FailureId) -> String {
    let whole = match id {
        FailureId::Addr(_) | FailureId::Net(_) => return id.to_string(),
        FailureId::Text(text) => text,
    };
    let mut text = String::new();
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
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let local = |_| "2026-11-22 14:07:54".to_owned();
            assert_eq!(render(&line, &local), (logger, level, text.to_owned()));
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
        let (_, _, text) = render(&line, &|_| "now".to_owned());
        assert_eq!(text, "[j] Found a\\u{202e}b\\u{2028}c ä [d] - now");
    }

    #[test]
    fn an_id_cannot_forge_a_second_line() {
        let id = FailureId::Text("x\n2026-11-22 14:07:54 [1]: NOTICE  [sshd] Ban 192.0.2.1\u{1b}[2J".into());
        let line = LogLine {
            jail: JailName::new("j").unwrap(),
            event: Event::Ban(id),
        };
        let (_, _, text) = render(&line, &|_| String::new());
        assert_eq!(
            text,
            "[j] Ban x\\n2026-11-22 14:07:54 [1]: NOTICE  [sshd\\u{5d} Ban 192.0.2.1\\u{1b}[2J"
        );
    }
}

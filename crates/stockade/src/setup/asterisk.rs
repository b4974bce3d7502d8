//! What Asterisk writes where, by its `logger.conf`.

use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory};

const FOLDER: &str = "/var/log/asterisk";

/// What `logger.conf` says.
#[derive(Default)]
pub(super) struct Logger {
    pub(super) dateformat: Option<String>,
    /// Files with their levels.
    files: Vec<(String, Vec<String>)>,
}

/// A jail that `logger.conf` asks for: its name and what is to be set besides `enabled`.
pub(super) struct Choice {
    pub(super) jail: &'static str,
    pub(super) options: Vec<(String, String)>,
    pub(super) why: String,
}

impl Logger {
    pub(super) fn read(text: &str) -> Self {
        let mut logger = Self::default();
        let mut section = "";
        for line in text.lines() {
            let line = line.split(';').next().unwrap_or_default().trim();
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                section = name;
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim_start_matches('>').trim());
            match section {
                "general" if name == "dateformat" => logger.dateformat = Some(value.to_owned()),
                "logfiles" if !matches!(name, "console") && !name.starts_with("syslog.") => {
                    // `[json]` or `[plain]` may stand before the levels.
                    let levels = value.rsplit(']').next().unwrap_or_default().split(',');
                    let levels = levels.map(|level| level.trim().to_lowercase()).collect();
                    let path = if name.starts_with('/') {
                        name.to_owned()
                    } else {
                        format!("{FOLDER}/{name}")
                    };
                    logger.files.push((path, levels));
                }
                _ => {}
            }
        }
        logger
    }

    fn file_with(&self, level: &str) -> Option<&(String, Vec<String>)> {
        let has = |levels: &[String]| levels.iter().any(|known| known == level || known == "*");
        let mut files: Vec<_> = self.files.iter().filter(|(_, levels)| has(levels)).collect();
        // `messages` goes before `full`, which holds much besides.
        files.sort_by_key(|(path, _)| path.contains("full"));
        files.first().copied()
    }

    /// What is to be added so that all failed logins are told; `None` if nothing is.
    pub(super) fn lack(&self) -> Option<&'static str> {
        match (self.file_with("notice"), self.file_with("security")) {
            (None, None) => Some(
                "logger.conf writes no notices to a file; mend: `messages => notice,warning,error,security` in its [logfiles], \
                 then asterisk -rx 'logger reload'",
            ),
            (Some(_), None) => Some(
                "no file has the level `security`, which also names callers with a wrong password; mend: add it to the file's levels, \
                 then asterisk -rx 'logger reload'",
            ),
            _ => None,
        }
    }

    /// The jails for these files: one that reads the notices, one that reads a security channel of its own.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        let notice = self.file_with("notice");
        let security = self.file_with("security");
        if let Some((path, levels)) = notice {
            let is_full = path.rsplit('/').next().is_some_and(|name| name.starts_with("full"));
            let jail = if is_full { "asterisk-full" } else { "asterisk" };
            let both = levels.iter().any(|level| level == "security" || level == "*");
            let mut options = vec![("logpath".to_owned(), path.clone())];
            if both {
                options.push(("logging".to_owned(), "both".to_owned()));
            }
            let what = if both {
                "notices and the security channel"
            } else {
                "notices"
            };
            choices.push(Choice {
                jail,
                options,
                why: format!("logger.conf writes {what} to {path}"),
            });
        }
        if let Some((path, _)) = security.filter(|file| notice.is_none_or(|notice| notice.0 != file.0)) {
            choices.push(Choice {
                jail: "asterisk-security",
                options: vec![("logpath".to_owned(), path.clone())],
                why: format!("logger.conf writes the security channel to {path}"),
            });
        }
        choices
    }
}

/// Whether the dates that a `dateformat` makes are read as what they are.
pub(super) fn is_read(dateformat: &str) -> bool {
    // Asterisk's `%q` are parts of a second.
    let format = dateformat
        .replace("%3q", "123")
        .replace("%6q", "123456")
        .replace("%q", "123");
    let Ok(now) = jiff::Timestamp::from_second(1_795_354_804) else {
        return false;
    };
    let Ok(date) = jiff::fmt::strtime::format(&format, &now.to_zoned(jiff::tz::TimeZone::UTC)) else {
        return false;
    };
    let settings = FilterSettings {
        failregex: vec!["<ADDR>".to_owned()],
        ..FilterSettings::default()
    };
    let Ok(filter) = Filter::new(&settings, &jiff::tz::TimeZone::UTC) else {
        return false;
    };
    let clock = Clock {
        now: Timestamp::from_secs(now.as_second() + 3600),
        in_operation: true,
        findtime: 0,
    };
    let line = format!("[{date}] NOTICE[1] chan_sip.c: 192.0.2.1");
    let seen = filter.examine(line.as_bytes(), clock, &mut Memory::default(), false);
    let time = seen.date.and_then(|date| date.time);
    time.is_some_and(|time| time.micros() / 1_000_000 == now.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_jail_reads_the_notices_and_one_a_security_file_of_its_own() {
        for (text, expected) in [
            (
                "[logfiles]\nconsole => notice\nmessages => notice,warning\nfull => notice,debug ; all\n",
                vec!["asterisk"],
            ),
            (
                "[logfiles]\nfull => notice\nsecurity => security\n",
                vec!["asterisk-full", "asterisk-security"],
            ),
            ("[logfiles]\nmessages.log => [json]notice,security\n", vec!["asterisk"]),
            ("[logfiles]\n;messages => notice\n", vec![]),
        ] {
            let choices = Logger::read(text).choices();
            let jails: Vec<&str> = choices.iter().map(|choice| choice.jail).collect();
            assert_eq!(jails, expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_logged_is_told() {
        for (text, lack) in [
            ("[logfiles]\nconsole => notice\n", Some("no notices")),
            (
                "[logfiles]\nmessages => notice,error\n",
                Some("no file has the level `security`"),
            ),
            ("[logfiles]\nmessages => notice\nsecurity => security\n", None),
            ("[logfiles]\nfull => *\n", None),
        ] {
            let found = Logger::read(text).lack();
            assert_eq!(found.is_some(), lack.is_some(), "{text}");
            assert!(found.is_none_or(|found| found.contains(lack.unwrap())), "{text}");
        }
    }

    #[test]
    fn a_dateformat_is_good_if_its_dates_are_read() {
        for (format, good) in [
            ("%b %e %T", true),
            ("%F %T", true),
            ("%F %T.%3q", true),
            ("%H:%M", false),
            ("week %U", false),
        ] {
            assert_eq!(is_read(format), good, "{format}");
        }
    }
}

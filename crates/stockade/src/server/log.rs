//! `fail2ban.log`, or wherever `logtarget` points, in Fail2Ban's format (behaviour spec 7.6).
//!
//! Every thread logs, so the target stands behind a lock; a channel would let a crash lose the lines that explain it.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::tz::TimeZone;
use stockade_core::Timestamp;
use stockade_core::logline::Level;

/// Facility `daemon` of syslog, shifted as the protocol wants it.
const SYSLOG_DAEMON: u8 = 3 << 3;

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file.
    File(PathBuf),
    /// Standard output, with date.
    Stdout,
    /// Standard error, with date.
    Stderr,
    /// Standard output without date, for a supervisor that adds its own.
    Sysout,
    /// The system's logger by its socket.
    Syslog,
}

impl Target {
    /// Reads a `logtarget`. Options in brackets (`[facility=…]`) are refused with a mend.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some((name, options)) = text.split_once('[') {
            return Err(format!(
                "`logtarget` options are not supported yet: `[{options}`; mend: logtarget = {}",
                name.trim_end()
            ));
        }
        match text.to_ascii_uppercase().as_str() {
            "" => Err("`logtarget` is empty; mend: logtarget = /var/log/fail2ban.log".to_owned()),
            "STDOUT" => Ok(Self::Stdout),
            "STDERR" => Ok(Self::Stderr),
            "SYSOUT" => Ok(Self::Sysout),
            "SYSLOG" => Ok(Self::Syslog),
            "SYSTEMD-JOURNAL" => Err(
                "`logtarget = SYSTEMD-JOURNAL` is not supported yet; mend: logtarget = SYSOUT under systemd".to_owned(),
            ),
            _ => Ok(Self::File(text.into())),
        }
    }

    /// As `get logtarget` shows it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdout => "STDOUT".into(),
            Self::Stderr => "STDERR".into(),
            Self::Sysout => "SYSOUT".into(),
            Self::Syslog => "SYSLOG".into(),
        }
    }
}

/// The log: level, target, and the zone its dates are in.
pub(crate) struct Log {
    level: AtomicU8,
    zone: TimeZone,
    sink: Mutex<Sink>,
}

struct Sink {
    target: Target,
    handle: Handle,
    line: String,
}

enum Handle {
    File(File),
    Stdout,
    Stderr,
    Syslog(UnixDatagram),
}

impl Log {
    /// Opens a log. Fails if the target cannot be written.
    pub(crate) fn open(target: Target, level: Level, zone: TimeZone) -> Result<Self, String> {
        let handle = open(&target)?;
        Ok(Self {
            level: AtomicU8::new(rank(level)),
            zone,
            sink: Mutex::new(Sink {
                target,
                handle,
                line: String::new(),
            }),
        })
    }

    /// The zone of dates in the log and of times in `Found …` lines.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The level below which nothing is written.
    pub(crate) fn level(&self) -> Level {
        LEVELS
            .iter()
            .map(|(_, level, _)| *level)
            .find(|level| rank(*level) == self.level.load(Ordering::Relaxed))
            .unwrap_or(Level::Info)
    }

    /// Sets the level.
    pub(crate) fn set_level(&self, level: Level) {
        self.level.store(rank(level), Ordering::Relaxed);
    }

    /// The current target.
    pub(crate) fn target(&self) -> Target {
        self.lock().target.clone()
    }

    /// Changes the target; the old one stays if the new one cannot be opened.
    pub(crate) fn set_target(&self, target: Target) -> Result<(), String> {
        let handle = open(&target)?;
        let mut sink = self.lock();
        sink.handle = handle;
        sink.target = target;
        Ok(())
    }

    /// Opens the file anew after it was rotated away; `true` if the target is a file.
    pub(crate) fn reopen(&self) -> Result<bool, String> {
        let target = self.target();
        let is_file = matches!(target, Target::File(_));
        if is_file {
            self.set_target(target)?;
        }
        Ok(is_file)
    }

    /// Writes one line. `logger` is Fail2Ban's name for the part that speaks, `fail2ban.actions` for bans.
    pub(crate) fn write(&self, level: Level, logger: &str, text: &str) {
        if rank(level) < self.level.load(Ordering::Relaxed) {
            return;
        }
        let now = crate::server::now();
        let mut sink = self.lock();
        let Sink { target, handle, line } = &mut *sink;
        line.clear();
        let pid = std::process::id();
        let name = level_name(level);
        match target {
            Target::Syslog => {
                let severity = syslog_severity(level);
                let _ = write!(
                    line,
                    "<{}>fail2ban[{pid}]: {logger} [{pid}]: {name} ",
                    SYSLOG_DAEMON | severity
                );
            }
            Target::Sysout => {
                let _ = write!(line, "{logger:<24}[{pid}]: {name:<7} ");
            }
            Target::File(_) | Target::Stdout | Target::Stderr => {
                let milliseconds = now.subsec_micros() / 1000;
                let _ = write!(
                    line,
                    "{},{milliseconds:03} {logger:<24}[{pid}]: {name:<7} ",
                    local(now, &self.zone)
                );
            }
        }
        push_visible(line, text);
        line.push('\n');
        // A log that cannot be written (disk full, reader gone) must not end protection; there is nobody left to tell.
        let _ = handle.write(line.as_bytes());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Handle {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(line),
            Self::Stdout => io::stdout().lock().write_all(line).and_then(|()| io::stdout().flush()),
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::Syslog(socket) => socket.send(line.strip_suffix(b"\n").unwrap_or(line)).map(drop),
        }
    }
}

fn open(target: &Target) -> Result<Handle, String> {
    Ok(match target {
        Target::File(path) => Handle::File(open_file(path)?),
        Target::Stdout | Target::Sysout => Handle::Stdout,
        Target::Stderr => Handle::Stderr,
        Target::Syslog => {
            let path = "/dev/log";
            let socket = UnixDatagram::unbound()
                .and_then(|socket| socket.connect(path).map(|()| socket))
                .map_err(|error| {
                    format!("logtarget SYSLOG: {path}: {error}; mend: start a syslog daemon or set logtarget to a file")
                })?;
            Handle::Syslog(socket)
        }
    })
}

fn open_file(path: &Path) -> Result<File, String> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| {
            let mend = match path.parent() {
                Some(parent) if !parent.exists() => format!("mkdir -p {}", parent.display()),
                _ => "set logtarget to a file that can be written".to_owned(),
            };
            format!("logtarget {}: {error}; mend: {mend}", path.display())
        })
}

/// Shows control characters instead of sending them to whoever reads the log; newlines are kept as Fail2Ban does for multi-line messages
/// only when they come from us, and text from logs is escaped before it gets here, so a newline is shown too.
fn push_visible(line: &mut String, text: &str) {
    for c in text.chars() {
        if c == '\n' {
            line.push_str("\\n");
        } else if c.is_control() {
            let _ = write!(line, "\\x{:02x}", c as u32);
        } else if stockade_core::logline::misleads(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
}

/// `2026-11-22 14:07:54` in a zone.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(at.micros()) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.secs().to_string(),
    }
}

/// Fail2Ban's level names with its numbers.
const LEVELS: &[(&str, Level, u8)] = &[
    ("HEAVYDEBUG", Level::HeavyDebug, 5),
    ("TRACEDEBUG", Level::TraceDebug, 7),
    ("DEBUG", Level::Debug, 10),
    ("MSG", Level::Msg, 18),
    ("INFO", Level::Info, 20),
    ("NOTICE", Level::Notice, 25),
    ("WARNING", Level::Warning, 30),
    ("ERROR", Level::Error, 40),
    ("CRITICAL", Level::Critical, 50),
];

/// A level by its name (any case) or number.
pub(crate) fn parse_level(text: &str) -> Option<Level> {
    let upper = text.to_ascii_uppercase();
    LEVELS
        .iter()
        .find(|(name, _, number)| *name == upper || number.to_string() == upper)
        .map(|(_, level, _)| *level)
}

/// A level's name.
pub(crate) fn level_name(level: Level) -> &'static str {
    LEVELS
        .iter()
        .find(|(_, other, _)| *other == level)
        .map_or("INFO", |(name, ..)| name)
}

fn rank(level: Level) -> u8 {
    LEVELS
        .iter()
        .find(|(_, other, _)| *other == level)
        .map_or(20, |(.., number)| *number)
}

fn syslog_severity(level: Level) -> u8 {
    match level {
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info | Level::Msg => 6,
        Level::Debug | Level::TraceDebug | Level::HeavyDebug => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_format_that_log_watchers_parse() {
        let path = std::env::temp_dir().join(format!("stockade-log-{}", std::process::id()));
        let log = Log::open(Target::File(path.clone()), Level::Info, TimeZone::UTC).unwrap();
        log.write(Level::Notice, "fail2ban.actions", "[sshd] Ban 192.0.2.7");
        log.write(Level::Debug, "fail2ban.filter", "not shown");
        log.write(Level::Error, "fail2ban.filter", "a\x1b[2Jb\nc");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [ban, hostile] = lines.as_slice() else {
            panic!("{text}")
        };
        let pid = std::process::id();
        assert_eq!(
            &ban[23..],
            format!(" fail2ban.actions        [{pid}]: NOTICE  [sshd] Ban 192.0.2.7")
        );
        assert!(ban.as_bytes()[19] == b',' && ban.as_bytes()[10] == b' ', "{ban}");
        assert!(hostile.ends_with("ERROR   a\\x1b[2Jb\\nc"), "{hostile}");
    }

    #[test]
    fn knows_fail2bans_targets_and_levels() {
        assert_eq!(Target::parse("stdout"), Ok(Target::Stdout));
        assert_eq!(
            Target::parse("/var/log/fail2ban.log"),
            Ok(Target::File("/var/log/fail2ban.log".into()))
        );
        assert!(Target::parse("SYSLOG[facility=auth]").is_err());
        assert_eq!(parse_level("notice"), Some(Level::Notice));
        assert_eq!(parse_level("20"), Some(Level::Info));
        assert_eq!(parse_level("bogus"), None);
    }
}

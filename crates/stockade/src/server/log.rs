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
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use stockade_core::Timestamp;
use stockade_core::logline::Level;

/// Facility `daemon` of syslog, shifted as the protocol wants it.
const SYSLOG_DAEMON: u8 = 3 << 3;

/// A reader of our output that takes nothing is waited for so long, all threads with it; then lines are lost until it reads again, as bans
/// must not wait for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pipe that has room takes so much without waiting.
const PIPE_BYTES: usize = 4096;

/// The system's logger.
const SYSLOG_SOCKET: &str = "/dev/log";

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
    /// Lines that could not be written since the last one that could.
    lost: u64,
    /// The last line was written in part.
    torn: bool,
}

enum Handle {
    /// A regular file, or a device or pipe, which may keep a writer waiting.
    File {
        file: File,
        regular: bool,
    },
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
                lost: 0,
                torn: false,
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
        let mut sink = self.lock();
        sink.log(level, logger, text, &self.zone);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Sink {
    fn log(&mut self, level: Level, logger: &str, text: &str, zone: &TimeZone) {
        // A log that cannot be written (disk full, nobody reads) must not end protection; how much is missing is told once it can be.
        let patience = if self.lost == 0 { PATIENCE } else { Duration::ZERO };
        if self.lost > 0 {
            let text = format!(
                "{} lines of this log are missing here: it could not be written",
                self.lost
            );
            if self.write(Level::Warning, "fail2ban.server", &text, zone, patience) {
                self.lost = 0;
            }
        }
        if self.lost > 0 || !self.write(level, logger, text, zone, patience) {
            self.lost = self.lost.saturating_add(1);
        }
    }

    fn write(&mut self, level: Level, logger: &str, text: &str, zone: &TimeZone, patience: Duration) -> bool {
        self.compose(level, logger, text, zone);
        match self.handle.write(self.line.as_bytes(), patience) {
            Ok(()) => {
                self.torn = false;
                true
            }
            Err(written) => {
                self.torn = if written == 0 {
                    self.torn
                } else {
                    written < self.line.len()
                };
                false
            }
        }
    }

    fn compose(&mut self, level: Level, logger: &str, text: &str, zone: &TimeZone) {
        let now = crate::server::now();
        let Self { target, line, torn, .. } = self;
        line.clear();
        if *torn {
            // What follows must not be taken for the rest of another line.
            line.push('\n');
        }
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
                    local(now, zone)
                );
            }
        }
        push_visible(line, text);
        line.push('\n');
    }
}

impl Handle {
    /// Writes a line; if that fails, how much of it was written.
    fn write(&mut self, line: &[u8], patience: Duration) -> Result<(), usize> {
        match self {
            Self::File { file, regular: true } => whole(line, |rest| file.write(rest)),
            Self::File { file, .. } => patiently(file, line, patience),
            Self::Stdout => patiently(io::stdout(), line, patience),
            Self::Stderr => patiently(io::stderr(), line, patience),
            Self::Syslog(socket) => {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let sent = send(socket, line, patience);
                // The logger was started anew, or was not there for a while.
                let gone = sent
                    .as_ref()
                    .is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
                let sent = if gone && socket.connect(SYSLOG_SOCKET).is_ok() {
                    send(socket, line, patience)
                } else {
                    sent
                };
                sent.map_err(|_| 0)
            }
        }
    }
}

/// Writes all of a line, as `write_all` does, but tells how much was written.
fn whole(line: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> Result<(), usize> {
    let mut written = 0;
    while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
        match write(rest) {
            Ok(count @ 1..) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return Err(written),
        }
    }
    Ok(())
}

/// Writes to what may keep a writer waiting, but no longer than `patience` for the whole line.
///
/// The descriptor may be shared with others, so it is not made non-blocking; a pipe or terminal that is ready takes a small piece at once.
fn patiently(output: impl std::os::fd::AsFd, line: &[u8], patience: Duration) -> Result<(), usize> {
    let deadline = Instant::now() + patience;
    whole(line, |rest| {
        let left = deadline.saturating_duration_since(Instant::now());
        if !is_ready(&output, left)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let piece = rest.get(..PIPE_BYTES).unwrap_or(rest);
        Ok(rustix::io::write(&output, piece)?)
    })
}

fn send(socket: &UnixDatagram, line: &[u8], patience: Duration) -> io::Result<()> {
    match socket.send(line) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && !patience.is_zero() => {
            if is_ready(socket, patience)? {
                socket.send(line).map(drop)
            } else {
                Err(error)
            }
        }
        sent => sent.map(drop),
    }
}

fn is_ready(output: &impl std::os::fd::AsFd, patience: Duration) -> io::Result<bool> {
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    let mut outputs = [PollFd::new(output, PollFlags::OUT)];
    Ok(poll(&mut outputs, Some(&timeout))? > 0)
}

fn open(target: &Target) -> Result<Handle, String> {
    Ok(match target {
        Target::File(path) => {
            let file = open_file(path)?;
            let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
            Handle::File { file, regular }
        }
        Target::Stdout | Target::Sysout => Handle::Stdout,
        Target::Stderr => Handle::Stderr,
        Target::Syslog => {
            let socket = UnixDatagram::unbound()
                .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                .and_then(|socket| socket.connect(SYSLOG_SOCKET).map(|()| socket))
                .map_err(|error| {
                    format!("logtarget SYSLOG: {SYSLOG_SOCKET}: {error}; mend: start a syslog daemon or set logtarget to a file")
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
        // A pipe that nobody reads is an error, not something to wait for.
        .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0))
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
    fn a_line_that_was_written_in_part_is_ended_before_the_next() {
        let mut sink = Sink {
            target: Target::Stdout,
            handle: Handle::Stdout,
            line: String::new(),
            lost: 0,
            torn: true,
        };
        sink.compose(Level::Info, "x", "text", &TimeZone::UTC);
        assert!(sink.line.starts_with("\n20"), "{}", sink.line);
        let mut room = 10;
        let outcome = whole(b"a line of some length", |rest| {
            let count = rest.len().min(room);
            room -= count;
            Ok(count)
        });
        assert_eq!(outcome, Err(10));
    }

    #[test]
    fn a_reader_that_does_not_read_is_not_waited_for_long() {
        let (reader, writer) = io::pipe().unwrap();
        let begun = Instant::now();
        while patiently(&writer, &[b'x'; 10_000], Duration::from_millis(20)).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        let begun = Instant::now();
        assert!(patiently(&writer, b"line\n", Duration::ZERO).is_err());
        assert!(begun.elapsed() < Duration::from_secs(1));
        drop(reader);
        assert!(patiently(&writer, b"line\n", Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_pipe_nobody_reads_is_no_log() {
        let path = std::env::temp_dir().join(format!("stockade-fifo-{}", std::process::id()));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let opened = Log::open(Target::File(path.clone()), Level::Info, TimeZone::UTC);
        std::fs::remove_file(&path).unwrap();
        assert!(opened.is_err());
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

//! `fail2ban.log`, or wherever `logtarget` points (behaviour spec 7.6); how lines look there is in [`super::logtarget`].
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
use stockade_core::logline::{self, Level};
use stockade_core::{LogLine, Timestamp};

use super::heads::Heads;
use super::logtarget::{Place, Record, Target, thread_name};

/// A reader of our output that takes nothing is waited for so long, all threads with it; then lines are lost until it reads again, as bans
/// must not wait for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// So much is gathered at most before it is written.
const GATHERED_BYTES: usize = 16 << 10;

/// A pipe that has room takes so much without waiting.
const PIPE_BYTES: usize = 4096;

/// The system's logger, if `syslogsocket` names no other.
const SYSLOG_SOCKET: &str = "/dev/log";

/// Where the journal listens.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// A datagram of more is refused by the kernel's usual limits, so what is longer is cut.
const DATAGRAM: usize = 64 * 1024;

/// The log: level, target, and the zone its dates are in.
pub(crate) struct Log {
    /// The number below which nothing is written.
    level: AtomicU8,
    zone: TimeZone,
    sink: Mutex<Sink>,
}

struct Sink {
    target: Target,
    handle: Handle,
    /// `syslogsocket` as it was set.
    syslogsocket: String,
    /// `loglevel` as it was set.
    loglevel: String,
    dates: Dates,
    /// Of the times that lines tell.
    told: Dates,
    started: Timestamp,
    line: String,
    /// What the line says.
    text: String,
    heads: Heads,
    /// Lines that could not be written since the last one that could.
    lost: u64,
    /// The last line was written in part.
    torn: bool,
    /// While there is anybody who gathers, lines for a file are not written at once.
    gathering: usize,
    /// Those to be written.
    gathered: Vec<u8>,
}

enum Handle {
    /// A regular file, or a device or pipe, which may keep a writer waiting.
    File {
        file: File,
        regular: bool,
    },
    Stdout,
    Stderr,
    /// The system's logger or the journal, and where it listens.
    Datagrams(UnixDatagram, PathBuf),
}

impl Log {
    /// Opens a log. Fails if the target cannot be written.
    pub(crate) fn open(target: Target, syslogsocket: &str, loglevel: &str, zone: TimeZone) -> Result<Self, String> {
        let level =
            parse_level(loglevel).ok_or_else(|| format!("`loglevel` cannot be `{loglevel}`; mend: loglevel = INFO"))?;
        let handle = open(&target, syslogsocket)?;
        let dates = || Dates {
            zone: zone.clone(),
            minute: None,
        };
        Ok(Self {
            level: AtomicU8::new(level),
            sink: Mutex::new(Sink {
                target,
                handle,
                syslogsocket: syslogsocket.to_owned(),
                loglevel: loglevel.to_uppercase(),
                dates: dates(),
                told: dates(),
                started: crate::server::now(),
                line: String::new(),
                text: String::new(),
                heads: Heads::default(),
                lost: 0,
                torn: false,
                gathering: 0,
                gathered: Vec::new(),
            }),
            zone,
        })
    }

    /// The zone of dates in the log and of times in `Found …` lines.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// `loglevel` as it was set.
    pub(crate) fn level(&self) -> String {
        self.lock().loglevel.clone()
    }

    /// Sets the level, a name or a number; false if it is none.
    pub(crate) fn set_level(&self, loglevel: &str) -> bool {
        let Some(level) = parse_level(loglevel) else {
            return false;
        };
        self.level.store(level, Ordering::Relaxed);
        loglevel.clone_into(&mut self.lock().loglevel);
        true
    }

    /// The current target.
    pub(crate) fn target(&self) -> Target {
        self.lock().target.clone()
    }

    /// Changes the target; the old one stays if the new one cannot be opened.
    pub(crate) fn set_target(&self, target: Target) -> Result<(), String> {
        let mut sink = self.lock();
        sink.handle = open(&target, &sink.syslogsocket)?;
        sink.target = target;
        sink.heads = Heads::default();
        Ok(())
    }

    /// `syslogsocket` as it was set.
    pub(crate) fn syslog_socket(&self) -> String {
        self.lock().syslogsocket.clone()
    }

    /// Changes the socket of the system's logger; if that is in use, it has to be there.
    pub(crate) fn set_syslog_socket(&self, socket: String) -> Result<(), String> {
        let mut sink = self.lock();
        if sink.target.place == Place::Syslog && sink.syslogsocket != socket {
            sink.handle = open(&sink.target, &socket)?;
        }
        sink.syslogsocket = socket;
        Ok(())
    }

    /// The target with the socket behind it, as it is told when it changes.
    pub(crate) fn described(&self) -> String {
        let sink = self.lock();
        match &sink.handle {
            Handle::Datagrams(_, path) if sink.target.place == Place::Syslog => {
                format!("{} ({})", sink.target.shown(), path.display())
            }
            _ => sink.target.shown(),
        }
    }

    /// Opens the file anew after it was rotated away; `true` if the target is a file.
    pub(crate) fn reopen(&self) -> Result<bool, String> {
        let target = self.target();
        let is_file = matches!(target.place, Place::File(_));
        if is_file {
            self.set_target(target)?;
        }
        Ok(is_file)
    }

    /// Writes one line. `logger` is Fail2Ban's name for the part that speaks, `fail2ban.actions` for bans.
    pub(crate) fn write(&self, level: Level, logger: &str, text: &str) {
        if level_number(level) < self.level.load(Ordering::Relaxed) {
            return;
        }
        let mut sink = self.lock();
        sink.log(crate::server::now(), level, logger, text);
    }

    /// Writes what decisions have to tell, together.
    pub(crate) fn tell<'a>(&self, lines: impl IntoIterator<Item = &'a LogLine>) {
        let level = self.level.load(Ordering::Relaxed);
        let mut sink = self.lock();
        sink.gathering += 1;
        let now = crate::server::now();
        for line in lines {
            let (logger, of_line) = line.event.origin();
            if level_number(of_line) >= level {
                sink.tell(now, of_line, logger, line);
            }
        }
        sink.gathered();
    }

    /// While this lives, lines for a file are written in one piece at its end: a write for each costs more than what it tells of.
    pub(crate) fn gather(&self) -> Gathering<'_> {
        self.lock().gathering += 1;
        Gathering(self)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The time of [`Log::gather`].
pub(crate) struct Gathering<'a>(&'a Log);

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        self.0.lock().gathered();
    }
}

impl Sink {
    fn tell(&mut self, now: Timestamp, level: Level, logger: &str, line: &LogLine) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let told = &mut self.told;
        logline::render(line, &mut text, &mut |text, at| told.push(text, at));
        self.log(now, level, logger, &text);
        self.text = text;
    }

    /// Somebody has gathered what he wanted.
    fn gathered(&mut self) {
        self.gathering = self.gathering.saturating_sub(1);
        if self.gathering == 0 {
            self.write_gathered();
        }
    }

    fn log(&mut self, now: Timestamp, level: Level, logger: &str, text: &str) {
        // A log that cannot be written (disk full, nobody reads) must not end protection; how much is missing is told once it can be.
        let patience = if self.lost == 0 { PATIENCE } else { Duration::ZERO };
        if self.lost > 0 {
            let text = format!(
                "{} lines of this log are missing here: it could not be written",
                self.lost
            );
            if self.write(now, Level::Warning, "fail2ban.server", &text, patience) {
                self.lost = 0;
            }
        }
        if self.lost > 0 || !self.write(now, level, logger, text, patience) {
            self.lost = self.lost.saturating_add(1);
        }
    }

    fn write(&mut self, now: Timestamp, level: Level, logger: &str, text: &str, patience: Duration) -> bool {
        self.compose(now, level, logger, text);
        // What was lost is told before anything is gathered again.
        if self.gathering > 0 && self.lost == 0 && matches!(self.handle, Handle::File { regular: true, .. }) {
            self.torn = false;
            self.gathered.extend_from_slice(self.line.as_bytes());
            if self.gathered.len() >= GATHERED_BYTES {
                self.write_gathered();
            }
            return true;
        }
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

    fn write_gathered(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        if let Err(written) = self.handle.write(&self.gathered, PATIENCE) {
            let (there, missing) = self.gathered.split_at_checked(written).unwrap_or_default();
            // One that was written in part counts: its end is missing.
            let missing = memchr::memchr_iter(b'\n', missing.strip_prefix(b"\n").unwrap_or(missing)).count();
            self.lost = self.lost.saturating_add(u64::try_from(missing).unwrap_or(u64::MAX));
            self.torn = match there.last() {
                Some(last) => *last != b'\n',
                None => self.gathered.starts_with(b"\n"),
            };
        }
        self.gathered.clear();
    }

    fn compose(&mut self, now: Timestamp, level: Level, logger: &str, text: &str) {
        let Self {
            target,
            line,
            torn,
            dates,
            heads,
            ..
        } = self;
        line.clear();
        if *torn {
            // What follows must not be taken for the rest of another line.
            line.push('\n');
        }
        match target.place {
            Place::Syslog => {
                // Writing to a String cannot fail.
                let _ = write!(line, "<{}>", target.facility | syslog_severity(level));
            }
            Place::Journal => line.push_str("MESSAGE="),
            _ => {}
        }
        if let Some(head) = heads.get(now, level, logger) {
            line.push_str(head);
            push_visible(line, text);
        } else {
            let (mut date, mut visible) = (String::new(), String::new());
            dates.push(&mut date, now);
            push_visible(&mut visible, text);
            let begin = line.len();
            let record = Record {
                level,
                logger,
                text: &visible,
                now,
                date: &date,
                started: self.started,
            };
            target.compose(line, &record);
            if target.ends_with_text() && line.ends_with(&visible) {
                let end = line.len() - visible.len();
                heads.put(level, logger, line.get(begin..end).unwrap_or_default());
            }
        }
        match target.place {
            // As there, with the end of a text in C.
            Place::Syslog => line.push('\0'),
            Place::Journal => {
                let _ = write!(
                    line,
                    "\nPRIORITY={}\nLOGGER={logger}\nTHREAD_NAME={}\nPROCESS_NAME=MainProcess\nSYSLOG_IDENTIFIER=fail2ban\n",
                    journal_priority(level),
                    thread_name()
                );
            }
            _ => line.push('\n'),
        }
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
            Self::Datagrams(socket, path) => {
                let sent = send(socket, line, patience);
                // The logger was started anew, or was not there for a while.
                let gone = sent
                    .as_ref()
                    .is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
                let sent = if gone && socket.connect(path).is_ok() {
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
    let line = line.get(..DATAGRAM).unwrap_or(line);
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

fn open(target: &Target, syslogsocket: &str) -> Result<Handle, String> {
    Ok(match &target.place {
        Place::File(path) => {
            let file = open_file(path)?;
            let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
            Handle::File { file, regular }
        }
        Place::Stdout | Place::Sysout => Handle::Stdout,
        Place::Stderr => Handle::Stderr,
        Place::Syslog => {
            let auto = syslogsocket.is_empty() || syslogsocket.eq_ignore_ascii_case("auto");
            let path = if auto { SYSLOG_SOCKET } else { syslogsocket };
            connect(
                path,
                "SYSLOG",
                "start a syslog daemon, or set syslogsocket to its socket",
            )?
        }
        Place::Journal => connect(
            JOURNAL_SOCKET,
            "SYSTEMD-JOURNAL",
            "set logtarget to a file where there is no systemd-journald",
        )?,
    })
}

fn connect(path: &str, name: &str, mend: &str) -> Result<Handle, String> {
    UnixDatagram::unbound()
        .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        .and_then(|socket| socket.connect(path).map(|()| socket))
        .map(|socket| Handle::Datagrams(socket, path.into()))
        .map_err(|error| format!("logtarget {name}: {path}: {error}; mend: {mend}"))
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
    if is_plain(text) {
        line.push_str(text);
        return;
    }
    for c in text.chars() {
        if c == '\n' {
            line.push_str("\\n");
        } else if c.is_control() {
            let _ = write!(line, "\\x{:02x}", c as u32);
        } else if logline::misleads(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
}

/// Whether a text is ASCII without control characters; looks at eight bytes at a time.
fn is_plain(text: &str) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let (eights, rest) = text.as_bytes().as_chunks();
    // In a high bit: what has one; what is below a blank, or above such a one; DEL, or what has a high bit.
    let odd = |eight: &[u8; 8]| {
        let bytes = u64::from_le_bytes(*eight);
        (bytes | bytes.wrapping_sub(u64::from(b' ') * ONES) | bytes.wrapping_add(ONES)) & HIGH
    };
    eights.iter().all(|eight| odd(eight) == 0) && rest.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Dates of one zone as text. Those of a minute are worked out once: a log tells many things of the same time.
#[derive(Debug)]
struct Dates {
    zone: TimeZone,
    /// The last minute, counted from the epoch, and what all dates in it begin with.
    minute: Option<(i64, String)>,
}

impl Dates {
    /// Appends what [`local`] says.
    fn push(&mut self, line: &mut String, at: Timestamp) {
        let (minute, second) = (at.secs().div_euclid(60), at.secs().rem_euclid(60));
        if let Some((known, text)) = &self.minute
            && *known == minute
        {
            line.push_str(text);
            for digit in [second / 10, second % 10] {
                line.push(u8::try_from(digit).map_or('0', |digit| char::from(b'0' + digit)));
            }
            return;
        }
        let begin = local(Timestamp::from_secs(minute.saturating_mul(60)), &self.zone);
        // Zones were off by seconds a hundred years ago, and some times are too far away to be written.
        self.minute = begin.strip_suffix(":00").map(|text| (minute, format!("{text}:")));
        line.push_str(&local(at, &self.zone));
    }
}

/// `2026-11-22 14:07:54` in a zone.
pub(crate) fn local(at: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(at.micros()) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        // Of a ban that ends later than anybody can write.
        Err(_) if at.micros() > 0 => "9999-12-31 23:59:59".to_owned(),
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

/// The number of a level by its name (any case) or number; what is above the highest is never reached.
fn parse_level(text: &str) -> Option<u8> {
    let upper = match &*text.to_ascii_uppercase() {
        "WARN" => "WARNING".to_owned(),
        "FATAL" => "CRITICAL".to_owned(),
        other => other.to_owned(),
    };
    let named = LEVELS.iter().find(|(name, ..)| *name == upper);
    let number = || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse());
    named.map_or_else(|| Some(number()?.unwrap_or(u8::MAX)), |(.., number)| Some(*number))
}

/// A level's name.
pub(crate) fn level_name(level: Level) -> &'static str {
    LEVELS
        .iter()
        .find(|(_, other, _)| *other == level)
        .map_or("INFO", |(name, ..)| name)
}

/// A level's number.
pub(crate) fn level_number(level: Level) -> u8 {
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

/// As Python's handler for the journal sorts levels: a notice is a warning there. Seen on 1.0.2.
fn journal_priority(level: Level) -> u8 {
    match syslog_severity(level) {
        5 => 4,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_as_they_are_worked_out_one_by_one() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "America/St_Johns",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
        ] {
            let zone = TimeZone::get(name).unwrap();
            let mut dates = Dates {
                zone: zone.clone(),
                minute: None,
            };
            // Around changes of daylight saving, the epoch, times of local means, and the ends of what can be written.
            for around in [
                0,
                1_774_746_000,
                1_792_803_600,
                1_775_316_600,
                -3_600_000_000,
                i64::MAX / 1_000_000,
                -377_705_000_000,
            ] {
                for step in 0..4_000_i64 {
                    let at = Timestamp::from_secs(around.saturating_add(step * 7 - 14_000));
                    let mut twice = String::new();
                    dates.push(&mut twice, at);
                    dates.push(&mut twice, at);
                    assert_eq!(twice, local(at, &zone).repeat(2), "{name} {}", at.secs());
                }
            }
        }
    }

    #[test]
    fn writes_the_format_that_log_watchers_parse() {
        let path = std::env::temp_dir().join(format!("stockade-log-{}", std::process::id()));
        let log = Log::open(Target::plain(Place::File(path.clone())), "auto", "INFO", TimeZone::UTC).unwrap();
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
    fn gathered_lines_are_in_the_file_when_gathering_ends_and_count_as_missing_if_it_takes_none() {
        let path = std::env::temp_dir().join(format!("stockade-gathered-{}", std::process::id()));
        let log = Log::open(Target::plain(Place::File(path.clone())), "auto", "INFO", TimeZone::UTC).unwrap();
        let text = || std::fs::read_to_string(&path).unwrap();
        log.write(Level::Info, "x", "zero");
        let gathering = log.gather();
        log.write(Level::Info, "x", "one");
        let within = log.gather();
        log.write(Level::Info, "x", "two");
        drop(within);
        assert_eq!(text().lines().count(), 1);
        drop(gathering);
        let ends = |text: &str| -> Vec<String> {
            let last = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
            text.lines().map(last).collect()
        };
        assert_eq!(ends(&text()), ["zero", "one", "two"]);
        // A file that cannot be written.
        let unwritable = Handle::File {
            file: File::open(&path).unwrap(),
            regular: true,
        };
        let good = std::mem::replace(&mut log.lock().handle, unwritable);
        let gathering = log.gather();
        log.write(Level::Info, "x", "three");
        log.write(Level::Info, "x", "four");
        drop(gathering);
        log.write(Level::Info, "x", "five");
        log.lock().handle = good;
        let gathering = log.gather();
        log.write(Level::Info, "x", "six");
        drop(gathering);
        let text = text();
        std::fs::remove_file(&path).unwrap();
        assert!(text.contains("3 lines of this log are missing here"), "{text}");
        assert_eq!(ends(&text), ["zero", "one", "two", "written", "six"]);
    }

    #[test]
    fn plain_is_what_has_nothing_to_be_shown() {
        let all: Vec<char> = (0..=0x17f_u32).filter_map(char::from_u32).collect();
        for length in 0..20 {
            for place in 0..length {
                for c in &all {
                    for filling in [' ', '~', 'a'] {
                        let mut text = String::new();
                        text.extend((0..length).map(|index| if index == place { *c } else { filling }));
                        let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
                        assert_eq!(is_plain(&text), plain, "{text:?}");
                    }
                }
            }
        }
    }

    fn sink(target: Target) -> Sink {
        let dates = || Dates {
            zone: TimeZone::UTC,
            minute: None,
        };
        Sink {
            dates: dates(),
            told: dates(),
            started: Timestamp::from_secs(0),
            target,
            handle: Handle::Stdout,
            syslogsocket: "auto".to_owned(),
            loglevel: "INFO".to_owned(),
            line: String::new(),
            text: String::new(),
            heads: Heads::default(),
            lost: 0,
            torn: false,
            gathering: 0,
            gathered: Vec::new(),
        }
    }

    #[test]
    fn what_lines_of_a_millisecond_begin_with_is_what_each_begins_with() {
        for target in [
            "/l",
            "/l[padding=off]",
            "STDOUT[datetime=off]",
            "SYSLOG",
            "SYSLOG[facility=auth, datetime=on]",
            "SYSTEMD-JOURNAL",
            "/l[format=\"%(message)s %(asctime)s\"]",
            "/l[format=\"%(asctime)s %(message)s %(message)s\"]",
            "/l[format=\"%(relativeCreated)d %(message)s\"]",
            "/l[format=\"%(created)f %(name)s %(message)s\"]",
            "/l[format=\"%(msecs)d %(levelno)d %(process)d %(processName)s %(message)s\"]",
            "/l[format=\"%(threadName)s %(message)s\"]",
            "/l[format=\"%(asctime)s %(message)-20s\"]",
            "/l[format=\"%(asctime)s\"]",
        ] {
            let target = Target::parse(target).unwrap();
            let (mut one, mut other) = (sink(target.clone()), sink(target));
            for step in 0..2000_i64 {
                let now = Timestamp::from_micros(1_795_386_212_000_000 + step * 171);
                let level = [Level::Info, Level::Notice][usize::try_from(step / 3 % 2).unwrap()];
                let logger = ["fail2ban.filter", "fail2ban.actions"][usize::try_from(step / 4 % 2).unwrap()];
                let text = ["Found 192.0.2.7", "", "a\x1b[2J", "ä"][usize::try_from(step % 4).unwrap()];
                one.torn = step % 5 == 0;
                other.torn = one.torn;
                other.heads = Heads::default();
                one.compose(now, level, logger, text);
                other.compose(now, level, logger, text);
                assert_eq!(one.line, other.line);
            }
        }
    }

    #[test]
    fn a_line_that_was_written_in_part_is_ended_before_the_next() {
        let mut sink = sink(Target::plain(Place::Stdout));
        sink.torn = true;
        let now = Timestamp::from_secs(1_795_386_212);
        sink.compose(now, Level::Info, "x", "text");
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
        let opened = Log::open(Target::plain(Place::File(path.clone())), "auto", "INFO", TimeZone::UTC);
        std::fs::remove_file(&path).unwrap();
        assert!(opened.is_err());
    }

    #[test]
    fn knows_fail2bans_levels() {
        assert_eq!(parse_level("notice"), Some(25));
        assert_eq!(parse_level("20"), Some(20));
        assert_eq!(parse_level("WARN"), Some(30));
        assert_eq!(parse_level("4711"), Some(255));
        assert_eq!(parse_level(""), None);
        assert_eq!(parse_level("bogus"), None);
    }
}

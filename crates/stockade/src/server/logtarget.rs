//! What a `logtarget` means: where the lines of the log go, and how they look there.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use stockade_config::options;
use stockade_core::Timestamp;
use stockade_core::logline::Level;

use super::log::{level_name, level_number};

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
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
    /// The systemd journal by its socket.
    Journal,
}

/// A `logtarget` with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) place: Place,
    /// As it was written, without options.
    name: String,
    layout: Layout,
    /// Of syslog, shifted as the protocol wants it.
    pub(crate) facility: u8,
}

/// Facilities of syslog by their numbers; 12 to 15 have no name that Python knows.
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("security", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

const DAEMON: u8 = 3;

impl Target {
    /// A place without options.
    pub(crate) fn plain(place: Place) -> Self {
        let syslog = place == Place::Syslog;
        let dated = matches!(place, Place::File(_) | Place::Stdout | Place::Stderr);
        let layout = match place {
            Place::Journal => Layout(vec![Piece::Field(Field::Message, Shape::default())]),
            _ => Layout::of(dated, !syslog),
        };
        let name = match &place {
            Place::File(path) => path.display().to_string(),
            Place::Stdout => "STDOUT".into(),
            Place::Stderr => "STDERR".into(),
            Place::Sysout => "SYSOUT".into(),
            Place::Syslog => "SYSLOG".into(),
            Place::Journal => "SYSTEMD-JOURNAL".into(),
        };
        Self {
            place,
            name,
            layout,
            facility: DAEMON << 3,
        }
    }

    /// Reads a `logtarget`: `SYSLOG[facility=auth]`, `/var/log/fail2ban.log[padding=off]`. Seen on 1.0.2.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let written = options::parse(text).map_err(|error| format!("`logtarget` cannot be `{text}`: {error}"))?;
        let name = written.name.trim_end();
        let mut target = Self::plain(match name.to_ascii_uppercase().as_str() {
            "" => return Err("`logtarget` is empty; mend: logtarget = /var/log/fail2ban.log".to_owned()),
            "STDOUT" => Place::Stdout,
            "STDERR" => Place::Stderr,
            "SYSOUT" => Place::Sysout,
            "SYSLOG" => Place::Syslog,
            "SYSTEMD-JOURNAL" => Place::Journal,
            _ => Place::File(name.into()),
        });
        name.clone_into(&mut target.name);
        let option = |name: &str| {
            let found = written.options.iter().rev().find(|(other, _)| other == name);
            found.map(|(_, value)| value.as_str())
        };
        if let Some(format) = option("format") {
            target.layout = Layout::parse(format)?;
        } else if option("datetime").or(option("padding")).is_some() && target.place != Place::Journal {
            let set = |name: &str, usual: bool| option(name).map_or(usual, is_on);
            let dated = matches!(target.place, Place::File(_) | Place::Stdout | Place::Stderr);
            let padded = target.place != Place::Syslog;
            target.layout = Layout::of(set("datetime", dated), set("padding", padded));
        }
        // As there, an unknown one is `daemon`.
        if let Some(name) = option("facility") {
            let known = FACILITIES.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
            target.facility = known.map_or(DAEMON, |(_, number)| *number) << 3;
        }
        Ok(target)
    }

    /// As `get logtarget` shows it.
    pub(crate) fn shown(&self) -> String {
        self.name.clone()
    }

    /// Whether a line is something that lines of the same millisecond, level and logger have in common, and its text.
    pub(crate) fn ends_with_text(&self) -> bool {
        let Some((Piece::Field(Field::Message, shape), before)) = self.layout.0.split_last() else {
            return false;
        };
        let in_common = |piece: &Piece| match piece {
            Piece::Text(_) => true,
            Piece::Field(field, _) => field.is_in_common(),
        };
        *shape == Shape::default() && before.iter().all(in_common)
    }

    /// Appends a line as it looks here, without its end.
    pub(crate) fn compose(&self, line: &mut String, record: &Record<'_>) {
        for piece in &self.layout.0 {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Field(field, shape) => shape.push(line, &field.of(record, *shape)),
            }
        }
    }
}

fn is_on(word: &str) -> bool {
    ["1", "on", "true", "yes"].contains(&&*word.to_ascii_lowercase())
}

/// What is known of a line.
pub(crate) struct Record<'a> {
    pub(crate) level: Level,
    /// Fail2Ban's name of the part that speaks.
    pub(crate) logger: &'a str,
    /// Safe to show.
    pub(crate) text: &'a str,
    pub(crate) now: Timestamp,
    /// `now` in the zone of the log, without fraction.
    pub(crate) date: &'a str,
    pub(crate) started: Timestamp,
}

/// A format of Python's `logging`: text and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field, Shape),
}

/// What a line may tell; Python's names are in [`Field::named`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Time,
    Logger,
    Level,
    LevelNumber,
    Process,
    ProcessName,
    Thread,
    ThreadName,
    Message,
    Milliseconds,
    Created,
    SinceStart,
}

impl Field {
    /// The field of this name, and whether it is a number.
    fn named(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "asctime" => (Self::Time, false),
            "name" => (Self::Logger, false),
            "levelname" => (Self::Level, false),
            "levelno" => (Self::LevelNumber, true),
            "process" => (Self::Process, true),
            "processName" => (Self::ProcessName, false),
            "thread" => (Self::Thread, true),
            "threadName" => (Self::ThreadName, false),
            "message" => (Self::Message, false),
            "msecs" => (Self::Milliseconds, true),
            "created" => (Self::Created, true),
            "relativeCreated" => (Self::SinceStart, true),
            _ => return None,
        })
    }

    /// Whether lines of the same millisecond, level and logger have it in common, whatever they say and whoever writes them.
    fn is_in_common(self) -> bool {
        match self {
            Self::Time
            | Self::Logger
            | Self::Level
            | Self::LevelNumber
            | Self::Process
            | Self::ProcessName
            | Self::Milliseconds => true,
            Self::Thread | Self::ThreadName | Self::Message | Self::Created | Self::SinceStart => false,
        }
    }

    fn of<'a>(self, record: &Record<'a>, shape: Shape) -> Cow<'a, str> {
        let milliseconds = record.now.subsec_micros() / 1000;
        match self {
            Self::Time => format!("{},{milliseconds:03}", record.date).into(),
            Self::Logger => record.logger.into(),
            Self::Level => level_name(record.level).into(),
            Self::LevelNumber => level_number(record.level).to_string().into(),
            Self::Process => process().into(),
            Self::ProcessName => "MainProcess".into(),
            Self::Thread => rustix::thread::gettid().as_raw_nonzero().to_string().into(),
            Self::ThreadName => thread_name().into(),
            Self::Message => record.text.into(),
            Self::Milliseconds => shape
                .decimals(i64::from(milliseconds).saturating_mul(1000), 1000)
                .into(),
            Self::Created => shape.decimals(record.now.micros(), 1_000_000).into(),
            Self::SinceStart => {
                let micros = record.now.micros().saturating_sub(record.started.micros());
                shape.decimals(micros, 1000).into()
            }
        }
    }
}

/// The number of this process: to ask the kernel for it costs more than the rest of a line.
fn process() -> &'static str {
    static PROCESS: OnceLock<String> = OnceLock::new();
    PROCESS.get_or_init(|| std::process::id().to_string())
}

/// The name of the thread that speaks.
pub(crate) fn thread_name() -> String {
    std::thread::current().name().unwrap_or("thread").to_owned()
}

/// How a field is put: `%(name)-24s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    left: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    /// `d`, of a number without its fraction.
    whole: bool,
    /// `f`, of a number with six decimals if no precision is given.
    fixed: bool,
}

/// No sensible format is wider.
const WIDEST: usize = 1000;

impl Shape {
    /// A number of `micros / unit`.
    fn decimals(self, micros: i64, unit: i64) -> String {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of this century fit, as in Python"
        )]
        let number = micros as f64 / unit as f64;
        if self.whole {
            (micros / unit).to_string()
        } else if self.fixed {
            format!("{number:.*}", self.precision.unwrap_or(6))
        } else {
            format!("{number:?}")
        }
    }

    fn push(self, line: &mut String, text: &str) {
        let cut: Cow<'_, str> = match self.precision {
            Some(most) if !self.fixed && !self.whole => text.chars().take(most).collect(),
            _ => text.into(),
        };
        let width = self.width;
        if width == 0 {
            line.push_str(&cut);
            return;
        }
        // Writing to a String cannot fail.
        let _ = match (self.left, self.zeros && (self.whole || self.fixed)) {
            (true, _) => write!(line, "{cut:<width$}"),
            (false, true) => write!(line, "{cut:0>width$}"),
            (false, false) => write!(line, "{cut:>width$}"),
        };
    }
}

impl Layout {
    fn of(dated: bool, padded: bool) -> Self {
        let shape = |width| Shape {
            left: true,
            width: if padded { width } else { 0 },
            ..Shape::default()
        };
        let mut pieces = Vec::new();
        if dated {
            pieces.push(Piece::Field(Field::Time, Shape::default()));
            pieces.push(Piece::Text(" ".to_owned()));
        }
        pieces.extend([
            Piece::Field(Field::Logger, shape(24)),
            Piece::Text("[".to_owned()),
            Piece::Field(Field::Process, Shape::default()),
            Piece::Text("]: ".to_owned()),
            Piece::Field(Field::Level, shape(7)),
            Piece::Text(" ".to_owned()),
            Piece::Field(Field::Message, Shape::default()),
        ]);
        Self(pieces)
    }

    /// Reads a format. Fails, in Python's words, if it has no field, and in ours if a field is unknown: there nothing is logged then.
    fn parse(format: &str) -> Result<Self, String> {
        let fault = |what: &str| {
            format!(
                "`format` of `logtarget` cannot be `{format}`: {what}; mend: format=\"%(asctime)s %(name)s[%(process)d]: %(levelname)s %(message)s\""
            )
        };
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                text.push('%');
                rest = after;
                continue;
            }
            let Some((name, after)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) else {
                return Err(if pieces.is_empty() {
                    no_field(format)
                } else {
                    fault("a `%` stands alone")
                });
            };
            let (field, number) =
                Field::named(name).ok_or_else(|| fault(&format!("`{name}` is not known of a line")))?;
            let (shape, after) = shape(after).ok_or_else(|| fault(&format!("what follows `%({name})` is no form")))?;
            if (shape.whole || shape.fixed) && !number {
                return Err(fault(&format!("`{name}` is no number")));
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Field(field, shape));
            rest = after;
        }
        text.push_str(rest);
        if pieces.is_empty() {
            return Err(no_field(format));
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(Self(pieces))
    }
}

fn no_field(format: &str) -> String {
    format!("Invalid format '{format}' for '%' style")
}

/// Reads `-24s`; what follows it.
fn shape(text: &str) -> Option<(Shape, &str)> {
    let mut shape = Shape::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next().filter(|flag| "#0+ -".contains(*flag)) {
        shape.left |= flag == '-';
        shape.zeros |= flag == '0';
        rest = rest.get(1..)?;
    }
    (shape.width, rest) = digits(rest);
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = digits(after);
        (shape.precision, rest) = (Some(precision), after);
    }
    match rest.chars().next()? {
        's' | 'r' => {}
        'd' | 'i' => shape.whole = true,
        'f' => shape.fixed = true,
        _ => return None,
    }
    Some((shape, rest.get(1..)?))
}

fn digits(text: &str) -> (usize, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(end).unwrap_or(("", text));
    (
        digits
            .parse()
            .unwrap_or(if digits.is_empty() { 0 } else { WIDEST })
            .min(WIDEST),
        rest,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(target: &str) -> Result<String, String> {
        let mut line = String::new();
        Target::parse(target)?.compose(
            &mut line,
            &Record {
                level: Level::Notice,
                logger: "fail2ban.actions",
                text: "[jp] Ban 192.0.2.51",
                now: Timestamp::from_micros(1_795_386_212_002_000),
                date: "2026-11-22 22:23:32",
                started: Timestamp::from_micros(1_795_386_212_000_000),
            },
        );
        Ok(line.replace(&std::process::id().to_string(), "PID"))
    }

    // Lines of Fail2Ban 1.0.2 with these targets; tests/logtargets.rs compares more where it is installed.
    #[test]
    fn options_of_a_target_make_the_lines_that_fail2ban_writes() {
        for (target, line) in [
            (
                "/l",
                "2026-11-22 22:23:32,002 fail2ban.actions        [PID]: NOTICE  [jp] Ban 192.0.2.51",
            ),
            (
                "/l[padding=off]",
                "2026-11-22 22:23:32,002 fail2ban.actions[PID]: NOTICE [jp] Ban 192.0.2.51",
            ),
            (
                "/l[datetime=off]",
                "fail2ban.actions        [PID]: NOTICE  [jp] Ban 192.0.2.51",
            ),
            (
                "/l[datetime=off, padding=off]",
                "fail2ban.actions[PID]: NOTICE [jp] Ban 192.0.2.51",
            ),
            ("/l[format=\"%(message)s\"]", "[jp] Ban 192.0.2.51"),
            (
                "/l[format=\"%(relativeCreated)d %(levelno)s %(levelname)-8s|%(message).5s|%(name)20s%%\"]",
                "2 25 NOTICE  |[jp] |    fail2ban.actions%",
            ),
            ("SYSOUT", "fail2ban.actions        [PID]: NOTICE  [jp] Ban 192.0.2.51"),
            ("SYSLOG", "fail2ban.actions[PID]: NOTICE [jp] Ban 192.0.2.51"),
            ("SYSTEMD-JOURNAL", "[jp] Ban 192.0.2.51"),
            (
                "stdout[datetime=off]",
                "fail2ban.actions        [PID]: NOTICE  [jp] Ban 192.0.2.51",
            ),
        ] {
            assert_eq!(written(target).as_deref(), Ok(line), "{target}");
        }
    }

    #[test]
    fn a_format_that_cannot_be_written_is_refused() {
        assert_eq!(
            written("/l[format=short]"),
            Err("Invalid format 'short' for '%' style".to_owned())
        );
        for format in ["%(bogus)s", "%(message)d", "%(message)", "%(name)s %", "%(name)q"] {
            assert!(written(&format!("/l[format=\"{format}\"]")).is_err(), "{format}");
        }
        assert!(Target::parse("").is_err());
    }

    #[test]
    fn facilities_of_syslog_have_their_numbers() {
        for (target, facility) in [
            ("SYSLOG", 3),
            ("SYSLOG[facility=auth]", 4),
            ("syslog[facility=LOCAL7]", 23),
            ("SYSLOG[facility=bogus]", 3),
        ] {
            assert_eq!(
                Target::parse(target).map(|target| target.facility),
                Ok(facility << 3),
                "{target}"
            );
        }
    }
}

//! What was typed, read as Python's `getopt` reads it.
//!
//! Options end at the first word that is none: `ping -c x` has the words `ping`, `-c`, `x`. Long names may be cut short as
//! long as they stay clear; values follow as the next word or after `=`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Whose name the program was called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// `fail2ban-client`
    Client,
    /// `fail2ban-server`: without a command it starts.
    Server,
}

impl Face {
    /// The name shown in the help.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "fail2ban-client",
            Self::Server => "fail2ban-server",
        }
    }
}

/// Options and words of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) config: Option<PathBuf>,
    pub(crate) socket: Option<String>,
    pub(crate) pidfile: Option<String>,
    pub(crate) pname: Option<String>,
    pub(crate) loglevel: Option<String>,
    pub(crate) logtarget: Option<String>,
    pub(crate) syslogsocket: Option<String>,
    pub(crate) dump: Option<Dump>,
    pub(crate) test: bool,
    pub(crate) interactive: bool,
    /// `-v` less `-q`.
    pub(crate) verbosity: i32,
    pub(crate) force: bool,
    pub(crate) foreground: bool,
    /// Run as server and wait for a client that sends the configuration.
    pub(crate) asynchronous: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) str2sec: Option<String>,
    /// Answers as JSON.
    pub(crate) json: bool,
    pub(crate) words: Vec<String>,
}

/// How the configuration is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dump {
    /// `-d`: a command on each line.
    Lines,
    /// `--dp`: long ones over several.
    Pretty,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Help.
    Help,
    /// The version, short (`-V`) or long.
    Version { short: bool },
    /// Anything else.
    Run(Box<Args>),
}

#[derive(Clone, Copy)]
enum Name {
    Conf,
    Socket,
    Pidfile,
    Pname,
    Loglevel,
    Logtarget,
    Syslogsocket,
    Timeout,
    Str2sec,
    Dump,
    DumpPretty,
    Test,
    Interactive,
    Verbose,
    Quiet,
    Force,
    Background,
    Foreground,
    Async,
    Json,
    Help,
    Version,
}

impl Name {
    fn takes_value(self) -> bool {
        matches!(
            self,
            Self::Conf
                | Self::Socket
                | Self::Pidfile
                | Self::Pname
                | Self::Loglevel
                | Self::Logtarget
                | Self::Syslogsocket
                | Self::Timeout
                | Self::Str2sec
        )
    }

    fn of_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'c' => Self::Conf,
            's' => Self::Socket,
            'p' => Self::Pidfile,
            'd' => Self::Dump,
            't' => Self::Test,
            'i' => Self::Interactive,
            'v' => Self::Verbose,
            'q' => Self::Quiet,
            'x' => Self::Force,
            'b' => Self::Background,
            'f' => Self::Foreground,
            'h' => Self::Help,
            'V' => Self::Version,
            _ => return None,
        })
    }
}

const LONG: [(&str, Name); 19] = [
    ("loglevel", Name::Loglevel),
    ("logtarget", Name::Logtarget),
    ("syslogsocket", Name::Syslogsocket),
    ("test", Name::Test),
    ("async", Name::Async),
    ("conf", Name::Conf),
    ("pidfile", Name::Pidfile),
    ("pname", Name::Pname),
    ("socket", Name::Socket),
    ("timeout", Name::Timeout),
    ("str2sec", Name::Str2sec),
    ("help", Name::Help),
    ("version", Name::Version),
    ("dp", Name::DumpPretty),
    ("dump-pretty", Name::DumpPretty),
    ("foreground", Name::Foreground),
    ("background", Name::Background),
    ("force", Name::Force),
    ("json", Name::Json),
];

/// A long option by its name or the clear beginning of it.
fn long_name(typed: &str) -> Result<Name, String> {
    if let Some((_, name)) = LONG.iter().find(|(long, _)| *long == typed) {
        return Ok(*name);
    }
    let mut fitting = LONG.iter().filter(|(long, _)| long.starts_with(typed));
    match (fitting.next(), fitting.next()) {
        (Some((_, name)), None) => Ok(*name),
        (Some(_), Some(_)) => Err(format!("option --{typed} not a unique prefix")),
        (None, _) => Err(format!("option --{typed} not recognized")),
    }
}

/// Reads a command line without the program's name.
///
/// # Errors
/// Says what cannot be read.
pub(crate) fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut args = Args::default();
    let mut asked = None;
    // What is not UTF-8 could not be sent to a server anyway.
    let mut rest = typed.into_iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = rest.next() {
        if word == "--" {
            args.words.extend(rest);
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (typed, value) = match long.split_once('=') {
                Some((typed, value)) => (typed, Some(value.to_owned())),
                None => (long, None),
            };
            let name = long_name(typed)?;
            let value = match (name.takes_value(), value) {
                (true, Some(value)) => value,
                (true, None) => rest
                    .next()
                    .ok_or_else(|| format!("option --{typed} requires argument"))?,
                (false, Some(_)) => return Err(format!("option --{typed} must not have an argument")),
                (false, None) => String::new(),
            };
            args.take(name, value, true, &mut asked)?;
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                let name = Name::of_letter(letter).ok_or_else(|| format!("option -{letter} not recognized"))?;
                let value = if name.takes_value() {
                    let value = std::mem::replace(&mut letters, "".chars()).as_str();
                    if value.is_empty() {
                        rest.next()
                            .ok_or_else(|| format!("option -{letter} requires argument"))?
                    } else {
                        value.to_owned()
                    }
                } else {
                    String::new()
                };
                args.take(name, value, false, &mut asked)?;
            }
        } else {
            args.words.push(word);
            args.words.extend(rest);
            break;
        }
    }
    Ok(asked.unwrap_or_else(|| Asked::Run(Box::new(args))))
}

impl Args {
    fn take(&mut self, name: Name, value: String, long: bool, asked: &mut Option<Asked>) -> Result<(), String> {
        match name {
            Name::Conf => self.config = Some(value.into()),
            Name::Socket => self.socket = Some(value),
            Name::Pidfile => self.pidfile = Some(value),
            Name::Pname => self.pname = Some(value),
            Name::Loglevel => self.loglevel = Some(value),
            Name::Logtarget => self.logtarget = Some(value),
            Name::Syslogsocket => self.syslogsocket = Some(value),
            Name::Timeout => {
                let seconds = stockade_config::duration::parse(&value)
                    .map_err(|error| format!("--timeout cannot be `{value}`: {error}"))?;
                self.timeout = Some(Duration::from_secs(seconds.0.unsigned_abs()));
            }
            Name::Str2sec => self.str2sec = Some(value),
            Name::Dump => self.dump = Some(Dump::Lines),
            Name::DumpPretty => self.dump = Some(Dump::Pretty),
            Name::Test => self.test = true,
            Name::Interactive => self.interactive = true,
            Name::Verbose => self.verbosity += 1,
            Name::Quiet => self.verbosity -= 1,
            Name::Force => self.force = true,
            Name::Background => self.foreground = false,
            Name::Foreground => self.foreground = true,
            Name::Async => self.asynchronous = true,
            Name::Json => self.json = true,
            Name::Help => {
                asked.get_or_insert(Asked::Help);
            }
            Name::Version => {
                asked.get_or_insert(Asked::Version { short: !long });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Result<Asked, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn run(line: &str) -> Args {
        match args(line) {
            Ok(Asked::Run(args)) => *args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_first_word() {
        let args = run("-c dir ping -c other -f");
        assert_eq!(args.config, Some("dir".into()));
        assert_eq!(args.words, ["ping", "-c", "other", "-f"]);
        assert!(!args.foreground);
    }

    #[test]
    fn options_are_read_in_all_their_forms() {
        for line in [
            "-c dir -x -f start",
            "-cdir -xf start",
            "-xfc dir start",
            "-xf --conf dir start",
            "-xf --co=dir start",
        ] {
            let args = run(line);
            assert_eq!(
                (args.config, args.force, args.foreground),
                (Some("dir".into()), true, true),
                "{line}"
            );
            assert_eq!(args.words, ["start"], "{line}");
        }
        assert_eq!(run("-vvq -- -c").verbosity, 1);
        assert_eq!(run("-v -- -c").words, ["-c"]);
        assert!(!run("-fb").foreground);
    }

    #[test]
    fn the_version_is_short_by_its_letter_and_long_by_its_name() {
        assert_eq!(args("-V"), Ok(Asked::Version { short: true }));
        assert_eq!(args("--version"), Ok(Asked::Version { short: false }));
        assert_eq!(args("-h status"), Ok(Asked::Help));
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in ["--bogus", "-z", "-c", "--loglevel", "--test=1", "--p x"] {
            assert!(args(line).is_err(), "{line}");
        }
    }
}

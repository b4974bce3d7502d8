//! `stockade explain`: what the jails make of a line or a log, and why.
//!
//! Reads the configuration and asks the same rules and the same counting as the server; no server is asked, nothing is changed
//! and no name is looked up. Start reading at [`run`].

mod line;
mod log;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::tz::TimeZone;
use stockade_config::{JailConfig, Overrides};
use stockade_core::{FailureId, IgnoreList, JailName, Timestamp};
use stockade_filter::{Filter, FilterSettings, Who};

use crate::screen::shown;
use crate::server::setup::JailSetup;
use crate::terminal::{complain, say};

pub(crate) use line::nearest;

/// Exit code if no jail finds a failure.
const NOTHING: u8 = 1;
/// Exit code if the command line or the configuration is wrong.
const USAGE: u8 = 2;
/// Longest piece of a log that is shown.
const SHOWN_CHARS: usize = 1000;

pub(crate) const HELP: &str = "\
Says what the jails make of a line or a log, and why.

usage: stockade explain [-j JAIL]... [-c DIR] LINE
       stockade explain [-j JAIL]... [-c DIR] FILE

  LINE      a line of a log, in quotes
  FILE      a log, or - for standard input
  -j JAIL   ask this jail, enabled or not; without it, all enabled jails
  -c DIR    the configuration, /etc/fail2ban if not given

For a line: how its date is read, which rule matches or how far the nearest one gets before it stops, whom the line names, and how it counts.
For a log: who fails how often, and when each jail would have banned them had it read the log while it was written.
Exit code: 0 if a failure is found, 1 if none is, 2 if the command line or the configuration is wrong.
";

/// A jail that can be asked.
struct Asked {
    config: JailConfig,
    setup: JailSetup,
    filter: Filter,
    ignore: IgnoreList,
}

impl Asked {
    fn new(config: JailConfig, zone: &TimeZone) -> Option<Self> {
        let name = JailName::new(&config.name)?;
        let setup = crate::check::setup(&config, &name, &mut Vec::new());
        let filter = Filter::new(&setup.filter, zone).ok()?;
        let mut ignore = IgnoreList::default();
        ignore.set_own_addresses(crate::server::addresses::own());
        for entry in &setup.ignoreip {
            ignore.add(entry);
        }
        for path in ignore.files().map(str::to_owned).collect::<Vec<_>>() {
            if let Ok(content) = crate::server::addresses::list(&path) {
                ignore.set_file_content(&path, &content);
            }
        }
        Some(Self {
            config,
            setup,
            filter,
            ignore,
        })
    }

    fn settings(&self) -> &FilterSettings {
        &self.setup.filter
    }

    /// Why an id is ignored, if it is.
    fn ignored(&self, id: &FailureId) -> Option<String> {
        let rule = self.ignore.check(id, self.setup.settings.ignoreself)?;
        // Which entry it is: the one that alone ignores the id.
        let entry = self.setup.ignoreip.iter().find(|entry| {
            let mut alone = IgnoreList::default();
            alone.add(entry);
            alone.check(id, false).is_some()
        });
        Some(match entry {
            Some(entry) => format!("`ignoreip` has {}", shown(entry, 200)),
            None => format!("{rule}"),
        })
    }
}

/// What the command line says.
struct Typed {
    wanted: Vec<String>,
    folder: PathBuf,
    subject: Option<OsString>,
    help: bool,
}

impl Typed {
    fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut asked = Self {
            wanted: Vec::new(),
            folder: crate::client::CONFIG.into(),
            subject: None,
            help: false,
        };
        let mut parser = lexopt::Parser::from_args(typed);
        while let Some(argument) = parser.next()? {
            match argument {
                Short('j') | Long("jail") => asked.wanted.push(parser.value()?.string()?),
                Short('c') | Long("conf") => asked.folder = parser.value()?.into(),
                Short('h') | Long("help") => asked.help = true,
                Value(text) if asked.subject.is_none() => asked.subject = Some(text),
                other => return Err(other.unexpected()),
            }
        }
        Ok(asked)
    }
}

/// Runs `stockade explain`; `typed` is the command line behind that word.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (wanted, folder, subject) = match Typed::parse(typed) {
        Ok(Typed { help: true, .. }) => {
            say(HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Ok(Typed {
            wanted,
            folder,
            subject: Some(subject),
            ..
        }) => (wanted, folder, subject),
        Ok(_) => return misused("no line and no log is given"),
        Err(error) => return misused(&error.to_string()),
    };
    let jails = match jails(&folder, &wanted) {
        Ok(jails) => jails,
        Err(problem) => {
            complain(&format!("stockade: {problem}"));
            return ExitCode::from(USAGE);
        }
    };
    let is_log = subject == "-" || Path::new(&subject).is_file();
    let found = if is_log {
        match log::explain(&jails, &subject) {
            Ok(found) => found,
            Err(error) => {
                complain(&format!(
                    "stockade: {} cannot be read: {error}",
                    Path::new(&subject).display()
                ));
                return ExitCode::from(USAGE);
            }
        }
    } else {
        use std::os::unix::ffi::OsStrExt as _;
        line::explain(&jails, subject.as_bytes(), !wanted.is_empty())
    };
    if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOTHING)
    }
}

fn misused(what: &str) -> ExitCode {
    complain(&format!("stockade: {what}\n\n{}", HELP.trim_end()));
    ExitCode::from(USAGE)
}

/// The jails to ask: those that are named, or all that are enabled.
fn jails(folder: &Path, wanted: &[String]) -> Result<Vec<Asked>, String> {
    let overrides = Overrides::default();
    let zone = crate::zone::system();
    if wanted.is_empty() {
        let config = stockade_config::load(folder, &overrides);
        let runs = config.jails.into_iter().filter(|jail| jail.problem.is_none());
        let asked: Vec<Asked> = runs.filter_map(|jail| Asked::new(jail, &zone)).collect();
        if asked.is_empty() {
            return Err(
                "no jail is enabled that can run\n  mend: name one with -j, or see `stockade check`".to_owned(),
            );
        }
        return Ok(asked);
    }
    let jail = |name: &String| {
        let found = stockade_config::show(folder, &overrides, name);
        let config = found.ok_or_else(|| {
            format!(
                "there is no jail `{}`\n  mend: `stockade config show` lists them",
                name.escape_debug()
            )
        })?;
        if let Some(problem) = config.jail.problem {
            return Err(format!("the jail `{name}` cannot run: {problem}"));
        }
        Asked::new(config.jail, &zone)
            .ok_or_else(|| format!("the rules of the jail `{name}` do not compile\n  mend: `stockade check` tells why"))
    };
    wanted.iter().map(jail).collect()
}

/// A time as the host's zone writes it.
fn local(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.micros()).map_or_else(
        |_| "an impossible time".to_owned(),
        |at| {
            at.to_zoned(crate::zone::system())
                .strftime("%Y-%m-%d %H:%M:%S %Z")
                .to_string()
        },
    )
}

fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

/// A span of time in the largest unit that fits.
fn span(seconds: i64) -> String {
    let unit = [(86_400, "d"), (3_600, "h"), (60, "m")];
    match unit
        .into_iter()
        .find(|(length, _)| seconds >= *length && seconds % length == 0)
    {
        Some((length, letter)) => format!("{}{letter}", seconds / length),
        None => format!("{seconds}s"),
    }
}

fn who(who: &Who) -> String {
    match who {
        Who::Id(id) => shown(&id.to_string(), 200),
        Who::Name(name) => format!("whatever address `{}` has", shown(name, 200)),
    }
}

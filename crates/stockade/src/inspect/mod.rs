//! `stockade check` and `stockade config show`: what a configuration says, and what is wrong with it.
//!
//! Start reading at [`check`] and [`config`].

mod findings;
mod ports;
mod render;
mod show;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::terminal::{complain, say};

/// Exit code if the configuration has errors.
const ERRORS: u8 = 1;
/// Exit code if the command line has.
const USAGE: u8 = 2;

pub(crate) const CHECK_HELP: &str = "\
Finds everything that is wrong with a configuration, or perhaps not as meant.

usage: stockade check [DIR] [--json]

  DIR      the configuration, /etc/fail2ban if not given
  --json   tell it to programs

Looks at every file, at the rules and actions of the enabled jails, at their logs and at the programs they need. Nothing is changed, and no
server is asked. Exit code: 0 if all jails will run, 1 if there are errors, 2 if the command line is wrong. Warnings alone give 0.
";

pub(crate) const CONFIG_HELP: &str = "\
Shows where the values of a jail come from.

usage: stockade config show [JAIL] [-c DIR] [--json]

  JAIL      the jail; without it, the names of all jails
  -c DIR    the configuration, /etc/fail2ban if not given
  --json    tell it to programs

Each value stands with the file and line that set it; below it, as the file has it if that is something else, and what it overrode.
Exit code: 0, 1 if the jail cannot run or is not there, 2 if the command line is wrong.
";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Asked {
    folder: Option<PathBuf>,
    json: bool,
    help: bool,
    words: Vec<String>,
}

impl Asked {
    fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut asked = Self::default();
        let mut parser = lexopt::Parser::from_args(typed);
        while let Some(argument) = parser.next()? {
            match argument {
                Short('c') | Long("conf") => asked.folder = Some(parser.value()?.into()),
                Long("json") => asked.json = true,
                Short('h') | Long("help") => asked.help = true,
                Value(word) => asked.words.push(word.string()?),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(asked)
    }

    fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| crate::client::CONFIG.into())
    }
}

/// Runs `stockade check`; `typed` is the command line behind these words.
pub fn check(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut asked = match Asked::parse(typed) {
        Ok(asked) if asked.words.len() <= 1 => asked,
        Ok(_) => return misused("more than one folder is named", CHECK_HELP),
        Err(error) => return misused(&error.to_string(), CHECK_HELP),
    };
    if asked.help {
        say(CHECK_HELP.trim_end());
        return ExitCode::SUCCESS;
    }
    if let Some(folder) = asked.words.pop() {
        asked.folder = Some(folder.into());
    }
    let folder = asked.folder();
    if asked.folder.is_some() && !folder.is_dir() {
        let what = format!("there is no folder {}", folder.display());
        return misused(&what, CHECK_HELP);
    }
    let report = findings::examine(&folder);
    if asked.json {
        say(&render::json(&report));
    } else {
        render::text(&report);
    }
    if report.errors() > 0 {
        ExitCode::from(ERRORS)
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs `stockade config …`; `typed` is the command line behind that word.
pub fn config(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let asked = match Asked::parse(typed) {
        Ok(asked) => asked,
        Err(error) => return misused(&error.to_string(), CONFIG_HELP),
    };
    if asked.help {
        say(CONFIG_HELP.trim_end());
        return ExitCode::SUCCESS;
    }
    let folder = asked.folder();
    let words: Vec<&str> = asked.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["show"] => show::jails(&folder, asked.json),
        ["show", jail] => show::jail(&folder, jail, asked.json),
        ["show", ..] => misused("more than one jail is named", CONFIG_HELP),
        [other, ..] => misused(&format!("no command `config {}`", other.escape_debug()), CONFIG_HELP),
        [] => misused("what to do is not said", CONFIG_HELP),
    }
}

fn misused(what: &str, help: &str) -> ExitCode {
    complain(&format!("stockade: {what}\n\n{}", help.trim_end()));
    ExitCode::from(USAGE)
}

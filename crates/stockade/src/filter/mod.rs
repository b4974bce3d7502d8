//! `stockade filter`: a filter is tried on lines of which it is written down what they are, or made of a few lines of a log.
//!
//! docs/FILTERS.md says how files of samples are written. Start reading at [`run`].

mod new;
mod rules;
mod samples;
mod test;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::terminal::{complain, say};

/// Exit code if a sample comes out otherwise, or no filter can be made that keeps what it promises.
const FAILED: u8 = 1;
/// Exit code if the command line, the filter, the samples or the lines cannot be used.
const USAGE: u8 = 2;

pub(crate) const HELP: &str = "\
Tries a filter on samples, or makes one of a few lines of a log.

usage: stockade filter test NAME|FILE.conf [SAMPLES] [-c DIR]
       stockade filter new NAME [LINES] [--to DIR]

test: lines of which it is written down whether they are failures, and whose.

  NAME        a filter of the configuration, built-in ones too
  FILE.conf   a filter file
  SAMPLES     the samples; without it NAME.samples beside the filter, else those that the built-in filter of this name came with
  -c DIR      the configuration, /etc/fail2ban if not given

In a file of samples a line begins with `+ ADDRESS ` for a failure of this address, `- ` for no failure, `! ADDRESS ` or `! nobody ` for a line
that an attacker wrote, which may name this address or nobody. `[mode=aggressive]` by itself: what follows is tried with these options. `#` is a
comment. For each sample that comes out otherwise: what was expected, what came, and why.
Exit code: 0 if all come out as expected, 1 if one does not, 2 if the command line, the filter or the samples cannot be used.

new: the beginning of a filter, tried at once on its lines and on hostile variations of them, and reviewed.

  NAME        how it is to be called
  LINES       a file with a few lines of the log, as they stand there; without it they are read from standard input
  --to DIR    write NAME.conf and NAME.samples into this folder, such as /etc/fail2ban/filter.d; without it they are shown

A line that has one address needs no mark. Where there are more, the right one is marked <<192.0.2.7>>. Text that somebody else chose, a user's
name or a path, is marked {{bob}}, so that anything may stand there; what looks like a user's name is taken as one. A line that begins with `- `
is no failure, and must not be taken for one. Numbers may differ, all other words have to be there. Nothing is overwritten.
Exit code: 0 if the filter does what it should, 1 if none could be made or written, 2 if the command line or the lines cannot be used.
";

/// Why nothing was done.
enum Refusal {
    /// The command line is wrong; the help is shown.
    Misused(String),
    /// What it names cannot be used.
    Unusable(String),
    /// It was tried in vain.
    Failed(String),
}

/// What the command line says.
#[derive(Default)]
struct Typed {
    words: Vec<OsString>,
    folder: Option<PathBuf>,
    to: Option<PathBuf>,
    help: bool,
}

impl Typed {
    fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut asked = Self::default();
        let mut parser = lexopt::Parser::from_args(typed);
        while let Some(argument) = parser.next()? {
            match argument {
                Short('c') | Long("conf") => asked.folder = Some(parser.value()?.into()),
                Long("to") => asked.to = Some(parser.value()?.into()),
                Short('h') | Long("help") => asked.help = true,
                Value(word) => asked.words.push(word),
                other => return Err(other.unexpected()),
            }
        }
        Ok(asked)
    }
}

/// Runs `stockade filter …`; `typed` is the command line behind that word.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = match Typed::parse(typed) {
        Ok(typed) if typed.help => {
            say(HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Ok(typed) => done(&typed),
        Err(error) => Err(Refusal::Misused(error.to_string())),
    };
    let (text, code) = match done {
        Ok(code) => return code,
        Err(Refusal::Misused(what)) => (format!("{what}\n\n{}", HELP.trim_end()), USAGE),
        Err(Refusal::Unusable(what)) => (what, USAGE),
        Err(Refusal::Failed(what)) => (what, FAILED),
    };
    complain(&format!("stockade: {text}"));
    ExitCode::from(code)
}

fn done(typed: &Typed) -> Result<ExitCode, Refusal> {
    let misused = |what: &str| Err(Refusal::Misused(what.to_owned()));
    match typed.words.split_first() {
        Some((word, words)) if word == "test" => {
            if typed.to.is_some() {
                return misused("`--to` is for `filter new`");
            }
            let folder = typed.folder.clone().unwrap_or_else(|| crate::client::CONFIG.into());
            test::run(&folder, words)
        }
        Some((word, words)) if word == "new" => {
            if typed.folder.is_some() {
                return misused("`-c` is for `filter test`; `filter new` writes where `--to` says");
            }
            new::run(words, typed.to.as_deref())
        }
        Some((other, _)) => misused(&format!(
            "no command `filter {}`",
            other.to_string_lossy().escape_debug()
        )),
        None => misused("what to do is not said"),
    }
}

//! `stockade filter test`: a filter against lines of which it is written down what they are.
//!
//! docs/FILTERS.md says how files of samples are written. Start reading at [`run`].

mod rules;
mod samples;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stockade_core::Timestamp;
use stockade_filter::{Clock, Memory, Verdict, Who};

use crate::screen::{Screen, Style, shown};
use crate::terminal::{complain, say};
use rules::Rules;
use samples::{Kind, Sample, Samples, Section};

/// Exit code if a sample comes out otherwise.
const FAILED: u8 = 1;
/// Exit code if the command line, the filter or the samples cannot be used.
const USAGE: u8 = 2;
/// Longest piece of a sample that is shown.
const SHOWN_CHARS: usize = 1000;

pub(crate) const HELP: &str = "\
Tries a filter on samples: lines of which it is written down whether they are failures, and whose.

usage: stockade filter test NAME|FILE.conf [SAMPLES] [-c DIR]

  NAME        a filter of the configuration, built-in ones too
  FILE.conf   a filter file
  SAMPLES     the samples; without it NAME.samples beside the filter, else those that the built-in filter of this name came with
  -c DIR      the configuration, /etc/fail2ban if not given

In a file of samples a line begins with `+ ADDRESS ` for a failure of this address, `- ` for no failure, `! ADDRESS ` or `! nobody ` for a line
that an attacker wrote, which may name this address or nobody. `[mode=aggressive]` by itself: what follows is tried with these options. `#` is a
comment. For each sample that comes out otherwise: what was expected, what came, and why.
Exit code: 0 if all come out as expected, 1 if one does not, 2 if the command line, the filter or the samples cannot be used.
";

/// What the command line says.
#[derive(Default)]
struct Typed {
    words: Vec<OsString>,
    folder: Option<PathBuf>,
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
    let typed = match Typed::parse(typed) {
        Ok(typed) => typed,
        Err(error) => return misused(&error.to_string()),
    };
    if typed.help {
        say(HELP.trim_end());
        return ExitCode::SUCCESS;
    }
    let (filter, samples) = match typed.words.as_slice() {
        [word, filter] if word == "test" => (filter, None),
        [word, filter, samples] if word == "test" => (filter, Some(samples)),
        [word, ..] if word == "test" => return misused("a filter, and perhaps a file of samples, belong there"),
        [] => return misused("what to do is not said"),
        [other, ..] => {
            return misused(&format!(
                "no command `filter {}`",
                other.to_string_lossy().escape_debug()
            ));
        }
    };
    let folder = typed.folder.unwrap_or_else(|| crate::client::CONFIG.into());
    match test(&folder, filter, samples.map(Path::new)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(problem) => {
            complain(&format!("stockade: {problem}"));
            ExitCode::from(USAGE)
        }
    }
}

fn misused(what: &str) -> ExitCode {
    complain(&format!("stockade: {what}\n\n{}", HELP.trim_end()));
    ExitCode::from(USAGE)
}

/// Runs the samples of a filter; how many came out otherwise.
fn test(folder: &Path, filter: &OsString, given: Option<&Path>) -> Result<usize, String> {
    let filter = rules::Named::new(folder, filter)?;
    let samples = match given {
        Some(path) => Samples::read(path)?,
        None => filter.samples()?,
    };
    let mut screen = Screen::new();
    let (mut tried, mut failed) = (0, 0);
    for section in &samples.sections {
        for options in &section.options {
            let rules = filter.rules(options)?;
            for (sample, came) in section_differs(section, &rules) {
                failed += 1;
                differs(&mut screen, &samples.place, sample, options, &came, &rules);
            }
            tried += section.samples.len();
        }
    }
    if tried == 0 {
        return Err(format!(
            "{} holds no samples\n  mend: a line such as `+ 192.0.2.1 LINE` for each kind of failure, `- LINE` for what is none",
            samples.place
        ));
    }
    let (style, text) = if failed == 0 {
        (
            Style::Good,
            format!("{}: all {tried} samples come out as expected", filter.name),
        )
    } else {
        (
            Style::Bad,
            format!("{}: {failed} of {tried} samples come out otherwise", filter.name),
        )
    };
    screen.line(&[(style, &shown(&text, SHOWN_CHARS))]);
    Ok(failed)
}

/// The clock of a followed log: a line without a date happens now.
fn clock() -> Clock {
    Clock {
        now: Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()),
        in_operation: true,
        findtime: 0,
    }
}

/// The samples that come out otherwise, each with what came.
fn section_differs<'a>(section: &'a Section, rules: &Rules) -> Vec<(&'a Sample, Verdict)> {
    let mut memory = Memory::default();
    let judged = section.samples.iter().map(|sample| {
        let verdict = rules.filter.judge(sample.line.as_bytes(), clock(), &mut memory);
        (sample, verdict)
    });
    judged.filter(|(sample, verdict)| !fits(sample, verdict)).collect()
}

fn fits(sample: &Sample, verdict: &Verdict) -> bool {
    let found = match verdict {
        Verdict::Match(found) => Some(who(&found.who)),
        Verdict::Overrun(_) => return false,
        _ => None,
    };
    found == sample.address || (sample.kind == Kind::Hostile && found.is_none())
}

fn who(who: &Who) -> String {
    match who {
        Who::Id(id) => id.to_string(),
        Who::Name(name) => name.to_string(),
    }
}

/// Tells of a sample that came out otherwise.
fn differs(screen: &mut Screen, place: &str, sample: &Sample, options: &str, came: &Verdict, rules: &Rules) {
    let place = format!("{place}:{} {options}", sample.number);
    screen.line(&[(Style::Title, place.trim_end())]);
    screen.fact("line", &shown(&sample.line, SHOWN_CHARS));
    let expected = match (&sample.address, sample.kind) {
        (Some(address), Kind::Hostile) => format!("a failure of {address}, or none"),
        (Some(address), _) => format!("a failure of {address}"),
        (None, _) => "no failure".to_owned(),
    };
    screen.fact("expected", &shown(&expected, 200));
    let found = match came {
        Verdict::Match(found) => format!("a failure of {}", shown(&who(&found.who), 200)),
        Verdict::Miss => "no failure: no rule matches".to_owned(),
        Verdict::Ignored => "no failure: an ignoreregex matches, or the line only adds to a session".to_owned(),
        Verdict::Unusable(why) => format!("no failure: {why}"),
        Verdict::Overrun(_) => "a rule used up its steps on this line".to_owned(),
        Verdict::TooOld | Verdict::Undated => "no failure: its date".to_owned(),
    };
    screen.line(&[(Style::Dim, "  came      "), (Style::Bad, &found)]);
    let line = sample.line.as_bytes();
    let place = |option: &str, index: usize| rules.place(option, index);
    match came {
        Verdict::Match(found) => {
            let of = format!("failregex {}, {}", found.rule + 1, place("failregex", found.rule));
            screen.fact("rule", &of);
            if let Some(rule) = rules.settings.failregex.get(found.rule) {
                screen.fact("", &shown(rule, SHOWN_CHARS));
            }
        }
        Verdict::Ignored => {
            let seen = rules.filter.examine(line, clock(), &mut Memory::default(), false);
            if let Some(&entry) = seen.ignored_by.first() {
                screen.fact(
                    "ignored",
                    &format!("by ignoreregex {}, {}", entry + 1, place("ignoreregex", entry)),
                );
            }
        }
        _ => crate::explain::nearest(screen, &rules.filter, &rules.settings, &place, line, clock()),
    }
    screen.blank();
}

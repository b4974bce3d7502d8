//! `stockade filter test`: a filter against lines of which it is written down what they are.
//!
//! docs/FILTERS.md says how files of samples are written. Start reading at [`run`].

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use stockade_core::Timestamp;
use stockade_filter::{Clock, Memory, Verdict, Who};

use crate::screen::{Screen, Style, shown};

use super::rules::{Named, Rules};
use super::samples::{Kind, Sample, Samples, Section};
use super::{FAILED, Refusal};

/// Longest piece of a sample that is shown.
const SHOWN_CHARS: usize = 1000;

/// Tries a filter on its samples; `words` are what stands behind `filter test`.
pub(super) fn run(folder: &Path, words: &[OsString]) -> Result<ExitCode, Refusal> {
    let (filter, samples) = match words {
        [filter] => (filter, None),
        [filter, samples] => (filter, Some(samples)),
        _ => {
            return Err(Refusal::Misused(
                "a filter, and perhaps a file of samples, belong there".to_owned(),
            ));
        }
    };
    match test(folder, filter, samples.map(Path::new)) {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::from(FAILED)),
        Err(problem) => Err(Refusal::Unusable(problem)),
    }
}

/// Runs the samples of a filter; how many came out otherwise.
pub(super) fn test(folder: &Path, filter: &OsStr, given: Option<&Path>) -> Result<usize, String> {
    let filter = Named::new(folder, filter)?;
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
pub(super) fn clock() -> Clock {
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

pub(super) fn who(who: &Who) -> String {
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

//! `fail2ban-regex`: tries rules on a log and tells what they do.
//!
//! The output is Fail2Ban's, for people and scripts that know it (behaviour spec 7.7); what differs is in
//! `docs/compat/DEVIATIONS.md`. Which rules are tried is decided in `rules.rs`, the lines are gone through in `scan.rs`,
//! the report is written in `report.rs`.

mod archive;
mod blocks;
mod cores;
mod failure;
mod input;
mod named;
mod options;
mod progress;
mod python;
mod reading;
mod report;
mod rules;
mod scan;
#[cfg(test)]
mod tests;
mod words;
mod xz;

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use input::Input;
use options::{Options, Request};
use rules::Rules;
use scan::{Printing, Tally};

/// Why the tool stops, as it is printed.
#[derive(Debug)]
enum Stop {
    /// Something asked for is wrong or cannot be done.
    Refused(String),
    /// Nobody reads the output any more, or the log cannot be read.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs the tool with the words after the program's name; exit code 0 whatever matched, 255 for a fault.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let terminal = io::stdout().is_terminal();
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let code = match options::parse(args) {
        Ok(Request::Say(text)) => said(&writeln!(out, "{text}"), 0),
        Ok(Request::Help(faults)) => {
            let code = said(&writeln!(out, "{}", options::help()), 255);
            crate::terminal::complain("");
            for fault in faults {
                crate::terminal::complain(&format!("ERROR: {fault}"));
            }
            code
        }
        Ok(Request::Test(options)) => match test(&options, terminal, &mut out) {
            Ok(()) => ExitCode::SUCCESS,
            Err(Stop::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(Stop::Io(error)) => said(&writeln!(out, "ERROR: {error}"), 255),
            Err(Stop::Refused(text)) => said(&writeln!(out, "ERROR: {text}"), 255),
        },
        Err(text) => {
            crate::terminal::complain(&text);
            ExitCode::from(2)
        }
    };
    // Nobody is left to hear of an error here.
    let _ = out.flush();
    code
}

/// Exit code of a text that was written; a closed pipe is no error, nobody is listening then.
fn said(written: &io::Result<()>, code: u8) -> ExitCode {
    let _ = written;
    ExitCode::from(code)
}

fn test(options: &Options, terminal: bool, out: &mut impl Write) -> Result<(), Stop> {
    let quiet = options.out.is_some();
    let mut heading = String::new();
    let rules = rules::read(options, &mut heading);
    if !quiet {
        write!(out, "\nRunning tests\n=============\n\n{heading}")?;
    }
    let rules: Rules = rules?;
    let input = Input::open(options, &rules)?;
    if !quiet {
        writeln!(out, "{}", input.heading(rules.filter.spans_lines()))?;
        // Reading may take long: what is read is told before.
        out.flush()?;
    }
    let began = Instant::now();
    if let Some(token) = &options.out {
        let printing = Printing {
            rules: &rules,
            options,
            token,
            terminal,
            now: scan::now(),
            plain: false,
        };
        return Ok(printing.print(input, out)?);
    }
    let mut tally = Tally::new(&rules, options);
    tally.read(input)?;
    Ok(report::write(&tally, &rules, options, terminal, began.elapsed(), out)?)
}

//! Runs a filter over a log and tells which line names whom.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use super::truth::Recording;

/// One failure a filter found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    /// Line number from 1; `None` if the line could not be found again.
    pub line: Option<usize>,
    /// Whom the filter names.
    pub address: String,
    /// When, in seconds.
    pub at: f64,
}

/// Marks the rows of a failure among whatever else is printed.
const MARK: &str = "@@";

/// The program that applies the filter: Fail2Ban's or ours, both answering as `fail2ban-regex`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engine<'a> {
    /// What to run.
    pub program: &'a Path,
}

impl Engine<'_> {
    /// All failures `filter` finds in the log. Names are not resolved.
    pub(crate) fn read(self, recording: &Recording, filter: &str) -> Result<Vec<Named>, String> {
        let format = format!("{MARK}<ip>|<time>|<matches>");
        let output = Command::new(self.program)
            .args(["--no-check-all", "--usedns=no", "-e", "utf-8", "-o", &format])
            .arg(&recording.path)
            .arg(filter)
            .env("TZ", "UTC")
            .output()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        if !output.status.success() {
            return Err(format!(
                "{} with {filter}: {}",
                self.program.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        let mut places = Places::of(&recording.lines);
        let text = String::from_utf8_lossy(&output.stdout);
        let rows = text.split('\n').filter_map(|row| row.strip_prefix(MARK));
        rows.map(|row| {
            let mut cells = row.splitn(3, '|');
            match (cells.next(), cells.next().and_then(|at| at.parse().ok()), cells.next()) {
                (Some(address), Some(at), Some(line)) => Ok(Named {
                    line: places.next(line),
                    address: address.to_owned(),
                    at,
                }),
                _ => Err(format!("{} printed an unknown row: {row}", self.program.display())),
            }
        })
        .collect()
    }
}

/// Where each text stands in the log; the n-th time it is asked for, its n-th place.
struct Places<'a>(HashMap<&'a str, Vec<usize>>);

impl<'a> Places<'a> {
    fn of(lines: &'a [String]) -> Self {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, line) in (1..).zip(lines) {
            places.entry(line).or_default().push(number);
        }
        for numbers in places.values_mut() {
            numbers.reverse();
        }
        Self(places)
    }

    fn next(&mut self, line: &str) -> Option<usize> {
        let numbers = self.0.get_mut(line)?;
        if numbers.len() > 1 {
            numbers.pop()
        } else {
            numbers.last().copied()
        }
    }
}

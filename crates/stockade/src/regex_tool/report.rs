//! The report on a log.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use stockade_core::Timestamp;

use super::options::{Options, Print};
use super::rules::Rules;
use super::scan::{DateHits, Hits, Lines, Tally};

/// Writes the report. On a terminal control characters of log lines are shown, not sent.
pub(super) fn write(
    tally: &Tally<'_>,
    rules: &Rules,
    options: &Options,
    terminal: bool,
    took: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    let verbose = options.verbosity > 0;
    write!(out, "\nResults\n=======\n")?;
    if let Some(prefregex) = rules.settings.prefregex.as_ref() {
        let shown = rules.filter.prefregex().unwrap_or(prefregex);
        writeln!(out, "\nPrefregex: {} total\n|  {shown}", tally.prefregex)?;
        for groups in &tally.prefixes {
            writeln!(out, "|      {groups}")?;
        }
        writeln!(out, "`-")?;
    }
    failregex(&rules.settings.failregex, &tally.failregex, verbose, out)?;
    ignoreregex(&rules.settings.ignoreregex, &tally.ignoreregex, verbose, out)?;
    if let Some(hits) = &tally.dates {
        write!(out, "\nDate template hits:\n")?;
        let templates = dates(hits, rules, verbose, options.verbose_date);
        if !templates.is_empty() {
            write!(out, "|- [# of hits] date format\n{templates}`-\n")?;
        }
    }
    let (ignored, matched, missed) = (tally.ignored.count, tally.matched.count, tally.missed.count);
    let lines = ignored + matched + missed;
    writeln!(
        out,
        "\nLines: {lines} lines, {ignored} ignored, {matched} matched, {missed} missed"
    )?;
    writeln!(out, "[processed in {:.2} sec]\n", took.as_secs_f64())?;
    if tally.overruns > 0 {
        writeln!(
            out,
            "Warning: the search of {} line(s) was given up, a rule took too many steps\n",
            tally.overruns
        )?;
    }

    let mut list = List {
        terminal,
        debuggex: options.debuggex,
        multiline: rules.filter.spans_lines(),
        out,
    };
    list.lines(
        "Matched",
        &tally.matched,
        rules.filter.failregex(),
        &rules.settings.failregex,
    )?;
    list.lines(
        "Ignored",
        &tally.ignored,
        rules.filter.ignoreregex(),
        &rules.settings.ignoreregex,
    )?;
    list.lines(
        "Missed",
        &tally.missed,
        rules.filter.failregex(),
        &rules.settings.failregex,
    )
}

/// The date templates with their hits.
fn dates(hits: &[DateHits], rules: &Rules, all: bool, in_full: bool) -> String {
    let names: Vec<&str> = rules.filter.date_templates().collect();
    let mut out = String::new();
    for hits in hits.iter().filter(|hits| all || hits.count > 0) {
        // Writing to a String cannot go wrong.
        let name = names.get(hits.number).unwrap_or(&"");
        let _ = writeln!(out, "|  [{}] {name}", hits.count);
        if in_full {
            let template = &hits.template;
            let _ = writeln!(
                out,
                "|      # weight: {:.3} ({:.3}), pattern: {}\n|      # regex:   {}",
                template.score, template.weight, template.pattern, template.regex
            );
        }
    }
    out
}

fn failregex(rules: &[String], hits: &[Hits], verbose: bool, out: &mut impl Write) -> io::Result<()> {
    let total: u64 = hits.iter().map(|hits| hits.count).sum();
    writeln!(out, "\nFailregex: {total} total")?;
    if total == 0 && !verbose {
        return Ok(());
    }
    writeln!(out, "|-  #) [# of hits] regular expression")?;
    for (number, (rule, hits)) in rules.iter().zip(hits).enumerate() {
        if verbose || hits.count > 0 {
            writeln!(out, "|  {:>2}) [{}] {rule}", number + 1, hits.count)?;
        }
        for (id, at) in &hits.failures {
            writeln!(out, "|      {id}  {}", local(*at))?;
        }
    }
    writeln!(out, "`-")
}

fn ignoreregex(rules: &[String], hits: &[u64], verbose: bool, out: &mut impl Write) -> io::Result<()> {
    let total: u64 = hits.iter().sum();
    writeln!(out, "\nIgnoreregex: {total} total")?;
    if total == 0 && (!verbose || rules.is_empty()) {
        return Ok(());
    }
    writeln!(out, "|-  #) [# of hits] regular expression")?;
    for (number, (rule, hits)) in rules.iter().zip(hits).enumerate() {
        if verbose || *hits > 0 {
            writeln!(out, "|  {:>2}) [{hits}] {rule}", number + 1)?;
        }
    }
    writeln!(out, "`-")
}

fn local(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    time.to_zoned(crate::zone::system())
        .strftime("%a %b %d %H:%M:%S %Y")
        .to_string()
}

struct List<'a, W> {
    terminal: bool,
    debuggex: bool,
    /// Rules see several lines: `^` and `$` hold at each of them.
    multiline: bool,
    out: &'a mut W,
}

impl<W: Write> List<'_, W> {
    fn lines(&mut self, name: &str, lines: &Lines, expanded: &[String], rules: &[String]) -> io::Result<()> {
        if lines.count == 0 || lines.print == Print::Never {
            return Ok(());
        }
        if lines.too_many() {
            let option = name.to_lowercase();
            return writeln!(
                self.out,
                "{name} line(s): too many to print.  Use --print-all-{option} to print all {} lines",
                lines.count
            );
        }
        writeln!(self.out, "|- {name} line(s):")?;
        for line in &lines.kept {
            let shown = if self.terminal { visible(line) } else { line.to_owned() };
            if !self.debuggex {
                writeln!(self.out, "|  {}", shown.trim_end())?;
                continue;
            }
            for (regex, rule) in expanded.iter().zip(rules) {
                let (regex, text) = (escaped(regex), escaped(line));
                let flags = if self.multiline { "&flags=m" } else { "" };
                writeln!(
                    self.out,
                    "|  {shown} | {rule} |  https://www.debuggex.com/?re={regex}&str={text}&flavor=python{flags}"
                )?;
            }
        }
        writeln!(self.out, "`-")
    }
}

/// A line with its control characters shown, so that a log cannot drive a terminal.
fn visible(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for letter in line.chars() {
        if letter.is_control() && letter != '\t' {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// A text in an address, as Python's `urlencode` writes it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

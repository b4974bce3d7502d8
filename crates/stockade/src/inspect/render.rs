//! Findings as text with the line and a caret, and as JSON.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;

use serde_json::{Value, json};
use stockade_config::{Diagnostic, Severity, builtin};

use super::findings::Report;
use crate::screen::{Screen, Style, shown};

/// A person reads no more findings than these.
const SHOWN_FINDINGS: usize = 300;
/// Longest piece of text that is shown.
const SHOWN_CHARS: usize = 600;
/// Longest source line that is shown whole; of a longer one, what stands around the caret.
const LINE_CHARS: usize = 110;
/// Most of a file that is read for its lines; the reader of the configuration takes no more.
const FILE_LIMIT_BYTES: u64 = 4 << 20;

/// The source lines of the files that findings name.
#[derive(Default)]
struct Sources {
    files: HashMap<String, Vec<String>>,
}

/// A piece of a source line.
struct Spot {
    line: String,
    /// Character of the line, from 0.
    at: usize,
    /// Characters, at least one.
    length: usize,
}

impl Sources {
    fn line(&mut self, file: &str, number: u32) -> Option<&str> {
        if !self.files.contains_key(file) {
            let text = match file.strip_prefix("built-in/") {
                Some(name) => builtin::text(name).unwrap_or_default().to_owned(),
                None => read(file),
            };
            let lines = text.lines().map(str::to_owned).collect();
            self.files.insert(file.to_owned(), lines);
        }
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.files.get(file)?.get(index).map(String::as_str)
    }

    /// The line a finding is about, and the piece of it that is meant.
    fn spot(&mut self, finding: &Diagnostic) -> Option<Spot> {
        let place = finding.place.as_ref()?;
        let line = self.line(&place.file, place.line)?.to_owned();
        let first = line.chars().position(|c| !c.is_whitespace()).unwrap_or(0);
        let start = usize::try_from(place.column).ok()?.checked_sub(1).unwrap_or(first);
        let end = line.trim_end().chars().count();
        let whole = Spot {
            at: start,
            length: if place.column == 0 {
                end.saturating_sub(start).max(1)
            } else {
                1
            },
            line,
        };
        let Some(about) = &finding.about else {
            return Some(whole);
        };
        let from = whole.line.char_indices().nth(start).map_or(0, |(byte, _)| byte);
        let behind = whole.line.get(from..).unwrap_or_default();
        // A name that is looked for as one is the first of the line; a value stands behind it.
        let value = behind.find(['=', ':']).map_or(0, |sign| sign + 1);
        let find = |text: &str| {
            let in_value = behind
                .get(value..)
                .and_then(|rest| rest.find(text))
                .map(|at| at + value);
            let named = behind.starts_with(text).then_some(0);
            named.or(in_value).or_else(|| behind.find(text))
        };
        let text = about.text.lines().next().unwrap_or_default();
        let Some(found) = find(text).filter(|_| !text.is_empty()) else {
            return Some(whole);
        };
        let at = start + behind.get(..found).map_or(0, |before| before.chars().count());
        let length = text.chars().count();
        // A rule that breaks off is wrong right behind its end.
        let (from, to) = about
            .span
            .map_or((0, length), |(from, to)| (from.min(length), to.min(length)));
        Some(Spot {
            at: at + from,
            length: to.saturating_sub(from).max(1),
            ..whole
        })
    }
}

fn read(file: &str) -> String {
    let mut bytes = Vec::new();
    let is_file = fs::metadata(file).is_ok_and(|metadata| metadata.is_file());
    let opened = fs::File::open(file).ok().filter(|_| is_file);
    // A file that is gone by now has no lines to show.
    let _ = opened.map(|file| file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes the report to the terminal.
pub(super) fn text(report: &Report) {
    let mut screen = Screen::new();
    let mut sources = Sources::default();
    for finding in report.findings.iter().take(SHOWN_FINDINGS) {
        one(&mut screen, finding, &mut sources);
        screen.blank();
    }
    if report.findings.len() > SHOWN_FINDINGS {
        let more = report.findings.len() - SHOWN_FINDINGS;
        screen.line(&[(Style::Dim, &format!("{more} more findings are told by --json"))]);
        screen.blank();
    }
    let rules: usize = report.running().map(|jail| jail.lines("addfailregex").count()).sum();
    let running = report.running().count();
    let left_out = report.config.jails.len() - running;
    let mut parts = vec![format!(
        "{} with {} will run",
        count(running, "jail"),
        count(rules, "rule")
    )];
    if left_out > 0 {
        parts.push(format!("{left_out} will not"));
    }
    parts.push(match (report.errors(), report.warnings()) {
        (0, 0) => "nothing found wrong".to_owned(),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    });
    let style = if report.errors() > 0 { Style::Bad } else { Style::Good };
    screen.line(&[(style, &parts.join("; "))]);
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn one(screen: &mut Screen, finding: &Diagnostic, sources: &mut Sources) {
    let (word, style) = word(finding.severity);
    let what = shown(&finding.what, SHOWN_CHARS);
    screen.line(&[(style, word), (Style::Title, &format!(": {what}"))]);
    let spot = sources.spot(finding);
    if let Some(place) = &finding.place {
        let mut place = place.clone();
        if let Some(spot) = &spot {
            place.column = u32::try_from(spot.at + 1).unwrap_or(0);
        }
        screen.line(&[
            (Style::Dim, "  --> "),
            (Style::Name, &shown(&place.to_string(), SHOWN_CHARS)),
        ]);
        if let Some(spot) = spot {
            snippet(screen, place.line, &spot, style);
        }
    }
    for (label, text) in [("why", &finding.why), ("mend", &finding.mend)] {
        if !text.is_empty() {
            screen.line(&[
                (Style::Dim, &format!("  {label}: ")),
                (Style::Plain, &shown(text, SHOWN_CHARS)),
            ]);
        }
    }
}

const fn word(severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Error => ("error", Style::Bad),
        Severity::Warning => ("warning", Style::Name),
    }
}

/// The source line with carets under the piece that is meant.
fn snippet(screen: &mut Screen, number: u32, spot: &Spot, style: Style) {
    let characters: Vec<char> = spot.line.trim_end().chars().collect();
    // Around the caret, if the line is long.
    let skip = if characters.len() > LINE_CHARS {
        spot.at.saturating_sub(LINE_CHARS / 2)
    } else {
        0
    };
    let (mut text, mut under) = (String::new(), String::new());
    for (at, &character) in characters.iter().enumerate().skip(skip).take(LINE_CHARS) {
        // A tab is as wide as the terminal makes it; what cannot be seen is written out.
        let piece = if character == '\t' {
            " ".to_owned()
        } else {
            shown(&character.to_string(), 20)
        };
        let mark = if at >= spot.at && at < spot.at + spot.length {
            '^'
        } else {
            ' '
        };
        under.extend(std::iter::repeat_n(mark, piece.chars().count()));
        text.push_str(&piece);
    }
    if spot.at >= characters.len() {
        under.push('^');
    }
    let (before, after) = (
        if skip > 0 { "…" } else { "" },
        if characters.len() > skip + LINE_CHARS {
            "…"
        } else {
            ""
        },
    );
    let margin = format!("{number:>5} | ");
    screen.line(&[(Style::Dim, &margin), (Style::Plain, &format!("{before}{text}{after}"))]);
    let gap = " ".repeat(margin.chars().count() - 2);
    let under = format!("{}{}", " ".repeat(before.chars().count()), under.trim_end());
    screen.line(&[(Style::Dim, &format!("{gap}| ")), (style, &under)]);
}

/// The report for programs.
pub(super) fn json(report: &Report) -> String {
    let mut sources = Sources::default();
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| entry(finding, &mut sources))
        .collect();
    let jails = report.config.jails.iter().map(
        |jail| json!({"name": jail.name, "runs": jail.problem.is_none(), "rules": jail.lines("addfailregex").count()}),
    );
    let document = json!({
        "errors": report.errors(),
        "warnings": report.warnings(),
        "jails": jails.collect::<Vec<_>>(),
        "findings": findings,
    });
    format!("{document:#}")
}

fn entry(finding: &Diagnostic, sources: &mut Sources) -> Value {
    let mut entry = json!({
        "severity": word(finding.severity).0,
        "what": finding.what,
        "why": finding.why,
        "mend": finding.mend,
        "jail": finding.jail,
    });
    if let (Some(place), Some(entry)) = (&finding.place, entry.as_object_mut()) {
        let spot = sources.spot(finding);
        entry.insert("file".into(), json!(&*place.file));
        entry.insert("section".into(), json!(&*place.section));
        entry.insert("line".into(), json!(place.line));
        entry.insert("column".into(), json!(spot.as_ref().map(|spot| spot.at + 1)));
        entry.insert("length".into(), json!(spot.as_ref().map(|spot| spot.length)));
    }
    entry
}

//! `stockade filter new`: the beginning of a filter, made of a few lines of a log.
//!
//! Each line becomes pieces ([`pieces`]), its pieces a rule ([`rule`]). How strict a rule has to be is found by trying: on its lines, on hostile
//! variations of them ([`hostile`]), and by the review that `stockade check` makes. Start reading at [`run`].

mod hostile;
mod line;
mod make;
mod pieces;
mod rule;
mod written;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::process::ExitCode;

use stockade_config::builtin;

use super::Refusal;
use crate::screen::{Screen, Style, shown};
use crate::terminal::complain;
use line::{Fault, Line};
use make::Made;

/// More is no few lines.
const MOST_LINES: usize = 200;
const MOST_BYTES: u64 = 1 << 20;
/// So much of a line of the file is shown.
const SHOWN_CHARS: usize = 2000;

/// Makes a filter; `words` are what stands behind `filter new`.
pub(super) fn run(words: &[OsString], to: Option<&Path>) -> Result<ExitCode, Refusal> {
    let (name, file) = match words {
        [name] => (name, None),
        [name, file] => (name, Some(Path::new(file))),
        _ => {
            return Err(Refusal::Misused(
                "a name, and perhaps a file of lines, belong there".to_owned(),
            ));
        }
    };
    let name = checked(name)?;
    if let Some(folder) = to {
        written::is_free(folder, name).map_err(Refusal::Unusable)?;
    }
    let lines = lines(&pasted(file)?)?;
    let (lines, datepattern) = lines;
    let made = make::make(&lines, &datepattern)
        .map_err(|problem| Refusal::Failed(format!("no filter could be made of these lines\n{problem}")))?;
    let texts = written::texts(name, &lines, &made);
    let mut screen = Screen::new();
    report(&mut screen, &lines, &made, &texts.filter);
    if let Some(folder) = to {
        screen.title("Written");
        written::write(folder, name, &texts).map_err(Refusal::Failed)?;
        let files = format!("{0}/{name}.conf and {0}/{name}.samples", folder.display());
        screen.fact("files", &files);
    }
    go_on(&mut screen, name, file, to);
    Ok(ExitCode::SUCCESS)
}

fn checked(name: &OsString) -> Result<&str, Refusal> {
    let unusable = |what: String| Refusal::Unusable(what);
    let text = name.to_str().unwrap_or_default();
    let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !is_name {
        return Err(unusable(format!(
            "`{}` is no name for a filter\n  mend: letters, digits, `-` and `_`, 64 at most",
            name.to_string_lossy().escape_debug()
        )));
    }
    if builtin::text(&format!("filter.d/{text}.conf")).is_some() {
        return Err(unusable(format!(
            "there is a built-in filter `{text}`, which the new one would hide\n  mend: another name, such as {text}-own"
        )));
    }
    Ok(text)
}

fn pasted(file: Option<&Path>) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    let (read, from) = if let Some(path) = file {
        let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
        (read, path.display().to_string())
    } else {
        let input = std::io::stdin();
        if input.is_terminal() {
            complain("Paste a few lines of the log, and end with Ctrl-D on a line of its own:");
        }
        let read = input.lock().take(MOST_BYTES + 1).read_to_end(&mut bytes);
        (read, "standard input".to_owned())
    };
    let read = read.map_err(|error| {
        Refusal::Unusable(format!(
            "{from} cannot be read: {error}\n  mend: name a file with a few lines of the log"
        ))
    })?;
    if u64::try_from(read).is_ok_and(|read| read > MOST_BYTES) {
        return Err(Refusal::Unusable(format!(
            "{from} is longer than 1 MiB\n  mend: a few lines of each kind of failure are enough"
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The lines with their dates, and the `datepattern` that finds these.
fn lines(pasted: &str) -> Result<(Vec<Line>, String), Refusal> {
    let faulty = |faults: Vec<Fault>| {
        let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
        Refusal::Unusable(format!("these lines cannot be used as they are\n{}", faults.join("\n")))
    };
    let mut lines = line::read(pasted).map_err(faulty)?;
    if lines.len() > MOST_LINES {
        return Err(Refusal::Unusable(format!(
            "{} lines are too many\n  mend: a few of each kind of failure are enough; `fail2ban-regex` tries the filter on a whole log",
            lines.len()
        )));
    }
    if !lines.iter().any(|line| line.address.is_some()) {
        return Err(Refusal::Unusable(
            "there is no line of a failure\n  mend: paste lines of failed logins, as they stand in the log".to_owned(),
        ));
    }
    let datepattern = line::date(&mut lines).map_err(faulty)?;
    Ok((lines, datepattern))
}

fn report(screen: &mut Screen, lines: &[Line], made: &Made, filter: &str) {
    screen.line(&[(Style::Title, "The filter")]);
    for line in filter.lines() {
        screen.line(&[(Style::Plain, &format!("  {}", shown(line, SHOWN_CHARS)))]);
    }
    screen.title("How it was made");
    for (index, rule) in made.rules.iter().enumerate() {
        let numbers: Vec<String> = rule.lines.iter().map(usize::to_string).collect();
        let of = if numbers.len() == 1 { "line" } else { "lines" };
        screen.fact(
            &format!("rule {}", index + 1),
            &format!("of {of} {}", numbers.join(", ")),
        );
        let foreign: Vec<String> = rule
            .foreign
            .iter()
            .map(|text| format!("`{}`", shown(text, 60)))
            .collect();
        if !foreign.is_empty() {
            screen.fact("", &format!("anything may stand for {}", foreign.join(", ")));
        }
        if !rule.stands_unmarked {
            screen.fact(
                "",
                "if somebody else chose a word in it that is not marked, he could have others banned: mark such words",
            );
        }
    }
    screen.fact("tried", &format!(
        "{} lines come out as they should; {} hostile variations of them name nobody else; the review finds no fault",
        lines.len(),
        made.variations
    ));
}

fn go_on(screen: &mut Screen, name: &str, file: Option<&Path>, to: Option<&Path>) {
    screen.title("How to go on");
    let mut step = |text: &str| screen.line(&[(Style::Plain, &format!("  {text}"))]);
    step(
        "Read the rules: a word that can differ, and a number that may not, are yours to tell; marks help (`stockade filter --help`).",
    );
    match to {
        None => {
            let lines = file.map_or("LINES".to_owned(), |file| file.display().to_string());
            step(&format!(
                "Write it:           stockade filter new {name} {lines} --to /etc/fail2ban/filter.d"
            ));
        }
        Some(folder) => {
            let folder = folder.display();
            step(&format!(
                "Add lines of successful logins to {folder}/{name}.samples, each behind `- `, and try: stockade filter test {folder}/{name}.conf"
            ));
            step(&format!(
                "Try a whole log:    fail2ban-regex /var/log/{name}.log {folder}/{name}.conf"
            ));
        }
    }
    step("Let it ban, in /etc/fail2ban/jail.local:");
    for line in [
        &format!("    [{name}]"),
        "    enabled = true",
        "    # where these lines stand, and the ports of the service",
        &format!("    logpath = /var/log/{name}.log"),
        "    port = 80,443",
        "    maxretry = 5",
    ] {
        step(line);
    }
}

//! The files of a new filter.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::hostile;
use super::line::Line;
use super::make::Made;
use super::rule::Shape;

/// What goes into the files.
pub(super) struct Texts {
    pub(super) filter: String,
    pub(super) samples: String,
}

/// The texts of the filter and its samples.
pub(super) fn texts(name: &str, lines: &[Line], made: &Made) -> Texts {
    let rules: Vec<String> = made.rules.iter().map(|rule| in_file(&rule.text)).collect();
    let mut filter = format!(
        "# Made by `stockade filter new`, as a beginning; {name}.samples has the lines it was made of, and\n\
         # `stockade filter test {name}` tries it on them.\n\n[Definition]\nfailregex = {}\n\ndatepattern = {}\n",
        rules.join("\n            "),
        in_file(&made.datepattern)
    );
    let mut programs: Vec<Option<&str>> = made.rules.iter().map(|rule| rule.shape.program.as_deref()).collect();
    programs.sort_unstable();
    programs.dedup();
    let programs: Option<Vec<&str>> = programs.into_iter().collect();
    if let Some(programs) = programs {
        let matches = programs.iter().map(|program| {
            // The kernel keeps 15 letters of a program's name.
            let name = program.rsplit('/').next().unwrap_or_default();
            format!("_COMM={}", name.chars().take(15).collect::<String>())
        });
        let matches: Vec<String> = matches.collect();
        let _ = write!(filter, "\njournalmatch = {}\n", in_file(&matches.join(" + "))); // writing to a String cannot fail
    }
    let mut samples = format!(
        "# Lines for {name}.conf: behind `+ ADDRESS ` a failure of this address, behind `- ` none, behind `! ADDRESS ` what an attacker wrote,\n\
         # which may name this address or nobody. {{{{any}}}} is text that somebody else chose.\n"
    );
    for line in lines {
        let _ = match line.address {
            Some(address) => writeln!(samples, "+ {address} {}", with_holes(line, &Shape::of(line))),
            None => writeln!(samples, "- {}", line.text),
        };
    }
    let failures: Vec<&Line> = lines.iter().filter(|line| line.address.is_some()).collect();
    for rule in &made.rules {
        if let Some(line) = failures.get(rule.maker)
            && let Some(address) = line.address
            && let Some(hostile) = hostile::sample(line, &rule.shape)
        {
            let _ = writeln!(samples, "! {address} {hostile}");
        }
    }
    Texts { filter, samples }
}

/// A value as it stands in a file of the configuration.
fn in_file(value: &str) -> String {
    value.replace('%', "%%")
}

fn with_holes(line: &Line, shape: &Shape) -> String {
    let mut text = line.text.clone();
    let places: Vec<_> = shape.foreign().map(|place| line.outside(place)).collect();
    for place in places.into_iter().rev() {
        text.replace_range(place, "{{any}}");
    }
    text
}

/// Fails if the folder is none, or has such a filter.
pub(super) fn is_free(folder: &Path, name: &str) -> Result<(), String> {
    if !folder.is_dir() {
        return Err(format!(
            "there is no folder {}\n  mend: --to /etc/fail2ban/filter.d, which `mkdir -p` makes where there is none",
            folder.display()
        ));
    }
    for ending in ["conf", "local", "samples"] {
        let path = folder.join(format!("{name}.{ending}"));
        if path.symlink_metadata().is_ok() {
            return Err(format!(
                "{} is there already, and is not overwritten\n  mend: another name, or move it away",
                path.display()
            ));
        }
    }
    Ok(())
}

/// Writes both files, and tries the filter as it stands there; what does not hold is taken away again.
pub(super) fn write(folder: &Path, name: &str, texts: &Texts) -> Result<(), String> {
    let mut made = Vec::new();
    for (ending, text) in [("conf", &texts.filter), ("samples", &texts.samples)] {
        let path = folder.join(format!("{name}.{ending}"));
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| {
            made.push(path.clone());
            file.write_all(text.as_bytes())
        });
        if let Err(error) = written {
            remove(&made);
            return Err(cannot(&path, &error));
        }
    }
    let file = folder.join(format!("{name}.conf"));
    match super::super::test::test(folder, file.as_os_str(), None) {
        Ok(0) => Ok(()),
        Ok(_) => {
            remove(&made);
            Err("the filter does not find its own lines as it stands in the file; nothing was left there".to_owned())
        }
        Err(problem) => {
            remove(&made);
            Err(problem)
        }
    }
}

fn remove(paths: &[std::path::PathBuf]) {
    for path in paths {
        // It was written a moment ago; what cannot be removed is told by the error that follows, which names the folder.
        let _ = fs::remove_file(path);
    }
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!(
        "{} cannot be written: {error}\n  mend: run it as root, or name another folder",
        path.display()
    )
}

//! Doors to what is private in this crate, for the targets in `fuzz/` and nobody else.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place};
use crate::ini;
use crate::interpolate::View;
use crate::merge::Merged;

/// One option as the reader gives it: section, name, raw value, the numbers of its lines.
pub type Raw = (String, String, String, Vec<u32>);

/// Reads one file, without any interpolation.
pub fn ini(bytes: &[u8]) -> (Vec<Raw>, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    let file = ini::parse(&Arc::from("fuzz.conf"), bytes, &mut findings);
    let mut options = Vec::new();
    for section in file.sections {
        for (name, entry) in section.options {
            options.push((section.name.to_string(), name, entry.value, entry.lines));
        }
    }
    (options, findings)
}

/// Reads two files on top of one another and makes out every option of every section.
pub fn interpolate(first: &[u8], second: &[u8]) -> Vec<Result<String, Box<Diagnostic>>> {
    let mut merged = Merged::default();
    for bytes in [first, second] {
        merged.add(ini::parse(&Arc::from("fuzz.conf"), bytes, &mut Vec::new()));
    }
    let mut values = Vec::new();
    for section in &merged.sections {
        let view = View::new(&merged, &section.name);
        for (option, _) in section.options.iter().chain(&merged.defaults.options) {
            match view.get(option) {
                Ok(value) => values.push(Ok(value.unwrap_or_default())),
                Err(error) => values.push(Err(Box::new(error.diagnostic(Place::file("fuzz.conf"))))),
            }
            // Where the lines come from must agree with what they are, or not be told.
            let lines = view.lines(option).unwrap_or_default();
            values.extend(lines.into_iter().map(|(line, _)| Ok(line)));
        }
    }
    values
}

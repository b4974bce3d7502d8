//! One file in the dialect of Python's `configparser` as Fail2Ban sets it up, every value with its line.
//!
//! Nothing of a damaged file is given up but the damaged lines: each is reported, the rest is used. (Fail2Ban stops
//! altogether; deviation.) The rules are behaviour spec 1.3. Start reading at [`parse`].

use crate::names::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place};
use crate::positions::Positions;

/// Largest file that is read; the largest of Fail2Ban's own has 30 KB.
pub(crate) const FILE_LIMIT_BYTES: usize = 4 << 20;
/// No more findings than this per file: a binary file would fill the screen.
const FINDINGS_PER_FILE: usize = 20;

/// One file, sections in order; `DEFAULT` is among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct IniFile {
    pub(crate) sections: Vec<IniSection>,
}

/// One section.
#[derive(Clone, Debug)]
pub(crate) struct IniSection {
    pub(crate) name: Arc<str>,
    pub(crate) place: Place,
    pub(crate) options: Vec<(String, Entry)>,
}

/// A raw value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The value before interpolation; lines are joined by `\n`.
    pub(crate) value: String,
    /// Where the option's name stands.
    pub(crate) place: Place,
    /// The line number of each line of the value.
    pub(crate) lines: Vec<u32>,
}

impl Entry {
    /// Where line `index` (from 0) of the value stands.
    pub(crate) fn place_of(&self, index: usize) -> Place {
        let line = self.lines.get(index).copied().unwrap_or(self.place.line);
        let column = if line == self.place.line { self.place.column } else { 0 };
        Place {
            line,
            column,
            ..self.place.clone()
        }
    }
}

/// What Python's `str.strip` strips.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The option being read: its lines are joined when the next one begins.
struct Open {
    name: String,
    place: Place,
    value: String,
    lines: Vec<u32>,
}

impl Open {
    fn push(&mut self, number: u32, text: &str) {
        self.value.push('\n');
        self.value.push_str(text);
        self.lines.push(number);
    }
}

/// Reads `bytes`, the content of `file`.
pub(crate) fn parse(file: &Arc<str>, bytes: &[u8], findings: &mut Vec<Diagnostic>) -> IniFile {
    let mut reader = Reader {
        file,
        ini: IniFile::default(),
        current: None,
        open: None,
        indent: 0,
        sections: HashMap::default(),
        positions: Vec::new(),
        found: Vec::new(),
        more: 0,
    };
    let mut bytes = bytes;
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        let what = "the file begins with a byte order mark, which is passed over";
        reader.report(
            Diagnostic::warning(what, reader.place(1, 0))
                .why("Fail2Ban refuses such a file")
                .mend("save it as UTF-8 without a byte order mark"),
        );
        bytes = rest;
    }
    for (number, line) in lines(bytes) {
        match std::str::from_utf8(line) {
            Ok(line) => reader.line(number, line),
            Err(error) => reader.undecodable(number, line, error.valid_up_to()),
        }
    }
    reader.close();
    let Reader {
        ini, mut found, more, ..
    } = reader;
    if more > 0 {
        found.push(Diagnostic::error(
            format!("{more} more lines like these"),
            Place::file(file),
        ));
    }
    findings.append(&mut found);
    ini
}

/// Lines with their numbers; `\n`, `\r\n` and `\r` end one, as Python's universal newlines do.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = Some(bytes);
    let mut number = 0_u32;
    std::iter::from_fn(move || {
        let text = rest?;
        if text.is_empty() {
            return None;
        }
        number = number.saturating_add(1);
        let end = text.iter().position(|&byte| byte == b'\n' || byte == b'\r');
        let (line, after) = match end {
            None => (text, &[][..]),
            Some(end) => {
                let (line, after) = text.split_at(end);
                let skip = if after.starts_with(b"\r\n") { 2 } else { 1 };
                (line, after.get(skip..).unwrap_or_default())
            }
        };
        rest = Some(after);
        Some((number, line))
    })
}

struct Reader<'a> {
    file: &'a Arc<str>,
    ini: IniFile,
    /// Index of the section being read.
    current: Option<usize>,
    open: Option<Open>,
    indent: usize,
    /// Where in `ini` a section stands, by its name.
    sections: HashMap<Arc<str>, usize>,
    /// Where in its section an option stands, by the section's number and its name.
    positions: Vec<Positions>,
    found: Vec<Diagnostic>,
    /// Findings beyond those in `found`.
    more: usize,
}

impl Reader<'_> {
    fn place(&self, line: u32, column: u32) -> Place {
        let section = self
            .current
            .and_then(|index| self.ini.sections.get(index))
            .map_or_else(|| "".into(), |s| Arc::clone(&s.name));
        Place {
            file: Arc::clone(self.file),
            line,
            column,
            section,
        }
    }

    fn report(&mut self, finding: Diagnostic) {
        if self.found.len() < FINDINGS_PER_FILE {
            self.found.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn undecodable(&mut self, number: u32, line: &[u8], valid: usize) {
        let before = line
            .get(..valid)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default();
        let column = u32::try_from(before.chars().count().saturating_add(1)).unwrap_or(0);
        let place = self.place(number, column);
        if strip(before).starts_with(['#', ';']) {
            let what = "a comment is not UTF-8";
            self.report(
                Diagnostic::warning(what, place)
                    .why("Fail2Ban leaves the whole file out")
                    .mend("save the file as UTF-8"),
            );
        } else {
            let what = "this line is not UTF-8 and is left out";
            self.report(
                Diagnostic::error(what, place)
                    .why("the configuration is read as UTF-8")
                    .mend("save the file as UTF-8"),
            );
            // What follows indented belonged to the lost line, not to the option before it.
            self.close();
        }
    }

    fn line(&mut self, number: u32, line: &str) {
        let commented = comment_start(line);
        let text = line.get(..commented.unwrap_or(line.len())).unwrap_or(line);
        let value = strip(text);
        if value.is_empty() {
            // A blank line inside a value is part of it, unless only a comment stood there.
            if let (None, Some(open)) = (commented, &mut self.open) {
                open.push(number, "");
            }
            return;
        }
        let indent = line.chars().take_while(|&character| is_space(character)).count();
        if let Some(open) = &mut self.open
            && indent > self.indent
        {
            open.push(number, value);
            return;
        }
        self.close();
        self.indent = indent;
        if let Some(name) = section_name(value) {
            self.section(number, name);
        } else if self.current.is_none() {
            let what = format!("`{value}` stands before the first section");
            let place = self.place(number, 0);
            self.report(
                Diagnostic::error(what, place)
                    .why("every option belongs to a section")
                    .mend("put a line like [DEFAULT] before it"),
            );
        } else {
            self.option(number, indent, value);
        }
    }

    fn section(&mut self, number: u32, name: &str) {
        if let Some(&index) = self.sections.get(name) {
            self.current = Some(index);
            if name != "DEFAULT" {
                let first = self.ini.sections.get(index).map_or(0, |section| section.place.line);
                let what =
                    format!("the section [{name}] is there twice in this file, first in line {first}; both are used");
                let place = self.place(number, 0);
                self.report(
                    Diagnostic::error(what, place)
                        .why("Fail2Ban refuses such a file")
                        .mend("join the two sections"),
                );
            }
        } else {
            let name: Arc<str> = name.into();
            let place = Place {
                file: Arc::clone(self.file),
                line: number,
                column: 0,
                section: Arc::clone(&name),
            };
            self.current = Some(self.ini.sections.len());
            self.sections.insert(Arc::clone(&name), self.ini.sections.len());
            self.positions.push(Positions::default());
            self.ini.sections.push(IniSection {
                name,
                place,
                options: Vec::new(),
            });
        }
    }

    /// Where the option is that a section has already.
    fn position(&self, section: usize, name: &str) -> Option<usize> {
        let options = &self.ini.sections.get(section)?.options;
        self.positions.get(section)?.find(options, name)
    }

    fn option(&mut self, number: u32, indent: usize, text: &str) {
        let column = u32::try_from(indent.saturating_add(1)).unwrap_or(0);
        let place = self.place(number, column);
        let Some((name, value)) = text.split_once(['=', ':']) else {
            let what = format!("`{text}` is neither a section nor an option and is left out");
            let why = "an option is written `name = value`; a line that continues the value above is indented";
            self.report(Diagnostic::error(what, place).why(why).mend(format!("{text} = …")));
            return;
        };
        let name = strip(name).to_lowercase();
        if name.is_empty() {
            let what = "an option without a name is left out";
            self.report(Diagnostic::error(what, place).mend("write it `name = value`"));
            return;
        }
        if self
            .current
            .is_some_and(|section| self.position(section, &name).is_some())
        {
            let what = format!("`{name}` is set twice in this section; the last one is used");
            self.report(
                Diagnostic::error(what, place.clone())
                    .why("Fail2Ban refuses such a file")
                    .mend("remove one of them"),
            );
        }
        self.open = Some(Open {
            name,
            place,
            value: strip(value).to_owned(),
            lines: vec![number],
        });
    }

    /// Joins the lines of the option that was being read.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let mut value = open.value;
        value.truncate(value.trim_end_matches(is_space).len());
        let entry = Entry {
            value,
            place: open.place,
            lines: open.lines,
        };
        let Some(number) = self.current else { return };
        let Some(section) = self.ini.sections.get_mut(number) else {
            return;
        };
        let Some(positions) = self.positions.get_mut(number) else {
            return;
        };
        let at = positions.find(&section.options, &open.name);
        if let Some((_, old)) = at.and_then(|at| section.options.get_mut(at)) {
            *old = entry;
        } else {
            section.options.push((open.name, entry));
            positions.grown(&section.options);
        }
    }
}

/// Where a comment begins: `#` or `;` first on the line, `;` after a blank elsewhere.
fn comment_start(line: &str) -> Option<usize> {
    if strip(line).starts_with(['#', ';']) {
        return Some(0);
    }
    if !line.contains(';') {
        return None;
    }
    let mut before = None;
    for (index, character) in line.char_indices() {
        if character == ';' && before.is_none_or(is_space) {
            return Some(index);
        }
        before = Some(character);
    }
    None
}

/// `[name]`; what follows the last `]` is passed over, as Python does.
fn section_name(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name)
}

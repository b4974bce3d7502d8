//! The files in `testdata/samples`; docs/FILTERS.md says how they are written.

#![expect(unreachable_pub, reason = "a module of tests")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use crate::configured::repository;

/// What is expected of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A failure of the address given.
    Failure,
    /// No failure.
    Innocent,
    /// Written by an attacker: a failure of the address given, or none.
    Hostile,
}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// Somebody else's text, as the service lets it through.
    Hole(Hole),
}

/// How a service writes text that is not its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hole {
    /// As it is, but for some characters, which cannot come there; a newline or other control character never does.
    Any { without: String },
    /// Without blanks, and some other characters.
    Word { without: String },
    /// With quotes and backslashes escaped by a backslash, control characters as `\xNN`: JSON, Apache.
    Escaped,
    /// With quotes, backslashes and what is not ASCII as `\xNN`: nginx.
    Hex,
}

/// A line of a file of samples.
#[derive(Clone, Debug)]
pub struct Sample {
    pub kind: Kind,
    /// Of whom a failure is.
    pub address: Option<String>,
    pub parts: Vec<Part>,
    pub number: usize,
}

impl Sample {
    /// The line with harmless text in its holes.
    pub fn plain(&self) -> String {
        self.filled(|_| "alice".to_owned())
    }

    /// The line with these texts in its holes.
    pub fn filled(&self, mut text: impl FnMut(&Hole) -> String) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Hole(hole) => text(hole),
        });
        parts.collect()
    }

    pub fn has_holes(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Hole(_)))
    }
}

/// Lines that are tried with the same options, in order.
#[derive(Clone, Debug)]
pub struct Section {
    /// Each `name[option=value,...]`.
    pub filters: Vec<String>,
    pub samples: Vec<Sample>,
}

/// The samples of a filter.
pub fn read(name: &str) -> Vec<Section> {
    let path = repository(&format!("testdata/samples/{name}.samples"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut sections = vec![Section {
        filters: vec![name.to_owned()],
        samples: Vec::new(),
    }];
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            let options = line.split_inclusive(']').map(str::trim);
            let filters = options.map(|options| format!("{name}{}", if options == "[]" { "" } else { options }));
            sections.push(Section {
                filters: filters.collect(),
                samples: Vec::new(),
            });
            continue;
        }
        let addressed = |rest: &str| {
            let (address, line) = rest
                .split_once(' ')
                .unwrap_or_else(|| panic!("{name}.samples:{number}: an address and a line belong there"));
            (
                Some(address.to_owned()).filter(|address| address != "nobody"),
                line.to_owned(),
            )
        };
        let (kind, (address, line)) = match mark {
            "+" => (Kind::Failure, addressed(rest)),
            "-" => (Kind::Innocent, (None, rest.to_owned())),
            "!" => (Kind::Hostile, addressed(rest)),
            _ => panic!("{name}.samples:{number}: begins with none of `+`, `-`, `!`, `[`, `#`"),
        };
        let parts = parts(&line).unwrap_or_else(|hole| panic!("{name}.samples:{number}: what is {{{{{hole}}}}}?"));
        sections.last_mut().unwrap().samples.push(Sample {
            kind,
            address,
            parts,
            number,
        });
    }
    sections.retain(|section| !section.samples.is_empty());
    sections
}

fn parts(line: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some((before, hole, after)) = rest
        .split_once("{{")
        .and_then(|(before, from)| from.split_once("}}").map(|(hole, after)| (before, hole, after)))
    {
        parts.push(Part::Text(before.to_owned()));
        let (word, without) = hole.split_once('^').unwrap_or((hole, ""));
        let without = without.to_owned();
        parts.push(Part::Hole(match word {
            "any" => Hole::Any { without },
            "word" => Hole::Word { without },
            "escaped" => Hole::Escaped,
            "hex" => Hole::Hex,
            _ => return Err(hole.to_owned()),
        }));
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

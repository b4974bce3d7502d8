//! Files of samples; docs/FILTERS.md says how they are written.

use std::path::Path;

/// What is expected of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A failure of the address given.
    Failure,
    /// No failure.
    Innocent,
    /// Written by an attacker: a failure of the address given, or none.
    Hostile,
}

/// A line of a file of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) kind: Kind,
    /// Of whom a failure is.
    pub(super) address: Option<String>,
    pub(super) line: String,
    pub(super) number: usize,
}

/// Lines that are tried with the same options, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Each `[option=value,...]`, or nothing.
    pub(super) options: Vec<String>,
    pub(super) samples: Vec<Sample>,
}

/// Samples and where they stand.
#[derive(Debug)]
pub(super) struct Samples {
    /// A file, or words.
    pub(super) place: String,
    pub(super) sections: Vec<Section>,
}

impl Samples {
    /// The samples in a file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| {
            format!(
                "the samples {} cannot be read: {error}\n  mend: name their file behind the filter",
                path.display()
            )
        })?;
        Self::parse(path.display().to_string(), &String::from_utf8_lossy(&bytes))
    }

    pub(super) fn parse(place: String, text: &str) -> Result<Self, String> {
        match parse(text) {
            Ok(sections) => Ok(Self { place, sections }),
            Err((number, what)) => Err(format!("{place}:{number}: {what}")),
        }
    }
}

fn parse(text: &str) -> Result<Vec<Section>, (usize, String)> {
    let mut sections = Vec::new();
    let mut section = Section {
        options: vec![String::new()],
        samples: Vec::new(),
    };
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            let options = line
                .split_inclusive(']')
                .map(str::trim)
                .filter(|options| !options.is_empty());
            let options = options.map(|options| if options == "[]" { "" } else { options }.to_owned());
            let next = Section {
                options: options.collect(),
                samples: Vec::new(),
            };
            sections.push(std::mem::replace(&mut section, next));
            continue;
        }
        section
            .samples
            .push(sample(line, number).map_err(|what| (number, what))?);
    }
    sections.push(section);
    sections.retain(|section| !section.samples.is_empty());
    Ok(sections)
}

fn sample(line: &str, number: usize) -> Result<Sample, String> {
    let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
    let kind = match mark {
        "+" => Kind::Failure,
        "-" => Kind::Innocent,
        "!" => Kind::Hostile,
        _ => return Err("the line begins with none of `+ `, `- `, `! `, `[` and `#`".to_owned()),
    };
    let (address, line) = if kind == Kind::Innocent {
        (None, rest)
    } else {
        let (address, line) = rest
            .split_once(' ')
            .ok_or_else(|| format!("an address and a line belong behind `{mark}`"))?;
        let is_nobody = kind == Kind::Hostile && address == "nobody";
        (Some(address.to_owned()).filter(|_| !is_nobody), line)
    };
    Ok(Sample {
        kind,
        address,
        line: plain(line)?,
        number,
    })
}

/// A line with a harmless name in the place of each `{{…}}`, which stands for text of somebody else.
fn plain(line: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, hole, after)) = rest
        .split_once("{{")
        .and_then(|(before, from)| from.split_once("}}").map(|(hole, after)| (before, hole, after)))
    {
        let word = hole.split_once('^').map_or(hole, |(word, _)| word);
        if !matches!(word, "any" | "word" | "escaped" | "hex") {
            return Err(format!(
                "`{{{{{hole}}}}}` is none of {{{{any}}}}, {{{{word}}}}, {{{{escaped}}}} and {{{{hex}}}}"
            ));
        }
        out.push_str(before);
        out.push_str("alice");
        rest = after;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_options_and_holes_are_read() {
        let sections = parse("# c\n\n+ 192.0.2.1 a {{any^>}} b {{hex}}\n[] [x=1,y=2]\n! nobody l\n- m\n[z]\n").unwrap();
        let [first, second] = sections.as_slice() else {
            panic!("{sections:?}")
        };
        assert_eq!(first.options, [""]);
        assert_eq!(first.samples[0].line, "a alice b alice");
        assert_eq!(first.samples[0].address.as_deref(), Some("192.0.2.1"));
        assert_eq!(second.options, ["", "[x=1,y=2]"]);
        assert_eq!(second.samples[0].address, None);
        assert_eq!(second.samples[1].kind, Kind::Innocent);
    }

    #[test]
    fn what_is_no_sample_is_told_with_its_line() {
        for (text, number) in [("? a", 1), ("- a\n+ 192.0.2.1", 2), ("\n- {{some}}", 2)] {
            assert_eq!(parse(text).unwrap_err().0, number, "{text}");
        }
    }
}

//! What is wrong with a configuration, in the four parts of every message: what, where, why, mend.

use std::fmt;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but perhaps not as meant.
    Warning,
    /// A jail, a file or a line is left out because of it.
    Error,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file, as a path; `built-in/…` for a file compiled into the program.
    pub file: Arc<str>,
    /// Line, from 1; 0 if the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 if the whole line is meant.
    pub column: u32,
    /// The section, without its brackets; empty if none.
    pub section: Arc<str>,
}

impl Place {
    /// A whole file.
    pub fn file(name: &str) -> Self {
        Self {
            file: name.into(),
            line: 0,
            column: 0,
            section: "".into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        if !self.section.is_empty() {
            write!(f, " in [{}]", self.section)?;
        }
        Ok(())
    }
}

/// One finding about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, lower-case, without a full stop.
    pub what: String,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// Why it is wrong; may be empty.
    pub why: String,
    /// What to do about it; may be empty.
    pub mend: String,
    /// The jail it concerns; `None` if it concerns more than one.
    pub jail: Option<String>,
    /// The piece of the line that is meant, if it is known better than by its place.
    pub about: Option<About>,
}

/// A piece of a line, as the line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The text to look for behind the place's column.
    pub text: String,
    /// The characters of it that are meant, from 0, the second not among them; `None` if all of it is.
    pub span: Option<(usize, usize)>,
}

impl About {
    /// All of `text`.
    pub fn all(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            span: None,
        }
    }
}

impl Diagnostic {
    pub(crate) fn error(what: impl Into<String>, place: impl Into<Option<Place>>) -> Self {
        Self::new(Severity::Error, what, place)
    }

    pub(crate) fn warning(what: impl Into<String>, place: impl Into<Option<Place>>) -> Self {
        Self::new(Severity::Warning, what, place)
    }

    fn new(severity: Severity, what: impl Into<String>, place: impl Into<Option<Place>>) -> Self {
        Self {
            severity,
            what: cut(what.into()),
            place: place.into(),
            why: String::new(),
            mend: String::new(),
            jail: None,
            about: None,
        }
    }

    /// Points to `text` in the line, unless it is longer than what could be shown.
    pub(crate) fn about(mut self, text: &str) -> Self {
        self.about = (text.len() <= KEPT_BYTES).then(|| About::all(text));
        self
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = cut(why.into());
        self
    }

    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = cut(mend.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}", Shown(&self.what))?;
        if let Some(place) = &self.place {
            write!(f, "\n  at {}", Shown(&place.to_string()))?;
        }
        if !self.why.is_empty() {
            write!(f, "\n  why: {}", Shown(&self.why))?;
        }
        if !self.mend.is_empty() {
            write!(f, "\n  mend: {}", Shown(&self.mend))?;
        }
        Ok(())
    }
}

/// Longest piece that is kept: more than is shown, and little enough for ten thousand of them.
const KEPT_BYTES: usize = 4 * SHOWN_CHARS + 4;

/// A piece of a message without what would not be shown: a value of megabytes may be wrong in every jail.
pub(crate) fn cut(text: String) -> String {
    match text.get(..text.floor_char_boundary(KEPT_BYTES)) {
        // Copied and not shortened, or the memory between those that are kept is of no use to anybody.
        Some(start) if start.len() < text.len() => start.to_owned(),
        _ => text,
    }
}

/// Text for a terminal: what a file says may not move the cursor, and a long value is cut.
struct Shown<'a>(&'a str);

/// Longest piece of a message; the place tells where the rest stands.
const SHOWN_CHARS: usize = 600;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for (count, character) in self.0.chars().enumerate() {
            if count == SHOWN_CHARS {
                return f.write_str(" […]");
            }
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_what_where_why_and_mend_and_no_control_characters() {
        let place = Place {
            file: "/etc/fail2ban/jail.local".into(),
            line: 14,
            column: 12,
            section: "sshd".into(),
        };
        let shown = Diagnostic::error("`maxretry` must be a whole number, not `thr\u{1b}ee`", place)
            .why("a jail bans after this many failures within `findtime`")
            .mend("maxretry = 3")
            .to_string();
        assert_eq!(
            shown,
            "error: `maxretry` must be a whole number, not `thr\\u{1b}ee`\n  at /etc/fail2ban/jail.local:14:12 in [sshd]\n  \
             why: a jail bans after this many failures within `findtime`\n  mend: maxretry = 3"
        );
    }
}

//! A command with its options filled in, ready to be completed for a ban.

use crate::error::ActionError;
use crate::properties::{Family, Properties};
use crate::shell::{Lexer, Place, Quoting};
use crate::tags::{self, Subject, Tag, Value};

/// Options may refer to options; as many rounds as Fail2Ban allows.
const ROUNDS: usize = 25;

/// A command that grew longer than this could not be run: one argument may have 128 KiB.
const LONGEST_COMMAND: usize = 120 * 1024;

/// A command for one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Tag { tag: Tag, name: String, place: Place },
}

/// A command that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) text: String,
    pub(crate) variables: Vec<(String, String)>,
    /// The names of those variables whose values are not to be told.
    pub(crate) secrets: Vec<String>,
}

impl Template {
    /// Fills in the options of a family. Complaints that do not hinder are added to `warnings`.
    pub(crate) fn new(
        action: &str,
        option: &str,
        properties: &Properties,
        family: Family,
        warnings: &mut Vec<ActionError>,
    ) -> Result<Self, ActionError> {
        let Some(raw) = properties.get_for(option, family) else {
            return Ok(Self::default());
        };
        let text = fill_in(raw, properties, family).ok_or_else(|| ActionError::SelfReference {
            action: action.to_owned(),
            option: option.to_owned(),
        })?;
        let mut pieces = Vec::new();
        let mut lexer = Lexer::new();
        let mut rest = text.as_str();
        while let Some((before, name, after)) = next_tag(rest) {
            let bracketed = format!("<{name}>");
            lexer.read(before);
            let secret = properties.is_secret(name).then(|| properties.get_for(name, family));
            let tag = match secret {
                Some(secret) => Some(Tag::Secret(secret.unwrap_or_default().into())),
                None => Tag::parse(name),
            };
            if let Some(tag) = tag {
                let place = lexer.value();
                if tag.is_foreign() && (place.is_program() || place.quoting == Quoting::Inert) {
                    push_new(
                        warnings,
                        ActionError::TagInProgram {
                            action: action.to_owned(),
                            option: option.to_owned(),
                            tag: bracketed,
                        },
                    );
                }
                pieces.push(Piece::Text(before.to_owned()));
                pieces.push(Piece::Tag {
                    tag,
                    name: name.to_owned(),
                    place,
                });
            } else {
                if lexer.place().quoting == Quoting::Unquoted {
                    let tag = bracketed.clone();
                    push_new(
                        warnings,
                        ActionError::UnknownTag {
                            action: action.to_owned(),
                            option: option.to_owned(),
                            tag,
                        },
                    );
                }
                lexer.read(&bracketed);
                pieces.push(Piece::Text(format!("{before}{bracketed}")));
            }
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        // Most commands are one piece, and an action has a dozen for each jail.
        pieces.shrink_to_fit();
        Ok(Self { pieces })
    }

    /// True if there is nothing to run.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Text(text) if text.trim().is_empty()))
    }

    /// True if the command needs the log lines or fields of a ban.
    pub(crate) fn needs_details(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Tag { tag, .. } if tag.needs_details()))
    }

    /// Completes the command; see `shell` for what becomes of the values.
    pub(crate) fn complete(&self, subject: Subject<'_>) -> Script {
        let mut script = Script {
            text: String::new(),
            variables: Vec::new(),
            secrets: Vec::new(),
        };
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => script.text.push_str(text),
                Piece::Tag { tag, name, place } => match tags::value(tag, subject) {
                    // Fail2Ban leaves a tag it has no value for as it is; quoted, lest it become a redirection.
                    None => {
                        let quote = if place.quoting == Quoting::Unquoted { "'" } else { "" };
                        script.text.extend([quote, "<", name, ">", quote]);
                    }
                    Some(value) if !matches!(tag, Tag::Secret(_)) && can_stand_in_text(&value, place) => {
                        script.text.push_str(&value.text);
                    }
                    Some(value) => {
                        let variable = tags::variable(name);
                        script.text.push_str(&place.reference(&variable));
                        if !script.variables.iter().any(|(known, _)| *known == variable) {
                            if matches!(tag, Tag::Secret(_)) {
                                script.secrets.push(variable.clone());
                            }
                            script.variables.push((variable, value.text));
                        }
                    }
                },
            }
        }
        script
    }
}

/// True for values that are the same text to every shell and every quote: addresses, numbers, and simple words in quotes.
fn can_stand_in_text(value: &Value, place: &Place) -> bool {
    if value.plain {
        return true;
    }
    let word = value.text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.text.len() <= 256
        && value
            .text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._:@%+-".contains(c));
    // In a here-document, the word might be the line that ends it.
    word && matches!(place.quoting, Quoting::Expanding | Quoting::Single)
}

fn push_new(warnings: &mut Vec<ActionError>, warning: ActionError) {
    // The same command is compiled once per family.
    let text = warning.to_string();
    if !warnings.iter().any(|known| known.to_string() == text) {
        warnings.push(warning);
    }
}

/// The next `<name>` in a text: what is before it, the name, what is after it.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let close = from + text.get(from..)?.find('>')?;
        let open = text.get(from..close)?.rfind('<').map(|open| from + open);
        if let Some(open) = open {
            let name = text.get(open + 1..close)?;
            let sound = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
            if sound {
                return Some((text.get(..open)?, name, text.get(close + 1..)?));
            }
        }
        from = close + 1;
    }
}

/// Replaces `<option>` by the option's value, inner ones first, until nothing is left to replace. `None` if that never ends.
fn fill_in(text: &str, properties: &Properties, family: Family) -> Option<String> {
    let mut text = text.to_owned();
    for _ in 0..ROUNDS {
        let mut filled = String::with_capacity(text.len());
        let mut changed = false;
        let mut rest = text.as_str();
        while let Some((before, name, after)) = next_tag(rest) {
            filled.push_str(before);
            let value = match name {
                _ if Tag::is_reserved(name) || properties.is_secret(name) => None,
                // Blanks and line ends that the configuration's grammar would strip.
                "br" => Some("\n"),
                "sp" => Some(" "),
                _ => properties.get_for(name, family),
            };
            if let Some(value) = value {
                filled.push_str(value);
                changed = true;
            } else {
                filled.extend(["<", name, ">"]);
            }
            rest = after;
        }
        filled.push_str(rest);
        if filled.len() > LONGEST_COMMAND {
            return None;
        }
        text = filled;
        if !changed {
            return Some(text);
        }
    }
    None
}

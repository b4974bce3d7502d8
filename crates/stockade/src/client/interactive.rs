//! Commands typed one after another (`-i`).

use std::io::{BufRead, Write};
use std::process::ExitCode;

use super::Client;

/// Reads commands from standard input until `exit` or its end; what a command came to does not end it.
pub(super) fn run(client: &Client) -> ExitCode {
    crate::terminal::say(&format!(
        "Stockade {}, as Fail2Ban v{}\n",
        crate::VERSION,
        crate::FAIL2BAN_VERSION
    ));
    let mut lines = std::io::stdin().lock().lines();
    loop {
        let mut out = std::io::stdout().lock();
        // Nobody reads the prompt if this fails.
        let _ = write!(out, "fail2ban> ").and_then(|()| out.flush());
        drop(out);
        let Some(Ok(line)) = lines.next() else {
            crate::terminal::say("");
            return ExitCode::SUCCESS;
        };
        match split(&line) {
            Some(words) => match words.first().map(String::as_str) {
                None => {}
                Some("exit" | "quit") => return ExitCode::SUCCESS,
                Some(_) => {
                    client.command(&words);
                }
            },
            None => super::report::error("No closing quotation"),
        }
    }
}

/// Splits a line as a shell does: blanks, quotes, back-slashes. `None` if a quote is not closed.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        inner => word.push(inner),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            blank if blank.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_line_is_split_as_by_a_shell() {
        for (line, words) in [
            ("  status  jp ", Some(vec!["status", "jp"])),
            ("", Some(vec![])),
            (
                r#"set jp addfailregex 'a  b' "c \" \d" e\ f ''"#,
                Some(vec!["set", "jp", "addfailregex", "a  b", "c \" \\d", "e f", ""]),
            ),
            ("a 'b", None),
        ] {
            assert_eq!(
                split(line),
                words.map(|words| words.into_iter().map(ToOwned::to_owned).collect()),
                "{line}"
            );
        }
    }
}

//! Commands typed one after another (`-i`).

use std::process::ExitCode;

use stockade_config::shell_words;

use super::Client;
use super::editor::{Editor, Typed};

/// Reads commands from standard input until `exit` or its end; what a command came to does not end it.
pub(super) fn run(client: &Client) -> ExitCode {
    crate::terminal::say(&format!(
        "Stockade {}, as Fail2Ban v{}\n",
        crate::VERSION,
        crate::FAIL2BAN_VERSION
    ));
    let mut editor = Editor::default();
    loop {
        let line = match editor.read("fail2ban> ") {
            Typed::Line(line) => line,
            Typed::Dropped => continue,
            Typed::End => {
                crate::terminal::say("");
                return ExitCode::SUCCESS;
            }
        };
        match shell_words::split(&line) {
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

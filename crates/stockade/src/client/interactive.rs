//! Commands typed one after another (`-i`).

use std::io::{BufRead, Write};
use std::process::ExitCode;

use stockade_config::shell_words;

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

//! Stockade, by whatever name it was called: `fail2ban-server`, `fail2ban-client`, `fail2ban-regex`, or `stockade` with a word for each.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let called = Path::new(&called).file_name().unwrap_or_default().to_owned();
    let mut rest: Vec<OsString> = args.collect();
    let face = match called.to_str() {
        Some("fail2ban-server") => "server".into(),
        Some("fail2ban-client") => "client".into(),
        Some("fail2ban-regex") => "regex".into(),
        _ if rest.is_empty() => OsString::new(),
        _ => rest.remove(0),
    };
    let word = stockade::words::WORDS
        .iter()
        .find(|word| face.to_str() == Some(word.name));
    if let Some(word) = word {
        return (word.run)(rest);
    }
    match face.to_str() {
        Some("-V" | "--version" | "version") => {
            print(&mut std::io::stdout(), &format!("Stockade {}\n", stockade::VERSION));
            ExitCode::SUCCESS
        }
        Some("-h" | "--help" | "help") => {
            print(&mut std::io::stdout(), &stockade::words::help());
            ExitCode::SUCCESS
        }
        other => {
            if let Some(word) = other.filter(|word| !word.is_empty()) {
                print(
                    &mut std::io::stderr(),
                    &format!("stockade: no command `{}`\n\n", word.escape_debug()),
                );
            }
            print(&mut std::io::stderr(), &stockade::words::help());
            ExitCode::from(2)
        }
    }
}

/// Writes text; a reader that went away is no error.
fn print(to: &mut dyn Write, text: &str) {
    let _ = to.write_all(text.as_bytes());
}

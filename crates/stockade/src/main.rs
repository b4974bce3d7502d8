//! Stockade, by whatever name it was called: `fail2ban-server`, `fail2ban-client`, `fail2ban-regex`, or `stockade` with a word for each.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Stockade watches logs and bans those who fail to log in.

usage: stockade COMMAND [OPTIONS]

  demo      show a recorded attack being banned, in a private network namespace
  server    as fail2ban-server: watch logs and ban
  client    as fail2ban-client: start, stop, reload, status, set, get …
  regex     as fail2ban-regex: try a filter on a log
  check     find everything that is wrong with a configuration
  explain   say what the jails make of a line or a log, and why
  config    show a jail's values, where each comes from and what it overrode

`stockade COMMAND --help` tells more. Called as fail2ban-server, fail2ban-client or fail2ban-regex it is that program.
";

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
    match face.to_str() {
        Some("server") => stockade::client::server_main(rest),
        Some("client") => stockade::client::main(rest),
        Some("regex") => stockade::regex_tool::run(rest),
        Some("check") => stockade::inspect::check(rest),
        Some("explain") => stockade::explain::run(rest),
        Some("config") => stockade::inspect::config(rest),
        Some("demo") => stockade::demo::run(rest),
        Some("-V" | "--version" | "version") => {
            print(&mut std::io::stdout(), &format!("Stockade {}\n", stockade::VERSION));
            ExitCode::SUCCESS
        }
        Some("-h" | "--help" | "help") => {
            print(&mut std::io::stdout(), HELP);
            ExitCode::SUCCESS
        }
        other => {
            if let Some(word) = other.filter(|word| !word.is_empty()) {
                print(
                    &mut std::io::stderr(),
                    &format!("stockade: no command `{}`\n\n", word.escape_debug()),
                );
            }
            print(&mut std::io::stderr(), HELP);
            ExitCode::from(2)
        }
    }
}

/// Writes text; a reader that went away is no error.
fn print(to: &mut dyn Write, text: &str) {
    let _ = to.write_all(text.as_bytes());
}

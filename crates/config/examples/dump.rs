//! Prints a configuration as the commands for the server, and what is wrong with it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example that prints")]
#[path = "../../stockade/src/client/stream.rs"]
#[allow(dead_code, clippy::allow_attributes, unreachable_pub)]
mod stream;
fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| "/etc/fail2ban".to_owned());
    let overrides = stockade_config::Overrides {
        version: arguments.next(),
        ..Default::default()
    };
    let config = stockade_config::load(std::path::Path::new(&directory), &overrides);
    for command in stream::commands(&config) {
        println!("{}", stream::line(&command));
    }
    for finding in &config.diagnostics {
        eprintln!("{finding}");
    }
}

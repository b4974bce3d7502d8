//! Development commands: `cargo xtask test | graph | generate | score | fuzz`.
//!
//! `test` is what CI runs and what a newcomer runs first; it installs what the tests need where it may.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that talks to its developer"
)]

mod fuzz;
mod generate;
mod graph;
mod packages;
mod score;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  test [--quick]      format, lints, dependency graph, generated files, all tests
                      (as root it installs the Debian packages that the tests need)
  graph [--check]     print the dependency graph, or check it against the rules
  generate [--check]  write the documents made from the program's tables, or check that they are current
  fuzz [...]          hostile input for everything that reads any (cargo xtask fuzz --help)
  score [...]         our asterisk filter beside Fail2Ban's and the guide's on recorded attacks
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [..] if fuzz::is_compiler() => fuzz::compile(&args),
        ["test"] => test::run(false),
        ["test", "--quick"] => test::run(true),
        ["graph"] => graph::print(),
        ["graph", "--check"] => graph::check(),
        ["generate"] => generate::run(false),
        ["generate", "--check"] => generate::run(true),
        ["fuzz", ..] => fuzz::run(args.get(1..).unwrap_or_default()),
        ["score", ..] => score::run(args.get(1..).unwrap_or_default()),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nxtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root folder.
fn root() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

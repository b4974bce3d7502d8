//! The commands of `stockade` itself: the table behind its help, its manual page and its dispatch.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

/// A command: `stockade NAME …`.
pub struct Word {
    /// What is typed.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Its help, if it is no face of one of Fail2Ban's programs, which have their own.
    pub help: Option<&'static str>,
    /// Runs it with the command line behind its name.
    pub run: fn(Vec<OsString>) -> ExitCode,
}

/// All commands, in the order of the help.
pub const WORDS: &[Word] = &[
    Word {
        name: "demo",
        summary: "show a recorded attack being banned, in a private network namespace",
        help: None,
        run: |args| crate::demo::run(args),
    },
    Word {
        name: "setup",
        summary: "look at the machine, say which jails it needs, and enable them when told",
        help: Some(crate::setup::HELP),
        run: |args| crate::setup::run(args),
    },
    Word {
        name: "check",
        summary: "find everything that is wrong with a configuration",
        help: Some(crate::inspect::CHECK_HELP),
        run: |args| crate::inspect::check(args),
    },
    Word {
        name: "config",
        summary: "show a jail's values, where each comes from and what it overrode",
        help: Some(crate::inspect::CONFIG_HELP),
        run: |args| crate::inspect::config(args),
    },
    Word {
        name: "explain",
        summary: "say what the jails make of a line or a log, and why",
        help: Some(crate::explain::HELP),
        run: |args| crate::explain::run(args),
    },
    Word {
        name: "filter",
        summary: "test a filter on samples, or make one of a few log lines",
        help: Some(crate::filter::HELP),
        run: |args| crate::filter::run(args),
    },
    Word {
        name: "server",
        summary: "as fail2ban-server: watch logs and ban",
        help: None,
        run: |args| crate::client::server_main(args),
    },
    Word {
        name: "client",
        summary: "as fail2ban-client: start, stop, reload, status, set, get …",
        help: None,
        run: |args| crate::client::main(args),
    },
    Word {
        name: "regex",
        summary: "as fail2ban-regex: try a filter on a log",
        help: None,
        run: |args| crate::regex_tool::run(args),
    },
];

/// The help of the program.
pub fn help() -> String {
    let mut out = String::from(
        "Stockade watches logs and bans those who fail to log in.\n\nusage: stockade COMMAND [OPTIONS]\n\n",
    );
    for word in WORDS {
        let _ = writeln!(out, "  {:<9} {}", word.name, word.summary);
    }
    out.push_str(
        "\n`stockade COMMAND --help` tells more. Called as fail2ban-server, fail2ban-client or fail2ban-regex it is that program.\n",
    );
    out
}

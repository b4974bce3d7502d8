//! The built-in sshd filter counts attempts, not lines, and takes no name for an address.

#![expect(clippy::disallowed_methods, reason = "measures time")]

mod builtin;

use std::time::{Duration, Instant};

use builtin::{differences, failure, filter};
use stockade_filter::Memory;

#[test]
fn every_line_makes_the_failure_it_should() {
    let found = differences("sshd", "mode", &["normal", "aggressive"]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_lines_held_for_an_attempt_come_with_its_failure() {
    let filter = filter("sshd", "mode", "normal");
    let mut memory = Memory::default();
    let held = failure(
        &filter,
        b"Nov 22 13:40:04 vm sshd[7]: Invalid user admin from 198.51.100.7 port 4242",
        &mut memory,
    );
    assert_eq!(held, None);
    let found = failure(
        &filter,
        b"Nov 22 13:40:06 vm sshd[7]: Failed password for invalid user admin from 198.51.100.7 port 4242 ssh2",
        &mut memory,
    );
    assert_eq!(found.map(|found| found.lines.len()), Some(2));
}

#[test]
fn hostile_lines_cost_little_time() {
    let filter = filter("sshd", "mode", "aggressive");
    for head in [
        "",
        "Failed password for ",
        "Invalid user ",
        "User ",
        "error: PAM: Authentication failure for ",
        "Connection closed by invalid user ",
        "Connection closed by authenticating user ",
        "Disconnecting invalid user ",
        "Bad protocol version identification '",
    ] {
        for filler in [
            " ",
            "1:",
            " from 1.2.3.4 port 22",
            " 1.2.3.4 port 1",
            " rdomain y",
            "invalid user ",
            "' from ",
            " for b from 1.2.3.4",
            ": Too many authentication failures",
        ] {
            let line = format!(
                "Nov 22 13:40:04 vm sshd[7]: {head}{}x",
                filler.repeat(20_000 / filler.len())
            );
            let start = Instant::now();
            assert_eq!(failure(&filter, line.as_bytes(), &mut Memory::default()), None);
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "{head}{filler}…: {:?}",
                start.elapsed()
            );
        }
    }
}

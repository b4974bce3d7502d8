//! `stockade explain`, run as an administrator runs it.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::fmt::Write as _;
use std::process::{Command, Output};

fn explain(folder: &testkit::TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["explain", "-c", folder.path().to_str().unwrap()])
        .args(args)
        .env("TZ", "UTC")
        .output()
        .unwrap()
}

/// What is said, and the exit code.
fn said(folder: &testkit::TempDir, args: &[&str]) -> (String, Option<i32>) {
    let output = explain(folder, args);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

fn configuration() -> testkit::TempDir {
    let folder = testkit::TempDir::new("explain");
    folder.write(
        "jail.conf",
        "[DEFAULT]\nenabled = true\nbackend = polling\nusedns = no\nmaxretry = 3\nfindtime = 10m\nbantime = 1h\nignoreip = 192.0.2.0/24\n\
         [door]\nfilter = door\n[window]\nfilter = window\n[cellar]\nenabled = false\nfilter = window\n",
    );
    folder.write(
        "filter.d/door.conf",
        "[Definition]\nprefregex = ^ \\w+ door: <F-CONTENT>.+</F-CONTENT>$\n\
         failregex = ^knock of <F-USER>\\S+</F-USER> from <HOST> refused$\n    ^bang from <HOST>$\nignoreregex = of friend from\n",
    );
    folder.write(
        "filter.d/window.conf",
        "[Definition]\nfailregex = ^ window broken by <HOST> with a stone$\n",
    );
    folder
}

#[test]
fn a_line_is_explained_from_its_date_to_its_count() {
    let folder = configuration();
    let (said, code) = said(
        &folder,
        &["2026-11-22 10:00:00 host door: knock of bob from 203.0.113.9 refused"],
    );
    assert_eq!(code, Some(0), "{said}");
    for piece in [
        "2026-11-22 10:00:00 UTC, from `2026-11-22 10:00:00`",
        "rules see knock of bob from 203.0.113.9 refused",
        "failregex 1 of 2",
        "door.conf:3",
        "^knock of <F-USER>",
        "found     203.0.113.9",
        "user `bob`",
        "1 of 3 within 10m; then a ban for 1h",
        "no rule matches in window",
    ] {
        assert!(said.contains(piece), "`{piece}` is not in\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn whoever_is_ignored_is_told_with_the_entry_and_what_is_ignored_with_the_rule() {
    let folder = configuration();
    let (net, _) = said(&folder, &["2026-11-22 10:00:00 host door: bang from 192.0.2.7"]);
    assert!(net.contains("not: `ignoreip` has 192.0.2.0/24"), "{net}");
    let (friend, code) = said(
        &folder,
        &[
            "-j",
            "door",
            "2026-11-22 10:00:00 host door: knock of friend from 203.0.113.9 refused",
        ],
    );
    assert!(friend.contains("ignoreregex 1"), "{friend}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_line_that_nearly_matches_shows_the_rule_and_where_it_stopped() {
    let folder = configuration();
    let (near, code) = said(
        &folder,
        &["2026-11-22 10:00:00 window broken by 203.0.113.9 with a ball"],
    );
    assert_eq!(code, Some(1));
    for piece in [
        "the nearest is of window",
        "window broken by 203.0.113.9 with a ▸ball",
        "wanted `s`, where the line has `ball`",
    ] {
        assert!(near.contains(piece), "`{piece}` is not in\n{near}");
    }
    // Where prefregex does not match, that is what to look at.
    let (prefix, _) = said(
        &folder,
        &["-j", "door", "2026-11-22 10:00:00 host gate: bang from 203.0.113.9"],
    );
    assert!(prefix.contains("nearest   prefregex"), "{prefix}");
    assert!(prefix.contains("wanted `d`, where the line has `gate"), "{prefix}");
}

#[test]
fn a_log_is_explained_by_who_would_have_been_banned_when() {
    let folder = configuration();
    let mut log = String::new();
    for (minute, address) in [
        (0, "203.0.113.9"),
        (1, "192.0.2.7"),
        (2, "203.0.113.9"),
        (3, "198.51.100.4"),
        (4, "203.0.113.9"),
        (5, "192.0.2.7"),
        (6, "192.0.2.7"),
        (30, "198.51.100.4"),
        (50, "198.51.100.4"),
    ] {
        writeln!(log, "2026-11-22 10:{minute:02}:00 host door: bang from {address}").unwrap();
    }
    folder.write("door.log", &log);
    let (said, code) = said(&folder, &[folder.join("door.log").to_str().unwrap()]);
    assert_eq!(code, Some(0));
    let row = |address: &str| {
        said.lines()
            .find(|line| line.contains(address))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        row("203.0.113.9").contains("banned 2026-11-22 10:04:00 UTC, line 5"),
        "{said}"
    );
    assert!(
        row("192.0.2.7").contains("ignored: `ignoreip` has 192.0.2.0/24"),
        "{said}"
    );
    assert!(row("198.51.100.4").contains("not banned"), "{said}");
    assert!(
        said.contains("9 lines") && said.contains("9 failures") && said.contains("no failures in window"),
        "{said}"
    );
    assert!(said.contains("failregex 2          9 times"), "{said}");
}

#[test]
fn text_from_a_log_cannot_steer_the_terminal() {
    let folder = configuration();
    let (said, _) = said(
        &folder,
        &[
            "-j",
            "door",
            "2026-11-22 10:00:00 host door: knock of \u{1b}[31mred\u{202e} from 203.0.113.9 refused",
        ],
    );
    assert!(
        said.contains("\\u{1b}[31mred\\u{202e}") && !said.contains(['\u{1b}', '\u{202e}']),
        "{said}"
    );
}

#[test]
fn a_wrong_question_is_told() {
    let folder = configuration();
    for (args, text) in [
        (&[][..], "no line and no log is given"),
        (&["-j", "nobody", "x"], "there is no jail `nobody`"),
        (&["--jals", "x"], "usage: "),
    ] {
        let output = explain(&folder, args);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains(text), "{args:?}");
    }
}

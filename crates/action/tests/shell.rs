//! What a program really receives: hostile values through the real `/bin/sh`.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{action, ban_with, texts, with};
use testkit::TempDir;

/// Values an attacker may write into a log; `CANARY` is a file that must never appear.
const HOSTILE: &[&str] = &[
    "$(touch CANARY)",
    "`touch CANARY`",
    "; touch CANARY;",
    "a b;c",
    "' ; touch CANARY ; '",
    "\" ; touch CANARY ; \"",
    "'\"$(touch CANARY)\"'",
    "\\\"; touch CANARY #",
    "\\",
    "\\\\'",
    "&& touch CANARY",
    "| touch CANARY",
    "> CANARY",
    "${IFS}touch${IFS}CANARY",
    "${x:=$(touch CANARY)}",
    "}; touch CANARY; {",
    ")) ; touch CANARY",
    "EOF",
    "EOF touch CANARY",
    "*",
    "~root",
    "-n",
    "--help",
    "",
    " ",
    "a=b",
    "if",
    "!x",
    "café ☃ 日本",
    "%s%n\\x41\\101\\c",
    "<ip><F-USER>",
    "f2bV_F_user=x",
    "() { :; }; touch CANARY",
];

struct Recorder {
    directory: TempDir,
}

impl Recorder {
    fn new() -> Self {
        let directory = TempDir::new("argv");
        let script = format!(
            "#!/bin/sh\nprintf '%s\\0' \"$@\" > {}\n",
            directory.join("argv").display()
        );
        let program = directory.write("record", script);
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    /// Bans with a command in which `REC` is a program that writes down its arguments; gives the arguments.
    fn arguments(&self, command: &str, value: &str) -> Option<Vec<String>> {
        let _ = std::fs::remove_file(self.directory.join("argv"));
        let program = self.directory.join("record").display().to_string();
        let command = format!(
            "cd {} || exit; {}",
            self.directory.path().display(),
            command.replace("REC", &program)
        );
        let mut action = action(&[("actionban", &command), ("actionstart", "true")]).unwrap();
        let (_, reports) = with(|context| action.start(context));
        assert!(reports.is_empty());
        let (outcome, reports) = with(|context| action.ban(&ban_with(value), context));
        assert!(!self.directory.join("CANARY").exists(), "{command} ran {value:?}");
        assert!(outcome.is_ok(), "{command} with {value:?}: {}", texts(&reports));
        let written = std::fs::read(self.directory.join("argv")).ok()?;
        let text = String::from_utf8(written).unwrap();
        Some(
            text.strip_suffix('\0')
                .unwrap_or(&text)
                .split('\0')
                .map(ToOwned::to_owned)
                .collect(),
        )
    }
}

#[test]
fn a_program_receives_exactly_the_value_as_one_word() {
    let recorder = Recorder::new();
    for (command, before, after) in [
        ("REC <F-USER>", "", ""),
        ("REC \"<F-USER>\"", "", ""),
        ("REC '<F-USER>'", "", ""),
        ("REC user=<F-USER>x", "user=", "x"),
        ("REC \"user=<F-USER>x\"", "user=", "x"),
        ("REC 'user=<F-USER> x'", "user=", " x"),
        ("REC \"$(printf '%s' '<F-USER>')\"", "", ""),
        ("REC \"$(printf '%s' \"<F-USER>\")\"", "", ""),
        ("REC \"$(printf %s <F-USER>)\"", "", ""),
        ("REC \"`printf %s <F-USER>`\"", "", ""),
        ("REC \"`printf '%s' '<F-USER>'`\"", "", ""),
        ("REC \"$(cat <<EOF\n<F-USER>\nEOF\n)\"", "", ""),
        ("x=<F-USER>; REC \"$x\"", "", ""),
        ("x='<F-USER>'; REC \"$x\"", "", ""),
        ("if true; then { REC '<F-USER>'; } fi", "", ""),
        ("(REC '<F-USER>')", "", ""),
        ("case x in x) REC '<F-USER>';; esac", "", ""),
        ("# don't\nREC <F-USER>", "", ""),
        ("sh -c 'REC \"$1\"' _ <F-USER>", "", ""),
        ("sh -c 'REC \"$1\"' _ '<F-USER>'", "", ""),
        ("REC \"<matches>\"", "", ""),
    ] {
        for value in HOSTILE {
            let expected = format!("{before}{value}{after}");
            assert_eq!(
                recorder.arguments(command, value),
                Some(vec![expected]),
                "{command} with {value:?}"
            );
        }
    }
}

#[test]
fn line_ends_and_tabs_of_matches_arrive_and_nul_does_not() {
    let recorder = Recorder::new();
    let value = "one\n\ttwo $(touch CANARY)\n\nthree\0four\x1b[2J";
    let expected = "one\n\ttwo $(touch CANARY)\n\nthreefour?[2J";
    for command in ["REC \"<matches>\"", "REC '<matches>'", "REC <matches>"] {
        assert_eq!(
            recorder.arguments(command, value),
            Some(vec![expected.to_owned()]),
            "{command}"
        );
    }
}

#[test]
fn a_very_long_value_is_cut_and_the_command_still_runs() {
    let recorder = Recorder::new();
    let arguments = recorder
        .arguments("REC \"<matches>\" '<F-USER>'", &"€;".repeat(1_000_000))
        .unwrap();
    assert_eq!(arguments.iter().map(String::len).collect::<Vec<_>>(), [32_768, 32_768]);
}

#[test]
fn code_for_another_shell_never_contains_the_value() {
    let recorder = Recorder::new();
    for command in [
        "sh -c 'REC <F-USER>'",
        "sh -c \"REC <F-USER>\"",
        "sh -c \"REC \\\"<F-USER>\\\"\"",
        "sh -c 'sh -c \"REC <F-USER>\"'",
        "sh -c \"sh -c \\\"REC <F-USER>\\\"\"",
        "sh -c \"sh -c 'REC <F-USER>'\"",
        "sh -c \"eval 'REC <F-USER>'\"",
        "sh -c 'sh -c \"sh -c \\\"REC <F-USER>\\\"\"'",
        "eval \"sh -c 'REC <F-USER>'\"",
        "/bin/sh -ec \"exec REC <F-USER>\"",
        "eval \"REC <F-USER>\"",
        "eval REC <F-USER>",
        "eval 'REC <F-USER>'",
        "echo \"`sh -c \"REC <F-USER>\"`\"",
        "echo `sh -c 'REC <F-USER>'`",
    ] {
        for value in HOSTILE {
            // The inner shell expands the variable; without quotes of its own it splits it into words.
            let arguments = recorder.arguments(command, value).unwrap();
            let words: Vec<&str> = value.split_whitespace().collect();
            if !value.contains(['*', '~', '\\']) {
                assert_eq!(arguments.join(" ").trim(), words.join(" "), "{command} with {value:?}");
            }
        }
    }
}

#[test]
fn a_tag_in_a_program_of_another_language_is_not_filled_with_a_hostile_value() {
    let recorder = Recorder::new();
    for command in [
        "awk 'BEGIN { x = \"<F-USER>\" }'; REC done",
        "perl -e '\"<F-USER>\";'; REC done",
    ] {
        for value in ["\" ; system(\"touch CANARY\") ; \"", "$(touch CANARY)"] {
            assert_eq!(
                recorder.arguments(command, value),
                Some(vec!["done".to_owned()]),
                "{command}"
            );
        }
    }
}

#[test]
fn addresses_and_plain_words_stand_in_the_command_itself() {
    let recorder = Recorder::new();
    for (command, expected) in [
        ("REC <ip>", "192.0.2.7"),
        ("REC '<ip>'", "192.0.2.7"),
        ("REC \"$(awk 'BEGIN { print \"<ip>\" }')\"", "192.0.2.7"),
        ("REC \"$(awk 'BEGIN { print \"<F-USER>\" }')\"", "root"),
        ("REC $(( <failures> + 1 ))", "4"),
        ("REC \"$([ <bantime> -le 2147483 ] && echo <bantime>)\"", "600"),
    ] {
        assert_eq!(
            recorder.arguments(command, "root"),
            Some(vec![expected.to_owned()]),
            "{command}"
        );
    }
}

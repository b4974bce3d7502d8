//! The journal as LOG, in both programs.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use testkit::TempDir;

use crate::oracle::{Oracle, ours};

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";
const PYTHON: &str = "/usr/lib/python3/dist-packages/systemd/journal.py";

/// Identifier, unit, message.
const ENTRIES: &[(&str, &str, &str)] = &[
    (
        "sshd",
        "ssh.service",
        "Failed password for root from 192.0.2.77 port 22 ssh2",
    ),
    (
        "sshd",
        "ssh.service",
        "Accepted password for root from 192.0.2.78 port 22 ssh2",
    ),
    ("sshd", "sshd.service", "Invalid user bob from 2001:db8::1 port 22"),
    ("other", "other.service", "from 192.0.2.9 and more"),
    ("other", "other.service", "nothing of interest"),
    ("other", "other.service", "two\nlines from 192.0.2.10"),
    ("kernel", "", "from 192.0.2.11"),
];

fn journal(dir: &TempDir) {
    let mut export = Vec::new();
    for (number, (identifier, unit, message)) in ENTRIES.iter().enumerate() {
        let at = 1_795_370_000_000_000_u64 + (number as u64 + 1) * 1_000_003;
        let head = format!(
            "__REALTIME_TIMESTAMP={at}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=a1777a4a69f043cca340f185b9a4049f\n",
            number + 1
        );
        export.extend(head.bytes());
        export.extend(
            format!("_HOSTNAME=h\nSYSLOG_IDENTIFIER={identifier}\n_COMM={identifier}\n_PID={number}\n").bytes(),
        );
        export.extend(format!("_SYSTEMD_UNIT={unit}\nMESSAGE\n").bytes());
        export.extend((message.len() as u64).to_le_bytes());
        export.extend(format!("{message}\n\n").bytes());
    }
    let file = dir.write("export", export);
    std::fs::create_dir(dir.join("journal")).unwrap();
    let output = Command::new(REMOTE)
        .arg("--split-mode=none")
        .arg(format!("--output={}", dir.join("journal/system.journal").display()))
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_journal_is_searched_as_fail2ban_searches_it() {
    for (file, package) in [(REMOTE, "systemd-journal-remote"), (PYTHON, "python3-systemd")] {
        if !Path::new(file).exists() {
            testkit::skip(&format!("needs the package `{package}`"));
            return;
        }
    }
    let dir = TempDir::new("regex-journal");
    let Some(mut oracle) = Oracle::start(dir.path()) else {
        return;
    };
    journal(&dir);
    let log = format!("systemd-journal[journalpath={}]", dir.join("journal").display());
    let log = log.as_str();
    let files = format!(
        "systemd-journal[journalfiles={}]",
        dir.join("journal/system.journal").display()
    );
    let cases: &[&[&str]] = &[
        &[log, "from <HOST>"],
        &[&files, "from <HOST>"],
        &["-v", log, "from <HOST>", "nothing"],
        &["--print-all-matched", log, "from <HOST>$"],
        &["-m", "SYSLOG_IDENTIFIER=sshd", log, "from <HOST>"],
        &["-m", "SYSLOG_IDENTIFIER=sshd _PID=2 + _COMM=kernel", log, "from <HOST>"],
        &["-m", "SYSLOG_IDENTIFIER=nobody", log, "from <HOST>"],
        &["-m", "\"", log, "from <HOST>"],
        &["-o", "row", log, "from <HOST>"],
        &["-o", "<ip> <time> <msg>", log, "from <HOST>"],
        &["-o", "matches", log, "from <HOST>"],
        &["-vv", log, "sshd.conf"],
        &["-o", "row", log, "sshd.conf[mode=aggressive]"],
        &["-o", "row", "-m", "_COMM=sshd", log, "sshd.conf"],
        &["-e", "latin1", log, "from <HOST>"],
        &["-d", "%Y", log, "from <HOST>"],
        &["--TZ", "CET", "-o", "row", log, "from <HOST>"],
    ];
    let mut different = String::new();
    for words in cases {
        let theirs = crate::commands::masked(&oracle.run(words));
        let ours = crate::commands::masked(&ours(words, dir.path()));
        if theirs != ours {
            writeln!(different, "{words:?}\n--- theirs\n{theirs:#?}\n--- ours\n{ours:#?}").unwrap();
        }
    }
    assert!(different.is_empty(), "{}", different.replace("\\n", "\n"));
}

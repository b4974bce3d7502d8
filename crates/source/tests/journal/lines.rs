//! The line that filters expect, beside what `fail2ban-regex` shows.

use std::fmt::Write as _;
use std::process::Command;

use stockade_source::journal::From;
use testkit::TempDir;

use crate::writing::{Export, journal_in, needs, read, text};

type Fields = &'static [(&'static str, &'static [u8])];

const HOST: (&str, &[u8]) = ("_HOSTNAME", b"host1");

/// Entries of which Fail2Ban makes a line.
const KINDS: &[(&str, Fields)] = &[
    (
        "both process numbers",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"sshd"),
            ("_PID", b"4711"),
            ("SYSLOG_PID", b"4712"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "of the kernel's number",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"sshd"),
            ("_PID", b"4711"),
            ("_COMM", b"c"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "of syslog's number",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"sshd"),
            ("SYSLOG_PID", b"4712"),
            ("MESSAGE", b"m"),
        ],
    ),
    ("no number", &[HOST, ("SYSLOG_IDENTIFIER", b"sshd"), ("MESSAGE", b"m")]),
    (
        "name of the program only",
        &[HOST, ("_COMM", b"comm"), ("_PID", b"12"), ("MESSAGE", b"m")],
    ),
    ("no name", &[HOST, ("_PID", b"12"), ("MESSAGE", b"m")]),
    (
        "no host",
        &[("SYSLOG_IDENTIFIER", b"sshd"), ("_PID", b"12"), ("MESSAGE", b"m")],
    ),
    ("message alone", &[("MESSAGE", b"m")]),
    ("no message", &[HOST, ("SYSLOG_IDENTIFIER", b"sshd"), ("_PID", b"12")]),
    (
        "empty message",
        &[HOST, ("SYSLOG_IDENTIFIER", b"sshd"), ("MESSAGE", b"")],
    ),
    (
        "several lines",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s"),
            ("_PID", b"12"),
            ("MESSAGE", b"multi\nline\n\n"),
        ],
    ),
    (
        "backslash and return",
        &[HOST, ("SYSLOG_IDENTIFIER", b"s"), ("MESSAGE", b"a \\n b \\ c\r\nd")],
    ),
    (
        "not UTF-8",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s\xff"),
            ("_PID", b"12"),
            ("MESSAGE", b"bad \xff\xfe utf \xe4"),
        ],
    ),
    (
        "host not UTF-8",
        &[
            ("_HOSTNAME", b"h\xe4\xff"),
            ("SYSLOG_IDENTIFIER", b"s"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "control characters",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s"),
            ("MESSAGE", b"\x01\x1b tab \t cr \r end"),
        ],
    ),
    (
        "blanks at the ends",
        &[HOST, ("SYSLOG_IDENTIFIER", b"s"), ("MESSAGE", b"  m  \t ")],
    ),
    (
        "line ends in host and name",
        &[
            ("_HOSTNAME", b"h\nx"),
            ("SYSLOG_IDENTIFIER", b"s\nd"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "two messages",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s"),
            ("_PID", b"1"),
            ("MESSAGE", b"first"),
            ("MESSAGE", b"second"),
        ],
    ),
    (
        "two messages, one not UTF-8",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s"),
            ("MESSAGE", b"\xffa"),
            ("MESSAGE", b"b\nc"),
        ],
    ),
    (
        "empty host, name and number",
        &[
            ("_HOSTNAME", b""),
            ("SYSLOG_IDENTIFIER", b""),
            ("_PID", b""),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "empty name",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b""),
            ("_COMM", b"c"),
            ("_PID", b"12"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "empty number of syslog",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s"),
            ("SYSLOG_PID", b""),
            ("_PID", b"12"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "number 0 of syslog",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s"),
            ("SYSLOG_PID", b"0"),
            ("_PID", b"7"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "numbers with zeros and blanks",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s"),
            ("SYSLOG_PID", b" 0012 "),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "kernel",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"kernel"),
            ("_SOURCE_MONOTONIC_TIMESTAMP", b"12345678"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "kernel, early",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"kernel"),
            ("_SOURCE_MONOTONIC_TIMESTAMP", b"5"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "kernel, years later",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"kernel"),
            ("_SOURCE_MONOTONIC_TIMESTAMP", b"123456789012345"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "kernel without a clock of its own",
        &[HOST, ("SYSLOG_IDENTIFIER", b"kernel"), ("_PID", b""), ("MESSAGE", b"m")],
    ),
    (
        "a program called kernel",
        &[HOST, ("_COMM", b"kernel"), ("MESSAGE", b"m")],
    ),
    (
        "kernel with a number",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"kernel"),
            ("_PID", b"77"),
            ("_SOURCE_MONOTONIC_TIMESTAMP", b"5"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "kernel without a host",
        &[("SYSLOG_IDENTIFIER", b"kernel"), ("MESSAGE", b"m")],
    ),
    (
        "audit",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"audit"),
            ("_TRANSPORT", b"kernel"),
            ("_SOURCE_MONOTONIC_TIMESTAMP", b"5"),
            ("MESSAGE", b"m"),
        ],
    ),
    (
        "a time of its own",
        &[
            HOST,
            ("SYSLOG_IDENTIFIER", b"s"),
            ("_SOURCE_REALTIME_TIMESTAMP", b"1795370100123456"),
            ("MESSAGE", b"m"),
        ],
    ),
];

/// Each entry's line and time as Fail2Ban has them: the rule captures all, and names the entry.
const ORACLE: &str = r"^<F-ID>(?s:.*)</F-ID>\Z";

#[test]
fn lines_and_times_are_those_of_fail2ban() {
    if !needs(&["fail2ban-regex", "python3"]) {
        return;
    }
    let temp = TempDir::new("journal-lines");
    let mut export = Export::default();
    for (_, fields) in KINDS {
        export.add(fields);
    }
    export.write(&journal_in(temp.path()), &[]);
    let script = "import ast, sys\nfor line in sys.stdin.buffer.read().decode().splitlines():\n  row = ast.literal_eval(line.rstrip(','))\n  \
                  print(row[0].encode().hex(), round(row[1] * 1000000))";
    let rows = testkit::output_of(
        Command::new("sh")
            .args([
                "-c",
                "PYTHONUTF8=1 fail2ban-regex -o row \"systemd-journal[journalpath=$1]\" \"$2\" | python3 -c \"$3\"",
                "sh",
            ])
            .arg(temp.path())
            .args([ORACLE, script]),
    );
    let theirs: Vec<&str> = rows.lines().collect();
    let entries = read(temp.path(), From::Head, &[]);
    assert_eq!(entries.len(), KINDS.len());
    assert_eq!(theirs.len(), KINDS.len(), "{rows}");
    for (((name, _), theirs), entry) in KINDS.iter().zip(theirs).zip(&entries) {
        let line = text(entry) + "\n";
        let mut hex = String::new();
        line.bytes().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        assert_eq!(format!("{hex} {}", entry.time), theirs, "{name}: {line}");
    }
}

#[test]
fn entries_that_stop_fail2ban_cost_nothing() {
    if !needs(&[]) {
        return;
    }
    let kinds: &[(&str, Fields)] = &[
        (
            "host1 s: a\0b",
            &[HOST, ("SYSLOG_IDENTIFIER", b"s"), ("MESSAGE", b"a\0b")],
        ),
        (
            "host1 a b[12 13]: m",
            &[
                HOST,
                ("SYSLOG_IDENTIFIER", b"a"),
                ("SYSLOG_IDENTIFIER", b"b"),
                ("_PID", b"12"),
                ("_PID", b"13"),
                ("MESSAGE", b"m"),
            ],
        ),
        (
            "h1 h2 c: m",
            &[
                ("_HOSTNAME", b"h1"),
                ("_HOSTNAME", b"h2"),
                ("_COMM", b"c"),
                ("MESSAGE", b"m"),
            ],
        ),
        (
            "host1 s[junk]: m",
            &[HOST, ("SYSLOG_IDENTIFIER", b"s"), ("_PID", b"junk"), ("MESSAGE", b"m")],
        ),
        (
            "host1 s: m",
            &[
                HOST,
                ("SYSLOG_IDENTIFIER", b"s"),
                ("_SOURCE_REALTIME_TIMESTAMP", b"junk"),
                ("MESSAGE", b"m"),
            ],
        ),
        (
            "host1 s: m",
            &[
                HOST,
                ("SYSLOG_IDENTIFIER", b"s"),
                ("_SOURCE_REALTIME_TIMESTAMP", b"0"),
                ("MESSAGE", b"m"),
            ],
        ),
        (
            "host1 s: m",
            &[
                HOST,
                ("SYSLOG_IDENTIFIER", b"s"),
                ("_SOURCE_REALTIME_TIMESTAMP", b"99999999999999999999"),
                ("MESSAGE", b"m"),
            ],
        ),
        (
            "host1 kernel: [    8.000056] m",
            &[
                HOST,
                ("SYSLOG_IDENTIFIER", b"kernel"),
                ("_SOURCE_MONOTONIC_TIMESTAMP", b"junk"),
                ("MESSAGE", b"m"),
            ],
        ),
    ];
    let temp = TempDir::new("journal-stops");
    let mut export = Export::default();
    for (_, fields) in kinds {
        export.add(fields);
    }
    export.write(&journal_in(temp.path()), &[]);
    let entries = read(temp.path(), From::Head, &[]);
    assert_eq!(entries.len(), kinds.len());
    for (entry, (expected, _)) in entries.iter().zip(kinds) {
        assert_eq!(text(entry), *expected);
        assert_eq!(entry.time, entry.realtime);
    }
}

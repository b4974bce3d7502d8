//! `fail2ban-regex`, beside the one of Fail2Ban where that is installed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_collect,
    reason = "test code"
)]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use testkit::TempDir;

const LOG: &str = "Nov 22 13:00:01 h sshd[1]: from 192.0.2.77
# a comment

Nov 22 13:00:02 h sshd[1]: from 192.0.2.77 x
nothing
Nov 22 13:00:03 h ign from 192.0.2.9
Nov 22 13:00:03 h from 2001:db8::1 and nothing else \r
half a line from 192.0.2.3";

/// A filter with rules that match side by side.
const FILTER: &str = "[Definition]
failregex = from <HOST>
            h <F-USER>sshd</F-USER>\\[1\\]: from <ADDR>
ignoreregex = ign
datepattern = {^LN-BEG}
";

fn output(mut command: Command, words: &[&str], directory: &Path) -> String {
    let output = command
        .args(words)
        .current_dir(directory)
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let text: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("[processed in "))
        .collect();
    format!("{}\nexit code {:?}\n", text.join("\n"), output.status.code())
}

fn ours(words: &[&str], directory: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.arg0("fail2ban-regex");
    output(command, words, directory)
}

fn world(name: &str) -> TempDir {
    let dir = TempDir::new(name);
    dir.write("t.log", LOG);
    dir.write("conf/filter.d/two.conf", FILTER);
    dir.write("many.log", (0..30).map(|n| format!("missed {n}\n")).collect::<String>());
    dir
}

#[test]
fn prints_what_fail2ban_prints() {
    if !testkit::requires(&["fail2ban-regex"]) {
        return;
    }
    let dir = world("regex-beside");
    let file = dir.join("conf/filter.d/two.conf");
    let file = file.to_str().unwrap();
    let line = "Nov 22 13:00:01 h sshd[1]: Failed password for root from 192.0.2.77 port 22 ssh2";
    let accepted = "Nov 22 13:00:01 h sshd[1]: Accepted password for root from 192.0.2.77 port 22 ssh2";
    let cases: &[&[&str]] = &[
        &["t.log", "from <HOST>"],
        &["t.log", "from <HOST>", "ign"],
        &[
            "--print-all-matched",
            "--print-no-missed",
            "t.log",
            "from <HOST>",
            "ign",
        ],
        &["--print-no-ignored", "t.log", "from <HOST>", "ign"],
        &["t.log", file],
        &["--no-check-all", "t.log", file],
        &["-c", "conf", "t.log", "two[a=b, c='d e']"],
        &["many.log", "from <HOST>"],
        &["--print-all-missed", "many.log", "from <HOST>"],
        &["nosuch.log", "from <HOST>"],
        &["", "from <HOST>"],
        &[line, "from <HOST>"],
        &[line, "sshd"],
        &[line, "sshd[mode=aggressive]"],
        &[accepted, "sshd"],
        &["-d", "%b %d %H:%M:%S", "t.log", "from <HOST>"],
        &["t.log", "no group"],
        &["t.log", "from (x"],
        &["t.log", "from <HOST>", "ign("],
        &["--TZ", "no/zone", "t.log", "from <HOST>"],
        &["-o", "ip", "t.log", "from <HOST>"],
        &["-o", "id", "t.log", "from <HOST>"],
        &["-o", "row", "t.log", "from <HOST>", "ign"],
        &["-o", "msg", "t.log", "from <HOST>"],
        &["-o", "matches", "t.log", "from <HOST>"],
        &["-o", "ip6", "t.log", "from <HOST>"],
        &["-o", "dns", "t.log", "from <HOST>"],
        &["-o", "row", "Nov 22 13:00:01 from bob", "from <F-ID>\\w+</F-ID>"],
        &[
            "-o",
            "row",
            "2026-11-22 13:00:01.250 from bob",
            "from <F-ID>\\w+</F-ID>",
        ],
        &[
            "-o",
            "u=<F-USER> n=<F-NONE> ip=<ip> t=<time> <msg> <other> <family>",
            line,
            "for <F-USER>\\S+</F-USER> from <HOST>",
        ],
        &["-o", "row", "-r", "Nov 22 13:00:01 from localhost", "from <HOST>"],
    ];
    for words in cases {
        let theirs = output(Command::new("fail2ban-regex"), words, dir.path());
        assert_eq!(ours(words, dir.path()), theirs, "{words:?}");
    }
}

#[test]
fn lists_each_failure_with_its_time_when_verbose() {
    let dir = world("regex-verbose");
    let shown = ours(&["-v", "-c", "conf", "t.log", "two"], dir.path());
    let table = "|   1) [3] from <HOST>
|      192.0.2.77  Sun Nov 22 13:00:01 2026
|      192.0.2.77  Sun Nov 22 13:00:02 2026
|      2001:db8::1  Sun Nov 22 13:00:03 2026
|   2) [2] h <F-USER>sshd</F-USER>\\[1\\]: from <ADDR>
|      192.0.2.77  Sun Nov 22 13:00:01 2026
|      192.0.2.77  Sun Nov 22 13:00:02 2026
`-
";
    let year = jiff_year();
    assert!(
        shown
            .replace(&format!(" {year}\n"), " 2026\n")
            .contains(&weekdays(table, &shown)),
        "{shown}"
    );
}

/// The log has no year, so the weekday depends on when the test runs: taken from the output.
fn weekdays(table: &str, shown: &str) -> String {
    let day = shown
        .lines()
        .find_map(|line| line.strip_prefix("|      192.0.2.77  ")?.get(..3))
        .unwrap_or("Sun");
    table.replace("Sun", day)
}

fn jiff_year() -> i16 {
    let now = jiff::Zoned::now();
    let before = (now.month(), now.day()) < (11, 22);
    if before { now.year() - 1 } else { now.year() }
}

#[test]
fn a_line_of_ten_megabytes_and_strange_bytes_harm_nothing() {
    let dir = TempDir::new("regex-bytes");
    let mut log = b"Nov 22 13:00:01 \xff\xfe from 192.0.2.1\xe4\r\n\0\n".to_vec();
    log.extend(std::iter::repeat_n(b'x', 10_000_000));
    log.extend(b" from 192.0.2.2\nNov 22 13:00:01 from 192.0.2.3\n");
    dir.write("t.log", log);
    assert_eq!(
        ours(&["-o", "ip", "t.log", "from <HOST>"], dir.path()),
        "192.0.2.1\n192.0.2.3\nexit code Some(0)\n"
    );
}

#[test]
fn what_cannot_be_done_is_refused_with_reason_and_mend() {
    let dir = world("regex-refused");
    let cases: [(&[&str], &str); 3] = [
        (
            &["systemd-journal", "from <HOST>"],
            "ERROR: the systemd journal cannot be searched yet\n  why: ",
        ),
        (
            &["-e", "klingon", "t.log", "from <HOST>"],
            "ERROR: unknown encoding `klingon`\n  why: ",
        ),
        (
            &["--usedns", "maybe", "t.log", "from <HOST>"],
            "ERROR: `usedns` must be yes, warn, no or raw, not `maybe`\n  why: ",
        ),
    ];
    for (words, message) in cases {
        let shown = ours(words, dir.path());
        assert!(shown.contains(message) && shown.contains("\n  mend: "), "{shown}");
        assert!(shown.ends_with("exit code Some(255)\n"), "{shown}");
    }
}

#[test]
fn lines_that_match_nothing_are_printed_with_invert() {
    let dir = world("regex-invert");
    assert_eq!(
        ours(&["-i", "-o", "msg", "t.log", "from <HOST>"], dir.path()),
        "nothing\nexit code Some(0)\n"
    );
}

/// Sample logs whose report may differ, and why.
const DIFFERENT: [(&str, &str); 5] = [
    ("ejabberd-auth", "rules over several lines"),
    ("guacamole", "rules over several lines"),
    ("mongodb-auth", "rules over several lines"),
    ("slapd", "rules over several lines"),
    ("sshd", "192.030.0.6 is no address: its leading zero may mean octal"),
];

#[test]
fn reports_on_the_sample_logs_what_fail2ban_reports() {
    if !testkit::requires(&["fail2ban-regex"]) {
        return;
    }
    let mut compared = 0;
    for log in testkit::package_files("fail2ban") {
        let Some(name) = log.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let filter = Path::new("/etc/fail2ban/filter.d").join(format!("{name}.conf"));
        let sample = log.parent().is_some_and(|parent| parent.ends_with("files/logs"));
        if !sample || !filter.exists() || DIFFERENT.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let words = [log.to_str().unwrap(), name];
        let theirs = output(Command::new("fail2ban-regex"), &words, Path::new("/"));
        assert!(theirs.contains("\nLines: "), "{name}: {theirs}");
        assert_eq!(normal(&ours(&words, Path::new("/"))), normal(&theirs), "{name}");
        compared += 1;
    }
    println!("{compared} sample logs compared");
    assert!(compared > 0 || testkit::package_files("fail2ban").is_empty());
}

/// A report without what differs on purpose: we follow a later Fail2Ban in one date format and in the expression for
/// IPv6, and the order of templates, which tells how the search went and not what was found, is not compared.
fn normal(report: &str) -> Vec<String> {
    let report = report.replace("|::){1,7}", "|:){1,7}").replace(
        "(?:T|  ?)Ex24hourExMinuteExSecond",
        "(?:-|T|  ?)Ex24hour:?ExMinute:?ExSecond",
    );
    let mut lines: Vec<String> = report.lines().map(str::to_owned).collect();
    let begin = lines.iter().position(|line| line.starts_with("Date template hits"));
    let end = lines.iter().position(|line| line.starts_with("Lines:"));
    if let (Some(begin), Some(end)) = (begin, end) {
        lines[begin..end].sort();
    }
    lines
}

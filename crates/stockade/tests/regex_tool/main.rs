//! `fail2ban-regex`, beside the one of Fail2Ban where that is installed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_collect,
    reason = "test code"
)]

mod archives;
mod commands;
mod journal;
mod oracle;
mod progress;
mod reports;
mod rows;

use std::path::Path;

use testkit::TempDir;

const LOG: &str = "2026-11-22 13:00:01 h sshd[1]: from 192.0.2.77
nothing
2026-11-22 13:00:03 h from 192.0.2.9
";

fn ours(words: &[&str], directory: &Path) -> String {
    let said = oracle::ours(words, directory);
    format!("{}exit code {}\n", said.out, said.code)
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
        "192.0.2.1\n192.0.2.3\nexit code 0\n"
    );
}

#[test]
fn lines_that_match_nothing_are_printed_with_invert() {
    let dir = TempDir::new("regex-invert");
    dir.write("t.log", LOG);
    assert_eq!(
        ours(&["-i", "-o", "msg", "t.log", "from <HOST>"], dir.path()),
        "nothing\nexit code 0\n"
    );
}

/// As with Fail2Ban after 1.0.2, of which none is installed to ask.
#[test]
fn a_jail_goes_before_a_filter_of_its_name() {
    let dir = TempDir::new("regex-jail");
    dir.write(
        "t.log",
        "2026-11-22 13:00:01 h gast failed from 192.0.2.77\n2026-11-22 13:00:02 h bob failed from localhost\n",
    );
    dir.write(
        "conf/filter.d/one.conf",
        "[Definition]\nfailregex = <who> failed from <HOST>\nignoreregex =\n[Init]\nwho = nobody\n",
    );
    let jail = "[one]\nfilter = one[who=\\w+]\nusedns = no\nlogtimezone = UTC+0200\nlogpath = /nonexistent\naction = nothing\n";
    dir.write(
        "conf/jail.conf",
        format!("{jail}[broken]\nfilter = two\n[bare]\nenabled = false\n"),
    );
    let row = |regex: &str| ours(&["-c", "conf", "-o", "<ip> <time>", "t.log", regex], dir.path());
    assert_eq!(row("one"), "192.0.2.77 1795345201\nexit code 0\n");
    assert_eq!(row("one[who=bob]"), "exit code 0\n");
    assert_eq!(row("one.conf"), "exit code 0\n");
    assert_eq!(row("filter.d/one"), "exit code 0\n");
    assert_eq!(
        row("one.conf[who=\\w+]"),
        "192.0.2.77 1795352401.0\n127.0.0.1 1795352402.0\nexit code 0\n"
    );
    let told = ours(&["-c", "conf", "t.log", "one[who=bob]"], dir.path());
    let heading = "Use             jail : one, basedir: conf\nUse           filter : one\nUse   filter options : {'who': 'bob'}\n";
    assert!(told.contains(heading), "{told}");
    let told = row("broken");
    assert!(
        told.starts_with("ERROR: the jail `broken` cannot be used\n  why: ") && told.contains("\n  mend: broken.conf "),
        "{told}"
    );
}

/// What the tool says without what differs on purpose: the expression for IPv6 addresses (D-056) and a date format are those
/// of a later Fail2Ban, and years go to 2099 (D-045).
pub(crate) fn newer(text: &str) -> String {
    text.replace("|::){1,7}", "|:){1,7}")
        .replace("%7C%3A%3A%29%7B1%2C7%7D", "%7C%3A%29%7B1%2C7%7D")
        .replace(
            "(?:T|  ?)Ex24hourExMinuteExSecond",
            "(?:-|T|  ?)Ex24hour:?ExMinute:?ExSecond",
        )
        .replace("(?:T|  ?)%ExH%ExM%ExS", "(?:-|T|  ?)%ExH:?%ExM:?%ExS")
        .replace(
            r"(?:T|  ?)(?P<H>[0-1]\d|2[0-3])(?P<M>[0-5]\d)(?P<S>",
            r"(?:-|T|  ?)(?P<H>[0-1]\d|2[0-3]):?(?P<M>[0-5]\d):?(?P<S>",
        )
        .replace("20[012]\\d", "20\\d{2}")
}

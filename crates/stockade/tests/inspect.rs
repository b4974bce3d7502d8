//! `stockade check` and `stockade config show`, run as an administrator runs them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const STOCKADE: &str = env!("CARGO_BIN_EXE_stockade");

fn run(args: &[&str]) -> Output {
    Command::new(STOCKADE)
        .args(args)
        .env_remove("NO_COLOR")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Severity, `file:line:column` with the file's name only, what, mend.
type Finding = (String, String, String, String);

/// The exit code and the findings on a folder.
fn findings(folder: &Path) -> (Option<i32>, Vec<Finding>) {
    let output = run(&["check", folder.to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().unwrap().iter().map(|finding| {
        let file = word(finding, "file");
        let name = Path::new(&file).file_name().unwrap_or_default().to_string_lossy();
        let place = format!("{name}:{}:{}", finding["line"], finding["column"]);
        (
            word(finding, "severity"),
            place,
            word(finding, "what"),
            word(finding, "mend"),
        )
    });
    (output.status.code(), findings.collect())
}

/// A configuration in which one thing of each kind is wrong.
fn faulty() -> testkit::TempDir {
    let folder = testkit::TempDir::new("check-faulty");
    folder.write("there.log", "");
    let here = folder.path().display().to_string();
    folder.write(
        "fail2ban.conf",
        "[Definition]\nlogtarget = STDOUT\nloglvel = INFO\ndbfile = None\n",
    );
    folder.write(
        "jail.conf",
        format!(
            "[DEFAULT]\nbantme = 1h\nbackend = polling\nlogpath = {here}/there.log\nusedns = no\n\
             [number]\nenabled = true\nfilter = good\naction = ports\nmaxretry = thr\n\
             [brokenrule]\nenabled = true\nfilter = broken\naction = ports\n\
             [nofilter]\nenabled = true\nfilter = absent\n\
             [doubts]\nenabled = true\nfilter = good[mod=x]\nport = 2222\naction = ports[port=22]\nfindtim = 1h\n\
             ignoreself = y\nignoreip = 10.0.0/8 192.0.2.7\nlogpath = {here}/there.log\n    {here}/missing.log\n    {here}\n\
             [junk]\nthis is no option\n"
        ),
    );
    folder.write(
        "filter.d/good.conf",
        "[Definition]\nmode = a\nfailregex = ^<mode> failed <HOST>$\n",
    );
    folder.write(
        "filter.d/broken.conf",
        "[Definition]\nfailregex = ^fine <HOST>$\n    ^ (open <HOST> [a-\n",
    );
    folder.write(
        "action.d/ports.conf",
        "[Definition]\nactionban = iptables -I INPUT -p tcp --dport <port> -s <ip> -j DROP\nactionunbn = true\n[Init]\nport = 22\n",
    );
    folder
}

#[test]
fn every_fault_is_told_at_once_with_its_place_and_its_mend() {
    let folder = faulty();
    let (code, findings) = findings(folder.path());
    let expected = [
        ("error", "jail.conf:10:12", "maxretry", "maxretry = 5"),
        (
            "error",
            "broken.conf:3:20",
            "unterminated character set",
            "look at `[a-`",
        ),
        ("error", "jail.conf:17:10", "`absent` does not exist", "existing filter"),
        ("error", "jail.conf:30:1", "this is no option", "this is no option = …"),
        ("warning", "fail2ban.conf:3:1", "`loglvel`", "`loglevel`"),
        ("warning", "jail.conf:2:1", "`bantme`", "`bantime`"),
        ("warning", "jail.conf:20:15", "no option `mod`", "`mode`"),
        ("warning", "jail.conf:21:8", "blocks its port 2222", "port=\"%(port)s\""),
        ("warning", "jail.conf:23:1", "`findtim`", "`findtime`"),
        (
            "warning",
            "jail.conf:24:14",
            "`ignoreself = y` counts as no",
            "ignoreself = true",
        ),
        ("warning", "jail.conf:25:12", "`10.0.0/8`", "192.0.2.0/24"),
        ("warning", "jail.conf:27:5", "does not exist yet", "check the path"),
        ("warning", "jail.conf:28:5", "is a folder", "*.log"),
        ("warning", "ports.conf:3:1", "`actionunbn`", "`actionunban`"),
    ];
    for (severity, place, what, mend) in expected {
        assert!(
            findings.iter().any(|found| found.0 == severity
                && found.1.starts_with(place)
                && found.2.contains(what)
                && found.3.contains(mend)),
            "no {severity} at {place} about {what}: {findings:#?}"
        );
    }
    assert_eq!(code, Some(1));
}

#[test]
fn a_person_sees_the_line_and_a_caret_under_what_is_meant() {
    let folder = faulty();
    let output = run(&["check", folder.path().to_str().unwrap()]);
    let shown = text(&output);
    let lines: Vec<&str> = shown.lines().collect();
    let caret_under = |source: &str, piece: &str| {
        let at = lines
            .iter()
            .position(|line| line.contains(" | ") && line.contains(source))
            .unwrap();
        let column = lines[at].find(source).unwrap() + source.find(piece).unwrap();
        let caret = lines[at + 1].find('^').unwrap();
        assert_eq!(caret, column, "{}\n{}", lines[at], lines[at + 1]);
        lines[at + 1].matches('^').count()
    };
    assert_eq!(caret_under("maxretry = thr", "thr"), 3);
    assert_eq!(caret_under("findtim = 1h", "findtim"), 7);
    assert_eq!(caret_under("^ (open <HOST> [a-", "[a-"), 1);
    assert!(
        lines
            .last()
            .unwrap()
            .contains("1 jail with 1 rule will run; 3 will not"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn a_sound_configuration_is_told_so() {
    let folder = testkit::TempDir::new("check-sound");
    let output = run(&["check", folder.path().to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["errors"]), (Some(0), &Value::from(0)));
}

/// The stock configuration with every jail enabled and a log for each.
fn stock() -> testkit::TempDir {
    let folder = testkit::TempDir::new("check-stock");
    for name in [
        "action.d",
        "filter.d",
        "jail.conf",
        "fail2ban.conf",
        "paths-common.conf",
        "paths-debian.conf",
    ] {
        let status = Command::new("cp")
            .arg("-r")
            .arg(Path::new("/etc/fail2ban").join(name))
            .arg(folder.path())
            .status();
        assert!(status.unwrap().success());
    }
    let jails = std::fs::read_to_string("/etc/fail2ban/jail.conf").unwrap();
    let names = jails
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    // Values that stock actions want and stock files leave to the user.
    let mut local = "[DEFAULT]\nenabled = true\ncfemail = a\ncfapikey = b\nblocklist_de_apikey = c\n".to_owned();
    for name in names.filter(|name| !matches!(*name, "DEFAULT" | "INCLUDES")) {
        folder.write(format!("log/{name}"), "");
        writeln!(
            local,
            "[{name}]\nlogpath = {}",
            folder.join(format!("log/{name}")).display()
        )
        .unwrap();
    }
    folder.write("jail.local", local);
    folder
}

/// Each of them was looked at, and the witness of each was run through the real `fail2ban-regex`: docs/compat/REVIEW.md.
#[test]
fn what_is_found_in_the_stock_configuration_is_what_was_reviewed() {
    if !testkit::requires(&["fail2ban-client", "iptables"]) {
        return;
    }
    let folder = stock();
    let (code, findings) = findings(folder.path());
    let mut found: Vec<(String, String)> = findings
        .iter()
        .map(|(severity, place, what, _)| {
            assert_eq!(severity, "warning", "{what}");
            (place.split(':').next().unwrap().to_owned(), what.clone())
        })
        .collect();
    found.sort();
    let forged = |file: &str| {
        (
            file.to_owned(),
            "`failregex`: text from outside can stand where the address is taken".to_owned(),
        )
    };
    let expected = [
        forged("pam-generic.conf"),
        (
            "sogo-auth.conf".to_owned(),
            "`ignoreregex`: this rule can never match".to_owned(),
        ),
        forged("sshd.conf"),
        forged("sshd.conf"),
        forged("sshd.conf"),
    ];
    assert_eq!(found, expected);
    assert_eq!(code, Some(0));
}

#[test]
fn a_wrong_command_line_is_told_with_the_usage() {
    for args in [
        &["check", "/nonexistent/folder"][..],
        &["check", "--jsn"],
        &["config"],
        &["config", "list"],
        &["config", "show", "a", "b"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            String::from_utf8(output.stderr).unwrap().contains("usage: "),
            "{args:?}"
        );
    }
}

#[test]
fn a_jails_values_are_shown_with_their_files_and_what_they_overrode() {
    let folder = testkit::TempDir::new("config-show");
    folder.write(
        "jail.conf",
        "[DEFAULT]\nmaxretry = 5\nbantime = 10m\n[x]\nfilter = f[mode=b]\nport = 1\naction = a[port='%(port)s']\n",
    );
    folder.write("jail.d/20.conf", "[x]\nenabled = true\nmaxretry = 4\n");
    folder.write(
        "jail.local",
        "[DEFAULT]\nbantime = 1h\n[x]\nmaxretry = 3\nport = %(known/port)s,2\nhelper = 1\n",
    );
    folder.write(
        "filter.d/f.conf",
        "[Definition]\nre-a = ^a <HOST>$\nre-b = ^b <HOST>$\n    ^c <HOST>$\nfailregex = <re-<mode>>\nmode = a\n",
    );
    folder.write("filter.d/f.local", "[Definition]\nmaxlines = 1\n");
    folder.write(
        "action.d/a.conf",
        "[Definition]\nactionban = ban <port> <chain>\n[Init]\nchain = one\n",
    );
    folder.write("action.d/a.local", "[Init]\nchain = two\n");
    let here = folder.path().to_str().unwrap();
    let output = run(&["config", "show", "x", "-c", here, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let option = |part: &Value, name: &str| -> Value {
        let options = part["options"].as_array().unwrap();
        let found = options.iter().find(|option| option["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {part:#}")).clone()
    };
    let stands = |option: &Value| {
        let file = Path::new(option["file"].as_str().unwrap())
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        format!("{file}:{}", option["line"])
    };
    let earlier = |option: &Value| -> Vec<String> {
        let overrode = option["overrode"].as_array().unwrap().iter();
        overrode
            .map(|earlier| format!("{} {}", earlier["written"].as_str().unwrap(), stands(earlier)))
            .collect()
    };
    let maxretry = option(&shown["own"], "maxretry");
    assert_eq!(
        (maxretry["value"].as_str(), stands(&maxretry)),
        (Some("3"), "jail.local:4".into())
    );
    assert_eq!(earlier(&maxretry), ["4 20.conf:3", "5 jail.conf:2"]);
    let bantime = option(&shown["own"], "bantime");
    assert_eq!(
        (stands(&bantime), earlier(&bantime)),
        ("jail.local:2".into(), vec!["10m jail.conf:3".to_owned()])
    );
    let port = option(&shown["own"], "port");
    assert_eq!(
        (port["value"].as_str(), port["written"].as_str()),
        (Some("1,2"), Some("%(known/port)s,2"))
    );
    assert_eq!(option(&shown["own"], "helper")["used"], false);
    assert_eq!(option(&shown["own"], "port")["used"], true);
    let failregex = option(&shown["filter"], "failregex");
    assert_eq!(failregex["value"], "^b <HOST>$\n^c <HOST>$");
    let rules: Vec<String> = failregex["rules"].as_array().unwrap().iter().map(stands).collect();
    assert_eq!(rules, ["f.conf:3", "f.conf:4"]);
    let action = &shown["actions"][0];
    assert_eq!(option(action, "actionban")["value"], "ban 1,2 two");
    let chain = option(action, "chain");
    assert_eq!(
        (stands(&chain), earlier(&chain)),
        ("a.local:2".into(), vec!["one a.conf:4".to_owned()])
    );

    let plain = text(&run(&["config", "show", "x", "-c", here]));
    for piece in [
        "maxretry = 3",
        "jail.local:4",
        "instead of: 4",
        "^c <HOST>$",
        "actionban = ban 1,2 two",
        "(nothing uses it)",
    ] {
        assert!(plain.contains(piece), "{piece} is not in\n{plain}");
    }
    let unknown = run(&["config", "show", "y", "-c", here]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("did you mean `x`?"));
}

//! Jails that read the journal: what was in it at the start, what comes then, commands, reloads.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::world::{Said, World, both, possible};

pub(super) const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

const TRACE: &str = r#"[Definition]
actionban = printf '%%s\n' "ban <ip> <failures> <time> [<F-USER>] [<matches>]" >> @/acts
"#;

const CONFIGURATION: &str = "[DEFAULT]\nmaxretry = 3\nfindtime = 600\nbantime = 600\nignoreself = false\nusedns = no\n\
    backend = systemd[journalpath=\"@/journal\"]\naction = trace\n\
    [sshd]\nenabled = true\nfilter = sshd\njournalmatch = SYSLOG_IDENTIFIER=sshd\n\
    [other]\nenabled = true\nfilter =\nfailregex = ^\\s*\\S+ \\w+\\[\\d+\\]: bad <HOST>\\\\n<F-USER>more</F-USER>$\n\
    journalmatch = SYSLOG_IDENTIFIER=other PRIORITY=3 + SYSLOG_IDENTIFIER=third\n\
    [all]\nenabled = true\nfilter =\nfailregex = (?:bad|from) <HOST>(?: port|\\\\n|$)\nmaxretry = 5\n";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// An entry in the export format, so many seconds old.
fn entry(age: u64, fields: &[(&str, &str)]) -> Vec<u8> {
    // The last digit is no 0, which a number would not show.
    let micros = (now() - age * 1_000_000) / 10 * 10 + 7;
    let mut bytes = format!(
        "__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=a1777a4a69f043cca340f185b9a4049f\n",
        micros - 1_700_000_000_000_000
    )
    .into_bytes();
    for (name, value) in [("_HOSTNAME", "host1")].iter().chain(fields) {
        bytes.extend_from_slice(format!("{name}\n").as_bytes());
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(format!("{value}\n").as_bytes());
    }
    bytes.push(b'\n');
    bytes
}

pub(super) fn sshd(age: u64, session: usize, address: &str) -> Vec<u8> {
    let message = format!("Failed password for root from {address} port 4711 ssh2");
    let pid = session.to_string();
    entry(
        age,
        &[
            ("SYSLOG_IDENTIFIER", "sshd"),
            ("_PID", &pid),
            ("PRIORITY", "6"),
            ("MESSAGE", &message),
        ],
    )
}

fn other(age: u64, name: &str, priority: &str, address: &str) -> Vec<u8> {
    let message = format!("bad {address}\nmore");
    let fields = [
        ("SYSLOG_IDENTIFIER", name),
        ("_PID", "5"),
        ("PRIORITY", priority),
        ("MESSAGE", &*message),
    ];
    entry(age, &fields)
}

/// Lets systemd add entries to the world's journal.
pub(super) fn add(world: &World, entries: &[Vec<u8>]) {
    world.write_bytes("export", &entries.concat());
    std::fs::create_dir_all(world.path("journal")).unwrap();
    let output = Command::new(REMOTE)
        .arg("--split-mode=none")
        .arg(format!("--output={}", world.path("journal/remote.journal").display()))
        .arg(world.path("export"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the log says of jails and addresses, sorted, without the times of one second that may differ.
fn said(world: &World) -> Vec<Said> {
    let mut said: Vec<Said> = world
        .log()
        .into_iter()
        .filter(|said| said.text.starts_with('[') || said.text.contains("systemd"))
        .filter(|said| !said.text.contains(" Unban ") && !said.text.contains(" Repeal Ban "))
        // D-069: what a reload does to come to the same again is not told.
        .filter(|said| !said.text.ends_with("Removed journal match for: '*'"))
        .map(|mut said| {
            // In other words.
            if said.level == "NOTICE" && said.text.contains("journalmatch") {
                said.text = said.text.chars().take(5).collect();
            }
            if let Some((before, _)) = said.text.split_once(" - 20") {
                said.text = before.to_owned();
            }
            said
        })
        .collect();
    said.sort();
    said
}

#[test]
fn jails_of_the_journal_find_ban_tell_and_answer_as_fail2bans_do() {
    for (file, package) in [
        (REMOTE, "systemd-journal-remote"),
        ("/usr/lib/python3/dist-packages/systemd/journal.py", "python3-systemd"),
    ] {
        if !Path::new(file).exists() {
            return testkit::skip(&format!("needs the package `{package}`"));
        }
    }
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("journal", true, |world| {
        world.write("etc/action.d/trace.conf", TRACE);
        world.write("etc/jail.conf", CONFIGURATION);
        world.write("etc/jail.d/defaults-debian.conf", "");
        let mut entries = Vec::new();
        // Too old, old enough, and not theirs.
        for session in 0..4 {
            entries.push(sshd(700 - session as u64, session, "192.0.2.99"));
        }
        for session in 0..3 {
            entries.push(sshd(50 - session as u64, 10 + session, "192.0.2.1"));
        }
        entries.extend([
            other(40, "other", "3", "192.0.2.2"),
            other(39, "other", "6", "192.0.2.2"),
            other(38, "third", "6", "192.0.2.2"),
            other(37, "fourth", "3", "192.0.2.2"),
            other(36, "third", "3", "192.0.2.2"),
            sshd(35, 20, "2001:db8::1"),
        ]);
        add(world, &entries);
        world.start();
        world.wait("fail2ban.log", "[all] Jail is in operation");
        world.wait("acts", "ban 192.0.2.1 ");
        world.wait("acts", "ban 192.0.2.2 ");
        let mut answers = Vec::new();
        let mut ask = |line: &str| answers.push(format!("{line}\n{}", world.ask(line)));
        for jail in ["sshd", "other", "all"] {
            ask(&format!("get {jail} journalmatch"));
            ask(&format!("get {jail} logpath"));
            ask(&format!("status {jail}"));
        }
        // What comes while they run.
        add(
            world,
            &[
                sshd(0, 30, "192.0.2.3"),
                sshd(0, 31, "192.0.2.3"),
                sshd(0, 32, "192.0.2.3"),
            ],
        );
        world.wait("acts", "ban 192.0.2.3 ");
        // Other matches, also over a reload.
        ask("set other addjournalmatch SYSLOG_IDENTIFIER=fifth");
        add(
            world,
            &[other(0, "fifth", "6", "192.0.2.5"), other(0, "fifth", "6", "192.0.2.5")],
        );
        world.wait("fail2ban.log", "[other] Found 192.0.2.5");
        ask("set other addjournalmatch A=1 B=2 + C=3");
        ask("set other deljournalmatch A=1 B=2");
        for wrong in [
            "set other deljournalmatch C=3 + SYSLOG_IDENTIFIER=fifth",
            "set other deljournalmatch A=2",
            "set other deljournalmatch",
        ] {
            let answer = world.client(&wrong.split(' ').collect::<Vec<_>>());
            answers.push(format!("{wrong}: {} {:?}", answer.said, answer.code));
        }
        let refused = world.client(&["set", "other", "addjournalmatch", "junk"]);
        answers.push(format!(
            "{:?} {}",
            refused.code,
            refused.said.starts_with("Invalid match")
        ));
        world.ask("reload");
        add(
            world,
            &[
                sshd(0, 40, "192.0.2.4"),
                sshd(0, 41, "192.0.2.4"),
                sshd(0, 42, "192.0.2.4"),
            ],
        );
        world.wait("acts", "ban 192.0.2.4 ");
        world.settle("fail2ban.log", Duration::from_secs(2));
        for jail in ["sshd", "other", "all"] {
            answers.push(world.ask(&format!("status {jail}")));
        }
        assert_eq!(world.stop(), Some(0));
        let mut acts: Vec<String> = world.read("acts").lines().map(without_times).collect();
        acts.sort();
        (answers, acts, said(world))
    });
    assert_eq!(ours.0, theirs.0);
    assert_eq!(ours.1, theirs.1);
    assert_eq!(ours.2, theirs.2);
}

/// A line of an action with every digit of a time as 0; both worlds are written at other moments.
fn without_times(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let time =
            word.starts_with("20") && word.contains('T') || word.starts_with("[20") || word.parse::<f64>().is_ok();
        let digits = |letter: char| if letter.is_ascii_digit() { '0' } else { letter };
        if time {
            word.chars().map(digits).collect()
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

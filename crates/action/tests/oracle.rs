//! The same action in Fail2Ban itself and here: the same commands must be called in the same order.
//!
//! What we do better on purpose (see `lifecycle`) is left out: the scenarios have one ban when the environment is wiped,
//! and an action by family.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use common::{Stage, ban, with};
use testkit::{Daemon, Network, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// How long Fail2Ban may take for the calls of one step.
const PATIENCE: Duration = Duration::from_secs(8);

use Step::{Ban, Fail, Stop, Succeed, Unban, Wipe};

#[derive(Clone, Copy, Debug)]
enum Step {
    Ban(&'static str),
    Unban(&'static str),
    Fail(&'static str),
    Succeed(&'static str),
    Wipe,
    Stop,
}

/// What is called in each step, by us.
fn ours(options: &[(&str, &str)], steps: &[Step]) -> Vec<String> {
    let stage = Stage::new("ours");
    let mut action = stage.action(options);
    let _ = with(|context| action.start(context));
    let mut calls = vec![stage.calls()];
    for step in steps {
        match *step {
            Ban(id) => drop(with(|context| action.ban(&ban(id), context))),
            Unban(id) => drop(with(|context| action.unban(&ban(id), context))),
            Fail(name) => stage.fail(name),
            Succeed(name) => stage.succeed(name),
            Wipe => stage.wipe(),
            Stop => drop(with(|context| action.stop(context))),
        }
        calls.push(stage.calls());
    }
    calls
}

/// What is called in each step, by Fail2Ban; `expected` says how many calls to wait for.
fn theirs(options: &[(&str, &str)], steps: &[Step], expected: &[String]) -> Vec<String> {
    let stage = Stage::new("theirs");
    let directory = &stage.directory;
    let path = directory.path().display().to_string();
    let (mut definition, mut special) = (String::from("[Definition]\n"), String::from("[Init?family=inet6]\n"));
    let mut init = String::from("[Init]\n");
    for (key, value) in stage.properties(options) {
        let text = match key.split_once('?') {
            Some(_) => &mut special,
            None if key.starts_with("action") || key == "norestored" => &mut definition,
            None => &mut init,
        };
        writeln!(text, "{} = {value}", key.split('?').next().unwrap_or_default()).unwrap();
    }
    let has_special = special.contains(" = ");
    directory.write(
        "action.d/act.conf",
        definition + &init + if has_special { &special } else { "" },
    );
    directory.write("filter.d/f.conf", "[Definition]\nfailregex = ^x <HOST>$\n");
    directory.write("log", "");
    directory.write(
        "jail.conf",
        format!(
            "[j]\nenabled = true\nfilter = f\nbackend = polling\nlogpath = {path}/log\naction = act\nbantime = 600\n"
        ),
    );
    directory.write(
        "fail2ban.conf",
        format!("[Definition]\nloglevel = INFO\nlogtarget = {path}/f2b.log\nsyslogsocket = auto\nallowipv6 = auto\nsocket = {path}/s\npidfile = {path}/p\ndbfile = None\ndbmaxmatches = 10\ndbpurgeage = 1d\n"),
    );
    let network = Network::new();
    let mut server = Daemon::start(network.command("fail2ban-server").args(["-c", &path, "-f", "start"]));
    let client = |words: &[&str]| {
        network
            .command("fail2ban-client")
            .args(["-c", &path])
            .args(words)
            .output()
            .unwrap()
    };
    wait_until(SOON, "Fail2Ban is ready", || client(&["status", "j"]).status.success());
    let mut all = String::new();
    let mut collect = |expected: &str| {
        all.clear();
        let count = if expected.is_empty() {
            0
        } else {
            expected.split(", ").count()
        };
        // If they call less than we, the comparison shows it; nothing is gained by a panic here.
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let more = stage.calls();
            if !more.is_empty() {
                all = if all.is_empty() { more } else { format!("{all}, {more}") };
            }
            let called = if all.is_empty() { 0 } else { all.split(", ").count() };
            if called >= count {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        all.clone()
    };
    let mut calls = Vec::new();
    let mut expected = expected.iter();
    calls.push(collect(expected.next().unwrap()));
    for step in steps {
        match *step {
            Ban(id) => drop(client(&["set", "j", "banip", id])),
            Unban(id) => {
                // A ban is carried out a moment after the answer; an unban must not overtake it.
                drop(client(&["set", "j", "unbanip", id]));
            }
            Fail(name) => stage.fail(name),
            Succeed(name) => stage.succeed(name),
            Wipe => stage.wipe(),
            Stop => {
                drop(client(&["stop"]));
                server.wait(SOON);
            }
        }
        calls.push(collect(expected.next().unwrap()));
    }
    calls
}

#[test]
fn calls_the_commands_that_fail2ban_calls() {
    if !testkit::requires(&["root", "unshare", "nsenter", "ip", "fail2ban-server", "fail2ban-client"]) {
        return;
    }
    let by_family: &[(&str, &str)] = &[("by", "4"), ("by?family=inet6", "6")];
    let path_free = "echo \"REPAIR<by>\" >> CALLS && rm -f WIPED";
    let wiped_ban = "echo \"BAN <ip>\" >> CALLS; test ! -e WIPED";
    let wiped_unban = "echo \"UNBAN <ip>\" >> CALLS; test ! -e WIPED";
    let flush = "echo \"FLUSH<by>\" >> CALLS";
    let with_options = |more: &[(&'static str, &'static str)]| [by_family, more].concat();
    for (name, options, steps) in [
        (
            "plain",
            vec![],
            vec![Ban("192.0.2.1"), Ban("2001:db8::1"), Unban("192.0.2.1"), Stop],
        ),
        (
            "by family",
            by_family.to_vec(),
            vec![Ban("192.0.2.1"), Ban("2001:db8::1"), Unban("2001:db8::1"), Stop],
        ),
        (
            "failing",
            by_family.to_vec(),
            vec![Fail("ban"), Ban("192.0.2.1"), Succeed("ban"), Ban("192.0.2.2"), Stop],
        ),
        (
            "no check",
            with_options(&[("actioncheck", "")]),
            vec![Fail("ban"), Ban("192.0.2.1"), Succeed("ban"), Stop],
        ),
        (
            "failing start",
            by_family.to_vec(),
            vec![
                Fail("start"),
                Ban("192.0.2.1"),
                Succeed("start"),
                Ban("2001:db8::1"),
                Stop,
            ],
        ),
        (
            "unban failing",
            by_family.to_vec(),
            vec![Ban("192.0.2.1"), Fail("unban"), Unban("192.0.2.1"), Stop],
        ),
        (
            "wiped",
            with_options(&[("actionban", wiped_ban)]),
            vec![Ban("192.0.2.1"), Unban("192.0.2.1"), Wipe, Ban("192.0.2.2"), Stop],
        ),
        (
            "repaired",
            with_options(&[("actionban", wiped_ban), ("actionrepair", path_free)]),
            vec![Ban("192.0.2.1"), Unban("192.0.2.1"), Wipe, Ban("192.0.2.2"), Stop],
        ),
        (
            "wiped at unban",
            with_options(&[("actionunban", wiped_unban)]),
            vec![Ban("192.0.2.1"), Ban("192.0.2.2"), Wipe, Unban("192.0.2.1")],
        ),
        (
            "flush",
            with_options(&[("actionflush", flush)]),
            vec![Ban("192.0.2.1"), Ban("192.0.2.2"), Ban("2001:db8::1"), Stop],
        ),
    ] {
        let ours = ours(&options, &steps);
        let theirs = theirs(&options, &steps, &ours);
        assert_eq!(ours, theirs, "{name}: ours, theirs");
    }
}

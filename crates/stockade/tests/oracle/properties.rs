//! `get` of every property of every jail that the package's `jail.conf` knows, and of their actions.

use std::fs;

use crate::world::{World, both, possible};

/// Jails whose filters look at several lines at once (D-005).
const SEVERAL_LINES: &[&str] = &["ejabberd-auth", "guacamole", "mongodb-auth", "slapd"];

/// Options that some jail is given, so that each has a value somewhere.
const OPTIONS: &[(&str, &str)] = &[
    (
        "asterisk",
        "ignoreip = 10.0.0.0/8 192.0.2.1 example.invalid 10.1.2.3/255.255.0.0",
    ),
    ("dovecot", "logtimezone = UTC+01:00\nfindtime = 1d12h"),
    ("postfix", "datepattern = %%Y-%%m-%%d %%H:%%M\nbantime = -1"),
    ("vsftpd", "maxmatches = 7\nignoreself = false\nusedns = raw"),
];

const PROPERTIES: &[&str] = &[
    "logpath",
    "logencoding",
    "journalmatch",
    "ignoreself",
    "ignoreip",
    "ignorecommand",
    "ignorecache",
    "prefregex",
    "failregex",
    "ignoreregex",
    "usedns",
    "findtime",
    "bantime",
    "bantime.increment",
    "bantime.factor",
    "bantime.maxtime",
    "datepattern",
    "logtimezone",
    "maxmatches",
    "maxretry",
    "maxlines",
    "actions",
    "banned",
    "banip",
];

const ACTION_PROPERTIES: &[&str] = &[
    "actionstart",
    "actionban",
    "actionunban",
    "actionstop",
    "actioncheck",
    "actionflush",
    "actionrepair",
    "timeout",
    "name",
    "actname",
    "port",
    "protocol",
    "chain",
    "blocktype",
    "norestored",
];

/// The names of the jails.
fn jails() -> Vec<String> {
    let text = fs::read_to_string("/etc/fail2ban/jail.conf").unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    names
        .filter(|name| !["INCLUDES", "DEFAULT"].contains(name) && !SEVERAL_LINES.contains(name))
        .map(str::to_owned)
        .collect()
}

fn play(world: &mut World, jails: &[String]) -> Vec<(String, String)> {
    let mut text = "[DEFAULT]\n".to_owned();
    for jail in jails {
        text += &format!("[{jail}]\nenabled = true\nbackend = polling\nlogpath = @/log\n");
        for (_, options) in OPTIONS.iter().filter(|(name, _)| name == jail) {
            text += &format!("{options}\n");
        }
    }
    world.write("etc/jail.local", &text);
    world.write("log", "a line\n");
    world.start();
    let mut questions = vec!["status".to_owned(), "ping".to_owned()];
    for jail in jails {
        questions.push(format!("status {jail}"));
        questions.extend(PROPERTIES.iter().map(|property| format!("get {jail} {property}")));
    }
    let asked: Vec<String> = jails.iter().map(|jail| format!("get {jail} actions")).collect();
    for (jail, actions) in jails.iter().zip(world.interview(&asked)) {
        for action in actions.lines().skip(1).flat_map(|line| line.split(", ")) {
            let each = ACTION_PROPERTIES.iter();
            questions.extend(each.map(|property| format!("get {jail} action {action} {property}")));
        }
    }
    let answers = world.interview(&questions);
    world.stop();
    questions.into_iter().zip(answers).collect()
}

/// Of the expressions that tags stand for, that of IPv6 addresses was changed after 1.0.2; we have the later one.
fn as_head(text: &str) -> String {
    text.replace(r"(?:[0-9a-fA-F]{1,4}::?|::){1,7}", r"(?:[0-9a-fA-F]{1,4}::?|:){1,7}")
}

#[test]
fn every_property_of_every_stock_jail_and_its_actions_is_what_fail2ban_says() {
    if !possible(&[]) {
        return;
    }
    let jails = jails();
    let (ours, theirs) = both("properties", true, |world| play(world, &jails));
    assert_eq!(ours.len(), theirs.len());
    println!("properties: {} jails, {} answers", jails.len(), theirs.len());
    let mut differing = Vec::new();
    for ((question, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        // What a jail passes to its action goes before the option's variant for IPv6 (D-026), so that it is known when the jail is made.
        let passed = question.starts_with("get pass2allow-ftp action");
        let theirs = &if passed {
            theirs.replace("<blocktype>", "RETURN")
        } else {
            as_head(theirs)
        };
        if ours != theirs {
            differing.push(format!("{question}\n  ours:   {ours}\n  theirs: {theirs}"));
        }
    }
    let first: Vec<String> = differing.iter().take(5).cloned().collect();
    assert!(differing.is_empty(), "{} differ: {}", differing.len(), first.join("\n"));
}

//! Fail2Ban's own configuration, as Debian installs it, read by both.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::common::{Directory, fail2ban_is_here, ours, theirs, waits_for_a_log};

const STOCK: &str = "/etc/fail2ban";

/// Where 1.0.2 leaves a family's own value in place although the jail passes one for all: HEAD does not, nor do we.
fn passes_an_option_with_a_condition(line: &str) -> bool {
    line.starts_with("['multi-set', 'pass2allow-ftp', 'action', ")
}

/// Compares the commands of both and returns how many there are.
fn compare(directory: &Path, what: &str) -> usize {
    let theirs = theirs(directory).unwrap();
    let ours: Vec<String> = ours(directory)
        .into_iter()
        .filter(|line| !waits_for_a_log(line))
        .collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        if !passes_an_option_with_a_condition(theirs) {
            assert_eq!(ours, theirs, "{what}");
        }
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
    theirs.len()
}

/// The names of the sections of a stock file.
fn jails() -> Vec<String> {
    let text = fs::read_to_string(Path::new(STOCK).join("jail.conf")).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    names
        .filter(|name| !matches!(*name, "INCLUDES" | "DEFAULT"))
        .map(str::to_owned)
        .collect()
}

/// The base names of the files of a stock folder.
fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(STOCK).join(folder)).unwrap();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()?
                .strip_suffix(".conf")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// Values that stock actions want and stock files leave to the user.
const WANTED: &str = "cfemail = me@example.org\ncfapikey = k\nblocklist_de_apikey = b\n";

#[test]
fn the_configuration_as_installed() {
    if !fail2ban_is_here() {
        return;
    }
    let commands = compare(Path::new(STOCK), "as installed");
    eprintln!("as installed: {commands} commands equal");
}

#[test]
fn every_jail_enabled_with_its_log() {
    if !fail2ban_is_here() {
        return;
    }
    for (what, more) in [
        ("files", ""),
        ("the journal", "backend = systemd\n"),
        ("mail with whois", "action = %(action_mw)s\n"),
        ("mail with whois and lines", "action = %(action_mwl)s\n"),
        ("xarf", "action = %(action_xarf)s\n"),
        ("cloudflare", "action = %(action_cf_mwl)s\n"),
        ("blocklist.de", "action = %(action_blocklist_de)s\n"),
        ("abuseipdb", "action = %(action_abuseipdb)s\n"),
        (
            "nftables",
            "banaction = nftables[type=multiport]\nbanaction_allports = nftables[type=allports]\n",
        ),
        (
            "increment",
            "bantime.increment = true\nbantime.maxtime = 5w\nignoreip = 192.0.2.0/24, ::1\n",
        ),
    ] {
        let directory = Directory::copy_of(Path::new(STOCK));
        let mut local = format!("[DEFAULT]\nenabled = true\n{WANTED}{more}");
        for jail in jails() {
            directory.write(&format!("log/{jail}.log"), "");
            let _ = write!(local, "\n[{jail}]\nlogpath = @DIR@/log/{jail}.log\n"); // writing to a String cannot fail
        }
        directory.write("jail.local", local);
        let commands = compare(directory.path(), what);
        eprintln!(
            "{} jails, {what}: {commands} commands compared, pass2allow-ftp's action apart",
            jails().len()
        );
        assert!(commands > 500);
    }
}

#[test]
fn every_filter_in_every_mode_and_logtype() {
    if !fail2ban_is_here() {
        return;
    }
    for options in [
        "",
        "[mode=aggressive]",
        "[mode=extra]",
        "[mode=ddos]",
        "[logtype=journal]",
        "[logtype=rfc5424]",
        "[logtype=short]",
    ] {
        let directory = Directory::copy_of(Path::new(STOCK));
        let mut local = String::from("[DEFAULT]\naction =\nbackend = auto\n");
        for (number, filter) in names("filter.d")
            .iter()
            .filter(|name| !name.ends_with("-common") && *name != "common")
            .enumerate()
        {
            // Writing to a String cannot fail.
            let _ = write!(
                local,
                "\n[jail{number}]\nenabled = true\nlogpath = @DIR@/jail.conf\nfilter = {filter}{options}\n"
            );
        }
        directory.write("jail.local", local);
        let commands = compare(directory.path(), options);
        eprintln!("all filters, `{options}`: {commands} commands equal");
        assert!(commands > 500);
    }
}

#[test]
fn every_action() {
    if !fail2ban_is_here() {
        return;
    }
    let directory = Directory::copy_of(Path::new(STOCK));
    let mut local = String::from("[DEFAULT]\nfilter =\nbackend = auto\n");
    // A file without [Definition] is for other files to include.
    let whole = |name: &String| {
        let file = Path::new(STOCK).join(format!("action.d/{name}.conf"));
        fs::read_to_string(file).unwrap().contains("\n[Definition]")
    };
    let actions: Vec<String> = names("action.d").into_iter().filter(whole).collect();
    for (number, action) in actions.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(
            local,
            "\n[jail{number}]\nenabled = true\naction = {action}[port=\"1,2\", name=jail{number}-x]\n  {action}[actname=other, protocol=all, chain=FORWARD]\n"
        );
    }
    local.push_str("\n[python]\nenabled = true\naction = smtp.py[host=h, sender=\"a@b\"]\n");
    directory.write("jail.local", local);
    let commands = compare(directory.path(), "actions");
    eprintln!("{} actions twice: {commands} commands equal", actions.len());
    assert!(commands > 4 * actions.len());
}

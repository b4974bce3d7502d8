//! The built-in action for hosts.deny: what is in the file.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use common::configured::actions;
use common::{ban, texts, with};
use stockade_action::Action;
use testkit::{TempDir, requires};

fn action(file: &Path, options: &str, is_stock: bool) -> Action {
    actions(&format!("hostsdeny[file=\"{}\"{options}]", file.display()), is_stock).remove(0)
}

#[track_caller]
fn do_ban(action: &mut Action, id: &str) {
    let (outcome, reports) = with(|context| action.ban(&ban(id), context));
    assert!(outcome.is_ok() && reports.is_empty(), "{id}: {}", texts(&reports));
}

#[track_caller]
fn unban(action: &mut Action, id: &str) {
    let (outcome, reports) = with(|context| action.unban(&ban(id), context));
    assert!(outcome.is_ok() && reports.is_empty(), "{id}: {}", texts(&reports));
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn hosts_deny_has_one_line_for_each_address_and_keeps_what_is_there() {
    let directory = TempDir::new("hosts");
    // As an administrator left it, without a last line end; 192.0.2.1 is the beginning of another address.
    let before = "# deny these\nsshd: 192.0.2.11\nALL: 192.0.2.10";
    let file = directory.write("real/deny", before);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let link = directory.join("deny");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let mut deny = action(&link, "", false);
    let ids = [
        "192.0.2.1",
        "192.0.2.1",
        "2001:db8::1",
        "192.0.2.64/26",
        "2001:db8:1::/48",
    ];
    for id in ids {
        do_ban(&mut deny, id);
    }
    let lines = "ALL: 192.0.2.1\nALL: [2001:db8::1]\nALL: 192.0.2.64/26\nALL: [2001:db8:1::]/48\n";
    assert_eq!(read(&file), format!("{before}\n{lines}"));
    for id in ids {
        unban(&mut deny, id);
    }
    assert_eq!(read(&file), format!("{before}\n"));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
    assert_eq!(
        std::fs::read_dir(directory.join("real")).unwrap().count(),
        1,
        "nothing else"
    );

    let fresh = directory.join("fresh");
    let mut deny = action(&fresh, ", daemon_list=\"sshd, vsftpd\"", false);
    do_ban(&mut deny, "192.0.2.1");
    assert_eq!(read(&fresh), "sshd, vsftpd: 192.0.2.1\n");
    let (outcome, _) = with(|context| deny.stop(context));
    assert!(outcome.is_ok());
    assert_eq!(read(&fresh), "");
}

#[test]
fn hosts_deny_has_the_lines_that_the_package_writes() {
    if !requires(&["fail2ban-client"]) {
        return;
    }
    let directory = TempDir::new("hosts");
    let files = ["theirs", "ours"].map(|name| directory.write(name, "ALL: 192.0.2.10\n"));
    for options in ["", ", daemon_list=sshd"] {
        let mut actions = [action(&files[0], options, true), action(&files[1], options, false)];
        for step in ["192.0.2.1", "2001:db8::1", "-192.0.2.1", "-2001:db8::1"] {
            for action in &mut actions {
                match step.strip_prefix('-') {
                    Some(id) => unban(action, id),
                    None => do_ban(action, step),
                }
            }
            assert_eq!(read(&files[1]), read(&files[0]), "{options} {step}");
        }
    }
}

#[test]
fn hosts_deny_loses_nothing_where_many_jails_write_at_once() {
    let directory = TempDir::new("hosts");
    let file = directory.write("deny", "ALL: 192.0.2.10\n");
    std::thread::scope(|scope| {
        for jail in 1..=4 {
            let file = &file;
            scope.spawn(move || {
                let mut deny = action(file, "", false);
                for number in 1..=12 {
                    do_ban(&mut deny, &format!("198.51.{jail}.{number}"));
                }
                for number in 1..=12 {
                    if number % 2 == 0 {
                        unban(&mut deny, &format!("198.51.{jail}.{number}"));
                    }
                }
            });
        }
    });
    let mut lines: Vec<String> = read(&file).lines().map(ToOwned::to_owned).collect();
    lines.sort();
    let mut expected = vec!["ALL: 192.0.2.10".to_owned()];
    for jail in 1..=4 {
        expected.extend((1..=12).step_by(2).map(|number| format!("ALL: 198.51.{jail}.{number}")));
    }
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn hosts_deny_gets_no_line_that_is_no_address() {
    let directory = TempDir::new("hosts");
    let file = directory.write("deny", "ALL: 192.0.2.10\n");
    let mut deny = action(&file, "", false);
    for id in [
        "ALL",
        "x : spawn (touch CANARY)",
        "a\nALL: ALL",
        "$(id)",
        "-e",
        "",
        "192.0.2.1 EXCEPT ALL",
        "[::1]",
    ] {
        let (outcome, reports) = with(|context| deny.ban(&ban(id), context));
        assert!(
            outcome.is_err() && texts(&reports).contains("addresses and networks"),
            "{id:?}: {}",
            texts(&reports)
        );
    }
    assert_eq!(read(&file), "ALL: 192.0.2.10\n");
    let mut deny = action(Path::new("/proc/no/deny"), "", false);
    let (outcome, reports) = with(|context| deny.ban(&ban("192.0.2.1"), context));
    assert!(
        outcome.is_err() && texts(&reports).contains("/proc/no/deny"),
        "{}",
        texts(&reports)
    );
}

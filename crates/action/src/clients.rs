//! Network clients within a process group: what a command that takes too long is most likely waiting for.
//!
//! A mail with a whois answer in it is one shell command. When whois hangs, ending the whole command loses the mail; ending
//! whois alone lets the shell go on to the `||` after it, and the mail is sent.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Asks those processes of a group to end that hold an IP socket, except the group's leader. Returns their names.
pub(crate) fn end(group: Pid) -> Vec<String> {
    let mut ended = Vec::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return ended;
    };
    for process in processes.flatten() {
        let number = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw);
        let Some(pid) = number.filter(|pid| *pid != group) else {
            continue;
        };
        let path = process.path();
        let Some(name) = name_in_group(&path, group) else {
            continue;
        };
        // The process may end by itself in between; its number cannot be anybody else's while its group is ours to reap.
        if has_ip_socket(&path) && kill_process(pid, Signal::TERM).is_ok() {
            ended.push(name);
        }
    }
    ended
}

/// The process's name if it belongs to the group.
fn name_in_group(process: &Path, group: Pid) -> Option<String> {
    // `PID (NAME) STATE PARENT GROUP …`; the name may contain anything, parentheses too.
    let stat = fs::read(process.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let (before, after) = stat.rsplit_once(')')?;
    let number: i32 = after.split_whitespace().nth(2)?.parse().ok()?;
    let (_, name) = before.split_once('(')?;
    (number == group.as_raw_nonzero().get()).then(|| name.escape_debug().to_string())
}

fn has_ip_socket(process: &Path) -> bool {
    let mut sockets = HashSet::new();
    for table in ["net/tcp", "net/tcp6", "net/udp", "net/udp6"] {
        let Ok(text) = fs::read_to_string(process.join(table)) else {
            continue;
        };
        sockets.extend(
            text.lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().nth(9)?.parse::<u64>().ok()),
        );
    }
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let target = fs::read_link(descriptor.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        let inode = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode| sockets.contains(&inode))
    })
}

//! The part of `jail.local` that is setup's: marked blocks, put in the place of those of the last time. All else stays as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

const BEGIN: &str = "# >>> stockade setup: renewed by `stockade setup --apply`; edit outside of these lines";
const END: &str = "# <<< stockade setup";

/// What is to stand in the file.
pub(super) struct Wanted {
    /// The value of `ignoreip` that holds without `jail.local`.
    pub(super) inherited: Vec<String>,
    pub(super) friends: BTreeMap<IpAddr, &'static str>,
    /// Networks that are never banned, each with what it is.
    pub(super) networks: BTreeMap<IpNet, String>,
    /// Each jail with its options.
    pub(super) jails: Vec<(String, Vec<(String, String)>)>,
}

/// The new text of `jail.local`, and the jails that are left as the file has them already.
pub(super) fn renewed(old: &str, wanted: &Wanted) -> (String, Vec<String>) {
    let mut lines = without_blocks(old);
    let sections: Vec<String> = lines
        .iter()
        .filter_map(|line| section(line))
        .map(str::to_owned)
        .collect();
    let mut block = String::new();
    // A section may stand only once in a file, so what its own already has goes in there.
    if let Some(at) = lines.iter().position(|line| section(line) == Some("DEFAULT")) {
        insert(&mut lines, at, wanted);
    } else {
        let _ = writeln!(block, "[DEFAULT]\n{}\n", ignoreip(wanted).join("\n")); // writing to a String cannot fail
    }
    let mut left = Vec::new();
    for (name, options) in &wanted.jails {
        if sections.contains(name) {
            left.push(name.clone());
            continue;
        }
        let _ = writeln!(block, "[{name}]");
        for (option, value) in options {
            let _ = writeln!(block, "{option} = {value}");
        }
        block.push('\n');
    }
    let mut text = lines.join("\n").trim_end().to_owned();
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    if !block.is_empty() {
        let _ = write!(text, "{BEGIN}\n{}\n{END}", block.trim_end());
    }
    (text.trim_end().to_owned() + "\n", left)
}

fn section(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.split_once(']').map(|(name, _)| name)
}

fn without_blocks(old: &str) -> Vec<String> {
    let mut is_ours = false;
    let mut lines = Vec::new();
    for line in old.lines() {
        match line.trim() {
            BEGIN => is_ours = true,
            END => is_ours = false,
            _ if is_ours => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// The option, a line for each address; a comment behind a value would be part of it.
fn ignoreip(wanted: &Wanted) -> Vec<String> {
    let mut lines = vec![format!("ignoreip = {}", wanted.inherited.join(" "))];
    lines.extend(entries(wanted));
    lines
}

fn entries(wanted: &Wanted) -> Vec<String> {
    let mut lines = Vec::new();
    for (address, what) in &wanted.friends {
        lines.push(format!("# {what}"));
        lines.push(format!("    {address}"));
    }
    for (network, what) in &wanted.networks {
        lines.push(format!("# {what}"));
        lines.push(format!("    {network}"));
    }
    lines
}

/// Puts the addresses into the section [DEFAULT] whose head is line `at`: behind its own `ignoreip`, or as that.
fn insert(lines: &mut Vec<String>, at: usize, wanted: &Wanted) {
    let own = |line: &&String| section(line).is_none();
    let inside = lines.iter().skip(at + 1).take_while(own).position(|line| {
        let name = line.split(['=', ':']).next().unwrap_or_default();
        !line.starts_with(char::is_whitespace) && name.trim().eq_ignore_ascii_case("ignoreip")
    });
    let (place, mut block) = match inside {
        Some(inside) => {
            let head = at + 1 + inside;
            let more = lines.iter().skip(head + 1);
            let continued = more.take_while(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
            (head + 1 + continued.count(), entries(wanted))
        }
        None => (at + 1, ignoreip(wanted)),
    };
    block.insert(0, BEGIN.to_owned());
    block.push(END.to_owned());
    lines.splice(place..place, block);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            inherited: vec!["127.0.0.1/8".into()],
            friends: [("192.0.2.7".parse().unwrap(), "logged in")].into(),
            networks: [("172.17.0.0/16".parse().unwrap(), "containers".to_owned())].into(),
            jails: vec![("sshd".into(), vec![("enabled".into(), "true".into())])],
        }
    }

    #[test]
    fn what_was_there_stays_and_a_second_time_changes_nothing() {
        for old in [
            "",
            "[sshd]\nmaxretry = 3\n",
            "[DEFAULT]\nbantime = 1h\n\n[postfix]\nenabled = true\n",
            "# mine\n[DEFAULT]\nignoreip = 10.0.0.0/8\n    10.1.0.1\nbantime = 1h\n",
        ] {
            let (once, left) = renewed(old, &wanted());
            assert!(without_blocks(&once).join("\n").trim_end() == old.trim_end(), "{once}");
            assert_eq!(renewed(&once, &wanted()), (once.clone(), left.clone()));
            assert!(once.contains("\n    192.0.2.7\n"), "{once}");
            assert_eq!(once.matches("[DEFAULT]").count(), 1, "{once}");
            assert_eq!(once.matches("[sshd]").count(), 1, "{once}");
            assert_eq!(left.len(), usize::from(old.contains("[sshd]")));
        }
    }
}

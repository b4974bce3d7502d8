//! `-o row` of both programs on every stock filter and every log there is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::commands::path_text;
use crate::oracle::{Oracle, Said, ours};

/// How long pairs other than a filter with its own log are tried; all of them with `STOCKADE_ALL_PAIRS`.
const PATIENCE: Duration = Duration::from_secs(12);

/// Each filter with its own log, then all other pairs in an order that differs from day to day.
fn pairs() -> Vec<(String, PathBuf)> {
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let files = testkit::package_files("fail2ban");
    let filters: BTreeSet<String> = files
        .iter()
        .filter(|file| file.parent().is_some_and(|parent| parent == "/etc/fail2ban/filter.d"))
        .filter(|file| file.extension().is_some_and(|extension| extension == "conf"))
        .map(|file| stem(file))
        .collect();
    let mut logs: Vec<PathBuf> = files
        .into_iter()
        .filter(|file| path_text(file).contains("/files/logs/"))
        .collect();
    logs.extend(asterisk());
    let mut own = Vec::new();
    let mut others = Vec::new();
    for filter in &filters {
        for log in &logs {
            let list = if stem(log) == *filter { &mut own } else { &mut others };
            list.push((filter.clone(), log.clone()));
        }
    }
    // What differs is reported with its words, so the seed need not be.
    let days = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400;
    let mut state = days.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for index in (1..others.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        others.swap(index, usize::try_from(state % (index as u64 + 1)).unwrap());
    }
    own.extend(others);
    own
}

/// Logs of real Asterisks.
fn asterisk() -> Vec<PathBuf> {
    let Some(folder) = testkit::shared_data("data/asterisk") else {
        return Vec::new();
    };
    let mut logs = Vec::new();
    for machine in folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
    {
        for file in machine.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if file.is_file() && !["truth.json", "attempts.json"].contains(&name) {
                logs.push(file);
            }
        }
    }
    logs.sort();
    logs
}

#[test]
fn every_filter_finds_in_every_log_what_fail2bans_finds() {
    let Some(mut oracle) = Oracle::start(Path::new("/")) else {
        return;
    };
    let all = std::env::var_os("STOCKADE_ALL_PAIRS").is_some();
    let (mut compared, mut rows, mut own_logs) = (0, 0, true);
    let mut began = Instant::now();
    let mut different = String::new();
    let pairs = pairs();
    for (filter, log) in &pairs {
        if own_logs && log.file_stem().is_none_or(|stem| *stem != **filter) {
            own_logs = false;
            began = Instant::now();
        }
        if !own_logs && !all && began.elapsed() > PATIENCE {
            break;
        }
        // With `.conf` it is the filter, even if a jail has its name.
        let words = ["-o", "row", path_text(log), &format!("{filter}.conf")];
        let theirs = oracle.run(&words);
        let ours = ours(&words, Path::new("/"));
        compared += 1;
        rows += ours.out.lines().count();
        if found(&theirs) != found(&ours) {
            writeln!(
                different,
                "{words:?}\n--- theirs\n{}\n--- ours\n{}\n{}",
                found(&theirs),
                found(&ours),
                theirs.err
            )
            .unwrap();
        }
    }
    println!("{compared} pairs compared of {}, {rows} rows", pairs.len());
    assert!(different.is_empty(), "{different}");
    assert!(compared > 0 || testkit::package_files("fail2ban").is_empty());
}

/// The rows of an answer, without those that differ on purpose.
fn found(said: &Said) -> String {
    if said.code != 0 {
        // Of a file that is there to be included only, Fail2Ban shows an error of Python.
        return "refused".to_owned();
    }
    let rows = sorted(&said.out);
    let rows: Vec<String> = rows
        .lines()
        // No address: its leading zero may mean octal (D-040).
        .filter(|row| !row.starts_with("['192.030.0.6',"))
        .map(without_now)
        .collect();
    rows.join("\n")
}

/// A row whose time is that of the search: lines seen together of which the last has no date.
pub(crate) fn without_now(row: &str) -> String {
    let mut parts: Vec<&str> = row.splitn(3, '\t').collect();
    if parts.len() == 3 && !parts[1].ends_with(".0,") && parts[1].contains('.') {
        parts[1] = "NOW";
    }
    parts.join("\t")
}

/// A text with the users of a session in one order: Python shows sets in any.
pub(crate) fn sorted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{'") {
        out.push_str(before);
        out.push('{');
        match after.split_once('}') {
            // A dictionary has colons.
            Some((set, after)) if !set.contains("': ") => {
                let mut users: Vec<String> = format!("'{set}").split(", ").map(str::to_owned).collect();
                users.sort();
                out.push_str(&users.join(", "));
                out.push('}');
                rest = after;
            }
            _ => {
                out.push('\'');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

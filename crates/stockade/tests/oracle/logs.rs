//! The package's sample logs and recorded attacks, with the package's filters: who fails, when, and who is banned in which order.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::{output_of, package_files, shared_data};

use crate::world::{World, both, possible};

/// Filters that look at several lines at once, which we refuse (D-005).
const SEVERAL_LINES: &[&str] = &["ejabberd-auth", "guacamole", "mongodb-auth", "slapd"];

/// An id that is no address, which we never ban (D-040).
const NO_ADDRESS: &str = "192.030.0.6";

/// Log and filter of a jail.
struct Source {
    jail: String,
    filter: String,
    log: PathBuf,
}

/// Each sample log of the package that has a filter of its name.
fn samples() -> Vec<Source> {
    let logs = package_files("fail2ban")
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("/tests/files/logs/"));
    logs.filter_map(|log| {
        let filter = log.file_name()?.to_str()?.to_owned();
        let known = PathBuf::from(format!("/etc/fail2ban/filter.d/{filter}.conf")).exists();
        (known && !SEVERAL_LINES.contains(&&*filter)).then(|| Source {
            jail: format!("s-{filter}"),
            filter,
            log,
        })
    })
    .collect()
}

/// What real Asterisks wrote under attack.
fn recordings() -> Vec<Source> {
    let Some(folder) = shared_data("data/asterisk") else {
        return Vec::new();
    };
    let mut sources = Vec::new();
    for run in ["sip16-default", "sip20-iso", "pjsip20-default", "newline-sip20-default"] {
        for name in [
            "messages",
            "full",
            "full-with-security",
            "security",
            "syslog-iso.log",
            "syslog-traditional.log",
        ] {
            let log = folder.join(run).join(name);
            if log.exists() {
                sources.push(Source {
                    jail: format!("r-{run}-{name}"),
                    filter: "asterisk".to_owned(),
                    log,
                });
            }
        }
    }
    sources
}

/// Jails that differ in their name, filter and log alone, with these options.
fn configuration(sources: &[Source], options: &str) -> String {
    // Polled: of inotify instances, which 1.0.2 needs for each jail, a user has 128 on most systems.
    let mut text = format!(
        "[DEFAULT]\nbackend = polling\nignoreself = false\nusedns = no\naction = note\n{options}\n[sshd]\nenabled = false\n"
    );
    for Source { jail, filter, .. } in sources {
        text += &format!("[{jail}]\nenabled = true\nfilter = {filter}\nlogpath = @/logs/{jail}\n");
    }
    text
}

const NOTE: &str = "[Definition]\nactionban = printf '%%s\\n' \"<name> <ip> <failures> <F-USER> <fid> <family> <bantime>\" >> @/notes-<name>\nactionunban = true\n";

/// A log without the lines about what is no address (D-040).
fn content(log: &Path) -> Vec<u8> {
    let bytes = fs::read(log).unwrap();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let good = lines.filter(|line| !String::from_utf8_lossy(line).contains(NO_ADDRESS));
    good.flatten().copied().collect()
}

/// What one program made of all logs.
struct Outcome {
    /// By jail: failures in order, bans in order.
    found: BTreeMap<String, Vec<String>>,
    bans: BTreeMap<String, Vec<String>>,
    /// By jail: what the action was told.
    notes: BTreeMap<String, String>,
    /// `status JAIL` and `get JAIL banip` of each jail, and `banned`.
    answers: Vec<String>,
}

fn play(world: &mut World, sources: &[Source], options: &str, live: bool) -> Outcome {
    world.write("etc/jail.local", &configuration(sources, options));
    world.write("etc/action.d/note.conf", NOTE);
    let contents: Vec<Vec<u8>> = sources.iter().map(|source| content(&source.log)).collect();
    let begun = output_of(Command::new("date").arg("+%F %T"));
    for (source, content) in sources.iter().zip(&contents) {
        // A log that was empty at the start is not yet followed by 1.0.2 when its first lines come (D-065).
        let first: &[u8] = if live { b"the first line\n" } else { content };
        world.write_bytes(&format!("logs/{}", source.jail), first);
    }
    world.start();
    if live {
        world.settle("fail2ban.log", Duration::from_millis(1500));
        for (source, content) in sources.iter().zip(&contents) {
            world.append(&format!("logs/{}", source.jail), content);
        }
    }
    world.settle("fail2ban.log", Duration::from_secs(3));
    let mut questions: Vec<String> = vec!["banned".to_owned()];
    for Source { jail, .. } in sources {
        questions.push(format!("status {jail}"));
        questions.push(format!("get {jail} banip"));
    }
    let answers = world.interview(&questions);
    world.stop();
    let log = world.log();
    let of = |jail: &str, logger: &str, what: &str| {
        let start = format!("[{jail}] {what} ");
        let texts = log.iter().filter(|said| said.logger == logger).map(|said| &said.text);
        // `Found a match but no valid date/time found for …` is a warning.
        let ids = texts.filter_map(|text| text.strip_prefix(&start).filter(|id| !id.starts_with("a match")));
        // Lines of the future, and most that are followed, count as happening when they are read.
        let ids = ids.map(|id| match id.split_once(" - ") {
            Some((id, time)) if time >= begun.trim_end() => format!("{id} now"),
            _ => id.to_owned(),
        });
        ids.collect()
    };
    let by_jail = |logger, what| {
        let one = |source: &Source| (source.jail.clone(), of(&source.jail, logger, what));
        sources.iter().map(one).collect()
    };
    Outcome {
        found: by_jail("fail2ban.filter", "Found"),
        bans: by_jail("fail2ban.actions", "Ban"),
        notes: sources
            .iter()
            .map(|source| (source.jail.clone(), world.read(&format!("notes-{}", source.jail))))
            .collect(),
        answers,
    }
}

#[track_caller]
fn assert_same(ours: Option<&Vec<String>>, theirs: Option<&Vec<String>>, what: &str) {
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    let same = ours
        .iter()
        .zip(theirs)
        .take_while(|(ours, theirs)| ours == theirs)
        .count();
    let rest = |list: &[String]| list.iter().skip(same).take(5).cloned().collect::<Vec<_>>();
    assert!(
        ours == theirs,
        "{what}: {} and {}, differing after {same}\nours:   {:?}\ntheirs: {:?}",
        ours.len(),
        theirs.len(),
        rest(ours),
        rest(theirs)
    );
}

fn compare(sources: &[Source], name: &str, options: &str, live: bool) {
    let (ours, theirs) = both(name, true, |world| play(world, sources, options, live));
    let failures: usize = theirs.found.values().map(Vec::len).sum();
    let bans: usize = theirs.bans.values().map(Vec::len).sum();
    println!("{name}: {} jails, {failures} failures, {bans} bans", sources.len());
    assert!(failures > sources.len() && bans > 0, "{failures} failures, {bans} bans");
    for Source { jail, .. } in sources {
        assert_same(
            ours.found.get(jail),
            theirs.found.get(jail),
            &format!("{jail}: failures"),
        );
        assert_same(ours.bans.get(jail), theirs.bans.get(jail), &format!("{jail}: bans"));
        assert_eq!(
            ours.notes.get(jail),
            theirs.notes.get(jail),
            "{jail}: what the action was told"
        );
    }
    for (ours, theirs) in ours.answers.iter().zip(&theirs.answers) {
        // `banip` is ordered by the end of the bans, which depends on fractions of a second while a log is followed.
        let (mut ours, mut theirs): (Vec<_>, Vec<_>) = (ours.split(' ').collect(), theirs.split(' ').collect());
        if live && ours.iter().all(|word| word.trim_end().parse::<IpAddr>().is_ok()) {
            ours.iter_mut()
                .chain(&mut theirs)
                .for_each(|word| *word = word.trim_end());
            ours.sort_unstable();
            theirs.sort_unstable();
        }
        assert_eq!(ours, theirs);
    }
}

/// Old lines count with their own dates, as if findtime were a lifetime.
const BEFORE: &str = "maxretry = 1\nmaxmatches = 5\nfindtime = 36500d\nbantime = -1";

const FOLLOWED: &str = "maxretry = 3\nfindtime = 600\nbantime = 600";

#[test]
fn sample_logs_there_before_the_start_give_the_same_failures_at_the_same_times_and_the_same_bans() {
    if possible(&[]) {
        compare(&samples(), "samples-before", BEFORE, false);
    }
}

#[test]
fn sample_logs_written_while_they_are_followed_give_the_same_failures_and_bans() {
    if possible(&[]) {
        compare(&samples(), "samples-followed", FOLLOWED, true);
    }
}

#[test]
fn attacks_on_asterisk_there_before_the_start_give_the_same_failures_and_bans_with_the_stock_filter() {
    let recordings = recordings();
    if possible(&[]) && !recordings.is_empty() {
        compare(
            &recordings,
            "asterisk-before",
            &BEFORE.replace("maxretry = 1", "maxretry = 5"),
            false,
        );
    }
}

#[test]
fn attacks_on_asterisk_written_while_the_logs_are_followed_give_the_same_failures_and_bans_with_the_stock_filter() {
    let recordings = recordings();
    if possible(&[]) && !recordings.is_empty() {
        compare(&recordings, "asterisk-followed", FOLLOWED, true);
    }
}

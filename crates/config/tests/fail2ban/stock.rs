//! Fail2Ban's own configuration, as Debian installs it, read by both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::common::{Directory, fail2ban_is_here};
use crate::verdict::{self, Verdict};

const STOCK: &str = "/etc/fail2ban";

/// What is compared, counted over the tests of this file.
#[derive(Default)]
struct Count {
    configurations: usize,
    equal: usize,
    commands: usize,
    deviating: BTreeMap<&'static str, usize>,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.configurations += other.configurations;
        self.equal += other.equal;
        self.commands += other.commands;
        for (kind, number) in other.deviating {
            *self.deviating.entry(kind).or_default() += number;
        }
    }

    fn tell(&self, kind: &str) {
        eprintln!(
            "{kind}: {} configurations compared, {} equal, {} commands; equal but for a listed deviation: {:?}",
            self.configurations, self.equal, self.commands, self.deviating
        );
    }
}

/// Compares the commands of both.
fn compare(directory: &Directory, what: &str) -> Count {
    let ours = verdict::ours(directory.path());
    let mut count = Count {
        configurations: 1,
        commands: ours.1.len(),
        ..Count::default()
    };
    match verdict::judge_made(directory, &ours) {
        Verdict::Equal => count.equal = 1,
        Verdict::Deviates(kinds) => count.deviating.extend(kinds.into_iter().map(|kind| (kind, 1))),
        Verdict::Differs(difference) => panic!("{what}: {}", difference.why),
    }
    count
}

/// Compares many, with as many programs at once as there are processors.
fn compare_all(trees: &[(String, Directory)]) -> Count {
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Count::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((what, directory)) = trees.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let count = compare(directory, what);
                    total.lock().unwrap().add(count);
                }
            });
        }
    });
    total.into_inner().unwrap()
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

/// A stock action that is one: a file without [Definition] is for others to include.
fn actions() -> Vec<String> {
    let whole = |name: &String| {
        let file = Path::new(STOCK).join(format!("action.d/{name}.conf"));
        fs::read_to_string(file).unwrap().contains("\n[Definition]")
    };
    names("action.d").into_iter().filter(whole).collect()
}

/// The stock configuration with every jail enabled, each with a log, and `more` in `[DEFAULT]`.
fn enabled(more: &str, of_jail: impl Fn(usize) -> String) -> Directory {
    let directory = Directory::copy_of(Path::new(STOCK));
    let mut local = format!("[DEFAULT]\nenabled = true\n{WANTED}{more}");
    for (index, jail) in jails().iter().enumerate() {
        directory.write(&format!("log/{jail}.log"), "");
        // Writing to a String cannot fail.
        let _ = write!(local, "\n[{jail}]\nlogpath = @DIR@/log/{jail}.log\n{}", of_jail(index));
    }
    directory.write("jail.local", local);
    directory
}

const BACKENDS: [&str; 7] = [
    "auto",
    "pyinotify",
    "polling",
    "systemd",
    "systemd[journalflags=1]",
    "systemd[journalpath=\"/run/log/journal, x\", namespace=*]",
    // Of 1.0.2 only; the client sends it, the server refuses it.
    "gamin",
];

#[test]
fn the_configuration_as_installed() {
    if !fail2ban_is_here() {
        return;
    }
    let directory = Directory::copy_of(Path::new(STOCK));
    // 1.0.2 does not know it; where journald keeps a journal, we would turn to it for logs that are missing.
    directory.write("jail.d/zz.local", "[DEFAULT]\nsystemd_if_nologs = false\n");
    compare(&directory, "as installed").tell("as installed");
}

#[test]
fn every_jail_with_every_backend_and_the_settings_that_stock_files_suggest() {
    if !fail2ban_is_here() {
        return;
    }
    let mut trees = Vec::new();
    for more in [
        "",
        "action = %(action_mw)s\n",
        "action = %(action_mwl)s\n",
        "action = %(action_xarf)s\n",
        "action = %(action_cf_mwl)s\n",
        "action = %(action_blocklist_de)s\n",
        "action = %(action_abuseipdb)s\n",
        "banaction = nftables[type=multiport]\nbanaction_allports = nftables[type=allports]\n",
        "bantime.increment = true\nbantime.maxtime = 5w\nignoreip = 192.0.2.0/24, ::1\n",
    ] {
        trees.push((more.to_owned(), enabled(more, |_| String::new())));
    }
    for backend in BACKENDS {
        // Some jails set a backend themselves.
        let of_jail = |_| format!("backend = {backend}\n");
        trees.push((backend.to_owned(), enabled("", of_jail)));
    }
    let count = compare_all(&trees);
    count.tell(&format!("{} jails", jails().len()));
    assert_eq!(count.configurations, 9 + BACKENDS.len());
}

#[test]
fn every_jail_with_every_action() {
    if !fail2ban_is_here() {
        return;
    }
    // An action knows nothing of the backend but its name: two of them, unless all is asked for.
    let backends: Vec<&str> = if std::env::var_os("STOCKADE_ALL").is_some() {
        BACKENDS.to_vec()
    } else {
        vec!["auto", "systemd"]
    };
    let actions = actions();
    let mut list = String::from("action =");
    for (number, action) in actions.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(
            list,
            "\n  {action}[name=%(__name__)s-{number}, port=\"%(port)s\", protocol=\"%(protocol)s\", chain=\"%(chain)s\"]"
        );
    }
    let list = list + "\n";
    let tree = |backend: &str| enabled(&list, |_| format!("backend = {backend}\n{list}"));
    let trees: Vec<_> = backends
        .iter()
        .map(|backend| ((*backend).to_owned(), tree(backend)))
        .collect();
    let count = compare_all(&trees);
    count.tell(&format!(
        "{} jails with {} actions each under {} backends",
        jails().len(),
        actions.len(),
        backends.len()
    ));
    assert!(count.commands > 2 * jails().len() * actions.len() * backends.len());
}

#[test]
fn every_jail_with_every_action_as_its_banaction() {
    if !fail2ban_is_here() {
        return;
    }
    let actions = actions();
    let jails = jails();
    let used = |index: usize| actions.get(index % actions.len()).unwrap();
    let trees: Vec<_> = (0..actions.len())
        .map(|turn| {
            let of_jail = |jail: usize| {
                let (ports, all) = (used(jail + turn), used(jail + 2 * turn + 1));
                format!("banaction = {ports}\nbanaction_allports = {all}\naction = %(action_)s\n  %(action_mw)s\n")
            };
            let more = format!("backend = {}\n", BACKENDS.get(turn % BACKENDS.len()).unwrap());
            (format!("turn {turn}"), enabled(&more, of_jail))
        })
        .collect();
    let count = compare_all(&trees);
    count.tell(&format!(
        "{} jails, each with {} actions in turn as `banaction`",
        jails.len(),
        actions.len()
    ));
    assert_eq!(count.configurations, actions.len());
}

#[test]
fn every_filter_in_every_mode_and_logtype() {
    if !fail2ban_is_here() {
        return;
    }
    let mut trees = Vec::new();
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
        let mut local = String::from("[DEFAULT]\naction =\nbackend = auto\n[sshd]\nenabled = false\n");
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
        trees.push((options.to_owned(), directory));
    }
    let count = compare_all(&trees);
    count.tell("every filter in seven modes and kinds of log");
    assert!(count.commands > 7 * 500);
}

#[test]
fn every_action() {
    if !fail2ban_is_here() {
        return;
    }
    let directory = Directory::copy_of(Path::new(STOCK));
    let mut local = String::from("[DEFAULT]\nfilter =\nbackend = auto\n[sshd]\nenabled = false\n");
    let actions = actions();
    for (number, action) in actions.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(
            local,
            "\n[jail{number}]\nenabled = true\naction = {action}[port=\"1,2\", name=jail{number}-x]\n  {action}[actname=other, protocol=all, chain=FORWARD]\n"
        );
    }
    local.push_str("\n[python]\nenabled = true\naction = smtp.py[host=h, sender=\"a@b\"]\n");
    directory.write("jail.local", local);
    let count = compare(&directory, "actions");
    count.tell(&format!("{} actions twice", actions.len()));
    assert!(count.commands > 4 * actions.len());
}

#[test]
fn all_stock_jails_load_in_a_fraction_of_the_time() {
    if !fail2ban_is_here() {
        return;
    }
    let directory = enabled("", |_| String::new());
    // The shortest of several: what else the machine does only adds.
    let shortest = |run: &dyn Fn()| {
        let times = (0..7).map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        });
        times.min().unwrap()
    };
    let ours = shortest(&|| drop(verdict::ours(directory.path())));
    let theirs = shortest(&|| drop(verdict::theirs(directory.path())));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    eprintln!("all stock jails: {ours:?}, `fail2ban-client -d` with its start {theirs:?}, {ratio:.1} times as long");
    // Without optimisation we take some six times as long.
    let wanted = if cfg!(debug_assertions) { 1.0 } else { 8.0 };
    assert!(ratio > wanted, "{ratio:.1} times");
}

//! What the client's exit codes and the jails that run say of configurations that are damaged, with Fail2Ban's beside ours.

use testkit::wait_until;

use crate::world::{SOON, World, both, possible};

/// One sound jail, to which the damage is added.
const SOUND: &str = "[DEFAULT]\nbackend = polling\n[sshd]\nenabled = true\nlogpath = @/log\n";

/// A second jail.
const SECOND: &str = "[x]\nenabled = true\nfilter = sshd\nlogpath = @/log\n";

/// What becomes of a configuration: exit codes of `-t` and `start`, and the jails that run then and after a `reload`.
#[derive(Debug, PartialEq, Eq)]
struct Fate {
    test: Option<i32>,
    start: Option<i32>,
    jails: Option<String>,
    reload: Option<i32>,
    jails_then: Option<String>,
}

impl Fate {
    fn new(test: i32, start: i32, jails: Option<&str>, reload: i32, jails_then: Option<&str>) -> Self {
        Self {
            test: Some(test),
            start: Some(start),
            jails: jails.map(str::to_owned),
            reload: Some(reload),
            jails_then: jails_then.map(str::to_owned),
        }
    }
}

/// What is wrong, the configuration, what Fail2Ban makes of it and what we do.
type Case = (&'static str, String, Fate, Fate);

fn cases() -> Vec<Case> {
    let second = |more: &str| format!("{SOUND}{SECOND}{more}\n");
    let both_well = || Fate::new(0, 0, Some("sshd, x"), 0, Some("sshd, x"));
    // The jail with the fault is left out and told of; the other one runs (D-021, D-120).
    let one_left_out = || Fate::new(255, 255, Some("sshd"), 255, Some("sshd"));
    // The server runs, but no jail is started; after a reload there is none.
    let lost = |test| Fate::new(test, 255, Some("sshd, x"), 255, Some(""));
    // The server does not come up.
    let nothing = || Fate::new(255, 255, None, 255, None);
    vec![
        ("nothing", second(""), both_well(), both_well()),
        (
            "no jail is enabled",
            "[sshd]\nenabled = false\n".to_owned(),
            Fate::new(0, 0, Some(""), 0, Some("")),
            Fate::new(0, 0, Some(""), 0, Some("")),
        ),
        (
            "the filter does not exist",
            second("").replace("filter = sshd", "filter = nope"),
            Fate::new(255, 0, Some("sshd"), 0, Some("sshd")),
            one_left_out(),
        ),
        (
            "a pattern is damaged",
            second("failregex = a(<HOST>"),
            lost(0),
            one_left_out(),
        ),
        ("a number is none", second("maxretry = three"), lost(0), one_left_out()),
        (
            "the backend is unknown",
            second("backend = foo"),
            Fate::new(0, 255, Some("sshd"), 255, Some("")),
            one_left_out(),
        ),
        (
            "the log does not exist (D-022)",
            second("logpath = /nonexistent/log"),
            nothing(),
            both_well(),
        ),
        (
            "a line is no option (D-020)",
            format!("{SOUND}junk\n"),
            nothing(),
            Fate::new(255, 0, Some("sshd"), 0, Some("sshd")),
        ),
        (
            "a reference leads nowhere",
            second("port = %(nope)s\nbanaction = %(nope)s"),
            nothing(),
            one_left_out(),
        ),
    ]
}

/// The names in `status`; `None` if no server answers.
fn jails(world: &World) -> Option<String> {
    let answer = world.client(&["status"]);
    (answer.code == Some(0)).then(|| answer.said.rsplit('\t').next().unwrap_or_default().trim().to_owned())
}

fn fate(world: &World, configuration: &str) -> Fate {
    // An option that is written twice is a fault of its own.
    let mut seen = Vec::new();
    let lines: Vec<&str> = configuration.lines().collect();
    let mut kept: Vec<&str> = Vec::new();
    for line in lines.iter().rev() {
        let option = line.split_once(" = ").map(|(option, _)| option);
        if line.starts_with('[') {
            seen.clear();
        }
        if option.is_none_or(|option| !seen.contains(&option)) {
            kept.push(line);
        }
        seen.extend(option);
    }
    kept.reverse();
    world.write("etc/jail.local", &(kept.join("\n") + "\n"));
    let test = world.client(&["-t"]).code;
    let start = world.client(&["start"]).code;
    let running = jails(world);
    let reload = world.client(&["reload"]).code;
    let jails_then = jails(world);
    if running.is_some() {
        world.ask("stop");
    }
    wait_until(SOON, "the server is gone", || {
        !world.path("sock").exists() && !world.path("pid").exists()
    });
    Fate {
        test,
        start,
        jails: running,
        reload,
        jails_then,
    }
}

#[test]
fn a_damaged_configuration_costs_at_most_the_jail_that_has_the_damage() {
    if !possible(&[]) {
        return;
    }
    let cases = cases();
    let (ours, theirs) = both("errors", true, |world| {
        world.write("log", "a line\n");
        cases.iter().map(|(_, text, ..)| fate(world, text)).collect::<Vec<_>>()
    });
    println!("errors: {} configurations", cases.len());
    for (((what, _, known, meant), ours), theirs) in cases.iter().zip(&ours).zip(&theirs) {
        assert_eq!(theirs, known, "1.0.2: {what}");
        assert_eq!(ours, meant, "ours: {what}");
    }
}

#[test]
fn a_server_that_runs_or_does_not_is_told_by_the_same_exit_codes() {
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("codes", true, |world| {
        world.write("log", "a line\n");
        world.write("etc/jail.local", SOUND);
        let mut codes = Vec::new();
        let mut code = |world: &World, words: &[&str]| codes.push((words.join(" "), world.client(words).code));
        for words in [["ping"], ["stop"], ["status"], ["reload"], ["--bogus"], ["-h"], ["-V"]] {
            code(world, &words);
        }
        code(world, &["--logtarget", "/proc/nonexistent/log", "start"]);
        // There the server is left running, with its client gone.
        world.client(&["stop"]);
        wait_until(SOON, "no server is left", || !world.path("sock").exists());
        code(world, &["-c", "/proc/nonexistent", "start"]);
        code(world, &["--loglevel", "bogus", "start"]);
        // Nobody but those who look for the process misses its number.
        code(world, &["-p", "/proc/nonexistent/pid", "start"]);
        for words in [["start"], ["ping"], ["status"], ["-t"], ["nonsense"]] {
            code(world, &words);
        }
        code(world, &["status", "nope"]);
        code(world, &["reload", "nope"]);
        code(world, &["set", "sshd", "maxretry", "x"]);
        code(world, &["stop"]);
        wait_until(SOON, "the server is gone", || !world.path("sock").exists());
        codes
    });
    assert_eq!(ours, theirs);
}

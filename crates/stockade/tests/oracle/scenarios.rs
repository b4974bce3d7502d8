//! `testdata/scenarios/*.scenario`: what both programs make of the same lines, commands and configurations.
//!
//! A scenario is a jail `j`, others if need be, and a play:
//!
//! ```text
//! # Bans after three failures.
//! [server]                        options of `fail2ban.conf`
//! dbpurgeage = 1h
//! [action repair]                 a file in `action.d`, beside `trace`, which tells all it is told
//! actioncheck = test -e @/here
//! [jail]                          options of `j`; a line that begins with blanks belongs to the value above
//! maxretry = 3
//! [jail second]                   another one, which reads the same log unless it has a `logpath`; a `filter` is taken from the package
//! [play]
//! log 5: fail from 192.0.2.1      a line of five seconds ago
//! log second.log: fail from …     in another file than `log`
//! wait [j] Ban 192.0.2.1          until fail2ban.log has it, once more than it was waited for before
//! told ban 192.0.2.1              the same of what actions were told
//! ask get j banned                a command, whose answer and exit code are compared
//! config maxretry = 5             another line in the configuration, for `ask reload`
//! config second enabled = false   in that of another jail
//! restart                         the server ends and starts
//! other                           the server ends, and the other program starts on what it left
//! stop, start, sql UPDATE bans …  the database is changed in between
//! shell rm @/here                 a command in the world's folder, whose output is compared
//! clock 700                       time goes on by so much; it stands still from the beginning in a scenario that has this step
//! settle                          until nothing more is said for a while
//! ```
//!
//! Compared are answers, what the log says of each jail, what actions are told in which order, and the rows of the database at the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::{output_of, wait_until};

use crate::live::by_jail;
use crate::world::{SOON, World, both, possible};

/// Scenarios at a time; they wait most of the time.
const AT_ONCE: usize = 6;

/// Seeds of the generated ones.
const SEEDS: std::ops::Range<u64> = 0..8;

const TRACE: &str = r"[Definition]
actionstart = printf '%%s\n' 'start <name>' >> @/acts
actionstop = printf '%%s\n' 'stop <name>' >> @/acts
actionflush =
actionban = printf '%%s\n' 'ban <ip> failures=<failures> bantime=<bantime> count=<bancount> restored=<restored> user=<F-USER> family=<family> jail=<name>' >> @/acts
actionunban = printf '%%s\n' 'unban <ip> failures=<failures> jail=<name>' >> @/acts
";

const ROWS: &str = "import json, sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute('select jail, ip, bantime, bancount, data from bans order by jail, ip, timeofban'):
    data = json.loads(row[4])
    print(*row[:4], data.get('failures'), len(data.get('matches', [])))
for row in sqlite3.connect(sys.argv[1]).execute('select ip, jail, bantime, bancount from bips order by ip, jail'):
    # A ban that became longer is whole in our row only (D-166).
    print(row[0], row[1], row[2] // 100 * 100, row[3])
for row in sqlite3.connect(sys.argv[1]).execute('select name, enabled from jails order by name'):
    print(*row)
";

/// Who fails in the generated ones.
const WHO: [&str; 4] = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"];

/// So long nothing is said when all has been: Fail2Ban bans up to a second after a failure, on a busy machine later.
const QUIET: Duration = Duration::from_secs(2);

/// Fails once before each play.
const PROBE: &str = "203.0.113.99";

/// Changes the database of a server that does not run.
const CHANGE: &str = "import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute(sys.argv[2])
database.commit()
";

/// A time that stands still, as it is at the beginning.
const NOON: &str = "2026-11-22 12:00:00";

/// Options and their values, later ones over earlier ones.
type Options = Vec<(String, String)>;

/// Numbers below a bound, the same for the same seed (xorshift).
fn by_chance(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    }
}

#[derive(Clone, Debug, Default)]
struct Scenario {
    name: String,
    jails: Vec<(String, Options)>,
    server: Options,
    /// Files of `action.d`, as they are.
    actions: Vec<(String, String)>,
    steps: Vec<String>,
}

fn set(options: &mut Options, line: &str) {
    let (option, value) = line.split_once(" =").unwrap();
    options.retain(|(other, _)| other != option);
    options.push((option.to_owned(), value.trim_start().to_owned()));
}

fn lines_of(options: &Options) -> String {
    let lines: Vec<String> = options
        .iter()
        .map(|(option, value)| format!("{option} = {value}\n"))
        .collect();
    lines.concat()
}

impl Scenario {
    fn parse(name: &str, text: &str) -> Self {
        let mut scenario = Self::named(name);
        let mut section = "";
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let header = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
            if let Some(header) = header.filter(|header| !header.starts_with("Init")) {
                section = header;
                match header.split_once(' ') {
                    Some(("jail", jail)) => scenario.jails.push((jail.to_owned(), Options::new())),
                    Some(("action", action)) => scenario.actions.push((action.to_owned(), "[Definition]\n".to_owned())),
                    _ => {}
                }
                continue;
            }
            let options = match section
                .split_once(' ')
                .map_or((section, "j"), |(word, name)| (word, name))
            {
                ("play", _) => {
                    scenario.steps.push(line.to_owned());
                    continue;
                }
                ("action", _) => {
                    scenario.actions.last_mut().unwrap().1 += &format!("{line}\n");
                    continue;
                }
                ("server", _) => &mut scenario.server,
                (_, jail) => scenario.jail(jail),
            };
            match line.strip_prefix("  ") {
                Some(more) => options.last_mut().unwrap().1 += &format!("\n    {}", more.trim_start()),
                None => set(options, line),
            }
        }
        assert!(!scenario.steps.is_empty(), "{name} has no play");
        scenario
    }

    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            jails: vec![("j".to_owned(), Options::new())],
            ..Self::default()
        }
    }

    fn jail(&mut self, name: &str) -> &mut Options {
        &mut self.jails.iter_mut().find(|(jail, _)| jail == name).unwrap().1
    }

    /// Random failures, commands and reloads, the same for the same seed.
    fn generated(seed: u64) -> Self {
        let mut random = by_chance(seed);
        let mut steps = Vec::new();
        for step in 0..7 {
            let new = 100 + step;
            let who = WHO.get(random(WHO.len())).unwrap();
            match random(9) {
                0..=3 => {
                    for _ in 0..=random(4) {
                        steps.push(format!("log: fail from {who} user u{}", random(3)));
                    }
                }
                4 => steps.push(format!("ask set j banip 192.0.2.{new} 198.51.100.{new}")),
                5 => steps.push(format!("ask set j unbanip {who}")),
                6 => steps.push(format!("ask set j maxretry {}", 2 + random(3))),
                7 => {
                    steps.push(format!("config maxretry = {}", 2 + random(3)));
                    steps.push("ask reload".to_owned());
                }
                _ => steps.push(format!("ask unban {who} 192.0.2.{}", 100 + random(3))),
            }
            steps.push("settle".to_owned());
            steps.push("ask status j".to_owned());
        }
        Self {
            steps,
            ..Self::named(&format!("seed {seed}"))
        }
    }

    /// The same with two jails, a clock, restarts and takeovers.
    ///
    /// Time goes on by more than a ban lasts: of bans that become longer the database knows nothing (D-166).
    fn generated_for_two(seed: u64) -> Self {
        let mut random = by_chance(seed);
        let mut steps = vec!["clock 1".to_owned()];
        for step in 0..8 {
            let new = 100 + step;
            let who = WHO.get(random(WHO.len())).unwrap();
            let (jail, log) = if random(2) == 0 {
                ("j", "log:")
            } else {
                ("second", "log second.log:")
            };
            match random(12) {
                0..=3 => {
                    for _ in 0..=random(4) {
                        steps.push(format!("{log} fail from {who} user u{}", random(3)));
                    }
                }
                4 => steps.push(format!("ask set {jail} banip {who} 198.51.100.{new}")),
                5 => steps.push(format!("ask set {jail} unbanip {who}")),
                6 => {
                    steps.push(format!("config {jail} maxretry = {}", 2 + random(3)));
                    let reload = ["ask reload", "ask reload second", "ask reload --restart j"];
                    steps.push((*reload.get(random(reload.len())).unwrap()).to_owned());
                }
                7 => steps.push(format!("ask unban {who} 198.51.100.{}", 100 + random(3))),
                8 => steps.push("clock 700".to_owned()),
                9 => steps.push("restart".to_owned()),
                10 => steps.push("other".to_owned()),
                _ => steps.push("ask unban --all".to_owned()),
            }
            steps.extend(["settle", "ask status j", "ask status second", "ask banned"].map(str::to_owned));
        }
        let mut scenario = Self {
            steps,
            ..Self::named(&format!("seed {seed} for two"))
        };
        let own_log = ("logpath".to_owned(), "@/second.log".to_owned());
        scenario.jails.push(("second".to_owned(), vec![own_log]));
        scenario
    }

    fn configuration(&self) -> String {
        const DEFAULTS: [&str; 11] = [
            "enabled = true",
            "backend = auto",
            "usedns = no",
            "ignoreself = false",
            "maxretry = 3",
            "findtime = 600",
            "bantime = 600",
            "filter =",
            r"failregex = fail from <ADDR>(?: user <F-USER>\S+</F-USER>)?$",
            "logpath = @/log",
            "action = trace[name=%(__name__)s]",
        ];
        let mut text = String::new();
        for (name, own) in &self.jails {
            let mut options = Options::new();
            for line in DEFAULTS {
                let is_rule = line.starts_with("failregex");
                let has_filter = own.iter().any(|(option, _)| option == "filter");
                if !(is_rule && has_filter) {
                    set(&mut options, line);
                }
            }
            for (option, value) in own {
                set(&mut options, &format!("{option} = {value}"));
            }
            text += &format!("[{name}]\n{}", lines_of(&options));
        }
        text
    }

    /// Writes its configuration into a world.
    fn set_up(&self, world: &World) {
        let mut server = Options::new();
        for line in [
            "loglevel = INFO",
            "logtarget = @/fail2ban.log",
            "syslogsocket = auto",
            "socket = @/sock",
            "pidfile = @/pid",
            "dbfile = @/db",
            "dbmaxmatches = 10",
            "dbpurgeage = 1d",
            "allowipv6 = yes",
        ] {
            set(&mut server, line);
        }
        for (option, value) in &self.server {
            set(&mut server, &format!("{option} = {value}"));
        }
        world.write("etc/fail2ban.conf", &format!("[Definition]\n{}", lines_of(&server)));
        std::fs::remove_file(world.path("etc/fail2ban.local")).unwrap();
        world.write("etc/action.d/trace.conf", TRACE);
        for (name, text) in &self.actions {
            world.write(&format!("etc/action.d/{name}.conf"), text);
        }
        for (_, options) in &self.jails {
            for (_, filter) in options.iter().filter(|(option, _)| option == "filter") {
                for name in [filter, "common"] {
                    let file = format!("filter.d/{name}.conf");
                    world.write_bytes(
                        &format!("etc/{file}"),
                        &std::fs::read(format!("/etc/fail2ban/{file}")).unwrap(),
                    );
                }
            }
            for (_, path) in options.iter().filter(|(option, _)| option == "logpath") {
                if let Some(own) = path.strip_prefix("@/") {
                    world.write(own, "");
                }
            }
        }
        world.write("etc/jail.conf", &self.configuration());
        world.write("log", "");
    }

    /// Starts the server and waits until its jails run.
    fn start(&self, world: &mut World) {
        let starts = |world: &World, jail: &str| {
            world
                .read("fail2ban.log")
                .matches(&format!("Jail '{jail}' started"))
                .count()
        };
        let enabled = |options: &Options| {
            !options
                .iter()
                .any(|option| *option == ("enabled".to_owned(), "false".to_owned()))
        };
        let jails: Vec<(&String, usize)> = self
            .jails
            .iter()
            .filter(|(_, options)| enabled(options))
            .map(|(jail, _)| (jail, starts(world, jail)))
            .collect();
        world.start();
        wait_until(SOON, "the jails have started", || {
            jails.iter().all(|(jail, before)| starts(world, jail) > *before)
        });
    }

    fn play(&self, world: &mut World) -> Outcome {
        self.set_up(world);
        let mut config = self.clone();
        let mut answers = Vec::new();
        let mut waited: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut clock = Clock::default();
        if self.steps.iter().any(|step| step.starts_with("clock ")) {
            clock.stop(world);
        }
        self.start(world);
        // Until a line was found, both may still be at what the log held before the start, where old lines do not count (D-065).
        world.append("log", format!("{} fail from {PROBE}\n", clock.date(0)));
        for (jail, options) in &self.jails {
            let of_its_own = |(option, _): &(String, String)| ["logpath", "failregex", "filter"].contains(&&**option);
            if jail == "j" || !options.iter().any(of_its_own) {
                world.wait("fail2ban.log", &format!("[{jail}] Found {PROBE} "));
            }
        }
        for step in &self.steps {
            let (word, rest) = step.split_once([' ', ':']).unwrap_or((step, ""));
            match word {
                "log" => {
                    let (at, text) = if step.starts_with("log:") {
                        ("", rest)
                    } else {
                        rest.split_once(": ").unwrap()
                    };
                    let ago = at.split(' ').find_map(|word| word.parse().ok()).unwrap_or(0);
                    let file = at
                        .split(' ')
                        .find(|word| word.parse::<i64>().is_err())
                        .filter(|word| !word.is_empty())
                        .unwrap_or("log");
                    world.append(file, format!("{} {}\n", clock.date(ago), text.trim_start()));
                }
                "ask" => {
                    let answer = world.client_of_ours(&world.placed(rest).split(' ').collect::<Vec<_>>());
                    answers.push(format!("{rest}: {} {:?}", masked(&answer.said), answer.code));
                }
                "wait" | "told" => {
                    let file = if word == "wait" { "fail2ban.log" } else { "acts" };
                    let times = waited.entry((file, rest)).or_default();
                    *times += 1;
                    self.wait(world, file, rest, *times);
                }
                "config" => {
                    let (option, _) = rest.split_once(" =").unwrap();
                    match option.split_once(' ') {
                        Some((jail, _)) => set(config.jail(jail), &rest[jail.len() + 1..]),
                        None => set(config.jail("j"), rest),
                    }
                    world.write("etc/jail.conf", &config.configuration());
                }
                "restart" => {
                    world.stop();
                    config.start(world);
                }
                "other" => {
                    world.stop();
                    world.whose = world.whose.other();
                    config.start(world);
                }
                "stop" => assert_eq!(world.stop(), Some(0)),
                "start" => config.start(world),
                "sql" => {
                    let mut change = std::process::Command::new("/usr/bin/python3");
                    output_of(change.args(["-c", CHANGE]).arg(world.path("db")).arg(rest));
                }
                "shell" => {
                    let mut shell = world.net.command("sh");
                    answers.push(format!(
                        "{rest}: {}",
                        output_of(shell.args(["-c", &world.placed(rest)]))
                    ));
                }
                "clock" => {
                    clock.go_on(world, rest.parse().unwrap());
                    // A clock that jumps wakes nobody; a question does.
                    world.client_of_ours(&["ping"]);
                }
                "settle" => {
                    world.settle("fail2ban.log", QUIET);
                    world.settle("acts", Duration::from_millis(100));
                }
                _ => assert_eq!(step, "", "{}: no such step", self.name),
            }
        }
        world.settle("fail2ban.log", QUIET);
        for (jail, _) in &self.jails {
            answers.push(world.client_of_ours(&["status", jail]).said);
        }
        for question in ["get j banned", "banned"] {
            answers.push(world.client_of_ours(&question.split(' ').collect::<Vec<_>>()).said);
        }
        let before_end = world.read("acts").lines().count();
        let code = world.stop();
        // Each jail has its own order, and at the end bans are lifted in none.
        let mut acts: Vec<String> = world.read("acts").lines().map(str::to_owned).collect();
        acts.get_mut(before_end..).unwrap_or_default().sort();
        let jail = |act: &String| {
            let last = act.rsplit(' ').next().unwrap_or_default();
            last.strip_prefix("jail=").unwrap_or(last).to_owned()
        };
        acts.get_mut(..before_end).unwrap_or_default().sort_by_key(jail);
        let mut log = by_jail(&world.log());
        // Said by the action, which has a thread of its own (D-100).
        let mut flushed = BTreeMap::new();
        for ((jail, _), said) in &mut log {
            let before = said.len();
            said.retain(|text| !text.contains("Flush ticket(s)"));
            flushed.insert(
                (jail.clone(), "flushed".to_owned()),
                vec![(before - said.len()).to_string()],
            );
        }
        log.extend(flushed);
        if clock.stopped.is_none() {
            // Whether it is told depends on the age of the ban, to the second.
            for said in log.values_mut() {
                said.retain(|text| !text.contains("already banned"));
            }
        }
        for said in log.values_mut() {
            let lifted = said
                .iter()
                .rev()
                .take_while(|text| text.starts_with("NOTICE Unban"))
                .count();
            let end = said.len() - lifted;
            said.get_mut(end..).unwrap_or_default().sort();
        }
        let mut rows = std::process::Command::new("/usr/bin/python3");
        if clock.stopped.is_some() {
            // Failures that are too old are not counted; Fail2Ban looks for them now and then only (D-097).
            for answer in &mut answers {
                *answer = without_failed(answer);
            }
        }
        Outcome {
            answers,
            log,
            acts,
            rows: output_of(rows.args(["-c", ROWS]).arg(world.path("db"))),
            code,
        }
    }

    fn wait(&self, world: &World, file: &str, text: &str, times: usize) {
        let what = format!("{}: {:?}: {times} times `{text}` in {file}", self.name, world.whose);
        let begun = Instant::now();
        wait_until(SOON * 2, &what, || {
            let there = world.read(file).matches(text).count() >= times;
            let late = begun.elapsed() > SOON;
            assert!(
                there || !late,
                "{what}\n{}\n{}",
                world.read("fail2ban.log"),
                world.read("acts")
            );
            there
        });
    }
}

/// The time in a world: that of everybody, or one that stands still.
#[derive(Default)]
struct Clock {
    stopped: Option<jiff::Zoned>,
}

impl Clock {
    fn stop(&mut self, world: &mut World) {
        let noon: jiff::civil::DateTime = NOON.parse().unwrap();
        self.stopped = Some(noon.to_zoned(jiff::tz::TimeZone::system()).unwrap());
        world.set_clock(NOON);
    }

    fn go_on(&mut self, world: &mut World, seconds: i64) {
        self.stopped = self.stopped.take().map(|at| at + jiff::Span::new().seconds(seconds));
        world.set_clock(&self.date(0));
    }

    fn date(&self, ago: i64) -> String {
        let now = self.stopped.clone().unwrap_or_else(jiff::Zoned::now);
        let at = now - jiff::Span::new().seconds(ago);
        at.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

/// Without dates, and with the development version's rules (D-056).
fn masked(text: &str) -> String {
    let text = &text.replace("|::){1,7}", "|:){1,7}");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("20") {
        out.push_str(before);
        let is_date = after.get(..17).is_some_and(|date| {
            let shape = date.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
            shape.eq(*b"00-00-00 00:00:00")
        });
        out.push_str(if is_date { "DATE" } else { "20" });
        rest = if is_date { &after[17..] } else { after };
    }
    out + rest
}

fn without_failed(answer: &str) -> String {
    match answer.split_once("Currently failed:\t") {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => answer.to_owned(),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    answers: Vec<String>,
    log: BTreeMap<(String, String), Vec<String>>,
    acts: Vec<String>,
    rows: String,
    code: Option<i32>,
}

/// Plays all, some at a time; what differs. What differs is played once more with nothing beside it: clocks run on in most of
/// them, and a machine that is busy with others can make either program too late for a ban of two seconds.
fn differing(scenarios: &[Scenario]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut differing = Vec::new();
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            if difference(scenario).is_some() {
                differing.push(scenario);
            }
        }
        differing
    };
    let doubtful: Vec<&Scenario> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let again = doubtful
        .into_iter()
        .inspect(|scenario| println!("once more, alone: {}", scenario.name));
    again.filter_map(difference).collect()
}

/// What both programs make differently of a scenario.
fn difference(scenario: &Scenario) -> Option<String> {
    let played = std::panic::catch_unwind(|| both("scenario", false, |world| scenario.play(world)));
    let Ok((ours, theirs)) = played else {
        return Some(format!("== {}\nit did not come to its end, see above\n", scenario.name));
    };
    if ours == theirs {
        return None;
    }
    let pairs = [
        (format!("{:#?}", ours.answers), format!("{:#?}", theirs.answers)),
        (format!("{:#?}", ours.log), format!("{:#?}", theirs.log)),
        (format!("{:#?}", ours.acts), format!("{:#?}", theirs.acts)),
        (ours.rows, theirs.rows),
        (format!("{:?}", ours.code), format!("{:?}", theirs.code)),
    ];
    let mut text = format!("== {}\n{:#?}\n", scenario.name, scenario.steps);
    for (ours, theirs) in pairs.iter().filter(|(ours, theirs)| ours != theirs) {
        text += &format!("-- ours:\n{ours}\n-- theirs:\n{theirs}\n");
    }
    Some(text)
}

fn files() -> Vec<Scenario> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "scenario"));
    paths.sort();
    // One alone, to look at it: `SCENARIO=name`.
    if let Ok(wanted) = std::env::var("SCENARIO") {
        paths.retain(|path| path.file_stem().is_some_and(|stem| *stem == *wanted));
    }
    let read = |path: &std::path::PathBuf| {
        Scenario::parse(
            &path.file_stem().unwrap().to_string_lossy(),
            &std::fs::read_to_string(path).unwrap(),
        )
    };
    paths.iter().map(read).collect()
}

#[test]
fn scenarios_come_to_the_same_with_both_programs() {
    if !possible(&["python3", "faketime"]) {
        return;
    }
    let scenarios = files();
    let begun = Instant::now();
    let differing = differing(&scenarios);
    println!(
        "scenarios: {} equal of {} in {} s",
        scenarios.len() - differing.len(),
        scenarios.len(),
        begun.elapsed().as_secs()
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn generated_sequences_come_to_the_same_with_both_programs() {
    if !possible(&["python3", "faketime"]) {
        return;
    }
    let mut scenarios: Vec<Scenario> = SEEDS.map(Scenario::generated).collect();
    scenarios.extend(SEEDS.map(Scenario::generated_for_two));
    let differing = differing(&scenarios);
    println!(
        "generated: {} equal of {}",
        scenarios.len() - differing.len(),
        scenarios.len()
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

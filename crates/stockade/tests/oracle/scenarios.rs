//! `testdata/scenarios/*.scenario`: what both programs make of the same lines, commands and configurations.
//!
//! A scenario is a jail `j` and a play:
//!
//! ```text
//! # Bans after three failures.
//! [jail]
//! maxretry = 3
//! [play]
//! log 5: fail from 192.0.2.1      a line of five seconds ago
//! wait [j] Ban 192.0.2.1          until fail2ban.log has it, once more than it was waited for before
//! told ban 192.0.2.1              the same of what actions were told
//! ask get j banned                a command, whose answer and exit code are compared
//! config maxretry = 5             another line in the configuration, for `ask reload`
//! restart                         the server ends and starts
//! settle                          until nothing more is said for a while
//! ```
//!
//! Compared are answers, what the log says of the jail, what actions are told in which order, and the rows of the database at the end.

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
actionban = printf '%%s\n' 'ban <ip> failures=<failures> bantime=<bantime> count=<bancount> restored=<restored> user=<F-USER> family=<family>' >> @/acts
actionunban = printf '%%s\n' 'unban <ip> failures=<failures>' >> @/acts
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

/// Fails once before each play.
const PROBE: &str = "203.0.113.99";

#[derive(Clone, Debug)]
struct Scenario {
    name: String,
    jail: Vec<(String, String)>,
    steps: Vec<String>,
}

impl Scenario {
    fn parse(name: &str, text: &str) -> Self {
        let mut scenario = Self {
            name: name.to_owned(),
            jail: Vec::new(),
            steps: Vec::new(),
        };
        let mut playing = false;
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line {
                "[jail]" => playing = false,
                "[play]" => playing = true,
                step if playing => scenario.steps.push(step.to_owned()),
                setting => {
                    let (option, value) = setting.split_once(" = ").unwrap();
                    scenario.jail.push((option.to_owned(), value.to_owned()));
                }
            }
        }
        assert!(!scenario.steps.is_empty(), "{name} has no play");
        scenario
    }

    /// Random failures, commands and reloads, the same for the same seed.
    fn generated(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
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
            name: format!("seed {seed}"),
            jail: Vec::new(),
            steps,
        }
    }

    fn configuration(&self) -> String {
        let mut settings: Vec<(&str, &str)> = vec![
            ("enabled", "true"),
            ("backend", "auto"),
            ("usedns", "no"),
            ("ignoreself", "false"),
            ("maxretry", "3"),
            ("findtime", "600"),
            ("bantime", "600"),
            ("filter", ""),
            ("failregex", r"fail from <ADDR>(?: user <F-USER>\S+</F-USER>)?$"),
            ("logpath", "@/log"),
            ("action", "trace[name=%(__name__)s]"),
        ];
        for (option, value) in &self.jail {
            settings.retain(|(other, _)| other != option);
            settings.push((option, value));
        }
        let lines: Vec<String> = settings
            .iter()
            .map(|(option, value)| format!("{option} = {value}\n"))
            .collect();
        format!("[j]\n{}", lines.concat())
    }

    fn play(&self, world: &mut World) -> Outcome {
        world.write(
            "etc/fail2ban.conf",
            "[Definition]\nloglevel = INFO\nlogtarget = @/fail2ban.log\nsyslogsocket = auto\nsocket = @/sock\npidfile = @/pid\n\
             dbfile = @/db\ndbmaxmatches = 10\ndbpurgeage = 1d\nallowipv6 = yes\n",
        );
        std::fs::remove_file(world.path("etc/fail2ban.local")).unwrap();
        world.write("etc/action.d/trace.conf", TRACE);
        world.write("etc/jail.conf", &self.configuration());
        world.write("log", "");
        let mut config = self.clone();
        let mut answers = Vec::new();
        let mut waited: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut starts = 1;
        start(world, starts);
        // Until a line was found, both may still be at what the log held before the start, where old lines do not count (D-065).
        let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
        world.append("log", format!("{now} fail from {PROBE}\n"));
        world.wait("fail2ban.log", &format!("Found {PROBE} "));
        for step in &self.steps {
            let (word, rest) = step.split_once([' ', ':']).unwrap_or((step, ""));
            match word {
                "log" => {
                    let (ago, text) = rest.split_once(':').map_or(("0", rest), |(ago, text)| {
                        ago.parse::<u32>().map_or(("0", rest), |_| (ago, text))
                    });
                    let at = jiff::Zoned::now() - jiff::Span::new().seconds(ago.parse::<i64>().unwrap());
                    world.append(
                        "log",
                        format!("{} {}\n", at.strftime("%Y-%m-%d %H:%M:%S"), text.trim_start()),
                    );
                }
                "ask" => {
                    let words = rest.replace("@/", &format!("{}/", world.path("").display()));
                    let answer = world.client_of_ours(&words.split(' ').collect::<Vec<_>>());
                    answers.push(format!("{rest}: {} {:?}", masked(&answer.said), answer.code));
                }
                "wait" | "told" => {
                    let file = if word == "wait" { "fail2ban.log" } else { "acts" };
                    let times = waited.entry((file, rest)).or_default();
                    *times += 1;
                    let what = format!("{}: {:?}: {times} times `{rest}` in {file}", self.name, world.whose);
                    let begun = Instant::now();
                    wait_until(SOON * 2, &what, || {
                        let there = world.read(file).matches(rest).count() >= *times;
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
                "config" => {
                    let (option, value) = rest.split_once(" = ").unwrap();
                    config.jail.push((option.to_owned(), value.to_owned()));
                    world.write("etc/jail.conf", &config.configuration());
                }
                "restart" => {
                    world.stop();
                    starts += 1;
                    start(world, starts);
                }
                "settle" => {
                    world.settle("fail2ban.log", Duration::from_millis(1300));
                    world.settle("acts", Duration::from_millis(100));
                }
                _ => assert_eq!(step, "", "{}: no such step", self.name),
            }
        }
        world.settle("fail2ban.log", Duration::from_millis(1300));
        for question in ["status j", "get j banned", "banned"] {
            answers.push(world.client_of_ours(&question.split(' ').collect::<Vec<_>>()).said);
        }
        let before_end = world.read("acts").lines().count();
        let code = world.stop();
        // At the end bans are lifted in no fixed order.
        let mut acts: Vec<String> = world.read("acts").lines().map(str::to_owned).collect();
        acts.get_mut(before_end..).unwrap_or_default().sort();
        let mut log = by_jail(&world.log());
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
        Outcome {
            answers,
            log,
            acts,
            rows: output_of(rows.args(["-c", ROWS]).arg(world.path("db"))),
            code,
        }
    }
}

fn start(world: &mut World, times: usize) {
    world.start();
    wait_until(SOON, "the jail has started", || {
        world.read("fail2ban.log").matches("Jail 'j' started").count() >= times
    });
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

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    answers: Vec<String>,
    log: BTreeMap<(String, String), Vec<String>>,
    acts: Vec<String>,
    rows: String,
    code: Option<i32>,
}

/// Plays all, some at a time; what differs.
fn differing(scenarios: &[Scenario]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut differing = Vec::new();
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            let played = std::panic::catch_unwind(|| both("scenario", false, |world| scenario.play(world)));
            let Ok((ours, theirs)) = played else {
                differing.push(format!("== {}\nit did not come to its end, see above\n", scenario.name));
                continue;
            };
            if ours != theirs {
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
                differing.push(text);
            }
        }
        differing
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
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
    if !possible(&["python3"]) {
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
    if !possible(&["python3"]) {
        return;
    }
    let scenarios: Vec<Scenario> = SEEDS.map(Scenario::generated).collect();
    let differing = differing(&scenarios);
    println!(
        "generated: {} equal of {}",
        scenarios.len() - differing.len(),
        scenarios.len()
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

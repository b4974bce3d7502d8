//! The ledger beside the real Fail2Ban: random failures are written to a log that it follows, and the bans compared.
//!
//! While a log is followed, times within a minute of the clock count as they stand. With a `findtime` of ten seconds, a
//! minute holds six of them, which is room for all the ways in which counts shrink. The clean-up does not come between,
//! since the program reads all lines in one go.
#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "the test runs a program and reads what it writes; the crate itself does not"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stockade_core::{Effect, Failure, FailureId, Fields, Jail, JailName, JailSettings, Offenders, Seconds, Timestamp};

const FINDTIME: i64 = 10;

/// A small generator of numbers, so that a failure can be seen again by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 >> 1).unwrap() % limit
    }
}

/// Who failed and when, in milliseconds before the clock at which the log is written.
fn sequences(seed: u64) -> Vec<(String, Vec<i64>)> {
    let mut random = Random(seed);
    let mut sequences = Vec::new();
    for number in 0..400 {
        let count = 2 + random.below(12);
        let spread = match number % 3 {
            0 => 1000,
            1 => 15_000,
            _ => 40_000,
        };
        // Quarters of a second, which binary fractions hold exactly: Python's rounding then falls as it should.
        let mut times: Vec<i64> = (0..count).map(|_| 2000 + 250 * random.below(spread / 250)).collect();
        if number % 5 != 0 {
            times.sort_unstable_by(|a, b| b.cmp(a));
        }
        sequences.push((format!("198.51.{}.{}", 100 + number / 200, 1 + number % 200), times));
    }
    sequences
}

/// The first ban of each id: its time and the count that led to it.
type Bans = HashMap<String, (i64, u32)>;

fn ours(sequences: &[(String, Vec<i64>)], base: i64, maxretry: u32) -> Bans {
    let settings = JailSettings {
        maxretry,
        findtime: Seconds(FINDTIME),
        ..JailSettings::default()
    };
    let mut jail = Jail::new(JailName::new("jail").unwrap(), settings);
    let mut effects = Vec::new();
    let now = Timestamp::from_micros(base * 1000);
    for (id, times) in sequences {
        for before in times {
            let at = Timestamp::from_micros((base - before) * 1000);
            let failure = Failure {
                id: FailureId::parse(id),
                at,
                attempts: 1,
                lines: vec![],
                fields: Fields::default(),
            };
            jail.on_failure(failure, &mut Offenders::default(), now, &mut effects);
        }
    }
    let bans = effects.into_iter().filter_map(|effect| match effect {
        Effect::Ban(ban) => Some((ban.id.to_string(), (ban.since.micros() / 1000, ban.failures))),
        _ => None,
    });
    bans.collect()
}

#[test]
fn random_failures_lead_to_the_bans_that_fail2ban_makes() {
    if !testkit::requires(&["fail2ban-server", "fail2ban-client"]) {
        return;
    }
    for (seed, maxretry) in [(0x5eed_0001, 2), (0x5eed_0002, 3), (0x5eed_0003, 5)] {
        let sequences = sequences(seed);
        // On a busy machine Fail2Ban now and then passes over lines; what it decides is to be compared, not what it reads.
        assert!(
            (0..3).any(|_| as_fail2ban_does(&sequences, maxretry)),
            "lines were passed over three times"
        );
    }
}

/// Gives the failures to the real server and compares its bans with ours; `false` if it did not take all lines.
fn as_fail2ban_does(sequences: &[(String, Vec<i64>)], maxretry: u32) -> bool {
    let folder = testkit::TempDir::new("fail2ban-ledger");
    let path = |name: &str| folder.join(name).display().to_string();
    folder.write(
        "fail2ban.conf",
        format!(
            "[Definition]\nloglevel = INFO\nlogtarget = {}\nsyslogsocket = auto\nsocket = {}\npidfile = {}\n\
                 dbfile = None\ndbmaxmatches = 10\ndbpurgeage = 1d\nallowipv6 = no\n",
            path("fail2ban.log"),
            path("fail2ban.sock"),
            path("fail2ban.pid")
        ),
    );
    folder.write(
        "jail.conf",
        format!(
            "[jail]\nenabled = true\nbackend = polling\nfilter = failing\nlogpath = {}\nmaxretry = {maxretry}\n\
                 findtime = {FINDTIME}\nbantime = 3600\nignoreself = false\nusedns = no\naction = told\n",
            path("failures.log")
        ),
    );
    folder.write(
        "filter.d/failing.conf",
        "[Definition]\nfailregex = ^ failed <HOST>$\ndatepattern = ^EPOCH\n",
    );
    folder.write(
        "action.d/told.conf",
        format!(
            "[Definition]\nactionban = echo '<ip> <time> <failures>' >> {}\n",
            path("bans.txt")
        ),
    );
    folder.write("failures.log", "");
    let mut server = testkit::Daemon::start(Command::new("fail2ban-server").args([
        "-c",
        &folder.path().display().to_string(),
        "-f",
        "start",
    ]));
    let log = || std::fs::read_to_string(path("fail2ban.log")).unwrap_or_default();
    testkit::wait_until(Duration::from_secs(30), "Fail2Ban follows the log", || {
        log().contains("Jail 'jail' started")
    });
    // What was in the file at first is read by other rules; a line of now shows that this is over.
    let seconds = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    folder.write("failures.log", format!("{} failed 203.0.113.1\n", seconds()));
    testkit::wait_until(Duration::from_secs(30), "the first line is found", || {
        log().contains("Found 203.0.113.1")
    });

    let base = seconds() * 1000;
    let mut lines = format!("{} failed 203.0.113.1\n", base / 1000);
    let mut failures = 1;
    for (id, times) in sequences {
        for before in times {
            let at = base - before;
            writeln!(lines, "{}.{:03} failed {id}", at / 1000, at % 1000).unwrap();
            failures += 1;
        }
    }
    writeln!(lines, "{} failed 203.0.113.2", base / 1000).unwrap();
    append(&folder.join("failures.log"), &lines);
    testkit::wait_until(Duration::from_mins(1), "all lines are read", || {
        log().contains("Found 203.0.113.2")
    });
    if log().matches("Found 198.51.").count() + 1 != failures {
        server.terminate();
        server.wait(Duration::from_mins(1));
        return false;
    }

    let expected = ours(sequences, base, maxretry);
    let bans = || -> Bans {
        let text = std::fs::read_to_string(path("bans.txt")).unwrap_or_default();
        let mut bans = Bans::new();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines().filter(|line| line.starts_with("198.51.")) {
            let mut words = line.split(' ');
            let id = words.next().unwrap().to_owned();
            let time: f64 = words.next().unwrap().parse().unwrap();
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
            let millis = (time * 1000.0).round() as i64;
            let failures = words.next().unwrap().parse().unwrap();
            bans.entry(id).or_insert((millis, failures));
        }
        bans
    };
    let queued = log().matches("] Ban 198.51.").count();
    testkit::wait_until(Duration::from_mins(2), "the actions have run", || {
        let made = log().matches("] Ban 198.51.").count();
        made >= queued && bans().len() >= expected.len()
    });
    let theirs = bans();
    server.terminate();
    server.wait(Duration::from_mins(1));
    assert_eq!(theirs.len(), expected.len());
    let mut compared = 0;
    for (id, ban) in &expected {
        let (_, times) = sequences.iter().find(|(other, _)| other == id).unwrap();
        assert_eq!(
            theirs.get(id),
            Some(ban),
            "{id} with maxretry {maxretry}, failures {times:?} ms before {base}"
        );
        compared += 1;
    }
    assert!(compared > 50, "only {compared} bans with maxretry {maxretry}");
    println!("maxretry {maxretry}: {failures} failures of 400 ids, {compared} bans, as Fail2Ban made them");
    true
}

fn append(path: &std::path::Path, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

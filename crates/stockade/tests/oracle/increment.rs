//! Known offenders: how long they are banned, how much their failures count, and what is told and stored of it.

use std::process::Command;
use std::time::Duration;

use testkit::{output_of, wait_until};

use super::world::{SOON, Said, Whose, World, both, possible};

const SERVER: &str = "[Definition]\nloglevel = INFO\nsyslogsocket = auto\ndbfile = @/db\ndbmaxmatches = 10\ndbpurgeage = 1d\nallowipv6 = yes\n\
    logtarget = @/fail2ban.log\nsocket = @/sock\npidfile = @/pid\n";
const FILTER: &str = "[Definition]\nfailregex = ^\\s*fail <F-USER>\\S+</F-USER> from <ADDR>$\n";
const ACTION: &str = "[Definition]\nactionban = echo \"ban <name> <ip> <failures> <restored>\" >> @/acts\n\
    actionprolong = echo \"prolong <name> <ip> <bancount> <bantime>\" >> @/acts\n\
    actionunban = echo \"unban <name> <ip> <bancount> <bantime>\" >> @/acts\n[Init]\nname = default\n";
const DEFAULTS: &str = "[DEFAULT]\nbackend = polling\nfindtime = 600\nignoreself = false\nusedns = no\nfilter = t\nenabled = true\n\
    bantime.increment = true\n";

/// One jail for each; the row's bans before are 1, 2, 3 and 21.
const OPTIONS: &[&str] = &[
    "bantime.factor = 1",
    "bantime.factor = 1.5",
    "bantime.factor = 60*60/600",
    "bantime.multipliers = 1 2 4",
    "bantime.multipliers = 1 2 4\nbantime.factor = 0.7",
    "bantime.multipliers = 1 2 4\nbantime.formula = ban.Time * 100",
    "bantime.multipliers = 1 5 30 60 300 720 1440 2880\nbantime.maxtime = 2h",
    "bantime.formula = ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor",
    "bantime.formula = ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)",
    "bantime.formula = ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)\nbantime.factor = 2.0 / 2.885385",
    "bantime.formula = ban.Time / 2",
    "bantime.formula = ban.Time * min(ban.Count, 2)",
    "bantime.formula = ban.Time + 0.5",
    "bantime.formula = -1",
    "bantime.formula = 10 ** ban.Count if ban.Count < 4 else 3594",
    "bantime.formula = 1000000.12345",
    "bantime.formula = 86400 * ban.Count - 29 + 7 // 2 - -7 %% 3",
    "bantime.formula = max(3595, abs(-ban.Count) * 4000.0)",
    "bantime.maxtime = 30",
    "bantime.maxtime = 200",
    "bantime.maxtime = -1",
    "bantime = -1",
    "bantime.rndtime = 0",
    "bantime.overalljails = false",
];

fn python(world: &World, script: &str, more: &[&str]) -> String {
    let mut python = Command::new("python3");
    output_of(python.args(["-c", script]).arg(world.path("db")).args(more))
}

fn rows(world: &World, sql: &str) -> Vec<String> {
    let script = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(*row)";
    python(world, script, &[sql]).lines().map(str::to_owned).collect()
}

/// Puts bans of earlier runs into the database of a server that does not run: jail, address, count and how long ago.
fn known(world: &World, bans: &[(String, &str, u32, u32)]) {
    let script = "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1])\nfor ban in sys.argv[2:]:\n j, ip, n, ago = ban.split()\n \
        c.execute('INSERT OR IGNORE INTO jails VALUES (?, 0)', (j,))\n \
        c.execute('INSERT INTO bips VALUES (?, ?, ?, 60, ?, ?)', (ip, j, int(time.time()) - int(ago), n, b'{}'))\nc.commit()";
    let bans: Vec<String> = bans
        .iter()
        .map(|(jail, address, count, ago)| format!("{jail} {address} {count} {ago}"))
        .collect();
    python(world, script, &bans.iter().map(String::as_str).collect::<Vec<_>>());
}

fn fail(world: &World, log: &str, address: &str, count: usize) {
    let date = output_of(Command::new("date").arg("+%Y-%m-%d %H:%M:%S"));
    world.append(log, format!("{} fail joe from {address}\n", date.trim()).repeat(count));
}

/// The text of a line without the times in it.
fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for word in &mut words {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        if (digits == 8 && word.contains('-')) || (digits == 6 && word.contains(':')) {
            *word = "…";
        }
    }
    words.join(" ")
}

/// What was told of decisions, in order, without times.
fn told(log: &[Said]) -> Vec<String> {
    // When a ban ends is told by what lasts how long.
    let of_interest = ["Found", "Ban ", "bad", "Increase", "already", "Set banTime"];
    log.iter()
        .filter(|said| of_interest.iter().any(|word| said.text.contains(word)))
        .map(|said| format!("{} {} {}", said.logger, said.level, timeless(&said.text)))
        .collect()
}

#[test]
fn known_offenders_are_banned_for_as_long_as_fail2ban_bans_them() {
    if !possible(&["python3"]) {
        return;
    }
    let (ours, theirs) = both("growth", false, |world| {
        world.write("etc/fail2ban.local", SERVER);
        world.write("etc/filter.d/t.conf", FILTER);
        let mut jails = format!("{DEFAULTS}bantime = 1m\nmaxretry = 1\naction =\nlogpath = @/log\n");
        for (number, options) in OPTIONS.iter().enumerate() {
            jails += &format!("[j{number}]\n{options}\n");
        }
        world.write("etc/jail.conf", &jails);
        world.write_bytes("log", b"");
        world.start();
        world.stop();
        let counts = [1, 2, 3, 21];
        let bans: Vec<_> = (0..OPTIONS.len())
            .flat_map(|jail| counts.map(|count| (format!("j{jail}"), count)))
            .map(|(jail, count)| {
                (
                    jail,
                    ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.21"]
                        [counts.iter().position(|other| *other == count).unwrap()],
                    count,
                    100_000,
                )
            })
            .collect();
        known(world, &bans);
        let before = world.log().len();
        world.start();
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.21"] {
            fail(world, "log", address, 1);
        }
        let bans = OPTIONS.len() * 4;
        wait_until(SOON, "all bans are stored", || {
            rows(world, "SELECT count(*) FROM bans") == [bans.to_string()]
        });
        let mut ends = Vec::new();
        for jail in 0..OPTIONS.len() {
            let answer = world.ask(&format!("get j{jail} banip --with-time"));
            let mut lengths: Vec<String> = answer
                .lines()
                .filter_map(|line| {
                    Some(format!(
                        "{} {}",
                        line.split_once(' ')?.0,
                        line.split(" + ").nth(1)?.split(' ').next()?
                    ))
                })
                .collect();
            lengths.sort();
            ends.push(lengths.join(", "));
        }
        let options = [
            "increment",
            "factor",
            "formula",
            "multipliers",
            "rndtime",
            "maxtime",
            "overalljails",
        ];
        let questions: Vec<String> = (0..OPTIONS.len())
            .flat_map(|jail| options.map(|option| format!("get j{jail} bantime.{option}")))
            .collect();
        let answers = world.interview(&questions);
        let mut log = told(world.log().get(before..).unwrap());
        log.retain(|line| !line.contains("Found"));
        log.sort();
        world.stop();
        // A fraction of a second is not stored (D-089).
        let stored = rows(
            world,
            "SELECT jail, ip, CAST(bantime AS INTEGER), bancount FROM bans ORDER BY jail, ip",
        );
        let latest = rows(
            world,
            "SELECT jail, ip, CAST(bantime AS INTEGER), bancount FROM bips ORDER BY jail, ip",
        );
        (ends, answers, log, stored, latest)
    });
    for (number, options) in OPTIONS.iter().enumerate() {
        assert_eq!(ours.0[number], theirs.0[number], "{options}");
    }
    assert_eq!(ours.1, theirs.1);
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!((only(&ours.2, &theirs.2), only(&theirs.2, &ours.2)), (vec![], vec![]));
    assert_eq!(ours.2.len(), theirs.2.len());
    assert_eq!(ours.3, theirs.3);
    assert_eq!(ours.4, theirs.4);
}

#[test]
fn failures_of_known_offenders_count_for_more_and_their_bans_are_prolonged_as_fail2bans_are() {
    if !possible(&["python3"]) {
        return;
    }
    let (ours, theirs) = both("offenders", false, |world| {
        world.write("etc/fail2ban.local", SERVER);
        world.write("etc/filter.d/t.conf", FILTER);
        world.write("etc/action.d/t.conf", ACTION);
        let jails = "bantime = 3\nmaxretry = 5\naction = t\n[one]\nlogpath = @/one.log\n[two]\nlogpath = @/two.log\n\
            bantime.overalljails = true\n[off]\nlogpath = @/off.log\nbantime.increment = false\n[few]\nlogpath = @/few.log\nmaxretry = 3\n";
        world.write("etc/jail.conf", &format!("{DEFAULTS}{jails}"));
        for log in ["one.log", "two.log", "off.log", "few.log"] {
            world.write_bytes(log, b"");
        }
        world.start();
        world.stop();
        let jail = str::to_owned;
        known(
            world,
            &[
                (jail("one"), "192.0.2.1", 2, 100_000),
                (jail("two"), "192.0.2.1", 1, 200_000),
                (jail("off"), "192.0.2.1", 4, 1000),
                (jail("one"), "192.0.2.2", 1, 1_000_000),
                (jail("gone"), "192.0.2.3", 3, 300_000),
                (jail("few"), "192.0.2.4", 3, 300_000),
                (jail("one"), "192.0.2.5", 3, 1000),
            ],
        );
        let before = world.log().len();
        world.start();
        // One at a time: Fail2Ban weighs a failure some time after it has counted it.
        for (name, address, times) in [
            ("one", "192.0.2.1", 2),
            ("two", "192.0.2.1", 3),
            ("off", "192.0.2.1", 5),
            ("one", "192.0.2.2", 3),
            ("two", "192.0.2.3", 5),
            ("few", "192.0.2.4", 1),
            ("one", "192.0.2.5", 1),
            ("one", "192.0.2.9", 5),
        ] {
            for time in 0..times {
                let lines = world.log().len();
                fail(world, &format!("{name}.log"), address, 1);
                let weighed =
                    ["one 192.0.2.1", "two 192.0.2.1", "one 192.0.2.2"].contains(&&*format!("{name} {address}"));
                let word = if weighed { ", bad" } else { " - " };
                let needle = format!("[{name}] Found {address}{word}");
                wait_until(SOON, &format!("{:?}: {needle} {time}", world.whose), || {
                    world
                        .log()
                        .get(lines..)
                        .unwrap()
                        .iter()
                        .any(|said| said.text.contains(&needle))
                });
            }
            world.wait("acts", &format!("ban {name} {address} "));
            // Of a ban in the same second nothing is told.
            let second = output_of(Command::new("date").arg("+%s"));
            wait_until(SOON, "the next second", || {
                output_of(Command::new("date").arg("+%s")) != second
            });
        }
        // While banned and afterwards, by hand too.
        world.wait("acts", "unban one 192.0.2.9 ");
        world.ask("set one banip 192.0.2.9");
        world.wait("acts", "prolong one 192.0.2.9 2 6");
        world.ask("set one unbanip 192.0.2.9");
        world.wait("acts", "unban one 192.0.2.9 2 6");
        // Whom an operator forgave is not known any more.
        world.ask("set one banip 192.0.2.9");
        world.settle("fail2ban.log", Duration::from_secs(1));
        let status = ["one", "two", "off", "few"].map(|name| world.ask(&format!("status {name}")));
        let mut lengths: Vec<String> = rows(world, "SELECT jail, ip, bantime, bancount FROM bips ORDER BY jail, ip");
        lengths.extend(rows(world, "SELECT jail, ip, bantime, bancount, json_extract(CAST(data AS TEXT), '$.failures') FROM bans ORDER BY rowid"));
        let log = told(world.log().get(before..).unwrap());
        world.stop();
        let by_address = |address: &str| -> Vec<String> {
            let mut lines: Vec<String> = log.iter().filter(|line| line.contains(address)).cloned().collect();
            // A failure is weighed before or after the ban is told.
            lines.sort();
            lines
        };
        let log: Vec<Vec<String>> = (1..10).map(|number| by_address(&format!("192.0.2.{number}"))).collect();
        (
            status.map(|text| {
                text.lines()
                    .filter(|line| line.contains("Total"))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            }),
            lengths,
            log,
        )
    });
    assert_eq!(ours.1, theirs.1);
    assert_eq!(ours.2, theirs.2);
    assert_eq!(ours.0, theirs.0);
}

#[test]
fn either_program_knows_whom_the_other_banned_and_how_often() {
    if !possible(&["python3"]) {
        return;
    }
    for (first, second) in [(Whose::Theirs, Whose::Ours), (Whose::Ours, Whose::Theirs)] {
        let mut world = World::new(first, "counts", false);
        world.write("etc/fail2ban.local", SERVER);
        world.write("etc/filter.d/t.conf", FILTER);
        world.write("etc/action.d/t.conf", ACTION);
        let jail = "bantime = 100\nmaxretry = 1\naction = t\n[one]\nlogpath = @/one.log\n";
        world.write("etc/jail.conf", &format!("{DEFAULTS}{jail}"));
        world.write_bytes("one.log", b"");
        world.start();
        world.stop();
        known(&world, &[("one".to_owned(), "192.0.2.1", 2, 100_000)]);
        world.start();
        fail(&world, "one.log", "192.0.2.1", 1);
        world.wait("fail2ban.log", "Increase Ban 192.0.2.1 (3 # 6m 40s -> ");
        world.ask("set one banip 192.0.2.2");
        world.wait("fail2ban.log", "Ban 192.0.2.2");
        wait_until(SOON, "the bans are stored", || {
            rows(&world, "SELECT count(*) FROM bans") == ["2"]
        });
        world.stop();
        let bans = |world: &World| rows(world, "SELECT ip, bantime, bancount FROM bips ORDER BY ip");
        assert_eq!(bans(&world), ["192.0.2.1 400 3", "192.0.2.2 100 1"], "{first:?}");
        world.whose = second;
        world.start();
        // Longer than the jail bans, and yet whole.
        world.wait("fail2ban.log", "Restore Ban 192.0.2.1");
        let held = world.ask("get one banip --with-time");
        assert!(held.contains("+ 400 ="), "{second:?}: {held}");
        world.ask("set one bantime 1");
        world.ask("set one unbanip 192.0.2.77");
        world.ask("set one bantime 50");
        fail(&world, "one.log", "192.0.2.3", 1);
        world.wait("fail2ban.log", "Ban 192.0.2.3");
        world.stop();
        assert_eq!(
            bans(&world),
            ["192.0.2.1 400 3", "192.0.2.2 100 1", "192.0.2.3 50 1"],
            "{second:?}"
        );
        // And back again, when those bans are over.
        python(
            &world,
            "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute('UPDATE bips SET timeofban = timeofban - 5000')\nc.commit()",
            &[],
        );
        world.whose = first;
        world.start();
        world.ask("set one banip 192.0.2.2");
        world.wait("fail2ban.log", "Increase Ban 192.0.2.2 (2 # 3m 20s -> ");
        world.ask("set one banip 192.0.2.1");
        world.wait("fail2ban.log", "Increase Ban 192.0.2.1 (4 # 13m 20s -> ");
        world.stop();
    }
}

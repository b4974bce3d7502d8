//! One database, and both programs in turn on it: nothing is lost, nothing is read twice.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::requires;

use super::journal::{REMOTE, add, sshd};
use super::world::{Said, Whose, World, possible};

const JAILS: &str = "[DEFAULT]\nbackend = polling\nbantime = 3000\nfindtime = 600\nmaxretry = 3\nignoreself = false\nusedns = no\n\
    [one]\nenabled = true\nfilter = t\naction = t\nlogpath = @/one.log\n\
    [two]\nenabled = true\nfilter = t\naction = t\nlogpath = @/two.log\n";
const ACTION: &str = "[Definition]\nactionban = echo \"<name> <ip> <failures> <restored> <bancount> <bantime> <ipfailures> <ipjailfailures> \
    <F-USER>\" >> @/acts\n[Init]\nname = default\n";

fn world(whose: Whose) -> World {
    let world = World::new(whose, "takeover", false);
    world.write(
        "etc/fail2ban.local",
        "[Definition]\nloglevel = INFO\nsyslogsocket = auto\ndbfile = @/db\ndbmaxmatches = 10\ndbpurgeage = 1d\nallowipv6 = yes\n\
         logtarget = @/fail2ban.log\nsocket = @/sock\npidfile = @/pid\n",
    );
    world.write("etc/jail.conf", JAILS);
    world.write(
        "etc/filter.d/t.conf",
        "[Definition]\nfailregex = ^\\s*fail <F-USER>\\S+</F-USER> from <ADDR>$\n",
    );
    world.write("etc/action.d/t.conf", ACTION);
    world.write_bytes("one.log", b"");
    world.write_bytes("two.log", b"");
    world
}

/// Lines of failures, as of now.
fn fail(world: &World, log: &str, user: &str, address: &str, count: usize) {
    let date = Command::new("date").arg("+%Y-%m-%d %H:%M:%S").output().unwrap();
    let date = String::from_utf8(date.stdout).unwrap();
    world.append(
        log,
        format!("{} fail {user} from {address}\n", date.trim()).repeat(count),
    );
}

/// What the database holds, by Python's sqlite3: another reader than ours.
fn rows(world: &World, sql: &str) -> Vec<String> {
    let script = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(*row)";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(world.path("db")).arg(sql);
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.replace(&world.path("").display().to_string(), "@/"))
        .collect()
}

fn count(log: &[Said], needle: &str) -> usize {
    log.iter().filter(|said| said.text.contains(needle)).count()
}

#[test]
fn either_program_goes_on_where_the_other_ended() {
    if !possible(&["python3"]) {
        return;
    }
    for first in [Whose::Theirs, Whose::Ours] {
        let second = if first == Whose::Ours {
            Whose::Theirs
        } else {
            Whose::Ours
        };
        let mut world = world(first);
        fail(&world, "one.log", "joe", "192.0.2.1", 3);
        world.start();
        world.wait("fail2ban.log", "[one] Ban 192.0.2.1");
        // Two of three: the count ends with the program, the lines are not read again.
        fail(&world, "two.log", "ann", "192.0.2.2", 2);
        world.wait("fail2ban.log", "[two] Found 192.0.2.2");
        world.ask("set two banip 198.51.100.1 2001:db8::1");
        world.wait("acts", "two 2001:db8::1");
        world.ask("set two bantime -1");
        world.ask("set two banip 198.51.100.2");
        world.wait("acts", "two 198.51.100.2");
        world.ask("set two unbanip 198.51.100.1");
        world.wait("fail2ban.log", "Unban 198.51.100.1");
        let held = [world.ask("get one banip"), world.ask("get two banip")];
        world.stop();
        let before = world.log().len();
        let bans = rows(&world, "SELECT jail, ip, bantime, bancount FROM bans ORDER BY rowid");
        assert_eq!(
            bans,
            [
                "one 192.0.2.1 3000 1",
                "two 2001:db8::1 3000 1",
                "two 198.51.100.2 -1 1"
            ],
            "{first:?}"
        );
        let logs = rows(&world, "SELECT jail, path, lastfilepos FROM logs ORDER BY jail");
        let lengths = ["one.log", "two.log"].map(|name| world.read(name).len());
        assert_eq!(
            logs,
            [
                format!("one @/one.log {}", lengths[0]),
                format!("two @/two.log {}", lengths[1])
            ]
        );

        // Written while nobody runs: to be read by whoever comes.
        fail(&world, "two.log", "eve", "192.0.2.3", 3);
        world.whose = second;
        world.start();
        world.wait("fail2ban.log", "[two] Ban 192.0.2.3");
        world.wait("acts", "two 192.0.2.3");
        world.wait("acts", "two 198.51.100.2 0 1");
        world.wait("fail2ban.log", "[one] Restore Ban 192.0.2.1");
        let again = [world.ask("get one banip"), world.ask("get two banip")];
        assert_eq!(again[0], held[0], "{second:?} holds what {first:?} banned");
        for id in held[1].split_whitespace() {
            assert!(again[1].contains(id), "{second:?}: {id} in {again:?}");
        }
        // As long as its jail bans: it was for ever only while that was asked for.
        let times = world.ask("get two banip --with-time");
        assert!(times.lines().all(|line| line.contains("+ 3000 =")), "{times}");
        world.stop();
        let log = world.log().split_off(before);
        assert_eq!(count(&log, "Restore Ban"), 3, "{log:?}");
        assert_eq!(count(&log, "Found"), 3, "each line was read once: {log:?}");
        assert_eq!(count(&log, "Ban 198.51.100.1"), 0, "it was unbanned");
        let acts = world.read("acts");
        for (name, act) in [
            ("restored", "one 192.0.2.1 3 1 2 3000 3 3 joe"),
            ("cut to the time of the jail", "two 198.51.100.2 0 1 2 3000 0 0"),
            ("found anew", "two 192.0.2.3 3 0 1 3000 3 3 eve"),
        ] {
            assert!(acts.contains(act), "{second:?}: {name}: {acts}");
        }
        // And back again.
        world.whose = first;
        world.start();
        world.wait("acts", "two 192.0.2.3 3 1 2");
        assert_eq!(world.ask("get one banip"), held[0]);
        world.stop();
        assert_eq!(
            rows(&world, "SELECT name, enabled FROM jails ORDER BY name"),
            ["one 0", "two 0"]
        );
    }
}

#[test]
fn the_same_doings_leave_the_same_rows_and_tables() {
    if !possible(&["python3"]) {
        return;
    }
    let play = |whose| {
        let mut world = world(whose);
        // A time that both read the same.
        fail(&world, "one.log", "j\u{f6}e\"\\", "192.0.2.1", 3);
        world.start();
        world.wait("acts", "one 192.0.2.1");
        world.ask("set two banip 192.0.2.9");
        world.wait("acts", "two 192.0.2.9");
        world.ask("set two unbanip 192.0.2.9");
        world.ask("set one unbanip 203.0.113.9");
        world.ask("set two banip 192.0.2.10");
        world.wait("acts", "two 192.0.2.10");
        let answers = [
            "get dbfile",
            "get dbmaxmatches",
            "get dbpurgeage",
            "set dbmaxmatches 7",
            "set dbpurgeage 2d",
            "set dbfile @/db",
        ];
        let answers = answers.map(|line| world.ask(line));
        let refused = world.client(&["set", "dbfile", "/nowhere/db"]);
        world.stop();
        let mut found = vec![
            rows(
                &world,
                "SELECT lower(replace(replace(sql, ' ', ''), char(10), '')) FROM sqlite_master WHERE sql NOTNULL ORDER BY type, name",
            ),
            rows(&world, "SELECT name FROM sqlite_master ORDER BY name"),
            rows(&world, "SELECT * FROM fail2banDb"),
            rows(&world, "SELECT * FROM jails ORDER BY name"),
            rows(
                &world,
                "SELECT jail, path, length(firstlinemd5), lastfilepos, typeof(lastfilepos) FROM logs ORDER BY jail",
            ),
        ];
        for table in ["bans", "bips"] {
            // Times differ by what the tests took.
            let sql = format!(
                "SELECT jail, ip, typeof(timeofban), bantime, bancount, typeof(data), \
                 replace(CAST(data AS TEXT), strftime('%Y', 'now'), '') FROM {table} ORDER BY jail, ip"
            );
            found.push(rows(&world, &sql).iter().map(|row| without_times(row)).collect());
        }
        found.push(rows(&world, "PRAGMA page_size"));
        found.push(rows(&world, "PRAGMA auto_vacuum"));
        found.push(rows(&world, "PRAGMA user_version"));
        (found, answers, refused)
    };
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| play(Whose::Theirs));
        (play(Whose::Ours), theirs.join().unwrap())
    });
    assert_eq!(ours, theirs);
}

/// Digits of dates made the same.
fn without_times(row: &str) -> String {
    let mut text = row.to_owned();
    let bytes: Vec<(usize, char)> = row.char_indices().collect();
    for window in bytes.windows(3) {
        if let [(_, a), (at, ':'), (_, b)] = window
            && a.is_ascii_digit()
            && b.is_ascii_digit()
        {
            let (from, to) = (at - 2, at + 3);
            if row.is_char_boundary(from) && row.is_char_boundary(to) {
                text.replace_range(from..to, "..:..");
            }
        }
    }
    text
}

#[test]
fn a_killed_server_leaves_a_database_that_both_can_read() {
    if !possible(&["python3"]) || !requires(&["sh"]) {
        return;
    }
    let mut world = world(Whose::Ours);
    world.start();
    for round in 0..3 {
        let ids: Vec<String> = (0..200).map(|number| format!("10.{round}.1.{number}")).collect();
        world.ask(&format!("set one banip {}", ids.join(" ")));
        // What was decided is in the file soon, or at the latest when it is asked for.
        testkit::wait_until(Duration::from_secs(20), "the bans are written", || {
            rows(&world, "SELECT count(*) FROM bips") == [(200 * (round + 1)).to_string()]
        });
        world.ask(&format!("set two banip {}", ids.join(" ")));
        world.kill();
        assert_eq!(rows(&world, "PRAGMA integrity_check"), ["ok"]);
        let _ = std::fs::remove_file(world.path("sock"));
        rows_without(&world);
        world.start();
        testkit::wait_until(Duration::from_secs(20), "the bans are restored", || {
            world.ask("get one banip").split_whitespace().count() >= 200 * (round + 1)
        });
    }
    world.stop();
    world.whose = Whose::Theirs;
    world.start();
    testkit::wait_until(Duration::from_secs(30), "Fail2Ban restores them too", || {
        world.ask("get one banip").split_whitespace().count() == 600
    });
    world.stop();
}

/// Forgets what the second jail had, which was banned right before the kill and may or may not be there.
fn rows_without(world: &World) {
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nfor t in ('bans', 'bips'): c.execute(f\"DELETE FROM {t} WHERE jail = 'two'\")\nc.commit()";
    assert!(
        Command::new("python3")
            .args(["-c", script])
            .arg(world.path("db"))
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn either_program_goes_on_in_the_journal_where_the_other_ended() {
    for file in [REMOTE, "/usr/lib/python3/dist-packages/systemd/journal.py"] {
        if !Path::new(file).exists() {
            return testkit::skip("needs the packages `systemd-journal-remote` and `python3-systemd`");
        }
    }
    if !possible(&["python3"]) {
        return;
    }
    for (first, second) in [(Whose::Theirs, Whose::Ours), (Whose::Ours, Whose::Theirs)] {
        let mut world = world(first);
        let jail = "[one]\nenabled = true\nbackend = systemd[journalpath=\"@/journal\"]\nfilter =\nignoreself = false\nmaxretry = 9\n\
            action = t\nfailregex = from <HOST> port\n";
        world.write("etc/jail.conf", jail);
        add(&world, &[sshd(9, 1, "192.0.2.1"), sshd(8, 2, "192.0.2.2")]);
        world.start();
        world.wait("fail2ban.log", "[one] Found 192.0.2.2");
        world.stop();
        let shape = "SELECT path, typeof(firstlinemd5), length(firstlinemd5), substr(firstlinemd5, 11, 1), substr(firstlinemd5, -1), \
            typeof(lastfilepos), abs(lastfilepos - strftime('%s', 'now')) < 60 FROM logs";
        assert_eq!(rows(&world, shape), ["systemd-journal text 33 T   real 1"], "{first:?}");
        add(&world, &[sshd(0, 3, "192.0.2.3")]);
        world.whose = second;
        world.start();
        world.wait("fail2ban.log", "[one] Found 192.0.2.3");
        world.stop();
        let log = world.log();
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            assert_eq!(
                count(&log, &format!("Found {address} ")),
                1,
                "{first:?}, then {second:?}: {address}: {log:?}"
            );
        }
    }
}

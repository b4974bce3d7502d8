//! Host names in logs under each `usedns`, a host's own addresses, and bans taken up again at a start.

use std::process::Command;
use std::time::Duration;

use testkit::output_of;

use super::world::{Said, World, both, possible};

fn line(world: &World, log: &str, text: &str) {
    let date = output_of(Command::new("date").arg("+%Y-%m-%d %H:%M:%S"));
    world.append(log, format!("{} {text}\n", date.trim()));
}

/// What was told of decisions and names, ordered: jails are not told at the same time.
fn told(log: &[Said]) -> Vec<String> {
    let words = ["Found", "Ignore", "Ban ", "Restore", "Determined", "Unable to find"];
    let mut lines: Vec<String> = log
        .iter()
        .filter(|said| words.iter().any(|word| said.text.contains(word)))
        .map(|said| {
            let text = said.text.split(" - 20").next().unwrap_or_default();
            // The order of a set of addresses is by chance.
            let text = text.replace("{'::1', '127.0.0.1'}", "{'127.0.0.1', '::1'}");
            format!("{} {} {text}", said.logger, said.level)
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn names_in_logs_come_to_what_they_come_to_in_fail2ban_under_each_usedns() {
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("names", false, |world| {
        let mut jails = "[DEFAULT]\nenabled = true\nbackend = polling\nfindtime = 600\nmaxretry = 2\nfilter =\naction =\nlogpath = @/log\n".to_owned();
        for usedns in ["yes", "warn", "no", "raw"] {
            for own in [true, false] {
                jails += &format!(
                    "[{usedns}-{own}]\nusedns = {usedns}\nignoreself = {own}\nfailregex = ^\\s*fail from <HOST>$\n"
                );
            }
        }
        jails += "[ids]\nusedns = no\nignoreself = false\nfailregex = ^\\s*session <F-ID>\\S+</F-ID>$\n";
        world.write("etc/jail.conf", &jails);
        world.write_bytes("log", b"");
        world.start();
        for _ in 0..2 {
            for who in ["192.0.2.1", "127.0.0.1", "localhost", "no-such-host.invalid"] {
                line(world, "log", &format!("fail from {who}"));
            }
            for id in ["abc", "192.0.2.9", "2001:db8::9", "x=1,y"] {
                line(world, "log", &format!("session {id}"));
            }
        }
        world.wait("fail2ban.log", "[ids] Ban x=1,y");
        world.settle("fail2ban.log", Duration::from_secs(2));
        let banned: Vec<String> = ["yes-false", "warn-false", "no-false", "raw-false", "yes-true", "ids"]
            .iter()
            .map(|jail| {
                let answer = world.ask(&format!("get {jail} banip"));
                let mut ids: Vec<&str> = answer.split_whitespace().collect();
                ids.sort_unstable();
                format!("{jail}: {}", ids.join(" "))
            })
            .collect();
        (banned, told(&world.log()))
    });
    assert_eq!(ours.0, theirs.0);
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!((only(&ours.1, &theirs.1), only(&theirs.1, &ours.1)), (vec![], vec![]));
}

#[test]
fn bans_are_taken_up_again_as_fail2ban_takes_them_up() {
    if !possible(&["python3"]) {
        return;
    }
    let (ours, theirs) = both("restored", false, |world| {
        world.write(
            "etc/fail2ban.local",
            "[Definition]\nloglevel = INFO\nsyslogsocket = auto\ndbfile = @/db\ndbmaxmatches = 10\ndbpurgeage = 1d\nallowipv6 = yes\n\
             logtarget = @/fail2ban.log\nsocket = @/sock\npidfile = @/pid\n",
        );
        let jail = |more: &str| {
            format!(
                "[one]\nenabled = true\nbackend = polling\nfindtime = 600\nmaxretry = 2\nusedns = no\nignoreself = false\nfilter =\n\
                 failregex = ^\\s*fail from <ADDR>$\naction = t\nlogpath = @/log\n{more}"
            )
        };
        world.write(
            "etc/action.d/t.conf",
            "[Definition]\nactionban = echo \"ban <ip> <restored> <bancount> <bantime> <failures>\" >> @/acts\n",
        );
        world.write("etc/jail.conf", &jail("bantime = 1000\n"));
        world.write_bytes("log", b"");
        world.start();
        world.ask("set one banip 192.0.2.1 192.0.2.2 2001:db8::7 192.0.2.0/28 198.51.100.9 abc");
        world.wait("acts", "ban abc ");
        world.ask("set one bantime -1");
        world.ask("set one banip 192.0.2.100");
        world.wait("acts", "ban 192.0.2.100 ");
        world.ask("set one bantime 5000");
        world.ask("set one banip 192.0.2.101");
        world.wait("acts", "ban 192.0.2.101 ");
        world.settle("fail2ban.log", Duration::from_secs(1));
        world.stop();
        // Over, by what it was made for.
        let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n\
            c.execute(\"UPDATE bips SET timeofban = timeofban - 2000 WHERE ip = '192.0.2.2'\")\nc.commit()";
        output_of(Command::new("python3").args(["-c", script]).arg(world.path("db")));
        let mut found = Vec::new();
        for options in [
            "bantime = 1000\nignoreip = 198.51.100.0/24\n",
            "bantime = 1000\nbantime.increment = true\n",
            "bantime = 3000\n",
            "bantime = -1\n",
        ] {
            world.write("etc/jail.conf", &jail(options));
            let (before, acts) = (world.log().len(), world.read("acts").len());
            world.start();
            world.wait("fail2ban.log", "Restore Ban 192.0.2.101");
            world.settle("fail2ban.log", Duration::from_secs(1));
            // Told before it is done.
            world.settle("acts", Duration::from_secs(1));
            let times = world.ask("get one banip --with-time");
            let mut lengths: Vec<String> = times
                .lines()
                .map(|line| {
                    let length = line
                        .split(" + ")
                        .nth(1)
                        .unwrap_or_default()
                        .split(' ')
                        .next()
                        .unwrap_or_default();
                    format!("{} {length}", line.split(' ').next().unwrap_or_default())
                })
                .collect();
            lengths.sort();
            let mut done: Vec<String> = world
                .read("acts")
                .get(acts..)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect();
            done.sort();
            found.push((options, lengths, done, told(world.log().get(before..).unwrap())));
            world.stop();
        }
        found
    });
    assert_eq!(ours, theirs);
}

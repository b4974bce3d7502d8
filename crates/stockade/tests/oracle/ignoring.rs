//! `ignorecommand` with its cache, and ids that are no addresses: whom it asks about, what it is told, and what its answers do.

use std::process::Command;
use std::time::Duration;

use testkit::output_of;

use super::world::{World, both, possible};

const JAIL: &str = "[one]\nenabled = true\nbackend = polling\nfindtime = 600\nbantime = 600\nmaxretry = 2\nignoreself = false\nusedns = no\nfilter = t\naction =\n\
    logpath = @/one.log\nignoreip = 198.51.100.0/24\n\
    ignorecommand = printf '%%s\\n' \"<ip> <fid> [<F-USER>] [<F-NOPE>] <failures> <family>\" >> @/calls; test \"<F-USER>\" = good\n\
    [ids]\nenabled = true\nbackend = polling\nfindtime = 600\nmaxretry = 2\nusedns = no\nfilter =\naction =\nlogpath = @/ids.log\n\
    failregex = ^\\s*session <F-ID>\\S+</F-ID> failed$\n\
    ignorecommand = printf '%%s\\n' \"<fid>\" >> @/calls; test '<fid>' = friend\n";
const FILTER: &str = "[Definition]\nfailregex = ^\\s*fail <F-USER>.*</F-USER> from <ADDR>$\n";

fn line(world: &World, log: &str, text: &str, told: &str) {
    let date = output_of(Command::new("date").arg("+%Y-%m-%d %H:%M:%S"));
    let before = world.log().len();
    world.append(log, format!("{} {text}\n", date.trim()));
    let what = format!("{:?}: {text}", world.whose);
    testkit::wait_until(super::world::SOON, &what, || {
        told.is_empty()
            || world
                .log()
                .get(before..)
                .unwrap()
                .iter()
                .any(|said| said.text.contains(told))
    });
}

#[test]
fn ignorecommand_and_its_cache_ignore_whom_fail2bans_ignore() {
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("ignoring", false, |world| {
        world.write("etc/jail.conf", JAIL);
        world.write("etc/filter.d/t.conf", FILTER);
        world.write_bytes("one.log", b"");
        world.write_bytes("ids.log", b"");
        world.start();
        let mut answers = vec![world.ask("get one ignorecommand"), world.ask("get one ignorecache")];
        let fail = |user: &str, address: &str, told: &str| {
            line(world, "one.log", &format!("fail {user} from {address}"), told);
        };
        fail("good", "192.0.2.1", "Ignore 192.0.2.1 by command");
        fail("bad", "192.0.2.1", "Found 192.0.2.1 ");
        fail("good", "192.0.2.1", "Ignore 192.0.2.1 by command");
        fail("x$(id)`id`;|&'\\ \"q", "192.0.2.1", "Ban 192.0.2.1");
        fail("bad", "198.51.100.7", "Ignore 198.51.100.7 by ip");
        fail("bad", "2001:db8::1", "Found 2001:db8::1 ");
        world.settle("calls", Duration::from_millis(300));
        let calls = world.read("calls");
        // A key of the address alone: what the first failure came to holds for the next.
        answers.push(world.ask("set one ignorecache key=\"<ip>\",max-count=50,max-time=1h"));
        fail("good", "192.0.2.2", "Ignore 192.0.2.2 by command");
        fail("bad", "192.0.2.2", "");
        fail("bad", "192.0.2.3", "Found 192.0.2.3 ");
        fail("good", "192.0.2.3", "Ban 192.0.2.3");
        fail("bad", "198.51.100.8", "Ignore 198.51.100.8 by ip");
        fail("bad", "198.51.100.8", "");
        // Of what is ignored in silence nothing tells that it was read, but the line behind it does.
        fail("bad", "192.0.2.10", "Found 192.0.2.10 ");
        answers.push(world.ask("get one ignorecache"));
        let cached = world.read("calls");
        answers.push(world.ask("set one ignorecache key=\"<F-USER>\""));
        for (command, told) in [
            ("exit 1", "Found 192.0.2.4 "),
            ("exit 2", "Found 192.0.2.5 "),
            ("/nowhere/x <ip>", "Found 192.0.2.6 "),
            ("kill -9 $$", "Found 192.0.2.7 "),
        ] {
            answers.push(world.client(&["set", "one", "ignorecommand", command]).said);
            let address = told.trim().trim_start_matches("Found ");
            // Each a user of its own, so that no answer is remembered.
            fail(&address.replace('.', "-"), address, told);
        }
        answers.push(world.client(&["set", "one", "ignorecache", ""]).said);
        answers.push(world.client(&["set", "one", "ignorecommand", ""]).said);
        fail("good", "192.0.2.8", "Found 192.0.2.8 ");
        // What an operator does is done.
        answers.push(world.ask("set one banip 192.0.2.9"));
        let id = |id: &str, told: &str| line(world, "ids.log", &format!("session {id} failed"), told);
        id("friend", "Ignore friend by command");
        id("a-1=b", "Found a-1=b ");
        id("a-1=b", "Ban a-1=b");
        answers.push(
            world
                .ask("status ids")
                .lines()
                .filter(|line| line.contains("ban") || line.contains("failed"))
                .collect(),
        );
        world.settle("fail2ban.log", Duration::from_secs(1));
        let mut log: Vec<String> = world
            .log()
            .iter()
            .filter(|said| {
                ["Found", "Ignore", "Ban ", "returned", "SIGKILL"]
                    .iter()
                    .any(|word| said.text.contains(word))
            })
            .map(|said| {
                let text = said.text.split(" -- ").last().unwrap_or_default();
                format!(
                    "{} {} {}",
                    said.logger,
                    said.level,
                    text.split(" - ").next().unwrap_or_default()
                )
            })
            .collect();
        // Bans are told by another thread there.
        log.sort();
        (answers, calls, cached, log)
    });
    assert_eq!(ours.1, theirs.1);
    assert_eq!(ours.2, theirs.2);
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!((only(&ours.3, &theirs.3), only(&theirs.3, &ours.3)), (vec![], vec![]));
    assert_eq!(ours.3, theirs.3);
    assert_eq!(ours.0, theirs.0);
}

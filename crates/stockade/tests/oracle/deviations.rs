//! Where we mean to differ, beside what Fail2Ban does: entries of `docs/compat/DEVIATIONS.md` that need a whole program to be seen.

use std::time::Duration;

use testkit::output_of;

use crate::world::{World, both, possible};

const CONFIGURATION: &str = "[DEFAULT]\nmaxretry = 1\nfindtime = 600\nbantime = 600\nignoreself = false\nusedns = no\nbackend = auto\n\
    action = trace\n[sshd]\nenabled = true\nlogpath = @/sshd.log\nfilter = sshd\n\
    [plain]\nenabled = true\nfilter =\nfailregex = bad <HOST>$\nlogpath = @/plain.log\n\
    [text]\nenabled = true\nfilter =\nfailregex = session <F-ID>\\S+</F-ID> failed$\nlogpath = @/text.log\n\
    [empty]\nenabled = true\nfilter =\nfailregex = bad <HOST>$\nlogpath = @/empty.log\n";

const TRACE: &str = "[Definition]\nactionban = echo ban <ip> >> @/acts\nactionunban = echo unban <ip> >> @/acts\n\
    actionprolong = echo prolong <ip> >> @/acts\nactionstop = echo stop >> @/acts\n";

fn date(shift: &str) -> String {
    output_of(std::process::Command::new("date").args(["-d", shift, "+%b %d %H:%M:%S"]))
        .trim_end()
        .to_owned()
}

/// What is looked at, and what came of it.
type Seen = Vec<(&'static str, String)>;

fn play(world: &mut World) -> Seen {
    let mut seen = Seen::new();
    world.write("etc/jail.local", CONFIGURATION);
    world.write("etc/action.d/trace.conf", TRACE);
    for log in ["sshd.log", "plain.log", "text.log"] {
        world.write(log, "a line\n");
    }
    world.write("empty.log", "");
    world.start();
    world.settle("fail2ban.log", Duration::from_millis(1500));
    let said = |text: &str| world.read("fail2ban.log").contains(text);

    world.append("empty.log", format!("{} bad 192.0.2.1\n", date("-20 minutes")));
    world.settle("fail2ban.log", Duration::from_millis(1500));
    seen.push((
        "D-065 an old line in a log that was empty",
        said("[empty] Ban 192.0.2.1").to_string(),
    ));

    for address in ["192.0.2.2", "2001:db8::2"] {
        let line = format!(
            "{} host sshd[77]: Failed password for root from {address} port 22 ssh2\n",
            date("now")
        );
        world.append("sshd.log", line);
        world.settle("fail2ban.log", Duration::from_millis(1500));
    }
    seen.push((
        "D-053 IPv6 after IPv4 in one session",
        said("[sshd] Ban 2001:db8::2").to_string(),
    ));

    world.append("text.log", format!("{} session a/b failed\n", date("now")));
    world.settle("fail2ban.log", Duration::from_millis(1500));
    seen.push(("D-054 an id with a slash", said("[text] Ban a/b").to_string()));

    world.ask("set plain banip 192.0.2.5");
    world.wait("acts", "ban 192.0.2.5");
    // A ban is prolonged by what would last longer, so a second has to pass.
    std::thread::park_timeout(Duration::from_millis(1100));
    world.ask("set plain banip 192.0.2.5");
    world.settle("acts", Duration::from_millis(1500));
    seen.push((
        "D-114 a ban that becomes longer",
        world.read("acts").contains("prolong 192.0.2.5").to_string(),
    ));

    world.ask("set plain banip 192.0.2.6");
    world.wait("acts", "ban 192.0.2.6");
    world.ask("set plain bantime 1h");
    let until = world.ask("get plain banip --with-time");
    seen.push(("D-087 another bantime", until.contains(" + 3600 = ").to_string()));

    let answer = world.client(&["set", "plain", "banip", "0.0.0.0/0"]);
    seen.push(("D-042 everybody by hand", format!("{:?}", answer.code)));

    world.ask("set plain banip 2001:db8::7");
    seen.push((
        "D-098 an address in another form",
        world.ask("set plain unbanip 2001:0db8::0007").trim_end().to_owned(),
    ));

    world.ask("set plain delaction trace");
    world.settle("acts", Duration::from_millis(1500));
    seen.push((
        "D-113 an action that is taken away",
        world.read("acts").contains("unban 192.0.2.5\n").to_string(),
    ));
    assert_eq!(world.stop(), Some(0));
    seen
}

#[test]
fn what_is_listed_as_a_deviation_is_one() {
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("deviations", true, play);
    let listed = [
        // What, ours, theirs.
        ("D-065 an old line in a log that was empty", "true", "false"),
        ("D-053 IPv6 after IPv4 in one session", "true", "false"),
        ("D-054 an id with a slash", "true", "false"),
        ("D-114 a ban that becomes longer", "true", "false"),
        ("D-087 another bantime", "false", "true"),
        ("D-042 everybody by hand", "Some(255)", "Some(0)"),
        ("D-098 an address in another form", "1", "0"),
        ("D-113 an action that is taken away", "true", "false"),
    ];
    let found: Vec<_> = ours
        .iter()
        .zip(&theirs)
        .map(|((what, ours), (_, theirs))| (*what, ours.as_str(), theirs.as_str()))
        .collect();
    assert_eq!(found, listed);
}

#[test]
fn a_date_that_is_missing_or_far_away_is_told_with_its_mend() {
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("dates", true, |world| {
        world.write("etc/jail.local", CONFIGURATION);
        world.write("etc/action.d/trace.conf", TRACE);
        for log in ["sshd.log", "text.log", "empty.log"] {
            world.write(log, "a line\n");
        }
        // Whoever is named here failed at a time that nobody knows.
        world.write("plain.log", "a line\nbad 192.0.2.1\n");
        world.start();
        world.settle("fail2ban.log", Duration::from_millis(1500));
        world.append("plain.log", format!("{} bad 192.0.2.2\n", date("-2 hours")));
        world.wait("fail2ban.log", "[plain] Ban 192.0.2.2");
        let log = world.log();
        let warned = |what: &str| {
            log.iter()
                .any(|said| said.level == "WARNING" && said.text.starts_with("[plain]") && said.text.contains(what))
        };
        let banned = world.ask("get plain banip");
        world.stop();
        (banned, warned("bad 192.0.2.1"), warned("bad 192.0.2.2"))
    });
    assert_eq!(
        (ours, theirs),
        (("192.0.2.2\n".into(), true, true), ("192.0.2.2\n".into(), true, true))
    );
}

#[test]
fn failures_that_are_too_old_are_not_counted_any_more() {
    if !possible(&["faketime"]) {
        return;
    }
    let (ours, theirs) = both("old-failures", false, |world| {
        world.set_clock("2026-11-22 12:00:00");
        let jail = "[j]\nenabled = true\nbackend = auto\nfilter =\nfailregex = bad <HOST>$\nignoreself = false\nlogpath = @/log\n";
        world.write("etc/jail.conf", jail);
        world.write("log", "");
        world.start();
        world.append("log", "2026-11-22 12:00:00 bad 192.0.2.1\n");
        world.wait("fail2ban.log", "[j] Found 192.0.2.1");
        world.set_clock("2026-11-22 12:30:00");
        world.settle("fail2ban.log", Duration::from_millis(1500));
        // A clock that jumps wakes nobody; a question does.
        world.ask("ping");
        let status = world.ask("status j");
        world.stop();
        status
    });
    assert!(ours.contains("Currently failed:\t0\n"), "{ours}");
    assert!(theirs.contains("Currently failed:\t1\n"), "{theirs}");
}

#[test]
fn status_with_whose_addresses_they_are_says_what_fail2ban_says_when_it_cannot_ask() {
    if std::path::Path::new("/usr/lib/python3/dist-packages/dns/resolver.py").exists() {
        return testkit::skip("Fail2Ban would ask the network here: python3-dnspython is installed");
    }
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("cymru", false, |world| {
        world.write("log", "");
        world.write(
            "etc/jail.conf",
            "[j]\nenabled = true\nfilter =\nfailregex = x <HOST>$\naction =\nbackend = polling\nlogpath = @/log\n",
        );
        world.start();
        world.ask("set j banip 192.0.2.1 2001:db8::1");
        world.wait("fail2ban.log", "Ban 2001:db8::1");
        let status = [
            world.ask("status j cymru"),
            world.client_of_ours(&["status", "j", "cymru"]).said,
        ];
        let told = world
            .log()
            .iter()
            .any(|said| said.logger == "fail2ban.banmanager" && said.level == "ERROR");
        world.stop();
        (status, told)
    });
    assert!(theirs.0[0].contains("Banned ASN list:\terror\n"), "{theirs:?}");
    assert_eq!(ours, theirs);
}

//! A server in operation: lines come, people ask, the configuration changes; what is logged, banned, answered and told to actions.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::output_of;

use crate::world::{SOON, Said, World, both, possible};

/// Tells everything it is told. `<F-ID>` and `<jail.name>` are left out: 1.0.2 has them only in part.
const TRACE: &str = r#"[Definition]
actionstart = printf '%%s\n' "start <name> <actname> <port>" >> @/acts
actionstop = printf '%%s\n' "stop <name> <actname>" >> @/acts
actionreload = printf '%%s\n' "reload <name> <port>" >> @/acts
actionban = printf '%%s\n' "ban <ip> <failures> <bantime> <bancount> <family> <ip-rev> <fid> [<F-USER>] [<F-NOPE>] <restored> <name> <actname> <port>" >> @/acts
            printf '%%s\n' "time=<time> of <ip><br>more<sp>." >> @/acts
            printf '%%s\n' "matches of <ip> [<matches>]" >> @/acts
            printf '%%s\n' "also of <ip> <ipfailures> <ipjailfailures> [<ipmatches>]" >> @/acts
actionunban = printf '%%s\n' "unban <ip> <failures> <bantime> [<F-USER>] [<matches>]" >> @/acts
[Init]
port = 22
"#;

const CONFIGURATION: &str = "[DEFAULT]\nmaxretry = 3\nfindtime = 600\nbantime = 600\nignoreself = false\nusedns = no\nbackend = auto\n\
    action = trace[name=%(__name__)s, port=\"22,33\"]\n\
    [sshd]\nenabled = true\nfilter = sshd\nlogpath = @/sshd.log\n\
    [other]\nenabled = true\nfilter =\nfailregex = other <HOST> user <F-USER>.*</F-USER> end$\nlogpath = @/other.log\n\
    [text]\nenabled = true\nfilter =\nfailregex = session <F-ID>\\S+</F-ID> failed$\nlogpath = @/other.log\n\
    [recidive]\nenabled = true\nlogpath = @/fail2ban.log\nmaxretry = 2\n";

/// The jails at the start; the last reads the log of the program itself.
const JAILS: [&str; 4] = ["sshd", "other", "text", "recidive"];

/// A play with one program: what it answered, and marks between the steps in all that it writes.
struct Play<'a> {
    world: &'a World,
    answers: Vec<String>,
    steps: usize,
}

impl Play<'_> {
    /// Ends a step, so that what follows is told apart from what was before.
    fn mark(&mut self, what: &str) {
        self.steps += 1;
        self.world.append("acts", format!("== {what}\n"));
        self.world.append("marks", format!("{}\n", self.world.log().len()));
    }

    fn ask(&mut self, line: &str) {
        let said = self.world.ask(line);
        // What a client warns of is its own.
        self.answers.push(format!("{line}\n{said}"));
    }

    /// Waits until an action was told this in this step.
    fn told(&self, needle: &str) {
        testkit::wait_until(SOON, &format!("{:?}: {needle}", self.world.whose), || {
            let acts = self.world.read("acts");
            acts.rsplit("== ").next().is_some_and(|step| step.contains(needle))
        });
    }

    fn banned(&self, address: &str) {
        // The last of its commands, after which nothing more comes for this ban.
        self.told(&format!("also of {address} "));
    }

    /// Failures at an sshd, each in a session of its own.
    fn sshd(&self, address: &str, count: usize) {
        let first = self.steps * 100;
        for session in first..first + count {
            let line = format!(
                "{} host sshd[{session}]: Failed password for invalid user root from {address} port 22 ssh2\n",
                now()
            );
            self.world.append("sshd.log", line);
        }
    }

    fn other(&self, address: &str, user: &[u8], count: usize) {
        let mut line = format!("{} other {address} user ", now()).into_bytes();
        line.extend_from_slice(user);
        line.extend_from_slice(b" end\n");
        self.world.append("other.log", line.repeat(count));
    }

    fn reconfigure(&self, changes: &[(&str, &str)]) {
        let mut text = CONFIGURATION.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        self.world.write("etc/jail.local", &text);
    }
}

fn now() -> String {
    output_of(std::process::Command::new("date").arg("+%b %d %H:%M:%S"))
        .trim_end()
        .to_owned()
}

/// What came of a play.
struct Outcome {
    answers: Vec<String>,
    log: Vec<Said>,
    /// What actions were told in each step, ordered: actions of several jails are not told at the same time.
    acts: Vec<Vec<String>>,
    code: Option<i32>,
}

fn play(world: &mut World) -> Outcome {
    world.write("etc/action.d/trace.conf", TRACE);
    world.write("etc/jail.local", CONFIGURATION);
    for log in ["sshd.log", "other.log", "fail2ban.log"] {
        world.write(log, "a line\n");
    }
    world.start();
    for jail in JAILS {
        world.wait("acts", &format!("start {jail} "));
    }
    world.settle("fail2ban.log", Duration::from_millis(1200));
    let mut play = Play {
        world: &*world,
        answers: Vec::new(),
        steps: 0,
    };
    failures_and_hands(&mut play);
    reloads(&mut play);
    play.mark("stop");
    play.ask("stop");
    let answers = play.answers;
    let code = world.ended();
    let acts = world.read("acts");
    let acts = acts.split("== ").map(|step| {
        let mut lines: Vec<String> = step.lines().map(without_time).collect();
        lines.sort_unstable();
        lines
    });
    Outcome {
        answers,
        log: world.log(),
        acts: acts.collect(),
        code,
    }
}

fn failures_and_hands(play: &mut Play<'_>) {
    play.mark("maxretry");
    play.sshd("192.0.2.1", 3);
    play.banned("192.0.2.1");
    play.mark("two are not enough");
    play.sshd("192.0.2.2", 2);
    play.world.wait("fail2ban.log", "Found 192.0.2.2 ");
    play.mark("IPv6, and IPv4 written as IPv6");
    play.sshd("2001:db8::1", 3);
    play.banned("2001:db8::1");
    play.sshd("::ffff:198.51.100.3", 3);
    play.banned("198.51.100.3");
    play.mark("the third");
    play.sshd("192.0.2.2", 1);
    play.banned("192.0.2.2");
    play.mark("hostile users");
    play.other("192.0.2.9", b"a b\"$(id)`x`;|& ' $f2bV_F_USER", 3);
    play.banned("192.0.2.9");
    play.other("192.0.2.10", b"<ip> <matches> <F-USER> %(port)s", 3);
    play.banned("192.0.2.10");
    play.other("192.0.2.11", "caf\u{e9} \u{1f512}".as_bytes(), 3);
    play.banned("192.0.2.11");
    play.mark("bytes that are no text");
    play.other("192.0.2.12", b"caf\xe9", 3);
    play.banned("192.0.2.12");
    play.mark("an id that is no address");
    for _ in 0..3 {
        play.world
            .append("other.log", format!("{} session ab-12=y failed\n", now()));
    }
    play.banned("ab-12=y");
    play.mark("by hand");
    play.ask("set other banip 203.0.113.1 203.0.113.7");
    play.banned("203.0.113.7");
    play.ask("set other banip 203.0.113.1");
    play.ask("banned");
    play.ask("get other banned 203.0.113.1 203.0.113.99");
    play.mark("lifted by hand");
    play.ask("set other unbanip 203.0.113.7 203.0.113.77");
    play.told("unban 203.0.113.7 ");
    play.ask("unban 192.0.2.9 192.0.2.99");
    play.told("unban 192.0.2.9 ");
    play.mark("ignored");
    play.ask("set sshd addignoreip 198.51.100.0/24 192.0.2.200");
    play.sshd("198.51.100.50", 3);
    play.sshd("192.0.2.200", 1);
    play.world.wait("fail2ban.log", "Ignore 192.0.2.200 ");
    play.ask("set sshd delignoreip 192.0.2.200");
    play.mark("findtime");
    let old = output_of(std::process::Command::new("date").args(["-d", "-55 seconds", "+%b %d %H:%M:%S"]));
    play.ask("set other findtime 30");
    let line = format!("{} other 192.0.2.40 user q end\n", old.trim_end());
    play.world.append("other.log", line.repeat(2));
    play.world.wait("fail2ban.log", "Found 192.0.2.40 ");
    play.other("192.0.2.40", b"q", 1);
    play.ask("set other findtime 600");
    play.mark("status");
    for jail in JAILS {
        play.ask(&format!("status {jail}"));
    }
    play.ask("status");
    play.mark("all lifted");
    play.ask("set other unbanip 192.0.2.10 192.0.2.11 192.0.2.12 203.0.113.1");
    play.told("unban 203.0.113.1 ");
    play.mark("a ban ends");
    play.ask("set other bantime 2");
    play.other("192.0.2.20", b"q", 3);
    play.told("unban 192.0.2.20 ");
    play.ask("set other bantime 600");
}

fn reloads(play: &mut Play<'_>) {
    play.mark("reload of the same");
    play.ask("reload");
    for jail in JAILS {
        play.told(&format!("reload {jail} 22,33"));
    }
    play.sshd("192.0.2.60", 2);
    play.world.settle("fail2ban.log", Duration::from_millis(300));
    play.mark("reload of other settings");
    play.reconfigure(&[("maxretry = 3", "maxretry = 2"), ("22,33", "44")]);
    play.ask("reload");
    for jail in JAILS {
        play.told(&format!("reload {jail} 44"));
    }
    play.sshd("192.0.2.61", 2);
    play.banned("192.0.2.61");
    play.ask("status sshd");
    play.mark("one jail gone, another new");
    play.reconfigure(&[("[other]\nenabled = true\n", "[third]\nenabled = true\n")]);
    play.ask("reload");
    play.told("stop other ");
    play.told("start third ");
    // It reads the other's log from the beginning, and bans most of them for the second time.
    for address in ["192.0.2.9", "192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.20"] {
        play.banned(address);
        play.told(&format!(" {address} [] [] 0 recidive trace"));
    }
    play.banned("192.0.2.40");
    play.world.settle("acts", Duration::from_millis(300));
    play.ask("status");
    play.mark("reload of one jail");
    play.ask("reload third");
    play.told("reload third 22,33");
    play.mark("bans of one jail lifted");
    play.ask("reload --unban sshd");
    play.told("unban 192.0.2.61 ");
    play.ask("status sshd");
    play.mark("flushlogs");
    play.ask("flushlogs");
    play.mark("a jail stopped");
    play.ask("set text banip again");
    play.banned("again");
    play.ask("stop text");
    play.told("stop text ");
    play.ask("status");
}

/// The two programs are not asked in the same second. A time is a number of seconds; where a line had a date with a zone, 1.0.2 writes it
/// without a fraction.
fn without_time(line: &str) -> String {
    let mut line = line.to_owned();
    // Dates as `now` writes them.
    while let Some(place) = clock_in(&line) {
        line.replace_range(place..place + 8, "T");
    }
    // Lines of the program's own log have milliseconds and a process id too.
    if let Some((before, after)) = line.split_once(" T,")
        && let (Some(logger), Some((_, said))) = (after.split('[').next(), after.split_once("]: "))
    {
        line = format!(
            "{before} T{} {said}",
            logger.trim_start_matches(|c: char| c.is_ascii_digit()).trim_end()
        );
    }
    match line.strip_prefix("time=").and_then(|rest| rest.split_once(' ')) {
        Some((time, rest)) if time.parse::<f64>().is_ok() => format!("time=some {rest}"),
        _ => line,
    }
}

/// Where a line has a `18:39:51`.
fn clock_in(line: &str) -> Option<usize> {
    let is_clock = |window: &[u8]| {
        window.iter().enumerate().all(|(place, byte)| match place {
            2 | 5 => *byte == b':',
            _ => byte.is_ascii_digit(),
        })
    };
    line.as_bytes().windows(8).position(is_clock)
}

/// What was said about each jail, and by whom: who finds and who bans are two threads there, whose lines come in no fixed order.
pub(crate) fn by_jail(log: &[Said]) -> BTreeMap<(String, String), Vec<String>> {
    let mut said: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for Said { logger, level, text } in log {
        let Some((jail, text)) = text.strip_prefix('[').and_then(|text| text.split_once("] ")) else {
            continue;
        };
        // The end of a jail lifts bans under another name (D-084), and the time of a failure may be a second later.
        let text = text.replace("Repeal Ban", "Unban");
        let text = text.split(" - 20").next().unwrap_or_default();
        // Advice to the administrator is in our own words.
        if level != "WARNING" {
            let key = (jail.to_owned(), logger.clone());
            said.entry(key).or_default().push(format!("{level} {text}"));
        }
    }
    said
}

/// What the server says of its jails and settings, in the order in which it says it for each.
fn of_server(log: &[Said]) -> BTreeMap<String, Vec<String>> {
    let mut said: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for Said { logger, level, text } in log {
        if !["fail2ban.server", "fail2ban.jail"].contains(&&**logger) {
            continue;
        }
        let jail = text.split('\'').nth(1).unwrap_or_default().to_owned();
        // The program names its version.
        let text = text.split(" v1.").next().unwrap_or_default();
        said.entry(jail).or_default().push(format!("{logger} {level} {text}"));
    }
    said
}

/// How often each setting was told.
fn settings(log: &[Said]) -> BTreeMap<String, usize> {
    let mut said = BTreeMap::new();
    for Said { logger, text, .. } in log {
        if ["maxRetry:", "findtime:", "banTime:", "encoding:"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            *said.entry(format!("{logger} {text}")).or_default() += 1;
        }
    }
    said
}

#[test]
fn a_server_in_operation_logs_bans_answers_and_acts_as_fail2ban_does() {
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("live", true, play);
    println!(
        "live: {} steps, {} answers, {} lines of the log, {} lines from actions",
        theirs.acts.len(),
        theirs.answers.len(),
        theirs.log.len(),
        theirs.acts.iter().map(Vec::len).sum::<usize>()
    );
    assert_eq!(ours.acts.len(), theirs.acts.len());
    for (ours, theirs) in ours.acts.iter().zip(&theirs.acts) {
        assert_eq!(ours, theirs, "acts");
    }
    for (ours, theirs) in ours.answers.iter().zip(&theirs.answers) {
        assert_eq!(ours, theirs, "answers");
    }
    let (ours_said, theirs_said) = (by_jail(&ours.log), by_jail(&theirs.log));
    assert_eq!(
        ours_said.keys().collect::<Vec<_>>(),
        theirs_said.keys().collect::<Vec<_>>()
    );
    for (key, theirs) in &theirs_said {
        assert_eq!(ours_said.get(key), Some(theirs), "{key:?}");
    }
    let (ours_said, theirs_said) = (of_server(&ours.log), of_server(&theirs.log));
    for (jail, theirs) in &theirs_said {
        assert_eq!(ours_said.get(jail), Some(theirs), "server, of `{jail}`");
    }
    assert_eq!(settings(&ours.log), settings(&theirs.log));
    assert_eq!((ours.code, theirs.code), (Some(0), Some(0)));
}

//! A whole server in a private network namespace: lines go in, elements of the kernel's sets come out.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Output;
use std::time::Duration;

use testkit::{Daemon, Network, TempDir, requires, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// What every test here needs.
const NEEDS: &[&str] = &["root", "unshare", "nsenter", "ip", "nft"];

/// A server's folder, network and programs.
struct World {
    net: Network,
    dir: TempDir,
}

impl World {
    /// A configuration folder with this `jail.local`, and an empty log `log`.
    fn new(name: &str, jail_local: &str) -> Self {
        let dir = TempDir::new(name);
        for program in ["fail2ban-server", "fail2ban-client", "fail2ban-regex"] {
            symlink(env!("CARGO_BIN_EXE_stockade"), dir.join(program)).unwrap();
        }
        let world = Self {
            net: Network::new(),
            dir,
        };
        // A reload takes what stands here, whatever the command line said at the start.
        let settings = format!(
            "[Definition]\ndbfile = {}\nlogtarget = {}\n",
            world.path("db"),
            world.path("fail2ban.log")
        );
        world.dir.write("etc/fail2ban.local", settings);
        world.jail_local(jail_local);
        world.append("");
        world
    }

    /// Writes `jail.local`; `LOG` in it is the path of the log.
    fn jail_local(&self, text: &str) {
        let log = self.dir.join("log");
        self.dir
            .write("etc/jail.local", text.replace("LOG", &log.to_string_lossy()));
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    fn start(&self) -> Daemon {
        let mut command = self.net.command(&self.path("fail2ban-server"));
        command.args([
            "-c",
            &self.path("etc"),
            "-s",
            &self.path("sock"),
            "-p",
            &self.path("pid"),
        ]);
        command.args([
            "--logtarget",
            &self.path("fail2ban.log"),
            "--loglevel",
            "DEBUG",
            "-f",
            "start",
        ]);
        let daemon = Daemon::start(&mut command);
        daemon.wait_for_output(SOON, "Server ready");
        daemon
    }

    fn client(&self, words: &[&str]) -> Output {
        let mut command = self.net.command(&self.path("fail2ban-client"));
        command
            .args([
                "-c",
                &self.path("etc"),
                "-s",
                &self.path("sock"),
                "-p",
                &self.path("pid"),
            ])
            .args(words);
        command.output().unwrap()
    }

    /// What a client prints; it must succeed.
    fn ask(&self, words: &[&str]) -> String {
        let output = self.client(words);
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(
            output.status.success(),
            "{words:?}: {text} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// Appends to the log.
    fn append(&self, text: &str) {
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.dir.join("log"))
            .unwrap();
        log.write_all(text.as_bytes()).unwrap();
    }

    /// Failures of an address, in the words of OpenSSH or Asterisk.
    fn fail(&self, address: &str, count: usize) {
        let now = std::process::Command::new("date")
            .arg("+%b %d %H:%M:%S")
            .output()
            .unwrap();
        let now = String::from_utf8(now.stdout).unwrap();
        let line = format!(
            "[{}] NOTICE[5280] chan_sip.c: Registration from '\"1001\" <sip:1001@192.0.2.10>' failed for '{address}' - Wrong password\n",
            now.trim_end()
        );
        self.append(&line.repeat(count));
    }

    fn ruleset(&self) -> String {
        let output = self.net.command("nft").args(["list", "ruleset"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn in_kernel(&self, address: &str) -> bool {
        let mut ruleset = self.ruleset();
        let mut address = address;
        if let Some((network, length)) = address.split_once('/') {
            // Networks of one length have a set of their own, which holds their first addresses.
            let name = format!("-net{length}-set-");
            let sets = ruleset
                .split("\tset ")
                .filter(|set| set.split('{').next().is_some_and(|head| head.contains(&name)));
            ruleset = sets.collect();
            address = network;
        }
        ruleset.split([' ', ',', '\n', '\t']).any(|word| word == address)
    }

    fn wait_for_ban(&self, address: &str) {
        wait_until(SOON, &format!("{address} in the kernel; log: {}", self.log()), || {
            self.in_kernel(address)
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("fail2ban.log")).unwrap_or_default()
    }

    fn wait_for_log(&self, needle: &str) {
        wait_until(SOON, &format!("`{needle}` in the log: {}", self.log()), || {
            self.log().contains(needle)
        });
    }
}

/// One jail on our log.
const ONE_JAIL: &str = "[DEFAULT]\nmaxretry = 3\n[sshd]\nenabled = false\n[asterisk-security]\nenabled = false\n[asterisk-full]\nenabled = false\n[asterisk]\nenabled = true\nlogpath = LOG\n";

#[test]
fn a_line_becomes_an_element_of_the_kernels_set_and_the_stop_leaves_nothing() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-spine", ONE_JAIL);
    let mut daemon = world.start();
    world.fail("198.51.100.7", 3);
    world.fail("198.51.100.8", 2);
    world.fail("2001:db8::7", 3);
    world.wait_for_ban("198.51.100.7");
    world.wait_for_ban("2001:db8::7");
    assert!(!world.in_kernel("198.51.100.8"), "two of three failures are no ban");
    assert!(
        world.log().contains("NOTICE  [asterisk] Ban 198.51.100.7\n"),
        "{}",
        world.log()
    );
    daemon.terminate();
    assert!(daemon.wait(SOON).success());
    assert_eq!(world.ruleset(), "", "the firewall is as it was");
    assert!(!world.dir.join("sock").exists() && !world.dir.join("pid").exists());
}

#[test]
fn commands_of_the_client_reach_the_kernel() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-commands", ONE_JAIL);
    let mut daemon = world.start();
    assert_eq!(world.ask(&["ping"]), "Server replied: pong");
    assert_eq!(
        world.ask(&["status"]),
        "Status\n|- Number of jail:\t1\n`- Jail list:\tasterisk"
    );
    assert_eq!(
        world.ask(&["set", "asterisk", "banip", "203.0.113.5", "203.0.113.0/29"]),
        "2"
    );
    world.wait_for_ban("203.0.113.5");
    world.wait_for_ban("203.0.113.0/29");
    assert_eq!(world.ask(&["banned", "203.0.113.5"]), "[['asterisk']]");
    let status = world.ask(&["status", "asterisk"]);
    assert!(status.contains("Currently banned:\t2"), "{status}");
    assert_eq!(world.ask(&["set", "asterisk", "unbanip", "203.0.113.5"]), "1");
    wait_until(SOON, "unban in the kernel", || !world.in_kernel("203.0.113.5"));
    assert!(world.in_kernel("203.0.113.0/29"));
    assert_eq!(world.ask(&["unban", "--all"]), "1");
    wait_until(SOON, "unban of all in the kernel", || {
        !world.in_kernel("203.0.113.0/29")
    });
    let refused = world.client(&["status", "nosuch"]);
    assert_eq!(refused.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("Sorry but the jail 'nosuch' does not exist"));
    world.ask(&["set", "asterisk", "addignoreip", "198.51.100.0/24"]);
    world.fail("198.51.100.9", 5);
    world.wait_for_log("[asterisk] Ignore 198.51.100.9 by ip");
    assert!(!world.in_kernel("198.51.100.9"));
    assert_eq!(world.ask(&["stop"]), "Shutdown successful");
    assert!(daemon.wait(SOON).success());
    assert_eq!(world.ruleset(), "", "`stop` answers when the firewall is as it was");
}

#[test]
fn a_ban_ends_when_its_time_is_over() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new(
        "server-expiry",
        &ONE_JAIL.replace("[DEFAULT]", "[DEFAULT]\nbantime = 2"),
    );
    let _daemon = world.start();
    world.fail("198.51.100.7", 3);
    world.wait_for_ban("198.51.100.7");
    world.wait_for_log("NOTICE  [asterisk] Unban 198.51.100.7\n");
    wait_until(SOON, "the element is gone", || !world.in_kernel("198.51.100.7"));
    world.fail("198.51.100.7", 3);
    world.wait_for_ban("198.51.100.7");
}

#[test]
fn every_attacker_of_a_flood_is_banned() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-flood", ONE_JAIL);
    let _daemon = world.start();
    for high in 0..8 {
        for low in 0..250 {
            world.fail(&format!("10.9.{high}.{low}"), 3);
        }
    }
    wait_until(SOON, "2000 elements", || {
        world.ruleset().matches("10.9.").count() == 2000
    });
}

#[test]
fn of_a_log_of_many_days_only_what_findtime_reaches_is_read_and_nothing_of_it_is_missed() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-halving", &format!("{ONE_JAIL}findtime = 1d\n"));
    let now = jiff::Zoned::now();
    let mut lines = Vec::new();
    // Ten days, a line every fifteen seconds.
    for number in (0..57_600).rev() {
        let at = now.checked_sub(jiff::Span::new().seconds(number * 15)).unwrap();
        let minutes = number / 4;
        let who = match minutes {
            // Three failures within the day, the first hardly so; three before it.
            1430 | 700 | 5 if number % 4 == 0 => "failed for '198.51.100.7' - Wrong password",
            1500 | 1600 | 1700 if number % 4 == 0 => "failed for '198.51.100.8' - Wrong password",
            _ => "is well, and its line as long as others are",
        };
        let date = at.strftime("%b %d %H:%M:%S");
        lines.push(format!(
            "[{date}] NOTICE[5280] chan_sip.c: Registration from '\"1001\" <sip:1001@192.0.2.10>' {who}\n"
        ));
        if number % 1000 == 0 {
            lines.push("    and a line without a date\n".to_owned());
        }
    }
    let text = lines.concat();
    world.append(&text);
    let _daemon = world.start();
    world.wait_for_ban("198.51.100.7");
    let log = world.log();
    let skipped = log.split(" bytes of lines older than findtime").next().unwrap();
    let skipped: usize = skipped.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(skipped > text.len() / 2, "{skipped} of {}", text.len());
    assert!(!world.in_kernel("198.51.100.8"));
}

#[test]
fn a_log_whose_lines_take_long_holds_up_no_other_and_status_tells_how_far_behind_it_is() {
    if !requires(NEEDS) {
        return;
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        println!("skipped: needs two processors");
        return;
    }
    // For each line the rule tries until it is stopped.
    let jail = format!(
        "{ONE_JAIL}[slow]\nenabled = true\nfilter =\nfailregex = ^ (a|aa)+\\1+b from <HOST>$\nlogpath = LOG-slow\n"
    );
    let world = World::new("server-slow", &jail);
    let date = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S");
    let line = format!("{date} {}! b from nobody\n", "a".repeat(1000));
    world.dir.write("log-slow", line.repeat(30_000));
    let _daemon = world.start();
    wait_until(SOON, "a line that takes too long", || {
        world.log().contains("needs too many steps")
    });
    let behind = || world.ask(&["status", "slow"]).contains("Behind");
    world.fail("198.51.100.7", 3);
    world.wait_for_ban("198.51.100.7");
    wait_until(SOON, "what is left to read", behind);
    let status = world.ask(&["status", "slow"]);
    let told = status.lines().find(|line| line.contains("Behind")).unwrap();
    let words: Vec<&str> = told.split_whitespace().collect();
    let number = |after: &str| -> u64 {
        let place = words.iter().position(|word| word.starts_with(after)).unwrap();
        words[place - 1].parse().unwrap()
    };
    assert!(told.contains(&format!("{}-slow: ", world.path("log"))), "{told}");
    assert!((1..31_200_000).contains(&number("bytes")), "{told}");
    assert!((1..=30_000).contains(&number("lines")), "{told}");
    assert!((10..60).contains(&number("seconds")), "{told}");
    // It is behind all the time.
    world.fail("198.51.100.8", 3);
    world.wait_for_ban("198.51.100.8");
    assert!(behind(), "{}", world.ask(&["status", "slow"]));
}

#[test]
fn a_reload_keeps_bans_and_failures_and_gives_new_actions_the_bans_there_are() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-reload", ONE_JAIL);
    let _daemon = world.start();
    world.fail("198.51.100.7", 3);
    world.wait_for_ban("198.51.100.7");
    world.fail("198.51.100.8", 2);
    world.wait_for_log("Found 198.51.100.8");
    world.jail_local(&format!(
        "{ONE_JAIL}action = %(action_)s\n  nftables-native[name=second, port=\"5060\", protocol=udp]\n"
    ));
    assert_eq!(world.ask(&["reload"]), "OK");
    wait_until(SOON, "the ban in both sets", || {
        world.ruleset().matches("198.51.100.7").count() == 2
    });
    world.fail("198.51.100.8", 1);
    world.wait_for_ban("198.51.100.8");
    world.jail_local(ONE_JAIL);
    assert_eq!(world.ask(&["reload"]), "OK");
    wait_until(SOON, "the removed action's set is gone", || {
        !world.ruleset().contains("second")
    });
    assert!(world.in_kernel("198.51.100.7") && world.in_kernel("198.51.100.8"));
}

#[test]
fn a_broken_jail_is_told_with_its_place_and_the_others_run_on() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-broken", ONE_JAIL);
    let _daemon = world.start();
    world.fail("198.51.100.7", 3);
    world.wait_for_ban("198.51.100.7");
    world.dir.write(
        "etc/filter.d/asterisk.conf",
        "[Definition]\nfailregex = ^fail(ed from <HOST>\n",
    );
    world
        .dir
        .write("etc/filter.d/mine.conf", "[Definition]\nfailregex = ^mine <HOST>$\n");
    world.jail_local(&format!(
        "{ONE_JAIL}[mine]\nenabled = true\nfilter = mine\nlogpath = LOG\n"
    ));
    let reload = world.client(&["reload"]);
    assert_eq!(reload.status.code(), Some(255), "a fault is no success");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&reload.stdout),
        String::from_utf8_lossy(&reload.stderr)
    );
    assert!(said.contains("filter.d/asterisk.conf:2"), "{said}");
    assert!(world.in_kernel("198.51.100.7"), "the running jail keeps its bans");
    world.fail("198.51.100.9", 3);
    world.wait_for_ban("198.51.100.9");
    world.append("mine 203.0.113.1\nmine 203.0.113.1\nmine 203.0.113.1\n");
    world.wait_for_ban("203.0.113.1");
}

#[test]
fn bad_input_names_file_line_reason_and_mend_while_the_good_jail_runs() {
    if !requires(NEEDS) {
        return;
    }
    let jails = "[DEFAULT]\nmaxretry = 3\n[sshd]\nenabled = false\n[asterisk-security]\nenabled = false\n[asterisk-full]\nenabled = false\n\
        [asterisk]\nenabled = true\nlogpath = LOG\n\
        [broken]\nenabled = true\nfilter = broken\nlogpath = LOG\n\
        [nofilter]\nenabled = true\nfilter = nosuchfilter\nlogpath = LOG\n\
        [nohost]\nenabled = true\nfilter =\nfailregex = ^nobody here$\nlogpath = LOG\n\
        [duration]\nenabled = true\nfilter =\nfailregex = ^x <HOST>$\nlogpath = LOG\nbantime = forever\n\
        [unreadable]\nenabled = true\nfilter =\nfailregex = ^x <HOST>$\nlogpath = /proc\n";
    let world = World::new("server-bad", jails);
    world.dir.write(
        "etc/filter.d/broken.conf",
        "[Definition]\n\nfailregex = ^ok <HOST>$\n            ^bad [<HOST>\n",
    );
    let daemon = world.start();
    world.fail("198.51.100.7", 3);
    world.wait_for_ban("198.51.100.7");
    world.wait_for_log("/proc");
    let said = daemon.stderr() + &world.log();
    for (fault, needles) in [
        ("a broken filter", vec!["filter.d/broken.conf:4", "mend"]),
        ("a filter that does not exist", vec!["nosuchfilter", "jail.local:18"]),
        ("a regex without a host", vec!["jail.local:23", "<HOST>"]),
        ("a bad duration", vec!["jail.local:30", "forever", "mend"]),
        ("an unreadable log", vec!["/proc", "is a directory", "mend"]),
    ] {
        for needle in needles {
            assert!(said.contains(needle), "{fault}: `{needle}` is not in:\n{said}");
        }
    }
    assert_eq!(
        world.ask(&["status"]),
        "Status\n|- Number of jail:\t2\n`- Jail list:\tasterisk, unreadable"
    );
}

#[test]
fn sighup_reads_the_configuration_again_and_sigusr1_opens_the_log_anew() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-signals", ONE_JAIL);
    let daemon = world.start();
    world.jail_local(&ONE_JAIL.replace("maxretry = 3", "maxretry = 2"));
    daemon.signal(rustix::process::Signal::HUP);
    wait_until(SOON, "the new maxretry", || {
        world.ask(&["get", "asterisk", "maxretry"]) == "2"
    });
    std::fs::rename(world.dir.join("fail2ban.log"), world.dir.join("old.log")).unwrap();
    daemon.signal(rustix::process::Signal::USR1);
    world.wait_for_log("rollover performed on");
}

#[test]
fn a_log_that_comes_later_and_one_that_is_rotated_are_read() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-rotation", ONE_JAIL);
    std::fs::remove_file(world.dir.join("log")).unwrap();
    let _daemon = world.start();
    world.fail("198.51.100.7", 3);
    world.wait_for_ban("198.51.100.7");
    world.fail("198.51.100.8", 2);
    std::fs::rename(world.dir.join("log"), world.dir.join("log.1")).unwrap();
    world.fail("198.51.100.8", 1);
    world.wait_for_ban("198.51.100.8");
}

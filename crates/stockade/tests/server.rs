//! A whole server in a private network namespace: lines go in, elements of the kernel's sets come out.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Output;
use std::time::Duration;

use testkit::{Daemon, Network, TempDir, requires, wait_until};

const SOON: Duration = Duration::from_secs(20);
/// For what is tried again every ten seconds only.
const LATER: Duration = Duration::from_secs(60);

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
        self.start_by(&[&self.path("fail2ban-server")])
    }

    /// Starts the server by another program.
    fn start_by(&self, words: &[&str]) -> Daemon {
        let (program, words) = words.split_first().unwrap();
        let mut command = self.net.command(program);
        command.args(words).args([
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

    fn nft(&self, words: &[&str]) {
        let output = self.net.command("nft").args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
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

/// Datagrams to the service from an address of this machine.
fn knock(from: &str, count: usize) {
    let socket = std::net::UdpSocket::bind((from, 0)).unwrap();
    for _ in 0..count {
        socket.send_to(b"knock", "127.0.0.1:5060").unwrap();
    }
}

#[test]
fn status_with_kernel_tells_what_the_kernel_holds_and_whom_it_has_blocked_how_often() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-kernel", &format!("{ONE_JAIL}ignoreself = false\n"));
    let _daemon = world.start();
    let ask = || world.ask(&["status", "asterisk", "kernel"]);
    let nothing = "Status for the jail: asterisk\n`- nftables-native\n   |- In kernel:\t0\n   |- Should be:\t0\n   |- Put right:\t0\n   \
                   |- Blocked packets:\t0\n   |- Blocked bytes:\t0\n   `- Most blocked:";
    assert_eq!(ask(), nothing);
    for address in ["127.0.0.2", "127.0.0.3", "2001:db8::1"] {
        world.ask(&["set", "asterisk", "banip", address]);
    }
    world.wait_for_ban("2001:db8::1");
    world.net.run(|| {
        knock("127.0.0.2", 5);
        knock("127.0.0.3", 7);
        knock("127.0.0.4", 9);
    });
    let told = ask();
    assert!(
        told.contains(
            "In kernel:\t3\n   |- Should be:\t3\n   |- Put right:\t0\n   |- Blocked packets:\t12\n   |- Blocked bytes:\t396\n   \
             `- Most blocked:\t127.0.0.3 (7 packets, 231 bytes) 127.0.0.2 (5 packets, 165 bytes)"
        ),
        "{told}"
    );
    let json = world.ask(&["--json", "status", "asterisk", "kernel"]);
    assert_eq!(
        json,
        r#"{"actions":{"nftables-native":{"blocked_bytes":396,"blocked_packets":12,"in_kernel":3,"most_blocked":[{"bytes":231,"id":"127.0.0.3","packets":7},{"bytes":165,"id":"127.0.0.2","packets":5}],"put_right":0,"should_be":3}},"jail":"asterisk"}"#
    );
    // Somebody flushes the ruleset: heard, put right, told once, counted.
    world.nft(&["flush", "ruleset"]);
    world.wait_for_log("it was `nft` that deleted from the firewall");
    wait_until(SOON, "all is there again", || {
        ask().contains("In kernel:\t3\n   |- Should be:\t3\n   |- Put right:\t1")
    });
    assert_eq!(
        world.log().matches("made again with all bans").count(),
        1,
        "{}",
        world.log()
    );
    // The other ways of asking say what they have always said.
    let status = world.ask(&["status", "asterisk"]);
    assert!(!status.contains("In the kernel"), "{status}");
}

#[test]
fn an_address_banned_by_two_jails_stays_banned_until_both_have_lifted_it() {
    if !requires(NEEDS) {
        return;
    }
    for (name, action) in [
        ("own", "nftables-native"),
        ("shared", "nftables-native[name=shared]"),
        ("stock", "nftables[type=multiport]"),
    ] {
        let jail =
            |jail: &str| format!("[{jail}]\nenabled = true\nlogpath = LOG\nfilter = asterisk\naction = {action}\n");
        let world = World::new("server-two", &format!("{}{}", jail("asterisk"), jail("asterisk-full")));
        let _daemon = world.start();
        for jail in ["asterisk", "asterisk-full"] {
            world.ask(&["set", jail, "banip", "203.0.113.5", "203.0.113.6"]);
        }
        let held = || world.ruleset().matches("203.0.113.5").count();
        wait_until(SOON, &format!("both are there: {}", world.log()), || held() == 2);
        world.ask(&["set", "asterisk", "unbanip", "203.0.113.5"]);
        wait_until(SOON, "one is gone", || held() == 1);
        if name != "stock" {
            // A look at the kernel leaves it at that, too.
            world.nft(
                &[
                    "delete",
                    "element",
                    "inet",
                    "f2b-table",
                    "addr-set-NAME",
                    "{ 203.0.113.6 }",
                ]
                .map(|word| word.replace("NAME", if name == "shared" { "shared-2" } else { "asterisk-full" }))
                .each_ref()
                .map(String::as_str),
            );
            world.wait_for_log("of 2 bans 1 were not in the kernel, and 0 were there that should not");
            assert_eq!(held(), 1, "{}", world.ruleset());
        }
        assert_eq!(
            world
                .log()
                .contains("`shared` are those of action 'nftables-native-shared' of jail 'asterisk'"),
            name == "shared",
            "{}",
            world.log()
        );
        world.ask(&["set", "asterisk-full", "unbanip", "203.0.113.5"]);
        wait_until(SOON, "none is there", || held() == 0);
    }
}

#[test]
fn without_the_right_to_change_the_firewall_it_says_so_and_goes_on() {
    if !requires(NEEDS) || !requires(&["setpriv"]) {
        return;
    }
    let world = World::new("server-rights", ONE_JAIL);
    let server = world.path("fail2ban-server");
    let _daemon = world.start_by(&["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", &server]);
    world.wait_for_log("may not change the firewall: Operation not permitted (os error 1); mend: run as root, or with the capability CAP_NET_ADMIN");
    world.fail("198.51.100.7", 3);
    world.wait_for_log("Ban 198.51.100.7");
    wait_until(SOON, "it is told where one would look", || {
        world
            .ask(&["status", "asterisk"])
            .contains("In the kernel:\t0 of 1 by nftables-native")
    });
    let told = world.ask(&["status", "asterisk", "kernel"]);
    assert!(told.contains("In kernel:\t0\n   |- Should be:\t1"), "{told}");
    assert_eq!(world.ruleset(), "");
}

#[test]
fn bans_wait_for_a_table_that_belongs_to_another_process_and_none_is_lost() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("server-owner", ONE_JAIL);
    let mut owner = world
        .net
        .command("nft")
        .arg("-i")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = owner.stdin.take().unwrap();
    writeln!(input, "add table inet f2b-table {{ flags owner; }}").unwrap();
    wait_until(SOON, "the table is there", || world.ruleset().contains("f2b-table"));
    let _daemon = world.start();
    world.wait_for_log("in table `inet f2b-table`: Operation not permitted (os error 1); mend: the table belongs to another process alone (flags owner)");
    for number in 1..100 {
        world.ask(&["set", "asterisk", "banip", &format!("198.51.100.{number}")]);
    }
    world.wait_for_log("Ban 198.51.100.99");
    drop(input);
    owner.wait().unwrap();
    wait_until(LATER, &format!("all are there: {}", world.log()), || {
        world.ruleset().matches("198.51.100.").count() == 99
    });
    wait_until(SOON, "and counted", || {
        world
            .ask(&["status", "asterisk", "kernel"])
            .contains("In kernel:\t99\n   |- Should be:\t99")
    });
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

#[test]
fn what_a_container_wrote_is_read_whole_and_what_is_forwarded_to_it_is_blocked() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new(
        "server-container",
        "[DEFAULT]\nmaxretry = 2\n[sshd]\nenabled = false\n[asterisk]\nenabled = false\n[asterisk-security]\nenabled = false\n\
         [asterisk-full]\nenabled = false\n[web]\nenabled = true\nfilter = nginx-http-auth\nlogpath = LOG\nlogencoding = container\n\
         banaction = nftables-native[type=allports, chain_hook=\"input,forward\"]\n",
    );
    let _daemon = world.start();
    let now = std::process::Command::new("date")
        .arg("+%Y/%m/%d %H:%M:%S")
        .output()
        .unwrap();
    let now = String::from_utf8(now.stdout).unwrap();
    let line = |address: &str| {
        format!(
            "{} [error] 811#811: *5 user \\\"bob\\\": password mismatch, client: {address}, server: x, request: \\\"GET / HTTP/1.1\\\", host: \\\"x\\\"",
            now.trim_end()
        )
    };
    let entry =
        |text: &str| format!("{{\"log\":\"{text}\",\"stream\":\"stderr\",\"time\":\"2026-11-22T13:40:04.1Z\"}}\n");
    // Docker cuts long lines into pieces; the second is no line, though it looks like one.
    let forged = entry("GET /long") + &entry(&format!("{}\\n", line("203.0.113.66")));
    world.append(&forged.repeat(2));
    world.append(&entry(&format!("{}\\n", line("198.51.100.7"))).repeat(2));
    world.wait_for_ban("198.51.100.7");
    assert!(!world.in_kernel("203.0.113.66"), "{}", world.ruleset());
    assert!(world.ruleset().contains("hook forward"), "{}", world.ruleset());
}

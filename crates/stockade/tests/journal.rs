//! A whole server on a journald of its own: entries go in, bans come out.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Daemon, Journald, TempDir, requires, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// What is started sees the journal of the test as the system's.
const PRIVATE: &str = "mount --make-rprivate / && mkdir -p /var/log/journal && mount --bind \"$1\" /var/log/journal && shift && exec \"$@\"";

const JAIL: &str = "[DEFAULT]\naction = trace\nmaxretry = 3\nignoreself = false\n\
    [sshd]\nenabled = true\nlogpath = @/there-is-none.log\njournalmatch = SYSLOG_IDENTIFIER=sshd\n\
    [other]\nenabled = true\nbackend = systemd\nfilter =\nmaxretry = 1\nfailregex = ^\\S+ other\\[\\d+\\]: bad <HOST>$\n\
    journalmatch = SYSLOG_IDENTIFIER=other\n";

struct World {
    dir: TempDir,
    journald: Journald,
}

impl World {
    fn new(jail: &str) -> Option<Self> {
        if !requires(&["root", "unshare"]) {
            return None;
        }
        let journald = Journald::start("")?;
        let dir = TempDir::new("journal-server");
        for program in ["fail2ban-server", "fail2ban-client"] {
            symlink(env!("CARGO_BIN_EXE_stockade"), dir.join(program)).unwrap();
        }
        let here = |text: &str| text.replace("@/", &format!("{}/", dir.path().display()));
        dir.write("etc/jail.local", here(jail));
        dir.write(
            "etc/fail2ban.local",
            here("[Definition]\nlogtarget = @/log\ndbfile = @/db\n"),
        );
        dir.write(
            "etc/action.d/trace.conf",
            here("[Definition]\nactionban = echo \"<name> <ip>\" >> @/bans\n"),
        );
        Some(Self { dir, journald })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", PRIVATE, "sh"]).arg(self.journald.log());
        command.arg(self.dir.join(program)).arg("-c").arg(self.dir.join("etc"));
        for (option, name) in [("-s", "sock"), ("-p", "pid")] {
            command.arg(option).arg(self.dir.join(name));
        }
        command
    }

    fn start(&self) -> Daemon {
        let mut command = self.command("fail2ban-server");
        let daemon = Daemon::start(command.args(["-f", "start"]));
        daemon.wait_for_output(SOON, "Server ready");
        daemon
    }

    fn ask(&self, line: &str) -> String {
        testkit::output_of(self.command("fail2ban-client").args(line.split(' ')))
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    #[track_caller]
    fn wait(&self, name: &str, needle: &str) {
        wait_until(SOON, &format!("`{needle}` in {name}"), || {
            self.read(name).contains(needle)
        });
    }

    fn sshd(&self, address: &str) {
        let message = format!("Failed password for root from {address} port 22 ssh2");
        self.journald
            .send(&[("SYSLOG_IDENTIFIER", b"sshd"), ("MESSAGE", message.as_bytes())]);
    }

    fn other(&self, address: &str) {
        let message = format!("bad {address}");
        self.journald
            .send(&[("SYSLOG_IDENTIFIER", b"other"), ("MESSAGE", message.as_bytes())]);
    }

    /// How often the log tells a failure.
    fn found(&self, jail: &str, address: &str) -> usize {
        let needle = format!("[{jail}] Found {address} ");
        self.read("log").lines().filter(|line| line.contains(&needle)).count()
    }
}

#[test]
fn a_jail_whose_log_is_not_there_reads_the_journal_and_bans_from_it() {
    let Some(world) = World::new(JAIL) else { return };
    for _ in 0..3 {
        world.sshd("192.0.2.1");
    }
    let mut server = world.start();
    world.wait("bans", "sshd 192.0.2.1");
    let status = world.ask("status sshd");
    assert!(
        status.contains("Journal matches:\tSYSLOG_IDENTIFIER=sshd\n"),
        "{status}"
    );
    // Each entry is looked at once, whatever happens to the jail and the files.
    world.journald.rotate();
    world.sshd("192.0.2.2");
    wait_until(SOON, "found", || world.found("sshd", "192.0.2.2") == 1);
    world.ask("reload");
    world.sshd("192.0.2.2");
    wait_until(SOON, "found", || world.found("sshd", "192.0.2.2") == 2);
    world.ask("set sshd idle on");
    world.sshd("192.0.2.2");
    world.other("192.0.2.3");
    world.wait("bans", "other 192.0.2.3");
    assert_eq!(world.found("sshd", "192.0.2.2"), 2);
    world.ask("set sshd idle off");
    world.wait("bans", "sshd 192.0.2.2");
    world.ask("reload --restart other");
    world.other("192.0.2.4");
    world.wait("bans", "other 192.0.2.4");
    for (jail, address, times) in [
        ("sshd", "192.0.2.1", 3),
        ("sshd", "192.0.2.2", 3),
        ("other", "192.0.2.3", 1),
        ("other", "192.0.2.4", 1),
    ] {
        assert_eq!(
            world.found(jail, address),
            times,
            "{jail} {address}\n{}",
            world.read("log")
        );
    }
    let begin = Instant::now();
    world.other("192.0.2.5");
    world.wait("bans", "other 192.0.2.5");
    // Jails that need a file of their own do not count the same entries three times.
    let stream = world.ask("-d");
    assert!(!stream.contains("['add', 'asterisk', 'systemd'"), "{stream}");
    println!("from the entry to the action's command: {:?}", begin.elapsed());
    server.terminate();
    assert_eq!(server.wait(SOON).code(), Some(0));
}

#[test]
fn jails_that_come_later_read_what_was_there_and_then_share_the_one_reader() {
    const MORE: &str = "enabled = true\nbackend = systemd\nfilter =\nmaxretry = 100\nfailregex = bad <HOST>$\n\
                        journalmatch = SYSLOG_IDENTIFIER=other\n";
    let Some(world) = World::new(JAIL) else { return };
    let mut server = world.start();
    let open = || {
        let links = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
        let names = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        names
            .filter(|name| name.extension().is_some_and(|extension| extension == "journal"))
            .count()
    };
    for number in 1..=20 {
        world.other(&format!("198.51.100.{number}"));
    }
    world.wait("log", "[other] Found 198.51.100.20");
    wait_until(SOON, "one file is open", || open() == 1);
    for number in 1..=5 {
        let path = world.dir.join("etc/jail.local");
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{before}[more{number}]\n{MORE}")).unwrap();
        world.ask("reload");
        let address = format!("203.0.113.{number}");
        world.other(&address);
        for jail in 1..=number {
            wait_until(SOON, "found", || world.found(&format!("more{jail}"), &address) == 1);
        }
    }
    wait_until(SOON, "one file is open", || open() == 1);
    for jail in ["other", "more1", "more2", "more3", "more4", "more5"] {
        for number in 1..=20 {
            assert_eq!(world.found(jail, &format!("198.51.100.{number}")), 1, "{jail} {number}");
        }
        for number in 1..=5 {
            assert_eq!(world.found(jail, &format!("203.0.113.{number}")), 1, "{jail} {number}");
        }
    }
    server.terminate();
    assert_eq!(server.wait(SOON).code(), Some(0));
}

#[test]
fn a_jail_whose_log_is_not_there_waits_for_it_if_it_is_told_to() {
    for (name, more) in [
        ("the journal is not wanted", "systemd_if_nologs = false\n"),
        ("another backend is wanted", "backend = polling\n"),
    ] {
        let jail = JAIL.replace("[other]", &format!("{more}[other]"));
        let Some(world) = World::new(&jail) else { return };
        let stream = world.ask("-d");
        assert!(!stream.contains("['add', 'sshd', 'systemd'"), "{name}: {stream}");
        assert!(stream.contains("['add', 'sshd', "), "{name}: {stream}");
    }
}

#[test]
fn a_restart_goes_on_in_the_journal_where_the_server_ended() {
    let Some(world) = World::new(JAIL) else { return };
    let mut server = world.start();
    for _ in 0..2 {
        world.sshd("192.0.2.1");
    }
    wait_until(SOON, "found", || world.found("sshd", "192.0.2.1") == 2);
    server.terminate();
    server.wait(SOON);
    // While nobody runs.
    world.sshd("192.0.2.2");
    let mut server = world.start();
    wait_until(SOON, "found", || world.found("sshd", "192.0.2.2") == 1);
    world.sshd("192.0.2.3");
    wait_until(SOON, "found", || world.found("sshd", "192.0.2.3") == 1);
    assert_eq!(world.found("sshd", "192.0.2.1"), 2, "{}", world.read("log"));
    assert_eq!(world.found("sshd", "192.0.2.2"), 1);
    server.terminate();
    assert_eq!(server.wait(SOON).code(), Some(0));
}

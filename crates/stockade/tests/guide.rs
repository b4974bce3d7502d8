//! The guide that our first users follow, word for word: `securing-asterisk.txt` in the shared folder.
//!
//! Each test has a network and a mount namespace of its own. In it, `/etc`, `/var` and `/usr/bin` are writable copies of the
//! machine's (overlays that are gone with the test), so that every path is the one the guide names: Debian's own
//! `/etc/fail2ban`, `/etc/init.d/fail2ban`, `/var/log/asterisk/full`. Real are also iptables, whois, and dma as the MTA.
//!
//! What is different from the guide, which is of 2010: the chain is called `f2b-ASTERISK`, as in every Fail2Ban since 0.9,
//! not `fail2ban-ASTERISK`; and the reader's extra rule lost its `<HOST>` to HTML, which is put back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::{Network, TempDir, output_of, wait_until};

/// Anything the guide promises happens within seconds; the machine may be busy.
const SOON: Duration = Duration::from_secs(30);

/// The administrator's own address, in `ignoreip`.
const OURS: &str = "192.0.2.77";

struct World {
    network: Network,
    holder: Child,
    _directory: TempDir,
}

impl World {
    /// A machine with Debian's Fail2Ban configuration, or with none; `None` if this machine cannot be made into one.
    fn new(stock: bool) -> Option<Self> {
        let needs = [
            "root",
            "unshare",
            "nsenter",
            "ip",
            "iptables",
            "ip6tables",
            "iptables-save",
            "whois",
            "sendmail",
            "dma",
        ];
        if !testkit::requires(&needs) {
            return None;
        }
        let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap();
        if !filesystems.contains("overlay") {
            testkit::skip("needs the overlay file system of the kernel");
            return None;
        }
        let package = ["/etc/fail2ban/jail.conf", "/etc/init.d/fail2ban"];
        if stock && !package.iter().all(|file| std::path::Path::new(file).exists()) {
            testkit::skip("needs the Debian package fail2ban");
            return None;
        }
        let directory = TempDir::new("guide");
        let network = Network::new();
        let script = format!(
            r"set -e
            mount -t tmpfs tmpfs {top}
            for folder in etc var usr/bin; do
                name=$(printf %s $folder | tr / -)
                mkdir -p {top}/$name.upper {top}/$name.work
                mount -t overlay overlay -o lowerdir=/$folder,upperdir={top}/$name.upper,workdir={top}/$name.work /$folder
            done
            mount -t tmpfs tmpfs /run
            {programs}
            mkdir -p /var/log/asterisk /var/mail /run/fail2ban
            rm -rf /var/log/fail2ban.log* /var/lib/fail2ban /var/mail/root
            mkdir /var/lib/fail2ban
            : > /var/log/auth.log; : > /var/log/messages; : > /var/log/asterisk/full
            printf '%s\n' '^198\.51\.100\. 127.0.0.1' '^203\.0\.113\. 127.0.0.2' '^192\.0\.2\. 127.0.0.3' '^198\.18\. 127.0.0.4' > /etc/whois.conf
            {configuration}
            echo ready
            exec cat
            ",
            top = directory.path().display(),
            programs = if theirs() {
                String::new()
            } else {
                // A copy, because start-stop-daemon asks whether any process of the machine runs this very file.
                let (binary, copy) = (env!("CARGO_BIN_EXE_stockade"), directory.join("stockade"));
                let copy = copy.display();
                format!(
                    "cp {binary} {copy}; for name in client server regex; do ln -sf {copy} /usr/bin/fail2ban-$name; done"
                )
            },
            configuration = if stock {
                ""
            } else {
                "rm -rf /etc/fail2ban; mkdir -p /etc/fail2ban/filter.d"
            },
        );
        let mut holder = network
            .command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        let made = holder.stdout.as_mut().unwrap().read_exact(&mut ready);
        assert!(made.is_ok(), "cannot make the mount namespace: {made:?}");
        for (address, server) in [
            ("127.0.0.1:43", good as fn(TcpStream)),
            ("127.0.0.2:43", garbage),
            ("127.0.0.3:43", silent),
        ] {
            let listener = network.run(|| TcpListener::bind(address)).unwrap();
            std::thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    std::thread::spawn(move || server(client));
                }
            });
        }
        Some(Self {
            network,
            holder,
            _directory: directory,
        })
    }

    /// A path of this machine as the test sees it.
    fn path(&self, path: &str) -> PathBuf {
        format!("/proc/{}/root{path}", self.holder.id()).into()
    }

    fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(path)).unwrap_or_default()).into_owned()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(path))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.network.command("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .arg(program);
        command
    }

    /// Runs a command line as the administrator types it.
    #[track_caller]
    fn type_in(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        output_of(self.command(words.next().unwrap()).args(words))
    }

    /// What is banned in the chain, as `iptables -L -v` shows it.
    fn banned(&self, address: &str) -> bool {
        self.type_in("iptables -n -L f2b-ASTERISK")
            .lines()
            .any(|line| line.split_whitespace().nth(3) == Some(address))
    }

    #[track_caller]
    fn wait_banned(&self, address: &str) {
        let log = || self.read("/var/log/fail2ban.log");
        let start = std::time::Instant::now();
        while start.elapsed() < SOON {
            let list = self
                .command("iptables")
                .args(["-n", "-L", "f2b-ASTERISK"])
                .output()
                .unwrap();
            let list = String::from_utf8_lossy(&list.stdout).into_owned();
            if list.lines().any(|line| line.split_whitespace().nth(3) == Some(address)) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("{address} is not banned within {SOON:?}; fail2ban.log:\n{}", log());
    }

    /// The mail with this in its subject; its body is all that follows up to the next mail.
    #[track_caller]
    fn wait_mail(&self, subject: &str, deadline: Duration) -> String {
        let start = std::time::Instant::now();
        loop {
            let mailbox = self.read("/var/mail/root");
            let found = mailbox.split("\nFrom ").find(|mail| {
                mail.lines()
                    .any(|line| line.starts_with("Subject: ") && line.contains(subject))
            });
            if let Some(mail) = found {
                return mail.to_owned();
            }
            let late = start.elapsed() >= deadline;
            assert!(
                !late,
                "no mail `{subject}`; fail2ban.log:\n{}\nmailbox:\n{mailbox}",
                self.read("/var/log/fail2ban.log")
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Edits the configuration as the guide and its reader tell.
    fn follow_the_guide(&self, guide: &Guide, jail_file: &str, logpath: &str) {
        self.write("/etc/fail2ban/filter.d/asterisk.conf", &guide.filter);
        let jail = guide.jail.replace("/var/log/asterisk/full", logpath);
        self.append(jail_file, &format!("\n{jail}\n"));
    }

    /// Puts our address into `ignoreip` under `[DEFAULT]` of Debian's jail.conf, where the option waits as a comment.
    fn ignore_ours(&self) {
        let jails = self.read("/etc/fail2ban/jail.conf");
        let line = "\n#ignoreip = 127.0.0.1/8 ::1\n";
        assert!(jails.contains(line), "jail.conf is not Debian's");
        self.write(
            "/etc/fail2ban/jail.conf",
            &jails.replace(line, &format!("\nignoreip = 127.0.0.1/8 ::1 {OURS}\n")),
        );
    }

    /// Now, in a form of `date`.
    fn now(&self, format: &str) -> String {
        self.type_in(&format!("date +{}", format.replace(' ', "_")))
            .trim()
            .replace('_', " ")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A server that is still there belongs to this network: it is asked to stop, and then the namespaces go.
        let _ = self.command("fail2ban-client").arg("stop").output();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// With `STOCKADE_UNDER_TEST=theirs`, the tests run against the installed Fail2Ban, which shows what is ours alone.
fn theirs() -> bool {
    std::env::var("STOCKADE_UNDER_TEST").is_ok_and(|value| value == "theirs")
}

/// RFC 3912: one line in, text out.
fn good(mut client: TcpStream) {
    let mut query = [0; 200];
    let length = client.read(&mut query).unwrap_or_default();
    let query = String::from_utf8_lossy(query.get(..length).unwrap_or_default())
        .trim()
        .to_owned();
    let _ = write!(
        client,
        "% The registry of examples\r\n\r\nnetname: EXAMPLE\r\nquery:   {query}\r\n"
    );
}

fn garbage(mut client: TcpStream) {
    let noise: Vec<u8> = (0..250_000_u32)
        .flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let _ = client.write_all(b"\r\n.\r\n`reboot` $(reboot) \\c ~! %s\r\n.\r\n");
    let _ = client.write_all(&noise);
}

fn silent(client: TcpStream) {
    std::thread::park_timeout(Duration::from_mins(5));
    drop(client);
}

/// What is to be copied out of the guide.
struct Guide {
    filter: String,
    jail: String,
}

fn guide() -> Option<Guide> {
    let text = std::fs::read_to_string(testkit::shared_data("guide/securing-asterisk.txt")?).unwrap();
    let between = |from: &str, to: &str| {
        let (_, rest) = text
            .split_once(from)
            .unwrap_or_else(|| panic!("the guide no longer says `{from}`"));
        rest.split_once(to)
            .unwrap_or_else(|| panic!("the guide no longer says `{to}`"))
            .0
            .trim()
            .to_owned()
            + "\n"
    };
    let filter = between("Now add the following in this file:\n", "In the above lines");
    let jail = between(
        "Next add the following lines in /etc/fail2ban/jail.conf\n",
        "This filter will ban",
    );
    // The reader's rule goes “with the others”; the web page swallowed its <HOST>.
    let rule = between("listed above:\n", "Hope this helps").replace("failed for ''", "failed for '<HOST>'");
    assert!(rule.contains("<HOST>") && rule.contains("\\\""), "{rule}");
    let last = "            NOTICE.* .*: Failed to authenticate user .*@<HOST>.*\n";
    assert!(filter.contains(last), "{filter}");
    let filter = filter.replace(last, &format!("{last}            {}\n", rule.trim()));
    Some(Guide { filter, jail })
}

/// The failures of the guide's rules, as Asterisk 1.6 writes them, each with the address it is by.
fn failures(date: &str) -> Vec<(String, String)> {
    let head = format!("[{date}] NOTICE[6296]");
    let registration = |reason: &str, name: &str, address: &str| {
        format!("{head} chan_sip.c: Registration from '{name}' failed for '{address}' - {reason}")
    };
    let plain = "<sip:100@192.0.2.1>";
    let lines = [
        ("198.51.100.1", registration("Wrong password", plain, "198.51.100.1")),
        (
            "198.51.100.2",
            registration("No matching peer found", plain, "198.51.100.2"),
        ),
        (
            "198.51.100.3",
            registration("Username/auth name mismatch", plain, "198.51.100.3"),
        ),
        (
            "198.51.100.4",
            registration("Device does not match ACL", plain, "198.51.100.4"),
        ),
        (
            "198.51.100.5",
            format!("{head} manager.c: 198.51.100.5 failed to authenticate as 'admin'"),
        ),
        (
            "198.51.100.6",
            format!("{head} chan_iax2.c: No registration for peer 'iax' (from 198.51.100.6)"),
        ),
        (
            "198.51.100.7",
            format!("{head} chan_iax2.c: Host 198.51.100.7 failed MD5 authentication for 'iax' (a != b)"),
        ),
        (
            "198.51.100.8",
            format!("{head} chan_sip.c: Failed to authenticate user 100@198.51.100.8;tag=x"),
        ),
        (
            "198.51.100.9",
            registration("No matching peer found", "\"100\" <sip:100@192.0.2.1>", "198.51.100.9"),
        ),
        (OURS, registration("Wrong password", plain, OURS)),
    ];
    lines
        .into_iter()
        .map(|(address, line)| (address.to_owned(), line))
        .collect()
}

fn five_times(lines: &[(String, String)]) -> String {
    lines
        .iter()
        .flat_map(|(_, line)| std::iter::repeat_n(line.as_str(), 5))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_guide_works_word_for_word_on_debian() {
    let Some(guide) = guide() else { return };
    let Some(world) = World::new(true) else { return };
    world.follow_the_guide(&guide, "/etc/fail2ban/jail.conf", "/var/log/asterisk/full");
    world.ignore_ours();
    world.type_in("iptables -A INPUT -p udp --dport 5060 -j ACCEPT");
    let before = (world.type_in("iptables -S"), world.type_in("ip6tables -S"));

    world.type_in("/etc/init.d/fail2ban start");
    let started = world.wait_mail("ASTERISK: started on", SOON);
    assert!(
        started.contains("To: root") && started.contains("fail2ban@example.org"),
        "{started}"
    );
    assert!(world.type_in("fail2ban-client status").contains("asterisk-iptables"));

    // `dateformat=%F %T`.
    let failures = failures(&world.now("%F %T"));
    world.append("/var/log/asterisk/full", &five_times(&failures));
    for (address, _) in failures.iter().filter(|(address, _)| address != OURS) {
        world.wait_banned(address);
    }
    assert!(!world.banned(OURS), "the administrator is banned");

    let list = world.type_in("iptables -L -v");
    let rule = list
        .lines()
        .find(|line| line.contains("f2b-ASTERISK") && line.contains("any"))
        .unwrap_or_default();
    let words: Vec<&str> = rule.split_whitespace().skip(2).collect();
    assert_eq!(
        words,
        ["f2b-ASTERISK", "all", "--", "any", "any", "anywhere", "anywhere"],
        "{list}"
    );
    let (ours, theirs) = (list.find("f2b-ASTERISK"), list.find("dpt:sip"));
    assert!(ours < theirs, "the ban comes before the administrator's rules: {list}");

    let status = world.type_in("fail2ban-client status asterisk-iptables");
    assert!(status.contains("Currently banned:\t9"), "{status}");
    assert_eq!(
        world.type_in("fail2ban-client get asterisk-iptables bantime").trim(),
        "259200"
    );
    let times = world.type_in("fail2ban-client get asterisk-iptables banip --with-time");
    assert!(
        times
            .lines()
            .any(|line| line.starts_with("198.51.100.1 ") && line.contains("+ 259200 =")),
        "{times}"
    );

    let mail = world.wait_mail("ASTERISK: banned 198.51.100.1 from", SOON);
    assert!(
        mail.contains("netname: EXAMPLE") && mail.contains("query:   198.51.100.1"),
        "{mail}"
    );
    assert!(mail.contains("From: Fail2Ban <fail2ban@example.org>"), "{mail}");

    world.type_in("/etc/init.d/fail2ban stop");
    assert_eq!((world.type_in("iptables -S"), world.type_in("ip6tables -S")), before);
    world.wait_mail("ASTERISK: stopped on", SOON);
    let log = world.read("/var/log/fail2ban.log");
    assert!(!log.contains(" ERROR ") && !log.contains(" CRITICAL "), "{log}");
}

#[test]
fn the_guide_works_through_syslog() {
    let Some(guide) = guide() else { return };
    let Some(world) = World::new(true) else { return };
    world.follow_the_guide(&guide, "/etc/fail2ban/jail.conf", "/var/log/messages");
    world.ignore_ours();
    world.type_in("/etc/init.d/fail2ban start");
    // `syslog.local0 => notice`: syslog's date and program in front, Asterisk's own brackets after.
    let date = world.now("%b %e %H:%M:%S");
    let failures: Vec<(String, String)> = failures("x")
        .into_iter()
        .map(|(address, line)| {
            (
                address,
                line.replacen("[x] ", &format!("{date} pbx asterisk[4711]: "), 1),
            )
        })
        .collect();
    world.append("/var/log/messages", &five_times(&failures));
    for (address, _) in failures.iter().filter(|(address, _)| address != OURS) {
        world.wait_banned(address);
    }
    assert!(!world.banned(OURS), "the administrator is banned");
}

#[test]
fn the_default_date_of_asterisk_is_read_as_it_is() {
    let Some(guide) = guide() else { return };
    let Some(world) = World::new(true) else { return };
    world.follow_the_guide(&guide, "/etc/fail2ban/jail.conf", "/var/log/asterisk/full");
    world.type_in("/etc/init.d/fail2ban start");
    let mut failures = failures(&world.now("%b %e %H:%M:%S"));
    failures.retain(|(address, _)| address != OURS);
    world.append("/var/log/asterisk/full", &five_times(&failures));
    for (address, _) in &failures {
        world.wait_banned(address);
    }
}

#[test]
fn the_guides_jail_alone_works_on_the_built_in_configuration() {
    let Some(guide) = guide() else { return };
    let Some(world) = World::new(false) else { return };
    world.append(
        "/etc/fail2ban/jail.local",
        &format!("[DEFAULT]\nignoreip = {OURS}\n\n{}", guide.jail),
    );
    let before = (world.type_in("iptables -S"), world.type_in("ip6tables -S"));
    world.type_in("fail2ban-client start");
    world.wait_mail("ASTERISK: started on", SOON);
    // Asterisk of today: the default date, and a port after the address.
    let date = world.now("%b %e %H:%M:%S");
    let line = |address: &str| {
        format!(
            "[{date}] NOTICE[6296] chan_sip.c: Registration from '\"100\" <sip:100@192.0.2.1>' failed for '{address}:5060' - Wrong password"
        )
    };
    let lines: Vec<(String, String)> = [
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "192.0.2.1",
        "198.51.100.2",
        OURS,
    ]
    .iter()
    .map(|address| ((*address).to_owned(), line(address)))
    .collect();
    let started = std::time::Instant::now();
    world.append("/var/log/asterisk/full", &five_times(&lines));
    for (address, _) in lines.iter().filter(|(address, _)| address != OURS) {
        world.wait_banned(address);
    }
    // whois for 192.0.2.1 never answers; the mail about it takes 20 s, the bans do not wait for that.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert!(!world.banned(OURS), "the administrator is banned");
    for (address, expected) in [
        ("198.51.100.1", "netname: EXAMPLE"),
        ("203.0.113.1", "`reboot` $(reboot) \\c ~! %s\n."),
        ("198.18.0.1", "(no answer from whois, code 2)"),
        ("192.0.2.1", "(no answer from whois, code 124)"),
        ("198.51.100.2", "netname: EXAMPLE"),
    ] {
        let mail = world.wait_mail(&format!("ASTERISK: banned {address} from"), Duration::from_mins(1));
        assert!(mail.contains(expected), "{address}: {mail}");
    }
    world.type_in("fail2ban-client stop");
    wait_until(SOON, "the server is gone", || {
        !world
            .command("fail2ban-client")
            .arg("ping")
            .output()
            .unwrap()
            .status
            .success()
    });
    assert_eq!((world.type_in("iptables -S"), world.type_in("ip6tables -S")), before);
    world.wait_mail("ASTERISK: stopped on", SOON);
}

#[test]
fn a_whois_that_hangs_or_lies_costs_no_ban_and_no_mail_with_debians_actions() {
    let Some(guide) = guide() else { return };
    let Some(world) = World::new(true) else { return };
    world.follow_the_guide(&guide, "/etc/fail2ban/jail.conf", "/var/log/asterisk/full");
    world.type_in("/etc/init.d/fail2ban start");
    world.wait_mail("ASTERISK: started on", SOON);
    // Fail2Ban's limit is 60 s; the test need not wait that long.
    world.type_in("fail2ban-client set asterisk-iptables action sendmail-whois-ASTERISK timeout 3");
    let date = world.now("%F %T");
    let line = |address: &str| {
        format!(
            "[{date}] NOTICE[1] chan_sip.c: Registration from '<sip:1@192.0.2.1>' failed for '{address}' - Wrong password"
        )
    };
    let addresses = ["192.0.2.1", "203.0.113.1", "198.18.0.1", "198.51.100.1"];
    let lines: Vec<(String, String)> = addresses
        .iter()
        .map(|address| ((*address).to_owned(), line(address)))
        .collect();
    world.append("/var/log/asterisk/full", &five_times(&lines));
    for address in addresses {
        world.wait_banned(address);
    }
    for address in addresses {
        world.wait_mail(&format!("ASTERISK: banned {address} from"), SOON);
    }
    let mail = world.wait_mail("ASTERISK: banned 192.0.2.1 from", SOON);
    assert!(mail.contains("missing whois program"), "{mail}");
    let log = world.read("/var/log/fail2ban.log");
    assert!(
        log.contains("timed out after 3 seconds; ended whois and let the rest of the command go on"),
        "{log}"
    );
}

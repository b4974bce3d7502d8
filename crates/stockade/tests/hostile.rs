//! The server under attack: by who writes log lines, by clients, by its own actions, by a damaged configuration and by want of resources.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stockade_protocol::{END, Value, pickle};
use testkit::{Daemon, Network, TempDir, requires, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// What every test here needs.
const NEEDS: &[&str] = &["root", "unshare", "nsenter", "ip", "nft"];

/// The built-in jails do not read logs of this machine.
const NO_BUILT_IN: &str = "[sshd]\nenabled = false\n[asterisk]\nenabled = false\n[asterisk-full]\nenabled = false\n[asterisk-security]\nenabled = false\n";

/// One jail that bans at the third failure.
const MINE: &str = "[mine]\nenabled = true\nfilter = mine\nmaxretry = 3\nlogpath = DIR/log\naction = nftables-native[name=mine, port=5060, protocol=udp]\n";

const RULES: &str = "[Definition]\nfailregex = ^\\s*fail user <F-USER>.*?</F-USER> from <HOST>$\n            ^\\s*net <SUBNET>$\n            \
    ^\\s*id <F-ID>.*</F-ID>$\n";

/// A server's folder, network and programs.
struct World {
    net: Network,
    dir: TempDir,
}

impl World {
    fn new(name: &str, jails: &str) -> Self {
        let dir = TempDir::new(name);
        for program in ["fail2ban-server", "fail2ban-client"] {
            symlink(env!("CARGO_BIN_EXE_stockade"), dir.join(program)).unwrap();
        }
        let world = Self {
            net: Network::new(),
            dir,
        };
        world.dir.write("etc/filter.d/mine.conf", RULES);
        let database = format!("[Definition]\ndbfile = {}\n", world.dir.join("db").display());
        world.dir.write("etc/fail2ban.local", database);
        world.jails(jails);
        world.append("log", b"");
        world
    }

    /// Writes `jail.local`; `DIR` in it is the test's folder.
    fn jails(&self, text: &str) {
        let dir = self.dir.path().to_string_lossy();
        self.dir
            .write("etc/jail.local", format!("{NO_BUILT_IN}{}", text.replace("DIR", &dir)));
    }

    /// Writes an action; `DIR` in it is the test's folder.
    fn action(&self, name: &str, commands: &str) {
        let dir = self.dir.path().to_string_lossy();
        let text = format!("[Definition]\n{}", commands.replace("DIR", &dir));
        self.dir.write(format!("etc/action.d/{name}.conf"), text);
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.net.command(&self.path(program));
        for (option, name) in [("-c", "etc"), ("-s", "sock"), ("-p", "pid")] {
            command.args([option, &self.path(name)]);
        }
        command
    }

    fn start(&self) -> Daemon {
        self.start_with(&self.path("fail2ban.log"))
    }

    fn start_with(&self, logtarget: &str) -> Daemon {
        let mut command = self.command("fail2ban-server");
        command.args(["--logtarget", logtarget, "-f", "start"]);
        let daemon = Daemon::start(&mut command);
        daemon.wait_for_output(SOON, "Server ready");
        daemon
    }

    fn client(&self, words: &[&str]) -> Output {
        self.command("fail2ban-client").args(words).output().unwrap()
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

    fn append(&self, name: &str, bytes: &[u8]) {
        let opened = OpenOptions::new().append(true).create(true).open(self.dir.join(name));
        opened.unwrap().write_all(bytes).unwrap();
    }

    /// Three lines of now that end with this.
    fn three(&self, text: impl AsRef<[u8]>) {
        let line = [now().as_bytes(), b" ", text.as_ref(), b"\n"].concat();
        self.append("log", &line.repeat(3));
    }

    fn fail(&self, address: &str) {
        self.three(format!("fail user x from {address}"));
    }

    fn ruleset(&self) -> String {
        let output = self.net.command("nft").args(["list", "ruleset"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// All elements of all sets, as `set address`.
    fn elements(&self) -> Vec<String> {
        let ruleset = self.ruleset();
        let mut found = Vec::new();
        for set in ruleset.split("\tset ").skip(1) {
            let (name, rest) = set.split_once(' ').unwrap();
            let Some((_, elements)) = rest.split_once("elements = {") else {
                continue;
            };
            let (elements, _) = elements.split_once('}').unwrap();
            found.extend(
                elements
                    .split(',')
                    .filter_map(|element| element.split_whitespace().next())
                    .map(|address| format!("{name} {address}")),
            );
        }
        found.sort();
        found
    }

    fn in_kernel(&self, address: &str) -> bool {
        self.elements()
            .iter()
            .any(|element| element.ends_with(&format!(" {address}")))
    }

    fn wait_for_ban(&self, address: &str) {
        wait_until(SOON, &format!("{address} in the kernel; log: {}", self.log()), || {
            self.in_kernel(address)
        });
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("fail2ban.log")).unwrap_or_default()).into_owned()
    }

    fn wait_for_log(&self, needle: &str) {
        wait_until(SOON, &format!("`{needle}` in the log: {}", self.log()), || {
            self.log().contains(needle)
        });
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.dir.join("sock")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Sends bytes as a message; what comes back, if anything.
    fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        let mut answer = Vec::new();
        // The server may hang up before it has read all.
        if stream.write_all(bytes).and_then(|()| stream.write_all(END)).is_ok() {
            let mut block = [0; 4096];
            while !answer.ends_with(END) {
                match stream.read(&mut block) {
                    Ok(count @ 1..) => answer.extend_from_slice(block.get(..count).unwrap()),
                    _ => break,
                }
            }
        }
        answer
    }

    /// Ends the server, which must be quick, orderly, and leave the firewall as it was.
    fn stop(&self, daemon: &mut Daemon, limit: Duration) {
        daemon.terminate();
        assert!(daemon.wait(limit).success(), "{}", self.log());
        assert_eq!(self.ruleset(), "", "the firewall is as it was");
    }
}

fn now() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Memory in use, in MiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn hostile_lines_ban_whom_they_name_and_nobody_else() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("hostile-lines", MINE);
    let ip = |words: &str| {
        let done = world.net.command("ip").args(words.split(' ')).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    ip("link add cable type veth peer name other");
    ip("address add 192.0.2.77/24 dev cable");
    ip("address add 2001:db8:77::77/64 dev cable nodad");
    let mut daemon = world.start();
    world.ask(&["set", "mine", "addignoreip", "198.51.100.200"]);
    for nobody in [
        // This host.
        "127.0.0.1",
        "127.1.2.3",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "192.0.2.77",
        "::ffff:192.0.2.77",
        "2001:db8:77::77",
        // Not to be banned.
        "198.51.100.200",
        "::ffff:198.51.100.200",
        // Not an address.
        "\u{661}\u{669}\u{662}.\u{660}.\u{662}.\u{669}",
        "0x7f.0.0.1",
        "2130706433",
        "127.1",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.4/0",
        "fe80::1%cable",
    ] {
        world.fail(nobody);
    }
    for everybody in [
        "0.0.0.0/0",
        "::/0",
        "::ffff:0:0/96",
        "0.0.0.0/1",
        "127.0.0.0/8",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "::ffff:c633:6400/120",
    ] {
        world.three(format!("net {everybody}"));
    }
    let mut expected = Vec::new();
    let mut expect = |set: &str, address: &str| expected.push(format!("{set} {address}"));
    for (line, address) in [
        (&b"fail user x from ::ffff:203.0.113.1"[..], "203.0.113.1"),
        (b"fail user x from ::ffff:cb00:7102", "203.0.113.2"),
        (b"fail user x from [203.0.113.3]", "203.0.113.3"),
        (b"fail user \x00\x01\x1b[2J\xff from 203.0.113.4", "203.0.113.4"),
        (b"fail user x from 203.0.113.5\r", "203.0.113.5"),
        (
            b"fail user x\rfail user x from 6.6.6.6\r from 203.0.113.6",
            "203.0.113.6",
        ),
        (b"fail user x from 6.6.6.6 from 203.0.113.7", "203.0.113.7"),
        (
            b"fail user $(reboot)`reboot`'\"; reboot from 203.0.113.8",
            "203.0.113.8",
        ),
    ] {
        world.three(line);
        expect("addr-set-mine", address);
    }
    world.three(format!("fail user {} from 203.0.113.9", "A".repeat(65_000)));
    expect("addr-set-mine", "203.0.113.9");
    world.three("net 10.1.2.3/16");
    expect("addr-net16-set-mine", "10.1.0.0");
    world.three("net ::ffff:a02:0/112");
    expect("addr-net16-set-mine", "10.2.0.0");
    world.append("log", &b"Z".repeat(10_000_000));
    world.append("log", b"\n");
    world.append("log", &b"\0".repeat(5_000_000));
    world.append(
        "log",
        b"\n9999-12-31 23:59:59 x\n0000-00-00 00:00:00 x\n2026-02-30 25:61:61 x\n",
    );
    for id in [
        "a] Ban 9.9.9.9",
        "x' ; reboot; '",
        "\u{1b}[2J",
        "\u{202e}x\u{2028}2026-11-22 00:00:00,000 fail2ban.actions [1]: NOTICE  [sshd] Ban 9.9.9.9",
    ] {
        world.three(format!("id {id}"));
    }
    world.three("fail user x from 203.0.113.99");
    expect("addr-set-mine", "203.0.113.99");
    expected.sort();
    world.wait_for_ban("203.0.113.99");
    assert_eq!(world.elements(), expected, "{}", world.log());
    let log = world.log();
    for line in log.lines() {
        assert!(
            line.starts_with("20") && line.get(24..).is_some_and(|rest| rest.starts_with("fail2ban.")),
            "{line:?}"
        );
        assert!(!line.chars().any(stockade_core::logline::misleads), "{line:?}");
        assert!(
            !line.ends_with("] Ban 9.9.9.9"),
            "read as the ban of somebody else: {line}"
        );
    }
    assert!(
        log.lines().filter(|line| line.contains("held responsible")).count() <= 1,
        "{log}"
    );
    assert!(resident(&daemon) < 100, "{} MiB", resident(&daemon));
    world.stop(&mut daemon, SOON);
}

#[test]
fn a_flood_with_rotation_is_counted_to_the_last_line_in_bounded_memory() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("hostile-flood", MINE);
    let mut daemon = world.start();
    let address = |number: u32| std::net::Ipv4Addr::from(0x0a00_0000 + number);
    let now = now();
    let write = |from: u32, to: u32, user: &str| {
        let mut lines = String::new();
        for number in from..to {
            writeln!(lines, "{now} fail user {user} from {}", address(number)).unwrap();
        }
        world.append("log", lines.as_bytes());
    };
    for half in 0..2 {
        write(half * 30_000, half * 30_000 + 30_000, "x");
        fs::rename(world.dir.join("log"), world.dir.join(format!("log.{half}"))).unwrap();
    }
    // Long names come last, so that they find much to stand beside.
    let long = "A".repeat(30_000);
    write(100_000, 102_000, &long);
    for _ in 0..2 {
        write(0, 5_000, "x");
    }
    let counted = || {
        let status = world.ask(&["status", "mine"]);
        ["Total failed:\t72000", "Currently banned:\t5000"]
            .iter()
            .all(|needle| status.contains(needle))
    };
    wait_until(Duration::from_secs(40), "all are counted", counted);
    wait_until(SOON, "all are in the kernel", || {
        world.ruleset().matches(" expires ").count() == 5000
    });
    assert!(resident(&daemon) < 200, "{} MiB", resident(&daemon));
    world.stop(&mut daemon, SOON);
}

#[test]
fn no_client_keeps_others_out_or_the_server_busy() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("hostile-clients", MINE);
    let mut daemon = world.start();
    let ping = pickle::encode(&Value::List(vec![Value::from("ping")]));
    let mut laughs = b"\x80\x04]q\x00X\x01\x00\x00\x00aa".to_vec();
    for number in 1..40_u8 {
        laughs.extend_from_slice(&[b'0', b']', b'q', number, b'(']);
        laughs.extend([b'h', number - 1].repeat(10));
        laughs.push(b'e');
    }
    laughs.push(b'.');
    let deep = [
        b"\x80\x04".to_vec(),
        b"]".repeat(100_000),
        b"a".repeat(99_999),
        b".".to_vec(),
    ]
    .concat();
    for (name, message, expected) in [
        ("noise", (0..=255).collect(), "ERROR"),
        (
            "a command of the system",
            b"cos\nsystem\n(S'true'\ntR.".to_vec(),
            "os.system",
        ),
        ("a value of values of values", laughs, "ERROR"),
        ("a deep value", deep, "ERROR"),
        ("no list", pickle::encode(&Value::from("ping")), "Invalid command"),
        (
            "nothing",
            pickle::encode(&Value::List(Vec::new())),
            "list index out of range",
        ),
    ] {
        let answer = world.send(&message);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(expected), "{name}: {answer}");
    }
    assert_eq!(
        world.send(&vec![b'x'; 40 << 20]),
        b"",
        "too long a message is not listened to"
    );
    for words in [
        ["set", "mine", "bantime", "9223372036854775807"],
        ["set", "mine", "bantime", "__import__('os').abort()"],
        ["set", "mine", "findtime", "9223372036854775807"],
        ["set", "mine", "addignoreip", "file:///dev/zero"],
        ["set", "mine", "addlogpath", "/dev/zero"],
        [
            "set",
            "mine",
            "addlogpath",
            "/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/x.log",
        ],
        ["set", "mine", "addaction", "../../x"],
        ["set", "mine", "banip", "a\nb"],
        ["add", "../../x", "auto", ""],
        ["add", "\u{1b}[2J", "auto", ""],
    ] {
        // Some are taken and some are not; what counts is that it does no harm.
        let words = words.iter().filter(|word| !word.is_empty());
        world.send(&pickle::encode(&Value::List(
            words.map(|word| Value::from(*word)).collect(),
        )));
    }
    // Silent ones, ones that stop in the middle, and ones that never read what they asked for.
    let mut others: Vec<UnixStream> = (0..200).map(|_| world.connect()).collect();
    let status = pickle::encode(&Value::List(vec![Value::from("status"), Value::from("mine")]));
    for (number, other) in others.iter_mut().enumerate() {
        match number % 3 {
            0 => {}
            1 => other.write_all(&ping[..5]).unwrap(),
            _ => {
                for _ in 0..20 {
                    other.write_all(&status).and_then(|()| other.write_all(END)).unwrap();
                }
            }
        }
    }
    let begun = Instant::now();
    assert_eq!(world.ask(&["ping"]), "Server replied: pong");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    world.fail("203.0.113.1");
    world.wait_for_ban("203.0.113.1");
    world.stop(&mut daemon, SOON);
}

#[test]
fn a_thousand_clients_at_once_and_messages_without_end_keep_nobody_out() {
    const CLIENTS: usize = 1000;
    if !requires(NEEDS) {
        return;
    }
    let files = getrlimit(Resource::Nofile);
    if files.maximum.is_some_and(|maximum| maximum < 1200) {
        testkit::skip("a limit of 1,200 open files (`ulimit -Hn`)");
        return;
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: files.maximum,
            ..files
        },
    )
    .unwrap();
    let world = World::new("hostile-thousand", MINE);
    let mut daemon = world.start();
    // A text of 100 MB is announced, and half of it sent.
    let mut half = b"\x80\x04]X".to_vec();
    half.extend_from_slice(&100_000_000_u32.to_le_bytes());
    half.resize(50_000_000, b'x');
    for _ in 0..2 {
        let mut stream = world.connect();
        let taken = stream.write_all(&half);
        let mut answer = Vec::new();
        let ended = taken.and_then(|()| stream.read_to_end(&mut answer).map(drop));
        let kind = ended.err().map(|error| error.kind());
        assert_ne!(kind, Some(std::io::ErrorKind::WouldBlock), "the server hangs up");
        assert_eq!(answer, b"");
    }
    assert!(resident(&daemon) < 200, "{} MiB", resident(&daemon));
    let complaints = |log: String| {
        log.lines()
            .filter(|line| line.contains("is longer than 32 MiB"))
            .count()
    };
    assert_eq!(complaints(world.log()), 1, "{}", world.log());

    // Every tenth says nothing; all others are answered, and a ban is made meanwhile.
    let ping = [pickle::encode(&Value::List(vec![Value::from("ping")])), END.to_vec()].concat();
    let begin = Barrier::new(CLIENTS + 1);
    let answered = std::thread::scope(|scope| {
        let client = |number: usize| {
            let (begin, world, ping) = (&begin, &world, &ping);
            let work = move || {
                begin.wait();
                let mut stream = world.connect();
                let mut answer = Vec::new();
                if number.is_multiple_of(10) {
                    // Longer than the server waits for it while others want its place.
                    stream.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
                } else {
                    stream.write_all(ping).unwrap();
                }
                while !answer.ends_with(END) {
                    let mut block = [0; 256];
                    match stream.read(&mut block) {
                        Ok(count @ 1..) => answer.extend_from_slice(block.get(..count).unwrap()),
                        _ => break,
                    }
                }
                usize::from(answer.ends_with(END))
            };
            let small = std::thread::Builder::new().stack_size(128 * 1024);
            small.spawn_scoped(scope, work).unwrap()
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        begin.wait();
        world.fail("203.0.113.1");
        world.wait_for_ban("203.0.113.1");
        clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
    });
    assert_eq!(answered, CLIENTS / 10 * 9);
    assert_eq!(world.ask(&["ping"]), "Server replied: pong");
    world.stop(&mut daemon, SOON);
}

#[test]
fn a_hanging_action_delays_neither_bans_nor_other_jails_and_the_end_is_bounded() {
    if !requires(NEEDS) {
        return;
    }
    let mine = MINE.replace("action = ", "action = hanging\n         ");
    let other = MINE
        .replace("[mine]", "[other]")
        .replace("DIR/log", "DIR/other")
        .replace("name=mine", "name=other");
    let world = World::new("hostile-hanging", &format!("{mine}{other}"));
    world.action(
        "hanging",
        "actionban = echo $$ >> DIR/pids; trap '' TERM; while :; do sleep 1; done\nactionunban = sleep 1000\n\
         actionstop = touch DIR/stopped\n",
    );
    let mut daemon = world.start();
    for number in 0..20 {
        world.fail(&format!("203.0.113.{number}"));
    }
    world.wait_for_ban("203.0.113.19");
    wait_until(SOON, "the action hangs", || world.dir.join("pids").exists());
    let mut client = world
        .command("fail2ban-client")
        .args(["stop", "mine"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(SOON, "the jail leaves", || !world.ruleset().contains("set-mine"));
    world.append(
        "other",
        format!("{} fail user x from 198.51.100.1\n", now())
            .repeat(3)
            .as_bytes(),
    );
    let begun = Instant::now();
    world.wait_for_ban("198.51.100.1");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(
        client.try_wait().unwrap().is_none(),
        "`stop` answers when the jail has ended"
    );
    let begun = Instant::now();
    world.stop(&mut daemon, Duration::from_secs(40));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    client.wait().unwrap();
    assert!(
        world.dir.join("stopped").exists(),
        "what comes after the hanging command is done: {}",
        world.log()
    );
    for pid in fs::read_to_string(world.dir.join("pids")).unwrap().lines() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(
            stat.is_empty() || stat.contains(") Z "),
            "the command is left behind: {stat}"
        );
    }
}

#[test]
fn actions_that_fail_babble_or_leave_processes_behind_delay_nothing() {
    if !requires(NEEDS) {
        return;
    }
    let actions = "action = failing\n         babbling\n         leaving\n         ";
    let world = World::new("hostile-actions", &MINE.replace("action = ", actions));
    world.action("failing", "actionstart = exit 3\nactionban = touch DIR/never\n");
    world.action(
        "babbling",
        "actionban = head -c 100000000 /dev/zero; echo <ip> >> DIR/babbled; exit 1\n",
    );
    world.action("leaving", "actionban = (setsid sleep 15 &); echo <ip> >> DIR/left\n");
    let mut daemon = world.start();
    for number in 1..=3 {
        world.fail(&format!("203.0.113.{number}"));
    }
    world.wait_for_ban("203.0.113.3");
    for name in ["babbled", "left"] {
        wait_until(SOON, name, || {
            fs::read_to_string(world.dir.join(name)).is_ok_and(|text| text.contains("203.0.113.3"))
        });
    }
    assert!(!world.dir.join("never").exists(), "without its start nothing works");
    assert!(resident(&daemon) < 100, "{} MiB", resident(&daemon));
    assert!(
        world.log().len() < 1_000_000,
        "the log has the beginning of what was said"
    );
    world.stop(&mut daemon, Duration::from_secs(10));
}

#[test]
fn an_action_that_comes_again_waits_for_its_former_self_to_end() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new(
        "hostile-restart",
        &MINE.replace("action = ", "action = slow\n         "),
    );
    world.action(
        "slow",
        "actionstart = echo start >> DIR/order\nactionstart_on_demand = false\nactionban = true\n\
         actionstop = sleep 2; echo stop >> DIR/order\n",
    );
    let mut daemon = world.start();
    let order = || fs::read_to_string(world.dir.join("order")).unwrap_or_default();
    wait_until(SOON, "the start", || order() == "start\n");
    world.ask(&["reload", "--restart"]);
    world.fail("203.0.113.1");
    world.wait_for_ban("203.0.113.1");
    wait_until(SOON, "the second start", || order().matches("start").count() == 2);
    assert_eq!(order(), "start\nstop\nstart\n");
    world.stop(&mut daemon, SOON);
}

#[test]
fn a_configuration_that_cannot_be_read_changes_nothing() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("hostile-config", MINE);
    let mut daemon = world.start();
    world.fail("203.0.113.1");
    world.wait_for_ban("203.0.113.1");
    let (local, away) = (world.dir.join("etc/jail.local"), world.dir.join("away"));
    let reload_by_signal = |needle: &str| {
        let before = world.log().matches(needle).count();
        daemon.signal(rustix::process::Signal::HUP);
        wait_until(SOON, needle, || world.log().matches(needle).count() > before);
    };
    let unchanged = |what: &str| {
        assert_eq!(
            world.ask(&["status"]),
            "Status\n|- Number of jail:\t1\n`- Jail list:\tmine",
            "{what}"
        );
        assert!(world.in_kernel("203.0.113.1"), "{what}");
    };

    fs::rename(&local, &away).unwrap();
    fs::create_dir(&local).unwrap();
    assert_eq!(world.client(&["reload"]).status.code(), Some(255));
    unchanged("jail.local is a directory");
    reload_by_signal("nothing is changed");
    unchanged("jail.local is a directory, and a signal");
    fs::remove_dir(&local).unwrap();
    fs::rename(&away, &local).unwrap();

    fs::rename(world.dir.join("etc"), &away).unwrap();
    reload_by_signal("nothing is changed");
    fs::rename(&away, world.dir.join("etc")).unwrap();
    unchanged("the folder was gone");

    // A pipe is not waited for.
    let filter = world.dir.join("etc/filter.d/mine.conf");
    fs::remove_file(&filter).unwrap();
    assert!(Command::new("mkfifo").arg(&filter).status().unwrap().success());
    assert_eq!(world.client(&["reload"]).status.code(), Some(255));
    reload_by_signal("Reload finished");
    unchanged("the filter is a pipe");

    // Bans of a jail that goes in the midst of a flood go with it.
    world.dir.write("etc/filter.d/mine.conf.new", RULES);
    fs::rename(world.dir.join("etc/filter.d/mine.conf.new"), &filter).unwrap();
    world.jails("");
    std::thread::scope(|scope| {
        scope.spawn(|| (0..250).for_each(|number| world.fail(&format!("10.1.1.{number}"))));
        assert!(world.client(&["reload"]).status.success());
    });
    wait_until(SOON, "the firewall is as it was", || world.ruleset().is_empty());
    world.stop(&mut daemon, SOON);
}

#[test]
fn what_another_program_removes_from_the_firewall_is_made_again_without_a_new_ban() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("hostile-flush", MINE);
    let mut daemon = world.start();
    world.fail("203.0.113.1");
    world.fail("2001:db8::1");
    world.wait_for_ban("203.0.113.1");
    world.wait_for_ban("2001:db8::1");
    let before = world.elements();
    let flush = |words: &[&str]| {
        let done = world.net.command("nft").args(words).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    flush(&["flush", "ruleset"]);
    wait_until(SOON, "all bans", || world.elements() == before);
    flush(&["flush", "table", "inet", "f2b-table"]);
    wait_until(SOON, "the rules", || world.ruleset().matches("@addr").count() == 2);
    assert_eq!(world.elements(), before);
    assert!(
        world.log().matches("made again with all bans").count() >= 2,
        "{}",
        world.log()
    );
    world.stop(&mut daemon, SOON);
}

#[test]
fn a_log_that_is_full_or_that_nobody_reads_delays_no_ban() {
    if !requires(NEEDS) {
        return;
    }
    let world = World::new("hostile-full", MINE);
    let mut daemon = world.start_with("/dev/full");
    world.fail("203.0.113.1");
    world.wait_for_ban("203.0.113.1");
    world.stop(&mut daemon, SOON);

    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = world.command("fail2ban-server");
    command.args(["--logtarget", "STDOUT", "-f", "start"]);
    let mut deaf = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
    drop(command);
    wait_until(SOON, "the server answers", || world.client(&["ping"]).status.success());
    world.append(
        "log",
        format!("{} fail user x from 203.0.113.2\n", now())
            .repeat(5000)
            .as_bytes(),
    );
    world.wait_for_ban("203.0.113.2");
    world.fail("203.0.113.3");
    world.wait_for_ban("203.0.113.3");
    assert_eq!(world.ask(&["stop"]), "Shutdown successful");
    wait_until(SOON, "the end", || deaf.try_wait().unwrap().is_some());
    assert_eq!(world.ruleset(), "");
    drop(reader);
}

#[test]
fn an_administrator_known_by_name_is_not_banned_for_what_the_log_held_already() {
    if !requires(NEEDS) {
        return;
    }
    if !fs::read_to_string("/etc/hosts").is_ok_and(|hosts| hosts.contains("localhost")) {
        testkit::skip("needs `localhost` in /etc/hosts");
        return;
    }
    let jail = format!("{MINE}ignoreip = localhost\nignoreself = false\n");
    let world = World::new("hostile-name", &jail);
    world.fail("127.0.0.1");
    world.fail("203.0.113.1");
    let mut daemon = world.start();
    world.wait_for_ban("203.0.113.1");
    world.wait_for_log("[mine] Ignore 127.0.0.1 by dns");
    assert!(!world.in_kernel("127.0.0.1"));
    // A name that cannot be looked up holds nothing up.
    world.jails(&jail.replace("localhost", "localhost no.such.name.invalid"));
    world.ask(&["reload", "--restart"]);
    world.fail("203.0.113.2");
    world.wait_for_ban("203.0.113.2");
    world.stop(&mut daemon, SOON);
}

//! The client beside Fail2Ban's: each talks to the other's server, and what they print is compared.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const STOCKADE: &str = env!("CARGO_BIN_EXE_stockade");

/// A folder with a configuration of two jails whose action does nothing, and logs that nobody writes.
struct World {
    folder: testkit::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = testkit::TempDir::new("client");
        let path = |name: &str| folder.join(name).display().to_string();
        folder.write(
            "fail2ban.conf",
            format!(
                "[Definition]\nloglevel = INFO\nlogtarget = {}\nsyslogsocket = auto\nsocket = {}\npidfile = {}\n\
                 dbfile = None\ndbmaxmatches = 10\ndbpurgeage = 1d\nallowipv6 = auto\n",
                path("fail2ban.log"),
                path("fail2ban.sock"),
                path("fail2ban.pid")
            ),
        );
        folder.write(
            "jail.conf",
            format!(
                "[DEFAULT]\nenabled = true\nbackend = polling\nmaxretry = 3\nfindtime = 600\nbantime = 600\n\
                 ignoreself = false\naction = nothing\n[jp]\nfilter = failing\nlogpath = {}\n[ji]\nfilter = failing\n\
                 logpath = {}\n          {}\n",
                path("a.log"),
                path("b.log"),
                path("c.log")
            ),
        );
        folder.write(
            "filter.d/failing.conf",
            "[Definition]\nfailregex = ^ fail from <ADDR>$\n            ^ bad <F-ID>\\S+</F-ID>$\n",
        );
        folder.write(
            "action.d/nothing.conf",
            "[Definition]\nactionban = true\nactionunban = true\n",
        );
        for log in ["a.log", "b.log", "c.log"] {
            folder.write(log, "");
        }
        Self { folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("fail2ban.sock")
    }

    fn run(&self, program: &Program, words: &[&str]) -> Output {
        let mut command = match program {
            Program::Ours => {
                let mut command = Command::new(STOCKADE);
                command.arg("client");
                command
            }
            Program::Theirs => Command::new("fail2ban-client"),
        };
        command.arg("-c").arg(self.folder.path()).args(words).output().unwrap()
    }

    /// Standard output, what follows the process id on standard error, and the exit code.
    fn said(&self, program: &Program, words: &[&str]) -> (String, String, Option<i32>) {
        let output = self.run(program, words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let errors = text(&output.stderr);
        let errors: Vec<&str> = errors
            .lines()
            .map(|line| line.split_once("]: ").map_or(line, |(_, said)| said))
            .collect();
        (text(&output.stdout), errors.join("\n"), output.status.code())
    }
}

/// Commands with standard output, standard error and exit code.
type Transcript = Vec<(String, (String, String, Option<i32>))>;

enum Program {
    Ours,
    Theirs,
}

/// A server under test is stopped even if the test fails.
struct Stop<'a>(&'a World);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        if self.0.socket().exists() {
            self.0.run(&Program::Ours, &["stop"]);
        }
    }
}

/// Commands whose answers do not depend on which server answers, nor on the time of day. `{}` is the folder.
const COMMANDS: &[&str] = &[
    "ping",
    "ping 5",
    "status",
    "status jp",
    "status ji",
    "status jp short",
    "status nope",
    "echo a b",
    "flushlogs",
    "get loglevel",
    "set loglevel info",
    "set loglevel bogus",
    "get logtarget",
    "get syslogsocket",
    "get dbfile",
    "get jp logpath",
    "get ji logpath",
    "set jp dellogpath {}/a.log",
    "get jp logpath",
    "set jp addlogpath {}/a.log",
    "set jp addlogpath {}/a.log middle",
    "get jp logencoding",
    "get jp journalmatch",
    "get jp datepattern",
    "get jp ignoreip",
    "set jp addignoreip 10.0.0.0/8",
    "set jp addignoreip 10.1.2.3/255.255.0.0",
    "set jp delignoreip 10.1.0.0/16",
    "set jp delignoreip nope.example",
    "get jp ignoreregex",
    "set jp addignoreregex abc",
    "set jp delignoreregex 0",
    "set jp delignoreregex x",
    "get jp actions",
    "set jp banip 192.0.2.1 192.0.2.2",
    "set jp banip 192.0.2.2",
    "status jp",
    "get jp banned",
    "banned",
    "banned 192.0.2.1",
    "banned 192.0.2.1 203.0.113.9",
    "get jp banned 192.0.2.1",
    "get jp banned 192.0.2.1 203.0.113.9",
    "set jp unbanip 192.0.2.1",
    "set jp unbanip 192.0.2.1",
    "set jp unbanip --report-absent 192.0.2.1",
    "set jp banip 10.9.9.9/24",
    "get jp banip",
    "get jp banip ,",
    "unban 192.0.2.2",
    "unban --all",
    "unban",
    "get jp maxretry",
    "set jp maxretry 4",
    "set jp maxretry x",
    "set jp maxretry",
    "get jp findtime",
    "get jp bantime",
    "set jp bantime 1h",
    "set jp bantime -1",
    "get jp ignoreself",
    "set jp ignoreself true",
    "get jp ignorecommand",
    "get jp prefregex",
    "get jp usedns",
    "set jp usedns no",
    "set jp usedns maybe",
    "get jp maxlines",
    "get jp maxmatches",
    "set jp maxlines 0",
    "get jp action nothing actionban",
    "get jp action nosuch x",
    "get jp action nothing",
    "set jp idle on",
    "set jp idle off",
    "set jp idle maybe",
    "set jp xyz 1",
    "get jp xyz",
    "get nope",
    "get",
    "set",
    "set jp",
    "help2",
    "start nope",
    "stop nope",
    "server-status",
    "add --all",
    "config-error text",
    "multi-set",
    "reload jp",
    "reload",
    "reload --restart jp",
    "reload --unban --all",
    "reload nojail",
    "reload --bogus",
    "reload a b",
    "restart jp",
    "set jp attempt 192.0.2.7",
    "stop jp",
    "status",
    "start jp",
    "--str2sec 1d12h",
    "-t",
    "--timeout 3 ping",
];

fn compare(world: &World, one: &Program, other: &Program, commands: &[&str]) {
    for command in commands {
        let command = command.replace("{}", &world.folder.path().display().to_string());
        let words: Vec<&str> = command.split(' ').collect();
        // The same state for both: what changes it is said twice, and the second time it is what it was.
        let ours = world.said(one, &words);
        let theirs = world.said(other, &words);
        assert_eq!(ours, theirs, "{command}");
    }
}

/// What both clients print about a server that has been asked nothing yet, one after the other on servers of their own.
fn transcript(client: &Program, server: &Program) -> Transcript {
    let world = World::new();
    let _stop = Stop(&world);
    let (said, errors, code) = world.said(server, &["start"]);
    assert_eq!((said.as_str(), code), ("Server ready\n", Some(0)), "{errors}");
    let folder = world.folder.path().display().to_string();
    let hide = |text: String| text.replace(&folder, "{}");
    let mut transcript = Vec::new();
    for command in COMMANDS {
        let typed = command.replace("{}", &folder);
        let (said, errors, code) = world.said(client, &typed.split(' ').collect::<Vec<_>>());
        transcript.push(((*command).to_owned(), (hide(said), hide(errors), code)));
    }
    transcript
}

/// What Fail2Ban's client prints of Fail2Ban's server, which two tests compare with.
fn original() -> &'static Transcript {
    static ORIGINAL: std::sync::OnceLock<Transcript> = std::sync::OnceLock::new();
    ORIGINAL.get_or_init(|| transcript(&Program::Theirs, &Program::Theirs))
}

fn assert_same(ours: Transcript, theirs: &Transcript) {
    assert_eq!(ours.len(), theirs.len());
    let differing: Vec<String> = ours
        .into_iter()
        .zip(theirs)
        .filter(|(ours, theirs)| ours != *theirs)
        .map(|((command, ours), (_, theirs))| format!("{command}\n  ours:   {ours:?}\n  theirs: {theirs:?}"))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn our_client_prints_what_fail2bans_prints_of_its_server() {
    if !testkit::requires(&["fail2ban-client"]) {
        return;
    }
    assert_same(transcript(&Program::Ours, &Program::Theirs), original());
}

#[test]
fn fail2bans_client_prints_of_our_server_what_it_prints_of_its_own() {
    if !testkit::requires(&["fail2ban-client"]) {
        return;
    }
    assert_same(transcript(&Program::Theirs, &Program::Ours), original());
}

#[test]
fn a_server_that_does_not_run_is_told_as_by_fail2ban() {
    if !testkit::requires(&["fail2ban-client"]) {
        return;
    }
    let world = World::new();
    let commands = [
        "ping",
        "status",
        "stop",
        "reload",
        "-s /nonexistent/socket status",
        "-t",
        "-d",
        "--dp",
    ];
    compare(&world, &Program::Ours, &Program::Theirs, &commands);
    // Somebody died here and left a socket.
    drop(std::os::unix::net::UnixListener::bind(world.socket()).unwrap());
    compare(&world, &Program::Ours, &Program::Theirs, &["ping", "stop", "start"]);
    assert!(world.socket().exists());
    let _stop = Stop(&world);
    let (said, errors, code) = world.said(&Program::Ours, &["-x", "start"]);
    assert_eq!((said.as_str(), code), ("Server ready\n", Some(0)), "{errors}");
    compare(&world, &Program::Ours, &Program::Theirs, &["start", "ping"]);
}

#[test]
fn start_restart_and_stop_come_back_when_it_is_done() {
    let world = World::new();
    let _stop = Stop(&world);
    let id = || std::fs::read_to_string(world.folder.join("fail2ban.pid")).unwrap();
    let said = |words: &[&str]| world.said(&Program::Ours, words);
    assert_eq!(said(&["start"]), ("Server ready\n".into(), String::new(), Some(0)));
    let first = id();
    assert_eq!(
        said(&["ping"]),
        ("Server replied: pong\n".into(), String::new(), Some(0))
    );
    assert_eq!(
        said(&["restart"]),
        ("Shutdown successful\nServer ready\n".into(), String::new(), Some(0))
    );
    assert_ne!(id(), first);
    assert_eq!(
        said(&["stop"]),
        ("Shutdown successful\n".into(), String::new(), Some(0))
    );
    testkit::wait_until(Duration::from_secs(10), "the socket is gone", || {
        !world.socket().exists()
    });
    testkit::wait_until(Duration::from_secs(10), "the pid file is gone", || {
        !world.folder.join("fail2ban.pid").exists()
    });
}

#[test]
fn why_a_server_could_not_start_is_told_by_the_client() {
    let world = World::new();
    let (_, errors, code) = world.said(&Program::Ours, &["--logtarget", "/nonexistent/folder/log", "start"]);
    assert_eq!(code, Some(255));
    assert!(errors.contains("/nonexistent/folder"), "{errors}");
    assert!(!world.socket().exists());
}

#[test]
fn the_programs_answer_to_their_names() {
    let world = World::new();
    for (name, option, said) in [
        ("fail2ban-client", "-V", "1.1.2.1\n"),
        ("fail2ban-server", "-V", "1.1.2.1\n"),
        ("fail2ban-client", "--version", "Fail2Ban v1.1.2.dev1"),
        ("fail2ban-server", "-h", "Usage: fail2ban-server [OPTIONS]\n"),
        (
            "fail2ban-client",
            "--help",
            "Usage: fail2ban-client [OPTIONS] <COMMAND>\n",
        ),
    ] {
        let path = link(&world, name);
        let output = Command::new(path).arg(option).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with(said), "{name} {option}: {text}");
        assert_eq!(output.status.code(), Some(0), "{name} {option}");
    }
}

/// Command lines that ask nothing of a server; `{}` is the folder, which is also the configuration unless `-c` says otherwise.
const OPTIONS: &[&str] = &[
    "-d",
    "--dp",
    "--dump-pretty",
    "-d --dp",
    "--dp -d",
    "-dq",
    "-dd",
    "-dt",
    "-t",
    "-tq",
    "-t -d",
    "-d ping",
    "-d --str2sec 5",
    "--str2sec 1d12h",
    "--str2sec 1h30",
    "--str2sec -1",
    "--str2sec=1h",
    "--str2sec",
    "-c /nonexistent -d",
    "-c /nonexistent -t",
    "-c /nonexistent status",
    "-c /nonexistent",
    "--conf /nonexistent -d",
    "-qc /nonexistent",
    "-c",
    "--loglevel bogus -d",
    "--loglevel debug -d",
    "--loglevel 7 -d",
    "--loglevel",
    "--logtarget STDERR -d",
    "--logtarget=/x -d",
    "--syslogsocket /x -d",
    "-s /x -d",
    "-p /x -d",
    "--pname x -d",
    "--timeout 1 -d",
    "-x -d",
    "-b -d",
    "-f -d",
    "--async -d",
    "-h",
    "-d -h",
    "--help",
    "--bogus",
    "-z",
    "--test=1",
    "--t",
    "--log x",
    "--d",
    "-i -d",
    "-c {}/bad -d",
    "-c {}/bad --dp",
    "-c {}/bad -t",
    "-c {}/half -d",
    "-c {}/half -t",
    "-c {}/long --dp",
    "-c {}/long -d",
];

/// Standard output and exit code; of a help only that it is one.
fn printed(program: &Path, world: &World, typed: &str) -> (String, Option<i32>) {
    let folder = world.folder.path().display().to_string();
    let typed = typed.replace("{}", &folder);
    let mut command = Command::new(program);
    // A later `-c` counts.
    command.arg("-c").arg(&folder).args(typed.split(' '));
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let said = if said.starts_with("Usage: ") {
        "HELP".to_owned()
    } else {
        said
    };
    (said, output.status.code())
}

#[test]
fn options_of_client_and_server_print_what_fail2bans_print() {
    if !testkit::requires(&["fail2ban-client", "fail2ban-server"]) {
        return;
    }
    let world = World::new();
    let server = std::fs::read_to_string(world.folder.join("fail2ban.conf")).unwrap();
    let words = "word it's \"q\" ".repeat(150);
    for (folder, jails) in [
        ("bad", "[a]\nenabled = 1\nfilter = nope\n[b]\nenabled = 0\n".to_owned()),
        ("half", "[a]\nenabled = 1\nfilter = nope\n[b]\nenabled = 1\n".to_owned()),
        (
            "long",
            format!(
                "[a]\nenabled = 1\nfailregex = {words}\n  b\n  {}\nignoreregex = {}\n",
                "x".repeat(1500),
                "y".repeat(990)
            ),
        ),
    ] {
        std::fs::create_dir(world.folder.join(folder)).unwrap();
        world.folder.write(format!("{folder}/fail2ban.conf"), &server);
        world.folder.write(format!("{folder}/jail.conf"), jails);
    }
    let mut differing = Vec::new();
    for name in ["fail2ban-client", "fail2ban-server"] {
        let own = link(&world, name);
        for typed in OPTIONS {
            let ours = printed(&own, &world, typed);
            let theirs = printed(Path::new(name), &world, typed);
            if ours != theirs {
                differing.push(format!("{name} {typed}\n  ours:   {ours:?}\n  theirs: {theirs:?}"));
            }
        }
    }
    eprintln!("{} command lines of client and server compared", 2 * OPTIONS.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

fn link(world: &World, name: &str) -> PathBuf {
    let path = world.folder.join(name);
    if !Path::exists(&path) {
        std::os::unix::fs::symlink(STOCKADE, &path).unwrap();
    }
    path
}

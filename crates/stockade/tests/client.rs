//! The client beside Fail2Ban's: each talks to the other's server, and what they print is compared.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::io::{BufRead as _, BufReader, Write as _};
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

/// Commands, the deviations they show, and standard output, standard error and exit code.
type Transcript = Vec<(Option<&'static str>, String, (String, String, Option<i32>))>;

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
const COMMANDS: &str = include_str!("../../../testdata/commands/commands");

/// Each with the number of the deviation that it shows, if it does.
fn commands() -> impl Iterator<Item = (Option<&'static str>, &'static str)> {
    let lines = COMMANDS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(
        |line| match line.strip_prefix('~').and_then(|line| line.split_once(' ')) {
            Some((mark, command)) => (Some(mark), command),
            None => (None, line),
        },
    )
}

/// Words as a shell would part them, for commands that need no more than `'…'`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

fn compare(world: &World, one: &Program, other: &Program, commands: &[&str]) {
    for command in commands {
        let command = command.replace("{}", &world.folder.path().display().to_string());
        let words = words(&command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // The same state for both: what changes it is said twice, and the second time it is what it was.
        let ours = world.said(one, &words);
        let theirs = world.said(other, &words);
        assert_eq!(ours, theirs, "{command}");
    }
}

/// What a client prints of a server that has been asked nothing yet.
fn transcript(client: &Program, server: &Program) -> Transcript {
    let world = World::new();
    let _stop = Stop(&world);
    let (said, errors, code) = world.said(server, &["start"]);
    assert_eq!((said.as_str(), code), ("Server ready\n", Some(0)), "{errors}");
    let folder = world.folder.path().display().to_string();
    let mut session = matches!(client, Program::Theirs).then(Session::new);
    let mut transcript = Vec::new();
    for (mark, command) in commands() {
        let typed = words(&command.replace("{}", &folder));
        let (said, errors, code) = match &mut session {
            Some(session) => session.said(&folder, &typed),
            None => world.said(client, &typed.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        let hide = |text: String| hide(&text, &folder);
        transcript.push((mark, command.to_owned(), (hide(said), hide(errors), code)));
    }
    transcript
}

/// Fail2Ban's client, for many commands.
struct Session {
    child: std::process::Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Session {
    fn new() -> Self {
        let (child, answers) = python("client.py", None);
        Self { child, answers }
    }

    fn said(&mut self, folder: &str, typed: &[String]) -> (String, String, Option<i32>) {
        let mut words = vec!["-c".to_owned(), folder.to_owned()];
        words.extend_from_slice(typed);
        let question = serde_json::to_string(&words).unwrap();
        writeln!(self.child.stdin.as_mut().unwrap(), "{question}").unwrap();
        let answer = self.answers.next().unwrap().unwrap();
        let (said, errors, code): (String, String, i32) = serde_json::from_str(&answer).unwrap();
        let errors: Vec<&str> = errors
            .lines()
            .map(|line| line.split_once("]: ").map_or(line, |(_, said)| said))
            .collect();
        (said, errors.join("\n"), Some(code))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn python(
    script: &str,
    argument: Option<&Path>,
) -> (
    std::process::Child,
    std::io::Lines<BufReader<std::process::ChildStdout>>,
) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/commands");
    let mut child = Command::new("/usr/bin/python3")
        .arg(Path::new(folder).join(script))
        .args(argument)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let answers = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, answers)
}

/// What differs between two runs, or between 1.0.2 and the development version (D-056), made the same.
fn hide(text: &str, folder: &str) -> String {
    let text = text.replace(folder, "{}").replace("|::){1,7}", "|:){1,7}");
    let mut out = String::new();
    let mut rest = text.as_str();
    // `2026-11-22 22:33:53`
    while let Some(place) = rest.find("20") {
        let (before, after) = rest.split_at(place);
        out.push_str(before);
        let date = after.get(..19).filter(|date| {
            let shape = date.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
            shape.eq(*b"0000-00-00 00:00:00")
        });
        let length = date.map_or(2, str::len);
        out.push_str(date.map_or("20", |_| "DATE"));
        rest = &after[length..];
    }
    out + rest
}

/// What Fail2Ban's client prints of Fail2Ban's server, which two tests compare with.
fn original() -> &'static Transcript {
    static ORIGINAL: std::sync::OnceLock<Transcript> = std::sync::OnceLock::new();
    ORIGINAL.get_or_init(|| transcript(&Program::Theirs, &Program::Theirs))
}

/// Compares; what is marked has to differ if `deviating`.
fn assert_same(what: &str, ours: Transcript, theirs: &Transcript, deviating: bool) {
    assert_eq!(ours.len(), theirs.len());
    let (mut equal, mut marked) = (0, 0);
    let mut wrong = Vec::new();
    for ((mark, command, ours), (.., theirs)) in ours.into_iter().zip(theirs) {
        match (ours == *theirs, mark) {
            (true, None) => equal += 1,
            (false, Some(_)) if deviating => marked += 1,
            (true, Some(_)) if !deviating => equal += 1,
            _ => wrong.push(format!("{command}\n  ours:   {ours:?}\n  theirs: {theirs:?}")),
        }
    }
    println!(
        "{what}: {equal} commands equal of {}, {marked} deviate as listed",
        theirs.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn our_client_prints_what_fail2bans_prints_of_its_server() {
    if !testkit::requires(&["fail2ban-client"]) {
        return;
    }
    let ours = transcript(&Program::Ours, &Program::Theirs);
    assert_same("our client, Fail2Ban's server", ours, original(), false);
}

#[test]
fn fail2bans_client_prints_of_our_server_what_it_prints_of_its_own() {
    if !testkit::requires(&["fail2ban-client"]) {
        return;
    }
    let ours = transcript(&Program::Theirs, &Program::Ours);
    assert_same("Fail2Ban's client, our server", ours, original(), true);
}

#[test]
fn our_client_prints_of_our_server_what_fail2bans_prints_of_its_own() {
    if !testkit::requires(&["fail2ban-client"]) {
        return;
    }
    let ours = transcript(&Program::Ours, &Program::Ours);
    assert_same("our client, our server", ours, original(), true);
}

/// Commands that no client sends: values of other types, of too many or too few.
const RAW: &[&str] = &[
    "[]",
    r#""ping""#,
    r#"["ping", 1]"#,
    r#"["echo", 1, null, true, 1.5, [2], {"a": 3}]"#,
    r#"["set", "jp", "maxretry", 7]"#,
    r#"["set", "jp", "maxretry", true]"#,
    r#"["set", "jp", "maxretry", 2.9]"#,
    r#"["set", "jp", "findtime", 60]"#,
    r#"["set", "jp", "bantime", -1]"#,
    r#"["set", "jp", "ignoreself", true]"#,
    r#"["set", "jp", "ignoreself", 0]"#,
    r#"["multi-set", "jp", "addfailregex", ["a <HOST>$", "b <HOST>$"]]"#,
    r#"["multi-set", "jp", "addignoreregex", ["c"]]"#,
    r#"["multi-set", "jp", "action", "nothing", [["x", "y"], ["timeout", 9]]]"#,
    r#"["get", "jp", "action", "nothing", "timeout"]"#,
    r#"["get", "jp", "action", "nothing", "x"]"#,
    r#"["server-stream", [["set", "jp", "maxretry", 5]]]"#,
    r#"["get", "jp", "maxretry"]"#,
    r#"["sleep", 0.01]"#,
    r#"[["ping"]]"#,
    r"[1]",
    r"[null]",
];

#[test]
fn answers_are_pickled_as_fail2bans_are() {
    if !testkit::requires(&["fail2ban-client", "python3"]) {
        return;
    }
    let run = |server: &Program| {
        let world = World::new();
        let _stop = Stop(&world);
        assert_eq!(world.said(server, &["start"]).2, Some(0));
        let folder = world.folder.path().display().to_string();
        let (mut child, mut answers) = python("wire.py", Some(&world.socket()));
        let mut ask = |question: &str| {
            writeln!(child.stdin.as_mut().unwrap(), "{question}").unwrap();
            let answer: String = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
            // A kind of ValueError (D-161).
            hide(&answer, &folder).replace("json.decoder.JSONDecodeError", "builtins.ValueError")
        };
        let mut transcript: Transcript = Vec::new();
        for (mark, command) in commands() {
            // These are for the client.
            if ["-", "reload", "restart", "ping ", "stop"]
                .iter()
                .any(|start| command.starts_with(start))
            {
                continue;
            }
            let answer = ask(&serde_json::to_string(&words(&command.replace("{}", &folder))).unwrap());
            transcript.push((mark, command.to_owned(), (answer, String::new(), None)));
        }
        transcript.extend(
            RAW.iter()
                .map(|raw| (None, (*raw).to_owned(), (ask(raw), String::new(), None))),
        );
        drop(child.stdin.take());
        child.wait().unwrap();
        transcript
    };
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&Program::Theirs));
        (run(&Program::Ours), theirs.join().unwrap())
    });
    assert_same("pickled", ours, &theirs, true);
}

/// The table names every command that our help has.
#[test]
fn every_command_of_the_help_is_compared() {
    let usages = stockade_protocol::COMMANDS.iter().map(|command| command.usage);
    let missing: Vec<&str> = usages
        .filter(|usage| {
            let plain = |word: &&str| !word.starts_with(['<', '[']) && !word.contains('|') && *word != "...";
            let fixed: Vec<&str> = usage.split(' ').filter(plain).collect();
            !commands().any(|(_, command)| {
                let words = words(command);
                fixed.iter().all(|word| words.iter().any(|other| other == word))
            })
        })
        .collect();
    // `start`, `restart` and `stop` of the server have tests of their own; `stats` and `status --all` are not in 1.0.2.
    assert_eq!(missing, ["status --all [FLAVOR]", "stats", "help"]);
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

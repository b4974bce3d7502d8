//! One world for each program: the same configuration and logs, a private network, and what the program said and did.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Daemon, Network, TempDir, requires, wait_until};

/// Ample time for what takes a second.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The folder of the world in everything it says and does.
const HERE: &str = "@";

/// The dynamic linker puts the machine's own folder for `$LIB`.
const LIBFAKETIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// Which program is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Theirs,
}

impl Whose {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Ours => Self::Theirs,
            Self::Theirs => Self::Ours,
        }
    }
}

/// A line of `fail2ban.log` without its time and process id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    pub(crate) logger: String,
    pub(crate) level: String,
    pub(crate) text: String,
}

/// What a client printed and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) said: String,
    pub(crate) errors: String,
    pub(crate) code: Option<i32>,
}

/// A program with its own folder and network.
pub(crate) struct World {
    pub(crate) whose: Whose,
    pub(crate) net: Network,
    dir: TempDir,
    daemon: Option<Daemon>,
    /// Whether servers have a clock of the world's own.
    has_clock: bool,
}

/// Whether both programs and a private network can be had here; prints what is missing.
pub(crate) fn possible(more: &[&str]) -> bool {
    let needs = ["root", "unshare", "nsenter", "ip", "fail2ban-server", "fail2ban-client"];
    requires(&[&needs, more].concat())
}

/// Does the same with both programs, side by side; gives what ours came to, and then theirs.
pub(crate) fn both<T: Send>(name: &str, with_stock: bool, play: impl Fn(&mut World) -> T + Sync) -> (T, T) {
    let run = |whose| {
        let mut world = World::new(whose, name, with_stock);
        play(&mut world)
    };
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(Whose::Theirs));
        let ours = run(Whose::Ours);
        match theirs.join() {
            Ok(theirs) => (ours, theirs),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

impl World {
    /// A world with the package's configuration, or with none.
    pub(crate) fn new(whose: Whose, name: &str, with_stock: bool) -> Self {
        let dir = TempDir::new(&format!("oracle-{name}-{whose:?}"));
        if with_stock {
            copy(Path::new("/etc/fail2ban"), &dir.join("etc"));
        } else {
            fs::create_dir_all(dir.join("etc")).unwrap();
        }
        fs::create_dir_all(dir.join("bin")).unwrap();
        for program in ["fail2ban-server", "fail2ban-client"] {
            symlink(env!("CARGO_BIN_EXE_stockade"), dir.join("bin").join(program)).unwrap();
        }
        let world = Self {
            whose,
            net: Network::new(),
            dir,
            daemon: None,
            has_clock: false,
        };
        // `dbfile` and `allowipv6` are said so that both programs know the same.
        world.write(
            "etc/fail2ban.local",
            "[Definition]\ndbfile = None\nallowipv6 = yes\nlogtarget = @/fail2ban.log\nsocket = @/sock\npidfile = @/pid\n",
        );
        world
    }

    /// The path of something in the world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A text in which `@/` stands for the world's folder, with that folder.
    pub(crate) fn placed(&self, text: &str) -> String {
        text.replace("@/", &format!("{}/", self.dir.path().display()))
    }

    /// Writes a file in which `@/` stands for the world's folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        self.dir.write(name, self.placed(text));
    }

    /// Writes bytes as they are.
    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) {
        self.dir.write(name, bytes);
    }

    /// Appends to a file in one write.
    pub(crate) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// A file's content with the world's folder as `@`; empty if it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        self.hide(&String::from_utf8_lossy(&bytes))
    }

    fn hide(&self, text: &str) -> String {
        text.replace(&*self.dir.path().to_string_lossy(), HERE)
    }

    fn program(&self, name: &str) -> Command {
        let program = match self.whose {
            Whose::Ours => self.path("bin").join(name).display().to_string(),
            Whose::Theirs => name.to_owned(),
        };
        let mut command = self.net.command(&program);
        for (option, name) in [("-c", "etc"), ("-s", "sock"), ("-p", "pid")] {
            command.arg(option).arg(self.path(name));
        }
        command
    }

    /// Stops the clock of the servers of this world at a time, such as `2026-11-22 12:00:00`, by libfaketime.
    pub(crate) fn set_clock(&mut self, time: &str) {
        self.has_clock = true;
        // In one step: whoever looks must not find half of it.
        self.write("clock.new", time);
        fs::rename(self.path("clock.new"), self.path("clock")).unwrap();
    }

    /// Starts the server in the foreground and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let mut command = self.program("fail2ban-server");
        if self.has_clock {
            // It knows no sleep until a time, as Python's is; and what the server runs needs no clock.
            let own = "import os, threading, time\ntime.sleep = lambda seconds: threading.Event().wait(seconds)\nos.environ.pop('LD_PRELOAD')\n";
            self.write("python/sitecustomize.py", own);
            let words = own_words(&command);
            // Not for `nsenter`, which would leave behind what it shares with its successor.
            command = self.net.command("env");
            command.arg(format!("LD_PRELOAD={LIBFAKETIME}")).args(words);
            command
                .env("FAKETIME_TIMESTAMP_FILE", self.path("clock"))
                .env("PYTHONPATH", self.path("python"));
            for switch in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
                command.env(switch, "1");
            }
        }
        let daemon = Daemon::start(command.args(["-f", "start"]));
        daemon.wait_for_output(SOON, "Server ready");
        self.daemon = Some(daemon);
    }

    /// As [`World::start`], where the journal's socket is looked for in a folder of the world.
    pub(crate) fn start_with_journal(&mut self, folder: &str) {
        const SCRIPT: &str = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";
        let inner = self.program("fail2ban-server");
        let mut command = self.net.command("unshare");
        command.args(["-m", "sh", "-c", SCRIPT]).arg(self.path(folder));
        command.args(own_words(&inner)).args(["-f", "start"]);
        let daemon = Daemon::start(&mut command);
        daemon.wait_for_output(SOON, "Server ready");
        self.daemon = Some(daemon);
    }

    /// Runs our client, whoever serves: it says what theirs does (`tests/client.rs`), ten times as fast.
    pub(crate) fn client_of_ours(&self, words: &[&str]) -> Answer {
        let mut command = self
            .net
            .command(&self.path("bin/fail2ban-client").display().to_string());
        command.arg("-c").arg(self.path("etc")).args(words);
        self.answer(&mut command)
    }

    /// Runs the client.
    pub(crate) fn client(&self, words: &[&str]) -> Answer {
        self.answer(self.program("fail2ban-client").args(words))
    }

    fn answer(&self, command: &mut Command) -> Answer {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| self.hide(&String::from_utf8_lossy(bytes));
        let errors = text(&output.stderr);
        let errors: Vec<&str> = errors
            .lines()
            .map(|line| line.split_once("]: ").map_or(line, |(_, said)| said))
            .collect();
        Answer {
            said: text(&output.stdout),
            errors: errors.join("\n"),
            code: output.status.code(),
        }
    }

    /// What the client prints; it must succeed. Spaces part the words.
    pub(crate) fn ask(&self, line: &str) -> String {
        let answer = self.client(&self.placed(line).split(' ').collect::<Vec<_>>());
        assert_eq!(answer.code, Some(0), "{:?}: {line}: {answer:?}", self.whose);
        answer.said
    }

    /// Asks many questions in one session of Fail2Ban's own client; the answers in the same order.
    pub(crate) fn interview(&self, questions: &[String]) -> Vec<String> {
        const MARK: &str = "=next=";
        let mut input = String::new();
        for question in questions {
            input += &format!("{question}\necho {MARK}\n");
        }
        input += "exit\n";
        let mut command = self.net.command("fail2ban-client");
        command.arg("-c").arg(self.path("etc")).arg("-s").arg(self.path("sock"));
        let mut child = command
            .arg("-i")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut typed = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || typed.write_all(input.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = self
            .hide(&String::from_utf8_lossy(&output.stdout))
            .replace("fail2ban> ", "");
        let answers: Vec<String> = text
            .split(&format!("{MARK}\n"))
            .take(questions.len())
            .map(str::to_owned)
            .collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        let errors: String = errors.chars().take(1000).collect();
        assert_eq!(answers.len(), questions.len(), "{text}\n{errors}");
        answers
    }

    /// The lines of `fail2ban.log` so far.
    pub(crate) fn log(&self) -> Vec<Said> {
        self.read("fail2ban.log").lines().filter_map(parse).collect()
    }

    /// Waits until a file holds this text.
    #[track_caller]
    pub(crate) fn wait(&self, name: &str, needle: &str) {
        let what = format!("{:?}: `{needle}` in {name}", self.whose);
        let start = Instant::now();
        wait_until(SOON * 2, &what, || {
            let there = self.read(name).contains(needle);
            // Said with the file's end, so that a failure can be understood.
            assert!(
                there || start.elapsed() < SOON,
                "{what}, not in {}\n{}",
                self.read(name),
                self.read("fail2ban.log")
            );
            there
        });
    }

    /// Waits until a file has not grown for a while.
    pub(crate) fn settle(&self, name: &str, quiet: Duration) {
        let length = || fs::metadata(self.path(name)).map_or(0, |file| file.len());
        let mut last = (length(), Instant::now());
        wait_until(SOON * 2, "the program has nothing more to say", || {
            let now = length();
            if now != last.0 {
                last = (now, Instant::now());
            }
            last.1.elapsed() > quiet
        });
    }

    /// Stops the server by a signal and waits for its end.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take()?;
        if daemon.is_running() {
            daemon.terminate();
        }
        daemon.wait(SOON).code()
    }

    /// Kills the server, which leaves its socket behind.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(rustix::process::Signal::KILL);
            let _ = daemon.wait(SOON);
        }
    }

    /// Waits for the end of a server that was told to stop.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.daemon.take().and_then(|mut daemon| daemon.wait(SOON).code())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A server in the background of a test that failed; one that this started in the foreground ends by itself.
        if self.daemon.is_none() && self.path("sock").exists() {
            self.client(&["stop"]);
        }
    }
}

/// What [`World::program`] says after the words that enter the network.
fn own_words(command: &Command) -> Vec<std::ffi::OsString> {
    let is_program = |word: &&std::ffi::OsStr| word.to_string_lossy().ends_with("fail2ban-server");
    let words = command.get_args().skip_while(|word| !is_program(word));
    words.map(std::ffi::OsStr::to_owned).collect()
}

/// `2026-11-22 14:07:54,648 fail2ban.filter         [25090]: INFO    [ji] Found …`; `None` for the rest of a message of several lines.
fn parse(line: &str) -> Option<Said> {
    let mut words = line.get(24..)?.splitn(2, "]: ");
    let logger = words.next()?.split_once('[')?.0.trim().to_owned();
    let (level, text) = words.next()?.split_once(' ')?;
    logger.starts_with("fail2ban").then(|| Said {
        logger,
        level: level.to_owned(),
        text: text.trim().to_owned(),
    })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

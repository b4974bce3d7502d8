//! The client: one command, or start, reload and stop. Also the server's face, which is the client with a default command.
//!
//! Options, texts and exit codes: behaviour spec 7.4. Start reading at [`main`].

mod args;
mod beautify;
mod connection;
mod editor;
mod help;
mod interactive;
mod json;
mod pretty;
mod report;
mod start;
pub mod stream;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use stockade_config::{Config, Overrides, Severity};
use stockade_protocol::{ErrorClass, Value, repr};

use crate::terminal::{complain, say};
use args::{Args, Asked, Dump, Face};
use connection::{AskError, as_python, ask};
pub use help::OPTIONS;
pub use json::ANSWERS as JSON_ANSWERS;

/// Exit code of everything that goes wrong, as Fail2Ban's; systemd's unit relies on it.
const FAILED: u8 = 255;

/// Where the configuration is unless `-c` says otherwise.
pub(crate) const CONFIG: &str = "/etc/fail2ban";

/// The configuration in a folder, as commands, for a server that runs. Fails if it cannot be read: then the server is best left as it is.
pub(crate) fn read_stream(folder: &Path, overrides: &Overrides) -> Result<Vec<Vec<Value>>, String> {
    let missing = !folder.is_dir();
    let config = crate::check::load(folder, overrides);
    // Whoever has no folder runs on the built-in configuration, and nothing can have changed.
    if config.unreadable.is_empty() && !missing {
        return Ok(stream::commands(&config));
    }
    let what = if missing {
        format!("the folder {} is not there", folder.display())
    } else {
        unreadable(&config)
    };
    Err(format!("{what}; nothing is changed; mend: check it, and reload"))
}

/// Which files of the jails cannot be read.
fn unreadable(config: &Config) -> String {
    format!("the configuration cannot be read: {}", config.unreadable.join(", "))
}

/// Runs as `fail2ban-client`; `typed` is the command line without the program's name.
pub fn main(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    run(Face::Client, typed)
}

/// Runs as `fail2ban-server`; `typed` is the command line without the program's name.
pub fn server_main(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    run(Face::Server, typed)
}

fn run(face: Face, typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match args::parse(typed) {
        Ok(Asked::Run(args)) => *args,
        Ok(Asked::Help) => {
            say(&help::help(face));
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Version { short }) => {
            say(&version(short));
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            complain(&fault);
            init_failed(face);
            say(&help::help(face));
            return ExitCode::from(FAILED);
        }
    };
    if let Some(text) = &args.str2sec {
        return match stockade_config::duration::evaluate(text) {
            Ok(number) => {
                say(&number.to_string());
                ExitCode::SUCCESS
            }
            Err(error) => {
                say(&format!("ERROR: {error}"));
                init_failed(face);
                ExitCode::from(FAILED)
            }
        };
    }
    if let Some(level) = args
        .loglevel
        .as_ref()
        .filter(|level| !stockade_config::is_loglevel(level))
    {
        say(&format!(
            "ERROR: Invalid log level {}",
            repr(&Value::from(level.as_str()))
        ));
        init_failed(face);
        return ExitCode::from(FAILED);
    }
    if let Some(folder) = &args.config
        && !folder.is_dir()
    {
        say(&format!(
            "ERROR: Base configuration directory {} does not exist ",
            folder.display()
        ));
        init_failed(face);
        return ExitCode::from(FAILED);
    }
    Client::new(args).act(face)
}

/// Says that nothing can be done; the server's face does not, as Fail2Ban's.
fn init_failed(face: Face) {
    if face == Face::Client {
        report::error("Init of command line failed");
    }
}

/// `1.1.2.1` for programs, `Fail2Ban v1.1.2.dev1` for people.
fn version(short: bool) -> String {
    if short {
        crate::FAIL2BAN_VERSION.replace("dev", "")
    } else {
        format!("Fail2Ban v{} (Stockade {})", crate::FAIL2BAN_VERSION, crate::VERSION)
    }
}

/// What the command line sets over the configuration.
fn overrides(args: &Args) -> Overrides {
    Overrides {
        loglevel: args.loglevel.clone(),
        logtarget: args.logtarget.clone(),
        syslogsocket: args.syslogsocket.clone(),
        socket: args.socket.clone(),
        pidfile: args.pidfile.clone(),
        version: None,
    }
}

/// A command line with the configuration it names.
struct Client {
    args: Args,
    folder: PathBuf,
    config: Config,
}

impl Client {
    fn new(args: Args) -> Self {
        let overrides = overrides(&args);
        let folder = args.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG));
        let starts = |word: &String| matches!(word.as_str(), "start" | "restart" | "reload");
        let config = if args.dump.is_some() && !args.test {
            stockade_config::load(&folder, &overrides)
        } else if args.test || (!args.asynchronous && args.words.first().is_none_or(starts)) {
            // What is sent to a server is examined first.
            crate::check::load(&folder, &overrides)
        } else {
            // Other commands only need to know where the server is.
            Config {
                server: stockade_config::load_server(&folder, &overrides),
                ..Config::default()
            }
        };
        Self { args, folder, config }
    }

    fn socket(&self) -> &Path {
        Path::new(&self.config.server.socket)
    }

    fn act(self, face: Face) -> ExitCode {
        if let Some(dump) = self.args.dump {
            let printed = self.dump(dump);
            if !printed && !self.args.test {
                init_failed(face);
            }
            if !self.args.test {
                return outcome(printed);
            }
        }
        if self.args.asynchronous {
            return start::foreground(&self.args, &self.folder, &self.config.server, None);
        }
        if self.args.test {
            if !self.test() {
                report::error("ERROR: test configuration failed");
                return ExitCode::from(FAILED);
            }
            if self.args.words.is_empty() {
                say("OK: configuration test is successful");
                return ExitCode::SUCCESS;
            }
        }
        if self.args.interactive {
            return interactive::run(&self);
        }
        let words = &self.args.words;
        let starts = match words.as_slice() {
            [] => face == Face::Server,
            [word] => word == "start",
            _ => false,
        };
        if starts && self.args.foreground {
            return self.serve();
        }
        if words.is_empty() {
            if face == Face::Server {
                return self.start();
            }
            say(&help::help(face));
            return ExitCode::from(FAILED);
        }
        self.command(words)
    }

    /// Prints the configuration; false if of all jails that should run none can.
    fn dump(&self, dump: Dump) -> bool {
        // With `-t` it tells them.
        if !self.args.test {
            self.tell_diagnostics();
        }
        let lines: Vec<String> = stream::commands(&self.config)
            .iter()
            .map(|command| match dump {
                Dump::Lines => stream::line(command),
                Dump::Pretty => pretty::pretty(command),
            })
            .collect();
        say(&lines.join("\n"));
        let jails = &self.config.jails;
        jails.is_empty() || jails.iter().any(|jail| jail.problem.is_none())
    }

    /// Carries out one command.
    fn command(&self, words: &[String]) -> ExitCode {
        let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
        match borrowed.as_slice() {
            ["start"] => self.start(),
            ["restart"] => self.restart(),
            ["restart", rest @ ..] => {
                let mut options = vec!["--restart"];
                options.extend_from_slice(rest);
                self.reload(&options)
            }
            ["reload", rest @ ..] => self.reload(rest),
            ["help"] => {
                say(&help::help(Face::Client));
                ExitCode::SUCCESS
            }
            ["ping", seconds] => self.ping(seconds),
            _ => self.ask(words, self.args.timeout),
        }
    }

    /// `ping SECONDS`: how long to wait; 0 is as long as for others.
    fn ping(&self, seconds: &str) -> ExitCode {
        let timeout = seconds.parse().ok();
        let Some(timeout) = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
            let shown = repr(&Value::from(seconds));
            report::error(&format!("could not convert string to float: {shown}"));
            return ExitCode::from(FAILED);
        };
        let timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self.ask(&["ping".to_owned()], timeout)
    }

    /// Sends a command as it was typed and prints the answer.
    fn ask(&self, words: &[String], timeout: Option<Duration>) -> ExitCode {
        if !self.args.json {
            return command(self.socket(), words, timeout);
        }
        let asked: Vec<Value> = words.iter().map(|word| Value::from(word.as_str())).collect();
        let (shown, fine) = match ask(self.socket(), &asked, timeout) {
            Ok(Ok(value)) => (json::answer(words, &value), true),
            Ok(Err(error)) => (json::error(&error), false),
            Err(error) => (json::no_answer(&error.to_string()), false),
        };
        say(&shown);
        outcome(fine)
    }

    fn start(&self) -> ExitCode {
        self.tell_diagnostics();
        let stream = stream::commands(&self.config);
        if self.args.foreground {
            return start::foreground(&self.args, &self.folder, &self.config.server, Some(stream));
        }
        start::background(&self.args, &self.folder, &self.config.server, stream)
    }

    /// Becomes the server; the configuration is not kept in memory beside what it is made of.
    fn serve(self) -> ExitCode {
        self.tell_diagnostics();
        let Self {
            args,
            folder,
            mut config,
        } = self;
        let stream = stream::commands(&config);
        let server = std::mem::take(&mut config.server);
        drop(config);
        start::foreground(&args, &folder, &server, Some(stream))
    }

    fn restart(&self) -> ExitCode {
        // A server that does not run has been told of, and is started all the same.
        command(self.socket(), &["stop".to_owned()], self.args.timeout);
        if !start::wait_until_gone(self.socket()) {
            report::error("Could not stop server: it still answers after 30 s");
            return ExitCode::from(FAILED);
        }
        self.start()
    }

    /// `reload [--restart] [--unban] [--if-exists] [--all|JAIL]`
    fn reload(&self, words: &[&str]) -> ExitCode {
        let mut options = Vec::new();
        let mut rest = words;
        while let [option @ ("--restart" | "--unban" | "--if-exists"), tail @ ..] = rest {
            options.push(*option);
            rest = tail;
        }
        let jail = match rest {
            [] | ["--all"] => None,
            [jail] => Some(*jail),
            other => {
                let words = Value::List(other.iter().map(|word| Value::from(*word)).collect());
                report::error(&format!("Unexpected argument(s) for reload: {}", repr(&words)));
                return ExitCode::from(FAILED);
            }
        };
        if !start::answers(self.socket()) {
            report::error("Could not find server");
            return ExitCode::from(FAILED);
        }
        self.tell_diagnostics();
        if !self.config.unreadable.is_empty() {
            report::error(&format!("{}; nothing is changed", unreadable(&self.config)));
            return ExitCode::from(FAILED);
        }
        let mut commands = stream::server_commands(&self.config.server);
        match jail {
            None => commands.extend(stream::jail_commands(&self.config.jails)),
            Some(name) => {
                let jails: Vec<_> = self
                    .config
                    .jails
                    .iter()
                    .filter(|jail| jail.name == name)
                    .cloned()
                    .collect();
                if jails.is_empty() && !self.config.disabled.iter().any(|disabled| disabled == name) {
                    report::error(&format!(
                        "Failed during configuration: No section: {}",
                        repr(&Value::from(name))
                    ));
                    return ExitCode::from(FAILED);
                }
                commands.extend(stream::jail_commands(&jails));
            }
        }
        let shown: Vec<String> = std::iter::once("reload")
            .chain(words.iter().copied())
            .map(ToOwned::to_owned)
            .collect();
        let asked = [
            Value::from("reload"),
            Value::from(jail.unwrap_or("--all")),
            Value::List(options.into_iter().map(Value::from).collect()),
            Value::List(commands.into_iter().map(Value::List).collect()),
        ];
        outcome(say_answer(self.socket(), &shown, &asked, self.args.timeout))
    }

    /// Whether the configuration has no faults; tells what was found.
    fn test(&self) -> bool {
        self.tell_diagnostics();
        let sound = |severity| severity != Severity::Error;
        self.config.diagnostics.iter().all(|finding| sound(finding.severity))
            && self.config.jails.iter().all(|jail| jail.problem.is_none())
    }

    /// Faults always, warnings unless `-q`.
    fn tell_diagnostics(&self) {
        for finding in &self.config.diagnostics {
            if finding.severity == Severity::Error || self.args.verbosity >= 0 {
                complain(&finding.to_string());
            }
        }
    }
}

/// Sends a command as it was typed and prints the answer.
fn command(socket: &Path, words: &[String], timeout: Option<Duration>) -> ExitCode {
    let asked: Vec<Value> = words.iter().map(|word| Value::from(word.as_str())).collect();
    outcome(say_answer(socket, words, &asked, timeout))
}

/// Sends `asked` and prints the answer as that to `words`; false if it is none or an error.
fn say_answer(socket: &Path, words: &[String], asked: &[Value], timeout: Option<Duration>) -> bool {
    match ask(socket, asked, timeout) {
        Ok(Ok(value)) => {
            if !words.starts_with(&["server-stream".to_owned()]) {
                say(&report::shown(&beautify::answer(words, &value, draws_lines())));
            }
            true
        }
        Ok(Err(error)) => {
            // Of an error of the system, the file is not among what Python calls its arguments.
            let shown = if error.class == ErrorClass::FileNotFoundError {
                2
            } else {
                usize::MAX
            };
            let args = error.args.iter().take(shown).cloned();
            report::error(&format!("NOK: {}", repr(&Value::Tuple(args.collect()))));
            say(&report::shown(&beautify::error(&error)));
            false
        }
        // `ping` tells the bare cause.
        Err(AskError::NoAnswer(error)) if words.first().is_some_and(|word| word == "ping") => {
            report::error(&as_python(&error));
            false
        }
        Err(error) => {
            report::error(&error.to_string());
            false
        }
    }
}

fn outcome(fine: bool) -> ExitCode {
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    }
}

/// Whether the locale is one of UTF-8.
fn draws_lines() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

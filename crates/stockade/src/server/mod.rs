//! The server: its threads, their inboxes, and who may talk to whom (docs/ARCHITECTURE.md).

mod acting;
pub(crate) mod addresses;
mod again;
mod backlog;
mod calling;
mod change;
mod commands;
mod configure;
mod control;
mod effects;
mod heads;
mod ignoring;
mod increment;
mod jails;
pub(crate) mod journal;
mod later;
mod log;
mod logtarget;
mod matching;
pub(crate) mod python;
mod resolve;
pub(crate) mod setup;
mod stopping;
mod store;
mod systemd;
mod telling;
mod watch;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use stockade_config::Overrides;
use stockade_core::Timestamp;
use stockade_core::logline::Level;
use stockade_protocol::{ReloadOptions, Request, Value};

use acting::Acting;
use control::Control;
use jails::{Jails, Message};
use log::Log;
use logtarget::Target;
use matching::Workers;
use resolve::Resolver;
use watch::Watch;

/// Bundles of failures, answers and commands that wait for the thread of the jails; when it is full, workers and clients wait.
const WAITING: usize = 16;

/// Exit code of every failed start, as upstream's.
const FAILED: u8 = 255;

/// How a server is to run.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The configuration folder, read again on SIGHUP.
    pub config: PathBuf,
    /// What the command line set over it.
    pub overrides: Overrides,
    /// Where clients connect.
    pub socket: PathBuf,
    /// Where the process id is written.
    pub pidfile: PathBuf,
    /// `loglevel`, a name or a number.
    pub loglevel: String,
    /// `logtarget`
    pub logtarget: String,
    /// `syslogsocket`, a path or `auto`.
    pub syslogsocket: String,
    /// Remove a socket that a server left behind when it died.
    pub force: bool,
    /// In the foreground: tell the terminal when ready, and what went wrong.
    pub foreground: bool,
}

/// The time now.
pub(crate) fn now() -> Timestamp {
    let micros = |span: Duration| {
        let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        seconds
            .saturating_mul(1_000_000)
            .saturating_add(span.subsec_micros().into())
    };
    Timestamp::from_micros(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    })
}

/// Runs a server until it is told to stop. `stream` is the configuration as commands; without it a client will send one.
pub fn run(options: &ServerOptions, stream: Option<Vec<Vec<Value>>>) -> ExitCode {
    match serve(options, stream) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            crate::terminal::complain(&fault);
            ExitCode::from(FAILED)
        }
    }
}

fn serve(options: &ServerOptions, stream: Option<Vec<Vec<Value>>>) -> Result<(), String> {
    // Logs, pid file and socket are for root alone; upstream does the same.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    let log = Arc::new(Log::open(
        Target::parse(&options.logtarget)?,
        &options.syslogsocket,
        &options.loglevel,
        crate::zone::system(),
    )?);
    let (listener, own) = match systemd::passed_socket()? {
        Some(listener) => (listener, None),
        None => (listen(&options.socket, options.force)?, Some(options.socket.clone())),
    };
    let files = Files {
        socket: own,
        pidfile: options.pidfile.clone(),
    };
    log.write(Level::Info, "fail2ban.server", &"-".repeat(50));
    log.write(
        Level::Info,
        "fail2ban.server",
        &format!(
            "Starting Fail2ban v{} (Stockade {})",
            crate::FAIL2BAN_VERSION,
            crate::VERSION
        ),
    );
    // Only those that look for the process miss it; that is no reason to protect nobody.
    if let Err(fault) = write_pid(&options.pidfile) {
        log.write(Level::Error, "fail2ban.server", &fault);
    }

    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE]).map_err(|error| format!("signals: {error}"))?;
    let (inbox, messages) = sync_channel(WAITING);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers =
        Workers::start(cores.min(4), &inbox, &log).map_err(|error| format!("no threads for matching: {error}"))?;
    let jails = Jails {
        jails: Vec::new(),
        watch: Watch::start(workers, Arc::clone(&log))?,
        acting: Acting::new(Arc::clone(&log)),
        database: None,
        offenders: stockade_core::Offenders::default(),
        dbfile: None,
        read_to: HashMap::new(),
        resolver: Resolver::new(inbox.clone(), Arc::clone(&log)),
        asking: ignoring::Asking::new(inbox.clone(), Arc::clone(&log)),
        own_addresses: addresses::own(),
        refreshed: Instant::now(),
        purged: Instant::now(),
        inbox: inbox.clone(),
        asides: Vec::new(),
        log: Arc::clone(&log),
        effects: Vec::new(),
        stopping: false,
        farewell: None,
    };
    let clients = Arc::new(AtomicUsize::new(0));
    let control = Control {
        jails: inbox.clone(),
        log: Arc::clone(&log),
        clients: Arc::clone(&clients),
        complaints: Arc::default(),
    };
    spawn("control", move || control.serve(&listener))?;
    let owner = spawn("jails", move || jails.run(&messages))?;
    let heard = inbox.clone();
    let (config, overrides, listening) = (options.config.clone(), options.overrides.clone(), Arc::clone(&log));
    let handle = signals.handle();
    spawn("signals", move || {
        for signal in signals.forever() {
            hear(signal, &heard, (&config, &overrides), &listening);
        }
    })?;
    if let Some(stream) = stream {
        configure(&inbox, stream, options.foreground);
    }
    if options.foreground {
        crate::terminal::say("Server ready");
        systemd::notify("READY=1");
    }
    drop(inbox);
    let farewell = owner
        .join()
        .map_err(|_| "the thread of the jails has failed, see above".to_owned())?;
    handle.close();
    drop(files);
    log.write(Level::Info, "fail2ban.server", "Exiting Fail2ban");
    if let Some(reply) = farewell {
        let _ = reply.send(Ok(Value::None));
    }
    // The last answer has to reach its client before the process ends.
    let deadline = Instant::now() + Duration::from_secs(2);
    while clients.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn spawn<T: Send + 'static>(
    name: &str,
    what: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>, String> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(what)
        .map_err(|error| format!("no thread `{name}`: {error}"))
}

/// Gives the server its configuration and waits until it is in force; faults are in the log, and on a terminal too.
fn configure(inbox: &SyncSender<Message>, stream: Vec<Vec<Value>>, foreground: bool) {
    let (reply, answer) = sync_channel(1);
    let stream = stream.into_iter().map(Value::List).collect();
    let request = Request::ServerStream(stream);
    if inbox.send(Message::Command { request, reply }).is_ok()
        && let Ok(Err(fault)) = answer.recv()
        && foreground
    {
        crate::terminal::complain(&fault.to_string());
    }
}

fn hear(signal: i32, inbox: &SyncSender<Message>, (config, overrides): (&Path, &Overrides), log: &Log) {
    let command = |request| {
        let (reply, answer) = sync_channel(1);
        if inbox.send(Message::Command { request, reply }).is_ok() {
            // What became of it is in the log.
            let _ = answer.recv();
        }
    };
    match signal {
        SIGTERM | SIGINT => {
            systemd::notify("STOPPING=1");
            log.write(
                Level::Info,
                "fail2ban.server",
                &format!("Caught signal {signal}. Exiting"),
            );
            let _ = inbox.send(Message::Stop);
        }
        SIGUSR1 => command(Request::FlushLogs),
        SIGHUP => {
            log.write(
                Level::Info,
                "fail2ban.server",
                "Caught signal 1. Reading the configuration again",
            );
            systemd::notify_reloading();
            command(Request::FlushLogs);
            match crate::client::read_stream(config, overrides) {
                Ok(stream) => command(Request::Reload {
                    jail: None,
                    options: ReloadOptions::default(),
                    stream: stream.into_iter().map(Value::List).collect(),
                }),
                Err(fault) => log.write(Level::Error, "fail2ban.server", &fault),
            }
            systemd::notify("READY=1");
        }
        // SIGPIPE: a reader of our output went away, which the write has been told.
        _ => {}
    }
}

/// Opens the control socket. Fails if a server answers on it, or if one died and left it and `force` is not given.
fn listen(path: &Path, force: bool) -> Result<UnixListener, String> {
    // Also a link that leads nowhere stands in the way.
    if let Ok(there) = fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(format!(
                "socket {}: something else stands there and is left alone; mend: remove it, or give another socket with -s",
                path.display()
            ));
        }
        if UnixStream::connect(path).is_ok() {
            return Err("Server already running".to_owned());
        }
        if !force {
            return Err(format!(
                "Fail2ban seems to be in unexpected state (not running but the socket exists); why: {} was left behind; mend: start with -x, or \
                 remove the file",
                path.display()
            ));
        }
        fs::remove_file(path).map_err(|error| format!("socket {}: {error}", path.display()))?;
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| {
            format!(
                "folder {}: {error}; mend: create it, or give another socket with -s",
                folder.display()
            )
        })?;
    }
    UnixListener::bind(path)
        .map_err(|error| format!("socket {}: {error}; mend: give another socket with -s", path.display()))
}

fn write_pid(path: &Path) -> Result<(), String> {
    if path.as_os_str().is_empty() || path == Path::new("none") {
        return Ok(());
    }
    let write = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, format!("{}\n", std::process::id()))
    };
    write().map_err(|error| format!("pid file {}: {error}; mend: give another one with -p", path.display()))
}

/// Files that are there while the server runs, and gone after it.
struct Files {
    /// `None` if it is systemd's.
    socket: Option<PathBuf>,
    pidfile: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in self.socket.iter().chain([&self.pidfile]) {
            // Nobody is left to tell; a file left behind is reported at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

//! Starting a server: here in the foreground, or as a process of its own.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use stockade_config::ServerConfig;
use stockade_protocol::Value;

use super::args::Args;
use super::connection::ask;
use super::{FAILED, report};
use crate::server::{self, ServerOptions};

/// So long a server that was started may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a server answers on the socket.
pub(crate) fn answers(socket: &Path) -> bool {
    ask(socket, &[Value::from("ping")], Some(Duration::from_secs(2))).is_ok_and(|reply| reply.is_ok())
}

/// Waits until a server that was told to stop is gone; false if it stays.
pub(crate) fn wait_until_gone(socket: &Path) -> bool {
    wait(PATIENCE, || (!socket.exists() || !answers(socket)).then_some(())).is_some()
}

/// Runs a server in this process with a configuration already read; without one it waits for a client to send it.
pub(crate) fn foreground(
    args: &Args,
    config: &Path,
    server: &ServerConfig,
    stream: Option<Vec<Vec<Value>>>,
) -> ExitCode {
    if stream.is_none() {
        // Away from the terminal of whoever started us. It fails only for the leader of a group, who is away already.
        let _ = rustix::process::setsid();
    }
    let options = ServerOptions {
        config: config.to_owned(),
        overrides: super::overrides(args),
        socket: PathBuf::from(&server.socket),
        pidfile: PathBuf::from(&server.pidfile),
        loglevel: server.loglevel.clone(),
        logtarget: server.logtarget.clone(),
        syslogsocket: server.syslogsocket.clone(),
        force: args.force,
        foreground: stream.is_some(),
    };
    server::run(&options, stream)
}

/// Starts a server as a process of its own, gives it the configuration and returns when it is in force.
pub(crate) fn background(args: &Args, config: &Path, server: &ServerConfig, stream: Vec<Vec<Value>>) -> ExitCode {
    let socket = Path::new(&server.socket);
    if answers(socket) {
        report::error("Server already running");
        return ExitCode::from(FAILED);
    }
    if socket.exists() && !args.force {
        report::error("Fail2ban seems to be in unexpected state (not running but the socket exists)");
        return ExitCode::from(FAILED);
    }
    let mut child = match spawn(args, config, server) {
        Ok(child) => child,
        Err(error) => {
            report::error(&format!("the server could not be started: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let outcome = wait(PATIENCE, || match child.try_wait() {
        Ok(None) => answers(socket).then_some(true),
        Ok(Some(_)) | Err(_) => Some(false),
    });
    match outcome {
        Some(true) => {}
        Some(false) => {
            report::error(&format!("the server ended at once{}", last_words(&mut child)));
            return ExitCode::from(FAILED);
        }
        None => {
            report::error(&format!(
                "Could not find server: none answers on {} after 30 s",
                socket.display()
            ));
            // It may have ended meanwhile; either way it is gone then.
            let _ = child.kill();
            return ExitCode::from(FAILED);
        }
    }
    let stream = Value::List(stream.into_iter().map(Value::List).collect());
    let configured = super::say_answer(
        socket,
        &["server-stream".to_owned()],
        &[Value::from("server-stream"), stream],
        None,
    );
    let ready = super::command(socket, &["server-status".to_owned()], None);
    // A jail that could not be made has been told of; the others run.
    if configured { ready } else { ExitCode::from(FAILED) }
}

fn spawn(args: &Args, config: &Path, server: &ServerConfig) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["server", "--async", "-f", "-c"])
        .arg(std::path::absolute(config)?);
    command.arg("-s").arg(std::path::absolute(&server.socket)?);
    command.arg("-p").arg(std::path::absolute(&server.pidfile)?);
    for (option, value) in [
        ("--loglevel", &server.loglevel),
        ("--logtarget", &server.logtarget),
        ("--syslogsocket", &server.syslogsocket),
    ] {
        command.args([option, value]);
    }
    if args.force {
        command.arg("-x");
    }
    // What it has to say when it cannot start comes back to us; afterwards it has its log.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// What a server that has ended said, to be put behind a sentence.
fn last_words(child: &mut Child) -> String {
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        // Half of it is better than nothing.
        let _ = stderr.take(64 * 1024).read_to_string(&mut said);
    }
    let said = said.trim();
    if said.is_empty() {
        "; its log may say why".to_owned()
    } else {
        format!(": {said}")
    }
}

/// Asks again and again, more and more seldom, until there is an answer or the time is over.
fn wait<T>(patience: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(outcome) = attempt() {
            return Some(outcome);
        }
        let waited = begun.elapsed();
        if waited >= patience {
            return None;
        }
        // So that what takes long is noticed late by an eighth of it at most.
        std::thread::sleep((waited / 8).clamp(Duration::from_millis(1), Duration::from_millis(50)));
    }
}

//! Processes of one test: started, watched, and always reaped.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{wait_for, wait_until};

/// A started program whose output is collected; killed and reaped when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Daemon {
    /// Starts a command with empty standard input and captured output.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let spawned = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => panic!("cannot start {}: {error}", command.get_program().display()),
        };
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|pipe| collect(pipe, &stdout)));
        readers.extend(child.stderr.take().map(|pipe| collect(pipe, &stderr)));
        Self {
            child,
            stdout,
            stderr,
            readers,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output until now.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it wrote to standard error until now.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has written `needle` to one of its outputs.
    ///
    /// # Panics
    /// If it has not within the deadline, with all it wrote instead.
    #[track_caller]
    pub fn wait_for_output(&self, deadline: Duration, needle: &str) {
        let start = std::time::Instant::now();
        while !(self.stdout().contains(needle) || self.stderr().contains(needle)) {
            assert!(
                start.elapsed() < deadline,
                "not written within {deadline:?}: {needle}\nstdout: {}\nstderr: {}",
                self.stdout(),
                self.stderr()
            );
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process is gone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let sent = kill_process(Pid::from_child(&self.child), signal);
        assert!(sent.is_ok(), "cannot signal process {}: {sent:?}", self.id());
    }

    /// Asks it to end (SIGTERM).
    #[track_caller]
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let status = wait_for(deadline, "the process ends", || self.child.try_wait().ok().flatten());
        for reader in self.readers.drain(..) {
            // A reader that panicked has left what it had read.
            let _ = reader.join();
        }
        status
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill, and waiting gives what is known.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills a process that went into the background when dropped, by its id.
#[derive(Debug)]
pub struct Reaper(Pid);

impl Reaper {
    /// Takes charge of a process.
    ///
    /// # Panics
    /// If the number cannot be a process id.
    #[track_caller]
    #[must_use]
    pub fn of(id: u32) -> Self {
        match i32::try_from(id).ok().and_then(Pid::from_raw) {
            Some(pid) if !pid.is_init() => Self(pid),
            _ => panic!("{id} is no process of ours"),
        }
    }

    /// Whether the process is there.
    pub fn is_running(&self) -> bool {
        test_kill_process(self.0).is_ok()
    }

    /// Waits until it is gone.
    ///
    /// # Panics
    /// If it is not within the deadline.
    #[track_caller]
    pub fn wait(&self, deadline: Duration) {
        wait_until(deadline, "the background process ends", || !self.is_running());
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // Gone already is what we want.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// Runs a command to its end and gives what it wrote to standard output.
///
/// # Panics
/// If it cannot be run or fails, with what it wrote to standard error.
#[track_caller]
pub fn output_of(command: &mut Command) -> String {
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {}: {error}", command.get_program().display()),
    };
    assert!(
        output.status.success(),
        "{command:?} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn collect(mut pipe: impl Read + Send + 'static, into: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(length) = pipe.read(&mut block) {
            let Some(read @ [_, ..]) = block.get(..length) else {
                break;
            };
            // Shared with the test's thread, which reads while the program still writes.
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(read);
        }
    })
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_daemon_is_heard_signalled_and_reaped() {
        let mut daemon = Daemon::start(Command::new("sh").args([
            "-c",
            "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done",
        ]));
        daemon.wait_for_output(SOON, "up");
        daemon.terminate();
        assert_eq!(daemon.wait(SOON).code(), Some(3));
        assert_eq!(daemon.stdout(), "up\nbye\n");
        assert!(!daemon.is_running());
    }

    #[test]
    fn a_dropped_daemon_is_gone() {
        let daemon = Daemon::start(Command::new("sleep").arg("60"));
        let process = Reaper::of(daemon.id());
        assert!(process.is_running());
        drop(daemon);
        assert!(!process.is_running());
    }

    #[test]
    #[should_panic(expected = "oh no")]
    fn a_failed_command_shows_what_it_said() {
        output_of(Command::new("sh").args(["-c", "echo oh no >&2; exit 1"]));
    }
}

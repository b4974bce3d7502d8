//! Runs one command: in its own process group, within a time limit, with its output captured.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::clients;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// This much of each output is kept; the rest is read and dropped, so that the command can go on.
const OUTPUT_KEPT: usize = 64 * 1024;

/// Between the request to end and the order to: as Fail2Ban has it.
const GRACE: Duration = Duration::from_millis(200);

/// What a command may still take after its network clients were ended for it.
const REST: Duration = Duration::from_secs(5);

/// A killed process that is not gone after this hangs in the kernel; it is left behind.
const DEATH: Duration = Duration::from_secs(5);

/// How often to look where no descriptor tells.
const TICK: Duration = Duration::from_millis(10);

/// How a command ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took too long; true if it had to be killed rather than asked.
    TimedOut(bool),
    /// It could not be started.
    NotStarted(io::Error),
}

/// One of a command's outputs.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) text: Vec<u8>,
    /// Bytes that were not kept.
    pub(crate) dropped: u64,
}

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    /// The network clients that were ended because they took too long, so that the rest could go on.
    pub(crate) ended: Vec<String>,
}

impl Outcome {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self.end, End::Code(0))
    }
}

/// Runs a script with `/bin/sh`. Returns when the shell itself has ended, whoever still holds its output open.
pub(crate) fn run(script: &str, variables: &[(String, String)], limit: Duration) -> Outcome {
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        // What a command writes is for root only. On the same line, so that the shell's messages count lines as the author does.
        .arg(format!("umask 077; {script}"))
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    start(command, limit)
}

/// Runs a program without a shell, with files as its input and output.
pub(crate) fn run_program(
    program: &Path,
    words: &[&str],
    input: Option<File>,
    output: Option<File>,
    limit: Duration,
) -> Outcome {
    let mut command = Command::new(program);
    command
        .args(words)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(output.map_or_else(Stdio::null, Stdio::from));
    start(command, limit)
}

fn start(mut command: Command, limit: Duration) -> Outcome {
    match command.stderr(Stdio::piped()).process_group(0).spawn() {
        Ok(child) => follow(child, limit),
        Err(error) => Outcome {
            end: End::NotStarted(error),
            stdout: Output::default(),
            stderr: Output::default(),
            ended: Vec::new(),
        },
    }
}

/// The stages of a command's life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// Its network clients were ended.
    Eased,
    Asked,
    Killed,
}

fn follow(mut child: Child, limit: Duration) -> Outcome {
    let mut stdout = child.stdout.take().map(Stream::new);
    let mut stderr = child.stderr.take().map(Stream::new);
    let pid = Pid::from_child(&child);
    let exit = pidfd_open(pid, PidfdFlags::empty()).ok();
    let mut deadline = Instant::now() + limit;
    let mut stage = Stage::Running;
    let mut ended = Vec::new();
    let status = loop {
        let gone = wait(&mut stdout, &mut stderr, exit.as_ref(), deadline);
        // While the time to end in peace runs, the shell stays unreaped: its number still names the group.
        if (gone || exit.is_none()) && stage != Stage::Asked {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break Some(status),
                Err(_) => break None,
            }
        }
        if Instant::now() < deadline {
            if gone {
                // The shell has ended, but is kept for the group's sake: nothing more to wait for but time.
                std::thread::sleep(TICK);
            }
            continue;
        }
        // Errors of kill mean that nobody is left in the group, and the next wait will tell.
        match stage {
            Stage::Running => {
                ended = clients::end(pid);
                stage = Stage::Eased;
                deadline = Instant::now() + if ended.is_empty() { Duration::ZERO } else { REST };
            }
            Stage::Eased => {
                let _ = kill_process_group(pid, Signal::TERM);
                stage = Stage::Asked;
                deadline = Instant::now() + GRACE;
            }
            Stage::Asked => {
                let _ = kill_process_group(pid, Signal::KILL);
                stage = Stage::Killed;
                deadline = Instant::now() + DEATH;
            }
            Stage::Killed => break None,
        }
    };
    if let Some(stream) = &mut stdout {
        stream.drain();
    }
    if let Some(stream) = &mut stderr {
        stream.drain();
    }
    let end = match (stage, status) {
        (Stage::Running | Stage::Eased, Some(status)) => end_of(status),
        (_, status) => End::TimedOut(status.is_none_or(|status| status.signal() == Some(Signal::KILL.as_raw()))),
    };
    Outcome {
        end,
        stdout: stdout.map(|stream| stream.output).unwrap_or_default(),
        stderr: stderr.map(|stream| stream.output).unwrap_or_default(),
        ended,
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}

/// Reads what there is and waits for more, for the end, or for the deadline. True if the process has ended.
fn wait<A: Read + std::os::fd::AsFd, B: Read + std::os::fd::AsFd>(
    stdout: &mut Option<Stream<A>>,
    stderr: &mut Option<Stream<B>>,
    exit: Option<&std::os::fd::OwnedFd>,
    deadline: Instant,
) -> bool {
    let mut left = deadline.saturating_duration_since(Instant::now());
    if exit.is_none() {
        left = left.min(TICK);
    }
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    };
    let mut fds = Vec::with_capacity(3);
    if let Some(exit) = exit {
        fds.push(PollFd::new(exit, PollFlags::IN));
    }
    if let Some(stream) = stdout.as_ref().filter(|stream| stream.open) {
        fds.push(PollFd::new(&stream.source, PollFlags::IN));
    }
    if let Some(stream) = stderr.as_ref().filter(|stream| stream.open) {
        fds.push(PollFd::new(&stream.source, PollFlags::IN));
    }
    let polled = poll(&mut fds, Some(&timeout));
    let ended = polled.is_ok() && exit.is_some() && fds.first().is_some_and(|fd| !fd.revents().is_empty());
    drop(fds);
    if let Some(stream) = stdout {
        stream.read_some();
    }
    if let Some(stream) = stderr {
        stream.read_some();
    }
    ended
}

struct Stream<R> {
    source: R,
    open: bool,
    output: Output,
}

impl<R: Read + std::os::fd::AsFd> Stream<R> {
    fn new(source: R) -> Self {
        // Should this fail, the output is not read at all rather than read without end.
        let open = rustix::io::ioctl_fionbio(&source, true).is_ok();
        Self {
            source,
            open,
            output: Output::default(),
        }
    }

    /// Reads one buffer; true if there may be more.
    fn read_some(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        if !self.open {
            return false;
        }
        match self.source.read(&mut buffer) {
            Ok(0) => self.open = false,
            Ok(count) => {
                let room = OUTPUT_KEPT.saturating_sub(self.output.text.len()).min(count);
                self.output.text.extend(buffer.iter().take(room));
                self.output.dropped = self.output.dropped.saturating_add(count.saturating_sub(room) as u64);
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.open = false,
        }
        false
    }

    /// Reads what is left, but not for ever: a process left in the background may go on writing.
    fn drain(&mut self) {
        for _ in 0..8 {
            if !self.read_some() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn tells_code_signal_and_output() {
        let outcome = run("echo out; echo err >&2; exit 3", &[], MINUTE);
        assert!(matches!(outcome.end, End::Code(3)), "{outcome:?}");
        assert_eq!(
            (outcome.stdout.text.as_slice(), outcome.stderr.text.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
        let outcome = run("kill -9 $$", &[], MINUTE);
        assert!(matches!(outcome.end, End::Signal(9)), "{outcome:?}");
    }

    #[test]
    fn ends_a_command_and_its_children_at_the_limit() {
        let directory = testkit::TempDir::new("limit");
        let file = directory.path().join("pid");
        let started = Instant::now();
        let script = format!(
            "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > {}; while :; do sleep 1; done'",
            file.display()
        );
        let outcome = run(&script, &[], Duration::from_millis(300));
        assert!(matches!(outcome.end, End::TimedOut(true)), "{outcome:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
        let pid = std::fs::read_to_string(file).unwrap();
        testkit::wait_until(Duration::from_secs(5), "the grandchild is gone", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
    }

    #[test]
    fn a_network_client_that_hangs_is_ended_alone_and_the_rest_goes_on() {
        if !testkit::requires(&["python3"]) {
            return;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = format!("python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port})).recv(1)'");
        let script = format!("echo \"answer: `{client} || echo none`\" | cat; sleep 0.1; echo end");
        let outcome = run(&script, &[], Duration::from_secs(2));
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!(outcome.stdout.text, b"answer: none\nend\n");
        assert_eq!(outcome.ended, ["python3"]);
    }

    #[test]
    fn is_not_held_up_by_a_background_process_that_keeps_the_output_open() {
        let started = Instant::now();
        let outcome = run("echo done; sleep 3 &", &[], MINUTE);
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!(outcome.stdout.text, b"done\n");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn keeps_the_start_of_endless_output_and_lets_the_command_end() {
        let outcome = run(
            "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; exit 1",
            &[],
            MINUTE,
        );
        assert!(matches!(outcome.end, End::Code(1)), "{:?}", outcome.end);
        assert_eq!(outcome.stdout.text.len(), OUTPUT_KEPT);
        assert!(outcome.stderr.dropped > 4_000_000 && outcome.stdout.dropped > 4_000_000);
    }

    #[test]
    fn gives_no_input_and_makes_files_for_root_only() {
        let directory = testkit::TempDir::new("umask");
        let file = directory.path().join("file");
        let outcome = run(&format!("cat > {}", file.display()), &[], MINUTE);
        assert!(outcome.is_success());
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

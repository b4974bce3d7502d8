//! Writes the recording into the log, as Asterisk did, at a steady pace and with the time of now.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::recording::Recording;

/// Time between two lines. It is much longer than it takes from a line to a ban, so that a ban is due to the last line
/// of its address.
const PACE: Duration = Duration::from_millis(25);

/// A ban as the kernel announced it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ban {
    /// Since the recording began.
    pub(super) after: Duration,
    /// Since just before the last line of this address was written.
    pub(super) delay: Option<Duration>,
}

/// The thread that writes.
pub(super) struct Player {
    pub(super) begin: Instant,
    written: Arc<Written>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// What was written; the writer adds to it while the demo looks up whose line a ban follows.
#[derive(Default)]
struct Written {
    /// When the last line of each address was about to be written.
    last: Mutex<HashMap<IpAddr, Instant>>,
    ended: OnceLock<Instant>,
    stop: AtomicBool,
}

impl Player {
    pub(super) fn start(recording: &Recording, path: &Path) -> Result<Self, String> {
        let mut log = File::options()
            .append(true)
            .open(path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let begin = Instant::now();
        let written = Arc::new(Written::default());
        let (lines, shared) = (recording.lines.clone(), Arc::clone(&written));
        let play = move || {
            let outcome = (1_u32..).zip(lines).try_for_each(|(number, line)| {
                let due = begin + PACE * number;
                while let Some(wait) = due
                    .checked_duration_since(Instant::now())
                    .filter(|wait| !wait.is_zero())
                {
                    if shared.stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    std::thread::park_timeout(wait);
                }
                let date = jiff::Timestamp::now().strftime("%b %e %H:%M:%S");
                let text = format!("[{date}]{}\n", line.text);
                if let Some(source) = line.source {
                    let mut last = shared.last.lock().unwrap_or_else(PoisonError::into_inner);
                    last.insert(source, Instant::now());
                }
                log.write_all(text.as_bytes())
            });
            // Set once, here.
            let _ = shared.ended.set(Instant::now());
            outcome
        };
        let thread = std::thread::Builder::new()
            .name("player".to_owned())
            .spawn(play)
            .map_err(|error| format!("no thread: {error}"))?;
        Ok(Self { begin, written, thread })
    }

    /// How long before `now` the last line of this address was written.
    pub(super) fn since_last_line(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let last = self.written.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&address).map(|at| now.duration_since(*at))
    }

    pub(super) fn ended_at(&self) -> Option<Instant> {
        self.written.ended.get().copied()
    }

    pub(super) fn finish(self) -> Result<(), String> {
        self.written.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(outcome) => outcome.map_err(|error| format!("cannot write the log: {error}")),
            Err(_) => Err("the thread that writes the log has failed".to_owned()),
        }
    }
}

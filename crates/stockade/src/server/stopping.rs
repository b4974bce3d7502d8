//! How actions end: in peace if they can, in bounded time in any case.
//!
//! An action gets what waits for it done first (a mail about the last ban). One that is not through after a while passes over what waits, and
//! each command of it gets a few seconds only, so that bans are lifted and `actionstop` runs even if every command hangs.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::acting::{Job, Lane};

/// So long an action may take to do what waits.
const PEACE: Duration = Duration::from_secs(10);

/// After that, so long each command may take until it is asked to end.
const COMMAND: Duration = Duration::from_secs(3);

/// Between the request to end and the order to.
const GRACE: Duration = Duration::from_millis(500);

/// After this an action that is still not through is left behind.
const LIMIT: Duration = Duration::from_secs(45);

/// How often to look.
const TICK: Duration = Duration::from_millis(20);

/// Actions that are ending.
pub(crate) struct Stopping {
    begun: Instant,
    lanes: Vec<Ending>,
}

struct Ending {
    lane: Lane,
    done: Receiver<()>,
    /// The command it runs, and since when it is known to.
    command: Option<(Pid, Instant)>,
}

impl Stopping {
    /// Tells these actions to end, side by side; in a farewell the whole server ends.
    pub(crate) fn begin(lanes: Vec<Lane>, is_farewell: bool) -> Self {
        let lanes = lanes.into_iter().map(|lane| {
            let (sender, done) = channel();
            lane.shared.farewell.store(is_farewell, Ordering::Relaxed);
            lane.give(Job::Stop(sender));
            Ending {
                lane,
                done,
                command: None,
            }
        });
        Self {
            begun: Instant::now(),
            lanes: lanes.collect(),
        }
    }

    /// Waits so long for all to end; true if they have.
    pub(crate) fn wait(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            self.lanes
                .retain(|ending| !matches!(ending.done.try_recv(), Err(TryRecvError::Disconnected)));
            let Some(first) = self.lanes.first() else {
                return true;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            // Ends early when this one is through.
            let _ = first.done.recv_timeout(left.min(TICK));
            if self.begun.elapsed() > PEACE.saturating_sub(COMMAND) {
                let hurry = self.begun.elapsed() > PEACE;
                for ending in &mut self.lanes {
                    ending.press(hurry);
                }
            }
        }
    }

    /// Waits until all have ended, or have to be left behind; their names, as `jail/action`.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let left = LIMIT.saturating_sub(self.begun.elapsed());
        if self.wait(left) {
            return Vec::new();
        }
        for ending in &self.lanes {
            if let Some(command) = ending.lane.command() {
                end(command, Signal::KILL);
            }
        }
        let names = self.lanes.iter();
        names
            .map(|ending| format!("{}/{}", ending.lane.jail(), ending.lane.name()))
            .collect()
    }
}

impl Ending {
    /// Notes which command runs; in a hurry, ends it if it takes long.
    fn press(&mut self, hurry: bool) {
        let now = Instant::now();
        let running = self.lane.command();
        match (running, self.command) {
            (Some(running), Some((known, since))) if running == known => {
                let age = now.saturating_duration_since(since);
                if hurry && age > COMMAND + GRACE {
                    end(running, Signal::KILL);
                } else if hurry && age > COMMAND {
                    end(running, Signal::TERM);
                }
            }
            (running, _) => self.command = running.map(|command| (command, now)),
        }
        if hurry {
            self.lane.shared.hurry.store(true, Ordering::Relaxed);
        }
    }
}

impl Lane {
    /// The command that runs for it, which leads a process group of its own.
    fn command(&self) -> Option<Pid> {
        let thread = self.shared.thread.load(Ordering::Relaxed);
        if thread == 0 {
            return None;
        }
        let children = std::fs::read_to_string(format!("/proc/self/task/{thread}/children")).ok()?;
        Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
    }
}

fn end(command: Pid, signal: Signal) {
    // It fails only if the group is gone, which is what is wanted.
    let _ = kill_process_group(command, signal);
}

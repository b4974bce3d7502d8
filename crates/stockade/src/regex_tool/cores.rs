//! One long log on several processors, with the result of one.
//!
//! A thread reads; workers survey pieces from a guess of what the lines before them leave behind; here the pieces are taken in
//! in order. A piece whose guess was wrong is surveyed anew ([`Filter::follow`]), and where guesses fail often nothing is
//! guessed for a while. Begin reading at [`Survey::run`].

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Once};
use std::thread::{self, Builder, Scope};

use stockade_filter::{Ahead, Clock, Filter, Memory, Outlook, Surveyed};

use super::blocks::Blocks;
use super::reading::Reading;

/// How the work is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    /// Threads that try rules; with one there are no guesses.
    pub(super) workers: usize,
    /// Bytes of a piece.
    pub(super) piece: usize,
    /// So many bytes are tried before threads are started: most logs are not longer.
    pub(super) alone: u64,
}

/// More processors would wait for the one that takes pieces in.
const MOST_WORKERS: usize = 4;
/// Pieces given to a worker that did not come back yet.
const AT_WORK: usize = 2;
/// Guesses that may fail before they are given up for a while; one that holds makes good for a quarter of one that fails.
const CREDIT: i32 = 32;
const FAILED: i32 = 4;
/// So many pieces are surveyed without a guess then.
const PAUSE: u32 = 64;

impl Default for Division {
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism()
                .map_or(1, NonZero::get)
                .min(MOST_WORKERS),
            piece: 1 << 20,
            alone: 4 << 20,
        }
    }
}

/// How guesses did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Guesses {
    pub(super) right: u64,
    pub(super) wrong: u64,
}

/// A log to be surveyed.
pub(super) struct Survey<'a> {
    pub(super) filter: &'a Filter,
    pub(super) clock: Clock,
    pub(super) check_all: bool,
}

struct Job {
    block: Vec<u8>,
    guess: Arc<Outlook>,
    /// What was found ahead in a piece that is taken in, for its memory.
    room: Ahead,
}

/// A piece surveyed ahead; `None` if that panicked.
type Done = (Vec<u8>, Option<Ahead>);

/// The two ends of a worker. Neither channel ever holds more than [`AT_WORK`] pieces.
struct Worker {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
}

impl Survey<'_> {
    /// Surveys a log, and tells what [`Filter::survey`] does; `after` is called behind each block.
    pub(super) fn run(
        &self,
        mut blocks: Box<Blocks>,
        division: Division,
        memory: &mut Memory,
        mut each: impl FnMut(Told<'_>),
    ) -> io::Result<(Box<Blocks>, Guesses)> {
        if division.workers < 2 {
            blocks.each(|block| {
                self.plainly(block, memory, &mut each);
                Ok(())
            })?;
            return Ok((blocks, Guesses::default()));
        }
        let mut reading = Reading::begin(blocks, division.piece)?;
        let mut alone = 0;
        while alone < division.alone
            && let Some(block) = reading.next()
        {
            alone += u64::try_from(block.len()).unwrap_or(u64::MAX);
            self.plainly(&block, memory, &mut each);
            reading.reuse(block);
        }
        let mut guesses = Guesses::default();
        if let Some(first) = reading.next() {
            guesses = self.divided(first, &mut reading, division, memory, &mut each)?;
        }
        Ok((reading.end()?, guesses))
    }

    fn plainly(&self, block: &[u8], memory: &mut Memory, each: &mut impl FnMut(Told<'_>)) {
        self.filter
            .survey(block, self.clock, memory, self.check_all, &mut |told| {
                each(Told::Lines(told));
            });
        each(Told::End);
    }

    fn divided(
        &self,
        first: Vec<u8>,
        reading: &mut Reading,
        division: Division,
        memory: &mut Memory,
        each: &mut impl FnMut(Told<'_>),
    ) -> io::Result<Guesses> {
        let mut guesses = Guesses::default();
        thread::scope(|scope| {
            let workers: Vec<Worker> = (0..division.workers).map_while(|_| self.worker(scope)).collect();
            let mut next = Some(first);
            // Who has the pieces, in their order.
            let mut at_work: VecDeque<&Worker> = VecDeque::new();
            let mut turns = workers.iter().cycle();
            let mut guess = Arc::new(self.filter.outlook(memory));
            let mut spare = Vec::new();
            let (mut credit, mut pause) = (CREDIT, 0);
            loop {
                while pause == 0
                    && at_work.len() < AT_WORK * workers.len()
                    && let Some(block) = next.take().or_else(|| reading.next())
                {
                    let Some(worker) = turns.next() else { break };
                    let guess = Arc::clone(&guess);
                    let room = spare.pop().unwrap_or_default();
                    worker.jobs.send(Job { block, guess, room }).map_err(|_| LOST)?;
                    at_work.push_back(worker);
                }
                let Some(worker) = at_work.pop_front() else {
                    let Some(block) = next.take().or_else(|| reading.next()) else {
                        return Ok(guesses);
                    };
                    self.plainly(&block, memory, each);
                    reading.reuse(block);
                    pause = u32::saturating_sub(pause, 1);
                    continue;
                };
                let (block, mut ahead) = worker.done.recv().map_err(|_| LOST)?;
                let held = ahead.as_mut().is_some_and(|ahead| {
                    self.filter
                        .follow(&block, ahead, self.clock, memory, &mut |told| each(Told::Lines(told)))
                });
                if held {
                    each(Told::End);
                    guesses.right += 1;
                    credit = (credit + 1).min(CREDIT);
                } else {
                    self.plainly(&block, memory, each);
                    guesses.wrong += 1;
                    credit -= FAILED;
                }
                guess = Arc::new(self.filter.outlook(memory));
                reading.reuse(block);
                spare.extend(ahead);
                if credit <= 0 {
                    credit = CREDIT / 2;
                    pause = PAUSE;
                }
            }
        })
    }

    /// Starts a worker; `None` if there can be no more threads.
    fn worker<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Option<Worker> {
        let (jobs, given) = sync_channel::<Job>(AT_WORK);
        let (finished, done) = sync_channel::<Done>(AT_WORK);
        quiet_workers();
        let work = move || {
            let mut memory = Memory::default();
            for Job { block, guess, room } in given {
                // Only if the guess was right is the panic a true one, and then it comes again.
                let ahead = catch_unwind(AssertUnwindSafe(|| {
                    self.filter
                        .survey_ahead(&block, &guess, self.clock, &mut memory, self.check_all, room)
                }));
                if ahead.is_err() {
                    memory = Memory::default();
                }
                if finished.send((block, ahead.ok())).is_err() {
                    break;
                }
            }
        };
        Builder::new().name(WORKER.into()).spawn_scoped(scope, work).ok()?;
        Some(Worker { jobs, done })
    }
}

/// What is told of a log.
pub(super) enum Told<'a> {
    Lines(Surveyed<'a>),
    /// The end of a block.
    End,
}

/// Name of the threads that work on guesses.
const WORKER: &str = "survey";

/// A worker catches its panics, so it is there as long as its channels.
const LOST: io::ErrorKind = io::ErrorKind::BrokenPipe;

/// A panic of a worker is not told: it comes again where the piece is taken in.
fn quiet_workers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if thread::current().name() != Some(WORKER) {
                tell(panic);
            }
        }));
    });
}

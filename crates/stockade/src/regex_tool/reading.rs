//! Reading on a thread of its own: while a block is tried the next one is read and unpacked.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use memchr::{memchr, memrchr};

use super::blocks::Blocks;

/// So many blocks may be read that nobody has tried yet; the reader waits when there are more.
const AHEAD: usize = 4;

/// The blocks of a log, read ahead.
pub(super) struct Reading {
    blocks: Receiver<Vec<u8>>,
    spent: Sender<Vec<u8>>,
    thread: Option<JoinHandle<Ended>>,
}

/// How reading went, and the log with what is known of its damage.
type Ended = (io::Result<()>, Box<Blocks>);

impl Reading {
    /// Begins to read; blocks of more than `piece` bytes are divided at line ends.
    ///
    /// If nobody wants them any more the thread ends with the next block, and nobody waits for that.
    pub(super) fn begin(mut blocks: Box<Blocks>, piece: usize) -> io::Result<Self> {
        let (out, read) = sync_channel(AHEAD);
        let (spent, empty) = channel();
        let thread = Builder::new().name("read".into()).spawn(move || {
            let ended = blocks.each(|block| tell(block, piece, &out, &empty));
            (ended, blocks)
        })?;
        Ok(Self {
            blocks: read,
            spent,
            thread: Some(thread),
        })
    }

    /// The next block; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        self.blocks.recv().ok()
    }

    /// Takes back the memory of a block.
    pub(super) fn reuse(&mut self, block: Vec<u8>) {
        // If the reader has ended it needs no memory.
        let _ = self.spent.send(block);
    }

    /// How reading ended, after the last block. A panic of the reader goes on here.
    pub(super) fn end(mut self) -> io::Result<Box<Blocks>> {
        let thread = self.thread.take().ok_or(io::ErrorKind::BrokenPipe)?;
        drop(self);
        match thread.join() {
            Ok((ended, blocks)) => ended.map(|()| blocks),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn tell(block: &[u8], piece: usize, out: &SyncSender<Vec<u8>>, empty: &Receiver<Vec<u8>>) -> io::Result<()> {
    let mut rest = block;
    while !rest.is_empty() {
        let (part, others) = rest.split_at(first_piece(rest, piece));
        let mut told = empty.try_recv().unwrap_or_default();
        told.clear();
        told.extend_from_slice(part);
        out.send(told).map_err(|_| io::ErrorKind::BrokenPipe)?;
        rest = others;
    }
    Ok(())
}

/// Whole lines of at most so many bytes, or one that is longer.
fn first_piece(block: &[u8], most: usize) -> usize {
    let last = memrchr(b'\n', block.get(..most).unwrap_or(block));
    let end = last.or_else(|| memchr(b'\n', block));
    end.map_or(block.len(), |end| end + 1)
}

//! The lines of a file or pipe, many at a time: whole lines that are tried, decoded, in bounded memory.

use std::io::{self, Read};

use memchr::{memchr, memmem, memrchr};
use stockade_filter::{Decoder, Encoding};
use stockade_source::LINE_LIMIT_BYTES;

/// So much is read at once; more than a line may have.
const BLOCK_BYTES: usize = 4 * LINE_LIMIT_BYTES;

/// A log that is read to its end.
pub(super) struct Blocks {
    reader: Box<dyn Read + Send>,
    decoder: Decoder,
    /// The bytes are those of UTF-8: a block is as it is read.
    plain: bool,
    buffer: Vec<u8>,
    /// So much of the buffer is filled, from the start of a line.
    filled: usize,
    /// What is read belongs to a line that is too long, of which enough was told.
    skipping: bool,
    /// Why an archive could not be read to its end.
    problem: Option<io::Error>,
    archive: bool,
}

impl Blocks {
    /// Of an archive that is damaged what can be unpacked is told.
    pub(super) fn new(reader: Box<dyn Read + Send>, archive: bool, encoding: Encoding) -> Self {
        Self {
            reader,
            decoder: Decoder::new(encoding),
            plain: encoding == Encoding::default(),
            buffer: vec![0; BLOCK_BYTES],
            filled: 0,
            skipping: false,
            problem: None,
            archive,
        }
    }

    /// Why an archive could not be read to its end.
    pub(super) fn problem(&self) -> Option<&io::Error> {
        self.problem.as_ref()
    }

    /// Calls back with blocks of whole lines, but for empty ones and comments.
    ///
    /// What there is of a pipe is told at once. A last line without an end is none: more of it may come. Of a line that is too
    /// long the beginning is told, as the server takes it.
    pub(super) fn each(&mut self, mut out: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut cut, mut decoded, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let read = match self.reader.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if self.archive => {
                    self.problem = Some(error);
                    0
                }
                read => read?,
            };
            self.filled += read;
            self.skip();
            let held = self.buffer.get(..self.filled).unwrap_or_default();
            let end = memrchr(b'\n', held).map_or(0, |last| last + 1);
            let (block, taken) = if end == 0 && held.len() > LINE_LIMIT_BYTES {
                self.skipping = true;
                (shortened(held, &mut cut), held.len())
            } else if read == 0 {
                // Bytes of a wide letter may come behind that of its line end.
                (held, held.len())
            } else {
                let block = held.get(..end).unwrap_or_default();
                (if fits(block) { block } else { shortened(block, &mut cut) }, end)
            };
            let block = if self.plain {
                whole_lines(block)
            } else {
                decoded.clear();
                for line in block.split_inclusive(|byte| *byte == b'\n') {
                    decoded.extend_from_slice(whole_lines(&self.decoder.decode(line).0));
                }
                &decoded
            };
            let block = if all_wanted(block) {
                block
            } else {
                wanted.clear();
                let lines = block.split_inclusive(|byte| *byte == b'\n');
                lines
                    .filter(|line| is_wanted(line))
                    .for_each(|line| wanted.extend_from_slice(line));
                &wanted
            };
            if !block.is_empty() {
                out(block)?;
            }
            if read == 0 {
                return Ok(());
            }
            self.buffer.copy_within(taken..self.filled, 0);
            self.filled -= taken;
        }
    }

    /// Forgets what belongs to a line that was too long.
    fn skip(&mut self) {
        if !self.skipping {
            return;
        }
        let held = self.buffer.get(..self.filled).unwrap_or_default();
        let end = memchr(b'\n', held);
        self.skipping = end.is_none();
        let rest = end.map_or(self.filled, |end| end + 1);
        self.buffer.copy_within(rest..self.filled, 0);
        self.filled -= rest;
    }
}

/// Whether no line is too long.
fn fits(block: &[u8]) -> bool {
    let mut rest = block;
    while rest.len() > LINE_LIMIT_BYTES + 1 {
        let window = rest.get(..=LINE_LIMIT_BYTES).unwrap_or(rest);
        let Some(end) = memrchr(b'\n', window) else {
            return false;
        };
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    true
}

/// The lines, each as long as it may be, with its end.
fn shortened<'a>(block: &[u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    buffer.clear();
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        buffer.extend_from_slice(text.get(..LINE_LIMIT_BYTES).unwrap_or(text));
        buffer.push(b'\n');
    }
    buffer
}

fn whole_lines(block: &[u8]) -> &[u8] {
    let end = memrchr(b'\n', block).map_or(0, |last| last + 1);
    block.get(..end).unwrap_or_default()
}

/// Whether a line, with its end, is neither empty nor a comment.
fn is_wanted(line: &[u8]) -> bool {
    !matches!(line, [] | [b'#', ..] | b"\n" | b"\r\n")
}

/// Whether that is certain of all lines of a block.
fn all_wanted(block: &[u8]) -> bool {
    let doubtful = |start: &u8| matches!(start, b'#' | b'\n' | b'\r');
    !block.first().is_some_and(doubtful)
        && [b"\n#", b"\n\n", b"\n\r"]
            .into_iter()
            .all(|start| memmem::find(block, start).is_none())
}

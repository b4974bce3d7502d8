//! Bytes become whole lines: an unfinished tail is kept, an over-long line is cut, nothing else is touched.
//!
//! [`Assembler`] also knows where in the file it stands and which bytes it read last, which is how a file that was cut
//! off and written anew is told from one that only grew.

use memchr::{memchr, memrchr};

/// The longest line that is matched in full, in bytes without its end; the rest of a longer one is counted, not kept.
pub const LINE_LIMIT_BYTES: usize = 64 * 1024;

/// How many bytes before the reading position are compared at each read. A log line's time, host and process fit in.
pub(crate) const CONTEXT_BYTES: usize = 64;

/// The lines of a block without their ends (`\n` or `\r\n`).
pub fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match memchr(b'\n', rest) {
            Some(end) => (part(rest, 0, end), part(rest, end + 1, rest.len())),
            None => (rest, Default::default()),
        };
        rest = after;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

/// The bytes right before a position of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context(Vec<u8>);

impl Context {
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        bytes.drain(..bytes.len().saturating_sub(CONTEXT_BYTES));
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn push(&mut self, new: &[u8]) {
        let keep_old = CONTEXT_BYTES.saturating_sub(new.len());
        self.0.drain(..self.0.len().saturating_sub(keep_old));
        self.0
            .extend_from_slice(part(new, new.len().saturating_sub(CONTEXT_BYTES), new.len()));
    }
}

/// Makes whole lines of what is read of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assembler {
    /// The position of the next byte to read.
    position: u64,
    context: Context,
    /// The beginning of a line whose end has not been read.
    unfinished: Vec<u8>,
    /// How many bytes of that line were left out already.
    dropped: u64,
}

/// What an [`Assembler`] hands on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Whole lines, and the position after them.
    Lines { block: &'a [u8], end: u64 },
    /// The line handed on last was cut: how many bytes of it were left out, and the position after it.
    Cut { dropped: u64, end: u64 },
}

impl Assembler {
    /// Goes on at `position`, after the bytes of `context`.
    pub(crate) fn at(position: u64, context: Context) -> Self {
        Self {
            position,
            context,
            unfinished: Vec::new(),
            dropped: 0,
        }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The beginning of the line that is not finished: where a restart resumes.
    pub(crate) fn resume_at(&self) -> u64 {
        let unfinished = u64::try_from(self.unfinished.len()).unwrap_or(u64::MAX);
        self.position.saturating_sub(unfinished).saturating_sub(self.dropped)
    }

    /// The kept beginning of the unfinished line, which the caller puts before the bytes it reads.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// Takes in a buffer that begins with [`Self::unfinished`] and goes on with the bytes read at [`Self::position`].
    ///
    /// Lines are handed on where they lie in the buffer; only the unfinished tail is copied.
    pub(crate) fn absorb(&mut self, buffer: &mut [u8], mut out: impl FnMut(Piece<'_>)) {
        let kept = self.unfinished.len();
        let new = part(buffer, kept, buffer.len());
        self.context.push(new);
        let length = new.len();
        // The position in the file of a place in the buffer.
        let base = self.position;
        let file_position = |place: usize| base + wide(place.saturating_sub(kept));
        self.position += wide(length);

        let mut begin = 0;
        if self.dropped > 0 {
            let Some(newline) = memchr(b'\n', new) else {
                self.dropped += wide(length);
                return;
            };
            self.unfinished.push(b'\n');
            let end = file_position(kept + newline + 1);
            out(Piece::Lines {
                block: &self.unfinished,
                end,
            });
            out(Piece::Cut {
                dropped: self.dropped + wide(newline),
                end,
            });
            self.dropped = 0;
            begin = kept + newline + 1;
        }
        self.unfinished.clear();

        let whole = memrchr(b'\n', part(buffer, begin, buffer.len())).map_or(begin, |last| begin + last + 1);
        let mut run = begin;
        let mut line = begin;
        // Jumps as far as all lines are surely short enough: the last newline within the limit ends such a run.
        while line < whole {
            let window = whole.min(line + LINE_LIMIT_BYTES + 1);
            if let Some(last) = memrchr(b'\n', part(buffer, line, window)) {
                line += last + 1;
                continue;
            }
            if run < line {
                out(Piece::Lines {
                    block: part(buffer, run, line),
                    end: file_position(line),
                });
            }
            let Some(newline) = memchr(b'\n', part(buffer, line, whole)) else {
                break;
            };
            let cut = line + LINE_LIMIT_BYTES;
            if let Some(byte) = buffer.get_mut(cut) {
                *byte = b'\n';
            }
            let end = file_position(line + newline + 1);
            out(Piece::Lines {
                block: part(buffer, line, cut + 1),
                end,
            });
            out(Piece::Cut {
                dropped: wide(newline.saturating_sub(LINE_LIMIT_BYTES)),
                end,
            });
            line += newline + 1;
            run = line;
        }
        if run < whole {
            out(Piece::Lines {
                block: part(buffer, run, whole),
                end: file_position(whole),
            });
        }

        let tail = part(buffer, whole, buffer.len());
        let keep = tail.len().min(LINE_LIMIT_BYTES);
        self.unfinished.extend_from_slice(part(tail, 0, keep));
        self.dropped = wide(tail.len() - keep);
        // One huge line must not hold its memory for ever.
        if self.unfinished.capacity() > 4096 && self.unfinished.len() < 1024 {
            self.unfinished.shrink_to(1024);
        }
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in chunks and returns what comes out, with the cut notices as text.
    fn assemble(bytes: &[u8], chunk: usize) -> (Vec<u8>, Vec<String>, Assembler) {
        let mut assembler = Assembler::default();
        let (mut text, mut notes, mut end) = (Vec::new(), Vec::new(), 0);
        for new in bytes.chunks(chunk) {
            let mut buffer = assembler.unfinished().to_vec();
            buffer.extend_from_slice(new);
            assembler.absorb(&mut buffer, |piece| match piece {
                Piece::Lines { block, end: now } => {
                    assert_eq!(block.last(), Some(&b'\n'));
                    assert!(now > end);
                    end = now;
                    text.extend_from_slice(block);
                }
                Piece::Cut { dropped, end } => notes.push(format!("{dropped} before {end}")),
            });
        }
        (text, notes, assembler)
    }

    #[test]
    fn whole_lines_come_out_and_the_tail_waits_whatever_the_chunks() {
        let bytes = b"one\ntwo\r\n\n\0\xff three\nunfin";
        for chunk in 1..=bytes.len() {
            let (text, notes, assembler) = assemble(bytes, chunk);
            assert_eq!(text, b"one\ntwo\r\n\n\0\xff three\n", "chunk {chunk}");
            assert_eq!(notes, Vec::<String>::new());
            assert_eq!(assembler.unfinished(), b"unfin");
            assert_eq!(assembler.resume_at(), 19);
            assert_eq!(assembler.position(), 24);
            assert_eq!(assembler.context().bytes(), bytes);
        }
    }

    #[test]
    fn long_lines_are_cut_at_the_limit_whatever_the_chunks() {
        let mut bytes = b"first\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', LINE_LIMIT_BYTES));
        bytes.extend(b"\nnext\n");
        bytes.extend(std::iter::repeat_n(b'y', LINE_LIMIT_BYTES + 1));
        bytes.extend(b"\nlast\n");
        bytes.extend(std::iter::repeat_n(b'z', 3 * LINE_LIMIT_BYTES));
        bytes.extend(b"\nend\n");
        let mut expected = b"first\n".to_vec();
        for (byte, after) in [(b'x', &b"\nnext\n"[..]), (b'y', b"\nlast\n"), (b'z', b"\nend\n")] {
            expected.extend(std::iter::repeat_n(byte, LINE_LIMIT_BYTES));
            expected.extend(after);
        }
        for chunk in [
            1000,
            4096,
            LINE_LIMIT_BYTES,
            LINE_LIMIT_BYTES + 1,
            2 * LINE_LIMIT_BYTES,
            bytes.len(),
        ] {
            let (text, notes, assembler) = assemble(&bytes, chunk);
            assert!(text == expected, "chunk {chunk}");
            assert_eq!(notes, ["1 before 131086", "131072 before 327700"], "chunk {chunk}");
            assert_eq!(assembler.resume_at(), wide(bytes.len()));
        }
    }

    #[test]
    fn the_lines_of_a_block_lose_their_ends() {
        let found: Vec<_> = lines(b"a\nb\r\n\nc\rd\n\xff\0\n").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"", b"c\rd", b"\xff\0"]);
    }
}

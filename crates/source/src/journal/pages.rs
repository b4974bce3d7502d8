//! Bytes of a journal file, read in pages: entries and their fields stand close to each other, so most reads are served from memory.
//!
//! Not a memory map: a file that is cut off while it is mapped kills the reader, and a map needs `unsafe`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is read at once.
const PAGE_BYTES: usize = 4 << 10;
/// Pages kept per file: 1 MiB, of a file that is being read.
const SLOTS: usize = 256;

/// A file and the pages of it that were read last.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    slots: Vec<Page>,
}

#[derive(Debug)]
struct Page {
    number: u64,
    bytes: Vec<u8>,
}

impl Pages {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            slots: Vec::new(),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Forgets what was read: the file has been written since.
    pub(super) fn forget(&mut self) {
        self.slots.clear();
    }

    /// Replaces `out` by `length` bytes from `offset`, less at the end of the file.
    pub(super) fn read(&mut self, offset: u64, length: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let mut at = offset;
        while out.len() < length {
            let page = self.page(at / PAGE_BYTES as u64)?;
            let within = usize::try_from(at % PAGE_BYTES as u64).unwrap_or(0);
            let rest = page.get(within..).unwrap_or(&[]);
            let piece = rest.get(..length - out.len()).unwrap_or(rest);
            if piece.is_empty() {
                break;
            }
            out.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn page(&mut self, number: u64) -> io::Result<&[u8]> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || Page {
                number: u64::MAX,
                bytes: Vec::new(),
            });
        }
        let slot = usize::try_from(number % SLOTS as u64).unwrap_or(0);
        let Some(page) = self.slots.get_mut(slot) else {
            return Ok(&[]);
        };
        if page.number != number {
            page.number = u64::MAX;
            page.bytes.resize(PAGE_BYTES, 0);
            let start = number.saturating_mul(PAGE_BYTES as u64);
            let length = read_full(&self.file, &mut page.bytes, start)?;
            page.bytes.truncate(length);
            page.number = number;
        }
        Ok(&page.bytes)
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(length as u64)) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

//! The header of a journal file, and numbers as they stand in one.
//!
//! Source: systemd's published description of the format (JOURNAL_FILE_FORMAT).

use std::fs::File;
use std::io;

use super::pages::read_full;

/// An id of 128 bits: of a file, a boot, a machine.
pub(super) type Id = [u8; 16];

/// The header up to the fields that every version has.
const HEADER_BYTES: usize = 208;

/// Ways of writing that a reader must know, or leave the file alone.
const XZ: u32 = 1;
const LZ4: u32 = 2;
const KEYED_HASH: u32 = 4;
const ZSTD: u32 = 8;
const COMPACT: u32 = 16;

/// Nothing will be written to the file any more.
const ARCHIVED: u8 = 2;

/// What the header of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Offsets take 4 bytes, not 8.
    pub(super) compact: bool,
    pub(super) archived: bool,
    pub(super) file_id: Id,
    pub(super) seqnum_id: Id,
    pub(super) length: u64,
    pub(super) entries: u64,
    pub(super) head_seqnum: u64,
    pub(super) tail_seqnum: u64,
    pub(super) entry_array: u64,
    /// Microseconds since 1970.
    pub(super) head_realtime: u64,
    pub(super) tail_realtime: u64,
}

/// Why a file, or a part of it, cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    Read(io::Error),
    Damaged(&'static str),
    /// There is no header yet: it was made a moment ago.
    Unfinished,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Header {
    /// Reads and checks it.
    pub(super) fn read(file: &File) -> Result<Self, Fault> {
        let mut bytes = [0; HEADER_BYTES];
        if read_full(file, &mut bytes, 0)? < HEADER_BYTES {
            return Err(Fault::Unfinished);
        }
        if !bytes.starts_with(b"LPKSHHRH") {
            return Err(Fault::Damaged("it does not begin as a journal does"));
        }
        let ways = u32_at(&bytes, 12);
        if ways & !(XZ | LZ4 | KEYED_HASH | ZSTD | COMPACT) != 0 {
            return Err(Fault::Damaged("it is written in a way that is newer than this program"));
        }
        let length = u64_at(&bytes, 88);
        if length < HEADER_BYTES as u64 || length > 1 << 16 {
            return Err(Fault::Damaged("its header has an impossible size"));
        }
        Ok(Self {
            compact: ways & COMPACT != 0,
            archived: bytes.get(16) == Some(&ARCHIVED),
            file_id: id_at(&bytes, 24),
            seqnum_id: id_at(&bytes, 72),
            length,
            entries: u64_at(&bytes, 152),
            tail_seqnum: u64_at(&bytes, 160),
            head_seqnum: u64_at(&bytes, 168),
            entry_array: u64_at(&bytes, 176),
            head_realtime: u64_at(&bytes, 184),
            tail_realtime: u64_at(&bytes, 192),
        })
    }
}

/// A number at a place; 0 beyond the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |number| u32::from_le_bytes(*number))
}

/// A number at a place; 0 beyond the end.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |number| u64::from_le_bytes(*number))
}

/// An id at a place; zeros beyond the end.
pub(super) fn id_at(bytes: &[u8], at: usize) -> Id {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .unwrap_or_default()
}

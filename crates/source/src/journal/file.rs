//! One journal file: its entries in order, and the fields they refer to.
//!
//! The file may be damaged or hostile. Every loop ends because offsets must grow; every size is bounded before it is used. An entry that
//! cannot be read is passed over, a field that cannot be read is left out.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use super::header::{Fault, Header, Id, id_at, u32_at, u64_at};
use super::pages::Pages;
use super::unpack::{Packing, unpack};

const OBJECT_HEADER: usize = 16;
const DATA: u8 = 1;
const ENTRY: u8 = 3;
const ENTRY_ARRAY: u8 = 6;

/// Where the items of an entry begin, those of an array, and the value of a data object.
const ENTRY_ITEMS: usize = 64;
const ARRAY_ITEMS: usize = 24;
const DATA_VALUE: usize = 64;
const DATA_VALUE_COMPACT: usize = 72;

/// journald writes at most 1,024 fields per entry; so many are looked at.
const ITEM_LIMIT: usize = 4096;

/// So much of a packed field is read to unpack its beginning.
const PACKED_LIMIT: usize = 256 << 10;

/// What stands at the beginning of every entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryHead {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) seqnum: u64,
    /// Microseconds since 1970.
    pub(super) realtime: u64,
    /// Microseconds since the boot.
    pub(super) monotonic: u64,
    pub(super) boot: Id,
    pub(super) xor_hash: u64,
}

/// An array of entries' offsets; arrays form a chain.
#[derive(Clone, Copy, Debug)]
struct Array {
    offset: u64,
    next: u64,
    /// Number of the first entry in it.
    first: u64,
    capacity: u64,
}

/// A journal file that is being read.
#[derive(Debug)]
pub(super) struct JournalFile {
    pages: Pages,
    pub(super) header: Header,
    /// The array the next entry stands in; `None` before the first one was read.
    array: Option<Array>,
    /// Number of the next entry.
    next: u64,
    /// Objects passed over because they were damaged.
    pub(super) damaged: u64,
    buffer: Vec<u8>,
}

impl JournalFile {
    pub(super) fn open(file: File) -> Result<Self, Fault> {
        let header = Header::read(&file)?;
        Ok(Self {
            pages: Pages::new(file),
            header,
            array: None,
            next: 0,
            damaged: 0,
            buffer: Vec::new(),
        })
    }

    /// Number of the next entry.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// Looks at the header again; `true` if there may be more to read.
    pub(super) fn refresh(&mut self) -> Result<bool, Fault> {
        let header = Header::read(self.pages.file())?;
        if header == self.header {
            return Ok(false);
        }
        let more = header.entries != self.header.entries;
        // Where things stand does not change during the life of a file.
        if header.file_id != self.header.file_id || header.compact != self.header.compact {
            return Err(Fault::Damaged("another journal was written over it"));
        }
        self.header = header;
        self.pages.forget();
        // The chain may have got longer.
        self.array = self
            .array
            .and_then(|array| self.array_at(array.offset, array.first).ok());
        Ok(more)
    }

    /// Whether nobody will find the file again.
    pub(super) fn is_deleted(&self) -> bool {
        self.pages.file().metadata().is_ok_and(|data| data.nlink() == 0)
    }

    /// Frees memory while nothing is to be read.
    pub(super) fn rest(&mut self) {
        self.pages.forget();
    }

    /// Goes to the first entry that is not older than `realtime`.
    pub(super) fn seek(&mut self, realtime: u64) {
        if realtime <= self.header.head_realtime {
            self.array = None;
            self.next = 0;
            return;
        }
        if realtime > self.header.tail_realtime {
            self.seek_end();
            return;
        }
        let (mut low, mut high) = (0, self.header.entries);
        // The first entry not older: entries stand in the order in which they were written.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.realtime_of(middle) {
                Some(found) if found < realtime => low = middle + 1,
                Some(_) => high = middle,
                // Damaged: what comes after it is looked at one by one.
                None => high = middle,
            }
        }
        self.next = low;
        self.array = self.array_of(low);
    }

    /// Goes behind the last entry.
    pub(super) fn seek_end(&mut self) {
        self.next = self.header.entries;
        self.array = self.array_of(self.next.saturating_sub(1));
    }

    fn realtime_of(&mut self, number: u64) -> Option<u64> {
        let array = self.array_of(number)?;
        let offset = self.item(array, number).ok().flatten()?;
        self.entry_at(offset).ok().map(|head| head.realtime)
    }

    /// The next entry; `None` at the end of what the header told.
    pub(super) fn next_entry(&mut self) -> Result<Option<EntryHead>, Fault> {
        while self.next < self.header.entries {
            let array = match self.array {
                Some(array) if self.next < array.first.saturating_add(array.capacity) => array,
                Some(array) if array.next == 0 => return Ok(None),
                Some(array) => {
                    let first = array.first.saturating_add(array.capacity);
                    let next = self.array_at(array.next, first)?;
                    self.array = Some(next);
                    continue;
                }
                None if self.header.entry_array == 0 => return Ok(None),
                None => {
                    self.array = self.array_of(self.next);
                    if self.array.is_none() {
                        return Err(Fault::Damaged("its list of entries cannot be followed"));
                    }
                    continue;
                }
            };
            let Some(offset) = self.item(array, self.next)? else {
                return Ok(None);
            };
            self.next += 1;
            match self.entry_at(offset) {
                Ok(head) => return Ok(Some(head)),
                Err(Fault::Damaged(_)) => self.damaged += 1,
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    /// The array in which an entry stands.
    fn array_of(&mut self, number: u64) -> Option<Array> {
        let mut array = match self.array {
            Some(array) if array.first <= number => array,
            _ => self.array_at(self.header.entry_array, 0).ok()?,
        };
        while number >= array.first.saturating_add(array.capacity) && array.next != 0 {
            array = self
                .array_at(array.next, array.first.saturating_add(array.capacity))
                .ok()?;
        }
        Some(array)
    }

    fn array_at(&mut self, offset: u64, first: u64) -> Result<Array, Fault> {
        self.object(offset, ARRAY_ITEMS)?;
        let size = u64_at(&self.buffer, 8);
        let next = u64_at(&self.buffer, OBJECT_HEADER);
        let width = self.width();
        if self.buffer.first() != Some(&ENTRY_ARRAY) || size < ARRAY_ITEMS as u64 + width {
            return Err(Fault::Damaged("its list of entries is damaged"));
        }
        // Objects are only ever added at the end, so that a chain that goes back is a circle.
        if next != 0 && next <= offset {
            return Err(Fault::Damaged("its list of entries goes in a circle"));
        }
        Ok(Array {
            offset,
            next,
            first,
            capacity: (size - ARRAY_ITEMS as u64) / width,
        })
    }

    /// Where an entry stands; `None` if that was not written yet.
    fn item(&mut self, array: Array, number: u64) -> Result<Option<u64>, Fault> {
        let width = self.width();
        let index = number.saturating_sub(array.first);
        if index >= array.capacity {
            return Ok(None);
        }
        let at = index
            .checked_mul(width)
            .and_then(|bytes| array.offset.checked_add(ARRAY_ITEMS as u64 + bytes))
            .ok_or(Fault::Damaged("its list of entries is damaged"))?;
        self.pages
            .read(at, usize::try_from(width).unwrap_or(8), &mut self.buffer)?;
        let offset = self.offset_at(0);
        Ok(Some(offset).filter(|offset| *offset != 0))
    }

    fn entry_at(&mut self, offset: u64) -> Result<EntryHead, Fault> {
        self.object(offset, ENTRY_ITEMS)?;
        let size = u64_at(&self.buffer, 8);
        if self.buffer.first() != Some(&ENTRY) || size < ENTRY_ITEMS as u64 {
            return Err(Fault::Damaged("an entry is damaged"));
        }
        Ok(EntryHead {
            offset,
            size,
            seqnum: u64_at(&self.buffer, 16),
            realtime: u64_at(&self.buffer, 24),
            monotonic: u64_at(&self.buffer, 32),
            boot: id_at(&self.buffer, 40),
            xor_hash: u64_at(&self.buffer, 56),
        })
    }

    /// Where the fields of an entry stand.
    pub(super) fn items(&mut self, head: &EntryHead, out: &mut Vec<u64>) -> Result<(), Fault> {
        out.clear();
        let width = if self.header.compact { 4 } else { 16 };
        let bytes = usize::try_from(head.size.saturating_sub(ENTRY_ITEMS as u64)).unwrap_or(usize::MAX);
        let length = bytes.min(ITEM_LIMIT * width);
        let at = head.offset.saturating_add(ENTRY_ITEMS as u64);
        self.pages.read(at, length, &mut self.buffer)?;
        for place in (0..self.buffer.len() / width).map(|number| number * width) {
            out.push(self.offset_at(place));
        }
        Ok(())
    }

    /// Replaces `out` by the beginning of a field, `NAME=value`, at most `limit` bytes of it. Gives how many entries have this very
    /// field.
    pub(super) fn field(&mut self, offset: u64, limit: usize, out: &mut Vec<u8>) -> Result<u64, Fault> {
        let value = if self.header.compact {
            DATA_VALUE_COMPACT
        } else {
            DATA_VALUE
        };
        // Most fields are short: one read brings all.
        self.object(offset, value + 128)?;
        let size = u64_at(&self.buffer, 8);
        let entries = u64_at(&self.buffer, 56);
        let length = size
            .checked_sub(value as u64)
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| *length > 0 && self.buffer.first() == Some(&DATA))
            .ok_or(Fault::Damaged("a field is damaged"))?;
        let flags = self.buffer.get(1).copied().unwrap_or(0);
        let packing = Packing::of(flags).ok_or(Fault::Damaged("a field is packed in an unknown way"))?;
        let wanted = match packing {
            Packing::None => length.min(limit),
            _ => length.min(PACKED_LIMIT),
        };
        let mut stored = std::mem::take(&mut self.buffer);
        let at = offset.saturating_add(value as u64);
        let outcome = if packing == Packing::None && stored.len() >= value + wanted {
            out.clear();
            out.extend_from_slice(stored.get(value..value + wanted).unwrap_or(&[]));
            Ok(())
        } else if packing == Packing::None {
            self.pages.read(at, wanted, out).map_err(Fault::Read)
        } else {
            self.pages
                .read(at, wanted, &mut stored)
                .map_err(Fault::Read)
                .and_then(|()| unpack(packing, &stored, limit, out).map_err(Fault::Damaged))
        };
        self.buffer = stored;
        outcome.map(|()| entries)
    }

    /// Reads the beginning of an object into the buffer.
    fn object(&mut self, offset: u64, length: usize) -> Result<(), Fault> {
        if offset < self.header.length || !offset.is_multiple_of(8) {
            return Err(Fault::Damaged("an offset leads nowhere"));
        }
        self.pages.read(offset, length, &mut self.buffer)?;
        if self.buffer.len() < OBJECT_HEADER {
            return Err(Fault::Damaged("an offset leads behind the end"));
        }
        Ok(())
    }

    fn width(&self) -> u64 {
        if self.header.compact { 4 } else { 8 }
    }

    fn offset_at(&self, place: usize) -> u64 {
        if self.header.compact {
            u64::from(u32_at(&self.buffer, place))
        } else {
            u64_at(&self.buffer, place)
        }
    }
}

//! A place in the journal that outlives the reader: written as `journalctl --show-cursor` writes it.

use std::fmt;
use std::str::FromStr;

use super::header::Id;

/// A place in the journal: behind one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) seqnum_id: Id,
    pub(super) seqnum: u64,
    pub(super) boot: Id,
    pub(super) monotonic: u64,
    pub(super) realtime: u64,
    pub(super) xor_hash: u64,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no cursor of the journal; it would be like s=…;i=…;b=…;m=…;t=…;x=…")
    }
}

impl std::error::Error for CursorError {}

impl Cursor {
    /// When the entry was written, in microseconds since 1970.
    pub fn realtime(&self) -> i64 {
        i64::try_from(self.realtime).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "s={:032x};i={:x};b={:032x};m={:x};t={:x};x={:x}",
            u128::from_be_bytes(self.seqnum_id),
            self.seqnum,
            u128::from_be_bytes(self.boot),
            self.monotonic,
            self.realtime,
            self.xor_hash
        )
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let part = |name: &str| {
            let parts = text.split(';').filter_map(|part| part.split_once('='));
            let (_, value) = parts.into_iter().find(|(key, _)| *key == name)?;
            u128::from_str_radix(value, 16).ok()
        };
        let number = |name: &str| {
            part(name)
                .and_then(|value| u64::try_from(value).ok())
                .ok_or(CursorError)
        };
        let id = |name: &str| part(name).map(u128::to_be_bytes).ok_or(CursorError);
        Ok(Self {
            seqnum_id: id("s")?,
            seqnum: number("i")?,
            boot: id("b")?,
            monotonic: number("m")?,
            realtime: number("t")?,
            xor_hash: number("x")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_journalctl_writes_it() {
        let text = "s=715c7fd0c8304cba99830789ac83a94d;i=1;b=a1777a4a69f043cca340f185b9a4049f;m=2c1fd0b24;t=660e255f1e2ff;x=8b4e1ba47b162830";
        let cursor: Cursor = text.parse().unwrap();
        assert_eq!(cursor.to_string(), text);
        assert_eq!(cursor.realtime(), 1_795_375_081_054_975);
        for text in ["", "s=1;i=2", "s=1;i=x;b=1;m=1;t=1;x=1"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError));
        }
    }
}

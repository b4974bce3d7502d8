//! Where in a log of many days reading may begin: found by halving, without reading what is too old to matter.
//!
//! Nothing here knows what a date is: the caller tells the [`Ages`] in a piece of the log. Halving is right only where the
//! log is in order, so pieces from all over it are looked at first; one out of order, or one the caller is not sure of,
//! and nothing is skipped. Start reading at [`Beginning::halve`].

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::{memchr, memrchr};

use crate::lines::LINE_LIMIT_BYTES;

/// A log shorter than this is read sooner than looked through.
const WORTH_BYTES: u64 = 1 << 20;
/// So much of the log is looked at in one place, and as much as the longest line if there is no whole line in it.
const PIECE_BYTES: usize = 16 << 10;
/// So many places all over the log show whether it is in order.
const PLACES: u64 = 64;
/// When the place is known so closely, reading is as fast.
const CLOSE_BYTES: u64 = 256 << 10;
/// Where pieces tell nothing, so many are tried in a row.
const BLANK_PIECES: u64 = 16;

/// What the lines of a piece of a log tell of their age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ages {
    /// No line has a date.
    None,
    /// Seconds from the time that matters to the lines' dates: below zero is too old. The least and the greatest.
    Between(i64, i64),
    /// Dates cannot be relied on here.
    Unclear,
}

/// What is not read yet of a log that is about to be read.
#[derive(Debug)]
pub struct Beginning<'a> {
    file: &'a File,
    from: u64,
    to: u64,
    begin: Cell<u64>,
}

impl<'a> Beginning<'a> {
    pub(crate) fn new(file: &'a File, from: u64, to: u64) -> Self {
        Self {
            file,
            from,
            to,
            begin: Cell::new(from),
        }
    }

    /// The place where reading begins now.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// How many bytes there are to read, and whether it pays to look for a later place.
    pub fn is_long(&self) -> bool {
        self.to.saturating_sub(self.from) >= WORTH_BYTES
    }

    /// Lets reading begin at a place that [`Self::halve`] found.
    pub fn begin_at(&self, place: u64) {
        if place >= self.from && place <= self.to {
            self.begin.set(place);
        }
    }

    pub(crate) fn begins_at(&self) -> u64 {
        self.begin.get()
    }

    /// The beginning of a line before which all is too old; [`Self::from`] if that cannot be told.
    ///
    /// Lines may be out of order by up to `disorder` seconds.
    pub fn halve(&self, disorder: i64, ages: &mut dyn FnMut(&[u8]) -> Ages) -> u64 {
        self.search(disorder, ages).unwrap_or(self.from)
    }

    /// `None`: from the beginning.
    fn search(&self, disorder: i64, ages: &mut dyn FnMut(&[u8]) -> Ages) -> Option<u64> {
        if !self.is_long() {
            return None;
        }
        let mut piece = Piece::default();
        // The last place that is surely too old, and the first that may not be.
        let mut old: Option<Dated> = None;
        let mut young: Option<u64> = None;
        let mut latest = i64::MIN;
        let step = self.to.saturating_sub(self.from) / PLACES;
        for place in (0..PLACES).map(|number| self.from + number * step) {
            let Some(begin) = piece.read(self, place).ok()? else {
                continue;
            };
            let (least, greatest) = match ages(&piece.lines) {
                Ages::None => continue,
                Ages::Between(least, greatest) => (least, greatest),
                Ages::Unclear => return None,
            };
            if least.saturating_add(disorder) < latest {
                return None;
            }
            latest = latest.max(greatest);
            if latest.saturating_add(disorder) < 0 {
                old = Some(Dated { begin, greatest });
            } else {
                young = young.or(Some(begin));
            }
        }
        let mut old = old?;
        let mut young = young.unwrap_or(self.to);
        // Pieces that tell nothing count as young: they are read.
        while young.saturating_sub(old.begin) > CLOSE_BYTES {
            let middle = old.begin + (young - old.begin) / 2;
            let mut place = middle;
            let mut found = None;
            for _ in 0..BLANK_PIECES {
                if let Some(begin) = piece.read(self, place).ok()?.filter(|begin| *begin < young) {
                    match ages(&piece.lines) {
                        Ages::None => {}
                        Ages::Unclear => return None,
                        Ages::Between(least, greatest) => {
                            found = Some((begin, least, greatest));
                            break;
                        }
                    }
                }
                place = place.saturating_add(piece.length);
                if place >= young {
                    break;
                }
            }
            match found {
                Some((_, least, _)) if least.saturating_add(disorder) < old.greatest => return None,
                Some((begin, _, greatest)) if greatest.saturating_add(disorder) < 0 => {
                    old = Dated { begin, greatest };
                }
                _ => young = middle,
            }
        }
        Some(old.begin)
    }
}

/// A place whose lines are too old.
struct Dated {
    begin: u64,
    greatest: i64,
}

/// Whole lines from somewhere in a log.
#[derive(Default)]
struct Piece {
    lines: Vec<u8>,
    /// How much of the file was looked at for it.
    length: u64,
}

impl Piece {
    /// Reads whole lines from `place` on; gives the place of the first. Fails if the log was cut off meanwhile.
    fn read(&mut self, log: &Beginning<'_>, place: u64) -> io::Result<Option<u64>> {
        for size in [PIECE_BYTES, 2 * LINE_LIMIT_BYTES] {
            let left = usize::try_from(log.to.saturating_sub(place)).unwrap_or(usize::MAX);
            self.lines.clear();
            self.lines.resize(size.min(left), 0);
            log.file.read_exact_at(&mut self.lines, place)?;
            self.length = wide(self.lines.len()).max(1);
            let begin = if place == log.from {
                0
            } else {
                memchr(b'\n', &self.lines).map_or(self.lines.len(), |end| end + 1)
            };
            let end = memrchr(b'\n', &self.lines).map_or(0, |end| end + 1);
            if begin < end {
                self.lines.truncate(end);
                self.lines.drain(..begin);
                return Ok(Some(place + wide(begin)));
            }
        }
        Ok(None)
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;
    use std::io::Write;

    /// The ages at the beginning of lines; lines without are passed over.
    fn ages(piece: &[u8]) -> Ages {
        let dates = lines(piece).filter_map(|line| {
            let text = std::str::from_utf8(line).ok()?;
            text.split(' ').next()?.parse::<i64>().ok()
        });
        let (mut least, mut greatest) = (i64::MAX, i64::MIN);
        for date in dates {
            (least, greatest) = (least.min(date), greatest.max(date));
        }
        if least > greatest {
            Ages::None
        } else {
            Ages::Between(least, greatest)
        }
    }

    /// Halves a log, and returns how many bytes are skipped and whether all that is left out is too old.
    fn halve(log: &[u8], disorder: i64) -> (u64, bool) {
        let mut file = tempfile();
        file.write_all(log).unwrap();
        let beginning = Beginning::new(&file, 0, wide(log.len()));
        let place = beginning.halve(disorder, &mut ages);
        let skipped = &log[..usize::try_from(place).unwrap()];
        assert!(skipped.is_empty() || skipped.last() == Some(&b'\n'), "not at a line");
        let sound = lines(skipped).all(|line| !matches!(ages(line), Ages::Between(_, age) if age >= 0));
        (place, sound)
    }

    fn tempfile() -> File {
        let dir = testkit::TempDir::new("halve");
        let path = dir.join("log");
        std::fs::write(&path, "").unwrap();
        std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    /// A log of `count` lines whose ages rise to `last`.
    fn log(count: i64, last: i64, line: impl Fn(i64, i64) -> String) -> Vec<u8> {
        (0..count)
            .flat_map(|number| line(number, last - (count - 1 - number)).into_bytes())
            .collect()
    }

    #[test]
    fn what_is_left_out_is_too_old_and_most_of_what_is_too_old_is_left_out() {
        let plain = |_: i64, age: i64| format!("{age} some words that make the line as long as others are\n");
        for young in [0, 1, 7, 1000, 59_999, 60_000, 70_000] {
            let log = log(60_000, young - 1, plain);
            let (skipped, sound) = halve(&log, 0);
            assert!(sound, "{young}");
            let old = wide(log.len()) * u64::try_from((60_000 - young).max(0)).unwrap() / 60_000;
            assert!(skipped + CLOSE_BYTES + 64 * 1024 >= old, "{young}: {skipped} of {old}");
        }
    }

    #[test]
    fn lines_without_dates_huge_lines_and_disorder_lose_nothing() {
        let trace = |number: i64, age: i64| {
            if number % 3000 < 2500 {
                "\tat some.java.Thing\n".to_owned()
            } else {
                format!("{age} x\n")
            }
        };
        let huge =
            |number: i64, age: i64| format!("{age} {}\n", "x".repeat(if number % 50 == 0 { 100_000 } else { 30 }));
        let jumpy = |number: i64, age: i64| format!("{} some words to fill the line\n", age - number * 7919 % 90);
        let undated = |_: i64, _: i64| "no date in any line of this\n".to_owned();
        let cases: [(&str, Vec<u8>); 4] = [
            ("traces", log(200_000, 5000, trace)),
            ("huge", log(3000, 300, huge)),
            ("jumpy", log(60_000, 2000, jumpy)),
            ("undated", log(60_000, 2000, undated)),
        ];
        for (name, log) in cases {
            let (skipped, sound) = halve(&log, 100);
            assert!(sound, "{name}");
            assert_eq!(skipped == 0, name == "undated", "{name}: {skipped}");
        }
    }

    #[test]
    fn a_log_that_is_not_in_order_is_read_from_its_beginning() {
        let mut twice = log(40_000, -5000, |_, age| format!("{age} some words to fill the line\n"));
        twice.extend(log(40_000, 3000, |_, age| {
            format!("{age} some words to fill the line\n")
        }));
        assert_eq!(halve(&twice, 100), (0, true));
        let backwards = log(60_000, 59_000, |_, age| {
            format!("{} some words to fill the line\n", -age)
        });
        assert_eq!(halve(&backwards, 100), (0, true));
    }

    #[test]
    fn where_the_caller_is_not_sure_nothing_is_skipped() {
        let log = log(60_000, 1000, |_, age| format!("{age} some words to fill the line\n"));
        let mut file = tempfile();
        file.write_all(&log).unwrap();
        let beginning = Beginning::new(&file, 0, wide(log.len()));
        assert_eq!(beginning.halve(0, &mut |_| Ages::Unclear), 0);
        let mut asked = 0;
        let mut seldom = |piece: &[u8]| {
            asked += 1;
            if asked == 40 { Ages::Unclear } else { ages(piece) }
        };
        assert_eq!(beginning.halve(0, &mut seldom), 0);
    }
}

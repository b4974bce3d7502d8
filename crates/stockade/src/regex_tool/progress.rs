//! How far reading has come, for a person who waits.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Whoever waits less is told nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tellings.
const INTERVAL: Duration = Duration::from_millis(100);
/// Lines between two looks at the clock.
const LOOK: u32 = 256;

/// How far reading has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Read so far.
    pub(super) bytes: u64,
    /// Of so many, if that is known.
    pub(super) size: Option<u64>,
}

/// A line on the terminal that is written over and taken away at the end; never in a pipe or a file.
pub(super) struct Progress {
    shown: bool,
    began: Instant,
    told: Option<Instant>,
    lines: u64,
    until_look: u32,
}

impl Progress {
    /// `results_there` is whether results go to the terminal while they are found: then they say how far it has come.
    pub(super) fn new(results_there: bool) -> Self {
        Self {
            shown: io::stderr().is_terminal() && !results_there,
            began: Instant::now(),
            told: None,
            lines: 0,
            until_look: LOOK,
        }
    }

    /// Counts lines.
    pub(super) fn advance(&mut self, lines: u64, place: Place) {
        self.lines += lines;
        self.until_look = self.until_look.saturating_sub(u32::try_from(lines).unwrap_or(u32::MAX));
        if self.until_look > 0 {
            return;
        }
        self.until_look = LOOK;
        if !self.shown {
            return;
        }
        let now = Instant::now();
        let since = self.told.map_or(now - self.began, |told| now - told);
        if since < if self.told.is_some() { INTERVAL } else { PATIENCE } {
            return;
        }
        self.told = Some(now);
        let text = told(self.lines, place, now - self.began);
        // `\x1b[K` clears what an earlier, longer telling has left.
        self.write(&format!("\r{text}\x1b[K"));
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if self.told.take().is_some() {
            self.write("\r\x1b[K");
        }
    }

    fn write(&mut self, text: &str) {
        let mut terminal = io::stderr().lock();
        let written = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
        // A terminal that is gone needs no telling.
        self.shown &= written.is_ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Columns of the bar.
const BAR: u64 = 24;

/// How far reading has come after so much time: `bytes` of `size`, if that is known. Less than 80 columns.
fn told(lines: u64, Place { bytes, size }: Place, after: Duration) -> String {
    let millis = after.as_millis().max(1);
    let per_second = u64::try_from(u128::from(lines) * 1_000 / millis).unwrap_or(u64::MAX);
    let per_second = grouped(per_second);
    let Some(size) = size.filter(|size| *size > 0) else {
        let megabytes = bytes / 1_000_000;
        return format!("{} lines, {per_second} lines/s, {megabytes} MB read", grouped(lines));
    };
    // A log that grows may be read beyond what was its end.
    let bytes = bytes.min(size);
    let part = |of: u64| u64::try_from(u128::from(bytes) * u128::from(of) / u128::from(size)).unwrap_or(of);
    let done = "#".repeat(usize::try_from(part(BAR)).unwrap_or_default());
    let left = u128::from(size - bytes) * millis / u128::from(bytes.max(1)) / 1_000;
    let left = match (left / 3600, left / 60 % 60, left % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours @ 0..100, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => "days".to_owned(),
    };
    let width = usize::try_from(BAR).unwrap_or_default();
    format!("[{done:<width$}] {:>3} %  {per_second} lines/s  {left} left", part(100))
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_tells_the_part_the_speed_and_the_time_left() {
        let cases = [
            (
                (1_500_000, 50, Some(200), 2_000),
                "[######                  ]  25 %  750,000 lines/s  0:06 left",
            ),
            (
                (10, 300, Some(200), 1_000),
                "[########################] 100 %  10 lines/s  0:00 left",
            ),
            (
                (10, 1, Some(4_000), 1_500),
                "[                        ]   0 %  6 lines/s  1:39:58 left",
            ),
            (
                (0, 0, Some(1 << 40), 1_000),
                "[                        ]   0 %  0 lines/s  days left",
            ),
            (
                (1_234_567, 98_000_000, None, 1_000),
                "1,234,567 lines, 1,234,567 lines/s, 98 MB read",
            ),
            ((3, 70, Some(0), 0), "3 lines, 3,000 lines/s, 0 MB read"),
        ];
        for ((lines, bytes, size, millis), expected) in cases {
            assert_eq!(
                told(lines, Place { bytes, size }, Duration::from_millis(millis)),
                expected
            );
        }
        let longest = told(
            u64::MAX,
            Place {
                bytes: 1,
                size: Some(u64::MAX),
            },
            Duration::from_secs(1 << 40),
        );
        assert!(longest.len() < 80, "{longest}");
    }
}

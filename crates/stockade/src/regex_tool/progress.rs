//! How far reading has come, for a person who waits.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Whoever waits less is told nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tellings.
const INTERVAL: Duration = Duration::from_millis(200);
/// Lines between two looks at the clock.
const LOOK: u32 = 256;

/// A line on the terminal that is written over and taken away at the end; never in a pipe or a file.
pub(super) struct Progress {
    shown: bool,
    began: Instant,
    told: Option<Instant>,
    lines: u64,
    bytes: u64,
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
            bytes: 0,
            until_look: LOOK,
        }
    }

    /// Counts lines; `bytes` were read in all, out of `size` if that is known.
    pub(super) fn advance(&mut self, lines: u64, bytes: u64, size: Option<u64>) {
        self.lines += lines;
        self.bytes = bytes;
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
        let part = size.filter(|size| *size > 0).map_or(String::new(), |size| {
            let percent = (u128::from(self.bytes) * 100 / u128::from(size)).min(100);
            format!(" ({percent} %)")
        });
        // `\x1b[K` clears what an earlier, longer telling has left.
        let text = format!(
            "\r{} lines, {} MB{part} read\x1b[K",
            grouped(self.lines),
            self.bytes / 1_000_000
        );
        self.write(&text);
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

//! What lines of the log begin with: those of the same millisecond, level and logger begin alike, and when much is told there are many of them.

use stockade_core::Timestamp;
use stockade_core::logline::Level;

/// So many beginnings are kept; no more levels and loggers are in use at a time.
const MOST: usize = 8;

/// The beginnings of lines of one millisecond.
#[derive(Debug, Default)]
pub(super) struct Heads {
    millisecond: i64,
    known: Vec<Head>,
}

#[derive(Debug)]
struct Head {
    level: Level,
    logger: String,
    text: String,
}

impl Heads {
    /// What a line begins with, if one like it was told in this millisecond.
    pub(super) fn get(&mut self, now: Timestamp, level: Level, logger: &str) -> Option<&str> {
        let millisecond = now.micros().div_euclid(1000);
        if self.millisecond != millisecond {
            self.millisecond = millisecond;
            self.known.clear();
        }
        let mut known = self.known.iter();
        let head = known.find(|head| head.level == level && head.logger == logger)?;
        Some(&head.text)
    }

    /// Keeps what lines begin with of the millisecond that was asked for last.
    pub(super) fn put(&mut self, level: Level, logger: &str, text: &str) {
        if self.known.len() < MOST {
            self.known.push(Head {
                level,
                logger: logger.to_owned(),
                text: text.to_owned(),
            });
        }
    }
}

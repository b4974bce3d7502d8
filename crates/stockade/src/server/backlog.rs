//! How far behind their logs the jails are: told by the workers, asked for by `status JAIL`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stockade_core::JailName;

use super::matching::{Block, Rules};

/// What is being caught up on within this time is not worth a word.
const WORTH_TELLING: Duration = Duration::from_secs(10);

/// Logs that are not read to their end.
///
/// A lock, and no message: a worker that is behind has its inbox full, and the answer must not wait for it. It is held for a look into a map.
#[derive(Default)]
pub(crate) struct Backlog(Mutex<HashMap<u64, Behind>>);

/// What is left of a log.
struct Behind {
    path: Arc<Path>,
    jails: Arc<[Arc<Rules>]>,
    bytes: u64,
    /// The length of a line, going by the last ones.
    line_bytes: u64,
    since: Instant,
}

impl Backlog {
    /// So many bytes of the log of this block are still to be judged.
    pub(crate) fn note(&self, block: &Block, bytes: u64) {
        let mut logs = self.logs();
        if bytes == 0 {
            logs.remove(&block.file);
            return;
        }
        let since = logs.get(&block.file).map_or_else(Instant::now, |behind| behind.since);
        let some = block.bytes.get(..4096).unwrap_or(&block.bytes);
        let lines = memchr::memchr_iter(b'\n', some).count().max(1);
        let behind = Behind {
            path: Arc::clone(&block.path),
            jails: Arc::clone(&block.jails),
            bytes,
            line_bytes: u64::try_from(some.len() / lines).unwrap_or(1).max(1),
            since,
        };
        logs.insert(block.file, behind);
    }

    /// A log is no longer read.
    pub(crate) fn forget(&self, file: u64) {
        self.logs().remove(&file);
    }

    /// The logs of a jail that are behind for longer than a moment, in words.
    pub(crate) fn of(&self, jail: &JailName) -> Vec<String> {
        let logs = self.logs();
        let mine = logs.values().filter(|behind| {
            behind.since.elapsed() >= WORTH_TELLING && behind.jails.iter().any(|rules| rules.jail == *jail)
        });
        let mut words: Vec<String> = mine.map(Behind::words).collect();
        words.sort();
        words
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<u64, Behind>> {
        // What is noted is whole after every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Behind {
    fn words(&self) -> String {
        format!(
            "{}: {} bytes, about {} lines, for {} seconds",
            self.path.display(),
            self.bytes,
            self.bytes.div_ceil(self.line_bytes),
            self.since.elapsed().as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicI64;
    use stockade_filter::{Filter, FilterSettings};

    #[test]
    fn a_log_that_is_behind_for_long_is_told_with_bytes_lines_and_seconds_until_its_end_is_reached() {
        let jail = JailName::new("sshd").unwrap();
        let rules = Arc::new(Rules {
            jail: jail.clone(),
            filter: Filter::new(&FilterSettings::default(), &jiff::tz::TimeZone::UTC).unwrap(),
            findtime: AtomicI64::new(600),
        });
        let block = Block {
            file: 7,
            path: Arc::from(Path::new("/var/log/auth.log")),
            bytes: b"twenty bytes a line\n".repeat(3),
            end: 60,
            left: 2000,
            first_line: None,
            entries: Vec::new(),
            in_operation: false,
            jails: Arc::from([rules]),
        };
        let backlog = Backlog::default();
        backlog.note(&block, 2000);
        assert_eq!(backlog.of(&jail), Vec::<String>::new(), "not for long");
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(12)) else {
            return;
        };
        backlog.logs().get_mut(&7).unwrap().since = long_ago;
        backlog.note(&block, 1990);
        assert_eq!(
            backlog.of(&jail),
            ["/var/log/auth.log: 1990 bytes, about 100 lines, for 12 seconds"]
        );
        assert_eq!(backlog.of(&JailName::new("other").unwrap()), Vec::<String>::new());
        backlog.note(&block, 0);
        assert_eq!(backlog.of(&jail), Vec::<String>::new(), "at the end");
    }
}

//! Which rules used up their steps, and how often: for `status` and the log.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use stockade_core::Timestamp;

use crate::Filter;
use crate::failregex::Rule;

/// Seconds for which a rule is not told again.
const QUIET: i64 = 3600;

/// A rule that used up its steps: the lines concerned counted as no match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overran {
    /// `failregex`, `ignoreregex` or `prefregex`.
    pub option: &'static str,
    /// Which entry of it, counted from 0.
    pub index: usize,
    /// How often.
    pub times: u64,
}

/// What one rule counts, for all logs of its jail: they are read by several threads.
#[derive(Debug)]
pub(crate) struct Overruns {
    times: AtomicU64,
    /// When it was told last, in seconds since 1970.
    told: AtomicI64,
}

impl Default for Overruns {
    fn default() -> Self {
        Self {
            times: AtomicU64::new(0),
            told: AtomicI64::new(i64::MIN),
        }
    }
}

impl Overruns {
    /// Counts one.
    pub(crate) fn count(&self) {
        self.times.fetch_add(1, Ordering::Relaxed);
    }
}

impl Filter {
    /// The rules that used up their steps on some line, in the order of the settings.
    pub fn overruns(&self) -> impl Iterator<Item = Overran> {
        self.counted().map(|(overran, _)| overran)
    }

    /// A rule that used up its steps and has not been told for an hour; from now on it counts as told.
    pub fn overrun_to_tell(&self, now: Timestamp) -> Option<Overran> {
        let now = now.secs();
        self.counted().find_map(|(overran, rule)| {
            let told = rule.overruns.told.load(Ordering::Relaxed);
            let due = now.saturating_sub(told) >= QUIET;
            // Whoever exchanges it tells; the others were a moment later.
            let mine = due
                && rule
                    .overruns
                    .told
                    .compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            mine.then_some(overran)
        })
    }

    fn counted(&self) -> impl Iterator<Item = (Overran, &Rule)> {
        let rules = &self.rules;
        let options = [
            ("prefregex", rules.prefregex.as_slice()),
            ("failregex", &rules.failregex),
            ("ignoreregex", &rules.ignoreregex),
        ];
        options.into_iter().flat_map(|(option, rules)| {
            rules.iter().filter_map(move |rule| {
                let times = rule.overruns.times.load(Ordering::Relaxed);
                let overran = Overran {
                    option,
                    index: rule.index,
                    times,
                };
                (times > 0).then_some((overran, rule))
            })
        })
    }
}

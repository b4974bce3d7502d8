//! Those who are banned and fail on: their actions and the database are told of them after a moment, once for all that has come meanwhile.
//!
//! Whoever catches up with a log hears of the same few thousands of times a second; to wake another thread each time costs more than all else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use stockade_core::{Again, FailureId};

/// So long is waited after somebody was told. What comes after a longer silence is told at once.
const PAUSE: Duration = Duration::from_millis(50);

/// What a jail still has to tell.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// With its number, by which it is known who came first.
    by_id: HashMap<FailureId, (u64, Again)>,
    /// How many came so far.
    count: u64,
    told: Option<Instant>,
}

impl Waiting {
    /// Takes up what a decision came to.
    pub(crate) fn add(&mut self, again: Again) {
        if let Some((_, known)) = self.by_id.get_mut(&again.id) {
            known.longer |= again.longer;
            known.recheck |= again.recheck;
            return;
        }
        self.count += 1;
        self.by_id.insert(again.id.clone(), (self.count, again));
    }

    /// What waits of an id, which is then told.
    pub(crate) fn take(&mut self, id: &FailureId) -> Option<Again> {
        self.by_id.remove(id).map(|(_, again)| again)
    }

    /// All that waits, those who came first ahead.
    pub(crate) fn take_all(&mut self, now: Instant) -> Vec<Again> {
        if self.by_id.is_empty() {
            return Vec::new();
        }
        self.told = Some(now);
        let mut all: Vec<(u64, Again)> = self.by_id.drain().map(|(_, again)| again).collect();
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, again)| again).collect()
    }

    /// How long what waits is still to wait; `None` if nothing does.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        let told = self.told.map_or(PAUSE, |told| now.saturating_duration_since(told));
        (!self.by_id.is_empty()).then(|| PAUSE.saturating_sub(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_on_is_told_at_once_and_then_after_a_pause_once_for_all_that_came() {
        let again = |number: u8, longer, recheck| Again {
            id: FailureId::Addr(std::net::Ipv4Addr::new(192, 0, 2, number).into()),
            longer,
            recheck,
        };
        let mut waiting = Waiting::default();
        let now = Instant::now();
        assert_eq!(waiting.pause(now), None);
        waiting.add(again(1, true, false));
        assert_eq!(waiting.pause(now), Some(Duration::ZERO));
        assert_eq!(waiting.take_all(now), [again(1, true, false)]);
        for number in [9, 4, 7, 4, 9, 1] {
            waiting.add(again(number, number == 7, number == 9));
            waiting.add(again(number, number == 9, number == 4));
        }
        assert_eq!(waiting.pause(now), Some(PAUSE));
        assert_eq!(waiting.pause(now + PAUSE), Some(Duration::ZERO));
        assert_eq!(waiting.take(&again(1, false, false).id), Some(again(1, false, false)));
        let all = [again(9, true, true), again(4, false, true), again(7, true, false)];
        assert_eq!(waiting.take_all(now + PAUSE), all);
        assert_eq!(waiting.pause(now + PAUSE), None);
    }
}

//! Where in a long log its jails begin to read: what is older than their `findtime` is passed over unread.
//!
//! As upstream, by halving. What comes out is what reading from the beginning gives: where that is not sure, reading begins
//! there (rules over several lines, wide encodings, dates that can be read in two ways, logs out of order).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use stockade_core::Timestamp;
use stockade_filter::{Dates, Memory};
use stockade_source::{Ages, Beginning};

use super::matching::Rules;

/// Lines may be out of order by so many seconds: programs that write late, and clocks put back in autumn.
const DISORDER: i64 = 2 * 3600;

/// A line without a date is dated by the line before it for so long, whatever `findtime` says.
const SERVES: i64 = 60;

/// The place at which all jails of a log may begin.
pub(crate) fn beginning(beginning: &Beginning<'_>, jails: &[Arc<Rules>]) -> u64 {
    let mut place = u64::MAX;
    for rules in jails {
        // The one that looks back longest decides.
        place = place.min(of_jail(beginning, rules, super::now()));
        if place == beginning.from() {
            break;
        }
    }
    if jails.is_empty() { beginning.from() } else { place }
}

fn of_jail(beginning: &Beginning<'_>, rules: &Rules, now: Timestamp) -> u64 {
    if !rules.filter.may_begin_late() {
        return beginning.from();
    }
    let findtime = rules.findtime.load(Ordering::Relaxed).max(SERVES);
    let matters = now.secs().saturating_sub(findtime);
    let mut memory = Memory::default();
    beginning.halve(
        DISORDER,
        &mut |piece| match rules.filter.dates(piece, now, &mut memory) {
            Dates::None => Ages::None,
            Dates::Ambiguous => Ages::Unclear,
            Dates::Between(least, greatest) => {
                let age = |at: Timestamp| at.secs().saturating_sub(matters);
                Ages::Between(age(least), age(greatest))
            }
        },
    )
}

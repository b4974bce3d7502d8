//! Thousands of small configurations made at random, read by both programs.
//!
//! `STOCKADE_TREES` is how many (150), `STOCKADE_SEED` where to begin (1): the tree of number N is the one of seed N. What
//! differs is made smaller while it differs, and shown with both lists.

mod grammar;
mod random;
mod shrink;
mod text;
mod tree;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::{fail2ban_is_here, stream};
use crate::verdict::{Difference, Verdict, judge};
use tree::Tree;

/// What making a tree smaller may take.
const SHRINKING: Duration = Duration::from_mins(1);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn verdict(tree: &Tree) -> Verdict {
    judge(&tree.write())
}

/// What is wrong with a tree, in short: a smaller tree must differ in the same way.
fn kind(difference: &Difference) -> String {
    let first = difference.why.lines().next().unwrap_or_default();
    let words: Vec<&str> = first
        .split([' ', ':'])
        .filter(|word| !word.contains(|c: char| c.is_ascii_digit()))
        .take(8)
        .collect();
    // Which commands differ: `['set', 'ja', 'usedns'`.
    let commands = difference.why.lines().skip(1).flat_map(|line| {
        line.split([',', ' '])
            .filter(|word| word.starts_with(['\'', '[']))
            .take(3)
    });
    words.into_iter().chain(commands).collect::<Vec<_>>().join(" ")
}

fn report(seed: u64, tree: Tree, difference: &Difference) -> String {
    let wanted = kind(difference);
    // Where Fail2Ban takes long for each try, a tree that is not the smallest has to do.
    let end = Instant::now() + SHRINKING;
    let small = shrink::shrink(tree, |tree| {
        Instant::now() < end && matches!(verdict(tree), Verdict::Differs(found) if kind(&found) == wanted)
    });
    let Verdict::Differs(found) = verdict(&small) else {
        return format!("seed {seed} differs by chance");
    };
    let lines = |commands: &[Vec<stockade_protocol::Value>]| -> String {
        let lines: Vec<String> = commands
            .iter()
            .map(|command| format!("  {}\n", stream::line(command)))
            .collect();
        lines.concat()
    };
    format!(
        "######## seed {seed}: {}\n{}-- ours\n{}-- theirs\n{}",
        found.why,
        small.shown(),
        lines(&found.ours),
        lines(&found.theirs)
    )
}

#[test]
fn trees_at_random_mean_the_same_to_both() {
    if !fail2ban_is_here() {
        return;
    }
    let (first, count) = (setting("STOCKADE_SEED", 1), setting("STOCKADE_TREES", 150));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let next = AtomicU64::new(first);
    let equal = AtomicU64::new(0);
    let deviating: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let differing: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || differing.lock().unwrap().len() >= 5 {
                        return;
                    }
                    let tree = grammar::tree(seed);
                    match verdict(&tree) {
                        Verdict::Equal => {
                            equal.fetch_add(1, Ordering::Relaxed);
                        }
                        Verdict::Deviates(kinds) => {
                            let mut deviating = deviating.lock().unwrap();
                            *deviating.entry("trees").or_default() += 1;
                            for kind in kinds {
                                *deviating.entry(kind).or_default() += 1;
                            }
                        }
                        Verdict::Differs(difference) => {
                            let told = report(seed, tree, &difference);
                            differing.lock().unwrap().push(told);
                        }
                    }
                }
            });
        }
    });
    let differing = differing.into_inner().unwrap();
    eprintln!(
        "random trees {first} to {}: {count} configurations compared, {} equal, {} differ; equal but for a listed deviation: {:#?}",
        first + count - 1,
        equal.into_inner(),
        differing.len(),
        deviating.into_inner().unwrap()
    );
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

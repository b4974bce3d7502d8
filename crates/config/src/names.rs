//! Tables by name.
//!
//! A configuration with many jails is looked up in a hundred thousand times. What is hashed was written by root, so that a hash that nobody can
//! foresee, as the standard library's, would guard against nobody; this one takes a fraction of its time.

use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Quick>>;
pub(crate) type HashSet<K> = std::collections::HashSet<K, BuildHasherDefault<Quick>>;

/// Multiplies eight bytes at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quick(u64);

/// Odd, and without a pattern in its bits: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Quick {
    fn add(&mut self, word: u64) {
        // Both halves: the low one alone knows nothing of what differs high up, as the last letter of a word does.
        let (low, high) = (self.0.rotate_left(5) ^ word).carrying_mul(FACTOR, 0);
        self.0 = low ^ high;
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            // Its length, so that a NUL at the end makes a difference.
            self.add(u64::from_le_bytes(last) ^ (rest.len() as u64) << 60);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    #[test]
    fn names_that_differ_little_have_hashes_that_differ_in_the_bits_a_table_takes() {
        let build = BuildHasherDefault::<Quick>::default();
        let names = (0..4096).flat_map(|number| {
            [
                format!("option{number}"),
                format!("{number}?family=inet6"),
                "x".repeat(number),
            ]
        });
        let names: BTreeSet<String> = names.collect();
        let hashes: BTreeSet<u64> = names.iter().map(|name| build.hash_one(name)).collect();
        assert_eq!(hashes.len(), names.len());
        let low: BTreeSet<u64> = hashes.iter().map(|hash| hash & 0x3fff).collect();
        // Of 12,000 balls thrown at random into 16,384 boxes, half of the boxes get one.
        assert!(low.len() > 7000, "{}", low.len());
        let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert_eq!(high.len(), 128);
    }
}

//! Numbers that are the same everywhere for a seed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![expect(clippy::disallowed_methods, reason = "the seed and the size of a longer run")]

/// xorshift64*
pub(crate) struct Random(u64);

impl Random {
    /// `STOCKADE_SEED` gives other numbers than usual; `stream` tells tests apart.
    pub(crate) fn new(stream: u64) -> Self {
        let seed = std::env::var("STOCKADE_SEED").map_or(2026, |seed| seed.parse().unwrap());
        Self((seed * 1000 + stream).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    /// Whether something that happens once in `times` happens.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// How many times the usual number of pairs a test compares: `STOCKADE_TIMES`.
pub(crate) fn times() -> usize {
    std::env::var("STOCKADE_TIMES").map_or(1, |times| times.parse().unwrap())
}

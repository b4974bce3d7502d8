//! Numbers that differ from call to call and are the same in each run.

#![expect(unreachable_pub, reason = "a module of tests")]

/// Holds the seed.
pub struct Numbers(pub u64);

impl Numbers {
    /// A number from 0 to below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

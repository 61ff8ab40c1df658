//! Chance that can be repeated: the seed is printed, and `TSDB_TEST_SEED` sets it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (SplitMix64, Steele et al. 2014): one multiplication chain, any seed is good.
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    /// The seed of `TSDB_TEST_SEED`, or one from the clock; printed in either case.
    pub fn from_environment() -> Seed {
        let given = std::env::var("TSDB_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.as_secs() ^ u64::from(now.subsec_nanos()) << 32
        });
        println!("seed: TSDB_TEST_SEED={seed}");
        Seed(seed)
    }

    /// A given seed.
    pub fn new(seed: u64) -> Seed {
        Seed(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number of `range`, which must not be empty.
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        assert!(range.start < range.end, "an empty range has no number");
        range.start + self.bits() % (range.end - range.start)
    }
}

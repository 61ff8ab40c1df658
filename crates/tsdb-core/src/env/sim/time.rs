//! A clock and a source of randomness that do what the test says.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::env::{Clock, Rng};

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct SimClock {
    wall_ns: AtomicI64,
    mono_ns: AtomicU64,
}

impl SimClock {
    /// A clock that shows `wall_ns`; its monotonic part starts at zero.
    #[must_use]
    pub fn new(wall_ns: i64) -> Self {
        Self { wall_ns: AtomicI64::new(wall_ns), mono_ns: AtomicU64::new(0) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, ns: u64) {
        self.mono_ns.fetch_add(ns, Ordering::SeqCst);
        self.wall_ns.fetch_add(i64::try_from(ns).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall clock, as an operator or a time daemon does; the monotonic clock does not notice.
    pub fn set_wall(&self, wall_ns: i64) {
        self.wall_ns.store(wall_ns, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn wall_ns(&self) -> i64 {
        self.wall_ns.load(Ordering::SeqCst)
    }

    fn mono_ns(&self) -> u64 {
        self.mono_ns.load(Ordering::SeqCst)
    }
}

/// Seeded random numbers: SplitMix64 (Steele, Lea, Flood 2014), whose state is a counter, so that one
/// instance serves many threads.
#[derive(Debug)]
pub struct SimRng {
    state: AtomicU64,
}

impl SimRng {
    /// The generator for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// A number below `bound`; 0 for a bound of 0. The bias of the modulo does not matter in tests.
    pub fn below(&self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}

impl Rng for SimRng {
    fn next_u64(&self) -> u64 {
        const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(GOLDEN_GAMMA, Ordering::SeqCst).wrapping_add(GOLDEN_GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_known_answers() {
        // The first outputs for seed 1234567 of the reference implementation.
        let rng = SimRng::new(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(
            got,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn only_advance_moves_the_monotonic_clock() {
        let clock = SimClock::new(100);
        clock.advance(5);
        clock.set_wall(-7);
        assert_eq!((clock.wall_ns(), clock.mono_ns()), (-7, 5));
    }
}

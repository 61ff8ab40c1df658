//! Seeded random numbers: the same seed gives the same data on every machine.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator for `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Uniform below `n`, which is at least 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform below `n`, which is at least 1, as an index.
    pub fn index(&mut self, n: usize) -> usize {
        // Cannot fail: the remainder is below a usize.
        usize::try_from(self.next() % n as u64).unwrap_or(0)
    }

    /// One of `choices`, each as likely as the others.
    ///
    /// # Panics
    /// Without choices.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.index(choices.len().max(1));
        #[expect(
            clippy::indexing_slicing,
            reason = "below the length, documented panic without choices"
        )]
        &choices[index]
    }

    /// `count` different numbers below `n` in random order; all of them when there are fewer.
    pub fn distinct(&mut self, count: usize, n: u32) -> Vec<u32> {
        // Floyd's sampling would be faster for large n and small counts; n is a number of hosts.
        let mut all: Vec<u32> = (0..n).collect();
        for place in 0..count.min(all.len()) {
            let other = place + self.index(all.len() - place);
            all.swap(place, other);
        }
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn distinct_numbers_are_distinct_and_all_occur() {
        let mut random = Random::new(9);
        let mut seen = [false; 10];
        for _ in 0..100 {
            let mut drawn = random.distinct(4, 10);
            drawn.iter().for_each(|n| seen[*n as usize] = true);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 4);
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(random.distinct(5, 2).len(), 2);
    }
}

//! How many distinct values there are: exactly while they are few, then by a sketch (Flajolet, Fusy, Gandouet, Meunier
//! 2007, "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm").

use std::collections::HashSet;

/// Values up to which they are counted exactly.
const EXACT_MAX: usize = 1024;

/// Registers of a sketch, 2^14: a standard error of 1.04 / 2^7.
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;

/// Most memory of a counter, in bytes.
pub(super) const BYTES_MAX: usize = REGISTERS;

/// Counts distinct values by their hashes.
#[derive(Debug)]
pub(super) enum Distinct {
    Exact(HashSet<u64>),
    Sketch(Box<[u8]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Exact(HashSet::new())
    }
}

impl Distinct {
    /// Notes a value by its hash, every bit of which is as good as random.
    pub(super) fn add(&mut self, hash: u64) {
        match self {
            Distinct::Exact(known) => {
                known.insert(hash);
                if known.len() > EXACT_MAX {
                    let mut sketch = Distinct::Sketch(vec![0; REGISTERS].into());
                    known.iter().for_each(|hash| sketch.add(*hash));
                    *self = sketch;
                }
            }
            Distinct::Sketch(registers) => {
                let register = usize::try_from(hash >> (64 - REGISTER_BITS)).unwrap_or(0);
                // The bit behind the rest ends the zeros of a hash that has nothing else.
                let rest = hash << REGISTER_BITS | 1 << (REGISTER_BITS - 1);
                let rank = u8::try_from(rest.leading_zeros() + 1).unwrap_or(u8::MAX);
                if let Some(known) = registers.get_mut(register) {
                    *known = rank.max(*known);
                }
            }
        }
    }

    /// The number of distinct values.
    pub(super) fn count(&self) -> u64 {
        let registers = match self {
            Distinct::Exact(known) => return known.len() as u64,
            Distinct::Sketch(registers) => registers,
        };
        let m = registers.len() as f64;
        let sum: f64 = registers.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let zeros = registers.iter().filter(|rank| **rank == 0).count() as f64;
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        // Where registers are empty, how many of them says more.
        let estimate = if raw <= 2.5 * m && zeros > 0.0 { m * (m / zeros).ln() } else { raw };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "far below 2^63, and not negative"
        )]
        let rounded = estimate.round() as u64;
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{HashKey, siphash128};

    #[test]
    fn counts_are_exact_while_few_and_near_from_then_on() {
        let mut distinct = Distinct::default();
        let mut next = 0u64;
        for (upto, error) in [
            (1, 0.0),
            (1024, 0.0),
            (1025, 0.02),
            (10_000, 0.02),
            (60_000, 0.03),
            (1_000_000, 0.025),
        ] {
            while next < upto {
                let hash = siphash128(HashKey([3; 16]), &next.to_le_bytes()) & u128::from(u64::MAX);
                let hash = u64::try_from(hash).unwrap();
                distinct.add(hash);
                distinct.add(hash);
                next += 1;
            }
            let found = distinct.count() as f64 / upto as f64;
            assert!((found - 1.0).abs() <= error, "{} of {upto}", distinct.count());
        }
    }
}

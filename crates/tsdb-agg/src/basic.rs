//! Count, sum and mean: aggregations whose answer has no timestamp of its own.

use tsdb_core::Summary;

use crate::aggregate::{Aggregation, Run};
use crate::kernel;

/// A sum that carries what its roundings lost (Neumaier 1974, in the branch-free form of Knuth's
/// TwoSum). The value is as good as if summed with twice the precision and rounded at the end.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Compensated {
    /// The sum as plain additions give it.
    pub sum: f64,
    /// What those additions lost.
    pub error: f64,
}

impl Compensated {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let (sum, lost) = kernel::two_sum(self.sum, value);
        self.sum = sum;
        self.error += lost;
    }

    /// Adds another sum with its error term.
    #[inline]
    pub fn merge(&mut self, other: Compensated) {
        self.add(other.sum);
        self.error += other.error;
    }

    /// The sum, rounded once. Infinite or NaN where the plain sum is.
    #[must_use]
    pub fn value(&self) -> f64 {
        // Next to an overflow the error term is infinite or NaN and means nothing.
        if self.sum.is_finite() && self.error.is_finite() {
            self.sum + self.error
        } else {
            self.sum
        }
    }
}

/// Number of values. Finalizes to nothing where there is none; `count` with `fill(0)` is the
/// caller's business.
#[derive(Debug, Clone, Default)]
pub struct Count {
    counts: Vec<u64>,
}

impl Aggregation for Count {
    fn slots(&self) -> usize {
        self.counts.len()
    }

    fn resize(&mut self, slots: usize) {
        self.counts.resize(slots, 0);
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        if let Some(count) = self.counts.get_mut(slot) {
            *count += kernel::count(run.values, run.present.as_ref());
        }
    }

    fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
        if let Some(count) = self.counts.get_mut(slot) {
            *count += summary.count;
        }
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        if let (Some(count), Some(more)) = (self.counts.get_mut(slot), from.counts.get(from_slot)) {
            *count += more;
        }
    }

    fn finalize(&mut self, slot: usize) -> Option<f64> {
        // Exact to 2^53 values, which no disk holds.
        self.counts.get(slot).filter(|count| **count > 0).map(|count| *count as f64)
    }
}

/// Sum and number of values of each slot; what [`Sum`] and [`Mean`] share.
#[derive(Debug, Clone, Default)]
struct Totals {
    sums: Vec<Compensated>,
    counts: Vec<u64>,
}

impl Totals {
    fn resize(&mut self, slots: usize) {
        self.sums.resize(slots, Compensated::default());
        self.counts.resize(slots, 0);
    }

    #[inline]
    fn add(&mut self, slot: usize, sum: Compensated, count: u64) {
        if let (Some(total), Some(n)) = (self.sums.get_mut(slot), self.counts.get_mut(slot)) {
            total.merge(sum);
            *n += count;
        }
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        let (sum, count) = kernel::sum(run.values, run.present.as_ref());
        self.add(slot, sum, count);
    }

    fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
        self.add(slot, Compensated { sum: summary.sum, error: 0.0 }, summary.count);
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        if let Some((sum, count)) = from.get(from_slot) {
            self.add(slot, sum, count);
        }
    }

    /// Sum and count of a slot that has values.
    fn get(&self, slot: usize) -> Option<(Compensated, u64)> {
        let count = self.counts.get(slot).copied().filter(|count| *count > 0)?;
        Some((self.sums.get(slot).copied()?, count))
    }
}

/// Compensated sum. See [`Compensated`].
#[derive(Debug, Clone, Default)]
pub struct Sum {
    totals: Totals,
}

/// Arithmetic mean: compensated sum divided by the number of values, rounded once more.
#[derive(Debug, Clone, Default)]
pub struct Mean {
    totals: Totals,
}

macro_rules! aggregation_over_totals {
    ($name:ident, $finish:expr) => {
        impl Aggregation for $name {
            fn slots(&self) -> usize {
                self.totals.sums.len()
            }

            fn resize(&mut self, slots: usize) {
                self.totals.resize(slots);
            }

            fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
                self.totals.accumulate(slot, run);
            }

            fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
                self.totals.accumulate_summary(slot, summary);
            }

            fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
                self.totals.merge(slot, &from.totals, from_slot);
            }

            fn finalize(&mut self, slot: usize) -> Option<f64> {
                self.totals.get(slot).map($finish)
            }
        }
    };
}

aggregation_over_totals!(Sum, |(sum, _)| sum.value());
aggregation_over_totals!(Mean, |(sum, count)| sum.value() / count as f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn finalized<A: Aggregation + Default>(values: &[f64]) -> Option<f64> {
        let times: Vec<i64> = (0..values.len() as i64).collect();
        let mut state = A::default();
        state.resize(1);
        state.accumulate(0, &Run::dense(&times, values));
        state.finalize(0)
    }

    #[test]
    fn precision_validation() {
        // Each of these loses all or most digits in a plain sum.
        let check = |values: &[f64], expected: f64| {
            assert_eq!(finalized::<Sum>(values), Some(expected), "{} values", values.len());
            let mean = expected / values.len() as f64;
            assert_eq!(finalized::<Mean>(values), Some(mean), "{} values", values.len());
        };
        check(&[1.0, 1e100, 1.0, -1e100], 2.0);
        check(&[1e16, 1.0, 1.0, 1.0, 1.0, -1e16], 4.0);
        check(&[0.1; 10], 1.0);
        // The double 0.1 is larger than a tenth by 5.55e-18; a million of them round to 100000.
        check(&vec![0.1; 1_000_000], 100_000.0);
        let mut small = vec![1e-3; 4096];
        small.insert(2000, 1e15);
        small.push(-1e15);
        let sum = finalized::<Sum>(&small).unwrap();
        assert!((sum - 4.096).abs() < 1e-12, "{sum}");
        // Integers are exact as long as the total is: 2^53 - 1 in two halves and many ones.
        let mut whole = vec![1.0; 1000];
        whole.push(9_007_199_254_739_991.0);
        check(&whole, 9_007_199_254_740_991.0);
    }

    #[test]
    fn partial_merges_keep_what_was_lost() {
        let check = |pieces: &[&[f64]], expected: f64| {
            let mut total = Sum::default();
            total.resize(1);
            for piece in pieces {
                let mut part = Sum::default();
                part.resize(1);
                let times: Vec<i64> = (0..piece.len() as i64).collect();
                part.accumulate(0, &Run::dense(&times, piece));
                total.merge(0, &part, 0);
            }
            assert_eq!(total.finalize(0), Some(expected), "{pieces:?}");
        };
        check(&[&[1e16], &[1.0, 1.0, 1.0], &[0.25; 4], &[-1e16]], 4.0);
        // Each 1 is lost by itself, so what was lost must add up over the merges.
        check(&[&[1e16], &[1.0], &[1.0], &[-1e16]], 2.0);
        // What a part lost by itself must be added to what was lost before.
        check(&[&[1e16], &[1.0], &[1e16, 1.0], &[-2e16]], 2.0);
    }

    #[test]
    fn sums_of_infinities_and_nan_follow_ieee() {
        let check = |values: &[f64], expected: f64| {
            let got = finalized::<Sum>(values).unwrap();
            assert!(got == expected || (got.is_nan() && expected.is_nan()), "{values:?}: {got}");
        };
        check(&[f64::INFINITY, 1.0, 1e300], f64::INFINITY);
        check(&[f64::NEG_INFINITY; 9], f64::NEG_INFINITY);
        check(&[f64::INFINITY, f64::NEG_INFINITY], f64::NAN);
        check(&[1.0, f64::NAN, 2.0], f64::NAN);
        check(&[f64::MAX, f64::MAX], f64::INFINITY);
        check(&[f64::MAX, -f64::MAX, 1.0], 1.0);
    }
}

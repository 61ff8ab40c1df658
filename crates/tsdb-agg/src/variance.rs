//! Variance and standard deviation. The loop over a run is `kernel::moments`; here stand the partial states
//! and how two of them become one.

use crate::aggregate::{Aggregation, Run};
use crate::function::Function;
use crate::kernel;

/// Number, mean and sum of squared deviations of some values: all that a variance needs, and it can be merged
/// (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances";
/// with one value on the other side it is the step of Welford 1962).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    /// How many values.
    pub count: u64,
    /// Their mean, rounded.
    pub mean: f64,
    /// What the rounding of the mean lost. Means of pieces differ by less than one of their own roundings
    /// where values have a large offset, and the merge squares that difference.
    pub mean_error: f64,
    /// Sum of the squared deviations from the mean.
    pub squares: f64,
}

impl Moments {
    /// Takes in the moments of other values.
    #[inline]
    pub fn merge(&mut self, other: Moments) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        let (own, more) = (self.count as f64, other.count as f64);
        let share = more / (own + more);
        let distance = (other.mean - self.mean) + (other.mean_error - self.mean_error);
        self.squares += other.squares + distance * distance * (own * share);
        (self.mean, self.mean_error) =
            kernel::two_sum(self.mean, self.mean_error + distance * share);
        self.count += other.count;
    }

    /// Mean of the squared deviations, divided by one less than their number so that the mean over all samples
    /// of a population is that of the population; nothing below two values.
    #[must_use]
    pub fn sample_variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.squares / (self.count - 1) as f64)
    }

    /// Mean of the squared deviations; nothing without values.
    #[must_use]
    pub fn population_variance(&self) -> Option<f64> {
        (self.count > 0).then(|| self.squares / self.count as f64)
    }
}

/// Which number is made of [`Moments`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Measure {
    /// The square root of the sample variance; what InfluxQL's `stddev()` is.
    #[default]
    Deviation,
    /// The sample variance.
    Sample,
    /// The variance of a population that the values are all of.
    Population,
}

/// Standard deviation, or variance. NaN and infinities among the values make it NaN.
#[derive(Debug, Clone, Default)]
pub struct Variance {
    measure: Measure,
    moments: Vec<Moments>,
}

impl Variance {
    /// Empty states that answer with `measure`.
    #[must_use]
    pub fn of(measure: Measure) -> Variance {
        Variance { measure, moments: Vec::new() }
    }

    /// Which function this is the state of.
    pub(crate) fn function(&self) -> Function {
        match self.measure {
            Measure::Deviation => Function::Stddev,
            Measure::Sample => Function::Variance,
            Measure::Population => Function::PopulationVariance,
        }
    }
}

impl Aggregation for Variance {
    fn slots(&self) -> usize {
        self.moments.len()
    }

    fn resize(&mut self, slots: usize) {
        self.moments.resize(slots, Moments::default());
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        if let Some(moments) = self.moments.get_mut(slot) {
            moments.merge(kernel::moments(run.values, run.present.as_ref()));
        }
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        if let (Some(moments), Some(more)) =
            (self.moments.get_mut(slot), from.moments.get(from_slot))
        {
            moments.merge(*more);
        }
    }

    fn finalize(&mut self, slot: usize) -> Option<f64> {
        let moments = self.moments.get(slot)?;
        match self.measure {
            Measure::Deviation => moments.sample_variance().map(f64::sqrt),
            Measure::Sample => moments.sample_variance(),
            Measure::Population => moments.population_variance(),
        }
    }

    fn is_null(&self, slot: usize) -> bool {
        self.measure != Measure::Population
            && self.moments.get(slot).is_some_and(|moments| moments.count == 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tsdb_core::env::SimRng;

    use super::*;
    use crate::kernel::Mask;

    /// Exact sample variance of `offset + noise / scale` for integers, by rational arithmetic in 128 bits:
    /// the offset falls out, and n * sum(x^2) - sum(x)^2 is exact.
    fn exact(noise: &[i64], scale: f64) -> f64 {
        let n = noise.len() as i128;
        let sum: i128 = noise.iter().map(|x| i128::from(*x)).sum();
        let squares: i128 = noise.iter().map(|x| i128::from(*x) * i128::from(*x)).sum();
        (n * squares - sum * sum) as f64 / (n * (n - 1)) as f64 / (scale * scale)
    }

    fn moments_in_blocks(values: &[f64], block: usize) -> Moments {
        let mut total = Moments::default();
        values.chunks(block).for_each(|values| total.merge(kernel::moments(values, None)));
        total
    }

    fn noise(seed: u64, count: usize, width: u64) -> Vec<i64> {
        let rng = SimRng::new(seed);
        (0..count).map(|_| i64::try_from(rng.below(width)).unwrap()).collect()
    }

    #[test]
    fn precision_validation() {
        // Offsets and scales are such that each value is exact: the noise is a multiple of 1 / scale, and
        // the offset leaves it enough bits.
        let check = |offset: f64, scale: f64, width: u64, count: usize| {
            let noise = noise(count as u64, count, width);
            let values: Vec<f64> = noise.iter().map(|x| offset + *x as f64 / scale).collect();
            let expected = exact(&noise, scale);
            for block in [count, 4096, 360, 6] {
                let variance = moments_in_blocks(&values, block).sample_variance().unwrap();
                let error = (variance - expected).abs() / expected;
                assert!(error < 1e-12, "{offset} {scale} {block}: {variance} {expected} {error}");
            }
        };
        check(0.0, 1.0, 100, 100_000);
        check(1e9, 1.0, 100, 100_000);
        // Noise in the last bits that 1e9 leaves: some 1e-4 with steps of 2^-20.
        check(1e9, 1_048_576.0, 128, 100_000);
        check(-1e9, 1_048_576.0, 128, 1000);
        check(1e15, 1.0, 4, 100_000);
        check(0.0, 1.0, 1 << 31, 100_000);
    }

    #[test]
    fn naive_formulas_fail_where_ours_does_not() {
        // The test above means something: the textbook formula gives a variance that is nonsense there.
        let noise = noise(1, 1000, 128);
        let values: Vec<f64> = noise.iter().map(|x| 1e9 + *x as f64 / 1_048_576.0).collect();
        let n = values.len() as f64;
        let (sum, squares): (f64, f64) = (values.iter().sum(), values.iter().map(|v| v * v).sum());
        let naive = (squares - sum * sum / n) / (n - 1.0);
        assert!((naive - exact(&noise, 1_048_576.0)).abs() > 1.0, "{naive}");
    }

    #[test]
    fn equal_values_do_not_deviate_at_all() {
        for value in [0.1, 1e300, -7.3, 0.0] {
            for count in [2, 63, 64, 5000] {
                let moments = moments_in_blocks(&vec![value; count], 1000);
                assert_eq!(moments.sample_variance(), Some(0.0), "{value} {count}");
                assert_eq!(moments.mean, value);
            }
        }
    }

    #[test]
    fn few_values_and_special_ones() {
        let check = |values: &[f64], sample: Option<f64>, population: Option<f64>| {
            let moments = kernel::moments(values, None);
            let got = (moments.sample_variance(), moments.population_variance());
            let same = |a: Option<f64>, b: Option<f64>| {
                a == b || matches!((a, b), (Some(a), Some(b)) if a.is_nan() && b.is_nan())
            };
            assert!(same(got.0, sample) && same(got.1, population), "{values:?}: {got:?}");
        };
        check(&[], None, None);
        check(&[5.0], None, Some(0.0));
        check(&[1.0, 3.0], Some(2.0), Some(1.0));
        check(&[1.0, 2.0, 3.0, 4.0], Some(5.0 / 3.0), Some(1.25));
        check(&[1.0, f64::NAN, 2.0], Some(f64::NAN), Some(f64::NAN));
        check(&[1.0, f64::INFINITY], Some(f64::NAN), Some(f64::NAN));
        check(&[f64::NEG_INFINITY; 3], Some(f64::NAN), Some(f64::NAN));
        check(&[1e200, -1e200], Some(f64::INFINITY), Some(f64::INFINITY));
    }

    proptest! {
        /// Rows without a value do not count, wherever the run is cut and however it is merged.
        #[test]
        fn gaps_and_pieces_do_not_matter(
            rows in prop::collection::vec(prop::option::weighted(0.7, -1e3..1e3_f64), 0..400),
            cut in 0.0..1.0_f64,
        ) {
            let mut words = vec![0_u64; rows.len().div_ceil(64)];
            for (row, _) in rows.iter().enumerate().filter(|(_, value)| value.is_some()) {
                words[row / 64] |= 1 << (row % 64);
            }
            let values: Vec<f64> = rows.iter().map(|row| row.unwrap_or(f64::NAN)).collect();
            let present: Vec<f64> = rows.iter().copied().flatten().collect();
            #[expect(clippy::cast_possible_truncation, reason = "the share is below 1")]
            let cut = (cut * rows.len() as f64) as usize;
            let piece = |from: usize, to: usize| {
                kernel::moments(&values[from..to], Some(&Mask::new(&words, from, to - from)))
            };
            let mut merged = piece(0, cut);
            merged.merge(piece(cut, rows.len()));
            for moments in [merged, piece(0, rows.len()), kernel::moments(&present, None)] {
                prop_assert_eq!(moments.count, present.len() as u64);
                let n = present.len() as f64;
                let mean = present.iter().sum::<f64>() / n;
                let squares: f64 = present.iter().map(|v| (v - mean) * (v - mean)).sum();
                let expected = (present.len() > 1).then(|| squares / (n - 1.0));
                let same = match (moments.sample_variance(), expected) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.max(1e-9),
                    (a, b) => a.is_none() && b.is_none(),
                };
                prop_assert!(same, "{:?} {:?}", moments, expected);
            }
        }
    }
}

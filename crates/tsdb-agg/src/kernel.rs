//! Loops over slices: count, compensated sum, smallest, largest, moments, resets of counters. Pure, without
//! states or slots.
//!
//! Dense loops keep several independent accumulators, which the compiler turns into vector
//! instructions: the order of additions then depends on the length of the slice alone and not on the
//! machine. Columns with gaps go word by word through their presence bits: a full word takes the
//! dense loop, an empty one is skipped, any other is visited bit by bit.
//!
//! NaN: [`sum`] becomes NaN, [`smallest`] and [`largest`] pass over it and answer NaN only where every
//! value is NaN. Zeros compare equal whatever their sign; an extreme of zero is given as +0.0, so that
//! it does not depend on where slices begin.

mod counter;
mod moments;
mod wide;

pub use counter::{has_nan, resets};
pub use moments::moments;

use crate::Compensated;
use wide::widest;

/// Accumulators of the loop for extremes: they fit the registers of any machine.
const LANES: usize = 8;

/// From so many chunks on the lanes are worth joining; narrow windows make shorter runs.
const SUM_CHUNKS_MIN: usize = 8;

/// Values per word of presence bits.
const WORD: usize = 64;

/// Which of some consecutive rows have a value: a view of presence bits that may begin inside a word.
#[derive(Debug, Clone, Copy)]
pub struct Mask<'a> {
    words: &'a [u64],
    start: usize,
    count: usize,
}

impl<'a> Mask<'a> {
    /// Rows `start .. start + count` of `words`, lowest bit of the first word first. Rows behind the last
    /// word count as absent.
    #[must_use]
    pub fn new(words: &'a [u64], start: usize, count: usize) -> Mask<'a> {
        Mask { words, start, count }
    }

    /// Bits of rows `64 * index ..`, row by row from the lowest bit; bits behind the last row are 0.
    #[inline]
    fn word(&self, index: usize) -> u64 {
        let first = self.start + index * WORD;
        let at = |i: usize| self.words.get(i).copied().unwrap_or(0);
        let (word, shift) = (first / WORD, first % WORD);
        let bits =
            if shift == 0 { at(word) } else { at(word) >> shift | at(word + 1) << (WORD - shift) };
        match self.count.saturating_sub(index * WORD) {
            left if left >= WORD => bits,
            left => bits & !(u64::MAX << left),
        }
    }

    /// Number of words that hold the rows.
    fn words(&self) -> usize {
        self.count.div_ceil(WORD)
    }

    /// Number of rows with a value. O(rows / 64).
    #[must_use]
    pub fn count(&self) -> u64 {
        (0..self.words()).map(|i| u64::from(self.word(i).count_ones())).sum()
    }

    /// First row with a value. O(rows / 64).
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        (0..self.words()).find_map(|i| {
            let word = self.word(i);
            (word != 0).then(|| i * WORD + word.trailing_zeros() as usize)
        })
    }

    /// Last row with a value. O(rows / 64).
    #[must_use]
    pub fn last(&self) -> Option<usize> {
        (0..self.words()).rev().find_map(|i| {
            let word = self.word(i);
            (word != 0).then(|| i * WORD + WORD - 1 - word.leading_zeros() as usize)
        })
    }

    /// Whether row `index` has a value.
    #[inline]
    #[must_use]
    pub fn is_present(&self, index: usize) -> bool {
        let bit = self.start + index;
        index < self.count
            && self.words.get(bit / WORD).is_some_and(|word| word >> (bit % WORD) & 1 == 1)
    }

    /// The values that are present, in order.
    pub fn iter<'v>(&self, values: &'v [f64]) -> impl Iterator<Item = f64> + use<'v, 'a> {
        self.rows(values).map(|(_, value)| value)
    }

    /// The rows that are present with their values, in order.
    pub fn rows<'v>(&self, values: &'v [f64]) -> impl Iterator<Item = (usize, f64)> + use<'v, 'a> {
        let mask = *self;
        let rows = values.iter().copied().enumerate();
        rows.filter(move |(row, _)| mask.is_present(*row))
    }

    /// Calls `dense` for stretches of full words and `single` for each value of the others.
    #[inline]
    fn visit(&self, values: &[f64], mut dense: impl FnMut(&[f64]), mut single: impl FnMut(f64)) {
        for (index, chunk) in values.chunks(WORD).enumerate() {
            let mut bits = self.word(index);
            if bits == u64::MAX {
                dense(chunk);
                continue;
            }
            while bits != 0 {
                if let Some(value) = chunk.get(bits.trailing_zeros() as usize) {
                    single(*value);
                }
                bits &= bits - 1;
            }
        }
    }
}

/// Number of rows of `values` that have a value.
#[must_use]
pub fn count(values: &[f64], present: Option<&Mask<'_>>) -> u64 {
    present.map_or(values.len() as u64, Mask::count)
}

/// Compensated sum of the values that are present, and their number.
#[must_use]
pub fn sum(values: &[f64], present: Option<&Mask<'_>>) -> (Compensated, u64) {
    let mut total = Compensated::default();
    match present {
        None => total.merge(sum_dense(values)),
        Some(mask) => {
            // Two closures cannot both borrow one total.
            let mut singles = Compensated::default();
            mask.visit(values, |chunk| total.merge(sum_dense(chunk)), |value| singles.add(value));
            total.merge(singles);
        }
    }
    (total, count(values, present))
}

fn sum_dense(values: &[f64]) -> Compensated {
    let (chunks, rest) = values.as_chunks::<{ wide::LANES }>();
    let mut total = Compensated::default();
    if chunks.len() >= SUM_CHUNKS_MIN {
        total = wide::sum(chunks);
    } else {
        chunks.as_flattened().iter().for_each(|value| total.add(*value));
    }
    rest.iter().for_each(|value| total.add(*value));
    total
}

/// `a + b` rounded, and what the rounding lost, exactly (Knuth's TwoSum: Neumaier's correction
/// without its branch, so that it vectorises). After an overflow the second part means nothing.
#[inline(always)]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// Smallest value that is present; nothing without any.
#[must_use]
pub fn smallest(values: &[f64], present: Option<&Mask<'_>>) -> Option<f64> {
    extreme::<false>(values, present)
}

/// Largest value that is present; nothing without any.
#[must_use]
pub fn largest(values: &[f64], present: Option<&Mask<'_>>) -> Option<f64> {
    extreme::<true>(values, present)
}

/// [`largest`] for `MAX`, else [`smallest`].
pub(crate) fn extreme<const MAX: bool>(values: &[f64], present: Option<&Mask<'_>>) -> Option<f64> {
    let best = match present {
        None => extreme_dense::<MAX>(values),
        Some(mask) => {
            let (mut dense, mut single) = (worst::<MAX>(), worst::<MAX>());
            mask.visit(
                values,
                |chunk| dense = better::<MAX>(extreme_dense::<MAX>(chunk), dense),
                |value| single = better::<MAX>(value, single),
            );
            better::<MAX>(single, dense)
        }
    };
    // The start value is an infinity: either it stands among the values, or all of them are NaN.
    if best == worst::<MAX>() && position(values, present, best).is_none() {
        return (count(values, present) > 0).then_some(f64::NAN);
    }
    Some(best + 0.0)
}

fn extreme_dense<const MAX: bool>(values: &[f64]) -> f64 {
    widest(|| extreme_lanes::<MAX>(values))
}

#[inline(always)]
fn extreme_lanes<const MAX: bool>(values: &[f64]) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [worst::<MAX>(); LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = better::<MAX>(*value, *lane);
        }
    }
    lanes.iter().chain(rest).fold(worst::<MAX>(), |best, value| better::<MAX>(*value, best))
}

/// What every number is at least as good as.
const fn worst<const MAX: bool>() -> f64 {
    if MAX { f64::NEG_INFINITY } else { f64::INFINITY }
}

/// The better of the two; `best` where `value` is NaN. One vector instruction.
#[inline(always)]
fn better<const MAX: bool>(value: f64, best: f64) -> f64 {
    if if MAX { value > best } else { value < best } { value } else { best }
}

/// First row whose value is present and equal to `wanted` (a NaN is equal to nothing).
#[must_use]
pub fn position(values: &[f64], present: Option<&Mask<'_>>, wanted: f64) -> Option<usize> {
    match present {
        None => values.iter().position(|value| *value == wanted),
        Some(mask) => {
            let mut rows = values.iter().enumerate();
            rows.find(|(row, value)| **value == wanted && mask.is_present(*row)).map(|(row, _)| row)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => -1e3..1e3_f64,
            2 => (-3..3_i32).prop_map(f64::from),
            1 => prop::sample::select(vec![
                f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, f64::MIN_POSITIVE / 4.0,
            ]),
        ]
    }

    /// A place in `count` rows, by its share.
    #[expect(clippy::cast_possible_truncation, reason = "the share is below 1")]
    fn place(share: f64, count: usize) -> usize {
        (share * count as f64) as usize
    }

    /// `x` in fixed point with 95 binary digits behind the point, so all of a double from 2^-42 on.
    #[expect(clippy::cast_possible_truncation, reason = "the sums of the test fit 128 bits")]
    fn fixed(x: f64) -> i128 {
        (x * 2f64.powi(95)) as i128
    }

    /// Rows as `Option`s, their columns, and a stretch of them.
    fn any_rows() -> impl Strategy<Value = (Vec<Option<f64>>, usize, usize)> {
        (
            prop::collection::vec(prop::option::weighted(0.7, any_value()), 0..300),
            0.0..1.0,
            0.0..1.0,
        )
            .prop_map(|(rows, a, b)| {
                let at = |share| place(share, rows.len());
                let (start, end) = (at(a).min(at(b)), at(a).max(at(b)));
                (rows, start, end)
            })
    }

    fn bits_of(rows: &[Option<f64>]) -> Vec<u64> {
        let mut words = vec![0; rows.len().div_ceil(64)];
        for (row, _) in rows.iter().enumerate().filter(|(_, value)| value.is_some()) {
            words[row / 64] |= 1 << (row % 64);
        }
        words
    }

    fn naive_extreme(values: &[f64], keep: fn(f64, f64) -> bool) -> Option<f64> {
        let mut best: Option<f64> = None;
        for value in values {
            if best.is_none_or(|b| b.is_nan() || keep(*value, b)) {
                best = Some(*value);
            }
        }
        best
    }

    proptest! {
        #[test]
        fn masked_loops_agree_with_loops_over_the_present_values(
            (rows, start, end) in any_rows(),
        ) {
            let words = bits_of(&rows);
            let values: Vec<f64> = rows.iter().map(|row| row.unwrap_or(f64::NAN)).collect();
            let (mask, values) = (Mask::new(&words, start, end - start), &values[start..end]);
            let present: Vec<f64> = rows[start..end].iter().copied().flatten().collect();
            prop_assert_eq!(mask.count(), present.len() as u64);
            prop_assert_eq!(mask.first(), rows[start..end].iter().position(Option::is_some));
            prop_assert_eq!(mask.last(), rows[start..end].iter().rposition(Option::is_some));
            let same = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
                (a, b) => a.is_none() && b.is_none(),
            };
            let (low, high) = (naive_extreme(&present, |v, b| v < b), naive_extreme(&present, |v, b| v > b));
            prop_assert!(same(smallest(values, Some(&mask)), low));
            prop_assert!(same(largest(values, Some(&mask)), high));
            prop_assert!(same(smallest(&present, None), low));
            prop_assert!(same(largest(&present, None), high));
            let (masked, dense) = (sum(values, Some(&mask)), sum(&present, None));
            prop_assert_eq!(masked.1, dense.1);
            let (a, b) = (masked.0.value(), dense.0.value());
            prop_assert!(a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= a.abs() * 1e-15);
        }

        #[test]
        fn two_sum_loses_nothing(a in -1_000_000_000_i64..1_000_000_000, b in -8.0..8.0_f64) {
            let (sum, lost) = two_sum(a as f64, b);
            // The exact sum of two doubles of this size fits 128-bit fixed point.
            prop_assert_eq!(fixed(sum) + fixed(lost), fixed(a as f64) + fixed(b));
        }
    }

    #[test]
    fn extremes_of_special_values() {
        let check = |values: &[f64], low: f64, high: f64| {
            for (got, expected) in [(smallest(values, None), low), (largest(values, None), high)] {
                assert_eq!(got.map(f64::to_bits), Some(expected.to_bits()), "{values:?}");
            }
        };
        check(&[f64::NAN], f64::NAN, f64::NAN);
        check(&[f64::NAN, 1.0, f64::NAN], 1.0, 1.0);
        check(&[f64::INFINITY; 3], f64::INFINITY, f64::INFINITY);
        check(&[f64::NEG_INFINITY, f64::NAN], f64::NEG_INFINITY, f64::NEG_INFINITY);
        check(&[-0.0, 0.0], 0.0, 0.0);
        check(&[-0.0], 0.0, 0.0);
        assert_eq!(smallest(&[], None), None);
    }
}

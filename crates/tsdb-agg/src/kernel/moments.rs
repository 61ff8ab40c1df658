//! Number, mean and sum of squared deviations of a slice: one pass over memory, and a second one where the first
//! cannot tell exactly enough. What becomes of the three numbers is in `variance`.

use super::wide::{self, LANES};
use super::{Mask, SUM_CHUNKS_MIN, count, two_sum};
use crate::Moments;

/// Part of the squares around the pivot that the distance of the mean may make up: taking it off then costs three
/// bits at most.
const SHIFT_MAX: f64 = 0.875;

/// Number, mean and squared deviations of the values that are present.
///
/// The first pass adds up distances from one of the values, the pivot, and their squares, so that a large offset
/// common to all of them costs no digits and equal values have a deviation of exactly 0; the squares around the
/// mean are those around the pivot less those of the mean's distance from it. Where that would take off most of
/// them, a second pass works around the mean by the corrected two-pass algorithm (both: Chan, Golub and LeVeque
/// 1983, "Algorithms for computing the sample variance"): the plain sum of deviations, which is 0 but for the
/// rounding of the mean, takes the error of that rounding out again.
///
/// NaN and infinities make mean and squares NaN or infinite; distances beyond some 1e154, whose squares no
/// `f64` holds, make the squares infinite.
#[must_use]
pub fn moments(values: &[f64], present: Option<&Mask<'_>>) -> Moments {
    let row = present.map_or(Some(0), Mask::first);
    let Some(pivot) = row.and_then(|row| values.get(row)) else { return Moments::default() };
    let count = count(values, present);
    let n = count as f64;
    let around = deviations(values, present, *pivot);
    let shift = around.sum / n;
    let of_shift = shift * around.sum;
    if around.squares.is_finite() && of_shift <= SHIFT_MAX * around.squares {
        let (mean, mean_error) = two_sum(*pivot, shift);
        return Moments { count, mean, mean_error, squares: around.squares - of_shift };
    }
    let center = pivot + shift;
    let deviations = deviations(values, present, center);
    // Next to an overflow a correction means nothing: the mean stays as it is, and squares stay infinite instead
    // of becoming NaN.
    let usable = |x: f64| if x.is_infinite() { 0.0 } else { x };
    let shift = usable(deviations.sum / n);
    let squares = deviations.squares - usable(shift * deviations.sum);
    let (mean, mean_error) = two_sum(center, shift);
    // Rounding can leave a little less than nothing. (f64::max would turn NaN into 0.)
    Moments { count, mean, mean_error, squares: if squares < 0.0 { 0.0 } else { squares } }
}

/// Sums over deviations from a center.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deviations {
    pub sum: f64,
    pub squares: f64,
}

impl Deviations {
    #[inline]
    fn add(&mut self, deviation: f64) {
        self.sum += deviation;
        self.squares += deviation * deviation;
    }

    fn join(self, other: Deviations) -> Deviations {
        Deviations { sum: self.sum + other.sum, squares: self.squares + other.squares }
    }
}

fn deviations(values: &[f64], present: Option<&Mask<'_>>, center: f64) -> Deviations {
    let Some(mask) = present else { return deviations_dense(values, center) };
    let (mut dense, mut single) = (Deviations::default(), Deviations::default());
    mask.visit(
        values,
        |chunk| dense = dense.join(deviations_dense(chunk, center)),
        |value| single.add(value - center),
    );
    dense.join(single)
}

fn deviations_dense(values: &[f64], center: f64) -> Deviations {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut total = Deviations::default();
    if chunks.len() >= SUM_CHUNKS_MIN {
        total = wide::deviations(chunks, center);
    } else {
        chunks.as_flattened().iter().for_each(|value| total.add(value - center));
    }
    rest.iter().for_each(|value| total.add(value - center));
    total
}

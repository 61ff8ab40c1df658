//! Number, mean and sum of squared deviations of a slice: two passes over memory that the first pass brought
//! near. What becomes of the three numbers is in `variance`.

use super::{Mask, SUM_CHUNKS_MIN, SUM_LANES, count, two_sum};
use crate::Moments;

/// Number, mean and squared deviations of the values that are present.
///
/// The first pass finds the mean by distances from one of the values, so that a large offset common to all of
/// them costs no digits and equal values have a deviation of exactly 0. The second is the corrected two-pass
/// algorithm (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance"): the plain sum of
/// deviations, which is 0 but for the rounding of the mean, takes the error of that rounding out again.
///
/// NaN and infinities make mean and squares NaN or infinite; distances beyond some 1e154, whose squares no
/// `f64` holds, make the squares infinite.
#[must_use]
pub fn moments(values: &[f64], present: Option<&Mask<'_>>) -> Moments {
    let row = present.map_or(Some(0), Mask::first);
    let Some(pivot) = row.and_then(|row| values.get(row)) else { return Moments::default() };
    let count = count(values, present);
    let n = count as f64;
    let center = pivot + distances(values, present, *pivot) / n;
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

/// Sum of the distances from `pivot`.
fn distances(values: &[f64], present: Option<&Mask<'_>>, pivot: f64) -> f64 {
    let Some(mask) = present else { return distances_dense(values, pivot) };
    let (mut dense, mut single) = (0.0, 0.0);
    mask.visit(values, |chunk| dense += distances_dense(chunk, pivot), |v| single += v - pivot);
    dense + single
}

fn distances_dense(values: &[f64], pivot: f64) -> f64 {
    let (chunks, rest) = values.as_chunks::<SUM_LANES>();
    if chunks.len() < SUM_CHUNKS_MIN {
        return values.iter().map(|value| value - pivot).sum();
    }
    let mut lanes = [0.0; SUM_LANES];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value - pivot;
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|value| value - pivot).sum::<f64>()
}

/// Sums over deviations from a center.
#[derive(Debug, Clone, Copy, Default)]
struct Deviations {
    sum: f64,
    squares: f64,
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
    let (chunks, rest) = values.as_chunks::<SUM_LANES>();
    let mut total = Deviations::default();
    if chunks.len() >= SUM_CHUNKS_MIN {
        total = deviations_lanes(chunks, center);
    } else {
        chunks.as_flattened().iter().for_each(|value| total.add(value - center));
    }
    rest.iter().for_each(|value| total.add(value - center));
    total
}

fn deviations_lanes(chunks: &[[f64; SUM_LANES]], center: f64) -> Deviations {
    let (mut sums, mut squares) = ([0.0; SUM_LANES], [0.0; SUM_LANES]);
    for chunk in chunks {
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(chunk) {
            let deviation = value - center;
            *sum += deviation;
            *square += deviation * deviation;
        }
    }
    Deviations { sum: sums.iter().sum(), squares: squares.iter().sum() }
}

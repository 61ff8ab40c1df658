//! Loops in the widest vectors that the processor has. They are translated for each kind of vectors, and which of them
//! runs is decided once.
//!
//! All give the same bits: a translation may use other instructions, but not another order of the additions, and no
//! fused ones. A loop over lanes of vectors states that order: value `i` goes to accumulator `i` modulo [`LANES`], and
//! the accumulators are added up in their order.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, f64x8};

use super::moments::Deviations;
use crate::Compensated;

/// Independent accumulators. With a second number in each they leave half of the sixteen registers of AVX2 to the rest
/// of the loop; twice as many would live in memory.
pub(super) const LANES: usize = 16;

/// Values of a vector.
const WIDTH: usize = 8;

/// Accumulators of a loop.
type Lanes<S> = [f64x8<S>; LANES / WIDTH];

/// Runs `hot_loop`, which is a closure around an `#[inline(always)]` function: only what is inlined is translated anew.
#[inline]
pub(super) fn widest<T>(hot_loop: impl FnOnce() -> T) -> T {
    dispatch!(Level::new(), _ => hot_loop())
}

/// Compensated sum of all values.
pub(super) fn sum(chunks: &[[f64; LANES]]) -> Compensated {
    dispatch!(Level::new(), simd => sum_lanes(simd, chunks))
}

#[inline(always)]
fn sum_lanes<S: Simd>(simd: S, chunks: &[[f64; LANES]]) -> Compensated {
    let (mut sums, mut errors): (Lanes<S>, Lanes<S>) = (zeros(simd), zeros(simd));
    for chunk in chunks {
        for ((sum, error), values) in sums.iter_mut().zip(&mut errors).zip(vectors(chunk)) {
            let value = f64x8::from_slice(simd, values);
            let next = *sum + value;
            // The steps of `two_sum`.
            let of_value = next - *sum;
            *error += (*sum - (next - of_value)) + (value - of_value);
            *sum = next;
        }
    }
    let mut total = Compensated::default();
    for (sum, error) in numbers(&sums).zip(numbers(&errors)) {
        total.merge(Compensated { sum, error });
    }
    total
}

/// Sums of the distances of all values from `center`, and of their squares.
pub(super) fn deviations(chunks: &[[f64; LANES]], center: f64) -> Deviations {
    dispatch!(Level::new(), simd => deviations_lanes(simd, chunks, center))
}

#[inline(always)]
fn deviations_lanes<S: Simd>(simd: S, chunks: &[[f64; LANES]], center: f64) -> Deviations {
    let center = f64x8::splat(simd, center);
    let (mut sums, mut squares): (Lanes<S>, Lanes<S>) = (zeros(simd), zeros(simd));
    for chunk in chunks {
        for ((sum, square), values) in sums.iter_mut().zip(&mut squares).zip(vectors(chunk)) {
            let deviation = f64x8::from_slice(simd, values) - center;
            *sum += deviation;
            *square += deviation * deviation;
        }
    }
    Deviations { sum: numbers(&sums).sum(), squares: numbers(&squares).sum() }
}

#[inline(always)]
fn zeros<S: Simd>(simd: S) -> Lanes<S> {
    [f64x8::splat(simd, 0.0); LANES / WIDTH]
}

#[inline(always)]
fn vectors(chunk: &[f64; LANES]) -> &[[f64; WIDTH]] {
    chunk.as_chunks().0
}

#[inline(always)]
fn numbers<S: Simd>(lanes: &Lanes<S>) -> impl Iterator<Item = f64> {
    lanes.iter().flat_map(|lane| lane.as_slice().iter().copied())
}

#[cfg(test)]
mod tests {
    use super::super::two_sum;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The definition of the order, number by number.
        #[test]
        fn vectors_add_in_the_stated_order(values in prop::collection::vec(-1e9..1e9_f64, 0..400), center in -1e3..1e3_f64) {
            let chunks = values.as_chunks::<LANES>().0;
            let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
            let mut compensated = [Compensated::default(); LANES];
            for (i, value) in chunks.as_flattened().iter().enumerate() {
                let deviation = value - center;
                sums[i % LANES] += deviation;
                squares[i % LANES] += deviation * deviation;
                let lane = &mut compensated[i % LANES];
                let (next, lost) = two_sum(lane.sum, *value);
                (lane.sum, lane.error) = (next, lane.error + lost);
            }
            let found = deviations(chunks, center);
            prop_assert_eq!(found.sum.to_bits(), sums.iter().sum::<f64>().to_bits());
            prop_assert_eq!(found.squares.to_bits(), squares.iter().sum::<f64>().to_bits());
            let mut total = Compensated::default();
            compensated.iter().for_each(|lane| total.merge(*lane));
            let found = sum(chunks);
            prop_assert_eq!((found.sum.to_bits(), found.error.to_bits()), (total.sum.to_bits(), total.error.to_bits()));
        }
    }
}

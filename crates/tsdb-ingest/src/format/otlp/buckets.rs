//! Histograms as counts below bounds, which is what series with the label `le` hold.
//!
//! The buckets of an exponential histogram end at powers of its base, and a histogram changes its base when values
//! spread. The store has no place for such histograms, so they are told by bounds that all of them share: the
//! powers of 2^(1/4). Each base that is coarser has its bounds among them, and of a finer one neighbouring buckets
//! are added up, which is exact. So the series of a histogram stay the same whatever its base does, and a quantile
//! between two bounds is off by less than 19 %, by which they differ.

use crate::{Reason, limits};

/// How many values are at most as large as a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Below {
    pub(super) bound: f64,
    pub(super) count: u64,
}

/// The counts below the bounds of a histogram. `out` takes all but the last, which is that of all values.
///
/// # Errors
/// Not one count more than there are bounds; bounds that do not ascend.
pub(super) fn explicit(counts: &[u64], bounds: &[f64], out: &mut Vec<Below>) -> Result<(), Reason> {
    out.clear();
    if counts.is_empty() && bounds.is_empty() {
        return Ok(());
    }
    if counts.len() != bounds.len() + 1 {
        let text = format!(
            "{} bucket counts for {} explicit bounds: send one count more than bounds, or none of both",
            counts.len(),
            bounds.len()
        );
        return Err(Reason::Other { text });
    }
    let ascends = |pair: &[f64]| matches!(pair, [one, other] if one < other);
    if !bounds.iter().all(|bound| bound.is_finite()) || !bounds.windows(2).all(ascends) {
        let text = "explicit bounds are not finite and ascending: send each bound once, in order";
        return Err(Reason::Other { text: text.to_owned() });
    }
    let mut total = 0_u64;
    for (bound, count) in bounds.iter().zip(counts) {
        total = total.saturating_add(*count);
        out.push(Below { bound: *bound, count: total });
    }
    Ok(())
}

/// The finest scale whose bounds are told: four in each power of two.
const SCALE: u32 = 2;

/// Bounds in each power of two.
const STEPS: i64 = 1 << SCALE;

/// The powers of two by quarters.
const QUARTERS: [f64; 1 << SCALE] =
    [1.0, 1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];

/// Scales beyond this, either way, have no bucket with two different bounds, or more buckets than numbers.
const SCALE_MAX: i32 = 64;

/// Largest exponent of a double, and the smallest but for its sign.
const EXPONENT_MAX: i64 = 1023;
const EXPONENT_MIN: i64 = 1074;

/// Buckets on one side of zero.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Side<'a> {
    /// Number of the first bucket.
    pub(super) offset: i32,
    pub(super) counts: &'a [u64],
}

/// An exponential histogram.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exponential<'a> {
    pub(super) scale: i32,
    pub(super) zero_count: u64,
    pub(super) zero_threshold: f64,
    pub(super) positive: Side<'a>,
    pub(super) negative: Side<'a>,
}

/// The counts below the bounds of an exponential histogram, from the lowest bound that has values to the highest.
///
/// # Errors
/// A scale that no histogram can have; a threshold that is none.
pub(super) fn exponential(point: &Exponential<'_>, out: &mut Vec<Below>) -> Result<(), Reason> {
    out.clear();
    let Exponential { scale, zero_count, zero_threshold, positive, negative } = *point;
    if !(-SCALE_MAX..=SCALE_MAX).contains(&scale) {
        let text =
            format!("scale {scale} is out of range: send one from -{SCALE_MAX} to {SCALE_MAX}");
        return Err(Reason::Other { text });
    }
    if !(zero_threshold.is_finite() && zero_threshold >= 0.0) {
        let text = format!("zero threshold {zero_threshold} is no width: send a number from 0 on");
        return Err(Reason::Other { text });
    }
    let mut total = 0_u64;
    // The further from zero the smaller is a negative value, so buckets are gone over backwards: each ends where
    // the one before it begins.
    let below_zero = side(negative, scale, true);
    if let Some(lowest) = below_zero.first() {
        push(out, -bound(lowest.end), 0);
    }
    for bucket in &below_zero {
        total = total.saturating_add(bucket.count);
        let end = -bound(bucket.start);
        if end < -zero_threshold {
            push(out, end, total);
        }
    }
    total = total.saturating_add(zero_count);
    push(out, zero_threshold, total);
    let above_zero = side(positive, scale, false);
    if let Some(first) = above_zero.first() {
        push_above(out, zero_threshold, bound(first.start), total);
    }
    for bucket in &above_zero {
        total = total.saturating_add(bucket.count);
        push_above(out, zero_threshold, bound(bucket.end), total);
    }
    Ok(())
}

fn push_above(out: &mut Vec<Below>, threshold: f64, bound: f64, count: u64) {
    if bound > threshold {
        push(out, bound, count);
    } else if let Some(last) = out.last_mut() {
        last.count = count;
    }
}

/// Bounds that are the same number are one; those that are no number are told by the count of all values.
fn push(out: &mut Vec<Below>, bound: f64, count: u64) {
    if !bound.is_finite() {
        return;
    }
    // -0 and 0 are one bound.
    let bound = bound + 0.0;
    match out.last_mut() {
        Some(last) if last.bound == bound => last.count = count,
        _ => out.push(Below { bound, count }),
    }
}

/// A bucket between two bounds, which are numbered by quarters of powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    start: i64,
    end: i64,
    count: u64,
}

/// The buckets of one side from the first with values to the last, at the scale that is told.
fn side(side: Side<'_>, scale: i32, is_backwards: bool) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let has_values = |count: &u64| *count > 0;
    let first = side.counts.iter().position(has_values);
    let last = side.counts.iter().rposition(has_values);
    let (Some(first), Some(last)) = (first, last) else { return buckets };
    let start = i64::from(side.offset).saturating_add(i64::try_from(first).unwrap_or(i64::MAX));
    let counts = side.counts.get(first..=last).unwrap_or_default();
    for (number, count) in (start..).zip(counts) {
        let (start, end) = quarters(number, scale);
        match buckets.last_mut() {
            Some(open) if open.end == end => open.count = open.count.saturating_add(*count),
            _ => buckets.push(Bucket { start, end, count: *count }),
        }
    }
    if is_backwards {
        buckets.reverse();
    }
    buckets
}

/// Between which bounds the bucket with a number lies.
fn quarters(number: i64, scale: i32) -> (i64, i64) {
    let finer = scale - SCALE.cast_signed();
    if finer >= 0 {
        let start = number >> finer.min(63);
        return (start, start + 1);
    }
    // What is beyond the exponents of doubles is all the same.
    let beyond = (EXPONENT_MIN + 2) * STEPS;
    let wide = 1_i128 << (-finer).min(100);
    let scaled = |number: i64| {
        let product = (i128::from(number) * wide).clamp(-i128::from(beyond), i128::from(beyond));
        i64::try_from(product).unwrap_or(beyond)
    };
    (scaled(number), scaled(number + 1))
}

/// A power of 2^(1/4): infinite or zero where no double is.
fn bound(quarters: i64) -> f64 {
    let exponent = quarters.div_euclid(STEPS);
    let place = usize::try_from(quarters.rem_euclid(STEPS)).unwrap_or(0);
    let quarter = QUARTERS.get(place).copied().unwrap_or(1.0);
    if exponent > EXPONENT_MAX {
        return f64::INFINITY;
    }
    if exponent < -EXPONENT_MIN {
        return 0.0;
    }
    // In two steps, since the power of two alone may be too small for a double with all digits.
    let half = exponent / 2;
    quarter * power_of_two(half) * power_of_two(exponent - half)
}

/// 2^exponent for exponents of normal doubles, by its bits.
fn power_of_two(exponent: i64) -> f64 {
    let biased = u64::try_from(exponent + EXPONENT_MAX).unwrap_or(0);
    f64::from_bits(biased << 52)
}

const _: () = assert!(limits::BUCKETS_MAX < 1 << 20, "offsets and counts together fit 64 bits");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn below(list: &[(f64, u64)]) -> Vec<Below> {
        list.iter().map(|(bound, count)| Below { bound: *bound, count: *count }).collect()
    }

    fn of(point: &Exponential<'_>) -> Vec<Below> {
        let mut out = Vec::new();
        exponential(point, &mut out).unwrap();
        out
    }

    fn positive(scale: i32, offset: i32, counts: &[u64]) -> Vec<Below> {
        let positive = Side { offset, counts };
        of(&Exponential { scale, positive, ..Exponential::default() })
    }

    #[test]
    fn explicit_counts_add_up() {
        let mut out = vec![Below { bound: 9.0, count: 9 }];
        explicit(&[1, 2, 3], &[0.5, 1.0], &mut out).unwrap();
        assert_eq!(out, below(&[(0.5, 1), (1.0, 3)]));
        explicit(&[7], &[], &mut out).unwrap();
        assert_eq!(out, []);
        explicit(&[], &[], &mut out).unwrap();
        explicit(&[u64::MAX, 1, 1], &[0.0, 1.0], &mut out).unwrap();
        assert_eq!(out, below(&[(0.0, u64::MAX), (1.0, u64::MAX)]));
        for (counts, bounds, part) in [
            (&[1, 2][..], &[][..], "2 bucket counts for 0 explicit bounds"),
            (&[], &[1.0], "0 bucket counts for 1 explicit bounds"),
            (&[1, 2, 3], &[1.0, 1.0], "ascending"),
            (&[1, 2, 3], &[2.0, 1.0], "ascending"),
            (&[1, 2], &[f64::INFINITY], "ascending"),
            (&[1, 2], &[f64::NAN], "ascending"),
        ] {
            let text = explicit(counts, bounds, &mut out).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn buckets_end_at_powers_of_their_base() {
        let zero = (0.0, 0);
        // Base 2: from 1 to 2, to 4, to 8.
        assert_eq!(
            positive(0, 0, &[1, 0, 2]),
            below(&[zero, (1.0, 0), (2.0, 1), (4.0, 1), (8.0, 3)])
        );
        // Base 4 and 16.
        assert_eq!(positive(-1, 1, &[5]), below(&[zero, (4.0, 0), (16.0, 5)]));
        assert_eq!(positive(-2, -1, &[5]), below(&[zero, (1.0 / 16.0, 0), (1.0, 5)]));
        // The scale that is told.
        let quarter = QUARTERS[1];
        assert_eq!(
            positive(2, 4, &[3, 4]),
            below(&[zero, (2.0, 0), (2.0 * quarter, 3), (2.0 * QUARTERS[2], 7)])
        );
        // A finer one: four buckets of the scale 4 are one.
        assert_eq!(
            positive(4, -1, &[1, 2, 3, 4, 5, 6]),
            below(&[zero, (QUARTERS[3] / 2.0, 0), (1.0, 1), (quarter, 15), (QUARTERS[2], 21)])
        );
        // Buckets without values at the ends are not told.
        assert_eq!(positive(0, -2, &[0, 0, 1, 0, 0]), below(&[zero, (1.0, 0), (2.0, 1)]));
        assert_eq!(positive(0, 0, &[0, 0]), below(&[zero]));
    }

    #[test]
    fn values_below_and_around_zero_are_counted_first() {
        let point = Exponential {
            scale: 0,
            zero_count: 10,
            zero_threshold: 0.5,
            negative: Side { offset: 0, counts: &[1, 2] },
            positive: Side { offset: -2, counts: &[4, 8, 16] },
        };
        // Negative: 2 from -4 to -2, 1 from -2 to -1. Positive: 4 up to 0.5, 8 up to 1, 16 up to 2.
        let expected = below(&[(-4.0, 0), (-2.0, 2), (-1.0, 3), (0.5, 17), (1.0, 25), (2.0, 41)]);
        assert_eq!(of(&point), expected);
    }

    #[test]
    fn what_no_double_holds_is_told_by_the_ends() {
        assert_eq!(positive(0, 1022, &[1, 1, 1]).last(), below(&[(2.0_f64.powi(1023), 1)]).last());
        assert_eq!(positive(0, -1080, &[3]), below(&[(0.0, 3)]));
        assert_eq!(positive(-30, 0, &[3]), below(&[(0.0, 0), (1.0, 0)]));
        assert_eq!(positive(-30, -1, &[3]), below(&[(0.0, 0), (1.0, 3)]));
        for (scale, offset) in [(64, i32::MAX), (64, i32::MIN), (-64, i32::MAX), (-64, i32::MIN)] {
            let list = positive(scale, offset, &[1, 1]);
            assert!(list.len() <= 3, "{list:?}");
        }
        let mut out = Vec::new();
        for point in [
            Exponential { scale: 65, ..Exponential::default() },
            Exponential { scale: i32::MIN, ..Exponential::default() },
            Exponential { zero_threshold: -1.0, ..Exponential::default() },
            Exponential { zero_threshold: f64::NAN, ..Exponential::default() },
        ] {
            exponential(&point, &mut out).unwrap_err();
        }
    }

    proptest! {
        /// Against the definition: a bucket counts from the bound where the values of its base begin.
        #[test]
        fn bounds_are_those_of_the_definition(
            // Within what doubles hold.
            scale in -3..12_i32,
            offset in -60..60_i32,
            counts in proptest::collection::vec(0..5_u64, 0..40),
            negative in proptest::collection::vec(0..5_u64, 0..20),
            zero_count in 0..3_u64,
        ) {
            let side = |counts| Side { offset, counts };
            let point = Exponential {
                scale,
                zero_count,
                zero_threshold: 0.0,
                positive: side(&counts),
                negative: side(&negative),
            };
            let list = of(&point);
            prop_assert!(list.windows(2).all(|pair| pair[0].bound < pair[1].bound), "{list:?}");
            let base = |number: f64| (number * 2.0_f64.powi(-scale)).exp2();
            for Below { bound, count } in list {
                // Values in the middle of each bucket stand for all of it.
                let mut expected = 0;
                for (number, count) in (offset..).zip(&negative) {
                    let value = -base(f64::from(number) + 0.5);
                    expected += if value <= bound { *count } else { 0 };
                }
                expected += if bound >= 0.0 { zero_count } else { 0 };
                for (number, count) in (offset..).zip(&counts) {
                    expected += if base(f64::from(number) + 0.5) <= bound { *count } else { 0 };
                }
                prop_assert_eq!(count, expected, "below {}", bound);
            }
        }
    }
}

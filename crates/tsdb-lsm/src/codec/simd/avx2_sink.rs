//! From levels to where they go: integers, doubles, sums.

use std::arch::x86_64::*;

use super::super::decimal::ROUNDER;
use super::super::ints::{DECIMAL_MAX, IntSummary, Scale};
use super::avx2::{load4, load8, store4};

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_doubles(from: &[f64; 4]) -> __m256d {
    // SAFETY: the array has the 32 bytes of the vector; the load needs no alignment.
    unsafe { _mm256_loadu_pd(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_doubles(to: &mut [f64; 4], vector: __m256d) {
    // SAFETY: the array has the 32 bytes of the vector; the store needs no alignment.
    unsafe { _mm256_storeu_pd(to.as_mut_ptr(), vector) }
}

/// The lower and the upper four of eight `i32`.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(x: __m256i) -> [__m128i; 2] {
    [_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)]
}

/// A scale in vectors.
#[derive(Clone, Copy)]
struct Factors {
    base: __m256i,
    unit: __m256i,
    unit_high: __m256i,
    is_one: bool,
}

impl Factors {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(scale: Scale) -> Factors {
        Factors {
            base: _mm256_set1_epi64x(scale.base),
            unit: _mm256_set1_epi64x(scale.unit),
            unit_high: _mm256_set1_epi64x(scale.unit >> 32),
            is_one: scale.unit == 1,
        }
    }

    /// The numbers at four levels.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn numbers(self, levels: __m256i) -> __m256i {
        if self.is_one {
            return _mm256_add_epi64(self.base, levels);
        }
        // The lower half of each product, from products of 32 bits.
        let low = _mm256_mul_epu32(levels, self.unit);
        let cross = _mm256_add_epi64(
            _mm256_mul_epu32(_mm256_srli_epi64(levels, 32), self.unit),
            _mm256_mul_epu32(levels, self.unit_high),
        );
        let products = _mm256_add_epi64(low, _mm256_slli_epi64(cross, 32));
        _mm256_add_epi64(self.base, products)
    }
}

/// See [`super::integers32`].
#[target_feature(enable = "avx2")]
pub(super) fn integers32(scale: Scale, levels: &[i32], out: &mut [i64]) -> usize {
    let factors = Factors::of(scale);
    let (groups, _) = out.as_chunks_mut::<8>();
    let mut done = 0;
    for (group, levels) in groups.iter_mut().zip(levels.as_chunks().0) {
        for (to, half) in group.as_chunks_mut().0.iter_mut().zip(halves(load8(levels))) {
            store4(to, factors.numbers(_mm256_cvtepi32_epi64(half)));
        }
        done += 8;
    }
    done
}

/// See [`super::integers64`].
#[target_feature(enable = "avx2")]
pub(super) fn integers64(scale: Scale, levels: &[i64], out: &mut [i64]) -> usize {
    let factors = Factors::of(scale);
    let mut done = 0;
    for (to, levels) in out.as_chunks_mut().0.iter_mut().zip(levels.as_chunks().0) {
        store4(to, factors.numbers(load4(levels)));
        done += 4;
    }
    done
}

/// See [`super::ordered64`].
#[target_feature(enable = "avx2")]
pub(super) fn ordered64(scale: Scale, levels: &[i64], out: &mut [f64]) -> usize {
    let factors = Factors::of(scale);
    let mut done = 0;
    for (to, levels) in out.as_chunks_mut().0.iter_mut().zip(levels.as_chunks().0) {
        let orders = factors.numbers(load4(levels));
        let negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), orders);
        let bits = _mm256_xor_si256(orders, _mm256_srli_epi64(negative, 1));
        store_doubles(to, _mm256_castsi256_pd(bits));
        done += 4;
    }
    done
}

/// A power of ten to divide by.
///
/// With `q = RN(k * RN(1/d))` and the exact remainder `r = k - q * d`, `RN(q + r * RN(1/d))` is the rounded
/// quotient (Markstein 1990). `q` is off by less than two units in its last place, so the remainder is a
/// multiple of that unit times 2^e below 2^53 of them, as d = 10^e has at most 35 bits before its e zeros:
/// it is exact. What is rounded last differs from k / d by at most 2^-51 of the unit, while no k / d with
/// k below 2^53 and e at most 15 is closer than 2^-36 of it to the middle of two doubles. So no rounding
/// goes another way than that of the division.
#[derive(Clone, Copy)]
struct Divisor {
    divisor: __m256d,
    inverse: __m256d,
}

impl Divisor {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(divisor: f64) -> Divisor {
        Divisor { divisor: _mm256_set1_pd(divisor), inverse: _mm256_set1_pd(1.0 / divisor) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn divide(self, numbers: __m256d) -> __m256d {
        let quotients = _mm256_mul_pd(numbers, self.inverse);
        let remainders = _mm256_fnmadd_pd(quotients, self.divisor, numbers);
        _mm256_fmadd_pd(remainders, self.inverse, quotients)
    }
}

/// See [`super::decimals32`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn decimals32(scale: Scale, levels: &[i32], divisor: f64, out: &mut [f64]) -> usize {
    if divisor == 1.0 {
        quotients32::<false>(scale, levels, divisor, out)
    } else {
        quotients32::<true>(scale, levels, divisor, out)
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn quotients32<const DIVIDE: bool>(
    scale: Scale,
    levels: &[i32],
    divisor: f64,
    out: &mut [f64],
) -> usize {
    // Base and unit are below 2^51, as all numbers are; so is every number, hence none is rounded.
    let (base, unit) = (_mm256_set1_pd(scale.base as f64), _mm256_set1_pd(scale.unit as f64));
    let divisor = Divisor::of(divisor);
    let (groups, _) = out.as_chunks_mut::<8>();
    let mut done = 0;
    for (group, levels) in groups.iter_mut().zip(levels.as_chunks().0) {
        for (to, half) in group.as_chunks_mut().0.iter_mut().zip(halves(load8(levels))) {
            let numbers = _mm256_fmadd_pd(_mm256_cvtepi32_pd(half), unit, base);
            store_doubles(to, if DIVIDE { divisor.divide(numbers) } else { numbers });
        }
        done += 8;
    }
    done
}

/// See [`super::decimals64`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn decimals64(
    scale: Scale,
    levels: &[i64],
    divisor: f64,
    out: &mut [f64],
    beyond: &mut bool,
) -> usize {
    let factors = Factors::of(scale);
    let by = Divisor::of(divisor);
    let limit = _mm256_set1_epi64x(DECIMAL_MAX);
    let (rounder, rounder_bits) =
        (_mm256_set1_pd(ROUNDER), _mm256_set1_epi64x(ROUNDER.to_bits().cast_signed()));
    let mut high_bits = _mm256_setzero_si256();
    let mut done = 0;
    for (to, levels) in out.as_chunks_mut().0.iter_mut().zip(levels.as_chunks().0) {
        let numbers = factors.numbers(load4(levels));
        // From -2^51 to 2^51 - 1 the sum is from 0 to 2^52 - 1; -2^51 itself is not below 2^51.
        high_bits = _mm256_or_si256(high_bits, _mm256_add_epi64(numbers, limit));
        let bits = _mm256_add_epi64(numbers, rounder_bits);
        let doubles = _mm256_sub_pd(_mm256_castsi256_pd(bits), rounder);
        store_doubles(to, if divisor == 1.0 { doubles } else { by.divide(doubles) });
        done += 4;
    }
    let out_of_range = _mm256_srli_epi64(high_bits, 52);
    *beyond |= _mm256_testz_si256(out_of_range, out_of_range) == 0;
    done
}

fn lanes32(x: __m256i) -> [i32; 8] {
    // SAFETY: both are 32 bytes, and any bits are eight integers.
    unsafe { std::mem::transmute(x) }
}

fn lanes64(x: __m256i) -> [i64; 4] {
    // SAFETY: both are 32 bytes, and any bits are four integers.
    unsafe { std::mem::transmute(x) }
}

/// See [`super::tally32`].
#[target_feature(enable = "avx2")]
pub(super) fn tally32(levels: &[i32]) -> (IntSummary, usize) {
    let mut sums = _mm256_setzero_si256();
    let (mut min, mut max) = (_mm256_set1_epi32(i32::MAX), _mm256_set1_epi32(i32::MIN));
    // 2^13 vectors of halves stay below 2^31.
    let (groups, _) = levels.as_chunks();
    let groups = groups.get(..groups.len().min(1 << 13)).unwrap_or_default();
    for group in groups {
        let x = load8(group);
        sums = _mm256_add_epi32(sums, x);
        min = _mm256_min_epi32(min, x);
        max = _mm256_max_epi32(max, x);
    }
    if groups.is_empty() {
        return (IntSummary::NONE, 0);
    }
    let min = i64::from(lanes32(min).into_iter().fold(i32::MAX, i32::min));
    let max = i64::from(lanes32(max).into_iter().fold(i32::MIN, i32::max));
    // As a rule the levels are so small that no sum has wrapped.
    let sum_max = min.abs().max(max.abs()) * groups.len().cast_signed() as i64;
    let sum = if sum_max <= i64::from(i32::MAX) { total32(sums) } else { sum_of_halves(groups) };
    (IntSummary { sum: i128::from(sum), min, max }, groups.len() * 8)
}

#[inline]
#[target_feature(enable = "avx2")]
fn total32(sums: __m256i) -> i64 {
    lanes32(sums).into_iter().map(i64::from).sum()
}

/// The sum of no more than 2^16 levels of any size.
#[target_feature(enable = "avx2")]
fn sum_of_halves(groups: &[[i32; 8]]) -> i64 {
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let low_half = _mm256_set1_epi32(0xffff);
    for group in groups {
        let x = load8(group);
        low = _mm256_add_epi32(low, _mm256_and_si256(x, low_half));
        high = _mm256_add_epi32(high, _mm256_srai_epi32(x, 16));
    }
    total32(low) + (total32(high) << 16)
}

/// See [`super::tally64`].
#[target_feature(enable = "avx2")]
pub(super) fn tally64(scale: Scale, levels: &[i64]) -> (IntSummary, usize) {
    let factors = Factors::of(scale);
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let (mut min, mut max) = (_mm256_set1_epi64x(i64::MAX), _mm256_set1_epi64x(i64::MIN));
    let low_half = _mm256_set1_epi64x(0xffff_ffff);
    let sign = _mm256_set1_epi64x(i64::MIN);
    // 2^16 halves stay far below 2^63.
    let (groups, _) = levels.as_chunks();
    let groups = groups.get(..groups.len().min(1 << 16)).unwrap_or_default();
    for group in groups {
        let x = factors.numbers(load4(group));
        // With the sign turned around the upper half needs no arithmetic shift; it is 2^31 too large.
        low = _mm256_add_epi64(low, _mm256_and_si256(x, low_half));
        high = _mm256_add_epi64(high, _mm256_srli_epi64(_mm256_xor_si256(x, sign), 32));
        min = _mm256_blendv_epi8(min, x, _mm256_cmpgt_epi64(min, x));
        max = _mm256_blendv_epi8(max, x, _mm256_cmpgt_epi64(x, max));
    }
    if groups.is_empty() {
        return (IntSummary::NONE, 0);
    }
    let sum = |x: __m256i| lanes64(x).into_iter().map(i128::from).sum::<i128>();
    let excess = (groups.len() as i128 * 4) << 31;
    let summary = IntSummary {
        sum: sum(low) + ((sum(high) - excess) << 32),
        min: lanes64(min).into_iter().fold(i64::MAX, i64::min),
        max: lanes64(max).into_iter().fold(i64::MIN, i64::max),
    };
    (summary, groups.len() * 4)
}

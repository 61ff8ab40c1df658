//! From symbols and low bits to residuals, and from those to levels.

use std::arch::x86_64::*;

use super::super::ints::{Scan, Transform};

/// A vector of eight `i32`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load8(from: &[i32; 8]) -> __m256i {
    // SAFETY: the array has the 32 bytes of the vector; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// A vector of four `i64`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load4(from: &[i64; 4]) -> __m256i {
    // SAFETY: the array has the 32 bytes of the vector; the load needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store8(to: &mut [i32; 8], vector: __m256i) {
    // SAFETY: the array has the 32 bytes of the vector; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store4(to: &mut [i64; 4], vector: __m256i) {
    // SAFETY: the array has the 32 bytes of the vector; the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), vector) }
}

/// See [`super::combine32`].
#[target_feature(enable = "avx2")]
pub(super) fn combine32(symbols: &[i8], low_bits: u32, out: &mut [i32]) -> usize {
    let shift = _mm_cvtsi32_si128(low_bits.cast_signed());
    let (groups, _) = out.as_chunks_mut::<8>();
    let mut done = 0;
    for (group, symbols) in groups.iter_mut().zip(symbols.as_chunks::<8>().0) {
        let bytes = i64::from_le_bytes(symbols.map(i8::cast_unsigned));
        let high = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bytes));
        store8(group, _mm256_add_epi32(load8(group), _mm256_sll_epi32(high, shift)));
        done += 8;
    }
    done
}

/// See [`super::combine64`].
#[target_feature(enable = "avx2")]
pub(super) fn combine64(symbols: &[i8], low_bits: u32, out: &mut [i64]) -> usize {
    let shift = _mm_cvtsi32_si128(low_bits.cast_signed());
    let (groups, _) = out.as_chunks_mut::<4>();
    let mut done = 0;
    for (group, symbols) in groups.iter_mut().zip(symbols.as_chunks::<4>().0) {
        let bytes = i32::from_le_bytes(symbols.map(i8::cast_unsigned));
        let high = _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(bytes));
        store4(group, _mm256_add_epi64(load4(group), _mm256_sll_epi64(high, shift)));
        done += 4;
    }
    done
}

/// The sums of the first one to eight numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sums8(x: __m256i) -> __m256i {
    let x = _mm256_add_epi32(x, _mm256_slli_si256(x, 4));
    let x = _mm256_add_epi32(x, _mm256_slli_si256(x, 8));
    // The last sum of the lower half goes to all of the upper half.
    let last = _mm256_shuffle_epi32(x, 0xff);
    _mm256_add_epi32(x, _mm256_permute2x128_si256(last, last, 0x08))
}

/// The last of eight numbers in all places.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn last8(x: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(7))
}

/// `x` scanned, with the sum before it, which moves on.
#[inline]
#[target_feature(enable = "avx2")]
fn carry8(before: &mut __m256i, x: __m256i) -> __m256i {
    let sums = sums8(x);
    let all = _mm256_add_epi32(sums, *before);
    *before = _mm256_add_epi32(*before, last8(sums));
    all
}

/// See [`super::scan32`].
#[target_feature(enable = "avx2")]
#[expect(clippy::cast_possible_truncation, reason = "narrow levels are computed modulo 2^32")]
pub(super) fn scan32(scan: &mut Scan, residuals: &mut [i32]) -> usize {
    let (groups, _) = residuals.as_chunks_mut::<8>();
    let drift = _mm256_set1_epi32(scan.drift as i32);
    let mut level = _mm256_set1_epi32(scan.level as i32);
    let mut slope = _mm256_set1_epi32(scan.slope as i32);
    match scan.transform {
        Transform::Centre => {}
        Transform::Delta => {
            for group in groups.iter_mut() {
                store8(group, carry8(&mut level, _mm256_add_epi32(load8(group), drift)));
            }
        }
        Transform::DeltaOfDelta => {
            for group in groups.iter_mut() {
                let slopes = carry8(&mut slope, load8(group));
                store8(group, carry8(&mut level, slopes));
            }
        }
        Transform::Line => {
            let ways = _mm256_mullo_epi32(drift, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            let mut points = _mm256_add_epi32(level, ways);
            let eight = _mm256_slli_epi32(drift, 3);
            for group in groups.iter_mut() {
                store8(group, _mm256_add_epi32(load8(group), points));
                points = _mm256_add_epi32(points, eight);
            }
            level = points;
        }
    }
    // The state is the same in all places, but of a line it is the first.
    scan.level = i64::from(_mm256_cvtsi256_si32(level));
    scan.slope = i64::from(_mm256_cvtsi256_si32(slope));
    groups.len() * 8
}

/// The sums of the first one to four numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sums4(x: __m256i) -> __m256i {
    let x = _mm256_add_epi64(x, _mm256_slli_si256(x, 8));
    let lower = _mm256_permute2x128_si256(x, x, 0x08);
    _mm256_add_epi64(x, _mm256_unpackhi_epi64(lower, lower))
}

/// The last of four numbers in all places.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn last4(x: __m256i) -> __m256i {
    _mm256_permute4x64_epi64(x, 0xff)
}

/// `x` scanned, with the sum before it, which moves on.
#[inline]
#[target_feature(enable = "avx2")]
fn carry4(before: &mut __m256i, x: __m256i) -> __m256i {
    let sums = sums4(x);
    let all = _mm256_add_epi64(sums, *before);
    *before = _mm256_add_epi64(*before, last4(sums));
    all
}

/// The first of four numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn first4(x: __m256i) -> i64 {
    _mm_cvtsi128_si64(_mm256_castsi256_si128(x))
}

/// See [`super::scan64`].
#[target_feature(enable = "avx2")]
pub(super) fn scan64(scan: &mut Scan, residuals: &mut [i64]) -> usize {
    let (groups, _) = residuals.as_chunks_mut::<4>();
    let drift = _mm256_set1_epi64x(scan.drift);
    let mut level = _mm256_set1_epi64x(scan.level);
    let mut slope = _mm256_set1_epi64x(scan.slope);
    match scan.transform {
        Transform::Centre => {}
        Transform::Delta => {
            for group in groups.iter_mut() {
                store4(group, carry4(&mut level, _mm256_add_epi64(load4(group), drift)));
            }
        }
        Transform::DeltaOfDelta => {
            for group in groups.iter_mut() {
                let slopes = carry4(&mut slope, load4(group));
                store4(group, carry4(&mut level, slopes));
            }
        }
        Transform::Line => {
            let [one, two] = [scan.drift, scan.drift.wrapping_mul(2)];
            let ways = _mm256_setr_epi64x(0, one, two, one.wrapping_add(two));
            let mut points = _mm256_add_epi64(level, ways);
            let four = _mm256_slli_epi64(drift, 2);
            for group in groups.iter_mut() {
                store4(group, _mm256_add_epi64(load4(group), points));
                points = _mm256_add_epi64(points, four);
            }
            level = points;
        }
    }
    (scan.level, scan.slope) = (first4(level), first4(slope));
    groups.len() * 4
}

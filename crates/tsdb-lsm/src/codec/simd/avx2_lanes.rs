//! From residuals that are packed in lanes to levels.
//!
//! The vectors of a block have one number of each lane. Running sums of the lanes are one addition per vector;
//! what has gone before each lane is added when all lanes are summed up, on the way to where the levels
//! belong.

use std::arch::x86_64::*;

use super::super::ints::{BLOCK, GROUP, LANES, STEPS, Scan, Transform};
use super::avx2::{first4, last4, last8, load4, load8, store4, store8, sums4, sums8};
use super::avx2_unpack::{Packed32, Packed64};

/// The numbers of all lanes at each step.
type Steps32 = [__m256i; STEPS];

/// The numbers of the first and of the second half of the lanes at each step.
type Steps64 = [[__m256i; 2]; STEPS];

/// See [`super::unpack_lanes32`].
#[target_feature(enable = "avx2")]
pub(super) fn unpack_lanes32(
    bytes: &[u8],
    width: u32,
    base: i32,
    scan: &mut Scan,
    ordered: bool,
    levels: &mut [i32; GROUP],
) -> bool {
    let Some(packed) = Packed32::new(bytes, width as usize) else { return false };
    let base = _mm256_set1_epi32(base);
    scan32(scan, ordered, |step| _mm256_add_epi32(packed.numbers(step), base), levels);
    true
}

/// See [`super::scan_lanes32`].
#[target_feature(enable = "avx2")]
pub(super) fn scan_lanes32(
    scan: &mut Scan,
    ordered: bool,
    residuals: &[i32; GROUP],
    levels: &mut [i32; GROUP],
) -> bool {
    let residuals = residuals.as_chunks().0;
    scan32(
        scan,
        ordered,
        |step| residuals.get(step).map_or(_mm256_setzero_si256(), |r| load8(r)),
        levels,
    );
    true
}

/// Turns the residuals of all steps of a group into levels.
#[inline]
#[target_feature(enable = "avx2")]
fn scan32(
    scan: &mut Scan,
    ordered: bool,
    residuals: impl Fn(usize) -> __m256i,
    levels: &mut [i32; GROUP],
) {
    let (first, second) = levels.split_at_mut(BLOCK);
    let blocks = first.as_mut_array().zip(second.as_mut_array());
    if let Some((first, second)) = blocks {
        scan_block32(scan, ordered, &residuals, first);
        scan_block32(scan, ordered, |step| residuals(STEPS + step), second);
    }
}

/// Turns the residuals of the steps of a block into levels.
#[inline]
#[target_feature(enable = "avx2")]
#[expect(clippy::cast_possible_truncation, reason = "narrow levels are computed modulo 2^32")]
fn scan_block32(
    scan: &mut Scan,
    ordered: bool,
    residuals: impl Fn(usize) -> __m256i,
    levels: &mut [i32; BLOCK],
) {
    let zero = _mm256_setzero_si256();
    let mut steps: Steps32 = [zero; STEPS];
    let drift = _mm256_set1_epi32(scan.drift as i32);
    let before = match scan.transform {
        Transform::Centre => {
            (0..).zip(&mut steps).for_each(|(step, to)| *to = residuals(step));
            zero
        }
        Transform::Delta => {
            let moves = |step| _mm256_add_epi32(residuals(step), drift);
            sum32(moves, &mut steps, &mut scan.level)
        }
        Transform::DeltaOfDelta => {
            let before = sum32(residuals, &mut steps, &mut scan.slope);
            let slopes = steps;
            let slopes = |step| slopes.get(step).map_or(zero, |s| _mm256_add_epi32(*s, before));
            sum32(slopes, &mut steps, &mut scan.level)
        }
        Transform::Line => {
            let mut way = zero;
            for (step, to) in steps.iter_mut().enumerate() {
                *to = _mm256_add_epi32(residuals(step), way);
                way = _mm256_add_epi32(way, drift);
            }
            let starts = _mm256_setr_epi32(0, 8, 16, 24, 32, 40, 48, 56);
            let (level, drift) = (scan.level as i32, scan.drift as i32);
            scan.level = i64::from(level.wrapping_add(drift.wrapping_mul(BLOCK as i32)));
            let ways = _mm256_mullo_epi32(_mm256_set1_epi32(drift), starts);
            _mm256_add_epi32(_mm256_set1_epi32(level), ways)
        }
    };
    for step in &mut steps {
        *step = _mm256_add_epi32(*step, before);
    }
    if ordered {
        store_rows32(&steps, levels);
    } else {
        for (to, step) in levels.as_chunks_mut().0.iter_mut().zip(steps) {
            store8(to, step);
        }
    }
}

/// Sums numbers up within their lanes, and gives what has gone before each lane: `total`, which moves on, and
/// the lanes before it.
#[inline]
#[target_feature(enable = "avx2")]
#[expect(clippy::cast_possible_truncation, reason = "narrow levels are computed modulo 2^32")]
fn sum32(numbers: impl Fn(usize) -> __m256i, sums: &mut Steps32, total: &mut i64) -> __m256i {
    let mut sum = _mm256_setzero_si256();
    for (step, to) in sums.iter_mut().enumerate() {
        sum = _mm256_add_epi32(sum, numbers(step));
        *to = sum;
    }
    let through = _mm256_add_epi32(sums8(sum), _mm256_set1_epi32(*total as i32));
    *total = i64::from(_mm256_cvtsi256_si32(last8(through)));
    _mm256_sub_epi32(through, sum)
}

/// Writes numbers lane after lane.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rows32(steps: &Steps32, levels: &mut [i32; BLOCK]) {
    for (to, row) in levels.as_chunks_mut().0.iter_mut().zip(transposed32(steps)) {
        store8(to, row);
    }
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed32(rows: &[__m256i; LANES]) -> [__m256i; LANES] {
    let [a, b, c, d, e, f, g, h] = *rows;
    let pairs = |x, y| (_mm256_unpacklo_epi32(x, y), _mm256_unpackhi_epi32(x, y));
    let fours = |(low, high), (next_low, next_high)| {
        [
            _mm256_unpacklo_epi64(low, next_low),
            _mm256_unpackhi_epi64(low, next_low),
            _mm256_unpacklo_epi64(high, next_high),
            _mm256_unpackhi_epi64(high, next_high),
        ]
    };
    let [i, j, k, l] = fours(pairs(a, b), pairs(c, d));
    let [m, n, o, p] = fours(pairs(e, f), pairs(g, h));
    let lower = |x, y| _mm256_permute2x128_si256(x, y, 0x20);
    let upper = |x, y| _mm256_permute2x128_si256(x, y, 0x31);
    [
        lower(i, m),
        lower(j, n),
        lower(k, o),
        lower(l, p),
        upper(i, m),
        upper(j, n),
        upper(k, o),
        upper(l, p),
    ]
}

/// See [`super::unpack_lanes64`].
#[target_feature(enable = "avx2")]
pub(super) fn unpack_lanes64(
    bytes: &[u8],
    width: u32,
    base: i64,
    scan: &mut Scan,
    ordered: bool,
    levels: &mut [i64; GROUP],
) -> bool {
    let Some(packed) = Packed64::new(bytes, width as usize) else { return false };
    let base = [_mm256_set1_epi64x(base); 2];
    scan64(scan, ordered, |step| add64(packed.numbers(step), base), levels);
    true
}

/// See [`super::scan_lanes64`].
#[target_feature(enable = "avx2")]
pub(super) fn scan_lanes64(
    scan: &mut Scan,
    ordered: bool,
    residuals: &[i64; GROUP],
    levels: &mut [i64; GROUP],
) -> bool {
    let (fours, _) = residuals.as_chunks();
    let (residuals, _) = fours.as_chunks();
    let zero = [_mm256_setzero_si256(); 2];
    let numbers =
        |step| residuals.get(step).map_or(zero, |[a, b]: &[[i64; 4]; 2]| [load4(a), load4(b)]);
    scan64(scan, ordered, numbers, levels);
    true
}

/// Turns the residuals of all steps of a group into levels.
#[inline]
#[target_feature(enable = "avx2")]
fn scan64(
    scan: &mut Scan,
    ordered: bool,
    residuals: impl Fn(usize) -> [__m256i; 2],
    levels: &mut [i64; GROUP],
) {
    let (first, second) = levels.split_at_mut(BLOCK);
    let blocks = first.as_mut_array().zip(second.as_mut_array());
    if let Some((first, second)) = blocks {
        scan_block64(scan, ordered, &residuals, first);
        scan_block64(scan, ordered, |step| residuals(STEPS + step), second);
    }
}

/// Turns the residuals of the steps of a block into levels.
#[inline]
#[target_feature(enable = "avx2")]
fn scan_block64(
    scan: &mut Scan,
    ordered: bool,
    residuals: impl Fn(usize) -> [__m256i; 2],
    levels: &mut [i64; BLOCK],
) {
    let zero = [_mm256_setzero_si256(); 2];
    let mut steps: Steps64 = [zero; STEPS];
    let drift = [_mm256_set1_epi64x(scan.drift); 2];
    let before = match scan.transform {
        Transform::Centre => {
            (0..).zip(&mut steps).for_each(|(step, to)| *to = residuals(step));
            zero
        }
        Transform::Delta => {
            sum64(|step| add64(residuals(step), drift), &mut steps, &mut scan.level)
        }
        Transform::DeltaOfDelta => {
            let before = sum64(residuals, &mut steps, &mut scan.slope);
            let slopes = steps;
            let slopes = |step| slopes.get(step).map_or(zero, |s| add64(*s, before));
            sum64(slopes, &mut steps, &mut scan.level)
        }
        Transform::Line => {
            let mut way = zero;
            for (step, to) in steps.iter_mut().enumerate() {
                *to = add64(residuals(step), way);
                way = add64(way, drift);
            }
            let Scan { drift, level, .. } = *scan;
            let start = |lane: i64| drift.wrapping_mul(lane * STEPS as i64).wrapping_add(level);
            scan.level = start(LANES as i64);
            [0, 4].map(|l| _mm256_setr_epi64x(start(l), start(l + 1), start(l + 2), start(l + 3)))
        }
    };
    for step in &mut steps {
        *step = add64(*step, before);
    }
    if ordered {
        store_rows64(&steps, levels);
    } else {
        for (to, half) in levels.as_chunks_mut().0.iter_mut().zip(steps.as_flattened()) {
            store4(to, *half);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add64([a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> [__m256i; 2] {
    [_mm256_add_epi64(a, c), _mm256_add_epi64(b, d)]
}

/// As [`sum32`].
#[inline]
#[target_feature(enable = "avx2")]
fn sum64(
    numbers: impl Fn(usize) -> [__m256i; 2],
    sums: &mut Steps64,
    total: &mut i64,
) -> [__m256i; 2] {
    let mut sum = [_mm256_setzero_si256(); 2];
    for (step, to) in sums.iter_mut().enumerate() {
        sum = add64(sum, numbers(step));
        *to = sum;
    }
    let [first, second] = sum;
    let through = _mm256_add_epi64(sums4(first), _mm256_set1_epi64x(*total));
    let through_all = _mm256_add_epi64(sums4(second), last4(through));
    *total = first4(last4(through_all));
    [_mm256_sub_epi64(through, first), _mm256_sub_epi64(through_all, second)]
}

/// Writes numbers lane after lane.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rows64(steps: &Steps64, levels: &mut [i64; BLOCK]) {
    let (lanes, _) = levels.as_chunks_mut::<STEPS>();
    for (half, [a, b, c, d]) in steps.as_chunks().0.iter().enumerate() {
        let rows = a
            .iter()
            .zip(b)
            .zip(c)
            .zip(d)
            .flat_map(|(((a, b), c), d)| transposed64([*a, *b, *c, *d]));
        for (lane, row) in lanes.iter_mut().zip(rows) {
            if let Some(to) = lane.as_chunks_mut().0.get_mut(half) {
                store4(to, row);
            }
        }
    }
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed64([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (i, j) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let (k, l) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
    [
        _mm256_permute2x128_si256(i, k, 0x20),
        _mm256_permute2x128_si256(j, l, 0x20),
        _mm256_permute2x128_si256(i, k, 0x31),
        _mm256_permute2x128_si256(j, l, 0x31),
    ]
}

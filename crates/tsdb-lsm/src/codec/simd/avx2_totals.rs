//! Sums and extremes of doubles.

use std::arch::x86_64::*;

use super::super::totals::Total;
use super::avx2::{load4, store4};
use super::avx2_sink::{load_doubles, store_doubles};

/// See [`super::add_groups`].
#[target_feature(enable = "avx2")]
pub(super) fn add_groups(total: &mut Total, values: &[f64]) -> usize {
    let (groups, _) = values.as_chunks();
    let (mut sums, mut lost) = (load_doubles(&total.sums), load_doubles(&total.lost));
    let (mut min, mut max) = (load4(&total.min), load4(&total.max));
    let mut unordered = _mm256_setzero_pd();
    for group in groups {
        let x = load_doubles(group);
        let next = _mm256_add_pd(sums, x);
        let kept = _mm256_sub_pd(next, sums);
        let of_sums = _mm256_sub_pd(sums, _mm256_sub_pd(next, kept));
        lost = _mm256_add_pd(lost, _mm256_add_pd(of_sums, _mm256_sub_pd(x, kept)));
        sums = next;
        unordered = _mm256_or_pd(unordered, _mm256_cmp_pd::<_CMP_UNORD_Q>(x, x));
        let bits = _mm256_castpd_si256(x);
        let negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), bits);
        let order = _mm256_xor_si256(bits, _mm256_srli_epi64(negative, 1));
        min = _mm256_blendv_epi8(min, order, _mm256_cmpgt_epi64(min, order));
        max = _mm256_blendv_epi8(max, order, _mm256_cmpgt_epi64(order, max));
    }
    store_doubles(&mut total.sums, sums);
    store_doubles(&mut total.lost, lost);
    store4(&mut total.min, min);
    store4(&mut total.max, max);
    total.nan |= _mm256_movemask_pd(unordered) != 0;
    groups.len() * 4
}

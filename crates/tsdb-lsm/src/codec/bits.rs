//! Bit packing: numbers of one width, lowest bits first, without gaps.

#![expect(
    clippy::cast_possible_truncation,
    reason = "masks and widths say how many bits are meant"
)]

use super::simd;

/// Bytes that `count` numbers of `width` bits take.
pub(super) fn packed_len(width: u32, count: usize) -> usize {
    count.saturating_mul(width as usize).div_ceil(8)
}

/// The lowest `width` bits, at most 64.
pub(super) fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width.min(64)) }
}

/// Bits that `value` needs: 0 for 0, 64 from 2^63 on.
#[inline(always)]
pub(super) fn bit_len(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Appends `values`, each below 2^`width`; `width` is at most 64.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width > 0 {
        simd::vectorised(Pack(values, width, out));
    }
}

/// The loop of [`pack`].
struct Pack<'a, V>(V, u32, &'a mut Vec<u8>);

impl<V: Iterator<Item = u64>> simd::HotLoop for Pack<'_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        pack_inlined(self.0, self.1, self.2);
    }
}

#[inline(always)]
fn pack_inlined(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut pending, mut pending_bits) = (0u64, 0u32);
    for value in values {
        pending |= value << pending_bits;
        pending_bits += width;
        if pending_bits >= 64 {
            out.extend_from_slice(&pending.to_le_bytes());
            pending_bits -= 64;
            // What of the value did not fit above.
            pending = value.checked_shr(width - pending_bits).unwrap_or(0);
        }
    }
    let rest = pending.to_le_bytes();
    out.extend(rest.iter().take(pending_bits.div_ceil(8) as usize));
}

/// Fills `out` with numbers of `width` bits, at most 32, plus `base` (sums wrap) from `bytes`, which has at
/// least [`packed_len`] bytes; missing ones count as zeros.
pub(super) fn unpack32(bytes: &[u8], width: u32, base: i32, out: &mut [i32]) {
    let done = simd::unpack32(bytes, width, base, out);
    let rest = out.get_mut(done..).unwrap_or_default();
    unpack_from(bytes, width, done, rest.iter_mut(), |place, number| {
        *place = base.wrapping_add_unsigned(number as u32);
    });
}

/// As [`unpack32`], for a width of up to 64 bits.
pub(super) fn unpack64(bytes: &[u8], width: u32, base: i64, out: &mut [i64]) {
    let done = simd::unpack64(bytes, width, base, out);
    let rest = out.get_mut(done..).unwrap_or_default();
    unpack_from(bytes, width, done, rest.iter_mut(), |place, number| {
        *place = base.wrapping_add_unsigned(number);
    });
}

/// Hands number `first` and all after it to `put` with the places to fill.
#[inline]
fn unpack_from<P>(
    bytes: &[u8],
    width: u32,
    first: usize,
    places: impl ExactSizeIterator<Item = P>,
    put: impl Fn(P, u64),
) {
    let mask = mask(width);
    let width_bits = width as usize;
    let end = first + places.len();
    // One load of eight bytes covers a number of up to 57 bits that begins anywhere in its first byte.
    let fast_end = match width {
        0 => end,
        1..=57 => end.min((bytes.len().saturating_sub(7) * 8).div_ceil(width_bits)),
        _ => first,
    };
    for (index, place) in (first..).zip(places) {
        let bit = index.wrapping_mul(width_bits);
        let number = match bytes.get(bit / 8..).and_then(|rest| rest.first_chunk()) {
            Some(word) if index < fast_end => u64::from_le_bytes(*word) >> (bit % 8),
            _ => slow_load(bytes, bit),
        };
        put(place, number & mask);
    }
}

/// The 64 bits from `bit` on; those behind the end are zeros.
#[cold]
fn slow_load(bytes: &[u8], bit: usize) -> u64 {
    let mut word = [0; 16];
    let rest = bytes.get(bit / 8..).unwrap_or(&[]);
    word.iter_mut().zip(rest).take(9).for_each(|(to, from)| *to = *from);
    (u128::from_le_bytes(word) >> (bit % 8)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(width in 0u32..=64, values in prop::collection::vec(any::<u64>(), 0..200)) {
            let values: Vec<u64> = values.into_iter().map(|v| v & mask(width)).collect();
            let mut bytes = Vec::new();
            pack(values.iter().copied(), width, &mut bytes);
            prop_assert_eq!(bytes.len(), packed_len(width, values.len()));
            let mut wide = vec![-1; values.len()];
            unpack64(&bytes, width, 7, &mut wide);
            prop_assert_eq!(wide, values.iter().map(|v| v.cast_signed().wrapping_add(7)).collect::<Vec<_>>());
            if width <= 32 {
                let mut narrow = vec![-1; values.len()];
                unpack32(&bytes, width, -7, &mut narrow);
                let expected: Vec<i32> = values.iter().map(|v| (*v as u32).cast_signed().wrapping_sub(7)).collect();
                prop_assert_eq!(narrow, expected);
            }
        }
    }
}

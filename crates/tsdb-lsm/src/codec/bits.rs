//! Bit packing: numbers of one width, lowest bits first, without gaps.

/// Bytes that `count` numbers of `width` bits take.
pub(super) fn packed_len(width: u32, count: usize) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends `values`, each below 2^`width`; `width` is at most 64.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mut pending: u128 = 0;
    let mut pending_bits = 0;
    for value in values {
        pending |= u128::from(value) << pending_bits;
        pending_bits += width;
        while pending_bits >= 64 {
            #[expect(clippy::cast_possible_truncation, reason = "the low half goes out")]
            out.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= 64;
            pending_bits -= 64;
        }
    }
    let rest = pending.to_le_bytes();
    out.extend(rest.iter().take(pending_bits.div_ceil(8) as usize));
}

/// Calls `each` for `count` numbers of `width` bits (at most 64) in `bytes`, which has at least
/// [`packed_len`] bytes.
#[inline]
pub(super) fn unpack(bytes: &[u8], width: u32, count: usize, mut each: impl FnMut(u64)) {
    if width == 0 {
        (0..count).for_each(|_| each(0));
        return;
    }
    let width_bits = width as usize;
    let mask = u64::MAX >> (64 - width);
    // One load of eight bytes covers a number that begins anywhere in its first byte.
    let fast = if width <= 57 {
        let last_start = bytes.len().saturating_sub(7);
        count.min((last_start * 8).div_ceil(width_bits))
    } else {
        0
    };
    for i in 0..fast {
        let bit = i * width_bits;
        let mut raw = [0; 8];
        if let Some(found) = bytes.get(bit / 8..bit / 8 + 8) {
            raw.copy_from_slice(found);
        }
        each(u64::from_le_bytes(raw) >> (bit % 8) & mask);
    }
    for i in fast..count {
        let bit = i * width_bits;
        let mut raw = [0; 16];
        let rest = bytes.get(bit / 8..).unwrap_or(&[]);
        raw.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        #[expect(clippy::cast_possible_truncation, reason = "the mask keeps what fits")]
        each((u128::from_le_bytes(raw) >> (bit % 8)) as u64 & mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(width in 0u32..=64, values in prop::collection::vec(any::<u64>(), 0..200)) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let values: Vec<u64> = values.into_iter().map(|v| v & mask).collect();
            let mut bytes = Vec::new();
            pack(values.iter().copied(), width, &mut bytes);
            prop_assert_eq!(bytes.len(), packed_len(width, values.len()));
            let mut back = Vec::new();
            unpack(&bytes, width, values.len(), |v| back.push(v));
            prop_assert_eq!(back, values);
        }
    }
}

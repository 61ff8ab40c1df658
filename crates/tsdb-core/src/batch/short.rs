//! Doubles without the zero bytes at their low end, for the bytes of a batch.
//!
//! Whole numbers, halves, and whatever else has few binary digits take two or three bytes instead of eight, at
//! about a nanosecond each; the log then has less to check, to copy and to sync. Values with all their digits
//! take half a byte more, so a sample decides first.

/// Values that share a word of lengths.
const GROUP: usize = 16;

/// Bytes of the word of lengths.
const LENGTHS: usize = 8;

/// Groups that are packed before they are copied out, so that copying costs little.
const GROUPS: usize = 8;

/// Bytes that so many groups may take. A whole word is written even where fewer bytes of it count.
const PACKED: usize = GROUPS * (LENGTHS + GROUP * 8) + 8;

/// Values that say whether it is worth while.
const SAMPLE: usize = 64;

/// Most values per byte of what [`pack`] writes.
pub(super) const VALUES_PER_BYTE: usize = GROUP / LENGTHS;

/// Bytes of a double that are not zeros at its low end, 0 to 8.
#[inline]
fn length(bits: u64) -> u32 {
    8 - bits.trailing_zeros() / 8
}

/// Whether the first values say that [`pack`] saves an eighth or more.
fn is_worthwhile(values: &[f64]) -> bool {
    let sample = values.get(..SAMPLE).unwrap_or(values);
    let words = sample.len().div_ceil(GROUP) * LENGTHS;
    let bytes = words + sample.iter().map(|value| length(value.to_bits()) as usize).sum::<usize>();
    bytes * 8 <= sample.len() * 7 * 8
}

/// Writes a group at `at` and says where it ends.
#[inline]
fn pack_group(group: &[f64], packed: &mut [u8; PACKED], at: usize) -> usize {
    let (mut end, mut lengths) = (at + LENGTHS, 0u64);
    for (place, value) in group.iter().enumerate() {
        let bits = value.to_bits();
        let length = length(bits);
        // Zero has no bytes and stays zero, however little it is shifted.
        let high = bits.wrapping_shr(64 - 8 * length);
        if let Some(to) = packed.get_mut(end..end + 8) {
            to.copy_from_slice(&high.to_le_bytes());
        }
        lengths |= u64::from(length) << (4 * place);
        end += length as usize;
    }
    if let Some(to) = packed.get_mut(at..at + LENGTHS) {
        to.copy_from_slice(&lengths.to_le_bytes());
    }
    end
}

/// Appends `values` in groups of 16, the last with what is left: a word with the length of each in four bits,
/// the first lowest, then the high bytes of each, lowest first. Writes nothing and says so where that is no
/// shorter than eight bytes each.
pub(super) fn pack(values: &[f64], out: &mut Vec<u8>) -> bool {
    if !is_worthwhile(values) {
        return false;
    }
    let start = out.len();
    let mut packed = [0; PACKED];
    for groups in values.chunks(GROUP * GROUPS) {
        let mut at = 0;
        for group in groups.chunks(GROUP) {
            at = pack_group(group, &mut packed, at);
        }
        out.extend_from_slice(packed.get(..at).unwrap_or_default());
    }
    let is_shorter = out.len() - start < 8 * values.len();
    if !is_shorter {
        out.truncate(start);
    }
    is_shorter
}

/// Appends `count` values that [`pack`] wrote to `values`; `None` if `bytes` are none of these. The caller has
/// bounded `count` by [`VALUES_PER_BYTE`].
pub(super) fn unpack(mut bytes: &[u8], count: usize, values: &mut Vec<f64>) -> Option<()> {
    values.reserve(count);
    let mut left = count;
    while left > 0 {
        let (lengths, rest) = bytes.split_first_chunk::<LENGTHS>()?;
        let lengths = u64::from_le_bytes(*lengths);
        let group = left.min(GROUP);
        let mut at = 0;
        for place in 0..group {
            let length = (lengths >> (4 * place) & 15) as u32;
            let rest = rest.get(at..)?;
            if length as usize > rest.len().min(8) {
                return None;
            }
            // What lies above the value's bytes is shifted out.
            let word = rest.first_chunk().map_or_else(|| padded(rest), |w| u64::from_le_bytes(*w));
            let bits = word.checked_shl(64 - 8 * length).unwrap_or(0);
            values.push(f64::from_bits(bits));
            at += length as usize;
        }
        bytes = rest.get(at..)?;
        left -= group;
    }
    bytes.is_empty().then_some(())
}

/// Fewer than eight bytes, and zeros above.
#[cold]
fn padded(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Doubles with a random number of zero bytes at the low end.
    fn some_short() -> impl Strategy<Value = Vec<f64>> {
        let value = (any::<u64>(), 0u32..=64)
            .prop_map(|(bits, zeros)| f64::from_bits(bits.checked_shl(zeros).unwrap_or(0)));
        prop::collection::vec(value, 0..200)
    }

    proptest! {
        #[test]
        fn values_come_back(values in some_short(), before in 0usize..3) {
            let mut bytes = vec![1; before];
            if !pack(&values, &mut bytes) {
                prop_assert_eq!(bytes.len(), before);
                return Ok(());
            }
            let packed = &bytes[before..];
            prop_assert!(packed.len() < 8 * values.len());
            prop_assert!(values.len() <= packed.len() * VALUES_PER_BYTE);
            let mut back = Vec::new();
            prop_assert_eq!(unpack(packed, values.len(), &mut back), Some(()));
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&values));
            prop_assert_eq!(unpack(&packed[..packed.len() - 1], values.len(), &mut back), None);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..40) {
            let mut values = Vec::new();
            if unpack(&bytes, count, &mut values).is_some() {
                prop_assert_eq!(values.len(), count);
            }
        }
    }

    #[test]
    fn whole_numbers_take_two_bytes_and_half_a_byte_for_the_length() {
        let mut bytes = Vec::new();
        assert!(pack(&[58.0; 32], &mut bytes));
        assert_eq!(bytes.len(), 2 * (8 + 16 * 2));
        assert!(!pack(&[0.1; 32], &mut bytes));
    }

    /// The format, byte by byte: 1.5 is 0x3ff8 << 48, 0.1 has all its bytes.
    #[test]
    fn the_bytes_of_values() {
        let mut bytes = Vec::new();
        assert!(pack(&[1.5, 0.0, 0.1, -2.0], &mut bytes));
        let lengths = [0x02, 0x18, 0, 0, 0, 0, 0, 0];
        let tenth = 0.1f64.to_bits().to_le_bytes();
        assert_eq!(bytes, [&lengths[..], &[0xf8, 0x3f], &tenth, &[0xc0]].concat());
    }
}

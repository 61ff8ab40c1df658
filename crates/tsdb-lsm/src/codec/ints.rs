//! Columns of integers: frame of reference and bit packing per 128 numbers, of the numbers themselves or
//! of their differences, whichever takes fewer bits.

use super::bits::{pack, packed_len, unpack};
use crate::bytes::{Malformed, Reader, put_i64, put_varint};

const PLAIN: u8 = 0;
const DELTA: u8 = 1;

/// Numbers that share a reference and a width. Smaller adapts better, larger costs fewer headers.
const GROUP: usize = 128;

/// Maps small numbers of either sign to small ones: 0, -1, 1, -2, ...
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Smallest number of a group and the width of the distances from it.
fn frame(group: &[i64]) -> (i64, u32) {
    let min = group.iter().copied().min().unwrap_or(0);
    let max = group.iter().copied().max().unwrap_or(0);
    // Both are i64, so their distance always fits an u64.
    let range = max.wrapping_sub(min).cast_unsigned();
    (min, u64::BITS - range.leading_zeros())
}

fn cost(values: &[i64]) -> usize {
    values.chunks(GROUP).map(|group| packed_len(frame(group).1, group.len())).sum()
}

/// Appends a column. The number of values is not part of the bytes.
pub(super) fn encode_ints(values: &[i64], out: &mut Vec<u8>) {
    let deltas: Vec<i64> =
        values.iter().zip(values.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a)).collect();
    let (first, body) = match values.first() {
        Some(first) if cost(&deltas) < cost(values) => (Some(*first), deltas.as_slice()),
        _ => (None, values),
    };
    match first {
        Some(first) => {
            out.push(DELTA);
            put_i64_varint(out, first);
        }
        None => out.push(PLAIN),
    }
    for group in body.chunks(GROUP) {
        let (min, width) = frame(group);
        put_i64_varint(out, min);
        out.push(u8::try_from(width).unwrap_or(64));
        pack(group.iter().map(|v| v.wrapping_sub(min).cast_unsigned()), width, out);
    }
}

fn put_i64_varint(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Reads `count` numbers and calls `each` for them in order.
pub(super) fn decode_ints(
    reader: &mut Reader<'_>,
    count: usize,
    mut each: impl FnMut(i64),
) -> Result<(), Malformed> {
    match reader.u8()? {
        PLAIN => decode_groups(reader, count, each),
        DELTA if count > 0 => {
            let mut at = unzigzag(reader.varint()?);
            each(at);
            decode_groups(reader, count - 1, |delta| {
                at = at.wrapping_add(delta);
                each(at);
            })
        }
        _ => Err(reader.malformed("an unknown encoding of integers")),
    }
}

fn decode_groups(
    reader: &mut Reader<'_>,
    count: usize,
    mut each: impl FnMut(i64),
) -> Result<(), Malformed> {
    let mut left = count;
    while left > 0 {
        let here = left.min(GROUP);
        let min = unzigzag(reader.varint()?);
        let width = u32::from(reader.u8()?);
        if width > 64 {
            return Err(reader.malformed("a width above 64 bits"));
        }
        let bytes = reader.take(packed_len(width, here))?;
        unpack(bytes, width, here, |v| each(min.wrapping_add(v.cast_signed())));
        left -= here;
    }
    Ok(())
}

/// Kept beside the varints so that both forms of a signed number stand in one place.
pub(super) fn put_fixed(out: &mut Vec<u8>, value: i64) {
    put_i64(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_come_back(values in prop::collection::vec(prop_oneof![any::<i64>(), -9i64..9, Just(i64::MIN), Just(i64::MAX)], 0..400)) {
            let mut bytes = Vec::new();
            encode_ints(&values, &mut bytes);
            let mut back = Vec::new();
            let mut reader = Reader::new(&bytes);
            decode_ints(&mut reader, values.len(), |v| back.push(v)).unwrap();
            prop_assert_eq!(reader.end(), Ok(()));
            prop_assert_eq!(back, values);
        }
    }
}

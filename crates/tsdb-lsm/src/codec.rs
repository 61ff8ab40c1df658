//! Encodings of columns: timestamps, values and presence to bytes and back.
//!
//! A column is encoded for itself; which encoding it has stands in its first byte. Every `f64` comes back
//! bit for bit. Decoders take whatever a damaged or hostile file holds: they refuse, and allocate no more
//! than the rows that the caller announces. The bytes are those of `docs/format/columns.md`.
//!
//! The way of a value: `values` picks a mode, which makes integers of doubles (`decimal`, `ordered`,
//! `scaled`); `ints` models them and writes what the model does not foresee, for most by a prefix code
//! (`huffman`) and bit packing (`bits`). Plain code defines every result; `simd` repeats some of it faster.

mod bits;
#[cfg(any(test, feature = "test-util"))]
pub(crate) mod datasets;
mod decimal;
mod huffman;
mod ints;
mod memo;
mod ordered;
mod scaled;
mod simd;
mod times;
mod totals;
mod values;

pub(crate) use memo::Memo;
pub(crate) use times::{decode_times, encode_times};
pub(crate) use values::{ValueSummary, decode_values, encode_values, summarise_values};

use tsdb_core::Presence;

use crate::bytes::{Malformed, Reader};

const PRESENT_ALL: u8 = 0;
const PRESENT_SOME: u8 = 1;

/// Appends which of `rows` rows have a value: one byte, and a bitmap unless all have.
pub(crate) fn encode_presence(presence: &Presence, rows: usize, out: &mut Vec<u8>) {
    match presence {
        Presence::Some(words) => {
            out.push(PRESENT_SOME);
            let bytes = words.iter().flat_map(|word| word.to_le_bytes());
            out.extend(bytes.take(rows.div_ceil(8)));
        }
        Presence::All | Presence::None => out.push(PRESENT_ALL),
    }
}

/// Reads what [`encode_presence`] wrote; returns the number of rows that have a value too.
pub(crate) fn decode_presence(
    reader: &mut Reader<'_>,
    rows: usize,
) -> Result<(Presence, usize), Malformed> {
    if reader.u8()? == PRESENT_ALL {
        return Ok((Presence::All, rows));
    }
    let bytes = reader.take(rows.div_ceil(8))?;
    let mut words = vec![0u64; rows.div_ceil(64)];
    for (place, byte) in bytes.iter().enumerate() {
        if let Some(word) = words.get_mut(place / 8) {
            *word |= u64::from(*byte) << (place % 8 * 8);
        }
    }
    let beyond = rows % 64;
    if let Some(last) = words.last()
        && beyond != 0
        && last >> beyond != 0
    {
        return Err(reader.malformed("presence of rows that do not exist"));
    }
    let present: u32 = words.iter().map(|word| word.count_ones()).sum();
    let present = present as usize;
    if present == 0 || present == rows {
        return Err(reader.malformed("presence that is not in its shortest form"));
    }
    Ok((Presence::Some(words), present))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsdb_core::{Column, TimeColumn};

    /// Columns as they occur, and as they hardly do.
    pub(super) fn any_values() -> impl Strategy<Value = Vec<f64>> {
        let special = prop::sample::select(vec![
            f64::NAN,
            f64::from_bits(0x7ff0_0000_0000_0002), // Prometheus' stale marker
            f64::from_bits(0xfff8_dead_beef_0001),
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            f64::MIN_POSITIVE / 8.0,
            f64::MAX,
            9_007_199_254_740_993.0,
        ]);
        let decimal =
            (-1_000_000i64..1_000_000, 0i32..6).prop_map(|(k, e)| k as f64 / 10f64.powi(e));
        let value = prop_oneof![
            8 => (-100i32..100).prop_map(f64::from),
            8 => decimal,
            1 => special,
            1 => any::<u64>().prop_map(f64::from_bits),
        ];
        let walk =
            (any::<i32>(), prop::collection::vec(-3i64..3, 1..700)).prop_map(|(start, steps)| {
                let walk = steps.iter().scan(i64::from(start), |at, step| {
                    *at += step;
                    Some(*at as f64 / 100.0)
                });
                walk.collect()
            });
        prop_oneof![
            prop::collection::vec(value, 1..300),
            walk,
            (any::<u64>(), 1usize..5000).prop_map(|(bits, n)| vec![f64::from_bits(bits); n]),
            prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 1..200),
        ]
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn values_come_back_bit_for_bit(values in any_values()) {
            let mut bytes = Vec::new();
            encode_values(&values, &mut Memo::default(), &mut bytes);
            let mut reader = Reader::new(&bytes);
            let mut back = Vec::new();
            decode_values(&mut reader, values.len(), &mut back).unwrap();
            prop_assert_eq!(reader.end(), Ok(()));
            prop_assert_eq!(bits(&back), bits(&values));
        }

        #[test]
        fn times_come_back(start in any::<i64>(), steps in prop::collection::vec(prop_oneof![Just(0u64), 0u64..9, any::<u64>()], 0..300), unit in prop::sample::select(vec![1u64, 1_000_000, 10_000_000_000])) {
            let mut times = vec![start];
            for step in steps {
                let next = i128::from(*times.last().unwrap()) + i128::from(step % 1_000_000_000) * i128::from(unit) + 1;
                let Ok(next) = i64::try_from(next) else { break };
                times.push(next);
            }
            let mut bytes = Vec::new();
            encode_times(&times, &mut bytes);
            let mut reader = Reader::new(&bytes);
            let mut back = TimeColumn::default();
            decode_times(&mut reader, times.len(), &mut back).unwrap();
            prop_assert_eq!(reader.end(), Ok(()));
            prop_assert_eq!(back.iter().collect::<Vec<_>>(), times);
        }

        #[test]
        fn presence_comes_back(rows in prop::collection::vec(any::<bool>(), 1..200)) {
            let mut column = Column::default();
            column.fill(rows.iter().map(|present| present.then_some(1.0)));
            prop_assume!(column.presence != Presence::None);
            let mut bytes = Vec::new();
            encode_presence(&column.presence, rows.len(), &mut bytes);
            let (back, present) = decode_presence(&mut Reader::new(&bytes), rows.len()).unwrap();
            prop_assert_eq!(back, column.presence);
            prop_assert_eq!(present, rows.iter().filter(|p| **p).count());
        }

        /// Whatever the bytes are: refused, or exactly as many values as were announced.
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), first in 0u8..7, rows in 1usize..5000) {
            let mut bytes = bytes;
            bytes.insert(0, first);
            let mut values = Vec::new();
            if decode_values(&mut Reader::new(&bytes), rows, &mut values).is_ok() {
                prop_assert_eq!(values.len(), rows);
            }
            let mut times = TimeColumn::default();
            if decode_times(&mut Reader::new(&bytes), rows, &mut times).is_ok() {
                prop_assert_eq!(times.len(), rows);
                prop_assert!(times.iter().zip(times.iter().skip(1)).all(|(a, b)| a < b));
            }
            let _ = decode_presence(&mut Reader::new(&bytes), rows);
        }

        #[test]
        fn damaged_columns_are_refused_or_give_as_many_values(values in any_values(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = Vec::new();
            encode_values(&values, &mut Memo::default(), &mut bytes);
            let at = at.index(bytes.len());
            let mut back = Vec::new();
            prop_assert!(decode_values(&mut Reader::new(&bytes[..at]), values.len(), &mut back).is_err());
            bytes[at] ^= 1 << bit;
            back.clear();
            if decode_values(&mut Reader::new(&bytes), values.len(), &mut back).is_ok() {
                prop_assert_eq!(back.len(), values.len());
            }
        }
    }

    #[test]
    fn sizes_of_common_columns() {
        let size = |values: &[f64]| {
            let mut bytes = Vec::new();
            encode_values(values, &mut Memo::default(), &mut bytes);
            bytes.len()
        };
        assert_eq!(size(&[1.5; 4096]), 9, "a constant is its one value");
        let counter: Vec<f64> = (0..4096).map(f64::from).collect();
        assert!(size(&counter) < 200, "a line has no differences: {}", size(&counter));
        let gauge: Vec<f64> = (0..4096).map(|i| f64::from(i * 7919 % 16) / 10.0).collect();
        assert!(size(&gauge) < 4096 * 6 / 8, "sixteen levels need few bits: {}", size(&gauge));
        let mut bytes = Vec::new();
        encode_times(&(0..4096).map(|i| i * 10_000_000_000).collect::<Vec<_>>(), &mut bytes);
        assert!(bytes.len() < 20, "regular times are their start and step");
    }
}

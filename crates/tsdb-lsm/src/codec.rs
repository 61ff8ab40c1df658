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
mod integers;
mod ints;
mod memo;
mod ordered;
mod quotient;
mod scaled;
#[expect(
    unsafe_code,
    reason = "kernels load and store vectors, and step through bit streams unchecked"
)]
mod simd;
mod times;
mod totals;
mod values;

pub(crate) use integers::{decode_integers, encode_integers};
pub(crate) use memo::Memo;
pub(crate) use times::{decode_times, encode_times};
#[cfg(feature = "test-util")]
pub(crate) use values::encode_packed;
#[cfg(any(test, feature = "test-util"))]
pub(crate) use values::summarise_values;
pub(crate) use values::{decode_values, encode_values};

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

/// Decodes any bytes as a column of each sort, the first two as the number of rows, and checks what must
/// hold: the entry for fuzzing.
///
/// # Panics
/// If a decoder gives another number of rows than it was asked for, or timestamps that do not increase.
#[cfg(any(test, feature = "test-util"))]
pub(crate) fn decode_anything(bytes: &[u8]) {
    let [low, high, bytes @ ..] = bytes else { return };
    let rows = 1 + usize::from(u16::from_le_bytes([*low, *high]));
    let mut values = Vec::new();
    if decode_values(&mut Reader::new(bytes), rows, &mut values).is_ok() {
        assert_eq!(values.len(), rows, "another number of values");
    }
    if let Ok(Some(summary)) = summarise_values(&mut Reader::new(bytes), rows) {
        assert!(summary.min.total_cmp(&summary.max).is_le(), "a summary without order");
    }
    let mut times = tsdb_core::TimeColumn::default();
    if decode_times(&mut Reader::new(bytes), rows, &mut times).is_ok() {
        assert_eq!(times.len(), rows, "another number of timestamps");
        let pairs = times.iter().zip(times.iter().skip(1));
        assert!(pairs.into_iter().all(|(a, b)| a < b), "timestamps that do not increase");
    }
    // Any answer will do.
    let _ = decode_presence(&mut Reader::new(bytes), rows);
}

#[cfg(test)]
mod tests;

//! Columns: any bytes as pages, and any numbers as columns.

use tsdb_core::storage::TimeColumn;
use tsdb_lsm::bench_support::{
    Memo, decode_anything, decode_times, decode_values, encode_times, encode_values,
};

/// Rows that the two first bytes ask for, at most.
const ROWS_MAX: usize = 1 << 16;

/// Any bytes as columns of each sort, the first two as the number of rows; and as the numbers that are in one.
///
/// # Panics
/// If a decoder gives another number of rows than it was asked for or timestamps that do not increase, or if
/// numbers do not come back bit for bit.
pub fn codecs(data: &[u8]) {
    decode_anything(data);
    let (words, _) = data.as_chunks::<8>();
    let values: Vec<f64> =
        words.iter().map(|raw| f64::from_bits(u64::from_le_bytes(*raw))).collect();
    check_values(&values);
    let mut times: Vec<i64> = words.iter().map(|raw| i64::from_le_bytes(*raw)).collect();
    times.sort_unstable();
    times.dedup();
    check_times(&times);
    // What was decoded is a column like any other.
    let Some((rows, page)) = data.split_first_chunk::<2>() else { return };
    let rows = (1 + usize::from(u16::from_le_bytes(*rows))).min(ROWS_MAX);
    let mut decoded = Vec::new();
    if decode_values(page, rows, &mut decoded).is_ok() {
        check_values(&decoded);
    }
    let mut decoded = TimeColumn::default();
    if decode_times(page, rows, &mut decoded).is_ok() {
        check_times(&decoded.iter().collect::<Vec<_>>());
    }
}

fn check_values(values: &[f64]) {
    if values.is_empty() {
        return;
    }
    // The second time it is known what the column was encoded as.
    let mut memo = Memo::default();
    for _ in 0..2 {
        let (mut page, mut back) = (Vec::new(), Vec::new());
        encode_values(values, &mut memo, &mut page);
        decode_values(&page, values.len(), &mut back).expect("what was encoded is decoded");
        let is_same = back.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits()));
        assert!(is_same, "values come back changed: {values:?}");
    }
}

fn check_times(times: &[i64]) {
    if times.is_empty() {
        return;
    }
    let (mut page, mut back) = (Vec::new(), TimeColumn::default());
    encode_times(times, &mut page);
    decode_times(&page, times.len(), &mut back).expect("what was encoded is decoded");
    assert!(back.iter().eq(times.iter().copied()), "timestamps come back changed: {times:?}");
}

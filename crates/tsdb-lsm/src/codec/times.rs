//! Timestamps of a chunk: regular ones as start and step, others as a column of integers.

use tsdb_core::TimeColumn;

use super::ints::{COUNT_MAX, Domain, Integers, IntsMemo, decode_ints, encode_ints};
use crate::bytes::{Malformed, Reader, put_i64, put_varint};

const REGULAR: u8 = 0;
const IRREGULAR: u8 = 1;

/// Appends strictly increasing timestamps, at least one and at most [`COUNT_MAX`].
pub(crate) fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    let Some(first) = times.first() else { return };
    if let Some(step) = regular_step(times) {
        out.push(REGULAR);
        put_i64(out, *first);
        put_varint(out, step);
    } else {
        assert!(times.len() <= COUNT_MAX, "a column has at most {COUNT_MAX} timestamps");
        out.push(IRREGULAR);
        encode_ints(times, Domain::Times, &mut IntsMemo::default(), out);
    }
}

/// The distance of all neighbours, if there is one: 0 of a single timestamp.
fn regular_step(times: &[i64]) -> Option<u64> {
    let [first, second, ..] = times else { return Some(0) };
    // Distances of increasing i64 fit an u64.
    let step = second.wrapping_sub(*first);
    let mut pairs = times.iter().zip(times.iter().skip(1));
    (step > 0 && pairs.all(|(a, b)| b.wrapping_sub(*a) == step)).then(|| step.cast_unsigned())
}

/// Reads `rows` timestamps, at least one, which are the rest of `reader`.
pub(crate) fn decode_times(
    reader: &mut Reader<'_>,
    rows: usize,
    out: &mut TimeColumn,
) -> Result<(), Malformed> {
    match reader.u8()? {
        REGULAR => *out = decode_regular(reader, rows)?,
        IRREGULAR => {
            if rows > COUNT_MAX {
                return Err(reader.malformed("more timestamps than a column can have"));
            }
            let stamps = out.stamps_mut();
            stamps.resize(rows, 0);
            decode_ints(reader, rows, &mut Integers::new(stamps))?;
            if !stamps.is_sorted_by(|a, b| a < b) {
                return Err(reader.malformed("timestamps that do not increase"));
            }
        }
        _ => return Err(reader.malformed("an unknown encoding of timestamps")),
    }
    Ok(())
}

fn decode_regular(reader: &mut Reader<'_>, rows: usize) -> Result<TimeColumn, Malformed> {
    let first = reader.i64()?;
    let step =
        i64::try_from(reader.varint()?).map_err(|_| reader.malformed("a step above 63 bits"))?;
    let steps = i64::try_from(rows.saturating_sub(1)).unwrap_or(i64::MAX);
    let last = step.checked_mul(steps).and_then(|way| first.checked_add(way));
    if last.is_none() || (step == 0 && rows > 1) {
        return Err(reader.malformed("regular timestamps that do not increase"));
    }
    Ok(TimeColumn::Regular { first, step, count: rows })
}

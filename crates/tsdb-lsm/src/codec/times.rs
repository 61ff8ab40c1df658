//! Timestamps of a chunk: regular ones as start and step, others as differences in units of their
//! greatest common divisor.

use tsdb_core::TimeColumn;

use super::ints::{decode_ints, encode_ints, put_fixed};
use crate::bytes::{Malformed, Reader, put_varint};

const REGULAR: u8 = 0;
const UNITS: u8 = 1;

/// Appends strictly increasing timestamps, at least one.
pub(crate) fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
    // Distances of increasing i64 fit an u64.
    let distance = |t: i64| t.wrapping_sub(*first).cast_unsigned();
    let step = times.get(1).map_or(0, |second| distance(*second));
    let mut expected = (0..).map(|i: u64| i.checked_mul(step));
    let regular = times.iter().all(|t| expected.next().flatten() == Some(distance(*t)));
    if regular && i64::try_from(distance(*last)).is_ok() {
        out.push(REGULAR);
        put_fixed(out, *first);
        put_varint(out, step);
        return;
    }
    let unit = times.iter().map(|t| distance(*t)).fold(0, gcd).max(1);
    out.push(UNITS);
    put_fixed(out, *first);
    put_varint(out, unit);
    let units: Vec<i64> = times.iter().map(|t| (distance(*t) / unit).cast_signed()).collect();
    encode_ints(&units, out);
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Reads `rows` timestamps, at least one.
pub(crate) fn decode_times(
    reader: &mut Reader<'_>,
    rows: usize,
    out: &mut TimeColumn,
) -> Result<(), Malformed> {
    match reader.u8()? {
        REGULAR => {
            let first = reader.i64()?;
            let step = i64::try_from(reader.varint()?)
                .map_err(|_| reader.malformed("a step above 63 bits"))?;
            let steps = i64::try_from(rows.saturating_sub(1)).unwrap_or(i64::MAX);
            let last = step.checked_mul(steps).and_then(|way| first.checked_add(way));
            if last.is_none() || (step == 0 && rows > 1) {
                return Err(reader.malformed("regular timestamps that do not increase"));
            }
            *out = TimeColumn::Regular { first, step, count: rows };
        }
        UNITS => {
            let first = reader.i64()?;
            let unit = reader.varint()?;
            let stamps = out.stamps_mut();
            decode_ints(reader, rows, |units| {
                let way = units.cast_unsigned().wrapping_mul(unit);
                stamps.push(first.wrapping_add(way.cast_signed()));
            })?;
            if !stamps.is_sorted_by(|a, b| a < b) {
                return Err(reader.malformed("timestamps that do not increase"));
            }
        }
        _ => return Err(reader.malformed("an unknown encoding of timestamps")),
    }
    Ok(())
}

//! Plain columns of integers, as directories of runs hold them.

use super::ints::{COUNT_MAX, Domain, Integers, IntsMemo, decode_ints, encode_ints};
use crate::bytes::{Malformed, Reader, put_varint};

/// Appends the length of a column in bytes, and the column; at most [`COUNT_MAX`] numbers. Nothing of an empty one.
pub(crate) fn encode_integers(numbers: &[i64], out: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    assert!(numbers.len() <= COUNT_MAX, "a column has at most {COUNT_MAX} numbers");
    let mut column = Vec::new();
    encode_ints(numbers, Domain::Numbers, &mut IntsMemo::default(), &mut column);
    put_varint(out, column.len() as u64);
    out.append(&mut column);
}

/// Reads `count` numbers that [`encode_integers`] wrote.
pub(crate) fn decode_integers(
    reader: &mut Reader<'_>,
    count: usize,
) -> Result<Vec<i64>, Malformed> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let start = reader.position();
    let bytes = reader.count(1)?;
    let column = reader.take(bytes)?;
    if count > COUNT_MAX {
        return Err(reader.malformed("more numbers than a column can have"));
    }
    let mut numbers = vec![0; count];
    decode_ints(&mut Reader::new(column), count, &mut Integers::new(&mut numbers))
        .map_err(|malformed| Malformed { at: start + malformed.at, ..malformed })?;
    Ok(numbers)
}

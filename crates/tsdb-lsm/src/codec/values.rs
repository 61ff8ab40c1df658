//! Values of a column: one constant, decimal fractions as integers, or raw bits.
//!
//! Most measured values are decimal fractions with few digits: `k / 10^e` with a small integer `k`, whose
//! neighbours differ little. A value is taken as one only if the division gives back its very bits, so
//! NaN, infinities, -0.0 and everything else that does not fit stands apart as an exception.

use super::ints::{decode_ints, encode_ints};
use crate::bytes::{Malformed, Reader, put_u64, put_varint};

const CONSTANT: u8 = 0;
const DECIMAL: u8 = 1;
const RAW: u8 = 2;

/// 10^0 to 10^15, all exact.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Integers beyond it are spaced too widely for the division to be trusted.
const INTEGER_MAX: f64 = (1u64 << 51) as f64;

/// Values that the exponent is chosen from.
const SAMPLE: usize = 32;

/// With more exceptions than one value in so many the raw bits are shorter.
const EXCEPTIONS_ONE_IN: usize = 8;

/// The integer for `value` at a power of ten, if the way back is exact.
#[inline]
fn integer(value: f64, power: f64) -> Option<i64> {
    let scaled = (value * power).round();
    if scaled.is_nan() || scaled.abs() >= INTEGER_MAX {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 2^51 and whole")]
    let k = scaled as i64;
    (((k as f64) / power).to_bits() == value.to_bits()).then_some(k)
}

/// Appends `values`, at least one. The number of values is not part of the bytes.
pub(crate) fn encode_values(values: &[f64], out: &mut Vec<u8>) {
    let Some(first) = values.first() else { return };
    if values.iter().all(|v| v.to_bits() == first.to_bits()) {
        out.push(CONSTANT);
        put_u64(out, first.to_bits());
        return;
    }
    if let Some((exponent, integers, exceptions)) = decimal(values) {
        out.push(DECIMAL);
        out.push(exponent);
        put_varint(out, exceptions.len() as u64);
        let mut previous = 0;
        for place in exceptions {
            put_varint(out, (place - previous) as u64);
            previous = place;
            put_u64(out, values.get(place).map_or(0, |v| v.to_bits()));
        }
        encode_ints(&integers, out);
        return;
    }
    out.push(RAW);
    values.iter().for_each(|v| put_u64(out, v.to_bits()));
}

/// Exponent, integers and places of exceptions, if decimals pay.
fn decimal(values: &[f64]) -> Option<(u8, Vec<i64>, Vec<usize>)> {
    let stride = values.len().div_ceil(SAMPLE).max(1);
    let mut exponent = 0usize;
    for value in values.iter().step_by(stride).filter(|v| v.is_finite()) {
        // A larger exponent holds everything that a smaller one does, until the integers grow too large.
        let fitting = (exponent..POWERS.len())
            .find(|e| POWERS.get(*e).is_some_and(|power| integer(*value, *power).is_some()));
        exponent = fitting.unwrap_or(exponent);
    }
    // The sample may have missed values with more digits: raise the exponent for them, a few times.
    for _ in 0..4 {
        let power = POWERS.get(exponent)?;
        let mut integers = Vec::with_capacity(values.len());
        let mut exceptions = Vec::new();
        let mut raised = None;
        let mut previous = 0;
        for (place, value) in values.iter().enumerate() {
            match integer(*value, *power) {
                Some(k) => previous = k,
                None => {
                    let more = POWERS.iter().skip(exponent + 1).take(3);
                    raised = raised.or_else(|| {
                        more.enumerate()
                            .find(|(_, power)| integer(*value, **power).is_some())
                            .map(|(higher, _)| exponent + 1 + higher)
                    });
                    exceptions.push(place);
                }
            }
            // An exception repeats its predecessor, so that it costs no difference.
            integers.push(previous);
        }
        let few = exceptions.len() * EXCEPTIONS_ONE_IN <= values.len();
        match raised {
            Some(higher) if !exceptions.is_empty() && higher != exponent => exponent = higher,
            _ => return few.then(|| (u8::try_from(exponent).unwrap_or(0), integers, exceptions)),
        }
    }
    None
}

/// Reads `count` values, at least one, and appends them to `out`.
pub(crate) fn decode_values(
    reader: &mut Reader<'_>,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), Malformed> {
    match reader.u8()? {
        CONSTANT => {
            let value = f64::from_bits(reader.u64()?);
            out.resize(out.len() + count, value);
        }
        DECIMAL => decode_decimal(reader, count, out)?,
        RAW => {
            let bytes = reader.take(count.saturating_mul(8))?;
            let (words, _) = bytes.as_chunks::<8>();
            out.extend(words.iter().map(|raw| f64::from_bits(u64::from_le_bytes(*raw))));
        }
        _ => return Err(reader.malformed("an unknown encoding of values")),
    }
    Ok(())
}

fn decode_decimal(
    reader: &mut Reader<'_>,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), Malformed> {
    let exponent = usize::from(reader.u8()?);
    let unknown = reader.malformed("an exponent above 15");
    let power = *POWERS.get(exponent).ok_or(unknown)?;
    let base = out.len();
    let exception_count = reader.count(9)?;
    let mut exceptions = Vec::with_capacity(exception_count);
    let mut place = 0usize;
    for _ in 0..exception_count {
        let gap = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        place = place.saturating_add(gap);
        exceptions.push((place, f64::from_bits(reader.u64()?)));
    }
    out.reserve(count);
    if exponent == 0 {
        decode_ints(reader, count, |k| out.push(k as f64))?;
    } else {
        decode_ints(reader, count, |k| out.push(k as f64 / power))?;
    }
    for (place, value) in exceptions {
        let beyond = reader.malformed("an exception behind the last value");
        *out.get_mut(base.saturating_add(place)).ok_or(beyond)? = value;
    }
    Ok(())
}

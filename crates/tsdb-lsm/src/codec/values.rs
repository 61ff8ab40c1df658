//! Columns of values: which mode they are written in, and back.

use super::decimal::{Decimal, POWERS, decimal, read_exceptions, write_exceptions};
use super::ints::{
    COUNT_MAX, Decimals, Domain, IntSummary, OrderedBits, Tally, decode_ints, encode_ints,
};
use super::memo::Memo;
use super::ordered::to_ordered;
use super::quotient::common_scaling;
use super::scaled::{self, Scaling};
use crate::bytes::{Malformed, Reader, put_u64};

/// How the values of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// All have the same bits.
    Constant = 0,
    /// Decimal fractions, with exceptions.
    Decimal = 1,
    /// The doubles as integers of the same order.
    FloatBits = 2,
    /// The doubles as they are.
    Raw = 3,
    /// Close to decimal fractions, with what they miss them by.
    NearDecimal = 4,
    /// Close to multiples of a quotient, with what they miss them by.
    NearMultiple = 5,
}

impl Mode {
    pub(super) const ALL: [Mode; 6] = [
        Mode::Constant,
        Mode::Decimal,
        Mode::FloatBits,
        Mode::Raw,
        Mode::NearDecimal,
        Mode::NearMultiple,
    ];
}

/// Appends `values`, at least one and at most [`COUNT_MAX`]. Their number is not part of the bytes.
pub(crate) fn encode_values(values: &[f64], memo: &mut Memo, out: &mut Vec<u8>) {
    let Some(first) = values.first() else { return };
    assert!(values.len() <= COUNT_MAX, "a column has at most {COUNT_MAX} values");
    if values.iter().all(|v| v.to_bits() == first.to_bits()) {
        encode_mode(values, Mode::Constant, memo, out);
    } else if !encode_mode(values, Mode::Decimal, memo, out) {
        encode_doubles(values, memo, out);
    }
}

/// Appends values that are no decimals, in the mode that is shortest.
fn encode_doubles(values: &[f64], memo: &mut Memo, out: &mut Vec<u8>) {
    /// Bytes per value below which no other mode is tried.
    const SHORT: usize = 5;
    let start = out.len();
    for mode in [Mode::NearDecimal, Mode::NearMultiple, Mode::FloatBits] {
        let (mut other, mut memo_then) = (Vec::new(), *memo);
        let encoded = encode_mode(values, mode, &mut memo_then, &mut other);
        if encoded && (out.len() == start || other.len() < out.len() - start) {
            *memo = memo_then;
            out.truncate(start);
            out.append(&mut other);
            if out.len() - start < SHORT * values.len() {
                return;
            }
        }
    }
    if out.len() - start > 8 * values.len() {
        out.truncate(start);
        encode_mode(values, Mode::Raw, memo, out);
    }
}

/// Appends the values in one mode, if they have it, and says whether they do.
pub(super) fn encode_mode(values: &[f64], mode: Mode, memo: &mut Memo, out: &mut Vec<u8>) -> bool {
    match mode {
        Mode::Constant => {
            let Some(first) = values.first().map(|v| v.to_bits()) else { return false };
            if values.iter().any(|v| v.to_bits() != first) {
                return false;
            }
            out.push(mode as u8);
            put_u64(out, first);
        }
        Mode::Decimal => {
            let found = decimal(values, memo.exponent);
            memo.exponent = found.as_ref().map(|decimal| decimal.exponent);
            let Some(Decimal { exponent, integers, exceptions }) = found else { return false };
            out.extend_from_slice(&[mode as u8, exponent]);
            write_exceptions(values, &exceptions, out);
            encode_ints(&integers, Domain::Numbers, &mut memo.ints, out);
        }
        Mode::FloatBits => {
            let integers: Vec<i64> = values.iter().map(|v| to_ordered(*v)).collect();
            out.push(mode as u8);
            encode_ints(&integers, Domain::FloatBits, &mut memo.ints, out);
        }
        Mode::Raw => {
            out.push(mode as u8);
            values.iter().for_each(|v| put_u64(out, v.to_bits()));
        }
        Mode::NearDecimal => {
            let Some(exponent) = scaled::near_exponent(values) else { return false };
            let power = POWERS.get(usize::from(exponent)).copied().unwrap_or(1.0);
            out.extend_from_slice(&[mode as u8, exponent]);
            let scaling = Scaling { divisor: power, factor: 1.0 };
            return scaled::encode(values, scaling, &mut memo.ints, out);
        }
        Mode::NearMultiple => {
            let Some(scaling) = common_scaling(values) else { return false };
            out.push(mode as u8);
            put_u64(out, scaling.divisor.to_bits());
            put_u64(out, scaling.factor.to_bits());
            return scaled::encode(values, scaling, &mut memo.ints, out);
        }
    }
    true
}

/// Appends whole numbers below 2^51 as decimals of kind P.
#[cfg(feature = "test-util")]
pub(crate) fn encode_packed(values: &[f64], out: &mut Vec<u8>) {
    use super::ints::{Kind, Plan, encode_planned};
    out.extend_from_slice(&[Mode::Decimal as u8, 0, 0]);
    let integers: Vec<i64> = values.iter().map(|value| super::decimal::round(*value)).collect();
    let plan = Plan { kind: Some(Kind::Packed), ..Plan::of(Domain::Numbers) };
    encode_planned(&integers, plan, out);
}

/// Reads `count` values, at least one, which are the rest of `reader`, into `out`, whatever it has. After an
/// error it is empty.
pub(crate) fn decode_values(
    reader: &mut Reader<'_>,
    count: usize,
    out: &mut Vec<f64>,
) -> Result<(), Malformed> {
    if count > COUNT_MAX {
        out.clear();
        return Err(reader.malformed("more values than a column can have"));
    }
    // A buffer that already has the length is not cleared: every value is written.
    out.resize(count, 0.0);
    let result = decode_slice(reader, out);
    if result.is_err() {
        out.clear();
    }
    result
}

fn read_mode(reader: &mut Reader<'_>) -> Result<Mode, Malformed> {
    let mode = Mode::ALL.get(usize::from(reader.u8()?)).copied();
    mode.ok_or_else(|| reader.malformed("an unknown encoding of values"))
}

fn decode_slice(reader: &mut Reader<'_>, out: &mut [f64]) -> Result<(), Malformed> {
    match read_mode(reader)? {
        Mode::Constant => out.fill(f64::from_bits(reader.u64()?)),
        Mode::Decimal => {
            let power = read_power(reader)?;
            let exceptions = read_exceptions(reader, out.len())?;
            decode_decimals(reader, power, out)?;
            for (place, value) in exceptions {
                if let Some(to) = out.get_mut(place) {
                    *to = value;
                }
            }
        }
        Mode::FloatBits => decode_ints(reader, out.len(), &mut OrderedBits::new(out))?,
        Mode::Raw => {
            let bytes = reader.take(out.len() * 8)?;
            for (to, raw) in out.iter_mut().zip(bytes.as_chunks().0) {
                *to = f64::from_bits(u64::from_le_bytes(*raw));
            }
        }
        Mode::NearDecimal => {
            let divisor = read_power(reader)?;
            scaled::decode(reader, Scaling { divisor, factor: 1.0 }, out)?;
        }
        Mode::NearMultiple => {
            let divisor = f64::from_bits(reader.u64()?);
            let factor = f64::from_bits(reader.u64()?);
            scaled::decode(reader, Scaling { divisor, factor }, out)?;
        }
    }
    Ok(())
}

fn read_power(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    let power = POWERS.get(usize::from(reader.u8()?)).copied();
    power.ok_or_else(|| reader.malformed("an exponent above 15"))
}

/// What a decimal column with too large an integer is refused with.
pub(super) const BEYOND: &str = "an integer of 2^51 or more in a column of decimals";

fn decode_decimals(reader: &mut Reader<'_>, power: f64, out: &mut [f64]) -> Result<(), Malformed> {
    let mut sink = Decimals::new(out, power);
    let count = sink.len();
    decode_ints(reader, count, &mut sink)?;
    if sink.is_beyond() { Err(reader.malformed(BEYOND)) } else { Ok(()) }
}

/// Aggregates of a column of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ValueSummary {
    /// Number of values.
    pub count: usize,
    /// Of decimals without exceptions: the exact sum of the integers, rounded to a double, divided by the
    /// power of ten. Of all others: see [`super::totals::summarise`].
    pub sum: f64,
    /// The smallest in the total order of doubles, so -0.0 is below 0.0.
    pub min: f64,
    /// The largest in the total order.
    pub max: f64,
}

/// Sum and extremes of `count` values, at least one, which are the rest of `reader`; `None` if one of them
/// is NaN.
#[cfg_attr(
    not(any(test, feature = "test-util")),
    expect(dead_code, reason = "the floor that benches compare scans with, see docs/adr/0007")
)]
pub(crate) fn summarise_values(
    reader: &mut Reader<'_>,
    count: usize,
) -> Result<Option<ValueSummary>, Malformed> {
    let bytes = reader.rest();
    if let Some(summary) = summarise_decimals(&mut Reader::new(bytes), count)? {
        return Ok(Some(summary));
    }
    super::totals::with_buffer(|values| {
        decode_values(&mut Reader::new(bytes), count, values)?;
        Ok(super::totals::summarise(values))
    })
}

/// The summary of a column of decimals without exceptions; `None` for any other.
fn summarise_decimals(
    reader: &mut Reader<'_>,
    count: usize,
) -> Result<Option<ValueSummary>, Malformed> {
    if read_mode(reader)? != Mode::Decimal {
        return Ok(None);
    }
    let power = read_power(reader)?;
    if count == 0 || !read_exceptions(reader, count)?.is_empty() {
        return Ok(None);
    }
    let mut tally = Tally::new();
    decode_ints(reader, count, &mut tally)?;
    let IntSummary { sum, min, max } = tally.summary().ok_or_else(|| reader.malformed(BEYOND))?;
    let quotient = |integer: i64| integer as f64 / power;
    Ok(Some(ValueSummary {
        count,
        sum: sum as f64 / power,
        min: quotient(min),
        max: quotient(max),
    }))
}

//! Values that are close to decimals or to multiples of a quotient: the multiples, and how many doubles
//! each value is away from its own.
//!
//! Sums of decimals are such values, and percentages (`100 * used / total`).

use super::decimal::{POWERS, round};
use super::ints::{DECIMAL_MAX, Domain, Integers, IntsMemo, decode_ints, encode_ints};
use super::ordered::{from_ordered, to_ordered};
use super::simd;
use super::values::BEYOND;
use crate::bytes::{Malformed, Reader, put_varint};

/// The value of a multiple `k` is `k / divisor * factor`, rounded after each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scaling {
    pub divisor: f64,
    pub factor: f64,
}

impl Scaling {
    #[inline(always)]
    fn value(self, multiple: i64) -> f64 {
        multiple as f64 / self.divisor * self.factor
    }

    /// The multiple closest to `value`; `None` if it is too large.
    #[inline]
    pub(super) fn multiple(self, value: f64) -> Option<i64> {
        let scaled = value / self.factor * self.divisor;
        (scaled.abs() < DECIMAL_MAX as f64).then(|| round(scaled))
    }

    /// Doubles between `value` and that of `multiple`.
    #[inline(always)]
    pub(super) fn miss(self, value: f64, multiple: i64) -> i64 {
        to_ordered(value).wrapping_sub(to_ordered(self.value(multiple)))
    }
}

simd::hot_loop!(Split<'a>((Scaling, &'a [f64])) -> Option<(Vec<i64>, Vec<i64>)>, split);

/// The multiples of all values and their misses; `None` if one is too large.
#[inline(always)]
fn split((scaling, values): (Scaling, &[f64])) -> Option<(Vec<i64>, Vec<i64>)> {
    let (mut multiples, mut misses) = (vec![0; values.len()], vec![0; values.len()]);
    let mut all = true;
    for (value, (multiple, miss)) in values.iter().zip(multiples.iter_mut().zip(&mut misses)) {
        let scaled = value / scaling.factor * scaling.divisor;
        all &= scaled.abs() < DECIMAL_MAX as f64;
        *multiple = round(scaled);
        *miss = scaling.miss(*value, *multiple);
    }
    all.then_some((multiples, misses))
}

/// Appends the length of the column of multiples, that column, and the column of misses; says whether every
/// value has a multiple.
pub(super) fn encode(
    values: &[f64],
    scaling: Scaling,
    memo: &mut IntsMemo,
    out: &mut Vec<u8>,
) -> bool {
    let Some((multiples, misses)) = simd::vectorised(Split((scaling, values))) else {
        return false;
    };
    let mut column = Vec::new();
    encode_ints(&multiples, Domain::Numbers, memo, &mut column);
    put_varint(out, column.len() as u64);
    out.append(&mut column);
    encode_ints(&misses, Domain::Numbers, &mut IntsMemo::default(), out);
    true
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    scaling: Scaling,
    out: &mut [f64],
) -> Result<(), Malformed> {
    let length = reader.count(1)?;
    let mut column = Reader::new(reader.take(length)?);
    let mut numbers = vec![0; out.len()];
    decode_ints(&mut column, out.len(), &mut Integers::new(&mut numbers))?;
    let mut beyond = false;
    for (to, multiple) in out.iter_mut().zip(&numbers) {
        beyond |= multiple.unsigned_abs() >= DECIMAL_MAX.cast_unsigned();
        *to = scaling.value(*multiple);
    }
    if beyond {
        return Err(reader.malformed(BEYOND));
    }
    decode_ints(reader, out.len(), &mut Integers::new(&mut numbers))?;
    for (to, miss) in out.iter_mut().zip(&numbers) {
        *to = from_ordered(to_ordered(*to).wrapping_add(*miss));
    }
    Ok(())
}

/// Values that near decimals are looked for in.
const NEAR_SAMPLE: usize = 48;

/// The smallest exponent at which nearly all values of a sample are so close to a decimal that it is no
/// accident: within a sixteenth of the distance that any value has at most.
pub(super) fn near_exponent(values: &[f64]) -> Option<u8> {
    const EXPONENT_MAX: usize = 12;
    const ODD_MAX: usize = 3;
    const MAGNITUDE_MAX: f64 = 1e14;
    if values.iter().any(|v| v.is_nan() || v.abs() >= MAGNITUDE_MAX) {
        return None;
    }
    let stride = (values.len() / NEAR_SAMPLE).max(1);
    let mut sample: Vec<f64> = values.iter().step_by(stride).copied().collect();
    sample.dedup();
    sample.retain(|v| *v != 0.0);
    for (exponent, power) in POWERS.iter().enumerate().take(EXPONENT_MAX + 1) {
        let scaling = Scaling { divisor: *power, factor: 1.0 };
        let mut odd = 0;
        for value in &sample {
            let multiple = scaling.multiple(*value)?;
            odd += usize::from(!is_near(scaling, *value, multiple));
            if odd > ODD_MAX {
                break;
            }
        }
        if odd <= ODD_MAX {
            let near = sample.len() - odd;
            return (near > odd * 4).then(|| u8::try_from(exponent).unwrap_or(0));
        }
    }
    None
}

fn is_near(scaling: Scaling, value: f64, multiple: i64) -> bool {
    const DOUBLES_MAX: u64 = 4096;
    let miss = scaling.miss(value, multiple).unsigned_abs();
    let next = f64::from_bits(value.abs().to_bits() + 1) - value.abs();
    let room = 0.5 / scaling.divisor / next;
    miss <= DOUBLES_MAX && miss as f64 * 16.0 <= room
}

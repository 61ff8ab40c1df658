//! Values as decimal fractions: `k / 10^e` with small integers `k`.
//!
//! Most measured values are ones with few digits. A value is taken as one only if the division gives back
//! its very bits, so NaN, infinities, -0.0 and everything else that does not fit stand apart as exceptions.

use super::ints::{COUNT_MAX, DECIMAL_MAX, read_places, write_places};
use super::simd;
use crate::bytes::{Malformed, Reader, put_u64};

/// 10^0 to 10^15, all exact.
pub(super) const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Values that the exponent is chosen from.
const SAMPLE: usize = 32;

/// With more exceptions than one value in so many other modes are shorter.
const EXCEPTIONS_ONE_IN: usize = 8;

/// Bits that an exception takes about, and a value more for each further digit.
const EXCEPTION_BITS: usize = 80;
const DIGIT_BITS: usize = 3;

/// A column as decimals.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decimal {
    pub exponent: u8,
    /// One per value; at an exception's place it repeats its predecessor, so that it costs next to nothing.
    pub integers: Vec<i64>,
    /// Places of the exceptions.
    pub exceptions: Vec<usize>,
}

/// 1.5 * 2^52: a double below 2^51 plus it is rounded to an integer, in its lowest bits.
pub(super) const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// The integer nearest to `scaled`, which is below 2^51.
#[inline(always)]
pub(super) fn round(scaled: f64) -> i64 {
    let rounded = (scaled + ROUNDER).to_bits();
    rounded.wrapping_sub(ROUNDER.to_bits()).cast_signed()
}

/// The integer for `value` at a power of ten, and whether the way back is exact.
#[inline(always)]
fn try_integer(value: f64, power: f64) -> (i64, bool) {
    let scaled = value * power;
    let rounded = (scaled + ROUNDER) - ROUNDER;
    let exact =
        ((rounded / power).to_bits() == value.to_bits()) & (scaled.abs() < DECIMAL_MAX as f64);
    (round(scaled), exact)
}

fn power(exponent: usize) -> f64 {
    POWERS.get(exponent).copied().unwrap_or(1.0)
}

/// The smallest exponent from `from` on at which `value` is a decimal.
fn exponent_for(value: f64, from: usize) -> Option<usize> {
    (from..POWERS.len()).find(|exponent| try_integer(value, power(*exponent)).1)
}

/// Whether a value can be a decimal at all.
fn can_be_decimal(value: f64) -> bool {
    value.is_finite() && value.to_bits() != (-0.0f64).to_bits()
}

/// The values as decimals, if that pays. `memo` is an exponent to try first.
pub(super) fn decimal(values: &[f64], memo: Option<u8>) -> Option<Decimal> {
    let mut exponent = match memo {
        Some(exponent) => usize::from(exponent).min(POWERS.len() - 1),
        None => sample_exponent(values)?,
    };
    // Further exponents are found at exceptions; each is larger than the one before.
    loop {
        let (integers, exceptions) = at_exponent(values, exponent);
        let odd = exceptions.iter().filter_map(|place| values.get(*place).copied());
        let odd: Vec<f64> = odd.filter(|value| can_be_decimal(*value)).collect();
        if odd.len() * 2 > values.len() {
            return None;
        }
        let higher = odd.iter().fold(exponent, |e, value| exponent_for(*value, e).unwrap_or(e));
        let saved = odd.len() * EXCEPTION_BITS;
        if higher > exponent && saved > (higher - exponent) * values.len() * DIGIT_BITS {
            exponent = higher;
            continue;
        }
        let few = odd.len() * EXCEPTIONS_ONE_IN <= values.len();
        let exponent = u8::try_from(exponent).unwrap_or(0);
        return few.then_some(Decimal { exponent, integers, exceptions });
    }
}

/// An exponent that suits a sample, if nearly all of it are decimals.
fn sample_exponent(values: &[f64]) -> Option<usize> {
    const ODD_MAX: usize = 2;
    let stride = (values.len() / SAMPLE).max(1);
    let sample = values.iter().step_by(stride).filter(|v| can_be_decimal(**v) && **v != 0.0);
    let (mut exponent, mut odd, mut total) = (0, 0, 0);
    for value in sample {
        total += 1;
        match exponent_for(*value, exponent) {
            Some(fitting) => exponent = fitting,
            None => odd += 1,
        }
        if odd > ODD_MAX {
            return None;
        }
    }
    (odd * EXCEPTIONS_ONE_IN <= total).then_some(exponent)
}

/// Integers of all values and the places of those that are exceptions.
fn at_exponent(values: &[f64], exponent: usize) -> (Vec<i64>, Vec<usize>) {
    simd::vectorised(AtPower((values, power(exponent))))
}

simd::hot_loop!(AtPower<'a>((&'a [f64], f64)) -> (Vec<i64>, Vec<usize>), at_power);

#[inline(always)]
fn at_power((values, power): (&[f64], f64)) -> (Vec<i64>, Vec<usize>) {
    /// Values that are looked at one by one only if one of them is an exception.
    const STRETCH: usize = 64;
    let mut integers = vec![0; values.len()];
    let mut exceptions = Vec::new();
    let stretches = values.chunks(STRETCH).zip(integers.chunks_mut(STRETCH));
    for (index, (stretch, integers)) in stretches.enumerate() {
        let mut all_exact = true;
        for (value, integer) in stretch.iter().zip(integers) {
            let (nearest, exact) = try_integer(*value, power);
            all_exact &= exact;
            *integer = nearest;
        }
        if !all_exact {
            let odd =
                stretch.iter().enumerate().filter(|(_, value)| !try_integer(**value, power).1);
            exceptions.extend(odd.map(|(place, _)| index * STRETCH + place));
        }
    }
    fill_gaps(&mut integers, &exceptions);
    (integers, exceptions)
}

/// Puts the predecessor's integer to each exception's place; to the first ones that of the first decimal.
fn fill_gaps(integers: &mut [i64], exceptions: &[usize]) {
    let leading =
        exceptions.iter().enumerate().take_while(|(index, place)| index == *place).count();
    let mut before = integers.get(leading).copied().unwrap_or(0);
    for place in exceptions {
        if let Some(earlier) = place.checked_sub(1).filter(|_| *place >= leading) {
            before = integers.get(earlier).copied().unwrap_or(before);
        }
        if let Some(integer) = integers.get_mut(*place) {
            *integer = before;
        }
    }
}

const SAME: u8 = 1;
const EACH: u8 = 0;

/// Appends the places of exceptions and their bits: once if they are all the same.
pub(super) fn write_exceptions(values: &[f64], places: &[usize], out: &mut Vec<u8>) {
    write_places(places, out);
    let bits = |place: &usize| values.get(*place).map_or(0, |value| value.to_bits());
    let Some(first) = places.first().map(bits) else { return };
    if places.iter().all(|place| bits(place) == first) {
        out.push(SAME);
        put_u64(out, first);
    } else {
        out.push(EACH);
        places.iter().for_each(|place| put_u64(out, bits(place)));
    }
}

/// Places and values of the exceptions of a column of `count` values.
pub(super) fn read_exceptions(
    reader: &mut Reader<'_>,
    count: usize,
) -> Result<Vec<(usize, f64)>, Malformed> {
    let places = read_places(reader, count.min(COUNT_MAX), 0)?;
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let value = |reader: &mut Reader<'_>| Ok::<_, Malformed>(f64::from_bits(reader.u64()?));
    match reader.u8()? {
        SAME => {
            let same = value(reader)?;
            Ok(places.into_iter().map(|place| (place, same)).collect())
        }
        EACH => places.into_iter().map(|place| Ok((place, value(reader)?))).collect(),
        _ => Err(reader.malformed("an unknown form of exceptions")),
    }
}

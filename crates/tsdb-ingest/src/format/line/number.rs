//! Numbers of line protocol: floats in all forms that InfluxDB takes, `1i` and `1u`.
//!
//! Short decimals, which is what clients send, are read eight digits at a time and scaled by one exact
//! operation; the result is the `f64` that `str::parse` gives, bit for bit. A decimal whose digits make
//! an integer of at most 2^53, with at most 22 of them behind the point, is the quotient of two `f64`
//! that are both exact, and IEEE division rounds correctly (Clinger, "How to read floating point numbers
//! accurately", 1990). Everything else goes to the standard library.

use crate::Reason;

/// Exact powers of ten.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Powers of ten up to what eight digits need.
const SMALL_POWERS: [u64; 9] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Up to here every integer is an `f64`.
const MANTISSA_MAX: u64 = 1 << 53;

/// Digits that always fit a `u64`.
const DIGITS_MAX: usize = 19;

/// Longest part of a number that a message repeats, in bytes.
const SHOWN_BYTES_MAX: usize = 40;

/// Eight bytes from `at`; behind the input there are zeros, which are no digits.
#[inline(always)]
fn eight_bytes(input: &[u8], at: usize) -> u64 {
    if let Some(bytes) = input.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        return u64::from_le_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(input.get(at..).unwrap_or_default()) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

/// Value and number of the digits that `word`, eight bytes of text, begins with.
#[inline(always)]
fn leading_digits(word: u64) -> (u64, usize) {
    let x = word ^ 0x3030_3030_3030_3030;
    // The high bit of a byte is set where it is no digit. A carry can only spoil bytes behind the first
    // such, and only the first is looked at.
    let other = (x.wrapping_add(0x7676_7676_7676_7676) | x) & 0x8080_8080_8080_8080;
    let count = (other.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // The digits move to the end of the word, so that zeros lead; then pairs, fours and eight are joined
    // (Lemire, "Quickly parsing eight digits", 2018).
    let x = x << (64 - 8 * count);
    let x = x.wrapping_mul(2561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let x = x.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    (x.wrapping_mul(42_949_672_960_001) >> 32, count)
}

/// Value and number of the digits at `at`; `None` for more than [`DIGITS_MAX`].
#[inline(always)]
pub(super) fn digits(input: &[u8], at: usize) -> Option<(u64, usize)> {
    let (value, count) = leading_digits(eight_bytes(input, at));
    if count < 8 { Some((value, count)) } else { more_digits(input, at, value) }
}

#[inline]
fn more_digits(input: &[u8], at: usize, first: u64) -> Option<(u64, usize)> {
    let (value, count) = leading_digits(eight_bytes(input, at + 8));
    let value = first * SMALL_POWERS.get(count)? + value;
    if count < 8 {
        return Some((value, 8 + count));
    }
    let (last, count) = leading_digits(eight_bytes(input, at + 16));
    if 16 + count > DIGITS_MAX {
        return None;
    }
    Some((value * SMALL_POWERS.get(count)? + last, 16 + count))
}

/// Whether a value ends at `at`.
#[inline(always)]
fn ends_value(input: &[u8], at: usize) -> bool {
    matches!(input.get(at), Some(b',' | b' ' | b'\n') | None)
}

/// The number at `at` and where it ends, if it is of a common form; [`number`] knows all others and
/// why one is refused.
#[inline(always)]
pub(super) fn common_number(input: &[u8], at: usize) -> Option<(f64, usize)> {
    let is_negative = input.get(at) == Some(&b'-');
    let start = at + usize::from(is_negative);
    let (whole, whole_count) = digits(input, start)?;
    let end = start + whole_count;
    match input.get(end) {
        Some(b'i') if whole_count > 0 && ends_value(input, end + 1) => {
            let value = i64::try_from(whole).ok()?;
            Some(((if is_negative { -value } else { value }) as f64, end + 1))
        }
        Some(b'.') => decimal(input, is_negative, whole, start..end),
        _ if whole_count > 0 && whole <= MANTISSA_MAX && ends_value(input, end) => {
            let value = whole as f64;
            Some((if is_negative { -value } else { value }, end))
        }
        _ => None,
    }
}

/// A decimal whose digits before the point stand at `place`.
#[inline]
fn decimal(
    input: &[u8],
    is_negative: bool,
    whole: u64,
    place: std::ops::Range<usize>,
) -> Option<(f64, usize)> {
    let (fraction, fraction_count) = digits(input, place.end + 1)?;
    let end = place.end + 1 + fraction_count;
    let count = place.len() + fraction_count;
    if count == 0 || !ends_value(input, end) {
        return None;
    }
    if count <= DIGITS_MAX
        && let Some(mantissa) = join(whole, fraction, fraction_count)
        && mantissa <= MANTISSA_MAX
    {
        let value = mantissa as f64 / POWERS.get(fraction_count)?;
        return Some((if is_negative { -value } else { value }, end));
    }
    let text = std::str::from_utf8(input.get(place.start..end)?).ok()?;
    let value: f64 = text.parse().ok()?;
    Some((if is_negative { -value } else { value }, end))
}

/// The integer of the digits before and behind the point.
#[inline]
fn join(whole: u64, fraction: u64, fraction_count: usize) -> Option<u64> {
    let scale = match SMALL_POWERS.get(fraction_count) {
        Some(scale) => *scale,
        None => 10u64.checked_pow(u32::try_from(fraction_count).ok()?)?,
    };
    whole.checked_mul(scale)?.checked_add(fraction)
}

/// The number that `text` is as a whole, by InfluxDB's rules.
///
/// # Errors
/// [`Reason::InvalidNumber`], [`Reason::InvalidFloat`], [`Reason::IntegerOutOfRange`].
#[cold]
pub(super) fn number(text: &[u8]) -> Result<f64, Reason> {
    let text = std::str::from_utf8(text).map_err(|_| Reason::InvalidNumber)?;
    if let Some(body) = text.strip_suffix('i') {
        let unsigned = body.strip_prefix('-').unwrap_or(body);
        check_digits(unsigned)?;
        let value: i64 = body.parse().map_err(|_| out_of_range(body))?;
        return Ok(value as f64);
    }
    if let Some(body) = text.strip_suffix('u') {
        check_digits(body)?;
        let value: u64 = body.parse().map_err(|_| out_of_range(body))?;
        return Ok(value as f64);
    }
    let has_exponent = check_float(text)?;
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(Reason::InvalidFloat),
        Err(_) if has_exponent => Err(Reason::InvalidFloat),
        Err(_) => Err(Reason::InvalidNumber),
    }
}

fn check_digits(text: &str) -> Result<(), Reason> {
    let is_integer = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_integer { Ok(()) } else { Err(Reason::InvalidNumber) }
}

/// The number that `text` is as a whole, in formats that have no suffixes: all the forms of floats.
pub(in crate::format) fn plain_number(text: &[u8]) -> Option<f64> {
    if matches!(text.last(), Some(b'i' | b'u')) {
        return None;
    }
    match common_number(text, 0) {
        Some((value, end)) if end == text.len() => Some(value),
        _ => number(text).ok(),
    }
}

/// Checks the characters of a float, which keeps out what the standard library takes and InfluxDB does
/// not (`inf`, `nan`, a leading plus). Returns whether there is an exponent.
fn check_float(text: &str) -> Result<bool, Reason> {
    let (mut has_point, mut has_exponent, mut previous) = (false, false, b'-');
    for (at, byte) in text.bytes().enumerate() {
        let is_fine = match byte {
            b'0'..=b'9' => true,
            b'.' => !std::mem::replace(&mut has_point, true),
            b'e' | b'E' if at > 0 => {
                has_exponent = true;
                true
            }
            b'-' if at == 0 => true,
            b'+' | b'-' => matches!(previous, b'e' | b'E'),
            _ => false,
        };
        if !is_fine {
            return Err(Reason::InvalidNumber);
        }
        previous = byte;
    }
    Ok(has_exponent)
}

fn out_of_range(text: &str) -> Reason {
    Reason::IntegerOutOfRange { text: text.chars().take(SHOWN_BYTES_MAX).collect() }
}

/// The boolean that `text` is as a whole.
///
/// # Errors
/// [`Reason::InvalidBoolean`].
pub(super) fn boolean(text: &[u8]) -> Result<f64, Reason> {
    match text {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(1.0),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(0.0),
        _ => Err(Reason::InvalidBoolean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that millions of cases cost a second.
    struct Cases(u64);

    impl Cases {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn below(&mut self, bound: u64) -> u64 {
            (self.next() >> 11) % bound
        }

        fn digits(&mut self, count: u64) -> String {
            (0..count)
                .map(|_| char::from_digit(u32::try_from(self.below(10)).unwrap(), 10).unwrap())
                .collect()
        }
    }

    fn read(text: &str) -> Result<f64, Reason> {
        let common = common_number(text.as_bytes(), 0);
        let all = number(text.as_bytes());
        if let Some((value, end)) = common {
            assert_eq!(end, text.len(), "{text}");
            assert_eq!(Ok(value.to_bits()), all.clone().map(f64::to_bits), "{text}");
        }
        all
    }

    #[test]
    fn decimals_are_those_of_the_standard_library_bit_for_bit() {
        let mut cases = Cases(0x9e37_79b9_7f4a_7c15);
        let mut common = 0u32;
        const COUNT: u32 = 1_000_000;
        for _ in 0..COUNT {
            let sign = if cases.below(2) == 0 { "-" } else { "" };
            let whole_count = cases.below(20);
            let whole = cases.digits(whole_count);
            let text = if cases.below(5) == 0 && !whole.is_empty() {
                format!("{sign}{whole}")
            } else {
                let fraction_count = cases.below(21).max(u64::from(whole.is_empty()));
                format!("{sign}{whole}.{}", cases.digits(fraction_count))
            };
            let expected: f64 = text.parse().unwrap();
            assert_eq!(number(text.as_bytes()).unwrap().to_bits(), expected.to_bits(), "{text}");
            if let Some((value, end)) = common_number(text.as_bytes(), 0) {
                common += 1;
                assert_eq!(value.to_bits(), expected.to_bits(), "{text}");
                assert_eq!(end, text.len());
            }
        }
        assert!(common > COUNT / 2, "the fast path took only {common}");
    }

    #[test]
    fn printed_values_come_back_bit_for_bit() {
        let mut cases = Cases(7);
        for i in 0..300_000u64 {
            let bits = cases.next();
            // All magnitudes, and such as gauges have.
            let value = if i % 2 == 0 { f64::from_bits(bits) } else { (bits >> 40) as f64 / 1e3 };
            if !value.is_finite() {
                continue;
            }
            for text in [format!("{value}"), format!("{value:e}")] {
                let (read, end) = common_number(text.as_bytes(), 0)
                    .unwrap_or_else(|| (number(text.as_bytes()).unwrap(), text.len()));
                assert_eq!((read.to_bits(), end), (value.to_bits(), text.len()), "{text}");
            }
        }
    }

    #[test]
    fn integers_are_rounded_as_the_language_does() {
        let mut cases = Cases(3);
        for _ in 0..300_000 {
            let value = cases.next() as i64 >> cases.below(64);
            assert_eq!(read(&format!("{value}i")), Ok(value as f64));
            assert_eq!(read(&format!("{}u", value as u64)), Ok(value as u64 as f64));
        }
    }

    #[test]
    fn forms_that_are_taken() {
        let cases: [(&str, f64); 28] = [
            ("0", 0.0),
            ("1", 1.0),
            ("-1", -1.0),
            ("007", 7.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-.5", -0.5),
            ("-5.", -5.0),
            ("1.5", 1.5),
            ("1e5", 1e5),
            ("1E5", 1e5),
            ("1e+5", 1e5),
            ("1e-5", 1e-5),
            ("1.e2", 100.0),
            (".5e1", 5.0),
            ("1e-400", 0.0),
            ("4.9e-324", 5e-324),
            ("1.7976931348623157e308", f64::MAX),
            ("12345678901234567890", 12_345_678_901_234_567_890.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("0.1000000000000000055511151231257827", 0.1),
            ("00000000000000000000001.5", 1.5),
            ("0i", 0.0),
            ("-0i", 0.0),
            ("9223372036854775807i", 9_223_372_036_854_775_807.0),
            ("-9223372036854775808i", -9_223_372_036_854_775_808.0),
            ("00000000000000000000000001i", 1.0),
            ("18446744073709551615u", 18_446_744_073_709_551_615.0),
        ];
        for (text, value) in cases {
            assert_eq!(read(text).map(f64::to_bits), Ok(value.to_bits()), "{text}");
        }
        assert_eq!(read("-0").unwrap().to_bits(), (-0.0f64).to_bits());
        assert_eq!(read("-0.0").unwrap().to_bits(), (-0.0f64).to_bits());
        assert_eq!(read("-0i").unwrap().to_bits(), 0.0f64.to_bits());
    }

    #[test]
    fn forms_that_are_refused() {
        use Reason::{InvalidFloat, InvalidNumber};
        let cases = [
            ("", InvalidNumber),
            ("-", InvalidNumber),
            (".", InvalidNumber),
            ("-.", InvalidNumber),
            ("+1", InvalidNumber),
            ("--1", InvalidNumber),
            ("1-", InvalidNumber),
            ("1.2.3", InvalidNumber),
            ("1i2", InvalidNumber),
            ("i", InvalidNumber),
            ("-i", InvalidNumber),
            ("u", InvalidNumber),
            ("-1u", InvalidNumber),
            ("1.0i", InvalidNumber),
            ("1e5i", InvalidNumber),
            ("1ii", InvalidNumber),
            ("1_000", InvalidNumber),
            ("0x10", InvalidNumber),
            ("nan", InvalidNumber),
            ("NaN", InvalidNumber),
            ("-inf", InvalidNumber),
            ("1f", InvalidNumber),
            ("1\u{e4}", InvalidNumber),
            ("1e", InvalidFloat),
            ("-e5", InvalidFloat),
            ("1e5e5", InvalidFloat),
            ("1e5.5", InvalidFloat),
            ("1e+", InvalidFloat),
            (".e1", InvalidFloat),
            ("1e400", InvalidFloat),
            ("-1e309", InvalidFloat),
        ];
        for (text, reason) in cases {
            assert_eq!(read(text), Err(reason), "{text}");
        }
        for text in ["9223372036854775808i", "-9223372036854775809i", "18446744073709551616u"] {
            assert!(matches!(read(text), Err(Reason::IntegerOutOfRange { .. })), "{text}");
        }
        assert_eq!(read(&"9".repeat(400)), Err(InvalidFloat));
    }

    #[test]
    fn booleans_have_ten_forms() {
        for text in ["t", "T", "true", "True", "TRUE"] {
            assert_eq!(boolean(text.as_bytes()), Ok(1.0));
        }
        for text in ["f", "F", "false", "False", "FALSE"] {
            assert_eq!(boolean(text.as_bytes()), Ok(0.0));
        }
        for text in ["", "tr", "tRUE", "truee", "yes", "0x"] {
            assert_eq!(boolean(text.as_bytes()), Err(Reason::InvalidBoolean), "{text}");
        }
    }

    #[test]
    fn digits_are_counted_up_to_where_they_fit() {
        for count in 0..=24usize {
            for behind in ["", ",", "x", "/", ":", "\u{ff}", " 123456789"] {
                let text = format!("{}{behind}", &"987654321987654321987654"[..count]);
                let expected =
                    (count <= DIGITS_MAX).then(|| (text[..count].parse().unwrap_or(0u64), count));
                assert_eq!(digits(text.as_bytes(), 0), expected, "{text}");
            }
        }
    }
}

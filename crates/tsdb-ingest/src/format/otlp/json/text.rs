//! What stands between quotes in a document: text with escapes, and bytes as digits.

use crate::format::json::fault::code_unit;

/// An integer that is written with a fraction or an exponent.
pub(super) fn of_exponent(text: &str) -> Option<u64> {
    // Above, not every integer is a double.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let value: f64 = text.parse().ok()?;
    if value.fract() != 0.0 || value.abs() > EXACT_MAX {
        return None;
    }
    // An integer of 53 bits has no fraction in this form.
    format!("{value:.0}").parse::<i64>().ok().map(i64::cast_unsigned)
}

/// The text that stands between quotes.
pub(super) fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (front, behind) = rest.split_at(at);
        out.extend_from_slice(front);
        let (byte, length) = match behind.get(1) {
            Some(b'b') => (8, 2),
            Some(b'f') => (12, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'u') => {
                let (c, length) = escaped_char(behind);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = behind.get(length..).unwrap_or_default();
                continue;
            }
            Some(byte) => (*byte, 2),
            None => return out,
        };
        out.push(byte);
        rest = behind.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// The character of an escape by number, or of a pair of surrogates, and how long it is.
fn escaped_char(text: &[u8]) -> (char, usize) {
    let first = code_unit(text, 0).unwrap_or_default();
    if !(0xd800..0xdc00).contains(&first) {
        return (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
    }
    let second = code_unit(text, 6).unwrap_or_default();
    let code = 0x1_0000 + ((first & 0x3ff) << 10 | second & 0x3ff);
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
}

pub(super) fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.chunks(2).map(byte).collect()
}

/// RFC 4648 in either alphabet, with padding or without.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.get(..end)? {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    // A single digit holds no byte.
    if count >= 6 { None } else { Some(out) }
}

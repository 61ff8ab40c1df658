//! Numbers and times as text, appended to a byte buffer without allocating: floats as Go prints them in
//! JSON, timestamps as RFC 3339 with up to nine decimals.
//!
//! Clients of InfluxDB compare such texts, so the forms are Go's: `1` and not `1.0`, `1e+21`, `1e-7`.

use std::io::Write;

/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

/// Appends `value` as Go's `encoding/json` does: the shortest digits that read back to the same number,
/// with an exponent below 1e-6 and from 1e21 on. JSON has no NaN and no infinities: they become `null`.
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        push_exponent(out, value);
    } else if let Some(whole) = small_integer(value) {
        push_i64(out, whole);
    } else if (PLAIN_MIN..PLAIN_MAX).contains(&magnitude) {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        // Rust's Display never uses an exponent and prints the shortest digits, as Go's 'f' does.
        print(out, format_args!("{value}"));
    }
}

/// Between these `zmij` writes no exponent; a fraction that is zero never comes that far.
const PLAIN_MIN: f64 = 1e-5;
const PLAIN_MAX: f64 = 1e15;

/// `value` as an integer, if it is one that has an exact and distinct image: -0.0 has not.
fn small_integer(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.abs() >= EXACT || (value == 0.0 && value.is_sign_negative()) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below 2^53; the comparison proves it whole"
    )]
    let whole = value as i64;
    let back = whole as f64;
    (back == value).then_some(whole)
}

/// Go writes `1e+21` where Rust writes `1e21`; small exponents look alike.
fn push_exponent(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    print(out, format_args!("{value:e}"));
    let mark = out.iter().skip(start).position(|byte| *byte == b'e').map(|at| start + at + 1);
    if let Some(at) = mark.filter(|at| out.get(*at) != Some(&b'-')) {
        out.insert(at, b'+');
    }
}

/// Appends a decimal integer.
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `ns` since the Unix epoch as text like `2026-11-23T03:16:22.5Z`, in a zone that is
/// `offset_seconds` east of UTC: Go's RFC3339Nano, which drops trailing zeros of the fraction.
pub fn push_rfc3339(out: &mut Vec<u8>, ns: i64, offset_seconds: i32) {
    const SECOND: i64 = 1_000_000_000;
    let (seconds, fraction) = (ns.div_euclid(SECOND), ns.rem_euclid(SECOND));
    let seconds = seconds + i64::from(offset_seconds);
    let (days, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let (year, month, day) = civil_date(days);
    push_padded(out, year, 4);
    for (mark, part) in [
        (b'-', month),
        (b'-', day),
        (b'T', second / 3600),
        (b':', second / 60 % 60),
        (b':', second % 60),
    ] {
        out.push(mark);
        push_padded(out, part, 2);
    }
    if fraction != 0 {
        out.push(b'.');
        push_padded(out, fraction, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    push_offset(out, offset_seconds);
}

/// Appends `Z` or an offset like `+01:00`. RFC 3339 knows whole minutes only; historic offsets of local
/// mean time are cut down to them, as Go does.
fn push_offset(out: &mut Vec<u8>, seconds: i32) {
    let minutes = i64::from(seconds) / 60;
    if minutes == 0 {
        out.push(b'Z');
        return;
    }
    out.push(if minutes < 0 { b'-' } else { b'+' });
    push_padded(out, minutes.abs() / 60, 2);
    out.push(b':');
    push_padded(out, minutes.abs() % 60, 2);
}

/// Year, month and day of a count of days since 1970-01-01 in the Gregorian calendar, by counting from
/// March so that the leap day is the last of its year (Hinnant, "chrono-compatible low-level date
/// algorithms"). The range of `i64` nanoseconds spans the years 1677 to 2262.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Appends a number that is not negative, with leading zeros up to `width` digits.
fn push_padded(out: &mut Vec<u8>, value: i64, width: usize) {
    let value = value.unsigned_abs();
    let length = value.checked_ilog10().unwrap_or(0) as usize + 1;
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(length)));
    push_u64(out, value);
}

/// Formats into the buffer. Writing to a `Vec` cannot fail.
fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_as_go_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.25e22, "-1.25e+22"),
            (1e-6, "0.000001"),
            (9.99e-7, "9.99e-7"),
            (1e-7, "1e-7"),
            (5e-324, "5e-324"),
            (1.5e-10, "1.5e-10"),
            (f64::MAX, "1.7976931348623157e+308"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(text(|out| push_f64(out, value)), expected, "{value:?}");
        }
    }

    #[test]
    fn times_of_the_whole_range() {
        for (ns, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_700_000_000_500_000_000, "2023-11-14T22:13:20.5Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00Z"),
            (i64::MIN + 2, "1677-09-21T00:12:43.145224194Z"),
            (i64::MAX - 1, "2262-04-11T23:47:16.854775806Z"),
        ] {
            assert_eq!(text(|out| push_rfc3339(out, ns, 0)), expected);
        }
        for (offset, expected) in [
            (3600, "1970-01-01T01:00:00+01:00"),
            (-12_600, "1969-12-31T20:30:00-03:30"),
            (0, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(text(|out| push_rfc3339(out, 0, offset)), expected);
        }
    }

    proptest! {
        #[test]
        fn floats_read_back_bit_for_bit(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let printed = text(|out| push_f64(out, value));
            if value.is_finite() {
                prop_assert_eq!(printed.parse::<f64>().unwrap().to_bits(), bits);
                prop_assert!(serde_json::from_str::<f64>(&printed).is_ok());
            } else {
                prop_assert_eq!(printed, "null");
            }
        }

        /// Rust's Display as the oracle for the shortest digits without an exponent. A value in the middle between
        /// two shortest texts may be written as either.
        #[test]
        fn fractions_have_the_digits_of_display(
            mantissa in 1.0f64..10.0,
            exponent in -6i32..16,
            places in 0usize..17,
        ) {
            let value: f64 = format!("{mantissa:.places$}e{exponent}").parse().unwrap();
            let (printed, display) = (text(|out| push_f64(out, -value)), format!("{}", -value));
            let is_tie = printed.len() == display.len() && printed.parse() == Ok(-value);
            prop_assert!(printed == display || is_tie, "{} {}", printed, display);
        }

        #[test]
        fn whole_numbers_and_short_fractions_are_those_of_display(
            digits in 0i64..100_000_000, places in 0i32..6,
        ) {
            let value: f64 = format!("{digits}e-{places}").parse().unwrap();
            prop_assert_eq!(text(|out| push_f64(out, -value)), format!("{}", -value));
        }

        #[test]
        fn integers_read_back(value in any::<i64>()) {
            prop_assert_eq!(text(|out| push_i64(out, value)), value.to_string());
        }

        /// The oracle walks the calendar day by day.
        #[test]
        fn dates_agree_with_a_walk_through_the_calendar(days in -40_000_i64..80_000) {
            let (mut year, mut rest) = (1800, days + 62_091);
            let leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
            while rest >= 365 + i64::from(leap(year)) {
                rest -= 365 + i64::from(leap(year));
                year += 1;
            }
            let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let mut month = 0;
            while rest >= lengths[month] {
                rest -= lengths[month];
                month += 1;
            }
            prop_assert_eq!(civil_date(days), (year, month as i64 + 1, rest + 1));
        }
    }
}

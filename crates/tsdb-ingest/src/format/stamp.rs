//! Times as texts: integers, and dates as RFC 3339 writes them.

use jiff::Timestamp;

use crate::Reason;
use crate::report::shown;

/// No date is longer; what is need not be looked at.
const DATE_BYTES_MAX: usize = 64;

/// The integer that `text` is as a whole, if it is one; out of range is [`Reason::TimeOutsideRange`].
pub(super) fn integer(text: &str) -> Option<Result<i64, Reason>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().map_err(|_| Reason::TimeOutsideRange))
}

/// The date `text` in ns since 1970.
///
/// # Errors
/// [`Reason::InvalidTime`] for no date, [`Reason::TimeOutsideRange`] for one that 64 bits do not hold.
pub(super) fn date(text: &str) -> Result<i64, Reason> {
    let parsed =
        Some(text).filter(|text| text.len() <= DATE_BYTES_MAX).map(str::parse::<Timestamp>);
    match parsed {
        Some(Ok(date)) => i64::try_from(date.as_nanosecond()).map_err(|_| Reason::TimeOutsideRange),
        _ => Err(Reason::InvalidTime { text: shown(text) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_whole_texts() {
        for (text, expected) in [
            ("0", Some(Ok(0))),
            ("-5", Some(Ok(-5))),
            ("007", Some(Ok(7))),
            ("9223372036854775807", Some(Ok(i64::MAX))),
            ("-9223372036854775808", Some(Ok(i64::MIN))),
            ("9223372036854775808", Some(Err(Reason::TimeOutsideRange))),
            ("", None),
            ("-", None),
            ("+5", None),
            ("1.5", None),
            ("1e9", None),
            (" 1", None),
            ("2024-01-01", None),
        ] {
            assert_eq!(integer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn dates_have_an_offset() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:01.5Z", 1_500_000_000),
            ("2016-01-01T11:15:26Z", 1_451_646_926_000_000_000),
            ("2016-01-01T12:15:26+01:00", 1_451_646_926_000_000_000),
            ("2016-01-01t11:15:26.123456789z", 1_451_646_926_123_456_789),
            ("1969-12-31T23:59:59.999999999Z", -1),
        ] {
            assert_eq!(date(text), Ok(expected), "{text:?}");
        }
        for text in ["", "now", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z"] {
            assert_eq!(date(text), Err(Reason::InvalidTime { text: text.to_owned() }));
        }
        assert_eq!(date("9999-01-01T00:00:00Z"), Err(Reason::TimeOutsideRange));
        let long = format!("1970-01-01T00:00:00{}Z", "0".repeat(1000));
        assert!(matches!(date(&long), Err(Reason::InvalidTime { text }) if text.len() == 64));
    }
}

//! Times and time zones as people write them in a query. Reads no clock and no file: the zones
//! are those built into the program.

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{TimeZone, TimeZoneDatabase},
};

/// The time zone of that IANA name.
#[must_use]
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// The ns since 1970 that `text` says: `2026-01-31`, `2026-01-31 12:00:00[.fraction]`, the same
/// with `T`, or RFC 3339 with its offset. Without an offset it is a time in `zone`, by default
/// UTC. May lie outside of the times that points can have.
pub(crate) fn parse_time(text: &str, zone: Option<&TimeZone>) -> Option<i128> {
    // Jiff also reads week dates, compact forms and zones in brackets; four digits and a dash
    // keep what we accept to what we document.
    let mut head = text.bytes();
    let is_date = head.by_ref().take(4).filter(u8::is_ascii_digit).count() == 4
        && head.next() == Some(b'-')
        && head.next().is_some_and(|byte| byte.is_ascii_digit())
        && !text.contains('[');
    if !is_date {
        return None;
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_nanosecond());
    }
    let civil: DateTime = text.parse().ok()?;
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    Some(zone.to_timestamp(civil).ok()?.as_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_in_every_documented_form() {
        let check = |text: &str, expected: Option<i128>| {
            assert_eq!(parse_time(text, None), expected, "{text}");
        };
        const DAY: i128 = 1_451_606_400_000_000_000;
        check("2016-01-01", Some(DAY));
        check("2016-01-01 00:00:01", Some(DAY + 1_000_000_000));
        check("2016-01-01 00:00:01.5", Some(DAY + 1_500_000_000));
        check("2016-01-01T00:00:00Z", Some(DAY));
        check("2016-01-01T00:00:00.000000001Z", Some(DAY + 1));
        check("2016-01-01T01:00:00+01:00", Some(DAY));
        check("2016-01-01T00:00:00", Some(DAY));
        check("1500-01-01", Some(-14_831_769_600_000_000_000));
        check("2016-13-01", None);
        check("2016", None);
        check("yesterday", None);
        check("", None);
        check("2016-W01-1", None);
        check("2016-01-01T00:00:00Z[Europe/Berlin]", None);
    }

    #[test]
    fn times_without_an_offset_are_local_to_the_zone() {
        let berlin = time_zone("Europe/Berlin").unwrap();
        let winter = parse_time("2016-01-01 01:00:00", Some(&berlin));
        assert_eq!(winter, parse_time("2016-01-01T00:00:00Z", None));
        let summer = parse_time("2016-07-01 02:00:00", Some(&berlin));
        assert_eq!(summer, parse_time("2016-07-01T00:00:00Z", None));
        let absolute = parse_time("2016-07-01T00:00:00Z", Some(&berlin));
        assert_eq!(absolute, parse_time("2016-07-01T00:00:00Z", None));
        assert!(time_zone("Europe/Nowhere").is_none());
    }
}

//! Times as the query languages write them.

use jiff::Timestamp;

/// Nanoseconds since 1970 as `2016-01-01 00:00:00`, whole seconds, UTC.
pub fn sql_time(time_ns: i64) -> String {
    text(time_ns, "%Y-%m-%d %H:%M:%S")
}

/// Nanoseconds since 1970 as `2016-01-01T00:00:00Z`, whole seconds.
pub fn rfc3339(time_ns: i64) -> String {
    text(time_ns, "%Y-%m-%dT%H:%M:%SZ")
}

/// Today, as in `2016-01-01`, UTC.
pub fn today() -> String {
    Timestamp::now().strftime("%Y-%m-%d").to_string()
}

fn text(time_ns: i64, format: &str) -> String {
    Timestamp::from_nanosecond(i128::from(time_ns))
        .map_or_else(|error| error.to_string(), |time| time.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(sql_time(1_451_606_400_000_000_000), "2016-01-01 00:00:00");
        assert_eq!(rfc3339(1_451_646_926_000_000_000), "2016-01-01T11:15:26Z");
    }
}

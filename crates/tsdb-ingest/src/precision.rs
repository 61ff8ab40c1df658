//! Units of the timestamps in a request.

use std::str::FromStr;

use tsdb_core::time;

use crate::Error;

/// The unit in which a request gives its timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Nanoseconds: `n` or `ns`, and what is meant when nothing is said.
    #[default]
    Nanoseconds,
    /// Microseconds: `u`, `us` or `µ`.
    Microseconds,
    /// Milliseconds: `ms`.
    Milliseconds,
    /// Seconds: `s`.
    Seconds,
    /// Minutes: `m`.
    Minutes,
    /// Hours: `h`.
    Hours,
    /// What the size of each timestamp says, as InfluxDB 3 has it: see [`Precision::ns_of`]. No text names it
    /// here; who offers it names it.
    Auto,
}

/// Timestamps whose absolute value is below this many units of 10^9 are of a unit, for [`Precision::Auto`]: a count
/// of seconds stays below the first until 2128, a count of milliseconds is above it since 1970-02-27.
const AUTO_BOUNDS: [(u64, i64); 3] =
    [(5, time::SECOND), (5_000, time::MILLISECOND), (5_000_000, time::MICROSECOND)];

impl Precision {
    /// Length of the unit in ns; 1 where each timestamp has its own.
    pub const fn ns(self) -> i64 {
        match self {
            Precision::Nanoseconds | Precision::Auto => 1,
            Precision::Microseconds => time::MICROSECOND,
            Precision::Milliseconds => time::MILLISECOND,
            Precision::Seconds => time::SECOND,
            Precision::Minutes => time::MINUTE,
            Precision::Hours => time::HOUR,
        }
    }

    /// Length of the unit of `stamp` in ns.
    #[inline]
    pub fn ns_of(self, stamp: i64) -> i64 {
        if self != Precision::Auto {
            return self.ns();
        }
        let size = stamp.unsigned_abs() / 1_000_000_000;
        AUTO_BOUNDS.iter().find(|(bound, _)| size < *bound).map_or(1, |(_, ns)| *ns)
    }

    /// `time_ns` without what is finer than the unit, towards the past.
    pub fn truncate(self, time_ns: i64) -> i64 {
        // Rounding down can leave the type only below the first valid time, where validation refuses.
        time_ns.div_euclid(self.ns()).saturating_mul(self.ns())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Precision, Error> {
        match text {
            "" | "n" | "ns" => Ok(Precision::Nanoseconds),
            // The micro sign and the Greek letter look the same and are not.
            "u" | "us" | "\u{b5}" | "\u{b5}s" | "\u{3bc}" | "\u{3bc}s" => {
                Ok(Precision::Microseconds)
            }
            "ms" => Ok(Precision::Milliseconds),
            "s" => Ok(Precision::Seconds),
            "m" => Ok(Precision::Minutes),
            "h" => Ok(Precision::Hours),
            _ => Err(Error::InvalidPrecision { text: text.chars().take(64).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_known_by_its_names() {
        for (text, ns) in [
            ("", 1),
            ("n", 1),
            ("ns", 1),
            ("u", 1_000),
            ("us", 1_000),
            ("µ", 1_000),
            ("μ", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ] {
            assert_eq!(text.parse::<Precision>().unwrap().ns(), ns, "{text}");
        }
        for text in ["d", "w", "S", "ms ", "sec"] {
            let error = text.parse::<Precision>().unwrap_err();
            assert!(error.to_string().contains("use n, u, ms, s, m or h"), "{error}");
        }
    }

    #[test]
    fn the_size_of_a_timestamp_tells_its_unit() {
        for (stamp, ns) in [
            (0, time::SECOND),
            (1_700_000_000, time::SECOND),
            (4_999_999_999, time::SECOND),
            (5_000_000_000, time::MILLISECOND),
            (1_700_000_000_000, time::MILLISECOND),
            (4_999_999_999_999, time::MILLISECOND),
            (5_000_000_000_000, time::MICROSECOND),
            (-4_999_999_999_999_999, time::MICROSECOND),
            (5_000_000_000_000_000, 1),
            (i64::MAX, 1),
            (i64::MIN, 1),
        ] {
            assert_eq!(Precision::Auto.ns_of(stamp), ns, "{stamp}");
            assert_eq!(Precision::Hours.ns_of(stamp), time::HOUR);
        }
        assert!("auto".parse::<Precision>().is_err(), "not a unit of InfluxDB 1");
    }

    #[test]
    fn truncation_goes_towards_the_past() {
        assert_eq!(Precision::Seconds.truncate(1_999_999_999), 1_000_000_000);
        assert_eq!(Precision::Seconds.truncate(-1), -1_000_000_000);
        assert_eq!(Precision::Hours.truncate(i64::MIN), i64::MIN, "saturates, never wraps");
    }
}

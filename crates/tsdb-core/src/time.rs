//! Time as the whole system counts it: nanoseconds since 1970 in an `i64`, half-open ranges,
//! window boundaries and duration literals. No clock (see `env`), no time zones and no dates
//! (the query language owns those).

use std::fmt;

use thiserror::Error;

/// The earliest time a point may have, in ns since 1970. InfluxDB's bound: the two values below
/// stay free so that `start - 1` never overflows.
pub const MIN_TIME: i64 = i64::MIN + 2;

/// The latest time a point may have (inclusive), in ns since 1970. InfluxDB's bound: the value
/// above stays free, so that the half-open end `MAX_TIME + 1` is an `i64`.
pub const MAX_TIME: i64 = i64::MAX - 1;

const _: () = assert!(MIN_TIME < 0 && MAX_TIME > 0 && MAX_TIME < i64::MAX);

/// One microsecond in ns.
pub const MICROSECOND: i64 = 1_000;
/// One millisecond in ns.
pub const MILLISECOND: i64 = 1_000 * MICROSECOND;
/// One second in ns.
pub const SECOND: i64 = 1_000 * MILLISECOND;
/// One minute in ns.
pub const MINUTE: i64 = 60 * SECOND;
/// One hour in ns.
pub const HOUR: i64 = 60 * MINUTE;
/// One day (24 hours) in ns.
pub const DAY: i64 = 24 * HOUR;
/// One week (7 days) in ns.
pub const WEEK: i64 = 7 * DAY;

/// A half-open range of time, `start <= t < end`, in ns since 1970.
///
/// [`TimeRange::new`] gives every empty range the one form [`TimeRange::EMPTY`], so that equal
/// sets of points compare equal; the methods also take a range built by hand the wrong way round
/// for empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first time inside.
    pub start: i64,
    /// The first time after the range.
    pub end: i64,
}

impl TimeRange {
    /// The range without a point in it.
    pub const EMPTY: TimeRange = TimeRange { start: 0, end: 0 };

    /// The range `start <= t < end`; [`TimeRange::EMPTY`] when no time fulfils that.
    #[must_use]
    pub const fn new(start: i64, end: i64) -> Self {
        if start < end { Self { start, end } } else { Self::EMPTY }
    }

    /// Every time that a point may have.
    #[must_use]
    pub const fn all() -> Self {
        Self { start: MIN_TIME, end: MAX_TIME + 1 }
    }

    /// The range `first <= t <= last`. A `last` of `i64::MAX` (no valid time) counts as
    /// [`MAX_TIME`].
    #[must_use]
    pub const fn from_inclusive(first: i64, last: i64) -> Self {
        Self::new(first, last.saturating_add(1))
    }

    /// Whether no time lies inside.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether `time` lies inside.
    #[must_use]
    pub const fn contains(&self, time: i64) -> bool {
        self.start <= time && time < self.end
    }

    /// Whether every time of `other` lies inside; true for an empty `other`.
    #[must_use]
    pub const fn covers(&self, other: &TimeRange) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }

    /// Whether some time lies inside both ranges.
    #[must_use]
    pub const fn overlaps(&self, other: &TimeRange) -> bool {
        !self.intersect(other).is_empty()
    }

    /// The times that lie in both ranges.
    #[must_use]
    pub const fn intersect(&self, other: &TimeRange) -> TimeRange {
        let start = if self.start > other.start { self.start } else { other.start };
        let end = if self.end < other.end { self.end } else { other.end };
        Self::new(start, end)
    }

    /// The smallest range that covers both.
    #[must_use]
    pub const fn hull(&self, other: &TimeRange) -> TimeRange {
        if self.is_empty() {
            return Self::new(other.start, other.end);
        }
        if other.is_empty() {
            return *self;
        }
        let start = if self.start < other.start { self.start } else { other.start };
        let end = if self.end > other.end { self.end } else { other.end };
        Self::new(start, end)
    }

    /// The last time inside, `None` for an empty range.
    #[must_use]
    pub const fn last(&self) -> Option<i64> {
        if self.is_empty() { None } else { Some(self.end - 1) }
    }

    /// How many nanoseconds the range holds; 0 for an empty one.
    #[must_use]
    pub const fn length_ns(&self) -> u64 {
        if self.is_empty() { 0 } else { self.end.abs_diff(self.start) }
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// A time that no point may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "time {time} is outside the range of valid times: use nanoseconds since 1970 from {MIN_TIME} \
     to {MAX_TIME} (years 1677 to 2262), and check the precision of the request"
)]
#[non_exhaustive]
pub struct TimeOutOfRange {
    /// The refused time in ns since 1970.
    pub time: i64,
}

/// Refuses a time that no point may have.
///
/// # Errors
///
/// [`TimeOutOfRange`] unless `MIN_TIME <= time <= MAX_TIME`.
pub const fn check_time(time: i64) -> Result<(), TimeOutOfRange> {
    if time < MIN_TIME || time > MAX_TIME { Err(TimeOutOfRange { time }) } else { Ok(()) }
}

/// The start of the window of `every` ns that holds `time`, when one window starts at `offset`
/// (so that windows are aligned to 1970 for offset 0, also before it).
///
/// Computed in 128 bits, nothing wraps; a start that lies before [`MIN_TIME`] is given as
/// [`MIN_TIME`].
///
/// # Panics
///
/// When `every` is not positive: the checks of the query language refuse such windows.
#[must_use]
pub fn window_start(time: i64, every: i64, offset: i64) -> i64 {
    assert!(every > 0, "a window must be at least 1 ns long");
    let (time, every, offset) = (i128::from(time), i128::from(every), i128::from(offset));
    clamp_to_valid((time - offset).div_euclid(every) * every + offset)
}

/// The window of `every` ns that holds `time`, see [`window_start`]; cut to the valid times.
///
/// # Panics
///
/// As [`window_start`].
#[must_use]
pub fn window_range(time: i64, every: i64, offset: i64) -> TimeRange {
    assert!(every > 0, "a window must be at least 1 ns long");
    let (time, every, offset) = (i128::from(time), i128::from(every), i128::from(offset));
    let start = (time - offset).div_euclid(every) * every + offset;
    TimeRange::from_inclusive(clamp_to_valid(start), clamp_to_valid(start + every - 1))
}

/// The nearest valid point time.
fn clamp_to_valid(time: i128) -> i64 {
    let clamped = time.clamp(i128::from(MIN_TIME), i128::from(MAX_TIME));
    i64::try_from(clamped).unwrap_or(MAX_TIME)
}

/// Why a text is not a duration literal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// A stretch without digits where a number must stand.
    #[error(
        "invalid duration \"{text}\": a number is missing; write numbers with units, as in 1h30m"
    )]
    NumberMissing {
        /// The whole text.
        text: String,
    },
    /// A number without a unit.
    #[error(
        "invalid duration \"{text}\": the last number has no unit; add one of ns, u, ms, s, m, h, \
         d, w"
    )]
    UnitMissing {
        /// The whole text.
        text: String,
    },
    /// A unit that does not exist.
    #[error("invalid duration \"{text}\": unknown unit \"{unit}\"; use ns, u, ms, s, m, h, d or w")]
    UnitUnknown {
        /// The whole text.
        text: String,
        /// What stands where the unit is due.
        unit: String,
    },
    /// More nanoseconds than an `i64` holds.
    #[error("duration \"{text}\" is too long: the longest is 15250w (about 292 years)")]
    Overflow {
        /// The whole text.
        text: String,
    },
}

/// The units of a duration literal and their length in ns. `us` and `µs` are ours, the others
/// InfluxQL's.
const DURATION_UNITS: [(&str, i64); 12] = [
    ("ns", 1),
    ("u", MICROSECOND),
    ("us", MICROSECOND),
    ("µ", MICROSECOND), // U+00B5, the micro sign
    ("µs", MICROSECOND),
    ("μ", MICROSECOND), // U+03BC, the Greek letter, which some keyboards give
    ("ms", MILLISECOND),
    ("s", SECOND),
    ("m", MINUTE),
    ("h", HOUR),
    ("d", DAY),
    ("w", WEEK),
];

/// Reads an InfluxQL duration literal such as `1h30m`, `90s` or `-5m` to ns. Parts add up, in any
/// order of units.
///
/// # Errors
///
/// [`DurationError`] when a number or a unit is missing or unknown, or the sum leaves `i64`.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let overflow = || DurationError::Overflow { text: text.to_owned() };
    let mut total: i128 = 0;
    let mut rest = unsigned;
    loop {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(digits_end);
        if digits.is_empty() {
            return Err(DurationError::NumberMissing { text: text.to_owned() });
        }
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let number: i64 = digits.parse().map_err(|_| overflow())?;
        total += i128::from(number) * i128::from(unit_length(unit, text)?);
        if total > i128::from(i64::MAX) {
            return Err(overflow());
        }
        if next.is_empty() {
            break;
        }
        rest = next;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| overflow())
}

/// The ns of a unit; `text` is the whole literal, for the message.
fn unit_length(unit: &str, text: &str) -> Result<i64, DurationError> {
    if unit.is_empty() {
        return Err(DurationError::UnitMissing { text: text.to_owned() });
    }
    DURATION_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, length)| *length)
        .ok_or_else(|| DurationError::UnitUnknown { text: text.to_owned(), unit: unit.to_owned() })
}

/// Writes a duration as InfluxQL does: a whole number of the largest unit that divides it, so
/// that [`parse_duration`] gives back the same number (`90m`, not `1h30m`; 0 is `0s`).
#[must_use]
pub fn format_duration(ns: i64) -> String {
    const UNITS: [(i64, &str); 7] = [
        (WEEK, "w"),
        (DAY, "d"),
        (HOUR, "h"),
        (MINUTE, "m"),
        (SECOND, "s"),
        (MILLISECOND, "ms"),
        (MICROSECOND, "u"),
    ];
    if ns == 0 {
        return "0s".to_owned();
    }
    match UNITS.iter().find(|(length, _)| ns % length == 0) {
        Some((length, name)) => format!("{}{name}", ns / length),
        None => format!("{ns}ns"),
    }
}

/// Writes a duration as Go's `time.Duration` prints itself (`168h0m0s`, `1.5s`, `2ms`), which is
/// what InfluxDB answers for retention policies.
#[must_use]
pub fn format_go_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let magnitude = ns.unsigned_abs();
    let unit = |length: i64| length.unsigned_abs();
    let part = if magnitude == 0 {
        "0s".to_owned()
    } else if magnitude < unit(MICROSECOND) {
        format!("{magnitude}ns")
    } else if magnitude < unit(MILLISECOND) {
        format!("{}µs", decimal(magnitude, unit(MICROSECOND)))
    } else if magnitude < unit(SECOND) {
        format!("{}ms", decimal(magnitude, unit(MILLISECOND)))
    } else {
        let seconds = decimal(magnitude % unit(MINUTE), unit(SECOND));
        let (hours, minutes) = (magnitude / unit(HOUR), magnitude % unit(HOUR) / unit(MINUTE));
        match (hours, minutes) {
            (0, 0) => format!("{seconds}s"),
            (0, _) => format!("{minutes}m{seconds}s"),
            _ => format!("{hours}h{minutes}m{seconds}s"),
        }
    };
    format!("{sign}{part}")
}

/// `value / unit` as an exact decimal without trailing zeros; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    // The width of a unit of 10^n is n digits.
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_range() -> impl Strategy<Value = TimeRange> {
        prop_oneof![
            (-8_i64..8, -8_i64..8).prop_map(|(a, b)| TimeRange::new(a, b)),
            (any::<i64>(), any::<i64>()).prop_map(|(a, b)| TimeRange::new(a, b)),
            Just(TimeRange::all()),
        ]
    }

    fn any_probe() -> impl Strategy<Value = i64> {
        prop_oneof![-9_i64..9, any::<i64>(), Just(MIN_TIME), Just(MAX_TIME)]
    }

    proptest! {
        #[test]
        fn ranges_are_sets_of_times(a in any_range(), b in any_range(), t in any_probe()) {
            let both = a.contains(t) && b.contains(t);
            prop_assert_eq!(a.intersect(&b).contains(t), both);
            prop_assert_eq!(a.intersect(&b), b.intersect(&a));
            prop_assert_eq!(a.overlaps(&b), !a.intersect(&b).is_empty());
            prop_assert_eq!(a.covers(&b), a.intersect(&b) == b);
            prop_assert!(a.hull(&b).covers(&a) && a.hull(&b).covers(&b));
            prop_assert_eq!(a.is_empty(), a == TimeRange::EMPTY);
            prop_assert_eq!(a.is_empty(), a.length_ns() == 0);
            if let Some(last) = a.last() {
                prop_assert_eq!(TimeRange::from_inclusive(a.start, last), a);
            }
        }

        #[test]
        fn a_window_holds_its_time(
            t in MIN_TIME..=MAX_TIME, every in 1..=i64::MAX, offset in any::<i64>(),
        ) {
            let window = window_range(t, every, offset);
            prop_assert!(window.contains(t));
            prop_assert_eq!(window_start(t, every, offset), window.start);
            prop_assert!(window.length_ns() <= every.unsigned_abs());
            let aligned = (i128::from(window.start) - i128::from(offset)) % i128::from(every) == 0;
            prop_assert!(aligned || window.start == MIN_TIME);
        }

        #[test]
        fn a_written_duration_reads_back(ns in any::<i64>(), scale in 0_usize..8) {
            let unit = [1, MICROSECOND, MILLISECOND, SECOND, MINUTE, HOUR, DAY, WEEK][scale];
            let ns = ns / unit * unit;
            // |i64::MIN| is no i64: its text reads as a duration one too long.
            prop_assume!(ns != i64::MIN);
            prop_assert_eq!(parse_duration(&format_duration(ns)), Ok(ns));
        }

        #[test]
        fn reading_a_duration_never_panics(text in "\\PC{0,12}") {
            let _ = parse_duration(&text);
        }
    }

    #[test]
    fn durations_read_as_influxql_reads_them() {
        let check = |text: &str, expected: i64| {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        };
        check("1ns", 1);
        check("5u", 5_000);
        check("5µ", 5_000);
        check("5us", 5_000);
        check("7ms", 7_000_000);
        check("1h30m", 90 * MINUTE);
        check("1m1h", HOUR + MINUTE);
        check("2w", 14 * DAY);
        check("-5m", -5 * MINUTE);
        check("15250w", 15250 * WEEK);
    }

    #[test]
    fn wrong_durations_say_what_is_wrong() {
        let check = |text: &str, part: &str| {
            let message = parse_duration(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        };
        check("", "a number is missing");
        check("h", "a number is missing");
        check("5", "no unit");
        check("1h5", "no unit");
        check("5y", "unknown unit \"y\"");
        check("5H", "unknown unit \"H\"");
        check("15251w", "too long");
        check("99999999999999999999s", "too long");
    }

    #[test]
    fn durations_print_in_both_styles() {
        let check = |ns: i64, influx: &str, go: &str| {
            assert_eq!(format_duration(ns), influx);
            assert_eq!(format_go_duration(ns), go);
        };
        check(0, "0s", "0s");
        check(7 * DAY, "1w", "168h0m0s");
        check(90 * MINUTE, "90m", "1h30m0s");
        check(61 * SECOND, "61s", "1m1s");
        check(1_500 * MILLISECOND, "1500ms", "1.5s");
        check(1_500 * MICROSECOND, "1500u", "1.5ms");
        check(1_050, "1050ns", "1.05µs");
        check(999, "999ns", "999ns");
        check(-HOUR, "-1h", "-1h0m0s");
    }

    #[test]
    fn valid_times_end_where_influxdb_ends_them() {
        assert_eq!(check_time(MIN_TIME), Ok(()));
        assert_eq!(check_time(MAX_TIME), Ok(()));
        assert!(check_time(MIN_TIME - 1).is_err());
        assert!(check_time(MAX_TIME + 1).is_err());
        assert!(TimeRange::all().contains(MIN_TIME) && TimeRange::all().contains(MAX_TIME));
    }
}

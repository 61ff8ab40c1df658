//! Windows that begin where the clocks of a zone say so.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tsdb_core::storage::Windows;
use tsdb_core::{TimeRange, time};
use tsdb_ql::{Select, time_zone};

use crate::{Error, Result};

/// Widest window whose boundaries are the same in all zones: offsets from UTC are multiples of it, at
/// least since 1986.
const ZONE_STEP_NS: i64 = 15 * time::MINUTE;

/// The windows of `select`, whose rows lie inside `time`: those of UTC, shifted by what the zone differs from it.
///
/// # Errors
/// Windows that are not all of one width since the zone's clocks change among them.
pub(super) fn windows(select: &Select, now_ns: i64, time: TimeRange) -> Result<Option<Windows>> {
    let Some(window) = select.window() else { return Ok(None) };
    let (every, offset) = (window.every_ns, window.offset.resolve(now_ns));
    let zone = select.zone.as_ref().and_then(|zone| time_zone(&zone.name));
    let shift = match zone {
        Some(zone) if ZONE_STEP_NS % every != 0 => {
            // The first and the last window reach beyond the rows, which end at now() unless the query says otherwise.
            let end = if time.end >= TimeRange::all().end { now_ns } else { time.end };
            let wide = TimeRange::new(time.start.saturating_sub(every), end.saturating_add(every));
            offset_within(&zone, wide).ok_or(Error::Unsupported {
                what: "GROUP BY time() with tz() over a change of the clocks",
                remedy: "ask for a range of time between two changes, leave out tz(), or shift the windows by \
                         hand, as in time(1d, -1h)",
            })?
        }
        _ => 0,
    };
    Ok(Some(Windows { every, offset: offset.saturating_sub(shift) }))
}

/// How far east of UTC the clocks of a zone are, in ns, if that does not change within `time`.
fn offset_within(zone: &TimeZone, time: TimeRange) -> Option<i64> {
    let first = Timestamp::from_nanosecond(i128::from(time.start)).ok()?;
    let last = Timestamp::from_nanosecond(i128::from(time.end)).ok()?;
    let offset = zone.to_offset(first);
    let mut changes = zone.following(first).take_while(|change| change.timestamp() <= last);
    let is_constant = changes.all(|change| change.offset() == offset);
    is_constant.then(|| i64::from(offset.seconds()).saturating_mul(time::SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_hold_between_two_changes_of_the_clocks() {
        let at =
            |text: &str| i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap();
        let offset = |zone: &str, start: &str, end: &str| {
            offset_within(&time_zone(zone).unwrap(), TimeRange::new(at(start), at(end)))
        };
        let (winter, summer) = (time::HOUR, 2 * time::HOUR);
        let berlin = |start, end| offset("Europe/Berlin", start, end);
        assert_eq!(berlin("2026-01-01T00:00:00Z", "2026-03-29T00:59:59Z"), Some(winter));
        assert_eq!(berlin("2026-01-01T00:00:00Z", "2026-03-29T01:00:00Z"), None);
        assert_eq!(berlin("2026-03-29T01:00:00Z", "2026-10-25T00:59:59Z"), Some(summer));
        assert_eq!(berlin("2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z"), None);
        let kolkata = offset("Asia/Kolkata", "1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z");
        assert_eq!(kolkata, Some(11 * time::HOUR / 2));
    }
}

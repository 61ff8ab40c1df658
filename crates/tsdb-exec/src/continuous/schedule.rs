//! When a continuous query runs, and for which range of time: InfluxDB's rules, as a pure function of its clauses, its
//! last run and the time.
//!
//! Runs are due at multiples of EVERY, which is the window unless given, shifted by the offset of the window and counted
//! by the clock of `tz()`. A run covers the windows that have ended since the one before, or as many as FOR reaches
//! back; with EVERY below the window also the one that has not ended yet.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tsdb_core::TimeRange;
use tsdb_core::time::{MAX_TIME, MIN_TIME};
use tsdb_ql::{ContinuousQuery, Statement, Window, WindowOffset, time_zone};

/// A run that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The time for which it was due, in ns since 1970: what the next question gives as the last run.
    pub mark_ns: i64,
    /// What it covers; `None` when nothing has ended since the query was first looked at.
    pub range: Option<TimeRange>,
}

/// The run of `query` that is due at `now_ns`, if one is, when the last one was due at `last_ns`. Without a last run it
/// is due at once. A clock that was set back begins anew.
#[must_use]
pub fn due(query: &ContinuousQuery, last_ns: Option<i64>, now_ns: i64) -> Option<Due> {
    let window = query.window()?;
    let zone = query.select.zone.as_ref().and_then(|zone| time_zone(&zone.name));
    let every_ns = query.every_ns.unwrap_or(window.every_ns);
    let mark_ns = runs(window, every_ns, zone.as_ref()).floor(now_ns);
    let last_ns = last_ns.filter(|last| *last <= now_ns);
    let next_ns = match last_ns {
        Some(last) if mark_ns <= last => return None,
        // What was missed since then is made up for. Where clocks changed, runs are closer to each other.
        Some(last) => last.saturating_add(every_ns).min(mark_ns),
        None => now_ns,
    };
    let look_back = query.for_ns.unwrap_or_else(|| every_ns.max(window.every_ns));
    let windows =
        Grid { width: window.every_ns, offset: window.offset.resolve(now_ns), zone: zone.as_ref() };
    let reach = window.every_ns.saturating_sub(look_back).saturating_sub(1);
    let start = windows.floor(next_ns.saturating_add(reach));
    let ahead = window.every_ns - every_ns.min(window.every_ns);
    let end = windows.floor(now_ns.saturating_add(ahead));
    let range = TimeRange { start: start.max(MIN_TIME), end: end.min(MAX_TIME) };
    Some(Due { mark_ns, range: (!range.is_empty()).then_some(range) })
}

impl Due {
    /// What is run, if there is anything to run.
    #[must_use]
    pub fn statement(&self, query: &ContinuousQuery) -> Option<Statement> {
        let TimeRange { start, end } = self.range?;
        Some(Statement::Select(Box::new(query.select_between(start, end))))
    }
}

/// The moments at which runs are due. Windows that begin at `now()` have no moments of their own.
fn runs<'z>(window: &Window, every_ns: i64, zone: Option<&'z TimeZone>) -> Grid<'z> {
    let offset = match window.offset {
        WindowOffset::Ns(ns) => ns,
        WindowOffset::Now => 0,
    };
    Grid { width: every_ns, offset, zone }
}

/// Moments at equal distances by the clock of a zone.
struct Grid<'z> {
    width: i64,
    offset: i64,
    zone: Option<&'z TimeZone>,
}

impl Grid<'_> {
    /// The last moment that is not after `time`.
    fn floor(&self, time: i64) -> i64 {
        let shift = self.shift(time);
        let local = i128::from(time) + i128::from(shift) - i128::from(self.offset);
        let begun = i128::from(time) - local.rem_euclid(i128::from(self.width.max(1)));
        let begun = i64::try_from(begun).unwrap_or(MIN_TIME);
        // Between the moment and now the clock may have been changed.
        begun.saturating_add(shift - self.shift(begun))
    }

    /// How much the clock of the zone is ahead of UTC then, in ns.
    fn shift(&self, time: i64) -> i64 {
        let Some(zone) = self.zone else { return 0 };
        let seconds = Timestamp::from_nanosecond(i128::from(time))
            .map_or(0, |timestamp| zone.to_offset(timestamp).seconds());
        i64::from(seconds) * 1_000_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continuous::continuous_query;

    const MINUTE: i64 = 60_000_000_000;
    const HOUR: i64 = 60 * MINUTE;

    fn query(resample: &str, group: &str) -> ContinuousQuery {
        let text = format!(
            "CREATE CONTINUOUS QUERY c ON d {resample} BEGIN SELECT mean(v) INTO a FROM m GROUP BY {group} END"
        );
        continuous_query(&text).unwrap()
    }

    /// The runs of a query that is looked at every minute, `minutes` being since midnight: when, from and to.
    fn runs_of(resample: &str, group: &str, minutes: std::ops::Range<i64>) -> Vec<[i64; 3]> {
        let query = query(resample, group);
        let (mut last, mut runs) = (None, Vec::new());
        for minute in minutes {
            let Some(Due { mark_ns, range }) = due(&query, last, minute * MINUTE) else { continue };
            last = Some(mark_ns);
            runs.extend(range.map(|r| [minute, r.start / MINUTE, r.end / MINUTE]));
        }
        runs
    }

    /// The examples of InfluxDB's documentation, from 7:59 on, with windows of an hour or half of one.
    #[test]
    fn runs_are_those_of_the_documentation() {
        let hours = 479..541;
        let plain = runs_of("", "time(1h)", hours.clone());
        assert_eq!(plain, [[480, 420, 480], [540, 480, 540]]);
        // Offset of a quarter.
        let shifted = runs_of("", "time(1h, 15m)", hours.clone());
        assert_eq!(shifted, [[495, 435, 495]]);
        // More often than the window: the one that goes on, again and again.
        let often = runs_of("RESAMPLE EVERY 30m", "time(1h)", hours.clone());
        assert_eq!(often, [[479, 420, 480], [480, 420, 480], [510, 480, 540], [540, 480, 540]]);
        // Back further than a window; the first look covers what FOR reaches.
        let far = runs_of("RESAMPLE FOR 1h", "time(30m)", hours.clone());
        assert_eq!(far[1..], [[480, 420, 480], [510, 450, 510], [540, 480, 540]]);
        // Less often than the window: all windows since the run before.
        let seldom = runs_of("RESAMPLE EVERY 1h", "time(30m)", hours.clone());
        assert_eq!(seldom[1..], [[480, 420, 480], [540, 480, 540]]);
        let both = runs_of("RESAMPLE EVERY 1h FOR 90m", "time(30m)", hours);
        assert_eq!(both[1..], [[480, 390, 480], [540, 450, 540]]);
    }

    #[test]
    fn a_query_begins_with_the_first_window_that_ends_after_it() {
        let query = query("", "time(1h)");
        let first = due(&query, None, 8 * HOUR + 16 * MINUTE).unwrap();
        assert_eq!(first, Due { mark_ns: 8 * HOUR, range: None });
        assert_eq!(first.statement(&query), None);
        assert_eq!(due(&query, Some(first.mark_ns), 9 * HOUR - 1), None);
        let second = due(&query, Some(first.mark_ns), 9 * HOUR).unwrap();
        assert_eq!(second.range, Some(TimeRange { start: 8 * HOUR, end: 9 * HOUR }));
        let text = second.statement(&query).unwrap().to_string();
        let (start, end) = (8 * HOUR, 9 * HOUR);
        assert!(text.contains(&format!("WHERE time >= {start} AND time < {end} GROUP")), "{text}");
    }

    #[test]
    fn what_was_missed_is_made_up_for_and_a_clock_set_back_begins_anew() {
        let query = query("", "time(1h)");
        let late = due(&query, Some(8 * HOUR), 11 * HOUR + 5 * MINUTE).unwrap();
        assert_eq!(late.mark_ns, 11 * HOUR);
        assert_eq!(late.range, Some(TimeRange { start: 8 * HOUR, end: 11 * HOUR }));
        let back = due(&query, Some(8 * HOUR), 2 * HOUR + 1).unwrap();
        assert_eq!(back, Due { mark_ns: 2 * HOUR, range: None });
    }

    #[test]
    fn days_are_those_of_the_zone_also_where_clocks_change() {
        let query = query("", "time(1d) tz('Europe/Berlin')");
        let ns = |text: &str| {
            let timestamp: Timestamp = text.parse().unwrap();
            i64::try_from(timestamp.as_nanosecond()).unwrap()
        };
        // The last Sunday of March has 23 hours, that of October 25.
        let days = [
            ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"),
            ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"),
        ];
        for (start, end) in days.map(|(start, end)| (ns(start), ns(end))) {
            assert_eq!(due(&query, Some(start), end - 1), None);
            let run = due(&query, Some(start), end).unwrap();
            assert_eq!(run, Due { mark_ns: end, range: Some(TimeRange { start, end }) });
        }
    }

    #[test]
    fn windows_that_begin_now_are_whole() {
        let query = query("", "time(1h, now())");
        let run = due(&query, Some(8 * HOUR), 9 * HOUR + 7).unwrap();
        assert_eq!(run.range, Some(TimeRange { start: 8 * HOUR + 7, end: 9 * HOUR + 7 }));
        assert_eq!(due(&query, Some(run.mark_ns), 9 * HOUR + 8), None);
    }

    #[test]
    fn no_length_of_time_is_too_long() {
        let longest = format!("RESAMPLE FOR {}ns", i64::MAX);
        let query = query(&longest, "time(1h)");
        for now_ns in [MIN_TIME, 0, 9 * HOUR, MAX_TIME] {
            let run = due(&query, None, now_ns).unwrap();
            assert!(run.range.is_none_or(|range| range.start >= MIN_TIME), "{run:?}");
        }
    }
}

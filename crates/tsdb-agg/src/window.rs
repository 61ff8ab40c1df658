//! Windows of equal width over a range of time, and how a column of times falls into them.
//!
//! What stands in a window without values is in `fill`; states know only slots.

use tsdb_core::storage::{TimeColumn, Windows};
use tsdb_core::{TimeRange, time};

use crate::{Error, Result};

/// Consecutive windows that cover a range of time.
///
/// Windows are aligned to 1970-01-01T00:00:00Z plus the offset, also before 1970. The first may begin
/// before the range and the last end after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowGrid {
    /// Start of window 0. May lie below the valid times, so 128 bits.
    first: i128,
    every: i64,
    count: usize,
}

/// Rows `start .. end` of a block, which lie inside one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Number of the window in its grid.
    pub window: usize,
    /// First row.
    pub start: usize,
    /// Row behind the last one.
    pub end: usize,
}

impl WindowGrid {
    /// The windows that overlap `range`; none for an empty one. At most `count_max`. O(1).
    ///
    /// # Errors
    /// [`Error::WindowWidth`] unless the width is positive, [`Error::TooManyWindows`].
    pub fn covering(windows: Windows, range: TimeRange, count_max: u64) -> Result<WindowGrid> {
        let Windows { every, offset } = windows;
        if every <= 0 {
            return Err(Error::WindowWidth { every_ns: every });
        }
        let Some(last) = range.last() else { return Ok(WindowGrid { first: 0, every, count: 0 }) };
        let start_of = |t: i64| {
            let (t, every, offset) = (i128::from(t), i128::from(every), i128::from(offset));
            (t - offset).div_euclid(every) * every + offset
        };
        let first = start_of(range.start);
        let wanted = ((start_of(last) - first) / i128::from(every) + 1).unsigned_abs();
        match usize::try_from(wanted) {
            Ok(count) if wanted <= u128::from(count_max) => Ok(WindowGrid { first, every, count }),
            _ => Err(Error::TooManyWindows { wanted, allowed: count_max }),
        }
    }

    /// Number of windows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Start of window `index` in ns. A start below the valid times is given as
    /// [`time::MIN_TIME`].
    #[must_use]
    pub fn start(&self, index: usize) -> i64 {
        clamped(self.boundary(index))
    }

    /// Number of the window that holds `t`, if one does.
    #[must_use]
    pub fn index_of(&self, t: i64) -> Option<usize> {
        let index = (i128::from(t) - self.first).div_euclid(i128::from(self.every));
        usize::try_from(index).ok().filter(|index| *index < self.count)
    }

    fn boundary(&self, index: usize) -> i128 {
        // Both factors fit 64 bits, so the product fits 128.
        self.first + i128::from(self.every) * index as i128
    }

    /// Cuts increasing `times` where windows begin and appends the parts to `out`; rows outside of all
    /// windows are left out. A window that follows the one before costs an addition, one behind a gap a
    /// division; no work per row for regular times, a galloping search for stamps.
    pub fn split(&self, times: &TimeColumn, out: &mut Vec<Segment>) {
        match times {
            TimeColumn::Stamps(stamps) => self.split_rows(
                stamps.len(),
                |row| stamps.get(row).copied(),
                |row, boundary| stamps_below(stamps, row, boundary),
                out,
            ),
            TimeColumn::Regular { first, step, count } => self.split_rows(
                *count,
                |row| times.get(row),
                |row, boundary| regular_below(*first, *step, *count, row, boundary),
                out,
            ),
            // Rows without values: their summaries go to their windows whole.
            TimeColumn::Span { .. } => {}
        }
    }

    /// [`WindowGrid::split`] for `count` rows whose times `time_of` gives. `below(row, boundary)` is the
    /// first row from `row` on that is not before the boundary.
    #[inline]
    fn split_rows(
        &self,
        count: usize,
        time_of: impl Fn(usize) -> Option<i64>,
        below: impl Fn(usize, i64) -> usize,
        out: &mut Vec<Segment>,
    ) {
        let mut row = below(0, clamped(self.first));
        // The window that the loop stands in and its end. Times are below i64::MAX, so an end that is cut
        // to it still holds them all.
        let (mut window, mut end) = (usize::MAX, i64::MIN);
        while row < count {
            let Some(t) = time_of(row) else { return };
            let following = end.saturating_add(self.every);
            if window != usize::MAX && t < following {
                (window, end) = (window + 1, following);
            } else if let Some(index) = self.index_of(t) {
                window = index;
                end = i64::try_from(self.boundary(index + 1)).unwrap_or(i64::MAX);
            } else {
                return;
            }
            if window >= self.count {
                return;
            }
            let next = below(row, end);
            out.push(Segment { window, start: row, end: next });
            row = next;
        }
    }
}

/// Appends to `out` what of `segments`, which cut increasing `times`, lies inside of `range`; no segment is empty.
pub fn clip(segments: &[Segment], times: &TimeColumn, range: TimeRange, out: &mut Vec<Segment>) {
    let below = |bound: i64| match times {
        TimeColumn::Stamps(stamps) => stamps_below(stamps, 0, bound),
        TimeColumn::Regular { first, step, count } => {
            regular_below(*first, *step, *count, 0, bound)
        }
        // Such a block has no rows to cut.
        TimeColumn::Span { .. } => 0,
    };
    let (first, end) = (below(range.start), below(range.end));
    let clipped = segments.iter().map(|segment| Segment {
        start: segment.start.max(first),
        end: segment.end.min(end),
        ..*segment
    });
    // In an empty range a segment around it would have no rows.
    out.extend(clipped.filter(|segment| segment.start < segment.end));
}

fn clamped(t: i128) -> i64 {
    i64::try_from(t.clamp(i128::from(time::MIN_TIME), i128::from(time::MAX_TIME)))
        .unwrap_or(time::MAX_TIME)
}

/// First row at or behind `from` whose stamp is not below `boundary`.
#[inline]
fn stamps_below(stamps: &[i64], from: usize, boundary: i64) -> usize {
    let rest = stamps.get(from..).unwrap_or_default();
    let is_below = |row: usize| rest.get(row).is_some_and(|t| *t < boundary);
    if !is_below(0) {
        return from;
    }
    let mut width = 1;
    while is_below(width) {
        width *= 2;
    }
    // The row at half the width is below, the one at the width is not.
    let low = width / 2 + 1;
    let found = rest.get(low..rest.len().min(width)).unwrap_or_default();
    from + low + found.partition_point(|t| *t < boundary)
}

/// First row at or behind `from` whose regular time is not below `boundary`; at most `count`.
#[inline]
fn regular_below(first: i64, step: i64, count: usize, from: usize, boundary: i64) -> usize {
    if boundary <= first {
        return from;
    }
    // Rows below the boundary are those with index * step < boundary - first.
    let distance = boundary.abs_diff(first);
    let rows = distance.div_ceil(step.unsigned_abs().max(1));
    usize::try_from(rows).unwrap_or(usize::MAX).clamp(from, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grid(every: i64, offset: i64, range: TimeRange) -> WindowGrid {
        WindowGrid::covering(Windows { every, offset }, range, 1_000_000).unwrap()
    }

    fn any_times() -> impl Strategy<Value = TimeColumn> {
        prop_oneof![
            prop::collection::btree_set(-500..500_i64, 0..60)
                .prop_map(|set| TimeColumn::Stamps(set.into_iter().collect())),
            (-500..500_i64, 1..40_i64, 0..60_usize)
                .prop_map(|(first, step, count)| TimeColumn::Regular { first, step, count }),
        ]
    }

    proptest! {
        #[test]
        fn segments_are_the_rows_of_their_windows(
            times in any_times(), every in 1..200_i64, offset in -300..300_i64,
            start in -400..400_i64, length in 0..800_i64,
        ) {
            let range = TimeRange::new(start, start + length);
            let grid = grid(every, offset, range);
            let mut segments = Vec::new();
            grid.split(&times, &mut segments);
            let mut expected: Vec<Segment> = Vec::new();
            for (row, t) in times.iter().enumerate() {
                let start_of = time::window_start(t, every, offset);
                let Some(window) = (0..grid.count()).find(|w| grid.start(*w) == start_of) else {
                    prop_assert_eq!(grid.index_of(t), None);
                    prop_assert!(!range.contains(t));
                    continue;
                };
                prop_assert_eq!(grid.index_of(t), Some(window));
                match expected.last_mut() {
                    Some(last) if last.window == window => last.end = row + 1,
                    _ => expected.push(Segment { window, start: row, end: row + 1 }),
                }
            }
            prop_assert_eq!(&segments, &expected);
            let mut clipped = Vec::new();
            let (from, until) = (start + length / 4, start + length / 2);
            clip(&segments, &times, TimeRange::new(from, until), &mut clipped);
            let early = times.iter().take_while(|t| *t < from).count();
            let in_time = times.iter().take_while(|t| *t < until).count();
            for segment in &mut expected {
                segment.start = segment.start.max(early);
                segment.end = segment.end.min(in_time);
            }
            expected.retain(|segment| segment.start < segment.end);
            prop_assert_eq!(clipped, expected);
        }

        #[test]
        fn nothing_lies_in_an_empty_range(times in any_times(), at in -600..600_i64) {
            let mut segments = Vec::new();
            grid(2000, 0, TimeRange::new(-2000, 2000)).split(&times, &mut segments);
            let mut clipped = Vec::new();
            clip(&segments, &times, TimeRange::new(at, at), &mut clipped);
            prop_assert_eq!(clipped, []);
        }

        #[test]
        fn the_ends_of_time_do_not_wrap(
            every in 1..=i64::MAX, offset in any::<i64>(), t in time::MIN_TIME..=time::MAX_TIME,
        ) {
            let grid = grid(every, offset, TimeRange::from_inclusive(t, t));
            prop_assert_eq!((grid.count(), grid.index_of(t)), (1, Some(0)));
            prop_assert_eq!(grid.start(0), time::window_start(t, every, offset));
            let mut segments = Vec::new();
            grid.split(&TimeColumn::Stamps(vec![t]), &mut segments);
            prop_assert_eq!(segments, [Segment { window: 0, start: 0, end: 1 }]);
        }
    }

    #[test]
    fn all_of_time_is_one_window_or_too_many() {
        let cover =
            |every| WindowGrid::covering(Windows { every, offset: 0 }, TimeRange::all(), 1000);
        assert_eq!(cover(i64::MAX).map(|g| g.count()), Ok(2));
        assert!(matches!(cover(1), Err(Error::TooManyWindows { wanted, allowed: 1000 })
            if wanted == u128::from(u64::MAX) - 2));
        assert_eq!(cover(0), Err(Error::WindowWidth { every_ns: 0 }));
        assert_eq!(grid(10, 0, TimeRange::EMPTY).count(), 0);
    }
}

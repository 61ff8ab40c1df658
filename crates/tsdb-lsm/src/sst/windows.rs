//! Sub-summaries: which rows of a chunk fall into which aligned window, and what is known of the values of each.
//! Pinned to `docs/format/sstable.md`.

use std::ops::Range;

use tsdb_core::time::{DAY, HOUR, MINUTE};
use tsdb_core::{Summary, TimeColumn};

/// Widths that windows can have, in ns. They are aligned to 1970, and each divides the next ones.
const WIDTHS: [i64; WHOLE as usize] =
    [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY];

/// The code of all of a chunk as one window, behind those of the widths.
const WHOLE: u8 = 8;

/// Rows that a window has at least, on average: fewer would cost more than they save.
const ROWS_MIN: u64 = 180;

/// The width of a chunk's windows, or all of the chunk as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width(u8);

impl Width {
    /// The smallest for a chunk of `rows` rows from `t_min` to `t_max`.
    pub(super) fn of(rows: usize, t_min: i64, t_max: i64) -> Width {
        let length = u128::from(t_max.abs_diff(t_min));
        let enough = |width: &i64| {
            u128::from(width.unsigned_abs()) * rows as u128 >= u128::from(ROWS_MIN) * length
        };
        let place = WIDTHS.iter().position(enough).and_then(|place| u8::try_from(place).ok());
        Width(place.unwrap_or(WHOLE))
    }

    /// As it is stored.
    pub(super) fn code(self) -> u8 {
        self.0
    }

    /// From what is stored.
    pub(super) fn from_code(code: i64) -> Option<Width> {
        u8::try_from(code).ok().filter(|code| *code <= WHOLE).map(Width)
    }

    /// In ns; `None` for all of the chunk.
    pub(super) fn ns(self) -> Option<i64> {
        WIDTHS.get(usize::from(self.0)).copied()
    }
}

/// Rows of one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowRows {
    pub rows: Range<usize>,
    pub t_first: i64,
    pub t_last: i64,
}

/// The windows that have rows, in order. `times` increase.
pub(super) fn windows_of(times: &TimeColumn, width: Width) -> Vec<WindowRows> {
    let mut windows = Vec::new();
    let mut start = 0;
    while let Some(t_first) = times.get(start) {
        let end = match width.ns() {
            None => times.len(),
            Some(ns) => {
                let limit = t_first.div_euclid(ns).saturating_add(1).saturating_mul(ns);
                first_from(times, start + 1, limit)
            }
        };
        let t_last = times.get(end - 1).unwrap_or(t_first);
        windows.push(WindowRows { rows: start..end, t_first, t_last });
        start = end;
    }
    windows
}

/// The first row from `start` on whose time is `limit` or later.
fn first_from(times: &TimeColumn, start: usize, limit: i64) -> usize {
    let (mut low, mut high) = (start, times.len());
    while low < high {
        let middle = low.midpoint(high);
        if times.get(middle).is_some_and(|time| time < limit) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// What is known of the values of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Totals {
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub first: f64,
    pub last: f64,
}

impl Totals {
    /// Of at least one value; `None` with a NaN among them. The sum is compensated (Neumaier 1974), so it is
    /// rounded about once.
    pub(super) fn of(values: &[f64]) -> Option<Totals> {
        let (first, last) = (*values.first()?, *values.last()?);
        let (mut sum, mut lost) = (0.0f64, 0.0f64);
        let (mut min, mut max) = (first, first);
        for value in values {
            if value.is_nan() {
                return None;
            }
            (sum, lost) = add(sum, lost, *value);
            min = min.min(*value);
            max = max.max(*value);
        }
        Some(Totals { sum: rounded(sum, lost), min, max, first, last })
    }

    /// Of neighbouring windows, oldest first, with their rows.
    pub(crate) fn together(parts: &[(WindowRows, Totals)]) -> Option<Summary> {
        let ((first_rows, first), (last_rows, last)) = (parts.first()?, parts.last()?);
        let (mut sum, mut lost, mut count) = (0.0f64, 0.0f64, 0u64);
        let (mut min, mut max) = (first.min, first.max);
        for (rows, totals) in parts {
            (sum, lost) = add(sum, lost, totals.sum);
            count += rows.rows.len() as u64;
            min = min.min(totals.min);
            max = max.max(totals.max);
        }
        Some(Summary {
            count,
            sum: rounded(sum, lost),
            min,
            max,
            first: first.first,
            last: last.last,
            t_first: first_rows.t_first,
            t_last: last_rows.t_last,
        })
    }
}

/// One addition of a compensated sum.
fn add(sum: f64, lost: f64, value: f64) -> (f64, f64) {
    let next = sum + value;
    let error = if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
    (next, lost + error)
}

/// With infinities the compensation is NaN and the plain sum is right.
fn rounded(sum: f64, lost: f64) -> f64 {
    let total = sum + lost;
    if total.is_nan() { sum } else { total }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsdb_core::time::SECOND;

    #[test]
    fn widths_have_enough_rows() {
        let width = |rows: usize, step: i64| {
            let last = i64::try_from(rows).unwrap_or(0) * step;
            Width::of(rows, 0, last - step).ns()
        };
        assert_eq!(width(4096, 10 * SECOND), Some(HOUR));
        assert_eq!(width(4096, SECOND), Some(5 * MINUTE));
        assert_eq!(width(4096, 15 * SECOND), Some(HOUR));
        assert_eq!(width(4096, MINUTE), Some(6 * HOUR));
        assert_eq!(width(4096, HOUR), None);
        assert_eq!(width(1, 1), Some(MINUTE));
        assert_eq!(Width::of(4096, i64::MIN, i64::MAX).ns(), None);
    }

    proptest! {
        #[test]
        fn windows_cover_all_rows_in_order(
            times in prop::collection::btree_set(-100 * HOUR..100 * HOUR, 1..200), code in 0i64..9
        ) {
            let times: Vec<i64> = times.into_iter().collect();
            let width = Width::from_code(code).unwrap();
            let windows = windows_of(&TimeColumn::Stamps(times.clone()), width);
            let mut next = 0;
            for window in &windows {
                prop_assert_eq!(window.rows.start, next);
                next = window.rows.end;
                prop_assert_eq!((window.t_first, window.t_last), (times[window.rows.start], times[next - 1]));
                if let Some(ns) = width.ns() {
                    prop_assert_eq!(window.t_first.div_euclid(ns), window.t_last.div_euclid(ns));
                }
            }
            prop_assert_eq!(next, times.len());
            let starts: Vec<i64> = windows.iter().map(|w| w.t_first.div_euclid(width.ns().unwrap_or(i64::MAX))).collect();
            prop_assert!(starts.is_sorted_by(|a, b| a < b) || width.ns().is_none());
        }

        #[test]
        fn windows_together_are_the_whole(values in prop::collection::vec(-1e9..1e9f64, 1..100), cut in 0usize..99) {
            let cut = cut % values.len();
            let parts: Vec<_> = [0..cut, cut..values.len()].into_iter().filter(|rows| !rows.is_empty())
                .map(|rows| (WindowRows { rows: rows.clone(), t_first: rows.start as i64, t_last: rows.end as i64 - 1 },
                    Totals::of(&values[rows]).unwrap())).collect();
            let (found, due) = (Totals::together(&parts).unwrap(), Totals::of(&values).unwrap());
            prop_assert_eq!((found.min, found.max, found.first, found.last), (due.min, due.max, due.first, due.last));
            prop_assert_eq!((found.count, found.t_last), (values.len() as u64, values.len() as i64 - 1));
            prop_assert!((found.sum - due.sum).abs() <= 1e-12 * values.iter().map(|v| v.abs()).sum::<f64>());
        }
    }
}

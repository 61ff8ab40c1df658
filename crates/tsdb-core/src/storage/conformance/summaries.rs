//! Compares a scan that may answer with summaries: rows and summaries together must give the same
//! aggregates of every window as the rows of the model.

use std::collections::BTreeMap;

use super::answer::Answer;
use super::model::NamespaceView;
use super::{Verdict, Violation, ensure};
use crate::SeriesKey;
use crate::storage::{ScanRequest, Summary};
use crate::time::window_start;

/// Relative to the sum of magnitudes: far above what any order of additions loses over a test's rows,
/// far below one value too many or too few.
const SUM_TOLERANCE: f64 = 1e-9;

/// What one column of one series has in one window.
#[derive(Debug, Clone, Copy)]
struct Totals {
    count: u64,
    sum: f64,
    /// Sum of the magnitudes; not finite when a value is not.
    magnitude: f64,
    min: f64,
    max: f64,
    first: (i64, u64),
    last: (i64, u64),
}

/// Series, place of the column, start of the window.
type Place<'a> = (&'a SeriesKey, usize, i64);

impl Totals {
    fn of_value(time: i64, bits: u64) -> Totals {
        let value = f64::from_bits(bits);
        let at = (time, bits);
        // f64::min and max skip NaN, so infinities stand for "none yet".
        let (min, max) = (value.min(f64::INFINITY), value.max(f64::NEG_INFINITY));
        Totals { count: 1, sum: value, magnitude: value.abs(), min, max, first: at, last: at }
    }

    fn of_summary(summary: &Summary) -> Totals {
        Totals {
            count: summary.count,
            sum: summary.sum,
            magnitude: summary.sum.abs(),
            min: summary.min,
            max: summary.max,
            first: (summary.t_first, summary.first.to_bits()),
            last: (summary.t_last, summary.last.to_bits()),
        }
    }

    fn add(&mut self, other: &Totals) {
        self.count += other.count;
        self.sum += other.sum;
        self.magnitude += other.magnitude;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.first = if other.first.0 < self.first.0 { other.first } else { self.first };
        self.last = if other.last.0 > self.last.0 { other.last } else { self.last };
    }
}

#[derive(Default)]
struct Windowed<'a>(BTreeMap<Place<'a>, Totals>);

impl<'a> Windowed<'a> {
    fn add(&mut self, request: &ScanRequest, key: &'a SeriesKey, column: usize, totals: Totals) {
        let window = |time| request.windows.map_or(0, |w| window_start(time, w.every, w.offset));
        let place = (key, column, window(totals.first.0));
        self.0.entry(place).and_modify(|all| all.add(&totals)).or_insert(totals);
    }
}

/// Aggregates both sides by window and compares them.
pub(super) fn compare(answer: &Answer, view: &NamespaceView, request: &ScanRequest) -> Verdict {
    let mut found = Windowed::default();
    for (key, rows) in &answer.rows {
        for (time, values) in rows {
            for (column, bits) in values.iter().enumerate() {
                if let Some(bits) = bits {
                    found.add(request, key, column, Totals::of_value(*time, *bits));
                }
            }
        }
    }
    for (key, column, summary) in &answer.summaries {
        found.add(request, key, *column, Totals::of_summary(summary));
    }
    let mut due = Windowed::default();
    for (key, rows) in view.matching(Some(&request.measurements), &request.filter)? {
        for (time, fields) in rows.iter().filter(|(time, _)| request.time.contains(**time)) {
            for (column, name) in answer.columns.iter().enumerate() {
                if let Some(bits) = fields.get(name) {
                    due.add(request, key, column, Totals::of_value(*time, *bits));
                }
            }
        }
    }
    ensure(found.0.keys().eq(due.0.keys()), || {
        let (found, due): (Vec<_>, Vec<_>) = (found.0.keys().collect(), due.0.keys().collect());
        format!("windows with values are {found:?}, must be {due:?}")
    })?;
    for ((place, found), due) in found.0.iter().zip(due.0.values()) {
        compare_totals(found, due).map_err(|violation| {
            let (key, column, window) = place;
            let name = answer.columns.get(*column);
            violation.within(format!("{key} {name:?}, window at {window}"))
        })?;
    }
    Ok(())
}

fn compare_totals(found: &Totals, due: &Totals) -> Result<(), Violation> {
    let same = found.count == due.count
        && found.first == due.first
        && found.last == due.last
        // As numbers: which zero is the smaller one, nobody says.
        && found.min == due.min
        && found.max == due.max
        && sums_agree(found.sum, due);
    ensure(same, || format!("{found:?}, must be {due:?}"))
}

/// Sums of values that are not all finite, or whose magnitudes overflow on the way, have no one answer.
fn sums_agree(found: f64, due: &Totals) -> bool {
    !due.magnitude.is_finite() || (found - due.sum).abs() <= due.magnitude * SUM_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(values: &[f64]) -> Totals {
        let parts = values.iter().zip(0i64..).map(|(v, t)| Totals::of_value(t, v.to_bits()));
        parts
            .reduce(|mut all, one| {
                all.add(&one);
                all
            })
            .unwrap()
    }

    #[test]
    fn one_value_more_or_less_is_seen() {
        let values = [0.1, 1e9, -3.5, 7.25];
        let due = totals(&values);
        assert!(compare_totals(&totals(&values), &due).is_ok());
        assert!(compare_totals(&totals(&values[1..]), &due).is_err());
        assert!(compare_totals(&Totals { sum: due.sum + 2.0, ..due }, &due).is_err());
        assert!(compare_totals(&Totals { last: (3, 1), ..due }, &due).is_err());
        let reordered = 7.25 - 3.5 + 1e9 + 0.1;
        assert!(compare_totals(&Totals { sum: reordered, ..due }, &due).is_ok());
    }

    #[test]
    fn values_that_are_not_finite_have_no_certain_sum() {
        let due = totals(&[f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
        assert!(sums_agree(5.0, &due));
        assert_eq!((due.min, due.max, due.count), (f64::NEG_INFINITY, f64::INFINITY, 3));
    }
}

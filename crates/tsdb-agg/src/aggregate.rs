//! The trait that every aggregation implements, and the stretch of a column that it takes in.

use tsdb_core::storage::{Column, Presence, TimeColumn};
use tsdb_core::{Summary, TimeRange};

use crate::kernel::Mask;

/// Timestamps of a [`Run`], strictly increasing.
#[derive(Debug, Clone, Copy)]
pub enum Times<'a> {
    /// `first + i * step` for `i` below `count`.
    Regular {
        /// Timestamp of the first row in ns.
        first: i64,
        /// Distance between rows in ns, positive.
        step: i64,
    },
    /// One timestamp in ns per row.
    Stamps(&'a [i64]),
}

impl Times<'_> {
    /// Timestamp of row `index`; nothing behind the last stamp.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<i64> {
        match self {
            // The last row's timestamp is an i64, so no row before it can wrap.
            Times::Regular { first, step } => {
                let index = i64::try_from(index).ok()?;
                Some(first.wrapping_add(step.wrapping_mul(index)))
            }
            Times::Stamps(stamps) => stamps.get(index).copied(),
        }
    }
}

/// Rows of one column that lie inside one window, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// When.
    pub times: Times<'a>,
    /// One entry per row; without meaning where the row has no value.
    pub values: &'a [f64],
    /// Which rows have a value; `None` is all of them.
    pub present: Option<Mask<'a>>,
}

impl<'a> Run<'a> {
    /// Rows that all have a value, one timestamp each.
    #[must_use]
    pub fn dense(times: &'a [i64], values: &'a [f64]) -> Run<'a> {
        Run { times: Times::Stamps(times), values, present: None }
    }

    /// Rows `rows` of a block's column; nothing where the field is absent, the column holds a summary
    /// instead of values, or the rows do not exist. O(1).
    #[must_use]
    pub fn of_column(
        times: &'a TimeColumn,
        column: &'a Column,
        rows: std::ops::Range<usize>,
    ) -> Option<Run<'a>> {
        let present = match &column.presence {
            Presence::None => return None,
            Presence::All => None,
            Presence::Some(words) => Some(Mask::new(words, rows.start, rows.len())),
        };
        let values = column.values.get(rows.clone())?;
        let times = match times {
            TimeColumn::Stamps(stamps) => Times::Stamps(stamps.get(rows)?),
            TimeColumn::Regular { step, .. } => {
                Times::Regular { first: times.get(rows.start)?, step: *step }
            }
            // No column of such a block has values.
            TimeColumn::Span { .. } => return None,
        };
        Some(Run { times, values, present })
    }

    /// From the first row to the last, whether they have a value or not; empty without rows.
    #[must_use]
    pub fn time_range(&self) -> TimeRange {
        match (self.times.get(0), self.values.len().checked_sub(1).and_then(|i| self.times.get(i)))
        {
            (Some(first), Some(last)) => TimeRange::from_inclusive(first, last),
            _ => TimeRange::EMPTY,
        }
    }
}

/// An aggregation over many slots at once. A slot is one (group, window) of the caller.
///
/// The life of a state: [`resize`](Self::resize), any number of [`accumulate`](Self::accumulate),
/// [`end_series`](Self::end_series), [`accumulate_summary`](Self::accumulate_summary) and
/// [`merge`](Self::merge), then [`finalize`](Self::finalize), which may be asked again, also after more has
/// come in. Slots at or above [`slots`](Self::slots) take nothing in and finalize to nothing.
pub trait Aggregation {
    /// Number of slots.
    fn slots(&self) -> usize;

    /// Makes it `slots` slots. New ones are empty, those that stay keep what they have. O(new slots).
    fn resize(&mut self, slots: usize);

    /// Takes in a run. Runs of one series come in order of time, with
    /// [`end_series`](Self::end_series) between two series. O(rows).
    fn accumulate(&mut self, slot: usize, run: &Run<'_>);

    /// The runs that follow are of another series. Only aggregations that compare neighbours care. O(1).
    fn end_series(&mut self) {}

    /// Takes in what an engine knows about a stretch, as if its values had been accumulated. Only for
    /// aggregations that a summary is enough for, see [`Function::takes_summaries`](crate::Function). O(1).
    fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
        let _ = (slot, summary);
        debug_assert!(false, "a summary does not hold what this aggregation needs");
    }

    /// Takes in slot `from_slot` of another state, which holds later series than this one does. O(1), but for
    /// aggregations that grow.
    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize);

    /// Bytes beyond those of an empty slot that taking `rows` values into `slot` will allocate, at most. The
    /// caller charges them before; nothing for aggregations whose states do not grow. O(1).
    fn growth(&self, slot: usize, rows: usize) -> usize {
        let _ = (slot, rows);
        0
    }

    /// As [`growth`](Self::growth), for [`merge`](Self::merge).
    fn merge_growth(&self, slot: usize, from: &Self, from_slot: usize) -> usize {
        let _ = (slot, from, from_slot);
        0
    }

    /// The answer of a slot, nothing where there is none. At most the order of what the state keeps changes.
    /// O(1), but for aggregations that grow.
    fn finalize(&mut self, slot: usize) -> Option<f64>;

    /// As [`finalize`](Self::finalize), but gives up once `stop` says so, with no answer or with a wrong one:
    /// for answers that take long to find.
    fn finalize_until(&mut self, slot: usize, stop: &dyn Fn() -> bool) -> Option<f64> {
        let _ = stop;
        self.finalize(slot)
    }

    /// Whether values came in and are too few for an answer: one value has no deviation.
    fn is_null(&self, slot: usize) -> bool {
        let _ = slot;
        false
    }

    /// Timestamp in ns of the point that a selector chose; nothing for other aggregations.
    fn time(&mut self, slot: usize) -> Option<i64> {
        let _ = slot;
        None
    }
}

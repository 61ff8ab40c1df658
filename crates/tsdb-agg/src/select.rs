//! Selectors: aggregations that choose one of the values, and know when it was.
//!
//! Ties are decided as InfluxDB decides them, so that merging is associative: of equal smallest (or
//! largest) values the earliest one is chosen, of first (or last) values with equal timestamps, which only
//! different series can have, the larger one.

use tsdb_core::Summary;

use crate::aggregate::{Aggregation, Run};
use crate::kernel;

/// Stands for "no value yet" in an array of timestamps: no point may have this time.
const ABSENT: i64 = i64::MAX;
const _: () = assert!(ABSENT > tsdb_core::time::MAX_TIME, "the mark must not be a valid time");

/// The chosen point of each slot.
#[derive(Debug, Clone, Default)]
struct Chosen {
    values: Vec<f64>,
    times: Vec<i64>,
}

impl Chosen {
    fn resize(&mut self, slots: usize) {
        self.values.resize(slots, 0.0);
        self.times.resize(slots, ABSENT);
    }

    fn get(&self, slot: usize) -> Option<(f64, i64)> {
        let time = self.times.get(slot).copied().filter(|time| *time != ABSENT)?;
        Some((self.values.get(slot).copied()?, time))
    }

    /// Takes the point where `beats(new, old)` holds, or the slot is empty.
    #[inline]
    fn offer(
        &mut self,
        slot: usize,
        new: (f64, i64),
        beats: impl Fn((f64, i64), (f64, i64)) -> bool,
    ) {
        let (Some(value), Some(time)) = (self.values.get_mut(slot), self.times.get_mut(slot))
        else {
            return;
        };
        if *time == ABSENT || beats(new, (*value, *time)) {
            (*value, *time) = new;
        }
    }
}

/// Smallest value.
pub type Min = Extreme<false>;

/// Largest value.
pub type Max = Extreme<true>;

/// [`Max`] or [`Min`]. Passes over NaN unless every value is NaN.
#[derive(Debug, Clone, Default)]
pub struct Extreme<const MAX: bool> {
    chosen: Chosen,
    untimed: bool,
}

impl<const MAX: bool> Extreme<MAX> {
    /// A state that does not keep the timestamps of what it chose, and so need not look for the rows: twice
    /// as fast. [`Aggregation::time`] has no answer then.
    #[must_use]
    pub fn untimed() -> Self {
        Self { untimed: true, ..Self::default() }
    }

    /// Whether the point `new` (value, time) is chosen rather than `old`.
    pub(crate) fn beats(new: (f64, i64), old: (f64, i64)) -> bool {
        let better = if MAX { new.0 > old.0 } else { new.0 < old.0 };
        let equal = new.0 == old.0 || (new.0.is_nan() && old.0.is_nan());
        better || (equal && new.1 < old.1) || (old.0.is_nan() && !new.0.is_nan())
    }

    /// The row of `run` that is chosen.
    pub(crate) fn choose(run: &Run<'_>) -> Option<usize> {
        let present = run.present.as_ref();
        let best = kernel::extreme::<MAX>(run.values, present)?;
        Self::row_of(run, best)
    }

    /// The first row with the value `best`; the first one at all when every value is NaN.
    fn row_of(run: &Run<'_>, best: f64) -> Option<usize> {
        let present = run.present.as_ref();
        kernel::position(run.values, present, best)
            .or_else(|| present.map_or(Some(0), kernel::Mask::first))
    }
}

impl<const MAX: bool> Aggregation for Extreme<MAX> {
    fn slots(&self) -> usize {
        self.chosen.times.len()
    }

    fn resize(&mut self, slots: usize) {
        self.chosen.resize(slots);
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        let present = run.present.as_ref();
        let Some(best) = kernel::extreme::<MAX>(run.values, present) else { return };
        // Most runs do not better a slot that has seen many: look for the row only when one may.
        let beaten = self
            .chosen
            .get(slot)
            .is_some_and(|(value, _)| if MAX { value > best } else { value < best });
        if beaten {
            return;
        }
        let row = if self.untimed { Some(0) } else { Self::row_of(run, best) };
        if let Some(time) = row.and_then(|row| run.times.get(row)) {
            self.chosen.offer(slot, (best, time), Self::beats);
        }
    }

    /// A summary does not say when its extreme was: its first timestamp stands in. Who needs the
    /// exact [`time`](Aggregation::time) asks the engine for values.
    fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
        let best = if MAX { summary.max } else { summary.min };
        self.chosen.offer(slot, (best + 0.0, summary.t_first), Self::beats);
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        if let Some(point) = from.chosen.get(from_slot) {
            self.chosen.offer(slot, point, Self::beats);
        }
    }

    fn finalize(&mut self, slot: usize) -> Option<f64> {
        self.chosen.get(slot).map(|(value, _)| value)
    }

    fn time(&mut self, slot: usize) -> Option<i64> {
        self.chosen.get(slot).map(|(_, time)| time).filter(|_| !self.untimed)
    }
}

/// Value with the smallest timestamp.
pub type First = End<false>;

/// Value with the largest timestamp.
pub type Last = End<true>;

/// [`Last`] or [`First`].
#[derive(Debug, Clone, Default)]
pub struct End<const LAST: bool> {
    chosen: Chosen,
}

impl<const LAST: bool> End<LAST> {
    /// Whether the point `new` (value, time) is chosen rather than `old`.
    pub(crate) fn beats(new: (f64, i64), old: (f64, i64)) -> bool {
        let further = if LAST { new.1 > old.1 } else { new.1 < old.1 };
        // NaN counts as smaller than any number, else merging would not be associative.
        let larger = new.0 > old.0 || (old.0.is_nan() && !new.0.is_nan());
        further || (new.1 == old.1 && larger)
    }

    /// The row of `run` that is chosen.
    pub(crate) fn choose(run: &Run<'_>) -> Option<usize> {
        match (&run.present, LAST) {
            (None, false) => (!run.values.is_empty()).then_some(0),
            (None, true) => run.values.len().checked_sub(1),
            (Some(mask), false) => mask.first(),
            (Some(mask), true) => mask.last(),
        }
    }
}

impl<const LAST: bool> Aggregation for End<LAST> {
    fn slots(&self) -> usize {
        self.chosen.times.len()
    }

    fn resize(&mut self, slots: usize) {
        self.chosen.resize(slots);
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        let point =
            Self::choose(run).and_then(|row| Some((*run.values.get(row)?, run.times.get(row)?)));
        if let Some(point) = point {
            self.chosen.offer(slot, point, Self::beats);
        }
    }

    fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
        let point =
            if LAST { (summary.last, summary.t_last) } else { (summary.first, summary.t_first) };
        self.chosen.offer(slot, point, Self::beats);
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        if let Some(point) = from.chosen.get(from_slot) {
            self.chosen.offer(slot, point, Self::beats);
        }
    }

    fn finalize(&mut self, slot: usize) -> Option<f64> {
        self.chosen.get(slot).map(|(value, _)| value)
    }

    fn time(&mut self, slot: usize) -> Option<i64> {
        self.chosen.get(slot).map(|(_, time)| time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen<A: Aggregation + Default>(runs: &[(&[i64], &[f64])]) -> Option<(i64, f64)> {
        let mut state = A::default();
        state.resize(1);
        for (times, values) in runs {
            state.accumulate(0, &Run::dense(times, values));
        }
        Some((state.time(0)?, state.finalize(0)?))
    }

    #[test]
    fn equal_extremes_choose_the_earliest() {
        let runs: [(&[i64], &[f64]); 3] =
            [(&[10, 20, 30], &[2.0, 5.0, 5.0]), (&[5, 15], &[1.0, 5.0]), (&[7], &[1.0])];
        assert_eq!(chosen::<Max>(&runs), Some((15, 5.0)));
        assert_eq!(chosen::<Min>(&runs), Some((5, 1.0)));
    }

    #[test]
    fn untimed_extremes_choose_the_same_values() {
        let mut state = Max::untimed();
        state.resize(1);
        state.accumulate(0, &Run::dense(&[10, 20, 30], &[2.0, 5.0, 1.0]));
        state.accumulate(0, &Run::dense(&[40, 50], &[4.0, 6.0]));
        assert_eq!((state.finalize(0), state.time(0)), (Some(6.0), None));
    }

    #[test]
    fn equal_times_choose_the_larger_value() {
        let runs: [(&[i64], &[f64]); 3] =
            [(&[10, 20], &[1.0, 2.0]), (&[10, 20], &[3.0, 1.0]), (&[10], &[f64::NAN])];
        assert_eq!(chosen::<First>(&runs), Some((10, 3.0)));
        assert_eq!(chosen::<Last>(&runs), Some((20, 2.0)));
    }

    #[test]
    fn extremes_pass_over_nan_unless_there_is_nothing_else() {
        let nan = f64::NAN;
        let runs: [(&[i64], &[f64]); 2] = [(&[1, 2], &[nan, nan]), (&[3, 4], &[nan, 7.0])];
        assert_eq!(chosen::<Max>(&runs), Some((4, 7.0)));
        assert_eq!(chosen::<Min>(&runs), Some((4, 7.0)));
        let (time, value) = chosen::<Min>(&runs[..1]).unwrap();
        assert!(time == 1 && value.is_nan());
        let (time, value) = chosen::<Last>(&runs[..1]).unwrap();
        assert!(time == 2 && value.is_nan());
    }
}

//! Counters, which only grow and sometimes begin again at 0: by how much they grew, and how fast. Whether a
//! field is a counter only the query knows.

use crate::aggregate::{Aggregation, Run};
use crate::basic::Compensated;
use crate::function::Function;
use crate::kernel;

/// The readings of one counter over a stretch of time: the partial state of rate and increase. Stretches of
/// one series that follow each other in time make one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// The earliest reading.
    pub first: f64,
    /// The latest reading.
    pub last: f64,
    /// When the earliest was taken, in ns.
    pub t_first: i64,
    /// When the latest was taken, in ns.
    pub t_last: i64,
    /// What the counter had reached each time it began again: the readings before a smaller one.
    pub resets: Compensated,
    /// How many readings.
    pub count: u64,
}

impl Stretch {
    /// The readings of a run. NaN is no reading; nothing without any. O(rows).
    #[must_use]
    pub fn of_run(run: &Run<'_>) -> Option<Stretch> {
        match &run.present {
            None if !kernel::has_nan(run.values) => Stretch::of_dense(run),
            None => Stretch::of_readings(run, run.values.iter().copied().enumerate()),
            Some(mask) => Stretch::of_readings(run, mask.rows(run.values)),
        }
    }

    fn of_dense(run: &Run<'_>) -> Option<Stretch> {
        let last_row = run.values.len().checked_sub(1)?;
        Some(Stretch {
            first: *run.values.first()?,
            last: *run.values.last()?,
            t_first: run.times.get(0)?,
            t_last: run.times.get(last_row)?,
            resets: kernel::resets(run.values),
            count: run.values.len() as u64,
        })
    }

    fn of_readings(run: &Run<'_>, readings: impl Iterator<Item = (usize, f64)>) -> Option<Stretch> {
        let mut stretch: Option<Stretch> = None;
        for (row, value) in readings.filter(|(_, value)| !value.is_nan()) {
            let Some(time) = run.times.get(row) else { break };
            let reading = Stretch::of_reading(time, value);
            match &mut stretch {
                Some(stretch) => stretch.extend(&reading),
                None => stretch = Some(reading),
            }
        }
        stretch
    }

    /// One reading; `time` in ns.
    #[must_use]
    pub fn of_reading(time: i64, value: f64) -> Stretch {
        Stretch {
            first: value,
            last: value,
            t_first: time,
            t_last: time,
            resets: Compensated::default(),
            count: 1,
        }
    }

    /// Takes in the stretch of the same series that follows in time. O(1).
    pub fn extend(&mut self, later: &Stretch) {
        debug_assert!(
            self.t_last < later.t_first,
            "stretches of a series follow each other in time"
        );
        if later.first < self.last {
            self.resets.add(self.last);
        }
        self.resets.merge(later.resets);
        (self.last, self.t_last) = (later.last, later.t_last);
        self.count += later.count;
    }

    /// By how much the counter grew from the first to the last reading, resets counted as growth from 0;
    /// nothing below two readings. What it grew before the first reading, and between the last reading before
    /// a reset and the reset, nobody knows: neither is guessed.
    #[must_use]
    pub fn increase(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let mut grown = self.resets;
        grown.add(self.last);
        grown.add(-self.first);
        Some(grown.value())
    }

    /// Growth per `unit_ns` (in ns, above 0) between the first and the last reading; nothing below two
    /// readings. Not extrapolated to the ends of a window.
    #[must_use]
    pub fn rate(&self, unit_ns: i64) -> Option<f64> {
        let elapsed = i128::from(self.t_last) - i128::from(self.t_first);
        self.increase().map(|grown| grown / (elapsed as f64 / unit_ns as f64))
    }
}

/// What is known of a slot.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    /// Over the series that have an answer.
    sum: Compensated,
    /// Series with an answer.
    answers: u32,
    /// Series with a reading.
    series: u32,
}

/// Rate or increase: of each series by itself, then the sum over the series of the slot. A fall between two
/// series is no reset, so [`Aggregation::end_series`] must stand between them.
#[derive(Debug, Clone, Default)]
pub struct Growth {
    /// In ns; nothing for the increase.
    unit_ns: Option<i64>,
    totals: Vec<Total>,
    /// The stretch of the current series that later runs may extend, and its slot. One is enough: a series
    /// comes in order of time, so it never comes back to a window.
    open: Option<(usize, Stretch)>,
}

impl Growth {
    /// Empty states of [`Function::Increase`].
    #[must_use]
    pub fn increase() -> Growth {
        Growth::default()
    }

    /// Empty states of [`Function::Rate`].
    #[must_use]
    pub fn rate(unit_ns: i64) -> Growth {
        Growth { unit_ns: Some(unit_ns), ..Growth::default() }
    }

    /// Which function this is the state of.
    pub(crate) fn function(&self) -> Function {
        self.unit_ns.map_or(Function::Increase, |unit_ns| Function::Rate { unit_ns })
    }

    fn answer(&self, stretch: &Stretch) -> Option<f64> {
        match self.unit_ns {
            Some(unit_ns) => stretch.rate(unit_ns),
            None => stretch.increase(),
        }
    }

    /// The total of a slot with the stretch that is still open in it.
    fn total(&self, slot: usize) -> Option<Total> {
        let mut total = *self.totals.get(slot)?;
        if let Some((_, stretch)) = self.open.filter(|(open, _)| *open == slot) {
            total.series = total.series.saturating_add(1);
            if let Some(answer) = self.answer(&stretch) {
                total.sum.add(answer);
                total.answers = total.answers.saturating_add(1);
            }
        }
        Some(total)
    }
}

impl Aggregation for Growth {
    fn slots(&self) -> usize {
        self.totals.len()
    }

    fn resize(&mut self, slots: usize) {
        self.totals.resize(slots, Total::default());
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        let Some(stretch) = Stretch::of_run(run) else { return };
        match &mut self.open {
            Some((open, earlier)) if *open == slot => earlier.extend(&stretch),
            _ => {
                self.end_series();
                self.open = Some((slot, stretch));
            }
        }
    }

    fn end_series(&mut self) {
        let Some((slot, _)) = self.open else { return };
        let total = self.total(slot);
        if let (Some(total), Some(place)) = (total, self.totals.get_mut(slot)) {
            *place = total;
        }
        self.open = None;
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        if let (Some(more), Some(total)) = (from.total(from_slot), self.totals.get_mut(slot)) {
            total.sum.merge(more.sum);
            total.answers = total.answers.saturating_add(more.answers);
            total.series = total.series.saturating_add(more.series);
        }
    }

    fn finalize(&mut self, slot: usize) -> Option<f64> {
        self.total(slot).filter(|total| total.answers > 0).map(|total| total.sum.value())
    }

    fn is_null(&self, slot: usize) -> bool {
        self.total(slot).is_some_and(|total| total.series > 0 && total.answers == 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Readings one second apart, from 1970 on.
    fn stretch(values: &[f64]) -> Option<Stretch> {
        let times: Vec<i64> = (0..values.len() as i64).map(|i| i * 1_000_000_000).collect();
        Stretch::of_run(&Run::dense(&times, values))
    }

    #[test]
    fn growth_counts_resets_from_zero() {
        let check = |values: &[f64], increase: Option<f64>, per_second: Option<f64>| {
            let stretch = stretch(values);
            let got = stretch.and_then(|s| Some((s.increase()?, s.rate(1_000_000_000)?)));
            assert_eq!(got, increase.zip(per_second), "{values:?}");
        };
        check(&[], None, None);
        check(&[5.0], None, None);
        check(&[5.0, 5.0], Some(0.0), Some(0.0));
        check(&[5.0, 8.0, 14.0], Some(9.0), Some(4.5));
        // 5 to 8, then again from 0 to 2.
        check(&[5.0, 8.0, 2.0], Some(5.0), Some(2.5));
        check(&[5.0, 0.0], Some(0.0), Some(0.0));
        check(&[3.0, 1.0, 1.0, 0.0, 4.0], Some(5.0), Some(1.25));
        // NaN is no reading, wherever it stands, and hides no reset.
        check(&[f64::NAN, 5.0, f64::NAN, 2.0, f64::NAN], Some(2.0), Some(1.0));
        check(&[f64::NAN, 5.0, f64::NAN], None, None);
        check(&[1.0, f64::INFINITY], Some(f64::INFINITY), Some(f64::INFINITY));
        // Small growth of a counter near 2^53 loses nothing.
        check(&[9_007_199_254_740_990.0, 9_007_199_254_740_991.0], Some(1.0), Some(1.0));
    }

    #[test]
    fn series_do_not_reset_each_other() {
        let mut state = Growth::rate(1_000_000_000);
        state.resize(2);
        let times = [0, 1_000_000_000];
        for values in [[100.0, 110.0], [1.0, 3.0], [7.0, 7.0]] {
            state.accumulate(0, &Run::dense(&times, &values));
            state.end_series();
        }
        assert_eq!(state.finalize(0), Some(12.0));
        // A series with one reading adds nothing, and alone makes a null.
        state.accumulate(0, &Run::dense(&times[..1], &[50.0]));
        state.accumulate(1, &Run::dense(&times[1..], &[60.0]));
        assert_eq!((state.finalize(0), state.is_null(0)), (Some(12.0), false));
        assert_eq!((state.finalize(1), state.is_null(1)), (None, true));
        let mut other = Growth::rate(1_000_000_000);
        other.resize(1);
        other.accumulate(0, &Run::dense(&times, &[0.0, 1.0]));
        other.merge(0, &state, 0);
        assert_eq!(other.finalize(0), Some(13.0));
    }

    #[test]
    fn the_ends_of_time_do_not_wrap() {
        let ends = [tsdb_core::time::MIN_TIME, tsdb_core::time::MAX_TIME];
        let rate = Stretch::of_run(&Run::dense(&ends, &[0.0, 1.0])).unwrap().rate(i64::MAX);
        assert!((rate.unwrap() - 0.5).abs() < 1e-9, "{rate:?}");
    }

    proptest! {
        /// One stretch, or consecutive pieces that are joined in any grouping.
        #[test]
        fn consecutive_stretches_are_one(
            values in prop::collection::vec(prop_oneof![
                4 => (0..30_u32).prop_map(f64::from), 1 => Just(f64::NAN),
            ], 1..60),
            cuts in prop::collection::vec(0.0..1.0_f64, 0..4),
        ) {
            #[expect(clippy::cast_possible_truncation, reason = "the share is below 1")]
            let place = |cut: &f64| (cut * values.len() as f64) as usize;
            let mut cuts: Vec<usize> = cuts.iter().map(place).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let times: Vec<i64> = (0..values.len() as i64).map(|i| i * 7).collect();
            let mut joined: Option<Stretch> = None;
            for pair in cuts.windows(2) {
                let (from, to) = (pair[0], pair[1]);
                let piece = Stretch::of_run(&Run::dense(&times[from..to], &values[from..to]));
                match (&mut joined, piece) {
                    (Some(joined), Some(piece)) => joined.extend(&piece),
                    (joined, piece) => *joined = joined.or(piece),
                }
            }
            prop_assert_eq!(joined, Stretch::of_run(&Run::dense(&times, &values)));
            let readings: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
            let steps = readings.windows(2).map(|w| if w[1] < w[0] { w[1] } else { w[1] - w[0] });
            let expected = (readings.len() > 1).then(|| steps.sum::<f64>());
            let increase = joined.and_then(|joined| joined.increase());
            prop_assert_eq!(increase.map(|x| x + 0.0), expected.map(|x| x + 0.0));
        }
    }
}

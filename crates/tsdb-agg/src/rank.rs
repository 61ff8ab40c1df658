//! Exact percentile and median. They keep all values of a slot, and so take memory in proportion to what
//! comes in, which the caller charges before (see [`Aggregation::growth`]). `sketch` has the one that does not.

use std::cmp::Ordering;

use crate::aggregate::{Aggregation, Run};
use crate::function::Function;
use crate::kernel;
use crate::nth::select_nth;
use crate::percent::Percent;

/// Which of the values is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// InfluxQL's `percentile()`: of n values in ascending order the one with the number
    /// `floor(n * percent / 100 + 0.5)`, counted from 1; equal values in order of time. There is none with the
    /// number 0, which small percentages of few values give.
    NearestRank(Percent),
    /// InfluxQL's `median()`: the middle one, or the middle of the middle two.
    Median,
}

/// Percentile or median of all values. Numbers only: NaN is passed over, and is the answer where there is
/// nothing else.
#[derive(Debug, Clone)]
pub struct Ranked {
    rule: Rule,
    timed: bool,
    slots: Vec<Points>,
    /// The point that was chosen last, and of which slot: who asks for its value asks for its time next.
    chosen: Option<(usize, Option<i64>)>,
}

/// Values that are looked at between two questions whether to stop.
const VALUES_PER_STEP: usize = 1 << 16;

/// The values of a slot in any order, with their times in ns where those are asked for.
#[derive(Debug, Clone)]
enum Points {
    Values(Vec<f64>),
    Timed(Vec<(f64, i64)>),
}

impl Ranked {
    /// Empty states that keep the time of each value, so that [`Aggregation::time`] has an answer.
    #[must_use]
    pub fn timed(rule: Rule) -> Ranked {
        Ranked { rule, timed: true, slots: Vec::new(), chosen: None }
    }

    /// Empty states that keep values only: half the memory.
    #[must_use]
    pub fn untimed(rule: Rule) -> Ranked {
        Ranked { rule, timed: false, slots: Vec::new(), chosen: None }
    }

    /// Which function this is the state of.
    pub(crate) fn function(&self) -> Function {
        match self.rule {
            Rule::NearestRank(percent) => Function::Percentile(percent),
            Rule::Median => Function::Median,
        }
    }

    /// The place in ascending order that the rule means among how many numbers.
    fn nearest(&self, slot: usize, stop: &dyn Fn() -> bool) -> Option<(usize, usize)> {
        let points = self.slots.get(slot)?;
        let numbers = points.numbers(stop)?;
        // Without any number, the first NaN stands for all of them.
        let count = if numbers == 0 { points.len() } else { numbers };
        let last = count.checked_sub(1)?;
        let place = match self.rule {
            Rule::NearestRank(percent) => nearest_rank(count, percent)?,
            Rule::Median => last / 2,
        };
        Some((place, count))
    }
}

/// `floor(count * percent / 100 + 0.5) - 1`, in InfluxDB's order of operations, since the last digit decides.
#[must_use]
pub fn nearest_rank(count: usize, percent: Percent) -> Option<usize> {
    let rank = (count as f64 * percent.get() / 100.0 + 0.5).floor();
    #[expect(clippy::cast_possible_truncation, reason = "whole, and between 0 and the count")]
    let rank = rank as usize;
    rank.checked_sub(1).filter(|place| *place < count)
}

impl Points {
    fn len(&self) -> usize {
        match self {
            Points::Values(values) => values.len(),
            Points::Timed(points) => points.len(),
        }
    }

    /// How many are not NaN; nothing if it was stopped.
    fn numbers(&self, stop: &dyn Fn() -> bool) -> Option<usize> {
        fn count<T>(items: &[T], stop: &dyn Fn() -> bool, is_nan: fn(&T) -> bool) -> Option<usize> {
            let steps = items.chunks(VALUES_PER_STEP);
            steps
                .map(|step| (!stop()).then(|| step.iter().filter(|item| !is_nan(item)).count()))
                .sum()
        }
        match self {
            Points::Values(values) => count(values, stop, |value| value.is_nan()),
            Points::Timed(points) => count(points, stop, |point| point.0.is_nan()),
        }
    }

    /// The point at `place` in ascending order, by reordering; nothing if it was stopped. O(points).
    fn at(&mut self, place: usize, stop: &dyn Fn() -> bool) -> Option<(f64, Option<i64>)> {
        match self {
            Points::Values(values) => {
                let by_value = |a: &f64, b: &f64| ascending(*a, *b);
                let found = select_nth(values, place, by_value, stop);
                values.get(place).filter(|_| found).map(|value| (*value, None))
            }
            Points::Timed(points) => {
                let by_value_then_time =
                    |a: &(f64, i64), b: &(f64, i64)| ascending(a.0, b.0).then(a.1.cmp(&b.1));
                let found = select_nth(points, place, by_value_then_time, stop);
                points.get(place).filter(|_| found).map(|(value, time)| (*value, Some(*time)))
            }
        }
    }

    /// Bytes that making room for `more` points takes.
    fn growth(&self, more: usize) -> usize {
        let (capacity, bytes) = match self {
            Points::Values(values) => (values.capacity(), size_of::<f64>()),
            Points::Timed(points) => (points.capacity(), size_of::<(f64, i64)>()),
        };
        (capacity_for(capacity, self.len() + more) - capacity).saturating_mul(bytes)
    }

    fn extend(&mut self, run: &Run<'_>) {
        let count = kernel::count(run.values, run.present.as_ref());
        let more = usize::try_from(count).unwrap_or(usize::MAX);
        match self {
            Points::Values(values) => {
                make_room(values, more);
                match &run.present {
                    None => values.extend_from_slice(run.values),
                    Some(mask) => values.extend(mask.iter(run.values)),
                }
            }
            Points::Timed(points) => {
                make_room(points, more);
                let timed = |(row, value): (usize, f64)| Some((value, run.times.get(row)?));
                match &run.present {
                    None => {
                        points.extend(run.values.iter().copied().enumerate().filter_map(timed));
                    }
                    Some(mask) => points.extend(mask.rows(run.values).filter_map(timed)),
                }
            }
        }
    }

    fn append(&mut self, more: &Points) {
        match (self, more) {
            (Points::Values(values), Points::Values(more)) => {
                make_room(values, more.len());
                values.extend_from_slice(more);
            }
            (Points::Timed(points), Points::Timed(more)) => {
                make_room(points, more.len());
                points.extend_from_slice(more);
            }
            _ => debug_assert!(false, "values with times and without are never merged"),
        }
    }
}

/// Numbers in order, whatever the sign of a zero; NaN behind them.
#[must_use]
pub fn ascending(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The capacity that a vector gets which must hold `wanted` values: half as much again as it had, so that
/// growing costs O(1) per value, and less is taken in vain than by doubling.
#[must_use]
pub fn capacity_for(capacity: usize, wanted: usize) -> usize {
    if wanted <= capacity { capacity } else { wanted.max(capacity + capacity / 2) }
}

/// Makes room for `more` values, as [`capacity_for`] says.
pub(crate) fn make_room<T>(values: &mut Vec<T>, more: usize) {
    let wanted = capacity_for(values.capacity(), values.len().saturating_add(more));
    values.reserve_exact(wanted - values.len());
}

impl Aggregation for Ranked {
    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn resize(&mut self, slots: usize) {
        let timed = self.timed;
        let empty = || if timed { Points::Timed(Vec::new()) } else { Points::Values(Vec::new()) };
        self.slots.resize_with(slots, empty);
    }

    fn accumulate(&mut self, slot: usize, run: &Run<'_>) {
        self.chosen = None;
        if let Some(points) = self.slots.get_mut(slot) {
            points.extend(run);
        }
    }

    fn merge(&mut self, slot: usize, from: &Self, from_slot: usize) {
        self.chosen = None;
        if let (Some(points), Some(more)) = (self.slots.get_mut(slot), from.slots.get(from_slot)) {
            points.append(more);
        }
    }

    fn growth(&self, slot: usize, rows: usize) -> usize {
        self.slots.get(slot).map_or(0, |points| points.growth(rows))
    }

    fn merge_growth(&self, slot: usize, from: &Self, from_slot: usize) -> usize {
        let more = from.slots.get(from_slot).map_or(0, Points::len);
        self.growth(slot, more)
    }

    fn finalize(&mut self, slot: usize) -> Option<f64> {
        self.finalize_until(slot, &|| false)
    }

    fn finalize_until(&mut self, slot: usize, stop: &dyn Fn() -> bool) -> Option<f64> {
        let (place, count) = self.nearest(slot, stop)?;
        let points = self.slots.get_mut(slot)?;
        let (value, time) = points.at(place, stop)?;
        self.chosen = Some((slot, time));
        if self.rule != Rule::Median || count % 2 == 1 {
            return Some(value + 0.0);
        }
        let (next, _) = points.at(place + 1, stop)?;
        Some(middle(value, next) + 0.0)
    }

    fn time(&mut self, slot: usize) -> Option<i64> {
        let Rule::NearestRank(_) = self.rule else { return None };
        if self.chosen.is_none_or(|(chosen, _)| chosen != slot) {
            self.finalize(slot)?;
        }
        self.chosen.and_then(|(_, time)| time)
    }
}

/// The middle of two values in order, computed as InfluxDB does where that does not overflow.
fn middle(low: f64, high: f64) -> f64 {
    let half = (high - low) / 2.0;
    // Equal infinities have no difference, and the difference of the greatest numbers is infinite.
    if half.is_finite() { low + half } else { low / 2.0 + high / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rule: Rule, values: &[f64]) -> (Option<f64>, Option<i64>) {
        let times: Vec<i64> = (0..values.len() as i64).map(|i| i * 10).collect();
        let mut state = Ranked::timed(rule);
        let mut untimed = Ranked::untimed(rule);
        state.resize(1);
        untimed.resize(1);
        // In two pieces, the second of them merged.
        let (a, b) = values.split_at(values.len() / 3);
        let mut later = state.clone();
        state.accumulate(0, &Run::dense(&times[..a.len()], a));
        later.accumulate(0, &Run::dense(&times[a.len()..], b));
        state.merge(0, &later, 0);
        untimed.accumulate(0, &Run::dense(&times, values));
        let value = state.finalize(0);
        assert_eq!(value.map(f64::to_bits), untimed.finalize(0).map(f64::to_bits), "{values:?}");
        assert_eq!(untimed.time(0), None);
        // Asking again gives the same.
        assert_eq!(value.map(f64::to_bits), state.finalize(0).map(f64::to_bits));
        (value, state.time(0))
    }

    #[test]
    fn percentiles_are_values_by_nearest_rank() {
        let values = [30.0, 10.0, 20.0, 50.0, 40.0];
        let check = |percent: f64, expected: Option<(f64, i64)>| {
            let rule = Rule::NearestRank(Percent::new(percent).unwrap());
            let got = answer(rule, &values);
            assert_eq!(got, (expected.map(|e| e.0), expected.map(|e| e.1)), "{percent}");
        };
        check(0.0, None);
        check(9.9, None);
        check(10.0, Some((10.0, 10)));
        check(29.9, Some((10.0, 10)));
        check(30.0, Some((20.0, 20)));
        check(50.0, Some((30.0, 0)));
        check(89.9, Some((40.0, 40)));
        check(90.0, Some((50.0, 30)));
        check(100.0, Some((50.0, 30)));
    }

    #[test]
    fn equal_values_are_in_order_of_time() {
        let rule = Rule::NearestRank(Percent::HALF);
        assert_eq!(answer(rule, &[2.0, 1.0, 1.0, 2.0]), (Some(1.0), Some(20)));
        assert_eq!(answer(rule, &[7.0, 7.0]), (Some(7.0), Some(0)));
    }

    #[test]
    fn the_median_is_the_middle() {
        let check = |values: &[f64], expected: Option<f64>| {
            let (got, time) = answer(Rule::Median, values);
            assert_eq!((got, time), (expected, None), "{values:?}");
        };
        check(&[], None);
        check(&[3.0], Some(3.0));
        check(&[3.0, 1.0], Some(2.0));
        check(&[3.0, 1.0, 2.0], Some(2.0));
        check(&[4.0, 1.0, 3.0, 2.0], Some(2.5));
        check(&[f64::MAX, f64::MIN], Some(0.0));
        check(&[f64::MAX, f64::MAX], Some(f64::MAX));
        check(&[f64::INFINITY, f64::INFINITY, 1.0], Some(f64::INFINITY));
        check(&[f64::INFINITY, f64::INFINITY], Some(f64::INFINITY));
        check(&[-0.0], Some(0.0));
        check(&[f64::NAN, 1.0, f64::NAN, 3.0], Some(2.0));
        assert!(answer(Rule::Median, &[f64::NAN; 2]).0.unwrap().is_nan());
        assert!(answer(Rule::Median, &[f64::NEG_INFINITY, f64::INFINITY]).0.unwrap().is_nan());
    }

    #[test]
    fn nan_is_passed_over_unless_there_is_nothing_else() {
        let rule = Rule::NearestRank(Percent::new(100.0).unwrap());
        assert_eq!(answer(rule, &[f64::NAN, 1.0, f64::NAN]), (Some(1.0), Some(10)));
        let (value, time) = answer(rule, &[f64::NAN, f64::NAN]);
        assert!(value.unwrap().is_nan() && time.is_some());
    }

    #[test]
    fn an_answer_that_is_not_waited_for_is_none() {
        for rule in [Rule::Median, Rule::NearestRank(Percent::HALF)] {
            let mut state = Ranked::timed(rule);
            state.resize(1);
            state.accumulate(0, &Run::dense(&[1, 2], &[3.0, 4.0]));
            assert_eq!(state.finalize_until(0, &|| true), None);
            assert_eq!(state.finalize_until(0, &|| false), state.finalize(0));
            // The time that was found before is not that of what came in since.
            let before = state.time(0);
            state.accumulate(0, &Run::dense(&[3, 4], &[1.0, 0.0]));
            assert!(rule == Rule::Median || state.time(0) != before);
        }
    }

    #[test]
    fn growth_is_known_before_it_happens() {
        let mut state = Ranked::timed(Rule::Median);
        state.resize(1);
        let (mut known, times) = (0, [1, 2, 3, 4, 5, 6, 7]);
        for rows in [1, 3, 7, 0, 2, 7, 7, 7] {
            known += state.growth(0, rows);
            state.accumulate(0, &Run::dense(&times[..rows], &[0.0; 7][..rows]));
            let Points::Timed(points) = &state.slots[0] else { panic!("not timed") };
            assert_eq!(known, points.capacity() * size_of::<(f64, i64)>());
        }
        assert_eq!(state.growth(0, 0), 0);
        assert_eq!(state.growth(9, 5), 0);
    }
}

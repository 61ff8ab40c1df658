//! [`States`]: the states of one aggregation chosen at run time. Dispatch is once per call, and a call
//! covers a whole block of a column.

use tsdb_core::Summary;
use tsdb_core::storage::{Column, TimeColumn};

use crate::aggregate::{Aggregation, Run};
use crate::basic::{Count, Mean, Sum};
use crate::select::{First, Last, Max, Min};
use crate::window::Segment;

/// The aggregations that [`States`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Number of values.
    Count,
    /// Sum of the values.
    Sum,
    /// Their arithmetic mean.
    Mean,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The oldest value.
    First,
    /// The newest value.
    Last,
}

impl Function {
    /// All functions.
    pub const ALL: [Function; 7] = [
        Function::Count,
        Function::Sum,
        Function::Mean,
        Function::Min,
        Function::Max,
        Function::First,
        Function::Last,
    ];

    /// Name as in query text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Mean => "mean",
            Function::Min => "min",
            Function::Max => "max",
            Function::First => "first",
            Function::Last => "last",
        }
    }

    /// Whether the answer is one of the points, with a timestamp of its own.
    #[must_use]
    pub fn is_selector(self) -> bool {
        matches!(self, Function::Min | Function::Max | Function::First | Function::Last)
    }

    /// Whether answers are whole numbers.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self == Function::Count
    }

    /// Whether a [`Summary`] holds all that the function needs. With `times`, the timestamps of chosen
    /// points are needed too.
    #[must_use]
    pub fn takes_summaries(self, times: bool) -> bool {
        !(times && matches!(self, Function::Min | Function::Max))
    }

    /// The row of `run` that a selector chooses: its place in the run. For callers that want more of the row
    /// than its value; they compare rows of several runs with [`Function::prefers`]. Nothing for a function
    /// that is no selector. O(rows).
    #[must_use]
    pub fn choose(self, run: &Run<'_>) -> Option<usize> {
        match self {
            Function::Min => Min::choose(run),
            Function::Max => Max::choose(run),
            Function::First => First::choose(run),
            Function::Last => Last::choose(run),
            Function::Count | Function::Sum | Function::Mean => None,
        }
    }

    /// Whether a selector takes the point `new` (value, time in ns) rather than `old`; never for a function
    /// that is no selector.
    #[must_use]
    pub fn prefers(self, new: (f64, i64), old: (f64, i64)) -> bool {
        match self {
            Function::Min => Min::beats(new, old),
            Function::Max => Max::beats(new, old),
            Function::First => First::beats(new, old),
            Function::Last => Last::beats(new, old),
            Function::Count | Function::Sum | Function::Mean => false,
        }
    }

    /// Bytes of state per slot.
    #[must_use]
    pub fn slot_bytes(self) -> usize {
        match self {
            Function::Count => 8,
            Function::Sum | Function::Mean => 24,
            Function::Min | Function::Max | Function::First | Function::Last => 16,
        }
    }
}

/// The states of one [`Function`] over many slots.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant is the state of the function of its name")]
pub enum States {
    Count(Count),
    Sum(Sum),
    Mean(Mean),
    Min(Min),
    Max(Max),
    First(First),
    Last(Last),
}

/// Runs `$body` with `$state` bound to the state inside, whatever its type.
macro_rules! dispatch {
    ($self:expr, $state:ident => $body:expr) => {
        match $self {
            States::Count($state) => $body,
            States::Sum($state) => $body,
            States::Mean($state) => $body,
            States::Min($state) => $body,
            States::Max($state) => $body,
            States::First($state) => $body,
            States::Last($state) => $body,
        }
    };
}

impl States {
    /// `slots` empty states of `function`.
    #[must_use]
    pub fn new(function: Function, slots: usize) -> States {
        let mut states = match function {
            Function::Count => States::Count(Count::default()),
            Function::Sum => States::Sum(Sum::default()),
            Function::Mean => States::Mean(Mean::default()),
            Function::Min => States::Min(Min::default()),
            Function::Max => States::Max(Max::default()),
            Function::First => States::First(First::default()),
            Function::Last => States::Last(Last::default()),
        };
        states.resize(slots);
        states
    }

    /// As [`States::new`] for callers that do not ask for the times of chosen points: smallest and largest
    /// values are found in half the time.
    #[must_use]
    pub fn untimed(function: Function, slots: usize) -> States {
        let mut states = match function {
            Function::Min => States::Min(Min::untimed()),
            Function::Max => States::Max(Max::untimed()),
            other => States::new(other, 0),
        };
        states.resize(slots);
        states
    }

    /// Which aggregation this is.
    #[must_use]
    pub fn function(&self) -> Function {
        match self {
            States::Count(_) => Function::Count,
            States::Sum(_) => Function::Sum,
            States::Mean(_) => Function::Mean,
            States::Min(_) => Function::Min,
            States::Max(_) => Function::Max,
            States::First(_) => Function::First,
            States::Last(_) => Function::Last,
        }
    }

    /// Number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        dispatch!(self, state => state.slots())
    }

    /// Makes it `slots` slots; see [`Aggregation::resize`].
    pub fn resize(&mut self, slots: usize) {
        dispatch!(self, state => state.resize(slots));
    }

    /// Takes in a column of a block: each segment's rows go to slot `base + window`. A column that holds a
    /// summary instead of values gives nothing; see [`States::accumulate_summary`].
    pub fn accumulate(
        &mut self,
        base: usize,
        segments: &[Segment],
        times: &TimeColumn,
        column: &Column,
    ) {
        dispatch!(self, state => accumulate_all(state, base, segments, times, column));
    }

    /// Takes in a summary; see [`Aggregation::accumulate_summary`].
    pub fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
        dispatch!(self, state => state.accumulate_summary(slot, summary));
    }

    /// Takes in `count` slots of `from`, from `from_base` on, into those from `base` on. States of another
    /// function are left alone. O(count).
    pub fn merge(&mut self, base: usize, from: &States, from_base: usize, count: usize) {
        match (self, from) {
            (States::Count(to), States::Count(from)) => merge_all(to, base, from, from_base, count),
            (States::Sum(to), States::Sum(from)) => merge_all(to, base, from, from_base, count),
            (States::Mean(to), States::Mean(from)) => merge_all(to, base, from, from_base, count),
            (States::Min(to), States::Min(from)) => merge_all(to, base, from, from_base, count),
            (States::Max(to), States::Max(from)) => merge_all(to, base, from, from_base, count),
            (States::First(to), States::First(from)) => merge_all(to, base, from, from_base, count),
            (States::Last(to), States::Last(from)) => merge_all(to, base, from, from_base, count),
            (to, from) => debug_assert!(
                false,
                "states of {} cannot take in states of {}",
                to.function().name(),
                from.function().name()
            ),
        }
    }

    /// Appends the answers of `count` slots from `base` on to `out`.
    pub fn finalize(&self, base: usize, count: usize, out: &mut Vec<Option<f64>>) {
        dispatch!(self, state => out.extend((base..base + count).map(|slot| state.finalize(slot))));
    }

    /// Timestamp of the point that a selector chose; see [`Aggregation::time`].
    #[must_use]
    pub fn time(&self, slot: usize) -> Option<i64> {
        dispatch!(self, state => state.time(slot))
    }
}

fn accumulate_all<A: Aggregation>(
    state: &mut A,
    base: usize,
    segments: &[Segment],
    times: &TimeColumn,
    column: &Column,
) {
    for segment in segments {
        if let Some(run) = Run::of_column(times, column, segment.start..segment.end) {
            state.accumulate(base + segment.window, &run);
        }
    }
}

fn merge_all<A: Aggregation>(to: &mut A, base: usize, from: &A, from_base: usize, count: usize) {
    for index in 0..count {
        to.merge(base + index, from, from_base + index);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tsdb_core::TimeRange;
    use tsdb_core::storage::Windows;

    use super::*;
    use crate::WindowGrid;

    /// Rows of one series: increasing times, some without a value.
    fn any_series() -> impl Strategy<Value = Vec<(i64, Option<f64>)>> {
        let value = prop::option::weighted(0.8, (-20..20_i32).prop_map(f64::from));
        prop::collection::btree_map(0..1000_i64, value, 0..80)
            .prop_map(|rows| rows.into_iter().collect())
    }

    fn grid() -> WindowGrid {
        WindowGrid::covering(Windows { every: 70, offset: 3 }, TimeRange::new(0, 1000), 100)
            .unwrap()
    }

    /// Takes `rows` in as blocks of at most `block` rows.
    fn take_in(states: &mut States, rows: &[(i64, Option<f64>)], block: usize) {
        let mut segments = Vec::new();
        for rows in rows.chunks(block) {
            let times = TimeColumn::Stamps(rows.iter().map(|(t, _)| *t).collect());
            let mut column = Column::default();
            column.fill(rows.iter().map(|(_, value)| *value));
            segments.clear();
            grid().split(&times, &mut segments);
            states.accumulate(0, &segments, &times, &column);
        }
    }

    fn answers(states: &States) -> Vec<(Option<f64>, Option<i64>)> {
        let mut values = Vec::new();
        states.finalize(0, states.slots(), &mut values);
        values.into_iter().enumerate().map(|(slot, value)| (value, states.time(slot))).collect()
    }

    /// What the function means, point by point.
    fn naive(function: Function, points: &[(i64, f64)]) -> Option<(f64, i64)> {
        let sum = || points.iter().map(|(_, v)| v).sum::<f64>();
        let pick = |less: fn(&(i64, f64), &(i64, f64)) -> bool| {
            points.iter().copied().reduce(|a, b| if less(&b, &a) { b } else { a })
        };
        let chosen = match function {
            _ if points.is_empty() => return None,
            Function::Count => return Some((points.len() as f64, 0)),
            Function::Sum => return Some((sum(), 0)),
            Function::Mean => return Some((sum() / points.len() as f64, 0)),
            Function::Min => pick(|a, b| a.1 < b.1 || (a.1 == b.1 && a.0 < b.0)),
            Function::Max => pick(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)),
            Function::First => pick(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 > b.1)),
            Function::Last => pick(|a, b| a.0 > b.0 || (a.0 == b.0 && a.1 > b.1)),
        };
        chosen.map(|(t, v)| (v, t))
    }

    proptest! {
        /// In one state, in blocks of any size, in partial states that are merged in any grouping: the
        /// answer is that of the naive evaluation. Values are small integers, so that sums are exact.
        #[test]
        fn partial_aggregation(
            series in prop::collection::vec(any_series(), 0..5), block in 1..90_usize,
            cut in 0..5_usize,
        ) {
            let slots = grid().count();
            for function in Function::ALL {
                let mut whole = States::new(function, slots);
                let (mut left, mut right) = (States::new(function, slots), States::new(function, slots));
                for (index, rows) in series.iter().enumerate() {
                    take_in(&mut whole, rows, 4096);
                    take_in(if index < cut { &mut left } else { &mut right }, rows, block);
                }
                left.merge(0, &right, 0, slots);
                prop_assert_eq!(answers(&whole), answers(&left), "{:?}", function);
                for (slot, answer) in answers(&whole).into_iter().enumerate() {
                    let points: Vec<(i64, f64)> = series.iter().flatten()
                        .filter(|(t, _)| grid().index_of(*t) == Some(slot))
                        .filter_map(|(t, value)| Some((*t, (*value)?)))
                        .collect();
                    let expected = naive(function, &points);
                    prop_assert_eq!(answer.0, expected.map(|e| e.0), "{:?} slot {}", function, slot);
                    if function.is_selector() {
                        prop_assert_eq!(answer.1, expected.map(|e| e.1), "{:?} slot {}", function, slot);
                    }
                }
            }
        }

        /// A summary stands for the values that it summarises.
        #[test]
        fn summaries_answer_like_values(
            values in prop::collection::vec(-100.0..100.0_f64, 1..50), more in any_series(),
        ) {
            let summary = Summary {
                count: values.len() as u64,
                sum: values.iter().sum(),
                min: values.iter().copied().fold(f64::INFINITY, f64::min),
                max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                first: values[0],
                last: values[values.len() - 1],
                t_first: 0,
                t_last: values.len() as i64 - 1,
            };
            let segment = [Segment { window: 1, start: 0, end: values.len() }];
            let times = TimeColumn::Stamps((0..values.len() as i64).collect());
            let mut column = Column::default();
            column.fill(values.iter().map(|value| Some(*value)));
            for function in Function::ALL {
                let answer = |summarised: bool| {
                    let mut states = States::new(function, grid().count());
                    take_in(&mut states, &more, 7);
                    if summarised {
                        states.accumulate_summary(1, &summary);
                    } else {
                        states.accumulate(0, &segment, &times, &column);
                    }
                    answers(&states)[1]
                };
                let (from_values, from_summary) = (answer(false), answer(true));
                let (a, b) = (from_values.0.unwrap(), from_summary.0.unwrap());
                prop_assert!((a - b).abs() <= 1e-9, "{:?}: {} {}", function, a, b);
                if function.takes_summaries(true) && function.is_selector() {
                    prop_assert_eq!(from_values.1, from_summary.1);
                }
            }
        }
    }

    #[test]
    fn empty_dataset_handling() {
        let absent = Column::default();
        let times = TimeColumn::Regular { first: 0, step: 10, count: 20 };
        let mut segments = Vec::new();
        grid().split(&times, &mut segments);
        for function in Function::ALL {
            let mut states = States::new(function, grid().count());
            let nothing = vec![(None, None); grid().count()];
            assert_eq!(answers(&states), nothing, "{function:?}: nothing came in");
            states.accumulate(0, &segments, &times, &absent);
            assert_eq!(answers(&states), nothing, "{function:?}: the field is absent");
            take_in(&mut states, &[(5, None), (6, None)], 10);
            assert_eq!(answers(&states), nothing, "{function:?}: rows without a value");
            states.accumulate(0, &[], &TimeColumn::default(), &absent);
            states.merge(0, &States::new(function, 100), 0, grid().count());
            assert_eq!(answers(&states), nothing, "{function:?}: merged with nothing");
            take_in(&mut states, &[(5, Some(2.0))], 10);
            states.merge(0, &States::new(function, 100), 0, grid().count());
            assert!(answers(&states)[1].0.is_some(), "{function:?}: one value is enough");
            assert_eq!(States::new(function, 0).slots(), 0);
            assert_eq!(answers(&States::new(function, 0)), []);
        }
    }
}

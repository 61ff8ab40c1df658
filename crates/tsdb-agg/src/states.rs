//! [`States`]: the states of one aggregation chosen at run time. Dispatch is once per call, and a call
//! covers a whole block of a column.

use tsdb_core::Summary;
use tsdb_core::storage::{Column, TimeColumn};

use crate::aggregate::{Aggregation, Run};
use crate::basic::{Count, Mean, Sum};
use crate::counter::Growth;
use crate::function::Function;
use crate::kernel;
use crate::rank::{Ranked, Rule};
use crate::select::{First, Last, Max, Min};
use crate::sketch::Sketches;
use crate::spread::Spread;
use crate::tally::{Question, Tally};
use crate::variance::{Measure, Variance};
use crate::window::Segment;

/// Slots that are answered for between two questions whether to stop.
const SLOTS_PER_STEP: usize = 1024;

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
    Spread(Spread),
    Variance(Variance),
    Growth(Growth),
    Ranked(Ranked),
    Sketches(Sketches),
    Tally(Tally),
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
            States::Spread($state) => $body,
            States::Variance($state) => $body,
            States::Growth($state) => $body,
            States::Ranked($state) => $body,
            States::Sketches($state) => $body,
            States::Tally($state) => $body,
        }
    };
}

/// Runs `$body` with `$to` and `$from` bound to two states of one type; `$other` if their types differ.
macro_rules! dispatch_pair {
    ($pair:expr, ($to:ident, $from:ident) => $body:expr, $other:expr) => {
        match $pair {
            (States::Count($to), States::Count($from)) => $body,
            (States::Sum($to), States::Sum($from)) => $body,
            (States::Mean($to), States::Mean($from)) => $body,
            (States::Min($to), States::Min($from)) => $body,
            (States::Max($to), States::Max($from)) => $body,
            (States::First($to), States::First($from)) => $body,
            (States::Last($to), States::Last($from)) => $body,
            (States::Spread($to), States::Spread($from)) => $body,
            (States::Variance($to), States::Variance($from)) => $body,
            (States::Growth($to), States::Growth($from)) => $body,
            (States::Ranked($to), States::Ranked($from)) => $body,
            (States::Sketches($to), States::Sketches($from)) => $body,
            (States::Tally($to), States::Tally($from)) => $body,
            (to, from) => {
                debug_assert!(
                    false,
                    "states of {} cannot take in states of {}",
                    to.function().name(),
                    from.function().name()
                );
                $other
            }
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
            Function::Spread => States::Spread(Spread::default()),
            Function::Stddev => States::Variance(Variance::of(Measure::Deviation)),
            Function::Variance => States::Variance(Variance::of(Measure::Sample)),
            Function::PopulationVariance => States::Variance(Variance::of(Measure::Population)),
            Function::Rate { unit_ns } => States::Growth(Growth::rate(unit_ns)),
            Function::Increase => States::Growth(Growth::increase()),
            Function::Percentile(percent) => {
                States::Ranked(Ranked::timed(Rule::NearestRank(percent)))
            }
            Function::Median => States::Ranked(Ranked::untimed(Rule::Median)),
            Function::ApproxPercentile(percent) => States::Sketches(Sketches::new(percent)),
            Function::Mode => States::Tally(Tally::new(Question::Mode)),
            Function::CountDistinct => States::Tally(Tally::new(Question::CountDistinct)),
        };
        states.resize(slots);
        states
    }

    /// As [`States::new`] for callers that do not ask for the times of chosen points: smallest and largest
    /// values are found in half the time, percentiles take half the memory.
    #[must_use]
    pub fn untimed(function: Function, slots: usize) -> States {
        let mut states = match function {
            Function::Min => States::Min(Min::untimed()),
            Function::Max => States::Max(Max::untimed()),
            Function::Percentile(percent) => {
                States::Ranked(Ranked::untimed(Rule::NearestRank(percent)))
            }
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
            States::Spread(_) => Function::Spread,
            States::Variance(variance) => variance.function(),
            States::Growth(growth) => growth.function(),
            States::Ranked(ranked) => ranked.function(),
            States::Sketches(sketches) => sketches.function(),
            States::Tally(tally) => tally.function(),
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

    /// Bytes that [`States::accumulate`] of the same will allocate at most, to be charged before; see
    /// [`Aggregation::growth`].
    #[must_use]
    pub fn growth(
        &self,
        base: usize,
        segments: &[Segment],
        times: &TimeColumn,
        column: &Column,
    ) -> usize {
        let (States::Ranked(_) | States::Sketches(_) | States::Tally(_)) = self else { return 0 };
        let rows = |segment: &Segment| {
            let run = Run::of_column(times, column, segment.start..segment.end)?;
            usize::try_from(kernel::count(run.values, run.present.as_ref())).ok()
        };
        let each = segments.iter().filter_map(|segment| Some((segment, rows(segment)?)));
        each.map(
            |(segment, rows)| dispatch!(self, state => state.growth(base + segment.window, rows)),
        )
        .sum()
    }

    /// Bytes that the states take beyond those of empty slots, where they may take less than
    /// [`States::growth`] said: what was charged in vain can be given back. Nothing for other functions.
    #[must_use]
    pub fn heap_bytes(&self) -> Option<usize> {
        match self {
            States::Tally(tally) => Some(tally.heap_bytes()),
            _ => None,
        }
    }

    /// The different values of a slot; see [`Tally::distinct`]. None for other functions.
    #[must_use]
    pub fn distinct(&self, slot: usize, newest_first: bool) -> Vec<f64> {
        match self {
            States::Tally(tally) => tally.distinct(slot, newest_first),
            _ => Vec::new(),
        }
    }

    /// The blocks that follow are of another series; see [`Aggregation::end_series`].
    pub fn end_series(&mut self) {
        dispatch!(self, state => state.end_series());
    }

    /// Takes in a summary; see [`Aggregation::accumulate_summary`].
    pub fn accumulate_summary(&mut self, slot: usize, summary: &Summary) {
        dispatch!(self, state => state.accumulate_summary(slot, summary));
    }

    /// Takes in `count` slots of `from`, from `from_base` on, into those from `base` on. States of another
    /// function are left alone. O(count).
    pub fn merge(&mut self, base: usize, from: &States, from_base: usize, count: usize) {
        dispatch_pair!(
            (self, from),
            (to, from) => merge_all(to, base, from, from_base, count),
            ()
        );
    }

    /// Bytes that [`States::merge`] of the same will allocate at most, to be charged before.
    #[must_use]
    pub fn merge_growth(
        &self,
        base: usize,
        from: &States,
        from_base: usize,
        count: usize,
    ) -> usize {
        dispatch_pair!(
            (self, from),
            (to, from) => {
                (0..count).map(|slot| to.merge_growth(base + slot, from, from_base + slot)).sum()
            },
            0
        )
    }

    /// Appends the answers of `count` slots from `base` on to `out`.
    pub fn finalize(&mut self, base: usize, count: usize, out: &mut Vec<Option<f64>>) {
        dispatch!(self, state => out.extend((base..base + count).map(|slot| state.finalize(slot))));
    }

    /// As [`States::finalize`], but gives up once `stop` says so, with fewer answers or wrong ones.
    pub fn finalize_until(
        &mut self,
        base: usize,
        count: usize,
        stop: &dyn Fn() -> bool,
        out: &mut Vec<Option<f64>>,
    ) {
        let mut slots = (base..base + count).peekable();
        while slots.peek().is_some() && !stop() {
            let some = slots.by_ref().take(SLOTS_PER_STEP);
            dispatch!(self, state => {
                out.extend(some.map(|slot| state.finalize_until(slot, stop)));
            });
        }
    }

    /// Whether values came in and are too few for an answer; see [`Aggregation::is_null`].
    #[must_use]
    pub fn is_null(&self, slot: usize) -> bool {
        dispatch!(self, state => state.is_null(slot))
    }

    /// Timestamp of the point that a selector chose; see [`Aggregation::time`].
    #[must_use]
    pub fn time(&mut self, slot: usize) -> Option<i64> {
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
mod tests;

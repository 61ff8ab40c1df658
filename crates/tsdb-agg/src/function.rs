//! [`Function`]: the aggregations by name, and what a planner must know of them. Their states are in
//! `states`.

use crate::aggregate::Run;
use crate::percent::Percent;
use crate::select::{First, Last, Max, Min};
use crate::sketch::Sketches;
use crate::tally::Tally;

/// An aggregation with its parameter.
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
    /// The largest value less the smallest.
    Spread,
    /// Standard deviation of a sample.
    Stddev,
    /// Variance of a sample.
    Variance,
    /// Variance of a whole population.
    PopulationVariance,
    /// Growth of counters per unit of time.
    Rate {
        /// The unit in ns, above 0.
        unit_ns: i64,
    },
    /// Growth of counters.
    Increase,
    /// The value that so many percent of the values are at most.
    Percentile(Percent),
    /// The middle value.
    Median,
    /// About the value that so many percent of the values are at most.
    ApproxPercentile(Percent),
    /// The most frequent value.
    Mode,
    /// Number of different values.
    CountDistinct,
}

impl Function {
    /// All functions, with usual parameters.
    pub const ALL: [Function; 18] = [
        Function::Count,
        Function::Sum,
        Function::Mean,
        Function::Min,
        Function::Max,
        Function::First,
        Function::Last,
        Function::Spread,
        Function::Stddev,
        Function::Variance,
        Function::PopulationVariance,
        Function::Rate { unit_ns: tsdb_core::time::SECOND },
        Function::Increase,
        Function::Percentile(Percent::HALF),
        Function::Median,
        Function::ApproxPercentile(Percent::HALF),
        Function::Mode,
        Function::CountDistinct,
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
            Function::Spread => "spread",
            Function::Stddev => "stddev",
            Function::Variance => "variance",
            Function::PopulationVariance => "var_pop",
            Function::Rate { .. } => "rate",
            Function::Increase => "increase",
            Function::Percentile(_) => "percentile",
            Function::Median => "median",
            Function::ApproxPercentile(_) => "approx_percentile",
            Function::Mode => "mode",
            Function::CountDistinct => "count_distinct",
        }
    }

    /// Whether the answer is one of the points, with a timestamp of its own.
    #[must_use]
    pub fn is_selector(self) -> bool {
        use Function::{First, Last, Max, Min, Percentile};
        matches!(self, Min | Max | First | Last | Percentile(_))
    }

    /// Whether answers are whole numbers.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Function::Count | Function::CountDistinct)
    }

    /// Whether a [`Summary`](tsdb_core::Summary) holds all that the function needs. With `times`, the
    /// timestamps of chosen points are needed too.
    #[must_use]
    pub fn takes_summaries(self, times: bool) -> bool {
        match self {
            Function::Count
            | Function::Sum
            | Function::Mean
            | Function::First
            | Function::Last
            | Function::Spread => true,
            Function::Min | Function::Max => !times,
            Function::Stddev
            | Function::Variance
            | Function::PopulationVariance
            | Function::Rate { .. }
            | Function::Increase
            | Function::Percentile(_)
            | Function::Median
            | Function::ApproxPercentile(_)
            | Function::Mode
            | Function::CountDistinct => false,
        }
    }

    /// Whether a slot can have values that are too few for an answer, see
    /// [`is_null`](crate::Aggregation::is_null).
    #[must_use]
    pub fn may_be_null(self) -> bool {
        use Function::{Increase, Rate, Stddev, Variance};
        matches!(self, Stddev | Variance | Rate { .. } | Increase)
    }

    /// Whether the memory of a slot grows with the values that come in, without bound.
    #[must_use]
    pub fn keeps_values(self) -> bool {
        use Function::{CountDistinct, Median, Mode, Percentile};
        matches!(self, Percentile(_) | Median | Mode | CountDistinct)
    }

    /// The row of `run` that a selector chooses: its place in the run. For callers that want more of the row
    /// than its value; they compare rows of several runs with [`Function::prefers`]. Nothing for a function
    /// that is no selector, and for a percentile, which cannot choose before it has seen all. O(rows).
    #[must_use]
    pub fn choose(self, run: &Run<'_>) -> Option<usize> {
        match self {
            Function::Min => Min::choose(run),
            Function::Max => Max::choose(run),
            Function::First => First::choose(run),
            Function::Last => Last::choose(run),
            _ => None,
        }
    }

    /// Whether a selector takes the point `new` (value, time in ns) rather than `old`; never for a function
    /// that [`Function::choose`] chooses nothing for.
    #[must_use]
    pub fn prefers(self, new: (f64, i64), old: (f64, i64)) -> bool {
        match self {
            Function::Min => Min::beats(new, old),
            Function::Max => Max::beats(new, old),
            Function::First => First::beats(new, old),
            Function::Last => Last::beats(new, old),
            _ => false,
        }
    }

    /// Bytes of state per slot. What some states take beyond, as they grow, their
    /// [`growth`](crate::Aggregation::growth) says.
    #[must_use]
    pub fn slot_bytes(self) -> usize {
        match self {
            Function::Count => 8,
            Function::Min | Function::Max | Function::First | Function::Last => 16,
            Function::Sum | Function::Mean | Function::Rate { .. } | Function::Increase => 24,
            Function::Spread
            | Function::Stddev
            | Function::Variance
            | Function::PopulationVariance
            | Function::Percentile(_)
            | Function::Median => 32,
            Function::ApproxPercentile(_) => Sketches::SLOT_BYTES,
            Function::Mode | Function::CountDistinct => Tally::SLOT_BYTES,
        }
    }
}

//! What one statement may cost.

use crate::Error;

/// Limits of one statement; exceeding one ends the statement with an error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Most series that a SELECT may touch. The keys of a million series take some 100 MiB.
    pub series_max: u64,
    /// Most values that a SELECT may read, counted after decoding; those that summaries answer
    /// for are free. The default is some seconds of work on one core.
    pub samples_max: u64,
    /// Most windows between the bounds of a GROUP BY time().
    pub buckets_max: u64,
    /// Most rows in the answer to a statement, before LIMIT.
    pub rows_max: u64,
    /// Most values that a SELECT may be about to read, by the engine's estimate, which counts chunks whole and
    /// also what summaries will answer for. No limit by default.
    pub estimate_max: u64,
    /// From so many values on, by the engine's estimate, a SELECT runs on several threads. Below, handing
    /// work over costs more than it gains.
    pub parallel_samples_min: u64,
}

impl Default for QueryLimits {
    fn default() -> Self {
        QueryLimits {
            series_max: 1_000_000,
            samples_max: 10_000_000_000,
            buckets_max: 1_000_000,
            rows_max: 10_000_000,
            estimate_max: u64::MAX,
            parallel_samples_min: 1_000_000,
        }
    }
}

impl QueryLimits {
    /// These limits, and those of what takes a millisecond at most where its pages are in memory.
    pub(crate) fn quick(self) -> QueryLimits {
        QueryLimits {
            series_max: self.series_max.min(64),
            samples_max: self.samples_max.min(500_000),
            buckets_max: self.buckets_max.min(1000),
            rows_max: self.rows_max.min(1000),
            estimate_max: self.estimate_max.min(500_000),
            ..self
        }
    }
}

/// A limit of [`QueryLimits`] by its name, which is that of the flag that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Series,
    Samples,
    Buckets,
    Rows,
}

impl Limit {
    /// The error of a statement that needs more.
    pub(crate) fn exceeded(self, wanted: u64, allowed: u64) -> Error {
        let (name, remedy) = match self {
            Limit::Series => ("query-series", "add conditions on tags, or raise --query-series"),
            Limit::Samples => {
                ("query-samples", "narrow the time range or the series, or raise --query-samples")
            }
            Limit::Buckets => (
                "query-buckets",
                "widen the windows, narrow the time range, or raise --query-buckets",
            ),
            Limit::Rows => (
                "query-rows",
                "add a LIMIT, narrow the time range or aggregate, or raise --query-rows",
            ),
        };
        Error::limit(name, wanted, allowed, remedy)
    }
}

/// Most parts that a scan is cut into. Which rows are summed together depends on the parts, so their
/// number depends on the data and these constants alone, never on the machine.
pub(crate) const PARTS_MAX: u64 = 16;

//! Aggregations with mergeable partial states, windows over time, functions along sequences of points, and fill.
//!
//! What is here: the [`Aggregation`] trait and its implementations ([`Count`], [`Sum`], [`Mean`], [`Min`],
//! [`Max`], [`First`], [`Last`], [`Spread`], [`Variance`], [`Growth`] of counters, the exact percentiles
//! [`Ranked`], the approximate [`Sketches`], the different values [`Tally`]), the loops over slices behind them ([`kernel`]), the arithmetic of
//! windows ([`WindowGrid`]), functions along sequences of points ([`Transformation`]), areas ([`Integral`]), forecasts ([`Forecast`]) and what stands in windows without values
//! ([`Fill`]). [`States`] picks one aggregation by its [`Function`] and dispatches once per block and column.
//!
//! What is not here: series, groups, plans, query text. A *slot* is a number; that slot 7 is the
//! third window of the group `host=a` only the caller knows.
//!
//! Rules that all aggregations follow:
//!
//! - States are plain arrays, one entry per slot; nothing is allocated per sample or per window. Percentiles
//!   are the exception, and say before how much they will take.
//! - Accumulating a run at once, in pieces, or in pieces into two states that are merged afterwards gives the
//!   same answer: exactly for count, min, max, first, last, spread and exact percentiles, within the error of
//!   compensated arithmetic for the others, and within the error of the approximation for approximate
//!   percentiles. Pieces come in the order of series, so the same pieces give the same bits on any number of
//!   threads.
//! - A slot without a value finalizes to nothing, never to zero or NaN. So does one with too few values for
//!   an answer (a deviation of one value, a rate of one reading), which says so.
//! - NaN is a value: count counts it, sum, mean and deviations become NaN by it, first and last return it. Min,
//!   max, spread and percentiles pass over it and are NaN only where every value is; to a counter it is no
//!   reading. Infinities take part as numbers do.

mod aggregate;
mod basic;
mod change;
mod counter;
mod error;
mod fill;
mod function;
mod holt_winters;
mod indicator;
mod integral;
pub mod kernel;
mod nelder_mead;
mod nth;
mod percent;
mod rank;
mod running;
mod select;
mod sketch;
mod spread;
mod states;
mod tally;
mod transform;
mod variance;
mod window;

pub use aggregate::{Aggregation, Run, Times};
pub use basic::{Compensated, Count, Mean, Sum};
pub use change::Change;
pub use counter::{Growth, Stretch};
pub use error::{Error, Result};
pub use fill::Fill;
pub use function::Function;
pub use holt_winters::Forecast;
pub use indicator::{Indicator, IndicatorKind, Warmup};
pub use integral::{Bounds, Integral};
pub use nth::select_nth;
pub use percent::Percent;
pub use rank::{Ranked, Rule, ascending, capacity_for, nearest_rank};
pub use select::{First, Last, Max, Min};
pub use sketch::{DIGEST_SIZE, EXACT_MAX, Sketches};
pub use spread::Spread;
pub use states::States;
pub use tally::{Question, Tally};
pub use transform::{Transformation, Transformer};
pub use variance::{Measure, Moments, Variance};
pub use window::{Segment, WindowGrid, clip};

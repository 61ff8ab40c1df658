//! Aggregations with mergeable partial states, windows over time, and fill.
//!
//! What is here: the [`Aggregation`] trait and its implementations ([`Count`], [`Sum`], [`Mean`],
//! [`Min`], [`Max`], [`First`], [`Last`]), the loops over slices behind them ([`kernel`]), the
//! arithmetic of windows ([`WindowGrid`]) and what stands in windows without values ([`Fill`]).
//! [`States`] picks one aggregation by its [`Function`] and dispatches once per block and column.
//!
//! What is not here: series, groups, plans, query text. A *slot* is a number; that slot 7 is the
//! third window of the group `host=a` only the caller knows.
//!
//! Rules that all aggregations follow:
//!
//! - States are plain arrays, one entry per slot; nothing is allocated per sample or per window.
//! - Accumulating a run at once, in pieces, or in pieces into two states that are merged afterwards
//!   gives the same answer: exactly for count, min, max, first and last, and within the error of a
//!   compensated sum for sum and mean. Pieces come in the order of series, so the same pieces give
//!   the same bits on any number of threads.
//! - A slot without a value finalizes to nothing, never to zero or NaN.
//! - NaN is a value: count counts it, sum and mean become NaN by it, first and last return it. Min and
//!   max pass over it and are NaN only where every value is. Infinities take part as numbers do.

mod aggregate;
mod basic;
mod error;
mod fill;
pub mod kernel;
mod select;
mod states;
mod window;

pub use aggregate::{Aggregation, Run, Times};
pub use basic::{Compensated, Count, Mean, Sum};
pub use error::{Error, Result};
pub use fill::Fill;
pub use select::{First, Last, Max, Min};
pub use states::{Function, States};
pub use window::{Segment, WindowGrid};

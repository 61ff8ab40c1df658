//! Functions that give points of their own: transformations, areas, forecasts, different values, samples. Each is
//! a stream of points; streams that stand side by side are put together by time, in `assemble`. Here is what they
//! are made of: rows, which are kept, and answers of windows, which are folded.

use tsdb_agg::{Forecast, Transformation};
use tsdb_core::Block;
use tsdb_core::storage::SelectedSeries;

use super::expr::ValueExpr;
use super::fold::{CallPlan, Fold};
use super::rows::{Output, Rows, RowsPlan};
use super::scan::Sink;
use crate::Result;

/// The streams of a scan.
#[derive(Debug)]
pub(crate) struct StreamsPlan {
    /// The columns whose points are kept.
    pub(crate) rows: RowsPlan,
    /// The distinct calls whose answers are needed.
    pub(crate) calls: Vec<CallPlan>,
    /// The distinct streams.
    pub(crate) streams: Vec<StreamPlan>,
    /// The columns, with the streams as inputs.
    pub(crate) outputs: Vec<ValueExpr>,
}

impl StreamsPlan {
    /// The column of the scan that the kept column of that number is.
    pub(crate) fn scanned(&self, kept: usize) -> Option<usize> {
        let Some(Output::Value(expr)) = self.rows.outputs.get(kept) else { return None };
        match expr {
            ValueExpr::Input(column) => Some(*column),
            ValueExpr::Truncate(inner) => match &**inner {
                ValueExpr::Input(column) => Some(*column),
                _ => None,
            },
            _ => None,
        }
    }
}

/// One stream of points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamPlan {
    /// Where the points come from.
    pub(crate) source: Source,
    /// What is made of them, the first of it first.
    pub(crate) steps: Vec<Step>,
}

/// Where points come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Points of the column of that number among those that are kept.
    Points(usize, Take),
    /// The answers of the call of that number.
    Call(usize),
    /// The different values that the call of that number has seen.
    Distinct(usize),
}

/// What of the points of a column is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// All.
    All,
    /// The area below them.
    Integral {
        /// What times are counted in, in ns.
        unit_ns: i64,
    },
    /// So many of them by chance.
    Sample {
        /// How many of each window.
        count: usize,
        /// What the chance begins with.
        seed: u64,
    },
}

/// A function along the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// One that makes at most a point of each.
    Transformation(Transformation),
    /// One that goes beyond them.
    Forecast(Forecast),
}

impl Step {
    /// Whether a window more is taken in than is shown.
    pub(crate) fn takes_window_before(self) -> bool {
        match self {
            Step::Transformation(transformation) => transformation.takes_window_before(),
            Step::Forecast(_) => false,
        }
    }
}

impl StreamPlan {
    /// Windows beyond those that are shown that are taken in.
    pub(crate) fn lead(&self) -> usize {
        self.steps.iter().filter(|step| step.takes_window_before()).count()
    }

    /// Whether the values are whole numbers.
    pub(crate) fn is_whole(&self, calls: &[CallPlan]) -> bool {
        let is_count = match self.source {
            Source::Call(call) => calls.get(call).is_some_and(CallPlan::is_whole),
            Source::Points(..) | Source::Distinct(_) => false,
        };
        self.steps.iter().fold(is_count, |of_whole, step| match step {
            Step::Transformation(transformation) => transformation.is_whole(of_whole),
            Step::Forecast(_) => false,
        })
    }
}

/// What streams are made of.
#[derive(Debug)]
pub(crate) struct Streams<'p> {
    /// The points that are kept.
    pub(crate) rows: Rows<'p>,
    /// The calls.
    pub(crate) fold: Fold,
}

impl Sink for Streams<'_> {
    fn series(&mut self, number: u32, series: &SelectedSeries) -> Result<()> {
        self.rows.series(number, series)?;
        self.fold.series(number, series)
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        self.rows.block(block)?;
        self.fold.block(block)
    }
}

/// A number by chance, the same for the same seed and place: the mixing function of SplitMix64 (G. Steele, D. Lea
/// and C. Flood, Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) fn chance(seed: u64, place: u64) -> u64 {
    let mut mixed = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

//! The logical plan of a SELECT, as data: what is scanned, what becomes of it, how the answer is shown.
//! `build` makes it from the syntax tree, `optimise` pushes work down into the scans, `run` carries it out.

mod build;
mod columns;
mod optimise;

use std::sync::Arc;

use tsdb_agg::{Change, Fill};
use tsdb_core::TimeRange;
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{FieldPredicate, GroupBy, Order, Want, Windows};
use tsdb_core::time::MIN_TIME;
use tsdb_ql::Page;

pub(crate) use build::plan;

use crate::op::expr::ValueExpr;
use crate::op::filter::RowFilter;
use crate::op::fold::CallPlan;
use crate::op::rows::{Output, RowsPlan};
use crate::scope::Place;

/// A SELECT, ready to run.
#[derive(Debug)]
pub(crate) struct SelectPlan {
    /// One per measurement, in the order of the answer.
    pub(crate) scans: Vec<ScanPlan>,
    /// Names of the columns behind `time`.
    pub(crate) columns: Vec<Arc<str>>,
    /// Tags that tell groups apart, sorted.
    pub(crate) group_keys: Vec<Arc<str>>,
    /// `tz()`
    pub(crate) time_zone: Option<String>,
    /// Which stretch of time is shown, and how.
    pub(crate) frame: Frame,
}

/// Which stretch of time is shown, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    /// Rows that count. With windows it ends at now() unless the query says otherwise.
    pub(crate) time: TimeRange,
    /// Whether the query says where time begins.
    pub(crate) has_start: bool,
    /// `GROUP BY time()`
    pub(crate) windows: Option<Windows>,
    /// Windows before the first one that is shown which some call takes in, for a change to begin with.
    pub(crate) lead: usize,
    /// `fill()`
    pub(crate) fill: Fill,
    /// `ORDER BY time`
    pub(crate) order: Order,
    /// `LIMIT` and its kin
    pub(crate) page: Page,
}

impl Frame {
    /// Where the rows begin (in ns) that a call takes in which needs `lead` windows before the first one that
    /// is shown. As in InfluxQL so many widths before the start of time, which need not be that of a window.
    pub(crate) fn start_of(&self, lead: usize) -> i64 {
        let (true, Some(windows)) = (self.has_start, self.windows) else { return self.time.start };
        let before = i64::try_from(lead).ok().and_then(|lead| lead.checked_mul(windows.every));
        let start = before.and_then(|before| self.time.start.checked_sub(before));
        start.unwrap_or(MIN_TIME).max(MIN_TIME)
    }

    /// The rows that are read: those that count, and those of the windows before them.
    pub(crate) fn scanned(&self) -> TimeRange {
        // Nothing has nothing before it.
        if self.time.is_empty() {
            return self.time;
        }
        TimeRange::new(self.start_of(self.lead), self.time.end)
    }
}

/// The part of a plan that concerns one measurement.
#[derive(Debug)]
pub(crate) struct ScanPlan {
    /// What is scanned.
    pub(crate) place: Place,
    /// Series.
    pub(crate) tags: TagFilter,
    /// Columns.
    pub(crate) fields: Vec<Arc<str>>,
    /// What rows must fulfil beside the tags.
    pub(crate) filter: Option<RowFilter>,
    /// Parts of `filter` that let an engine skip chunks.
    pub(crate) predicates: Vec<FieldPredicate>,
    /// What becomes of the rows.
    pub(crate) work: Work,
    /// Order in which a series is read.
    pub(crate) order: Order,
    /// Most rows that are needed of each series.
    pub(crate) limit_per_series: Option<u64>,
    /// Whether summaries will do.
    pub(crate) want: Want,
    /// The rules of the optimiser that apply, in words.
    pub(crate) rules: Vec<&'static str>,
}

/// What becomes of the rows of a scan.
#[derive(Debug)]
pub(crate) enum Work {
    /// They are shown.
    Rows(RowsPlan),
    /// They are aggregated; outputs have the calls as inputs.
    Fold {
        /// The distinct calls.
        calls: Vec<CallPlan>,
        /// The columns.
        outputs: Vec<ValueExpr>,
    },
    /// Each is compared with the one before; outputs have the changes as inputs.
    Changes {
        /// The columns of the scan.
        rows: RowsPlan,
        /// The distinct changes.
        changes: Vec<ChangePlan>,
        /// The columns.
        outputs: Vec<ValueExpr>,
    },
    /// One of each group and window is shown. Outputs have the selector's value as input 0 and the columns
    /// of the scan behind it.
    Choose {
        /// The selector.
        call: CallPlan,
        /// The columns.
        outputs: Vec<Output>,
    },
}

/// The change of one column from point to point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangePlan {
    pub(crate) change: Change,
    /// Number of the column in the scan.
    pub(crate) column: usize,
}

impl ScanPlan {
    /// Whether memory grows with the values that are read, beyond what the answer needs.
    pub(crate) fn keeps_values(&self) -> bool {
        match &self.work {
            Work::Fold { calls, .. } => calls.iter().any(|call| call.function.keeps_values()),
            Work::Choose { call, .. } => call.function.keeps_values(),
            Work::Rows(_) | Work::Changes { .. } => false,
        }
    }
}

impl SelectPlan {
    /// How the engine is to group.
    pub(crate) fn group_by(&self) -> GroupBy {
        if self.group_keys.is_empty() {
            GroupBy::Nothing
        } else {
            GroupBy::Tags(self.group_keys.clone())
        }
    }
}

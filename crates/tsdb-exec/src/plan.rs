//! The logical plan of a SELECT, as data: what is scanned, what becomes of it, how the answer is shown.
//! `build` makes it from the syntax tree, `optimise` pushes work down into the scans, `run` carries it out.

mod build;
mod columns;
mod compile;
mod functions;
mod optimise;
mod rules;
mod subquery;
mod zone;

use std::sync::Arc;

use tsdb_agg::Fill;
use tsdb_core::TimeRange;
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{FieldPredicate, GroupBy, Order, Want, Windows};
use tsdb_ql::Page;

pub(crate) use build::{frame, plan, plan_within};
pub(crate) use columns::needs_tags;
pub(crate) use functions::any;
pub(crate) use rules::Rule;
pub(crate) use subquery::subqueries;

use crate::derived::Derived;
use crate::op::choose_many::ManyPlan;
use crate::op::expr::ValueExpr;
use crate::op::filter::RowFilter;
use crate::op::fold::CallPlan;
use crate::op::rows::{Output, RowsPlan};
use crate::op::streams::StreamsPlan;
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
    /// Outside of it nothing is read; windows before the first one that lie there are empty. In a subquery it is what
    /// the query around it reads.
    pub(crate) within: TimeRange,
    /// Of a subquery all rows count, also those that bear the time of a window that begins before `time`, and forecasts
    /// behind it: the stretch of its rows and of `time` together.
    pub(crate) span: Option<TimeRange>,
    /// Time of a row about all others, without windows: where the query says that time begins, else 0.
    pub(crate) time_of_all: i64,
    /// Whether the query says where time begins.
    pub(crate) has_start: bool,
    /// `GROUP BY time()`
    pub(crate) windows: Option<Windows>,
    /// Windows before the first one that is shown, in the order of the answer, which some call takes in: what is made
    /// of them begins with something before it.
    pub(crate) lead: usize,
    /// `fill()`
    pub(crate) fill: Fill,
    /// `ORDER BY time`
    pub(crate) order: Order,
    /// `LIMIT` and its kin
    pub(crate) page: Page,
}

impl Frame {
    /// The rows that a call takes in which needs `lead` windows before the first one that is shown: those that
    /// count, and so many widths more at the end where the answer begins. As in InfluxQL these are counted from
    /// the bounds of time, which need not be those of a window.
    pub(crate) fn range(&self, lead: usize) -> TimeRange {
        if let Some(span) = self.span
            && (self.windows.is_none() || lead == self.lead)
        {
            return span;
        }
        let Some(windows) = self.windows.filter(|_| lead > 0 && !self.time.is_empty()) else {
            // Nothing has nothing before it.
            return self.time;
        };
        let all = TimeRange::all();
        let wide = i64::try_from(lead).ok().and_then(|lead| lead.checked_mul(windows.every));
        let wide = wide.unwrap_or(i64::MAX);
        let TimeRange { start, end } = self.time;
        match self.order {
            Order::Ascending if !self.has_start => self.time,
            Order::Ascending => TimeRange::new(start.saturating_sub(wide).max(all.start), end),
            Order::Descending => TimeRange::new(start, end.saturating_add(wide).min(all.end)),
        }
    }

    /// The frame of a part of its rows, without windows.
    pub(crate) fn at(&self, time: TimeRange) -> Frame {
        Frame { time, span: self.span.map(|_| time), ..self.clone() }
    }

    /// The frame of a scan of what subqueries gave of a measurement.
    fn of_rows(&self, derived: &Derived, measurement: &str) -> Frame {
        let (mut frame, stretch) = (self.clone(), derived.stretch(measurement));
        if stretch.is_empty() {
            return frame;
        }
        let time = &mut frame.time;
        let (start, end) = (time.start.min(stretch.start), time.end.max(stretch.end));
        frame.span = Some(TimeRange::new(start, end));
        if self.has_start {
            time.start = derived.first_time(time.start);
        }
        frame
    }

    /// The windows of all calls.
    pub(crate) fn covered(&self) -> TimeRange {
        self.range(self.lead)
    }

    /// The rows that are read: those that count, and those of the windows before them.
    pub(crate) fn scanned(&self) -> TimeRange {
        if self.span.is_some() { self.covered() } else { self.covered().intersect(&self.within) }
    }
}

/// The part of a plan that concerns one measurement.
#[derive(Debug)]
pub(crate) struct ScanPlan {
    /// What is scanned.
    pub(crate) place: Place,
    /// Where it is scanned, if not in the store.
    pub(crate) derived: Option<Arc<Derived>>,
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
    /// Whether something in it was worked out beforehand.
    pub(crate) has_folded: bool,
    /// Order in which a series is read.
    pub(crate) order: Order,
    /// Most rows that are needed of each series.
    pub(crate) limit_per_series: Option<u64>,
    /// Whether summaries will do.
    pub(crate) want: Want,
    /// The rules of the optimiser that take effect.
    pub(crate) rules: Vec<Rule>,
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
    /// Functions go along them.
    Streams(StreamsPlan),
    /// One of each group and window is shown. Outputs have the selector's value as input 0 and the columns
    /// of the scan behind it.
    Choose {
        /// The selector.
        call: CallPlan,
        /// The columns.
        outputs: Vec<Output>,
    },
    /// The best of each group and window are shown; outputs as above.
    ChooseMany {
        /// Which.
        many: ManyPlan,
        /// The columns.
        outputs: Vec<Output>,
    },
}

impl ScanPlan {
    /// Whether memory grows with the values that are read, beyond what the answer needs.
    pub(crate) fn keeps_values(&self) -> bool {
        match &self.work {
            Work::Fold { calls, .. } => calls.iter().any(|call| call.function.keeps_values()),
            Work::Choose { call, .. } => call.function.keeps_values(),
            Work::Streams(plan) => plan.calls.iter().any(|call| call.function.keeps_values()),
            Work::Rows(_) | Work::ChooseMany { .. } => false,
        }
    }
}

impl SelectPlan {
    /// The frame of one of its scans.
    pub(crate) fn frame_of(&self, scan: &ScanPlan) -> Frame {
        match &scan.derived {
            None => self.frame.clone(),
            Some(derived) => self.frame.of_rows(derived, &scan.place.measurement),
        }
    }

    /// How the engine is to group.
    pub(crate) fn group_by(&self) -> GroupBy {
        if self.group_keys.is_empty() {
            GroupBy::Nothing
        } else {
            GroupBy::Tags(self.group_keys.clone())
        }
    }
}

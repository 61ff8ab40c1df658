//! Pushes work down into a scan: the engine reads less, the answer stays the same. Each rule says why it
//! is right. (Time, tags and predicates on values are pushed down by `build`, since they are how the
//! language takes a condition apart.)

use tsdb_agg::Function;
use tsdb_core::storage::{Order, Want};

use super::{Frame, ScanPlan, Work};

/// Applies all rules to `scan`, of which `frame` is shown.
pub(super) fn push_down(scan: &mut ScanPlan, frame: &Frame) {
    let limit = frame.page.limit.map(|limit| limit.saturating_add(frame.page.offset.unwrap_or(0)));
    match &mut scan.work {
        Work::Rows(rows) => {
            scan.order = frame.order;
            // LIMIT counts rows of a group; no series gives more of them than the whole group does.
            rows.per_series = limit;
            // The engine counts rows that have one of the fields. Those are the rows of the answer, unless
            // a filter asks for more.
            if scan.filter.is_none() {
                scan.limit_per_series = limit;
            }
        }
        Work::Fold { calls, .. } => {
            // The first (or last) row of each series settles the first (or last) value of the group, if
            // every row that the engine counts has the field, and all of the range is one window.
            let one_row = |function| {
                scan.fields.len() == 1 && calls.iter().all(|call| call.function == function)
            };
            let has_times = frame.windows.is_none() && calls.len() == 1;
            if scan.filter.is_some() {
                // Rows must be looked at one by one.
            } else if frame.windows.is_none() && one_row(Function::First) {
                scan.limit_per_series = Some(1);
            } else if frame.windows.is_none() && one_row(Function::Last) {
                (scan.order, scan.limit_per_series) = (Order::Descending, Some(1));
            } else if calls.iter().all(|call| call.function.takes_summaries(has_times)) {
                scan.want = Want::Summaries;
            }
        }
        Work::Choose { call, .. } => {
            let one_row =
                scan.filter.is_none() && scan.fields.len() == 1 && frame.windows.is_none();
            if one_row && call.function == Function::First {
                scan.limit_per_series = Some(1);
            } else if one_row && call.function == Function::Last {
                (scan.order, scan.limit_per_series) = (Order::Descending, Some(1));
            }
        }
    }
}

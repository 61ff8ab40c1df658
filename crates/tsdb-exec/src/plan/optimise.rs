//! Pushes work down into a scan: the engine reads less, the answer stays the same. Each rule says why it
//! is right. (Time, tags, predicates on values and fields are pushed down by `build`, since they are how the
//! language takes a condition apart; here is only noted down where they take effect.)

use tsdb_agg::Function;
use tsdb_core::TimeRange;
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{Order, Want};
use tsdb_core::time::window_start;

use super::{Frame, Rule, ScanPlan, Work};
use crate::op::fold::CallPlan;

/// Notes down what `build` pushed down into `scan`, of which `frame` is shown, for a measurement of `fields` fields.
pub(super) fn note_pushed_down(scan: &mut ScanPlan, frame: &Frame, fields: usize) {
    let took_effect = [
        (Rule::TimeBounds, frame.scanned() != TimeRange::all()),
        (Rule::TagPredicates, scan.tags != TagFilter::True),
        (Rule::ValuePredicates, !scan.predicates.is_empty()),
        (Rule::Projection, scan.fields.len() < fields),
        (Rule::ConstantFolding, scan.has_folded),
    ];
    scan.rules.extend(took_effect.iter().filter(|(_, did)| *did).map(|(rule, _)| *rule));
}

/// Applies all other rules to `scan`, of which `frame` is shown, and notes down those that apply.
pub(super) fn push_down(scan: &mut ScanPlan, frame: &Frame) {
    let limit = frame.page.limit.map(|limit| limit.saturating_add(frame.page.offset.unwrap_or(0)));
    match &mut scan.work {
        Work::Rows(rows) => {
            scan.order = frame.order;
            if scan.order == Order::Descending {
                scan.rules.push(Rule::Order);
            }
            // LIMIT counts rows of a group; no series gives more of them than the whole group does.
            rows.per_series = limit;
            // The engine counts rows that have one of the fields. Those are the rows of the answer, unless
            // a filter asks for more.
            if scan.filter.is_none() && limit.is_some() {
                scan.limit_per_series = limit;
                scan.rules.push(Rule::Limit);
            }
        }
        Work::Streams(plan) => {
            // Without points that are kept, all that counts are answers of windows.
            if scan.filter.is_none()
                && plan.rows.outputs.is_empty()
                && plan.calls.iter().all(|call| call.takes_summaries(false))
                && bounds_are_of_windows(&plan.calls, frame)
            {
                scan.want = Want::Summaries;
                scan.rules.push(Rule::Summaries);
            }
        }
        // Any row may be one of the best, so all are read.
        Work::ChooseMany { .. } => scan.rules.push(Rule::TopK),
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
                take_one(scan, Order::Ascending);
            } else if frame.windows.is_none() && one_row(Function::Last) {
                take_one(scan, Order::Descending);
            } else if calls.iter().all(|call| call.takes_summaries(has_times)) {
                scan.want = Want::Summaries;
                scan.rules.push(Rule::Summaries);
            }
        }
        Work::Choose { call, .. } => {
            let one_row =
                scan.filter.is_none() && scan.fields.len() == 1 && frame.windows.is_none();
            if one_row && call.function == Function::First {
                take_one(scan, Order::Ascending);
            } else if one_row && call.function == Function::Last {
                take_one(scan, Order::Descending);
            }
        }
    }
}

/// The first row of each series in `order` is all that is needed.
fn take_one(scan: &mut ScanPlan, order: Order) {
    (scan.order, scan.limit_per_series) = (order, Some(1));
    scan.rules.push(Rule::LastRow);
}

/// Whether no window is cut by a bound of one call and taken in whole by another: then a summary, which is of one
/// window, is all one call's or none of it.
fn bounds_are_of_windows(calls: &[CallPlan], frame: &Frame) -> bool {
    let Some(windows) = frame.windows else { return true };
    let mut leads = calls.iter().map(|call| call.lead);
    let first = leads.next().unwrap_or(0);
    let is_bound = |time| window_start(time, windows.every, windows.offset) == time;
    let bound = match frame.order {
        Order::Ascending => frame.time.start,
        Order::Descending => frame.time.end,
    };
    leads.all(|lead| lead == first) || is_bound(bound)
}

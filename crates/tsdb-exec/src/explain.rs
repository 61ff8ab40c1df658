//! EXPLAIN: the plan in words, and with ANALYZE what running it took.

use std::sync::Arc;

use tsdb_core::storage::{Order, PredicateOp, Want};

use crate::Result;
use crate::plan::{ScanPlan, SelectPlan, Work};
use crate::result::{ResultColumn, Series, StatementResult};
use crate::run::{Runner, parts};

/// The plan of a SELECT; with `analyze` it is run too, and its rows are counted and dropped.
pub(crate) fn explain(
    runner: &Runner<'_>,
    plan: &SelectPlan,
    analyze: bool,
) -> Result<StatementResult> {
    let mut lines = Vec::new();
    for scan in &plan.scans {
        describe(runner, plan, scan, &mut lines)?;
    }
    if plan.scans.is_empty() {
        lines.push("nothing to read: no measurement has one of the fields".to_owned());
    }
    if analyze {
        let answer = runner.run(plan)?;
        let (samples, rows, blocks) = runner.progress.read();
        lines.push(format!("read: {rows} rows, {samples} values, {blocks} blocks"));
        lines.push(format!("answer: {} series, {} rows", answer.series.len(), answer.rows()));
    }
    let column = ResultColumn::texts("QUERY PLAN", lines.into_iter().map(Arc::from));
    Ok(StatementResult::of(Series::table(None, vec![column])))
}

fn describe(
    runner: &Runner<'_>,
    plan: &SelectPlan,
    scan: &ScanPlan,
    lines: &mut Vec<String>,
) -> Result<()> {
    let estimate = runner.view.snapshot.estimate(&runner.request(plan, scan, &plan.frame))?;
    let work = match &scan.work {
        Work::Rows(_) => "rows".to_owned(),
        Work::Fold { calls, .. } => {
            let name = |column: usize| scan.fields.get(column).map_or("", |name| &**name);
            let calls: Vec<String> = calls
                .iter()
                .map(|call| format!("{}({})", call.function.name(), name(call.column)))
                .collect();
            calls.join(", ")
        }
        Work::Choose { call, .. } => format!("row chosen by {}", call.function.name()),
    };
    lines.push(format!("SCAN {}: {work}", scan.place.measurement));
    lines.push(format!("  time {}, fields {}", plan.frame.time, scan.fields.join(", ")));
    lines.push(format!("  tags {}", scan.tags));
    for predicate in &scan.predicates {
        let (op, value) = (symbol(predicate.op), predicate.value);
        lines.push(format!("  chunks with {} {op} {value}", predicate.field));
    }
    if scan.filter.is_some() {
        lines.push("  filter row by row".to_owned());
    }
    if let Some(limit) = scan.limit_per_series {
        let end = if scan.order == Order::Descending { "newest" } else { "oldest" };
        lines.push(format!("  {end} {limit} rows of each series"));
    }
    if let Some(windows) = plan.frame.windows {
        lines.push(format!("  windows of {} ns, offset {} ns", windows.every, windows.offset));
    }
    if scan.want == Want::Summaries {
        lines.push("  summaries in place of values where the engine has them".to_owned());
    }
    lines.push(format!(
        "  estimate: {} runs, {} series, {} chunks, {} rows; parts: {}",
        estimate.runs,
        estimate.series,
        estimate.chunks,
        estimate.rows,
        parts(scan, &estimate, runner.limits)
    ));
    Ok(())
}

fn symbol(op: PredicateOp) -> &'static str {
    match op {
        PredicateOp::Eq => "=",
        PredicateOp::Lt => "<",
        PredicateOp::Le => "<=",
        PredicateOp::Gt => ">",
        PredicateOp::Ge => ">=",
    }
}

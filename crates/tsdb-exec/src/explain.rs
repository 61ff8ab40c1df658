//! EXPLAIN: the plan in words, and with ANALYZE what running it took.

mod missing;

use std::sync::Arc;

use tsdb_agg::Function;
use tsdb_core::TimeRange;
use tsdb_core::storage::{Order, PredicateOp};
use tsdb_core::time::format_duration;
use tsdb_ql::Select;

use crate::Result;
use crate::op::fold::CallPlan;
use crate::op::streams::{Source, Step, StreamPlan, StreamsPlan, Take};
use crate::plan::{Rule, ScanPlan, SelectPlan, Work, frame, plan, plan_within, subqueries};
use crate::result::{ResultColumn, Series, StatementResult};
use crate::run::{Runner, parts};
use crate::times::Stage;

/// The plan of a SELECT; with `analyze` it is run too, and its rows are counted and dropped.
pub(crate) fn explain(
    runner: &Runner<'_>,
    select: &Select,
    analyze: bool,
) -> Result<StatementResult> {
    let mut lines = Vec::new();
    describe_select(runner, select, select.dimensions.len(), TimeRange::all(), &mut lines)?;
    if analyze {
        let times = runner.progress.times();
        let plan = times.measure(Stage::Plan, || plan(select, runner))?;
        let answer = runner.run(&plan)?;
        let (samples, rows, blocks) = runner.progress.read();
        let engine = runner.progress.scans();
        lines.push(format!(
            "engine: series_matched {}, rows_scanned {}, chunks_read {}, chunks_skipped {}, \
             chunks_summarised {}, bytes_read {}, bytes_cached {}",
            engine.series_matched,
            engine.rows_scanned,
            engine.chunks_read,
            engine.chunks_skipped,
            engine.chunks_summarised,
            engine.bytes_read,
            engine.bytes_cached
        ));
        lines.push(format!("read: {rows} rows, {samples} values, {blocks} blocks"));
        lines.extend(times.line());
        lines.push(format!("answer: {} series, {} rows", answer.series.len(), answer.rows()));
    }
    let column = ResultColumn::texts("QUERY PLAN", lines.into_iter().map(Arc::from));
    Ok(StatementResult::of(Series::table(None, vec![column])))
}

/// The plan of a query and of those in its FROM. What is scanned of their rows is known once they have run.
fn describe_select(
    runner: &Runner<'_>,
    select: &Select,
    own: usize,
    within: TimeRange,
    lines: &mut Vec<String>,
) -> Result<()> {
    let inner = subqueries(select);
    let read = frame(select, within, runner.view.context.now_ns)?.scanned();
    for inner in &inner {
        lines.push(format!("SUBQUERY {}", inner.select));
        let begin = lines.len();
        describe_select(runner, &inner.select, inner.own, read, lines)?;
        lines.iter_mut().skip(begin).for_each(|line| line.insert_str(0, "  "));
    }
    if !inner.is_empty() {
        lines.push("SCAN of the rows of the subqueries".to_owned());
        return Ok(());
    }
    let plan = plan_within(select, own, runner, within)?;
    for scan in &plan.scans {
        describe(runner, &plan, scan, lines)?;
    }
    if plan.scans.is_empty() {
        lines.push("nothing to read: no measurement has one of the fields".to_owned());
        lines.extend(missing::missing_names(runner, select)?);
    }
    Ok(())
}

fn describe(
    runner: &Runner<'_>,
    plan: &SelectPlan,
    scan: &ScanPlan,
    lines: &mut Vec<String>,
) -> Result<()> {
    let estimate = runner.snapshot(scan).estimate(&runner.request(plan, scan, &plan.frame))?;
    let work = describe_work(scan);
    lines.push(format!("SCAN {}: {work}", scan.place.measurement));
    lines.push(format!("  time {}, fields {}", plan.frame.scanned(), scan.fields.join(", ")));
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
    lines.extend(scan.rules.iter().map(|rule| format!("  rule {rule}")));
    if let Some((time, windows)) = runner.end_to_try(plan, scan)? {
        lines.push(format!("  rule {}: {windows} of them, time {time}", Rule::EndWindows));
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

/// What becomes of the rows, in the words of the query.
fn describe_work(scan: &ScanPlan) -> String {
    let name = |column: usize| scan.fields.get(column).map_or("", |name| &**name);
    match &scan.work {
        Work::Rows(_) => "rows".to_owned(),
        Work::Fold { calls, .. } => {
            let calls: Vec<String> =
                calls.iter().map(|c| describe_call(c, name(c.column))).collect();
            calls.join(", ")
        }
        Work::Streams(plan) => {
            let streams = plan.streams.iter().map(|stream| describe_stream(scan, plan, stream));
            streams.collect::<Vec<_>>().join(", ")
        }
        Work::ChooseMany { many, .. } => {
            format!("{} rows chosen by {}({})", many.count, many.name(), name(many.column))
        }
        Work::Choose { call, .. } => {
            format!("row chosen by {}", describe_call(call, name(call.column)))
        }
    }
}

fn describe_call(call: &CallPlan, field: &str) -> String {
    let name = call.function.name();
    match call.function {
        Function::Rate { unit_ns } => with_unit(name, field, Some(unit_ns)),
        Function::Percentile(percent) | Function::ApproxPercentile(percent) => {
            format!("{name}({field}, {percent})")
        }
        _ => with_unit(name, field, None),
    }
}

fn describe_stream(scan: &ScanPlan, plan: &StreamsPlan, stream: &StreamPlan) -> String {
    let name = |column: usize| scan.fields.get(column).map_or("", |name| &**name);
    let of_call = |call: usize| plan.calls.get(call);
    let source = match stream.source {
        Source::Call(call) => {
            of_call(call).map_or_else(String::new, |call| describe_call(call, name(call.column)))
        }
        Source::Distinct(call) => {
            format!("distinct({})", of_call(call).map_or("", |call| name(call.column)))
        }
        Source::Points(column, take) => {
            let field = plan.scanned(column).map_or("", name);
            match take {
                Take::All => field.to_owned(),
                Take::Integral { unit_ns } => with_unit("integral", field, Some(unit_ns)),
                Take::Sample { count, .. } => format!("sample({field}, {count})"),
            }
        }
    };
    stream.steps.iter().fold(source, |inner, step| {
        let (name, argument) = match step {
            Step::Transformation(transformation) => {
                (transformation.name(), transformation.argument())
            }
            Step::Forecast(forecast) => (forecast.name(), forecast.points.to_string()),
        };
        let comma = if argument.is_empty() { "" } else { ", " };
        format!("{name}({inner}{comma}{argument})")
    })
}

fn with_unit(name: &str, argument: &str, unit_ns: Option<i64>) -> String {
    match unit_ns {
        Some(unit_ns) => format!("{name}({argument}, {})", format_duration(unit_ns)),
        None => format!("{name}({argument})"),
    }
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

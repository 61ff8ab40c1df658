//! Which statements surely take little, so that they need not wait behind those that take much, nor for another
//! thread.

use tsdb_ql::{MeasurementName, Select, Source};

use crate::Result;
use crate::limits::QueryLimits;
use crate::plan::{needs_tags, plan, subqueries};
use crate::result::StatementResult;
use crate::run::{Runner, check_rows};
use crate::scope::View;

/// What a small statement may touch: some milliseconds of work on one core.
const SERIES_MAX: u64 = 1000;
const SAMPLES_MAX: u64 = 1_000_000;
/// Windows of all its series together.
const BUCKETS_MAX: i128 = 100_000;

/// Whether `select` is small, by the engine's estimates. Costs what planning it costs.
///
/// # Errors
/// As running it.
pub(crate) fn is_small(select: &Select, view: &View<'_>, limits: &QueryLimits) -> Result<bool> {
    // To plan the rest they would have to be run.
    if !subqueries(select).is_empty() {
        return Ok(false);
    }
    let runner = Runner::new(view, limits);
    let plan = plan(select, &runner)?;
    let (mut series, mut samples, mut buckets) = (0u64, 0u64, 0i128);
    for scan in &plan.scans {
        let request = runner.request(&plan, scan, &plan.frame);
        let estimate = runner.snapshot(scan).estimate(&request)?;
        series = series.saturating_add(estimate.series);
        let fields = scan.fields.len() as u64;
        samples = samples.saturating_add(estimate.rows.saturating_mul(fields));
        if let Some(windows) = plan.frame.windows.filter(|_| estimate.rows > 0) {
            let time = request.time;
            let start = if plan.frame.has_start { time.start } else { estimate.t_min };
            let span = i128::from(time.end.max(start)) - i128::from(start);
            buckets += (span / i128::from(windows.every) + 1) * i128::from(estimate.series);
        }
    }
    Ok(series <= SERIES_MAX && samples <= SAMPLES_MAX && buckets <= BUCKETS_MAX)
}

/// The answer to `select` if it is quick: about one measurement and series that are found by the values of their
/// tags, and within [`QueryLimits::quick`].
///
/// # Errors
/// As running it, and where it takes more.
pub(crate) fn quick(
    select: &Select,
    view: &View<'_>,
    limits: &QueryLimits,
) -> Result<Option<StatementResult>> {
    let [Source::Measurement(from)] = &*select.sources else { return Ok(None) };
    // Before planning, which looks at every series where all tags are asked for.
    let names_all = matches!(from.name, MeasurementName::Name(_)) && !needs_tags(select);
    if select.target.is_some() || select.condition.is_none() || !names_all {
        return Ok(None);
    }
    let limits = limits.quick();
    let runner = Runner::new(view, &limits);
    let plan = plan(select, &runner)?;
    if !plan.scans.iter().all(|scan| scan.tags.names_values()) {
        return Ok(None);
    }
    let answer = runner.run(&plan)?;
    check_rows(answer.rows(), &limits)?;
    Ok(Some(answer))
}

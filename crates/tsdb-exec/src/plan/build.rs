//! From the syntax tree to the plan: names become numbers of columns, the condition is taken apart, and
//! what only the data knows (which names are fields) is looked up.

use std::sync::Arc;

use tsdb_agg::Fill;
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{Order, Want, Windows};
use tsdb_core::{TimeRange, time};
use tsdb_ql::{Condition, ConditionContext, Expr, Select, split_condition, time_zone};

use super::columns::{Schema, expand, group_keys, needs_tags};
use super::compile::Compiler;
use super::functions::lead;
use super::{Frame, ScanPlan, SelectPlan, optimise};
use crate::op::filter::{RowFilter, predicates};
use crate::scope::{Place, View};
use crate::{Error, Result};

/// Widest window whose boundaries are the same in all zones: offsets from UTC are multiples of it, at
/// least since 1986.
const ZONE_STEP_NS: i64 = 15 * time::MINUTE;

/// Plans `select` for the data that `view` shows.
///
/// # Errors
/// A database or policy that does not exist, a condition that makes no sense, something that is not
/// supported, what storage says.
pub(crate) fn plan(select: &Select, view: &View<'_>) -> Result<SelectPlan> {
    let places = view.places(&select.sources)?;
    let mut sources: Vec<(Place, Vec<Arc<str>>)> = Vec::new();
    let mut schema = Schema::default();
    for place in places {
        let fields = view.fields(place.namespace, &place.measurement)?;
        let tags = if needs_tags(select) { view.tag_keys(&place)? } else { Vec::new() };
        schema.extend(&fields, &tags);
        sources.push((place, fields));
    }
    let group_keys = group_keys(select, &schema)?;
    let (exprs, columns) = expand(select, &schema, &group_keys)?;
    let mut plan = SelectPlan {
        scans: Vec::new(),
        columns,
        group_keys,
        time_zone: select.zone.as_ref().map(|zone| zone.name.clone()),
        frame: Frame {
            time: TimeRange::all(),
            has_start: false,
            windows: windows(select, view.context.now_ns)?,
            lead: exprs.iter().map(lead).max().unwrap_or(0),
            fill: fill(select.fill),
            order: match select.order {
                tsdb_ql::Order::Ascending => Order::Ascending,
                tsdb_ql::Order::Descending => Order::Descending,
            },
            page: select.page,
        },
    };
    for (place, fields) in sources {
        let condition = condition(select, &fields, view.context.now_ns)?;
        plan.frame.has_start = condition.time.start > TimeRange::all().start;
        plan.frame.time = bounded(condition.time, plan.frame.windows, view.context.now_ns);
        let every = plan.frame.windows.map(|windows| windows.every);
        let compiler = Compiler::new(&fields, every, view.context.now_ns);
        if let Some(mut scan) = scan(place, compiler, &exprs, condition)? {
            optimise::push_down(&mut scan, &plan.frame);
            plan.scans.push(scan);
        }
    }
    Ok(plan)
}

fn windows(select: &Select, now_ns: i64) -> Result<Option<Windows>> {
    let Some(window) = select.window() else { return Ok(None) };
    let zone = select.zone.as_ref().filter(|zone| !zone.name.eq_ignore_ascii_case("utc"));
    if zone.is_some() && ZONE_STEP_NS % window.every_ns != 0 {
        return Err(Error::Unsupported {
            what: "GROUP BY time() with tz() and windows that do not divide 15m",
            remedy: "leave out tz(), or shift the windows by hand, as in time(1d, -1h)",
        });
    }
    Ok(Some(Windows { every: window.every_ns, offset: window.offset.resolve(now_ns) }))
}

fn fill(fill: tsdb_ql::Fill) -> Fill {
    match fill {
        tsdb_ql::Fill::Null => Fill::Null,
        tsdb_ql::Fill::None => Fill::None,
        tsdb_ql::Fill::Previous => Fill::Previous,
        tsdb_ql::Fill::Linear => Fill::Linear,
        tsdb_ql::Fill::Number(number) => Fill::Number(number),
    }
}

fn condition(select: &Select, fields: &[Arc<str>], now_ns: i64) -> Result<Condition> {
    let Some(condition) = &select.condition else { return Ok(Condition::always()) };
    let zone = select.zone.as_ref().and_then(|zone| time_zone(&zone.name));
    let is_field = |name: &str| has(fields, name);
    let context = ConditionContext { now_ns, zone: zone.as_ref(), is_field: &is_field };
    Ok(split_condition(condition, &context)?)
}

/// With windows and without an upper bound, time ends at now (inclusive).
fn bounded(range: TimeRange, windows: Option<Windows>, now_ns: i64) -> TimeRange {
    if windows.is_some() && range.end >= TimeRange::all().end {
        range.intersect(&TimeRange::from_inclusive(time::MIN_TIME, now_ns))
    } else {
        range
    }
}

pub(super) fn has(sorted: &[Arc<str>], name: &str) -> bool {
    sorted.binary_search_by(|field| (**field).cmp(name)).is_ok()
}

/// The scan of one measurement; none when it has no field that is asked for.
fn scan(
    place: Place,
    mut compiler: Compiler<'_>,
    exprs: &[Expr],
    condition: Condition,
) -> Result<Option<ScanPlan>> {
    let tags = condition.tags.unwrap_or(TagFilter::True);
    let work = compiler.work(exprs)?;
    if !compiler.has_a_field() {
        return Ok(None);
    }
    let filter = match &condition.residual {
        Some(residual) => Some(RowFilter::new(residual, &mut |name| compiler.column(name))?),
        None => None,
    };
    Ok(Some(ScanPlan {
        place,
        tags,
        fields: compiler.into_columns(),
        filter,
        predicates: condition.residual.as_ref().map(predicates).unwrap_or_default(),
        work,
        order: Order::Ascending,
        limit_per_series: None,
        want: Want::Rows,
        rules: Vec::new(),
    }))
}

//! From the syntax tree to the plan: names become numbers of columns, the condition is taken apart, and
//! what only the data knows (which names are fields) is looked up.

use std::sync::Arc;

use tsdb_agg::Fill;
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{Order, Want, Windows};
use tsdb_core::{NamespaceId, TimeRange, time};
use tsdb_ql::{Condition, ConditionContext, Expr, Select, split_condition, time_zone};

use super::columns::{Schema, expand, group_keys, needs_tags};
use super::compile::Compiler;
use super::functions::lead;
use super::subquery::{derive, time_of};
use super::zone::windows;
use super::{Frame, ScanPlan, SelectPlan, Work, optimise};
use crate::Result;
use crate::derived::Derived;
use crate::op::filter::RowFilter;
use crate::run::Runner;
use crate::scope::Place;

/// What is scanned for one measurement.
struct Scanned {
    place: Place,
    /// Names of its fields, sorted.
    fields: Vec<Arc<str>>,
    derived: Option<Arc<Derived>>,
}

/// Plans `select` for the data that the runner's view shows. Its subqueries are run for that.
///
/// # Errors
/// A database or policy that does not exist, a condition that makes no sense, something that is not
/// supported, what storage says, what ends a subquery.
pub(crate) fn plan(select: &Select, runner: &Runner<'_>) -> Result<SelectPlan> {
    plan_within(select, select.dimensions.len(), runner, TimeRange::all())
}

/// As [`plan`], for a query that reads nothing outside of `within`, and of whose dimensions the first `own` are its own:
/// those that it takes over from a query around it take nothing from its wildcards.
///
/// # Errors
/// As [`plan`].
pub(crate) fn plan_within(
    select: &Select,
    own: usize,
    runner: &Runner<'_>,
    within: TimeRange,
) -> Result<SelectPlan> {
    let now_ns = runner.view.context.now_ns;
    let frame = frame(select, within, now_ns)?;
    let mut schema = Schema::default();
    let sources = sources(select, runner, frame.scanned(), &mut schema)?;
    let group_keys = group_keys(&select.dimensions, &schema)?;
    let own = select.dimensions.get(..own).unwrap_or(&select.dimensions);
    let (exprs, columns) = expand(select, own, &schema)?;
    let time_zone = select.zone.as_ref().map(|zone| zone.name.clone());
    let mut plan = SelectPlan { scans: Vec::new(), columns, group_keys, time_zone, frame };
    for Scanned { place, fields, derived } in sources {
        let condition = condition(select, &fields, now_ns)?;
        let every = plan.frame.windows.map(|windows| windows.every);
        let compiler = Compiler::new(&fields, every, now_ns);
        if let Some(mut scan) = scan(place, compiler, &exprs, condition)? {
            // Several rows of one time, which a subquery can give, leave open which of them one is the first.
            if derived.is_none() {
                optimise::note_pushed_down(&mut scan, &plan.frame, fields.len());
            }
            if derived.is_none() || matches!(scan.work, Work::Rows(_)) {
                optimise::push_down(&mut scan, &plan.frame);
            }
            plan.scans.push(ScanPlan { derived, ..scan });
        }
    }
    Ok(plan)
}

/// Which stretch of time inside `within` a query shows, and how.
///
/// # Errors
/// A condition that makes no sense, windows that are not all of one width.
pub(crate) fn frame(select: &Select, within: TimeRange, now_ns: i64) -> Result<Frame> {
    let time = time_of(select, now_ns)?.intersect(&within);
    let windows = windows(select, now_ns, time)?;
    let has_start = time.start > TimeRange::all().start;
    Ok(Frame {
        time: bounded(time, windows, now_ns),
        within,
        span: None,
        time_of_all: if has_start { time.start } else { 0 },
        has_start,
        windows,
        lead: select.fields.iter().map(|field| lead(&field.expr)).max().unwrap_or(0),
        fill: match fill(select.fill) {
            // A row of null is none; InfluxDB does not write the 0 of an empty window either.
            Fill::Null if select.target.is_some() => Fill::None,
            fill => fill,
        },
        order: match select.order {
            tsdb_ql::Order::Ascending => Order::Ascending,
            tsdb_ql::Order::Descending => Order::Descending,
        },
        page: select.page,
    })
}

/// What the sources of `select` are, and all their names. Its subqueries read what lies inside `within`.
fn sources(
    select: &Select,
    runner: &Runner<'_>,
    within: TimeRange,
    schema: &mut Schema,
) -> Result<Vec<Scanned>> {
    let view = runner.view;
    let mut sources = Vec::new();
    for place in view.places(&select.sources)? {
        let fields = view.fields(place.namespace, &place.measurement)?;
        let tags = if needs_tags(select) { view.tag_keys(&place)? } else { Vec::new() };
        schema.extend(&fields, &tags, &[]);
        sources.push(Scanned { place, fields, derived: None });
    }
    let Some(derived) = derive(select, runner, within)? else { return Ok(sources) };
    for (name, measurement) in derived.measurements() {
        schema.extend(&measurement.fields, &measurement.tags, &measurement.texts);
        sources.push(Scanned {
            place: Place { measurement: Arc::clone(name), namespace: NO_NAMESPACE },
            fields: measurement.fields.clone(),
            derived: Some(Arc::clone(&derived)),
        });
    }
    sources.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(sources)
}

/// The namespace of what is not in the store.
const NO_NAMESPACE: NamespaceId = NamespaceId(u32::MAX);

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
    let has_folded = compiler.has_folded() || filter.as_ref().is_some_and(RowFilter::has_folded);
    let filter = filter.filter(|filter| !filter.holds_always());
    let fields = compiler.into_columns();
    Ok(Some(ScanPlan {
        place,
        derived: None,
        tags,
        predicates: filter.as_ref().map(|f| f.predicates(&fields)).unwrap_or_default(),
        fields,
        filter,
        work,
        has_folded,
        order: Order::Ascending,
        limit_per_series: None,
        want: Want::Rows,
        rules: Vec::new(),
    }))
}

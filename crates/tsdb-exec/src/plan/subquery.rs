//! Queries in FROM: what they take over from the query around them, and their answers as what that one scans.

use std::sync::Arc;

use tsdb_core::TimeRange;
use tsdb_ql::{
    ConditionContext, Dimension, Fill, Select, Source, Statement, check, split_condition, time_zone,
};

use super::build::plan_within;
use crate::Result;
use crate::derived::Derived;
use crate::run::Runner;

/// Runs the subqueries of `select`, which read nothing outside of `within`; none without any.
///
/// # Errors
/// What planning and running them says, memory that is used up.
pub(super) fn derive(
    select: &Select,
    runner: &Runner<'_>,
    within: TimeRange,
) -> Result<Option<Arc<Derived>>> {
    let inner = subqueries(select);
    if inner.is_empty() {
        return Ok(None);
    }
    let mut derived = Derived::new(runner.view);
    for inner in inner {
        let plan = plan_within(&inner.select, inner.own, runner, within)?;
        let answer = runner.run(&plan)?;
        derived.add(&answer.series, &plan.frame, runner.progress.cancel())?;
        answer.let_go();
    }
    Ok(Some(Arc::new(derived)))
}

/// A query in FROM, with what it takes over from the query around it.
pub(crate) struct Subquery {
    pub(crate) select: Select,
    /// How many of its dimensions, the first ones, are its own.
    pub(crate) own: usize,
}

/// The subqueries of a query.
pub(crate) fn subqueries(select: &Select) -> Vec<Subquery> {
    let inner = select.sources.iter().filter_map(|source| match source {
        Source::Subquery(inner) => Some(inherit(select, inner)),
        Source::Measurement(_) => None,
    });
    inner.collect()
}

/// The range of time that a query asks for, whatever its names are.
///
/// # Errors
/// A condition that makes no sense.
pub(super) fn time_of(select: &Select, now_ns: i64) -> Result<TimeRange> {
    let Some(condition) = &select.condition else { return Ok(TimeRange::all()) };
    let zone = select.zone.as_ref().and_then(|zone| time_zone(&zone.name));
    let split = |names_are_fields: bool| {
        let is_field = |_: &str| names_are_fields;
        let context = ConditionContext { now_ns, zone: zone.as_ref(), is_field: &is_field };
        split_condition(condition, &context)
    };
    Ok(split(true).or_else(|_| split(false))?.time)
}

/// A subquery as InfluxQL reads it inside of `outer`: it has the order of `outer`, keeps the tags apart that `outer` groups
/// by, and aggregates by its windows, unless it has some of its own. Windows without points are left out, where it does
/// not say what they give.
fn inherit(outer: &Select, inner: &Select) -> Subquery {
    let mut inner = inner.clone();
    let own = inner.dimensions.len();
    inner.order = outer.order;
    for dimension in &outer.dimensions {
        if matches!(dimension, Dimension::Tag(_)) && !inner.dimensions.contains(dimension) {
            inner.dimensions.push(dimension.clone());
        }
    }
    if let (Some(window), None) = (outer.window(), inner.window()) {
        let mut windowed = inner.clone();
        windowed.dimensions.push(Dimension::Time(window.clone()));
        let windowed = Statement::Select(Box::new(windowed));
        // Points cannot be aggregated by windows, nor what goes along them.
        if check(&windowed).is_ok()
            && let Statement::Select(windowed) = windowed
        {
            inner = *windowed;
        }
    }
    if inner.window().is_some() && inner.fill == Fill::Null {
        inner.fill = Fill::None;
    }
    Subquery { select: inner, own }
}

//! From the syntax tree to the plan: names become numbers of columns, the condition is taken apart, and
//! what only the data knows (which names are fields) is looked up.

use std::sync::Arc;

use tsdb_agg::{Change, Fill, Function, Percent};
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{Order, Want, Windows};
use tsdb_core::{TimeRange, time};
use tsdb_ql::{
    Call, Cast, Condition, ConditionContext, Expr, Identifier, Literal, MathFunction, Select,
    split_condition, time_zone,
};

use super::columns::{Schema, expand, group_keys, needs_tags};
use super::{ChangePlan, Frame, ScanPlan, SelectPlan, Work, optimise};
use crate::op::expr::ValueExpr;
use crate::op::filter::{RowFilter, cuts, predicates};
use crate::op::fold::CallPlan;
use crate::op::rows::{Output, RowsPlan};
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
        if let Some(mut scan) = scan(place, &fields, &exprs, condition, every)? {
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

fn has(sorted: &[Arc<str>], name: &str) -> bool {
    sorted.binary_search_by(|field| (**field).cmp(name)).is_ok()
}

/// The scan of one measurement, in windows of `every` ns if there are any; none when it has no field that is
/// asked for.
fn scan(
    place: Place,
    fields: &[Arc<str>],
    exprs: &[Expr],
    condition: Condition,
    every: Option<i64>,
) -> Result<Option<ScanPlan>> {
    let tags = condition.tags.unwrap_or(TagFilter::True);
    let mut compiler = Compiler {
        known: fields,
        every,
        columns: Vec::new(),
        calls: Vec::new(),
        changes: Vec::new(),
    };
    let work = compiler.work(exprs)?;
    if !compiler.columns.iter().any(|name| has(fields, name)) {
        return Ok(None);
    }
    let filter = match &condition.residual {
        Some(residual) => Some(RowFilter::new(residual, &mut |name| compiler.column(name))?),
        None => None,
    };
    Ok(Some(ScanPlan {
        place,
        tags,
        fields: compiler.columns,
        filter,
        predicates: condition.residual.as_ref().map(predicates).unwrap_or_default(),
        work,
        order: Order::Ascending,
        limit_per_series: None,
        want: Want::Rows,
        rules: Vec::new(),
    }))
}

/// Windows that the calls in `expr` need before the first one that is shown.
fn lead(expr: &Expr) -> usize {
    match expr {
        Expr::Call(call) if math(call).is_some() => call.args.iter().map(lead).max().unwrap_or(0),
        Expr::Call(call) => match (change(call, None), call.args.first()) {
            (Some(_), Some(inner @ Expr::Call(_))) => 1 + lead(inner),
            _ => 0,
        },
        Expr::Negate { expr, .. } => lead(expr),
        Expr::Binary { left, right, .. } => lead(left).max(lead(right)),
        _ => 0,
    }
}

fn several_selectors() -> Error {
    Error::Unsupported {
        what: "more than one selector beside plain columns",
        remedy: "ask with one query for each selector",
    }
}

fn contains_call(expr: &Expr) -> bool {
    any(expr, &|expr| matches!(expr, Expr::Call(call) if math(call).is_none()))
}

/// Whether a call of points and those before them stands in `expr`.
fn contains_change_of_points(expr: &Expr) -> bool {
    any(expr, &|expr| match expr {
        Expr::Call(call) => {
            change(call, None).is_some() && !matches!(call.args.first(), Some(Expr::Call(_)))
        }
        _ => false,
    })
}

/// Whether a name stands in `expr` outside of calls.
fn contains_name(expr: &Expr) -> bool {
    any(expr, &|expr| matches!(expr, Expr::Identifier(_)))
}

/// Whether `test` holds for a node of an arithmetic expression; calls are not looked into, but for those of
/// numbers.
fn any(expr: &Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
    test(expr)
        || match expr {
            Expr::Call(call) if math(call).is_some() => call.args.iter().any(|arg| any(arg, test)),
            Expr::Negate { expr, .. } => any(expr, test),
            Expr::Binary { left, right, .. } => any(left, test) || any(right, test),
            _ => false,
        }
}

/// What a name stands for in one measurement.
enum Meaning<'n> {
    Field(&'n str),
    Tag(&'n str),
    /// A cast to something that the name is not.
    Nothing,
}

/// Turns names into numbers of columns, calls and changes, which it collects.
struct Compiler<'c> {
    known: &'c [Arc<str>],
    /// Width of the windows in ns.
    every: Option<i64>,
    columns: Vec<Arc<str>>,
    calls: Vec<CallPlan>,
    changes: Vec<ChangePlan>,
}

impl Compiler<'_> {
    /// What becomes of the rows, if `exprs` are the columns.
    fn work(&mut self, exprs: &[Expr]) -> Result<Work> {
        if exprs.iter().any(contains_change_of_points) {
            let outputs = exprs.iter().map(|expr| self.number(expr, 0)).collect();
            let rows = (0..self.columns.len()).map(|n| Output::Value(ValueExpr::Input(n)));
            let rows = RowsPlan {
                outputs: rows.collect(),
                selected: self.columns.len(),
                per_series: None,
            };
            return Ok(Work::Changes { rows, changes: self.changes.clone(), outputs });
        }
        if !exprs.iter().any(contains_call) {
            let outputs = exprs.iter().map(|expr| self.output(expr, 0)).collect();
            let selected = self.columns.len();
            return Ok(Work::Rows(RowsPlan { outputs, selected, per_series: None }));
        }
        if exprs.iter().any(contains_name) {
            // The calls come first, so that the selector's column has its number.
            exprs.iter().for_each(|expr| self.enter_calls(expr));
            let outputs = exprs.iter().map(|expr| self.output(expr, 1)).collect();
            return match self.calls.as_slice() {
                [call] => Ok(Work::Choose { call: call.clone(), outputs }),
                _ => Err(several_selectors()),
            };
        }
        let outputs = exprs.iter().map(|expr| self.number(expr, 0)).collect();
        Ok(Work::Fold { calls: self.calls.clone(), outputs })
    }

    fn meaning<'n>(&self, identifier: &'n Identifier) -> Meaning<'n> {
        let name = identifier.name.as_str();
        let is_field = has(self.known, name);
        match identifier.cast {
            Some(Cast::Tag) => Meaning::Tag(name),
            None if !is_field => Meaning::Tag(name),
            Some(Cast::String) => Meaning::Nothing,
            _ if is_field => Meaning::Field(name),
            _ => Meaning::Nothing,
        }
    }

    /// Number of a field's column in the scan.
    fn column(&mut self, name: &str) -> usize {
        let found = self.columns.iter().position(|column| **column == *name);
        found.unwrap_or_else(|| {
            self.columns.push(name.into());
            self.columns.len() - 1
        })
    }

    /// Number of the column of a call's argument.
    fn argument(&mut self, call: &Call) -> Option<usize> {
        let Some(Expr::Identifier(name)) = call.args.first() else { return None };
        Some(match self.meaning(name) {
            // A tag or an unknown name: a column that no row has.
            Meaning::Field(name) | Meaning::Tag(name) => self.column(name),
            Meaning::Nothing => self.column(&name.name),
        })
    }

    /// Number of a call among the distinct ones, or of a change of points among those.
    fn call(&mut self, call: &Call) -> Option<usize> {
        let is_of_points = !matches!(call.args.first(), Some(Expr::Call(_)));
        if let Some(change) = change(call, None).filter(|_| is_of_points) {
            let plan = ChangePlan { change, column: self.argument(call)? };
            return Some(number_of(&mut self.changes, plan));
        }
        let plan = self.call_plan(call)?;
        Some(number_of(&mut self.calls, plan))
    }

    fn call_plan(&mut self, call: &Call) -> Option<CallPlan> {
        if let (Some(change), Some(Expr::Call(inner))) =
            (change(call, self.every), call.args.first())
        {
            let mut plan = self.call_plan(inner)?;
            plan.changes.push(change);
            return Some(plan);
        }
        let cut = matches!(call.args.first(), Some(Expr::Identifier(name)) if cuts(name));
        let plan = CallPlan::new(function(call)?, self.argument(call)?);
        Some(CallPlan { cut, ..plan })
    }

    fn enter_calls(&mut self, expr: &Expr) {
        match expr {
            Expr::Call(call) if math(call).is_some() => {
                call.args.iter().for_each(|argument| self.enter_calls(argument));
            }
            Expr::Call(call) => {
                self.call(call);
            }
            Expr::Negate { expr, .. } => self.enter_calls(expr),
            Expr::Binary { left, right, .. } => {
                self.enter_calls(left);
                self.enter_calls(right);
            }
            _ => {}
        }
    }

    /// A column of the answer; columns of the scan are inputs from number `first` on.
    fn output(&mut self, expr: &Expr, first: usize) -> Output {
        if let Expr::Identifier(identifier) = expr
            && let Meaning::Tag(name) = self.meaning(identifier)
        {
            return Output::Tag(name.into());
        }
        Output::Value(self.number(expr, first))
    }

    /// The numbers of an expression. Calls are inputs by their number.
    fn number(&mut self, expr: &Expr, first: usize) -> ValueExpr {
        match expr {
            Expr::Identifier(identifier) => match self.meaning(identifier) {
                Meaning::Field(name) => {
                    let input = ValueExpr::Input(first + self.column(name));
                    if cuts(identifier) { ValueExpr::Truncate(Box::new(input)) } else { input }
                }
                Meaning::Tag(_) | Meaning::Nothing => ValueExpr::Null,
            },
            Expr::Call(call) => match math(call) {
                Some(function) => {
                    let args = call.args.iter().map(|argument| self.number(argument, first));
                    ValueExpr::Math(function, args.collect())
                }
                None => self.call(call).map_or(ValueExpr::Null, ValueExpr::Input),
            },
            Expr::Literal { value, .. } => {
                value.as_f64().map_or(ValueExpr::Null, ValueExpr::Constant)
            }
            Expr::Negate { expr, .. } => ValueExpr::Negate(Box::new(self.number(expr, first))),
            Expr::Binary { op, left, right, .. } => ValueExpr::Binary {
                op: *op,
                left: Box::new(self.number(left, first)),
                right: Box::new(self.number(right, first)),
            },
            _ => ValueExpr::Null,
        }
    }
}

/// Number of `plan` in `plans`, at whose end it is put if it is not there.
fn number_of<T: PartialEq>(plans: &mut Vec<T>, plan: T) -> usize {
    let found = plans.iter().position(|known| *known == plan);
    found.unwrap_or_else(|| {
        plans.push(plan);
        plans.len() - 1
    })
}

/// The function of numbers that a call stands for; none for one of rows.
fn math(call: &Call) -> Option<MathFunction> {
    MathFunction::from_name(&call.name)
}

/// The duration that a call has as its second argument, in ns.
fn unit(call: &Call) -> Option<i64> {
    match call.args.get(1)? {
        Expr::Literal { value: Literal::Duration(ns), .. } => Some(*ns),
        _ => None,
    }
}

/// The change that a call stands for; none for a call of another kind. Without a unit it is related to the
/// width of the windows, `every`, as in InfluxQL, else to a second.
fn change(call: &Call, every: Option<i64>) -> Option<Change> {
    let unit_ns = unit(call).or(every).unwrap_or(time::SECOND);
    Some(match tsdb_ql::Function::from_name(&call.name)? {
        tsdb_ql::Function::Derivative => Change::Derivative { unit_ns },
        tsdb_ql::Function::NonNegativeDerivative => Change::NonNegativeDerivative { unit_ns },
        tsdb_ql::Function::Difference => Change::Difference,
        tsdb_ql::Function::NonNegativeDifference => Change::NonNegativeDifference,
        _ => return None,
    })
}

/// The aggregation that a call stands for; none for a call of another kind.
fn function(call: &Call) -> Option<Function> {
    let percent = || match call.args.get(1)? {
        Expr::Literal { value, .. } => value.as_f64().and_then(Percent::new),
        _ => None,
    };
    Some(match tsdb_ql::Function::from_name(&call.name)? {
        tsdb_ql::Function::Count => Function::Count,
        tsdb_ql::Function::Sum => Function::Sum,
        tsdb_ql::Function::Mean => Function::Mean,
        tsdb_ql::Function::Min => Function::Min,
        tsdb_ql::Function::Max => Function::Max,
        tsdb_ql::Function::First => Function::First,
        tsdb_ql::Function::Last => Function::Last,
        tsdb_ql::Function::Spread => Function::Spread,
        tsdb_ql::Function::Stddev => Function::Stddev,
        tsdb_ql::Function::Variance => Function::Variance,
        tsdb_ql::Function::PopulationVariance => Function::PopulationVariance,
        tsdb_ql::Function::Rate => Function::Rate { unit_ns: unit(call).unwrap_or(time::SECOND) },
        tsdb_ql::Function::Increase => Function::Increase,
        tsdb_ql::Function::Percentile => Function::Percentile(percent()?),
        tsdb_ql::Function::Median => Function::Median,
        tsdb_ql::Function::ApproxPercentile => Function::ApproxPercentile(percent()?),
        _ => return None,
    })
}

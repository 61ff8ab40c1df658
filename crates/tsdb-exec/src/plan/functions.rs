//! Calls in the syntax tree as functions with their parameters.

use tsdb_agg::{
    Change, Forecast, Function, Indicator, IndicatorKind, Percent, Transformation, Warmup,
};
use tsdb_core::time;
use tsdb_ql::{Call, Expr, Function as Named, Identifier, Literal, MathFunction};

use crate::op::streams::Step;

/// The function of numbers that a call stands for; none for one of rows.
pub(super) fn math(call: &Call) -> Option<MathFunction> {
    MathFunction::from_name(&call.name)
}

/// The function of rows that a call stands for; none for one of numbers.
pub(super) fn named(call: &Call) -> Option<Named> {
    Named::from_name(&call.name)
}

/// Whether `test` holds for a node of an arithmetic expression; calls are not looked into, but for those of
/// numbers.
pub(crate) fn any(expr: &Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
    test(expr)
        || match expr {
            Expr::Call(call) if math(call).is_some() => call.args.iter().any(|arg| any(arg, test)),
            Expr::Negate { expr, .. } => any(expr, test),
            Expr::Binary { left, right, .. } => any(left, test) || any(right, test),
            _ => false,
        }
}

/// Whether a function of rows stands in `expr`.
pub(super) fn contains_call(expr: &Expr) -> bool {
    any(expr, &|expr| matches!(expr, Expr::Call(call) if math(call).is_none()))
}

/// Whether a name stands in `expr` outside of functions of rows.
pub(super) fn contains_name(expr: &Expr) -> bool {
    any(expr, &|expr| matches!(expr, Expr::Identifier(_)))
}

/// Whether a function that gives points of its own stands in `expr`.
pub(super) fn contains_stream(expr: &Expr) -> bool {
    any(expr, &|expr| matches!(expr, Expr::Call(call) if is_stream(call)))
}

fn is_stream(call: &Call) -> bool {
    let several = [Named::Distinct, Named::Integral, Named::Sample];
    step(call, None).is_some() || named(call).is_some_and(|function| several.contains(&function))
}

/// The call inside of all steps of `call`, and those steps, the first that is done first.
pub(super) fn steps(call: &Call, every: Option<i64>) -> (Innermost<'_>, Vec<Step>) {
    let (mut steps, mut at) = (Vec::new(), call);
    let innermost = loop {
        let Some(step) = step(at, every) else { break Innermost::Call(at) };
        steps.push(step);
        match at.args.first() {
            Some(Expr::Call(inner)) => at = inner,
            Some(Expr::Identifier(name)) => break Innermost::Name(name),
            _ => break Innermost::Nothing,
        }
    };
    steps.reverse();
    (innermost, steps)
}

/// What the steps of a call are made of.
pub(super) enum Innermost<'e> {
    /// The points of a field.
    Name(&'e Identifier),
    /// The results of a call.
    Call(&'e Call),
    /// Nothing that has a column.
    Nothing,
}

/// Windows that the calls in `expr` need before the first one that is shown.
pub(super) fn lead(expr: &Expr) -> usize {
    let of_call = |call: &Call| match steps(call, None) {
        // Points are not those of windows.
        (Innermost::Name(_) | Innermost::Nothing, _) => 0,
        (Innermost::Call(_), steps) => steps.iter().filter(|s| s.takes_window_before()).count(),
    };
    expr.calls_of_rows().into_iter().map(of_call).max().unwrap_or(0)
}

/// The step that a call stands for; none for a call of another kind. Without a unit a derivative is related to the
/// width of the windows, `every`, as in InfluxQL, else to a second.
pub(super) fn step(call: &Call, every: Option<i64>) -> Option<Step> {
    let unit_ns = unit(call).or(every).unwrap_or(time::SECOND);
    let change = |change| Some(Step::Transformation(Transformation::Change(change)));
    match named(call)? {
        Named::Derivative => change(Change::Derivative { unit_ns }),
        Named::NonNegativeDerivative => change(Change::NonNegativeDerivative { unit_ns }),
        Named::Difference => change(Change::Difference),
        Named::NonNegativeDifference => change(Change::NonNegativeDifference),
        Named::CumulativeSum => Some(Step::Transformation(Transformation::CumulativeSum)),
        Named::MovingAverage => {
            let points = count(call, 1)?;
            Some(Step::Transformation(Transformation::MovingAverage { points }))
        }
        Named::Elapsed => {
            let unit_ns = unit(call).unwrap_or(1);
            Some(Step::Transformation(Transformation::Elapsed { unit_ns }))
        }
        Named::HoltWinters => forecast(call, false),
        Named::HoltWintersWithFit => forecast(call, true),
        _ => Some(Step::Transformation(Transformation::Indicator(indicator(call)?))),
    }
}

fn forecast(call: &Call, with_fit: bool) -> Option<Step> {
    let (points, season) = (count(call, 1)?, count(call, 2)?);
    Some(Step::Forecast(Forecast { points, season, with_fit }))
}

fn indicator(call: &Call) -> Option<Indicator> {
    let kind = match named(call)? {
        Named::ExponentialMovingAverage => IndicatorKind::ExponentialAverage,
        Named::DoubleExponentialMovingAverage => IndicatorKind::DoubleAverage,
        Named::TripleExponentialMovingAverage => IndicatorKind::TripleAverage,
        Named::TripleExponentialDerivative => IndicatorKind::TripleDerivative,
        Named::RelativeStrengthIndex => IndicatorKind::RelativeStrength,
        Named::KaufmansEfficiencyRatio => IndicatorKind::EfficiencyRatio,
        Named::KaufmansAdaptiveMovingAverage => IndicatorKind::AdaptiveAverage,
        Named::ChandeMomentumOscillator => IndicatorKind::MomentumOscillator,
        _ => return None,
    };
    let is_plain = kind == IndicatorKind::MomentumOscillator;
    let warmup = match call.args.get(3) {
        Some(Expr::Literal { value: Literal::String(text), .. }) => match text.as_str() {
            "simple" => Some(Warmup::Simple),
            "exponential" => Some(Warmup::Exponential),
            _ => None,
        },
        _ => (!is_plain).then_some(Warmup::Exponential),
    };
    Some(Indicator { kind, period: count(call, 1)?, hold: count(call, 2), warmup })
}

/// The whole number from 0 on that a call has as the argument at `place`.
pub(super) fn count(call: &Call, place: usize) -> Option<usize> {
    match call.args.get(place)? {
        Expr::Literal { value: Literal::Integer(count), .. } => usize::try_from(*count).ok(),
        _ => None,
    }
}

/// The duration that a call has as its second argument, in ns.
pub(super) fn unit(call: &Call) -> Option<i64> {
    match call.args.get(1)? {
        Expr::Literal { value: Literal::Duration(ns), .. } => Some(*ns),
        _ => None,
    }
}

/// The aggregation that a call stands for; none for a call of another kind.
pub(super) fn aggregation(call: &Call) -> Option<Function> {
    let percent = || match call.args.get(1)? {
        Expr::Literal { value, .. } => value.as_f64().and_then(Percent::new),
        _ => None,
    };
    Some(match named(call)? {
        Named::Count if matches!(call.args.first(), Some(Expr::Call(_))) => Function::CountDistinct,
        Named::Count => Function::Count,
        Named::Sum => Function::Sum,
        Named::Mean => Function::Mean,
        Named::Min => Function::Min,
        Named::Max => Function::Max,
        Named::First => Function::First,
        Named::Last => Function::Last,
        Named::Spread => Function::Spread,
        Named::Stddev => Function::Stddev,
        Named::Variance => Function::Variance,
        Named::PopulationVariance => Function::PopulationVariance,
        Named::Rate => Function::Rate { unit_ns: unit(call).unwrap_or(time::SECOND) },
        Named::Increase => Function::Increase,
        Named::Percentile => Function::Percentile(percent()?),
        Named::Median => Function::Median,
        Named::ApproxPercentile => Function::ApproxPercentile(percent()?),
        Named::Mode => Function::Mode,
        Named::Distinct => Function::CountDistinct,
        _ => return None,
    })
}

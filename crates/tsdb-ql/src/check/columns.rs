//! The columns of a SELECT one by one: functions and their arguments. What may stand together is judged by
//! the caller.

use super::Checker;
use crate::{
    ast::{Call, Expr, Literal, Span},
    error::Error,
    function::{Function, FunctionKind},
    math::MathFunction,
};

impl Checker {
    /// One column, or a part of it.
    pub(super) fn column(&mut self, expr: &Expr, columns: &mut Columns) {
        match expr {
            Expr::Identifier(name) => {
                columns.names += 1;
                // The time comes with every row, so it is no plain column.
                if !name.is_time() {
                    columns.plain.get_or_insert(name.span);
                }
            }
            Expr::Wildcard { span, .. } => {
                columns.names += 1;
                columns.plain.get_or_insert(*span);
            }
            Expr::Regex { pattern, span } => {
                columns.names += 1;
                columns.plain.get_or_insert(*span);
                self.regex(pattern, *span);
            }
            Expr::Literal { .. } => {}
            Expr::Call(call) => self.call(call, columns),
            Expr::Negate { expr: operand, .. } => self.operand(expr, operand, columns),
            Expr::Binary { op, op_span, .. } if op.is_comparison() => {
                self.report(Error::OperatorInSelect { op: op.symbol() }, *op_span);
            }
            Expr::Binary { left, right, .. } => {
                self.operand(expr, left, columns);
                self.operand(expr, right, columns);
            }
            Expr::RegexMatch { negated, span, .. } => {
                let op = if *negated { "!~" } else { "=~" };
                self.report(Error::OperatorInSelect { op }, *span);
            }
            Expr::And(_) => self.report(Error::OperatorInSelect { op: "AND" }, expr.span()),
            Expr::Or(_) => self.report(Error::OperatorInSelect { op: "OR" }, expr.span()),
        }
    }

    /// An operand of the arithmetic `whole`, which works on single columns only.
    fn operand(&mut self, whole: &Expr, operand: &Expr, columns: &mut Columns) {
        let wildcard = match operand {
            Expr::Wildcard { span, .. } | Expr::Regex { span, .. } => Some(*span),
            Expr::Call(call) => wildcard_argument(call),
            _ => None,
        };
        match wildcard {
            Some(span) => {
                columns.names += 1;
                self.report(Error::WildcardInExpression { expr: whole.to_string() }, span);
            }
            None => self.column(operand, columns),
        }
    }

    fn call(&mut self, call: &Call, columns: &mut Columns) {
        if let Some(function) = MathFunction::from_name(&call.name) {
            return self.math(function, call, columns);
        }
        columns.names += 1;
        let Some(function) = Function::from_name(&call.name) else {
            let suggestion = Function::similar_name(&call.name);
            let name = call.name.clone();
            return self.report(Error::UnknownFunction { name, suggestion }, call.span);
        };
        if !self.argument_count(function, call) {
            return;
        }
        self.more_arguments(function, call);
        let Some(argument) = call.args.first() else { return };
        columns.functions += 1;
        match function.kind() {
            FunctionKind::Aggregate => columns.aggregates += 1,
            FunctionKind::Selector => columns.selectors += 1,
            FunctionKind::Several => columns.several = Some(call.span),
            FunctionKind::Transformation => return self.change(call, argument, columns),
            FunctionKind::Forecast => return self.forecast(call, argument, columns),
        }
        match (function, argument) {
            (Function::Top | Function::Bottom, _) => self.top(call, argument, columns),
            (Function::Count, Expr::Call(inner)) if inner.name == "distinct" => {
                self.call(inner, &mut Columns::default());
            }
            // It has no column for each of several fields.
            (Function::Distinct, Expr::Wildcard { span, .. } | Expr::Regex { span, .. }) => {
                self.report(Error::FieldArgument { name: call.name.clone() }, *span);
            }
            _ => self.field_argument(&call.name, argument),
        }
    }

    /// `top` and `bottom`, which stand alone. The tags between field and number are columns beside it.
    fn top(&mut self, call: &Call, argument: &Expr, columns: &mut Columns) {
        columns.tops.get_or_insert_with(|| (call.name.clone(), call.span));
        if !matches!(argument, Expr::Identifier(name) if !name.is_time()) {
            let (name, got) = (call.name.clone(), argument.to_string());
            self.report(Error::TopField { name, got }, argument.span());
        }
        let last = call.args.len().saturating_sub(1);
        for tag in call.args.get(1..last).unwrap_or_default() {
            if let Expr::Identifier(name) = tag {
                columns.plain.get_or_insert(name.span);
            } else {
                let (name, got) = (call.name.clone(), tag.to_string());
                self.report(Error::TopTag { name, got }, tag.span());
            }
        }
    }

    /// A function of numbers, which are columns of any kind: of the row that it stands in, it makes no difference.
    fn math(&mut self, function: MathFunction, call: &Call, columns: &mut Columns) {
        let (expected, got) = (function.arguments(), call.args.len());
        if got != expected {
            let error = Error::ArgumentCount { name: call.name.clone(), expected, got };
            return self.report(error, call.span);
        }
        for (place, argument) in call.args.iter().enumerate() {
            match argument {
                Expr::Literal { value: Literal::String(_) | Literal::Duration(_), span } => {
                    self.report(Error::MathArgument { name: call.name.clone() }, *span);
                }
                // The first argument may stand for several columns.
                _ if place == 0 => self.column(argument, columns),
                _ => self.operand(&Expr::Call(call.clone()), argument, columns),
            }
        }
    }

    /// A function of points and those before them.
    fn change(&mut self, call: &Call, argument: &Expr, columns: &mut Columns) {
        let name = call.name.clone();
        match argument {
            Expr::Call(_) if !columns.windowed => {
                columns.aggregates += 1;
                self.report(Error::ChangeWithoutWindow { name }, call.span);
            }
            Expr::Call(inner) => self.inner(&name, inner, columns),
            _ => {
                columns.aggregates += 1;
                if columns.windowed {
                    self.report(Error::ChangeOfPoints { name }, argument.span());
                } else {
                    self.field_argument(&name, argument);
                }
            }
        }
    }

    /// A function of the results of another one in windows.
    fn forecast(&mut self, call: &Call, argument: &Expr, columns: &mut Columns) {
        let name = call.name.clone();
        match argument {
            Expr::Call(_) if !columns.windowed => {
                columns.aggregates += 1;
                self.report(Error::ChangeWithoutWindow { name }, call.span);
            }
            Expr::Call(inner) => self.inner(&name, inner, columns),
            _ => self.report(Error::ForecastOfPoints { name }, argument.span()),
        }
    }

    /// The function inside the call to `name`. Whatever it is of, it stands in the windows as an aggregate does.
    fn inner(&mut self, name: &str, inner: &Call, columns: &mut Columns) {
        columns.aggregates += 1;
        if MathFunction::from_name(&inner.name).is_some() {
            let (name, inner_name) = (name.to_owned(), inner.name.clone());
            return self.report(Error::MathInside { name, inner: inner_name }, inner.span);
        }
        let mut inside = Columns { windowed: true, ..Columns::default() };
        self.call(inner, &mut inside);
        columns.functions += inside.functions;
        columns.tops = columns.tops.take().or(inside.tops);
    }

    fn argument_count(&mut self, function: Function, call: &Call) -> bool {
        let ((least, most), got) = (function.arguments(), call.args.len());
        if (least..=most).contains(&got) {
            return true;
        }
        let name = call.name.clone();
        let error = if least == most {
            Error::ArgumentCount { name, expected: least, got }
        } else if most == usize::MAX {
            Error::ArgumentsAtLeast { name, least, got }
        } else {
            Error::ArgumentRange { name, least, most, got }
        };
        self.report(error, call.span);
        false
    }

    fn field_argument(&mut self, name: &str, argument: &Expr) {
        match argument {
            Expr::Identifier(name) if !name.is_time() => {}
            Expr::Wildcard { .. } => {}
            Expr::Regex { pattern, span } => self.regex(pattern, *span),
            other => self.report(Error::FieldArgument { name: name.to_owned() }, other.span()),
        }
    }
}

/// Where the argument of a call, or of the call inside it, is a wildcard.
fn wildcard_argument(call: &Call) -> Option<Span> {
    match call.args.first()? {
        Expr::Wildcard { span, .. } | Expr::Regex { span, .. } => Some(*span),
        Expr::Call(inner) => wildcard_argument(inner),
        _ => None,
    }
}

/// What kinds of columns a SELECT has.
#[derive(Default)]
pub(super) struct Columns {
    /// Whether there is a `GROUP BY time()`.
    pub(super) windowed: bool,
    /// How many aggregates.
    pub(super) aggregates: usize,
    /// How many selectors.
    pub(super) selectors: usize,
    /// How many functions of rows, also inside of others.
    pub(super) functions: usize,
    /// The first `top` or `bottom`: name and place.
    pub(super) tops: Option<(String, Span)>,
    /// A function that gives several rows.
    pub(super) several: Option<Span>,
    /// The first column outside of functions, other than `time`.
    pub(super) plain: Option<Span>,
    /// How many names and calls, to tell constants.
    pub(super) names: usize,
}

//! The meaning of a statement, as far as it can be judged without data: functions and their
//! arguments, what may stand together in a SELECT, regular expressions, conditions. InfluxDB
//! answers these errors for each statement, not for the whole query, so they are apart from the
//! parser's.

use tsdb_core::matcher::Pattern;

use crate::{
    ast::{
        Call, Counted, Dimension, Expr, Fill, KeyFilter, Literal, Measurement, MeasurementName,
        Select, ShowCardinality, ShowScope, Source, Span, Statement,
    },
    condition::{Condition, ConditionContext, split_condition},
    diagnostic::{CheckErrors, Diagnostic},
    error::Error,
    function::{Function, FunctionKind, SecondArgument},
    time_text::time_zone,
};

/// Checks what a statement means. A statement that passes has known functions with fields as
/// arguments, compiles all its regular expressions, and splits its conditions without error.
///
/// # Errors
///
/// [`CheckErrors`] with everything that is wrong.
pub fn check(statement: &Statement) -> Result<(), CheckErrors> {
    let mut checker = Checker::default();
    checker.statement(statement);
    CheckErrors::from_diagnostics(checker.errors)
}

#[derive(Default)]
struct Checker {
    errors: Vec<Diagnostic>,
}

impl Checker {
    fn report(&mut self, error: Error, span: Span) {
        self.errors.push(Diagnostic::new(error, span));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Select(select) | Statement::Explain { select, .. } => self.select(select),
            Statement::ShowMeasurements(scope)
            | Statement::ShowTagKeys(scope)
            | Statement::ShowFieldKeys(scope)
            | Statement::ShowSeries(scope) => self.scope(scope),
            Statement::ShowCardinality(statement) => self.cardinality(statement),
            Statement::ShowTagValues { scope, keys } => {
                self.scope(scope);
                self.keys(keys);
            }
            Statement::Delete { measurements, condition } => {
                self.measurements(measurements);
                self.deletion(condition.as_ref());
            }
            Statement::DropSeries { measurements, condition } => {
                self.measurements(measurements);
                self.series_deletion(condition.as_ref());
            }
            Statement::ShowDatabases
            | Statement::ShowRetentionPolicies { .. }
            | Statement::ShowQueries
            | Statement::KillQuery { .. }
            | Statement::CreateDatabase { .. }
            | Statement::DropDatabase { .. }
            | Statement::CreateRetentionPolicy { .. }
            | Statement::AlterRetentionPolicy { .. }
            | Statement::DropRetentionPolicy { .. }
            | Statement::DropMeasurement { .. } => {}
        }
    }

    fn cardinality(&mut self, statement: &ShowCardinality) {
        self.scope(&statement.scope);
        if let Counted::TagValues(keys) = &statement.counted {
            self.keys(keys);
        }
        self.dimensions(&statement.dimensions);
        for dimension in &statement.dimensions {
            if let Dimension::Time(window) = dimension {
                self.report(Error::WindowInShow, window.span);
            }
        }
    }

    fn dimensions(&mut self, dimensions: &[Dimension]) {
        for dimension in dimensions {
            if let Dimension::Regex { pattern, span } = dimension {
                self.regex(pattern, *span);
            }
        }
    }

    fn scope(&mut self, scope: &ShowScope) {
        self.measurements(&scope.measurements);
        let _ = self.condition(scope.condition.as_ref(), None);
    }

    fn keys(&mut self, keys: &KeyFilter) {
        match keys {
            KeyFilter::Matches { pattern, span } | KeyFilter::NotMatches { pattern, span } => {
                self.regex(pattern, *span);
            }
            KeyFilter::Equal(_) | KeyFilter::NotEqual(_) | KeyFilter::In(_) => {}
        }
    }

    fn measurements(&mut self, measurements: &[Measurement]) {
        for measurement in measurements {
            if let MeasurementName::Regex(pattern) = &measurement.name {
                self.regex(pattern, measurement.span);
            }
        }
    }

    fn regex(&mut self, pattern: &str, span: Span) {
        if let Err(error) = Pattern::new(pattern) {
            self.report(Error::BadRegex(error), span);
        }
    }

    /// A WHERE clause as if there were no data: a name compared with a number is a field, one
    /// compared with a text a tag. That finds all that can be wrong with it.
    fn condition(&mut self, condition: Option<&Expr>, zone: Option<&str>) -> Option<Condition> {
        let condition = condition?;
        self.regexes(condition);
        let zone = zone.and_then(time_zone);
        // What is a field only the data says: a condition passes that makes sense with some data.
        let split = |names_are_fields: bool| {
            let is_field = |_: &str| names_are_fields;
            let context = ConditionContext { now_ns: 0, zone: zone.as_ref(), is_field: &is_field };
            split_condition(condition, &context)
        };
        match split(false).or_else(|error| split(true).map_err(|_| error)) {
            Ok(condition) => Some(condition),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    fn regexes(&mut self, expr: &Expr) {
        match expr {
            Expr::RegexMatch { expr, pattern, span, .. } => {
                self.regex(pattern, *span);
                self.regexes(expr);
            }
            Expr::Regex { pattern, span } => self.regex(pattern, *span),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().for_each(|part| self.regexes(part)),
            Expr::Call(call) => call.args.iter().for_each(|arg| self.regexes(arg)),
            Expr::Negate { expr, .. } => self.regexes(expr),
            Expr::Binary { left, right, .. } => {
                self.regexes(left);
                self.regexes(right);
            }
            Expr::Identifier(_) | Expr::Literal { .. } | Expr::Wildcard { .. } => {}
        }
    }

    fn deletion(&mut self, condition: Option<&Expr>) {
        let split = self.condition(condition, None);
        if let (Some(expr), Some(Condition { residual: Some(_), .. })) = (condition, split) {
            self.report(Error::FieldInDelete, expr.span());
        }
    }

    fn series_deletion(&mut self, condition: Option<&Expr>) {
        let Some(expr) = condition else { return };
        if has_time(expr) {
            self.report(Error::TimeInDropSeries, expr.span());
        } else {
            self.deletion(condition);
        }
    }

    fn select(&mut self, select: &Select) {
        for source in &select.sources {
            match source {
                Source::Measurement(measurement) => {
                    self.measurements(std::slice::from_ref(measurement));
                }
                Source::Subquery(inner) => self.select(inner),
            }
        }
        let zone = select.zone.as_ref().map(|zone| zone.name.as_str());
        let _ = self.condition(select.condition.as_ref(), zone);
        self.dimensions(&select.dimensions);
        let mut columns = Columns { windowed: select.window().is_some(), ..Columns::default() };
        for field in &select.fields {
            let before = columns.names;
            self.column(&field.expr, &mut columns);
            let is_constant = columns.names == before;
            if is_constant && self.errors.is_empty() {
                self.report(Error::ConstantField, field.expr.span());
            }
        }
        // What follows judges the columns as a whole, and needs each of them to be sound.
        if self.errors.is_empty() {
            self.together(select, &columns);
        }
    }

    /// What may stand together in one SELECT.
    fn together(&mut self, select: &Select, columns: &Columns) {
        let whole = match (select.fields.first(), select.fields.last()) {
            (Some(first), Some(last)) => first.expr.span().to(last.expr.span()),
            _ => Span::default(),
        };
        let changes = columns.changes.is_some();
        if columns.aggregates + columns.selectors > 0 || changes {
            match (columns.plain, columns.changes) {
                (Some(plain), _) if columns.aggregates > 0 || changes => {
                    self.report(Error::MixedAggregates, plain);
                }
                (Some(plain), _) if columns.selectors > 1 => {
                    self.report(Error::MixedSelectors, plain);
                }
                (None, Some(change)) if columns.aggregates + columns.selectors > 0 => {
                    self.report(Error::MixedChanges, change);
                }
                _ => {}
            }
        } else {
            if columns.plain.is_none() {
                self.report(Error::OnlyTime, whole);
            }
            match select.fill {
                Fill::None => self.report(Error::FillWithoutFunction { fill: "none" }, whole),
                Fill::Linear => self.report(Error::FillWithoutFunction { fill: "linear" }, whole),
                Fill::Null | Fill::Previous | Fill::Number(_) => {}
            }
            if let Some(window) = select.window() {
                self.report(Error::WindowWithoutAggregate, window.span);
            }
        }
        let mut windows = select.dimensions.iter().filter_map(|dimension| match dimension {
            Dimension::Time(window) => Some(window.span),
            _ => None,
        });
        if let Some(second) = windows.nth(1) {
            self.report(Error::SeveralWindows, second);
        }
    }

    /// One column, or a part of it.
    fn column(&mut self, expr: &Expr, columns: &mut Columns) {
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
        columns.names += 1;
        let Some(function) = Function::from_name(&call.name) else {
            let suggestion = Function::similar_name(&call.name);
            let name = call.name.clone();
            return self.report(Error::UnknownFunction { name, suggestion }, call.span);
        };
        if !self.argument_count(function, call) {
            return;
        }
        if let Some(second) = call.args.get(1) {
            self.second_argument(function, &call.name, second);
        }
        let Some(argument) = call.args.first() else { return };
        match function.kind() {
            FunctionKind::Aggregate => columns.aggregates += 1,
            FunctionKind::Selector => columns.selectors += 1,
            FunctionKind::Transformation => return self.change(call, argument, columns),
        }
        self.field_argument(&call.name, argument);
    }

    /// A function of points and those before them.
    fn change(&mut self, call: &Call, argument: &Expr, columns: &mut Columns) {
        let name = call.name.clone();
        match argument {
            Expr::Call(_) if !columns.windowed => {
                columns.aggregates += 1;
                self.report(Error::ChangeWithoutWindow { name }, call.span);
            }
            Expr::Call(inner) => {
                // Whatever it is of, it stands in the windows as an aggregate does.
                columns.aggregates += 1;
                let mut inside = Columns { windowed: true, ..Columns::default() };
                self.call(inner, &mut inside);
            }
            _ => {
                columns.changes.get_or_insert(call.span);
                if columns.windowed {
                    self.report(Error::ChangeOfPoints { name }, argument.span());
                } else {
                    self.field_argument(&name, argument);
                }
            }
        }
    }

    fn argument_count(&mut self, function: Function, call: &Call) -> bool {
        let ((least, most), got) = (function.arguments(), call.args.len());
        if (least..=most).contains(&got) {
            return true;
        }
        let name = call.name.clone();
        let error = if least == most {
            Error::ArgumentCount { name, expected: least, got }
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

    /// The second argument of a function that takes one.
    fn second_argument(&mut self, function: Function, name: &str, argument: &Expr) {
        let (name, got, span) = (name.to_owned(), argument.to_string(), argument.span());
        let literal = match argument {
            Expr::Literal { value, .. } => Some(value),
            _ => None,
        };
        match function.second_argument() {
            SecondArgument::None => {}
            SecondArgument::Unit => match literal {
                Some(Literal::Duration(ns)) if *ns > 0 => {}
                Some(Literal::Duration(_)) => self.report(Error::UnitNotPositive { got }, span),
                _ => self.report(Error::UnitArgument { name, got }, span),
            },
            SecondArgument::Percent => {
                let number = literal.filter(|value| {
                    let whole = matches!(value, Literal::Integer(_) | Literal::Unsigned(_));
                    whole || matches!(value, Literal::Number(_))
                });
                match number.and_then(Literal::as_f64) {
                    Some(percent) if (0.0..=100.0).contains(&percent) => {}
                    Some(_) => self.report(Error::PercentOutOfRange { name, got }, span),
                    None => self.report(Error::PercentArgument { name }, span),
                }
            }
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
struct Columns {
    /// Whether there is a `GROUP BY time()`.
    windowed: bool,
    /// How many aggregates.
    aggregates: usize,
    /// How many selectors.
    selectors: usize,
    /// The first function of a field's points and those before them.
    changes: Option<Span>,
    /// The first column outside of functions, other than `time`.
    plain: Option<Span>,
    /// How many names and calls, to tell constants.
    names: usize,
}

/// Whether a condition speaks of time.
fn has_time(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(name) => name.is_time(),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(has_time),
        Expr::Negate { expr, .. } | Expr::RegexMatch { expr, .. } => has_time(expr),
        Expr::Binary { left, right, .. } => has_time(left) || has_time(right),
        Expr::Call(_) | Expr::Literal { .. } | Expr::Wildcard { .. } | Expr::Regex { .. } => false,
    }
}

#[cfg(test)]
mod tests;

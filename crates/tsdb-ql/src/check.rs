//! The meaning of a statement, as far as it can be judged without data: functions and their
//! arguments, what may stand together in a SELECT, regular expressions, conditions. InfluxDB
//! answers these errors for each statement, not for the whole query, so they are apart from the
//! parser's.

mod arguments;
mod columns;

use columns::Columns;
use tsdb_core::matcher::Pattern;

use crate::{
    ast::{
        Counted, Dimension, Expr, Fill, KeyFilter, Measurement, MeasurementName, Order, Select,
        ShowCardinality, ShowScope, Source, Span, Statement,
    },
    condition::{Condition, ConditionContext, split_condition},
    diagnostic::{CheckErrors, Diagnostic},
    error::Error,
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
            Statement::CreateContinuousQuery(query) => self.select(&query.select),
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
            | Statement::ShowContinuousQueries
            | Statement::DropContinuousQuery { .. }
            | Statement::ShowRejects { .. }
            | Statement::ShowStats { .. }
            | Statement::ShowDiagnostics { .. }
            | Statement::ShowShards
            | Statement::ShowShardGroups
            | Statement::KillQuery { .. }
            | Statement::CreateDatabase { .. }
            | Statement::DropDatabase { .. }
            | Statement::CreateRetentionPolicy { .. }
            | Statement::AlterRetentionPolicy { .. }
            | Statement::DropRetentionPolicy { .. }
            | Statement::DropMeasurement { .. }
            | Statement::Account(_) => {}
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
                Source::Subquery(inner) => {
                    if let Some(target) = &inner.target {
                        self.report(Error::IntoInSubquery, target.span);
                    }
                    if inner.order == Order::Descending && select.order == Order::Ascending {
                        let place = inner.fields.first().map(|field| field.expr.span());
                        self.report(Error::SubqueryOrder, place.unwrap_or_default());
                    }
                    self.select(inner);
                }
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

    /// `top(f, n)` needs n rows.
    fn top_limit(&mut self, select: &Select) {
        let Some(allowed) = select.page.limit else { return };
        for field in &select.fields {
            let calls = field.expr.calls_of_rows().into_iter();
            for call in calls.filter(|call| matches!(&*call.name, "top" | "bottom")) {
                let count = call.args.last().and_then(|last| match last {
                    Expr::Literal { value, .. } => value.as_f64(),
                    _ => None,
                });
                #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 rows nobody counts")]
                if let Some(count) = count.filter(|count| *count > allowed as f64) {
                    let name = call.name.clone();
                    self.report(Error::TopLimit { name, count, allowed }, call.span);
                }
            }
        }
    }

    /// What may stand together in one SELECT.
    fn together(&mut self, select: &Select, columns: &Columns) {
        let whole = match (select.fields.first(), select.fields.last()) {
            (Some(first), Some(last)) => first.expr.span().to(last.expr.span()),
            _ => Span::default(),
        };
        if let Some((name, span)) = columns.tops.clone()
            && columns.functions > 1
        {
            return self.report(Error::TopBeside { name }, span);
        }
        if let Some(span) = columns.several
            && (columns.functions > 1 || columns.plain.is_some())
        {
            return self.report(Error::DistinctBeside, span);
        }
        if columns.functions > 0 {
            match columns.plain {
                Some(plain) if columns.aggregates > 0 => {
                    self.report(Error::MixedAggregates, plain);
                }
                Some(plain) if columns.selectors > 1 => self.report(Error::MixedSelectors, plain),
                _ => {}
            }
            self.top_limit(select);
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

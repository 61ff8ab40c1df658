//! Takes a WHERE clause apart into what each layer can use: a range of time, a filter on tags,
//! and the rest, which must be asked row by row. What is a tag and what a field is known from the
//! data alone, so the caller says.
//!
//! The rules are InfluxQL's: a name compared with a text or a regular expression is a tag, unless
//! it is a known field (there are no fields of strings, so that is never true); compared with a
//! number it is a field. `::tag` and `::field` say it outright. A missing tag is the empty string;
//! a comparison with a missing field is false, whatever the operator.
//!
//! In one point we are stricter: InfluxQL intersects all time conditions, also those under an OR,
//! and so answers something else than was asked. Here `time` under an OR is an error.

use jiff::tz::TimeZone;
use tsdb_core::{
    matcher::{MatchOp, TagFilter},
    time::TimeRange,
};

use crate::{
    ast::{BinaryOp, Call, Cast, Expr, Identifier, Literal, Span},
    constant::{Constant, fold},
    diagnostic::Diagnostic,
    error::Error,
    math::MathFunction,
    time_text::parse_time,
};

/// A WHERE clause in parts; a row fulfils it when it fulfils all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The range of time; [`TimeRange::all`] on the sides that are not bounded.
    pub time: TimeRange,
    /// What the tags of a series must fulfil. With a residual it may hold for more series than
    /// have such rows, never for fewer.
    pub tags: Option<TagFilter>,
    /// What must still be asked of each row. Every name in it is resolved: its cast is
    /// [`Cast::Tag`] or one of the others, which are fields. Comparisons have numbers, texts and
    /// names in them, no durations or truth values (those are numbers by now) and no `time`.
    pub residual: Option<Expr>,
}

impl Condition {
    /// The condition of no WHERE clause at all.
    #[must_use]
    pub const fn always() -> Self {
        Self { time: TimeRange::all(), tags: None, residual: None }
    }
}

/// What a condition is evaluated against.
#[derive(Clone, Copy)]
pub struct ConditionContext<'c> {
    /// The value of `now()`, in ns since 1970.
    pub now_ns: i64,
    /// The zone of times without an offset; UTC when absent.
    pub zone: Option<&'c TimeZone>,
    /// Whether the measurement has a field of that name. A name that is both is a field, as in
    /// InfluxQL.
    pub is_field: &'c dyn Fn(&str) -> bool,
}

/// Takes `expr` apart, see [`Condition`].
///
/// # Errors
///
/// The first thing in `expr` that is no condition, with its place.
pub fn split_condition(
    expr: &Expr,
    context: &ConditionContext<'_>,
) -> Result<Condition, Diagnostic> {
    let parts = Splitter { context }.split(expr)?;
    let time = parts.time.unwrap_or_else(TimeRange::all);
    let tags = (parts.tags != TagFilter::True).then_some(parts.tags);
    Ok(Condition { time, tags, residual: parts.residual })
}

/// The parts of some condition inside the whole.
struct Parts {
    /// The range, if there is a condition on time.
    time: Option<TimeRange>,
    /// A filter that holds for every series with rows that fulfil the condition.
    tags: TagFilter,
    /// What must be asked beside `tags`; none when those say it all.
    residual: Option<Expr>,
    /// The condition without time but with its tags, for an OR around it that must ask the rows.
    whole: Option<Expr>,
}

impl Parts {
    fn of_time(range: TimeRange) -> Self {
        Parts { time: Some(range), tags: TagFilter::True, residual: None, whole: None }
    }

    fn of_constant(holds: bool) -> Self {
        let tags = if holds { TagFilter::True } else { TagFilter::False };
        Parts { time: None, tags, residual: None, whole: None }
    }

    fn of_tags(tags: TagFilter, whole: Expr) -> Self {
        Parts { time: None, tags, residual: None, whole: Some(whole) }
    }

    fn of_rows(residual: Expr) -> Self {
        let whole = Some(residual.clone());
        Parts { time: None, tags: TagFilter::True, residual: Some(residual), whole }
    }
}

struct Splitter<'c> {
    context: &'c ConditionContext<'c>,
}

impl Splitter<'_> {
    fn split(&self, expr: &Expr) -> Result<Parts, Diagnostic> {
        match expr {
            Expr::And(parts) => self.split_and(parts),
            Expr::Or(parts) => self.split_or(parts),
            Expr::Binary { op, left, right, op_span } if op.is_comparison() => {
                self.split_comparison(*op, left, right, *op_span)
            }
            Expr::RegexMatch { expr, negated, pattern, span } => {
                self.split_regex(expr, *negated, pattern, *span)
            }
            Expr::Literal { value: Literal::Boolean(holds), .. } => Ok(Parts::of_constant(*holds)),
            Expr::Call(call) if MathFunction::from_name(&call.name).is_none() => {
                let error = Error::FunctionInCondition { name: call.name.clone() };
                Err(Diagnostic::new(error, call.span))
            }
            other => Err(not_a_condition(other)),
        }
    }

    fn split_and(&self, exprs: &[Expr]) -> Result<Parts, Diagnostic> {
        let mut time: Option<TimeRange> = None;
        let (mut tags, mut residuals, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
        for expr in exprs {
            let part = self.split(expr)?;
            time = match (time, part.time) {
                (Some(left), Some(right)) => Some(left.intersect(&right)),
                (left, right) => left.or(right),
            };
            tags.push(part.tags);
            residuals.extend(part.residual);
            wholes.extend(part.whole);
        }
        let tags = TagFilter::and(tags);
        if tags == TagFilter::False {
            return Ok(Parts { time, ..Parts::of_constant(false) });
        }
        let residual = residuals.into_iter().reduce(Expr::and);
        let whole = wholes.into_iter().reduce(Expr::and);
        Ok(Parts { time, tags, residual, whole })
    }

    fn split_or(&self, exprs: &[Expr]) -> Result<Parts, Diagnostic> {
        let (mut tags, mut wholes) = (Vec::new(), Vec::new());
        let (mut always, mut rows_decide) = (false, false);
        for expr in exprs {
            let part = self.split(expr)?;
            if part.time.is_some() {
                return Err(Diagnostic::new(Error::TimeInOr, expr.span()));
            }
            always |= part.tags == TagFilter::True && part.residual.is_none();
            if part.tags != TagFilter::False {
                rows_decide |= part.residual.is_some();
                wholes.extend(part.whole);
                tags.push(part.tags);
            }
        }
        if always {
            return Ok(Parts::of_constant(true));
        }
        let whole = wholes.into_iter().reduce(Expr::or);
        let residual = if rows_decide { whole.clone() } else { None };
        Ok(Parts { time: None, tags: TagFilter::or(tags), residual, whole })
    }

    fn split_comparison(
        &self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        op_span: Span,
    ) -> Result<Parts, Diagnostic> {
        match (left, right) {
            (Expr::Identifier(name), operand) if name.is_time() => {
                return self.time_range(op, operand, op_span).map(Parts::of_time);
            }
            (operand, Expr::Identifier(name)) if name.is_time() => {
                return self.time_range(op.flip(), operand, op_span).map(Parts::of_time);
            }
            _ => {}
        }
        let (left_value, right_value) = (self.fold(left)?, self.fold(right)?);
        match (left, left_value, right, right_value) {
            (_, Some(left_value), _, Some(right_value)) => {
                left_value.compare(op, &right_value).map(Parts::of_constant).ok_or_else(|| {
                    let (left, right) = (left.clone(), right.clone());
                    not_a_condition(&Expr::binary(left, op, right, op_span))
                })
            }
            (Expr::Identifier(name), _, _, Some(value)) => {
                self.name_with_value(op, name, value, op_span)
            }
            (_, Some(value), Expr::Identifier(name), _) => {
                self.name_with_value(op.flip(), name, value, op_span)
            }
            (Expr::Identifier(left), None, Expr::Identifier(right), None) => {
                self.name_with_name(op, left, right, op_span)
            }
            _ => {
                let (left, right) = (self.resolve_sum(left)?, self.resolve_sum(right)?);
                Ok(Parts::of_rows(Expr::binary(left, op, right, op_span)))
            }
        }
    }

    /// `name op value`
    fn name_with_value(
        &self,
        op: BinaryOp,
        name: &Identifier,
        value: Constant,
        op_span: Span,
    ) -> Result<Parts, Diagnostic> {
        let is_tag = self.is_tag(name);
        let literal = value.into_literal();
        let Literal::String(text) = &literal else {
            // A number: the name is a field unless it says otherwise.
            if name.cast == Some(Cast::Tag) {
                return Ok(Parts::of_constant(false));
            }
            return Ok(Parts::of_rows(comparison(name, Cast::Field, op, literal, op_span)));
        };
        if !is_tag {
            return Ok(Parts::of_constant(false));
        }
        let match_op = match op {
            BinaryOp::Eq => MatchOp::Eq,
            BinaryOp::Ne => MatchOp::Ne,
            other => return Err(tag_operator(other, op_span)),
        };
        let filter = TagFilter::tag(name.name.as_str(), match_op, text.as_str());
        Ok(Parts::of_tags(filter, comparison(name, Cast::Tag, op, literal, op_span)))
    }

    /// `left op right` for two names: of tags only the rows' layer can tell.
    fn name_with_name(
        &self,
        op: BinaryOp,
        left: &Identifier,
        right: &Identifier,
        op_span: Span,
    ) -> Result<Parts, Diagnostic> {
        let (left_is_tag, right_is_tag) = (self.is_tag(left), self.is_tag(right));
        let is_order = !matches!(op, BinaryOp::Eq | BinaryOp::Ne);
        if left_is_tag && right_is_tag && is_order {
            return Err(tag_operator(op, op_span));
        }
        let cast = |is_tag| if is_tag { Cast::Tag } else { Cast::Field };
        let left = resolved(left, cast(left_is_tag));
        let right = resolved(right, cast(right_is_tag));
        Ok(Parts::of_rows(Expr::binary(left, op, right, op_span)))
    }

    fn split_regex(
        &self,
        expr: &Expr,
        negated: bool,
        pattern: &str,
        span: Span,
    ) -> Result<Parts, Diagnostic> {
        let Expr::Identifier(name) = expr else { return Err(not_a_condition(expr)) };
        if name.is_time() {
            let op = if negated { "!~" } else { "=~" };
            return Err(Diagnostic::new(Error::TimeOperator { op }, span));
        }
        if !self.is_tag(name) {
            return Ok(Parts::of_constant(false));
        }
        let op = if negated { MatchOp::Nre } else { MatchOp::Re };
        let filter = TagFilter::tag(name.name.as_str(), op, pattern);
        let expr = Box::new(resolved(name, Cast::Tag));
        let whole = Expr::RegexMatch { expr, negated, pattern: pattern.to_owned(), span };
        Ok(Parts::of_tags(filter, whole))
    }

    /// The times that `time op operand` allows.
    fn time_range(
        &self,
        op: BinaryOp,
        operand: &Expr,
        op_span: Span,
    ) -> Result<TimeRange, Diagnostic> {
        let fail = |error| Diagnostic::new(error, operand.span());
        let value = self.fold(operand)?;
        let time = match value {
            Some(Constant::Text(text)) => parse_time(&text, self.context.zone)
                .ok_or_else(|| fail(Error::TimeString { text }))?,
            other => other
                .and_then(|value| value.as_time_ns())
                .ok_or_else(|| fail(Error::TimeOperand { expr: operand.to_string() }))?,
        };
        let (first, end) = match op {
            BinaryOp::Eq => (Some(time), Some(time.saturating_add(1))),
            BinaryOp::Gt => (Some(time.saturating_add(1)), None),
            BinaryOp::Ge => (Some(time), None),
            BinaryOp::Lt => (None, Some(time)),
            BinaryOp::Le => (None, Some(time.saturating_add(1))),
            other => {
                return Err(Diagnostic::new(Error::TimeOperator { op: other.symbol() }, op_span));
            }
        };
        let all = TimeRange::all();
        let bound = |time: Option<i128>, default: i64| time.map_or(default, clamp_to_bounds);
        Ok(TimeRange::new(bound(first, all.start), bound(end, all.end)))
    }

    /// An operand of a comparison of fields: numbers folded, names resolved.
    fn resolve_sum(&self, expr: &Expr) -> Result<Expr, Diagnostic> {
        if let Some(value) = self.fold(expr)? {
            let literal = value.into_literal();
            if matches!(literal, Literal::String(_)) {
                return Err(not_a_condition(expr));
            }
            return Ok(Expr::Literal { value: literal, span: expr.span() });
        }
        match expr {
            Expr::Identifier(name) if name.is_time() => {
                Err(Diagnostic::new(Error::TimeInExpression, name.span))
            }
            Expr::Identifier(name) if name.cast != Some(Cast::Tag) => {
                Ok(resolved(name, Cast::Field))
            }
            Expr::Negate { expr, span } => {
                Ok(Expr::Negate { expr: Box::new(self.resolve_sum(expr)?), span: *span })
            }
            Expr::Binary { op, left, right, op_span } if !op.is_comparison() => {
                let (left, right) = (self.resolve_sum(left)?, self.resolve_sum(right)?);
                Ok(Expr::binary(left, *op, right, *op_span))
            }
            Expr::Call(call) => self.resolve_call(call).map(Expr::Call),
            other => Err(not_a_condition(other)),
        }
    }

    /// A function of numbers over fields.
    fn resolve_call(&self, call: &Call) -> Result<Call, Diagnostic> {
        let fail = |error| Err(Diagnostic::new(error, call.span));
        let Some(function) = MathFunction::from_name(&call.name) else {
            return fail(Error::FunctionInCondition { name: call.name.clone() });
        };
        let (expected, got) = (function.arguments(), call.args.len());
        if got != expected {
            return fail(Error::ArgumentCount { name: call.name.clone(), expected, got });
        }
        let args = call.args.iter().map(|argument| self.resolve_sum(argument));
        Ok(Call { args: args.collect::<Result<_, _>>()?, ..call.clone() })
    }

    fn fold(&self, expr: &Expr) -> Result<Option<Constant>, Diagnostic> {
        fold(expr, self.context.now_ns, self.context.zone)
    }

    /// Whether a name stands for a tag where both could stand.
    fn is_tag(&self, name: &Identifier) -> bool {
        match name.cast {
            Some(cast) => cast == Cast::Tag,
            None => !(self.context.is_field)(&name.name),
        }
    }
}

/// The valid time nearest to `time`, or the end behind the last of them.
fn clamp_to_bounds(time: i128) -> i64 {
    let all = TimeRange::all();
    let clamped = time.clamp(i128::from(all.start), i128::from(all.end));
    i64::try_from(clamped).unwrap_or(all.end)
}

/// The name with its cast; one that says its type keeps it.
fn resolved(name: &Identifier, cast: Cast) -> Expr {
    let cast = name.cast.unwrap_or(cast);
    Expr::Identifier(Identifier { cast: Some(cast), ..name.clone() })
}

fn comparison(name: &Identifier, cast: Cast, op: BinaryOp, value: Literal, span: Span) -> Expr {
    Expr::binary(resolved(name, cast), op, Expr::Literal { value, span }, span)
}

fn tag_operator(op: BinaryOp, span: Span) -> Diagnostic {
    Diagnostic::new(Error::TagOperator { op: op.symbol() }, span)
}

fn not_a_condition(expr: &Expr) -> Diagnostic {
    Diagnostic::new(Error::NotACondition { expr: expr.to_string() }, expr.span())
}

#[cfg(test)]
mod tests;

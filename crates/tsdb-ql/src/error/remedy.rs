//! What to do about each error.

use std::borrow::Cow;

use super::Error;
use crate::{function::Function, math::MathFunction};

impl Error {
    /// What to do about it, as a sentence without a full stop.
    #[must_use]
    pub fn remedy(&self) -> Cow<'static, str> {
        match self {
            Error::Unexpected { suggestion: Some(word), .. } => {
                format!("did you mean {word}?").into()
            }
            Error::UnknownFunction { suggestion: Some(name), .. } => {
                format!("did you mean {name}()?").into()
            }
            Error::UnknownFunction { suggestion: None, .. } => {
                let names: Vec<&str> =
                    Function::names().into_iter().chain(MathFunction::names()).collect();
                format!("the functions are {}", names.join(", ")).into()
            }
            other => other.fixed_remedy().into(),
        }
    }

    fn fixed_remedy(&self) -> &'static str {
        match self {
            Error::Unexpected { .. } => {
                "correct the query there; names that are keywords or hold other characters than \
                 letters, digits and _ need double quotes"
            }
            Error::UnexpectedCharacter { .. } => {
                "put names that hold other characters than letters, digits and _ in double quotes, \
                 texts in single quotes"
            }
            Error::Unterminated { .. } => "close it on the same line; a quote inside needs a \\",
            Error::BadEscape { .. } => {
                "write \\\\ for a backslash; else only \\n, \\' and \\\" exist"
            }
            Error::BadDuration(_) => "write durations as 90s, 5m or 1h30m",
            Error::FractionalDuration { .. } => "use a smaller unit, for instance 90m for 1.5h",
            Error::NumberTooLarge { .. } => "use a smaller number",
            Error::ParameterMissing { .. } => {
                "give it in the params of the request, as in params={\"name\": 1}"
            }
            Error::QueryTooLong { .. } => {
                "split it, or replace long lists of names by a regular expression"
            }
            Error::TooDeep => "take out parentheses, or split long sums into several columns",
            Error::OptionTwice { .. } => "give it once",
            Error::OptionMissing { .. } => "add it, for instance DURATION 30d or DURATION INF",
            Error::OptionMisplaced { .. } => {
                "NAME belongs to CREATE DATABASE, DEFAULT to CREATE and ALTER RETENTION POLICY"
            }
            Error::OrderByOther => "write ORDER BY time, ORDER BY time ASC or ORDER BY time DESC",
            Error::ResampleNotPositive { .. } => "write for instance RESAMPLE EVERY 10s FOR 1h",
            Error::ResampleForTooShort { .. } => {
                "give FOR at least the window of GROUP BY time() and at least EVERY"
            }
            Error::BadFill => {
                "write fill(null), fill(none), fill(previous), fill(linear) or fill(0)"
            }
            Error::DimensionCall
            | Error::WindowWithoutArguments
            | Error::WindowArguments
            | Error::WindowDuration
            | Error::WindowOffset => "write for instance GROUP BY time(5m) or time(1d, 6h)",
            Error::DimensionOther => "write for instance GROUP BY time(5m), host",
            Error::UnknownCast { .. } => {
                "the types are tag, field, float, integer, unsigned, string and boolean"
            }
            Error::UnknownTimeZone { .. } => {
                "use a name of the IANA list, for instance tz('Europe/Berlin')"
            }
            Error::BadRegex(_) => "a / inside needs a \\ before it; lookaround does not exist",
            other => other.fixed_remedy_of_meaning(),
        }
    }

    fn fixed_remedy_of_meaning(&self) -> &'static str {
        match self {
            Error::ArgumentCount { .. }
            | Error::ArgumentRange { .. }
            | Error::ArgumentsAtLeast { .. } => "give it that many",
            Error::FieldArgument { .. } => "give it the name of a field, * or a regular expression",
            Error::MathArgument { .. } => "give it fields, functions and numbers",
            Error::PercentArgument { .. } | Error::PercentOutOfRange { .. } => {
                "give it a number as in percentile(usage, 99.9)"
            }
            Error::UnitArgument { .. } | Error::UnitNotPositive { .. } => {
                "give it a duration as in derivative(usage, 1s), or leave it out"
            }
            Error::ChangeWithoutWindow { .. } => {
                "add for instance GROUP BY time(1m), or give it a field"
            }
            Error::ChangeOfPoints { .. } => {
                "write for instance derivative(mean(usage), 1s), or leave out GROUP BY time()"
            }
            Error::MathInside { .. } => {
                "write it the other way round, as in abs(derivative(max(usage)))"
            }
            Error::ForecastOfPoints { .. } => "write for instance holt_winters(mean(usage), 10, 4)",
            Error::WindowArgument { .. } => "write for instance moving_average(usage, 5)",
            Error::CountArgument { .. } => "write for instance top(usage, 3) or sample(usage, 10)",
            Error::PeriodArgument { .. }
            | Error::HoldArgument { .. }
            | Error::WarmupArgument { .. } => {
                "write for instance exponential_moving_average(usage, 10) or (usage, 10, 0, 'simple')"
            }
            Error::SeasonArgument { .. } => "give it the points of a season, or 0",
            Error::TopField { .. } | Error::TopTag { .. } => {
                "write for instance top(usage, 3) or top(usage, host, 3)"
            }
            Error::TopBeside { .. } | Error::DistinctBeside => "ask with one query for each",
            Error::TopLimit { .. } => "raise LIMIT or leave it out",
            Error::MixedAggregates => {
                "put the plain columns into GROUP BY, or take an aggregate of them too"
            }
            Error::MixedSelectors => "ask with one query for each selector",
            Error::WindowWithoutAggregate => {
                "aggregate the columns, for instance mean(value), or leave out GROUP BY time()"
            }
            Error::SeveralWindows => "keep one time()",
            Error::FillWithoutFunction { .. } => "aggregate the columns or leave out fill()",
            Error::OnlyTime => "add a field; the time comes with every row",
            Error::OperatorInSelect { .. } => "move the condition behind WHERE",
            Error::WildcardInExpression { .. } => "name the fields one by one",
            Error::ConstantField => "add a field to the expression, or leave the column out",
            Error::TimeInOr => {
                "join the time range with AND, outside of the parentheses, or ask with one query \
                 for each range"
            }
            Error::TimeOperator { .. } => "use =, <, <=, > or >=",
            Error::TimeOperand { .. } => {
                "compare time with a text such as '2026-01-31T12:00:00Z', with now() - 1h, with \
                 1767225600s or with an integer of ns"
            }
            Error::TimeString { .. } => {
                "write '2026-01-31', '2026-01-31 12:00:00.5' or '2026-01-31T12:00:00Z'"
            }
            Error::TimeInExpression => "move the arithmetic to the other side",
            Error::ConstantArithmetic { .. } => {
                "times lie in the years 1677 to 2262; only times, durations and numbers that fit \
                 each other can be added, and nothing is divided by zero"
            }
            Error::NotACondition { .. } => "compare it with something, as in usage > 90",
            Error::TagOperator { .. } => "use =, !=, =~ or !~; fields are compared with numbers",
            Error::FunctionInCondition { .. } => {
                "aggregate in a subquery and filter its result; only now() can stand here"
            }
            Error::FieldInDelete => "delete by time and tags only",
            Error::SubqueryOrder => "put ORDER BY time DESC behind the outermost SELECT",
            Error::IntoInSubquery => "put INTO behind the columns of the outermost SELECT",
            Error::WindowInShow => "group by tags, or ask for a range of time in WHERE",
            Error::TimeInDropSeries => "use DELETE for a range of time",
            _ => "correct the query there",
        }
    }
}

//! The one error enum of the language: what can be wrong with a query, in the words that clients
//! of InfluxDB know where it has words for it, and what to do about it. Where it is wrong is the
//! business of `diagnostic`.

mod remedy;

use thiserror::Error;
use tsdb_core::{
    matcher::FilterError,
    time::{DurationError, format_duration},
};

use crate::limits::{DEPTH_MAX, QUERY_BYTES_MAX};

/// What is wrong with a query. All of them mean: change the query, the same one fails again.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    // --- the text
    /// Something stands where it cannot stand.
    #[error("found {found}, expected {}", expected.join(", "))]
    Unexpected {
        /// What stands there, as written; `EOF` for the end.
        found: String,
        /// What can stand there.
        expected: Vec<String>,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A character that begins nothing.
    #[error("found unexpected character {character:?}")]
    UnexpectedCharacter {
        /// The character.
        character: char,
    },
    /// A string, name, regular expression or comment without its end.
    #[error("found unterminated {what}, expected {terminator}")]
    Unterminated {
        /// "string", "identifier", "regular expression" or "comment".
        what: &'static str,
        /// What would end it.
        terminator: &'static str,
    },
    /// A backslash before a character that needs none.
    #[error("found bad escape {escape}")]
    BadEscape {
        /// The backslash and the character.
        escape: String,
    },
    /// A duration that is none.
    #[error("{0}")]
    BadDuration(DurationError),
    /// A duration with a decimal point.
    #[error("found {text}, expected a duration of whole numbers")]
    FractionalDuration {
        /// As written.
        text: String,
    },
    /// A number that no type holds.
    #[error("number {text} is too large")]
    NumberTooLarge {
        /// As written.
        text: String,
    },
    /// A `$name` that the request gives no value for.
    #[error("missing parameter: {name}")]
    ParameterMissing {
        /// The name without the `$`.
        name: String,
    },
    /// A text over the limit.
    #[error("query is too long: {bytes} bytes, the limit is {QUERY_BYTES_MAX}")]
    QueryTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Parentheses or operators over the limit.
    #[error("query is nested too deeply: the limit is {DEPTH_MAX} levels")]
    TooDeep,

    // --- the clauses
    /// A clause or option given twice.
    #[error("{option} is given twice")]
    OptionTwice {
        /// For instance "DURATION".
        option: &'static str,
    },
    /// An option that must be there.
    #[error("{option} is missing")]
    OptionMissing {
        /// For instance "DURATION".
        option: &'static str,
    },
    /// An option in a statement that does not have it.
    #[error("{option} cannot be given here")]
    OptionMisplaced {
        /// For instance "NAME".
        option: &'static str,
    },
    /// ORDER BY something else than time.
    #[error("only ORDER BY time supported at this time")]
    OrderByOther,
    /// `INTO` in a query whose rows another query takes.
    #[error("a subquery cannot have INTO")]
    IntoInSubquery,
    /// A subquery that goes another way in time than the query around it.
    #[error("subqueries must be ordered in the same direction as the query itself")]
    SubqueryOrder,
    /// `EVERY` or `FOR` of nothing.
    #[error("{option} duration must be greater than 0")]
    ResampleNotPositive {
        /// "EVERY" or "FOR".
        option: &'static str,
    },
    /// `FOR` of less than a window, or than what passes between two runs.
    #[error(
        "FOR duration must be >= GROUP BY time duration: must be a minimum of {}, got {}",
        format_duration(*least_ns),
        format_duration(*got_ns)
    )]
    ResampleForTooShort {
        /// The shortest that it can be, in ns.
        least_ns: i64,
        /// What was given, in ns.
        got_ns: i64,
    },
    /// `fill()` with something unknown in it.
    #[error("expected number, null, none, linear or previous in fill()")]
    BadFill,
    /// A function other than `time()` in GROUP BY.
    #[error("only time() calls allowed in dimensions")]
    DimensionCall,
    /// `GROUP BY time` without its parentheses.
    #[error("time() is a function and expects at least one argument")]
    WindowWithoutArguments,
    /// `time()` without or with three arguments.
    #[error("time dimension expected 1 or 2 arguments")]
    WindowArguments,
    /// `time()` of something that is no duration above zero.
    #[error("time dimension must have duration argument")]
    WindowDuration,
    /// A second argument of `time()` that is neither a duration nor `now()`.
    #[error("time dimension offset must be duration or now()")]
    WindowOffset,
    /// Something other than tags and `time()` in GROUP BY.
    #[error("only time and tag dimensions allowed")]
    DimensionOther,
    /// `::something`
    #[error("unknown type {name} in a cast")]
    UnknownCast {
        /// As written.
        name: String,
    },
    /// `tz()` of an unknown zone.
    #[error("unable to find time zone {name}")]
    UnknownTimeZone {
        /// As written.
        name: String,
    },
    /// A regular expression that is wrong or too large.
    #[error("{0}")]
    BadRegex(FilterError),

    // --- the meaning of a SELECT
    /// A function that does not exist.
    #[error("undefined function {name}()")]
    UnknownFunction {
        /// As written.
        name: String,
        /// The one that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A wrong number of arguments.
    #[error("invalid number of arguments for {name}, expected {expected}, got {got}")]
    ArgumentCount {
        /// The function.
        name: String,
        /// How many it takes.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A wrong number of arguments for a function that can have one more or less.
    #[error(
        "invalid number of arguments for {name}, expected at least {least} but no more than {most}, \
         got {got}"
    )]
    ArgumentRange {
        /// The function.
        name: String,
        /// How many it takes at least.
        least: usize,
        /// How many it takes at most.
        most: usize,
        /// How many there are.
        got: usize,
    },
    /// Too few arguments for a function that can have any number.
    #[error("invalid number of arguments for {name}, expected at least {least}, got {got}")]
    ArgumentsAtLeast {
        /// The function.
        name: String,
        /// How many it takes at least.
        least: usize,
        /// How many there are.
        got: usize,
    },
    /// An argument that is no field.
    #[error("expected field argument in {name}()")]
    FieldArgument {
        /// The function.
        name: String,
    },
    /// An argument of a function of numbers that is none.
    #[error("expected number arguments in {name}()")]
    MathArgument {
        /// The function.
        name: String,
    },
    /// A percentage that is no number.
    #[error("expected float argument in {name}()")]
    PercentArgument {
        /// The function.
        name: String,
    },
    /// A percentage that is none.
    #[error("expected a percentage from 0 to 100 in {name}(), got {got}")]
    PercentOutOfRange {
        /// The function.
        name: String,
        /// As it would be printed.
        got: String,
    },
    /// A unit of time that is no duration.
    #[error("second argument to {name} must be a duration, got {got}")]
    UnitArgument {
        /// The function.
        name: String,
        /// As it would be printed.
        got: String,
    },
    /// A unit of time that is not above zero.
    #[error("duration argument must be positive, got {got}")]
    UnitNotPositive {
        /// As it would be printed.
        got: String,
    },
    /// The change of a function's results without windows for it to have several.
    #[error("{name} aggregate requires a GROUP BY interval")]
    ChangeWithoutWindow {
        /// The function.
        name: String,
    },
    /// The change of a field's points in windows.
    #[error("aggregate function required inside the call to {name}")]
    ChangeOfPoints {
        /// The function.
        name: String,
    },
    /// A function of numbers inside a function of rows.
    #[error("unsupported call: {inner}() in {name}()")]
    MathInside {
        /// The function of rows.
        name: String,
        /// The function of numbers.
        inner: String,
    },
    /// A forecast of a field's points.
    #[error("must use aggregate function with {name}")]
    ForecastOfPoints {
        /// The function.
        name: String,
    },
    /// A number of points to look back at that is none.
    #[error("second argument for {name} must be an integer greater than 1")]
    WindowArgument {
        /// The function.
        name: String,
    },
    /// A number of points that is none.
    #[error("expected an integer of at least 1 as the number of points in {name}()")]
    CountArgument {
        /// The function.
        name: String,
    },
    /// A period that is none.
    #[error("{name} period must be an integer greater than or equal to {least}")]
    PeriodArgument {
        /// The function.
        name: String,
        /// The smallest.
        least: i64,
    },
    /// A number of points without an answer that is none.
    #[error("{name} hold period must be an integer greater than or equal to {least}, or -1")]
    HoldArgument {
        /// The function.
        name: String,
        /// The smallest.
        least: i64,
    },
    /// An unknown way for averages to begin.
    #[error("{name} warmup type must be one of: '{}'", warmups.join("' '"))]
    WarmupArgument {
        /// The function.
        name: String,
        /// Those that there are.
        warmups: &'static [&'static str],
    },
    /// A number of points of a season that is none.
    #[error("expected an integer of at least 0 as the third argument of {name}()")]
    SeasonArgument {
        /// The function.
        name: String,
    },
    /// `top()` of something that is no field.
    #[error("expected first argument to be a field in {name}(), found {got}")]
    TopField {
        /// The function.
        name: String,
        /// As it would be printed.
        got: String,
    },
    /// `top()` by something that is no tag.
    #[error("only fields or tags are allowed in {name}(), found {got}")]
    TopTag {
        /// The function.
        name: String,
        /// As it would be printed.
        got: String,
    },
    /// `top()` beside other functions.
    #[error("selector function {name}() cannot be combined with other functions")]
    TopBeside {
        /// The function.
        name: String,
    },
    /// `top()` of more rows than LIMIT lets through.
    #[error(
        "limit ({count}) in {name} function can not be larger than the LIMIT ({allowed}) in the select \
         statement"
    )]
    TopLimit {
        /// The function.
        name: String,
        /// Rows that it asks for.
        count: f64,
        /// Rows of LIMIT.
        allowed: u64,
    },
    /// `distinct()` beside other columns.
    #[error("aggregate function distinct() cannot be combined with other functions or fields")]
    DistinctBeside,
    /// Aggregates beside plain columns.
    #[error("mixing aggregate and non-aggregate queries is not supported")]
    MixedAggregates,
    /// Two selectors beside plain columns.
    #[error("mixing multiple selector functions with tags or fields is not supported")]
    MixedSelectors,
    /// `GROUP BY time()` of plain columns.
    #[error("GROUP BY requires at least one aggregate function")]
    WindowWithoutAggregate,
    /// `GROUP BY time()` in a SHOW statement.
    #[error("SHOW CARDINALITY has no GROUP BY time")]
    WindowInShow,
    /// Several `time()` in one GROUP BY.
    #[error("multiple time dimensions not allowed")]
    SeveralWindows,
    /// `fill(none)` or `fill(linear)` of plain columns.
    #[error("fill({fill}) must be used with a function")]
    FillWithoutFunction {
        /// "none" or "linear".
        fill: &'static str,
    },
    /// Nothing but `time` is selected.
    #[error("at least 1 non-time field must be queried")]
    OnlyTime,
    /// A comparison, AND or OR among the columns.
    #[error("invalid operator {op} in SELECT clause; operator is intended for WHERE clause")]
    OperatorInSelect {
        /// The operator.
        op: &'static str,
    },
    /// `*` or `/…/` inside an arithmetic expression.
    #[error("unsupported expression with wildcard: {expr}")]
    WildcardInExpression {
        /// The expression as it would be printed.
        expr: String,
    },
    /// A column made of constants only.
    #[error("field must contain at least one variable")]
    ConstantField,

    // --- conditions
    /// `time` under an OR.
    #[error("time conditions cannot be combined with OR")]
    TimeInOr,
    /// `time !=`, `time =~` and the like.
    #[error("invalid time comparison operator: {op}")]
    TimeOperator {
        /// The operator.
        op: &'static str,
    },
    /// `time` compared with something that is no constant.
    #[error("invalid operation: time and {expr} are not compatible")]
    TimeOperand {
        /// The other side as it would be printed.
        expr: String,
    },
    /// A text that is no time.
    #[error("invalid timestamp string: '{text}'")]
    TimeString {
        /// As written.
        text: String,
    },
    /// `time` inside an arithmetic expression.
    #[error("time must stand alone on one side of a comparison")]
    TimeInExpression,
    /// Arithmetic on constants that leaves its type, or divides by zero.
    #[error("the value of {expr} cannot be computed")]
    ConstantArithmetic {
        /// The expression as it would be printed.
        expr: String,
    },
    /// An expression that is neither true nor false.
    #[error("invalid condition expression: {expr}")]
    NotACondition {
        /// The expression as it would be printed.
        expr: String,
    },
    /// A tag compared by order.
    #[error("invalid comparison of a tag or string: {op}")]
    TagOperator {
        /// The operator.
        op: &'static str,
    },
    /// A function in a condition.
    #[error("invalid function call in condition: {name}()")]
    FunctionInCondition {
        /// The function.
        name: String,
    },
    /// A field in the condition of a deletion.
    #[error("fields not supported in WHERE clause during deletion")]
    FieldInDelete,
    /// A time in the condition of DROP SERIES.
    #[error("DROP SERIES doesn't support time in WHERE clause")]
    TimeInDropSeries,
}

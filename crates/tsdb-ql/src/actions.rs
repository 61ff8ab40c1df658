//! What the actions of the grammar do beyond putting nodes together: small facts of the language
//! that its tables cannot say, and the messages about them.

use lalrpop_util::{ErrorRecovery, ParseError};

use crate::{
    ast::{
        Call, Cast, Counted, Dimension, Expr, Fill, Identifier, Literal, Measurement, Page,
        PolicyOptions, RetentionDuration, ShowCardinality, ShowScope, Span, Statement, Window,
        WindowOffset, Zone,
    },
    diagnostic::Diagnostic,
    error::Error,
    expected,
    time_text::{parse_time, time_zone},
    token::Token,
};

/// One option of a retention policy.
pub(crate) enum PolicyOption {
    Duration(RetentionDuration),
    Replication(u64),
    ShardDuration(RetentionDuration),
    Name(String),
    Default,
}

impl PolicyOption {
    fn keyword(&self) -> &'static str {
        match self {
            PolicyOption::Duration(_) => "DURATION",
            PolicyOption::Replication(_) => "REPLICATION",
            PolicyOption::ShardDuration(_) => "SHARD DURATION",
            PolicyOption::Name(_) => "NAME",
            PolicyOption::Default => "DEFAULT",
        }
    }
}

/// One argument of `time()`, as far as it can be one.
pub(crate) enum DimensionArgument {
    Duration(i64),
    Text(String),
    Call(String),
    Other,
}

/// What a SHOW statement looks at, of the clauses that stand there.
pub(crate) fn scope(
    database: Option<String>,
    measurements: Option<Vec<Measurement>>,
    condition: Option<Option<Expr>>,
    page: Page,
) -> ShowScope {
    let (measurements, condition) = (measurements.unwrap_or_default(), condition.flatten());
    ShowScope { database, measurements, condition, page }
}

/// `SHOW … CARDINALITY`
pub(crate) fn cardinality(
    counted: Counted,
    exact: bool,
    (scope, dimensions): (ShowScope, Vec<Option<Dimension>>),
) -> Statement {
    let dimensions = dimensions.into_iter().flatten().collect();
    Statement::ShowCardinality(Box::new(ShowCardinality { counted, exact, scope, dimensions }))
}

/// Reports what was left out where a clause could not be read.
pub(crate) fn skipped(
    recovery: ErrorRecovery<usize, Token, Diagnostic>,
    text: &str,
    errors: &mut Vec<Diagnostic>,
) {
    errors.push(parse_error(recovery.error, text));
}

/// The parser's error in our words.
pub(crate) fn parse_error(error: ParseError<usize, Token, Diagnostic>, text: &str) -> Diagnostic {
    match error {
        ParseError::UnrecognizedToken { token: (start, token, end), expected } => {
            unexpected(&token, Span::new(start, end), &expected, text)
        }
        ParseError::UnrecognizedEof { location, expected } => {
            unexpected(&Token::Semicolon, Span::new(location, location), &expected, text)
        }
        ParseError::ExtraToken { token: (start, token, end) } => {
            unexpected(&token, Span::new(start, end), &["\";\"".to_owned()], text)
        }
        ParseError::InvalidToken { location } => {
            unexpected(&Token::Error, Span::new(location, location), &[], text)
        }
        ParseError::User { error } => error,
    }
}

fn unexpected(token: &Token, span: Span, terminals: &[String], text: &str) -> Diagnostic {
    let found = expected::found(token, span, text);
    let expected = expected::readable(terminals);
    let suggestion = expected::suggestion(&found, &expected);
    Diagnostic::new(Error::Unexpected { found, expected, suggestion }, span)
}

/// The text of a keyword that stands where a name is due.
pub(crate) fn keyword_as_name(text: &str, span: Span) -> String {
    text.get(span.start..span.end).unwrap_or_default().to_owned()
}

/// A function call; names of functions are known in any case of letters.
pub(crate) fn call(name: &str, args: Vec<Expr>, span: Span) -> Expr {
    Expr::Call(Call { name: name.to_ascii_lowercase(), args, span })
}

/// The type behind `::`.
pub(crate) fn cast((name, span): (String, Span), errors: &mut Vec<Diagnostic>) -> Option<Cast> {
    let cast = Cast::from_name(&name);
    if cast.is_none() {
        errors.push(Diagnostic::new(Error::UnknownCast { name }, span));
    }
    cast
}

/// A name in GROUP BY; `time` needs its parentheses there.
pub(crate) fn tag_dimension(name: Identifier, errors: &mut Vec<Diagnostic>) -> Option<Dimension> {
    if name.is_time() {
        errors.push(Diagnostic::new(Error::WindowWithoutArguments, name.span));
        return None;
    }
    Some(Dimension::Tag(name))
}

/// A call in GROUP BY, which must be `time()`.
pub(crate) fn time_dimension(
    name: &str,
    arguments: &[DimensionArgument],
    span: Span,
    errors: &mut Vec<Diagnostic>,
) -> Option<Dimension> {
    let window = if name.eq_ignore_ascii_case("time") {
        window(arguments, span)
    } else {
        Err(Error::DimensionCall)
    };
    match window {
        Ok(window) => Some(Dimension::Time(window)),
        Err(error) => {
            errors.push(Diagnostic::new(error, span));
            None
        }
    }
}

fn window(arguments: &[DimensionArgument], span: Span) -> Result<Window, Error> {
    let (every, offset) = match arguments {
        [every] => (every, None),
        [every, offset] => (every, Some(offset)),
        _ => return Err(Error::WindowArguments),
    };
    let every_ns = match every {
        DimensionArgument::Duration(ns) if *ns > 0 => *ns,
        _ => return Err(Error::WindowDuration),
    };
    let offset = match offset {
        None => WindowOffset::Ns(0),
        Some(DimensionArgument::Duration(ns)) => WindowOffset::Ns(*ns),
        Some(DimensionArgument::Call(name)) if name.eq_ignore_ascii_case("now") => {
            WindowOffset::Now
        }
        Some(DimensionArgument::Text(text)) => {
            let time = parse_time(text, None).and_then(|time| i64::try_from(time).ok());
            WindowOffset::Ns(time.ok_or_else(|| Error::TimeString { text: text.clone() })?)
        }
        Some(DimensionArgument::Call(_) | DimensionArgument::Other) => {
            return Err(Error::WindowOffset);
        }
    };
    Ok(Window { every_ns, offset, span })
}

/// The word in `fill()`.
pub(crate) fn fill(name: &str, span: Span, errors: &mut Vec<Diagnostic>) -> Fill {
    match name.to_ascii_lowercase().as_str() {
        "null" => Fill::Null,
        "none" => Fill::None,
        "previous" => Fill::Previous,
        "linear" => Fill::Linear,
        _ => {
            errors.push(Diagnostic::new(Error::BadFill, span));
            Fill::Null
        }
    }
}

/// The number in `fill()`.
pub(crate) fn fill_number(negative: bool, literal: &Literal) -> Fill {
    let number = literal.as_f64().unwrap_or_default();
    Fill::Number(if negative { -number } else { number })
}

/// The column of ORDER BY, which must be time.
pub(crate) fn order_by_time(name: &Identifier, errors: &mut Vec<Diagnostic>) {
    if !name.is_time() {
        errors.push(Diagnostic::new(Error::OrderByOther, name.span));
    }
}

/// The four bounds, where zero says nothing.
pub(crate) fn page(
    limit: Option<u64>,
    offset: Option<u64>,
    series_limit: Option<u64>,
    series_offset: Option<u64>,
) -> Page {
    let said = |bound: Option<u64>| bound.filter(|count| *count > 0);
    Page {
        limit: said(limit),
        offset: said(offset),
        series_limit: said(series_limit),
        series_offset: said(series_offset),
    }
}

/// The zone of `tz()`.
pub(crate) fn zone(name: String, span: Span, errors: &mut Vec<Diagnostic>) -> Zone {
    if time_zone(&name).is_none() {
        let error = Error::UnknownTimeZone { name: name.clone() };
        errors.push(Diagnostic::new(error, span));
    }
    Zone { name, span }
}

/// A duration that a policy keeps rows; 0 is for ever, as in InfluxDB.
pub(crate) fn retention(ns: i64) -> RetentionDuration {
    if ns == 0 { RetentionDuration::Forever } else { RetentionDuration::Ns(ns) }
}

/// The options of ALTER RETENTION POLICY.
pub(crate) fn policy(
    options: Vec<(PolicyOption, Span)>,
    errors: &mut Vec<Diagnostic>,
) -> PolicyOptions {
    collect(options, |option| !matches!(option, PolicyOption::Name(_)), errors)
}

/// The options of CREATE RETENTION POLICY, which must say how long it keeps rows.
pub(crate) fn new_policy(
    options: Vec<(PolicyOption, Span)>,
    statement: Span,
    errors: &mut Vec<Diagnostic>,
) -> PolicyOptions {
    let policy = policy(options, errors);
    if policy.duration.is_none() {
        errors.push(Diagnostic::new(Error::OptionMissing { option: "DURATION" }, statement));
    }
    policy
}

/// The options of CREATE DATABASE … WITH.
pub(crate) fn database_policy(
    options: Vec<(PolicyOption, Span)>,
    errors: &mut Vec<Diagnostic>,
) -> PolicyOptions {
    collect(options, |option| !matches!(option, PolicyOption::Default), errors)
}

fn collect(
    options: Vec<(PolicyOption, Span)>,
    allowed: fn(&PolicyOption) -> bool,
    errors: &mut Vec<Diagnostic>,
) -> PolicyOptions {
    let mut policy = PolicyOptions::default();
    for (option, span) in options {
        let keyword = option.keyword();
        if !allowed(&option) {
            errors.push(Diagnostic::new(Error::OptionMisplaced { option: keyword }, span));
            continue;
        }
        let twice = match option {
            PolicyOption::Duration(duration) => policy.duration.replace(duration).is_some(),
            PolicyOption::Replication(count) => policy.replication.replace(count).is_some(),
            PolicyOption::ShardDuration(duration) => {
                let ns = match duration {
                    RetentionDuration::Forever => 0,
                    RetentionDuration::Ns(ns) => ns,
                };
                policy.shard_duration_ns.replace(ns).is_some()
            }
            PolicyOption::Name(name) => policy.name.replace(name).is_some(),
            PolicyOption::Default => std::mem::replace(&mut policy.default, true),
        };
        if twice {
            errors.push(Diagnostic::new(Error::OptionTwice { option: keyword }, span));
        }
    }
    policy
}

//! Writes trees as query text, in one canonical form: keywords in capitals, names in quotes only
//! when they need them, parentheses only where the grammar does. What is written parses to the
//! same tree, unless it holds a password: that is never written.

mod accounts;

mod continuous;

use std::fmt::{self, Display, Formatter, Write as _};

use tsdb_core::time::format_duration;

use crate::{
    ast::{
        BinaryOp, Call, Cast, Counted, Dimension, Expr, Field, Fill, Identifier, KeyFilter,
        Literal, Measurement, MeasurementName, Order, Page, PolicyOptions, RetentionDuration,
        Select, ShowCardinality, ShowScope, Source, Statement, Target, TargetName, Window,
        WindowOffset,
    },
    lexer::is_plain_name,
};

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Select(select) => select.fmt(f),
            Statement::Explain { analyze: false, select } => write!(f, "EXPLAIN {select}"),
            Statement::Explain { analyze: true, select } => write!(f, "EXPLAIN ANALYZE {select}"),
            Statement::ShowDatabases => f.write_str("SHOW DATABASES"),
            Statement::ShowQueries => f.write_str("SHOW QUERIES"),
            Statement::ShowContinuousQueries => f.write_str("SHOW CONTINUOUS QUERIES"),
            Statement::CreateContinuousQuery(query) => query.fmt(f),
            Statement::DropContinuousQuery { name, database } => {
                write!(f, "DROP CONTINUOUS QUERY {} ON {}", Name(name), Name(database))
            }
            Statement::ShowRejects { database, limit } => {
                f.write_str("SHOW REJECTS")?;
                write_on(f, database.as_deref())?;
                limit.map_or(Ok(()), |limit| write!(f, " LIMIT {limit}"))
            }
            Statement::ShowStats { module } => write_module(f, "SHOW STATS", module.as_deref()),
            Statement::ShowDiagnostics { module } => {
                write_module(f, "SHOW DIAGNOSTICS", module.as_deref())
            }
            Statement::ShowShards => f.write_str("SHOW SHARDS"),
            Statement::ShowShardGroups => f.write_str("SHOW SHARD GROUPS"),
            Statement::KillQuery { id, host } => {
                write!(f, "KILL QUERY {id}")?;
                write_on(f, host.as_deref())
            }
            Statement::ShowRetentionPolicies { database } => {
                f.write_str("SHOW RETENTION POLICIES")?;
                write_on(f, database.as_deref())
            }
            Statement::ShowMeasurements(scope) => write_show_measurements(f, scope),
            Statement::ShowTagKeys(scope) => write_show(f, "SHOW TAG KEYS", scope, None),
            Statement::ShowFieldKeys(scope) => write_show(f, "SHOW FIELD KEYS", scope, None),
            Statement::ShowSeries(scope) => write_show(f, "SHOW SERIES", scope, None),
            Statement::ShowCardinality(statement) => statement.fmt(f),
            Statement::ShowTagValues { scope, keys } => {
                write_show(f, "SHOW TAG VALUES", scope, Some(keys))
            }
            Statement::CreateDatabase { name, policy } => {
                write!(f, "CREATE DATABASE {}", Name(name))?;
                match policy {
                    Some(policy) => write!(f, " WITH{policy}"),
                    None => Ok(()),
                }
            }
            Statement::DropDatabase { name } => write!(f, "DROP DATABASE {}", Name(name)),
            Statement::CreateRetentionPolicy { name, database, options } => {
                write!(f, "CREATE RETENTION POLICY {} ON {}{options}", Name(name), Name(database))
            }
            Statement::AlterRetentionPolicy { name, database, options } => {
                write!(f, "ALTER RETENTION POLICY {} ON {}{options}", Name(name), Name(database))
            }
            Statement::DropRetentionPolicy { name, database } => {
                write!(f, "DROP RETENTION POLICY {} ON {}", Name(name), Name(database))
            }
            Statement::Account(statement) => statement.fmt(f),
            Statement::DropMeasurement { name } => write!(f, "DROP MEASUREMENT {}", Name(name)),
            Statement::DropSeries { measurements, condition } => {
                f.write_str("DROP SERIES")?;
                write_from(f, measurements)?;
                write_where(f, condition.as_ref())
            }
            Statement::Delete { measurements, condition } => {
                f.write_str("DELETE")?;
                write_from(f, measurements)?;
                write_where(f, condition.as_ref())
            }
        }
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        write_list(f, &self.fields)?;
        if let Some(target) = &self.target {
            write!(f, " INTO {target}")?;
        }
        f.write_str(" FROM ")?;
        write_list(f, &self.sources)?;
        write_where(f, self.condition.as_ref())?;
        if !self.dimensions.is_empty() {
            f.write_str(" GROUP BY ")?;
            write_list(f, &self.dimensions)?;
        }
        match self.fill {
            Fill::Null => {}
            Fill::None => f.write_str(" fill(none)")?,
            Fill::Previous => f.write_str(" fill(previous)")?,
            Fill::Linear => f.write_str(" fill(linear)")?,
            Fill::Number(number) => write!(f, " fill({number:?})")?,
        }
        if self.order == Order::Descending {
            f.write_str(" ORDER BY time DESC")?;
        }
        self.page.fmt(f)?;
        match &self.zone {
            Some(zone) => write!(f, " tz({})", Text(&zone.name)),
            None => Ok(()),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)?;
        match &self.alias {
            Some(alias) => write!(f, " AS {}", Name(alias)),
            None => Ok(()),
        }
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Source::Measurement(measurement) => measurement.fmt(f),
            Source::Subquery(select) => write!(f, "({select})"),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_qualifiers(f, self.database.as_deref(), self.policy.as_deref())?;
        match &self.name {
            TargetName::Name(name) => Name(name).fmt(f),
            TargetName::Source => f.write_str(":MEASUREMENT"),
        }
    }
}

impl Display for Measurement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_qualifiers(f, self.database.as_deref(), self.policy.as_deref())?;
        match &self.name {
            MeasurementName::Name(name) => Name(name).fmt(f),
            MeasurementName::Regex(pattern) => Pattern(pattern).fmt(f),
        }
    }
}

impl Display for Dimension {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Dimension::Time(window) => window.fmt(f),
            Dimension::Tag(identifier) => identifier.fmt(f),
            Dimension::Wildcard { .. } => f.write_char('*'),
            Dimension::Regex { pattern, .. } => Pattern(pattern).fmt(f),
        }
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let every = format_duration(self.every_ns);
        match self.offset {
            WindowOffset::Ns(0) => write!(f, "time({every})"),
            WindowOffset::Ns(ns) => write!(f, "time({every}, {})", format_duration(ns)),
            WindowOffset::Now => write!(f, "time({every}, now())"),
        }
    }
}

/// With a blank before each clause, so that no clause is no text.
impl Display for Page {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bounds = [
            ("LIMIT", self.limit),
            ("OFFSET", self.offset),
            ("SLIMIT", self.series_limit),
            ("SOFFSET", self.series_offset),
        ];
        for (keyword, bound) in bounds {
            if let Some(count) = bound {
                write!(f, " {keyword} {count}")?;
            }
        }
        Ok(())
    }
}

/// With a blank before each option.
impl Display for PolicyOptions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.duration {
            Some(RetentionDuration::Forever) => f.write_str(" DURATION INF")?,
            Some(RetentionDuration::Ns(ns)) => write!(f, " DURATION {}", format_duration(ns))?,
            None => {}
        }
        if let Some(count) = self.replication {
            write!(f, " REPLICATION {count}")?;
        }
        if let Some(ns) = self.shard_duration_ns {
            write!(f, " SHARD DURATION {}", format_duration(ns))?;
        }
        if let Some(name) = &self.name {
            write!(f, " NAME {}", Name(name))?;
        }
        if self.default { f.write_str(" DEFAULT") } else { Ok(()) }
    }
}

impl Display for KeyFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            KeyFilter::Equal(key) => write!(f, "= {}", Name(key)),
            KeyFilter::NotEqual(key) => write!(f, "!= {}", Name(key)),
            KeyFilter::Matches { pattern, .. } => write!(f, "=~ {}", Pattern(pattern)),
            KeyFilter::NotMatches { pattern, .. } => write!(f, "!~ {}", Pattern(pattern)),
            KeyFilter::In(keys) => {
                f.write_str("IN (")?;
                write_list(f, &keys.iter().map(|key| Name(key)).collect::<Vec<_>>())?;
                f.write_char(')')
            }
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_expr(f, self, Strength::Or)
    }
}

impl Display for Identifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Name(&self.name).fmt(f)?;
        write_cast(f, self.cast)
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Integer(value) => value.fmt(f),
            Literal::Unsigned(value) => value.fmt(f),
            // Debug writes the shortest text that reads back to the same bits, and always with a
            // point or an exponent, so that it does not come back as an integer.
            Literal::Number(value) => write!(f, "{value:?}"),
            Literal::String(text) => Text(text).fmt(f),
            Literal::Duration(ns) => f.write_str(&format_duration(*ns)),
            Literal::Boolean(value) => value.fmt(f),
        }
    }
}

/// How strongly an expression holds together, the loosest first. An operand that holds less
/// strongly than its place asks for gets parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Or,
    And,
    Comparison,
    Sum,
    Product,
    Sign,
    Operand,
}

impl Strength {
    fn of(expr: &Expr) -> Strength {
        match expr {
            Expr::Or(_) => Strength::Or,
            Expr::And(_) => Strength::And,
            Expr::RegexMatch { .. } => Strength::Comparison,
            Expr::Binary { op, .. } => Strength::of_operator(*op),
            // A negative literal reads as a sign and a literal: `--` would begin a comment.
            Expr::Negate { .. } => Strength::Sign,
            Expr::Literal { value, .. } if is_negative(value) => Strength::Sign,
            Expr::Identifier(_)
            | Expr::Literal { .. }
            | Expr::Wildcard { .. }
            | Expr::Regex { .. }
            | Expr::Call(_) => Strength::Operand,
        }
    }

    fn of_operator(op: BinaryOp) -> Strength {
        match op {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::BitOr | BinaryOp::BitXor => Strength::Sum,
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::BitAnd => Strength::Product,
            _ => Strength::Comparison,
        }
    }

    /// The next stronger one: what the right operand of a left-associative operator must be.
    fn stronger(self) -> Strength {
        match self {
            Strength::Or => Strength::And,
            Strength::And => Strength::Comparison,
            Strength::Comparison => Strength::Sum,
            Strength::Sum => Strength::Product,
            Strength::Product => Strength::Sign,
            Strength::Sign | Strength::Operand => Strength::Operand,
        }
    }
}

fn is_negative(literal: &Literal) -> bool {
    match literal {
        Literal::Integer(value) | Literal::Duration(value) => *value < 0,
        Literal::Number(value) => value.is_sign_negative(),
        Literal::Unsigned(_) | Literal::String(_) | Literal::Boolean(_) => false,
    }
}

/// Writes `expr` where at least `place` is asked for.
fn write_expr(f: &mut Formatter<'_>, expr: &Expr, place: Strength) -> fmt::Result {
    if Strength::of(expr) < place {
        f.write_char('(')?;
        write_expr(f, expr, Strength::Or)?;
        return f.write_char(')');
    }
    match expr {
        Expr::Identifier(identifier) => identifier.fmt(f),
        Expr::Literal { value, .. } => value.fmt(f),
        Expr::Regex { pattern, .. } => Pattern(pattern).fmt(f),
        Expr::Wildcard { cast, .. } => {
            f.write_char('*')?;
            write_cast(f, *cast)
        }
        Expr::Call(Call { name, args, .. }) => {
            // The one function whose name is a keyword that no unquoted name can be.
            if name == "distinct" {
                f.write_str("distinct(")?;
            } else {
                write!(f, "{}(", Name(name))?;
            }
            write_list(f, args)?;
            f.write_char(')')
        }
        Expr::Negate { expr, .. } => {
            f.write_char('-')?;
            write_expr(f, expr, Strength::Operand)
        }
        Expr::Binary { op, left, right, .. } => {
            let strength = Strength::of_operator(*op);
            write_expr(f, left, strength)?;
            write!(f, " {} ", op.symbol())?;
            write_expr(f, right, strength.stronger())
        }
        Expr::RegexMatch { expr, negated, pattern, .. } => {
            write_expr(f, expr, Strength::Comparison)?;
            write!(f, " {} {}", if *negated { "!~" } else { "=~" }, Pattern(pattern))
        }
        Expr::And(parts) => write_joined(f, parts, " AND ", Strength::Comparison),
        Expr::Or(parts) => write_joined(f, parts, " OR ", Strength::And),
    }
}

fn write_joined(
    f: &mut Formatter<'_>,
    parts: &[Expr],
    separator: &str,
    place: Strength,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write_expr(f, part, place)?;
    }
    Ok(())
}

fn write_list<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn write_cast(f: &mut Formatter<'_>, cast: Option<Cast>) -> fmt::Result {
    let name = Cast::ALL.iter().find(|(_, known)| Some(*known) == cast);
    match name {
        Some((name, _)) => write!(f, "::{name}"),
        None => Ok(()),
    }
}

fn write_show_measurements(f: &mut Formatter<'_>, scope: &ShowScope) -> fmt::Result {
    f.write_str("SHOW MEASUREMENTS")?;
    write_on(f, scope.database.as_deref())?;
    if let Some(measurement) = scope.measurements.first() {
        let is_name = matches!(measurement.name, MeasurementName::Name(_));
        let is_qualified = measurement.database.is_some() || measurement.policy.is_some();
        let op = if is_name || is_qualified { "=" } else { "=~" };
        write!(f, " WITH MEASUREMENT {op} {measurement}")?;
    }
    write_where(f, scope.condition.as_ref())?;
    scope.page.fmt(f)
}

impl Display for ShowCardinality {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (what, keys) = match &self.counted {
            Counted::Series => ("SERIES", None),
            Counted::Measurements => ("MEASUREMENT", None),
            Counted::TagKeys => ("TAG KEY", None),
            Counted::TagValues(keys) => ("TAG VALUES", Some(keys)),
            Counted::FieldKeys => ("FIELD KEY", None),
        };
        let exact = if self.exact { "EXACT " } else { "" };
        let scope = &self.scope;
        let start = format!("SHOW {what} {exact}CARDINALITY");
        write_show(f, &start, &ShowScope { page: Page::default(), ..scope.clone() }, keys)?;
        if !self.dimensions.is_empty() {
            f.write_str(" GROUP BY ")?;
            write_list(f, &self.dimensions)?;
        }
        scope.page.fmt(f)
    }
}

fn write_show(
    f: &mut Formatter<'_>,
    what: &str,
    scope: &ShowScope,
    keys: Option<&KeyFilter>,
) -> fmt::Result {
    f.write_str(what)?;
    write_on(f, scope.database.as_deref())?;
    write_from(f, &scope.measurements)?;
    if let Some(keys) = keys {
        write!(f, " WITH KEY {keys}")?;
    }
    write_where(f, scope.condition.as_ref())?;
    scope.page.fmt(f)
}

/// The database and the policy before the name of a measurement.
fn write_qualifiers(
    f: &mut Formatter<'_>,
    database: Option<&str>,
    policy: Option<&str>,
) -> fmt::Result {
    if let Some(database) = database {
        write!(f, "{}.", Name(database))?;
    }
    match policy {
        Some(policy) => write!(f, "{}.", Name(policy)),
        None if database.is_some() => f.write_char('.'),
        None => Ok(()),
    }
}

fn write_module(f: &mut Formatter<'_>, what: &str, module: Option<&str>) -> fmt::Result {
    f.write_str(what)?;
    match module {
        Some(module) => write!(f, " FOR {}", Text(module)),
        None => Ok(()),
    }
}

fn write_on(f: &mut Formatter<'_>, database: Option<&str>) -> fmt::Result {
    match database {
        Some(database) => write!(f, " ON {}", Name(database)),
        None => Ok(()),
    }
}

fn write_from(f: &mut Formatter<'_>, measurements: &[Measurement]) -> fmt::Result {
    if measurements.is_empty() {
        return Ok(());
    }
    f.write_str(" FROM ")?;
    write_list(f, measurements)
}

fn write_where(f: &mut Formatter<'_>, condition: Option<&Expr>) -> fmt::Result {
    match condition {
        Some(condition) => write!(f, " WHERE {condition}"),
        None => Ok(()),
    }
}

/// A name, in double quotes when it needs them.
struct Name<'t>(&'t str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_plain_name(self.0) { f.write_str(self.0) } else { write_quoted(f, self.0, '"') }
    }
}

/// A text in single quotes.
struct Text<'t>(&'t str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_quoted(f, self.0, '\'')
    }
}

fn write_quoted(f: &mut Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    f.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\n' => f.write_str("\\n")?,
            '\\' => f.write_str("\\\\")?,
            other if other == quote => write!(f, "\\{quote}")?,
            other => f.write_char(other)?,
        }
    }
    f.write_char(quote)
}

/// A regular expression between slashes. The pattern comes from a literal or was brought to the
/// form of one, so a slash in it has no backslash yet.
struct Pattern<'t>(&'t str);

impl Display for Pattern<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('/')?;
        let mut characters = self.0.chars();
        while let Some(character) = characters.next() {
            match character {
                '/' => f.write_str("\\/")?,
                '\\' => {
                    f.write_char('\\')?;
                    if let Some(escaped) = characters.next() {
                        f.write_char(escaped)?;
                    }
                }
                other => f.write_char(other)?,
            }
        }
        f.write_char('/')
    }
}

#[cfg(test)]
mod tests;

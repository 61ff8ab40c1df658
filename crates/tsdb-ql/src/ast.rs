//! The syntax tree: what a query says, with the places in the text that messages point at.
//! Statements and clauses here, expressions in `expr`, users and tokens in `accounts`, continuous queries in
//! `continuous`. No parsing, no printing (`print`), no meaning (`check`, `condition`).

mod accounts;
mod continuous;
mod expr;

pub use accounts::{AccountStatement, Privilege, Secret, TokenScope};
pub use continuous::ContinuousQuery;
pub use expr::{BinaryOp, Call, Cast, Expr, Identifier, Literal};

/// A stretch of the query text, in bytes, half-open.
///
/// Two spans are always equal: where a node stood is no part of what it says, and trees are
/// compared for what they say.
#[derive(Debug, Clone, Copy, Default, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One after the last byte.
    pub end: usize,
}

impl PartialEq for Span {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Span {
    /// The bytes `start..end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One statement of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SELECT …`
    Select(Box<Select>),
    /// `EXPLAIN [ANALYZE] SELECT …`
    Explain {
        /// Whether the query is run and measured, not only planned.
        analyze: bool,
        /// The query to explain.
        select: Box<Select>,
    },
    /// `SHOW DATABASES`
    ShowDatabases,
    /// `SHOW MEASUREMENTS`; `WITH MEASUREMENT` is the one entry of `measurements`.
    ShowMeasurements(ShowScope),
    /// `SHOW TAG KEYS`
    ShowTagKeys(ShowScope),
    /// `SHOW TAG VALUES`
    ShowTagValues {
        /// Where to look.
        scope: ShowScope,
        /// `WITH KEY …`: the keys whose values are wanted.
        keys: KeyFilter,
    },
    /// `SHOW FIELD KEYS`; has no condition.
    ShowFieldKeys(ShowScope),
    /// `SHOW SERIES`
    ShowSeries(ShowScope),
    /// `SHOW … [EXACT] CARDINALITY`
    ShowCardinality(Box<ShowCardinality>),
    /// `SHOW RETENTION POLICIES`
    ShowRetentionPolicies {
        /// `ON`; absent means the database of the request.
        database: Option<String>,
    },
    /// `SHOW QUERIES`
    ShowQueries,
    /// `SHOW CONTINUOUS QUERIES`
    ShowContinuousQueries,
    /// `SHOW REJECTS`
    ShowRejects {
        /// `ON`; absent means the database of the request.
        database: Option<String>,
        /// `LIMIT`: the latest so many.
        limit: Option<u64>,
    },
    /// `SHOW STATS`
    ShowStats {
        /// `FOR`: the one table that is wanted.
        module: Option<String>,
    },
    /// `SHOW DIAGNOSTICS`
    ShowDiagnostics {
        /// `FOR`: the one table that is wanted.
        module: Option<String>,
    },
    /// `SHOW SHARDS`
    ShowShards,
    /// `SHOW SHARD GROUPS`
    ShowShardGroups,
    /// `KILL QUERY`
    KillQuery {
        /// Its number in SHOW QUERIES.
        id: u64,
        /// `ON`: the server that runs it, in a cluster.
        host: Option<String>,
    },
    /// `CREATE DATABASE`
    CreateDatabase {
        /// Its name.
        name: String,
        /// `WITH …`: the default policy it gets instead of the usual one.
        policy: Option<PolicyOptions>,
    },
    /// `DROP DATABASE`
    DropDatabase {
        /// Its name.
        name: String,
    },
    /// `CREATE RETENTION POLICY`; `options.duration` is always given.
    CreateRetentionPolicy {
        /// The name of the policy.
        name: String,
        /// Its database.
        database: String,
        /// Its properties.
        options: PolicyOptions,
    },
    /// `ALTER RETENTION POLICY`
    AlterRetentionPolicy {
        /// The name of the policy.
        name: String,
        /// Its database.
        database: String,
        /// The properties to change.
        options: PolicyOptions,
    },
    /// `DROP RETENTION POLICY`
    DropRetentionPolicy {
        /// The name of the policy.
        name: String,
        /// Its database.
        database: String,
    },
    /// `CREATE CONTINUOUS QUERY`
    CreateContinuousQuery(Box<ContinuousQuery>),
    /// `DROP CONTINUOUS QUERY`
    DropContinuousQuery {
        /// The name of the query.
        name: String,
        /// Its database.
        database: String,
    },
    /// `DROP MEASUREMENT`
    DropMeasurement {
        /// The name of the measurement.
        name: String,
    },
    /// `DROP SERIES`; has measurements or a condition or both.
    DropSeries {
        /// `FROM`; empty means all measurements.
        measurements: Vec<Measurement>,
        /// `WHERE`
        condition: Option<Expr>,
    },
    /// About users and tokens.
    Account(AccountStatement),
    /// `DELETE`; has measurements or a condition or both.
    Delete {
        /// `FROM`; empty means all measurements.
        measurements: Vec<Measurement>,
        /// `WHERE`
        condition: Option<Expr>,
    },
}

impl Statement {
    /// Whether the statement changes nothing, neither data nor what runs. The others should come by POST; by GET they work
    /// with a warning.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self {
            Statement::Select(select) => select.target.is_none(),
            Statement::Account(statement) => statement.is_read_only(),
            Statement::Explain { .. }
            | Statement::ShowDatabases
            | Statement::ShowMeasurements(_)
            | Statement::ShowTagKeys(_)
            | Statement::ShowTagValues { .. }
            | Statement::ShowFieldKeys(_)
            | Statement::ShowSeries(_)
            | Statement::ShowCardinality(_)
            | Statement::ShowRetentionPolicies { .. }
            | Statement::ShowQueries
            | Statement::ShowContinuousQueries
            | Statement::ShowRejects { .. }
            | Statement::ShowStats { .. }
            | Statement::ShowDiagnostics { .. }
            | Statement::ShowShards
            | Statement::ShowShardGroups => true,
            Statement::KillQuery { .. }
            | Statement::CreateDatabase { .. }
            | Statement::DropDatabase { .. }
            | Statement::CreateRetentionPolicy { .. }
            | Statement::AlterRetentionPolicy { .. }
            | Statement::DropRetentionPolicy { .. }
            | Statement::CreateContinuousQuery(_)
            | Statement::DropContinuousQuery { .. }
            | Statement::DropMeasurement { .. }
            | Statement::DropSeries { .. }
            | Statement::Delete { .. } => false,
        }
    }
}

/// `SELECT …`
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// The columns, at least one.
    pub fields: Vec<Field>,
    /// `INTO`: where the rows are written instead of answered.
    pub target: Option<Target>,
    /// `FROM`, at least one.
    pub sources: Vec<Source>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `GROUP BY`
    pub dimensions: Vec<Dimension>,
    /// `fill(…)`, null when not given.
    pub fill: Fill,
    /// `ORDER BY time`
    pub order: Order,
    /// `LIMIT`, `OFFSET`, `SLIMIT`, `SOFFSET`
    pub page: Page,
    /// `tz('…')`
    pub zone: Option<Zone>,
}

impl Select {
    /// The window of `GROUP BY time(…)`. (Of several, the first; `check` refuses several.)
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        self.dimensions.iter().find_map(|dimension| match dimension {
            Dimension::Time(window) => Some(window),
            _ => None,
        })
    }
}

/// One column of a SELECT.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// What it computes.
    pub expr: Expr,
    /// `AS`
    pub alias: Option<String>,
}

/// Where INTO writes: `m`, `rp.m`, `db.rp.m` or `db..m`.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The database; absent means that of the request.
    pub database: Option<String>,
    /// The retention policy; absent means that of the request, or the default of the database.
    pub policy: Option<String>,
    /// Which measurement.
    pub name: TargetName,
    /// Where it stands.
    pub span: Span,
}

/// The last part of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetName {
    /// The measurement of that name.
    Name(String),
    /// `:MEASUREMENT`: the measurement that a row was read from.
    Source,
}

/// One source of a SELECT.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A measurement or all that match a regular expression.
    Measurement(Measurement),
    /// `(SELECT …)`
    Subquery(Box<Select>),
}

/// A measurement, as `m`, `rp.m`, `db.rp.m` or `db..m`.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The database; absent means that of the request.
    pub database: Option<String>,
    /// The retention policy; absent means that of the request, or the default of the database.
    pub policy: Option<String>,
    /// Which measurement.
    pub name: MeasurementName,
    /// Where it stands.
    pub span: Span,
}

/// The last part of a [`Measurement`].
#[derive(Debug, Clone, PartialEq)]
pub enum MeasurementName {
    /// The measurement of that name.
    Name(String),
    /// All whose names match.
    Regex(String),
}

/// One part of a GROUP BY.
#[derive(Debug, Clone, PartialEq)]
pub enum Dimension {
    /// `time(…)`
    Time(Window),
    /// One tag. (A name that is no tag groups by the empty string, as in InfluxQL.)
    Tag(Identifier),
    /// `*`: every tag.
    Wildcard {
        /// Where it stands.
        span: Span,
    },
    /// Every tag whose key matches.
    Regex {
        /// The regular expression.
        pattern: String,
        /// Where it stands.
        span: Span,
    },
}

/// `time(every, offset)`
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The length of a window in ns, at least 1.
    pub every_ns: i64,
    /// Where windows begin.
    pub offset: WindowOffset,
    /// Where it stands.
    pub span: Span,
}

/// The second argument of `time()`: some window begins there, all others at multiples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowOffset {
    /// So many ns after (or before) 1970; 0 when not given.
    Ns(i64),
    /// `now()`: at the moment of the query.
    Now,
}

impl WindowOffset {
    /// The offset in ns since 1970 for a query that runs at `now_ns`.
    #[must_use]
    pub const fn resolve(self, now_ns: i64) -> i64 {
        match self {
            WindowOffset::Ns(ns) => ns,
            WindowOffset::Now => now_ns,
        }
    }
}

/// What a window without points gives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Fill {
    /// A row with null.
    #[default]
    Null,
    /// No row.
    None,
    /// The value of the window before.
    Previous,
    /// A value on the line between its neighbours.
    Linear,
    /// This value.
    Number(f64),
}

/// The order of rows in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// `LIMIT`, `OFFSET`, `SLIMIT`, `SOFFSET`. Zero says nothing in InfluxQL, so it is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    /// The most rows per series.
    pub limit: Option<u64>,
    /// Rows to leave out before them.
    pub offset: Option<u64>,
    /// The most series.
    pub series_limit: Option<u64>,
    /// Series to leave out before them.
    pub series_offset: Option<u64>,
}

/// `tz('…')`
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// The IANA name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// What the SHOW statements about data look at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShowScope {
    /// `ON`; absent means the database of the request.
    pub database: Option<String>,
    /// `FROM` (`WITH MEASUREMENT` in SHOW MEASUREMENTS); empty means all.
    pub measurements: Vec<Measurement>,
    /// `WHERE`
    pub condition: Option<Expr>,
    /// `LIMIT` and its kin.
    pub page: Page,
}

/// `SHOW … CARDINALITY`: how many there are.
#[derive(Debug, Clone, PartialEq)]
pub struct ShowCardinality {
    /// Of what.
    pub counted: Counted,
    /// `EXACT`; without it series and measurements may be estimated if there is no clause but `ON`, and tag keys and values
    /// if there is neither `WHERE` nor `GROUP BY`.
    pub exact: bool,
    /// Where to look.
    pub scope: ShowScope,
    /// `GROUP BY`; windows of time are refused by `check`.
    pub dimensions: Vec<Dimension>,
}

/// What a [`ShowCardinality`] counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Counted {
    /// `SERIES`
    Series,
    /// `MEASUREMENT`
    Measurements,
    /// `TAG KEY`
    TagKeys,
    /// `TAG VALUES`, with the keys whose values count: `WITH KEY …`
    TagValues(KeyFilter),
    /// `FIELD KEY`
    FieldKeys,
}

/// `WITH KEY …`
#[derive(Debug, Clone, PartialEq)]
pub enum KeyFilter {
    /// `= key`
    Equal(String),
    /// `!= key`
    NotEqual(String),
    /// `IN (key, …)`
    In(Vec<String>),
    /// `=~ /…/`
    Matches {
        /// The regular expression.
        pattern: String,
        /// Where it stands.
        span: Span,
    },
    /// `!~ /…/`
    NotMatches {
        /// The regular expression.
        pattern: String,
        /// Where it stands.
        span: Span,
    },
}

/// The properties of a retention policy; what is absent was not given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyOptions {
    /// `NAME`, only in CREATE DATABASE.
    pub name: Option<String>,
    /// `DURATION`
    pub duration: Option<RetentionDuration>,
    /// `REPLICATION`; one process stores one copy whatever it says.
    pub replication: Option<u64>,
    /// `SHARD DURATION` in ns: the width of a partition. 0 leaves the choice to the engine.
    pub shard_duration_ns: Option<i64>,
    /// `DEFAULT`, not in CREATE DATABASE.
    pub default: bool,
}

/// How long a retention policy keeps rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionDuration {
    /// `INF`, also written `0s`.
    Forever,
    /// So many ns, at least 1.
    Ns(i64),
}

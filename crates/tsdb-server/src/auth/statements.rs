//! What each statement needs, by InfluxDB's rules, and its words for a refusal.
//!
//! Stricter than InfluxDB where that would tell names of databases to those who may not know them: a count of series
//! and a measurement of another database need READ there, too.

use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use tsdb_ql::{AccountStatement, Measurement, Select, ShowScope, Source, Statement};

use super::{Auth, NO_CREDENTIAL, Right, Who, unauthorized};
use crate::http::reply::ApiError;

/// Something that a statement needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A right in a database.
    Database(Right, Arc<str>),
    /// To be an administrator.
    Admin,
}

impl Need {
    /// Whether somebody has it.
    pub fn is_met_by(&self, who: &Who) -> bool {
        match self {
            Need::Database(right, database) => who.may(*right, database),
            Need::Admin => who.is_admin(),
        }
    }
}

/// As InfluxDB says it behind "requires".
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Database(Right::Read, database) => write!(f, "READ on {database}"),
            Need::Database(Right::Write, database) => write!(f, "WRITE on {database}"),
            Need::Admin => f.write_str("admin privilege"),
        }
    }
}

/// That somebody may run all of some statements; `database` is that of the request. Returns what they need.
///
/// # Errors
/// 401 or 403 with the statement, in InfluxDB's words.
pub fn authorize(
    auth: &Auth,
    who: &Who,
    statements: &[Statement],
    database: Option<&str>,
) -> Result<Vec<Need>, ApiError> {
    if let Who::Nobody { is_local, .. } = who {
        return first_admin(auth, *is_local, statements).map(|()| vec![Need::Admin]);
    }
    let mut all = Vec::new();
    for statement in statements {
        let needs = needs(statement, database.unwrap_or_default());
        if let Some(missing) = needs.iter().find(|need| !need.is_met_by(who)) {
            let name = who.name();
            return Err(forbidden(format!(
                "{name} not authorized to execute statement '{statement}', requires {missing}"
            )));
        }
        all.extend(needs);
    }
    Ok(all)
}

/// As long as there is no administrator, anybody on this machine may create one, and nothing else.
fn first_admin(auth: &Auth, is_local: bool, statements: &[Statement]) -> Result<(), ApiError> {
    if auth.has_admin() {
        return Err(unauthorized(NO_CREDENTIAL));
    }
    let is_first = matches!(
        statements,
        [Statement::Account(AccountStatement::CreateUser { is_admin: true, .. })]
    );
    match (is_first, is_local) {
        (true, true) => Ok(()),
        (true, false) => Err(forbidden(
            "the first admin user is created on the machine of the server, at a loopback address, or with \
             --admin-token-file",
        )),
        (false, _) => Err(forbidden("create admin user first or disable authentication")),
    }
}

fn forbidden(message: impl fmt::Display) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, format!("error authorizing query: {message}"))
}

/// What a statement needs; `database` is that of the request.
fn needs(statement: &Statement, database: &str) -> Vec<Need> {
    let named = |name: &Option<String>| match name {
        Some(name) if !name.is_empty() => Arc::from(name.as_str()),
        _ => Arc::from(database),
    };
    let read = |name: &Option<String>| vec![Need::Database(Right::Read, named(name))];
    match statement {
        Statement::Select(select) | Statement::Explain { select, .. } => {
            let mut needs = Vec::new();
            of_select(select, database, &mut needs);
            needs
        }
        Statement::ShowMeasurements(scope)
        | Statement::ShowTagKeys(scope)
        | Statement::ShowFieldKeys(scope)
        | Statement::ShowSeries(scope)
        | Statement::ShowTagValues { scope, .. } => of_scope(scope, read(&scope.database)),
        Statement::ShowCardinality(show) => of_scope(&show.scope, read(&show.scope.database)),
        Statement::ShowRetentionPolicies { database } => read(database),
        Statement::ShowRejects { database: on, .. } if on.is_some() || !database.is_empty() => {
            read(on)
        }
        // They show what somebody may see.
        Statement::ShowRejects { .. }
        | Statement::ShowDatabases
        | Statement::ShowQueries
        | Statement::ShowContinuousQueries => Vec::new(),
        Statement::CreateContinuousQuery(query) => {
            let mut needs = vec![Need::Database(Right::Write, Arc::from(&*query.database))];
            of_select(&query.select, &query.database, &mut needs);
            needs
        }
        Statement::DropContinuousQuery { database, .. } => {
            vec![Need::Database(Right::Write, Arc::from(&**database))]
        }
        Statement::DropSeries { measurements, .. } | Statement::Delete { measurements, .. } => {
            let mut needs = vec![Need::Database(Right::Write, Arc::from(database))];
            of_measurements(Right::Write, measurements, &mut needs);
            needs
        }
        Statement::ShowStats { .. }
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
        | Statement::Account(_) => vec![Need::Admin],
    }
}

/// READ on what is read, in subqueries, too, and WRITE on what is written.
fn of_select(select: &Select, database: &str, needs: &mut Vec<Need>) {
    let of = |name: &Option<String>| Arc::from(name.as_deref().unwrap_or(database));
    for source in &select.sources {
        match source {
            Source::Measurement(measurement) => {
                needs.push(Need::Database(Right::Read, of(&measurement.database)));
            }
            Source::Subquery(select) => of_select(select, database, needs),
        }
    }
    if let Some(target) = &select.target {
        needs.push(Need::Database(Right::Write, of(&target.database)));
    }
}

fn of_scope(scope: &ShowScope, mut needs: Vec<Need>) -> Vec<Need> {
    of_measurements(Right::Read, &scope.measurements, &mut needs);
    needs
}

/// The databases that measurements name themselves.
fn of_measurements(right: Right, measurements: &[Measurement], needs: &mut Vec<Need>) {
    let named = measurements.iter().filter_map(|measurement| measurement.database.as_deref());
    needs.extend(named.map(|name| Need::Database(right, name.into())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_need_what_influxdb_says() {
        for (text, expected) in [
            ("SELECT a FROM m", "READ on d"),
            ("SELECT a FROM m, e..n", "READ on d, READ on e"),
            ("SELECT a FROM (SELECT a FROM e..n), (SELECT a FROM m)", "READ on e, READ on d"),
            ("SELECT a INTO n FROM m", "READ on d, WRITE on d"),
            ("SELECT a INTO e.rp.n FROM f..m", "READ on f, WRITE on e"),
            ("EXPLAIN ANALYZE SELECT a FROM e..m", "READ on e"),
            ("SHOW MEASUREMENTS", "READ on d"),
            ("SHOW TAG KEYS ON e", "READ on e"),
            ("SHOW TAG KEYS ON e FROM f..m", "READ on e, READ on f"),
            ("SHOW TAG VALUES WITH KEY = k", "READ on d"),
            ("SHOW FIELD KEYS ON e", "READ on e"),
            ("SHOW SERIES", "READ on d"),
            ("SHOW SERIES EXACT CARDINALITY ON e", "READ on e"),
            ("SHOW MEASUREMENT CARDINALITY", "READ on d"),
            ("SHOW RETENTION POLICIES ON e", "READ on e"),
            (
                "CREATE CONTINUOUS QUERY c ON e BEGIN SELECT max(a) INTO f..n FROM g..m GROUP BY time(1m) END",
                "WRITE on e, READ on g, WRITE on f",
            ),
            ("DROP CONTINUOUS QUERY c ON e", "WRITE on e"),
            ("SHOW REJECTS", "READ on d"),
            ("SHOW REJECTS ON e", "READ on e"),
            ("SHOW DATABASES", ""),
            ("SHOW QUERIES", ""),
            ("SHOW STATS", "admin privilege"),
            ("SHOW DIAGNOSTICS", "admin privilege"),
            ("SHOW SHARDS", "admin privilege"),
            ("SHOW SHARD GROUPS", "admin privilege"),
            ("KILL QUERY 1", "admin privilege"),
            ("CREATE DATABASE e", "admin privilege"),
            ("DROP DATABASE e", "admin privilege"),
            ("CREATE RETENTION POLICY p ON d DURATION 1d", "admin privilege"),
            ("ALTER RETENTION POLICY p ON d DEFAULT", "admin privilege"),
            ("DROP RETENTION POLICY p ON d", "admin privilege"),
            ("DROP MEASUREMENT m", "admin privilege"),
            ("DROP SERIES FROM m", "WRITE on d"),
            ("DELETE FROM e..m", "WRITE on d, WRITE on e"),
            ("SHOW USERS", "admin privilege"),
            ("SET PASSWORD FOR u = 'p'", "admin privilege"),
            ("CREATE TOKEN t WITH READ ON d", "admin privilege"),
        ] {
            let statement = tsdb_ql::parse(text).unwrap().remove(0);
            let needed: Vec<String> =
                needs(&statement, "d").iter().map(ToString::to_string).collect();
            assert_eq!(needed.join(", "), expected, "{text}");
        }
    }
}

//! Questions in SQL, as ClickHouse and DuckDB write it.

use super::{CPU_FIELDS, Function, Question, Wanted};
use crate::clock::sql_time;
use crate::dataset::SECOND_NS;

/// Whose SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sql {
    /// ClickHouse's.
    ClickHouse,
    /// DuckDB's.
    DuckDb,
}

/// The query.
pub fn text(question: &Question, sql: Sql) -> String {
    let rows = conditions(question, sql);
    let filter =
        if rows.is_empty() { String::new() } else { format!(" WHERE {}", rows.join(" AND ")) };
    match question.wanted {
        Wanted::Rows => format!("SELECT * FROM cpu{filter}"),
        Wanted::Newest if sql == Sql::ClickHouse => {
            format!("SELECT * FROM cpu{filter} ORDER BY hostname, time DESC LIMIT 1 BY hostname")
        }
        Wanted::Newest => {
            let newest = |field: &&str| format!("arg_max({field}, time) AS {field}");
            let fields: Vec<String> = CPU_FIELDS.iter().map(newest).collect();
            let fields = fields.join(", ");
            format!("SELECT hostname, max(time) AS t, {fields} FROM cpu{filter} GROUP BY hostname")
        }
        Wanted::Aggregates(function, _) => aggregates(question, function, sql, &filter),
    }
}

fn aggregates(question: &Question, function: Function, sql: Sql, filter: &str) -> String {
    let window = question.window_s.map(|seconds| match (sql, seconds % 3600) {
        (Sql::ClickHouse, 0) => "toStartOfHour(time) AS t".to_owned(),
        (Sql::ClickHouse, _) => "toStartOfMinute(time) AS t".to_owned(),
        (Sql::DuckDb, 0) => "time_bucket(INTERVAL '1 hour', time) AS t".to_owned(),
        (Sql::DuckDb, _) => "time_bucket(INTERVAL '1 minute', time) AS t".to_owned(),
    });
    let name = match (function, sql) {
        (Function::Max, _) => "max",
        (Function::Mean, _) => "avg",
        (Function::Sum, _) => "sum",
        (Function::Stddev, Sql::ClickHouse) => "stddevSamp",
        (Function::Stddev, Sql::DuckDb) => "stddev_samp",
    };
    let mut groups = Vec::new();
    groups.extend(window.is_some().then_some("t"));
    groups.extend(question.by_host.then_some("hostname"));
    let mut columns: Vec<String> = window.into_iter().collect();
    columns.extend(question.by_host.then(|| "hostname".to_owned()));
    columns.extend(question.fields().iter().map(|field| format!("{name}({field})")));
    let mut text = format!("SELECT {} FROM cpu{filter}", columns.join(", "));
    if !groups.is_empty() {
        let groups = groups.join(", ");
        text.push_str(&format!(" GROUP BY {groups} ORDER BY {groups}"));
    }
    if let Some(limit) = question.limit {
        text.push_str(&format!(" LIMIT {limit}"));
    }
    text
}

fn conditions(question: &Question, sql: Sql) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(hosts) = &question.hosts {
        let names: Vec<String> = hosts.iter().map(|host| format!("'host_{host}'")).collect();
        all.push(format!("hostname IN ({})", names.join(",")));
    }
    let prefix = if sql == Sql::DuckDb { "TIMESTAMP " } else { "" };
    let time = |seconds: i64| format!("{prefix}'{}'", sql_time(seconds * SECOND_NS));
    all.extend(question.start_s.map(|start| format!("time >= {}", time(start))));
    all.extend(question.end_s.map(|end| format!("time < {}", time(end))));
    all.extend(question.above.map(|bound| format!("usage_user > {bound}")));
    all
}

//! SHOW STATS and SHOW DIAGNOSTICS: what the server says of itself, in tables as InfluxDB has them.
//!
//! The statistics are the metrics of `/metrics`, a table for each part of the server and each set of labels, and two
//! tables of InfluxDB's that its tools look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use tsdb_core::storage::CardinalityRequest;
use tsdb_core::time::format_go_duration;
use tsdb_core::{CancelToken, EntryKey, Result};
use tsdb_exec::{QueryMemory, ResultColumn, Series, StatementResult, Validity, Values};

use crate::app::App;
use crate::auth::Who;
use crate::config::Config;
use crate::continuous::Account;
use crate::encode::number::push_rfc3339;
use crate::http::observe::INFLUXDB_VERSION;

/// What the name of every metric begins with.
const PREFIX: &str = "tsdb_";

/// `SHOW STATS [FOR 'module']`
///
/// # Errors
/// What storage says.
pub fn stats(
    app: &App,
    module: Option<&str>,
    memory: &QueryMemory,
    cancel: &CancelToken,
) -> Result<StatementResult> {
    let mut tables =
        vec![table("cq", continuous_counts(app)), table("queryExecutor", app.running().counts())];
    if is_wanted("database", module) {
        tables.extend(databases(app, memory, cancel)?);
    }
    tables.extend(metrics(&app.render_metrics()));
    Ok(answer(tables, module))
}

/// `SHOW DIAGNOSTICS [FOR 'module']`
pub fn diagnostics(app: &App, module: Option<&str>) -> StatementResult {
    let config = app.config();
    let limits = config.query_limits;
    let clock = &app.env().clock;
    let uptime_ns = i64::try_from(clock.mono_ns().saturating_sub(app.started_ns()));
    let (now_ns, uptime_ns) = (clock.wall_ns(), uptime_ns.unwrap_or(i64::MAX));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tables = vec![
        table(
            "build",
            [
                ("Branch", text("")),
                ("Build Time", text("")),
                ("Commit", text("")),
                ("Version", text(INFLUXDB_VERSION)),
                ("Server", text(concat!("tsdb-server ", env!("CARGO_PKG_VERSION")))),
            ],
        ),
        table(
            "config",
            [
                ("bind-address", text(&config.listen.to_string())),
                ("body-limit", count(config.body_bytes_max as u64)),
                ("connections", count(config.connections_max as u64)),
                ("demo", Values::Booleans(vec![config.demo])),
                ("durability", text(&config.durability.to_string())),
                ("memory-limit", count(config.memory_bytes as u64)),
                ("series-max", count(config.series_max as u64)),
            ],
        ),
        table(
            "config-coordinator",
            [
                ("max-concurrent-queries", count(config.query_concurrency as u64)),
                ("max-select-buckets", count(limits.buckets_max)),
                ("max-select-point", count(limits.samples_max)),
                ("max-select-rows", count(limits.rows_max)),
                ("max-select-series", count(limits.series_max)),
                ("query-timeout", text(&go_duration(config.query_timeout.as_nanos()))),
            ],
        ),
        continuous_settings(&config),
        table("config-data", [("dir", text(&config.data_dir.display().to_string()))]),
        continuous_queries(app),
        table(
            "runtime",
            [
                ("arch", text(std::env::consts::ARCH)),
                ("os", text(std::env::consts::OS)),
                ("threads", count(threads as u64)),
            ],
        ),
        table(
            "system",
            [
                ("PID", count(u64::from(std::process::id()))),
                ("currentTime", text(&rfc3339(now_ns))),
                ("started", text(&rfc3339(now_ns.saturating_sub(uptime_ns)))),
                ("uptime", text(&format_go_duration(uptime_ns))),
            ],
        ),
    ];
    answer(tables, module)
}

/// `SHOW DATABASES` for somebody who may not know all of them.
pub fn databases_seen(app: &App, who: &Who) -> StatementResult {
    let catalogue = app.storage().catalogue();
    let seen = catalogue.databases.keys().filter(|name| who.sees(name)).cloned();
    let names = ResultColumn::texts("name", seen);
    StatementResult::of(Series::table(Some("databases".into()), vec![names]))
}

/// Runs of continuous queries that failed and that did not, in InfluxDB's words.
fn continuous_counts(app: &App) -> [(&'static str, Values); 2] {
    let accounts = app.continuous().accounts();
    let failures = accounts.iter().map(|(_, account)| account.failures).sum();
    let runs: u64 = accounts.iter().map(|(_, account)| account.runs).sum();
    [("queryFail", count(failures)), ("queryOk", count(runs.saturating_sub(failures)))]
}

/// How continuous queries are run, in InfluxDB's words.
fn continuous_settings(config: &Config) -> Series {
    let every = go_duration(config.continuous_query_interval.as_nanos());
    let is_on = Values::Booleans(vec![config.continuous_queries]);
    table("config-cqs", [("enabled", is_on), ("run-interval", text(&every))])
}

/// A row for each continuous query: how its runs went.
fn continuous_queries(app: &App) -> Series {
    let accounts = app.continuous().accounts();
    let numbers = |of: fn(&Account) -> u64| {
        let all =
            accounts.iter().map(|(_, account)| i64::try_from(of(account)).unwrap_or(i64::MAX));
        Values::Integers(all.collect(), Validity::all(accounts.len()))
    };
    let texts = |of: &dyn Fn(&EntryKey, &Account) -> Option<String>| {
        let all = accounts.iter().map(|(key, account)| of(key, account).map(Arc::from));
        Values::Strings(all.collect::<Vec<Option<Arc<str>>>>().into())
    };
    let cells = [
        ("database", texts(&|key, _| key.database.as_deref().map(str::to_owned))),
        ("name", texts(&|key, _| Some(key.name.to_string()))),
        ("runs", numbers(|account| account.runs)),
        ("failures", numbers(|account| account.failures)),
        ("rowsWritten", numbers(|account| account.rows)),
        ("lastRun", texts(&|_, account| account.last_ns.map(rfc3339))),
        ("lastDuration", texts(&|_, account| Some(go_duration(account.duration_ns.into())))),
        ("lastError", texts(&|_, account| Some(account.error.clone()))),
    ];
    table("continuous_queries", cells)
}

fn is_wanted(name: &str, module: Option<&str>) -> bool {
    module.is_none_or(|module| module == name)
}

fn answer(tables: Vec<Series>, module: Option<&str>) -> StatementResult {
    let is_shown = |table: &Series| is_wanted(table.name.as_deref().unwrap_or_default(), module);
    let mut answer = StatementResult::default();
    answer.series.extend(tables.into_iter().filter(is_shown));
    answer
}

/// A table of one row.
fn table<'n>(name: &str, cells: impl IntoIterator<Item = (&'n str, Values)>) -> Series {
    let column = |(name, values): (&str, Values)| ResultColumn { name: name.into(), values };
    let columns = cells.into_iter().map(column).collect();
    Series { name: Some(name.into()), columns, ..Series::default() }
}

fn text(text: &str) -> Values {
    Values::Strings(vec![Some(text.into())].into())
}

/// A count as a cell.
pub(super) fn count(count: u64) -> Values {
    Values::Integers(vec![i64::try_from(count).unwrap_or(i64::MAX)], Validity::all(1))
}

fn go_duration(ns: u128) -> String {
    format_go_duration(i64::try_from(ns).unwrap_or(i64::MAX))
}

fn rfc3339(ns: i64) -> String {
    let mut text = Vec::new();
    push_rfc3339(&mut text, ns, 0);
    String::from_utf8_lossy(&text).into_owned()
}

/// How many measurements and series each database has, as its policies say together.
fn databases(app: &App, memory: &QueryMemory, cancel: &CancelToken) -> Result<Vec<Series>> {
    let storage = app.storage();
    let (catalogue, snapshot) = (storage.catalogue(), storage.snapshot()?);
    let mut tables = Vec::new();
    for (name, database) in &catalogue.databases {
        let (mut measurements, mut series) = (0, 0);
        for namespace in database.policies.values() {
            cancel.check()?;
            let report = snapshot.cardinality(&CardinalityRequest {
                budget: memory.budget().clone(),
                cancel: cancel.clone(),
                ..CardinalityRequest::of(namespace.id, 0)
            })?;
            measurements += report.measurement_count;
            series += report.series;
        }
        let cells = [("numMeasurements", count(measurements)), ("numSeries", count(series))];
        let tags = vec![("database".into(), Arc::clone(name))];
        tables.push(Series { tags, ..table("database", cells) });
    }
    Ok(tables)
}

/// The numbers of a text of metrics: for each part of the server (`http` of `tsdb_http_panics_total`) and each set of
/// labels a table. What belongs to one bucket of a histogram is left out.
fn metrics(text: &str) -> Vec<Series> {
    let mut tables: BTreeMap<(&str, &str), Vec<(&str, Values)>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let Some((part, column)) = name.strip_prefix(PREFIX).and_then(|n| n.split_once('_')) else {
            continue;
        };
        let Ok(value) = value.parse::<f64>() else { continue };
        if !column.ends_with("_bucket") {
            let cell = Values::Floats(vec![value], Validity::all(1));
            tables.entry((part, labels)).or_default().push((column, cell));
        }
    }
    let made = tables.into_iter().map(|((part, labels), mut cells)| {
        cells.sort_unstable_by_key(|(name, _)| *name);
        Series { tags: tags(labels), ..table(part, cells) }
    });
    made.collect()
}

/// `a="x",b="y"}` as tags; no label of ours has a quote or a comma in it.
fn tags(labels: &str) -> Vec<(Arc<str>, Arc<str>)> {
    let pairs = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
    let tag = |(key, value): (&str, &str)| (key.into(), value.trim_matches('"').into());
    let mut tags: Vec<_> = pairs.map(tag).collect();
    tags.sort_unstable();
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_become_tables_of_their_parts_and_labels() {
        let text = "# HELP tsdb_http_requests_total Requests.\n\
                    tsdb_http_requests_total{path=\"/ping\",method=\"GET\"} 2\n\
                    tsdb_http_duration_bucket{path=\"/ping\",le=\"1\"} 2\n\
                    tsdb_http_panics_total 1\n\
                    tsdb_disk_free_bytes 12.5\ntsdb_disk_short 0\n";
        let tables = metrics(text);
        let shown = |table: &Series| {
            let tags: Vec<String> = table.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let columns = table.columns.iter().map(|c| format!("{} {:?}", c.name, c.values));
            let columns: Vec<String> = columns.collect();
            format!("{} {tags:?} {columns:?}", table.name.as_deref().unwrap())
        };
        let shown: Vec<String> = tables.iter().map(shown).collect();
        let value = |value: f64| format!("{:?}", Values::Floats(vec![value], Validity::all(1)));
        assert_eq!(
            shown,
            [
                format!(
                    "disk [] {:?}",
                    [format!("free_bytes {}", value(12.5)), format!("short {}", value(0.0))]
                ),
                format!("http [] {:?}", [format!("panics_total {}", value(1.0))]),
                format!(
                    "http {:?} {:?}",
                    ["method=GET", "path=/ping"],
                    [format!("requests_total {}", value(2.0))]
                ),
            ]
        );
    }
}

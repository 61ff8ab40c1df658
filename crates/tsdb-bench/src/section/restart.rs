//! Restart after kill -9 and after a clean stop: what is lost, and how long it takes.

use serde_json::Value;

use super::ingest::{Batches, server_metric, takes_part};
use super::{Setup, row_or_error};
use crate::dataset::options::DataOptions;
use crate::encode::Format;
use crate::http::escape;
use crate::load::send;
use crate::peer::{DATABASE, Kind};
use crate::question::Extent;
use crate::results::Row;
use crate::server::Server;

/// Measures each server, `repeats` times.
///
/// # Errors
/// Options that make no data.
pub fn run(setup: &Setup, data: &DataOptions) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for format in [Format::Line, Format::RemoteWrite] {
        let wanted = |kind: &&Kind| match format {
            Format::RemoteWrite => **kind == Kind::Prometheus,
            _ => !kind.is_embedded() && takes_part(**kind, data, format),
        };
        let kinds: Vec<Kind> = setup.kinds.iter().filter(wanted).copied().collect();
        if kinds.is_empty() {
            continue;
        }
        let batches = Batches::build(data, format)?;
        for _ in 0..setup.repeats.max(1) {
            for kind in &kinds {
                let outcome = one_server(*kind, data, format, &batches);
                rows.push(row_or_error("", *kind, outcome));
            }
        }
    }
    Ok(rows)
}

fn one_server(
    kind: Kind,
    data: &DataOptions,
    format: Format,
    batches: &Batches,
) -> Result<Row, String> {
    eprintln!("loading {}", kind.name());
    let mut server = Server::start(kind)?;
    send(&batches.bodies, &server.destination(format))?;
    let row_count = batches.rows() as f64;
    let mut row = Row::new("", kind.name()).with("rows", row_count);
    if kind == Kind::Tsdb {
        // Ten values a row; what is in memory is what the log has to bring back.
        let rows = server_metric(&server, "tsdb_storage_memory_rows")?;
        row = row.with("m_samples_in_log", rows * 10.0 / 1e6);
    }
    server.kill()?;
    let after_kill = server.start_again()?;
    let left = count_rows(&server, data)?;
    let stop = server.stop()?;
    let after_stop = server.start_again()?;
    let left_after_stop = count_rows(&server, data)?;
    Ok(row
        .with("after_kill_s", after_kill.as_secs_f64())
        .with("lost_rows", row_count - left)
        .with("stop_s", stop.as_secs_f64())
        .with("after_stop_s", after_stop.as_secs_f64())
        .with("lost_rows_after_stop", left - left_after_stop))
}

/// Rows that can be queried.
fn count_rows(server: &Server, data: &DataOptions) -> Result<f64, String> {
    let end = Extent::of(data).end_s;
    let (path, place) = match server.kind() {
        Kind::VictoriaMetrics | Kind::Prometheus => {
            let query =
                escape(&format!("sum(count_over_time(cpu_usage_user[{}s]))", data.duration + 60));
            (format!("/api/v1/query?query={query}&time={end}&nocache=1"), "/data/result/0/value/1")
        }
        _ => {
            let query = escape("SELECT count(usage_user) FROM cpu");
            (format!("/query?db={DATABASE}&q={query}"), "/results/0/series/0/values/0/1")
        }
    };
    let body = server.connect()?.get(&path)?.expect_success()?;
    let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let count = match answer.pointer(place) {
        None => Some(0.0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_f64(),
    };
    count.ok_or_else(|| format!("{} counted nothing: {answer}", server.kind().name()))
}

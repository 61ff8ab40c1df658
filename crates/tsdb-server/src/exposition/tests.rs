//! What is recorded is rendered, and the manual lists it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;
use tsdb_core::MemoryStore;
use tsdb_core::env::Env;

use super::*;
use crate::app::App;
use crate::config::{Config, Settings};
use crate::http::router;
use crate::wiring::Store;

#[test]
fn the_text_holds_what_was_recorded() {
    let exposition = Exposition::new().unwrap();
    let request = RequestRecord { method: "GET", path: "/ping", status: 204, seconds: 0.004 };
    exposition.request(request);
    exposition.request(request);
    exposition.panicked();
    exposition.write(WriteRecord {
        body_bytes: 10,
        rows: 3,
        lines_refused: 1,
        fields_ignored: 2,
        ..WriteRecord::default()
    });
    exposition.not_stored(NotStoredRecord { samples: 1, histograms: 4, exemplars: 2 });
    exposition.statement(true);
    let counters = StorageCounters::default();
    counters.flushes.add(5);
    exposition.upkeep();
    let budget = MemoryBudget::default();
    let _held = budget.reserve(Pool::Queries, 7).unwrap();
    let text = exposition.render(&counters, Some(Statistics::default()), &budget);
    for line in [
        "tsdb_http_requests_total{method=\"GET\",path=\"/ping\",status=\"204\"} 2",
        "tsdb_http_request_duration_seconds_bucket{path=\"/ping\",le=\"0.005\"} 2",
        "tsdb_http_request_duration_seconds_count{path=\"/ping\"} 2",
        "tsdb_http_panics_total 1",
        "tsdb_write_rows_total 3",
        "tsdb_remote_write_not_stored_total{reason=\"native_histogram\"} 4",
        "tsdb_remote_write_not_stored_total{reason=\"exemplar\"} 2",
        "tsdb_query_statements_failed_total 1",
        "tsdb_storage_flushes_total 5",
        "tsdb_storage_runs 0",
        "tsdb_memory_used_bytes{pool=\"queries\"} 7",
        "# TYPE tsdb_http_requests_total counter",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn registries_do_not_share_numbers() {
    let (one, other) = (Exposition::new().unwrap(), Exposition::new().unwrap());
    one.panicked();
    let text = other.render(&StorageCounters::default(), None, &MemoryBudget::default());
    assert!(!text.contains("tsdb_http_panics_total 1"));
}

/// The names and types that a scrape shows once everything has happened.
async fn everything_rendered() -> Vec<(String, String)> {
    let config = Config::from_settings(Settings::default()).unwrap();
    let store = Store::new(Arc::new(MemoryStore::new()));
    let exposition = Exposition::new().unwrap();
    let app = App::new(config, Env::real(), store, MemoryBudget::default(), exposition);
    // A request, and a line that is refused.
    let write = Request::post("/write?db=d").header("host", "localhost");
    let write = write.body(Body::from("no line")).unwrap();
    assert_eq!(router(Arc::clone(&app)).oneshot(write).await.unwrap().status(), 400);
    let exposition = app.exposition();
    exposition.panicked();
    exposition.not_stored(NotStoredRecord::default());
    exposition.otlp(OtlpRecord::default());
    exposition.statement(false);
    exposition.slow_statement();
    exposition.continuous(ContinuousRecord::default());
    exposition.upkeep();
    let text = app.render_metrics();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// The names and types of the table of the manual.
fn documented() -> Vec<(String, String)> {
    let manual = include_str!("../../../../docs/operations.md");
    let (_, section) = manual.split_once("\n## Metrics\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut all = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
        let (names, kinds) = (cells.next().unwrap(), cells.next().unwrap());
        let kinds: Vec<&str> = kinds.split(", ").collect();
        for (at, name) in names.split(", ").enumerate() {
            let name = name.trim_matches('`').split('{').next().unwrap();
            // One type for all names of a row, or one for each.
            let kind = kinds.get(at).unwrap_or(&kinds[0]);
            all.push((name.to_owned(), (*kind).to_owned()));
        }
    }
    all
}

#[tokio::test]
async fn the_manual_lists_every_metric_with_its_type() {
    let (rendered, documented) = (everything_rendered().await, documented());
    // Else a metric that the list above leaves out would be looked for nowhere.
    for line in include_str!("../exposition.rs").lines() {
        let Some((_, name)) = line.split_once(": &str = \"") else { continue };
        let name = name.trim_end_matches("\";");
        assert!(rendered.iter().any(|(known, _)| known == name), "record {name} in this test");
    }
    // The counters of the engine bear their own explanations, so one row stands for all.
    let engine = |name: &str| name.starts_with("tsdb_storage_") && name.ends_with("_total");
    for metric in &rendered {
        let is_listed = documented.contains(metric) || engine(&metric.0) && metric.1 == "counter";
        assert!(is_listed, "docs/operations.md, Metrics: {} ({}) is missing", metric.0, metric.1);
    }
    for metric in documented.iter().filter(|(name, _)| name != "tsdb_storage_*_total") {
        let (name, kind) = metric;
        assert!(
            rendered.contains(metric),
            "/metrics has no {name} ({kind}): take it off the manual"
        );
    }
}

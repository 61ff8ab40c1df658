//! The router in this process, over the oracle store and over stores that fail on purpose: every route,
//! every method, and what clients are told when something below breaks.

mod formats;
mod influx;
mod otlp;
mod query_forms;
mod rejects;
mod remote_write;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tsdb_core::env::Env;
use tsdb_core::storage::{Append, DeleteRequest, Maintain, Resolution, Select, Snapshot};
use tsdb_core::{
    Catalogue, CatalogueChange, Error, FieldSet, MemoryBudget, MemoryStore, NamespaceId, Pool,
    Result, SeriesKey, Ticket, WriteBatch,
};

use super::{ROUTES, reply, router};
use crate::app::App;
use crate::config::{Config, Settings};
use crate::exposition::Exposition;
use crate::wiring::Store;

/// How a [`Fragile`] store behaves.
const SOUND: u8 = 0;
/// Appends are accepted, and their tickets fail as after a failed sync.
const SYNC_FAILS: u8 = 1;
/// Appends are refused for want of memory.
const FULL: u8 = 2;
/// Snapshots panic.
const PANICS: u8 = 3;

/// The oracle store with a switch for trouble.
#[derive(Default)]
struct Fragile {
    inner: MemoryStore,
    mode: AtomicU8,
}

impl Fragile {
    fn is(&self, mode: u8) -> bool {
        self.mode.load(Ordering::Relaxed) == mode
    }
}

impl Append for Fragile {
    fn resolve(
        &self,
        namespace: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution> {
        self.inner.resolve(namespace, series, field_sets)
    }

    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        if self.is(SYNC_FAILS) {
            let (ticket, completer) = Ticket::new(7);
            completer.complete(Err(Error::Poisoned { cause: "sync wal: no such luck".into() }));
            return Ok(ticket);
        }
        if self.is(FULL) {
            return Err(Error::OverBudget { pool: Pool::Memtable, wanted: 2, used: 9, limit: 10 });
        }
        self.inner.append(batch)
    }

    fn delete(&self, request: &DeleteRequest) -> Result<Ticket> {
        self.inner.delete(request)
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        self.inner.change_catalogue(change)
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        self.inner.catalogue()
    }
}

impl Select for Fragile {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        assert!(!self.is(PANICS), "a bug, on purpose");
        self.inner.snapshot()
    }
}

impl Maintain for Fragile {
    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    fn compact(&self) -> Result<()> {
        self.inner.compact()
    }

    fn retain(&self, now_ns: i64) -> Result<usize> {
        self.inner.retain(now_ns)
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

struct Fixture {
    app: Arc<App>,
    store: Arc<Fragile>,
    budget: MemoryBudget,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with_budget(MemoryBudget::default())
    }

    fn with_budget(budget: MemoryBudget) -> Fixture {
        let store = Arc::new(Fragile::default());
        let config = Config::from_settings(Settings::default()).unwrap();
        let wired = Store::new(store.clone());
        let app = App::new(config, Env::real(), wired, budget.clone(), Exposition::new().unwrap());
        Fixture { app, store, budget }
    }

    async fn send(&self, method: &str, target: &str, body: &str) -> (Response<()>, String) {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(target)
            .header("host", "localhost:8086")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn status(&self, method: &str, target: &str, body: &str) -> u16 {
        self.send(method, target, body).await.0.status().as_u16()
    }

    async fn query(&self, text: &str) -> (u16, Value) {
        let target = format!("/query?db=d&epoch=ns&q={}", text.replace(' ', "+"));
        let (response, body) = self.send("POST", &target, "").await;
        (response.status().as_u16(), serde_json::from_str(&body).unwrap())
    }
}

#[tokio::test]
async fn every_route_answers_its_methods_and_refuses_the_others() {
    let fixture = Fixture::new();
    for route in ROUTES {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"]
        {
            let (response, body) = fixture.send(method, route.path, "").await;
            let case = format!("{method} {}: {} {body}", route.path, response.status());
            let is_known = route.methods.split(", ").any(|known| known == method);
            assert_eq!(response.status() != 405, is_known, "{case}");
            if !is_known {
                assert_eq!(
                    reply::header(response.headers(), "allow"),
                    Some(route.methods),
                    "{case}"
                );
            }
            assert_eq!(
                reply::header(response.headers(), "x-influxdb-version"),
                Some("1.8.10"),
                "{case}"
            );
            assert!(response.headers().contains_key("request-id"), "{case}");
        }
        for path in
            [format!("{}/", route.path), format!("/{}", route.path), route.path.to_uppercase()]
        {
            // `/` is its own upper case.
            if path != route.path {
                assert_eq!(fixture.status("GET", &path, "").await, 404, "{path}");
            }
        }
    }
}

#[test]
fn the_manual_lists_every_route() {
    let manual = include_str!("../../../../docs/operations.md");
    for route in ROUTES {
        let row = format!("| `{}` | {} |", route.path, route.methods);
        assert!(manual.contains(&row), "{row}");
    }
}

#[tokio::test]
async fn the_page_comes_with_a_policy_that_fits_it() {
    let fixture = Fixture::new();
    let mut policies = Vec::new();
    for method in ["GET", "HEAD"] {
        let (response, body) = fixture.send(method, "/", "").await;
        assert_eq!(response.status(), 200);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
        ] {
            assert_eq!(reply::header(response.headers(), name), Some(value), "{method}");
        }
        let policy = reply::header(response.headers(), "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(policy.contains("; connect-src 'self'; "), "{policy}");
        let (_, rest) = policy.split_once("script-src 'nonce-").unwrap();
        let (nonce, _) = rest.split_once('\'').unwrap();
        assert!(nonce.len() == 32 && policy.contains(&format!("style-src 'nonce-{nonce}'")));
        if method == "GET" {
            assert_eq!(
                body.matches(&format!(" nonce=\"{nonce}\">")).count(),
                2,
                "style and script"
            );
            assert!(body.contains(env!("CARGO_PKG_VERSION")) && !body.contains("{{"));
        } else {
            assert_eq!(body, "");
        }
        policies.push(policy.to_owned());
    }
    assert_ne!(policies[0], policies[1], "a nonce is good for one response");
}

#[tokio::test]
async fn a_link_that_only_reads_changes_nothing() {
    let fixture = Fixture::new();
    for (target, status) in [
        ("/query?read_only=true&q=CREATE+DATABASE+a", 403),
        ("/query?read_only=true&q=SHOW+DATABASES;CREATE+DATABASE+a", 403),
        ("/query?read_only=true&q=SHOW+DATABASES", 200),
        ("/query?q=CREATE+DATABASE+b", 200),
    ] {
        for method in ["GET", "POST"] {
            let (response, body) = fixture.send(method, target, "").await;
            assert_eq!(response.status(), status, "{method} {target}: {body}");
        }
    }
    assert!(fixture.store.catalogue().database("a").is_err(), "nothing of it was carried out");
    assert!(fixture.store.catalogue().database("b").is_ok());
}

#[tokio::test]
async fn the_series_of_a_database_are_counted() {
    let fixture = Fixture::new();
    let lines = "m,h=a v=1 7\nm,h=b v=1 7\nn,h=a,z=\u{e9}\"x v=1 7";
    assert_eq!(fixture.status("POST", "/write?db=d", lines).await, 204);
    let (response, body) = fixture.send("GET", "/api/v1/status/tsdb?db=d&limit=2", "").await;
    assert_eq!(response.status(), 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let entry = |name: &str, value: u64| json!({"name": name, "value": value});
    let data = &answer["data"];
    assert_eq!(answer["status"], "success");
    assert_eq!(data["headStats"]["numSeries"], 3);
    assert_eq!(data["headStats"]["numLabelPairs"], 5);
    assert_eq!(data["seriesCountByMetricName"], json!([entry("m", 2), entry("n", 1)]));
    assert_eq!(data["labelValueCountByLabelName"], json!([entry("__name__", 2), entry("h", 2)]));
    assert_eq!(data["memoryInBytesByLabelName"], json!([entry("z", 4), entry("__name__", 3)]));
    let pairs = json!([entry("__name__=m", 2), entry("h=a", 2)]);
    assert_eq!(data["seriesCountByLabelValuePair"], pairs);
    assert_eq!(data["seriesCountByLabelValuePairErrorMax"], 0);
    let all = fixture.send("GET", "/api/v1/status/tsdb?db=d", "").await.1;
    assert!(all.contains("z=\u{e9}\\\"x"), "{all}");
    for (query, status, text) in [
        ("", 400, "database is required"),
        ("db=none", 404, "none"),
        ("db=d&rp=none", 404, "none"),
        ("db=d&limit=0", 400, "invalid limit \\\"0\\\": give a number from 1 to 10000"),
        ("db=d&limit=10001", 400, "invalid limit"),
        ("db=d&limit=x", 400, "invalid limit"),
    ] {
        let target = format!("/api/v1/status/tsdb?{query}");
        let (response, body) = fixture.send("GET", &target, "").await;
        assert_eq!(response.status(), status, "{query}: {body}");
        assert!(body.contains(text), "{query}: {body}");
    }
    assert_eq!(fixture.budget.used(Pool::Queries), 0, "memory is given back");
}

#[tokio::test]
async fn a_write_is_read_back() {
    let fixture = Fixture::new();
    assert_eq!(fixture.status("POST", "/write?db=d", "m,h=a v=1.5 7").await, 204);
    let (status, answer) = fixture.query("SELECT v FROM m").await;
    assert_eq!(status, 200);
    let series = json!([{"name": "m", "columns": ["time", "v"], "values": [[7, 1.5]]}]);
    assert_eq!(answer, json!({"results": [{"statement_id": 0, "series": series}]}));
    for pool in Pool::ALL {
        assert_eq!(fixture.budget.used(pool), 0, "{pool} is given back");
    }
}

#[tokio::test]
async fn a_failed_sync_is_never_acknowledged_and_shows_in_health() {
    let fixture = Fixture::new();
    assert_eq!(fixture.status("GET", "/health", "").await, 200);
    fixture.store.mode.store(SYNC_FAILS, Ordering::Relaxed);
    let (response, body) = fixture.send("POST", "/write?db=d", "m v=1 1").await;
    assert_eq!(response.status(), 503);
    assert_eq!(reply::header(response.headers(), "retry-after"), Some("1"));
    assert!(body.contains("no such luck"), "{body}");
    let (response, body) = fixture.send("GET", "/health", "").await;
    assert_eq!(response.status(), 503);
    assert!(body.contains("no such luck") && body.contains("\"status\":\"fail\""), "{body}");
    assert_eq!(fixture.query("SELECT v FROM m").await.0, 200, "reads go on");
}

#[tokio::test]
async fn want_of_memory_is_worth_a_retry_and_does_not_hurt_health() {
    let fixture = Fixture::new();
    fixture.store.mode.store(FULL, Ordering::Relaxed);
    let (response, body) = fixture.send("POST", "/write?db=d", "m v=1 1").await;
    assert_eq!(response.status(), 503);
    assert_eq!(reply::header(response.headers(), "retry-after"), Some("1"));
    assert!(body.contains("--memory-limit"), "{body}");
    assert_eq!(fixture.status("GET", "/health", "").await, 200);
    fixture.store.mode.store(SOUND, Ordering::Relaxed);
    let others = fixture.budget.reserve(Pool::Bodies, fixture.budget.limit(Pool::Bodies)).unwrap();
    assert_eq!(fixture.status("POST", "/write?db=d", "m v=1 1").await, 503);
    drop(others);
    assert_eq!(fixture.status("POST", "/write?db=d", "m v=1 1").await, 204);
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let fixture = Fixture::new();
    assert_eq!(fixture.status("POST", "/write?db=d", "m v=1 1").await, 204);
    fixture.store.mode.store(PANICS, Ordering::Relaxed);
    let (status, answer) = fixture.query("SELECT v FROM m").await;
    assert_eq!(status, 500);
    assert!(answer["error"].as_str().unwrap().starts_with("internal error"), "{answer}");
    fixture.store.mode.store(SOUND, Ordering::Relaxed);
    assert_eq!(fixture.query("SELECT v FROM m").await.0, 200);
    let (_, text) = fixture.send("GET", "/metrics", "").await;
    assert!(text.contains("tsdb_http_panics_total 1"), "{text}");
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let fixture = Fixture::new();
    fixture.app.begin_stop();
    let (response, body) = fixture.send("GET", "/health", "").await;
    assert_eq!(response.status(), 503);
    assert!(body.contains("stopping"), "{body}");
}

#[tokio::test]
async fn turns_are_bounded() {
    let fixture = Fixture::new();
    let count = fixture.app.config().query_concurrency;
    let mut turns = Vec::new();
    for _ in 0..count {
        turns.push(fixture.app.query_turn().await.unwrap());
    }
    tokio::time::pause();
    let refused = fixture.app.query_turn().await.unwrap_err();
    assert_eq!(refused.status(), 503);
    drop(turns);
    assert!(fixture.app.query_turn().await.is_ok());
}

#[tokio::test]
async fn answers_of_asynchronous_statements_are_not_waited_for() {
    let fixture = Fixture::new();
    assert_eq!(fixture.status("POST", "/query?async=true&q=CREATE+DATABASE+later", "").await, 204);
    for _ in 0..500 {
        if fixture.store.catalogue().database("later").is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the statement never ran");
}

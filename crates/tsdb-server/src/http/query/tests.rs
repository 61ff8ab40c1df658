//! Queries that would not end by themselves, over a store whose rows never end: each way to end them, and
//! what those beside them notice.

mod statements;
mod whole;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tsdb_core::env::Env;
use tsdb_core::storage::{
    DeleteRequest, Estimate, Resolution, ScanRequest, Selection, SeriesRequest, Snapshot,
    Statistics,
};
use tsdb_core::{
    Append, Block, Catalogue, CatalogueChange, Cursor, FieldSet, Maintain, MemoryBudget,
    MemoryStore, NamespaceId, Pool, Result, Select, SeriesKey, Ticket, WriteBatch,
};
use tsdb_exec::Values;

use crate::app::App;
use crate::config::{Config, Settings};
use crate::exposition::Exposition;
use crate::http::router;
use crate::wiring::Store;

/// How long a query may go on once it is told to end. It takes well under 100 ms; this is what a test may wait
/// for on a machine that does other things too.
const GRACE: Duration = Duration::from_secs(1);

/// A query that never ends by itself.
const ENDLESS: &str = "SELECT mean(v) FROM endless";

/// A store in which the rows of the measurement `endless` have no end.
#[derive(Default)]
struct Endless(MemoryStore);

impl Append for Endless {
    fn resolve(&self, n: NamespaceId, keys: &[SeriesKey], sets: &[FieldSet]) -> Result<Resolution> {
        self.0.resolve(n, keys, sets)
    }
    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        self.0.append(batch)
    }
    fn delete(&self, request: &DeleteRequest) -> Result<Ticket> {
        self.0.delete(request)
    }
    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        self.0.change_catalogue(change)
    }
    fn catalogue(&self) -> Arc<Catalogue> {
        self.0.catalogue()
    }
}

impl Maintain for Endless {
    fn flush(&self) -> Result<()> {
        self.0.flush()
    }
    fn compact(&self) -> Result<()> {
        self.0.compact()
    }
    fn retain(&self, now_ns: i64) -> Result<usize> {
        self.0.retain(now_ns)
    }
    fn close(&self) -> Result<()> {
        self.0.close()
    }
}

impl Select for Endless {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(View(self.0.snapshot()?)))
    }
}

struct View(Arc<dyn Snapshot>);

impl Snapshot for View {
    fn select(&self, request: &ScanRequest) -> Result<Selection> {
        let mut selection = self.0.select(request)?;
        if request.measurements.iter().any(|name| &**name == "endless") {
            let repeat = |inner| -> Box<dyn Cursor> { Box::new(Repeated { inner, first: None }) };
            selection.cursors = selection.cursors.into_iter().map(repeat).collect();
        }
        Ok(selection)
    }
    fn estimate(&self, request: &ScanRequest) -> Result<Estimate> {
        self.0.estimate(request)
    }
    fn series(&self, request: &SeriesRequest) -> Result<Vec<SeriesKey>> {
        self.0.series(request)
    }
    fn fields(&self, request: &SeriesRequest) -> Result<Vec<Arc<str>>> {
        self.0.fields(request)
    }
    fn statistics(&self) -> Statistics {
        self.0.statistics()
    }
}

/// The first block of a cursor for ever.
struct Repeated {
    inner: Box<dyn Cursor>,
    first: Option<Block>,
}

impl Cursor for Repeated {
    fn next(&mut self, block: &mut Block) -> Result<bool> {
        if let Some(first) = &self.first {
            *block = first.clone();
            return Ok(true);
        }
        let has_one = self.inner.next(block)?;
        self.first = has_one.then(|| block.clone());
        Ok(has_one)
    }
}

struct Fixture {
    app: Arc<App>,
    budget: MemoryBudget,
}

impl Fixture {
    /// A server with rows of `endless` and of `m`.
    async fn new(settings: Settings) -> Fixture {
        let budget = MemoryBudget::default();
        let config = Config::from_settings(settings).unwrap();
        let store = Store::new(Arc::new(Endless::default()));
        let app = App::new(config, Env::real(), store, budget.clone(), Exposition::new().unwrap());
        let fixture = Fixture { app, budget };
        let mut lines = String::from("endless,host=a v=1 1\n");
        (1..=20_000).for_each(|n| lines.push_str(&format!("m,host=h{} v={n} {n}\n", n % 10)));
        let response = fixture.send("POST", "/write?db=d", &lines).await;
        assert_eq!(response.status(), 204);
        fixture
    }

    async fn send(&self, method: &str, target: &str, body: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "localhost:8086")
            .body(Body::from(body.to_owned()))
            .unwrap();
        router(Arc::clone(&self.app)).oneshot(request).await.unwrap()
    }

    /// The answer to a query in a form, from our own endpoint.
    async fn ask(&self, target: &str, accept: &str) -> Response {
        let request = Request::post(target)
            .header("host", "localhost:8086")
            .header("accept", accept)
            .body(Body::empty())
            .unwrap();
        router(Arc::clone(&self.app)).oneshot(request).await.unwrap()
    }

    /// Status and document of a query.
    async fn query(&self, method: &str, target: &str) -> (u16, Value) {
        let response = self.send(method, &target.replace(' ', "+"), "").await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// The error of the first statement of `text`.
    async fn error(&self, text: &str) -> String {
        let (_, answer) = self.query("POST", &format!("/query?db=d&q={text}")).await;
        answer["results"][0]["error"].as_str().unwrap_or_default().to_owned()
    }

    /// Number and status of the queries that there are, but for the one that asks.
    fn listed(&self) -> Vec<(i64, String)> {
        let table = self.app.running().show(0, &crate::auth::Who::Everyone);
        let [Values::Integers(ids, _), .., Values::Strings(states)] =
            &table.series[0].columns.iter().map(|column| column.values.clone()).collect::<Vec<_>>()
                [..]
        else {
            panic!("{table:?}")
        };
        ids.iter().copied().zip(states.iter().flatten().map(ToString::to_string)).collect()
    }

    /// Waits until `has_come` holds for the list of queries.
    async fn until(&self, has_come: impl Fn(&[(i64, String)]) -> bool) {
        let begin = Instant::now();
        while !has_come(&self.listed()) {
            assert!(begin.elapsed() < 10 * GRACE, "{:?}", self.listed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(self.listed(), []);
        assert_eq!(self.budget.used(Pool::Queries), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_query_says_so_and_is_gone() {
    let fixture = Fixture::new(Settings::default()).await;
    let target = format!("/query?db=d&q={ENDLESS};SHOW DATABASES");
    let killer = async {
        fixture.until(|listed| listed.iter().any(|(_, state)| state == "running")).await;
        let id = fixture.listed()[0].0;
        let killed = fixture.query("POST", &format!("/query?q=KILL QUERY {id}")).await;
        assert_eq!(killed, (200, json!({"results": [{"statement_id": 0}]})));
        Instant::now()
    };
    let ((status, answer), killed) = tokio::join!(fixture.query("POST", &target), killer);
    let late = killed.elapsed();
    assert_eq!(status, 200);
    let error = answer["results"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("query was killed by KILL QUERY"), "{answer}");
    assert_eq!(answer["results"][1]["error"], "not executed");
    assert!(late < GRACE, "it went on for {late:?}");
    println!("killed: it went on for {late:?}");
    fixture.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_ends_when_its_time_is_up_and_when_its_client_goes_away() {
    let settings = toml::from_str("query-timeout = '100ms'").unwrap();
    let fixture = Fixture::new(settings).await;
    let begin = Instant::now();
    let error = fixture.error(ENDLESS).await;
    let took = begin.elapsed();
    assert!(error.contains("time limit") && error.contains("--query-timeout"), "{error}");
    assert!(took < GRACE, "it went on for {took:?}");
    println!("time limit of 100 ms: it took {took:?}");
    let (status, _) = fixture.query("POST", &format!("/api/v1/query?db=d&q={ENDLESS}")).await;
    assert_eq!(status, 504);

    let fixture = Fixture::new(Settings::default()).await;
    let target = format!("/query?db=d&q={ENDLESS}").replace(' ', "+");
    let asked = fixture.send("POST", &target, "");
    tokio::select! {
        response = asked => panic!("{response:?}"),
        () = fixture.until(|listed| listed.iter().any(|(_, state)| state == "running")) => {}
    }
    // The client is gone: its request was dropped.
    let gone = Instant::now();
    fixture.until(<[_]>::is_empty).await;
    let late = gone.elapsed();
    assert!(late < GRACE, "it went on for {late:?}");
    println!("client gone: it went on for {late:?}");
    fixture.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_seen_and_killed_while_all_turns_and_all_memory_are_taken() {
    let fixture = Fixture::new(toml::from_str("query-concurrency = 1").unwrap()).await;
    let states = |listed: &[(i64, String)]| {
        listed.iter().map(|(_, state)| state.clone()).collect::<Vec<_>>().join(" ")
    };
    let first = async { fixture.error(ENDLESS).await };
    let second = async {
        fixture.until(|listed| states(listed) == "running").await;
        // A SHOW is never taken for small, so it waits.
        fixture.error(&format!("{ENDLESS};SHOW DATABASES")).await
    };
    let killer = async {
        fixture.until(|listed| states(listed) == "running waiting").await;
        let (_, shown) = fixture.query("POST", "/query?q=SHOW QUERIES").await;
        let rows = shown["results"][0]["series"][0]["values"].as_array().unwrap();
        let seen: Vec<&str> = rows.iter().map(|row| row[4].as_str().unwrap()).collect();
        assert_eq!(seen, ["running", "waiting", "running"], "the last is the one that asks");
        let ids: Vec<i64> = rows.iter().map(|row| row[0].as_i64().unwrap()).collect();
        // From here on the first may end by itself, for want of memory.
        let taken =
            fixture.budget.reserve_anyway(Pool::Queries, fixture.budget.limit(Pool::Queries));
        assert_eq!(fixture.error(&format!("KILL QUERY {}", ids[1])).await, "");
        assert_eq!(fixture.error("SHOW QUERIES").await, "");
        drop(taken);
        let killed = fixture.error(&format!("KILL QUERY {}", ids[0])).await;
        assert!(killed.is_empty() || killed.starts_with("no such query id"), "{killed}");
    };
    let (first, second, ()) = tokio::join!(first, second, killer);
    assert!(second.starts_with("query was killed"), "{second}");
    assert!(first.starts_with("query was killed") || first.contains("memory"), "{first}");
    fixture.assert_nothing_is_left();
    assert_eq!(fixture.error("SELECT mean(v) FROM m").await, "", "the turn is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_queries_do_not_wait_behind_large_ones() {
    let fixture = Fixture::new(toml::from_str("query-concurrency = 1").unwrap()).await;
    let large = async { fixture.error(ENDLESS).await };
    let small = async {
        fixture.until(|listed| listed.iter().any(|(_, state)| state == "running")).await;
        assert_eq!(fixture.error("SELECT last(v) FROM m").await, "", "it has a turn of its own");
        let id = fixture.listed()[0].0;
        assert_eq!(fixture.error(&format!("KILL QUERY {id}")).await, "");
    };
    let (large, ()) = tokio::join!(large, small);
    assert!(large.starts_with("query was killed"), "{large}");
    fixture.assert_nothing_is_left();
}

#[tokio::test]
async fn to_kill_is_a_change_and_needs_a_number_that_there_is() {
    let fixture = Fixture::new(Settings::default()).await;
    let error = fixture.error("KILL QUERY 36").await;
    assert!(error.starts_with("no such query id: 36") && error.contains("SHOW QUERIES"), "{error}");
    let (status, _) = fixture.query("POST", "/api/v1/query?q=KILL QUERY 36").await;
    assert_eq!(status, 404);
    let (status, answer) = fixture.query("GET", "/query?read_only=true&q=KILL QUERY 36").await;
    assert_eq!(status, 403, "{answer}");
    let (status, answer) = fixture.query("GET", "/query?q=KILL QUERY 36").await;
    assert_eq!(status, 200);
    let warning = answer["results"][0]["messages"][0]["text"].as_str().unwrap();
    assert!(warning.starts_with("deprecated use of 'KILL QUERY 36'"), "{answer}");
    // Even the one that kills itself gets its answer; what comes behind it does not run.
    let (_, answer) = fixture.query("POST", "/query?q=KILL QUERY 4;SHOW DATABASES").await;
    assert_eq!(answer["results"][0].get("error"), None, "{answer}");
    let error = answer["results"][1]["error"].as_str().unwrap();
    assert!(error.starts_with("query was killed"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_its_chunks_holds_no_turn_for_ever() {
    let rows = "SELECT * FROM m;".repeat(20).replace(' ', "+");
    let target = format!("/query?db=d&chunked=true&chunk_size=100&q={rows}");
    for settings in ["", "query-timeout = '200ms'"] {
        let fixture = Fixture::new(toml::from_str(settings).unwrap()).await;
        let response = fixture.send("POST", &target, "").await;
        assert_eq!(response.status(), 200);
        fixture.until(|listed| listed.len() == 1).await;
        let id = fixture.listed()[0].0;
        if settings.is_empty() {
            assert_eq!(fixture.error(&format!("KILL QUERY {id}")).await, "");
        }
        let begin = Instant::now();
        fixture.until(<[_]>::is_empty).await;
        assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
        // What the client reads at last does not look like the whole answer.
        let body = response.into_body().collect().await;
        assert!(body.is_err(), "{body:?}");
        fixture.assert_nothing_is_left();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_answer_that_is_killed_ends_with_the_reason() {
    let fixture = Fixture::new(Settings::default()).await;
    let target = format!("/query?db=d&chunked=true&q=SHOW+DATABASES;{}", ENDLESS.replace(' ', "+"));
    let response = fixture.send("POST", &target, "").await;
    let killer = async {
        fixture.until(|listed| listed.len() == 1).await;
        fixture.error(&format!("KILL QUERY {}", fixture.listed()[0].0)).await
    };
    let (body, killed) = tokio::join!(response.into_body().collect(), killer);
    assert_eq!(killed, "");
    let body = String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap();
    let last: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
    let error = last["results"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("query was killed"), "{body}");
    assert_eq!(last["results"][0]["statement_id"], 1);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_an_error_and_leaves_nothing() {
    let rows = "SELECT * FROM m".replace(' ', "+");
    for (settings, limit) in [
        ("query-memory = '1MiB'", "query-memory exceeded"),
        ("query-rows = 100", "query-rows exceeded"),
        ("query-series = 3", "query-series exceeded"),
        ("query-samples = 1000", "query-samples exceeded"),
    ] {
        let fixture = Fixture::new(toml::from_str(settings).unwrap()).await;
        for pretty in [false, true] {
            let target = format!("/query?db=d&pretty={pretty}&q={rows}");
            let (status, answer) = fixture.query("POST", &target).await;
            let error = answer["results"][0]["error"].as_str().unwrap_or_default();
            assert_eq!(status, 200, "{answer}");
            assert!(
                error.contains(limit) && error.contains("raise --query-"),
                "{settings}: {error}"
            );
            fixture.assert_nothing_is_left();
        }
        for accept in
            ["application/json", "text/csv", "application/x-ndjson", "application/x-protobuf"]
        {
            let request = Request::post(format!("/api/v1/query?db=d&q={rows}"))
                .header("host", "localhost:8086")
                .header("accept", accept)
                .body(Body::empty())
                .unwrap();
            let response = router(Arc::clone(&fixture.app)).oneshot(request).await.unwrap();
            assert_eq!(response.status(), 422, "{settings} {accept}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(String::from_utf8_lossy(&body).contains(limit), "{settings} {accept}");
            fixture.assert_nothing_is_left();
        }
        let response =
            fixture.send("POST", &format!("/query?db=d&chunked=true&q={rows}"), "").await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(limit), "{settings}");
    }
    let fixture = Fixture::new(Settings::default()).await;
    for pretty in ["", "&pretty=true", "&chunked=true&chunk_size=1000000"] {
        let response = fixture.send("POST", &format!("/query?db=d{pretty}&q={rows}"), "").await;
        let held = fixture.budget.used(Pool::Queries);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("error"), "{pretty}");
        assert!(pretty.contains("chunked") || held >= body.len(), "{pretty}: {held}");
        drop(body);
        fixture.until(<[_]>::is_empty).await;
        fixture.assert_nothing_is_left();
    }
}

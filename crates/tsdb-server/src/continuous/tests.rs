//! Continuous queries by a clock that the tests drive, over the store in memory.

use std::time::Duration;

use serde_json::{Value, json};
use tsdb_core::env::{Env, SimClock};
use tsdb_core::{MemoryBudget, MemoryStore};

use super::*;
use crate::auth::Who;
use crate::config::{Config, Settings};
use crate::exposition::Exposition;
use crate::wiring::Store;

const SECOND: u64 = 1_000_000_000;

/// A server whose clock stands until it is moved. It begins at 10 s behind the full minute.
struct Fixture {
    app: Arc<App>,
    clock: Arc<SimClock>,
    end: watch::Receiver<()>,
    _open: watch::Sender<()>,
}

impl Fixture {
    async fn new() -> Fixture {
        let clock = Arc::new(SimClock::new(i64::try_from(610 * SECOND).unwrap()));
        let env = Env { clock: Arc::clone(&clock) as _, ..Env::real() };
        let config = Config::from_settings(Settings::default()).unwrap();
        let store = Store::new(Arc::new(MemoryStore::new()));
        let exposition = Exposition::new().unwrap();
        let app = App::new(config, env, store, MemoryBudget::default(), exposition);
        let (open, end) = watch::channel(());
        let fixture = Fixture { app, clock, end, _open: open };
        fixture.ask("CREATE DATABASE d").await;
        fixture
    }

    /// The answer to one request, as JSON.
    async fn ask(&self, text: &str) -> Value {
        let query =
            Query { text: text.to_owned(), database: Some("d".to_owned()), ..Query::default() };
        let statements = query.parse().unwrap();
        let time_max = Duration::from_secs(9);
        let app = Arc::clone(&self.app);
        let begun = Run::begin(app, Who::Everyone, query, statements, time_max).await;
        let Ok((run, _watch)) = begun else { panic!("{text} has no turn") };
        let mut answers = Answers::default();
        run.each_in_slices(&mut answers);
        Value::Array(answers.all)
    }

    fn write(&self, lines: &str) {
        let options = tsdb_ingest::ParseOptions::new(tsdb_ingest::Precision::Seconds, 0);
        let body = lines.as_bytes();
        let request = tsdb_ingest::WriteRequest { database: "d", policy: None, body, options };
        let format = tsdb_ingest::LineProtocol::default();
        assert_eq!(self.app.pipeline().write(&format, &request).unwrap().errors_total, 0);
    }

    /// Lets time pass, and looks for what is due.
    async fn pass(&mut self, seconds: u64) {
        self.clock.advance(seconds * SECOND);
        run_due(&self.app, &mut self.end).await;
    }

    /// Rows, failures and error of the one query.
    fn account(&self) -> (u64, u64, String) {
        let (_, account) = self.app.continuous().accounts().remove(0);
        (account.runs, account.failures, account.error)
    }
}

/// Answers as JSON; none of the tests has one of several slices.
#[derive(Default)]
struct Answers {
    all: Vec<Value>,
    tables: Vec<Value>,
}

impl Listener for Answers {
    fn slice(&mut self, _: usize, slice: Slice<'_>) -> tsdb_exec::Result<()> {
        assert!(!slice.continues);
        self.tables.push(table(slice.table));
        Ok(())
    }

    fn end(&mut self, answer: &Answer, _: Option<ErrorKind>) -> bool {
        let mut tables = std::mem::take(&mut self.tables);
        self.all.push(match &answer.outcome {
            Ok(result) => {
                tables.extend(result.series.iter().map(table));
                Value::Array(tables)
            }
            Err(error) => json!(error),
        });
        true
    }
}

fn table(table: &tsdb_exec::Series) -> Value {
    let columns: Vec<String> =
        table.columns.iter().map(|column| format!("{:?}", column.values)).collect();
    json!([table.name.as_deref(), table.times, columns])
}

const MEANS: &str =
    "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(v) INTO a FROM m GROUP BY time(1m) END";

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_written_once_it_has_ended() {
    let mut fixture = Fixture::new().await;
    fixture.write("m v=1 605\nm v=3 615\nm v=9 661");
    fixture.ask(MEANS).await;
    fixture.pass(0).await;
    fixture.pass(49).await;
    assert_eq!(fixture.ask("SELECT mean FROM a").await, json!([[]]), "before its end");
    fixture.pass(1).await;
    let first = fixture.ask("SELECT mean FROM a").await;
    let floats = |values: &[f64]| {
        let validity = tsdb_exec::Validity::all(values.len());
        format!("{:?}", Values::Floats(values.to_vec(), validity))
    };
    let seconds = |all: &[u64]| all.iter().map(|s| s * SECOND).collect::<Vec<_>>();
    assert_eq!(first, json!([[["a", seconds(&[600]), [floats(&[2.0])]]]]));
    fixture.pass(5).await;
    assert_eq!(fixture.account(), (1, 0, String::new()), "once");
    fixture.pass(120).await;
    let both = fixture.ask("SELECT mean FROM a").await;
    assert_eq!(both, json!([[["a", seconds(&[600, 660]), [floats(&[2.0, 9.0])]]]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn late_rows_count_as_far_as_for_reaches() {
    let mut fixture = Fixture::new().await;
    fixture
        .ask(
            "CREATE CONTINUOUS QUERY c ON d RESAMPLE FOR 2m BEGIN SELECT sum(v) INTO a FROM m \
             GROUP BY time(1m) END",
        )
        .await;
    fixture.write("m v=1 610");
    fixture.pass(50).await;
    fixture.write("m v=10 611");
    fixture.pass(60).await;
    let late = fixture.ask("SELECT sum FROM a").await.to_string();
    assert!(late.contains("11.0"), "{late}");
    fixture.write("m v=100 612");
    fixture.pass(60).await;
    assert_eq!(fixture.ask("SELECT sum FROM a").await.to_string(), late, "too late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_is_seen_and_the_others_go_on() {
    let mut fixture = Fixture::new().await;
    fixture.ask("CREATE DATABASE gone").await;
    let broken = MEANS.replace("INTO a", "INTO gone..a").replace("QUERY c", "QUERY b");
    fixture.ask(&broken).await;
    fixture.ask(MEANS).await;
    fixture.ask("DROP DATABASE gone").await;
    fixture.write("m v=1 605");
    fixture.pass(0).await;
    fixture.pass(50).await;
    let accounts = fixture.app.continuous().accounts();
    let shown: Vec<_> = accounts
        .iter()
        .map(|(key, a)| (&*key.name, a.runs, a.failures, a.rows, a.error.as_str()))
        .collect();
    assert_eq!(shown, [("b", 1, 1, 0, "database not found: gone"), ("c", 1, 0, 1, "")]);
    let stats = fixture.ask("SHOW STATS FOR 'cq'").await.to_string();
    assert!(stats.contains("Integers([1]"), "{stats}");
    let diagnostics = fixture.ask("SHOW DIAGNOSTICS FOR 'continuous_queries'").await.to_string();
    assert!(diagnostics.contains("database not found: gone"), "{diagnostics}");
    let metrics = fixture.app.render_metrics();
    for line in [
        "tsdb_continuous_query_runs_total 2",
        "tsdb_continuous_query_failures_total 1",
        "tsdb_continuous_query_rows_written_total 1",
        "tsdb_continuous_query_last_run_timestamp_seconds 660",
        "tsdb_continuous_query_duration_seconds_count 2",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_was_dropped_runs_no_more_and_one_that_changed_begins_anew() {
    let mut fixture = Fixture::new().await;
    fixture.write("m v=1 605\nm v=2 665");
    fixture.ask(MEANS).await;
    let other = fixture.ask(&MEANS.replace("mean", "max")).await;
    assert_eq!(other, json!(["continuous query already exists"]));
    assert_eq!(fixture.ask(MEANS).await, json!([[]]), "the same again is no error");
    fixture.pass(0).await;
    fixture.ask("DROP CONTINUOUS QUERY c ON d").await;
    fixture.pass(50).await;
    assert_eq!(fixture.app.continuous().accounts(), []);
    fixture.ask(&MEANS.replace("mean", "max")).await;
    fixture.pass(1).await;
    fixture.pass(60).await;
    assert_eq!(fixture.ask("SELECT mean FROM a").await, json!([[]]));
    assert!(fixture.ask("SELECT max FROM a").await.to_string().contains("[2.0]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_looks_by_itself_and_stops() {
    let fixture = Fixture::new().await;
    fixture.write("m v=1 605");
    fixture.ask(MEANS).await;
    let scheduler = Scheduler::start(&fixture.app);
    let begun = std::time::Instant::now();
    while fixture.app.continuous().accounts().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never looks");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fixture.clock.advance(50 * SECOND);
    while fixture.account().0 == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scheduler.stop().await;
    fixture.clock.advance(600 * SECOND);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(fixture.account().0, 1, "nothing runs behind the stop");
}

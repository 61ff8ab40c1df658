//! Statements that would not end by themselves, or not soon, and end when they are told to.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::decorated::Decorated;
use super::support::{self, context, storage_error};
use crate::{Executor, QueryContext, QueryLimits, Result, StatementResult};
use tsdb_core::{CancelToken, Error as CoreError, MemoryStore, Storage};

/// How long a statement may go on once it is told to end. It takes well under 100 ms; this is what a test may
/// wait for on a machine that does other things too.
const GRACE: Duration = Duration::from_secs(1);

type End = fn(&CancelToken);

const ENDS: [(End, CoreError); 3] = [
    (CancelToken::cancel, CoreError::Cancelled),
    (CancelToken::expire, CoreError::DeadlineExceeded),
    (CancelToken::kill, CoreError::Killed),
];

/// Runs `query` and ends it with `end` after `delay`; its outcome, and how long it went on after that.
fn end_after(
    store: &Arc<dyn Storage>,
    query: &str,
    delay: Duration,
    end: End,
) -> (Result<StatementResult>, Duration) {
    let limits =
        QueryLimits { samples_max: u64::MAX, parallel_samples_min: 1000, ..QueryLimits::default() };
    let context: QueryContext<'_> = context();
    let token = context.cancel.clone();
    let (done, is_done) = mpsc::channel::<()>();
    let ender = std::thread::spawn(move || {
        // Wakes up early when the statement ends by itself.
        let _ = is_done.recv_timeout(delay);
        end(&token);
        Instant::now()
    });
    let statement = &tsdb_ql::parse(query).unwrap()[0];
    let outcome = Executor::new(Arc::clone(store), limits).execute(statement, &context);
    let ended = Instant::now();
    drop(done);
    (outcome, ended.saturating_duration_since(ender.join().unwrap()))
}

#[test]
fn a_statement_over_endless_rows_ends_in_each_of_three_ways() {
    let rows = (0..40).map(|i| support::row(&format!("m,host=h{} v={i} {i}", i % 8)));
    let store = support::empty_store();
    support::load(&*store, support::DATABASE, None, &rows.collect::<Vec<_>>());
    let store: Arc<dyn Storage> = Decorated::endless(store);
    for query in [
        "SELECT mean(v) FROM m",
        "SELECT max(v), host FROM m GROUP BY host",
        "SELECT count(v) FROM m WHERE v > 100",
        "SELECT v FROM m LIMIT 1",
    ] {
        for (end, error) in ENDS {
            let (outcome, late) = end_after(&store, query, Duration::from_millis(30), end);
            assert_eq!(storage_error(&outcome), Some(&error), "{query}: {outcome:?}");
            assert!(late < GRACE, "{query} went on for {late:?}");
        }
    }
}

/// A store of `count` series with few rows each.
fn many_series(count: usize) -> Arc<MemoryStore> {
    let store = support::empty_store();
    let row = |i: usize| support::row(&format!("m,host=h{i},dc=d{} v={} {}", i % 7, i % 97, i % 5));
    let rows: Vec<support::Row> = (0..count).chain(0..count / 2).map(row).collect();
    support::load(&*store, support::DATABASE, None, &rows);
    store
}

#[test]
fn a_statement_over_many_series_ends_in_every_phase() {
    let store: Arc<dyn Storage> = many_series(10_000);
    let mut latest = (Duration::ZERO, "");
    for query in [
        "SELECT percentile(v, 50) FROM m GROUP BY *",
        "SELECT v, host FROM m ORDER BY time DESC",
        "SELECT derivative(v, 1ns) FROM m GROUP BY dc",
        "SELECT percentile(v, 50), host FROM m GROUP BY host",
        "SELECT mean(v) FROM m WHERE time < 5 GROUP BY host, time(1ns) fill(previous)",
        "SHOW SERIES",
        "SHOW TAG VALUES WITH KEY = host",
        "SHOW TAG KEYS FROM m, /m/, m",
        "SHOW TAG VALUES CARDINALITY WITH KEY = host GROUP BY host",
    ] {
        let (outcome, _) = end_after(&store, query, GRACE * 100, CancelToken::cancel);
        assert!(outcome.unwrap().rows() > 0, "{query}");
        let begin = Instant::now();
        let _ = end_after(&store, query, GRACE * 100, CancelToken::cancel);
        let whole = begin.elapsed();
        let mut ended = 0;
        for part in [1, 3, 5] {
            let (outcome, late) = end_after(&store, query, whole * part / 8, CancelToken::kill);
            if let Some(error) = storage_error(&outcome) {
                assert_eq!(*error, CoreError::Killed, "{query}");
                ended += 1;
                latest = latest.max((late, query));
            }
        }
        // One that is told late may be through already, for its run is never the same.
        assert!(ended > 0, "{query} was never ended");
    }
    let (late, query) = latest;
    println!("the latest went on for {late:?}: {query}");
    assert!(late < GRACE, "{query} went on for {late:?}");
}

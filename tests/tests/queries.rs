//! Queries over the real engine, on a simulated disk: what EXPLAIN ANALYZE says was read, and that every
//! function answers as it does over the store in memory. What a query means is tested in `tsdb-exec`, which does
//! not know that there are files.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests report by panicking"
)]

use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::{Env, SimClock, SimVfs};
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::time::{DAY, MINUTE};
use tsdb_core::{
    CatalogueChange, FieldSet, Maintain as _, MemoryStore, SeriesKey, Storage, TagCharset, Ticket,
    WriteBatch,
};
use tsdb_exec::{Executor, QueryContext, QueryLimits, Series, StatementResult, Values};
use tsdb_lsm::{Engine, EngineOptions};
use tsdb_tests::answers::assert_near;

const HOSTS: i64 = 20;
/// Each in a partition of its own, and so in chunks of its own.
const DAYS: i64 = 4;
/// Of each host and day: one chunk, long enough for a summary.
const ROWS: i64 = 240;
const STEP: i64 = 6 * MINUTE;

/// The engine, and the store in memory with the same rows.
struct Stores {
    engine: Arc<Engine>,
    memory: Arc<MemoryStore>,
}

/// `usage` is 100 times the day and a little; `total` is a counter that begins again at noon.
fn values(host: i64, day: i64, row: i64) -> [f64; 2] {
    let usage = day * 100 + (row * 7 + host) % 50;
    [(row % (ROWS / 2) * 3 + host) as f64, usage as f64]
}

impl Stores {
    /// All rows in runs.
    fn new() -> Stores {
        let mut options = EngineOptions::new("/db");
        options.env = Env { clock: Arc::new(SimClock::new(i64::MIN)), ..SimVfs::new(1).env() };
        options.background = false;
        let engine = Engine::open(options).unwrap();
        let stores = Stores { engine, memory: Arc::new(MemoryStore::new()) };
        let (name, policy) = ("d".into(), PolicySpec::default());
        stores.each(|store| {
            store.change_catalogue(&CatalogueChange::CreateDatabase {
                name: Arc::clone(&name),
                policy: policy.clone(),
            })
        });
        for day in 0..DAYS {
            let rows = (0..HOSTS).flat_map(|host| (0..ROWS).map(move |row| (host, row)));
            let rows: Vec<_> =
                rows.map(|(h, r)| (h, day * DAY + r * STEP, values(h, day, r))).collect();
            stores.write(&rows);
        }
        stores.engine.flush().unwrap();
        stores
    }

    /// Does the same to both and waits until it is visible.
    fn each(&self, act: impl Fn(&dyn Storage) -> tsdb_core::Result<Ticket>) {
        let tickets = [act(&*self.engine).unwrap(), act(&*self.memory).unwrap()];
        self.engine.sync().unwrap();
        for ticket in tickets {
            ticket.wait().unwrap();
        }
    }

    /// Writes rows of `cpu`: host, time, `total` and `usage`.
    fn write(&self, rows: &[(i64, i64, [f64; 2])]) {
        let keys: Vec<SeriesKey> = (0..HOSTS)
            .map(|host| {
                let (host, rack) = (format!("h{host:02}"), format!("r{}", host % 3));
                let mut tags = [("host", host.as_str()), ("rack", rack.as_str())];
                SeriesKey::new("cpu", &mut tags, TagCharset::Ascii).unwrap()
            })
            .collect();
        let fields = [FieldSet::new(["total", "usage"]).unwrap()];
        self.each(|store| {
            let namespace = store.catalogue().namespace("d", None).unwrap().id;
            let resolution = store.resolve(namespace, &keys, &fields).unwrap();
            let set = *resolution.field_sets[0].as_ref().unwrap();
            let mut batch = WriteBatch::new(namespace, resolution.epoch);
            for (host, time, values) in rows {
                let place = usize::try_from(*host).unwrap();
                let series = *resolution.series[place].as_ref().unwrap();
                batch.push(series, *time, set, values).unwrap();
            }
            store.append(&batch)
        });
    }

    /// The answer to the same query over both.
    fn ask(&self, query: &str) -> [StatementResult; 2] {
        let stores: [Arc<dyn Storage>; 2] =
            [Arc::clone(&self.engine) as _, Arc::clone(&self.memory) as _];
        stores.map(|store| answer(store, query))
    }

    /// What EXPLAIN ANALYZE counts for `query` over the engine. The answer must be that of the store in
    /// memory.
    fn counts(&self, query: &str) -> Counts {
        let [engine, memory] = self.ask(query);
        assert_same(&engine, &memory, query);
        let plan = answer(Arc::clone(&self.engine) as _, &format!("EXPLAIN ANALYZE {query}"));
        let Values::Strings(lines) = &plan.series[0].columns[0].values else { panic!("{plan:?}") };
        let lines: Vec<&str> = lines.iter().flatten().map(|line| &**line).collect();
        let line = lines.iter().find_map(|line| line.strip_prefix("engine: "));
        let line = line.unwrap_or_else(|| panic!("{lines:?}"));
        let count = |name: &str| {
            let pair = line.split(", ").find_map(|pair| pair.strip_prefix(name));
            pair.unwrap().trim().parse().unwrap()
        };
        Counts {
            series_matched: count("series_matched"),
            rows_scanned: count("rows_scanned"),
            chunks_read: count("chunks_read"),
            chunks_skipped: count("chunks_skipped"),
            chunks_summarised: count("chunks_summarised"),
            bytes_read: count("bytes_read"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    series_matched: i64,
    rows_scanned: i64,
    chunks_read: i64,
    chunks_skipped: i64,
    chunks_summarised: i64,
    bytes_read: i64,
}

impl Counts {
    /// All but the bytes, in that order.
    fn chunks(self) -> [i64; 5] {
        let Counts { series_matched, rows_scanned, .. } = self;
        let (read, skipped) = (self.chunks_read, self.chunks_skipped);
        [series_matched, rows_scanned, read, skipped, self.chunks_summarised]
    }
}

fn answer(store: Arc<dyn Storage>, query: &str) -> StatementResult {
    let executor = Executor::new(store, QueryLimits::default());
    let context = QueryContext { database: Some("d"), ..QueryContext::new(DAYS * DAY) };
    let statements = tsdb_ql::parse(query).unwrap_or_else(|error| panic!("{query}\n{error}"));
    executor.execute(&statements[0], &context).unwrap_or_else(|error| panic!("{query}\n{error}"))
}

/// Equal, but for what other orders of additions change in the last digits.
fn assert_same(left: &StatementResult, right: &StatementResult, query: &str) {
    assert!(!left.series.is_empty(), "{query}: no answer");
    assert_eq!(left.series.len(), right.series.len(), "{query}");
    for (left, right) in left.series.iter().zip(&right.series) {
        assert_near(left, right, query);
    }
}

#[test]
fn full_table_scans() {
    let stores = Stores::new();
    let (rows, chunks) = (HOSTS * DAYS * ROWS, HOSTS * DAYS);
    let all = [HOSTS, rows, chunks, 0, 0];
    let one_field = stores.counts("SELECT stddev(usage) FROM cpu");
    assert_eq!(one_field.chunks(), all);
    let both = stores.counts("SELECT * FROM cpu");
    assert_eq!(both.chunks(), all);
    // A column that nobody asks for stays on the disk.
    assert!(both.bytes_read > one_field.bytes_read && one_field.bytes_read > 0, "{both:?}");
    // What summaries can answer needs no chunk at all, for the whole time as for days.
    for query in [
        "SELECT mean(usage), spread(total) FROM cpu",
        "SELECT max(usage), count(total) FROM cpu WHERE time >= 0 GROUP BY time(1d), host",
    ] {
        let counts = stores.counts(query);
        assert_eq!(counts.chunks(), [HOSTS, 0, 0, 0, chunks], "{query}");
        // The directories of the row groups, which have the summaries, are read all the same.
        assert!(counts.bytes_read * 3 < both.bytes_read, "{counts:?} {both:?}");
    }
    // An hour is no whole chunk.
    let hours = stores.counts("SELECT mean(usage) FROM cpu WHERE time >= 0 GROUP BY time(1h)");
    assert_eq!(hours.chunks(), all);
}

#[test]
fn indexed_queries() {
    let stores = Stores::new();
    let full = stores.counts("SELECT stddev(usage) FROM cpu");
    // One of many series: its chunks, and no other's.
    let one = stores.counts("SELECT stddev(usage) FROM cpu WHERE host = 'h07'");
    assert_eq!(one.chunks(), [1, DAYS * ROWS, DAYS, 0, 0]);
    // Its pages, and the directories of their row groups.
    assert!(one.bytes_read * 4 < full.bytes_read, "{one:?} {full:?}");
    let three = stores.counts("SELECT stddev(usage) FROM cpu WHERE host =~ /^h0[1-3]$/");
    assert_eq!(three.chunks(), [3, 3 * DAYS * ROWS, 3 * DAYS, 0, 0]);
    let rack = stores.counts("SELECT stddev(usage) FROM cpu WHERE rack = 'r2' AND host != 'h02'");
    assert_eq!(rack.chunks(), [5, 5 * DAYS * ROWS, 5 * DAYS, 0, 0]);
    // Times lead to the runs of their days, and to the chunks there.
    let day = format!("time >= {DAY} AND time < {}", 2 * DAY);
    let of_day = stores.counts(&format!("SELECT stddev(usage) FROM cpu WHERE {day}"));
    assert_eq!(of_day.chunks(), [HOSTS, HOSTS * ROWS, HOSTS, 0, 0]);
    let both = stores.counts(&format!("SELECT usage FROM cpu WHERE {day} AND host = 'h00'"));
    assert_eq!(both.chunks(), [1, ROWS, 1, 0, 0]);
    // The newest row of each series is in its newest chunk.
    let last = stores.counts("SELECT last(usage) FROM cpu GROUP BY host");
    assert_eq!(last.chunks(), [HOSTS, HOSTS * ROWS, HOSTS, 0, 0]);
    // And in a run to the chunks: of the two that the series has on this day, one is read.
    let long = i64::try_from(BLOCK_ROWS_MAX).unwrap();
    let (start, rows) = (DAYS * DAY, long + 100);
    let rows: Vec<_> = (0..rows).map(|row| (0, start + row, values(0, DAYS, row))).collect();
    stores.write(&rows);
    stores.engine.flush().unwrap();
    let of_chunk = |from: i64, to: i64| {
        let time = format!("time >= {} AND time < {}", start + from, start + to);
        stores.counts(&format!("SELECT usage FROM cpu WHERE {time} AND host = 'h00'")).chunks()
    };
    assert_eq!(of_chunk(5, 10), [1, long, 1, 0, 0]);
    assert_eq!(of_chunk(long, long + 10), [1, 100, 1, 0, 0]);
    // What no series has is known without reading.
    let plan = answer(
        Arc::clone(&stores.engine) as _,
        "EXPLAIN ANALYZE SELECT usage FROM cpu WHERE host = 'nope'",
    );
    let text = format!("{plan:?}");
    assert!(text.contains("series_matched 0, rows_scanned 0, chunks_read 0"), "{text}");
}

#[test]
fn predicate_pushdown() {
    let stores = Stores::new();
    // Only the last day has such values.
    let query = "SELECT count(usage) FROM cpu WHERE usage > 300";
    let counts = stores.counts(query);
    assert_eq!(counts.chunks(), [HOSTS, HOSTS * ROWS, HOSTS, HOSTS * (DAYS - 1), 0]);
    let both = stores.counts("SELECT usage FROM cpu WHERE usage >= 100 AND 149 >= usage");
    assert_eq!(both.chunks(), [HOSTS, HOSTS * ROWS, HOSTS, HOSTS * (DAYS - 1), 0]);
    // With an OR any chunk may have rows.
    let either = stores.counts("SELECT count(usage) FROM cpu WHERE usage > 300 OR total < 5");
    assert_eq!(either.chunks(), [HOSTS, HOSTS * DAYS * ROWS, HOSTS * DAYS, 0, 0]);
    // Tags, time and values at once.
    let one = stores.counts(&format!("{query} AND host = 'h03' AND time >= {DAY}"));
    assert_eq!(one.chunks(), [1, ROWS, 1, DAYS - 2, 0]);
    // proves: I11
    // A newer value may lie in a stretch of older ones, which then must be read to be merged: the row of the
    // first day that is overwritten here is found, and of the older ones none shines through.
    stores.write(&[(0, 10 * STEP, [0.0, 1000.0]), (1, 3 * DAY + 7 * STEP, [0.0, 1.0])]);
    let overwritten = stores.counts(query);
    assert_eq!(overwritten.chunks_read, HOSTS + 1);
    assert_eq!(overwritten.chunks_skipped, HOSTS * (DAYS - 1) - 1);
    // Nor does a summary answer for such a stretch.
    let summarised = stores.counts("SELECT max(usage), mean(usage) FROM cpu");
    assert_eq!(summarised.chunks()[2..], [2, 0, HOSTS * DAYS - 2]);
}

#[test]
fn every_function_answers_alike_over_both_stores() {
    let stores = Stores::new();
    // Some rows in memory, over and beside those in runs.
    stores.write(&[
        (0, STEP, [5.0, 77.0]),
        (3, DAY + 1, [6.0, 7.5]),
        (4, 3 * DAY + 5, [9.0, -3.0]),
    ]);
    let calls = [
        "count(usage)",
        "sum(usage)",
        "mean(usage)",
        "min(usage)",
        "max(usage)",
        "first(usage)",
        "last(usage)",
        "median(usage)",
        "spread(usage)",
        "stddev(usage)",
        "variance(usage)",
        "var_pop(usage)",
        "percentile(usage, 95)",
        "approx_percentile(usage, 95)",
        "rate(total)",
        "rate(total, 1m)",
        "increase(total)",
        "mode(usage)",
        "count(distinct(usage))",
        "max(usage::integer)",
    ];
    let changes = [
        "derivative",
        "non_negative_derivative",
        "difference",
        "non_negative_difference",
        "cumulative_sum",
        "elapsed",
    ];
    let mut queries = Vec::new();
    for call in calls {
        queries.push(format!("SELECT {call} FROM cpu"));
        queries.push(format!("SELECT {call} FROM cpu GROUP BY rack"));
        queries.push(format!("SELECT {call} FROM cpu WHERE time >= 100s GROUP BY time(8h), host"));
        queries.push(format!("SELECT {call} FROM cpu WHERE usage > 20 AND host =~ /h0/"));
        queries.push(format!(
            "SELECT derivative({call}, 1h) FROM cpu WHERE time >= 1d GROUP BY time(8h), rack"
        ));
        // Windows that hold whole chunks, whose summaries may answer; and one that is cut for one call only.
        queries.push(format!("SELECT {call} FROM cpu WHERE time >= 0 GROUP BY time(1d), host"));
        queries.push(format!(
            "SELECT {call}, derivative({call}, 1h) FROM cpu WHERE time >= 36h GROUP BY time(1d), rack"
        ));
    }
    for change in changes {
        queries.push(format!("SELECT {change}(total) FROM cpu WHERE host = 'h03'"));
        queries.push(format!("SELECT {change}(total) FROM cpu GROUP BY rack LIMIT 50"));
    }
    queries.push("SELECT percentile(usage, 50), host FROM cpu GROUP BY rack".to_owned());
    let of_several_points = [
        "SELECT distinct(usage) FROM cpu WHERE time >= 1d GROUP BY time(8h), rack",
        "SELECT integral(usage, 1h), moving_average(usage, 5), mean(total) FROM cpu GROUP BY host",
        "SELECT integral(usage, 1h) FROM cpu WHERE time >= 1d GROUP BY time(8h), rack",
        "SELECT top(usage, 7), total FROM cpu WHERE time >= 1d GROUP BY time(8h)",
        "SELECT bottom(usage, host, 3), rack FROM cpu WHERE abs(usage - 50) > 20",
        "SELECT sample(usage, 20), host FROM cpu GROUP BY rack",
        "SELECT relative_strength_index(usage, 9) FROM cpu WHERE host = 'h03' ORDER BY time DESC",
        "SELECT difference(cumulative_sum(max(usage))), mean(usage) FROM cpu WHERE time >= 1d \
         GROUP BY time(8h), rack fill(previous) ORDER BY time DESC",
        "SELECT holt_winters_with_fit(mean(usage), 3, 0) FROM cpu WHERE time >= 1d GROUP BY time(8h)",
        "SELECT pow(usage::integer, 2), log(total + 1, 2) FROM cpu WHERE sqrt(usage) > 8",
    ];
    queries.extend(of_several_points.map(str::to_owned));
    for query in queries {
        let [engine, memory] = stores.ask(&query);
        assert_same(&engine, &memory, &query);
        assert!(engine.series.iter().map(Series::rows).sum::<usize>() > 0, "{query}");
    }
}

//! A million series of one value a row, in the shape of a scraped exporter: what flushes and merges of series with one or
//! two rows each take, how long appends pause while all of the series leave memory, and what a store takes to open and to
//! answer for one of the series when they are in a hundred runs. Seconds of the process' CPU and by the clock.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tsdb_core::catalogue::PolicySpec;
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::{
    Append as _, Block, CatalogueChange, FieldSet, Maintain as _, MemoryBudget, NamespaceId,
    ScanRequest, Select as _, SeriesKey, TagCharset, WriteBatch,
};
use tsdb_lsm::{Durability, Engine, EngineOptions};

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: u32 = 1_000_000;

/// Where nothing is measured (`cargo test` instead of `cargo bench`).
const SERIES_OF_TEST: u32 = 3000;

/// Rows of a batch.
const BATCH: u32 = 5000;

/// Runs that the series are spread over where a store is opened again.
const RUNS: u32 = 100;

fn measurement(number: u32) -> String {
    format!("node_metric_{}_seconds_total", number % 500)
}

fn instance(number: u32) -> String {
    format!("target-{}.example.com:9100", number / 500)
}

fn key(number: u32) -> SeriesKey {
    let (measurement, instance) = (measurement(number), instance(number));
    let mut tags = [("instance", instance.as_str()), ("job", "node"), ("mode", "idle")];
    SeriesKey::new(&measurement, &mut tags, TagCharset::Utf8).unwrap()
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

fn measured<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (begun, started) = (cpu(), Instant::now());
    let result = work();
    let (cpu, wall) = (cpu() - begun, started.elapsed());
    println!("{what}: {cpu:?} of CPU, {wall:?}");
    result
}

/// Rows of some series at one time.
fn rows(engine: &Engine, namespace: NamespaceId, numbers: std::ops::Range<u32>, time: i64) {
    let keys: Vec<SeriesKey> = numbers.clone().map(key).collect();
    let fields = [FieldSet::new(["value"]).unwrap()];
    let resolved = engine.resolve(namespace, &keys, &fields).unwrap();
    let set = *resolved.field_sets.first().unwrap().as_ref().unwrap();
    let mut batch = WriteBatch::new(namespace, resolved.epoch);
    for (number, series) in numbers.clone().zip(&resolved.series) {
        let value = f64::from(number) + time as f64 / 1e9;
        batch.push(*series.as_ref().unwrap(), time, set, &[value]).unwrap();
    }
    match engine.append(&batch) {
        // An eviction came between.
        Err(tsdb_core::Error::StaleEpoch { .. }) => rows(engine, namespace, numbers, time),
        ticket => _ = ticket.unwrap().wait().unwrap(),
    }
}

fn flush(engine: &Engine) {
    assert!(engine.seal().unwrap());
    assert!(engine.flush_one().unwrap());
}

/// The longest of the appends that go on while `work` is done.
fn longest_append(engine: &Arc<Engine>, namespace: NamespaceId, work: impl FnOnce()) -> Duration {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut longest, mut time) = (Duration::ZERO, 1_000_000_000_000);
            while !ended.load(Ordering::Acquire) {
                let started = Instant::now();
                rows(engine, namespace, 0..1, time);
                longest = longest.max(started.elapsed());
                time += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            longest
        });
        std::thread::sleep(Duration::from_millis(200));
        work();
        std::thread::sleep(Duration::from_millis(200));
        ended.store(true, Ordering::Release);
        writer.join().unwrap()
    })
}

fn options(directory: &Path) -> EngineOptions {
    let mut options = EngineOptions::new(directory).with_budget(MemoryBudget::with_total(3 << 30));
    options.durability = Durability::Off;
    options.background = false;
    options.idle_time = Duration::ZERO;
    options
}

fn new_store(directory: &Path) -> (Arc<Engine>, NamespaceId) {
    let engine = Engine::open(options(directory)).unwrap();
    let database =
        CatalogueChange::CreateDatabase { name: "b".into(), policy: PolicySpec::default() };
    engine.change_catalogue(&database).unwrap().wait().unwrap();
    let namespace = engine.catalogue().namespace("b", None).unwrap().id;
    (engine, namespace)
}

/// Rows of one series.
fn point_query(engine: &Engine, namespace: NamespaceId, number: u32) -> usize {
    let request = ScanRequest {
        filter: TagFilter::tag("instance", MatchOp::Eq, instance(number)),
        ..ScanRequest::all(namespace, measurement(number))
    };
    let mut selection = engine.snapshot().unwrap().select(&request).unwrap();
    let (mut block, mut rows) = (Block::new(), 0);
    for cursor in &mut selection.cursors {
        while cursor.next(&mut block).unwrap() {
            rows += block.len();
        }
    }
    rows
}

/// A store that was closed in order, with all series in as many runs as nobody merged.
fn opened_again(series: u32) {
    let directory = tempfile::tempdir().unwrap();
    let (engine, namespace) = new_store(directory.path());
    let of_a_run = series / RUNS;
    for run in 0..RUNS {
        for first in (run * of_a_run..(run + 1) * of_a_run).step_by(BATCH as usize) {
            let last = (first + BATCH).min((run + 1) * of_a_run);
            rows(&engine, namespace, first..last, i64::from(run) * 15_000_000_000);
        }
        engine.sync().unwrap();
        flush(&engine);
    }
    drop(engine);
    for _ in 0..5 {
        let engine = measured("open", || Engine::open(options(directory.path())).unwrap());
        for what in ["first point query", "point query", "point query"] {
            assert_eq!(measured(what, || point_query(&engine, namespace, series / 2)), 1);
        }
    }
}

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let series = if is_bench { SERIES } else { SERIES_OF_TEST };
    let directory = tempfile::tempdir().unwrap();
    let (engine, namespace) = new_store(directory.path());
    for scrape in 0..2i64 {
        measured("append", || {
            for first in (0..series).step_by(BATCH as usize) {
                let last = (first + BATCH).min(series);
                rows(&engine, namespace, first..last, scrape * 15_000_000_000);
            }
        });
        engine.sync().unwrap();
        measured("flush", || flush(&engine));
    }
    measured("merge", || engine.compact().unwrap());
    println!("merged: {} bytes", engine.counters().compaction_bytes.get());
    for round in 0..3 {
        let longest = longest_append(&engine, namespace, || {
            engine.sync().unwrap();
            flush(&engine);
        });
        let evictions = engine.counters().evictions.get();
        println!("seal {round}, {evictions} evictions so far: longest append {longest:?}");
    }
    drop(engine);
    opened_again(series);
}

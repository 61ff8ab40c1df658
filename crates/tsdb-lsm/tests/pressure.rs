//! What the engine does when memory or the disk run short: it flushes earlier, slows writers down, refuses
//! rows last, and takes them again by itself. The server's own suite runs the same on the release binary.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::sync::Arc;

use tsdb_core::budget::Pressure;
use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::{Env, FreeSpace, SimVfs};
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::storage::{DeleteRequest, SeriesRequest};
use tsdb_core::{
    Append, CatalogueChange, Error, FieldSet, Maintain, MemoryBudget, NamespaceId, Pool,
    ScanRequest, Select, SeriesKey, TagCharset, TimeRange, WriteBatch,
};
use tsdb_lsm::{Engine, EngineOptions};

const MIB: usize = 1 << 20;
const FIELDS: [&str; 4] = ["a", "b", "c", "d"];

fn open(disk: &SimVfs, memtable: usize, change: impl Fn(&mut EngineOptions)) -> Arc<Engine> {
    let budget = MemoryBudget::with_limits([memtable, 32 * MIB, 32 * MIB, 32 * MIB, 32 * MIB]);
    let mut options = EngineOptions::new("/db").with_budget(budget);
    options.env = Env { clock: Env::real().clock, ..disk.env() };
    change(&mut options);
    Engine::open(options).unwrap()
}

fn namespace(engine: &Engine) -> NamespaceId {
    let policy = tsdb_core::catalogue::PolicySpec::default();
    let change = CatalogueChange::CreateDatabase { name: "d".into(), policy };
    engine.change_catalogue(&change).unwrap().wait().unwrap();
    engine.catalogue().namespace("d", None).unwrap().id
}

/// A batch of `rows` rows from `first` on, over ten series; 56 bytes each in the memtable.
fn batch(engine: &Engine, namespace: NamespaceId, first: i64, rows: i64) -> WriteBatch {
    let key = |n: i64| {
        SeriesKey::new("m", &mut [("host", &*format!("h{n}"))], TagCharset::Ascii).unwrap()
    };
    let keys: Vec<SeriesKey> = (0..10).map(key).collect();
    let fields = [FieldSet::new(FIELDS).unwrap()];
    let resolved = engine.resolve(namespace, &keys, &fields).unwrap();
    let mut batch = WriteBatch::new(namespace, resolved.epoch);
    let set = *resolved.field_sets.first().unwrap().as_ref().unwrap();
    let mut series = resolved.series.iter().map(|series| *series.as_ref().unwrap()).cycle();
    for row in first..first + rows {
        batch.push(series.next().unwrap(), row, set, &[row as f64; FIELDS.len()]).unwrap();
    }
    batch
}

fn write(engine: &Engine, first: i64, rows: i64) -> tsdb_core::Result<()> {
    let id = engine.catalogue().namespace("d", None)?.id;
    engine.append(&batch(engine, id, first, rows))?.wait().map(|_| ())
}

fn count(engine: &Engine, namespace: NamespaceId) -> u64 {
    let snapshot = engine.snapshot().unwrap();
    let mut block = tsdb_core::Block::new();
    let mut rows = 0;
    for mut cursor in snapshot.select(&ScanRequest::all(namespace, "m")).unwrap().cursors {
        while cursor.next(&mut block).unwrap() {
            rows += block.len() as u64;
        }
    }
    rows
}

#[test]
fn backpressure_slows_writers_down_and_refuses_nobody() {
    let disk = SimVfs::new(1);
    let engine = open(&disk, 2 * MIB, |_| {});
    let namespace = namespace(&engine);
    let (writers, batches, rows) = (3, 60, 2000);
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let engine = &engine;
            scope.spawn(move || {
                for n in 0..batches {
                    write(engine, (writer * batches + n) * rows, rows).unwrap();
                }
            });
        }
    });
    let counters = engine.counters();
    assert_eq!(counters.writes_refused.get(), 0);
    assert!(counters.writes_throttled.get() > 0, "twenty times the memtable went through it");
    assert!(counters.seals_under_pressure.get() > 0 || counters.flushes.get() > 5);
    engine.flush().unwrap();
    assert_eq!(count(&engine, namespace), u64::try_from(writers * batches * rows).unwrap());
    engine.close().unwrap();
}

#[test]
fn without_threads_a_full_memtable_refuses_until_the_caller_flushes() {
    let disk = SimVfs::new(2);
    let engine = open(&disk, MIB, |options| options.background = false);
    let id = namespace_in_steps(&engine);
    let mut row = 0;
    let refused = loop {
        match engine.append(&batch(&engine, id, row, 1000)) {
            Ok(_) => row += 1000,
            Err(error) => break error,
        }
        assert!(row < 1_000_000, "a limit that nothing reaches");
    };
    assert!(matches!(refused, Error::OverBudget { pool: Pool::Memtable, .. }), "{refused}");
    assert!(engine.seal().unwrap() && engine.flush_one().unwrap());
    let after = engine.append(&batch(&engine, id, row, 1000)).unwrap();
    engine.sync().unwrap();
    after.wait().unwrap();
    assert_eq!(count(&engine, id), u64::try_from(row + 1000).unwrap());
}

fn namespace_in_steps(engine: &Engine) -> NamespaceId {
    let policy = tsdb_core::catalogue::PolicySpec::default();
    let change = CatalogueChange::CreateDatabase { name: "d".into(), policy };
    let ticket = engine.change_catalogue(&change).unwrap();
    engine.sync().unwrap();
    ticket.wait().unwrap();
    engine.catalogue().namespace("d", None).unwrap().id
}

#[test]
fn a_batch_larger_than_the_memtable_is_refused_for_good() {
    let disk = SimVfs::new(3);
    let engine = open(&disk, MIB, |_| {});
    let _ = namespace(&engine);
    let refused = write(&engine, 0, 30_000).unwrap_err();
    assert_eq!(refused.kind(), tsdb_core::ErrorKind::Invalid, "{refused}");
    write(&engine, 0, 10).unwrap();
}

#[test]
fn a_disk_that_is_nearly_full_takes_no_rows_and_everything_else_goes_on() {
    let disk = SimVfs::new(4);
    let engine = open(&disk, 4 * MIB, |options| options.disk_reserve = Some(100 * MIB as u64));
    let namespace = namespace(&engine);
    write(&engine, 0, 1000).unwrap();
    let free = |mib: u64| {
        disk.set_free_space(Some(FreeSpace { free: mib << 20, total: 1 << 40 }));
        engine.check_disk();
    };
    free(99);
    let refused = write(&engine, 1000, 10).unwrap_err();
    assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
    assert_eq!(refused.kind(), tsdb_core::ErrorKind::Overloaded);
    // Reading, deleting, flushing and merging go on.
    assert_eq!(count(&engine, namespace), 1000);
    let delete = DeleteRequest {
        namespace,
        measurements: None,
        filter: TagFilter::True,
        time: TimeRange::new(0, 500),
    };
    engine.delete(&delete).unwrap().wait().unwrap();
    engine.flush().unwrap();
    engine.compact().unwrap();
    assert_eq!(count(&engine, namespace), 500);
    let sizes = engine.snapshot().unwrap().statistics();
    assert!(sizes.is_read_only && sizes.disk_free_bytes == 99 << 20);
    // A little more than the reserve is not enough to come back; then it does by itself.
    free(110);
    assert!(write(&engine, 1000, 10).is_err());
    disk.set_free_space(None);
    let started = std::time::Instant::now();
    while write(&engine, 1000, 10).is_err() {
        assert!(started.elapsed().as_secs() < 30, "it does not come back by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(engine.counters().disk_shortages.get(), 1);
}

#[test]
fn while_the_process_is_short_of_memory_new_series_wait_and_known_ones_go_on() {
    let disk = SimVfs::new(6);
    let budget = MemoryBudget::default();
    let engine = open(&disk, MIB, |options| options.budget = budget.clone());
    let namespace = namespace(&engine);
    write(&engine, 0, 100).unwrap();
    budget.set_process_pressure(Pressure::High);
    write(&engine, 100, 100).unwrap();
    let new = SeriesKey::new("m", &mut [("host", "new")], TagCharset::Ascii).unwrap();
    let resolve = || engine.resolve(namespace, std::slice::from_ref(&new), &[]).map(|_| ());
    let refused = resolve().unwrap_err();
    assert_eq!(refused.kind(), tsdb_core::ErrorKind::Overloaded, "{refused}");
    budget.set_process_pressure(Pressure::Elevated);
    resolve().unwrap();
    assert_eq!(count(&engine, namespace), 200);
}

fn not_h3() -> TagFilter {
    TagFilter::tag("host", MatchOp::Ne, "h3")
}

#[test]
fn a_database_that_is_full_of_series_refuses_new_ones_and_known_ones_go_on() {
    let disk = SimVfs::new(6);
    let engine = open(&disk, MIB, |options| options.database_series_max = Some(2));
    let policy = || PolicySpec { name: "short".into(), ..PolicySpec::default() };
    for name in ["full", "empty"] {
        let create = CatalogueChange::CreateDatabase { name: name.into(), policy: policy() };
        engine.change_catalogue(&create).unwrap().wait().unwrap();
    }
    let resolve = |database: &str, hosts: &[&str]| -> Vec<bool> {
        let namespace = engine.catalogue().namespace(database, None).unwrap().id;
        let key =
            |host: &&str| SeriesKey::new("m", &mut [("h", *host)], TagCharset::Ascii).unwrap();
        let keys: Vec<SeriesKey> = hosts.iter().map(key).collect();
        let resolution = engine.resolve(namespace, &keys, &[]).unwrap();
        resolution.series.iter().map(Result::is_ok).collect()
    };
    assert_eq!(resolve("full", &["a", "b", "c"]), [true, true, false]);
    assert_eq!(resolve("full", &["c", "a", "b"]), [false, true, true]);
    assert_eq!(resolve("empty", &["a", "b", "c"]), [true, true, false]);
}

#[test]
fn a_search_is_paid_for_and_ends_when_it_is_told_to() {
    let disk = SimVfs::new(5);
    let engine = open(&disk, 4 * MIB, |_| {});
    let namespace = namespace(&engine);
    write(&engine, 0, 20_000).unwrap();
    let poor = MemoryBudget::with_limits([1000; 5]);
    let request = ScanRequest { budget: poor.clone(), ..ScanRequest::all(namespace, "m") };
    let names = SeriesRequest { budget: poor.clone(), ..SeriesRequest::all(namespace) };
    let ask = |request: &ScanRequest, names: &SeriesRequest| {
        let snapshot = engine.snapshot().unwrap();
        [
            snapshot.select(request).map(|_| ()),
            snapshot.estimate(request).map(|_| ()),
            snapshot.series(names).map(|_| ()),
            // Those of all series are known without a search.
            snapshot.fields(&SeriesRequest { filter: not_h3(), ..names.clone() }).map(|_| ()),
        ]
    };
    for outcome in ask(&request, &names) {
        assert!(matches!(outcome, Err(Error::OverBudget { pool: Pool::Queries, .. })));
    }
    let all = engine.snapshot().unwrap().fields(&names).unwrap();
    assert!(!all.is_empty());
    assert_eq!(poor.used(Pool::Queries), 0);
    let request = ScanRequest::all(namespace, "m");
    let names = SeriesRequest { cancel: request.cancel.clone(), ..SeriesRequest::all(namespace) };
    assert!(ask(&request, &names).iter().all(Result::is_ok));
    request.cancel.cancel();
    assert!(ask(&request, &names).iter().all(|outcome| *outcome == Err(Error::Cancelled)));
}

/// A write that came while the last failure was still waited for took the signal from the thread that syncs, which then
/// waited for another one: the write was answered when somebody else came, or not at all.
#[test]
fn a_write_that_comes_soon_after_a_failed_sync_is_answered_soon() {
    let disk = SimVfs::new(7);
    let engine = open(&disk, 8 * MIB, |_| {});
    namespace(&engine);
    write(&engine, 0, 10).unwrap();
    disk.set_capacity(Some(0));
    let mut row = 1000;
    // The log may have room left in what it has taken before.
    let begin = std::time::Instant::now();
    while write(&engine, row, 1000).is_ok() {
        row += 1000;
        assert!(begin.elapsed().as_secs() < 20, "a disk without room takes it all");
    }
    let answered_soon = |expected: bool| {
        let begin = std::time::Instant::now();
        let outcome = write(&engine, row, 10);
        let took = begin.elapsed();
        assert!(took.as_millis() < 800, "{outcome:?} after {took:?}");
        assert_eq!(outcome.is_ok(), expected, "{outcome:?}");
    };
    for _ in 0..5 {
        answered_soon(false);
    }
    disk.set_capacity(None);
    for _ in 0..5 {
        answered_soon(true);
    }
    engine.close().unwrap();
}

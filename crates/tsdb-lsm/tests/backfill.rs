//! Ten years of rows in random order: each flush has rows for every partition, and neither the files of a flush, nor
//! all files, nor the memory may grow with their number.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::path::Path;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::{SimRng, SimVfs, Vfs as _};
use tsdb_core::{
    Append as _, Block, CatalogueChange, FieldSet, Maintain as _, MemoryBudget, NamespaceId, Pool,
    ScanRequest, Select as _, SeriesKey, TagCharset, WriteBatch,
};
use tsdb_lsm::{Engine, EngineOptions};

const DAY: i64 = 86_400_000_000_000;

/// Thirty days, so that ten years are 122 partitions.
const PARTITION: i64 = 30 * DAY;
const PARTITIONS: u64 = 122;

const FLUSHES: u64 = 40;
const ROWS: u64 = 1500;

fn write(engine: &Engine, namespace: NamespaceId, rng: &SimRng) {
    let key = |n: usize| {
        SeriesKey::new("m", &mut [("host", &*format!("h{n}"))], TagCharset::Ascii).unwrap()
    };
    let keys: Vec<SeriesKey> = (0..10).map(key).collect();
    let fields = [FieldSet::new(["a", "b"]).unwrap()];
    let resolved = engine.resolve(namespace, &keys, &fields).unwrap();
    let set = *resolved.field_sets.first().unwrap().as_ref().unwrap();
    let mut batch = WriteBatch::new(namespace, resolved.epoch);
    for _ in 0..ROWS {
        let series = usize::try_from(rng.below(10)).unwrap();
        let series = *resolved.series.get(series).unwrap().as_ref().unwrap();
        let time = i64::try_from(rng.below(PARTITIONS * PARTITION.unsigned_abs())).unwrap();
        let value = f64::from(u32::try_from(rng.below(100)).unwrap());
        batch.push(series, time, set, &[value, -value]).unwrap();
    }
    let ticket = engine.append(&batch).unwrap();
    engine.sync().unwrap();
    ticket.wait().unwrap();
}

fn count(engine: &Engine, namespace: NamespaceId) -> u64 {
    let snapshot = engine.snapshot().unwrap();
    let mut selection = snapshot.select(&ScanRequest::all(namespace, "m")).unwrap();
    let (mut block, mut rows) = (Block::new(), 0);
    for cursor in &mut selection.cursors {
        while cursor.next(&mut block).unwrap() {
            rows += block.len() as u64;
        }
    }
    rows
}

#[test]
fn a_backfill_over_ten_years_leaves_few_files() {
    let (disk, rng) = (SimVfs::new(1), SimRng::new(1));
    let mut options = EngineOptions::new("/db").with_budget(MemoryBudget::with_total(64 << 20));
    options.env = disk.env();
    options.background = false;
    let engine = Engine::open(options.clone()).unwrap();
    let policy = PolicySpec { partition_ns: Some(PARTITION), ..PolicySpec::default() };
    let database = CatalogueChange::CreateDatabase { name: "d".into(), policy };
    let created = engine.change_catalogue(&database).unwrap();
    engine.sync().unwrap();
    created.wait().unwrap();
    let namespace = engine.catalogue().namespace("d", None).unwrap().id;
    let files = || disk.list(Path::new("/db/runs")).unwrap().len();
    let (mut most, mut most_memory) = (0, 0);
    for _ in 0..FLUSHES {
        write(&engine, namespace, &rng);
        let before = files();
        assert!(engine.seal().unwrap() && engine.flush_one().unwrap());
        assert!(files() <= before + 9, "{before} files became {}", files());
        while engine.compact_one().unwrap() {
            most_memory = most_memory.max(options.budget.used(Pool::Compaction));
        }
        most = most.max(files());
        assert_eq!(options.budget.used(Pool::Memtable), 0, "a generation outlives its flush");
    }
    // Eight flushes of nine files wait for each merge, and eight runs of such merges for the next.
    assert!(most <= 90, "{most} files");
    assert!(most_memory < 8 << 20, "{most_memory} bytes of memory");
    let counters = engine.counters();
    let written = counters.flush_bytes.get() + counters.compaction_bytes.get();
    let amplification = written as f64 / counters.flush_bytes.get() as f64;
    assert!(amplification < 2.5, "{amplification} bytes were written for one that was flushed");
    let rows = count(&engine, namespace);
    engine.compact().unwrap();
    assert_eq!(count(&engine, namespace), rows);
    assert!(files() <= 4, "{} files for less than 8 MiB", files());
    assert!(rows > FLUSHES * ROWS * 99 / 100, "{rows} rows");
}

//! Memory of compaction: however large the inputs, a merge takes little more than a few blocks (the catalogue's
//! C6). On real files, counted by the allocator.
//!
//! `TSDB_MERGE_SCALE` multiplies the rows: at 25, the runs of a million series have a gigabyte of values each.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use peak_alloc::PeakAlloc;
use tsdb_core::catalogue::PolicySpec;
use tsdb_core::{
    Append as _, CatalogueChange, Epoch, FieldSet, FieldSetRef, Maintain as _, MemoryBudget,
    NamespaceId, SeriesKey, SeriesRef, TagCharset, WriteBatch,
};
use tsdb_lsm::{Durability, Engine, EngineOptions};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// The most that a merge may take.
const PEAK_MAX: usize = 32 * MIB;

const RUNS: i64 = 4;

/// Memory that writing the inputs does not use up, in bytes.
const BUDGET_BYTES: usize = 16 << 30;

const FIELDS: [&str; 5] =
    ["usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait"];

/// 2016-01-01T00:00:00Z in ns.
const START: i64 = 1_451_606_400_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// The inputs of a merge.
#[derive(Debug, Clone, Copy)]
struct Shape {
    series: usize,
    /// Rows of a series in each run.
    rows: i64,
    /// Whether all runs share one stretch of time, so that every row is merged. Else each has its own, and
    /// chunks are joined or copied.
    interleaved: bool,
}

const SHAPES: [Shape; 3] = [
    Shape { series: 250_000, rows: 2, interleaved: false },
    Shape { series: 1_000_000, rows: 2, interleaved: true },
    Shape { series: 500, rows: 2000, interleaved: true },
];

fn key(number: usize) -> SeriesKey {
    let (host, region) = (format!("host_{number:07}"), format!("region_{}", number % 20));
    let service = format!("service-{}-of-{}", number % 1000, number / 1000);
    let tags = &mut [("hostname", &*host), ("region", &*region), ("service", &*service)];
    SeriesKey::new("cpu", tags, TagCharset::Ascii).unwrap()
}

struct Series {
    namespace: NamespaceId,
    all: Vec<SeriesRef>,
    fields: FieldSetRef,
    epoch: Epoch,
}

fn register(engine: &Engine, count: usize) -> Series {
    let policy = PolicySpec::default();
    let database = CatalogueChange::CreateDatabase { name: "d".into(), policy };
    engine.change_catalogue(&database).unwrap().wait().unwrap();
    let namespace = engine.catalogue().namespace("d", None).unwrap().id;
    let fields = [FieldSet::new(FIELDS).unwrap()];
    let keys: Vec<SeriesKey> = (0..count).map(key).collect();
    let resolved = engine.resolve(namespace, &keys, &fields).unwrap();
    Series {
        namespace,
        all: resolved.series.into_iter().map(Result::unwrap).collect(),
        fields: resolved.field_sets.into_iter().next().unwrap().unwrap(),
        epoch: resolved.epoch,
    }
}

/// Writes and flushes the rows of one run.
fn write_run(engine: &Engine, series: &Series, run: i64, shape: Shape) {
    for row in 0..shape.rows {
        let step = if shape.interleaved { row * RUNS + run } else { run * shape.rows + row };
        for part in series.all.chunks(10_000) {
            let mut batch = WriteBatch::new(series.namespace, series.epoch);
            for (number, one) in (0..).zip(part) {
                let noise = ((number * 7919 + step * 104_729) % 1009) as f64 / 10.0;
                let values: [f64; FIELDS.len()] = std::array::from_fn(|n| noise + n as f64);
                batch.push(*one, START + step * SECOND, series.fields, &values).unwrap();
            }
            engine.append(&batch).unwrap().wait().unwrap();
        }
    }
    engine.flush().unwrap();
}

/// Writes runs, merges them, and returns the most memory that the merge took beyond what there was.
fn merge(shape: Shape) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let budget = MemoryBudget::with_total(BUDGET_BYTES);
    let mut options = EngineOptions::new(directory.path()).with_budget(budget);
    options.durability = Durability::Off;
    options.background = false;
    let engine = Engine::open(options).unwrap();
    let series = register(&engine, shape.series);
    (0..RUNS).for_each(|run| write_run(&engine, &series, run, shape));
    drop(series);
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    engine.compact().unwrap();
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    println!("memory: {shape:?}, {RUNS} runs: {} KiB more than {} MiB", peak >> 10, before / MIB);
    assert!(engine.counters().compactions.get() > 0, "nothing was merged");
    peak
}

#[test]
fn a_merge_of_any_size_takes_little_memory() {
    let scale = std::env::var("TSDB_MERGE_SCALE").map_or(1, |scale| scale.parse().unwrap());
    for shape in SHAPES {
        let peak = merge(Shape { rows: shape.rows * scale, ..shape });
        assert!(peak <= PEAK_MAX, "a merge of {shape:?} took {} MiB", peak / MIB);
    }
}

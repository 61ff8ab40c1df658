//! Reading through the seam: from runs, from runs that overlap, and from the open memtable. All files are
//! in the page cache. What a query does with the blocks is timed in `tsdb-exec`.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{FIELDS, MEASUREMENT, START, STEP, Store, host};
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::storage::{FieldSelection, Want};
use tsdb_core::{Block, ScanRequest, Select as _, TimeRange};

const HOSTS: usize = 100;

/// Rows of each host: six hours.
const STEPS: i64 = 2160;

/// Rows of each host in the range of a point query, which is half an hour.
const POINT_STEPS: i64 = 180;

/// All rows in one run.
fn in_a_run() -> Store {
    let store = in_memory();
    flush(&store);
    store
}

/// Every second row in one run, the others in another.
fn in_overlapping_runs() -> Store {
    let mut store = Store::open(HOSTS);
    for first in [0, 1] {
        let rows = store.batch((first..STEPS).step_by(2));
        store.append(&rows);
        flush(&store);
    }
    store
}

fn in_memory() -> Store {
    let mut store = Store::open(HOSTS);
    let rows = store.batch(0..STEPS);
    store.append(&rows);
    store
}

fn flush(store: &Store) {
    assert!(store.engine.seal().unwrap());
    assert!(store.engine.flush_one().unwrap());
}

/// One field of all rows, or summaries of it.
fn one_field(store: &Store, want: Want) -> ScanRequest {
    let fields = FieldSelection::Named(vec!["usage_user".into()]);
    ScanRequest { fields, want, ..ScanRequest::all(store.namespace, MEASUREMENT) }
}

/// All fields of one host for half an hour.
fn point(store: &Store) -> ScanRequest {
    let from = START + STEPS / 2 * STEP;
    ScanRequest {
        time: TimeRange::new(from, from + POINT_STEPS * STEP),
        filter: TagFilter::tag("hostname", MatchOp::Eq, host(42)),
        ..ScanRequest::all(store.namespace, MEASUREMENT)
    }
}

/// Number of values that a scan accounts for, and their sum, from a snapshot of its own.
fn read(store: &Store, request: &ScanRequest) -> (u64, f64) {
    let mut selection = store.engine.snapshot().unwrap().select(request).unwrap();
    let mut block = Block::new();
    let (mut count, mut sum) = (0, 0.0);
    for cursor in &mut selection.cursors {
        while cursor.next(&mut block).unwrap() {
            for column in &block.columns {
                match &column.summary {
                    Some(summary) => {
                        count += summary.count;
                        sum += summary.sum;
                    }
                    None => {
                        count += column.values.len() as u64;
                        sum += column.values.iter().sum::<f64>();
                    }
                }
            }
        }
    }
    (count, sum)
}

fn scan(c: &mut Criterion) {
    let all = HOSTS as u64 * STEPS.unsigned_abs();
    let at_point = POINT_STEPS.unsigned_abs() * FIELDS.len() as u64;
    let stores = [
        ("runs", in_a_run()),
        ("overlapping_runs", in_overlapping_runs()),
        ("memtable", in_memory()),
    ];
    for (name, store) in &stores {
        let mut group = c.benchmark_group(format!("scan/{name}"));
        let mut bench = |query: &str, request: ScanRequest, samples: u64| {
            assert_eq!(read(store, &request).0, samples, "{name}/{query}");
            group.throughput(Throughput::Elements(samples));
            group.bench_function(query, |b| b.iter(|| read(store, &request)));
        };
        bench("values", one_field(store, Want::Rows), all);
        bench("summaries", one_field(store, Want::Summaries), all);
        bench("point", point(store), at_point);
        group.finish();
    }
}

criterion_group!(benches, scan);
criterion_main!(benches);

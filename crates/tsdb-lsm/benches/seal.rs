//! From the memtable to a run: seal, sort, encode, write, and the edit of the manifest. The syncs of the new
//! files are part of it; that of the log is made before.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use support::{FIELDS, Store};

const HOSTS: usize = 100;

/// Rows of each host.
const STEPS: i64 = 2000;

fn filled() -> Store {
    let mut store = Store::open(HOSTS);
    let rows = store.batch(0..STEPS);
    store.append(&rows);
    store.engine.sync().unwrap();
    store
}

fn flush(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal");
    group.sample_size(10);
    let rows = HOSTS as u64 * STEPS.unsigned_abs();
    group.throughput(Throughput::Elements(rows * FIELDS.len() as u64));
    group.bench_function("seal_and_flush", |b| {
        b.iter_batched_ref(
            filled,
            |store| {
                assert!(store.engine.seal().unwrap());
                assert!(store.engine.flush_one().unwrap());
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, flush);
criterion_main!(benches);

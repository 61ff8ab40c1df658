//! Appending rows to memory: to a generation of the memtable alone, and through the engine with its checks
//! and its log but without a sync. What comes after (seal, flush) is timed in `seal`.

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use support::Store;
use tsdb_core::{MemoryBudget, WriteBatch};
use tsdb_lsm::bench_support::Memtable;

const HOSTS: usize = 100;

/// Batches that one round appends: enough for blocks of the largest size.
const BATCHES: i64 = 32;

/// Rows of a batch are these times [`HOSTS`].
const STEPS: i64 = 10;

fn batches(store: &mut Store) -> Vec<WriteBatch> {
    (0..BATCHES).map(|number| store.batch(number * STEPS..(number + 1) * STEPS)).collect()
}

/// Values are what is counted, except where only rows are moved.
fn samples(batches: &[WriteBatch]) -> Throughput {
    Throughput::Elements(batches.iter().map(|batch| batch.samples() as u64).sum())
}

fn generation(c: &mut Criterion) {
    let batches = batches(&mut Store::open(HOSTS));
    let mut group = c.benchmark_group("memtable");
    group.throughput(samples(&batches));
    group.bench_function("append", |b| {
        b.iter_batched_ref(
            || Memtable::new(MemoryBudget::default()),
            |memtable| batches.iter().for_each(|batch| memtable.append(batch)),
            BatchSize::PerIteration,
        );
    });
    let mut full = Memtable::new(MemoryBudget::default());
    batches.iter().for_each(|batch| full.append(batch));
    assert_eq!(full.sort(), HOSTS);
    let rows = batches.iter().map(|batch| batch.len() as u64).sum();
    group.throughput(Throughput::Elements(rows));
    group.bench_function("sort", |b| b.iter(|| full.sort()));
    group.finish();
}

fn engine(c: &mut Criterion) {
    let with_batches = || {
        let mut store = Store::open(HOSTS);
        let batches = batches(&mut store);
        (store, batches)
    };
    let mut group = c.benchmark_group("engine");
    // Each round opens a store of its own, which costs more than the round.
    group.sample_size(20);
    group.throughput(samples(&with_batches().1));
    group.bench_function("append", |b| {
        b.iter_batched_ref(
            with_batches,
            |(store, batches)| batches.iter().for_each(|batch| store.append(batch)),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, generation, engine);
criterion_main!(benches);

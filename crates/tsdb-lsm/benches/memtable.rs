//! Appending rows to memory: to a generation of the memtable alone, and through the engine with its checks
//! and its log, without a sync by the clock and with syncs by processor time. What comes
//! after (seal, flush) is timed in `seal`.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

mod support;

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use support::Store;
use tsdb_core::{Append as _, MemoryBudget, WriteBatch};
use tsdb_lsm::Durability;
use tsdb_lsm::bench_support::Memtable;

const HOSTS: usize = 100;

/// Batches that one round appends: enough for blocks of the largest size.
const BATCHES: i64 = 32;

/// Batches that share a sync, as those of as many connections do.
const BATCHES_PER_SYNC: usize = 4;

/// Batches of a generation whose rows are made durable, in multiples of those that share a sync: the files of the
/// log are begun as rarely as in a server.
const BATCHES_OF_A_GENERATION: usize = 320;

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
    // The time that is given here is the processor's, of rows and not of samples.
    let rows = HOSTS as u64 * BATCHES_OF_A_GENERATION as u64 * STEPS as u64;
    group.throughput(Throughput::Elements(rows));
    // Most of a round is not timed.
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(20)).measurement_time(Duration::from_millis(100));
    let mut store = Store::open_with(HOSTS, Durability::Sync);
    let mut step = 0;
    group.bench_function("append_synced_cpu_of_rows", |b| {
        b.iter_custom(|rounds| {
            let mut used = Duration::ZERO;
            for _ in 0..rounds {
                let batches: Vec<_> = (0..BATCHES_OF_A_GENERATION)
                    .map(|_| {
                        step += STEPS;
                        store.batch(step - STEPS..step)
                    })
                    .collect();
                for together in batches.chunks(BATCHES_PER_SYNC) {
                    let start = processor_time();
                    let append = |batch| store.engine.append(batch).unwrap();
                    let tickets: Vec<_> = together.iter().map(append).collect();
                    store.engine.sync().unwrap();
                    for ticket in tickets {
                        ticket.wait().unwrap();
                    }
                    used += processor_time() - start;
                    // The generation before, while rows of this one are in the log: as in a server.
                    while store.engine.flush_one().unwrap() || store.engine.compact_one().unwrap() {
                    }
                }
                store.engine.seal().unwrap();
            }
            used
        });
    });
    group.finish();
}

/// What this thread has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

criterion_group!(benches, generation, engine);
criterion_main!(benches);

//! Aggregating a column of one block: the loops over slices alone, with and without gaps, and the states
//! that a query keeps, by the width of its windows. What a scan costs is timed in `tsdb-lsm`.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tsdb_agg::kernel::{self, Mask};
use tsdb_agg::{Function, States, WindowGrid};
use tsdb_core::TimeRange;
use tsdb_core::env::SimRng;
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::storage::{Column, TimeColumn, Windows};

/// Distance of rows in ns.
const STEP: i64 = 10_000_000_000;

/// A block's column of random values between 0 and 100; of every ten rows about `present_of_ten` have one.
fn column(present_of_ten: u64) -> Column {
    let rng = SimRng::new(present_of_ten);
    let value = || f64::from(u32::try_from(rng.below(10_001)).unwrap()) / 100.0;
    let mut column = Column::default();
    column.fill((0..BLOCK_ROWS_MAX).map(|_| {
        let value = value();
        (rng.below(10) < present_of_ten).then_some(value)
    }));
    column
}

/// The loops over slices: all rows present, and nine of ten.
fn slices(c: &mut Criterion) {
    let mut group = c.benchmark_group("kernel");
    group.throughput(Throughput::Elements(BLOCK_ROWS_MAX as u64));
    for (name, column) in [("dense", column(10)), ("gaps", column(9))] {
        let words = match &column.presence {
            tsdb_core::Presence::Some(words) => Some(words),
            _ => None,
        };
        let values = &column.values;
        let mask = words.map(|words| Mask::new(words, 0, values.len()));
        let present = mask.as_ref();
        group.bench_function(BenchmarkId::new("count", name), |b| {
            b.iter(|| kernel::count(black_box(values), black_box(present)));
        });
        group.bench_function(BenchmarkId::new("sum", name), |b| {
            b.iter(|| kernel::sum(black_box(values), black_box(present)));
        });
        group.bench_function(BenchmarkId::new("moments", name), |b| {
            b.iter(|| kernel::moments(black_box(values), black_box(present)));
        });
        group.bench_function(BenchmarkId::new("smallest", name), |b| {
            b.iter(|| kernel::smallest(black_box(values), black_box(present)));
        });
        group.bench_function(BenchmarkId::new("largest", name), |b| {
            b.iter(|| kernel::largest(black_box(values), black_box(present)));
        });
    }
    group.finish();
}

/// Each function's state over a column in one window.
fn states(c: &mut Criterion) {
    let times = regular();
    let mut group = c.benchmark_group("states");
    group.throughput(Throughput::Elements(BLOCK_ROWS_MAX as u64));
    for (name, column) in [("dense", column(10)), ("gaps", column(9))] {
        for function in Function::ALL {
            let whole = windowed(i64::MAX);
            let mut segments = Vec::new();
            whole.split(&times, &mut segments);
            let take_in = |states: &mut States| {
                states.accumulate(0, &segments, black_box(&times), black_box(&column));
                states.end_series();
            };
            let mut states = States::new(function, whole.count());
            group.bench_function(BenchmarkId::new(function.name(), name), |b| {
                if function.keeps_values() {
                    let new = || States::new(function, whole.count());
                    b.iter_batched_ref(new, take_in, BatchSize::SmallInput);
                } else {
                    b.iter(|| take_in(&mut states));
                }
            });
        }
    }
    group.finish();
}

/// Cutting a column of times where windows begin, and taking the pieces in: windows of 6 and of 360 rows.
fn windows(c: &mut Criterion) {
    let column = column(10);
    let stamps = TimeColumn::Stamps(regular().iter().collect());
    let mut group = c.benchmark_group("windows");
    group.throughput(Throughput::Elements(BLOCK_ROWS_MAX as u64));
    for (width, rows) in [("1m", 6), ("1h", 360)] {
        let grid = windowed(rows * STEP);
        let mut segments = Vec::new();
        for (kind, times) in [("regular", &regular()), ("stamps", &stamps)] {
            group.bench_function(BenchmarkId::new(format!("split_{kind}"), width), |b| {
                b.iter(|| {
                    segments.clear();
                    grid.split(black_box(times), &mut segments);
                });
            });
        }
        for function in [Function::Mean, Function::Max, Function::Last, Function::Stddev] {
            let mut states = States::untimed(function, grid.count());
            group.bench_function(BenchmarkId::new(function.name(), width), |b| {
                b.iter(|| states.accumulate(0, &segments, black_box(&stamps), black_box(&column)));
            });
        }
    }
    group.finish();
}

/// The times of a block, from 1970 on.
fn regular() -> TimeColumn {
    TimeColumn::Regular { first: 0, step: STEP, count: BLOCK_ROWS_MAX }
}

/// The windows of `every` ns that hold these times.
fn windowed(every: i64) -> WindowGrid {
    let last = regular().get(BLOCK_ROWS_MAX - 1).unwrap();
    let range = TimeRange::from_inclusive(0, last);
    WindowGrid::covering(Windows { every, offset: 0 }, range, 10_000).unwrap()
}

criterion_group!(benches, slices, states, windows);
criterion_main!(benches);

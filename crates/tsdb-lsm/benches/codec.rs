//! Encoding and decoding one column of a chunk, for the kinds of data that occur. Presence bits, pages and
//! checksums are not part of it.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tsdb_core::env::{Rng as _, SimRng};
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::storage::TimeColumn;
use tsdb_lsm::bench_support::{decode_times, decode_values, encode_times, encode_values};

/// A random number below `bound` as a value.
fn below(rng: &SimRng, bound: u32) -> f64 {
    f64::from(u32::try_from(rng.below(u64::from(bound))).unwrap())
}

/// A chunk's values, each made from the one before.
fn column(first: f64, mut next: impl FnMut(f64) -> f64) -> Vec<f64> {
    std::iter::successors(Some(first), |value| Some(next(*value))).take(BLOCK_ROWS_MAX).collect()
}

fn value_columns() -> Vec<(&'static str, Vec<f64>)> {
    let rng = SimRng::new(7);
    let rng = &rng;
    vec![
        // TSBS cpu-only.
        ("walk", column(50.0, |v| (v + below(rng, 3) - 1.0).clamp(0.0, 100.0))),
        ("constant", column(1.5, |v| v)),
        ("counter", column(0.0, |v| v + below(rng, 1000))),
        // A temperature of two decimals, which is what the nearest double says and no more.
        ("gauge", column(21.5, |v| ((v * 100.0).round() + below(rng, 41) - 20.0) / 100.0)),
        ("entropy", column(0.0, |_| f64::from_bits(rng.next_u64()))),
    ]
}

fn values(c: &mut Criterion) {
    let mut group = c.benchmark_group("values");
    group.throughput(Throughput::Elements(BLOCK_ROWS_MAX as u64));
    for (name, values) in value_columns() {
        let mut encoded = Vec::new();
        encode_values(&values, &mut encoded);
        let mut bytes = Vec::with_capacity(encoded.len());
        group.bench_function(BenchmarkId::new("encode", name), |b| {
            b.iter(|| {
                bytes.clear();
                encode_values(black_box(&values), &mut bytes);
            });
        });
        let mut back = Vec::with_capacity(values.len());
        group.bench_function(BenchmarkId::new("decode", name), |b| {
            b.iter(|| {
                back.clear();
                decode_values(black_box(&encoded), values.len(), &mut back).unwrap();
            });
        });
    }
    group.finish();
}

fn time_columns() -> Vec<(&'static str, Vec<i64>)> {
    const SECOND: u64 = 1_000_000_000;
    let rng = SimRng::new(8);
    let column = |step: &dyn Fn() -> u64| -> Vec<i64> {
        let next = |at: &i64| at.checked_add_unsigned(step());
        std::iter::successors(Some(0), next).take(BLOCK_ROWS_MAX).collect()
    };
    vec![
        ("regular", column(&|| 10 * SECOND)),
        // Every ten seconds, late by up to 99 ms.
        ("milliseconds", column(&|| 10 * SECOND + rng.below(100) * (SECOND / 1000))),
        ("nanoseconds", column(&|| 1 + rng.below(SECOND))),
    ]
}

fn times(c: &mut Criterion) {
    let mut group = c.benchmark_group("times");
    group.throughput(Throughput::Elements(BLOCK_ROWS_MAX as u64));
    for (name, times) in time_columns() {
        let mut encoded = Vec::new();
        encode_times(&times, &mut encoded);
        let mut bytes = Vec::with_capacity(encoded.len());
        group.bench_function(BenchmarkId::new("encode", name), |b| {
            b.iter(|| {
                bytes.clear();
                encode_times(black_box(&times), &mut bytes);
            });
        });
        let mut back = TimeColumn::default();
        group.bench_function(BenchmarkId::new("decode", name), |b| {
            b.iter(|| decode_times(black_box(&encoded), times.len(), &mut back).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, values, times);
criterion_main!(benches);

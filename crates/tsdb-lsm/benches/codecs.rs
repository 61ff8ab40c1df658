//! Encoding, decoding and summarising one column of a chunk, for the kinds of data that occur. Presence
//! bits, pages and checksums are not part of it.
//!
//! Sizes are printed first, in bytes per value. An iteration is one chunk of each series of a set.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::storage::TimeColumn;
use tsdb_lsm::bench_support::{
    Memo, decode_times, decode_values, encode_packed, encode_times, encode_values,
    summarise_values, time_sets, value_sets,
};

/// Rows of the chunks of a set, and the bytes that they are encoded in.
fn report(name: &str, chunks: &[impl AsRef<[u8]>]) -> u64 {
    let values = chunks.len() * BLOCK_ROWS_MAX;
    let bytes: usize = chunks.iter().map(|chunk| chunk.as_ref().len()).sum();
    println!("size {name}: {:.4} bytes/value", bytes as f64 / values as f64);
    values as u64
}

fn values(c: &mut Criterion) {
    let mut group = c.benchmark_group("values");
    for set in value_sets(BLOCK_ROWS_MAX) {
        let mut memos = vec![Memo::default(); set.series.len()];
        let encode = |(values, memo): (&Vec<f64>, &mut Memo)| {
            let mut bytes = Vec::new();
            encode_values(values, memo, &mut bytes);
            bytes
        };
        let encoded: Vec<Vec<u8>> = set.series.iter().zip(&mut memos).map(encode).collect();
        group.throughput(Throughput::Elements(report(set.name, &encoded)));
        let mut bytes = Vec::with_capacity(16 * BLOCK_ROWS_MAX);
        group.bench_function(BenchmarkId::new("encode", set.name), |b| {
            b.iter(|| {
                for values in &set.series {
                    bytes.clear();
                    encode_values(black_box(values), &mut Memo::default(), &mut bytes);
                }
            });
        });
        group.bench_function(BenchmarkId::new("encode_with_memo", set.name), |b| {
            b.iter(|| {
                for (values, memo) in set.series.iter().zip(&mut memos) {
                    bytes.clear();
                    encode_values(black_box(values), memo, &mut bytes);
                }
            });
        });
        let mut back = Vec::with_capacity(BLOCK_ROWS_MAX);
        group.bench_function(BenchmarkId::new("decode", set.name), |b| {
            b.iter(|| {
                for bytes in &encoded {
                    decode_values(black_box(bytes), BLOCK_ROWS_MAX, &mut back).unwrap();
                }
            });
        });
        group.bench_function(BenchmarkId::new("summarise", set.name), |b| {
            b.iter(|| {
                for bytes in &encoded {
                    black_box(summarise_values(black_box(bytes), BLOCK_ROWS_MAX).unwrap());
                }
            });
        });
    }
    group.finish();
}

/// Kind P, which the encoder seldom takes, on the walks of the benchmark suite.
fn packed(c: &mut Criterion) {
    let mut group = c.benchmark_group("packed");
    let sets = value_sets(BLOCK_ROWS_MAX);
    let set = sets.first().unwrap();
    let encode = |values: &Vec<f64>| {
        let mut bytes = Vec::new();
        encode_packed(values, &mut bytes);
        bytes
    };
    let encoded: Vec<Vec<u8>> = set.series.iter().map(encode).collect();
    group.throughput(Throughput::Elements(report("packed walks", &encoded)));
    let mut back = Vec::with_capacity(BLOCK_ROWS_MAX);
    group.bench_function(BenchmarkId::new("decode", set.name), |b| {
        b.iter(|| {
            for bytes in &encoded {
                decode_values(black_box(bytes), BLOCK_ROWS_MAX, &mut back).unwrap();
            }
        });
    });
    group.bench_function(BenchmarkId::new("summarise", set.name), |b| {
        b.iter(|| {
            for bytes in &encoded {
                black_box(summarise_values(black_box(bytes), BLOCK_ROWS_MAX).unwrap());
            }
        });
    });
    group.finish();
}

fn times(c: &mut Criterion) {
    let mut group = c.benchmark_group("times");
    for set in time_sets(BLOCK_ROWS_MAX) {
        let encode = |times: &Vec<i64>| {
            let mut bytes = Vec::new();
            encode_times(times, &mut bytes);
            bytes
        };
        let encoded: Vec<Vec<u8>> = set.series.iter().map(encode).collect();
        group.throughput(Throughput::Elements(report(set.name, &encoded)));
        let mut bytes = Vec::with_capacity(16 * BLOCK_ROWS_MAX);
        group.bench_function(BenchmarkId::new("encode", set.name), |b| {
            b.iter(|| {
                for times in &set.series {
                    bytes.clear();
                    encode_times(black_box(times), &mut bytes);
                }
            });
        });
        let mut back = TimeColumn::default();
        group.bench_function(BenchmarkId::new("decode", set.name), |b| {
            b.iter(|| {
                for bytes in &encoded {
                    decode_times(black_box(bytes), BLOCK_ROWS_MAX, &mut back).unwrap();
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, values, packed, times);
criterion_main!(benches);

//! Batches to bytes and back, as the log keeps them, and the checksum of everything that is on disk.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tsdb_core::checksum::crc32c;
use tsdb_core::{Epoch, FieldSetRef, NamespaceId, SeriesRef, WriteBatch};

const ROWS: u32 = 1000;

/// Rows of `columns` values.
fn batch(columns: u32) -> WriteBatch {
    let mut batch = WriteBatch::new(NamespaceId(1), Epoch(1));
    for row in 0..ROWS {
        let values: Vec<f64> = (0..columns).map(|column| f64::from(row ^ column)).collect();
        batch.push(SeriesRef(row), i64::from(row), FieldSetRef(0), &values).unwrap();
    }
    batch
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    for columns in [1, 10] {
        let batch = batch(columns);
        let mut bytes = Vec::new();
        batch.encode(&mut bytes);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut out = Vec::with_capacity(bytes.len());
        group.bench_function(BenchmarkId::new("encode", columns), |b| {
            b.iter(|| {
                out.clear();
                black_box(&batch).encode(&mut out);
            });
        });
        group.bench_function(BenchmarkId::new("decode", columns), |b| {
            b.iter(|| WriteBatch::decode(black_box(&bytes), Epoch(1)).unwrap());
        });
        let mut copy = WriteBatch::new(NamespaceId(1), Epoch(1));
        group.bench_function(BenchmarkId::new("push", columns), |b| {
            b.iter(|| {
                copy.reset(NamespaceId(1), Epoch(1));
                for row in black_box(&batch).rows() {
                    copy.push(row.series, row.time, row.field_set, row.values).unwrap();
                }
            });
        });
    }
    group.finish();
}

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc32c");
    for (name, length) in [("25B", 25), ("4KiB", 4 << 10), ("64KiB", 64 << 10)] {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| b.iter(|| crc32c(black_box(&bytes))));
    }
    group.finish();
}

criterion_group!(benches, batches, checksum);
criterion_main!(benches);

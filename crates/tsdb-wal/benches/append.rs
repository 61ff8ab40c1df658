//! The log on a real directory: frames appended and handed to the operating system, frames made durable,
//! and a log read back. What the payloads mean is known to nobody here.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tsdb_core::env::{Env, Rng as _, SimRng};
use tsdb_wal::{Floor, Recovery, Wal, WalOptions};

/// Payloads of a frame, in bytes: a few rows, and a request of a busy agent.
const PAYLOADS: [(&str, usize); 2] = [("1KiB", 1 << 10), ("64KiB", 64 << 10)];

/// Bytes of the log that is read back.
const REPLAY_BYTES: usize = 32 << 20;

/// With so many bytes the log begins anew, so that a bench does not fill the disk.
const DISK_BYTES_MAX: u64 = 256 << 20;

fn payload(bytes: usize) -> Vec<u8> {
    let mut payload = vec![0; bytes];
    SimRng::new(1).fill(&mut payload);
    payload
}

/// Opens the log, looks at all of its frames, and counts their bytes.
fn open(directory: &Path) -> (Wal, Recovery, usize) {
    let mut bytes = 0;
    let mut options = WalOptions::new(directory, *b"database-of-test");
    // A rotation syncs the segment that ends, which would be most of what `write` shows.
    options.segment_bytes_max = 2 * DISK_BYTES_MAX;
    let (wal, recovery) = Wal::open(&Env::real(), options, Floor::default(), |frame| {
        bytes += frame.payload.len();
        Ok::<(), Infallible>(())
    })
    .unwrap();
    (wal, recovery, bytes)
}

/// Removes what was flushed, so to speak, once it is much.
fn keep_short(wal: &Wal) {
    if wal.disk_bytes() > DISK_BYTES_MAX {
        let closed = wal.begin_generation(|sealed| sealed.closed).unwrap();
        wal.sync().unwrap();
        wal.remove_through(closed).unwrap();
    }
}

/// A frame that is durable nowhere, as in durability `off`: appended to memory and written out.
fn append(c: &mut Criterion) {
    let directory = TempDir::new().unwrap();
    let (wal, ..) = open(directory.path());
    let mut group = c.benchmark_group("append");
    for (name, bytes) in PAYLOADS {
        let payload = payload(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("write", name), |b| {
            b.iter_batched(
                || keep_short(&wal),
                |()| {
                    wal.append(&payload).unwrap();
                    wal.write_out().unwrap()
                },
                BatchSize::NumIterations(64),
            );
        });
    }
    for (name, bytes) in PAYLOADS {
        let payload = payload(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("sync", name), |b| {
            b.iter_batched(
                || keep_short(&wal),
                |()| {
                    wal.append(&payload).unwrap();
                    wal.sync().unwrap()
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn file_names(directory: &Path) -> BTreeSet<OsString> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// Opening a log; each opening begins a segment, whose syncs `empty` shows.
fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("replay");
    group.sample_size(20);
    for (name, bytes, count) in [("empty", 0, 0)]
        .into_iter()
        .chain(PAYLOADS.map(|(name, bytes)| (name, bytes, REPLAY_BYTES / bytes)))
    {
        let directory = TempDir::new().unwrap();
        let (wal, ..) = open(directory.path());
        let payload = payload(bytes);
        for _ in 0..count {
            wal.append(&payload).unwrap();
            wal.write_out().unwrap();
        }
        wal.mark_clean().unwrap();
        drop(wal);
        let written = file_names(directory.path());
        let restore = || {
            for name in file_names(directory.path()).difference(&written) {
                fs::remove_file(directory.path().join(name)).unwrap();
            }
        };
        let (_, recovery, read) = open(directory.path());
        assert_eq!((recovery.frames, read), (count as u64, count * bytes), "{name}");
        group.throughput(Throughput::Bytes(read as u64));
        group.bench_function(name, |b| {
            b.iter_batched(restore, |()| open(directory.path()), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, append, replay);
criterion_main!(benches);

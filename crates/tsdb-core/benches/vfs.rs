//! What the seam to the file system costs: the same calls on a file of the operating system and through
//! `Arc<dyn VfsFile>`, and the dynamic call by itself, over a file that does nothing. The difference of the
//! first two is smaller than their noise; the third says how small.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tsdb_core::env::{RealVfs, Vfs, VfsFile};

/// Length of the file that is read and written, in bytes; it stays in the page cache.
const FILE_BYTES: u64 = 8 << 20;

/// A page of a run, in bytes.
const READ_BYTES: usize = 4 << 10;

/// A group of frames of the log, in bytes.
const WRITE_BYTES: usize = 32 << 10;

/// A file of zeros. Its blocks exist, so that finding new ones does not hide what is measured.
fn file() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, vec![0; usize::try_from(FILE_BYTES).unwrap()]).unwrap();
    (directory, path)
}

/// Offsets of blocks of `bytes`, over and over.
fn offsets(bytes: usize) -> impl Iterator<Item = u64> {
    (0..FILE_BYTES).step_by(bytes).cycle()
}

fn read(c: &mut Criterion) {
    let (_directory, path) = file();
    let vfs: Arc<dyn Vfs> = black_box(Arc::new(RealVfs::new()));
    let (concrete, seam) = (File::open(&path).unwrap(), vfs.open_read(&path).unwrap());
    let mut buffer = [0; READ_BYTES];
    let mut group = c.benchmark_group("read_4KiB");
    group.throughput(Throughput::Bytes(READ_BYTES as u64));
    let mut at = offsets(READ_BYTES);
    group.bench_function("file", |b| {
        b.iter(|| concrete.read_at(&mut buffer, at.next().unwrap()).unwrap());
    });
    let mut at = offsets(READ_BYTES);
    group.bench_function("seam", |b| {
        b.iter(|| seam.read_at(&mut buffer, at.next().unwrap()).unwrap());
    });
    group.finish();
}

fn write(c: &mut Criterion) {
    let (_directory, path) = file();
    let vfs: Arc<dyn Vfs> = black_box(Arc::new(RealVfs::new()));
    let concrete = OpenOptions::new().write(true).open(&path).unwrap();
    let seam = vfs.open_rw(&path).unwrap();
    let bytes = [7; WRITE_BYTES];
    let mut group = c.benchmark_group("write_32KiB");
    group.throughput(Throughput::Bytes(WRITE_BYTES as u64));
    let mut at = offsets(WRITE_BYTES);
    group.bench_function("file", |b| {
        b.iter(|| concrete.write_at(&bytes, at.next().unwrap()).unwrap());
    });
    let mut at = offsets(WRITE_BYTES);
    group.bench_function("seam", |b| {
        b.iter(|| seam.write_at(&bytes, at.next().unwrap()).unwrap());
    });
    group.finish();
}

/// A file without an operating system behind it.
#[derive(Debug)]
struct Idle;

impl VfsFile for Idle {
    fn read_at(&self, buffer: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(buffer.len())
    }
    fn write_at(&self, bytes: &[u8], _: u64) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(FILE_BYTES)
    }
    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

fn dispatch(c: &mut Criterion) {
    let seam: Arc<dyn VfsFile> = black_box(Arc::new(Idle));
    let mut buffer = [0; READ_BYTES];
    let mut group = c.benchmark_group("dispatch");
    group.bench_function("file", |b| {
        b.iter(|| black_box(&Idle).read_at(black_box(&mut buffer), black_box(0)).unwrap());
    });
    group.bench_function("seam", |b| {
        b.iter(|| black_box(&seam).read_at(black_box(&mut buffer), black_box(0)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, read, write, dispatch);
criterion_main!(benches);

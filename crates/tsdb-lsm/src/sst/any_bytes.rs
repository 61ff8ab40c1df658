//! Runs of any bytes, for fuzzing: opens them as if a manifest named them, reads all that they hold in every
//! way there is, and holds the answers against each other.

use std::path::Path;
use std::sync::Arc;

use tsdb_core::counters::StorageCounters;
use tsdb_core::env::{Env, write_all_at};
use tsdb_core::matcher::TagFilter;
use tsdb_core::{Block, CancelToken, Column, MemoryBudget, Presence, SeriesKey, TimeRange};

use super::format::{HEADER_BYTES, TRAILER_BYTES, decode_footer, read_header, run_meta};
use super::{
    Chunk, Known, ReadBuffers, Run, RunMeta, RunOptions, RunWriter, Slice, Through, Totals,
};
use crate::bytes::Reader;
use crate::cache::PageCache;
use crate::error::{Error, Result};

/// A chunk as it was read: its timestamps and its columns.
type ReadRows = (Vec<i64>, Vec<(Arc<str>, Column)>);

/// Opens `bytes` as a run, checks it and reads it; returns the number of its rows. The file system of `env`
/// takes two files in `directory`, which exists.
///
/// # Errors
/// What opening, checking or reading refuses.
///
/// # Panics
/// If what was found sound cannot be read, or two ways to read it differ.
pub(crate) fn read_run(env: &Env, directory: &Path, bytes: &[u8]) -> Result<u64> {
    let path = directory.join("any.run");
    let file = env.vfs.create_new(&path, 0).map_err(Error::io("create", &path))?;
    write_all_at(&*file, bytes, 0).map_err(Error::io("write", &path))?;
    let cache =
        Arc::new(PageCache::new(&MemoryBudget::default(), &Arc::<StorageCounters>::default()));
    let run = Run::open(env, &path, &described(bytes), database_of(bytes), &cache)?;
    let verified = run.verify();
    // What `verify` refuses may be asked for all the same: then anything but a panic will do.
    let scanned = run.slices.iter().map(scan).collect::<Result<Vec<u64>>>();
    verified?;
    let rows = match scanned {
        Ok(rows) => rows.iter().sum(),
        Err(error) => panic!("a run that was found sound cannot be read: {error}"),
    };
    written_again(env, &directory.join("again.run"), &run, &cache);
    Ok(rows)
}

/// What the manifest would say of a file if it named it.
fn described(bytes: &[u8]) -> RunMeta {
    let length = bytes.len() as u64;
    let unknown = RunMeta { bytes: length, checksum: 0, slices: Vec::new() };
    let Some((rest, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else { return unknown };
    let mut reader = Reader::new(trailer);
    let (Ok(footer), Ok(checksum)) = (reader.u32(), reader.u32()) else { return unknown };
    let start = rest.len().checked_sub(footer as usize);
    let footer = start.and_then(|start| decode_footer(rest.get(start..)?).ok());
    footer.map_or(unknown, |footer| run_meta(&footer, checksum, length))
}

fn database_of(bytes: &[u8]) -> [u8; 16] {
    let header = bytes.first_chunk::<HEADER_BYTES>().and_then(read_header);
    header.map_or([0; 16], |(_, id)| id)
}

/// Reads every series of a slice, from the file and through the cache, whole and field by field.
fn scan(slice: &Slice) -> Result<u64> {
    let (mut from_file, mut cached) = (ReadBuffers::default(), ReadBuffers::default());
    let made_of = slice.cardinality()?;
    assert_eq!(made_of.series(), u64::from(slice.index().len()), "a series that is not counted");
    let mut keys = slice.series(Through::Cache);
    let mut rows = 0;
    let all = slice.matching(None, &TagFilter::True, &CancelToken::new())?;
    assert_eq!(all.len() as u64, u64::from(slice.index().len()), "a series that is not found");
    for series in all {
        keys.key(series)?;
        let chunks = slice.chunks(series, TimeRange::all(), Through::File, &mut from_file)?;
        for chunk in &chunks {
            let whole = read(slice, chunk, Through::File, &mut from_file)?;
            let again = read(slice, chunk, Through::Cache, &mut cached)?;
            assert!(is_same(&whole, &again), "the cache gives other rows than the file");
            rows += whole.0.len() as u64;
            if chunk.is_exact() {
                check_single(slice, chunk, &whole, &mut from_file)?;
            }
        }
    }
    Ok(rows)
}

/// Of a chunk of one series: what its windows say, and its pages as a merge takes them.
fn check_single(
    slice: &Slice,
    chunk: &Chunk,
    whole: &ReadRows,
    buffers: &mut ReadBuffers,
) -> Result<()> {
    let windows = slice.windows(chunk, Through::File, buffers);
    for place in 0..slice.fields().len() {
        if let (Known::Windows(totals), Ok(windows)) = (slice.known(chunk, place)?, &windows) {
            let parts: Vec<_> = windows.iter().cloned().zip(totals.iter().copied()).collect();
            // Any answer will do: whether it is true is asked by `verify`.
            let _ = Totals::together(&parts);
        }
    }
    let raw = slice.raw_chunk(chunk, buffers)?;
    let mut block = Block::new();
    raw.decode(slice.fields(), &mut block)?;
    assert!(is_same(whole, &taken(slice, &block)), "an encoded chunk has other rows");
    Ok(())
}

fn read(
    slice: &Slice,
    chunk: &Chunk,
    through: Through,
    buffers: &mut ReadBuffers,
) -> Result<ReadRows> {
    let places: Arc<[Option<usize>]> = (0..slice.fields().len()).map(Some).collect();
    let mut block = Block::new();
    block.reset(0, places.len());
    slice.read_chunk(chunk, &places, through, buffers, &mut block)?;
    Ok(taken(slice, &block))
}

fn taken(slice: &Slice, block: &Block) -> ReadRows {
    let columns = slice.fields().iter().cloned().zip(block.columns.iter().cloned());
    let present = columns.filter(|(_, column)| column.presence != Presence::None);
    (block.times.iter().collect(), present.collect())
}

/// Whether two readings are equal bit for bit.
fn is_same(left: &ReadRows, right: &ReadRows) -> bool {
    let rows = left.0.len();
    let is_same_column = |a: &Column, b: &Column| {
        (0..rows).all(|row| a.get(row).map(f64::to_bits) == b.get(row).map(f64::to_bits))
    };
    left.0 == right.0
        && left.1.len() == right.1.len()
        && left.1.iter().zip(&right.1).all(|(a, b)| a.0 == b.0 && is_same_column(&a.1, &b.1))
}

/// A series with its rows, chunk by chunk.
type SeriesRows = (SeriesKey, Vec<ReadRows>);

/// Writes what a sound run holds to another one, as a merge does, and compares.
fn written_again(env: &Env, path: &Path, run: &Run, cache: &Arc<PageCache>) {
    let write = || -> Result<Option<(Vec<SeriesRows>, RunMeta)>> {
        let Some(slice) = run.slices.first() else { return Ok(None) };
        let held = rows_of(slice)?;
        let options =
            RunOptions { database_id: [7; 16], hash_key: tsdb_core::hash::HashKey([7; 16]) };
        let mut writer = RunWriter::create(env, path, options)?;
        let meta = slice.meta();
        writer.begin_slice(meta.namespace, meta.partition_start, meta.seq_min, meta.seq_max)?;
        for (key, chunks) in &held {
            writer.begin_series(key, 1)?;
            for (times, columns) in chunks {
                let columns: Vec<_> = columns.iter().map(|(n, c)| (Arc::clone(n), c)).collect();
                writer.push_chunk(times, &columns, 1)?;
            }
        }
        Ok(writer.finish()?.map(|meta| (held, meta)))
    };
    let Ok(written) = write() else { panic!("a sound run cannot be written again") };
    let Some((held, meta)) = written else { return };
    let again = Run::open(env, path, &meta, [7; 16], cache);
    let found = again.and_then(|run| run.slices.first().map(rows_of).transpose());
    let Ok(Some(found)) = found else { panic!("what was written again cannot be read") };
    assert_eq!(found.len(), held.len(), "another number of series");
    let joined = |chunks: &[ReadRows]| -> usize { chunks.iter().map(|rows| rows.0.len()).sum() };
    for ((key, rows), (found_key, found_rows)) in held.iter().zip(&found) {
        assert_eq!(key, found_key, "another series");
        assert_eq!(joined(rows), joined(found_rows), "another number of rows");
        let pairs = rows.iter().zip(found_rows);
        let same = rows.len() != found_rows.len() || pairs.into_iter().all(|(a, b)| is_same(a, b));
        assert!(same, "other rows than were written");
    }
}

fn rows_of(slice: &Slice) -> Result<Vec<SeriesRows>> {
    let (mut buffers, mut keys) = (ReadBuffers::default(), slice.series(Through::Cache));
    let mut all = Vec::new();
    for series in 0..slice.index().len() {
        let chunks = slice.chunks(series, TimeRange::all(), Through::Cache, &mut buffers)?;
        let rows = chunks.iter().map(|chunk| read(slice, chunk, Through::Cache, &mut buffers));
        all.push((keys.key(series)?, rows.collect::<Result<_>>()?));
    }
    Ok(all)
}

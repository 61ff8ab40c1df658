//! Tests of runs on a simulated disk: what is written comes back, and damage is found.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tsdb_core::counters::StorageCounters;
use tsdb_core::env::{Env, SimVfs};
use tsdb_core::{Block, Column, MemoryBudget, Pool, Presence, SeriesKey, TagCharset};

use super::format::HEADER_BYTES;
use super::*;
use crate::cache::PageCache;
use crate::error::Error;

const PATH: &str = "/db/runs/0000000001.run";

/// Rows of one series: time and two optional values.
type Rows = Vec<(i64, Option<f64>, Option<f64>)>;

fn options() -> RunOptions {
    RunOptions { database_id: [5; 16], hash_key: HashKey([6; 16]) }
}

fn disk() -> (Env, SimVfs) {
    let vfs = SimVfs::new(1);
    let env = vfs.env();
    env.vfs.create_dir(Path::new("/db/runs")).unwrap();
    (env, vfs)
}

fn key(number: usize) -> SeriesKey {
    let host = format!("{number:04}");
    SeriesKey::new("cpu", &mut [("host", host.as_str())], TagCharset::Ascii).unwrap()
}

/// Writes each series in chunks of `chunk_rows`.
fn write(env: &Env, series: &[Rows], chunk_rows: usize) -> RunMeta {
    let mut writer = RunWriter::create(env, Path::new(PATH), options()).unwrap();
    writer.begin_slice(NamespaceId(3), 0, 11, 20).unwrap();
    for (number, rows) in series.iter().enumerate() {
        writer.begin_series(&key(number), 100 + number as u128).unwrap();
        for chunk in rows.chunks(chunk_rows) {
            let times: Vec<i64> = chunk.iter().map(|row| row.0).collect();
            let (mut a, mut b) = (Column::default(), Column::default());
            a.fill(chunk.iter().map(|row| row.1));
            b.fill(chunk.iter().map(|row| row.2));
            let columns = [(Arc::from("a"), &a), (Arc::from("b"), &b)];
            let present: Vec<_> =
                columns.into_iter().filter(|(_, c)| c.presence != Presence::None).collect();
            writer.push_chunk(&times, &present).unwrap();
        }
    }
    writer.finish().unwrap().unwrap()
}

fn no_cache() -> Arc<PageCache> {
    Arc::new(PageCache::new(&MemoryBudget::with_limits([0; 5]), &Arc::default()))
}

fn open(env: &Env, meta: &RunMeta) -> crate::error::Result<Run> {
    Run::open(env, Path::new(PATH), meta, options().database_id, &no_cache())
}

/// Time and bits of both values.
type ReadRow = (i64, Option<u64>, Option<u64>);

fn read(run: &Run, series: usize) -> crate::error::Result<Vec<ReadRow>> {
    let slice = run.slice(0);
    let places: Vec<Option<usize>> =
        ["a", "b"].iter().map(|name| slice.fields().iter().position(|f| **f == **name)).collect();
    let (mut block, mut scratch, mut rows) = (Block::new(), Vec::new(), Vec::new());
    for chunk in slice.chunks(u32::try_from(series).unwrap()) {
        block.reset(0, 2);
        slice.read_chunk(chunk, &places, Through::Cache, &mut scratch, &mut block)?;
        for (row, time) in block.times.iter().enumerate() {
            let bits = |column: &Column| column.get(row).map(f64::to_bits);
            rows.push((time, bits(&block.columns[0]), bits(&block.columns[1])));
        }
    }
    Ok(rows)
}

fn any_rows() -> impl Strategy<Value = Rows> {
    let value = prop_oneof![
        Just(None),
        any::<f64>().prop_map(Some),
        (0i32..9).prop_map(|v| Some(f64::from(v)))
    ];
    let rows = prop::collection::btree_map(-500i64..500, (value.clone(), value), 1..150);
    // Some series lack a field altogether, so that fields appear in either order.
    (rows, 0u8..4).prop_map(|(rows, lacks)| {
        let kept = |(t, (a, b)): (i64, (Option<f64>, Option<f64>))| {
            (t, a.filter(|_| lacks != 0), b.filter(|_| lacks != 1))
        };
        let rows = rows.into_iter().map(kept);
        rows.filter(|(_, a, b)| a.is_some() || b.is_some()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn sstable_persistence_and_loading(series in prop::collection::vec(any_rows(), 1..6), chunk_rows in 1usize..130) {
        let series: Vec<Rows> = series.into_iter().filter(|rows| !rows.is_empty()).collect();
        prop_assume!(!series.is_empty());
        let (env, _) = disk();
        let meta = write(&env, &series, chunk_rows);
        let run = open(&env, &meta).unwrap();
        run.verify().unwrap();
        let slice = run.slice(0);
        prop_assert_eq!(slice.meta(), &meta.slices[0]);
        prop_assert_eq!(slice.meta().rows, series.iter().map(|r| r.len() as u64).sum::<u64>());
        for (number, rows) in series.iter().enumerate() {
            let ordinal = u32::try_from(number).unwrap();
            prop_assert_eq!(slice.index().key(ordinal), key(number));
            prop_assert_eq!(slice.index().hash(ordinal), 100 + number as u128);
            let expected: Vec<_> = rows.iter()
                .map(|(t, a, b)| (*t, a.map(f64::to_bits), b.map(f64::to_bits))).collect();
            prop_assert_eq!(read(&run, number).unwrap(), expected);
        }
    }
}

#[test]
fn ordered_data_preservation() {
    let (env, _) = disk();
    let rows = |start: i64| (0..10_000).map(|i| (start + i * 7, Some(i as f64), None)).collect();
    let series: Vec<Rows> = vec![rows(0), rows(-1_000_000)];
    let meta = write(&env, &series, tsdb_core::limits::BLOCK_ROWS_MAX);
    let run = open(&env, &meta).unwrap();
    for (number, rows) in series.iter().enumerate() {
        let found = read(&run, number).unwrap();
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "strictly by time inside a series");
        let expected: Vec<ReadRow> =
            rows.iter().map(|(t, a, b)| (*t, a.map(f64::to_bits), b.map(f64::to_bits))).collect();
        assert_eq!(found, expected, "every row of series {number}, at its time");
        let slice = run.slice(0);
        let chunks = slice.chunks(u32::try_from(number).unwrap());
        let bounds = (chunks.first().map(|c| c.t_min), chunks.last().map(|c| c.t_max));
        let ends = (rows.first().map(|row| row.0), rows.last().map(|row| row.0));
        assert_eq!(bounds, ends, "the chunks of series {number} know their times");
    }
    let keys: Vec<SeriesKey> = (0..2).map(|n| run.slice(0).index().key(n)).collect();
    assert!(keys.is_sorted(), "series by key");
    let summary = |chunk| {
        let slice = run.slice(0);
        *slice.dense_summary(slice.column(&slice.chunks(0)[chunk], 0).unwrap()).unwrap()
    };
    assert_eq!((summary(0).first, summary(0).last, summary(0).count), (0.0, 4095.0, 4096));
    assert_eq!((summary(2).min, summary(2).max), (8192.0, 9999.0));
    assert_eq!(summary(0).sum, 4095.0 * 2048.0);
}

#[test]
fn chunks_out_of_order_never_reach_the_disk() {
    // proves: I4
    let (env, _) = disk();
    let mut column = Column::default();
    column.fill([Some(1.0), Some(2.0)].into_iter());
    let push = |batches: &[&[i64]]| {
        let _ = env.vfs.unlink(Path::new(PATH));
        let mut writer = RunWriter::create(&env, Path::new(PATH), options()).unwrap();
        writer.begin_slice(NamespaceId(3), 0, 11, 20).unwrap();
        writer.begin_series(&key(0), 0).unwrap();
        let pushes = std::panic::AssertUnwindSafe(|| {
            for times in batches {
                writer.push_chunk(times, &[(Arc::from("a"), &column)]).unwrap();
            }
        });
        std::panic::catch_unwind(pushes).is_ok()
    };
    assert!(push(&[&[1, 2], &[3, 4]]));
    assert!(!push(&[&[2, 2]]), "a timestamp twice");
    assert!(!push(&[&[2, 1]]), "backwards");
    assert!(!push(&[&[1, 3], &[3, 4]]), "a chunk that begins before its predecessor ends");
}

#[test]
fn every_damaged_byte_is_found() {
    let (env, vfs) = disk();
    let long: Rows =
        (0..100).map(|i| (i * 10, Some(i as f64 / 3.0), (i % 2 == 0).then_some(1.0))).collect();
    let short: Rows = vec![(5, Some(1.0), None), (6, None, Some(2.0))];
    let meta = write(&env, &[long, short], 4096);
    let good: Vec<_> = (0..2).map(|n| read(&open(&env, &meta).unwrap(), n).unwrap()).collect();
    for at in 0..meta.bytes {
        vfs.flip_bit(Path::new(PATH), at, u8::try_from(at % 8).unwrap()).unwrap();
        let outcome = open(&env, &meta).and_then(|run| {
            let rows: Vec<_> = (0..2).map(|n| read(&run, n)).collect::<Result<_, _>>()?;
            run.verify()?;
            Ok(rows)
        });
        match outcome {
            Err(Error::Corrupt { path, .. }) => assert_eq!(path, Path::new(PATH)),
            Err(other) => panic!("byte {at}: {other}"),
            Ok(rows) => panic!("byte {at} changed unseen: {}", rows == good),
        }
        vfs.flip_bit(Path::new(PATH), at, u8::try_from(at % 8).unwrap()).unwrap();
    }
    open(&env, &meta).unwrap().verify().unwrap();
}

#[test]
fn pages_from_the_cache_are_those_of_the_file_and_damaged_ones_never_get_there() {
    let (env, vfs) = disk();
    let long: Rows = (0..100).map(|i| (i * 10, Some(i as f64 / 3.0), Some(1.0))).collect();
    let short: Rows = vec![(5, Some(1.0), None), (6, None, Some(2.0))];
    let meta = write(&env, &[long, short], 4096);
    let counters = Arc::new(StorageCounters::default());
    let budget = MemoryBudget::default();
    let cache = Arc::new(PageCache::new(&budget, &counters));
    let open = || Run::open(&env, Path::new(PATH), &meta, options().database_id, &cache).unwrap();
    let run = open();
    let directories = budget.used(Pool::Cache);
    assert!(directories > 0, "the directories of an open run are paid for");
    let fresh: Vec<_> = (0..2).map(|n| read(&run, n).unwrap()).collect();
    for _ in 0..2 {
        assert_eq!((0..2).map(|n| read(&run, n).unwrap()).collect::<Vec<_>>(), fresh);
    }
    // Three pages of the long chunk, one of the short one, in the third round.
    assert_eq!(counters.pages_cached.get(), 4);
    // Another run in the same file's place has pages of its own.
    let damaged = open();
    vfs.flip_bit(Path::new(PATH), HEADER_BYTES as u64 + 1, 0).unwrap();
    for _ in 0..3 {
        assert!(matches!(read(&damaged, 0), Err(Error::Corrupt { .. })));
    }
    assert_eq!(read(&run, 0).unwrap(), fresh[0], "what is cached was verified");
    drop((run, damaged));
    assert!(budget.used(Pool::Cache) > 0, "pages stay until others need their room");
}

#[test]
fn files_that_do_not_belong_are_refused() {
    let (env, _) = disk();
    let rows: Rows = vec![(1, Some(1.0), None)];
    let meta = write(&env, &[rows], 10);
    let other = RunMeta { bytes: meta.bytes + 1, ..meta.clone() };
    assert!(matches!(open(&env, &other), Err(Error::Corrupt { .. })), "another length");
    let other = RunMeta { checksum: meta.checksum ^ 1, ..meta.clone() };
    assert!(matches!(open(&env, &other), Err(Error::Corrupt { .. })), "another checksum");
    let foreign = Run::open(&env, Path::new(PATH), &meta, [9; 16], &no_cache());
    assert!(matches!(foreign, Err(Error::Corrupt { .. })), "another database");
    let missing =
        Run::open(&env, Path::new("/db/runs/0000000002.run"), &meta, [5; 16], &no_cache());
    assert!(matches!(missing, Err(Error::MissingFile { .. })));
}

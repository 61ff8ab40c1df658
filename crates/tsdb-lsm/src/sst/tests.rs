//! Tests of runs on a simulated disk: what is written comes back, and damage is found.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tsdb_core::counters::StorageCounters;
use tsdb_core::env::{Env, SimVfs};
use tsdb_core::{Block, Column, MemoryBudget, Pool, Presence, SeriesKey, TagCharset, TimeRange};

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
    let host = format!("{number:05}");
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
            writer.push_chunk(&times, &present, 1).unwrap();
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

fn chunks(run: &Run, series: usize, buffers: &mut ReadBuffers) -> crate::error::Result<Vec<Chunk>> {
    let series = u32::try_from(series).unwrap();
    run.slice(0).chunks(series, TimeRange::all(), Through::Cache, buffers)
}

/// Time and bits of both values.
type ReadRow = (i64, Option<u64>, Option<u64>);

fn read(run: &Run, series: usize) -> crate::error::Result<Vec<ReadRow>> {
    let slice = run.slice(0);
    let places: Arc<[Option<usize>]> =
        ["a", "b"].iter().map(|name| slice.fields().iter().position(|f| **f == **name)).collect();
    let (mut block, mut buffers, mut rows) = (Block::new(), ReadBuffers::default(), Vec::new());
    for chunk in chunks(run, series, &mut buffers)? {
        block.reset(0, 2);
        slice.read_chunk(&chunk, &places, Through::Cache, &mut buffers, &mut block)?;
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
            let mut keys = slice.series(Through::Cache);
            prop_assert_eq!(keys.key(ordinal).unwrap(), key(number));
            prop_assert_eq!(keys.hash(ordinal).unwrap(), 100 + number as u128);
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
        let chunks = chunks(&run, number, &mut ReadBuffers::default()).unwrap();
        let bounds = (chunks.first().map(|c| c.t_min), chunks.last().map(|c| c.t_max));
        let ends = (rows.first().map(|row| row.0), rows.last().map(|row| row.0));
        assert_eq!(bounds, ends, "the chunks of series {number} know their times");
    }
    let mut reader = run.slice(0).series(Through::Cache);
    let keys: Vec<SeriesKey> = (0..2).map(|n| reader.key(n).unwrap()).collect();
    assert!(keys.is_sorted(), "series by key");
    let first = chunks(&run, 0, &mut ReadBuffers::default()).unwrap();
    let known = |chunk: usize| {
        let Known::Windows(totals) = run.slice(0).known(&first[chunk], 0).unwrap() else {
            panic!("a column without summaries")
        };
        totals[0]
    };
    assert_eq!((known(0).first, known(0).last), (0.0, 4095.0));
    assert_eq!((known(2).min, known(2).max), (8192.0, 9999.0));
    assert_eq!(known(0).sum, 4095.0 * 2048.0);
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
                writer.push_chunk(times, &[(Arc::from("a"), &column)], 1).unwrap();
            }
        });
        std::panic::catch_unwind(pushes).is_ok()
    };
    assert!(push(&[&[1, 2], &[3, 4]]));
    assert!(!push(&[&[2, 2]]), "a timestamp twice");
    assert!(!push(&[&[2, 1]]), "backwards");
    assert!(!push(&[&[1, 3], &[3, 4]]), "a chunk that begins before its predecessor ends");
}

/// Series of which a run has entries and pages of all kinds.
fn all_kinds() -> Vec<Rows> {
    let long = |i: i64| (i * 10 + i % 3, Some(i as f64 / 3.0), (i % 2 == 0).then_some(1.0));
    let regular: Rows = (0..200).map(|i| (i * 10, Some((i % 7) as f64), None)).collect();
    let short = |start: i64| vec![(start, Some(1.0), None), (start + 1, None, Some(2.0))];
    let uneven =
        |value: f64| vec![(5, Some(value), None), (6, Some(1.0), None), (9, Some(2.0), None)];
    vec![
        (0..200).map(long).collect(),
        regular,
        short(5),
        short(8),
        uneven(1.0),
        uneven(7.5),
        vec![
            (5, Some(3.0), None),
            (6, Some(4.0), None),
            (9, Some(5.0), None),
            (11, Some(5.0), None),
        ],
    ]
}

#[test]
fn short_series_share_entries_and_long_ones_have_windows() {
    let (env, _) = disk();
    let run = open(&env, &write(&env, &all_kinds(), 4096)).unwrap();
    run.verify().unwrap();
    let mut buffers = ReadBuffers::default();
    let mut of = |series: usize| chunks(&run, series, &mut buffers).unwrap().remove(0);
    let (long, regular, first, second) = (of(0), of(1), of(2), of(3));
    assert!(long.is_exact() && long.has_windows() && regular.has_windows());
    assert!(!first.is_exact() && !first.has_windows(), "two series share an entry");
    assert_eq!((first.t_min, first.t_max, first.rows), (5, 9, 2), "whose bounds are those of both");
    assert_eq!((second.t_min, second.t_max), (first.t_min, first.t_max));
    let windows =
        run.slice(0).windows(&regular, Through::File, &mut ReadBuffers::default()).unwrap();
    assert_eq!(windows.iter().map(|window| window.rows.len()).sum::<usize>(), 200);
    // A thousand series of five rows cost little beside their values.
    let many: Vec<Rows> = (0..1000)
        .map(|n| (0..5).map(|i| (i * 1000, Some(f64::from(n) + i as f64), Some(1.0))).collect())
        .collect();
    env.vfs.unlink(Path::new(PATH)).unwrap();
    let meta = write(&env, &many, 4096);
    let run = open(&env, &meta).unwrap();
    run.verify().unwrap();
    let index = 16 * 1000 + 6000;
    assert!(meta.bytes < index + 10_000, "{} bytes for 10 000 values", meta.bytes);
}

/// A group holds so many entries and series; what comes after goes to the next one.
#[test]
fn series_and_chunks_go_on_over_many_groups() {
    let (env, _) = disk();
    let long: Rows = (0..200_000).map(|i| (i * 7, Some(i as f64), None)).collect();
    let mut series = vec![long];
    series.extend((0..20_000).map(|n| vec![(n, Some(n as f64), None)]));
    let run = open(&env, &write(&env, &series, 1000)).unwrap();
    assert!(run.slice(0).groups() > 4);
    run.verify().unwrap();
    for number in [0, 1, 8191, 8192, 8193, 20_000] {
        let due: Vec<ReadRow> =
            series[number].iter().map(|(t, a, _)| (*t, a.map(f64::to_bits), None)).collect();
        assert!(read(&run, number).unwrap() == due, "series {number}");
    }
}

#[test]
fn every_damaged_byte_is_found() {
    let (env, vfs) = disk();
    let meta = write(&env, &all_kinds(), 4096);
    let count = all_kinds().len();
    let good: Vec<_> = (0..count).map(|n| read(&open(&env, &meta).unwrap(), n).unwrap()).collect();
    for at in 0..meta.bytes {
        vfs.flip_bit(Path::new(PATH), at, u8::try_from(at % 8).unwrap()).unwrap();
        let outcome = open(&env, &meta).and_then(|run| {
            let rows: Vec<_> = (0..count).map(|n| read(&run, n)).collect::<Result<_, _>>()?;
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
    let long: Rows = (0..300).map(|i| (i * 10, Some(i as f64 / 3.0), Some(1.0))).collect();
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
    // Two columns of each series in the third round; the directory is kept opened from the first one on.
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

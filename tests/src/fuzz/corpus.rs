//! The first inputs of each target, made by a seed: files that a store wrote, pages of the index, columns, and
//! requests. `cargo xtask fuzz --seeds` writes them to `fuzz/corpus`; what fuzzing finds stands beside them.

mod texts;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::SimVfs;
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::{
    Append, CatalogueChange, DeleteRequest, EntryKey, Maintain, MemoryBudget, SeriesKey,
    TagCharset, TimeRange,
};
use tsdb_index::{IndexWriter, SectionWriter};
use tsdb_ingest::{LineProtocol, ParseOptions, Pipeline, PipelineOptions, Precision, WriteRequest};
use tsdb_lsm::Engine;
use tsdb_lsm::bench_support::{Memo, encode_packed, encode_times, encode_values};
use tsdb_wal::Floor;

use super::records::open_engine;
use crate::seed::Seed;
use texts::TEXTS;

const DIRECTORY: &str = "/db";

/// Inputs by target.
pub type Seeds = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// All of them; the same each time.
pub fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for (lines, ends) in scenarios() {
        let disk = SimVfs::new(11);
        let left = play(&disk, &lines, ends);
        for (name, bytes) in left {
            let target = match name.as_str() {
                name if name.ends_with(".wal") => "wal_reader",
                name if name.ends_with(".run") => "sst_reader",
                "payloads" => "wal_records",
                "MANIFEST" => "manifest_reader",
                _ => continue,
            };
            seeds.entry(target).or_default().push(bytes);
        }
    }
    let logs = seeds.entry("wal_reader").or_default();
    if let Some(log) = logs.iter().min_by_key(|log| log.len()).cloned() {
        logs.extend(borders(&log));
    }
    seeds.insert("wal_structured", choices(1, 24, 200));
    seeds.insert("tag_matcher", choices(2, 24, 60));
    seeds.insert("index_reader", index());
    seeds.insert("codecs", columns());
    seeds.insert("remote_write_v1", super::remote_write::seeds_v1());
    seeds.insert("remote_write_v2", super::remote_write::seeds_v2());
    seeds.insert("otlp_metrics", super::otlp::seeds());
    for (target, texts) in TEXTS {
        seeds.entry(target).or_default().extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    }
    #[cfg(feature = "server")]
    seeds.insert("content_decoder", packed());
    seeds
}

/// What a scenario does behind its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Leaves all in the log.
    Logged,
    /// Flushes.
    Flushed,
    /// Flushes in two runs and deletes something.
    Deleted,
}

/// Lines to write, and what comes behind them.
fn scenarios() -> Vec<(String, End)> {
    let mut seed = Seed::new(7);
    let mut all = Vec::new();
    let mut regular = String::new();
    for row in 0..200 {
        let _ = writeln!(
            regular,
            "cpu,host=a usage={}.5,idle={} {}",
            row % 7,
            row,
            row * 10_000_000_000u64
        );
    }
    let mut short = String::new();
    for host in 0..12 {
        for row in 0..=host % 5 {
            let time = seed.within(0..1 << 40);
            let _ =
                writeln!(short, "mem,host=h{host},dc=d{} used={row},free=-0.0 {time}", host % 3);
        }
    }
    let mut sparse = String::new();
    for row in 0..150u64 {
        let field = ["a", "b", "c"][usize::try_from(row % 3).unwrap_or(0)];
        let value = f64::from_bits(0x4000_0000_0000_0000 | seed.bits() >> 12);
        let _ = writeln!(sparse, "m {field}={value} {}", row * 1_000_003 + row % 2);
    }
    let mut days = String::new();
    for day in 0..3u64 {
        let _ = writeln!(days, "d,k=v x=1,y=2 {}\ne x=3 {}", day * 86_400_000_000_000, day);
    }
    let one = "m v=1 1".to_owned();
    for lines in [regular, short, sparse, days, one] {
        for end in [End::Logged, End::Flushed, End::Deleted] {
            all.push((lines.clone(), end));
        }
    }
    all
}

/// Writes lines to a store and returns the files that it leaves, by name, and the payloads of its log.
fn play(disk: &SimVfs, lines: &str, end: End) -> Vec<(String, Vec<u8>)> {
    let engine = open_engine(disk, Path::new(DIRECTORY)).expect("the disk has no faults");
    let all: Vec<&str> = lines.lines().collect();
    let halves = all.split_at(all.len() / 2);
    for half in [halves.0, halves.1] {
        write(&engine, &half.join("\n"));
        if end != End::Logged {
            engine.seal().and_then(|_| engine.flush_one()).expect("the disk has no faults");
        }
    }
    let catalogue = engine.catalogue();
    let namespace = catalogue.namespace("d", None).expect("it was written to").id;
    if end != End::Flushed {
        let filter = TagFilter::and([
            TagFilter::tag("host", MatchOp::Re, "^h[0-4]"),
            TagFilter::not(TagFilter::tag("dc", MatchOp::Eq, "d1")),
        ]);
        let measurements = Some(vec!["mem".into(), "cpu".into()]);
        let time = TimeRange { start: 0, end: 1_000_000_000_000 };
        let request = DeleteRequest { namespace, measurements, filter, time };
        let ticket = engine.delete(&request).expect("a filter that compiles");
        let policy = PolicySpec {
            name: "week".into(),
            retention_ns: Some(7 * 86_400_000_000_000),
            partition_ns: None,
        };
        let change = CatalogueChange::CreatePolicy {
            database: "d".into(),
            policy,
            make_default: end == End::Deleted,
        };
        let mut tickets = vec![ticket, engine.change_catalogue(&change).expect("a new name")];
        for (database, text) in [(Some("d"), "SELECT"), (None, "")] {
            let key = EntryKey::new("query", database, "n");
            let set = CatalogueChange::SetEntry { key, text: text.into(), replace: false };
            tickets.push(engine.change_catalogue(&set).expect("a new name"));
        }
        if end == End::Deleted {
            let key = EntryKey::new("query", None, "n");
            let remove = CatalogueChange::RemoveEntry { key };
            tickets.push(engine.change_catalogue(&remove).expect("it was set"));
        }
        engine.sync().expect("the disk has no faults");
        for ticket in tickets {
            ticket.wait().expect("synced");
        }
    }
    let mut left = files(disk);
    if end == End::Deleted {
        engine.close().expect("the disk has no faults");
        left = files(disk);
    }
    drop(engine);
    left
}

/// Writes lines of line protocol to the database `d`, until they are synced.
pub(super) fn write(engine: &Arc<Engine>, lines: &str) {
    if lines.is_empty() {
        return;
    }
    let store = Arc::clone(engine) as Arc<dyn Append>;
    let pipeline = Pipeline::new(store, MemoryBudget::default(), PipelineOptions::default());
    let options = ParseOptions::new(Precision::Nanoseconds, 0);
    let request = WriteRequest { database: "d", policy: None, body: lines.as_bytes(), options };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| pipeline.write(&LineProtocol::default(), &request));
        // A new database waits for its sync, and nobody else syncs.
        while !writer.is_finished() {
            engine.sync().expect("the disk has no faults");
            std::thread::yield_now();
        }
        let report = writer.join().expect("no panic").expect("sound lines");
        assert_eq!(report.errors_total, 0, "{:?}", report.errors);
    });
    engine.sync().expect("the disk has no faults");
}

/// The files of a store, and the payloads of its log, each behind its length.
fn files(disk: &SimVfs) -> Vec<(String, Vec<u8>)> {
    let (env, mut found) = (disk.env(), Vec::new());
    for directory in ["", "runs", "wal"] {
        let directory = Path::new(DIRECTORY).join(directory);
        for entry in env.vfs.list(&directory).unwrap_or_default() {
            if !entry.is_dir
                && let Ok(bytes) = disk.content(&directory.join(&entry.name))
            {
                found.push((entry.name, bytes));
            }
        }
    }
    let id = found
        .iter()
        .find(|(name, _)| name == "MANIFEST")
        .and_then(|(_, bytes)| bytes.get(20..36)?.first_chunk().copied());
    let id: [u8; 16] = id.expect("a store has a manifest");
    let mut payloads = Vec::new();
    // A copy, for reading cuts tails.
    let options = tsdb_wal::WalOptions::new(Path::new(DIRECTORY).join("wal"), id);
    let _ = tsdb_wal::Wal::open(&disk.fork().env(), options, Floor::default(), |frame| {
        payloads.extend(u16::try_from(frame.payload.len()).unwrap_or(0).to_le_bytes());
        payloads.extend_from_slice(frame.payload);
        Ok::<(), std::convert::Infallible>(())
    });
    if !payloads.is_empty() {
        found.push(("payloads".to_owned(), payloads));
    }
    found.retain(|(_, bytes)| bytes.len() <= 6000);
    found
}

/// A segment with each number of its header and of its first frame at a border of what fits.
fn borders(log: &[u8]) -> Vec<Vec<u8>> {
    let header = [32, 40, 48, 64, 72, 80, 88];
    let places = header.into_iter().chain([128 + 9, 128 + 17]);
    let values = [0, u64::MAX >> 1, u64::MAX];
    let changed = places.flat_map(|at| {
        values.map(|value| {
            let mut bytes = log.to_vec();
            bytes.iter_mut().skip(at).zip(value.to_le_bytes()).for_each(|(old, new)| *old = new);
            bytes
        })
    });
    changed.collect()
}

/// Random choices for targets that take them.
fn choices(seed: u64, count: u64, bytes_max: u64) -> Vec<Vec<u8>> {
    let mut seed = Seed::new(seed);
    let one = |seed: &mut Seed| -> Vec<u8> {
        (0..seed.within(1..bytes_max)).map(|_| seed.bits().to_le_bytes()[0]).collect()
    };
    (0..count).map(|_| one(&mut seed)).collect()
}

fn keys(count: usize) -> Vec<SeriesKey> {
    let mut keys = Vec::new();
    for number in 0..count {
        let (host, dc) =
            (format!("{}{number:03}", ["a", "b", "x"][number % 3]), format!("d{}", number % 4));
        let mut tags = vec![("host", host.as_str())];
        if number % 2 == 0 {
            tags.push(("dc", dc.as_str()));
        }
        let measurement = ["cpu", "mem"][number % 5 / 4];
        keys.push(SeriesKey::new(measurement, &mut tags, TagCharset::Ascii).expect("sound"));
    }
    keys.sort();
    keys
}

/// Pages, and roots with their pages.
fn index() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for count in [1, 2, 7, 40, 66] {
        let keys = keys(count);
        let mut section = SectionWriter::new();
        keys.iter().for_each(|key| section.add(key, 7).expect("in order"));
        all.push(section.finish().expect("few series"));
        let (mut writer, mut pages) = (IndexWriter::new(super::index::HASH_KEY), Vec::new());
        let mut put = |page: &[u8]| {
            let offset = pages.len() as u64;
            pages.extend_from_slice(page);
            Ok::<u64, tsdb_index::Error>(offset)
        };
        for key in &keys {
            writer.add(key, 9, &mut put).expect("in order");
        }
        let sections = writer.finish(&mut put).expect("few series");
        let (root, cardinality) = (sections.root, sections.cardinality);
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("few series").to_le_bytes();
        let lengths = [length(&root), length(&cardinality)].concat();
        all.push([&lengths[..], &root, &cardinality, &pages].concat());
    }
    all
}

/// Columns of values and of timestamps, each behind its number of rows less one.
fn columns() -> Vec<Vec<u8>> {
    let mut seed = Seed::new(3);
    let mut all = Vec::new();
    let rows: u16 = 200;
    let shapes: [fn(u64, u64) -> f64; 8] = [
        |_, _| 1.5,
        |row, _| f64::from(u32::try_from(row).unwrap_or(0)),
        |row, bits| f64::from(u32::try_from(row % 10 + bits % 3).unwrap_or(0)) / 100.0,
        |_, bits| f64::from_bits(bits),
        |_, bits| [f64::NAN, -0.0, f64::INFINITY, 1e300][usize::try_from(bits % 4).unwrap_or(0)],
        |row, bits| f64::from(u32::try_from(row * 1000 + bits % 500).unwrap_or(0)) * 0.25,
        |_, bits| f64::from(u32::try_from(bits % 5).unwrap_or(0)),
        |row, bits| if row % 50 == 0 { f64::from_bits(bits) } else { 20.0 },
    ];
    let mut put = |page: &[u8]| all.push([&(rows - 1).to_le_bytes()[..], page].concat());
    for shape in shapes {
        let values: Vec<f64> = (0..u64::from(rows)).map(|row| shape(row, seed.bits())).collect();
        let mut page = Vec::new();
        encode_values(&values, &mut Memo::default(), &mut page);
        put(&page);
    }
    let whole: Vec<f64> = (0..rows).map(|row| f64::from(row * 3)).collect();
    let mut page = Vec::new();
    encode_packed(&whole, &mut page);
    put(&page);
    for jitter in [0, 3, 1 << 20, 1 << 40] {
        let mut time = 1_700_000_000_000_000_000i64;
        let times: Vec<i64> = (0..rows)
            .map(|_| {
                let step = seed.within(0..jitter + 1);
                time += 10_000_000_000 + i64::try_from(step).unwrap_or(0);
                time
            })
            .collect();
        let mut page = Vec::new();
        encode_times(&times, &mut page);
        put(&page);
    }
    all
}

/// Packed bodies: whole, in two members, cut, and one that unpacks to much; and with snappy, zlib and zstd.
#[cfg(feature = "server")]
fn packed() -> Vec<Vec<u8>> {
    use std::io::Write;
    let pack = |data: &[u8], level: u32| {
        let mut encoder =
            flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(data).expect("a vector takes all");
        encoder.finish().expect("a vector takes all")
    };
    let text = "cpu,host=a usage=0.5 1700000000000000000\n".repeat(40);
    let one = pack(text.as_bytes(), 9);
    let two = [one.clone(), pack(b"tail", 1)].concat();
    let cut = one.get(..one.len() / 2).unwrap_or_default().to_vec();
    let twice = pack(&one, 6);
    let snappy = snap::raw::Encoder::new().compress_vec(text.as_bytes()).expect("it is short");
    let whole = pack(text.as_bytes(), 0);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(text.as_bytes()).expect("a vector takes all");
    let zlib = zlib.finish().expect("a vector takes all");
    let frame = |data: &[u8]| zstd::encode_all(data, 3).expect("a vector takes all");
    let frames = [frame(text.as_bytes()), frame(b"tail")].concat();
    // Nothing but a raw block in a window of 8 MiB, and in one that is too large.
    let window = |descriptor| {
        [&[0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 0x41, 0, 0], &b"m v=1 1\n"[..]].concat()
    };
    let bomb = frame(&vec![0; 3 << 20]);
    vec![
        one,
        two,
        cut,
        twice,
        pack(b"", 0),
        whole,
        pack(&vec![0; 3 << 20], 9),
        snappy,
        zlib,
        frames,
        window(13 << 3),
        window(14 << 3),
        bomb,
    ]
}

//! The bytes of version 1, as runs have them on disk. None of them may ever change: another format has another version.

use super::super::format::{MeasurementBytes, encode};
use super::*;

/// Two measurements that share a tag key, and pairs of both.
const BY_HAND: &str = concat!(
    "010302646304686f7374046172636802040701f6ffff0726ffffff07270200aa0207018020270100",
    "a01f040701f6ffff0726ffffff072701ffffff1f02020003010027010002011402010361c3a9ab02",
    "0000028101",
);

/// Four series, as a run counts them.
const COUNTED: &str = concat!(
    "010204686f7374047261636b0203d1d7e80981f5a601c98da6110200000303b486910a9dddff0ee2",
    "fa5101000602a8c9fa07c1fba21401d6dfa0020200000101b5dee21901000201a8c9fa0702010272",
    "31030001610201",
);

/// Of a section with a dense sketch the bytes in front of its registers, and the hash of all of it.
const DENSE_HEAD: &str = "0100018120001f0001023000170001003000160001203000";
const DENSE_HASH: u128 = 141_143_240_268_281_729_024_137_044_079_035_074_563;
const DENSE_BYTES: usize = 8202;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sketch(hashes: impl IntoIterator<Item = u64>) -> DistinctSketch {
    let mut sketch = DistinctSketch::new();
    hashes.into_iter().for_each(|hash| sketch.add(hash));
    sketch
}

fn tag(key: &str, series: u64, value_bytes: u64, values: DistinctSketch) -> TagCardinality {
    TagCardinality { key: key.into(), series, value_bytes, values }
}

/// Encodes `written`, which must be read as it was.
fn bytes_of(written: &SourceCardinality) -> Vec<u8> {
    let mut measurements = MeasurementBytes::default();
    written.measurements.iter().for_each(|measurement| measurements.push(measurement));
    let bytes = encode(measurements, written);
    let names = written.measurements.iter().map(|m| (&*m.name, m.series));
    let read = SourceCardinality::decode(&bytes, names.collect::<Vec<_>>().into_iter());
    assert_eq!(read.as_ref(), Ok(written));
    bytes
}

#[test]
fn the_bytes_of_measurements_tags_and_pairs() {
    // Places far apart and close together; behind the last two, whose low bits are 0, stand their ranks.
    let places = [7 << 38, 9 << 38, 1 << 63, (1 << 62) + 1];
    let cpu = MeasurementCardinality {
        name: "cpu".into(),
        series: 300,
        distinct: sketch(places),
        tags: vec![tag("dc", 2, 7, sketch([1 << 50])), tag("host", 300, 4000, sketch(places))],
    };
    let mem = MeasurementCardinality {
        name: "mem".into(),
        series: 1,
        distinct: sketch([u64::MAX]),
        tags: vec![tag("arch", 1, 3, sketch([0])), tag("host", 1, 2, sketch([5 << 40]))],
    };
    let pair =
        |key: &str, value: &str, series| PairCount { key: key.into(), value: value.into(), series };
    let pairs = vec![pair("host", "a\u{e9}", 299), pair("dc", "", 2)];
    let written = SourceCardinality { measurements: vec![cpu, mem], pairs, uncounted_max: 129 };
    assert_eq!(hex(&bytes_of(&written)), BY_HAND);
}

#[test]
fn the_bytes_of_counted_series() {
    let (mut index, mut counted) = (SectionWriter::new(), CardinalityWriter::new(HASH_KEY));
    for (name, host, rack) in
        [("cpu", "a", "r1"), ("cpu", "b", "r1"), ("cpu", "c", "r2"), ("mem", "a", "r1")]
    {
        let key = key(name, &[("host", host), ("rack", rack)]);
        index.add(&key, siphash128(HASH_KEY, key.as_str().as_bytes())).unwrap();
    }
    counted.add(&Section::open(&index.finish().unwrap()).unwrap());
    assert_eq!(hex(&counted.finish_anyway()), COUNTED);
}

#[test]
fn the_bytes_of_dense_sketches() {
    let hashes = (1u64..=6000).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let name = "m".into();
    // A rank that half a byte does not hold, too.
    let distinct = sketch(hashes.chain([1 << 5]));
    let measurement = MeasurementCardinality { name, series: 6001, distinct, tags: Vec::new() };
    let written =
        SourceCardinality { measurements: vec![measurement], ..SourceCardinality::default() };
    let bytes = bytes_of(&written);
    assert_eq!(hex(&bytes[..24]), DENSE_HEAD);
    assert_eq!((bytes.len(), siphash128(HASH_KEY, &bytes)), (DENSE_BYTES, DENSE_HASH));
}

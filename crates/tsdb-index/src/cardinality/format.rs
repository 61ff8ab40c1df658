//! Bytes of what the series of a run are made of. Pinned to `docs/format/cardinality-section.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tsdb_core::hyperloglog::DistinctSketch;

use super::{
    MeasurementCardinality, PAIRS_LISTED_MAX, PairCount, SourceCardinality, TagCardinality,
};
use crate::Result;
use crate::section::format::{Reader, put_varint};

const VERSION: u8 = 1;

/// Fewest bytes of a measurement, a tag and a pair.
const MEASUREMENT_BYTES_MIN: usize = 2;
const TAG_BYTES_MIN: usize = 4;
const PAIR_BYTES_MIN: usize = 3;

/// Measurements as they are encoded one by one, before it is known which tag keys there are.
#[derive(Debug, Default)]
pub(super) struct MeasurementBytes {
    bytes: Vec<u8>,
    count: u64,
    /// Tag keys by number, and back.
    keys: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, u64>,
}

impl MeasurementBytes {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds the next measurement.
    pub(super) fn push(&mut self, measurement: &MeasurementCardinality) {
        self.count += 1;
        measurement.distinct.encode(&mut self.bytes);
        put_varint(&mut self.bytes, measurement.tags.len() as u64);
        for tag in &measurement.tags {
            let number = self.number_of(&tag.key);
            put_varint(&mut self.bytes, number);
            put_varint(&mut self.bytes, measurement.series - tag.series);
            put_varint(&mut self.bytes, tag.value_bytes);
            tag.values.encode(&mut self.bytes);
        }
    }

    fn number_of(&mut self, key: &Arc<str>) -> u64 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.keys.len() as u64;
        self.keys.push(Arc::clone(key));
        self.numbers.insert(Arc::clone(key), number);
        number
    }
}

/// All of it, with the pairs of `listed`.
pub(super) fn encode(measurements: MeasurementBytes, listed: &SourceCardinality) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, measurements.keys.len() as u64);
    measurements.keys.iter().for_each(|key| put_text(&mut out, key));
    put_varint(&mut out, measurements.count);
    out.extend_from_slice(&measurements.bytes);
    put_varint(&mut out, listed.pairs.len() as u64);
    for pair in &listed.pairs {
        put_varint(&mut out, measurements.numbers.get(&pair.key).copied().unwrap_or(0));
        put_text(&mut out, &pair.value);
        put_varint(&mut out, pair.series);
    }
    put_varint(&mut out, listed.uncounted_max);
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

impl SourceCardinality {
    /// Reads what the series of a run are made of, whose measurements and their series `measurements` are. The checksum was
    /// verified by whoever read the bytes; any bytes are read or refused, in memory of at most 24 KiB for each tag and
    /// measurement, which dense sketches of a third of that stand for.
    ///
    /// # Errors
    /// Bytes of another version, damaged ones, and those that contradict `measurements`.
    pub fn decode<'m>(
        bytes: &[u8],
        measurements: impl ExactSizeIterator<Item = (&'m str, u64)>,
    ) -> Result<SourceCardinality> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION, "an unknown version of cardinalities")?;
        let keys: Vec<Arc<str>> = (0..reader.count(1)?)
            .map(|_| read_text(&mut reader).map(Arc::from))
            .collect::<Result<_>>()?;
        let mut found = SourceCardinality::default();
        if reader.count(MEASUREMENT_BYTES_MIN)? != measurements.len() {
            return Err(reader.damaged("cardinalities of other measurements"));
        }
        for (name, series) in measurements {
            let distinct = read_sketch(&mut reader)?;
            let tags = read_tags(&mut reader, &keys, series)?;
            found.measurements.push(MeasurementCardinality {
                name: name.into(),
                series,
                distinct,
                tags,
            });
        }
        found.pairs = read_pairs(&mut reader, &keys, found.series())?;
        found.uncounted_max = reader.varint()?;
        reader.end()?;
        Ok(found)
    }
}

fn read_tags(
    reader: &mut Reader<'_>,
    keys: &[Arc<str>],
    series: u64,
) -> Result<Vec<TagCardinality>> {
    let mut tags: Vec<TagCardinality> = Vec::new();
    for _ in 0..reader.count(TAG_BYTES_MIN)? {
        let key = read_key(reader, keys)?;
        if tags.last().is_some_and(|last| last.key >= key) {
            return Err(reader.damaged("tag keys that are not sorted"));
        }
        let with_key = series.checked_sub(reader.varint()?);
        let series = with_key.ok_or_else(|| reader.damaged("a tag of fewer series than none"))?;
        let value_bytes = reader.varint()?;
        tags.push(TagCardinality { key, series, value_bytes, values: read_sketch(reader)? });
    }
    Ok(tags)
}

fn read_pairs(
    reader: &mut Reader<'_>,
    keys: &[Arc<str>],
    series_max: u64,
) -> Result<Vec<PairCount>> {
    let count = reader.count(PAIR_BYTES_MIN)?;
    if count > PAIRS_LISTED_MAX {
        return Err(reader.damaged("too many pairs"));
    }
    let mut pairs: Vec<PairCount> = Vec::with_capacity(count);
    for _ in 0..count {
        let key = read_key(reader, keys)?;
        let (value, series) = (read_text(reader)?.into(), reader.varint()?);
        let bound = pairs.last().map_or(series_max, |last| last.series);
        if series > bound {
            return Err(reader.damaged("pairs that are not sorted, or of too many series"));
        }
        pairs.push(PairCount { key, value, series });
    }
    Ok(pairs)
}

fn read_key(reader: &mut Reader<'_>, keys: &[Arc<str>]) -> Result<Arc<str>> {
    let number = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    keys.get(number).cloned().ok_or_else(|| reader.damaged("a tag key that does not exist"))
}

fn read_text<'b>(reader: &mut Reader<'b>) -> Result<&'b str> {
    let length = reader.count(1)?;
    let text = std::str::from_utf8(reader.take(length)?);
    text.map_err(|_| reader.damaged("a text that is not UTF-8"))
}

fn read_sketch(reader: &mut Reader<'_>) -> Result<DistinctSketch> {
    let (sketch, bytes) =
        DistinctSketch::decode(reader.rest()).map_err(|error| reader.damaged(error.what))?;
    reader.take(bytes)?;
    Ok(sketch)
}

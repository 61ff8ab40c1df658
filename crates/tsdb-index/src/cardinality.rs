//! What the series of one source (a run, the registry) are made of, in a few bytes: exact numbers of its own, and sketches
//! that can be united with those of other sources, where the same series may be.

mod format;
mod pairs;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use tsdb_core::hash::{HashKey, siphash128};
use tsdb_core::hyperloglog::DistinctSketch;

pub(crate) use pairs::FrequentPairs;
pub(crate) use writer::CardinalityWriter;

/// Pairs that a source lists at most.
pub const PAIRS_LISTED_MAX: usize = 128;

/// What the series of a source are made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceCardinality {
    /// In order of their names.
    pub measurements: Vec<MeasurementCardinality>,
    /// The tag keys and values that most series have, over all measurements: at most [`PAIRS_LISTED_MAX`] in order of
    /// falling counts, then of their texts, and none that only one series has.
    pub pairs: Vec<PairCount>,
    /// Most series that a count of [`SourceCardinality::pairs`] may lack, and that a pair may have that is not listed.
    pub uncounted_max: u64,
}

/// The series of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasurementCardinality {
    /// Its name.
    pub name: Arc<str>,
    /// How many there are in the source. Exact.
    pub series: u64,
    /// The series, by the low 64 bits of their hashes.
    pub distinct: DistinctSketch,
    /// In order of their keys.
    pub tags: Vec<TagCardinality>,
}

/// A tag key of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCardinality {
    /// The key.
    pub key: Arc<str>,
    /// Series that have it. Exact.
    pub series: u64,
    /// Bytes of the values of these series, each counted as often as series have it. Exact.
    pub value_bytes: u64,
    /// The values, by `value_hash`.
    pub values: DistinctSketch,
}

/// A tag key and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairCount {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Box<str>,
    /// Series that have both; never too many, and at most [`SourceCardinality::uncounted_max`] too few.
    pub series: u64,
}

impl SourceCardinality {
    /// Number of series. Exact.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.measurements.iter().map(|measurement| measurement.series).sum()
    }

    /// Memory in bytes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let of_tag = |tag: &TagCardinality| {
            size_of::<TagCardinality>() + tag.key.len() + tag.values.memory_bytes()
        };
        let of_measurement = |measurement: &MeasurementCardinality| {
            size_of::<MeasurementCardinality>()
                + measurement.name.len()
                + measurement.distinct.memory_bytes()
                + measurement.tags.iter().map(of_tag).sum::<usize>()
        };
        let of_pair = |pair: &PairCount| size_of::<PairCount>() + pair.value.len();
        let measurements: usize = self.measurements.iter().map(of_measurement).sum();
        measurements + self.pairs.iter().map(of_pair).sum::<usize>()
    }
}

/// What a tag value counts as in a sketch: the low 64 bits of its hash under the data directory's key, so that a client
/// cannot choose values that collide.
pub(crate) fn value_hash(key: HashKey, value: &str) -> u64 {
    low_half(siphash128(key, value.as_bytes()))
}

/// What a series counts as in a sketch.
pub(crate) fn low_half(hash: u128) -> u64 {
    u64::try_from(hash & u128::from(u64::MAX)).unwrap_or(0)
}

//! Counts what the series of a run are made of, page of the index by page, and encodes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tsdb_core::hash::HashKey;
use tsdb_core::hyperloglog::DistinctSketch;

use super::format::{MeasurementBytes, encode};
use super::pairs::FrequentPairs;
use super::{MeasurementCardinality, SourceCardinality, TagCardinality, low_half, value_hash};
use crate::section::Section;

/// Series up to which nothing is written: they are on one page, and whoever wants to know counts them.
const FEW: u64 = 64;

/// Collects pages in order. It keeps the sketches of one measurement and the bytes of those before.
#[derive(Debug)]
pub(crate) struct CardinalityWriter {
    hash_key: HashKey,
    series: u64,
    open: Option<OpenMeasurement>,
    ended: MeasurementBytes,
    pairs: FrequentPairs,
}

#[derive(Debug)]
struct OpenMeasurement {
    name: Arc<str>,
    series: u64,
    distinct: DistinctSketch,
    tags: BTreeMap<Arc<str>, TagCardinality>,
}

impl CardinalityWriter {
    /// Nothing counted yet. `hash_key` is the data directory's.
    pub(crate) fn new(hash_key: HashKey) -> CardinalityWriter {
        let (ended, pairs) = (MeasurementBytes::default(), FrequentPairs::default());
        CardinalityWriter { hash_key, series: 0, open: None, ended, pairs }
    }

    /// Memory in bytes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let open = self.open.iter().flat_map(|open| open.tags.values());
        let open: usize = open.map(|tag| tag.values.memory_bytes()).sum();
        open + DistinctSketch::MEMORY_MAX + self.ended.len() + self.pairs.memory_bytes()
    }

    /// Counts the series of a page. O(series + distinct pairs of the page).
    pub(crate) fn add(&mut self, page: &Section) {
        for (name, series) in page.measurements() {
            let mut open = match self.open.take() {
                Some(open) if *open.name == *name => open,
                other => {
                    self.end(other);
                    OpenMeasurement::new(name)
                }
            };
            open.series += series.len() as u64;
            self.series += series.len() as u64;
            series.for_each(|ordinal| open.distinct.add(low_half(page.hash(ordinal))));
            page.for_each_pair(name, |key, value, series| {
                let tag = open.tag(key);
                tag.series += series;
                tag.value_bytes += series * value.len() as u64;
                tag.values.add(value_hash(self.hash_key, value));
                self.pairs.add(&tag.key, value, series);
            });
            self.open = Some(open);
        }
        self.pairs.prune();
    }

    fn end(&mut self, open: Option<OpenMeasurement>) {
        let Some(OpenMeasurement { name, series, distinct, tags }) = open else { return };
        let tags = tags.into_values().collect();
        self.ended.push(&MeasurementCardinality { name, series, distinct, tags });
    }

    /// The bytes of what was counted; none if that are few series.
    pub(crate) fn finish(self) -> Vec<u8> {
        if self.series <= FEW { Vec::new() } else { self.finish_anyway() }
    }

    /// The bytes of what was counted.
    pub(crate) fn finish_anyway(mut self) -> Vec<u8> {
        let open = self.open.take();
        self.end(open);
        let mut listed = SourceCardinality::default();
        self.pairs.finish(&mut listed);
        encode(self.ended, &listed)
    }
}

impl OpenMeasurement {
    fn new(name: &str) -> OpenMeasurement {
        let (name, tags) = (Arc::from(name), BTreeMap::new());
        OpenMeasurement { name, series: 0, distinct: DistinctSketch::new(), tags }
    }

    fn tag(&mut self, key: &str) -> &mut TagCardinality {
        if !self.tags.contains_key(key) {
            let key: Arc<str> = key.into();
            let values = DistinctSketch::new();
            let tag = TagCardinality { key: Arc::clone(&key), series: 0, value_bytes: 0, values };
            return self.tags.entry(key).or_insert(tag);
        }
        match self.tags.get_mut(key) {
            Some(tag) => tag,
            None => unreachable!("it was looked up above"),
        }
    }
}

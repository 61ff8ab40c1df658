//! How many tag keys and values the series of several sources have, by measurement, from what is known of each source: no
//! series is looked at.
//!
//! The hash of a value depends on its text alone, so the sketches of several keys, sources and namespaces can be united, and
//! a value counts once wherever it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tsdb_core::hyperloglog::DistinctSketch;
use tsdb_core::storage::{TagCount, TagCountRequest};
use tsdb_core::{NamespaceId, Pool, Reservation, Result};
use tsdb_index::{MeasurementCardinality, SourceCardinality};

use super::united::{ENTRY_BYTES, entry};

/// Counts sources together.
pub(super) struct UnitedTags<'r> {
    request: &'r TagCountRequest<'r>,
    measurements: BTreeMap<Arc<str>, UnitedMeasurement>,
    /// Of the measurements that count, in all sources: one that is in several counts several times.
    series: u64,
    held: Reservation,
}

#[derive(Default)]
struct UnitedMeasurement {
    keys: BTreeSet<Arc<str>>,
    values: DistinctSketch,
}

impl<'r> UnitedTags<'r> {
    /// Nothing counted yet.
    pub(super) fn new(request: &'r TagCountRequest<'r>) -> Result<UnitedTags<'r>> {
        let held = request.budget.reserve(Pool::Queries, 0)?;
        Ok(UnitedTags { request, measurements: BTreeMap::new(), series: 0, held })
    }

    /// Counts a source of a namespace. O(measurements and tags, and 16384 for each sketch that is dense).
    pub(super) fn add(&mut self, namespace: NamespaceId, source: &SourceCardinality) -> Result<()> {
        for measurement in &source.measurements {
            if (self.request.measurement)(namespace, &measurement.name) {
                self.request.cancel.check()?;
                self.add_measurement(measurement)?;
            }
        }
        Ok(())
    }

    fn add_measurement(&mut self, measurement: &MeasurementCardinality) -> Result<()> {
        self.series = self.series.saturating_add(measurement.series);
        for tag in measurement.tags.iter().filter(|tag| (self.request.key)(&tag.key)) {
            let known = entry(&mut self.measurements, &measurement.name, &mut self.held)?;
            if !known.keys.contains(&tag.key) {
                self.held.grow(ENTRY_BYTES + tag.key.len())?;
                known.keys.insert(Arc::clone(&tag.key));
            }
            let before = known.values.memory_bytes();
            known.values.unite(&tag.values);
            self.held.grow(known.values.memory_bytes().saturating_sub(before))?;
        }
        Ok(())
    }

    /// Series of the measurements that count, in all sources.
    pub(super) fn series(&self) -> u64 {
        self.series
    }

    /// What was counted, in order of measurements.
    pub(super) fn finish(self) -> Vec<TagCount> {
        let measurements = self.measurements.into_iter();
        let counts = measurements.map(|(measurement, known)| TagCount {
            measurement,
            keys: known.keys.len() as u64,
            values: known.values.count(),
        });
        counts.collect()
    }
}

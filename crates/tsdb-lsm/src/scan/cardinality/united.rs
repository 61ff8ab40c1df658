//! What the series of several sources are made of, from what is known of each source: no series is looked at.
//!
//! A series may be in many sources. The sketches of a measurement, united source by source, say what share of the series of
//! a source is in none before it; with that share its other numbers count. So sources with the same series count once, and
//! those with others in full. The largest source comes first and counts exactly.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::hyperloglog::{DistinctSketch, rounded};
use tsdb_core::storage::{Cardinality, CardinalityRequest, Ranked};
use tsdb_core::{Pool, Reservation, Result};
use tsdb_index::{MeasurementCardinality, PairCount, SourceCardinality, TagCardinality};

/// What a measurement is the value of.
const MEASUREMENT_KEY: &str = "__name__";

/// Memory of an entry beside what it points to, in bytes, about.
pub(super) const ENTRY_BYTES: usize = 128;

/// Counts sources together.
pub(super) struct United {
    measurements: BTreeMap<Arc<str>, UnitedMeasurement>,
    tags: BTreeMap<Arc<str>, UnitedTag>,
    pairs: HashMap<(Arc<str>, Box<str>), UnitedPair, foldhash::fast::RandomState>,
    uncounted: f64,
    held: Reservation,
}

#[derive(Default)]
struct UnitedMeasurement {
    distinct: DistinctSketch,
    series: f64,
}

#[derive(Default)]
struct UnitedTag {
    values: DistinctSketch,
    value_bytes: f64,
}

#[derive(Default)]
struct UnitedPair {
    series: f64,
    /// Most series of one source: there are at least as many.
    most: u64,
}

impl United {
    /// Nothing counted yet.
    pub(super) fn new(request: &CardinalityRequest) -> Result<United> {
        Ok(United {
            measurements: BTreeMap::new(),
            tags: BTreeMap::new(),
            pairs: HashMap::default(),
            uncounted: 0.0,
            held: request.budget.reserve(Pool::Queries, 0)?,
        })
    }

    /// Counts a source, whose number of series is at most that of those before it. O(measurements and tags, and 16384 for
    /// each of their sketches that is dense).
    pub(super) fn add(&mut self, source: &SourceCardinality) -> Result<()> {
        let mut all_new = 0.0;
        for measurement in &source.measurements {
            let known = entry(&mut self.measurements, &measurement.name, &mut self.held)?;
            let before = known.distinct.memory_bytes();
            let new = known.add(measurement);
            self.held.grow(known.distinct.memory_bytes().saturating_sub(before))?;
            all_new += new;
            let share = new / (measurement.series as f64).max(1.0);
            for tag in &measurement.tags {
                let known = entry(&mut self.tags, &tag.key, &mut self.held)?;
                let before = known.values.memory_bytes();
                known.add(tag, share);
                self.held.grow(known.values.memory_bytes().saturating_sub(before))?;
            }
        }
        let share = all_new / (source.series() as f64).max(1.0);
        for pair in &source.pairs {
            self.add_pair(pair, share)?;
        }
        self.uncounted += share * source.uncounted_max as f64;
        Ok(())
    }

    fn add_pair(&mut self, pair: &PairCount, share: f64) -> Result<()> {
        let name = (Arc::clone(&pair.key), pair.value.clone());
        if !self.pairs.contains_key(&name) {
            self.held.grow(ENTRY_BYTES + pair.value.len())?;
        }
        let known = self.pairs.entry(name).or_default();
        known.series += share * pair.series as f64;
        known.most = known.most.max(pair.series);
        Ok(())
    }

    /// The report, over `sources` sources with rows in `time`.
    pub(super) fn finish(self, top: usize, sources: u64, time: Option<(i64, i64)>) -> Cardinality {
        let series = |known: &UnitedMeasurement| rounded(known.series);
        let measurements = || self.measurements.iter().map(|(name, known)| (name, series(known)));
        let measurement_count = self.measurements.len() as u64;
        let name_bytes: u64 = measurements().map(|(name, n)| name.len() as u64 * n).sum();
        let own = |count: u64| (measurement_count > 0).then(|| (MEASUREMENT_KEY.to_owned(), count));
        let tags = self.tags.iter();
        let values: Vec<(String, u64)> =
            tags.clone().map(|(key, tag)| (key.to_string(), tag.values.count())).collect();
        let pairs = values.iter().map(|(_, count)| count).sum::<u64>() + measurement_count;
        let bytes = tags.map(|(key, tag)| (key.to_string(), rounded(tag.value_bytes)));
        let by_pair = self.pairs.iter().map(|((key, value), pair)| {
            (format!("{key}={value}"), rounded(pair.series).max(pair.most))
        });
        let by_name = measurements().map(|(name, n)| (format!("{MEASUREMENT_KEY}={name}"), n));
        Cardinality {
            series: measurements().map(|(_, n)| n).sum(),
            measurement_count,
            pairs,
            measurements: ranked(measurements().map(|(name, n)| (name.to_string(), n)), top),
            values: ranked(values.into_iter().chain(own(measurement_count)), top),
            value_bytes: ranked(bytes.chain(own(name_bytes)), top),
            series_by_pair: ranked(by_pair.chain(by_name), top),
            uncounted_max: rounded(self.uncounted.ceil()),
            estimated: true,
            sources,
            time,
        }
    }
}

impl UnitedMeasurement {
    /// Counts the series of a source, and says how many of them are new.
    fn add(&mut self, source: &MeasurementCardinality) -> f64 {
        let (before, of_source) = (self.series, source.series as f64);
        let sketched = self.distinct.count() as f64;
        self.distinct.unite(&source.distinct);
        // In proportion, so that what was exact stays so as long as nothing is new.
        let grown = before * self.distinct.count() as f64 / sketched.max(1.0);
        self.series = grown.clamp(before.max(of_source), before + of_source);
        self.series - before
    }
}

impl UnitedTag {
    fn add(&mut self, source: &TagCardinality, share: f64) {
        self.values.unite(&source.values);
        self.value_bytes += share * source.value_bytes as f64;
    }
}

/// The entry of a name, which takes memory if it is new.
pub(super) fn entry<'m, T: Default>(
    known: &'m mut BTreeMap<Arc<str>, T>,
    name: &Arc<str>,
    held: &mut Reservation,
) -> Result<&'m mut T> {
    if !known.contains_key(name) {
        held.grow(ENTRY_BYTES + name.len())?;
    }
    Ok(known.entry(Arc::clone(name)).or_default())
}

/// The first `top` by count, then by name.
fn ranked(all: impl Iterator<Item = (String, u64)>, top: usize) -> Vec<Ranked> {
    let mut all: Vec<(Reverse<u64>, String)> = all.map(|(name, n)| (Reverse(n), name)).collect();
    if all.len() > top {
        all.select_nth_unstable(top);
        all.truncate(top);
    }
    all.sort_unstable();
    all.into_iter().map(|(Reverse(count), name)| Ranked { name, count }).collect()
}

#[cfg(test)]
mod tests;

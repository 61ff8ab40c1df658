//! The inverted index over the registered series of one namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tsdb_core::hash::HashKey;
use tsdb_core::matcher::TagFilter;
use tsdb_core::{CancelToken, SeriesKey, SeriesRef};

use crate::cardinality::{FrequentPairs, SourceCardinality};
use crate::filter::{Plan, TagSource};
use crate::head::TagIndex;

/// The inverted index over the registered series of one namespace, by measurement. It outlives the
/// namespace, and the series that are evicted, as long as somebody holds it: a snapshot taken before a DROP or an
/// eviction still finds its series.
#[derive(Debug)]
pub struct NamespaceHead {
    hash_key: HashKey,
    by_name: RwLock<BTreeMap<Arc<str>, TagIndex>>,
    series: AtomicU64,
}

impl NamespaceHead {
    /// No series yet. `hash_key` is the data directory's.
    pub(crate) fn new(hash_key: HashKey) -> NamespaceHead {
        NamespaceHead { hash_key, by_name: RwLock::default(), series: AtomicU64::new(0) }
    }

    /// Registered series that match, sorted. `measurements` are exact names, `None` is all of them.
    ///
    /// # Errors
    /// A filter that does not compile, a token that was used.
    pub fn matching(
        &self,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
        cancel: &CancelToken,
    ) -> crate::Result<Vec<SeriesRef>> {
        let plan = Plan::new(filter)?;
        let by_name = self.by_name.read();
        let mut found: Vec<u32> = Vec::new();
        match measurements {
            None => {
                for index in by_name.values() {
                    found.extend(plan.evaluate(index, cancel)?);
                }
            }
            Some(names) => {
                let names: BTreeSet<&Arc<str>> = names.iter().collect();
                for index in names.into_iter().filter_map(|name| by_name.get(name)) {
                    found.extend(plan.evaluate(index, cancel)?);
                }
            }
        }
        found.sort_unstable();
        Ok(found.into_iter().map(SeriesRef).collect())
    }

    /// Number of registered series.
    pub fn series(&self) -> u64 {
        self.series.load(Ordering::Relaxed)
    }

    /// What the registered series are made of. O(measurements · tag keys), and a few nanoseconds for each value of a key
    /// that has values which several series of a measurement share: no series is looked at.
    ///
    /// # Errors
    /// A token that was used.
    pub fn cardinality(&self, cancel: &CancelToken) -> crate::Result<SourceCardinality> {
        let by_name = self.by_name.read();
        let (mut found, mut pairs) = (SourceCardinality::default(), FrequentPairs::default());
        let mut uncounted: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (name, index) in by_name.iter() {
            cancel.check()?;
            let uncounted = |key: &Arc<str>, series: u64| {
                *uncounted.entry(Arc::clone(key)).or_default() += series;
            };
            found.measurements.push(index.cardinality(name, self.hash_key, &mut pairs, uncounted));
        }
        drop(by_name);
        pairs.finish(&mut found);
        found.uncounted_max += uncounted.into_values().max().unwrap_or(0);
        Ok(found)
    }

    pub(crate) fn add(&self, key: &SeriesKey, number: u32, hash: u128) {
        let mut by_name = self.by_name.write();
        if !by_name.contains_key(key.measurement()) {
            by_name.insert(key.measurement().into(), TagIndex::default());
        }
        if let Some(index) = by_name.get_mut(key.measurement()) {
            index.add(number, key, hash, self.hash_key);
            self.series.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The numbers of all series, in no order.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let by_name = self.by_name.read();
        by_name.values().flat_map(|index| index.all().into_owned()).collect()
    }
}

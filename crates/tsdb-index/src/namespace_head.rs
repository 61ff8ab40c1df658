//! The inverted index over the registered series of one namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::RwLock;
use tsdb_core::matcher::TagFilter;
use tsdb_core::{CancelToken, SeriesKey, SeriesRef};

use crate::filter::{Plan, TagSource};
use crate::head::TagIndex;

/// The inverted index over the registered series of one namespace, by measurement. It outlives the
/// namespace, and the series that are evicted, as long as somebody holds it: a snapshot taken before a DROP or an
/// eviction still finds its series.
#[derive(Debug, Default)]
pub struct NamespaceHead(RwLock<BTreeMap<Arc<str>, TagIndex>>);

impl NamespaceHead {
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
        let by_name = self.0.read();
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

    pub(crate) fn add(&self, key: &SeriesKey, number: u32) {
        let mut by_name = self.0.write();
        if !by_name.contains_key(key.measurement()) {
            by_name.insert(key.measurement().into(), TagIndex::default());
        }
        if let Some(index) = by_name.get_mut(key.measurement()) {
            index.add(number, key);
        }
    }

    /// The numbers of all series, in no order.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let by_name = self.0.read();
        by_name.values().flat_map(|index| index.all().into_owned()).collect()
    }
}

//! The view: everything a reader needs to know where rows are, behind one pointer.
//!
//! A snapshot reads the visible number, THEN the view, THEN the lengths of memory blocks, and ignores
//! rows and deletes above the bound that it computes from the first two. Read in another order, a row
//! could be missed at the switch from memory to a run, or seen twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tsdb_core::{Catalogue, NamespaceId, TimeRange};
use tsdb_index::{NamespaceHead, SeriesTable, TimeIndex};

use crate::delete::LiveDelete;
use crate::manifest::{Manifest, SliceId};
use crate::memtable::Generation;
use crate::sst::{Run, Slice};

/// A manifest with its files open.
#[derive(Debug)]
pub(crate) struct Version {
    pub manifest: Manifest,
    runs: BTreeMap<u64, Arc<Run>>,
    times: HashMap<NamespaceId, TimeIndex<SliceId>>,
}

impl Version {
    /// `runs` holds at least the files of the manifest.
    pub(crate) fn new(manifest: Manifest, mut runs: BTreeMap<u64, Arc<Run>>) -> Version {
        runs.retain(|file, _| manifest.files.contains_key(file));
        // invariant: I6: readers see the files of a manifest that is written, and no others.
        assert!(
            runs.keys().eq(manifest.files.keys()),
            "I6: files that are open are not those listed"
        );
        let mut ranges: HashMap<NamespaceId, Vec<(i64, i64, SliceId)>> = HashMap::new();
        for (id, meta) in manifest.slices() {
            ranges.entry(meta.namespace).or_default().push((meta.t_min, meta.t_max, id));
        }
        let times = ranges.into_iter().map(|(id, ranges)| (id, ranges.into_iter().collect()));
        Version { times: times.collect(), manifest, runs }
    }

    pub(crate) fn runs(&self) -> &BTreeMap<u64, Arc<Run>> {
        &self.runs
    }

    /// Live slices of `namespace` with rows in `time`, newest first.
    pub(crate) fn slices(&self, namespace: NamespaceId, time: TimeRange) -> Vec<SliceRef> {
        let found = self.times.get(&namespace).into_iter().flat_map(|t| t.overlapping(time));
        let mut slices: Vec<SliceRef> = found.filter_map(|id| self.slice(id)).collect();
        slices.sort_by_key(|slice| std::cmp::Reverse(slice.get().meta().seq_min));
        slices
    }

    pub(crate) fn slice(&self, id: SliceId) -> Option<SliceRef> {
        let run = self.runs.get(&id.file)?;
        run.slices().get(id.slice as usize)?;
        Some(SliceRef { run: Arc::clone(run), slice: id.slice as usize })
    }
}

/// A slice that keeps its run open.
#[derive(Debug, Clone)]
pub(crate) struct SliceRef {
    run: Arc<Run>,
    slice: usize,
}

impl SliceRef {
    pub(crate) fn get(&self) -> &Slice {
        self.run.slice(self.slice)
    }
}

/// What is live at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub version: Arc<Version>,
    /// Sealed and not yet flushed, oldest first.
    pub sealed: Vec<Arc<Generation>>,
    pub open: Arc<Generation>,
    /// Deletes in order of their numbers, those of the manifest included.
    pub deletes: Vec<Arc<LiveDelete>>,
    pub catalogue: Arc<Catalogue>,
    /// All series with rows in the generations: an eviction changes the table, and this one stays as it is for those who
    /// hold it.
    pub series: Arc<SeriesTable>,
    /// Per namespace of the catalogue the index over its series in memory.
    pub heads: Arc<BTreeMap<NamespaceId, Arc<NamespaceHead>>>,
}

impl View {
    /// Changes the catalogue, and with it the heads, which only ever change together.
    pub(crate) fn set_catalogue(&mut self, catalogue: Catalogue) {
        let heads = catalogue.namespaces().map(|namespace| {
            let known = self.heads.get(&namespace.id).cloned();
            (namespace.id, known.unwrap_or_else(|| self.series.head(namespace.id)))
        });
        self.heads = Arc::new(heads.collect());
        self.catalogue = Arc::new(catalogue);
    }

    /// Changes the table of series, at an eviction.
    pub(crate) fn set_series(&mut self, series: Arc<SeriesTable>) {
        let ids = self.catalogue.namespaces().map(|namespace| namespace.id);
        self.heads = Arc::new(ids.map(|id| (id, series.head(id))).collect());
        self.series = series;
    }

    /// All generations, newest first.
    pub(crate) fn generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        std::iter::once(&self.open).chain(self.sealed.iter().rev())
    }
}

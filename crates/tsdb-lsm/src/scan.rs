//! Scans: a snapshot of the engine answers what is asked of it.
//!
//! `scan/find.rs` finds the series and joins those of all sources, `scan/source.rs` reads one source,
//! `scan/merge.rs` merges the sources of a series, `scan/cursor.rs` goes from series to series.

mod cardinality;
mod cursor;
mod find;
mod merge;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tsdb_core::counters::StorageCounters;
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{
    Cardinality, CardinalityRequest, Estimate, FieldSelection, ScanCounters, SeriesRequest,
    Statistics, TagCount, TagCountRequest, Want, group_series,
};
use tsdb_core::sync::Mutex;
use tsdb_core::time::{MAX_TIME, MIN_TIME};
use tsdb_core::{
    Block, CancelToken, Cursor, Error, NamespaceId, Result, ScanRequest, Selection, SeriesKey,
    Snapshot, TimeRange,
};
use tsdb_index::FieldSets;

use crate::delete::{LiveDelete, SeriesDeletes};
use crate::engine::Shared;
use crate::memtable::{ColumnMap, SeenSet};
use crate::sst::{ReadBuffers, Through};
use crate::view::{SliceRef, View};
use crate::work::Work;
use cursor::{EngineCursor, Scan};
use find::{Found, Matched, Question, RowsOf};
pub(crate) use merge::{MergeOptions, Piece, SeriesMerge};
pub(crate) use source::{RowsWanted, RunSource, Source};

/// One consistent view of an engine.
pub(crate) struct EngineSnapshot {
    view: View,
    /// Rows and deletes with higher numbers are not seen.
    bound: u64,
    field_sets: Arc<FieldSets>,
    counters: Arc<StorageCounters>,
    sizes: Sizes,
    /// What the last estimate found, for the scan that follows it.
    estimated: Mutex<Option<(Question, Arc<Found>)>>,
}

/// Sizes that are measured when a snapshot is taken, since nothing in it knows them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    wal_bytes: u64,
    disk_free_bytes: u64,
    disk_reserve_bytes: u64,
    is_read_only: bool,
}

impl Sizes {
    pub(crate) fn of(shared: &Shared) -> Sizes {
        Sizes {
            wal_bytes: shared.wal.disk_bytes(),
            disk_free_bytes: shared.disk.free(),
            disk_reserve_bytes: shared.disk.reserve(),
            is_read_only: shared.disk.is_short(),
        }
    }
}

/// Where the columns of a scan stand in each source, worked out once.
pub(crate) struct ColumnPlaces {
    memory: Arc<ColumnMap>,
    slices: Vec<Arc<[Option<usize>]>>,
}

/// Places of `columns` among the fields of a slice.
pub(crate) fn field_places(slice: &SliceRef, columns: &[Arc<str>]) -> Arc<[Option<usize>]> {
    let fields = slice.get().fields();
    columns.iter().map(|column| fields.binary_search(column).ok()).collect()
}

impl EngineSnapshot {
    /// Of what `view` holds, what has a number up to `bound`.
    pub(crate) fn new(
        view: View,
        bound: u64,
        field_sets: Arc<FieldSets>,
        counters: Arc<StorageCounters>,
        sizes: Sizes,
    ) -> EngineSnapshot {
        let estimated = Mutex::new(None);
        EngineSnapshot { view, bound, field_sets, counters, sizes, estimated }
    }

    /// Times of `namespace` that have not expired.
    fn alive(&self, namespace: NamespaceId, time: TimeRange) -> Result<TimeRange> {
        let found = self.view.catalogue.by_id(namespace);
        let cutoff = found.ok_or(Error::NamespaceNotFound { id: namespace.0 })?.cutoff;
        Ok(TimeRange::new(time.start.max(cutoff).max(MIN_TIME), time.end))
    }

    fn deletes(&self, namespace: NamespaceId) -> Vec<Arc<LiveDelete>> {
        let seen = self
            .view
            .deletes
            .iter()
            .filter(|d| d.request.namespace == namespace && d.seq <= self.bound);
        seen.cloned().collect()
    }

    /// What a scan reads: what its estimate found, if it was asked for just before.
    fn find_for(&self, request: &ScanRequest) -> Result<Arc<Found>> {
        request.cancel.check()?;
        let question = question(request);
        let estimated = self.estimated.lock().take();
        match estimated {
            Some((asked, found)) if asked == question => Ok(found),
            _ => {
                let work = Work::new(&request.budget, &request.cancel)?;
                Ok(Arc::new(self.find(&question, work)?))
            }
        }
    }

    /// The columns of a scan.
    fn columns(&self, request: &ScanRequest, found: &Found) -> Result<Arc<[Arc<str>]>> {
        match &request.fields {
            FieldSelection::Named(names) => Ok(names.as_slice().into()),
            FieldSelection::All => {
                let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
                for series in &found.series {
                    let measurement = series.key.measurement();
                    if !names.contains(measurement) {
                        names.insert(measurement.into());
                    }
                }
                let all = Question {
                    measurements: Some(names.into_iter().collect()),
                    time: TimeRange::all(),
                    ..question(request)
                };
                let work = Work::new(&request.budget, &request.cancel)?;
                Ok(self.field_names(&all, work)?.into_iter().collect())
            }
        }
    }

    /// Names of the fields that visible rows of the series that `question` asks for have.
    fn field_names(&self, question: &Question, mut work: Work) -> Result<BTreeSet<Arc<str>>> {
        let cancel = work.cancel().clone();
        if question.filter == TagFilter::True
            && let Some(names) = self.field_names_of_all(question, &mut work)?
        {
            return Ok(names);
        }
        let found = self.find(question, work)?;
        let sources = &found.sources;
        let mut certain: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut doubtful: BTreeSet<Arc<str>> = BTreeSet::new();
        for (_, index) in &sources.indexes {
            let names = if sources.deletes.is_empty() { &mut certain } else { &mut doubtful };
            for set in index.field_sets().filter_map(|set| self.field_sets.get(set)) {
                names.extend(set.names().iter().cloned());
            }
        }
        // Per slice the fields that are known of already, as certain and as doubtful ones.
        let mut known: Vec<[Vec<bool>; 2]> = Vec::new();
        known.extend(sources.slices.iter().map(|slice| {
            let none = vec![false; slice.get().fields().len()];
            [none.clone(), none]
        }));
        let mut buffers = ReadBuffers::default();
        for series in &found.series {
            cancel.check()?;
            let deletes = SeriesDeletes::of(&series.key, &sources.deletes);
            for rows in found.rows_of(series) {
                let RowsOf::Run(place, ordinal) = rows else { continue };
                let slice = sources.slices.get(place).map(SliceRef::get);
                let Some((slice, known)) = slice.zip(known.get_mut(place)) else { continue };
                let whole = slice.meta().t_min >= sources.time.start
                    && slice.meta().t_max < sources.time.end;
                let is_certain = whole && deletes.for_slice(slice.meta()).is_empty();
                let [certainly, perhaps] = known;
                let (known, names) = match is_certain {
                    true => (certainly, &mut certain),
                    false => (perhaps, &mut doubtful),
                };
                let all = TimeRange::all();
                let chunks = slice.chunks(ordinal, all, Through::Cache, &mut buffers)?;
                for field in chunks.iter().flat_map(|chunk| slice.chunk_fields(chunk)) {
                    if let Some(known @ false) = known.get_mut(field)
                        && let Some(name) = slice.fields().get(field)
                    {
                        *known = true;
                        names.insert(Arc::clone(name));
                    }
                }
            }
        }
        // What only sources with hidden rows have is looked for row by row.
        for name in doubtful.difference(&certain.clone()) {
            let columns: Arc<[Arc<str>]> = [Arc::clone(name)].into();
            if self.has_row(&found, &found.series, &columns, &cancel)? {
                certain.insert(Arc::clone(name));
            }
        }
        Ok(certain)
    }

    /// Names of the fields that visible rows of measurements have, if the roots of the slices and what the generations
    /// have seen tell: without looking for their series. `None` where a field is only known of sources that have hidden
    /// rows too.
    fn field_names_of_all(
        &self,
        question: &Question,
        work: &mut Work,
    ) -> Result<Option<BTreeSet<Arc<str>>>> {
        let time = self.alive(question.namespace, question.time)?;
        let deletes = self.deletes(question.namespace);
        let (mut certain, mut doubtful) = (BTreeSet::new(), BTreeSet::new());
        let measurements = question.measurements.as_deref();
        for generation in self.view.generations().filter(|g| g.may_overlap(time)) {
            let table = &self.view.series;
            let seen = generation.field_sets(table, question.namespace, measurements, work)?;
            let Some(seen) = seen else { return Ok(None) };
            let bound = generation.relative(self.bound);
            for SeenSet { set, time: at, seq } in seen {
                let is_shown = seq <= bound && time.contains(at) && deletes.is_empty();
                let names = if is_shown { &mut certain } else { &mut doubtful };
                names.extend(self.field_sets.get(set).iter().flat_map(|set| set.names()).cloned());
            }
        }
        for slice in self.view.version.slices(question.namespace, time) {
            work.step()?;
            let slice = slice.get();
            let meta = slice.meta();
            let whole = meta.t_min >= time.start && meta.t_max < time.end;
            let applies = |delete: &Arc<LiveDelete>| delete.seq > meta.seq_min;
            let is_certain = whole && !deletes.iter().any(applies);
            let names = if is_certain { &mut certain } else { &mut doubtful };
            let firsts: Vec<u32> = match &question.measurements {
                None => slice.index().measurements().map(|(_, series)| series.start).collect(),
                Some(wanted) => {
                    let ranges = wanted.iter().map(|name| slice.index().measurement(name));
                    ranges.filter(|series| !series.is_empty()).map(|series| series.start).collect()
                }
            };
            names.extend(
                firsts.iter().flat_map(|first| slice.fields_of_measurement(*first)).cloned(),
            );
        }
        Ok(doubtful.is_subset(&certain).then_some(certain))
    }

    /// Whether any of `series` has a visible row with one of `columns`.
    fn has_row<'s>(
        &self,
        found: &Found,
        series: impl IntoIterator<Item = &'s Matched>,
        columns: &Arc<[Arc<str>]>,
        cancel: &CancelToken,
    ) -> Result<bool> {
        let (mut block, mut buffers) = (Block::new(), ReadBuffers::default());
        let mut work = Work::of_the_engine();
        let places = ColumnPlaces::new(columns, &found.sources, &self.field_sets, &mut work)?;
        for series in series {
            cancel.check()?;
            let order = MergeOptions::rows().order;
            let sources = found.open(series, &places, order, &mut buffers)?;
            let mut merge = SeriesMerge::new(sources, MergeOptions::rows());
            if merge.next(0, columns.len(), &mut block, &mut buffers).map_err(Error::from)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All fields of all slices and generations, for scans that look for any row at all.
    fn any_columns(&self, found: &Found) -> Arc<[Arc<str>]> {
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        for slice in &found.sources.slices {
            names.extend(slice.get().fields().iter().cloned());
        }
        for (_, index) in &found.sources.indexes {
            let sets = index.field_sets().filter_map(|set| self.field_sets.get(set));
            names.extend(sets.flat_map(|set| set.names().to_vec()));
        }
        names.into_iter().collect()
    }
}

fn question(request: &ScanRequest) -> Question {
    Question {
        namespace: request.namespace,
        measurements: Some(request.measurements.clone()),
        filter: request.filter.clone(),
        time: request.time,
    }
}

fn question_of_names(request: &SeriesRequest) -> Question {
    Question {
        namespace: request.namespace,
        measurements: request.measurements.clone(),
        filter: request.filter.clone(),
        time: request.time,
    }
}

impl Snapshot for EngineSnapshot {
    fn select(&self, request: &ScanRequest) -> Result<Selection> {
        let found = self.find_for(request)?;
        let columns = self.columns(request, &found)?;
        let mut work = Work::new(&request.budget, &request.cancel)?;
        let places = ColumnPlaces::new(&columns, &found.sources, &self.field_sets, &mut work)?;
        let keys: Vec<SeriesKey> = found.series.iter().map(|series| series.key.clone()).collect();
        let (series, groups) =
            group_series(keys, &request.group_by, &mut |bytes| work.hold(bytes))?;
        let counters = Arc::new(ScanCounters::default());
        counters.series_matched.add(series.len() as u64);
        let held = found.held.iter().cloned().chain(work.finish().map(Arc::new)).collect();
        let scan = Arc::new(Scan {
            options: options(request, &columns),
            columns: columns.len(),
            limit: request.limit_per_series.unwrap_or(u64::MAX),
            cancel: request.cancel.clone(),
            counters: Arc::clone(&self.counters),
            scan_counters: Arc::clone(&counters),
            found,
            places,
        });
        let count = series.len();
        let per_part = count.div_ceil(request.parts.clamp(1, count.max(1))).max(1);
        let cursors = (0..count).step_by(per_part).map(|start| {
            let part = start..(start + per_part).min(count);
            Box::new(EngineCursor::new(&scan, part)) as Box<dyn Cursor>
        });
        Ok(Selection { columns, series, groups, cursors: cursors.collect(), counters, held })
    }

    fn estimate(&self, request: &ScanRequest) -> Result<Estimate> {
        let found = self.find_for(request)?;
        let sources = &found.sources;
        let mut estimate = Estimate { t_min: MAX_TIME, t_max: MIN_TIME, ..Estimate::default() };
        let mut used: BTreeSet<(bool, usize)> = BTreeSet::new();
        let mut buffers = ReadBuffers::default();
        for (place, series) in found.series.iter().enumerate() {
            if place.is_multiple_of(1024) {
                request.cancel.check()?;
            }
            let mut rows = 0;
            let extend = |estimate: &mut Estimate, min: i64, max: i64| {
                estimate.t_min = estimate.t_min.min(min.max(sources.time.start));
                estimate.t_max = estimate.t_max.max(max.min(sources.time.end - 1));
            };
            for part in found.rows_of(series) {
                match part {
                    RowsOf::Run(place, ordinal) => {
                        let slice = sources.slices.get(place).map(SliceRef::get);
                        let Some(slice) = slice else { continue };
                        let time = sources.time;
                        for chunk in slice.chunks(ordinal, time, Through::Cache, &mut buffers)? {
                            rows += u64::from(chunk.rows);
                            estimate.chunks += 1;
                            used.insert((true, place));
                            extend(&mut estimate, chunk.t_min, chunk.t_max);
                        }
                    }
                    RowsOf::Memory(place, number) => {
                        let Some((_, index)) = sources.indexes.get(place) else { continue };
                        let places = index.places(number);
                        rows += places.len() as u64;
                        used.insert((false, place));
                        if let (Some(first), Some(last)) = (places.first(), places.last()) {
                            extend(&mut estimate, first.time, last.time);
                        }
                    }
                }
            }
            estimate.rows += rows;
            estimate.series += u64::from(rows > 0);
        }
        estimate.runs = used.len() as u64;
        *self.estimated.lock() = Some((question(request), found));
        Ok(estimate)
    }

    fn series(&self, request: &SeriesRequest) -> Result<Vec<SeriesKey>> {
        let work = Work::new(&request.budget, &request.cancel)?;
        let found = self.find(&question_of_names(request), work)?;
        let limit = request.limit.unwrap_or(usize::MAX);
        let columns = self.any_columns(&found);
        let mut alive = Vec::new();
        let mut buffers = ReadBuffers::default();
        for series in &found.series {
            if alive.len() >= limit {
                break;
            }
            request.cancel.check()?;
            if found.is_surely_alive(series, &mut buffers)?
                || self.has_row(&found, [series], &columns, &request.cancel)?
            {
                alive.push(series.key.clone());
            }
        }
        Ok(alive)
    }

    fn fields(&self, request: &SeriesRequest) -> Result<Vec<Arc<str>>> {
        let work = Work::new(&request.budget, &request.cancel)?;
        Ok(self.field_names(&question_of_names(request), work)?.into_iter().collect())
    }

    fn cardinality(&self, request: &CardinalityRequest) -> Result<Cardinality> {
        self.count_series(request)
    }

    fn estimate_tags(&self, request: &TagCountRequest<'_>) -> Result<Option<Vec<TagCount>>> {
        self.count_tags(request)
    }

    fn statistics(&self) -> Statistics {
        let manifest = &self.view.version.manifest;
        Statistics {
            series: self.view.series.len() as u64,
            memory_rows: self.view.generations().map(|generation| generation.rows()).sum(),
            runs: manifest.files.len() as u64,
            run_bytes: manifest.files.values().map(|file| file.meta.bytes).sum(),
            run_rows: manifest.slices().map(|(_, meta)| meta.rows).sum(),
            wal_bytes: self.sizes.wal_bytes,
            live_deletes: self.view.deletes.len() as u64,
            visible: self.bound,
            disk_free_bytes: self.sizes.disk_free_bytes,
            disk_reserve_bytes: self.sizes.disk_reserve_bytes,
            is_read_only: self.sizes.is_read_only,
        }
    }
}

fn options(request: &ScanRequest, columns: &[Arc<str>]) -> MergeOptions {
    let by_name: BTreeMap<&Arc<str>, usize> = columns.iter().zip(0..).collect();
    // A predicate on a field that is no column of the scan cannot prune: the scan does not look at it.
    let predicates = request.predicates.iter().filter_map(|predicate| {
        by_name.get(&predicate.field).map(|column| (*column, predicate.clone()))
    });
    MergeOptions {
        order: request.order,
        // A limit counts rows, and a summary has none to count.
        want: if request.limit_per_series.is_some() { Want::Rows } else { request.want },
        windows: request.windows,
        copies: false,
        predicates: if request.limit_per_series.is_some() {
            Vec::new()
        } else {
            predicates.collect()
        },
    }
}

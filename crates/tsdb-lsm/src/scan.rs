//! Scans: joins the matched series of all sources of a snapshot, and reads them block by block.

mod merge;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::counters::StorageCounters;
use tsdb_core::matcher::TagFilter;
use tsdb_core::storage::{
    Estimate, FieldSelection, ScanCounters, SeriesRequest, Statistics, Want, group_series,
};
use tsdb_core::time::{MAX_TIME, MIN_TIME};
use tsdb_core::{
    Block, CancelToken, Cursor, Error, NamespaceId, Pool, Reservation, ScanRequest, Selection,
    SeriesKey, SeriesRef, Snapshot, TimeRange,
};
use tsdb_index::{FieldSets, Registry};

use crate::delete::{LiveDelete, SeriesDeletes};
use crate::memtable::{ColumnMap, Generation, RowIndex, Wanted};
use crate::view::{SliceRef, View};
use merge::MergeCounts;
pub(crate) use merge::{MergeOptions, SeriesMerge};
pub(crate) use source::{MemorySource, RunSource, Source};

/// One consistent view of an engine.
pub(crate) struct EngineSnapshot {
    pub view: View,
    /// Rows and deletes with higher numbers are not seen.
    pub bound: u64,
    pub registry: Arc<Registry>,
    pub field_sets: Arc<FieldSets>,
    pub counters: Arc<StorageCounters>,
    pub wal_bytes: u64,
}

/// Where the rows of a matched series are.
struct Matched {
    key: SeriesKey,
    /// Generation by its place (newest first), and the series there.
    memory: Vec<(usize, SeriesRef)>,
    /// Slice by its place (newest first), and the series' ordinal there.
    runs: Vec<(usize, u32)>,
}

/// Sources of a scan that are the same for all its series.
struct Sources {
    indexes: Vec<(Arc<Generation>, Arc<RowIndex>)>,
    slices: Vec<SliceRef>,
    deletes: Vec<Arc<LiveDelete>>,
    time: TimeRange,
}

impl EngineSnapshot {
    /// Times of `namespace` that have not expired.
    fn alive(&self, namespace: NamespaceId, time: TimeRange) -> tsdb_core::Result<TimeRange> {
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

    /// Finds the series that match, in key order, and where their rows are.
    fn find(
        &self,
        namespace: NamespaceId,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
        time: TimeRange,
    ) -> tsdb_core::Result<(Sources, Vec<Matched>)> {
        let time = self.alive(namespace, time)?;
        let slices = self.view.version.slices(namespace, time);
        let mut sources =
            Sources { indexes: Vec::new(), slices, deletes: self.deletes(namespace), time };
        let mut joined: HashMap<u128, Matched, foldhash::fast::RandomState> = HashMap::default();
        let entry = |key: SeriesKey| Matched { key, memory: Vec::new(), runs: Vec::new() };
        if !time.is_empty() {
            let head = self.view.heads.get(&namespace);
            let wanted = head.map(|head| head.matching(measurements, filter)).transpose();
            let wanted = wanted.map_err(invalid)?.unwrap_or_default();
            for generation in self.view.generations().filter(|g| g.may_overlap(time)) {
                let index = generation.index(&Wanted::These(&wanted), self.bound, time);
                if index.rows() == 0 {
                    continue;
                }
                let place = sources.indexes.len();
                for series in index.series() {
                    let Some((_, key)) = self.registry.key(series) else { continue };
                    let hash = self.registry.hash(series);
                    joined.entry(hash).or_insert_with(|| entry(key)).memory.push((place, series));
                }
                sources.indexes.push((Arc::clone(generation), Arc::new(index)));
            }
        }
        for (place, slice) in sources.slices.iter().enumerate() {
            let index = slice.get().index();
            for ordinal in index.matching(measurements, filter).map_err(invalid)? {
                let matched =
                    joined.entry(index.hash(ordinal)).or_insert_with(|| entry(index.key(ordinal)));
                matched.runs.push((place, ordinal));
            }
        }
        let mut matched: Vec<Matched> = joined.into_values().collect();
        matched.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok((sources, matched))
    }

    /// The columns of a scan.
    fn columns(
        &self,
        fields: &FieldSelection,
        namespace: NamespaceId,
        matched: &[Matched],
        filter: &TagFilter,
    ) -> tsdb_core::Result<Arc<[Arc<str>]>> {
        match fields {
            FieldSelection::Named(names) => Ok(names.as_slice().into()),
            FieldSelection::All => {
                let measurements: BTreeSet<Arc<str>> =
                    matched.iter().map(|m| Arc::from(m.key.measurement())).collect();
                let names: Vec<Arc<str>> = measurements.into_iter().collect();
                let all = self.field_names(namespace, &names, filter)?;
                Ok(all.into_iter().collect())
            }
        }
    }

    /// Names of the fields that visible rows of the matching series have.
    fn field_names(
        &self,
        namespace: NamespaceId,
        measurements: &[Arc<str>],
        filter: &TagFilter,
    ) -> tsdb_core::Result<BTreeSet<Arc<str>>> {
        let (sources, matched) =
            self.find(namespace, Some(measurements), filter, TimeRange::all())?;
        let mut certain: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut doubtful: BTreeSet<Arc<str>> = BTreeSet::new();
        for series in &matched {
            let deletes = SeriesDeletes::of(&series.key, &sources.deletes);
            for (place, ordinal) in &series.runs {
                let Some(slice) = sources.slices.get(*place).map(SliceRef::get) else { continue };
                let hidden = deletes.for_slice(slice.meta());
                let whole = slice.meta().t_min >= sources.time.start
                    && slice.meta().t_max < sources.time.end;
                let found = if hidden.is_empty() && whole { &mut certain } else { &mut doubtful };
                let fields = slice.chunks(*ordinal).iter().flat_map(|c| slice.chunk_fields(c));
                for name in fields.filter_map(|field| slice.fields().get(field)) {
                    if !found.contains(name) {
                        found.insert(Arc::clone(name));
                    }
                }
            }
            for (place, number) in &series.memory {
                let Some((_, index)) = sources.indexes.get(*place) else { continue };
                let found = if deletes.is_empty() { &mut certain } else { &mut doubtful };
                let mut previous = None;
                for place in index.places(*number) {
                    let set = index.row(*place).map(|(block, row)| block.field_set(row));
                    if set != previous
                        && let Some(set) = set.and_then(|set| self.field_sets.get(set))
                    {
                        found.extend(set.names().iter().cloned());
                    }
                    previous = set;
                }
            }
        }
        // What only sources with hidden rows have is looked for row by row.
        for name in doubtful.difference(&certain.clone()) {
            let columns: Arc<[Arc<str>]> = [Arc::clone(name)].into();
            if self.first_row(&sources, &matched, &columns)? {
                certain.insert(Arc::clone(name));
            }
        }
        Ok(certain)
    }

    /// Whether any of `matched` has a visible row with one of `columns`.
    fn first_row(
        &self,
        sources: &Sources,
        matched: &[Matched],
        columns: &Arc<[Arc<str>]>,
    ) -> tsdb_core::Result<bool> {
        let (mut block, mut scratch) = (Block::new(), Vec::new());
        let mut maps = ColumnPlaces::new(columns, sources, &self.field_sets);
        for series in matched {
            let found = sources.sources(series, &mut maps, MergeOptions::rows().order);
            let mut merge = SeriesMerge::new(found, MergeOptions::rows());
            if merge.next(0, columns.len(), &mut block, &mut scratch).map_err(Error::from)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `series` surely has a visible row, without reading one.
    fn surely_alive(sources: &Sources, series: &Matched, deletes: &SeriesDeletes) -> bool {
        if deletes.is_empty() && !series.memory.is_empty() {
            return true;
        }
        series.runs.iter().any(|(place, ordinal)| {
            let Some(slice) = sources.slices.get(*place).map(SliceRef::get) else { return false };
            let time = sources.time;
            deletes.for_slice(slice.meta()).is_empty()
                && slice.chunks(*ordinal).iter().any(|chunk| {
                    // A chunk's first and last row exist, so one of them inside is enough.
                    time.contains(chunk.t_min) || time.contains(chunk.t_max)
                })
        })
    }

    /// All fields of all slices and generations, for scans that look for any row at all.
    fn any_columns(&self, sources: &Sources) -> Arc<[Arc<str>]> {
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        for slice in &sources.slices {
            names.extend(slice.get().fields().iter().cloned());
        }
        for (_, index) in &sources.indexes {
            names.extend(fields_of(index, &self.field_sets));
        }
        names.into_iter().collect()
    }
}

fn fields_of(index: &RowIndex, known: &FieldSets) -> BTreeSet<Arc<str>> {
    let mut sets = BTreeSet::new();
    for series in index.series() {
        sets.extend(
            index.places(series).iter().filter_map(|p| index.row(*p)).map(|(b, r)| b.field_set(r)),
        );
    }
    let sets = sets.into_iter().filter_map(|set| known.get(set));
    sets.flat_map(|set| set.names().to_vec()).collect()
}

fn invalid(error: tsdb_index::Error) -> Error {
    Error::Invalid { what: error.to_string() }
}

/// Where the columns of a scan stand in each source, worked out once.
pub(crate) struct ColumnPlaces {
    memory: Arc<ColumnMap>,
    slices: Vec<Arc<[Option<usize>]>>,
}

impl ColumnPlaces {
    fn new(columns: &Arc<[Arc<str>]>, sources: &Sources, known: &FieldSets) -> ColumnPlaces {
        let mut memory = ColumnMap::new(Arc::clone(columns));
        for (_, index) in &sources.indexes {
            for series in index.series() {
                for place in index.places(series) {
                    if let Some((block, row)) = index.row(*place) {
                        memory.learn(block.field_set(row), known);
                    }
                }
            }
        }
        let slices = sources.slices.iter().map(|slice| field_places(slice, columns)).collect();
        ColumnPlaces { memory: Arc::new(memory), slices }
    }
}

/// Places of `columns` among the fields of a slice.
pub(crate) fn field_places(slice: &SliceRef, columns: &[Arc<str>]) -> Arc<[Option<usize>]> {
    let fields = slice.get().fields();
    columns.iter().map(|column| fields.binary_search(column).ok()).collect()
}

impl Sources {
    /// Sources of one series, newest first.
    fn sources(
        &self,
        series: &Matched,
        places: &mut ColumnPlaces,
        order: tsdb_core::storage::Order,
    ) -> Vec<Source> {
        let deletes = SeriesDeletes::of(&series.key, &self.deletes);
        let mut sources = Vec::with_capacity(series.memory.len() + series.runs.len());
        for (place, number) in &series.memory {
            let Some((generation, index)) = self.indexes.get(*place) else { continue };
            let found: Arc<[_]> = index.places(*number).into();
            sources.push(Source::Memory(MemorySource {
                index: Arc::clone(index),
                rest: 0..found.len(),
                places: found,
                map: Arc::clone(&places.memory),
                deletes: deletes.for_generation(generation),
                order,
            }));
        }
        for (place, ordinal) in &series.runs {
            let (Some(slice), Some(fields)) = (self.slices.get(*place), places.slices.get(*place))
            else {
                continue;
            };
            let mut source = RunSource {
                slice: slice.clone(),
                series: *ordinal,
                fields: Arc::clone(fields),
                time: self.time,
                hidden: deletes.for_slice(slice.get().meta()),
                order,
                rest: 0..0,
            };
            source.seek();
            sources.push(Source::Run(source));
        }
        sources
    }
}

impl Snapshot for EngineSnapshot {
    fn select(&self, request: &ScanRequest) -> tsdb_core::Result<Selection> {
        request.cancel.check()?;
        let (sources, matched) = self.find(
            request.namespace,
            Some(&request.measurements),
            &request.filter,
            request.time,
        )?;
        let columns =
            self.columns(&request.fields, request.namespace, &matched, &request.filter)?;
        let held: usize = sources.indexes.iter().map(|(_, index)| index.bytes()).sum();
        let held = held + matched.len() * MATCHED_BYTES;
        let reservation = Arc::new(request.budget.reserve(Pool::Queries, held)?);
        let places = ColumnPlaces::new(&columns, &sources, &self.field_sets);
        let keys = matched.iter().map(|m| m.key.clone()).collect();
        let (series, groups) = group_series(keys, &request.group_by);
        let scan_counters = Arc::new(ScanCounters::default());
        scan_counters.series_matched.add(series.len() as u64);
        let shared = Arc::new(Scan {
            sources,
            options: options(request, &columns),
            columns: columns.len(),
            limit: request.limit_per_series.unwrap_or(u64::MAX),
            cancel: request.cancel.clone(),
            counters: Arc::clone(&self.counters),
            scan_counters: Arc::clone(&scan_counters),
            _reservation: reservation,
        });
        let parts = request.parts.clamp(1, matched.len().max(1));
        let per_part = matched.len().div_ceil(parts).max(1);
        let mut cursors: Vec<Box<dyn Cursor>> = Vec::new();
        let mut waiting = matched.into_iter().zip(0u32..);
        loop {
            let part: Vec<(Matched, u32)> = waiting.by_ref().take(per_part).collect();
            if part.is_empty() {
                break;
            }
            cursors.push(Box::new(EngineCursor {
                scan: Arc::clone(&shared),
                places: ColumnPlaces {
                    memory: Arc::clone(&places.memory),
                    slices: places.slices.clone(),
                },
                series: part.into_iter(),
                current: None,
                scratch: Vec::new(),
            }));
        }
        Ok(Selection { columns, series, groups, cursors, counters: scan_counters })
    }

    fn estimate(&self, request: &ScanRequest) -> tsdb_core::Result<Estimate> {
        let (sources, matched) = self.find(
            request.namespace,
            Some(&request.measurements),
            &request.filter,
            request.time,
        )?;
        let mut estimate = Estimate { t_min: MAX_TIME, t_max: MIN_TIME, ..Estimate::default() };
        let mut used: BTreeSet<(bool, usize)> = BTreeSet::new();
        for series in &matched {
            let mut rows = 0;
            let extend = |estimate: &mut Estimate, min: i64, max: i64| {
                estimate.t_min = estimate.t_min.min(min.max(sources.time.start));
                estimate.t_max = estimate.t_max.max(max.min(sources.time.end - 1));
            };
            for (place, ordinal) in &series.runs {
                let Some(slice) = sources.slices.get(*place).map(SliceRef::get) else { continue };
                for chunk in slice.chunks(*ordinal) {
                    if chunk.t_min < sources.time.end && chunk.t_max >= sources.time.start {
                        rows += u64::from(chunk.rows);
                        estimate.chunks += 1;
                        used.insert((true, *place));
                        extend(&mut estimate, chunk.t_min, chunk.t_max);
                    }
                }
            }
            for (place, number) in &series.memory {
                let Some((_, index)) = sources.indexes.get(*place) else { continue };
                let places = index.places(*number);
                rows += places.len() as u64;
                used.insert((false, *place));
                if let (Some(first), Some(last)) = (places.first(), places.last()) {
                    extend(&mut estimate, index.time(*first), index.time(*last));
                }
            }
            estimate.rows += rows;
            estimate.series += u64::from(rows > 0);
        }
        estimate.runs = used.len() as u64;
        Ok(estimate)
    }

    fn series(&self, request: &SeriesRequest) -> tsdb_core::Result<Vec<SeriesKey>> {
        request.cancel.check()?;
        let (sources, matched) = self.find(
            request.namespace,
            request.measurements.as_deref(),
            &request.filter,
            request.time,
        )?;
        let limit = request.limit.unwrap_or(usize::MAX);
        let columns = self.any_columns(&sources);
        let mut alive = Vec::new();
        for series in matched {
            if alive.len() >= limit {
                break;
            }
            request.cancel.check()?;
            let deletes = SeriesDeletes::of(&series.key, &sources.deletes);
            if Self::surely_alive(&sources, &series, &deletes)
                || self.first_row(&sources, std::slice::from_ref(&series), &columns)?
            {
                alive.push(series.key);
            }
        }
        Ok(alive)
    }

    fn fields(
        &self,
        namespace: NamespaceId,
        measurement: &str,
    ) -> tsdb_core::Result<Vec<Arc<str>>> {
        let names = self.field_names(namespace, &[Arc::from(measurement)], &TagFilter::True)?;
        Ok(names.into_iter().collect())
    }

    fn statistics(&self) -> Statistics {
        let manifest = &self.view.version.manifest;
        Statistics {
            series: self.registry.len() as u64,
            memory_rows: self.view.generations().map(|generation| generation.rows()).sum(),
            runs: manifest.files.len() as u64,
            run_bytes: manifest.files.values().map(|file| file.meta.bytes).sum(),
            run_rows: manifest.slices().map(|(_, meta)| meta.rows).sum(),
            wal_bytes: self.wal_bytes,
            live_deletes: self.view.deletes.len() as u64,
            visible: self.bound,
        }
    }
}

/// Memory of one matched series in a scan, without its key, which is shared.
const MATCHED_BYTES: usize = 160;

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
        predicates: if request.limit_per_series.is_some() {
            Vec::new()
        } else {
            predicates.collect()
        },
    }
}

/// What the cursors of one scan share.
struct Scan {
    sources: Sources,
    options: MergeOptions,
    columns: usize,
    limit: u64,
    cancel: CancelToken,
    /// Those of the engine, and those of this scan.
    counters: Arc<StorageCounters>,
    scan_counters: Arc<ScanCounters>,
    _reservation: Arc<Reservation>,
}

impl Scan {
    /// Adds what reading one series took.
    fn count(&self, counts: MergeCounts) {
        self.counters.chunks_from_summary.add(counts.summarised);
        self.counters.chunks_decoded.add(counts.decoded);
        self.counters.chunks_pruned.add(counts.pruned);
        self.counters.pages_read.add(counts.pages);
        self.scan_counters.chunks_summarised.add(counts.summarised);
        self.scan_counters.chunks_read.add(counts.decoded);
        self.scan_counters.chunks_skipped.add(counts.pruned);
        self.scan_counters.rows_scanned.add(counts.rows);
        self.scan_counters.bytes_read.add(counts.bytes);
    }
}

struct EngineCursor {
    scan: Arc<Scan>,
    places: ColumnPlaces,
    series: std::vec::IntoIter<(Matched, u32)>,
    current: Option<Current>,
    scratch: Vec<u8>,
}

struct Current {
    number: u32,
    merge: SeriesMerge,
    left: u64,
}

impl Cursor for EngineCursor {
    fn next(&mut self, block: &mut Block) -> tsdb_core::Result<bool> {
        loop {
            self.scan.cancel.check()?;
            let Some(current) = &mut self.current else {
                let Some((matched, number)) = self.series.next() else {
                    block.reset(0, self.scan.columns);
                    return Ok(false);
                };
                let options = self.scan.options.clone();
                let sources = self.scan.sources.sources(&matched, &mut self.places, options.order);
                let merge = SeriesMerge::new(sources, options);
                self.current = Some(Current { number, merge, left: self.scan.limit });
                continue;
            };
            let (number, columns) = (current.number, self.scan.columns);
            let more = current.left > 0
                && current
                    .merge
                    .next(number, columns, block, &mut self.scratch)
                    .map_err(Error::from)?;
            if !more {
                self.scan.count(current.merge.counts);
                self.current = None;
                continue;
            }
            if block.len() as u64 > current.left {
                truncate(block, usize::try_from(current.left).unwrap_or(usize::MAX));
            }
            current.left -= block.len() as u64;
            return Ok(true);
        }
    }
}

/// Keeps the first `rows` rows.
fn truncate(block: &mut Block, rows: usize) {
    let times: Vec<i64> = block.times.iter().take(rows).collect();
    for column in &mut block.columns {
        let old = std::mem::take(column);
        column.fill((0..rows).map(|row| old.get(row)));
    }
    block.times = tsdb_core::TimeColumn::Stamps(times);
}

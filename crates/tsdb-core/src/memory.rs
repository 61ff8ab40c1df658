//! [`MemoryStore`]: a thread-safe store of plain ordered maps.
//!
//! It is the smallest whole implementation of the storage seam: the oracle that engines are compared
//! with, a store for tests and examples, and the blueprint's in-memory storage. It keeps nothing on disk
//! and answers everything by walking its maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalogue::PolicySpec;
use crate::limits::BLOCK_ROWS_MAX;
use crate::matcher::CompiledFilter;
use crate::storage::{
    Append, Block, Cursor, DeleteRequest, Estimate, FieldSelection, Maintain, Order, Resolution,
    ScanCounters, ScanRequest, Select, Selection, SeriesRequest, Snapshot, Statistics, TimeColumn,
    append_points, group_series,
};
use crate::time::{MAX_TIME, MIN_TIME, check_time};
use crate::{
    Catalogue, CatalogueChange, DataPoint, Epoch, Error, FieldSet, FieldSetRef, NAME_TAG,
    NamespaceId, Pool, Result, SeriesKey, SeriesRef, Tags, Ticket, TimeRange, WriteBatch,
};

/// Database that [`MemoryStore::insert`] writes to.
pub const DEFAULT_DATABASE: &str = "default";

type Fields = BTreeMap<Arc<str>, f64>;
type Rows = BTreeMap<i64, Fields>;
type Namespace = BTreeMap<SeriesKey, Rows>;

#[derive(Debug, Default)]
struct State {
    seq: u64,
    epoch: u64,
    closed: bool,
    catalogue: Arc<Catalogue>,
    series: Vec<(NamespaceId, SeriesKey)>,
    series_refs: BTreeMap<(NamespaceId, SeriesKey), SeriesRef>,
    field_sets: Vec<FieldSet>,
    field_set_refs: BTreeMap<FieldSet, FieldSetRef>,
    /// Snapshots share it; a write copies it when one is alive.
    rows: Arc<BTreeMap<NamespaceId, Namespace>>,
}

/// A store in memory. Writers take turns; a snapshot costs O(1) and the next write after it O(rows).
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Inserts one point of the series `name` into the database `default`, which is created
    /// if need be. Points may come in any order; the same series and timestamp again overwrites.
    ///
    /// # Errors
    /// An empty name, a name or tag that is not allowed, a timestamp out of range.
    pub fn insert(&self, name: &str, point: DataPoint) -> Result<()> {
        let namespace = self.default_namespace()?;
        append_points(self, namespace, Some(name), &[point])?.wait().map(|_| ())
    }

    /// Points of all series `name` within `time` that [`MemoryStore::insert`] took, in order of tags and
    /// time, each with the reserved name tag left out.
    ///
    /// # Errors
    /// A closed store.
    pub fn points(&self, name: &str, time: TimeRange) -> Result<Vec<DataPoint>> {
        let namespace = self.default_namespace()?;
        let state = self.open()?;
        let mut points = Vec::new();
        let Some(series) = state.rows.get(&namespace) else { return Ok(points) };
        for (key, rows) in series.iter().filter(|(key, _)| key.measurement() == name) {
            let tags = Tags::with_charset(
                key.tags().filter(|(k, _)| *k != NAME_TAG),
                crate::TagCharset::Utf8,
            )?;
            for (timestamp, fields) in rows.range(time.start..time.end.max(time.start)) {
                points.extend(fields.get("value").map(|value| DataPoint {
                    timestamp: *timestamp,
                    value: *value,
                    tags: tags.clone(),
                }));
            }
        }
        Ok(points)
    }

    fn default_namespace(&self) -> Result<NamespaceId> {
        let change = CatalogueChange::CreateDatabase {
            name: DEFAULT_DATABASE.into(),
            policy: PolicySpec::default(),
        };
        self.change_catalogue(&change)?.wait()?;
        Ok(self.catalogue().namespace(DEFAULT_DATABASE, None)?.id)
    }

    fn open(&self) -> Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.closed { Err(Error::Closed) } else { Ok(state) }
    }
}

impl State {
    fn check_namespace(&self, id: NamespaceId) -> Result<i64> {
        let namespace = self.catalogue.by_id(id);
        namespace.map(|n| n.cutoff).ok_or(Error::NamespaceNotFound { id: id.0 })
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Everything about a batch that can be wrong, before any of it is applied.
    fn check_batch(&self, batch: &WriteBatch) -> Result<()> {
        if batch.epoch() != Epoch(self.epoch) {
            return Err(Error::StaleEpoch { batch: batch.epoch().0, current: self.epoch });
        }
        self.check_namespace(batch.namespace())?;
        for row in batch.rows() {
            check_time(row.time).map_err(|_| Error::TimestampOutOfRange { got: row.time })?;
            let known = self.series.get(row.series.0 as usize);
            if known.is_none_or(|(namespace, _)| *namespace != batch.namespace()) {
                return Err(Error::Invalid { what: "a series that was not resolved".to_owned() });
            }
            let fields = self.field_sets.get(row.field_set.0 as usize);
            if fields.is_none_or(|set| set.len() != row.values.len()) {
                return Err(Error::Invalid {
                    what: "values that do not fit their fields".to_owned(),
                });
            }
        }
        Ok(())
    }
}

impl Append for MemoryStore {
    fn resolve(
        &self,
        namespace: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution> {
        let mut state = self.open()?;
        state.check_namespace(namespace)?;
        let mut refs = Vec::with_capacity(series.len());
        for key in series {
            let next = SeriesRef(u32::try_from(state.series.len()).unwrap_or(u32::MAX));
            let id = (namespace, key.clone());
            let found = state.series_refs.get(&id).copied();
            refs.push(Ok(found.unwrap_or_else(|| {
                state.series.push(id.clone());
                state.series_refs.insert(id, next);
                next
            })));
        }
        let mut sets = Vec::with_capacity(field_sets.len());
        for set in field_sets {
            let next = FieldSetRef(u32::try_from(state.field_sets.len()).unwrap_or(u32::MAX));
            let found = state.field_set_refs.get(set).copied();
            sets.push(Ok(found.unwrap_or_else(|| {
                state.field_sets.push(set.clone());
                state.field_set_refs.insert(set.clone(), next);
                next
            })));
        }
        Ok(Resolution { epoch: Epoch(state.epoch), series: refs, field_sets: sets })
    }

    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        let mut state = self.open()?;
        state.check_batch(batch)?;
        let cutoff = state.check_namespace(batch.namespace())?;
        let state = &mut *state;
        let namespace = Arc::make_mut(&mut state.rows).entry(batch.namespace()).or_default();
        for row in batch.rows().filter(|row| row.time >= cutoff) {
            let Some((_, key)) = state.series.get(row.series.0 as usize) else { continue };
            let Some(set) = state.field_sets.get(row.field_set.0 as usize) else { continue };
            let rows = namespace.entry(key.clone()).or_default();
            let fields = rows.entry(row.time).or_default();
            fields.extend(set.names().iter().cloned().zip(row.values.iter().copied()));
        }
        Ok(Ticket::completed(state.next_seq()))
    }

    fn delete(&self, request: &DeleteRequest) -> Result<Ticket> {
        let mut state = self.open()?;
        state.check_namespace(request.namespace)?;
        let filter = compile(&request.filter)?;
        if let Some(namespace) = Arc::make_mut(&mut state.rows).get_mut(&request.namespace) {
            for (key, rows) in namespace.iter_mut() {
                if matches(key, request.measurements.as_deref(), &filter) {
                    rows.retain(|time, _| !request.time.contains(*time));
                }
            }
        }
        Ok(Ticket::completed(state.next_seq()))
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        let mut state = self.open()?;
        let mut catalogue = (*state.catalogue).clone();
        let applied = catalogue.apply(change)?;
        if !applied.dropped.is_empty() {
            let rows = Arc::make_mut(&mut state.rows);
            rows.retain(|namespace, _| !applied.dropped.contains(namespace));
            state.epoch += 1;
        }
        state.catalogue = Arc::new(catalogue);
        Ok(Ticket::completed(state.next_seq()))
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.state.lock().catalogue)
    }
}

impl Select for MemoryStore {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        let state = self.open()?;
        Ok(Arc::new(MemorySnapshot {
            catalogue: Arc::clone(&state.catalogue),
            rows: Arc::clone(&state.rows),
            seq: state.seq,
            series: state.series.len() as u64,
        }))
    }
}

impl Maintain for MemoryStore {
    fn flush(&self) -> Result<()> {
        self.open().map(|_| ())
    }

    fn compact(&self) -> Result<()> {
        self.open().map(|_| ())
    }

    fn retain(&self, now_ns: i64) -> Result<usize> {
        let mut state = self.open()?;
        let mut catalogue = (*state.catalogue).clone();
        let mut moved = 0;
        for namespace in catalogue.namespaces_mut() {
            let Some(retention) = namespace.retention_ns else { continue };
            let cutoff = now_ns.saturating_sub(retention).max(MIN_TIME);
            if cutoff <= namespace.cutoff {
                continue;
            }
            namespace.cutoff = cutoff;
            moved += 1;
            if let Some(series) = Arc::make_mut(&mut state.rows).get_mut(&namespace.id) {
                series.values_mut().for_each(|rows| rows.retain(|time, _| *time >= cutoff));
            }
        }
        state.catalogue = Arc::new(catalogue);
        Ok(moved)
    }

    fn close(&self) -> Result<()> {
        self.state.lock().closed = true;
        Ok(())
    }
}

fn compile(filter: &crate::matcher::TagFilter) -> Result<CompiledFilter> {
    CompiledFilter::new(filter).map_err(|error| Error::Invalid { what: error.to_string() })
}

fn matches(key: &SeriesKey, measurements: Option<&[Arc<str>]>, filter: &CompiledFilter) -> bool {
    measurements.is_none_or(|names| names.iter().any(|name| **name == *key.measurement()))
        && filter.matches(|tag| key.tag(tag).unwrap_or(""))
}

struct MemorySnapshot {
    catalogue: Arc<Catalogue>,
    rows: Arc<BTreeMap<NamespaceId, Namespace>>,
    seq: u64,
    series: u64,
}

impl MemorySnapshot {
    fn matching(
        &self,
        namespace: NamespaceId,
        measurements: Option<&[Arc<str>]>,
        filter: &crate::matcher::TagFilter,
    ) -> Result<Vec<(&SeriesKey, &Rows)>> {
        let filter = compile(filter)?;
        if self.catalogue.by_id(namespace).is_none() {
            return Err(Error::NamespaceNotFound { id: namespace.0 });
        }
        let series = self.rows.get(&namespace).into_iter().flatten();
        Ok(series.filter(|(key, _)| matches(key, measurements, &filter)).collect())
    }
}

fn in_range(rows: &Rows, time: TimeRange) -> impl DoubleEndedIterator<Item = (i64, &Fields)> {
    rows.range(time.start..time.end.max(time.start)).map(|(t, fields)| (*t, fields))
}

impl Snapshot for MemorySnapshot {
    fn select(&self, request: &ScanRequest) -> Result<Selection> {
        request.cancel.check()?;
        let matching =
            self.matching(request.namespace, Some(&request.measurements), &request.filter)?;
        let columns: Arc<[Arc<str>]> = match &request.fields {
            FieldSelection::Named(names) => names.as_slice().into(),
            FieldSelection::All => {
                let all = matching.iter().flat_map(|(_, rows)| rows.values());
                let mut names: Vec<Arc<str>> = all.flat_map(|f| f.keys().cloned()).collect();
                names.sort_unstable();
                names.dedup();
                names.into()
            }
        };
        let keys: Vec<SeriesKey> = matching.iter().map(|(key, _)| (*key).clone()).collect();
        let mut held = request.budget.reserve(Pool::Queries, 0)?;
        let (series, groups) =
            group_series(keys, &request.group_by, &mut |bytes| held.grow(bytes))?;
        let counters = Arc::new(ScanCounters::default());
        counters.series_matched.add(series.len() as u64);
        let mut waiting = Vec::new();
        for (number, (_, rows)) in matching.into_iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            waiting.push((number, take_rows(rows, request, &columns)));
        }
        let parts = request.parts.clamp(1, waiting.len().max(1));
        let per_part = waiting.len().div_ceil(parts).max(1);
        let mut cursors: Vec<Box<dyn Cursor>> = Vec::new();
        while !waiting.is_empty() {
            let rest = waiting.split_off(per_part.min(waiting.len()));
            cursors.push(Box::new(MemoryCursor {
                series: std::mem::replace(&mut waiting, rest).into(),
                columns: columns.len(),
                cancel: request.cancel.clone(),
                counters: Arc::clone(&counters),
            }));
        }
        Ok(Selection { columns, series, groups, cursors, counters, held: vec![Arc::new(held)] })
    }

    fn estimate(&self, request: &ScanRequest) -> Result<Estimate> {
        let matching =
            self.matching(request.namespace, Some(&request.measurements), &request.filter)?;
        let mut estimate = Estimate { t_min: MAX_TIME, t_max: MIN_TIME, ..Estimate::default() };
        for (_, rows) in matching {
            let mut times = in_range(rows, request.time).map(|(t, _)| t);
            let Some(first) = times.next() else { continue };
            estimate.series += 1;
            estimate.runs = 1;
            estimate.t_min = estimate.t_min.min(first);
            estimate.t_max = estimate.t_max.max(times.next_back().unwrap_or(first));
            estimate.rows += in_range(rows, request.time).count() as u64;
        }
        Ok(estimate)
    }

    fn series(&self, request: &SeriesRequest) -> Result<Vec<SeriesKey>> {
        request.cancel.check()?;
        let matching =
            self.matching(request.namespace, request.measurements.as_deref(), &request.filter)?;
        let alive =
            matching.into_iter().filter(|(_, rows)| in_range(rows, request.time).next().is_some());
        let limit = request.limit.unwrap_or(usize::MAX);
        Ok(alive.take(limit).map(|(key, _)| key.clone()).collect())
    }

    fn fields(&self, request: &SeriesRequest) -> Result<Vec<Arc<str>>> {
        request.cancel.check()?;
        let matching =
            self.matching(request.namespace, request.measurements.as_deref(), &request.filter)?;
        let all = matching.iter().flat_map(|(_, rows)| in_range(rows, request.time));
        let mut names: Vec<Arc<str>> = all.flat_map(|(_, f)| f.keys().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn statistics(&self) -> Statistics {
        let series = self.rows.values().flat_map(BTreeMap::values);
        Statistics {
            series: self.series,
            memory_rows: series.map(|rows| rows.len() as u64).sum(),
            visible: self.seq,
            ..Statistics::default()
        }
    }
}

type OwnedRows = Vec<(i64, Vec<Option<f64>>)>;

/// Rows of one series as the request wants them: those with at least one of the columns, in its order,
/// at most its limit.
fn take_rows(rows: &Rows, request: &ScanRequest, columns: &[Arc<str>]) -> OwnedRows {
    let limit = request.limit_per_series.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let pick = |(time, fields): (i64, &Fields)| {
        let values: Vec<Option<f64>> = columns.iter().map(|c| fields.get(c).copied()).collect();
        values.iter().any(Option::is_some).then_some((time, values))
    };
    let range = in_range(rows, request.time);
    match request.order {
        Order::Ascending => range.filter_map(pick).take(limit).collect(),
        Order::Descending => range.rev().filter_map(pick).take(limit).collect(),
    }
}

struct MemoryCursor {
    series: std::collections::VecDeque<(u32, OwnedRows)>,
    columns: usize,
    cancel: crate::CancelToken,
    counters: Arc<ScanCounters>,
}

impl Cursor for MemoryCursor {
    fn next(&mut self, block: &mut Block) -> Result<bool> {
        self.cancel.check()?;
        block.reset(0, self.columns);
        while self.series.front().is_some_and(|(_, rows)| rows.is_empty()) {
            self.series.pop_front();
        }
        let Some((number, rows)) = self.series.front_mut() else { return Ok(false) };
        block.series = *number;
        let behind = rows.split_off(rows.len().min(BLOCK_ROWS_MAX));
        let taken = std::mem::replace(rows, behind);
        for (place, column) in block.columns.iter_mut().enumerate() {
            column.fill(taken.iter().map(|(_, values)| values.get(place).copied().flatten()));
        }
        block.times = TimeColumn::Stamps(taken.into_iter().map(|(time, _)| time).collect());
        self.counters.rows_scanned.add(block.len() as u64);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_insert_at_the_same_time() {
        let store = MemoryStore::new();
        std::thread::scope(|scope| {
            for thread in 0..4i64 {
                let store = &store;
                scope.spawn(move || {
                    let tags = Tags::new([("thread", thread.to_string())]).unwrap();
                    for t in 0..50 {
                        let point = DataPoint::new(t, 1.0, tags.clone()).unwrap();
                        store.insert("m", point).unwrap();
                    }
                });
            }
        });
        assert_eq!(store.points("m", TimeRange::all()).unwrap().len(), 200);
        assert_eq!(store.points("m", TimeRange::new(0, 10)).unwrap().len(), 40);
        assert_eq!(store.points("other", TimeRange::all()).unwrap().len(), 0);
    }

    #[test]
    fn invalid_points_are_refused_and_leave_nothing() {
        let store = MemoryStore::new();
        let point = DataPoint::new(1, 1.0, Tags::empty()).unwrap();
        assert_eq!(store.insert("", point.clone()), Err(Error::EmptySeriesName));
        let late = DataPoint { timestamp: i64::MAX, ..point.clone() };
        assert_eq!(store.insert("m", late), Err(Error::TimestampOutOfRange { got: i64::MAX }));
        assert!(store.points("m", TimeRange::all()).unwrap().is_empty());
        store.close().unwrap();
        assert_eq!(store.insert("m", point), Err(Error::Closed));
    }
}

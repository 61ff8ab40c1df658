//! Rows on their way into a store: what every format writes to, whatever it reads.
//!
//! A format names series and shapes by their raw bytes first; only those that are not known cost more
//! than a look-up. Line protocol does so with the bytes of the request itself, all other formats by way of
//! [`RowBuilder`]. What the store does not know yet is collected and resolved in portions: from the first
//! row that waits, rows go to an open portion, and [`Rows::resolve`] moves them to the batch with their
//! references. So what waits never takes more than a small part of the memory for bodies, however many
//! series of a request are new. Every row passes [`Validation`].
//!
//! The buffers and caches stay from one request to the next, so that nothing is allocated per row in the
//! steady state. What a request takes is charged to the memory budget before it is used.

mod columns;
pub(crate) mod draft;
mod memory;
mod points;
mod resolve;
pub(crate) mod series_cache;
pub(crate) mod shapes;

use std::collections::BTreeSet;
use std::sync::Arc;

use tsdb_core::{Append, Epoch, MemoryBudget, NamespaceId, Pool, SeriesKey, SeriesRef, WriteBatch};

use crate::report::{Brought, LineError, Origin, Rejects};
use crate::{Reason, Validation, WriteReport, limits};
use columns::Columns;
use draft::{Draft, DraftSeries, RowBuilder};
pub(crate) use memory::Overdraft;
use memory::{RequestMemory, push_charged};
use series_cache::{EntryId, Scope, SeriesCache, SeriesHandle};
use shapes::{Field, ShapeId, ShapeTable, Target};

/// Stands in a row until the store has given the right one.
const UNRESOLVED: u32 = u32::MAX;

/// Memory of a pending series beside its key's text: the counts of the shared text, and the answer of the
/// store.
const PENDING_BYTES: usize = 2 * size_of::<usize>() + size_of::<tsdb_core::Result<SeriesRef>>();

/// Why a row was not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// This row only; the next one may be better.
    Row(Reason),
    /// The whole request: there is no memory for it.
    Request(tsdb_core::Error),
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal::Row(reason)
    }
}

/// A row of the open portion that waits for the store to resolve its series, its shape, or both.
#[derive(Debug, Clone, Copy)]
struct Patch {
    /// Place in the open portion; a batch has at most 2^20 rows.
    row: u32,
    /// Which part of a row that was split it is; 0 for all others. Rows of one record have one origin, so
    /// that does not tell.
    part: u32,
    /// Place among the pending series.
    series: Option<u32>,
    shape: Option<ShapeId>,
    origin: Origin,
}

/// The rows of one request, and what is kept between requests. A format writes to it: rows by
/// [`Rows::row`], refusals by [`Rows::refuse`]; a pipeline makes it and takes the rows out.
pub struct Rows {
    /// Who resolves; without one, everything waits.
    store: Option<Arc<dyn Append>>,
    /// Rows whose references are known.
    settled: Columns,
    /// Rows from the first one that waits on, in order.
    open: Columns,
    /// Memory of the open portion, in bytes, and how much makes it full.
    open_bytes: usize,
    portion_bytes_max: usize,
    /// Epoch of the cached references, once there is one.
    epoch: Option<Epoch>,
    validation: Validation,
    pub(crate) series: SeriesCache,
    pub(crate) shapes: ShapeTable,
    /// The row that a [`RowBuilder`] is at, and its series, once that is known and until the next portion
    /// is resolved.
    draft: Draft,
    draft_series: Option<DraftSeries>,
    /// Series that the store does not know yet, and their places in the cache.
    pending_keys: Vec<SeriesKey>,
    pending_entries: Vec<Option<EntryId>>,
    /// What those series take beside the two lists, in bytes.
    pending_bytes: usize,
    /// Memory of new shapes that is not charged yet, in bytes.
    shape_bytes: usize,
    pending_shapes: Vec<ShapeId>,
    /// Shapes that the store refused to this request; the next one asks again.
    refused_shapes: Vec<ShapeId>,
    /// Shapes that occur in this request and leave fields out.
    lossy_shapes: Vec<ShapeId>,
    patches: Vec<Patch>,
    rejects: Rejects,
    row_count: u64,
    /// What the format counts beside rows.
    pub(crate) brought: Brought,
    scratch: Vec<f64>,
    memory: RequestMemory,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (settled, open) = (self.settled.batch().len(), self.open.batch().len());
        f.debug_struct("Rows")
            .field("settled", &settled)
            .field("open", &open)
            .finish_non_exhaustive()
    }
}

impl Rows {
    /// Without rows, for `store`; without a store nothing is ever resolved. `cache_bytes` bounds the
    /// cache of series; `seed` must not be known to clients, who could choose names that collide.
    pub(crate) fn new(
        store: Option<Arc<dyn Append>>,
        budget: &MemoryBudget,
        overdraft: Overdraft,
        cache_bytes: usize,
        seed: u64,
    ) -> Rows {
        let share = budget.limit(Pool::Bodies) / limits::PORTION_PARTS;
        let portion_bytes_max = match &store {
            Some(_) => share.min(limits::PORTION_BYTES_MAX),
            None => usize::MAX,
        };
        Rows {
            store,
            settled: Columns::new(NamespaceId(0), Epoch(0)),
            open: Columns::new(NamespaceId(0), Epoch(0)),
            open_bytes: 0,
            portion_bytes_max,
            epoch: None,
            validation: Validation::default(),
            series: SeriesCache::new(cache_bytes, seed),
            shapes: ShapeTable::new(seed),
            draft: Draft::default(),
            draft_series: None,
            pending_keys: Vec::new(),
            pending_entries: Vec::new(),
            pending_bytes: 0,
            shape_bytes: 0,
            pending_shapes: Vec::new(),
            refused_shapes: Vec::new(),
            lossy_shapes: Vec::new(),
            patches: Vec::new(),
            rejects: Rejects::default(),
            row_count: 0,
            brought: Brought::default(),
            scratch: Vec::new(),
            memory: RequestMemory::new(budget, overdraft),
        }
    }

    /// Begins a request; whatever is left of the last one is dropped.
    pub(crate) fn begin(&mut self, namespace: NamespaceId, validation: Validation) {
        self.end();
        self.validation = validation;
        self.series.begin(Scope { namespace, charset: validation.charset });
        self.shapes.begin(validation.charset);
        let epoch = self.epoch.unwrap_or(Epoch(0));
        self.settled.reset(namespace, epoch);
        self.open.reset(namespace, epoch);
    }

    /// Ends a request: gives its memory back, and unlinks what was never resolved.
    pub(crate) fn end(&mut self) {
        for entry in self.pending_entries.drain(..).flatten() {
            self.series.settle(entry, None);
        }
        for id in self.pending_shapes.drain(..) {
            if let Some(shape) = self.shapes.get_mut(id) {
                shape.is_queued = false;
            }
        }
        for id in self.refused_shapes.drain(..) {
            if let Some(shape) = self.shapes.get_mut(id) {
                shape.target = Target::Unknown;
            }
        }
        for id in self.lossy_shapes.drain(..) {
            if let Some(shape) = self.shapes.get_mut(id) {
                shape.rows = 0;
            }
        }
        self.pending_keys = Vec::new();
        self.pending_entries = Vec::new();
        self.pending_bytes = 0;
        self.shape_bytes = 0;
        self.draft_series = None;
        self.patches = Vec::new();
        self.open_bytes = 0;
        self.rejects = Rejects::default();
        self.row_count = 0;
        self.brought = Brought::default();
        self.settled.trim();
        self.open.trim();
        self.memory.release();
    }

    /// Forgets all references: their epoch has ended.
    pub(crate) fn forget(&mut self) {
        self.end();
        self.series.clear();
        self.shapes.clear();
        self.epoch = None;
    }

    /// Begins a row of `measurement`.
    pub fn row(&mut self, measurement: &str) -> RowBuilder<'_> {
        self.draft.begin(measurement);
        self.draft_series = None;
        RowBuilder::new(self)
    }

    /// Begins a further row of the series of the last one, pushed or not. It costs its fields and nothing
    /// else, however long the names of the series are.
    pub fn next_row(&mut self) -> RowBuilder<'_> {
        self.draft.begin_fields();
        RowBuilder::new(self)
    }

    /// Charges `bytes` of memory that a format is about to take for the request, beside rows and input.
    /// They are given back with the request.
    ///
    /// # Errors
    /// No memory for the request, which ends it.
    pub fn charge(&mut self, bytes: usize) -> tsdb_core::Result<()> {
        self.memory.take(bytes)
    }

    /// Takes note of charged memory that was freed before the end of the request.
    pub fn uncharge(&mut self, bytes: usize) {
        self.memory.give(bytes);
    }

    /// The checks of this request.
    pub fn validation(&self) -> &Validation {
        &self.validation
    }

    /// The rows that can be appended: all of them once [`Rows::resolve`] has been called.
    pub(crate) fn batch(&self) -> &WriteBatch {
        self.settled.batch()
    }

    /// To be called between two lines of `input`: resolves the open portion if it is full.
    ///
    /// # Errors
    /// As [`Rows::resolve`].
    #[inline]
    pub(crate) fn settle_portion(&mut self, input: &[u8]) -> tsdb_core::Result<()> {
        if self.is_portion_full() { self.resolve(input) } else { Ok(()) }
    }

    /// Whether so many rows wait that the store is to be asked; handles of pending series end then.
    #[inline]
    pub(crate) fn is_portion_full(&self) -> bool {
        self.open_bytes >= self.portion_bytes_max
    }

    /// Namespace of the request.
    pub(crate) fn namespace(&self) -> NamespaceId {
        self.settled.batch().namespace()
    }

    /// Takes up a series that the cache does not hold, under its raw bytes.
    ///
    /// # Errors
    /// No memory for the request.
    pub(crate) fn define_series(
        &mut self,
        raw: &[u8],
        key: SeriesKey,
    ) -> tsdb_core::Result<(SeriesHandle, Option<EntryId>)> {
        let place = u32::try_from(self.pending_keys.len()).unwrap_or(UNRESOLVED);
        let handle = SeriesHandle::Pending(place);
        let bytes = key.as_str().len() + PENDING_BYTES;
        self.memory.take(bytes)?;
        self.pending_bytes += bytes;
        self.open_bytes += bytes + size_of::<SeriesKey>() + size_of::<Option<EntryId>>();
        push_charged(&mut self.pending_keys, key, &mut self.memory)?;
        push_charged(&mut self.pending_entries, None, &mut self.memory)?;
        // Last, so that the cache never names a place that is not among the pending ones.
        let entry = self.series.define(raw, handle);
        if let Some(last) = self.pending_entries.last_mut() {
            *last = entry;
        }
        Ok((handle, entry))
    }

    /// Takes up a shape that is not known, under its signature. `measurement` is asked for a name where
    /// an error needs it.
    ///
    /// # Errors
    /// What [`Validation::field_set`] refuses; a line with nothing but a number called `time`.
    pub(crate) fn define_shape(
        &mut self,
        signature: &[u8],
        fields: Vec<Field>,
        measurement: impl FnOnce() -> String,
    ) -> Result<ShapeId, Reason> {
        let (id, bytes) = self.shapes.define(signature, fields, &self.validation, measurement)?;
        self.shape_bytes += bytes;
        Ok(id)
    }

    /// Appends a row. `values` are the numbers of the line in its own order.
    ///
    /// # Errors
    /// A row that has expired or is one too many; no memory for the request.
    #[inline]
    pub(crate) fn push(
        &mut self,
        series: SeriesHandle,
        shape_id: ShapeId,
        time: i64,
        values: &[f64],
        origin: Origin,
    ) -> Result<(), Refusal> {
        self.validation.retained(time)?;
        let Some(shape) = self.shapes.get_mut(shape_id) else {
            return Err(Refusal::Row(Reason::InvalidFieldFormat));
        };
        if !shape.ignored.is_empty() {
            if shape.rows == 0 {
                self.lossy_shapes.push(shape_id);
            }
            shape.rows += 1;
            if shape.set.is_none() {
                let bytes = std::mem::take(&mut self.shape_bytes);
                return self.memory.take(bytes).map_err(Refusal::Request);
            }
        }
        match series {
            SeriesHandle::Known(series)
                if self.open.batch().is_empty() && !matches!(shape.target, Target::Unknown) =>
            {
                let row = shape.arrange(values, &mut self.scratch);
                self.settled.push(&mut self.memory, series, time, &shape.target, row)?;
            }
            _ => self.push_open(series, shape_id, time, values, origin)?,
        }
        self.row_count += 1;
        Ok(())
    }

    /// Appends a row to the open portion: it waits for the store, or comes behind a row that does.
    fn push_open(
        &mut self,
        series: SeriesHandle,
        shape_id: ShapeId,
        time: i64,
        values: &[f64],
        origin: Origin,
    ) -> Result<(), Refusal> {
        columns::check_count(self.settled.batch().len() + self.open.batch().len() + 1)?;
        let memory = &mut self.memory;
        memory.take(std::mem::take(&mut self.shape_bytes)).map_err(Refusal::Request)?;
        let Some(shape) = self.shapes.get_mut(shape_id) else {
            return Err(Refusal::Row(Reason::InvalidFieldFormat));
        };
        let is_unknown = matches!(shape.target, Target::Unknown);
        if is_unknown && !shape.is_queued {
            shape.is_queued = true;
            self.pending_shapes.push(shape_id);
        }
        let (known, pending) = match series {
            SeriesHandle::Known(series) => (series, None),
            SeriesHandle::Pending(place) => (SeriesRef(UNRESOLVED), Some(place)),
        };
        let row = shape.arrange(values, &mut self.scratch);
        let before = self.open.batch().len();
        self.open.push(memory, known, time, &shape.target, row)?;
        let behind = self.open.batch().len();
        self.open_bytes += (behind - before) * columns::ROW_BYTES + size_of_val(row);
        if pending.is_some() || is_unknown {
            let shape = is_unknown.then_some(shape_id);
            let first = u32::try_from(before).unwrap_or(UNRESOLVED);
            for (part, _) in (0..).zip(before..behind) {
                let row = first.saturating_add(part);
                let patch = Patch { row, part, series: pending, shape, origin };
                push_charged(&mut self.patches, patch, memory).map_err(Refusal::Request)?;
            }
            self.open_bytes += (behind - before) * size_of::<Patch>();
        }
        Ok(())
    }

    /// Takes note of a refused line or record. `at` is where in `input` the trouble begins.
    pub fn refuse(&mut self, input: &[u8], origin: Origin, at: usize, reason: Reason) {
        self.rejects.add(input, origin, at, reason);
    }

    /// Whether refusals are still described, or only counted.
    pub(crate) fn describes_refusals(&self) -> bool {
        self.rejects.described.len() < limits::ERRORS_MAX
    }

    /// Says that the input is no text, of which refusals could repeat something.
    pub(crate) fn input_is_binary(&mut self) {
        self.rejects.is_binary = true;
    }

    /// Takes note of a refused line that is described already.
    pub(crate) fn refuse_described(&mut self, error: LineError) {
        self.rejects.add_described(error);
    }

    /// What became of the request so far, without a ticket.
    pub(crate) fn report(&mut self) -> WriteReport {
        let mut errors = std::mem::take(&mut self.rejects.described);
        // What the store refuses comes to light at the end of the request.
        errors.sort_by_key(|error| error.line);
        let mut ignored_fields = BTreeSet::new();
        let mut ignored_total = 0;
        let lossy = self.lossy_shapes.iter().filter_map(|id| self.shapes.get(*id));
        for shape in lossy {
            ignored_total += shape.rows * shape.ignored.len() as u64;
            for name in &shape.ignored {
                if ignored_fields.len() < limits::IGNORED_NAMES_MAX {
                    ignored_fields.insert(name.clone());
                }
            }
        }
        WriteReport {
            rows: self.row_count,
            samples: self.batch().samples() as u64,
            errors,
            errors_total: self.rejects.total,
            dropped_total: self.rejects.dropped,
            refused: self.rejects.counts,
            refused_records: self.rejects.records(),
            ignored_fields,
            ignored_total,
            brought: self.brought,
            format: "",
            ticket: None,
        }
    }
}

//! Rows on their way into a store: what every format writes to, whatever it reads.
//!
//! A format names series and shapes by their raw bytes first; only those that are not known cost more
//! than a look-up. What the store does not know yet is collected and resolved once per request
//! ([`Rows::resolve`]), and the rows are corrected afterwards. Every row passes [`Validation`].
//!
//! The buffers and caches stay from one request to the next, so that nothing is allocated per row in the
//! steady state. What a request takes is charged to the memory budget before it is used.

mod points;
mod resolve;
pub(crate) mod series_cache;
pub(crate) mod shapes;

use std::collections::BTreeSet;

use tsdb_core::{
    Epoch, FieldSetRef, MemoryBudget, NamespaceId, Pool, Reservation, SeriesKey, SeriesRef,
    WriteBatch, limits as core_limits,
};

use crate::report::{Origin, Rejects};
use crate::{Reason, Validation, WriteReport, limits};
pub(crate) use resolve::Settled;
use series_cache::{EntryId, SeriesCache, SeriesHandle};
use shapes::{Field, ShapeId, ShapeTable, Target};

/// Stands in a row until the store has given the right one.
const UNRESOLVED: u32 = u32::MAX;

/// Smallest step in which a request's reservation grows, in bytes.
const RESERVE_STEP_BYTES: usize = 64 << 10;

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

/// A row that waits for the store to resolve its series, its shape, or both.
#[derive(Debug, Clone, Copy)]
struct Patch {
    row: usize,
    /// Place among the pending series.
    series: Option<u32>,
    shape: Option<ShapeId>,
    origin: Origin,
}

/// The rows of one request, and what is kept between requests. The formats of this crate write to it;
/// from outside it is opaque.
#[derive(Debug)]
pub struct Rows {
    batch: WriteBatch,
    /// Epoch of the cached references, once there is one.
    epoch: Option<Epoch>,
    validation: Validation,
    pub(crate) series: SeriesCache,
    pub(crate) shapes: ShapeTable,
    /// Series that the store does not know yet, and their places in the cache.
    pending_keys: Vec<SeriesKey>,
    pending_entries: Vec<Option<EntryId>>,
    pending_shapes: Vec<ShapeId>,
    /// Shapes that occur in this request and leave fields out.
    lossy_shapes: Vec<ShapeId>,
    patches: Vec<Patch>,
    rejects: Rejects,
    row_count: u64,
    scratch: Vec<f64>,
    /// What the request takes, in bytes, against what is reserved for it.
    used_bytes: usize,
    reservation: Reservation,
}

impl Rows {
    /// Without rows. `cache_bytes` bounds the cache of series; `seed` must not be known to clients, who
    /// could choose names that collide.
    pub(crate) fn new(budget: &MemoryBudget, cache_bytes: usize, seed: u64) -> Rows {
        Rows {
            batch: WriteBatch::new(NamespaceId(0), Epoch(0)),
            epoch: None,
            validation: Validation::default(),
            series: SeriesCache::new(cache_bytes, seed),
            shapes: ShapeTable::new(seed),
            pending_keys: Vec::new(),
            pending_entries: Vec::new(),
            pending_shapes: Vec::new(),
            lossy_shapes: Vec::new(),
            patches: Vec::new(),
            rejects: Rejects::default(),
            row_count: 0,
            scratch: Vec::new(),
            used_bytes: 0,
            reservation: budget.reserve_anyway(Pool::Bodies, 0),
        }
    }

    /// Begins a request; whatever is left of the last one is dropped.
    pub(crate) fn begin(&mut self, namespace: NamespaceId, validation: Validation) {
        self.end();
        if validation.charset != self.validation.charset {
            // Names that were accepted before may not be acceptable now.
            self.forget();
        }
        self.validation = validation;
        self.series.begin(namespace);
        self.shapes.begin();
        self.batch.reset(namespace, self.epoch.unwrap_or(Epoch(0)));
    }

    /// Ends a request: gives its memory back, and unlinks what was never resolved.
    pub(crate) fn end(&mut self) {
        for entry in self.pending_entries.drain(..).flatten() {
            self.series.settle(entry, None);
        }
        for id in self.pending_shapes.drain(..) {
            if let Some(shape) = self.shapes.get_mut(id) {
                shape.is_queued = false;
                if matches!(shape.target, Target::Refused(_)) {
                    shape.target = Target::Unknown;
                }
            }
        }
        for id in self.lossy_shapes.drain(..) {
            if let Some(shape) = self.shapes.get_mut(id) {
                shape.rows = 0;
            }
        }
        self.pending_keys = Vec::new();
        self.patches = Vec::new();
        self.rejects = Rejects::default();
        self.row_count = 0;
        self.used_bytes = 0;
        if self.batch.bytes() > limits::BUFFER_KEPT_BYTES_MAX {
            self.batch = WriteBatch::new(self.batch.namespace(), self.batch.epoch());
        }
        self.reservation.shrink(self.reservation.bytes());
    }

    /// Forgets all references: their epoch has ended.
    pub(crate) fn forget(&mut self) {
        self.end();
        self.series.clear();
        self.shapes.clear();
        self.epoch = None;
    }

    /// The checks of this request.
    pub(crate) fn validation(&self) -> &Validation {
        &self.validation
    }

    /// The rows so far; references are valid once [`Rows::resolve`] has settled them.
    pub(crate) fn batch(&self) -> &WriteBatch {
        &self.batch
    }

    /// Takes up a series that the cache does not hold, under its raw bytes.
    pub(crate) fn define_series(
        &mut self,
        raw: &[u8],
        key: SeriesKey,
    ) -> (SeriesHandle, Option<EntryId>) {
        let place = u32::try_from(self.pending_keys.len()).unwrap_or(UNRESOLVED);
        let handle = SeriesHandle::Pending(place);
        self.used_bytes += 2 * key.as_str().len() + 64;
        let entry = self.series.define(raw, handle);
        self.pending_keys.push(key);
        self.pending_entries.push(entry);
        (handle, entry)
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
        self.used_bytes += bytes;
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
                return Ok(());
            }
        }
        let row = shape.arrange(values, &mut self.scratch);
        // Twice the size of a row: vectors double.
        self.used_bytes += 24 + 16 * row.len();
        if self.used_bytes > self.reservation.bytes() {
            let missing = self.used_bytes - self.reservation.bytes();
            let step = missing.max(RESERVE_STEP_BYTES).max(self.reservation.bytes() / 2);
            self.reservation.grow(step).map_err(Refusal::Request)?;
        }
        let (known, pending) = match series {
            SeriesHandle::Known(series) => (series, None),
            SeriesHandle::Pending(place) => (SeriesRef(UNRESOLVED), Some(place)),
        };
        let before = self.batch.len();
        store_row(&mut self.batch, known, time, &shape.target, row)?;
        let is_unknown = shape.target == Target::Unknown;
        if is_unknown && !shape.is_queued {
            shape.is_queued = true;
            self.pending_shapes.push(shape_id);
        }
        if pending.is_some() || is_unknown {
            self.used_bytes += 2 * size_of::<Patch>();
            for row in before..self.batch.len() {
                let shape = is_unknown.then_some(shape_id);
                self.patches.push(Patch { row, series: pending, shape, origin });
            }
        }
        self.row_count += 1;
        Ok(())
    }

    /// Takes note of a refused line. `at` is where in `input` the trouble begins.
    pub(crate) fn refuse(&mut self, input: &[u8], origin: Origin, at: usize, reason: Reason) {
        self.rejects.add(input, origin, at, reason);
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
            samples: self.batch.samples() as u64,
            errors,
            errors_total: self.rejects.total,
            dropped_total: self.rejects.dropped,
            ignored_fields,
            ignored_total,
            ticket: None,
        }
    }
}

/// Appends one row, or one per field where the set is split.
#[inline]
fn store_row(
    batch: &mut WriteBatch,
    series: SeriesRef,
    time: i64,
    target: &Target,
    row: &[f64],
) -> Result<(), Reason> {
    match target {
        Target::Set(set) => batch.push(series, time, *set, row).map_err(Reason::Limit),
        Target::Unknown => {
            batch.push(series, time, FieldSetRef(UNRESOLVED), row).map_err(Reason::Limit)
        }
        Target::Refused(error) => Err(Reason::Store(error.clone())),
        Target::Split(sets) => {
            // Either all parts of the row fit, or none is stored.
            let rows_max = core_limits::BATCH_ROWS_MAX;
            if batch.len() + sets.len() > rows_max {
                return Err(Reason::Limit(tsdb_core::Error::TooMany {
                    what: "rows in one batch",
                    count: (batch.len() + sets.len()) as u64,
                    count_max: rows_max as u64,
                    remedy: "send smaller batches",
                }));
            }
            for (set, value) in sets.iter().zip(row) {
                batch
                    .push(series, time, *set, std::slice::from_ref(value))
                    .map_err(Reason::Limit)?;
            }
            Ok(())
        }
    }
}

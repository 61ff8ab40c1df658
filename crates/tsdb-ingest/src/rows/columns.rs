//! A batch whose columns are charged as they grow.

use tsdb_core::batch::Segment;
use tsdb_core::{Epoch, FieldSetRef, NamespaceId, SeriesRef, WriteBatch, limits as core_limits};

use super::memory::{RequestMemory, grown};
use super::shapes::Target;
use super::{Refusal, UNRESOLVED};
use crate::{Reason, limits};

/// Bytes of a row beside its values.
pub(crate) const ROW_BYTES: usize = size_of::<SeriesRef>() + size_of::<i64>();

/// Rows, and what their vectors can hold without growing.
#[derive(Debug)]
pub(crate) struct Columns {
    batch: WriteBatch,
    row_capacity: usize,
    value_capacity: usize,
    segment_capacity: usize,
}

impl Columns {
    pub(crate) fn new(namespace: NamespaceId, epoch: Epoch) -> Columns {
        Columns {
            batch: WriteBatch::new(namespace, epoch),
            row_capacity: 0,
            value_capacity: 0,
            segment_capacity: 0,
        }
    }

    pub(crate) fn batch(&self) -> &WriteBatch {
        &self.batch
    }

    pub(crate) fn set_epoch(&mut self, epoch: Epoch) {
        self.batch.set_epoch(epoch);
    }

    /// Empties the columns and keeps their memory.
    pub(crate) fn reset(&mut self, namespace: NamespaceId, epoch: Epoch) {
        self.batch.reset(namespace, epoch);
    }

    /// Gives the memory back if it is more than a parser may keep.
    pub(crate) fn trim(&mut self) {
        debug_assert!(self.batch.bytes() <= self.bytes(), "no more was allocated than charged");
        if self.bytes() > limits::BUFFER_KEPT_BYTES_MAX {
            *self = Columns::new(self.batch.namespace(), self.batch.epoch());
        }
    }

    fn bytes(&self) -> usize {
        self.row_capacity * ROW_BYTES
            + self.value_capacity * size_of::<f64>()
            + self.segment_capacity * size_of::<Segment>()
    }

    /// Appends one row, or one per field where the set is split.
    ///
    /// # Errors
    /// Of the row: one too many, a shape that the store refused. Of the request: no memory.
    #[inline]
    pub(crate) fn push(
        &mut self,
        memory: &mut RequestMemory,
        series: SeriesRef,
        time: i64,
        target: &Target,
        row: &[f64],
    ) -> Result<(), Refusal> {
        let set = match target {
            Target::Set(set) => *set,
            Target::Unknown => FieldSetRef(UNRESOLVED),
            Target::Split(sets) => return self.push_split(memory, series, time, sets, row),
            Target::Refused(error) => return Err(Refusal::Row(Reason::Store(error.clone()))),
        };
        self.push_known(memory, series, time, set, row)
    }

    /// Appends one row of a known field set.
    ///
    /// # Errors
    /// As [`Columns::push`].
    #[inline]
    pub(crate) fn push_known(
        &mut self,
        memory: &mut RequestMemory,
        series: SeriesRef,
        time: i64,
        set: FieldSetRef,
        row: &[f64],
    ) -> Result<(), Refusal> {
        self.charge(memory, row.len())?;
        let pushed = self.batch.push(series, time, set, row);
        pushed.map_err(|error| Refusal::Row(Reason::Limit(error)))
    }

    /// Either all parts of the row fit, or none is stored.
    fn push_split(
        &mut self,
        memory: &mut RequestMemory,
        series: SeriesRef,
        time: i64,
        sets: &[FieldSetRef],
        row: &[f64],
    ) -> Result<(), Refusal> {
        check_count(self.batch.len() + sets.len())?;
        for (set, value) in sets.iter().zip(row) {
            self.push_known(memory, series, time, *set, std::slice::from_ref(value))?;
        }
        Ok(())
    }

    /// Charges for one more row of `values` values, if it does not fit into what is there.
    #[inline]
    fn charge(&mut self, memory: &mut RequestMemory, values: usize) -> Result<(), Refusal> {
        // The row may begin a segment.
        let fits = self.batch.len() < self.row_capacity
            && self.batch.samples() + values <= self.value_capacity
            && self.batch.segments().len() < self.segment_capacity;
        if fits { Ok(()) } else { self.grow(memory, values) }
    }

    #[cold]
    fn grow(&mut self, memory: &mut RequestMemory, values: usize) -> Result<(), Refusal> {
        // A row that the batch will refuse takes no memory.
        check_count(self.batch.len() + 1)?;
        let next =
            |capacity, needed| if needed > capacity { grown(capacity, needed) } else { capacity };
        let row_capacity = next(self.row_capacity, self.batch.len() + 1);
        let value_capacity = next(self.value_capacity, self.batch.samples() + values);
        let segment_capacity = next(self.segment_capacity, self.batch.segments().len() + 1);
        let bytes = (row_capacity - self.row_capacity) * ROW_BYTES
            + (value_capacity - self.value_capacity) * size_of::<f64>()
            + (segment_capacity - self.segment_capacity) * size_of::<Segment>();
        memory.take(bytes).map_err(Refusal::Request)?;
        self.row_capacity = row_capacity;
        self.value_capacity = value_capacity;
        self.segment_capacity = segment_capacity;
        Ok(())
    }
}

/// Refuses the row that is one too many for a batch of `row_count`.
#[inline]
pub(crate) fn check_count(row_count: usize) -> Result<(), Refusal> {
    if row_count <= core_limits::BATCH_ROWS_MAX { Ok(()) } else { Err(one_too_many(row_count)) }
}

#[cold]
fn one_too_many(row_count: usize) -> Refusal {
    Refusal::Row(Reason::Limit(tsdb_core::Error::TooMany {
        what: "rows in one batch",
        count: row_count as u64,
        count_max: core_limits::BATCH_ROWS_MAX as u64,
        remedy: "send smaller batches",
    }))
}

//! The memtable: generations of rows in memory, from the append to the flush.
//!
//! Rows are copied to append-only blocks, unsorted; sorting waits for the seal. A generation holds the
//! rows of all batches whose sequence numbers were given while it was open, however late they arrive.
//! Who may see a row is decided by its number, not by the state of the memtable.

mod block;
mod index;
mod kept;
mod rows;
mod seen;
mod shard;
mod wanted;

use std::sync::Arc;
use tsdb_core::sync::OnceLock;
use tsdb_core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tsdb_core::{Catalogue, MemoryBudget, NamespaceId, TimeRange, WriteBatch};
use tsdb_index::{ActiveRange, SeriesTable};

use crate::work::Work;
use index::Stretch;
pub(crate) use index::{Place, RowIndex};
use kept::KeptIndex;
pub(crate) use rows::{BlockBuilder, ColumnMap, RowDelete, back_part, fill, front_part, reverse};
use seen::SeenFields;
pub(crate) use seen::SeenSet;
use shard::{RowShapes, SHARDS, Shard};
pub(crate) use wanted::Wanted;

/// Memory of a row beside its values, in bytes, for reservations made before the append.
const ROW_BYTES: usize = 24;

/// One generation of rows.
#[derive(Debug)]
pub(crate) struct Generation {
    id: u64,
    base_seq: u64,
    shards: [Shard; SHARDS],
    budget: MemoryBudget,
    rows: AtomicU64,
    times: ActiveRange,
    bytes: AtomicU64,
    /// A delete or a catalogue change has a number of this generation, so it must be flushed even
    /// without rows.
    has_changes: AtomicBool,
    sealed: OnceLock<Seal>,
    sorted: OnceLock<RowIndex>,
    kept: KeptIndex,
    seen: SeenFields,
}

/// What is fixed when a generation is sealed.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    /// Highest sequence number of the generation.
    pub last_seq: u64,
    /// The catalogue after all changes with numbers up to that.
    pub catalogue: Arc<Catalogue>,
}

/// Memory that `batch` will take in the memtable, at least.
pub(crate) fn bytes_of(batch: &WriteBatch) -> usize {
    batch.len() * ROW_BYTES + batch.samples() * size_of::<f64>()
}

impl Generation {
    /// An open generation for numbers above `base_seq`; `id` is that of its log files.
    pub(crate) fn new(id: u64, base_seq: u64, budget: MemoryBudget) -> Generation {
        Generation {
            id,
            base_seq,
            shards: Default::default(),
            budget,
            rows: AtomicU64::new(0),
            times: ActiveRange::default(),
            bytes: AtomicU64::new(0),
            has_changes: AtomicBool::new(false),
            sealed: OnceLock::new(),
            sorted: OnceLock::new(),
            kept: KeptIndex::default(),
            seen: SeenFields::default(),
        }
    }

    /// Number of the log files that hold the generation.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// All numbers of the generation are above this one.
    pub(crate) fn base_seq(&self) -> u64 {
        self.base_seq
    }

    /// `seq` as versions count it.
    pub(crate) fn relative(&self, seq: u64) -> u64 {
        seq.saturating_sub(self.base_seq)
    }

    /// Copies the rows of the batch with number `seq`. Cannot fail: whatever can was checked before the
    /// number was given.
    pub(crate) fn apply(&self, seq: u64, batch: &WriteBatch) {
        let relative = u32::try_from(self.relative(seq)).ok();
        // The engine seals a generation long before it has four billion batches.
        let Some(relative) = relative else {
            unreachable!("a generation has at most 2^32 batches")
        };
        if let (Some(min), Some(max)) = (batch.times().iter().min(), batch.times().iter().max()) {
            // Before the rows can be seen.
            self.times.extend(*min, *max);
        }
        let mut starts = [0usize; SHARDS + 1];
        for series in batch.series() {
            if let Some(count) = starts.get_mut(series.0 as usize % SHARDS + 1) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut order = vec![0u32; batch.len()];
        let mut next = starts;
        for (row, series) in (0u32..).zip(batch.series()) {
            if let Some(place) = next.get_mut(series.0 as usize % SHARDS) {
                if let Some(free) = order.get_mut(*place) {
                    *free = row;
                }
                *place += 1;
            }
        }
        let shapes = RowShapes::new(batch);
        let bounds = starts.iter().zip(starts.iter().skip(1));
        for (shard, (start, end)) in self.shards.iter().zip(bounds) {
            if let Some(rows) = order.get(*start..*end)
                && !rows.is_empty()
            {
                shard.append(rows, &shapes, relative, &self.budget);
            }
        }
        self.rows.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes_of(batch) as u64, Ordering::Relaxed);
    }

    /// Notes that a delete or catalogue change has a number of this generation.
    pub(crate) fn note_change(&self) {
        self.has_changes.store(true, Ordering::Relaxed);
    }

    /// Whether a flush of it would write nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows() == 0 && !self.has_changes.load(Ordering::Relaxed)
    }

    /// Rows that were applied, overwritten ones included.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes of the rows.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it has as many rows as it can number.
    pub(crate) fn is_at_capacity(&self) -> bool {
        self.rows() >= u64::from(u32::MAX / 2)
    }

    /// Whether the rows take at least `capacity` bytes: time to seal.
    pub(crate) fn is_full(&self, capacity: usize) -> bool {
        self.bytes() >= capacity as u64 || self.is_at_capacity()
    }

    /// Fixes what the generation holds. Called once, under the append lock.
    pub(crate) fn seal(&self, seal: Seal) {
        let first = self.sealed.set(seal).is_ok();
        debug_assert!(first, "a generation is sealed once");
    }

    /// What was fixed at the seal, once it is sealed.
    pub(crate) fn sealed(&self) -> Option<&Seal> {
        self.sealed.get()
    }

    fn shard_blocks(&self) -> Vec<Vec<Arc<block::RowBlock>>> {
        let list = |shard: &Shard| {
            let mut blocks = Vec::new();
            shard.blocks(&mut blocks);
            blocks
        };
        self.shards.iter().map(list).collect()
    }

    /// Times of the first and the last of the rows, if there are any.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        self.times.get()
    }

    /// The time index of the memtable: whether some row may lie in `time`. O(1).
    pub(crate) fn may_overlap(&self, time: TimeRange) -> bool {
        self.times.may_overlap(time)
    }

    /// Field sets of the rows of measurements, those of all of them with `None`; nothing where only the rows can tell.
    /// `series` has all series of the generation.
    ///
    /// # Errors
    /// A token that was used.
    pub(crate) fn field_sets(
        &self,
        series: &SeriesTable,
        namespace: NamespaceId,
        measurements: Option<&[Arc<str>]>,
        work: &mut Work,
    ) -> tsdb_core::Result<Option<Vec<SeenSet>>> {
        self.seen.of(&self.shard_blocks(), series, namespace, measurements, work)
    }

    /// Rows of the wanted series in `time` with numbers up to `seq_max`, which were all applied, sorted: in one index or
    /// two, the newer rows first. `work` pays for it.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn indexes(
        &self,
        wanted: &Wanted<'_>,
        seq_max: u64,
        time: TimeRange,
        work: &mut Work,
    ) -> tsdb_core::Result<Vec<RowIndex>> {
        let (blocks, through) = (self.shard_blocks(), self.relative(seq_max));
        self.kept.select(&blocks, wanted, through, time, &self.budget, work)
    }

    /// As [`Generation::indexes`], in one index that nothing is kept of.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn index(
        &self,
        wanted: &Wanted<'_>,
        seq_max: u64,
        time: TimeRange,
        work: &mut Work,
    ) -> tsdb_core::Result<RowIndex> {
        let stretch = Stretch::all(self.relative(seq_max));
        RowIndex::build(&self.shard_blocks(), wanted, stretch, time, work)
    }

    /// All rows, sorted once and kept. Only for a generation that is sealed and complete.
    pub(crate) fn sorted(&self) -> &RowIndex {
        debug_assert!(self.sealed.get().is_some(), "only a sealed generation stays sorted");
        self.sorted.get_or_init(|| {
            let mut work = Work::of_the_engine();
            match self.index(&Wanted::All, u64::MAX, TimeRange::all(), &mut work) {
                Ok(sorted) => sorted,
                Err(_) => unreachable!("nobody ends work of the engine, and no budget bounds it"),
            }
        })
    }
}

#[cfg(test)]
mod tests;

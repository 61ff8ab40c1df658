//! The rows of an open generation in order, kept from one question to the next: a question about many series sorts only
//! the rows that came since.

use std::sync::Arc;

use tsdb_core::sync::Mutex;
use tsdb_core::{MemoryBudget, Pool, Reservation, Result, TimeRange};

use super::block::RowBlock;
use super::index::{RowIndex, Stretch};
use super::wanted::{FEW_SERIES, Wanted};
use crate::work::Work;

/// New rows that are sorted for each question anew, at least; and in any case half as many as are kept in order. So the
/// rows of a generation are put in order about three times, however many questions there are.
const NEW_ROWS_MIN: usize = 64;

/// What is kept of a generation.
#[derive(Debug, Default)]
pub(super) struct KeptIndex {
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// All rows of the generation with numbers up to this one are in `index`; [`RowBlock::indexed`] rows of each block are
    /// among them.
    through: u64,
    index: Arc<RowIndex>,
    /// Pays for the index.
    _memory: Reservation,
}

impl KeptIndex {
    /// The wanted rows of a generation's blocks, by shard, with numbers up to `through`, in `time`: in one index, or in two
    /// where every number of the first is above all of the second. All rows up to `through` were applied.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(super) fn select(
        &self,
        shards: &[Vec<Arc<RowBlock>>],
        wanted: &Wanted<'_>,
        through: u64,
        time: TimeRange,
        budget: &MemoryBudget,
        work: &mut Work,
    ) -> Result<Vec<RowIndex>> {
        let is_narrow = matches!(wanted, Wanted::These(series) if series.len() <= FEW_SERIES);
        let mut kept = self.kept.lock();
        if !is_narrow {
            Kept::renew(&mut kept, shards, through, budget, work)?;
        }
        let Some(old) = kept.as_ref().filter(|kept| kept.through <= through) else {
            // Nothing is kept, or it is newer than what may be seen.
            drop(kept);
            return Ok(vec![RowIndex::build(shards, wanted, Stretch::all(through), time, work)?]);
        };
        let rest = Stretch { after: old.through, through, is_rest: true };
        let index = Arc::clone(&old.index);
        // Still under the lock, which fixes where the rest of each block begins.
        let new = RowIndex::build(shards, wanted, rest, time, work)?;
        drop(kept);
        Ok(vec![new, index.select(wanted, time, work)?])
    }
}

impl Kept {
    /// Puts all rows with numbers up to `through` in order, if there are many new ones and memory for that.
    fn renew(
        kept: &mut Option<Kept>,
        shards: &[Vec<Arc<RowBlock>>],
        through: u64,
        budget: &MemoryBudget,
        work: &Work,
    ) -> Result<()> {
        let (before, rows) = kept.as_ref().map_or((0, 0), |kept| (kept.through, kept.index.rows()));
        let blocks = || shards.iter().flatten();
        let new = blocks().map(|block| block.len()).sum::<usize>().saturating_sub(rows);
        if through <= before || new <= NEW_ROWS_MIN.max(rows / 2) {
            return Ok(());
        }
        let rows_max = (rows + new) * RowIndex::ROW_BYTES;
        let Ok(mut memory) = budget.reserve(Pool::Memtable, rows_max) else { return Ok(()) };
        // Before the rows are read: those that come meanwhile are not counted.
        let counted: Vec<usize> = blocks().map(|block| block.rows_through(through)).collect();
        let (all, mut apart) = (Stretch::all(through), work.apart());
        let index = RowIndex::build(shards, &Wanted::All, all, TimeRange::all(), &mut apart)?;
        memory.cover_anyway(index.bytes());
        blocks().zip(counted).for_each(|(block, rows)| block.set_indexed(rows));
        *kept = Some(Kept { through, index: Arc::new(index), _memory: memory });
        Ok(())
    }
}

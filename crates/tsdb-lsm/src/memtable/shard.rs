//! One shard of a generation: the buffers that rows of a part of the series are appended to, one buffer
//! for each number of columns.

use std::sync::Arc;

use tsdb_core::sync::Mutex;
use tsdb_core::{FieldSetRef, MemoryBudget, Pool, Reservation, WriteBatch};

use super::block::{NewRow, RowBlock, RowVersion};

/// Shards of a generation. Enough that two writers seldom wait for each other; each holds a block per
/// number of columns, so more would cost memory for small tables.
pub(crate) const SHARDS: usize = 16;

/// Place of each row of a batch: its field set, number of values, and where its values begin.
pub(crate) struct RowShapes<'a> {
    batch: &'a WriteBatch,
    /// Empty when all rows are alike.
    rows: Vec<Shape>,
    single: Shape,
}

#[derive(Clone, Copy)]
struct Shape {
    field_set: FieldSetRef,
    columns: usize,
    values_start: usize,
}

impl<'a> RowShapes<'a> {
    pub(crate) fn new(batch: &'a WriteBatch) -> RowShapes<'a> {
        let none = Shape { field_set: FieldSetRef(0), columns: 0, values_start: 0 };
        let mut rows = Vec::new();
        let single = match batch.segments() {
            [] => none,
            [only] => {
                Shape { field_set: only.field_set, columns: only.columns as usize, values_start: 0 }
            }
            many => {
                rows.reserve(batch.len());
                let mut values_start = 0;
                for segment in many {
                    let columns = segment.columns as usize;
                    for _ in 0..segment.rows {
                        rows.push(Shape { field_set: segment.field_set, columns, values_start });
                        values_start += columns;
                    }
                }
                none
            }
        };
        RowShapes { batch, rows, single }
    }

    #[inline]
    fn of(&self, row: usize) -> Shape {
        match self.rows.get(row) {
            Some(shape) => *shape,
            None => Shape { values_start: row * self.single.columns, ..self.single },
        }
    }

    #[inline]
    fn row(&self, row: usize, seq: u32) -> NewRow<'a> {
        let shape = self.of(row);
        let values = shape.values_start..shape.values_start + shape.columns;
        #[expect(
            clippy::indexing_slicing,
            reason = "rows come from the batch that made the shapes"
        )]
        #[expect(clippy::cast_possible_truncation, reason = "a batch has at most 2^20 rows")]
        NewRow {
            series: self.batch.series()[row],
            field_set: shape.field_set,
            time: self.batch.times()[row],
            version: RowVersion::new(seq, row as u32),
            values: &self.batch.values()[values],
        }
    }
}

#[derive(Debug, Default)]
struct Buffer {
    columns: usize,
    blocks: Vec<Arc<RowBlock>>,
}

#[derive(Debug, Default)]
struct State {
    buffers: Vec<Buffer>,
    reserved: Option<Reservation>,
}

/// Buffers behind one lock, which writers hold while they copy and readers only to list the blocks.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    state: Mutex<State>,
}

impl Shard {
    /// Appends the rows `rows` (places in the batch, ascending) of a batch. Blocks are charged to the
    /// memtable even beyond its limit: the writer reserved for the rows before, and this must not fail.
    pub(crate) fn append(
        &self,
        rows: &[u32],
        shapes: &RowShapes<'_>,
        seq: u32,
        budget: &MemoryBudget,
    ) {
        let mut state = self.state.lock();
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let columns = shapes.of(*first as usize).columns;
            let block = state.block_with_room(columns, budget);
            let fitting = rest.iter().take(block.room());
            let count =
                fitting.take_while(|row| shapes.of(**row as usize).columns == columns).count();
            let (now, later) = rest.split_at(count);
            block.append(now.iter().map(|row| shapes.row(*row as usize, seq)));
            rest = later;
        }
    }

    /// All blocks, in the order in which they were made.
    pub(crate) fn blocks(&self, out: &mut Vec<Arc<RowBlock>>) {
        let state = self.state.lock();
        out.extend(state.buffers.iter().flat_map(|buffer| buffer.blocks.iter().cloned()));
    }
}

impl State {
    fn block_with_room(&mut self, columns: usize, budget: &MemoryBudget) -> Arc<RowBlock> {
        let place = self.buffers.iter().position(|buffer| buffer.columns == columns);
        let place = place.unwrap_or_else(|| {
            self.buffers.push(Buffer { columns, blocks: Vec::new() });
            self.buffers.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        let buffer = &mut self.buffers[place];
        match buffer.blocks.last() {
            Some(last) if last.room() > 0 => Arc::clone(last),
            last => {
                let block =
                    Arc::new(RowBlock::following(last.map_or(0, |last| last.bytes()), columns));
                let charged = budget.reserve_anyway(Pool::Memtable, block.bytes());
                match &mut self.reserved {
                    Some(reserved) => reserved.merge(charged),
                    none => *none = Some(charged),
                }
                buffer.blocks.push(Arc::clone(&block));
                block
            }
        }
    }
}

//! Makes chunks of what a merge yields for one series: copies those that are long, joins short ones once they fill a
//! chunk together, encodes rows.

use std::sync::Arc;

use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::{Block, Presence, TimeColumn};

use crate::error::Result;
use crate::flush::push_block;
use crate::sst::{RawChunk, RunWriter};

/// A chunk of so many rows is never joined with others: what that would save is not worth encoding it again.
const LONG_ROWS: usize = BLOCK_ROWS_MAX / 2;

/// What a merge did with the values of its inputs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct JoinCounts {
    pub encoded: u64,
    /// Of these, values that were encoded twice before.
    pub encoded_again: u64,
    pub copied: u64,
}

/// The rows of one series on their way to the output.
pub(super) struct Joiner<'w> {
    writer: &'w mut RunWriter,
    names: &'w Arc<[Arc<str>]>,
    /// Whether short chunks are joined though they fill no chunk together: no later merge will do it.
    is_last: bool,
    /// Chunks that may be joined, all behind those that were written.
    waiting: Vec<RawChunk>,
    waiting_rows: usize,
    /// Rows that must be encoded; then nothing is waiting.
    rows: Block,
    /// How often the values of `rows` were encoded, at most.
    encodings: u32,
    scratch: Block,
    pub(super) counts: JoinCounts,
}

impl<'w> Joiner<'w> {
    /// For the columns `names`, which are sorted.
    pub(super) fn new(
        writer: &'w mut RunWriter,
        names: &'w Arc<[Arc<str>]>,
        is_last: bool,
    ) -> Joiner<'w> {
        let mut rows = Block::new();
        rows.reset(0, names.len());
        Joiner {
            writer,
            names,
            is_last,
            waiting: Vec::new(),
            waiting_rows: 0,
            rows,
            encodings: 0,
            scratch: Block::new(),
            counts: JoinCounts::default(),
        }
    }

    /// Adds rows, encoded `encodings` times at most, which come after everything before.
    pub(super) fn push_rows(&mut self, block: &mut Block, encodings: u32) -> Result<()> {
        self.decode_waiting()?;
        self.add_rows(block, encodings)
    }

    /// Adds a chunk as it is encoded, which comes after everything before.
    pub(super) fn push_chunk(&mut self, chunk: RawChunk) -> Result<()> {
        let rows = chunk.rows as usize;
        if rows >= LONG_ROWS {
            self.end_rows()?;
            self.end_waiting()?;
            return self.copy(&chunk);
        }
        if !self.rows.is_empty() {
            self.waiting.push(chunk);
            return self.decode_waiting();
        }
        if self.waiting_rows + rows > BLOCK_ROWS_MAX {
            self.join_waiting()?;
        }
        self.waiting_rows += rows;
        self.waiting.push(chunk);
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<JoinCounts> {
        self.end_rows()?;
        self.end_waiting()?;
        Ok(self.counts)
    }

    fn copy(&mut self, chunk: &RawChunk) -> Result<()> {
        self.counts.copied += chunk.cells();
        self.writer.push_raw(chunk)
    }

    /// Writes the chunks that wait: joined if this is their last merge, else as they are.
    fn end_waiting(&mut self) -> Result<()> {
        if self.is_last && self.waiting.len() > 1 {
            return self.join_waiting();
        }
        self.waiting_rows = 0;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().try_for_each(|chunk| self.copy(chunk))
    }

    /// Joins the chunks that wait to one, unless it is one already.
    fn join_waiting(&mut self) -> Result<()> {
        if self.waiting.len() > 1 {
            self.decode_waiting()?;
            return self.end_rows();
        }
        self.waiting_rows = 0;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().try_for_each(|chunk| self.copy(chunk))
    }

    fn decode_waiting(&mut self) -> Result<()> {
        self.waiting_rows = 0;
        for chunk in std::mem::take(&mut self.waiting) {
            let mut block = std::mem::take(&mut self.scratch);
            chunk.decode(self.names, &mut block)?;
            self.add_rows(&mut block, chunk.encodings)?;
            self.scratch = block;
        }
        Ok(())
    }

    fn add_rows(&mut self, more: &mut Block, encodings: u32) -> Result<()> {
        self.encodings = self.encodings.max(encodings);
        if self.rows.is_empty() && more.len() == BLOCK_ROWS_MAX {
            std::mem::swap(&mut self.rows, more);
            return self.end_rows();
        }
        let (old, new) = (self.rows.len(), more.len());
        let cut = (BLOCK_ROWS_MAX - old).min(new);
        append(&mut self.rows, more, 0..cut);
        if self.rows.len() == BLOCK_ROWS_MAX {
            self.end_rows()?;
            self.encodings = encodings;
            append(&mut self.rows, more, cut..new);
        }
        Ok(())
    }

    /// Encodes the rows as a chunk.
    fn end_rows(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let encodings = std::mem::take(&mut self.encodings) + 1;
        let values = push_block(self.writer, self.names, &self.rows, encodings)?;
        self.counts.encoded += values;
        self.counts.encoded_again += if encodings > 2 { values } else { 0 };
        self.rows.reset(0, self.names.len());
        Ok(())
    }
}

/// Appends the rows `rows` of `from` to `to`.
fn append(to: &mut Block, from: &Block, rows: std::ops::Range<usize>) {
    if rows.is_empty() {
        return;
    }
    let old = to.len();
    for (target, source) in to.columns.iter_mut().zip(&from.columns) {
        let absent = |column: &tsdb_core::Column| column.presence == Presence::None;
        if absent(target) && absent(source) {
            continue;
        }
        let all = |column: &tsdb_core::Column| column.presence == Presence::All;
        if (old == 0 || all(target)) && all(source) {
            target.presence = Presence::All;
            target.values.extend_from_slice(source.values.get(rows.clone()).unwrap_or(&[]));
            continue;
        }
        let before = std::mem::take(target);
        let old_rows = (0..old).map(|row| before.get(row));
        target.fill(old_rows.chain(rows.clone().map(|row| source.get(row))));
    }
    let mut stamps: Vec<i64> = to.times.iter().collect();
    stamps.extend(rows.filter_map(|row| from.times.get(row)));
    to.times = TimeColumn::Stamps(stamps);
}

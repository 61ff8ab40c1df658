//! From places to columns: merges the rows of one series in one generation, newest value per field, and
//! fills blocks with them.

use std::sync::Arc;
use tsdb_core::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use tsdb_core::{Block, Column, FieldSetRef, Presence, TimeRange};
use tsdb_index::FieldSets;

use super::index::{Place, RowIndex};

/// Where the columns of a scan stand in each field set.
#[derive(Debug)]
pub(crate) struct ColumnMap {
    columns: Arc<[Arc<str>]>,
    sets: HashMap<FieldSetRef, Box<[Option<u16>]>, foldhash::fast::RandomState>,
}

impl ColumnMap {
    pub(crate) fn new(columns: Arc<[Arc<str>]>) -> ColumnMap {
        ColumnMap { columns, sets: HashMap::default() }
    }

    pub(crate) fn columns(&self) -> &Arc<[Arc<str>]> {
        &self.columns
    }

    /// Makes [`ColumnMap::places`] know `set`.
    pub(crate) fn learn(&mut self, set: FieldSetRef, known: &FieldSets) {
        if self.sets.contains_key(&set) {
            return;
        }
        let fields = known.get(set);
        let place = |column: &Arc<str>| {
            let position = fields.as_ref().and_then(|set| set.position(column));
            position.and_then(|p| u16::try_from(p).ok())
        };
        self.sets.insert(set, self.columns.iter().map(place).collect());
    }

    fn places(&self, set: FieldSetRef) -> &[Option<u16>] {
        self.sets.get(&set).map_or(&[], |places| &**places)
    }
}

/// Rows that a delete hides: those in `time` with a smaller sequence number (counted from the
/// generation's base) than `seq`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowDelete {
    pub seq: u64,
    pub time: TimeRange,
}

/// Length of the part at the front of `places` that holds at most `times_max` different times, all rows of each.
pub(crate) fn front_part(places: &[Place], times_max: usize) -> usize {
    if places.len() <= times_max {
        return places.len();
    }
    places.chunk_by(|a, b| a.time == b.time).take(times_max).map(<[Place]>::len).sum()
}

/// As [`front_part`] at the back.
pub(crate) fn back_part(places: &[Place], times_max: usize) -> usize {
    if places.len() <= times_max {
        return places.len();
    }
    places.chunk_by(|a, b| a.time == b.time).rev().take(times_max).map(<[Place]>::len).sum()
}

/// Fills `block` with the rows at `places` (as [`front_part`] or [`back_part`] cut them), oldest first:
/// per time and field the newest value, without what `deletes` hide. Rows without any of the columns
/// are left out. The map must know all field sets.
pub(crate) fn fill(
    index: &RowIndex,
    places: &[Place],
    map: &ColumnMap,
    deletes: &[RowDelete],
    block: &mut Block,
) {
    if deletes.is_empty() && fill_uniform(index, places, map, block) {
        return;
    }
    fill_merged(index, places, map, deletes, block);
}

/// The common case: all rows have the same fields and different times. False if it is not that case,
/// and then the block is empty.
fn fill_uniform(index: &RowIndex, places: &[Place], map: &ColumnMap, block: &mut Block) -> bool {
    let Some((first, row)) = places.first().and_then(|place| index.row(*place)) else {
        return true;
    };
    let set = first.field_set(row);
    let positions = map.places(set);
    if positions.iter().all(Option::is_none) {
        return false;
    }
    let stamps = block.times.stamps_mut();
    for place in places {
        let Some((rows, row)) = index.row(*place) else { continue };
        if rows.field_set(row) != set || stamps.last().is_some_and(|last| *last >= place.time) {
            stamps.clear();
            return false;
        }
        stamps.push(place.time);
    }
    let mut tile: Vec<&[AtomicU64]> = Vec::with_capacity(TILE_ROWS);
    for places in places.chunks(TILE_ROWS) {
        tile.clear();
        let rows = places.iter().filter_map(|place| index.row(*place));
        tile.extend(rows.map(|(block, row)| block.values(row)));
        for (column, position) in block.columns.iter_mut().zip(positions) {
            let Some(position) = position else { continue };
            let position = usize::from(*position);
            column.presence = Presence::All;
            column.values.extend(tile.iter().map(|values| {
                let bits = values.get(position).map_or(0, |bits| bits.load(Ordering::Relaxed));
                f64::from_bits(bits)
            }));
        }
    }
    true
}

/// Rows that are turned into columns at a time: they stay in the first-level cache until the last column.
const TILE_ROWS: usize = 64;

fn fill_merged(
    index: &RowIndex,
    places: &[Place],
    map: &ColumnMap,
    deletes: &[RowDelete],
    block: &mut Block,
) {
    let mut builder = BlockBuilder::new(block);
    for versions in places.chunk_by(|a, b| a.time == b.time) {
        let Some(time) = versions.first().map(|place| place.time) else { continue };
        // Newest first, so that the first value of a field that is met is the one that counts.
        for place in versions.iter().rev() {
            let seq = index.version(*place).seq();
            if deletes.iter().any(|d| seq < d.seq && d.time.contains(time)) {
                continue;
            }
            let Some((rows, row)) = index.row(*place) else { continue };
            for (column, position) in map.places(rows.field_set(row)).iter().enumerate() {
                if let Some(position) = position {
                    builder.offer(column, || rows.value(row, usize::from(*position)));
                }
            }
        }
        builder.end_row(time);
    }
    builder.finish();
}

/// Builds a block row by row, taking the first value that is offered for each column of a row.
pub(crate) struct BlockBuilder<'a> {
    block: &'a mut Block,
    /// Whether each column has a value in the row at hand.
    taken: Vec<bool>,
    bits: Vec<Vec<u64>>,
    counts: Vec<usize>,
    rows: usize,
}

impl<'a> BlockBuilder<'a> {
    /// `block` was reset for its columns.
    pub(crate) fn new(block: &'a mut Block) -> BlockBuilder<'a> {
        let columns = block.columns.len();
        block.times.stamps_mut();
        BlockBuilder {
            block,
            taken: vec![false; columns],
            bits: vec![Vec::new(); columns],
            counts: vec![0; columns],
            rows: 0,
        }
    }

    /// Offers a value for a column of the row at hand.
    #[inline]
    pub(crate) fn offer(&mut self, column: usize, value: impl FnOnce() -> f64) {
        let Some(taken) = self.taken.get_mut(column) else { return };
        if *taken {
            return;
        }
        *taken = true;
        let row = self.rows;
        if let (Some(column), Some(bits), Some(count)) = (
            self.block.columns.get_mut(column),
            self.bits.get_mut(column),
            self.counts.get_mut(column),
        ) {
            column.values.resize(row, 0.0);
            column.values.push(value());
            bits.resize(row / 64 + 1, 0);
            if let Some(word) = bits.last_mut() {
                *word |= 1 << (row % 64);
            }
            *count += 1;
        }
    }

    /// Ends the row at hand; without any value it is no row.
    pub(crate) fn end_row(&mut self, time: i64) {
        if !self.taken.contains(&true) {
            return;
        }
        self.taken.fill(false);
        if let tsdb_core::TimeColumn::Stamps(stamps) = &mut self.block.times {
            stamps.push(time);
        }
        self.rows += 1;
    }

    /// Rows that were ended.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Gives every column its presence.
    pub(crate) fn finish(self) {
        let rows = self.rows;
        let parts = self.block.columns.iter_mut().zip(self.bits).zip(self.counts);
        for ((column, mut bits), count) in parts {
            column.presence = match count {
                0 => Presence::None,
                n if n == rows => Presence::All,
                _ => {
                    column.values.resize(rows, 0.0);
                    bits.resize(rows.div_ceil(64), 0);
                    Presence::Some(bits)
                }
            };
        }
    }
}

/// Turns the rows of a block around.
pub(crate) fn reverse(block: &mut Block) {
    let rows = block.len();
    match &mut block.times {
        tsdb_core::TimeColumn::Stamps(stamps) => stamps.reverse(),
        tsdb_core::TimeColumn::Span { first, last, .. } => std::mem::swap(first, last),
        tsdb_core::TimeColumn::Regular { first, step, count } => {
            if let Some(last) = i64::try_from(*count).ok().and_then(|n| n.checked_sub(1)) {
                *first = first.wrapping_add(step.wrapping_mul(last));
                *step = step.wrapping_neg();
            }
        }
    }
    block.columns.iter_mut().for_each(|column| reverse_column(column, rows));
}

fn reverse_column(column: &mut Column, rows: usize) {
    column.values.reverse();
    if let Presence::Some(bits) = &mut column.presence {
        let mut turned = vec![0u64; bits.len()];
        for row in 0..rows {
            let set = bits.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1);
            let to = rows - 1 - row;
            if let Some(word) = turned.get_mut(to / 64)
                && set
            {
                *word |= 1 << (to % 64);
            }
        }
        *bits = turned;
    }
}

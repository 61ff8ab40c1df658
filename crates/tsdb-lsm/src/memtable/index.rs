//! Rows of a generation by series, each series in order of time: what seal sorts and what scans read.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tsdb_core::{FieldSetRef, Result, SeriesRef, TimeRange};

use super::block::{RowBlock, RowVersion};
use super::shard::SHARDS;
use super::wanted::{FEW_SERIES, Probe, Wanted};
use crate::work::Work;

/// A row: which block, and where in it. Its time stands beside, since the rows of a series lie far apart and most
/// questions about them are about their order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// In ns.
    pub time: i64,
    block: u32,
    row: u32,
}

/// Sorted places of rows, and the blocks they point to.
#[derive(Debug, Default)]
pub(crate) struct RowIndex {
    sorted: Arc<Sorted>,
    /// Ascending.
    series: Vec<SeriesRows>,
    /// Of all rows.
    field_sets: BTreeSet<FieldSetRef>,
    rows: usize,
}

/// Rows that one index was built of, and others were selected from.
#[derive(Debug, Default)]
struct Sorted {
    blocks: Vec<Arc<RowBlock>>,
    /// By series, then time, then version.
    places: Vec<Place>,
}

/// Rows of one series.
#[derive(Debug, Clone)]
struct SeriesRows {
    series: SeriesRef,
    /// Part of [`Sorted::places`].
    places: Range<u32>,
    /// What all of them have, if they have the same.
    field_set: Option<FieldSetRef>,
}

/// Which rows of the blocks an index is built of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// Versions' numbers above this one; all are above 0.
    pub after: u64,
    /// And up to this one.
    pub through: u64,
    /// Only rows behind those that [`RowBlock::indexed`] counts.
    pub is_rest: bool,
}

impl Stretch {
    /// All rows with numbers up to `through`.
    pub(crate) fn all(through: u64) -> Stretch {
        Stretch { after: 0, through, is_rest: false }
    }
}

/// Memory of a row while its shard is sorted: found, and its place in the index.
const SORTED_ROW_BYTES: usize = size_of::<FoundRow>() + size_of::<Place>();

/// A row before it is in order.
#[derive(Debug, Clone, Copy)]
struct FoundRow {
    place: Place,
    series: SeriesRef,
    field_set: FieldSetRef,
}

/// What is known of a series of a shard while its rows are counted and put in their places.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Where its rows begin among those of the shard, then where the next one goes.
    next: usize,
    rows: usize,
    /// Of its first row; [`Slot::is_mixed`] says whether another one has another.
    field_set: Option<FieldSetRef>,
    is_mixed: bool,
}

/// Steps of an insertion sort for each item, on average, before another sort takes over.
const INSERTION_STEPS: usize = 4;

impl RowIndex {
    /// Memory of a row while an index is built, in bytes, where the rows are spread over the shards.
    pub(super) const ROW_BYTES: usize = size_of::<Place>() + size_of::<FoundRow>() / SHARDS;

    /// Sorts the wanted rows of `shards` (the blocks of each shard) that belong to `stretch` and whose time lies in
    /// `time`.
    ///
    /// O(rows) where the rows of each series came nearly in order of time, else O(rows log rows).
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn build(
        shards: &[Vec<Arc<RowBlock>>],
        wanted: &Wanted<'_>,
        stretch: Stretch,
        time: TimeRange,
        work: &mut Work,
    ) -> Result<RowIndex> {
        let mut sorted = Sorted::default();
        let mut index = RowIndex::default();
        let all_rows = |blocks: &[Arc<RowBlock>]| match wanted {
            Wanted::All if !stretch.is_rest => blocks.iter().map(|block| block.len()).sum(),
            _ => 0,
        };
        // At once: what grows leaves as much behind, which the allocator keeps for a while.
        sorted.places.reserve_exact(shards.iter().map(|blocks| all_rows(blocks)).sum());
        for (shard, blocks) in shards.iter().enumerate() {
            let probe = Probe::new(wanted, shard);
            let mut found: Vec<FoundRow> = Vec::with_capacity(all_rows(blocks));
            for block in blocks {
                let rows = block.len();
                let first = if stretch.is_rest { block.indexed() } else { 0 };
                if first >= rows || !block.may_overlap(time) || !probe.may_hold(block) {
                    continue;
                }
                let number = u32::try_from(sorted.blocks.len()).unwrap_or(u32::MAX);
                sorted.blocks.push(Arc::clone(block));
                work.check()?;
                let before = found.len();
                for row in first..rows {
                    let (series, at) = (block.series(row), block.time(row));
                    let seq = block.version(row).seq();
                    let is_of_stretch = seq > stretch.after && seq <= stretch.through;
                    if probe.wants(series) && time.contains(at) && is_of_stretch {
                        let field_set = block.field_set(row);
                        let row = u32::try_from(row).unwrap_or(u32::MAX);
                        let place = Place { time: at, block: number, row };
                        found.push(FoundRow { place, series, field_set });
                    }
                }
                // After a block, which is bounded: asking row by row would cost more than the rows.
                work.hold((found.len() - before) * SORTED_ROW_BYTES)?;
            }
            let scratch = found.len() * (SORTED_ROW_BYTES - size_of::<Place>());
            index.add_shard(&mut sorted, found);
            work.release(scratch);
        }
        work.hold(index.series.len() * size_of::<SeriesRows>())?;
        index.series.sort_unstable_by_key(|rows| rows.series);
        index.rows = sorted.places.len();
        index.sorted = Arc::new(sorted);
        Ok(index)
    }

    /// Groups the rows of one shard by series (a counting sort: references are dense) and sorts each
    /// group that is not in order yet.
    fn add_shard(&mut self, sorted: &mut Sorted, mut found: Vec<FoundRow>) {
        let number = |row: &FoundRow| row.series.0 as usize / SHARDS;
        let Some(first) = found.iter().map(number).min() else { return };
        let slots = found.iter().map(number).max().unwrap_or(0) - first + 1;
        let (base, parts) = (sorted.places.len(), self.series.len());
        if slots <= found.len().saturating_mul(8) {
            self.scatter(sorted, &found, first, slots);
        } else {
            found.sort_by_key(|row| row.series);
            sorted.places.extend(found.iter().map(|row| row.place));
            let mut start = base;
            for group in found.chunk_by(|a, b| a.series == b.series) {
                let Some(row) = group.first() else { continue };
                let is_uniform = group.iter().all(|other| other.field_set == row.field_set);
                let rows = start..start + group.len();
                start = rows.end;
                self.add_series(row.series, rows, is_uniform.then_some(row.field_set));
            }
        }
        for same in found.chunk_by(|a, b| a.field_set == b.field_set) {
            self.field_sets.extend(same.first().map(|row| row.field_set));
        }
        let Sorted { blocks, places } = sorted;
        for rows in self.series.get(parts..).unwrap_or_default() {
            let range = rows.places.start as usize..rows.places.end as usize;
            sort_nearly_sorted(places.get_mut(range).unwrap_or_default(), |a, b| {
                let by_time = a.time.cmp(&b.time);
                by_time.then_with(|| version_of(blocks, *a).cmp(&version_of(blocks, *b)))
            });
        }
    }

    /// The counting sort of [`RowIndex::add_shard`]: `slots` series from the `first` of the shard on.
    fn scatter(&mut self, sorted: &mut Sorted, found: &[FoundRow], first: usize, slots: usize) {
        let slot_of = |row: &FoundRow| row.series.0 as usize / SHARDS - first;
        let mut slots = vec![Slot::default(); slots];
        for row in found {
            if let Some(slot) = slots.get_mut(slot_of(row)) {
                slot.rows += 1;
                slot.is_mixed |= slot.field_set.is_some_and(|set| set != row.field_set);
                slot.field_set = Some(row.field_set);
            }
        }
        let mut end = sorted.places.len();
        for slot in &mut slots {
            slot.next = end;
            end += slot.rows;
        }
        sorted.places.resize(end, Place { time: 0, block: 0, row: 0 });
        for row in found {
            let Some(slot) = slots.get_mut(slot_of(row)) else { continue };
            let is_first = slot.rows > 0;
            if let Some(free) = sorted.places.get_mut(slot.next) {
                *free = row.place;
            }
            if is_first {
                let rows = slot.next..slot.next + std::mem::take(&mut slot.rows);
                let field_set = slot.field_set.filter(|_| !slot.is_mixed);
                self.add_series(row.series, rows, field_set);
            }
            slot.next += 1;
        }
    }

    fn add_series(
        &mut self,
        series: SeriesRef,
        rows: Range<usize>,
        field_set: Option<FieldSetRef>,
    ) {
        if let (Ok(start), Ok(end)) = (u32::try_from(rows.start), u32::try_from(rows.end)) {
            self.series.push(SeriesRows { series, places: start..end, field_set });
        }
    }

    /// The wanted rows among its own whose time lies in `time`. O(wanted series), and some steps of bisection for each.
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn select(
        &self,
        wanted: &Wanted<'_>,
        time: TimeRange,
        work: &mut Work,
    ) -> Result<RowIndex> {
        let mut selected = RowIndex { sorted: Arc::clone(&self.sorted), ..RowIndex::default() };
        match wanted {
            Wanted::All => {
                for rows in &self.series {
                    work.step()?;
                    selected.take(rows, time, work)?;
                }
            }
            Wanted::These(series) if series.len() <= FEW_SERIES => {
                for series in *series {
                    if let Some(rows) = self.rows_of(*series) {
                        selected.take(rows, time, work)?;
                    }
                }
            }
            Wanted::These(series) => {
                let mut own = self.series.iter().peekable();
                for series in *series {
                    work.step()?;
                    while own.next_if(|rows| rows.series < *series).is_some() {}
                    if let Some(rows) = own.next_if(|rows| rows.series == *series) {
                        selected.take(rows, time, work)?;
                    }
                }
            }
        }
        Ok(selected)
    }

    /// Takes the part in `time` of rows that are in [`RowIndex::sorted`].
    fn take(&mut self, rows: &SeriesRows, time: TimeRange, work: &mut Work) -> Result<()> {
        let all = self.sorted.of(&rows.places);
        let before = all.partition_point(|place| place.time < time.start);
        let rest = all.get(before..).unwrap_or(&[]);
        let count = rest.partition_point(|place| place.time < time.end);
        let part = rest.get(..count).unwrap_or(&[]);
        if part.is_empty() {
            return Ok(());
        }
        work.hold(size_of::<SeriesRows>())?;
        match rows.field_set {
            Some(only) => {
                self.field_sets.insert(only);
            }
            None => self.field_sets.extend(part.iter().filter_map(|place| {
                self.sorted.row(*place).map(|(block, row)| block.field_set(row))
            })),
        }
        self.rows += count;
        let (start, length) = (u32::try_from(before), u32::try_from(count));
        if let (Ok(start), Ok(length)) = (start, length) {
            let start = rows.places.start + start;
            self.series.push(SeriesRows { places: start..start + length, ..rows.clone() });
        }
        Ok(())
    }

    /// Series with rows, ascending.
    pub(crate) fn series(&self) -> impl ExactSizeIterator<Item = SeriesRef> {
        self.series.iter().map(|rows| rows.series)
    }

    /// Field sets that its rows have.
    pub(crate) fn field_sets(&self) -> impl Iterator<Item = FieldSetRef> {
        self.field_sets.iter().copied()
    }

    /// Places of the rows of `series`, by time, then version. O(log series).
    pub(crate) fn places(&self, series: SeriesRef) -> &[Place] {
        self.rows_of(series).map_or(&[], |rows| self.sorted.of(&rows.places))
    }

    fn rows_of(&self, series: SeriesRef) -> Option<&SeriesRows> {
        let at = self.series.binary_search_by_key(&series, |rows| rows.series).ok()?;
        self.series.get(at)
    }

    /// Number of rows, overwritten ones included.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Memory of an index that was built, in bytes; the blocks belong to the generation.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.sorted.places) + size_of_val(&*self.series)
    }

    pub(crate) fn version(&self, place: Place) -> RowVersion {
        version_of(&self.sorted.blocks, place)
    }

    /// Block and row behind a place.
    pub(crate) fn row(&self, place: Place) -> Option<(&RowBlock, usize)> {
        self.sorted.row(place)
    }
}

impl Sorted {
    fn of(&self, places: &Range<u32>) -> &[Place] {
        self.places.get(places.start as usize..places.end as usize).unwrap_or(&[])
    }

    fn row(&self, place: Place) -> Option<(&RowBlock, usize)> {
        self.blocks.get(place.block as usize).map(|block| (&**block, place.row as usize))
    }
}

/// Sorts what a few writers beside one another left nearly in order: by insertion while that takes few steps for each
/// item, else as any other slice. Equal items may change places.
fn sort_nearly_sorted<T: Copy>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut steps_left = items.len() * INSERTION_STEPS;
    for next in 1..items.len() {
        let (sorted, rest) = items.split_at(next);
        let Some(item) = rest.first().copied() else { return };
        let after = sorted.iter().rev().take_while(|other| compare(other, &item).is_gt()).count();
        if after == 0 {
            continue;
        }
        if after > steps_left {
            return items.sort_unstable_by(compare);
        }
        steps_left -= after;
        if let Some(part) = items.get_mut(next - after..=next) {
            part.rotate_right(1);
        }
    }
}

fn version_of(blocks: &[Arc<RowBlock>], place: Place) -> RowVersion {
    let none = RowVersion::new(0, 0);
    blocks.get(place.block as usize).map_or(none, |b| b.version(place.row as usize))
}

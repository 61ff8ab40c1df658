//! Rows of a generation by series, each series in order of time: what seal sorts and what scans read.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tsdb_core::{FieldSetRef, Result, SeriesRef, TimeRange};

use super::block::{RowBlock, RowVersion, mask_bit};
use super::shard::SHARDS;
use crate::work::Work;

/// A row: which block, and where in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    block: u32,
    row: u32,
}

/// Sorted places of rows, and the blocks they point to.
#[derive(Debug, Default)]
pub(crate) struct RowIndex {
    blocks: Vec<Arc<RowBlock>>,
    /// Ascending; ranges into `places`.
    series: Vec<(SeriesRef, Range<u32>)>,
    /// By series, then time, then version.
    places: Vec<Place>,
    /// Of all rows.
    field_sets: BTreeSet<FieldSetRef>,
}

/// Which series an index is wanted for.
pub(crate) enum Wanted<'a> {
    /// All of them.
    All,
    /// These, ascending.
    These(&'a [SeriesRef]),
}

/// Memory of a row while its shard is sorted: found, put in order, and its place in the index.
const SORTED_ROW_BYTES: usize = 2 * size_of::<(SeriesRef, Place)>() + size_of::<Place>();

/// More wanted series than this are looked up in a bitmap instead of by bisection.
const BISECT_MAX: usize = 32;

/// A bitmap takes at most so many words per wanted series; where they lie further apart, which those do that stayed when
/// others were evicted, they are looked up by bisection after all.
const WORDS_PER_SERIES_MAX: usize = 4;

/// Decides quickly whether a series is wanted.
enum Probe<'a> {
    All,
    Few { sorted: &'a [SeriesRef], mask: u64 },
    Many { first: usize, bits: Vec<u64> },
}

impl Probe<'_> {
    fn new<'a>(wanted: &Wanted<'a>, shard: usize) -> Probe<'a> {
        let here = |series: &&SeriesRef| series.0 as usize % SHARDS == shard;
        match wanted {
            Wanted::All => Probe::All,
            Wanted::These(sorted) => {
                let word = |series: Option<&SeriesRef>| series.map_or(0, |s| s.0 as usize / 64);
                let first = word(sorted.first());
                let words = word(sorted.last()) - first + 1;
                if sorted.len() <= BISECT_MAX || words / WORDS_PER_SERIES_MAX > sorted.len() {
                    let mask = sorted.iter().filter(here).fold(0, |mask, s| mask | mask_bit(*s));
                    return Probe::Few { sorted, mask };
                }
                let mut bits = vec![0; words];
                for series in *sorted {
                    if let Some(word) = bits.get_mut(series.0 as usize / 64 - first) {
                        *word |= 1 << (series.0 % 64);
                    }
                }
                Probe::Many { first, bits }
            }
        }
    }

    fn may_hold(&self, block: &RowBlock) -> bool {
        match self {
            Probe::Few { mask, .. } => block.may_hold(*mask),
            _ => true,
        }
    }

    fn wants(&self, series: SeriesRef) -> bool {
        match self {
            Probe::All => true,
            Probe::Few { sorted, .. } => sorted.binary_search(&series).is_ok(),
            Probe::Many { first, bits } => (series.0 as usize / 64)
                .checked_sub(*first)
                .and_then(|word| bits.get(word))
                .is_some_and(|word| word >> (series.0 % 64) & 1 == 1),
        }
    }
}

impl RowIndex {
    /// Sorts the wanted rows of `shards` (the blocks of each shard) whose version's number is at most
    /// `seq_max` (counted from the generation's base) and whose time lies in `time`.
    ///
    /// O(rows) where the rows of each series came in order of time, else O(rows log rows).
    ///
    /// # Errors
    /// A token that was used, memory that is used up.
    pub(crate) fn build(
        shards: &[Vec<Arc<RowBlock>>],
        wanted: &Wanted<'_>,
        seq_max: u64,
        time: TimeRange,
        work: &mut Work,
    ) -> Result<RowIndex> {
        let mut index = RowIndex::default();
        let mut last_set = None;
        let mut parts: Vec<(SeriesRef, Range<u32>)> = Vec::new();
        for (shard, blocks) in shards.iter().enumerate() {
            let probe = Probe::new(wanted, shard);
            let mut found: Vec<(SeriesRef, Place)> = Vec::new();
            for block in blocks {
                let rows = block.len();
                if rows == 0 || !block.may_overlap(time) || !probe.may_hold(block) {
                    continue;
                }
                let number = u32::try_from(index.blocks.len()).unwrap_or(u32::MAX);
                index.blocks.push(Arc::clone(block));
                work.check()?;
                let before = found.len();
                for row in 0..rows {
                    let series = block.series(row);
                    if probe.wants(series)
                        && time.contains(block.time(row))
                        && block.version(row).seq() <= seq_max
                    {
                        let set = block.field_set(row);
                        let row = u32::try_from(row).unwrap_or(u32::MAX);
                        found.push((series, Place { block: number, row }));
                        if last_set != Some(set) {
                            last_set = Some(set);
                            index.field_sets.insert(set);
                        }
                    }
                }
                // After a block, which is bounded: asking row by row would cost more than the rows.
                work.hold((found.len() - before) * SORTED_ROW_BYTES)?;
            }
            let scratch = found.len() * (SORTED_ROW_BYTES - size_of::<Place>());
            index.add_shard(found, &mut parts);
            work.release(scratch);
        }
        work.hold(parts.len() * size_of::<(SeriesRef, Range<u32>)>())?;
        parts.sort_unstable_by_key(|(series, _)| *series);
        index.series = parts;
        Ok(index)
    }

    /// Groups the rows of one shard by series (a counting sort: references are dense) and sorts each
    /// group that is not in order yet.
    fn add_shard(
        &mut self,
        found: Vec<(SeriesRef, Place)>,
        parts: &mut Vec<(SeriesRef, Range<u32>)>,
    ) {
        let Some(first) = found.iter().map(|(series, _)| series.0 as usize / SHARDS).min() else {
            return;
        };
        let slot = |series: SeriesRef| series.0 as usize / SHARDS - first;
        let slots = found.iter().map(|(series, _)| slot(*series)).max().unwrap_or(0) + 1;
        let base = self.places.len();
        let dense = slots <= found.len().saturating_mul(8);
        let mut sorted = found;
        if dense {
            let mut ends = vec![0usize; slots];
            sorted.iter().for_each(|(series, _)| bump(&mut ends, slot(*series)));
            let mut total = 0;
            for end in &mut ends {
                total += std::mem::replace(end, total);
            }
            // `ends` holds where each group begins and, after the scatter, where it ends.
            let filler = Place { block: 0, row: 0 };
            let mut ordered = vec![(SeriesRef(0), filler); sorted.len()];
            for (series, place) in sorted {
                if let Some(end) = ends.get_mut(slot(series)) {
                    if let Some(free) = ordered.get_mut(*end) {
                        *free = (series, place);
                    }
                    *end += 1;
                }
            }
            sorted = ordered;
        } else {
            sorted.sort_by_key(|(series, _)| *series);
        }
        self.places.extend(sorted.iter().map(|(_, place)| *place));
        let mut start = base;
        for group in sorted.chunk_by(|a, b| a.0 == b.0) {
            let end = start + group.len();
            self.sort_group(start..end);
            let (from, to) = (u32::try_from(start), u32::try_from(end));
            if let (Some((series, _)), Ok(from), Ok(to)) = (group.first(), from, to) {
                parts.push((*series, from..to));
            }
            start = end;
        }
    }

    fn sort_group(&mut self, range: Range<usize>) {
        let blocks = &self.blocks;
        let Some(group) = self.places.get_mut(range) else { return };
        let key = |place: &Place| (time_of(blocks, *place), version_of(blocks, *place));
        if !group.is_sorted_by_key(key) {
            group.sort_unstable_by_key(key);
        }
    }

    /// Series with rows, ascending.
    pub(crate) fn series(&self) -> impl ExactSizeIterator<Item = SeriesRef> {
        self.series.iter().map(|(series, _)| *series)
    }

    /// Field sets that its rows have.
    pub(crate) fn field_sets(&self) -> impl Iterator<Item = FieldSetRef> {
        self.field_sets.iter().copied()
    }

    /// Places of the rows of `series`, by time, then version. O(log series).
    pub(crate) fn places(&self, series: SeriesRef) -> &[Place] {
        let found = self.series.binary_search_by_key(&series, |(s, _)| *s).ok();
        let range = found.and_then(|at| self.series.get(at)).map(|(_, range)| range.clone());
        range.and_then(|r| self.places.get(r.start as usize..r.end as usize)).unwrap_or(&[])
    }

    /// Number of rows, overwritten ones included.
    pub(crate) fn rows(&self) -> usize {
        self.places.len()
    }

    /// Memory of the index itself in bytes; the blocks belong to the generation.
    pub(crate) fn bytes(&self) -> usize {
        self.places.len() * size_of::<Place>()
            + self.series.len() * size_of::<(SeriesRef, Range<u32>)>()
    }

    pub(crate) fn time(&self, place: Place) -> i64 {
        time_of(&self.blocks, place)
    }

    pub(crate) fn version(&self, place: Place) -> RowVersion {
        version_of(&self.blocks, place)
    }

    /// Block and row behind a place.
    pub(crate) fn row(&self, place: Place) -> Option<(&RowBlock, usize)> {
        self.blocks.get(place.block as usize).map(|block| (&**block, place.row as usize))
    }
}

fn bump(counts: &mut [usize], at: usize) {
    if let Some(count) = counts.get_mut(at) {
        *count += 1;
    }
}

fn time_of(blocks: &[Arc<RowBlock>], place: Place) -> i64 {
    blocks.get(place.block as usize).map_or(i64::MIN, |b| b.time(place.row as usize))
}

fn version_of(blocks: &[Arc<RowBlock>], place: Place) -> RowVersion {
    let none = RowVersion::new(0, 0);
    blocks.get(place.block as usize).map_or(none, |b| b.version(place.row as usize))
}

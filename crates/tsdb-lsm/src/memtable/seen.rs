//! Which fields the rows of a generation have, by measurement. Learned from the rows that came since the last question,
//! so that neither a write nor a question has to look at all of them.

use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::sync::Mutex;
use tsdb_core::{FieldSetRef, NamespaceId, Result};
use tsdb_index::SeriesTable;

use super::block::RowBlock;
use crate::work::Work;

/// Field sets of measurements that are noted of one generation. Who has more of them is answered by looking at rows.
const PAIRS_MAX: usize = 1 << 16;

/// Pairs of series and field set that are remembered to have been noted, a power of two.
const RECENT: usize = 1 << 12;

/// No series has this number, so no row has these names.
const NOTHING: u64 = u64::MAX;

/// A field set that rows of a measurement have, and one of these rows as a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeenSet {
    pub set: FieldSetRef,
    /// Timestamp of the proof in ns.
    pub time: i64,
    /// Its sequence number, counted from the generation's base.
    pub seq: u64,
}

/// What was learned so far. One question at a time learns.
#[derive(Debug, Default)]
pub(super) struct SeenFields {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_name: HashMap<NamespaceId, HashMap<Arc<str>, HashMap<FieldSetRef, SeenSet>>>,
    pairs: usize,
    /// Series and field set of rows, as [`RowBlock::names`] has them, at a place that they choose.
    recent: Vec<u64>,
}

impl SeenFields {
    /// Field sets of the rows of measurements, those of all of them with `None`; nothing where it cannot be told. `series`
    /// has all series of `blocks`. O(rows since the last question + blocks).
    ///
    /// # Errors
    /// A token that was used.
    pub(super) fn of(
        &self,
        blocks: &[Vec<Arc<RowBlock>>],
        series: &SeriesTable,
        namespace: NamespaceId,
        measurements: Option<&[Arc<str>]>,
        work: &mut Work,
    ) -> Result<Option<Vec<SeenSet>>> {
        let mut state = self.state.lock();
        for block in blocks.iter().flatten() {
            if !state.learn(block, series) {
                return Ok(None);
            }
            work.check()?;
        }
        let Some(names) = state.by_name.get(&namespace) else { return Ok(Some(Vec::new())) };
        let seen: Vec<_> = match measurements {
            None => names.values().collect(),
            Some(wanted) => wanted.iter().filter_map(|name| names.get(name)).collect(),
        };
        Ok(Some(seen.into_iter().flat_map(HashMap::values).copied().collect()))
    }
}

impl State {
    /// Notes the rows that a block got since it was learned from. False at one of a series that is not among `series`,
    /// which are those of an older snapshot then, or if there are more pairs than are noted; the row stays for later.
    fn learn(&mut self, block: &RowBlock, series: &SeriesTable) -> bool {
        if self.recent.is_empty() {
            self.recent.resize(RECENT, NOTHING);
        }
        let rows = block.len();
        for row in block.learned()..rows {
            let names = block.names(row);
            let place = place_of(names);
            if self.recent.get(place) == Some(&names) {
                continue;
            }
            let known = series.key(block.series(row)).filter(|_| self.pairs < PAIRS_MAX);
            let Some((namespace, key)) = known else {
                block.set_learned(row);
                return false;
            };
            let (set, time) = (block.field_set(row), block.time(row));
            let new = SeenSet { set, time, seq: block.version(row).seq() };
            self.note(namespace, key.measurement(), new);
            if let Some(recent) = self.recent.get_mut(place) {
                *recent = names;
            }
        }
        block.set_learned(rows);
        true
    }

    fn note(&mut self, namespace: NamespaceId, measurement: &str, new: SeenSet) {
        let names = self.by_name.entry(namespace).or_default();
        let seen = match names.get_mut(measurement) {
            Some(seen) => seen,
            None => names.entry(measurement.into()).or_default(),
        };
        match seen.get_mut(&new.set) {
            // The row that more snapshots show.
            Some(old) if new.seq < old.seq => *old = new,
            Some(_) => {}
            None => {
                seen.insert(new.set, new);
                self.pairs += 1;
            }
        }
    }
}

/// Where [`State::recent`] has names: the hash of Fibonacci (Knuth, TAOCP 3, 6.4).
fn place_of(names: u64) -> usize {
    let hash = names.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - RECENT.trailing_zeros());
    usize::try_from(hash).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::block::{NewRow, RowVersion};
    use tsdb_core::hash::HashKey;
    use tsdb_core::{SeriesKey, SeriesRef, TagCharset};
    use tsdb_index::Registry;

    const HERE: NamespaceId = NamespaceId(1);

    fn registry(names: &[&str]) -> Registry {
        let registry = Registry::new(HashKey([7; 16]), 100);
        for (number, name) in (0u32..).zip(names) {
            let key = SeriesKey::new(name, &mut [("h", "a")], TagCharset::Utf8).unwrap();
            assert_eq!(registry.resolve(HERE, &[key])[0].as_ref().unwrap(), &SeriesRef(number));
        }
        registry
    }

    fn append(block: &RowBlock, series: u32, set: u32, time: i64, seq: u32) {
        let row = NewRow {
            series: SeriesRef(series),
            field_set: FieldSetRef(set),
            time,
            version: RowVersion::new(seq, 0),
            values: &[1.0],
        };
        block.append(std::iter::once(row));
    }

    fn ask(
        seen: &SeenFields,
        block: &Arc<RowBlock>,
        of: &Registry,
        name: &str,
    ) -> Option<Vec<SeenSet>> {
        let blocks = [vec![], vec![Arc::clone(block)]];
        let mut work = Work::of_the_engine();
        let names = [Arc::from(name)];
        let found = seen.of(&blocks, &of.table(), HERE, Some(&names), &mut work).unwrap();
        found.map(|mut found| {
            found.sort_unstable_by_key(|seen| seen.set);
            found
        })
    }

    #[test]
    fn rows_are_learned_once_with_the_oldest_as_proof() {
        let registry = registry(&["cpu", "mem"]);
        let (seen, block) = (SeenFields::default(), Arc::new(RowBlock::following(0, 1)));
        assert_eq!(ask(&seen, &block, &registry, "cpu"), Some(vec![]));
        append(&block, 0, 5, 100, 7);
        append(&block, 1, 6, 200, 8);
        let of_cpu = SeenSet { set: FieldSetRef(5), time: 100, seq: 7 };
        assert_eq!(ask(&seen, &block, &registry, "cpu"), Some(vec![of_cpu]));
        assert_eq!(block.learned(), 2);
        append(&block, 0, 6, 300, 3);
        append(&block, 0, 5, 400, 9);
        let also = SeenSet { set: FieldSetRef(6), time: 300, seq: 3 };
        assert_eq!(ask(&seen, &block, &registry, "cpu"), Some(vec![of_cpu, also]));
        let of_mem = SeenSet { set: FieldSetRef(6), time: 200, seq: 8 };
        assert_eq!(ask(&seen, &block, &registry, "mem"), Some(vec![of_mem]));
        assert_eq!(ask(&seen, &block, &registry, "disk"), Some(vec![]));
        let (mut work, blocks) = (Work::of_the_engine(), [vec![Arc::clone(&block)]]);
        let all = seen.of(&blocks, &registry.table(), HERE, None, &mut work).unwrap().unwrap();
        assert_eq!(all.len(), 3);
        let elsewhere = seen.of(&blocks, &registry.table(), NamespaceId(2), None, &mut work);
        assert_eq!(elsewhere.unwrap(), Some(vec![]));
    }

    #[test]
    fn a_row_of_a_later_series_waits_for_a_later_question() {
        let (older, newer) = (registry(&["cpu"]), registry(&["cpu", "mem"]));
        let (seen, block) = (SeenFields::default(), Arc::new(RowBlock::following(0, 1)));
        for (series, set) in [(0, 5), (1, 6), (0, 7)] {
            append(&block, series, set, 100, 7);
        }
        assert_eq!(ask(&seen, &block, &older, "cpu"), None);
        assert_eq!(block.learned(), 1);
        assert_eq!(ask(&seen, &block, &newer, "cpu").unwrap().len(), 2);
        assert_eq!(ask(&seen, &block, &older, "cpu").unwrap().len(), 2);
    }

    #[test]
    fn more_field_sets_than_are_noted_are_not_guessed_about() {
        let registry = registry(&["cpu"]);
        let seen = SeenFields::default();
        let mut blocks = vec![Arc::new(RowBlock::following(1 << 20, 1))];
        for set in 0..=u32::try_from(PAIRS_MAX).unwrap() {
            if blocks.last().unwrap().room() == 0 {
                blocks.push(Arc::new(RowBlock::following(1 << 20, 1)));
            }
            append(blocks.last().unwrap(), 0, set, 100, 7);
        }
        let mut work = Work::of_the_engine();
        let blocks = [blocks];
        for _ in 0..2 {
            let found = seen.of(&blocks, &registry.table(), HERE, None, &mut work).unwrap();
            assert_eq!(found, None);
        }
    }
}

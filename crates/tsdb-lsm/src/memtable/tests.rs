//! Tests of a generation against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::{
    Block, Epoch, FieldSet, FieldSetRef, NamespaceId, Pool, SeriesRef, TimeRange, WriteBatch,
};
use tsdb_index::FieldSets;

use super::*;

const FIELDS: [&str; 3] = ["a", "b", "c"];

/// (series, time, bits of the fields it has, value)
type TestRow = (u32, i64, u8, f64);

fn any_batches() -> impl Strategy<Value = Vec<Vec<TestRow>>> {
    let row = (0u32..40, -5i64..5, 1u8..8, any::<f64>());
    prop::collection::vec(prop::collection::vec(row, 0..30), 0..8)
}

fn field_set(sets: &FieldSets, bits: u8) -> FieldSetRef {
    let names = FIELDS.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, n)| *n);
    sets.resolve(&[FieldSet::new(names).unwrap()]).pop().unwrap().unwrap()
}

fn batch(sets: &FieldSets, rows: &[TestRow]) -> WriteBatch {
    let mut batch = WriteBatch::new(NamespaceId(0), Epoch(0));
    for (series, time, bits, value) in rows {
        let values = vec![*value; bits.count_ones() as usize];
        batch.push(SeriesRef(*series), *time, field_set(sets, *bits), &values).unwrap();
    }
    batch
}

fn generation() -> Generation {
    Generation::new(1, 10, MemoryBudget::default())
}

fn indexed(
    generation: &Generation,
    wanted: &Wanted<'_>,
    seq_max: u64,
    time: TimeRange,
) -> RowIndex {
    generation.index(wanted, seq_max, time, &mut Work::of_the_engine()).unwrap()
}

type Model = BTreeMap<(u32, i64), BTreeMap<&'static str, u64>>;

/// What the rows of all batches up to number `seq_max` amount to.
fn model(batches: &[Vec<TestRow>], seq_max: u64, time: TimeRange) -> Model {
    let mut model = Model::new();
    for (seq, rows) in (11u64..).zip(batches) {
        for (series, at, bits, value) in rows {
            if seq <= seq_max && time.contains(*at) {
                let fields = model.entry((*series, *at)).or_default();
                let names = FIELDS.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
                fields.extend(names.map(|(_, name)| (*name, value.to_bits())));
            }
        }
    }
    model
}

/// What an index shows, read through blocks.
fn shown(index: &RowIndex, sets: &FieldSets) -> Model {
    let mut map = ColumnMap::new(FIELDS.iter().map(|f| Arc::from(*f)).collect());
    (1..8).for_each(|bits| map.learn(field_set(sets, bits), sets));
    let mut model = Model::new();
    for series in index.series() {
        let mut block = Block::new();
        block.reset(series.0, FIELDS.len());
        let places = index.places(series);
        assert_eq!(front_part(places, BLOCK_ROWS_MAX), places.len());
        assert_eq!(back_part(places, BLOCK_ROWS_MAX), places.len());
        fill(index, places, &map, &[], &mut block);
        for (row, time) in block.times.iter().enumerate() {
            let fields = FIELDS.iter().zip(&block.columns);
            let present = fields.filter_map(|(name, c)| Some((*name, c.get(row)?.to_bits())));
            assert!(model.insert((series.0, time), present.collect()).is_none());
        }
    }
    model
}

proptest! {
    /// Whatever the order of rows, the sorted view shows the newest value of each field, by series and
    /// time, for any bound and any range.
    #[test]
    fn rows_are_shown_in_order_with_the_newest_value(
        batches in any_batches(),
        bound in 9u64..20,
        from in -6i64..6,
        length in 0i64..12,
    ) {
        let (generation, sets) = (generation(), FieldSets::new());
        for (seq, rows) in (11u64..).zip(&batches) {
            generation.apply(seq, &batch(&sets, rows));
        }
        let time = TimeRange::new(from, from + length);
        let all = indexed(&generation, &Wanted::All, bound, time);
        prop_assert_eq!(shown(&all, &sets), model(&batches, bound, time));
        // A scan of some series sees just theirs, whether they are few or many.
        for wanted in [vec![3u32, 7, 19], (0..40).filter(|s| s % 16 < 15).collect()] {
            let refs: Vec<SeriesRef> = wanted.iter().map(|s| SeriesRef(*s)).collect();
            let some = indexed(&generation, &Wanted::These(&refs), bound, time);
            let mut expected = model(&batches, bound, time);
            expected.retain(|(series, _), _| wanted.contains(series));
            prop_assert_eq!(shown(&some, &sets), expected);
        }
    }
}

proptest! {
    /// However batches arrive, and whoever asked before: the newer index before the older one shows what the rows are.
    #[test]
    fn questions_in_between_change_no_answer(
        batches in prop::collection::vec(prop::collection::vec((0u32..40, -5i64..5, 1u8..8, any::<f64>()), 0..60), 1..10),
        order in Just((0..10usize).collect::<Vec<_>>()).prop_shuffle(),
        questions in prop::collection::vec((0u8..3, -6i64..6, 0i64..12), 10),
    ) {
        let (generation, sets) = (generation(), FieldSets::new());
        let mut applied = vec![false; batches.len()];
        let arrivals = order.into_iter().filter(|place| *place < batches.len());
        for (place, (kind, from, length)) in arrivals.zip(questions) {
            generation.apply(11 + place as u64, &batch(&sets, &batches[place]));
            applied[place] = true;
            let bound = 10 + applied.iter().take_while(|done| **done).count() as u64;
            let time = if kind == 0 { TimeRange::all() } else { TimeRange::new(from, from + length) };
            let wanted: Vec<u32> = match kind {
                0 => (0..40).collect(),
                1 => (0..40).filter(|s| s % 16 < 15).collect(),
                _ => vec![3, 7, 19],
            };
            let refs: Vec<SeriesRef> = wanted.iter().map(|s| SeriesRef(*s)).collect();
            let mut work = Work::of_the_engine();
            let found = generation.indexes(&Wanted::These(&refs), bound, time, &mut work).unwrap();
            let mut expected = model(&batches, bound, time);
            expected.retain(|(series, _), _| wanted.contains(series));
            let mut together = Model::new();
            for index in found.iter().rev() {
                for (at, fields) in shown(index, &sets) {
                    together.entry(at).or_default().extend(fields);
                }
            }
            prop_assert_eq!(together, expected);
            for index in &found {
                check_totals(index);
            }
        }
    }
}

/// What an index says of its rows is what they are.
fn check_totals(index: &RowIndex) {
    let places: Vec<Place> = index.series().flat_map(|s| index.places(s).to_vec()).collect();
    assert_eq!(index.rows(), places.len());
    let mut sets: Vec<FieldSetRef> = places
        .iter()
        .filter_map(|place| index.row(*place).map(|(block, row)| block.field_set(row)))
        .collect();
    sets.sort_unstable();
    sets.dedup();
    assert_eq!(index.field_sets().collect::<Vec<_>>(), sets);
    assert!(index.series().all(|series| !index.places(series).is_empty()));
}

#[test]
fn rows_in_order_are_kept_and_paid_for_by_the_memtable() {
    let sets = FieldSets::new();
    let budget = MemoryBudget::with_limits([1 << 20; 5]);
    let generation = Generation::new(1, 10, budget.clone());
    let rows: Vec<TestRow> = (0..40).cycle().zip(0..1000).map(|(s, t)| (s, t, 1, 0.0)).collect();
    generation.apply(11, &batch(&sets, &rows));
    let before = budget.used(Pool::Memtable);
    let ask = |bound: u64| {
        let mut work = Work::new(&budget, &tsdb_core::CancelToken::new()).unwrap();
        let found = generation.indexes(&Wanted::All, bound, TimeRange::all(), &mut work).unwrap();
        found.iter().map(RowIndex::rows).collect::<Vec<_>>()
    };
    assert_eq!(ask(11), [0, 1000]);
    let kept = budget.used(Pool::Memtable) - before;
    assert!(kept >= 16 * 1000, "{kept}");
    generation.apply(12, &batch(&sets, &rows[..400]));
    assert_eq!(ask(12), [400, 1000], "a few new rows");
    assert_eq!(ask(10), [0], "nothing may be seen yet");
    generation.apply(13, &batch(&sets, &rows[..200]));
    assert_eq!(ask(13), [0, 1600], "half as many new ones");
    assert_eq!(ask(12), [1400], "an older question after a newer one");
    assert_eq!(budget.used(Pool::Queries), 0);
    drop(generation);
    assert_eq!(budget.used(Pool::Memtable), 0);
}

#[test]
fn memtable_capacity_limits() {
    let sets = FieldSets::new();
    let budget = MemoryBudget::with_limits([1 << 20; 5]);
    let generation = Generation::new(1, 0, budget.clone());
    let rows: Vec<TestRow> = (0..100).map(|i| (i % 7, i64::from(i), 7, 1.0)).collect();
    let one = batch(&sets, &rows);
    let capacity = 10 * bytes_of(&one);
    let mut seq = 0;
    while !generation.is_full(capacity) {
        seq += 1;
        generation.apply(seq, &one);
    }
    assert_eq!(seq, 10, "it says that it is full when it is, and not before");
    assert_eq!(generation.rows(), 1000);
    let used = budget.used(Pool::Memtable);
    assert!(used >= capacity, "the budget knows of at least the rows: {used} of {capacity}");
    drop(generation);
    assert_eq!(budget.used(Pool::Memtable), 0, "and gets everything back");
}

#[test]
fn long_series_are_cut_into_whole_times() {
    let (generation, sets) = (generation(), FieldSets::new());
    // Every time twice, so that a cut could tear a pair apart.
    let rows: Vec<TestRow> = (0..10_000).map(|i| (0, i / 2, 1, i as f64)).collect();
    generation.apply(11, &batch(&sets, &rows));
    let index = indexed(&generation, &Wanted::All, 11, TimeRange::all());
    let places = index.places(SeriesRef(0));
    let front = front_part(places, BLOCK_ROWS_MAX);
    assert_eq!(front, 2 * BLOCK_ROWS_MAX);
    assert_eq!(back_part(places, BLOCK_ROWS_MAX), front);
    assert!(generation.may_overlap(TimeRange::new(4999, 5000)));
    assert!(!generation.may_overlap(TimeRange::new(5000, 6000)));
}

#[test]
fn deletes_hide_older_rows_only() {
    let (generation, sets) = (generation(), FieldSets::new());
    generation.apply(11, &batch(&sets, &[(0, 1, 3, 1.0), (0, 2, 3, 1.0)]));
    generation.apply(13, &batch(&sets, &[(0, 1, 1, 2.0)]));
    let index = indexed(&generation, &Wanted::All, 13, TimeRange::all());
    let mut map = ColumnMap::new(["a".into(), "b".into()].into());
    (1..4).for_each(|bits| map.learn(field_set(&sets, bits), &sets));
    let hide = RowDelete { seq: generation.relative(12), time: TimeRange::new(0, 2) };
    let mut block = Block::new();
    block.reset(0, 2);
    fill(&index, index.places(SeriesRef(0)), &map, &[hide], &mut block);
    assert_eq!(block.times.iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!((block.columns[0].get(0), block.columns[1].get(0)), (Some(2.0), None));
    assert_eq!((block.columns[0].get(1), block.columns[1].get(1)), (Some(1.0), Some(1.0)));
    reverse(&mut block);
    assert_eq!(block.times.iter().collect::<Vec<_>>(), [2, 1]);
    assert_eq!((block.columns[0].get(1), block.columns[1].get(1)), (Some(2.0), None));
}

#[test]
fn an_index_is_paid_for_by_who_wants_it() {
    let (generation, sets) = (generation(), FieldSets::new());
    let rows: Vec<TestRow> = (0..40).cycle().zip(0..10_000).map(|(s, t)| (s, t, 1, 0.0)).collect();
    generation.apply(11, &batch(&sets, &rows));
    let index_for = |bytes: usize| {
        let budget = MemoryBudget::with_limits([0, 0, 0, bytes, 0]);
        let mut work = Work::new(&budget, &tsdb_core::CancelToken::new()).unwrap();
        let index = generation.index(&Wanted::All, 11, TimeRange::all(), &mut work);
        index.map(|index| (index.bytes(), work.finish().unwrap().bytes()))
    };
    assert!(matches!(index_for(1 << 16), Err(tsdb_core::Error::OverBudget { .. })));
    let (bytes, held) = index_for(1 << 20).unwrap();
    assert_eq!(bytes, held, "what sorting took beside is given back");
}

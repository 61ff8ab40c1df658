//! Reports on sources that share series, against the series.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tsdb_core::hash::HashKey;
use tsdb_core::storage::CardinalityCounter;
use tsdb_core::{CancelToken, NamespaceId, SeriesKey, TagCharset};
use tsdb_index::Registry;

use super::*;

const NAMESPACE: NamespaceId = NamespaceId(1);

fn key(measurement: &str, host: u32) -> SeriesKey {
    let (host, rack) = (format!("h{host:06}"), format!("r{}", host % 5));
    let mut tags = [("host", host.as_str()), ("rack", rack.as_str())];
    SeriesKey::new(measurement, &mut tags, TagCharset::Utf8).unwrap()
}

fn source(keys: &BTreeSet<SeriesKey>) -> SourceCardinality {
    let registry = Registry::new(HashKey([4; 16]), usize::MAX);
    let keys: Vec<SeriesKey> = keys.iter().cloned().collect();
    registry.resolve(NAMESPACE, &keys).into_iter().for_each(|number| _ = number.unwrap());
    registry.head(NAMESPACE).cardinality(&CancelToken::new()).unwrap()
}

/// What the sources make together, and what a count of each series once makes.
fn both(sources: &[BTreeSet<SeriesKey>], top: usize) -> (Cardinality, Cardinality) {
    let request = CardinalityRequest::of(NAMESPACE, top);
    let mut sources: Vec<&BTreeSet<SeriesKey>> = sources.iter().collect();
    sources.sort_by_key(|keys| Reverse(keys.len()));
    let (mut united, count) = (United::new(&request).unwrap(), sources.len() as u64);
    let all: BTreeSet<&SeriesKey> = sources.iter().copied().flatten().collect();
    sources.iter().for_each(|keys| united.add(&source(keys)).unwrap());
    let found = united.finish(top, count, None);
    assert_eq!(request.budget.used(Pool::Queries), 0, "memory is given back");
    let mut counter = CardinalityCounter::new(&request).unwrap();
    all.iter().for_each(|key| counter.add(key).unwrap());
    (found, counter.finish(count, None))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Of sources without a series in common, and of the same source again and again, everything is exact.
    #[test]
    fn sources_with_nothing_or_all_in_common_count_exactly(
        hosts in prop::collection::btree_map(0u32..1000, (0usize..3, 0u8..3), 1..120), again in 1usize..4,
    ) {
        let mut sources = vec![BTreeSet::new(); 3];
        for (host, (place, name)) in &hosts {
            sources[*place].insert(key(["cpu", "disk", "mem"][usize::from(*name)], *host));
        }
        let apart = sources.clone();
        let same = vec![sources.concat_all(); again];
        for sources in [apart, same] {
            let (mut found, due) = both(&sources, 1000);
            // A pair that only one series of a source has is not listed there.
            prop_assert!(found.uncounted_max <= 3);
            let pairs = std::mem::take(&mut found.series_by_pair);
            let lacks = |pair: &&Ranked| {
                let listed = pairs.iter().find(|other| other.name == pair.name);
                let count = listed.map_or(0, |other| other.count);
                count > pair.count || count + found.uncounted_max < pair.count
            };
            let lacking = due.series_by_pair.iter().find(lacks);
            prop_assert!(lacking.is_none(), "{:?} in {:?}", lacking, pairs);
            found.uncounted_max = 0;
            prop_assert_eq!(found, Cardinality { estimated: true, series_by_pair: Vec::new(), ..due });
        }
    }
}

trait ConcatAll {
    fn concat_all(&self) -> BTreeSet<SeriesKey>;
}

impl ConcatAll for Vec<BTreeSet<SeriesKey>> {
    fn concat_all(&self) -> BTreeSet<SeriesKey> {
        self.iter().flatten().cloned().collect()
    }
}

fn near(found: &[Ranked], due: &[Ranked], share: f64) {
    for due in due {
        let found = found.iter().find(|found| found.name == due.name);
        let count = found.map_or(0, |found| found.count);
        let error = (count as f64 - due.count as f64).abs() / due.count as f64;
        assert!(error <= share, "{count} instead of {} of {}", due.count, due.name);
    }
}

/// Some series in one source, some in two, some in all: within a few standard errors.
#[test]
fn sources_that_share_a_part_are_estimated() {
    let hosts = |range: std::ops::Range<u32>| -> BTreeSet<SeriesKey> {
        range.flat_map(|host| [key("cpu", host), key("mem", host / 2)]).collect()
    };
    let sources = [hosts(0..30_000), hosts(20_000..45_000), hosts(0..500), hosts(44_000..50_000)];
    // Two measurements and five racks: behind them are the hosts, with a series or two each.
    let (found, due) = both(&sources, 7);
    assert!(found.estimated && !due.estimated);
    assert!(
        found.series.abs_diff(due.series) < due.series / 33,
        "{} of {}",
        found.series,
        due.series
    );
    assert_eq!(found.measurement_count, 2);
    near(&found.measurements, &due.measurements, 0.04);
    near(&found.values, &due.values, 0.04);
    near(&found.value_bytes, &due.value_bytes, 0.05);
    near(&found.series_by_pair, &due.series_by_pair, 0.05);
    assert!(found.uncounted_max < 10, "{}", found.uncounted_max);
}

/// The series of a small old source do not count again and again beside a large new one.
#[test]
fn shares_are_those_of_what_is_new() {
    let hosts = |name: &str, range: std::ops::Range<u32>| -> BTreeSet<SeriesKey> {
        range.map(|host| key(name, host)).collect()
    };
    let mut sources = vec![hosts("new", 0..60_000)];
    sources.extend((0..10).map(|_| hosts("old", 0..1000)));
    let (found, due) = both(&sources, 7);
    near(&found.measurements, &due.measurements, 0.001);
    near(&found.series_by_pair, &due.series_by_pair, 0.001);
    near(&found.value_bytes, &due.value_bytes, 0.001);
}

#[test]
fn a_report_has_no_more_memory_than_it_may() {
    let budget = tsdb_core::MemoryBudget::with_limits([0, 0, 0, 8 << 10, 0]);
    let request = CardinalityRequest { budget, ..CardinalityRequest::of(NAMESPACE, 1) };
    let mut united = United::new(&request).unwrap();
    let keys: BTreeSet<SeriesKey> = (0..5000).map(|host| key("m", host)).collect();
    assert!(united.add(&source(&keys)).is_err());
    drop(united);
    assert_eq!(request.budget.used(Pool::Queries), 0);
}

//! Reports against counts that keep everything.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Error, Pool, SeriesKey, TagCharset};

fn request(top: usize) -> CardinalityRequest {
    CardinalityRequest::of(NamespaceId(1), top)
}

fn report(keys: &BTreeSet<SeriesKey>, top: usize) -> Cardinality {
    let request = request(top);
    let mut counter = CardinalityCounter::new(&request).unwrap();
    keys.iter().for_each(|key| counter.add(key).unwrap());
    let report = counter.finish(3, None);
    assert_eq!(request.budget.used(Pool::Queries), 0, "memory is given back");
    report
}

fn ranked(counts: BTreeMap<String, u64>, top: usize) -> Vec<Ranked> {
    let mut list: Vec<Ranked> =
        counts.into_iter().map(|(name, count)| Ranked { name, count }).collect();
    list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    list.truncate(top);
    list
}

proptest! {
    #[test]
    fn few_series_are_counted_exactly(
        series in prop::collection::btree_set(
            ("[a-e]", prop::collection::btree_map("[k-n]", "[a-c]{1,2}", 0..4)), 0..80),
        top in 0usize..12,
    ) {
        let keys: BTreeSet<SeriesKey> = series.iter().map(|(name, tags)| {
            let mut tags: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            SeriesKey::new(name, &mut tags, TagCharset::Utf8).unwrap()
        }).collect();
        let mut measurements = BTreeMap::new();
        let mut pairs = BTreeMap::new();
        let mut bytes = BTreeMap::new();
        for key in &keys {
            *measurements.entry(key.measurement().to_owned()).or_insert(0) += 1;
            for (tag, value) in key.tags().chain([("__name__", key.measurement())]) {
                *pairs.entry(format!("{tag}={value}")).or_insert(0) += 1;
                *bytes.entry(tag.to_owned()).or_insert(0) += value.len() as u64;
            }
        }
        let mut values = BTreeMap::new();
        for pair in pairs.keys() {
            *values.entry(pair.split_once('=').unwrap().0.to_owned()).or_insert(0) += 1;
        }
        let found = report(&keys, top);
        prop_assert_eq!(found.series, keys.len() as u64);
        prop_assert_eq!(found.pairs, pairs.len() as u64);
        prop_assert_eq!(found.measurements, ranked(measurements, top));
        prop_assert_eq!(found.values, ranked(values, top));
        prop_assert_eq!(found.value_bytes, ranked(bytes, top));
        prop_assert_eq!(found.series_by_pair, ranked(pairs, top));
        prop_assert_eq!((found.uncounted_max, found.sources), (0, 3));
    }
}

/// A tag that is ever new must not push out those that many series have.
#[test]
fn many_series_are_counted_in_bounded_memory() {
    const SERIES: u64 = 200_000;
    let request = request(4);
    let mut counter = CardinalityCounter::new(&request).unwrap();
    for number in 0..SERIES {
        let (id, zone) = (format!("{number:08}"), format!("z{}", number % 100));
        let mut tags = [("id", id.as_str()), ("job", "all"), ("zone", zone.as_str())];
        counter.add(&SeriesKey::new("m", &mut tags, TagCharset::Utf8).unwrap()).unwrap();
    }
    assert!(request.budget.used(Pool::Queries) < 12 << 20);
    let found = counter.finish(1, None);
    assert_eq!(found.series, SERIES);
    assert_eq!(found.measurements, [Ranked { name: "m".to_owned(), count: SERIES }]);
    let ids = found.values.iter().find(|entry| entry.name == "id").unwrap().count;
    assert!(ids.abs_diff(SERIES) < SERIES / 40, "{ids}");
    let counts: BTreeMap<&str, u64> =
        found.series_by_pair.iter().map(|entry| (entry.name.as_str(), entry.count)).collect();
    assert_eq!(counts.get("job=all"), Some(&SERIES));
    assert_eq!(counts.get("__name__=m"), Some(&SERIES));
    assert_eq!(counts.get("zone=z0"), Some(&(SERIES / 100)));
    assert!((1..20).contains(&found.uncounted_max), "{}", found.uncounted_max);
}

#[test]
fn what_ends_a_count() {
    let budget = MemoryBudget::with_limits([0, 0, 0, 64 << 10, 0]);
    let request = CardinalityRequest { budget, ..request(4) };
    let mut counter = CardinalityCounter::new(&request).unwrap();
    let ended = (0..100_000u32).find_map(|number| {
        let id = number.to_string();
        let key = SeriesKey::new("m", &mut [("id", id.as_str())], TagCharset::Utf8).unwrap();
        counter.add(&key).err()
    });
    assert!(ended.is_some(), "the budget has an end");
    drop(counter);
    let mut counter = CardinalityCounter::new(&request).unwrap();
    request.cancel.kill();
    let key = SeriesKey::new("m", &mut [], TagCharset::Utf8).unwrap();
    assert_eq!(counter.add(&key), Err(Error::Killed));
    assert!(CardinalityCounter::new(&request).is_err());
}

//! The cardinality report of many series over runs and memory, held against the series themselves.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::SimVfs;
use tsdb_core::storage::{
    Cardinality, CardinalityCounter, CardinalityRequest, Ranked, SeriesRequest, TagCount,
    TagCountRequest,
};
use tsdb_core::time::DAY;
use tsdb_core::{
    Append, CancelToken, CatalogueChange, FieldSet, Maintain, MemoryBudget, NamespaceId, Pool,
    Select, SeriesKey, TagCharset, WriteBatch,
};
use tsdb_lsm::{Engine, EngineOptions};

fn open(disk: &SimVfs) -> Arc<Engine> {
    let mut options = EngineOptions::new("/db");
    options.env = disk.env();
    Engine::open(options).unwrap()
}

fn namespace(engine: &Engine) -> NamespaceId {
    let policy = PolicySpec::default();
    let change = CatalogueChange::CreateDatabase { name: "d".into(), policy };
    engine.change_catalogue(&change).unwrap().wait().unwrap();
    engine.catalogue().namespace("d", None).unwrap().id
}

fn key(host: u32) -> SeriesKey {
    let (name, rack) = (format!("h{host:05}"), format!("r{}", host % 7));
    let mut tags = [("host", name.as_str()), ("rack", rack.as_str())];
    SeriesKey::new(if host.is_multiple_of(2) { "cpu" } else { "mem" }, &mut tags, TagCharset::Ascii)
        .unwrap()
}

/// One row of each host on a day.
fn write(engine: &Engine, namespace: NamespaceId, hosts: Range<u32>, day: i64) {
    let keys: Vec<SeriesKey> = hosts.map(key).collect();
    let resolved = engine.resolve(namespace, &keys, &[FieldSet::new(["f"]).unwrap()]).unwrap();
    let set = *resolved.field_sets.first().unwrap().as_ref().unwrap();
    let mut batch = WriteBatch::new(namespace, resolved.epoch);
    for series in resolved.series {
        batch.push(series.unwrap(), day * DAY, set, &[1.0]).unwrap();
    }
    engine.append(&batch).unwrap().wait().unwrap();
}

fn report(engine: &Engine, namespace: NamespaceId) -> Cardinality {
    let request = CardinalityRequest::of(namespace, 5);
    engine.snapshot().unwrap().cardinality(&request).unwrap()
}

/// What a count of each series says.
fn counted(engine: &Engine, namespace: NamespaceId) -> Cardinality {
    let mut counter = CardinalityCounter::new(&CardinalityRequest::of(namespace, 5)).unwrap();
    let all = SeriesRequest::all(namespace);
    for key in engine.snapshot().unwrap().series(&all).unwrap() {
        counter.add(&key).unwrap();
    }
    counter.finish(0, None)
}

fn assert_near(found: &Cardinality, due: &Cardinality) {
    let near = |found: u64, due: u64| found.abs_diff(due) * 25 <= due;
    assert!(near(found.series, due.series), "{} series of {}", found.series, due.series);
    assert_eq!(found.measurement_count, due.measurement_count);
    let lists = [
        (&found.measurements, &due.measurements),
        (&found.values, &due.values),
        (&found.value_bytes, &due.value_bytes),
        (&found.series_by_pair, &due.series_by_pair),
    ];
    for (found, due) in lists {
        assert_eq!(found.len(), due.len());
        for Ranked { name, count } in due {
            let other = found.iter().find(|other| other.name == *name);
            // The last ones are about as frequent as others that are not listed.
            let other = other.or(found.last()).map_or(0, |other| other.count);
            assert!(near(other, *count), "{other} of {count} for {name} in {found:?}");
        }
    }
}

#[test]
fn many_series_in_runs_and_memory_are_estimated() {
    let disk = SimVfs::new(5);
    let engine = open(&disk);
    let id = namespace(&engine);
    write(&engine, id, 0..8000, 0);
    engine.flush().unwrap();
    // The same series in a run and in memory count once, and exactly while they are few.
    let few = report(&engine, id);
    assert!(!few.estimated && few.series == 8000);
    write(&engine, id, 4000..16_000, 1);
    engine.flush().unwrap();
    write(&engine, id, 15_000..20_000, 2);
    let due = counted(&engine, id);
    assert_eq!(due.series, 20_000);
    let warm = report(&engine, id);
    assert!(warm.estimated, "33 000 series in three places");
    assert_eq!(warm.series, due.series, "memory has all of them, and what it has is exact");
    assert_near(&warm, &due);
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    // Nothing in memory: every series is in one run or in two.
    let engine = open(&disk);
    let cold = report(&engine, id);
    assert!(cold.estimated);
    assert_near(&cold, &due);
    assert_eq!(report(&engine, id), cold, "kept from before, it says the same");
    engine.compact().unwrap();
    assert_near(&report(&engine, id), &due);
    engine.close().unwrap();
    drop(engine);
    let found = tsdb_lsm::verify(&disk.env(), Path::new("/db")).unwrap();
    assert!(found.problems.is_empty() && found.files > 0, "{found:?}");
}

/// What the engine says of the tags of the measurements that `measurement` wants.
fn estimated_tags(
    engine: &Engine,
    namespaces: &[NamespaceId],
    measurement: &dyn Fn(NamespaceId, &str) -> bool,
    key: &dyn Fn(&str) -> bool,
) -> Option<Vec<TagCount>> {
    // As much as two sketches take, and some names.
    let budget = MemoryBudget::with_limits([0, 0, 0, 48 << 10, 0]);
    let cancel = CancelToken::new();
    let request = TagCountRequest { namespaces, measurement, key, budget: budget.clone(), cancel };
    let found = engine.snapshot().unwrap().estimate_tags(&request).unwrap();
    assert_eq!(budget.used(Pool::Queries), 0, "memory is given back");
    found
}

/// By measurement the keys and the values that its series have, of the keys that `key` wants.
fn counted_tags(
    engine: &Engine,
    namespaces: &[NamespaceId],
    key: &dyn Fn(&str) -> bool,
) -> Vec<(String, u64, u64)> {
    let mut counted: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for namespace in namespaces {
        let series = engine.snapshot().unwrap().series(&SeriesRequest::all(*namespace)).unwrap();
        for (series, (tag, value)) in series.iter().flat_map(|s| s.tags().map(move |tag| (s, tag)))
        {
            if key(tag) {
                let (keys, values) = counted.entry(series.measurement().to_owned()).or_default();
                keys.insert(tag.to_owned());
                values.insert(value.to_owned());
            }
        }
    }
    let counts = counted.into_iter();
    counts.map(|(name, (keys, values))| (name, keys.len() as u64, values.len() as u64)).collect()
}

/// Keys are exact, values within four standard errors.
fn assert_tags(engine: &Engine, namespaces: &[NamespaceId], key: &dyn Fn(&str) -> bool) {
    let found = estimated_tags(engine, namespaces, &|_, _| true, key).unwrap();
    let due = counted_tags(engine, namespaces, key);
    assert_eq!(found.len(), due.len(), "{found:?} {due:?}");
    for (found, (name, keys, values)) in found.iter().zip(due) {
        assert_eq!((&*found.measurement, found.keys), (name.as_str(), keys));
        let is_near = found.values.abs_diff(values) * 100 <= values * 4;
        assert!(is_near && found.values > 0, "{found:?} of {values}");
    }
}

#[test]
fn tags_of_many_series_are_estimated() {
    let disk = SimVfs::new(6);
    let engine = open(&disk);
    let id = namespace(&engine);
    let spec = PolicySpec { name: "other".into(), ..PolicySpec::default() };
    let change =
        CatalogueChange::CreatePolicy { database: "d".into(), policy: spec, make_default: false };
    engine.change_catalogue(&change).unwrap().wait().unwrap();
    let other = engine.catalogue().namespace("d", Some("other")).unwrap().id;
    write(&engine, id, 0..8000, 0);
    engine.flush().unwrap();
    let all = |_: NamespaceId, _: &str| true;
    let host = |key: &str| key == "host";
    assert_eq!(estimated_tags(&engine, &[id], &all, &host), None, "few are counted");
    write(&engine, id, 4000..16_000, 1);
    engine.flush().unwrap();
    write(&engine, id, 15_000..20_000, 2);
    // The same hosts and others in a second policy: what both have counts once.
    write(&engine, other, 18_000..30_000, 2);
    let check = |engine: &Engine| {
        for namespaces in [&[id][..], &[id, other]] {
            assert_tags(engine, namespaces, &host);
            assert_tags(engine, namespaces, &|key| key != "host");
            assert_tags(engine, namespaces, &|_| true);
        }
        assert_eq!(estimated_tags(engine, &[id], &all, &|_| false), Some(Vec::new()));
        let named = |_: NamespaceId, name: &str| name == "mem";
        let only = |found: &[TagCount]| matches!(found, [one] if &*one.measurement == "mem");
        assert!(only(&estimated_tags(engine, &[id, other], &named, &host).unwrap()));
        // Half of the series of one policy are few.
        let of_other = |namespace: NamespaceId, name: &str| namespace == other && name == "mem";
        assert_eq!(estimated_tags(engine, &[id, other], &of_other, &host), None);
    };
    check(&engine);
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    // Nothing in memory.
    check(&open(&disk));
}

//! The cardinality report of many series over runs and memory, held against the series themselves.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tsdb_core::env::SimVfs;
use tsdb_core::storage::{
    Cardinality, CardinalityCounter, CardinalityRequest, Ranked, SeriesRequest,
};
use tsdb_core::time::DAY;
use tsdb_core::{
    Append, CatalogueChange, FieldSet, Maintain, NamespaceId, Select, SeriesKey, TagCharset,
    WriteBatch,
};
use tsdb_lsm::{Engine, EngineOptions};

fn open(disk: &SimVfs) -> Arc<Engine> {
    let mut options = EngineOptions::new("/db");
    options.env = disk.env();
    Engine::open(options).unwrap()
}

fn namespace(engine: &Engine) -> NamespaceId {
    let policy = tsdb_core::catalogue::PolicySpec::default();
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

//! SHOW … CARDINALITY over the engine with many series: near to what there is, in memory that does not depend on their
//! number.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::SimVfs;
use tsdb_core::{
    Append, CatalogueChange, Error as CoreError, FieldSet, Maintain, MemoryBudget, NamespaceId,
    Pool, SeriesKey, Storage, TagCharset, WriteBatch,
};
use tsdb_exec::{Error, Executor, QueryContext, QueryLimits, QueryMemory, StatementResult, Values};
use tsdb_lsm::{Engine, EngineOptions};

/// What one query may take; the keys of the series take five times as much.
const QUERY_BYTES: usize = 512 << 10;

fn open() -> (Arc<Engine>, NamespaceId) {
    let mut options = EngineOptions::new("/db");
    options.env = SimVfs::new(8).env();
    let engine = Engine::open(options).unwrap();
    let change =
        CatalogueChange::CreateDatabase { name: "d".into(), policy: PolicySpec::default() };
    engine.change_catalogue(&change).unwrap().wait().unwrap();
    let namespace = engine.catalogue().namespace("d", None).unwrap().id;
    (engine, namespace)
}

/// A row of each host, of which two thirds have one in `cpu` and the others in `mem`, and every twentieth host has a rack.
fn write(engine: &Engine, namespace: NamespaceId, hosts: Range<u32>, time: i64) {
    let key = |host: u32| {
        let (name, rack) = (format!("host-{host:05}"), format!("rack-{}", host % 60));
        let mut tags = vec![("host", name.as_str())];
        if host.is_multiple_of(20) {
            tags.push(("rack", rack.as_str()));
        }
        let measurement = if host.is_multiple_of(3) { "mem" } else { "cpu" };
        SeriesKey::new(measurement, &mut tags, TagCharset::Ascii).unwrap()
    };
    let keys: Vec<SeriesKey> = hosts.map(key).collect();
    let resolved = engine.resolve(namespace, &keys, &[FieldSet::new(["f"]).unwrap()]).unwrap();
    let set = *resolved.field_sets.first().unwrap().as_ref().unwrap();
    let mut batch = WriteBatch::new(namespace, resolved.epoch);
    for series in resolved.series {
        batch.push(series.unwrap(), time, set, &[1.0]).unwrap();
    }
    engine.append(&batch).unwrap().wait().unwrap();
}

fn ask(engine: &Arc<Engine>, query: &str, bytes: usize) -> Result<BTreeMap<String, i64>, Error> {
    let budget = MemoryBudget::with_limits([bytes; 5]);
    let context = QueryContext {
        database: Some("d"),
        memory: QueryMemory::new(&budget, None),
        ..QueryContext::new(0)
    };
    let executor = Executor::new(Arc::clone(engine) as Arc<dyn Storage>, QueryLimits::default());
    let answer = executor.execute(tsdb_ql::parse(query).unwrap().first().unwrap(), &context);
    let counts = answer.map(|answer| counts(&answer));
    assert_eq!(budget.used(Pool::Queries), 0, "{query}: memory is given back");
    counts
}

/// The one number of each table, by measurement.
fn counts(answer: &StatementResult) -> BTreeMap<String, i64> {
    let tables = answer.series.iter().map(|table| {
        let [column] = table.columns.as_slice() else { panic!("{table:?}") };
        let Values::Integers(numbers, _) = &column.values else { panic!("{table:?}") };
        let [number] = numbers.as_slice() else { panic!("{table:?}") };
        assert_eq!(&*column.name, "count");
        (table.name.as_ref().unwrap().to_string(), *number)
    });
    tables.collect()
}

#[test]
fn tag_values_of_many_series_are_counted_in_little_memory() {
    let (engine, namespace) = open();
    write(&engine, namespace, 0..36_000, 1);
    engine.flush().unwrap();
    write(&engine, namespace, 30_000..60_000, 2);
    for (exact, estimated) in [
        ("WITH KEY = host", "WITH KEY = host"),
        ("FROM cpu WITH KEY = host", "FROM cpu WITH KEY = host"),
        ("WITH KEY = host GROUP BY nope", "WITH KEY IN (host)"),
        ("FROM /./ WITH KEY =~ /./", "WITH KEY != nope"),
        ("WITH KEY = rack WHERE host != ''", "WITH KEY = rack"),
    ] {
        let exact = format!("SHOW TAG VALUES EXACT CARDINALITY {exact}");
        let (due, tight) =
            (ask(&engine, &exact, 256 << 20).unwrap(), ask(&engine, &exact, QUERY_BYTES));
        let refused = matches!(tight, Err(Error::Storage(CoreError::OverBudget { .. })));
        assert!(refused, "{exact}: {tight:?}");
        let estimated = format!("SHOW TAG VALUES CARDINALITY {estimated}");
        let found = ask(&engine, &estimated, QUERY_BYTES).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), due.keys().collect::<Vec<_>>());
        for (name, due) in due {
            let found = found.get(&name).unwrap();
            // Four standard errors; few are exact.
            let is_near = found.abs_diff(due) as f64 <= due as f64 * 0.033;
            assert!(is_near && (due > 4000 || *found == due), "{estimated}: {found} of {due}");
        }
    }
    // What only the series tell takes memory for them, as before.
    let grouped = "SHOW TAG VALUES CARDINALITY WITH KEY = host GROUP BY rack";
    assert!(ask(&engine, grouped, QUERY_BYTES).is_err());
    let keys = ask(&engine, "SHOW TAG KEY CARDINALITY", QUERY_BYTES).unwrap();
    assert_eq!(keys, [("cpu".to_owned(), 2), ("mem".to_owned(), 2)].into());
}

//! Queries over any store behind the seam; here the one in memory.

use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::storage::append_points;
use tsdb_core::{Append, CatalogueChange, DataPoint, MemoryStore, Tags};
use tsdb_exec::{Executor, QueryContext, QueryLimits, Values};

const SECOND: i64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(MemoryStore::new());
    let create =
        CatalogueChange::CreateDatabase { name: "home".into(), policy: PolicySpec::default() };
    store.change_catalogue(&create)?.wait()?;
    let namespace = store.catalogue().namespace("home", None)?.id;
    let mut points = Vec::new();
    for second in 0..600 {
        let tags = Tags::new([("room", if second % 2 == 0 { "kitchen" } else { "cellar" })])?;
        points.push(DataPoint::new(second * SECOND, (second / 60) as f64, tags)?);
    }
    append_points(&*store, namespace, Some("temperature"), &points)?.wait()?;

    let executor = Executor::new(store, QueryLimits::default());
    let context = QueryContext { database: Some("home"), ..QueryContext::new(600 * SECOND) };
    let text = "SELECT max(value) FROM temperature WHERE time >= 0 AND time < 600s GROUP BY time(5m), room";
    for statement in tsdb_ql::parse(text)? {
        let answer = executor.execute(&statement, &context)?;
        for series in &answer.series {
            println!("{:?} {:?} {:?}", series.tags, series.times, series.columns);
            let Some(column) = series.columns.first() else { continue };
            assert!(matches!(&column.values, Values::Floats(values, _) if *values == [4.0, 9.0]));
        }
        assert_eq!(answer.series.len(), 2);
    }
    Ok(())
}

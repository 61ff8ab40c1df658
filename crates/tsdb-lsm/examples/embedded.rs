//! The engine as a library: open a directory, write a point, read it back, close.

use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::storage::append_points;
use tsdb_core::{Append, CatalogueChange, DataPoint, Maintain, ScanRequest, Select, Tags};
use tsdb_lsm::{Engine, EngineOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).map(std::path::PathBuf::from);
    let directory = directory.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("tsdb-embedded-example-{}", std::process::id()))
    });
    let engine: Arc<Engine> = Engine::open(EngineOptions::new(&directory))?;
    let create =
        CatalogueChange::CreateDatabase { name: "db".into(), policy: PolicySpec::default() };
    engine.change_catalogue(&create)?.wait()?;
    let namespace = engine.catalogue().namespace("db", None)?.id;

    let point = DataPoint::new(1_700_000_000_000_000_000, 21.5, Tags::new([("room", "kitchen")])?)?;
    // Durable once the ticket is complete.
    append_points(&*engine, namespace, Some("temperature"), &[point])?.wait()?;

    let mut rows = 0;
    let mut selection = engine.snapshot()?.select(&ScanRequest::all(namespace, "temperature"))?;
    let mut block = tsdb_core::Block::new();
    for cursor in &mut selection.cursors {
        while cursor.next(&mut block)? {
            println!("{:?} {:?}", block.times, block.columns);
            rows += block.len();
        }
    }
    engine.close()?;
    println!("{rows} row(s) in {}", directory.display());
    Ok(())
}

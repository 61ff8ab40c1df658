//! Models of what threads do to each other in the engine: the real code under many schedules, see
//! `tsdb_core::sync`. `cargo xtask models` runs them.
//!
//! Each model comes with mistakes that it must find (`tsdb_core::planted`), for one that cannot fail proves
//! nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]
#![expect(clippy::indexing_slicing, reason = "a missing column fails the test")]

mod group_commit;
mod memtable_switch;
mod versions;

use std::sync::Arc;

use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::SimVfs;
use tsdb_core::planted::{Planted, plant};
use tsdb_core::sync::Schedules;
use tsdb_core::{
    Append as _, Block, CatalogueChange, Epoch, FieldSet, FieldSetRef, MemoryBudget, NamespaceId,
    ScanRequest, SeriesKey, SeriesRef, Snapshot, TagCharset, WriteBatch,
};

use crate::{Engine, EngineOptions};

/// Schedules within which a planted mistake must show.
const SCHEDULES_FOR_PLANTED: usize = 40000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Runs a model under `TSDB_MODEL_SCHEDULES` schedules of the seed `TSDB_MODEL_SEED`.
fn holds(what: &str, model: fn()) {
    let count = usize::try_from(number("TSDB_MODEL_SCHEDULES", 300)).unwrap();
    Schedules { seed: number("TSDB_MODEL_SEED", 1), count }.run(model);
    println!("models: {what}: {count} schedules, 0 violations");
}

/// Runs a model with a mistake in the engine until it shows, and returns how.
fn finds(mistake: Planted, model: fn()) -> String {
    let _mistake = plant(Some(mistake));
    let found = Schedules { seed: 1, count: SCHEDULES_FOR_PLANTED }.find(model);
    let found = found.unwrap_or_else(|| panic!("{mistake:?} is not found"));
    let first_line = found.message.lines().next().unwrap_or_default();
    println!("models: {mistake:?}: schedule {}: {first_line}", found.tried);
    found.message
}

/// An engine without threads on a simulated disk, one series of one field in it.
struct Store {
    engine: Arc<Engine>,
    namespace: NamespaceId,
    epoch: Epoch,
    series: SeriesRef,
    fields: FieldSetRef,
}

impl Store {
    fn open() -> Arc<Store> {
        let budget = MemoryBudget::with_total(64 << 20);
        let mut options = EngineOptions::new("/db").with_budget(budget);
        options.env = SimVfs::new(1).env();
        options.background = false;
        let engine = Engine::open(options).unwrap();
        let policy = PolicySpec::default();
        let database = CatalogueChange::CreateDatabase { name: "d".into(), policy };
        let created = engine.change_catalogue(&database).unwrap();
        engine.sync().unwrap();
        created.wait().unwrap();
        let namespace = engine.catalogue().namespace("d", None).unwrap().id;
        let key = SeriesKey::new("m", &mut [("host", "a")], TagCharset::Ascii).unwrap();
        let field = FieldSet::new(["f"]).unwrap();
        let resolved = engine.resolve(namespace, &[key], &[field]).unwrap();
        let series = resolved.series.into_iter().next().unwrap().unwrap();
        let fields = resolved.field_sets.into_iter().next().unwrap().unwrap();
        Arc::new(Store { engine, namespace, epoch: resolved.epoch, series, fields })
    }

    /// A batch of rows at these times, each with its time as value.
    fn batch(&self, times: &[i64]) -> WriteBatch {
        let mut batch = WriteBatch::new(self.namespace, self.epoch);
        for time in times {
            batch.push(self.series, *time, self.fields, &[*time as f64]).unwrap();
        }
        batch
    }

    /// Writes rows and returns once they are visible; returns their number.
    fn write(&self, times: &[i64]) -> u64 {
        let ticket = self.engine.append(&self.batch(times)).unwrap();
        self.engine.sync().unwrap();
        ticket.wait().unwrap()
    }

    /// Times of all rows that a snapshot shows, whose values must be those written.
    fn times(&self, snapshot: &dyn Snapshot) -> Vec<i64> {
        let mut selection = snapshot.select(&ScanRequest::all(self.namespace, "m")).unwrap();
        let (mut block, mut times) = (Block::new(), Vec::new());
        for cursor in &mut selection.cursors {
            while cursor.next(&mut block).unwrap() {
                times.extend(rows(&block));
            }
        }
        times
    }
}

/// Times of a block of rows, whose values must be those written.
fn rows(block: &Block) -> Vec<i64> {
    let times: Vec<i64> = block.times.iter().collect();
    for (row, time) in times.iter().enumerate() {
        assert_eq!(block.columns[0].get(row), Some(*time as f64), "value at {time}");
    }
    times
}

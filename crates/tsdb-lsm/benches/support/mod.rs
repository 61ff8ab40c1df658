//! What the benches of the engine share: a store in a directory of its own that takes no step unasked, and
//! rows in the shape of TSBS cpu-only. Nothing is timed here.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::sync::Arc;

use tempfile::TempDir;
use tsdb_core::catalogue::PolicySpec;
use tsdb_core::env::SimRng;
use tsdb_core::{
    Append as _, CatalogueChange, Epoch, FieldSet, FieldSetRef, MemoryBudget, NamespaceId,
    SeriesKey, SeriesRef, TagCharset, WriteBatch,
};
use tsdb_lsm::{Durability, Engine, EngineOptions};

/// The allocator of the server. The system's gives the memory of each round back to the kernel, and half of
/// what an append to a fresh memtable takes were page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2016-01-01T00:00:00Z in ns, where TSBS data begins.
pub const START: i64 = 1_451_606_400_000_000_000;

/// Distance of a host's rows in ns.
pub const STEP: i64 = 10_000_000_000;

/// The measurement of all rows.
pub const MEASUREMENT: &str = "cpu";

/// The fields of a row.
pub const FIELDS: [&str; 10] = [
    "usage_guest",
    "usage_guest_nice",
    "usage_idle",
    "usage_iowait",
    "usage_irq",
    "usage_nice",
    "usage_softirq",
    "usage_steal",
    "usage_system",
    "usage_user",
];

/// Memory that no bench uses up, in bytes.
const BUDGET_BYTES: usize = 2 << 30;

/// An open engine, and where the next rows go.
pub struct Store {
    // Before its directory, so that it lets go of the files first.
    pub engine: Arc<Engine>,
    pub namespace: NamespaceId,
    epoch: Epoch,
    series: Vec<SeriesRef>,
    fields: FieldSetRef,
    usage: Vec<[f64; FIELDS.len()]>,
    rng: SimRng,
    _directory: TempDir,
}

impl Store {
    /// A new store that knows `hosts` series. Durability is `off`, so that the disk's syncs are paid where
    /// a bench asks for them.
    pub fn open(hosts: usize) -> Store {
        Store::open_with(hosts, Durability::Off)
    }

    /// As [`Store::open`], with another durability.
    pub fn open_with(hosts: usize, durability: Durability) -> Store {
        let directory = tempfile::tempdir().unwrap();
        let budget = MemoryBudget::with_total(BUDGET_BYTES);
        let mut options = EngineOptions::new(directory.path()).with_budget(budget);
        options.durability = durability;
        options.background = false;
        let engine = Engine::open(options).unwrap();
        let database =
            CatalogueChange::CreateDatabase { name: "bench".into(), policy: PolicySpec::default() };
        let created = engine.change_catalogue(&database).unwrap();
        engine.sync().unwrap();
        created.wait().unwrap();
        let namespace = engine.catalogue().namespace("bench", None).unwrap().id;
        let keys: Vec<SeriesKey> = (0..hosts).map(key).collect();
        let fields = FieldSet::new(FIELDS).unwrap();
        let resolved = engine.resolve(namespace, &keys, &[fields]).unwrap();
        let rng = SimRng::new(2016);
        Store {
            engine,
            namespace,
            epoch: resolved.epoch,
            series: resolved.series.into_iter().map(Result::unwrap).collect(),
            fields: resolved.field_sets.into_iter().next().unwrap().unwrap(),
            usage: (0..hosts).map(|_| FIELDS.map(|_| whole(rng.below(101)))).collect(),
            rng,
            _directory: directory,
        }
    }

    /// A batch of one row per host for each of `steps`, time by time, as agents send them: integers that
    /// walk at random between 0 and 100.
    pub fn batch(&mut self, steps: impl IntoIterator<Item = i64>) -> WriteBatch {
        let mut batch = WriteBatch::new(self.namespace, self.epoch);
        for step in steps {
            for (series, usage) in self.series.iter().zip(&mut self.usage) {
                for value in usage.iter_mut() {
                    *value = (*value + whole(self.rng.below(3)) - 1.0).clamp(0.0, 100.0);
                }
                batch.push(*series, START + step * STEP, self.fields, usage).unwrap();
            }
        }
        batch
    }

    /// Appends a batch and waits until it is visible, which without syncs it is at once.
    pub fn append(&self, batch: &WriteBatch) {
        self.engine.append(batch).unwrap().wait().unwrap();
    }
}

/// Name of a host in its tag.
pub fn host(number: usize) -> String {
    format!("host_{number}")
}

fn key(number: usize) -> SeriesKey {
    let (host, rack) = (host(number), (number % 100).to_string());
    let mut tags = [
        ("hostname", host.as_str()),
        ("region", "eu-central-1"),
        ("datacenter", "eu-central-1a"),
        ("rack", rack.as_str()),
        ("os", "Ubuntu16.04LTS"),
        ("arch", "x64"),
        ("team", "SF"),
        ("service", "19"),
        ("service_version", "1"),
        ("service_environment", "production"),
    ];
    SeriesKey::new(MEASUREMENT, &mut tags, TagCharset::Utf8).unwrap()
}

/// A small random number as a value.
fn whole(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

//! The conformance suite of the storage seam over the engine: step by step on a simulated disk that loses
//! what was not synced, with the engine's own threads, and on real files. The suite itself is in
//! `tsdb_core::storage::conformance`.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::sync::Arc;

use tsdb_core::Maintain as _;
use tsdb_core::env::{CrashChoice, Env, SimClock, SimVfs, Tail};
use tsdb_core::storage::Storage;
use tsdb_core::storage::conformance::{Effort, Subject, check};
use tsdb_lsm::{Engine, EngineOptions};

/// Sizes so small that segments rotate and replay flushes in the middle of a script, and series leave memory as soon as
/// they may.
fn small(directory: &std::path::Path, env: Env, background: bool) -> EngineOptions {
    let mut options = EngineOptions::new(directory);
    // The suite decides when rows expire: by this clock it is never time for that.
    options.env = Env { clock: Arc::new(SimClock::new(i64::MIN)), ..env };
    options.background = background;
    options.generation_bytes = 16 << 10;
    options.wal_segment_bytes = 8 << 10;
    options.idle_generations = 1;
    options.idle_time = std::time::Duration::ZERO;
    options.evict_min = 1;
    options
}

fn explicit_step(engine: &Engine, choice: u64) {
    match choice % 8 {
        0 => engine.sync().unwrap(),
        1 => drop(engine.seal().unwrap()),
        2..6 => drop(engine.flush_one().unwrap()),
        _ => drop(engine.compact_one().unwrap()),
    }
}

/// The engine on a simulated disk.
struct Simulated {
    disk: SimVfs,
    background: bool,
    engine: Option<Arc<Engine>>,
    crashes: u64,
}

impl Simulated {
    fn new(seed: u64, background: bool) -> Simulated {
        let mut subject =
            Simulated { disk: SimVfs::new(seed), background, engine: None, crashes: 0 };
        subject.open();
        subject
    }

    fn open(&mut self) {
        let options = small("/db".as_ref(), self.disk.env(), self.background);
        self.engine = Some(Engine::open(options).unwrap());
    }

    fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().unwrap()
    }
}

impl Subject for Simulated {
    fn store(&self) -> Arc<dyn Storage> {
        Arc::clone(self.engine()) as Arc<dyn Storage>
    }

    fn settle(&self) {
        if !self.background {
            self.engine().sync().unwrap();
        }
    }

    fn seal(&self) {
        self.engine().seal().unwrap();
    }

    fn step(&self, choice: u64) {
        explicit_step(self.engine(), choice);
    }

    fn reopen(&mut self) -> bool {
        self.engine().close().unwrap();
        self.engine = None;
        self.open();
        true
    }

    fn crash(&mut self) -> bool {
        self.crashes += 1;
        let seed = self.crashes;
        let choice = match self.crashes % 6 {
            0 => CrashChoice::KeepNone,
            1 => CrashChoice::KeepAll,
            2 => CrashChoice::Subset { seed },
            3 => CrashChoice::PerFilePrefix { seed },
            4 => CrashChoice::MetadataFirst { seed },
            _ => CrashChoice::Prefix { ops: 1, sectors: 1, tail: Tail::Garbage },
        };
        let crashed = self.disk.crash(choice);
        self.engine = None;
        self.disk = crashed;
        self.open();
        true
    }
}

fn conforms(make: &dyn Fn() -> Box<dyn Subject>, effort: Effort) {
    if let Err(violation) = check(make, effort) {
        panic!("{violation}");
    }
}

#[test]
fn engine_conforms_step_by_step() {
    // proves: I1, I2, I6, I7, I11
    let effort = Effort { scripts: 60, ops: 80, ..Effort::default() };
    conforms(&|| Box::new(Simulated::new(7, false)), effort);
}

#[test]
fn engine_conforms_with_its_own_threads() {
    let effort = Effort { seed: 1000, scripts: 8, batches_per_thread: 300, ..Effort::default() };
    conforms(&|| Box::new(Simulated::new(8, true)), effort);
}

/// The engine on real files. A crash is that of the process: the engine is dropped without being closed.
struct OnFiles {
    directory: tempfile::TempDir,
    engine: Option<Arc<Engine>>,
}

impl OnFiles {
    fn open(&mut self) {
        let options = small(self.directory.path(), Env::real(), true);
        self.engine = Some(Engine::open(options).unwrap());
    }
}

impl Subject for OnFiles {
    fn store(&self) -> Arc<dyn Storage> {
        Arc::clone(self.engine.as_ref().unwrap()) as Arc<dyn Storage>
    }

    fn seal(&self) {
        self.engine.as_ref().unwrap().seal().unwrap();
    }

    fn step(&self, choice: u64) {
        explicit_step(self.engine.as_ref().unwrap(), choice);
    }

    fn reopen(&mut self) -> bool {
        self.engine.take().unwrap().close().unwrap();
        self.open();
        true
    }

    fn crash(&mut self) -> bool {
        self.engine = None;
        self.open();
        true
    }
}

#[test]
fn engine_conforms_on_real_files() {
    let make = || -> Box<dyn Subject> {
        let directory = tempfile::tempdir().unwrap();
        let mut subject = OnFiles { directory, engine: None };
        subject.open();
        Box::new(subject)
    };
    conforms(&make, Effort { seed: 2000, scripts: 3, ..Effort::default() });
}

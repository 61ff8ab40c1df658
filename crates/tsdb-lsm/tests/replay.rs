//! Opening a store by one thread and by many: the same answers, the same files, the same errors.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::env::{Env, Fault, FaultError, OpKind, SimClock, SimVfs, Vfs as _, read_exact_at};
use tsdb_core::storage::Storage;
use tsdb_core::storage::conformance::{Op, Runner, Subject, fingerprint, script};
use tsdb_lsm::{Engine, EngineOptions};

const DIRECTORY: &str = "/db";

/// Pieces of some hundred bytes to two thousand, so that the log of a script has many of them.
const GENERATION_BYTES: usize = 4 << 10;

fn open(disk: &SimVfs, threads: usize) -> tsdb_lsm::Result<Arc<Engine>> {
    let mut options = EngineOptions::new(DIRECTORY);
    options.env = Env { clock: Arc::new(SimClock::new(i64::MIN)), ..disk.env() };
    options.background = false;
    options.generation_bytes = GENERATION_BYTES;
    options.wal_segment_bytes = 8 << 10;
    options.replay_threads = Some(threads);
    Engine::open(options)
}

/// A store that only writes its log.
struct Logging {
    engine: Arc<Engine>,
}

impl Subject for Logging {
    fn store(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.engine) as Arc<dyn Storage>
    }

    fn settle(&self) {
        self.engine.sync().unwrap();
    }

    fn seal(&self) {
        self.engine.seal().unwrap();
    }
}

/// A killed store whose log has what a script wrote, partly in runs already, and the fingerprint of all of it.
fn killed(seed: u64) -> (SimVfs, u128) {
    let disk = SimVfs::new(seed);
    let mut runner = Runner::new(Box::new(Logging { engine: open(&disk, 1).unwrap() }));
    let mut flushes = 0;
    for op in script(seed, 120).unwrap() {
        match op {
            Op::Write(..) | Op::Delete { .. } | Op::Change(_) | Op::Seal => runner.play(&op),
            // Retention flushes what its cutoffs must stand behind.
            Op::Flush | Op::Retain(_) if flushes < 2 => {
                flushes += 1;
                runner.play(&op)
            }
            _ => Ok(()),
        }
        .unwrap();
    }
    (disk.kill(), runner.model().fingerprint().unwrap())
}

/// All files with their bytes, except those of the log.
fn files(disk: &SimVfs) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for directory in [PathBuf::from(DIRECTORY), Path::new(DIRECTORY).join("runs")] {
        for entry in disk.list(&directory).unwrap().into_iter().filter(|entry| !entry.is_dir) {
            let path = directory.join(&entry.name);
            let mut bytes = vec![0; usize::try_from(entry.bytes).unwrap()];
            read_exact_at(&*disk.open_read(&path).unwrap(), &mut bytes, 0).unwrap();
            files.insert(path, bytes);
        }
    }
    files
}

/// What came of opening a store: what is in it or why it did not open, and its files.
#[derive(Debug, PartialEq)]
struct Outcome {
    found: Result<(u128, String), String>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

fn outcome(disk: &SimVfs, threads: usize) -> Outcome {
    let opened = open(disk, threads);
    let found = match &opened {
        Ok(engine) => Ok((fingerprint(&**engine).unwrap(), format!("{:?}", engine.recovery()))),
        Err(error) => Err(error.to_string()),
    };
    Outcome { found, files: files(disk) }
}

/// The outcome of one thread, which that of two and of eight must be too.
fn same_for_any_number(disk: &SimVfs, fault: Option<&Fault>, what: &str) -> (SimVfs, Outcome) {
    let mut outcomes = [1, 2, 8].into_iter().map(|threads| {
        let disk = disk.fork();
        fault.iter().for_each(|fault| disk.add_fault((*fault).clone()));
        let outcome = outcome(&disk, threads);
        disk.clear_faults();
        (disk, outcome)
    });
    let (disk, of_one) = outcomes.next().unwrap();
    for ((_, outcome), threads) in outcomes.zip([2, 8]) {
        assert_eq!(outcome.found, of_one.found, "{what}: {threads} threads");
        let names = |outcome: &Outcome| outcome.files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&outcome), names(&of_one), "{what}: {threads} threads");
        assert!(outcome.files == of_one.files, "{what}: {threads} threads: other bytes");
    }
    (disk, of_one)
}

#[test]
fn threads_leave_what_one_leaves() {
    let mut most_runs = 0;
    for seed in 0..6 {
        let (disk, expected) = killed(seed);
        let (_, outcome) = same_for_any_number(&disk, None, &format!("seed {seed}"));
        assert_eq!(outcome.found.unwrap().0, expected, "seed {seed}");
        most_runs = most_runs.max(outcome.files.len());
    }
    assert!(most_runs > 20, "only {most_runs} files: the logs are too short to tell anything");
}

#[test]
fn an_error_in_a_piece_leaves_what_stands_before_it() {
    let mut refused = 0;
    for seed in 0..2 {
        let (disk, expected) = killed(seed);
        let sound = outcome(&disk.fork(), 1);
        let runs = sound.files.keys().filter(|path| path.extension().is_some());
        let runs: Vec<String> = runs.map(|path| path.display().to_string()).collect();
        let kinds = [OpKind::Create, OpKind::Write, OpKind::Sync, OpKind::Open];
        let mut faults: Vec<Fault> = runs
            .iter()
            .step_by(4)
            .zip(kinds.into_iter().cycle())
            .map(|(run, kind)| Fault::nth(kind, 1, FaultError::Eio).on_path(run))
            .collect();
        let edits = (1..5).map(|n| Fault::nth(OpKind::Rename, n, FaultError::Eio));
        faults.extend(edits.map(|fault| fault.on_path("MANIFEST")));
        for fault in faults {
            let what = format!("seed {seed}, {fault:?}");
            let (disk, outcome) = same_for_any_number(&disk, Some(&fault), &what);
            refused += usize::from(outcome.found.is_err());
            let mended = open(&disk, 2).unwrap();
            assert_eq!(fingerprint(&*mended).unwrap(), expected, "{what}: opened again");
        }
    }
    assert!(refused > 5, "only {refused} faults struck");
}

#[test]
fn damage_in_the_log_leaves_what_stands_before_it() {
    let mut refused = 0;
    for seed in 0..4 {
        let (disk, _) = killed(seed);
        let log = Path::new(DIRECTORY).join("wal");
        let segments = disk.list(&log).unwrap();
        for segment in segments.iter().filter(|segment| segment.bytes > 256) {
            let damaged = disk.fork();
            // Behind the header, in the middle of the frames.
            damaged.flip_bit(&log.join(&segment.name), segment.bytes / 2 + 64, 3).unwrap();
            let what = format!("seed {seed}, {}", segment.name);
            let (_, outcome) = same_for_any_number(&damaged, None, &what);
            refused += usize::from(outcome.found.is_err());
        }
    }
    assert!(refused > 5, "only {refused} logs were refused");
}

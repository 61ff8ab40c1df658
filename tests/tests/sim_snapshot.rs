//! Snapshots, restoring and checking on the simulated disk: S1 to S3 of the failures that the engine is built for.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::Maintain as _;
use tsdb_core::env::{CrashChoice, SimRng, SimVfs, Vfs as _};
use tsdb_core::storage::conformance::{Op, fingerprint, script};
use tsdb_lsm::{Engine, EngineOptions, Error, VerifyReport, restore, verify};
use tsdb_tests::sim::{Run, Setup, choices};

const SOURCE: &str = "/data/db";

fn open(disk: &SimVfs, directory: &Path) -> tsdb_lsm::Result<Arc<Engine>> {
    let mut options = EngineOptions::new(directory);
    options.env = disk.env();
    options.background = false;
    Engine::open(options)
}

fn shown(disk: &SimVfs, directory: &Path) -> u128 {
    fingerprint(&*open(disk, directory).unwrap()).unwrap()
}

/// S1: snapshots in the middle of writes, deletes, merges and changes of the catalogue. Each shows what the store
/// showed then, whatever becomes of the store, and so does a store that is restored from it.
#[test]
fn snapshots_show_the_store_as_of_one_number() {
    let mut taken = 0;
    for seed in 3000..3012 {
        let disk = SimVfs::new(seed);
        let mut run = Run::open(&Setup::HONEST, &disk, &[]).unwrap();
        let mut kept: Vec<(PathBuf, u128)> = Vec::new();
        for (place, op) in script(seed, 120).unwrap().iter().enumerate() {
            run.play(op).unwrap().unwrap();
            if place % 12 == 5 {
                let target = PathBuf::from(format!("/backup/{seed}-{place}"));
                let report = run.engine().snapshot_to(&target).unwrap();
                let live = fingerprint(run.store()).unwrap();
                assert_eq!(shown(&disk.fork(), &target), live, "seed {seed}, step {place}");
                let visible = tsdb_core::Select::snapshot(run.engine()).unwrap().statistics();
                assert_eq!(report.sequence, visible.visible, "seed {seed}, step {place}");
                assert_eq!(report.files, visible.runs);
                kept.push((target, live));
            }
        }
        run.play(&Op::Compact).unwrap().unwrap();
        let disk = run.end().disk.crash(CrashChoice::KeepNone);
        for (place, (snapshot, live)) in kept.iter().enumerate() {
            let report = verify(&disk.env(), snapshot).unwrap();
            assert_eq!(report.problems, [], "{}", snapshot.display());
            let restored = PathBuf::from(format!("/restored/{seed}-{place}"));
            let copied = restore(&disk.env(), snapshot, &restored).unwrap();
            assert_eq!((copied.files, copied.rows), (report.files, report.rows));
            assert_eq!(shown(&disk, &restored), *live, "restored from {}", snapshot.display());
            assert_eq!(shown(&disk, snapshot), *live, "{}", snapshot.display());
        }
        taken += kept.len();
    }
    assert!(taken >= 100, "{taken} snapshots");
}

/// A store with some runs and rows in its log.
fn store(seed: u64) -> Run {
    let disk = SimVfs::new(seed);
    let mut run = Run::open(&Setup::HONEST, &disk, &[]).unwrap();
    for op in script(seed, 40).unwrap() {
        run.play(&op).unwrap().unwrap();
    }
    run.engine().sync().unwrap();
    run
}

/// S2: a crash at every operation of a snapshot leaves the store as it is, and the snapshot whole or not one.
#[test]
fn a_crash_in_a_snapshot_leaves_the_store_alone() {
    let target = Path::new("/data/db/snapshots/daily");
    let (mut whole, mut none) = (0, 0);
    for seed in 3100..3103 {
        let run = store(seed);
        let live = fingerprint(run.store()).unwrap();
        run.engine().snapshot_to(target).unwrap();
        let rng = SimRng::new(seed);
        let mut recording = run.end().disk.recording();
        // What came before is the business of other suites.
        let begin = store(seed).end().disk.op_count();
        while recording.op_index() < begin && recording.advance() {}
        loop {
            for choice in choices(&rng, &recording) {
                let at = format!("seed {seed}, behind {} by {choice:?}", recording.op_index());
                let disk = recording.crash(choice);
                if disk.exists(&target.join("MANIFEST")).unwrap() {
                    whole += 1;
                    assert_eq!(shown(&disk.fork(), target), live, "{at}: a snapshot");
                } else {
                    none += 1;
                }
                let engine = open(&disk, Path::new(SOURCE)).unwrap_or_else(|e| panic!("{at}: {e}"));
                assert_eq!(fingerprint(&*engine).unwrap(), live, "{at}: the store");
                if !disk.exists(&target.join("MANIFEST")).unwrap() {
                    engine
                        .snapshot_to(target)
                        .unwrap_or_else(|error| panic!("{at}: again: {error}"));
                    assert_eq!(shown(&disk, target), live, "{at}: the second snapshot");
                }
            }
            if !recording.advance() {
                break;
            }
        }
    }
    println!("sim: crashes in snapshots: {whole} whole, {none} none");
    assert!(whole > 0 && none > 0, "{whole} {none}");
}

/// S2: a disk that is full.
#[test]
fn a_full_disk_in_a_snapshot_leaves_the_store_alone() {
    let target = Path::new("/backup/daily");
    let mut failed = 0;
    for room in (0..40_000).step_by(1500) {
        let run = store(3200);
        let live = fingerprint(run.store()).unwrap();
        run.engine().flush().unwrap();
        let vfs = run.disk().clone();
        let space = vfs.free_space(Path::new("/")).unwrap();
        vfs.set_capacity(Some(space.total - space.free + room));
        let outcome = run.engine().snapshot_to(target);
        failed += u32::from(outcome.is_err());
        vfs.set_capacity(None);
        assert_eq!(fingerprint(run.store()).unwrap(), live);
        if outcome.is_err() {
            run.engine().snapshot_to(target).unwrap();
        }
        assert_eq!(shown(&vfs.fork(), target), live);
    }
    assert!(failed > 0, "no snapshot met a full disk");
}

/// S3: nothing is restored over something.
#[test]
fn nothing_is_overwritten() {
    let mut run = store(3300);
    let (disk, snapshot) = (run.disk().clone(), Path::new("/backup/one"));
    run.engine().snapshot_to(snapshot).unwrap();
    let refused = |result: tsdb_lsm::Result<tsdb_lsm::SnapshotReport>, why: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(run.engine().snapshot_to(snapshot), "not empty");
    refused(restore(&disk.env(), snapshot, Path::new(SOURCE)), "not empty");
    refused(restore(&disk.env(), snapshot, snapshot), "not empty");
    refused(restore(&disk.env(), Path::new("/nowhere"), Path::new("/new")), "missing");
    // A store that runs, and one whose log has rows.
    assert!(matches!(
        restore(&disk.env(), Path::new(SOURCE), Path::new("/new")),
        Err(Error::Locked { .. })
    ));
    assert!(matches!(verify(&disk.env(), Path::new(SOURCE)), Err(Error::Locked { .. })));
    for op in script(3301, 10).unwrap() {
        run.play(&op).unwrap().unwrap();
    }
    run.engine().sync().unwrap();
    drop(run);
    refused(restore(&disk.env(), Path::new(SOURCE), Path::new("/new")), "rows in its log");
}

/// The files of a store that is closed.
fn files_of(disk: &SimVfs) -> Vec<PathBuf> {
    let mut files = vec![Path::new(SOURCE).join("MANIFEST")];
    for directory in ["runs", "wal"] {
        let directory = Path::new(SOURCE).join(directory);
        files
            .extend(disk.list(&directory).unwrap().iter().map(|entry| directory.join(&entry.name)));
    }
    files
}

/// Flips a bit on a copy of `disk`, whose store is `sound`: it must be told.
fn assert_told(disk: &SimVfs, sound: &VerifyReport, file: &Path, at: u64, bit: u8) {
    let damaged = disk.fork();
    damaged.flip_bit(file, at, bit).unwrap();
    let report = verify(&damaged.env(), Path::new(SOURCE)).unwrap();
    let is_log = file.to_string_lossy().contains("/wal/");
    let told = !report.problems.is_empty() || (is_log && report != *sound);
    // Space that was reserved for the log and never written means nothing.
    let content = disk.content(file).unwrap();
    let is_unused = is_log && content.iter().skip(usize::try_from(at).unwrap()).all(|b| *b == 0);
    assert!(told || is_unused, "bit {bit} of byte {at} of {}", file.display());
}

/// Each flipped bit, each cut, and each missing or foreign file of a store is told, or is one that a start would take
/// for the torn end of the log.
#[test]
fn damage_is_told() {
    let mut run = store(3400);
    run.engine().flush().unwrap();
    for op in script(3401, 10).unwrap() {
        run.play(&op).unwrap().unwrap();
    }
    run.engine().sync().unwrap();
    let disk = run.end().disk.crash(CrashChoice::KeepNone);
    let sound = verify(&disk.env(), Path::new(SOURCE)).unwrap();
    assert!(sound.problems.is_empty() && sound.files > 0 && sound.records > 0, "{sound:?}");
    let files = files_of(&disk);
    for file in &files {
        let bytes = disk.content(file).unwrap().len() as u64;
        let step = (bytes / 300).max(1);
        for at in (0..bytes).step_by(usize::try_from(step).unwrap()) {
            assert_told(&disk, &sound, file, at, u8::try_from(at % 8).unwrap());
        }
        let cut = disk.fork();
        cut.edit(file, |content| content.truncate(content.len() / 2)).unwrap();
        let report = verify(&cut.env(), Path::new(SOURCE));
        assert!(report.is_err() || report.unwrap() != sound, "half of {}", file.display());
        let gone = disk.fork();
        gone.unlink(file).unwrap();
        let report = verify(&gone.env(), Path::new(SOURCE));
        assert!(report.is_err() || report.unwrap() != sound, "without {}", file.display());
    }
    let extra = disk.fork();
    let run_file = files.iter().find(|file| file.extension().is_some_and(|e| e == "run")).unwrap();
    extra.link(run_file, &Path::new(SOURCE).join("runs/0000099999.run")).unwrap();
    assert_eq!(verify(&extra.env(), Path::new(SOURCE)).unwrap().orphans, 1);
}

/// As many flips as `TSDB_BIT_FLIPS` says, of any bit of any file of a small store.
#[test]
fn random_flips_are_told() {
    let flips: u64 = std::env::var("TSDB_BIT_FLIPS").map_or(2000, |n| n.parse().unwrap());
    let mut run = store(3500);
    run.engine().flush().unwrap();
    for op in script(3501, 2).unwrap() {
        run.play(&op).unwrap().unwrap();
    }
    run.engine().sync().unwrap();
    let disk = run.end().disk.crash(CrashChoice::KeepNone);
    let sound = verify(&disk.env(), Path::new(SOURCE)).unwrap();
    let files = files_of(&disk);
    let total: u64 = files.iter().map(|file| disk.content(file).unwrap().len() as u64).sum();
    let random = SimRng::new(3502);
    for _ in 0..flips {
        let mut at = random.below(total);
        for file in &files {
            let bytes = disk.content(file).unwrap().len() as u64;
            if at < bytes {
                assert_told(&disk, &sound, file, at, u8::try_from(random.below(8)).unwrap());
                break;
            }
            at -= bytes;
        }
    }
    println!("{flips} flips in {total} bytes of {} files: each was told", files.len());
}

//! Crash simulation of the whole engine: recovery from every crash, faults of the disk, determinism, and
//! that the harness finds planted errors. The harness is in `tsdb_tests::sim`; the figures are printed.

#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};

use tsdb_core::ErrorKind;
use tsdb_core::env::{
    CrashChoice, Effect, Fault, FaultError, OpKind, ShortLength, SimRng, SimVfs, When,
};
use tsdb_core::storage::conformance::{Violation, fingerprint, script};
use tsdb_tests::sim::{Enumeration, History, Run, Setup, Tally, lies};

/// Crash states that a run of the main suite must try.
const STATES_MIN: u64 = 50_000;

/// Operations of each script.
const OPS: usize = 60;

/// Plays the script of `seed` on a new disk without faults.
fn play(setup: &Setup, seed: u64, ops: usize) -> Result<Run, Violation> {
    let disk = SimVfs::new(seed);
    let mut run =
        Run::open(setup, &disk, &[]).map_err(|error| Violation::new(error.to_string()))?;
    for op in script(seed, ops)? {
        run.play(&op)??;
        run.check_visible()?;
    }
    Ok(run)
}

fn crash_everywhere(setup: &Setup, seed: u64) -> Result<Tally, Violation> {
    let enumeration = Enumeration {
        setup,
        rng: SimRng::new(!seed),
        depth_max: 2,
        continued_one_of: 250,
        continued_ops: 6,
    };
    let run = play(setup, seed, OPS)?;
    enumeration.check(&run.end())
}

#[test]
fn every_crash_recovers_to_a_prefix_that_holds_what_was_acknowledged() {
    // proves: I1, I2, I3, I6, I7, I12
    const FIRST_SEED: u64 = 1;
    let next_seed = AtomicU64::new(FIRST_SEED);
    let states = AtomicU64::new(0);
    let work = || {
        let mut tally = Tally::default();
        while states.load(Ordering::Relaxed) < STATES_MIN {
            let seed = next_seed.fetch_add(1, Ordering::Relaxed);
            let found = crash_everywhere(&Setup::HONEST, seed)
                .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
            states.fetch_add(found.states, Ordering::Relaxed);
            tally.add(found);
        }
        tally
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| tally.add(worker.join().unwrap()));
    });
    println!("sim: {} crash states, 0 violations, seed {FIRST_SEED}", tally.states);
    println!("sim: {tally:?}, {} runs", next_seed.load(Ordering::Relaxed) - FIRST_SEED);
    assert!(tally.states >= STATES_MIN && tally.nested > 0 && tally.beyond > 0, "{tally:?}");
}

/// What readers saw before a crash is what they see after it, when everything was synced; whatever the
/// disk does, and again after an orderly stop.
#[test]
fn live_answer_equals_the_answer_after_replay() {
    for seed in 500..530 {
        let run = play(&Setup::HONEST, seed, 80).unwrap();
        run.engine().sync().unwrap();
        let live = fingerprint(run.store()).unwrap();
        let History { disk, .. } = run.end();
        let choices = [
            CrashChoice::KeepNone,
            CrashChoice::KeepAll,
            CrashChoice::Subset { seed },
            CrashChoice::PerFilePrefix { seed },
            CrashChoice::MetadataFirst { seed },
        ];
        for choice in choices {
            let crashed = disk.crash(choice);
            let engine = Setup::HONEST.open(&crashed).unwrap();
            assert_eq!(fingerprint(&*engine).unwrap(), live, "seed {seed}, {choice:?}");
            tsdb_core::Maintain::close(&*engine).unwrap();
            drop(engine);
            let engine = Setup::HONEST.open(&crashed).unwrap();
            assert_eq!(fingerprint(&*engine).unwrap(), live, "seed {seed}, {choice:?}, closed");
        }
    }
}

#[test]
fn one_seed_is_one_run() {
    // proves: I8
    for seed in 600..610 {
        let hash = || play(&Setup::HONEST, seed, 100).unwrap().end().disk.log_hash();
        assert_eq!(hash(), hash(), "seed {seed}");
    }
}

/// What a run on a failing disk leaves is a prefix that holds every acknowledged change: after a crash of
/// the machine, after one of the process, and after one of the machine behind that one.
fn check_after_faults(history: &History, what: &str) {
    history.disk.clear_faults();
    let fingerprints = history.fingerprints().unwrap();
    let bounds = history.bounds_at(history.disk.op_count());
    let recover = |how: &str, disk: &SimVfs, bounds: (usize, usize)| -> usize {
        let engine = Setup::HONEST.open(disk).unwrap_or_else(|e| panic!("{what}, {how}: {e}"));
        let shown = history.prefix_shown(&*engine, &fingerprints, bounds);
        shown.unwrap_or_else(|violation| panic!("{what}, {how}: {violation}"))
    };
    recover("kept none", &history.disk.crash(CrashChoice::KeepNone), bounds);
    recover("kept all", &history.disk.crash(CrashChoice::KeepAll), bounds);
    recover("kept some", &history.disk.crash(CrashChoice::Subset { seed: 1 }), bounds);
    let killed = history.disk.kill();
    let shown = recover("killed", &killed, bounds);
    // What the kernel had in memory only has been shown to readers: by now it is on the disk.
    recover("killed, crashed", &killed.crash(CrashChoice::KeepNone), (shown, shown));
}

/// Plays a script whatever fails, and checks what is left. Returns the error of each operation that failed,
/// and how many changes were acknowledged when the fault had struck and at the end.
fn play_with_fault(seed: u64, fault: Fault) -> Option<(Vec<tsdb_core::Error>, usize, usize)> {
    let what = format!("seed {seed}, {fault:?}");
    let disk = SimVfs::new(seed);
    let mut run = Run::open(&Setup::HONEST, &disk, &[]).unwrap();
    disk.add_fault(fault);
    let mut errors = Vec::new();
    let mut acknowledged_when_struck = None;
    for op in script(seed, OPS).unwrap() {
        let outcome = run.play(&op).unwrap_or_else(|violation| panic!("{what}: {violation}"));
        errors.extend(outcome.err());
        if disk.struck() > 0 && acknowledged_when_struck.is_none() {
            acknowledged_when_struck = Some(run.acknowledged_count());
        }
    }
    let acknowledged = run.acknowledged_count();
    check_after_faults(&run.end(), &what);
    acknowledged_when_struck.map(|then| (errors, then, acknowledged))
}

/// W5: each sync of the log of a run in turn fails. Nothing is acknowledged from then on, though later
/// syncs succeed, and a restart finds what was acknowledged before.
#[test]
fn nothing_is_acknowledged_after_a_failed_sync_of_the_log() {
    // proves: I10, I1
    let mut failures = 0;
    for seed in 700..704 {
        for nth in 1.. {
            let fault = Fault::nth(OpKind::Sync, nth, FaultError::Eio).on_path("/wal/");
            let Some((errors, then, at_the_end)) = play_with_fault(seed, fault) else { break };
            assert!(!errors.is_empty(), "seed {seed}, sync {nth}: no step says that it failed");
            assert_eq!(then, at_the_end, "seed {seed}: acknowledged after failed sync {nth}");
            let kinds: Vec<ErrorKind> = errors.iter().map(tsdb_core::Error::kind).collect();
            let failed = kinds.iter().all(|kind| *kind == ErrorKind::StorageFailed);
            assert!(failed, "seed {seed}, sync {nth}: {errors:?}");
            failures += 1;
        }
    }
    println!("sim: {failures} failed syncs of the log, 0 violations");
    assert!(failures > 40, "the scripts have too few syncs");
}

/// Every operation of a run in turn fails, once or from then on, whatever it was for.
#[test]
fn every_operation_may_fail() {
    let kinds = [
        OpKind::Create,
        OpKind::Open,
        OpKind::Read,
        OpKind::Write,
        OpKind::Sync,
        OpKind::SyncDir,
        OpKind::SetLen,
        OpKind::Reserve,
        OpKind::Rename,
        OpKind::Unlink,
        OpKind::List,
    ];
    let mut runs = 0;
    for (seed, kind) in (800..).zip(kinds.iter().copied().cycle().take(3 * kinds.len())) {
        for nth in 1..60 {
            let error = if nth % 3 == 0 { FaultError::Enospc } else { FaultError::Eio };
            let fault = Fault::nth(kind, nth, error);
            let fault = if nth % 2 == 0 { fault.sticky() } else { fault };
            if play_with_fault(seed, fault).is_none() {
                break;
            }
            runs += 1;
        }
    }
    println!("sim: {runs} runs with a failing operation, 0 violations");
    assert!(runs > 200, "the scripts do too little: {runs} runs");
}

/// W6: reads and writes that move less than they were asked to, and interruptions, change nothing.
#[test]
fn short_transfers_and_interruptions_are_no_errors() {
    let short = |on, length, chances| Fault {
        on,
        path_contains: String::new(),
        when: When::PerMille(chances),
        sticky: false,
        effect: Effect::Short(length),
    };
    let interrupted = |on| Fault {
        effect: Effect::Error(FaultError::Eintr),
        ..short(on, ShortLength::Half, 100)
    };
    let storms = [
        vec![short(OpKind::Write, ShortLength::AllButOne, 1000)],
        vec![short(OpKind::Write, ShortLength::Half, 1000)],
        vec![short(OpKind::Write, ShortLength::Bytes(1), 200)],
        vec![short(OpKind::Read, ShortLength::Half, 1000)],
        vec![short(OpKind::Read, ShortLength::Bytes(1), 200)],
        vec![interrupted(OpKind::Write), interrupted(OpKind::Read)],
    ];
    // A script may read so little that a storm by chance spares it, four scripts do not.
    let mut struck = vec![0; storms.len()];
    for (seed, (kind, storm)) in (900..).zip(storms.iter().enumerate().cycle().take(24)) {
        let disk = SimVfs::new(seed);
        let mut run = Run::open(&Setup::HONEST, &disk, &[]).unwrap();
        storm.iter().for_each(|fault| disk.add_fault(fault.clone()));
        for op in script(seed, OPS).unwrap() {
            run.play(&op).unwrap().unwrap_or_else(|error| panic!("{storm:?}: {error}"));
        }
        run.engine().sync().unwrap();
        run.check_visible().unwrap();
        // Recovery reads through the same storm.
        let live = fingerprint(run.store()).unwrap();
        let crashed = run.end().disk.crash(CrashChoice::KeepNone);
        storm.iter().for_each(|fault| crashed.add_fault(fault.clone()));
        let engine = Setup::HONEST.open(&crashed).unwrap();
        assert_eq!(fingerprint(&*engine).unwrap(), live, "seed {seed}, {storm:?}");
        struck[kind] += disk.struck() + crashed.struck();
    }
    for (storm, struck) in storms.iter().zip(struck) {
        assert!(struck > 0, "nothing was short: {storm:?}");
    }
}

/// A disk of any size that fills up loses nothing that was acknowledged; with room again writes go on.
#[test]
fn a_full_disk_loses_nothing_and_recovers() {
    let rng = SimRng::new(1000);
    let mut full = 0;
    for seed in 1000..1100 {
        let disk = SimVfs::new(seed);
        let mut run = Run::open(&Setup::HONEST, &disk, &[]).unwrap();
        disk.set_capacity(Some((4 << 10) + rng.below(1 << 18)));
        let mut refused = 0;
        for op in script(seed, OPS).unwrap() {
            refused += u64::from(run.play(&op).unwrap().is_err());
        }
        full += u64::from(refused > 0);
        disk.set_capacity(None);
        assert!(run.engine().failure().is_none(), "seed {seed}: {:?}", run.engine().failure());
        for op in script(seed + 10_000, 20).unwrap() {
            run.play(&op)
                .unwrap()
                .unwrap_or_else(|error| panic!("seed {seed}, room again: {error}"));
        }
        run.engine().sync().unwrap();
        check_after_faults(&run.end(), &format!("seed {seed}, full disk"));
    }
    println!("sim: {full} of 100 disks were full");
    assert!(full > 20, "only {full} disks were full");
}

/// The canary: planted errors are found, or the suites above prove nothing.
#[test]
fn planted_errors_are_found() {
    let planted = [
        ("acknowledges before the sync", lies::ACKNOWLEDGES_EARLY),
        ("skips syncs of files", lies::SKIPS_FILE_SYNC),
        ("skips syncs of directories", lies::SKIPS_DIRECTORY_SYNC),
    ];
    for (what, setup) in planted {
        let found = (1..20).find_map(|seed| {
            let disk = SimVfs::new(seed);
            let mut run = Run::open(&setup, &disk, &[]).unwrap();
            for op in script(seed, OPS).unwrap() {
                run.play(&op).unwrap().unwrap();
            }
            let rng = SimRng::new(seed);
            let setup = &Setup::HONEST;
            let (depth_max, continued_one_of, continued_ops) = (0, 1, 0);
            let enumeration =
                Enumeration { setup, rng, depth_max, continued_one_of, continued_ops };
            enumeration.check(&run.end()).err()
        });
        let violation = found.unwrap_or_else(|| panic!("no crash shows that it {what}"));
        println!(
            "sim: an engine that {what}: {}",
            violation.what.lines().next().unwrap_or_default()
        );
    }
}

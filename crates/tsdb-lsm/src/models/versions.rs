//! Versions: readers in the middle of runs that merges replace.

use std::sync::{Arc, Weak};

use tsdb_core::planted::Planted;
use tsdb_core::sync::thread;
use tsdb_core::{Block, Maintain as _, ScanRequest, Select as _};

use super::{Store, finds, holds, rows};
use crate::manifest::run_path;
use crate::sst::Run;

/// Runs before the reader begins.
const RUNS: u8 = 3;

/// A reader goes through a snapshot while merges replace all of its files, twice.
fn a_reader_and_merges() {
    let store = Store::open();
    for run in 0..i64::from(RUNS) {
        // They interleave, so that a merge has to read all of them.
        store.write(&[run, run + 10, run + 20]);
        store.engine.shared.flush_all().unwrap();
    }
    let expected: Vec<i64> =
        (0..3).flat_map(|ten| (0..i64::from(RUNS)).map(move |run| ten * 10 + run)).collect();
    let reading = Arc::clone(&store);
    let reader = thread::spawn(move || {
        let snapshot = reading.engine.snapshot().unwrap();
        let once = reading.times(&*snapshot);
        assert!(once.starts_with(&expected), "{once:?}");
        // The second time in steps, with the same rows in each.
        let request = ScanRequest::all(reading.namespace, "m");
        let mut selection = snapshot.select(&request).unwrap();
        let (mut block, mut times) = (Block::new(), Vec::new());
        for cursor in &mut selection.cursors {
            thread::yield_now();
            while cursor.next(&mut block).unwrap() {
                times.extend(rows(&block));
            }
        }
        assert_eq!(times, once, "a snapshot changed under its reader");
    });
    let merging = Arc::clone(&store);
    let merger = thread::spawn(move || {
        let before: Vec<Weak<Run>> = runs(&merging);
        merging.engine.compact().unwrap();
        merging.write(&[30]);
        merging.engine.shared.flush_all().unwrap();
        merging.engine.compact().unwrap();
        before
    });
    reader.join().unwrap();
    let before = merger.join().unwrap();
    assert_eq!(before.len(), usize::from(RUNS));
    let held = before.iter().filter(|run| run.upgrade().is_some()).count();
    assert_eq!(held, 0, "runs stay open that no version names and nobody reads");
    let shared = &store.engine.shared;
    let view = shared.view.load_full();
    assert_eq!(view.version.runs().len(), 1);
    let last = shared.next_file.load(tsdb_core::sync::atomic::Ordering::SeqCst);
    let vfs = &shared.options.env.vfs;
    let exists = |file: &u64| vfs.open_read(&run_path(&shared.options.directory, *file)).is_ok();
    let on_disk: Vec<u64> = (0..last).filter(exists).collect();
    assert!(
        on_disk.iter().eq(view.version.runs().keys()),
        "files that no version names: {on_disk:?}"
    );
}

fn runs(store: &Store) -> Vec<Weak<Run>> {
    let view = store.engine.shared.view.load_full();
    view.version.runs().values().map(Arc::downgrade).collect()
}

#[test]
fn a_version_keeps_its_files_until_nobody_reads_it() {
    // proves: I6
    holds("a reader and merges", a_reader_and_merges);
}

#[test]
fn files_that_go_under_a_reader_are_found() {
    finds(Planted::RemovedRunsAreEmptied, a_reader_and_merges);
}

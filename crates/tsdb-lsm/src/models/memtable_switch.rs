//! The switch of the memtable: writers put rows, a thread freezes and flushes generations, a reader looks.

use std::collections::BTreeSet;
use std::sync::Arc;

use tsdb_core::matcher::TagFilter;
use tsdb_core::planted::Planted;
use tsdb_core::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::sync::thread;
use tsdb_core::{Append as _, DeleteRequest, Select as _, TimeRange};

use super::{Store, finds, holds};
use crate::memtable::Wanted;
use crate::view::View;
use crate::work::Work;

const WRITERS: i64 = 2;
const ROWS_EACH: i64 = 2;

/// Rows with numbers up to `bound` in every generation and every run of a view, those in two places twice.
fn rows_in(view: &View, bound: u64) -> u64 {
    let in_memory = view.generations().map(|generation| {
        let index =
            generation.index(&Wanted::All, bound, TimeRange::all(), &mut Work::of_the_engine());
        index.unwrap().rows() as u64
    });
    let in_runs = view.version.manifest.slices().map(|(_, slice)| slice.rows);
    in_memory.sum::<u64>() + in_runs.sum::<u64>()
}

/// Every number from `base` on is one row. In every moment all numbers up to the bound of a snapshot are in
/// exactly one place, and the snapshot shows them.
fn put_freeze_and_read() {
    let store = Store::open();
    let base = store.engine.shared.commit.visible();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let (store, acknowledged) = (Arc::clone(&store), Arc::clone(&acknowledged));
        threads.push(thread::spawn(move || {
            for row in 0..ROWS_EACH {
                let time = writer * ROWS_EACH + row;
                store.write(&[time]);
                acknowledged.fetch_or(1 << time, Ordering::SeqCst);
            }
        }));
    }
    let freezing = Arc::clone(&store);
    threads.push(thread::spawn(move || {
        for _ in 0..2 {
            freezing.engine.seal().unwrap();
            freezing.engine.flush_one().unwrap();
        }
    }));
    let (reading, before) = (Arc::clone(&store), Arc::clone(&acknowledged));
    threads.push(thread::spawn(move || {
        for _ in 0..3 {
            look(&reading, base, before.load(Ordering::SeqCst));
        }
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    store.engine.shared.flush_all().unwrap();
    let all = (WRITERS * ROWS_EACH) as u64;
    let view = store.engine.shared.view.load_full();
    assert_eq!(rows_in(&view, u64::MAX), all, "rows are in no place or in two");
    look(&store, base, (1 << all) - 1);
}

/// Compares a snapshot with the rows that were acknowledged before it, a bit for each.
fn look(store: &Store, base: u64, acknowledged: u64) {
    let shared = &store.engine.shared;
    let visible = shared.commit.visible();
    let snapshot = store.engine.snapshot().unwrap();
    let times = store.times(&*snapshot);
    let seen: BTreeSet<i64> = times.iter().copied().collect();
    assert_eq!(seen.len(), times.len(), "a row is seen twice: {times:?}");
    assert!(seen.iter().all(|time| (0..WRITERS * ROWS_EACH).contains(time)), "{times:?}");
    let missing = (0..64).find(|time| acknowledged >> time & 1 == 1 && !seen.contains(time));
    assert_eq!(missing, None, "a row that was acknowledged is not seen: {times:?}");
    assert!(seen.len() as u64 >= visible - base, "{visible} is visible, seen is {times:?}");
    let view = shared.view.load_full();
    let bound = visible.max(view.version.manifest.flushed_through);
    assert_eq!(rows_in(&view, bound), bound - base, "rows are in no generation or in two");
}

/// A row is deleted, then another written; whoever sees the second sees the first no more.
fn delete_put_and_read() {
    let store = Store::open();
    store.write(&[0]);
    let deleting = Arc::clone(&store);
    let deleter = thread::spawn(move || {
        let delete = DeleteRequest {
            namespace: deleting.namespace,
            measurements: None,
            filter: TagFilter::True,
            time: TimeRange::new(0, 1),
        };
        let deleted = deleting.engine.delete(&delete).unwrap();
        deleting.write(&[1]);
        deleted.wait().unwrap();
    });
    let flushing = Arc::clone(&store);
    let flusher = thread::spawn(move || flushing.engine.shared.flush_all().unwrap());
    for _ in 0..3 {
        let times = store.times(&*store.engine.snapshot().unwrap());
        assert!(times.len() <= 1, "a moment that never was: {times:?}");
    }
    deleter.join().unwrap();
    flusher.join().unwrap();
    assert_eq!(store.times(&*store.engine.snapshot().unwrap()), [1]);
}

#[test]
fn a_snapshot_is_a_moment_that_was() {
    // proves: I2
    holds("delete, put and read of the memtable", delete_put_and_read);
}

#[test]
fn a_row_is_in_exactly_one_generation_and_none_is_lost() {
    // proves: I2
    holds("put, freeze and read of the memtable", put_freeze_and_read);
}

#[test]
fn mistakes_at_the_switch_are_found() {
    finds(Planted::GenerationBeforeNumber, put_freeze_and_read);
    finds(Planted::FlushWaitsForNobody, put_freeze_and_read);
    finds(Planted::ViewBeforeNumber, delete_put_and_read);
}

//! Group commit: three writers, the thread that syncs, and one that seals and flushes.

use std::sync::Arc;

use tsdb_core::Append as _;
use tsdb_core::planted::Planted;
use tsdb_core::sync::thread;

use super::{Store, finds, holds};
use crate::maintenance::commit;

const WRITERS: i64 = 3;

/// Writers wait for their tickets, which only the loop of the commit thread completes: a wakeup that is lost
/// leaves all of them waiting.
fn writers_wait_for_the_commit_thread() {
    let store = Store::open();
    let syncing = Arc::clone(&store.engine.shared);
    let syncer = thread::spawn(move || commit(&syncing));
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        threads.push(thread::spawn(move || {
            for round in 0..2 {
                let ticket = store.engine.append(&store.batch(&[writer * 10 + round])).unwrap();
                let own = ticket.seq();
                assert_eq!(ticket.wait(), Ok(own));
                let shared = &store.engine.shared;
                let (synced, visible) = (shared.wal.synced_seq(), shared.commit.visible());
                assert!(own <= synced, "{own} was acknowledged, synced is {synced}");
                assert!(own <= visible, "{own} was acknowledged, visible is {visible}");
            }
        }));
    }
    let rotating = Arc::clone(&store);
    threads.push(thread::spawn(move || {
        rotating.engine.seal().unwrap();
        while rotating.engine.flush_one().unwrap() {}
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    store.engine.shared.signals.stop();
    syncer.join().unwrap();
}

#[test]
fn tickets_are_completed_by_their_own_sync_and_all_of_them() {
    // proves: I2
    holds("group commit of the engine", writers_wait_for_the_commit_thread);
}

#[test]
fn mistakes_in_group_commit_are_found() {
    let early = finds(Planted::SyncCoversLaterFrames, writers_wait_for_the_commit_thread);
    assert!(early.contains("was acknowledged"), "{early}");
    let lost = finds(Planted::WaitMissesSignal, writers_wait_for_the_commit_thread);
    assert!(lost.contains("deadlock"), "{lost}");
    let silent = finds(Planted::AppliedInSilence, writers_wait_for_the_commit_thread);
    assert!(silent.contains("deadlock"), "{silent}");
}

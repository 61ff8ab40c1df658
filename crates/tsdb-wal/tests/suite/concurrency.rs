//! Many threads at one log.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use tsdb_core::env::{CrashChoice, Env, SimVfs};
use tsdb_wal::{Floor, Wal, WalOptions};

use crate::support::{DATABASE, options};

const WRITERS: u8 = 4;

/// Writers append and wait for their own frame, while another thread seals and writes out.
fn hammer(wal: &Wal, rounds: u32) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    for n in 0..rounds {
                        let mut payload = vec![writer];
                        payload.extend_from_slice(&n.to_le_bytes());
                        let seq = wal.append(&payload).unwrap();
                        assert!(wal.sync().unwrap() >= seq, "a sync covers what came before it");
                        assert!(wal.synced_seq() >= seq);
                    }
                })
            })
            .collect();
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                wal.begin_generation(|sealed| assert!(sealed.opened == sealed.closed + 1)).unwrap();
                wal.write_out().unwrap();
                wal.mark_idle().unwrap();
                assert!(wal.synced_seq() <= wal.written_seq());
                assert!(wal.written_seq() <= wal.last_seq());
                thread::yield_now();
            }
        });
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        // Before any of them is looked at: a failure must end the test, not this thread alone.
        done.store(true, Ordering::SeqCst);
        for result in results {
            result.unwrap();
        }
    });
}

/// Every frame of every writer is there once, in the writer's order.
fn check(env: &Env, options: WalOptions, rounds: u32) {
    let mut seen: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
    let mut last = 0;
    Wal::open(env, options, Floor::default(), |frame| {
        assert_eq!(frame.seq, last + 1);
        last = frame.seq;
        let (writer, n) = frame.payload.split_first().unwrap();
        let n = u32::from_le_bytes(n.try_into().unwrap());
        seen.entry(*writer).or_default().push(n);
        Ok::<(), ()>(())
    })
    .unwrap();
    assert_eq!(seen.len(), usize::from(WRITERS));
    for (writer, numbers) in seen {
        assert!(numbers.iter().copied().eq(0..rounds), "writer {writer}");
    }
}

#[test]
fn concurrent_writers_on_the_simulated_disk() {
    let vfs = SimVfs::new(41);
    let (wal, _) =
        Wal::open(&vfs.env(), options(), Floor::default(), |_| Ok::<(), ()>(())).unwrap();
    hammer(&wal, 400);
    drop(wal);
    check(&vfs.crash(CrashChoice::KeepNone).env(), options(), 400);
}

#[test]
fn concurrent_writers_on_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions {
        segment_bytes_max: 16 << 10,
        ..WalOptions::new(dir.path().join("wal"), DATABASE)
    };
    let env = Env::real();
    let (wal, _) =
        Wal::open(&env, options.clone(), Floor::default(), |_| Ok::<(), ()>(())).unwrap();
    hammer(&wal, 100);
    let stats = wal.stats();
    assert!(stats.syncs > 0 && stats.bytes > 0);
    drop(wal);
    check(&env, options, 100);
}

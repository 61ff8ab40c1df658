//! Group commit under schedules that a model chooses: writers, syncs and rotation of the real log, step by step.
//!
//! Empty without `--cfg shuttle`; `cargo xtask models` runs it.
#![cfg(shuttle)]
#![expect(clippy::unwrap_used, reason = "helpers of tests report by panicking")]

use std::path::Path;
use std::sync::Arc;

use tsdb_core::env::{CrashChoice, SimVfs};
use tsdb_core::planted::{Planted, plant};
use tsdb_core::sync::{Schedules, thread};
use tsdb_wal::{Floor, Wal, WalOptions};

const DIR: &str = "/data/wal";
const DATABASE: [u8; 16] = *b"database-of-test";
const WRITERS: usize = 3;
const FRAMES_EACH: usize = 2;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn schedules() -> Schedules {
    let count = usize::try_from(number("TSDB_MODEL_SCHEDULES", 1000)).unwrap();
    Schedules { seed: number("TSDB_MODEL_SEED", 1), count }
}

/// Frames that are found on the disk when the machine stops now, with nothing kept that was not synced.
fn frames_after_a_crash(disk: &SimVfs) -> u64 {
    let env = disk.crash(CrashChoice::KeepNone).env();
    tsdb_wal::check(&env, Path::new(DIR), DATABASE, Floor::default()).unwrap().frames
}

/// Writers append and sync, each for itself; a thread closes generations, another syncs for all.
fn writers_syncer_and_rotation() {
    let disk = SimVfs::new(1);
    // A segment takes two frames or so.
    let options =
        WalOptions { segment_bytes_max: 200, reserve_bytes: 256, ..WalOptions::new(DIR, DATABASE) };
    let (wal, _) = Wal::open(&disk.env(), options, Floor::default(), |_| Ok::<(), ()>(())).unwrap();
    let wal = Arc::new(wal);
    let mut threads = Vec::new();
    for _ in 0..WRITERS {
        let (wal, disk) = (Arc::clone(&wal), disk.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..FRAMES_EACH {
                let seq = wal.append(&[7; 20]).unwrap();
                let synced = wal.sync().unwrap();
                assert!(synced >= seq, "a writer was told of a sync that began before its frame");
                let kept = frames_after_a_crash(&disk);
                assert!(kept >= synced, "frames up to {synced} were acknowledged, {kept} are kept");
            }
        }));
    }
    let rotating = Arc::clone(&wal);
    threads.push(thread::spawn(move || {
        rotating.begin_generation(|sealed| assert_eq!(sealed.opened, sealed.closed + 1)).unwrap();
        let written = rotating.write_out().unwrap();
        assert!(written <= rotating.last_seq());
        rotating.begin_generation(|_| ()).unwrap();
    }));
    let syncing = Arc::clone(&wal);
    threads.push(thread::spawn(move || {
        for _ in 0..2 {
            syncing.sync().unwrap();
            syncing.mark_idle().unwrap();
        }
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    let all = (WRITERS * FRAMES_EACH) as u64;
    assert_eq!((wal.synced_seq(), wal.buffered_bytes()), (all, 0));
    assert_eq!(frames_after_a_crash(&disk), all);
}

#[test]
fn an_acknowledged_frame_is_durable_in_every_schedule() {
    let schedules = schedules();
    schedules.run(writers_syncer_and_rotation);
    println!("models: group commit of the log: {} schedules, 0 violations", schedules.count);
}

#[test]
fn an_acknowledgement_for_the_sync_of_another_is_found() {
    let _mistake = plant(Some(Planted::SyncCoversLaterFrames));
    let found = Schedules { seed: 1, count: 2000 }.find(writers_syncer_and_rotation);
    let found = found.unwrap_or_else(|| panic!("SyncCoversLaterFrames is not found"));
    println!("models: SyncCoversLaterFrames: schedule {}: {}", found.tried, found.message);
}

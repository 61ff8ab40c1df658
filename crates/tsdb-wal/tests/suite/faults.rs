//! W5, W6 and the disk that is full: failing syncs and writes, short and interrupted ones.

use tsdb_core::env::{CrashChoice, Effect, Fault, FaultError, OpKind, ShortLength, SimVfs, When};
use tsdb_wal::{Error, ErrorKind, Floor, Wal};

use crate::support::*;

/// Appends and syncs with a seal now and then; returns the highest number that was acknowledged, and
/// the first error.
fn work(wal: &Wal, rounds: u64) -> (u64, Option<Error>) {
    let mut acked = wal.synced_seq();
    for round in 0..rounds {
        let step = || {
            try_append(wal)?;
            try_append(wal)?;
            if round % 7 == 6 {
                wal.begin_generation(|_| ())?;
            }
            wal.sync()
        };
        match step() {
            Ok(synced) => acked = synced,
            Err(error) => return (acked, Some(error)),
        }
    }
    (acked, None)
}

/// After the first failure nothing is accepted and nothing acknowledged, however the disk answers (I10).
/// Returns the highest number that is durable, which may be above what was acknowledged.
fn check_poisoned(wal: &Wal, acked: u64) -> u64 {
    let synced = wal.synced_seq();
    assert!(acked <= synced);
    for _ in 0..3 {
        let errors = [
            try_append(wal).err(),
            wal.sync().err(),
            wal.write_out().err(),
            wal.mark_idle().err(),
            wal.mark_clean().err(),
            wal.begin_generation(|_| ()).err(),
            wal.remove_through(0).err(),
        ];
        for error in errors {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        }
    }
    assert_eq!(wal.synced_seq(), synced);
    assert!(wal.poisoned().is_some());
    synced
}

/// Whatever the machine does next, all that was acknowledged comes back, without holes.
fn check_recovery(vfs: &SimVfs, acked: u64, what: &str) {
    let mut disks =
        vec![vfs.kill(), vfs.crash(CrashChoice::KeepNone), vfs.crash(CrashChoice::KeepAll)];
    for seed in 0..4 {
        disks.push(vfs.crash(CrashChoice::Subset { seed }));
        disks.push(vfs.crash(CrashChoice::MetadataFirst { seed }));
    }
    for disk in disks {
        let opened = open(&disk);
        let last = opened.recovery.last_seq;
        assert_eq!(opened.seqs(), through(last), "{what}");
        assert!(acked <= last, "{what}: {acked} acknowledged, {last} there");
        // What the new process read must be there for good, also if the machine crashes now.
        let (mut expected, next) = (opened.seqs(), opened.recovery.next_seq);
        append(&opened.wal, 1);
        opened.wal.sync().unwrap();
        expected.push(next);
        assert_eq!(open(&disk.crash(CrashChoice::KeepNone)).seqs(), expected, "{what}");
    }
}

/// W5: the Nth sync of a run fails once, for all N; then syncs succeed again, but not for us.
#[test]
fn a_failed_sync_ends_the_log() {
    for (on, at_least) in [(OpKind::Sync, 35), (OpKind::SyncDir, 8)] {
        let mut failures = 0;
        loop {
            let vfs = SimVfs::new(11);
            let wal = open(&vfs).wal;
            vfs.add_fault(Fault::nth(on, failures + 1, FaultError::Eio));
            let (acked, error) = work(&wal, 30);
            let Some(error) = error else { break };
            failures += 1;
            assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
            let synced = check_poisoned(&wal, acked);
            check_recovery(&vfs, synced, &format!("{on:?} {failures}"));
        }
        assert!(failures >= at_least, "{failures} times {on:?}");
    }
}

/// The same for writes that fail with EIO.
#[test]
fn a_failed_write_ends_the_log() {
    let mut failures = 0;
    loop {
        let vfs = SimVfs::new(12);
        let wal = open(&vfs).wal;
        vfs.add_fault(Fault::nth(OpKind::Write, failures + 1, FaultError::Eio));
        let (acked, error) = work(&wal, 30);
        let Some(error) = error else { break };
        failures += 1;
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        let text = error.to_string();
        assert!(text.contains("failed to write /data/wal/"), "{text}");
        let synced = check_poisoned(&wal, acked);
        check_recovery(&vfs, synced, &format!("write {failures}"));
    }
    assert!(failures >= 30, "{failures}");
}

/// A segment that cannot be created for want of something else than space is nothing lost.
#[test]
fn a_failed_creation_is_tried_again() {
    for error in [FaultError::Eio, FaultError::Enospc] {
        let vfs = SimVfs::new(13);
        let wal = open(&vfs).wal;
        append(&wal, 3);
        wal.begin_generation(|_| ()).unwrap();
        append(&wal, 3);
        vfs.add_fault(Fault::nth(OpKind::Create, 1, error));
        let error = wal.sync().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        assert_eq!(wal.synced_seq(), 3, "the closed generation is safe all the same");
        assert_eq!(wal.sync().unwrap(), 6);
        assert_eq!(open(&vfs.crash(CrashChoice::KeepNone)).seqs(), through(6));
    }
}

fn short(when: When, length: ShortLength) -> Fault {
    Fault {
        on: OpKind::Write,
        path_contains: String::new(),
        when,
        sticky: true,
        effect: Effect::Short(length),
    }
}

/// W6: every write moves fewer bytes than asked for, or is interrupted one time in ten.
#[test]
fn short_and_interrupted_writes_leave_no_gap() {
    let lengths = [ShortLength::Bytes(1), ShortLength::Half, ShortLength::AllButOne];
    let mut storms = lengths.map(|length| short(When::Nth(1), length)).to_vec();
    storms.push(Fault {
        when: When::PerMille(100),
        ..Fault::nth(OpKind::Write, 0, FaultError::Eintr)
    });
    for storm in storms {
        let vfs = SimVfs::new(14);
        let wal = open(&vfs).wal;
        vfs.add_fault(storm.clone());
        let (acked, error) = work(&wal, 40);
        assert!(error.is_none(), "{storm:?}: {error:?}");
        assert_eq!(acked, 80);
        assert!(vfs.struck() > 2, "{storm:?}");
        check_recovery(&vfs, acked, &format!("{storm:?}"));
    }
}

/// W6 with nothing moved at all, at every write of a run: the segment is abandoned, and its frame comes
/// with its number in the next.
#[test]
fn a_write_that_takes_nothing_is_tried_again_in_a_new_segment() {
    let mut failures = 0;
    loop {
        let vfs = SimVfs::new(15);
        let wal = open(&vfs).wal;
        let mut fault = short(When::Nth(failures + 1), ShortLength::Bytes(0));
        fault.sticky = false;
        vfs.add_fault(fault);
        let mut errors = 0;
        for _ in 0..30 {
            append(&wal, 2);
            while let Err(error) = wal.sync() {
                assert!(matches!(error, Error::NoSpace { .. }), "{error}");
                errors += 1;
                let before = wal.stats().segments;
                wal.sync().unwrap();
                assert!(wal.stats().segments > before, "nothing follows a partial frame");
            }
        }
        assert_eq!(wal.buffered_bytes(), 0);
        check_recovery(&vfs, 60, &format!("write {failures}"));
        if errors == 0 {
            break;
        }
        assert_eq!(errors, 1);
        failures += 1;
    }
    assert!(failures >= 30, "{failures}");
}

/// A disk that is full at every size in turn, with and without reservations: frames wait, nothing is
/// lost, and with space the log goes on where it was.
#[test]
fn frames_wait_for_space() {
    for reserves in [true, false] {
        for capacity in (0..1600).step_by(7) {
            let vfs = SimVfs::new(16);
            vfs.set_reserves(reserves);
            vfs.set_capacity(Some(capacity));
            let wal = open(&vfs).wal;
            let mut refused = 0;
            for _ in 0..12 {
                append(&wal, 2);
                match wal.sync() {
                    Ok(synced) => assert_eq!(synced, wal.last_seq()),
                    Err(Error::NoSpace { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                assert_eq!(wal.synced_seq(), wal.written_seq(), "what was written is synced");
            }
            assert!(refused > 0, "{capacity} bytes are not enough");
            assert!(wal.buffered_bytes() > 0);
            let files = segments(&vfs).len() as u64;
            assert!(files <= capacity / HEADER_BYTES + 1, "{files} files in {capacity} bytes");
            check_prefix(&vfs, wal.synced_seq());
            vfs.set_capacity(None);
            assert_eq!(wal.sync().unwrap(), 24);
            assert_eq!(open(&vfs.crash(CrashChoice::KeepNone)).seqs(), through(24), "{capacity}");
            assert_eq!(open(&vfs.kill()).seqs(), through(24), "{capacity}");
        }
    }
}

fn check_prefix(vfs: &SimVfs, acked: u64) {
    for choice in [CrashChoice::KeepNone, CrashChoice::KeepAll, CrashChoice::Subset { seed: 1 }] {
        let opened = open(&vfs.crash(choice));
        assert_eq!(opened.seqs(), through(opened.recovery.last_seq));
        assert!(acked <= opened.recovery.last_seq);
    }
}

/// Reservations come ahead of the frames, so a full disk never leaves half a frame.
#[test]
fn with_reservations_no_frame_is_cut() {
    let vfs = SimVfs::new(17);
    vfs.set_capacity(Some(1000));
    let wal = open(&vfs).wal;
    while wal.sync().is_ok() {
        append(&wal, 1);
    }
    let opened = open(&vfs.kill());
    assert_eq!(opened.recovery.truncated_bytes, 0);
    assert_eq!(opened.recovery.last_seq, wal.synced_seq());
}

/// A full disk does not keep a database from opening.
#[test]
fn a_log_opens_on_a_full_disk() {
    let vfs = SimVfs::new(18);
    let wal = open(&vfs).wal;
    append(&wal, 5);
    wal.sync().unwrap();
    drop(wal);
    vfs.set_capacity(Some(0));
    let opened = open(&vfs);
    assert_eq!(opened.seqs(), through(5));
    append(&opened.wal, 1);
    assert!(matches!(opened.wal.sync(), Err(Error::NoSpace { .. })));
    vfs.set_capacity(None);
    assert_eq!(opened.wal.sync().unwrap(), 6);
    assert_eq!(open(&vfs.crash(CrashChoice::KeepNone)).seqs(), through(6));
}

/// Failing reads during recovery are told apart from damage, and change nothing.
#[test]
fn failing_files_stop_the_opening() {
    let vfs = SimVfs::new(19);
    let wal = open(&vfs).wal;
    append(&wal, 30);
    wal.sync().unwrap();
    drop(wal);
    let before = contents(&vfs);
    for on in [OpKind::Open, OpKind::Read, OpKind::List, OpKind::Sync, OpKind::SyncDir] {
        let copy = vfs.fork();
        copy.add_fault(Fault::nth(on, 1, FaultError::Eio));
        let error = try_open(&copy.env(), options(), Floor::default()).err().unwrap();
        assert!(matches!(error, Error::Io { .. }), "{on:?}: {error}");
        assert_eq!(contents(&copy), before);
        assert_eq!(open(&copy).seqs(), through(30), "the next try finds all");
    }
}

/// The waiting frames are bounded.
#[test]
fn a_backlog_is_refused() {
    let vfs = SimVfs::new(20);
    let small = tsdb_wal::WalOptions { buffer_bytes_max: 200, frame_bytes_max: 100, ..options() };
    let wal = try_open(&vfs.env(), small, Floor::default()).unwrap().wal;
    let error = loop {
        if let Err(error) = wal.append(&[0; 50]) {
            break error;
        }
    };
    assert!(matches!(error, Error::Backlog { bytes: 225, bytes_max: 200 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert_eq!(wal.last_seq(), 3);
    wal.write_out().unwrap();
    assert_eq!((wal.buffered_bytes(), wal.written_seq(), wal.synced_seq()), (0, 3, 0));
    assert_eq!(wal.append(&[0; 50]).unwrap(), 4);
    let error = wal.append(&[0; 76]).unwrap_err();
    assert!(matches!(error, Error::FrameTooLarge { bytes: 101, bytes_max: 100 }), "{error}");
}

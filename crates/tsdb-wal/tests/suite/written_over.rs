//! Segments in the files of flushed ones: what becomes a spare file, what is read of a file that holds bytes of
//! an earlier segment, and crashes and failures on the way from the one to the other.

use std::path::Path;

use tsdb_core::env::{
    CrashChoice, Fault, FaultError, OpKind, SimVfs, Vfs as _, read_exact_at, write_all_at,
};
use tsdb_wal::{ErrorKind, Floor, Sealed, Wal, WalOptions};

use crate::crash::choices;
use crate::support::*;

/// Room for dozens of frames, so that a segment can be much shorter than the one before.
fn roomy() -> WalOptions {
    WalOptions { segment_bytes_max: 16_000, ..options() }
}

fn floor(sealed: Sealed) -> Floor {
    Floor {
        flushed_through: sealed.last_seq,
        synced_upto: 0,
        next_seq: sealed.last_seq + 1,
        oldest_generation: sealed.opened,
    }
}

/// `count` frames in one generation and one in the next, and the first flushed.
fn flushed_with_a_spare(vfs: &SimVfs, count: u64) -> (Wal, Floor) {
    let wal = try_open(&vfs.env(), roomy(), Floor::default()).unwrap().wal;
    append(&wal, count);
    let sealed = wal.begin_generation(|sealed| sealed).unwrap();
    append(&wal, 1);
    wal.sync().unwrap();
    wal.remove_through(sealed.closed).unwrap();
    assert_eq!(spares(vfs).len(), 1);
    (wal, floor(sealed))
}

/// Appends `count` frames to a segment that is written over the spare file.
fn over_the_spare(vfs: &SimVfs, wal: &Wal, count: u64) -> u64 {
    wal.begin_generation(|_| ()).unwrap();
    let last = append(wal, count);
    wal.sync().unwrap();
    assert_eq!(spares(vfs).len(), 0, "its file is taken");
    last
}

/// `stale_bytes` of a segment's header.
fn stale_bytes(vfs: &SimVfs, name: &str) -> u64 {
    let mut field = [0; 8];
    let file = vfs.open_read(&Path::new(DIR).join(name)).unwrap();
    read_exact_at(&*file, &mut field, 96).unwrap();
    u64::from_le_bytes(field)
}

#[test]
fn a_flushed_segment_is_written_over_and_what_it_had_is_never_shown() {
    let vfs = SimVfs::new(31);
    let (wal, floor) = flushed_with_a_spare(&vfs, 60);
    let length = spares(&vfs)[0].bytes;
    let before = wal.disk_bytes();
    let last = over_the_spare(&vfs, &wal, 20);
    let over = segments(&vfs).pop().unwrap();
    assert_eq!((over.bytes, stale_bytes(&vfs, &over.name)), (length, length));
    assert!(wal.disk_bytes() - before < length / 2, "only what counts is counted");
    for disk in [vfs.kill(), vfs.crash(CrashChoice::KeepNone), vfs.crash(CrashChoice::KeepAll)] {
        let opened = try_open(&disk.env(), roomy(), floor).unwrap();
        assert_eq!(opened.seqs(), (61..=last).collect::<Vec<_>>());
        assert_eq!(opened.recovery.truncated_bytes, 0, "nothing is lost");
        assert!(!opened.recovery.clean);
        let kept = segments(&disk).into_iter().find(|file| file.name == over.name).unwrap();
        assert!(kept.bytes < length / 2, "what was before it is cut off: {kept:?}");
        assert_eq!(opened.wal.disk_bytes(), segments(&disk).iter().map(|file| file.bytes).sum());
    }
}

/// A spare is written over from its first byte; the new segment may get longer than the old one.
#[test]
fn a_segment_outgrows_the_file_it_is_written_over() {
    let vfs = SimVfs::new(32);
    let (wal, floor) = flushed_with_a_spare(&vfs, 10);
    let length = spares(&vfs)[0].bytes;
    let last = over_the_spare(&vfs, &wal, 100);
    let over = segments(&vfs).pop().unwrap();
    assert!(over.bytes > 2 * length && stale_bytes(&vfs, &over.name) == length);
    let opened = try_open(&vfs.kill().env(), roomy(), floor).unwrap();
    assert_eq!(opened.seqs(), (11..=last).collect::<Vec<_>>());
}

/// A clean stop leaves nothing behind the frames, and is known as one.
#[test]
fn a_clean_stop_cuts_the_file() {
    let vfs = SimVfs::new(33);
    let (wal, floor) = flushed_with_a_spare(&vfs, 60);
    let length = spares(&vfs)[0].bytes;
    let last = over_the_spare(&vfs, &wal, 3);
    wal.mark_clean().unwrap();
    assert!(segments(&vfs).last().unwrap().bytes < length / 2);
    let stopped = vfs.crash(CrashChoice::KeepAll);
    let opened = try_open(&stopped.env(), roomy(), floor).unwrap();
    assert!(opened.recovery.clean);
    assert_eq!(opened.seqs(), (61..=last).collect::<Vec<_>>());
    // The cut may not have reached the disk; the marker has.
    vfs.edit(&segment_path(segments(&vfs).last().unwrap()), |bytes| bytes.extend([0x5a; 900]))
        .unwrap();
    let opened = try_open(&vfs.env(), roomy(), floor).unwrap();
    assert_eq!((opened.recovery.clean, opened.recovery.truncated_bytes), (true, 0));
}

/// A frame that was written and not synced is told from what was there before: its bytes are reported as
/// lost, those of the earlier segment are not.
#[test]
fn a_torn_frame_is_told_from_stale_bytes() {
    let vfs = SimVfs::new(34);
    let (wal, floor) = flushed_with_a_spare(&vfs, 60);
    let synced = over_the_spare(&vfs, &wal, 5);
    let start = wal.disk_bytes();
    let lost = append(&wal, 1);
    wal.write_out().unwrap();
    let frame_bytes = wal.disk_bytes() - start;
    let last = segments(&vfs).pop().unwrap();
    let content = vfs.content(&segment_path(&last)).unwrap();
    let at = content
        .windows(9)
        .position(|bytes| bytes[0] == 1 && bytes[1..] == lost.to_le_bytes())
        .unwrap();
    let torn = vfs.crash(CrashChoice::KeepAll);
    // The checksum of the frame stands before its kind.
    torn.flip_bit(&segment_path(&last), at as u64 - 4, 0).unwrap();
    let opened = try_open(&torn.env(), roomy(), floor).unwrap();
    assert_eq!(opened.seqs(), (61..=synced).collect::<Vec<_>>());
    assert_eq!(opened.recovery.truncated_bytes, frame_bytes);
}

/// A sound frame behind a bad one tells damage here too.
#[test]
fn damage_is_told_from_stale_bytes() {
    let vfs = SimVfs::new(35);
    let (wal, floor) = flushed_with_a_spare(&vfs, 60);
    over_the_spare(&vfs, &wal, 5);
    append(&wal, 1);
    wal.sync().unwrap();
    drop(wal);
    let last = segment_path(&segments(&vfs).pop().unwrap());
    vfs.flip_bit(&last, HEADER_BYTES + 9, 0).unwrap();
    let Err(error) = try_open(&vfs.env(), roomy(), floor) else { panic!("damage is not silent") };
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
}

/// Crashes at every operation between a flush and the frames that are written over its file.
#[test]
fn crashes_on_the_way_leave_what_was_synced() {
    let vfs = SimVfs::new(36);
    let wal = try_open(&vfs.env(), roomy(), Floor::default()).unwrap().wal;
    append(&wal, 40);
    let sealed = wal.begin_generation(|sealed| sealed).unwrap();
    let kept = append(&wal, 3);
    wal.sync().unwrap();
    vfs.record();
    wal.remove_through(sealed.closed).unwrap();
    let last = over_the_spare(&vfs, &wal, 12);
    let mut recording = vfs.recording();
    let mut counts = [0_u32; 2];
    loop {
        for choice in choices(recording.pending_count(), recording.op_index()) {
            let opened = try_open(&recording.crash(choice).env(), roomy(), floor(sealed))
                .unwrap_or_else(|error| panic!("at {}: {error}", recording.op_index()));
            let seqs = opened.seqs();
            let end = *seqs.last().unwrap();
            assert!((kept..=last).contains(&end));
            assert_eq!(seqs, (41..=end).collect::<Vec<_>>());
            counts[usize::from(end > kept)] += 1;
        }
        if !recording.advance() {
            break;
        }
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

/// Whatever fails while a spare is taken: nothing acknowledged is lost, and where the cause passes, the log
/// goes on without the spare.
#[test]
fn failures_on_the_way_lose_nothing() {
    for (on, passes) in [
        (OpKind::Open, true),
        (OpKind::Rename, true),
        (OpKind::Write, false),
        (OpKind::Sync, false),
        (OpKind::SyncDir, false),
    ] {
        let vfs = SimVfs::new(37);
        let (wal, floor) = flushed_with_a_spare(&vfs, 20);
        wal.begin_generation(|_| ()).unwrap();
        append(&wal, 4);
        let path = if on == OpKind::SyncDir { DIR } else { ".spare" };
        vfs.add_fault(Fault::nth(on, 1, FaultError::Eio).on_path(path));
        let error = wal.sync().unwrap_err();
        assert_eq!(vfs.struck(), 1);
        let (kind, last) = match wal.sync() {
            Ok(last) => (ErrorKind::Retry, last),
            Err(_) => (ErrorKind::Poisoned, 21),
        };
        assert_eq!((error.kind(), kind == ErrorKind::Retry), (kind, passes), "{on:?}: {error}");
        for disk in [vfs.crash(CrashChoice::KeepNone), vfs.crash(CrashChoice::KeepAll)] {
            let opened = try_open(&disk.env(), roomy(), floor).unwrap();
            assert_eq!(opened.seqs(), (21..=last).collect::<Vec<_>>(), "{on:?}");
            assert_eq!(spares(&disk).len(), 0, "what is left over is removed");
        }
    }
}

/// A spare that cannot be made is removed as ever, and no failure of the flush.
#[test]
fn a_segment_that_cannot_be_renamed_is_removed() {
    let vfs = SimVfs::new(38);
    let wal = try_open(&vfs.env(), roomy(), Floor::default()).unwrap().wal;
    append(&wal, 20);
    let sealed = wal.begin_generation(|sealed| sealed).unwrap();
    append(&wal, 1);
    wal.sync().unwrap();
    vfs.add_fault(Fault::nth(OpKind::Rename, 1, FaultError::Eio));
    wal.remove_through(sealed.closed).unwrap();
    assert_eq!((vfs.struck(), spares(&vfs).len(), segments(&vfs).len()), (1, 0, 1));
}

/// Spares cost nothing where space is short or nothing goes on.
#[test]
fn spares_go_when_space_is_short_and_when_the_log_rests() {
    let vfs = SimVfs::new(39);
    let (wal, _) = flushed_with_a_spare(&vfs, 60);
    vfs.set_capacity(Some(0));
    while wal.sync().is_ok() {
        append(&wal, 1);
    }
    assert_eq!(spares(&vfs).len(), 0);
    vfs.set_capacity(None);
    wal.sync().unwrap();

    let vfs = SimVfs::new(40);
    let (wal, _) = flushed_with_a_spare(&vfs, 60);
    let sealed = wal.begin_generation(|sealed| sealed).unwrap();
    wal.remove_through(sealed.closed).unwrap();
    let left = vfs.crash(CrashChoice::KeepNone);
    assert_eq!((spares(&left).len(), segments(&left).len()), (0, 0), "durably");
}

/// A burst leaves a long file; the segments of a trickle behind it do not hold it for ever.
#[test]
fn a_trickle_gives_long_files_back() {
    let vfs = SimVfs::new(41);
    let (wal, _) = flushed_with_a_spare(&vfs, 100);
    for _ in 0..4 {
        let sealed = wal.begin_generation(|sealed| sealed).unwrap();
        append(&wal, 1);
        wal.sync().unwrap();
        wal.remove_through(sealed.closed).unwrap();
    }
    let longest = segments(&vfs).into_iter().chain(spares(&vfs)).map(|file| file.bytes).max();
    assert!(longest.unwrap() < 1000, "{longest:?}");
}

/// Only names that this log gives are removed at the next opening, and those of all earlier processes.
#[test]
fn leftovers_are_removed_and_foreign_files_are_not() {
    let vfs = SimVfs::new(42);
    drop(open(&vfs));
    let mine = ["notes.spare", "0000000000000000000x.spare", "00000000000000000007.spare.txt"];
    for name in mine.iter().chain(&["00000000000000000007.spare"]) {
        let file = vfs.create_new(&Path::new(DIR).join(name), 0).unwrap();
        write_all_at(&*file, b"bytes", 0).unwrap();
    }
    drop(open(&vfs));
    let names: Vec<String> =
        vfs.list(Path::new(DIR)).unwrap().into_iter().map(|f| f.name).collect();
    assert!(mine.iter().all(|name| names.iter().any(|there| there == name)), "{names:?}");
    assert!(!names.iter().any(|name| name == "00000000000000000007.spare"));
}

//! Generations, rotation, removal, markers: what is on disk when.

use tsdb_core::env::{CrashChoice, SimVfs};
use tsdb_wal::{Error, Floor, Sealed, WalOptions};

use crate::support::*;

/// A segment takes frames up to its limit, to the byte; a frame that is longer gets one of its own.
#[test]
fn segment_rotation_thresholds() {
    let frame = |length: u64| FRAME_BYTES + length;
    // Payload lengths, and the lengths of the segments that they lead to under a limit of 700 bytes.
    let cases: [(&[u64], &[u64]); 7] = [
        (&[], &[128]),
        (&[100], &[128 + 125]),
        // 128 + 25 + 547 = 700: full to the byte.
        (&[547], &[700]),
        (&[522, 0], &[700]),
        (&[523, 0], &[676 + 25 - 1, 128 + 25]),
        (&[10, 2000, 10], &[128 + 35, 128 + 2025, 128 + 35]),
        // Several frames go out in one write; the last of them must still know how full the segment is.
        (&[40; 10], &[128 + 8 * 65, 128 + 2 * 65]),
    ];
    for (payloads, lengths) in cases {
        for (together, synced) in [(false, false), (false, true), (true, false)] {
            let vfs = SimVfs::new(21);
            let wal = open(&vfs).wal;
            for length in payloads {
                wal.append(&vec![7; usize::try_from(*length).unwrap()]).unwrap();
                if synced {
                    wal.sync().unwrap();
                } else if !together {
                    wal.write_out().unwrap();
                }
            }
            wal.write_out().unwrap();
            let got: Vec<u64> = segments(&vfs).iter().map(|segment| segment.bytes).collect();
            let lengths: Vec<u64> = match payloads {
                [523, 0] => vec![128 + frame(523), 128 + frame(0)],
                _ => lengths.to_vec(),
            };
            assert_eq!(got, lengths, "{payloads:?}, in one write: {together}, synced: {synced}");
            assert_eq!(wal.disk_bytes(), lengths.iter().sum::<u64>());
            assert_eq!(wal.stats().segments, lengths.len() as u64);
        }
    }
}

/// Segments rotate inside a generation, and no segment holds frames of two.
#[test]
fn a_generation_has_its_own_segments() {
    let vfs = SimVfs::new(22);
    let wal = open(&vfs).wal;
    let mut expected = Vec::new();
    for _ in 0..4 {
        for _ in 0..12 {
            expected.push((wal.generation(), append(&wal, 1)));
        }
        let sealed = wal.begin_generation(|sealed| sealed).unwrap();
        let generation = expected.last().unwrap().0;
        let last_seq = wal.last_seq();
        assert_eq!(sealed, Sealed { last_seq, closed: generation, opened: generation + 1 });
    }
    wal.sync().unwrap();
    assert!(segments(&vfs).len() >= 8);
    assert_eq!(open(&vfs).frames, expected);
}

/// After a flush of everything the log holds no row and next to no bytes; numbers go on.
#[test]
fn removal_leaves_nothing() {
    let vfs = SimVfs::new(23);
    let wal = open(&vfs).wal;
    append(&wal, 40);
    let sealed = wal.begin_generation(|sealed| sealed).unwrap();
    let error = wal.remove_through(sealed.closed).unwrap_err();
    assert!(matches!(error, Error::GenerationInUse { .. }), "not even written: {error}");
    wal.write_out().unwrap();
    let error = wal.remove_through(sealed.closed).unwrap_err();
    assert!(matches!(error, Error::GenerationInUse { .. }), "not synced: {error}");
    wal.sync().unwrap();
    let error = wal.remove_through(sealed.opened).unwrap_err();
    assert!(matches!(error, Error::GenerationInUse { .. }), "open: {error}");
    wal.remove_through(sealed.closed).unwrap();
    assert_eq!((segments(&vfs).len(), wal.disk_bytes()), (0, 0));
    wal.mark_idle().unwrap();
    wal.mark_clean().unwrap();
    assert_eq!(wal.disk_bytes(), 0);

    let floor = Floor {
        flushed_through: 40,
        synced_upto: 0,
        next_seq: 41,
        oldest_generation: sealed.opened,
    };
    for disk in [vfs.crash(CrashChoice::KeepNone), vfs.kill()] {
        assert_eq!(segments(&disk).len(), 0, "the removal is durable");
        let opened = try_open(&disk.env(), options(), floor).unwrap();
        assert!(opened.frames.is_empty());
        assert_eq!((opened.recovery.next_seq, opened.recovery.last_seq), (41, 40));
        assert_eq!(opened.recovery.next_generation, sealed.opened);
        assert!(opened.wal.disk_bytes() <= 4096);
    }
    // The same log goes on without a reopening.
    assert_eq!(append(&wal, 2), 42);
    wal.sync().unwrap();
    let opened = try_open(&vfs.env(), options(), floor).unwrap();
    assert_eq!(opened.frames, [(sealed.opened, 41), (sealed.opened, 42)]);
}

/// A crash between the manifest and the removal, or within it: what is left is read over and removed.
#[test]
fn flushed_segments_that_stayed_are_removed_at_the_next_start() {
    let vfs = SimVfs::new(24);
    let wal = open(&vfs).wal;
    append(&wal, 40);
    let sealed = wal.begin_generation(|sealed| sealed).unwrap();
    append(&wal, 4);
    wal.sync().unwrap();
    let floor = Floor {
        flushed_through: 40,
        synced_upto: 0,
        next_seq: 41,
        oldest_generation: sealed.opened,
    };
    let with_all = vfs.crash(CrashChoice::KeepNone);
    let opened = try_open(&with_all.env(), options(), floor).unwrap();
    assert_eq!(opened.seqs(), [41, 42, 43, 44]);
    assert_eq!(segments(&with_all).len(), 2, "the live generation and the new one");

    vfs.record();
    wal.remove_through(sealed.closed).unwrap();
    let mut recording = vfs.recording();
    while recording.advance() {
        for seed in 0..10 {
            let disk = recording.crash(CrashChoice::Subset { seed });
            let opened = try_open(&disk.env(), options(), floor).unwrap();
            assert_eq!(opened.seqs(), [41, 42, 43, 44]);
        }
    }
}

/// Reopening without new rows does not pile up segments.
#[test]
fn reopening_costs_no_space() {
    let vfs = SimVfs::new(25);
    for _ in 0..20 {
        let opened = open(&vfs);
        assert_eq!(segments(&vfs).len(), 1);
        opened.wal.mark_clean().unwrap();
        assert!(opened.wal.disk_bytes() <= 4096);
    }
    append(&open(&vfs).wal, 1);
    assert_eq!(segments(&vfs).len(), 1, "an append alone is not on disk");
    let wal = open(&vfs).wal;
    append(&wal, 1);
    wal.sync().unwrap();
    drop(wal);
    for n in 2..10 {
        assert_eq!(open(&vfs).seqs(), [1]);
        assert_eq!(segments(&vfs).len(), n, "while a row is in the log, its chain stays");
    }
}

#[test]
fn a_clean_stop_is_known_as_one() {
    let vfs = SimVfs::new(26);
    let opened = open(&vfs);
    assert!(opened.recovery.clean, "a log without segments has nothing to recover");
    append(&opened.wal, 3);
    opened.wal.mark_clean().unwrap();
    assert_eq!(opened.wal.synced_seq(), 3, "a clean stop syncs");
    let stopped = vfs.crash(CrashChoice::KeepNone);
    let again = open(&stopped);
    assert!(again.recovery.clean);
    assert_eq!(again.seqs(), through(3));
    assert!(!open(&stopped.crash(CrashChoice::KeepNone)).recovery.clean, "opened again since");
    append(&opened.wal, 1);
    opened.wal.sync().unwrap();
    assert!(!open(&vfs).recovery.clean, "went on after the marker");
}

/// One marker per silence, and only if the last sync has no witness yet.
#[test]
fn idle_markers_come_only_when_due() {
    let vfs = SimVfs::new(27);
    let wal = open(&vfs).wal;
    assert!(!wal.mark_idle().unwrap(), "nothing to bear witness for");
    append(&wal, 1);
    assert!(!wal.mark_idle().unwrap(), "nothing synced");
    wal.sync().unwrap();
    let before = wal.disk_bytes();
    assert!(wal.mark_idle().unwrap());
    assert!(!wal.mark_idle().unwrap());
    assert_eq!(wal.disk_bytes(), before + FRAME_BYTES);
    append(&wal, 1);
    wal.sync().unwrap();
    append(&wal, 1);
    wal.sync().unwrap();
    assert!(wal.mark_idle().unwrap());
    assert_eq!(open(&vfs).seqs(), through(3));
}

/// The space ahead of the frames is no part of the length of a file.
#[test]
fn reserved_space_does_not_count() {
    let vfs = SimVfs::new(28);
    let big = WalOptions { segment_bytes_max: 64 << 20, reserve_bytes: 4 << 20, ..options() };
    let wal = try_open(&vfs.env(), big, Floor::default()).unwrap().wal;
    append(&wal, 1);
    wal.sync().unwrap();
    assert!(segments(&vfs)[0].bytes < 4096);
}

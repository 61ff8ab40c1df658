//! W3, W4: rot in what was synced, stale bytes, files that belong elsewhere or nowhere.

use tsdb_core::env::{CrashChoice, SimVfs, Vfs};
use tsdb_wal::{Error, ErrorKind, Floor};

use crate::support::*;

/// A log of three segments, all synced; returns the number that the last group began with.
fn three_segments(idle: bool) -> (SimVfs, u64, u64) {
    let vfs = SimVfs::new(6);
    let wal = open(&vfs).wal;
    while segments(&vfs).len() < 3 {
        append(&wal, 2);
        wal.sync().unwrap();
    }
    append(&wal, 2);
    wal.sync().unwrap();
    let last_group = wal.last_seq() + 1;
    append(&wal, 3);
    wal.sync().unwrap();
    if idle {
        assert!(wal.mark_idle().unwrap());
    }
    (vfs, last_group, wal.last_seq())
}

/// W3: one flipped bit at every byte. The log refuses to open and leaves the files alone, or only a
/// part of the last group is missing, which has no later witness; with the marker of silence, nothing.
#[test]
fn a_flipped_bit_is_never_silent() {
    for idle in [false, true] {
        let (vfs, last_group, last) = three_segments(idle);
        let (mut refused, mut cut) = (0, 0);
        for segment in segments(&vfs) {
            for at in 0..segment.bytes {
                let copy = vfs.fork();
                copy.flip_bit(&segment_path(&segment), at, u8::try_from(at % 8).unwrap()).unwrap();
                let before = contents(&copy);
                match try_open(&copy.env(), options(), Floor::default()) {
                    Err(error) => {
                        refused += 1;
                        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                        let text = error.to_string();
                        assert!(text.contains(&segment.name), "names the file: {text}");
                        assert_eq!(contents(&copy), before, "nothing was changed");
                    }
                    Ok(opened) => {
                        cut += 1;
                        let kept = opened.recovery.last_seq;
                        let least = if idle { last } else { last_group - 1 };
                        assert!(least <= kept && kept <= last, "{kept} of {last}");
                        assert_eq!(opened.seqs(), through(kept));
                    }
                }
            }
        }
        assert!(refused > 1000 && cut > 0, "{refused} refused, {cut} cut");
        // The marker itself is all that may be lost without notice.
        assert!(!idle || cut == FRAME_BYTES, "{cut}");
    }
}

/// Damage to several bytes at once, at every place, as above.
#[test]
fn an_overwritten_stretch_is_never_silent() {
    let (vfs, _, last) = three_segments(true);
    for (n, segment) in segments(&vfs).iter().enumerate() {
        let is_last = n == 2;
        for at in (0..segment.bytes).step_by(3) {
            for (length, fill) in [(4, 0), (32, 0), (32, 0xff), (200, 0x5a)] {
                let copy = vfs.fork();
                let start = usize::try_from(at).unwrap();
                copy.edit(&segment_path(segment), |bytes| {
                    bytes.iter_mut().skip(start).take(length).for_each(|byte| *byte = fill);
                })
                .unwrap();
                if contents(&copy) == contents(&vfs) {
                    continue;
                }
                if let Ok(opened) = try_open(&copy.env(), options(), Floor::default()) {
                    // Marker and last frames gone together: nothing tells that from a torn tail.
                    assert!(is_last && at + length as u64 > segment.bytes - FRAME_BYTES);
                    assert_eq!(opened.seqs(), through(opened.recovery.last_seq));
                    assert!(opened.recovery.last_seq <= last);
                }
            }
        }
    }
}

/// What the manifest says is a witness too: of rows that were flushed, and of those that were synced.
#[test]
fn the_manifest_bears_witness() {
    let vfs = SimVfs::new(6);
    let wal = open(&vfs).wal;
    append(&wal, 1);
    wal.sync().unwrap();
    drop(wal);
    let segment = segments(&vfs).pop().unwrap();
    vfs.flip_bit(&segment_path(&segment), HEADER_BYTES + 9, 0).unwrap();
    let flushed = Floor { flushed_through: 1, next_seq: 2, ..Floor::default() };
    let synced = Floor { synced_upto: 1, next_seq: 1, ..Floor::default() };
    for floor in [flushed, synced] {
        let error = try_open(&vfs.env(), options(), floor).err().unwrap();
        assert!(matches!(error, Error::Corrupt { seq: 1, synced_upto: 1, .. }), "{error}");
    }
    // Without that word it is a tail that was never synced.
    assert_eq!(open(&vfs).recovery.last_seq, 0);
}

/// W4: a new segment whose space still holds the frames of an old one.
#[test]
fn stale_frames_of_another_segment_are_nothing() {
    let (vfs, _, _) = three_segments(false);
    let old = contents(&vfs);
    for (_, stale) in &old {
        let fresh = SimVfs::new(99);
        let wal = open(&fresh).wal;
        append(&wal, 2);
        wal.sync().unwrap();
        drop(wal);
        let last = segments(&fresh).pop().unwrap();
        let frames = stale[usize::try_from(HEADER_BYTES).unwrap()..].to_vec();
        fresh.edit(&segment_path(&last), |bytes| bytes.extend_from_slice(&frames)).unwrap();
        let opened = open(&fresh);
        assert_eq!(opened.seqs(), [1, 2]);
        assert_eq!(opened.recovery.truncated_bytes, frames.len() as u64);
        assert_eq!(opened.recovery.next_seq, 3, "a number in a bad frame counts for nothing");
    }
}

/// W4 with the same salt: a disk on which the random numbers repeat, so that only the rest of the
/// header tells the segments apart.
#[test]
fn stale_frames_under_the_same_salt_are_nothing() {
    let vfs = SimVfs::new(7);
    let env = tsdb_core::env::Env { rng: std::sync::Arc::new(SameRng), ..vfs.env() };
    let wal = try_open(&env, options(), Floor::default()).unwrap().wal;
    append(&wal, 3);
    wal.sync().unwrap();
    let stale = contents(&vfs).pop().unwrap().1;
    wal.begin_generation(|_| ()).unwrap();
    append(&wal, 1);
    wal.sync().unwrap();
    drop(wal);
    let last = segments(&vfs).pop().unwrap();
    let frames = stale[usize::try_from(HEADER_BYTES).unwrap()..].to_vec();
    vfs.edit(&segment_path(&last), |bytes| bytes.extend_from_slice(&frames)).unwrap();
    let opened = try_open(&env, options(), Floor::default()).unwrap();
    assert_eq!(opened.seqs(), [1, 2, 3, 4]);
    assert_eq!(opened.recovery.truncated_bytes, frames.len() as u64);
}

#[derive(Debug)]
struct SameRng;

impl tsdb_core::env::Rng for SameRng {
    fn next_u64(&self) -> u64 {
        42
    }
}

/// A whole segment's bytes under another segment's name, and segments of another database.
#[test]
fn segments_under_a_wrong_name_or_of_another_database_are_refused() {
    let (vfs, _, _) = three_segments(true);
    let all = segments(&vfs);
    let copied = vfs.content(&segment_path(&all[0])).unwrap();
    vfs.edit(&segment_path(&all[2]), |bytes| bytes.clone_from(&copied)).unwrap();
    let error = try_open(&vfs.env(), options(), Floor::default()).err().unwrap();
    assert!(matches!(error, Error::MisnamedSegment { found: 1, .. }), "{error}");

    let (vfs, _, _) = three_segments(true);
    let other = tsdb_wal::WalOptions { database_id: [0; 16], ..options() };
    let error = try_open(&vfs.env(), other, Floor::default()).err().unwrap();
    assert!(matches!(error, Error::ForeignSegment { .. }), "{error}");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let (vfs, _, _) = three_segments(true);
    let segment = segments(&vfs).pop().unwrap();
    vfs.edit(&segment_path(&segment), |bytes| {
        bytes[8] = 2;
        let checksum = tsdb_core::checksum::crc32c(&bytes[..124]);
        bytes[124..128].copy_from_slice(&checksum.to_le_bytes());
    })
    .unwrap();
    let before = contents(&vfs);
    let error = try_open(&vfs.env(), options(), Floor::default()).err().unwrap();
    assert!(matches!(error, Error::NewerFormat { version: 2, supported: 1, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Newer);
    assert_eq!(contents(&vfs), before);
}

/// A sound frame of a kind that is not known: its checksum holds, so a newer program wrote it.
#[test]
fn an_unknown_kind_of_frame_is_refused() {
    let vfs = SimVfs::new(8);
    let wal = open(&vfs).wal;
    append(&wal, 1);
    wal.sync().unwrap();
    let segment = segments(&vfs).pop().unwrap();
    vfs.edit(&segment_path(&segment), |bytes| {
        let seed = tsdb_core::checksum::crc32c(&bytes[..124]);
        let frame = &mut bytes[128..];
        frame[8] = 77;
        let checksum = tsdb_core::checksum::crc32c_append(
            tsdb_core::checksum::crc32c_append(seed, &frame[..4]),
            &frame[8..],
        );
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    })
    .unwrap();
    let error = try_open(&vfs.env(), options(), Floor::default()).err().unwrap();
    assert!(matches!(error, Error::UnknownFrameKind { kind: 77, offset: 128, .. }), "{error}");
}

#[test]
fn a_missing_segment_is_missed() {
    for missing in 0..2 {
        let (vfs, _, last) = three_segments(true);
        let all = segments(&vfs);
        vfs.unlink(&segment_path(&all[missing])).unwrap();
        let before = contents(&vfs);
        let error = try_open(&vfs.env(), options(), Floor::default()).err().unwrap();
        assert!(matches!(error, Error::MissingSegment { .. }), "{error}");
        assert_eq!(contents(&vfs), before);
        // Once all of it is flushed, nobody misses it.
        let floor = Floor {
            flushed_through: last,
            synced_upto: 0,
            next_seq: last + 1,
            oldest_generation: 2,
        };
        assert!(try_open(&vfs.env(), options(), floor).is_ok());
    }
}

/// What a witness beside the log knows as synced is missed even where what is left of the log is sound: the
/// newest segments gone, all of them gone, or the last one cut between two frames. Found by fuzzing.
#[test]
fn a_missing_end_is_missed_and_can_be_accepted() {
    let (all, _, last) = three_segments(true);
    let floor = Floor { synced_upto: last, ..Floor::default() };
    assert_eq!(try_open(&all.fork().env(), options(), floor).unwrap().seqs(), through(last));
    let count = segments(&all).len();
    for kept in 0..=count {
        let vfs = all.fork();
        for segment in &segments(&all)[kept..] {
            vfs.unlink(&segment_path(segment)).unwrap();
        }
        if kept == count {
            let path = segment_path(segments(&all).last().unwrap());
            vfs.edit(&path, |bytes| bytes.truncate(128)).unwrap();
        }
        let before = contents(&vfs);
        let error = try_open(&vfs.env(), options(), floor).err().unwrap();
        let found = match &error {
            Error::EndMissing { last_seq, synced_upto, .. } if *synced_upto == last => *last_seq,
            _ => panic!("{error}"),
        };
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert_eq!(contents(&vfs), before);
        let accepting = std::path::Path::new(DIR).join("accept-loss");
        vfs.create_new(&accepting, 0).unwrap();
        let opened = try_open(&vfs.env(), options(), floor).unwrap();
        assert_eq!(opened.seqs(), through(found));
        assert_eq!(opened.recovery.next_seq, last + 1, "lost numbers are not given again");
        assert!(vfs.content(&accepting).is_err(), "the next loss has to be accepted anew");
    }
}

/// Files that are not ours by name are neither read nor touched.
#[test]
fn foreign_files_are_left_alone() {
    let (vfs, _, last) = three_segments(true);
    for name in ["LOCK", "notes.txt", "12.wal", "00000000000000000009.wal.bak"] {
        let path = std::path::Path::new(DIR).join(name);
        let file = vfs.create_new(&path, 0).unwrap();
        tsdb_core::env::write_all_at(&*file, b"mine", 0).unwrap();
    }
    assert_eq!(open(&vfs).seqs(), through(last));
    assert_eq!(vfs.content(&std::path::Path::new(DIR).join("notes.txt")).unwrap(), b"mine");
}

/// A visitor that fails stops the opening before anything is cut or created.
#[test]
fn a_failing_visitor_leaves_the_disk_alone() {
    let vfs = SimVfs::new(9);
    let wal = open(&vfs).wal;
    append(&wal, 3);
    wal.sync().unwrap();
    append(&wal, 3);
    wal.write_out().unwrap();
    let torn = vfs.crash(CrashChoice::MetadataFirst { seed: 1 });
    let before = contents(&torn);
    let opened = tsdb_wal::Wal::open(&torn.env(), options(), Floor::default(), |frame| {
        if frame.seq == 2 { Err("enough") } else { Ok(()) }
    });
    assert!(matches!(opened, Err(tsdb_wal::OpenError::Visit("enough"))));
    assert_eq!(contents(&torn), before);
}

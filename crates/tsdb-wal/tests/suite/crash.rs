//! W1, W2: crashes at every operation, cuts at every byte.

use tsdb_core::env::{CrashChoice, Recording, SimRng, SimVfs, Tail};
use tsdb_wal::{Floor, Wal};

use crate::support::*;

/// A run with what was known at which operation.
struct Run {
    recording: Recording,
    /// From this operation on, frames up to this number are acknowledged.
    acked: Vec<(u64, u64)>,
    /// From this operation on, the manifest says this.
    floors: Vec<(u64, Floor)>,
    /// First number of each generation.
    generations: Vec<(u64, u64)>,
    last_seq: u64,
}

/// Appends `batches` frames with syncs, bare writes, markers, seals and removals between them, by the
/// seed.
fn run(seed: u64, batches: u64) -> Run {
    let vfs = SimVfs::new(seed);
    vfs.record();
    let rng = SimRng::new(seed);
    let wal = open(&vfs).wal;
    let mut acked = vec![(0, 0)];
    let mut floors = vec![(0, Floor::default())];
    let mut generations = vec![(wal.generation(), 1)];
    let mut sealed: Vec<tsdb_wal::Sealed> = Vec::new();
    let mut spared = 0;
    while wal.last_seq() < batches {
        append(&wal, 1 + rng.below(3));
        match rng.below(20) {
            0..10 => {
                let synced = wal.sync().unwrap();
                acked.push((vfs.op_count(), synced));
            }
            10..13 => {
                wal.write_out().unwrap();
            }
            13..15 => {
                wal.sync().unwrap();
                wal.mark_idle().unwrap();
                acked.push((vfs.op_count(), wal.synced_seq()));
            }
            15 => {
                sealed.push(wal.begin_generation(|sealed| sealed).unwrap());
                generations.push((wal.generation(), wal.last_seq() + 1));
            }
            16..18 if !sealed.is_empty() => {
                flush(&vfs, &wal, sealed.remove(0), &mut floors);
                spared += spares(&vfs).len();
            }
            _ => {}
        }
    }
    assert!(spared > 0, "some segments are written over flushed ones");
    let (recording, last_seq) = (vfs.recording(), wal.last_seq());
    Run { recording, acked, floors, generations, last_seq }
}

/// What an engine does when a generation is in run files: the manifest first, then the segments.
fn flush(vfs: &SimVfs, wal: &Wal, sealed: tsdb_wal::Sealed, floors: &mut Vec<(u64, Floor)>) {
    wal.sync().unwrap();
    let floor = Floor {
        flushed_through: sealed.last_seq,
        synced_upto: 0,
        next_seq: sealed.last_seq + 1,
        oldest_generation: sealed.opened,
    };
    floors.push((vfs.op_count(), floor));
    wal.remove_through(sealed.closed).unwrap();
}

fn latest<T: Copy>(history: &[(u64, T)], op: u64) -> T {
    history.iter().rev().find(|(since, _)| *since <= op).unwrap().1
}

impl Run {
    /// The log after a crash: all acknowledged frames, nothing after a hole, and it can go on.
    fn check(&self, vfs: &SimVfs, what: CrashChoice, go_on: bool) {
        let op = self.recording.op_index();
        let (acked, floor) = (latest(&self.acked, op), latest(&self.floors, op));
        let opened = try_open(&vfs.env(), options(), floor)
            .unwrap_or_else(|error| panic!("crash at {op} with {what:?}: {error}"));
        let live: Vec<(u64, u64)> =
            opened.frames.iter().copied().filter(|(_, seq)| *seq > floor.flushed_through).collect();
        let last = live.last().map_or(floor.flushed_through, |(_, seq)| *seq);
        let expected: Vec<(u64, u64)> =
            (floor.flushed_through + 1..=last).map(|seq| (self.generation_of(seq), seq)).collect();
        assert_eq!(live, expected, "no holes: crash at {op} with {what:?}");
        assert!(acked <= last, "{acked} acknowledged, {last} there: crash at {op} with {what:?}");
        assert!(last <= self.last_seq);
        if go_on {
            self.check_second_life(vfs, opened, floor);
        }
    }

    fn generation_of(&self, seq: u64) -> u64 {
        self.generations.iter().rev().find(|(_, first)| *first <= seq).unwrap().0
    }

    fn check_second_life(&self, vfs: &SimVfs, first: Opened, floor: Floor) {
        let mut expected = first.seqs();
        let next = first.recovery.next_seq;
        append(&first.wal, 5);
        assert_eq!(first.wal.sync().unwrap(), next + 4);
        append(&first.wal, 5);
        first.wal.write_out().unwrap();
        // A rotation may have synced some of the last five.
        let synced = first.wal.synced_seq();
        drop(first.wal);
        // When everything was flushed, recovery removed it; else the frames are still there.
        expected.retain(|_| first.recovery.last_seq > floor.flushed_through);
        expected.extend(next..=synced);
        let second = try_open(&vfs.crash(CrashChoice::KeepNone).env(), options(), floor).unwrap();
        assert_eq!(second.seqs(), expected);
        let all = try_open(&vfs.crash(CrashChoice::KeepAll).env(), options(), floor).unwrap();
        expected.extend(synced + 1..next + 10);
        assert_eq!(all.seqs(), expected);
    }
}

pub fn choices(pending: usize, op: u64) -> Vec<CrashChoice> {
    let mut choices = vec![CrashChoice::KeepNone, CrashChoice::KeepAll];
    if pending == 0 {
        return choices;
    }
    for tail in [Tail::Old, Tail::Zeros, Tail::Garbage] {
        // The longest write of a run is about 700 bytes: two boundaries.
        for sectors in 0..3 {
            choices.push(CrashChoice::Prefix { ops: pending - 1, sectors, tail });
        }
        let ops = usize::try_from(op).unwrap() % pending;
        choices.push(CrashChoice::Prefix { ops, sectors: 1, tail });
    }
    for n in 0..8 {
        choices.push(CrashChoice::Subset { seed: op * 8 + n });
    }
    for n in 0..2 {
        choices.push(CrashChoice::PerFilePrefix { seed: op * 2 + n });
        choices.push(CrashChoice::MetadataFirst { seed: op * 2 + n });
    }
    choices
}

/// W1: of a run of 400 batches, the disk after a crash at every operation with every choice of what
/// was kept recovers to a prefix of the batches that holds every acknowledged one (I1).
#[test]
fn crash_recovery_simulation() {
    let mut states = 0_u64;
    for seed in 1..=2 {
        let mut run = run(seed, 400);
        loop {
            let op = run.recording.op_index();
            for choice in choices(run.recording.pending_count(), op) {
                states += 1;
                run.check(&run.recording.crash(choice), choice, states.is_multiple_of(5));
            }
            if !run.recording.advance() {
                break;
            }
        }
    }
    assert!(states > 20_000, "{states} states");
}

/// The run itself is deterministic (I8), so a failure above can be repeated.
#[test]
fn same_seed_same_run() {
    let hash = |seed| {
        let vfs = SimVfs::new(seed);
        let opened = open(&vfs);
        append(&opened.wal, 50);
        opened.wal.sync().unwrap();
        vfs.log_hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2), "the salts differ");
}

/// Crashes during recovery, at each of its operations, and recoveries of those.
#[test]
fn a_crash_during_recovery_changes_nothing() {
    let vfs = SimVfs::new(3);
    let wal = open(&vfs).wal;
    append(&wal, 30);
    wal.sync().unwrap();
    append(&wal, 10);
    wal.write_out().unwrap();
    for seed in 0..40 {
        let torn = vfs.crash(CrashChoice::Subset { seed });
        torn.record();
        let first = open(&torn);
        let mut recording = torn.recording();
        while recording.advance() {
            for choice in choices(recording.pending_count(), recording.op_index()) {
                let again = open(&recording.crash(choice));
                assert_eq!(again.seqs(), first.seqs(), "{choice:?}");
                assert!(again.recovery.next_seq > first.recovery.last_seq);
            }
        }
    }
}

/// A number that was given is not given again while a frame with it can be found, even behind a tear.
#[test]
fn numbers_behind_a_tear_are_not_given_again() {
    let vfs = SimVfs::new(4);
    let one_segment = tsdb_wal::WalOptions { segment_bytes_max: 1 << 20, ..options() };
    let wal = try_open(&vfs.env(), one_segment, Floor::default()).unwrap().wal;
    append(&wal, 3);
    wal.sync().unwrap();
    let before = segments(&vfs).last().unwrap().bytes;
    append(&wal, 4);
    wal.write_out().unwrap();
    let last = segments(&vfs).pop().unwrap();
    // Frame 4 did not make it, 5 to 7 did.
    let torn = vfs.crash(CrashChoice::KeepAll);
    torn.flip_bit(&segment_path(&last), before + 9, 0).unwrap();
    let opened = open(&torn);
    assert_eq!(opened.seqs(), through(3));
    assert_eq!(opened.recovery.next_seq, 8);
    assert_eq!(opened.recovery.truncated_bytes, last.bytes - before);
    assert_eq!(segments(&torn)[0].bytes, before, "the torn tail is cut off");
    assert_eq!(append(&opened.wal, 1), 8);
    opened.wal.sync().unwrap();
    let again = open(&torn.crash(CrashChoice::KeepNone));
    assert_eq!(again.seqs(), [1, 2, 3, 8], "a gap that the header of the new segment vouches for");
}

/// W2: the last segment cut at every byte. What is wholly before the cut comes back, and a cut is never
/// an error.
#[test]
fn a_cut_at_every_byte_leaves_the_frames_before_it() {
    let vfs = SimVfs::new(5);
    let wal = open(&vfs).wal;
    let mut ends = Vec::new();
    while segments(&vfs).len() < 3 || ends.len() < 4 {
        let count = segments(&vfs).len();
        let seq = append(&wal, 1);
        wal.write_out().unwrap();
        let now = segments(&vfs);
        if now.len() > count {
            ends.clear();
        }
        ends.push((now.last().unwrap().bytes, seq));
    }
    let first_of_last = ends[0].1;
    wal.sync().unwrap();
    drop(wal);
    let last = segments(&vfs).pop().unwrap();
    for cut in 0..=last.bytes {
        let copy = vfs.fork();
        copy.edit(&segment_path(&last), |bytes| bytes.truncate(usize::try_from(cut).unwrap()))
            .unwrap();
        let kept = ends.iter().filter(|(end, _)| *end <= cut).map(|(_, seq)| *seq).max();
        let kept = kept.unwrap_or(first_of_last - 1);
        let opened = open(&copy);
        assert_eq!(opened.seqs(), through(kept), "cut at {cut}");
        append(&opened.wal, 1);
        opened.wal.sync().unwrap();
        assert_eq!(open(&copy).seqs(), through(kept + 1));
    }
}

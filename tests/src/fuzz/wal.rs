//! The write-ahead log: any bytes as a segment, and valid logs that were damaged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tsdb_core::env::{Env, SimVfs, create_dir_durable, write_all_at};
use tsdb_core::planted::{Planted, plant};
use tsdb_wal::{Floor, Wal, WalOptions};

use super::take::Take;

const DIRECTORY: &str = "/wal";
const DATABASE: [u8; 16] = *b"fuzzed database!";

fn options(database_id: [u8; 16]) -> WalOptions {
    WalOptions {
        segment_bytes_max: 512,
        reserve_bytes: 256,
        frame_bytes_max: 4096,
        buffer_bytes_max: 16 << 10,
        ..WalOptions::new(DIRECTORY, database_id)
    }
}

/// Frames by number, as a log shows them.
type Shown = Vec<(u64, Vec<u8>)>;

/// Opens the log; `Err` is the text of the refusal.
fn open(env: &Env, database_id: [u8; 16], floor: Floor) -> Result<(Wal, Shown), String> {
    let mut shown = Shown::new();
    let opened = Wal::open(env, options(database_id), floor, |frame| {
        shown.push((frame.seq, frame.payload.to_vec()));
        Ok::<(), std::convert::Infallible>(())
    });
    opened.map(|(wal, _)| (wal, shown)).map_err(|error| error.to_string())
}

/// Any bytes as the one segment of a log, under the name that they give themselves.
///
/// # Panics
/// If reading and opening disagree, a refusal names no file, numbers do not ascend, or the log does not take
/// a frame and show all frames again.
pub fn wal_reader(data: &[u8]) {
    for planted in [None, Some(Planted::ChecksumsIgnored)] {
        let _planted = plant(planted);
        read_segment(data);
    }
}

fn read_segment(data: &[u8]) {
    let disk = SimVfs::new(1);
    let env = disk.env();
    let dir = Path::new(DIRECTORY);
    create_dir_durable(&*env.vfs, dir).expect("the simulated disk has no faults");
    let own = |range: std::ops::Range<usize>| data.get(range).unwrap_or_default();
    let number = own(32..40).first_chunk().map_or(1, |raw| u64::from_le_bytes(*raw));
    let database_id = own(16..32).first_chunk().copied().unwrap_or(DATABASE);
    put(&env, &dir.join(format!("{number:020}.wal")), data);
    let floor = Floor::default();
    let checked = tsdb_wal::check(&env, dir, database_id, floor);
    let opened = open(&env, database_id, floor);
    let (wal, shown) = match (checked, opened) {
        (Ok(checked), Ok((wal, shown))) => {
            assert_eq!(checked.frames, shown.len() as u64, "reading and opening disagree");
            (wal, shown)
        }
        (Err(checked), Err(opened)) => {
            assert_eq!(checked.to_string(), opened, "reading and opening refuse differently");
            assert!(opened.contains(DIRECTORY), "no file is named: {opened}");
            return;
        }
        (checked, opened) => {
            panic!("reading says {checked:?}, opening says {:?}", opened.map(|(_, shown)| shown))
        }
    };
    assert!(shown.is_sorted_by(|a, b| a.0 < b.0), "numbers that do not ascend");
    // Numbers end somewhere, and a log at their end is refused: what is asked for below needs the next ones.
    let is_late = |at: usize| {
        own(at..at + 8).first_chunk().is_some_and(|raw| u64::from_le_bytes(*raw) > u64::MAX >> 2)
    };
    if [32, 40, 48, 64, 88].into_iter().any(is_late) {
        return;
    }
    let seq = wal.append(b"one more").expect("an opened log takes frames");
    assert!(shown.last().is_none_or(|(last, _)| *last < seq), "a number was given twice");
    wal.sync().expect("the simulated disk has no faults");
    drop(wal);
    let (_, again) = match open(&env, database_id, floor) {
        Ok(opened) => opened,
        Err(error) => panic!("a log that was opened is refused: {error}"),
    };
    let (last, before) = again.split_last().expect("a frame was synced");
    assert_eq!((last.0, &*last.1), (seq, &b"one more"[..]));
    assert_eq!(before, shown, "frames that were shown are others now");
}

fn put(env: &Env, path: &Path, bytes: &[u8]) {
    let file = env.vfs.create_new(path, 0).expect("the simulated disk has no faults");
    write_all_at(&*file, bytes, 0).expect("the simulated disk has no faults");
}

/// A valid log, written as the first half of the input says, and damaged as the second half says.
///
/// # Panics
/// If the damaged log shows anything but the first of the frames that were appended, or less than a witness
/// beside the log knows as synced, without refusing; or if it refuses without damage.
pub fn wal_structured(data: &[u8]) {
    let mut choices = Take(data);
    let disk = SimVfs::new(2);
    let env = disk.env();
    let (appended, synced) = write_log(&env, &mut choices);
    let is_damaged = damage(&disk, &env, &mut choices);
    // As the manifest does: it was written at some time, and knows what was synced then.
    let floor = Floor { synced_upto: synced, ..Floor::default() };
    let (wal, shown) = match open(&env, DATABASE, floor) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(is_damaged, "a log without damage is refused: {error}");
            assert!(error.contains(DIRECTORY), "no file is named: {error}");
            return;
        }
    };
    assert_eq!(appended.get(..shown.len()), Some(&*shown), "not the first frames of those written");
    let last = shown.last().map_or(0, |(seq, _)| *seq);
    assert!(last >= synced, "frames up to {synced} were synced, those up to {last} are shown");
    assert!(is_damaged || shown.len() == appended.len(), "frames are missing without damage");
    drop(wal);
    let again = open(&env, DATABASE, floor).map(|(_, shown)| shown);
    assert_eq!(again.as_ref(), Ok(&shown), "opening changed what the log shows");
}

/// Writes a log in one or more lives and stops without closing it. Returns its frames, and up to which number
/// the manifest knows them as synced.
fn write_log(env: &Env, choices: &mut Take<'_>) -> (Shown, u64) {
    let (mut appended, mut synced) = (Shown::new(), 0);
    for _ in 0..=choices.byte() % 3 {
        let (wal, shown) = open(env, DATABASE, Floor::default()).expect("nothing is damaged");
        assert_eq!(shown, appended, "a log that was left shows other frames");
        for _ in 0..choices.byte() % 24 {
            match choices.byte() {
                0..=3 => drop(wal.mark_idle()),
                4..=7 => drop(wal.mark_clean()),
                8..=15 => drop(wal.begin_generation(|_| ())),
                16..=31 => synced = wal.sync().expect("the simulated disk has no faults"),
                length => {
                    let payload = vec![choices.byte(); usize::from(length - 32)];
                    let seq = wal.append(&payload).expect("the log takes frames");
                    appended.push((seq, payload));
                }
            }
        }
        wal.sync().expect("the simulated disk has no faults");
    }
    // Without a later witness, rot in the last synced group looks like a torn tail: what the log itself cannot
    // know is asked for only as far as the manifest knows it.
    (appended, synced)
}

/// Damages segments. Returns whether anything was touched.
fn damage(disk: &SimVfs, env: &Env, choices: &mut Take<'_>) -> bool {
    let mut touched = BTreeSet::new();
    while !choices.is_empty() {
        let mut entries = env.vfs.list(Path::new(DIRECTORY)).expect("the directory is there");
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if entries.is_empty() {
            break;
        }
        let paths: Vec<PathBuf> =
            entries.iter().map(|entry| Path::new(DIRECTORY).join(&entry.name)).collect();
        let kind = choices.byte() % 8;
        let path = &paths[choices.below(paths.len())];
        let other = disk.content(&paths[choices.below(paths.len())]).unwrap_or_default();
        let (at, value) = (choices.below(4096), choices.byte());
        if kind == 7 {
            env.vfs.unlink(path).expect("the file was listed");
            touched.insert(path.clone());
            continue;
        }
        let before = disk.content(path).expect("the file was listed");
        let edit = |bytes: &mut Vec<u8>| {
            let at = at % (bytes.len() + 1);
            let end = (at + usize::from(value)).min(bytes.len());
            match kind {
                0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value | 1),
                2 => bytes.truncate(at),
                3 => bytes.iter_mut().skip(at).take(end - at).for_each(|byte| *byte = 0),
                4 => bytes.extend_from_slice(&other[at.min(other.len())..]),
                5 => drop(bytes.drain(at..end)),
                _ => {
                    for (byte, new) in bytes.iter_mut().zip(&other).skip(at) {
                        *byte = *new;
                    }
                }
            }
        };
        disk.edit(path, edit).expect("the file was listed");
        if disk.content(path).expect("the file was listed") != before {
            touched.insert(path.clone());
        }
    }
    !touched.is_empty()
}

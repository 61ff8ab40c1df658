//! One suite over both implementations of the file seam, and what only the simulated disk does.

use std::{io, path::Path};

use super::*;

fn put(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Arc<dyn VfsFile> {
    let file = vfs.create_new(path, 0).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    file
}

fn get(vfs: &dyn Vfs, path: &Path) -> Vec<u8> {
    let file = vfs.open_read(path).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    read_exact_at(&*file, &mut bytes, 0).unwrap();
    bytes
}

/// What every implementation of the seam must do; `root` is an existing empty directory.
fn check_files(vfs: &dyn Vfs, root: &Path) {
    let dir = root.join("a/b");
    vfs.create_dir(&dir).unwrap();
    vfs.create_dir(&dir).unwrap();
    let (one, two) = (dir.join("one"), dir.join("two"));

    let file = vfs.create_new(&one, 1 << 16).unwrap();
    assert_eq!(file.len().unwrap(), 0, "a reservation does not change the length");
    assert!(file.is_empty().unwrap());
    write_all_at(&*file, b"hello", 3).unwrap();
    file.reserve(1 << 17).unwrap();
    file.sync_data().unwrap();
    file.drop_cache().unwrap();
    assert_eq!(get(vfs, &one), b"\0\0\0hello");
    assert_eq!(kind(vfs.create_new(&one, 0)), io::ErrorKind::AlreadyExists);
    let mut buffer = [0; 4];
    assert_eq!(file.read_at(&mut buffer, 8).unwrap(), 0, "nothing at the end");
    assert_eq!(
        read_exact_at(&*file, &mut buffer, 6).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );

    let again = vfs.open_rw(&one).unwrap();
    again.set_len(4).unwrap();
    again.sync_all().unwrap();
    assert_eq!(get(vfs, &one), b"\0\0\0h");
    vfs.link(&one, &two).unwrap();
    assert_eq!(vfs.link(&one, &two).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    vfs.unlink(&one).unwrap();
    assert_eq!(kind(vfs.open_read(&one)), io::ErrorKind::NotFound);
    assert_eq!(file.len().unwrap(), 4, "an open handle outlives the name");
    drop(put(vfs, &one, b"new"));
    vfs.rename(&one, &two).unwrap();
    assert!(!vfs.exists(&one).unwrap());
    assert_eq!(get(vfs, &two), b"new");
    vfs.sync_dir(&dir).unwrap();

    let entries = vfs.list(&root.join("a")).unwrap();
    assert_eq!(entries, [DirEntry { name: "b".into(), bytes: 0, is_dir: true }]);
    drop(put(vfs, &dir.join("k"), b""));
    let entries = vfs.list(&dir).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.bytes)).collect();
    assert_eq!(names, [("k", 0), ("two", 3)]);
    assert_eq!(vfs.list(&dir.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);

    let space = vfs.free_space(&dir).unwrap();
    assert!(0 < space.free && space.free <= space.total);
    let guard = vfs.lock(&dir).unwrap();
    assert_eq!(vfs.lock(&dir).err().map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
    drop(guard);
    drop(vfs.lock(&dir).unwrap());
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.map(|_| ()).unwrap_err().kind()
}

#[test]
fn real_files_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    check_files(&RealVfs::new(), dir.path());
}

#[test]
fn simulated_files_keep_the_contract() {
    let vfs = SimVfs::new(1);
    check_files(&vfs, Path::new("/"));
    let grown = vfs.fork();
    grown.create_dir(Path::new("/data")).unwrap();
    check_files(&grown, Path::new("/data"));
}

#[test]
fn real_data_files_are_private_and_never_links() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let vfs = RealVfs::new();
    let sub = dir.path().join("data");
    vfs.create_dir(&sub).unwrap();
    drop(put(&vfs, &sub.join("file"), b"secret"));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&sub), mode(&sub.join("file"))), (0o700, 0o600));
    std::os::unix::fs::symlink(sub.join("file"), sub.join("link")).unwrap();
    assert!(vfs.open_read(&sub.join("link")).is_err());
    assert!(vfs.open_rw(&sub.join("link")).is_err());
    assert!(vfs.create_new(&sub.join("link"), 0).is_err());
}

#[test]
fn real_clock_and_randomness_move() {
    let env = Env::real();
    let before = env.clock.mono_ns();
    assert!(env.clock.mono_ns() >= before);
    assert!(env.clock.wall_ns() > 1_700_000_000_000_000_000, "after 2023");
    assert_ne!(env.rng.next_u64(), env.rng.next_u64());
    let mut id = [0; 19];
    env.rng.fill(&mut id);
    assert!(id[16..] != [0; 3] || id[..3] != [0; 3]);
}

/// A disk with directory `/d` durable.
fn disk() -> SimVfs {
    let vfs = SimVfs::new(7);
    vfs.create_dir(Path::new("/d")).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    vfs
}

#[test]
fn a_name_needs_a_synced_directory() {
    let vfs = disk();
    let path = Path::new("/d/file");
    put(&vfs, path, b"x").sync_data().unwrap();
    assert!(!vfs.crash(CrashChoice::KeepNone).exists(path).unwrap());
    assert_eq!(vfs.crash(CrashChoice::KeepAll).content(path).unwrap(), b"x");
    vfs.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(vfs.crash(CrashChoice::KeepNone).content(path).unwrap(), b"x");
    // The other way round: the name is safe, the bytes are not.
    write_all_at(&*vfs.open_rw(path).unwrap(), b"y", 0).unwrap();
    assert_eq!(vfs.crash(CrashChoice::KeepNone).content(path).unwrap(), b"x");
    assert_eq!(vfs.kill().content(path).unwrap(), b"y", "a killed process loses nothing");
    vfs.unlink(path).unwrap();
    assert!(vfs.crash(CrashChoice::KeepNone).exists(path).unwrap());
}

#[test]
fn directories_are_made_durable_from_the_top() {
    let vfs = SimVfs::new(2);
    let dir = Path::new("/a/b/c");
    vfs.create_dir(dir).unwrap();
    assert!(!vfs.crash(CrashChoice::KeepNone).exists(Path::new("/a")).unwrap());
    let vfs = SimVfs::new(2);
    create_dir_durable(&vfs, dir).unwrap();
    create_dir_durable(&vfs, dir).unwrap();
    assert!(vfs.crash(CrashChoice::KeepNone).exists(dir).unwrap());
    let real = tempfile::tempdir().unwrap();
    create_dir_durable(&RealVfs::new(), &real.path().join("a/b")).unwrap();
    create_dir_durable(&RealVfs::new(), Path::new(".")).unwrap();
    assert!(real.path().join("a/b").is_dir());
}

#[test]
fn a_rename_is_atomic_and_can_overtake_the_data() {
    let vfs = disk();
    let (tmp, name) = (Path::new("/d/draft"), Path::new("/d/name"));
    put(&vfs, name, b"old").sync_data().unwrap();
    vfs.sync_dir(Path::new("/d")).unwrap();
    drop(put(&vfs, tmp, b"new"));
    vfs.rename(tmp, name).unwrap();
    for seed in 0..50 {
        let after = vfs.crash(CrashChoice::MetadataFirst { seed });
        assert_ne!(after.content(name).unwrap(), b"new", "the data was not synced");
        let after = vfs.crash(CrashChoice::Subset { seed });
        assert!(after.exists(name).unwrap(), "old or new, never neither");
    }
    assert_eq!(vfs.crash(CrashChoice::KeepNone).content(name).unwrap(), b"old");
}

#[test]
fn a_synced_move_takes_the_creation_with_it() {
    let vfs = disk();
    vfs.create_dir(Path::new("/e")).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    put(&vfs, Path::new("/d/file"), b"x").sync_data().unwrap();
    vfs.rename(Path::new("/d/file"), Path::new("/e/file")).unwrap();
    vfs.sync_dir(Path::new("/e")).unwrap();
    for seed in 0..20 {
        let after = vfs.crash(CrashChoice::Subset { seed });
        assert!(!after.exists(Path::new("/d/file")).unwrap(), "no name comes back");
        assert_eq!(after.content(Path::new("/e/file")).unwrap(), b"x");
    }
}

#[test]
fn writes_tear_at_sectors_and_never_damage_their_neighbours() {
    let vfs = disk();
    let path = Path::new("/d/file");
    let file = put(&vfs, path, &[1; 700]);
    file.sync_data().unwrap();
    vfs.sync_dir(Path::new("/d")).unwrap();
    write_all_at(&*file, &[2; 1000], 700).unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let after = vfs.crash(CrashChoice::Subset { seed }).content(path).unwrap();
        assert_eq!(after[..700], [1; 700], "synced bytes survive");
        lengths.insert(after.len());
    }
    assert!(lengths.is_superset(&[700, 1024, 1536, 1700].into()), "{lengths:?}");
    let torn = |sectors, tail| {
        vfs.crash(CrashChoice::Prefix { ops: 0, sectors, tail }).content(path).unwrap()
    };
    assert_eq!(torn(0, Tail::Old).len(), 700);
    assert_eq!(torn(1, Tail::Old), [&[1; 700][..], &[2; 324]].concat());
    assert_eq!(torn(1, Tail::Zeros), [&[1; 700][..], &[2; 324], &[0; 676]].concat());
    assert_eq!(torn(9, Tail::Old).len(), 1700);
    let garbage = torn(2, Tail::Garbage);
    assert_eq!((garbage.len(), &garbage[700..1536]), (1700, &[2; 836][..]));
    assert_ne!(garbage[1536..], [2; 164]);
}

#[test]
fn a_failed_sync_takes_its_pages_with_it() {
    let vfs = disk();
    let path = Path::new("/d/file");
    let file = put(&vfs, path, b"first");
    file.sync_data().unwrap();
    vfs.sync_dir(Path::new("/d")).unwrap();
    write_all_at(&*file, b"second", 5).unwrap();
    vfs.add_fault(Fault::nth(OpKind::Sync, 1, FaultError::Eio));
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    file.sync_data().unwrap();
    assert_eq!(vfs.content(path).unwrap(), b"firstsecond", "still to be read");
    assert_eq!(vfs.crash(CrashChoice::KeepAll).content(path).unwrap(), b"first");
    file.drop_cache().unwrap();
    assert_eq!(vfs.content(path).unwrap(), b"first\0\0\0\0\0\0", "gone with the cache");
}

#[test]
fn faults_strike_on_schedule() {
    let vfs = disk();
    let path = Path::new("/d/file");
    let file = put(&vfs, path, b"0123456789");
    let mut buffer = [0; 8];
    for (short, expected) in
        [(ShortLength::Bytes(0), 0), (ShortLength::Half, 4), (ShortLength::AllButOne, 7)]
    {
        vfs.clear_faults();
        vfs.add_fault(Fault {
            on: OpKind::Read,
            path_contains: "fil".into(),
            when: When::Nth(2),
            sticky: true,
            effect: Effect::Short(short),
        });
        let counts = [(); 3].map(|()| file.read_at(&mut buffer, 0).unwrap());
        assert_eq!(counts, [8, expected, expected]);
    }
    vfs.clear_faults();
    vfs.add_fault(Fault {
        when: When::PerMille(300),
        ..Fault::nth(OpKind::Write, 0, FaultError::Eintr)
    });
    let before = vfs.struck();
    for offset in 0..100 {
        write_all_at(&*file, b"ab", offset).unwrap();
    }
    assert!(vfs.struck() > before + 10);
    vfs.clear_faults();
    vfs.add_fault(Fault::nth(OpKind::Write, 1, FaultError::Eio).on_path("other").sticky());
    write_all_at(&*file, b"x", 0).unwrap();
    assert!(vfs.flip_bit(path, 0, 3).is_ok());
    assert_eq!(vfs.content(path).unwrap()[0], b'x' ^ 8);
}

#[test]
fn capacity_counts_reservations() {
    let vfs = disk();
    vfs.set_capacity(Some(100));
    assert_eq!(kind(vfs.create_new(Path::new("/d/big"), 101)), io::ErrorKind::StorageFull);
    assert!(!vfs.exists(Path::new("/d/big")).unwrap());
    let first = vfs.create_new(Path::new("/d/first"), 60).unwrap();
    let second = put(&vfs, Path::new("/d/second"), &[0; 30]);
    assert_eq!(vfs.free_space(Path::new("/d")).unwrap(), FreeSpace { free: 10, total: 100 });
    let (written, result) = write_prefix_at(&*second, &[0; 20], 30);
    assert_eq!((written, result.unwrap_err().kind()), (10, io::ErrorKind::StorageFull));
    write_all_at(&*first, &[0; 60], 0).unwrap();
    vfs.set_reserves(false);
    first.reserve(1000).unwrap();
    assert!(write_all_at(&*first, &[0; 61], 0).is_err(), "space is missed at the write");
}

#[test]
fn a_recording_gives_the_disk_at_every_operation() {
    let run = || {
        let vfs = disk();
        vfs.record();
        let path = Path::new("/d/file");
        let file = put(&vfs, path, b"");
        vfs.sync_dir(Path::new("/d")).unwrap();
        for n in 0..10_u8 {
            write_all_at(&*file, &[n], u64::from(n)).unwrap();
            file.sync_data().unwrap();
        }
        vfs
    };
    let vfs = run();
    assert_eq!(vfs.log_hash(), run().log_hash(), "same calls, same log (I8)");
    let mut recording = vfs.recording();
    let first = recording.op_index();
    let mut seen = Vec::new();
    while recording.advance() {
        let op = usize::try_from(recording.op_index() - first).unwrap();
        let walked = recording.crash(CrashChoice::KeepNone);
        let replayed = recording.disk_at(op, CrashChoice::KeepNone);
        let content = walked.content(Path::new("/d/file")).unwrap_or_default();
        assert_eq!(content, replayed.content(Path::new("/d/file")).unwrap_or_default());
        seen.push(content.len());
    }
    assert_eq!(recording.op_index(), vfs.op_count());
    assert!(seen.is_sorted() && seen.last() == Some(&10));
}

//! What the engine keeps in its log: any bytes as the payloads of frames, replayed by the engine.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tsdb_core::Maintain;
use tsdb_core::env::SimVfs;
use tsdb_core::storage::{Select, conformance::dump};
use tsdb_lsm::{Engine, EngineOptions};
use tsdb_wal::{Floor, Wal, WalOptions};

use super::take::Take;

const DIRECTORY: &str = "/db";

/// Opens an engine without threads, with sizes so small that a few frames fill them.
pub(super) fn open_engine(disk: &SimVfs, directory: &Path) -> tsdb_lsm::Result<Arc<Engine>> {
    let mut options = EngineOptions::new(directory);
    options.env = disk.env();
    options.background = false;
    options.generation_bytes = 64 << 10;
    options.wal_segment_bytes = 64 << 10;
    Engine::open(options)
}

/// All that an engine shows, as text.
pub(super) fn shown(engine: &Engine) -> String {
    let snapshot = engine.snapshot().expect("an open engine has snapshots");
    let catalogue = tsdb_core::Append::catalogue(engine);
    match dump(&*snapshot, &catalogue) {
        Ok(text) => text,
        Err(violation) => panic!("what was recovered cannot be read: {violation}"),
    }
}

/// A disk with an empty store, and the store's id.
fn empty_store() -> &'static (SimVfs, [u8; 16]) {
    static STORE: OnceLock<(SimVfs, [u8; 16])> = OnceLock::new();
    STORE.get_or_init(|| {
        let disk = SimVfs::new(3);
        let engine = open_engine(&disk, Path::new(DIRECTORY)).expect("the disk has no faults");
        engine.close().expect("the disk has no faults");
        drop(engine);
        let manifest =
            disk.content(&Path::new(DIRECTORY).join("MANIFEST")).expect("it was written");
        // Behind magic, version and length.
        let id = manifest.get(20..36).and_then(|raw| raw.first_chunk()).copied();
        (disk, id.expect("a manifest begins with its database"))
    })
}

/// Any payloads in the log of an empty store, two bytes of length before each.
///
/// # Panics
/// If recovery neither refuses with the name of the log nor gives a store that can be read, that takes a
/// database, and that shows the same when it is opened again.
pub fn wal_records(data: &[u8]) {
    let (base, id) = empty_store();
    let disk = base.fork();
    let options =
        WalOptions { reserve_bytes: 256, ..WalOptions::new(Path::new(DIRECTORY).join("wal"), *id) };
    let nothing = |_: tsdb_wal::ReplayedFrame<'_>| Ok::<(), std::convert::Infallible>(());
    // A closed store has flushed all, so its log may begin anywhere behind.
    let floor = Floor { next_seq: 1000, oldest_generation: 1000, ..Floor::default() };
    let Ok((wal, _)) = Wal::open(&disk.env(), options, floor, nothing) else {
        panic!("the log of an empty store opens")
    };
    let mut rest = Take(data);
    while !rest.is_empty() {
        let length = rest.below(2048).min(rest.0.len());
        let (payload, after) = rest.0.split_at(length);
        wal.append(payload).expect("the log takes frames");
        rest = Take(after);
    }
    wal.sync().expect("the disk has no faults");
    drop(wal);
    let engine = match open_engine(&disk, Path::new(DIRECTORY)) {
        Ok(engine) => engine,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains('\0'), "{text:?}");
            return;
        }
    };
    let first = shown(&engine);
    engine.verify().expect("what was recovered is sound");
    engine.close().expect("the disk has no faults");
    drop(engine);
    let again = open_engine(&disk, Path::new(DIRECTORY)).expect("a closed store opens");
    assert_eq!(shown(&again), first, "opened again, the store shows something else");
}

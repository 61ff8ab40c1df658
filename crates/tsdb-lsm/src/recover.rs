//! Opening a data directory: lock, manifest, runs, log replay, and a flush of what the log held, so that
//! nothing recovered depends on pages that an earlier failed sync may have left only in memory. `replay` reads the log,
//! `pieces` writes what it held on several threads.

mod pieces;
mod replay;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tsdb_core::counters::StorageCounters;
use tsdb_core::env::{Env, create_dir_durable};
use tsdb_core::hash::HashKey;
use tsdb_core::sync::thread;
use tsdb_index::{FieldSets, Registry};
use tsdb_wal::{Floor, OpenError, Recovery, Wal, WalOptions};

use crate::cache::PageCache;
use crate::delete::LiveDelete;
use crate::engine::{DirectoryLock, RecoveryReport};
use crate::error::{Error, Result};
use crate::manifest::{self, DeleteEntry, Manifest, run_number, run_path, runs_directory};
use crate::options::EngineOptions;
use crate::sst::{Run, RunOptions};
use crate::view::Version;
use pieces::{Pieces, Store, piece_bytes};
use replay::Replay;

/// A store that is read and ready.
pub(crate) struct Opened {
    pub lock: DirectoryLock,
    pub version: Version,
    pub wal: Wal,
    pub registry: Arc<Registry>,
    pub field_sets: Arc<FieldSets>,
    pub cache: Arc<PageCache>,
    pub deletes: Vec<Arc<LiveDelete>>,
    /// Log generation that is open now.
    pub generation: u64,
    pub next_seq: u64,
    pub report: RecoveryReport,
}

/// Opens or creates the store of `options`.
pub(crate) fn open_store(
    options: &EngineOptions,
    counters: &Arc<StorageCounters>,
) -> Result<Opened> {
    let (env, directory) = (&options.env, options.directory.as_path());
    create_dir_durable(&*env.vfs, directory).map_err(Error::io("create", directory))?;
    let lock = lock_directory(env, directory)?;
    // The manifest that is found may have been renamed without a sync that succeeded, and be known to the
    // cache alone: acting on it before it is durable could remove a log that the next crash asks for.
    env.vfs.sync_dir(directory).map_err(Error::io("sync", directory))?;
    let mut manifest = match manifest::read(env, directory)? {
        Some(manifest) => manifest,
        None => create(env, directory)?,
    };
    // A crash may have left files behind that no manifest names. They go once everything else has proved
    // sound; until then no new file may take their numbers.
    manifest.next_file = manifest.next_file.max(highest_run(env, directory)? + 1);
    let cache = Arc::new(PageCache::new(&options.budget, counters));
    let runs = open_runs(env, directory, &manifest, &cache)?;
    let registry = Arc::new(Registry::new(manifest.hash_key, options.series_max));
    let field_sets = Arc::new(FieldSets::new());
    let store = Store {
        options,
        counters,
        cache: &cache,
        field_sets: &field_sets,
        run_options: RunOptions { database_id: manifest.database_id, hash_key: manifest.hash_key },
    };
    let Replayed { wal, recovery, rows, manifest, runs } =
        replay_log(store, &registry, manifest, runs)?;
    let orphans = remove_orphans(env, directory, &manifest)?;
    counters.rows_replayed.add(rows);
    counters.wal_bytes_truncated.add(recovery.truncated_bytes);
    let compile = |entry: &DeleteEntry| {
        Ok::<_, tsdb_core::Error>(Arc::new(LiveDelete::new(entry.seq, entry.request.clone())?))
    };
    Ok(Opened {
        lock,
        deletes: manifest.deletes.iter().map(compile).collect::<Result<_, _>>()?,
        generation: recovery.next_generation,
        next_seq: recovery.next_seq,
        report: RecoveryReport {
            records: recovery.frames,
            truncated_bytes: recovery.truncated_bytes,
            clean: recovery.clean,
            rows,
            orphans,
        },
        version: Version::new(manifest, runs),
        wal,
        registry: Arc::clone(&registry),
        field_sets: Arc::clone(&field_sets),
        cache: Arc::clone(&cache),
    })
}

/// A log whose rows are all in runs.
struct Replayed {
    wal: Wal,
    recovery: Recovery,
    rows: u64,
    manifest: Manifest,
    runs: BTreeMap<u64, Arc<Run>>,
}

/// Opens the log, writes to runs what it holds, and removes it.
fn replay_log(
    store: Store<'_>,
    registry: &Registry,
    manifest: Manifest,
    runs: BTreeMap<u64, Arc<Run>>,
) -> Result<Replayed> {
    let options = store.options;
    let (env, directory) = (&options.env, options.directory.as_path());
    let floor = Floor {
        flushed_through: manifest.flushed_through,
        synced_upto: manifest.synced_upto,
        next_seq: manifest.flushed_through + 1,
        oldest_generation: manifest.oldest_generation,
    };
    let wal_options = WalOptions {
        segment_bytes_max: options.wal_segment_bytes,
        ..WalOptions::new(directory.join("wal"), manifest.database_id)
    };
    let piece_bytes = piece_bytes(bytes_of_log(env, directory)?, options.generation_bytes);
    thread::scope(|scope| {
        let pieces = Pieces::new(store, scope, replay_threads(options), manifest, runs);
        let mut replay = Replay::new(options, registry, store.field_sets, pieces, piece_bytes);
        let opened = Wal::open(env, wal_options, floor, |frame| replay.frame(&frame));
        let (wal, recovery) = opened.or_else(|error| {
            // What stands before the place of this error is sound, and an error of its own comes first.
            replay.pieces.finish()?;
            Err(match error {
                OpenError::Wal(error) => Error::Wal(error),
                OpenError::Visit(error) => error,
            })
        })?;
        replay.finish(&recovery)?;
        if let Some(last) = recovery.next_generation.checked_sub(1) {
            wal.remove_through(last)?;
        }
        let Replay { rows, pieces: Pieces { manifest, runs, .. }, .. } = replay;
        Ok(Replayed { wal, recovery, rows, manifest, runs })
    })
}

/// Threads that write what the log held.
fn replay_threads(options: &EngineOptions) -> usize {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match options.replay_threads {
        Some(threads) => threads,
        None if options.background => cores(),
        // Whoever takes every step himself wants the operations in one order.
        None => 1,
    }
}

/// Bytes of all files of the log.
fn bytes_of_log(env: &Env, directory: &Path) -> Result<u64> {
    let log = directory.join("wal");
    match env.vfs.list(&log) {
        Ok(entries) => Ok(entries.iter().map(|entry| entry.bytes).sum()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io("list", &log)(error)),
    }
}

pub(crate) fn lock_directory(env: &Env, directory: &Path) -> Result<DirectoryLock> {
    match env.vfs.lock(directory) {
        Ok(lock) => Ok(DirectoryLock(lock)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(Error::Locked { path: directory.to_owned() })
        }
        Err(error) => Err(Error::io("lock", directory)(error)),
    }
}

/// Creates an empty store. A directory with runs or log segments and no manifest is not empty: something
/// took the manifest away, and starting afresh would delete what is left.
fn create(env: &Env, directory: &Path) -> Result<Manifest> {
    let runs = runs_directory(directory);
    for path in [&runs, &directory.join("wal")] {
        let names = match env.vfs.list(path) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("list", path)(error)),
        };
        if !names.is_empty() {
            return Err(Error::MissingFile { path: directory.join(manifest::FILE_NAME) });
        }
    }
    create_dir_durable(&*env.vfs, &runs).map_err(Error::io("create", &runs))?;
    let (mut id, mut key) = ([0; 16], [0; 16]);
    env.rng.fill(&mut id);
    env.rng.fill(&mut key);
    let new = Manifest::new(id, HashKey(key));
    manifest::write(env, directory, None, &new).map_err(|failure| failure.error)?;
    Ok(new)
}

fn open_runs(
    env: &Env,
    directory: &Path,
    manifest: &Manifest,
    cache: &Arc<PageCache>,
) -> Result<BTreeMap<u64, Arc<Run>>> {
    let mut runs = BTreeMap::new();
    for (file, entry) in &manifest.files {
        let path = run_path(directory, *file);
        let run = Run::open(env, &path, &entry.meta, manifest.database_id, cache)?;
        runs.insert(*file, Arc::new(run));
    }
    Ok(runs)
}

/// Highest number of a run file that is there, named by the manifest or not; 0 if there is none.
fn highest_run(env: &Env, directory: &Path) -> Result<u64> {
    let runs = runs_directory(directory);
    let entries = env.vfs.list(&runs).map_err(Error::io("list", &runs))?;
    Ok(entries.iter().filter_map(|entry| run_number(&entry.name)).max().unwrap_or(0))
}

/// Removes run files that the manifest does not name: the rest of work that a crash interrupted.
fn remove_orphans(env: &Env, directory: &Path, manifest: &Manifest) -> Result<u64> {
    let runs = runs_directory(directory);
    let mut removed = 0;
    for entry in env.vfs.list(&runs).map_err(Error::io("list", &runs))? {
        let number = run_number(&entry.name);
        if number.is_some_and(|file| !manifest.files.contains_key(&file)) {
            let path = runs.join(&entry.name);
            env.vfs.unlink(&path).map_err(Error::io("remove", &path))?;
            removed += 1;
        }
    }
    if removed > 0 {
        env.vfs.sync_dir(&runs).map_err(Error::io("sync", &runs))?;
    }
    Ok(removed)
}

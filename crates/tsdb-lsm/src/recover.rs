//! Opening a data directory: lock, manifest, runs, log replay, and a flush of what the log held, so that
//! nothing recovered depends on pages that an earlier failed sync may have left only in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::counters::StorageCounters;
use tsdb_core::env::{Env, create_dir_durable};
use tsdb_core::hash::HashKey;
use tsdb_core::{Epoch, FieldSetRef, Pool, SeriesRef, WriteBatch};
use tsdb_index::{FieldSets, Registry};
use tsdb_wal::{Floor, OpenError, ReplayedFrame, Wal, WalOptions};

use crate::bytes::Malformed;
use crate::cache::PageCache;
use crate::delete::LiveDelete;
use crate::engine::{DirectoryLock, RecoveryReport};
use crate::error::{Error, Result};
use crate::flush::{FlushInput, RunContext, write_generation};
use crate::manifest::{
    self, DeleteEntry, FileEntry, Manifest, run_number, run_path, runs_directory,
};
use crate::memtable::{Generation, Seal};
use crate::options::EngineOptions;
use crate::record::{Definitions, Record, decode};
use crate::sst::{Run, RunOptions};
use crate::view::Version;

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
    let mut replay = Replay::new(options, counters, &cache, manifest, &registry, &field_sets)?;
    replay.runs = runs;
    let opened = Wal::open(env, wal_options, floor, |frame| replay.frame(&frame));
    let (wal, recovery) = opened.map_err(|error| match error {
        OpenError::Wal(error) => Error::Wal(error),
        OpenError::Visit(error) => error,
    })?;
    replay.finish(&wal, &recovery)?;
    let orphans = remove_orphans(env, directory, &replay.manifest)?;
    counters.rows_replayed.add(replay.rows);
    counters.wal_bytes_truncated.add(recovery.truncated_bytes);
    let compile = |entry: &DeleteEntry| {
        Ok::<_, tsdb_core::Error>(Arc::new(LiveDelete::new(entry.seq, entry.request.clone())?))
    };
    Ok(Opened {
        lock,
        deletes: replay.manifest.deletes.iter().map(compile).collect::<Result<_, _>>()?,
        generation: recovery.next_generation,
        next_seq: recovery.next_seq,
        report: RecoveryReport {
            records: recovery.frames,
            truncated_bytes: recovery.truncated_bytes,
            clean: recovery.clean,
            rows: replay.rows,
            orphans,
        },
        version: Version::new(replay.manifest, replay.runs),
        wal,
        registry: Arc::clone(&registry),
        field_sets: Arc::clone(&field_sets),
        cache: Arc::clone(&cache),
    })
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

/// What the references of one log generation mean now.
#[derive(Default)]
struct Meanings {
    generation: u64,
    series: HashMap<SeriesRef, SeriesRef, foldhash::fast::RandomState>,
    field_sets: HashMap<FieldSetRef, FieldSetRef, foldhash::fast::RandomState>,
}

/// Applies log frames to a generation in memory, and flushes it whenever it is full, so that a long log
/// needs no more memory than the running engine.
struct Replay<'a> {
    options: &'a EngineOptions,
    counters: &'a StorageCounters,
    cache: &'a Arc<PageCache>,
    registry: &'a Registry,
    field_sets: &'a FieldSets,
    manifest: Manifest,
    runs: BTreeMap<u64, Arc<Run>>,
    /// The catalogue and the deletes as of the last frame.
    catalogue: tsdb_core::Catalogue,
    deletes: Vec<Arc<LiveDelete>>,
    meanings: Meanings,
    generation: Generation,
    last_seq: u64,
    rows: u64,
}

impl<'a> Replay<'a> {
    fn new(
        options: &'a EngineOptions,
        counters: &'a StorageCounters,
        cache: &'a Arc<PageCache>,
        manifest: Manifest,
        registry: &'a Registry,
        field_sets: &'a FieldSets,
    ) -> Result<Replay<'a>> {
        let last_seq = manifest.flushed_through;
        Ok(Replay {
            options,
            counters,
            cache,
            registry,
            field_sets,
            catalogue: manifest.catalogue.clone(),
            manifest,
            runs: BTreeMap::new(),
            deletes: Vec::new(),
            meanings: Meanings::default(),
            generation: Generation::new(0, last_seq, options.budget.clone()),
            last_seq,
            rows: 0,
        })
    }

    fn frame(&mut self, frame: &ReplayedFrame<'_>) -> Result<()> {
        let seq = frame.seq;
        if frame.generation != self.meanings.generation {
            self.meanings = Meanings { generation: frame.generation, ..Meanings::default() };
            self.registry.begin_generation(frame.generation);
        }
        // invariant: I7: what a run holds already is not applied again, only its definitions are read.
        let is_new = seq > self.manifest.flushed_through;
        assert!(!is_new || seq > self.last_seq, "I7: the log shows its frames in order, each once");
        match decode(frame.payload).map_err(|malformed| self.foreign(seq, &malformed))? {
            Record::Batch(definitions, rows) => {
                self.define(definitions)?;
                if is_new {
                    self.batch(seq, rows)?;
                }
            }
            Record::Delete(request) if is_new => {
                self.deletes.push(Arc::new(LiveDelete::new(seq, request)?));
                self.generation.note_change();
            }
            Record::Catalogue(change) if is_new => {
                self.catalogue.apply(&change)?;
                self.generation.note_change();
            }
            Record::Delete(_) | Record::Catalogue(_) => {}
        }
        if is_new {
            self.last_seq = seq;
        }
        if self.generation.is_full(self.options.generation_bytes) {
            self.flush(self.last_seq, self.manifest.oldest_generation)?;
        }
        Ok(())
    }

    fn foreign(&self, seq: u64, malformed: &Malformed) -> Error {
        Error::Corrupt {
            path: self.options.directory.join("wal"),
            offset: malformed.at as u64,
            what: format!("record {seq} cannot be read: {}", malformed.what),
        }
    }

    fn define(&mut self, definitions: Definitions) -> Result<()> {
        for (number, namespace, key) in definitions.series {
            let now = self.registry.restore(namespace, &key);
            self.meanings.series.insert(number, now?);
        }
        for (number, set) in definitions.field_sets {
            let now = self.field_sets.restore(&set);
            self.meanings.field_sets.insert(number, now?);
        }
        Ok(())
    }

    fn batch(&mut self, seq: u64, rows: &[u8]) -> Result<()> {
        let undefined = Malformed { at: 0, what: "it uses a reference that was not defined" };
        let mut batch = WriteBatch::decode(rows, Epoch(0))
            .map_err(|error| Error::Core(tsdb_core::Error::Invalid { what: error.to_string() }))?;
        let (series, sets) = (&self.meanings.series, &self.meanings.field_sets);
        let known = batch
            .translate(|number| series.get(&number).copied(), |number| sets.get(&number).copied());
        let shaped = batch.segments().iter().all(|segment| {
            let set = self.field_sets.get(segment.field_set);
            set.is_some_and(|set| set.len() == segment.columns as usize)
        });
        if !known || !shaped {
            return Err(self.foreign(seq, &undefined));
        }
        self.rows += batch.len() as u64;
        self.generation.apply(seq, &batch);
        Ok(())
    }

    /// Writes what was replayed so far to runs, and begins anew behind `last_seq`.
    fn flush(&mut self, last_seq: u64, oldest_generation: u64) -> Result<()> {
        let (env, directory) = (&self.options.env, &self.options.directory);
        let next = Generation::new(0, last_seq, self.options.budget.clone());
        let full = std::mem::replace(&mut self.generation, next);
        let catalogue = Arc::new(self.catalogue.clone());
        full.seal(Seal { last_seq, catalogue: Arc::clone(&catalogue) });
        let sorted = full.sorted().bytes();
        let _memory = self.options.budget.reserve_anyway(Pool::Compaction, sorted);
        let deletes = std::mem::take(&mut self.deletes);
        let context = RunContext {
            env,
            directory,
            options: RunOptions {
                database_id: self.manifest.database_id,
                hash_key: self.manifest.hash_key,
            },
            counters: self.counters,
        };
        let input = FlushInput {
            generation: &full,
            last_seq,
            catalogue: &catalogue,
            deletes: &deletes,
            series: &self.registry.table(),
            field_sets: self.field_sets,
            first_file: self.manifest.next_file,
        };
        let mut new = self.manifest.clone();
        for run in write_generation(&context, &input)? {
            let path = run_path(directory, run.file);
            let database_id = self.manifest.database_id;
            let reader = Run::open(env, &path, &run.meta, database_id, self.cache)?;
            self.runs.insert(run.file, Arc::new(reader));
            new.next_file = new.next_file.max(run.file + 1);
            new.files.insert(run.file, FileEntry { meta: run.meta, dead: Default::default() });
        }
        new.catalogue = Arc::unwrap_or_clone(catalogue);
        new.flushed_through = last_seq;
        new.synced_upto = new.synced_upto.max(last_seq);
        new.oldest_generation = oldest_generation;
        new.deletes
            .extend(deletes.iter().map(|d| DeleteEntry { seq: d.seq, request: d.request.clone() }));
        new.tidy();
        manifest::write(env, directory, Some(&self.manifest), &new)
            .map_err(|failure| failure.error)?;
        self.runs.retain(|file, _| new.files.contains_key(file));
        self.manifest = new;
        self.counters.flushes.add(1);
        Ok(())
    }

    /// Flushes the rest, and removes the recovered log.
    fn finish(&mut self, wal: &Wal, recovery: &tsdb_wal::Recovery) -> Result<()> {
        // Numbers that a torn tail took with it were given too: no later log may ask for them.
        let given = recovery.next_seq - 1;
        if !self.generation.is_empty() || given > self.manifest.flushed_through {
            self.flush(given, recovery.next_generation)?;
        }
        if let Some(last) = recovery.next_generation.checked_sub(1) {
            wal.remove_through(last)?;
        }
        Ok(())
    }
}

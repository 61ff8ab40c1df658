//! The engine: owns the order of things.
//!
//! It is made of explicit synchronous steps ([`Engine::sync`], [`Engine::seal`], [`Engine::flush_one`],
//! [`Engine::compact_one`], and those of the storage seam), so that a simulation can be one thread that
//! chooses steps by a seed. [`crate::maintenance`] runs them on threads of their own.
//!
//! Locks, in the order in which they are taken: flush or compaction, catalogue, manifest, the log's append
//! lock, view. Readers take none of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tsdb_core::counters::StorageCounters;
use tsdb_core::env::Env;
use tsdb_core::storage::Resolution;
use tsdb_core::time::check_time;
use tsdb_core::{
    Append, Catalogue, CatalogueChange, DeleteRequest, Epoch, FieldSet, Maintain, MemoryBudget,
    NamespaceId, Pool, Select, SeriesKey, Snapshot, Ticket, WriteBatch,
};
use tsdb_index::{FieldSets, Registry};
use tsdb_wal::{AppendError, Wal};

use crate::commit::Commit;
use crate::compaction::worker::{MergeInput, merge};
use crate::compaction::{Choice, pick, pick_all};
use crate::delete::{LIVE_DELETES_MAX, LiveDelete};
use crate::error::{Error, Result};
use crate::flush::{FlushInput, NewRun, RunContext, abandon, write_generation};
use crate::maintenance::{Maintenance, Signals};
use crate::manifest::{self, DeleteEntry, FileEntry, Manifest, SliceId, run_path};
use crate::memtable::{Generation, Seal, bytes_of};
use crate::record::{BatchWriter, put_catalogue_change, put_delete};
use crate::recover::{Opened, open_store};
use crate::scan::EngineSnapshot;
use crate::sst::{Run, RunOptions};
use crate::view::{Version, View};

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After an fdatasync that covers it. Nothing acknowledged is ever lost.
    #[default]
    Sync,
    /// When the operating system has it; a sync follows within the interval. A crash of the process loses
    /// nothing, a crash of the machine at most the interval.
    Interval(Duration),
    /// When the operating system has it; it syncs when it likes. A crash of the machine loses what it had
    /// not written yet, usually up to half a minute.
    Off,
}

/// How an engine is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Data directory; created if missing. One process at a time.
    pub directory: PathBuf,
    /// Files, clock and randomness.
    pub env: Env,
    /// When a write counts as done.
    pub durability: Durability,
    /// Memory of the process, shared with whoever else uses it.
    pub budget: MemoryBudget,
    /// A generation of rows is sealed at this many bytes; the memtable's share of the budget holds
    /// several, so that writes go on while one is flushed.
    pub generation_bytes: usize,
    /// The open generation is sealed when the log has this many bytes, which bounds the time of a
    /// restart.
    pub wal_bytes_max: u64,
    /// Longest segment of the log in bytes.
    pub wal_segment_bytes: u64,
    /// Most series in memory; further ones are refused, known ones go on.
    pub series_max: usize,
    /// Whether threads do the maintenance; without them the caller takes every step itself.
    pub background: bool,
}

impl EngineOptions {
    /// The usual options for a data directory.
    pub fn new(directory: impl Into<PathBuf>) -> EngineOptions {
        let budget = MemoryBudget::default();
        EngineOptions {
            directory: directory.into(),
            env: Env::real(),
            durability: Durability::Sync,
            generation_bytes: budget.limit(Pool::Memtable) / 5 * 2,
            budget,
            wal_bytes_max: 512 << 20,
            wal_segment_bytes: 64 << 20,
            series_max: 5_000_000,
            background: true,
        }
    }

    /// Sets the budget, and the size of a generation to its share.
    #[must_use]
    pub fn with_budget(mut self, budget: MemoryBudget) -> EngineOptions {
        self.generation_bytes = budget.limit(Pool::Memtable) / 5 * 2;
        self.budget = budget;
        self
    }
}

/// What opening a directory found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Log records that were read.
    pub records: u64,
    /// Bytes of a torn tail of the log that were cut: written, never synced.
    pub truncated_bytes: u64,
    /// The last process stopped in order.
    pub clean: bool,
    /// Rows that were taken from the log.
    pub rows: u64,
    /// Files of earlier, unfinished work that were removed.
    pub orphans: u64,
}

/// A storage engine on one directory. Cheap to share behind an `Arc`; all calls take `&self`.
///
/// Dropping it stops its threads and leaves what is not flushed to the log; [`Maintain::close`] flushes
/// first.
#[derive(Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    maintenance: Mutex<Option<Maintenance>>,
    recovery: RecoveryReport,
}

/// What the engine's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: EngineOptions,
    pub(crate) wal: Wal,
    pub(crate) commit: Commit,
    pub(crate) counters: Arc<StorageCounters>,
    pub(crate) signals: Signals,
    pub(crate) view: ArcSwap<View>,
    view_lock: Mutex<()>,
    manifest_lock: Mutex<()>,
    flush_lock: Mutex<()>,
    compaction_lock: Mutex<()>,
    catalogue_lock: Mutex<()>,
    registry: Arc<Registry>,
    field_sets: Arc<FieldSets>,
    epoch: AtomicU64,
    next_file: AtomicU64,
    /// Writers hold it shared from their first check to their ticket, so that none is under way once it
    /// is set.
    closed: RwLock<bool>,
    /// Set once a manifest's fate is unknown: like a failed log, only a restart helps.
    failed: Mutex<Option<Arc<str>>>,
    directory_lock: Mutex<Option<DirectoryLock>>,
}

/// Keeps other processes out while it lives.
pub(crate) struct DirectoryLock(
    #[expect(dead_code, reason = "held for its drop")] pub Box<dyn Send + Sync>,
);

impl std::fmt::Debug for DirectoryLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DirectoryLock")
    }
}

/// Aborts the process if a panic unwinds through it: between a number and its application nothing may
/// fail, or visibility would stand still for ever.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

impl Engine {
    /// Opens or creates the store in a directory: reads the manifest, replays the log, flushes what it
    /// held. On an error nothing in the directory has changed, except that a torn tail of the log may
    /// have been cut and rows of the log may have moved to runs.
    ///
    /// # Errors
    /// A directory that is locked, damaged, unwritable or from a newer version; messages name the file
    /// and the remedy.
    pub fn open(options: EngineOptions) -> Result<Arc<Engine>> {
        let counters = Arc::new(StorageCounters::default());
        let opened = open_store(&options, &counters)?;
        let recovery = opened.report;
        let shared = Arc::new(Shared::new(options, counters, opened));
        let maintenance =
            shared.options.background.then(|| Maintenance::start(&shared)).transpose()?;
        Ok(Arc::new(Engine { shared, maintenance: Mutex::new(maintenance), recovery }))
    }

    /// What opening found.
    pub fn recovery(&self) -> RecoveryReport {
        self.recovery
    }

    /// What the engine counts.
    pub fn counters(&self) -> &Arc<StorageCounters> {
        &self.shared.counters
    }

    /// Step: makes all numbered writes durable and completes their tickets.
    ///
    /// # Errors
    /// A full disk, after which the step can be repeated; a failing disk, which takes the engine out of
    /// service for writes.
    pub fn sync(&self) -> Result<()> {
        self.shared.sync()
    }

    /// Step: closes the open generation of the memtable; false if it has nothing.
    ///
    /// # Errors
    /// A log that is out of service.
    pub fn seal(&self) -> Result<bool> {
        self.shared.seal()
    }

    /// Step: writes the oldest sealed generation to runs; false if there is none.
    ///
    /// # Errors
    /// A failing disk; the generation stays as it is and the step can be repeated.
    pub fn flush_one(&self) -> Result<bool> {
        self.shared.flush_one()
    }

    /// Step: carries out the most useful merge; false if none is due.
    ///
    /// # Errors
    /// A failing disk or a damaged input; the inputs stay as they are.
    pub fn compact_one(&self) -> Result<bool> {
        self.shared.compact_one()
    }

    /// Reads every page of every run and checks it.
    ///
    /// # Errors
    /// The first damaged or unreadable page.
    pub fn verify(&self) -> Result<()> {
        let view = self.shared.view.load_full();
        view.version.runs().values().try_for_each(|run| run.verify())
    }

    /// Why the engine takes no writes any more, if so.
    pub fn failure(&self) -> Option<tsdb_core::Error> {
        self.shared.check_healthy().err()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(maintenance) = self.maintenance.lock().take() {
            maintenance.stop(&self.shared.signals);
        }
    }
}

impl Shared {
    fn new(options: EngineOptions, counters: Arc<StorageCounters>, opened: Opened) -> Shared {
        let last_given = opened.next_seq - 1;
        let manifest = opened.version.manifest.clone();
        let next_file = manifest.next_file;
        let open = Arc::new(Generation::new(opened.generation, last_given, options.budget.clone()));
        let mut view = View {
            deletes: opened.deletes,
            catalogue: Arc::default(),
            heads: Arc::default(),
            version: Arc::new(opened.version),
            sealed: Vec::new(),
            open,
        };
        view.set_catalogue(manifest.catalogue, &opened.registry);
        Shared {
            commit: Commit::new(last_given),
            wal: opened.wal,
            counters,
            signals: Signals::default(),
            view: ArcSwap::from_pointee(view),
            view_lock: Mutex::new(()),
            manifest_lock: Mutex::new(()),
            flush_lock: Mutex::new(()),
            compaction_lock: Mutex::new(()),
            catalogue_lock: Mutex::new(()),
            registry: opened.registry,
            field_sets: opened.field_sets,
            epoch: AtomicU64::new(1),
            next_file: AtomicU64::new(next_file),
            closed: RwLock::new(false),
            failed: Mutex::new(None),
            directory_lock: Mutex::new(Some(opened.lock)),
            options,
        }
    }

    fn directory(&self) -> &Path {
        &self.options.directory
    }

    fn context(&self) -> RunContext<'_> {
        let view = self.view.load();
        let manifest = &view.version.manifest;
        RunContext {
            env: &self.options.env,
            directory: &self.options.directory,
            options: RunOptions { database_id: manifest.database_id, hash_key: manifest.hash_key },
            counters: &self.counters,
        }
    }

    fn check_open(&self) -> tsdb_core::Result<()> {
        if *self.closed.read() { Err(tsdb_core::Error::Closed) } else { Ok(()) }
    }

    /// Keeps the store open until the guard is dropped, and checks that it takes writes.
    fn begin_write(&self) -> tsdb_core::Result<RwLockReadGuard<'_, bool>> {
        let closed = self.closed.read();
        if *closed {
            return Err(tsdb_core::Error::Closed);
        }
        self.check_healthy()?;
        Ok(closed)
    }

    /// Whether anything can still be made durable.
    pub(crate) fn check_healthy(&self) -> tsdb_core::Result<()> {
        if let Some(cause) = self.failed.lock().clone() {
            return Err(tsdb_core::Error::Poisoned { cause });
        }
        match self.wal.poisoned() {
            Some(poison) => Err(tsdb_core::Error::Poisoned { cause: poison.to_string().into() }),
            None => Ok(()),
        }
    }

    fn update_view(&self, change: impl FnOnce(&mut View)) {
        let _guard = self.view_lock.lock();
        let mut view = View::clone(&self.view.load());
        change(&mut view);
        self.view.store(Arc::new(view));
    }

    /// Everything about a batch that can be wrong and does not change while it waits for its number.
    fn check_batch(&self, batch: &WriteBatch) -> tsdb_core::Result<()> {
        let invalid = |what: &str| tsdb_core::Error::Invalid { what: what.to_owned() };
        for segment in batch.segments() {
            let fields = self.field_sets.get(segment.field_set);
            if fields.is_none_or(|set| set.len() != segment.columns as usize) {
                return Err(invalid("a row's values do not fit its fields: resolve the field set"));
            }
        }
        // First, since a batch of an epoch that ended may name a namespace that is gone.
        let current = self.epoch.load(Ordering::Acquire);
        if batch.epoch() != Epoch(current) {
            return Err(tsdb_core::Error::StaleEpoch { batch: batch.epoch().0, current });
        }
        self.check_namespace(batch.namespace())?;
        let here = Some(batch.namespace());
        if batch.series().iter().any(|series| self.registry.namespace(*series) != here) {
            return Err(invalid("a row's series was not resolved in the batch's namespace"));
        }
        for time in batch.times() {
            check_time(*time).map_err(|_| tsdb_core::Error::TimestampOutOfRange { got: *time })?;
        }
        Ok(())
    }

    fn check_namespace(&self, id: NamespaceId) -> tsdb_core::Result<()> {
        let view = self.view.load();
        let found = view.catalogue.by_id(id);
        found.map(|_| ()).ok_or(tsdb_core::Error::NamespaceNotFound { id: id.0 })
    }

    /// Writes the batch's record; under the append lock. Definitions come before their first use in a
    /// generation, and count as logged only if the frame fits.
    fn write_batch(
        &self,
        generation: u64,
        batch: &WriteBatch,
        out: &mut Vec<u8>,
    ) -> tsdb_core::Result<()> {
        let current = self.epoch.load(Ordering::Relaxed);
        if batch.epoch() != Epoch(current) {
            return Err(tsdb_core::Error::StaleEpoch { batch: batch.epoch().0, current });
        }
        let start = out.len();
        let mut writer = BatchWriter::new(out);
        let (mut series_marked, mut sets_marked) = (Vec::new(), Vec::new());
        for series in batch.series() {
            if self.registry.mark_logged(*series, generation) {
                series_marked.push(*series);
                if let Some((namespace, key)) = self.registry.key(*series) {
                    writer.series(*series, namespace, &key);
                }
            }
        }
        for segment in batch.segments() {
            if self.field_sets.mark_logged(segment.field_set, generation) {
                sets_marked.push(segment.field_set);
                if let Some(set) = self.field_sets.get(segment.field_set) {
                    writer.field_set(segment.field_set, &set);
                }
            }
        }
        writer.rows(batch);
        let bytes = out.len() - start;
        if bytes > PAYLOAD_BYTES_MAX {
            series_marked.iter().for_each(|series| self.registry.unmark_logged(*series));
            sets_marked.iter().for_each(|set| self.field_sets.unmark_logged(*set));
            return Err(tsdb_core::Error::TooMany {
                what: "bytes in one batch",
                count: bytes as u64,
                count_max: PAYLOAD_BYTES_MAX as u64,
                remedy: "send smaller batches",
            });
        }
        Ok(())
    }

    fn append(&self, batch: &WriteBatch) -> tsdb_core::Result<Ticket> {
        let _open = self.begin_write()?;
        self.check_batch(batch)?;
        let bytes = bytes_of(batch);
        let gate = self.options.budget.reserve(Pool::Memtable, bytes).inspect_err(|_| {
            self.signals.wake_flush();
        })?;
        let mut open = None;
        let seq = self
            .wal
            .append_with(|position, out| {
                self.write_batch(position.generation, batch, out)?;
                open = Some(Arc::clone(&self.view.load().open));
                Ok(())
            })
            .map_err(append_error)?;
        let guard = AbortOnPanic;
        let Some(generation) = open else { unreachable!("the closure ran") };
        generation.apply(seq, batch);
        drop(gate);
        let ticket = self.commit.apply(seq);
        drop(guard);
        self.counters.batches_appended.add(1);
        self.counters.rows_appended.add(batch.len() as u64);
        self.counters.samples_appended.add(batch.samples() as u64);
        self.after_append();
        if generation.is_full(self.options.generation_bytes) {
            self.signals.wake_flush();
        }
        Ok(ticket)
    }

    /// Logs a record that is not a batch; `apply` runs under the append lock with its number.
    fn append_change(
        &self,
        write: impl FnOnce(&mut Vec<u8>),
        apply: impl FnOnce(u64, &mut View) -> tsdb_core::Result<()>,
    ) -> tsdb_core::Result<Ticket> {
        let seq = self
            .wal
            .append_with(|position, out| {
                write(out);
                let mut result = Ok(());
                self.update_view(|view| {
                    let mut changed = view.clone();
                    result = apply(position.seq, &mut changed);
                    if result.is_ok() {
                        changed.open.note_change();
                        *view = changed;
                    }
                });
                result
            })
            .map_err(append_error)?;
        let ticket = self.commit.apply(seq);
        self.after_append();
        Ok(ticket)
    }

    /// Gets the write on its way to the disk, as far as its durability asks for.
    fn after_append(&self) {
        match self.options.durability {
            Durability::Sync => self.signals.wake_sync(),
            Durability::Interval(_) | Durability::Off => match self.wal.write_out() {
                Ok(seq) => self.commit.set_durable(seq),
                Err(error) => self.fail_waiting(&error),
            },
        }
    }

    fn fail_waiting(&self, error: &tsdb_wal::Error) {
        let error = match error {
            tsdb_wal::Error::NoSpace { .. } => {
                tsdb_core::Error::Overloaded { reason: "the disk is full" }
            }
            other => tsdb_core::Error::Poisoned { cause: other.to_string().into() },
        };
        self.commit.fail(&error);
    }

    pub(crate) fn sync(&self) -> Result<()> {
        let result = self.wal.sync();
        self.counters.wal_syncs.add(1);
        match result {
            Ok(seq) => {
                self.commit.set_durable(seq);
                Ok(())
            }
            Err(error) => {
                // invariant: I10: tickets are completed only up to what was synced before the failure.
                let synced = self.wal.synced_seq();
                assert!(synced <= self.wal.last_seq(), "I10: more synced than given");
                if self.options.durability == Durability::Sync {
                    self.commit.set_durable(synced);
                }
                self.fail_waiting(&error);
                Err(error.into())
            }
        }
    }

    pub(crate) fn seal(&self) -> Result<bool> {
        if self.wal.last_seq() == self.view.load().open.base_seq() {
            return Ok(false);
        }
        self.wal
            .begin_generation(|sealed| {
                let next =
                    Generation::new(sealed.opened, sealed.last_seq, self.options.budget.clone());
                let mut closed_something = false;
                self.update_view(|view| {
                    let old = std::mem::replace(&mut view.open, Arc::new(next));
                    // Two sealers may have raced to here; the second closes a generation without numbers.
                    if old.base_seq() < sealed.last_seq {
                        let catalogue = Arc::clone(&view.catalogue);
                        old.seal(Seal { last_seq: sealed.last_seq, catalogue });
                        view.sealed.push(old);
                        closed_something = true;
                    }
                });
                closed_something
            })
            .inspect(|_| self.counters.seals.add(1))
            .map_err(Error::from)
    }

    pub(crate) fn flush_one(&self) -> Result<bool> {
        let _guard = self.flush_lock.lock();
        let view = self.view.load_full();
        let Some(generation) = view.sealed.first() else { return Ok(false) };
        let Some(seal) = generation.sealed() else { return Ok(false) };
        self.commit.wait_applied(seal.last_seq);
        if self.wal.synced_seq() < seal.last_seq {
            self.sync()?;
        }
        // invariant: I3: nothing is flushed that the log does not hold durably.
        assert!(self.wal.synced_seq() >= seal.last_seq, "I3: a flush ran ahead of the log");
        let deletes: Vec<Arc<LiveDelete>> = view
            .deletes
            .iter()
            .filter(|d| d.seq > generation.base_seq() && d.seq <= seal.last_seq)
            .cloned()
            .collect();
        let result = self.flush_generation(generation, seal, &deletes);
        if result.is_err() {
            self.counters.flush_errors.add(1);
        }
        result?;
        self.counters.flushes.add(1);
        // invariant: I1: the log lets go of rows only once the manifest names the runs that hold them.
        let flushed_through = self.view.load().version.manifest.flushed_through;
        assert!(flushed_through >= seal.last_seq, "I1: the log would lose rows that are in no run");
        // A failure costs space until the next flush, which removes this generation's files too.
        self.wal.remove_through(generation.id()).or_else(ignore_retryable)?;
        self.signals.wake_compaction();
        Ok(true)
    }

    fn flush_generation(
        &self,
        generation: &Arc<Generation>,
        seal: &Seal,
        deletes: &[Arc<LiveDelete>],
    ) -> Result<()> {
        let context = self.context();
        // At most nine runs; numbers that are not used stay unused.
        let first_file = self.next_file.fetch_add(9, Ordering::Relaxed);
        let sorted = generation.sorted().bytes();
        let _memory = self.options.budget.reserve_anyway(Pool::Compaction, sorted);
        let input = FlushInput {
            generation,
            last_seq: seal.last_seq,
            catalogue: &seal.catalogue,
            deletes,
            registry: &self.registry,
            field_sets: &self.field_sets,
            first_file,
        };
        let runs = write_generation(&context, &input)?;
        let opened = self.open_runs(&context, runs)?;
        self.edit(
            opened,
            |manifest, view| {
                let mut catalogue = Catalogue::clone(&seal.catalogue);
                for namespace in catalogue.namespaces_mut() {
                    let now = view.catalogue.by_id(namespace.id).map_or(i64::MIN, |n| n.cutoff);
                    namespace.cutoff = namespace.cutoff.max(now);
                }
                manifest.catalogue = catalogue;
                manifest.flushed_through = seal.last_seq;
                manifest.oldest_generation = generation.id() + 1;
                let entries =
                    deletes.iter().map(|d| DeleteEntry { seq: d.seq, request: d.request.clone() });
                manifest.deletes.extend(entries);
                true
            },
            |view| view.sealed.retain(|sealed| sealed.id() != generation.id()),
        )
        .map(|_| ())
    }

    /// Opens freshly written runs for reading; removes them again if that fails.
    fn open_runs(
        &self,
        context: &RunContext<'_>,
        runs: Vec<NewRun>,
    ) -> Result<Vec<(NewRun, Arc<Run>)>> {
        let mut opened = Vec::with_capacity(runs.len());
        for run in &runs {
            let path = run_path(context.directory, run.file);
            match Run::open(context.env, &path, &run.meta, context.options.database_id) {
                Ok(reader) => opened.push(Arc::new(reader)),
                Err(error) => {
                    abandon(context, &runs);
                    return Err(error);
                }
            }
        }
        Ok(runs.into_iter().zip(opened).collect())
    }

    /// The only way to change the manifest. Adds `runs`, lets `change` do the rest (false: nothing is to
    /// be done any more), commits, and swaps the view in one step with `swap`. Returns whether it was
    /// done; where it was not, `runs` are removed.
    fn edit(
        &self,
        runs: Vec<(NewRun, Arc<Run>)>,
        change: impl FnOnce(&mut Manifest, &View) -> bool,
        swap: impl FnOnce(&mut View),
    ) -> Result<bool> {
        let _guard = self.manifest_lock.lock();
        self.check_healthy()?;
        let view = self.view.load_full();
        let old = &view.version;
        let mut manifest = old.manifest.clone();
        let mut readers = old.runs().clone();
        let mut new_runs = Vec::with_capacity(runs.len());
        for (run, reader) in runs {
            let entry = FileEntry { meta: run.meta.clone(), dead: Default::default() };
            manifest.files.insert(run.file, entry);
            readers.insert(run.file, reader);
            new_runs.push(run);
        }
        manifest.next_file = self.next_file.load(Ordering::Relaxed);
        if !change(&mut manifest, &view) {
            abandon(&self.context(), &new_runs);
            return Ok(false);
        }
        manifest.tidy();
        let written =
            manifest::write(&self.options.env, self.directory(), Some(&old.manifest), &manifest);
        if let Err(failure) = written {
            if failure.in_doubt {
                *self.failed.lock() = Some(failure.error.to_string().into());
                let cause = failure.error.to_string().into();
                self.commit.fail(&tsdb_core::Error::Poisoned { cause });
            } else {
                abandon(&self.context(), &new_runs);
            }
            return Err(failure.error);
        }
        let removed: Vec<u64> =
            readers.keys().filter(|file| !manifest.files.contains_key(file)).copied().collect();
        let version = Arc::new(Version::new(manifest, readers));
        self.update_view(|view| {
            view.version = Arc::clone(&version);
            let kept = |delete: &Arc<LiveDelete>| {
                delete.seq > version.manifest.flushed_through
                    || version.manifest.deletes.iter().any(|entry| entry.seq == delete.seq)
            };
            view.deletes.retain(kept);
            swap(view);
        });
        for file in removed {
            // Readers keep it open as long as they need it; a start removes what could not be.
            if self.options.env.vfs.unlink(&run_path(self.directory(), file)).is_ok() {
                self.counters.runs_removed.add(1);
            }
        }
        Ok(true)
    }

    pub(crate) fn compact_one(&self) -> Result<bool> {
        let _guard = self.compaction_lock.lock();
        let Some(choice) = pick(&self.view.load().version.manifest) else { return Ok(false) };
        self.merge(&choice)?;
        Ok(true)
    }

    fn compact_all(&self) -> Result<()> {
        let _guard = self.compaction_lock.lock();
        let choices = pick_all(&self.view.load().version.manifest);
        choices.iter().try_for_each(|choice| self.merge(choice))
    }

    fn merge(&self, choice: &Choice) -> Result<()> {
        let result = self.try_merge(choice);
        if result.is_err() {
            self.counters.compaction_errors.add(1);
        } else {
            self.counters.compactions.add(1);
        }
        result
    }

    fn try_merge(&self, choice: &Choice) -> Result<()> {
        let view = self.view.load_full();
        let manifest = &view.version.manifest;
        let newest_first = choice.inputs.iter().rev();
        let slices: Vec<_> = newest_first.filter_map(|id| view.version.slice(*id)).collect();
        if slices.len() != choice.inputs.len() {
            return Ok(());
        }
        let cutoff = manifest.catalogue.by_id(choice.namespace).map_or(i64::MIN, |n| n.cutoff);
        let deletes: Vec<Arc<LiveDelete>> = view
            .deletes
            .iter()
            .filter(|d| d.request.namespace == choice.namespace)
            .filter(|d| d.seq <= manifest.flushed_through)
            .cloned()
            .collect();
        let input = MergeInput {
            choice,
            seq_max: merged_seq_max(manifest, choice, &deletes),
            slices,
            deletes,
            cutoff,
            file: self.next_file.fetch_add(1, Ordering::Relaxed),
        };
        let context = self.context();
        let merged = merge(&context, &input)?;
        let opened = self.open_runs(&context, merged.into_iter().collect())?;
        let still_live = |manifest: &Manifest, id: &SliceId| {
            manifest.files.get(&id.file).is_some_and(|file| !file.dead.contains(&id.slice))
        };
        self.edit(
            opened,
            |manifest, _| {
                // Retention or a DROP may have taken an input meanwhile; then the output is stale.
                if !choice.inputs.iter().all(|id| still_live(manifest, id)) {
                    return false;
                }
                choice.inputs.iter().for_each(|id| manifest.kill(*id));
                true
            },
            |_| {},
        )
        .map(|_| ())
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> tsdb_core::Result<Ticket> {
        let _open = self.begin_write()?;
        let _guard = self.catalogue_lock.lock();
        let mut trial = Catalogue::clone(&self.view.load().catalogue);
        if !trial.apply(change)?.changed {
            return Ok(Ticket::completed(self.commit.visible()));
        }
        let mut dropped = Vec::new();
        let ticket = self.append_change(
            |out| put_catalogue_change(out, change),
            |_, view| {
                let mut catalogue = Catalogue::clone(&view.catalogue);
                dropped = catalogue.apply(change)?.dropped;
                view.set_catalogue(catalogue, &self.registry);
                if !dropped.is_empty() {
                    // Under the append lock: no batch with references of the old epoch comes after it.
                    self.epoch.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            },
        )?;
        dropped.iter().for_each(|namespace| self.registry.drop_namespace(*namespace));
        Ok(ticket)
    }

    fn delete(&self, request: &DeleteRequest) -> tsdb_core::Result<Ticket> {
        let _open = self.begin_write()?;
        self.check_namespace(request.namespace)?;
        // Compiled here, so that nothing can fail once the number is given.
        LiveDelete::new(0, request.clone())?;
        let ticket = self.append_change(
            |out| put_delete(out, request),
            |seq, view| {
                let of_namespace =
                    view.deletes.iter().filter(|d| d.request.namespace == request.namespace);
                if of_namespace.count() >= LIVE_DELETES_MAX {
                    return Err(tsdb_core::Error::Overloaded {
                        reason: "too many deletes wait for compaction in this database",
                    });
                }
                view.deletes.push(Arc::new(LiveDelete::new(seq, request.clone())?));
                Ok(())
            },
        )?;
        self.counters.deletes.add(1);
        Ok(ticket)
    }

    /// Seals and flushes until no row that was numbered before the call is in memory only.
    pub(crate) fn flush_all(&self) -> Result<()> {
        self.seal()?;
        while self.flush_one()? {}
        Ok(())
    }

    pub(crate) fn retain(&self, now_ns: i64) -> Result<usize> {
        let expiring = |catalogue: &Catalogue| -> Vec<(NamespaceId, i64)> {
            let moved = catalogue.namespaces().filter_map(|namespace| {
                let cutoff = now_ns.saturating_sub(namespace.retention_ns?);
                (cutoff > namespace.cutoff).then_some((namespace.id, cutoff))
            });
            moved.collect()
        };
        let view = self.view.load_full();
        let moved = expiring(&view.catalogue);
        if moved.is_empty() {
            return Ok(0);
        }
        // A cutoff stands in the manifest, so its namespace must stand there first.
        if moved.iter().any(|(id, _)| view.version.manifest.catalogue.by_id(*id).is_none()) {
            self.flush_all()?;
        }
        let advance = |catalogue: &mut Catalogue| {
            for namespace in catalogue.namespaces_mut() {
                if let Some((_, cutoff)) = moved.iter().find(|(id, _)| *id == namespace.id) {
                    namespace.cutoff = namespace.cutoff.max(*cutoff);
                }
            }
        };
        self.edit(
            Vec::new(),
            |manifest, _| {
                advance(&mut manifest.catalogue);
                let expired: Vec<SliceId> = manifest
                    .slices()
                    .filter(|(_, meta)| {
                        let found = moved.iter().find(|(id, _)| *id == meta.namespace);
                        found.is_some_and(|(_, cutoff)| meta.t_max < *cutoff)
                    })
                    .map(|(id, _)| id)
                    .collect();
                self.counters.slices_expired.add(expired.len() as u64);
                expired.into_iter().for_each(|id| manifest.kill(id));
                true
            },
            |view| {
                let mut catalogue = Catalogue::clone(&view.catalogue);
                advance(&mut catalogue);
                view.set_catalogue(catalogue, &self.registry);
            },
        )?;
        Ok(moved.len())
    }
}

/// Most bytes of a record: a request of 25 MB of text makes less than half of it.
const PAYLOAD_BYTES_MAX: usize = 63 << 20;

/// Number up to which a merged slice stands for its partition. Raised to the deletes that the merge
/// applies, so that they need not be kept for it; never into the range of a younger slice.
fn merged_seq_max(manifest: &Manifest, choice: &Choice, deletes: &[Arc<LiveDelete>]) -> u64 {
    let metas = || manifest.slices().filter(|(id, _)| choice.inputs.contains(id));
    let own = metas().map(|(_, meta)| meta.seq_max).max().unwrap_or(0);
    let younger = manifest
        .slices()
        .filter(|(id, meta)| {
            meta.namespace == choice.namespace && !choice.inputs.contains(id) && meta.seq_min > own
        })
        .map(|(_, meta)| meta.seq_min - 1)
        .min();
    let applied = deletes.iter().map(|delete| delete.seq).max().unwrap_or(own);
    applied.min(younger.unwrap_or(u64::MAX)).max(own)
}

fn append_error(error: AppendError<tsdb_core::Error>) -> tsdb_core::Error {
    match error {
        AppendError::Write(error) => error,
        AppendError::Wal(tsdb_wal::Error::Backlog { .. }) => {
            tsdb_core::Error::Overloaded { reason: "the write-ahead log is behind" }
        }
        AppendError::Wal(error) => Error::from(error).into(),
    }
}

/// A removal that can be repeated later is not worth failing for.
fn ignore_retryable(error: tsdb_wal::Error) -> Result<(), tsdb_wal::Error> {
    match error.kind() {
        tsdb_wal::ErrorKind::Retry => Ok(()),
        _ => Err(error),
    }
}

impl Append for Engine {
    fn resolve(
        &self,
        namespace: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> tsdb_core::Result<Resolution> {
        let shared = &self.shared;
        shared.check_open()?;
        // The epoch first: if it ends meanwhile, the batch is refused and resolved again.
        let epoch = Epoch(shared.epoch.load(Ordering::Acquire));
        shared.check_namespace(namespace)?;
        Ok(Resolution {
            epoch,
            series: shared.registry.resolve(namespace, series),
            field_sets: shared.field_sets.resolve(field_sets),
        })
    }

    fn append(&self, batch: &WriteBatch) -> tsdb_core::Result<Ticket> {
        self.shared.append(batch)
    }

    fn delete(&self, request: &DeleteRequest) -> tsdb_core::Result<Ticket> {
        self.shared.delete(request)
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> tsdb_core::Result<Ticket> {
        self.shared.change_catalogue(change)
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.shared.view.load().catalogue)
    }
}

impl Select for Engine {
    fn snapshot(&self) -> tsdb_core::Result<Arc<dyn Snapshot>> {
        let shared = &self.shared;
        shared.check_open()?;
        // This order is what keeps a row from being missed or doubled at a flush; see `view`.
        let visible = shared.commit.visible();
        let view = View::clone(&shared.view.load());
        let bound = visible.max(view.version.manifest.flushed_through);
        Ok(Arc::new(EngineSnapshot {
            view,
            bound,
            registry: Arc::clone(&shared.registry),
            field_sets: Arc::clone(&shared.field_sets),
            counters: Arc::clone(&shared.counters),
            wal_bytes: shared.wal.disk_bytes(),
        }))
    }
}

impl Maintain for Engine {
    fn flush(&self) -> tsdb_core::Result<()> {
        self.shared.check_open()?;
        self.shared.check_healthy()?;
        Ok(self.shared.flush_all()?)
    }

    fn compact(&self) -> tsdb_core::Result<()> {
        self.shared.check_open()?;
        self.shared.check_healthy()?;
        Ok(self.shared.compact_all()?)
    }

    fn retain(&self, now_ns: i64) -> tsdb_core::Result<usize> {
        self.shared.check_open()?;
        self.shared.check_healthy()?;
        Ok(self.shared.retain(now_ns)?)
    }

    fn close(&self) -> tsdb_core::Result<()> {
        let shared = &self.shared;
        if std::mem::replace(&mut *shared.closed.write(), true) {
            return Ok(());
        }
        // From here on no writer is under way; those who wait for their tickets get them below.
        if let Some(maintenance) = self.maintenance.lock().take() {
            maintenance.stop(&shared.signals);
        }
        let result = shared
            .flush_all()
            .and_then(|()| shared.sync())
            .and_then(|()| Ok(shared.wal.mark_clean()?));
        shared.commit.fail(&tsdb_core::Error::Closed);
        shared.directory_lock.lock().take();
        Ok(result?)
    }
}

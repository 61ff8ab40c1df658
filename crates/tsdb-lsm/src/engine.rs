//! The engine: what a user of the crate opens, and the storage seam on it.
//!
//! It is made of explicit synchronous steps ([`Engine::sync`], [`Engine::seal`], [`Engine::flush_one`],
//! [`Engine::compact_one`], and those of the storage seam), so that a simulation can be one thread that
//! chooses steps by a seed; `maintenance` runs them on threads of their own. How writes get their number
//! is in `engine/write.rs`, how rows move from memory to runs and from runs to fewer in
//! `engine/steps.rs`.

mod closings;
mod merges;
mod shared;
mod steps;
mod write;

use std::sync::Arc;
use tsdb_core::sync::atomic::Ordering;

use tsdb_core::counters::StorageCounters;
use tsdb_core::planted::{Planted, is_planted};
use tsdb_core::storage::Resolution;
use tsdb_core::sync::Mutex;
use tsdb_core::{
    Append, Catalogue, CatalogueChange, DeleteRequest, Epoch, FieldSet, Maintain, NamespaceId,
    Select, SeriesKey, Snapshot, Ticket, WriteBatch,
};

use crate::error::Result;
use crate::maintenance::Maintenance;
use crate::options::EngineOptions;
use crate::recover::open_store;
use crate::retention::ClockTrust;
use crate::scan::{EngineSnapshot, Sizes};
use crate::view::View;
pub(crate) use shared::{DirectoryLock, Shared};

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
        shared.check_disk();
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

    /// Step: looks how much room the file system has. Below [`EngineOptions::disk_reserve`] rows are refused
    /// until there is enough again; everything else goes on.
    pub fn check_disk(&self) {
        self.shared.check_disk();
    }

    /// Looks at the clock of [`EngineOptions::env`]: the time for [`Maintain::retain`], and how far it is that
    /// of the wall clock.
    pub fn retention_time(&self) -> (i64, ClockTrust) {
        self.shared.retention_time()
    }

    /// Whether retention believed the wall clock when it looked last.
    pub fn clock_trust(&self) -> ClockTrust {
        self.shared.retention.lock().1
    }

    /// Tells retention that the wall clock is right, whatever it did before.
    pub fn trust_clock(&self) {
        self.shared.trust_clock();
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
            self.shared.pace.end();
            maintenance.stop(&self.shared.signals);
        }
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
            series: shared.resolve_series(namespace, series)?,
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
        let early = is_planted(Planted::ViewBeforeNumber).then(|| shared.view.load_full());
        let visible = shared.commit.visible();
        let view = View::clone(&early.unwrap_or_else(|| shared.view.load_full()));
        let bound = visible.max(view.version.manifest.flushed_through);
        Ok(Arc::new(EngineSnapshot::new(
            view,
            bound,
            Arc::clone(&shared.field_sets),
            Arc::clone(&shared.counters),
            Sizes::of(shared),
        )))
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
        shared.throttle.memory_was_freed();
        // From here on no writer is under way; those who wait for their tickets get them below.
        if let Some(maintenance) = self.maintenance.lock().take() {
            shared.pace.end();
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

//! What the callers and the threads of one engine share, and the checks that stand before everything.
//!
//! Locks, in the order in which they are taken: flush or compaction, catalogue, seal, manifest, the log's
//! append lock, view, the registry's. Readers take none of them but the last, for a moment.

use std::path::Path;
use std::sync::Arc;
use tsdb_core::sync::atomic::AtomicU64;

use super::closings::Closings;
use crate::swap::ArcSwap;
use tsdb_core::counters::StorageCounters;
use tsdb_core::sync::{Mutex, RwLock, RwLockReadGuard};
use tsdb_core::{NamespaceId, NamespaceInfo, Pool};
use tsdb_index::{FieldSets, Registry};
use tsdb_wal::Wal;

use crate::cache::PageCache;
use crate::commit::Commit;
use crate::disk::DiskReserve;
use crate::flush::RunContext;
use crate::maintenance::Signals;
use crate::memtable::Generation;
use crate::options::EngineOptions;
use crate::pace::{Pace, Writing};
use crate::recover::Opened;
use crate::retention::{ClockTrust, RetentionClock};
use crate::sst::RunOptions;
use crate::throttle::Throttle;
use crate::view::View;

/// What the engine's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: EngineOptions,
    pub(crate) wal: Wal,
    pub(crate) commit: Commit,
    pub(crate) counters: Arc<StorageCounters>,
    pub(crate) signals: Signals,
    pub(crate) throttle: Throttle,
    /// How fast merges write.
    pub(crate) pace: Arc<Pace>,
    pub(crate) disk: DiskReserve,
    pub(crate) cache: Arc<PageCache>,
    /// The clock of retention, and what came of its last look.
    pub(crate) retention: Mutex<(RetentionClock, ClockTrust)>,
    pub(crate) view: ArcSwap<View>,
    pub(super) view_lock: Mutex<()>,
    pub(super) manifest_lock: Mutex<()>,
    /// One seal at a time prepares an eviction.
    pub(super) seal_lock: Mutex<Closings>,
    pub(super) flush_lock: Mutex<()>,
    pub(super) compaction_lock: Mutex<()>,
    pub(super) catalogue_lock: Mutex<()>,
    pub(super) registry: Arc<Registry>,
    pub(super) field_sets: Arc<FieldSets>,
    pub(super) epoch: AtomicU64,
    pub(crate) next_file: AtomicU64,
    /// Writers hold it shared from their first check to their ticket, so that none is under way once it
    /// is set.
    pub(super) closed: RwLock<bool>,
    /// Set once a manifest's fate is unknown: like a failed log, only a restart helps.
    pub(super) failed: Mutex<Option<Arc<str>>>,
    pub(super) directory_lock: Mutex<Option<DirectoryLock>>,
}

/// The time by which rows of a namespace expired last.
fn expired_by(namespace: &NamespaceInfo) -> Option<i64> {
    let has_moved = namespace.cutoff > tsdb_core::time::MIN_TIME;
    let retention_ns = namespace.retention_ns.filter(|_| has_moved)?;
    Some(namespace.cutoff.saturating_add(retention_ns))
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

impl Shared {
    pub(super) fn new(
        options: EngineOptions,
        counters: Arc<StorageCounters>,
        opened: Opened,
    ) -> Shared {
        let last_given = opened.next_seq - 1;
        let manifest = opened.version.manifest.clone();
        let next_file = manifest.next_file;
        let open = Arc::new(Generation::new(opened.generation, last_given, options.budget.clone()));
        let mut view = View {
            deletes: opened.deletes,
            catalogue: Arc::default(),
            series: opened.registry.table(),
            heads: Arc::default(),
            version: Arc::new(opened.version),
            sealed: Vec::new(),
            open,
        };
        let known_ns = manifest.catalogue.namespaces().filter_map(expired_by).max();
        let known_ns = known_ns.filter(|_| !options.retention_force);
        view.set_catalogue(manifest.catalogue);
        opened.registry.begin_generation(opened.generation);
        Shared {
            commit: Commit::new(last_given),
            wal: opened.wal,
            counters,
            signals: Signals::default(),
            cache: opened.cache,
            retention: Mutex::new((RetentionClock::new(known_ns), ClockTrust::Believed)),
            disk: DiskReserve::new(options.disk_reserve, options.budget.limit(Pool::Memtable)),
            throttle: Throttle::new(Arc::clone(&options.env.clock)),
            // Whoever takes every step himself does not want to wait in one.
            pace: Arc::new(Pace::new(
                Arc::clone(&options.env.clock),
                options.merge_rate.filter(|_| options.background),
            )),
            view: ArcSwap::from_pointee(view),
            view_lock: Mutex::new(()),
            manifest_lock: Mutex::new(()),
            seal_lock: Mutex::default(),
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

    pub(super) fn directory(&self) -> &Path {
        &self.options.directory
    }

    pub(super) fn context(&self) -> RunContext<'_> {
        let view = self.view.load();
        let manifest = &view.version.manifest;
        RunContext {
            env: &self.options.env,
            directory: &self.options.directory,
            options: RunOptions { database_id: manifest.database_id, hash_key: manifest.hash_key },
            counters: &self.counters,
            writing: Writing::Freely,
        }
    }

    /// Held while files of the manifest may change or go.
    pub(crate) fn manifest_lock(&self) -> tsdb_core::sync::MutexGuard<'_, ()> {
        self.manifest_lock.lock()
    }

    pub(crate) fn check_open(&self) -> tsdb_core::Result<()> {
        if *self.closed.read() { Err(tsdb_core::Error::Closed) } else { Ok(()) }
    }

    /// Keeps the store open until the guard is dropped, and checks that it takes writes.
    pub(super) fn begin_write(&self) -> tsdb_core::Result<RwLockReadGuard<'_, bool>> {
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

    pub(super) fn check_namespace(&self, id: NamespaceId) -> tsdb_core::Result<()> {
        let view = self.view.load();
        let found = view.catalogue.by_id(id);
        found.map(|_| ()).ok_or(tsdb_core::Error::NamespaceNotFound { id: id.0 })
    }

    pub(super) fn update_view(&self, change: impl FnOnce(&mut View)) {
        let _guard = self.view_lock.lock();
        let mut view = View::clone(&self.view.load());
        change(&mut view);
        self.view.store(Arc::new(view));
    }
}

//! Threads around the engine's steps: one that commits groups of writes, one that seals and flushes, one
//! that merges and expires.

use std::sync::Arc;
use std::time::Duration;

use tsdb_core::Pool;
use tsdb_core::planted::{Planted, is_planted};
use tsdb_core::sync::atomic::{AtomicBool, Ordering};
use tsdb_core::sync::thread::{self, JoinHandle};
use tsdb_core::sync::{Condvar, Mutex};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::flush::policy::{Due, Fill, Targets, due};
use crate::options::Durability;

/// Silence after which the log gets a marker that says that its last frames were synced.
const IDLE: Duration = Duration::from_millis(100);

/// Time between looks at retention.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// Wait after a failed step, doubled each time up to the last.
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_LAST: Duration = Duration::from_secs(30);

/// A flag that a thread waits for.
#[derive(Debug, Default)]
struct Signal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn raise(&self) {
        let mut raised = self.raised.lock();
        if !*raised {
            *raised = true;
            self.changed.notify_one();
        }
    }

    /// Waits until the flag is raised, at most `timeout`, and lowers it. True if it was raised.
    fn wait(&self, timeout: Duration) -> bool {
        let mut raised = self.raised.lock();
        if !*raised || is_planted(Planted::WaitMissesSignal) {
            self.changed.wait_for(&mut raised, timeout);
        }
        std::mem::take(&mut *raised)
    }
}

/// How the engine tells its threads that there is work.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    sync: Signal,
    flush: Signal,
    compaction: Signal,
    stop: AtomicBool,
}

impl Signals {
    pub(crate) fn wake_sync(&self) {
        self.sync.raise();
    }

    pub(crate) fn wake_flush(&self) {
        self.flush.raise();
    }

    pub(crate) fn wake_compaction(&self) {
        self.compaction.raise();
    }

    /// Ends the loops of all threads, each after the step that it is at.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake_sync();
        self.wake_flush();
        self.wake_compaction();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// The body of a thread, which returns when the signals say stop.
type Loop = fn(&Shared);

/// The running threads.
#[derive(Debug)]
pub(crate) struct Maintenance {
    threads: Vec<JoinHandle<()>>,
}

impl Maintenance {
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Maintenance> {
        let mut threads = Vec::new();
        let loops: [(&str, Loop); 3] =
            [("tsdb-commit", commit), ("tsdb-flush", flush), ("tsdb-compact", compact)];
        for (name, run) in loops {
            let shared = Arc::clone(shared);
            let body = move || {
                // A panic in here would leave writers waiting for ever; better to start again.
                let outcome =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&shared)));
                if outcome.is_err() {
                    std::process::abort();
                }
            };
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
            threads.push(spawned.map_err(Error::io("start a thread of", "the engine"))?);
        }
        Ok(Maintenance { threads })
    }

    /// Ends all threads; steps under way are finished.
    pub(crate) fn stop(self, signals: &Signals) {
        signals.stop();
        for thread in self.threads {
            // A thread that panicked has aborted the process.
            let _ = thread.join();
        }
    }
}

/// Syncs whenever something waits; what arrives during a sync forms the next group.
pub(crate) fn commit(shared: &Shared) {
    let interval = match shared.options.durability {
        Durability::Sync => None,
        Durability::Interval(interval) => Some(interval),
        Durability::Off => return,
    };
    let mut failures = BackOff::new();
    while !shared.signals.stopped() {
        let raised = shared.signals.sync.wait(interval.unwrap_or(IDLE));
        if interval.is_none() && !raised {
            // Nothing arrived for a while. A failure here is one of the log, and the next sync tells.
            let _ = shared.wal.mark_idle();
            continue;
        }
        match shared.sync() {
            Ok(()) => failures = BackOff::new(),
            // The writers that waited know already. Whoever came during the pause raised the signal, and waits: for
            // him it is tried again, since a full disk may have room by now.
            Err(_) if failures.wait(&shared.signals.sync) => shared.signals.sync.raise(),
            Err(_) => {}
        }
    }
}

/// Seals full generations and flushes sealed ones.
fn flush(shared: &Shared) {
    let mut failures = BackOff::new();
    while !shared.signals.stopped() {
        shared.signals.flush.wait(Duration::from_secs(1));
        shared.check_disk();
        let result = seal_if_due(shared).and_then(|()| {
            while !shared.signals.stopped() && shared.flush_one()? {}
            Ok(())
        });
        match result {
            Ok(()) => failures = BackOff::new(),
            Err(_) => _ = failures.wait(&shared.signals.flush),
        }
    }
}

fn seal_if_due(shared: &Shared) -> Result<()> {
    let view = shared.view.load();
    let options = &shared.options;
    let fill = Fill {
        open_bytes: view.open.bytes(),
        is_at_capacity: view.open.is_at_capacity(),
        is_empty: view.open.is_empty(),
        waiting: view.sealed.len(),
        pressure: options.budget.pressure(Pool::Memtable),
        wal_bytes: shared.wal.disk_bytes(),
    };
    let targets = Targets {
        generation_bytes: options.generation_bytes as u64,
        wal_bytes_max: options.wal_bytes_max,
    };
    drop(view);
    match due(&fill, &targets) {
        None => return Ok(()),
        Some(Due::Pressed) => shared.counters.seals_under_pressure.add(1),
        Some(Due::Full | Due::LongLog) => {}
    }
    shared.seal().map(|_| ())
}

/// Merges what is due, and moves the cutoffs of retention.
fn compact(shared: &Shared) {
    let mut failures = BackOff::new();
    while !shared.signals.stopped() {
        shared.signals.compaction.wait(RETENTION_EVERY);
        let merged = (|| {
            while !shared.signals.stopped() && shared.compact_one()? {}
            Ok::<(), Error>(())
        })();
        let expired = if shared.signals.stopped() {
            Ok(())
        } else {
            shared.retain(shared.retention_time().0).map(|_| ())
        };
        match merged.and(expired) {
            Ok(()) => failures = BackOff::new(),
            Err(_) => _ = failures.wait(&shared.signals.compaction),
        }
    }
}

/// Waits longer after each failure in a row.
struct BackOff(Duration);

impl BackOff {
    fn new() -> BackOff {
        BackOff(BACK_OFF_FIRST)
    }

    /// True if the signal ended the wait.
    fn wait(&mut self, signal: &Signal) -> bool {
        let is_raised = signal.wait(self.0);
        self.0 = (self.0 * 2).min(BACK_OFF_LAST);
        is_raised
    }
}

//! The state that all requests share: the store, the budget, the metrics, and the turns that bound how
//! much runs at once.
//!
//! Not here: anything about HTTP beyond the form of a refusal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tsdb_core::env::Env;
use tsdb_core::storage::Storage;
use tsdb_core::{Error, ErrorKind, MemoryBudget};
use tsdb_exec::Executor;
use tsdb_ingest::metadata::MetadataStore;
use tsdb_ingest::{FormatRegistry, Pipeline, WriteReport};

use crate::auth::Auth;
use crate::config::Config;
use crate::continuous::ContinuousQueries;
use crate::exposition::{Exposition, WriteRecord};
use crate::http::body::Room;
use crate::http::reply::ApiError;
use crate::query::Running;
use crate::rejects::Rejects;
use crate::turns::{FairTurns, Turn};
use crate::wiring::Store;

/// Longest wait for one of the turns of queries.
const QUERY_TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Turns beside those of queries, for small ones that meet none free: else a few queries that take seconds
/// would make those wait that take a millisecond.
const SMALL_QUERY_TURNS: usize = 4;
/// Streams of rows at once. Each holds an eighth of the memory for bodies at most.
pub const STREAMS_MAX: usize = 4;
/// Longest wait for one of the turns of writes. Bodies that wait hold memory of the budget, so their
/// number is bounded by that; this bounds their time.
const WRITE_TURN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Everything that handlers need.
pub struct App {
    config: ArcSwap<Config>,
    env: Env,
    store: Store,
    budget: MemoryBudget,
    formats: FormatRegistry,
    pipeline: Pipeline,
    metadata: Arc<MetadataStore>,
    executor: ArcSwap<Executor>,
    auth: Arc<Auth>,
    exposition: Exposition,
    rejects: Rejects,
    bodies: Room,
    running: Running,
    continuous: ContinuousQueries,
    write_turns: FairTurns,
    query_turns: Arc<Semaphore>,
    small_query_turns: Arc<Semaphore>,
    quick_turns: Semaphore,
    admin_turns: Arc<Semaphore>,
    stream_turns: Arc<Semaphore>,
    stopping: AtomicBool,
    storage_failure: OnceLock<String>,
    started_ns: u64,
}

impl App {
    /// The state over an open store.
    pub fn new(
        config: Config,
        env: Env,
        store: Store,
        budget: MemoryBudget,
        exposition: Exposition,
    ) -> Arc<App> {
        // More parsers than cores would only take each other's caches.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(App {
            formats: crate::wiring::formats(),
            pipeline: crate::wiring::pipeline(&config, &store, &env, &budget),
            metadata: Arc::new(MetadataStore::new(env.rng.next_u64())),
            executor: ArcSwap::from_pointee(crate::wiring::executor(&config, &store)),
            auth: crate::wiring::auth(&config, &store, &env),
            rejects: Rejects::new(&budget),
            bodies: Room::new(&budget),
            running: Running::default(),
            continuous: ContinuousQueries::default(),
            write_turns: FairTurns::new(cores),
            query_turns: Arc::new(Semaphore::new(config.query_concurrency)),
            small_query_turns: Arc::new(Semaphore::new(SMALL_QUERY_TURNS)),
            quick_turns: Semaphore::new(worker_threads().saturating_sub(1)),
            admin_turns: Arc::new(Semaphore::new(1)),
            stream_turns: Arc::new(Semaphore::new(STREAMS_MAX)),
            stopping: AtomicBool::new(false),
            storage_failure: OnceLock::new(),
            started_ns: env.clock.mono_ns(),
            config: ArcSwap::from_pointee(config),
            env,
            store,
            budget,
            exposition,
        })
    }

    /// The settings as they are now.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Takes over what of `new` can change while the server runs; requests that have begun go on as they are. Gives the
    /// names of settings that are others and need a restart.
    pub(crate) fn take_settings(&self, new: &Config) -> Vec<&'static str> {
        let (taken, left) = self.config().changed_to(new);
        self.auth.set_root(taken.admin_token.as_ref());
        self.executor.store(Arc::new(crate::wiring::executor(&taken, &self.store)));
        self.config.store(Arc::new(taken));
        left
    }

    /// Clock and randomness.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// When it began, in ns of the monotonic clock.
    pub fn started_ns(&self) -> u64 {
        self.started_ns
    }

    /// The storage engine.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.store.storage
    }

    /// The store, with what is beyond the seam.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The memory budget of the process.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// The memory for request bodies.
    pub fn bodies(&self) -> &Room {
        &self.bodies
    }

    /// The queries that run.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// What became of the continuous queries.
    pub fn continuous(&self) -> &ContinuousQueries {
        &self.continuous
    }

    /// The formats that writes can be in.
    pub fn formats(&self) -> &FormatRegistry {
        &self.formats
    }

    /// The way of bytes into the store.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// What clients have said about metrics.
    pub fn metadata(&self) -> &Arc<MetadataStore> {
        &self.metadata
    }

    /// What runs queries.
    pub fn executor(&self) -> Arc<Executor> {
        self.executor.load_full()
    }

    /// Who may do what.
    pub fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    /// What was refused of late.
    pub fn rejects(&self) -> &Rejects {
        &self.rejects
    }

    /// Counts a write, and takes note of what it did not store.
    pub fn written(&self, database: &str, body_bytes: u64, report: &WriteReport) {
        self.exposition.write(WriteRecord {
            body_bytes,
            rows: report.rows,
            lines_refused: report.errors_total,
            fields_ignored: report.ignored_total,
            refused: report.refused,
        });
        self.rejects.note(database, self.env.clock.wall_ns(), report);
    }

    /// The metrics.
    pub fn exposition(&self) -> &Exposition {
        &self.exposition
    }

    /// Whether only this machine can reach the server.
    pub fn is_on_loopback(&self) -> bool {
        self.config().listen.ip().to_canonical().is_loopback()
    }

    /// The text of `/metrics`.
    pub fn render_metrics(&self) -> String {
        let statistics = self.store.storage.snapshot().ok().map(|snapshot| snapshot.statistics());
        self.exposition.auth_failures(self.auth.failures());
        self.exposition.render(self.store.counters(), statistics, &self.budget)
    }

    /// A turn to parse rows of a database and append them.
    ///
    /// # Errors
    /// 503 when none comes free in time.
    pub async fn write_turn(&self, database: &str) -> Result<Turn, ApiError> {
        let turn = timeout(WRITE_TURN_WAIT_MAX, self.write_turns.turn(database)).await;
        turn.map_err(|_| ApiError::overloaded("request throttled, too many writes at once"))
    }

    /// A turn to run statements.
    ///
    /// # Errors
    /// 503 when none comes free in time.
    pub async fn query_turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let reason = "too many queries at once: retry later or raise --query-concurrency";
        turn(&self.query_turns, QUERY_TURN_WAIT_MAX, reason).await
    }

    /// A turn for a query that turns out to be small, if one is free now.
    pub fn small_query_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.small_query_turns).try_acquire_owned().ok()
    }

    /// A turn to run something quick on a thread of the runtime, if one is free now: one of these threads is
    /// always left to the connections.
    pub fn quick_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.quick_turns.try_acquire().ok()
    }

    /// A turn to maintain the storage; there is one, and it takes as long as it takes.
    ///
    /// # Errors
    /// 503 when the server stops.
    pub async fn admin_turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let turns = Arc::clone(&self.admin_turns);
        turns.acquire_owned().await.map_err(|_| ApiError::overloaded("the server is stopping"))
    }

    /// A turn to stream rows in. It may last for hours, so nobody waits for one.
    ///
    /// # Errors
    /// 503 when none is free.
    pub fn stream_turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.stream_turns).try_acquire_owned().map_err(|_| {
            ApiError::overloaded(format!("{STREAMS_MAX} streams are being taken in: retry later"))
        })
    }

    /// The refusal for an error of the storage. The first failure of the disk is kept for `/health`.
    pub fn refuse(&self, error: Error) -> ApiError {
        self.note(&error);
        error.into()
    }

    /// Keeps the first error that only an operator can mend.
    pub fn note(&self, error: &Error) {
        if error.kind() == ErrorKind::StorageFailed && *error != Error::Closed {
            let first = self.storage_failure.set(error.to_string());
            if first.is_ok() {
                tracing::error!(%error, "storage failed");
            }
        }
    }

    /// Why the server is not fit for requests, if it is not.
    pub fn failure(&self) -> Option<String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("the server is stopping".to_owned());
        }
        self.storage_failure.get().cloned().or_else(|| self.store.failure())
    }

    /// From now on `/health` sends load balancers elsewhere.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Turns are owned by the work and not by the request: work on a blocking thread goes on for a while when
/// its client goes away.
async fn turn(
    turns: &Arc<Semaphore>,
    wait_max: Duration,
    reason: &'static str,
) -> Result<OwnedSemaphorePermit, ApiError> {
    match timeout(wait_max, Arc::clone(turns).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(ApiError::overloaded("the server is stopping")),
        Err(_) => Err(ApiError::overloaded(reason)),
    }
}

/// Threads of the runtime: one per core, and two at least, see [`App::quick_turn`].
pub fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

/// Runs `work` on a thread that may block, and hands on its panic.
///
/// # Errors
/// 503 when the server stops before the work begins.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ApiError::overloaded("the server is stopping")),
        },
    }
}

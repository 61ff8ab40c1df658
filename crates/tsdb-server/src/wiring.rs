//! Which parts the server is made of. Whoever brings an engine of their own changes [`open`] and the
//! functions below it, and nothing else in this crate.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::MemoryBudget;
use tsdb_core::counters::StorageCounters;
use tsdb_core::env::Env;
use tsdb_core::storage::Storage;
use tsdb_exec::Executor;
use tsdb_ingest::{FormatRegistry, Pipeline, PipelineOptions};
use tsdb_lsm::{Engine, EngineOptions};

use crate::auth::Auth;
use crate::config::{Config, Durability};
use crate::{Error, Exit};

/// An open store, as the server sees it.
pub struct Store {
    /// The engine behind the seam.
    pub storage: Arc<dyn Storage>,
    counters: Arc<StorageCounters>,
    failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
    snapshots: Option<Snapshots>,
}

/// Makes a snapshot in a directory.
type MakeSnapshot = Box<dyn Fn(&Path) -> tsdb_core::Result<Snapshot> + Send + Sync>;

/// Where snapshots of a store go, and how they are made.
struct Snapshots {
    directory: PathBuf,
    make: MakeSnapshot,
}

/// A snapshot that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Everything up to this sequence number is in it, and nothing later.
    pub sequence: u64,
    /// Run files.
    pub files: u64,
    /// Bytes of the run files.
    pub bytes: u64,
}

impl Store {
    /// A store that counts nothing and never says that it failed.
    pub fn new(storage: Arc<dyn Storage>) -> Store {
        let failure = Box::new(|| None);
        Store { storage, counters: Arc::default(), failure, snapshots: None }
    }

    /// Where snapshots go; `None` for a store that makes none.
    pub fn snapshot_directory(&self) -> Option<&Path> {
        self.snapshots.as_ref().map(|snapshots| snapshots.directory.as_path())
    }

    /// Makes a snapshot in a directory, which must not exist or be empty.
    ///
    /// # Errors
    /// What the engine says; a store that makes none.
    pub fn snapshot_to(&self, target: &Path) -> tsdb_core::Result<Snapshot> {
        match &self.snapshots {
            Some(snapshots) => (snapshots.make)(target),
            None => {
                let what = "this store makes no snapshots".to_owned();
                Err(tsdb_core::Error::Invalid { what })
            }
        }
    }

    /// What the engine counts.
    pub fn counters(&self) -> &StorageCounters {
        &self.counters
    }

    /// Why the engine accepts no writes until a restart, if so it is.
    pub fn failure(&self) -> Option<String> {
        (self.failure)()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Opens the engine on the data directory, replaying its log.
///
/// # Errors
/// [`Error::Storage`]; nothing in the directory was changed then.
pub fn open(config: &Config, env: &Env, budget: &MemoryBudget) -> Result<Store, Error> {
    let options = engine_options(config, env, budget);
    let engine = Engine::open(options).map_err(|error| refusal(&error, &config.data_dir))?;
    let found = engine.recovery();
    tracing::info!(
        rows = found.rows,
        records = found.records,
        clean = found.clean,
        truncated_bytes = found.truncated_bytes,
        "opened the data directory"
    );
    let counters = Arc::clone(engine.counters());
    let watched = Arc::clone(&engine);
    let failure = Box::new(move || watched.failure().map(|error| error.to_string()));
    let copied = Arc::clone(&engine);
    let make: MakeSnapshot = Box::new(move |target| {
        let report = copied.snapshot_to(target)?;
        let (sequence, files, bytes) = (report.sequence, report.files, report.bytes);
        Ok(Snapshot { sequence, files, bytes })
    });
    let snapshots = Some(Snapshots { directory: config.data_dir.join("snapshots"), make });
    Ok(Store { storage: engine, counters, failure, snapshots })
}

/// What the configuration says of the engine.
fn engine_options(config: &Config, env: &Env, budget: &MemoryBudget) -> EngineOptions {
    let mut options = EngineOptions::new(&config.data_dir).with_budget(budget.clone());
    options.env = env.clone();
    options.disk_reserve = config.disk_reserve;
    options.merge_rate = config.merge_rate;
    options.retention_force = config.retention_force;
    options.series_max = config.series_max;
    options.database_series_max = config.database_series_max;
    options.idle_time = config.series_idle_time;
    options.durability = match config.durability {
        Durability::Sync => tsdb_lsm::Durability::Sync,
        Durability::Interval(every) => tsdb_lsm::Durability::Interval(every),
        Durability::Off => tsdb_lsm::Durability::Off,
    };
    options
}

/// Why the engine did not open, with the exit code and what to do.
pub(crate) fn refusal(error: &tsdb_lsm::Error, data_dir: &Path) -> Error {
    let exit = exit_of(error, data_dir);
    let unwritable = exit == Exit::CannotCreate && !matches!(error, tsdb_lsm::Error::Locked { .. });
    let remedy = if unwritable {
        "; make the directory writable for this user, or choose another --data-dir"
    } else {
        ""
    };
    Error::Storage { exit, message: format!("{error}{remedy}") }
}

fn exit_of(error: &tsdb_lsm::Error, data_dir: &Path) -> Exit {
    match error {
        tsdb_lsm::Error::Locked { .. } => Exit::CannotCreate,
        tsdb_lsm::Error::NewerFormat { .. } => Exit::NewerFormat,
        // A file stands where the directory should be.
        tsdb_lsm::Error::Io { path, source, .. }
            if path == data_dir && source.kind() == io::ErrorKind::AlreadyExists =>
        {
            Exit::CannotCreate
        }
        tsdb_lsm::Error::Io { source, .. } => exit_of_io(source),
        tsdb_lsm::Error::Wal(error) => match error {
            tsdb_wal::Error::Io { source, .. } => exit_of_io(source),
            other => match other.kind() {
                tsdb_wal::ErrorKind::Damaged => Exit::Corrupt,
                tsdb_wal::ErrorKind::Newer => Exit::NewerFormat,
                _ => Exit::Io,
            },
        },
        other if other.kind() == tsdb_core::ErrorKind::Corrupt => Exit::Corrupt,
        _ => Exit::Io,
    }
}

/// A directory that cannot be used as it is, or a disk that fails.
fn exit_of_io(source: &io::Error) -> Exit {
    match source.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory => Exit::CannotCreate,
        _ => Exit::Io,
    }
}

/// The formats that `/api/v1/write` takes. Whoever brings a format of their own registers it here.
pub fn formats() -> FormatRegistry {
    FormatRegistry::default()
}

/// The way of bytes into `store`.
pub fn pipeline(config: &Config, store: &Store, env: &Env, budget: &MemoryBudget) -> Pipeline {
    let options = PipelineOptions {
        charset: config.tag_charset,
        // As many as the turns of writes.
        parsers_kept: std::thread::available_parallelism().map_or(1, usize::from),
        hash_seed: env.rng.next_u64(),
        ..PipelineOptions::default()
    };
    Pipeline::new(store.storage.clone(), budget.clone(), options)
}

/// Who may do what, by the accounts in `store`.
pub fn auth(config: &Config, store: &Store, env: &Env) -> Arc<Auth> {
    let root = config.admin_token.as_ref();
    Arc::new(Auth::new(config.auth, root, &store.storage, env))
}

/// What runs statements on `store`.
pub fn executor(config: &Config, store: &Store) -> Executor {
    Executor::new(Arc::clone(&store.storage), config.query_limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, TimeSpan};
    use std::time::Duration;

    #[test]
    fn the_engine_gets_what_is_configured() {
        let (env, budget) = (Env::real(), MemoryBudget::default());
        let options = |typed| engine_options(&Config::from_settings(typed).unwrap(), &env, &budget);
        let usual = options(Settings::default());
        assert_eq!(usual.idle_time, EngineOptions::new("x").idle_time);
        let typed = Settings {
            series_idle_time: Some(TimeSpan(Duration::from_secs(77))),
            series_max: Some(1234),
            database_series_max: Some(567),
            retention_force: Some(true),
            durability: Some(Durability::Off),
            ..Settings::default()
        };
        let options = options(typed);
        assert_eq!((options.idle_time, options.series_max), (Duration::from_secs(77), 1234));
        assert_eq!((usual.database_series_max, options.database_series_max), (None, Some(567)));
        assert!(options.retention_force && options.durability == tsdb_lsm::Durability::Off);
    }

    #[test]
    fn exit_codes_tell_what_a_restart_would_cure() {
        let io = |kind: io::ErrorKind| tsdb_lsm::Error::Io {
            op: "create",
            path: "/data".into(),
            source: Arc::new(kind.into()),
        };
        let corrupt = tsdb_lsm::Error::Corrupt { path: "x".into(), offset: 1, what: "y".into() };
        let newer = tsdb_lsm::Error::NewerFormat { path: "x".into(), version: 9, supported: 1 };
        for (error, exit) in [
            (tsdb_lsm::Error::Locked { path: "x".into() }, 73),
            (io(io::ErrorKind::PermissionDenied), 73),
            (io(io::ErrorKind::ReadOnlyFilesystem), 73),
            (io(io::ErrorKind::NotADirectory), 73),
            (io(io::ErrorKind::AlreadyExists), 73),
            (io(io::ErrorKind::StorageFull), 74),
            (io(io::ErrorKind::Other), 74),
            (corrupt, 65),
            (tsdb_lsm::Error::MissingFile { path: "x".into() }, 65),
            (newer, 66),
        ] {
            let refused = refusal(&error, Path::new("/data"));
            assert_eq!(refused.exit().map(|exit| exit as u8), Some(exit), "{error}");
            let asks_to_choose = refused.to_string().contains("--data-dir");
            assert_eq!(asks_to_choose, exit == 73, "{refused}");
        }
    }
}

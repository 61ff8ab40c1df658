//! How an engine is opened.

use std::path::PathBuf;
use std::time::Duration;

use tsdb_core::env::Env;
use tsdb_core::{MemoryBudget, Pool};

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
    /// Free space of the file system in bytes below which rows are refused, 0 for never; `None` is the
    /// larger of 256 MiB and twice the memtable's memory, at most 5 % of the file system.
    pub disk_reserve: Option<u64>,
    /// Longest segment of the log in bytes.
    pub wal_segment_bytes: u64,
    /// Most series in memory; further ones are refused, known ones go on.
    pub series_max: usize,
    /// Most series in memory of one database, all of its policies together; `None` for as many as there is room for.
    pub database_series_max: Option<usize>,
    /// A series without rows in this many generations, the open one counted, and for [`EngineOptions::idle_time`] is
    /// idle: it may leave memory at a seal, and comes back with its next row. At least 1.
    pub idle_generations: u32,
    /// How long a series is without rows before it is idle, unless half of [`EngineOptions::series_max`] are in memory.
    pub idle_time: Duration,
    /// Idle series that leave at once at least; they must be more than half of all, too.
    pub evict_min: usize,
    /// Bytes a second that merges in the background write while few are due; `None` is as many as they can. What flushes
    /// write counts too, and the more merges are due, the higher it gets. Only with [`EngineOptions::background`].
    pub merge_rate: Option<u64>,
    /// Believe the wall clock for retention when opening, however far it is from where it was; see
    /// [`ClockTrust`](crate::ClockTrust).
    pub retention_force: bool,
    /// Threads that write to runs what the log held, while the store is opened; `None` is as many as there are cores,
    /// or one without [`EngineOptions::background`]. Whatever their number, up to four of them find work, and the files
    /// that they leave are the same.
    pub replay_threads: Option<usize>,
    /// Whether threads do the maintenance; without them the caller takes every step itself.
    pub background: bool,
}

/// Default of [`EngineOptions::idle_time`].
pub const IDLE_TIME_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// Default of [`EngineOptions::merge_rate`].
pub const MERGE_RATE_DEFAULT: u64 = 64 << 20;

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
            disk_reserve: None,
            wal_segment_bytes: 64 << 20,
            series_max: 5_000_000,
            database_series_max: None,
            idle_generations: 2,
            idle_time: IDLE_TIME_DEFAULT,
            evict_min: 10_000,
            retention_force: false,
            replay_threads: None,
            merge_rate: Some(MERGE_RATE_DEFAULT),
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

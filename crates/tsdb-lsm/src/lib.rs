//! The storage engine: memtable, sorted runs, manifest, compaction, deletes, retention, scan.
//!
//! [`Engine`] implements the storage seam of `tsdb-core` on a directory of files. It knows nothing of
//! HTTP, of query text or of input formats, and no crate above names anything in it but [`Engine`] and
//! its options.
//!
//! What holds here, and where it is asserted: rows are seen by whole batches and only once durable (I2,
//! `commit`); nothing is flushed before it is synced (I3, `engine`); files go live by a manifest edit
//! only (I6, `manifest`); replay applies each record once (I7, `recover`); no summary answers for a
//! stretch that two sources share (I11, `scan/merge`); slices of a partition are disjoint in sequence
//! (I12, `manifest/check`).
//!
//! Reading order: `engine`, `record`, `commit`, `memtable`, `view`, `flush`, `manifest`, `sst`, `codec`,
//! `scan`, `delete`, `compaction`, `retention`, `recover`, `maintenance`, `snapshot`.
//!
//! Feature `test-util` adds `bench_support`, the inner pieces that the benches of this crate time alone, and
//! `fuzz_support`, which reads any bytes as files of a store.

#[cfg(feature = "test-util")]
pub mod bench_support;
mod bytes;
mod cache;
mod codec;
mod commit;
mod compaction;
mod delete;
mod disk;
mod engine;
mod error;
mod flush;
#[cfg(feature = "test-util")]
pub mod fuzz_support;
mod maintenance;
mod manifest;
mod memtable;
#[cfg(all(test, shuttle))]
mod models;
mod options;
mod pace;
mod record;
mod recover;
mod retention;
mod scan;
mod snapshot;
mod sst;
mod swap;
mod throttle;
mod view;
mod work;

pub use engine::{Engine, RecoveryReport};
pub use error::{Error, Result};
pub use options::{Durability, EngineOptions, IDLE_TIME_DEFAULT, MERGE_RATE_DEFAULT};
pub use retention::ClockTrust;
pub use snapshot::{Problem, SnapshotReport, VerifyReport, restore, verify};

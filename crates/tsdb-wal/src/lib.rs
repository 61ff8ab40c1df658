//! Write-ahead log: segments, frames, generations, group commit, rotation and recovery.
//!
//! [`Wal`] keeps numbered frames with opaque payloads: it knows nothing of rows, series or deletes.
//! [`PointLog`] is the small store-backing log of [`tsdb_core::DataPoint`]s on top of it, for library
//! users who need no engine.
//!
//! What the log promises, each proved by a test on a simulated disk:
//!
//! - a frame that [`Wal::sync`] covered comes back after any crash, and before it all frames with
//!   smaller numbers: what recovery shows has no holes;
//! - what comes back is what was appended, byte for byte, or the log refuses to open and says where the
//!   damage is; it never silently shows less than was synced. What no log can tell: damage to the very
//!   last synced frames, before any later frame, marker or segment was written, looks like a tail that
//!   was never synced ([`Wal::mark_idle`] keeps that moment short);
//! - after a failed write or sync nothing counts as synced any more (I10), whatever the disk says later;
//! - a lack of space loses nothing: frames wait in memory, without a gap in their numbers.
//!
//! The bytes are drawn in `docs/format/wal.md`. In reading order: [`Wal`] (`wal`), `buffer` (appending),
//! `committer` (writing, rotation, sync, poison), `segment`, `spares` (files that are written over), `frame`
//! (the bytes), `replay`, `reader` and `tail` (recovery), `progress` (numbers that anyone may read), `error`,
//! [`PointLog`] (`point_log`).

mod buffer;
mod committer;
mod error;
mod frame;
mod point_log;
mod progress;
mod reader;
mod replay;
mod segment;
mod spares;
mod tail;
mod wal;

pub use buffer::Position;
pub use error::{AppendError, Damage, Error, ErrorKind, FileOperation, OpenError, Poison, Result};
pub use point_log::PointLog;
pub use progress::Stats;
pub use replay::{Floor, ReplayedFrame};
pub use wal::{LogCheck, Recovery, Sealed, Wal, WalOptions, check};

//! The simulated world of the tests (feature `test-util`): a disk that loses and tears what was not
//! synced, faults on schedule, a clock and randomness under the test's control. Deterministic: the same
//! calls with the same seeds give the same bytes, errors and operation log.
//!
//! Which faults may happen is the durability contract that the engine is built against, as code. The
//! disk here does all of the following and nothing else:
//!
//! - **Crash** ([`CrashChoice`]): of what was not synced, any part may be kept, in any order. A file's
//!   bytes and length are safe after a successful `sync_data`; a name is safe after `sync_dir` of its
//!   directory, and syncing a file does not save its name. A directory operation (create, rename,
//!   unlink, link) happens whole or not at all, and not before the operations on the same directories
//!   that a `sync_dir` covers. A lost name takes its file with it.
//! - **Torn writes**: a write is kept sector by sector (512 bytes). A sector that was not kept holds
//!   what was there before, zeros, or garbage, and the file may have grown over it. Bytes that the write
//!   did not touch are never damaged, not even in the same sector (SQLite's "powersafe overwrite").
//! - **Failed sync** (ATC'20, "Can applications recover from fsync failures?"): the file's unsynced
//!   pages count as clean from then on. They can be read until a crash or [`VfsFile::drop_cache`], a
//!   later sync of the same file succeeds without writing them, and after the crash they are old data
//!   or zeros (or, by chance, what was written).
//! - **Errors on schedule** ([`Fault`]): EIO, ENOSPC, EINTR, short reads and writes; a capacity after
//!   which writes fail with ENOSPC, counting reserved space as used.
//! - **Rot at rest**: [`SimVfs::flip_bit`], and any other change by [`SimVfs::edit`].
//! - **Kill** ([`SimVfs::kill`]): the process ends, the kernel goes on: all written bytes stay readable,
//!   unsynced or not, and locks are free again.
//!
//! Not simulated: a disk that lies about syncs, rot between write and first sync, symbolic links, time
//! that operations take.
//!
//! [`VfsFile::drop_cache`]: super::VfsFile::drop_cache

mod crash;
mod disk;
mod fault;
mod record;
mod time;
mod vfs;

pub use crash::{CrashChoice, Tail};
pub use fault::{Effect, Fault, FaultError, OpKind, ShortLength, When};
pub use record::Recording;
pub use time::{SimClock, SimRng};
pub use vfs::SimVfs;

//! The seams to the world: files ([`Vfs`], [`VfsFile`]), time ([`Clock`]) and randomness ([`Rng`]).
//!
//! Everything that an engine asks of the operating system goes through an [`Env`], so that the same
//! engine runs on real files and, under the feature `test-util`, on a simulated disk that loses and
//! tears what was not synced ([`SimVfs`]). What is not here: threads (they live in a thin shell
//! around the engine's steps), sockets, and every decision about what a file holds.
//!
//! The calls are coarse (a page, a group of frames, a sync), so that one dynamic dispatch per call is
//! noise beside the system call. There is no memory mapping: an I/O error must be an `Err`, not a
//! signal.

use std::{fmt, io, path::Path, sync::Arc};

mod real;
#[cfg(any(test, feature = "test-util"))]
mod sim;

pub use real::{RealClock, RealRng, RealVfs};
#[cfg(any(test, feature = "test-util"))]
pub use sim::{
    CrashChoice, Effect, Fault, FaultError, OpKind, Recording, ShortLength, SimClock, SimRng,
    SimVfs, Tail, When,
};

/// The world as an engine sees it: files, clock and randomness. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Env {
    /// Files and directories.
    pub vfs: Arc<dyn Vfs>,
    /// Wall clock and monotonic clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness: salts, identifiers, jitter.
    pub rng: Arc<dyn Rng>,
}

impl Env {
    /// The real operating system.
    #[must_use]
    pub fn real() -> Self {
        Self {
            vfs: Arc::new(RealVfs::new()),
            clock: Arc::new(RealClock::new()),
            rng: Arc::new(RealRng::new()),
        }
    }
}

/// One name in a directory, as [`Vfs::list`] returns it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last component. A name that is not UTF-8 comes with replacement characters, and so never
    /// equals a name of ours.
    pub name: String,
    /// Length of a file in bytes; 0 for a directory.
    pub bytes: u64,
    /// Whether the entry is a directory.
    pub is_dir: bool,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    /// What an unprivileged process may still write.
    pub free: u64,
    /// Size of the file system.
    pub total: u64,
}

/// What holds a directory lock; dropping it releases the lock.
pub type LockGuard = Box<dyn Send + Sync>;

/// Files and directories. Paths are given whole; nothing depends on a working directory.
///
/// Durability contract: a file's bytes are on the disk after [`VfsFile::sync_data`]; a name (created,
/// renamed, linked, unlinked) is on the disk after [`Vfs::sync_dir`] of the directory that holds it.
/// Syncing a file does not sync its name. A rename is atomic: after a crash the old or the new state
/// is there, never neither, but without `sync_dir` either one.
///
/// Data files are never reached through a symbolic link: opening or creating one whose last path
/// component is a link fails. Files get mode 0600, directories 0700.
pub trait Vfs: Send + Sync + fmt::Debug {
    /// Creates a file that must not exist yet, open for reading and writing, and reserves space for
    /// its first `reserve_bytes` bytes (0: none) as [`VfsFile::reserve`] does. When this fails, no
    /// file is left behind as far as that can be arranged.
    fn create_new(&self, path: &Path, reserve_bytes: u64) -> io::Result<Arc<dyn VfsFile>>;

    /// Opens an existing file for reading. Syncing and dropping its cached pages work on it too.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;

    /// Opens an existing file for reading and writing: for truncation, not for appending to what an
    /// earlier process wrote.
    fn open_rw(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;

    /// Renames atomically, replacing a file at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file. Open handles keep working.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Gives an existing file a second name; fails if `to` exists.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The entries of a directory, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Whether a name exists (a dangling symbolic link does).
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Creates a directory and its missing parents, mode 0700. Fine when it exists. The names are
    /// durable only after `sync_dir` of each parent: see [`create_dir_durable`].
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Room on the file system that holds `dir`.
    fn free_space(&self, dir: &Path) -> io::Result<FreeSpace>;

    /// Locks a directory against other processes, and against a second opener in this one, by an
    /// exclusive lock on the file `LOCK` in it. The lock ends with the guard or with the process,
    /// however that ends, so it is never stale.
    ///
    /// # Errors
    /// `WouldBlock` when someone else holds it.
    fn lock(&self, dir: &Path) -> io::Result<LockGuard>;
}

/// An open file. Positions are explicit, so one handle serves many threads.
pub trait VfsFile: Send + Sync + fmt::Debug {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at or past the end. May be short, and may fail
    /// with `Interrupted`: see [`read_exact_at`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes up to `bytes.len()` bytes at `offset`. May be short, and may fail with `Interrupted`:
    /// see [`write_all_at`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the bytes and the length durable. Never `Interrupted`.
    ///
    /// After a failure the caller must neither retry on this file nor trust what it reads from it:
    /// the kernel may have marked the lost pages clean ("Can applications recover from fsync
    /// failures?", ATC'20).
    fn sync_data(&self) -> io::Result<()>;

    /// As [`sync_data`](Self::sync_data), with all metadata.
    fn sync_all(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes sure that the first `bytes` bytes have space, so that writing them cannot fail for want
    /// of it. The length does not change. Does nothing where the file system cannot.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// Forgets the cached clean pages, so that the next read comes from the disk.
    fn drop_cache(&self) -> io::Result<()>;
}

/// Fills `buffer` from `offset`, going on after short reads and interruptions.
///
/// # Errors
/// `UnexpectedEof` when the file ends first; else what the file answers.
pub fn read_exact_at(file: &dyn VfsFile, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = buffer.get_mut(count..).unwrap_or_default();
                offset = offset.saturating_add(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`, going on after short writes and interruptions.
///
/// # Errors
/// `WriteZero` when the file takes no more; else what the file answers. Some of the bytes may have
/// been written: [`write_prefix_at`] tells how many.
pub fn write_all_at(file: &dyn VfsFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    write_prefix_at(file, bytes, offset).1
}

/// As [`write_all_at`], and says how many bytes were written before the error.
pub fn write_prefix_at(file: &dyn VfsFile, bytes: &[u8], offset: u64) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset.saturating_add(written as u64)) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Creates a directory and its missing parents, and makes their names durable. Fine when it exists.
///
/// # Errors
/// What the file system answers; some of the parents may have been created.
pub fn create_dir_durable(vfs: &dyn Vfs, dir: &Path) -> io::Result<()> {
    let mut parents = Vec::new();
    let mut at = dir;
    while !vfs.exists(at)? {
        let Some(parent) = at.parent() else { break };
        // The parent of a relative path of one component is the working directory.
        at = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        parents.push(at);
    }
    vfs.create_dir(dir)?;
    parents.into_iter().rev().try_for_each(|parent| vfs.sync_dir(parent))
}

/// Wall clock and monotonic clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Nanoseconds since 1970-01-01 UTC, not counting leap seconds; may jump either way.
    fn wall_ns(&self) -> i64;

    /// Nanoseconds since some fixed moment of this process; never goes back.
    fn mono_ns(&self) -> u64;
}

/// A source of random numbers.
pub trait Rng: Send + Sync + fmt::Debug {
    /// 64 random bits.
    fn next_u64(&self) -> u64;

    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            if let Some(random) = random.get(..chunk.len()) {
                chunk.copy_from_slice(random);
            }
        }
    }
}

#[cfg(test)]
mod tests;

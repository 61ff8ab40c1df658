//! The real operating system behind the seams: files of a Unix system, its clocks, its randomness.
//! Nothing here decides anything; what could be decided is an argument.

use std::{
    ffi::OsStr,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rustix::fs::OFlags;

use super::{Clock, DirEntry, FreeSpace, LockGuard, Rng, Vfs, VfsFile};

/// Files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealVfs;

impl RealVfs {
    /// The file system of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// Options shared by all data files: owner only, and never through a symbolic link.
fn data_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

impl Vfs for RealVfs {
    fn create_new(&self, path: &Path, reserve_bytes: u64) -> io::Result<Arc<dyn VfsFile>> {
        let file = RealFile(data_file().write(true).create_new(true).open(path)?);
        if let Err(error) = file.reserve(reserve_bytes) {
            // The first error is the one to report; a leftover is empty and not ours by name.
            drop(std::fs::remove_file(path));
            return Err(error);
        }
        Ok(Arc::new(file))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(RealFile(data_file().open(path)?)))
    }

    fn open_rw(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(RealFile(data_file().write(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Unlinked by someone between the listing and the look.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(DirEntry {
                name: OsStr::to_string_lossy(&entry.file_name()).into_owned(),
                bytes: if metadata.is_dir() { 0 } else { metadata.len() },
                is_dir: metadata.is_dir(),
            });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match std::fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_space(&self, dir: &Path) -> io::Result<FreeSpace> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(FreeSpace {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, dir: &Path) -> io::Result<LockGuard> {
        let file = data_file().write(true).create(true).truncate(false).open(dir.join("LOCK"))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// An open file of the operating system.
#[derive(Debug)]
struct RealFile(File);

impl VfsFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        reserve_keeping_length(&self.0, bytes)
    }

    fn drop_cache(&self) -> io::Result<()> {
        drop_cached_pages(&self.0)
    }
}

#[cfg(target_os = "linux")]
fn reserve_keeping_length(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::{Errno, retry_on_intr},
    };
    match retry_on_intr(|| fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes)) {
        // Not every file system can: then space is found when the bytes are written.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve_keeping_length(_file: &File, _bytes: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn drop_cached_pages(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn drop_cached_pages(_file: &File) -> io::Result<()> {
    Ok(())
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct RealClock {
    /// What `mono_ns` counts from.
    origin: Instant,
}

impl RealClock {
    /// A clock whose monotonic part starts at zero now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn wall_ns(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
        }
    }

    fn mono_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Randomness of the operating system: unpredictable, good for salts and identifiers. Secrets (access
/// tokens) come from a cryptographic source of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealRng;

impl RealRng {
    /// The randomness of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Rng for RealRng {
    fn next_u64(&self) -> u64 {
        // Each `RandomState` has a key of its own, drawn from the system once per thread and stepped
        // from there; SipHash of the constant under it is 64 bits that nobody outside can foresee.
        RandomState::new().hash_one(0x7473_6462_u64)
    }
}

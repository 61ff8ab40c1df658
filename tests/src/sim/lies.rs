//! Planted errors, each of which the crash suites must find: a store that acknowledges before the sync,
//! and a disk that takes syncs and does not carry them out.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tsdb_core::env::{DirEntry, Env, FreeSpace, LockGuard, SimVfs, Vfs, VfsFile};
use tsdb_core::storage::{Resolution, Storage};
use tsdb_core::{
    Append, Catalogue, CatalogueChange, DeleteRequest, FieldSet, Maintain, NamespaceId, Result,
    Select, SeriesKey, Snapshot, Ticket, WriteBatch,
};
use tsdb_lsm::Engine;

use super::Setup;

/// Tickets of this store are complete at once.
pub const ACKNOWLEDGES_EARLY: Setup = Setup { front: acknowledges_early, ..Setup::HONEST };

/// The engine's files are never synced.
pub const SKIPS_FILE_SYNC: Setup = Setup { env: |disk| lying(disk, true, false), ..Setup::HONEST };

/// The engine's directories are never synced.
pub const SKIPS_DIRECTORY_SYNC: Setup =
    Setup { env: |disk| lying(disk, false, true), ..Setup::HONEST };

fn acknowledges_early(engine: Arc<Engine>) -> Arc<dyn Storage> {
    Arc::new(Early(engine))
}

struct Early(Arc<Engine>);

impl Append for Early {
    fn resolve(
        &self,
        namespace: NamespaceId,
        series: &[SeriesKey],
        field_sets: &[FieldSet],
    ) -> Result<Resolution> {
        self.0.resolve(namespace, series, field_sets)
    }

    fn append(&self, batch: &WriteBatch) -> Result<Ticket> {
        Ok(Ticket::completed(self.0.append(batch)?.seq()))
    }

    fn delete(&self, request: &DeleteRequest) -> Result<Ticket> {
        self.0.delete(request)
    }

    fn change_catalogue(&self, change: &CatalogueChange) -> Result<Ticket> {
        self.0.change_catalogue(change)
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        self.0.catalogue()
    }
}

impl Select for Early {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        self.0.snapshot()
    }
}

impl Maintain for Early {
    fn flush(&self) -> Result<()> {
        self.0.flush()
    }

    fn compact(&self) -> Result<()> {
        self.0.compact()
    }

    fn retain(&self, now_ns: i64) -> Result<usize> {
        self.0.retain(now_ns)
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }
}

fn lying(disk: &SimVfs, skips_files: bool, skips_directories: bool) -> Env {
    let vfs = Arc::new(LyingVfs { disk: disk.clone(), skips_files, skips_directories });
    Env { vfs, ..disk.env() }
}

#[derive(Debug)]
struct LyingVfs {
    disk: SimVfs,
    skips_files: bool,
    skips_directories: bool,
}

impl LyingVfs {
    fn file(&self, file: Arc<dyn VfsFile>) -> Arc<dyn VfsFile> {
        if self.skips_files { Arc::new(LyingFile(file)) } else { file }
    }
}

impl Vfs for LyingVfs {
    fn create_new(&self, path: &Path, reserve_bytes: u64) -> io::Result<Arc<dyn VfsFile>> {
        self.disk.create_new(path, reserve_bytes).map(|file| self.file(file))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.disk.open_read(path).map(|file| self.file(file))
    }

    fn open_rw(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.disk.open_rw(path).map(|file| self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.link(from, to)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.skips_directories { Ok(()) } else { self.disk.sync_dir(dir) }
    }

    fn free_space(&self, dir: &Path) -> io::Result<FreeSpace> {
        self.disk.free_space(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<LockGuard> {
        self.disk.lock(dir)
    }
}

#[derive(Debug)]
struct LyingFile(Arc<dyn VfsFile>);

impl VfsFile for LyingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.0.reserve(bytes)
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.0.drop_cache()
    }
}

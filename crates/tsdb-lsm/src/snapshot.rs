//! Copies of a store as of one sequence number: snapshots of a running one, restoring, and checking a directory.
//!
//! A snapshot is a data directory of its own: hard links to runs, which never change, and a manifest that names
//! them. It becomes one by the rename of that manifest, as everything does (I6); without it a directory is the
//! remains of a snapshot that a crash ended, and the next one of the same name takes its place.

mod verify;

use std::path::Path;

use tsdb_core::env::{Env, VfsFile, create_dir_durable, read_exact_at, write_all_at};

use crate::engine::{Engine, Shared};
use crate::error::{Error, Result};
use crate::manifest::{self, FILE_NAME, Manifest, run_number, run_path, runs_directory};
use crate::recover::lock_directory;

pub use verify::{Problem, VerifyReport, verify};

/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// What a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// Every batch, delete and change of the catalogue up to this sequence number is in it, and nothing later.
    pub sequence: u64,
    /// Run files.
    pub files: u64,
    /// Bytes of the run files.
    pub bytes: u64,
    /// Rows, counting those that are written again or deleted in another run.
    pub rows: u64,
}

impl SnapshotReport {
    fn of(manifest: &Manifest) -> SnapshotReport {
        SnapshotReport {
            sequence: manifest.flushed_through,
            files: manifest.files.len() as u64,
            bytes: manifest.files.values().map(|file| file.meta.bytes).sum(),
            rows: manifest.slices().map(|(_, meta)| meta.rows).sum(),
        }
    }
}

impl Engine {
    /// Makes a snapshot in the directory `target`, which must not exist or be empty: everything that was numbered
    /// before the call. Seals and flushes, then links the runs; where `target` is on another file system, they are
    /// copied. Writes and queries go on; flushes and merges wait while files are linked.
    ///
    /// # Errors
    /// A target that is not empty, a failing disk; the store is as it was, and what was begun of the target can be
    /// removed or tried again.
    pub fn snapshot_to(&self, target: &Path) -> Result<SnapshotReport> {
        let shared = &self.shared;
        shared.check_open()?;
        shared.check_healthy()?;
        shared.flush_all()?;
        shared.snapshot_to(target)
    }
}

impl Shared {
    fn snapshot_to(&self, target: &Path) -> Result<SnapshotReport> {
        let (env, source) = (&self.options.env, &self.options.directory);
        prepare(env, target)?;
        // Files go after the edit that drops them, under this lock: none goes while it is held.
        let _guard = self.manifest_lock();
        let view = self.view.load_full();
        let mut manifest = view.version.manifest.clone();
        // Its log is empty: nothing beyond the runs is there.
        manifest.synced_upto = manifest.flushed_through;
        for (file, entry) in &manifest.files {
            let (from, to) = (run_path(source, *file), run_path(target, *file));
            match env.vfs.link(&from, &to) {
                Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                    copy(env, &from, &to, entry.meta.bytes)?;
                }
                linked => linked.map_err(Error::io("link", &to))?,
            }
        }
        publish(env, target, &manifest)?;
        Ok(SnapshotReport::of(&manifest))
    }
}

/// Copies the snapshot or the stopped store in `source` to the directory `target`, which must not exist or be
/// empty, and reads everything of it: what is damaged is never restored.
///
/// # Errors
/// A target that is not empty, a source that is in use, damaged, no store, or has rows in its log (start and stop
/// a server on it first); a failing disk.
pub fn restore(env: &Env, source: &Path, target: &Path) -> Result<SnapshotReport> {
    let missing = || Error::MissingFile { path: source.join(FILE_NAME) };
    let Some(found) = manifest::read(env, source)? else { return Err(missing()) };
    let _lock = lock_directory(env, source)?;
    let wal = source.join("wal");
    let has_log = env.vfs.exists(&wal).map_err(Error::io("look for", &wal))?
        && !env.vfs.list(&wal).map_err(Error::io("list", &wal))?.is_empty();
    if has_log {
        let what =
            "it has rows in its log: start and stop a server on it, or take a snapshot of it";
        return Err(refused(source, what));
    }
    prepare(env, target)?;
    for (file, entry) in &found.files {
        let to = run_path(target, *file);
        copy(env, &run_path(source, *file), &to, entry.meta.bytes)?;
        verify::check_run(env, &to, &entry.meta, found.database_id)?;
    }
    publish(env, target, &found)?;
    Ok(SnapshotReport::of(&found))
}

fn refused(path: &Path, what: &str) -> Error {
    Error::Core(tsdb_core::Error::Invalid { what: format!("{}: {what}", path.display()) })
}

/// Makes an empty store's directories of `target`, without a manifest; removes what a snapshot left there that did
/// not get its manifest.
fn prepare(env: &Env, target: &Path) -> Result<()> {
    let entries = match env.vfs.list(target) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("list", target)(error)),
    };
    let ours = ["runs", "wal", "LOCK", manifest::NEW_NAME];
    if entries.iter().any(|entry| !ours.contains(&entry.name.as_str())) {
        return Err(refused(target, "it is not empty: choose a directory that does not exist"));
    }
    let runs = runs_directory(target);
    for directory in [&runs, &target.join("wal")] {
        create_dir_durable(&*env.vfs, directory).map_err(Error::io("create", directory))?;
        for entry in env.vfs.list(directory).map_err(Error::io("list", directory))? {
            let path = directory.join(&entry.name);
            if directory != &runs || run_number(&entry.name).is_none() {
                return Err(refused(&path, "it is no part of a snapshot: remove it first"));
            }
            env.vfs.unlink(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Makes a store of a directory that has its runs.
fn publish(env: &Env, target: &Path, manifest: &Manifest) -> Result<()> {
    let runs = runs_directory(target);
    env.vfs.sync_dir(&runs).map_err(Error::io("sync", &runs))?;
    manifest::write(env, target, None, manifest).map_err(|failure| failure.error)
}

/// Copies a file of `bytes` bytes, and syncs the copy.
fn copy(env: &Env, from: &Path, to: &Path, bytes: u64) -> Result<()> {
    let source = env.vfs.open_read(from).map_err(Error::io("open", from))?;
    let target = env.vfs.create_new(to, bytes).map_err(Error::io("create", to))?;
    let copied = copy_bytes(&*source, from, &*target, to, bytes);
    if copied.is_err() {
        // What cannot be removed has no manifest that names it.
        let _ = env.vfs.unlink(to);
    }
    copied
}

fn copy_bytes(
    source: &dyn VfsFile,
    from: &Path,
    target: &dyn VfsFile,
    to: &Path,
    bytes: u64,
) -> Result<()> {
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < bytes {
        let length = (bytes - at).min(COPY_BYTES as u64);
        buffer.resize(usize::try_from(length).unwrap_or(COPY_BYTES), 0);
        read_exact_at(source, &mut buffer, at).map_err(Error::io("read", from))?;
        write_all_at(target, &buffer, at).map_err(Error::io("write", to))?;
        at += length;
    }
    target.sync_all().map_err(Error::io("sync", to))
}

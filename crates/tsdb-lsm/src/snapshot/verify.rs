//! Checks everything in a data directory and changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::MemoryBudget;
use tsdb_core::counters::StorageCounters;
use tsdb_core::env::Env;
use tsdb_wal::{Floor, check};

use crate::cache::PageCache;
use crate::error::{Error, Result};
use crate::manifest::{self, FILE_NAME, Manifest, run_number, run_path, runs_directory};
use crate::recover::lock_directory;
use crate::sst::{Run, RunMeta};

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Run files that were read whole and are sound.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Rows in these, without the slices that merges and retention have let go.
    pub rows: u64,
    /// Records in the log.
    pub records: u64,
    /// Bytes at the end of the log that were written and never synced; a start cuts them off.
    pub torn_bytes: u64,
    /// Run files that the manifest does not name; a start removes them.
    pub orphans: u64,
    /// What is wrong; empty for a sound directory.
    pub problems: Vec<Problem>,
}

/// A file that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What was found, with the place and the remedy.
    pub what: String,
}

/// Reads every page, record and directory of the store in `directory`, which no process may have open, and checks
/// all checksums and what the parts say of each other. O(bytes of the directory), with one row group in memory.
///
/// # Errors
/// A directory that is in use, that is no store, or that cannot be read. Damage is no error but in the report.
pub fn verify(env: &Env, directory: &Path) -> Result<VerifyReport> {
    let path = directory.join(FILE_NAME);
    // Looked for first, since the lock leaves a file.
    if !env.vfs.exists(&path).map_err(Error::io("look for", &path))? {
        return Err(Error::MissingFile { path });
    }
    let _lock = lock_directory(env, directory)?;
    let mut report = VerifyReport::default();
    let manifest = match manifest::read(env, directory) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Err(Error::MissingFile { path }),
        Err(error) => {
            report.note(&path, &error)?;
            return Ok(report);
        }
    };
    check_runs(env, directory, &manifest, &mut report)?;
    check_log(env, directory, &manifest, &mut report)?;
    Ok(report)
}

impl VerifyReport {
    /// Enters what is wrong with a file; what cannot be read for another reason is an error.
    fn note(&mut self, path: &Path, error: &Error) -> Result<()> {
        if let Error::Io { op, source, .. } = error
            && source.kind() != std::io::ErrorKind::UnexpectedEof
        {
            return Err(Error::Io { op, path: path.to_owned(), source: Arc::clone(source) });
        }
        self.problems.push(Problem { path: path.to_owned(), what: error.to_string() });
        Ok(())
    }
}

fn check_runs(
    env: &Env,
    directory: &Path,
    manifest: &Manifest,
    report: &mut VerifyReport,
) -> Result<()> {
    for (file, entry) in &manifest.files {
        let path = run_path(directory, *file);
        match check_run(env, &path, &entry.meta, manifest.database_id) {
            Ok(()) => {
                report.files += 1;
                report.bytes += entry.meta.bytes;
                report.rows += entry.live().map(|(_, slice)| slice.rows).sum::<u64>();
            }
            Err(error) => report.note(&path, &error)?,
        }
    }
    let runs = runs_directory(directory);
    let names = env.vfs.list(&runs).map_err(Error::io("list", &runs))?;
    let numbers = names.iter().filter_map(|entry| run_number(&entry.name));
    report.orphans = numbers.filter(|number| !manifest.files.contains_key(number)).count() as u64;
    Ok(())
}

/// Opens a run and reads all of it.
pub(super) fn check_run(
    env: &Env,
    path: &Path,
    meta: &RunMeta,
    database_id: [u8; 16],
) -> Result<()> {
    let no_cache =
        PageCache::new(&MemoryBudget::with_limits([0; 5]), &StorageCounters::default().into());
    Run::open(env, path, meta, database_id, &Arc::new(no_cache))?.verify()
}

fn check_log(
    env: &Env,
    directory: &Path,
    manifest: &Manifest,
    report: &mut VerifyReport,
) -> Result<()> {
    let wal = directory.join("wal");
    if !env.vfs.exists(&wal).map_err(Error::io("look for", &wal))? {
        return Ok(());
    }
    let floor = Floor {
        flushed_through: manifest.flushed_through,
        synced_upto: manifest.synced_upto,
        next_seq: manifest.flushed_through + 1,
        oldest_generation: manifest.oldest_generation,
    };
    match check(env, &wal, manifest.database_id, floor) {
        Ok(found) => (report.records, report.torn_bytes) = (found.frames, found.torn_bytes),
        Err(error) => {
            let what = error.to_string();
            match error.kind() {
                tsdb_wal::ErrorKind::Damaged | tsdb_wal::ErrorKind::Newer => {
                    report.problems.push(Problem { path: wal, what });
                }
                _ => return Err(Error::Wal(error)),
            }
        }
    }
    Ok(())
}

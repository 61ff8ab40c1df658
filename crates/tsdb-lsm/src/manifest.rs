//! The manifest: which files, slices, deletes and namespaces are live. Writing it is the only commit
//! point of the engine.
//!
//! It is written whole, to a new file that is synced and then renamed over the old one, so that a crash
//! leaves the old or the new one; the previous one is kept beside it for diagnosis. Every change is
//! checked against named predicates before it is written. Bytes: `docs/format/manifest.md`.

mod check;
mod format;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tsdb_core::env::{Env, read_exact_at, write_all_at};
use tsdb_core::hash::HashKey;
use tsdb_core::{Catalogue, DeleteRequest, NamespaceId};

use crate::error::{Error, Result};
use crate::sst::{RunMeta, SliceMeta};

pub(crate) const FILE_NAME: &str = "MANIFEST";
pub(crate) const NEW_NAME: &str = "MANIFEST.new";
const PREVIOUS_NAME: &str = "MANIFEST.previous";

/// Largest manifest that is read: a million slices.
const BYTES_MAX: u64 = 128 << 20;

/// A slice by the file that holds it and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SliceId {
    pub file: u64,
    pub slice: u32,
}

/// A delete that still hides rows of older runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeleteEntry {
    pub seq: u64,
    pub request: DeleteRequest,
}

/// One file: what it is, and which of its slices a merge or retention has taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileEntry {
    pub meta: RunMeta,
    pub dead: BTreeSet<u32>,
}

impl FileEntry {
    /// Slices that are still read, with their places.
    pub(crate) fn live(&self) -> impl Iterator<Item = (u32, &SliceMeta)> {
        (0u32..).zip(&self.meta.slices).filter(|(place, _)| !self.dead.contains(place))
    }

    /// Rows of all slices, also of those that are not read any more. O(slices).
    pub(crate) fn rows(&self) -> u64 {
        self.meta.slices.iter().map(|slice| slice.rows).fold(0, u64::saturating_add)
    }

    /// About how many bytes a slice takes of the file's, which has `rows` rows.
    pub(crate) fn bytes_of(&self, slice: u32, rows: u64) -> u64 {
        let own = self.meta.slices.get(slice as usize).map_or(0, |slice| slice.rows);
        let part = u128::from(self.meta.bytes) * u128::from(own) / u128::from(rows.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}

/// The state that one manifest holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    pub database_id: [u8; 16],
    pub hash_key: HashKey,
    pub next_file: u64,
    /// All batches up to this number are in runs, deleted or expired.
    pub flushed_through: u64,
    /// All batches up to this number were synced in the log when this was written.
    pub synced_upto: u64,
    /// Log generations below this one are of no use any more.
    pub oldest_generation: u64,
    pub catalogue: Catalogue,
    pub files: BTreeMap<u64, FileEntry>,
    pub deletes: Vec<DeleteEntry>,
}

impl Manifest {
    /// The state of an empty store.
    pub(crate) fn new(database_id: [u8; 16], hash_key: HashKey) -> Manifest {
        Manifest {
            database_id,
            hash_key,
            next_file: 1,
            flushed_through: 0,
            synced_upto: 0,
            oldest_generation: 0,
            catalogue: Catalogue::default(),
            files: BTreeMap::new(),
            deletes: Vec::new(),
        }
    }

    /// All live slices.
    pub(crate) fn slices(&self) -> impl Iterator<Item = (SliceId, &SliceMeta)> {
        self.files.iter().flat_map(|(file, entry)| {
            entry.live().map(|(slice, meta)| (SliceId { file: *file, slice }, meta))
        })
    }

    /// Live slices of each (namespace, partition), in order of their numbers.
    pub(crate) fn partitions(&self) -> BTreeMap<(NamespaceId, i64), Vec<(SliceId, &SliceMeta)>> {
        let mut partitions: BTreeMap<(NamespaceId, i64), Vec<(SliceId, &SliceMeta)>> =
            BTreeMap::new();
        for (id, meta) in self.slices() {
            partitions.entry((meta.namespace, meta.partition_start)).or_default().push((id, meta));
        }
        partitions.values_mut().for_each(|slices| slices.sort_by_key(|(_, meta)| meta.seq_min));
        partitions
    }

    /// About how many bytes of files a slice takes: its part of its file, by rows.
    pub(crate) fn bytes_of(&self, id: SliceId) -> u64 {
        self.files.get(&id.file).map_or(0, |file| file.bytes_of(id.slice, file.rows()))
    }

    /// Marks a slice as dead; its file goes with its last slice.
    pub(crate) fn kill(&mut self, id: SliceId) {
        if let Some(file) = self.files.get_mut(&id.file) {
            file.dead.insert(id.slice);
            if file.live().next().is_none() {
                self.files.remove(&id.file);
            }
        }
    }

    /// Removes slices of namespaces that are gone, and deletes that hide nothing any more: those without
    /// a slice of smaller numbers in their namespace and time.
    pub(crate) fn tidy(&mut self) {
        let namespaces: BTreeSet<NamespaceId> =
            self.catalogue.namespaces().map(|namespace| namespace.id).collect();
        let gone: Vec<SliceId> = self
            .slices()
            .filter(|(_, meta)| !namespaces.contains(&meta.namespace))
            .map(|(id, _)| id)
            .collect();
        gone.into_iter().for_each(|id| self.kill(id));
        let slices: Vec<SliceMeta> = self.slices().map(|(_, meta)| meta.clone()).collect();
        self.deletes.retain(|delete| {
            slices.iter().any(|slice| {
                slice.namespace == delete.request.namespace
                    && slice.seq_max < delete.seq
                    && slice.t_min < delete.request.time.end
                    && slice.t_max >= delete.request.time.start
            })
        });
    }
}

/// Path of the run file with number `file`.
pub(crate) fn run_path(directory: &Path, file: u64) -> PathBuf {
    runs_directory(directory).join(format!("{file:010}.run"))
}

/// Directory of the run files.
pub(crate) fn runs_directory(directory: &Path) -> PathBuf {
    directory.join("runs")
}

/// Number of a run file by its name; `None` for names that are not ours.
pub(crate) fn run_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".run")?;
    let number: u64 = digits.parse().ok()?;
    (format!("{number:010}") == digits && number < check::NUMBER_MAX).then_some(number)
}

/// Reads and checks the manifest of `directory`; `None` where there is none.
pub(crate) fn read(env: &Env, directory: &Path) -> Result<Option<Manifest>> {
    let path = directory.join(FILE_NAME);
    let file = match env.vfs.open_read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    let length = file.len().map_err(Error::io("measure", &path))?;
    if length > BYTES_MAX {
        let what = format!("{length} bytes are more than a manifest can have");
        return Err(Error::Corrupt { path, offset: 0, what });
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    read_exact_at(&*file, &mut bytes, 0).map_err(Error::io("read", &path))?;
    let manifest = format::decode(&path, &bytes)?;
    Ok(Some(manifest))
}

/// The bytes of what `bytes` are understood as: the entry for fuzzing.
#[cfg(feature = "test-util")]
pub(crate) fn written_again(bytes: &[u8]) -> Result<Vec<u8>> {
    let manifest = format::decode(Path::new(FILE_NAME), bytes)?;
    Ok(format::encode(&manifest))
}

/// Why a manifest was not written.
pub(crate) struct WriteFailure {
    pub error: Error,
    /// The rename may or may not be on disk, so nobody knows which manifest a restart will find.
    pub in_doubt: bool,
}

/// Commits `new` in place of `old`: afterwards a crash finds `new`. After a failure that is not in doubt
/// the old manifest is in force.
pub(crate) fn write(
    env: &Env,
    directory: &Path,
    old: Option<&Manifest>,
    new: &Manifest,
) -> std::result::Result<(), WriteFailure> {
    check::assert_valid(old, new);
    let path = directory.join(FILE_NAME);
    let new_path = directory.join(NEW_NAME);
    prepare(env, directory, old.is_some(), &new_path, &format::encode(new))
        .map_err(|error| WriteFailure { error, in_doubt: false })?;
    // Files go live by this rename, and by nothing else (I6).
    let renamed = env.vfs.rename(&new_path, &path).map_err(Error::io("rename", &path));
    renamed
        .and_then(|()| env.vfs.sync_dir(directory).map_err(Error::io("sync", directory)))
        .map_err(|error| WriteFailure { error, in_doubt: true })
}

/// Writes and syncs the new file, and keeps the old one under its second name.
fn prepare(
    env: &Env,
    directory: &Path,
    has_old: bool,
    new_path: &Path,
    bytes: &[u8],
) -> Result<()> {
    remove_if_present(env, new_path)?;
    let file = env.vfs.create_new(new_path, 0).map_err(Error::io("create", new_path))?;
    write_all_at(&*file, bytes, 0).map_err(Error::io("write", new_path))?;
    file.sync_all().map_err(Error::io("sync", new_path))?;
    if has_old {
        let (path, previous) = (directory.join(FILE_NAME), directory.join(PREVIOUS_NAME));
        remove_if_present(env, &previous)?;
        env.vfs.link(&path, &previous).map_err(Error::io("link", &previous))?;
    }
    Ok(())
}

fn remove_if_present(env: &Env, path: &Path) -> Result<()> {
    match env.vfs.unlink(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! One segment on disk: its name, its creation, in a new file or over an old one, and growth by whole frames
//! with space reserved ahead.
//! When to rotate and what a failure means for the log is the committer's business.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tsdb_core::env::{Vfs, VfsFile, write_prefix_at};

use crate::{
    error::FileOperation,
    frame::{FrameSeed, HEADER_BYTES, NUMBER_MAX, Predecessor, SegmentHeader},
    spares::Spare,
};

/// Name of a segment: its number in decimal, so that names sort as numbers do.
pub(crate) fn file_name(segment: u64) -> String {
    format!("{segment:020}.wal")
}

/// The number of a segment's name; `None` for any other file, which is then none of ours. Numbers above
/// [`NUMBER_MAX`] are not given.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| *number <= NUMBER_MAX)
}

/// What stopped an operation on a segment.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) operation: FileOperation,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl Failure {
    pub(crate) fn new(operation: FileOperation, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_path_buf(), source }
    }
}

/// A segment that takes frames.
#[derive(Debug)]
pub(crate) struct Segment {
    file: Arc<dyn VfsFile>,
    pub(crate) path: PathBuf,
    pub(crate) id: u64,
    pub(crate) generation: u64,
    pub(crate) seed: FrameSeed,
    /// Bytes of it that count: the header and whole frames.
    pub(crate) length: u64,
    /// Highest number in it or before it.
    pub(crate) last_seq: u64,
    /// Highest `synced_upto` in it.
    pub(crate) witness: u64,
    /// Bytes of the file that have space.
    reserved: u64,
    synced_length: u64,
    /// Ends in a partial frame: nothing may follow.
    pub(crate) abandoned: bool,
}

impl Segment {
    /// Creates a segment and makes its header and its name durable, before any frame goes in.
    ///
    /// On failure the file is unlinked as far as possible; its number must not be used again.
    pub(crate) fn create(
        vfs: &dyn Vfs,
        dir: &Path,
        header: &SegmentHeader,
        reserve_bytes: u64,
    ) -> Result<Self, Failure> {
        let path = dir.join(file_name(header.segment));
        let file = vfs
            .create_new(&path, reserve_bytes)
            .map_err(|error| Failure::new(FileOperation::Create, &path, error))?;
        let (bytes, seed) = header.encode();
        if let (_, Err(error)) = write_prefix_at(&*file, &bytes, 0) {
            // Best effort: a leftover without a sound header is known as such at the next start.
            drop(vfs.unlink(&path));
            return Err(Failure::new(FileOperation::Write, &path, error));
        }
        file.sync_all().map_err(|error| Failure::new(FileOperation::Sync, &path, error))?;
        vfs.sync_dir(dir).map_err(|error| Failure::new(FileOperation::SyncDir, dir, error))?;
        Ok(Self::begun(file, path, header, seed, reserve_bytes))
    }

    /// As [`create`](Self::create), over the bytes of a spare file, which gets the segment's name when the
    /// header in it is durable.
    ///
    /// On failure the spare is unlinked as far as possible.
    pub(crate) fn write_over(
        vfs: &dyn Vfs,
        dir: &Path,
        spare: &Spare,
        header: &SegmentHeader,
    ) -> Result<Self, Failure> {
        let path = dir.join(file_name(header.segment));
        let begin = || {
            let failed = |operation| {
                let path = &spare.path;
                move |error| Failure::new(operation, path, error)
            };
            let file = vfs.open_rw(&spare.path).map_err(failed(FileOperation::Create))?;
            let stale_bytes = file.len().map_err(failed(FileOperation::Create))?;
            let (bytes, seed) = SegmentHeader { stale_bytes, ..header.clone() }.encode();
            write_prefix_at(&*file, &bytes, 0).1.map_err(failed(FileOperation::Write))?;
            file.sync_all().map_err(failed(FileOperation::Sync))?;
            vfs.rename(&spare.path, &path).map_err(failed(FileOperation::Create))?;
            Ok(Self::begun(file, path.clone(), header, seed, stale_bytes))
        };
        let segment = begin().inspect_err(|_| drop(vfs.unlink(&spare.path)))?;
        vfs.sync_dir(dir).map_err(|error| Failure::new(FileOperation::SyncDir, dir, error))?;
        Ok(segment)
    }

    fn begun(
        file: Arc<dyn VfsFile>,
        path: PathBuf,
        header: &SegmentHeader,
        seed: FrameSeed,
        reserved: u64,
    ) -> Self {
        Self {
            file,
            path,
            id: header.segment,
            generation: header.generation,
            seed,
            length: HEADER_BYTES as u64,
            last_seq: header.first_seq.saturating_sub(1),
            witness: header.synced_upto,
            reserved,
            synced_length: HEADER_BYTES as u64,
            abandoned: false,
        }
    }

    /// Cuts off what the file has behind the frames, if that can be done: nobody needs it, and a reader
    /// would have to look at it.
    pub(crate) fn trim(&mut self) {
        if !self.abandoned && self.file.len().is_ok_and(|bytes| bytes > self.length) {
            drop(self.file.set_len(self.length));
            self.reserved = self.length;
        }
    }

    /// Length of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file.len().unwrap_or(0).max(self.length)
    }

    /// Whether it holds no frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == HEADER_BYTES as u64
    }

    /// Whether all that counts in it is synced.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced_length == self.length
    }

    /// What the header of the next segment says about this one.
    pub(crate) fn as_predecessor(&self) -> Predecessor {
        Predecessor { segment: self.id, length: self.length, last_seq: self.last_seq }
    }

    /// Makes sure that `bytes` more have space, in steps of `step`, so that space runs out here and
    /// not inside a frame.
    pub(crate) fn reserve(&mut self, bytes: usize, step: u64) -> Result<(), Failure> {
        let end = self.length.saturating_add(bytes as u64);
        if end <= self.reserved {
            return Ok(());
        }
        let target = end.checked_next_multiple_of(step.max(1)).unwrap_or(end);
        self.file
            .reserve(target)
            .map_err(|error| Failure::new(FileOperation::Write, &self.path, error))?;
        self.reserved = target;
        Ok(())
    }

    /// Writes sealed frames at the end. Says how many bytes got there; if not all, the segment is
    /// abandoned, and the caller settles with [`keep`](Self::keep) how many of them are whole frames.
    pub(crate) fn write(&mut self, frames: &[u8]) -> (usize, Result<(), Failure>) {
        let (written, result) = write_prefix_at(&*self.file, frames, self.length);
        let result = result.map_err(|error| {
            self.abandoned = true;
            Failure::new(FileOperation::Write, &self.path, error)
        });
        (written, result)
    }

    /// Counts written bytes as the segment's own.
    pub(crate) fn keep(&mut self, bytes: usize, last_seq: u64, witness: u64) {
        self.length += bytes as u64;
        self.last_seq = last_seq;
        self.witness = self.witness.max(witness);
    }

    /// Makes all that was written durable. After a failure the file may not be synced again.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        self.file
            .sync_data()
            .map_err(|error| Failure::new(FileOperation::Sync, &self.path, error))?;
        self.synced_length = self.length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers_and_sort_as_such() {
        for id in [1, 9, 10, NUMBER_MAX] {
            assert_eq!(parse_file_name(&file_name(id)), Some(id));
        }
        assert!(file_name(9) < file_name(10));
        for foreign in
            ["1.wal", "LOCK", "0000000000000000000x.wal", "99999999999999999999.wal", ".wal"]
        {
            assert_eq!(parse_file_name(foreign), None, "{foreign}");
        }
        assert_eq!(parse_file_name(&file_name(u64::MAX)), None, "no number can follow");
    }
}

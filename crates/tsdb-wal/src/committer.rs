//! The writing side: takes frames from the buffer to the segments, rotates, syncs, and decides what a
//! failure means. One caller works at a time, under the lock that holds the [`Committer`]; what others
//! append meanwhile is covered by the next round.
//!
//! The order that recovery relies on (docs/format/wal.md): a segment is created only when all before
//! it is synced, and takes frames only when its header and its name are synced. So at most one segment
//! has unsynced frames, and the header of each vouches for everything before it.

use std::{collections::VecDeque, io, path::PathBuf, sync::atomic::Ordering};

use tsdb_core::env::Env;
use tsdb_core::planted::{Planted, is_planted};
use tsdb_core::sync::Mutex;

use crate::{
    buffer::{AppendBuffer, Chunk},
    error::{Error, FileOperation, Poison, Result},
    frame::{FrameHeader, Predecessor, SegmentHeader, begin_frame, end_frame, seal_frame},
    progress::Progress,
    segment::{Failure, Segment},
    spares::{self, Spare, Spares},
};

/// A segment that takes no more frames.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) path: PathBuf,
    pub(crate) generation: u64,
    /// What counts of it.
    pub(crate) bytes: u64,
    /// Length of the file; 0 if an earlier process wrote it, as nothing is written over that.
    pub(crate) file_bytes: u64,
}

/// What the committer was told at opening.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) dir: PathBuf,
    pub(crate) database_id: [u8; 16],
    pub(crate) segment_bytes_max: u64,
    pub(crate) reserve_bytes: u64,
    pub(crate) spare_bytes_max: usize,
}

#[derive(Debug)]
pub(crate) struct Committer {
    env: Env,
    settings: Settings,
    /// Frames taken from the buffer and not yet wholly written, oldest first.
    queue: VecDeque<Chunk>,
    spare: Vec<u8>,
    current: Option<Segment>,
    /// Oldest first.
    closed: VecDeque<Closed>,
    /// Files of removed segments.
    spares: Spares,
    /// Where the last segment ended, when there is no current one.
    predecessor: Predecessor,
    next_segment: u64,
    /// Highest `synced_upto` that is itself synced.
    witnessed: u64,
}

impl Committer {
    pub(crate) fn new(
        env: Env,
        settings: Settings,
        closed: Vec<Closed>,
        predecessor: Predecessor,
        next_segment: u64,
    ) -> Self {
        Self {
            env,
            settings,
            queue: VecDeque::new(),
            spare: Vec::new(),
            current: None,
            closed: closed.into(),
            spares: Spares::default(),
            predecessor,
            next_segment,
            witnessed: 0,
        }
    }

    /// Writes all frames of the buffer; no sync, except where a rotation needs one.
    pub(crate) fn write_out(
        &mut self,
        buffer: &Mutex<AppendBuffer>,
        progress: &Progress,
    ) -> Result<()> {
        let spare = std::mem::take(&mut self.spare);
        buffer.lock().take(&mut self.queue, spare);
        while let Some(mut chunk) = self.queue.pop_front() {
            if let Err(error) = self.write_chunk(&mut chunk, progress) {
                self.queue.push_front(chunk);
                return Err(error);
            }
            let spare = chunk.into_spare();
            // One buffer is kept for the next round, unless a burst made it huge.
            if spare.capacity() > self.spare.capacity()
                && spare.capacity() <= self.settings.spare_bytes_max
            {
                self.spare = spare;
            }
        }
        Ok(())
    }

    /// Writes all frames of the buffer and makes them durable. When space runs out on the way, what
    /// was written is made durable all the same.
    pub(crate) fn sync(&mut self, buffer: &Mutex<AppendBuffer>, progress: &Progress) -> Result<()> {
        let written = self.write_out(buffer, progress);
        progress.check()?;
        self.sync_current(progress)?;
        written
    }

    /// Creates a segment for frames from `first_seq` on, after all before it is durable.
    pub(crate) fn rotate(
        &mut self,
        progress: &Progress,
        generation: u64,
        first_seq: u64,
        reserve_bytes: u64,
    ) -> Result<()> {
        self.sync_current(progress)?;
        let continues_after =
            self.current.as_ref().map_or(self.predecessor, Segment::as_predecessor);
        let header = SegmentHeader {
            database_id: self.settings.database_id,
            segment: self.next_segment,
            generation,
            first_seq,
            salt: self.env.rng.next_u64(),
            synced_upto: progress.synced(),
            continues_after,
            stale_bytes: 0,
        };
        assert!(
            continues_after.last_seq <= header.synced_upto && continues_after.last_seq < first_seq,
            "a segment starts only when all before it is synced"
        );
        // Used up even when the creation fails: the remains of it must not meet a second file.
        self.next_segment += 1;
        let (vfs, dir) = (&*self.env.vfs, &self.settings.dir);
        let created = match self.spares.take() {
            Some(spare) => Segment::write_over(vfs, dir, &spare, &header),
            None => Segment::create(vfs, dir, &header, reserve_bytes),
        };
        let segment = created.map_err(|failure| failed(failure, progress))?;
        progress.segments.fetch_add(1, Ordering::Relaxed);
        progress.grew(segment.length);
        self.witnessed = self.witnessed.max(segment.witness);
        self.close_current();
        self.current = Some(segment);
        Ok(())
    }

    /// Appends a marker, unless `only_if_due` and the last sync already has a later witness. Returns
    /// whether one was written. The marker is synced too.
    pub(crate) fn mark(
        &mut self,
        kind: u8,
        only_if_due: bool,
        progress: &Progress,
    ) -> Result<bool> {
        let synced_upto = progress.synced();
        if only_if_due && self.witnessed >= synced_upto {
            return Ok(false);
        }
        // Without a segment there is nothing to bear witness for; behind a partial frame nobody would
        // find the marker, and the next segment's header will say the same.
        let Some(segment) = self.current.as_mut().filter(|segment| !segment.abandoned) else {
            return Ok(false);
        };
        let mut frame = Vec::new();
        begin_frame(&mut frame, kind, segment.last_seq);
        let fits = end_frame(&mut frame);
        assert!(fits, "a frame without payload fits its length field");
        seal_frame(&mut frame, segment.seed, synced_upto);
        let failed = |failure| failed(failure, progress);
        segment.reserve(frame.len(), self.settings.reserve_bytes).map_err(failed)?;
        segment.write(&frame).1.map_err(failed)?;
        segment.keep(frame.len(), segment.last_seq, synced_upto);
        progress.grew(frame.len() as u64);
        self.sync_current(progress)?;
        Ok(true)
    }

    /// Removes all segments of generations up to `generation`.
    pub(crate) fn remove_through(
        &mut self,
        generation: u64,
        buffer: &Mutex<AppendBuffer>,
        progress: &Progress,
    ) -> Result<()> {
        let in_use = buffer.lock().uses_through(generation)
            || self.queue.iter().any(|chunk| chunk.generation <= generation)
            || self
                .current
                .as_ref()
                .is_some_and(|current| current.generation <= generation && !current.is_synced());
        if in_use {
            return Err(Error::GenerationInUse { generation });
        }
        self.remove_closed(generation, progress)
    }

    /// As [`remove_through`](Self::remove_through), when no frame of those generations can be around.
    pub(crate) fn remove_closed(&mut self, generation: u64, progress: &Progress) -> Result<()> {
        if self.current.as_ref().is_some_and(|current| current.generation <= generation) {
            self.close_current();
        }
        // Nothing came since: the log is at rest, and keeps nothing.
        let at_rest = self.current.is_none() && progress.buffered_bytes() == 0;
        if at_rest {
            self.spares.clear(&*self.env.vfs);
        }
        let mut removed = Ok(());
        let mut retired = Vec::new();
        let closed_before = self.closed.len();
        // Oldest first, so that a crash leaves the later part of the chain.
        while let Some(oldest) = self.closed.front().filter(|s| s.generation <= generation) {
            removed = self.retire(oldest, at_rest, &mut retired);
            if removed.is_err() {
                break;
            }
            self.closed.pop_front();
        }
        self.count_disk_bytes(progress);
        if self.closed.len() < closed_before {
            let dir = &self.settings.dir;
            self.env.vfs.sync_dir(dir).map_err(|error| {
                failed(Failure::new(FileOperation::SyncDir, dir, error), progress)
            })?;
        }
        // Before the sync a crash could bring the segments' names back: nothing is written over until then.
        self.spares.keep(retired);
        removed
    }

    /// Takes the name of a segment away: its file becomes a spare if it is worth it, or goes.
    fn retire(&self, closed: &Closed, at_rest: bool, retired: &mut Vec<Spare>) -> Result<()> {
        let vfs = &*self.env.vfs;
        let Closed { path, bytes, file_bytes, .. } = closed;
        let segment_bytes_max = self.settings.segment_bytes_max;
        if !at_rest
            && *file_bytes > 0
            && self.spares.want(*file_bytes, *bytes, segment_bytes_max, retired.len())
        {
            let spare = Spare { path: spares::path_of(path), bytes: *file_bytes };
            if vfs.rename(path, &spare.path).is_ok() {
                retired.push(spare);
                return Ok(());
            }
        }
        match vfs.unlink(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                let path = path.clone();
                Err(Error::Io { operation: FileOperation::Remove, path, source })
            }
            _ => Ok(()),
        }
    }

    /// Cuts off what the current segment's file has behind its frames.
    pub(crate) fn trim(&mut self) {
        if let Some(segment) = &mut self.current {
            segment.trim();
        }
        self.spares.clear(&*self.env.vfs);
    }

    /// Tells `progress` the length of all segments.
    pub(crate) fn count_disk_bytes(&self, progress: &Progress) {
        let closed: u64 = self.closed.iter().map(|segment| segment.bytes).sum();
        let current = self.current.as_ref().map_or(0, |segment| segment.length);
        progress.set_disk_bytes(closed + current);
    }

    fn write_chunk(&mut self, chunk: &mut Chunk, progress: &Progress) -> Result<()> {
        while let Some(first) = chunk.first() {
            self.ready_segment(chunk.generation, &first, progress)?;
            let Some(segment) = self.current.as_mut() else { return Ok(()) };
            let synced_upto = progress.synced();
            // A run is at most one step of reservation, so that on a disk with little room as much as
            // possible is written.
            let room = self.settings.segment_bytes_max.saturating_sub(segment.length);
            let run = chunk.seal(room.min(self.settings.reserve_bytes), segment.seed, synced_upto);
            if let Err(failure) = segment.reserve(run.bytes, self.settings.reserve_bytes) {
                // What is kept for speed is not kept where there is no space.
                self.spares.clear(&*self.env.vfs);
                return Err(failed(failure, progress));
            }
            let (written, result) = segment.write(chunk.frames(run));
            if let Some(whole) = chunk.whole_frames(written) {
                segment.keep(whole.bytes, whole.last_seq, synced_upto);
                chunk.advance(whole);
                progress.wrote(whole.last_seq, whole.bytes);
            }
            result.map_err(|failure| failed(failure, progress))?;
        }
        Ok(())
    }

    /// Makes sure that the current segment can take the frame.
    fn ready_segment(
        &mut self,
        generation: u64,
        first: &FrameHeader,
        progress: &Progress,
    ) -> Result<()> {
        if let Some(segment) = &self.current {
            let end = segment.length.saturating_add(first.total_bytes as u64);
            let fits = segment.is_empty() || end <= self.settings.segment_bytes_max;
            if segment.generation == generation && fits && !segment.abandoned {
                return Ok(());
            }
        }
        self.rotate(progress, generation, first.seq, self.settings.reserve_bytes)
    }

    /// Makes what the current segment holds durable, if it is not.
    fn sync_current(&mut self, progress: &Progress) -> Result<()> {
        if let Some(segment) = self.current.as_mut().filter(|segment| !segment.is_synced()) {
            segment.sync().map_err(|failure| failed(failure, progress))?;
            progress.syncs.fetch_add(1, Ordering::Relaxed);
            progress.advance_synced(segment.last_seq);
            self.witnessed = self.witnessed.max(segment.witness);
        }
        Ok(())
    }

    fn close_current(&mut self) {
        if let Some(segment) = self.current.take() {
            self.predecessor = segment.as_predecessor();
            let file_bytes = segment.file_bytes();
            self.closed.push_back(Closed {
                file_bytes,
                path: segment.path,
                generation: segment.generation,
                bytes: segment.length,
            });
        }
    }
}

/// What a failure means: a lack of space passes, a segment that could not be created is nothing lost,
/// everything else leaves open what the disk holds.
fn failed(failure: Failure, progress: &Progress) -> Error {
    let Failure { operation, path, source } = failure;
    match operation {
        FileOperation::Create | FileOperation::Write if is_no_space(&source) => {
            Error::NoSpace { path, source }
        }
        FileOperation::Create => Error::Io { operation, path, source },
        FileOperation::Sync if is_planted(Planted::FailedSyncTriedAgain) => {
            Error::Io { operation, path, source }
        }
        _ => progress.poison(Poison { operation, path, source }),
    }
}

/// Whether there was no space, which time and the operator cure. A write that takes nothing counts.
fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::WriteZero
    )
}

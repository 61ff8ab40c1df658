//! The log as its users see it: open with recovery, append, sync, generations. How frames reach the
//! files is in `committer`, how they are read back in `replay`.

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use tsdb_core::env::{Env, create_dir_durable};
use tsdb_core::planted::{Planted, is_planted};
use tsdb_core::sync::Mutex;

use crate::{
    buffer::{AppendBuffer, Position},
    committer::{Committer, Settings},
    error::{AppendError, Error, FileOperation, OpenError, Poison, Result},
    frame::kind,
    progress::{Progress, Stats},
    replay::{ACCEPTS_LOSS, Floor, Replayed, ReplayedFrame, Torn, replay},
    spares::remove_leftovers,
};

/// How a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// The directory of the log; created if missing. Nothing else may live in it under a segment's name.
    pub dir: PathBuf,
    /// Identifies the database; segments of another one are refused.
    pub database_id: [u8; 16],
    /// A segment that reached this many bytes takes no more frames. A frame that is longer gets a
    /// segment of its own.
    pub segment_bytes_max: u64,
    /// Space is reserved ahead of the frames in steps of this many bytes.
    pub reserve_bytes: u64,
    /// Longest frame, its header of 25 bytes included.
    pub frame_bytes_max: u32,
    /// With this many bytes appended and not yet written, no more is taken. With the one frame that may
    /// go beyond, the log holds at most `buffer_bytes_max + frame_bytes_max` bytes in memory, and the
    /// same again of spare buffers.
    pub buffer_bytes_max: usize,
}

impl WalOptions {
    /// The usual sizes: segments of 64 MiB, reserved by 4 MiB, frames up to 64 MiB, 32 MiB waiting.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, database_id: [u8; 16]) -> Self {
        Self {
            dir: dir.into(),
            database_id,
            segment_bytes_max: 64 << 20,
            reserve_bytes: 4 << 20,
            frame_bytes_max: 64 << 20,
            buffer_bytes_max: 32 << 20,
        }
    }
}

/// What recovery found, for the log and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Data frames shown.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes of a torn tail that were cut off: written and never synced, so never acknowledged where
    /// acknowledgements wait for the sync. Worth a warning if not 0.
    pub truncated_bytes: u64,
    /// The last process stopped in order.
    pub clean: bool,
    /// Highest number of a frame shown, or [`Floor::flushed_through`] if that is higher.
    pub last_seq: u64,
    /// The next number. It may be greater than `last_seq + 1`: numbers that were given to lost frames
    /// are not given again.
    pub next_seq: u64,
    /// The generation that is open now. All frames shown are of earlier ones.
    pub next_generation: u64,
}

/// The moment at which a generation was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Highest number given; the frames of the closed generation are those up to here.
    pub last_seq: u64,
    /// The generation that takes no more frames.
    pub closed: u64,
    /// The generation that takes the next.
    pub opened: u64,
}

/// What a log holds that nobody opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCheck {
    /// Sound data frames.
    pub frames: u64,
    /// Bytes of a torn tail, which opening would cut off.
    pub torn_bytes: u64,
}

/// Reads the log in a directory as [`Wal::open`] does, and changes nothing. O(bytes in the log).
///
/// # Errors
/// As [`Wal::open`].
pub fn check(
    env: &Env,
    dir: &std::path::Path,
    database_id: [u8; 16],
    floor: Floor,
) -> Result<LogCheck> {
    let looked =
        replay(&*env.vfs, dir, database_id, floor, |_| Ok::<(), std::convert::Infallible>(()));
    let replayed = looked.map_err(|error| match error {
        OpenError::Wal(error) => error,
        OpenError::Visit(never) => match never {},
    })?;
    let torn_bytes = replayed.torn.as_ref().map_or(0, |torn| torn.torn_bytes);
    Ok(LogCheck { frames: replayed.frames, torn_bytes })
}

/// A write-ahead log: numbered frames with opaque payloads, in generations.
///
/// All methods take `&self` and can be called from any thread. Appends only touch memory; `sync` and
/// its relatives take a lock of their own, so that appends go on while a sync waits for the disk.
#[derive(Debug)]
pub struct Wal {
    buffer: Mutex<AppendBuffer>,
    /// Locked before `buffer`, never after it.
    committer: Mutex<Committer>,
    progress: Progress,
    frame_bytes_max: usize,
    buffer_bytes_max: usize,
}

impl Wal {
    /// Opens the log in a directory: reads what is there, shows every sound frame to `visit` in order
    /// of number (those that are flushed already too, as they may define what later ones use), cuts a
    /// torn tail, and begins a new generation in a new segment. Recovered segments take no more frames;
    /// they stay until [`remove_through`](Self::remove_through), or go at once if no frame in them is
    /// above [`Floor::flushed_through`].
    ///
    /// O(bytes in the log), with one frame or 256 KiB in memory. The caller holds the lock of the data
    /// directory: the log has none of its own.
    ///
    /// # Errors
    /// Damage to what was synced, files of another database or a newer program, failing files, or the
    /// first error of `visit`: then nothing was cut, created or removed.
    pub fn open<E>(
        env: &Env,
        options: WalOptions,
        floor: Floor,
        visit: impl FnMut(ReplayedFrame<'_>) -> Result<(), E>,
    ) -> Result<(Self, Recovery), OpenError<E>> {
        create_dir_durable(&*env.vfs, &options.dir).map_err(|source| Error::Io {
            operation: FileOperation::Create,
            path: options.dir.clone(),
            source,
        })?;
        let mut replayed = replay(&*env.vfs, &options.dir, options.database_id, floor, visit)?;
        if let Some(torn) = replayed.torn.clone() {
            cut(env, &mut replayed, &torn)?;
        }
        let generation = replayed.generation_max + 1;
        let recovery = Recovery {
            frames: replayed.frames,
            bytes: replayed.bytes,
            segments: replayed.segments,
            truncated_bytes: replayed.torn.as_ref().map_or(0, |torn| torn.torn_bytes),
            clean: replayed.clean,
            last_seq: replayed.last_seq,
            next_seq: replayed.seq_max + 1,
            next_generation: generation,
        };
        let progress = Progress::new(replayed.seq_max);
        let frame_bytes_max = usize::try_from(options.frame_bytes_max).unwrap_or(usize::MAX);
        let dir = options.dir.clone();
        let settings = Settings {
            dir: options.dir,
            database_id: options.database_id,
            segment_bytes_max: options.segment_bytes_max,
            reserve_bytes: options.reserve_bytes,
            spare_bytes_max: options.buffer_bytes_max.saturating_add(frame_bytes_max),
        };
        let Replayed { files, predecessor, segment_max, .. } = replayed;
        let mut committer =
            Committer::new(env.clone(), settings, files, predecessor, segment_max + 1);
        committer.count_disk_bytes(&progress);
        // An empty segment may name a predecessor whose last frames were torn away; as long as nobody
        // knows those numbers as flushed, the next opening asks for it.
        let nothing_left = recovery.last_seq <= floor.flushed_through
            && predecessor.last_seq <= floor.flushed_through;
        match committer.rotate(&progress, generation, recovery.next_seq, 0) {
            Ok(()) => {
                let useless = if nothing_left { generation } else { floor.oldest_generation };
                committer.remove_closed(useless.saturating_sub(1), &progress)?;
            }
            // On a full disk the database still opens, to answer queries and to free space; the
            // segment comes with the first frame.
            Err(Error::NoSpace { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        forget_accepted_loss(env, &dir)?;
        remove_leftovers(&*env.vfs, &dir);
        let wal = Self {
            buffer: Mutex::new(AppendBuffer::new(generation, recovery.next_seq)),
            committer: Mutex::new(committer),
            progress,
            frame_bytes_max,
            buffer_bytes_max: options.buffer_bytes_max,
        };
        Ok((wal, recovery))
    }

    /// Appends a frame whose payload `write` puts at the end of the buffer it gets. Under the append
    /// lock: numbers are given in the order of frames. Touches no file. Returns the frame's number.
    ///
    /// # Errors
    /// When `write` fails, the frame is too long, too much waits to be written, or the log is out of
    /// service: then the number was not used and nothing is logged.
    pub fn append_with<E>(
        &self,
        write: impl FnOnce(Position, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<u64, AppendError<E>> {
        let mut buffer = self.buffer.lock();
        self.progress.check()?;
        let bytes = self.progress.buffered_bytes();
        if bytes >= self.buffer_bytes_max {
            return Err(Error::Backlog { bytes, bytes_max: self.buffer_bytes_max }.into());
        }
        let (seq, bytes) = buffer.append(self.frame_bytes_max, write)?;
        // Before the lock is free again: who sees the number finds the frame in the buffer.
        self.progress.appended(seq, bytes);
        Ok(seq)
    }

    /// As [`append_with`](Self::append_with), for a payload that is at hand.
    ///
    /// # Errors
    /// As [`append_with`](Self::append_with).
    pub fn append(&self, payload: &[u8]) -> Result<u64> {
        let put = |_: Position, out: &mut Vec<u8>| {
            out.extend_from_slice(payload);
            Ok::<(), Infallible>(())
        };
        self.append_with(put).map_err(|error| match error {
            AppendError::Wal(error) => error,
            AppendError::Write(never) => match never {},
        })
    }

    /// Closes the open generation and opens the next; `swap` runs under the append lock, so that no
    /// frame comes between. The new generation gets a segment of its own with its first frame.
    ///
    /// # Errors
    /// When the log is out of service; `swap` was not called.
    pub fn begin_generation<T>(&self, swap: impl FnOnce(Sealed) -> T) -> Result<T> {
        let mut buffer = self.buffer.lock();
        self.progress.check()?;
        let closed = buffer.generation();
        buffer.begin_generation();
        Ok(swap(Sealed { last_seq: buffer.last_seq(), closed, opened: buffer.generation() }))
    }

    /// Writes all appended frames to the files, without a sync of the last segment. Returns the highest
    /// number written.
    ///
    /// # Errors
    /// [`Error::NoSpace`] with the frames kept for a later try; anything worse takes the log out of
    /// service.
    pub fn write_out(&self) -> Result<u64> {
        let mut committer = self.committer.lock();
        self.progress.check()?;
        committer.write_out(&self.buffer, &self.progress)?;
        Ok(self.progress.written())
    }

    /// Makes all frames that were appended before the call durable. One caller does it for all: whoever
    /// waits meanwhile mostly finds it done. Returns the highest number that is durable.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when frames had no room: what was written is durable all the same (see
    /// [`synced_seq`](Self::synced_seq)), the rest is kept for a later try. A failed write or sync takes
    /// the log out of service: this and every later call ends with [`Error::Poisoned`].
    pub fn sync(&self) -> Result<u64> {
        let wanted = self.progress.last();
        let mut committer = self.committer.lock();
        self.progress.check()?;
        if self.progress.synced() < wanted {
            committer.sync(&self.buffer, &self.progress)?;
        }
        if is_planted(Planted::SyncCoversLaterFrames) {
            return Ok(self.progress.last());
        }
        Ok(self.progress.synced())
    }

    /// After some silence (100 ms is a good time): writes and syncs a marker, if nothing on disk yet
    /// says that the last frames were synced, so that damage to them can be told from a torn tail.
    /// Returns whether that was needed.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn mark_idle(&self) -> Result<bool> {
        let mut committer = self.committer.lock();
        self.progress.check()?;
        committer.mark(kind::IDLE, true, &self.progress)
    }

    /// Syncs everything and notes that the process stops in order.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn mark_clean(&self) -> Result<()> {
        let mut committer = self.committer.lock();
        self.progress.check()?;
        committer.sync(&self.buffer, &self.progress)?;
        committer.trim();
        committer.mark(kind::CLEAN, false, &self.progress)?;
        Ok(())
    }

    /// Removes all segments of generations up to `generation`, whose rows are in the manifest. While the log is in
    /// use the files of up to two of them stay, under names that no reader looks at, for later segments to be
    /// written over.
    ///
    /// # Errors
    /// [`Error::GenerationInUse`] if one of them is open or not wholly synced; a failing file, after
    /// which the call can be repeated.
    pub fn remove_through(&self, generation: u64) -> Result<()> {
        let mut committer = self.committer.lock();
        self.progress.check()?;
        committer.remove_through(generation, &self.buffer, &self.progress)
    }

    /// The open generation.
    pub fn generation(&self) -> u64 {
        self.buffer.lock().generation()
    }

    /// Highest number given.
    pub fn last_seq(&self) -> u64 {
        self.progress.last()
    }

    /// Highest number up to which all frames are written to files.
    pub fn written_seq(&self) -> u64 {
        self.progress.written()
    }

    /// Highest number up to which all frames are durable.
    pub fn synced_seq(&self) -> u64 {
        self.progress.synced()
    }

    /// Bytes of frames that are appended and not yet written.
    pub fn buffered_bytes(&self) -> usize {
        self.progress.buffered_bytes()
    }

    /// Length of all segments in bytes: of what counts in them, without spare files.
    pub fn disk_bytes(&self) -> u64 {
        self.progress.disk_bytes()
    }

    /// What was done since the log was opened.
    pub fn stats(&self) -> Stats {
        self.progress.stats()
    }

    /// Why the log is out of service, if it is.
    pub fn poisoned(&self) -> Option<Arc<Poison>> {
        self.progress.poisoned()
    }
}

/// Removes the file that accepts a loss: the next one has to be accepted anew.
fn forget_accepted_loss(env: &Env, dir: &std::path::Path) -> Result<()> {
    let path = dir.join(ACCEPTS_LOSS);
    match env.vfs.unlink(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { operation: FileOperation::Remove, path, source })
        }
        _ => Ok(()),
    }
}

/// Cuts a torn tail off, durably, before anything new is created.
fn cut(env: &Env, replayed: &mut Replayed, torn: &Torn) -> Result<()> {
    let failed = |source| {
        let path = torn.path.clone();
        Error::Io { operation: FileOperation::Truncate, path, source }
    };
    let file = env.vfs.open_rw(&torn.path).map_err(failed)?;
    file.set_len(torn.length).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    for file in replayed.files.iter_mut().filter(|file| file.path == torn.path) {
        file.bytes = torn.length;
    }
    Ok(())
}

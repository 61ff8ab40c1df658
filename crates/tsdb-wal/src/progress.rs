//! How far the log is, as anyone may read it without a lock, and whether it is still in service.

use std::sync::Arc;

use tsdb_core::sync::OnceLock;
use tsdb_core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::error::{Error, Poison, Result};

/// What the log did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Syncs of segments with frames. Appends divided by this is the size of a commit group.
    pub syncs: u64,
    /// Segments created.
    pub segments: u64,
    /// Bytes of frames written, those of frames written twice counting twice.
    pub bytes: u64,
}

/// Numbers and counters that grow, and the poison.
#[derive(Debug)]
pub(crate) struct Progress {
    last: AtomicU64,
    written: AtomicU64,
    synced: AtomicU64,
    buffered_bytes: AtomicUsize,
    disk_bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) bytes: AtomicU64,
    poison: OnceLock<Arc<Poison>>,
}

impl Progress {
    /// All numbers at `last_seq`: nothing is appended yet.
    pub(crate) fn new(last_seq: u64) -> Self {
        Self {
            last: AtomicU64::new(last_seq),
            written: AtomicU64::new(last_seq),
            synced: AtomicU64::new(last_seq),
            buffered_bytes: AtomicUsize::new(0),
            disk_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            poison: OnceLock::new(),
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            syncs: self.syncs.load(Ordering::Relaxed),
            segments: self.segments.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// A frame is in the buffer.
    pub(crate) fn appended(&self, seq: u64, bytes: usize) {
        self.buffered_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.last.store(seq, Ordering::Release);
    }

    /// Frames went from the buffer to a segment.
    pub(crate) fn wrote(&self, seq: u64, bytes: usize) {
        self.buffered_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.grew(bytes as u64);
        self.written.fetch_max(seq, Ordering::AcqRel);
    }

    /// Bytes went to the files.
    pub(crate) fn grew(&self, bytes: u64) {
        self.disk_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Files of so many bytes were found or removed.
    pub(crate) fn set_disk_bytes(&self, bytes: u64) {
        self.disk_bytes.store(bytes, Ordering::Release);
    }

    /// All frames up to `seq` are durable.
    pub(crate) fn advance_synced(&self, seq: u64) {
        assert!(self.poison.get().is_none(), "I10: nothing counts as synced after a failed sync");
        assert!(seq <= self.written(), "I3: what is synced was written");
        self.synced.fetch_max(seq, Ordering::AcqRel);
    }

    /// Takes the log out of service for good. The first cause stays.
    pub(crate) fn poison(&self, poison: Poison) -> Error {
        Error::Poisoned(Arc::clone(self.poison.get_or_init(|| Arc::new(poison))))
    }

    pub(crate) fn poisoned(&self) -> Option<Arc<Poison>> {
        self.poison.get().cloned()
    }

    /// Fails when the log is out of service.
    pub(crate) fn check(&self) -> Result<()> {
        match self.poison.get() {
            None => Ok(()),
            Some(poison) => Err(Error::Poisoned(Arc::clone(poison))),
        }
    }
}

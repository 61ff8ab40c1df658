//! The operation log: its hash, and recordings, from which the disk at any operation can be had again.

use std::fmt;

use super::{
    crash::CrashChoice,
    disk::{Change, Disk, NameOp, Op},
    vfs::SimVfs,
};

/// A recorded run: the disk before it and every operation since. It holds a position, at first before
/// the first operation, and moves forward cheaply, so that a loop over all crash points costs one
/// replay of the run.
#[derive(Clone)]
pub struct Recording {
    base: Disk,
    base_op: u64,
    cursor: Disk,
    at: usize,
    ops: Vec<Op>,
    seed: u64,
}

impl Recording {
    pub(super) fn new(base: &Disk, base_op: u64, ops: Vec<Op>, seed: u64) -> Self {
        Self { base: base.clone(), base_op, cursor: base.clone(), at: 0, ops, seed }
    }

    /// Number of recorded operations.
    #[must_use]
    pub fn op_count(&self) -> usize {
        self.ops.len()
    }

    /// [`SimVfs::op_count`] at the position.
    #[must_use]
    pub fn op_index(&self) -> u64 {
        self.base_op + self.at as u64
    }

    /// Carries out the next operation; false at the end.
    pub fn advance(&mut self) -> bool {
        let Some(op) = self.ops.get(self.at) else { return false };
        self.cursor.apply(op);
        self.at += 1;
        true
    }

    /// Operations that a crash at the position could lose.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.cursor.pending_count()
    }

    /// The disk after a crash at the position.
    #[must_use]
    pub fn crash(&self, choice: CrashChoice) -> SimVfs {
        SimVfs::with_disk(self.cursor.crash(choice), self.seed)
    }

    /// The disk after a crash behind the first `ops` operations. Replays the run from its start: O(n).
    #[must_use]
    pub fn disk_at(&self, ops: usize, choice: CrashChoice) -> SimVfs {
        let mut disk = self.base.clone();
        for op in self.ops.iter().take(ops) {
            disk.apply(op);
        }
        SimVfs::with_disk(disk.crash(choice), self.seed)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("op_count", &self.ops.len())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// What the hash of an empty log is.
pub(super) const HASH_SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over the fields of an operation, with the checksum of its bytes.
pub(super) fn hash_op(hash: u64, op: &Op) -> u64 {
    let fields: [u64; 4] = match op {
        Op::Name(NameOp::Create { dir, name, node, is_dir }) => {
            [1 + u64::from(*is_dir), *dir, sum(name.as_bytes()), *node]
        }
        Op::Name(NameOp::Link { dir, name, node }) => [3, *dir, sum(name.as_bytes()), *node],
        Op::Name(NameOp::Remove { dir, name }) => [4, *dir, sum(name.as_bytes()), 0],
        Op::Name(NameOp::Move { from, to, node }) => {
            [5, from.0 ^ to.0.rotate_left(32), sum(from.1.as_bytes()) ^ sum(to.1.as_bytes()), *node]
        }
        Op::Data { node, change: Change::Write { offset, bytes } } => {
            [6, *node, *offset, sum(bytes)]
        }
        Op::Data { node, change: Change::SetLen(bytes) } => [7, *node, *bytes, 0],
        Op::SyncFile { node, failed } => [8, *node, u64::from(*failed), 0],
        Op::SyncDir { dir, failed } => [9, *dir, u64::from(*failed), 0],
        Op::DropCache { node } => [10, *node, 0, 0],
        Op::Reserve { node, bytes } => [11, *node, *bytes, 0],
    };
    fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Checksum and length in one number.
fn sum(bytes: &[u8]) -> u64 {
    u64::from(crate::checksum::crc32c(bytes)) | (bytes.len() as u64) << 32
}

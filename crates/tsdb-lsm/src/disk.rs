//! The disk reserve: while the file system is nearly full the store takes no more rows, so that what it has
//! can still be flushed, merged, deleted and read; and when space comes back, it goes on by itself.

use std::path::Path;
use tsdb_core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tsdb_core::Error;
use tsdb_core::env::{Env, FreeSpace};

/// The reserve is at least this, and at most [`SHARE_OF_DISK`] of the file system.
const RESERVE_MIN: u64 = 256 << 20;

/// A twentieth.
const SHARE_OF_DISK: u64 = 20;

/// Rows are taken again once so much more than the reserve is free, in quarters: else writes would come
/// and go with every file that is removed.
const LEAVE_QUARTERS: u64 = 5;

/// Bytes of rows between two looks at the disk.
const LOOK_EVERY: u64 = 8 << 20;

/// What is known of the room on the file system.
#[derive(Debug)]
pub(crate) struct DiskReserve {
    configured: Option<u64>,
    memtable_bytes: u64,
    is_short: AtomicBool,
    free: AtomicU64,
    reserve: AtomicU64,
    unseen: AtomicU64,
}

impl DiskReserve {
    /// `configured` is the reserve in bytes, 0 for none; without it, the larger of 256 MiB and twice the
    /// memtable's memory, at most a twentieth of the file system.
    pub(crate) fn new(configured: Option<u64>, memtable_bytes: usize) -> DiskReserve {
        DiskReserve {
            configured,
            memtable_bytes: memtable_bytes as u64,
            is_short: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            reserve: AtomicU64::new(0),
            unseen: AtomicU64::new(0),
        }
    }

    fn reserve_of(&self, total: u64) -> u64 {
        let usual = RESERVE_MIN.max(self.memtable_bytes.saturating_mul(2));
        self.configured.unwrap_or(usual.min(total / SHARE_OF_DISK))
    }

    /// Looks at the file system of `directory`. A system that does not answer changes nothing.
    pub(crate) fn look(&self, env: &Env, directory: &Path) {
        self.unseen.store(0, Ordering::Relaxed);
        if let Ok(space) = env.vfs.free_space(directory) {
            self.judge(space);
        }
    }

    fn judge(&self, space: FreeSpace) {
        let reserve = self.reserve_of(space.total);
        let was_short = self.is_short.load(Ordering::Relaxed);
        let wanted = if was_short { reserve / 4 * LEAVE_QUARTERS } else { reserve };
        self.free.store(space.free, Ordering::Relaxed);
        self.reserve.store(reserve, Ordering::Relaxed);
        self.is_short.store(space.free < wanted, Ordering::Relaxed);
    }

    /// Notes that `bytes` of rows were taken; true when it is time for a look.
    pub(crate) fn note(&self, bytes: usize) -> bool {
        let unseen = self.unseen.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        unseen >= LOOK_EVERY
    }

    /// Whether there is room for more rows.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] while there is not.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.is_short.load(Ordering::Relaxed) {
            return Ok(());
        }
        let reserve = self.reserve();
        Err(Error::ReadOnly {
            reason: format!(
                "the disk has {} free and {} are kept in reserve; free some space, shorten a retention, or \
                 lower --disk-reserve, and writes go on by themselves once {} are free",
                mebibytes(self.free()),
                mebibytes(reserve),
                mebibytes(reserve / 4 * LEAVE_QUARTERS),
            ),
        })
    }

    /// Whether `bytes` more may be written by work that gives space back in the end.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.configured == Some(0) || self.free() > bytes
    }

    /// Bytes that were free at the last look; `u64::MAX` before the first.
    pub(crate) fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Bytes that are kept free.
    pub(crate) fn reserve(&self) -> u64 {
        self.reserve.load(Ordering::Relaxed)
    }

    /// Whether rows are refused.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }
}

/// For people: in MiB, or in bytes where that would say nothing.
fn mebibytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        whole => format!("{whole} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn the_reserve_follows_memory_and_disk() {
        for (configured, memtable, total, expected) in [
            (None, 96 * MIB, 1000 * GIB, 256 * MIB),
            (None, 300 * MIB, 1000 * GIB, 600 * MIB),
            (None, 96 * MIB, 2 * GIB, 2 * GIB / 20),
            (Some(7), 96 * MIB, 2 * GIB, 7),
            (Some(0), 96 * MIB, 2 * GIB, 0),
        ] {
            let disk = DiskReserve::new(configured, usize::try_from(memtable).unwrap());
            assert_eq!(disk.reserve_of(total), expected);
        }
    }

    #[test]
    fn rows_are_refused_below_the_reserve_and_taken_again_well_above() {
        let disk = DiskReserve::new(Some(100 * MIB), 0);
        disk.check().unwrap();
        for (free, taken) in [(200, true), (100, true), (99, false), (124, false), (125, true)] {
            disk.judge(FreeSpace { free: free * MIB, total: GIB });
            assert_eq!(disk.check().is_ok(), taken, "{free}");
        }
        disk.judge(FreeSpace { free: 5 * MIB, total: GIB });
        let refused = disk.check().unwrap_err().to_string();
        for part in ["5 MiB free", "100 MiB are kept", "125 MiB are free", "--disk-reserve"] {
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn no_reserve_means_that_nothing_is_refused() {
        let disk = DiskReserve::new(Some(0), 0);
        disk.judge(FreeSpace { free: 0, total: GIB });
        disk.check().unwrap();
        assert!(disk.has_room_for(u64::MAX));
    }

    #[test]
    fn the_disk_is_looked_at_after_so_many_bytes() {
        let disk = DiskReserve::new(None, 0);
        let step = usize::try_from(LOOK_EVERY / 2).unwrap();
        assert!(!disk.note(step) && disk.note(step));
    }
}

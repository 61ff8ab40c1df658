//! Counters of the storage layers, as plain atomics: the server exports them as metrics, a library user
//! can read them, and no crate below the server needs a metrics registry.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident: $help:literal),+ $(,)?) => {
        /// What an engine counts.
        #[derive(Debug, Default)]
        pub struct StorageCounters {
            $(#[doc = $help] pub $name: Counter,)+
        }

        impl StorageCounters {
            /// Calls `f` with name, help text and value of each counter.
            pub fn each(&self, mut f: impl FnMut(&'static str, &'static str, u64)) {
                $(f(concat!("tsdb_storage_", stringify!($name), "_total"), $help, self.$name.get());)+
            }
        }
    };
}

counters! {
    batches_appended: "Batches that were given a sequence number.",
    rows_appended: "Rows that were appended.",
    samples_appended: "Field values that were appended.",
    rows_replayed: "Rows taken from the write-ahead log when the store was opened.",
    wal_bytes_truncated: "Bytes of a torn, unsynced log tail that were cut off when the store was opened.",
    writes_throttled: "Batches that were held up because the memtable was short of memory.",
    throttled_microseconds: "Time that batches were held up, in microseconds.",
    writes_refused: "Batches that were refused because no memory came free in time.",
    disk_shortages: "Times that the disk ran short, so that rows were refused until there was room again.",
    compactions_put_off: "Merges that wait until memory and disk have room for them.",
    wal_syncs: "Group commits of the write-ahead log.",
    deletes: "Delete records that were appended.",
    seals: "Memtable generations that were sealed.",
    evictions: "Evictions of idle series from memory.",
    series_evicted: "Idle series that left memory; they come back with their next row.",
    seals_under_pressure: "Memtable generations that were sealed early because memory was short.",
    flushes: "Memtable generations that were written to runs.",
    flush_bytes: "Bytes written to runs by flushes.",
    flush_errors: "Flushes that failed and will be retried.",
    compactions: "Merges that were carried out.",
    compaction_bytes: "Bytes written to runs by merges.",
    merges_paced_microseconds: "Time that merges waited so as not to write faster than their limit, in microseconds.",
    compaction_errors: "Merges that failed and left their inputs as they were.",
    values_encoded: "Field values that were encoded into runs by flushes and merges.",
    values_encoded_again: "Field values that were encoded a third time or more.",
    values_copied: "Field values that merges copied as they were encoded.",
    slices_expired: "Slices that retention removed.",
    retention_suspended: "Times that retention did not believe the wall clock.",
    runs_removed: "Run files that were deleted after nothing needed them any more.",
    pages_read: "Pages read from runs.",
    pages_cached: "Pages that were found in the cache instead of being read.",
    pages_corrupt: "Pages whose checksum did not match.",
    chunks_from_summary: "Chunks that answered from their summary without being decoded.",
    chunks_decoded: "Chunks that were decoded by scans.",
    chunks_pruned: "Chunks that a value predicate excluded without being decoded.",
}

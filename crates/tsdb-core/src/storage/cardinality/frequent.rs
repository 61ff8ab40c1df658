//! The most frequent of many items, in bounded memory: lossy counting (Manku, Motwani 2002, "Approximate frequency counts
//! over data streams"), with a bound on the entries in place of a width of buckets.

use std::collections::HashMap;

use crate::SeriesKey;

/// Entries up to which nothing is forgotten.
const ENTRIES_MAX: usize = 1 << 15;

/// Memory of an entry in bytes, beside the key whose text it shares.
const ENTRY_BYTES: usize = 2 * (size_of::<(u64, u64)>() + size_of::<Entry>());

/// A tag key and value, where they stand in the key of a series that has them.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) key: SeriesKey,
    pub(super) tag: u32,
    pub(super) start: u32,
    pub(super) bytes: u32,
}

impl Pair {
    pub(super) fn value(&self) -> &str {
        let start = self.start as usize;
        self.key.as_str().get(start..start + self.bytes as usize).unwrap_or("")
    }
}

#[derive(Debug)]
struct Entry {
    pair: Pair,
    count: u64,
}

/// Counts pairs by their hashes.
#[derive(Debug, Default)]
pub(super) struct Frequent {
    entries: HashMap<u64, Entry>,
    /// What was forgotten had at most this count.
    forgotten_max: u64,
}

impl Frequent {
    /// Counts a pair by its hash. Returns the bytes that are held for it, if it is new.
    pub(super) fn add(&mut self, hash: u64, pair: impl FnOnce() -> Pair) -> usize {
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.count += 1;
            return 0;
        }
        let pair = pair();
        let bytes = ENTRY_BYTES + pair.key.as_str().len();
        self.entries.insert(hash, Entry { pair, count: 1 });
        bytes
    }

    /// Forgets the rarer half of the pairs if there are too many. Returns the bytes that are given back.
    pub(super) fn prune(&mut self) -> usize {
        if self.entries.len() < ENTRIES_MAX {
            return 0;
        }
        let mut counts: Vec<u64> = self.entries.values().map(|entry| entry.count).collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        let mut bytes = 0;
        self.entries.retain(|_, entry| {
            let stays = entry.count > median;
            if !stays {
                bytes += ENTRY_BYTES + entry.pair.key.as_str().len();
            }
            stays
        });
        // What was forgotten and comes back may be forgotten again, so the bounds add up.
        self.forgotten_max += median;
        bytes
    }

    /// The most that any count may lack.
    pub(super) fn forgotten_max(&self) -> u64 {
        self.forgotten_max
    }

    /// The pairs that are known with their counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Pair, u64)> {
        self.entries.values().map(|entry| (&entry.pair, entry.count))
    }
}

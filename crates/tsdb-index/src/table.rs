//! A table of series: what has a number between two evictions. An eviction makes a new table of the series that stay,
//! and whoever holds an old one (a snapshot does) finds everything in it as it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use tsdb_core::hash::{HashKey, siphash128};
use tsdb_core::{Error, NamespaceId, SeriesKey, SeriesRef};

use crate::namespace_head::NamespaceHead;
use crate::series_slots::{BLOCK, BLOCKS_MAX, Entry, SeriesSlot, SeriesSlots};

/// Heads by namespace.
type Heads = BTreeMap<NamespaceId, Arc<NamespaceHead>>;

/// The registered series by number, by key and by tags. A number means one series as long as the table lives (I5).
#[derive(Debug)]
pub struct SeriesTable {
    hash_key: HashKey,
    /// From 32 bits of a key's hash to its number. Where they are taken by another series, the next free ones are the
    /// key's: so nothing is removed from a table.
    numbers: DashMap<u32, u32, foldhash::fast::RandomState>,
    slots: SeriesSlots,
    heads: RwLock<Heads>,
    /// The number that is given next.
    next: Mutex<u32>,
    /// Series that can be named: those whose namespace was not dropped.
    named: AtomicUsize,
}

impl SeriesTable {
    /// An empty table.
    pub(crate) fn new(hash_key: HashKey) -> SeriesTable {
        SeriesTable {
            hash_key,
            numbers: DashMap::default(),
            slots: SeriesSlots::new(),
            heads: RwLock::default(),
            next: Mutex::new(0),
            named: AtomicUsize::new(0),
        }
    }

    pub(crate) fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    pub(crate) fn hash_of(&self, key: &SeriesKey) -> u128 {
        siphash128(self.hash_key, key.as_str().as_bytes())
    }

    pub(crate) fn slots(&self) -> &SeriesSlots {
        &self.slots
    }

    /// Number of a key whose hash is `hash`, if it is registered.
    pub(crate) fn find(
        &self,
        namespace: NamespaceId,
        key: &SeriesKey,
        hash: u128,
    ) -> Option<SeriesRef> {
        let mut id = id_of(namespace, hash);
        loop {
            let number = *self.numbers.get(&id)?;
            if self.is(number, namespace, key, hash) {
                return Some(SeriesRef(number));
            }
            id = id.wrapping_add(1);
        }
    }

    /// Number of a key whose hash is `hash`, a new one if it has none. `generation` is that of the log.
    ///
    /// # Errors
    /// Every number is taken.
    pub(crate) fn register(
        &self,
        namespace: NamespaceId,
        key: &SeriesKey,
        hash: u128,
        generation: u64,
    ) -> Result<SeriesRef, Error> {
        let mut id = id_of(namespace, hash);
        // The shard stays locked until the series can be found by its tags, so that nobody who gets the
        // number can write a row that a query would miss.
        let vacant = loop {
            match self.numbers.entry(id) {
                dashmap::Entry::Vacant(vacant) => break vacant,
                dashmap::Entry::Occupied(taken) => {
                    if self.is(*taken.get(), namespace, key, hash) {
                        return Ok(SeriesRef(*taken.get()));
                    }
                }
            }
            id = id.wrapping_add(1);
        };
        let number = self.take_number()?;
        let entry = Entry::new(namespace, key.clone(), hash);
        let fresh = self.slots.make(number).is_some_and(|slot| slot.set(entry, generation));
        // invariant: I5: a number means one series as long as the table lives.
        assert!(fresh, "I5: series number {number} was given twice");
        self.head(namespace).add(key, number, hash);
        vacant.insert(number);
        self.named.fetch_add(1, Ordering::Relaxed);
        Ok(SeriesRef(number))
    }

    /// Takes up a series of an older table that keeps its number. Its slot comes with its block.
    pub(crate) fn adopt(&self, number: u32, entry: &Entry, slot: &SeriesSlot) {
        if slot.is_dropped() {
            return;
        }
        let mut id = id_of(entry.namespace, entry.hash());
        while self.numbers.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.numbers.insert(id, number);
        self.head(entry.namespace).add(&entry.key, number, entry.hash());
    }

    /// Goes on where `old`, whose series that stay were adopted, ends: behind its numbers, and with what was dropped
    /// from it meanwhile. `named` of its series can be named.
    pub(crate) fn follow(&self, old: &SeriesTable, named: usize) {
        *self.next.lock() = old.next.lock().div_ceil(BLOCK) % BLOCKS_MAX * BLOCK;
        let others = old.heads.read();
        self.heads.write().retain(|namespace, _| others.contains_key(namespace));
        self.named.store(named, Ordering::Relaxed);
    }

    fn is(&self, number: u32, namespace: NamespaceId, key: &SeriesKey, hash: u128) -> bool {
        let Some(slot) = self.slots.get(number) else { return false };
        let is_same = |entry: &Entry| {
            entry.hash() == hash && entry.namespace == namespace && entry.key == *key
        };
        slot.entry().is_some_and(is_same) && !slot.is_dropped()
    }

    /// The next number of a block that is not that of series which stayed from an older table.
    fn take_number(&self) -> Result<u32, Error> {
        let mut next = self.next.lock();
        if next.is_multiple_of(BLOCK) {
            let begin = *next / BLOCK;
            let mut blocks = (begin..BLOCKS_MAX).chain(0..begin);
            let free = blocks.find(|block| self.slots.block(*block).is_none());
            *next = free.map(|block| block * BLOCK).ok_or(Error::TooMany {
                what: "series in memory",
                count: u64::from(u32::MAX),
                count_max: u64::from(u32::MAX),
                remedy: "drop tags with ever new values",
            })?;
        }
        let number = *next;
        // Wraps to a block that is looked for anew.
        *next = number.checked_add(1).filter(|next| *next < BLOCKS_MAX * BLOCK).unwrap_or(0);
        Ok(number)
    }

    /// The index over the series of a namespace.
    pub fn head(&self, namespace: NamespaceId) -> Arc<NamespaceHead> {
        if let Some(head) = self.heads.read().get(&namespace) {
            return Arc::clone(head);
        }
        let mut heads = self.heads.write();
        let new = || Arc::new(NamespaceHead::new(self.hash_key));
        Arc::clone(heads.entry(namespace).or_insert_with(new))
    }

    /// Namespace and key of a number. No lock.
    pub fn key(&self, number: SeriesRef) -> Option<(NamespaceId, SeriesKey)> {
        let entry = self.slots.get(number.0)?.entry()?;
        Some((entry.namespace, entry.key.clone()))
    }

    /// Namespace of a number. No lock.
    #[inline]
    pub fn namespace(&self, number: SeriesRef) -> Option<NamespaceId> {
        self.slots.get(number.0)?.entry().map(|entry| entry.namespace)
    }

    /// Hash of a number's key under the data directory's hash key; 0 for a number that is not given. No lock.
    pub fn hash(&self, number: SeriesRef) -> u128 {
        let entry = self.slots.get(number.0).and_then(SeriesSlot::entry);
        entry.map_or(0, Entry::hash)
    }

    /// Notes that the series is defined in log generation `generation`; true if it was not yet. For use under the
    /// engine's append lock.
    #[inline]
    pub fn mark_logged(&self, number: SeriesRef, generation: u64) -> bool {
        self.slots.change(number.0, |slot| slot.mark_logged(generation))
    }

    /// Takes a [`SeriesTable::mark_logged`] back whose record was not logged after all.
    pub fn unmark_logged(&self, number: SeriesRef) {
        self.slots.change(number.0, |slot| {
            slot.unmark_logged();
            true
        });
    }

    /// Series that can be named.
    pub fn len(&self) -> usize {
        self.named.load(Ordering::Relaxed)
    }

    /// Whether no series can be named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives numbers from the block `block` on.
    #[cfg(test)]
    pub(crate) fn begin_at(&self, block: u32) {
        *self.next.lock() = block * BLOCK;
    }

    /// Forgets the names of a namespace. O(series of the namespace).
    pub(crate) fn drop_namespace(&self, namespace: NamespaceId) {
        let Some(head) = self.heads.write().remove(&namespace) else { return };
        for number in head.numbers() {
            if self.slots.change(number, SeriesSlot::drop_name) {
                self.named.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// What a key is looked up by: different for the same key in two namespaces.
fn id_of(namespace: NamespaceId, hash: u128) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "32 bits of it are wanted")]
    let bits = hash as u32;
    bits ^ namespace.0.wrapping_mul(0x9e37_79b1)
}

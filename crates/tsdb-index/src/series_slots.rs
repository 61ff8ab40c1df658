//! What is known of each registered series, by its number: blocks at fixed addresses that readers need no lock for, and
//! that go, or shrink to what is left of them, when their series are evicted.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tsdb_core::{NamespaceId, SeriesKey};

use crate::slots::Slots;

/// Numbers of one block. A block is what is freed at once, and what one series alone can keep from it.
pub(crate) const BLOCK: u32 = 1024;

/// Blocks that there can be.
pub(crate) const BLOCKS_MAX: u32 = u32::MAX / BLOCK;

/// Bits of [`SeriesSlot::state`]; the generation stands above them.
const DEFINED: u64 = 1;
const DROPPED: u64 = 2;
const FLAG_BITS: u32 = 2;

/// What never changes while a series has its number.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: SeriesKey,
    /// The halves of the key's hash: a `u128` would be aligned to 16 bytes.
    hash: [u64; 2],
    pub(crate) namespace: NamespaceId,
}

impl Entry {
    pub(crate) fn new(namespace: NamespaceId, key: SeriesKey, hash: u128) -> Entry {
        #[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
        let hash = [(hash >> 64) as u64, hash as u64];
        Entry { key, hash, namespace }
    }

    pub(crate) fn hash(&self) -> u128 {
        let [high, low] = self.hash;
        u128::from(high) << 64 | u128::from(low)
    }
}

/// A series.
#[derive(Debug, Default)]
pub(crate) struct SeriesSlot {
    entry: OnceLock<Entry>,
    /// The log generation in which the series was written last, or registered; whether it is defined there; whether its
    /// namespace was dropped.
    state: AtomicU64,
}

impl SeriesSlot {
    pub(crate) fn new(entry: Entry, generation: u64) -> SeriesSlot {
        let slot = SeriesSlot::default();
        slot.set(entry, generation);
        slot
    }

    /// Gives the slot to a series, registered in `generation`; false if it has one.
    pub(crate) fn set(&self, entry: Entry, generation: u64) -> bool {
        // Before the entry, which makes it visible.
        if self.entry.get().is_none() {
            self.state.store(generation << FLAG_BITS, Ordering::Relaxed);
        }
        self.entry.set(entry).is_ok()
    }

    #[inline]
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.entry.get()
    }

    /// The log generation in which the series was written last, or registered.
    pub(crate) fn generation(&self) -> u64 {
        self.state.load(Ordering::Relaxed) >> FLAG_BITS
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.state.load(Ordering::Relaxed) & DROPPED != 0
    }

    /// Notes that the namespace was dropped; false if that was noted before.
    pub(crate) fn drop_name(&self) -> bool {
        self.state.fetch_or(DROPPED, Ordering::Relaxed) & DROPPED == 0
    }

    /// Notes that the series is defined in `generation`; true if it was not yet.
    #[inline]
    pub(crate) fn mark_logged(&self, generation: u64) -> bool {
        // A load first: it is almost always marked, and a swap would dirty the cache line.
        let state = self.state.load(Ordering::Relaxed);
        let defined = generation << FLAG_BITS | DEFINED;
        if state & !DROPPED == defined {
            return false;
        }
        self.state.store(defined | state & DROPPED, Ordering::Relaxed);
        true
    }

    pub(crate) fn unmark_logged(&self) {
        self.state.fetch_and(!DEFINED, Ordering::Relaxed);
    }

    /// Takes over what another slot of the same series notes.
    fn follow(&self, other: &SeriesSlot) {
        self.state.store(other.state.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The slots of [`BLOCK`] neighbouring numbers, or of some of them.
#[derive(Debug)]
pub(crate) struct Block {
    /// Which slots there are, ascending; all of them if it is empty.
    places: Box<[u16]>,
    slots: Box<[SeriesSlot]>,
    /// Grows with each change of what a slot notes.
    changes: AtomicU64,
}

impl Block {
    fn dense() -> Block {
        let slots = std::iter::repeat_with(SeriesSlot::default).take(BLOCK as usize);
        Block { places: Box::default(), slots: slots.collect(), changes: AtomicU64::new(0) }
    }

    /// A block of the slots of `source` at `places`, which are ascending and have series.
    pub(crate) fn copy(source: &Block, places: &[u16]) -> Block {
        let copied = places.iter().filter_map(|place| {
            let slot = source.get(*place)?;
            let copy = SeriesSlot::new(slot.entry()?.clone(), 0);
            copy.follow(slot);
            Some((*place, copy))
        });
        let (places, slots): (Vec<u16>, Vec<SeriesSlot>) = copied.unzip();
        Block { places: places.into(), slots: slots.into(), changes: AtomicU64::new(0) }
    }

    /// Takes over what the slots of `source`, of which this is a copy, note.
    pub(crate) fn follow(&self, source: &Block) {
        for (place, slot) in self.iter() {
            if let Some(other) = source.get(place) {
                slot.follow(other);
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, place: u16) -> Option<&SeriesSlot> {
        if self.places.is_empty() {
            return self.slots.get(place as usize);
        }
        self.slots.get(self.places.binary_search(&place).ok()?)
    }

    /// The slots with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &SeriesSlot)> {
        let is_dense = self.places.is_empty();
        (0u16..).zip(&self.slots).map(move |(at, slot)| match is_dense {
            true => (at, slot),
            false => (self.places.get(usize::from(at)).copied().unwrap_or(at), slot),
        })
    }

    /// Whoever finds the same number again finds in the slots what he found after the first time.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Series that can be named.
    pub(crate) fn named(&self) -> usize {
        self.slots.iter().filter(|slot| slot.entry().is_some() && !slot.is_dropped()).count()
    }

    /// Whether every slot has a series, so that none can come.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.iter().all(|slot| slot.entry().is_some())
    }
}

/// Slots by number.
#[derive(Debug)]
pub(crate) struct SeriesSlots {
    blocks: Slots<OnceLock<Arc<Block>>>,
    /// All blocks are below this one.
    blocks_end: AtomicU32,
}

impl SeriesSlots {
    pub(crate) fn new() -> SeriesSlots {
        SeriesSlots { blocks: Slots::new(), blocks_end: AtomicU32::new(0) }
    }

    /// The slot of a number. Five loads, no lock.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&SeriesSlot> {
        self.blocks.get(number / BLOCK)?.get()?.get(place(number))
    }

    /// The slot of a number, allocating its block.
    pub(crate) fn make(&self, number: u32) -> Option<&SeriesSlot> {
        let block = self.blocks.make(number / BLOCK)?.get_or_init(|| {
            self.blocks_end.fetch_max(number / BLOCK + 1, Ordering::AcqRel);
            Arc::new(Block::dense())
        });
        block.get(place(number))
    }

    /// Has `change` change what the slot of a number notes, and answers whether it did.
    #[inline]
    pub(crate) fn change(&self, number: u32, change: impl FnOnce(&SeriesSlot) -> bool) -> bool {
        let Some(block) = self.block(number / BLOCK) else { return false };
        let changed = block.get(place(number)).is_some_and(change);
        if changed {
            block.changes.fetch_add(1, Ordering::Release);
        }
        changed
    }

    pub(crate) fn block(&self, index: u32) -> Option<&Arc<Block>> {
        self.blocks.get(index)?.get()
    }

    /// Puts a block where none is.
    pub(crate) fn put(&self, index: u32, block: Arc<Block>) {
        self.blocks_end.fetch_max(index + 1, Ordering::AcqRel);
        let fresh = self.blocks.make(index).is_some_and(|free| free.set(block).is_ok());
        // invariant: I5: no number is given twice.
        assert!(fresh, "I5: numbers from {} were given twice", index.wrapping_mul(BLOCK));
    }

    /// The blocks with their indexes, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Block>)> {
        let end = self.blocks_end.load(Ordering::Acquire);
        (0..end).filter_map(|index| Some((index, self.block(index)?)))
    }
}

#[inline]
fn place(number: u32) -> u16 {
    // Below 1024.
    (number % BLOCK) as u16
}

/// The number at a place of a block.
pub(crate) fn number(index: u32, place: u16) -> u32 {
    index * BLOCK + u32::from(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::TagCharset;

    fn entry(number: u32) -> Entry {
        let host = number.to_string();
        let key = SeriesKey::new("m", &mut [("h", &*host)], TagCharset::Utf8).unwrap();
        Entry::new(NamespaceId(1), key, u128::from(number) << 70 | 5)
    }

    #[test]
    fn a_slot_takes_56_bytes() {
        assert_eq!(size_of::<SeriesSlot>(), 56);
    }

    #[test]
    fn a_copy_has_the_slots_that_were_chosen() {
        let slots = SeriesSlots::new();
        for number in 0..3000 {
            assert!(slots.make(number).unwrap().set(entry(number), 7));
        }
        assert!(!slots.make(5).unwrap().set(entry(6), 9), "a slot keeps its series");
        let source = slots.block(1).unwrap();
        assert!(source.is_full() && !slots.block(2).unwrap().is_full());
        source.get(3).unwrap().mark_logged(8);
        let copy = Block::copy(source, &[0, 3, 1023]);
        let found: Vec<u16> = copy.iter().map(|(place, _)| place).collect();
        assert_eq!(found, [0, 3, 1023]);
        assert_eq!(copy.get(3).unwrap().generation(), 8);
        assert_eq!(copy.get(1023).unwrap().entry().unwrap().hash(), 2047 << 70 | 5);
        assert!(copy.get(1).is_none() && copy.is_full());
        source.get(0).unwrap().mark_logged(9);
        copy.follow(source);
        assert_eq!(copy.get(0).unwrap().generation(), 9);
        assert_eq!(slots.iter().map(|(index, _)| index).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_definition_counts_for_its_generation_until_it_is_taken_back() {
        let slot = SeriesSlot::new(entry(1), 4);
        assert_eq!(slot.generation(), 4);
        assert!(slot.mark_logged(4) && !slot.mark_logged(4));
        slot.unmark_logged();
        assert!(slot.mark_logged(4));
        slot.drop_name();
        assert!(!slot.mark_logged(4) && slot.mark_logged(5) && slot.is_dropped());
        assert_eq!(slot.generation(), 5);
    }
}

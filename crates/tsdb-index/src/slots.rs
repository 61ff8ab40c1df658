//! A growing table of slots at fixed addresses: chunks that double in size, each allocated once and
//! never moved, so that readers need no lock. What a slot holds is its own business.

use std::sync::OnceLock;

/// Slots in the first chunk.
const FIRST_CHUNK_SLOTS: u32 = 1024;

/// Enough chunks for every `u32`: 1024 * (2^23 - 1) slots are more than 2^32.
const CHUNKS: usize = 23;

const _: () = assert!(FIRST_CHUNK_SLOTS as u64 * ((1 << CHUNKS) - 1) > u32::MAX as u64);

/// Slots by dense number.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

impl<T: Default> Slots<T> {
    pub(crate) fn new() -> Slots<T> {
        Slots { chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    /// The slot of `number`, if it was ever asked for by [`Slots::make`] or lies in the same chunk as
    /// one that was. Two loads, no lock.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, offset) = place(number);
        self.chunks.get(chunk)?.get()?.get(offset)
    }

    /// The slot of `number`, allocating its chunk.
    pub(crate) fn make(&self, number: u32) -> Option<&T> {
        let (chunk, offset) = place(number);
        let slots = self.chunks.get(chunk)?.get_or_init(|| {
            let count = (FIRST_CHUNK_SLOTS as usize) << chunk;
            std::iter::repeat_with(T::default).take(count).collect()
        });
        slots.get(offset)
    }
}

/// Chunk of a number and the place inside it: chunk c begins at number 1024 * (2^c - 1).
#[inline]
fn place(number: u32) -> (usize, usize) {
    let chunk = (u64::from(number / FIRST_CHUNK_SLOTS) + 1).ilog2();
    let begin = u64::from(FIRST_CHUNK_SLOTS) * ((1u64 << chunk) - 1);
    (chunk as usize, usize::try_from(u64::from(number) - begin).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn places_follow_each_other() {
        let mut expected = (0, 0);
        for number in 0..20_000 {
            assert_eq!(place(number), expected, "{number}");
            expected.1 += 1;
            if expected.1 == (FIRST_CHUNK_SLOTS as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place(u32::MAX).0, CHUNKS - 1);
    }

    #[test]
    fn slots_stay_where_they_are() {
        let slots: Slots<AtomicU32> = Slots::new();
        assert!(slots.get(0).is_none());
        let first = slots.make(0).unwrap();
        first.store(7, Ordering::Relaxed);
        for number in 0..10_000 {
            slots.make(number).unwrap();
        }
        assert!(std::ptr::eq(first, slots.get(0).unwrap()));
        assert_eq!(slots.get(0).unwrap().load(Ordering::Relaxed), 7);
        assert!(slots.get(20_000).is_none());
    }
}

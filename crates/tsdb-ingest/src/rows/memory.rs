//! The memory of one request: what it takes of the pool of bodies, and, one request at a time, beside it.
//!
//! Everything is charged before it is allocated, in the steps in which it is allocated. What a parser
//! keeps from one request to the next ([`crate::limits::BUFFER_KEPT_BYTES_MAX`], the caches) is bounded
//! by itself and stands beside the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tsdb_core::{MemoryBudget, Pool, Reservation, Result};

/// Smallest step in which a request's reservation grows, in bytes.
const RESERVE_STEP_BYTES: usize = 64 << 10;

/// Capacity of the smallest allocated vector.
const CAPACITY_MIN: usize = 4;

/// What the one request that does not fit into the pool may take beside it.
///
/// The columns of a body can be larger than its text: `a=1,` are four bytes and the value takes eight. A
/// pool that had room for the worst body that is allowed would be idle on all other days. So one request
/// at a time goes beyond; the sum stays bounded, and all others find what is left of the pool.
#[derive(Debug, Clone)]
pub(crate) struct Overdraft {
    is_taken: Arc<AtomicBool>,
    bytes_max: usize,
}

impl Overdraft {
    /// For one request at a time, of at most `bytes_max` bytes beside the pool.
    pub(crate) fn new(bytes_max: usize) -> Overdraft {
        Overdraft { is_taken: Arc::default(), bytes_max }
    }
}

/// The account of one request.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    used_bytes: usize,
    pool: Reservation,
    overdraft: Overdraft,
    /// What is taken beside the pool; above 0 only while the overdraft is this request's.
    beside_bytes: usize,
}

impl RequestMemory {
    pub(crate) fn new(budget: &MemoryBudget, overdraft: Overdraft) -> RequestMemory {
        let pool = budget.reserve_anyway(Pool::Bodies, 0);
        RequestMemory { used_bytes: 0, pool, overdraft, beside_bytes: 0 }
    }

    /// Charges `bytes` that are about to be allocated.
    ///
    /// # Errors
    /// [`tsdb_core::Error::OverBudget`]; nothing is charged then.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<()> {
        let used_bytes = self.used_bytes.saturating_add(bytes);
        let held_bytes = self.pool.bytes() + self.beside_bytes;
        if used_bytes > held_bytes {
            self.hold(used_bytes - held_bytes)?;
        }
        self.used_bytes = used_bytes;
        Ok(())
    }

    /// Takes note of `bytes` that were freed; they are kept for what the request takes next.
    pub(crate) fn give(&mut self, bytes: usize) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }

    #[cold]
    fn hold(&mut self, missing_bytes: usize) -> Result<()> {
        let step = missing_bytes.max(RESERVE_STEP_BYTES);
        let Err(refusal) = self.pool.grow(step) else { return Ok(()) };
        let fits = self.beside_bytes.saturating_add(step) <= self.overdraft.bytes_max;
        // Acquire and Release order nothing but the turns themselves.
        let has_turn = self.beside_bytes > 0;
        if fits && (has_turn || !self.overdraft.is_taken.swap(true, Ordering::AcqRel)) {
            self.beside_bytes += step;
            return Ok(());
        }
        Err(refusal)
    }

    /// Gives everything back: the request has ended.
    pub(crate) fn release(&mut self) {
        self.used_bytes = 0;
        self.pool.shrink(self.pool.bytes());
        if std::mem::take(&mut self.beside_bytes) > 0 {
            self.overdraft.is_taken.store(false, Ordering::Release);
        }
    }
}

impl Drop for RequestMemory {
    fn drop(&mut self) {
        self.release();
    }
}

/// Capacity of a full vector after the next push, `needed` entries at least: vectors double.
pub(crate) fn grown(capacity: usize, needed: usize) -> usize {
    capacity.saturating_mul(2).max(needed).max(CAPACITY_MIN)
}

/// Appends to a vector whose memory is charged.
///
/// # Errors
/// No memory; the vector is unchanged.
#[inline]
pub(crate) fn push_charged<T>(
    list: &mut Vec<T>,
    item: T,
    memory: &mut RequestMemory,
) -> Result<()> {
    if list.len() == list.capacity() {
        let capacity = grown(list.capacity(), list.len() + 1);
        memory.take((capacity - list.capacity()) * size_of::<T>())?;
        list.reserve_exact(capacity - list.len());
    }
    list.push(item);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(budget: &MemoryBudget, overdraft: &Overdraft) -> RequestMemory {
        RequestMemory::new(budget, overdraft.clone())
    }

    #[test]
    fn one_request_at_a_time_goes_beyond_the_pool() {
        let step = RESERVE_STEP_BYTES;
        let budget = MemoryBudget::with_limits([4 * step; 5]);
        let overdraft = Overdraft::new(2 * step);
        let mut first = account(&budget, &overdraft);
        let mut second = account(&budget, &overdraft);
        first.take(4 * step).unwrap();
        first.take(step).unwrap();
        assert_eq!(budget.used(Pool::Bodies), 4 * step, "the rest stands beside");
        assert!(second.take(1).is_err(), "not two at a time");
        first.take(step).unwrap();
        assert!(first.take(1).is_err(), "it has an end");
        first.give(step);
        first.take(step).unwrap();
        first.release();
        assert_eq!(budget.used(Pool::Bodies), 0);
        for memory in [&mut second, &mut first] {
            memory.take(4 * step).unwrap();
            memory.take(step).unwrap();
            memory.release();
        }
    }

    #[test]
    fn vectors_grow_as_they_are_charged() {
        let budget = MemoryBudget::with_limits([1 << 20; 5]);
        let mut memory = account(&budget, &Overdraft::new(0));
        let mut list: Vec<u64> = Vec::new();
        let error = loop {
            match push_charged(&mut list, 7, &mut memory) {
                Ok(()) => assert_eq!(memory.used_bytes, list.capacity() * 8),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, tsdb_core::Error::OverBudget { pool: Pool::Bodies, .. }));
        assert_eq!(list.capacity() * 8, 1 << 20);
        // What the standard library does is what `grown` says.
        for width in [1, 3, 10, 1000] {
            let (mut list, mut capacity): (Vec<f64>, usize) = (Vec::new(), 0);
            for _ in 0..2000 {
                if list.len() + width > capacity {
                    capacity = grown(capacity, list.len() + width);
                }
                list.extend_from_slice(&vec![0.0; width]);
                assert_eq!(list.capacity(), capacity);
            }
        }
    }
}

//! A response in the making: bytes that are charged to the memory of a query before they grow, and given up
//! when the query is ended. It is charged until it has been sent.
//!
//! Encoders ask for room between rows ([`Output::room`]) and append to the bytes in between.

use tsdb_core::CancelToken;
use tsdb_exec::{Charge, QueryMemory, Result};

/// Bytes that there is always room for. What a longer row takes beyond is charged with the next one.
const ROOM_BYTES: usize = 4 << 10;

/// Bytes between two looks at the token; they take some hundred microseconds to encode.
const BYTES_PER_LOOK: usize = 64 << 10;

/// Bytes that are charged as they grow.
#[derive(Debug)]
pub struct Output {
    /// What there is so far.
    pub bytes: Vec<u8>,
    /// With so many bytes it is time to look at the token, or to make room.
    pause_at: usize,
    held: Charge,
    memory: QueryMemory,
    cancel: CancelToken,
}

impl Output {
    /// Nothing so far. `memory` pays, `cancel` ends it.
    pub fn new(memory: &QueryMemory, cancel: &CancelToken) -> Output {
        Output {
            bytes: Vec::new(),
            pause_at: 0,
            held: memory.charge(),
            memory: memory.clone(),
            cancel: cancel.clone(),
        }
    }

    /// Sees to it that there is room for a row. To be called before each.
    ///
    /// # Errors
    /// The memory of queries is used up, or the query has been ended.
    #[inline]
    pub fn room(&mut self) -> Result<()> {
        if self.bytes.len() < self.pause_at { Ok(()) } else { self.make_room(ROOM_BYTES) }
    }

    /// Sees to it that there is room for `more` bytes.
    ///
    /// # Errors
    /// As [`Output::room`].
    pub fn make_room(&mut self, more: usize) -> Result<()> {
        self.cancel.check()?;
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let wanted = length.saturating_add(more.max(ROOM_BYTES));
        if wanted > capacity {
            // Half as much again keeps the copying linear, and takes less in vain than doubling.
            let grown = wanted.max(capacity.saturating_add(capacity / 2));
            // While it is copied it is there twice.
            self.held.cover(grown.saturating_add(capacity))?;
            self.bytes.reserve_exact(grown - length);
            self.held.give_back(capacity);
        }
        let spare_from = self.bytes.capacity().saturating_sub(ROOM_BYTES) + 1;
        self.pause_at = spare_from.min(length + BYTES_PER_LOOK);
        Ok(())
    }

    /// Charges `bytes` for what `work` has in memory beside the response.
    ///
    /// # Errors
    /// As [`Output::room`], and what `work` says.
    pub fn beside(
        &mut self,
        bytes: usize,
        work: impl FnOnce(&mut Output) -> Result<()>,
    ) -> Result<()> {
        let mut beside = self.memory.charge();
        beside.grow(bytes)?;
        work(self)
    }

    /// Makes room for about `more` bytes that will come, if there is memory for them, so that it need not grow step
    /// by step.
    pub fn expect(&mut self, more: usize) {
        // Without, it is told where the room is missed.
        let _ = self.make_room(more);
    }

    /// Takes back all but the first `length` bytes, and gives back what they took.
    pub fn roll_back(&mut self, length: usize) {
        self.bytes.truncate(length);
        let before = self.bytes.capacity();
        self.bytes.shrink_to(length + ROOM_BYTES);
        self.held.give_back(before - self.bytes.capacity());
        self.pause_at = 0;
    }
}

impl AsRef<[u8]> for Output {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
pub mod testing {
    //! Outputs for the tests of encoders.

    use super::*;
    use tsdb_core::MemoryBudget;

    /// What `push` writes, without limits.
    pub fn written(push: impl FnOnce(&mut Output) -> Result<()>) -> Vec<u8> {
        let memory = QueryMemory::new(&MemoryBudget::default(), None);
        let mut out = Output::new(&memory, &CancelToken::new());
        push(&mut out).unwrap();
        out.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_core::{Error, MemoryBudget, Pool};

    const POOL: usize = 1 << 20;

    fn output(budget: &MemoryBudget, cancel: &CancelToken) -> Output {
        Output::new(&QueryMemory::new(budget, None), cancel)
    }

    /// Appends rows of `bytes` until there is no room for another.
    fn fill(out: &mut Output, bytes: usize) -> tsdb_exec::Error {
        loop {
            if let Err(error) = out.room() {
                return error;
            }
            out.bytes.resize(out.bytes.len() + bytes, b'x');
        }
    }

    #[test]
    fn bytes_are_charged_before_they_grow() {
        for row in [1, 100, 3000, 2 * ROOM_BYTES] {
            let budget = MemoryBudget::with_limits([0, 0, 0, POOL, 0]);
            let mut out = output(&budget, &CancelToken::new());
            let error = fill(&mut out, row);
            assert!(matches!(error.kind(), tsdb_core::ErrorKind::LimitExceeded), "{error}");
            let (length, capacity) = (out.bytes.len(), out.bytes.capacity());
            assert!(length > POOL / 4, "{row}: {length}");
            // Only a row that is longer than the room can go beyond, by itself.
            let beyond = capacity.saturating_sub(budget.used(Pool::Queries));
            assert!(beyond == 0 || row > ROOM_BYTES, "{row}: {beyond}");
            out.roll_back(100);
            assert!(out.bytes.capacity() <= 2 * ROOM_BYTES && out.bytes.len() == 100);
            assert!(budget.used(Pool::Queries) <= 128 << 10, "{}", budget.used(Pool::Queries));
            out.room().unwrap();
            drop(out);
            assert_eq!(budget.used(Pool::Queries), 0);
        }
    }

    #[test]
    fn the_token_is_looked_at_every_so_many_bytes() {
        let (budget, cancel) = (MemoryBudget::default(), CancelToken::new());
        let mut out = output(&budget, &cancel);
        out.make_room(8 * BYTES_PER_LOOK).unwrap();
        for _ in 0..3 * BYTES_PER_LOOK / 100 {
            out.room().unwrap();
            out.bytes.extend_from_slice(&[b'x'; 100]);
        }
        let before = out.bytes.len();
        cancel.kill();
        assert_eq!(fill(&mut out, 100), tsdb_exec::Error::Storage(Error::Killed));
        assert!(out.bytes.len() <= before + BYTES_PER_LOOK, "{}", out.bytes.len() - before);
    }
}

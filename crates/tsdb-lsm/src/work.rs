//! What one read of the store takes: the memory that it holds, and the token that ends it early.

use tsdb_core::{CancelToken, MemoryBudget, Pool, Reservation, Result};

/// Memory is taken from the budget in steps of this size.
const STEP_BYTES: usize = 64 << 10;

/// Small items that are gone through between two looks at the token: some tens of microseconds.
const ITEMS_PER_LOOK: u32 = 1024;

/// Goes along with a read.
#[derive(Debug)]
pub(crate) struct Work {
    cancel: CancelToken,
    /// `None` for work of the engine itself, which is accounted for elsewhere.
    held: Option<Reservation>,
    /// Part of `held` that nothing uses yet.
    spare: usize,
    items: u32,
}

impl Work {
    /// Work for a query, which `cancel` ends, charged to the queries of `budget`.
    ///
    /// # Errors
    /// A token that was used already.
    pub(crate) fn new(budget: &MemoryBudget, cancel: &CancelToken) -> Result<Work> {
        cancel.check()?;
        let held = budget.reserve(Pool::Queries, 0)?;
        Ok(Work { cancel: cancel.clone(), held: Some(held), spare: 0, items: 0 })
    }

    /// Work that nobody ends and whose memory is accounted for elsewhere.
    pub(crate) fn of_the_engine() -> Work {
        Work { cancel: CancelToken::new(), held: None, spare: 0, items: 0 }
    }

    /// Work that the same token ends, and whose memory is accounted for elsewhere.
    pub(crate) fn apart(&self) -> Work {
        Work { cancel: self.cancel.clone(), held: None, spare: 0, items: 0 }
    }

    pub(crate) fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// Looks at the token.
    ///
    /// # Errors
    /// Why the work is to end.
    pub(crate) fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    /// Counts one small item; looks at the token now and then.
    ///
    /// # Errors
    /// As [`Work::check`].
    #[inline]
    pub(crate) fn step(&mut self) -> Result<()> {
        self.items = self.items.wrapping_add(1);
        if self.items.is_multiple_of(ITEMS_PER_LOOK) { self.check() } else { Ok(()) }
    }

    /// Takes `bytes` that are about to be allocated.
    ///
    /// # Errors
    /// The memory of queries is used up.
    #[inline]
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.spare {
            if let Some(held) = &mut self.held {
                held.grow((bytes - self.spare).next_multiple_of(STEP_BYTES))?;
            }
            self.spare += (bytes - self.spare).next_multiple_of(STEP_BYTES);
        }
        self.spare -= bytes;
        Ok(())
    }

    /// Gives `bytes` back that were freed.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.spare += bytes;
    }

    /// Ends the work; what is returned pays for what it leaves.
    pub(crate) fn finish(mut self) -> Option<Reservation> {
        if let Some(held) = &mut self.held {
            held.shrink(self.spare);
        }
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_held_in_steps_and_what_is_left_over_goes_back() {
        let budget = MemoryBudget::with_limits([0, 0, 0, 4 * STEP_BYTES, 0]);
        let mut work = Work::new(&budget, &CancelToken::new()).unwrap();
        work.hold(10).unwrap();
        work.hold(STEP_BYTES - 10).unwrap();
        assert_eq!(budget.used(Pool::Queries), STEP_BYTES);
        work.hold(2 * STEP_BYTES + 1).unwrap();
        assert_eq!(budget.used(Pool::Queries), 4 * STEP_BYTES);
        assert!(work.hold(STEP_BYTES).is_err());
        work.release(2 * STEP_BYTES);
        work.hold(STEP_BYTES).unwrap();
        let left = work.finish().unwrap();
        assert_eq!(left.bytes(), 2 * STEP_BYTES + 1);
        drop(left);
        assert_eq!(budget.used(Pool::Queries), 0);
    }

    #[test]
    fn a_used_token_ends_the_work() {
        let cancel = CancelToken::new();
        let mut work = Work::new(&MemoryBudget::default(), &cancel).unwrap();
        cancel.expire();
        let ended = (0..ITEMS_PER_LOOK).find_map(|_| work.step().err());
        assert_eq!(ended, Some(tsdb_core::Error::DeadlineExceeded));
        assert!(Work::new(&MemoryBudget::default(), &cancel).is_err());
    }
}

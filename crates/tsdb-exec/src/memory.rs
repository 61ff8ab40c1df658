//! The memory of one query: what its statements keep, and what becomes of their answers, out of the memory
//! for queries of the process and within what one query may have.
//!
//! Not here: the budget of the process ([`tsdb_core::MemoryBudget`]).

use tsdb_core::budget::ShareTerms;
use tsdb_core::{MemoryBudget, Pool, Reservation};

use crate::Result;

/// Bytes are taken from the budget in steps of this size, so that charging a block is one comparison.
const STEP_BYTES: usize = 64 << 10;

/// Memory that a query gets whatever others have taken: what one over some series needs.
const BYTES_MIN: usize = 512 << 10;
/// And never more than one part in so many of the pool.
const POOL_PARTS: usize = 32;

/// Name of the limit, as in the configuration.
pub(crate) const LIMIT: &str = "query-memory";
/// What to do about it where no flag says how much one query may have.
const REMEDY: &str = "one query may take half of the queries' memory while others run: narrow it, wait for the \
                      others, or raise --memory-limit";
/// What to do about it where one does.
pub(crate) const REMEDY_OF_FLAG: &str = "narrow the query, or raise --query-memory; while others run one query may \
                                         take half of the queries' memory, which --memory-limit raises";

/// Where a query's charges come from, and how much it has in all. Cloning shares it: one for all statements of
/// a request, for what the engine takes for them, and for the bytes of their answers.
#[derive(Debug, Clone)]
pub struct QueryMemory(MemoryBudget);

impl QueryMemory {
    /// Memory of `budget`'s pool of queries: at most `bytes_max`, and at most half of the pool while others
    /// have some of it.
    #[must_use]
    pub fn new(budget: &MemoryBudget, bytes_max: Option<usize>) -> QueryMemory {
        let terms = ShareTerms {
            bytes_min: BYTES_MIN
                .min(budget.limit(Pool::Queries) / POOL_PARTS)
                .min(bytes_max.unwrap_or(usize::MAX)),
            bytes_max: bytes_max.unwrap_or(usize::MAX),
            limit: LIMIT,
            remedy: if bytes_max.is_some() { REMEDY_OF_FLAG } else { REMEDY },
        };
        QueryMemory(budget.share(Pool::Queries, terms))
    }

    /// The budget under which this query's charges count as its own, for what charges itself.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        &self.0
    }

    /// Most bytes that it held at once, up to now.
    #[must_use]
    pub fn used_max(&self) -> usize {
        self.0.share_used_max(Pool::Queries)
    }

    /// A charge of nothing, to be grown.
    #[must_use]
    pub fn charge(&self) -> Charge {
        Charge { reservation: self.0.reserve_anyway(Pool::Queries, 0), spare: 0 }
    }
}

/// Bytes that a part of a query holds; given back on drop.
#[derive(Debug)]
pub struct Charge {
    reservation: Reservation,
    /// Part of the reservation that nothing uses.
    spare: usize,
}

impl Charge {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// The pool is used up, or the query would have more than it may; nothing is taken then.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.spare {
            let step = (bytes - self.spare).max(STEP_BYTES);
            self.reservation.grow(step)?;
            self.spare += step;
        }
        self.spare -= bytes;
        Ok(())
    }

    /// Takes as many bytes as are missing to `bytes` in all.
    ///
    /// # Errors
    /// As [`Charge::grow`].
    pub fn cover(&mut self, bytes: usize) -> Result<()> {
        self.grow(bytes.saturating_sub(self.reservation.bytes() - self.spare))
    }

    /// Gives `bytes` back that are no longer used.
    pub fn give_back(&mut self, bytes: usize) {
        self.spare = self.spare.saturating_add(bytes).min(self.reservation.bytes());
        // What is used again soon need not go the way to the budget and back.
        if self.spare > 2 * STEP_BYTES {
            self.reservation.shrink(self.spare - STEP_BYTES);
            self.spare = STEP_BYTES;
        }
    }

    /// Takes over what `other` holds.
    pub(crate) fn merge(&mut self, other: Charge) {
        self.reservation.merge(other.reservation);
        self.give_back(other.spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: usize = STEP_BYTES;

    fn budget(steps: usize) -> MemoryBudget {
        MemoryBudget::with_limits([0, 0, 0, steps * STEP, 0])
    }

    #[test]
    fn a_query_may_take_half_while_others_run() {
        let budget = budget(10);
        let memory = QueryMemory::new(&budget, None);
        let mut alone = memory.charge();
        // What its engine holds counts as its own.
        let engine = memory.budget().reserve(Pool::Queries, STEP).unwrap();
        alone.grow(6 * STEP).unwrap();
        assert_eq!(budget.used(Pool::Queries), 7 * STEP);
        let mut late = QueryMemory::new(&budget, None).charge();
        late.grow(1).unwrap();
        let error = alone.grow(STEP).unwrap_err().to_string();
        assert!(
            error.contains("query-memory exceeded") && error.contains("--memory-limit"),
            "{error}"
        );
        drop(late);
        alone.grow(STEP).unwrap();
        drop((alone, engine));
        assert_eq!(budget.used(Pool::Queries), 0);
    }

    #[test]
    fn a_query_never_takes_more_than_the_most() {
        let budget = budget(10);
        let memory = QueryMemory::new(&budget, Some(3 * STEP));
        let (mut first, mut second) = (memory.charge(), memory.charge());
        first.grow(2 * STEP).unwrap();
        second.grow(STEP).unwrap();
        let error = second.grow(1).unwrap_err().to_string();
        let expected = "query-memory exceeded: 262144 needed, 196608 allowed; narrow the query, or raise --query-memory;";
        assert!(error.starts_with(expected), "{error}");
        assert!(memory.budget().reserve(Pool::Queries, 1).is_err(), "what the engine takes counts");
        assert_eq!(budget.used(Pool::Queries), 3 * STEP);
        drop(first);
        second.grow(STEP).unwrap();
        assert_eq!(budget.used(Pool::Queries), 2 * STEP);
    }

    #[test]
    fn what_is_given_back_can_be_taken_by_others() {
        let budget = budget(10);
        let memory = QueryMemory::new(&budget, None);
        let mut charge = memory.charge();
        charge.cover(5 * STEP).unwrap();
        charge.cover(4 * STEP).unwrap();
        assert_eq!(budget.used(Pool::Queries), 5 * STEP);
        charge.give_back(4 * STEP);
        assert_eq!(budget.used(Pool::Queries), 2 * STEP);
        charge.cover(2 * STEP).unwrap();
        let mut other = memory.charge();
        other.grow(1).unwrap();
        // A thousand small charges do not pile up what they do not use.
        for _ in 0..1000 {
            let mut small = memory.charge();
            small.grow(1).unwrap();
            other.merge(small);
        }
        assert!(budget.used(Pool::Queries) <= 5 * STEP, "{}", budget.used(Pool::Queries) / STEP);
        drop((charge, other));
        assert_eq!(budget.used(Pool::Queries), 0);
    }
}

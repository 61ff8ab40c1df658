//! What a request says beside the query text, and the memory that a statement holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tsdb_core::{CancelToken, MemoryBudget, Pool, Reservation};

use crate::{Error, Result};

/// What a request says beside the query text.
#[derive(Debug, Clone)]
pub struct QueryContext<'r> {
    /// Database that is meant where a statement names none.
    pub database: Option<&'r str>,
    /// Retention policy that is meant where neither a database nor a policy is named; absent means the
    /// database's default.
    pub policy: Option<&'r str>,
    /// The value of `now()`, in ns since 1970.
    pub now_ns: i64,
    /// Budget whose pool of queries pays for the work and the answer.
    pub budget: MemoryBudget,
    /// Looked at once per block.
    pub cancel: CancelToken,
}

impl QueryContext<'_> {
    /// A context without a database, with its own default budget.
    #[must_use]
    pub fn new(now_ns: i64) -> Self {
        QueryContext {
            database: None,
            policy: None,
            now_ns,
            budget: MemoryBudget::default(),
            cancel: CancelToken::new(),
        }
    }
}

/// Bytes are taken from the budget in steps of this size, so that charging a block is one comparison.
const STEP_BYTES: usize = 64 << 10;

/// The memory of one statement: where its charges come from, and how much it has in all.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    budget: MemoryBudget,
    total: Arc<AtomicUsize>,
}

impl Memory {
    pub(crate) fn new(budget: &MemoryBudget) -> Memory {
        Memory { budget: budget.clone(), total: Arc::default() }
    }

    /// A charge of nothing, to be grown.
    pub(crate) fn charge(&self) -> Result<Charge> {
        let reservation = self.budget.reserve(Pool::Queries, 0)?;
        Ok(Charge { reservation, spare: 0, taken: 0, memory: self.clone() })
    }
}

/// Bytes that a part of a statement holds; given back on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    reservation: Reservation,
    spare: usize,
    taken: usize,
    memory: Memory,
}

impl Charge {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// The pool is used up, or this statement would hold more than half of it while others hold some.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<()> {
        if bytes <= self.spare {
            self.spare -= bytes;
            return Ok(());
        }
        let step = (bytes - self.spare).max(STEP_BYTES);
        let total = self.memory.total.fetch_add(step, Ordering::Relaxed) + step;
        self.taken += step;
        let budget = &self.memory.budget;
        let half = budget.limit(Pool::Queries) / 2;
        let others = budget.used(Pool::Queries) > total - step;
        if others && total > half {
            return Err(Error::limit(
                "query-memory",
                total as u64,
                half as u64,
                "one query may take half of the queries' memory while others run: narrow it, wait for \
                 the others, or raise --memory-limit",
            ));
        }
        self.reservation.grow(step)?;
        self.spare = self.spare + step - bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.total.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_may_take_half_while_others_run() {
        let budget = MemoryBudget::with_limits([0, 0, 0, 10 * STEP_BYTES, 0]);
        let memory = Memory::new(&budget);
        let mut alone = memory.charge().unwrap();
        alone.grow(7 * STEP_BYTES).unwrap();
        assert_eq!(budget.used(Pool::Queries), 7 * STEP_BYTES);
        let other = Memory::new(&budget);
        let mut late = other.charge().unwrap();
        late.grow(1).unwrap();
        let error = alone.grow(STEP_BYTES).unwrap_err();
        assert!(error.to_string().contains("query-memory exceeded"), "{error}");
        drop(late);
        alone.grow(STEP_BYTES).unwrap();
        drop(alone);
        assert_eq!(budget.used(Pool::Queries), 0);
        assert_eq!(memory.total.load(Ordering::Relaxed), 0);
    }
}

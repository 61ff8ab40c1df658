//! The memory budget of the process: pools with limits, reservations that give back what they took.
//!
//! Everything that grows with load holds a [`Reservation`]. The budget counts what is reserved, not what
//! the allocator hands out; holders charge what they are about to allocate, before they do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, Result};

/// A part of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pool {
    /// Rows that are not yet in a run, open and sealed.
    Memtable,
    /// Buffers of flush and compaction.
    Compaction,
    /// Cached pages and the directories of open runs.
    Cache,
    /// Queries: intermediate and final results.
    Queries,
    /// Request bodies and the batches parsed from them.
    Bodies,
}

impl Pool {
    /// All pools.
    pub const ALL: [Pool; 5] =
        [Pool::Memtable, Pool::Compaction, Pool::Cache, Pool::Queries, Pool::Bodies];

    /// Name as in metrics and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Pool::Memtable => "memtable",
            Pool::Compaction => "compaction",
            Pool::Cache => "cache",
            Pool::Queries => "queries",
            Pool::Bodies => "bodies",
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How full a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Below 60 %: nothing to do.
    Normal,
    /// From 60 %: flush earlier.
    Elevated,
    /// From 85 %: slow down; at 100 % reservations are refused.
    High,
}

const MIB: usize = 1 << 20;

/// Total of [`MemoryBudget::with_total`]'s shares, in MiB, and the default limit.
pub const DEFAULT_TOTAL_BYTES: usize = 288 * MIB;

#[derive(Debug, Default)]
struct Account {
    used: AtomicUsize,
    limit: usize,
}

/// Limits and use of all pools. Cloning shares them.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<[Account; 5]>);

impl Default for MemoryBudget {
    fn default() -> Self {
        MemoryBudget::with_total(DEFAULT_TOTAL_BYTES)
    }
}

impl MemoryBudget {
    /// Splits `total` bytes: memtable 96, compaction 32, cache 64, queries 64, bodies 32 of every 288.
    pub fn with_total(total: usize) -> MemoryBudget {
        let share = |parts: usize| total / 288 * parts;
        MemoryBudget::with_limits([share(96), share(32), share(64), share(64), share(32)])
    }

    /// Limits in bytes, in the order of [`Pool::ALL`].
    pub fn with_limits(limits: [usize; 5]) -> MemoryBudget {
        MemoryBudget(Arc::new(limits.map(|limit| Account { used: AtomicUsize::new(0), limit })))
    }

    fn account(&self, pool: Pool) -> &Account {
        let [memtable, compaction, cache, queries, bodies] = &*self.0;
        match pool {
            Pool::Memtable => memtable,
            Pool::Compaction => compaction,
            Pool::Cache => cache,
            Pool::Queries => queries,
            Pool::Bodies => bodies,
        }
    }

    /// Takes `bytes` from `pool` until the reservation is dropped.
    ///
    /// # Errors
    /// [`Error::OverBudget`]; nothing is taken then.
    pub fn reserve(&self, pool: Pool, bytes: usize) -> Result<Reservation> {
        let mut reservation = Reservation { budget: self.clone(), pool, bytes: 0 };
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Takes `bytes` even above the limit; for what must go on to bring the use down.
    pub fn reserve_anyway(&self, pool: Pool, bytes: usize) -> Reservation {
        self.account(pool).used.fetch_add(bytes, Ordering::Relaxed);
        Reservation { budget: self.clone(), pool, bytes }
    }

    /// Bytes taken from `pool`.
    pub fn used(&self, pool: Pool) -> usize {
        self.account(pool).used.load(Ordering::Relaxed)
    }

    /// Bytes that `pool` may hold.
    pub fn limit(&self, pool: Pool) -> usize {
        self.account(pool).limit
    }

    /// How full `pool` is.
    pub fn pressure(&self, pool: Pool) -> Pressure {
        let (used, limit) = (self.used(pool) as u128, self.limit(pool) as u128);
        if used * 100 >= limit * 85 {
            Pressure::High
        } else if used * 100 >= limit * 60 {
            Pressure::Elevated
        } else {
            Pressure::Normal
        }
    }
}

/// Bytes taken from a pool; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    pool: Pool,
    bytes: usize,
}

impl Reservation {
    /// Takes `more` bytes in addition.
    ///
    /// # Errors
    /// [`Error::OverBudget`]; the reservation keeps what it had.
    pub fn grow(&mut self, more: usize) -> Result<()> {
        let account = self.budget.account(self.pool);
        let taken = account.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|sum| *sum <= account.limit)
        });
        match taken {
            Ok(_) => {
                self.bytes += more;
                Ok(())
            }
            Err(used) => {
                Err(Error::OverBudget { pool: self.pool, wanted: more, used, limit: account.limit })
            }
        }
    }

    /// Gives `bytes` back, at most what is held.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.budget.account(self.pool).used.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes -= bytes;
    }

    /// Moves all of `other`, which must be of the same pool, into this reservation.
    pub fn merge(&mut self, mut other: Reservation) {
        debug_assert_eq!(self.pool, other.pool, "reservations of one pool can be merged");
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.account(self.pool).used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back() {
        let budget = MemoryBudget::with_limits([100; 5]);
        let mut held = budget.reserve(Pool::Queries, 60).unwrap();
        assert_eq!(budget.pressure(Pool::Queries), Pressure::Elevated);
        assert!(matches!(
            budget.reserve(Pool::Queries, 41),
            Err(Error::OverBudget { used: 60, wanted: 41, limit: 100, .. })
        ));
        assert_eq!(budget.used(Pool::Memtable), 0);
        held.grow(40).unwrap();
        assert_eq!(budget.pressure(Pool::Queries), Pressure::High);
        held.shrink(90);
        assert_eq!(budget.used(Pool::Queries), 10);
        drop(held);
        assert_eq!(budget.used(Pool::Queries), 0);
    }

    #[test]
    fn over_the_limit_only_where_it_must_go_on() {
        let budget = MemoryBudget::with_limits([10; 5]);
        let forced = budget.reserve_anyway(Pool::Compaction, 25);
        assert_eq!(budget.used(Pool::Compaction), 25);
        assert!(budget.reserve(Pool::Compaction, 1).is_err());
        drop(forced);
        assert!(budget.reserve(Pool::Compaction, 1).is_ok());
    }

    #[test]
    fn threads_never_take_more_than_the_limit() {
        let budget = MemoryBudget::with_limits([1000; 5]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        if let Ok(held) = budget.reserve(Pool::Bodies, 400) {
                            assert!(budget.used(Pool::Bodies) <= 1000);
                            drop(held);
                        }
                    }
                });
            }
        });
        assert_eq!(budget.used(Pool::Bodies), 0);
    }
}

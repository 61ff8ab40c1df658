//! The memory budget of the process: pools with limits, reservations that give back what they took.
//!
//! Everything that grows with load holds a [`Reservation`]. The budget counts what is reserved, not what
//! the allocator hands out; holders charge what they are about to allocate, before they do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

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

/// How full a pool is, or how near the process is to the memory that the system lets it have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Pressure {
    /// Nothing to do.
    #[default]
    Normal,
    /// From [`Pressure::ELEVATED_PERCENT`]: flush earlier.
    Elevated,
    /// From [`Pressure::HIGH_PERCENT`]: slow down; at 100 % of a pool reservations are refused.
    High,
}

impl Pressure {
    /// Where [`Pressure::Elevated`] begins, in percent.
    pub const ELEVATED_PERCENT: usize = 60;
    /// Where [`Pressure::High`] begins, in percent.
    pub const HIGH_PERCENT: usize = 85;

    /// The pressure of `used` of `limit` bytes.
    pub fn of(used: usize, limit: usize) -> Pressure {
        let (used, limit) = (used as u128 * 100, limit as u128);
        if used >= limit * Self::HIGH_PERCENT as u128 {
            Pressure::High
        } else if used >= limit * Self::ELEVATED_PERCENT as u128 {
            Pressure::Elevated
        } else {
            Pressure::Normal
        }
    }
}

const MIB: usize = 1 << 20;

/// Total of [`MemoryBudget::with_total`]'s shares, in MiB, and the default limit.
pub const DEFAULT_TOTAL_BYTES: usize = 288 * MIB;

/// What all clones of a budget share.
#[derive(Debug)]
struct Accounts {
    pools: [Account; 5],
    /// A [`Pressure`] that somebody measured from outside.
    process: AtomicU8,
}

#[derive(Debug, Default)]
struct Account {
    used: AtomicUsize,
    limit: usize,
}

/// Limits and use of all pools. Cloning shares them.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    accounts: Arc<Accounts>,
    share: Option<Arc<Share>>,
}

/// The part of a pool that one user of it may take.
#[derive(Debug)]
struct Share {
    pool: Pool,
    used: AtomicUsize,
    /// The most that was used at once.
    used_max: AtomicUsize,
    terms: ShareTerms,
}

/// What one of many users of a pool may take of it, and how a refusal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareTerms {
    /// Bytes that it always gets, even when others have used the pool up: so much that a small user never
    /// fails because of large ones. Times the number of users, this may stand above the pool's limit.
    pub bytes_min: usize,
    /// Most bytes at once.
    pub bytes_max: usize,
    /// Name of the limit, as in configuration.
    pub limit: &'static str,
    /// What to do when it is reached.
    pub remedy: &'static str,
}

impl Share {
    /// Takes `more` bytes; whether they are among those that it always gets.
    fn take(&self, more: usize, account: &Account) -> Result<bool> {
        let own = self.used.fetch_add(more, Ordering::Relaxed);
        let total = own.saturating_add(more);
        let others = account.used.load(Ordering::Relaxed) > own;
        let half = if others { account.limit / 2 } else { usize::MAX };
        let allowed = self.terms.bytes_max.min(half);
        if total <= allowed || total <= self.terms.bytes_min {
            self.used_max.fetch_max(total, Ordering::Relaxed);
            return Ok(total <= self.terms.bytes_min);
        }
        self.give_back(more);
        Err(Error::LimitExceeded {
            limit: self.terms.limit,
            wanted: total as u64,
            allowed: allowed as u64,
            remedy: self.terms.remedy,
        })
    }

    /// Takes `more` bytes whatever the terms say.
    fn take_anyway(&self, more: usize) {
        let own = self.used.fetch_add(more, Ordering::Relaxed);
        self.used_max.fetch_max(own.saturating_add(more), Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

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
        let account = |limit| Account { used: AtomicUsize::new(0), limit };
        let pools = limits.map(account);
        let accounts = Accounts { pools, process: AtomicU8::new(Pressure::Normal as u8) };
        MemoryBudget { accounts: Arc::new(accounts), share: None }
    }

    /// The same budget for one of many users of `pool`. What it takes counts there as before; it may take
    /// what `terms` say, and no more than half of the pool while others hold any of it. Other pools are
    /// not restricted. A share of a share replaces it.
    #[must_use]
    pub fn share(&self, pool: Pool, terms: ShareTerms) -> MemoryBudget {
        let (used, used_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let share = Share { pool, used, used_max, terms };
        MemoryBudget { accounts: Arc::clone(&self.accounts), share: Some(Arc::new(share)) }
    }

    fn share_of(&self, pool: Pool) -> Option<&Share> {
        self.share.as_deref().filter(|share| share.pool == pool)
    }

    fn account(&self, pool: Pool) -> &Account {
        let [memtable, compaction, cache, queries, bodies] = &self.accounts.pools;
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
    /// [`Error::OverBudget`]; [`Error::LimitExceeded`] for more than a [`MemoryBudget::share`]. Nothing is
    /// taken then.
    pub fn reserve(&self, pool: Pool, bytes: usize) -> Result<Reservation> {
        let mut reservation = Reservation { budget: self.clone(), pool, bytes: 0 };
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Takes `bytes` even above the limit; for what must go on to bring the use down.
    pub fn reserve_anyway(&self, pool: Pool, bytes: usize) -> Reservation {
        self.account(pool).used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(share) = self.share_of(pool) {
            share.take_anyway(bytes);
        }
        Reservation { budget: self.clone(), pool, bytes }
    }

    /// Bytes taken from `pool`.
    pub fn used(&self, pool: Pool) -> usize {
        self.account(pool).used.load(Ordering::Relaxed)
    }

    /// Most bytes that this [`MemoryBudget::share`] of `pool` held at once, up to now; 0 for what is no share of it.
    /// Bytes that were asked for and refused for want of room in the pool count, too.
    pub fn share_used_max(&self, pool: Pool) -> usize {
        self.share_of(pool).map_or(0, |share| share.used_max.load(Ordering::Relaxed))
    }

    /// Bytes that `pool` may hold.
    pub fn limit(&self, pool: Pool) -> usize {
        self.account(pool).limit
    }

    /// How full `pool` is, or the pressure on the process if that is higher.
    pub fn pressure(&self, pool: Pool) -> Pressure {
        Pressure::of(self.used(pool), self.limit(pool)).max(self.process_pressure())
    }

    /// Says how near the process is to the memory that the system lets it have. Reservations count what is
    /// allocated under the budget; the registry, code, and what the allocator keeps come on top, and only
    /// somebody who looks at the process from outside knows of them.
    pub fn set_process_pressure(&self, pressure: Pressure) {
        self.accounts.process.store(pressure as u8, Ordering::Relaxed);
    }

    /// What [`MemoryBudget::set_process_pressure`] said last.
    pub fn process_pressure(&self) -> Pressure {
        let said = self.accounts.process.load(Ordering::Relaxed);
        let known = [Pressure::Normal, Pressure::Elevated, Pressure::High];
        known.into_iter().find(|pressure| *pressure as u8 == said).unwrap_or_default()
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
    /// As [`MemoryBudget::reserve`]; the reservation keeps what it had.
    pub fn grow(&mut self, more: usize) -> Result<()> {
        let account = self.budget.account(self.pool);
        let share = self.budget.share_of(self.pool);
        let is_granted = share.map_or(Ok(false), |share| share.take(more, account))?;
        if is_granted {
            account.used.fetch_add(more, Ordering::Relaxed);
            self.bytes += more;
            return Ok(());
        }
        let taken = account.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|sum| *sum <= account.limit)
        });
        match taken {
            Ok(_) => {
                self.bytes += more;
                Ok(())
            }
            Err(used) => {
                if let Some(share) = share {
                    share.give_back(more);
                }
                Err(Error::OverBudget { pool: self.pool, wanted: more, used, limit: account.limit })
            }
        }
    }

    /// Takes what is missing to `bytes` in all, even above the limit; as [`MemoryBudget::reserve_anyway`].
    pub fn cover_anyway(&mut self, bytes: usize) {
        let more = self.budget.reserve_anyway(self.pool, bytes.saturating_sub(self.bytes));
        self.merge(more);
    }

    /// Gives `bytes` back, at most what is held.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        // The pool first: in between, what this share held must not look like somebody else's.
        self.budget.account(self.pool).used.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(share) = self.budget.share_of(self.pool) {
            share.give_back(bytes);
        }
        self.bytes -= bytes;
    }

    /// Moves all of `other`, which must be of the same pool, into this reservation; what it counts for
    /// in a share of the pool goes there too.
    pub fn merge(&mut self, mut other: Reservation) {
        debug_assert_eq!(self.pool, other.pool, "reservations of one pool can be merged");
        let bytes = std::mem::take(&mut other.bytes);
        if let Some(share) = other.budget.share_of(other.pool) {
            share.give_back(bytes);
        }
        if let Some(share) = self.budget.share_of(self.pool) {
            share.take_anyway(bytes);
        }
        self.bytes += bytes;
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
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

    #[test]
    fn a_share_is_bounded_by_its_terms_and_by_half_of_the_pool_beside_others() {
        let terms = |bytes_max| ShareTerms {
            bytes_min: 0,
            bytes_max,
            limit: "each",
            remedy: "ask for less",
        };
        let budget = MemoryBudget::with_limits([0, 0, 0, 100, 100]);
        let one = budget.share(Pool::Queries, terms(usize::MAX));
        let mut held = one.reserve(Pool::Queries, 60).unwrap();
        held.merge(one.reserve(Pool::Queries, 20).unwrap());
        assert_eq!(budget.used(Pool::Queries), 80);
        assert_eq!(
            (one.share_used_max(Pool::Queries), budget.share_used_max(Pool::Queries)),
            (80, 0)
        );
        let other = budget.share(Pool::Queries, terms(15));
        let small = other.reserve(Pool::Queries, 10).unwrap();
        // The first holds more than half, which it keeps, and gets no more.
        let refused = held.grow(1).unwrap_err();
        let expected =
            Error::LimitExceeded { limit: "each", wanted: 81, allowed: 50, remedy: "ask for less" };
        assert_eq!(refused, expected);
        let refused = other.reserve(Pool::Queries, 6).unwrap_err();
        assert!(
            matches!(refused, Error::LimitExceeded { wanted: 16, allowed: 15, .. }),
            "{refused}"
        );
        assert!(one.reserve(Pool::Bodies, 99).is_ok(), "other pools are not restricted");
        drop(small);
        held.grow(20).unwrap();
        assert!(matches!(held.grow(1), Err(Error::OverBudget { .. })));
        held.shrink(60);
        assert_eq!(budget.used(Pool::Queries), 40);
        drop(held);
        assert_eq!(
            (budget.used(Pool::Queries), one.share.as_ref().unwrap().used.load(Ordering::Relaxed)),
            (0, 0)
        );
        let _forced = one.reserve_anyway(Pool::Queries, 300);
        assert_eq!((one.share_used_max(Pool::Queries), one.share_used_max(Pool::Bodies)), (300, 0));
    }

    #[test]
    fn pressure_on_the_process_is_felt_in_every_pool() {
        let budget = MemoryBudget::with_limits([100; 5]);
        let other = budget.clone();
        let _held = budget.reserve(Pool::Memtable, 70).unwrap();
        other.set_process_pressure(Pressure::High);
        assert!(Pool::ALL.iter().all(|pool| budget.pressure(*pool) == Pressure::High));
        other.set_process_pressure(Pressure::Normal);
        assert_eq!(budget.pressure(Pool::Memtable), Pressure::Elevated);
        assert_eq!(budget.pressure(Pool::Cache), Pressure::Normal);
    }

    #[test]
    fn a_share_always_gets_its_least() {
        let budget = MemoryBudget::with_limits([0, 0, 0, 100, 0]);
        let _others = budget.reserve(Pool::Queries, 100).unwrap();
        let terms =
            ShareTerms { bytes_min: 30, bytes_max: 200, limit: "each", remedy: "ask for less" };
        let small = budget.share(Pool::Queries, terms);
        let mut held = small.reserve(Pool::Queries, 20).unwrap();
        held.grow(10).unwrap();
        assert!(held.grow(1).is_err());
        assert_eq!(budget.used(Pool::Queries), 130);
        drop(held);
        assert_eq!(budget.used(Pool::Queries), 100);
    }
}

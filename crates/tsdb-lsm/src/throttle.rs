//! Slowing writers down while the memtable is short of room, so that a flush can catch up before anything
//! is refused.
//!
//! Below [`Pressure::High`] nobody waits. From there to the limit each batch pauses a little, the longer the
//! fuller the memtable is, which brings writers to the speed of the flush without a jolt. At the limit a
//! batch waits for room, and is refused only when none comes in time: a client that is told to come back
//! later has to keep its data and send it again, which costs both sides more than waiting does.

use std::sync::Arc;
use std::time::Duration;

use tsdb_core::budget::Pressure;
use tsdb_core::env::Clock;
use tsdb_core::sync::{Condvar, Mutex};
use tsdb_core::{Error, MemoryBudget, Pool, Reservation, Result};

/// Pause of a batch when the memtable is about to be full.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Longest wait of a batch for room. Requests wait behind it, so it stays well below what clients wait.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// A wait is looked at again after this time even if nobody was seen to free memory: queries free some too.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where writers wait for memory, and flushes say that they freed some.
#[derive(Debug)]
pub(crate) struct Throttle {
    clock: Arc<dyn Clock>,
    /// Counts the times that memory was freed.
    freed: Mutex<u64>,
    changed: Condvar,
}

/// What a writer went through on its way in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub memory: Reservation,
    /// Time that it was held up.
    pub waited: Duration,
}

impl Throttle {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Throttle {
        Throttle { clock, freed: Mutex::new(0), changed: Condvar::new() }
    }

    /// Tells those who wait that memory may have come free, or that waiting has lost its point.
    pub(crate) fn memory_was_freed(&self) {
        *self.freed.lock() += 1;
        self.changed.notify_all();
    }

    /// Reserves `bytes` of the memtable, slowly if there is little left. `flush` is called when a flush is
    /// wanted, `is_wanted` says whether the writer still wants to go on.
    ///
    /// # Errors
    /// [`Error::OverBudget`] when no room came in time, [`Error::TooMany`] for a batch that the memtable
    /// could not hold if it were empty.
    pub(crate) fn admit(
        &self,
        budget: &MemoryBudget,
        bytes: usize,
        flush: impl Fn(),
        is_wanted: impl Fn() -> bool,
    ) -> Result<Admitted> {
        let limit = budget.limit(Pool::Memtable);
        if bytes > limit {
            return Err(Error::TooMany {
                what: "bytes of rows in one batch",
                count: bytes as u64,
                count_max: limit as u64,
                remedy: "send smaller batches, or raise --memory-limit",
            });
        }
        let mut waited = Duration::ZERO;
        if budget.pressure(Pool::Memtable) == Pressure::High {
            flush();
            waited = self.wait(pause(budget));
        }
        loop {
            match budget.reserve(Pool::Memtable, bytes) {
                Ok(memory) => return Ok(Admitted { memory, waited }),
                Err(full) if waited >= WAIT_MAX || !is_wanted() => return Err(full),
                Err(_) => {
                    flush();
                    waited += self.wait(LOOK_EVERY);
                }
            }
        }
    }

    /// Waits until memory is freed, at most `most`. Gives the time that is counted for it.
    fn wait(&self, most: Duration) -> Duration {
        let mut freed = self.freed.lock();
        let before = *freed;
        let started = self.clock.mono_ns();
        let elapsed = || Duration::from_nanos(self.clock.mono_ns().saturating_sub(started));
        while *freed == before {
            if self.changed.wait_for(&mut freed, most.saturating_sub(elapsed())).timed_out() {
                // Whatever the clock says: one that stands still must not make this wait for ever.
                return elapsed().max(most);
            }
        }
        elapsed()
    }
}

/// How long a batch pauses: nothing where [`Pressure::High`] begins, [`PAUSE_MAX`] at the limit, and while
/// the process as a whole is short of memory.
fn pause(budget: &MemoryBudget) -> Duration {
    if budget.process_pressure() == Pressure::High {
        return PAUSE_MAX;
    }
    let (used, limit) = (budget.used(Pool::Memtable), budget.limit(Pool::Memtable));
    let begins = limit / 100 * Pressure::HIGH_PERCENT;
    let beyond = used.saturating_sub(begins).min(limit - begins);
    PAUSE_MAX.mul_f64(beyond as f64 / (limit - begins).max(1) as f64)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(tsdb_core::env::Env::real().clock)
    }

    fn budget(used: usize) -> (MemoryBudget, Reservation) {
        let budget = MemoryBudget::with_limits([1000, 0, 0, 0, 0]);
        let held = budget.reserve(Pool::Memtable, used).unwrap();
        (budget, held)
    }

    #[test]
    fn nobody_waits_while_there_is_room() {
        let (budget, _held) = budget(700);
        let admitted = throttle().admit(&budget, 200, || unreachable!(), || true);
        assert_eq!(admitted.unwrap().waited, Duration::ZERO);
    }

    #[test]
    fn pauses_grow_with_the_pressure() {
        let at = |used: usize| pause(&budget(used).0);
        assert_eq!(at(850), Duration::ZERO);
        assert!(at(900) > Duration::ZERO && at(900) < at(950));
        assert_eq!(at(1000), PAUSE_MAX);
    }

    #[test]
    fn a_writer_waits_for_room_and_wakes_the_flush() {
        let (budget, held) = budget(990);
        let throttle = throttle();
        let (held, flushes) = (Cell::new(Some(held)), Cell::new(0));
        let flush = || {
            flushes.set(flushes.get() + 1);
            if flushes.get() == 3 {
                held.take();
                throttle.memory_was_freed();
            }
        };
        let admitted = throttle.admit(&budget, 20, flush, || true).unwrap();
        assert!(admitted.waited > Duration::ZERO);
        assert_eq!(budget.used(Pool::Memtable), 20);
    }

    #[test]
    fn a_writer_that_is_not_wanted_any_more_is_refused_at_once() {
        let (budget, _held) = budget(1000);
        let refused = throttle().admit(&budget, 1, || {}, || false).unwrap_err();
        assert!(matches!(refused, Error::OverBudget { pool: Pool::Memtable, .. }), "{refused}");
    }

    #[test]
    fn a_batch_beyond_the_memtable_is_refused_for_good() {
        let (budget, _held) = budget(0);
        let refused = throttle().admit(&budget, 1001, || {}, || true).unwrap_err();
        assert_eq!(refused.kind(), tsdb_core::ErrorKind::Invalid);
    }
}

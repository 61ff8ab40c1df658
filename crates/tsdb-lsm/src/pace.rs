//! How fast merges write, so that queries and the log find the disk and the cores free: a token bucket.
//!
//! Flushes and merges take from the same bucket. A flush never waits, since memory waits for it; what it writes is
//! missing to the merges, so they make way. A merge waits while the bucket is empty.
//!
//! A fixed limit that is below what comes in would let the runs that are to be merged grow without end. So the limit is
//! what works off the merges that are due within [`DEBT_TIME`], if that is more: the more is due, the faster it goes. The
//! same end as RocksDB's auto-tuned rate limiter has ("Auto-tuned Rate Limiter", RocksDB blog, 2017), which looks at how
//! often the bucket was empty instead.

use std::sync::Arc;
use std::time::Duration;

use tsdb_core::counters::StorageCounters;
use tsdb_core::env::Clock;
use tsdb_core::sync::{Condvar, Mutex};

/// Time within which the merges that are due are carried out, however low the limit is: their bytes are at most what
/// comes in during it, times the merges that each byte goes through.
pub(crate) const DEBT_TIME: Duration = Duration::from_secs(60);

/// Time for which an idle bucket saves.
const SAVED: Duration = Duration::from_millis(100);

/// Time by which flushes can put merges off.
const OVERDRAWN: Duration = Duration::from_secs(1);

const NS_PER_SECOND: u128 = 1_000_000_000;

/// Longest wait without a look at the bucket: meanwhile more may be due.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A store's pace.
#[derive(Debug)]
pub(crate) struct Pace {
    clock: Arc<dyn Clock>,
    /// Bytes a second that merges may write; `None` for as many as they can.
    limit: Option<u64>,
    bucket: Mutex<Bucket>,
    changed: Condvar,
}

/// What may be written now.
#[derive(Debug, Default)]
struct Bucket {
    /// Bytes; below zero what was written too early.
    tokens: i64,
    /// Monotonic time of the last look.
    looked_ns: u64,
    /// Bytes of the merges that are due.
    due: u64,
    /// Nobody waits any more.
    is_ended: bool,
}

impl Bucket {
    /// Adds the tokens of the time since the last look.
    fn refill(&mut self, now_ns: u64, limit: u64) {
        let elapsed = now_ns.saturating_sub(self.looked_ns);
        let rate = self.rate(limit);
        let new = bytes_in(rate, Duration::from_nanos(elapsed));
        // Time that made no whole byte counts at the next look.
        let left = u128::from(rate) * u128::from(elapsed) % NS_PER_SECOND / u128::from(rate.max(1));
        self.looked_ns =
            now_ns.saturating_sub(u64::try_from(left).unwrap_or(0)).max(self.looked_ns);
        self.tokens = self.tokens.saturating_add(new).min(bytes_in(rate, SAVED));
    }

    /// Bytes a second.
    fn rate(&self, limit: u64) -> u64 {
        limit.max(self.due / DEBT_TIME.as_secs())
    }

    /// Time until the bucket is not overdrawn any more.
    fn wait(&self, limit: u64) -> Duration {
        let missing = u64::try_from(-self.tokens).unwrap_or(0);
        let ns = u128::from(missing) * NS_PER_SECOND / u128::from(self.rate(limit).max(1));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

fn bytes_in(rate: u64, time: Duration) -> i64 {
    i64::try_from(u128::from(rate) * time.as_nanos() / NS_PER_SECOND).unwrap_or(i64::MAX)
}

impl Pace {
    /// A pace of `limit` bytes a second, or none.
    pub(crate) fn new(clock: Arc<dyn Clock>, limit: Option<u64>) -> Pace {
        let bucket = Bucket { looked_ns: clock.mono_ns(), ..Bucket::default() };
        Pace { clock, limit, bucket: Mutex::new(bucket), changed: Condvar::new() }
    }

    /// Says how many bytes the merges that are due have to read.
    pub(crate) fn set_due(&self, bytes: u64) {
        let Some(limit) = self.limit else { return };
        let mut bucket = self.bucket.lock();
        // Time that has passed counts by what was due then.
        bucket.refill(self.clock.mono_ns(), limit);
        bucket.due = bytes;
        drop(bucket);
        self.changed.notify_all();
    }

    /// Lets merges go on without waiting, since the store is about to be closed.
    pub(crate) fn end(&self) {
        self.bucket.lock().is_ended = true;
        self.changed.notify_all();
    }

    /// Takes the bytes that a flush writes.
    fn take_for_flush(&self, bytes: u64) {
        let Some(limit) = self.limit else { return };
        let mut bucket = self.bucket.lock();
        bucket.refill(self.clock.mono_ns(), limit);
        let floor = -bytes_in(bucket.rate(limit), OVERDRAWN);
        let left = bucket.tokens.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        bucket.tokens = left.max(floor.min(bucket.tokens));
    }

    /// Takes the bytes that a merge writes, or says how long it is to wait before it asks again.
    fn take_for_merge(&self, bytes: u64) -> Option<Duration> {
        let limit = self.limit?;
        let mut bucket = self.bucket.lock();
        bucket.refill(self.clock.mono_ns(), limit);
        if bucket.tokens < 0 && !bucket.is_ended {
            return Some(bucket.wait(limit).clamp(Duration::from_micros(1), LOOK_EVERY));
        }
        bucket.tokens = bucket.tokens.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        None
    }

    /// Waits until a merge may write so many bytes. Gives the time that it took.
    fn wait_for_merge(&self, bytes: u64) -> Duration {
        let started = self.clock.mono_ns();
        while let Some(wait) = self.take_for_merge(bytes) {
            let asked = self.clock.mono_ns();
            let mut bucket = self.bucket.lock();
            let slept = !bucket.is_ended && self.changed.wait_for(&mut bucket, wait).timed_out();
            if slept && self.clock.mono_ns() == asked {
                // A clock that stands still must not make this wait for ever.
                break;
            }
        }
        Duration::from_nanos(self.clock.mono_ns().saturating_sub(started))
    }
}

/// Who writes a run, and so how it takes from the bucket.
#[derive(Debug, Clone, Default)]
pub(crate) enum Writing {
    /// Whoever waits for nothing: the opening of a store, a merge that somebody asked for.
    #[default]
    Freely,
    /// A flush.
    Flush(Arc<Pace>),
    /// A merge in the background.
    Merge(Arc<Pace>, Arc<StorageCounters>),
}

impl Writing {
    /// Called before `bytes` are written.
    pub(crate) fn before(&self, bytes: u64) {
        match self {
            Writing::Freely => {}
            Writing::Flush(pace) => pace.take_for_flush(bytes),
            Writing::Merge(pace, counters) => {
                let waited = pace.wait_for_merge(bytes).as_micros();
                counters.merges_paced_microseconds.add(u64::try_from(waited).unwrap_or(u64::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tsdb_core::env::SimClock;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const LIMIT: u64 = 1 << 20;

    fn pace(limit: u64) -> (Arc<SimClock>, Pace) {
        let clock = Arc::new(SimClock::new(0));
        let pace = Pace::new(Arc::clone(&clock) as Arc<dyn Clock>, Some(limit));
        (clock, pace)
    }

    /// Bytes that a merge that always has some more writes until `until_ns`, `step` at a time.
    fn write_until(clock: &SimClock, pace: &Pace, until_ns: u64, step: u64) -> u64 {
        let mut written = 0;
        while clock.mono_ns() < until_ns {
            match pace.take_for_merge(step) {
                Some(wait) => clock.advance(u64::try_from(wait.as_nanos()).unwrap()),
                None => written += step,
            }
        }
        written
    }

    /// Each look gave away what was less than a byte: a third of the limit where looks are 1.5 µs apart.
    #[test]
    fn fractions_of_bytes_are_not_lost() {
        let (clock, pace) = pace(LIMIT);
        let mut written = 0;
        while clock.mono_ns() < SECOND {
            clock.advance(1500);
            written += u64::from(pace.take_for_merge(2).is_none()) * 2;
        }
        assert!(written.abs_diff(LIMIT) < LIMIT / 1000, "{written}");
    }

    proptest! {
        #[test]
        fn merges_write_the_limit_and_not_more(step in 4u64..300_000, seconds in 1u64..20) {
            let (clock, pace) = pace(LIMIT);
            let written = write_until(&clock, &pace, seconds * SECOND, step);
            let due = LIMIT * seconds;
            // An empty bucket at first; the last step may be written early, and a wait ends a look too late.
            // (No wait is shorter than a microsecond, so less at a time would take longer.)
            prop_assert!(written <= due + 2 * step, "{written} of {due}");
            prop_assert!(written + LIMIT / 5 + step >= due, "{written} of {due}");
        }

        #[test]
        fn what_flushes_write_is_missing_to_merges(flushed in 0u64..LIMIT) {
            let (clock, pace) = pace(LIMIT);
            let mut written = 0;
            for second in 1..=10 {
                pace.take_for_flush(flushed);
                written += write_until(&clock, &pace, second * SECOND, 4096);
            }
            let left = (LIMIT - flushed) * 10;
            prop_assert!(written <= left + 8192, "{written} of {left}");
            prop_assert!(written + LIMIT / 5 + 4096 >= left, "{written} of {left}");
        }

        /// What comes in forever, and each byte `times` times through merges, is due for a minute at most.
        #[test]
        fn what_is_due_stays_bounded(coming in 1u64..64, times in 1u64..6) {
            let (clock, pace) = pace(LIMIT);
            let rate = coming * LIMIT * times;
            let mut due = 0u64;
            for second in 1..=400 {
                due += rate;
                pace.set_due(due);
                let written = write_until(&clock, &pace, second * SECOND, rate / 16);
                due = due.saturating_sub(written);
            }
            prop_assert!(due <= rate * (DEBT_TIME.as_secs() + 2), "{due} bytes at {rate} a second");
        }
    }

    #[test]
    fn flushes_put_merges_off_for_a_second_at_most() {
        let (clock, pace) = pace(LIMIT);
        pace.take_for_flush(1000 * LIMIT);
        pace.take_for_flush(1000 * LIMIT);
        assert_eq!(write_until(&clock, &pace, SECOND - 1, 1), 0);
        assert!(write_until(&clock, &pace, 2 * SECOND, 4096) > LIMIT / 2);
    }

    #[test]
    fn an_idle_bucket_saves_little() {
        let (clock, pace) = pace(LIMIT);
        clock.advance(3600 * SECOND);
        let now = clock.mono_ns();
        let written = write_until(&clock, &pace, now + 1, 1024);
        assert!(written <= LIMIT / 10 + 1024, "{written}");
    }

    #[test]
    fn without_a_limit_and_at_the_end_nobody_waits() {
        let free = Pace::new(Arc::new(SimClock::new(0)), None);
        free.take_for_flush(u64::MAX);
        assert_eq!(free.take_for_merge(u64::MAX), None);
        let (_, pace) = pace(1);
        pace.take_for_flush(1000);
        assert!(pace.take_for_merge(1).is_some());
        pace.end();
        // The clock stands still; a merge that waited would do so for ever.
        assert_eq!(pace.wait_for_merge(u64::MAX), Duration::ZERO);
    }
}

//! Visibility: which sequence numbers readers may see, and the tickets that wait for theirs.
//!
//! A number is visible when it and all before it are applied to memory and durable (in the sense of the
//! durability that was chosen). It only moves forward.

use std::collections::{BTreeMap, BTreeSet};
use tsdb_core::sync::atomic::{AtomicU64, Ordering};

use tsdb_core::planted::{Planted, is_planted};
use tsdb_core::sync::{Condvar, Mutex};
use tsdb_core::{Completer, Error, Ticket};

#[derive(Debug, Default)]
struct State {
    /// All numbers up to this one are applied.
    applied: u64,
    /// Numbers above `applied` that are applied already.
    ahead: BTreeSet<u64>,
    /// All numbers up to this one are durable.
    durable: u64,
    waiting: BTreeMap<u64, Completer>,
}

/// Tracks one store's writes from number to visibility.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    state: Mutex<State>,
    /// Signalled when `applied` moves.
    progress: Condvar,
    visible: AtomicU64,
}

impl Commit {
    /// All numbers up to `seq` are applied, durable and visible.
    pub(crate) fn new(seq: u64) -> Commit {
        let state = State { applied: seq, durable: seq, ..State::default() };
        Commit { state: Mutex::new(state), progress: Condvar::new(), visible: AtomicU64::new(seq) }
    }

    /// Highest visible number. Acquire: who reads it sees the rows behind it.
    pub(crate) fn visible(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }

    /// Blocks until all numbers up to `seq`, which were given, are applied. Their writers are copying
    /// rows at this moment, so it does not take long.
    pub(crate) fn wait_applied(&self, seq: u64) {
        let mut state = self.state.lock();
        while state.applied < seq {
            self.progress.wait(&mut state);
        }
    }

    /// Says that `seq` is applied, and returns the ticket that waits for its visibility.
    pub(crate) fn apply(&self, seq: u64) -> Ticket {
        let (ticket, completer) = Ticket::new(seq);
        let mut state = self.state.lock();
        state.waiting.insert(seq, completer);
        state.ahead.insert(seq);
        while let Some(first) = state.ahead.first().copied()
            && first == state.applied + 1
        {
            state.ahead.pop_first();
            state.applied = first;
        }
        if !is_planted(Planted::AppliedInSilence) {
            self.progress.notify_all();
        }
        self.advance(state);
        ticket
    }

    /// Says that all numbers up to `seq` are durable.
    pub(crate) fn set_durable(&self, seq: u64) {
        let mut state = self.state.lock();
        state.durable = state.durable.max(seq);
        self.advance(state);
    }

    /// Fails every waiting ticket. What they wait for may or may not become visible later.
    pub(crate) fn fail(&self, error: &Error) {
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        for completer in waiting.into_values() {
            completer.complete(Err(error.clone()));
        }
    }

    fn advance(&self, mut state: tsdb_core::sync::MutexGuard<'_, State>) {
        let visible = state.applied.min(state.durable);
        // invariant: I2: nothing is visible before it is both applied and durable, with all before it.
        assert!(visible >= self.visible.load(Ordering::Relaxed), "visibility moves forward only");
        self.visible.store(visible, Ordering::Release);
        let still_waiting = state.waiting.split_off(&(visible + 1));
        let ready = std::mem::replace(&mut state.waiting, still_waiting);
        drop(state);
        for (seq, completer) in ready {
            completer.complete(Ok(seq));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the order of applies and syncs, a ticket is complete exactly when every number up
        /// to its own is applied and durable.
        #[test]
        fn visibility_is_the_applied_and_durable_prefix(
            order in Just((1u64..=12).collect::<Vec<_>>()).prop_shuffle(),
            syncs in prop::collection::vec(0u64..13, 12),
        ) {
            // proves: I2
            let commit = Commit::new(0);
            let mut tickets = Vec::new();
            let (mut applied, mut durable) = (BTreeSet::new(), 0);
            for (seq, sync) in order.into_iter().zip(syncs) {
                tickets.push((seq, commit.apply(seq)));
                applied.insert(seq);
                commit.set_durable(sync);
                durable = durable.max(sync);
                let prefix = (1..).take_while(|n| applied.contains(n)).count() as u64;
                prop_assert_eq!(commit.visible(), prefix.min(durable));
                for (seq, ticket) in &tickets {
                    prop_assert_eq!(ticket.poll().is_some(), *seq <= prefix.min(durable));
                }
            }
        }
    }

    #[test]
    fn a_failure_reaches_all_who_wait() {
        let commit = Commit::new(0);
        let (first, second) = (commit.apply(1), commit.apply(2));
        commit.set_durable(1);
        assert_eq!(first.poll(), Some(Ok(1)));
        commit.fail(&Error::Cancelled);
        assert_eq!(second.poll(), Some(Err(Error::Cancelled)));
    }
}

//! Tickets: how a writer learns that its batch is visible, without a thread that waits per request.

use std::sync::Arc;

use crate::sync::{Condvar, Mutex};
use crate::{Error, Result};

type Callback = Box<dyn FnOnce(Result<u64>) + Send>;

enum State {
    Open(Option<Callback>),
    Done(Result<u64>),
}

struct Shared {
    state: Mutex<State>,
    done: Condvar,
}

/// A promise that a batch, a delete or a catalogue change becomes visible (and in durability `sync`
/// therefore durable), or that it fails with the error that poisoned the log.
#[must_use = "an unwatched write may have failed"]
pub struct Ticket {
    seq: u64,
    shared: Arc<Shared>,
}

/// The other end of a [`Ticket`]. Dropped without an answer it answers [`Error::Closed`].
pub struct Completer {
    shared: Option<Arc<Shared>>,
}

impl Ticket {
    /// A ticket for sequence number `seq` and the end that completes it.
    pub fn new(seq: u64) -> (Ticket, Completer) {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::Open(None)), done: Condvar::new() });
        (Ticket { seq, shared: Arc::clone(&shared) }, Completer { shared: Some(shared) })
    }

    /// A ticket that is complete already.
    pub fn completed(seq: u64) -> Ticket {
        let (ticket, completer) = Ticket::new(seq);
        completer.complete(Ok(seq));
        ticket
    }

    /// Sequence number of the write.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Calls `callback` once with the outcome: at once when it is known, else on the thread that
    /// completes the ticket, which it must not hold up.
    pub fn on_done(self, callback: impl FnOnce(Result<u64>) + Send + 'static) {
        let mut state = self.shared.state.lock();
        match &mut *state {
            State::Open(waiting) => *waiting = Some(Box::new(callback)),
            State::Done(outcome) => {
                let outcome = outcome.clone();
                drop(state);
                callback(outcome);
            }
        }
    }

    /// Blocks until the outcome is known, and returns the sequence number.
    ///
    /// # Errors
    /// What made the write fail.
    pub fn wait(self) -> Result<u64> {
        let mut state = self.shared.state.lock();
        loop {
            if let State::Done(outcome) = &*state {
                return outcome.clone();
            }
            self.shared.done.wait(&mut state);
        }
    }

    /// The outcome, if it is known.
    pub fn poll(&self) -> Option<Result<u64>> {
        match &*self.shared.state.lock() {
            State::Done(outcome) => Some(outcome.clone()),
            State::Open(_) => None,
        }
    }
}

impl Completer {
    /// Completes the ticket and runs its callback on this thread.
    pub fn complete(mut self, outcome: Result<u64>) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Result<u64>) {
        let Some(shared) = self.shared.take() else { return };
        let before = std::mem::replace(&mut *shared.state.lock(), State::Done(outcome.clone()));
        shared.done.notify_all();
        if let State::Open(Some(callback)) = before {
            callback(outcome);
        }
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        self.answer(Err(Error::Closed));
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("seq", &self.seq).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Completer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn callback_runs_once_whichever_end_comes_first() {
        let (sender, receiver) = mpsc::channel();
        for early in [true, false] {
            let (ticket, completer) = Ticket::new(5);
            let sender = sender.clone();
            if early {
                completer.complete(Ok(5));
                ticket.on_done(move |outcome| sender.send(outcome).unwrap());
            } else {
                ticket.on_done(move |outcome| sender.send(outcome).unwrap());
                assert!(receiver.try_recv().is_err());
                completer.complete(Ok(5));
            }
            assert_eq!(receiver.try_recv().unwrap(), Ok(5));
            assert!(receiver.try_recv().is_err());
        }
    }

    #[test]
    fn a_lost_completer_is_an_error_and_not_a_hang() {
        let (ticket, completer) = Ticket::new(1);
        drop(completer);
        assert_eq!(ticket.wait(), Err(Error::Closed));
    }

    #[test]
    fn wait_returns_what_another_thread_says() {
        let (ticket, completer) = Ticket::new(9);
        assert!(ticket.poll().is_none());
        std::thread::scope(|scope| {
            scope.spawn(move || completer.complete(Ok(9)));
            assert_eq!(ticket.wait(), Ok(9));
        });
    }
}

//! Turns to parse and append: so many at once, and fair between databases. Those that wait are served in their order
//! within a database, and databases one after the other, so that one with hundreds of writers does not make the single
//! writer of another wait behind all of them.
//!
//! Not here: how long somebody waits (`app.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Those that wait for a turn, in their order.
type Queue = VecDeque<oneshot::Sender<Turn>>;

/// Turns that databases share.
#[derive(Debug, Clone)]
pub struct FairTurns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Turns that nobody has; none while somebody waits.
    free: usize,
    /// Who waits, by database; no queue is empty.
    queues: BTreeMap<Arc<str>, Queue>,
    /// The databases of the queues in the order in which they are served.
    order: VecDeque<Arc<str>>,
}

/// A turn. Dropped, it goes to whoever is next.
#[derive(Debug)]
pub struct Turn(Option<FairTurns>);

impl FairTurns {
    /// So many turns.
    pub fn new(count: usize) -> FairTurns {
        let state = State { free: count, queues: BTreeMap::new(), order: VecDeque::new() };
        FairTurns(Arc::new(Mutex::new(state)))
    }

    /// Waits for a turn. Who stops waiting loses his place. O(log databases that wait).
    pub async fn turn(&self, database: &str) -> Turn {
        let receiver = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Turn(Some(self.clone()));
            }
            state.enqueue(database)
        };
        // The sender is dropped with these turns alone, which `self` keeps.
        receiver.await.unwrap_or(Turn(None))
    }

    /// Gives a turn that was given back to whoever is next.
    fn pass_on(&self) {
        loop {
            let next = {
                let mut state = self.0.lock();
                let next = state.next();
                state.free += usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // Nobody waits there any more, and the turn is not given back twice.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl State {
    fn enqueue(&mut self, database: &str) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        match self.queues.get_mut(database) {
            Some(queue) => queue.push_back(sender),
            None => {
                let name: Arc<str> = database.into();
                self.order.push_back(Arc::clone(&name));
                self.queues.insert(name, VecDeque::from([sender]));
            }
        }
        receiver
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        loop {
            let name = self.order.pop_front()?;
            let queue = self.queues.get_mut(&name)?;
            // Who has stopped waiting costs his database no turn.
            let next = std::iter::from_fn(|| queue.pop_front()).find(|next| !next.is_closed());
            if queue.is_empty() {
                self.queues.remove(&name);
            } else {
                self.order.push_back(name);
            }
            if next.is_some() {
                return next;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Waiting<'t> = Pin<Box<dyn Future<Output = Turn> + 't>>;

    fn poll(waiting: &mut Waiting<'_>) -> Option<Turn> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn databases_are_served_one_after_the_other() {
        let turns = FairTurns::new(1);
        let mut first: Waiting<'_> = Box::pin(turns.turn("busy"));
        let mut held = poll(&mut first);
        assert!(held.is_some(), "a free turn is given at once");
        let names = ["busy", "busy", "busy", "quiet", "other", "quiet"];
        let mut waiting: Vec<(usize, Waiting<'_>)> = (0..)
            .zip(names)
            .map(|(number, name)| (number, Box::pin(turns.turn(name)) as Waiting<'_>))
            .collect();
        assert!(waiting.iter_mut().all(|(_, waiting)| poll(waiting).is_none()));
        // One stops waiting.
        drop(waiting.remove(1));
        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(held.take());
            let ready = waiting
                .iter_mut()
                .enumerate()
                .find_map(|(place, (_, waiting))| poll(waiting).map(|turn| (place, turn)));
            let (place, turn) = ready.expect("the turn went to somebody");
            served.push(waiting.remove(place).0);
            held = Some(turn);
        }
        assert_eq!(served, [0, 3, 4, 2, 5]);
        drop(held);
        let state = turns.0.lock();
        assert!(state.free == 1 && state.queues.is_empty() && state.order.is_empty(), "{state:?}");
    }

    #[test]
    fn a_turn_that_comes_too_late_is_passed_on() {
        let turns = FairTurns::new(1);
        let held = poll(&mut (Box::pin(turns.turn("a")) as Waiting<'_>));
        let mut gone: Waiting<'_> = Box::pin(turns.turn("a"));
        let mut next: Waiting<'_> = Box::pin(turns.turn("b"));
        assert!(poll(&mut gone).is_none() && poll(&mut next).is_none());
        drop(held);
        // It has the turn and has not looked yet.
        drop(gone);
        assert!(poll(&mut next).is_some());
        assert_eq!(turns.0.lock().free, 1);
    }
}

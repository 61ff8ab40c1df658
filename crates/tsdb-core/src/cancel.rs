//! A token that ends a query early: operators look at it once per block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::{Error, Result};

const RUNNING: u8 = 0;
const CANCELLED: u8 = 1;
const DEADLINE: u8 = 2;
const KILLED: u8 = 3;

/// Shared by whoever may end a query and all who work for it. It has no clock of its own: the owner of
/// the deadline calls [`CancelToken::expire`].
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicU8>);

impl CancelToken {
    /// A token that nobody has used yet.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Ends the query because nobody waits for its answer any more.
    pub fn cancel(&self) {
        self.end(CANCELLED);
    }

    /// Ends the query because somebody asked for that: KILL QUERY.
    pub fn kill(&self) {
        self.end(KILLED);
    }

    /// Ends the query because its time is up.
    pub fn expire(&self) {
        self.end(DEADLINE);
    }

    /// Whether the query is to end, for loops that cannot hand on an error themselves.
    pub fn is_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed) != RUNNING
    }

    fn end(&self, reason: u8) {
        // The first reason stays. No data hangs on the order, so Relaxed is enough.
        let _ = self.0.compare_exchange(RUNNING, reason, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Killed`] or [`Error::DeadlineExceeded`], whichever came first.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            RUNNING => Ok(()),
            CANCELLED => Err(Error::Cancelled),
            KILLED => Err(Error::Killed),
            _ => Err(Error::DeadlineExceeded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let token = CancelToken::new();
        assert_eq!(token.check(), Ok(()));
        let other = token.clone();
        other.expire();
        token.cancel();
        assert_eq!(token.check(), Err(Error::DeadlineExceeded));
    }

    #[test]
    fn each_way_to_end_has_its_error() {
        let ended = |end: fn(&CancelToken)| {
            let token = CancelToken::new();
            end(&token);
            token.check()
        };
        assert_eq!(ended(CancelToken::cancel), Err(Error::Cancelled));
        assert_eq!(ended(CancelToken::kill), Err(Error::Killed));
        assert_eq!(ended(CancelToken::expire), Err(Error::DeadlineExceeded));
    }
}

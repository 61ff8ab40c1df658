//! A token that ends a query early: operators look at it once per block.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::{Error, Result};

const RUNNING: u8 = 0;
const CANCELLED: u8 = 1;
const DEADLINE: u8 = 2;

/// Shared by whoever may end a query and all who work for it. It has no clock of its own: the owner of
/// the deadline calls [`CancelToken::expire`].
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicU8>);

impl CancelToken {
    /// A token that nobody has used yet.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Ends the query because somebody wants it: its client went away, or KILL QUERY.
    pub fn cancel(&self) {
        self.end(CANCELLED);
    }

    /// Ends the query because its time is up.
    pub fn expire(&self) {
        self.end(DEADLINE);
    }

    fn end(&self, reason: u8) {
        // The first reason stays. No data hangs on the order, so Relaxed is enough.
        let _ = self.0.compare_exchange(RUNNING, reason, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`Error::Cancelled`] or [`Error::DeadlineExceeded`], whichever came first.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            RUNNING => Ok(()),
            CANCELLED => Err(Error::Cancelled),
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
}

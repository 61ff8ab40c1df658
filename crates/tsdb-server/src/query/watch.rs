//! The end of statements before their time: when the client goes away, when their time is up, when somebody
//! kills them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tsdb_core::{CancelToken, Error};

/// Ends the statements of a request: uses the token that they look at, and wakes what waits for their turn or
/// for the client to take their answer. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Canceller {
    token: CancelToken,
    used: Arc<Notify>,
}

impl Canceller {
    /// What statements look at.
    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Ends them because somebody asked for that.
    pub fn kill(&self) {
        self.token.kill();
        self.used.notify_waiters();
    }

    fn expire(&self) {
        self.token.expire();
        self.used.notify_waiters();
    }

    fn cancel(&self) {
        self.token.cancel();
        self.used.notify_waiters();
    }

    /// Waits until the token is used, and says why.
    pub async fn cancelled(&self) -> Error {
        loop {
            let mut used = pin!(self.used.notified());
            // Who uses the token from here on wakes this; who did before is seen below.
            used.as_mut().enable();
            if let Err(reason) = self.token.check() {
                return reason;
            }
            used.await;
        }
    }
}

/// Ends the statements of a request when it is dropped, which happens when the client goes away, and
/// when their time is up.
#[derive(Debug)]
pub struct Watch {
    canceller: Canceller,
    alarm: AbortHandle,
}

impl Watch {
    /// Statements that look at `canceller`'s token end after `time_max`.
    pub fn new(canceller: Canceller, time_max: Duration) -> Watch {
        let late = canceller.clone();
        let alarm = tokio::spawn(async move {
            tokio::time::sleep(time_max).await;
            late.expire();
        });
        Watch { canceller, alarm: alarm.abort_handle() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.alarm.abort();
        self.canceller.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_woken_by_each_end() {
        let kill = Canceller::default();
        let (reason, ()) = tokio::join!(kill.cancelled(), async { kill.kill() });
        assert_eq!(reason, Error::Killed);
        assert_eq!(kill.cancelled().await, Error::Killed, "also what comes later");

        let drops = Canceller::default();
        let watch = Watch::new(drops.clone(), Duration::from_secs(9));
        let (reason, ()) = tokio::join!(drops.cancelled(), async { drop(watch) });
        assert_eq!(reason, Error::Cancelled);

        tokio::time::pause();
        let late = Canceller::default();
        let _watch = Watch::new(late.clone(), Duration::from_secs(9));
        assert_eq!(late.cancelled().await, Error::DeadlineExceeded);
    }
}

//! The end of statements before their time: when the client goes away, and when their time is up.

use std::time::Duration;

use tokio::task::AbortHandle;
use tsdb_core::CancelToken;

/// Ends the statements of a request when it is dropped, which happens when the client goes away, and
/// when their time is up.
#[derive(Debug)]
pub struct Watch {
    token: CancelToken,
    alarm: AbortHandle,
}

impl Watch {
    /// Statements that look at [`Watch::token`] end after `time_max`.
    pub fn new(time_max: Duration) -> Watch {
        let token = CancelToken::new();
        let late = token.clone();
        let alarm = tokio::spawn(async move {
            tokio::time::sleep(time_max).await;
            late.expire();
        });
        Watch { token, alarm: alarm.abort_handle() }
    }

    /// What the statements look at.
    pub fn token(&self) -> &CancelToken {
        &self.token
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.alarm.abort();
        self.token.cancel();
    }
}

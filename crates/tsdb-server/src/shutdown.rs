//! The end: which signals ask for it, and how long it may take.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Error;

/// Open requests may take this long to finish; then their connections are cut. Together with the last
/// flush it stays below the ten seconds that supervisors usually wait.
pub const GRACE: Duration = Duration::from_secs(5);

/// SIGTERM and SIGINT of this process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals; from now on they do not end the process by themselves.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn new() -> Result<Signals, Error> {
        let take =
            |kind| signal(kind).map_err(|cause| Error::System { what: "handle signals", cause });
        Ok(Signals {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and returns its number.
    pub async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }
}

/// Ends the process at the next signal, with the exit code that shells give to a death by it: whoever
/// sends a second one does not want to wait. Nothing is lost that was acknowledged.
pub fn exit_at_next(mut signals: Signals) {
    tokio::spawn(async move {
        let number = signals.next().await;
        tracing::warn!(signal = number, "second signal: exiting at once");
        std::process::exit(128 + number);
    });
}

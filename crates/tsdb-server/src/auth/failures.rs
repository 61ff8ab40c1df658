//! How often somebody was not let in, for `/metrics`: many wrong passwords are an attack, many requests without a
//! credential a client that lost its settings.
//!
//! Not here: how often an address may try (`attempts.rs`).

use tsdb_core::counters::Counter;

/// What was wrong with a request that got 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A wrong password, or a user that does not exist.
    User,
    /// A wrong, revoked or expired token.
    Token,
    /// There was no credential, or none that could be read.
    Missing,
}

/// Requests that got 401 for their credential.
#[derive(Debug, Default)]
pub(super) struct Failures {
    user: Counter,
    token: Counter,
    missing: Counter,
}

impl Failures {
    /// Counts one.
    pub(super) fn note(&self, failure: Failure) {
        let counter = match failure {
            Failure::User => &self.user,
            Failure::Token => &self.token,
            Failure::Missing => &self.missing,
        };
        counter.add(1);
    }

    /// The name of each kind and its number.
    pub(super) fn counts(&self) -> [(&'static str, u64); 3] {
        [("user", self.user.get()), ("token", self.token.get()), ("missing", self.missing.get())]
    }
}

//! The error type of this crate. Aggregating itself cannot fail; only laying out windows can.

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Windows must have a width.
    #[error("window width {every_ns} ns is not positive: give GROUP BY time() a duration above 0")]
    WindowWidth {
        /// The refused width in ns.
        every_ns: i64,
    },
    /// More windows than the caller allows.
    #[error(
        "{wanted} windows are needed, {allowed} are allowed: widen the window or narrow the time range"
    )]
    TooManyWindows {
        /// Windows between the bounds.
        wanted: u128,
        /// Windows that are allowed.
        allowed: u64,
    },
}

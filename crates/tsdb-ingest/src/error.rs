//! The one error type of this crate: what ends a whole request. Refused lines are no errors of the
//! request, they stand in its report.

use tsdb_core::ErrorKind;

use crate::report::LineError;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request failed as a whole; nothing of it was stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A unit of time that does not exist, in InfluxDB's words.
    #[error("invalid precision {text:?} (use n, u, ms, s, m or h)")]
    InvalidPrecision {
        /// What was given.
        text: String,
    },
    /// A line that cannot be parsed, where all of them must be ([`crate::Ingestion::parse`]).
    #[error("line {line}, column {column}: {error}", line = error.line, column = error.column)]
    Line {
        /// The first bad line.
        error: LineError,
    },
    /// What the store says.
    #[error(transparent)]
    Store(#[from] tsdb_core::Error),
}

impl Error {
    /// What a caller must do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InvalidPrecision { .. } | Error::Line { .. } => ErrorKind::Invalid,
            Error::Store(error) => error.kind(),
        }
    }
}

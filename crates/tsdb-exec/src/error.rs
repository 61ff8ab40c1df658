//! The error type of this crate. An error ends one statement; the messages are those that clients of
//! InfluxDB know, where it has one.

use tsdb_core::ErrorKind;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a statement has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither the statement nor the request names a database.
    #[error("database name required")]
    DatabaseRequired,
    /// A database that does not exist.
    #[error("database not found: {name}")]
    DatabaseNotFound {
        /// The name as it was given.
        name: String,
    },
    /// What the statement says makes no sense; found without looking at data.
    #[error("{0}")]
    Check(#[from] tsdb_ql::CheckErrors),
    /// What the statement says makes no sense for the data that is there.
    #[error("{0}")]
    Condition(#[from] tsdb_ql::Diagnostic),
    /// A condition on a field where only tags can be asked for.
    #[error(
        "invalid tag comparison operator: {statement} asks tags only; compare them with a text"
    )]
    FieldInTagCondition {
        /// For instance "SHOW SERIES".
        statement: &'static str,
    },
    /// Something that TQL can say and this version cannot do.
    #[error("{what} is not supported yet: {remedy}")]
    Unsupported {
        /// For instance "a subquery".
        what: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// Rows of SELECT … INTO that could not be stored; the others are.
    #[error("partial write: {reason} dropped={dropped}; {written} points were written")]
    PartialWrite {
        /// Why the first of them was refused.
        reason: String,
        /// How many were refused.
        dropped: u64,
        /// How many are stored.
        written: u64,
    },
    /// A SELECT … INTO that ended before its end.
    #[error("{cause}; {written} points were written before")]
    IntoEnded {
        /// How many points are stored.
        written: u64,
        /// What ended it.
        cause: Box<Error>,
    },
    /// A continuous query of that name that says something else.
    #[error("continuous query already exists")]
    ContinuousQueryExists,
    /// What storage says, limits and cancellation among it.
    #[error("{0}")]
    Storage(tsdb_core::Error),
}

impl Error {
    /// What a caller must do about this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::DatabaseNotFound { .. } => ErrorKind::NotFound,
            Error::Storage(error) => error.kind(),
            Error::IntoEnded { cause, .. } => cause.kind(),
            Error::DatabaseRequired
            | Error::Check(_)
            | Error::Condition(_)
            | Error::FieldInTagCondition { .. }
            | Error::PartialWrite { .. }
            | Error::ContinuousQueryExists
            | Error::Unsupported { .. } => ErrorKind::Invalid,
        }
    }

    /// What storage says, if that is the reason.
    #[must_use]
    pub fn storage(&self) -> Option<&tsdb_core::Error> {
        match self {
            Error::Storage(error) => Some(error),
            Error::IntoEnded { cause, .. } => cause.storage(),
            _ => None,
        }
    }

    /// A SELECT … INTO that `cause` ended when so many points were stored.
    pub(crate) fn into_ended(written: u64, cause: Error) -> Error {
        Error::IntoEnded { written, cause: Box::new(cause) }
    }

    /// A limit of [`crate::QueryLimits`] that would be exceeded.
    pub(crate) fn limit(
        limit: &'static str,
        wanted: u64,
        allowed: u64,
        remedy: &'static str,
    ) -> Error {
        Error::Storage(tsdb_core::Error::LimitExceeded { limit, wanted, allowed, remedy })
    }
}

impl From<tsdb_core::Error> for Error {
    fn from(error: tsdb_core::Error) -> Error {
        match error {
            // InfluxDB writes the name without quotes in answers to queries, and with them in answers to
            // writes.
            tsdb_core::Error::DatabaseNotFound { name } => Error::DatabaseNotFound { name },
            other => Error::Storage(other),
        }
    }
}

impl From<tsdb_core::matcher::FilterError> for Error {
    fn from(error: tsdb_core::matcher::FilterError) -> Error {
        Error::Storage(tsdb_core::Error::Invalid { what: error.to_string() })
    }
}

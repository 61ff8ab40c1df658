//! The one error type of this crate and of the storage seam, and what a caller must do about it.
//!
//! Not here: errors of other crates; each has its own enum and turns ours into one of its variants.

use std::sync::Arc;

use crate::budget::Pool;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Cheap to clone: one failed sync fails every waiting writer with the same error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A series or measurement without a name.
    #[error("series name is empty: give the measurement a name")]
    EmptySeriesName,
    /// A point that does not come after the last one of its [`crate::TimeSeries`].
    #[error(
        "timestamp {got} is not greater than the last one of the series, {last}: sort the points and drop duplicates before pushing them"
    )]
    TimestampNotIncreasing {
        /// The newest timestamp of the series, in ns.
        last: i64,
        /// The refused timestamp, in ns.
        got: i64,
    },
    /// A timestamp outside of what can be stored.
    #[error(
        "timestamp {got} ns is out of range: valid are {min} to {max}",
        min = crate::time::MIN_TIME,
        max = crate::time::MAX_TIME
    )]
    TimestampOutOfRange {
        /// The refused timestamp, in ns.
        got: i64,
    },
    /// A tag key or value with bytes above 127 where only ASCII is allowed.
    #[error("{what} {text:?} is not ASCII: use ASCII letters, or write it escaped")]
    NotAscii {
        /// "tag key", "tag value" or "measurement".
        what: &'static str,
        /// The offending text.
        text: String,
    },
    /// A NUL byte in a name or value.
    #[error("{what} {text:?} holds a NUL byte: remove it")]
    NulByte {
        /// "tag key", "tag value", "field name", "measurement" or "entry name".
        what: &'static str,
        /// The offending text.
        text: String,
    },
    /// An empty tag key, tag value or field name.
    #[error("{what} is empty: give it a name or leave the pair out")]
    Empty {
        /// "tag key", "tag value", "field name" or "entry name".
        what: &'static str,
    },
    /// The same tag key, or field name, twice.
    #[error("{what} {text:?} is given twice: keep one of them")]
    Duplicate {
        /// "tag key" or "field name".
        what: &'static str,
        /// The repeated name.
        text: String,
    },
    /// A tag key that the data model keeps for itself.
    #[error("tag key {key:?} is reserved: rename the tag")]
    ReservedTag {
        /// The refused key.
        key: String,
    },
    /// A name or value longer than its limit.
    #[error("{what} has {bytes} bytes, the limit is {bytes_max}: shorten it")]
    TooLong {
        /// What is too long, for instance "tag value".
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The longest that is accepted.
        bytes_max: usize,
    },
    /// More of something than its limit.
    #[error("{count} {what}, the limit is {count_max}: {remedy}")]
    TooMany {
        /// What there is too much of, in the plural, for instance "tags".
        what: &'static str,
        /// How many there would be.
        count: u64,
        /// How many are accepted.
        count_max: u64,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A database that does not exist.
    #[error("database not found: {name:?}")]
    DatabaseNotFound {
        /// The name as it was given.
        name: String,
    },
    /// A retention policy that does not exist.
    #[error("retention policy not found: {name}")]
    PolicyNotFound {
        /// The name as it was given.
        name: String,
    },
    /// A namespace id that is not, or no longer, in the catalogue.
    #[error("namespace {id} does not exist any more: its database was dropped")]
    NamespaceNotFound {
        /// The id.
        id: u32,
    },
    /// A name that cannot be given to a database, a policy or a kind of entries.
    #[error(
        "{what} name {name:?} is not valid: use 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter, a digit or _"
    )]
    InvalidName {
        /// "database", "retention policy" or "entry kind".
        what: &'static str,
        /// The refused name.
        name: String,
    },
    /// Something to be created exists already with other properties.
    #[error("{what} {name:?} already exists with different attributes: alter it instead")]
    AlreadyExists {
        /// "retention policy" or "entry".
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A request that contradicts itself or the schema.
    #[error("{what}")]
    Invalid {
        /// What is wrong and what to do.
        what: String,
    },
    /// The references of a batch are from an epoch that has ended.
    #[error(
        "series references of epoch {batch} are stale, the engine is at epoch {current}: resolve the keys again"
    )]
    StaleEpoch {
        /// Epoch in the batch.
        batch: u64,
        /// Epoch of the engine.
        current: u64,
    },
    /// Bytes that do not decode to a batch.
    #[error("write batch is malformed at byte {at}: {what}")]
    MalformedBatch {
        /// Offset in the encoded batch.
        at: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// A memory reservation that does not fit.
    #[error(
        "memory for {pool} is used up: {used} of {limit} bytes are taken and {wanted} more were asked for; retry later or raise --memory-limit"
    )]
    OverBudget {
        /// The part of the budget.
        pool: Pool,
        /// Bytes that were asked for.
        wanted: usize,
        /// Bytes taken at that moment.
        used: usize,
        /// Bytes that the pool may hold.
        limit: usize,
    },
    /// A write is refused for now; the same write can succeed later.
    #[error("writes are held back: {reason}; retry later")]
    Overloaded {
        /// Why.
        reason: &'static str,
    },
    /// The store accepts no writes until an operator acts.
    #[error("the store is read-only: {reason}")]
    ReadOnly {
        /// Why, and what to do.
        reason: String,
    },
    /// The log failed, nothing can be made durable until a restart.
    #[error("storage failed and accepts no writes until a restart: {cause}")]
    Poisoned {
        /// The first failure.
        cause: Arc<str>,
    },
    /// Files hold something else than what was written.
    #[error("{path}: damaged at byte {offset}: {what}; restore the file from a snapshot")]
    Corrupt {
        /// The file.
        path: String,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// An operation on a file failed.
    #[error("{op} {path}: {cause}")]
    Io {
        /// What was tried, for instance "read".
        op: &'static str,
        /// The file.
        path: String,
        /// The operating system's words.
        cause: Arc<str>,
    },
    /// Anything an engine has to say that has no variant of its own here.
    #[error("{message}")]
    Engine {
        /// What a caller should do.
        kind: ErrorKind,
        /// The engine's own message, with its remedy.
        message: Arc<str>,
    },
    /// A query took more than its share.
    #[error("{limit} exceeded: {wanted} needed, {allowed} allowed; {remedy}")]
    LimitExceeded {
        /// Name of the limit, as in the configuration.
        limit: &'static str,
        /// How much would be needed.
        wanted: u64,
        /// How much is allowed.
        allowed: u64,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Nobody waits for the answer of the query any more.
    #[error("query was cancelled")]
    Cancelled,
    /// Somebody ended the query.
    #[error("query was killed by KILL QUERY: run it again if its answer is still wanted")]
    Killed,
    /// The query ran out of time.
    #[error("query ran into its time limit: narrow the time range or raise --query-timeout")]
    DeadlineExceeded,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What a caller must do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Change the request; the same request fails again.
    Invalid,
    /// Create the thing first, or correct its name.
    NotFound,
    /// Resolve the series again and repeat: nothing was stored.
    Stale,
    /// Repeat later: nothing was stored.
    Overloaded,
    /// Ask for less, or raise the named limit.
    LimitExceeded,
    /// Nothing; somebody wanted it to end.
    Cancelled,
    /// Repeat with a narrower request or a longer limit.
    Deadline,
    /// Call the operator; reads go on, writes do not.
    StorageFailed,
    /// Call the operator; data on disk is not what was written.
    Corrupt,
}

impl Error {
    /// What a caller must do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::EmptySeriesName
            | Error::TimestampNotIncreasing { .. }
            | Error::TimestampOutOfRange { .. }
            | Error::NotAscii { .. }
            | Error::NulByte { .. }
            | Error::Empty { .. }
            | Error::Duplicate { .. }
            | Error::ReservedTag { .. }
            | Error::TooLong { .. }
            | Error::TooMany { .. }
            | Error::InvalidName { .. }
            | Error::AlreadyExists { .. }
            | Error::Invalid { .. }
            | Error::MalformedBatch { .. } => ErrorKind::Invalid,
            Error::DatabaseNotFound { .. }
            | Error::PolicyNotFound { .. }
            | Error::NamespaceNotFound { .. } => ErrorKind::NotFound,
            Error::StaleEpoch { .. } => ErrorKind::Stale,
            Error::OverBudget { pool: Pool::Queries, .. } | Error::LimitExceeded { .. } => {
                ErrorKind::LimitExceeded
            }
            Error::OverBudget { .. } | Error::Overloaded { .. } | Error::ReadOnly { .. } => {
                ErrorKind::Overloaded
            }
            Error::Poisoned { .. } | Error::Io { .. } | Error::Closed => ErrorKind::StorageFailed,
            Error::Corrupt { .. } => ErrorKind::Corrupt,
            Error::Engine { kind, .. } => *kind,
            Error::Cancelled | Error::Killed => ErrorKind::Cancelled,
            Error::DeadlineExceeded => ErrorKind::Deadline,
        }
    }
}

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
    #[error("{}", error.explained())]
    Line {
        /// The first bad line.
        error: LineError,
    },
    /// A parameter of a format that makes no sense.
    #[error("invalid parameter {name}={value:?}: {remedy}")]
    InvalidParameter {
        /// Its name.
        name: &'static str,
        /// What was given, cut.
        value: String,
        /// What can be given.
        remedy: &'static str,
    },
    /// A format that nobody has registered.
    #[error("unknown format {name:?}: use {known}")]
    UnknownFormat {
        /// What was asked for, cut.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A media type of another protocol.
    #[error("unsupported content type {media_type:?}: use {known}")]
    UnsupportedMediaType {
        /// What the request says, cut.
        media_type: String,
        /// The media types that there are.
        known: String,
    },
    /// A request that looks like no format.
    #[error(
        "the body looks like none of the known formats: name one in Content-Type ({known}), or in the \
         parameter format"
    )]
    UnrecognizedInput {
        /// The media types that there are.
        known: String,
    },
    /// A message of which nothing can be read.
    #[error("the body is no {message}: {what} at byte {at} of what it unpacks to; send it anew")]
    Damaged {
        /// Full name of the message.
        message: &'static str,
        /// Offset of the trouble in the unpacked body, from 0.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// Two formats of one name in one registry.
    #[error("format name {name:?} is taken: rename the format")]
    DuplicateFormat {
        /// The name.
        name: &'static str,
    },
    /// A format without a short name.
    #[error("a format needs a short name, without a slash, beside its media types: add one")]
    NamelessFormat,
    /// What the store says.
    #[error(transparent)]
    Store(#[from] tsdb_core::Error),
}

impl Error {
    /// Whether a format said so about the request, and another one may read it.
    pub(crate) fn is_of_format(&self) -> bool {
        matches!(self, Error::Line { .. } | Error::InvalidParameter { .. } | Error::Damaged { .. })
    }

    /// What a caller must do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Store(error) => error.kind(),
            _ => ErrorKind::Invalid,
        }
    }
}

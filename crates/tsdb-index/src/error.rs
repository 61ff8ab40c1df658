//! The one error type of this crate.

use tsdb_core::matcher::FilterError;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong in an index.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A condition on tags that cannot be compiled.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// An error of the data model, for instance a limit that is reached.
    #[error(transparent)]
    Core(#[from] tsdb_core::Error),
    /// Bytes that are no index section.
    #[error("index section is damaged at byte {offset}: {what}; restore the run from a snapshot")]
    Damaged {
        /// Offset in the section.
        offset: u64,
        /// What was found.
        what: &'static str,
    },
    /// A section of a later version of this program.
    #[error(
        "index section has format version {version}, this program reads up to {supported}; start \
         the newer program"
    )]
    NewerFormat {
        /// Version that the section says.
        version: u32,
        /// Highest version that is understood.
        supported: u32,
    },
}

impl From<Error> for tsdb_core::Error {
    fn from(error: Error) -> tsdb_core::Error {
        match error {
            Error::Core(error) => error,
            Error::Filter(_) => tsdb_core::Error::Invalid { what: error.to_string() },
            Error::Damaged { .. } | Error::NewerFormat { .. } => tsdb_core::Error::Engine {
                kind: tsdb_core::ErrorKind::Corrupt,
                message: error.to_string().into(),
            },
        }
    }
}

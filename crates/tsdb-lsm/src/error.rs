//! The one error type of this crate, and how it appears at the storage seam.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::ErrorKind;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong in the engine. Messages name the file and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on a file failed.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: Arc<std::io::Error>,
    },
    /// A file holds something else than what was written.
    #[error(
        "{} is damaged at byte {offset}: {what}; nothing was changed; restore the data directory from a snapshot",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// A file of a later version of this program.
    #[error(
        "{} has format version {version}, this program reads up to {supported}; nothing was changed; start the newer program",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Version that the file says.
        version: u32,
        /// Highest version that is understood.
        supported: u32,
    },
    /// Another process works in the data directory.
    #[error("{} is in use by another process; stop it or choose another --data-dir", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// A file that the manifest names is not there.
    #[error(
        "{} is missing, the manifest names it; nothing was changed; restore the data directory from a snapshot",
        path.display()
    )]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// The write-ahead log failed or is damaged.
    #[error(transparent)]
    Wal(#[from] tsdb_wal::Error),
    /// An error of the data model or of the seam.
    #[error(transparent)]
    Core(#[from] tsdb_core::Error),
}

impl Error {
    /// For `map_err` on an I/O result.
    pub(crate) fn io(
        op: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { op, path: path.as_ref().to_owned(), source: Arc::new(source) }
    }

    /// What a caller must do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } | Error::Locked { .. } => ErrorKind::StorageFailed,
            Error::Corrupt { .. } | Error::NewerFormat { .. } | Error::MissingFile { .. } => {
                ErrorKind::Corrupt
            }
            Error::Wal(error) => wal_kind(error),
            Error::Core(error) => error.kind(),
        }
    }
}

fn wal_kind(error: &tsdb_wal::Error) -> ErrorKind {
    match error.kind() {
        tsdb_wal::ErrorKind::Retry => ErrorKind::Overloaded,
        tsdb_wal::ErrorKind::Damaged | tsdb_wal::ErrorKind::Newer => ErrorKind::Corrupt,
        _ => ErrorKind::StorageFailed,
    }
}

/// An index says what is wrong and not in which file; whoever knows the file says it instead.
impl From<tsdb_index::Error> for Error {
    fn from(error: tsdb_index::Error) -> Error {
        Error::Core(error.into())
    }
}

impl From<Error> for tsdb_core::Error {
    fn from(error: Error) -> tsdb_core::Error {
        match error {
            Error::Core(error) => error,
            Error::Wal(tsdb_wal::Error::Poisoned(cause)) => {
                tsdb_core::Error::Poisoned { cause: cause.to_string().into() }
            }
            other => {
                tsdb_core::Error::Engine { kind: other.kind(), message: other.to_string().into() }
            }
        }
    }
}

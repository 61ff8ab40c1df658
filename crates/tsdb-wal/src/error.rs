//! What can go wrong with the log, and what the caller must do about it.

use std::{fmt, io, path::PathBuf, sync::Arc};

use thiserror::Error;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the write-ahead log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A write or sync failed earlier: what the disk holds of the unsynced frames is unknown.
    #[error(
        "the write-ahead log is out of service since {0}; nothing more is accepted, restart to recover"
    )]
    Poisoned(Arc<Poison>),

    /// There was no space for a frame. The frames wait in memory; a later sync tries again.
    #[error(
        "no space for the write-ahead log at {}: {source}; free space, the write is tried again",
        path.display()
    )]
    NoSpace {
        /// The segment that could not grow or be created.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Too much is appended and not yet written.
    #[error(
        "{bytes} bytes wait to be written to the write-ahead log (limit {bytes_max}); \
         write or sync before appending more"
    )]
    Backlog {
        /// Bytes that wait.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },

    /// A frame over the limit.
    #[error("a frame of {bytes} bytes exceeds the limit of {bytes_max}; split the batch")]
    FrameTooLarge {
        /// Bytes of the frame, its header included.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },

    /// A file operation failed and changed nothing that matters.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: FileOperation,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Damage to what was synced. Nothing was changed.
    #[error(
        "{} is damaged at byte {offset}: {damage}, where frame {seq} should be; the log was synced \
         at least through {synced_upto}, so acknowledged writes are affected; nothing was changed; \
         restore the directory from a copy, or accept the loss by moving this file and all later \
         ones out of it and creating an empty file accept-loss there",
        path.display()
    )]
    Corrupt {
        /// The damaged segment.
        path: PathBuf,
        /// Where the first bad frame starts.
        offset: u64,
        /// Number of the first frame that cannot be read.
        seq: u64,
        /// Highest number known to have been synced.
        synced_upto: u64,
        /// What was found.
        damage: Damage,
    },

    /// The log ends before what the manifest knows as synced: its newest segments are gone or cut. Nothing was
    /// changed.
    #[error(
        "the write-ahead log in {} ends with {last_seq}, but was synced at least through {synced_upto}: \
         acknowledged writes are missing; nothing was changed; restore the missing files, or accept the \
         loss by creating an empty file accept-loss there",
        dir.display()
    )]
    EndMissing {
        /// The directory of the log.
        dir: PathBuf,
        /// Highest number that is there.
        last_seq: u64,
        /// Highest number known to have been synced.
        synced_upto: u64,
    },

    /// A segment that a later one continues is not there, and its rows are nowhere else.
    #[error(
        "segment {segment} of the write-ahead log in {} is missing, but {} continues it and holds \
         writes after {last_seq}; restore the missing file",
        dir.display(), needed_by.display()
    )]
    MissingSegment {
        /// The directory of the log.
        dir: PathBuf,
        /// Number of the missing segment.
        segment: u64,
        /// The segment that says so.
        needed_by: PathBuf,
        /// Highest sequence number in the missing one.
        last_seq: u64,
    },

    /// A segment of another database.
    #[error(
        "{} belongs to another database; move it out of this directory, it was put here by mistake",
        path.display()
    )]
    ForeignSegment {
        /// The file.
        path: PathBuf,
    },

    /// A segment under a wrong name.
    #[error(
        "{} holds segment {found}; it was renamed or copied over another, restore the directory",
        path.display()
    )]
    MisnamedSegment {
        /// The file.
        path: PathBuf,
        /// The number inside.
        found: u64,
    },

    /// A file of a newer version of this software.
    #[error(
        "{} has format version {version}, this program reads up to {supported}; \
         use the newer program, nothing was changed",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// Highest version that this program reads.
        supported: u32,
    },

    /// A sound frame of a kind that this program does not know.
    #[error(
        "{} holds a frame of unknown kind {kind} at byte {offset}; \
         a newer program wrote it, use that one; nothing was changed",
        path.display()
    )]
    UnknownFrameKind {
        /// The file.
        path: PathBuf,
        /// Where the frame starts.
        offset: u64,
        /// Its kind.
        kind: u8,
    },

    /// Removal of a generation that is still in use.
    #[error(
        "generation {generation} still takes frames or holds unsynced ones; seal and sync it first"
    )]
    GenerationInUse {
        /// The generation.
        generation: u64,
    },

    /// A point that may not be stored.
    #[error("the point was not logged: {0}")]
    InvalidPoint(#[from] tsdb_core::Error),

    /// A payload that this program did not write.
    #[error("the payload of frame {seq} cannot be decoded; another program wrote to this log")]
    ForeignPayload {
        /// Number of the frame.
        seq: u64,
    },
}

/// What a caller must do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Try again later; nothing is lost.
    Retry,
    /// Do not try the same again.
    Invalid,
    /// Stop accepting writes; a restart recovers.
    Poisoned,
    /// Do not start; an operator must look at the files.
    Damaged,
    /// Do not start; the files need a newer program.
    Newer,
}

impl Error {
    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSpace { .. } | Self::Backlog { .. } | Self::Io { .. } => ErrorKind::Retry,
            Self::FrameTooLarge { .. } | Self::GenerationInUse { .. } | Self::InvalidPoint(_) => {
                ErrorKind::Invalid
            }
            Self::Poisoned(_) => ErrorKind::Poisoned,
            Self::Corrupt { .. }
            | Self::MissingSegment { .. }
            | Self::EndMissing { .. }
            | Self::ForeignSegment { .. }
            | Self::MisnamedSegment { .. }
            | Self::ForeignPayload { .. } => ErrorKind::Damaged,
            Self::NewerFormat { .. } | Self::UnknownFrameKind { .. } => ErrorKind::Newer,
        }
    }
}

/// The failure that took a log out of service.
#[derive(Debug)]
pub struct Poison {
    /// What failed.
    pub operation: FileOperation,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it failed to {} {}: {}", self.operation, self.path.display(), self.source)
    }
}

/// What was tried on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileOperation {
    /// Create a directory or a segment.
    Create,
    /// List a directory.
    List,
    /// Open a segment.
    Open,
    /// Read from a segment.
    Read,
    /// Write to a segment.
    Write,
    /// Sync a segment.
    Sync,
    /// Sync a directory.
    SyncDir,
    /// Cut a torn tail.
    Truncate,
    /// Remove a segment.
    Remove,
}

impl fmt::Display for FileOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::List => "list",
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::SyncDir => "sync the directory",
            Self::Truncate => "truncate",
            Self::Remove => "remove",
        })
    }
}

/// How a damaged segment differs from what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// The segment's header fails its checksum.
    Header,
    /// A frame fails its checksum or does not fit the file.
    Frame,
    /// The file ends before the length that the next segment vouches for.
    Short,
    /// A sound frame has another number than its place says, or segments do not follow each other.
    Order,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the segment header fails its checksum",
            Self::Frame => "a frame fails its checksum",
            Self::Short => "the file ends too early",
            Self::Order => "numbers do not follow each other",
        })
    }
}

/// Why an append put nothing into the log: the log refused, or the writer of the payload did.
#[derive(Debug, Error)]
pub enum AppendError<E> {
    /// The log refused.
    #[error(transparent)]
    Wal(#[from] Error),
    /// The closure that writes the payload failed.
    #[error("the payload could not be written: {0}")]
    Write(E),
}

/// Why a log could not be opened: for its own reasons, or because a frame's visitor failed.
#[derive(Debug, Error)]
pub enum OpenError<E> {
    /// The log.
    #[error(transparent)]
    Wal(#[from] Error),
    /// The visitor.
    #[error("a frame of the write-ahead log could not be applied: {0}")]
    Visit(E),
}

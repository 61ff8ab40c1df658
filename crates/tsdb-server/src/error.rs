//! The one error enum of this crate: why the server does not start or cannot go on, and the exit code
//! that says so to scripts.
//!
//! Not here: errors of single requests (`http/reply.rs`) and what status they get (`status.rs`).

use std::net::SocketAddr;
use std::process::ExitCode;

/// Why the process ends. Messages name the thing and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line does not parse, or asks for help or the version.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A setting or a configuration file is wrong.
    #[error("{message}")]
    Config {
        /// The setting, what is wrong with it, and what to do.
        message: String,
    },
    /// The storage engine could not be opened or closed.
    #[error("{message}")]
    Storage {
        /// Which kind of failure it is.
        exit: Exit,
        /// The engine's own words, with file and remedy.
        message: String,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {cause}: stop the program that uses the port, or choose another with --listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        cause: std::io::Error,
    },
    /// Threads, signals or the standard output are not to be had.
    #[error("cannot {what}: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The operating system's error.
        cause: std::io::Error,
    },
}

/// Exit codes of the process, from sysexits.h, so that a supervisor can tell what a restart would cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Wrong use or configuration: a restart changes nothing.
    Usage = 64,
    /// Data on disk is damaged: call the operator.
    Corrupt = 65,
    /// Data on disk is from a newer version: start that.
    NewerFormat = 66,
    /// The data directory is locked, or cannot be written to.
    CannotCreate = 73,
    /// Input or output failed; a restart may help.
    Io = 74,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl Error {
    /// The exit code that stands for this error; `None` is success (help and version).
    pub fn exit(&self) -> Option<Exit> {
        match self {
            Error::Usage(error) => error.use_stderr().then_some(Exit::Usage),
            Error::Config { .. } => Some(Exit::Usage),
            Error::Storage { exit, .. } => Some(*exit),
            Error::Listen { .. } | Error::System { .. } => Some(Exit::Io),
        }
    }
}

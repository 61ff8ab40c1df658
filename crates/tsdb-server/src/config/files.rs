//! How many files the system lets this process have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this no default and hardly anybody's setting needs.
const OPEN_FILES_WANTED: u64 = 65_536;

/// Most files that this process may have open at once (`RLIMIT_NOFILE`); `None` is no limit.
pub(crate) fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Lets this process open as many files as it may, at most [`OPEN_FILES_WANTED`]: shells and supervisors begin with
/// 1024, for the sake of programs that use `select`. If that fails, it stays at what it was.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(OPEN_FILES_WANTED);
    if limit.current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit });
    }
}

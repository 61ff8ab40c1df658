//! What stands in the files of a store, read from any bytes by plain functions, for fuzzing. Nothing is decided
//! here, and nothing else may use it.

use std::path::Path;

use tsdb_core::env::Env;

use crate::error::Result;
use crate::manifest;
use crate::sst;

/// Reads `bytes` as a manifest and returns the bytes of what was understood, written anew.
///
/// # Errors
/// What makes the bytes no manifest.
pub fn manifest_again(bytes: &[u8]) -> Result<Vec<u8>> {
    manifest::written_again(bytes)
}

/// Reads `bytes` as a run in every way there is and returns the number of its rows. In `directory`, which
/// exists and has no such files, it creates `any.run` and `again.run`.
///
/// # Errors
/// What makes the bytes no run.
///
/// # Panics
/// If two ways to read the run differ, or what was found sound cannot be read.
pub fn read_run(env: &Env, directory: &Path, bytes: &[u8]) -> Result<u64> {
    sst::read_any_run(env, directory, bytes)
}

//! Write-ahead log: segments, frames, group commit, rotation and recovery.

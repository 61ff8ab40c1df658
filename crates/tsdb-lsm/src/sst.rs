//! Runs: immutable, self-contained files of sorted, columnar data (SSTables).
//!
//! A run holds slices; a slice is the rows of one (namespace, partition) with a range of sequence numbers. Inside
//! a slice rows stand by series in key order, in row groups: chunks of up to
//! [`tsdb_core::limits::BLOCK_ROWS_MAX`] rows, and short series that share their pages. Each group has a directory
//! page, which is read when somebody asks for one of its series; opening a run reads indexes and roots only.
//! Bytes: `docs/format/sstable.md`.
//!
//! Written by `writer`, which collects short series (`short`) and fills groups (`group`, `directory`); read by
//! `reader` and `slice`, with `buffers` for what neighbouring chunks have in common; `windows` are the
//! sub-summaries, `verify` checks all of it, and `any_bytes` reads it in every way for fuzzing.

#[cfg(feature = "test-util")]
mod any_bytes;
mod buffers;
mod directory;
mod format;
mod group;
mod raw;
mod reader;
mod root;
mod short;
mod slice;
mod verify;
mod windows;
mod writer;

#[cfg(feature = "test-util")]
pub(crate) use any_bytes::read_run as read_any_run;
pub(crate) use buffers::ReadBuffers;
pub(crate) use format::{SLICE_META_BYTES_MIN, put_slice_meta, read_slice_meta};
pub(crate) use raw::RawChunk;
pub(crate) use reader::{PagesRead, Run, Through};
pub(crate) use slice::{Chunk, Known, Slice, SliceSeries};
pub(crate) use windows::{Totals, WindowRows};
pub(crate) use writer::RunWriter;

use tsdb_core::NamespaceId;
use tsdb_core::hash::HashKey;

/// A series with fewer rows in a slice shares its pages with its neighbours, and has no sub-summaries.
const SHORT_ROWS: u32 = 128;

/// What every run of a store has in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunOptions {
    pub database_id: [u8; 16],
    pub hash_key: HashKey,
}

/// A run as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunMeta {
    /// Length of the file.
    pub bytes: u64,
    /// Checksum over the footer, which holds those of the directories and of all pages.
    pub checksum: u32,
    pub slices: Vec<SliceMeta>,
}

/// A slice as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SliceMeta {
    pub namespace: NamespaceId,
    /// Start of the partition in ns.
    pub partition_start: i64,
    /// Smallest and largest timestamp in ns.
    pub t_min: i64,
    pub t_max: i64,
    /// Range of sequence numbers that the slice stands for: no other slice of the partition has rows with
    /// numbers in it.
    pub seq_min: u64,
    pub seq_max: u64,
    pub rows: u64,
    pub series: u64,
}

#[cfg(test)]
mod tests;

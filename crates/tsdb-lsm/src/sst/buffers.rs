//! What a reader keeps from one chunk to the next: buffers, and what neighbouring chunks have in common.

use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tsdb_core::{Column, TimeColumn};

use super::directory::Directory;
use super::reader::PagesRead;

/// A run and a slice of it.
type SliceKey = (u64, u64);

/// A run, a page of timestamps of it, and how many these are.
type TimesKey = (u64, u64, usize);

/// An entry by its directory and its place there, and the fields that are read of it.
type EntryFields = (Arc<Directory>, usize, Arc<[Option<usize>]>);

/// Buffers of one reader, which goes through the series of some slices in order.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffers {
    pub(super) page: Vec<u8>,
    pub(super) read: PagesRead,
    /// The group of each slice that was looked into last.
    directories: HashMap<SliceKey, (usize, Arc<Directory>), RandomState>,
    /// The entry of each slice that several series share and that was read last.
    shared: HashMap<SliceKey, SharedRows, RandomState>,
    /// The timestamps that were decoded last.
    times: Option<(TimesKey, TimeColumn)>,
    /// Buffers of columns that nobody looks at any more, as long as they were: what is decoded into one that is long
    /// enough need not be zeroed first.
    values: Vec<Vec<f64>>,
}

/// Most buffers of columns that wait for their next use: two megabytes.
const VALUES_KEPT: usize = 64;

/// Values from which on it is worth it.
const VALUES_MIN: usize = 512;

/// All rows of an entry that several series share.
#[derive(Debug, Default)]
pub(super) struct SharedRows {
    of: Option<EntryFields>,
    /// Where each series begins, and where the last ends.
    pub starts: Vec<usize>,
    /// Whether `times` are those of each series; else they are those of all, one series behind the other.
    pub is_one_vector: bool,
    pub times: Vec<i64>,
    pub columns: Vec<Column>,
}

impl SharedRows {
    pub(super) fn new(
        directory: &Arc<Directory>,
        entry: usize,
        fields: &Arc<[Option<usize>]>,
    ) -> SharedRows {
        let of = Some((Arc::clone(directory), entry, Arc::clone(fields)));
        SharedRows { of, ..SharedRows::default() }
    }

    pub(super) fn is_of(
        &self,
        directory: &Arc<Directory>,
        entry: usize,
        fields: &Arc<[Option<usize>]>,
    ) -> bool {
        self.of.as_ref().is_some_and(|(own, place, own_fields)| {
            Arc::ptr_eq(own, directory) && *place == entry && Arc::ptr_eq(own_fields, fields)
        })
    }

    pub(super) fn rows_of(&self, part: usize) -> Range<usize> {
        let bounds = self.starts.get(part).zip(self.starts.get(part + 1));
        bounds.map_or(0..0, |(start, end)| *start..*end)
    }
}

impl ReadBuffers {
    /// What was read since this was asked last.
    pub(crate) fn take_read(&mut self) -> PagesRead {
        std::mem::take(&mut self.read)
    }

    /// Takes the buffers of long columns whose values are no longer wanted.
    pub(crate) fn keep_values(&mut self, columns: &mut [Column]) {
        for column in columns {
            if column.values.len() >= VALUES_MIN && self.values.len() < VALUES_KEPT {
                self.values.push(std::mem::take(&mut column.values));
            }
        }
    }

    /// Gives a column without a buffer one that was kept, with whatever it holds.
    pub(super) fn lend_values(&mut self, column: &mut Column) {
        if column.values.capacity() == 0
            && let Some(values) = self.values.pop()
        {
            column.values = values;
        }
    }

    pub(super) fn directory(&self, key: SliceKey, group: usize) -> Option<Arc<Directory>> {
        let (place, directory) = self.directories.get(&key)?;
        (*place == group).then(|| Arc::clone(directory))
    }

    pub(super) fn keep_directory(
        &mut self,
        key: SliceKey,
        group: usize,
        directory: &Arc<Directory>,
    ) {
        self.directories.insert(key, (group, Arc::clone(directory)));
    }

    pub(super) fn take_shared(&mut self, key: SliceKey) -> SharedRows {
        self.shared.remove(&key).unwrap_or_default()
    }

    pub(super) fn keep_shared(&mut self, key: SliceKey, shared: SharedRows) {
        self.shared.insert(key, shared);
    }

    pub(super) fn times(&self, key: TimesKey) -> Option<&TimeColumn> {
        self.times.as_ref().filter(|(of, _)| *of == key).map(|(_, times)| times)
    }

    pub(super) fn keep_times(&mut self, key: TimesKey, times: &TimeColumn) {
        match &mut self.times {
            Some((of, kept)) => {
                *of = key;
                kept.clone_from(times);
            }
            none => *none = Some((key, times.clone())),
        }
    }
}

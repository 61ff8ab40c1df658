//! Writes a run from front to back, with one row group, the index and the roots in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::checksum::crc32c;
use tsdb_core::env::{Env, VfsFile, write_all_at};
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::{Column, NamespaceId, SeriesKey};
use tsdb_index::IndexWriter;

use super::format::{
    FOOTER_MAGIC, Footer, FooterSlice, SectionPlace, encode_footer, header, run_meta,
};
use super::group::{EntryRows, GroupWriter};
use super::raw::RawChunk;
use super::root::{GroupPlace, MeasurementFields, Root};
use super::short::{HeldChunk, ShortSeries};
use super::{RunMeta, RunOptions, SHORT_ROWS, SliceMeta};
use crate::codec::Memo;
use crate::error::{Error, Result};
use crate::pace::Writing;

/// Bytes that are collected before a write.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes that are written between two syncs. One sync of a large file at its end would hold up those of the log, which
/// writers wait for.
const SYNC_STEP: u64 = 8 << 20;

/// Memory of a group that is being written, at most about: pages, sub-summaries, places.
const GROUP_BYTES: usize = 2 << 20;

/// A run that is being written.
pub(crate) struct RunWriter {
    env: Env,
    path: PathBuf,
    options: RunOptions,
    file: Arc<dyn VfsFile>,
    writing: Writing,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
    pages_checksum: u32,
    slices: Vec<FooterSlice>,
    open: Option<OpenSlice>,
}

struct OpenSlice {
    meta: SliceMeta,
    data_offset: u64,
    index: IndexWriter,
    /// Field names with their numbers, in order of their first appearance.
    fields: BTreeMap<Arc<str>, u32>,
    /// By field, what its last column was encoded as.
    memos: Vec<Memo>,
    measurement: String,
    measurements: Vec<(u32, BTreeSet<u32>)>,
    groups: Vec<GroupPlace>,
    group: GroupWriter,
    /// Ended series that wait for others to share an entry with them.
    short: ShortSeries,
    /// The only chunk of the series at hand so far, if it is short.
    held: Option<HeldChunk>,
    /// Last timestamp of the series at hand.
    last_time: Option<i64>,
    /// Where the last group ended, or the slice began.
    groups_end: u64,
}

impl RunWriter {
    /// Creates the file and writes its header.
    pub(crate) fn create(env: &Env, path: &Path, options: RunOptions) -> Result<RunWriter> {
        let file = env.vfs.create_new(path, 0).map_err(Error::io("create", path))?;
        Ok(RunWriter {
            env: env.clone(),
            path: path.to_owned(),
            buffer: header(&options),
            options,
            file,
            writing: Writing::default(),
            written: 0,
            synced: 0,
            pages_checksum: 0,
            slices: Vec::new(),
            open: None,
        })
    }

    /// Says who writes, and so how fast that may be.
    pub(crate) fn write_as(&mut self, writing: Writing) {
        self.writing = writing;
    }

    /// Memory of what is kept until the slice ends, in bytes: a group, the index of its series, the root.
    pub(crate) fn directory_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |slice| {
            let groups = slice.groups.len() * size_of::<GroupPlace>();
            slice.index.memory_bytes() + groups + GROUP_BYTES + slice.short.bytes()
        })
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Begins the rows of a (namespace, partition), which stand for the numbers `seq_min` to `seq_max`.
    pub(crate) fn begin_slice(
        &mut self,
        namespace: NamespaceId,
        partition_start: i64,
        seq_min: u64,
        seq_max: u64,
    ) -> Result<()> {
        self.end_slice()?;
        let meta = SliceMeta {
            namespace,
            partition_start,
            t_min: i64::MAX,
            t_max: i64::MIN,
            seq_min,
            seq_max,
            rows: 0,
            series: 0,
        };
        self.open = Some(OpenSlice {
            meta,
            data_offset: self.position(),
            index: IndexWriter::new(self.options.hash_key),
            fields: BTreeMap::new(),
            memos: Vec::new(),
            measurement: String::new(),
            measurements: Vec::new(),
            groups: Vec::new(),
            group: GroupWriter::default(),
            short: ShortSeries::default(),
            held: None,
            last_time: None,
            groups_end: self.position(),
        });
        Ok(())
    }

    /// Begins a series; series come in key order.
    pub(crate) fn begin_series(&mut self, key: &SeriesKey, hash: u128) -> Result<()> {
        self.end_series()?;
        let is_next = |slice: &OpenSlice| slice.measurement != key.measurement();
        if self.open.as_ref().is_some_and(is_next) {
            self.end_short()?;
        }
        let Some(slice) = &mut self.open else { unreachable!("a slice is begun first") };
        let (buffer, written) = (&mut self.buffer, self.written);
        slice.index.add(key, hash, |page| Ok::<u64, Error>(put_page(page, written, buffer)))?;
        let first = length(usize::try_from(slice.meta.series).unwrap_or(usize::MAX));
        if slice.meta.series == 0 || slice.measurement != key.measurement() {
            slice.measurement = key.measurement().to_owned();
            slice.measurements.push((first, BTreeSet::new()));
        }
        slice.meta.series += 1;
        Ok(())
    }

    /// Writes a chunk of the series at hand: at most [`BLOCK_ROWS_MAX`] rows after all earlier ones,
    /// columns sorted by field name, none of them without a value. With this its values are encoded the
    /// `encodings`th time.
    pub(crate) fn push_chunk(
        &mut self,
        times: &[i64],
        columns: &[(Arc<str>, &Column)],
        encodings: u32,
    ) -> Result<()> {
        let Some(slice) = &mut self.open else { unreachable!("a slice is begun first") };
        let (Some(t_min), Some(t_max)) = (times.first(), times.last()) else { return Ok(()) };
        // invariant: I4: strictly increasing inside a chunk, and from one to the next.
        assert!(times.is_sorted_by(|a, b| a < b), "I4: timestamps of a chunk do not increase");
        assert!(times.len() <= BLOCK_ROWS_MAX, "a chunk has at most {BLOCK_ROWS_MAX} rows");
        let follows = slice.last_time.is_none_or(|last| last < *t_min);
        assert!(follows, "I4: a chunk begins before its predecessor ends");
        let is_first = slice.last_time.is_none();
        slice.last_time = Some(*t_max);
        slice.meta.rows += times.len() as u64;
        slice.meta.t_min = slice.meta.t_min.min(*t_min);
        slice.meta.t_max = slice.meta.t_max.max(*t_max);
        let mut numbered: Vec<(u32, &Column)> =
            columns.iter().map(|(name, column)| (slice.field(name), *column)).collect();
        numbered.sort_unstable_by_key(|(field, _)| *field);
        if let Some((_, fields)) = slice.measurements.last_mut() {
            fields.extend(numbered.iter().map(|(field, _)| *field));
        }
        if is_first && times.len() < SHORT_ROWS as usize {
            let columns = numbered.into_iter().map(|(field, column)| (field, column.clone()));
            let columns = columns.collect();
            slice.held = Some(HeldChunk { times: times.to_vec(), columns, encodings });
            return Ok(());
        }
        self.put_held()?;
        self.put_chunk(times, &numbered, encodings)
    }

    /// Writes a chunk of the series at hand as it was encoded before, in another run.
    pub(crate) fn push_raw(&mut self, chunk: &RawChunk) -> Result<()> {
        let Some(slice) = &mut self.open else { unreachable!("a slice is begun first") };
        // invariant: I4: from one chunk to the next.
        let follows = slice.last_time.is_none_or(|last| last < chunk.t_min);
        assert!(follows, "I4: a chunk begins before its predecessor ends");
        slice.last_time = Some(chunk.t_max);
        slice.meta.rows += u64::from(chunk.rows);
        slice.meta.t_min = slice.meta.t_min.min(chunk.t_min);
        slice.meta.t_max = slice.meta.t_max.max(chunk.t_max);
        let numbers: Vec<u32> =
            chunk.columns.iter().map(|column| slice.field(&column.name)).collect();
        if let Some((_, fields)) = slice.measurements.last_mut() {
            fields.extend(&numbers);
        }
        self.put_held()?;
        self.end_short()?;
        let Some(slice) = &mut self.open else { return Ok(()) };
        let first = length(usize::try_from(slice.meta.series).unwrap_or(usize::MAX)) - 1;
        slice.group.push_raw(first, chunk, &numbers);
        self.end_group_if(GroupWriter::is_full)
    }

    /// Puts the first chunk of the series at hand into the group, since it is not the only one.
    fn put_held(&mut self) -> Result<()> {
        let Some(held) = self.open.as_mut().and_then(|slice| slice.held.take()) else {
            return Ok(());
        };
        let columns: Vec<(u32, &Column)> = held.columns.iter().map(|(f, c)| (*f, c)).collect();
        self.put_chunk(&held.times, &columns, held.encodings)
    }

    /// Puts a chunk of the series at hand into the group as an entry of its own.
    fn put_chunk(
        &mut self,
        times: &[i64],
        columns: &[(u32, &Column)],
        encodings: u32,
    ) -> Result<()> {
        self.end_short()?;
        let Some(slice) = &mut self.open else { return Ok(()) };
        let first = length(usize::try_from(slice.meta.series).unwrap_or(usize::MAX)) - 1;
        let series_rows = &[length(times.len())];
        let rows = EntryRows { first, series_rows, times, columns, encodings };
        slice.group.push(&rows, &mut slice.memos);
        self.end_group_if(GroupWriter::is_full)
    }

    /// Puts the short series that were collected into the group as one entry.
    fn end_short(&mut self) -> Result<()> {
        let Some(slice) = &mut self.open else { return Ok(()) };
        if slice.short.is_empty() {
            return Ok(());
        }
        let (group, memos) = (&mut slice.group, &mut slice.memos);
        slice.short.take(|rows| group.push(rows, memos));
        self.end_group_if(GroupWriter::is_full)
    }

    /// Ends the series at hand: a short one waits for others.
    fn end_series(&mut self) -> Result<()> {
        let Some(slice) = &mut self.open else { return Ok(()) };
        slice.last_time = None;
        let Some(held) = slice.held.take() else { return Ok(()) };
        let series = length(usize::try_from(slice.meta.series).unwrap_or(usize::MAX)) - 1;
        if !slice.short.takes(series, &held, slice.group.series_left()) {
            self.end_short()?;
        }
        if let Some(slice) = &mut self.open {
            slice.short.push(series, &held);
        }
        Ok(())
    }

    fn end_group_if(&mut self, ends: impl FnOnce(&GroupWriter) -> bool) -> Result<()> {
        let Some(slice) = &mut self.open else { return Ok(()) };
        if slice.group.is_empty() || !ends(&slice.group) {
            return Ok(());
        }
        let group = std::mem::take(&mut slice.group);
        let start = self.written + self.buffer.len() as u64;
        let place = group.finish(&mut self.buffer, &mut self.pages_checksum);
        // Pages of the index stand between groups, where they became full.
        slice
            .groups
            .extend(place.map(|place| GroupPlace { gap: start - slice.groups_end, ..place }));
        slice.groups_end = self.written + self.buffer.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES { self.write_buffer() } else { Ok(()) }
    }

    fn write_buffer(&mut self) -> Result<()> {
        self.writing.before(self.buffer.len() as u64);
        write_all_at(&*self.file, &self.buffer, self.written)
            .map_err(Error::io("write", &self.path))?;
        self.written = self.position();
        self.buffer.clear();
        if self.written - self.synced >= SYNC_STEP {
            self.file.sync_data().map_err(Error::io("sync", &self.path))?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn end_slice(&mut self) -> Result<()> {
        self.end_series()?;
        self.end_short()?;
        self.end_group_if(|_| true)?;
        let Some(slice) = self.open.take() else { return Ok(()) };
        if slice.meta.rows == 0 {
            return Ok(());
        }
        let (buffer, written) = (&mut self.buffer, self.written);
        let index = slice.index.finish(|page| Ok::<u64, Error>(put_page(page, written, buffer)))?;
        let cardinality = index.cardinality;
        let index = self.put_section(&index.root)?;
        let cardinality = self.put_section(&cardinality)?;
        let mut names: Vec<(u32, Arc<str>)> =
            slice.fields.into_iter().map(|(name, number)| (number, name)).collect();
        names.sort_unstable();
        let measurements = slice.measurements.into_iter().map(|(first, fields)| {
            MeasurementFields { first, fields: fields.into_iter().collect() }
        });
        let root = Root {
            data_offset: slice.data_offset,
            fields: names.into_iter().map(|(_, name)| name).collect(),
            measurements: measurements.collect(),
            groups: slice.groups,
        };
        let root = self.put_section(&root.encode())?;
        self.slices.push(FooterSlice { meta: slice.meta, index, cardinality, root });
        Ok(())
    }

    fn put_section(&mut self, bytes: &[u8]) -> Result<SectionPlace> {
        let offset = self.position();
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(SectionPlace { offset, bytes: bytes.len() as u64, checksum: crc32c(bytes) })
    }

    /// Ends the file and syncs it; the caller syncs the directory. `None` if no row was written; then,
    /// and on an error, the file is removed.
    pub(crate) fn finish(mut self) -> Result<Option<RunMeta>> {
        let result = self.try_finish();
        if !matches!(result, Ok(Some(_))) {
            self.remove();
        }
        result
    }

    fn try_finish(&mut self) -> Result<Option<RunMeta>> {
        self.end_slice()?;
        if self.slices.is_empty() {
            return Ok(None);
        }
        let footer = Footer {
            hash_key: self.options.hash_key,
            pages_checksum: self.pages_checksum,
            slices: std::mem::take(&mut self.slices),
        };
        let bytes = encode_footer(&footer);
        let checksum = crc32c(&bytes);
        self.buffer.extend_from_slice(&bytes);
        self.buffer.extend_from_slice(&length(bytes.len()).to_le_bytes());
        self.buffer.extend_from_slice(&checksum.to_le_bytes());
        self.buffer.extend_from_slice(FOOTER_MAGIC);
        self.write_buffer()?;
        self.file.sync_all().map_err(Error::io("sync", &self.path))?;
        Ok(Some(run_meta(&footer, checksum, self.written)))
    }

    /// Gives the file up and removes it.
    pub(crate) fn abandon(self) {
        self.remove();
    }

    fn remove(&self) {
        // What cannot be removed now is an orphan that the next start removes.
        let _ = self.env.vfs.unlink(&self.path);
    }
}

impl OpenSlice {
    fn field(&mut self, name: &Arc<str>) -> u32 {
        if let Some(number) = self.fields.get(name) {
            return *number;
        }
        let number = length(self.fields.len());
        self.fields.insert(Arc::clone(name), number);
        number
    }
}

/// Columns of 4096 rows, fields of a slice and footers are far below 4 GiB.
fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Appends a page and its checksum; where in the file it will stand.
fn put_page(page: &[u8], written: u64, buffer: &mut Vec<u8>) -> u64 {
    let offset = written + buffer.len() as u64;
    buffer.extend_from_slice(page);
    buffer.extend_from_slice(&crc32c(page).to_le_bytes());
    offset
}

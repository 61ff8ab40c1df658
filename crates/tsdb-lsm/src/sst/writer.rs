//! Writes a run from front to back, with one chunk and the directories in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::checksum::{crc32c, crc32c_append};
use tsdb_core::env::{Env, VfsFile, write_all_at};
use tsdb_core::limits::BLOCK_ROWS_MAX;
use tsdb_core::{Column, NamespaceId, Presence, SeriesKey, Summary};
use tsdb_index::SectionWriter;

use super::format::{
    ChunkEntry, ColumnEntry, DirectoryWriter, FOOTER_MAGIC, Footer, FooterSlice, SectionPlace,
    encode_footer, header, run_meta,
};
use super::{RunMeta, RunOptions, SliceMeta};
use crate::codec::{Memo, encode_presence, encode_times, encode_values};
use crate::error::{Error, Result};

/// Bytes that are collected before a write.
const BUFFER_BYTES: usize = 256 << 10;

/// Memory of a series beside the text of its key, while its slice is written: hash, places of its tags, its
/// list of chunks.
const SERIES_BYTES: usize = 96;

/// A run that is being written.
pub(crate) struct RunWriter {
    env: Env,
    path: PathBuf,
    options: RunOptions,
    file: Arc<dyn VfsFile>,
    buffer: Vec<u8>,
    written: u64,
    pages_checksum: u32,
    slices: Vec<FooterSlice>,
    open: Option<OpenSlice>,
}

struct OpenSlice {
    meta: SliceMeta,
    data_offset: u64,
    index: SectionWriter,
    /// Field names in the order of their first appearance; sorted when the slice ends.
    fields: BTreeMap<Arc<str>, u32>,
    /// Chunks of all ended series, with fields as they were numbered on appearance.
    series: Vec<Vec<ChunkEntry>>,
    current: Vec<ChunkEntry>,
    in_series: bool,
    /// Memory of all that, about.
    bytes: usize,
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
            written: 0,
            pages_checksum: 0,
            slices: Vec::new(),
            open: None,
        })
    }

    /// Memory of what is kept until the slice ends, in bytes: the directory, and the index of its series.
    pub(crate) fn directory_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |slice| slice.bytes)
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
            index: SectionWriter::new(),
            fields: BTreeMap::new(),
            series: Vec::new(),
            current: Vec::new(),
            in_series: false,
            bytes: 0,
        });
        Ok(())
    }

    /// Begins a series; series come in key order.
    pub(crate) fn begin_series(&mut self, key: &SeriesKey, hash: u128) -> Result<()> {
        let Some(slice) = &mut self.open else { unreachable!("a slice is begun first") };
        slice.end_series();
        slice.index.add(key, hash).map_err(index_error)?;
        slice.meta.series += 1;
        slice.bytes += SERIES_BYTES + key.as_str().len();
        slice.in_series = true;
        Ok(())
    }

    /// Writes a chunk of the series at hand: at most [`BLOCK_ROWS_MAX`] rows after all earlier ones,
    /// columns sorted by field name, none of them without a value.
    pub(crate) fn push_chunk(
        &mut self,
        times: &[i64],
        columns: &[(Arc<str>, &Column)],
    ) -> Result<()> {
        let Some(slice) = &mut self.open else { unreachable!("a slice is begun first") };
        let (Some(t_min), Some(t_max)) = (times.first(), times.last()) else { return Ok(()) };
        // invariant: I4: strictly increasing inside a chunk, and from one to the next.
        assert!(times.is_sorted_by(|a, b| a < b), "I4: timestamps of a chunk do not increase");
        assert!(times.len() <= BLOCK_ROWS_MAX, "a chunk has at most {BLOCK_ROWS_MAX} rows");
        let follows = slice.current.last().is_none_or(|last| last.t_max < *t_min);
        assert!(follows, "I4: a chunk begins before its predecessor ends");
        let rows = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let long = ChunkEntry::is_long(rows);
        let start = self.buffer.len();
        let mut page = start;
        let end_page = |buffer: &mut Vec<u8>, page: &mut usize, checksum: &mut u32| {
            let crc = crc32c(buffer.get(*page..).unwrap_or(&[])).to_le_bytes();
            buffer.extend_from_slice(&crc);
            *checksum = crc32c_append(*checksum, &crc);
            *page = buffer.len();
        };
        encode_times(times, &mut self.buffer);
        let times_bytes = length(self.buffer.len() - page);
        if long {
            end_page(&mut self.buffer, &mut page, &mut self.pages_checksum);
        }
        let mut entries = Vec::with_capacity(columns.len());
        slice.bytes += size_of::<ChunkEntry>() + columns.len() * size_of::<ColumnEntry>();
        let mut column_start = self.buffer.len();
        for (name, column) in columns {
            let field = slice.field(name);
            encode_column(column, times.len(), &mut self.buffer);
            let bytes = length(self.buffer.len() - column_start);
            let dense = column.presence == Presence::All;
            let summary = if long { summarise(column, times) } else { None };
            entries.push(ColumnEntry { field, bytes, dense, summary });
            if long {
                end_page(&mut self.buffer, &mut page, &mut self.pages_checksum);
            }
            column_start = self.buffer.len();
        }
        if !long {
            end_page(&mut self.buffer, &mut page, &mut self.pages_checksum);
        }
        slice.meta.rows += u64::from(rows);
        slice.meta.t_min = slice.meta.t_min.min(*t_min);
        slice.meta.t_max = slice.meta.t_max.max(*t_max);
        let (t_min, t_max) = (*t_min, *t_max);
        slice.current.push(ChunkEntry { rows, t_min, t_max, times_bytes, columns: entries });
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    fn write_buffer(&mut self) -> Result<()> {
        write_all_at(&*self.file, &self.buffer, self.written)
            .map_err(Error::io("write", &self.path))?;
        self.written = self.position();
        self.buffer.clear();
        Ok(())
    }

    fn end_slice(&mut self) -> Result<()> {
        let Some(mut slice) = self.open.take() else { return Ok(()) };
        slice.end_series();
        if slice.meta.rows == 0 {
            return Ok(());
        }
        let index = self.put_section(&slice.index.finish().map_err(index_error)?)?;
        let mut order = vec![0u32; slice.fields.len()];
        for (sorted, appeared) in (0u32..).zip(slice.fields.values()) {
            if let Some(place) = order.get_mut(*appeared as usize) {
                *place = sorted;
            }
        }
        let mut directory = DirectoryWriter::new();
        for mut chunks in slice.series {
            for column in chunks.iter_mut().flat_map(|chunk| &mut chunk.columns) {
                column.field = order.get(column.field as usize).copied().unwrap_or(0);
            }
            directory.end_series(&chunks);
        }
        let names: Vec<Arc<str>> = slice.fields.into_keys().collect();
        let directory = self.put_section(&directory.finish(slice.data_offset, &names))?;
        self.slices.push(FooterSlice { meta: slice.meta, index, directory });
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
    fn end_series(&mut self) {
        if self.in_series {
            self.series.push(std::mem::take(&mut self.current));
            self.in_series = false;
        }
    }

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

fn index_error(error: tsdb_index::Error) -> Error {
    Error::Core(tsdb_core::Error::Invalid { what: error.to_string() })
}

/// Presence, then the values that are there.
fn encode_column(column: &Column, rows: usize, out: &mut Vec<u8>) {
    encode_presence(&column.presence, rows, out);
    match &column.presence {
        Presence::Some(_) => {
            let present: Vec<f64> = (0..rows).filter_map(|row| column.get(row)).collect();
            encode_values(&present, &mut Memo::default(), out);
        }
        Presence::All | Presence::None => encode_values(&column.values, &mut Memo::default(), out),
    }
}

/// Summary of a column without NaN. The sum is compensated (Neumaier 1974), so it is rounded about once.
fn summarise(column: &Column, times: &[i64]) -> Option<Summary> {
    let mut present = (0..times.len()).filter_map(|row| column.get(row)).peekable();
    let first = *present.peek()?;
    let (mut count, mut sum, mut lost) = (0u64, 0.0f64, 0.0f64);
    let (mut min, mut max, mut last) = (first, first, first);
    for value in present {
        if value.is_nan() {
            return None;
        }
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
        min = min.min(value);
        max = max.max(value);
        last = value;
        count += 1;
    }
    // With infinities the compensation is NaN and the plain sum is right.
    let total = sum + lost;
    let sum = if total.is_nan() { sum } else { total };
    let (t_first, t_last) = (*times.first()?, *times.last()?);
    Some(Summary { count, sum, min, max, first, last, t_first, t_last })
}

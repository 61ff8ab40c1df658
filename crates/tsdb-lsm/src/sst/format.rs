//! Bytes of a run. Pinned to `docs/format/sstable.md`.

use std::sync::Arc;

use tsdb_core::checksum::{self, crc32c};
use tsdb_core::hash::HashKey;
use tsdb_core::{NamespaceId, Summary};

use super::{RunMeta, RunOptions, SliceMeta};
use crate::bytes::{Malformed, Reader, put_i64, put_str, put_u64, put_varint};

pub(super) const MAGIC: &[u8; 8] = b"TSDBRUN1";
pub(super) const FOOTER_MAGIC: &[u8; 8] = b"1NURBDST";
pub(super) const VERSION: u32 = 1;

/// magic, version, database id, checksum of all that.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 16 + 4;

/// footer length, footer checksum, magic.
pub(super) const TRAILER_BYTES: usize = 4 + 4 + 8;

/// Checksum behind each page.
pub(super) const PAGE_CHECKSUM_BYTES: usize = 4;

/// A chunk of fewer rows keeps all its columns in one page: checksums and reads of their own would cost
/// more than they save.
pub(super) const LONG_CHUNK_ROWS: u32 = 64;

pub(super) fn header(options: &RunOptions) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&options.database_id);
    let checksum = crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Version and database of a header; `None` if it is no intact header of a run.
pub(super) fn read_header(bytes: &[u8; HEADER_BYTES]) -> Option<(u32, [u8; 16])> {
    let (body, stored) = bytes.split_last_chunk::<4>()?;
    if body.first_chunk::<8>()? != MAGIC || !checksum::matches(body, u32::from_le_bytes(*stored)) {
        return None;
    }
    let mut reader = Reader::new(body.get(8..)?);
    Some((reader.u32().ok()?, reader.bytes16().ok()?))
}

/// Where a section stands, and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SectionPlace {
    pub offset: u64,
    pub bytes: u64,
    pub checksum: u32,
}

/// A slice as the footer describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FooterSlice {
    pub meta: SliceMeta,
    pub index: SectionPlace,
    pub directory: SectionPlace,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Footer {
    pub hash_key: HashKey,
    /// Running checksum over the checksums of all data pages, in order.
    pub pages_checksum: u32,
    pub slices: Vec<FooterSlice>,
}

/// Fewest bytes of a slice as [`put_slice_meta`] writes it.
pub(crate) const SLICE_META_BYTES_MIN: usize = 29;

/// A slice's description, as the manifest stores it too.
pub(crate) fn put_slice_meta(out: &mut Vec<u8>, meta: &SliceMeta) {
    put_varint(out, u64::from(meta.namespace.0));
    put_i64(out, meta.partition_start);
    put_i64(out, meta.t_min);
    put_i64(out, meta.t_max);
    for number in [meta.seq_min, meta.seq_max, meta.rows, meta.series] {
        put_varint(out, number);
    }
}

pub(crate) fn read_slice_meta(reader: &mut Reader<'_>) -> Result<SliceMeta, Malformed> {
    Ok(SliceMeta {
        namespace: NamespaceId(reader.varint_u32()?),
        partition_start: reader.i64()?,
        t_min: reader.i64()?,
        t_max: reader.i64()?,
        seq_min: reader.varint()?,
        seq_max: reader.varint()?,
        rows: reader.varint()?,
        series: reader.varint()?,
    })
}

pub(super) fn encode_footer(footer: &Footer) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&footer.hash_key.0);
    out.extend_from_slice(&footer.pages_checksum.to_le_bytes());
    put_varint(&mut out, footer.slices.len() as u64);
    for slice in &footer.slices {
        put_slice_meta(&mut out, &slice.meta);
        for place in [slice.index, slice.directory] {
            put_varint(&mut out, place.offset);
            put_varint(&mut out, place.bytes);
            out.extend_from_slice(&place.checksum.to_le_bytes());
        }
    }
    out
}

pub(super) fn decode_footer(bytes: &[u8]) -> Result<Footer, Malformed> {
    let mut reader = Reader::new(bytes);
    let hash_key = HashKey(reader.bytes16()?);
    let pages_checksum = reader.u32()?;
    let mut slices = Vec::new();
    for _ in 0..reader.count(40)? {
        let meta = read_slice_meta(&mut reader)?;
        let mut place = || {
            Ok::<_, Malformed>(SectionPlace {
                offset: reader.varint()?,
                bytes: reader.varint()?,
                checksum: reader.u32()?,
            })
        };
        slices.push(FooterSlice { meta, index: place()?, directory: place()? });
    }
    reader.end()?;
    Ok(Footer { hash_key, pages_checksum, slices })
}

/// The run as the manifest knows it.
pub(super) fn run_meta(footer: &Footer, footer_checksum: u32, bytes: u64) -> RunMeta {
    let slices = footer.slices.iter().map(|slice| slice.meta.clone()).collect();
    RunMeta { bytes, checksum: footer_checksum, slices }
}

/// A column of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ColumnEntry {
    /// Place among the slice's fields.
    pub field: u32,
    /// Bytes of its encoding, without a checksum.
    pub bytes: u32,
    /// Every row has a value.
    pub dense: bool,
    /// Only in long chunks without a NaN in the column.
    pub summary: Option<Summary>,
}

/// A chunk.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChunkEntry {
    pub rows: u32,
    pub t_min: i64,
    pub t_max: i64,
    /// Bytes of the timestamps' encoding, without a checksum.
    pub times_bytes: u32,
    pub columns: Vec<ColumnEntry>,
}

impl ChunkEntry {
    pub(super) fn is_long(rows: u32) -> bool {
        rows >= LONG_CHUNK_ROWS
    }

    /// Bytes that the chunk takes in the file, checksums included.
    pub(super) fn stored_bytes(&self) -> u64 {
        let columns: u64 = self.columns.iter().map(|column| u64::from(column.bytes)).sum();
        let pages = if Self::is_long(self.rows) { 1 + self.columns.len() } else { 1 };
        u64::from(self.times_bytes) + columns + (pages * PAGE_CHECKSUM_BYTES) as u64
    }
}

const DENSE: u8 = 1;
const SUMMARY: u8 = 2;

/// The directory of a slice: where it begins, its fields, and the chunks of each series in order.
pub(super) struct DirectoryWriter {
    body: Vec<u8>,
    last_time: i64,
}

impl DirectoryWriter {
    pub(super) fn new() -> DirectoryWriter {
        DirectoryWriter { body: Vec::new(), last_time: 0 }
    }

    /// Begins a series. Its number of chunks follows when they are known, see [`Self::end_series`].
    pub(super) fn end_series(&mut self, chunks: &[ChunkEntry]) {
        put_varint(&mut self.body, chunks.len() as u64);
        for chunk in chunks {
            put_varint(&mut self.body, u64::from(chunk.rows));
            put_i64_delta(&mut self.body, chunk.t_min, self.last_time);
            put_varint(&mut self.body, chunk.t_max.wrapping_sub(chunk.t_min).cast_unsigned());
            self.last_time = chunk.t_min;
            put_varint(&mut self.body, u64::from(chunk.times_bytes));
            put_varint(&mut self.body, chunk.columns.len() as u64);
            for column in &chunk.columns {
                put_column(&mut self.body, column);
            }
        }
    }

    pub(super) fn finish(self, data_offset: u64, fields: &[Arc<str>]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 64);
        put_varint(&mut out, data_offset);
        put_varint(&mut out, fields.len() as u64);
        fields.iter().for_each(|field| put_str(&mut out, field));
        out.extend_from_slice(&self.body);
        out
    }
}

/// Signed distances as varints: the sign goes to the lowest bit.
fn put_i64_delta(out: &mut Vec<u8>, value: i64, from: i64) {
    let delta = value.wrapping_sub(from);
    put_varint(out, (delta << 1 ^ delta >> 63).cast_unsigned());
}

fn put_column(out: &mut Vec<u8>, column: &ColumnEntry) {
    let summary = if column.summary.is_some() { SUMMARY } else { 0 };
    let dense = if column.dense { DENSE } else { 0 };
    put_varint(out, u64::from(column.field));
    out.push(dense | summary);
    put_varint(out, u64::from(column.bytes));
    if let Some(summary) = &column.summary {
        put_varint(out, summary.count);
        for value in [summary.sum, summary.min, summary.max, summary.first, summary.last] {
            put_u64(out, value.to_bits());
        }
    }
}

/// Reads a directory and calls `chunk` for each chunk, series by series; `series` after each series.
pub(super) fn read_directory(
    bytes: &[u8],
    series_count: u64,
    mut visit: impl FnMut(DirectoryItem),
) -> Result<(u64, Vec<Arc<str>>), Malformed> {
    let mut reader = Reader::new(bytes);
    let data_offset = reader.varint()?;
    let mut fields: Vec<Arc<str>> = Vec::new();
    for _ in 0..reader.count(1)? {
        fields.push(reader.str()?.into());
    }
    if !fields.is_sorted_by(|a, b| a < b) {
        return Err(reader.malformed("field names that are not sorted"));
    }
    let mut last_time = 0i64;
    for _ in 0..series_count {
        let mut previous: Option<i64> = None;
        for _ in 0..reader.count(5)? {
            let chunk = read_chunk(&mut reader, fields.len(), last_time)?;
            if previous.is_some_and(|end| chunk.t_min <= end) {
                return Err(reader.malformed("chunks that overlap in time"));
            }
            previous = Some(chunk.t_max);
            last_time = chunk.t_min;
            visit(DirectoryItem::Chunk(chunk));
        }
        visit(DirectoryItem::EndOfSeries);
    }
    reader.end()?;
    Ok((data_offset, fields))
}

/// What [`read_directory`] reports.
pub(super) enum DirectoryItem {
    Chunk(ChunkEntry),
    EndOfSeries,
}

fn read_chunk(
    reader: &mut Reader<'_>,
    field_count: usize,
    last_time: i64,
) -> Result<ChunkEntry, Malformed> {
    let rows = reader.varint_u32()?;
    let raw = reader.varint()?;
    let delta = (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed();
    let t_min = last_time.wrapping_add(delta);
    let length = i64::try_from(reader.varint()?).ok();
    let t_max = length.and_then(|length| t_min.checked_add(length));
    let t_max = t_max.ok_or_else(|| reader.malformed("a chunk that ends after all time"))?;
    let rows_max = tsdb_core::limits::BLOCK_ROWS_MAX as u64;
    if rows == 0 || u64::from(rows) > rows_max {
        return Err(reader.malformed("a chunk with too many rows or none"));
    }
    let times_bytes = reader.varint_u32()?;
    let mut columns: Vec<ColumnEntry> = Vec::new();
    for _ in 0..reader.count(3)? {
        let column = read_column(reader, t_min, t_max)?;
        let in_order = columns.last().is_none_or(|last| last.field < column.field);
        if !in_order || column.field as usize >= field_count {
            return Err(reader.malformed("columns out of order"));
        }
        columns.push(column);
    }
    Ok(ChunkEntry { rows, t_min, t_max, times_bytes, columns })
}

fn read_column(
    reader: &mut Reader<'_>,
    t_first: i64,
    t_last: i64,
) -> Result<ColumnEntry, Malformed> {
    let field = reader.varint_u32()?;
    let flags = reader.u8()?;
    let bytes = reader.varint_u32()?;
    if flags & !(DENSE | SUMMARY) != 0 {
        return Err(reader.malformed("unknown flags of a column"));
    }
    let summary = if flags & SUMMARY != 0 {
        let count = reader.varint()?;
        let mut number = || Ok::<f64, Malformed>(f64::from_bits(reader.u64()?));
        let (sum, min, max) = (number()?, number()?, number()?);
        let (first, last) = (number()?, number()?);
        Some(Summary { count, sum, min, max, first, last, t_first, t_last })
    } else {
        None
    };
    Ok(ColumnEntry { field, bytes, dense: flags & DENSE != 0, summary })
}

//! Reads a run: directories are checked and kept in memory when it is opened, data pages are read with
//! positioned reads and checked every time.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_core::checksum::{self, crc32c_append};
use tsdb_core::env::{Env, VfsFile, read_exact_at};
use tsdb_core::{Block, Column, Presence, Reservation, Summary, TimeColumn};
use tsdb_index::Section;

use super::format::{
    ChunkEntry, DirectoryItem, FOOTER_MAGIC, Footer, FooterSlice, HEADER_BYTES,
    PAGE_CHECKSUM_BYTES, SectionPlace, TRAILER_BYTES, VERSION, decode_footer, read_directory,
    read_header, run_meta,
};
use super::{RunMeta, SliceMeta};
use crate::bytes::{Malformed, Reader};
use crate::cache::{PageCache, PageKey};
use crate::codec::{decode_presence, decode_times, decode_values};
use crate::error::{Error, Result};

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    slices: Vec<Slice>,
    pages_checksum: u32,
    file: Arc<RunFile>,
    /// Pays for the directories.
    _directories: Reservation,
}

#[derive(Debug)]
struct RunFile {
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    cache: Arc<PageCache>,
    /// Number of the run in the cache.
    run: u64,
}

/// Whether pages are looked for in the cache and offered to it, or always read from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// For queries.
    Cache,
    /// For merges, which read each page once, and for checks, which want what is on disk.
    File,
}

/// A page that was read.
enum Page<'s> {
    Cached(Arc<[u8]>),
    Read(&'s [u8]),
}

impl std::ops::Deref for Page<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Page::Cached(page) => page,
            Page::Read(page) => page,
        }
    }
}

/// A slice of an open run.
#[derive(Debug)]
pub(crate) struct Slice {
    meta: SliceMeta,
    index: Section,
    fields: Vec<Arc<str>>,
    /// Per series where its chunks begin; one more at the end.
    series_starts: Vec<u32>,
    chunks: Vec<ChunkMeta>,
    columns: Vec<ColumnMeta>,
    summaries: Vec<Summary>,
    file: Arc<RunFile>,
}

/// A chunk of a slice.
#[derive(Debug, Clone)]
pub(crate) struct ChunkMeta {
    pub t_min: i64,
    pub t_max: i64,
    pub rows: u32,
    offset: u64,
    times_bytes: u32,
    columns_start: u32,
    columns_count: u32,
}

/// A column of a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnMeta {
    field: u32,
    bytes: u32,
    /// Place of its summary, or [`NO_SUMMARY`].
    summary: u32,
    dense: bool,
}

const NO_SUMMARY: u32 = u32::MAX;

/// What reading a chunk read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PagesRead {
    /// Pages from the file.
    pub pages: u64,
    /// Bytes of all pages, and of those that came from the cache.
    pub bytes: u64,
    pub cached: u64,
}

impl std::ops::AddAssign for PagesRead {
    fn add_assign(&mut self, more: PagesRead) {
        self.pages += more.pages;
        self.bytes += more.bytes;
        self.cached += more.cached;
    }
}

impl PagesRead {
    fn add(&mut self, bytes: u64) {
        self.pages += 1;
        self.bytes += bytes;
    }
}

impl ChunkMeta {
    fn is_long(&self) -> bool {
        ChunkEntry::is_long(self.rows)
    }

    fn checksum_bytes(&self) -> u64 {
        if self.is_long() { PAGE_CHECKSUM_BYTES as u64 } else { 0 }
    }
}

impl RunFile {
    fn corrupt(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path.clone(), offset, what: what.into() }
    }

    fn malformed(&self, offset: u64) -> impl FnOnce(Malformed) -> Error {
        move |Malformed { at, what }| self.corrupt(offset + at as u64, what)
    }

    fn read(&self, offset: u64, bytes: usize, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        out.resize(bytes, 0);
        read_exact_at(&*self.file, out, offset).map_err(Error::io("read", &self.path))
    }

    /// A page of `bytes` bytes: from the cache, or read with the checksum behind it, which is checked.
    fn page<'s>(
        &self,
        offset: u64,
        bytes: usize,
        through: Through,
        scratch: &'s mut Vec<u8>,
        read: &mut PagesRead,
    ) -> Result<Page<'s>> {
        let key = PageKey { run: self.run, offset };
        if through == Through::Cache
            && let Some(page) = self.cache.get(key)
        {
            read.bytes += (bytes + PAGE_CHECKSUM_BYTES) as u64;
            read.cached += (bytes + PAGE_CHECKSUM_BYTES) as u64;
            return Ok(Page::Cached(page));
        }
        self.read(offset, bytes + PAGE_CHECKSUM_BYTES, scratch)?;
        self.check_page(offset, scratch)?;
        read.add((bytes + PAGE_CHECKSUM_BYTES) as u64);
        scratch.truncate(bytes);
        if through == Through::Cache {
            self.cache.offer(key, scratch);
        }
        Ok(Page::Read(scratch))
    }

    fn check_page(&self, offset: u64, page: &[u8]) -> Result<()> {
        match page.split_last_chunk::<PAGE_CHECKSUM_BYTES>() {
            Some((body, stored)) if checksum::matches(body, u32::from_le_bytes(*stored)) => Ok(()),
            _ => Err(self.corrupt(offset, "the checksum of a page does not match")),
        }
    }

    fn read_section(&self, place: SectionPlace, limit: u64) -> Result<Vec<u8>> {
        let fits = place.offset.checked_add(place.bytes).is_some_and(|end| end <= limit);
        let bytes = usize::try_from(place.bytes).ok().filter(|_| fits);
        let bytes = bytes.ok_or_else(|| self.corrupt(place.offset, "a section beyond the file"))?;
        let mut section = Vec::new();
        self.read(place.offset, bytes, &mut section)?;
        if !checksum::matches(&section, place.checksum) {
            return Err(self.corrupt(place.offset, "the checksum of a section does not match"));
        }
        Ok(section)
    }
}

impl Run {
    /// Opens a run that the manifest describes as `expected`. Everything but the data pages is checked.
    pub(crate) fn open(
        env: &Env,
        path: &Path,
        expected: &RunMeta,
        database_id: [u8; 16],
        cache: &Arc<PageCache>,
    ) -> Result<Run> {
        let file = env.vfs.open_read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::MissingFile { path: path.to_owned() },
            _ => Error::io("open", path)(error),
        })?;
        let (cache, run) = (Arc::clone(cache), cache.new_run());
        let file = Arc::new(RunFile { path: path.to_owned(), file, cache, run });
        let bytes = file.file.len().map_err(Error::io("measure", path))?;
        if bytes != expected.bytes {
            let what = format!("it has {bytes} bytes, the manifest says {}", expected.bytes);
            return Err(file.corrupt(0, what));
        }
        check_header(&file, database_id)?;
        let (footer, footer_checksum) = read_footer(&file, bytes)?;
        if run_meta(&footer, footer_checksum, bytes) != *expected {
            return Err(file.corrupt(bytes, "the footer is not the one that the manifest names"));
        }
        let slices = footer.slices.iter().map(|slice| open_slice(&file, slice, bytes));
        let slices = slices.collect::<Result<Vec<_>>>()?;
        let directories = slices.iter().map(Slice::memory_bytes).sum();
        Ok(Run {
            slices,
            pages_checksum: footer.pages_checksum,
            _directories: file.cache.hold_directories(directories),
            file,
        })
    }

    pub(crate) fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Slice by its place; callers hold places that they got from this run.
    pub(crate) fn slice(&self, place: usize) -> &Slice {
        #[expect(clippy::indexing_slicing, reason = "places come from this run's own list")]
        &self.slices[place]
    }

    /// Reads and decodes every page.
    pub(crate) fn verify(&self) -> Result<()> {
        let (mut block, mut scratch, mut checksum) = (Block::new(), Vec::new(), 0);
        for slice in &self.slices {
            let all: Vec<Option<usize>> = (0..slice.fields.len()).map(Some).collect();
            for chunk in &slice.chunks {
                block.reset(0, all.len());
                slice.read_chunk(chunk, &all, Through::File, &mut scratch, &mut block)?;
                let ends = block.times.get(0).zip(block.times.get(block.len() - 1));
                if ends != Some((chunk.t_min, chunk.t_max)) {
                    let what = "a chunk's timestamps are not those of its directory";
                    return Err(self.file.corrupt(chunk.offset, what));
                }
                slice.each_page_checksum(chunk, &mut scratch, |crc| {
                    checksum = crc32c_append(checksum, &crc);
                })?;
            }
        }
        if checksum != self.pages_checksum {
            return Err(self.file.corrupt(0, "the pages are not those that the footer names"));
        }
        Ok(())
    }
}

fn check_header(file: &RunFile, database_id: [u8; 16]) -> Result<()> {
    let mut header = [0; HEADER_BYTES];
    read_exact_at(&*file.file, &mut header, 0).map_err(Error::io("read", &file.path))?;
    let (version, id) =
        read_header(&header).ok_or_else(|| file.corrupt(0, "the header is damaged"))?;
    if version > VERSION {
        let path = file.path.clone();
        return Err(Error::NewerFormat { path, version, supported: VERSION });
    }
    if id != database_id {
        return Err(file.corrupt(12, "it belongs to another data directory"));
    }
    Ok(())
}

fn read_footer(file: &RunFile, file_bytes: u64) -> Result<(Footer, u32)> {
    let trailer_offset = file_bytes.checked_sub(TRAILER_BYTES as u64);
    let trailer_offset = trailer_offset.ok_or_else(|| file.corrupt(0, "it is too short"))?;
    let mut trailer = Vec::new();
    file.read(trailer_offset, TRAILER_BYTES, &mut trailer)?;
    let damaged = || file.corrupt(trailer_offset, "the end of the file is damaged");
    let mut reader = Reader::new(&trailer);
    let (Ok(length), Ok(checksum), Ok(magic)) = (reader.u32(), reader.u32(), reader.take(8)) else {
        return Err(damaged());
    };
    let offset = trailer_offset.checked_sub(u64::from(length));
    let (true, Some(offset)) = (magic == FOOTER_MAGIC, offset) else { return Err(damaged()) };
    let place = SectionPlace { offset, bytes: u64::from(length), checksum };
    let bytes = file.read_section(place, file_bytes)?;
    let footer = decode_footer(&bytes).map_err(file.malformed(offset))?;
    Ok((footer, checksum))
}

fn open_slice(file: &Arc<RunFile>, slice: &FooterSlice, file_bytes: u64) -> Result<Slice> {
    let index_bytes = file.read_section(slice.index, file_bytes)?;
    let index = Section::open(&index_bytes)
        .map_err(|error| file.corrupt(slice.index.offset, error.to_string()))?;
    if index.len() as u64 != slice.meta.series {
        return Err(file.corrupt(slice.index.offset, "the index has another number of series"));
    }
    let bytes = file.read_section(slice.directory, file_bytes)?;
    let mut series_starts = vec![0u32];
    let (mut chunks, mut columns, mut summaries) = (Vec::new(), Vec::new(), Vec::new());
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut offset = 0u64;
    let (data_offset, fields) = read_directory(&bytes, slice.meta.series, |item| match item {
        DirectoryItem::EndOfSeries => series_starts.push(count(chunks.len())),
        DirectoryItem::Chunk(chunk) => {
            chunks.push(ChunkMeta {
                t_min: chunk.t_min,
                t_max: chunk.t_max,
                rows: chunk.rows,
                offset,
                times_bytes: chunk.times_bytes,
                columns_start: count(columns.len()),
                columns_count: count(chunk.columns.len()),
            });
            offset = offset.saturating_add(chunk.stored_bytes());
            for column in &chunk.columns {
                let summary = column.summary.map_or(NO_SUMMARY, |summary| {
                    summaries.push(summary);
                    count(summaries.len() - 1)
                });
                columns.push(ColumnMeta {
                    field: column.field,
                    bytes: column.bytes,
                    summary,
                    dense: column.dense,
                });
            }
        }
    })
    .map_err(file.malformed(slice.directory.offset))?;
    if data_offset.checked_add(offset) != Some(slice.index.offset) {
        return Err(file.corrupt(slice.directory.offset, "the chunks do not fill their place"));
    }
    chunks.iter_mut().for_each(|chunk| chunk.offset += data_offset);
    Ok(Slice {
        meta: slice.meta.clone(),
        index,
        fields,
        series_starts,
        chunks,
        columns,
        summaries,
        file: Arc::clone(file),
    })
}

impl Slice {
    /// Columns of the chunk that has the most.
    pub(crate) fn widest_chunk(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.columns_count as usize).max().unwrap_or(0)
    }

    /// Memory of its directories in bytes.
    fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
            + size_of_val(&*self.series_starts)
            + size_of_val(&*self.chunks)
            + size_of_val(&*self.columns)
            + size_of_val(&*self.summaries)
    }

    pub(crate) fn meta(&self) -> &SliceMeta {
        &self.meta
    }

    /// Series and tags of the slice.
    pub(crate) fn index(&self) -> &Section {
        &self.index
    }

    /// Names of the fields, sorted.
    pub(crate) fn fields(&self) -> &[Arc<str>] {
        &self.fields
    }

    /// Chunks of a series in order of time.
    pub(crate) fn chunks(&self, series: u32) -> &[ChunkMeta] {
        let place = series as usize;
        let bounds = self.series_starts.get(place).zip(self.series_starts.get(place + 1));
        let range = bounds.map(|(start, end)| *start as usize..*end as usize);
        range.and_then(|range| self.chunks.get(range)).unwrap_or(&[])
    }

    /// Columns of a chunk, in order of their fields.
    pub(crate) fn columns(&self, chunk: &ChunkMeta) -> &[ColumnMeta] {
        let start = chunk.columns_start as usize;
        self.columns.get(start..start + chunk.columns_count as usize).unwrap_or(&[])
    }

    /// Places of the fields that a chunk has.
    pub(crate) fn chunk_fields(&self, chunk: &ChunkMeta) -> impl Iterator<Item = usize> {
        self.columns(chunk).iter().map(|column| column.field as usize)
    }

    /// The column of a field, if the chunk has it.
    pub(crate) fn column(&self, chunk: &ChunkMeta, field: usize) -> Option<&ColumnMeta> {
        let columns = self.columns(chunk);
        let found = columns.binary_search_by_key(&field, |column| column.field as usize).ok()?;
        columns.get(found)
    }

    /// What is known of a column without reading it; `None` if it is short or holds a NaN.
    pub(crate) fn summary(&self, column: &ColumnMeta) -> Option<&Summary> {
        self.summaries.get(column.summary as usize)
    }

    /// As [`Slice::summary`], and every row has a value.
    pub(crate) fn dense_summary(&self, column: &ColumnMeta) -> Option<&Summary> {
        self.summary(column).filter(|_| column.dense)
    }

    /// Reads the timestamps of a chunk and the columns of `fields` (places among [`Slice::fields`]) into
    /// `block`, which was reset; fields that the chunk does not have stay absent. Says what it read.
    pub(crate) fn read_chunk(
        &self,
        chunk: &ChunkMeta,
        fields: &[Option<usize>],
        through: Through,
        scratch: &mut Vec<u8>,
        block: &mut Block,
    ) -> Result<PagesRead> {
        let rows = chunk.rows as usize;
        let times = chunk.times_bytes as usize;
        let mut read = PagesRead::default();
        let file = &self.file;
        let wanted = fields.iter().zip(&mut block.columns);
        let wanted = wanted.filter_map(|(field, out)| Some((self.locate(chunk, (*field)?)?, out)));
        let times_of = |bytes: &[u8], out: &mut TimeColumn| {
            let mut reader = Reader::new(bytes.get(..times).unwrap_or(&[]));
            let decoded = decode_times(&mut reader, rows, out).and_then(|()| reader.end());
            decoded.map_err(file.malformed(chunk.offset))
        };
        if chunk.is_long() {
            let page = file.page(chunk.offset, times, through, scratch, &mut read)?;
            times_of(&page, &mut block.times)?;
            for ((range, offset), out) in wanted {
                let page = file.page(offset, range.len(), through, scratch, &mut read)?;
                decode_column(&page, rows, out).map_err(file.malformed(offset))?;
            }
        } else {
            let columns = self.columns(chunk).iter().map(|column| column.bytes as usize);
            let bytes = times + columns.sum::<usize>();
            let page = file.page(chunk.offset, bytes, through, scratch, &mut read)?;
            times_of(&page, &mut block.times)?;
            for ((range, offset), out) in wanted {
                let bytes = page.get(range).unwrap_or(&[]);
                decode_column(bytes, rows, out).map_err(file.malformed(offset))?;
            }
        }
        Ok(read)
    }

    /// Where the column of a field stands: in the chunk's only page, and in the file.
    fn locate(&self, chunk: &ChunkMeta, field: usize) -> Option<(Range<usize>, u64)> {
        let mut in_page = chunk.times_bytes as usize;
        let mut offset = chunk.offset + u64::from(chunk.times_bytes) + chunk.checksum_bytes();
        for column in self.columns(chunk) {
            let bytes = column.bytes as usize;
            if column.field as usize == field {
                return Some((in_page..in_page + bytes, offset));
            }
            in_page += bytes;
            offset += u64::from(column.bytes) + chunk.checksum_bytes();
        }
        None
    }

    /// Calls `each` for the stored checksum of each page of a chunk, in order.
    fn each_page_checksum(
        &self,
        chunk: &ChunkMeta,
        scratch: &mut Vec<u8>,
        mut each: impl FnMut([u8; PAGE_CHECKSUM_BYTES]),
    ) -> Result<()> {
        let columns = self.columns(chunk).iter().map(|column| u64::from(column.bytes));
        let mut offset = chunk.offset;
        let mut checksum_at = |offset: u64| {
            self.file.read(offset, PAGE_CHECKSUM_BYTES, scratch)?;
            each(scratch.first_chunk().copied().unwrap_or_default());
            Ok::<(), Error>(())
        };
        if !chunk.is_long() {
            return checksum_at(offset + u64::from(chunk.times_bytes) + columns.sum::<u64>());
        }
        for page in std::iter::once(u64::from(chunk.times_bytes)).chain(columns) {
            checksum_at(offset + page)?;
            offset += page + PAGE_CHECKSUM_BYTES as u64;
        }
        Ok(())
    }
}

fn decode_column(bytes: &[u8], rows: usize, out: &mut Column) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    let (presence, present) = decode_presence(&mut reader, rows)?;
    out.clear();
    decode_values(&mut reader, present, &mut out.values)?;
    reader.end()?;
    if let Presence::Some(words) = &presence {
        let mut dense = std::mem::take(&mut out.values).into_iter();
        out.values.extend((0..rows).map(|row| {
            let set = words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1);
            if set { dense.next().unwrap_or(0.0) } else { 0.0 }
        }));
    }
    out.presence = presence;
    Ok(())
}

//! A slice of an open run: finds the chunks of a series through the directories of its row groups, and reads them.

mod read;

use std::sync::Arc;

use tsdb_core::CancelToken;
use tsdb_core::hash::HashKey;
use tsdb_core::matcher::TagFilter;
use tsdb_core::{SeriesKey, TimeColumn, TimeRange};
use tsdb_index::{IndexPage, PageSource, Section, SeriesIndex, SeriesReader, SourceCardinality};

use super::SliceMeta;
use super::buffers::ReadBuffers;
use super::directory::{Directory, Entry};
use super::format::{FooterSlice, PAGE_CHECKSUM_BYTES, SectionPlace};
use super::reader::{PagesRead, RunFile, Through};
use super::root::{GroupPlace, MeasurementFields, Root};
use super::windows::{Totals, WindowRows, windows_of};
use crate::error::{Error, Result};

pub(super) use read::{decode_column, regular};

/// A slice of an open run.
#[derive(Debug)]
pub(crate) struct Slice {
    meta: SliceMeta,
    index: SeriesIndex,
    /// Where the root of the index is.
    index_offset: u64,
    /// Where it stands what the series are made of.
    cardinality: SectionPlace,
    /// Key of the hashes of series and tag values.
    hash_key: HashKey,
    /// Names of the fields, sorted.
    names: Vec<Arc<str>>,
    /// By place among the names, the number of the field in the file; and back.
    numbers: Vec<u32>,
    places: Vec<u32>,
    measurements: Vec<MeasurementFields>,
    groups: Vec<GroupPlace>,
    /// Where each group begins.
    offsets: Vec<u64>,
    pub(super) file: Arc<RunFile>,
}

/// The rows of one series in one entry of a row group.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Bounds of its timestamps; of an entry that several series share those of all of them.
    pub t_min: i64,
    pub t_max: i64,
    pub rows: u32,
    directory: Arc<Directory>,
    /// Place of the entry in the directory, and of the series in the entry.
    entry: usize,
    part: usize,
}

impl Chunk {
    pub(super) fn entry(&self) -> Option<&Entry> {
        self.directory.entries.get(self.entry)
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Place of its entry in the directory.
    pub(super) fn place(&self) -> usize {
        self.entry
    }

    /// Whether the bounds are the timestamps of its first and last row.
    pub(crate) fn is_exact(&self) -> bool {
        self.entry().is_some_and(|entry| !entry.is_shared())
    }

    /// How often its values were encoded.
    pub(crate) fn encodings(&self) -> u32 {
        self.entry().map_or(0, |entry| entry.encodings)
    }

    /// Whether it has sub-summaries.
    pub(crate) fn has_windows(&self) -> bool {
        self.entry().is_some_and(|entry| entry.windows > 0)
    }
}

/// What a directory says of a column of a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known<'c> {
    /// The chunk does not have the field.
    Absent,
    /// Every row has a value, and these are known of each window.
    Windows(&'c [Totals]),
    /// It must be read.
    Nothing,
}

/// Reads series of a slice.
#[derive(Debug)]
pub(crate) struct SliceSeries<'s> {
    slice: &'s Slice,
    reader: SeriesReader<'s, IndexPages<'s>>,
}

impl SliceSeries<'_> {
    /// Key of a series, whose ordinal is below the number of series.
    pub(crate) fn key(&mut self, ordinal: u32) -> Result<SeriesKey> {
        self.reader.key(ordinal).map_err(|error| self.slice.of_index(error))
    }

    /// Hash of such a series.
    pub(crate) fn hash(&mut self, ordinal: u32) -> Result<u128> {
        self.reader.hash(ordinal).map_err(|error| self.slice.of_index(error))
    }
}

/// Pages of the index in a run's file.
#[derive(Debug)]
pub(crate) struct IndexPages<'s> {
    file: &'s RunFile,
    through: Through,
}

impl PageSource for IndexPages<'_> {
    type Error = Error;

    fn bytes(&self, page: IndexPage) -> Result<Arc<[u8]>> {
        let (mut scratch, mut read) = (Vec::new(), PagesRead::default());
        let bytes = page.bytes as usize;
        let found = self.file.page(page.offset, bytes, self.through, &mut scratch, &mut read)?;
        Ok(found.into_arc())
    }

    fn section(&self, page: IndexPage) -> Result<Arc<Section>> {
        self.file.opened(page.offset, self.through, || {
            Section::open(&self.bytes(page)?)
                .map_err(|error| self.file.corrupt(page.offset, error.to_string()))
        })
    }
}

impl Slice {
    /// A slice whose index and root were read.
    pub(super) fn new(
        file: &Arc<RunFile>,
        hash_key: HashKey,
        slice: &FooterSlice,
        index: SeriesIndex,
        root: Root,
    ) -> Result<Slice> {
        let mut offsets = Vec::with_capacity(root.groups.len());
        let mut offset = root.data_offset;
        let mut places: Vec<(u64, u64)> = Vec::with_capacity(root.groups.len());
        for group in &root.groups {
            offset = offset.saturating_add(group.gap);
            offsets.push(offset);
            let directory = u64::from(group.directory_bytes) + PAGE_CHECKSUM_BYTES as u64;
            let start = offset;
            offset = offset.saturating_add(group.pages_bytes).saturating_add(directory);
            places.push((start, offset));
        }
        let checksum = PAGE_CHECKSUM_BYTES as u64;
        places.extend(index.pages().map(|page| {
            (page.offset, page.offset.saturating_add(u64::from(page.bytes) + checksum))
        }));
        places.sort_unstable();
        let ends = places
            .iter()
            .try_fold(root.data_offset, |end, (start, next)| Some(*next).filter(|_| *start == end));
        if ends != Some(slice.index.offset) {
            let what = "the row groups and the index do not fill their place";
            return Err(file.corrupt(slice.root.offset, what));
        }
        let sections = [slice.index, slice.cardinality, slice.root];
        let follows = |pair: &[SectionPlace]| matches!(pair, [a, b] if a.offset.checked_add(a.bytes) == Some(b.offset));
        if !sections.windows(2).all(follows) {
            return Err(file.corrupt(slice.root.offset, "sections that do not follow each other"));
        }
        let mut order: Vec<(Arc<str>, u32)> = root.fields.into_iter().zip(0..).collect();
        order.sort_unstable();
        if !order.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(file.corrupt(slice.root.offset, "a field has two numbers"));
        }
        let mut places = vec![0; order.len()];
        for ((_, number), place) in order.iter().zip(0..) {
            if let Some(to) = places.get_mut(*number as usize) {
                *to = place;
            }
        }
        let (names, numbers) = order.into_iter().unzip();
        Ok(Slice {
            meta: slice.meta.clone(),
            index,
            index_offset: slice.index.offset,
            cardinality: slice.cardinality,
            hash_key,
            names,
            numbers,
            places,
            measurements: root.measurements,
            groups: root.groups,
            offsets,
            file: Arc::clone(file),
        })
    }

    /// Memory of the index and the root in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let fields = self.measurements.iter().map(|m| size_of_val(&*m.fields));
        self.index.memory_bytes()
            + size_of_val(&*self.groups)
            + size_of_val(&*self.offsets)
            + size_of_val(&*self.measurements)
            + fields.sum::<usize>()
    }

    pub(crate) fn meta(&self) -> &SliceMeta {
        &self.meta
    }

    /// Which series the slice has.
    pub(crate) fn index(&self) -> &SeriesIndex {
        &self.index
    }

    /// Ordinals of the series that match, ascending. `measurements` are exact names, `None` is all.
    pub(crate) fn matching(
        &self,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
        cancel: &CancelToken,
    ) -> Result<Vec<u32>> {
        let source = self.index_pages(Through::Cache);
        if *filter == TagFilter::True {
            return self
                .index
                .matching(&source, measurements, filter, cancel)
                .map_err(|error| self.of_index(error));
        }
        // In this form every text is quoted, so two questions never look the same.
        let condition = format!("{measurements:?} {filter:?}");
        if let Some(found) = self.file.cached_matches(self.index_key(), &condition) {
            return Ok(found.to_vec());
        }
        let found = self.index.matching(&source, measurements, filter, cancel);
        let found = found.map_err(|error| self.of_index(error))?;
        self.file.cache_matches(self.index_key(), &condition, &found);
        Ok(found)
    }

    /// What the series are made of. They themselves are not read.
    pub(crate) fn cardinality(&self) -> Result<Arc<SourceCardinality>> {
        self.file.opened(self.cardinality.offset, Through::Cache, || {
            let pages = self.index_pages(Through::Cache);
            let found = self.index.cardinality(&pages, self.hash_key, &self.cardinality_bytes()?);
            found.map_err(|error| self.file.of_index(self.cardinality.offset, error))
        })
    }

    /// Checks the index and what it says that the series are made of.
    pub(super) fn verify_index(&self) -> Result<()> {
        let pages = self.index_pages(Through::File);
        let verified = self.index.verify(&pages, self.hash_key, &self.cardinality_bytes()?);
        verified.map_err(|error| self.of_index(error))
    }

    /// The bytes that [`Slice::cardinality`] decodes, from the file.
    fn cardinality_bytes(&self) -> Result<Vec<u8>> {
        self.file.read_section(self.cardinality, u64::MAX)
    }

    /// Reads keys and hashes of series, best in order.
    pub(crate) fn series(&self, through: Through) -> SliceSeries<'_> {
        SliceSeries { slice: self, reader: self.index.reader(self.index_pages(through)) }
    }

    pub(super) fn index_pages(&self, through: Through) -> IndexPages<'_> {
        IndexPages { file: &self.file, through }
    }

    /// Names of the fields, sorted.
    pub(crate) fn fields(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Most fields that a series of one measurement can have.
    pub(crate) fn widest_measurement(&self) -> usize {
        self.measurements.iter().map(|measurement| measurement.fields.len()).max().unwrap_or(0)
    }

    /// Names of the fields that the series of the measurement of `series` have.
    pub(crate) fn fields_of_measurement(&self, series: u32) -> impl Iterator<Item = &Arc<str>> {
        let end = self.measurements.partition_point(|measurement| measurement.first <= series);
        let found = end.checked_sub(1).and_then(|place| self.measurements.get(place));
        let fields = found.map_or(&[][..], |measurement| &measurement.fields);
        fields.iter().filter_map(|number| self.names.get(self.place(*number)))
    }

    /// Name of the field with a number.
    pub(super) fn name_of(&self, number: u32) -> Option<&Arc<str>> {
        self.names.get(self.place(number))
    }

    fn place(&self, number: u32) -> usize {
        self.places.get(number as usize).map_or(usize::MAX, |place| *place as usize)
    }

    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Where a group begins in the file, and where its directory page does.
    pub(super) fn group_offsets(&self, group: usize) -> Option<(u64, u64)> {
        let (offset, place) = (self.offsets.get(group)?, self.groups.get(group)?);
        Some((*offset, offset.saturating_add(place.pages_bytes)))
    }

    /// The directory of a group.
    pub(super) fn directory(
        &self,
        group: usize,
        through: Through,
        buffers: &mut ReadBuffers,
    ) -> Result<Option<Arc<Directory>>> {
        let key = (self.file.run, self.index_key());
        if let Some(directory) = buffers.directory(key, group) {
            return Ok(Some(directory));
        }
        let Some((place, (start, at))) = self.groups.get(group).zip(self.group_offsets(group))
        else {
            return Ok(None);
        };
        let directory = self.file.opened(at, through, || {
            let bytes = place.directory_bytes as usize;
            let page = self.file.page(at, bytes, through, &mut buffers.page, &mut buffers.read)?;
            let series = (place.first, place.last);
            let decoded = Directory::decode(page.into_arc(), start, place.pages_bytes, series);
            decoded.map_err(self.file.malformed(at))
        })?;
        buffers.keep_directory(key, group, &directory);
        Ok(Some(directory))
    }

    /// An error of the index, which knows no file, as one of this file.
    pub(super) fn of_index(&self, error: Error) -> Error {
        self.file.of_index(self.index_offset, error)
    }

    /// Tells the slices of a run from each other.
    fn index_key(&self) -> u64 {
        self.offsets.first().copied().unwrap_or(0)
    }

    /// Chunks of a series that may have rows in `time`, in order of time.
    pub(crate) fn chunks(
        &self,
        series: u32,
        time: TimeRange,
        through: Through,
        buffers: &mut ReadBuffers,
    ) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        let start = self.groups.partition_point(|group| group.last < series);
        let groups = self.groups.iter().enumerate().skip(start);
        for (place, group) in groups.take_while(|(_, group)| group.first <= series) {
            if group.t_min >= time.end || group.t_max < time.start {
                continue;
            }
            let Some(directory) = self.directory(place, through, buffers)? else { continue };
            // Cannot overflow: a directory whose series have no number after them is refused.
            let ends_before = |entry: &Entry| entry.first + entry.series <= series;
            let first = directory.entries.partition_point(ends_before);
            let entries = directory.entries.iter().enumerate().skip(first);
            for (number, entry) in entries.take_while(|(_, entry)| entry.first <= series) {
                if entry.t_min >= time.end || entry.t_max < time.start {
                    continue;
                }
                let part = (series - entry.first) as usize;
                let rows = directory.rows_of_series(entry).nth(part).unwrap_or(0);
                let (t_min, t_max) = (entry.t_min, entry.t_max);
                let directory = Arc::clone(&directory);
                chunks.push(Chunk { t_min, t_max, rows, directory, entry: number, part });
            }
        }
        Ok(chunks)
    }

    /// Places of the fields that a chunk has.
    pub(crate) fn chunk_fields<'c>(&'c self, chunk: &'c Chunk) -> impl Iterator<Item = usize> + 'c {
        let fields = chunk.entry().map_or(&[][..], |entry| chunk.directory.fields_of(entry));
        fields.iter().map(|number| self.place(*number))
    }

    /// Whether a chunk has the field at a place.
    pub(crate) fn has_field(&self, chunk: &Chunk, place: usize) -> bool {
        let fields = chunk.entry().map_or(&[][..], |entry| chunk.directory.fields_of(entry));
        self.numbers.get(place).is_some_and(|number| fields.binary_search(number).is_ok())
    }

    /// What is known of the column of the field at a place.
    pub(crate) fn known<'c>(&self, chunk: &'c Chunk, place: usize) -> Result<Known<'c>> {
        if !self.has_field(chunk, place) {
            return Ok(Known::Absent);
        }
        let Some(number) = self.numbers.get(place) else { return Ok(Known::Absent) };
        let totals = chunk.directory.totals(*number, chunk.entry);
        let totals = totals.map_err(self.file.malformed(self.offset_of(chunk)))?;
        Ok(totals.map_or(Known::Nothing, Known::Windows))
    }

    /// An error about a chunk.
    pub(super) fn damaged(&self, chunk: &Chunk, what: &str) -> Error {
        self.file.corrupt(self.offset_of(chunk), what)
    }

    /// Where the directory page of a chunk's group is.
    pub(super) fn offset_of(&self, chunk: &Chunk) -> u64 {
        let first = chunk.entry().map_or(0, |entry| entry.first);
        let group = self.groups.partition_point(|group| group.last < first);
        self.group_offsets(group).map_or(0, |(_, at)| at)
    }

    /// The windows of a chunk, whose totals [`Slice::known`] gives.
    pub(crate) fn windows(
        &self,
        chunk: &Chunk,
        through: Through,
        buffers: &mut ReadBuffers,
    ) -> Result<Vec<WindowRows>> {
        let Some(entry) = chunk.entry() else { return Ok(Vec::new()) };
        let mut times = TimeColumn::default();
        self.read_vector(chunk, entry, through, buffers, &mut times)?;
        let windows = windows_of(&times, entry.width);
        if windows.len() != entry.windows as usize {
            let what = "a chunk has other windows than its directory says";
            return Err(self.damaged(chunk, what));
        }
        Ok(windows)
    }
}

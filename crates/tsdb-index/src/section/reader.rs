//! An open section: series by ordinal, by hash and by condition.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use tsdb_core::matcher::TagFilter;
use tsdb_core::{CancelToken, SeriesKey};

use super::format::{Reader, VERSION};
use crate::filter::{Plan, TagSource};
use crate::{Result, postings};

/// The index of a run, in memory.
#[derive(Debug)]
pub struct Section {
    texts: Vec<Box<str>>,
    /// In order of their names.
    measurements: Vec<Measurement>,
    hashes: Vec<u128>,
}

#[derive(Debug)]
struct Measurement {
    /// Place of its name among the texts.
    name: u32,
    /// Ordinals of its series.
    series: Range<u32>,
    /// In order of their keys.
    tags: Vec<TagColumn>,
    rows: Rows,
}

/// The tags of each series of a measurement. Series with the same keys have one shape, and a series has
/// one cell per key of its shape: the size is that of the tags that there are, however series differ.
#[derive(Debug)]
struct Rows {
    /// Per shape the places of its keys in [`Measurement::tags`], ascending.
    shapes: Vec<Vec<u32>>,
    /// Per series its shape, and where its cells begin; both empty when there is only one shape.
    shape_of: Vec<u32>,
    starts: Vec<u32>,
    /// Series by series, per key the place of its value in [`TagColumn::values`].
    cells: Vec<u32>,
}

#[derive(Debug)]
struct TagColumn {
    /// Place of the key among the texts.
    key: u32,
    /// Places of the distinct values among the texts, ascending.
    values: Vec<u32>,
    /// Per value where its series begin in `series`; one more at the end.
    starts: Vec<u32>,
    /// Ordinals by value.
    series: Vec<u32>,
}

impl Section {
    /// Opens a section. Its checksum was verified by whoever read it; any bytes are read or refused, with
    /// memory in proportion to their length.
    ///
    /// # Errors
    /// Bytes that are no section of a version that is understood.
    pub fn open(bytes: &[u8]) -> Result<Section> {
        let section = Section::open_own(bytes)?;
        section.check_order(&Reader::new(bytes))?;
        Ok(section)
    }

    /// Opens a section that this process encoded just now: that its series are in order was seen when they were added.
    ///
    /// # Errors
    /// As [`Section::open`].
    pub(crate) fn open_own(bytes: &[u8]) -> Result<Section> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION, "version 0")?;
        let texts = reader.texts()?;
        let series_count = reader.count(16)?;
        let measurement_count = reader.count(4)?;
        let mut measurements: Vec<Measurement> = Vec::with_capacity(measurement_count);
        let mut next = 0u32;
        for _ in 0..measurement_count {
            let measurement = read_measurement(&mut reader, texts.len(), next, series_count)?;
            if measurements.last().is_some_and(|last| last.name >= measurement.name) {
                return Err(reader.damaged("measurements that are not sorted"));
            }
            next = measurement.series.end;
            measurements.push(measurement);
        }
        if next as usize != series_count {
            return Err(reader.damaged("measurements with another number of series"));
        }
        let raw = reader.take(series_count * 16)?;
        let (hashes, _) = raw.as_chunks::<16>();
        let hashes = hashes.iter().map(|raw| u128::from_le_bytes(*raw)).collect();
        reader.end()?;
        Ok(Section { texts, measurements, hashes })
    }

    /// Series must stand in key order, each once, and their keys be keys: merges and look-ups rely on it. Texts, tag
    /// keys and values are sorted and have no NUL, so their places compare as they do.
    fn check_order(&self, reader: &Reader<'_>) -> Result<()> {
        // The texts ascend, so only the first one can be empty.
        let is_text = |place: &u32| !self.text(*place).is_empty();
        for measurement in &self.measurements {
            let mut texts = measurement
                .tags
                .iter()
                .flat_map(|tag| std::iter::once(&tag.key).chain(tag.values.first()));
            if !is_text(&measurement.name) || !texts.all(is_text) {
                return Err(reader.damaged("a key that is none"));
            }
            let cells = |row: usize| {
                let cells = measurement.rows.cells(row);
                cells.ok_or_else(|| reader.damaged("a series without tags where some are due"))
            };
            let mut previous = cells(0)?;
            for row in 1..measurement.series.len() {
                let next = cells(row)?;
                if !previous.lt(next) {
                    return Err(reader.damaged("series that are not sorted"));
                }
                previous = cells(row)?;
            }
        }
        Ok(())
    }

    /// Number of series.
    #[expect(clippy::len_without_is_empty, reason = "a run without series is not written")]
    pub fn len(&self) -> u32 {
        u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
    }

    fn text(&self, place: u32) -> &str {
        self.texts.get(place as usize).map_or("", |text| text)
    }

    fn place(&self, text: &str) -> Option<u32> {
        let found = self.texts.binary_search_by(|known| (**known).cmp(text)).ok()?;
        u32::try_from(found).ok()
    }

    fn measurement_of(&self, ordinal: u32) -> Option<&Measurement> {
        let place = self.measurements.partition_point(|m| m.series.end <= ordinal);
        self.measurements.get(place)
    }

    fn try_key(&self, ordinal: u32) -> Option<SeriesKey> {
        let measurement = self.measurement_of(ordinal)?;
        let row = (ordinal - measurement.series.start) as usize;
        let tags = measurement.rows.cells(row)?.map(|(tag, cell)| {
            // A part that is missing makes the key none.
            let column = measurement.tags.get(tag);
            let value = column.and_then(|column| column.values.get(cell));
            (column.map_or("", |column| self.text(column.key)), value.map_or("", |v| self.text(*v)))
        });
        SeriesKey::from_parts(self.text(measurement.name), tags).ok()
    }

    /// Key of the series at `ordinal`, which is below [`Section::len`]. O(length of the key).
    pub fn key(&self, ordinal: u32) -> SeriesKey {
        match self.try_key(ordinal) {
            Some(key) => key,
            None => unreachable!("the parts of every key were checked when the section was opened"),
        }
    }

    /// Hash of the series at `ordinal`, which is below [`Section::len`].
    pub fn hash(&self, ordinal: u32) -> u128 {
        self.hashes.get(ordinal as usize).copied().unwrap_or(0)
    }

    /// Names of the measurements in order, each with the ordinals of its series.
    pub fn measurements(&self) -> impl Iterator<Item = (&str, Range<u32>)> {
        self.measurements.iter().map(|m| (self.text(m.name), m.series.clone()))
    }

    /// Ordinals of the series of a measurement; empty if the run has none.
    pub fn measurement(&self, name: &str) -> Range<u32> {
        let place = self.place(name);
        let found =
            place.and_then(|place| self.measurements.binary_search_by_key(&place, |m| m.name).ok());
        found.and_then(|at| self.measurements.get(at)).map_or(0..0, |m| m.series.clone())
    }

    /// Calls `visit` with each key and value that series of a measurement have, in order, and how many of them have it.
    /// O(pairs).
    pub(crate) fn for_each_pair(&self, measurement: &str, mut visit: impl FnMut(&str, &str, u64)) {
        let found = self.measurements.iter().find(|m| self.text(m.name) == measurement);
        for tag in found.iter().flat_map(|measurement| &measurement.tags) {
            for (place, value) in tag.values.iter().enumerate() {
                visit(self.text(tag.key), self.text(*value), tag.with(place).len() as u64);
            }
        }
    }

    /// Ordinals of the series that match, ascending. `measurements` are exact names, `None` is all.
    ///
    /// # Errors
    /// A filter that does not compile, a token that was used.
    pub fn matching(
        &self,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
        cancel: &CancelToken,
    ) -> Result<Vec<u32>> {
        self.matching_plan(measurements, &Plan::new(filter)?, cancel)
    }

    /// As [`Section::matching`], for a filter that is compiled already.
    pub(crate) fn matching_plan(
        &self,
        measurements: Option<&[Arc<str>]>,
        plan: &Plan,
        cancel: &CancelToken,
    ) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let wanted = self.measurements.iter().filter(|measurement| {
            measurements
                .is_none_or(|names| names.iter().any(|name| **name == *self.text(measurement.name)))
        });
        for measurement in wanted {
            if plan.is_true() {
                found.extend(measurement.series.clone());
            } else {
                found.extend(
                    plan.evaluate(&MeasurementTags { section: self, measurement }, cancel)?,
                );
            }
        }
        Ok(found)
    }

    /// Memory of the open section in bytes.
    pub fn memory_bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + size_of::<Box<str>>()).sum();
        let columns = self.measurements.iter().flat_map(|m| &m.tags);
        let numbers: usize =
            columns.map(|c| c.values.len() + c.starts.len() + c.series.len()).sum::<usize>()
                + self.measurements.iter().map(|m| m.rows.numbers()).sum::<usize>();
        texts + numbers * size_of::<u32>() + self.hashes.len() * size_of::<u128>()
    }
}

fn read_measurement(
    reader: &mut Reader<'_>,
    text_count: usize,
    start: u32,
    series_count: usize,
) -> Result<Measurement> {
    let place = |reader: &mut Reader<'_>| {
        let number = reader.varint()?;
        let place = u32::try_from(number).ok().filter(|place| (*place as usize) < text_count);
        place.ok_or_else(|| reader.damaged("a text that does not exist"))
    };
    let name = place(reader)?;
    let count = reader.varint()?;
    let end = u32::try_from(count).ok().and_then(|count| start.checked_add(count));
    let end = end.filter(|end| *end > start && *end as usize <= series_count);
    let end = end.ok_or_else(|| reader.damaged("a measurement with too many series or none"))?;
    let mut tags: Vec<TagColumn> = Vec::new();
    for _ in 0..reader.count(3)? {
        let key = place(reader)?;
        if tags.last().is_some_and(|last| last.key >= key) {
            return Err(reader.damaged("tag keys that are not sorted"));
        }
        let values = reader.ascending(text_count)?;
        tags.push(TagColumn { key, starts: vec![0; values.len() + 1], values, series: Vec::new() });
    }
    let rows = Rows::read(reader, &tags, (end - start) as usize)?;
    invert(&mut tags, &rows, start..end);
    Ok(Measurement { name, series: start..end, tags, rows })
}

impl Rows {
    fn read(reader: &mut Reader<'_>, tags: &[TagColumn], series_count: usize) -> Result<Rows> {
        let shape_count = reader.count(1)?;
        if shape_count == 0 || shape_count > series_count {
            return Err(reader.damaged("a measurement with more shapes than series, or none"));
        }
        let shapes: Vec<Vec<u32>> =
            (0..shape_count).map(|_| reader.ascending(tags.len())).collect::<Result<_>>()?;
        let (mut shape_of, mut starts) = (Vec::new(), Vec::new());
        // Without numbers of shapes every series is a row of the first one.
        let mut rows_of = vec![Vec::new(); shape_count];
        if shape_count > 1 {
            shape_of = reader.column(series_count, shape_count)?;
            for (row, shape) in shape_of.iter().enumerate() {
                if let Some(rows) = rows_of.get_mut(*shape as usize) {
                    rows.push(row);
                }
            }
        } else if let Some(rows) = rows_of.first_mut() {
            rows.extend(0..series_count);
        }
        let sizes = shapes.iter().zip(&rows_of).map(|(keys, rows)| keys.len() * rows.len());
        let cell_count: usize = sizes.sum();
        // Each cell takes a byte or more.
        reader.holds(cell_count)?;
        u32::try_from(cell_count).map_err(|_| reader.damaged("more than 2^32 tags"))?;
        let width = |shape: u32| shapes.get(shape as usize).map_or(0, Vec::len);
        if shape_count > 1 {
            let mut next = 0;
            for shape in &shape_of {
                starts.push(next);
                next += u32::try_from(width(*shape)).unwrap_or(0);
            }
        }
        let mut rows = Rows { shapes, shape_of, starts, cells: vec![0; cell_count] };
        for (shape, members) in rows_of.iter().enumerate() {
            rows.read_shape(reader, tags, shape, members)?;
        }
        Ok(rows)
    }

    /// Reads the columns of one shape into the cells of its series.
    fn read_shape(
        &mut self,
        reader: &mut Reader<'_>,
        tags: &[TagColumn],
        shape: usize,
        members: &[usize],
    ) -> Result<()> {
        let keys = self.shapes.get(shape).map_or(&[] as &[u32], Vec::as_slice);
        for (place, key) in keys.iter().enumerate() {
            let values = tags.get(*key as usize).map_or(0, |tag| tag.values.len());
            let column = reader.column(members.len(), values)?;
            for (row, value) in members.iter().zip(column) {
                let start = match self.starts.get(*row) {
                    Some(start) => *start as usize,
                    None => row * keys.len(),
                };
                if let Some(cell) = self.cells.get_mut(start + place) {
                    *cell = value;
                }
            }
        }
        Ok(())
    }

    /// Per tag of a series the place of its key in [`Measurement::tags`] and of its value in
    /// [`TagColumn::values`].
    fn cells(&self, row: usize) -> Option<impl Iterator<Item = (usize, usize)>> {
        let shape = self.shape_of.get(row).map_or(0, |shape| *shape as usize);
        let keys = self.shapes.get(shape)?;
        let start = match self.starts.get(row) {
            Some(start) => *start as usize,
            None => row * keys.len(),
        };
        let cells = self.cells.get(start..start + keys.len())?;
        Some(keys.iter().zip(cells).map(|(key, cell)| (*key as usize, *cell as usize)))
    }

    /// How many numbers are kept.
    fn numbers(&self) -> usize {
        let shapes: usize = self.shapes.iter().map(Vec::len).sum();
        shapes + self.shape_of.len() + self.starts.len() + self.cells.len()
    }
}

/// Counts the inverted index of `ordinals` from their cells: per tag key the series by value.
fn invert(tags: &mut [TagColumn], rows: &Rows, ordinals: Range<u32>) {
    let all = || ordinals.clone().enumerate().filter_map(|(row, o)| Some((o, rows.cells(row)?)));
    // First how many series each value has, one place further on ...
    for (tag, value) in all().flat_map(|(_, cells)| cells) {
        if let Some(count) = tags.get_mut(tag).and_then(|tag| tag.starts.get_mut(value + 1)) {
            *count += 1;
        }
    }
    // ... then where they begin, then their ordinals in order.
    let mut next: Vec<Vec<u32>> = Vec::with_capacity(tags.len());
    for tag in tags.iter_mut() {
        let mut total = 0;
        for start in &mut tag.starts {
            total += *start;
            *start = total;
        }
        tag.series = vec![0; total as usize];
        next.push(tag.starts.clone());
    }
    for (ordinal, cells) in all() {
        for (tag, value) in cells {
            let place = next.get_mut(tag).and_then(|next| next.get_mut(value));
            let (Some(place), Some(tag)) = (place, tags.get_mut(tag)) else { continue };
            if let Some(slot) = tag.series.get_mut(*place as usize) {
                *slot = ordinal;
            }
            *place += 1;
        }
    }
}

impl TagColumn {
    fn with(&self, value: usize) -> &[u32] {
        let bounds = self.starts.get(value).zip(self.starts.get(value + 1));
        let range = bounds.map(|(start, end)| *start as usize..*end as usize);
        range.and_then(|range| self.series.get(range)).unwrap_or(&[])
    }
}

/// The series of one measurement as a source of postings.
struct MeasurementTags<'a> {
    section: &'a Section,
    measurement: &'a Measurement,
}

impl MeasurementTags<'_> {
    fn column(&self, key: &str) -> Option<&TagColumn> {
        let key = self.section.place(key)?;
        let tags = &self.measurement.tags;
        tags.get(tags.binary_search_by_key(&key, |column| column.key).ok()?)
    }
}

impl TagSource for MeasurementTags<'_> {
    fn all(&self) -> Cow<'_, [u32]> {
        Cow::Owned(self.measurement.series.clone().collect())
    }

    fn with_value(&self, key: &str, value: &str) -> Result<Cow<'_, [u32]>> {
        let found = self.column(key).zip(self.section.place(value)).and_then(|(column, value)| {
            let place = column.values.binary_search(&value).ok()?;
            Some(column.with(place))
        });
        Ok(Cow::Borrowed(found.unwrap_or(&[])))
    }

    fn with_key(&self, key: &str) -> Result<Cow<'_, [u32]>> {
        let Some(column) = self.column(key) else { return Ok(Cow::Borrowed(&[])) };
        let mut series = column.series.clone();
        series.sort_unstable();
        Ok(Cow::Owned(series))
    }

    fn with_values(
        &self,
        key: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        if let Some(column) = self.column(key) {
            for (place, value) in column.values.iter().enumerate() {
                let value = self.section.text(*value);
                if value.starts_with(prefix) && accept(value) {
                    found.extend_from_slice(column.with(place));
                }
            }
        }
        postings::normalise(&mut found);
        Ok(found)
    }
}

//! An open section: series by ordinal, by hash and by condition.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use tsdb_core::SeriesKey;
use tsdb_core::matcher::TagFilter;

use super::format::{MISSING, Reader, VERSION};
use crate::filter::{Plan, TagSource};
use crate::{Error, Result, postings};

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
}

#[derive(Debug)]
struct TagColumn {
    /// Place of the key among the texts.
    key: u32,
    /// Places of the distinct values among the texts, ascending.
    values: Vec<u32>,
    /// Per series of the measurement the place of its value in `values`, counted from 1.
    cells: Vec<u32>,
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
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version > VERSION {
            let (version, supported) = (u32::from(version), u32::from(VERSION));
            return Err(Error::NewerFormat { version, supported });
        }
        if version != VERSION {
            return Err(reader.damaged("version 0"));
        }
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
        let section = Section { texts, measurements, hashes };
        section.check_order(&reader)?;
        Ok(section)
    }

    /// Series must stand in key order, each once: merges and look-ups rely on it.
    fn check_order(&self, reader: &Reader<'_>) -> Result<()> {
        let mut previous: Option<SeriesKey> = None;
        for ordinal in 0..self.len() {
            let key = self.try_key(ordinal).ok_or_else(|| reader.damaged("a key that is none"))?;
            if previous.is_some_and(|previous| previous >= key) {
                return Err(reader.damaged("series that are not sorted"));
            }
            previous = Some(key);
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
        let mut text = String::from(self.text(measurement.name));
        text.push('\0');
        for column in &measurement.tags {
            let cell = *column.cells.get(row)?;
            if cell != MISSING {
                text.push_str(self.text(column.key));
                text.push('\0');
                text.push_str(self.text(*column.values.get(cell as usize - 1)?));
                text.push('\0');
            }
        }
        SeriesKey::from_canonical(&text).ok()
    }

    /// Key of the series at `ordinal`, which is below [`Section::len`]. O(length of the key).
    pub fn key(&self, ordinal: u32) -> SeriesKey {
        match self.try_key(ordinal) {
            Some(key) => key,
            None => unreachable!("every key was taken back once when the section was opened"),
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

    /// Ordinals of the series that match, ascending. `measurements` are exact names, `None` is all.
    ///
    /// # Errors
    /// A filter that does not compile.
    pub fn matching(
        &self,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
    ) -> Result<Vec<u32>> {
        let plan = Plan::new(filter)?;
        let mut found = Vec::new();
        let wanted = self.measurements.iter().filter(|measurement| {
            measurements
                .is_none_or(|names| names.iter().any(|name| **name == *self.text(measurement.name)))
        });
        for measurement in wanted {
            if plan.is_true() {
                found.extend(measurement.series.clone());
            } else {
                found.extend(plan.evaluate(&MeasurementTags { section: self, measurement })?);
            }
        }
        Ok(found)
    }

    /// Memory of the open section in bytes.
    pub fn memory_bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + size_of::<Box<str>>()).sum();
        let columns = self.measurements.iter().flat_map(|m| &m.tags);
        let numbers: usize =
            columns.map(|c| c.values.len() + c.cells.len() + c.starts.len() + c.series.len()).sum();
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
    let rows = (end - start) as usize;
    let mut tags: Vec<TagColumn> = Vec::new();
    for _ in 0..reader.count(4)? {
        let key = place(reader)?;
        if tags.last().is_some_and(|last| last.key >= key) {
            return Err(reader.damaged("tag keys that are not sorted"));
        }
        let mut values: Vec<u32> = Vec::new();
        for _ in 0..reader.count(1)? {
            let step = u32::try_from(reader.varint()?).unwrap_or(u32::MAX);
            let first = values.is_empty();
            let value = values.last().copied().unwrap_or(0).checked_add(step);
            let value = value.filter(|v| (*v as usize) < text_count && (first || step > 0));
            values.push(value.ok_or_else(|| reader.damaged("values that are not sorted"))?);
        }
        let cells = reader.column(rows, values.len() + 1)?;
        tags.push(TagColumn::new(key, values, cells, start));
    }
    Ok(Measurement { name, series: start..end, tags })
}

impl TagColumn {
    /// Counts the inverted index from the cells.
    fn new(key: u32, values: Vec<u32>, cells: Vec<u32>, first_ordinal: u32) -> TagColumn {
        let mut starts = vec![0u32; values.len() + 1];
        for cell in cells.iter().filter(|cell| **cell != MISSING) {
            if let Some(count) = starts.get_mut(*cell as usize) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut next = starts.clone();
        let mut series = vec![0u32; total as usize];
        for (ordinal, cell) in (first_ordinal..).zip(&cells) {
            if *cell == MISSING {
                continue;
            }
            if let Some(place) = next.get_mut(*cell as usize - 1) {
                if let Some(slot) = series.get_mut(*place as usize) {
                    *slot = ordinal;
                }
                *place += 1;
            }
        }
        TagColumn { key, values, cells, starts, series }
    }

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

//! Collects the series of a run and encodes its section.

use std::collections::{BTreeMap, BTreeSet};

use tsdb_core::SeriesKey;

use super::format::{MISSING, VERSION, put_column, put_texts, put_varint};
use crate::{Error, Result};

/// Collects series in key order.
#[derive(Debug, Default)]
pub struct SectionWriter {
    keys: Vec<SeriesKey>,
    hashes: Vec<u128>,
}

impl SectionWriter {
    /// No series yet.
    pub fn new() -> SectionWriter {
        SectionWriter::default()
    }

    /// Adds a series with its hash. Keys come strictly ascending.
    ///
    /// # Errors
    /// A key that does not come after its predecessor.
    pub fn add(&mut self, key: &SeriesKey, hash: u128) -> Result<()> {
        if self.keys.last().is_some_and(|last| last >= key) {
            let what = format!("series {key} is out of order: add series in key order, each once");
            return Err(Error::Core(tsdb_core::Error::Invalid { what }));
        }
        self.keys.push(key.clone());
        self.hashes.push(hash);
        Ok(())
    }

    /// The bytes of the section. O(series · tags · log texts), with the texts in memory.
    ///
    /// # Errors
    /// More than 2^32 different texts.
    pub fn finish(self) -> Result<Vec<u8>> {
        let texts: BTreeSet<&str> = self
            .keys
            .iter()
            .flat_map(|key| key.tags().flat_map(|(k, v)| [k, v]).chain([key.measurement()]))
            .collect();
        let too_many = |_| {
            let what = "2^32 different tags and values in one run".to_owned();
            Error::Core(tsdb_core::Error::Invalid { what })
        };
        u32::try_from(texts.len()).map_err(too_many)?;
        let numbers: BTreeMap<&str, u32> = texts.iter().copied().zip(0u32..).collect();
        let number = |text: &str| numbers.get(text).copied().unwrap_or(0);
        let mut out = vec![VERSION];
        put_texts(&mut out, texts.iter().copied());
        put_varint(&mut out, self.keys.len() as u64);
        let measurements: Vec<&[SeriesKey]> =
            self.keys.chunk_by(|a, b| a.measurement() == b.measurement()).collect();
        put_varint(&mut out, measurements.len() as u64);
        for series in measurements {
            let Some(first) = series.first() else { continue };
            put_varint(&mut out, u64::from(number(first.measurement())));
            put_varint(&mut out, series.len() as u64);
            put_tags(&mut out, series, &number);
        }
        self.hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
        Ok(out)
    }
}

/// Distinct values of a tag, and which series has which.
type TagValues<'a> = (BTreeSet<&'a str>, Vec<(usize, &'a str)>);

/// The tag columns of one measurement: per key the numbers of the distinct values, then per series the
/// place of its value among them, counted from 1.
fn put_tags(out: &mut Vec<u8>, series: &[SeriesKey], number: &impl Fn(&str) -> u32) {
    let mut columns: BTreeMap<&str, TagValues<'_>> = BTreeMap::new();
    for (place, key) in series.iter().enumerate() {
        for (tag, value) in key.tags() {
            let (values, rows) = columns.entry(tag).or_default();
            values.insert(value);
            rows.push((place, value));
        }
    }
    put_varint(out, columns.len() as u64);
    for (tag, (values, rows)) in columns {
        put_varint(out, u64::from(number(tag)));
        put_varint(out, values.len() as u64);
        let mut previous = 0;
        for value in &values {
            // Values and texts are sorted alike, so the numbers ascend.
            put_varint(out, u64::from(number(value) - previous));
            previous = number(value);
        }
        let places: BTreeMap<&str, u32> = values.into_iter().zip(1u32..).collect();
        let mut column = vec![MISSING; series.len()];
        for (place, value) in rows {
            if let Some(cell) = column.get_mut(place) {
                *cell = places.get(value).copied().unwrap_or(MISSING);
            }
        }
        put_column(out, &column);
    }
}

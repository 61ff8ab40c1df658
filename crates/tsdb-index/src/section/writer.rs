//! Collects the series of a run and encodes its section.

use std::collections::BTreeMap;
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tsdb_core::SeriesKey;

use super::format::{VERSION, put_ascending, put_column, put_texts, put_varint};
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

    /// The bytes of the section, in time and length in proportion to the tags of all series, however
    /// these differ from each other. O(tags + texts · log texts).
    ///
    /// # Errors
    /// More than 2^32 different texts.
    pub fn finish(self) -> Result<Vec<u8>> {
        let texts = Texts::of(&self.keys)?;
        let mut out = vec![VERSION];
        put_texts(&mut out, texts.sorted.iter().copied());
        put_varint(&mut out, self.keys.len() as u64);
        let measurements: Vec<&[Range<usize>]> = texts
            .keys
            .chunk_by(|a, b| texts.parts.get(a.start) == texts.parts.get(b.start))
            .collect();
        put_varint(&mut out, measurements.len() as u64);
        let mut scratch = Scratch::new(texts.sorted.len());
        for series in measurements {
            let name = series.first().and_then(|first| texts.parts.get(first.start));
            put_varint(&mut out, u64::from(name.copied().unwrap_or(0)));
            put_varint(&mut out, series.len() as u64);
            Measurement::of(series, &texts.parts).put(&mut out, &mut scratch);
        }
        self.hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
        Ok(out)
    }
}

/// All names and values of a section, each once, and the keys as places among them.
struct Texts<'a> {
    sorted: Vec<&'a str>,
    /// Key by key: the measurement, then each tag's key and value.
    parts: Vec<u32>,
    /// Where the parts of each key stand.
    keys: Vec<Range<usize>>,
}

impl<'a> Texts<'a> {
    fn of(keys: &'a [SeriesKey]) -> Result<Texts<'a>> {
        let mut numbers: HashMap<&str, u32, RandomState> = HashMap::default();
        let mut texts: Vec<&str> = Vec::new();
        let (mut parts, mut ranges): (Vec<u32>, Vec<Range<usize>>) = (Vec::new(), Vec::new());
        let (mut before, mut now): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for key in keys {
            now.clear();
            now.push(key.measurement());
            now.extend(key.tags().flat_map(|(tag, value)| [tag, value]));
            let (start, last) = (parts.len(), ranges.last().map_or(0, |range| range.start));
            for (place, text) in now.iter().enumerate() {
                // Neighbours have most parts in common, and to compare is faster than to hash.
                let known = match before.get(place) == Some(text) {
                    true => parts.get(last + place).copied(),
                    false => None,
                };
                parts.push(match known {
                    Some(number) => number,
                    None => number_of(text, &mut numbers, &mut texts)?,
                });
            }
            ranges.push(start..parts.len());
            std::mem::swap(&mut before, &mut now);
        }
        let mut order: Vec<(&str, u32)> = texts.into_iter().zip(0u32..).collect();
        order.sort_unstable();
        let mut places = vec![0u32; order.len()];
        for ((_, number), sorted) in order.iter().zip(0u32..) {
            if let Some(place) = places.get_mut(*number as usize) {
                *place = sorted;
            }
        }
        for part in &mut parts {
            *part = places.get(*part as usize).copied().unwrap_or(0);
        }
        let sorted = order.into_iter().map(|(text, _)| text).collect();
        Ok(Texts { sorted, parts, keys: ranges })
    }
}

/// The number of a text in order of first appearance.
fn number_of<'a>(
    text: &'a str,
    numbers: &mut HashMap<&'a str, u32, RandomState>,
    texts: &mut Vec<&'a str>,
) -> Result<u32> {
    if let Some(number) = numbers.get(text) {
        return Ok(*number);
    }
    let number = u32::try_from(texts.len()).map_err(|_| {
        let what = "2^32 different tags and values in one run".to_owned();
        Error::Core(tsdb_core::Error::Invalid { what })
    })?;
    numbers.insert(text, number);
    texts.push(text);
    Ok(number)
}

/// The series of one measurement, sorted out by shape.
struct Measurement {
    shapes: Vec<Shape>,
    /// Per series the number of its shape.
    shape_of: Vec<u32>,
}

/// Series with the same tag keys.
struct Shape {
    /// Places of the keys among the texts, ascending.
    keys: Vec<u32>,
    /// Per key the places of the values among the texts, in order of the shape's series.
    columns: Vec<Vec<u32>>,
}

impl Measurement {
    /// Of the series whose parts stand at these places.
    fn of(series: &[Range<usize>], parts: &[u32]) -> Measurement {
        let mut numbers: HashMap<Vec<u32>, u32, RandomState> = HashMap::default();
        let mut shapes: Vec<Shape> = Vec::new();
        let mut shape_of: Vec<u32> = Vec::with_capacity(series.len());
        let mut keys: Vec<u32> = Vec::new();
        for place in series {
            let (tags, _) = parts.get(place.start + 1..place.end).unwrap_or(&[]).as_chunks::<2>();
            keys.clear();
            keys.extend(tags.iter().map(|[tag, _]| *tag));
            let last = shape_of.last().copied();
            let last = last.filter(|last| {
                shapes.get(*last as usize).is_some_and(|shape: &Shape| shape.keys == keys)
            });
            let number = match last.or_else(|| numbers.get(&keys).copied()) {
                Some(number) => number,
                None => {
                    // There are no more shapes than series, which are numbered by u32.
                    let number = u32::try_from(shapes.len()).unwrap_or(u32::MAX);
                    numbers.insert(keys.clone(), number);
                    let columns = vec![Vec::new(); keys.len()];
                    shapes.push(Shape { keys: keys.clone(), columns });
                    number
                }
            };
            shape_of.push(number);
            if let Some(shape) = shapes.get_mut(number as usize) {
                let values = tags.iter().map(|[_, value]| *value);
                shape.columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            }
        }
        Measurement { shapes, shape_of }
    }

    fn put(mut self, out: &mut Vec<u8>, scratch: &mut Scratch) {
        // Per tag key its columns in all shapes.
        let mut tags: BTreeMap<u32, Vec<&mut Vec<u32>>> = BTreeMap::new();
        for shape in &mut self.shapes {
            for (key, column) in shape.keys.iter().zip(&mut shape.columns) {
                tags.entry(*key).or_default().push(column);
            }
        }
        put_varint(out, tags.len() as u64);
        let keys: Vec<u32> = tags.keys().copied().collect();
        for (key, mut columns) in tags {
            put_varint(out, u64::from(key));
            let values = scratch.distinct(columns.iter().flat_map(|column| column.iter().copied()));
            put_ascending(out, &values);
            scratch.renumber(&values, columns.iter_mut().flat_map(|column| column.iter_mut()));
        }
        put_varint(out, self.shapes.len() as u64);
        for shape in &self.shapes {
            let places = shape.keys.iter().filter_map(|key| keys.binary_search(key).ok());
            let places = places.map(|place| u32::try_from(place).unwrap_or(u32::MAX));
            put_ascending(out, &places.collect::<Vec<u32>>());
        }
        if self.shapes.len() > 1 {
            put_column(out, &self.shape_of);
        }
        self.shapes
            .iter()
            .flat_map(|shape| &shape.columns)
            .for_each(|cells| put_column(out, cells));
    }
}

/// One number per text, so that distinct values are found and numbered without hashing or sorting all
/// of them.
struct Scratch {
    marks: Vec<u32>,
}

impl Scratch {
    const UNSEEN: u32 = u32::MAX;

    fn new(texts: usize) -> Scratch {
        Scratch { marks: vec![Scratch::UNSEEN; texts] }
    }

    /// The distinct ones of `values`, ascending.
    fn distinct(&mut self, values: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut distinct = Vec::new();
        for value in values {
            if let Some(mark) = self.marks.get_mut(value as usize)
                && *mark == Scratch::UNSEEN
            {
                *mark = 0;
                distinct.push(value);
            }
        }
        distinct.sort_unstable();
        distinct
    }

    /// Replaces each value by its place in `distinct`, and forgets the marks of [`Scratch::distinct`].
    fn renumber<'v>(&mut self, distinct: &[u32], values: impl Iterator<Item = &'v mut u32>) {
        let mut set = |value: u32, to: u32| {
            if let Some(mark) = self.marks.get_mut(value as usize) {
                *mark = to;
            }
        };
        distinct.iter().zip(0u32..).for_each(|(value, place)| set(*value, place));
        for value in values {
            *value = self.marks.get(*value as usize).copied().unwrap_or(0);
        }
        for value in distinct {
            if let Some(mark) = self.marks.get_mut(*value as usize) {
                *mark = Scratch::UNSEEN;
            }
        }
    }
}

//! Counts the series of a namespace, key by key.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::frequent::{Frequent, Pair};
use super::{Cardinality, CardinalityRequest, Ranked};
use crate::hash::{HashKey, siphash128};
use crate::hyperloglog::DistinctSketch;
use crate::{CancelToken, Pool, Reservation, Result, SeriesKey};

/// What a measurement is the value of.
const MEASUREMENT_KEY: &str = "__name__";

/// Memory is taken from the budget in steps of this size.
const STEP_BYTES: usize = 64 << 10;

/// Series between two looks at the token.
const SERIES_PER_LOOK: u64 = 1024;

#[derive(Debug)]
struct Tag {
    name: Box<str>,
    values: DistinctSketch,
    value_bytes: u64,
}

/// Counts series. It is given the key of each series once, in order of keys.
#[derive(Debug)]
pub struct CardinalityCounter {
    top: usize,
    cancel: CancelToken,
    held: Reservation,
    /// Part of `held` that nothing uses.
    spare: usize,
    series: u64,
    /// The measurement of the last series, and how many series of it there were.
    measurement: (String, u64),
    measurements: u64,
    measurement_bytes: u64,
    top_measurements: Top,
    numbers: BTreeMap<Box<str>, u32>,
    tags: Vec<Tag>,
    pairs: Frequent,
}

impl CardinalityCounter {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// A token that was used, a budget that is used up.
    pub fn new(request: &CardinalityRequest) -> Result<CardinalityCounter> {
        request.cancel.check()?;
        Ok(CardinalityCounter {
            top: request.top,
            cancel: request.cancel.clone(),
            held: request.budget.reserve(Pool::Queries, 0)?,
            spare: 0,
            series: 0,
            measurement: (String::new(), 0),
            measurements: 0,
            measurement_bytes: 0,
            top_measurements: Top::new(request.top),
            numbers: BTreeMap::new(),
            tags: Vec::new(),
            pairs: Frequent::default(),
        })
    }

    /// Takes memory for whoever counts beside this, until the end.
    ///
    /// # Errors
    /// A budget that is used up.
    pub fn hold(&mut self, bytes: usize) -> Result<()> {
        if bytes > self.spare {
            let step = (bytes - self.spare).next_multiple_of(STEP_BYTES);
            self.held.grow(step)?;
            self.spare += step;
        }
        self.spare -= bytes;
        Ok(())
    }

    /// Counts a series, whose key is greater than that of the last. O(bytes of the key · log tag keys).
    ///
    /// # Errors
    /// A token that was used, a budget that is used up: it must hold 16 KiB for each tag key with more than 1024 values,
    /// and some MiB beside.
    pub fn add(&mut self, key: &SeriesKey) -> Result<()> {
        if self.series.is_multiple_of(SERIES_PER_LOOK) {
            self.cancel.check()?;
        }
        self.series += 1;
        let name = key.measurement();
        self.measurement_bytes += name.len() as u64;
        if self.measurement.0 != name {
            self.end_measurement();
            name.clone_into(&mut self.measurement.0);
        }
        self.measurement.1 += 1;
        let mut start = name.len() + 1;
        for (tag, value) in key.tags() {
            start += tag.len() + 1;
            let number = self.number_of(tag)?;
            let hash = hash_of(number, value);
            if let Some(tag) = self.tags.get_mut(number as usize) {
                tag.values.add(hash);
                tag.value_bytes += value.len() as u64;
            }
            let number_in = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let bytes = self.pairs.add(hash, || Pair {
                key: key.clone(),
                tag: number,
                start: number_in(start),
                bytes: number_in(value.len()),
            });
            if bytes > 0 {
                self.hold(bytes)?;
                self.spare += self.pairs.prune();
            }
            start += value.len() + 1;
        }
        Ok(())
    }

    fn number_of(&mut self, tag: &str) -> Result<u32> {
        if let Some(number) = self.numbers.get(tag) {
            return Ok(*number);
        }
        self.hold(DistinctSketch::MEMORY_MAX + 4 * tag.len() + size_of::<Tag>())?;
        let number = u32::try_from(self.tags.len()).unwrap_or(u32::MAX);
        self.numbers.insert(tag.into(), number);
        self.tags.push(Tag { name: tag.into(), values: DistinctSketch::new(), value_bytes: 0 });
        Ok(number)
    }

    fn end_measurement(&mut self) {
        let (name, series) = std::mem::take(&mut self.measurement);
        if series > 0 {
            self.measurements += 1;
            self.top_measurements.offer(series, || name);
        }
    }

    /// The report, over `sources` sources with rows in `time`, as far as that is known.
    pub fn finish(mut self, sources: u64, time: Option<(i64, i64)>) -> Cardinality {
        self.end_measurement();
        let measurements = self.top_measurements.into_sorted();
        let [mut values, mut value_bytes, mut pairs] = [(); 3].map(|()| Top::new(self.top));
        let mut pairs_total = self.measurements;
        if self.series > 0 {
            values.offer(self.measurements, || MEASUREMENT_KEY.to_owned());
            value_bytes.offer(self.measurement_bytes, || MEASUREMENT_KEY.to_owned());
        }
        for tag in &self.tags {
            let count = tag.values.count();
            pairs_total += count;
            values.offer(count, || tag.name.to_string());
            value_bytes.offer(tag.value_bytes, || tag.name.to_string());
        }
        for measurement in &measurements {
            pairs.offer(measurement.count, || format!("{MEASUREMENT_KEY}={}", measurement.name));
        }
        for (pair, count) in self.pairs.iter() {
            let name = self.tags.get(pair.tag as usize).map_or("", |tag| &*tag.name);
            pairs.offer(count, || format!("{name}={}", pair.value()));
        }
        Cardinality {
            series: self.series,
            measurement_count: self.measurements,
            pairs: pairs_total,
            measurements,
            values: values.into_sorted(),
            value_bytes: value_bytes.into_sorted(),
            series_by_pair: pairs.into_sorted(),
            uncounted_max: self.pairs.forgotten_max(),
            estimated: false,
            sources,
            time,
        }
    }
}

/// Not secret: what clients could make collide is an estimate.
const HASH_KEY: HashKey = HashKey(*b"tag cardinality.");

fn hash_of(tag: u32, value: &str) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "64 bits are wanted")]
    let hash = siphash128(HASH_KEY, value.as_bytes()) as u64;
    // Odd, so that it loses nothing.
    hash ^ u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The entries with the highest counts, and of those the first by name.
#[derive(Debug)]
struct Top {
    max: usize,
    entries: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Top {
    fn new(max: usize) -> Top {
        Top { max, entries: BinaryHeap::new() }
    }

    fn offer(&mut self, count: u64, name: impl FnOnce() -> String) {
        let least = self.entries.peek().map_or(0, |Reverse((count, _))| *count);
        if self.max == 0 || (self.entries.len() >= self.max && count < least) {
            return;
        }
        self.entries.push(Reverse((count, Reverse(name()))));
        if self.entries.len() > self.max {
            self.entries.pop();
        }
    }

    fn into_sorted(self) -> Vec<Ranked> {
        let sorted = self.entries.into_sorted_vec().into_iter();
        sorted.map(|Reverse((count, Reverse(name)))| Ranked { name, count }).collect()
    }
}

//! One series of a request: a look over the whole of it, its key, and its samples on their way to rows.
//!
//! Fields of a message come in any order, so nothing is stored before all of it has been looked at; a message
//! of one sample, which is what a scrape brings, is then done, and others are gone over once more.

use std::ops::Range;

use tsdb_core::{NAME_TAG, SeriesKey};

use super::fields::{Sample, describe, label, low_half, sample};
use super::labels::{self, Pairs};
use super::layout::{LABELS, SAMPLES};
use super::symbols::Described;
use super::{FIELD, Parser, Stop};
use crate::format::wire::{self, Reader, WireFault, WireType};
use crate::metadata::Metadata;
use crate::report::{LineError, Origin};
use crate::rows::Refusal;
use crate::rows::series_cache::SeriesHandle;
use crate::{Precision, Reason, limits};

/// First byte of the labels of a series of 1.0 when they are its first field: key and wire type of the field.
/// No line of line protocol begins with it, since it is a newline, and no other key.
const LABEL_KEY: u8 = 0x0a;

/// First byte of keys that are made of texts. No UTF-8 begins with it, so line protocol has no such key.
const TEXTS_MARK: u8 = 0xff;

/// What a series is made of.
#[derive(Debug, Default)]
struct Outline {
    /// Where its labels stand, if they stand together.
    labels: Range<usize>,
    labels_are_apart: bool,
    /// Labels, or references to their names and values.
    label_count: u64,
    /// From the first sample to the last.
    samples: Range<usize>,
    sample_count: u64,
    last_sample: Sample,
    histogram_count: u64,
    exemplar_count: u64,
    described: Option<Described>,
}

impl<'a> Parser<'a> {
    /// Reads a series.
    ///
    /// # Errors
    /// A damaged message; what ends the request.
    pub(super) fn read_series(&mut self, series: Reader<'a>) -> Result<(), Stop> {
        let start = series.at();
        let expected = self.expected(series);
        let known_bytes = expected.map_or(0, |(_, bytes)| bytes);
        let outline = self.outline(series, known_bytes)?;
        self.rows.brought.samples += outline.sample_count;
        self.rows.brought.histograms += outline.histogram_count;
        self.rows.brought.exemplars += outline.exemplar_count;
        let handle = match expected {
            // There are no further labels behind those that were expected.
            Some((handle, _)) if outline.labels == (start..start + known_bytes) => Ok(Some(handle)),
            _ if outline.sample_count == 0 => self.checked_key(&outline).map(|_| None),
            _ => self.handle(&outline).map(Some),
        };
        match handle {
            Ok(handle) => {
                self.note_metadata(&outline)?;
                if let Some(handle) = handle {
                    self.push_samples(&outline, handle)?;
                }
                self.refuse_others(&outline);
                Ok(())
            }
            Err(refusal) => self.refused(&outline, None, refusal),
        }
    }

    /// The series whose labels the cache expects here, with the length of the labels: they are not looked at.
    #[inline]
    fn expected(&mut self, series: Reader<'_>) -> Option<(SeriesHandle, usize)> {
        if self.layout.symbols.is_some() || series.rest().first() != Some(&LABEL_KEY) {
            return None;
        }
        let is_end = |next: Option<u8>| next != Some(LABEL_KEY);
        let (cached, bytes) = self.rows.series.predict_before(series.rest(), is_end)?;
        Some((cached.series, bytes))
    }

    /// Goes over a series behind `known_bytes` of labels that were checked before.
    fn outline(&mut self, mut series: Reader<'_>, known_bytes: usize) -> Result<Outline, Stop> {
        let (layout, depth) = (self.layout, wire::DEPTH_MAX - 1);
        let begin = series.at();
        let mut outline = Outline { labels: begin..begin + known_bytes, ..Outline::default() };
        self.references.clear();
        series.advance(known_bytes);
        while !series.is_at_end() {
            let start = series.at();
            let (number, wire) = series.key()?;
            match number {
                SAMPLES => {
                    series.expect(wire, WireType::Block)?;
                    outline.last_sample = sample(series.block()?, layout)?;
                    if outline.sample_count == 0 {
                        outline.samples.start = start;
                    }
                    outline.samples.end = series.at();
                    outline.sample_count += 1;
                }
                LABELS => {
                    self.outline_labels(&mut series, wire, &mut outline)?;
                    if outline.labels.is_empty() {
                        outline.labels.start = start;
                    } else if outline.labels.end != start {
                        outline.labels_are_apart = true;
                    }
                    outline.labels.end = series.at();
                }
                number if number == layout.histograms => {
                    series.expect(wire, WireType::Block)?;
                    wire::check(series.block()?, layout.histogram, depth - 1)?;
                    outline.histogram_count += 1;
                }
                number if number == layout.exemplars => {
                    series.expect(wire, WireType::Block)?;
                    wire::check(series.block()?, layout.exemplar, depth - 1)?;
                    outline.exemplar_count += 1;
                }
                number if Some(number) == layout.series_metadata => {
                    series.expect(wire, WireType::Block)?;
                    describe(series.block()?, outline.described.get_or_insert_default())?;
                }
                _ => series.skip(number, wire, depth)?,
            }
        }
        Ok(outline)
    }

    /// A label, or numbers of labels.
    fn outline_labels(
        &mut self,
        series: &mut Reader<'_>,
        wire: WireType,
        outline: &mut Outline,
    ) -> Result<(), WireFault> {
        if self.layout.symbols.is_none() {
            series.expect(wire, WireType::Block)?;
            outline.label_count += 1;
            return label(series.block()?).map(drop);
        }
        if wire != WireType::Block {
            series.expect(wire, WireType::Varint)?;
            let number = series.varint()?;
            self.keep_reference(number, outline);
            return Ok(());
        }
        let mut list = series.block()?;
        while !list.is_at_end() {
            let number = list.varint()?;
            self.keep_reference(number, outline);
        }
        Ok(())
    }

    /// Further ones than a series can have are only counted.
    #[inline]
    fn keep_reference(&mut self, number: u64, outline: &mut Outline) {
        outline.label_count += 1;
        if self.references.len() < 2 * limits::LABELS_MAX {
            self.references.push(low_half(number));
        }
    }

    /// The series in the cache, or as one that the store has to resolve.
    fn handle(&mut self, outline: &Outline) -> Result<SeriesHandle, Refusal> {
        let input = self.input;
        let raw = input.get(outline.labels.clone()).unwrap_or_default();
        let is_raw_key = self.layout.symbols.is_none()
            && !outline.labels_are_apart
            && raw.first() == Some(&LABEL_KEY);
        if is_raw_key {
            return match self.rows.series.find(raw) {
                Some(cached) => Ok(cached.series),
                None => self.define(outline, raw),
            };
        }
        let mut key = std::mem::take(&mut self.key);
        let handle =
            self.put_texts(outline, &mut key).and_then(|()| match self.rows.series.recall(&key) {
                Some(cached) => Ok(cached.series),
                None => self.define(outline, &key),
            });
        self.key = key;
        handle
    }

    #[cold]
    fn define(&mut self, outline: &Outline, raw: &[u8]) -> Result<SeriesHandle, Refusal> {
        let key = self.checked_key(outline)?;
        let (handle, _) = self.rows.define_series(raw, key).map_err(Refusal::Request)?;
        Ok(handle)
    }

    #[cold]
    fn checked_key(&mut self, outline: &Outline) -> Result<SeriesKey, Refusal> {
        if self.layout.symbols.is_some() {
            self.check_references(outline)?;
        }
        if outline.label_count > self.layout.entries_of_labels_max() {
            return Err(labels::too_many(outline.label_count).into());
        }
        let mut pairs = self.pairs(outline);
        Ok(labels::series_key(&mut pairs, self.rows.validation())?)
    }

    /// What must hold of the numbers of labels of 2.0.
    fn check_references(&self, outline: &Outline) -> Result<(), Reason> {
        let count = outline.label_count;
        if count > self.references.len() as u64 {
            return Err(labels::too_many(count / 2));
        }
        if !count.is_multiple_of(2) {
            return Err(Reason::OddReferences { count });
        }
        let symbols = self.symbols.len();
        let outside = self.references.iter().find(|number| **number as usize >= symbols);
        match outside {
            Some(number) => Err(Reason::NoSuchSymbol { number: *number, symbols }),
            None => Ok(()),
        }
    }

    /// Writes down the texts of the labels as the key of the cache.
    fn put_texts(&mut self, outline: &Outline, key: &mut Vec<u8>) -> Result<(), Refusal> {
        key.clear();
        key.push(TEXTS_MARK);
        if self.layout.symbols.is_none() {
            for (name, value) in self.pairs(outline) {
                put_text(key, name.as_bytes());
                put_text(key, value.as_bytes());
            }
            return Ok(());
        }
        self.check_references(outline)?;
        for number in &self.references {
            let text = self.symbols.bytes(self.input, *number);
            if text.len() > limits::LABEL_BYTES_MAX {
                return Err(Refusal::Row(Reason::LongLabel { bytes: text.len() }));
            }
            put_text(key, text);
        }
        self.symbols.use_up(key.len()).map_err(Refusal::Request)
    }

    /// The labels of a series as names and values, as many as a series can have. References to nothing are
    /// passed over: who must not meet them has checked them before.
    fn pairs(&self, outline: &Outline) -> Pairs<'a> {
        let mut pairs = Pairs::new();
        if self.layout.symbols.is_some() {
            let text = |number: &u32| self.symbols.get(self.input, *number);
            for pair in self.references.chunks_exact(2) {
                if let [name, value] = pair {
                    pairs.extend(text(name).zip(text(value)));
                }
            }
            return pairs;
        }
        let mut labels = Reader::new(self.input.get(..outline.labels.end).unwrap_or_default());
        labels.advance(outline.labels.start);
        // All of it was read before without a fault.
        while pairs.len() < limits::LABELS_MAX
            && let Ok((number, wire)) = labels.key()
        {
            if number == LABELS {
                let Ok(pair) = labels.block().and_then(label) else { break };
                pairs.push(pair);
            } else if labels.skip(number, wire, wire::DEPTH_MAX - 1).is_err() {
                break;
            }
        }
        pairs
    }

    fn push_samples(&mut self, outline: &Outline, mut handle: SeriesHandle) -> Result<(), Stop> {
        if outline.sample_count == 1 {
            return self.push(outline, handle, outline.last_sample);
        }
        let mut samples = Reader::new(self.input.get(..outline.samples.end).unwrap_or_default());
        samples.advance(outline.samples.start);
        while !samples.is_at_end() {
            let (number, wire) = samples.key()?;
            if number != SAMPLES {
                samples.skip(number, wire, wire::DEPTH_MAX - 1)?;
                continue;
            }
            let sample = sample(samples.block()?, self.layout)?;
            if self.rows.is_portion_full() {
                self.rows.resolve(self.input)?;
                // What was pending has another handle from here on.
                handle = match self.handle(outline) {
                    Ok(handle) => handle,
                    Err(refusal) => return self.refused(outline, None, refusal),
                };
            }
            self.push(outline, handle, sample)?;
        }
        Ok(())
    }

    #[inline]
    fn push(
        &mut self,
        outline: &Outline,
        handle: SeriesHandle,
        sample: Sample,
    ) -> Result<(), Stop> {
        match self.try_push(handle, sample) {
            Ok(()) => Ok(()),
            Err(refusal) => self.refused(outline, Some(sample.time_ms), refusal),
        }
    }

    #[inline]
    fn try_push(&mut self, handle: SeriesHandle, sample: Sample) -> Result<(), Refusal> {
        let time = self.rows.validation().time(sample.time_ms, Precision::Milliseconds)?;
        let shape = match self.shape {
            Some(shape) => shape,
            None => *self.shape.insert(self.rows.shape_of_field(FIELD)?),
        };
        let origin = Origin { line: self.series, ..Origin::default() };
        self.rows.push(handle, shape, time, &[sample.value], origin)
    }

    /// Takes note of what is not stored of a series whose samples are.
    fn refuse_others(&mut self, outline: &Outline) {
        if outline.histogram_count > 0 {
            let reason = Reason::NativeHistograms { count: outline.histogram_count };
            self.refuse(outline, None, reason);
        }
        if outline.exemplar_count > 0 && self.layout.refuses_exemplars {
            self.refuse(outline, None, Reason::Exemplars { count: outline.exemplar_count });
        }
    }

    #[cold]
    fn refused(
        &mut self,
        outline: &Outline,
        time_ms: Option<i64>,
        refusal: Refusal,
    ) -> Result<(), Stop> {
        match refusal {
            Refusal::Request(error) => Err(error.into()),
            Refusal::Row(reason) => {
                self.refuse(outline, time_ms, reason);
                Ok(())
            }
        }
    }

    #[cold]
    fn refuse(&mut self, outline: &Outline, time_ms: Option<i64>, reason: Reason) {
        let text = match (self.rows.describes_refusals(), time_ms) {
            (false, _) => String::new(),
            (true, None) => self.shown(outline),
            (true, Some(time_ms)) => format!("{} {time_ms}", self.shown(outline)),
        };
        self.rows.refuse_described(LineError { line: self.series, column: 1, text, reason });
    }

    fn shown(&self, outline: &Outline) -> String {
        let is_short = outline.labels.len() <= limits::LINE_BYTES_MAX
            && self.references.iter().all(|number| {
                self.symbols.bytes(self.input, *number).len() <= limits::LABEL_BYTES_MAX
            });
        if is_short { labels::shown(&self.pairs(outline)) } else { "{...}".to_owned() }
    }

    /// Notes what a series of 2.0 says of its metric.
    fn note_metadata(&mut self, outline: &Outline) -> Result<(), Stop> {
        let (Some(store), Some(described)) = (self.metadata, outline.described) else {
            return Ok(());
        };
        let metric = self.references.chunks_exact(2).find_map(|pair| match pair {
            [name, value] if self.symbols.bytes(self.input, *name) == NAME_TAG.as_bytes() => {
                Some(*value)
            }
            _ => None,
        });
        let Some(metric) = metric else { return Ok(()) };
        if self.last_described == Some((metric, described)) {
            return Ok(());
        }
        self.last_described = Some((metric, described));
        let bytes = |number| self.symbols.bytes(self.input, number).len();
        let total = bytes(metric) + bytes(described.help) + bytes(described.unit);
        self.symbols.use_up(total)?;
        let text = |number| self.symbols.get(self.input, number).unwrap_or_default();
        let metadata = Metadata {
            kind: described.kind,
            help: text(described.help),
            unit: text(described.unit),
        };
        let family = described.kind.family(text(metric));
        store.note(self.rows.namespace(), family, metadata);
        Ok(())
    }
}

/// Appends a text behind its length: no two lists of texts have the same bytes.
fn put_text(key: &mut Vec<u8>, text: &[u8]) {
    let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&bytes.to_le_bytes());
    key.extend_from_slice(text);
}

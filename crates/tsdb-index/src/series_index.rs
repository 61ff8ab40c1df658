//! The index of a slice, read page by page: which series it has, in pages of some hundred each, and which pages can
//! hold a series with a given tag.
//!
//! A page is a [`Section`], complete in itself. The root, which stays in memory, only says where pages are and which
//! measurements there are. Between both stand filters (Bloom 1970) over the tags of each page, so that a comparison
//! with a value that few series have reads few pages, however many there are.

mod bloom;
mod root;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tsdb_core::hash::HashKey;
use tsdb_core::matcher::TagFilter;
use tsdb_core::{CancelToken, SeriesKey};

use crate::Error;
use crate::cardinality::{CardinalityWriter, SourceCardinality};
use crate::filter::{Needs, Plan};
use crate::section::Section;
use bloom::Bloom;
use root::Root;

pub use root::IndexPage;
pub use writer::{IndexSections, IndexWriter};

/// Where the pages of an index come from: a file, whose checksums are verified there, or a cache.
pub trait PageSource {
    /// What reading can fail with.
    type Error: From<Error>;

    /// The bytes of a page.
    ///
    /// # Errors
    /// A page that cannot be read, or whose checksum does not match.
    fn bytes(&self, page: IndexPage) -> Result<Arc<[u8]>, Self::Error>;

    /// The series of a page: its bytes, opened by [`Section::open`], perhaps from a cache.
    ///
    /// # Errors
    /// As [`PageSource::bytes`], and bytes that are no section.
    fn section(&self, page: IndexPage) -> Result<Arc<Section>, Self::Error>;
}

impl<P: PageSource> PageSource for &P {
    type Error = P::Error;

    fn bytes(&self, page: IndexPage) -> Result<Arc<[u8]>, Self::Error> {
        (*self).bytes(page)
    }

    fn section(&self, page: IndexPage) -> Result<Arc<Section>, Self::Error> {
        (*self).section(page)
    }
}

/// The root of an index. Ordinals count the series in order of their keys.
#[derive(Debug)]
pub struct SeriesIndex {
    root: Root,
    /// Ordinal of the first series of each page, and at the end their number.
    starts: Vec<u32>,
}

impl SeriesIndex {
    /// Opens a root. Its checksum was verified by whoever read it; any bytes are read or refused, with memory in
    /// proportion to their length. O(pages + measurements).
    ///
    /// # Errors
    /// Bytes that are no root of a version that is understood.
    pub fn open(bytes: &[u8]) -> crate::Result<SeriesIndex> {
        let root = Root::decode(bytes)?;
        let mut starts = Vec::with_capacity(root.pages.len() + 1);
        let mut next = 0u32;
        for page in &root.pages {
            starts.push(next);
            next += page.series;
        }
        starts.push(next);
        Ok(SeriesIndex { root, starts })
    }

    /// Number of series.
    #[expect(clippy::len_without_is_empty, reason = "a run without series is not written")]
    pub fn len(&self) -> u32 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Memory of the root in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.root.memory_bytes() + size_of_val(&*self.starts)
    }

    /// Names of the measurements in order, each with the ordinals of its series.
    pub fn measurements(&self) -> impl Iterator<Item = (&str, Range<u32>)> {
        let ends = self.root.measurements.iter().skip(1).map(|(_, start)| *start);
        let ends = ends.chain([self.len()]);
        let named = self.root.measurements.iter().zip(ends);
        named.map(|((name, start), end)| (&**name, *start..end))
    }

    /// Ordinals of the series of a measurement; empty if there are none.
    pub fn measurement(&self, name: &str) -> Range<u32> {
        let measurements = &self.root.measurements;
        let found = measurements.binary_search_by(|(known, _)| (**known).cmp(name));
        let Ok(place) = found else { return 0..0 };
        let start = measurements.get(place).map_or(0, |(_, start)| *start);
        start..measurements.get(place + 1).map_or(self.len(), |(_, start)| *start)
    }

    /// All pages in the order of the file: those of series, each group of them before its page of filters.
    pub fn pages(&self) -> impl Iterator<Item = IndexPage> {
        let groups = self.root.pages.chunks(root::FILTER_PAGES).zip(&self.root.filters);
        groups.flat_map(|(pages, filter)| {
            pages.iter().map(|page| page.place).chain(std::iter::once(*filter))
        })
    }

    /// Ordinals of the series that match, ascending. `measurements` are exact names, `None` is all.
    ///
    /// # Errors
    /// A filter that does not compile, a token that was used, a page that cannot be read.
    pub fn matching<P: PageSource>(
        &self,
        source: &P,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
        cancel: &CancelToken,
    ) -> Result<Vec<u32>, P::Error> {
        let plan = Plan::new(filter)?;
        let mut found = Vec::new();
        for (name, series) in self.wanted(measurements) {
            if plan.is_true() {
                found.extend(series);
                continue;
            }
            let needs = plan.needs();
            let names = [Arc::from(name)];
            for page in self.pages_of(&series) {
                cancel.check().map_err(Error::Core)?;
                if !self.may_have(source, page, name, &needs)? {
                    continue;
                }
                let (Some(place), Some(start)) = (self.root.pages.get(page), self.starts.get(page))
                else {
                    continue;
                };
                let section = source.section(place.place)?;
                let matching = section.matching_plan(Some(&names), &plan, cancel)?;
                found.extend(matching.into_iter().map(|place| start + place));
            }
        }
        Ok(found)
    }

    /// The measurements that are asked for, in order.
    fn wanted(&self, names: Option<&[Arc<str>]>) -> Vec<(&str, Range<u32>)> {
        match names {
            None => self.measurements().collect(),
            Some(names) => {
                let names: BTreeSet<&str> = names.iter().map(|name| &**name).collect();
                let ranges = names.into_iter().map(|name| (name, self.measurement(name)));
                let known = ranges.filter(|(_, range)| !range.is_empty());
                let own = known.filter_map(|(name, range)| {
                    let found =
                        self.root.measurements.binary_search_by(|(known, _)| (**known).cmp(name));
                    let (name, _) = self.root.measurements.get(found.ok()?)?;
                    Some((&**name, range))
                });
                own.collect()
            }
        }
    }

    /// Places of the pages that have series of a range.
    fn pages_of(&self, series: &Range<u32>) -> Range<usize> {
        let first = self.starts.partition_point(|start| *start <= series.start).saturating_sub(1);
        first..self.starts.partition_point(|start| *start < series.end).min(self.root.pages.len())
    }

    /// Whether a page can have a series of a measurement that has what is needed.
    fn may_have<P: PageSource>(
        &self,
        source: &P,
        page: usize,
        measurement: &str,
        needs: &Needs,
    ) -> Result<bool, P::Error> {
        // Reading the only page costs no more than reading its filter.
        if self.root.pages.len() == 1 || matches!(needs, Needs::Anything) {
            return Ok(true);
        }
        let Some(place) = self.root.filters.get(page / root::FILTER_PAGES) else { return Ok(true) };
        let bytes = source.bytes(*place)?;
        let bloom = Bloom::read(&bytes, page % root::FILTER_PAGES).map_err(P::Error::from)?;
        Ok(needs.may_be_met(&|key, value| bloom.may_have(measurement, key, value)))
    }

    /// Reads series by their ordinals.
    pub fn reader<P: PageSource>(&self, source: P) -> SeriesReader<'_, P> {
        SeriesReader { index: self, source, page: None }
    }

    /// What the series are made of, from the bytes that were written beside the root; without bytes few series are counted
    /// with the data directory's key.
    ///
    /// # Errors
    /// Bytes that are damaged or belong to another index, a page that cannot be read.
    pub fn cardinality<P: PageSource>(
        &self,
        source: &P,
        hash_key: HashKey,
        bytes: &[u8],
    ) -> Result<SourceCardinality, P::Error> {
        if !bytes.is_empty() {
            return self.decode_cardinality(bytes).map_err(P::Error::from);
        }
        let mut counted = CardinalityWriter::new(hash_key);
        for page in &self.root.pages {
            counted.add(&*source.section(page.place)?);
        }
        self.decode_cardinality(&counted.finish_anyway()).map_err(P::Error::from)
    }

    fn decode_cardinality(&self, bytes: &[u8]) -> crate::Result<SourceCardinality> {
        let counted = self.measurements().map(|(name, series)| (name, series.len() as u64));
        SourceCardinality::decode(bytes, counted.collect::<Vec<_>>().into_iter())
    }

    /// Reads every page and checks it: the order of the series, their number, and that the filters know all tags. What the
    /// series are made of is counted again, with the data directory's key, and must be `cardinality`.
    ///
    /// # Errors
    /// The first page that cannot be read or that contradicts the root.
    pub fn verify<P: PageSource>(
        &self,
        source: &P,
        hash_key: HashKey,
        cardinality: &[u8],
    ) -> Result<(), P::Error> {
        let damaged = |what| P::Error::from(Error::Damaged { offset: 0, what });
        let mut last: Option<SeriesKey> = None;
        let mut counted = CardinalityWriter::new(hash_key);
        for (number, page) in self.root.pages.iter().enumerate() {
            let section = source.section(page.place)?;
            if section.len() != page.series {
                return Err(damaged("a page of the index has another number of series"));
            }
            let filter = self.root.filters.get(number / root::FILTER_PAGES);
            let filter = filter.ok_or_else(|| damaged("a page without a filter"))?;
            let bytes = source.bytes(*filter)?;
            let bloom = Bloom::read(&bytes, number % root::FILTER_PAGES).map_err(P::Error::from)?;
            for place in 0..section.len() {
                let key = section.key(place);
                let start = self.starts.get(number).copied().unwrap_or(0);
                if last.is_some_and(|last| last >= key) {
                    return Err(damaged("pages of the index that are not in order"));
                }
                if !self.measurement(key.measurement()).contains(&(start + place)) {
                    return Err(damaged("a series outside of its measurement"));
                }
                let known = |(tag, value): (&str, &str)| {
                    bloom.may_have(key.measurement(), tag, Some(value))
                        && bloom.may_have(key.measurement(), tag, None)
                };
                if !key.tags().all(known) {
                    return Err(damaged("a filter that does not know a tag"));
                }
                last = Some(key);
            }
            counted.add(&section);
        }
        if counted.finish() != cardinality {
            return Err(damaged("cardinalities that the series contradict"));
        }
        Ok(())
    }
}

/// Reads series by their ordinals, best in order: it keeps the page that it read last.
#[derive(Debug)]
pub struct SeriesReader<'i, P: PageSource> {
    index: &'i SeriesIndex,
    source: P,
    page: Option<(Range<u32>, Arc<Section>)>,
}

impl<P: PageSource> SeriesReader<'_, P> {
    /// The page of a series, and the series' place in it.
    fn find(&mut self, ordinal: u32) -> Result<(&Section, u32), P::Error> {
        if !self.page.as_ref().is_some_and(|(series, _)| series.contains(&ordinal)) {
            let starts = &self.index.starts;
            let number = starts.partition_point(|start| *start <= ordinal).saturating_sub(1);
            let page = self.index.root.pages.get(number);
            let page =
                page.ok_or(Error::Damaged { offset: 0, what: "a series beyond the last" })?;
            let start = starts.get(number).copied().unwrap_or(0);
            let section = self.source.section(page.place)?;
            if section.len() != page.series {
                let what = "a page of the index has another number of series";
                return Err(Error::Damaged { offset: 0, what }.into());
            }
            self.page = Some((start..start + page.series, section));
        }
        match &self.page {
            Some((series, section)) => Ok((section, ordinal - series.start)),
            None => unreachable!("the page was read above"),
        }
    }

    /// Key of a series, whose ordinal is below [`SeriesIndex::len`].
    ///
    /// # Errors
    /// A page that cannot be read.
    pub fn key(&mut self, ordinal: u32) -> Result<SeriesKey, P::Error> {
        let (section, place) = self.find(ordinal)?;
        Ok(section.key(place))
    }

    /// Hash of a series, whose ordinal is below [`SeriesIndex::len`].
    ///
    /// # Errors
    /// A page that cannot be read.
    pub fn hash(&mut self, ordinal: u32) -> Result<u128, P::Error> {
        let (section, place) = self.find(ordinal)?;
        Ok(section.hash(place))
    }
}

//! Writes an index page by page, while series are added in order.

use tsdb_core::SeriesKey;
use tsdb_core::hash::HashKey;

use super::bloom::Tags;
use super::root::{FILTER_PAGES, IndexPage, Root, SeriesPage};
use crate::cardinality::CardinalityWriter;
use crate::section::{Section, SectionWriter};
use crate::{Error, Result};

/// Most series of a page.
const PAGE_SERIES: u32 = 1024;

/// Bytes of keys from which a page is full.
const PAGE_KEY_BYTES: usize = 256 << 10;

/// Collects series in key order, and hands out a page whenever one is full.
#[derive(Debug)]
pub struct IndexWriter {
    root: Root,
    page: SectionWriter,
    series: u32,
    key_bytes: usize,
    tags: Tags,
    /// Filters of pages that were handed out.
    filters: Vec<u8>,
    total: u32,
    last: Option<SeriesKey>,
    cardinality: CardinalityWriter,
}

/// What stands behind the pages of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSections {
    /// The root, for [`crate::SeriesIndex::open`].
    pub root: Vec<u8>,
    /// What the series are made of, for [`crate::SeriesIndex::cardinality`].
    pub cardinality: Vec<u8>,
}

impl IndexWriter {
    /// No series yet. `hash_key` is the data directory's, under which the hashes of series are.
    pub fn new(hash_key: HashKey) -> IndexWriter {
        IndexWriter {
            root: Root::default(),
            page: SectionWriter::new(),
            series: 0,
            key_bytes: 0,
            tags: Tags::default(),
            filters: Vec::new(),
            total: 0,
            last: None,
            cardinality: CardinalityWriter::new(hash_key),
        }
    }

    /// Memory of what is kept, in bytes, about.
    pub fn memory_bytes(&self) -> usize {
        /// Key, hash and tags of a series of the page at hand, beside the text of its key.
        const SERIES_BYTES: usize = 256;
        self.root.memory_bytes()
            + self.filters.len()
            + 2 * self.key_bytes
            + self.series as usize * SERIES_BYTES
            + self.cardinality.memory_bytes()
    }

    /// Adds a series with its hash. Keys come strictly ascending. A page that is full goes to `put`, which says where
    /// in the file it stands.
    ///
    /// # Errors
    /// A key that does not come after its predecessor, and those of `put`.
    pub fn add<E: From<Error>>(
        &mut self,
        key: &SeriesKey,
        hash: u128,
        put: impl FnMut(&[u8]) -> Result<u64, E>,
    ) -> Result<(), E> {
        if self.last.as_ref().is_some_and(|last| last >= key) {
            let what = format!("series {key} is out of order: add series in key order, each once");
            return Err(Error::Core(tsdb_core::Error::Invalid { what }).into());
        }
        if self.series >= PAGE_SERIES || self.key_bytes >= PAGE_KEY_BYTES {
            self.end_page(put)?;
        }
        self.page.add(key, hash)?;
        let name = key.measurement();
        if self.root.measurements.last().is_none_or(|(last, _)| **last != *name) {
            self.root.measurements.push((name.into(), self.total));
        }
        // What the page has already from the series before needs no hashing: neighbours have most tags in common.
        let last = self.last.replace(key.clone()).filter(|_| self.series > 0);
        let last = last.filter(|last| last.measurement() == name);
        let mut before = last.iter().flat_map(SeriesKey::tags);
        for (tag, value) in key.tags() {
            let (known_tag, known_value) = before.next().unwrap_or_default();
            if known_tag != tag {
                self.tags.add(name, tag, None);
            }
            if (known_tag, known_value) != (tag, value) {
                self.tags.add(name, tag, Some(value));
            }
        }
        self.key_bytes += key.as_str().len();
        self.series += 1;
        self.total = self.total.checked_add(1).ok_or_else(|| {
            let what = "2^32 series in one run".to_owned();
            Error::Core(tsdb_core::Error::Invalid { what })
        })?;
        Ok(())
    }

    fn end_page<E: From<Error>>(
        &mut self,
        mut put: impl FnMut(&[u8]) -> Result<u64, E>,
    ) -> Result<(), E> {
        let page = std::mem::take(&mut self.page).finish()?;
        self.cardinality.add(&Section::open_own(&page)?);
        let place = IndexPage { offset: put(&page)?, bytes: length(page.len())? };
        self.root.pages.push(SeriesPage { place, series: std::mem::take(&mut self.series) });
        std::mem::take(&mut self.tags).put(&mut self.filters);
        self.key_bytes = 0;
        if self.root.pages.len().is_multiple_of(FILTER_PAGES) {
            self.end_filters(put)?;
        }
        Ok(())
    }

    fn end_filters<E: From<Error>>(
        &mut self,
        mut put: impl FnMut(&[u8]) -> Result<u64, E>,
    ) -> Result<(), E> {
        let filters = std::mem::take(&mut self.filters);
        let place = IndexPage { offset: put(&filters)?, bytes: length(filters.len())? };
        self.root.filters.push(place);
        Ok(())
    }

    /// Hands out what is left, and gives what stands behind the pages.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn finish<E: From<Error>>(
        mut self,
        mut put: impl FnMut(&[u8]) -> Result<u64, E>,
    ) -> Result<IndexSections, E> {
        if self.series > 0 {
            self.end_page(&mut put)?;
        }
        if !self.filters.is_empty() || !self.root.pages.len().is_multiple_of(FILTER_PAGES) {
            self.end_filters(&mut put)?;
        }
        Ok(IndexSections { root: self.root.encode(), cardinality: self.cardinality.finish() })
    }
}

fn length(bytes: usize) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| {
        let what = "a page of the index above 4 GiB".to_owned();
        Error::Core(tsdb_core::Error::Invalid { what })
    })
}

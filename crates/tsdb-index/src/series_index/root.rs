//! The root of an index. Pinned to `docs/format/index-section.md`.

use crate::Result;
use crate::section::format::{Reader, put_texts, put_varint};

const VERSION: u8 = 2;

/// Pages of series that have their filters on one page.
pub(super) const FILTER_PAGES: usize = 64;

/// Bytes that a series takes in its page at least.
const HASH_BYTES: u64 = 16;

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IndexPage {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes, without the checksum behind it.
    pub bytes: u32,
}

/// A page of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeriesPage {
    pub place: IndexPage,
    /// Number of its series, at least one.
    pub series: u32,
}

/// What stays in memory of an index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Root {
    /// Names in order, each with the ordinal of its first series.
    pub measurements: Vec<(Box<str>, u32)>,
    pub pages: Vec<SeriesPage>,
    /// One for each [`FILTER_PAGES`] pages of series.
    pub filters: Vec<IndexPage>,
}

impl Root {
    pub(super) fn memory_bytes(&self) -> usize {
        let names: usize = self.measurements.iter().map(|(name, _)| name.len()).sum();
        names
            + size_of_val(&*self.measurements)
            + size_of_val(&*self.pages)
            + size_of_val(&*self.filters)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_texts(&mut out, self.measurements.iter().map(|(name, _)| &**name));
        self.measurements.iter().for_each(|(_, start)| put_varint(&mut out, u64::from(*start)));
        put_varint(&mut out, self.pages.len() as u64);
        for page in &self.pages {
            put_varint(&mut out, page.place.offset);
            put_varint(&mut out, u64::from(page.place.bytes));
            put_varint(&mut out, u64::from(page.series));
        }
        for filter in &self.filters {
            put_varint(&mut out, filter.offset);
            put_varint(&mut out, u64::from(filter.bytes));
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Root> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION, "an unknown version of an index")?;
        let names = reader.texts()?;
        let mut measurements: Vec<(Box<str>, u32)> = Vec::with_capacity(names.len());
        for name in names {
            let start = number(&mut reader)?;
            let follows = measurements.last().map_or(start == 0, |(_, last)| *last < start);
            if !follows {
                return Err(reader.damaged("measurements that are not sorted"));
            }
            measurements.push((name, start));
        }
        let page_count = reader.count(3)?;
        let (mut pages, mut total) = (Vec::with_capacity(page_count), 0u32);
        for _ in 0..page_count {
            let place = IndexPage { offset: reader.varint()?, bytes: number(&mut reader)? };
            let series = number(&mut reader)?;
            let sum = total.checked_add(series).filter(|_| series > 0);
            total = sum.ok_or_else(|| reader.damaged("a page with no series or too many"))?;
            // Each has a hash in its page: nobody shall make room for series that cannot be there.
            if u64::from(series) * HASH_BYTES > u64::from(place.bytes) {
                return Err(reader.damaged("a page with more series than it can hold"));
            }
            pages.push(SeriesPage { place, series });
        }
        if measurements.last().is_none_or(|(_, start)| *start >= total) {
            return Err(reader.damaged("a measurement without series"));
        }
        let mut filters = Vec::new();
        for _ in 0..page_count.div_ceil(FILTER_PAGES) {
            filters.push(IndexPage { offset: reader.varint()?, bytes: number(&mut reader)? });
        }
        reader.end()?;
        Ok(Root { measurements, pages, filters })
    }
}

fn number(reader: &mut Reader<'_>) -> Result<u32> {
    let number = u32::try_from(reader.varint()?);
    number.map_err(|_| reader.damaged("a number above 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A forged root must not make its reader take memory for series that no page can hold.
    #[test]
    fn pages_hold_no_more_series_than_their_bytes() {
        let root = |series: u32| Root {
            measurements: vec![("m".into(), 0)],
            pages: vec![SeriesPage { place: IndexPage { offset: 0, bytes: 160 }, series }],
            filters: vec![IndexPage { offset: 160, bytes: 8 }],
        };
        assert_eq!(Root::decode(&root(10).encode()), Ok(root(10)));
        for series in [11, u32::MAX] {
            assert!(Root::decode(&root(series).encode()).is_err(), "{series}");
        }
    }
}

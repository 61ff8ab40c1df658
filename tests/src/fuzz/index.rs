//! The index of runs: any bytes as one page of it, and as a root with its cardinalities and pages.

use std::sync::Arc;

use tsdb_core::hash::HashKey;
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::{CancelToken, SeriesKey};
use tsdb_index::{Error, IndexPage, PageSource, Section, SectionWriter, SeriesIndex};

/// The key under which the corpus is written.
pub(super) const HASH_KEY: HashKey = HashKey([3; 16]);

/// Any bytes as a page; and as a root and cardinalities, whose lengths the first four say, and pages behind them.
///
/// # Panics
/// If series of an accepted index are not in order, are not found by their tags, or do not come back when
/// they are written again.
pub fn index_reader(data: &[u8]) {
    if let Ok(section) = Section::open(data) {
        check_section(&section);
    }
    let Some((lengths, rest)) = data.split_first_chunk::<4>() else { return };
    let [a, b, c, d] = *lengths;
    let [root, cardinality] = [[a, b], [c, d]].map(|n| usize::from(u16::from_le_bytes(n)));
    let Some((root, rest)) = rest.split_at_checked(root) else { return };
    let Some((cardinality, pages)) = rest.split_at_checked(cardinality) else { return };
    if let Ok(index) = SeriesIndex::open(root) {
        check_index(&index, &Pages(pages), cardinality);
    }
}

/// Keys of a page, which must be in order, found and written again.
fn check_section(section: &Section) {
    let keys: Vec<SeriesKey> = (0..section.len()).map(|place| section.key(place)).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "series that are not in order");
    let cancel = CancelToken::new();
    for (place, key) in (0u32..).zip(&keys).take(64) {
        assert!(section.measurement(key.measurement()).contains(&place), "{key} is elsewhere");
        for (tag, value) in key.tags() {
            let matching = |op| {
                let filter = TagFilter::tag(tag, op, value);
                section.matching(None, &filter, &cancel).expect("a filter that compiles")
            };
            let with: Vec<u32> = (0u32..)
                .zip(&keys)
                .filter(|(_, other)| other.tags().any(|pair| pair == (tag, value)))
                .map(|(place, _)| place)
                .collect();
            assert_eq!(matching(MatchOp::Eq), with, "{tag}={value}");
            let without = matching(MatchOp::Ne);
            assert_eq!(with.len() + without.len(), keys.len(), "{tag}!={value}");
        }
    }
    let mut writer = SectionWriter::new();
    for (place, key) in (0u32..).zip(&keys) {
        writer.add(key, section.hash(place)).expect("series are in order");
    }
    let bytes = writer.finish().expect("what was read is written");
    let again = Section::open(&bytes).expect("what was written is read");
    let back: Vec<SeriesKey> = (0..again.len()).map(|place| again.key(place)).collect();
    assert_eq!(back, keys, "series come back changed");
}

/// Pages of an index behind each other.
struct Pages<'a>(&'a [u8]);

impl PageSource for Pages<'_> {
    type Error = Error;

    fn bytes(&self, page: IndexPage) -> Result<Arc<[u8]>, Error> {
        let start = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let bytes = self.0.get(start..).and_then(|rest| rest.get(..page.bytes as usize));
        let what = "a page beyond the file";
        bytes.map(Arc::from).ok_or(Error::Damaged { offset: page.offset, what })
    }

    fn section(&self, page: IndexPage) -> Result<Arc<Section>, Error> {
        Section::open(&self.bytes(page)?).map(Arc::new)
    }
}

/// Asks an index all that can be asked, whether or not it is sound; a sound one must answer.
fn check_index(index: &SeriesIndex, pages: &Pages<'_>, cardinality: &[u8]) {
    let cancel = CancelToken::new();
    let verified = index.verify(pages, HASH_KEY, cardinality);
    let made_of = index.cardinality(pages, HASH_KEY, cardinality);
    if let Ok(made_of) = &made_of {
        assert_eq!(made_of.series(), u64::from(index.len()), "a series that is not counted");
    }
    let all = index.matching(pages, None, &TagFilter::True, &cancel).expect("reads no page");
    assert_eq!(all.len(), index.len() as usize, "a measurement with other series");
    let mut reader = index.reader(pages);
    let keys: Result<Vec<SeriesKey>, Error> =
        all.iter().map(|place| reader.hash(*place).and_then(|_| reader.key(*place))).collect();
    let filter = TagFilter::tag("host", MatchOp::Re, "^[a-c]");
    let found = index.matching(pages, None, &filter, &cancel);
    if let Err(error) = verified {
        assert!(!error.to_string().is_empty());
        return;
    }
    let keys = keys.expect("a sound index has its series");
    assert!(made_of.is_ok(), "a sound index says what its series are made of");
    assert!(keys.is_sorted_by(|a, b| a < b), "series that are not in order");
    let is_found = |key: &SeriesKey| {
        key.tags().any(|(tag, value)| tag == "host" && value.starts_with(['a', 'b', 'c']))
    };
    let due: Vec<u32> =
        (0u32..).zip(&keys).filter(|(_, key)| is_found(key)).map(|(place, _)| place).collect();
    assert_eq!(found.expect("a sound index answers"), due);
    for (place, key) in (0u32..).zip(&keys).take(16) {
        for (tag, value) in key.tags() {
            let filter = TagFilter::tag(tag, MatchOp::Eq, value);
            let found = index.matching(pages, None, &filter, &cancel);
            let found = found.expect("a sound index answers");
            assert!(found.binary_search(&place).is_ok(), "{key} is not found by {tag}");
        }
    }
}

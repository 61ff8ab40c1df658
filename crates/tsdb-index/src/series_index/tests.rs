//! Tests of indexes against the keys that they were written from.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use tsdb_core::TagCharset;
use tsdb_core::matcher::{CompiledFilter, MatchOp};

use super::*;

/// Pages in memory, and how often each sort of reading happened.
#[derive(Debug, Default)]
struct Memory {
    bytes: Vec<u8>,
    sections_read: RefCell<usize>,
}

impl Memory {
    fn put(&mut self, page: &[u8]) -> crate::Result<u64> {
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(page);
        Ok(offset)
    }

    fn page(&self, page: IndexPage) -> crate::Result<&[u8]> {
        let start = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(page.bytes as usize);
        self.bytes.get(start..end).ok_or(Error::Damaged { offset: page.offset, what: "no page" })
    }
}

impl PageSource for Memory {
    type Error = Error;

    fn bytes(&self, page: IndexPage) -> crate::Result<Arc<[u8]>> {
        Ok(self.page(page)?.into())
    }

    fn section(&self, page: IndexPage) -> crate::Result<Arc<Section>> {
        *self.sections_read.borrow_mut() += 1;
        Ok(Arc::new(Section::open(self.page(page)?)?))
    }
}

fn key(measurement: &str, tags: &[(&str, &str)]) -> SeriesKey {
    SeriesKey::new(measurement, &mut tags.to_vec(), TagCharset::Utf8).unwrap()
}

const HASH_KEY: HashKey = HashKey([9; 16]);

fn write(keys: &[SeriesKey]) -> (IndexSections, Memory) {
    let (mut writer, mut memory) = (IndexWriter::new(HASH_KEY), Memory::default());
    for (hash, key) in (7u128..).zip(keys) {
        writer.add(key, hash << 90, |page| memory.put(page)).unwrap();
    }
    let sections = writer.finish(|page| memory.put(page)).unwrap();
    (sections, memory)
}

/// Hosts of two measurements, in pages enough for two pages of filters.
fn many() -> Vec<SeriesKey> {
    let mut keys: Vec<SeriesKey> = Vec::new();
    for measurement in ["cpu", "mem"] {
        for n in 0..35_000 {
            let host = format!("host_{n:05}");
            let region = format!("r{}", n % 7);
            keys.push(key(measurement, &[("host", &host), ("region", &region)]));
        }
    }
    keys.push(key("single", &[]));
    keys.sort();
    keys
}

#[test]
fn pages_are_found_by_their_tags() {
    let keys = many();
    let (IndexSections { root, cardinality }, memory) = write(&keys);
    let index = SeriesIndex::open(&root).unwrap();
    assert_eq!(index.len() as usize, keys.len());
    assert!(index.memory_bytes() < 8192, "{}", index.memory_bytes());
    assert_eq!(index.measurement("mem"), 35_000..70_000);
    assert_eq!(
        index.measurements().map(|(name, _)| name).collect::<Vec<_>>(),
        ["cpu", "mem", "single"]
    );
    index.verify(&memory, HASH_KEY, &cardinality).unwrap();
    let ask = |filter: &TagFilter, pages: usize| {
        *memory.sections_read.borrow_mut() = 0;
        let found = index.matching(&memory, None, filter, &CancelToken::new()).unwrap();
        let compiled = CompiledFilter::new(filter).unwrap();
        let due: Vec<u32> = (0u32..)
            .zip(&keys)
            .filter(|(_, key)| compiled.matches(|tag| key.tag(tag).unwrap_or("")))
            .map(|(ordinal, _)| ordinal)
            .collect();
        assert!(found == due, "{filter:?}: {} against {}", found.len(), due.len());
        assert!(
            *memory.sections_read.borrow() <= pages,
            "{filter:?}: {:?} pages",
            memory.sections_read
        );
    };
    let host = |value: &str| TagFilter::tag("host", MatchOp::Eq, value);
    ask(&host("host_00777"), 3);
    ask(&host("nobody"), 2);
    ask(&TagFilter::tag("host", MatchOp::Re, "^(host_00001|host_34999)$"), 6);
    ask(&TagFilter::And(vec![host("host_20000"), TagFilter::tag("region", MatchOp::Ne, "r1")]), 3);
    ask(&TagFilter::Or(vec![host("host_1"), host("host_00002")]), 4);
    ask(&TagFilter::tag("nothing", MatchOp::Ne, ""), 1);
    ask(&TagFilter::tag("region", MatchOp::Eq, "r3"), 80);
    ask(&TagFilter::tag("host", MatchOp::Nre, "^host_.*7$"), 80);
    let names = [Arc::from("mem"), Arc::from("none")];
    let found = index.matching(&memory, Some(&names), &TagFilter::True, &CancelToken::new());
    assert_eq!(found.unwrap(), (35_000..70_000).collect::<Vec<u32>>());
    let mut reader = index.reader(&memory);
    for ordinal in [0, 1023, 1024, 34_999, 35_000, 70_000] {
        assert_eq!(reader.key(ordinal).unwrap(), keys[ordinal as usize]);
        assert_eq!(reader.hash(ordinal).unwrap(), (7 + u128::from(ordinal)) << 90);
    }
    assert!(reader.key(70_001).is_err());
}

#[test]
fn damaged_roots_and_filters_are_refused_or_harmless() {
    let keys: Vec<SeriesKey> = (0..3000).map(|n| key("m", &[("h", &format!("{n:04}"))])).collect();
    let (IndexSections { root, cardinality }, memory) = write(&keys);
    for cut in 0..root.len() {
        assert!(SeriesIndex::open(&root[..cut]).is_err(), "{cut}");
    }
    for at in 0..root.len() {
        let mut damaged = root.clone();
        damaged[at] ^= 1 << (at % 8);
        if let Ok(index) = SeriesIndex::open(&damaged) {
            assert!(index.verify(&memory, HASH_KEY, &cardinality).is_err(), "byte {at}");
        }
    }
    let mut later = root.clone();
    later[0] += 1;
    assert_eq!(
        SeriesIndex::open(&later).unwrap_err(),
        Error::NewerFormat { version: 3, supported: 2 }
    );
    let index = SeriesIndex::open(&root).unwrap();
    let mut other = cardinality.clone();
    other[9] ^= 1;
    assert!(index.verify(&memory, HASH_KEY, &other).is_err(), "other numbers than the pages say");
    let filter = index.pages().last().unwrap();
    let at = usize::try_from(filter.offset).unwrap();
    let mut short = Memory { bytes: memory.bytes.clone(), ..Memory::default() };
    short.bytes[at..].fill(0xff);
    let all = TagFilter::tag("h", MatchOp::Eq, "0001");
    assert!(
        index.matching(&short, None, &all, &CancelToken::new()).is_err(),
        "lengths beyond the page"
    );
}

proptest! {
    #[test]
    fn matching_is_what_the_filter_says(
        series in prop::collection::btree_map("[mn]", prop::collection::btree_set("[a-c]{1,2}", 1..9), 1..3),
        tag in "[hx]", op in prop::sample::select(vec![MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre]),
        value in prop::sample::select(vec!["", "a", "ab", "^a", "^(a|bc)$", ".*", "^b?$"]),
    ) {
        let mut keys: Vec<SeriesKey> = Vec::new();
        for (name, hosts) in &series {
            keys.extend(hosts.iter().map(|host| key(name, &[("h", host)])));
        }
        keys.sort();
        let (sections, memory) = write(&keys);
        let index = SeriesIndex::open(&sections.root).unwrap();
        index.verify(&memory, HASH_KEY, &sections.cardinality).unwrap();
        let filter = TagFilter::tag(tag, op, value);
        let compiled = CompiledFilter::new(&filter).unwrap();
        let found = index.matching(&memory, None, &filter, &CancelToken::new()).unwrap();
        let due: Vec<u32> = (0u32..).zip(&keys)
            .filter(|(_, key)| compiled.matches(|tag| key.tag(tag).unwrap_or("")))
            .map(|(ordinal, _)| ordinal).collect();
        prop_assert_eq!(found, due);
        let by_name: BTreeMap<&str, Range<u32>> = index.measurements().collect();
        prop_assert!(keys.iter().zip(0u32..).all(|(key, at)| by_name[key.measurement()].contains(&at)));
    }
}

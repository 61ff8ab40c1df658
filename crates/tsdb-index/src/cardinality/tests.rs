//! What is said of series against the series themselves.

mod golden;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tsdb_core::{CancelToken, NamespaceId, SeriesKey, TagCharset};

use super::*;
use crate::{
    Error, IndexPage, IndexSections, IndexWriter, PageSource, Registry, Section, SectionWriter,
    SeriesIndex,
};

const HASH_KEY: HashKey = HashKey([5; 16]);

fn key(measurement: &str, tags: &[(&str, &str)]) -> SeriesKey {
    SeriesKey::new(measurement, &mut tags.to_vec(), TagCharset::Utf8).unwrap()
}

#[derive(Default)]
struct Pages(Vec<u8>);

impl PageSource for Pages {
    type Error = Error;

    fn bytes(&self, page: IndexPage) -> crate::Result<Arc<[u8]>> {
        let start = usize::try_from(page.offset).unwrap();
        Ok(self.0[start..start + page.bytes as usize].into())
    }

    fn section(&self, page: IndexPage) -> crate::Result<Arc<Section>> {
        Ok(Arc::new(Section::open(&self.bytes(page)?)?))
    }
}

fn written(keys: &BTreeSet<SeriesKey>) -> (IndexSections, Pages) {
    let (mut writer, mut pages) = (IndexWriter::new(HASH_KEY), Pages::default());
    let mut put = |page: &[u8]| {
        pages.0.extend_from_slice(page);
        Ok::<u64, Error>((pages.0.len() - page.len()) as u64)
    };
    for key in keys {
        writer.add(key, siphash128(HASH_KEY, key.as_str().as_bytes()), &mut put).unwrap();
    }
    (writer.finish(put).unwrap(), pages)
}

fn of_run(keys: &BTreeSet<SeriesKey>) -> SourceCardinality {
    let (sections, pages) = written(keys);
    assert_eq!(sections.cardinality.is_empty(), keys.len() <= 64);
    let index = SeriesIndex::open(&sections.root).unwrap();
    index.verify(&pages, HASH_KEY, &sections.cardinality).unwrap();
    index.cardinality(&pages, HASH_KEY, &sections.cardinality).unwrap()
}

fn of_registry(keys: impl IntoIterator<Item = SeriesKey>) -> SourceCardinality {
    let registry = Registry::new(HASH_KEY, usize::MAX);
    let keys: Vec<SeriesKey> = keys.into_iter().collect();
    registry.resolve(NamespaceId(1), &keys).into_iter().for_each(|number| _ = number.unwrap());
    registry.head(NamespaceId(1)).cardinality(&CancelToken::new()).unwrap()
}

/// Counts everything and keeps everything.
fn due(keys: &BTreeSet<SeriesKey>) -> SourceCardinality {
    let mut due = SourceCardinality::default();
    let mut pairs: BTreeMap<(String, String), u64> = BTreeMap::new();
    let names: BTreeSet<&str> = keys.iter().map(SeriesKey::measurement).collect();
    for name in names {
        let mut distinct = DistinctSketch::new();
        let (mut series, mut tags) = (0, BTreeMap::new());
        for key in keys.iter().filter(|key| key.measurement() == name) {
            series += 1;
            distinct.add(low_half(siphash128(HASH_KEY, key.as_str().as_bytes())));
            for (tag, value) in key.tags() {
                let tag = tags.entry(tag.to_owned()).or_insert_with(|| TagCardinality {
                    key: tag.into(),
                    series: 0,
                    value_bytes: 0,
                    values: DistinctSketch::new(),
                });
                tag.series += 1;
                tag.value_bytes += value.len() as u64;
                tag.values.add(value_hash(HASH_KEY, value));
                *pairs.entry((tag.key.to_string(), value.to_owned())).or_default() += 1;
            }
        }
        let (name, tags) = (name.into(), tags.into_values().collect());
        due.measurements.push(MeasurementCardinality { name, series, distinct, tags });
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    due.uncounted_max =
        pairs.iter().map(|(_, series)| *series).filter(|n| *n < 2).max().unwrap_or(0);
    pairs.retain(|(_, series)| *series > 1);
    due.uncounted_max =
        pairs.get(PAIRS_LISTED_MAX).map_or(due.uncounted_max, |(_, series)| *series);
    pairs.truncate(PAIRS_LISTED_MAX);
    let pair = |((key, value), series): ((String, String), u64)| PairCount {
        key: key.into(),
        value: value.into(),
        series,
    };
    due.pairs = pairs.into_iter().map(pair).collect();
    due
}

proptest! {
    #[test]
    fn runs_and_the_registry_say_what_the_series_are_made_of(
        series in prop::collection::vec(
            ("[a-c]", prop::collection::btree_map("[k-n]", "[a-h]{1,3}|\u{e9}", 0..4)), 1..300),
    ) {
        let keys: BTreeSet<SeriesKey> = series.iter().map(|(name, tags)| {
            let tags: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            key(name, &tags)
        }).collect();
        let due = due(&keys);
        prop_assert_eq!(&of_run(&keys), &due);
        prop_assert_eq!(due.series(), keys.len() as u64);
        // In the order in which they came.
        let mut arrived = BTreeSet::new();
        let in_order = series.iter().map(|(name, tags)| {
            let tags: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            key(name, &tags)
        }).filter(|key| arrived.insert(key.clone()));
        prop_assert_eq!(&of_registry(in_order.collect::<Vec<_>>()), &due);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..60), series in prop::collection::vec(0u64..9, 0..3),
    ) {
        let named = series.iter().map(|series| ("m", *series));
        if let Ok(found) = SourceCardinality::decode(&bytes, named) {
            prop_assert_eq!(found.measurements.len(), series.len());
        }
    }
}

fn fleet(hosts: u32) -> BTreeSet<SeriesKey> {
    let mut keys = BTreeSet::new();
    for measurement in ["cpu", "mem"] {
        for n in 0..hosts {
            let (host, rack) = (format!("host_{n:05}"), format!("rack_{:03}", n % 300));
            let region = if n % 2 == 0 { "north" } else { "south" };
            keys.insert(key(measurement, &[("host", &host), ("rack", &rack), ("region", region)]));
        }
    }
    keys
}

/// Many series: what is exact stays so, counts of pairs lack no more than they say, and the bytes stay few.
#[test]
fn many_series_take_few_bytes() {
    let hosts = 18_000;
    let keys = fleet(hosts);
    let due = due(&keys);
    let (run, registry) = (of_run(&keys), of_registry(keys.clone()));
    for found in [&run, &registry] {
        assert_eq!(found.measurements, due.measurements);
        let top: Vec<_> = found.pairs.iter().take(2).map(|p| (&*p.value, p.series)).collect();
        let half = u64::from(hosts);
        assert!(top.iter().all(|(_, n)| *n <= half && n + found.uncounted_max >= half), "{top:?}");
        assert_eq!(found.pairs.len(), PAIRS_LISTED_MAX);
        assert!((110..130).contains(&found.uncounted_max), "{}", found.uncounted_max);
        let host = found.measurements[0].tags[0].values.count();
        assert!(host.abs_diff(u64::from(hosts)) < u64::from(hosts / 25), "{host}");
    }
    let bytes = written(&keys).0.cardinality.len();
    assert!(bytes < 40_000, "{bytes} bytes for two measurements with two dense sketches each");
    let small = written(&fleet(100)).0.cardinality.len();
    assert!(small < 3500, "{small} bytes for 200 series");
}

#[test]
fn damaged_cardinalities_are_refused() {
    let (sections, pages) = written(&fleet(60));
    let index = SeriesIndex::open(&sections.root).unwrap();
    let bytes = sections.cardinality;
    let read = |bytes: &[u8]| index.cardinality(&pages, HASH_KEY, bytes);
    let sound = read(&bytes).unwrap();
    for cut in 1..bytes.len() {
        assert!(read(&bytes[..cut]).is_err(), "{cut}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        if let Ok(other) = read(&damaged) {
            assert_ne!(other, sound, "byte {at}");
        }
    }
    let later = [&[2], &bytes[1..]].concat();
    let expected = Err(Error::NewerFormat { version: 2, supported: 1 });
    assert_eq!(read(&later), expected);
    let other = SeriesIndex::open(&written(&[key("m", &[])].into()).0.root).unwrap();
    assert!(other.cardinality(&pages, HASH_KEY, &bytes).is_err(), "of another run");
}

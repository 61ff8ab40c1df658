//! Tests of sections against the keys that they were written from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tsdb_core::matcher::{CompiledFilter, MatchOp, TagFilter};
use tsdb_core::{CancelToken, SeriesKey, TagCharset};

use super::*;
use crate::Error;

type Spec = BTreeSet<(String, BTreeMap<String, String>)>;

fn any_series() -> impl Strategy<Value = Spec> {
    let series = ("[mnö]{1,2}", prop::collection::btree_map("[ab]{1,2}", "[xyz]{1,3}", 0..4));
    prop::collection::btree_set(series, 1..40)
}

fn keys(spec: &Spec) -> Vec<SeriesKey> {
    let key = |(measurement, tags): &(String, BTreeMap<String, String>)| {
        let mut pairs: Vec<(&str, &str)> =
            tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        SeriesKey::new(measurement, &mut pairs, TagCharset::Utf8).unwrap()
    };
    let mut keys: Vec<SeriesKey> = spec.iter().map(key).collect();
    keys.sort();
    keys
}

fn bytes(keys: &[SeriesKey]) -> Vec<u8> {
    let mut writer = SectionWriter::new();
    for (hash, key) in (7u128..).zip(keys) {
        writer.add(key, hash << 90 | hash).unwrap();
    }
    writer.finish().unwrap()
}

proptest! {
    #[test]
    fn series_come_back_in_order(spec in any_series()) {
        let keys = keys(&spec);
        let section = Section::open(&bytes(&keys)).unwrap();
        prop_assert_eq!(section.len() as usize, keys.len());
        for (ordinal, key) in (0u32..).zip(&keys) {
            prop_assert_eq!(&section.key(ordinal), key);
            let hash = 7 + u128::from(ordinal);
            prop_assert_eq!(section.hash(ordinal), hash << 90 | hash);
            prop_assert!(section.measurement(key.measurement()).contains(&ordinal));
        }
        prop_assert!(section.measurement("nothing").is_empty());
        let total: u32 = section.measurements().map(|(_, series)| series.end - series.start).sum();
        prop_assert_eq!(total, section.len());
    }

    #[test]
    fn matching_is_what_the_filter_says(
        spec in any_series(),
        tag in "[ab]{1,2}",
        op in prop::sample::select(vec![MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre]),
        value in prop::sample::select(vec!["", "x", "xy", "^x", "^(x|yz)$", "z$", ".*", "^x?$"]),
        other in "[ab]", one_measurement in any::<bool>(),
    ) {
        let keys = keys(&spec);
        let section = Section::open(&bytes(&keys)).unwrap();
        let both = TagFilter::Or(vec![
            TagFilter::tag(tag, op, value),
            TagFilter::Not(Box::new(TagFilter::tag(other, MatchOp::Eq, "x"))),
        ]);
        let compiled = CompiledFilter::new(&both).unwrap();
        let names = [Arc::from("m")];
        let found = section.matching(one_measurement.then_some(names.as_slice()), &both, &CancelToken::new()).unwrap();
        let expected: Vec<u32> = (0u32..).zip(&keys)
            .filter(|(_, key)| !one_measurement || key.measurement() == "m")
            .filter(|(_, key)| compiled.matches(|tag| key.tag(tag).unwrap_or("")))
            .map(|(ordinal, _)| ordinal).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn damage_is_refused_or_read(spec in any_series(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = bytes(&keys(&spec));
        let at = at.index(bytes.len());
        prop_assert!(Section::open(&bytes[..at]).is_err());
        bytes[at] ^= 1 << bit;
        if let Ok(section) = Section::open(&bytes) {
            let keys: Vec<SeriesKey> = (0..section.len()).map(|ordinal| section.key(ordinal)).collect();
            prop_assert!(keys.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = bytes;
        bytes.insert(0, 1);
        let _ = Section::open(&bytes);
    }
}

#[test]
fn order_and_version_are_checked() {
    let spec: Spec = [("m".to_owned(), BTreeMap::new()), ("n".to_owned(), BTreeMap::new())].into();
    let keys = keys(&spec);
    let mut writer = SectionWriter::new();
    writer.add(&keys[1], 0).unwrap();
    assert!(writer.add(&keys[0], 0).is_err());
    assert!(writer.add(&keys[1], 0).is_err());
    let mut later = bytes(&keys);
    later[0] = 2;
    let refused = Section::open(&later).unwrap_err();
    assert_eq!(refused, Error::NewerFormat { version: 2, supported: 1 });
}

/// One measurement whose series have no tag key in common, as annotations used as tags make them: one
/// column per key over all series would be quadratic.
#[test]
fn size_follows_the_tags_however_series_differ() {
    let section_of = |count: usize| {
        let spec: Spec = (0..count)
            .map(|i| ("m".to_owned(), BTreeMap::from([(format!("key{i}"), "v".to_owned())])))
            .collect();
        let keys = keys(&spec);
        let bytes = bytes(&keys);
        let section = Section::open(&bytes).unwrap();
        let filter = TagFilter::tag("key7", MatchOp::Ne, "");
        assert_eq!(section.matching(None, &filter, &CancelToken::new()).unwrap().len(), 1);
        assert!((0u32..).zip(&keys).all(|(ordinal, key)| section.key(ordinal) == *key));
        (bytes.len(), section.memory_bytes())
    };
    let (few, many) = (section_of(200), section_of(2000));
    assert!(many.0 < few.0 * 12, "bytes: {few:?}, {many:?}");
    assert!(many.1 < few.1 * 12, "memory: {few:?}, {many:?}");
}

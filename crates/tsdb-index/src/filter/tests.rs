//! Any condition over any series: the answer from postings is that of the filter, one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tsdb_core::hash::HashKey;
use tsdb_core::matcher::CompiledFilter;
use tsdb_core::{SeriesKey, TagCharset};

use super::*;
use crate::head::TagIndex;

fn any_filter() -> impl Strategy<Value = TagFilter> {
    let op = prop::sample::select(vec![MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre]);
    let value = prop::sample::select(vec![
        "", "x", "xy", "^x", "^(x|yz)$", "^(xy|x)", "z$", ".*", ".+", "^$", "^", "^x?$", "(?i)^X",
        "^x{2}", "^(?:)$", "x|y", "^x$|y",
    ]);
    let leaf = prop_oneof![
        8 => ("[abc]", op, value).prop_map(|(key, op, value)| {
            TagFilter::Match(TagMatcher { key: key.as_str().into(), op, value: value.into() })
        }),
        1 => Just(TagFilter::True),
        1 => Just(TagFilter::False),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(TagFilter::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(TagFilter::Or),
            inner.prop_map(|part| TagFilter::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn postings_answer_as_the_filter_does(
        series in prop::collection::vec(prop::collection::btree_map("[ab]", "[xyzX]{1,2}", 0..3), 0..30),
        filter in any_filter(),
    ) {
        let mut index = TagIndex::default();
        let key = |tags: &BTreeMap<String, String>| {
            let mut pairs: Vec<(&str, &str)> =
                tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            SeriesKey::new("m", &mut pairs, TagCharset::Ascii).unwrap()
        };
        let keys: Vec<SeriesKey> = series.iter().map(key).collect();
        for (number, key) in (0u32..).zip(&keys) {
            index.add(number, key, u128::from(number), HashKey([0; 16]));
        }
        let compiled = CompiledFilter::new(&filter).unwrap();
        let expected: Vec<u32> = (0u32..).zip(&keys)
            .filter(|(_, key)| compiled.matches(|tag| key.tag(tag).unwrap_or("")))
            .map(|(number, _)| number).collect();
        prop_assert_eq!(evaluate(&index, &filter, &CancelToken::new()).unwrap(), expected);
    }
}

#[test]
fn a_used_token_ends_a_search_with_its_reason() {
    let index = TagIndex::default();
    let cancel = CancelToken::new();
    let filter = TagFilter::tag("host", MatchOp::Re, "a.*b");
    assert_eq!(evaluate(&index, &filter, &cancel).unwrap(), Vec::<u32>::new());
    cancel.expire();
    let ended = evaluate(&index, &filter, &cancel);
    assert_eq!(ended, Err(crate::Error::Core(tsdb_core::Error::DeadlineExceeded)));
}

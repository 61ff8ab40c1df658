//! The inverted index over the registered series of one measurement, which grows with every new series.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::SeriesKey;
use tsdb_core::hash::HashKey;
use tsdb_core::hyperloglog::DistinctSketch;

use crate::cardinality::{
    FrequentPairs, MeasurementCardinality, TagCardinality, low_half, value_hash,
};
use crate::filter::TagSource;
use crate::posting_list::PostingList;
use crate::{Result, postings};

/// A tag value, as it stands in the key of the first series that had it: there are as many as series, mostly, so the
/// text must not be kept twice.
#[derive(Debug)]
struct Value {
    /// Its first eight bytes, big-endian, behind them zeros: almost always enough to compare two, and at hand, where the
    /// text is a cache miss.
    prefix: u64,
    key: SeriesKey,
    /// Where it begins in the key's text; it ends before the next NUL.
    start: u32,
    /// The first series that had it.
    first: u32,
}

const PREFIX_BYTES: usize = size_of::<u64>();

impl Value {
    fn new(value: &str, key: &SeriesKey, start: usize, first: u32) -> Value {
        let mut prefix = [0; PREFIX_BYTES];
        prefix.iter_mut().zip(value.bytes()).for_each(|(to, byte)| *to = byte);
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        Value { prefix: u64::from_be_bytes(prefix), key: key.clone(), start, first }
    }

    fn as_str(&self) -> &str {
        let rest = self.key.as_str().get(self.start as usize..).unwrap_or("");
        rest.split_once('\0').map_or(rest, |(value, _)| value)
    }

    /// What follows the prefix, if there is more, with what follows the value.
    fn rest(&self) -> &[u8] {
        if self.prefix.to_be_bytes().contains(&0) {
            return &[];
        }
        self.key.as_str().as_bytes().get(self.start as usize + PREFIX_BYTES..).unwrap_or(&[])
    }
}

impl Borrow<str> for Value {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    /// As their texts. A value cannot hold a NUL, so the one that ends it sorts before whatever goes on.
    fn cmp(&self, other: &Value) -> Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| {
            let pairs = self.rest().iter().zip(other.rest());
            let mut pairs = pairs.skip_while(|(a, b)| a == b && **a != 0);
            pairs.next().map_or(Ordering::Equal, |(a, b)| a.cmp(b))
        })
    }
}

#[derive(Debug, Default)]
struct KeyPostings {
    all: PostingList,
    /// All series with a value; `None` where it is only the first.
    values: BTreeMap<Value, Option<Box<PostingList>>>,
    /// Bytes of the values of all series.
    value_bytes: u64,
    /// Values that several series have.
    shared: usize,
    /// The values, once they are so many that nobody should have to go through them.
    sketch: Option<Box<DistinctSketch>>,
}

/// Values from which on there is a sketch of them, and those of one series alone are not looked at any more.
const SKETCH_FROM: usize = 1024;

impl KeyPostings {
    /// The values as a sketch. O(1), O(values) where they are few.
    fn sketch(&self, hash_key: HashKey) -> DistinctSketch {
        if let Some(sketch) = &self.sketch {
            return DistinctSketch::clone(sketch);
        }
        let mut sketch = DistinctSketch::new();
        self.values.keys().for_each(|value| sketch.add(value_hash(hash_key, value.as_str())));
        sketch
    }

    /// Notes a value that is new.
    fn note_value(&mut self, value: &str, hash_key: HashKey) {
        match &mut self.sketch {
            Some(sketch) => sketch.add(value_hash(hash_key, value)),
            None if self.values.len() >= SKETCH_FROM => {
                self.sketch = Some(Box::new(self.sketch(hash_key)));
            }
            None => {}
        }
    }

    /// Counts the series of each value. O(values), O(1) if they are many and each of one series. Returns how many series
    /// a value may have that was not counted.
    fn count_pairs(&self, key: &Arc<str>, pairs: &mut FrequentPairs) -> u64 {
        let skips = self.sketch.is_some();
        if skips && self.shared == 0 {
            return 1;
        }
        for (value, list) in &self.values {
            let series = list.as_ref().map_or(1, |list| list.len());
            if series > 1 || !skips {
                pairs.add(key, value.as_str(), series);
                pairs.prune();
            }
        }
        u64::from(skips)
    }
}

/// Series of a measurement by their tags.
#[derive(Debug, Default)]
pub(crate) struct TagIndex {
    all: PostingList,
    /// The series, by their hashes.
    distinct: DistinctSketch,
    keys: HashMap<Arc<str>, KeyPostings, foldhash::fast::RandomState>,
}

impl TagIndex {
    /// Adds a series with its hash. O(tags · log values) while numbers come in about ascending order.
    pub(crate) fn add(&mut self, number: u32, key: &SeriesKey, hash: u128, hash_key: HashKey) {
        self.all.insert(number);
        self.distinct.add(low_half(hash));
        let mut start = key.measurement().len() + 1;
        for (tag, value) in key.tags() {
            start += tag.len() + 1;
            // A look-up first: almost all keys are known, and a miss alone is worth an allocation.
            if !self.keys.contains_key(tag) {
                self.keys.insert(tag.into(), KeyPostings::default());
            }
            let Some(of_key) = self.keys.get_mut(tag) else { continue };
            of_key.all.insert(number);
            of_key.value_bytes += value.len() as u64;
            match of_key.values.entry(Value::new(value, key, start, number)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(None);
                    of_key.note_value(value, hash_key);
                }
                Entry::Occupied(mut known) => {
                    let first = known.key().first;
                    match known.get_mut() {
                        Some(list) => list.insert(number),
                        None if first == number => {}
                        none => {
                            *none = Some(Box::new(PostingList::of_two(first, number)));
                            of_key.shared += 1;
                        }
                    }
                }
            }
            start += value.len() + 1;
        }
    }

    /// What the series are made of. O(tag keys), and O(values) of keys with values that several series have, or with few.
    /// Counts their pairs, too; `uncounted` is told by key how many series a pair may have that was not counted.
    pub(crate) fn cardinality(
        &self,
        name: &Arc<str>,
        hash_key: HashKey,
        pairs: &mut FrequentPairs,
        mut uncounted: impl FnMut(&Arc<str>, u64),
    ) -> MeasurementCardinality {
        let tags = self.keys.iter().map(|(key, of_key)| {
            uncounted(key, of_key.count_pairs(key, pairs));
            TagCardinality {
                key: Arc::clone(key),
                series: of_key.all.len(),
                value_bytes: of_key.value_bytes,
                values: of_key.sketch(hash_key),
            }
        });
        let mut tags: Vec<TagCardinality> = tags.collect();
        tags.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let (name, series) = (Arc::clone(name), self.all.len());
        MeasurementCardinality { name, series, distinct: self.distinct.clone(), tags }
    }
}

impl TagSource for TagIndex {
    fn all(&self) -> Cow<'_, [u32]> {
        self.all.numbers()
    }

    fn with_value(&self, key: &str, value: &str) -> Result<Cow<'_, [u32]>> {
        let found = self.keys.get(key).and_then(|of_key| of_key.values.get_key_value(value));
        Ok(match found {
            None => Cow::Borrowed(&[]),
            Some((value, None)) => Cow::Borrowed(std::slice::from_ref(&value.first)),
            Some((_, Some(list))) => list.numbers(),
        })
    }

    fn with_key(&self, key: &str) -> Result<Cow<'_, [u32]>> {
        Ok(self.keys.get(key).map_or(Cow::Borrowed(&[]), |of_key| of_key.all.numbers()))
    }

    fn with_values(
        &self,
        key: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        if let Some(of_key) = self.keys.get(key) {
            let from = of_key.values.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            let values = from.map(|(value, list)| (value.as_str(), value.first, list));
            for (value, first, list) in values.take_while(|(value, ..)| value.starts_with(prefix)) {
                if accept(value) {
                    match list {
                        Some(list) => list.append_to(&mut found),
                        None => found.push(first),
                    }
                }
            }
        }
        postings::normalise(&mut found);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsdb_core::TagCharset;

    proptest! {
        #[test]
        fn values_sort_as_their_texts(
            a in "[a-b\u{e9}]{1,12}", b in "[a-b\u{e9}]{1,12}", same in "[ab]{0,9}", behind in "[ab]{1,3}",
        ) {
            let value = |text: &str| {
                let key = SeriesKey::new("m", &mut [("k", text), ("l", &*behind)], TagCharset::Utf8);
                Value::new(text, &key.unwrap(), 4, 0)
            };
            let (a, b) = (format!("{same}{a}"), format!("{same}{b}"));
            let (x, y) = (value(&a), value(&b));
            prop_assert_eq!(x.as_str(), &*a);
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        }
    }
}

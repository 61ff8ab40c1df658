//! The inverted index over the registered series of one measurement, which grows with every new series.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::SeriesKey;

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
}

/// Series of a measurement by their tags.
#[derive(Debug, Default)]
pub(crate) struct TagIndex {
    all: PostingList,
    keys: HashMap<Arc<str>, KeyPostings, foldhash::fast::RandomState>,
}

impl TagIndex {
    /// Adds a series. O(tags · log values) while numbers come in about ascending order.
    pub(crate) fn add(&mut self, number: u32, key: &SeriesKey) {
        self.all.insert(number);
        let mut start = key.measurement().len() + 1;
        for (tag, value) in key.tags() {
            start += tag.len() + 1;
            // A look-up first: almost all keys are known, and a miss alone is worth an allocation.
            if !self.keys.contains_key(tag) {
                self.keys.insert(tag.into(), KeyPostings::default());
            }
            let Some(of_key) = self.keys.get_mut(tag) else { continue };
            of_key.all.insert(number);
            match of_key.values.entry(Value::new(value, key, start, number)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(None);
                }
                Entry::Occupied(mut known) => {
                    let first = known.key().first;
                    match known.get_mut() {
                        Some(list) => list.insert(number),
                        None if first == number => {}
                        none => *none = Some(Box::new(PostingList::of_two(first, number))),
                    }
                }
            }
            start += value.len() + 1;
        }
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

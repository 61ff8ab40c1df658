//! The inverted index over the registered series of one measurement, which grows with every new series.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;
use tsdb_core::SeriesKey;

use crate::filter::TagSource;
use crate::{Result, postings};

#[derive(Debug, Default)]
struct KeyPostings {
    all: Vec<u32>,
    values: BTreeMap<Arc<str>, Vec<u32>>,
}

/// Series of a measurement by their tags.
#[derive(Debug, Default)]
pub(crate) struct TagIndex {
    all: Vec<u32>,
    keys: HashMap<Arc<str>, KeyPostings, foldhash::fast::RandomState>,
}

impl TagIndex {
    /// Adds a series. O(tags · log values) while numbers come in about ascending order.
    pub(crate) fn add(&mut self, number: u32, key: &SeriesKey) {
        postings::insert(&mut self.all, number);
        for (tag, value) in key.tags() {
            // A look-up first: almost all keys are known, and a miss alone is worth an allocation.
            if !self.keys.contains_key(tag) {
                self.keys.insert(tag.into(), KeyPostings::default());
            }
            let Some(of_key) = self.keys.get_mut(tag) else { continue };
            postings::insert(&mut of_key.all, number);
            match of_key.values.get_mut(value) {
                Some(list) => postings::insert(list, number),
                None => {
                    of_key.values.insert(value.into(), vec![number]);
                }
            }
        }
    }
}

impl TagSource for TagIndex {
    fn all(&self) -> Cow<'_, [u32]> {
        Cow::Borrowed(&self.all)
    }

    fn with_value(&self, key: &str, value: &str) -> Result<Cow<'_, [u32]>> {
        let found = self.keys.get(key).and_then(|of_key| of_key.values.get(value));
        Ok(found.map_or(Cow::Borrowed(&[]), |list| Cow::Borrowed(list)))
    }

    fn with_key(&self, key: &str) -> Result<Cow<'_, [u32]>> {
        Ok(self.keys.get(key).map_or(Cow::Borrowed(&[]), |of_key| Cow::Borrowed(&of_key.all)))
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
            for (value, list) in from.take_while(|(value, _)| value.starts_with(prefix)) {
                if accept(value) {
                    found.extend_from_slice(list);
                }
            }
        }
        postings::normalise(&mut found);
        Ok(found)
    }
}

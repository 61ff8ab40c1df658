//! The tag keys and values that most series have, in bounded memory: lossy counting (Manku, Motwani 2002, "Approximate
//! frequency counts over data streams"), with a bound on the entries in place of a width of buckets.

use std::cmp::Reverse;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{PAIRS_LISTED_MAX, PairCount, SourceCardinality};

/// Pairs up to which nothing is forgotten.
const ENTRIES_MAX: usize = 1 << 14;

/// Memory of an entry in bytes, beside its text.
const ENTRY_BYTES: usize = 2 * (size_of::<(Box<str>, u64)>() + 1);

/// Counts the series of pairs. What it says does not depend on the order within what was added between two calls of
/// [`FrequentPairs::prune`].
#[derive(Debug, Default)]
pub(crate) struct FrequentPairs {
    by_key: HashMap<Arc<str>, HashMap<Box<str>, u64, RandomState>, RandomState>,
    entries: usize,
    text_bytes: usize,
    /// What was forgotten had at most this count.
    forgotten_max: u64,
}

impl FrequentPairs {
    /// Counts `series` series more that have a pair.
    pub(crate) fn add(&mut self, key: &Arc<str>, value: &str, series: u64) {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(Arc::clone(key), HashMap::default());
        }
        let Some(values) = self.by_key.get_mut(key) else { return };
        match values.get_mut(value) {
            Some(count) => *count += series,
            None => {
                values.insert(value.into(), series);
                self.entries += 1;
                self.text_bytes += value.len();
            }
        }
    }

    /// Forgets the rarer half of the pairs if there are too many. O(pairs).
    pub(crate) fn prune(&mut self) {
        if self.entries < ENTRIES_MAX {
            return;
        }
        let counts = self.by_key.values().flat_map(|values| values.values().copied());
        let mut counts: Vec<u64> = counts.collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        (self.entries, self.text_bytes) = (0, 0);
        for values in self.by_key.values_mut() {
            values.retain(|_, count| *count > median);
            self.entries += values.len();
            self.text_bytes += values.keys().map(|value| value.len()).sum::<usize>();
        }
        // What was forgotten and comes back may be forgotten again, so the bounds add up.
        self.forgotten_max += median;
    }

    /// Memory in bytes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries * ENTRY_BYTES + self.text_bytes
    }

    /// Puts the most frequent pairs into `into`.
    pub(crate) fn finish(self, into: &mut SourceCardinality) {
        let pairs = self.by_key.iter().flat_map(|(key, values)| {
            values.iter().map(move |(value, series)| (Reverse(*series), key, value))
        });
        // Only these can be listed; what one series has alone is no news.
        let mut pairs: Vec<_> = pairs.filter(|(series, ..)| series.0 > 1).collect();
        let mut first_unlisted = u64::from(self.entries > pairs.len());
        if pairs.len() > PAIRS_LISTED_MAX {
            let (_, (series, ..), _) = pairs.select_nth_unstable(PAIRS_LISTED_MAX);
            first_unlisted = series.0;
            pairs.truncate(PAIRS_LISTED_MAX);
        }
        pairs.sort_unstable();
        let pairs = pairs.into_iter().map(|(series, key, value)| PairCount {
            key: Arc::clone(key),
            value: value.clone(),
            series: series.0,
        });
        into.pairs = pairs.collect();
        into.uncounted_max = first_unlisted + self.forgotten_max;
    }
}

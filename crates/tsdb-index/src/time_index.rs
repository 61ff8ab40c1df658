//! Which sources may hold rows of a time range: an index over the ranges of runs, and the growing range
//! of a buffer in memory.

use std::sync::atomic::{AtomicI64, Ordering};

use tsdb_core::TimeRange;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<K> {
    min: i64,
    max: i64,
    id: K,
}

/// Ranges of time (both ends inclusive) and what they belong to.
///
/// An interval tree laid over a sorted array (Cormen et al., "Introduction to Algorithms", section on
/// augmented trees): the middle of each stretch is its root and knows the largest end in the stretch.
#[derive(Debug, Clone)]
pub struct TimeIndex<K> {
    /// By start, then end, then id.
    entries: Vec<Entry<K>>,
    /// Largest end in the stretch whose root stands at the same place.
    ends: Vec<i64>,
}

impl<K> Default for TimeIndex<K> {
    fn default() -> Self {
        TimeIndex { entries: Vec::new(), ends: Vec::new() }
    }
}

impl<K: Copy + Ord> FromIterator<(i64, i64, K)> for TimeIndex<K> {
    /// Builds an index of (smallest, largest timestamp, id). O(n log n).
    fn from_iter<I: IntoIterator<Item = (i64, i64, K)>>(ranges: I) -> Self {
        let ranges = ranges.into_iter().map(|(min, max, id)| Entry { min, max, id });
        let mut index = TimeIndex { entries: ranges.collect(), ends: Vec::new() };
        index.entries.sort_unstable();
        index.rebuild();
        index
    }
}

impl<K: Copy + Ord> TimeIndex<K> {
    /// Adds the range from `min` to `max`. O(n).
    pub fn insert(&mut self, min: i64, max: i64, id: K) {
        let entry = Entry { min, max, id };
        let place = self.entries.partition_point(|known| *known < entry);
        self.entries.insert(place, entry);
        self.rebuild();
    }

    /// Removes a range that was added; false if there is none. O(n).
    pub fn remove(&mut self, min: i64, max: i64, id: K) -> bool {
        let found = self.entries.binary_search(&Entry { min, max, id });
        if let Ok(place) = found {
            self.entries.remove(place);
            self.rebuild();
        }
        found.is_ok()
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without ranges.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Ids of the ranges that overlap `time`, by start. O(log n + found).
    pub fn overlapping(&self, time: TimeRange) -> Vec<K> {
        let mut found = Vec::new();
        if time.start < time.end {
            self.collect(0, self.entries.len(), time, &mut found);
        }
        found
    }

    fn collect(&self, from: usize, to: usize, time: TimeRange, found: &mut Vec<K>) {
        if from >= to {
            return;
        }
        let root = from + (to - from) / 2;
        let (Some(entry), Some(end)) = (self.entries.get(root), self.ends.get(root)) else {
            return;
        };
        // Nothing in this stretch ends late enough.
        if *end < time.start {
            return;
        }
        self.collect(from, root, time, found);
        // Starts ascend: from the root on nothing begins early enough.
        if entry.min >= time.end {
            return;
        }
        if entry.max >= time.start {
            found.push(entry.id);
        }
        self.collect(root + 1, to, time, found);
    }

    fn rebuild(&mut self) {
        self.ends = self.entries.iter().map(|entry| entry.max).collect();
        self.raise_ends(0, self.entries.len());
    }

    fn raise_ends(&mut self, from: usize, to: usize) -> i64 {
        if from >= to {
            return i64::MIN;
        }
        let root = from + (to - from) / 2;
        let below = self.raise_ends(from, root).max(self.raise_ends(root + 1, to));
        match self.ends.get_mut(root) {
            Some(end) => {
                *end = (*end).max(below);
                *end
            }
            None => below,
        }
    }
}

/// Range of time of a buffer that grows while others read.
///
/// The writer extends the range before it publishes the rows; a reader that looks at the range after it
/// saw the rows published therefore sees a range that covers them.
#[derive(Debug)]
pub struct ActiveRange {
    min: AtomicI64,
    max: AtomicI64,
}

impl Default for ActiveRange {
    fn default() -> Self {
        ActiveRange { min: AtomicI64::new(i64::MAX), max: AtomicI64::new(i64::MIN) }
    }
}

impl ActiveRange {
    /// Widens the range to hold `min` to `max`, both inclusive.
    #[inline]
    pub fn extend(&self, min: i64, max: i64) {
        self.min.fetch_min(min, Ordering::Relaxed);
        self.max.fetch_max(max, Ordering::Relaxed);
    }

    /// The range, both ends inclusive; `None` before the first row.
    pub fn get(&self) -> Option<(i64, i64)> {
        let (min, max) = (self.min.load(Ordering::Relaxed), self.max.load(Ordering::Relaxed));
        (min <= max).then_some((min, max))
    }

    /// Whether a row may lie in `time`.
    #[inline]
    pub fn may_overlap(&self, time: TimeRange) -> bool {
        self.min.load(Ordering::Relaxed) < time.end
            && self.max.load(Ordering::Relaxed) >= time.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(ranges: &[(i64, i64, u32)], time: TimeRange) -> Vec<u32> {
        let mut found: Vec<(i64, i64, u32)> = ranges
            .iter()
            .copied()
            .filter(|(min, max, _)| time.start < time.end && *min < time.end && *max >= time.start)
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, _, id)| id).collect()
    }

    fn any_ranges() -> impl Strategy<Value = Vec<(i64, i64, u32)>> {
        let edge = prop_oneof![8 => -30i64..30, 1 => Just(i64::MIN + 2), 1 => Just(i64::MAX - 1)];
        let range = (edge.clone(), edge, 0u32..9).prop_map(|(a, b, id)| (a.min(b), a.max(b), id));
        prop::collection::vec(range, 0..40)
    }

    proptest! {
        #[test]
        fn index_update_consistency(ranges in any_ranges(), removals in prop::collection::vec(any::<prop::sample::Index>(), 0..20), from in -35i64..35, length in 0i64..40) {
            let mut index = TimeIndex::default();
            let mut model = ranges.clone();
            for (min, max, id) in &ranges {
                index.insert(*min, *max, *id);
            }
            for removal in removals {
                if model.is_empty() { break }
                let (min, max, id) = model.swap_remove(removal.index(model.len()));
                prop_assert!(index.remove(min, max, id));
            }
            prop_assert!(!index.remove(99, 99, 1));
            prop_assert_eq!(index.len(), model.len());
            let time = TimeRange::new(from, from + length);
            prop_assert_eq!(index.overlapping(time), naive(&model, time));
        }

        #[test]
        fn time_range_queries(ranges in any_ranges(), from in -35i64..35, length in 0i64..40) {
            let index: TimeIndex<u32> = ranges.iter().copied().collect();
            for time in [TimeRange::new(from, from + length), TimeRange::all(), TimeRange::EMPTY] {
                prop_assert_eq!(index.overlapping(time), naive(&ranges, time));
            }
        }
    }

    #[test]
    fn overlapping_range_handling() {
        let ranges = [(0, 100, 1u32), (10, 20, 2), (10, 20, 3), (20, 30, 4), (50, 50, 5)];
        let index: TimeIndex<u32> = ranges.into_iter().collect();
        let at = |start, end| index.overlapping(TimeRange::new(start, end));
        assert_eq!(at(15, 16), [1, 2, 3], "nested and equal ranges");
        assert_eq!(at(20, 21), [1, 2, 3, 4], "ends are inclusive");
        assert_eq!(at(21, 50), [1, 4], "the end of a question is not");
        assert_eq!(at(50, 51), [1, 5], "a range of one instant");
        assert_eq!(at(101, 200), [0u32; 0]);
    }

    #[test]
    fn a_reader_of_published_rows_sees_a_range_that_covers_them() {
        use std::sync::atomic::AtomicUsize;
        let (range, published) = (ActiveRange::default(), AtomicUsize::new(0));
        assert_eq!(range.get(), None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for i in 1..20_000usize {
                    range.extend(-(i as i64), i as i64);
                    published.store(i, Ordering::Release);
                }
            });
            loop {
                let seen = published.load(Ordering::Acquire) as i64;
                if seen > 0 {
                    let (min, max) = range.get().unwrap();
                    assert!(min <= -seen && max >= seen);
                    assert!(range.may_overlap(TimeRange::new(seen, seen + 1)));
                }
                if seen == 19_999 {
                    break;
                }
            }
        });
    }
}

//! The series registry: keys to dense numbers, for all writers at once, and the inverted index over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use parking_lot::RwLock;
use tsdb_core::hash::{HashKey, siphash128};
use tsdb_core::matcher::TagFilter;
use tsdb_core::{CancelToken, Error, NamespaceId, SeriesKey, SeriesRef};

use crate::filter::Plan;
use crate::head::TagIndex;
use crate::slots::Slots;

#[derive(Debug)]
struct Entry {
    namespace: NamespaceId,
    key: SeriesKey,
    hash: u128,
}

#[derive(Debug, Default)]
struct Slot {
    entry: OnceLock<Entry>,
    /// Log generation in which the series was last defined.
    logged: AtomicU64,
}

/// The inverted index over the registered series of one namespace, by measurement. It outlives the
/// namespace as long as somebody holds it, so that a snapshot taken before a DROP still finds its series.
#[derive(Debug, Default)]
pub struct NamespaceHead(RwLock<BTreeMap<Arc<str>, TagIndex>>);

impl NamespaceHead {
    /// Registered series that match, sorted. `measurements` are exact names, `None` is all of them.
    ///
    /// # Errors
    /// A filter that does not compile, a token that was used.
    pub fn matching(
        &self,
        measurements: Option<&[Arc<str>]>,
        filter: &TagFilter,
        cancel: &CancelToken,
    ) -> crate::Result<Vec<SeriesRef>> {
        let plan = Plan::new(filter)?;
        let by_name = self.0.read();
        let mut found: Vec<u32> = Vec::new();
        match measurements {
            None => {
                for index in by_name.values() {
                    found.extend(plan.evaluate(index, cancel)?);
                }
            }
            Some(names) => {
                let names: BTreeSet<&Arc<str>> = names.iter().collect();
                for index in names.into_iter().filter_map(|name| by_name.get(name)) {
                    found.extend(plan.evaluate(index, cancel)?);
                }
            }
        }
        found.sort_unstable();
        Ok(found.into_iter().map(SeriesRef).collect())
    }

    fn add(&self, key: &SeriesKey, number: u32) {
        let mut by_name = self.0.write();
        if !by_name.contains_key(key.measurement()) {
            by_name.insert(key.measurement().into(), TagIndex::default());
        }
        if let Some(index) = by_name.get_mut(key.measurement()) {
            index.add(number, key);
        }
    }
}

/// All series that an engine has met since it was opened. A number keeps its meaning as long as the
/// registry lives (I5); a dropped namespace gives up its names, not its numbers.
#[derive(Debug)]
pub struct Registry {
    hash_key: HashKey,
    series_max: usize,
    numbers: DashMap<(NamespaceId, SeriesKey), SeriesRef, foldhash::fast::RandomState>,
    slots: Slots<Slot>,
    next: AtomicU32,
    heads: RwLock<BTreeMap<NamespaceId, Arc<NamespaceHead>>>,
}

impl Registry {
    /// An empty registry that takes up to `series_max` series; `hash_key` is the data directory's.
    pub fn new(hash_key: HashKey, series_max: usize) -> Registry {
        Registry {
            hash_key,
            series_max,
            numbers: DashMap::default(),
            slots: Slots::new(),
            next: AtomicU32::new(0),
            heads: RwLock::default(),
        }
    }

    /// Numbers of `keys`, new ones where need be. At the limit new series are refused with
    /// [`Error::TooMany`], and known ones go on. O(keys), plus O(tags · log values) per new series.
    pub fn resolve(
        &self,
        namespace: NamespaceId,
        keys: &[SeriesKey],
    ) -> Vec<Result<SeriesRef, Error>> {
        keys.iter().map(|key| self.resolve_one(namespace, key, self.series_max)).collect()
    }

    /// Numbers of `keys` if all of them are known. O(keys).
    pub fn known(&self, namespace: NamespaceId, keys: &[SeriesKey]) -> Option<Vec<SeriesRef>> {
        let number = |key: &SeriesKey| Some(*self.numbers.get(&(namespace, key.clone()))?);
        keys.iter().map(number).collect()
    }

    /// Number of a series from a log, which is taken even beyond the limit: it was accepted once.
    ///
    /// # Errors
    /// More than 2^32 series.
    pub fn restore(&self, namespace: NamespaceId, key: &SeriesKey) -> Result<SeriesRef, Error> {
        self.resolve_one(namespace, key, usize::MAX)
    }

    fn resolve_one(
        &self,
        namespace: NamespaceId,
        key: &SeriesKey,
        series_max: usize,
    ) -> Result<SeriesRef, Error> {
        let id = (namespace, key.clone());
        if let Some(number) = self.numbers.get(&id) {
            return Ok(*number);
        }
        let known = self.numbers.len();
        if known >= series_max {
            return Err(Error::TooMany {
                what: "series",
                count: known as u64 + 1,
                count_max: series_max as u64,
                remedy: "drop tags with ever new values, or raise --series-max",
            });
        }
        // The shard stays locked until the series can be found by its tags, so that nobody who gets the
        // number can write a row that a query would miss.
        let vacant = match self.numbers.entry(id) {
            dashmap::Entry::Occupied(known) => return Ok(*known.get()),
            dashmap::Entry::Vacant(vacant) => vacant,
        };
        let number = self.next_number()?;
        let entry = Entry {
            namespace,
            key: key.clone(),
            hash: siphash128(self.hash_key, key.as_str().as_bytes()),
        };
        let fresh = self.slots.make(number).is_some_and(|slot| slot.entry.set(entry).is_ok());
        // invariant: I5: a number means one series for ever.
        assert!(fresh, "I5: series number {number} was given twice");
        self.head(namespace).add(key, number);
        vacant.insert(SeriesRef(number));
        Ok(SeriesRef(number))
    }

    fn next_number(&self) -> Result<u32, Error> {
        let next =
            self.next.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_add(1));
        next.map_err(|used| Error::TooMany {
            what: "series since the start",
            count: u64::from(used) + 1,
            count_max: u64::from(u32::MAX),
            remedy: "restart the server, and drop tags with ever new values",
        })
    }

    /// The index over the series of a namespace.
    pub fn head(&self, namespace: NamespaceId) -> Arc<NamespaceHead> {
        if let Some(head) = self.heads.read().get(&namespace) {
            return Arc::clone(head);
        }
        Arc::clone(self.heads.write().entry(namespace).or_default())
    }

    /// Namespace and key of a number. No lock.
    pub fn key(&self, number: SeriesRef) -> Option<(NamespaceId, SeriesKey)> {
        let entry = self.slots.get(number.0)?.entry.get()?;
        Some((entry.namespace, entry.key.clone()))
    }

    /// Namespace of a number. No lock.
    #[inline]
    pub fn namespace(&self, number: SeriesRef) -> Option<NamespaceId> {
        self.slots.get(number.0)?.entry.get().map(|entry| entry.namespace)
    }

    /// Hash of a number's key under the data directory's hash key; 0 for a number that was never given.
    /// No lock.
    pub fn hash(&self, number: SeriesRef) -> u128 {
        let slot = self.slots.get(number.0);
        slot.and_then(|slot| slot.entry.get()).map_or(0, |entry| entry.hash)
    }

    /// Numbers that were given so far: all below this one.
    pub fn len(&self) -> usize {
        self.next.load(Ordering::Acquire) as usize
    }

    /// True before the first series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that the series is defined in log generation `generation`, which is above 0; true if it was
    /// not yet. For use under the engine's append lock.
    pub fn mark_logged(&self, number: SeriesRef, generation: u64) -> bool {
        let Some(slot) = self.slots.get(number.0) else { return false };
        // A load first: it is almost always marked, and a swap would dirty the cache line.
        if slot.logged.load(Ordering::Relaxed) == generation {
            return false;
        }
        slot.logged.store(generation, Ordering::Relaxed);
        true
    }

    /// Takes a [`Registry::mark_logged`] back whose record was not logged after all.
    pub fn unmark_logged(&self, number: SeriesRef) {
        if let Some(slot) = self.slots.get(number.0) {
            slot.logged.store(0, Ordering::Relaxed);
        }
    }

    /// Forgets the names of a namespace that was dropped. Its numbers stay taken. O(series).
    pub fn drop_namespace(&self, namespace: NamespaceId) {
        self.heads.write().remove(&namespace);
        self.numbers.retain(|(of, _), _| *of != namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsdb_core::TagCharset;
    use tsdb_core::matcher::{CompiledFilter, MatchOp};

    const NAMESPACE: NamespaceId = NamespaceId(3);

    fn registry() -> Registry {
        Registry::new(HashKey([1; 16]), 1000)
    }

    fn key(measurement: &str, tags: &[(&str, &str)]) -> SeriesKey {
        SeriesKey::new(measurement, &mut tags.to_vec(), TagCharset::Utf8).unwrap()
    }

    #[test]
    fn a_series_keeps_its_number() {
        // proves: I5
        let registry = registry();
        let (a, b) = (key("m", &[("h", "a")]), key("m", &[("h", "b")]));
        let numbers = registry.resolve(NAMESPACE, &[a.clone(), b.clone(), a.clone()]);
        assert_eq!(numbers, [Ok(SeriesRef(0)), Ok(SeriesRef(1)), Ok(SeriesRef(0))]);
        assert_eq!(registry.resolve(NamespaceId(4), std::slice::from_ref(&a)), [Ok(SeriesRef(2))]);
        assert_eq!(registry.key(SeriesRef(1)), Some((NAMESPACE, b)));
        assert_eq!(registry.hash(SeriesRef(0)), registry.hash(SeriesRef(2)));
        assert_ne!(registry.hash(SeriesRef(0)), registry.hash(SeriesRef(1)));
        registry.drop_namespace(NAMESPACE);
        assert_eq!(registry.resolve(NAMESPACE, &[a]), [Ok(SeriesRef(3))], "never given again");
        assert_eq!(
            registry.head(NAMESPACE).matching(None, &TagFilter::True, &CancelToken::new()),
            Ok(vec![SeriesRef(3)])
        );
    }

    #[test]
    fn the_limit_refuses_new_series_only() {
        let registry = Registry::new(HashKey([1; 16]), 1);
        let (a, b) = (key("m", &[("h", "a")]), key("m", &[("h", "b")]));
        let numbers = registry.resolve(NAMESPACE, &[a.clone(), b.clone(), a]);
        assert!(matches!(numbers.as_slice(), [Ok(_), Err(Error::TooMany { .. }), Ok(_)]));
        assert_eq!(registry.restore(NAMESPACE, &b), Ok(SeriesRef(1)), "a log's series is taken");
    }

    #[test]
    fn threads_agree_on_numbers() {
        let registry = registry();
        let keys: Vec<SeriesKey> = (0..200).map(|i| key("m", &[("h", &i.to_string())])).collect();
        let answers: Vec<Vec<SeriesRef>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| registry.resolve(NAMESPACE, &keys))).collect();
            let join =
                |thread: std::thread::ScopedJoinHandle<'_, Vec<Result<SeriesRef, Error>>>| {
                    thread.join().unwrap().into_iter().map(Result::unwrap).collect()
                };
            threads.into_iter().map(join).collect()
        });
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(registry.len(), 200);
        assert_eq!(
            registry
                .head(NAMESPACE)
                .matching(None, &TagFilter::True, &CancelToken::new())
                .unwrap()
                .len(),
            200
        );
    }

    #[test]
    fn known_series_are_found_and_nothing_is_added() {
        let registry = registry();
        let keys = [key("m", &[("a", "1")]), key("m", &[("a", "2")])];
        let numbers: Vec<_> =
            registry.resolve(NAMESPACE, &keys).into_iter().map(Result::unwrap).collect();
        assert_eq!(registry.known(NAMESPACE, &keys), Some(numbers));
        assert_eq!(registry.known(NAMESPACE, &[keys[0].clone(), key("n", &[])]), None);
        assert_eq!(registry.known(NamespaceId(77), &keys), None);
        assert_eq!(registry.len(), 2);
    }

    proptest! {
        /// The index finds exactly the series that the filter accepts one by one.
        #[test]
        fn matching_is_what_the_filter_says(
            series in prop::collection::btree_set(("[mn]", prop::collection::btree_map("[ab]", "[xyz]{1,2}", 0..3)), 0..30),
            tag in "[abc]", op in prop::sample::select(vec![MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre]),
            value in prop::sample::select(vec!["", "x", "xy", "^x", "^(x|yz)$", "z$", ".*", "[", "^x?$"]),
            negate in any::<bool>(), one_measurement in any::<bool>(),
        ) {
            let registry = registry();
            let keys: Vec<SeriesKey> = series.iter().map(|(m, tags)| {
                let pairs: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                key(m, &pairs)
            }).collect();
            registry.resolve(NAMESPACE, &keys);
            let filter = TagFilter::tag(tag, op, value);
            let filter = if negate { TagFilter::Not(Box::new(filter)) } else { filter };
            let names = [Arc::from("m")];
            let measurements = one_measurement.then_some(names.as_slice());
            let found = registry.head(NAMESPACE).matching(measurements, &filter, &CancelToken::new());
            match CompiledFilter::new(&filter) {
                Err(_) => prop_assert!(found.is_err()),
                Ok(compiled) => {
                    let expected: Vec<SeriesRef> = (0u32..).zip(&keys)
                        .filter(|(_, key)| !one_measurement || key.measurement() == "m")
                        .filter(|(_, key)| compiled.matches(|tag| key.tag(tag).unwrap_or("")))
                        .map(|(number, _)| SeriesRef(number)).collect();
                    prop_assert_eq!(found.unwrap(), expected);
                }
            }
        }
    }
}

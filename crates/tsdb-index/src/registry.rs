//! The series registry: keys to dense numbers, for all writers at once, and the inverted index over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockWriteGuard};
use tsdb_core::hash::HashKey;
use tsdb_core::{Error, NamespaceId, SeriesKey, SeriesRef};

use crate::namespace_head::NamespaceHead;
use crate::table::SeriesTable;

/// The series that an engine has in memory: those that were written not long ago. A number keeps its meaning as long as
/// its table lives (I5), and whoever reads holds a table; see [`crate::Eviction`] for how series leave.
#[derive(Debug)]
pub struct Registry {
    series_max: usize,
    /// Held shared while series are registered, so that none is under way at the end of an eviction.
    current: RwLock<Arc<SeriesTable>>,
    /// The open log generation, which new series are counted to.
    generation: AtomicU64,
}

/// The room for series that the namespaces of a database share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseQuota {
    /// Most series in memory of all of them together.
    pub series_max: usize,
    /// The namespaces.
    pub namespaces: Vec<NamespaceId>,
}

impl DatabaseQuota {
    /// Fails when there is no room for another series. O(namespaces).
    fn check(&self, table: &SeriesTable) -> Result<(), Error> {
        let known: u64 =
            self.namespaces.iter().map(|namespace| table.head(*namespace).series()).sum();
        let count_max = self.series_max as u64;
        if known < count_max {
            return Ok(());
        }
        Err(Error::TooMany {
            what: "series in this database",
            count: known + 1,
            count_max,
            remedy: "drop tags with ever new values, or raise --database-series-max",
        })
    }
}

impl Registry {
    /// An empty registry that takes up to `series_max` series; `hash_key` is the data directory's.
    pub fn new(hash_key: HashKey, series_max: usize) -> Registry {
        Registry {
            series_max,
            current: RwLock::new(Arc::new(SeriesTable::new(hash_key))),
            generation: AtomicU64::new(0),
        }
    }

    /// The table of series as it is now. Series that are registered later are in it too, until an eviction.
    pub fn table(&self) -> Arc<SeriesTable> {
        Arc::clone(&self.current.read())
    }

    /// Keeps registrations out, for the exchange of the table.
    pub(crate) fn lock(&self) -> RwLockWriteGuard<'_, Arc<SeriesTable>> {
        self.current.write()
    }

    /// From now on new series count as registered in log generation `generation`.
    pub fn begin_generation(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// Numbers of `keys`, new ones where need be. At the limit new series are refused with
    /// [`Error::TooMany`], and known ones go on. O(keys), plus O(tags · log values) per new series.
    pub fn resolve(
        &self,
        namespace: NamespaceId,
        keys: &[SeriesKey],
    ) -> Vec<Result<SeriesRef, Error>> {
        self.resolve_within(namespace, keys, None)
    }

    /// As [`Registry::resolve`], and new series are refused, too, when the database of the namespace has no room for them.
    /// Writers at the same moment may pass the limits by a series each. O(namespaces of the database) more per new series.
    pub fn resolve_within(
        &self,
        namespace: NamespaceId,
        keys: &[SeriesKey],
        quota: Option<&DatabaseQuota>,
    ) -> Vec<Result<SeriesRef, Error>> {
        let table = self.current.read();
        let resolve = |key| {
            let has_room = || quota.map_or(Ok(()), |quota| quota.check(&table));
            self.resolve_one(&table, namespace, key, self.series_max, has_room)
        };
        keys.iter().map(resolve).collect()
    }

    /// Numbers of `keys` if all of them are known. O(keys).
    pub fn known(&self, namespace: NamespaceId, keys: &[SeriesKey]) -> Option<Vec<SeriesRef>> {
        let table = self.current.read();
        keys.iter().map(|key| table.find(namespace, key, table.hash_of(key))).collect()
    }

    /// Number of a series from a log, which is taken even beyond the limit: it was accepted once.
    ///
    /// # Errors
    /// More than 2^32 series.
    pub fn restore(&self, namespace: NamespaceId, key: &SeriesKey) -> Result<SeriesRef, Error> {
        self.resolve_one(&self.current.read(), namespace, key, usize::MAX, || Ok(()))
    }

    fn resolve_one(
        &self,
        table: &SeriesTable,
        namespace: NamespaceId,
        key: &SeriesKey,
        series_max: usize,
        has_room: impl Fn() -> Result<(), Error>,
    ) -> Result<SeriesRef, Error> {
        let hash = table.hash_of(key);
        if let Some(number) = table.find(namespace, key, hash) {
            return Ok(number);
        }
        let known = table.len();
        if known >= series_max {
            return Err(Error::TooMany {
                what: "series",
                count: known as u64 + 1,
                count_max: series_max as u64,
                remedy: "drop tags with ever new values, or raise --series-max",
            });
        }
        has_room()?;
        table.register(namespace, key, hash, self.generation.load(Ordering::Relaxed))
    }

    /// The index over the series of a namespace.
    pub fn head(&self, namespace: NamespaceId) -> Arc<NamespaceHead> {
        self.current.read().head(namespace)
    }

    /// Series in memory that can be named.
    pub fn len(&self) -> usize {
        self.current.read().len()
    }

    /// Whether no series is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the names of a namespace that was dropped. Its numbers stay taken. O(series of the namespace).
    pub fn drop_namespace(&self, namespace: NamespaceId) {
        self.current.read().drop_namespace(namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsdb_core::CancelToken;
    use tsdb_core::TagCharset;
    use tsdb_core::matcher::{CompiledFilter, MatchOp, TagFilter};

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
        assert_eq!(registry.table().key(SeriesRef(1)), Some((NAMESPACE, b)));
        assert_eq!(registry.table().hash(SeriesRef(0)), registry.table().hash(SeriesRef(2)));
        assert_ne!(registry.table().hash(SeriesRef(0)), registry.table().hash(SeriesRef(1)));
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
    fn the_namespaces_of_a_database_share_its_room() {
        let registry = registry();
        let (other, elsewhere) = (NamespaceId(4), NamespaceId(5));
        let quota = DatabaseQuota { series_max: 2, namespaces: vec![NAMESPACE, other] };
        let keys = ["a", "b"].map(|host| key("m", &[("h", host)]));
        let [a, b] = &keys;
        let resolve = |namespace, key: &SeriesKey| {
            registry.resolve_within(namespace, std::slice::from_ref(key), Some(&quota)).remove(0)
        };
        assert_eq!(registry.resolve(elsewhere, &keys), [Ok(SeriesRef(0)), Ok(SeriesRef(1))]);
        assert_eq!(resolve(NAMESPACE, a), Ok(SeriesRef(2)));
        assert_eq!(resolve(other, a), Ok(SeriesRef(3)));
        let refused = resolve(NAMESPACE, b).unwrap_err().to_string();
        let says = "3 series in this database";
        assert!(refused.contains(says) && refused.contains("--database-series-max"), "{refused}");
        assert_eq!(
            (resolve(NAMESPACE, a), resolve(other, a)),
            (Ok(SeriesRef(2)), Ok(SeriesRef(3)))
        );
        registry.drop_namespace(other);
        assert_eq!(resolve(NAMESPACE, b), Ok(SeriesRef(4)), "what was dropped gives room");
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

//! Evictions against a model, and against threads that register and write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;
use tsdb_core::hash::HashKey;
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::{CancelToken, NamespaceId, SeriesKey, SeriesRef, TagCharset};

use super::*;
use crate::series_slots::BLOCKS_MAX;

fn key(number: u32) -> SeriesKey {
    let (host, rest) = (format!("h{number}"), format!("r{}", number % 3));
    let mut tags = [("host", host.as_str()), ("rest", rest.as_str())];
    SeriesKey::new("m", &mut tags, TagCharset::Utf8).unwrap()
}

fn resolve(registry: &Registry, namespace: NamespaceId, number: u32) -> SeriesRef {
    registry.resolve(namespace, &[key(number)])[0].clone().unwrap()
}

fn rule(generations_from: u64, idle_min: usize) -> IdleRule {
    IdleRule { generations_from, idle_min }
}

fn evict(registry: &Registry, generations_from: u64) -> usize {
    let prepared = registry.prepare_eviction(rule(generations_from, 1));
    prepared.map_or(0, |prepared| prepared.finish(registry, || {}).left)
}

#[derive(Debug, Clone)]
enum Step {
    /// Resolves and perhaps writes some neighbouring series.
    Use {
        namespace: u32,
        from: u32,
        count: u32,
        writes: bool,
    },
    Seal,
    /// Evicts; between its two parts series are registered and written, or a namespace is dropped.
    Evict {
        idle_generations: u64,
        meanwhile: Option<(u32, u32)>,
        drops: Option<u32>,
    },
    Drop(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let namespace = 0u32..3;
    prop_oneof![
        4 => (namespace.clone(), 0u32..6000, 1u32..3000, any::<bool>())
            .prop_map(|(namespace, from, count, writes)| Step::Use { namespace, from, count, writes }),
        3 => Just(Step::Seal),
        3 => (1u64..3, prop::option::of((0u32..6000, 1u32..3000)), prop::option::of(namespace.clone()))
            .prop_map(|(idle_generations, meanwhile, drops)| {
                Step::Evict { idle_generations, meanwhile, drops: drops.filter(|drops| *drops == 0) }
            }),
        1 => namespace.prop_map(Step::Drop),
    ]
}

/// What is registered, with the number and the last generation of each series.
#[derive(Default)]
struct Model {
    series: BTreeMap<(u32, u32), (SeriesRef, u64)>,
    generation: u64,
}

impl Model {
    fn take(
        &mut self,
        registry: &Registry,
        namespace: u32,
        numbers: std::ops::Range<u32>,
        writes: bool,
    ) {
        for number in numbers {
            let given = resolve(registry, NamespaceId(namespace), number);
            let new = (given, self.generation);
            let known = self.series.entry((namespace, number)).or_insert(new);
            assert_eq!(known.0, given, "a series keeps its number until it is evicted");
            if writes {
                known.1 = self.generation;
                registry.table().mark_logged(given, self.generation);
            }
        }
    }

    fn drop_namespace(&mut self, registry: &Registry, namespace: u32) {
        registry.drop_namespace(NamespaceId(namespace));
        self.series.retain(|(of, _), _| *of != namespace);
    }

    fn check(&self, registry: &Registry) {
        let table = registry.table();
        assert_eq!(table.len(), self.series.len());
        for namespace in 0..3 {
            let of_it = self.series.range((namespace, 0)..(namespace + 1, 0));
            let mut expected: Vec<SeriesRef> =
                of_it.clone().map(|(_, (given, _))| *given).collect();
            expected.sort_unstable();
            let head = table.head(NamespaceId(namespace));
            assert_eq!(
                head.matching(None, &TagFilter::True, &CancelToken::new()).unwrap(),
                expected
            );
            for ((_, number), (given, _)) in of_it.step_by(97) {
                let host = TagFilter::tag("host", MatchOp::Eq, format!("h{number}"));
                assert_eq!(head.matching(None, &host, &CancelToken::new()).unwrap(), [*given]);
                assert_eq!(table.key(*given), Some((NamespaceId(namespace), key(*number))));
                assert_eq!(table.hash(*given), table.hash_of(&key(*number)));
                assert_eq!(
                    registry.known(NamespaceId(namespace), &[key(*number)]),
                    Some(vec![*given])
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn evictions_are_as_the_model_says(
        steps in prop::collection::vec(step(), 1..25), at_the_end in any::<bool>(),
    ) {
        // proves: I5
        let registry = Registry::new(HashKey([1; 16]), usize::MAX);
        if at_the_end {
            // Numbers begin again at 0, and those that are taken then are left out.
            registry.table().begin_at(BLOCKS_MAX - 2);
        }
        let mut model = Model { generation: 1, ..Model::default() };
        registry.begin_generation(1);
        let mut old_tables = Vec::new();
        for step in steps {
            match step {
                Step::Use { namespace, from, count, writes } => {
                    model.take(&registry, namespace, from..from + count, writes);
                }
                Step::Seal => {
                    model.generation += 1;
                    registry.begin_generation(model.generation);
                }
                Step::Drop(namespace) => model.drop_namespace(&registry, namespace),
                Step::Evict { idle_generations, meanwhile, drops } => {
                    let from = (model.generation + 1).saturating_sub(idle_generations);
                    let Some(prepared) = registry.prepare_eviction(rule(from, 1)) else { continue };
                    let series: Vec<_> = model.series.clone().into_iter().collect();
                    old_tables.push((registry.table(), series));
                    if let Some((first, count)) = meanwhile {
                        model.take(&registry, 1, first..first + count, true);
                    }
                    if let Some(namespace) = drops {
                        model.drop_namespace(&registry, namespace);
                    }
                    let mut ended = false;
                    prepared.finish(&registry, || ended = true);
                    prop_assert!(ended);
                    model.series.retain(|_, (_, last)| *last >= from);
                }
            }
            model.check(&registry);
        }
        // Whoever holds an old table finds everything in it.
        for (table, series) in old_tables {
            for ((namespace, number), (given, _)) in series.into_iter().step_by(31) {
                prop_assert_eq!(table.key(given), Some((NamespaceId(namespace), key(number))));
            }
        }
    }
}

#[test]
fn few_idle_series_stay() {
    let registry = Registry::new(HashKey([1; 16]), usize::MAX);
    registry.begin_generation(1);
    (0..4096).for_each(|number| _ = resolve(&registry, NamespaceId(1), number));
    registry.begin_generation(2);
    (4096..8192).for_each(|number| _ = resolve(&registry, NamespaceId(1), number));
    assert!(registry.prepare_eviction(rule(2, 1)).is_none(), "half of them");
    assert!(registry.prepare_eviction(rule(3, 10_000)).is_none(), "fewer than the least");
    assert_eq!(evict(&registry, 3), 8192);
    assert_eq!(registry.len(), 0);
    assert_eq!(resolve(&registry, NamespaceId(1), 0), SeriesRef(8192), "numbers go on");
}

/// The engine's protocol in small: writers resolve in an epoch and write under the append lock in that epoch.
#[test]
fn threads_that_resolve_and_write_never_meet_another_series() {
    // proves: I5
    const ROUNDS: u32 = 60;
    let registry = Registry::new(HashKey([1; 16]), usize::MAX);
    registry.begin_generation(1);
    let (epoch, generation) = (AtomicU64::new(1), AtomicU64::new(1));
    let (append, done) = (Mutex::new(()), AtomicBool::new(false));
    let evicted = AtomicU64::new(0);
    let write = |keys: &[SeriesKey]| {
        loop {
            let of = epoch.load(Ordering::Acquire);
            let given: Vec<SeriesRef> =
                registry.resolve(NamespaceId(1), keys).into_iter().map(Result::unwrap).collect();
            let _guard = append.lock();
            if epoch.load(Ordering::Relaxed) != of {
                continue;
            }
            let table = registry.table();
            for (number, key) in given.iter().zip(keys) {
                let (_, found) = table.key(*number).expect("a number of this epoch has a series");
                assert_eq!(found, *key);
                table.mark_logged(*number, generation.load(Ordering::Relaxed));
            }
            return;
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..3u32 {
            let write = &write;
            let done = &done;
            scope.spawn(move || {
                let mut round = 0;
                while !done.load(Ordering::Relaxed) {
                    // Some of its own, ever new ones, and some that all threads write.
                    let own = thread * 1_000_000 + round % 500 * 700;
                    let keys: Vec<SeriesKey> = (own..own + 700).chain(0..50).map(key).collect();
                    write(&keys);
                    round += 1;
                }
            });
        }
        for _ in 0..ROUNDS {
            let open = generation.load(Ordering::Relaxed);
            let prepared = registry.prepare_eviction(rule(open, 1));
            {
                let _guard = append.lock();
                generation.store(open + 1, Ordering::Relaxed);
                registry.begin_generation(open + 1);
                if let Some(prepared) = prepared {
                    let end = || _ = epoch.fetch_add(1, Ordering::Release);
                    evicted
                        .fetch_add(prepared.finish(&registry, end).left as u64, Ordering::Relaxed);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(evicted.into_inner() > 0, "nothing was evicted");
}

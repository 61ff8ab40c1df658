//! What clients say about metrics (type, help, unit): a bounded store of it, in memory.
//!
//! It is a help for people who look at metrics, and no data: it is not logged, it is gone with the process, and
//! senders repeat it. When it is full, what was not repeated for the longest time goes: entries are in a young
//! and an old half, one that is repeated becomes young, and when the young half is full the old one is dropped.

use std::sync::{PoisonError, RwLock};

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};
use tsdb_core::NamespaceId;

use crate::limits;

/// Type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Not said.
    #[default]
    Unknown,
    /// Only grows, and begins anew at 0.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by buckets.
    Histogram,
    /// Counts by buckets that go up and down.
    GaugeHistogram,
    /// Quantiles.
    Summary,
    /// Always 1; its labels say something.
    Info,
    /// One of several states.
    StateSet,
}

impl MetricType {
    /// The type with the number that Prometheus' messages give it.
    pub fn of_number(number: u64) -> MetricType {
        match number {
            1 => MetricType::Counter,
            2 => MetricType::Gauge,
            3 => MetricType::Histogram,
            4 => MetricType::GaugeHistogram,
            5 => MetricType::Summary,
            6 => MetricType::Info,
            7 => MetricType::StateSet,
            _ => MetricType::Unknown,
        }
    }

    /// Its name in Prometheus' API.
    pub fn name(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }

    /// The metric that a series of this type belongs to: a histogram `m` has the series `m_bucket`, `m_sum`
    /// and `m_count`.
    pub fn family(self, series: &str) -> &str {
        let suffixes: &[&str] = match self {
            MetricType::Histogram | MetricType::Summary => &["_bucket", "_sum", "_count"],
            MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
            _ => &[],
        };
        suffixes.iter().find_map(|suffix| series.strip_suffix(suffix)).unwrap_or(series)
    }
}

/// What is said about a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Its type.
    pub kind: MetricType,
    /// What it means.
    pub help: &'a str,
    /// Its unit.
    pub unit: &'a str,
}

/// What is known about a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricMetadata {
    /// Name of the metric.
    pub metric: Box<str>,
    /// Its type.
    pub kind: MetricType,
    /// What it means.
    pub help: Box<str>,
    /// Its unit.
    pub unit: Box<str>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    namespace: NamespaceId,
    metric: Box<str>,
}

#[derive(Hash)]
struct KeyRef<'a> {
    namespace: NamespaceId,
    metric: &'a str,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.namespace == key.namespace && *self.metric == *key.metric
    }
}

#[derive(Debug)]
struct Value {
    kind: MetricType,
    help: Box<str>,
    unit: Box<str>,
}

impl Value {
    fn says(&self, said: &Metadata<'_>) -> bool {
        self.kind == said.kind && *self.help == *said.help && *self.unit == *said.unit
    }
}

/// Memory of an entry beside its texts: the entry, and its place in a table that is half empty at worst.
const ENTRY_BYTES: usize = 2 * (size_of::<Key>() + size_of::<Value>() + 1);

type Half = HashMap<Key, Value, FixedState>;

#[derive(Debug)]
struct Halves {
    young: Half,
    old: Half,
    young_bytes: usize,
}

/// The store. Calls may come from any number of threads.
#[derive(Debug)]
pub struct MetadataStore {
    halves: RwLock<Halves>,
    half_bytes_max: usize,
    seed: u64,
}

impl MetadataStore {
    /// An empty store of at most [`limits::METADATA_BYTES_MAX`]. `seed` must not be known to clients, who
    /// could choose names that collide.
    pub fn new(seed: u64) -> MetadataStore {
        MetadataStore::with_bytes(limits::METADATA_BYTES_MAX, seed)
    }

    fn with_bytes(bytes_max: usize, seed: u64) -> MetadataStore {
        let half = || Half::with_hasher(FixedState::with_seed(seed));
        let halves = Halves { young: half(), old: half(), young_bytes: 0 };
        MetadataStore { halves: RwLock::new(halves), half_bytes_max: bytes_max / 2, seed }
    }

    /// Takes note of what is said about a metric. Names that no series can have are passed over; long texts
    /// are cut.
    pub fn note(&self, namespace: NamespaceId, metric: &str, said: Metadata<'_>) {
        if metric.is_empty() || metric.len() > tsdb_core::limits::NAME_BYTES_MAX {
            return;
        }
        let said = Metadata { help: cut(said.help), unit: cut(said.unit), ..said };
        let key = KeyRef { namespace, metric };
        {
            let halves = self.halves.read().unwrap_or_else(PoisonError::into_inner);
            if halves.young.get(&key).is_some_and(|value| value.says(&said)) {
                return;
            }
        }
        let mut halves = self.halves.write().unwrap_or_else(PoisonError::into_inner);
        halves.old.remove(&key);
        if let Some(value) = halves.young.remove(&key) {
            halves.young_bytes -= bytes_of(metric, &value.help, &value.unit);
        }
        let bytes = bytes_of(metric, said.help, said.unit);
        if halves.young_bytes + bytes > self.half_bytes_max {
            let empty = Half::with_hasher(FixedState::with_seed(self.seed));
            halves.old = std::mem::replace(&mut halves.young, empty);
            halves.young_bytes = 0;
        }
        halves.young_bytes += bytes;
        let value = Value { kind: said.kind, help: said.help.into(), unit: said.unit.into() };
        halves.young.insert(Key { namespace, metric: metric.into() }, value);
    }

    /// What is known about the metrics of a namespace, or about `metric` alone, by name.
    pub fn list(&self, namespace: NamespaceId, metric: Option<&str>) -> Vec<MetricMetadata> {
        let halves = self.halves.read().unwrap_or_else(PoisonError::into_inner);
        let all = halves.young.iter().chain(&halves.old);
        let wanted = all.filter(|(key, _)| {
            key.namespace == namespace && metric.is_none_or(|metric| *metric == *key.metric)
        });
        let mut list: Vec<MetricMetadata> = wanted
            .map(|(key, value)| MetricMetadata {
                metric: key.metric.clone(),
                kind: value.kind,
                help: value.help.clone(),
                unit: value.unit.clone(),
            })
            .collect();
        list.sort_unstable_by(|one, other| one.metric.cmp(&other.metric));
        list
    }
}

fn bytes_of(metric: &str, help: &str, unit: &str) -> usize {
    ENTRY_BYTES + metric.len() + help.len() + unit.len()
}

/// The beginning of a text, up to [`limits::METADATA_TEXT_BYTES_MAX`].
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(limits::METADATA_TEXT_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(help: &str) -> Metadata<'_> {
        Metadata { kind: MetricType::Counter, help, unit: "" }
    }

    fn helps(store: &MetadataStore, namespace: u32) -> Vec<String> {
        let list = store.list(NamespaceId(namespace), None);
        list.into_iter().map(|known| format!("{}: {}", known.metric, known.help)).collect()
    }

    #[test]
    fn the_last_word_counts_in_each_namespace() {
        let store = MetadataStore::new(1);
        for (namespace, metric, help) in
            [(1, "b", "first"), (1, "a", "x"), (2, "b", "other"), (1, "b", "last"), (1, "", "no")]
        {
            store.note(NamespaceId(namespace), metric, said(help));
        }
        assert_eq!(helps(&store, 1), ["a: x", "b: last"]);
        assert_eq!(helps(&store, 2), ["b: other"]);
        assert_eq!(helps(&store, 3), Vec::<String>::new());
        let one = store.list(NamespaceId(1), Some("b"));
        assert_eq!(one.len(), 1);
        assert_eq!(one.first().unwrap().kind.name(), "counter");
    }

    #[test]
    fn what_is_repeated_stays_and_memory_is_bounded() {
        let bytes = 40 * bytes_of("m000", "help", "");
        let store = MetadataStore::with_bytes(bytes, 1);
        for n in 0..1000 {
            store.note(NamespaceId(1), "stays", said("help"));
            store.note(NamespaceId(1), &format!("m{n:03}"), said("help"));
            let known = store.list(NamespaceId(1), None).len();
            assert!(known <= 40 && known >= 20.min(n), "{known} after {n}");
        }
        assert!(helps(&store, 1).contains(&"stays: help".to_owned()));
        assert!(helps(&store, 1).contains(&"m999: help".to_owned()));
        assert!(!helps(&store, 1).contains(&"m900: help".to_owned()));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let store = MetadataStore::new(1);
        let long = "ä".repeat(1000);
        store.note(NamespaceId(1), "m", said(&long));
        store.note(NamespaceId(1), &long, said("name"));
        let list = store.list(NamespaceId(1), None);
        assert_eq!(list.len(), 1);
        assert_eq!(&*list.first().unwrap().help, "ä".repeat(512));
    }

    #[test]
    fn series_of_histograms_belong_to_one_metric() {
        for (kind, series, family) in [
            (MetricType::Histogram, "m_bucket", "m"),
            (MetricType::Summary, "m_sum", "m"),
            (MetricType::Summary, "m", "m"),
            (MetricType::GaugeHistogram, "m_gcount", "m"),
            (MetricType::Counter, "m_count", "m_count"),
            (MetricType::Unknown, "m_sum", "m_sum"),
        ] {
            assert_eq!(kind.family(series), family, "{series}");
        }
    }
}

//! Conditions on tags to series, over 100 000 series in the shape of TSBS cpu-only: in the registry's head
//! and in the section of a run. And keys to numbers, known and new ones.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tsdb_core::hash::HashKey;
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::{CancelToken, NamespaceId, SeriesKey, TagCharset};
use tsdb_index::{Registry, Section, SectionWriter};

const SERIES: u32 = 100_000;

/// Keys that are resolved at once.
const KEYS: u32 = 1000;

const NAMESPACE: NamespaceId = NamespaceId(1);

/// Nine regions of three data centres, a hundred racks, twenty services.
fn key(number: u32) -> SeriesKey {
    // Neighbours in number differ in all tags, as hosts that come and go do.
    let mixed = number.wrapping_mul(0x9e37_79b1) >> 8;
    let (region, rack, service) = (mixed % 9, mixed % 100, mixed / 100 % 20);
    let host = format!("host_{number}");
    let (region, zone) = (format!("region-{region}"), format!("region-{region}{}", mixed % 3));
    let (rack, service) = (rack.to_string(), service.to_string());
    let mut tags = [
        ("hostname", host.as_str()),
        ("region", region.as_str()),
        ("datacenter", zone.as_str()),
        ("rack", rack.as_str()),
        ("service", service.as_str()),
    ];
    SeriesKey::new("cpu", &mut tags, TagCharset::Utf8).unwrap()
}

fn registry() -> Registry {
    Registry::new(HashKey([7; 16]), usize::MAX)
}

/// Conditions, from one series to all but a ninth.
fn filters() -> Vec<(&'static str, TagFilter)> {
    let tag = |key: &str, op, value: &str| TagFilter::tag(key, op, value);
    vec![
        ("equal_one", tag("hostname", MatchOp::Eq, "host_4242")),
        ("equal_ninth", tag("region", MatchOp::Eq, "region-3")),
        (
            "and",
            TagFilter::and([
                tag("region", MatchOp::Eq, "region-3"),
                tag("service", MatchOp::Eq, "7"),
                tag("rack", MatchOp::Ne, "12"),
            ]),
        ),
        ("not_equal", tag("region", MatchOp::Ne, "region-3")),
        ("regex_literals", tag("hostname", MatchOp::Re, "^(host_17|host_4242|host_99999)$")),
        ("regex_prefix", tag("hostname", MatchOp::Re, "^host_42[0-9]+$")),
        ("regex_any", tag("hostname", MatchOp::Re, "7$")),
    ]
}

fn matching(c: &mut Criterion) {
    let measurements = [Arc::from("cpu")];
    let mut keys: Vec<SeriesKey> = (0..SERIES).map(key).collect();
    let registry = registry();
    registry.resolve(NAMESPACE, &keys);
    let head = registry.head(NAMESPACE);
    keys.sort_unstable();
    let mut writer = SectionWriter::new();
    keys.iter().for_each(|key| writer.add(key, 0).unwrap());
    let section = Section::open(&writer.finish().unwrap()).unwrap();

    let mut group = c.benchmark_group("head");
    for (name, filter) in filters() {
        let find = || head.matching(Some(&measurements), &filter, &CancelToken::new()).unwrap();
        assert!(!find().is_empty(), "{name}");
        group.bench_function(name, |b| b.iter(find));
    }
    group.finish();
    let mut group = c.benchmark_group("section");
    for (name, filter) in filters() {
        let find = || section.matching(Some(&measurements), &filter, &CancelToken::new()).unwrap();
        assert!(!find().is_empty(), "{name}");
        group.bench_function(name, |b| b.iter(find));
    }
    group.finish();
}

fn resolve(c: &mut Criterion) {
    let keys: Vec<SeriesKey> = (0..KEYS).map(key).collect();
    let known = registry();
    known.resolve(NAMESPACE, &keys);
    let mut group = c.benchmark_group("resolve");
    group.throughput(Throughput::Elements(u64::from(KEYS)));
    group.bench_function("known", |b| b.iter(|| known.resolve(NAMESPACE, &keys)));
    group.bench_function("new", |b| {
        b.iter_batched_ref(
            registry,
            |empty| empty.resolve(NAMESPACE, &keys),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, matching, resolve);
criterion_main!(benches);

//! The queries of TSBS cpu-only from text to a checked tree. Nothing is planned or run.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tsdb_ql::{check, parse};

const RANGE: &str =
    "time >= '2016-01-01T02:16:22.646325Z' AND time < '2016-01-01T14:16:22.646325Z'";

const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// `function(a), function(b), …` of the first `count` fields.
fn calls(function: &str, count: usize) -> String {
    let calls: Vec<String> =
        FIELDS.iter().take(count).map(|field| format!("{function}({field})")).collect();
    calls.join(", ")
}

/// `(hostname = 'host_0' or …)` of `count` hosts.
fn hosts(count: usize) -> String {
    let hosts: Vec<String> = (0..count).map(|n| format!("hostname = 'host_{}'", n * 37)).collect();
    format!("({})", hosts.join(" or "))
}

/// As the generator of TSBS writes them for InfluxDB, by its names.
fn queries() -> Vec<(&'static str, String)> {
    let single = |fields, count| {
        let (calls, hosts) = (calls("max", fields), hosts(count));
        format!("SELECT {calls} from cpu where {hosts} and {RANGE} group by time(1m)")
    };
    let double = |fields| {
        let calls = calls("mean", fields);
        format!("SELECT {calls} from cpu where {RANGE} group by time(1h),hostname")
    };
    vec![
        ("single-groupby-1-1-1", single(1, 1)),
        ("single-groupby-5-8-1", single(5, 8)),
        ("cpu-max-all-8", single(10, 8)),
        ("double-groupby-1", double(1)),
        ("double-groupby-all", double(10)),
        ("high-cpu-all", format!("SELECT * from cpu where usage_user > 90.0 and {RANGE}")),
        (
            "groupby-orderby-limit",
            "SELECT max(usage_user) from cpu WHERE time < '2016-01-01T14:16:22.646325Z' group by \
             time(1m) order by time desc limit 5"
                .to_owned(),
        ),
        (
            "lastpoint",
            "SELECT * from \"cpu\" group by \"hostname\" order by \"time\" desc limit 1".to_owned(),
        ),
    ]
}

fn checked(text: &str) -> usize {
    let statements = parse(text).unwrap();
    statements.iter().for_each(|statement| check(statement).unwrap());
    statements.len()
}

fn tsbs(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, text) in queries() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| checked(black_box(&text))));
    }
    group.finish();
}

criterion_group!(benches, tsbs);
criterion_main!(benches);

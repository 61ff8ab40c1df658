//! Queries in the manner of TSBS cpu-only, from the tree to the answer, over a store that costs next to
//! nothing: planning, filters, windows, groups, the tables of the answer. Parsing is timed in `tsdb-ql`,
//! reading in `tsdb-lsm`.

#![expect(clippy::unwrap_used, reason = "a bench reports by panicking")]

mod synthetic;

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synthetic::{STEP, Synthetic};
use tsdb_exec::{Executor, QueryContext, QueryLimits};

const HOSTS: usize = 1000;

/// Hosts beside which one is asked for.
const HOSTS_FEW: usize = 8;

/// Rows of each host: two hours.
const ROWS: usize = 720;

/// A query with what is known about it.
struct Query {
    name: &'static str,
    text: String,
    /// Hosts in the store. Few for a query about one, since this store finds a host by trying all.
    hosts: usize,
    /// Rows of the answer.
    rows: usize,
    /// Values that are read.
    samples: usize,
}

fn queries() -> Vec<Query> {
    let end = i64::try_from(ROWS).unwrap() * STEP;
    let range = format!("time >= 0 AND time < {end}");
    let query = |name, hosts, rows, samples, text| Query { name, text, hosts, rows, samples };
    vec![
        query(
            "mean_by_host_and_hour",
            HOSTS,
            HOSTS * 2,
            HOSTS * ROWS,
            format!("SELECT mean(user) FROM cpu WHERE {range} GROUP BY time(1h), hostname"),
        ),
        query(
            "mean_of_five_by_host_and_hour",
            HOSTS,
            HOSTS * 2,
            HOSTS * ROWS * 5,
            format!(
                "SELECT mean(user), mean(system), mean(idle), mean(nice), mean(iowait) FROM cpu \
                 WHERE {range} GROUP BY time(1h), hostname"
            ),
        ),
        query(
            "max_by_minute",
            HOSTS,
            ROWS / 6,
            HOSTS * ROWS,
            format!("SELECT max(user) FROM cpu WHERE {range} GROUP BY time(1m)"),
        ),
        query(
            "count_above",
            HOSTS,
            1,
            HOSTS * ROWS,
            format!("SELECT count(user) FROM cpu WHERE user > 90 AND {range}"),
        ),
        query(
            "max_by_minute_of_one_host",
            HOSTS_FEW,
            ROWS / 6,
            ROWS,
            format!(
                "SELECT max(user) FROM cpu WHERE hostname = 'host_3' AND {range} GROUP BY time(1m)"
            ),
        ),
        query(
            "rows_of_one_host",
            HOSTS_FEW,
            ROWS,
            ROWS * 5,
            format!("SELECT * FROM cpu WHERE hostname = 'host_3' AND {range}"),
        ),
    ]
}

fn query(c: &mut Criterion) {
    // One thread, so that the figures are those of a core.
    let limits = QueryLimits { parallel_samples_min: u64::MAX, ..QueryLimits::default() };
    let context = QueryContext { database: Some("bench"), ..QueryContext::new(0) };
    let mut group = c.benchmark_group("query");
    for query in queries() {
        let executor = Executor::new(Arc::new(Synthetic::new(query.hosts, ROWS)), limits);
        let statements = tsdb_ql::parse(&query.text).unwrap();
        let run = || {
            let answers = statements.iter().map(|s| executor.execute(s, &context).unwrap());
            answers.map(|answer| answer.rows()).sum::<usize>()
        };
        assert_eq!(run(), query.rows, "{}", query.name);
        group.throughput(Throughput::Elements(query.samples as u64));
        group.bench_function(query.name, |b| b.iter(run));
    }
    group.finish();
}

criterion_group!(benches, query);
criterion_main!(benches);

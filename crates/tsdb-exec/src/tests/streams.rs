//! Functions along points and of several points: against a naive evaluation, on one thread and many, and within their
//! memory.

use std::fmt::Write as _;
use std::sync::Arc;

use super::decorated::Decorated;
use super::oracle::{Point, any_points, stored};
use super::support::{DATABASE, answer_with, context, empty_store, load};
use crate::{QueryContext, QueryLimits, QueryMemory};
use proptest::prelude::*;
use tsdb_core::{MemoryBudget, MemoryStore, Pool};

fn store_of(points: &[Point]) -> Arc<MemoryStore> {
    let store = empty_store();
    load(&*store, DATABASE, None, &stored(points));
    store
}

/// The answer on one thread, which must be that on many, and over an engine that answers with summaries where it may.
fn answer(store: &Arc<MemoryStore>, query: &str) -> String {
    let ask = |summarise: bool, parallel_samples_min: u64| {
        let store = Decorated::new(Arc::clone(store), summarise);
        let limits = QueryLimits { parallel_samples_min, ..QueryLimits::default() };
        answer_with(store as _, query, &context(), limits)
    };
    let alone = ask(false, u64::MAX);
    assert_eq!(alone, ask(false, 1), "{query}: on many threads");
    assert_eq!(alone, ask(true, 20), "{query}: with summaries");
    alone
}

/// Values of `f` with their times and hosts, in order of time; of equal times in the order of hosts.
fn values(points: &[Point]) -> Vec<(i64, f64, &str)> {
    let found = points.iter().filter_map(|p| Some((p.time, p.values[0]?, p.host.as_str())));
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(time, _, host)| (*time, *host));
    found
}

fn table(name: &str, rows: impl IntoIterator<Item = (i64, f64)>) -> String {
    let mut text = String::new();
    for (time, value) in rows {
        writeln!(text, "{time} {value}").unwrap();
    }
    if text.is_empty() { text } else { format!("# m\ntime {name}\n{text}") }
}

const ALONG: [&str; 8] = [
    "difference(X)",
    "cumulative_sum(X)",
    "moving_average(X, 3)",
    "elapsed(X, 7ns)",
    "exponential_moving_average(X, 3, 1, 'simple')",
    "kaufmans_adaptive_moving_average(X, 2)",
    "chande_momentum_oscillator(X, 3)",
    "abs(derivative(X, 10ns))",
];

const INSIDE: [&str; 6] =
    ["mean(f)", "count(f)", "mode(g)", "count(distinct(g))", "last(f::integer)", "distinct(f)"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn points_are_gone_along_one_by_one(points in any_points(), descending in any::<bool>()) {
        let store = store_of(&points);
        let mut all = values(&points);
        if descending {
            all.reverse();
        }
        let order = if descending { " ORDER BY time DESC" } else { "" };
        let mut sum = 0.0;
        let sums = all.iter().map(|(time, value, _)| { sum += value; (*time, sum) });
        let expected = table("cumulative_sum", sums);
        let query = format!("SELECT cumulative_sum(f) FROM m{order}");
        prop_assert_eq!(answer(&store, &query), expected);
        let means = all.windows(4).map(|w| (w[3].0, w.iter().map(|p| p.1).sum::<f64>() / 4.0));
        let expected = table("moving_average", means);
        let query = format!("SELECT moving_average(f, 4) FROM m{order}");
        prop_assert_eq!(answer(&store, &query), expected);
        let times = all.windows(2).map(|w| (w[1].0, ((w[1].0 - w[0].0) / 3) as f64));
        let expected = table("elapsed", times);
        let query = format!("SELECT elapsed(f, 3ns) FROM m{order}");
        prop_assert_eq!(answer(&store, &query), expected);
    }

    #[test]
    fn the_best_are_chosen(points in any_points(), count in 1..9_usize, by_host in any::<bool>()) {
        let store = store_of(&points);
        for (name, sign) in [("top", -1.0), ("bottom", 1.0)] {
            let better = |a: &(i64, f64, &str), b: &(i64, f64, &str)| {
                (a.1 * sign).total_cmp(&(b.1 * sign)).then((a.0, a.2).cmp(&(b.0, b.2)))
            };
            let mut all = values(&points);
            all.iter_mut().for_each(|point| point.1 += 0.0);
            all.sort_by(better);
            if by_host {
                let mut hosts = Vec::new();
                all.retain(|point| {
                    let is_new = !hosts.contains(&point.2);
                    hosts.push(point.2);
                    is_new
                });
            }
            all.truncate(count);
            all.sort_by(|a, b| a.0.cmp(&b.0).then(better(a, b)));
            let (tag, column) = if by_host { ("host, ", " host") } else { ("", "") };
            let mut expected = String::new();
            for (time, value, host) in &all {
                let host = if by_host { format!(" {host}") } else { String::new() };
                writeln!(expected, "{time} {value}{host}").unwrap();
            }
            if !expected.is_empty() {
                expected = format!("# m\ntime {name}{column}\n{expected}");
            }
            let query = format!("SELECT {name}(f, {tag}{count}) FROM m");
            prop_assert_eq!(answer(&store, &query), expected, "{}", query);
        }
    }

    #[test]
    fn samples_are_some_of_the_points(points in any_points(), count in 1..9_usize) {
        let store = store_of(&points);
        let all = values(&points);
        let is_point = |line: &&str| all.iter().any(|(t, v, _)| **line == format!("{t} {}", v + 0.0));
        for query in [
            format!("SELECT sample(f, {count}) FROM m"),
            format!("SELECT sample(f, {count}), cumulative_sum(h) FROM m"),
        ] {
            let text = answer(&store, &query);
            let lines: Vec<&str> =
                text.lines().skip(2).map(|line| line.trim_end_matches(" -")).collect();
            prop_assert_eq!(lines.len(), count.min(all.len()), "{}", query);
            prop_assert!(lines.iter().all(is_point), "{}", text);
            let time = |line: &&str| line.split(' ').next().unwrap().parse::<i64>().unwrap();
            prop_assert!(lines.is_sorted_by_key(time));
        }
    }

    #[test]
    fn threads_and_summaries_change_nothing(
        points in any_points(), along in 0..ALONG.len(), inside in 0..INSIDE.len(),
        start in 900..1000_i64, length in 1..150_i64, every in 5..60_i64, by_host in any::<bool>(),
        beside in any::<bool>(), descending in any::<bool>(),
        fill in prop::sample::select(vec!["null", "none", "previous", "2.5", "linear"]),
    ) {
        let store = store_of(&points);
        let (by, order) = (if by_host { ", host" } else { "" }, if descending { " ORDER BY time DESC" } else { "" });
        let beside = if beside { ", mean(g), integral(f, 10ns)" } else { "" };
        let call = ALONG[along].replace('X', INSIDE[inside]);
        let windowed = format!(
            "SELECT {call}{beside} FROM m WHERE time >= {start} AND time < {} \
             GROUP BY time({every}ns){by} fill({fill}){order}",
            start + length
        );
        prop_assert!(!answer(&store, &windowed).contains("error"), "{}", windowed);
        let call = ALONG[along].replace('X', "f");
        let by = if by_host { " GROUP BY host" } else { "" };
        let plain = format!("SELECT {call}, mode(g){beside} FROM m{by} fill(1){order} LIMIT 7");
        prop_assert!(!answer(&store, &plain).contains("error"), "{}", plain);
    }
}

#[test]
fn series_of_a_group_are_one_sequence() {
    let point = |host: &str, time, f| Point { host: host.into(), time, values: [f, None] };
    let store = store_of(&[
        point("a", 0, Some(1.0)),
        point("a", 10, Some(2.0)),
        point("b", 0, Some(5.0)),
        point("b", 10, Some(9.0)),
        point("b", 20, Some(9.0)),
    ]);
    // Of equal times changes take the first series, sums all.
    let expected = table("difference", [(10, 1.0), (20, 7.0)]);
    assert_eq!(answer(&store, "SELECT difference(f) FROM m"), expected);
    let sums = [(0, 1.0), (0, 6.0), (10, 8.0), (10, 17.0), (20, 26.0)];
    let expected = table("cumulative_sum", sums);
    assert_eq!(answer(&store, "SELECT cumulative_sum(f) FROM m"), expected);
}

/// As many rows with different values.
fn long_store(rows: i64) -> Arc<MemoryStore> {
    let point = |n: i64| Point { host: "a".into(), time: n, values: [Some(n as f64), Some(1.0)] };
    store_of(&(0..rows).map(point).collect::<Vec<_>>())
}

#[test]
fn what_does_not_fit_into_the_memory_ends_with_an_error_and_gives_it_back() {
    let store = long_store(60_000);
    let budget = MemoryBudget::default();
    let ask = |query: &str, bytes: usize| {
        let memory = QueryMemory::new(&budget, Some(bytes));
        let context = QueryContext { memory, ..context() };
        answer_with(Arc::clone(&store) as _, query, &context, QueryLimits::default())
    };
    let hungry = [
        "SELECT distinct(f) FROM m",
        "SELECT mode(f), count(distinct(f)) FROM m",
        "SELECT integral(f) FROM m",
        "SELECT cumulative_sum(f), mean(f) FROM m",
        "SELECT top(f, 100000) FROM m",
        "SELECT sample(f, 100000) FROM m",
        "SELECT holt_winters(mean(f), 100000000, 0) FROM m WHERE time >= 0 AND time < 100 GROUP BY time(10ns)",
        "SELECT holt_winters(mean(f), 1, 5000) FROM m WHERE time >= 0 AND time < 60000 GROUP BY time(5ns)",
    ];
    for query in hungry {
        let text = ask(query, 700_000);
        assert!(text.contains("error: query-memory exceeded"), "{query}: {text:.200}");
        assert_eq!(budget.used(Pool::Queries), 0, "{query}");
    }
    // What keeps only some rows, or few different values, takes no more for many rows.
    for query in [
        "SELECT distinct(g) FROM m",
        "SELECT mode(g), count(distinct(g)) FROM m",
        "SELECT top(f, 3) FROM m",
        "SELECT top(f, 3), g FROM m",
        "SELECT bottom(f, host, 3) FROM m",
        "SELECT sample(f, 3), g FROM m",
    ] {
        let text = ask(query, 700_000);
        assert!(!text.contains("memory"), "{query}: {text:.200}");
        assert_eq!(budget.used(Pool::Queries), 0, "{query}");
    }
}

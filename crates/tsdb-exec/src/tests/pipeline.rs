//! How queries are planned and run: what reaches the engine, what is limited, what is charged.

use std::collections::HashSet;
use std::sync::Arc;

use super::decorated::Decorated;
use super::support::{self, answer_with, context, store_of};
use crate::{
    Executor, QueryContext, QueryLimits, QueryMemory, ResultColumn, Series, StatementResult, Values,
};
use tsdb_core::catalogue::PolicySpec;
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::storage::{
    FieldPredicate, FieldSelection, GroupBy, Order, PredicateOp, ScanRequest, Want, Windows,
};
use tsdb_core::{
    Append, CatalogueChange, Error as CoreError, MemoryBudget, Pool, Storage, TimeRange,
};

const ROWS: &str = "
    cpu,host=a,dc=x usage=1,temp=50 10
    cpu,host=a,dc=x usage=95 20
    cpu,host=a,dc=x usage=3,temp=52 30
    cpu,host=b,dc=x usage=4 10
    cpu,host=b,dc=x usage=5 25
    cpu,host=c,dc=y temp=60 10
    mem,host=a free=7 10
";

/// What `query` asks the engine for, and its answer.
fn request_of(query: &str) -> (ScanRequest, String) {
    let store = Decorated::new(store_of(ROWS), false);
    let text = answer_with(Arc::clone(&store) as _, query, &context(), QueryLimits::default());
    (store.only_request(query), text)
}

fn names(request: &ScanRequest) -> Vec<&str> {
    match &request.fields {
        FieldSelection::Named(names) => names.iter().map(|name| &**name).collect(),
        FieldSelection::All => vec!["*"],
    }
}

#[test]
fn full_table_scans() {
    let (request, text) = request_of("SELECT * FROM cpu");
    assert_eq!((request.time, &request.filter), (TimeRange::all(), &TagFilter::True));
    assert_eq!(names(&request), ["temp", "usage"]);
    assert_eq!((request.want, request.limit_per_series), (Want::Rows, None));
    assert_eq!(text.lines().count(), 2 + 6, "every row of the measurement and no other: {text}");
    let (request, text) = request_of("SELECT count(usage) FROM cpu");
    assert_eq!(request.filter, TagFilter::True);
    assert_eq!(text, "# cpu\ntime count\n0 5\n");
}

#[test]
fn indexed_queries() {
    let (request, text) = request_of(
        "SELECT usage FROM cpu WHERE host = 'a' AND dc =~ /x|y/ AND time >= 20 AND time < 30",
    );
    let tags = TagFilter::And(vec![
        TagFilter::tag("host", MatchOp::Eq, "a"),
        TagFilter::tag("dc", MatchOp::Re, "x|y"),
    ]);
    assert_eq!((request.filter, request.time), (tags, TimeRange::new(20, 30)));
    assert_eq!(text, "# cpu\ntime usage\n20 95\n");
    // Of an OR with values, the index still gets what it can decide.
    let (request, text) = request_of(
        "SELECT usage FROM cpu WHERE (host = 'a' AND usage > 90) OR (host = 'b' AND usage < 5)",
    );
    let tags = TagFilter::Or(vec![
        TagFilter::tag("host", MatchOp::Eq, "a"),
        TagFilter::tag("host", MatchOp::Eq, "b"),
    ]);
    assert_eq!(request.filter, tags);
    assert_eq!(text, "# cpu\ntime usage\n10 4\n20 95\n");
    let (request, _) = request_of("SELECT mean(usage) FROM cpu GROUP BY dc, time(10ns)");
    assert_eq!(request.group_by, GroupBy::Tags(vec!["dc".into()]));
    assert_eq!(request.windows, Some(Windows { every: 10, offset: 0 }));
    assert_eq!(request.time.end, support::NOW_NS + 1);
}

#[test]
fn predicate_pushdown() {
    let predicate = |field: &str, op, value| FieldPredicate { field: field.into(), op, value };
    let (request, text) =
        request_of("SELECT count(usage) FROM cpu WHERE usage > 2 AND 55 >= temp AND host != 'c'");
    assert_eq!(
        request.predicates,
        [predicate("usage", PredicateOp::Gt, 2.0), predicate("temp", PredicateOp::Le, 55.0)]
    );
    assert_eq!(names(&request), ["usage", "temp"]);
    assert_eq!(request.want, Want::Rows, "a filter must see the rows");
    // The engine gives what it likes; the filter is applied again.
    assert_eq!(text, "# cpu\ntime count\n0 1\n");
    // Under an OR no single comparison has to hold, and != excludes nothing.
    for condition in ["usage > 2 OR temp > 55", "usage != 2", "usage > temp * 1"] {
        let (request, _) = request_of(&format!("SELECT usage FROM cpu WHERE {condition}"));
        assert_eq!(request.predicates, [], "{condition}");
    }
}

#[test]
fn limits_and_order_are_pushed_down_where_that_is_right() {
    let check = |query: &str, order: Order, limit: Option<u64>, want: Want| {
        let (request, _) = request_of(query);
        assert_eq!((request.order, request.limit_per_series), (order, limit), "{query}");
        assert_eq!(request.want, want, "{query}");
    };
    use Order::{Ascending, Descending};
    check("SELECT usage FROM cpu LIMIT 2 OFFSET 3", Ascending, Some(5), Want::Rows);
    check(
        "SELECT * FROM cpu GROUP BY host ORDER BY time DESC LIMIT 1",
        Descending,
        Some(1),
        Want::Rows,
    );
    check("SELECT usage FROM cpu WHERE temp > 1 LIMIT 2", Ascending, None, Want::Rows);
    check("SELECT last(usage) FROM cpu GROUP BY host", Descending, Some(1), Want::Rows);
    check("SELECT last(usage), host FROM cpu", Descending, Some(1), Want::Rows);
    check("SELECT first(usage) FROM cpu", Ascending, Some(1), Want::Rows);
    // The newest row with one of two fields need not have the other.
    check("SELECT last(usage), last(temp) FROM cpu", Ascending, None, Want::Summaries);
    check("SELECT last(usage), temp FROM cpu", Ascending, None, Want::Rows);
    check("SELECT last(usage) FROM cpu GROUP BY time(10ns)", Ascending, None, Want::Summaries);
    check("SELECT mean(usage), max(temp) FROM cpu", Ascending, None, Want::Summaries);
    // A maximum that stands alone has a time, which no summary knows.
    check("SELECT max(usage) FROM cpu", Ascending, None, Want::Rows);
    check("SELECT max(usage) FROM cpu GROUP BY time(10ns)", Ascending, None, Want::Summaries);
    check("SELECT spread(usage) FROM cpu", Ascending, None, Want::Summaries);
    // What needs every value, and what needs the row before the first one that is shown.
    for call in ["stddev", "var_pop", "rate", "increase", "median"] {
        check(&format!("SELECT mean(usage), {call}(usage) FROM cpu"), Ascending, None, Want::Rows);
    }
    check("SELECT derivative(usage) FROM cpu LIMIT 1", Ascending, None, Want::Rows);
    check(
        "SELECT derivative(usage) FROM cpu ORDER BY time DESC LIMIT 1",
        Ascending,
        None,
        Want::Rows,
    );
    // A summary of a window that is cut for one call and whole for the other is of no use.
    let windows = "FROM cpu WHERE time < 60 GROUP BY time(10ns)";
    let changes = |start: &str| {
        format!("SELECT mean(usage), derivative(mean(usage)) {windows}")
            .replace("WHERE", &format!("WHERE time >= {start} AND"))
    };
    check(&changes("20"), Ascending, None, Want::Summaries);
    check(&changes("25"), Ascending, None, Want::Rows);
    let alone = "SELECT derivative(mean(usage)) FROM cpu WHERE time >= 25 GROUP BY time(10ns)";
    check(alone, Ascending, None, Want::Summaries);
}

#[test]
fn changes_read_one_window_more() {
    let check = |query: &str, time: TimeRange| {
        let (request, _) = request_of(query);
        assert_eq!(request.time, time, "{query}");
    };
    let select = "FROM cpu WHERE time >= 25 AND time < 60 GROUP BY time(10ns)";
    check(&format!("SELECT mean(usage) {select}"), TimeRange::new(25, 60));
    check(&format!("SELECT difference(mean(usage)) {select}"), TimeRange::new(15, 60));
    check(&format!("SELECT difference(difference(mean(usage))) {select}"), TimeRange::new(5, 60));
    // The points of a field have no windows, and all of time has nothing before it.
    check(
        "SELECT difference(usage) FROM cpu WHERE time >= 25 AND time < 60",
        TimeRange::new(25, 60),
    );
    let (request, _) =
        request_of("SELECT difference(mean(usage)) FROM cpu WHERE time < 60 GROUP BY time(10ns)");
    assert_eq!(request.time, TimeRange::new(TimeRange::all().start, 60));
    // Read backwards the window before is the one behind.
    let (request, text) =
        request_of(&format!("SELECT difference(max(usage)) {select} ORDER BY time DESC LIMIT 1"));
    assert_eq!(request.time, TimeRange::new(25, 70));
    assert_eq!(text, "# cpu\ntime difference\n20 2\n");
}

#[test]
fn the_newest_windows_are_read_alone_when_they_are_full() {
    let query =
        "SELECT max(usage) FROM cpu WHERE time < 30 GROUP BY time(10ns) ORDER BY time DESC LIMIT ";
    let (request, text) = request_of(&format!("{query}2"));
    assert_eq!(request.time, TimeRange::new(10, 30));
    assert_eq!(text, "# cpu\ntime max\n20 95\n10 4\n");
    let (request, text) = request_of(&format!("{query}1 OFFSET 1"));
    assert_eq!(request.time, TimeRange::new(10, 30));
    assert_eq!(text, "# cpu\ntime max\n10 4\n");
    // There is no third window, which only the older rows can tell.
    let store = Decorated::new(store_of(ROWS), false);
    let text = answer_with(
        Arc::clone(&store) as _,
        &format!("{query}3"),
        &context(),
        QueryLimits::default(),
    );
    let times: Vec<TimeRange> = store.requests.lock().unwrap().iter().map(|r| r.time).collect();
    assert_eq!(times.last(), Some(&TimeRange::new(TimeRange::all().start, 30)));
    assert_eq!(text, "# cpu\ntime max\n20 95\n10 4\n");
}

#[test]
fn the_oldest_windows_are_read_alone_when_they_are_full_and_few() {
    let rows: Vec<support::Row> = (0..40_i32)
        .filter(|i| !(20..30).contains(i))
        .map(|i| support::row(&format!("m,host=h{} f={i} {}", i % 3, 105 + 5 * i)))
        .collect();
    let ask = |query: &str| {
        let store = support::empty_store();
        support::load(&*store, support::DATABASE, None, &rows);
        let store = Decorated::new(store, false);
        let text = answer_with(Arc::clone(&store) as _, query, &context(), QueryLimits::default());
        let times: Vec<TimeRange> = store.requests.lock().unwrap().iter().map(|r| r.time).collect();
        (times.last().copied().unwrap(), text)
    };
    let select = "SELECT max(f), count(f) FROM m";
    let (time, text) = ask(&format!("{select} GROUP BY time(10ns) LIMIT 2"));
    assert_eq!(time, TimeRange::new(105, 120));
    assert_eq!(text, "# m\ntime max count\n100 0 1\n110 2 2\n");
    let (time, text) =
        ask(&format!("{select} WHERE time >= 108 GROUP BY time(10ns, 3ns) LIMIT 1 OFFSET 1"));
    assert_eq!(time, TimeRange::new(108, 123));
    assert_eq!(text, "# m\ntime max count\n113 3 2\n");
    // Too much of it, an empty window, and one that only the rows behind it fill.
    let all = TimeRange::all().start;
    let (time, text) = ask(&format!("{select} WHERE time < 150 GROUP BY time(10ns) LIMIT 4"));
    assert_eq!(time, TimeRange::new(all, 150));
    assert_eq!(text.lines().count(), 6);
    let fill = "GROUP BY time(10ns) fill(linear) LIMIT 1 OFFSET 1";
    let (time, text) = ask(&format!("SELECT max(f) FROM m WHERE time >= 200 {fill}"));
    assert_eq!(time.start, 200);
    assert!(time.end > 300, "{time:?}");
    assert_eq!(text, "# m\ntime max\n210 21.2\n");
}

/// Rows come as they are wanted, with the tags of their series; whoever takes them can end it.
#[test]
fn rows_come_in_slices() {
    let rows: Vec<support::Row> = (0..20_i32)
        .map(|i| support::row(&format!("m,host=h{},dc=d{} f={i} {}", i % 3, i % 2, 100 - i / 2)))
        .collect();
    let store = support::empty_store();
    support::load(&*store, support::DATABASE, None, &rows);
    let limits = QueryLimits { parallel_samples_min: 1, ..QueryLimits::default() };
    for (query, slices) in [
        ("SELECT * FROM m", 7),
        ("SELECT * FROM m ORDER BY time DESC", 7),
        ("SELECT f, host FROM m WHERE f > 6 LIMIT 7 OFFSET 2", 3),
        ("SELECT f FROM m GROUP BY host", 8),
        ("SELECT f FROM m GROUP BY host ORDER BY time DESC", 8),
        ("SELECT f, dc FROM m GROUP BY host ORDER BY time DESC LIMIT 3 OFFSET 2", 3),
        ("SELECT f FROM m GROUP BY host SLIMIT 1 SOFFSET 1", 1),
        ("SELECT f FROM m, /^m$/ WHERE host = 'h0'", 3),
        ("SELECT f FROM m fill(previous)", 1),
        ("SELECT f FROM m SLIMIT 1", 1),
        ("SELECT f FROM m WHERE f > 99", 0),
        ("SELECT mean(f) FROM m GROUP BY dc", 2),
    ] {
        let statement = tsdb_ql::parse(query).unwrap().remove(0);
        let executor = Executor::new(Arc::clone(&store) as _, limits);
        let ask = |most: usize| {
            let (mut count, mut rows) = (0, 0);
            let result = executor.execute_in_slices(&statement, &context(), 3, &mut |slice| {
                count += 1;
                rows += slice.table.rows();
                if count > most { Err(tsdb_core::Error::Killed.into()) } else { Ok(()) }
            });
            (count, rows, result.is_ok())
        };
        let all = executor.execute(&statement, &context()).unwrap().rows();
        assert_eq!(ask(usize::MAX), (slices, all, true), "{query}");
        assert_eq!(ask(0).0, slices.min(1), "{query}");
        let sliced = support::answer_in_slices(Arc::clone(&store) as _, query, &context(), limits);
        let whole = answer_with(Arc::clone(&store) as _, query, &context(), limits);
        assert_eq!(sliced, whole, "{query}");
        let in_one_part = QueryLimits { parallel_samples_min: u64::MAX, ..limits };
        let alone = answer_with(Arc::clone(&store) as _, query, &context(), in_one_part);
        assert_eq!(alone, whole, "{query}");
    }
    let few = QueryLimits { rows_max: 10, ..limits };
    let refused = support::answer_in_slices(store as _, "SELECT * FROM m", &context(), few);
    assert!(refused.starts_with("error: "), "{refused}");
}

#[test]
fn answers_do_not_depend_on_the_number_of_threads() {
    // Sums of these depend on the order of additions in the last bits, without compensation in all.
    let rows: Vec<support::Row> = (0..4000_i32)
        .map(|i| {
            let value = f64::from(i % 97 - 48) * 10f64.powi(i % 31 - 15) / 3.0;
            support::row(&format!("m,host=h{},dc=d{} f={value} {i}", i % 40, i % 7))
        })
        .collect();
    let store = support::empty_store();
    support::load(&*store, support::DATABASE, None, &rows);
    let limits = QueryLimits { parallel_samples_min: 100, ..QueryLimits::default() };
    for query in [
        "SELECT sum(f), mean(f), max(f) FROM m",
        "SELECT sum(f), last(f) FROM m GROUP BY dc, time(500ns)",
        "SELECT max(f), host FROM m GROUP BY dc",
        "SELECT stddev(f), variance(f), spread(f) FROM m GROUP BY dc",
        "SELECT percentile(f, 90), median(f), approx_percentile(f, 90) FROM m",
        "SELECT rate(f, 100ns), increase(f) FROM m GROUP BY time(500ns)",
        "SELECT percentile(f, 90), host FROM m GROUP BY dc",
        "SELECT derivative(f, 10ns) FROM m GROUP BY dc",
        "SELECT derivative(mean(f), 10ns) FROM m WHERE time >= 700 GROUP BY time(500ns)",
        "SELECT * FROM m WHERE f > 1 ORDER BY time DESC",
    ] {
        let answer = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let store = Decorated::new(Arc::clone(&store), false);
            let text =
                pool.install(|| answer_with(Arc::clone(&store) as _, query, &context(), limits));
            assert!(store.only_request(query).parts > 1, "{query}");
            text
        };
        let alone = answer(1);
        assert!(alone.lines().count() > 2, "{query}: {alone}");
        for threads in [2, 4] {
            assert_eq!(answer(threads), alone, "{query}");
        }
    }
}

#[test]
fn names_are_looked_up_in_the_request_and_in_the_statement() {
    let store = store_of(ROWS);
    let policy = "CREATE RETENTION POLICY rp ON d DURATION 2h REPLICATION 1; CREATE DATABASE other";
    let ask = |query: &str, database: Option<&'static str>, policy: Option<&'static str>| {
        let context = QueryContext { database, policy, ..context() };
        answer_with(Arc::clone(&store) as _, query, &context, QueryLimits::default())
    };
    assert_eq!(ask(policy, None, None), "");
    support::load(&*store, "d", Some("rp"), &[support::row("cpu,host=z usage=42 10")]);
    let check = |query: &str, database, policy, expected: &str| {
        assert_eq!(ask(query, database, policy), expected, "{query} {database:?} {policy:?}");
    };
    let (rp, autogen) = ("# cpu\ntime usage\n10 42\n", "# cpu\ntime usage\n10 1\n");
    let select = "SELECT usage FROM cpu LIMIT 1";
    check(select, Some("d"), None, autogen);
    check(select, Some("d"), Some("rp"), rp);
    check(select, Some("d"), Some("nope"), "error: retention policy not found: nope\n");
    check(select, Some("other"), None, "");
    check(select, Some("nope"), None, "error: database not found: nope\n");
    check(select, None, None, "error: database name required\n");
    check(select, Some(""), None, "error: database name required\n");
    check("SELECT usage FROM rp.cpu", Some("d"), None, rp);
    check("SELECT usage FROM d.rp.cpu", None, None, rp);
    // A database that is named brings its own default policy.
    check("SELECT usage FROM d..cpu LIMIT 1", Some("other"), Some("rp"), autogen);
    // What there is in any policy is listed.
    let hosts = "# cpu\nkey value\nhost a\nhost b\nhost c\nhost z\n";
    check("SHOW TAG VALUES FROM cpu WITH KEY = host", Some("d"), None, hosts);
    let only = "# cpu\nkey value\nhost z\n";
    check("SHOW TAG VALUES ON d FROM rp.cpu WITH KEY = host", None, None, only);
    check("SHOW MEASUREMENTS", Some("nope"), None, "warning: database not found: nope\n");
    for query in ["SHOW MEASUREMENTS", "SHOW SERIES", "SHOW TAG KEYS", "SHOW FIELD KEYS"] {
        check(query, None, None, "error: database name required\n");
    }
    for query in ["SHOW SERIES", "SHOW FIELD KEYS", "DELETE FROM cpu", "DROP MEASUREMENT cpu"] {
        check(query, Some("nope"), None, "error: database not found: nope\n");
    }
    // Deleted is what there is in any policy, too.
    check("DELETE FROM cpu WHERE host = 'z'", Some("d"), None, "");
    check(select, Some("d"), Some("rp"), "");
}

fn error_of(query: &str, limits: QueryLimits, context: &QueryContext<'_>) -> CoreError {
    let executor = Executor::new(store_of(ROWS) as Arc<dyn Storage>, limits);
    let statements = tsdb_ql::parse(query).unwrap();
    let result = executor.execute(&statements[0], context);
    support::storage_error(&result).unwrap_or_else(|| panic!("{query}: {result:?}")).clone()
}

#[test]
fn limits_end_a_statement_and_say_which_one_it_was() {
    let tight = QueryLimits {
        series_max: 2,
        samples_max: 3,
        buckets_max: 4,
        rows_max: 2,
        estimate_max: u64::MAX,
        parallel_samples_min: 1,
    };
    let wide = QueryLimits::default();
    let check = |query: &str, limits: QueryLimits, expected: &str| match error_of(
        query,
        limits,
        &context(),
    ) {
        CoreError::LimitExceeded { limit, .. } => assert_eq!(limit, expected, "{query}"),
        other => panic!("{query}: {other}"),
    };
    let (series, samples) = (tight.series_max, tight.samples_max);
    check("SELECT usage FROM cpu", QueryLimits { series_max: series, ..wide }, "query-series");
    check(
        "SELECT sum(usage) FROM cpu",
        QueryLimits { samples_max: samples, ..wide },
        "query-samples",
    );
    let buckets = QueryLimits { buckets_max: tight.buckets_max, ..wide };
    check(
        "SELECT sum(usage) FROM cpu WHERE time < 60 GROUP BY time(10ns)",
        buckets,
        "query-buckets",
    );
    check("SELECT usage FROM cpu", QueryLimits { rows_max: tight.rows_max, ..wide }, "query-rows");
    check("SELECT sum(usage) FROM cpu", QueryLimits { series_max: 9, ..tight }, "query-samples");
    check("SHOW SERIES", tight, "query-rows");
}

#[test]
fn windows_behind_the_last_row_are_not_counted_where_they_have_no_rows() {
    let limits = QueryLimits { buckets_max: 4, ..QueryLimits::default() };
    let ask = |fill: &str| {
        let query =
            format!("SELECT sum(usage) FROM cpu WHERE time < 900 GROUP BY time(10ns) {fill}");
        answer_with(store_of(ROWS) as _, &query, &context(), limits)
    };
    assert_eq!(ask("fill(none)"), "# cpu\ntime sum\n10 5\n20 100\n30 3\n");
    assert!(ask("fill(null)").contains("query-buckets"), "{}", ask("fill(null)"));
}

#[test]
fn estimates_stand_only_where_nothing_else_is_asked_for() {
    let store = Decorated::estimating(store_of("a,h=1 f=1 1\na,h=2 f=1 1\nb,h=1 f=1 1"));
    let ask = |query: &str| {
        answer_with(Arc::clone(&store) as _, query, &context(), QueryLimits::default())
    };
    for (query, estimate) in [("SERIES", 3000), ("MEASUREMENT", 2000)] {
        let estimated = format!("# -\ncardinality estimation\n{estimate}\n");
        for on in ["", " ON d"] {
            assert_eq!(ask(&format!("SHOW {query} CARDINALITY{on}")), estimated);
        }
    }
    let counted = "# a\ncount\n2\n# b\ncount\n1\n";
    assert_eq!(ask("SHOW SERIES EXACT CARDINALITY"), counted);
    assert_eq!(ask("SHOW SERIES CARDINALITY FROM /./"), counted);
    assert_eq!(ask("SHOW SERIES CARDINALITY LIMIT 1"), counted);
    assert_eq!(ask("SHOW MEASUREMENT CARDINALITY WHERE h = '1'"), "# -\ncount\n2\n");
}

/// Of tags the engine is asked with FROM and pages too, and not where only the series tell.
#[test]
fn tags_are_estimated_unless_the_series_must_tell() {
    let store = Decorated::estimating(store_of("a,h=1 f=1 1\na,h=2 f=1 1\nb,h=1 f=1 1"));
    let options = PolicySpec { name: "p".into(), ..PolicySpec::default() };
    let change = CatalogueChange::CreatePolicy {
        database: "d".into(),
        policy: options,
        make_default: false,
    };
    store.change_catalogue(&change).unwrap().wait().unwrap();
    let ask = |query: &str| {
        answer_with(Arc::clone(&store) as _, query, &context(), QueryLimits::default())
    };
    let tables = |names: &[&str], count: u32| -> String {
        names.iter().map(|name| format!("# {name}\ncount\n{count}\n")).collect()
    };
    let all = ["a", "b", "c"];
    // Both policies are asked, unless FROM names one.
    assert_eq!(ask("SHOW TAG KEY CARDINALITY"), tables(&all, 2));
    assert_eq!(ask("SHOW TAG KEY CARDINALITY FROM p.a, p./[b]/"), tables(&["a", "b"], 1));
    let of_h = "SHOW TAG VALUES CARDINALITY";
    for (rest, names, count) in [
        ("WITH KEY = h", &all[..], 10),
        ("ON d WITH KEY IN (h, i, j)", &all, 20),
        ("WITH KEY !~ /h/ LIMIT 1", &all, 10),
        ("FROM c, b WITH KEY != h", &["b", "c"], 10),
        ("FROM d..a, /[b]/ WITH KEY = h", &["a", "b"], 10),
        ("WITH KEY = h SLIMIT 1 SOFFSET 1", &["b"], 10),
        ("WITH KEY = h LIMIT 1 OFFSET 1", &[], 0),
    ] {
        assert_eq!(ask(&format!("{of_h} {rest}")), tables(names, count), "{rest}");
    }
    let counted = "# a\ncount\n2\n# b\ncount\n1\n";
    assert_eq!(ask("SHOW TAG VALUES EXACT CARDINALITY WITH KEY = h"), counted);
    assert_eq!(ask(&format!("{of_h} WITH KEY = h WHERE h != ''")), counted);
    assert_eq!(ask(&format!("{of_h} WITH KEY = h GROUP BY x")).matches("count").count(), 2);
    assert_eq!(ask("SHOW TAG KEY EXACT CARDINALITY"), tables(&["a", "b"], 1));
}

#[test]
fn memory_is_charged_and_given_back() {
    let budget = MemoryBudget::default();
    let context = QueryContext { memory: QueryMemory::new(&budget, None), ..context() };
    let executor = Executor::new(store_of(ROWS) as Arc<dyn Storage>, QueryLimits::default());
    for query in [
        "SELECT * FROM cpu",
        "SELECT mean(usage) FROM cpu GROUP BY time(10ns)",
        "SELECT max(usage), host FROM cpu GROUP BY host",
        "SELECT percentile(usage, 50), approx_percentile(usage, 50) FROM cpu",
        "SELECT percentile(usage, 50), host FROM cpu",
        "SELECT difference(usage) FROM cpu",
        "SHOW SERIES",
        "SHOW TAG VALUES WITH KEY = host",
        "SHOW SERIES CARDINALITY GROUP BY host",
    ] {
        let answer = executor.execute(&tsdb_ql::parse(query).unwrap()[0], &context).unwrap();
        assert!(answer.rows() > 0 && budget.used(Pool::Queries) > 0, "{query}");
        drop(answer);
        assert_eq!(budget.used(Pool::Queries), 0, "{query}");
    }
    let tiny = MemoryBudget::with_limits([1000; 5]);
    let small = QueryContext { memory: QueryMemory::new(&tiny, None), ..context.clone() };
    let error = error_of("SELECT mean(usage) FROM cpu", QueryLimits::default(), &small);
    assert!(matches!(error, CoreError::OverBudget { pool: Pool::Queries, .. }), "{error}");
    assert_eq!(tiny.used(Pool::Queries), 0);
}

/// Bytes that an answer takes.
fn bytes_of(answer: &StatementResult) -> usize {
    let text = |text: Option<&Arc<str>>| text.map_or(0, |text| text.len());
    let values = |values: &Values| match values {
        Values::Floats(values, _) => values.capacity() * size_of::<f64>(),
        Values::Integers(values, _) => values.capacity() * size_of::<i64>(),
        Values::Booleans(values) => values.capacity(),
        Values::Strings(texts) => {
            let own: HashSet<*const u8> = texts.iter().flatten().map(|t| t.as_ptr()).collect();
            let longest = texts.iter().map(text).max().unwrap_or(0);
            texts.bytes() + own.len() * (longest + 16)
        }
    };
    let table = |series: &Series| {
        size_of::<Series>()
            + series.tags.capacity() * size_of::<(Arc<str>, Arc<str>)>()
            + series.times.as_ref().map_or(0, |times| times.capacity() * size_of::<i64>())
            + series.columns.capacity() * size_of::<ResultColumn>()
            + series.columns.iter().map(|column| values(&column.values)).sum::<usize>()
    };
    answer.series.iter().map(table).sum()
}

#[test]
fn answers_are_paid_for_in_whole() {
    let row = |i: usize| support::row(&format!("m{},host=h{} f={i} {i}", i % 3, i % 1000));
    let rows: Vec<support::Row> = (0..12_000).map(row).collect();
    let store = support::empty_store();
    support::load(&*store, support::DATABASE, None, &rows);
    let limits = QueryLimits { parallel_samples_min: 100, ..QueryLimits::default() };
    let executor = Executor::new(store, limits);
    for query in [
        "SELECT f FROM m0",
        "SELECT f, host FROM m1 ORDER BY time DESC",
        "SELECT f, host FROM /m/ GROUP BY host",
        "SELECT f FROM m1 WHERE f > 100 GROUP BY *",
        "SELECT difference(f) FROM m0 GROUP BY host",
        "SELECT mean(f), count(f), percentile(f, 90) FROM m2 GROUP BY *",
        "SELECT max(f), host FROM m2 GROUP BY *",
        "SELECT percentile(f, 50), host FROM m2 GROUP BY *",
        "SHOW SERIES",
        "SHOW TAG VALUES WITH KEY = host",
        "SHOW MEASUREMENTS",
        "SHOW FIELD KEYS",
        "SHOW SERIES CARDINALITY GROUP BY *",
        "SHOW TAG VALUES EXACT CARDINALITY WITH KEY = host GROUP BY host",
        "SHOW MEASUREMENT EXACT CARDINALITY GROUP BY *",
    ] {
        let budget = MemoryBudget::default();
        let context = QueryContext { memory: QueryMemory::new(&budget, None), ..context() };
        let answer = executor.execute(&tsdb_ql::parse(query).unwrap()[0], &context).unwrap();
        let (paid, bytes) = (budget.used(Pool::Queries), bytes_of(&answer));
        assert!(answer.rows() > 0 && paid >= bytes, "{query}: {paid} paid for {bytes}");
        assert!(paid < 4 * bytes + (256 << 10), "{query}: {paid} paid for {bytes}");
        drop(answer);
        assert_eq!(budget.used(Pool::Queries), 0, "{query}");
    }
}

#[test]
fn percentiles_charge_what_they_keep() {
    let rows: Vec<support::Row> =
        (0..30_000).map(|i| support::row(&format!("m,host=h{} f={i} {i}", i % 3))).collect();
    let store = support::empty_store();
    support::load(&*store, support::DATABASE, None, &rows);
    let budget = MemoryBudget::with_limits([400_000; 5]);
    let context = QueryContext { memory: QueryMemory::new(&budget, None), ..context() };
    let limits = QueryLimits { parallel_samples_min: 5000, ..QueryLimits::default() };
    let ask = |query: &str| answer_with(Arc::clone(&store) as _, query, &context, limits);
    for query in [
        "SELECT percentile(f, 50) FROM m",
        "SELECT percentile(f, 50), host FROM m",
        "SELECT median(f), max(f), percentile(f, 50) FROM m",
    ] {
        let answer = ask(query);
        let known =
            answer.contains("query-memory exceeded") && answer.contains("approx_percentile()");
        assert!(known, "{query}: {answer}");
        assert_eq!(budget.used(Pool::Queries), 0, "{query}");
    }
    for query in ["SELECT approx_percentile(f, 50) FROM m", "SELECT stddev(f), rate(f) FROM m"] {
        assert!(ask(query).starts_with("# m"), "{query}: {}", ask(query));
    }
    assert_eq!(budget.used(Pool::Queries), 0);
}

#[test]
fn a_cancelled_statement_ends() {
    for query in ["SELECT usage FROM cpu", "SHOW SERIES", "DROP MEASUREMENT cpu"] {
        let context = context();
        context.cancel.cancel();
        assert_eq!(error_of(query, QueryLimits::default(), &context), CoreError::Cancelled);
    }
}

#[test]
fn a_small_statement_is_told_from_a_large_one() {
    let rows: Vec<support::Row> =
        (0..1200).map(|i| support::row(&format!("m,host=h{i} f={i} {i}"))).collect();
    let store = support::empty_store();
    support::load(&*store, support::DATABASE, None, &rows);
    let executor = Executor::new(store as Arc<dyn Storage>, QueryLimits::default());
    let is_small = |query: &str| {
        let statements = tsdb_ql::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        executor.is_small(&statements[0], &context())
    };
    for query in [
        "SELECT last(f) FROM m WHERE host = 'h7'",
        "SELECT mean(f) FROM m WHERE host = 'h7' AND time < 1200 GROUP BY time(1u)",
        "SELECT f FROM nowhere",
    ] {
        assert!(is_small(query), "{query}");
    }
    for query in [
        "SELECT last(f) FROM m",
        "SELECT mean(f) FROM m WHERE host = 'h7' AND time > 0 AND time < 1s GROUP BY time(1ns)",
        "SHOW SERIES",
        "DROP MEASUREMENT m",
    ] {
        assert!(!is_small(query), "{query}");
    }
}

#[test]
fn what_is_quick_is_answered_as_ever_and_the_rest_is_left_alone() {
    let mut rows: Vec<support::Row> =
        (0..200).map(|i| support::row(&format!("m,host=h{i},dc=a f={i} {i}"))).collect();
    rows.extend((0..1500).map(|i| support::row(&format!("m,host=long f={i} {i}"))));
    let store = support::empty_store();
    support::load(&*store, support::DATABASE, None, &rows);
    let executor = Executor::new(store as Arc<dyn Storage>, QueryLimits::default());
    let quick = |query: &str| {
        let statements = tsdb_ql::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let answer = executor.execute_quick(&statements[0], &context());
        answer.map(|answer| (answer, executor.execute(&statements[0], &context()).unwrap()))
    };
    for query in [
        "SELECT last(f) FROM m WHERE host = 'h7'",
        "SELECT f FROM m WHERE host = 'h7' OR host = 'h8'",
        "SELECT mean(f) FROM m WHERE host = 'long' AND dc != 'b' AND time < 10 GROUP BY time(5ns)",
        "SELECT f FROM nowhere WHERE host = 'h7'",
    ] {
        let (answer, expected) = quick(query).unwrap_or_else(|| panic!("{query}"));
        assert_eq!(format!("{:?}", answer.series), format!("{:?}", expected.series), "{query}");
    }
    for query in [
        // All series, those that a pattern finds, and too many.
        "SELECT last(f) FROM m",
        "SELECT last(f) FROM m WHERE host =~ /^h7$/",
        "SELECT last(f) FROM /m/ WHERE host = 'h7'",
        "SELECT last(f) FROM m WHERE dc = 'a'",
        // Too many rows and windows.
        "SELECT f FROM m WHERE host = 'long'",
        "SELECT mean(f) FROM m WHERE host = 'h7' AND time > 0 AND time < 2us GROUP BY time(1ns)",
        // What fails is told by running it.
        "SELECT last(f) FROM nobody.rp.m WHERE host = 'h7'",
        "SELECT mean(f) FROM (SELECT f FROM m WHERE host = 'h7')",
        // All tags, for which all series are looked at.
        "SELECT * FROM m WHERE host = 'h7'",
        "SELECT last(f) FROM m WHERE host = 'h7' GROUP BY *",
        "SELECT last(f) INTO other FROM m WHERE host = 'h7'",
        "SHOW SERIES",
        "DROP MEASUREMENT m",
    ] {
        assert!(quick(query).is_none(), "{query}");
    }
}

//! What is answered in another way than by InfluxDB on purpose: docs/tql.md lists it, here is a question for each kind.

/// Most kinds that the list may have.
pub const LISTED_MAX: usize = 20;

/// The rows that the questions are about.
pub const LISTED_ROWS: &str = "
m,host=a f=-1.5 10003
m,host=b f=2,g=2 10006
m,host=c,dc=x g=2 10013
m,host=a f=4,g=2 10022
m,host=b f=5,g=2 10025
m,host=c,dc=x f=6,g=2 10034
m,host=a f=9,g=2 10036
";

/// Kinds that no question shows, and why.
pub const NOT_ASKED: [(&str, &str); 2] = [
    ("D12", "InfluxDB may happen to take the same one"),
    ("D18", "a statement would have to run for long"),
];

/// Questions whose answers differ, each with the kind of its difference.
pub const LISTED: [(&str, &str); 34] = [
    ("D1", "SELECT f FROM m WHERE time >= 10003 OR time < 10006"),
    ("D1", "SELECT percentile(f, 101) FROM m"),
    ("D2", "SELECT abs(f::integer) FROM m"),
    ("D1", "SELECT f FROM m WHERE f > 5 % 0"),
    ("D2", "SELECT pow(f, 1000) FROM m"),
    ("D2", "SELECT count(f) % 0 FROM m"),
    ("D3", "SELECT top(f, 2) FROM m ORDER BY time DESC"),
    ("D3", "SELECT integral(f, 1ns) FROM m ORDER BY time DESC"),
    ("D4", "SELECT top(f, 2) FROM m LIMIT 2"),
    (
        "D4",
        "SELECT max(f), max(g) FROM m WHERE time >= 10000 AND time < 10040 GROUP BY time(5ns) fill(none) LIMIT 2",
    ),
    ("D5", "SELECT f FROM m GROUP BY host SOFFSET 1"),
    ("D5", "SELECT f FROM m WHERE time >= 10030 AND time < 10035 GROUP BY host SLIMIT 1"),
    ("D5", "SELECT x FROM (SELECT f AS x FROM m GROUP BY host SLIMIT 1) GROUP BY host SLIMIT 1"),
    ("D6", "SELECT x FROM (SELECT max(f) AS x FROM m GROUP BY dc)"),
    (
        "D6",
        "SELECT sum(x) FROM (SELECT count(f) AS x FROM m GROUP BY time(10ns)) WHERE time >= 10003 AND time < 10036",
    ),
    (
        "D6",
        "SELECT count(x) FROM (SELECT holt_winters(max(f), 3, 0) AS x FROM m GROUP BY time(10ns)) \
         WHERE time >= 10000 AND time < 10040",
    ),
    ("D7", "SELECT x FROM (SELECT f AS x FROM m GROUP BY host SLIMIT 1)"),
    ("D7", "SELECT count(x) FROM (SELECT f AS x FROM m GROUP BY host LIMIT 1)"),
    (
        "D8",
        "SELECT count(x) FROM (SELECT max(f) AS x FROM m WHERE time >= 10010 AND time < 10040 \
         GROUP BY time(10ns), host fill(0))",
    ),
    (
        "D8",
        "SELECT x FROM (SELECT max(f) AS x FROM m WHERE time >= 10010 AND time < 10040 \
         GROUP BY time(10ns) fill(previous))",
    ),
    ("D9", "SELECT f, dc FROM (SELECT f FROM m GROUP BY dc)"),
    ("D9", "SELECT max(x), host FROM (SELECT f AS x FROM m) GROUP BY host"),
    ("D10", "SELECT sum(sum), sum(sum_1) FROM (SELECT sum(f), sum(g) FROM m)"),
    ("D10", "SELECT host FROM (SELECT f, host FROM m)"),
    (
        "D11",
        "SELECT difference(difference(sum(f))) FROM m WHERE time >= 10020 AND time < 10040 GROUP BY time(10ns)",
    ),
    (
        "D11",
        "SELECT percentile(f, 20) FROM m WHERE time >= 10000 AND time < 10040 GROUP BY time(15ns)",
    ),
    (
        "D11",
        "SELECT difference(sum(x)), sum(x) FROM (SELECT count(f) AS x FROM m GROUP BY time(20ns)) \
         WHERE time >= 10025 AND time < 10040 GROUP BY time(20ns)",
    ),
    (
        "D13",
        "SELECT sum(f) FROM m WHERE time >= '2026-03-28' AND time < '2026-03-30' GROUP BY time(1d) \
         tz('Europe/Berlin')",
    ),
    ("D14", "SELECT host, f INTO t FROM m; SELECT * FROM t"),
    ("D15", "SHOW SERIES CARDINALITY FROM m WHERE time > 0"),
    ("D16", "SHOW MEASUREMENTS ON nothing"),
    ("D17", "SHOW DIAGNOSTICS"),
    ("D17", "SHOW SHARDS"),
    (
        "D19",
        "SELECT max(f) FROM m, (SELECT max(f) AS f FROM m GROUP BY time(20ns)) \
         WHERE time >= 10003 AND time < 10036",
    ),
];

/// The kinds that a list has in its table: the words of the first column that are `D` and a number.
pub fn kinds_of(list: &str) -> Vec<&str> {
    let cells = list.lines().filter_map(|line| line.strip_prefix("| D")?.split_once(" |"));
    cells.map(|(number, _)| number).collect()
}

//! Random data, random queries: the answer is that of a naive evaluation over the rows, whether the engine
//! gives rows or summaries, on one thread or many.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::decorated::Decorated;
use super::support::{DATABASE, NOW_NS, Row, answer_with, context, empty_store, load, row};
use crate::QueryLimits;
use proptest::prelude::*;
use tsdb_core::time::window_start;

const FIELDS: [&str; 2] = ["f", "g"];
const FUNCTIONS: [&str; 7] = ["count", "sum", "mean", "min", "max", "first", "last"];

/// A comparison of a field with a number, or of the tag `host` with a text.
#[derive(Debug, Clone)]
enum Test {
    Field { field: usize, greater: bool, value: i32 },
    Host { equal: bool, host: &'static str },
}

#[derive(Debug, Clone)]
struct Query {
    /// Calls by function and field; none asks for plain rows of both fields.
    calls: Vec<(usize, usize)>,
    /// All must hold; in each, one.
    conditions: Vec<Vec<Test>>,
    time: Option<(i64, i64)>,
    every: Option<(i64, i64)>,
    by_host: bool,
    fill: &'static str,
    descending: bool,
    limit: Option<usize>,
    offset: usize,
}

/// One point as the naive evaluation sees it.
#[derive(Debug, Clone)]
struct Point {
    host: String,
    time: i64,
    values: [Option<f64>; 2],
}

impl Test {
    fn text(&self) -> String {
        match self {
            Test::Field { field, greater, value } => {
                format!("{} {} {value}", FIELDS[*field], if *greater { ">" } else { "<=" })
            }
            Test::Host { equal, host } => {
                format!("host {} '{host}'", if *equal { "=" } else { "!=" })
            }
        }
    }

    fn holds(&self, point: &Point) -> bool {
        match self {
            Test::Field { field, greater, value } => point.values[*field].is_some_and(|v| {
                if *greater { v > f64::from(*value) } else { v <= f64::from(*value) }
            }),
            Test::Host { equal, host } => (point.host == *host) == *equal,
        }
    }
}

impl Query {
    fn text(&self) -> String {
        let columns: Vec<String> = match self.calls.as_slice() {
            [] => FIELDS.map(str::to_owned).to_vec(),
            calls => {
                calls.iter().map(|(f, c)| format!("{}({})", FUNCTIONS[*f], FIELDS[*c])).collect()
            }
        };
        let mut text = format!("SELECT {} FROM m", columns.join(", "));
        let mut conditions: Vec<String> = Vec::new();
        if let Some((start, end)) = self.time {
            conditions.push(format!("time >= {start} AND time < {end}"));
        }
        for any in &self.conditions {
            let parts: Vec<String> = any.iter().map(Test::text).collect();
            conditions.push(format!("({})", parts.join(" OR ")));
        }
        if !conditions.is_empty() {
            write!(text, " WHERE {}", conditions.join(" AND ")).unwrap();
        }
        let mut groups = Vec::new();
        if let Some((every, offset)) = self.windows() {
            groups.push(format!("time({every}ns, {offset}ns)"));
        }
        if self.by_host {
            groups.push("host".to_owned());
        }
        if !groups.is_empty() {
            write!(text, " GROUP BY {}", groups.join(", ")).unwrap();
        }
        if self.windows().is_some() {
            write!(text, " fill({})", self.fill).unwrap();
        }
        if self.descending {
            text.push_str(" ORDER BY time DESC");
        }
        if let Some(limit) = self.limit {
            write!(text, " LIMIT {limit}").unwrap();
        }
        if self.offset > 0 {
            write!(text, " OFFSET {}", self.offset).unwrap();
        }
        text
    }

    /// Plain rows have no windows.
    fn windows(&self) -> Option<(i64, i64)> {
        self.every.filter(|_| !self.calls.is_empty())
    }

    /// The answer, evaluated row by row.
    fn naive(&self, points: &[Point]) -> String {
        let end = if self.windows().is_some() { NOW_NS + 1 } else { i64::MAX };
        let (start, end) = self.time.unwrap_or((i64::MIN, end));
        let chosen: Vec<&Point> = points
            .iter()
            .filter(|p| start <= p.time && p.time < end)
            .filter(|p| self.conditions.iter().all(|any| any.iter().any(|test| test.holds(p))))
            .collect();
        let groups: BTreeSet<&str> =
            chosen.iter().map(|p| if self.by_host { &*p.host } else { "" }).collect();
        let mut tables: Vec<String> = Vec::new();
        for group in groups {
            let of_group: Vec<&Point> =
                chosen.iter().copied().filter(|p| !self.by_host || p.host == group).collect();
            let mut rows = if self.calls.is_empty() {
                plain(&of_group)
            } else {
                self.aggregates(&of_group, start, end)
            };
            if self.descending {
                rows.reverse();
            }
            if self.windows().is_some() && self.fill == "previous" {
                for index in 1..rows.len() {
                    let before = rows[index - 1].1.clone();
                    for (value, before) in rows[index].1.iter_mut().zip(before) {
                        *value = value.or(before);
                    }
                }
            }
            let page: Vec<_> =
                rows.into_iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX)).collect();
            tables.extend(self.table(group, &page));
        }
        if self.descending {
            tables.reverse();
        }
        tables.concat()
    }

    fn aggregates(&self, points: &[&Point], start: i64, end: i64) -> Vec<(i64, Vec<Option<f64>>)> {
        let call = |points: &[&Point], (f, c): (usize, usize)| aggregate(FUNCTIONS[f], points, c);
        let Some((every, offset)) = self.windows() else {
            let cells: Vec<_> = self.calls.iter().map(|c| call(points, *c)).collect();
            let time = match (cells.as_slice(), self.calls.as_slice()) {
                ([Some((_, Some(time)))], _) => *time,
                (cells, [first, rest @ ..]) if rest.iter().all(|c| c == first) => {
                    cells.iter().flatten().find_map(|cell| cell.1).unwrap_or_else(|| self.start())
                }
                _ => self.start(),
            };
            let values: Vec<_> = cells.iter().map(|cell| cell.map(|cell| cell.0)).collect();
            return if values.iter().any(Option::is_some) {
                vec![(time, values)]
            } else {
                Vec::new()
            };
        };
        let mut windows: BTreeMap<i64, Vec<&Point>> = BTreeMap::new();
        for point in points {
            windows.entry(window_start(point.time, every, offset)).or_default().push(point);
        }
        let has_value = |c: usize, w: &[&Point]| w.iter().any(|p| p.values[c].is_some());
        let first_of = |c: usize| windows.iter().find(|(_, w)| has_value(c, w)).map(|(t, _)| *t);
        let firsts: Vec<Option<i64>> = self.calls.iter().map(|(_, c)| first_of(*c)).collect();
        let Some(first) = firsts.iter().flatten().min().copied() else { return Vec::new() };
        let begin = if self.time.is_some() { window_start(start, every, offset) } else { first };
        let mut rows = Vec::new();
        let mut window = begin;
        while window < end {
            let points = windows.get(&window).map_or(&[][..], Vec::as_slice);
            let cells = self.calls.iter().zip(&firsts).map(|((f, c), first)| {
                let value = call(points, (*f, *c)).map(|cell| cell.0);
                let running = first.is_some_and(|first| self.time.is_some() || window >= first);
                match self.fill {
                    "5" => value.or(Some(5.0)),
                    "null" if FUNCTIONS[*f] == "count" && running => value.or(Some(0.0)),
                    _ => value,
                }
            });
            let cells: Vec<Option<f64>> = cells.collect();
            if self.fill != "none" || cells.iter().any(Option::is_some) {
                rows.push((window, cells));
            }
            window += every;
        }
        rows
    }

    fn start(&self) -> i64 {
        self.time.map_or(0, |(start, _)| start)
    }

    fn table(&self, host: &str, rows: &[(i64, Vec<Option<f64>>)]) -> Option<String> {
        if rows.is_empty() {
            return None;
        }
        let names: Vec<(String, bool)> = match self.calls.as_slice() {
            [] => FIELDS.map(|name| (name.to_owned(), false)).to_vec(),
            calls => calls.iter().map(|(f, _)| (FUNCTIONS[*f].to_owned(), false)).collect(),
        };
        let group = if self.by_host { format!(",host={host}") } else { String::new() };
        let names = tsdb_ql::distinct_column_names(&names).join(" ");
        let mut text = format!("# m{group}\ntime {names}\n");
        for (time, values) in rows {
            let cells = values.iter().map(|v| v.map_or("-".to_owned(), |v| v.to_string()));
            let cells: Vec<String> = std::iter::once(time.to_string()).chain(cells).collect();
            writeln!(text, "{}", cells.join(" ")).unwrap();
        }
        Some(text)
    }
}

fn plain(points: &[&Point]) -> Vec<(i64, Vec<Option<f64>>)> {
    let mut points = points.to_vec();
    points.sort_by(|a, b| (a.time, &a.host).cmp(&(b.time, &b.host)));
    points.iter().map(|p| (p.time, p.values.to_vec())).collect()
}

/// Value, and the time of the point for selectors.
fn aggregate(function: &str, points: &[&Point], column: usize) -> Option<(f64, Option<i64>)> {
    let present: Vec<(i64, f64)> =
        points.iter().filter_map(|p| Some((p.time, p.values[column]?))).collect();
    let sum: f64 = present.iter().map(|(_, v)| v).sum();
    let best = |better: fn((i64, f64), (i64, f64)) -> bool| {
        let best = present.iter().copied().reduce(|a, b| if better(b, a) { b } else { a });
        best.map(|(time, value)| (value, Some(time)))
    };
    match function {
        _ if present.is_empty() => None,
        "count" => Some((present.len() as f64, None)),
        "sum" => Some((sum, None)),
        "mean" => Some((sum / present.len() as f64, None)),
        "min" => best(|a, b| a.1 < b.1 || (a.1 == b.1 && a.0 < b.0)),
        "max" => best(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)),
        "first" => best(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 > b.1)),
        _ => best(|a, b| a.0 > b.0 || (a.0 == b.0 && a.1 > b.1)),
    }
}

fn any_points() -> impl Strategy<Value = Vec<Point>> {
    let value = || prop::option::weighted(0.7, (-6..7_i32).prop_map(f64::from));
    let row = ("[a-c]", 900..=NOW_NS + 20, value(), value());
    prop::collection::vec(row, 0..60).prop_map(|rows| {
        let points: BTreeMap<(String, i64), [Option<f64>; 2]> = rows
            .into_iter()
            .filter(|(_, _, f, g)| f.is_some() || g.is_some())
            .map(|(host, time, f, g)| ((host, time), [f, g]))
            .collect();
        let point = |((host, time), values)| Point { host, time, values };
        points.into_iter().map(point).collect()
    })
}

fn any_query() -> impl Strategy<Value = Query> {
    let test =
        prop_oneof![
            (0..2_usize, any::<bool>(), -4..5_i32)
                .prop_map(|(field, greater, value)| Test::Field { field, greater, value }),
            (any::<bool>(), prop::sample::select(vec!["a", "b", "z"]))
                .prop_map(|(equal, host)| Test::Host { equal, host }),
        ];
    let conditions = prop::collection::vec(prop::collection::vec(test, 1..3), 0..3);
    let time = prop::option::of((880..=NOW_NS, 0..150_i64).prop_map(|(s, n)| (s, s + n)));
    let shape = (
        prop::collection::vec((0..7_usize, 0..2_usize), 0..4),
        prop::option::of((5..60_i64, -70..70_i64)),
        any::<bool>(),
        prop::sample::select(vec!["null", "none", "5", "previous"]),
    );
    let page = (any::<bool>(), prop::option::of(1..8_usize), 0..3_usize);
    (conditions, time, shape, page).prop_map(|(conditions, time, shape, page)| {
        let (calls, every, by_host, fill) = shape;
        let (descending, limit, offset) = page;
        Query { calls, conditions, time, every, by_host, fill, descending, limit, offset }
    })
}

fn stored(points: &[Point]) -> Vec<Row> {
    let line = |point: &Point| {
        let fields = FIELDS.iter().zip(point.values);
        let fields: Vec<String> =
            fields.filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect();
        row(&format!("m,host={} {} {}", point.host, fields.join(","), point.time))
    };
    points.iter().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_a_naive_evaluation(points in any_points(), query in any_query()) {
        let store = empty_store();
        load(&*store, DATABASE, None, &stored(&points));
        let expected = query.naive(&points);
        let text = query.text();
        for (summarise, parallel_samples_min) in [(false, u64::MAX), (false, 1), (true, 20)] {
            let store = Decorated::new(Arc::clone(&store), summarise);
            let limits = QueryLimits { parallel_samples_min, ..QueryLimits::default() };
            let got = answer_with(store as _, &text, &context(), limits);
            prop_assert_eq!(&got, &expected, "{} (summaries: {})", text, summarise);
        }
    }
}

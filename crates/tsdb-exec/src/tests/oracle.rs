//! Random data, random queries: the answer is that of a naive evaluation over the rows, whether the engine
//! gives rows or summaries, on one thread or many.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::decorated::Decorated;
use super::support::{
    DATABASE, NOW_NS, Row, answer_in_slices, answer_with, context, empty_store, load, row,
};
use crate::QueryLimits;
use proptest::prelude::*;
use tsdb_core::time::window_start;

const FIELDS: [&str; 2] = ["f", "g"];

/// Functions with what follows the field.
const FUNCTIONS: [(&str, &str); 16] = [
    ("count", ""),
    ("sum", ""),
    ("mean", ""),
    ("min", ""),
    ("max", ""),
    ("first", ""),
    ("last", ""),
    ("spread", ""),
    ("median", ""),
    ("stddev", ""),
    ("variance", ""),
    ("var_pop", ""),
    ("percentile", ", 80"),
    ("approx_percentile", ", 50"),
    ("increase", ""),
    ("rate", ", 10ns"),
];

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
pub(super) struct Point {
    pub(super) host: String,
    pub(super) time: i64,
    pub(super) values: [Option<f64>; 2],
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
                let call = |(f, c): &(usize, usize)| {
                    format!("{}({}{})", FUNCTIONS[*f].0, FIELDS[*c], FUNCTIONS[*f].1)
                };
                calls.iter().map(call).collect()
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
                let mut before = vec![None; self.calls.len()];
                for (_, values) in &mut rows {
                    for (value, before) in values.iter_mut().zip(&mut before) {
                        *value = value.or(*before);
                        *before = value.filter(|value| !value.is_nan()).or(*before);
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
        let has_value = |c: usize, w: &[&Point]| w.iter().any(|p| p.values[c].is_some());
        // Null by too few values is a NaN here, which no function gives: it is an answer, and not to be filled.
        let call = |points: &[&Point], (f, c): (usize, usize)| {
            let null = || has_value(c, points).then_some((f64::NAN, None));
            aggregate(FUNCTIONS[f].0, points, c).or_else(null)
        };
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
                    "null" if FUNCTIONS[*f].0 == "count" && running => value.or(Some(0.0)),
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
            calls => calls.iter().map(|(f, _)| (FUNCTIONS[*f].0.to_owned(), false)).collect(),
        };
        let group = if self.by_host { format!(",host={host}") } else { String::new() };
        let names = tsdb_ql::distinct_column_names(&names).join(" ");
        let mut text = format!("# m{group}\ntime {names}\n");
        for (time, values) in rows {
            let shown = |v: &f64| !v.is_nan();
            let cells =
                values.iter().map(|v| v.filter(shown).map_or("-".to_owned(), |v| v.to_string()));
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
    let n = present.len() as f64;
    let squares = || present.iter().map(|(_, v)| (v - sum / n).powi(2)).sum::<f64>();
    let mut sorted = present.clone();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    match function {
        _ if present.is_empty() => None,
        "count" => Some((present.len() as f64, None)),
        "sum" => Some((sum, None)),
        "mean" => Some((sum / present.len() as f64, None)),
        "min" => best(|a, b| a.1 < b.1 || (a.1 == b.1 && a.0 < b.0)),
        "max" => best(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)),
        "spread" => Some((sorted[sorted.len() - 1].1 - sorted[0].1, None)),
        "median" | "approx_percentile" => {
            let (low, high) = (sorted[(sorted.len() - 1) / 2].1, sorted[sorted.len() / 2].1);
            Some((f64::midpoint(low, high), None))
        }
        "stddev" | "variance" if present.len() < 2 => None,
        "stddev" => Some(((squares() / (n - 1.0)).sqrt(), None)),
        "variance" => Some((squares() / (n - 1.0), None)),
        "var_pop" => Some((squares() / n, None)),
        "percentile" => {
            #[expect(clippy::cast_possible_truncation, reason = "places of a test's few points")]
            let place = (n * 80.0 / 100.0 + 0.5).floor() as usize - 1;
            Some((sorted[place].1, Some(sorted[place].0)))
        }
        "increase" | "rate" => growth(function, points, column),
        "first" => best(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 > b.1)),
        _ => best(|a, b| a.0 > b.0 || (a.0 == b.0 && a.1 > b.1)),
    }
}

/// Of each host by itself, then the sum.
fn growth(function: &str, points: &[&Point], column: usize) -> Option<(f64, Option<i64>)> {
    let mut hosts: BTreeMap<&str, Vec<(i64, f64)>> = BTreeMap::new();
    for point in points {
        let reading = point.values[column].map(|value| (point.time, value));
        hosts.entry(&*point.host).or_default().extend(reading);
    }
    let of_host = |readings: Vec<(i64, f64)>| {
        let (first, last) = readings.first().zip(readings.last()).filter(|_| readings.len() > 1)?;
        let steps = readings.windows(2).map(|w| (w[0].1, w[1].1));
        let grown: f64 = steps.map(|(a, b)| if b < a { b } else { b - a }).sum();
        let elapsed = (last.0 - first.0) as f64 / 10.0;
        Some(if function == "rate" { grown / elapsed } else { grown })
    };
    hosts.into_values().filter_map(of_host).reduce(|a, b| a + b).map(|sum| (sum, None))
}

/// `text` with its numbers rounded to ten digits: what other orders of additions change is lost.
fn rounded(text: &str) -> String {
    let word = |word: &str| match word.parse::<f64>() {
        Ok(number) => format!("{:.9}", number + 0.0).replace("-0.000000000", "0.000000000"),
        Err(_) => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn any_points() -> impl Strategy<Value = Vec<Point>> {
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
        prop::collection::vec((0..FUNCTIONS.len(), 0..2_usize), 0..4),
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

pub(super) fn stored(points: &[Point]) -> Vec<Row> {
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
            let got = answer_with(Arc::clone(&store) as _, &text, &context(), limits);
            let sliced = answer_in_slices(store as _, &text, &context(), limits);
            prop_assert_eq!(&sliced, &got, "{} in slices", text);
            let (got, expected) = (rounded(&got), rounded(&expected));
            prop_assert_eq!(got, expected, "{} (summaries: {})", text, summarise);
        }
    }

    /// A change of windows is made of what the function inside gives when it is asked by itself for one window
    /// more.
    #[test]
    fn changes_are_those_of_the_answers_inside(
        points in any_points(), function in 0..FUNCTIONS.len(), every in 5..60_i64,
        start in 900..=NOW_NS, length in 1..150_i64, by_host in any::<bool>(),
        beside in any::<bool>(),
    ) {
        let store = empty_store();
        load(&*store, DATABASE, None, &stored(&points));
        let (name, more) = FUNCTIONS[function];
        let call = format!("{name}(f{more})");
        let by = if by_host { ", host" } else { "" };
        let end = start + length;
        let query = |columns: &str, start: i64| {
            format!(
                "SELECT {columns} FROM m WHERE time >= {start} AND time < {end} \
                 GROUP BY time({every}ns){by} fill(none)"
            )
        };
        let inner = query(&call, start - every);
        let plain = answer_with(Arc::clone(&store) as _, &inner, &context(), QueryLimits::default());
        let first_shown = window_start(start, every, 0);
        let expected: Vec<String> = changes_of(&plain, first_shown);
        // Another call beside it must not lead the two to take each other's rows.
        let columns = if beside {
            format!("derivative({call}, 10ns), count(g)")
        } else {
            format!("derivative({call}, 10ns)")
        };
        let outer = query(&columns, start);
        for (summarise, parallel_samples_min) in [(false, u64::MAX), (false, 1), (true, 20)] {
            let store = Decorated::new(Arc::clone(&store), summarise);
            let limits = QueryLimits { parallel_samples_min, ..QueryLimits::default() };
            let got = answer_with(store as _, &outer, &context(), limits);
            let got: Vec<String> = cells_of(&got).into_iter().map(|cell| rounded(&cell)).collect();
            prop_assert_eq!(&got, &expected, "{} (summaries: {})", outer, summarise);
        }
        if beside {
            let alone = query("count(g)", start);
            let ask = |query: &str| {
                answer_with(Arc::clone(&store) as _, query, &context(), QueryLimits::default())
            };
            let column = |text: &str, place: usize| -> Vec<String> {
                let lines = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
                let cells = lines.map(|line| line.split(' ').collect::<Vec<_>>());
                let shown = cells.filter(|cells| cells[place] != "-");
                shown.map(|cells| format!("{} {}", cells[0], cells[place])).collect()
            };
            prop_assert_eq!(column(&ask(&outer), 2), column(&ask(&alone), 1), "{}", outer);
        }
    }
}

/// Table, time and value of the first column, of all rows that have one.
fn cells_of(text: &str) -> Vec<String> {
    let (mut table, mut cells) = ("", Vec::new());
    for line in text.lines() {
        if line.starts_with('#') {
            table = line;
        } else if line.starts_with(|c: char| c.is_ascii_digit()) && !line.contains("error") {
            let mut words = line.split(' ');
            let (time, value) = (words.next().unwrap(), words.next().unwrap());
            if value != "-" {
                cells.push(format!("{table} {time} {value}"));
            }
        }
    }
    cells
}

/// The changes per 10 ns from row to row of each table of `text`, from the time `first_shown` on.
fn changes_of(text: &str, first_shown: i64) -> Vec<String> {
    let mut previous: Option<(String, i64, f64)> = None;
    let mut found = Vec::new();
    for cell in cells_of(text) {
        let (rest, value) = cell.rsplit_once(' ').unwrap();
        let (table, time) = rest.rsplit_once(' ').unwrap();
        let (time, value): (i64, f64) = (time.parse().unwrap(), value.parse().unwrap());
        if let Some((_, earlier, before)) = previous.filter(|(of, _, _)| of == table)
            && time >= first_shown
        {
            let change = (value - before) / ((time - earlier) as f64 / 10.0);
            found.push(rounded(&format!("{table} {time} {change}")));
        }
        previous = Some((table.to_owned(), time, value));
    }
    found
}

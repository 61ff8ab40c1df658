//! Questions about the rows of other queries.

use super::{AGGREGATES, field, page, pick, range};
use crate::seed::Seed;

/// A query that gives a column `x`, row by row. Not with `LIMIT` and groups, of which InfluxDB does not know itself what
/// it means (D7).
fn rows(seed: &mut Seed) -> String {
    let by = pick(seed, &["", " GROUP BY host", " GROUP BY dc", " GROUP BY *"]);
    if seed.within(0..2) == 0 {
        return format!("SELECT {} AS x FROM m{by}", field(seed));
    }
    let function = pick(seed, &["difference", "cumulative_sum", "non_negative_difference"]);
    format!("SELECT {function}({}) AS x FROM m{by}", field(seed))
}

/// A condition on `x` behind a range of time, which may be missing.
fn condition(seed: &mut Seed, range: &str) -> String {
    match seed.within(0..4) {
        0 if range.is_empty() => format!(" WHERE x > {}", seed.within(0..5)),
        0 => format!(" AND x > {}", seed.within(0..5)),
        _ => String::new(),
    }
}

/// A query over the rows of another one. Conditions see its columns only.
pub(super) fn of_rows(seed: &mut Seed) -> String {
    let inner = rows(seed);
    let range = if seed.within(0..2) == 0 { range(seed) } else { String::new() };
    let condition = condition(seed, &range);
    let function = pick(seed, &["mean", "sum", "count", "min", "max", "spread", "median", "last"]);
    let call = match seed.within(0..6) {
        0 => "x".to_owned(),
        1 => "x * 2".to_owned(),
        2 => format!("{function}(x), count(x)"),
        _ => format!("{function}(x)"),
    };
    let by = match seed.within(0..4) {
        0 if !range.is_empty() && call.contains('(') => {
            format!(" GROUP BY time({}ns) fill(none)", seed.within(20..100))
        }
        1 => " GROUP BY host".to_owned(),
        _ => String::new(),
    };
    format!("SELECT {call} FROM ({inner}){range}{condition}{by}")
}

/// A query that aggregates: with which windows, by which tags.
struct Aggregated {
    text: String,
    /// Width of its windows, in ns.
    every: Option<u64>,
    /// Whether it keeps groups apart.
    has_groups: bool,
    has_range: bool,
    /// Whether it is over another such query.
    is_nested: bool,
    /// Whether windows without an answer may have rows of null.
    has_nulls: bool,
}

impl Aggregated {
    /// Two columns, `x` and `y`, or one, over the rows of `m` or of `m` and `n`.
    fn of_points(seed: &mut Seed, is_nested: bool) -> Aggregated {
        // Rows out of order (D6) would tear the windows of the query around them.
        let has_windows = is_nested || seed.within(0..3) > 0;
        let every = has_windows.then(|| seed.within(20..100));
        let source = pick(seed, &["m", "m", "m", "m, n", "/[mn]/"]);
        Aggregated::new(seed, source, ["f", "g"], every, is_nested)
    }

    fn new(
        seed: &mut Seed,
        source: &str,
        fields: [&str; 2],
        every: Option<u64>,
        is_nested: bool,
    ) -> Aggregated {
        let mut columns = Vec::new();
        // Two columns of several groups come in another order there, which tears the windows outside (D6).
        let by = pick(seed, &["", "host", "dc", "*"]);
        let count = if by.is_empty() && seed.within(0..3) == 0 { 2 } else { 1 };
        for name in ["x", "y"].iter().take(count) {
            let call = format!("{}({})", pick(seed, &AGGREGATES), pick(seed, &fields));
            let call = match every {
                // Over a subquery it sees a window more of it, and so does the column beside it here (D11).
                Some(_) if seed.within(0..3) == 0 && !is_nested => along(seed, &call),
                _ => call,
            };
            columns.push(format!("{call} AS {name}"));
        }
        let range = if seed.within(0..3) == 0 { range(seed) } else { String::new() };
        // InfluxDB fills a group as often as it turns up, if the groups are not kept apart outside (D8).
        let fill = match every {
            Some(_) if by.is_empty() && columns.len() == 1 && !is_nested => {
                pick(seed, &["", "", " fill(none)", " fill(0)", " fill(previous)", " fill(linear)"])
            }
            _ => "",
        };
        let windows = every.map(|every| format!("time({every}ns)")).unwrap_or_default();
        let comma = if by.is_empty() || windows.is_empty() { "" } else { ", " };
        let group_by = if by.is_empty() && windows.is_empty() { "" } else { " GROUP BY " };
        let columns = columns.join(", ");
        Aggregated {
            text: format!(
                "SELECT {columns} FROM {source}{range}{group_by}{by}{comma}{windows}{fill}"
            ),
            every,
            has_groups: !by.is_empty(),
            has_range: !range.is_empty(),
            is_nested,
            has_nulls: matches!(fill, " fill(previous)" | " fill(linear)")
                || columns.contains(" AS y"),
        }
    }

    /// Whether its rows need not be in order of time in InfluxDB (D6): those that selectors pick of several groups.
    fn is_unordered(&self) -> bool {
        self.has_groups && self.every.is_none()
    }
}

fn along(seed: &mut Seed, inner: &str) -> String {
    match seed.within(0..5) {
        0 => format!("derivative({inner}, 10ns)"),
        1 => format!("cumulative_sum({inner})"),
        2 => format!("moving_average({inner}, 2)"),
        3 => format!("elapsed({inner}, 1ns)"),
        _ => format!("difference({inner})"),
    }
}

/// A range of time as [`range`] gives it, but one that begins where a window does.
fn aligned(seed: &mut Seed, every: u64) -> String {
    let start = seed.within(super::TIMES.start..super::TIMES.end - 200) / every * every;
    let end = seed.within(start + 100..super::TIMES.end + 100);
    format!(" WHERE time >= {start} AND time < {end}")
}

/// What is asked of the answers of aggregates.
struct Asked {
    columns: String,
    /// Whether rows go in and rows come out.
    is_rows: bool,
    /// Whether it makes one row of each window, of functions for which InfluxDB does so too.
    has_windows: bool,
}

impl Asked {
    fn of(seed: &mut Seed, inner: &Aggregated) -> Asked {
        let fold = |columns| Asked { columns, is_rows: false, has_windows: true };
        let rows = |columns| Asked { columns, is_rows: true, has_windows: false };
        let points = |columns| Asked { columns, is_rows: false, has_windows: false };
        let is_plain = !inner.is_unordered() && !inner.is_nested;
        match seed.within(0..14) {
            0 | 1 if is_plain && !inner.has_nulls => {
                rows(pick(seed, &["x", "x * 2", "x + 1"]).to_owned())
            }
            2 | 3 if is_plain => rows(along(seed, "x")),
            4 if is_plain => {
                let name = pick(seed, &["top", "bottom"]);
                points(format!("{name}(x, {})", seed.within(1..5)))
            }
            5 if is_plain => points("distinct(x)".to_owned()),
            6 if is_plain => points("stddev(x)".to_owned()),
            // Which of equal values it is shows in the time of one that stands alone (D12).
            7 => fold(format!("percentile(x, {}), count(x)", seed.within(50..100))),
            8 => fold(format!("{}(x), count(x)", pick(seed, &AGGREGATES))),
            9 if inner.text.contains(" AS y") => {
                fold(format!("sum(x), {}(y)", pick(seed, &AGGREGATES)))
            }
            _ => fold(format!("{}(x)", pick(seed, &AGGREGATES))),
        }
    }
}

/// A query over the answers of aggregates, and sometimes over those of aggregates over these.
pub(super) fn of_aggregates(seed: &mut Seed) -> String {
    let is_nested = seed.within(0..6) == 0;
    let mut inner = Aggregated::of_points(seed, is_nested);
    if is_nested {
        // In windows, since InfluxDB has no answer without them where the rows begin before the range (D6).
        let every = seed.within(20..100);
        inner = Aggregated::new(seed, &format!("({})", inner.text), ["x", "x"], Some(every), true);
    }
    let asked = Asked::of(seed, &inner);
    let has_windows = asked.has_windows && (is_nested || seed.within(0..3) == 0);
    let windows = has_windows.then(|| seed.within(20..150));
    // Without a beginning windows of ns begin in 1970, and without an end they go on until now.
    let needs_range = inner.every.is_some() && !inner.has_range;
    let range = match inner.every {
        _ if !needs_range && seed.within(0..3) == 0 => String::new(),
        // InfluxDB has no answer if a row bears a time before the range (D6), except in windows.
        Some(every) if windows.is_none() && !asked.is_rows => aligned(seed, every),
        _ => range(seed),
    };
    let tags = [" AND host = 'a'", " AND host != 'a'", " AND dc =~ /[xz]/"];
    let condition = match seed.within(0..6) {
        0 if !range.is_empty() => pick(seed, &tags).to_owned(),
        _ => condition(seed, &range),
    };
    let tag = pick(seed, &["", "", "host"]);
    let fill = if windows.is_none() { "" } else { " fill(none)" };
    let windows = windows.map(|every| format!("time({every}ns)")).unwrap_or_default();
    let comma = if tag.is_empty() || windows.is_empty() { "" } else { ", " };
    let group_by = if tag.is_empty() && windows.is_empty() { "" } else { " GROUP BY " };
    // (Rows of top() and distinct() are in another order then, D3.)
    let is_ordered = asked.is_rows || asked.has_windows;
    let order = if is_ordered && seed.within(0..5) == 0 { " ORDER BY time DESC" } else { "" };
    let page = if asked.is_rows { page(seed) } else { String::new() };
    format!(
        "SELECT {} FROM ({}){range}{condition}{group_by}{windows}{comma}{tag}{fill}{order}{page}",
        asked.columns, inner.text
    )
}

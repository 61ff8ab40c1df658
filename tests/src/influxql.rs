//! Random data and random queries in the language of InfluxDB, and the comparison of two answers to them. What
//! differs on purpose (docs/tql.md) is never asked: the remarks at each kind name it by its number there (D1, …).

mod compare;
mod conditions;
mod groups;
mod listed;
mod subqueries;

use std::fmt::Write as _;

use crate::seed::Seed;

pub use compare::{Tables, difference, tables};
pub use listed::{LISTED, LISTED_MAX, LISTED_ROWS, NOT_ASKED, kinds_of};

/// The first time of the data in ns, and the one behind the last.
pub const TIMES: std::ops::Range<u64> = 10_000..11_000;

/// What a query is about, so that a count of each can be shown.
pub const KINDS: [&str; 17] = [
    "numbers",
    "points",
    "windows",
    "top and bottom",
    "distinct",
    "sample",
    "forecasts",
    "descending",
    "subqueries",
    "into",
    "sources",
    "zones",
    "parameters",
    "aggregates inside",
    "pages of series",
    "wildcards",
    "conditions",
];

const INDICATORS: [&str; 8] = [
    "exponential_moving_average",
    "double_exponential_moving_average",
    "triple_exponential_moving_average",
    "triple_exponential_derivative",
    "relative_strength_index",
    "kaufmans_efficiency_ratio",
    "kaufmans_adaptive_moving_average",
    "chande_momentum_oscillator",
];

const AGGREGATES: [&str; 9] =
    ["count", "sum", "mean", "median", "spread", "min", "max", "first", "last"];

/// What is asked: statements, and values of `$name` in them as JSON, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// One statement, or several with `;` between them.
    pub text: String,
    /// The values.
    pub parameters: String,
}

impl From<String> for Question {
    fn from(text: String) -> Question {
        Question { text, parameters: String::new() }
    }
}

/// Lines with the fields `f` and `g` of three measurements: `m` and `n`, with the tags `host` and maybe `dc`, and `p`
/// with any of the tags `a`, `b` and `c`. Values are quarters of which many are equal; no two rows have one time, since
/// InfluxDB leaves open which series comes first then.
pub fn lines(seed: &mut Seed) -> String {
    let mut text = String::new();
    let mut time = TIMES.start;
    loop {
        time += 1 + seed.within(0..40);
        if time >= TIMES.end {
            return text;
        }
        let mut value = || format!("{}", seed.within(0..40) as f64 / 4.0 - 4.0);
        let (f, g) = (value(), value());
        // Every series of `p` has both fields: InfluxDB counts those without them too (D5).
        writeln!(text, "p{} f={f},g={g} {time}", groups::tags(seed)).expect("a string takes all");
        let host = pick(seed, &["a", "b", "c"]);
        // A host has one place, or none.
        let place = match host {
            "a" => ",dc=x",
            "b" => ",dc=y",
            _ => "",
        };
        let fields = match seed.within(0..4) {
            0 => format!("f={f}"),
            1 => format!("g={g}"),
            _ => format!("f={f},g={g}"),
        };
        let name = if seed.within(0..5) == 0 { "n" } else { "m" };
        writeln!(text, "{name},host={host}{place} {fields} {time}").expect("a string takes all");
    }
}

fn pick<'c>(seed: &mut Seed, choices: &[&'c str]) -> &'c str {
    let place = usize::try_from(seed.within(0..choices.len() as u64)).unwrap_or(0);
    choices[place]
}

fn field(seed: &mut Seed) -> &'static str {
    pick(seed, &["f", "g"])
}

/// A question of the kind of that number.
pub fn question(kind: usize, seed: &mut Seed) -> Question {
    if kind == 12 { parameters(seed) } else { query(kind, seed).into() }
}

fn query(kind: usize, seed: &mut Seed) -> String {
    match kind {
        0 => numbers(seed),
        1 => points(seed, false),
        2 => windows(seed, false),
        3 => top(seed),
        4 => distinct(seed),
        5 => format!("SELECT sample({}, 1000) FROM m{}{}", field(seed), range(seed), by_tag(seed)),
        6 => forecast(seed),
        8 => subqueries::of_rows(seed),
        9 => into(seed),
        10 => groups::sources(seed),
        11 => zone(seed),
        13 => subqueries::of_aggregates(seed),
        14 => groups::page(seed),
        15 => groups::wildcards(seed),
        16 => conditions::conditions(seed),
        _ if seed.within(0..2) == 0 => points(seed, true),
        _ => windows(seed, true),
    }
}

fn range(seed: &mut Seed) -> String {
    let start = seed.within(TIMES.start..TIMES.end - 200);
    let end = seed.within(start + 100..TIMES.end + 100);
    format!(" WHERE time >= {start} AND time < {end}")
}

fn by_tag(seed: &mut Seed) -> &'static str {
    pick(seed, &["", "", " GROUP BY host", " GROUP BY dc", " GROUP BY *"])
}

fn fill(seed: &mut Seed) -> &'static str {
    pick(
        seed,
        &["", "", " fill(none)", " fill(previous)", " fill(2)", " fill(-1.5)", " fill(linear)"],
    )
}

fn page(seed: &mut Seed) -> String {
    match seed.within(0..4) {
        0 => format!(" LIMIT {}", seed.within(1..12)),
        1 => format!(" LIMIT {} OFFSET {}", seed.within(1..12), seed.within(1..5)),
        _ => String::new(),
    }
}

/// An expression of numbers over what `operand` gives.
fn number(seed: &mut Seed, depth: u64, operand: &mut dyn FnMut(&mut Seed) -> String) -> String {
    if depth == 0 {
        return operand(seed);
    }
    let inner = number(seed, depth - 1, operand);
    match seed.within(0..12) {
        0 => format!("pow({inner}, {})", seed.within(0..3)),
        1 => format!("log(abs({inner}) + 1, 2)"),
        2 => format!("atan2({inner}, {})", operand(seed)),
        3 => format!("({inner} + {})", operand(seed)),
        4 => format!("{inner} * 2"),
        5 => format!("sqrt(abs({inner}))"),
        6 => format!("ln(abs({inner}) + 0.5)"),
        7 => format!("asin({inner} / 100)"),
        8 => format!("acos({inner} / 100)"),
        9 => format!("log10(abs({inner}) + 1)"),
        _ => format!(
            "{}({inner})",
            pick(seed, &["abs", "ceil", "floor", "round", "sin", "cos", "tan", "atan", "sqrt"])
        ),
    }
}

fn numbers(seed: &mut Seed) -> String {
    let columns: Vec<String> = (0..1 + seed.within(0..3))
        .map(|_| {
            let depth = seed.within(0..3);
            // InfluxDB 1.6 knows no sign of whole numbers: abs(f::integer) is wrong there.
            let casts: &[&str] =
                if depth == 0 { &["", "::integer", "::float"] } else { &["", "::float"] };
            number(seed, depth, &mut |seed| format!("{}{}", field(seed), pick(seed, casts)))
        })
        .collect();
    let condition = match seed.within(0..4) {
        0 => format!(" WHERE abs({}) > {}", field(seed), seed.within(0..5)),
        1 => format!(" WHERE pow(f, 2) < {} OR host = 'b'", seed.within(0..30)),
        2 => format!(" WHERE {}::integer = {}", field(seed), seed.within(0..4)),
        _ => String::new(),
    };
    // Not in a descending order, in which InfluxDB sorts by the values too.
    format!("SELECT {} FROM m{condition}{}{}", columns.join(", "), by_tag(seed), page(seed))
}

/// A function along what stands in `inner`.
fn along(seed: &mut Seed, inner: &str) -> String {
    match seed.within(0..9) {
        0 => format!("derivative({inner}, {}ns)", seed.within(1..50)),
        1 => format!("non_negative_derivative({inner}, 10ns)"),
        2 => format!("difference({inner})"),
        3 => format!("non_negative_difference({inner})"),
        4 => format!("cumulative_sum({inner})"),
        5 => format!("moving_average({inner}, {})", seed.within(2..6)),
        6 => format!("elapsed({inner}, {}ns)", seed.within(1..10)),
        _ => indicator(seed, inner),
    }
}

fn indicator(seed: &mut Seed, inner: &str) -> String {
    let name = pick(seed, &INDICATORS);
    // The oscillator over one point ends InfluxDB's query with a panic.
    let mut text = format!("{name}({inner}, {}", seed.within(2..6));
    if seed.within(0..2) == 0 {
        let hold = pick(seed, &["-1", "1", "2", "7"]);
        write!(text, ", {hold}").expect("a string takes all");
        if !name.starts_with("kaufman") && seed.within(0..2) == 0 {
            let warmup = pick(seed, &["'exponential'", "'simple'"]);
            write!(text, ", {warmup}").expect("a string takes all");
        }
    }
    text + ")"
}

fn aggregate(seed: &mut Seed) -> String {
    match seed.within(0..14) {
        0 => format!("count(distinct({}))", field(seed)),
        // One without an answer ends InfluxDB's stream of windows.
        1 => format!("percentile({}, {})", field(seed), seed.within(50..100)),
        _ => format!("{}({})", pick(seed, &AGGREGATES), field(seed)),
    }
}

fn points(seed: &mut Seed, descending: bool) -> String {
    let mut columns = Vec::new();
    for _ in 0..1 + seed.within(0..3) {
        let inner = pick(seed, &["f", "g", "f::integer"]);
        let call = along(seed, inner);
        columns.push(match seed.within(0..6) {
            // InfluxDB 1.6 knows no sign of whole numbers.
            0 if inner != "f::integer" && !call.starts_with("elapsed") => format!("abs({call})"),
            1 => format!("{call} * 2"),
            _ => call,
        });
    }
    if seed.within(0..3) == 0 {
        columns.push(aggregate(seed));
    }
    let by = by_tag(seed);
    // InfluxDB gives areas another sign when they are read backwards, and groups in any order.
    if !descending && by.is_empty() && seed.within(0..3) == 0 {
        columns.push(format!("integral({}, {}ns)", field(seed), seed.within(1..50)));
    }
    let range = if seed.within(0..2) == 0 { range(seed) } else { String::new() };
    // Straight lines are a matter of windows.
    let fill = pick(seed, &["", "", " fill(previous)", " fill(2)", " fill(none)"]);
    let order = if descending { " ORDER BY time DESC" } else { "" };
    format!("SELECT {} FROM m{range}{by}{fill}{order}{}", columns.join(", "), page(seed))
}

fn windows(seed: &mut Seed, descending: bool) -> String {
    let mut columns = Vec::new();
    let fill = fill(seed);
    let is_simple = fill != " fill(previous)" && fill != " fill(linear)";
    let tag = pick(seed, &["", "", ", host", ", dc"]);
    for _ in 0..1 + seed.within(0..3) {
        // Which of equally frequent values is InfluxDB's mode depends on which series it reads first, and of more
        // than twelve values on chance.
        let mut call = match seed.within(0..8) {
            0 if tag == ", host" => format!("mode({})", field(seed)),
            // The deviation of one value is a point for InfluxDB, a null one, and none for us; so it is not
            // filled from, and nothing is made of it.
            1 if is_simple => format!("stddev({})", field(seed)),
            _ => aggregate(seed),
        };
        if seed.within(0..3) > 0 && !call.starts_with("stddev") {
            call = along(seed, &call);
            // Of functions inside of each other InfluxDB reads the rows of one window before the range, and counts
            // those of the windows before that as empty.
            if seed.within(0..3) == 0 {
                call = format!("cumulative_sum({call})");
            }
        }
        columns.push(call);
    }
    let (every, offset) = (seed.within(20..100), seed.within(0..20));
    if !descending && tag.is_empty() && seed.within(0..4) == 0 {
        columns.push(format!("integral({}, 10ns)", field(seed)));
    }
    let order = if descending { " ORDER BY time DESC" } else { "" };
    // LIMIT of several functions in windows counts rows here, and the points of each in InfluxDB.
    let page = if columns.len() == 1 { page(seed) } else { String::new() };
    format!(
        "SELECT {} FROM m{} GROUP BY time({every}ns, {offset}ns){tag}{fill}{order}{page}",
        columns.join(", "),
        range(seed)
    )
}

/// In ascending order and without LIMIT, which we take in another way.
fn top(seed: &mut Seed) -> String {
    let name = pick(seed, &["top", "bottom"]);
    let tags = pick(seed, &["", "", "host, ", "dc, ", "host, dc, "]);
    let beside = pick(seed, &["", "", ", g", ", host", ", g, dc"]);
    let by = match seed.within(0..4) {
        0 => " GROUP BY time(100ns)",
        1 => " GROUP BY time(100ns), dc",
        _ => by_tag(seed),
    };
    let count = seed.within(1..8);
    format!("SELECT {name}(f, {tags}{count}){beside} FROM m{}{by}", range(seed))
}

fn distinct(seed: &mut Seed) -> String {
    let field = field(seed);
    match seed.within(0..3) {
        0 => {
            format!("SELECT distinct({field}) FROM m{}{}{}", range(seed), by_tag(seed), page(seed))
        }
        1 => format!("SELECT distinct({field}) FROM m{} GROUP BY time(90ns), dc", range(seed)),
        _ => {
            // (Indicators of different values are an error in InfluxDB.)
            let name = pick(seed, &["difference", "cumulative_sum", "elapsed", "derivative"]);
            format!("SELECT {name}(distinct({field})) FROM m{} GROUP BY time(90ns)", range(seed))
        }
    }
}

fn forecast(seed: &mut Seed) -> String {
    let name = pick(seed, &["holt_winters", "holt_winters_with_fit"]);
    let function = pick(seed, &["mean", "max", "sum", "first"]);
    let (count, season) = (seed.within(1..5), pick(seed, &["0", "0", "2", "4"]));
    let every = seed.within(60..120);
    let fill = pick(seed, &["", " fill(linear)", " fill(1)"]);
    format!(
        "SELECT {name}({function}(f), {count}, {season}) FROM m{} GROUP BY time({every}ns){fill}",
        range(seed)
    )
}

/// An aggregate without windows, which bears the time of its row. Of rows with equal values InfluxDB's percentile takes
/// any.
fn of_all_rows(seed: &mut Seed) -> String {
    let call = aggregate(seed);
    if call.starts_with("percentile") { format!("max({})", field(seed)) } else { call }
}

/// Rows that are written, and what can be read of them then.
fn into(seed: &mut Seed) -> String {
    let target = format!("t{}", seed.bits());
    let by = by_tag(seed);
    let select = match seed.within(0..3) {
        0 => format!("SELECT f, g AS h INTO {target} FROM m{}{by}", range(seed)),
        1 => format!("SELECT {} AS x INTO {target} FROM m{}{by}", of_all_rows(seed), range(seed)),
        _ => {
            let comma = if by.is_empty() { " GROUP BY " } else { ", " };
            let (call, range, fill) = (aggregate(seed), range(seed), fill(seed));
            let every = seed.within(20..100);
            format!(
                "SELECT {call} AS x INTO {target} FROM m{range}{by}{comma}time({every}ns){fill}"
            )
        }
    };
    format!("{select}; SELECT * FROM {target} GROUP BY *; SHOW TAG KEYS FROM {target}")
}

/// Windows in a zone; their widths divide a quarter of an hour.
fn zone(seed: &mut Seed) -> String {
    let zone = pick(seed, &["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]);
    let every = pick(seed, &["20", "25", "50", "60", "75", "100"]);
    let tag = pick(seed, &["", ", host"]);
    let (call, range, fill) = (aggregate(seed), range(seed), fill(seed));
    format!("SELECT {call} FROM m{range} GROUP BY time({every}ns){tag}{fill} tz('{zone}')")
}

/// Values beside the text. InfluxDB takes them in conditions only.
fn parameters(seed: &mut Seed) -> Question {
    let host = pick(seed, &["a", "b", "c", "a' OR host = 'b", "\\\"", "none"]);
    let values = serde_json::json!({
        "host": host,
        "least": seed.within(0..40) as f64 / 4.0 - 4.0,
        "start": seed.within(TIMES.start..TIMES.end),
    });
    let operator = pick(seed, &["=", "!="]);
    let condition = format!("host {operator} $host AND f >= $least AND time >= $start");
    let columns = pick(seed, &["f, g, host", "count(f)", "mean(f), max(g)"]);
    let text = format!("SELECT {columns} FROM m WHERE {condition}{}", by_tag(seed));
    Question { text, parameters: values.to_string() }
}

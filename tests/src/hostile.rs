//! Queries that ask for too much, against the rows of [`crate::load`], and what a server may say to them:
//! the answer, or an error that names the limit it ran into.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Client, Response, escape};

/// Names that a refusal may give as its reason: limits of queries, and the settings that raise what ran
/// out.
const LIMITS: [&str; 8] = [
    "memory for queries",
    "query-series",
    "query-samples",
    "query-buckets",
    "query-rows",
    "query-memory",
    "query-timeout",
    "query-concurrency",
];

/// A query that asks for too much.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// What is bad about it, for reports.
    pub name: &'static str,
    /// Its text.
    pub text: String,
    /// How it is special.
    pub manner: Manner,
}

/// How a query is asked, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// For one answer.
    Whole,
    /// For an answer in pieces.
    Chunked,
    /// In vain: its text alone is too much.
    Refused,
}

/// How a query ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With an answer.
    Answer,
    /// With an error that names this limit.
    Limit(&'static str),
    /// Refused before it ran, with this about its text.
    Text(String),
    /// Refused for now, with `Retry-After`.
    Later,
    /// Not at all: the connection broke.
    Broken(String),
    /// In a way that helps nobody.
    Unclear(String),
}

impl End {
    /// Whether a client knows what to do next.
    pub fn is_clear(&self) -> bool {
        !matches!(self, End::Broken(_) | End::Unclear(_))
    }
}

/// One query that was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its name.
    pub name: &'static str,
    /// How long it took until the last byte of the answer.
    pub took: Duration,
    /// Bytes of the answer.
    pub bytes: usize,
    /// How it ended.
    pub end: End,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Asked { name, took, bytes, end } = self;
        write!(f, "{took:>8.1?} {bytes:>9} bytes: {name}: {end:?}")
    }
}

impl Hostile {
    /// Asks it.
    pub fn ask(&self, client: &mut Client, database: &str) -> Asked {
        let chunked = if self.manner == Manner::Chunked { "&chunked=true" } else { "" };
        let form = format!("db={database}&epoch=ns{chunked}&q={}", escape(&self.text));
        let form_type = ("Content-Type", "application/x-www-form-urlencoded");
        let begin = Instant::now();
        let response = client.request("POST", "/query", &[form_type], form.as_bytes());
        let took = begin.elapsed();
        let bytes = response.as_ref().map_or(0, |response| response.body.len());
        let end = response.map_or_else(|cause| End::Broken(cause.to_string()), |it| end_of(&it));
        // Only what is wrong about a text may be said to be.
        let end = match end {
            End::Answer | End::Limit(_) if self.manner == Manner::Refused => {
                End::Unclear("was not refused".to_owned())
            }
            End::Text(error) if self.manner != Manner::Refused => End::Unclear(error),
            end => end,
        };
        Asked { name: self.name, took, bytes, end }
    }
}

/// How a query ended, by its response. Answers may have many MiB, so they are searched and not parsed.
fn end_of(response: &Response) -> End {
    let unclear = || End::Unclear(format!("{} {}", response.status, beginning(&response.body)));
    let Some(error) = error_of(&response.body) else {
        let is_whole = response.status == 200 && response.body.ends_with(b"}\n");
        return if is_whole { End::Answer } else { unclear() };
    };
    if response.status == 503 && response.header("retry-after").is_some() {
        return End::Later;
    }
    let is_of_text = |begin: &&str| error.starts_with(begin);
    if ["error parsing query", "regular expression"].iter().any(is_of_text) {
        return End::Text(error);
    }
    let limit = LIMITS.into_iter().find(|limit| error.contains(limit));
    match limit {
        Some(limit) if response.status == 200 => End::Limit(limit),
        _ => unclear(),
    }
}

/// The text of the first error in an answer.
fn error_of(body: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"\"error\":\"";
    let at = body.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let text = body.get(at..)?;
    let end = text.iter().position(|byte| *byte == b'"').unwrap_or(text.len());
    Some(String::from_utf8_lossy(text.get(..end)?).into_owned())
}

fn beginning(body: &[u8]) -> String {
    let (begin, end) = (body.len().min(400), body.len().saturating_sub(200).max(400));
    let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
    format!("{} … {}", text(body.get(..begin)), text(body.get(end..)))
}

/// What asks for too much in few words: names and texts.
const PLAIN: &[(&str, &str)] = &[
    ("groups of all tags", "SELECT count(n) FROM load GROUP BY *"),
    ("all selectors of all groups", "SELECT last(*) FROM load GROUP BY host, dc, rack, batch"),
    ("windows of 1ns since 1970", "SELECT mean(n) FROM load WHERE time >= 0 GROUP BY time(1ns)"),
    (
        "10^9 windows in each of all groups",
        "SELECT mean(n) FROM load WHERE time >= 1700000000s AND time < 1701000000s GROUP BY time(1ms), host",
    ),
    (
        "a million windows in each of all groups",
        "SELECT sum(n) FROM load WHERE time >= 1700000000s AND time < 1700999999s GROUP BY time(1s), *",
    ),
    (
        "fill(linear) over centuries",
        "SELECT mean(n) FROM load WHERE time >= '1700-01-01' AND time < '2200-01-01' GROUP BY time(6h), host fill(linear)",
    ),
    (
        "fill(previous) over centuries",
        "SELECT max(n) FROM load WHERE time >= '1700-01-01' AND time < '2200-01-01' GROUP BY time(6h), * fill(previous)",
    ),
    (
        "fill(0) of 10^6 windows of 1000 groups",
        "SELECT max(n) FROM load WHERE time >= 1700000000s AND time < 1700999999s GROUP BY time(1s), rack fill(0)",
    ),
    ("everything", "SELECT * FROM load"),
    ("everything in groups", "SELECT * FROM load GROUP BY *"),
    ("everything backwards", "SELECT * FROM load ORDER BY time DESC"),
    ("all fields of every measurement, four times", "SELECT /.*/ FROM /.*/, load, /l/, /.oad$/"),
    ("a huge LIMIT", "SELECT n, f1 FROM load LIMIT 1000000000"),
    ("a huge OFFSET", "SELECT n, f1 FROM load LIMIT 10 OFFSET 1000000000"),
    ("a huge OFFSET of series", "SELECT n FROM load GROUP BY * SLIMIT 10 SOFFSET 1000000000"),
    ("median of everything", "SELECT median(n), median(f1), median(f2) FROM load"),
    ("percentile of everything", "SELECT percentile(n, 99.9) FROM load"),
    ("percentile of each series", "SELECT percentile(*, 50) FROM load GROUP BY host"),
    ("a sketch for each series", "SELECT approx_percentile(n, 99) FROM load GROUP BY *"),
    (
        "a sketch for each window, rack and field",
        "SELECT approx_percentile(/f/, 50) FROM load WHERE time >= 1700000000s AND time < 1700100000s GROUP BY time(1s), rack",
    ),
    ("changes of each series", "SELECT derivative(n), difference(f1) FROM load GROUP BY *"),
    ("a sum along everything", "SELECT cumulative_sum(n), moving_average(f1, 1000000) FROM load"),
    (
        "an indicator that looks back for ever",
        "SELECT kaufmans_adaptive_moving_average(n, 9223372036854775807) FROM load GROUP BY host",
    ),
    ("all different values", "SELECT distinct(n) FROM load"),
    ("different values of each series", "SELECT mode(*), count(distinct(n)) FROM load GROUP BY *"),
    ("all rows as the greatest", "SELECT top(n, 9223372036854775807), f1 FROM load"),
    ("the smallest of each series", "SELECT bottom(n, host, batch, 1000000) FROM load"),
    ("a sample of everything", "SELECT sample(n, 100000000), sample(f1, 100000000) FROM load"),
    ("areas of each series", "SELECT integral(*) FROM load GROUP BY *"),
    (
        "a forecast of centuries",
        "SELECT holt_winters(count(n), 9223372036854775807, 0) FROM load WHERE time >= 1700000000s AND time < 1700100000s \
         GROUP BY time(1s)",
    ),
    (
        "a season of a day of seconds",
        "SELECT holt_winters(count(n), 10, 86400) FROM load WHERE time >= 1700000000s AND time < 1700100000s \
         GROUP BY time(1s)",
    ),
    ("functions of numbers without end", "SELECT pow(exp(n), exp(f1)), log(-1 * n, n) FROM load"),
    (
        "all statistics at once",
        "SELECT stddev(*), variance(*), spread(*), rate(*), increase(*), mean(*) FROM load GROUP BY rack, dc",
    ),
    ("a regex that matches all", "SELECT count(n) FROM load WHERE host =~ /.*/ AND rack !~ /^$/"),
    (
        "a regex that backtracks elsewhere",
        "SELECT percentile(f1, 95) FROM load WHERE host =~ /^(([a-z0-9])+.)+h([0-9]+)+$/ AND batch =~ /(.*)(.*)(.*)(.*)(.*)[0-9]$/",
    ),
    (
        "a regex that excludes nothing",
        "SELECT n FROM load WHERE host !~ /(x|y|z){20}/ GROUP BY rack",
    ),
    (
        "conditions under OR",
        "SELECT count(n) FROM load WHERE f1 > f2 OR f3 < f4 OR host = 'x' OR n > 0",
    ),
    ("all series", "SHOW SERIES"),
    ("some series by conditions", "SHOW SERIES WHERE host =~ /.*[05]$/ LIMIT 100000000 OFFSET 10"),
    ("all values of all tags", "SHOW TAG VALUES WITH KEY =~ /.*/"),
    ("values of one tag", "SHOW TAG VALUES FROM load WITH KEY = host WHERE dc != 'dc3'"),
    ("EXPLAIN ANALYZE of everything", "EXPLAIN ANALYZE SELECT * FROM load GROUP BY *"),
    (
        "EXPLAIN ANALYZE of medians",
        "EXPLAIN ANALYZE SELECT median(n) FROM load WHERE time >= 1700000000s AND time < 1700100000s GROUP BY time(1s), host",
    ),
];

/// Queries against a database that [`crate::load`] fills, each with another way to ask for too much.
pub fn queries() -> Vec<Hostile> {
    let plain = PLAIN.iter().map(|(name, text)| (*name, (*text).to_owned(), Manner::Whole));
    let sum = |times: usize, open: &str, close: &str| {
        format!("SELECT {}n{} FROM load", open.repeat(times), close.repeat(times))
    };
    let states = "SELECT count(n) FROM load WHERE host =~ /(\\w{1,40}){1,40}[^x]{3,60}$/";
    let made = [
        ("many statements", "SELECT sum(n) FROM load GROUP BY rack;".repeat(350), Manner::Whole),
        ("many columns", format!("SELECT n{} FROM load", ", n*f1+f2".repeat(1000)), Manner::Whole),
        ("deep parentheses", sum(45, "(", "+f1)"), Manner::Whole),
        ("parentheses beyond the limit", sum(2000, "(", ")"), Manner::Refused),
        ("a chain beyond the limit", sum(3000, "", "+f1"), Manner::Refused),
        ("a regex of many states", states.to_owned(), Manner::Refused),
        ("everything in pieces", "SELECT * FROM load GROUP BY *".to_owned(), Manner::Chunked),
        ("all series in pieces", "SHOW SERIES".to_owned(), Manner::Chunked),
    ];
    plain.chain(made).map(|(name, text, manner)| Hostile { name, text, manner }).collect()
}

/// Asks every hostile query once in each wave, so many of them at any time, until the server is gone.
pub fn attack(address: SocketAddr, waves: &[usize]) -> Vec<Asked> {
    let (queries, is_gone) = (queries(), AtomicBool::new(false));
    let mut asked = Vec::new();
    for at_once in waves {
        let next = AtomicUsize::new(0);
        let ask = || one_by_one(address, &queries, &next, &is_gone);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..*at_once).map(|_| scope.spawn(ask)).collect();
            asked.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
        });
    }
    asked
}

/// One client of a wave: takes the next query until there is none.
fn one_by_one(
    address: SocketAddr,
    queries: &[Hostile],
    next: &AtomicUsize,
    is_gone: &AtomicBool,
) -> Vec<Asked> {
    let mut client = Client::new(address);
    let mut asked = Vec::new();
    while !is_gone.load(Ordering::Relaxed) {
        let Some(query) = queries.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
        let one = query.ask(&mut client, "load");
        is_gone.fetch_or(matches!(one.end, End::Broken(_)), Ordering::Relaxed);
        asked.push(one);
    }
    asked
}

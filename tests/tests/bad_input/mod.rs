//! What the tables of bad inputs share: a server under watch, one case after the other, and what must hold
//! after each, whatever it was.
//!
//! A case writes to a database of its own, so that what is stored of it can be counted. After it the server
//! answers, a row that was written before all cases is still there, nothing has panicked, and the most memory
//! that the case took is bounded.

pub mod csv;
pub mod grpc;
pub mod http;
pub mod json;
pub mod line;
pub mod otlp;
pub mod query;
pub mod remote_write;
pub mod sockets;
pub mod write;

use std::time::{Duration, Instant};

use tsdb_tests::http::{Client, Response};
use tsdb_tests::memory;
use tsdb_tests::server::Server;

/// Headers of a request.
pub type Headers = &'static [(&'static str, &'static str)];

/// Most memory that a case may take beyond what the server held before it.
pub const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// The same for a body of tens of megabytes, which is in memory before it can be found wrong: twice what a
/// body may unpack to, since a buffer that grows is copied, and the rows of what is good in it.
pub const LARGE_GROWTH_BYTES_MAX: u64 = 192 << 20;

/// Longest time of a case. The longest wait of the server, for its turn or for a silent client, is 30 s.
const CASE_TIME_MAX: Duration = Duration::from_secs(20);

/// Longest error document: a hundred refusals with their texts.
const ERROR_BYTES_MAX: usize = 128 << 10;

/// What stands in a target, a header or a text for the database of a case.
const DATABASE: &str = "$DB";

/// A server and the cases that it has seen.
pub struct Bench {
    server: Server,
    _dir: tempfile::TempDir,
    count: usize,
    failures: Vec<String>,
    largest_growth: (u64, String),
    /// Panics that were counted and bytes that were logged before the current case.
    panics: String,
    log_bytes: usize,
}

impl Bench {
    pub fn start() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &[]);
        server.client().write("control", "control v=1 1");
        Bench {
            server,
            _dir: dir,
            count: 0,
            failures: Vec::new(),
            largest_growth: Default::default(),
            panics: "0".to_owned(),
            log_bytes: 0,
        }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Runs a case. What it finds wrong is kept, so that one run shows all of it.
    pub fn case(&mut self, name: &str, check: impl FnOnce(&mut Case)) {
        self.case_within(GROWTH_BYTES_MAX, name, check);
    }

    /// As [`Bench::case`], with a bound on memory of its own.
    pub fn case_within(&mut self, growth_max: u64, name: &str, check: impl FnOnce(&mut Case)) {
        self.count += 1;
        let mut case = Case {
            client: self.server.client(),
            database: format!("case{}", self.count),
            problems: Vec::new(),
        };
        let id = self.server.id();
        memory::forget_peak(id);
        let before = memory::peak_bytes(id);
        let begin = Instant::now();
        check(&mut case);
        let elapsed = begin.elapsed();
        case.expect(elapsed < CASE_TIME_MAX, || format!("it took {elapsed:?}"));
        let peaks = before.zip(memory::peak_bytes(id));
        case.expect(peaks.is_some(), || "the server is gone".to_owned());
        let growth = peaks.map_or(0, |(before, peak)| peak.saturating_sub(before));
        case.expect(growth <= growth_max, || format!("it took {} KiB of memory", growth >> 10));
        self.check_server(&mut case);
        self.failures.extend(case.problems.into_iter().map(|problem| format!("{name}: {problem}")));
        if growth > self.largest_growth.0 {
            self.largest_growth = (growth, name.to_owned());
        }
    }

    fn check_server(&mut self, case: &mut Case) {
        let mut client = self.server.client();
        let ping = client.get("/ping").map(|response| response.status).ok();
        case.expect(ping == Some(204), || format!("the server does not answer: {ping:?}"));
        if ping.is_none() {
            return;
        }
        let control = client.number("control", "SELECT v FROM control");
        case.expect(control == Some(1.0), || format!("the control row is lost: {control:?}"));
        let metrics = client.get("/metrics").unwrap().text();
        let panics = metrics.lines().find_map(|line| line.strip_prefix("tsdb_http_panics_total "));
        let before = std::mem::replace(&mut self.panics, panics.unwrap_or("0").to_owned());
        case.expect(self.panics == before, || format!("{} panics are counted", self.panics));
        let log = self.server.log();
        let new = log.get(self.log_bytes..).unwrap_or_default();
        case.expect(!new.contains("panic"), || format!("the server panicked: {new}"));
        self.log_bytes = log.len();
    }

    /// Ends the server, which must still be able to end well, and reports all that was wrong.
    #[track_caller]
    pub fn finish(self, count: usize) {
        let Bench { server, failures, largest_growth, .. } = self;
        let (status, log) = server.terminate();
        println!(
            "{} cases; most memory: {} KiB, {}",
            self.count,
            largest_growth.0 >> 10,
            largest_growth.1
        );
        assert!(
            failures.is_empty(),
            "{} things are wrong:\n{}",
            failures.len(),
            failures.join("\n")
        );
        assert!(status.success() && !log.contains("panic"), "{status}: {log}");
        assert!(self.count >= count, "{} of {count} cases ran", self.count);
    }
}

/// One case: what it sends, and what was found wrong.
pub struct Case {
    client: Client,
    database: String,
    problems: Vec<String>,
}

impl Case {
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Notes a problem unless `holds`.
    pub fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// Sends a request; `$DB` in target, headers and text of a query is the database of the case.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let target = target.replace(DATABASE, &self.database);
        self.client.request(method, &target, headers, body).unwrap_or_else(|error| {
            let body = error.to_string().into_bytes();
            Response { status: 0, headers: Vec::new(), body }
        })
    }

    /// Checks status and message of a refusal, and the form that all refusals have.
    pub fn refused(&mut self, response: &Response, status: u16, says: &[&str]) {
        let text = response.text();
        let shown =
            || format!("{} {}", response.status, text.chars().take(400).collect::<String>());
        self.expect(response.status == status, || format!("{status} expected: {}", shown()));
        let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        // InfluxDB 2 has a code and a message.
        let error = match document["code"].as_str() {
            Some(_) => &document["message"],
            None => &document["error"],
        };
        let error = error.as_str().unwrap_or_default();
        self.expect(!error.is_empty(), || format!("no error: {}", shown()));
        for part in says {
            let part = part.replace(DATABASE, &self.database);
            self.expect(error.contains(&part), || format!("{part:?} is not in {}", shown()));
        }
        let json = response.header("content-type") == Some("application/json");
        self.expect(json && text.ends_with('\n'), || format!("no line of JSON: {}", shown()));
        self.expect(response.body.len() < ERROR_BYTES_MAX, || "a very long answer".to_owned());
        let header = response.header("x-influxdb-error").unwrap_or_default();
        self.expect(!header.is_empty(), || format!("no X-Influxdb-Error: {}", shown()));
        let allow = response.header("allow");
        self.expect(allow.is_some() || status != 405, || format!("Allow: {allow:?}"));
    }

    /// Checks the list of refusals: for each its line or record, its column if that is known, and a part of
    /// its reason.
    pub fn listed(
        &mut self,
        response: &Response,
        stored: usize,
        refusals: &[(u64, Option<usize>, &str)],
    ) {
        let document: serde_json::Value =
            serde_json::from_slice(&response.body).unwrap_or_default();
        let counts = [&document["stored"], &document["refused"]].map(serde_json::Value::as_u64);
        let wanted = [stored, refusals.len()].map(|count| u64::try_from(count).ok());
        self.expect(counts == wanted, || {
            format!("stored and refused are {counts:?}, not {wanted:?}")
        });
        for (place, (line, column, reason)) in refusals.iter().enumerate() {
            let entry = &document["errors"][place];
            let holds = entry["line"].as_u64() == Some(*line)
                && column.is_none_or(|column| entry["column"] == column)
                && entry["text"].is_string()
                && entry["reason"].as_str().is_some_and(|found| found.contains(reason));
            self.expect(holds, || format!("{line}:{column:?} {reason:?} is not {entry}"));
        }
    }

    /// Checks how many rows the case has stored.
    pub fn stored(&mut self, rows: usize) {
        let found = self.rows();
        self.expect(found == rows, || format!("{found} rows are stored, {rows} should be"));
    }

    /// Stores one row, so that a query has something to find.
    pub fn write_one_row(&mut self) {
        let database = self.database.clone();
        self.client.write(&database, "m,h=a v=1 1");
    }

    /// Rows of the database of the case.
    fn rows(&mut self) -> usize {
        let results = self.client.try_query(&self.database, "SELECT * FROM /(?s).*/").unwrap();
        let series = results.pointer("/0/series").and_then(|series| series.as_array());
        let rows = |series: &serde_json::Value| series["values"].as_array().map_or(0, Vec::len);
        series.map_or(0, |series| series.iter().map(rows).sum())
    }
}

/// A name for a case: what it sends, as far as that fits a line.
pub fn name(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..80).unwrap_or(bytes)).into_owned();
    format!("{text:?}")
}
